"""What a time chart computes: two points a pixel, gaps, round limits, and ticks of UTC time. numpy is imported on first use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_LADDER = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
MOST_TICKS = 12  # steps of a vertical axis, however high
MOST_TIMES = 20  # labels of a time axis, however wide
GAP_FACTOR = 4.0  # a stretch without samples longer than so many usual distances is a gap, not a line


def seconds_of(at_us: Sequence[float]) -> Floats:
    """Microseconds to seconds, in double precision."""
    import numpy as np

    return np.asarray(at_us, dtype=np.float64) / 1e6


def with_gaps(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Put a NaN into every stretch without samples, so that no line is drawn over what nobody measured."""
    import numpy as np

    if len(x) < 3:
        return x, y
    steps = np.diff(x)
    holes = np.flatnonzero(steps > GAP_FACTOR * max(float(np.median(steps)), 1e-3))
    if not len(holes):
        return x, y
    # in the middle, so that thinning does not mix it with a sample at the gap's edge
    return np.insert(x, holes + 1, x[holes] + steps[holes] / 2), np.insert(y, holes + 1, math.nan)


def decimate(x: Floats, y: Floats, start: float, end: float, pixels: int) -> tuple[Floats, Floats]:
    """The part from `start` to `end` (and one sample beyond each side) with at most two points a pixel.

    Buckets keep their least and greatest value, so that a spike of one sample survives; they lie on absolute times, so that a
    picture that scrolls does not flicker. A bucket with nothing but NaN stays a gap.
    """
    import numpy as np

    first = max(0, int(np.searchsorted(x, start)) - 1)
    last = min(len(x), int(np.searchsorted(x, end, side="right")) + 1)
    x, y = x[first:last], y[first:last]
    if len(x) <= 2 * pixels or end <= start:
        return x, y
    bucket = np.floor(x / ((end - start) / max(1, pixels - 2)))
    starts = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    thin = np.empty(2 * len(starts))
    thin[0::2], thin[1::2] = low, high
    return np.repeat(x[starts], 2), thin


def nearest(x: Floats, y: Floats, at: float, within_s: float) -> float | None:
    """The value of the sample closest to `at`; None where there is none within reach, or it is a gap."""
    import numpy as np

    if not len(x):
        return None
    i = int(np.searchsorted(x, at))
    best = min((j for j in (i - 1, i) if 0 <= j < len(x)), key=lambda j: abs(float(x[j]) - at))
    value = float(y[best])
    return value if abs(float(x[best]) - at) <= within_s and math.isfinite(value) else None


def greatest(values: Sequence[float] | Floats) -> float:
    """The greatest finite value, or 0."""
    import numpy as np

    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.max()) if len(known) else 0.0


def least(values: Sequence[float] | Floats) -> float:
    """The least finite value above zero, or infinity."""
    import numpy as np

    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known) & (known > 0)]
    return float(known.min()) if len(known) else math.inf


def round_top(value: float, before: float = 0.0) -> float:
    """A round upper limit above `value`; the one `before` stays while it still fits well, so that the axis seldom moves."""
    if not math.isfinite(value) or value <= 0:
        return before or 1.0
    if 0.45 * before <= value <= 0.97 * before:
        return before
    wanted = value * 1.08
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in _LADDER if step * power >= wanted * (1 - 1e-9))


def value_ticks(top: float, pixels: int) -> list[float]:
    """Round values from 0 to `top`, at least 28 pixels apart and at most MOST_TICKS."""
    most = max(1, min(MOST_TICKS, pixels // 28))
    power = 10.0 ** math.floor(math.log10(top / most)) if top > 0 else 1.0
    fitting = [f * power for f in (1, 2, 2.5, 4, 5, 10, 20) if top / (f * power) <= most + 1e-9]
    even = [s for s in fitting[:3] if abs(top / s - round(top / s)) < 1e-9]
    step = even[0] if even else fitting[0]
    if step > top > 0:
        # room for one: a round value within
        power = 10.0 ** math.floor(math.log10(top) + 1e-9)
        step = max(f * power for f in (1, 2, 5) if f * power <= top * (1 + 1e-9))
        return [0.0, step]
    return [i * step for i in range(int(top / step + 1e-9) + 1)]


def time_step_s(span_s: float, pixels: int) -> int:
    """The distance of time labels: at least 92 pixels, and no more than MOST_TIMES labels."""
    wanted = span_s * max(92 / max(1, pixels), 1 / MOST_TIMES)
    return next((s for s in _TIME_STEPS_S if s >= wanted), _TIME_STEPS_S[-1])


def time_label(at_s: float, step_s: float) -> str:
    """09:40:12, or 09:40 at steps of a minute and more; midnight shows its date."""
    try:
        at = datetime.fromtimestamp(at_s, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    if at.hour == at.minute == at.second == 0 and step_s >= 60:
        return f"{at.month:02}-{at.day:02}"
    # by hand: strftime imports a module each time
    return f"{at.hour:02}:{at.minute:02}:{at.second:02}" if step_s < 60 else f"{at.hour:02}:{at.minute:02}"


def first_tick(start_s: float, step_s: float, origin_s: float | None = None) -> float:
    """The first time label from `start_s` on: round in UTC, or counted from an origin."""
    origin = origin_s or 0.0
    return origin + math.ceil((start_s - origin) / step_s) * step_s


def since_label(seconds: float, step_s: float = 1.0) -> str:
    """A time counted from an origin: +40 s, +5 min, -30 s, +1 h 30; `step_s` says whether seconds matter."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else "+" if whole else ""
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if whole < 60:
        return f"{sign}{rest} s" if whole else "0"
    if hours >= 48 and not whole % 3600:
        days = f"{sign}{hours // 24} d"
        return days if not hours % 24 else f"{days} {hours % 24} h"
    if hours:
        return f"{sign}{hours} h" + (f" {minutes:02}" if minutes or step_s < 60 else "")
    return f"{sign}{minutes} min" + (f" {rest:02}" if rest and step_s < 60 else "")


def spread(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Positions close to the wanted ones and at least `distance` apart, within `low` and `high` as far as they fit."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    below = low - distance
    for i in order:
        below = placed[i] = max(min(wanted[i], high), below + distance)
    above = high + distance
    for i in reversed(order):
        above = placed[i] = min(placed[i], above - distance)
    return placed
