"""Which test run to show, what is left of it, and how long past ones took: pure questions of the checks view."""

from __future__ import annotations

from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult, p90, remaining_s
from cockpit.domain.facts import Fact
from cockpit.services import status
from cockpit.services.store import AppState
from ui.models.columns import SuiteRow, TestRow, outcome_order
from ui.widgets.bars import Bar

BARS = 12


def runs_of(state: AppState, service: str) -> tuple[CheckRun, ...]:
    """All known runs of a service, newest first."""
    fact = state.checks.get(service)
    return tuple(sorted(fact.value, key=lambda r: (r.started_at_us, r.id), reverse=True)) if fact else ()


def wanted_version(state: AppState, service: str, environment: str, chosen: str) -> str:
    """The version whose run comes first: the chosen one, else the newest pending one, else the live one."""
    if chosen:
        return chosen
    waiting = status.pending_versions(state, service, environment)
    return waiting[0].name if waiting else status.live_name(state, service, environment) or ""


def offered(runs: tuple[CheckRun, ...], version: str) -> tuple[CheckRun, ...]:
    """Runs in the order in which they are offered: those of `version` first."""
    return tuple(r for r in runs if r.version == version) + tuple(r for r in runs if r.version != version)


def detailed(state: AppState, run: CheckRun) -> CheckRun:
    """The run with all its tests where they have been loaded and belong to the same state of it."""
    fact: Fact[CheckRun] | None = state.runs.get(run.id)
    if fact is None or fact.value.state != run.state:
        return run
    known = sum(len(s.tests) for s in run.suites)
    return fact.value if sum(len(s.tests) for s in fact.value.suites) >= known and run.state.final else run


def past_s(runs: tuple[CheckRun, ...], suite: str) -> tuple[float, ...]:
    """Durations of suites of that name that came to an end by themselves, newest first."""
    done = (s for r in runs for s in r.suites if s.name == suite and s.state in (CheckState.PASSED, CheckState.FAILED))
    return tuple(s.duration_s for s in done if s.duration_s is not None)


def suite_rows(run: CheckRun, runs: tuple[CheckRun, ...], now_us: int) -> list[SuiteRow]:
    """The suites with what is left of each."""
    return [SuiteRow(s, remaining_s(s, past_s(runs, s.name), now_us)) for s in run.suites]


def whole_remaining(run: CheckRun, runs: tuple[CheckRun, ...], now_us: int) -> tuple[float | None, float | None]:
    """(seconds left, share done 0..1) of a run under way, suites after each other; None where nothing is known to say it from."""
    left = spent = 0.0
    for suite in run.suites:
        spent += _spent_s(suite, now_us)
        if suite.state.final:
            continue
        expected = p90(past_s(runs, suite.name))
        if expected is None:
            return None, None
        left += max(0.0, expected - _spent_s(suite, now_us))
    return left, spent / (spent + left) if spent + left > 0 else None


def _spent_s(suite: Suite, now_us: int) -> float:
    if not suite.started_at_us:
        return 0.0
    return max(0.0, ((suite.finished_at_us or now_us) - suite.started_at_us) / 1e6)


def test_rows(run: CheckRun, suite: str) -> list[TestRow]:
    """The tests of one suite ("" = of all), failures first, then what runs, the slowest of the rest first."""
    rows = [TestRow(s.name, t) for s in run.suites if suite in ("", s.name) for t in s.tests]
    return sorted(rows, key=lambda r: (outcome_order(r.test.outcome), -_weight(r.test)))


test_rows.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def _weight(test: TestResult) -> float:
    return test.duration_s if test.outcome == "passed" else 0.0


def duration_bars(runs: tuple[CheckRun, ...], suite: str, current: str) -> list[Bar]:
    """The newest finished run of each version (of one suite, or whole runs for ""), oldest first."""
    newest: dict[str, Bar] = {}
    for run in runs:
        if run.version in newest:
            continue
        if suite:
            found = next((s for s in run.suites if s.name == suite), None)
            seconds, state = (found.duration_s, found.state) if found else (None, run.state)
        else:
            seconds = (run.finished_at_us - run.started_at_us) / 1e6 if run.finished_at_us and run.started_at_us else None
            state = run.state
        if seconds is not None:
            # milliseconds: what nobody can see must not be painted again
            newest[run.version] = Bar(run.version, round(seconds, 3), str(state), run.id == current)
    return list(reversed(tuple(newest.values())[:BARS]))
