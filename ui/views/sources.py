"""Sources: every connection's health, when it answered last, when it is asked next, and what to do about its problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from PySide6.QtWidgets import QWidget

from ui.models.columns import source_columns
from ui.models.table import Column
from ui.models.text import health_words, plain
from ui.views.base import View, bar, button
from ui.widgets.table_view import TableView
from ui.widgets.texts import RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.services.runtime import Outcome

DETAIL_LINES = 5  # a problem, its way out, and what a test found


class SourcesView(View):
    """A row a connection; below it the selected one's problem with its way out, and what a test found."""

    kinds = frozenset(["sources", "ages"])

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Sources")
        self._found: dict[str, tuple[str, str]] = {}
        self.count = Text(ink="muted", parent=self)
        self.test_button = button("Test connection", self)
        self.ask_button = button("Ask now", self)
        self.table = TableView(_columns(cockpit.clock_us), lambda s: s.id, "Sources", self)
        self.table.set_empty("No connections yet", "Name them in cockpit.toml under [connections.NAME]: CI, deployment, metrics.")
        self.detail = RowList("The selected source", self)
        self.box.addLayout(bar(self.count, self.test_button, self.ask_button))
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        self.test_button.clicked.connect(self._test)
        self.ask_button.clicked.connect(self._ask)
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
        if row is not None and row.problem is not None:
            state = row.state(self.cockpit.clock_us())
            rows.append((state, f"{plain(row.problem.title)}: {plain(row.problem.message)}", "", ""))
            if row.problem.hint:
                rows.append(("", f"Way out: {plain(row.problem.hint)}", "", ""))
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
