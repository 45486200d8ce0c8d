"""The rows of a large table and what sorting and filtering remember of them, so that each costs what changed. Knows nothing of Qt.

A slot is a row's place among the rows as given; `order` has the slots as they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from itertools import compress, repeat
from operator import ne
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ui.models.table_column import Column, numbered, sortable
from ui.models.table_keys import SortKeys
from ui.models.table_words import Words

Order = NDArray[np.intp]
Ask = Callable[[int, Callable[[Any], Any], Any], Any]
MANY = 1000  # changed rows beyond which sorting anew is cheaper than moving them one by one
_CHUNK = 32  # rows compared at once


class LargeRows:
    """Thread: the model's. `ask(column number, reader, row)` is the model's way to read a cell that may fail."""

    def __init__(self, rows: Sequence[Any], keys: Sequence[Hashable], columns: Sequence[Column], ask: Ask) -> None:
        self.rows = list(rows)
        self.keys = list(keys)
        self.slots = {key: slot for slot, key in enumerate(self.keys)}
        self.order: Order = np.arange(len(self.rows))
        self._columns = columns
        self._ask = ask
        self._sorted: dict[int, SortKeys] = {}
        self._behind: dict[int, set[int]] = {}  # slots that changed since the keys of a column were read, for those not sorted by
        self._sort = (-1, False)
        self._mask: NDArray[np.bool_] | None = None
        self._where: Order | None = None
        self._bounds: list[slice] = []
        self._chunks: list[list[Any]] = []  # the rows again, as they are compared
        self._strays: set[int] = set()  # rows that changed and stand where they stood before
        self.words = Words(len(self.rows), self._texts, ages=any(c.quiet and c.copy is None for c in columns))

    # reading ---------------------------------------------------------------------------------------------------------------

    def row(self, number: int) -> Any:
        """The row by its number on screen."""
        return self.rows[self.order.item(number)]

    def key(self, number: int) -> Hashable:
        """The key of a shown row."""
        return self.keys[self.order.item(number)]

    def shown_rows(self) -> list[Any]:
        """All rows on screen."""
        return [self.rows[slot] for slot in self.order.tolist()]

    def shown_keys(self) -> list[Hashable]:
        """Their keys."""
        return [self.keys[slot] for slot in self.order.tolist()]

    def number_of(self, key: Hashable) -> int:
        """Where a key is shown, or -1."""
        slot = self.slots.get(key, -1)
        return -1 if slot < 0 else self.where().item(slot)

    def where(self) -> Order:
        """The number on screen of each slot, -1 for those not shown."""
        if self._where is None:
            self._where = np.full(len(self.rows), -1, dtype=np.intp)
            self._where[self.order] = np.arange(len(self.order))
        return self._where

    def show(self, order: Order) -> None:
        """What is on screen from now on."""
        self.order, self._where = order, None

    def staying(self, keys: Container[Hashable]) -> Order:
        """The order without the rows whose keys are not among these."""
        return self.order[np.fromiter((key in keys for key in self.shown_keys()), np.bool_, len(self.order))]

    def slots_of(self, keys: Sequence[Hashable]) -> Order:
        """The slots of these keys."""
        return np.fromiter(map(self.slots.__getitem__, keys), np.intp, len(keys))

    def parted(self, wanted: Order) -> tuple[Order, Order]:
        """Of the order as it is: what is wanted, and that with the rest behind it."""
        among = self._among(wanted)[self.order]
        kept = self.order[among]
        return kept, np.concatenate((kept, self.order[~among]))

    def joined(self, wanted: Order) -> Order:
        """The order as it is, and behind it what is wanted besides."""
        return np.concatenate((self.order, wanted[~self._among(self.order)[wanted]]))

    def _among(self, slots: Order) -> NDArray[np.bool_]:
        found = np.zeros(len(self.rows), dtype=np.bool_)
        found[slots] = True
        return found

    # sorting and filtering -------------------------------------------------------------------------------------------------

    def wanted(self, words: tuple[str, ...], sort: tuple[int, bool]) -> Order:
        """The slots to show for these words, by this column (-1: as given) and descending or not."""
        self.words.begin(words)
        self._mask = self.words.matching(words)
        self._sort = sort
        self._strays.clear()
        slots = np.arange(len(self.rows)) if self._mask is None else np.flatnonzero(self._mask)
        return self._sort_keys().sorted(slots, sort[1]) if self._sorts() else slots

    def _sorts(self) -> bool:
        return 0 <= self._sort[0] < len(self._columns)

    def _sort_keys(self) -> SortKeys:
        number = self._sort[0]
        if number not in self._sorted:
            column = self._columns[number]
            self._sorted[number] = SortKeys(self._read(number, column.sort_key or column.text, self.rows))
        elif number in self._behind:
            self._read_again(number, list(self._behind.pop(number)))
        return self._sorted[number]

    def _read_again(self, number: int, slots: list[int]) -> list[int]:
        """The keys of rows that changed; answers the slots that sort otherwise."""
        column, keys = self._columns[number], self._sorted[number]
        values = self._read(number, column.sort_key or column.text, [self.rows[slot] for slot in slots])
        return [slot for slot, value in zip(slots, values, strict=True) if keys.put(slot, value)]

    def forget_ages(self) -> None:
        """What columns without a tint sort by may move with the clock."""
        self._sorted = {number: keys for number, keys in self._sorted.items() if not self._columns[number].quiet}

    def _read(self, number: int, reader: Callable[[Any], Any], rows: Sequence[Any]) -> list[Any]:
        try:
            return list(map(reader, rows))
        except Exception:  # noqa: BLE001 - the model's way tells of it once, and reads what can be read
            return list(map(self._ask, repeat(number), repeat(reader), rows))

    def _texts(self, slots: list[int]) -> list[str]:
        rows = [self.rows[slot] for slot in slots]
        cells = [map(str, self._read(i, c.copy or c.text, rows)) for i, c in enumerate(self._columns)]
        return [text.lower() for text in map("\t".join, zip(*cells, strict=True))]

    # changing --------------------------------------------------------------------------------------------------------------

    def changes(self, rows: Sequence[Any], key: Callable[[Any], Hashable]) -> tuple[list[int], list[Hashable]] | None:
        """The slots whose rows differ, and the keys of rows that came behind all others; None for anything else that happened."""
        more = [key(row) for row in rows[len(self.rows) :]]
        if len(rows) < len(self.rows) or len(set(more)) < len(more) or not self.slots.keys().isdisjoint(more):
            return None
        mine, theirs = self.rows, rows if isinstance(rows, list) else list(rows)
        if not self._chunks:
            self._bounds = [slice(start, min(start + _CHUNK, len(mine))) for start in range(0, len(mine), _CHUNK)]
            self._chunks = [mine[bound] for bound in self._bounds]
        found: list[int] = []
        # a comparison of lists looks at the rows' identity first, without a step of Python for each
        for bound in compress(self._bounds, map(ne, self._chunks, map(theirs.__getitem__, self._bounds))):
            for slot, (old, new) in enumerate(zip(mine[bound], theirs[bound], strict=True), bound.start):
                if old is not new and old != new:
                    if key(old) != key(new):
                        return None
                    found.append(slot)
        return found, more

    def put(self, slots: list[int], rows: Sequence[Any]) -> list[Any]:
        """Replace the rows of `slots`; answers the old ones. The order stays as it is until `resorted`."""
        olds = [self.rows[slot] for slot in slots]
        for slot, row in zip(slots, rows, strict=True):
            self.rows[slot] = row
            if self._chunks:
                self._chunks[slot // _CHUNK][slot % _CHUNK] = row
        before = None if self._mask is None else self._mask[slots]
        self.words.changed(slots)
        if self._mask is not None and before is not None:
            self._strays.update(np.array(slots)[before != self._mask[slots]].tolist())
        for number in self._sorted:
            if number == self._sort[0]:
                self._strays.update(self._read_again(number, slots))
            else:
                self._behind.setdefault(number, set()).update(slots)
        return olds

    @property
    def astray(self) -> bool:
        """Whether some rows are not in their places."""
        return bool(self._strays)

    def resorted(self) -> Order:
        """The order with all rows in their places."""
        strays, self._strays = sorted(self._strays), set()
        return self._moved(strays) if strays else self.order

    def add(self, rows: Sequence[Any], keys: Sequence[Hashable]) -> Order:
        """Rows with new keys behind all others; answers the order with them in it."""
        count = len(self.rows)
        self.rows += rows
        self.keys += keys
        slots = list(range(count, len(self.rows)))
        self.slots.update(zip(keys, slots, strict=True))
        self._where, self._chunks = None, []
        self.words.add(len(rows))
        self._mask = self.words.mask
        for number, sort_keys in self._sorted.items():
            column = self._columns[number]
            sort_keys.add(self._read(number, column.sort_key or column.text, rows))
        self._strays.update(slots)
        return self.resorted()

    def _moved(self, slots: list[int]) -> Order:
        """The order after some rows went to other places."""
        if len(slots) > MANY:
            every = np.arange(len(self.rows)) if self._mask is None else np.flatnonzero(self._mask)
            return self._sort_keys().sorted(every, self._sort[1]) if self._sorts() else every
        kept = self.order[~self._among(np.array(slots))[self.order]]
        comes = [slot for slot in slots if self._mask is None or self._mask[slot]]
        if not self._sorts():
            return np.insert(kept, np.searchsorted(kept, comes), comes)
        values = self._sort_keys().values
        comes.sort(key=lambda slot: sortable(values[slot]), reverse=self._sort[1])
        return np.insert(kept, [self._place(kept, slot) for slot in comes], comes)

    def _place(self, order: Order, slot: int) -> int:
        values, descending = self._sort_keys().values, self._sort[1]
        mine = sortable(values[slot])
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            other = order.item(middle)
            theirs = sortable(values[other])
            ahead = other < slot if theirs == mine else (theirs > mine) is descending
            low, high = (middle + 1, high) if ahead else (low, middle)
        return low

    def renewed(self, rows: Sequence[Any], key: Callable[[Any], Hashable]) -> tuple[LargeRows, list[tuple[int, Any]]]:
        """Other rows with what is remembered of those that stay; beside them the slots that changed, with their old rows."""
        new = LargeRows(rows, numbered(rows, key), self._columns, self._ask)
        sources = [self.slots.get(k, -1) for k in new.keys]
        changed: list[tuple[int, Any]] = []
        for slot, (source, row) in enumerate(zip(sources, new.rows, strict=True)):
            if source >= 0:
                old = self.rows[source]
                if old is not row and old != row:
                    changed.append((slot, old))
                    sources[slot] = -1
        new.words.carry(self.words, sources)
        for number, keys in self._sorted.items():
            self._read_again(number, list(self._behind.pop(number, ())))
            column, values = self._columns[number], keys.values
            fresh = [slot for slot, source in enumerate(sources) if source < 0]
            carried = [values[source] for source in sources]
            read = self._read(number, column.sort_key or column.text, [new.rows[slot] for slot in fresh])
            for slot, value in zip(fresh, read, strict=True):
                carried[slot] = value
            new._sorted[number] = SortKeys(carried)
        return new, changed
