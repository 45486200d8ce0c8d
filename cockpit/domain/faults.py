"""A few samples after a fault against a fault-free series: rank evidence, calibrated on the fault-free windows of the same length.

Five samples are too few for anything that grows. Each sample after the fault is compared with what was to be expected there, twice: from
the level of the samples just before it, and from the whole series with the autocorrelation measured on it. How seldom the fault-free
series strays so far upwards is its rank; the logarithms of all ranks are added up (Fisher), and the sum is ranked among those of the
fault-free windows. Ranks alone decide: no scale, no distribution and no independence of the samples is assumed, and by construction the
share of fault-free windows that alarm is the one that was asked for (conformal prediction). A fault-free window is always judged by the
windows that share no sample with it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

Window = tuple[float, ...]
DOWN_IS_BAD = ("availab", "success", "uptime", "healthy", "throughput", "hit")  # names of metrics of which less is worse
LEAST_WINDOWS = 40


class Shape(Struct, frozen=True):
    """How many samples of a window come before the fault and how many after."""

    before: int
    after: int

    @property
    def length(self) -> int:
        return self.before + self.after


class Turn(Struct, frozen=True):
    """How a metric is read so that more is worse: turned round, or on a logarithmic scale."""

    down: bool
    logarithmic: bool

    def __call__(self, value: float) -> float:
        if self.down or not self.logarithmic:
            return -value if self.down else value
        # nothing is done in no time: nothing was measured
        return math.log(value) if value > 0 else math.nan


def turn(metric: str, fault_free: Sequence[float]) -> Turn:
    """By the metric's name and whether the fault-free series is above zero throughout."""
    return Turn(any(word in metric.lower() for word in DOWN_IS_BAD), all(v > 0 for v in fault_free if math.isfinite(v)))


def windows(series: Sequence[float], shape: Shape) -> list[tuple[int, Window]]:
    """All windows of that length without a missing sample, with the index they begin at."""
    n = shape.length
    found = [(i, tuple(series[i : i + n])) for i in range(len(series) - n + 1)]
    return [(i, w) for i, w in found if all(math.isfinite(v) for v in w)]


class _Ranks:
    """Values of fault-free windows in order: how seldom one is as high, among windows that share no sample with a given one."""

    def __init__(self, shape: Shape, groups: Sequence[tuple[int, Sequence[float]]]) -> None:
        self._length = shape.length
        self._at = dict(groups)
        self._sorted = sorted(v for _, values in groups for v in values)

    def share(self, value: float, start: int | None) -> float:
        """The share of values at least as high, itself among them; `start`: where the window begins that is judged, None for a new one."""
        return self.shares((value,), start)[0]

    def shares(self, values: Sequence[float], start: int | None) -> list[float]:
        """The same for several values of one window."""
        near = range(start - self._length + 1, start + self._length) if start is not None else ()
        left_out = sorted(v for neighbour in near for v in self._at.get(neighbour, ()))
        count = len(self._sorted) - len(left_out)
        return [(count - bisect_left(self._sorted, v) + bisect_left(left_out, v) + 1) / (count + 1) for v in values]


class _View:
    """One expectation of what follows the first samples of a window, and how seldom what came was so far above it."""

    def __init__(self, shape: Shape, calm: Sequence[tuple[int, Window]], weight: float, level: float) -> None:
        self._shape, self._weight, self._level = shape, weight, level
        residuals = [(i, self._residuals(w)) for i, w in calm]
        self._samples = _Ranks(shape, residuals)

    def surprise(self, window: Window, start: int | None) -> float:
        """Minus the logarithms of the ranks of the samples after the fault, averaged."""
        residuals = self._residuals(window)
        return -sum(math.log(share) for share in self._samples.shares(residuals, start)) / len(residuals)

    def _residuals(self, window: Window) -> Window:
        before = window[: self._shape.before]
        expected = self._weight * (sum(before) / len(before) - self._level) if before else 0.0
        return tuple(v - expected for v in window[self._shape.before :])


class Calibrated:
    """The judge of windows of one shape on one series, made from the fault-free series (oriented: more is worse)."""

    def __init__(self, series: Sequence[float], shape: Shape) -> None:
        calm = windows(series, shape)
        self.starts = [i for i, _ in calm]
        level = median([v for v in series if math.isfinite(v)]) if calm else 0.0
        weights = {1.0, slope(calm, shape)} if shape.before else {0.0}
        self._views = [_View(shape, calm, weight, level) for weight in sorted(weights)]
        summed = [(i, (sum(view.surprise(w, i) for view in self._views),)) for i, w in calm]
        self._sums = _Ranks(shape, summed)
        self.calm = {i: self._sums.share(values[0], i) for i, values in summed}

    def share(self, window: Window) -> float:
        """The share of fault-free windows that look as bad as this new one: its p-value."""
        return self._sums.share(sum(view.surprise(window, None) for view in self._views), None)


def slope(calm: Sequence[tuple[int, Window]], shape: Shape) -> float:
    """How much of a deviation from the level is still there afterwards, on the fault-free series; 0 to 1. Outliers are drawn in."""
    before = _tame([sum(w[: shape.before]) / shape.before for _, w in calm])
    after = _tame([sum(w[shape.before :]) / shape.after for _, w in calm])
    square = sum(b * b for b in before)
    found = sum(a * b for a, b in zip(after, before, strict=True)) / square if square > 0 else 0.0
    return min(1.0, max(0.0, found))


def _tame(values: Sequence[float]) -> list[float]:
    """Around their median, none farther than three robust standard deviations."""
    middle = median(values)
    limit = 3 * 1.4826 * median([abs(v - middle) for v in values])
    return [max(-limit, min(limit, v - middle)) for v in values]


# -- faults of a folder, beside two rules that others use -------------------------------------------------------------------------


class Fault(Struct, frozen=True):
    """An injected fault: the series that it is to be seen in, and what that series was around it. NaN where a sample is missing.

    `why` it could not be read; "" where it was.
    """

    name: str
    node: str
    metric: str
    statistic: str
    before: Window
    after: Window
    why: str = ""

    @property
    def series(self) -> tuple[str, str, str]:
        return self.node, self.metric, self.statistic


class Found(Struct, frozen=True):
    """What each rule says of one fault: the share of fault-free windows that look as bad; None where it could not be judged, and `why`."""

    fault: Fault
    judge: float | None
    mann_whitney: float | None
    percentile: float | None
    change: float | None  # after to before, a ratio; None where that cannot be said
    why: str = ""


class Judged(Struct, frozen=True):
    """The faults of a folder, and how each rule ranks the fault-free windows, by rule: `judge`, `mann_whitney`, `percentile`."""

    found: tuple[Found, ...]
    calm: dict[str, tuple[float, ...]]

    def share_found(self, rule: str, rate: float) -> tuple[int, int]:
        """How many faults a rule finds when that share of fault-free windows may alarm, and of how many."""
        values = [getattr(f, rule) for f in self.found]
        return sum(v is not None and v <= rate for v in values), len(values)

    def false_alarms(self, rule: str, rate: float) -> float:
        """The share of fault-free windows that alarm then."""
        return sum(v <= rate for v in self.calm[rule]) / len(self.calm[rule])


RULES = ("judge", "mann_whitney", "percentile")


class _Rules:
    """All rules on one series and shape of window, each with its own ranks among the same fault-free windows."""

    def __init__(self, series: Sequence[float], shape: Shape) -> None:
        self.judge = Calibrated(series, shape)
        self._shape = shape
        self._known = sorted(v for v in series if math.isfinite(v))
        calm = [(i, tuple(series[i : i + shape.length])) for i in self.judge.starts]
        scores = {
            "mann_whitney": [(i, (self._rank_sum(w, own=True),)) for i, w in calm],
            "percentile": [(i, (w[shape.before],)) for i, w in calm],
        }
        self._ranks = {rule: _Ranks(shape, values) for rule, values in scores.items()}
        self.calm = {rule: tuple(self._ranks[rule].share(v[0], i) for i, v in values) for rule, values in scores.items()}
        self.calm["judge"] = tuple(self.judge.calm.values())

    def shares(self, window: Window) -> tuple[float, float, float]:
        """Of a new window, in the order of RULES."""
        ranks = self._ranks["mann_whitney"].share(self._rank_sum(window), None)
        return self.judge.share(window), ranks, self._ranks["percentile"].share(window[self._shape.before], None)

    def _rank_sum(self, window: Window, *, own: bool = False) -> float:
        """The U of a one-sided Mann-Whitney test against the whole series, as a share of its pairs; ties count half.

        `own`: the window's samples are of the series, and are not compared with themselves.
        """
        after = window[self._shape.before :]
        higher = sum((bisect_left(self._known, v) + bisect_right(self._known, v)) / 2 for v in after)
        left_out = len(after) if own else 0
        return (higher - left_out * left_out / 2) / ((len(self._known) - left_out) * len(after))


def judge_faults(fault_free: Mapping[tuple[str, str, str], Sequence[float]], faults: Sequence[Fault]) -> Judged:
    """Judge each fault against the fault-free series of the same name. ValueError, with words, where that is too short for all of them.

    A fault that cannot be judged counts as one that no rule finds.
    """
    rules: dict[tuple[tuple[str, str, str], Shape], _Rules] = {}
    calm: dict[str, list[float]] = {rule: [] for rule in RULES}
    found = []
    for fault in faults:
        if fault.why:
            found.append(Found(fault, None, None, None, None, fault.why))
            continue
        known = fault_free[fault.series]
        turned = turn(fault.metric, known)
        before, after = ([v for v in map(turned, values) if math.isfinite(v)] for values in (fault.before, fault.after))
        if not after:
            found.append(Found(fault, None, None, None, None, "no sample after the fault"))
            continue
        shape = Shape(len(before), len(after))
        if (fault.series, shape) not in rules:
            series = [turned(v) for v in known]
            if len(windows(series, shape)) < LEAST_WINDOWS:
                why = f"{' / '.join(fault.series)} has fewer than {LEAST_WINDOWS} fault-free windows of {shape.length} samples"
                found.append(Found(fault, None, None, None, _change(fault), why))
                continue
            rules[fault.series, shape] = _Rules(series, shape)
            for rule, values in rules[fault.series, shape].calm.items():
                calm[rule] += values
        found.append(Found(fault, *rules[fault.series, shape].shares((*before, *after)), _change(fault)))
    if not rules:
        raise ValueError(next((f.why for f in found), "there is no fault to judge"))
    return Judged(tuple(found), {rule: tuple(values) for rule, values in calm.items()})


def _change(fault: Fault) -> float | None:
    before, after = ([v for v in values if math.isfinite(v)] for values in (fault.before, fault.after))
    return median(after) / median(before) if before and after and median(before) > 0 else None
