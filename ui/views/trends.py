"""Tests and benchmarks over versions: pass rate, levels and where they changed, what became worse and who knows it, flaky tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from cockpit.domain.errors import CockpitError
from cockpit.domain.measures import Line, Trends
from cockpit.domain.release import Version
from cockpit.services import regressions, status
from ui.models.text import plain, plural
from ui.models.trends import MeasureRow, explained, flaky_columns, known_words, measure_columns, measure_name, weight
from ui.views.base import bar, button, split_of
from ui.widgets.chart_loader import ChartLoader
from ui.widgets.levels import LevelChart, PassRate
from ui.widgets.panel import StateLabel
from ui.widgets.table_view import ROW_PX, TableView
from ui.widgets.texts import Row, Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from ui.views.trends_time import TrendsTime

ENDS_DAYS = (7, 1, 3, 14, 30, 90)
DAY_US = 86_400_000_000
NOTHING = "Nothing is measured of this service yet"
FILLS = "Runs fill this as they end. Benchmarks: `release-cockpit benchmarks add SERVICE VERSION FILE`."


class TrendsPage(QWidget):
    """One service over its versions. `closed` leads back to the run. Reads the state when told to."""

    closed = Signal()

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cockpit = cockpit
        self.service = ""
        self._said = ("", "")
        self.next_us = 0  # when the first acknowledgement that is seen is over; 0 where none is
        self.heading = StateLabel("title", self)
        self.close_button = button("Back", self, tip="Back to the run (T)")
        self.time_button = button("Over time", self, checkable=True, tip="Over time instead of run by run: zoom, read, export")
        self.time: TrendsTime | None = None
        self.loader = ChartLoader(self)
        self.passed = PassRate(self)
        self.about = Text(elide=True, parent=self)
        self.known = Text(role="muted", ink="muted", parent=self)
        self.chart = LevelChart(self)
        self.measures = TableView(measure_columns(cockpit.clock_us), lambda r: r.line.key, "Measures", self)
        self.flaky = TableView(flaky_columns(), lambda r: (r.suite, r.name), "Flaky tests", self)
        self.measures.timeless = self.flaky.timeless = True
        self._build_form()
        self._place()
        self.close_button.clicked.connect(self.closed)
        self.time_button.toggled.connect(self._turned)
        self.loader.ready.connect(self._make_time)
        self.measures.row_selected.connect(self._chosen)
        self.acknowledge_button.clicked.connect(self._acknowledge)
        self.end_button.clicked.connect(self._end)
        self.reason.returnPressed.connect(self._acknowledge)

    def _build_form(self) -> None:
        self.say = Row(self, one_line=True)
        self.reason = QLineEdit(self)
        self.reason.setPlaceholderText("Reason why it is known")
        self.reason.setAccessibleName("Reason why the regression is known")
        self.reason.setMaxLength(500)
        self.until = QComboBox(self)
        self.until.setAccessibleName("Until, from now on")
        for days in ENDS_DAYS:
            self.until.addItem(f"for {plural(days, 'day')}", days)
        self.acknowledge_button = button("Acknowledge", self, tip="It stays visible, and shouts again when the time is over")
        self.end_button = button("End it", self, tip="It shouts again")

    def _place(self) -> None:
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        head = bar(self.heading, self.time_button, self.close_button)
        head.setStretchFactor(self.heading, 1)
        box.addLayout(head)
        for widget in (self.passed, self.about, self.known):
            box.addWidget(widget)
        box.addWidget(self.chart, 1)
        split = split_of("trends", self, self.measures, self.flaky, sizes=(260, 110))
        self.measures.setMinimumHeight(3 * ROW_PX)
        self.flaky.setMinimumHeight(2 * ROW_PX)
        split.setStretchFactor(0, 1)
        box.addWidget(split, 2)
        form = bar(self.until, self.acknowledge_button, self.end_button)
        form.insertWidget(0, self.reason, 1)
        box.addLayout(form)
        box.addWidget(self.say)

    # over time -------------------------------------------------------------------------------------------------------------

    def _turned(self, on: bool) -> None:
        if on and self.time is None:
            self.loader.start()
        self.refresh()

    def _make_time(self) -> None:
        from ui.views.trends_time import TrendsTime

        self.time = TrendsTime(self)
        self.time.said.connect(self._noted)
        box: Any = self.layout()
        box.insertWidget(box.indexOf(self.chart), self.time, 2)
        self.refresh()

    def _noted(self, words: str) -> None:
        self._tell("info", words)

    # what to show ----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A window that only reads measures nothing by itself; what is kept is read when somebody wants to see it."""
        trust = getattr(self.cockpit, "trust", None)
        if trust is not None:
            trust.regressions.begin()

    def show_service(self, service: str) -> None:
        """Show this service as of now."""
        if service != self.service:
            self.service, self._said = service, ("", "")
            self.reason.clear()
        self.refresh()

    def set_filter(self, text: str) -> None:
        """Only measures and tests that match."""
        self.measures.set_filter(text)
        self.flaky.set_filter(text)

    def refresh(self) -> None:
        """Everything as of now."""
        trends: Trends | None = self.cockpit.store.state.trends.get(self.service)
        rows = self._rows(trends or Trends())
        loud = sum(row.state in ("worse", "over") for row in rows)
        name = plain(self.service, 60)
        if trends is None or (not trends.marks and not rows):
            self.heading.show_state("pending", f"{name}: nothing measured yet")
        elif loud:
            self.heading.show_state("bad", f"{name}: {plural(loud, 'measure')} became worse")
        elif (most := regressions.longest(trends)) < regressions.ENOUGH:
            self.heading.show_state("pending", f"{name}: too few runs to say, {most} of {regressions.ENOUGH}")
        else:
            known = sum(row.state == "known" for row in rows)
            self.heading.show_state(
                "held" if known else "ok", f"{name}: {'all that is worse is known' if known else 'nothing became worse'}"
            )
        self.next_us = min((row.word.until_us for row in rows if row.word is not None and row.state == "known"), default=0)
        self.passed.set_marks(trends.marks if trends else ())
        self.measures.set_rows(rows)
        self.measures.set_empty(NOTHING, FILLS)
        self.flaky.set_rows(trends.flaky if trends else ())
        self.flaky.set_empty("No flaky test", "A test that passes and fails on one commit, or flips three times over runs, stands here.")
        if self.measures.selected() is None and rows:
            self.measures.select(rows[0].line.key)
        self._explain()

    def _rows(self, trends: Trends) -> list[MeasureRow]:
        now_us, lines = self.cockpit.clock_us(), {line.key: line for line in trends.lines}
        rows, told = [], set()
        for s in regressions.standing(trends, self.cockpit.store.state.statements, self.service, now_us):
            state = "known" if not s.loud else "over" if s.word is not None else "worse"
            rows.append(MeasureRow(lines[s.regression.key], s.regression, s.word, state))
            told.add(s.regression.key)
        rows += [MeasureRow(line) for key, line in lines.items() if key not in told]
        return sorted(rows, key=weight)

    def _row(self) -> MeasureRow | None:
        found: MeasureRow | None = self.measures.selected()
        return found

    def _chosen(self, row: Any) -> None:
        self._said = ("", "")
        self._explain()

    def _explain(self) -> None:
        row, now_us = self._row(), self.cockpit.clock_us()
        line: Line | None = row.line if row is not None else None
        self.about.set_text(explained(row, now_us) if row is not None else "")
        self.known.set_text(known_words(row, now_us) if row is not None else "")
        index = row.regression.index if row is not None and row.regression is not None else -1
        self.chart.show_line(line, index, "Levels over versions, with the runs where they changed.")
        self._show_time(line)
        self.end_button.setVisible(row is not None and row.state == "known")
        self.say.set_row(*self._said)
        self.say.setVisible(bool(self._said[1]))

    def _show_time(self, line: Line | None) -> None:
        """The same over time in the same place, once the chart library is loaded."""
        over_time = self.time_button.isChecked() and self.time is not None
        for widget in (self.passed, self.chart):
            widget.setVisible(not over_time)
        if self.time is not None:
            self.time.setVisible(over_time)
            if over_time:
                self.time.show_line(line, self.cockpit.store.state.trends.get(self.service) or Trends())

    # what a person does ----------------------------------------------------------------------------------------------------

    @property
    def _words(self) -> Any:
        core: Any = self.cockpit
        return core.words

    def _acknowledge(self) -> None:
        row = self._row()
        if row is None or row.regression is None:
            self._tell("blocked", "There is nothing to acknowledge: choose a measure that became worse.")
            return
        reason = self.reason.text().strip()
        if not reason:
            self.reason.setFocus(Qt.FocusReason.OtherFocusReason)
            self._tell("blocked", "It names its reason: write it, then acknowledge.")
            return
        r, state = row.regression, self.cockpit.store.state
        version = status.version_of(state, self.service, r.last) or Version(self.service, r.last, "", "", 0)
        until_us = self.cockpit.clock_us() + int(self.until.currentData()) * DAY_US
        if self._try(lambda: self._words.acknowledge(version, r.key, reason, until_us), f"{measure_name(row.line)} is known now."):
            self.reason.clear()

    def _end(self) -> None:
        row = self._row()
        if row is not None and row.word is not None:
            word = row.word
            self._try(lambda: self._words.end_acknowledgement(word, self.reason.text().strip()), "It shouts again.")

    def _try(self, act: Any, words: str) -> bool:
        try:
            act()
        except CockpitError as error:
            self._tell("blocked", f"{error.message} {error.hint}".strip())
            return False
        self._tell("ok", words)
        return True

    def _tell(self, state: str, words: str) -> None:
        self._said = (state, words)
        self.refresh()
