"""One latency series in memory: the newest points whole, a day before them as extremes. numpy is imported when points become extremes."""

from __future__ import annotations

import math
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cockpit.domain.metrics import LatencyPoint

KEPT = 3_600  # whole points a series: two hours at one each two seconds; what is older is in history
OUTLINE_US = 20_000_000
OUTLINES = 4_320  # a day
COLUMNS = 8  # time in microseconds UTC, p50, p90, p99, p99.9 in ms, rate per second, error ratio, count
VALUES = 6


class Outline:
    """The least and the greatest value of each 20 s of a day, in a ring of 225 kB."""

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        self._number = np.zeros(OUTLINES, np.int64)  # of the piece of time, counted from 1970
        self._low = np.zeros((VALUES, OUTLINES), np.float32)
        self._high = np.zeros((VALUES, OUTLINES), np.float32)
        self._end = 0

    def fold(self, at_us: Any, values: Any) -> None:
        """Take in points in order of time, later than all before: values in the shape (6, points)."""
        np = self._np
        numbers = at_us.astype(np.int64) // OUTLINE_US
        starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
        low, high = np.fmin.reduceat(values, starts, axis=1), np.fmax.reduceat(values, starts, axis=1)
        numbers = numbers[starts]
        newest = (self._end - 1) % OUTLINES
        if self._end and self._number[newest] == numbers[0]:
            self._low[:, newest] = np.fmin(self._low[:, newest], low[:, 0])
            self._high[:, newest] = np.fmax(self._high[:, newest], high[:, 0])
            numbers, low, high = numbers[1:], low[:, 1:], high[:, 1:]
        places = np.arange(self._end, self._end + len(numbers))[-OUTLINES:] % OUTLINES
        count = len(places)
        self._end += len(numbers)
        if count:
            self._number[places], self._low[:, places], self._high[:, places] = numbers[-count:], low[:, -count:], high[:, -count:]

    @property
    def first_us(self) -> float:
        """Where it begins; infinity where there is nothing."""
        return float(self._number[max(0, self._end - OUTLINES) % OUTLINES]) * OUTLINE_US if self._end else math.inf

    def columns(self, start_us: float, end_us: float) -> tuple[array[float], ...]:
        """Time and six values, two points for each 20 s: the lowest after a quarter, the highest after three; both ends included."""
        np = self._np
        slots = np.arange(max(0, self._end - OUTLINES), self._end) % OUTLINES
        numbers = self._number[slots]
        first = np.searchsorted(numbers, start_us // OUTLINE_US)
        last = np.searchsorted(numbers, end_us // OUTLINE_US, side="right") if end_us < math.inf else len(numbers)
        slots = slots[first:last]
        table = np.empty((1 + VALUES, 2 * len(slots)))
        table[0, ::2] = self._number[slots] * OUTLINE_US + OUTLINE_US // 4
        table[0, 1::2] = table[0, ::2] + OUTLINE_US // 2
        table[1:, ::2], table[1:, 1::2] = self._low[:, slots], self._high[:, slots]
        table = table[:, (table[0] >= start_us) & (table[0] <= end_us)]
        return tuple(array("d", row.tobytes()) for row in table)


class Kept:
    """The points of one series, eight columns; bounded, whatever comes in. `saved_us`: up to where history has them."""

    def __init__(self, name: str) -> None:
        self.columns: tuple[array[float], ...] = tuple(array("d") for _ in range(COLUMNS))
        self.saved_us = -math.inf
        self.outline: Outline | None = None
        # not all series at once: a few hundred that make room in the same moment would hold the window up
        self._room = KEPT * 9 // 8 + zlib.crc32(name.encode()) % (KEPT // 4)

    def __len__(self) -> int:
        return len(self.columns[0])

    def append(self, p: LatencyPoint) -> bool:
        """Add one point; False where it is not later than the newest."""
        at, p50, p90, p99, p999, rate, errors, count = self.columns
        if at and p.at_us <= at[-1]:
            return False
        nan = math.nan
        at.append(p.at_us)
        p50.append(nan if p.p50_ms is None else p.p50_ms)
        p90.append(nan if p.p90_ms is None else p.p90_ms)
        p99.append(nan if p.p99_ms is None else p.p99_ms)
        p999.append(nan if p.p999_ms is None else p.p999_ms)
        rate.append(p.rate_per_s)
        errors.append(nan if p.error_ratio is None else p.error_ratio)
        count.append(p.count)
        if len(at) > self._room:
            self._make_room()
        return True

    def extend(self, columns: Sequence[array[float]]) -> None:
        """Add many in order of time, eight columns; what is not later than the newest is left out."""
        at = self.columns[0]
        skip = bisect_right(columns[0], at[-1]) if at else 0
        for mine, fresh in zip(self.columns, columns, strict=True):
            mine.extend(fresh[skip:] if skip else fresh)
        if len(at) > self._room:
            self._make_room()

    def _make_room(self) -> None:
        import numpy as np

        gone = len(self.columns[0]) - KEPT
        table = np.array([column[:gone] for column in self.columns[: 1 + VALUES]])
        self.outline = self.outline or Outline()
        self.outline.fold(table[0], table[1:])
        for column in self.columns:
            del column[:gone]

    def forget_after(self, at_us: float) -> None:
        """Leave out what is later: the clock was set back, and it seems to lie ahead. What is saved of it stays in history."""
        first = bisect_right(self.columns[0], at_us)
        for column in self.columns:
            del column[first:]
        self.saved_us = min(self.saved_us, at_us)
        if self.outline is not None and not first:
            self.outline = None

    def window(self, start_us: float, end_us: float) -> tuple[array[float], ...]:
        """Copies of the whole points between two times, both included."""
        at = self.columns[0]
        first, last = bisect_left(at, start_us), bisect_right(at, end_us)
        return tuple(column[first:last] for column in self.columns)

    def unsaved(self) -> tuple[array[float], ...] | None:
        """What history does not have yet; None where it has everything."""
        at = self.columns[0]
        if not at or at[-1] <= self.saved_us:
            return None
        first = bisect_right(at, self.saved_us)
        return tuple(column[first:] for column in self.columns)
