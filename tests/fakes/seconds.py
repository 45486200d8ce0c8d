"""A clock in seconds for what is armed and counted down."""

from __future__ import annotations


class Seconds:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s
