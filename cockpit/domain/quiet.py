"""Quiet hours: spans of the day, by the clock on the wall, in which nobody is called for what can wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

from msgspec import Struct

_FORM: Final = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_DAY: Final = 24 * 60


class Span(Struct, frozen=True):
    """From `start` to before `end`, minutes of the day; an end at or before the start is that of the next day."""

    start: int
    end: int

    @property
    def until(self) -> str:
        """Its end, such as 07:00."""
        return f"{self.end // 60:02d}:{self.end % 60:02d}"

    def holds(self, minute: int) -> bool:
        """Whether that minute of a day lies in it."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def parse(text: str) -> Span:
    """The span of a text such as "22:00-07:00"; 24:00 is the end of a day. ValueError says what is wrong."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError('must be such as "22:00-07:00"')
    hours, minutes = (int(found[1]), int(found[3])), (int(found[2]), int(found[4]))
    start, end = hours[0] * 60 + minutes[0], hours[1] * 60 + minutes[1]
    if max(minutes) > 59 or start >= _DAY or end > _DAY:
        raise ValueError("must be times of a day, from 00:00 to 24:00")
    if start == end:
        raise ValueError("begins when it ends; for the whole day write 00:00-24:00")
    return Span(start, end)


def zone_of(name: str) -> tzinfo | None:
    """The time zone of that name, such as Europe/Berlin; None for "", which is this machine's. ValueError where there is none."""
    if not name:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError("is no time zone; write it such as Europe/Berlin, or leave it out for this machine's") from None


def quiet_now(spans: tuple[Span, ...], zone: tzinfo | None, now_us: int) -> Span | None:
    """The span that holds at that moment by the wall clock of the zone, summer time and all; None where none does."""
    if not spans:
        return None
    wall = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(zone)
    minute = wall.hour * 60 + wall.minute
    return next((span for span in spans if span.holds(minute)), None)
