"""Loads the chart library beside the work, so that the window never waits for it."""

from __future__ import annotations

import threading

from PySide6.QtCore import QObject, QTimer, Signal, Slot


class ChartLoader(QObject):
    """Imports pyqtgraph in a thread of its own; `ready` comes on the GUI thread, at once where it is loaded already."""

    ready = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.loaded = False
        self._done = threading.Event()
        self._timer = QTimer(self)
        self._timer.setInterval(20)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin; starting twice changes nothing."""
        if not self.loaded and not self._timer.isActive():
            # the import waits for one that another thread has begun, and blocks nobody here
            # no daemon: the interpreter must not end in the middle of it
            threading.Thread(target=self._load, name="chart-import").start()
            self._timer.start()

    def _load(self) -> None:
        try:
            import pyqtgraph  # noqa: F401
        finally:
            self._done.set()

    @Slot()
    def _look(self) -> None:
        if self._done.is_set():
            self._timer.stop()
            self.loaded = True
            self.ready.emit()
