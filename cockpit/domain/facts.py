"""A value with its age: nothing on screen stands without one."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Fact(Struct, Generic[T], frozen=True, gc=False):
    """What `source` said at `at_us`; older than `deadline_s` it is stale and arms nothing."""

    value: T
    at_us: int
    source: str = ""
    deadline_s: float = 30.0

    def age_s(self, now_us: int) -> float:
        return max(0.0, (now_us - self.at_us) / 1e6)

    def stale(self, now_us: int) -> bool:
        # one that seems to lie ahead was told before the clock was set back: nobody knows its age
        return abs(now_us - self.at_us) > self.deadline_s * 1e6


def place(service: str, environment: str) -> str:
    """The key of a service in an environment."""
    return f"{service}@{environment}"
