"""The filter of a table with many rows: one lower-cased text a row, read once, and each key searched among the matches of the last.

A row whose text is not read yet matches nothing; reading goes on ahead, and the filters in force learn of each row as it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from operator import contains
from time import monotonic

import numpy as np
from numpy.typing import NDArray

LEVELS = 64  # filters remembered, for those who take letters back
FRESH_S = 60.0  # ages in the cells may be this old when a filter begins
_EVERY, _FEW = 512, 64  # rows read between two looks at the clock

Reader = Callable[[list[int]], list[str]]  # the texts of some slots
Mask = NDArray[np.bool_]


class Words:
    """Which slots hold all words of a filter. `read` is asked once a slot, and again for what changed."""

    def __init__(self, count: int, read: Reader, *, ages: bool) -> None:
        self._texts = [""] * count  # empty: not read
        self._unread = list(range(count))
        self._read = read
        self._ages = ages
        self._read_at = monotonic()
        self._levels: list[tuple[tuple[str, ...], Mask]] = []

    @property
    def unread(self) -> int:
        """About how many rows have still to be read."""
        return len(self._unread)

    @property
    def mask(self) -> Mask | None:
        """A mark for each slot that the filter in force lets through; None without one."""
        return self._levels[-1][1] if self._levels else None

    def carry(self, other: Words, sources: list[int]) -> None:
        """Take over the texts of rows that are the same: `sources` has their slots in `other`, -1 for those that are new."""
        texts = other._texts
        self._texts = [texts[s] if s >= 0 else "" for s in sources]
        self._unread = [i for i, text in enumerate(self._texts) if not text]
        self._read_at = other._read_at

    def add(self, count: int) -> None:
        """So many rows came behind the others; the filters in force learn of them at once."""
        slots = list(range(len(self._texts), len(self._texts) + count))
        self._texts += [""] * count
        self._levels = [(words, np.append(mask, np.zeros(count, dtype=np.bool_))) for words, mask in self._levels]
        if self._levels:
            self._fill(slots)
        else:
            self._unread += slots

    def read_some(self, budget_s: float) -> None:
        """Read ahead, so that the first key need not wait."""
        until = monotonic() + budget_s
        while self._unread:
            self._fill(self._unread[-_EVERY:])
            del self._unread[-_EVERY:]
            if monotonic() >= until:
                break

    def read_first(self, slots: list[int], budget_s: float) -> None:
        """Read these before all others, as many as there is time for."""
        until = monotonic() + budget_s
        for start in range(0, len(slots), _FEW):
            self._fill(slots[start : start + _FEW])
            if monotonic() >= until:
                break

    def read_all(self) -> None:
        """Read what is left."""
        self._fill(self._unread)
        self._unread.clear()

    def _fill(self, slots: list[int]) -> None:
        wanted = [slot for slot in slots if not self._texts[slot]]
        for slot, text in zip(wanted, self._read(wanted), strict=True):
            self._texts[slot] = text or "\t"
        for words, mask in self._levels:
            mask[wanted] = [_holds(self._texts[slot], words) for slot in wanted]

    def begin(self, words: tuple[str, ...]) -> None:
        """Forget the filters that these words do not narrow; without any, ages in the cells may have moved on meanwhile."""
        while self._levels and not _narrows(self._levels[-1][0], words):
            self._levels.pop()
        if not words or self._levels:
            return
        if self._ages and monotonic() - self._read_at > FRESH_S:
            self._texts = [""] * len(self._texts)
            self._unread = list(range(len(self._texts)))
        if len(self._unread) == len(self._texts):
            self._read_at = monotonic()

    def matching(self, words: tuple[str, ...]) -> Mask | None:
        """A mark for each slot; None without words. It learns of rows read and changed later, too."""
        levels = self._levels
        if not words:
            return None
        if levels and levels[-1][0] == words:
            return levels[-1][1]
        texts = self._texts
        if levels:
            mask = levels[-1][1].copy()
            for word in words:
                left = np.flatnonzero(mask)
                mask[left] = _marks(map(texts.__getitem__, left.tolist()), word, len(left))
        else:
            mask = np.ones(len(texts), dtype=np.bool_)
            for word in words:
                mask &= _marks(texts, word, len(texts))
        levels.append((words, mask))
        del levels[:-LEVELS]
        return mask

    def changed(self, slots: list[int]) -> None:
        """These rows are others now; the filters in force learn it at once."""
        known = [slot for slot in slots if self._texts[slot]]
        for slot in known:
            self._texts[slot] = ""
        if self._levels:
            self._fill(slots)
        else:
            self._unread += known


def _marks(texts: Iterable[str], word: str, count: int) -> Mask:
    return np.fromiter(map(contains, texts, repeat(word)), np.bool_, count)


def _holds(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)


def _narrows(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether all that matches `new` matches `old`."""
    return bool(new) and all(any(word in longer for longer in new) for word in old)
