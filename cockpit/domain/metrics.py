"""Latency from cumulative histograms: deltas, quantiles, and the band a baseline spans."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace


class Histogram(Struct, frozen=True, gc=False):
    """A cumulative histogram at one moment: upper bounds in seconds (last one inf) and counts up to each; errors and sum beside it."""

    bounds_s: tuple[float, ...]
    counts: tuple[float, ...]
    sum_s: float = 0.0
    errors: float = 0.0

    @property
    def total(self) -> float:
        return self.counts[-1] if self.counts else 0.0


class Reading(Struct, frozen=True, gc=False):
    """One scrape of one node: a cumulative histogram for each operation. A restarted process starts again at zero.

    `volatility`: how wild the market was, in whatever measure; NaN where the node does not tell. `violations`: of each invariant that the
    node checks by itself, how often it did not hold, cumulative. `absent`: of these two, by their names here, the metrics that
    the settings name and that the node does not have.
    """

    node: str
    service: str
    environment: str
    at_us: int
    operations: dict[str, Histogram]
    volatility: float = math.nan
    violations: dict[str, float] = {}
    absent: dict[str, str] = {}


class LatencyPoint(Struct, frozen=True, gc=False):
    """What was seen between two scrapes; None where too little was seen to say."""

    at_us: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    rate_per_s: float
    error_ratio: float | None
    count: float


class Band(Struct, frozen=True, gc=False):
    """The range a quantile kept in the baseline's time: `low_ms` to `high_ms` from `points` points of `version`."""

    low_ms: float
    high_ms: float
    points: int
    version: str = ""


def delta(before: Histogram, after: Histogram) -> Histogram | None:
    """What came between two readings; a counter that fell back means a restart, then `after` itself is the difference.

    None when the buckets differ: the two cannot be compared.
    """
    if before.bounds_s != after.bounds_s:
        return None
    if after.total < before.total or after.errors < before.errors:
        return after
    counts = tuple(max(0.0, b - a) for a, b in zip(before.counts, after.counts, strict=True))
    return Histogram(after.bounds_s, counts, max(0.0, after.sum_s - before.sum_s), after.errors - before.errors)


def merge(parts: Sequence[Histogram]) -> Histogram | None:
    """Sum of histograms with equal buckets; None for none or for buckets that differ."""
    if not parts or any(p.bounds_s != parts[0].bounds_s for p in parts):
        return None
    counts = tuple(sum(column) for column in zip(*(p.counts for p in parts), strict=True))
    return Histogram(parts[0].bounds_s, counts, sum(p.sum_s for p in parts), sum(p.errors for p in parts))


def quantile_s(histogram: Histogram, q: float) -> float | None:
    """The q-quantile in seconds, by linear interpolation within its bucket (as PromQL's histogram_quantile does).

    None without observations. In the last, open bucket the lower bound is answered: the truth is at least that.
    """
    total = histogram.total
    if total <= 0 or not math.isfinite(total):
        return None
    rank = q * total
    lower, below = 0.0, 0.0
    for bound, upto in zip(histogram.bounds_s, histogram.counts, strict=True):
        if upto >= rank and upto > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (upto - below)
        lower, below = bound, max(below, upto)
    return lower


def slowed(histogram: Histogram, factor: float) -> Histogram:
    """What the same requests would have left in the same buckets, had each taken `factor` (at least 1) times as long.

    Within a bucket they are taken to lie evenly, as `quantile_s` does.
    """
    bounds, counts = (0.0, *histogram.bounds_s), (0.0, *histogram.counts)
    found, at = [], 1
    for bound in histogram.bounds_s:
        before = bound / factor
        while bounds[at] < before:
            at += 1
        low, high = bounds[at - 1], bounds[at]
        # the open bucket has no end: all of it stays there
        share = (before - low) / (high - low) if low < high < math.inf else 0.0
        found.append(counts[at] if math.isinf(bound) else counts[at - 1] + share * (counts[at] - counts[at - 1]))
    return replace(histogram, counts=tuple(found), sum_s=histogram.sum_s * factor)


MIN_COUNT = {0.5: 1, 0.9: 10, 0.99: 20, 0.999: 200}  # fewer observations say nothing about that quantile


def point(histogram: Histogram, seconds: float, at_us: int) -> LatencyPoint:
    """Quantiles, rate and error ratio of one interval of `seconds`."""
    total = histogram.total

    def ms(q: float) -> float | None:
        value = quantile_s(histogram, q) if total >= MIN_COUNT[q] else None
        return None if value is None else value * 1e3

    return LatencyPoint(
        at_us=at_us,
        p50_ms=ms(0.5),
        p90_ms=ms(0.9),
        p99_ms=ms(0.99),
        p999_ms=ms(0.999),
        rate_per_s=total / seconds if seconds > 0 else 0.0,
        error_ratio=histogram.errors / total if total > 0 else None,
        count=total,
    )


MIN_BAND_POINTS = 10


def band(values_ms: Sequence[float | None], version: str = "") -> Band | None:
    """From half the 5th percentile to twice the 95th: beyond that a quantile is not ordinary.

    A p99 of a few hundred requests wobbles by half of itself; the margin keeps that inside. None below ten points.
    """
    known = sorted(v for v in values_ms if v is not None and math.isfinite(v))
    if len(known) < MIN_BAND_POINTS:
        return None
    low = known[int(0.05 * (len(known) - 1))]
    high = known[math.ceil(0.95 * (len(known) - 1))]
    return Band(low_ms=low * 0.5, high_ms=high * 2.0, points=len(known), version=version)


def outside(band: Band | None, recent_ms: Sequence[float | None], share: float = 0.75) -> bool | None:
    """Whether at least `share` of the recent values lie above the band; None when that cannot be said."""
    known = [v for v in recent_ms if v is not None]
    if band is None or len(known) < 3:
        return None
    return sum(v > band.high_ms for v in known) >= share * len(known)
