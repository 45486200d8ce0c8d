"""The heat map and the small trends against pyqtgraph: software rendering, processor time of the window's thread.

24 h and 10,000,000 samples in 43,200 moments of 24 buckets, all in sight. A live frame of ours adds one moment and paints; the rival's
ImageItem holds the same table, a column a pixel, moves it by one and gets it again with `setImage`.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from _frames import application, compared, on_screen
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from cockpit.domain.heat import Heat
from ui.theme import THEMES
from ui.widgets.chart_scale import Scale
from ui.widgets.heatmap import HeatPicture, heat_strokes, limits_ms
from ui.widgets.strip import Strip
from ui.widgets.trend import paint_trend

SIZE = (1920, 1080)
MOMENTS, STEP_S = 43_200, 2.0
SAMPLES = 10_000_000
BOUNDS = (*(0.0005 * 1.5**i for i in range(23)), math.inf)
TRENDS, POINTS = 40, 60


class OurHeat:
    """The strip with the heat map's picture."""

    def __init__(self, counts: Any) -> None:
        self.counts, self.end = counts, len(counts)
        self.heat = Heat(len(counts) + 2000, BOUNDS)
        for i, row in enumerate(np.cumsum(counts, axis=1)):
            self.heat.append(i * STEP_S, row)
        self.widget, self.scale = Strip(lambda v: f"{v:g} ms"), Scale()
        self.widget.picture = HeatPicture()
        self.scale.set_log(True)
        self.scale.low, self.scale.top = limits_ms(BOUNDS)
        on_screen(self.widget, SIZE)
        self.live()

    def live(self) -> None:
        """One more moment, and the window goes along."""
        self.heat.append(self.end * STEP_S, np.cumsum(self.counts[self.end % len(self.counts)]))
        self.end += 1
        window = ((self.end - MOMENTS) * STEP_S, self.end * STEP_S)
        self.widget.show_window(self.heat, heat_strokes(THEMES["dark"]), window, self.scale)


class RivalHeat:
    """An ImageItem in a PlotWidget; a column of it is as many moments as lie in a pixel."""

    def __init__(self, counts: Any) -> None:
        import pyqtgraph as pg

        width = SIZE[0] - 120
        each = len(counts) // width
        self.table = counts[: each * width].reshape(width, each, -1).sum(axis=1).astype(np.float32)
        self.widget = pg.PlotWidget()
        self.item = pg.ImageItem()
        self.item.setLookupTable(pg.colormap.get("viridis").getLookupTable())
        self.widget.addItem(self.item)
        self.turn = 0
        on_screen(self.widget, SIZE)
        self.live()

    def live(self) -> None:
        """The table moved by one column, and its scale of time."""
        self.table = np.roll(self.table, -1, axis=0)
        self.turn += 1
        self.item.setImage(self.table, autoLevels=False, levels=(0.0, 400.0))
        self.item.setRect(QRectF(self.turn, 0, len(self.table), len(BOUNDS)))
        self.widget.setXRange(self.turn, self.turn + len(self.table), padding=0)


class OurTrends(QWidget):
    """Forty small trends, painted as the tables paint theirs."""

    def __init__(self, values: Any) -> None:
        super().__init__()
        self.values = values
        on_screen(self, (8 * 128, 5 * 40))

    def paintEvent(self, event: QPaintEvent) -> None:
        """All of them."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), THEMES["dark"].surface)
            for i, row in enumerate(self.values.tolist()):
                paint_trend(painter, QRectF(i % 8 * 128 + 4, i // 8 * 40 + 4, 120, 32), row, QColor("#e69f00"))

    def live(self) -> None:
        """A new value each."""
        self.values = np.roll(self.values, -1, axis=1)
        self.update()


class RivalTrends:
    """Forty PlotWidgets without axes."""

    def __init__(self, values: Any) -> None:
        import pyqtgraph as pg

        self.widget, self.values = QWidget(), values
        box = QGridLayout(self.widget)
        self.curves = []
        for i, row in enumerate(values):
            plot = pg.PlotWidget()
            plot.hideAxis("left")
            plot.hideAxis("bottom")
            box.addWidget(plot, i // 8, i % 8)
            self.curves.append(plot.plot(row, pen="y"))
        on_screen(self.widget, (8 * 128, 5 * 40))

    def live(self) -> None:
        """A new value each."""
        self.values = np.roll(self.values, -1, axis=1)
        for curve, row in zip(self.curves, self.values, strict=True):
            curve.setData(row)


def run() -> list[dict[str, object]]:
    """One entry for the heat map and one for the trends."""
    application()
    random = np.random.default_rng(4)
    shape = np.exp(-((np.arange(len(BOUNDS)) - 7) ** 2) / 12)
    counts = random.poisson(shape / shape.sum() * SAMPLES / MOMENTS, (MOMENTS, len(BOUNDS))).astype(np.float64)
    ours, rival = OurHeat(counts), RivalHeat(counts)
    name = f"heat map of 24 h and {SAMPLES:,} samples, a live frame, {SIZE[0]}x{SIZE[1]}"
    results = [compared(name, 1 / 5, 5, (ours.live, 48), (rival.live, 8))]
    values = np.abs(random.standard_normal((TRENDS, POINTS)))
    trends, plots = OurTrends(values), RivalTrends(values)
    results.append(compared("forty small trends, a frame", 1 / 8, 5, (trends.live, 20), (plots.live, 8)))
    for widget in (ours.widget, rival.widget, trends, plots.widget):
        widget.close()
    return results
