"""Many columns of a picture at once: row after row, each as the one above it and only what changes written anew.

Equal, pixel for pixel, to the same columns painted by `strip_paint` one by one.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from cockpit.domain.series import Indices, Values

_BITS = 5  # of a change's key, for the number of its curve
_CALM = 16  # so many rows that are alike are worth being looked for


class Grounds(Struct, frozen=True):
    """A column without any curve, one value for each pixel from the top.

    `plain` is all of it, `dotted` the same with the edges of the band, `base` without what is but a line: rows of the same base have
    the same ground.
    """

    plain: Values
    dotted: Values
    base: Values


class Spans(Struct, frozen=True):
    """What each curve covers in each column, shape (columns, curves): whole pixels from `starts` to before `ends`, nothing where equal.

    Where `soft`, the pixel above and the one at the end are covered by shares.
    """

    starts: Values
    ends: Values
    soft: Values
    above: Values
    below: Values

    def part(self, piece: slice) -> Spans:
        """Some of the columns."""
        return Spans(self.starts[piece], self.ends[piece], self.soft[piece], self.above[piece], self.below[piece])


class Rows:
    """Paints columns from the top down, in bands of rows that follow each other; on columns that are `solid` the band has edges.

    Later curves lie over earlier ones. No curve may have a colour of the bare ground.
    """

    def __init__(self, spans: Spans, colours: Values, grounds: Grounds, solid: Values) -> None:
        self._grounds, self._solid = grounds, solid
        base, height = grounds.base, len(grounds.base)
        bounds, self._where, self._shades = _changes(spans, colours, base)
        self._bounds = bounds.tolist()
        turns = np.flatnonzero(base[1:] != base[:-1]) + 1
        self._turns = frozenset(turns.tolist())
        changed = bounds[1:] > bounds[:-1]
        changed[turns] = True
        self._stops = np.flatnonzero(changed).tolist()
        self._lines = np.flatnonzero((grounds.plain != base) | (grounds.dotted != base)).tolist()
        self._soft = soft_pixels(spans, colours)
        self._above = np.full(len(solid), base[0])
        busy = changed
        busy[self._lines] = True
        for soft in self._soft:
            busy[soft.rows[(soft.rows >= 0) & (soft.rows < height)]] = True
        self.calm = _runs(~busy)  # where every row is as the one above, first and last

    def single(self) -> int | None:
        """The colour of the row painted last where it has but one: the calm rows that follow have it too."""
        colour = self._above[0]
        return int(colour) if (self._above == colour).all() else None

    def paint(self, pixels: Values, first: int) -> None:
        """Paint as many rows as `pixels` has, the first of which is `first`: the one after those painted before."""
        above, row, last = self._above, first, first + len(pixels)
        where, shades, bounds, base = self._where, self._shades, self._bounds, self._grounds.base
        for stop in self._stops[bisect_left(self._stops, first) : bisect_left(self._stops, last)]:
            if stop > row:
                # nothing changes down to here
                pixels[row - first : stop - first] = above
            line = pixels[stop - first]
            line[:] = above
            if stop in self._turns:
                np.copyto(line, base[stop], where=line == base[stop - 1])
            a, b = bounds[stop], bounds[stop + 1]
            if b > a:
                line[where[a:b]] = shades[a:b]
            above, row = line, stop + 1
        pixels[row - first :] = above
        self._above = above.copy()
        for number in self._lines[bisect_left(self._lines, first) : bisect_left(self._lines, last)]:
            self._underline(pixels[number - first], number)
        for soft in self._soft:
            blend(pixels, *soft.between(first, last))

    def _underline(self, line: Values, row: int) -> None:
        """Put a line of the ground behind the curves of a row."""
        grounds = self._grounds
        free = line == grounds.base[row]
        np.copyto(line, grounds.plain[row], where=free)
        if grounds.dotted[row] != grounds.plain[row]:
            np.copyto(line, grounds.dotted[row], where=free & self._solid)


class Soft(Struct, frozen=True):
    """Pixels that are covered by shares, from the top down."""

    rows: Indices
    columns: Indices
    colours: Values
    shares: Values

    def between(self, first: int, last: int) -> tuple[Indices, Indices, Values, Values]:
        """Those in some rows, counted from the first of them: for `blend`."""
        a, b = np.searchsorted(self.rows, (first, last))
        return self.rows[a:b] - first, self.columns[a:b], self.colours[a:b], self.shares[a:b]


def soft_pixels(spans: Spans, colours: Values) -> tuple[Soft, ...]:
    """The pixels above what curves cover whole, then those below, each in the order of the curves where they meet."""
    columns, curves = np.nonzero(spans.soft)
    if not len(columns):
        return ()
    above, below, inks = spans.above[spans.soft], spans.below[spans.soft], colours[curves]
    first, last = np.floor(above), np.floor(below)
    answer = []
    for rows, shares in ((first, first + 1.0 - above), (last, below - last)):
        order = np.argsort(rows.astype(np.int16), kind="stable")
        answer.append(Soft(rows[order].astype(np.int64), columns[order], inks[order], shares[order]))
    return tuple(answer)


def _changes(spans: Spans, colours: Values, base: Values) -> tuple[Indices, Indices, Values]:
    """Where a column's colour becomes another on the way down, in the order of rows: where each row begins, columns, colours."""
    height, (columns, curves) = len(base), spans.starts.shape
    keys = np.empty((columns, 2 * curves), dtype=np.int32)
    number = np.arange(curves, dtype=np.int32)
    keys[:, :curves] = (np.clip(spans.starts, 0, height) << _BITS) | number
    keys[:, curves:] = (np.clip(spans.ends, 0, height) << _BITS) | number
    keys.sort(axis=1)
    rows = keys >> _BITS
    # a curve begins where its bit comes and ends where it goes; the highest bit is the curve on top
    inside = np.bitwise_xor.accumulate(np.left_shift(np.uint32(1), (keys & ((1 << _BITS) - 1)).astype(np.uint32)), axis=1)
    shades = _on_top(colours).take(inside)
    # sorting numbers that hold their places is several times faster than sorting places
    kind: Any = np.uint32 if rows.size < 1 << 18 else np.uint64
    bits = 18 if kind is np.uint32 else 40
    joined: Values = (rows.astype(kind) << kind(bits)) | np.arange(rows.size, dtype=kind).reshape(rows.shape)
    # of several changes at one place the last one tells
    joined[:, :-1][rows[:, 1:] == rows[:, :-1]] = np.iinfo(kind).max
    joined = joined.ravel()
    joined.sort()
    bounds: Indices = np.searchsorted(joined, np.arange(height + 1).astype(kind) << kind(bits))
    joined = joined[: bounds[-1]]
    places: Values = joined & kind((1 << bits) - 1)
    chosen = shades.ravel().take(places)
    ground = np.flatnonzero(chosen == 0)
    chosen[ground] = base[joined[ground] >> kind(bits)]
    return bounds, (places // kind(2 * curves)).astype(np.int64), chosen


def _runs(wanted: Values) -> list[tuple[int, int]]:
    """Where many in a row are wanted: first, and the one after the last."""
    edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False)).reshape(-1, 2)
    return [(int(first), int(last)) for first, last in edges if last - first >= _CALM]


def _on_top(colours: Values) -> Values:
    """The colour for each set of curves, as bits."""
    table = np.zeros(1 << len(colours), dtype=np.uint32)
    for number, colour in enumerate(colours):
        table[1 << number : 2 << number] = colour
    return table


def blend(pixels: Values, rows: Indices, columns: Indices, colours: Values, shares: Values) -> None:
    """Cover pixels by a share: the ends of what curves cover, whose heights are no whole pixels. Rows outside are left out."""
    inside = (rows >= 0) & (rows < len(pixels))
    at = (rows[inside], columns[inside])
    share = (shares[inside] * 256).astype(np.uint32)
    under, over = pixels[at], colours[inside]
    mixed = np.zeros_like(under)
    for part in (np.uint32(0xFF00FF), np.uint32(0x00FF00)):
        mixed |= (((under & part) * (256 - share) + (over & part) * share) >> np.uint32(8)) & part
    pixels[at] = mixed | np.uint32(0xFF000000)
