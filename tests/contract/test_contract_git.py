"""The contract suite on real repositories on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.connectors.git_local import GitLocal
from cockpit.contract.source import SourceContract, SourceWorld
from cockpit.domain.release import Service
from tests.connectors.test_git_local import Repo


class TestGit(SourceContract):
    @pytest.fixture(params=["alone", "among others"])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceWorld]:
        among = request.param == "among others"
        repo = Repo(tmp_path / "gateway")
        prefix, file = ("gateway/", "services/gateway/run.py") if among else ("", "run.py")
        versions, released_us, commits = {}, {}, []
        for name in ("1.0.0", "1.9.0", "1.10.0-rc1", "1.10.0"):
            if among:
                repo.commit("of another service", "services/ledger/run.py")
                repo.tag(f"ledger/v{name}")
            commits.append(repo.commit(f"work for {name}", file))
            repo.tag(f"{prefix}v{name}")
            versions[name] = commits[-1]
            released_us[name] = (1_700_000_000 + repo.minute * 60) * 1_000_000
        repo.tag("no-version")
        with closing(GitLocal(repo.path)) as source:
            yield SourceWorld(
                connector=source,
                service=Service("gateway", path="services/gateway" if among else ""),
                versions=dict(reversed(versions.items())),
                released_us=released_us,
                empty=Service("risk", tag_pattern="risk/v{version}"),
                base=f"{prefix}v1.0.0",
                head=f"{prefix}v1.10.0",
                commits=tuple(reversed(commits[1:])),
                move=lambda: repo.tag("moved"),
            )
