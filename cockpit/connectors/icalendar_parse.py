"""iCalendar text into freezes. Pure: no network, no files, no clock. Nothing but BadPayload comes out, whatever the text.

How the text is read where RFC 5545 leaves a choice, always so that rather more is frozen than less:
floating times and all-day events are meant in the calendar's own zone (X-WR-TIMEZONE), else in UTC; events that are marked as
transparent or tentative freeze like all others; cancelled ones and those without a length do not. What cannot be read, such as an
unknown time zone, makes the whole calendar unreadable: to leave out one event could mean to release in a freeze.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from cockpit.connectors.text import one_line
from cockpit.domain.calendar import Freeze, merged
from cockpit.domain.errors import BadPayload

MAX_BYTES = 2 * 1024 * 1024
MAX_LINES = 60_000
MAX_DEPTH = 8
MAX_RULE_WORK = 800_000  # days looked at for all recurrences together; a few seconds
MAX_OCCURRENCES = 20_000
MAX_TIMES_A_DAY = 96
MAX_ZONE_RULES = 60
MAX_ZONE_CHARS = 200_000
MAX_SHIFTS = 200  # changes of an occurrence and all that follow it
NAME_CHARS = 120
_TIMES = ("DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS")
_KEPT = (*_TIMES, "SUMMARY", "UID", "SEQUENCE", "CALSCALE", "X-WR-CALNAME", "X-WR-TIMEZONE")
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_PARTS = {
    ("", "VCALENDAR"),
    ("VCALENDAR", "VEVENT"),
    ("VCALENDAR", "VTIMEZONE"),
    ("VCALENDAR/VTIMEZONE", "STANDARD"),
    ("VCALENDAR/VTIMEZONE", "DAYLIGHT"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
_HINT = "Export the calendar again as iCalendar (.ics), with nothing but the freezes in it."
_UNSAFE = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
_NAME = re.compile(r"\s*([A-Za-z0-9-]+)")
# the library keeps the zones that a calendar brings in one place for all: they must not get into the next calendar
_PARSING = threading.Lock()


def parse_calendar(body: bytes, start_us: int, end_us: int) -> tuple[Freeze, ...]:
    """The freezes that touch [start_us, end_us), sorted; BadPayload where any of the calendar cannot be understood."""
    return load(body).freezes(start_us, end_us)


def load(body: bytes) -> Events:
    """Read and check a calendar."""
    from icalendar import Calendar
    from icalendar.timezone import tzp

    expected = _Scan(_lines(body))
    try:
        with _PARSING:
            tzp.use_default()
            calendars = Calendar.from_ical("\r\n".join(expected.kept) + "\r\n", multiple=True)
        events = Events(calendars)
        events.check(expected)
    except BadPayload:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises anything on hostile text
        raise _foreign(error) from None
    return events


class Events:
    """A calendar that was read: `name` as it calls itself, `count` of its events."""

    def __init__(self, calendars: list[Any]) -> None:
        self._calendars = calendars
        name = next((name for c in calendars if (name := _text(c, "X-WR-CALNAME"))), "")
        self.name = name.replace("\\,", ",").replace("\\;", ";")
        self.count = sum(len(c.walk("VEVENT")) for c in calendars)

    def check(self, expected: _Scan) -> None:
        """BadPayload where a time was lost on the way, or a rule cannot be followed."""
        found = 0
        for calendar in self._calendars:
            for event in calendar.walk("VEVENT"):
                found += sum(len(_values(event, name)) for name in _TIMES)
                _check_event(event)
        if self.count != expected.events or found != expected.times:
            raise _bad("an event has a time or a rule that cannot be read")

    def freezes(self, start_us: int, end_us: int) -> tuple[Freeze, ...]:
        """Those that touch [start_us, end_us)."""
        budget = _Budget()
        select = _selection(budget)
        try:
            found = [freeze for calendar in self._calendars for freeze in self._of(calendar, start_us, end_us, select)]
        except BadPayload:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise _foreign(error) from None
        return merged(f for f in found if f.start_us < end_us and f.end_us > start_us)

    def _of(self, calendar: Any, start_us: int, end_us: int, select: Any) -> Iterator[Freeze]:
        import recurring_ical_events

        zone = _zone(calendar)
        # two days more on either side: all-day events and floating times are found by their own clock
        begin = max(_EARLIEST, _EPOCH + timedelta(microseconds=max(0, start_us)) - timedelta(days=2))
        end = min(_LATEST, _EPOCH + timedelta(microseconds=end_us) + timedelta(days=2))
        for event in recurring_ical_events.of(calendar, components=[select]).between(begin, end):
            if _text(event, "STATUS").upper() == "CANCELLED":
                continue
            name = _text(event, "SUMMARY") or "a freeze without a name"
            yield Freeze(name, *_span(event["DTSTART"].dt, event["DTEND"].dt, zone), self.name)


def _span(start: Any, end: Any, zone: Any) -> tuple[int, int]:
    """Begin and end in UTC microseconds. In the hour that a clock skips both may fall onto one moment: the length then tells the end."""
    begin_us, end_us = _at_us(start, zone), _at_us(end, zone)
    if end_us <= begin_us and type(end) is type(start) and getattr(start, "tzinfo", None) == getattr(end, "tzinfo", None):
        end_us = begin_us + max(timedelta(0), end - start) // timedelta(microseconds=1)
    return begin_us, end_us


def _lines(body: bytes) -> list[str]:
    if len(body) > MAX_BYTES:
        raise _bad(f"it is larger than {MAX_BYTES // (1024 * 1024)} MB")
    text = body.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip()[:1] == "<":
        raise BadPayload("It is a web page, not a calendar.", hint="The address may be wrong, or a login page stands before it.")
    lines: list[str] = []
    folded: list[str] = []  # unfolded here, so that the library sees exactly the lines that were checked
    for line in _UNSAFE.sub(" ", text).split("\n"):
        if line[:1] in (" ", "\t") and folded:
            folded.append(line[1:])
        elif line:
            lines.append("".join(folded))
            folded = [line]
    lines.append("".join(folded))
    lines = [line.strip(" \t") for line in lines if line.strip(" \t")]
    if len(lines) > MAX_LINES:
        raise _bad(f"it has more than {MAX_LINES} lines")
    return lines


class _Scan:
    """What is read of the lines (`kept`: events and zones, with nothing that no freeze needs), and how much must be found in it."""

    def __init__(self, lines: list[str]) -> None:
        self.kept: list[str] = []
        self.events = self.times = 0
        self._stack: list[str] = []
        self._foreign = 0  # how deep in parts that say nothing of freezes: tasks, alarms, notes
        self._zone_rules = self._zone_chars = self._shifts = 0
        for number, line in enumerate(lines):
            self._look(line, _line_name(line), number)
        if self._stack or not lines:
            raise _bad("it breaks off half-way" if lines else "it is empty")

    def _look(self, line: str, name: str, number: int) -> None:
        value = line.rpartition(":")[2].strip().upper()
        if not self._stack and (name != "BEGIN" or value != "VCALENDAR"):
            raise _bad("it does not begin with BEGIN:VCALENDAR" if number == 0 else "something stands outside of its calendar")
        if name == "BEGIN":
            self._begin(value)
        elif name == "END":
            self._end(value)
        elif not self._foreign and "VTIMEZONE" in self._stack:
            self._look_zone(line.upper(), name)
            self.kept.append(line)
        elif not self._foreign and name in _KEPT:
            self._look_event(line.upper(), name)
            self.kept.append(line)

    def _begin(self, part: str) -> None:
        inside = "/".join(self._stack)
        self._stack.append(part)
        if len(self._stack) > MAX_DEPTH:
            raise _bad("its parts are nested too deeply")
        if self._foreign or (inside, part) not in _PARTS:
            self._foreign += 1
        else:
            self.events += part == "VEVENT"
            self.kept.append(f"BEGIN:{part}")

    def _end(self, part: str) -> None:
        if self._stack.pop() != part:
            raise _bad(f"a part ends as {one_line(part, 40)} that did not begin so")
        if self._foreign:
            self._foreign -= 1
        else:
            self.kept.append(f"END:{part}")

    def _look_event(self, line: str, name: str) -> None:
        if self._stack[-1] == "VEVENT":
            self.times += name in _TIMES
            self._shifts += name == "RECURRENCE-ID" and "THISANDFUTURE" in line
        if self._shifts > MAX_SHIFTS:
            raise _bad("too many of its series are moved")

    def _look_zone(self, line: str, name: str) -> None:
        self._zone_chars += len(line)
        self._zone_rules += name == "RRULE"
        # the library follows these rules while it reads, so they are held to what time zones really need
        if name == "RRULE" and ("FREQ=YEARLY" not in line or "INTERVAL" in line or "BYHOUR" in line or "BYSECOND" in line):
            raise _bad("a time zone in it changes otherwise than yearly")
        if self._zone_rules > MAX_ZONE_RULES or self._zone_chars > MAX_ZONE_CHARS:
            raise _bad("it describes too many time zones")


def _line_name(line: str) -> str:
    match = _NAME.match(line)
    return match[1].upper() if match else ""


def _check_event(event: Any) -> None:
    from icalendar.prop import vRecur

    for name in ("DTSTART", "DTEND", "DURATION", "RECURRENCE-ID"):
        values = _values(event, name)
        if len(values) > 1 or (name == "DTSTART" and not values):
            raise _bad(f"an event has {len(values) or 'no'} {name}")
        for value in values:
            kinds = (timedelta,) if name == "DURATION" else (date,)
            if not isinstance(value.dt, kinds):
                raise _bad(f"an event's {name} is no time")
            _check_zone(value.dt, value.params)
    for name in ("RDATE", "EXDATE"):
        for value in _values(event, name):
            for moment in value.dts:
                _check_zone(moment.dt[0] if isinstance(moment.dt, tuple) else moment.dt, value.params)
    for rule in _values(event, "RRULE"):
        if not isinstance(rule, vRecur):
            raise _bad("an event recurs by a rule that cannot be read")
        _check_rule(rule)


def _check_zone(moment: Any, parameters: Any) -> None:
    zone = parameters.get("TZID")
    if zone and isinstance(moment, datetime) and moment.tzinfo is None:
        raise _bad(f"the time zone {one_line(str(zone), 60)} is not known")


def _check_rule(rule: Any) -> None:
    frequency = str(next(iter(_listed(rule, "FREQ")), "")).upper()
    if frequency not in _FREQUENCIES:
        raise _bad(f"an event recurs {one_line(frequency.lower(), 20) or 'by a rule without a frequency'}, which is no freeze")
    if any(int(interval) < 1 for interval in _listed(rule, "INTERVAL")):
        raise _bad("an event recurs at no interval")
    times = 1
    for part in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        times *= max(1, len(_listed(rule, part)))
    if times * (24 if frequency == "HOURLY" else 1) > MAX_TIMES_A_DAY:
        raise _bad("an event recurs too often in a day")


def _listed(rule: Any, part: str) -> list[Any]:
    value = rule.get(part, [])
    return value if isinstance(value, list) else [value]


class _Budget:
    """What one question may cost: days that the recurrence rules look at, and occurrences found."""

    def __init__(self) -> None:
        self.work = MAX_RULE_WORK
        self.occurrences = MAX_OCCURRENCES

    def spend_work(self) -> None:
        self.work -= 1
        if self.work < 0:
            raise _bad("its recurrences are too many to follow")

    def spend_occurrence(self) -> None:
        self.occurrences -= 1
        if self.occurrences < 0:
            raise _bad(f"it has more than {MAX_OCCURRENCES} events in the time that is asked for")


class _Counted(tuple[int, ...]):
    """The days or months of a rule, counting how often it is asked: once for each day that the rule looks at."""

    budget: _Budget

    def __contains__(self, item: object) -> bool:
        self.budget.spend_work()
        return super().__contains__(item)


def _counted(rule: Any, budget: _Budget) -> Any:
    # a rule that matches nothing, such as 30 February, is followed to the year 9999 and cannot be interrupted from outside
    name = "_bymonth" if rule._bymonth else "_byweekday"
    counted = _Counted(getattr(rule, name) or range(7))
    counted.budget = budget
    setattr(rule, name, counted)
    return rule


@cache
def _followed() -> Any:
    """The library's series, with rules that keep to a budget; made when the library is loaded."""
    from recurring_ical_events import Series

    class BoundedSeries(Series):  # type: ignore[misc, unused-ignore]
        """A series with a budget of its own class."""

        budget: _Budget

        class RecurrenceRules(Series.RecurrenceRules):  # type: ignore[misc, unused-ignore]
            """Rules that count what they look at."""

            budget: _Budget

            def rrulestr(self, rule_string: str) -> Any:
                return _counted(super().rrulestr(rule_string), self.budget)

        def rrule_between(self, span_start: Any, span_stop: Any) -> Iterator[Any]:
            for start in super().rrule_between(span_start, span_stop):
                self.budget.spend_occurrence()
                yield start

    return BoundedSeries


def _selection(budget: _Budget) -> Any:
    """What the library is asked for: events, followed within this budget."""
    from recurring_ical_events import ComponentsWithName

    base = _followed()
    rules = type("RecurrenceRules", (base.RecurrenceRules,), {"budget": budget})
    return ComponentsWithName("VEVENT", series=type("Series", (base,), {"budget": budget, "RecurrenceRules": rules}))


def _zone(calendar: Any) -> Any:
    from icalendar.timezone import tzp

    name = _text(calendar, "X-WR-TIMEZONE")
    if not name:
        return UTC
    zone = tzp.timezone(name)
    if zone is None:
        raise _bad(f"the time zone {one_line(name, 60)} is not known")
    return zone


def _at_us(moment: Any, zone: Any) -> int:
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone comes next
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int((moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1))


def _values(component: Any, name: str) -> list[Any]:
    value = component.get(name)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _text(component: Any, name: str) -> str:
    return one_line(str(next(iter(_values(component, name)), "")), NAME_CHARS)


def _bad(what: str) -> BadPayload:
    return BadPayload(f"The calendar cannot be read: {what}.", hint=_HINT)


def _foreign(error: Exception) -> BadPayload:
    words = one_line(f"{error}", 200).rstrip(".")
    return _bad(words or type(error).__name__)
