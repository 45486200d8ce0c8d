"""One line at the bottom: the notice that matters most now. A click or Enter opens the history; a button says that one looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QRect, QRectF, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from ui.bridge import guarded, turns_here
from ui.models.text import age_text, plain, time_tooltip, tooltip_text
from ui.theme import font, theme_of
from ui.widgets.shapes import fill, paint_state

HEIGHT = 32
_SHAPE = 12
_QUIET = "No notices"
_LISTED = 6  # of the others, in the tooltip
LOOK = "I look at it"
LOOK_TIP = "Stops its shouting (L) until it gets worse. It is known in this window, and noted in the journal."


class NoticeBar(QWidget):
    """Shows one notice (severity, title, message, hint, count, at_us, over) as plain text, whatever stands in it.

    `beside` answers the others of its incident; `look` takes the word of the person here, who looks at all of it.
    """

    history_wanted = Signal()

    def __init__(
        self,
        clock_us: Callable[[], int],
        parent: QWidget | None = None,
        *,
        beside: Callable[[Any], tuple[Any, ...]] | None = None,
        look: Callable[[Any], object] | None = None,
    ) -> None:
        super().__init__(parent)
        self._clock_us, self._beside, self._look = clock_us, beside, look
        self._notice: Any = None
        self._others: tuple[Any, ...] = ()
        self._age = ""  # as painted
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.look_button = self._button()
        self._ages = QTimer(self)
        self._ages.setInterval(1000)
        self._ages.timeout.connect(self._tick)
        self.show_notice(None)

    def _button(self) -> QPushButton:
        """At the right end."""
        made = QPushButton(LOOK, self)
        made.setAccessibleName(LOOK)
        made.setProperty("role", "flat")
        made.setToolTip(tooltip_text(LOOK_TIP))
        made.setAutoDefault(False)
        made.clicked.connect(self.look)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 3, 8, 2)
        row.addStretch(1)
        row.addWidget(made)
        return made

    @property
    def text(self) -> str:
        """The line as text, with its severity in words."""
        n = self._notice
        if n is None:
            return _QUIET
        parts = [f"{'over' if n.over else n.severity}: {plain(n.title)}{self._more}", plain(n.message), plain(n.hint)]
        words = " · ".join(p for p in parts if p) + (f" ({n.count} times)" if n.count > 1 else "")
        return f"{words} · {looks_text(n)}" if n.looker else words

    @property
    def _more(self) -> str:
        return f" +{len(self._others)}" if self._others else ""

    def show_notice(self, notice: Any | None) -> None:
        """Show `notice`, or that there is none."""
        others = self._standing(notice)
        if notice is not None and notice is self._notice and others == self._others:
            return
        self._notice, self._others = notice, others
        self.setAccessibleName("Notice: " + self.text)
        tip = ""
        if notice is not None:
            listed = [f"{n.severity}: {plain(n.title, 120)}" for n in others[:_LISTED]]
            tip = "\n".join([self.text, *listed, time_tooltip(notice.at_us), "Enter or a click opens the history."])
        self.setToolTip(tooltip_text(tip))
        loud = notice is not None and notice.stands and not notice.looker
        if not loud and self.look_button.hasFocus():
            # the focus never falls onto whatever comes next
            self.setFocus()
        self.look_button.setVisible(self._look is not None and loud)
        self.update()

    def _standing(self, notice: Any | None) -> tuple[Any, ...]:
        """What else stands in its incident, the worst first."""
        if notice is None or self._beside is None or not notice.stands:
            return ()
        found = [n for n in self._beside(notice) if n.stands]
        return tuple(sorted(found, key=lambda n: n.weight, reverse=True))

    @Slot()
    def look(self) -> None:
        """The person here looks at what it shows."""
        if self._look is not None and self._notice is not None:
            self._look(self._notice)

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
        if self._notice is not None and self._age_text() != self._age:
            turns_here().soon(self.update)

    def _age_text(self) -> str:
        return age_text((self._clock_us() - self._notice.at_us) / 1e6) + " ago"

    @guarded
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click opens the history."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.history_wanted.emit()

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """So do Enter and Space; L is the button."""
        if event.key() == Qt.Key.Key_L and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.look()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
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
        right = self._paint_right(painter)
        rect = self.rect().adjusted(12 + _SHAPE + 8, 0, -right - 12, 0)
        quiet = bool(n.looker) or n.over
        for text, role, colour in (
            (word, "strong", theme.muted if quiet else theme.state_colour(word)),
            (plain(n.title, 300), "body" if quiet else "strong", theme.text),
            (self._more.strip(), "strong", theme.muted if quiet else theme.state_colour(word)),
            (plain(n.message, 600), "body", theme.text),
            (plain(n.hint, 600), "body", theme.muted),
        ):
            if text and rect.width() > 40:
                rect = _piece(painter, rect, text, role, colour)

    def _paint_right(self, painter: QPainter) -> int:
        """Who looks at it, count and age at the right end, beside the button; answers the width they take."""
        n = self._notice
        self._age = self._age_text()
        text = " · ".join(part for part in (looks_text(n), f"{n.count} times" if n.count > 1 else "", self._age) if part)
        button = self.width() - self.look_button.x() if not self.look_button.isHidden() else 0
        metrics = QFontMetrics(font("muted"))
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(80, (self.width() - button) // 2))
        painter.setFont(font("muted"))
        painter.setPen(theme_of(self).muted)
        area = self.rect().adjusted(0, 0, -12 - button, 0)
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight | Qt.TextFlag.TextSingleLine, text)
        return metrics.horizontalAdvance(text) + 24 + button


def looks_text(notice: Any) -> str:
    """Such as "seen by Ada Quill"; "" where nobody looks."""
    name = plain(notice.looker.partition("<")[0], 80) or plain(notice.looker, 80)
    return f"seen by {name}" if name else ""


def _piece(painter: QPainter, rect: QRect, text: str, role: str, colour: Any) -> QRect:
    """Draw one part, elided to what is left; answers the room behind it."""
    face = font(role)
    metrics = QFontMetrics(face)
    painter.setFont(face)
    painter.setPen(colour)
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine, shown)
    return rect.adjusted(metrics.horizontalAdvance(shown) + 12, 0, 0, 0)
