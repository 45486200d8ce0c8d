"""The core as a whole: built on bad disks and bad settings, restored, shared by two windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cockpit.app import build, config_in_use, embedded_playground
from cockpit.domain.facts import Fact
from cockpit.domain.release import Version
from cockpit.paths import find_paths
from cockpit.services.runtime import LoopMainThread
from cockpit.services.store import SourceHealth

GOOD = """
[me]
name = "Ada"
email = "ada@example.org"
[services.gw]
repository = "repo"
[environments.prod]
approvals = 1
"""


def a_config(folder: Path, text: str = GOOD) -> Any:
    paths = find_paths(folder)
    paths.data.mkdir(parents=True, exist_ok=True)
    paths.config.write_text(text, encoding="utf-8")
    return paths


def test_a_new_directory_opens_empty(tmp_path: Path) -> None:
    cockpit = build(find_paths(tmp_path / "new"), LoopMainThread())
    assert cockpit.store.state.services == ()
    assert cockpit.notices.history == ()
    assert not cockpit.read_only
    cockpit.close()


def test_what_was_known_is_there_at_the_next_start_with_its_age(tmp_path: Path) -> None:
    paths = a_config(tmp_path)
    first = build(paths, LoopMainThread())
    versions = (Version("gw", "1.0.0", "v1.0.0", "c", 5),)
    first.store.merge("versions", {"gw": Fact(versions, 1_000_000, "git", 15.0), "gone": Fact((), 1, "git")})
    first.store.merge("sources", {"git": SourceHealth("git", "git", "git", 1_000_000)})
    first.close()
    second = build(paths, LoopMainThread())
    assert second.store.state.versions == {"gw": Fact(versions, 1_000_000, "git", 15.0)}
    assert second.store.state.versions["gw"].stale(second.clock_us())
    assert second.store.state.services[0].repository == str(tmp_path / "repo")
    second.close()


def test_three_mistakes_are_told_at_once_and_the_rest_is_used(tmp_path: Path) -> None:
    bad = GOOD.replace("approvals", "aprovals") + '[pol]\ninterval_s = 1\n[window]\ntheme = "drak"\n'
    cockpit = build(a_config(tmp_path, bad), LoopMainThread())
    [notice] = [n for n in cockpit.notices.history if n.key == "settings"]
    assert len(notice.message.splitlines()) == 3
    assert '"approvals"' in notice.message
    assert '"poll"' in notice.message
    assert [s.name for s in cockpit.store.state.services] == ["gw"]
    cockpit.close()


def test_a_corrupt_database_is_set_aside_and_said(tmp_path: Path) -> None:
    paths = a_config(tmp_path)
    paths.database.write_bytes(b"this is no database" * 1000)
    cockpit = build(paths, LoopMainThread())
    assert any("cockpit.sqlite.corrupt" in n.message for n in cockpit.notices.history)
    assert [p.read_bytes()[:4] for p in tmp_path.glob("cockpit.sqlite.corrupt*")] == [b"this"]
    assert not cockpit.read_only
    cockpit.close()


def test_a_second_window_reads_only_and_a_command_may_act(tmp_path: Path) -> None:
    paths = a_config(tmp_path)
    first = build(paths, LoopMainThread())
    second = build(paths, LoopMainThread())
    command = build(paths, LoopMainThread(), owner=False)
    assert not first.read_only
    assert "another window" in second.read_only
    assert any(n.title == "Read-only" for n in second.notices.history)
    assert not command.read_only
    for cockpit in (command, second, first):
        cockpit.close()


def test_a_data_directory_that_cannot_be_written_still_opens(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    cockpit = build(find_paths(blocked / "data"), LoopMainThread())
    assert cockpit.read_only
    assert any("only reads" in n.message for n in cockpit.notices.history)
    cockpit.close()


def test_a_connection_that_cannot_be_made_is_said_and_the_others_run(tmp_path: Path) -> None:
    text = GOOD + '[connections.ci]\nkind = "ci-v2"\nurl = "http://127.0.0.1:1"\n'
    main = LoopMainThread()
    cockpit = build(a_config(tmp_path, text), main)
    cockpit.connect()
    assert main.run_until(lambda: cockpit.ready, 20)
    assert [c.id for c in cockpit.connections.all] == ["git:repo"]
    assert any("ci-v1" in n.hint + n.message for n in cockpit.notices.history)
    cockpit.close()


def test_the_playground_is_for_those_without_settings(tmp_path: Path) -> None:
    paths = find_paths(tmp_path)
    assert config_in_use(paths) is None
    assert embedded_playground(paths) is not None
    a_config(tmp_path)
    assert config_in_use(paths) == paths.config
    assert embedded_playground(paths) is None


def test_a_playground_that_does_not_start_is_said_with_its_way_out(tmp_path: Path) -> None:
    class Broken:
        def start(self, directory: Path, progress: Any) -> None:
            progress("Starting order-gateway")
            raise OSError("no free port")

        def regime(self, directory: Path) -> str:
            raise OSError("down")

        def set_regime(self, directory: Path, regime: str) -> str:
            raise OSError("down")

    main = LoopMainThread()
    cockpit = build(find_paths(tmp_path), main)
    cockpit.start(Broken())
    assert main.run_until(lambda: any("no free port" in n.message for n in cockpit.notices.history), 5)
    assert cockpit.playground is not None
    cockpit.playground.set_regime("volatile")
    assert main.run_until(lambda: any("traffic" in n.title for n in cockpit.notices.history), 5)
    cockpit.close()


@pytest.mark.parametrize("module", ["cockpit.app", "cockpit.services.actions"])
def test_the_core_is_imported_without_anything_heavy(module: str) -> None:
    heavy = ["numpy", "requests", "git", "keyring", "pyqtgraph", "prometheus_client", "zstandard", "PySide6"]
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
