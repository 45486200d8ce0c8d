"""Notices: everything that was told, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from ui.models.columns import notice_columns
from ui.models.table import Column
from ui.models.text import plain, plural
from ui.views.base import View, bar, button
from ui.widgets.table_view import TableView
from ui.widgets.texts import RowList, Text, scrolled

if TYPE_CHECKING:
    from cockpit.app import Cockpit

DETAIL_LINES = 4  # a notice and its way out


class NoticesView(View):
    """The history. `went` names the place that a notice is about; `closed` leads back to where one came from."""

    kinds = frozenset(["notices"])
    went = Signal(str)
    closed = Signal()

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Notices")
        self.count = Text(ink="muted", parent=self)
        self.close_button = button("Back", self)
        self.table = TableView(_columns(), lambda n: n.id, "Notices", self)
        self.table.set_empty("Nothing to tell", "Errors, warnings and news stand here, newest first.")
        self.detail = RowList("The selected notice", self)
        self.detail.went.connect(self.went)
        self.box.addLayout(bar(self.count, self.close_button))
        self.box.addWidget(self.table, 1)
        self.box.addWidget(scrolled(self.detail, self, DETAIL_LINES))
        self.close_button.clicked.connect(self.closed)
        self.table.row_selected.connect(self._selected)
        self.table.row_activated.connect(self._activated)

    def set_filter(self, text: str) -> None:
        """Only notices that match."""
        self.table.set_filter(text)

    def refresh(self) -> None:
        """Read the history."""
        history = self.cockpit.notices.history
        self.table.set_rows(history)
        self.count.set_text(f"{plural(len(history), 'notice')}, {sum(n.over for n in history)} over")
        if history and self.table.selected() is None:
            self.table.select(history[0].id)
        self._selected(self.table.selected())

    def _selected(self, row: Any) -> None:
        rows = []
        if row is not None:
            state = "over" if row.over else str(row.severity)
            rows = [(state, f"{plain(row.title)}: {plain(row.message)}", "", row.place)]
            if row.hint:
                rows.append(("", f"Way out: {plain(row.hint)}", "", ""))
        self.detail.set_rows(rows)

    def _activated(self, row: Any) -> None:
        if row.place:
            self.went.emit(row.place)


def _columns() -> tuple[Column, ...]:
    """The way out of the selected notice stands below the table, where there is room for it."""
    widths = {"Time": 124, "Severity": 120, "What": 184}
    return tuple(replace(c, width=widths.get(c.title, c.width)) for c in notice_columns() if c.title != "Way out")
