"""Which cells look otherwise than before and changed a moment ago, and where those cells stand together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import takewhile
from typing import Any

from ui.models.table_column import Column

Cell = tuple[Hashable, int]
Rectangle = tuple[int, int, int, int]  # first row, first column, last row, last column
MOST = 1000  # rectangles told one by one


class Looks:
    """How the cells of two rows differ. `cell` and `state` are the model's ways to read a cell that may fail."""

    def __init__(self, columns: Sequence[Column], cell: Callable[[Any, int], str], state: Callable[[Any, int], str]) -> None:
        self._cell, self._state = cell, state
        self._all = range(len(columns))
        self._loud = [(c, column.text) for c, column in enumerate(columns) if not column.quiet]
        self._restless = [c for c, column in enumerate(columns) if column.quiet or column.trend]
        self._stateful = [c for c, column in enumerate(columns) if column.state]

    def differing(self, old: Any, new: Any) -> list[int]:
        """The columns that read otherwise; those that are never tinted aside."""
        try:
            return [c for c, text in self._loud if text(old) != text(new)]
        except Exception:  # noqa: BLE001 - read again the way that tells of it once
            return [c for c, _ in self._loud if self._cell(old, c) != self._cell(new, c)]

    def otherwise(self, old: Any, new: Any, differing: Sequence[int]) -> Sequence[int]:
        """The columns to paint again; all where nothing seen from here changed."""
        marked = (c for c in self._stateful if self._state(old, c) != self._state(new, c))
        return sorted({*differing, *self._restless, *marked}) or self._all


class Tints:
    """Cells by key and column, each with the moment its tint ends. Whole rows may be left unread until somebody looks at them."""

    def __init__(self, differs: Callable[[Any, Any], Iterable[int]]) -> None:
        self._differs = differs  # the columns in which a row looks changed
        self._until: dict[Cell, float] = {}
        self._rows: dict[Hashable, float] = {}
        self._olds: dict[Hashable, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._until or self._rows)

    def mark(self, key: Hashable, column: int, until: float) -> None:
        """This cell changed. Marks come in the order of their ends."""
        self._until.pop((key, column), None)
        self._until[key, column] = until

    def mark_row(self, key: Hashable, old: Any, until: float) -> None:
        """This row changed from `old`, in which cells is not known yet."""
        self._rows.pop(key, None)
        self._rows[key] = until
        self._olds.setdefault(key, old)

    def has(self, key: Hashable, column: int, row: Any) -> bool:
        """Whether a cell of `row` is tinted."""
        if self._rows and key in self._rows:
            until, old = self._rows.pop(key), self._olds.pop(key)
            for number in self._differs(old, row):
                self.mark(key, number, until)
        return (key, column) in self._until

    def over(self, now: float) -> list[Cell]:
        """Take out what is over; the cells among it that somebody may have seen tinted."""
        cells = [cell for cell, _ in takewhile(lambda item: item[1] <= now, self._until.items())]
        for cell in cells:
            del self._until[cell]
        for key in [key for key, _ in takewhile(lambda item: item[1] <= now, self._rows.items())]:
            del self._rows[key], self._olds[key]
        return cells

    def clear(self) -> None:
        """Nothing changed."""
        self._until.clear()
        self._rows.clear()
        self._olds.clear()


def rectangles(cells: Iterable[tuple[int, int]]) -> list[Rectangle]:
    """Cells (row, column) as rectangles, few where they lie together; one around all of them where there are very many."""
    rows: dict[int, list[int]] = {}
    for row, column in sorted(cells):
        rows.setdefault(row, []).append(column)
    found: list[Rectangle] = []
    last: dict[tuple[int, int], int] = {}  # the rectangles that end at the row before, by their columns
    for row, columns in rows.items():
        here: dict[tuple[int, int], int] = {}
        for first, end in runs(columns):
            place = last.get((first, end), -1)
            if place >= 0 and found[place][2] == row - 1:
                found[place] = (found[place][0], first, row, end)
            else:
                place = len(found)
                found.append((row, first, row, end))
            here[first, end] = place
        last = here
    if len(found) > MOST:
        return [(found[0][0], min(r[1] for r in found), max(r[2] for r in found), max(r[3] for r in found))]
    return found


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Group sorted numbers into closed ranges: 1 2 3 7 -> (1, 3) (7, 7)."""
    found: list[tuple[int, int]] = []
    for n in numbers:
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found
