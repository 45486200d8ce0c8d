"""What all screens share: the selected place, and reading the state only while they can be seen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from cockpit.domain.facts import place
from cockpit.services.store import AppState, Change
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit


# fields of the state whose keys begin with the service's name
_BY_SERVICE = frozenset(["ages", "versions", "changes", "fleets", "deployments", "artifacts", "checks", "latency"])


class View(QWidget):
    """A screen. `kinds` names the fields of the state it reads; a hidden one waits until it is shown."""

    kinds: frozenset[str] = frozenset()
    everywhere = False  # reads what is known of every service, not only of the selected one

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cockpit = cockpit
        self.service = ""
        self.environment = ""
        self._late = True
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(16, 12, 16, 12)
        self.box.setSpacing(8)

    @property
    def state(self) -> AppState:
        """What is known now."""
        return self.cockpit.store.state

    @property
    def place(self) -> str:
        """The key of the selected place."""
        return place(self.service, self.environment)

    def show_place(self, service: str, environment: str) -> None:
        """Show this service in this environment."""
        if (service, environment) != (self.service, self.environment):
            self.service, self.environment = service, environment
            self.place_changed()
        self.read()

    def place_changed(self) -> None:
        """Forget what belonged to the place before."""

    def on_change(self, change: Change) -> None:
        """The state changed, or a second passed (kind "ages")."""
        if change.touches(*self.kinds) and (self.everywhere or concerns(change, self.kinds, self.service)):
            self.read()

    def read(self) -> None:
        """Refresh now where visible, else when shown."""
        if self.isVisible():
            self._late = False
            self.refresh()
        else:
            self._late = True

    def refresh(self) -> None:
        """Paint what is so now."""
        raise NotImplementedError

    def showEvent(self, event: QShowEvent) -> None:
        """What changed meanwhile is read before the first paint."""
        if self._late:
            self._late = False
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - PySide 6.11 on Python 3.11 crashes where some exceptions leave an overridden event handler
                sys.excepthook(*sys.exc_info())
        super().showEvent(event)

    def set_filter(self, text: str) -> None:
        """The window's filter; screens without a table ignore it."""


def concerns(change: Change, kinds: frozenset[str], service: str) -> bool:
    """Whether a change of these kinds may touch that service: with fifty services polled each second most touch another one.

    Ages that came with an answer wait for the window's own tick, which has no ids.
    """
    if not change.ids or not change.kinds & kinds <= _BY_SERVICE:
        return True
    return any(key == service or key.startswith((f"{service}@", f"{service}:")) for key in change.ids)


def bar(*widgets: QWidget | None) -> QHBoxLayout:
    """Widgets beside each other; None is the space that grows."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    for widget in widgets:
        if widget is None:
            row.addStretch(1)
        else:
            row.addWidget(widget, 1 if isinstance(widget, Text) else 0)
    return row


def button(text: str, parent: QWidget, *, role: str = "", checkable: bool = False, tip: str = "") -> QPushButton:
    """A push button with its accessible name; it never takes a dialog's Enter."""
    made = QPushButton(text, parent)
    made.setAccessibleName(text)
    made.setAutoDefault(False)
    made.setCheckable(checkable)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if role:
        made.setProperty("role", role)
    if tip:
        made.setToolTip(tip)
    return made
