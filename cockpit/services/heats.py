"""The heat maps of all series: a day of samples each, what was counted before the window was opened among them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from cockpit.domain.heat import PIECE_S, Heat
from cockpit.services.runtime import Outcome, Runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cockpit.domain.metrics import Histogram
    from cockpit.storage.history_heat import HeatRow

    # when, from when on each counted, and the counts up to each bound: what came (Moments), or the totals around each (Part)
    Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint32]]
    Moments = dict[tuple[float, ...], Columns]
    Part = tuple[str, tuple[float, ...], Columns]

_LOG = logging.getLogger(__name__)

HEAT_WHOLE, HEAT_MINUTES = 900, 1440  # moments of a heat map: half an hour at one each two seconds, and a day of minutes
DAY_US = 86_400_000_000
AGAIN_US = 60_000_000  # after which what could not be read is asked for again


class HeatStore(Protocol):
    """Where samples outlive the window."""

    def save(self, rows: Sequence[tuple[str, HeatRow]]) -> None: ...

    def load(self, series: str, start_us: int, end_us: int) -> Sequence[HeatRow]: ...

    def prune(self, older_than_us: int) -> None: ...


class Heats:
    """Heat maps by series. Whole minutes are saved when they are over; the day before is read once, when a series is first asked for.

    Main thread; what is on disk is read in the lane that writes it, so that neither meets the other half done.
    """

    def __init__(self, runner: Runner, store: HeatStore | None, clock_us: Callable[[], int]) -> None:
        self.problem: Exception | None = None  # why what is kept could not be read
        self.unwritten: Exception | None = None  # why the newest could not be kept
        self._runner = runner
        self.store = store
        self._clock_us = clock_us
        self._known: dict[str, Heat] = {}
        self._saved_s: dict[str, float] = {}
        self._minute = -1
        self._asked: dict[str, float] = {}  # when to ask again at the earliest

    def add(self, name: str, at_us: int, histogram: Histogram) -> None:
        """Take in what came since the moment before; other buckets begin a heat map anew."""
        if not histogram.bounds_s:
            return
        heat = self._known.get(name)
        if heat is None or heat.bounds_s != histogram.bounds_s:
            heat = self._known[name] = Heat(HEAT_WHOLE, histogram.bounds_s, HEAT_MINUTES)
        heat.append(at_us / 1e6, histogram.counts)

    def heat(self, series: str) -> Heat | None:
        """What is known of a series; None where there is nothing (yet). What is on disk comes later."""
        now_us = self._clock_us()
        if self.store is not None and now_us >= self._asked.get(series, -math.inf):
            self._asked[series] = math.inf
            self._ask(self.store, series, now_us)
        return self._known.get(series)

    def _ask(self, store: HeatStore, series: str, now_us: int) -> None:
        def done(outcome: Outcome[Moments]) -> None:
            self.problem = outcome.error
            if outcome.error is not None:
                self._asked[series] = self._clock_us() + AGAIN_US
            self._put_before(series, outcome.value or {})

        self._runner.submit("history", lambda: moments(store.load(series, now_us - DAY_US, now_us)), done)

    def _put_before(self, series: str, kept: Moments) -> None:
        """What was counted before all that is in memory; what was counted in other buckets cannot be shown beside it."""
        heat = self._known.get(series)
        if heat is None and kept:
            # the newest come last
            heat = self._known[series] = Heat(HEAT_WHOLE, list(kept)[-1], HEAT_MINUTES)
        if heat is not None and heat.bounds_s in kept:
            heat.prepend(*kept[heat.bounds_s])
            self._saved_s.setdefault(series, float(kept[heat.bounds_s][0][-1]))

    def forget_after(self, at_s: float) -> None:
        """The clock was set back: what seems to lie ahead leaves, and counts anew."""
        for heat in self._known.values():
            heat.forget_after(at_s)
        self._saved_s = {name: min(saved, at_s) for name, saved in self._saved_s.items()}
        self._minute = -1

    def drop(self, name: str) -> None:
        """A series is gone for good; asked for again, its day is read again."""
        self._known.pop(name, None)
        self._saved_s.pop(name, None)
        self._asked.pop(name, None)

    def unsaved(self, all_of_it: bool = False) -> list[Part]:
        """What is not on disk yet of whole minutes, or all of it; nothing while the minute goes on. Cheap: `rows` does the rest."""
        minute = int(self._clock_us() // (PIECE_S * 1e6))
        if self.store is None or (not all_of_it and minute == self._minute):
            return []
        self._minute = minute
        before_s = math.inf if all_of_it else minute * PIECE_S
        found = [(name, heat.bounds_s, heat.after(self._saved_s.get(name, -math.inf), before_s)) for name, heat in self._known.items()]
        return [part for part in found if len(part[2][0])]

    def saved(self, parts: Sequence[Part]) -> None:
        """These are on disk now."""
        self.unwritten = None if parts else self.unwritten
        for name, _, (at_s, _, _) in parts:
            self._saved_s[name] = float(at_s[-1])

    def missed(self, problem: Exception | None = None) -> None:
        """They are not: the next look tries again, as long as they are in memory."""
        self._minute = -1
        if problem is not None and self.unwritten is None:
            _LOG.warning("the samples of the heat maps could not be kept: %s", problem)
        self.unwritten = problem or self.unwritten


def rows(parts: Sequence[Part]) -> list[tuple[str, HeatRow]]:
    """What `unsaved` told as a row a minute. Any thread."""
    import numpy as np

    from cockpit.storage.history_heat import HeatRow

    found = []
    for name, bounds_s, (at_s, since_s, totals) in parts:
        starts = np.flatnonzero(np.diff(at_s // PIECE_S, prepend=-np.inf))
        ends = [*(starts[1:] - 1).tolist(), len(at_s) - 1]
        counts = np.diff(np.diff(totals[[0, *(end + 1 for end in ends)]], axis=0), axis=1, prepend=np.uint32(0))
        at_us, since_us = np.rint(at_s * 1e6).astype(np.int64).tolist(), np.rint(since_s * 1e6).astype(np.int64).tolist()
        for row, (first, last) in enumerate(zip(starts.tolist(), ends, strict=True)):
            found.append((name, HeatRow(at_us[first], since_us[first], at_us[last], bounds_s, counts[row])))
    return found


def moments(kept: Sequence[HeatRow]) -> Moments:
    """Rows as columns by their buckets, those of the newest row last. Any thread."""
    import numpy as np

    by_bounds: dict[tuple[float, ...], list[HeatRow]] = {}
    for row in reversed(kept):
        by_bounds.setdefault(row.bounds_s, []).append(row)
    answer = {}
    for bounds_s, found in reversed(by_bounds.items()):
        found.reverse()
        at_s, since_s = (np.array(times) / 1e6 for times in ([r.last_us for r in found], [r.since_us for r in found]))
        answer[bounds_s] = (at_s, since_s, np.cumsum([r.counts for r in found], axis=1, dtype=np.uint32))
    return answer
