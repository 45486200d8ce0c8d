"""What is measured of versions: durations of tests, benchmark results, outcomes over runs, and where they became worse."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.changepoints import ChangePoint
from cockpit.domain.checks import CheckRun, CheckState
from cockpit.domain.statements import Statement

MOST_TESTS = 2_000  # kept of one run: failures first, then the slowest
NEAR = 2  # runs by which a change may be found earlier or later as more is measured
_ENDED = (CheckState.PASSED, CheckState.FAILED)


class Measured(Struct, frozen=True, gc=False):
    """One benchmark value; `better` is "lower" or "higher". `version`: whose it is, where the file tells."""

    name: str
    value: float
    unit: str = ""
    better: str = "lower"
    version: str = ""


class RecordedTest(Struct, frozen=True, gc=False, array_like=True):
    """One test of a run that ended; outcome as in TestResult."""

    name: str
    outcome: str
    duration_s: float


class RecordedSuite(Struct, frozen=True, gc=False, array_like=True):
    """One suite that ended. `whole`: all its tests were told (the slowest are kept), not the failed ones alone.

    `bad`: how many failed or broke.
    """

    name: str
    state: str
    duration_s: float | None
    passed: int
    bad: int
    whole: bool
    tests: tuple[RecordedTest, ...] = ()


class Recorded(Struct, frozen=True, gc=False):
    """What is kept of one run, or of one file of benchmark results (`id` begins with "file:", no suites)."""

    id: str
    service: str
    version: str
    commit: str
    at_us: int
    state: str = ""
    duration_s: float | None = None
    suites: tuple[RecordedSuite, ...] = ()
    measured: tuple[Measured, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every test of it is known."""
        return all(s.whole for s in self.suites)


class Mark(Struct, frozen=True, gc=False):
    """One run over time: how it ended, and the share of its tests that passed (None where none ran)."""

    run: str
    version: str
    at_us: int
    state: str
    passed: float | None
    duration_s: float | None


class Line(Struct, frozen=True, gc=False):
    """One measure over runs, oldest first: `key` is kind:name, kind is run, suite, test or benchmark. Lists are equally long.

    `growth`: the newest level against the oldest, -0.1 is a tenth less; None where too little is known.
    """

    key: str
    kind: str
    name: str
    unit: str
    better: str
    versions: tuple[str, ...]
    at_us: tuple[int, ...]
    values: tuple[float, ...]
    changes: tuple[ChangePoint, ...] = ()
    growth: float | None = None


class Regression(Struct, frozen=True, gc=False):
    """A level that became worse and still is, in one step or several. `index`, `last`: the newest step's run and version.

    `version`, `at_us`, `before`: of the first step; `change`: after / before - 1; `p`: of the step that is least certain.
    """

    key: str
    name: str
    unit: str
    version: str
    index: int
    at_us: int
    before: float
    after: float
    change: float
    p: float
    last: str


class Flaky(Struct, frozen=True, gc=False):
    """A test that passes and fails without a reason in sight. `flips` of `pairs` neighbouring runs; `same` of those flips on one commit."""

    suite: str
    name: str
    runs: int
    failed: int
    flips: int
    pairs: int
    same: int
    version: str
    at_us: int

    @property
    def rate(self) -> float:
        """The share of neighbouring runs between which it flipped, 0 to 1."""
        return self.flips / self.pairs if self.pairs else 0.0


class Trends(Struct, frozen=True):
    """All of it for one service; marks oldest first, flaky tests by their rate."""

    marks: tuple[Mark, ...] = ()
    lines: tuple[Line, ...] = ()
    flaky: tuple[Flaky, ...] = ()


class Acknowledged(Struct, frozen=True, gc=False):
    """A person's word that a regression is known: about one measure since one version, until `until_us`."""

    service: str
    key: str
    version: str
    who: str
    reason: str
    at_us: int
    until_us: int
    id: str


def recorded(run: CheckRun) -> Recorded:
    """What is kept of a run that ended."""
    room, suites = MOST_TESTS, []
    for suite in run.suites:
        ordered = sorted(suite.tests, key=lambda t: (t.outcome in ("passed", "skipped"), -t.duration_s))[:room]
        room -= len(ordered)
        tests = tuple(RecordedTest(t.name, t.outcome, t.duration_s) for t in ordered)
        whole = len(suite.tests) >= suite.done
        bad = suite.failed + suite.errors
        suites.append(RecordedSuite(suite.name, str(suite.state), suite.duration_s, suite.passed, bad, whole, tests))
    took = (run.finished_at_us - run.started_at_us) / 1e6 if run.finished_at_us and run.started_at_us else None
    at_us = run.started_at_us or run.finished_at_us
    return Recorded(run.id, run.service, run.version, run.commit, at_us, str(run.state), took, tuple(suites))


def marks(runs: Iterable[Recorded]) -> tuple[Mark, ...]:
    """Each test run, in the order of `runs`."""
    found = []
    for run in runs:
        if run.measured and not run.suites:
            continue
        ran = sum(s.passed + s.bad for s in run.suites)
        share = sum(s.passed for s in run.suites) / ran if ran else None
        found.append(Mark(run.id, run.version, run.at_us, run.state, share, run.duration_s))
    return tuple(found)


def lines(runs: Iterable[Recorded]) -> tuple[Line, ...]:
    """Every measure of the runs (oldest first), without changes yet. What failed has no duration: it may have ended early."""
    points: dict[str, list[tuple[str, int, float]]] = {}
    about: dict[str, tuple[str, str, str, str]] = {}

    def put(kind: str, name: str, unit: str, better: str, run: Recorded, value: float) -> None:
        key = f"{kind}:{name}"
        about[key] = (kind, name, unit, better)
        points.setdefault(key, []).append((run.version, run.at_us, value))

    for run in runs:
        if run.duration_s is not None and run.state in _ENDED:
            put("run", "whole run", "s", "lower", run, run.duration_s)
        for suite in run.suites:
            if suite.duration_s is not None and suite.state in _ENDED:
                put("suite", suite.name, "s", "lower", run, suite.duration_s)
            for test in suite.tests:
                if test.outcome == "passed" and test.duration_s > 0:
                    put("test", f"{suite.name}/{test.name}", "s", "lower", run, test.duration_s)
        for m in run.measured:
            put("benchmark", m.name, m.unit, m.better, run, m.value)
    return tuple(
        Line(key, *about[key], tuple(v for v, _, _ in every), tuple(at for _, at, _ in every), tuple(x for _, _, x in every))
        for key, every in points.items()
    )


def worse(line: Line, change: float) -> bool:
    """Whether a relative change of that line is for the worse."""
    return change > 0 if line.better == "lower" else change < 0


def regressions(line: Line, least: float) -> tuple[Regression, ...]:
    """Levels that became worse by `least` (0.05 is a twentieth) and are not made good since, oldest first."""
    if not line.changes:
        return ()
    now, found = line.changes[-1].after, []
    for c in line.changes:
        left = now / c.before - 1.0 if c.before else c.change
        if worse(line, c.change) and abs(c.change) >= least and worse(line, left) and abs(left) >= least:
            at = (line.versions[c.index], c.index, line.at_us[c.index])
            found.append(Regression(line.key, line.name, line.unit, *at, c.before, c.after, c.change, c.p, at[0]))
    return tuple(found)


def joined(steps: tuple[Regression, ...]) -> Regression:
    """Steps of one line (oldest first, at least one) as what they came to."""
    first, last = steps[0], steps[-1]
    change = last.after / first.before - 1.0 if first.before else last.change
    p = max(step.p for step in steps)
    return replace(last, version=first.version, at_us=first.at_us, before=first.before, change=change, p=p)


def flaky(runs: Iterable[Recorded], least_flips: int = 3) -> tuple[Flaky, ...]:
    """Tests whose outcome flipped on one commit, or `least_flips` times over runs (oldest first); the highest rate first.

    Where a run lists its failures alone, a test that is not among them passed, if the suite ended and lists as many as it counts.
    """
    every = tuple(runs)
    suspects = {(s.name, t.name): None for r in every for s in r.suites for t in s.tests if t.outcome in ("failed", "error")}
    tables = [(run, {s.name: (s, {t.name: t.outcome for t in s.tests}) for s in run.suites}) for run in every]
    found = []
    for suite, name in suspects:
        seen = []
        for run, table in tables:
            outcome = _outcome(table.get(suite), name)
            if outcome is not None:
                seen.append((run, outcome))
        flips = [a[0].commit == b[0].commit for a, b in pairwise(seen) if a[1] != b[1]]
        if any(flips) or len(flips) >= least_flips:
            failed = [run for run, good in seen if not good]
            counts = (len(seen), len(failed), len(flips), len(seen) - 1, sum(flips))
            found.append(Flaky(suite, name, *counts, failed[-1].version, failed[-1].at_us))
    return tuple(sorted(found, key=lambda f: (-f.rate, -f.failed, f.suite, f.name)))


def _outcome(known: tuple[RecordedSuite, dict[str, str]] | None, name: str) -> bool | None:
    """Whether the test passed in that suite's run; None where that is not known."""
    if known is None:
        return None
    suite, outcomes = known
    told = outcomes.get(name)
    if told is not None:
        return {"passed": True, "failed": False, "error": False}.get(told)
    listed = sum(outcome in ("failed", "error") for outcome in outcomes.values())
    return True if not suite.whole and suite.state in _ENDED and listed >= suite.bad else None


def acknowledged(statements: tuple[Statement, ...]) -> tuple[Acknowledged, ...]:
    """What people said is known, newest first, what is past its end too; not what was ended."""
    ended = {s.about for s in statements if s.kind == "end" and not s.why_not and s.about}
    words = (s for s in statements if s.kind == "acknowledge" and not s.why_not and s.who and s.id not in ended)
    found = [Acknowledged(s.service, s.about, s.version, s.who, s.reason, s.at_us, s.until_us, s.id) for s in words]
    return tuple(sorted(found, key=lambda a: (a.at_us, a.id), reverse=True))


def covers(word: Acknowledged, step: Regression, line: Line) -> bool:
    """Whether that word is about this step: it covers what its measure had become with its version; what comes later is new."""
    if word.key != step.key or word.version not in line.versions:
        return False
    newest = len(line.versions) - 1 - line.versions[::-1].index(word.version)
    return step.index <= newest + NEAR


def regression_words(r: Regression) -> str:
    """Such as "suite unit +31 % since 1.7.0 (14.2 s to 18.6 s)"."""
    unit = f" {r.unit}" if r.unit else ""
    kind = r.key.partition(":")[0]
    name = r.name if kind == "run" else f"{kind} {r.name}"
    return f"{name} {change_words(r.change)} since {r.version} ({r.before:.3g}{unit} to {r.after:.3g}{unit})"


def change_words(change: float | None) -> str:
    """+31 %, x 2.4 from a doubling on, -12 %."""
    if change is None:
        return "–"
    if change == float("inf"):
        return "from 0"
    return f"x {change + 1:.1f}" if change >= 1 else f"{change * 100:+.0f} %"
