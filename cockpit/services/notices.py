"""The one funnel for everything a person reads: errors, warnings and news, merged by key, kept as a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import CockpitError

LIMIT = 500  # notices kept; a day's worth for a person, not for a machine


class Severity(StrEnum):
    """How loud a notice is."""

    INFO = "info"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Notice(Struct, frozen=True):
    """One message with its way out. A notice that comes again under the same key grows (`count`) instead of repeating.

    `place` names the view that shows more. `over` is set when what it told has passed.
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


class Notices:
    """Main thread only. Subscribers hear every new or changed notice."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._items: dict[int, Notice] = {}
        self._by_key: dict[str, int] = {}
        self._next = 1
        self._listeners: list[Callable[[Notice], None]] = []
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
        """The one that matters most now: the newest error or warning that is not over, else the newest of all."""
        history = self.history
        loud = [n for n in history if not n.over and n.severity in (Severity.ERROR, Severity.WARNING)]
        return next(iter(loud or history), None)

    def subscribe(self, listener: Callable[[Notice], None]) -> Callable[[], None]:
        """Call `listener` with every notice from now on; answers a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, severity: Severity, title: str, message: str, *, hint: str = "", key: str = "", place: str = "") -> Notice:
        """Show a message; under the key of an earlier one that is not over, that one grows."""
        now = self._clock_us()
        title, message, hint = self.hide(title), self.hide(message), self.hide(hint)
        known = self._items.get(self._by_key.get(key, 0)) if key else None
        if known is not None and not known.over:
            notice = replace(
                known, at_us=now, severity=severity, title=title, message=message, hint=hint, place=place, count=known.count + 1
            )
        else:
            notice = Notice(self._next, now, severity, title, message, hint, key, place)
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
        self._put(replace(known, over=True))
        if title:
            self.tell(Severity.OK, title, message, place=known.place)

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
        if self._by_key.get(dropped.key) == dropped.id:
            del self._by_key[dropped.key]
