"""The filter of a table with many rows: one lower-cased text a row, read once, and each key searched among the matches of the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from operator import contains
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 64  # filters remembered, for those who take letters back
FRESH_S = 60.0  # ages in the cells may be this old when a filter begins
_EVERY = 512  # rows read between two looks at the clock

Reader = Callable[[list[int]], list[str]]  # the texts of some slots
Mask = NDArray[np.bool_]


class Words:
    """Which slots hold all words of a filter. `read` is asked once a slot, and again for what changed."""

    def __init__(self, count: int, read: Reader, *, ages: bool) -> None:
        self._texts: list[str | None] = [None] * count
        self._unread = list(range(count))
        self._read = read
        self._ages = ages
        self._read_at = monotonic()
        self._levels: list[tuple[tuple[str, ...], Mask]] = []

    @property
    def unread(self) -> int:
        """About how many rows have still to be read."""
        return len(self._unread)

    def carry(self, other: Words, sources: list[int]) -> None:
        """Take over the texts of rows that are the same: `sources` has their slots in `other`, -1 for those that are new."""
        texts = other._texts
        self._texts = [texts[s] if s >= 0 else None for s in sources]
        self._unread = [i for i, text in enumerate(self._texts) if text is None]
        self._read_at = other._read_at

    def read_some(self, budget_s: float) -> None:
        """Read ahead, so that the first key need not wait."""
        until = monotonic() + budget_s
        while self._unread and monotonic() < until:
            self._fill(self._unread[-_EVERY:])
            del self._unread[-_EVERY:]

    def _fill(self, slots: Iterable[int]) -> None:
        wanted = [slot for slot in slots if self._texts[slot] is None]
        for slot, text in zip(wanted, self._read(wanted), strict=True):
            self._texts[slot] = text

    def _texts_now(self) -> list[Any]:
        if self._ages and not self._levels and monotonic() - self._read_at > FRESH_S:
            self._texts = [None] * len(self._texts)
            self._unread = list(range(len(self._texts)))
        if len(self._unread) == len(self._texts):
            self._read_at = monotonic()
        self._fill(self._unread)
        self._unread.clear()
        return self._texts

    def matching(self, words: tuple[str, ...]) -> Mask | None:
        """A mark for each slot; None without words."""
        levels = self._levels
        while levels and not _narrows(levels[-1][0], words):
            levels.pop()
        if not words:
            return None
        if levels and levels[-1][0] == words:
            return levels[-1][1]
        texts: list[str] = self._texts_now()
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
        self._unread += [slot for slot in slots if self._texts[slot] is not None]
        for slot in slots:
            self._texts[slot] = None
        if not self._levels:
            return
        self._fill(slots)
        self._unread.clear()
        for words, mask in self._levels:
            for slot in slots:
                mask[slot] = _holds(self._texts[slot] or "", words)


def _marks(texts: Iterable[str], word: str, count: int) -> Mask:
    return np.fromiter(map(contains, texts, repeat(word)), np.bool_, count)


def _holds(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)


def _narrows(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether all that matches `new` matches `old`."""
    return bool(new) and all(any(word in longer for longer in new) for word in old)
