"""The main thread and the runner without threads: time moves when a test says so, work is done where it is submitted."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from cockpit.services.runtime import Outcome, Runner


class FakeMain:
    """`MainThread` over a clock with `advance`: posted work runs in `settle`, timers when the time has come."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self._posted: list[Callable[[], None]] = []
        self._timers: list[tuple[int, int, list[Callable[[], None]]]] = []
        self._count = 0

    def post(self, fn: Callable[[], None]) -> None:
        self._posted.append(fn)

    def call_later(self, seconds: float, fn: Callable[[], None]) -> Callable[[], None]:
        self._count += 1
        cell = [fn]
        heapq.heappush(self._timers, (self.clock() + round(seconds * 1e6), self._count, cell))
        return cell.clear

    def settle(self) -> None:
        """Run everything that was posted, and what that posts."""
        while self._posted:
            self._posted.pop(0)()

    def run_for(self, seconds: float) -> None:
        """Move the clock, firing each timer at its time."""
        end = self.clock() + round(seconds * 1e6)
        self.settle()
        while self._timers and self._timers[0][0] <= end:
            at, _, cell = heapq.heappop(self._timers)
            self.clock.now_us = max(self.clock.now_us, at)
            for fn in list(cell):
                fn()
            self.settle()
        self.clock.now_us = end


class InlineRunner(Runner):
    """Work is done at once; the outcome is posted like a real one's."""

    def __init__(self, main: FakeMain) -> None:
        self._main = main
        self.lanes: list[str] = []

    def submit(self, lane: str, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
        self.lanes.append(lane)
        try:
            outcome: Outcome[Any] = Outcome(value=work())
        except Exception as error:  # noqa: BLE001 - as the real runner does
            outcome = Outcome(error=error)
        self._main.post(lambda: done(outcome))

    def close(self) -> None:
        self.lanes.clear()
