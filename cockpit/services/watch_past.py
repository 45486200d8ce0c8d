"""What every node of a place did in the newest minutes, in counts small enough to keep: the judge's past."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from cockpit.domain.judge import Look
from cockpit.domain.metrics import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT_S = 2_400.0  # forty minutes of the version before are enough to know its hours' load by
SLOTS = 1_200  # one each two seconds
MOST_NODES = 16  # beyond that, nodes of the same version are counted together
SMALL = 65_535

Increments = Mapping[str, Histogram]  # by operation


class Split(Struct, frozen=True):
    """Which nodes are which: by what they ran at that moment, or, for the time before, by name.

    Without `nodes`: the candidate is who ran `new`, the baseline who ran `old` ("" = anything else). With `nodes`: those, and all others,
    none of them while it ran `new`.
    """

    new: str
    old: str = ""
    nodes: frozenset[str] | None = None


class _Row:
    """Counts of one operation of one node by slot: per bucket, not cumulated, the errors last."""

    def __init__(self, slots: int, bounds_s: tuple[float, ...]) -> None:
        import numpy as np

        self.bounds_s = bounds_s
        self.counts: Any = np.zeros((slots, len(bounds_s) + 1), np.uint16)

    def put(self, slot: int, histogram: Histogram) -> None:
        import numpy as np

        counts = histogram.counts
        apart = [counts[0], *(b - a for a, b in pairwise(counts)), histogram.errors]
        if self.counts.dtype == np.uint16 and not all(0 <= v <= SMALL and v == int(v) for v in apart):
            self.counts = self.counts.astype(np.float32)
        self.counts[slot] = apart


class Past:
    """The newest `slots` scrapes of one place, numbered from 0. Not for two threads at once."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._at_us: list[int] = [0] * slots
        self._volatility = [math.nan] * slots
        self._digests: list[str] = []
        self._ran: dict[str, Any] = {}  # by node: the index of its digest in each slot, -1 = it said nothing
        self._rows: dict[tuple[str, str], _Row] = {}
        self._seen: dict[str, int] = {}
        self.next = 0  # the number of the next slot

    def add(self, at_us: int, nodes: Mapping[str, tuple[str, Increments]], volatility: float = math.nan) -> None:
        """One more scrape: of each node the digest that it ran all the while, and what it did; how wild the market was."""
        import numpy as np

        slot = self.next % self._slots
        self._at_us[slot], self._volatility[slot] = at_us, volatility
        for ran in self._ran.values():
            ran[slot] = -1
        for row in self._rows.values():
            row.counts[slot] = 0
        for name, (digest, operations) in nodes.items():
            if digest not in self._digests:
                self._digests.append(digest)
            if name not in self._ran:
                self._ran[name] = np.full(self._slots, -1, np.int16)
            self._ran[name][slot] = self._digests.index(digest)
            self._seen[name] = self.next
            for operation, histogram in operations.items():
                self._put(slot, name, operation, histogram)
        self.next += 1
        self._forget()

    def _put(self, slot: int, name: str, operation: str, histogram: Histogram) -> None:
        if not histogram.counts:
            return
        row = self._rows.get((name, operation))
        if row is None or row.bounds_s != histogram.bounds_s:
            # other buckets cannot be added to these: what was counted before is of no more use
            row = self._rows[name, operation] = _Row(self._slots, histogram.bounds_s)
        row.put(slot, histogram)

    def _forget(self) -> None:
        for name in [n for n, seen in self._seen.items() if self.next - seen > self._slots]:
            del self._seen[name], self._ran[name]
            for key in [k for k in self._rows if k[0] == name]:
                del self._rows[key]

    @property
    def oldest(self) -> int:
        """The number of the oldest slot that is still there."""
        return max(0, self.next - self._slots)

    @property
    def bytes(self) -> int:
        """What the counts take."""
        return int(sum(row.counts.nbytes for row in self._rows.values()) + sum(ran.nbytes for ran in self._ran.values()))

    def first_of(self, digest: str, since_us: int) -> int:
        """The number of the first slot since then in which a node ran that digest; `next` where there is none."""
        if digest not in self._digests:
            return self.next
        index = self._digests.index(digest)
        for number in range(self.oldest, self.next):
            slot = number % self._slots
            if self._at_us[slot] >= since_us and any(ran[slot] == index for ran in self._ran.values()):
                return number
        return self.next

    def from_time(self, since_us: int) -> int:
        """The number of the first slot since then."""
        return next((n for n in range(self.oldest, self.next) if self._at_us[n % self._slots] >= since_us), self.next)

    def running(self, digest: str, first: int, last: int) -> frozenset[str]:
        """The nodes that ran it in any of these slots."""
        if digest not in self._digests:
            return frozenset()
        index = self._digests.index(digest)
        numbers = [n % self._slots for n in range(max(first, self.oldest), min(last, self.next))]
        return frozenset(name for name, ran in self._ran.items() if any(ran[slot] == index for slot in numbers))

    def looks(self, sides: Split, first: int, last: int) -> list[Look]:
        """The slots from `first` to before `last` as looks of a judge."""
        import numpy as np

        numbers = list(range(max(first, self.oldest), min(last, self.next)))
        slots = np.array([n % self._slots for n in numbers], np.int64)
        if not numbers:
            return []
        masks = {name: self._masks(ran[slots], name, sides) for name, ran in self._ran.items()}
        found = tuple(self._summed(masks, slots, side) for side in (0, 1))
        return [
            Look(self._at_us[slot], _at(found[0], place), _at(found[1], place), self._volatility[slot])
            for place, slot in enumerate(int(s) for s in slots)
        ]

    def _masks(self, ran: Any, name: str, sides: Split) -> tuple[Any, Any]:
        new = self._digests.index(sides.new) if sides.new in self._digests else -2
        if sides.nodes is not None:
            before = (ran >= 0) & (ran != new)
            mine = name in sides.nodes
            return before & mine, before & (not mine)
        old = self._digests.index(sides.old) if sides.old in self._digests else -2
        return ran == new, (ran == old) if sides.old else (ran >= 0) & (ran != new)

    def _summed(self, masks: Mapping[str, tuple[Any, Any]], slots: Any, side: int) -> dict[str, list[Histogram | None]]:
        """By operation the sum of a side's nodes in each slot; None where none of them said anything. Buckets must be alike."""
        found: dict[str, tuple[tuple[float, ...], Any, Any] | None] = {}
        for (name, operation), row in self._rows.items():
            mask = masks[name][side]
            if not mask.any():
                continue
            counts = row.counts[slots] * mask[:, None].astype(row.counts.dtype)
            known = found.get(operation)
            if operation not in found:
                found[operation] = (row.bounds_s, counts.astype(float), mask)
            elif known is not None and known[0] == row.bounds_s:
                found[operation] = (row.bounds_s, known[1] + counts, known[2] | mask)
            else:
                found[operation] = None
        return {operation: _histograms(*part) for operation, part in found.items() if part is not None}


def _at(side: Mapping[str, Sequence[Histogram | None]], place: int) -> dict[str, Histogram]:
    return {operation: h for operation, row in side.items() if (h := row[place]) is not None}


def _histograms(bounds_s: tuple[float, ...], counts: Any, mask: Any) -> list[Histogram | None]:
    cumulated = counts[:, :-1].cumsum(axis=1).tolist()
    errors = counts[:, -1].tolist()
    return [Histogram(bounds_s, tuple(c), 0.0, e) if m else None for c, e, m in zip(cumulated, errors, mask.tolist(), strict=True)]
