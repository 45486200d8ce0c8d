"""Loads the chart library beside the work, so that the window never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import perf_counter

from PySide6.QtCore import QObject, QTimer, Signal, Slot

TURN_S = 0.004  # of the GUI thread at once
PAUSE_MS = 5


class ChartLoader(QObject):
    """Imports pyqtgraph; `ready` comes on the GUI thread, at once where it is loaded already.

    PySide makes its classes and enums when they are first asked for, and two threads that do so at the same time can crash. So those that
    pyqtgraph asks for are made on the GUI thread, a few at a time; what is pure work is then done in a thread of its own.
    """

    ready = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.loaded = False
        self._done = threading.Event()
        self._classes: Iterator[None] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin; starting twice changes nothing."""
        if not self.loaded and not self._timer.isActive():
            self._classes = _classes()
            self._timer.start()

    def _load(self) -> None:
        try:
            import pyqtgraph  # noqa: F401
        finally:
            self._done.set()

    @Slot()
    def _look(self) -> None:
        if self._classes is not None:
            until_s = perf_counter() + TURN_S
            while perf_counter() < until_s:
                if next(self._classes, self) is self:
                    self._classes = None
                    # the import waits for one that another thread has begun, and blocks nobody here
                    # no daemon: the interpreter must not end in the middle of it
                    threading.Thread(target=self._load, name="chart-import").start()
                    return
        elif self._done.is_set():
            self._timer.stop()
            self.loaded = True
            self.ready.emit()


def _classes() -> Iterator[None]:
    """Asks for every class of Qt that pyqtgraph will ask for, one a step."""
    from PySide6 import QtCore, QtGui, QtOpenGLWidgets, QtSvg, QtTest, QtWidgets

    for module in (QtCore, QtGui, QtWidgets, QtSvg, QtOpenGLWidgets, QtTest):
        for name in dir(module):
            getattr(module, name)
            yield
