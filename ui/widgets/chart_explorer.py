"""The part of a time chart that one explores: pyqtgraph's view box and axes around the picture of the curves.

Creating one imports pyqtgraph: do that only after chart_loader.ChartLoader is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, QRect, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QVBoxLayout, QWidget

from ui.bridge import guarded
from ui.theme import font, theme_of
from ui.widgets.chart_math import time_label, time_step_s
from ui.widgets.chart_scale import Scale
from ui.widgets.strip import AXIS_PX, END_PX
from ui.widgets.strip_paint import StripPicture


class PictureItem(QGraphicsItem):
    """Shows a picture in the scene, a pixel for a pixel."""

    def __init__(self, picture: StripPicture) -> None:
        super().__init__()
        self._picture = picture
        self._box = QRectF()

    def set_picture(self, picture: StripPicture) -> None:
        """Show another one."""
        self._picture = picture
        self.update()

    def place(self, area: QRectF) -> None:
        """Where in the scene it is."""
        if area.size() != self._box.size():
            self.prepareGeometryChange()
            self._box = QRectF(0, 0, area.width(), area.height())
        self.setPos(area.topLeft())
        self.update()

    @guarded
    def boundingRect(self) -> QRectF:
        """All of the picture."""
        return self._box

    @guarded
    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """The picture as it is."""
        self._picture.draw(painter, 0.0, 0.0)


class Explorer(QWidget):
    """Axes, zoom and pan.

    `ranged` tells that a person changed the window, `touched` that one is about to, `pointed` where the pointer is.
    """

    ranged = Signal(float, float)
    touched = Signal()
    pointed = Signal(object)
    resized = Signal()

    def __init__(self, scale: Scale, tick_text: Callable[[float], str], picture: StripPicture, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale, self._tick_text = scale, tick_text
        self._own = False
        self._build(picture)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.plot)
        self.dress()

    def _build(self, picture: StripPicture) -> None:
        import pyqtgraph as pg

        # not a PlotWidget: that one brings menus and a control panel that nobody would see
        self.plot: Any = pg.GraphicsView(self)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        grid = pg.GraphicsLayout()
        grid.setSpacing(0)
        grid.setContentsMargins(0, 0, END_PX, 0)
        self.plot.setCentralItem(grid)
        self.view: Any = pg.ViewBox(enableMenu=False)
        self.view.setMouseEnabled(x=True, y=False)
        self.view.setDefaultPadding(0)
        self.view.disableAutoRange()
        self._left, self._bottom = pg.AxisItem("left"), pg.AxisItem("bottom")
        self._left.setWidth(AXIS_PX)
        for thing, row, column in ((self._left, 0, 0), (self.view, 0, 1), (self._bottom, 1, 1)):
            grid.addItem(thing, row, column)
        for axis in (self._left, self._bottom):
            axis.linkToView(self.view)
        self._left.tickValues = self._value_ticks
        self._left.tickStrings = self._value_strings
        self._bottom.tickSpacing = self._time_spacing
        self._bottom.tickStrings = _time_strings
        self._item = PictureItem(picture)
        self.plot.scene().addItem(self._item)
        self.view.sigXRangeChanged.connect(self._range_changed)
        self.plot.viewport().installEventFilter(self)

    def set_picture(self, picture: StripPicture) -> None:
        """Show another picture between the axes."""
        self._item.set_picture(picture)

    def dress(self) -> None:
        """Colours and fonts of the theme in force."""
        theme = theme_of(self)
        self.plot.setBackground(theme.surface)
        for axis in (self._left, self._bottom):
            axis.setPen(QPen(theme.line, 1))
            axis.setTextPen(QPen(theme.muted))
            axis.setStyle(tickFont=font("muted"), tickLength=0)

    @property
    def area(self) -> QRect:
        """The plot without its axes, in whole pixels of the viewport."""
        return QRectF(self.view.sceneBoundingRect()).toRect()

    @property
    def range_s(self) -> tuple[float, float]:
        """The window of the view box, in seconds UTC."""
        (start, end), _ = self.view.viewRange()
        return float(start), float(end)

    def show_time_axis(self, shown: bool) -> None:
        """Charts below each other need it once."""
        self._bottom.setStyle(showValues=shown)
        self._bottom.setHeight(None if shown else 9)  # half of the lowest value's label

    def set_range(self, start_s: float, end_s: float) -> None:
        """Show this window with the scale's limits, at once: pyqtgraph would paint twice otherwise."""
        self._own = True
        try:
            self.view.setXRange(start_s, end_s, padding=0)
            self.view.setYRange(*self._scale.limits, padding=0)
            self.view.updateMatrix()
        finally:
            self._own = False
        self._item.place(QRectF(self.area))

    @guarded
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The pointer over the plot, and its size."""
        kind = event.type()
        if kind == QEvent.Type.MouseMove and isinstance(event, QMouseEvent):
            self.pointed.emit(event.position())
        elif kind == QEvent.Type.Leave:
            self.pointed.emit(None)
        elif kind in (QEvent.Type.Wheel, QEvent.Type.MouseButtonPress):
            self.touched.emit()
        elif kind == QEvent.Type.Resize:
            self.resized.emit()
        return super().eventFilter(watched, event)

    @Slot(object, object)
    def _range_changed(self, view: Any, limits: Any) -> None:
        if not self._own:
            self.ranged.emit(float(limits[0]), float(limits[1]))

    def _value_ticks(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        ticks = self._scale.ticks(int(size))
        return [(ticks[1] - ticks[0] if len(ticks) > 1 else 1.0, ticks)]

    def _value_strings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        # a label at the very top would be cut in half
        known = [self._scale.value_of(v) for v in values]
        return [self._tick_text(v) if self._scale.share(v) <= 0.94 else "" for v in known]

    def _time_spacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        return [(float(time_step_s(high - low, int(size))), 0.0)]


def _time_strings(values: Sequence[float], scale: float, spacing: float) -> list[str]:
    return [time_label(v, spacing) for v in values]
