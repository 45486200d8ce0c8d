"""Which cells changed a moment ago, and where those cells stand together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

Cell = tuple[Hashable, int]
Rectangle = tuple[int, int, int, int]  # first row, first column, last row, last column
MOST = 1000  # rectangles told one by one


class Tints:
    """Cells by key and column, each with the moment its tint ends. Whole rows may be left unread until somebody looks at them."""

    def __init__(self, differs: Callable[[Any, Any], Iterable[int]]) -> None:
        self._differs = differs  # the columns in which a row looks changed
        self._until: dict[Cell, float] = {}
        self._rows: dict[Hashable, tuple[float, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._until or self._rows)

    def mark(self, key: Hashable, column: int, until: float) -> None:
        """This cell changed."""
        self._until[key, column] = until

    def mark_row(self, key: Hashable, old: Any, until: float) -> None:
        """This row changed from `old`, in which cells is not known yet."""
        self._rows[key] = (until, self._rows[key][1] if key in self._rows else old)

    def has(self, key: Hashable, column: int, row: Any) -> bool:
        """Whether a cell of `row` is tinted."""
        if self._rows and key in self._rows:
            until, old = self._rows.pop(key)
            for number in self._differs(old, row):
                self.mark(key, number, until)
        return (key, column) in self._until

    def over(self, now: float) -> list[Cell]:
        """Take out what is over; the cells among it that somebody may have seen tinted."""
        cells = [cell for cell, until in self._until.items() if until <= now]
        for cell in cells:
            del self._until[cell]
        for key in [key for key, (until, _) in self._rows.items() if until <= now]:
            del self._rows[key]
        return cells

    def clear(self) -> None:
        """Nothing changed."""
        self._until.clear()
        self._rows.clear()


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
