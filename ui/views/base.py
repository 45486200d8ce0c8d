"""What all screens share: the selected place, and reading the state only while they can be seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, QSettings, Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QPushButton, QSplitter, QVBoxLayout, QWidget

from cockpit.domain.facts import place
from cockpit.services.store import AppState, Change
from ui.bridge import guarded
from ui.theme import font
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit


AGES = Change(frozenset(["ages"]))
# fields of the state whose keys begin with the service's name
_BY_SERVICE = frozenset(["ages", "versions", "changes", "fleets", "deployments", "artifacts", "checks", "latency", "watches"])


class View(QWidget):
    """A screen. `kinds` names the fields of the state it reads; a hidden one waits until it is shown.

    `beside` names fields that only a small part of it reads, with what refreshes that part.
    """

    kinds: frozenset[str] = frozenset()
    everywhere = False  # reads what is known of every service, not only of the selected one

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cockpit = cockpit
        self._core: Any = cockpit
        self.service = ""
        self.environment = ""
        self._late = True
        self._settings: QSettings | None = None
        self.beside: dict[str, Callable[[], None]] = {}
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(16, 12, 16, 12)
        self.box.setSpacing(8)

    @property
    def state(self) -> AppState:
        """What is known now."""
        return self.cockpit.store.state

    @property
    def words(self) -> Any:
        """What a person says is said through these; they come with the whole core, after the first paint."""
        return self._core.words

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
        """The state changed, or a second passed (`AGES`)."""
        if change.touches(*self.kinds) and (self.everywhere or concerns(change, self.kinds, self.service)):
            self.read()
        elif self.isVisible():
            for kind, refresh in self.beside.items():
                if kind in change.kinds and concerns(change, frozenset([kind]), self.service):
                    refresh()

    def tick(self) -> None:
        """A second passed."""
        self.on_change(AGES)

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

    @guarded
    def showEvent(self, event: QShowEvent) -> None:
        """What changed meanwhile is read before the first paint."""
        if self._late:
            self._late = False
            self.refresh()
        super().showEvent(event)

    def set_filter(self, text: str) -> None:
        """The window's filter; screens without a table ignore it."""

    def remember(self, settings: QSettings) -> None:
        """Put the named splitters where they stood, and note from now on where they stand."""
        self._settings = settings
        for split in self.findChildren(QSplitter):
            place = settings.value(f"split/{split.objectName()}")
            # a file edited by hand can hold anything
            if split.objectName() and isinstance(place, QByteArray):
                split.restoreState(place)
            split.splitterMoved.connect(self._note_splitters)

    def _note_splitters(self) -> None:
        for split in self.findChildren(QSplitter):
            if split.objectName() and self._settings is not None:
                self._settings.setValue(f"split/{split.objectName()}", split.saveState())


def services_in(change: Change, kinds: frozenset[str]) -> set[str] | None:
    """The services that a change of these kinds may touch, and other words besides; None for all of them."""
    if not change.ids or not change.kinds & kinds <= _BY_SERVICE:
        return None
    found = set(change.ids)
    for key in change.ids:
        # a service's name may hold these signs itself
        found.update(key[:i] for i, sign in enumerate(key) if sign in "@:")
    return found


def concerns(change: Change, kinds: frozenset[str], service: str) -> bool:
    """Whether a change of these kinds may touch that service: with fifty services polled each second most touch another one."""
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


def text_pane(name: str, parent: QWidget, role: str = "body") -> QPlainTextEdit:
    """A pane of plain text to read and copy from; Tab leaves it."""
    pane = QPlainTextEdit(parent)
    pane.setReadOnly(True)
    pane.setAccessibleName(name)
    pane.setFont(font(role))
    pane.setTabChangesFocus(True)
    return pane


def split_of(name: str, parent: QWidget, *parts: QWidget, sizes: Sequence[int] = ()) -> QSplitter:
    """Parts below each other with handles between them; `name` is where their places are remembered, "" for not."""
    split = QSplitter(Qt.Orientation.Vertical, parent)
    split.setObjectName(name)
    split.setChildrenCollapsible(False)
    split.setHandleWidth(8)
    for part in parts:
        split.addWidget(part)
    if sizes:
        split.setSizes(list(sizes))
    return split
