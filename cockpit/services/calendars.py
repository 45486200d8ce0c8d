"""Freezes of an environment: the venue rules that the policy names, and what the connected calendars say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.calendar import (
    BUILTIN,
    DAY_US,
    HORIZON_S,
    MINUTE_US,
    Freeze,
    Freezes,
    environment_names,
    look,
    merged,
    microseconds,
    windows,
)
from cockpit.domain.errors import ConnectorError
from cockpit.domain.facts import Fact
from cockpit.domain.memo import Same
from cockpit.domain.policy import Rules
from cockpit.domain.statements import Override, Statement, overrides
from cockpit.services.connections import Connected
from cockpit.services.store import AppState, Store

if TYPE_CHECKING:
    from cockpit.connectors.ports import Calendar
    from cockpit.storage.settings import ConnectionSettings

KIND = "icalendar"
DEADLINE_S = 86_400.0  # calendars change slowly: what one said yesterday still counts, but no longer
INTERVAL_S = 60.0
AHEAD_DAYS = 60  # a day old, an answer still covers the time in which a safe window is looked for
_KEPT = 64
Silent = tuple[tuple[str, bool], ...]  # calendars that do not answer, and whether their freezes are hard


class CalendarJob:
    """Asks a calendar for its freezes and puts them into `state.freezes` by its connection's id."""

    deadline_s = DEADLINE_S

    def __init__(self, connected: Connected, store: Store, clock_us: Callable[[], int]) -> None:
        self._connected = connected
        self._store = store
        self._clock_us = clock_us

    def prepare(self) -> Callable[[], tuple[Freeze, ...]]:
        """Yesterday and the next sixty days; whole days, so that the question stays the same all day."""
        calendar: Calendar = self._connected.polled
        title = self._connected.title
        today = self._clock_us() // DAY_US

        def work() -> tuple[Freeze, ...]:
            found = calendar.freezes((today - 1) * DAY_US, (today + AHEAD_DAYS + 1) * DAY_US)
            return tuple(replace(f, source=f"calendar {title}" + (f": {f.source}" if f.source else "")) for f in found)

        return work

    def apply(self, result: tuple[Freeze, ...]) -> ConnectorError | None:
        """The answer becomes a fact of now."""
        fact = Fact(result, self._clock_us(), self._connected.title, DEADLINE_S)
        self._store.merge("freezes", {self._connected.id: fact})
        return None

    def interval_s(self, base_s: float) -> float:
        """At least a minute."""
        return max(INTERVAL_S, base_s)


def configured_in(connections: Mapping[str, ConnectionSettings], kinds: tuple[str, ...] = (KIND,)) -> dict[str, tuple[str, ...]]:
    """The calendars that the settings name, each with its environments (none: all). `kinds`: those that serve the port."""
    return {id_: environment_names(c.options.get("environments", "")) for id_, c in connections.items() if c.kind in kinds}


def hard_in(connections: Mapping[str, ConnectionSettings], kinds: tuple[str, ...] = (KIND,)) -> frozenset[str]:
    """The calendars whose freezes no override passes, by connection id."""
    return frozenset(id_ for id_, c in connections.items() if c.kind in kinds and c.options.get("hard", "") == "true")


def freezes_of(
    state: AppState,
    rules: Rules,
    environment: str,
    now_us: int,
    duration_s: float,
    configured: Mapping[str, tuple[str, ...]] | None = None,
    hard: frozenset[str] = frozenset(),
) -> Freezes:
    """What holds in that environment now; see `Calendars`, which remembers the answer."""
    known = configured or {}
    return _look(state, rules, environment, now_us, duration_s, _unknown(state, rules, environment, now_us, known, hard), known)


def freezes_between(
    state: AppState, rules: Rules, environment: str, start_us: int, end_us: int, configured: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Freeze, ...]:
    """The freezes of that environment that touch [start_us, end_us), whole, sorted: venue rules, and what calendars said last."""
    venue = windows(rules.freezes.get(environment, ()), start_us, end_us)
    said = (f for f in _relevant(state, configured or {}) if f.start_us < end_us and f.end_us > start_us)
    return tuple(f for f in merged((*venue, *said)) if f.holds_in(environment))


def passed_by(state: AppState, freezes: Freezes, rules: Rules, environment: str, service: str, now_us: int) -> Override | None:
    """The override that passes these freezes for that service, the one that lasts longest; a hard freeze is passed by nobody.

    Nor is a calendar of hard freezes that does not answer. It counts only where the policy says that this person may.
    """
    if freezes.closed or any(f.hard for f in freezes.now):
        return None
    may = rules.may.get("freeze", frozenset())
    standing = _standing(Same(state.statements), may, now_us)
    mine = (o for o in standing if o.environment == environment and o.service in ("", service))
    return max(mine, key=lambda o: o.until_us, default=None)


@lru_cache(maxsize=4)
def _passes(same: Same[tuple[Statement, ...]], may: frozenset[str]) -> tuple[Statement, ...]:
    """What these people said of passing freezes, and what ended it, so that a thousand other words cost a plan nothing."""
    said = tuple(s for s in same.value if s.kind == "override" and s.who in may)
    ids = {s.id for s in said}
    return (*said, *(s for s in same.value if s.kind == "end" and s.about in ids))


@lru_cache(maxsize=4)
def _standing(same: Same[tuple[Statement, ...]], may: frozenset[str], now_us: int) -> tuple[Override, ...]:
    return overrides(_passes(same, may), now_us)  # asked more than once for one plan


class Calendars:
    """`freezes_of` for those who ask each second: computed again only when an input or the answer changes. Main thread only.

    `configured`: the calendars that the settings name, by connection id, with their environments (none: all). One of them that could not
    even be made is missing from the state, and is unknown all the same. `hard`: those whose freezes no override passes. Replace both when
    the settings change.
    """

    def __init__(self, configured: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.configured: Mapping[str, tuple[str, ...]] = configured or {}
        self.hard: frozenset[str] = frozenset()
        self._known: dict[tuple[str, float], _Answer] = {}

    def freezes_of(self, state: AppState, rules: Rules, environment: str, now_us: int, duration_s: float) -> Freezes:
        """What holds in that environment now, and the next window for something that takes `duration_s`."""
        key = (environment, duration_s)
        unknown = _unknown(state, rules, environment, now_us, self.configured, self.hard)
        known = self._known.get(key)
        if known is not None and known.fits(state, rules, unknown, now_us):
            return known.freezes
        found = _look(state, rules, environment, now_us, duration_s, unknown, self.configured)
        if len(self._known) >= _KEPT:
            self._known.clear()
        edge = _changes_at(_relevant(state, self.configured), found, environment, now_us, duration_s)
        self._known[key] = _Answer(found, now_us, edge, state.freezes, rules.freezes, unknown)
        return found

    def passed_by(self, state: AppState, rules: Rules, environment: str, service: str, now_us: int) -> Override | None:
        """The override that passes the freezes of now for that service, if any; a hard freeze is passed by nobody."""
        return passed_by(state, self.freezes_of(state, rules, environment, now_us, 0.0), rules, environment, service, now_us)


class _Answer(Struct, frozen=True):
    freezes: Freezes
    from_us: int
    until_us: int
    facts: dict[str, Fact[tuple[Freeze, ...]]]
    names: dict[str, tuple[str, ...]]
    unknown: Silent

    def fits(self, state: AppState, rules: Rules, unknown: Silent, now_us: int) -> bool:
        same = self.facts is state.freezes and self.names is rules.freezes and self.unknown == unknown
        return same and self.from_us <= now_us < self.until_us


def _look(
    state: AppState,
    rules: Rules,
    environment: str,
    now_us: int,
    duration_s: float,
    unknown: Silent,
    configured: Mapping[str, tuple[str, ...]],
) -> Freezes:
    venue = windows(rules.freezes.get(environment, ()), now_us - DAY_US, now_us + microseconds(HORIZON_S) + DAY_US)
    found = look(merged((*venue, *_relevant(state, configured))), environment, now_us, duration_s)
    names = tuple(name for name, _ in unknown)
    return replace(found, unknown=names, safe=None if names else found.safe, closed=tuple(name for name, hard in unknown if hard))


def _relevant(state: AppState, configured: Mapping[str, tuple[str, ...]]) -> tuple[Freeze, ...]:
    return tuple(f for id_ in _ids(state, configured) if id_ in state.freezes for f in state.freezes[id_].value)


def _ids(state: AppState, configured: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    # a calendar that was taken out of the settings freezes nothing more; before there are any sources nobody can tell
    sources = state.sources or dict.fromkeys(state.freezes)
    return tuple(dict.fromkeys((*(id_ for id_ in state.freezes if id_ in sources), *_asked(state), *configured)))


def _asked(state: AppState) -> tuple[str, ...]:
    return tuple(id_ for id_, health in state.sources.items() if health.kind == KIND)


def _unknown(
    state: AppState, rules: Rules, environment: str, now_us: int, configured: Mapping[str, tuple[str, ...]], hard: frozenset[str]
) -> Silent:
    silent = []
    for id_ in dict.fromkeys((*_asked(state), *configured, *state.freezes)):
        fact, health, mine = state.freezes.get(id_), state.sources.get(id_), configured.get(id_, ())
        gone = health is None and id_ not in configured and bool(state.sources)
        if gone or (mine and environment not in mine):
            continue
        if fact is None or fact.stale(now_us):
            # what it said last counts too: a settings file may not say what its events are
            closed = id_ in hard or (fact is not None and any(f.hard and f.holds_in(environment) for f in fact.value))
            silent.append((health.title if health is not None else id_, closed))
    misspelt = [(f"the venue rule {name}", False) for name in rules.freezes.get(environment, ()) if name not in BUILTIN]
    return (*silent, *misspelt)


def _changes_at(freezes: tuple[Freeze, ...], found: Freezes, environment: str, now_us: int, duration_s: float) -> int:
    """Until when the answer holds: the next full minute at the latest, for the horizon moves along."""
    edges = [(now_us // MINUTE_US + 1) * MINUTE_US]
    for freeze in (*freezes, *found.now, *((found.next,) if found.next is not None else ())):
        if freeze.holds_in(environment):
            edges += [edge for edge in (freeze.start_us, freeze.end_us) if edge > now_us]
    if found.safe is not None:
        # one microsecond later the window is too short
        edges.append(max(now_us, found.safe[1] - microseconds(duration_s)) + 1)
    return min(edges)
