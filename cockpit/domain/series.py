"""A live series of numbers for a chart: a ring of samples under a pyramid of extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Indexes = NDArray[np.int64]

_FAN: Final = 16  # samples under a cell of the lowest level, and cells under a cell of each higher one


class Series:
    """The newest `capacity` samples, in order of time. For one thread at a time.

    A value that is not a number marks a gap. An append costs one small step a level of the pyramid, and a window of any width
    is cut down to the pixels of a chart without looking at every sample.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        if capacity < 1:
            raise ValueError("a series holds at least one sample")
        sizes = [_FAN]
        while sizes[-1] * _FAN <= capacity // 8:
            sizes.append(sizes[-1] * _FAN)
        # one top cell more than needed: the cell that is being written over then holds no sample that still counts
        slots = -(-(capacity + sizes[-1]) // sizes[-1]) * sizes[-1]
        self._capacity = capacity
        self._total = 0
        self._at_s = np.zeros(slots)
        self._sizes = [1, *sizes]
        values = np.full(slots, np.nan)
        # level 0 is the samples themselves, for the lowest and the highest alike
        self._low = [values, *(np.full(slots // size, np.nan) for size in sizes)]
        self._high = [values, *(np.full(slots // size, np.nan) for size in sizes)]

    def __len__(self) -> int:
        return min(self._total, self._capacity)

    @property
    def capacity(self) -> int:
        """The most samples that are kept."""
        return self._capacity

    @property
    def newest_us(self) -> int | None:
        """The time of the newest sample, or None while there is none."""
        return round(float(self._at_s[(self._total - 1) % len(self._at_s)]) * 1e6) if self._total else None

    def append(self, at_us: int, value: float | None) -> bool:
        """Add one sample; None is a gap. One that is older than the newest is left out: then the answer is False."""
        at_s = at_us / 1e6
        number = self._total
        slot = number % len(self._at_s)
        if number and at_s < self._at_s[slot - 1]:
            return False
        sample = float("nan") if value is None else float(value)
        self._at_s[slot] = at_s
        self._low[0][slot] = sample
        for low, high, size in zip(self._low[1:], self._high[1:], self._sizes[1:], strict=True):
            cell = slot // size
            fresh = slot % size == 0
            # compared this way round a NaN in the cell gives way, and a NaN sample changes nothing
            if fresh or not low[cell] <= sample:
                low[cell] = sample if fresh or sample == sample else low[cell]
            if fresh or not high[cell] >= sample:
                high[cell] = sample if fresh or sample == sample else high[cell]
        self._total = number + 1
        return True

    def extend(self, at_us: Sequence[int] | NDArray[Any], values: Sequence[float | None] | NDArray[Any]) -> int:
        """Add many samples at once; answers how many were in order of time and so were taken."""
        at_s = np.asarray(at_us, np.float64) / 1e6
        samples = np.array([np.nan if v is None else v for v in values], np.float64)
        if len(at_s) != len(samples):
            raise ValueError("as many times as values are needed")
        floor = self._at_s[(self._total - 1) % len(self._at_s)] if self._total else -np.inf
        ordered = at_s >= np.maximum.accumulate(np.concatenate(([floor], at_s)))[:-1]
        at_s, samples = at_s[ordered], samples[ordered]
        taken = len(at_s)
        first = self._total + max(0, taken - self._capacity)
        self._total += taken
        slots = np.arange(first, self._total) % len(self._at_s)
        self._at_s[slots] = at_s[taken - len(slots) :]
        self._low[0][slots] = samples[taken - len(slots) :]
        if len(slots):
            self._rebuild(first)
        return taken

    def _rebuild(self, first: int) -> None:
        """Compute the cells above the samples from number `first` on."""
        for level in range(1, len(self._sizes)):
            size, below = self._sizes[level], self._sizes[level - 1]
            cells = np.arange(first // size, (self._total - 1) // size + 1)
            start = cells * _FAN
            end = np.minimum(start + _FAN, -(-self._total // below))
            at = cells % len(self._low[level])
            self._low[level][at], self._high[level][at] = _gather(self._low[level - 1], self._high[level - 1], start, end)

    def window(self, start_us: int, end_us: int) -> tuple[Floats, Floats]:
        """(times in seconds, values) of a window with both ends, oldest first; copies."""
        first, last = self._bounds(np.array([start_us / 1e6]), "left")[0], self._bounds(np.array([end_us / 1e6]), "right")[0]
        slots = np.arange(first, max(first, last)) % len(self._at_s)
        return self._at_s[slots], self._low[0][slots]

    def decimate(self, start_us: int, end_us: int, pixels: int) -> tuple[Floats, Floats, Floats]:
        """(times in seconds, lowest, highest) of a window with both ends, at most one triple a pixel.

        Up to `pixels` samples come as they are. More are cut by time into `pixels` pieces, each at its middle; the extremes are exact, so
        a spike of one sample survives. NaN where a piece holds gaps alone, and after or before a gap that is wider than its piece.
        """
        first, last = self._bounds(np.array([start_us / 1e6]), "left")[0], self._bounds(np.array([end_us / 1e6]), "right")[0]
        if pixels < 1 or last <= first:
            return np.empty(0), np.empty(0), np.empty(0)
        if last - first <= pixels:
            slots = np.arange(first, last) % len(self._at_s)
            values = self._low[0][slots]
            return self._at_s[slots], values, values.copy()
        edges = np.linspace(start_us / 1e6, end_us / 1e6, pixels + 1)
        cuts = np.clip(self._bounds(edges, "left"), first, last)
        cuts[-1] = last
        low, high = self._extremes(0, cuts[:-1], cuts[1:])
        shown = self._shown(cuts[:-1], cuts[1:])
        middles = (edges[:-1] + edges[1:]) / 2
        return middles[shown], low[shown], high[shown]

    def _shown(self, start: _Indexes, end: _Indexes) -> NDArray[np.bool_]:
        """Pieces with samples, and empty ones beside a gap: without those a line would be drawn across it."""
        filled = end > start
        values = self._low[0]
        opens = filled & np.isnan(values[(end - 1) % len(values)])
        closes = filled & np.isnan(values[start % len(values)])
        shown: NDArray[np.bool_] = filled.copy()
        shown[1:] |= opens[:-1]
        shown[:-1] |= closes[1:]
        return shown

    def _bounds(self, at_s: Floats, side: Literal["left", "right"]) -> _Indexes:
        """The number of the first sample at or after (right: after) each of the times, among those that are kept."""
        slots = len(self._at_s)
        oldest = self._total - len(self)
        begin = oldest % slots
        head = self._at_s[begin : min(begin + len(self), slots)]
        tail = self._at_s[: max(0, begin + len(self) - slots)]
        found = np.searchsorted(head, at_s, side)
        if len(tail):
            found = np.where(found == len(head), found + np.searchsorted(tail, at_s, side), found)
        return np.asarray(found + oldest, np.int64)

    def _extremes(self, level: int, start: _Indexes, end: _Indexes) -> tuple[Floats, Floats]:
        """Lowest and highest of the ranges of cells [start, end) of a level: whole cells of the level above where there are any."""
        low, high = self._low[level], self._high[level]
        if level + 1 == len(self._sizes) or int(np.max(end - start)) <= 2 * _FAN:
            return _gather(low, high, start, end)
        inner, outer = -(-start // _FAN), end // _FAN
        left_end = np.minimum(end, inner * _FAN)
        right_start = np.maximum(left_end, outer * _FAN)
        lowest, highest = self._extremes(level + 1, inner, np.maximum(inner, outer))
        for begin, stop in ((start, left_end), (right_start, end)):
            side_low, side_high = _gather(low, high, begin, stop)
            lowest, highest = np.fmin(lowest, side_low), np.fmax(highest, side_high)
        return lowest, highest


def _gather(low: Floats, high: Floats, start: _Indexes, end: _Indexes) -> tuple[Floats, Floats]:
    """Lowest and highest of each range [start, end) of a ring; NaN for a range without a number."""
    width = max(1, int(np.max(end - start)))
    at = start[:, None] + np.arange(width)
    outside = at >= end[:, None]
    at %= len(low)
    lows = low[at]
    lows[outside] = np.nan
    highs = lows
    if high is not low:
        highs = high[at]
        highs[outside] = np.nan
    lowest: Floats = np.fmin.reduce(lows, axis=1)
    highest: Floats = np.fmax.reduce(highs, axis=1)
    return lowest, highest
