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
_ROUND = 3  # a piece of so many blocks may end where a block does
_SINGLE = 4  # so few pieces are looked at one by one
_MANY = 50  # so many times are looked for by blocks
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
        # the first time of each block of samples: where a time is to be found lies closer together there
        self._marks = np.zeros(self._slots // FAN if len(self._sizes) > 1 else 0, dtype=np.float64)
        # the columns of one time lie beside each other: gathering them costs little more than gathering one
        self._raw = np.zeros((self._slots, columns), dtype=value_type)
        # of each level above the samples: the least values, then the greatest ones with their signs changed; infinite without a value
        self._levels = [np.zeros((self._slots // size, 2 * columns), dtype=value_type) for size in self._sizes[1:]]
        self._end = 0

    # writing ---------------------------------------------------------------------------------------------------------------

    def append(self, at_s: float, values: float | Sequence[float] | Values) -> bool:
        """Add one sample of each column; False where it is not later than the newest and was refused."""
        np = self._np
        if not at_s > self.last_s or at_s == np.inf:
            return False
        with np.errstate(over="ignore"):
            fresh = np.asarray(values, dtype=self._raw.dtype).reshape(self.columns)
        both = np.concatenate((fresh, -fresh))
        known = np.isfinite(both)
        if not known.all():
            fresh, both = np.where(known[: self.columns], fresh, np.nan), np.where(known, both, np.inf)
        end, slot = self._end, self._end % self._slots
        if len(self._marks) and end % FAN == 0:
            # what is to come is later than any time
            self._at[slot : slot + FAN], self._marks[slot // FAN] = np.inf, at_s
        self._at[slot] = at_s
        self._raw[slot] = fresh
        for size, level in zip(self._sizes[1:], self._levels, strict=True):
            row = level[slot // size]
            if end % size:
                np.minimum(row, both, out=row)
            else:
                row[:] = both
        self._end = end + 1
        return True

    def extend(self, at_s: Sequence[float] | Floats, values: Values | Sequence[Any]) -> int:
        """Add many samples, `values` in the shape (columns, samples) or (samples,) for one column; answers how many were taken."""
        np = self._np
        at = np.asarray(at_s, dtype=np.float64)
        with np.errstate(over="ignore"):
            fresh = np.asarray(values, dtype=self._raw.dtype).reshape(self.columns, len(at))
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
            self._write(slot, at[done : done + count], fresh[:, done : done + count].T)
            done += count
        return taken

    def _write(self, slot: int, at: Floats, fresh: Values) -> None:
        """One piece that does not cross the ring's end; a row of `fresh` for each time."""
        np = self._np
        end = slot + len(at)
        self._at[slot:end] = at
        if len(self._marks):
            first, last = -(-slot // FAN), -(-end // FAN)
            self._at[end : last * FAN] = np.inf
            self._marks[first:last] = self._at[first * FAN : last * FAN : FAN]
        self._raw[slot:end] = fresh
        self._raw[slot:end][~np.isfinite(fresh)] = np.nan
        for number, level in enumerate(self._levels):
            size, child = self._sizes[number + 1], self._sizes[number]
            first, whole, last = slot // size, end // size, -(-end // size)
            if whole > first:
                blocks = self._entries(number, first * FAN, whole * FAN).reshape(whole - first, FAN, -1)
                level[first:whole] = self._least(blocks, number, axis=1)
            if last > whole:
                level[whole] = self._least(self._entries(number, whole * FAN, -(-end // child)), number, axis=0)
        self._end += len(at)

    def _entries(self, number: int, first: int, last: int) -> Values:
        return self._levels[number - 1][first:last] if number else self._raw[first:last]

    def _least(self, entries: Values, number: int, axis: int) -> Values:
        """What a level keeps of entries of the one below."""
        np = self._np
        if number:
            answer: Values = np.minimum.reduce(entries, axis=axis)
            return answer
        # only samples know NaN
        answer = np.concatenate((np.fmin.reduce(entries, axis=axis), -np.fmax.reduce(entries, axis=axis)), axis=-1)
        answer[np.isnan(answer)] = np.inf
        return answer

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
        return int(self._at.nbytes + self._marks.nbytes + self._raw.nbytes + sum(level.nbytes for level in self._levels))

    def index_of(self, at_s: Floats) -> Indices:
        """The number of the first sample at or after each time."""
        np = self._np
        first, end = self.first, self._end
        if first == end:
            found: Indices = np.full(len(at_s), end, dtype=np.int64)
            return found
        if len(at_s) <= _MANY or not len(self._marks):
            few: Indices = first + self._before(self._at, first, end, at_s)
            return few
        # the block, and then the place in it
        block = np.maximum(first // FAN + self._before(self._marks, first // FAN, -(-end // FAN), at_s) - 1, first // FAN)
        times = self._at.reshape(-1, FAN).take(block % len(self._marks), axis=0)
        inside: Indices = np.count_nonzero(times < at_s[:, None], axis=1)
        answer: Indices = np.minimum(block * FAN + inside, end)
        return answer

    def _before(self, times: Floats, first: int, end: int, at_s: Floats) -> Indices:
        """How many of the numbers first..end of a ring are before each time."""
        np = self._np
        a, b = first % len(times), end % len(times)
        if a < b or b == 0:
            found: Indices = np.searchsorted(times[a : b or len(times)], at_s)
            return found
        both: Indices = np.searchsorted(times[a:], at_s) + np.searchsorted(times[:b], at_s)
        return both

    def window(self, start_s: float, end_s: float) -> tuple[Floats, Values]:
        """Copies of the samples from `start_s` to `end_s`, both included: times, and values in the shape (columns, samples)."""
        np = self._np
        lo, hi = self.index_of(np.array([start_s, np.nextafter(end_s, np.inf)]))
        slots = np.arange(lo, max(lo, hi)) % self._slots
        return self._at[slots], self._raw.take(slots, axis=0).T

    def before(self, at_s: float, count: int) -> tuple[Floats, Values]:
        """The last `count` samples up to `at_s`, as `window` gives them."""
        np = self._np
        end = int(self.index_of(np.array([np.nextafter(at_s, np.inf)]))[0])
        slots = np.arange(max(self.first, end - count), end) % self._slots
        return self._at[slots], self._raw.take(slots, axis=0).T

    def nearest(self, at_s: float, within_s: float) -> list[float]:
        """The values of the sample closest in time; NaN for all where none is within reach."""
        i = int(self.index_of(self._np.array([at_s]))[0])
        near = [j for j in (i - 1, i) if self.first <= j < self._end]
        if near:
            best = min(near, key=lambda j: abs(float(self._at[j % self._slots]) - at_s))
            if abs(float(self._at[best % self._slots]) - at_s) <= within_s:
                return [float(v) for v in self._raw[best % self._slots]]
        return [float("nan")] * self.columns

    # what a picture needs --------------------------------------------------------------------------------------------------

    def view(self, start_s: float, end_s: float, pixels: int) -> View:
        """Least and greatest value in each of `pixels` equal pieces of a window: O(pixels x levels), whatever the history."""
        edges = self._np.linspace(start_s, end_s, max(1, pixels) + 1)
        return View(edges, *self.between(edges))

    def between(self, edges_s: Floats) -> tuple[Values, Values]:
        """Least and greatest value between neighbouring edges (ascending). Exact; the last edge belongs to no piece."""
        low, high = self._between(self.index_of(edges_s))
        return low.T, high.T

    def _between(self, index: Indices) -> tuple[Values, Values]:
        """Least and greatest value from each number to the next: shape (pieces, columns)."""
        np = self._np
        start, stop = index[:-1], index[1:]
        count, columns = len(start), self.columns
        if count <= _SINGLE:
            found = np.array([self._least_of(int(a), int(b)) for a, b in zip(start, stop, strict=True)], dtype=self._raw.dtype)
            return self._unfolded(found.reshape(count, 2 * columns))
        # the first half gathers from the left ends of the pieces and the second from the right ends
        found = np.full((2 * count, 2 * columns), np.inf, self._raw.dtype)
        whole, left, right = np.ones(count, dtype=bool), start, start
        a_piece = (int(index[-1]) - int(index[0])) / max(1, count)
        for level in range(max(i for i, size in enumerate(self._sizes) if i == 0 or 2 * size <= a_piece), -1, -1):
            size = self._sizes[level]
            first, last = -(-start // size), stop // size
            apart = whole & (first > last)  # within one block: all of it belongs to the level below
            upto = np.where(whole, np.where(apart, first, last), left // size)
            begin, end = np.concatenate((first, right // size)), np.concatenate((upto, np.where(whole, right // size, last)))
            self._take(level, begin, end, found)
            left = np.where(apart, left, first * size)
            right = np.where(apart, right, last * size)
            whole = apart
        return self._unfolded(np.minimum(found[:count], found[count:]))

    def _least_of(self, lo: int, hi: int) -> Values:
        """The extremes of the samples lo..hi as a level keeps them: ends first, then up to where few entries are left."""
        np = self._np
        found: Values = np.full(2 * self.columns, np.inf, self._raw.dtype)
        for number in range(len(self._sizes)):
            whole = number + 1 == len(self._sizes) or hi - lo <= 2 * FAN
            first, last = (hi, hi) if whole else (-(-lo // FAN) * FAN, hi // FAN * FAN)
            for a, b in ((lo, first), (last, hi)):
                slots = self._slots // self._sizes[number]
                while a < b:
                    upto = min(b, (a // slots + 1) * slots)
                    entries = self._entries(number, a % slots, a % slots + upto - a)
                    np.minimum(found, np.minimum.reduce(entries) if number else self._least(entries, 0, axis=0), out=found)
                    a = upto
            if whole:
                break
            lo, hi = first // FAN, last // FAN
        return found

    def _unfolded(self, found: Values) -> tuple[Values, Values]:
        """Least and greatest values as they are, NaN where there is none."""
        low, high = found[:, : self.columns], -found[:, self.columns :]
        nothing = low > high
        if nothing.any():
            low[nothing] = high[nothing] = self._np.nan
        return low, high

    def spans(self, edges_s: Floats) -> tuple[Values, Values]:
        """As `between`, and the straight line from sample to sample counts too: what a curve covers in each piece.

        A piece of many samples ends up to a third of them early, and the next one has those: where blocks end, little has to be read.
        """
        np = self._np
        index = self.index_of(edges_s)
        low, high = self._between(self._rounded(index))
        line = self._line_at(edges_s, index)
        low = np.fmin(low, np.fmin(line[:-1], line[1:]))
        return low.T, np.fmax(high, np.fmax(line[:-1], line[1:])).T

    def _rounded(self, index: Indices) -> Indices:
        """Where pieces end, at the ends of blocks; the open end of the newest one stays. Depends on each piece alone."""
        np = self._np
        answer, counts = index.copy(), np.diff(index)
        ends = answer[1:]
        for size in self._sizes[1:]:
            many = np.flatnonzero((counts >= _ROUND * size) & (index[1:] < self._end))
            if not len(many):
                break
            ends[many] -= ends[many] % size
        return answer

    def _line_at(self, edges_s: Floats, after: Indices) -> Values:
        """The value of the line from sample to sample at some times; NaN in gaps and outside. `after` is the index of the times."""
        np = self._np
        inside = (after > self.first) & (after < self._end)
        right = np.where(inside, after, self.first) % self._slots
        left = np.where(inside, after - 1, self.first) % self._slots
        start = self._at[left]
        share = (edges_s - start) / np.where(inside, self._at[right] - start, 1.0)
        raw = self._raw
        before = raw.take(left, axis=0)
        with np.errstate(all="ignore"):
            line: Values = before + (raw.take(right, axis=0) - before) * share.astype(raw.dtype)[:, None]
        if not inside.all():
            line[~inside] = np.nan
        return line

    def _take(self, level: int, begin: Indices, end: Indices, into: Values) -> None:
        """Put the extremes of the entries begin..end of a level in."""
        np = self._np
        some = np.flatnonzero(end > begin)
        if not len(some):
            return
        slots, lengths = self._slots // self._sizes[level], (end - begin)[some]
        begin = begin[some] % slots
        longest, total = int(lengths.max()), int(lengths.sum())
        entries, least = (self._levels[level - 1], np.minimum) if level else (self._raw, np.fmin)
        if total < _FEW or longest > 2 * FAN:
            starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
            rows = entries.take((np.repeat(begin - starts, lengths) + np.arange(total)) % slots, axis=0)
            found = least.reduceat(rows, starts, axis=0)
            most = found if level else np.fmax.reduceat(rows, starts, axis=0)
        else:
            last = begin + lengths - 1
            wraps = int(last.max()) >= slots
            found = entries.take(begin, axis=0)
            most = found if level else found.copy()
            for step in range(1, longest):
                # the last entry again where a range is shorter: it changes no extreme
                where = np.minimum(begin + step, last)
                rows = entries.take(where % slots if wraps else where, axis=0)
                least(found, rows, out=found)
                if not level:
                    np.fmax(most, rows, out=most)
        if not level:
            found = np.concatenate((found, -most), axis=1)
        into[some] = np.fmin(into[some], found)
