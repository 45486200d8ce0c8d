"""One latency series for the charts: what memory holds now, and before it what history gave."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from cockpit.services.latency import Columns
    from cockpit.services.runtime import Outcome

NAMES = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "rate_per_s", "error_ratio")


class LatencyFeed:
    """Asks history once for each series and start; answers that come after the series changed are dropped."""

    def __init__(self, book: Any, changed: Callable[[], None]) -> None:
        self._book = book
        self._changed = changed
        self._series = ""
        self._older: Columns | None = None
        self._asked_us = 0
        self.loading = False
        self.problem: Exception | None = None

    def choose(self, series: str) -> None:
        """Another series: what was loaded is forgotten."""
        if series != self._series:
            self._series = series
            self._older, self._asked_us, self.loading, self.problem = None, 0, False, None

    def want(self, start_us: int, end_us: int) -> None:
        """Make sure that history from `start_us` on has been asked for."""
        if not self._series or self.loading or (self._asked_us and start_us >= self._asked_us):
            return
        # half a window more than is seen, so that a small step back needs no second question
        start_us -= max(60_000_000, (end_us - start_us) // 2)
        self._asked_us = start_us
        self.loading = True
        asked = self._series

        def done(outcome: Outcome[Columns]) -> None:
            if asked == self._series:
                self.loading = False
                self.problem = outcome.error
                self._older = outcome.value if outcome.error is None else self._older
                self._changed()

        self._book.load(asked, start_us, end_us, done)

    def columns(self, start_us: int, end_us: int) -> tuple[array[float], dict[str, array[float]]]:
        """Times in microseconds and the six columns by name: history up to where memory begins, then memory."""
        memory = self._book.columns(self._series, start_us, end_us)
        at, columns = array("d"), {name: array("d") for name in NAMES}
        first = memory.at_us[0] if len(memory.at_us) else float("inf")
        if self._older is not None:
            from bisect import bisect_left

            cut = bisect_left(self._older.at_us, first)
            at.extend(self._older.at_us[:cut])
            for name, column in columns.items():
                column.extend(getattr(self._older, name)[:cut])
        at.extend(memory.at_us)
        for name, column in columns.items():
            column.extend(getattr(memory, name))
        return at, columns
