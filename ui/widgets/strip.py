"""A live chart that paints only what is new: the picture of the curves with axes of its own, no chart library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QPixmap, QRegion
from PySide6.QtWidgets import QWidget

from ui.bridge import guarded
from ui.theme import Theme, font, theme_of
from ui.widgets.chart_math import first_tick, since_label, time_label, time_step_s
from ui.widgets.chart_text import RIGHT, TOP, Words
from ui.widgets.strip_paint import Look, StripPicture, Stroke

if TYPE_CHECKING:
    from cockpit.domain.heat import Heat
    from cockpit.domain.series import Series
    from ui.widgets.chart_scale import Scale

AXIS_PX = 62
END_PX = 60


class Columns:
    """Times and columns of a picture: the same step while the window keeps its length, so that columns stay where they are."""

    def __init__(self) -> None:
        self.step_s = 0.0

    def place(self, start_s: float, end_s: float, width: int) -> int:
        """Fit `width` columns to a window; answers the column after the last one, which holds `end_s`."""
        step = max(1e-6, end_s - start_s) / max(1, width)
        # lengths of one window differ in their last bits
        if abs(step - self.step_s) > 1e-5 * step / max(1, width):
            self.step_s = step
        return math.floor(end_s / self.step_s) + 1


class Strip(QWidget):
    """Shows a StripPicture in `area` with its axes around it. The mouse goes through it to what lies below.

    `show_window` brings it up to date; time axis off for charts above others.
    """

    def __init__(self, tick_text: Callable[[float], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._tick_text = tick_text
        self.picture = StripPicture()
        self.time_axis = True
        self.origin_s: float | None = None  # times are told as counted from here
        self.span = (0.0, 1.0)
        self._scale: Scale | None = None
        self._columns, self._words = Columns(), Words()
        self._area: QRect | None = None
        self._axis, self._axis_known = QPixmap(), cast(object, None)

    @property
    def area(self) -> QRect:
        """Where the curves are (pixels): what `set_area` said, or all but room for the axes."""
        if self._area is not None:
            return self._area
        below = QFontMetrics(font("muted")).height() + 6 if self.time_axis else 9
        return QRect(AXIS_PX, 0, max(1, self.width() - AXIS_PX - END_PX), max(1, self.height() - below))

    def set_area(self, area: QRect) -> None:
        """Put the curves exactly there."""
        self._area = area

    def show_window(
        self,
        series: Series | Heat | None,
        strokes: Sequence[Stroke | None],
        window: tuple[float, float],
        scale: Scale,
        band: tuple[float, float] | None = None,
    ) -> bool:
        """Bring the picture up to a window (seconds UTC) and ask for a paint; answers whether all of it was painted anew."""
        area, ratio = self.area, self.devicePixelRatioF()
        width, height = max(1, round(area.width() * ratio)), max(1, round(area.height() * ratio))
        end = self._columns.place(*window, width)
        look = _look((width, height, ratio), self._columns.step_s, tuple(strokes), scale, band, theme_of(self))
        whole = self.picture.show(series, look, end)
        moved = self.span != (span := ((end - width) * look.step_s, end * look.step_s))
        self.span, self._scale = span, scale
        if whole:
            self.update()
        elif moved:
            self.update(area.left(), 0, self.width() - area.left(), self.height())
        else:
            # time has not moved by a column yet: only the newest ones are others
            for first, last in self.picture.changed:
                left = math.floor((first - end + width) / ratio)
                self.update(area.left() + left, area.top(), math.ceil((last - first) / ratio) + 1, area.height())
        return whole

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """What was asked for of the axes' ground, the picture, and the labels."""
        theme, area, asked = theme_of(self), self.area, event.region()
        with QPainter(self) as painter:
            for rest in (
                QRect(area.right() + 1, 0, self.width() - area.right() - 1, self.height()),
                QRect(area.left(), 0, area.width(), area.top()),
                QRect(area.left(), area.bottom() + 1, area.width(), self.height() - area.bottom() - 1),
            ):
                if asked.intersects(rest):
                    painter.fillRect(rest, theme.surface)
            self.picture.draw(painter, area.left(), area.top(), asked)
            if asked.subtracted(QRegion(area)).isEmpty():
                return
            if asked.intersects(QRect(0, 0, area.left(), self.height())):
                painter.drawPixmap(0, 0, self._value_axis(area, theme))
            painter.setPen(QPen(theme.line, 1))
            painter.drawLine(area.left() - 1, area.top(), area.left() - 1, area.bottom())
            painter.drawLine(area.left(), area.bottom() + 1, area.right(), area.bottom() + 1)
            painter.setPen(theme.muted)
            painter.setFont(font("muted"))
            if self.time_axis and asked.intersects(QRect(0, area.bottom() + 1, self.width(), self.height())):
                self._paint_times(painter, area)

    def _value_axis(self, area: QRect, theme: Theme) -> QPixmap:
        """The ground left of the curves with its values, which seldom are others."""
        scale, ratio, face = self._scale, self.devicePixelRatioF(), font("muted")
        known = (area.getRect(), self.height(), ratio, theme.name, face.key(), scale and (scale.limits, scale.log))
        if known != self._axis_known:
            self._axis_known = known
            self._axis = QPixmap(round(area.left() * ratio), round(self.height() * ratio))
            self._axis.setDevicePixelRatio(ratio)
            self._axis.fill(theme.surface)
            with QPainter(self._axis) as painter:
                painter.setPen(theme.muted)
                painter.setFont(face)
                self._paint_values(painter, area)
        return self._axis

    def _paint_values(self, painter: QPainter, area: QRect) -> None:
        scale = self._scale
        if scale is None:
            return
        for tick in scale.ticks(area.height()):
            value = scale.value_of(tick)
            share = scale.share(value)
            if -1e-9 <= share <= 1 + 1e-9:
                # one at the very top would be cut in half
                y = max(area.bottom() - share * area.height(), area.top() + 8)
                self._words.draw(painter, QRectF(0, y - 10, area.left() - 5, 20), RIGHT, self._tick_text(value), "muted")

    def _paint_times(self, painter: QPainter, area: QRect) -> None:
        start, end = self.span
        step = time_step_s(end - start, area.width())
        at = first_tick(start, step, self.origin_s)
        while at <= end:
            x = area.left() + (at - start) / (end - start) * area.width()
            words = time_label(at, step) if self.origin_s is None else since_label(at - self.origin_s, step)
            self._words.draw(painter, QRectF(x - 46, area.bottom() + 3, 92, 20), TOP, words, "muted")
            at += step


def _look(
    size: tuple[int, int, float],
    step_s: float,
    strokes: tuple[Stroke | None, ...],
    scale: Scale,
    band: tuple[float, float] | None,
    theme: Theme,
) -> Look:
    width, height, ratio = size
    low, high = scale.limits
    grid = QColor(theme.line)
    grid.setAlphaF(0.6 if theme.name != "contrast" else 0.25)
    ticks = tuple(t for t in scale.ticks(round(height / ratio)) if t > low)
    return Look(
        width=width,
        height=height,
        step_s=step_s,
        low=low,
        high=high,
        log_floor=(scale.low or 1e-12) if scale.log else 0.0,
        strokes=strokes,
        ground=theme.surface,
        grid=grid,
        ticks=ticks,
        band=(scale.place_of(band[0]), scale.place_of(band[1])) if band else None,
        band_colour=theme.band,
        edge_colour=theme.muted,
        ratio=ratio,
    )
