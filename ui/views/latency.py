"""Latency of the selected place: quantiles, errors and throughput, with the baseline's band and the deployments on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSettings, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from cockpit.services.alerts import alerts_at
from cockpit.services.store import LatencyStatus
from ui.bridge import guarded
from ui.models.text import age_text, ms_text, number_text, percent_text, plain, rate_text
from ui.views.base import View, button
from ui.views.latency_feed import LatencyFeed
from ui.widgets.chart_loader import ChartLoader
from ui.widgets.chart_overlay import Mark
from ui.widgets.panel import ProgressLine, StateLabel
from ui.widgets.texts import Text
from ui.widgets.time_chart import CurveSpec, TimeChart

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.facts import Fact

WINDOWS = (("1 m", "1 minute", 60), ("5 m", "5 minutes", 300), ("15 m", "15 minutes", 900), ("1 h", "1 hour", 3600),
           ("6 h", "6 hours", 21_600), ("24 h", "24 hours", 86_400))  # fmt: skip
FIRST_WINDOW_S = 900
SHORTEST_S, LONGEST_S = 5.0, 7 * 86_400.0
ALL = "*"
_QUANTILES = (
    CurveSpec("p50_ms", "p50", "p50"),
    CurveSpec("p90_ms", "p90", "p90"),
    CurveSpec("p99_ms", "p99", "p99"),
    CurveSpec("p999_ms", "p99.9", "p999"),
)


class LatencyView(View):
    """Three charts with one time axis and one crosshair. The chart library is loaded in the background when this is first shown."""

    kinds = frozenset(["latency", "deployments", "alerts", "fleets", "sources", "starting", "ages"])
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Latency")
        self.charts: tuple[TimeChart, ...] = ()
        self.follow = True
        self._span_s = float(FIRST_WINDOW_S)
        self._end_s = 0.0
        self.feed = LatencyFeed(cockpit.latency, self.read)
        self.loader = ChartLoader(self)
        self.loader.ready.connect(self._make_charts)
        self._build_number()
        self._build_controls()
        self.line = ProgressLine(self)
        self.placeholder = Text("The charts are being loaded…", ink="muted", parent=self)
        self.placeholder.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._room = QVBoxLayout()
        self._room.setSpacing(4)
        self._room.addWidget(self.placeholder, 1)
        self.box.addWidget(self.line)
        self.box.addLayout(self._room, 1)

    def _build_number(self) -> None:
        self.number = Text(role="big", elide=False, parent=self)
        self.what = Text(role="muted", ink="muted", parent=self)
        self.verdict = StateLabel("strong", self)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.what)
        words.addWidget(self.verdict)
        row = QHBoxLayout()
        row.setSpacing(16)
        row.addWidget(self.number)
        row.addLayout(words, 1)
        self.nodes_button: QPushButton = button("Nodes", self, role="flat", tip="What each node runs and its share; take one out")
        self.nodes_button.clicked.connect(self._nodes)
        self.log_button: QPushButton = button("Log", self, role="flat", checkable=True, tip="A logarithmic axis of the latency")
        self.log_button.setAccessibleName("Logarithmic axis")
        self.log_button.toggled.connect(self._log_toggled)
        self.heat_button: QPushButton = button("Heat", self, role="flat", checkable=True, tip="All samples, not only quantiles")
        self.heat_button.setAccessibleName("Heat map of all samples")
        self.heat_button.toggled.connect(self._heat_toggled)
        row.addWidget(self.heat_button)
        row.addWidget(self.log_button)
        row.addWidget(self.nodes_button)
        self.box.addLayout(row)

    def _build_controls(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        self.node, self.operation = QComboBox(self), QComboBox(self)
        for combo, name, width in ((self.node, "Node", 108), (self.operation, "Operation", 128)):
            combo.setAccessibleName(name)
            combo.setMinimumWidth(width)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.currentIndexChanged.connect(self._series_changed)
            row.addWidget(combo, 1)
        row.addSpacing(8)
        self.windows = QButtonGroup(self)
        for text, name, seconds in WINDOWS:
            made = button(text, self, role="flat", checkable=True, tip=name)
            made.setAccessibleName(f"Show {name}")
            made.setChecked(seconds == FIRST_WINDOW_S)
            self.windows.addButton(made, seconds)
            row.addWidget(made)
        self.windows.idClicked.connect(self._window_chosen)
        row.addSpacing(8)
        self.follow_button: QPushButton = button("Follow", self, role="flat", checkable=True, tip="Keep the newest in sight (F)")
        self.follow_button.setChecked(True)
        self.follow_button.clicked.connect(self.follow_now)
        row.addWidget(self.follow_button)
        self.box.addLayout(row)

    # charts, made when they can be ------------------------------------------------------------------------------------------

    @guarded
    def showEvent(self, event: QShowEvent) -> None:
        """Ask for the chart library at the first time; then catch up."""
        self.loader.start()
        super().showEvent(event)

    @guarded
    def hideEvent(self, event: QHideEvent) -> None:
        """What happens meanwhile is read when shown again."""
        self._late = True
        super().hideEvent(event)

    def _make_charts(self) -> None:
        quantiles = TimeChart("Latency", _QUANTILES, ms_text, lambda v: f"{v:g} ms", "1,234 ms", self)
        failed, requests = CurveSpec("error_ratio", "of requests", "bad"), CurveSpec("rate_per_s", "requests", "running")
        errors = TimeChart("Errors", (failed,), percent_text, lambda v: f"{v * 100:g} %", "99.99 %", self)
        rate = TimeChart("Throughput", (requests,), rate_text, lambda v: f"{v:,g} /s", "12,345 /s", self)
        errors.set_least_top(0.01)
        self.charts = (quantiles, errors, rate)
        quantiles.set_log(self.log_button.isChecked())
        self.placeholder.hide()
        for chart, stretch in zip(self.charts, (5, 2, 2), strict=True):
            chart.moved.connect(self._moved)
            chart.hovered.connect(self._hovered)
            chart.follow_wanted.connect(self.follow_now)
            chart.said.connect(self._said)
            chart.show_time_axis(chart is rate)
            self._room.addWidget(chart, stretch)
        self.read()

    def _hovered(self, at_s: float | None) -> None:
        for chart in self.charts:
            chart.show_cross(at_s)

    def _moved(self, start_s: float, end_s: float) -> None:
        """A person panned or zoomed: all charts go along, and the newest is no longer followed."""
        now_s = self.cockpit.clock_us() / 1e6
        self._span_s = min(LONGEST_S, max(SHORTEST_S, end_s - start_s))
        self._end_s = min(end_s, now_s + self._span_s / 2)
        self.follow = False
        self.follow_button.setChecked(False)
        self.windows.setExclusive(False)
        for made in self.windows.buttons():
            made.setChecked(abs(self.windows.id(made) - self._span_s) < 1)
        self.windows.setExclusive(True)
        self.refresh()

    def remember(self, settings: QSettings) -> None:
        """Keep the kind of axis, besides."""
        super().remember(settings)
        self.log_button.setChecked(settings.value("latency/log", "") == "log")

    def _said(self, text: str) -> None:
        """What became of a copy or a file; the line says the age of the number again at the next look."""
        self.what.set_text(text)

    def _nodes(self) -> None:
        self.went.emit("nodes")

    def _log_toggled(self, on: bool) -> None:
        if self.charts:
            self.charts[0].set_log(on)
        if self._settings is not None:
            self._settings.setValue("latency/log", "log" if on else "linear")

    def _heat_toggled(self, on: bool) -> None:
        self.read()

    def follow_now(self) -> None:
        """Keep the newest in sight again."""
        self.follow = True
        self.follow_button.setChecked(True)
        self.read()

    def _window_chosen(self, seconds: int) -> None:
        centre_s = self._end_s - self._span_s / 2
        self._span_s = float(seconds)
        if not self.follow:
            self._end_s = min(centre_s + self._span_s / 2, self.cockpit.clock_us() / 1e6)
        self.read()

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """F follows from anywhere in this view."""
        if event.key() == Qt.Key.Key_F and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.follow_now()
        else:
            super().keyPressEvent(event)

    # what is shown ---------------------------------------------------------------------------------------------------------

    def place_changed(self) -> None:
        """Another place: all its nodes and operations, and the newest."""
        for combo in (self.node, self.operation):
            with QSignalBlocker(combo):
                combo.clear()
        self.follow = True
        self.follow_button.setChecked(True)

    def _series_changed(self, index: int) -> None:
        self.read()

    @property
    def series(self) -> str:
        """The name of the chosen series."""
        return f"{self.place}/{self.node.currentData() or ALL}/{self.operation.currentData() or ALL}"

    def refresh(self) -> None:
        """Everything as of now."""
        book = self.cockpit.latency
        _offer(self.node, "all nodes", book.nodes(self.place), f"{self.service}-")
        _offer(self.operation, "all operations", book.operations(self.place))
        fact = self.state.latency.get(self.place)
        self._tell(fact)
        if self.charts:
            self._draw(fact)
        self.line.set_busy(self.feed.loading or not self.charts)

    def _tell(self, fact: Fact[LatencyStatus] | None) -> None:
        """The one number, and what it means, in words."""
        if fact is None:
            self.number.set_text("–")
            self.number.set_ink("muted")
            self.what.set_text("p99 of all nodes and operations")
            self.verdict.show_state("unknown", "no latency is known here")
            return
        now_us = self.cockpit.clock_us()
        stale = fact.stale(now_us)
        age = f"{age_text(fact.age_s(now_us))} old"
        self.number.set_text(ms_text(fact.value.point.p99_ms))
        self.number.set_ink("muted" if stale else "bad" if fact.value.outside else "text")
        self.what.set_text(f"p99 of all nodes and operations, {'stale, ' if stale else ''}{age}")
        word, text = verdict(fact.value)
        self.verdict.show_state("stale" if stale else word, text)

    def _draw(self, fact: Fact[LatencyStatus] | None) -> None:
        now_us = self.cockpit.clock_us()
        if self.follow:
            self._end_s = now_us / 1e6
        start_s = self._end_s - self._span_s
        start_us, end_us = int(start_s * 1e6), int(self._end_s * 1e6)
        self.feed.choose(self.series)
        self.feed.want(start_us, max(end_us, now_us))
        margin = int(self._span_s * 5e4)
        at_us, columns = self.feed.columns(start_us - margin, end_us + margin)
        whole = self.series.endswith(f"/{ALL}/{ALL}")
        band = fact.value.band if fact and whole else None
        marks = self._marks()
        stale = f"stale, {age_text(fact.age_s(now_us))} old" if fact and fact.stale(now_us) else ""
        title, hint = self._empty_words()
        for chart in self.charts:
            chart.set_marks(marks, named=chart is self.charts[0])
            chart.set_stale(stale)
            chart.set_empty(title, hint if chart is self.charts[0] else "")
            chart.set_data(at_us, columns)
        name = f"band of {plain(band.version, 40)}" if band and band.version else "band"
        self.charts[0].set_band(band.low_ms if band else None, band.high_ms if band else None, name)
        self.charts[0].set_heat(self.cockpit.latency.heat(self.series) if self.heat_button.isChecked() else None)
        for chart in self.charts:
            chart.set_range(start_s, self._end_s, self.follow)

    def _marks(self) -> tuple[Mark, ...]:
        known = self.state.deployments.get(self.place)
        started = [d for d in known.value if d.started_at_us] if known is not None else []
        ends = ["" if d.state == "succeeded" else f" {d.state}" for d in started]
        marks = [Mark(d.started_at_us, d.kind, f"{d.kind} {plain(d.version, 40)}{end}") for d, end in zip(started, ends, strict=True)]
        firing = alerts_at(self.state, self.service, self.environment, self.cockpit.clock_us()).firing
        return (*marks, *(Mark(a.since_us, "alert", plain(a.name, 40)) for a in firing if a.since_us))

    def _empty_words(self) -> tuple[str, str]:
        if self.feed.problem is not None:
            return "The history could not be read", f"{plain(str(self.feed.problem), 300)} What comes in now is shown all the same."
        if self.feed.loading:
            return "Reading the history…", ""
        if self.state.starting:
            return plain(self.state.starting, 200), "Latency appears as soon as the nodes answer."
        if not self.cockpit.latency.nodes(self.place):
            hint = "A connection of kind “openmetrics” in cockpit.toml fills this: nodes that serve /metrics with a latency histogram."
            return "No latency is read here yet", hint
        return "Nothing was measured in this window", "Choose a longer window, or press F to see the newest."


def _offer(combo: QComboBox, everything: str, names: tuple[str, ...], prefix: str = "") -> None:
    """Fill a selector; what is chosen stays, even where it is gone for the moment. Names are shown without `prefix`."""
    chosen = combo.currentData() or ALL
    wanted = [ALL, *names] if chosen == ALL or chosen in names else [ALL, *names, chosen]
    if [combo.itemData(i) for i in range(combo.count())] == wanted:
        return
    with QSignalBlocker(combo):
        combo.clear()
        for name in wanted:
            combo.addItem(everything if name == ALL else plain(name.removeprefix(prefix), 80), name)
        combo.setCurrentIndex(wanted.index(chosen))


def verdict(status: LatencyStatus) -> tuple[str, str]:
    """(state word, sentence) of the newest p99 against its band."""
    band: Any = status.band
    if band is None:
        return "unknown", "no band yet: too little was seen of the version before"
    of = f" of {plain(band.version, 40)}" if band.version else ""
    if status.outside:
        return "bad", f"OUTSIDE: {ms_text(status.point.p99_ms)} against at most {ms_text(band.high_ms)}{of}"
    if status.outside is None:
        return "unknown", f"not known: too few requests to compare with {number_text(band.low_ms)} to {ms_text(band.high_ms)}{of}"
    return "ok", f"within its band {number_text(band.low_ms)} to {ms_text(band.high_ms)}{of}"
