"""The made-up venue's calendar of maintenance, in which nothing is released to production: an iCalendar file (RFC 5545)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cockpit.playground.processes import write_atomic

FILE = "calendar.ics"
FIRST_AFTER_H = 20.0
_FIRST = "Maintenance at the venue (made up)"
_NOW = "Incident at the venue (made up)"


def make_calendar(directory: Path, now: datetime | None = None) -> None:
    """A calendar with one hour of maintenance some time ahead; one that is there stays."""
    if not (directory / FILE).exists():
        start = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0) + timedelta(hours=FIRST_AFTER_H)
        write_atomic(directory / FILE, _calendar([(_FIRST, start, start + timedelta(hours=1))]))


def freeze(directory: Path, minutes: float, now: datetime | None = None) -> str:
    """Freeze production from now for so long; 0 ends it. What was planned before stands beside it."""
    begin = (now or datetime.now(UTC)).replace(microsecond=0)
    start = begin + timedelta(hours=FIRST_AFTER_H)
    events = [(_FIRST, start, start + timedelta(hours=1))]
    end = begin + timedelta(minutes=minutes)
    if minutes > 0:
        events.insert(0, (_NOW, begin, end))
    write_atomic(directory / FILE, _calendar(events))
    return f"production is frozen until {end:%H:%M:%S} UTC" if minutes > 0 else "production is not frozen"


def _calendar(events: list[tuple[str, datetime, datetime]]) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Release Cockpit//playground//EN"]
    for number, (name, start, end) in enumerate(events, 1):
        stamps = [f"{word}:{at:%Y%m%dT%H%M%SZ}" for word, at in (("DTSTAMP", start), ("DTSTART", start), ("DTEND", end))]
        lines += ["BEGIN:VEVENT", f"UID:{number}-{start:%Y%m%d%H%M%S}@playground.invalid", *stamps, f"SUMMARY:{name}", "END:VEVENT"]
    return "".join(f"{line}\r\n" for line in [*lines, "END:VCALENDAR"]).encode()
