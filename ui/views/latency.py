"""Latency of the selected place: over time, as a heat map, as a distribution, beside its baseline, beside other environments."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSettings, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from cockpit.services.pairs import Pair, pair_of
from cockpit.services.store import LatencyStatus
from ui.bridge import guarded
from ui.models.text import age_text, ms_text, number_text, plain
from ui.views.base import View, button
from ui.views.latency_marks import Venue, marks_at
from ui.views.latency_when import ALL, ANY, DEPLOYMENT, When, offer
from ui.views.watch_line import WatchLine
from ui.widgets.chart_loader import ChartLoader
from ui.widgets.panel import ProgressLine, StateLabel
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.facts import Fact
    from ui.views.latency_pages import LatencyPage, Scope
    from ui.widgets.time_chart import TimeChart

WINDOWS = (("1 m", "1 minute", 60), ("5 m", "5 minutes", 300), ("15 m", "15 minutes", 900), ("1 h", "1 hour", 3600),
           ("6 h", "6 hours", 21_600), ("24 h", "24 hours", 86_400))  # fmt: skip
FIRST_WINDOW_S = 900
SHORTEST_S, LONGEST_S = 1.0, 7 * 86_400.0
WIDEST_PX = 260
# what it is called, what it shows, and where the page is
VIEWS = (
    ("Time", "Quantiles, errors and throughput over time", "latency_pages.TimePage"),
    ("Heat", "All samples over time, not only quantiles", "latency_pages.TimePage"),
    ("Distribution", "All samples as percentiles, candidate against baseline", "latency_spread.SpreadPage"),
    ("Side by side", "Candidate and baseline at equal age, counted from their deployments", "latency_ages.AgesPage"),
    ("Environments", "All environments of the service", "latency_places.PlacesPage"),
)


class LatencyView(View):
    """One page at a time over one window. The chart library is loaded in the background when this is first shown."""

    kinds = frozenset(["latency", "deployments", "alerts", "approvals", "reviews", "freezes", "fleets", "starting", "ages"])
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Latency")
        self.follow = True
        self._span_s = float(FIRST_WINDOW_S)
        self._end_s = 0.0
        self._pages: dict[str, LatencyPage] = {}
        self._venue = Venue(cockpit)
        self.loader = ChartLoader(self)
        self.loader.ready.connect(self.read)
        self._build_number()
        self._build_views()
        self._build_controls()
        self.line = ProgressLine(self)
        self.placeholder = Text("The charts are being loaded…", ink="muted", parent=self)
        self.placeholder.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.stack = QStackedWidget(self)
        self.stack.addWidget(self.placeholder)
        self.box.addWidget(self.line)
        self.box.addWidget(self.stack, 1)

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
        row.addWidget(self.nodes_button)
        self.box.addLayout(row)
        self.watch_line = WatchLine(self, self.went)
        self.box.addWidget(self.watch_line)

    def _build_views(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        self.views = QButtonGroup(self)
        for number, (text, tip, _) in enumerate(VIEWS):
            made = button(text, self, role="flat", checkable=True, tip=tip)
            made.setAccessibleName(f"View: {text}")
            made.setChecked(number == 0)
            self.views.addButton(made, number)
            row.addWidget(made)
        self.views.idClicked.connect(self._view_chosen)
        row.addStretch(0)
        self.log_button: QPushButton = button("Log", self, role="flat", checkable=True, tip="A logarithmic axis of the latency")
        self.log_button.setAccessibleName("Logarithmic axis")
        keeps_place = self.log_button.sizePolicy()
        keeps_place.setRetainSizeWhenHidden(True)
        self.log_button.setSizePolicy(keeps_place)
        self.log_button.toggled.connect(self._log_toggled)
        self.when = When(self)
        self.when.chosen.connect(self._when_chosen)
        self.when.setMaximumWidth(WIDEST_PX)
        row.addWidget(self.when, 1)
        row.addWidget(self.log_button)
        self.box.addLayout(row)

    def _build_controls(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        self.node, self.operation = QComboBox(self), QComboBox(self)
        for combo, name, width in ((self.node, "Node", 120), (self.operation, "Operation", 124)):
            combo.setAccessibleName(name)
            combo.setMinimumWidth(width)
            combo.setMaximumWidth(WIDEST_PX)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.currentIndexChanged.connect(self._series_changed)
            row.addWidget(combo, 1)
        row.addSpacing(8)
        row.addStretch(0)
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

    # pages, made when they can be -------------------------------------------------------------------------------------------

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

    @property
    def page(self) -> LatencyPage | None:
        """The page of the chosen view; None while the charts are being loaded."""
        if not self.loader.loaded:
            return None
        where = VIEWS[self.views.checkedId()][2]
        if where not in self._pages:
            module, _, name = where.partition(".")
            page: LatencyPage = getattr(import_module(f"ui.views.{module}"), name)(self.cockpit, self.read, self.stack)
            page.moved.connect(self._moved)
            page.follow_wanted.connect(self.follow_now)
            page.said.connect(self._said)
            self.stack.addWidget(page)
            self._pages[where] = page
        return self._pages[where]

    @property
    def charts(self) -> tuple[TimeChart, ...]:
        """The charts that are seen."""
        page = self._pages.get(VIEWS[self.views.checkedId()][2])
        return page.charts if page is not None else ()

    def _moved(self, start_s: float, end_s: float) -> None:
        """A person panned or zoomed: all charts go along, and the newest is no longer followed."""
        now_s = self.cockpit.clock_us() / 1e6
        self._span_s = min(LONGEST_S, max(SHORTEST_S, end_s - start_s))
        self._end_s = min(end_s, now_s + self._span_s / 2)
        self._let_go()
        self.refresh()

    def _let_go(self) -> None:
        """Follow no more; the window's button, where it is one of them, is the one pressed."""
        self.follow = False
        self.follow_button.setChecked(False)
        self.when.choose(ANY)
        self._press_window()

    def _press_window(self) -> None:
        self.windows.setExclusive(False)
        for made in self.windows.buttons():
            made.setChecked(abs(self.windows.id(made) - self._span_s) < 1)
        self.windows.setExclusive(True)

    def remember(self, settings: QSettings) -> None:
        """Keep the kind of axis and the view, besides."""
        super().remember(settings)
        self.log_button.setChecked(settings.value("latency/log", "") == "log")
        chosen = settings.value("latency/view", "")
        for made in self.views.buttons():
            if made.text() == chosen:
                made.setChecked(True)

    def _said(self, text: str) -> None:
        """What became of a copy or a file; the line says the age of the number again at the next look."""
        self.what.set_text(text)

    def _nodes(self) -> None:
        self.went.emit("nodes")

    def _note(self, name: str, value: str) -> None:
        if self._settings is not None:
            self._settings.setValue(f"latency/{name}", value)

    def show_view(self, name: str) -> None:
        """Show the view of that name, as its button does."""
        for made in self.views.buttons():
            if made.text() == name:
                made.click()

    def _view_chosen(self, number: int) -> None:
        self._note("view", VIEWS[number][0])
        pair = self._pair()
        if VIEWS[number][0] == "Side by side" and self.follow and pair is not None and pair.baseline is not None:
            now_us = self.cockpit.clock_us()
            span_us = int(self._span_s * 1e6)
            if pair.ages(now_us - span_us, now_us)[1] is None or now_us - pair.candidate.start_us < span_us / 3:
                # the baseline never grew so old, or the candidate is young: what can be compared lies at the beginning
                self.when.choose(DEPLOYMENT)
                self._when_chosen(DEPLOYMENT)
        self.read()

    def _log_toggled(self, on: bool) -> None:
        self._note("log", "log" if on else "linear")
        self.read()

    def _when_chosen(self, what: str) -> None:
        """A session or a deployment's time; all the time is the newest again."""
        if what == ANY:
            self.follow_now()
            return
        self.follow = False
        self.follow_button.setChecked(False)
        self.read()

    def follow_now(self) -> None:
        """Keep the newest in sight again."""
        self.follow = True
        self.follow_button.setChecked(True)
        self.when.choose(ANY)
        self.read()

    def _window_chosen(self, seconds: int) -> None:
        centre_s = self._end_s - self._span_s / 2
        self._span_s = float(seconds)
        self.when.choose(ANY)
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
        self.when.choose(ANY)

    def _series_changed(self, index: int) -> None:
        self.read()

    @property
    def series(self) -> str:
        """The name of the chosen series."""
        return f"{self.place}/{self.node.currentData() or ALL}/{self.operation.currentData() or ALL}"

    def refresh(self) -> None:
        """Everything as of now."""
        book = self.cockpit.latency
        offer(self.node, "all nodes", book.nodes(self.place), f"{self.service}-")
        offer(self.operation, "all operations", book.operations(self.place))
        fact = self.state.latency.get(self.place)
        self._tell(fact)
        self.watch_line.refresh()
        page = self.page
        # what is always logarithmic has no choice
        self.log_button.setVisible(VIEWS[self.views.checkedId()][0] not in ("Heat", "Distribution"))
        if page is not None:
            if self.stack.currentWidget() is not page:
                self.stack.setCurrentWidget(page)
            page.draw(self._scope(page, fact))
            if page.problem is not None:
                self.what.set_text(f"The history could not be read: {plain(str(page.problem), 200)}")
        self.line.set_busy(page is None or page.loading)

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

    def _scope(self, page: LatencyPage, fact: Fact[LatencyStatus] | None) -> Scope:
        """The window as of now, and what goes along with it."""
        from ui.views.latency_pages import Scope

        now_us = self.cockpit.clock_us()
        pair = self._pair()
        self._place_window(pair, now_us)
        start_s = self._end_s - self._span_s
        whole = self.series.endswith(f"/{ALL}/{ALL}")
        return Scope(
            service=self.service,
            environment=self.environment,
            node=self.node.currentData() or ALL,
            operation=self.operation.currentData() or ALL,
            start_s=start_s,
            end_s=self._end_s,
            now_us=now_us,
            follow=self.follow,
            log=self.log_button.isChecked(),
            heat=VIEWS[self.views.checkedId()][0] == "Heat",
            stale=f"stale, {age_text(fact.age_s(now_us))} old" if fact and fact.stale(now_us) else "",
            band=fact.value.band if fact and whole else None,
            pair=pair,
            marks=marks_at(self.state, self.service, self.environment, now_us, self.cockpit.latency.set_back),
            spans=self._venue.spans(self.environment, int(start_s * 1e6), int(self._end_s * 1e6)),
            empty=self._empty_words(page),
        )

    def _pair(self) -> Pair | None:
        known = self.state.deployments.get(self.place)
        return pair_of(known.value) if known is not None else None

    def _place_window(self, pair: Pair | None, now_us: int) -> None:
        """The newest, the time that was chosen by its name, or what a person panned to."""
        self.when.offer(pair, self._venue.sessions(self.environment, now_us), now_us)
        if self.follow:
            self._end_s = now_us / 1e6
        named = self.when.range_s()
        if named is not None:
            self._span_s, self._end_s = min(LONGEST_S, named[1] - named[0]), named[1]
            self._press_window()

    def _empty_words(self, page: LatencyPage) -> tuple[str, str]:
        if page.problem is not None:
            return "The history could not be read", f"{plain(str(page.problem), 300)} What comes in now is shown all the same."
        if page.loading:
            return "Reading the history…", ""
        if self.state.starting:
            return plain(self.state.starting, 200), "Latency appears as soon as the nodes answer."
        if not self.cockpit.latency.nodes(self.place):
            return "No latency was read here yet", "Nodes that serve a latency histogram fill this; Sources tells which answer."
        return "Nothing was measured in this window", "Choose a longer window, or press F to see the newest."


def verdict(status: LatencyStatus) -> tuple[str, str]:
    """(state word, sentence) of the newest p99 against its band."""
    band: Any = status.band
    if band is None:
        return "unknown", "no band yet: too little was seen of the version before"
    of = f" of {plain(band.version, 40)}" if band.version else ""
    span, p99_ms = f"{number_text(band.low_ms)} to {ms_text(band.high_ms)}{of}", status.point.p99_ms
    if status.outside:
        return "bad", f"OUTSIDE: {ms_text(p99_ms)} against at most {ms_text(band.high_ms)}{of}"
    if status.outside is None:
        return "unknown", f"not known: too few requests to compare with {span}"
    if p99_ms is not None and p99_ms > band.high_ms:
        return "warning", f"above its band {span}, not for long yet"
    return "ok", f"{'below' if p99_ms is not None and p99_ms < band.low_ms else 'within'} its band {span}"
