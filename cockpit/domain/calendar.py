"""When nothing may be released: freezes by built-in venue rules and from calendars, and the next window that is safe."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 24 * 60 * MINUTE_US
HORIZON_S = 35 * 86_400.0  # how far ahead a safe window is looked for; it spans the longest gap between two month ends
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FRIDAY = 4


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

    def holds_in(self, environment: str) -> bool:
        """Whether it freezes that environment; one without a length freezes nothing."""
        return self.start_us < self.end_us and (not self.environments or environment in self.environments)


class Freezes(Struct, frozen=True, gc=False):
    """What the calendars say about one environment at one moment.

    `now`: freezes in force, hard ones first. `next`: the first that begins later. `safe`: (start_us, end_us) of the next time without any
    freeze that is long enough; it may have begun already. `unknown`: calendars that did not answer: while there is any, nothing is known to
    be safe. `closed`: those of them whose freezes no override passes.
    """

    now: tuple[Freeze, ...] = ()
    next: Freeze | None = None
    safe: tuple[int, int] | None = None
    unknown: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()


class VenueRule(Struct, frozen=True):
    """A rule that is built in. `of_day` answers the freezes around the events of one UTC day; they may reach into the days beside it."""

    name: str
    title: str
    source: str
    of_day: Callable[[datetime.date], tuple[Freeze, ...]]


_DERIBIT = (
    "Deribit introduction policy: options expire at 08:00 UTC, daily, weekly on Friday, monthly and quarterly on the last Friday; "
    "delivery price: the average of the last 30 minutes"
)
_FUNDING = "Perpetual futures of Binance, Bybit and OKX: funding every 8 hours at 00:00, 08:00 and 16:00 UTC; 5 minutes either side"
_FUNDING_MARGIN_US = 5 * MINUTE_US


def _deribit_expiry(day: datetime.date) -> tuple[Freeze, ...]:
    start, end, name, hard = (7, 25), (8, 15), "Deribit daily expiry", False
    if day.weekday() == _FRIDAY:
        start, end, name = (7, 0), (8, 30), "Deribit weekly expiry"
        after = day.toordinal() + 7
        # the last day that a date can name has no Friday after it
        if after > datetime.date.max.toordinal() or datetime.date.fromordinal(after).month != day.month:
            hard = True
            name = f"Deribit {'quarterly' if day.month % 3 == 0 else 'monthly'} expiry"
    return (Freeze(name, _at(day, *start), _at(day, *end), _DERIBIT, hard),)


def _funding_8h(day: datetime.date) -> tuple[Freeze, ...]:
    moments = [_at(day, hour, 0) for hour in (0, 8, 16)]
    return tuple(Freeze("Funding", m - _FUNDING_MARGIN_US, m + _FUNDING_MARGIN_US, _FUNDING) for m in moments)


def _at(day: datetime.date, hour: int, minute: int) -> int:
    return (day.toordinal() - _EPOCH_DAY) * DAY_US + (hour * 60 + minute) * MINUTE_US


BUILTIN: dict[str, VenueRule] = {
    rule.name: rule
    for rule in (
        VenueRule("deribit-expiry", "Deribit expiries and the averaging before them", _DERIBIT, _deribit_expiry),
        VenueRule("funding-8h", "Funding of perpetual futures, three times a day", _FUNDING, _funding_8h),
    )
}


def windows(names: Iterable[str], start_us: int, end_us: int) -> tuple[Freeze, ...]:
    """The freezes of these built-in rules that touch [start_us, end_us), whole, sorted, merged. Names that are no rule give none."""
    found: list[Freeze] = []
    rules = [BUILTIN[name] for name in dict.fromkeys(names) if name in BUILTIN]
    # a freeze may reach into the day before or after its own
    first, last = start_us // DAY_US - 1, end_us // DAY_US + 1
    for number in range(max(first + _EPOCH_DAY, 1), min(last + _EPOCH_DAY, datetime.date.max.toordinal()) + 1):
        day = datetime.date.fromordinal(number)
        for rule in rules:
            found += [f for f in rule.of_day(day) if f.start_us < end_us and f.end_us > start_us]
    return merged(found)


def merged(freezes: Iterable[Freeze]) -> tuple[Freeze, ...]:
    """Sorted by start; those that say the same (name, source, hard, environments) and overlap or meet become one, empty ones none.

    Different reasons stay apart: a person must see each of them.
    """
    newest: dict[tuple[str, str, bool, tuple[str, ...]], Freeze] = {}
    done: list[Freeze] = []
    for freeze in sorted((f for f in freezes if f.start_us < f.end_us), key=_order):
        same = (freeze.name, freeze.source, freeze.hard, freeze.environments)
        before = newest.get(same)
        if before is not None and freeze.start_us <= before.end_us:
            newest[same] = replace(before, end_us=max(before.end_us, freeze.end_us))
        else:
            if before is not None:
                done.append(before)
            newest[same] = freeze
    return tuple(sorted((*done, *newest.values()), key=_order))


def _order(freeze: Freeze) -> tuple[int, int, str]:
    return freeze.start_us, freeze.end_us, freeze.name


def look(freezes: Iterable[Freeze], environment: str, now_us: int, duration_s: float, horizon_s: float = HORIZON_S) -> Freezes:
    """What these freezes mean now for that environment.

    `safe` is looked for up to `horizon_s` ahead: at least `duration_s` of it lie ahead, it is cut at the horizon, and None where there is
    none. Its start is the end of the last freeze where that is known, else now.
    """
    mine = [f for f in freezes if f.holds_in(environment)]
    now = tuple(sorted((f for f in mine if f.start_us <= now_us < f.end_us), key=lambda f: (not f.hard, -f.end_us, f.name)))
    later = min((f for f in mine if f.start_us > now_us), key=_order, default=None)
    safe = _safe(sorted((f.start_us, f.end_us) for f in mine), now_us, microseconds(duration_s), microseconds(horizon_s))
    return Freezes(now, later, safe)


def _safe(busy: list[tuple[int, int]], now_us: int, duration_us: int, horizon_us: int) -> tuple[int, int] | None:
    limit = now_us + horizon_us
    free_from: int | None = None  # where the gap that is looked at began; None: before all that is known
    for start, end in (*busy, (limit, limit)):
        begin = now_us if free_from is None else free_from
        stop = min(start, limit)
        ahead = stop - max(now_us, begin)
        if ahead > 0 and ahead >= duration_us:
            return begin, stop
        if start >= limit:
            break
        free_from = end if free_from is None else max(free_from, end)
    return None


def microseconds(seconds: float) -> int:
    """A length of time, never less than it is."""
    # a float such as 3e-6 is a hair above or below what was meant
    return math.ceil(round(max(0.0, seconds) * 1e6, 3))


def environment_names(text: str) -> tuple[str, ...]:
    """The names in a comma separated list, without blanks and repetitions; empty means all environments."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def freeze_words(freezes: Freezes, now_us: int) -> tuple[str, str]:
    """(state word, one line): blocked while frozen, unknown while a calendar is silent, else ok. What is unknown never reads as ok."""
    silent = ", ".join(freezes.unknown)
    said = f"calendar {silent} does not answer" if len(freezes.unknown) < 2 else f"calendars {silent} do not answer"
    if freezes.now:
        until = max(f.end_us for f in freezes.now)
        names = ", ".join(dict.fromkeys(f.name for f in freezes.now))
        hard = " (hard)" if freezes.now[0].hard else ""
        return "blocked", f"frozen until {time_words(until, now_us)}: {names}{hard}" + (f"; {said}" if silent else "")
    if freezes.unknown:
        return "unknown", said
    if freezes.next is None:
        return "ok", "freeze: none"
    return "ok", f"freeze: none - next {time_words(freezes.next.start_us, now_us)}"


def safe_words(freezes: Freezes, now_us: int) -> str:
    """One line on the next safe window: from when, and for how long."""
    if freezes.unknown:
        return "no window is known to be safe: not every calendar answers"
    if freezes.safe is None:
        return f"no window is long enough in the next {HORIZON_S / 86_400:.0f} days"
    start, end = freezes.safe
    if start <= now_us:
        return f"safe now, for {_length(end - now_us)}"
    return f"safe from {time_words(start, now_us)} for {_length(end - start)}"


def time_words(at_us: int, now_us: int) -> str:
    """A moment in UTC as a person reads it today: 07:25 UTC, Fri 27 Nov 07:25 UTC, 1 Jan 2027 00:00 UTC."""
    moment, now = _moment(at_us), _moment(now_us)
    clock = f"{moment:%H:%M} UTC" if moment.second == 0 else f"{moment:%H:%M:%S} UTC"
    if moment.date() == now.date():
        return clock
    if moment.year == now.year:
        return f"{_DAYS[moment.weekday()]} {moment.day} {_MONTHS[moment.month - 1]} {clock}"
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year} {clock}"


def _moment(at_us: int) -> datetime.datetime:
    try:
        return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=at_us)
    except OverflowError:
        return datetime.datetime.max.replace(tzinfo=datetime.UTC) if at_us > 0 else datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _length(span_us: int) -> str:
    seconds = max(0, span_us) // SECOND_US
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days >= 2:
        return f"{days} days"
    if seconds >= 3600:
        return f"{days * 24 + hours} h" + (f" {minutes} min" if minutes else "")
    return f"{minutes} min" if minutes else f"{seconds} s"
