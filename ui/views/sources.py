"""Sources: every connection's health, when it answered last, when it is asked next, and what to do about its problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from PySide6.QtWidgets import QWidget

from cockpit.domain.errors import CockpitError
from cockpit.services.notices import Severity
from ui.models.columns import source_columns
from ui.models.connect import error_rows, kept_words
from ui.models.table import Column
from ui.models.text import health_words, plain
from ui.views.base import View, bar, button
from ui.widgets.table_view import TableView
from ui.widgets.texts import RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.connection import Draft
    from cockpit.services.runtime import Outcome

_LEVELS = {"ok": Severity.INFO, "warning": Severity.WARNING}
DETAIL_LINES = 5  # a problem, its way out, and what a test found


class SourcesView(View):
    """A row a connection; below it the selected one's problem with its way out, and what a test found."""

    kinds = frozenset(["sources", "ages"])

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Sources")
        self._found: dict[str, tuple[str, str]] = {}
        self._sure = ""  # the connection whose removal was asked for once
        self.count = Text(ink="muted", parent=self)
        self.add_button = button("Add a connection", self, role="primary")
        self.test_button = button("Test connection", self)
        self.ask_button = button("Ask now", self)
        self.change_button = button("Change", self, tip="Change the selected connection")
        self.token_button = button("New token", self, tip="Give the selected connection another token")
        self.remove_button = button(
            "Remove", self, tip="Take the selected connection out of the settings, and its token out of the keyring"
        )
        self.table = TableView(_columns(cockpit.clock_us), lambda s: s.id, "Sources", self)
        self.table.set_empty("No connections yet", "“Add a connection” above asks for one; it stands in cockpit.toml then.")
        self.detail = RowList("The selected source", self)
        self.box.addLayout(bar(self.count, self.add_button))
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        deeds = (self.test_button, self.ask_button, self.change_button, self.token_button, self.remove_button)
        self.box.addLayout(bar(*deeds, None))
        for made, slot in zip(
            (self.add_button, *deeds), (self._add, self._test, self._ask, self._change, self._new_token, self._remove), strict=True
        ):
            made.clicked.connect(slot)
        self.table.row_selected.connect(self._selected)

    def set_filter(self, text: str) -> None:
        """Only sources that match."""
        self.table.set_filter(text)

    def refresh(self) -> None:
        """Read every connection."""
        sources = sorted(self.state.sources.values(), key=lambda s: (s.title, s.id))
        self.table.set_rows(sources)
        self.table.refresh()
        if sources and self.table.selected() is None and not self.table.rows_model.filter_text:
            self.table.select(sources[0].id)
        self.count.set_text(health_words(sources, self.cockpit.clock_us()) or "no sources")
        self._selected(self.table.selected())

    def _selected(self, row: Any) -> None:
        rows = []
        if self._sure and (row is None or row.id != self._sure):
            self._doubt()
        if row is not None and row.problem is not None:
            state = row.state(self.cockpit.clock_us())
            rows.append((state, f"{plain(row.problem.title)}: {plain(row.problem.message)}", "", ""))
            if row.problem.hint:
                rows.append(("", f"Way out: {plain(row.problem.hint)}", "", ""))
            why, hint = self._systems.keyring if self._systems is not None else ("", "")
            if why and row.stopped:
                rows.append(("warning", f"{why} {hint}", "", ""))
        if row is not None and row.id in self._found:
            rows.append((*self._found[row.id], "", ""))
        self.detail.set_rows(rows)

    def _test(self) -> None:
        row = self.table.selected()
        if row is None:
            return
        source_id = row.id
        self._found[source_id] = ("running", "Testing the connection")

        def done(outcome: Outcome[Any]) -> None:
            self._found[source_id] = _probe_words(outcome)
            self._selected(self.table.selected())

        self._selected(row)
        self.cockpit.sync.test(source_id, done)

    # ---- adding, changing, removing

    @property
    def _systems(self) -> Any:
        """They come with the whole core, after the first paint."""
        return getattr(self._core, "systems", None)

    def _add(self) -> None:
        self._open(None)

    def _change(self) -> None:
        self._open_selected(token_only=False)

    def _new_token(self) -> None:
        self._open_selected(token_only=True)

    def _open_selected(self, *, token_only: bool) -> None:
        row = self.table.selected()
        if row is None:
            return
        try:
            self._open(self._systems.draft(row.id), token_only=token_only)
        except CockpitError as error:
            self._say(row.id, "blocked", f"{error.title}: {error.message} {error.hint}")

    def _open(self, draft: Draft | None, *, token_only: bool = False) -> None:
        from ui.views.connect import ConnectDialog

        dialog = ConnectDialog(self._systems, draft, self, token_only=token_only)
        dialog.saved.connect(self._say)
        dialog.show()

    def _say(self, source_id: str, state: str, words: str) -> None:
        """What was done to a connection; one that was just added is selected as soon as it is asked."""
        self._found[source_id] = (state, words)
        if state in _LEVELS:
            # its row may come later, or be gone by now
            self.cockpit.notices.tell(_LEVELS[state], f"Connection {plain(source_id, 60)}", words, place="sources")
        self.table.select(source_id)
        self._selected(self.table.selected())

    def _remove(self) -> None:
        row = self.table.selected()
        if row is None:
            return
        if self._sure != row.id:
            self._sure = row.id
            self.remove_button.setText(f"Remove {plain(row.id, 24)} and its token")
            self.remove_button.setAccessibleName(f"Really remove {plain(row.id, 60)} and its token")
            self._look_sure("primary")
            return
        self._doubt()
        source_id = row.id
        try:
            draft = self._systems.draft(source_id)
        except CockpitError as error:
            self._say(source_id, "blocked", f"{error.title}: {error.message} {error.hint}")
            return

        def done(outcome: Outcome[Any]) -> None:
            if outcome.value is None:
                state, words, *_ = error_rows(outcome.error)[0]
                self._say(source_id, state, f"{words} {plain(getattr(outcome.error, 'hint', ''))}")
            else:
                state, words = kept_words(outcome.value)
                self._say(source_id, state, words.replace("Saved in", "Removed from"))

        self._systems.remove(draft, done)

    def _doubt(self) -> None:
        """Another row, or done: the question is over."""
        self._sure = ""
        self.remove_button.setText("Remove")
        self.remove_button.setAccessibleName("Remove")
        self._look_sure("")

    def _look_sure(self, role: str) -> None:
        self.remove_button.setProperty("role", role)
        self.remove_button.style().polish(self.remove_button)

    def _ask(self) -> None:
        row = self.table.selected()
        self.cockpit.sync.refresh_now(row.id if row is not None else "")


def _probe_words(outcome: Outcome[Any]) -> tuple[str, str]:
    if outcome.error is not None or outcome.value is None:
        error = outcome.error
        hint = getattr(error, "hint", "")
        return "failed", f"{getattr(error, 'title', 'The test failed')}: {getattr(error, 'message', error)}" + (f" {hint}" if hint else "")
    probe = outcome.value
    words = f"Reached {plain(probe.reached)}" + (f" as {plain(probe.identity)}" if probe.identity else "")
    if probe.missing:
        return "warning", f"{words}; missing: {', '.join(plain(m) for m in probe.missing)}"
    return "ok", words


def _columns(clock_us: Callable[[], int]) -> tuple[Column, ...]:
    """The selected source's problem stands whole below the table."""
    widths = {"Source": 144, "Next": 100}
    return tuple(replace(c, width=widths.get(c.title, c.width)) for c in source_columns(clock_us))
