"""How late a precise 16 ms timer of the UI thread is, and how much of that the thread itself computed; writes both and ends the program.

The second is the thread's own time in the turns of the event loop that a tick had to wait for, and at most its lateness: what others do
on the machine meanwhile, and waits for them, do not count.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractEventDispatcher, QCoreApplication, QObject, Qt, QTimer, Slot

PERIOD_MS = 16


class Meter(QObject):
    """Ignores `warm_s` seconds, measures `seconds`, writes a list of milliseconds to `out` and quits the application."""

    def __init__(self, out: Path, warm_s: float, seconds: float) -> None:
        super().__init__()
        self._out, self._seconds = out, seconds
        self._last_ns = 0
        self._late_ms: list[float] = []
        self._own_ms: list[float] = []
        self._spent_s, self._turn_s = 0.0, 0.0  # when this turn began, and what the one before computed
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        QTimer.singleShot(round(warm_s * 1000), self, self._begin)

    @Slot()
    def _begin(self) -> None:
        QTimer.singleShot(round(self._seconds * 1000), self, self._end)
        self._last_ns, self._spent_s = time.perf_counter_ns(), time.thread_time()
        self._timer.start(PERIOD_MS)
        QAbstractEventDispatcher.instance().aboutToBlock.connect(self._turned)

    @Slot()
    def _tick(self) -> None:
        now_ns = time.perf_counter_ns()
        late_ms = max(0.0, (now_ns - self._last_ns) / 1e6 - PERIOD_MS)
        self._late_ms.append(late_ms)
        self._own_ms.append(min(late_ms, (time.thread_time() - self._spent_s + self._turn_s) * 1e3))
        self._last_ns = now_ns

    @Slot()
    def _turned(self) -> None:
        now_s = time.thread_time()
        self._spent_s, self._turn_s = now_s, now_s - self._spent_s

    @Slot()
    def _end(self) -> None:
        self._timer.stop()
        QAbstractEventDispatcher.instance().aboutToBlock.disconnect(self._turned)
        cpu_s = sum(os.times()[:2])
        self._out.write_text(json.dumps({"late_ms": self._late_ms, "own_ms": self._own_ms, "cpu_s": cpu_s, **self.more()}), "ascii")
        QCoreApplication.quit()

    def more(self) -> dict[str, Any]:
        """What else the file shall hold."""
        return {}
