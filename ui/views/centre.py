"""The middle of the window: one screen at a time for the selected place, each made when it is first shown."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSettings, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from cockpit.domain.release import Version
from cockpit.services.store import Change
from ui.models.text import plain
from ui.views.alerts import AlertButton
from ui.views.base import AGES
from ui.widgets.texts import Text

if TYPE_CHECKING:
    from cockpit.app import Cockpit

VIEWS = ("versions", "checks", "latency", "approvals", "activity", "sources", "notices", "alerts")
# opened from elsewhere, below the tab they belong to
PAGES = {"freezes": "approvals", "policy": "approvals", "compatibility": "versions", "nodes": "latency", "watch": "latency"}


class Centre(QWidget):
    """Tabs and screens. `deploy_wanted` and `rollback_wanted` carry a version's name for the card; `went` a place to go to."""

    deploy_wanted = Signal(str)
    rollback_wanted = Signal(str)
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None, settings: QSettings | None = None) -> None:
        super().__init__(parent)
        self._cockpit, self._settings = cockpit, settings
        self.service, self.environment, self._version, self._filter = "", "", "", ""
        self._back: list[str] = []
        self._page = ""
        self.made: dict[str, Any] = {}
        self.tabs = QTabBar(self)
        self.tabs.setAccessibleName("Views")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        for name in VIEWS:
            self.tabs.addTab(name.capitalize())
        self.pages = QStackedWidget(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 12, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._head())
        column.addWidget(self.tabs)
        column.addWidget(self.pages, 1)
        self.tabs.currentChanged.connect(self._tab_changed)
        self.tabs.tabBarClicked.connect(self._tab_clicked)

    def _head(self) -> QHBoxLayout:
        """The place's name, and its alerts."""
        self.title = Text("Nothing selected", role="title", parent=self)
        self.title.setContentsMargins(16, 0, 16, 0)
        # a tall screen must not squeeze it: the tabs would jump
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.alerts = AlertButton(self._cockpit, self)
        self.alerts.clicked.connect(self._alerts)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 8, 0)
        head.addWidget(self.title, 1)
        head.addWidget(self.alerts)
        return head

    @property
    def current(self) -> str:
        """The name of the screen shown."""
        return self._page or VIEWS[self.tabs.currentIndex()]

    def view(self, name: str) -> Any:
        """The screen of that name; imported and made only now, so that the first paint waits for none but the first."""
        if name not in self.made:
            kind: Callable[[Cockpit, QWidget], Any] = getattr(import_module(f"ui.views.{name}"), f"{name.capitalize()}View")
            screen = self.made[name] = kind(self._cockpit, self.pages)
            self.pages.addWidget(screen)
            if self._settings is not None:
                screen.remember(self._settings)
            slots: dict[str, Any] = {
                "deploy_wanted": self.deploy_wanted,
                "rollback_wanted": self.rollback_wanted,
                "went": self.went,
                "version_selected": self._version_selected,
                "closed": self.go_back,
            }
            for signal, slot in slots.items():
                if hasattr(screen, signal):
                    getattr(screen, signal).connect(slot)
        return self.made[name]

    def _fill(self) -> None:
        screen = self.view(self.current)
        if hasattr(screen, "show_place"):
            screen.show_place(self.service, self.environment)
        if self._version and self.current in ("checks", "approvals"):
            screen.show_version(self._version)
        if hasattr(screen, "set_filter"):
            screen.set_filter(self._filter)

    def start_with(self, name: str) -> None:
        """Show the screen of that name, else the first one."""
        self.tabs.setCurrentIndex(VIEWS.index(name) if name in VIEWS else 0)
        self._tab_changed(self.tabs.currentIndex())

    def go(self, name: str) -> None:
        """Go to the screen of that name; Esc leads back."""
        if (name in VIEWS or name in PAGES) and name != self.current:
            self._back = [*self._back[-9:], self.current]
            self._open(name)

    def _alerts(self) -> None:
        self.go("alerts")

    def go_back(self) -> bool:
        """Back to the screen before; answers whether there was one."""
        if not self._back:
            return False
        self._open(self._back.pop())
        return True

    def _open(self, name: str) -> None:
        """Show it, with the tab that it is or belongs to."""
        self.tabs.blockSignals(True)
        self.tabs.setCurrentIndex(VIEWS.index(PAGES.get(name, name)))
        self.tabs.blockSignals(False)
        self._page = name if name in PAGES else ""
        self._show()

    def _tab_changed(self, index: int) -> None:
        self._page = ""
        self._show()

    def _tab_clicked(self, index: int) -> None:
        """The tab that a page belongs to leads out of the page."""
        if self._page and index == self.tabs.currentIndex():
            self._page = ""
            self._show()

    def _show(self) -> None:
        screen = self.view(self.current)
        self._fill()
        self.pages.setCurrentWidget(screen)

    def show_place(self, service: str, environment: str) -> None:
        """Show this service in this environment."""
        self.service, self.environment, self._version = service, environment, ""
        self._tell_title()
        self.alerts.show_place(service, environment)
        self._fill()

    def _tell_title(self) -> None:
        words = f"{plain(self.service)} in {plain(self.environment)}" if self.environment else plain(self.service)
        self.title.set_text(words or plain(self._cockpit.store.state.starting, 200) or "Nothing selected")

    def show_version(self, name: str) -> None:
        """Tests and approvals show this version."""
        self._version = name
        if self.current in ("checks", "approvals"):
            self._fill()

    def set_filter(self, text: str) -> None:
        """Filter what the screens list."""
        self._filter = text
        self._fill()

    def _version_selected(self, version: Version | None) -> None:
        self._version = version.name if version else ""

    def tick(self) -> None:
        """A second passed."""
        self.on_change(AGES)

    def on_change(self, change: Change) -> None:
        """Screens that are hidden note that they are late; those that can be seen read at once."""
        if change.touches("starting"):
            self._tell_title()
        if change.touches("alerts", "ages"):
            self.alerts.refresh()
        for screen in self.made.values():
            if hasattr(screen, "on_change"):
                screen.on_change(change)
