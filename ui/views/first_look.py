"""What the window shows before its parts are loaded: yesterday's overview, with its ages, drawn where the real one comes to stand.

Nothing here touches PySide6's `Qt` namespace, whose ninety enums cost a tenth of the start: no alignment flags, no views, no styles.
QPainter's setPen, setBrush and fillRect do, because each takes one of these enums too: here colours come as brushes that Qt made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRect, QRectF, QTimer
from PySide6.QtGui import QBrush, QColor, QFontMetrics, QPainter, QPainterPath, QPaintEvent, QPalette, QPen, QTextLayout
from PySide6.QtWidgets import QWidget

from ui.bridge import guarded
from ui.models.text import plain
from ui.theme import Theme, font, state_mark
from ui.views.overview_cells import CELL_PX, MIN_PX, NAME_PX, Cell, Cells

if TYPE_CHECKING:
    from cockpit.app import Cockpit

HEADER_PX = 48
OVERVIEW_PX = 320
MARGIN_PX = 12
TABLE_PX = 72  # from the top of the overview's panel to its first service


class FirstLook(QWidget):
    """Paints the header's title and the overview from the state as it is now."""

    def __init__(self, cockpit: Cockpit, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._then: Callable[[], None] | None = None
        state = cockpit.store.state
        self._starting = plain(state.starting)
        self._environments = [e.name for e in state.environments] or [""] * bool(state.services)
        cells = Cells(cockpit)
        self.rows: list[tuple[str, list[Cell]]] = [
            (service.name, [cells.read(service.name, environment) for environment in self._environments]) for service in state.services
        ]
        self.setAccessibleName("Release Cockpit is loading")
        self.setAccessibleDescription(". ".join(cell.sentence for _, row in self.rows for cell in row))

    def when_painted(self, then: Callable[[], None]) -> None:
        """Call `then` once the event loop is reached again after the first paint."""
        self._then = then

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The ground, the title, and the cells that find room."""
        theme = self._theme
        with QPainter(self) as painter:
            _fill(painter, self.rect(), theme.ground)
            _fill(painter, QRect(0, 0, self.width(), HEADER_PX), theme.surface)
            _fill(painter, QRect(0, HEADER_PX, self.width(), 1), theme.line)
            _write(painter, 16, 30, "Release Cockpit", "title", theme.text)
            _write(painter, MARGIN_PX, HEADER_PX + 30, "Overview", "title", theme.text)
            if self._starting and not self.rows:
                _write(painter, MARGIN_PX, HEADER_PX + TABLE_PX, self._starting, "body", theme.muted)
            self._paint_cells(painter)
        if self._then is not None:
            then, self._then = self._then, None
            QTimer.singleShot(0, then)

    def _paint_cells(self, painter: QPainter) -> None:
        theme, top = self._theme, HEADER_PX + TABLE_PX
        width = max(MIN_PX, (OVERVIEW_PX - 2 * MARGIN_PX) // max(1, len(self._environments)))
        _fill(painter, QRect(MARGIN_PX, top - NAME_PX, width * len(self._environments), NAME_PX), theme.surface)
        for number, name in enumerate(self._environments):
            _write(painter, MARGIN_PX + 8 + number * width, top - 9, plain(name, 20), "muted", theme.muted)
        for service, cells in self.rows:
            if top > self.height():
                return
            _write(painter, MARGIN_PX + 8, top + 20, plain(service, 40), "strong", theme.text)
            for number, cell in enumerate(cells):
                box = QRectF(MARGIN_PX + number * width, top + NAME_PX, width, CELL_PX)
                _paint_cell(painter, box.adjusted(4.5, 2.5, -4.5, -4.5), cell, theme)
            top += NAME_PX + CELL_PX


def _paint_cell(painter: QPainter, box: QRectF, cell: Cell, theme: Theme) -> None:
    path = QPainterPath()
    path.addRoundedRect(box, 4, 4)
    painter.fillPath(path, _brush(theme.surface))
    painter.strokePath(path, QPen(_brush(theme.muted if cell.stale else theme.line), 1.0))
    left, top = int(box.left()) + 10, int(box.top())
    ink = theme.muted if cell.stale else theme.text
    _write(painter, left, top + 23, plain(cell.version, 12), "title", ink)
    age = QFontMetrics(font("muted")).horizontalAdvance(cell.age)
    _write(painter, int(box.right()) - 10 - age, top + 22, cell.age, "muted", theme.muted)
    colour = theme.muted if cell.stale else theme.state_colour(cell.state)
    words = f"{state_mark(cell.state).split(' ')[0]} {'stale, ' if cell.stale else ''}{cell.words}"
    _write(painter, left, top + 44, words, "body", colour if cell.state != "ok" else ink)
    _write(painter, left, top + 62, cell.pending_words, "muted", theme.muted)


def _brush(colour: QColor) -> QBrush:
    palette = QPalette()
    palette.setColor(QPalette.ColorRole.Base, colour)
    return palette.brush(QPalette.ColorRole.Base)


def _fill(painter: QPainter, box: QRect, colour: QColor) -> None:
    painter.setBackground(_brush(colour))
    painter.eraseRect(box)


def _write(painter: QPainter, x: int, y: int, words: str, role: str, colour: QColor) -> None:
    """One line, its left end and its baseline at (x, y)."""
    layout, look = QTextLayout(words, font(role)), QTextLayout.FormatRange()
    look.start, look.length = 0, 2 * len(words)  # Qt counts units of UTF-16
    look.format.setForeground(_brush(colour))
    layout.setFormats([look])
    layout.beginLayout()
    line = layout.createLine()
    layout.endLayout()
    layout.draw(painter, QPointF(x, y - line.ascent()))
