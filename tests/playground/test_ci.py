"""The CI runner as a real process: real tags, real pytest runs, real signals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cockpit.playground import processes
from tests.fakes.playground import GATED, GREEN, SERVICE, UNCOLLECTABLE, Program, git, release, suites, wait_for

Launch = Callable[..., Program]
RUNS = f"/v1/services/{SERVICE}/runs"
FINAL = ("passed", "failed", "error", "inconclusive")


def tag(version: str) -> str:
    return f"{SERVICE}/v{version}"


def skip(*versions: str) -> list[str]:
    return [argument for version in versions for argument in ("--skip", tag(version))]


def forget(directory: Path, *versions: str) -> None:
    """Take tags away, so that a test runs only what it is about."""
    git(directory / "repo", "tag", "--delete", *(tag(v) for v in versions))


def newest(ci: Program, version: str) -> Any:
    return next((r for r in ci.get(RUNS)["runs"] if r["version"] == version), None)


def ended(ci: Program, version: str) -> Any:
    found = wait_for(lambda: (run := newest(ci, version)) and run["state"] in FINAL and run, f"{version} has ended")
    return ci.get(f"/v1/runs/{found['id']}")


@pytest.fixture
def gated(directory: Path) -> Path:
    """Only version 2.0.0, whose unit tests wait until the pipe's other end is opened."""
    forget(directory, "1.0.0", "1.1.0", "1.2.0", "1.3.0")
    release(directory / "repo", "2.0.0", suites(GATED))
    os.mkfifo(directory / "gate")
    return directory / "gate"


def under_way(ci: Program) -> Any:
    """The run of the gated version once its second test waits."""

    def waits() -> Any:
        run = newest(ci, "2.0.0")
        return run if run and any(t["outcome"] == "running" and "gate" in t["name"] for t in run["suites"][0]["tests"]) else None

    return wait_for(waits, "the second test waits")


def test_red_version_says_which_test_failed_and_why(directory: Path, launch: Launch) -> None:
    forget(directory, "1.0.0", "1.1.0", "1.2.0")
    ci = launch("ci")
    run = ended(ci, "1.3.0")
    unit, integration, performance = run["suites"]
    assert run["state"] == "failed"
    assert run["commit"] == git(directory / "repo", "rev-parse", tag("1.3.0"))
    assert (unit["state"], unit["total"], unit["passed"], unit["failed"], unit["errors"], unit["skipped"]) == ("failed", 4, 1, 1, 1, 1)
    tests = {t["name"].partition("::")[2]: t for t in unit["tests"]}
    assert tests["test_bad"]["outcome"] == "failed"
    assert "the price is no string" in tests["test_bad"]["message"]
    assert tests["test_broken"]["outcome"] == "error"
    assert "no fixture today" in tests["test_broken"]["message"]
    assert tests["test_skipped"]["message"].endswith("not on Sundays")
    assert (integration["state"], performance["state"]) == ("passed", "passed")
    assert unit["name"] == "unit"
    assert unit["started_at_us"] < unit["finished_at_us"] <= integration["started_at_us"]
    listed = newest(ci, "1.3.0")["suites"]
    assert [len(s["tests"]) for s in listed] == [2, 0, 0]
    _, headers, log = ci.raw("GET", f"/v1/runs/{run['id']}/suites/unit/log")
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert b"the price is no string" in log
    _, headers, junit = ci.raw("GET", f"/v1/runs/{run['id']}/suites/unit/junit")
    assert headers["content-type"].startswith("application/xml")
    assert ElementTree.fromstring(junit).find("testsuite").get("tests") == "4"  # type: ignore[union-attr]
    assert git(directory / "repo", "worktree", "list").count("\n") == 0


def test_results_are_seen_while_the_suite_runs(launch: Launch, gated: Path) -> None:
    ci = launch("ci")
    run = under_way(ci)
    unit = run["suites"][0]
    assert (run["state"], unit["state"], unit["total"], unit["passed"]) == ("running", "running", 2, 1)
    assert [t["outcome"] for t in unit["tests"]] == ["passed", "running"]
    assert ci.raw("GET", f"/v1/runs/{run['id']}/suites/unit/junit")[0] == 404
    gated.write_text("go")
    assert ended(ci, "2.0.0")["state"] == "passed"


def test_etag_says_that_nothing_changed(launch: Launch, gated: Path) -> None:
    ci = launch("ci")
    under_way(ci)
    _, headers, _ = ci.raw("GET", RUNS)
    assert ci.raw("GET", RUNS, headers={"If-None-Match": headers["etag"]})[::2] == (304, b"")
    gated.write_text("go")
    ended(ci, "2.0.0")
    assert ci.raw("GET", RUNS, headers={"If-None-Match": headers["etag"]})[0] == 200


def test_stop_ends_the_processes_and_is_inconclusive(directory: Path, launch: Launch, gated: Path) -> None:
    ci = launch("ci")
    run = under_way(ci)
    status, stopped = ci.post(f"/v1/runs/{run['id']}/stop")
    assert (status, stopped["state"], stopped["message"]) == (200, "inconclusive", "stopped")
    assert [s["state"] for s in stopped["suites"]] == ["inconclusive"] * 3
    wait_for(lambda: not processes.find(directory, "suite:"), "its processes have ended")
    assert ci.post(f"/v1/runs/{run['id']}/stop")[1] == stopped
    wait_for(lambda: not list((directory / "state" / "ci" / "worktrees").iterdir()), "its worktree is gone")
    assert newest(ci, "2.0.0")["id"] == run["id"]


def test_rerun_once_for_each_key(launch: Launch, gated: Path) -> None:
    ci = launch("ci")
    first = under_way(ci)
    path = f"/v1/runs/{first['id']}/rerun"
    assert ci.post(path)[0] == 400
    assert ci.post(path, key="one")[0] == 409
    ci.post(f"/v1/runs/{first['id']}/stop")
    status, second = ci.post(path, key="one")
    assert (status, second["state"], second["id"] != first["id"]) == (201, "pending", True)
    gated.write_text("go")
    assert ended(ci, "2.0.0")["state"] == "passed"
    status, again = ci.post(path, key="one")
    assert (status, again["id"], again["state"]) == (200, second["id"], "passed")
    assert ci.post(f"/v1/runs/{second['id']}/rerun", key="one")[0] == 422
    assert ci.post("/v1/runs/r-999999/rerun", key="two")[0] == 404
    assert len(ci.get(RUNS)["runs"]) == 2


def test_killed_in_the_middle_is_inconclusive_and_run_again(directory: Path, launch: Launch, gated: Path) -> None:
    ci = launch("ci")
    first = under_way(ci)
    ci.kill()
    assert processes.find(directory, "suite:")
    ci = launch("ci")
    wait_for(lambda: len(ci.get(RUNS)["runs"]) == 2, "it is run again")
    gone = ci.get(f"/v1/runs/{first['id']}")
    assert gone["state"] == "inconclusive"
    assert gone["message"] == "the CI runner ended while this ran; it is run again"
    assert gone["suites"][0]["state"] == "inconclusive"
    under_way(ci)
    gated.write_text("go")
    assert ended(ci, "2.0.0")["state"] == "passed"


def test_new_tag_comes_before_old_ones_and_old_ones_follow(directory: Path, launch: Launch) -> None:
    forget(directory, "1.0.0", "1.3.0")
    ci = launch("ci", *skip("1.1.0"))
    ended(ci, "1.1.0")
    assert [r["version"] for r in ci.get(RUNS)["runs"]] == ["1.1.0", "1.2.0"]
    release(directory / "repo", "1.9.0", suites(UNCOLLECTABLE))
    run = ended(ci, "1.9.0")
    assert (run["state"], run["suites"][0]["state"]) == ("error", "error")
    assert "no_such_module" in run["suites"][0]["tests"][0]["message"]


def test_suite_without_tests_and_with_a_dead_process(directory: Path, launch: Launch) -> None:
    forget(directory, "1.0.0", "1.1.0", "1.2.0", "1.3.0")
    files = suites("import os\ndef test_dies():\n    os._exit(7)\n")
    files["tests/integration/test_integration.py"] = "nothing = GREEN = 1\n"
    release(directory / "repo", "3.0.0", files)
    ci = launch("ci")
    unit, integration, performance = ended(ci, "3.0.0")["suites"]
    assert unit["state"] == "error"
    assert unit["tests"][0]["message"] == "the process ended (7) while this test ran"
    assert (integration["state"], integration["total"], performance["state"]) == ("inconclusive", 0, "passed")


def test_suite_that_never_ends_is_ended(launch: Launch, gated: Path) -> None:
    assert gated.exists()
    ci = launch("ci", "--suite-limit-s", "2")
    run = ended(ci, "2.0.0")
    assert run["state"] == "error"
    assert run["suites"][0]["tests"][1]["outcome"] == "error"


def test_restart_keeps_port_and_runs(directory: Path, launch: Launch) -> None:
    forget(directory, "1.0.0", "1.1.0", "1.2.0")
    release(directory / "repo", "1.3.0-rc1", suites(GREEN))
    ci = launch("ci", *skip("1.3.0"))
    before = [ended(ci, v)["id"] for v in ("1.3.0-rc1", "1.3.0")]
    assert ci.terminate() == 0
    again = launch("ci", *skip("1.3.0"))
    assert again.port == ci.port
    assert sorted(r["id"] for r in again.get(RUNS)["runs"]) == sorted(before)


def test_repository_that_is_gone_is_no_end(directory: Path, launch: Launch) -> None:
    (directory / "repo").rename(directory / "away")
    ci = launch("ci")
    assert ci.get(RUNS) == {"runs": []}
    (directory / "away").rename(directory / "repo")
    wait_for(lambda: ci.get(RUNS)["runs"], "the repository is seen again")
