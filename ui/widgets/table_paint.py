"""How a table's cells look. One painter for all cells of a paint: no style, no delegate, no object for each cell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QPixmap, QRegion

from ui.theme import Theme, font, theme_of
from ui.widgets.shapes import SIZE, elide_mode, paint_state
from ui.widgets.trend import paint_trend

if TYPE_CHECKING:
    from ui.widgets.table_view import TableView

ROW_PX = 28
PAD = 8
SLACK = 2  # pixels that kerning may add to a text
MARK_PX = int(SIZE) + 6
_LONG = 200  # letters beyond which a text is measured by the font alone
_ROOT = QModelIndex()


class Face(dict[str, float]):
    """A font with the width of each letter, asked once: shaping a text to learn its width costs as much as painting it."""

    def __init__(self, face: QFont) -> None:
        super().__init__()
        self.font = face
        self.metrics = QFontMetrics(face)
        self.baseline = (ROW_PX - self.metrics.height() + 1) // 2 + self.metrics.ascent()

    def __missing__(self, letter: str) -> float:
        # what joins or turns round has no width of its own
        plain = letter < "\u0250" or "\u2010" <= letter <= "\u2026"
        self[letter] = found = self.metrics.horizontalAdvance(letter) if plain else math.inf
        return found

    def fitted(self, text: str, room: int) -> tuple[str, float]:
        """`text`, cut where it is too wide, and how wide it is then; kerning may cost a pixel here and there."""
        width = sum(map(self.__getitem__, text)) if len(text) < _LONG else math.inf
        if width + SLACK > room:
            text = self.metrics.elidedText(text, elide_mode(text), room)
            width = self.metrics.horizontalAdvance(text)
        return text, width


class CellPainter:
    """Paints the cells of one table. Thread: the view's."""

    def __init__(self, view: TableView) -> None:
        self._view = view
        self._theme = theme_of(view)
        self._faces: dict[bool, Face] = {}
        self._marks: dict[tuple[str, float], QPixmap] = {}

    def forget(self) -> None:
        """Fonts or colours changed."""
        self._faces.clear()
        self._marks.clear()

    def paint(self, painter: QPainter, region: QRegion) -> None:
        """Grounds and lines, then column by column what the cells hold."""
        theme = theme_of(self._view)
        if theme is not self._theme:
            self._theme = theme
            self._marks.clear()
        cells = self._cells(region)
        self._grounds(painter, cells)
        for column, rows in cells.items():
            self._column(painter, column, rows)

    def _cells(self, region: QRegion) -> dict[int, list[int]]:
        """The rows to paint in each column."""
        view = self._view
        last, top = view.rows_model.rowCount() - 1, view.rowViewportPosition(0)
        edges = [(view.columnViewportPosition(c), view.columnWidth(c)) for c in range(len(view.rows_model.columns))]
        found: dict[int, set[int]] = {}
        for box in iter(region):  # type: ignore[call-overload]
            rows = range((box.top() - top) // ROW_PX, min(last, (box.bottom() - top) // ROW_PX) + 1)
            for column, (left, width) in enumerate(edges):
                if width and left <= box.right() and left + width > box.left():
                    found.setdefault(column, set()).update(rows)
        return {column: sorted(rows) for column, rows in found.items()}

    def _grounds(self, painter: QPainter, cells: dict[int, list[int]]) -> None:
        view, theme, model = self._view, self._theme, self._view.rows_model
        chosen, picked = view.selectionModel(), view.selectionModel().hasSelection()
        selected = {row for row in set().union(*cells.values()) if chosen.isRowSelected(row, _ROOT)} if picked else ()
        top, lined = view.rowViewportPosition(0), theme.name != "contrast"
        painter.setPen(QPen(theme.line, 0))
        for column, rows in cells.items():
            left, width = view.columnViewportPosition(column), view.columnWidth(column)
            for row in rows:
                y = top + row * ROW_PX
                if row in selected:
                    painter.fillRect(left, y, width, ROW_PX, theme.selected)
                elif model.tinted(row, column):
                    painter.fillRect(left, y, width, ROW_PX, theme.changed)
                if lined:
                    painter.drawLine(left, y + ROW_PX - 1, left + width - 1, y + ROW_PX - 1)
                if column == 0 and row in selected:
                    painter.fillRect(left, y, 3, ROW_PX, theme.accent)

    def _column(self, painter: QPainter, number: int, rows: Iterable[int]) -> None:
        view, model = self._view, self._view.rows_model
        column = model.columns[number]
        top, left, width = view.rowViewportPosition(0), view.columnViewportPosition(number) + PAD, view.columnWidth(number) - 2 * PAD
        if column.trend is not None:
            for row in rows:
                self._trend(painter, QRectF(left, top + row * ROW_PX + 5, width, ROW_PX - 10), model.row_at(row), number)
            return
        face = self._face(column.mono)
        painter.setFont(face.font)
        if column.state is not None:
            for row in rows:
                self._state(painter, left, top + row * ROW_PX, width, model.row_at(row), number)
            return
        painter.setPen(self._theme.muted if view.stale else self._theme.text)
        right = left + width if column.align == "right" else None
        for row in rows:
            text, taken = face.fitted(model.cell(model.row_at(row), number), width)
            painter.drawText(left if right is None else int(right - taken), top + row * ROW_PX + face.baseline, text)

    def _state(self, painter: QPainter, left: int, top: int, width: int, row: Any, number: int) -> None:
        model, theme, quiet = self._view.rows_model, self._theme, self._view.stale
        column, face = model.columns[number], self._face(model.columns[number].mono)
        word = model.state(row, number)
        mark = MARK_PX if word else 0
        text, taken = face.fitted(model.cell(row, number), width - mark)
        # right-aligned words have their mark close by, not at the far side of the cell
        x = int(left + width - taken - mark) if column.align == "right" else left
        if word:
            painter.drawPixmap(x, top + (ROW_PX - int(SIZE)) // 2 - 1, self._mark("stale" if quiet else word))
        painter.setPen(theme.muted if quiet else theme.state_colour(word) if word else theme.text)
        painter.drawText(x + mark, top + face.baseline, text)

    def _trend(self, painter: QPainter, box: QRectF, row: Any, number: int) -> None:
        model, theme = self._view.rows_model, self._theme
        column, word = model.columns[number], model.state(row, number)
        if column.trend is not None:
            paint_trend(painter, box, column.trend(row), self._muted(theme) or (theme.state_colour(word) if word else theme.p99))

    def _muted(self, theme: Theme) -> QColor | None:
        return theme.muted if self._view.stale else None

    def _face(self, mono: bool) -> Face:
        if mono not in self._faces:
            self._faces[mono] = Face(font("mono" if mono else "number"))
        return self._faces[mono]

    def _mark(self, word: str) -> QPixmap:
        """A state's shape; a pixel of room above and left of it lets its edge be soft."""
        ratio = self._view.devicePixelRatioF()
        if (word, ratio) not in self._marks:
            side = int(SIZE) + 2
            found = QPixmap(round(side * ratio), round(side * ratio))
            found.setDevicePixelRatio(ratio)
            found.fill(Qt.GlobalColor.transparent)
            with QPainter(found) as painter:
                paint_state(painter, QRectF(0, 1, SIZE, SIZE), word, self._theme)
            self._marks[word, ratio] = found
        return self._marks[word, ratio]
