"""Keeps what test runs and benchmarks measured over versions, finds what became worse, and says so until a person says it is known."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.changepoints import MIN_SIZE, P_MAX, change_points
from cockpit.domain.checks import CheckRun
from cockpit.domain.measures import (
    Acknowledged,
    Line,
    Recorded,
    Regression,
    Trends,
    acknowledged,
    covers,
    flaky,
    joined,
    lines,
    marks,
    recorded,
    regression_words,
    regressions,
)
from cockpit.domain.statements import Statement
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import MainThread, Outcome, Runner
from cockpit.services.store import AppState, Change, Store
from cockpit.storage.measures import Measures

LANE: Final = "measures"
RUNS: Final = 200  # looked at; what lies before is how it always was
LEAST: Final = 0.05  # relative change from which a level counts as another one
TESTS: Final = 200  # the slowest; a test that takes no time cannot cost any
LEAST_TEST_S: Final = 0.02
BENCHMARKS: Final = 500
LOOK_S: Final = 30.0  # how late the end of an acknowledgement may be heard
NAMED: Final = 3
_EDGE: Final = 5  # values that make the level at either end of a line
ENOUGH: Final = 2 * MIN_SIZE  # values of a line from which a change can be seen
_FAMILY: Final = 20  # lines that share the significance of one: of many tests some would stand out by chance alone
_PAUSE_S: Final = 0.001  # between lines: the window's thread must not wait for a hundred of them


class Standing(Struct, frozen=True):
    """What became of one line and is not made good: its new steps, or all where each is known.

    `word`: who said that it is known, if anybody did; `loud`: nobody did, or it is over.
    """

    regression: Regression
    word: Acknowledged | None
    loud: bool


def standing(trends: Trends, statements: tuple[Statement, ...], service: str, now_us: int) -> tuple[Standing, ...]:
    """What became worse and still is: loud ones first, then the largest."""
    words = tuple(w for w in acknowledged(statements) if w.service == service)
    found = []
    for line in trends.lines:
        steps = regressions(line, LEAST)
        if steps:
            said = [[w for w in words if covers(w, step, line)] for step in steps]
            new = tuple(step for step, answers in zip(steps, said, strict=True) if all(now_us >= w.until_us for w in answers))
            # the newest word on the newest step that is shown; one that holds stands before one that is over
            answers = said[steps.index(new[-1])] if new else [w for w in said[-1] if now_us < w.until_us]
            found.append(Standing(joined(new or steps), next(iter(answers), None), bool(new)))
    return tuple(sorted(found, key=lambda s: (not s.loud, -abs(s.regression.change), s.regression.key)))


def longest(trends: Trends) -> int:
    """How many values the longest line has: below ENOUGH nobody can say what became worse."""
    return max((len(line.values) for line in trends.lines), default=0)


def of_service(state: AppState, service: str, now_us: int) -> tuple[Standing, ...]:
    """`standing` of what the state knows."""
    trends: Trends | None = state.trends.get(service)
    return standing(trends, state.statements, service, now_us) if trends is not None else ()


def analysed(runs: tuple[Recorded, ...]) -> Trends:
    """Lines with their changes, flaky tests, how runs ended; `runs` oldest first. Loads numpy where anything is long enough; blocks."""
    chosen = _chosen(lines(runs))
    family = max(1.0, len(chosen) / _FAMILY)
    done = []
    for line in chosen:
        changes = change_points(line.values, p_max=P_MAX / family, min_change=LEAST)
        done.append(replace(line, changes=changes, growth=_growth(line)))
        time.sleep(_PAUSE_S)
    return Trends(marks(runs), tuple(done), flaky(runs))


def _chosen(every: Iterable[Line]) -> tuple[Line, ...]:
    """What is worth a look: whole runs, suites, benchmarks, and the slowest tests."""
    kinds: dict[str, list[Line]] = {}
    for line in every:
        kinds.setdefault(line.kind, []).append(line)
    tests = [line for line in kinds.get("test", []) if _now(line) >= LEAST_TEST_S]
    tests.sort(key=_now, reverse=True)
    return (*kinds.get("run", ()), *kinds.get("suite", ()), *kinds.get("benchmark", ())[:BENCHMARKS], *tests[:TESTS])


def _now(line: Line) -> float:
    return statistics.median(line.values[-_EDGE:])


def _growth(line: Line) -> float | None:
    """The newest level against the oldest; None where the two would share values."""
    if len(line.values) < 2 * _EDGE:
        return None
    first = statistics.median(line.values[:_EDGE])
    return _now(line) / first - 1.0 if first else None


class Regressions:
    """Main thread only; reads, writes and computes in the background. Nothing happens before `begin`.

    Set from outside: `read_only` (then nothing is kept), `load_run` (asks for all tests of a run, which land in `state.runs`).
    """

    def __init__(
        self, store: Store, runner: Runner, main: MainThread, measures: Measures | None, notices: Notices, clock_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._runner = runner
        self._main = main
        self._measures = measures
        self._notices = notices
        self._clock_us = clock_us
        self.read_only = ""
        self.load_run: Callable[[str], None] = lambda run_id: None
        self._known: dict[str, dict[str, bool]] = {}  # by service: runs that are kept, and whether whole
        self._under_way: Counter[str] = Counter()
        self._again: set[str] = set()
        self._seen: dict[str, dict[str, CheckRun]] = {}  # by service: runs as they were last looked at
        self._asked: set[str] = set()
        self._told: dict[str, frozenset[tuple[str, str]]] = {}  # by service: lines, and with which version
        self._ends: list[Callable[[], None]] = []

    @property
    def busy(self) -> bool:
        """Whether anything is being read or computed."""
        return self._under_way.total() > 0

    def begin(self) -> None:
        """Read what is kept, and keep what comes from now on. A second call changes nothing."""
        if self._ends or self._measures is None:
            return
        self._ends = [self._store.subscribe(self._heard), self._main.call_later(LOOK_S, self._tick)]
        for service in self._store.state.services:
            self._read(service.name)

    def close(self) -> None:
        """Hear nothing any more."""
        for end in self._ends:
            end()
        self._ends = []
        self._measures = None

    def bring(self, every: tuple[Recorded, ...], done: Callable[[Outcome[int]], None]) -> None:
        """Keep measurements from elsewhere; `done` gets how many files of results or runs were new."""
        measures = self._measures
        if measures is None or self.read_only:
            from cockpit.domain.errors import NotAllowed

            done(Outcome(error=NotAllowed(self.read_only or "This window only reads.", title="Read-only")))
            return

        def work() -> int:
            known = {(s, run) for s in {r.service for r in every} for run in measures.known(s)}
            measures.add(every)
            return len({(r.service, r.id) for r in every} - known)

        def kept(outcome: Outcome[int]) -> None:
            for service in {r.service for r in every} if outcome.error is None and self._ends else ():
                self._read(service)
            done(outcome)

        self._runner.submit(LANE, work, kept)

    # -- what comes ----------------------------------------------------------------------------------------------------------

    def _heard(self, change: Change) -> None:
        if change.touches("services"):
            for service in self._store.state.services:
                if service.name not in self._known:
                    self._read(service.name)
        if change.touches("checks", "runs"):
            named = change.ids & self._known.keys() if change.touches("checks") else self._known.keys()
            for name in list(named or self._known):
                self._note(name)
        if change.touches("statements", "trends"):
            self._look()

    def _note(self, service: str) -> None:
        """Keep the runs of this service that ended and are not kept yet, or not whole."""
        fact, known = self._store.state.checks.get(service), self._known.get(service)
        if fact is None or known is None or self.read_only:
            return
        ended = [self._best(run) for run in fact.value if run.state.final]
        seen, self._seen[service] = self._seen.get(service, {}), {run.id: run for run in ended}
        # an answer brings the same runs again and again: what was looked at and is the same object costs nothing
        fresh = [run for run in ended if not known.get(run.id) and not (run.id in known and seen.get(run.id) is run)]
        news = [one for run in fresh if (one := recorded(run)).whole or run.id not in known]
        newest = max(ended, key=lambda r: (r.started_at_us, r.id), default=None)
        if newest is not None and not known.get(newest.id) and newest.id not in self._asked and not recorded(newest).whole:
            # the list of runs has failures alone; what each test took is worth one more question, once
            self._asked.add(newest.id)
            self.load_run(newest.id)
        if news:
            known.update((one.id, one.whole) for one in news)
            self._read(service, tuple(news))

    def _best(self, run: CheckRun) -> CheckRun:
        fact = self._store.state.runs.get(run.id)
        return fact.value if fact is not None and fact.value.state == run.state else run

    def _read(self, service: str, news: tuple[Recorded, ...] = ()) -> None:
        """Keep `news`, read all and look at it anew; while that is under way once more after it."""
        measures = self._measures
        if measures is None:
            return
        if self._under_way[service] and not news:
            self._again.add(service)
            return
        self._under_way[service] += 1

        def work() -> tuple[dict[str, bool], Trends]:
            if news:
                measures.add(news)
            return measures.known(service), analysed(measures.read(service, RUNS))

        self._runner.submit(LANE, work, partial(self._looked, service))

    def _looked(self, service: str, outcome: Outcome[tuple[dict[str, bool], Trends]]) -> None:
        self._under_way[service] -= 1
        if outcome.error is not None or outcome.value is None:
            if outcome.error is not None and not self._notices.told(LANE):
                self._notices.error(outcome.error, key=LANE, place="checks")
            return
        self._notices.over(LANE)
        known, trends = outcome.value
        self._known[service] = known
        self._store.merge("trends", {service: trends})
        if service in self._again:
            self._again.discard(service)
            self._read(service)
        self._note(service)

    # -- what is said --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._ends:
            self._ends[1] = self._main.call_later(LOOK_S, self._tick)
            self._look()

    def _look(self) -> None:
        """Say what is new among the loud ones, a notice a service; it is over where all is made good or known."""
        state, now_us = self._store.state, self._clock_us()
        for service in state.trends:
            loud = tuple(s.regression for s in of_service(state, service, now_us) if s.loud)
            ids = frozenset((r.key, r.last) for r in loud)
            before = self._told.get(service, frozenset())
            self._told[service] = ids
            key = f"regression:{service}"
            if ids - before:
                words = "; ".join(regression_words(r) for r in loud[:NAMED])
                more = f"; and {len(loud) - NAMED} more" if len(loud) > NAMED else ""
                count = len(loud)
                title = f"{service}: {count} {'measure' if count == 1 else 'measures'} became worse"
                hint = "Checks, Trends shows it; acknowledge what is known, with a reason and an end."
                self._notices.tell(Severity.WARNING, title, f"{words}{more}.", hint=hint, key=key, place="checks")
            elif before and not ids:
                self._notices.over(key)
