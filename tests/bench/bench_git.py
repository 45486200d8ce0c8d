"""Pending versions and commit lists of a large repository, against the git commands alone."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cockpit.connectors import git_local
from cockpit.connectors.git_local import GitLocal
from cockpit.connectors.git_parse import TAG_FORMAT
from cockpit.domain.release import Service, pending

COMMITS = 100_000
TAGS = 1_000
PENDING = 5
PAIRS = 15
TARGET = 1.5
_BUILD = Path(__file__).parents[2] / "build"


def make_repository(path: Path, commits: int = COMMITS, tags: int = TAGS) -> Path:
    """A bare repository with that much history, made by one `git fast-import`; the one made before where it is whole."""
    if (path / "complete").is_file():
        return path
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True, env=quiet)
    with subprocess.Popen(["git", "-C", str(path), "fast-import", "--quiet"], stdin=subprocess.PIPE, env=quiet) as process:
        assert process.stdin is not None
        for number in range(1, commits + 1):
            process.stdin.write(_commit(number))
            if number % (commits // tags) == 0:
                process.stdin.write(_tag(number // (commits // tags), number))
    assert process.returncode == 0
    subprocess.run(["git", "-C", str(path), "pack-refs", "--all"], check=True, env=quiet)  # as in every clone
    (path / "complete").touch()
    return path


def _commit(number: int) -> bytes:
    who = f"Author {number % 40} <author{number % 40}@playground.invalid> {1_500_000_000 + number * 600} +0000"
    reviewer = f"Reviewed-by: Reviewer {number % 7} <r{number % 7}@playground.invalid>"
    message = f"Change number {number}\n\nWhat it does and why, in a line.\n\n{reviewer}\n"
    body = f"value {number}\n" * 3
    head = f"commit refs/heads/main\nmark :{number}\nauthor {who}\ncommitter {who}\n"
    file = f"M 100644 inline part{number % 50}/module{number % 1000}.py\n"
    return f"{head}data {len(message)}\n{message}{file}data {len(body)}\n{body}\n".encode()


def _tag(number: int, mark: int) -> bytes:
    name = f"v{number // 100}.{number // 10 % 10}.{number % 10}"
    who = f"Author 1 <author1@playground.invalid> {1_500_000_000 + mark * 600} +0000"
    return f"tag {name}\nfrom :{mark}\ntagger {who}\ndata 8\nrelease\n\n".encode()


def run() -> list[dict[str, object]]:
    """One entry for each figure; `ours` and `rival` in milliseconds, `ratio` the median of pairs taken in turn."""
    path = make_repository(_BUILD / f"bench-git-{COMMITS}-{TAGS}")
    service = Service("bench", str(path))
    with GitLocal(path) as repository:
        versions = repository.versions(service)
        assert len(versions) == TAGS
        live = versions[PENDING]
        waiting = pending(versions, live.name)
        assert len(waiting) == PENDING
        assert repository.changes(service, live.tag, waiting[0].tag, limit=1000).total_in == PENDING * COMMITS // TAGS

        def ours_pending() -> object:
            return pending(repository.versions(service), live.name)

        def ours_changes() -> object:
            return repository.changes(service, live.tag, waiting[0].tag, limit=1000)

        spread = f"refs/tags/{live.tag}^{{commit}}...refs/tags/{waiting[0].tag}^{{commit}}"
        log = (*git_local._LOG, "--left-right", "--max-count=1001", "--end-of-options", spread, "--")
        return [
            _measured("pending versions of 1,000 tags", ours_pending, _plain(path, "for-each-ref", f"--format={TAG_FORMAT}", "refs/tags")),
            _measured("commits of 5 pending versions of 100,000 commits", ours_changes, _plain(path, *log)),
        ]


def _plain(path: Path, *args: str) -> Callable[[], object]:
    """The git command alone: its output is read and thrown away."""

    def work() -> object:
        return subprocess.run(["git", "-C", str(path), *args], check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout

    return work


def _measured(name: str, ours: Callable[[], object], rival: Callable[[], object]) -> dict[str, object]:
    ours(), rival()
    pairs = []
    for turn in range(PAIRS):
        order = (ours, rival) if turn % 2 else (rival, ours)
        taken = {work: _seconds(work) for work in order}
        pairs.append((taken[ours], taken[rival]))
    ratio = statistics.median(a / b for a, b in pairs)
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _ in pairs) * 1e3, 2),
        "rival": round(statistics.median(b for _, b in pairs) * 1e3, 2),
        "unit": "ms",
        "ratio": round(ratio, 3),
        "target": TARGET,
        "holds": ratio <= TARGET,
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
