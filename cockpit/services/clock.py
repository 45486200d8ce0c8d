"""The wall clock."""

from __future__ import annotations

import time


def now_us() -> int:
    """Wall clock, UTC, microseconds. Passed as a callable wherever time matters, so that tests can move it."""
    return time.time_ns() // 1000
