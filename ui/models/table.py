"""A table model over frozen rows, updated by diff, sorted and filtered on the Python list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import Any

from msgspec import Struct
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Slot

from ui.bridge import guarded
from ui.models.text import tooltip_text

_Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
TINT_S = 2.0  # how long a changed cell stays tinted
_ORDER = Qt.SortOrder


class Column(Struct, frozen=True):
    """How one column reads a row.

    `state` answers a state's word (draws shape and colour), `trend` numbers (draws a line), `copy` the whole value where `text`
    shows a part of it. `quiet` columns are never tinted. `width` is pixels at the standard font; 0 = from the title.
    """

    title: str
    text: Callable[[Any], str]
    sort_key: Callable[[Any], Any] | None = None
    tooltip: Callable[[Any], str] | None = None
    state: Callable[[Any], str] | None = None
    align: str = "left"
    mono: bool = False
    trend: Callable[[Any], Sequence[float]] | None = None
    width: int = 0
    stretch: bool = False
    copy: Callable[[Any], str] | None = None
    quiet: bool = False


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Group sorted numbers into closed ranges: 1 2 3 7 -> (1, 3) (7, 7)."""
    found: list[tuple[int, int]] = []
    for n in numbers:
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found


class RowsModel(QAbstractTableModel):
    """Rows with unique keys (a repeated key is told apart by its count). Selection and scroll survive wherever a key survives."""

    def __init__(self, columns: Sequence[Column], key: Callable[[Any], Hashable], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self._key = key
        self._given: list[Any] = []
        self._rows: list[Any] = []
        self._keys: list[Hashable] = []
        self._filter = ""
        self._sort: tuple[int, Qt.SortOrder] = (-1, _ORDER.AscendingOrder)
        self._tints: dict[tuple[Hashable, int], float] = {}
        self._broken: set[int] = set()
        self._timer = QTimer(self)
        self._timer.setInterval(250)
        self._timer.timeout.connect(self._fade)

    # reading ---------------------------------------------------------------------------------------------------------------

    def row(self, index: _Index) -> Any:
        """The row at an index."""
        return self._rows[index.row()]

    def row_at(self, number: int) -> Any:
        """The row by its number on screen."""
        return self._rows[number]

    @property
    def rows(self) -> tuple[Any, ...]:
        """What is shown: filtered and sorted."""
        return tuple(self._rows)

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._filter

    def find(self, key: Hashable) -> int:
        """The number of the shown row with that key, or -1."""
        return self._keys.index(key) if key in self._keys else -1

    def key_at(self, number: int) -> Hashable:
        """The key of a shown row."""
        return self._keys[number]

    def cell(self, row: Any, number: int) -> str:
        """A cell's text. Never raises: a column that fails on a row says so once through sys.excepthook and shows a dash."""
        return str(self._ask(number, self.columns[number].text, row) or "")

    def state(self, row: Any, number: int) -> str:
        """A cell's state word, or "" where its column has none."""
        reader = self.columns[number].state
        return str(self._ask(number, reader, row) or "") if reader else ""

    def tinted(self, number: int, column: int) -> bool:
        """Whether a cell changed within the last two seconds."""
        return bool(self._tints) and (self._keys[number], column) in self._tints

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
        self._given = list(rows)
        self._show()

    def set_filter(self, text: str) -> None:
        """Show only rows where each word of `text` stands in some cell; case does not matter."""
        if text != self._filter:
            self._filter = text
            self._show()

    @guarded
    def sort(self, column: int, order: Qt.SortOrder = _ORDER.AscendingOrder) -> None:
        """Sort by a column; -1 restores the given order."""
        self._sort = (column, order)
        self._show()

    def _show(self) -> None:
        new, keys = self._wanted()
        self._remove_gone(set(keys))
        known = set(self._keys)
        self._reorder([k for k in keys if k in known])
        self._insert_new(new, keys, known)
        self._update_changed(new)

    def _wanted(self) -> tuple[list[Any], list[Hashable]]:
        """The rows to show and their keys, in order."""
        seen: dict[Hashable, int] = {}
        pairs: list[tuple[Any, Hashable]] = []
        for row in self._given:
            key = self._key(row)
            count = seen[key] = seen.get(key, 0) + 1
            pairs.append((row, key if count == 1 else (key, count)))
        words = self._filter.lower().split()
        if words:
            pairs = [p for p in pairs if self._matches(p[0], words)]
        number, order = self._sort
        if 0 <= number < len(self.columns):
            column = self.columns[number]
            reader = column.sort_key or column.text
            pairs.sort(key=lambda p: _sortable(self._ask(number, reader, p[0])), reverse=order == _ORDER.DescendingOrder)
        return [p[0] for p in pairs], [p[1] for p in pairs]

    def _matches(self, row: Any, words: list[str]) -> bool:
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
            for c, column in enumerate(self.columns):
                if not column.quiet and self.cell(old[i], c) != self.cell(new[i], c):
                    self._tints[self._keys[i], c] = until
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
        now = monotonic()
        over = [cell for cell, until in self._tints.items() if until <= now]
        place = {key: i for i, key in enumerate(self._keys)}
        for key, column in over:
            del self._tints[key, column]
            if key in place:
                index = self.index(place[key], column)
                self.dataChanged.emit(index, index)
        if not self._tints:
            self._timer.stop()

    # Qt's side -------------------------------------------------------------------------------------------------------------

    @guarded
    def rowCount(self, parent: _Index = _ROOT) -> int:
        """Rows shown."""
        return 0 if parent.isValid() else len(self._rows)

    @guarded
    def columnCount(self, parent: _Index = _ROOT) -> int:
        """Columns shown."""
        return 0 if parent.isValid() else len(self.columns)

    @guarded
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles, aligned as their cells."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.align == "right" else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    @guarded
    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text and tooltip; how a cell looks is the delegate's matter."""
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row, number = self._rows[index.row()], index.column()
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.cell(row, number)
        if role == Qt.ItemDataRole.ToolTipRole:
            column = self.columns[number]
            return tooltip_text(str(self._ask(number, column.tooltip or column.copy or column.text, row) or ""))
        return None


def _sortable(value: Any) -> tuple[int, Any]:
    """Values of one column that compare: what is not known comes first, then numbers, then text without case."""
    if value is None or value != value:
        return (0, 0)
    if isinstance(value, (bool, int, float)):
        return (1, value)
    if isinstance(value, str):
        return (2, value.casefold())
    return (3, value)
