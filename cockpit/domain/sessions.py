"""Sessions of a venue's day, as its calendars name them: an auction, an expiry, a funding, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct

from cockpit.domain.calendar import DAY_US, Freeze

LONGEST_US = DAY_US // 2  # what lasts longer is a freeze of its own kind, not a part of the venue's day
CONTINUOUS, CLOSED = "continuous", "closed"
_CLOSING, _OPENING = ("clos",), ("open", "auction")


class Session(Struct, frozen=True, gc=False):
    """A part of the venue's day, [start_us, end_us) in UTC microseconds. `named`: by a calendar; else it lies between two that are."""

    name: str
    start_us: int
    end_us: int
    named: bool = True


def sessions(freezes: Iterable[Freeze], environment: str) -> tuple[Session, ...]:
    """The sessions that these freezes name in that environment and those between them, in their order, without gaps.

    Where two overlap the one that began later counts: it says more. Before the first and after the last nothing is known. What lies
    between two is continuous; after a closing and before the next opening it is closed.
    """
    mine = [f for f in freezes if f.holds_in(environment) and f.end_us - f.start_us < LONGEST_US]
    edges = sorted({edge for f in mine for edge in (f.start_us, f.end_us)})
    found: list[Session] = []
    for start, end in pairwise(edges):
        over = [f for f in mine if f.start_us <= start and f.end_us >= end]
        if over:
            name = max(over, key=lambda f: (f.start_us, -f.end_us, f.name)).name
            if found and found[-1].named and found[-1].name == name:
                found[-1] = Session(name, found[-1].start_us, end)
            else:
                found.append(Session(name, start, end))
        else:
            found.append(Session(CONTINUOUS, start, end, named=False))
    return tuple(_closed(found, i) for i in range(len(found)))


def _closed(found: list[Session], i: int) -> Session:
    """A gap after a closing, and before an opening, is no trading."""
    gap = found[i]
    if gap.named or not 0 < i < len(found) - 1:
        return gap
    before, after = found[i - 1].name.lower(), found[i + 1].name.lower()
    closes, opens = any(w in before for w in _CLOSING), any(w in after for w in _OPENING) and not any(w in after for w in _CLOSING)
    return Session(CLOSED, gap.start_us, gap.end_us, named=False) if closes and opens else gap


def session_at(every: tuple[Session, ...], at_us: int) -> Session | None:
    """The session of a moment; None where none is known."""
    return next((s for s in every if s.start_us <= at_us < s.end_us), None)


def same_before(every: tuple[Session, ...], session: Session, days: int = 8) -> Session | None:
    """The same session of the day before: of that name, closest to a day earlier; else the newest one before, up to `days` back.

    Between two that are named there may be several of one name a day: the time of day tells them apart.
    """
    wanted = session.start_us - DAY_US
    earlier = [
        s for s in every if s.name == session.name and s.end_us <= session.start_us and s.start_us >= session.start_us - days * DAY_US
    ]
    near = [s for s in earlier if abs(s.start_us - wanted) < DAY_US // 6]
    if near:
        return min(near, key=lambda s: abs(s.start_us - wanted))
    return max((s for s in earlier if s.start_us <= wanted), key=lambda s: s.start_us, default=None)
