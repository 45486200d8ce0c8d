"""A small trend line, painted without any chart library."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache

import shiboken6
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF


def paint_trend(painter: QPainter, box: QRectF, values: Sequence[float | None], colour: QColor, limit: float | None = None) -> None:
    """Draw `values` (None and NaN are gaps) over the whole of `box`; with more values than pixels the extremes survive.

    `limit` draws a dotted line at that value. The scale starts at zero, so that small noise looks small.
    """
    points, whole = _finite(values, max(2, int(box.width())))
    known = points if whole else [v for v in points if math.isfinite(v)]
    if not known:
        return
    top = max(*known, limit or 0.0) or 1.0
    scale, left, bottom = box.height() / top, box.left(), box.bottom()
    before = painter.pen(), painter.testRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if limit is not None and limit > 0:
        faint = QColor(colour)
        faint.setAlphaF(0.5)
        painter.setPen(QPen(faint, 1, Qt.PenStyle.DotLine))
        y = bottom - limit * scale
        painter.drawLine(QPointF(left, y), QPointF(box.right(), y))
    # a pen of one pixel is painted many times faster than a wider one
    painter.setPen(QPen(colour, 1))
    if whole and len(points) > 1:
        _paint_lines(painter, _places(left, box.width(), len(points)), array("d", [bottom - v * scale for v in points]))
    else:
        _paint_pieces(painter, _pieces(points, left, box.width() / max(1, len(points) - 1), bottom, scale))
    # not `save` and `restore`: they keep all of a painter's state, which costs as much as the curve
    painter.setPen(before[0])
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, before[1])


def _finite(values: Sequence[float | None], pixels: int) -> tuple[Sequence[float], bool]:
    """The values thinned to what can be seen, and whether none of them is a gap."""
    if len(values) <= 2 * pixels:
        try:
            # one pass in C: anything that is no finite number shows in the sum
            if math.isfinite(sum(values)):  # type: ignore[arg-type]
                return values, True  # type: ignore[return-value]
        except TypeError:
            pass
    points = _thin([math.nan if v is None else v for v in values], pixels)
    return points, bool(points) and all(map(math.isfinite, points))


@lru_cache(maxsize=256)
def _places(left: float, width: float, count: int) -> array[float]:
    """Where the ends of the lines between so many points are: x and, still empty, y of both."""
    step = width / (count - 1)
    xs = array("d", [left + i * step for i in range(count)])
    ends = array("d", bytes(32 * (count - 1)))
    ends[0::4], ends[2::4] = xs[:-1], xs[1:]
    return ends


def _paint_lines(painter: QPainter, places: array[float], ys: array[float]) -> None:
    ends = places[:]
    ends[1::4], ends[3::4] = ys[:-1], ys[1:]
    # by pointer: a list of lines costs more than the painting
    draw: Callable[..., None] = painter.drawLines
    draw(shiboken6.Shiboken.wrapInstance(ends.buffer_info()[0], QLineF), len(ys) - 1)


def _paint_pieces(painter: QPainter, pieces: Sequence[list[QPointF]]) -> None:
    for piece in pieces:
        if len(piece) == 1:
            painter.drawPoint(piece[0])
        else:
            painter.drawPolyline(QPolygonF(piece))


def _pieces(points: Sequence[float], left: float, step: float, bottom: float, scale: float) -> list[list[QPointF]]:
    """The stretches between gaps."""
    pieces: list[list[QPointF]] = [[]]
    for i, value in enumerate(points):
        if math.isfinite(value):
            pieces[-1].append(QPointF(left + i * step, bottom - value * scale))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


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
