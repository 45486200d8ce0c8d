"""The picture of many curves over time, in columns of one pixel: while time goes on, only what is new is painted.

Column k covers the time from k x step to (k+1) x step and is painted from the samples alone, so a picture that was painted piece by
piece equals one painted at once. It is kept in a ring: nothing is moved when it scrolls.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QPointF, QRect, QRectF
from PySide6.QtGui import QColor, QImage, QPainter, QRegion

from ui.widgets.strip_rows import Grounds, Rows, Spans, blend, soft_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cockpit.domain.series import Indices, Values

SMOOTH = 16  # with more curves than so many their edges are whole pixels: nobody could tell them apart
DASH_PX = 5  # of a dashed curve: so many columns painted, so many not
LINE_PX = 1.3
TALL_PX = 16  # what is taller ends at whole pixels: among noise or beside a jump nobody sees the difference
WIDE = 100  # so many columns at once are painted row by row
_BAND = 64  # rows that are painted at a time where they go to the screen at once: as many as stay in the processor's cache
_TILE = 64  # columns that are set up at a time: as many as stay in the processor's cache


class Stroke(Struct, frozen=True):
    """How one column of the series is painted; None for one that is not."""

    colour: QColor
    dashed: bool = False


class Look(Struct, frozen=True):
    """All that a picture depends on besides its samples and its moment: another look is painted anew.

    Sizes in device pixels, `ratio` of them to a pixel on screen. Limits, ticks and the band are positions on the vertical axis.
    """

    width: int
    height: int
    step_s: float
    low: float
    high: float
    log_floor: float  # values below lie on the lower edge of a logarithmic axis; 0 is a linear one
    strokes: tuple[Stroke | None, ...]
    ground: QColor
    grid: QColor
    ticks: tuple[float, ...] = ()
    band: tuple[float, float] | None = None
    band_colour: QColor | None = None
    edge_colour: QColor | None = None
    ratio: float = 1.0

    def y_of(self, place: Any) -> Any:
        """Device pixels from the top of positions on the axis."""
        return (self.high - place) * (self.height / max(1e-12, self.high - self.low))


class StripPicture:
    """A picture in a ring of columns. `painted` counts the columns that were painted since it was made, for tests and figures."""

    def __init__(self) -> None:
        self.image = QImage()
        self.painted = 0
        self.changed: list[tuple[int, int]] = []  # the columns that the last `show` painted
        self._look: Look | None = None
        self._series: Any = None
        self._end = 0  # the column after the newest one in the picture
        self._origin = 0  # the column that was first when all was painted: the ring's first
        self._grounds: Grounds | None = None
        self._pending: tuple[Indices, Spans] | None = None  # a picture that is not in the ring yet, and what its curves cover
        self._drawn = False  # whether that one was drawn
        self._known = (0, 0, 0)  # oldest sample and newest sample when last painted, and the column that was not yet complete

    @property
    def end(self) -> int:
        """The column after the last one in the picture."""
        return self._end

    def forget(self) -> None:
        """Paint everything anew at the next `show`."""
        self._look = None

    def show(self, series: Any, look: Look, end: int) -> bool:
        """Bring the picture up to date with `end` as the column after its last one; answers whether all of it was painted."""
        width = look.width
        moved = end - self._end
        whole = look != self._look or series is not self._series or abs(moved) >= width
        if whole:
            if (self.image.width(), self.image.height()) != (width, look.height):
                self.image = QImage(width, look.height, QImage.Format.Format_RGB32)
            if self._look is None or replace(look, width=self._look.width, step_s=self._look.step_s) != self._look:
                self._grounds = None
            self._look, self._series, self._origin, self._pending = look, series, end - width, None
        before, self._end = self._end, end
        self.changed = [(end - width, end)] if whole else self._stale(before, end)
        for first, last in self.changed:
            self._paint(max(first, end - width), min(last, end))
        if series is not None:
            open_column = _column(series.last_s, look.step_s) if series.end else end - width
            self._known = (series.first, series.end, open_column)
        return whole

    def _stale(self, before: int, end: int) -> list[tuple[int, int]]:
        """The columns that have to be painted: new ones, the one that was not complete, and those whose samples left the ring."""
        series, look = self._series, self._look
        pieces = [(before, end)] if end > before else [(end - look.width, before - look.width)] if look and end < before else []
        if series is None or look is None:
            return pieces
        first, newest, column = self._known
        if series.end != newest:
            pieces = [p for p in pieces if p[0] < before] + [(min(column, before), end)]
        if series.first != first:
            pieces.append((end - look.width, _column(series.first_s, look.step_s) + 2))
        return pieces

    def _paint(self, first: int, last: int) -> None:
        """Paint columns first..last from nothing."""
        look = self._look
        if look is None or last <= first:
            return
        self._settle()
        self.painted += last - first
        ring, columns = _pixels(self.image), np.arange(first, last)
        if last - first >= WIDE and self._by_rows():
            self._pending, self._drawn = (columns, self._spans(columns)), False
            if last - first < look.width:
                self._settle()
            return
        # lying down, for memory is written along rows many times faster, and set up afterwards
        lying = np.empty((last - first, look.height), dtype=np.uint32)
        self._paint_columns(lying, columns)
        done = 0
        for x, count in self._places(columns):
            for start in range(0, count, _TILE):
                upto = min(count, start + _TILE)
                ring[:, x + start : x + upto] = lying[done + start : done + upto].T
            done += count

    def _places(self, columns: Indices) -> list[tuple[int, int]]:
        """Where in the ring columns are, as pieces that do not cross its end."""
        width = self.image.width()
        return _pieces((int(columns[0]) - self._origin) % width, len(columns), width)

    def _paint_columns(self, lying: Values, columns: Indices) -> None:
        """Paint columns of the picture as rows of pixels."""
        look, grounds = self._look, self._ground()
        if look is None:
            return
        lying[:] = grounds.plain
        lying[dotted(columns)] = grounds.dotted
        if self._series is None:
            return
        spans, colours = self._spans(columns), _colours(look)
        rows = zip(lying, spans.starts.tolist(), spans.ends.tolist(), strict=True)
        inks = colours.tolist()
        for line, starts, ends in rows:
            for start, end, ink in zip(starts, ends, inks, strict=True):
                if end > start:
                    line[start:end] = ink
        for soft in soft_pixels(spans, colours):
            blend(lying.T, soft.rows, soft.columns, soft.colours, soft.shares)

    def _by_rows(self) -> bool:
        """Whether many columns at once are painted row by row."""
        look = self._look
        # rows tell the ground from curves by its colour
        return look is not None and len(look.strokes) <= SMOOTH and not {*_colours(look).tolist()} & {*self._ground().base.tolist()}

    def _settle(self) -> None:
        """Put the picture that was not needed yet into the ring."""
        if self._pending is None or self._look is None:
            return
        (columns, spans), self._pending = self._pending, None
        ring, solid, done = _pixels(self.image), dotted(columns), 0
        for x, count in self._places(columns):
            piece = slice(done, done + count)
            Rows(spans.part(piece), _colours(self._look), self._ground(), solid[piece]).paint(ring[:, x : x + count], 0)
            done += count

    def _draw_pending(self, painter: QPainter, x: float, y: float, look: Look, pending: tuple[Indices, Spans]) -> None:
        """Paint all of it to the screen without the ring: a picture that is zoomed is another one the next moment."""
        columns, spans = pending
        rows = Rows(spans, _colours(look), self._ground(), dotted(columns))
        band = QImage(look.width, _BAND, QImage.Format.Format_RGB32)
        pixels, done = _pixels(band), 0
        for calm, upto in (*rows.calm, (look.height, look.height)):
            for first in range(done, calm, _BAND):
                count = min(_BAND, calm - first)
                rows.paint(pixels[:count], first)
                painter.drawImage(QPointF(x, y + first), band, QRectF(0, 0, look.width, count))
            colour = rows.single()
            done = calm if colour is None else upto
            if colour is not None:
                painter.fillRect(QRectF(x, y + calm, look.width, upto - calm), QColor.fromRgb(colour))

    def _ground(self) -> Grounds:
        """The columns without any curve, made once for each look."""
        if self._grounds is None:
            look = self._look
            assert look is not None  # noqa: S101 - for the type checker: asked while painting a look
            plain, bare = _ground_row(look, None), replace(look, ticks=())
            edged = _ground_row(look, look.edge_colour) if look.band is not None else plain
            self._grounds = Grounds(plain, edged, _ground_row(bare, None))
        return self._grounds

    def _spans(self, columns: Indices) -> Spans:
        """What the curves cover in these columns."""
        look = self._look
        assert look is not None  # noqa: S101 - for the type checker: asked while painting a look
        # where a column begins depends on the one before it
        if self._series is None:
            return _covered(look, columns, (np.full((len(look.strokes), len(columns)), np.nan),) * 2)
        edges = np.arange(columns[0] - 1, columns[-1] + 2, dtype=np.float64) * look.step_s
        low, high = self._series.spans(edges)
        return _covered(look, columns, (low[:, 1:], high[:, 1:]))

    def draw(self, painter: QPainter, x: float, y: float, region: QRegion | None = None) -> None:
        """Put the picture on a painter with its upper left corner at x, y (pixels on screen); only the parts in `region` where given."""
        look = self._look
        if look is None:
            return
        if self._pending is not None and not self._drawn and look.ratio == 1.0 and self._all_of(x, y, look, region):
            self._drawn = True
            self._draw_pending(painter, x, y, look, self._pending)
            return
        self._settle()
        rects: Any = region
        # drawn in device pixels, shown in those of the screen
        self.image.setDevicePixelRatio(look.ratio)
        for start, count in _pieces((self._end - look.width - self._origin) % look.width, look.width, look.width):
            place = QRectF(x, y, count / look.ratio, look.height / look.ratio)
            for box in [QRectF(r) & place for r in rects] if rects is not None and look.ratio == 1.0 else [place]:
                source = QRectF(start + (box.x() - x) * look.ratio, box.y() - y, box.width() * look.ratio, box.height() * look.ratio)
                if not box.isEmpty():
                    painter.drawImage(box.topLeft(), self.image, source)
            x += count / look.ratio
        self.image.setDevicePixelRatio(1.0)

    @staticmethod
    def _all_of(x: float, y: float, look: Look, region: QRegion | None) -> bool:
        return region is None or QRegion(QRect(int(x), int(y), look.width, look.height)).subtracted(region).isEmpty()


def dotted(columns: Indices) -> Values:
    """On which columns the band has edges."""
    answer: Values = columns // 2 % 2 == 0
    return answer


def _ground_row(look: Look, edge: QColor | None) -> Values:
    row = QImage(look.height, 1, QImage.Format.Format_RGB32)
    row.fill(look.ground)
    thick = max(1, round(look.ratio))
    low, high = (round(float(look.y_of(place))) for place in look.band or (0.0, 0.0))
    with QPainter(row) as painter:
        if look.band is not None and look.band_colour is not None:
            painter.fillRect(high, 0, low - high, 1, look.band_colour)
        for tick in look.ticks:
            painter.fillRect(round(float(look.y_of(tick))), 0, thick, 1, look.grid)
        if edge is not None:
            painter.fillRect(high, 0, thick, 1, edge)
            painter.fillRect(low, 0, thick, 1, edge)
    answer: Values = _pixels(row)[0].copy()
    return answer


def _covered(look: Look, columns: Indices, extremes: tuple[Values, Values]) -> Spans:
    """The pixels between the extremes of each column, a line's width around them."""
    half, height = LINE_PX * look.ratio / 2, look.height
    low, high = (np.asarray(values.T, dtype=np.float64) for values in extremes)
    if look.log_floor > 0:
        low, high = (np.log10(np.maximum(values, look.log_floor)) for values in (low, high))
    # far outside of the picture is as good as just outside
    with np.errstate(over="ignore"):
        above = np.clip(look.y_of(high) - half, -8.0, height + 8.0)
        below = np.clip(look.y_of(low) + half, -8.0, height + 8.0)
    known = np.isfinite(above)
    solid = (columns // round(DASH_PX * look.ratio)) % 2 == 0
    for number, stroke in enumerate(look.strokes):
        if stroke is None:
            known[:, number] = False
        elif stroke.dashed:
            known[:, number] &= solid
    soft = known & (below - above <= TALL_PX * look.ratio) if len(look.strokes) <= SMOOTH else np.zeros_like(known)
    starts = np.where(soft, np.floor(above) + 1.0, np.rint(above))
    ends = np.where(soft, np.floor(below), np.rint(below))
    starts, ends = (np.clip(np.where(known, edge, 0.0), 0.0, height).astype(np.int32) for edge in (starts, ends))
    return Spans(starts, ends, soft, above, below)


def _colours(look: Look) -> Values:
    answer: Values = np.array([stroke.colour.rgb() if stroke else 0 for stroke in look.strokes], dtype=np.uint32)
    return answer


def _column(at_s: float, step_s: float) -> int:
    # one earlier where the division rounds up to the border
    column = math.floor(at_s / step_s)
    return column - 1 if column * step_s > at_s else column


def _pieces(x: int, count: int, width: int) -> list[tuple[int, int]]:
    """A run of columns in a ring of `width`, as one or two runs that do not cross its end."""
    return [(x, count)] if x + count <= width else [(x, width - x), (0, x + count - width)]


def _pixels(image: QImage) -> NDArray[Any]:
    """The pixels of an image, to be written while it lives; rows first."""
    return np.frombuffer(image.bits(), dtype=np.uint32).reshape(image.height(), image.bytesPerLine() // 4)
