"""The picture of many curves over time, in columns of one pixel: while time goes on, only what is new is painted.

Column k covers the time from k x step to (k+1) x step and is painted from the samples alone, so a picture that was painted piece by
piece equals one painted at once. It is kept in a ring: nothing is moved when it scrolls. numpy is imported on first use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import shiboken6
from msgspec import Struct
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QRegion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cockpit.domain.series import Indices, Values

SMOOTH = 16  # with more curves than so many their edges are whole pixels: nobody could tell them apart
DASH_PX = 5  # of a dashed curve: so many columns painted, so many not
LINE_PX = 1.3
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
            self._look, self._series = look, series
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
            pieces.append((end - look.width, _column(series.first_s, look.step_s) + 1))
        return pieces

    def _paint(self, first: int, last: int) -> None:
        """Paint columns first..last from nothing: lying down, for a painter writes along rows many times faster, and set up afterwards."""
        import numpy as np

        look = self._look
        if look is None or last <= first:
            return
        self.painted += last - first
        lying = QImage(look.height, last - first, QImage.Format.Format_RGB32)
        source, ring = _pixels(lying), _pixels(self.image)
        self._paint_rows(lying, source, np.arange(first, last))
        done = 0
        for x, count in _pieces(first % look.width, last - first, look.width):
            for start in range(0, count, _TILE):
                upto = min(count, start + _TILE)
                ring[:, x + start : x + upto] = source[done + start : done + upto].T
            done += count

    def _paint_rows(self, lying: QImage, pixels: Values, columns: Indices) -> None:
        """Paint columns of the picture as rows of `lying`, whose pixels are `pixels`."""
        import numpy as np

        look, series = self._look, self._series
        if look is None:
            return
        _fill_ground(pixels, look, columns)
        if series is not None:
            extremes = series.spans(np.arange(columns[0], columns[-1] + 2, dtype=np.float64) * look.step_s)
            with QPainter(lying) as painter:
                painter.setPen(Qt.PenStyle.NoPen)
                _paint_curves(painter, pixels, look, columns, extremes)

    def draw(self, painter: QPainter, x: float, y: float, region: QRegion | None = None) -> None:
        """Put the picture on a painter with its upper left corner at x, y (pixels on screen); only the parts in `region` where given."""
        look = self._look
        if look is None:
            return
        rects: Any = region
        # drawn in device pixels, shown in those of the screen
        self.image.setDevicePixelRatio(look.ratio)
        for start, count in _pieces((self._end - look.width) % look.width, look.width, look.width):
            place = QRectF(x, y, count / look.ratio, look.height / look.ratio)
            for box in [QRectF(r) & place for r in rects] if rects is not None and look.ratio == 1.0 else [place]:
                source = QRectF(start + (box.x() - x) * look.ratio, box.y() - y, box.width() * look.ratio, box.height() * look.ratio)
                if not box.isEmpty():
                    painter.drawImage(box.topLeft(), self.image, source)
            x += count / look.ratio
        self.image.setDevicePixelRatio(1.0)


def _fill_ground(pixels: Values, look: Look, columns: Indices) -> None:
    """Columns without any curve, one row each; the band's edges are dotted."""
    pixels[:] = _ground_row(look, None)
    if look.band is not None:
        pixels[columns // 2 % 2 == 0] = _ground_row(look, look.edge_colour)


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
    return _pixels(row).copy()


def _paint_curves(painter: QPainter, pixels: Values, look: Look, columns: Indices, extremes: tuple[Values, Values]) -> None:
    import numpy as np

    half = LINE_PX * look.ratio / 2
    low, high = (np.asarray(values, dtype=np.float64) for values in extremes)
    if look.log_floor > 0:
        low, high = (np.log10(np.maximum(values, look.log_floor)) for values in (low, high))
    # far outside of the picture is as good as just outside, and safe for the painter
    with np.errstate(over="ignore"):
        tops = np.clip(look.y_of(high) - half, -8.0, look.height + 8.0)
        ends = np.clip(look.y_of(low) + half, -8.0, look.height + 8.0)
    known = np.isfinite(tops)
    solid = (columns // round(DASH_PX * look.ratio)) % 2 == 0
    smooth = len(look.strokes) <= SMOOTH
    rects = np.ones((len(columns), 4))
    rects[:, 1] = np.arange(len(columns))
    first, last = np.floor(tops), np.floor(ends)
    starts = first + 1.0 if smooth else first
    for number, stroke in enumerate(look.strokes):
        if stroke is None:
            known[number] = False
            continue
        if stroke.dashed:
            known[number] &= solid
        some = known[number]
        painter.setBrush(stroke.colour)
        rects[:, 0], rects[:, 2] = starts[number], last[number] - starts[number]
        _rects(painter, rects if some.all() else rects[some])
    if smooth:
        colours = np.array([stroke.colour.rgb() if stroke else 0 for stroke in look.strokes], dtype=np.uint32)
        curves, rows = np.nonzero(known)
        _blend(pixels, colours[curves], rows, first[known], (starts - tops)[known])
        _blend(pixels, colours[curves], rows, last[known], (ends - last)[known])


def _rects(painter: QPainter, rects: Values) -> None:
    """Rectangles by pointer: a list of them would cost more than the painting."""
    if len(rects):
        draw: Callable[..., None] = painter.drawRects
        draw(shiboken6.Shiboken.wrapInstance(rects.ctypes.data, QRectF), len(rects))


def _blend(pixels: Values, colours: Values, rows: Indices, places: Values, shares: Values) -> None:
    """Cover one pixel of each row by a share: the ends of the curves' columns, whose heights are no whole pixels."""
    import numpy as np

    inside = (places >= 0) & (places < pixels.shape[1])
    at = (rows[inside], places[inside].astype(np.int64))
    share = (shares[inside] * 256).astype(np.uint32)
    under, over = pixels[at], colours[inside]
    mixed = np.zeros_like(under)
    for part in (np.uint32(0xFF00FF), np.uint32(0x00FF00)):
        mixed |= (((under & part) * (256 - share) + (over & part) * share) >> np.uint32(8)) & part
    pixels[at] = mixed | np.uint32(0xFF000000)


def _column(at_s: float, step_s: float) -> int:
    # one earlier where the division rounds up to the border
    column = math.floor(at_s / step_s)
    return column - 1 if column * step_s > at_s else column


def _pieces(x: int, count: int, width: int) -> list[tuple[int, int]]:
    """A run of columns in a ring of `width`, as one or two runs that do not cross its end."""
    return [(x, count)] if x + count <= width else [(x, width - x), (0, x + count - width)]


def _pixels(image: QImage) -> NDArray[Any]:
    """The pixels of an image, to be written while it lives; rows first."""
    import numpy as np

    return np.frombuffer(image.bits(), dtype=np.uint32).reshape(image.height(), image.bytesPerLine() // 4)
