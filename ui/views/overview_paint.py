"""How a cell of the overview is painted: version and age, state, what waits, is held or owed, and the p99 of the last ten minutes."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QPixmap

from ui.models.text import plural
from ui.theme import SHAPES, Theme, font, state_of
from ui.views.overview_cells import Cell
from ui.widgets.shapes import SIZE, fill, paint_shape, paint_state
from ui.widgets.trend import paint_trend

_MIDDLE = Qt.TextElideMode.ElideMiddle
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
KEPT = 64  # pictures of cells: 9 MB where they are as wide as they are in a small window
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


@lru_cache
def kept_font(role: str) -> QFont:
    """A role's font, which asks the system each time otherwise; `cache_clear` where another one is set."""
    return font(role)


class Look(Struct, frozen=True):
    """How a cell is painted besides what it says. `ratio` is device pixels a pixel."""

    current: bool
    focus: bool
    ratio: float


def paint_frame(painter: QPainter, box: QRectF, cell: Cell, theme: Theme, current: bool, focus: bool) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    edge = QPen(theme.line, 1)
    if cell.stale:
        edge = QPen(theme.muted, 1, Qt.PenStyle.DashLine)
    if current:
        edge = QPen(theme.accent, 2 if focus else 1.5)
    painter.setPen(edge)
    painter.setBrush(theme.selected if current else theme.surface)
    painter.drawRoundedRect(box, 4, 4)


class Cards:
    """Paints cells. What stays from one second to the next is kept as a picture; age, curve and p99 are painted each time."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[object, QPixmap]] = {}

    def paint(self, painter: QPainter, rect: QRect, cell: Cell, theme: Theme, look: Look) -> None:
        age = _age_width(cell, rect.width() - 28)
        if look.ratio == int(look.ratio):
            painter.drawPixmap(rect.topLeft(), self._picture(rect.size(), cell, theme, look, age))
        else:
            # between whole pixels a picture would be blurred
            _paint_still(painter, rect, cell, theme, look, age)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        _paint_moving(painter, _box(rect), cell, theme)

    def _picture(self, size: QSize, cell: Cell, theme: Theme, look: Look, age: int) -> QPixmap:
        still = replace(cell, age="", as_of_us=0, p99="", trend=(), limit_ms=None, odd="")
        key = (still, theme.name, look, age, size.width(), size.height(), kept_font("body").key())
        at = (cell.service, cell.environment)
        known = self._kept.pop(at, None)
        if known is None or known[0] != key:
            picture = QPixmap(size * look.ratio)
            picture.setDevicePixelRatio(look.ratio)
            picture.fill(theme.ground)
            with QPainter(picture) as painter:
                _paint_still(painter, QRect(QPoint(0, 0), size), cell, theme, look, age)
            known = (key, picture)
        self._kept[at] = known
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return known[1]


def _box(rect: QRect) -> QRect:
    return rect.adjusted(14, 8, -14, -10)


def _paint_still(painter: QPainter, rect: QRect, cell: Cell, theme: Theme, look: Look, age: int) -> None:
    paint_frame(painter, QRectF(rect).adjusted(4.5, 2.5, -4.5, -4.5), cell, theme, look.current, look.focus)
    _paint_content(painter, _box(rect), cell, theme, age)


def _age_width(cell: Cell, room: int) -> int:
    metrics = QFontMetrics(kept_font("muted"))
    return metrics.horizontalAdvance(metrics.elidedText(cell.age, _MIDDLE, room))


def _mark_width(cell: Cell) -> int:
    return int(SIZE) + 8 if cell.held and cell.owed else 0


def _paint_moving(painter: QPainter, box: QRect, cell: Cell, theme: Theme) -> None:
    age = paint_words(painter, QRect(box.left(), box.top(), box.width(), 24), cell.age, "muted", theme.muted, _RIGHT)
    if mark := _mark_width(cell):
        # beside the age: below it stands something louder
        paint_state(painter, QRectF(box.right() - age - mark, box.top(), SIZE, 24), "held", theme)
    trend = QRect(box.left(), box.top() + 78, box.width(), box.height() - 79)
    width = QFontMetrics(kept_font("muted")).horizontalAdvance("00,000 ms")
    if cell.trend:
        colour: QColor = theme.muted if cell.stale else theme.p99
        paint_trend(painter, QRectF(trend.adjusted(0, 1, -width - 8, -1)), cell.trend, colour, cell.limit_ms)
    paint_words(painter, trend, cell.p99 or "p99 –", "muted", theme.muted if cell.stale or not cell.p99 else theme.text, _RIGHT)


def _paint_content(painter: QPainter, box: QRect, cell: Cell, theme: Theme, age: int) -> None:
    ink, quiet = (theme.muted if cell.stale else theme.text), theme.muted
    mark = _mark_width(cell)
    paint_words(painter, QRect(box.left(), box.top(), box.width() - age - 8 - mark, 24), cell.version, "title", ink)
    line = QRect(box.left(), box.top() + 24, box.width(), 18)
    colour = quiet if cell.stale else theme.state_colour(cell.state)
    if cell.loud:
        fill(painter, line.adjusted(-4, 0, 4, 0), colour)
        paint_words(painter, line, cell.words, "strong", theme.on_fill)
    else:
        paint_state(painter, QRectF(line.left(), line.top(), SIZE, line.height()), cell.state, theme)
        words = f"stale, {cell.words}" if cell.stale else cell.words
        paint_words(painter, line.adjusted(int(SIZE) + 6, 0, 0, 0), words, "body", colour if cell.state != "ok" else ink)
    _bottom(painter, QRect(box.left(), box.top() + 42, box.width(), 18), cell, theme)


def _bottom(painter: QPainter, line: QRect, cell: Cell, theme: Theme) -> None:
    if cell.owed:
        # loud until somebody has looked at it
        fill(painter, line.adjusted(-4, 0, 4, 0), theme.warning)
        paint_words(painter, line, f"{SHAPES['triangle']} {plural(cell.owed, 'review')} owed", "muted", theme.on_fill)
    elif cell.held:
        paint_state(painter, QRectF(line.left(), line.top(), SIZE, line.height()), "held", theme)
        words = f"{', '.join(cell.held)} held"
        paint_words(painter, line.adjusted(int(SIZE) + 6, 0, 0, 0), words, "muted", theme.muted if cell.stale else theme.warning)
    else:
        paint_words(painter, line, cell.pending_words, "muted", theme.text if cell.pending and not cell.stale else theme.muted)
    _paint_watch(painter, QRect(line.left(), line.bottom() + 1, line.width(), 18), cell, theme)


def _paint_watch(painter: QPainter, line: QRect, cell: Cell, theme: Theme) -> None:
    """The watch at the left, filled where it is bad; what fires at the right, its word where there is room."""
    ink = theme.on_fill if cell.watch_loud else None
    if cell.watch_loud:
        fill(painter, line.adjusted(-4, 0, 4, 0), theme.state_colour(cell.watch))
    metrics, taken = QFontMetrics(kept_font("muted")), 0
    if cell.watch:
        _mark(painter, line, cell.watch, theme, ink)
        colour = ink or (theme.muted if cell.watch in ("stale", "fine") else theme.state_colour(cell.watch))
        role = "strong" if cell.watch_loud else "muted"
        taken = int(SIZE) + 12 + paint_words(painter, line.adjusted(int(SIZE) + 6, 0, 0, 0), cell.watch_words, role, colour)
    if not cell.alerts and not cell.alerts_late:
        return
    words = plural(cell.alerts, "alert") if cell.alerts else "alerts ?"
    state = "stale" if cell.alerts_late else "bad" if cell.critical else "warning"
    room = line.width() - taken - int(SIZE) - 6
    words = words if metrics.horizontalAdvance(words) <= room else words.split(" ")[0] if cell.alerts else "?"
    if metrics.horizontalAdvance(words) > room:
        return  # the tooltip has it
    width = metrics.horizontalAdvance(words) + int(SIZE) + 6
    right = QRect(line.right() + 1 - width, line.top(), width, line.height())
    _mark(painter, right, state, theme, ink)
    paint_words(painter, right.adjusted(int(SIZE) + 5, 0, 0, 0), words, "muted", ink or theme.state_colour(state), _RIGHT)


def _mark(painter: QPainter, line: QRect, word: str, theme: Theme, ink: QColor | None) -> None:
    box = QRectF(line.left(), line.top(), SIZE, line.height())
    if ink is None:
        paint_state(painter, box, word, theme)
        return
    square = QRectF(0, 0, SIZE, SIZE)
    square.moveCenter(box.center())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint_shape(painter, square, state_of(word)[0], ink)
    painter.restore()


def paint_words(painter: QPainter, box: QRect, words: str, role: str, colour: QColor, side: int = _LEFT) -> int:
    """Draw one line, elided in the middle; answers its width."""
    painter.setFont(kept_font(role))
    painter.setPen(colour)
    shown = painter.fontMetrics().elidedText(words, _MIDDLE, box.width())
    painter.drawText(box, side, shown)
    return painter.fontMetrics().horizontalAdvance(shown)
