"""Something that is due at once when asked for, and then at most so many times a second."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from ui.bridge import guarded


class Pace(QObject):
    """`due` comes within `ask`, or when `rest_ms` are over since the last one."""

    due = Signal()

    def __init__(self, rest_ms: int, parent: QObject) -> None:
        super().__init__(parent)
        self._asked = False
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.setInterval(rest_ms)
        self.timer.timeout.connect(self._rested)

    def ask(self) -> None:
        """Let it be due soon."""
        if self.timer.isActive():
            self._asked = True
            return
        self._asked = False
        self.timer.start()
        self.due.emit()

    @Slot()
    @guarded
    def _rested(self) -> None:
        if self._asked:
            self.ask()
