"""What a table is told about its rows: columns, keys, and how values sort."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from msgspec import Struct
from PySide6.QtCore import Qt


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


def header(column: Column, role: int) -> Any:
    """A column's title, aligned as its cells."""
    if role == Qt.ItemDataRole.TextAlignmentRole:
        side = Qt.AlignmentFlag.AlignRight if column.align == "right" else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter
    return column.title if role == Qt.ItemDataRole.DisplayRole else None


def numbered(rows: Sequence[Any], key: Callable[[Any], Hashable]) -> list[Hashable]:
    """The key of each row; a repeated one is told apart by its count."""
    found = list(map(key, rows))
    if len(set(found)) < len(found):
        seen: dict[Hashable, int] = {}
        for i, each in enumerate(found):
            count = seen[each] = seen.get(each, 0) + 1
            found[i] = each if count == 1 else (each, count)
    return found


def sortable(value: Any) -> tuple[int, Any]:
    """Values of one column that compare: what is not known comes first, then numbers, then text without case."""
    if value is None or value != value:
        return (0, 0)
    if isinstance(value, (bool, int, float)):
        return (1, value)
    if isinstance(value, str):
        return (2, value.casefold())
    return (3, value)
