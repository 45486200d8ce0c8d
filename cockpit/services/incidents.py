"""Notices as a person reads them: those of one incident together, the worst first; and the word of who looks at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from cockpit.services.notices import Notice, Notices, Severity

if TYPE_CHECKING:
    from cockpit.services.runtime import Outcome

ACTION: Final = "acknowledge notice"  # of the journal; "acknowledge" alone is a word about a regression


class Incident(Struct, frozen=True):
    """What happened at one place, or one notice that belongs to no other: `notices` has the worst first, then the newest."""

    id: int
    notices: tuple[Notice, ...]

    @property
    def worst(self) -> Notice:
        """What stands for all of it."""
        return self.notices[0]

    @property
    def at_us(self) -> int:
        """When something was last told."""
        return max(n.at_us for n in self.notices)

    @property
    def standing(self) -> tuple[Notice, ...]:
        """The warnings and errors that have not passed."""
        return tuple(n for n in self.notices if n.stands)

    @property
    def more(self) -> int:
        """What stands beside the worst."""
        return sum(n.stands for n in self.notices[1:])


def incidents(history: tuple[Notice, ...], first: Callable[[Notice], bool] = lambda notice: False) -> tuple[Incident, ...]:
    """What stands first: what nobody looks at, then the worst, then those of which `first` says so; then the newest."""
    by_id: dict[int, list[Notice]] = {}
    for notice in history:
        by_id.setdefault(notice.incident or notice.id, []).append(notice)
    found = [Incident(number, tuple(sorted(of, key=lambda n: n.weight, reverse=True))) for number, of in by_id.items()]
    return tuple(sorted(found, key=lambda i: (i.worst.weight[:3], i.worst.stands and first(i.worst), i.at_us, i.id), reverse=True))


def more_beside(notices: Notices, notice: Notice) -> int:
    """How many others of its incident stand."""
    return sum(n.stands for n in notices.beside(notice))


def acknowledge(cockpit: Any, notice: Notice) -> int:
    """The person here looks at that incident: at all of it that stands. Main thread only; answers how many notices that were.

    It holds in this window. The journal gets a note of it, unless this window may only read.
    """
    notices: Notices = cockpit.notices
    me = cockpit.settings.me
    who = (f"{me.name} <{me.email}>" if me.name and me.email else me.name or me.email).strip() or "somebody here"
    mine = [n for n in (notices.get(notice.id), *notices.beside(notice)) if n is not None and n.stands and not n.looker]
    looked = [n for m in sorted(mine, key=lambda n: n.id) if (n := notices.look(m.id, who)) is not None]
    journal = getattr(cockpit, "journal", None)
    if looked and journal is not None and not cockpit.read_only:
        worst = max(mine, key=lambda n: n.weight)
        detail = {"title": worst.title, "message": worst.message[:400], "severity": str(worst.severity), "notices": len(looked)}
        service, _, environment = worst.group.partition("@")
        key = f"notice:{worst.key or worst.id}:{looked[0].looked_us}"
        work = partial(journal.append, "note", key, ACTION, who, service, environment, detail)
        cockpit.runner.submit("journal", work, _written(notices))
    return len(looked)


def _written(notices: Notices) -> Callable[[Outcome[Any]], None]:
    def done(outcome: Outcome[Any]) -> None:
        if outcome.error is not None:
            hint = "It holds in this window all the same."
            notices.tell(Severity.WARNING, "Who looks at it could not be noted", str(outcome.error), hint=hint, key="notice-journal")

    return done
