"""Who is called for what: which notices are worth a desktop notification or a sound, when, and how often.

A person is called for what is bad in production, once an incident; again where it gets worse, and from time to time while nobody looks at
it. Quiet hours hold everything back but rollbacks in production, a person's or automatic, and the countdown to one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.quiet import Span, parse, quiet_now, zone_of
from cockpit.services.incidents import more_beside
from cockpit.services.notices import Notice, Notices

if TYPE_CHECKING:
    from cockpit.services.store import AppState
    from cockpit.storage.settings import NoticeSettings

AGAIN_S: Final = 300.0  # from call to call while nobody looks at it
LOOK_S: Final = 30.0  # how late such a call, or one that quiet hours held back, may come
SOUND_S: Final = 10.0  # at least from sound to sound
AT_ONCE: Final = 3  # notifications; the others are counted in one more
SOUNDS: Final = ("", "bad", "urgent")  # by loudness


class Call(Struct, frozen=True):
    """One desktop notification: the worst of its incident. `more`: what stands beside it there."""

    notice: Notice
    urgent: bool
    more: int = 0


class Calls(Struct, frozen=True):
    """What is due: the most urgent calls, how many incidents there are besides, one sound for all ("" for none), when to look again."""

    calls: tuple[Call, ...] = ()
    rest: int = 0
    sound: str = ""
    again_s: float | None = None


class _Mark(Struct, frozen=True):
    """What a notice was called for."""

    rank: int
    kinds: frozenset[str]
    deed: str


class Caller:
    """Main thread only. Ask `due` after notices came, and again when it says."""

    def __init__(
        self, notices: Notices, state: Callable[[], AppState], settings: Callable[[], NoticeSettings], clock_us: Callable[[], int]
    ) -> None:
        self._notices, self._state, self._settings, self._clock_us = notices, state, settings, clock_us
        self._marks: dict[int, _Mark] = {}  # by notice
        self._called: dict[int, int] = {}  # by incident: when
        self._sounded_us: int | None = None
        self._held = ("", 0)  # a sound that waits for its turn, and the notice it is for

    def due(self, active: bool) -> Calls:
        """What to call for now. `active`: a person has the window before them, whose bar suffices for all but the urgent."""
        now, settings = self._clock_us(), self._settings()
        history = self._notices.history
        quiet = quiet_at(settings, now) is not None
        found = self._found(history, quiet, now)
        calls = sorted(found.values(), key=lambda c: (c.urgent, c.notice.weight), reverse=True)
        self._forget(history)
        loud = [c for c in calls if c.urgent or not active]
        sound = self._sound(loud, quiet, now) if settings.sound else ""
        shown = loud if settings.desktop else []
        first = (replace(c, more=more_beside(self._notices, c.notice)) for c in shown[:AT_ONCE])
        return Calls(tuple(first), len(shown[AT_ONCE:]), sound, self._again_s(history, now))

    def _found(self, history: tuple[Notice, ...], quiet: bool, now: int) -> dict[int, Call]:
        """A call for each incident that is worth one, and the note of it."""
        state = self._state()
        production = production_of(state)
        found: dict[int, list[tuple[Notice, bool]]] = {}
        for notice in history:
            if place_of(notice) not in production or (notice.looker and notice.key):
                continue
            deed = deed_of(state, notice)
            # what quiet hours hold back is not noted: while it stands it is called for when they end
            if (not deed and (quiet or not _bad(notice))) or not self._worth(notice, deed, now):
                continue
            self._marks[notice.id] = _Mark(notice.severity.rank, frozenset(notice.kinds), deed)
            found.setdefault(notice.incident, []).append((notice, bool(deed)))
        self._called.update(dict.fromkeys(found, now))
        return {number: _worst(worth) for number, worth in found.items()}

    def _worth(self, notice: Notice, deed: str, now: int) -> bool:
        mark = self._marks.get(notice.id)
        if mark is None:
            return not (notice.over and notice.key)
        if notice.severity.rank > mark.rank or set(notice.kinds) - mark.kinds or (deed and deed != mark.deed):
            return True
        return _bad(notice) and now - self._called.get(notice.incident, now) >= AGAIN_S * 1e6

    def _sound(self, loud: list[Call], quiet: bool, now: int) -> str:
        """The loudest; within the pause after the sound before it is held, and dropped where somebody looked meanwhile."""
        wanted, number = self._held
        kept = self._notices.get(number)
        if kept is None or not kept.stands or kept.looker or (quiet and wanted != "urgent"):
            wanted = ""
        for call in loud:
            kind = "" if not call.notice.severity.rank else "urgent" if call.urgent else "bad"
            if SOUNDS.index(kind) > SOUNDS.index(wanted):
                wanted, number = kind, call.notice.id
        self._held = (wanted, number)
        if not wanted or (self._sounded_us is not None and now - self._sounded_us < SOUND_S * 1e6):
            return ""
        self._held, self._sounded_us = ("", 0), now
        return wanted

    def _again_s(self, history: tuple[Notice, ...], now: int) -> float | None:
        if self._held[0] and self._sounded_us is not None:
            return max(0.1, SOUND_S - (now - self._sounded_us) / 1e6)
        return LOOK_S if any(_bad(n) and n.group and not n.looker for n in history) else None

    def _forget(self, history: tuple[Notice, ...]) -> None:
        """What the notices forgot."""
        kept, incidents = {n.id for n in history}, {n.incident for n in history}
        self._marks = {number: mark for number, mark in self._marks.items() if number in kept}
        self._called = {number: at for number, at in self._called.items() if number in incidents}


def production_of(state: AppState) -> frozenset[str]:
    """The names of the environments where real customers are served."""
    return frozenset(e.name for e in state.environments if e.production)


def place_of(notice: Notice) -> str:
    """The environment that it is about."""
    return notice.group.rpartition("@")[2]


def _worst(worth: list[tuple[Notice, bool]]) -> Call:
    notice, urgent = max(worth, key=lambda pair: (pair[1], pair[0].weight))
    return Call(notice, urgent)


def _bad(notice: Notice) -> bool:
    return notice.stands and notice.severity.rank > 1


def deed_of(state: AppState, notice: Notice) -> str:
    """A rollback that a notice is about, or the countdown to one, in words that differ from one to the next; "" for anything else."""
    watched = state.watches.get(notice.group)
    countdown = watched.countdown if watched is not None and not watched.over else None
    if countdown is not None and notice.stands and (notice.about == "countdown" or notice.key.startswith("watch:")):
        return f"countdown {countdown.announced_us}"
    return notice.about if notice.about in ("rollback", "countdown") else ""


def quiet_at(settings: NoticeSettings, now_us: int) -> Span | None:
    """The quiet hours that hold at that moment; None for none. What is wrong in the settings was told when they were read."""
    try:
        return quiet_now(tuple(parse(text) for text in settings.quiet), zone_of(settings.quiet_zone), now_us)
    except ValueError:
        return None
