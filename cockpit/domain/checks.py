"""Test suites and their results, as a CI system reports them. Missing data is never passed and never failed."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class CheckState(StrEnum):
    """PENDING: not started. ERROR: the suite itself broke. INCONCLUSIVE: ended without an answer (stopped, no tests)."""

    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"

    @property
    def final(self) -> bool:
        return self not in (CheckState.PENDING, CheckState.RUNNING)


class TestResult(Struct, frozen=True, gc=False):
    """One test: outcome is passed, failed, error, skipped or running; `message` is the test's own words (untrusted)."""

    name: str
    outcome: str
    duration_s: float = 0.0
    message: str = ""


class Suite(Struct, frozen=True, gc=False):
    """One suite of a run. `total` is 0 until the tests are collected."""

    name: str
    state: CheckState
    total: int = 0
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    started_at_us: int = 0
    finished_at_us: int = 0
    tests: tuple[TestResult, ...] = ()

    @property
    def done(self) -> int:
        return self.passed + self.failed + self.errors + self.skipped

    @property
    def duration_s(self) -> float | None:
        if not self.finished_at_us or not self.started_at_us:
            return None
        return (self.finished_at_us - self.started_at_us) / 1e6


class CheckRun(Struct, frozen=True, gc=False):
    """One run of all suites for one version of a service."""

    id: str
    service: str
    version: str
    commit: str
    state: CheckState
    suites: tuple[Suite, ...] = ()
    started_at_us: int = 0
    finished_at_us: int = 0
    url: str = ""

    @property
    def failures(self) -> tuple[tuple[str, TestResult], ...]:
        """(suite name, test) of every failed or broken test."""
        return tuple((s.name, t) for s in self.suites for t in s.tests if t.outcome in ("failed", "error"))


class Summary(Struct, frozen=True, gc=False):
    """The one answer for a version: its state, which required suites are missing or bad, and in words why."""

    state: CheckState
    reasons: tuple[str, ...] = ()
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    total: int = 0


_WORST = (CheckState.FAILED, CheckState.ERROR, CheckState.INCONCLUSIVE, CheckState.RUNNING, CheckState.PENDING, CheckState.PASSED)


def latest_run(runs: tuple[CheckRun, ...], commit: str) -> CheckRun | None:
    """The newest run of that commit, or None."""
    mine = [r for r in runs if r.commit == commit]
    return max(mine, key=lambda r: (r.started_at_us, r.id), default=None)


def summarise(run: CheckRun | None, required: tuple[str, ...]) -> Summary:
    """Judge one run against the required suites. No run, or a required suite that is absent, is PENDING: CI may not have begun."""
    if run is None:
        return Summary(CheckState.PENDING, ("no test run is known for this commit",))
    by_name = {s.name: s for s in run.suites}
    states = [s.state for s in run.suites] if not required else []
    reasons = []
    for name in required:
        suite = by_name.get(name)
        state = CheckState.PENDING if suite is None else suite.state
        states.append(state)
        if state is not CheckState.PASSED:
            reasons.append(f"{name}: {state}" if suite is not None else f"{name}: not started")
    if not required and run.state is not CheckState.PASSED:
        reasons.append(f"run {run.id}: {run.state}")
    worst = next((s for s in _WORST if s in (states or [run.state])), run.state)
    if worst is CheckState.PASSED and run.state in (CheckState.FAILED, CheckState.ERROR):
        worst = run.state
        reasons.append(f"run {run.id}: {run.state}")
    return Summary(
        worst,
        tuple(reasons),
        passed=sum(s.passed for s in run.suites),
        failed=sum(s.failed for s in run.suites),
        errors=sum(s.errors for s in run.suites),
        skipped=sum(s.skipped for s in run.suites),
        total=sum(max(s.total, s.done) for s in run.suites),
    )


def p90(durations_s: tuple[float, ...]) -> float | None:
    """The 90th percentile (nearest rank) of past durations; None without any."""
    if not durations_s:
        return None
    ordered = sorted(durations_s)
    return ordered[-(-9 * len(ordered) // 10) - 1]


def remaining_s(suite: Suite, past_s: tuple[float, ...], now_us: int) -> float | None:
    """Seconds a running suite still needs by the 90th percentile of past durations; None when nothing is known."""
    expected = p90(past_s)
    if expected is None or suite.state is not CheckState.RUNNING or not suite.started_at_us:
        return None
    return max(0.0, expected - (now_us - suite.started_at_us) / 1e6)
