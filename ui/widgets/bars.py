"""Durations over versions as bars: the state by shape and colour, the number on top, the version below."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from ui.bridge import guarded
from ui.models.text import duration_text, plain, tooltip_text
from ui.theme import Theme, font, theme_of
from ui.widgets.shapes import paint_state

_SHAPE = 9


class Bar(Struct, frozen=True):
    """One bar: its name (a version), how long it took, how it ended, and whether it is the one looked at."""

    name: str
    seconds: float
    state: str
    current: bool = False


class DurationBars(QWidget):
    """The newest bar stands on the right; as many as fit, each at least as wide as its words."""

    def __init__(self, accessible_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: tuple[Bar, ...] = ()
        self.setAccessibleName(accessible_name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """All bars, oldest first."""
        return self._bars

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Show `bars`, oldest first."""
        if tuple(bars) != self._bars:
            self._bars = tuple(bars)
            words = "; ".join(f"{plain(b.name, 60)} {b.state} in {duration_text(b.seconds)}" for b in self._bars)
            self.setAccessibleDescription(words or "no finished run yet")
            self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """Room for bars of 40 pixels, their numbers and names."""
        return QSize(300, 44 + 2 * QFontMetrics(font("muted")).height() + 4)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """One bar."""
        return QSize(120, self.sizeHint().height())

    def _shown(self) -> list[tuple[Bar, QRect]]:
        """The newest bars that fit, with their columns."""
        metrics = QFontMetrics(font("muted"))
        slot = max(64, metrics.horizontalAdvance("00 min 00 s") + 12)
        count = max(1, self.width() // slot)
        bars = self._bars[-count:]
        return [(bar, QRect(i * slot, 0, slot, self.height())) for i, bar in enumerate(bars)]

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The bars, or what would fill this."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.setFont(font("muted"))
            if not self._bars:
                painter.setPen(theme.muted)
                words = "No finished run yet: durations of past versions stand here."
                painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words)
                return
            longest = max(bar.seconds for bar in self._bars) or 1.0
            for bar, rect in self._shown():
                _paint_bar(painter, bar, rect, longest, theme)

    @guarded
    def event(self, event: QEvent) -> bool:
        """The tooltip of the bar under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            self._tell(event.pos(), event.globalPos())
            return True
        return super().event(event)

    def _tell(self, at: QPoint, where: QPoint) -> None:
        for bar, rect in self._shown():
            if rect.contains(at):
                QToolTip.showText(where, tooltip_text(f"{plain(bar.name)}: {bar.state} in {duration_text(bar.seconds)}"), self)
                return
        QToolTip.hideText()


def _paint_bar(painter: QPainter, bar: Bar, rect: QRect, longest: float, theme: Theme) -> None:
    metrics = painter.fontMetrics()
    line = metrics.height()
    floor, roof = rect.bottom() - line - 2, rect.top() + line + 2
    height = max(2, round((floor - roof) * bar.seconds / longest))
    width = min(36, rect.width() - 16)
    colour = theme.state_colour(bar.state)
    body = QRectF(rect.left() + 1, floor - height, width, height)
    painter.fillRect(body, colour)
    if bar.current:
        painter.setPen(QPen(theme.text, 1))
        painter.drawRect(body.adjusted(0.5, 0.5, -0.5, -0.5))
    painter.setPen(theme.text)
    painter.drawText(QRect(rect.left(), floor - height - line - 1, rect.width() - 4, line), 0, duration_text(bar.seconds))
    paint_state(painter, QRectF(rect.left() + 1, rect.bottom() - line, _SHAPE, line), bar.state, theme)
    painter.setPen(theme.text if bar.current else theme.muted)
    box = QRect(rect.left() + _SHAPE + 6, rect.bottom() - line, rect.width() - _SHAPE - 10, line)
    painter.drawText(box, 0, metrics.elidedText(plain(bar.name, 60), Qt.TextElideMode.ElideMiddle, box.width()))
