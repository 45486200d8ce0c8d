"""When nothing may be released: freezes by built-in venue rules and from calendars, and the next window that is safe."""

from __future__ import annotations

from msgspec import Struct


class Freeze(Struct, frozen=True, gc=False):
    """A time, [start_us, end_us) in UTC microseconds, in which nothing is released. `hard`: no override passes it.

    `environments` empty: all of them. `source` says whose rule it is, in words a person can look up.
    """

    name: str
    start_us: int
    end_us: int
    source: str = ""
    hard: bool = False
    environments: tuple[str, ...] = ()


class Freezes(Struct, frozen=True, gc=False):
    """What the calendars say about one environment at one moment.

    `now`: freezes in force, hard ones first. `next`: the first that begins later. `safe`: (start_us, end_us) of the next time without any
    freeze that is long enough; it may have begun already. `unknown`: calendars that did not answer: while there is any, nothing is known to
    be safe.
    """

    now: tuple[Freeze, ...] = ()
    next: Freeze | None = None
    safe: tuple[int, int] | None = None
    unknown: tuple[str, ...] = ()
