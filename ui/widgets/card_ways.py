"""The other ways than the one button: links below the plan, kept and refilled so that focus and pointer stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ui.widgets.card_facts import Way


class Ways(QWidget):
    """`chosen` carries the name of a way."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Other ways")
        self._ways: list[Way] = []
        self.buttons: list[QPushButton] = []
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(0)

    @property
    def some(self) -> bool:
        """Whether there is any."""
        return bool(self._ways)

    def show_ways(self, ways: Sequence[Way]) -> None:
        """Offer these."""
        if list(ways) == self._ways:
            return
        self._ways = list(ways)
        while len(self.buttons) < len(ways):
            made = QPushButton(self)
            made.setProperty("role", "link")
            made.clicked.connect(self._clicked)
            self._box.addWidget(made)
            self.buttons.append(made)
        for number, button in enumerate(self.buttons):
            button.setVisible(number < len(ways))
            if number < len(ways):
                words = self.fontMetrics().elidedText(ways[number].words, Qt.TextElideMode.ElideMiddle, 240)
                button.setText(words.replace("&", "&&"))
                button.setAccessibleName(ways[number].words)
                button.setObjectName(ways[number].name)

    def _clicked(self) -> None:
        self.chosen.emit(self.sender().objectName())
