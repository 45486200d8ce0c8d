"""What waits for the first paint, and what ends the window from outside."""

from __future__ import annotations

import gc
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QWidget

SWITCH_S = 0.0001
COLLECT_MS = 100
FREEZE_STEP = 100  # ten seconds after the first paint the heavy imports are done
WHOLE_STEPS = 1200  # once in two minutes


class AfterPaint(QObject):
    """Calls `then` once the first paint is on the screen; then imports `heavy` modules in a thread, where they stop nobody."""

    def __init__(self, parent: QWidget, then: Callable[[], None], heavy: Sequence[str] = ()) -> None:
        super().__init__(parent)
        self._then, self._heavy = then, tuple(heavy)
        self._thread: threading.Thread | None = None
        self._over = False

    def begin(self) -> None:
        """The first paint has been made."""
        if self._over:
            return
        self._over = True
        # a thread that computes gives the UI thread its turn after a tenth of a millisecond instead of five
        sys.setswitchinterval(SWITCH_S)
        self._then()
        if self._heavy:
            self._thread = threading.Thread(target=self._import, name="cockpit-imports")
            self._thread.start()

    def _import(self) -> None:
        for name in self._heavy:
            importlib.import_module(name)

    def wait(self) -> None:
        """Until the imports are done; ending the interpreter in the middle of one crashes."""
        self._over = True
        if self._thread is not None:
            self._thread.join()


class Collector(QObject):
    """Collects garbage on the UI thread, in small steps: in another thread it could delete a widget, and a whole one stops the window.

    What was loaded with the window lives as long as it does, and is set aside.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        gc.disable()
        self._steps = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._collect)
        self._timer.start(COLLECT_MS)

    @Slot()
    def _collect(self) -> None:
        self._steps += 1
        if self._steps == FREEZE_STEP:
            gc.freeze()
        elif self._steps % WHOLE_STEPS == 0:
            gc.collect(2)
        elif self._steps % 20 == 0:
            gc.collect(1)
        else:
            gc.collect(0)


@contextmanager
def interruptible(app: Any) -> Iterator[Callable[[], bool]]:
    """Ctrl+C and SIGTERM end the event loop; gives a function that answers whether Ctrl+C did.

    Python runs its handlers between two bytecodes: the window's timer of one second makes sure that there are some.
    """
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        app.quit()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: signal.SIGINT in seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
