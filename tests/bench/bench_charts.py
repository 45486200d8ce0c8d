"""Charts against pyqtgraph: live frames, their cost over history, and zoom; software rendering, processor time of the window's thread.

Ours at ten curves is the whole TimeChart (axes, names, crosshair, values), at two hundred the strip that it is made of: two hundred
values in words are no chart. The rival is a bare PlotWidget. A live frame appends one sample to each curve and paints; the mean of
sixty in a row counts those that scroll in their share. Zoom takes another window each time, so that all is painted anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from _frames import application, compared, on_screen
from numpy.typing import NDArray
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from cockpit.domain.series import Series
from ui.widgets.chart_scale import Scale
from ui.widgets.strip import Strip
from ui.widgets.strip_paint import Stroke
from ui.widgets.time_chart import CurveSpec, TimeChart

FHD, UHD = (1920, 1080), (3840, 2160)
RATE = 10.0
SPIKE = 99.0
Table = NDArray[np.float32]
Frame = Callable[[], Any]


def samples(curves: int, count: int) -> Table:
    """Curves beside each other with noise, and one spike of one sample."""
    random = np.random.default_rng(curves + count)
    table = random.standard_normal((curves, count), dtype=np.float32) + np.linspace(5, 90, curves, dtype=np.float32)[:, None]
    table[-1, count // 2] = SPIKE
    return table


class Ours:
    """A chart of ours with a ring of samples that all are in sight."""

    def __init__(self, table: Table, size: tuple[int, int]) -> None:
        self.count = table.shape[1]
        self.table, self.end = table, self.count
        # room for what comes while it is measured
        self.series = Series(self.count + max(2000, self.count // 100), len(table))
        self.series.extend(np.arange(self.count) / RATE, table)
        self.widget, self.show = (_chart if len(table) <= 10 else _strip)(self.series)
        on_screen(self.widget, size)
        self.live()

    def live(self) -> None:
        """One sample each, and the window goes along."""
        self.series.append(self.end / RATE, self.table[:, self.end % self.count])
        self.end += 1
        self.show((self.end - self.count) / RATE, self.end / RATE, True)

    def zoom(self) -> None:
        """Another window, a little smaller than the one before."""
        self.count = int(self.count * 0.995)
        self.show((self.end - self.count) / RATE, self.end / RATE, False)


def _chart(series: Series) -> tuple[QWidget, Callable[[float, float, bool], Any]]:
    tones = ("p50", "p90", "p99", "p999", "bad", "ok", "running", "unknown", "warning", "accent")
    curves = [CurveSpec(f"c{i}", f"c{i}", tones[i]) for i in range(series.columns)]
    chart = TimeChart("Curves", curves, lambda v: f"{v:.3g}", lambda v: f"{v:g}")
    chart.set_series(series)
    return chart, chart.set_range


def _strip(series: Series) -> tuple[QWidget, Callable[[float, float, bool], Any]]:
    strip, scale = Strip(lambda v: f"{v:g}"), Scale()
    strokes = [Stroke(QColor.fromHsv(i * 359 // series.columns, 200, 230)) for i in range(series.columns)]

    def show(start_s: float, end_s: float, follow: bool) -> None:
        low, high = series.between(np.array([start_s, end_s + 1.0]))
        scale.fit(float(np.nanmax(high)), float(np.nanmin(low)))
        strip.show_window(series, strokes, (start_s, end_s), scale)

    return strip, show


class Rival:
    """A PlotWidget with the same samples; `tuned` is its own peak downsampling and clip to view."""

    def __init__(self, table: Table, size: tuple[int, int], tuned: bool = False) -> None:
        import pyqtgraph as pg

        self.table = table.astype(np.float64)
        self.count = self.end = table.shape[1]
        self.at = np.arange(self.count) / RATE
        self.widget = pg.PlotWidget()
        self.curves = [self.widget.plot(self.at, row, pen=(i, len(table))) for i, row in enumerate(self.table)]
        if tuned:
            self.widget.setDownsampling(auto=True, mode="peak")
            self.widget.setClipToView(True)
        self.widget.setYRange(0, 100)
        on_screen(self.widget, size)

    def live(self) -> None:
        """One sample each moves in, and `setData` of all."""
        self.table[:, :-1] = self.table[:, 1:]
        self.at += 1 / RATE
        for curve, row in zip(self.curves, self.table, strict=True):
            curve.setData(self.at, row)
        self.widget.setXRange(self.at[0], self.at[-1], padding=0)

    def zoom(self) -> None:
        """Another window, a little smaller than the one before."""
        self.count = int(self.count * 0.995)
        self.widget.setXRange(self.at[-self.count], self.at[-1], padding=0)


def _pair(name: str, target: float, table: Table, size: tuple[int, int], what: str, tuned: bool = False) -> dict[str, object]:
    ours, rival = Ours(table, size), Rival(table, size, tuned)
    frames = (60, 1) if what == "live" else (10, 1)
    try:
        return compared(name, target, 3, (getattr(ours, what), frames[0]), (getattr(rival, what), frames[1]))
    finally:
        ours.widget.close()
        rival.widget.close()


def _history(size: tuple[int, int]) -> dict[str, object]:
    """A live frame with ten million samples a curve in sight against one with ten thousand, four curves."""
    much, little = Ours(samples(4, 10_000_000), size), Ours(samples(4, 10_000), size)
    # both scroll equally often: the same number of samples comes, and one that scrolls is dearer whatever lies behind it
    name = f"live frame, 4 series: 10,000,000 points against 10,000, {size[0]}x{size[1]}"
    try:
        return compared(name, 1.3, 5, (much.live, 60), (little.live, 60))
    finally:
        much.widget.close()
        little.widget.close()


def run() -> list[dict[str, object]]:
    """One entry for each figure of the charts."""
    app = application()
    results = []
    for size in (FHD, UHD):
        at = f"{size[0]}x{size[1]}"
        results.append(_pair(f"live frame, 10 series of 100,000 points, {at}", 1 / 100, samples(10, 100_000), size, "live"))
        results.append(_pair(f"live frame, 200 series of 100,000 points, {at}", 1 / 500, samples(200, 100_000), size, "live"))
        table = samples(10, 1_000_000)
        results.append(_pair(f"zoom, 10 series of 1,000,000 points, {at}", 1 / 150, table, size, "zoom"))
        results.append(_pair(f"zoom, 10 x 1,000,000, rival with peak downsampling and clip, {at}", 1 / 5, table, size, "zoom", True))
    results.append(_history(FHD))
    app.sendPostedEvents()
    return results
