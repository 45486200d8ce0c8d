"""The wall clock, and when it moved by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_S = 5.0  # the two clocks drift by milliseconds an hour; a machine that slept or was set moves by more than this


def now_us() -> int:
    """Wall clock, UTC, microseconds. Passed as a callable wherever time matters, so that tests can move it."""
    return time.time_ns() // 1000


class Jumps:
    """Tells when the wall clock moved against the monotonic one: the machine slept, or the clock was set. For one thread.

    Whatever waits for a moment or is armed asks at each turn and disarms on an answer other than 0: nothing queued fires later by itself.
    """

    def __init__(self, clock_us: Callable[[], int] = now_us, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_us = clock_us
        self._monotonic_s = monotonic_s
        self._apart_s = self._apart()

    def jumped(self) -> float:
        """Seconds that the wall clock moved beyond the monotonic one since the last call that saw a jump; 0.0 for none.

        Negative where it was set back. Small steps add up until they are one: a clock that slides away is seen as well.
        """
        apart_s = self._apart()
        moved_s = apart_s - self._apart_s
        if abs(moved_s) <= JUMP_S:
            return 0.0
        self._apart_s = apart_s
        return moved_s

    def _apart(self) -> float:
        return self._clock_us() / 1e6 - self._monotonic_s()


class Fresh:
    """Whether what was asked for a moment ago may still be done: neither `limit_s` nor a sleep of the machine lies between. One thread."""

    def __init__(self, limit_s: float, clock_us: Callable[[], int] = now_us, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._monotonic_s = monotonic_s
        self._begun_s = monotonic_s()
        self._jumps = Jumps(clock_us, monotonic_s)

    def why_not(self) -> str:
        """Why it is too late, in words; "" while it is not."""
        jumped_s, waited_s = self._jumps.jumped(), self._monotonic_s() - self._begun_s
        if jumped_s:
            return f"the clock moved by {jumped_s:+.0f} s after the click"
        return f"{waited_s:.0f} s went by after the click" if waited_s > self._limit_s else ""
