"""Samples over time in a ring with a pyramid of extremes: what a picture of them costs does not depend on how many there are.

Loads numpy when the first Series is made: nothing that the window needs in order to open makes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = NDArray[Any]
    Indices = NDArray[np.int64]

FAN = 8  # one entry of a level stands for so many of the level below
_TOP_ENTRIES = 64  # a level with fewer entries would save nothing
_FEW = 500  # so many are gathered at once


class View(Struct):
    """Least and greatest value of each column in each piece of time: shape (columns, pieces), NaN where nothing was measured.

    `edges_s` has one entry more than there are pieces; a piece holds its first edge and not its second.
    """

    edges_s: Floats
    low: Values
    high: Values


class Series:
    """Columns that share their times (seconds UTC, ascending), the newest `capacity` samples of them at least. One thread at a time.

    NaN is a gap, and infinite values count as one. A sample that is not later than the newest one is refused: `append` and `extend`
    say how many were taken. Memory is bounded: about 5.2 bytes a value in "f4" and 8 a time.
    """

    def __init__(self, capacity: int, columns: int = 1, value_type: str = "f4") -> None:
        import numpy as np

        self._np = np
        top, self._sizes = FAN, [1]
        while capacity // top >= _TOP_ENTRIES:
            self._sizes.append(top)
            top *= FAN
        block = self._sizes[-1]
        # one block more than asked for: the block that is being filled has taken the place of the oldest
        self._slots = (-(-max(1, capacity) // block) + 1) * block
        self.capacity, self.columns = capacity, columns
        self._at = np.zeros(self._slots, dtype=np.float64)
        raw = np.zeros((columns, self._slots), dtype=value_type)
        self._low, self._high = [raw], [raw]
        for size in self._sizes[1:]:
            self._low.append(np.zeros((columns, self._slots // size), dtype=value_type))
            self._high.append(np.zeros((columns, self._slots // size), dtype=value_type))
        self._end = 0

    # writing ---------------------------------------------------------------------------------------------------------------

    def append(self, at_s: float, values: float | Sequence[float] | Values) -> bool:
        """Add one sample of each column; False where it is not later than the newest and was refused."""
        np = self._np
        if not at_s > self.last_s or at_s == np.inf:
            return False
        with np.errstate(over="ignore"):
            fresh = np.asarray(values, dtype=self._low[0].dtype).reshape(self.columns)
        known = np.isfinite(fresh)
        if not known.all():
            fresh = np.where(known, fresh, np.nan)
        end, slot = self._end, self._end % self._slots
        self._at[slot] = at_s
        self._low[0][:, slot] = fresh
        low, high = (fresh, fresh) if known.all() else (np.where(known, fresh, np.inf), np.where(known, fresh, -np.inf))
        for level, size in enumerate(self._sizes[1:], 1):
            place = slot // size
            lows, highs = self._low[level][:, place], self._high[level][:, place]
            if end % size:
                np.minimum(lows, low, out=lows)
                np.maximum(highs, high, out=highs)
            else:
                lows[:], highs[:] = low, high
        self._end = end + 1
        return True

    def extend(self, at_s: Sequence[float] | Floats, values: Values | Sequence[Any]) -> int:
        """Add many samples, `values` in the shape (columns, samples) or (samples,) for one column; answers how many were taken."""
        np = self._np
        at = np.asarray(at_s, dtype=np.float64)
        with np.errstate(over="ignore"):
            fresh = np.asarray(values, dtype=self._low[0].dtype).reshape(self.columns, len(at))
        if not len(at):
            return 0
        finite = np.where(np.isfinite(at), at, -np.inf)
        before = np.maximum.accumulate(np.concatenate(([self.last_s], finite[:-1])))
        good = finite > before
        if not good.all():
            at, fresh = at[good], fresh[:, good]
        taken = len(at)
        # what the ring cannot hold is counted and not written
        done = max(0, taken - self._slots)
        self._end += done
        while done < len(at):
            slot = self._end % self._slots
            count = min(len(at) - done, self._slots - slot)
            self._write(slot, at[done : done + count], fresh[:, done : done + count])
            done += count
        return taken

    def _write(self, slot: int, at: Floats, fresh: Values) -> None:
        """One piece that does not cross the ring's end."""
        np = self._np
        end = slot + len(at)
        self._at[slot:end] = at
        raw = self._low[0]
        raw[:, slot:end] = fresh
        raw[:, slot:end][~np.isfinite(fresh)] = np.nan
        for level in range(1, len(self._sizes)):
            size, child = self._sizes[level], self._sizes[level - 1]
            first, whole, last = slot // size, end // size, -(-end // size)
            for rows, below, least in ((self._low, self._low, True), (self._high, self._high, False)):
                # only the lowest level knows NaN: above it, a block without a value is infinite
                reduce = (np.fmin if least else np.fmax) if level == 1 else (np.minimum if least else np.maximum)
                nothing = np.inf if least else -np.inf
                source, into = below[level - 1], rows[level]
                if whole > first:
                    block = source[:, first * FAN : whole * FAN].reshape(self.columns, whole - first, FAN)
                    into[:, first:whole] = _without_nan(reduce.reduce(block, axis=2), nothing, level == 1)
                if last > whole:
                    rest = source[:, whole * FAN : -(-end // child)]
                    into[:, whole] = _without_nan(reduce.reduce(rest, axis=1), nothing, level == 1)
        self._end += len(at)

    # what is known ---------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._end - self.first

    @property
    def first(self) -> int:
        """The number of the oldest sample that is kept, counted from the first one ever."""
        block = self._sizes[-1]
        return max(0, -(-self._end // block) * block - self._slots)

    @property
    def end(self) -> int:
        """How many samples were ever taken."""
        return self._end

    @property
    def first_s(self) -> float:
        """The time of the oldest sample that is kept; infinity without one."""
        return float(self._at[self.first % self._slots]) if self._end else float("inf")

    @property
    def last_s(self) -> float:
        """The time of the newest sample; minus infinity without one."""
        return float(self._at[(self._end - 1) % self._slots]) if self._end else float("-inf")

    @property
    def bytes(self) -> int:
        """What the ring takes in memory; never grows."""
        levels = sum(a.nbytes + b.nbytes for a, b in zip(self._low[1:], self._high[1:], strict=True))
        return int(self._at.nbytes + self._low[0].nbytes + levels)

    def index_of(self, at_s: Floats) -> Indices:
        """The number of the first sample at or after each time."""
        np = self._np
        first, end = self.first, self._end
        a, b = first % self._slots, end % self._slots
        if first == end:
            none: Indices = np.full(len(at_s), end, dtype=np.int64)
            return none
        if a < b or b == 0:
            found: Indices = np.searchsorted(self._at[a : b or self._slots], at_s)
            return first + found
        found = np.searchsorted(self._at[a:], at_s) + np.searchsorted(self._at[:b], at_s)
        return first + found

    def window(self, start_s: float, end_s: float) -> tuple[Floats, Values]:
        """Copies of the samples from `start_s` to `end_s`, both included: times, and values in the shape (columns, samples)."""
        np = self._np
        lo, hi = self.index_of(np.array([start_s, np.nextafter(end_s, np.inf)]))
        slots = np.arange(lo, max(lo, hi)) % self._slots
        return self._at[slots], self._low[0][:, slots]

    def before(self, at_s: float, count: int) -> tuple[Floats, Values]:
        """The last `count` samples up to `at_s`, as `window` gives them."""
        np = self._np
        end = int(self.index_of(np.array([np.nextafter(at_s, np.inf)]))[0])
        slots = np.arange(max(self.first, end - count), end) % self._slots
        return self._at[slots], self._low[0][:, slots]

    def nearest(self, at_s: float, within_s: float) -> list[float]:
        """The values of the sample closest in time; NaN for all where none is within reach."""
        i = int(self.index_of(self._np.array([at_s]))[0])
        near = [j for j in (i - 1, i) if self.first <= j < self._end]
        if near:
            best = min(near, key=lambda j: abs(float(self._at[j % self._slots]) - at_s))
            if abs(float(self._at[best % self._slots]) - at_s) <= within_s:
                return [float(v) for v in self._low[0][:, best % self._slots]]
        return [float("nan")] * self.columns

    # what a picture needs --------------------------------------------------------------------------------------------------

    def view(self, start_s: float, end_s: float, pixels: int) -> View:
        """Least and greatest value in each of `pixels` equal pieces of a window: O(pixels x levels), whatever the history."""
        edges = self._np.linspace(start_s, end_s, max(1, pixels) + 1)
        return View(edges, *self.between(edges))

    def between(self, edges_s: Floats) -> tuple[Values, Values]:
        """Least and greatest value between neighbouring edges (ascending). Exact; the last edge belongs to no piece."""
        np = self._np
        index = self.index_of(edges_s)
        start, stop = index[:-1], index[1:]
        count = len(start)
        # the first half gathers from the left ends of the pieces and the second from the right ends
        low = np.full((self.columns, 2 * count), np.inf, self._low[0].dtype)
        high = np.full((self.columns, 2 * count), -np.inf, self._low[0].dtype)
        whole, left, right = np.ones(count, dtype=bool), start, start
        a_piece = (int(index[-1]) - int(index[0])) / max(1, count)
        for level in range(max(i for i, size in enumerate(self._sizes) if i == 0 or size <= a_piece), -1, -1):
            size = self._sizes[level]
            first, last = -(-start // size), stop // size
            apart = whole & (first > last)  # within one block: all of it belongs to the level below
            upto = np.where(whole, np.where(apart, first, last), left // size)
            begin, end = np.concatenate((first, right // size)), np.concatenate((upto, np.where(whole, right // size, last)))
            self._take(level, begin, end, (low, high))
            left = np.where(apart, left, first * size)
            right = np.where(apart, right, last * size)
            whole = apart
        low, high = np.minimum(low[:, :count], low[:, count:]), np.maximum(high[:, :count], high[:, count:])
        nothing = low > high
        low[nothing] = high[nothing] = np.nan
        return low, high

    def spans(self, edges_s: Floats) -> tuple[Values, Values]:
        """As `between`, and the straight line from sample to sample counts too: what a curve covers in each piece."""
        np = self._np
        low, high = self.between(edges_s)
        line = self._line_at(edges_s)
        low = np.fmin(low, np.fmin(line[:, :-1], line[:, 1:]))
        return low, np.fmax(high, np.fmax(line[:, :-1], line[:, 1:]))

    def _line_at(self, edges_s: Floats) -> Values:
        """The value of the line from sample to sample at some times; NaN in gaps and outside."""
        np = self._np
        after = self.index_of(edges_s)
        inside = (after > self.first) & (after < self._end)
        right = np.where(inside, after, self.first) % self._slots
        left = np.where(inside, after - 1, self.first) % self._slots
        start = self._at[left]
        share = (edges_s - start) / np.where(inside, self._at[right] - start, 1.0)
        raw = self._low[0]
        before = raw.take(left, axis=1)
        with np.errstate(all="ignore"):
            line: Values = before + (raw.take(right, axis=1) - before) * share.astype(raw.dtype)
        line[:, ~inside] = np.nan
        return line

    def _take(self, level: int, begin: Indices, end: Indices, into: tuple[Values, Values]) -> None:
        """Put the extremes of the entries begin..end of a level in."""
        np = self._np
        some = np.flatnonzero(end > begin)
        if not len(some):
            return
        begin, end = begin[some], end[some]
        lengths, slots = end - begin, self._slots // self._sizes[level]
        longest, total = int(lengths.max()), int(lengths.sum())
        low, high = self._low[level], self._high[level]
        if total < _FEW or longest > 2 * FAN:
            starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
            where = (np.repeat(begin - starts, lengths) + np.arange(total)) % slots
            least = np.fmin.reduceat(low.take(where, axis=1), starts, axis=1)
            most = np.fmax.reduceat(high.take(where, axis=1), starts, axis=1)
        else:
            where = begin % slots
            least, most = low.take(where, axis=1), high.take(where, axis=1)
            for step in range(1, longest):
                # the last entry again where a range is shorter: it changes no extreme
                where = np.minimum(begin + step, end - 1) % slots
                entry = low.take(where, axis=1)
                np.fmin(least, entry, out=least)
                np.fmax(most, entry if low is high else high.take(where, axis=1), out=most)
        into[0][:, some] = np.fmin(into[0][:, some], least)
        into[1][:, some] = np.fmax(into[1][:, some], most)


def _without_nan(values: Values, nothing: float, lowest: bool) -> Values:
    import numpy as np

    if lowest:
        values[np.isnan(values)] = nothing
    return values
