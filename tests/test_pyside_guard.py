"""The installed PySide6 keeps its references: 6.12.0 on Python 3.11 loses some and aborts after a few thousand calls."""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject, Signal
from pytestqt.qtbot import QtBot

CALLS = 50


class Source(QObject):
    """Emits."""

    happened = Signal()


def test_emit_keeps_references(qtbot: QtBot) -> None:
    source = Source()
    before = sys.getrefcount(True)
    for _ in range(CALLS):
        source.happened.emit()
    assert sys.getrefcount(True) >= before - 5


def test_void_calls_keep_references(qtbot: QtBot) -> None:
    source = QObject()
    before = sys.getrefcount(None)
    for _ in range(CALLS):
        source.setObjectName("x")
    assert sys.getrefcount(None) >= before - 5
