"""Reads the texts of a table with many rows ahead of its filter, a little at a time, so that no key waits for all of them."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from ui.bridge import guarded

if TYPE_CHECKING:
    from ui.models.table_large import LargeRows

TICK_MS, READ_S = 5, 0.003  # rows are read that often, and that long
FEW = 10_000  # rows that are read when somebody types; of more, some
KEY_S = 0.005  # a key waits so long
FOUND_S = 0.2  # what is found later comes into sight that often


class Search(QObject):
    """The filter's text, and the rows still to be read for it. `found` comes while rows are read for a filter, and when all were."""

    found = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.text = ""
        self._rows: LargeRows | None = None
        self._found_at = 0.0
        self.timer = QTimer(self)
        self.timer.setInterval(TICK_MS)
        self.timer.timeout.connect(self._read_ahead)

    @property
    def words(self) -> tuple[str, ...]:
        """What each row shown must hold."""
        return tuple(self.text.lower().split())

    @property
    def going_on(self) -> bool:
        """Whether more rows may be found."""
        return bool(self.words) and self._rows is not None and self._rows.words.unread > 0

    def take(self, rows: LargeRows | None) -> None:
        """From now on it is about these rows."""
        self._rows = rows
        if rows is None:
            self.timer.stop()
        elif rows.words.unread > FEW:
            self.timer.start()

    def begin(self, rows: LargeRows, held: list[int]) -> None:
        """Read for the filter: all where few are left; else those at `held` places, and from the top as many as nobody waits for."""
        self.take(rows)
        rows.words.begin(self.words)
        if not self.words:
            return
        if rows.words.unread <= FEW:
            rows.words.read_all()
            return
        rows.words.read_first(rows.order[held].tolist(), math.inf)
        rows.words.read_first(rows.order.tolist(), KEY_S)
        self._found_at = monotonic()
        self.timer.start()

    @Slot()
    @guarded
    def _read_ahead(self) -> None:
        if self._rows is None or not self._rows.words.unread:
            self.timer.stop()
            return
        self._rows.words.read_some(READ_S)
        if self.words and (not self.going_on or monotonic() - self._found_at > FOUND_S):
            self._found_at = monotonic()
            self.found.emit()
