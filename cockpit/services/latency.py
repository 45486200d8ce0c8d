"""Live latency: readings become points, points become series, the newest minutes in memory and the rest in history."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from cockpit.domain.errors import StorageError
from cockpit.domain.metrics import LatencyPoint
from cockpit.services.digest import BACK_US, IDLE_S, WINDOW_S
from cockpit.services.digest import FRESH as FRESH
from cockpit.services.digest import Digest as Digest
from cockpit.services.digest import series_id as series_id
from cockpit.services.heats import Heats, HeatStore, rows
from cockpit.services.kept import COLUMNS, Kept
from cockpit.services.runtime import Outcome, Runner

if TYPE_CHECKING:
    from cockpit.domain.heat import Heat
    from cockpit.domain.release import Deployment
    from cockpit.services.heats import Part

FLUSH_S = 10.0
KEEP_S = 40 * 86_400.0  # points older than this are dropped from history; the journal never is
COMPACT_S = 60.0
P99S, TREND_PIECES = 600, 120
HEAT_KEEP_S = 25 * 3600.0  # a day of samples is promised
MOST_SET_BACK = 8
_TURNS = 50  # of compaction at a time


class SampleStore(Protocol):
    """Where points outlive the window."""

    def save(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None: ...

    def compact(self, now_us: int) -> object: ...

    def prune(self, older_than_us: int) -> object: ...

    def load(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> Any:
        """A numpy table with the eight rows of `kept`, extremes kept where there are more points than asked for."""


class Columns(Struct):
    """A series as columns of equal length; NaN where nothing could be said. Times in microseconds UTC."""

    at_us: array[float]
    p50_ms: array[float]
    p90_ms: array[float]
    p99_ms: array[float]
    p999_ms: array[float]
    rate_per_s: array[float]
    error_ratio: array[float]


def empty_columns() -> Columns:
    """No points."""
    return Columns(*(array("d") for _ in range(7)))


def _lists(columns: Columns) -> tuple[array[float], ...]:
    return tuple(getattr(columns, name) for name in columns.__struct_fields__)


class LatencyBook:
    """All series: the newest points of each in memory, a day of extremes before them, the rest in history. Memory is bounded.

    Main thread, except `digest.points`, which the metrics lane calls.
    """

    def __init__(
        self, runner: Runner, history: SampleStore | None, clock_us: Callable[[], int], heat_store: HeatStore | None = None
    ) -> None:
        self.digest = Digest()
        self._runner = runner
        self._history = history
        self._clock_us = clock_us
        self._series: dict[str, Kept] = {}
        self.heats = Heats(runner, heat_store, clock_us)
        self.set_back: tuple[tuple[int, float], ...] = ()  # when the clock was set back, and by how many seconds
        self.saving = False  # a flush is under way
        self._flushed_us = clock_us()
        self._compacted_us = 0

    def add(self, points: Sequence[tuple[str, LatencyPoint]], share: int = 1) -> None:
        """Take in new points, and one in `share` of the samples that wait for the heat maps; now and then they go to history."""
        for name, p in points:
            kept = self._kept(name)
            if not kept.append(p) and kept.columns[0][-1] > p.at_us + BACK_US and self._forget_ahead(p.at_us):
                kept.append(p)
        self._added(share)

    def add_block(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None:
        """Take in many points of some series at once, each as the eight columns of `kept`, in order of time."""
        for name, columns in parts:
            self._kept(name).extend(columns)
        self._added()

    def _kept(self, name: str) -> Kept:
        kept = self._series.get(name)
        if kept is None:
            kept = self._series[name] = Kept(name)
        return kept

    def _forget_ahead(self, at_us: int) -> bool:
        """Where the clock was set back, leave out all from `at_us` on, so that time goes on; False where nothing lies ahead."""
        newest_us = max((kept.columns[0][-1] for kept in self._series.values() if kept), default=0.0)
        if newest_us <= self._clock_us() + BACK_US:
            return False
        # what comes together is not of the same moment
        before_us = at_us - BACK_US // 5
        for kept in self._series.values():
            kept.forget_after(before_us)
        self.heats.forget_after(before_us / 1e6)
        self.set_back = (*self.set_back, (at_us, (newest_us - at_us) / 1e6))[-MOST_SET_BACK:]
        return True

    def _added(self, share: int = 1) -> None:
        self._add_heat(share)
        # one that seems to lie ahead was before the clock was set back
        if not 0 <= self._clock_us() - self._flushed_us <= FLUSH_S * 1e6:
            self._drop_idle()
            self.flush()

    def _add_heat(self, share: int) -> None:
        """Take in what the lane has counted meanwhile."""
        for _ in range(math.ceil(len(self.digest.fresh) / share)):
            self.heats.add(*self.digest.fresh.popleft())

    def heat(self, series: str) -> Heat | None:
        """All samples of a place, of one of its operations or of one of its nodes, a day of them; None where there are none."""
        return self.heats.heat(series)

    def _drop_idle(self) -> None:
        oldest = self._clock_us() - IDLE_S * 1e6
        for name in [n for n, kept in self._series.items() if not kept or kept.columns[0][-1] < oldest]:
            del self._series[name]
            self.heats.drop(name)
            self.digest.keys.pop(name, None)

    def flush(self) -> None:
        """Hand what is not saved yet to history; what cannot be saved is tried again, as long as it is in memory."""
        now = self._clock_us()
        if self._history is None or self.saving:
            return
        self._flushed_us = now
        parts, counted = self._unsaved(), self.heats.unsaved()
        if not parts and not counted:
            return
        history, due = self._history, not 0 <= now - self._compacted_us <= COMPACT_S * 1e6
        self._compacted_us = now if due else self._compacted_us
        self.saving, set_back = True, self.set_back

        def save() -> Exception | None:
            history.save(parts)
            if due:
                turns = 0
                while history.compact(now) and turns < _TURNS:
                    turns += 1
                history.prune(now - int(KEEP_S * 1e6))
            return self._save_heat(counted, now if due else None)

        def saved(outcome: Outcome[Exception | None]) -> None:
            self.saving = False
            # where the clock was set back meanwhile, what was saved seems to lie ahead of what comes
            if outcome.error is None and set_back is self.set_back:
                self._saved(parts)
            if outcome.error is None and outcome.value is None and set_back is self.set_back:
                self.heats.saved(counted)
            else:
                self.heats.missed(outcome.value)

        self._runner.submit("history", save, saved)

    def _save_heat(self, counted: Sequence[Part], now_us: int | None) -> Exception | None:
        """In the lane of history, or at the end; `now_us`: what is older than a day leaves. What goes wrong here spoils nothing else."""
        store = self.heats.store
        try:
            if store is not None and counted:
                store.save(rows(counted))
            if store is not None and now_us is not None:
                store.prune(now_us - int(HEAT_KEEP_S * 1e6))
        except StorageError as error:
            return error
        return None

    def _unsaved(self) -> list[tuple[str, tuple[array[float], ...]]]:
        found = ((name, kept.unsaved()) for name, kept in self._series.items())
        return [(name, columns) for name, columns in found if columns is not None]

    def _saved(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None:
        for name, columns in parts:
            kept = self._series.get(name)
            if kept is not None:
                kept.saved_us = columns[0][-1]

    def drain(self) -> None:
        """Write what is not saved yet, here and now; for the end, when no worker runs any more."""
        parts = self._unsaved()
        if self._history is not None and parts:
            # what a worker has just written without being heard is written twice, which counts once
            self._history.save(parts)
            self._saved(parts)
        counted = self.heats.unsaved(all_of_it=True)
        if self._save_heat(counted, None) is None:
            self.heats.saved(counted)

    def nodes(self, at: str) -> tuple[str, ...]:
        """Nodes of a place that have been read, sorted."""
        return tuple(sorted({n for p, n, _ in list(self.digest.keys.values()) if p == at and n != "*"}))

    def operations(self, at: str) -> tuple[str, ...]:
        """Operations of a place that have been read, sorted."""
        return tuple(sorted({o for p, _, o in list(self.digest.keys.values()) if p == at and o != "*"}))

    def columns(self, series: str, start_us: int, end_us: int) -> Columns:
        """The whole points in memory of a series between two times (a copy)."""
        kept = self._series.get(series)
        return Columns(*kept.window(start_us, end_us)[: COLUMNS - 1]) if kept is not None else empty_columns()

    def span(self, series: str) -> tuple[float, float]:
        """From when to when the whole points in memory of a series go; infinity twice where there are none."""
        kept = self._series.get(series)
        return (kept.columns[0][0], kept.columns[0][-1]) if kept else (math.inf, math.inf)

    def outline(self, series: str, start_us: float, end_us: float) -> Columns:
        """The extremes in memory, of what was before the whole points: two points for each 20 s, the lowest and then the highest."""
        kept = self._series.get(series)
        if kept is None or kept.outline is None:
            return empty_columns()
        # a piece that began to leave lies on both sides
        return Columns(*kept.outline.columns(start_us, min(end_us, kept.columns[0][0] - 1)))

    def outlined_from(self, series: str) -> float:
        """Where these extremes begin; infinity where there are none."""
        kept = self._series.get(series)
        return kept.outline.first_us if kept is not None and kept.outline is not None else math.inf

    def load(self, series: str, start_us: int, end_us: int, done: Callable[[Outcome[Columns]], None], max_points: int = 2000) -> None:
        """The whole points with what only history holds; answers later on the main thread."""
        memory = self.columns(series, start_us, end_us)
        first_us = int(min(self.span(series)[0], end_us + 1))
        history = self._history
        if history is None or first_us <= start_us:
            done(Outcome(memory))
            return

        def read() -> Columns:
            table = history.load(series, start_us, first_us - 1, max_points)
            columns = Columns(*(array("d", row.tobytes()) for row in table[: COLUMNS - 1]))
            for column, rest in zip(_lists(columns), _lists(memory), strict=True):
                column.extend(rest)
            return columns

        self._runner.submit("history", read, done)

    def p99(self, at: str, start_us: int, end_us: int) -> list[float | None]:
        """The p99 of a whole place between two times, None where nothing was known; of more than some hundred points some hundred."""
        kept = self._series.get(series_id(at))
        if kept is None:
            return []
        times = kept.columns[0]
        first = bisect_left(times, start_us)
        last = max(first, bisect_right(times, end_us))
        values = kept.columns[3][first : last : 1 + (last - first) // P99S]
        return [None if math.isnan(v) else v for v in values]

    def trend(self, at: str, start_us: int, end_us: int) -> tuple[float, ...]:
        """The p99 of a whole place for a small picture: some hundred values at most, the extremes of each piece of time among them."""
        columns = self.columns(series_id(at), start_us, end_us)
        if len(columns.at_us) <= 2 * TREND_PIECES:
            return tuple(columns.p99_ms)
        import numpy as np

        values = np.array(columns.p99_ms)
        # counted from 1970, so that a piece keeps its points while time goes on
        numbers = np.array(columns.at_us) // max(1, (end_us - start_us) // TREND_PIECES)
        starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
        thin = np.column_stack((np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)))
        return tuple(thin.ravel().tolist())

    def last(self, at: str) -> LatencyPoint | None:
        """The newest point of a whole place."""
        kept = self._series.get(series_id(at))
        if not kept:
            return None
        at_us, *values, count = (column[-1] for column in kept.columns)
        p50, p90, p99, p999, rate, errors = (None if math.isnan(v) else v for v in values)
        return LatencyPoint(int(at_us), p50, p90, p99, p999, rate or 0.0, errors, count)


def baseline_window(history: Sequence[Deployment], minutes: float = 10.0) -> tuple[int, int, str] | None:
    """When the baseline of the newest deployment was seen: (start_us, end_us, its version); None without a deployment.

    The time before the newest deploy began, after the one before it had ended. A rollback keeps the baseline of the deploy that it
    undoes: what is compared must not become the bad version.
    """
    deploys = sorted((d for d in history if d.kind == "deploy" and d.started_at_us), key=lambda d: d.started_at_us)
    if not deploys:
        return None
    newest = deploys[-1]
    start = newest.started_at_us - int(minutes * 60e6)
    for earlier in history:
        if earlier.finished_at_us and earlier.finished_at_us < newest.started_at_us:
            start = max(start, earlier.finished_at_us + int(WINDOW_S * 1e6))
    return start, newest.started_at_us, newest.from_version
