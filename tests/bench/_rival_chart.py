"""Rival of the start-up bench: one pyqtgraph chart, with requests, git and keyring imported first. Writes the monotonic clock (ns)."""

from __future__ import annotations

import os
import sys
import time

import git
import keyring
import pyqtgraph as pg
import requests
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow

NEEDED = (git.Repo, keyring.get_password, requests.get)


class Chart(pg.PlotWidget):
    seen = False

    def paintEvent(self, event: object) -> None:
        """The chart; the first time, the clock is read once the event loop is reached again."""
        super().paintEvent(event)
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
window = QMainWindow()
chart = Chart()
chart.plot([float(i * i % 97) for i in range(600)])
window.setCentralWidget(chart)
window.resize(1280, 800)
window.show()
app.exec()
