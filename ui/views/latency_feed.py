"""One latency series for the charts: the newest whole from memory, before it what history gave, and its outline where that is enough."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from cockpit.services.latency import Columns
    from cockpit.services.runtime import Outcome

NAMES = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "rate_per_s", "error_ratio")
PIECES = 2_000  # a window shows so many pieces of time, about one a pixel, each with its extremes
FEWEST = 1_000  # with fewer in sight history is asked for finer ones
_LEAST_MARGIN_US = 1_000_000
_FINEST_US = 50_000  # nothing is measured more often
_OUTLINE_US = 10_000_000  # from point to point of the outline in memory


class LatencyFeed:
    """Asks history for what memory does not tell finely enough, one question at a time; late answers about another series are dropped."""

    def __init__(self, book: Any, changed: Callable[[], None]) -> None:
        self._book = book
        self._changed = changed
        self._series = ""
        self._loaded: Columns | None = None
        self._asked: tuple[float, float] | None = None  # the time that the last question was about, up to what was measured then
        self._span_us = 0  # the length of the window that it was asked for
        self.loading = False
        self.problem: Exception | None = None

    def choose(self, series: str) -> None:
        """Another series: what was loaded is forgotten."""
        if series != self._series:
            self._series = series
            self._loaded, self._asked, self.loading, self.problem = None, None, False, None

    def want(self, start_us: int, end_us: int) -> None:
        """Make sure that history of this time has been asked for, as finely as a window of this length shows it."""
        if not self._series or self.loading or self._enough(start_us, end_us):
            return
        # half a window more than is seen, so that a small step aside needs no second question
        margin = max(_LEAST_MARGIN_US, (end_us - start_us) // 2)
        first, last = start_us - margin, end_us + margin
        self._asked, self._span_us = (first, min(last, self._book.span(self._series)[1])), end_us - start_us
        self.loading = True
        most = 2 * PIECES * (last - first) // max(1, end_us - start_us)
        asked = self._series

        def done(outcome: Outcome[Columns]) -> None:
            if asked != self._series:
                return
            self.loading = False
            self.problem = outcome.error
            if outcome.value is not None:
                self._loaded = outcome.value
            self._changed()

        self._book.load(asked, first, last, done, most)

    def _enough(self, start_us: int, end_us: int) -> bool:
        """Whether memory and the last answer show this time as finely as it can be seen."""
        first_us = self._book.span(self._series)[0]
        if first_us <= start_us:
            return True
        upto = min(end_us, first_us)
        if self._asked is not None and self._asked[0] <= start_us and upto <= self._asked[1] + _LEAST_MARGIN_US:
            share = (upto - start_us) / max(1, end_us - start_us)
            at = self._loaded.at_us if self._loaded is not None else array("d")
            # nor is what has no more, or could not be read, asked for again and again
            finest = self._span_us <= max(2 * PIECES * _FINEST_US, 2 * (end_us - start_us))
            if finest or bisect_right(at, upto) - bisect_left(at, start_us) >= FEWEST * share:
                return True
        fine = (end_us - start_us) / _OUTLINE_US >= FEWEST
        return fine and self._book.outlined_from(self._series) <= start_us

    def columns(self, start_us: int, end_us: int) -> tuple[array[float], dict[str, array[float]]]:
        """Times in microseconds and the six columns by name: what history gave, the outline around it, then the whole points."""
        first_us = min(self._book.span(self._series)[0], end_us + 1)
        parts: list[Columns] = []
        before = start_us
        loaded = self._loaded
        if first_us > start_us:
            if loaded is not None and len(loaded.at_us):
                parts.append(self._outline(start_us, min(loaded.at_us[0], first_us) - 1))
                parts.append(_slice(loaded, start_us, first_us - 1))
                before = max(start_us, math.floor(loaded.at_us[-1]) + 1)
            parts.append(self._outline(before, first_us - 1))
        parts.append(self._book.columns(self._series, start_us, end_us))
        at, columns = array("d"), {name: array("d") for name in NAMES}
        for part in parts:
            at.extend(part.at_us)
            for name, column in columns.items():
                column.extend(getattr(part, name))
        return at, columns

    def _outline(self, start_us: float, end_us: float) -> Columns:
        found: Columns = self._book.outline(self._series, start_us, end_us)
        return found


def _slice(columns: Columns, start_us: float, end_us: float) -> Columns:
    first, last = bisect_left(columns.at_us, start_us), bisect_right(columns.at_us, end_us)
    return type(columns)(*(getattr(columns, name)[first:last] for name in columns.__struct_fields__))
