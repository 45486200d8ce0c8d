"""A line of a preflight or a proof: one question's answer, its age, and where to look."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct


class LineState(StrEnum):
    """A preflight line's answer. UNKNOWN never reads as ok."""

    OK = "ok"
    WARNING = "warning"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Line(Struct, frozen=True, gc=False):
    """One preflight line, the time its fact was seen (0: never), and where to look.

    `insist`: though blocked or unknown, a person may pass it by giving a reason, which is journaled.
    """

    state: LineState
    text: str
    at_us: int = 0
    place: str = ""
    insist: bool = False

    @property
    def open(self) -> bool:
        """Whether it stands against the action: blocked, or not known."""
        return self.state in (LineState.BLOCKED, LineState.UNKNOWN)


NAMED = 3  # how many of a kind a line names; the others are counted


def listed(words: tuple[str, ...] | list[str], most: int = NAMED) -> str:
    """The first few, and how many more there are."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def moment(at_us: int) -> str:
    """A time in UTC, to the minute. Whole, so that a line stays the same while only time passes."""
    try:
        return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return "a time that is not known"


def counted(number: int, one: str) -> str:
    """`1 node`, `3 nodes`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
