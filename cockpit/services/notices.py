"""The one funnel for everything a person reads: errors, warnings and news, merged by key, kept as a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import CockpitError

LIMIT = 500  # notices kept; a day's worth for a person, not for a machine
STORY = 8  # earlier words that a notice keeps: the first, and the newest of the others
WORDS = 8_000  # characters of a message; somebody else's error page is no message
_TOLD_WORDS = 400  # of an earlier one
INCIDENT_S = 900.0  # what comes so long after the last word about a place belongs to the same incident
AGAIN_S = 300.0  # what comes back so soon was never really over: the notice goes on


class Severity(StrEnum):
    """How loud a notice is."""

    INFO = "info"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for news, 1 for a warning, 2 for an error."""
        return _RANKS.get(self, 0)


_RANKS = {Severity.WARNING: 1, Severity.ERROR: 2}


class Told(Struct, frozen=True):
    """What a notice said before."""

    at_us: int
    severity: Severity
    title: str
    message: str


class Notice(Struct, frozen=True):
    """One message with its way out. A notice that comes again under the same key grows (`count`) instead of repeating.

    `place` names the view that shows more. `over` is set when what it told has passed. `since_us` is when it was first told, `story` what
    it said before, oldest first. `group` is the `service@environment` it is about ("" = none), `incident` the id of the first notice of
    what happened there, `about` "rollback", "deploy" or "countdown" where it is one, `kinds` the kinds of findings that it names. `looker`
    says in words who looks at it; `ended_us` is 0 while it is not over.
    """

    id: int
    at_us: int
    severity: Severity
    title: str
    message: str
    hint: str = ""
    key: str = ""
    place: str = ""
    count: int = 1
    over: bool = False
    since_us: int = 0
    story: tuple[Told, ...] = ()
    group: str = ""
    incident: int = 0
    about: str = ""
    kinds: tuple[str, ...] = ()
    looker: str = ""
    looked_us: int = 0
    ended_us: int = 0

    @property
    def stands(self) -> bool:
        """Whether it is a warning or an error that has not passed."""
        return not self.over and self.severity.rank > 0

    @property
    def weight(self) -> tuple[bool, bool, int, int, int]:
        """What sorts by how much it matters now: what stands, what nobody looks at yet, how bad, how new."""
        stands = self.stands
        return stands, stands and not self.looker, self.severity.rank if stands else 0, self.at_us, self.id


class Notices:
    """Main thread only. Subscribers hear every new or changed notice."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._items: dict[int, Notice] = {}
        self._by_key: dict[str, int] = {}
        self._passed: dict[str, int] = {}  # the newest one that is over, by key
        self._next = 1
        self._listeners: list[Callable[[Notice], None]] = []
        self.first: Callable[[Notice], bool] = _never  # of two that are equally bad this one matters more
        self.hide: Callable[[str], str] = str  # takes secrets out of whatever is shown or logged

    def hidden(self, text: str) -> str:
        """The text without secrets. Any thread."""
        return self.hide(text)

    @property
    def history(self) -> tuple[Notice, ...]:
        """Newest first."""
        return tuple(sorted(self._items.values(), key=lambda n: (n.at_us, n.id), reverse=True))

    @property
    def newest(self) -> Notice | None:
        """The one that matters most now: the worst that stands and that nobody looks at, then what somebody looks at, else the newest."""
        return max(self._items.values(), key=lambda n: (n.weight[:3], n.stands and self.first(n), n.weight), default=None)

    def get(self, number: int) -> Notice | None:
        """The notice of that id as it is now."""
        return self._items.get(number)

    def beside(self, notice: Notice) -> tuple[Notice, ...]:
        """The others of the same incident, in no order."""
        return tuple(n for n in self._items.values() if n.incident == notice.incident and n.id != notice.id)

    def subscribe(self, listener: Callable[[Notice], None]) -> Callable[[], None]:
        """Call `listener` with every notice from now on; answers a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(
        self,
        severity: Severity,
        title: str,
        message: str,
        *,
        hint: str = "",
        key: str = "",
        place: str = "",
        group: str = "",
        about: str = "",
        kinds: tuple[str, ...] = (),
        incident: int = 0,
    ) -> Notice:
        """Show a message; under the key of an earlier one that stands, or ended a moment ago, that one grows and never becomes milder.

        `group`: the `service@environment` that it is about, where the key does not name it. `incident`: that it is a part of.
        """
        now = self._clock_us()
        title, message, hint = self.hide(title)[:WORDS], self.hide(message)[:WORDS], self.hide(hint)[:WORDS]
        told = Notice(0, now, severity, title, message, hint, key, place, 1, False, now, (), group or group_of(key), 0, about, kinds)
        known = self._known(key, now)
        if known is not None:
            notice = grown(known, told)
        else:
            notice = replace(told, id=self._next, incident=incident or self._incident(told.group, now) or self._next)
            self._next += 1
        if key:
            self._by_key[key] = notice.id
        self._put(notice)
        return notice

    def error(self, error: BaseException, *, key: str = "", place: str = "") -> Notice:
        """Show an error; one that is not ours is a defect and says so, without losing what it said."""
        if isinstance(error, CockpitError):
            return self.tell(
                Severity.ERROR, error.title, error.message, hint=error.hint, key=key or f"{error.title}:{error.message}", place=place
            )
        words = f"{type(error).__name__}: {error}"
        return self.tell(
            Severity.ERROR,
            "A defect in Release Cockpit",
            words,
            hint="Nothing was sent because of it. The log beside the cache has the details; please report it.",
            key=key or words,
        )

    def stand(self, topic: str, errors: Iterable[BaseException], place: str = "") -> None:
        """These errors, and no others, stand under the topic: a known one is not told again, one that is gone is over."""
        wanted = {f"{topic}:{error}": error for error in errors}
        for key in [k for k in self._by_key if k.startswith(f"{topic}:") and k not in wanted]:
            self.over(key)
        for key, error in wanted.items():
            if not self.told(key):
                self.error(error, key=key, place=place)

    def told(self, key: str) -> bool:
        """Whether a notice stands under `key` that is not over."""
        return key in self._by_key

    def over(self, key: str, title: str = "", message: str = "") -> None:
        """What the notice under `key` told has passed; with a title this is told once as good news."""
        known = self._items.get(self._by_key.pop(key, 0))
        if known is None:
            return
        self._passed[key] = known.id
        self._put(replace(known, over=True, ended_us=self._clock_us()))
        if title:
            self.tell(Severity.OK, title, message, place=known.place, group=known.group, incident=known.incident)

    def look(self, number: int, who: str) -> Notice | None:
        """`who` looks at that one from now on: it stops shouting and stays until it is over, or gets worse. None where it does not stand.

        One that was told without a key has no end of its own: the look is its end.
        """
        known = self._items.get(number)
        if known is None or not known.stands or known.looker:
            return None
        now = self._clock_us()
        notice = replace(known, looker=self.hide(who), looked_us=now, over=not known.key, ended_us=0 if known.key else now)
        self._put(notice)
        return notice

    def _known(self, key: str, now: int) -> Notice | None:
        standing = self._items.get(self._by_key.get(key, 0)) if key else None
        if standing is not None:
            return standing
        passed = self._items.get(self._passed.get(key, 0)) if key else None
        return passed if passed is not None and now - passed.ended_us <= AGAIN_S * 1e6 else None

    def _incident(self, group: str, now: int) -> int:
        """The incident at that place that goes on; 0 for none."""
        since = now - INCIDENT_S * 1e6
        here = [n for n in self._items.values() if n.group == group] if group else []
        return max((n.incident for n in here if (n.key and n.stands) or max(n.at_us, n.ended_us) >= since), default=0)

    def _put(self, notice: Notice) -> None:
        self._items[notice.id] = notice
        while len(self._items) > LIMIT:
            self._drop(notice.id)
        for listener in list(self._listeners):
            listener(notice)

    def _drop(self, spared: int) -> None:
        """Forget the oldest that is over or no error, else the oldest error; never the one that just came."""
        others = [n for n in self._items.values() if n.id != spared]
        quiet = [n for n in others if n.over or n.severity is not Severity.ERROR]
        dropped = min(quiet or others, key=lambda n: n.id)
        del self._items[dropped.id]
        for known in (self._by_key, self._passed):
            if known.get(dropped.key) == dropped.id:
                del known[dropped.key]


def grown(known: Notice, told: Notice) -> Notice:
    """The known notice after it was told again: the new words, the old ones in its story, never milder while it stands.

    Who looked at it is asked again where it is worse than what was looked at: more severe, of another kind, or another deed begins.
    """
    severity = known.severity if known.stands and known.severity.rank > told.severity.rank else told.severity
    news = bool(set(told.kinds) - set(known.kinds)) or told.about not in ("", known.about)
    worse = severity.rank > known.severity.rank or news
    said = (known.severity, known.title, known.message) != (severity, told.title, told.message)
    story = known.story
    if said or known.over:
        passed = Told(known.at_us, known.severity, known.title[:_TOLD_WORDS], known.message[:_TOLD_WORDS])
        story = (*story, passed) if len(story) < STORY else (story[0], *story[2:], passed)
    return replace(
        told,
        id=known.id,
        severity=severity,
        count=known.count + 1,
        since_us=known.since_us,
        story=story,
        group=known.group or told.group,
        incident=known.incident,
        kinds=known.kinds + tuple(k for k in told.kinds if k not in known.kinds),
        looker="" if worse else known.looker,
        looked_us=0 if worse else known.looked_us,
    )


def _never(notice: Notice) -> bool:
    return False


def group_of(key: str) -> str:
    """The `service@environment` in a key such as "alerts:gateway@production"; "" where there is none."""
    kind, _, rest = key.partition(":")
    found = next((part for part in rest.split(":") if "@" in part), "")
    return found if kind.isascii() and kind.replace("-", "").isalpha() and not any(c.isspace() for c in key) else ""
