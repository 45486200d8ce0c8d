"""How late a precise 16 ms timer of the UI thread is; writes the lateness of each tick and ends the program."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Slot

PERIOD_MS = 16


class Meter(QObject):
    """Ignores `warm_s` seconds, measures `seconds`, writes a list of milliseconds to `out` and quits the application."""

    def __init__(self, out: Path, warm_s: float, seconds: float) -> None:
        super().__init__()
        self._out, self._seconds = out, seconds
        self._last_ns = 0
        self._late_ms: list[float] = []
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        QTimer.singleShot(round(warm_s * 1000), self, self._begin)

    @Slot()
    def _begin(self) -> None:
        QTimer.singleShot(round(self._seconds * 1000), self, self._end)
        self._last_ns = time.perf_counter_ns()
        self._timer.start(PERIOD_MS)

    @Slot()
    def _tick(self) -> None:
        now_ns = time.perf_counter_ns()
        self._late_ms.append(max(0.0, (now_ns - self._last_ns) / 1e6 - PERIOD_MS))
        self._last_ns = now_ns

    @Slot()
    def _end(self) -> None:
        self._timer.stop()
        cpu_s = sum(os.times()[:2])
        self._out.write_text(json.dumps({"late_ms": self._late_ms, "cpu_s": cpu_s, **self.more()}), encoding="ascii")
        QCoreApplication.quit()

    def more(self) -> dict[str, Any]:
        """What else the file shall hold."""
        return {}
