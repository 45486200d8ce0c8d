"""Where a series of measurements changed its level: robust PELT, each change then confirmed by a Welch t-test. numpy alone.

PELT after Killick, Fearnhead and Eckley, "Optimal Detection of Changepoints With a Linear Computational Cost" (JASA 107, 2012). Outliers
are bounded first, as in Fearnhead and Rigaill, "Changepoint Detection in the Presence of Outliers" (JASA 114, 2019), here by Hampel's
rule: nothing lies farther from the running median than some robust deviations (Davies and Gather, JASA 88, 1993). That a change counts
only where a t-test of the two sides says so is from Fleming et al., "Hunter" (ICPE 2023), which applies it to the E-divisive of Matteson
and James (JASA 109, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

P_MAX: Final = 1e-3
MIN_SIZE: Final = 5  # values a level needs: fewer cannot be told from a run of outliers
LONGEST: Final = 4_000  # values; older ones tell nothing of now, and the search costs more than linearly
_PENALTY: Final = 3.0  # times log(n) and the variance
_CLIP: Final = 2.5  # robust deviations from the running median
_WINDOW: Final = 7
_MAD: Final = 1.4826  # of a normal distribution: deviation / median absolute deviation
_CARRY: Final = 0.95  # autocorrelation above which a series is a drift, not a level


class ChangePoint(Struct, frozen=True, gc=False):
    """`index`: the first value of the new level. `before`, `after`: medians of the two levels, in the unit of the values.

    `change`: after / before - 1, infinite where before is 0. `p`: of the t-test, two-sided, corrected for autocorrelation.
    """

    index: int
    before: float
    after: float
    change: float
    p: float


def change_points(
    values: Sequence[float], *, p_max: float = P_MAX, min_size: int = MIN_SIZE, min_change: float = 0.0
) -> tuple[ChangePoint, ...]:
    """Changes of the level, oldest first; values in their order, those that are not finite are passed over.

    `min_change`: smallest relative change that counts. About 10 ms for 1,000 values; loads numpy. From any thread; raises nothing.
    """
    if len(values) < 2 * min_size:
        return ()
    import numpy as np

    every = np.asarray(values, dtype=np.float64)
    places = np.flatnonzero(np.isfinite(every))[-LONGEST:]
    x, scale = _scaled(every[places])
    if len(x) < 2 * min_size:
        return ()
    deviation = _deviation(x)
    clipped = _clipped(x, deviation)
    ends = _pelt(clipped, _PENALTY * math.log(len(x)) * deviation**2, min_size)
    ends, ps = _confirmed(clipped, x, ends, p_max)
    found = []
    borders = [0, *ends, len(x)]
    for number, (end, p) in enumerate(zip(ends, ps, strict=True)):
        before = float(np.median(x[borders[number] : end])) * scale
        after = float(np.median(x[end : borders[number + 2]])) * scale
        change = after / before - 1.0 if before else math.copysign(math.inf, after)
        if before != after and abs(change) >= min_change:
            found.append(ChangePoint(int(places[end]), before, after, change, p))
    return tuple(found)


def _scaled(x: Array) -> tuple[Array, float]:
    """Values of at most 1, so that no square of them overflows, and by what to multiply them again."""
    import numpy as np

    scale = float(np.max(np.abs(x))) if len(x) else 0.0
    return (x / scale, scale) if scale > 0 else (x, 1.0)


def _deviation(x: Array) -> float:
    """The noise from differences of neighbours, which a change of the level touches only once; never quite 0."""
    import numpy as np

    steps = np.diff(x)
    middle = np.median(steps)
    found = _MAD * float(np.median(np.abs(steps - middle)))
    if found <= 0:
        # more than half of the values equal the one before: a coarse clock. The rest tells, without its extremes
        ordered = np.sort(np.abs(steps - middle))
        found = float(np.sqrt(np.mean(ordered[: max(1, len(ordered) * 9 // 10)] ** 2)))
    return max(found / math.sqrt(2.0), 1e-9)


def _clipped(x: Array, deviation: float) -> Array:
    import numpy as np

    half = _WINDOW // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, half, mode="reflect"), _WINDOW)
    middle = np.median(windows, axis=1)
    bounded: Array = np.clip(x, middle - _CLIP * deviation, middle + _CLIP * deviation)
    return bounded


def _pelt(x: Array, penalty: float, min_size: int) -> list[int]:
    """The borders that make the sum of squares around each level, plus a penalty a border, least."""
    import numpy as np

    n = len(x)
    sums, squares = _prefix(x), _prefix(x * x)
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(n + 1, dtype=np.int64)
    starts = np.zeros(n + 1, dtype=np.int64)
    count = 1
    for end in range(min_size, n + 1):
        open_ = starts[:count]
        sum_ = sums[end] - sums[open_]
        cost = best[open_] + (squares[end] - squares[open_]) - sum_ * sum_ / (end - open_)
        least = int(cost.argmin())
        best[end], last[end] = cost[least] + penalty, open_[least]
        # a start that is worse by more than a border costs is worse for ever
        kept = open_[cost <= best[end]]
        count = len(kept)
        starts[:count] = kept
        new = end - min_size + 1
        if new >= min_size:
            starts[count] = new
            count += 1
    borders: list[int] = []
    at = int(last[n])
    while at > 0:
        borders.append(at)
        at = int(last[at])
    return borders[::-1]


def _prefix(x: Array) -> Array:
    import numpy as np

    return np.concatenate([np.zeros(1), np.cumsum(x)])


def _confirmed(x: Array, raw: Array, borders: list[int], p_max: float) -> tuple[list[int], list[float]]:
    """The borders whose two sides differ, with their p; the weakest goes first, for its sides are then one level.

    `x` is clipped, `raw` is not: where values lie at two levels by turns, clipping makes levels of what came a few times in a row.
    """
    while borders:
        carry = _autocorrelation(x, borders)
        edges = [0, *borders, len(x)]
        sides = list(zip(edges, edges[1:], edges[2:], strict=False))
        ps = [max(_welch(x[a:b], x[b:c], carry), _ranked(raw[a:b], raw[b:c])) for a, b, c in sides]
        weakest = max(range(len(ps)), key=ps.__getitem__)
        if ps[weakest] <= p_max:
            return borders, ps
        borders = borders[:weakest] + borders[weakest + 1 :]
    return [], []


def _autocorrelation(x: Array, borders: list[int]) -> float:
    """How much of a value's distance from its level the next one repeats, 0 to 1: noise with a memory looks like changes."""
    import numpy as np

    rest = np.concatenate([part - part.mean() for part in np.split(x, borders)])
    power = float(np.dot(rest, rest))
    if power <= 0 or len(rest) < 4 * MIN_SIZE:
        return 0.0
    # a mean taken from the values themselves makes neighbours look opposed, by about one over the length of a level
    found = float(np.dot(rest[1:], rest[:-1])) / power + (len(borders) + 1) / len(rest)
    # what chance alone gives is no memory
    return min(_CARRY, found) if found > 2.0 / math.sqrt(len(rest)) else 0.0


def _welch(a: Array, b: Array, carry: float) -> float:
    """p of equal means, two-sided; with a memory each value counts for less."""
    share = (1.0 - carry) / (1.0 + carry)
    n, m = max(2.0, len(a) * share), max(2.0, len(b) * share)
    distance = abs(float(a.mean()) - float(b.mean()))
    if distance <= 0:
        return 1.0
    # a level that never moved is known to a thousandth of the step, not better
    floor = (1e-3 * distance) ** 2
    u, v = (max(_variance(part), floor) / size for part, size in ((a, n), (b, m)))
    freedom = (u + v) ** 2 / (u * u / (n - 1.0) + v * v / (m - 1.0))
    return _student(distance / math.sqrt(u + v), freedom)


def _ranked(a: Array, b: Array) -> float:
    """p of the Mann-Whitney test, two-sided, ties corrected; 0 where no value of one side lies among the other's: few cannot say more."""
    import numpy as np

    if a.max() < b.min() or b.max() < a.min():
        return 0.0
    n, m, ordered = len(a), len(b), np.sort(b)
    wins = float((np.searchsorted(ordered, a, "left") + np.searchsorted(ordered, a, "right")).sum()) / 2.0
    _, ties = np.unique(np.concatenate([a, b]), return_counts=True)
    total = n + m
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (total * (total - 1))
    variance = n * m / 12.0 * (total + 1 - tied)
    return math.erfc(abs(wins - n * m / 2.0) / math.sqrt(2.0 * variance)) if variance > 0 else 1.0


def _variance(part: Array) -> float:
    return float(part.var(ddof=1)) if len(part) > 1 else 0.0


def _student(t: float, freedom: float) -> float:
    """P(|T| > t) of Student's distribution, through the incomplete beta function."""
    return _beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if not 0.0 < x < 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, 1.0 - x)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)) / a
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for k in range(1, 300):
        even = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        odd = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        for term in (even, odd):
            d, c = 1.0 / _away(1.0 + term * d), _away(1.0 + term / c)
            value *= d * c
        if abs(d * c - 1.0) < 1e-12:
            break
    return min(1.0, front * value)


def _away(x: float) -> float:
    """`x`, kept off 0, by which the fraction would divide."""
    return x if abs(x) > 1e-300 else 1e-300
