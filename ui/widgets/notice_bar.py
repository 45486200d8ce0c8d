"""One line at the bottom: the notice that matters most now. A click or Enter opens the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QRect, QRectF, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui.bridge import guarded
from ui.models.text import age_text, plain, time_tooltip, tooltip_text
from ui.theme import font, theme_of
from ui.widgets.shapes import fill, paint_state

HEIGHT = 32
_SHAPE = 12
_QUIET = "No notices"


class NoticeBar(QWidget):
    """Shows one notice (severity, title, message, hint, count, at_us, over) as plain text, whatever stands in it."""

    history_wanted = Signal()

    def __init__(self, clock_us: Callable[[], int], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._clock_us = clock_us
        self._notice: Any = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._ages = QTimer(self)
        self._ages.setInterval(1000)
        self._ages.timeout.connect(self._tick)
        self.show_notice(None)

    @property
    def text(self) -> str:
        """The line as text, with its severity in words."""
        n = self._notice
        if n is None:
            return _QUIET
        parts = [f"{'over' if n.over else n.severity}: {plain(n.title)}", plain(n.message), plain(n.hint)]
        return " · ".join(p for p in parts if p) + (f" ({n.count} times)" if n.count > 1 else "")

    def show_notice(self, notice: Any | None) -> None:
        """Show `notice`, or that there is none."""
        self._notice = notice
        self.setAccessibleName("Notice: " + self.text)
        tip = "" if notice is None else f"{self.text}\n{time_tooltip(notice.at_us)}\nEnter or a click opens the history."
        self.setToolTip(tooltip_text(tip))
        self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(400, HEIGHT)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """One line; the words are elided."""
        return QSize(120, HEIGHT)

    @guarded
    def showEvent(self, event: Any) -> None:
        """Ages move while it is seen."""
        self._ages.start()
        super().showEvent(event)

    @guarded
    def hideEvent(self, event: Any) -> None:
        """Nothing moves while it is hidden."""
        self._ages.stop()
        super().hideEvent(event)

    @Slot()
    def _tick(self) -> None:
        if self._notice is not None:
            self.update()

    @guarded
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click opens the history."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.history_wanted.emit()

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """So do Enter and Space."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.history_wanted.emit()
        else:
            super().keyPressEvent(event)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Shape, word, title, message, the way out, count and age."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            fill(painter, self.rect(), theme.surface)
            painter.setPen(QPen(theme.line, 0))
            painter.drawLine(self.rect().topLeft(), self.rect().topRight())
            if self._notice is None:
                painter.setPen(theme.muted)
                painter.setFont(font("body"))
                painter.drawText(self.rect().adjusted(12, 0, -12, 0), Qt.AlignmentFlag.AlignVCenter, _QUIET)
            else:
                self._paint_notice(painter)
            if self.hasFocus():
                painter.setPen(QPen(theme.accent, 2))
                painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    def _paint_notice(self, painter: QPainter) -> None:
        n, theme = self._notice, theme_of(self)
        word = "over" if n.over else str(n.severity)
        paint_state(painter, QRectF(12, 0, _SHAPE, self.height()), word, theme)
        right = self._paint_right(painter, age_text((self._clock_us() - n.at_us) / 1e6) + " ago", n.count)
        rect = self.rect().adjusted(12 + _SHAPE + 8, 0, -right - 12, 0)
        for text, role, colour in (
            (word, "strong", theme.state_colour(word)),
            (plain(n.title), "strong", theme.text),
            (plain(n.message), "body", theme.text),
            (plain(n.hint), "body", theme.muted),
        ):
            if text and rect.width() > 40:
                rect = _piece(painter, rect, text, role, colour)

    def _paint_right(self, painter: QPainter, age: str, count: int) -> int:
        """Count and age at the right end; answers the width they take."""
        text = (f"{count} times · " if count > 1 else "") + age
        painter.setFont(font("muted"))
        painter.setPen(theme_of(self).muted)
        painter.drawText(self.rect().adjusted(0, 0, -12, 0), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)
        return QFontMetrics(font("muted")).horizontalAdvance(text) + 24


def _piece(painter: QPainter, rect: QRect, text: str, role: str, colour: Any) -> QRect:
    """Draw one part, elided to what is left; answers the room behind it."""
    face = font(role)
    metrics = QFontMetrics(face)
    painter.setFont(face)
    painter.setPen(colour)
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine, shown)
    return rect.adjusted(metrics.horizontalAdvance(shown) + 12, 0, 0, 0)
