"""How numbers, times and foreign text are written, everywhere in the same way. All functions are pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

NONE = "–"  # what stands where nothing is known

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_HIDDEN_RANGES = ((0x200B, 0x200E), (0x2060, 0x2066), (0x206A, 0x2070), (0xFFF9, 0xFFFC), (0xE0000, 0xE0080))
_HIDDEN = (0x00AD, 0x034F, 0x115F, 0x1160, 0x180E, 0xFEFF, *(code for start, end in _HIDDEN_RANGES for code in range(start, end)))
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **{code: f"<{code:02X}>" for code in range(0x80, 0xA0)},
    **{code: f"<U+{code:04X}>" for code in _BIDI},
    **dict.fromkeys(_HIDDEN, ""),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}
_LINE = {**_VISIBLE, 0x09: " ", 0x0A: " \u23ce ", 0x0D: "", 0x2028: " \u23ce ", 0x2029: " \u23ce "}
_LINES = {**_VISIBLE, 0x09: "    ", 0x0A: "\n", 0x0D: "", 0x2028: "\n", 0x2029: "\n"}


def plain(text: str, limit: int = 2000) -> str:
    """Untrusted text as one line: control characters and bidi overrides made visible, newlines as a mark, cut after `limit` characters."""
    return _cut(text, limit).translate(_LINE).strip()


def plain_lines(text: str, limit: int = 200_000) -> str:
    """Untrusted text with its lines kept, for a plain-text pane."""
    return _cut(text, limit).translate(_LINES)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "\u2026"


def number_text(value: float) -> str:
    """Three significant figures down to hundredths: 1.24, 12.4, 124, 1,240; a dash where it is not known."""
    if not math.isfinite(value):
        return NONE
    size = abs(value)
    places = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{places}f}"


def ms_text(value: float | None) -> str:
    """1.24 ms, 12.4 ms, 124 ms, 1,240 ms."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{number_text(value)} ms"


def rate_text(value: float | None) -> str:
    """12.4 /s, 1,240 /s."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{number_text(value)} /s"


def count_text(n: float | None) -> str:
    """1,234."""
    if n is None or not math.isfinite(n):
        return NONE
    return f"{n:,.0f}"


def percent_text(x: float | None) -> str:
    """A ratio 0..1 as 99.95 %; what is not wholly nothing or all never reads as 0 % or 100 %."""
    if x is None or not math.isfinite(x):
        return NONE
    percent = x * 100
    if x in (0, 1):
        return f"{percent:.0f} %"
    if 0 < percent < 0.01:
        return "< 0.01 %"
    if 99.99 < percent < 100:
        return "> 99.99 %"
    return f"{percent:.2f} %"


def age_text(seconds: float | None) -> str:
    """Seconds up to a minute, then minutes, hours, days: 12 s, 3 min, 5 h, 2 d."""
    if seconds is None or not math.isfinite(seconds):
        return "not known"
    seconds = max(0.0, seconds)
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{int(seconds // 86400)} d"


def duration_text(seconds: float | None) -> str:
    """0.42 s, 4.2 s, 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    seconds = max(0.0, seconds)
    if seconds < 59.5:
        places = 2 if seconds < 0.995 else 1 if seconds < 9.95 else 0
        return f"{seconds:.{places}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def moment(at_us: int) -> datetime | None:
    """The moment in UTC; None for 0 and for what no calendar holds."""
    try:
        return datetime.fromtimestamp(at_us / 1e6, UTC) if at_us > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


@lru_cache(4096)
def _written(second: int) -> str:
    """2026-11-22 09:40:12, or "" where no calendar holds it. Kept, for tables ask for the same moments again and again."""
    at = moment(second * 1_000_000 + 1)
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _parts(at_us: int, now_us: int = 0) -> tuple[str, str, bool]:
    """The date, the time, and whether that is the day of `now_us`; ("", "", False) for no moment."""
    at = _written(at_us // 1_000_000) if at_us > 0 else ""
    return at[:10], at[11:], now_us > 0 and at[:10] == _written(now_us // 1_000_000)[:10]


def time_text(at_us: int, now_us: int = 0) -> str:
    """2026-11-22 09:40:12 UTC; with `now_us` of the same day the date is left out."""
    day, time, today = _parts(at_us, now_us)
    return NONE if not time else f"{time} UTC" if today else f"{day} {time} UTC"


def short_time_text(at_us: int, now_us: int = 0) -> str:
    """11-22 09:40, and 09:40:12 on the day of `now_us`, for narrow columns; the tooltip has the rest."""
    day, time, today = _parts(at_us, now_us)
    return NONE if not time else time if today else f"{day[5:]} {time[:5]}"


def clock_text(at_us: int) -> str:
    """09:40:12 UTC."""
    time = _parts(at_us)[1]
    return f"{time} UTC" if time else NONE


def time_tooltip(at_us: int) -> str:
    """The moment in UTC and in local time."""
    at = moment(at_us)
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC\n{at.astimezone():%Y-%m-%d %H:%M:%S %Z} local time"


def as_of_text(at_us: int) -> str:
    """as of 09:40:12 UTC."""
    return f"as of {clock_text(at_us)}" if at_us > 0 else "never seen"


def short_id(text: str) -> str:
    """The first 12 characters of a commit or digest."""
    return plain(text)[:12]


def plural(n: int, word: str, words: str = "") -> str:
    """1 commit, 2 commits."""
    return f"{count_text(n)} {word if n == 1 else words or word + 's'}"


def tooltip_text(text: str, limit: int = 2000) -> str:
    """A tooltip that Qt cannot take for rich text: markup is escaped, lines stay lines."""
    if not text:
        return ""
    escaped = plain_lines(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<qt>{escaped.replace(chr(10), '<br>')}</qt>"


def health_words(sources: list[Any], now_us: int) -> str:
    """Such as "11 ok, 1 stale"."""
    states = [s.state(now_us) for s in sources]
    return ", ".join(f"{states.count(w)} {w}" for w in ("ok", "stale", "failed", "stopped", "pending") if w in states)
