"""A small trend line, painted without any chart library."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF


def paint_trend(painter: QPainter, box: QRectF, values: Sequence[float | None], colour: QColor, limit: float | None = None) -> None:
    """Draw `values` (None and NaN are gaps) over the whole of `box`; with more values than pixels the extremes survive.

    `limit` draws a dotted line at that value. The scale starts at zero, so that small noise looks small.
    """
    points = _thin([math.nan if v is None else float(v) for v in values], max(2, int(box.width())))
    known = [v for v in points if math.isfinite(v)]
    if not known:
        return
    top = max([*known, limit or 0.0]) or 1.0
    step = box.width() / max(1, len(points) - 1)
    scale = box.height() / top
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if limit is not None and limit > 0:
        faint = QColor(colour)
        faint.setAlphaF(0.5)
        painter.setPen(QPen(faint, 1, Qt.PenStyle.DotLine))
        y = box.bottom() - limit * scale
        painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
    painter.setPen(QPen(colour, 1.25))
    piece: list[QPointF] = []
    for i, value in enumerate([*points, math.nan]):
        if math.isfinite(value):
            piece.append(QPointF(box.left() + i * step, box.bottom() - value * scale))
            continue
        if len(piece) == 1:
            painter.drawPoint(piece[0])
        elif piece:
            painter.drawPolyline(QPolygonF(piece))
        piece = []
    painter.restore()


def _thin(values: list[float], pixels: int) -> list[float]:
    """At most two values a pixel: the least and the greatest of each bucket, in their order."""
    if len(values) <= 2 * pixels:
        return values
    size = math.ceil(len(values) / pixels)
    thin: list[float] = []
    for start in range(0, len(values), size):
        part = [(v, i) for i, v in enumerate(values[start : start + size]) if math.isfinite(v)]
        if not part:
            thin.append(math.nan)
            continue
        ends = sorted({min(part), max(part)}, key=lambda p: p[1])
        thin += [v for v, _ in ends]
    return thin
