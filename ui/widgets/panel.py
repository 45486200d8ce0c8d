"""A state with its words, and the thin line that moves while something loads."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui.bridge import guarded
from ui.models.text import plain, tooltip_text
from ui.theme import font, theme_of
from ui.widgets.shapes import fill, paint_state


class ProgressLine(QWidget):
    """Two pixels at the top of a panel: moves while something loads. Takes its room always."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._busy = False
        self._at = 0.0
        self.setFixedHeight(2)
        self._timer = QTimer(self)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._step)

    @property
    def busy(self) -> bool:
        """Whether something loads."""
        return self._busy

    def set_busy(self, busy: bool) -> None:
        """Move, or rest."""
        if busy != self._busy:
            self._busy = busy
            self._run()

    def _run(self) -> None:
        if self._busy and self.isVisible():
            self._timer.start()
        else:
            self._timer.stop()
        self.update()

    @guarded
    def showEvent(self, event: Any) -> None:
        """Move only while seen."""
        super().showEvent(event)
        self._run()

    @guarded
    def hideEvent(self, event: Any) -> None:
        """Rest while hidden."""
        self._timer.stop()
        super().hideEvent(event)

    @Slot()
    def _step(self) -> None:
        self._at = (self._at + 0.02) % 1.3
        self.update()

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The line."""
        if not self._busy:
            return
        with QPainter(self) as painter:
            width = self.width()
            fill(painter, QRectF((self._at - 0.3) * width, 0, 0.3 * width, 2), theme_of(self).accent)


class StateLabel(QWidget):
    """A state's shape with words in its colour; long words are elided in the middle and whole in the tooltip."""

    def __init__(self, role: str = "body", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._word, self._text, self._role = "", "", role
        self.setFont(font(role))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """What it says."""
        return self._text

    @property
    def word(self) -> str:
        """The state it shows."""
        return self._word

    def show_state(self, word: str, text: str = "") -> None:
        """`word` gives shape and colour ("" = none, in plain text colour); `text` stands for the word where it is given."""
        new = (word, plain(text) or word)
        if new == (self._word, self._text):
            return
        self._word, self._text = new
        self.setAccessibleName(f"{word}: {self._text}" if word and word != self._text else self._text)
        self.setToolTip(tooltip_text(self._text))
        self.updateGeometry()
        self.update()

    def _mark(self) -> int:
        return self.fontMetrics().ascent() if self._word else 0

    @guarded
    def sizeHint(self) -> QSize:
        """Mark and words."""
        gap = self._mark() + (8 if self._word else 0)
        return QSize(min(1200, gap + self.fontMetrics().horizontalAdvance(self._text) + 4), self.fontMetrics().height() + 2)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """The mark and a few letters."""
        return QSize(min(self.sizeHint().width(), 60), self.sizeHint().height())

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Mark, then words."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            left = 0
            if self._word:
                side = self._mark() * 0.8
                paint_state(painter, QRectF(1, 0, side, self.height()), self._word, theme)
                left = int(side) + 8
            painter.setPen(theme.state_colour(self._word) if self._word else theme.text)
            painter.setFont(self.font())
            rect = self.rect().adjusted(left, 0, 0, 0)
            painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine, self.shown(rect.width()))

    def shown(self, room: int) -> str:
        """What of the words has that many pixels."""
        return self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideMiddle, room)
