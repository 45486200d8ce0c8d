"""What listens to a hand on a time chart: pyqtgraph's view box turns wheel and drag into windows of time.

It paints nothing: the picture and its axes are the strip's, which lies over it. Creating one imports pyqtgraph: do that only after
chart_loader.ChartLoader is ready.
"""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QObject, QRect, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QMouseEvent
from PySide6.QtWidgets import QGraphicsView, QVBoxLayout, QWidget

from ui.bridge import guarded
from ui.theme import font, theme_of
from ui.widgets.strip import AXIS_PX, END_PX


class Explorer(QWidget):
    """Zoom and pan.

    `ranged` tells that a person changed the window, `touched` that one is about to, `pointed` where the pointer is.
    """

    ranged = Signal(float, float)
    touched = Signal()
    pointed = Signal(object)
    resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._own = False
        self._below = 0
        self._build()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.plot)
        self.show_time_axis(True)
        self.dress()

    def _build(self) -> None:
        import pyqtgraph as pg

        # not a PlotWidget: that one brings axes, menus and a control panel that nobody would see
        self.plot: Any = pg.GraphicsView(self)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        # the scene has nothing to show: its updates would have the strip above it painted once more
        self.plot.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.NoViewportUpdate)
        self._grid = pg.GraphicsLayout()
        self._grid.setSpacing(0)
        self.plot.setCentralItem(self._grid)
        self.view: Any = pg.ViewBox(enableMenu=False)
        self.view.setMouseEnabled(x=True, y=False)
        self.view.setDefaultPadding(0)
        self.view.disableAutoRange()
        self._grid.addItem(self.view, 0, 0)
        self.view.sigXRangeChanged.connect(self._range_changed)
        self.plot.viewport().installEventFilter(self)

    def dress(self) -> None:
        """Colours of the theme in force."""
        self.plot.setBackground(theme_of(self).surface)

    @property
    def area(self) -> QRect:
        """The plot without its axes, in whole pixels of the viewport."""
        area = self.plot.viewport().rect().adjusted(AXIS_PX, 0, -END_PX, -self._below)
        return QRect(area.left(), area.top(), max(1, area.width()), max(1, area.height()))

    @property
    def range_s(self) -> tuple[float, float]:
        """The window of the view box, in seconds UTC."""
        (start, end), _ = self.view.viewRange()
        return float(start), float(end)

    def show_time_axis(self, shown: bool) -> None:
        """Charts below each other need it once; without it half of the lowest value's label has room."""
        self._below = QFontMetrics(font("muted")).height() + 6 if shown else 9
        self._grid.setContentsMargins(AXIS_PX, 0, END_PX, self._below)

    def set_range(self, start_s: float, end_s: float) -> None:
        """Go on from this window when a person takes hold."""
        self._own = True
        try:
            self.view.setXRange(start_s, end_s, padding=0)
        finally:
            self._own = False

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
