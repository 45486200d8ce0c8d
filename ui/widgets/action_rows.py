"""Rows that each have one thing to do: words to the left, a button to the right; kept and refilled, so that focus stays where it is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ui.widgets.texts import Row


class Item(Struct, frozen=True):
    """One row. `key` comes back when its button is pressed; `deed` "" has none. `why_not`: why the button would refuse, for its tooltip."""

    key: str
    state: str
    words: str
    deed: str = ""
    why_not: str = ""


class _Line(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.row = Row(self, indented=True)
        self.button = QPushButton(self)
        self.button.setProperty("role", "flat")
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addWidget(self.row, 1)
        box.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)

    def show_item(self, item: Item) -> None:
        self.row.set_row(item.state, item.words)
        self.button.setVisible(bool(item.deed))
        self.button.setText(item.deed.replace("&", "&&"))
        self.button.setAccessibleName(f"{item.deed}: {item.words}")
        self.button.setAccessibleDescription(item.why_not)
        self.button.setObjectName(item.key)


class ActionRows(QWidget):
    """`chosen` carries the key of the row whose button was pressed."""

    chosen = Signal(str)

    def __init__(self, accessible_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(accessible_name)
        self._items: list[Item] = []
        self.lines: list[_Line] = []
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(2)

    def set_items(self, items: Sequence[Item]) -> None:
        """Show these."""
        if list(items) == self._items:
            return
        self._items = list(items)
        while len(self.lines) < len(items):
            line = _Line(self)
            line.button.clicked.connect(self._clicked)
            self._box.addWidget(line)
            self.lines.append(line)
        for number, line in enumerate(self.lines):
            line.setVisible(number < len(items))
            if number < len(items):
                line.show_item(items[number])
        self.setVisible(bool(items))

    @property
    def as_text(self) -> str:
        """All rows as lines of text."""
        return "\n".join(line.row.as_text for line in self.lines if not line.isHidden())

    def _clicked(self) -> None:
        self.chosen.emit(self.sender().objectName())
