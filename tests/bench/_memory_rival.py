"""pyqtgraph with the same samples in memory: 200 curves in one plot. Arguments: output, samples a curve. Writes what they took as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import pyqtgraph as pg
from _memory_ours import memory_mb
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

CURVES = 200


def fill(plot: pg.PlotWidget, samples: int) -> float:
    """Megabytes of the curves, one value a sample over times that all share."""
    before = memory_mb("VmRSS")
    at = np.arange(samples) / 10.0
    random = np.random.default_rng(1)
    for number in range(CURVES):
        plot.plot(at, random.standard_normal(samples) + number)
    return memory_mb("VmRSS") - before


app = QApplication([])
plot = pg.PlotWidget()
plot.resize(1920, 1080)
plot.show()
report = {"curves_mb": fill(plot, int(sys.argv[2])), "peak_mb": memory_mb("VmHWM")}
Path(sys.argv[1]).write_text(json.dumps(report), encoding="ascii")
QTimer.singleShot(0, app.quit)
app.exec()
