"""Rival of the start-up bench: an empty window of the same size. Writes the monotonic clock (ns) after its first paint."""

from __future__ import annotations

import os
import sys
import time

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow


class Window(QMainWindow):
    seen = False

    def paintEvent(self, event: object) -> None:
        """Nothing but the ground; the first time, the clock is read once the event loop is reached again."""
        if not self.seen:
            self.seen = True
            QTimer.singleShot(0, painted)


def painted() -> None:
    """Say when, and end."""
    now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(f"{now_ns}\n")
    os._exit(0)


app = QApplication([])
window = Window()
window.resize(1280, 800)
window.show()
app.exec()
