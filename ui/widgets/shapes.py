"""State shapes, painted: sharp at every scale and the same with every font."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from ui.theme import Theme, state_of

SENTENCE = 3  # spaces that make one
SIZE = 10.0  # side of a shape in table rows, in device independent pixels


def elide_mode(text: str) -> Qt.TextElideMode:
    """Names are cut in the middle, for their ends tell them apart; sentences at the end, for they are read from the beginning."""
    return Qt.TextElideMode.ElideRight if text.count(" ") >= SENTENCE else Qt.TextElideMode.ElideMiddle


def fill(painter: QPainter, box: QRect | QRectF, colour: QColor) -> None:
    """Fill `box`. QPainter.fillRect loads all gradients, with their 169 names, at its first call: the first paint does without."""
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawRect(box)
    painter.restore()


def paint_state(painter: QPainter, box: QRectF, word: str, theme: Theme) -> None:
    """Draw the shape of a state's word in its colour, centred in `box` (a square fits best)."""
    shape, token = state_of(word)
    side = min(box.width(), box.height())
    square = QRectF(0, 0, side, side)
    square.moveCenter(box.center())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint_shape(painter, square, shape, theme.colour(token))
    painter.restore()


def paint_shape(painter: QPainter, r: QRectF, shape: str, colour: QColor) -> None:
    """Draw one of theme.SHAPES into the square `r`."""
    thick = max(1.0, r.width() / 6.5)
    inner = r.adjusted(thick / 2, thick / 2, -thick / 2, -thick / 2)
    line = QPen(colour, thick)
    filled = shape in ("disc", "triangle", "square", "bars")
    painter.setPen(Qt.PenStyle.NoPen if filled else line)
    painter.setBrush(colour if filled else Qt.BrushStyle.NoBrush)
    if shape == "disc":
        painter.drawEllipse(r)
    elif shape == "triangle":
        painter.drawPolygon(QPolygonF([QPointF(r.center().x(), r.top()), r.bottomRight(), r.bottomLeft()]))
    elif shape == "square":
        painter.drawRect(r.adjusted(0.5, 0.5, -0.5, -0.5))
    elif shape == "bars":
        w = r.width() / 3
        painter.drawRect(QRectF(r.left(), r.top(), w, r.height()))
        painter.drawRect(QRectF(r.right() - w, r.top(), w, r.height()))
    elif shape == "diamond":
        c = inner.center()
        corners = ((c.x(), inner.top()), (inner.right(), c.y()), (c.x(), inner.bottom()), (inner.left(), c.y()))
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in corners]))
    else:
        if shape == "dashed":
            line.setDashPattern([1.5, 1.2])
            painter.setPen(line)
        painter.drawEllipse(inner)
        if shape == "half":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawPie(r, 90 * 16, 180 * 16)
