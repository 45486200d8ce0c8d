"""Words of a watch on little room: a countdown whose seconds move nothing, and a paragraph of so many lines."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QTextLayout, QTextLine, QTextOption
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from ui.bridge import guarded
from ui.models.text import plain, tooltip_text
from ui.theme import font, theme_of
from ui.widgets.panel import StateLabel
from ui.widgets.texts import focus_ring

_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class Standing(StateLabel):
    """A version and its state: where there is no room the version ends in dots, the state is never cut."""

    def shown(self, room: int) -> str:
        """1.7.0-rc.1+bui…: cannot tell."""
        metrics, right = self.fontMetrics(), Qt.TextElideMode.ElideRight
        name, colon, state = self.text.rpartition(": ")
        left = room - metrics.horizontalAdvance(colon + state)
        if name and left > 0 and metrics.horizontalAdvance(self.text) > room:
            return f"{metrics.elidedText(name, right, left)}{colon}{state}"
        return metrics.elidedText(self.text, right, room)


class CountdownText(QAbstractButton):
    """What is announced, its seconds, and why: one line on a filled ground. The room of the seconds stays while they count.

    A click leads to the place. The seconds are in the description, not in the name: a screen reader is not interrupted each second.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.head, self.seconds, self.why = "", "", ""
        self._room = 0
        self.setFont(font("strong"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_words(self, head: str, seconds: str, why: str) -> None:
        """Show these; only the seconds change from one to the next."""
        if (head, why) != (self.head, self.why):
            self._room = 0
            self.setAccessibleName(f"{head}: {why}" if why else head)
        if (head, seconds, why) == (self.head, self.seconds, self.why):
            return
        self.head, self.seconds, self.why = head, seconds, why
        self._room = max(self._room, self.fontMetrics().horizontalAdvance(seconds))
        self.setAccessibleDescription(seconds)
        self.setToolTip(tooltip_text(f"{self.sentence}\nA click leads there"))
        self.update()

    @property
    def sentence(self) -> str:
        """All of it."""
        return f"{self.head} {self.seconds}" + (f": {self.why}" if self.why else "")

    @guarded
    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(200, self.fontMetrics().height() + 4)

    def boxes(self) -> tuple[QRect, QRect, QRect]:
        """Where head, seconds and reason stand."""
        metrics, gap = self.fontMetrics(), 6
        room = max(40, self.width() - 8)
        left = 4
        head = min(metrics.horizontalAdvance(self.head) + 2, max(80, room - self._room - gap))
        first = QRect(left, 0, head, self.height())
        second = QRect(left + head + gap, 0, self._room, self.height())
        third = QRect(second.right() + 2 * gap, 0, max(0, left + room - second.right() - 2 * gap), self.height())
        return first, second, third

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The three parts, each in its room."""
        theme = theme_of(self)
        head, seconds, why = self.boxes()
        with QPainter(self) as painter:
            painter.setPen(theme.on_fill)
            painter.setFont(self.font())
            metrics = painter.fontMetrics()
            painter.drawText(head, _LEFT, metrics.elidedText(self.head, Qt.TextElideMode.ElideMiddle, head.width()))
            painter.drawText(seconds, _RIGHT, self.seconds)
            if self.why and why.width() > 60:
                painter.setFont(font("body"))
                painter.drawText(why, _LEFT, painter.fontMetrics().elidedText(self.why, Qt.TextElideMode.ElideRight, why.width()))
            if self.hasFocus():
                focus_ring(painter, self.rect(), theme, theme.on_fill)


class Paragraph(QAbstractButton):
    """Words wrapped onto at most so many lines; its height never changes. What is cut ends in dots and is whole in the tooltip."""

    def __init__(self, lines: int, parent: QWidget | None = None, *, role: str = "muted") -> None:
        super().__init__(parent)
        self._lines, self._words, self._ink = lines, "", "text"
        self.setFont(font(role))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(lines * QFontMetrics(self.font()).height() + 2)

    @property
    def words(self) -> str:
        """All of it, also what is cut."""
        return self._words

    def show_words(self, words: str, ink: str = "text") -> None:
        """Show `words` in the colour of a token."""
        if (plain(words), ink) == (self._words, self._ink):
            return
        self._words, self._ink = plain(words), ink
        self.setAccessibleName(self._words)
        self.setToolTip(tooltip_text(f"{self._words}\nA click shows all of the watch"))
        self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """As narrow as the card."""
        return QSize(200, self.height())

    def shown(self) -> list[str]:
        """The lines as they stand."""
        layout, lines = self._laid()
        texts = [layout.text()[line.textStart() : line.textStart() + line.textLength()].strip() for line in lines]
        if len(texts) > self._lines:
            rest = layout.text()[lines[self._lines - 1].textStart() :]
            texts = [*texts[: self._lines - 1], self.fontMetrics().elidedText(rest, Qt.TextElideMode.ElideRight, self.width())]
        return texts

    def _laid(self) -> tuple[QTextLayout, list[QTextLine]]:
        layout = QTextLayout(self._words, self.font())
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        lines = []
        layout.beginLayout()
        while (line := layout.createLine()).isValid():
            line.setLineWidth(max(20, self.width()))
            lines.append(line)
        layout.endLayout()
        return layout, lines

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Line by line."""
        theme = theme_of(self)
        colour: QColor = theme.accent if self.underMouse() and self._words else theme.colour(self._ink)
        with QPainter(self) as painter:
            painter.setFont(self.font())
            painter.setPen(colour)
            metrics = painter.fontMetrics()
            for number, text in enumerate(self.shown()):
                painter.drawText(QPointF(0, number * metrics.height() + metrics.ascent() + 1), text)
            if self.hasFocus():
                focus_ring(painter, self.rect(), theme)
