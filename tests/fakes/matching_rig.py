"""A real service of others under release: order-matching 0.7.0 and 0.12.0 (PyPI), its repository, and the flow of requests to it."""

from __future__ import annotations

import functools
import http.client
import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from tests.fakes import environments

SOURCE = Path(__file__).parent / "matching"
ENVIRONMENTS = Path(__file__).resolve().parents[2] / "build" / "venvs"
GOOD, BROKEN = "0.7.0", "0.12.0"  # from 0.9 on /reset refuses the field that its callers send: 422 instead of 200
ENDED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
DATES = {GOOD: "2026-03-02T09:00:00Z", BROKEN: "2026-10-05T09:00:00Z"}


@functools.cache
def environment_of(version: str) -> Path:
    """The virtual environment of that release, made once; the test is skipped where the package cannot be fetched."""
    place = ENVIRONMENTS / f"order-matching-{version}"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not (place / "whole").exists():
            wanted = (f"order-matching[all]=={version}", "prometheus-client", "pytest")
            # the two differ in one package of fifty
            like = environment_of(GOOD) if version != GOOD else None
            failed = environments.make(place, *wanted, like=like, imports="order_matching.api.app, prometheus_client, pytest, uvicorn")
            if failed:
                pytest.skip(failed)
            (place / "whole").touch()
    return place


def make_repository(path: Path) -> Path:
    """A repository whose tags are the two releases: the same small wrapper, another engine below it."""
    path.mkdir(parents=True)
    _git(path, "init", "--quiet", "--initial-branch=main")
    for version in (GOOD, BROKEN):
        shutil.copytree(SOURCE, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (path / "requirements.txt").write_text(f"order-matching[all]=={version}\nprometheus-client\n", "utf-8")
        _git(path, "add", "--all")
        _git(path, "commit", "--quiet", "-m", f"Run on order-matching {version}", date=DATES[version])
        _git(path, "tag", "-a", f"v{version}", "-m", f"matching {version}", date=DATES[version])
    return path


def _git(path: Path, *words: str, date: str = "2026-03-02T09:00:00Z") -> str:
    people = {"GIT_AUTHOR_NAME": "Mo Matching", "GIT_AUTHOR_EMAIL": "mo@playground.invalid"}
    people |= {"GIT_COMMITTER_NAME": people["GIT_AUTHOR_NAME"], "GIT_COMMITTER_EMAIL": people["GIT_AUTHOR_EMAIL"]}
    environment = {**os.environ, **ENDED, **people, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    return subprocess.run(["git", "-C", str(path), *words], env=environment, check=True, capture_output=True, text=True).stdout


def export(repository: Path, version: str, target: Path) -> None:
    """The release of that version as a directory."""
    target.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(repository), "archive", f"v{version}"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)
    commit = _git(repository, "rev-parse", f"v{version}^{{commit}}").strip()
    (target / "RELEASE").write_text(json.dumps({"version": version, "commit": commit}), "utf-8")


class Callers:
    """Requests to one address at a steady rate, whatever the answers take; `seen` counts (path, status)."""

    def __init__(self, port: int, rate: float = 40.0) -> None:
        self._port, self._gap_s = port, 1 / rate
        self._over = threading.Event()
        self._chance = random.Random(7)
        self._lock = threading.Lock()
        self.seen: Counter[tuple[str, int]] = Counter()
        self._threads = [threading.Thread(target=self._run, args=(number,), name=f"caller-{number}") for number in range(4)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        gap_s = self._gap_s * len(self._threads)
        due = time.monotonic() + number * self._gap_s
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += gap_s
            path, body = self._request()
            status = self._send(path, body)
            with self._lock:
                self.seen[path, status] += 1

    def _request(self) -> tuple[str, dict[str, object] | None]:
        with self._lock:
            chance, number = self._chance.random(), self._chance.randrange(10**9)
        if chance < 0.2:
            return "/reset", {"prepopulate": False}
        if chance < 0.6:
            return "/summary", None
        order = {"order_id": str(number), "trader_id": "t", "side": "BUY", "size": 1, "timestamp": "2026-01-01T00:00:00"}
        return "/place", {"orders": [order | {"order_type": "limit", "price": 10}]}

    def _send(self, path: str, body: dict[str, object] | None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            data = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except OSError:
            return 0
        finally:
            connection.close()
