"""What the pages of the latency view share, and the first of them: quantiles, errors and throughput over time.

Imports the charts: only when the chart library is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QBoxLayout, QWidget

from cockpit.domain.facts import place
from ui.bridge import turns_here
from ui.models.text import ms_text, percent_text, plain, rate_text
from ui.views.latency_feed import LatencyFeed
from ui.widgets.chart_marks import Mark, Span
from ui.widgets.chart_math import time_label
from ui.widgets.time_chart import CurveSpec, TimeChart

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.metrics import Band
    from cockpit.services.pairs import Pair

ALL = "*"
UNSAID = 0.05  # of a window may lie before the first sample without a word
NO_SAMPLES = "Of a single node the samples of all operations are kept together: choose all operations, or all nodes."
NONE_YET = "No samples yet: they are kept for a day, as they come."
KEPT = "They are kept for a day; while no window is open, none come."
QUANTILES = (("p50_ms", "p50", "p50"), ("p90_ms", "p90", "p90"), ("p99_ms", "p99", "p99"), ("p999_ms", "p99.9", "p999"))


class Scope(Struct, frozen=True):
    """What is to be shown: a series, a window in seconds UTC, and what goes along with it."""

    service: str
    environment: str
    node: str
    operation: str
    start_s: float
    end_s: float
    now_us: int
    follow: bool = True
    log: bool = False
    heat: bool = False
    stale: str = ""
    band: Band | None = None
    pair: Pair | None = None
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()
    empty: tuple[str, str] = ("Nothing was measured in this window", "")

    @property
    def series(self) -> str:
        """The name of the series."""
        return f"{place(self.service, self.environment)}/{self.node}/{self.operation}"


class LatencyPage(QWidget):
    """One way to look at it. `moved`: a person panned or zoomed (seconds UTC of the candidate); `said`: what became of a copy or file."""

    moved = Signal(float, float)
    follow_wanted = Signal()
    said = Signal(str)
    timed = True  # whether one pans, zooms and follows here

    def __init__(self, cockpit: Cockpit, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cockpit = cockpit
        self.charts: tuple[TimeChart, ...] = ()
        self.feeds: tuple[LatencyFeed, ...] = ()
        self.shifts: tuple[float, ...] = ()  # of each chart: its times less those of the first
        self._changed = changed
        self._drawn: tuple[object, ...] = ()
        self._waiting: dict[int, Callable[[], None]] = {}
        self.box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self.box.setContentsMargins(0, 0, 0, 0)
        self.box.setSpacing(4)

    @property
    def loading(self) -> bool:
        """Whether history is being read."""
        return any(feed.loading for feed in self.feeds)

    @property
    def problem(self) -> Exception | None:
        """Why history could not be read."""
        return next((feed.problem for feed in self.feeds if feed.problem is not None), None) or self.cockpit.latency.heats.problem

    def draw(self, scope: Scope) -> None:
        """Show this."""
        raise NotImplementedError

    def feed(self) -> LatencyFeed:
        """Another feed, which tells of its answers."""
        return LatencyFeed(self.cockpit.latency, self._changed)

    def join(self, charts: Sequence[TimeChart]) -> None:
        """These charts have one crosshair and move together."""
        self.charts, self.shifts = tuple(charts), (0.0,) * len(charts)
        for number, chart in enumerate(charts):
            chart.moved.connect(partial(self._chart_moved, number))
            chart.hovered.connect(partial(self._hovered, number))
            chart.follow_wanted.connect(self.follow_wanted)
            chart.said.connect(self.said)

    def take_turns(self, steps: Sequence[Callable[[], None]], scope: Scope) -> None:
        """Do these, what goes on by itself one a turn; at once where a person changed what is seen."""
        looks = (scope.series, scope.end_s - scope.start_s, scope.heat, scope.log, scope.stale, scope.marks, len(steps))
        before, self._drawn = self._drawn, looks
        # those that were not drawn yet keep their place
        self._waiting = {number: steps[number] for number in self._waiting if number < len(steps)} | dict(enumerate(steps))
        if scope.follow and before == looks:
            turns_here().soon(self._draw_next)
            return
        while self._waiting:
            self._draw_next()

    def _draw_next(self) -> None:
        if self._waiting:
            self._waiting.pop(next(iter(self._waiting)))()
        if self._waiting:
            turns_here().soon(self._draw_next)

    def _hovered(self, number: int, at_s: float | None) -> None:
        for chart, shift in zip(self.charts, self.shifts, strict=True):
            chart.show_cross(None if at_s is None else at_s - self.shifts[number] + shift)

    def _chart_moved(self, number: int, start_s: float, end_s: float) -> None:
        self.moved.emit(start_s - self.shifts[number], end_s - self.shifts[number])

    def read(self, feed: LatencyFeed, series: str, window: tuple[float, float]) -> tuple[Any, Any]:
        """What is known of a series in a window and a little around it; asks history where that is needed."""
        start_us, end_us = int(window[0] * 1e6), int(window[1] * 1e6)
        margin = (end_us - start_us) // 20
        feed.choose(series)
        feed.want(start_us, end_us)
        return feed.columns(start_us - margin, end_us + margin)


def quantile_chart(
    title: str, parent: QWidget, *, dashed: bool = False, names: Sequence[str] = ("p50", "p90", "p99", "p99.9")
) -> TimeChart:
    """Quantiles in milliseconds; the baseline's are dashed."""
    curves = [CurveSpec(*q, dashed) for q in QUANTILES if q[1] in names]
    return TimeChart(title, curves, ms_text, lambda v: f"{v:g} ms", "1,234 ms", parent)


def level(charts: Sequence[TimeChart], windows: Sequence[tuple[float, float]], log: bool) -> None:
    """Give charts beside each other one vertical axis: the extremes of all of them."""
    found = [c.data.extremes(*window, log) for c, window in zip(charts, windows, strict=True)]
    least, greatest = min((low for low, _ in found), default=math.inf), max((high for _, high in found), default=0.0)
    for chart in charts:
        chart.set_reach(least, greatest)


class TimePage(LatencyPage):
    """Three charts with one time axis and one crosshair; the first of them as a heat map of all samples too."""

    def __init__(self, cockpit: Cockpit, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(cockpit, changed, parent)
        failed, requests = CurveSpec("error_ratio", "of requests", "bad"), CurveSpec("rate_per_s", "requests", "running")
        quantiles = quantile_chart("Latency", self)
        errors = TimeChart("Errors", (failed,), percent_text, lambda v: f"{v * 100:g} %", "99.99 %", self)
        rate = TimeChart("Throughput", (requests,), rate_text, lambda v: f"{v:,g} /s", "12,345 /s", self)
        errors.set_least_top(0.01)
        self.feeds = (self.feed(),)
        self.join((quantiles, errors, rate))
        for chart, stretch in zip(self.charts, (5, 2, 2), strict=True):
            chart.show_time_axis(chart is rate)
            self.box.addWidget(chart, stretch)

    def draw(self, scope: Scope) -> None:
        """Show the series, its band and its marks; what goes on by itself a chart a turn, so that no hand waits for all three."""
        window = (scope.start_s, scope.end_s)
        at_us, columns = self.read(self.feeds[0], scope.series, window)
        steps: list[Callable[[], None]] = []
        for chart in self.charts:
            steps += [partial(self._fill_chart, chart, scope, at_us, columns), partial(chart.set_range, *window, scope.follow)]
        self.take_turns(steps, scope)

    def _fill_chart(self, chart: TimeChart, scope: Scope, at_us: Any, columns: Any) -> None:
        first = self.charts[0]
        chart.set_marks(scope.marks, named=chart is first)
        chart.set_spans(scope.spans)
        chart.set_stale(scope.stale)
        chart.set_empty(scope.empty[0], scope.empty[1] if chart is first else "")
        chart.set_data(at_us, columns)
        if chart is first:
            self._draw_band(chart, scope)
            self._draw_heat(chart, scope)

    def _draw_band(self, chart: TimeChart, scope: Scope) -> None:
        band = scope.band
        chart.set_log(scope.log)
        name = f"band of {plain(band.version, 40)}" if band and band.version else "band"
        chart.set_band(band.low_ms if band else None, band.high_ms if band else None, name)

    def _draw_heat(self, chart: TimeChart, scope: Scope) -> None:
        """All samples in place of the quantiles, and from when on there are any; the quantiles where none are kept of this."""
        heat = self.cockpit.latency.heat(scope.series) if scope.heat else None
        chart.set_heat(heat)
        single = scope.node != ALL and scope.operation != ALL
        chart.readout.setToolTip("" if heat is not None or not scope.heat else NO_SAMPLES if single else NONE_YET)
        if heat is None:
            chart.set_title("Quantiles only" if scope.heat else "Latency")
            return
        late = heat.end and heat.first_s > scope.start_s + UNSAID * (scope.end_s - scope.start_s)
        chart.set_title(f"Samples since {time_label(heat.first_s, 60)}" if late else "All samples")
        chart.set_empty("No samples in this window", KEPT)
