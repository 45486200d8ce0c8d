"""Activity: the journal as a table, the chosen entry whole below it; filtered, exported, verified."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QComboBox, QFileDialog, QLineEdit, QWidget

from cockpit.domain.errors import CockpitError, StorageError
from cockpit.services.runtime import Outcome
from ui.models.columns import activity_columns
from ui.models.journal import entry_text
from ui.models.text import count_text, plural, short_id
from ui.views.base import View, bar, button, split_of, text_pane
from ui.widgets.table_view import TableView
from ui.widgets.texts import Row, Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit

_Question = tuple[str, tuple[str, ...]]  # text, kinds

LIMIT = 1000
SEARCH_MS = 250  # a journal of years takes seconds to search: not at every letter
_KINDS = (
    ("All kinds", ()),
    ("Intents", ("intent",)),
    ("Outcomes", ("outcome",)),
    ("Notes and votes", ("note",)),
    ("Progress", ("progress",)),
)


class ActivityView(View):
    """The newest thousand entries that match; asked again when an action or a vote changes something."""

    kinds = frozenset(["actions", "approvals", "statements", "rollouts", "checks"])
    everywhere = True

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self._asked: _Question | None = None  # what is being read
        self._shown: _Question | None = None
        self._again = False
        self.setAccessibleName("Activity")
        self._build()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SEARCH_MS)
        self._connect()

    def _build(self) -> None:
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText("Find in the journal")
        self.filter.setAccessibleName("Find in the journal")
        self.filter.setClearButtonEnabled(True)
        self.kind = QComboBox(self)
        self.kind.setAccessibleName("Kind of entry")
        for title, kinds in _KINDS:
            self.kind.addItem(title, kinds)
        self.csv_button = button("Export CSV…", self)
        self.json_button = button("Export JSON…", self)
        self.verify_button = button("Verify", self, tip="Recompute the chain of hashes of the whole journal")
        self.say = Row(self, one_line=True)
        self.table = TableView(activity_columns(self.cockpit.clock_us), lambda e: e.seq, "Journal", self)
        self.table.set_empty("Nothing has happened yet", "Deployments, rollbacks and approvals stand here, before and after they happen.")
        self.detail = text_pane("The chosen entry, whole", self, "mono")
        self.detail.setPlaceholderText("The chosen entry stands here whole.")
        self.count = Text(role="muted", ink="muted", elide=False, parent=self)
        row = bar(self.kind, self.csv_button, self.json_button, self.verify_button)
        row.insertWidget(0, self.filter, 1)
        self.box.addLayout(row)
        self.box.addWidget(split_of("activity", self, self.table, self.detail, sizes=(340, 190)), 1)
        # what is said stands beside the count, where its coming moves nothing
        foot = bar(self.count)
        foot.setStretchFactor(self.count, 0)
        foot.addWidget(self.say, 1)
        self.box.addLayout(foot)

    def _connect(self) -> None:
        self._later.timeout.connect(self.refresh)
        self.filter.textChanged.connect(self._typed)
        self.kind.currentIndexChanged.connect(self.refresh)
        self.table.row_selected.connect(self._selected)
        self.csv_button.clicked.connect(self._export_csv)
        self.json_button.clicked.connect(self._export_json)
        self.verify_button.clicked.connect(self._verify)

    def set_filter(self, text: str) -> None:
        """The window's filter is the journal's."""
        if text != self.filter.text():
            self.filter.setText(text)

    def _typed(self, text: str) -> None:
        self._later.start()

    def _question(self) -> _Question:
        return self.filter.text().strip(), tuple(self.kind.currentData() or ())

    def refresh(self) -> None:
        """Ask the journal, in the background: one question at a time, the newest next."""
        self._later.stop()
        self._again = self._asked is not None
        if self._again:
            return
        self._asked = question = self._question()
        if question != self._shown:
            self.count.set_text("reading…")
        self.cockpit.actions.load_activity(*question, LIMIT, partial(self._answered, question))

    def _answered(self, question: _Question, outcome: Outcome[tuple[Any, ...]]) -> None:
        self._asked = None
        if question == self._question():
            self._show(question, outcome)
        elif not self._later.isActive():
            self._again = True
        if self._again:
            self.refresh()

    def _show(self, question: _Question, outcome: Outcome[tuple[Any, ...]]) -> None:
        if outcome.error is not None or outcome.value is None:
            self._shown = None
            self.count.set_text("not read")
            self._failed(outcome.error)
            return
        entries = outcome.value
        self._shown = question
        self.table.set_rows(list(entries))
        if entries and self.table.selected() is None:
            self.table.select(entries[0].seq)
        self._selected(self.table.selected())
        self.count.set_text(
            f"{plural(len(entries), 'entry', 'entries')}" + (f", the newest {count_text(LIMIT)} only" if len(entries) == LIMIT else "")
        )

    def _failed(self, error: Exception | None) -> None:
        if isinstance(error, CockpitError):
            self._tell("failed", f"{error.title}: {error.message} {error.hint}".strip())
        elif isinstance(error, OSError):
            self._tell("failed", f"{StorageError.title}: {error.strerror or error}. Choose another place.")
        else:
            self._tell("failed", f"A defect in Release Cockpit: {type(error).__name__}: {error}")

    def _selected(self, entry: Any) -> None:
        words = entry_text(entry) if entry is not None else ""
        if words != self.detail.toPlainText():
            self.detail.setPlainText(words)

    def _tell(self, state: str, words: str) -> None:
        self.say.set_row(state, words)

    def _verify(self) -> None:
        self.verify_button.setEnabled(False)
        self._tell("running", "The journal is being checked…")
        self.cockpit.actions.check_journal(self._verified)

    def _verified(self, outcome: Outcome[Any]) -> None:
        self.verify_button.setEnabled(True)
        found = outcome.value
        if outcome.error is not None or found is None:
            self._failed(outcome.error)
        elif found.ok:
            self._tell("ok", f"The journal is whole: {plural(found.count, 'entry', 'entries')}, head {short_id(found.head) or 'none'}.")
        else:
            self._tell("failed", f"The journal was changed: {'; '.join(found.problems)}")

    def _export_csv(self) -> None:
        self._ask_path("csv")

    def _export_json(self) -> None:
        self._ask_path("json")

    def _ask_path(self, form: str) -> None:
        dialog = QFileDialog(self, f"Export the journal as {form.upper()}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(form)
        dialog.selectFile(f"journal.{form}")
        dialog.fileSelected.connect(self.export)
        dialog.open()

    def export(self, path: str) -> None:
        """Write what is shown to `path`; its ending says the form: .json, anything else is CSV."""
        entries = tuple(self.table.rows_model.rows)
        words = f"{plural(len(entries), 'entry', 'entries')} written to {path}"
        self.cockpit.actions.save_activity(entries, path, partial(self._exported, words))

    def _exported(self, words: str, outcome: Outcome[int]) -> None:
        if outcome.error is not None:
            self._failed(outcome.error)
        else:
            self._tell("ok", words)
