"""What happened, over a time chart: moments as lines with a sign and words, times as tinted ground. Neighbours are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetrics, QPainter, QPen

from ui.models.text import plain
from ui.theme import Theme, font

JOIN_PX = 10  # marks closer than this are one label
GROUP_PX = 60  # a label stands for so much of the axis at most
_HATCH_PX = 6
_LABEL_PX = 200
MOST_NAMED = 6  # spans in sight that carry their names, the newest
_LINES = {
    "rollback": Qt.PenStyle.DashLine,
    "alert": Qt.PenStyle.DotLine,
    "approval": Qt.PenStyle.DashDotLine,
    "rejection": Qt.PenStyle.DashDotLine,
    "regression": Qt.PenStyle.DashLine,
    "improvement": Qt.PenStyle.DashLine,
    "clock": Qt.PenStyle.DotLine,
}
_BAD = ("alert", "rejection", "regression")
SIGNS = {
    "regression": "✕",
    "improvement": "✓",
    "deploy": "▲",
    "rollback": "▼",
    "alert": "■",
    "approval": "●",
    "rejection": "◆",
    "freeze": "‖",
    "session": "",
    "clock": "↺",
}
JOINED = "joined"


class Mark(Struct, frozen=True):
    """Something that happened: kind is a key of SIGNS ("joined": several at once, told in the text)."""

    at_us: int
    kind: str
    text: str


class Span(Struct, frozen=True):
    """A time that has a name: kind is freeze (tinted ground) or session (a line where it begins). Microseconds UTC."""

    start_us: int
    end_us: int
    kind: str
    text: str


def sign_of(kind: str) -> str:
    """The sign before a mark's words, with its space; a joined one carries them in its words."""
    sign = SIGNS.get(kind, "" if kind == JOINED else "▲")
    return f"{sign} " if sign else ""


def joined(marks: Sequence[Mark], x_of: Callable[[float], float]) -> list[Mark]:
    """Marks (the newest first) with those that lie close together as one, "3 deploys", where the newest of them is."""
    groups: list[list[Mark]] = []
    for mark in marks:
        x = x_of(mark.at_us / 1e6)
        if groups and x_of(groups[-1][-1].at_us / 1e6) - x <= JOIN_PX and x_of(groups[-1][0].at_us / 1e6) - x <= GROUP_PX:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return [g[0] if len(g) == 1 else Mark(g[0].at_us, JOINED, _counts(g)) for g in groups]


def _counts(group: Sequence[Mark]) -> str:
    kinds = list(dict.fromkeys(m.kind for m in group))
    counts = {kind: sum(m.kind == kind for m in group) for kind in kinds}
    return ", ".join(f"{sign_of(kind)}{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items())


def paint_lines(painter: QPainter, theme: Theme, marks: Sequence[Mark], area: QRectF, x_of: Callable[[float], float]) -> None:
    """A line for each moment in sight, its style by its kind; those on the same pixel are one."""
    quiet = QColor(theme.text)
    quiet.setAlphaF(0.55)
    drawn: set[tuple[int, str]] = set()
    for mark in marks:
        at = x_of(mark.at_us / 1e6)
        if not area.left() <= at <= area.right() or (round(at), mark.kind) in drawn:
            continue
        drawn.add((round(at), mark.kind))
        x = round(at) + 0.5
        painter.setPen(QPen(theme.bad if mark.kind in _BAD else quiet, 1, _LINES.get(mark.kind, Qt.PenStyle.SolidLine)))
        painter.drawLine(QLineF(x, area.top(), x, area.bottom()))


def paint_label(painter: QPainter, theme: Theme, words: str, x: float, area: QRectF, taken: list[QRectF]) -> None:
    """Words beside a line at the top, below those that stand there already, in the upper half; left of it where no room is right."""
    face = font("muted")
    metrics = QFontMetrics(face)
    text = metrics.elidedText(words, Qt.TextElideMode.ElideMiddle, _LABEL_PX)
    box = QRectF(x + 3, area.top() + _HATCH_PX + 1, metrics.horizontalAdvance(text) + 8, metrics.height() + 2)
    if box.right() > area.right():
        box.moveRight(x - 3)
    while any(box.intersects(other) for other in taken):
        box.translate(0, box.height() + 2)
        if box.bottom() > area.center().y():
            return  # words must not hide what they are about; the line stands, and names itself under the crosshair
    taken.append(box)
    painter.setFont(face)
    painter.fillRect(box, theme.raised)
    painter.setPen(theme.text)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def paint_spans(
    painter: QPainter, theme: Theme, spans: Sequence[Span], area: QRectF, x_of: Callable[[float], float]
) -> list[tuple[float, str]]:
    """Freezes as tinted ground with a hatched head, the beginning of a session as a line; answers what to write where."""
    words = []
    for span in spans:
        left, right = x_of(span.start_us / 1e6), x_of(span.end_us / 1e6)
        if right <= area.left() or left >= area.right():
            continue
        begins = left >= area.left()
        left, right = max(left, area.left()), min(right, area.right())
        if span.kind == "freeze":
            _paint_freeze(painter, theme, QRectF(left, area.top(), max(1.0, right - left), area.height()))
        elif begins:
            quiet = QColor(theme.muted)
            quiet.setAlphaF(0.5)
            painter.setPen(QPen(quiet, 1, Qt.PenStyle.DashDotDotLine))
            painter.drawLine(QLineF(round(left) + 0.5, area.top(), round(left) + 0.5, area.bottom()))
        if begins or span.kind == "freeze":
            words.append((left, sign_of(span.kind) + plain(span.text, 60)))
    return words[-MOST_NAMED:]


def _paint_freeze(painter: QPainter, theme: Theme, box: QRectF) -> None:
    tint, hatch = QColor(theme.warning), QColor(theme.warning)
    tint.setAlphaF(0.09)
    hatch.setAlphaF(0.8)
    painter.fillRect(box, tint)
    painter.fillRect(QRectF(box.left(), box.top(), box.width(), _HATCH_PX), QBrush(hatch, Qt.BrushStyle.BDiagPattern))
    painter.setPen(QPen(hatch, 1))
    for x in (round(box.left()) + 0.5, round(box.right()) - 0.5):
        painter.drawLine(QLineF(x, box.top(), x, box.bottom()))


def touching(marks: Sequence[Mark], at_s: float, x_of: Callable[[float], float], within_px: float) -> Mark | None:
    """The mark closest to a time, where it is within reach."""
    close = min(marks, key=lambda m: abs(m.at_us / 1e6 - at_s), default=None)
    return close if close is not None and abs(x_of(close.at_us / 1e6) - x_of(at_s)) <= within_px else None
