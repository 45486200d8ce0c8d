"""What a time chart shows, kept in a ring: data that only continues what was known is appended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ui.widgets.chart_math import GAP_FACTOR, seconds_of

if TYPE_CHECKING:
    from cockpit.domain.series import Floats, Series, Values

SPARE = 4096  # samples that can come before the oldest leave
MANY = 50
_TAIL = 20  # the newest value of a curve is looked for in so many samples


class ChartData:
    """The samples of some curves: given whole by `put`, or a ring that someone else fills by `watch`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self.series: Series | None = None
        self._given: tuple[Floats, Values] | None = None

    def watch(self, series: Series) -> None:
        """Show a ring whose columns are the curves in their order."""
        if series.columns != len(self._names):
            raise ValueError(f"{series.columns} columns for {len(self._names)} curves")
        self.series, self._given = series, None

    def put(self, at_us: Sequence[float], values: Mapping[str, Sequence[float]]) -> bool:
        """Take in all that is to be shown (microseconds UTC); answers whether it only continued what was known."""
        at = seconds_of(at_us)
        table = np.full((len(self._names), len(at)), np.nan)
        for number, name in enumerate(self._names):
            if name in values:
                table[number] = np.asarray(values[name], dtype=np.float64)
        new = self._continues(at, table)
        self._given = (at, table)
        series = self.series
        # one by one is dear: many at once are a ring of their own
        if new is None or series is None or len(at) - new > MANY or len(series) + 2 * (len(at) - new) > series.capacity:
            self.series = _ring(at, table)
            return False
        for i in range(new, len(at)):
            usual = float(np.median(np.diff(at[max(0, i - 9) : i]))) if i > 2 else math.inf
            if at[i] - at[i - 1] > GAP_FACTOR * max(usual, 1e-3):
                series.append((at[i - 1] + at[i]) / 2, [math.nan] * len(self._names))
            series.append(at[i], table[:, i])
        return True

    def _continues(self, at: Floats, table: Values) -> int | None:
        """The number of the first sample that is new; None where the others are not those of before."""
        if self._given is None or not len(self._given[0]) or not len(at):
            return None
        before, rows = self._given
        start = int(np.searchsorted(before, at[0]))
        new = int(np.searchsorted(at, before[-1], side="right"))
        if len(before) - start != new or not new:
            return None
        same = np.array_equal(before[start:], at[:new]) and np.array_equal(rows[:, start:], table[:, :new], equal_nan=True)
        return new if same else None

    def extremes(self, start_s: float, end_s: float, positive: bool) -> tuple[float, float]:
        """Least and greatest value in a window; the least above zero where `positive`. Infinity and 0 where nothing is known."""
        if self.series is None:
            return math.inf, 0.0
        low, high = self.series.between(np.array([start_s, np.nextafter(end_s, np.inf)]))
        least = float(np.fmin.reduce(low, axis=None))
        greatest = float(np.fmax.reduce(high, axis=None))
        if positive and least <= 0:
            every = np.concatenate(self.series.between(np.linspace(start_s, end_s, 500)))
            least = float(np.min(every[every > 0], initial=np.inf))
        return (least, greatest) if math.isfinite(greatest) else (math.inf, 0.0)

    def newest(self, upto_s: float) -> dict[str, float]:
        """Each curve's newest value up to a time, where there is one."""
        answer: dict[str, float] = {}
        if self.series is not None:
            for name, row in zip(self._names, self.series.before(upto_s, _TAIL)[1].tolist(), strict=True):
                known = [v for v in row if v == v]
                if known:
                    answer[name] = known[-1]
        return answer

    def at(self, at_s: float, within_s: float) -> dict[str, float | None]:
        """Each curve's value closest to a time; None where there is none within reach."""
        if self.series is None:
            return dict.fromkeys(self._names)
        return {n: v if v == v else None for n, v in zip(self._names, self.series.nearest(at_s, within_s), strict=True)}

    @property
    def last_s(self) -> float | None:
        """The time of the newest sample."""
        return self.series.last_s if self.series is not None and self.series.end else None


def _ring(at: Floats, table: Values) -> Series:
    """A ring with these samples, and a NaN in every stretch without any, so that no line is drawn over what nobody measured."""
    from cockpit.domain.series import Series

    series = Series(2 * len(at) + SPARE, len(table), "f8")
    if len(at) > 2:
        steps = np.diff(at)
        holes = np.flatnonzero(steps > GAP_FACTOR * np.maximum(_usual(steps), 1e-3))
        at, table = np.insert(at, holes + 1, at[holes] + steps[holes] / 2), np.insert(table, holes + 1, np.nan, axis=1)
    series.extend(at, table)
    return series


def _usual(steps: Floats) -> Floats:
    """The upper quartile of nine neighbouring distances: history is coarser than memory, and a hole is not usual."""
    reach = min(9, len(steps))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(steps, (reach // 2, reach - 1 - reach // 2), mode="edge"), reach)
    return np.sort(around, axis=1)[:, (3 * reach) // 4 - (reach < 4)]
