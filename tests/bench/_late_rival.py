"""The naive way: sixteen threads, requests and json, all sources at once each second.

Arguments: port, services, output, warm-up s, seconds.

With 0 services nothing is asked at all: what the machine and Qt cost alone.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import requests
from _meter import Meter
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QApplication, QMainWindow

THREADS = 16


class Window(QMainWindow):
    """Asks, and takes the answers on the UI thread."""

    answered = Signal(str, object)

    def __init__(self, port: str, services: int) -> None:
        super().__init__()
        self.data: dict[str, Any] = {}
        self._base = f"http://127.0.0.1:{port}/v1/services"
        self._names = [f"service-{i:02}" for i in range(services)]
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
        self._pool = ThreadPoolExecutor(THREADS)
        self.answered.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._ask_all)
        self._timer.start(1000)

    def close_all(self) -> None:
        """Stop asking."""
        self._timer.stop()
        self._pool.shutdown(cancel_futures=True)
        self._session.close()

    @Slot()
    def _ask_all(self) -> None:
        for name in self._names:
            self._pool.submit(self._ask, name)

    def _ask(self, name: str) -> None:
        self.answered.emit(name, self._session.get(f"{self._base}/{name}/runs", timeout=10).json())

    @Slot(str, object)
    def _take(self, name: str, answer: Any) -> None:
        self.data[name] = answer


app = QApplication([])
window = Window(sys.argv[1], int(sys.argv[2]))
window.resize(1280, 800)
window.show()
meter = Meter(Path(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
status = app.exec()
window.close_all()
sys.exit(status)
