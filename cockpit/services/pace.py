"""How often an action's system is asked, and how long is waited."""

from __future__ import annotations

from msgspec import Struct


class Pace(Struct, frozen=True):
    """How often is asked, and how long is waited before a thing is called by its name.

    `settle_s`: a key counts as "not sent" only after the system said for so long, asked again and again, that it never saw it;
    `verify_s`: how long the nodes may take to show the new digest after the system says that it is done.
    Both count what was waited here and not the wall clock, which sleep and a correction move.
    `fresh_s`: a click that could not be sent within this time is not sent any more.
    """

    follow_s: float = 0.5
    slow_s: float = 5.0
    settle_s: float = 15.0
    verify_s: float = 30.0
    fresh_s: float = 30.0
