"""Nothing that Qt calls lets an exception out: PySide can crash where one leaves an overridden method."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QModelIndex, QObject, QSize, Qt
from PySide6.QtWidgets import QWidget

import ui
from ui.bridge import guarded
from ui.models.table import Column, RowsModel

# they can not fail, or Qt's own code never calls them
TRIVIAL = {"hasHeightForWidth", "keyboardSearch"}


def classes() -> Iterator[type[QObject]]:
    for found in pkgutil.walk_packages(ui.__path__, "ui."):
        module = importlib.import_module(found.name)
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and issubclass(kind, QObject):
                yield kind


def overridden(kind: type[QObject]) -> Iterator[tuple[str, Any]]:
    """Methods that stand in a class of Qt, too."""
    theirs = {name for base in kind.__mro__ if base.__module__.startswith("PySide6") for name in vars(base)}
    for name, method in vars(kind).items():
        if name in theirs and inspect.isfunction(method) and not name.startswith("__"):
            yield name, method


def test_every_overridden_method_is_guarded() -> None:
    seen, bare = 0, []
    for kind in classes():
        for name, method in overridden(kind):
            seen += 1
            if not getattr(method, "guarded", False) and name not in TRIVIAL:
                bare.append(f"{kind.__module__}.{kind.__name__}.{name}")
    assert seen > 60
    assert not bare


class Broken(QWidget):
    @guarded
    def event(self, event: QEvent) -> bool:
        raise ValueError("event")

    @guarded
    def sizeHint(self) -> QSize:
        raise ValueError("size")

    @guarded
    def paintEvent(self, event: Any) -> None:
        raise ValueError("paint")


class BrokenModel(RowsModel):
    @guarded
    def rowCount(self, parent: Any = None) -> int:
        raise ValueError("rows")

    @guarded
    def flags(self, index: Any) -> Qt.ItemFlag:
        raise ValueError("flags")

    @guarded
    def data(self, index: Any, role: int = 0) -> Any:
        raise ValueError("data")


def test_an_exception_is_told_and_qt_gets_something_harmless(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(str(error)))
    widget = Broken()
    assert widget.event(QEvent(QEvent.Type.None_)) is False
    assert widget.sizeHint() == QSize()
    widget.paintEvent(None)
    model = BrokenModel([Column("a", str)], str)
    assert model.rowCount() == 0
    assert model.flags(QModelIndex()) == Qt.ItemFlag.NoItemFlags
    assert model.data(QModelIndex()) is None
    assert told == ["event", "size", "paint", "rows", "flags", "data"]
