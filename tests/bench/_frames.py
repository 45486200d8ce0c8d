"""What the chart benches share: a window on screen, frames as the event loop makes them, and pairs taken in turn."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

SETTLE_MS = 20  # two of these let every paint that a frame asked for happen


def application() -> QApplication:
    """The one of this process, in the dark theme."""
    from ui import theme

    found = QApplication.instance()
    app = found if isinstance(found, QApplication) else QApplication([])
    theme.apply(app, "dark")
    return app


def on_screen(widget: QWidget, size: tuple[int, int]) -> None:
    """Show it and wait until it may paint."""
    widget.resize(*size)
    widget.show()
    assert QTest.qWaitForWindowExposed(widget)
    settle()


def settle() -> None:
    """Let the event loop paint what waits."""
    for _ in range(2):
        loop = QEventLoop()
        QTimer.singleShot(SETTLE_MS, loop.quit)
        loop.exec()


def cpu_s(frame: Callable[[], Any], frames: int) -> float:
    """Seconds of processor one frame takes, its paint included: the mean of some in a row, so that the dear ones among them count."""
    started = time.process_time()
    for _ in range(frames):
        frame()
        settle()
    idle = time.process_time()
    for _ in range(min(frames, 10)):
        settle()
    done = time.process_time()
    return max(1e-6, (idle - started) / frames - (done - idle) / min(frames, 10))


def compared(
    name: str, target: float, pairs: int, ours: tuple[Callable[[], Any], int], rival: tuple[Callable[[], Any], int]
) -> dict[str, object]:
    """One entry: milliseconds of both and the median of their ratios, taken in turn; each side with its number of frames a time."""
    taken = []
    for turn in range(pairs):
        order = (ours, rival) if turn % 2 else (rival, ours)
        found = {side[0]: cpu_s(*side) for side in order}
        taken.append((found[ours[0]], found[rival[0]]))
    ratio = statistics.median(a / b for a, b in taken)
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _ in taken) * 1e3, 3),
        "rival": round(statistics.median(b for _, b in taken) * 1e3, 3),
        "unit": "ms a frame",
        "ratio": round(ratio, 5),
        "target": round(target, 5),
        "holds": ratio <= target,
    }
