"""Curves over time: a strip paints only what is new, pyqtgraph listens to the hand of who explores.

Creating a TimeChart imports pyqtgraph: do that only after chart_loader.ChartLoader is ready.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ui.bridge import guarded
from ui.models.text import clock_text
from ui.theme import theme_of
from ui.widgets.chart_data import ChartData
from ui.widgets.chart_explorer import Explorer
from ui.widgets.chart_export import Shown, ask_path, chart_menu, copy_values
from ui.widgets.chart_export import save as save_shown
from ui.widgets.chart_marks import Mark, Span
from ui.widgets.chart_math import since_label
from ui.widgets.chart_overlay import EndLabel, Overlay, ReadOut
from ui.widgets.chart_scale import Scale
from ui.widgets.heatmap import HeatPicture, heat_strokes, limits_ms
from ui.widgets.strip import Strip
from ui.widgets.strip_paint import StripPicture, Stroke

if TYPE_CHECKING:
    from cockpit.domain.heat import Heat
    from cockpit.domain.series import Series


class CurveSpec(Struct, frozen=True):
    """One curve: a name, what people read, and its colour by token. Candidates are solid, baselines dashed."""

    name: str
    title: str
    tone: str
    dashed: bool = False


class TimeChart(QWidget):
    """Curves over UTC time with a band, marks and a crosshair.

    Wheel zooms, drag pans, Left and Right walk, + and - zoom, F follows, Ctrl+C copies the values under the crosshair, Ctrl+S saves.
    `moved(start_s, end_s)` tells that a person changed what is seen, `hovered(seconds or None)` where the pointer is, `follow_wanted`
    that F was pressed, `said(text)` what became of a copy or a file; who owns the charts keeps them together.
    """

    moved = Signal(float, float)
    hovered = Signal(object)
    follow_wanted = Signal()
    said = Signal(str)

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
        self._title, self._curves = title, tuple(curves)
        self._value_text = value_text
        self.data = ChartData([c.name for c in self._curves])
        self._band: tuple[float, float] | None = None
        self._band_name = ""
        self._scale, self._least, self._log = Scale(), 0.0, False
        self._reach, self._top = (math.inf, 0.0), 0.0
        self._window = (0.0, 1.0)
        self._following = True
        self._empty = ("No data in this window", "")
        self._hover: float | None = None
        self._heat: Heat | None = None
        self.readout = ReadOut(title, self._curves, widest, self)
        self._build(tick_text)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(self.refresh)
        self._dress()

    def _build(self, tick_text: Callable[[float], str]) -> None:
        self.setAccessibleName(f"{self._title} over time")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.strip = Strip(tick_text)
        self.explorer = Explorer(self)
        self.plot: Any = self.explorer.plot
        # the strip covers pyqtgraph's view and lets the mouse through to it
        self.strip.setParent(self.plot.viewport())
        self.strip.show()
        self.overlay = Overlay(self.plot.viewport())
        self.explorer.ranged.connect(self._ranged)
        self.explorer.touched.connect(self._explore)
        self.explorer.pointed.connect(self._pointed)
        self.explorer.resized.connect(self._resized)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        box.addWidget(self.readout)
        box.addWidget(self.explorer, 1)

    def _dress(self) -> None:
        theme = theme_of(self)
        stale = bool(self.overlay.stale)
        self._strokes = tuple(Stroke(theme.muted if stale else theme.colour(c.tone), c.dashed) for c in self._curves)
        self.explorer.dress()

    # what it shows ---------------------------------------------------------------------------------------------------------

    def set_data(self, at_us: Sequence[float], values: Mapping[str, Sequence[float]]) -> None:
        """Show these curves from the next `set_range` or `refresh` on; what only continues what was given before costs what is new.

        Times in microseconds UTC, ascending; NaN is a gap; names that are no curve of this chart are ignored.
        """
        self.data.put(at_us, values)

    def set_series(self, series: Series) -> None:
        """Show this ring, whose columns are the curves in their order; who appends to it calls `set_range` or `refresh`."""
        self.data.watch(series)

    def set_heat(self, heat: Heat | None) -> None:
        """Show all samples as a heat map in place of the curves, whose values the crosshair still reads; None brings the curves back."""
        if (heat is None) != (self._heat is None):
            self.strip.picture = StripPicture() if heat is None else HeatPicture()
            self._scale.set_log(heat is not None or self._log)
        self._heat = heat

    def set_band(self, low: float | None, high: float | None, name: str = "") -> None:
        """The range of the baseline with its name; None takes it away."""
        band = None if low is None or high is None else (low, high)
        if (band, name) != (self._band, self._band_name):
            self._band, self._band_name = band, name
            self.refresh()

    def set_log(self, on: bool) -> None:
        """A logarithmic vertical axis: calm times stay readable beside a spike."""
        if on == self._log:
            return
        self._log = on
        if self._heat is None:
            self._scale.set_log(on)
        self.refresh()

    def set_marks(self, marks: Sequence[Mark], named: bool = True) -> None:
        """Deployments, approvals, alerts; the lines alone where another chart above names them."""
        if (tuple(marks), named) != (self.overlay.marks, self.overlay.marks_named):
            self.overlay.marks, self.overlay.marks_named = tuple(marks), named
            self.overlay.update()

    def set_title(self, title: str) -> None:
        """Another title."""
        if title != self._title:
            self._title = title
            self.readout.set_title(title)
            self.setAccessibleName(f"{title} over time")

    def set_spans(self, spans: Sequence[Span]) -> None:
        """Times that have names: freezes and sessions."""
        if tuple(spans) != self.overlay.spans:
            self.overlay.spans = tuple(spans)
            self.overlay.update()

    def set_origin(self, at_s: float | None) -> None:
        """Tell times as counted from a moment, such as a deployment's; None is UTC again."""
        self.strip.origin_s = at_s
        self.strip.update()

    def set_top(self, value: float) -> None:
        """The vertical axis ends here; 0 lets it fit to what is in sight."""
        self._top = value

    def set_reach(self, least: float, greatest: float) -> None:
        """The vertical axis reaches at least so far: charts beside each other are given the extremes of all of them."""
        self._reach = (least, greatest)

    def show_time_axis(self, shown: bool) -> None:
        """Charts below each other need it once."""
        self.explorer.show_time_axis(shown)
        self.strip.time_axis = shown

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
                self.refresh()

    @property
    def following(self) -> bool:
        """Whether time goes on by itself, that is: nobody explores."""
        return self._following

    def set_range(self, start_s: float, end_s: float, follow: bool = False) -> None:
        """Show this window and paint. `follow`: time goes on by itself, so that only what is new is painted."""
        self._window, self._following = (start_s, end_s), follow
        self.refresh()

    @property
    def range_s(self) -> tuple[float, float]:
        """The window in sight, in seconds UTC."""
        return self._window

    @Slot()
    def refresh(self) -> None:
        """Fit the vertical axis to what is in sight, and paint what is new."""
        (start, end), area = self._window, self._area()
        self.strip.set_area(area.toRect())
        if self._heat is not None:
            self._scale.low, self._scale.top = limits_ms(self._heat.bounds_s)
            self.strip.show_window(self._heat, heat_strokes(theme_of(self)), (start, end), self._scale, self._band)
        else:
            low, high = self.data.extremes(start, end, self._scale.log)
            band = self._band or (math.inf, 0.0)
            self._scale.fit(max(band[1], self._least, high, self._reach[1]), min(band[0] or math.inf, low, self._reach[0]))
            self._scale.top = self._top or self._scale.top
            self.strip.show_window(self.data.series, self._strokes, (start, end), self._scale, self._band)
        self._tell_overlay(area)
        self._read()

    def _tell_overlay(self, area: QRectF) -> None:
        last = self.data.newest(self._window[1])
        known = [c for c in self._curves if c.name in last]
        named = known if len(self._curves) > 1 and self._heat is None else []
        band = (self._band_name, self._y_of(self._band[1], area)) if self._band is not None else ("", 0.0)
        ends = tuple(EndLabel(c.title, c.tone, self._y_of(last[c.name], area)) for c in named)
        seen = bool(known) if self._heat is None else self._heat.any_between(*self._window)
        self.overlay.tell(self.strip.span, area, ("", "") if seen else self._empty, ends, band)

    def _y_of(self, value: float, area: QRectF) -> float:
        return area.bottom() - self._scale.share(value) * area.height()

    def _area(self) -> QRectF:
        return QRectF(self.explorer.area)

    # crosshair -------------------------------------------------------------------------------------------------------------

    def show_cross(self, at_s: float | None) -> None:
        """Put the crosshair at a time; None takes it away and shows the newest values."""
        self._hover = at_s
        self.overlay.set_cross(at_s)
        self._read()

    def values_at(self, at_s: float) -> dict[str, float | None]:
        """Each curve's value at a time; None where nothing was measured close by."""
        start, end = self._window
        return self.data.at(at_s, max(5.0, (end - start) / max(50.0, self._area().width()) * 3))

    def _read(self) -> None:
        at = self._hover if self._hover is not None else self.data.last_s
        values: dict[str, float | None] = self.values_at(at) if at is not None else {}
        when = clock_text(int(self._hover * 1e6)) if self._hover is not None else "newest"
        if self._hover is not None and self.strip.origin_s is not None:
            when = f"{since_label(self._hover - self.strip.origin_s)}, {when}"
        if self.readout.show_values(when, [self._value_text(values.get(c.name)) for c in self._curves]):
            self.setAccessibleDescription(self.readout.text)

    @property
    def shown(self) -> Shown:
        """What is in sight, for a file or the clipboard."""
        at = self._hover if self._hover is not None else self.data.last_s
        return Shown(
            self._title, self._curves, self.data.series, self._window, self._scale, self._band, self.overlay.marks, at, self.overlay.spans
        )

    def copy(self) -> None:
        """Put the values under the crosshair, or the newest, on the clipboard as text."""
        at = self._hover if self._hover is not None else self.data.last_s
        self.said.emit(copy_values(self._curves, at, self.values_at(at) if at is not None else {}))

    def save(self) -> None:
        """Ask for a file and write what is seen into it, as PNG, SVG or CSV by its ending."""
        ask_path(self)

    @Slot(str)
    def export(self, path: str) -> None:
        """Write what is seen to `path` in the form of its ending."""
        self.said.emit(save_shown(self, self.shown, path))

    # events ----------------------------------------------------------------------------------------------------------------

    @Slot(object)
    def _pointed(self, at: QPointF | None) -> None:
        area, (start, end) = self._area(), self.strip.span
        inside = at is not None and area.contains(at)
        self.hovered.emit(start + (at.x() - area.left()) / max(1.0, area.width()) * (end - start) if at is not None and inside else None)

    @Slot()
    def _explore(self) -> None:
        """A person takes hold: pyqtgraph goes on from the same window."""
        self._following = False
        if self.explorer.range_s != self._window:
            self.explorer.set_range(*self._window)

    @Slot(float, float)
    def _ranged(self, start_s: float, end_s: float) -> None:
        self._window, self._following = (start_s, end_s), False
        # painting must not happen inside pyqtgraph's own change of range
        self._redraw.start(0)
        self.moved.emit(start_s, end_s)

    @Slot()
    def _resized(self) -> None:
        box = self.plot.viewport().rect()
        self.overlay.setGeometry(box)
        self.strip.setGeometry(box)
        self._redraw.start(0)

    @guarded
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Copy and save."""
        chart_menu(self).popup(event.globalPos())

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk, zoom, follow, copy, save."""
        start, end = self.range_s
        span = end - start
        ways = {
            Qt.Key.Key_Left: (start - span / 10, end - span / 10),
            Qt.Key.Key_Right: (start + span / 10, end + span / 10),
            Qt.Key.Key_Plus: (start + span / 4, end),
            Qt.Key.Key_Equal: (start + span / 4, end),
            Qt.Key.Key_Minus: (start - span / 3, end),
        }
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.Save):
            self.save()
        elif event.key() in ways:
            self.moved.emit(*ways[Qt.Key(event.key())])
        elif event.key() == Qt.Key.Key_F and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.follow_wanted.emit()
        else:
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
            self.refresh()
