"""One service in all its environments: a chart each, with one time axis, one crosshair and one vertical axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from cockpit.domain.facts import place
from ui.models.text import age_text, plain
from ui.views.latency_feed import LatencyFeed
from ui.views.latency_marks import Venue, marks_at
from ui.views.latency_pages import ALL, LatencyPage, Scope, level, quantile_chart
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit

MOST = 8  # charts; more of them are too small to be read
ONE_COLUMN = 3


class PlacesPage(LatencyPage):
    """The selected environment's chart comes first to the eye by its title; all of them are of all nodes."""

    def __init__(self, cockpit: Cockpit, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(cockpit, changed, parent)
        self._names: tuple[str, ...] = ()
        self._known: dict[str, LatencyFeed] = {}
        self._venue = Venue(cockpit)
        self.words = Text(role="muted", ink="muted", parent=self)
        self.nothing = Text("No environment of this service has a latency yet.", ink="muted", parent=self)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.grid = QGridLayout()
        self.grid.setSpacing(6)
        self.box.addWidget(self.words)
        self.box.addWidget(self.nothing, 1)
        self.box.addLayout(self.grid, 1)

    def environments(self, service: str) -> tuple[str, ...]:
        """Those in which latency of the service was read, in their order."""
        state, book = self.cockpit.store.state, self.cockpit.latency
        names = [e.name for e in sorted(state.environments, key=lambda e: e.rank)]
        return tuple(n for n in names if place(service, n) in state.latency or book.nodes(place(service, n)))

    def draw(self, scope: Scope) -> None:
        """Show every environment in the same window."""
        every = self.environments(scope.service)
        names = every[:MOST]
        if names != self._names:
            self._make(names)
        self.nothing.setVisible(not names)
        left = f"; {len(every) - MOST} more are not shown" if len(every) > MOST else ""
        what = "" if scope.operation == ALL else f", {plain(scope.operation, 80)}"
        self.words.set_text(f"p50 and p99 of all nodes{what}, one axis for all{left}" if names else "")
        window, state = (scope.start_s, scope.end_s), self.cockpit.store.state
        for name, chart, feed in zip(names, self.charts, self.feeds, strict=True):
            here = replace(scope, environment=name, node=ALL)
            chart.set_data(*self.read(feed, here.series, window))
            chart.set_marks(marks_at(state, scope.service, name, scope.now_us, self.cockpit.latency.set_back))
            chart.set_spans(self._venue.spans(name, int(window[0] * 1e6), int(window[1] * 1e6)))
            fact = state.latency.get(place(scope.service, name))
            late = fact is not None and fact.stale(scope.now_us)
            chart.set_stale(f"stale, {age_text(fact.age_s(scope.now_us))} old" if fact is not None and late else "")
            chart.set_log(scope.log)
            chart.set_empty(_empty(feed), "")
        level(self.charts, [window] * len(self.charts), scope.log)
        self.take_turns([partial(chart.set_range, *window, scope.follow) for chart in self.charts], scope)

    def _make(self, names: tuple[str, ...]) -> None:
        """A chart for each; two columns where one would make them too low."""
        for chart in self.charts:
            self.grid.removeWidget(chart)
            chart.hide()
            chart.deleteLater()
        self._names = names
        self._known = {name: self._known.get(name) or self.feed() for name in names}
        self.feeds = tuple(self._known.values())
        self.join([quantile_chart(plain(name, 40), self, names=("p50", "p99")) for name in names])
        columns = 1 if len(names) <= ONE_COLUMN else 2
        for number, chart in enumerate(self.charts):
            self.grid.addWidget(chart, number // columns, number % columns)
            chart.show_time_axis(number >= len(names) - columns)
            chart.show()


def _empty(feed: LatencyFeed) -> str:
    if feed.loading:
        return "Reading the history…"
    return "The history could not be read" if feed.problem is not None else "Nothing was measured here in this window"
