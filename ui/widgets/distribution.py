"""Candidate against baseline as percentiles: each further nine has the same width, so that the tail is seen as well as the middle."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from cockpit.domain.metrics import Histogram, quantile_s
from ui.bridge import guarded
from ui.models.text import ms_text, plain
from ui.theme import Theme, font, theme_of
from ui.widgets.chart_scale import Scale

LAST = 0.9999
TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
_STEPS = 120
_LEFT, _RIGHT, _TOP = 62, 16, 24


def nines(q: float) -> float:
    """The place of a quantile: 0 at 0, 1 at 0.9, 2 at 0.99."""
    return -math.log10(max(1e-12, 1.0 - q))


def percentiles(histogram: Histogram | None) -> list[tuple[float, float]]:
    """(place, milliseconds) of the quantiles up to p99.99, as far as the number of samples carries: a tail of one is no tail."""
    if histogram is None or histogram.total <= 0:
        return []
    # beyond 1 - 1/n there is no sample that could tell
    most = min(nines(LAST), math.log10(max(1.0, histogram.total)))
    found = []
    for step in range(1, _STEPS + 1):
        place = most * step / _STEPS
        value = quantile_s(histogram, 1.0 - 10.0**-place)
        if value is not None:
            found.append((place, value * 1e3))
    return found


class DistributionView(QWidget):
    """Two curves over the percentiles, candidate solid and baseline dashed, on a logarithmic axis of milliseconds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names = ("", "")
        self._measured: tuple[Histogram | None, Histogram | None] = (None, None)
        self.curves: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
        self._scale = Scale()
        self._scale.set_log(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Distribution of the latency")

    def show_pair(self, candidate: Histogram | None, baseline: Histogram | None, names: tuple[str, str]) -> None:
        """Show what was measured of both (counts since they began) with their names, the candidate's first."""
        self._measured, self._names = (candidate, baseline), names
        self.curves = (percentiles(candidate), percentiles(baseline))
        values = [v for curve in self.curves for _, v in curve if v > 0]
        if values:
            self._scale.fit(max(values), min(values))
        self.setAccessibleDescription("; ".join(self._words(i) for i in (0, 1) if self.curves[i]) or "nothing measured yet")
        self.update()

    def _words(self, number: int) -> str:
        histogram, texts = self._measured[number], []
        for q, name in ((0.5, "p50"), (0.99, "p99"), (LAST, "p99.99")):
            # told where the curve reaches it
            if histogram is not None and histogram.total * (1 - q) >= 1 - 1e-9:
                texts.append(f"{name} {ms_text(1e3 * (quantile_s(histogram, q) or 0.0))}")
        return f"{plain(self._names[number], 80)}: {', '.join(texts)}"

    @guarded
    def sizeHint(self) -> QSize:
        """Room for its labels."""
        return QSize(420, 240)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """Room for its labels."""
        return QSize(260, 140)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, both curves and their names, or what is missing."""
        theme = theme_of(self)
        face = font("muted")
        area = QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - QFontMetrics(face).height() - 8)
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), theme.surface)
            painter.setFont(face)
            if not any(self.curves):
                painter.setPen(theme.muted)
                painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Nothing was measured yet")
                return
            self._paint_axes(painter, area, theme)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for number, (tone, style) in enumerate((("p99", Qt.PenStyle.SolidLine), ("muted", Qt.PenStyle.DashLine))):
                self._paint_curve(painter, area, number, QPen(theme.colour(tone), 1.6, style), theme)

    def _point(self, area: QRectF, place: float, value: float) -> QPointF:
        return QPointF(area.left() + place / nines(LAST) * area.width(), area.bottom() - self._scale.share(value) * area.height())

    def _paint_axes(self, painter: QPainter, area: QRectF, theme: Theme) -> None:
        grid = QColor(theme.line)
        grid.setAlphaF(0.6 if theme.name != "contrast" else 0.25)
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for tick in self._scale.ticks(int(area.height())):
            value = self._scale.value_of(tick)
            y = self._point(area, 0, value).y()
            painter.setPen(grid)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(theme.muted)
            painter.drawText(QRectF(0, y - 10, _LEFT - 5, 20), side, f"{value:g} ms")
        for q in TICKS:
            x = self._point(area, nines(q), 1.0).x()
            painter.setPen(grid)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.setPen(theme.muted)
            box = QRectF(min(x - 30, self.width() - 62), area.bottom() + 3, 60, 20)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, f"p{q * 100:g}")

    def _paint_curve(self, painter: QPainter, area: QRectF, number: int, pen: QPen, theme: Theme) -> None:
        points: Sequence[QPointF] = [self._point(area, place, value) for place, value in self.curves[number]]
        if not points:
            return
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(list(points)))
        x = _LEFT + number * area.width() / 2
        painter.drawLine(QPointF(x, _TOP / 2), QPointF(x + 22, _TOP / 2))
        painter.setPen(theme.text)
        room = int(area.width() / 2) - 34
        name = QFontMetrics(painter.font()).elidedText(plain(self._names[number], 80), Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRectF(x + 28, 0, room, _TOP), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
