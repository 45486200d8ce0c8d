"""All samples of a latency over time as counts in a histogram's buckets: the sum over any time costs the same. numpy is imported late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[Any]
    Indices = NDArray[np.int64]

PIECE_S = 60.0  # of what is older than the whole moments, one of each such piece of time stays
LONGEST_S = 30.0  # what comes later after the moment before was not counted all the while: between the two nothing is known


class Heat:
    """Moments (seconds UTC, ascending), each with its counts in the buckets up to `bounds_s`. One thread at a time.

    The newest `capacity` moments at least are whole; before them one a minute stays, `minutes` of them. Running totals are kept, so memory
    is bounded by (1.25 x capacity + minutes) x (buckets x 4 + 16) bytes, whatever was counted.
    """

    def __init__(self, capacity: int, bounds_s: Sequence[float], minutes: int = 0) -> None:
        import numpy as np

        self._np = np
        self.bounds_s = tuple(bounds_s)
        self._capacity, self._minutes = capacity, minutes
        room = capacity + max(1, capacity // 4) + minutes + 1
        # the first entry is what had been counted before the oldest moment
        self._at = np.full(room, -np.inf)
        # from when on each counted what came
        self._since = np.full(room, -np.inf)
        # counted up to each bound; totals may run over: what came between two of them is told all the same
        self._upto = np.zeros((room, len(self.bounds_s)), dtype=np.uint32)
        self._size, self._whole, self._end = 1, 1, 0
        self.revision = 0  # another one: moments that were known are told otherwise

    def append(self, at_s: float, cumulative: Sequence[float]) -> bool:
        """Add one moment by what came since the one before, counted up to each bound; False where it is not later than the newest."""
        if not at_s > self.last_s or at_s == float("inf"):
            return False
        np = self._np
        if self._size == len(self._at):
            self._make_room()
        size = self._size
        # counts up to a bound never fall from bound to bound, whatever is told
        came = np.maximum.accumulate((0.0, *cumulative))[1:] + 0.5
        last_s = self.last_s
        self._at[size], self._since[size] = at_s, last_s if at_s - last_s <= LONGEST_S else at_s
        np.add(self._upto[size - 1], came.astype(np.uint32), out=self._upto[size])
        self._size, self._end = size + 1, self._end + 1
        return True

    def _make_room(self) -> None:
        """Of what is older than the newest moments, keep the last of each minute."""
        np = self._np
        old = self._size - self._capacity
        last = np.flatnonzero(np.diff(self._at[1:old] // PIECE_S, append=np.inf)) + 1
        gone = max(0, len(last) - self._minutes)
        before = last[gone - 1] if gone else 0
        order = np.concatenate(([before], last[gone:], np.arange(old, self._size)))
        # a minute begins where the first of its moments does
        self._since[last] = self._since[np.concatenate(([1], last[:-1] + 1))]
        for column in (self._at, self._since, self._upto):
            column[: len(order)] = column[order]
        self._at[0] = -np.inf
        self._size, self._whole = len(order), 1 + len(last) - gone
        self.revision += 1

    def prepend(self, at_s: Floats, since_s: Floats, cumulative: Counts) -> None:
        """Put moments before all that are known: ascending, from when on each counted, and what came up to each bound.

        They count as what is older than the whole moments: where there is no room for all of them, the oldest are left out.
        """
        np = self._np
        earlier = at_s < self.first_s
        if self._size + min(self._minutes, int(earlier.sum())) > len(self._at):
            self._make_room()
        room = self._minutes - (self._whole - 1)
        at_s, since_s, cumulative = (column[earlier][-room:] if room > 0 else column[:0] for column in (at_s, since_s, cumulative))
        count, size = len(at_s), self._size
        if not count:
            return
        upto = np.cumsum(cumulative.astype(np.uint32), axis=0, dtype=np.uint32)
        for column, fresh in ((self._at, at_s), (self._since, since_s), (self._upto, upto)):
            column[1 + count : size + count] = column[1:size].copy()
            column[1 : 1 + count] = fresh
        self._upto[1 + count : size + count] += upto[-1] - self._upto[0]
        self._upto[0] = 0
        self._size, self._whole, self._end = size + count, self._whole + count, self._end + count
        self.revision += 1

    def after(self, at_s: float, before_s: float) -> tuple[Floats, Floats, Counts]:
        """Copies of the moments after a time and before another: when, from when on each counted, and the totals before and after each.

        The totals are counted up to each bound, may run over, and are one more than the moments.
        """
        found = self._at[1 : self._size]
        first, last = 1 + int(found.searchsorted(at_s, "right")), 1 + int(found.searchsorted(before_s))
        return self._at[first:last].copy(), self._since[first:last].copy(), self._upto[first - 1 : max(first, last)].copy()

    def forget_after(self, at_s: float) -> None:
        """Leave out the moments after a time: the clock was set back, and they seem to lie ahead."""
        kept = 1 + int(self._np.searchsorted(self._at[1 : self._size], at_s, side="right"))
        if kept < self._size:
            self._end = self._end - (self._size - kept) if kept > 1 else 0
            self._size, self._whole = kept, min(self._whole, kept)
            self.revision += 1

    @property
    def first(self) -> int:
        """The number of the oldest moment that is whole, counted from the first one ever."""
        return self._end - (self._size - self._whole)

    @property
    def end(self) -> int:
        """How many moments were ever taken."""
        return self._end

    @property
    def first_s(self) -> float:
        """The time of the oldest moment that is kept; infinity without one."""
        return float(self._at[1]) if self._size > 1 else float("inf")

    @property
    def last_s(self) -> float:
        """The time of the newest moment; minus infinity without one."""
        return float(self._at[self._size - 1])

    def sums(self, edges_s: Floats) -> Counts:
        """How many samples fell into each bucket between neighbouring edges: shape (pieces, buckets)."""
        np = self._np
        return self._each(np.diff(self._upto[self._index(edges_s)], axis=0))

    def any_between(self, start_s: float, end_s: float) -> bool:
        """Whether there was any sample from `start_s` on and before `end_s`."""
        return bool(self.sums(self._np.array([start_s, end_s])).any())

    def spread(self, edges_s: Floats) -> Counts:
        """As `sums`; a piece between two moments shows the later one, where that counted already: it counts what came since the earlier."""
        np = self._np
        counts = self.sums(edges_s)
        number = 1 + self._index(edges_s[1:])
        inside = np.flatnonzero((counts.sum(axis=1) == 0) & (number < self._size))
        inside = inside[self._since[number[inside]] < edges_s[1:][inside]]
        at = number[inside]
        counts[inside] = self._each(self._upto[at] - self._upto[at - 1])
        return counts

    def _each(self, cumulative: Counts) -> Counts:
        """Counts in each bucket of counts up to each bound."""
        counts: Counts = self._np.diff(cumulative, axis=1, prepend=self._np.uint32(0)).astype(self._np.float64)
        return counts

    def _index(self, edges_s: Floats) -> Indices:
        """How many of the kept moments lie before each time."""
        found: Indices = self._np.searchsorted(self._at[1 : self._size], edges_s)
        return found
