"""The one table: fixed rows, keyboard first, painted by a light delegate of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import Any

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, QRect, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFont, QFontMetrics, QGuiApplication, QKeyEvent, QKeySequence, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from ui.bridge import guarded
from ui.models.table import Column, RowsModel
from ui.theme import Theme, font, theme_of
from ui.widgets.shapes import SIZE, paint_state
from ui.widgets.trend import paint_trend

_Index = QModelIndex | QPersistentModelIndex
ROW_PX = 28
SLACK = 2  # pixels that kerning may add to a text
AGES_S = 1.0  # a large table's ages are painted that often
PAD = 8
_MIDDLE = Qt.TextElideMode.ElideMiddle


class _Widths(dict[str, float]):
    """The width of each character, asked once: most texts plainly fit, and shaping one to learn that costs as much as painting it."""

    def __init__(self, metrics: QFontMetrics) -> None:
        super().__init__()
        self._metrics = metrics

    def __missing__(self, letter: str) -> float:
        # what joins or turns round has no width of its own
        self[letter] = found = self._metrics.horizontalAdvance(letter) if letter.isascii() else math.inf
        return found

    def fits(self, text: str, width: float) -> bool:
        """Whether `text` is surely no wider; kerning may cost a pixel here and there."""
        return len(text) < 200 and sum(map(self.__getitem__, text)) + SLACK <= width


class _Delegate(QStyledItemDelegate):
    """Paints cells with a QPainter alone: no style, no style sheet, no per-cell objects."""

    def __init__(self, view: TableView) -> None:
        super().__init__(view)
        self._view = view
        self._fonts: dict[bool, tuple[QFont, QFontMetrics, _Widths]] = {}
        self._pens: dict[str, QPen] = {}
        self._theme = theme_of(view)
        # numbers: combining Qt's flags anew for each cell takes longer than drawing its text
        self._sides: dict[bool, int] = {}

    def fonts(self, mono: bool) -> tuple[QFont, QFontMetrics, _Widths]:
        """The font of a cell with its metrics."""
        if mono not in self._fonts:
            face = font("mono" if mono else "number")
            metrics = QFontMetrics(face)
            self._fonts[mono] = (face, metrics, _Widths(metrics))
        return self._fonts[mono]

    def forget_fonts(self) -> None:
        """The fonts changed."""
        self._fonts.clear()

    def begin(self) -> None:
        """A paint begins: the theme holds for all of its cells."""
        theme = theme_of(self._view)
        if theme is not self._theme or not self._pens:
            self._theme = theme
            self._pens = {"line": QPen(theme.line, 0)}

    def _side(self, right: bool) -> int:
        if right not in self._sides:
            side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
            self._sides[right] = int((side | Qt.AlignmentFlag.AlignVCenter).value) | int(Qt.TextFlag.TextSingleLine.value)
        return self._sides[right]

    @guarded
    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        """Rows are of one height; widths are the columns'."""
        return QSize(64, ROW_PX)

    @guarded
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """Ground, tint or selection, then shape, text or trend."""
        if not self._pens:
            self.begin()
        theme = self._theme
        model = self._view.rows_model
        rect: QRect = option.rect
        row, number = index.row(), index.column()
        selected = self._view.selectionModel().isSelected(index)
        painter.save()
        if selected:
            painter.fillRect(rect, theme.selected)
        elif model.tinted(row, number):
            painter.fillRect(rect, theme.changed)
        if theme.name != "contrast":
            painter.setPen(self._pens["line"])
            painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        if selected and number == 0:
            painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.accent)
        self._content(painter, rect.adjusted(PAD, 0, -PAD, 0), model.row_at(row), number)
        painter.restore()

    def _content(self, painter: QPainter, rect: QRect, row: Any, number: int) -> None:
        model, theme, quiet = self._view.rows_model, self._theme, self._view.stale
        column = model.columns[number]
        word = model.state(row, number) if column.state is not None else ""
        if column.trend is not None:
            values = column.trend(row)
            colour = theme.muted if quiet else theme.state_colour(word) if word else theme.p99
            paint_trend(painter, QRectF(rect).adjusted(0, 5, 0, -5), values, colour)
            return
        face, metrics, widths = self.fonts(column.mono)
        right = column.align == "right"
        mark = int(SIZE) + 6 if word else 0
        text, width = model.cell(row, number), rect.width() - mark
        if not widths.fits(text, width):
            text = metrics.elidedText(text, _MIDDLE, width)
        if word:
            # right-aligned words have their mark close by, not at the far side of the cell
            left = rect.right() - metrics.horizontalAdvance(text) - mark if right else rect.left()
            paint_state(painter, QRectF(left, rect.top(), SIZE, rect.height()), "stale" if quiet else word, theme)
            rect.setLeft(rect.left() + mark)
        painter.setFont(face)
        painter.setPen(theme.muted if quiet else theme.state_colour(word) if word else theme.text)
        painter.drawText(rect, self._side(right), text)


class TableView(QTableView):
    """Rows by `Column` specs. `row_selected` carries the current row or None; `row_activated` follows Enter and double click."""

    row_selected = Signal(object)
    row_activated = Signal(object)

    def __init__(
        self, columns: Sequence[Column], key: Callable[[Any], Hashable], accessible_name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.rows_model = RowsModel(columns, key, self)
        self.stale = False
        self.timeless = False  # no cell holds an age: what did not change need not be painted again
        self._aged_at = 0.0
        self._empty = ("Nothing here yet", "")
        self.rows_model.in_sight = self._in_sight
        self._delegate = _Delegate(self)
        # before the selection model exists, so that this comes first: Qt would make a neighbour the current row
        self.rows_model.rowsAboutToBeRemoved.connect(self._forget_removed)
        self.setModel(self.rows_model)
        self.setItemDelegate(self._delegate)
        self.setAccessibleName(accessible_name)
        self._dress()
        self._arrange_columns()
        self.selectionModel().currentRowChanged.connect(self._tell_current)
        self.activated.connect(self._tell_activated)

    def _dress(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(_MIDDLE)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_PX)
        rows.setDefaultSectionSize(ROW_PX)

    def _arrange_columns(self) -> None:
        head = self.horizontalHeader()
        head.setFont(font("muted"))
        head.setHighlightSections(False)
        head.setSortIndicatorClearable(True)
        head.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        head.setFixedHeight(ROW_PX)
        head.setMinimumSectionSize(36)
        self.setSortingEnabled(True)
        metrics = QFontMetrics(font("body"))
        scale = max(1.0, metrics.horizontalAdvance("0") / 8)
        for i, column in enumerate(self.rows_model.columns):
            head.setSectionResizeMode(i, QHeaderView.ResizeMode.Stretch if column.stretch else QHeaderView.ResizeMode.Interactive)
            width = int(column.width * scale) if column.width else metrics.horizontalAdvance(column.title) + 2 * PAD + 16
            head.resizeSection(i, width)

    # the rows --------------------------------------------------------------------------------------------------------------

    def set_rows(self, rows: Sequence[Any]) -> None:
        """Show `rows`; what is selected stays selected."""
        was_empty = not self.rows_model.rowCount()
        self.rows_model.set_rows(rows)
        if was_empty or not self.rows_model.rowCount() or self._ages_moved():
            self.viewport().update()

    def change_rows(self, rows: Sequence[Any]) -> None:
        """Take rows that changed, by their keys, and leave the others as they are."""
        self.rows_model.change_rows(rows)
        if self._ages_moved():
            self.viewport().update()

    def _ages_moved(self) -> bool:
        """Whether cells that did not change may read otherwise by now; where there are very many rows, once a second."""
        if self.timeless or (self.rows_model.large and monotonic() - self._aged_at < AGES_S):
            return False
        self._aged_at = monotonic()
        return True

    def set_filter(self, text: str) -> None:
        """Show only rows that hold each word of `text`."""
        self.rows_model.set_filter(text)
        # a large table tells what moved; without any rows it is the words that change
        if not self.rows_model.large or not self.rows_model.rowCount():
            self.viewport().update()

    def _in_sight(self) -> tuple[int, int]:
        if not self.isVisible():
            return 0, -1
        last = self.rowAt(self.viewport().height() - 1)
        return self.rowAt(0), last if last >= 0 else self.rows_model.rowCount() - 1

    def refresh(self) -> None:
        """Paint again: ages in the cells moved on."""
        self.viewport().update()

    def set_stale(self, stale: bool) -> None:
        """Grey everything: the data is older than its deadline."""
        if stale != self.stale:
            self.stale = stale
            self.viewport().update()

    def set_empty(self, title: str, hint: str = "") -> None:
        """What stands here while there are no rows, and what would fill it."""
        self.setAccessibleDescription(f"{title}. {hint}" if not self.rows_model.rowCount() else "")
        if (title, hint) != self._empty:
            self._empty = (title, hint)
            self.viewport().update()

    def selected(self) -> Any | None:
        """The current row, or None."""
        index = self.currentIndex()
        return self.rows_model.row(index) if index.isValid() else None

    def selected_rows(self) -> tuple[Any, ...]:
        """All selected rows, from the top."""
        numbers = sorted(index.row() for index in self.selectionModel().selectedRows())
        return tuple(self.rows_model.row_at(n) for n in numbers)

    def select(self, key: Hashable) -> bool:
        """Make the row with that key the current one; False where it is not shown."""
        number = self.rows_model.find(key)
        if number < 0:
            return False
        index = self.rows_model.index(number, 0)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().setCurrentIndex(index, flags)
        return True

    def copy_selected(self) -> str:
        """Put the selected rows on the clipboard as tab-separated text; answers that text."""
        text = "\n".join(self.rows_model.copy_text(row) for row in self.selected_rows())
        if text:
            QGuiApplication.clipboard().setText(text)
        return text

    # events ----------------------------------------------------------------------------------------------------------------

    @Slot(QModelIndex, int, int)
    def _forget_removed(self, parent: QModelIndex, first: int, last: int) -> None:
        """A row that goes takes its selection along: another one must never be selected in its stead."""
        if first <= self.currentIndex().row() <= last:
            self.selectionModel().clear()

    @Slot(QModelIndex, QModelIndex)
    def _tell_current(self, current: QModelIndex, before: QModelIndex) -> None:
        self.row_selected.emit(self.rows_model.row(current) if current.isValid() else None)

    @Slot(QModelIndex)
    def _tell_activated(self, index: QModelIndex) -> None:
        self.row_activated.emit(self.rows_model.row(index))

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """j and k walk, Ctrl+C copies; the rest is Qt's."""
        step = {Qt.Key.Key_J: Qt.Key.Key_Down, Qt.Key.Key_K: Qt.Key.Key_Up}.get(Qt.Key(event.key()))
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_selected()
        elif step is not None and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            super().keyPressEvent(QKeyEvent(event.type(), step, Qt.KeyboardModifier.NoModifier))
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """Letters are shortcuts of the window, not a search."""

    @guarded
    def dataChanged(self, first: _Index, last: _Index, roles: Sequence[int] = ()) -> None:
        """Of what is not in sight nothing is painted; Qt would paint all for a rectangle of very many cells, wherever it lies."""
        top, bottom = self._in_sight()
        if first.row() <= bottom and last.row() >= top:
            super().dataChanged(first, last, list(roles))

    @guarded
    def changeEvent(self, event: Any) -> None:
        """Fonts and theme may change while open."""
        if event.type() in (event.Type.FontChange, event.Type.PaletteChange, event.Type.StyleChange) and hasattr(self, "_delegate"):
            self._delegate.forget_fonts()
        super().changeEvent(event)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows; without any, the empty state; the focus ring on top."""
        self._delegate.begin()
        super().paintEvent(event)
        theme = theme_of(self)
        with QPainter(self.viewport()) as painter:
            if not self.rows_model.rowCount():
                self._paint_empty(painter, theme)
            if self.hasFocus():
                painter.setPen(QPen(theme.accent, 2))
                painter.drawRect(self.viewport().rect().adjusted(1, 1, -1, -1))

    def _paint_empty(self, painter: QPainter, theme: Theme) -> None:
        title, hint = self._empty
        if self.rows_model.filter_text:
            title, hint = f"Nothing matches “{self.rows_model.filter_text}”", "Clear the filter to see all rows."
        box = self.viewport().rect().adjusted(16, 16, -16, -16)
        painter.setPen(theme.text)
        painter.setFont(font("strong"))
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        used = painter.boundingRect(box, int(flags), title)
        top = max(box.top(), box.center().y() - used.height() - 8)
        area = QRect(QPoint(box.left(), top), box.bottomRight())
        painter.drawText(area, int(flags), title)
        painter.setPen(theme.muted)
        painter.setFont(font("body"))
        painter.drawText(area.adjusted(0, used.height() + 4, 0, 0), int(flags), hint)
