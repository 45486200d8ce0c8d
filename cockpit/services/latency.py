"""Live latency: readings become points, points become series, the newest minutes in memory and the rest in history."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from cockpit.domain.facts import place
from cockpit.domain.heat import Heat
from cockpit.domain.metrics import Histogram, LatencyPoint, Reading, delta, merge, point
from cockpit.services.runtime import Outcome, Runner

if TYPE_CHECKING:
    from cockpit.domain.release import Deployment

WINDOW_S = 5.0  # one point looks at this many seconds: enough requests for a p99 at a few dozen requests a second
KEPT = 3_600  # points in memory a series: two hours at one each two seconds; older ones are in history
FLUSH_S = 10.0
IDLE_S = 86_400.0  # a series that brought nothing for so long leaves the memory
FRESH = 2_000  # histograms that wait for the main thread
KEEP_S = 40 * 86_400.0  # points older than this are dropped from history; the journal never is


class SampleStore(Protocol):
    """Where points outlive the window."""

    def add(self, points: Sequence[tuple[str, LatencyPoint]]) -> None: ...

    def compact(self, now_us: int) -> object: ...

    def prune(self, older_than_us: int) -> object: ...

    def read(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> tuple[LatencyPoint, ...]: ...


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


def _values(p: LatencyPoint) -> tuple[float | None, ...]:
    return (float(p.at_us), p.p50_ms, p.p90_ms, p.p99_ms, p.p999_ms, p.rate_per_s, p.error_ratio)


def _lists(columns: Columns) -> tuple[array[float], ...]:
    return tuple(getattr(columns, name) for name in columns.__struct_fields__)


def append(columns: Columns, p: LatencyPoint) -> None:
    """Add one point at the end."""
    for column, value in zip(_lists(columns), _values(p), strict=True):
        column.append(math.nan if value is None else value)


def series_id(at: str, node: str = "*", operation: str = "*") -> str:
    """The name of a series: a place, a node or all, an operation or all."""
    return f"{at}/{node}/{operation}"


class Digest:
    """Turns readings into points. Used by one worker lane at a time; keeps the readings of the last seconds of each node."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_us = window_s * 1e6
        self._recent: dict[str, deque[Reading]] = {}
        self._before: dict[str, Reading] = {}  # of each node, the reading before its newest
        # what came between two readings of a node, for the heat maps: series, time, counts; bounded where nobody takes it
        self.fresh: deque[tuple[str, int, Histogram]] = deque(maxlen=FRESH)
        self.keys: dict[str, tuple[str, str, str]] = {}  # series -> place, node, operation; operations may hold any character

    def points(self, readings: Sequence[Reading]) -> list[tuple[str, LatencyPoint]]:
        """A point for each node, operation and place that these readings tell something of."""
        parts: dict[str, list[Histogram]] = {}
        spans: dict[str, list[float]] = {}
        newest: dict[str, int] = {}
        for reading in readings:
            at = place(reading.service, reading.environment)
            seconds, operations = self._difference(reading)
            for operation, histogram in operations.items():
                for node, kind in (("*", "*"), (reading.node, "*"), ("*", operation), (reading.node, operation)):
                    name = series_id(at, node, kind)
                    self.keys[name] = (at, node, kind)
                    parts.setdefault(name, []).append(histogram)
                    spans.setdefault(name, []).append(seconds)
                    newest[name] = max(newest.get(name, 0), reading.at_us)
        answer = []
        self.fresh.extend(self._since_last(readings))
        for name, histograms in parts.items():
            together = merge(histograms)
            if together is not None:
                answer.append((name, point(together, sum(spans[name]) / len(spans[name]), newest[name])))
        self._forget(max((r.at_us for r in readings), default=0))
        return answer

    def _since_last(self, readings: Sequence[Reading]) -> list[tuple[str, int, Histogram]]:
        """What came since the reading before, of each place and of each of its operations: every sample once."""
        parts: dict[str, list[Histogram]] = {}
        newest: dict[str, int] = {}
        for reading in readings:
            last = self._before.get(_node(reading))
            if last is None or reading.at_us <= last.at_us:
                continue
            at = place(reading.service, reading.environment)
            for operation, after in reading.operations.items():
                earlier = last.operations.get(operation)
                changed = after if earlier is None else delta(earlier, after)
                if changed is None:
                    continue
                for name in (series_id(at), series_id(at, "*", operation)):
                    parts.setdefault(name, []).append(changed)
                    newest[name] = max(newest.get(name, 0), reading.at_us)
        together = ((name, merge(histograms)) for name, histograms in parts.items())
        return [(name, newest[name], h) for name, h in together if h is not None]

    def _forget(self, now_us: int) -> None:
        """Nodes that have gone for good must not stay in memory: names change with every deployment in some places."""
        for name in [n for n, recent in self._recent.items() if now_us - recent[-1].at_us > IDLE_S * 1e6]:
            del self._recent[name]
            self._before.pop(name, None)

    def _difference(self, reading: Reading) -> tuple[float, dict[str, Histogram]]:
        recent = self._recent.setdefault(_node(reading), deque())
        last = recent[-1] if recent else None
        if last is not None:
            self._before[_node(reading)] = last
        restarted = last is not None and _total(reading) < _total(last)
        if restarted:
            recent.clear()
        recent.append(reading)
        while len(recent) > 2 and reading.at_us - recent[1].at_us >= self._window_us:
            recent.popleft()
        # after a restart the counters began again at zero, some time after the last reading
        before = last if restarted else recent[0]
        if before is None or reading.at_us <= before.at_us:
            return 0.0, {}
        operations = {}
        for operation, after in reading.operations.items():
            earlier = before.operations.get(operation)
            changed = after if earlier is None else delta(earlier, after)
            if changed is not None:
                operations[operation] = changed
        return (reading.at_us - before.at_us) / 1e6, operations


def _node(reading: Reading) -> str:
    return f"{reading.service}/{reading.environment}/{reading.node}"


def _total(reading: Reading) -> float:
    return sum(h.total for h in reading.operations.values())


class LatencyBook:
    """All series. Main thread, except `digest.points`, which the metrics lane calls."""

    def __init__(self, runner: Runner, history: SampleStore | None, clock_us: Callable[[], int]) -> None:
        self.digest = Digest()
        self._runner = runner
        self._history = history
        self._clock_us = clock_us
        self._series: dict[str, Columns] = {}
        self._heat: dict[str, Heat] = {}
        self._unsaved: list[tuple[str, LatencyPoint]] = []
        self._flushed_us = clock_us()
        self._compacted_us = 0

    def add(self, points: Sequence[tuple[str, LatencyPoint]]) -> None:
        """Take in new points; now and then they go to history in the background."""
        for name, p in points:
            columns = self._series.setdefault(name, empty_columns())
            if len(columns.at_us) and p.at_us <= columns.at_us[-1]:
                continue
            append(columns, p)
            if len(columns.at_us) > KEPT * 5 // 4:
                for column in _lists(columns):
                    del column[: len(column) - KEPT]
            self._unsaved.append((name, p))
        self._add_heat()
        if self._clock_us() - self._flushed_us > FLUSH_S * 1e6:
            self._drop_idle()
            self.flush()

    def _add_heat(self) -> None:
        """Take in what the lane has counted meanwhile; other buckets begin a heat map anew."""
        while self.digest.fresh:
            name, at_us, histogram = self.digest.fresh.popleft()
            if not histogram.bounds_s:
                continue
            heat = self._heat.get(name)
            if heat is None or heat.bounds_s != histogram.bounds_s:
                heat = self._heat[name] = Heat(KEPT, histogram.bounds_s)
            heat.append(at_us / 1e6, histogram.counts)

    def heat(self, series: str) -> Heat | None:
        """All samples of a place or of one of its operations, the newest two hours; None where there are none, and for single nodes."""
        return self._heat.get(series)

    def _drop_idle(self) -> None:
        oldest = self._clock_us() - IDLE_S * 1e6
        for name in [n for n, c in self._series.items() if not c.at_us or c.at_us[-1] < oldest]:
            del self._series[name]
            self._heat.pop(name, None)
            self.digest.keys.pop(name, None)

    def flush(self) -> None:
        """Hand what is not saved yet to history."""
        now, points, self._unsaved = self._clock_us(), self._unsaved, []
        self._flushed_us = now
        if self._history is None or not points:
            return
        history, due = self._history, now - self._compacted_us > 60e6
        self._compacted_us = now if due else self._compacted_us

        def save() -> None:
            history.add(points)
            if due:
                history.compact(now)
                history.prune(now - int(KEEP_S * 1e6))

        def saved(outcome: Outcome[None]) -> None:
            # kept for the next attempt, up to a bound: a full disk must not fill the memory too
            if outcome.error is not None:
                self._unsaved = (points + self._unsaved)[-50_000:]

        self._runner.submit("history", save, saved)

    def drain(self) -> None:
        """Write what is not saved yet, here and now; for the end, when no worker runs any more."""
        points, self._unsaved = self._unsaved, []
        if self._history is not None and points:
            self._history.add(points)

    def nodes(self, at: str) -> tuple[str, ...]:
        """Nodes of a place that have been read, sorted."""
        return tuple(sorted({n for p, n, _ in list(self.digest.keys.values()) if p == at and n != "*"}))

    def operations(self, at: str) -> tuple[str, ...]:
        """Operations of a place that have been read, sorted."""
        return tuple(sorted({o for p, _, o in list(self.digest.keys.values()) if p == at and o != "*"}))

    def columns(self, series: str, start_us: int, end_us: int) -> Columns:
        """What is in memory of a series between two times (a copy)."""
        columns = self._series.get(series)
        if columns is None:
            return empty_columns()
        first, last = bisect_left(columns.at_us, start_us), bisect_left(columns.at_us, end_us + 1)
        return Columns(*(column[first:last] for column in _lists(columns)))

    def load(self, series: str, start_us: int, end_us: int, done: Callable[[Outcome[Columns]], None]) -> None:
        """The same with what only history holds; answers later on the main thread."""
        memory = self.columns(series, start_us, end_us)
        first_us = int(memory.at_us[0]) if memory.at_us else end_us
        history = self._history
        if history is None or first_us <= start_us:
            done(Outcome(memory))
            return

        def read() -> Columns:
            columns = empty_columns()
            for p in history.read(series, start_us, first_us - 1):
                append(columns, p)
            for column, rest in zip(_lists(columns), _lists(memory), strict=True):
                column.extend(rest)
            return columns

        self._runner.submit("history", read, done)

    def p99(self, at: str, start_us: int, end_us: int) -> list[float | None]:
        """The p99 of a whole place between two times, None where nothing was known."""
        values = self.columns(series_id(at), start_us, end_us).p99_ms
        return [None if math.isnan(v) else v for v in values]

    def last(self, at: str) -> LatencyPoint | None:
        """The newest point of a whole place."""
        columns = self._series.get(series_id(at))
        if columns is None or not columns.at_us:
            return None
        values = [None if math.isnan(c[-1]) else c[-1] for c in _lists(columns)]
        rate = values[5] or 0.0
        return LatencyPoint(int(columns.at_us[-1]), values[1], values[2], values[3], values[4], rate, values[6], rate * WINDOW_S)


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
