"""Run blocking work off the main thread and hand results back to it."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from cockpit.services.clock import now_us as now_us

T = TypeVar("T")

WORKERS = 4
# four polls that hang must not hold up a rollback: one thread for what it sends and asks, one for an abort beside it, one for the journal
WRITE_WORKERS = 3
# what reads at the end is worth no longer wait than this; its answer would be dropped
CLOSE_S = 2.0


class MainThread(Protocol):
    """The one thread that owns all state: Qt's in the window, a loop in the terminal, a list in tests."""

    def post(self, fn: Callable[[], None]) -> None:
        """Run `fn` on the main thread, soon and in order; callable from any thread."""

    def call_later(self, seconds: float, fn: Callable[[], None]) -> Callable[[], None]:
        """Run `fn` after `seconds`; answers a function that cancels it. Main thread only."""


class Outcome(Struct, Generic[T], frozen=True):
    """What a job gave: a value, or the error it raised."""

    value: T | None = None
    error: Exception | None = None

    def get(self) -> T:
        """The value; raises the error instead where there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class Runner:
    """Work in the same lane runs in order, one at a time; lanes run in parallel on a few threads, lanes of writes on threads of their own.

    `submit` may be called from any thread; `done` is called on the main thread and never after `close`.
    """

    def __init__(self, main: MainThread, workers: int = WORKERS, close_s: float = CLOSE_S) -> None:
        self._main = main
        self._close_s = close_s
        self._ordinary = ThreadPoolExecutor(workers, thread_name_prefix="cockpit")
        self._writes = ThreadPoolExecutor(WRITE_WORKERS, thread_name_prefix="cockpit-write")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._under_way = 0  # ordinary jobs
        self._lanes: dict[str, deque[Callable[[], None]]] = {}
        self._closed = False

    def submit(self, lane: str, work: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Queue `work` behind what waits in `lane`."""

        def finish(outcome: Outcome[T]) -> None:
            if not self._closed:
                done(outcome)

        def step() -> None:
            try:
                outcome: Outcome[T] = Outcome(value=work())
            except Exception as error:  # noqa: BLE001 - every failure must reach `done`
                outcome = Outcome(error=error)
            if not self._closed:
                self._main.post(lambda: finish(outcome))

        with self._lock:
            if self._closed:
                return
            waiting = self._lanes.get(lane)
            if waiting is not None:
                waiting.append(step)
                return
            self._lanes[lane] = deque()
            self._pool(lane).submit(self._drain, lane, step)

    def _pool(self, lane: str) -> ThreadPoolExecutor:
        return self._writes if is_write(lane) else self._ordinary

    def _drain(self, lane: str, step: Callable[[], None]) -> None:
        counted = 0 if is_write(lane) else 1
        with self._lock:
            if self._closed:
                return
            self._under_way += counted
        try:
            step()
        finally:
            with self._lock:
                self._under_way -= counted
                self._idle.notify_all()
                self._next(lane)

    def _next(self, lane: str) -> None:
        waiting = self._lanes[lane]
        if self._closed or not waiting:
            del self._lanes[lane]
            return
        self._pool(lane).submit(self._drain, lane, waiting.popleft())

    def close(self) -> None:
        """Drop what waits; wait for the writes under way to their end, and for anything else `close_s` seconds at most.

        A thread cannot be killed: a job that is still at it (a call within its HTTP deadline) ends later and its answer goes nowhere.
        The interpreter's exit joins such threads (concurrent.futures does), so the process may outlive its window by that deadline.
        """
        with self._lock:
            self._closed = True
        deadline = time.monotonic() + self._close_s
        self._ordinary.shutdown(wait=False, cancel_futures=True)
        self._writes.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            ended = self._idle.wait_for(lambda: not self._under_way, max(0.0, deadline - time.monotonic()))
        if ended:
            self._ordinary.shutdown(wait=True)


def is_write(lane: str) -> bool:
    """Whether that lane changes something or records it, and so never waits behind reads."""
    return lane == "journal" or lane.startswith(("deploy:", "abort:", "lock:"))


class LoopMainThread:
    """`MainThread` for a terminal: the thread that calls `run_until` is the main thread."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def post(self, fn: Callable[[], None]) -> None:
        self._inbox.put(fn)

    def call_later(self, seconds: float, fn: Callable[[], None]) -> Callable[[], None]:
        self._count += 1
        entry = (time.monotonic() + seconds, self._count, fn)
        self._timers.append(entry)

        def cancel() -> None:
            if entry in self._timers:
                self._timers.remove(entry)

        return cancel

    def run_until(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Run posted work and timers until `ready()` or the time is over; answers whether it was ready."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            now = time.monotonic()
            if now >= deadline:
                return False
            due = min((t for t, _, _ in self._timers), default=deadline)
            try:
                self._inbox.get(timeout=max(0.0, min(due, deadline) - now))()
            except queue.Empty:
                self._fire_due()
        return True

    def _fire_due(self) -> None:
        now = time.monotonic()
        for entry in sorted(self._timers, key=lambda e: e[:2]):
            if entry[0] <= now and entry in self._timers:
                self._timers.remove(entry)
                entry[2]()
