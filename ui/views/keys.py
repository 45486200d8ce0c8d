"""The window's keys, in one place: what each does is said in Help."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6 import QtGui

from ui.views.centre import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def bind(window: Any) -> None:
    """Give the main window its shortcuts."""
    go, card = window.centre.go, window.card
    keys: list[tuple[str, Callable[[], Any]]] = [
        ("/", window.focus_filter), ("E", window.focus_environment), ("A", partial(go, "approvals")), ("F", partial(go, "freezes")),
        ("Esc", window.escape), ("Shift+R", card.arm), ("Ctrl+Return", card.fire), ("Ctrl+Enter", card.fire),
        ("Shift+S", window.header.watch.stop), ("W", partial(look_at_watch, window)), ("F5", window.refresh_sources),
        ("?", partial(window.show_help, "shortcuts")), ("F1", partial(window.show_help, "guide")),
    ]  # fmt: skip
    keys += [(str(number), partial(go, name)) for number, name in enumerate(VIEWS, 1)]
    for text, act in keys:
        shortcut = QtGui.QShortcut(QtGui.QKeySequence(text), window)
        shortcut.setAutoRepeat(False)
        shortcut.activated.connect(act)
    window.header.watch.place_wanted.connect(partial(look_at_watch, window))


def look_at_watch(window: Any, service: str = "", environment: str = "") -> None:
    """Open the watch of that place; without one of the countdown's, else of the selected place."""
    service, environment = (service, environment) if service else window.header.watch.place
    if service:
        window.select(service, environment)
    window.centre.go("watch")
