"""A heat map of latency over time: every sample counts, in columns that are painted once and then scroll.

Each column is shaded by the share of its own samples, so that a quiet hour is as readable as a busy one; one sample among thousands is
never darker than the faintest shade that can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QColor

from ui.theme import Theme, blend
from ui.widgets.strip_paint import StripPicture, Stroke, dotted

if TYPE_CHECKING:
    from cockpit.domain.heat import Heat
    from cockpit.domain.series import Indices, Values

FAINTEST = 0.3
_SHADES = 256


def heat_strokes(theme: Theme) -> tuple[Stroke, ...]:
    """The colours of few, many and most samples."""
    return (Stroke(blend(theme.surface, theme.accent, FAINTEST)), Stroke(theme.accent), Stroke(theme.text))


def limits_ms(bounds_s: Sequence[float]) -> tuple[float, float]:
    """The vertical axis of a histogram's buckets: half of the lowest bound to twice the highest that is finite."""
    known = [b for b in bounds_s if 0 < b < math.inf] or [0.001]
    return known[0] * 500, known[-1] * 2000


class HeatPicture(StripPicture):
    """A StripPicture of a Heat: its look's strokes are the colours of few, many and most samples. The band has its edges alone."""

    _seen: tuple[Heat, int] | None = None  # which heat was painted, and as of which revision

    def _stale(self, before: int, end: int) -> list[tuple[int, int]]:
        heat, look = self._series, self._look
        if heat is None or look is None or (self._seen is not None and self._seen[0] is heat and self._seen[1] == heat.revision):
            return super()._stale(before, end)
        self._seen = (heat, heat.revision)
        return [(end - look.width, end)]

    def _by_rows(self) -> bool:
        return False

    def _paint_columns(self, lying: Values, columns: Indices) -> None:
        look = self._look
        heat: Heat | None = self._series
        if look is None:
            return
        lying[:] = look.ground.rgb()
        if heat is None or not heat.end:
            return
        counts = heat.spread(np.arange(columns[0], columns[-1] + 2, dtype=np.float64) * look.step_s)
        most = counts.max(axis=1, keepdims=True)
        share = np.sqrt(counts / np.maximum(most, 1.0))
        shade = np.where(counts > 0, 1 + np.rint(share * (_SHADES - 2)), 0).astype(np.int64)
        inks = tuple(stroke.colour.rgb() for stroke in look.strokes if stroke is not None)
        buckets = _buckets(look.low, look.high, look.height, heat.bounds_s)
        _shades(look.ground.rgb(), inks)[shade].take(buckets, axis=1, out=lying, mode="clip")
        if look.edge_colour is not None:
            solid = dotted(columns)
            for row in (round(float(look.y_of(place))) for place in look.band or ()):
                if 0 <= row < look.height:
                    lying[solid, row] = look.edge_colour.rgb()


@lru_cache(maxsize=16)
def _buckets(low: float, high: float, height: int, bounds_s: tuple[float, ...]) -> Indices:
    """The bucket in which each pixel of the axis lies, from the top."""
    places = high - (np.arange(height) + 0.5) * (high - low) / height
    finite = np.array([b for b in bounds_s if b < math.inf]) * 1e3
    answer: Indices = np.minimum(np.searchsorted(finite, 10.0**places), len(bounds_s) - 1)
    return answer


@lru_cache(maxsize=16)
def _shades(ground: int, inks: tuple[int, ...]) -> Values:
    """The colours from none to most samples; made once for each theme, for blending costs more than a frame."""
    few, many, most = (QColor.fromRgb(ink) for ink in inks)
    half = (_SHADES - 1) * 2 // 3
    shades = [blend(few, many, i / half) for i in range(half)]
    rest = _SHADES - 1 - half
    shades += [blend(many, most, (i + 1) / rest) for i in range(rest)]
    answer: Values = np.array([ground, *(c.rgb() for c in shades)], dtype=np.uint32)
    return answer
