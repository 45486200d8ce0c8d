"""Readings of nodes become points of series and counts for the heat maps; nothing here knows what is kept of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from cockpit.domain.facts import place
from cockpit.domain.metrics import Histogram, LatencyPoint, Reading, delta, merge, point

WINDOW_S = 5.0  # one point looks at this many seconds: enough requests for a p99 at a few dozen requests a second
IDLE_S = 86_400.0  # a series that brought nothing for so long leaves the memory
BACK_US = 5_000_000  # what is older than the newest by more was read after the clock was set back; by less, it came late
FRESH = 2_000  # histograms that wait for the main thread


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
        """What came since the reading before, of each place, of each of its operations and nodes: every sample once."""
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
                for name in (series_id(at), series_id(at, "*", operation), series_id(at, reading.node)):
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
        if last is not None and reading.at_us < last.at_us - BACK_US:
            # nothing of before can be put in order with what comes
            recent.clear()
            self._before.pop(_node(reading), None)
            last = None
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
