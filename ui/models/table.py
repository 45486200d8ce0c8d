"""A table model over frozen rows, updated by diff, sorted and filtered on the Python list.

From `LARGE` rows on `table_large` keeps what sorting and filtering know of them; what is smaller stays with plain lists.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal, Slot

from ui.bridge import guarded
from ui.models.table_column import Column as Column  # views know it by this module
from ui.models.table_column import header, numbered, sortable
from ui.models.table_pace import Pace
from ui.models.table_search import Search
from ui.models.table_tints import Looks, Rectangle, Tints, rectangles, runs
from ui.models.text import tooltip_text

if TYPE_CHECKING:
    from ui.models.table_large import LargeRows, Order

_Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
TINT_S = 2.0  # how long a changed cell stays tinted
LARGE = 2000  # rows
RESORT_MS = 400  # rows that changed while the table is sorted by it go to their places that often
_ORDER = Qt.SortOrder


class RowsModel(QAbstractTableModel):
    """Rows with unique keys (a repeated key is told apart by its count). Selection and scroll survive wherever a key survives."""

    searched = Signal()  # all rows were looked at for the filter in force

    def __init__(self, columns: Sequence[Column], key: Callable[[Any], Hashable], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self._key = key
        self._given: list[Any] = []
        self._rows: list[Any] = []
        self._keys: list[Hashable] = []
        self._sort: tuple[int, Qt.SortOrder] = (-1, _ORDER.AscendingOrder)
        self._large: LargeRows | None = None
        self.in_sight: Callable[[], tuple[int, int]] | None = None  # the first and last row that a view shows
        self._looks = Looks(self.columns, self.cell, self.state)
        self._tints = Tints(self._looks.differing)
        self._broken: set[int] = set()
        self._timer = QTimer(self)
        self._timer.setInterval(250)
        self._timer.timeout.connect(self._fade)
        self._pace = Pace(RESORT_MS, self)
        self._pace.due.connect(self._resort)
        self._search = Search(self)
        self._search.found.connect(self._show_found)

    # reading ---------------------------------------------------------------------------------------------------------------

    def row(self, index: _Index) -> Any:
        """The row at an index."""
        return self.row_at(index.row())

    def row_at(self, number: int) -> Any:
        """The row by its number on screen."""
        return self._rows[number] if self._large is None else self._large.row(number)

    @property
    def rows(self) -> tuple[Any, ...]:
        """What is shown: filtered and sorted."""
        return tuple(self._rows if self._large is None else self._large.shown_rows())

    @property
    def large(self) -> bool:
        """Whether there are so many rows that not all is done anew each time."""
        return self._large is not None

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._search.text

    @property
    def searching(self) -> bool:
        """Whether rows are still read for the filter in force: more may come."""
        return self._search.going_on

    def find(self, key: Hashable) -> int:
        """The number of the shown row with that key, or -1."""
        if self._large is not None:
            return self._large.number_of(key)
        return self._keys.index(key) if key in self._keys else -1

    def key_at(self, number: int) -> Hashable:
        """The key of a shown row."""
        return self._keys[number] if self._large is None else self._large.key(number)

    def cell(self, row: Any, number: int) -> str:
        """A cell's text. Never raises: a column that fails on a row says so once through sys.excepthook and shows a dash."""
        return str(self._ask(number, self.columns[number].text, row) or "")

    def state(self, row: Any, number: int) -> str:
        """A cell's state word, or "" where its column has none."""
        reader = self.columns[number].state
        return str(self._ask(number, reader, row) or "") if reader else ""

    def tinted(self, number: int, column: int) -> bool:
        """Whether a cell changed within the last two seconds."""
        return bool(self._tints) and self._tints.has(self.key_at(number), column, self.row_at(number))

    def copy_text(self, row: Any) -> str:
        """The row as tab-separated text, with whole values where the table shows parts."""
        cells = (self._ask(i, c.copy or c.text, row) for i, c in enumerate(self.columns))
        return "\t".join(str(cell or "").replace("\t", " ").replace("\n", " ") for cell in cells)

    def _ask(self, number: int, reader: Callable[[Any], Any], row: Any) -> Any:
        try:
            return reader(row)
        except Exception:  # noqa: BLE001 - an exception inside a model would come once per cell and paint; it is told once per column
            if number not in self._broken:
                self._broken.add(number)
                sys.excepthook(*sys.exc_info())
            return "–"

    # changing --------------------------------------------------------------------------------------------------------------

    def set_rows(self, rows: Sequence[Any]) -> None:
        """Show `rows`, filtered and sorted as asked."""
        if len(rows) >= (LARGE if self._large is None else LARGE // 2):
            self._set_many(rows)
            return
        if self._large is not None:
            self._become_small(rows)
        self._given = list(rows)
        self._show()

    def change_rows(self, rows: Sequence[Any]) -> None:
        """Take rows that changed, by their keys, and leave the others: costs what changed. Those not known come at the end."""
        large = self._large
        keys = list(map(self._key, rows))
        slots = large.slots if large is not None else {key: i for i, key in enumerate(numbered(self._given, self._key))}
        given = large.rows if large is not None else self._given
        newest = {slots[key]: row for key, row in zip(keys, rows, strict=True) if key in slots}
        fresh = {key: row for key, row in zip(keys, rows, strict=True) if key not in slots}
        if large is None:
            self.set_rows([*(newest.get(i, row) for i, row in enumerate(given)), *fresh.values()])
            return
        changed = [slot for slot, row in newest.items() if given[slot] is not row and given[slot] != row]
        self._put(large, changed, [newest[slot] for slot in changed], list(fresh.values()), list(fresh))

    def set_filter(self, text: str) -> None:
        """Show only rows where each word of `text` stands in some cell; case does not matter."""
        if text != self._search.text:
            self._search.text = text
            self._show_again()

    @guarded
    def sort(self, column: int, order: Qt.SortOrder = _ORDER.AscendingOrder) -> None:
        """Sort by a column; -1 restores the given order."""
        self._sort = (column, order)
        if self._large is not None:
            self._large.forget_ages()
        self._show_again()

    def _show_again(self) -> None:
        if self._large is None:
            self._show()
        else:
            self._show_large(self._large)

    def _show(self) -> None:
        new, keys = self._wanted()
        self._remove_gone(set(keys))
        known = set(self._keys)
        self._reorder([k for k in keys if k in known])
        self._insert_new(new, keys, known)
        self._update_changed(new)

    def _wanted(self) -> tuple[list[Any], list[Hashable]]:
        """The rows to show and their keys, in order."""
        pairs = list(zip(self._given, numbered(self._given, self._key), strict=True))
        words = self._search.words
        if words:
            pairs = [p for p in pairs if self._matches(p[0], words)]
        number, order = self._sort
        if 0 <= number < len(self.columns):
            column = self.columns[number]
            reader = column.sort_key or column.text
            pairs.sort(key=lambda p: sortable(self._ask(number, reader, p[0])), reverse=order == _ORDER.DescendingOrder)
        return [p[0] for p in pairs], [p[1] for p in pairs]

    def _matches(self, row: Any, words: Sequence[str]) -> bool:
        text = "\t".join(str(self._ask(i, c.copy or c.text, row)) for i, c in enumerate(self.columns)).lower()
        return all(word in text for word in words)

    def _remove_gone(self, wanted: set[Hashable]) -> None:
        gone = [i for i, key in enumerate(self._keys) if key not in wanted]
        for first, last in reversed(runs(gone)):
            self.beginRemoveRows(_ROOT, first, last)
            del self._rows[first : last + 1]
            del self._keys[first : last + 1]
            self.endRemoveRows()

    def _reorder(self, keys: list[Hashable]) -> None:
        if keys == self._keys:
            return
        self.layoutAboutToBeChanged.emit()
        place = {k: i for i, k in enumerate(keys)}
        by_key = dict(zip(self._keys, self._rows, strict=True))
        before = self.persistentIndexList()
        after = [self.index(place[self._keys[ix.row()]], ix.column()) for ix in before]
        self._rows = [by_key[k] for k in keys]
        self._keys = keys
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _insert_new(self, new: list[Any], keys: list[Hashable], known: set[Hashable]) -> None:
        fresh = [i for i, key in enumerate(keys) if key not in known]
        for first, last in runs(fresh):
            self.beginInsertRows(_ROOT, first, last)
            self._rows[first:first] = new[first : last + 1]
            self._keys[first:first] = keys[first : last + 1]
            self.endInsertRows()

    def _update_changed(self, new: list[Any]) -> None:
        old, self._rows = self._rows, new
        changed = [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a is not b and a != b]
        until = monotonic() + TINT_S
        for i in changed:
            for c in self._looks.differing(old[i], new[i]):
                self._tints.mark(self._keys[i], c, until)
        if self._tints and not self._timer.isActive():
            self._timer.start()
        for first, last in runs(changed):
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(self.columns) - 1))

    def clear_tints(self) -> None:
        """Nothing counts as changed: the rows tell of another thing than before."""
        self._tints.clear()
        self._timer.stop()

    @Slot()
    def _fade(self) -> None:
        over = self._tints.over(monotonic())
        if over:
            find = self._large.number_of if self._large is not None else {key: i for i, key in enumerate(self._keys)}.get
            self._tell(rectangles((row, column) for key, column in over if (row := find(key)) is not None and row >= 0))
        if not self._tints:
            self._timer.stop()

    def _tell(self, changed: Sequence[Rectangle]) -> None:
        for first, left, last, right in changed:
            self.dataChanged.emit(self.createIndex(first, left), self.createIndex(last, right))

    # many rows -------------------------------------------------------------------------------------------------------------

    def _wanted_large(self, large: LargeRows) -> Order:
        number, order = self._sort
        return large.wanted(self._search.words, (number, order == _ORDER.DescendingOrder))

    def _show_large(self, large: LargeRows) -> None:
        self._search.begin(large, [index.row() for index in self.persistentIndexList()])
        self._arrange(self._wanted_large(large))

    @Slot()
    def _show_found(self) -> None:
        if self._large is not None:
            self._arrange(self._wanted_large(self._large))
        if not self.searching:
            self.searched.emit()

    def _set_many(self, rows: Sequence[Any]) -> None:
        from ui.models.table_large import LargeRows

        before = self._large
        changes = None if before is None else before.changes(rows, self._key)
        if before is not None and changes is not None:
            slots, keys = changes
            self._put(before, slots, [rows[slot] for slot in slots], rows[len(before.rows) :], keys)
        else:
            shown = before or LargeRows(self._rows, self._keys, self.columns, self._ask)
            self._renew(shown, *shown.renewed(rows, self._key))

    def _put(self, large: LargeRows, slots: list[int], rows: Sequence[Any], fresh: Sequence[Any], keys: Sequence[Hashable]) -> None:
        olds = large.put(slots, rows) if slots else []
        if keys:
            self._arrange(large.add(fresh, keys))
        elif large.astray:
            self._pace.ask()
        if slots:
            self._tell_changed(large, slots, olds)

    @Slot()
    def _resort(self) -> None:
        if self._large is not None and self._large.astray:
            self._arrange(self._large.resorted())

    def _renew(self, shown: LargeRows, new: LargeRows, changed: Sequence[tuple[int, Any]]) -> None:
        """Rows came, went or changed places: those that go leave, then all others change hands unseen, then the new ones come."""
        self._large, self._rows, self._keys, self._given = shown, [], [], []
        self._arrange(shown.staying(new.slots))
        new.show(new.slots_of(shown.shown_keys()))
        self._large = new
        self._show_large(new)
        self._tell_changed(new, [slot for slot, _ in changed], [old for _, old in changed])

    def _become_small(self, rows: Sequence[Any]) -> None:
        large = self._large
        if large is not None:
            self._arrange(large.staying(set(numbered(rows, self._key))))
            self._rows, self._keys = large.shown_rows(), large.shown_keys()
            self._large = None
            self._search.take(None)

    def _arrange(self, wanted: Order) -> None:
        """Show these slots in this order, in the steps views understand: what goes to the end and out, what comes in, all to its place."""
        large = self._large
        if large is None:
            return
        if len(wanted) == len(large.order) == len(large.rows):
            self._permute(large, wanted)
            return
        kept, parted = large.parted(wanted)
        if len(kept) < len(large.order):
            self._permute(large, parted)
            self.beginRemoveRows(_ROOT, len(kept), len(parted) - 1)
            large.show(kept)
            self.endRemoveRows()
        if len(kept) < len(wanted):
            self.beginInsertRows(_ROOT, len(kept), len(wanted) - 1)
            large.show(large.joined(wanted))
            self.endInsertRows()
        self._permute(large, wanted)

    def _permute(self, large: LargeRows, order: Order) -> None:
        before = large.order
        if bool((before == order).all()):
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        large.show(order)
        where = large.where()
        self.changePersistentIndexList(held, [self.createIndex(where.item(before.item(ix.row())), ix.column()) for ix in held])
        self.layoutChanged.emit()

    def _tell_changed(self, large: LargeRows, slots: Sequence[int], olds: Sequence[Any]) -> None:
        """Tint what changed and have it painted: cell by cell in sight; elsewhere cells are compared when somebody looks."""
        until, where = monotonic() + TINT_S, large.where()
        first, last = self.in_sight() if self.in_sight is not None else (0, self.rowCount() - 1)
        cells: list[tuple[int, int]] = []
        beyond: tuple[list[int], list[int]] = ([], [])  # above and below what is in sight
        for slot, old in zip(slots, olds, strict=True):
            key, number = large.keys[slot], where.item(slot)
            if first <= number <= last:
                new = large.rows[slot]
                tinted = self._looks.differing(old, new)
                for column in tinted:
                    self._tints.mark(key, column, until)
                cells += [(number, column) for column in self._looks.otherwise(old, new, tinted)]
            elif number >= 0:
                self._tints.mark_row(key, old, until)
                beyond[number > last].append(number)
        right = len(self.columns) - 1
        self._tell(rectangles(cells) + [(min(numbers), 0, max(numbers), right) for numbers in beyond if numbers])
        if self._tints and not self._timer.isActive():
            self._timer.start()

    # Qt's side -------------------------------------------------------------------------------------------------------------

    @guarded
    def rowCount(self, parent: _Index = _ROOT) -> int:
        """Rows shown."""
        return 0 if parent.isValid() else len(self._rows) if self._large is None else len(self._large.order)

    @guarded
    def columnCount(self, parent: _Index = _ROOT) -> int:
        """Columns shown."""
        return 0 if parent.isValid() else len(self.columns)

    @guarded
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles, aligned as their cells."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        return header(self.columns[section], role)

    @guarded
    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text and tooltip; how a cell looks is the delegate's matter."""
        if not index.isValid() or not 0 <= index.row() < self.rowCount():
            return None
        row, number = self.row_at(index.row()), index.column()
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.cell(row, number)
        if role == Qt.ItemDataRole.ToolTipRole:
            column = self.columns[number]
            return tooltip_text(str(self._ask(number, column.tooltip or column.copy or column.text, row) or ""))
        return None
