"""How far a running suite is, against how past ones went: what was seen of each, and the foot of the checks view that shows it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from cockpit.domain.checks import CheckRun, CheckState, Suite, remaining_s
from ui.models.text import count_text, duration_text, percent_text, plain, plural
from ui.views.base import bar, button
from ui.views.check_runs import duration_bars, past_s
from ui.widgets.bars import Bar, DurationBars
from ui.widgets.chart_loader import ChartLoader
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.domain.facts import Fact
    from ui.widgets.time_chart import TimeChart

Points = list[tuple[float, float]]  # seconds since the suite began, share of its tests done

RUNS_KEPT = 60
POINTS_KEPT = 2_000
TOP = 125.0  # percent: there is room for the words beside its line, also where the chart is low
STEPS = 200  # of the chart's time
PAST = 12  # runs that say what is usual
GRID = tuple(i / 20 for i in range(21))
FOOT_PX = 100
FOOT_MOST_PX = 200


class Progress:
    """What was seen of running suites, poll by poll. Bounded; the oldest run leaves first."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Points] = {}

    def note(self, runs: Sequence[CheckRun], now_us: int) -> None:
        """Take in how far the running suites are; what has just ended gets its end."""
        for run in runs:
            for suite in run.suites:
                if suite.started_at_us and suite.total and (suite.state is CheckState.RUNNING or (run.id, suite.name) in self._seen):
                    self._add(run.id, suite, now_us)
        while len(self._seen) > RUNS_KEPT:
            del self._seen[next(iter(self._seen))]

    def _add(self, run_id: str, suite: Suite, now_us: int) -> None:
        points = self._seen.setdefault((run_id, suite.name), [(0.0, 0.0)])
        at_s = ((suite.finished_at_us or now_us) - suite.started_at_us) / 1e6
        share = min(1.0, suite.done / suite.total)
        if at_s <= points[-1][0] or (suite.finished_at_us and share == points[-1][1]):
            return
        if len(points) > 2 and share == points[-1][1] == points[-2][1]:
            points[-1] = (at_s, share)
        elif len(points) < POINTS_KEPT:
            points.append((at_s, share))

    def points(self, run_id: str, suite: str) -> Points:
        """What was seen of that suite, since it began."""
        return self._seen.get((run_id, suite), [])


def usual(runs: Sequence[CheckRun], full: dict[str, Fact[CheckRun]], seen: Progress, suite: str) -> Points:
    """The median time at which past suites of that name had done each twentieth of their tests; nothing where none ended.

    What was seen of a past run counts, else the durations of its tests in their order, else a straight line to its end.
    """
    past = [(r, s) for r in runs for s in r.suites if s.name == suite and s.state in (CheckState.PASSED, CheckState.FAILED)]
    curves = []
    for run, ended in past[:PAST]:
        if ended.duration_s is not None and ended.duration_s > 0:
            points = seen.points(run.id, suite)
            curves.append(points if len(points) > 4 else _from_tests(full.get(run.id), ended, ended.duration_s))
    if not curves:
        return []
    return [(statistics.median(_reached(points, share) for points in curves), share) for share in GRID]


def _from_tests(fact: Fact[CheckRun] | None, suite: Suite, duration_s: float) -> Points:
    found = next((s for s in fact.value.suites if s.name == suite.name), None) if fact is not None else None
    tests = found.tests if found is not None and len(found.tests) >= found.done > 0 else ()
    took = list(accumulate(max(0.0, t.duration_s) for t in tests))
    if not took or took[-1] <= 0:
        return [(0.0, 0.0), (duration_s, 1.0)]
    # what a suite needs before its first test and after its last is spread over all of them
    return [(0.0, 0.0), *((duration_s * at / took[-1], (i + 1) / len(took)) for i, at in enumerate(took))]


def _reached(points: Points, share: float) -> float:
    """When that share was reached, on straight lines between what is known."""
    before = points[0]
    for at in points[1:]:
        if at[1] >= share:
            rise = at[1] - before[1]
            return before[0] + (at[0] - before[0]) * (share - before[1]) / rise if rise > 0 else at[0]
        before = at
    return before[0]


class Shown(Struct, frozen=True):
    """What the foot is told: the run that is looked at, its suite ("" = none chosen), all runs, and now."""

    run: CheckRun | None
    suite: str
    runs: tuple[CheckRun, ...]
    full: dict[str, Fact[CheckRun]]
    now_us: int


class CheckFoot(QWidget):
    """Progress of the running suite live, or durations over versions; until a person chooses, what there is more to see in.

    `changed` asks to be told anew.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.seen = Progress()
        self.chart: TimeChart | None = None
        self._chosen: bool | None = None
        self.title = Text(role="muted", ink="muted", parent=self)
        self.turn_button = button("Progress", self, role="flat", checkable=True, tip="How far the running suite is, against past ones")
        self.bars = DurationBars("Durations over versions", self)
        self.waiting = Text(ink="muted", parent=self)
        self.stack = QStackedWidget(self)
        self.stack.addWidget(self.bars)
        self.stack.addWidget(self.waiting)
        self.stack.setMinimumHeight(max(FOOT_PX, self.bars.sizeHint().height()))
        self.stack.setMaximumHeight(FOOT_MOST_PX)
        self.loader = ChartLoader(self)
        self.loader.ready.connect(self._make)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        head = bar(self.title, self.turn_button)
        box.addLayout(head)
        box.addWidget(self.stack)
        self.turn_button.clicked.connect(self._turned)

    def _turned(self, on: bool) -> None:
        self._chosen = on
        self.changed.emit()

    def forget(self) -> None:
        """Another run: what a person chose was about the one before."""
        self._chosen = None

    def _make(self) -> None:
        from ui.widgets.time_chart import CurveSpec, TimeChart

        curves = (CurveSpec("done", "done", "running"), CurveSpec("usual", "usual", "muted", dashed=True))
        self.chart = TimeChart("Progress", curves, _percent, lambda v: f"{v:g} %", "1,000 %", self)
        self.chart.set_top(TOP)
        self.stack.addWidget(self.chart)
        self.changed.emit()

    def tell(self, shown: Shown) -> None:
        """Show this run's suite as of now."""
        suite = running(shown)
        on = self._chosen if self._chosen is not None else suite is not None and suite.state is CheckState.RUNNING
        self.turn_button.setChecked(on)
        if on:
            self._tell_progress(shown, suite)
        else:
            what = f"Duration of {plain(shown.suite, 60)}" if shown.suite else "Duration of the whole run"
            self.title.set_text(f"{what} over versions")
            self.stack.setCurrentWidget(self.bars)
        self.bars.set_bars(_bars(shown))

    def _tell_progress(self, shown: Shown, suite: Suite | None) -> None:
        if suite is None or shown.run is None or not suite.started_at_us or not suite.total:
            self.title.set_text("Progress")
            self.waiting.set_text(
                "No suite has begun to run its tests yet." if suite is None else f"{plain(suite.name, 60)} collects its tests."
            )
            self.stack.setCurrentWidget(self.waiting)
            return
        self.title.set_text(progress_words(suite, shown))
        if self.chart is None:
            self.loader.start()
            self.waiting.set_text("The chart is being loaded…")
            self.stack.setCurrentWidget(self.waiting)
            return
        self._draw(self.chart, shown, suite, shown.run.id)
        self.stack.setCurrentWidget(self.chart)

    def _draw(self, chart: TimeChart, shown: Shown, suite: Suite, run_id: str) -> None:
        began = suite.started_at_us / 1e6
        done = self.seen.points(run_id, suite.name) or [(0.0, 0.0)]
        past = usual([r for r in shown.runs if r.id != run_id], shown.full, self.seen, suite.name)
        last = max(done[-1][0], past[-1][0] if past else 0.0)
        # polls and tests come irregularly: in even steps no chart takes a long one for a gap
        times = sorted({done[-1][0], *(last * i / STEPS for i in range(STEPS + 1))})
        columns = {"done": _line(done, times), "usual": _line(past, times)}
        end_s = max(1.0, (past[-1][0] if past else 0.0) * 1.1, done[-1][0] * 1.05)
        chart.set_origin(began)
        chart.set_data([(began + at) * 1e6 for at in times], {n: [v * 100 for v in values] for n, values in columns.items()})
        chart.set_empty("Nothing of this suite was seen while it ran", "")
        chart.set_range(began, began + end_s)
        chart.show_cross(began + done[-1][0] if suite.state is CheckState.RUNNING else None)


def running(shown: Shown) -> Suite | None:
    """The suite whose progress is told: the chosen one, else the one that runs, else the last that began."""
    suites = shown.run.suites if shown.run is not None else ()
    chosen = next((s for s in suites if s.name == shown.suite), None)
    now = next((s for s in suites if s.state is CheckState.RUNNING), None)
    return chosen or now or next((s for s in reversed(suites) if s.started_at_us), None)


def progress_words(suite: Suite, shown: Shown) -> str:
    """integration: 15 of 21 tests, 71 %, about 12 s left (usually 31 s)."""
    past = past_s(shown.runs, suite.name)
    usually = f" (usually {duration_text(statistics.median(past))})" if past else ""
    share = _percent(100 * suite.done / suite.total)
    words = f"{plain(suite.name, 60)}: {count_text(suite.done)} of {plural(suite.total, 'test')}, {share}"
    if suite.state is not CheckState.RUNNING:
        return f"{words}, took {duration_text(suite.duration_s)}{usually}"
    left = remaining_s(suite, past, shown.now_us)
    rest = "remaining time not known" if left is None else "longer than usual" if left <= 0 else f"about {duration_text(left)} left"
    return f"{words}, {rest}{usually}"


def _percent(value: float | None) -> str:
    return percent_text(None) if value is None or not math.isfinite(value) else f"{math.floor(value + 1e-9)} %"


def _line(points: Points, times: Sequence[float]) -> list[float]:
    """The values of straight lines through the points at these times; nothing beyond them."""
    values, number = [], 0
    for at in times:
        while number + 1 < len(points) and points[number + 1][0] <= at:
            number += 1
        if not points or at > points[-1][0]:
            values.append(float("nan"))
            continue
        (left, low), (right, high) = points[number], points[min(number + 1, len(points) - 1)]
        values.append(low + (high - low) * (at - left) / (right - left) if right > left else low)
    return values


def _bars(shown: Shown) -> list[Bar]:
    return duration_bars(shown.runs, shown.suite, shown.run.id if shown.run else "")
