"""Test runs: what is missing is never passed, and never failed."""

from __future__ import annotations

import pytest

from cockpit.domain.checks import CheckRun, CheckState, Suite, latest_run, p90, remaining_s, summarise
from cockpit.domain.checks import TestResult as Result  # by its own name pytest takes it for a test

PASSED, FAILED, ERROR = CheckState.PASSED, CheckState.FAILED, CheckState.ERROR
PENDING, RUNNING, INCONCLUSIVE = CheckState.PENDING, CheckState.RUNNING, CheckState.INCONCLUSIVE


def run(state: CheckState, *suites: Suite, run_id: str = "1", commit: str = "c", started: int = 0) -> CheckRun:
    return CheckRun(run_id, "gateway", "1.0", commit, state, suites, started)


def suite(name: str, state: CheckState, passed: int = 0, failed: int = 0, total: int = 0) -> Suite:
    return Suite(name, state, total, passed, failed)


def test_no_run_is_pending() -> None:
    found = summarise(None, ("unit",))
    assert found.state is PENDING
    assert found.reasons


@pytest.mark.parametrize("required", [("unit", "integration"), ("integration",)])
def test_a_required_suite_that_is_absent_is_pending(required: tuple[str, ...]) -> None:
    found = summarise(run(PASSED, suite("unit", PASSED)), required)
    assert found.state is PENDING
    assert found.reasons == ("integration: not started",)


@pytest.mark.parametrize("state", [FAILED, ERROR, INCONCLUSIVE, RUNNING, PENDING])
def test_a_required_suite_that_did_not_pass_decides(state: CheckState) -> None:
    found = summarise(run(state, suite("unit", PASSED), suite("integration", state)), ("unit", "integration"))
    assert found.state is state
    assert found.reasons == (f"integration: {state}",)


def test_the_worst_decides() -> None:
    states = (PASSED, RUNNING, PENDING, INCONCLUSIVE, ERROR, FAILED)
    for number in range(1, len(states) + 1):
        suites = [suite(str(s), s) for s in states[:number]]
        expected = {1: PASSED, 2: RUNNING, 3: RUNNING, 4: INCONCLUSIVE, 5: ERROR, 6: FAILED}[number]
        assert summarise(run(RUNNING if number > 1 else PASSED, *suites), tuple(s.name for s in suites)).state is expected


def test_all_required_passed_in_a_run_that_failed_elsewhere_is_not_passed() -> None:
    found = summarise(run(FAILED, suite("unit", PASSED), suite("extra", FAILED)), ("unit",))
    assert found.state is FAILED
    assert found.reasons == ("run 1: failed",)


def test_without_required_suites_all_of_them_count() -> None:
    assert summarise(run(PASSED, suite("a", PASSED)), ()).state is PASSED
    assert summarise(run(RUNNING, suite("a", PASSED), suite("b", RUNNING)), ()).state is RUNNING
    assert summarise(run(INCONCLUSIVE), ()).state is INCONCLUSIVE
    assert summarise(run(PASSED), ()).state is PASSED


def test_counts_are_summed_and_tests_not_collected_yet_are_not_forgotten() -> None:
    found = summarise(run(RUNNING, suite("a", PASSED, passed=5), suite("b", RUNNING, passed=2, failed=1, total=10)), ())
    assert (found.passed, found.failed, found.total) == (7, 1, 15)


def test_the_newest_run_of_a_commit_counts() -> None:
    runs = (run(FAILED, run_id="a", started=5), run(PASSED, run_id="b", started=9), run(FAILED, run_id="c", commit="other", started=99))
    found = latest_run(runs, "c")
    assert found is not None
    assert found.id == "b"
    assert latest_run(runs, "none") is None
    assert latest_run((), "c") is None


@pytest.mark.parametrize(
    ("durations", "expected"),
    [((), None), ((4.0,), 4.0), (tuple(float(n) for n in range(1, 11)), 9.0), ((1.0, 2.0), 2.0), ((3.0, 1.0, 2.0), 3.0)],
)
def test_p90_is_the_nearest_rank(durations: tuple[float, ...], expected: float | None) -> None:
    assert p90(durations) == expected


def test_remaining_time_is_known_for_running_suites_with_a_past() -> None:
    running = Suite("a", RUNNING, started_at_us=10_000_000)
    assert remaining_s(running, (5.0,), 12_000_000) == 3.0
    assert remaining_s(running, (5.0,), 99_000_000) == 0.0
    assert remaining_s(running, (), 12_000_000) is None
    assert remaining_s(Suite("a", PASSED, started_at_us=1), (5.0,), 2) is None
    assert remaining_s(Suite("a", RUNNING), (5.0,), 2) is None


def test_failures_name_their_suite() -> None:
    tests = (Result("ok", "passed"), Result("bad", "failed", message="<b>no</b>"), Result("broken", "error"))
    found = run(FAILED, Suite("unit", FAILED, tests=tests))
    assert [(name, test.name) for name, test in found.failures] == [("unit", "bad"), ("unit", "broken")]
    assert Suite("a", PASSED, started_at_us=1_000_000, finished_at_us=2_000_000).duration_s == 1.0
    assert Suite("a", RUNNING, started_at_us=1).duration_s is None
    assert [s.final for s in CheckState] == [False, False, True, True, True, True]
