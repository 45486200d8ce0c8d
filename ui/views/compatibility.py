"""What runs against what: each service in each environment, beside what it needs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from cockpit.services import status
from cockpit.services.store import Change
from ui.models.table import Column
from ui.models.text import NONE, plain, plural
from ui.views.base import View, bar, button
from ui.widgets.table_view import TableView
from ui.widgets.texts import Row, Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit

EVERY = 5  # seconds
_ORDER = ("blocked", "unknown", "warning", "ok")


class CompatibilityView(View):
    """A row for each need. `closed` leads back to where one came from."""

    kinds = frozenset(["fleets", "services", "environments", "ages"])
    everywhere = True
    closed = Signal()

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Compatibility")
        self._beats = 0
        self.heading = Text(role="title", parent=self)
        self.close_button = button("Back", self)
        self.summary = Row(self, one_line=True)
        self.table = TableView(_columns(), lambda p: (p.environment, p.service, p.need.service), "What runs against what", self)
        self.table.timeless = True
        self.why = Row(self)
        self.table.row_selected.connect(self._selected)
        self.table.set_empty("No dependency is declared", 'Name them in cockpit.toml: depends_on = ["risk-engine>=3.3.0"] of a service.')
        self.box.addLayout(bar(self.heading, self.close_button))
        self.box.addWidget(self.summary)
        self.box.addWidget(self.table, 1)
        self.box.addWidget(self.why)
        self.heading.set_text("What runs against what")
        self.close_button.clicked.connect(self.closed)

    def on_change(self, change: Change) -> None:
        """What runs is believed for a while only: looked at again every few seconds, and at once where it changed."""
        if change.kinds == {"ages"} and not change.ids:
            self._beats += 1
            if self._beats % EVERY:
                return
        super().on_change(change)

    def set_filter(self, text: str) -> None:
        """Only rows that match."""
        self.table.set_filter(text)

    def refresh(self) -> None:
        """Compare everything that runs."""
        pairs = status.compatibility(self.state, self.cockpit.clock_us())
        self.table.set_rows(sorted(pairs, key=lambda p: _ORDER.index(str(p.state))))
        if pairs and self.table.selected() is None:
            self.table.select(self.table.rows_model.key_at(0))
        self._selected(self.table.selected())
        counts = {word: sum(str(p.state) == word for p in pairs) for word in _ORDER}
        worst = next((word for word in _ORDER if counts[word]), "")
        told = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        self.summary.set_row(worst, f"{plural(len(pairs), 'need')}: {told}" if pairs else "")

    def _selected(self, row: Any) -> None:
        self.why.set_row(*((str(row.state), f"{plain(row.service)} in {plain(row.environment)}: {plain(row.words)}") if row else ("", "")))


def _versions(names: tuple[str, ...]) -> str:
    return ", ".join(plain(n, 40) for n in names) or NONE


def _columns() -> tuple[Column, ...]:
    def need(row: Any) -> str:
        return plain(row.need.service, 80) + (f" ≥ {plain(row.need.at_least, 40)}" if row.need.at_least else "")

    return (
        Column("State", lambda p: str(p.state), state=lambda p: str(p.state), sort_key=lambda p: _ORDER.index(str(p.state)),
               tooltip=lambda p: plain(p.words), width=88),
        Column("In", lambda p: plain(p.environment), width=100),
        Column("Service", lambda p: plain(p.service), width=112),
        Column("Runs", lambda p: _versions(p.versions), width=88),
        Column("Needs", need, tooltip=lambda p: plain(p.words), width=148, stretch=True),
        Column("Which runs", lambda p: _versions(p.against), width=104),
    )  # fmt: skip
