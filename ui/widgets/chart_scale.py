"""The vertical axis of a time chart: from zero, or logarithmic. numpy is imported on first use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ui.widgets.chart_math import round_top, value_ticks

if TYPE_CHECKING:
    from ui.widgets.chart_math import Floats

MOST_DECADES = 5  # of a logarithmic axis: what is smaller lies on its lower edge
_STEPS = (5.0, 2.0, 1.0)


class Scale:
    """Positions are what the plot draws: the value itself, or its logarithm."""

    def __init__(self) -> None:
        self.log = False
        self.top, self.low = 0.0, 0.0

    def fit(self, greatest: float, least: float) -> bool:
        """Take limits around what is seen (`least` is the smallest above zero); answers whether they are others."""
        before = (self.top, self.low)
        self.top = round_top(greatest, self.top)
        self.low = round_low(least, self.top) if self.log else 0.0
        return (self.top, self.low) != before

    def set_log(self, on: bool) -> None:
        """Change the kind of axis; `fit` then says that the limits are others."""
        self.log, self.top, self.low = on, 0.0, 0.0

    def place(self, values: Floats) -> Floats:
        """Positions of values; what a logarithm does not know lies on the lower edge."""
        import numpy as np

        return np.log10(np.maximum(values, self.low or 1e-12)) if self.log else values

    def place_of(self, value: float) -> float:
        """The position of one value."""
        return math.log10(max(value, self.low or 1e-12)) if self.log else value

    def value_of(self, place: float) -> float:
        """The value at a position, without the noise of its logarithm."""
        return float(f"{10.0**place:.6g}") if self.log else place

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest position."""
        return self.place_of(self.low), self.place_of(self.top or 1.0)

    def share(self, value: float) -> float:
        """How high a value lies: 0 at the lower edge, 1 at the top."""
        low, high = self.limits
        return (self.place_of(value) - low) / max(1e-12, high - low)

    def ticks(self, pixels: int) -> list[float]:
        """Round positions, at least 28 pixels apart."""
        if not self.log:
            return value_ticks(self.top or 1.0, pixels)
        low, high = self.limits
        decades = range(math.floor(low), math.ceil(high) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            found = [math.log10(f) + d for d in decades for f in factors if low - 1e-9 <= math.log10(f) + d <= high + 1e-9]
            if len(factors) * 28 <= pixels / max(1e-9, high - low):
                break
        return found


def round_low(least: float, top: float) -> float:
    """A round lower limit of a logarithmic axis: below the least value, at least one decade and at most five below the top."""
    least = least if math.isfinite(least) and least > 0 else top / 10
    wanted = min(max(least, top / 10**MOST_DECADES), top / 10)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in _STEPS if step * power <= wanted * (1 + 1e-9))
