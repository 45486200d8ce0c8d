"""Candidate and baseline beside each other at equal age: two charts with one vertical axis, their times counted from the deployments."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QWidget

from ui.bridge import guarded
from ui.models.text import duration_text, plain, time_text
from ui.views.latency_marks import marks_at
from ui.views.latency_pages import LatencyPage, Scope, level, quantile_chart
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.services.pairs import Pair

BESIDE_PX = 1000  # from this width on they stand beside each other, else above each other


class AgesPage(LatencyPage):
    """The window is the candidate's; the baseline's lies as much earlier as its deployment does."""

    def __init__(self, cockpit: Cockpit, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(cockpit, changed, parent)
        self.words = Text(role="muted", ink="muted", parent=self)
        self.nothing = Text(ink="muted", parent=self)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        candidate, baseline = quantile_chart("Candidate", self), quantile_chart("Baseline", self, dashed=True)
        self.feeds = (self.feed(), self.feed())
        self.join((candidate, baseline))
        self.pair_box = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self.pair_box.setSpacing(8)
        for chart in self.charts:
            self.pair_box.addWidget(chart, 1)
        self.box.addWidget(self.words)
        self.box.addWidget(self.nothing, 1)
        self.box.addLayout(self.pair_box, 1)

    @guarded
    def resizeEvent(self, event: QResizeEvent) -> None:
        """Beside each other where there is room."""
        way = QBoxLayout.Direction.LeftToRight if self.width() >= BESIDE_PX else QBoxLayout.Direction.TopToBottom
        if way != self.pair_box.direction():
            self.pair_box.setDirection(way)
        super().resizeEvent(event)

    def draw(self, scope: Scope) -> None:
        """Show the pair, or why there is none."""
        pair, series = scope.pair, scope.series
        known = pair is not None and pair.baseline is not None
        self.nothing.setVisible(not known)
        self.words.setVisible(known)
        for chart in self.charts:
            chart.setVisible(known)
        if pair is None or pair.baseline is None:
            self.nothing.set_text(no_pair_words(pair))
            return
        apart_s = pair.apart_us / 1e6
        self.shifts = (0.0, -apart_s)
        windows = tuple((scope.start_s + shift, scope.end_s + shift) for shift in self.shifts)
        lives, marks = (pair.candidate, pair.baseline), marks_at(self.cockpit.store.state, scope.service, scope.environment, scope.now_us)
        self.words.set_text(pair_words(pair, scope.now_us))
        for chart, feed, life, window, role in zip(self.charts, self.feeds, lives, windows, ("candidate", "baseline"), strict=True):
            chart.set_data(*_upto(life.end_us, *self.read(feed, series, window)))
            chart.set_title(f"{plain(life.version, 40)}, {role}")
            chart.set_origin(life.start_us / 1e6)
            chart.set_marks(marks)
            chart.set_log(scope.log)
            chart.set_empty(*_empty(feed.loading, life.end_us, window, scope))
        self.charts[0].set_stale(scope.stale)
        level(self.charts, windows, scope.log)
        self.take_turns([partial(c.set_range, *w, scope.follow) for c, w in zip(self.charts, windows, strict=True)], scope)


def _upto(end_us: int, at_us: Any, columns: Any) -> tuple[Any, Any]:
    """What was measured before a version was replaced: what came then is not its latency."""
    if not end_us:
        return at_us, columns
    last = bisect_left(at_us, end_us)
    return at_us[:last], {name: column[:last] for name, column in columns.items()}


def _empty(loading: bool, end_us: int, window: tuple[float, float], scope: Scope) -> tuple[str, str]:
    if loading:
        return "Reading the history…", ""
    if end_us and window[0] * 1e6 >= end_us:
        return "It was replaced before it was so old", "Choose an earlier time: “Since the deployment” begins at its beginning."
    return scope.empty


def no_pair_words(pair: Pair | None) -> str:
    """Why there is nothing to put beside each other."""
    if pair is None:
        return "No deployment is known here: there is no candidate yet."
    if not pair.from_version:
        return f"{plain(pair.candidate.version, 40)} replaced nothing: there is no baseline."
    return f"When {plain(pair.from_version, 40)} came is not known: its time at equal age cannot be shown."


def pair_words(pair: Pair, now_us: int) -> str:
    """Which two, and how far apart."""
    came = time_text(pair.candidate.start_us, now_us)
    before = time_text(pair.baseline.start_us, now_us) if pair.baseline is not None else ""
    apart = duration_text(pair.apart_us / 1e6) if pair.apart_us < 172_800_000_000 else f"{pair.apart_us / 86_400_000_000:.1f} days"
    return (
        f"Since their deployments: {plain(pair.candidate.version, 40)} at {came}, {plain(pair.from_version, 40)} at {before}, {apart} apart"
    )
