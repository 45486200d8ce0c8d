"""The terminal as a person uses it: real processes from start to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., tuple[int, str, str]]


def begin(data: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ui", "--data-dir", str(data), *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, encoding="utf-8", env=env, **pipes)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    def call(*words: str) -> tuple[int, str, str]:
        process = begin(tmp_path, *words)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err
        return process.returncode, out, err

    yield call
    call("playground", "stop")


def answer(run: Run, *words: str) -> dict[str, Any]:
    result, out, err = run(*words, "--json")
    assert result == 0, (out, err)
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.e2e
def test_from_start_to_stop(run: Run, tmp_path: Path, eventually: Callable[..., Any]) -> None:
    assert answer(run, "playground", "start")["playground"]["problems"] == []
    config = tmp_path / "playground" / "cockpit.toml"
    config.write_text(
        config.read_text("utf-8").replace('["unit", "integration", "performance"]', '["unit"]'), "utf-8"
    )  # the others take a while
    places = {(p["service"], p["environment"]): p for p in answer(run, "status")["places"]}
    assert len(places) == 6
    assert {p["state"] for p in places.values()} == {"ok"}
    live = places[("market-data", "production")]["version"]

    # killed while it changes nodes: the same command again takes it up, and does not go back one version further
    process = begin(tmp_path, "rollback", "market-data", "production", "--yes")
    assert process.stdout is not None
    assert any("done" in line for line in process.stdout)
    process.kill()
    process.communicate()
    result, out, err = run("rollback", "market-data", "production", "--yes", "--json")
    document = json.loads(out)
    assert (result, document["outcome"], len(document["recovered"])) == (0, "done", 1), (out, err)
    assert document["action"]["from_version"] == live
    now = {(p["service"], p["environment"]): p for p in answer(run, "status")["places"]}[("market-data", "production")]
    assert (now["version"], now["nodes_agree"]) == (document["action"]["version"], 4)

    # four eyes stand in the way of production, tests in the way of staging until they have passed
    newest = answer(run, "pending", "order-gateway")["pending"][0]["versions"][0]
    assert newest["commits_total"] == len(newest["commits"]) > 0
    result, _, err = run("deploy", "order-gateway", "production", newest["version"], "--yes")
    assert result == 2
    assert "approvals given" in err

    def passed() -> bool:
        found = answer(run, "checks", "order-gateway", "--version", newest["version"])
        return bool(found["checks"][0]["versions"][0]["state"] == "passed")

    eventually(passed, 90.0, "the newest version's tests pass")
    result, out, err = run("deploy", "order-gateway", "staging", newest["version"], "--yes")
    assert result == 0, (out, err)
    assert f"all 2 nodes run {newest['version']}" in out

    assert answer(run, "journal", "verify")["journal"]["ok"]
    assert answer(run, "playground", "traffic", "volatile")["playground"]["traffic"] == "volatile"
    assert answer(run, "playground", "stop")["playground"]["started"] is False
    result, out, err = run("status")
    assert result == 0, "what was known before is shown with its age"
    assert "stale" in out or "1.7.0" in out
    assert "deployer" in err
    assert "playground start" in err
