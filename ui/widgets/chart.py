"""Live curves over time, on pyqtgraph. Creating a TimeChart imports it: do that only after chart_loader.ChartLoader is ready."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from PySide6.QtCore import QEvent, QObject, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ui.bridge import guarded
from ui.models.text import clock_text
from ui.theme import font, theme_of
from ui.widgets.chart_math import decimate, greatest, least, nearest, seconds_of, time_label, time_step_s, with_gaps
from ui.widgets.chart_overlay import EndLabel, Mark, Overlay, ReadOut
from ui.widgets.chart_scale import Scale

if TYPE_CHECKING:
    from ui.widgets.chart_math import Floats

AXIS_PX = 62
END_PX = 52


class CurveSpec(Struct, frozen=True):
    """One curve: a name, what people read, and its colour by token. Candidates are solid, baselines dashed."""

    name: str
    title: str
    tone: str
    dashed: bool = False


class TimeChart(QWidget):
    """Curves over UTC time with a band, marks and a crosshair.

    Wheel zooms, drag pans, Left and Right walk, + and - zoom, F follows. `moved(start_s, end_s)` tells that a person changed what is
    seen, `hovered(seconds or None)` where the pointer is, `follow_wanted` that F was pressed; who owns the charts keeps them together.
    """

    moved = Signal(float, float)
    hovered = Signal(object)
    follow_wanted = Signal()

    def __init__(
        self,
        title: str,
        curves: Sequence[CurveSpec],
        value_text: Callable[[float | None], str],
        tick_text: Callable[[float], str],
        widest: str = "1,234 ms",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._curves = tuple(curves)
        self._value_text, self._tick_text = value_text, tick_text
        self._data: dict[str, tuple[Floats, Floats]] = {}
        self._band: tuple[float, float] | None = None
        self._band_name = ""
        self._scale, self._least = Scale(), 0.0
        self._own = False
        self._empty = ("No data in this window", "")
        self._hover: float | None = None
        self.readout = ReadOut(title, self._curves, widest, self)
        self._build()
        self.setAccessibleName(f"{title} over time")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(self.refresh)
        self._dress()

    def _build(self) -> None:
        import pyqtgraph as pg

        # not a PlotWidget: that one brings menus and a control panel that nobody would see
        self.plot: Any = pg.GraphicsView(self)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        grid = pg.GraphicsLayout()
        grid.setSpacing(0)
        grid.setContentsMargins(0, 0, END_PX, 0)
        self.plot.setCentralItem(grid)
        self._view = pg.ViewBox(enableMenu=False)
        self._view.setMouseEnabled(x=True, y=False)
        self._view.setDefaultPadding(0)
        self._view.disableAutoRange()
        self._left, self._bottom = pg.AxisItem("left"), pg.AxisItem("bottom")
        self._left.setWidth(AXIS_PX)
        for thing, row, column in ((self._left, 0, 0), (self._view, 0, 1), (self._bottom, 1, 1)):
            grid.addItem(thing, row, column)
        for axis in (self._left, self._bottom):
            axis.linkToView(self._view)
        self._left.tickValues = self._value_ticks
        self._left.tickStrings = self._value_strings
        self._bottom.tickSpacing = self._time_spacing
        self._bottom.tickStrings = _time_strings
        self._grid = pg.PlotCurveItem(connect="pairs")
        self._region = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self._region.setZValue(-10)
        self._grid.setZValue(-5)
        self._region.hide()
        self._lines = {c.name: pg.PlotCurveItem(connect="finite", antialias=True) for c in self._curves}
        for thing in (self._region, self._grid, *self._lines.values()):
            self._view.addItem(thing, ignoreBounds=True)
        self.overlay = Overlay(self.plot.viewport())
        self._view.sigXRangeChanged.connect(self._range_changed)
        self.plot.viewport().installEventFilter(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        box.addWidget(self.readout)
        box.addWidget(self.plot, 1)

    def _dress(self) -> None:
        """Colours and fonts of the theme in force."""
        theme = theme_of(self)
        stale = bool(self.overlay.stale)
        self.plot.setBackground(theme.surface)
        for axis in (self._left, self._bottom):
            axis.setPen(QPen(theme.line, 1))
            axis.setTextPen(QPen(theme.muted))
            axis.setStyle(tickFont=font("muted"), tickLength=0)
        faint = QColor(theme.line)
        faint.setAlphaF(0.6 if theme.name != "contrast" else 0.25)
        self._grid.setPen(QPen(faint, 0))
        self._region.setBrush(theme.band)
        for line in self._region.lines:
            line.setPen(QPen(theme.muted, 0, Qt.PenStyle.DotLine))
        for curve in self._curves:
            pen = QPen(theme.muted if stale else theme.colour(curve.tone), 1)
            pen.setCosmetic(True)
            pen.setStyle(Qt.PenStyle.DashLine if curve.dashed else Qt.PenStyle.SolidLine)
            self._lines[curve.name].setPen(pen)

    # what it shows ---------------------------------------------------------------------------------------------------------

    def set_data(self, at_us: Sequence[float], values: Mapping[str, Sequence[float]]) -> None:
        """Replace all curves; painted at the next `set_range` or `refresh`.

        Times in microseconds UTC, ascending; NaN is a gap; names that are no curve of this chart are ignored.
        """
        import numpy as np

        x = seconds_of(at_us)
        mine = (c.name for c in self._curves if c.name in values)
        self._data = {name: with_gaps(x, np.asarray(values[name], dtype=np.float64)) for name in mine}

    def set_band(self, low: float | None, high: float | None, name: str = "") -> None:
        """The range of the baseline with its name, painted at the next `set_range` or `refresh`; None takes it away."""
        self._band = None if low is None or high is None else (low, high)
        self._band_name = name
        self._region.setVisible(self._band is not None)

    def set_log(self, on: bool) -> None:
        """A logarithmic vertical axis: calm times stay readable beside a spike."""
        self._scale.set_log(on)
        self.refresh()

    def set_marks(self, marks: Sequence[Mark], named: bool = True) -> None:
        """Deployments and rollbacks; the lines alone where another chart above names them."""
        self.overlay.marks, self.overlay.marks_named = tuple(marks), named
        self.overlay.update()

    def show_time_axis(self, shown: bool) -> None:
        """Charts below each other need it once."""
        self._bottom.setStyle(showValues=shown)
        self._bottom.setHeight(None if shown else 9)  # half of the lowest value's label

    def set_empty(self, title: str, hint: str) -> None:
        """What stands here while there is no data in sight, and what would fill it."""
        self._empty = (title, hint)

    def set_least_top(self, value: float) -> None:
        """The vertical axis reaches at least so far: a flat line at the bottom does not fill the chart with its noise."""
        self._least = value

    def set_stale(self, text: str) -> None:
        """Grey with its age in words; "" is fresh again."""
        if text != self.overlay.stale:
            dress = bool(text) != bool(self.overlay.stale)
            self.overlay.stale = text
            self.overlay.update()
            if dress:
                self._dress()

    def set_range(self, start_s: float, end_s: float) -> None:
        """Show this window and paint."""
        self._own = True
        try:
            self._view.setXRange(start_s, end_s, padding=0)
            self._view.updateMatrix()
        finally:
            self._own = False
        self.refresh()

    @property
    def range_s(self) -> tuple[float, float]:
        """The window in sight, in seconds UTC."""
        (start, end), _ = self._view.viewRange()
        return float(start), float(end)

    @Slot()
    def refresh(self) -> None:
        """Thin the curves to what is in sight, fit the vertical axis, and paint."""
        start, end = self.range_s
        area = self._area()
        pixels = max(50, int(area.width()))
        known = {c.name: self._data[c.name] for c in self._curves if c.name in self._data}
        thin = {name: decimate(x, y, start, end, pixels) for name, (x, y) in known.items()}
        band = self._band or (math.inf, 0.0)
        seen = max([band[1], self._least, *(greatest(ys) for _, ys in thin.values())])
        self._fit(seen, min([band[0] or math.inf, *(least(ys) for _, ys in thin.values())]), area)
        last: dict[str, float] = {}
        for name, line in self._lines.items():
            if name not in thin:
                line.setData([], [])
                continue
            xs, ys = thin[name]
            line.setData(xs, self._scale.place(ys))
            newest = [float(v) for v in ys[-20:] if math.isfinite(v)]
            if newest:
                last[name] = newest[-1]
        self.overlay.span, self.overlay.area = (start, end), area
        self.overlay.message = ("", "") if last else self._empty
        named = self._curves if len(self._curves) > 1 else ()
        self.overlay.ends = tuple(EndLabel(c.title, c.tone, self._y_of(last[c.name], area)) for c in named if c.name in last)
        self.overlay.band = (self._band_name, self._y_of(band[1], area)) if self._band is not None else ("", 0.0)
        self.overlay.update()
        self._read()

    def _fit(self, seen: float, least_seen: float, area: QRectF) -> None:
        if self._scale.fit(seen, least_seen):
            self._own = True
            self._view.setYRange(*self._scale.limits, padding=0)
            self._view.updateMatrix()
            self._own = False
        start, end = self.range_s
        low, _ = self._scale.limits
        ticks = [t for t in self._scale.ticks(int(area.height())) if t > low]
        self._grid.setData([start, end] * len(ticks), [t for t in ticks for _ in range(2)])
        if self._band is not None:
            self._region.setRegion([self._scale.place_of(v) for v in self._band])

    def _y_of(self, value: float, area: QRectF) -> float:
        return area.bottom() - self._scale.share(value) * area.height()

    def _area(self) -> QRectF:
        return QRectF(self._view.sceneBoundingRect())

    # crosshair -------------------------------------------------------------------------------------------------------------

    def show_cross(self, at_s: float | None) -> None:
        """Put the crosshair at a time; None takes it away and shows the newest values."""
        self._hover = at_s
        self.overlay.set_cross(at_s)
        self._read()

    def values_at(self, at_s: float) -> dict[str, float | None]:
        """Each curve's value at a time; None where nothing was measured close by."""
        start, end = self.range_s
        reach = max(5.0, (end - start) / max(50.0, self._area().width()) * 3)
        answer: dict[str, float | None] = {}
        for curve in self._curves:
            x, y = self._data.get(curve.name, (None, None))
            answer[curve.name] = nearest(x, y, at_s, reach) if x is not None and y is not None else None
        return answer

    def _read(self) -> None:
        at = self._hover
        if at is None:
            at = max((float(x[-1]) for x, _ in self._data.values() if len(x)), default=None)
        values: dict[str, float | None] = self.values_at(at) if at is not None else {}
        when = clock_text(int(self._hover * 1e6)) if self._hover is not None else "newest"
        self.readout.show_values(when, [self._value_text(values.get(c.name)) for c in self._curves])
        self.setAccessibleDescription(self.readout.text)

    # events ----------------------------------------------------------------------------------------------------------------

    @guarded
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The pointer over the plot, and its size."""
        if event.type() == QEvent.Type.MouseMove and isinstance(event, QMouseEvent):
            area, at = self._area(), event.position()
            start, end = self.range_s
            inside = area.contains(at)
            self.hovered.emit(start + (at.x() - area.left()) / max(1.0, area.width()) * (end - start) if inside else None)
        elif event.type() == QEvent.Type.Leave:
            self.hovered.emit(None)
        elif event.type() == QEvent.Type.Resize:
            self.overlay.setGeometry(self.plot.viewport().rect())
            self._redraw.start(0)
        return super().eventFilter(watched, event)

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk, zoom, follow."""
        start, end = self.range_s
        span = end - start
        match event.key():
            case Qt.Key.Key_Left:
                self.moved.emit(start - span / 10, end - span / 10)
            case Qt.Key.Key_Right:
                self.moved.emit(start + span / 10, end + span / 10)
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self.moved.emit(start + span / 4, end)
            case Qt.Key.Key_Minus:
                self.moved.emit(start - span / 3, end)
            case Qt.Key.Key_F:
                self.follow_wanted.emit()
            case _:
                super().keyPressEvent(event)

    @guarded
    def focusInEvent(self, event: Any) -> None:
        """The ring shows where the keyboard is."""
        self.overlay.focused = True
        self.overlay.update()
        super().focusInEvent(event)

    @guarded
    def focusOutEvent(self, event: Any) -> None:
        """The ring goes."""
        self.overlay.focused = False
        self.overlay.update()
        super().focusOutEvent(event)

    @guarded
    def changeEvent(self, event: QEvent) -> None:
        """Another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange) and hasattr(self, "overlay"):
            self._dress()

    @Slot(object, object)
    def _range_changed(self, view: Any, limits: Any) -> None:
        if not self._own:
            # thinning must not happen inside pyqtgraph's own change of range
            self._redraw.start(0)
            self.moved.emit(float(limits[0]), float(limits[1]))

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
