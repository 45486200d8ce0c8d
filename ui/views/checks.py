"""Tests of the selected service: suites live, what is left, every failing test's own message, and durations over versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSignalBlocker
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QComboBox, QPlainTextEdit, QProgressBar, QVBoxLayout, QWidget

from cockpit.domain.checks import CheckRun, CheckState
from cockpit.domain.errors import CockpitError
from ui.models.columns import SuiteRow, TestRow, suite_columns, test_columns
from ui.models.text import age_text, count_text, duration_text, plain, plain_lines, short_id, short_time_text, time_text, time_tooltip
from ui.theme import state_mark
from ui.views.base import View, bar, button, split_of, text_pane
from ui.views.check_pages import CheckPages
from ui.views.check_progress import CheckFoot, Shown
from ui.views.check_runs import (
    detailed,
    offered,
    runs_of,
    suite_rows,
    test_rows,
    wanted_version,
    whole_remaining,
)
from ui.widgets.panel import StateLabel
from ui.widgets.table_view import ROW_PX, TableView
from ui.widgets.texts import Row, Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.services.runtime import Outcome
    from cockpit.services.store import Change

SUITES_SEEN = 5  # rows of the suite table before it scrolls
RUNS_OFFERED = 40


class ChecksView(View):
    """One run at a time: the newest of the selected (else the newest pending) version, until a person chooses another."""

    kinds = frozenset(["checks", "runs", "versions", "fleets", "starting", "trends", "statements", "ages"])

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Checks")
        self._version = ""
        self._picked = ""
        self._suite = ""
        self._shown: CheckRun | None = None
        self._loaded: set[str] = set()
        self._log_of = ""
        self._run_before, self._was_stale = "", False
        self.pages = CheckPages(self)
        self.box.addWidget(self.pages)
        self.pages.turned.connect(self.read)
        self._build_head()
        self._build_suites()
        self._build_tests()
        self.runs.activated.connect(self._run_chosen)
        self.suites.row_selected.connect(self._suite_chosen)
        self.tests.row_selected.connect(self._test_chosen)
        self.log_button.clicked.connect(self._load_log)
        self.rerun_button.clicked.connect(self._rerun)
        self.stop_button.clicked.connect(self._stop)

    def _build_head(self) -> None:
        self.heading = StateLabel("title", self)
        self.runs = QComboBox(self)
        self.runs.setAccessibleName("Test run")
        self.runs.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.runs.setMinimumContentsLength(26)
        self.runs.setPlaceholderText("other runs")
        self.counts = Text(ink="muted", parent=self)
        self.left = Text(elide=False, parent=self)
        self.progress = QProgressBar(self)
        self.progress.setAccessibleName("Progress of the run")
        self.progress.setTextVisible(False)
        self.progress.setRange(0, 1000)
        row = bar(self.heading)
        row.setStretchFactor(self.heading, 1)
        row.addWidget(self.runs)
        row.addWidget(self.pages.button)
        self.pages.box.addLayout(row)
        row = bar(self.counts, self.left)
        row.setStretchFactor(self.left, 0)
        self.pages.box.addLayout(row)
        self.pages.box.addWidget(self.progress)

    def _build_suites(self) -> None:
        self.suites = TableView(suite_columns(self.cockpit.clock_us), lambda r: r.suite.name, "Suites", self)
        self.log_button = button("Log of the suite", self)
        self.rerun_button = button("Run again", self)
        self.stop_button = button("Stop", self)
        self.say = Row(self, one_line=True)
        self.pages.box.addWidget(self.suites)
        # what is said stands beside the buttons, where its coming moves nothing
        actions = bar(self.log_button, self.rerun_button, self.stop_button)
        actions.addWidget(self.say, 1)
        self.pages.box.addLayout(actions)

    def _build_tests(self) -> None:
        self.tests = TableView(test_columns(), lambda r: (r.suite, r.test.name), "Tests", self)
        # nothing in these two is told by its age
        self.suites.timeless = self.tests.timeless = True
        self.message = text_pane("Message of the test, or log", self, "mono")
        self.message.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.message.setPlaceholderText("Choose a failed test to read its own message, or open a suite's log.")
        self.message_title = Text(role="muted", ink="muted", parent=self)
        self.foot = CheckFoot(self)
        self.foot.changed.connect(self.read)
        self.history, self.history_title = self.foot.bars, self.foot.title
        below = QWidget(self)
        column = QVBoxLayout(below)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.message_title)
        column.addWidget(self.message, 1)
        self.split = split_of("checks", self, self.tests, below)
        self.split.setStretchFactor(0, 3)
        self.split.setStretchFactor(1, 2)
        self.pages.box.addWidget(self.split, 3)
        self.pages.box.addWidget(self.foot, 1)

    # what to show ----------------------------------------------------------------------------------------------------------

    def place_changed(self) -> None:
        """Another place: its own run."""
        self._version = ""
        self._forget()

    def show_version(self, name: str) -> None:
        """Show the newest run of this version."""
        if name != self._version:
            self._version = name
            self._forget()
            self.read()

    def set_filter(self, text: str) -> None:
        """Only tests that match."""
        self.tests.set_filter(text)
        self.pages.set_filter(text)

    def _forget(self) -> None:
        self._picked, self._suite, self._log_of = "", "", ""
        self.foot.forget()
        self.say.set_row("", "")
        self._show_message("", "")

    @property
    def run(self) -> CheckRun | None:
        """The run that is shown."""
        return self._shown

    def on_change(self, change: Change) -> None:
        """A second that passed changes nothing about a run that has ended, unless it grew stale."""
        # what runs is seen where nobody looks, too
        known = self.state.checks.get(self.service)
        if known is not None:
            self.foot.seen.note(known.value, known.at_us)
        if change.kinds == {"ages"} and self.pages.on_trends:
            if self.pages.due(self.cockpit.clock_us()):
                self.read()
            return
        if change.kinds == {"ages"} and self._shown is not None and self._shown.state.final and self._is_stale() == self._was_stale:
            return
        super().on_change(change)

    def _is_stale(self) -> bool:
        fact = self.state.checks.get(self.service)
        return fact is not None and fact.stale(self.cockpit.clock_us())

    def refresh(self) -> None:
        """Everything as of now."""
        if self.pages.show_trends(self.service):
            return
        self._was_stale = self._is_stale()
        runs = runs_of(self.state, self.service)
        version = wanted_version(self.state, self.service, self.environment, self._version)
        order = offered(runs, version)[:RUNS_OFFERED]
        picked = next((r for r in order if r.id == self._picked), None)
        mine = next((r for r in order if r.version == version), None)
        self._shown = picked or mine or (None if self._version else next(iter(order), None))
        self._offer(order)
        if self._shown is None:
            self._show_nothing(version)
            return
        run = detailed(self.state, self._shown)
        self._ask_for_tests(run)
        now_us = self.cockpit.clock_us()
        self._tell_head(run, runs, now_us)
        self._show_suites(suite_rows(run, runs, now_us))
        self._show_tests(run)
        if run.id != self._run_before:
            self._run_before = run.id
            for table in (self.suites, self.tests):
                table.rows_model.clear_tints()
        self._show_history(runs)

    def _offer(self, order: tuple[CheckRun, ...]) -> None:
        now_us = self.cockpit.clock_us()
        words = [f"{state_mark(str(r.state))} · {plain(r.version, 40)} · {_when(r.started_at_us, now_us)}" for r in order]
        if [self.runs.itemText(i) for i in range(self.runs.count())] != words:
            with QSignalBlocker(self.runs):
                self.runs.clear()
                for run, text in zip(order, words, strict=True):
                    self.runs.addItem(text, run.id)
        if self._shown is not None:
            self.runs.setCurrentIndex(next(i for i, r in enumerate(order) if r.id == self._shown.id))
        else:
            self.runs.setCurrentIndex(-1)

    def _ask_for_tests(self, run: CheckRun) -> None:
        """The list of runs has failures only; all tests of an ended run are asked for once."""
        if run.state.final and run.id not in self._loaded and sum(len(s.tests) for s in run.suites) < sum(s.done for s in run.suites):
            self._loaded.add(run.id)
            self.cockpit.actions.load_run(run.id)

    def _show_nothing(self, version: str) -> None:
        title, hint = self._empty_words(version)
        self.heading.show_state("pending", title)
        for label in (self.counts, self.left):
            label.set_text("")
        self.progress.setValue(0)
        self._show_suites([])
        self.suites.set_empty(title, hint)
        self.tests.set_rows([])
        self.tests.set_empty("", "")
        self._suite = ""
        self._show_history(runs_of(self.state, self.service))

    def _empty_words(self, version: str) -> tuple[str, str]:
        if self.state.starting:
            return plain(self.state.starting, 200), "Tests appear as soon as the CI system answers."
        if self.service not in self.state.checks:
            return "No test runs are known", "A CI system's first answer brings them. Sources shows what is connected, and how it does."
        if version:
            return f"No run of {plain(version, 60)} yet", "Its tests begin when the CI system sees its tag. Runs of other versions: above."
        return "No run yet", "A run begins when a version is tagged."

    def _tell_head(self, run: CheckRun, runs: tuple[CheckRun, ...], now_us: int) -> None:
        fact = self.state.checks[self.service]
        stale = fact.stale(now_us)
        word = str(run.state)
        self.heading.show_state("stale" if stale else word, f"{plain(run.version, 60)} {word}" + (", stale" if stale else ""))
        done = [sum(getattr(s, n) for s in run.suites) for n in ("passed", "failed", "errors", "skipped")]
        total = sum(max(s.total, s.done) for s in run.suites)
        words = f"{count_text(done[0])} passed, {count_text(done[1])} failed, {count_text(done[2])} errors, {count_text(done[3])} skipped"
        late = f", {age_text(fact.age_s(now_us))} old" if stale else ""
        when = f"{time_tooltip(run.started_at_us)}\ncommit {run.commit}\nrun {run.id}"
        self.counts.set_text(f"{words} of {count_text(total)} · commit {short_id(run.commit)}{late}", when)
        self.counts.set_ink("bad" if done[1] or done[2] else "muted")
        left, share = whole_remaining(run, runs, now_us)
        if run.state.final:
            took = (run.finished_at_us - run.started_at_us) / 1e6 if run.finished_at_us and run.started_at_us else None
            self.left.set_text(f"took {duration_text(took)}")
            self.progress.setValue(1000)
        else:
            over = "longer than usual" if left is not None and left <= 0 else f"about {duration_text(left)} left"
            self.left.set_text("remaining time not known" if left is None else over)
            self.progress.setValue(round(1000 * (share or 0)))
        self.progress.setAccessibleDescription(self.left.whole)

    def _show_suites(self, rows: list[SuiteRow]) -> None:
        self.suites.set_rows(rows)
        if self._shown is not None and not self._shown.state.final:
            self.suites.refresh()
        seen = min(SUITES_SEEN, max(3, len(rows)))
        self.suites.setFixedHeight(ROW_PX * (seen + 1) + 2)

    def _show_tests(self, run: CheckRun) -> None:
        rows = test_rows(run, self._suite)
        self.tests.set_rows(rows)
        waiting = run.state in (CheckState.PENDING, CheckState.RUNNING)
        hint = "They appear one by one while the suite runs." if waiting else "The CI system keeps none of this run."
        self.tests.set_empty("No single tests to show", hint)
        if not self._log_of and self.tests.selected() is None:
            self._explain(next((r for r in rows if r.test.message), None))

    def _show_history(self, runs: tuple[CheckRun, ...]) -> None:
        self.foot.tell(Shown(self._shown, self._suite, runs, self.state.runs, self.cockpit.clock_us()))

    # messages and logs -----------------------------------------------------------------------------------------------------

    def _explain(self, row: TestRow | None) -> None:
        if row is None:
            self._show_message("", "")
        elif row.test.message:
            self._show_message(f"{plain(row.test.name)} {row.test.outcome}:", row.test.message)
        else:
            self._show_message(f"{plain(row.test.name)} {row.test.outcome}: it left no message.", "")

    def _show_message(self, title: str, text: str) -> None:
        self.message_title.set_text(title or "Message")
        shown = plain_lines(text)
        if shown != self.message.toPlainText():
            self.message.setPlainText(shown)

    def _load_log(self) -> None:
        run, row = self._shown, self.suites.selected()
        if run is None or (row is None and not run.suites):
            self._refused("There is no suite to read a log of yet.")
            return
        suite = row.suite.name if row is not None else _loudest(run)
        self._log_of = asked = f"{run.id}/{suite}"
        self._show_message(f"Log of {plain(suite, 60)}: being read…", "")

        def done(outcome: Outcome[str]) -> None:
            if self._log_of != asked:
                return
            if outcome.error is not None:
                self._show_message(f"Log of {plain(suite, 60)}: could not be read.", str(outcome.error))
                return
            self._show_message(f"Log of {plain(suite, 60)} of run {plain(run.id, 60)}", outcome.value or "The log is empty.")
            self.message.moveCursor(self.message.textCursor().MoveOperation.End)

        self.cockpit.actions.load_log(run.id, suite, done)

    # what a person does ----------------------------------------------------------------------------------------------------

    def _run_chosen(self, index: int) -> None:
        self._forget()
        self._picked = self.runs.itemData(index) or ""
        self.read()

    def _suite_chosen(self, row: Any) -> None:
        name = row.suite.name if row is not None else ""
        if name != self._suite:
            self._suite, self._log_of = name, ""
            self.read()

    def _test_chosen(self, row: Any) -> None:
        if row is not None:
            self._log_of = ""
            self._explain(row)

    def _rerun(self) -> None:
        if self._shown is None:
            self._refused("There is no run yet that could be repeated.")
        elif self._try(self.cockpit.actions.rerun_checks, "A new run was asked for."):
            self._picked = ""

    def _stop(self) -> None:
        if self._shown is None or self._shown.state.final:
            self._refused("This run has ended: there is nothing to stop." if self._shown else "There is no run yet to stop.")
        else:
            self._try(self.cockpit.actions.stop_checks, "The run was asked to stop.")

    def _try(self, act: Any, words: str) -> bool:
        if self._shown is None:
            return False
        try:
            act(self._shown.id)
        except CockpitError as error:
            self._refused(f"{error.message} {error.hint}".strip())
            return False
        self.say.set_row("info", words)
        return True

    def _refused(self, words: str) -> None:
        self.say.set_row("blocked", words)

    @property
    def message_height(self) -> int:
        """Lines of the message pane that fit, for tests of the layout."""
        return self.message.viewport().height() // QFontMetrics(self.message.font()).lineSpacing()


def _when(at_us: int, now_us: int) -> str:
    """The time of today, or month, day and minute: a run's place in the list must fit."""
    words = time_text(at_us, now_us)
    return words if len(words) <= len("00:00:00 UTC") else f"{short_time_text(at_us)} UTC"


def _loudest(run: CheckRun) -> str:
    """The suite whose log one wants first: a failed one, else the one that runs, else the last."""
    order = (CheckState.FAILED, CheckState.ERROR, CheckState.RUNNING)
    bad = next((s.name for s in run.suites if s.failed or s.errors), "")
    return bad or next((s.name for state in order for s in run.suites if s.state is state), run.suites[-1].name)
