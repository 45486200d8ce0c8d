"""A ratio to the baseline with its interval, drawn against 1 and the policy's limit on a logarithmic scale."""

from __future__ import annotations

import math

from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui.bridge import guarded
from ui.models.text import tooltip_text
from ui.theme import Theme, font, theme_of
from ui.widgets.shapes import fill

SPANS = (2.0, 4.0, 10.0, 100.0)  # the scale goes from 1/span to span; few steps, so that it seldom moves
_BAR = 22


class IntervalBar(QWidget):
    """Draws nothing but the scale where nothing is known. What is too small to be seen by now is hatched."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.ratio = self.low = self.high = self.smallest = math.nan
        self.limit, self.bad = 1.25, False
        self.setFont(font("muted"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(_BAR + QFontMetrics(self.font()).height() + 6)

    def show_ratio(self, ratio: float, low: float, high: float, smallest: float, limit: float, *, bad: bool, words: str) -> None:
        """NaN = not known; `words` say the same to a screen reader."""
        self.ratio, self.low, self.high, self.smallest, self.limit, self.bad = ratio, low, high, smallest, limit, bad
        self.setAccessibleName(words)
        self.setToolTip(tooltip_text(words))
        self.update()

    @property
    def span(self) -> float:
        """The scale goes from 1/span to span."""
        known = [v for v in (self.ratio, self.low, self.high, self.limit, self.smallest) if math.isfinite(v) and v > 0]
        furthest = max((max(v, 1 / v) for v in known), default=1.0)
        return next((span for span in SPANS if furthest <= span * 0.98), SPANS[-1])

    def at(self, ratio: float) -> float:
        """Where a ratio stands, in pixels from the left; what is beyond the scale stands at its end."""
        margin, span = 8.0, self.span
        share = (math.log(min(span, max(1 / span, ratio))) / math.log(span) + 1) / 2
        return margin + share * (self.width() - 2 * margin)

    @guarded
    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(240, self.height())

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Scale, what cannot be seen, limit, interval."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            middle = _BAR / 2
            painter.setPen(QPen(theme.line, 1))
            painter.drawLine(QLineF(self.at(1 / self.span), middle, self.at(self.span), middle))
            if math.isfinite(self.smallest) and self.smallest > 1 and not self.bad:
                band = QColor(theme.unknown)
                band.setAlphaF(0.25)
                fill(painter, QRectF(QPointF(self.at(1 / self.smallest), 5), QPointF(self.at(self.smallest), _BAR - 5)), band)
            self._paint_marks(painter, theme)
            self._paint_interval(painter, theme, middle)

    def _paint_marks(self, painter: QPainter, theme: Theme) -> None:
        painter.setFont(self.font())
        metrics = painter.fontMetrics()
        marks = [(1.0, "1", theme.text), (self.limit, f"limit {self.limit:.2f}", theme.warning)]
        marks += [(edge, f"{edge:.2g}", theme.muted) for edge in (1 / self.span, self.span)]
        taken: list[tuple[float, float]] = []
        for value, words, colour in marks:
            x, width = self.at(value), metrics.horizontalAdvance(words)
            dashed = value == self.limit
            painter.setPen(
                QPen(colour, 1.5 if value in (1.0, self.limit) else 1, Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine)
            )
            painter.drawLine(QLineF(x, 2, x, _BAR - 1))
            left = min(max(0.0, x - (4 if dashed else width / 2)), self.width() - width)
            if all(left > right + 6 or left + width < start - 6 for start, right in taken):
                taken.append((left, left + width))
                painter.drawText(QPointF(left, _BAR + metrics.ascent() + 2), words)

    def _paint_interval(self, painter: QPainter, theme: Theme, middle: float) -> None:
        if not math.isfinite(self.ratio):
            return
        colour = theme.bad if self.bad else theme.ok if self.high <= self.limit else theme.running
        if math.isfinite(self.low) and math.isfinite(self.high):
            fill(
                painter,
                QRectF(QPointF(self.at(self.low), middle - 3), QPointF(max(self.at(self.high), self.at(self.low) + 2), middle + 3)),
                colour,
            )
        painter.setPen(QPen(theme.surface, 1.5))
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(self.at(self.ratio), middle), 5.5, 5.5)
