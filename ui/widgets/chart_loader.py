"""Loads the chart library beside the work, so that the window never waits for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from time import perf_counter

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal, Slot

TURN_S, PAUSE_MS = 0.004, 5  # of the GUI thread at once, and what lies between, where a person waits for it
IDLE_TURN_S, IDLE_PAUSE_MS = 0.001, 25  # where nobody does
IDLE_MS = 5_000  # after the parts of the window have taken their places
_LOADED = "charts_loaded"  # the application's property that says so


class ChartLoader(QObject):
    """Imports pyqtgraph; `ready` comes on the GUI thread. Where it is loaded already, `loaded` says so as soon as it is started.

    PySide makes its classes and enums when they are first asked for, and two threads that do so at the same time can crash. So those that
    pyqtgraph asks for are made on the GUI thread, a few at a time; what is pure work is then done in a thread of its own.
    """

    ready = Signal()

    def __init__(self, parent: QObject | None = None, turn_s: float = TURN_S, pause_ms: int = PAUSE_MS) -> None:
        super().__init__(parent)
        self.loaded = False
        self._turn_s = turn_s
        self._done = threading.Event()
        self._classes: Iterator[None] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(pause_ms)
        self._timer.timeout.connect(self._look)

    @Slot()
    def start(self) -> None:
        """Begin; starting twice changes nothing."""
        if self.loaded or self._timer.isActive():
            return
        app = QCoreApplication.instance()
        if app is not None and app.property(_LOADED):
            self.loaded = True
            # in a turn of its own: who starts it is not done yet
            QTimer.singleShot(0, self, self.ready.emit)
        else:
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
            until_s = perf_counter() + self._turn_s
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
            app = QCoreApplication.instance()
            if app is not None and "pyqtgraph" in sys.modules:
                app.setProperty(_LOADED, True)
            self.ready.emit()


def load_ahead(window: QObject) -> ChartLoader:
    """Load it when the window has been there for a while, so gently that nobody feels it: who opens a chart then finds it ready."""
    loader = ChartLoader(window, IDLE_TURN_S, IDLE_PAUSE_MS)
    QTimer.singleShot(IDLE_MS, loader, loader.start)
    return loader


def _classes() -> Iterator[None]:
    """Asks for every class of Qt that pyqtgraph will ask for, one a step."""
    for module_name in ("QtCore", "QtGui", "QtWidgets", "QtSvg", "QtOpenGLWidgets", "QtTest"):
        module = import_module(f"PySide6.{module_name}")
        yield
        for name in dir(module):
            getattr(module, name)
            yield
