"""The one table: fixed rows, keyboard first, painted cell by cell without delegates."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import Any

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, QRect, Qt, Signal, Slot
from PySide6.QtGui import QAccessible, QFontMetrics, QGuiApplication, QKeyEvent, QKeySequence, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QWidget

from ui.bridge import guarded
from ui.models.table import Column, RowsModel
from ui.theme import Theme, font, theme_of
from ui.widgets.table_paint import PAD, CellPainter
from ui.widgets.table_paint import ROW_PX as ROW_PX  # views know it by this module

_Index = QModelIndex | QPersistentModelIndex
AGES_S = 1.0  # a large table's ages are painted that often
_MIDDLE = Qt.TextElideMode.ElideMiddle


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
        self._before: tuple[int, int, list[Hashable]] | None = None  # what was in sight before rows changed places
        self._empty = ("Nothing here yet", "")
        self.rows_model.in_sight = self._in_sight
        self._cells = CellPainter(self)
        # before the selection model exists, so that this comes first: Qt would make a neighbour the current row
        self.rows_model.rowsAboutToBeRemoved.connect(self._forget_removed)
        self.rows_model.layoutAboutToBeChanged.connect(self._remember_sight)
        self.setModel(self.rows_model)
        self.rows_model.searched.connect(self.refresh)
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

    @Slot()
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

    def _sight(self) -> tuple[int, int, list[Hashable]]:
        top, bottom = self._in_sight()
        return self.rows_model.rowCount(), self.verticalOffset(), [self.rows_model.key_at(n) for n in range(max(0, top), bottom + 1)]

    @Slot()
    def _remember_sight(self) -> None:
        if self._before is None and self.isVisible():
            self._before = self._sight()

    @guarded
    def doItemsLayout(self) -> None:
        """Where rows changed places, paint those in sight that are others now; Qt would paint all."""
        before, self._before = self._before, None
        after = self._sight() if before is not None else None
        if before is None or after is None or before[:2] != after[:2]:
            super().doItemsLayout()
            return
        top = self._in_sight()[0]
        for number, (old, new) in enumerate(zip(before[2], after[2], strict=True), top):
            if old != new:
                self.viewport().update(0, self.rowViewportPosition(number), self.viewport().width(), ROW_PX)

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
        """Paint these cells and no other; Qt takes neighbours along, and all for a rectangle of very many cells, wherever it lies."""
        top, bottom = self._in_sight()
        if first.row() <= bottom and last.row() >= top:
            if QAccessible.isActive():
                super().dataChanged(first, last, list(roles))
            left = self.columnViewportPosition(first.column())
            right = self.columnViewportPosition(last.column()) + self.columnWidth(last.column())
            upper = self.rowViewportPosition(max(first.row(), top))
            lower = self.rowViewportPosition(min(last.row(), bottom)) + ROW_PX
            self.viewport().update(left, upper, right - left, lower - upper)

    @guarded
    def changeEvent(self, event: Any) -> None:
        """Fonts and theme may change while open."""
        if event.type() in (event.Type.FontChange, event.Type.PaletteChange, event.Type.StyleChange) and hasattr(self, "_cells"):
            self._cells.forget()
        super().changeEvent(event)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """The rows; without any, the empty state; the focus ring on top."""
        theme = theme_of(self)
        with QPainter(self.viewport()) as painter:
            self._cells.paint(painter, event.region())
            if not self.rows_model.rowCount():
                self._paint_empty(painter, theme)
            if self.hasFocus():
                painter.setPen(QPen(theme.accent, 2))
                painter.drawRect(self.viewport().rect().adjusted(1, 1, -1, -1))

    def _paint_empty(self, painter: QPainter, theme: Theme) -> None:
        title, hint = self._empty
        if self.rows_model.searching:
            title, hint = "Searching…", ""
        elif self.rows_model.filter_text:
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
