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


class Heat:
    """The newest `capacity` moments (seconds UTC, ascending), each with its counts in the buckets up to `bounds_s`. One thread at a time.

    Running totals are kept, so memory is bounded by capacity x buckets x 8 bytes, whatever was counted.
    """

    def __init__(self, capacity: int, bounds_s: Sequence[float]) -> None:
        import numpy as np

        self._np = np
        self.bounds_s = tuple(bounds_s)
        # one more: what had been counted before the oldest moment
        self._slots = capacity + 1
        self._at = np.full(self._slots, -np.inf)
        self._upto = np.zeros((self._slots, len(self.bounds_s)))
        self._end = 0

    def append(self, at_s: float, cumulative: Sequence[float]) -> bool:
        """Add one moment by what came since the one before, counted up to each bound; False where it is not later than the newest."""
        if not at_s > self.last_s or at_s == float("inf"):
            return False
        np = self._np
        counts = np.diff(np.asarray(cumulative, dtype=np.float64), prepend=0.0)
        before = self._upto[self._end % self._slots]
        self._end += 1
        self._at[self._end % self._slots] = at_s
        self._upto[self._end % self._slots] = before + np.maximum(counts, 0.0)
        return True

    @property
    def first(self) -> int:
        """The number of the oldest moment that is kept, counted from the first one ever."""
        return max(0, self._end - self._slots + 1)

    @property
    def end(self) -> int:
        """How many moments were ever taken."""
        return self._end

    @property
    def first_s(self) -> float:
        """The time of the oldest moment that is kept; infinity without one."""
        return float(self._at[(self.first + 1) % self._slots]) if self._end else float("inf")

    @property
    def last_s(self) -> float:
        """The time of the newest moment; minus infinity without one."""
        return float(self._at[self._end % self._slots]) if self._end else float("-inf")

    def sums(self, edges_s: Floats) -> Counts:
        """How many samples fell into each bucket between neighbouring edges: shape (pieces, buckets)."""
        np = self._np
        upto = self._upto[(self.first + self._index(edges_s)) % self._slots]
        # running totals are sums of floats: what is left of nothing is nothing
        counts: Counts = np.maximum(np.rint(np.diff(upto, axis=0)), 0.0)
        return counts

    def spread(self, edges_s: Floats, longest_s: float = 30.0) -> Counts:
        """As `sums`; a piece between two moments, at most `longest_s` apart, shows the later one: it counts what came since the earlier."""
        np = self._np
        counts = self.sums(edges_s)
        number = self.first + 1 + self._index(edges_s[1:])
        inside = (counts.sum(axis=1) == 0) & (number > self.first + 1) & (number <= self._end)
        at, before = number[inside] % self._slots, (number[inside] - 1) % self._slots
        close = self._at[at] - self._at[before] <= longest_s
        counts[np.flatnonzero(inside)[close]] = np.maximum(np.rint(self._upto[at] - self._upto[before]), 0.0)[close]
        return counts

    def _index(self, edges_s: Floats) -> Indices:
        """How many of the kept moments lie before each time."""
        np = self._np
        a, b = (self.first + 1) % self._slots, (self._end + 1) % self._slots
        found: Indices = np.zeros(len(edges_s), dtype=np.int64)
        if self._end and (a < b or b == 0):
            found = np.searchsorted(self._at[a : b or self._slots], edges_s)
        elif self._end:
            found = np.searchsorted(self._at[a:], edges_s) + np.searchsorted(self._at[:b], edges_s)
        return found
