"""The window: places the screens, carries the selection to all of them, and remembers where everything stood."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QMainWindow, QWidget

from cockpit.services.store import Change
from ui.bridge import StoreSignals, guarded, turns_here
from ui.views.first_look import FirstLook

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.services.notices import Notice
    from ui.theme import Theme
    from ui.views.centre import Centre
    from ui.views.header import Header
    from ui.views.overview import OverviewView
    from ui.widgets.notice_bar import NoticeBar
    from ui.widgets.rollback_card import RollbackCard

_NOTICES = Change(frozenset(["notices"]))


class MainWindow(QMainWindow):
    """`settings` remembers geometry, selection and view; `clock_s` is the card's monotonic clock.

    With a theme in `look` it begins with yesterday's overview alone, drawn in that theme, and `complete` puts the parts in its place.
    """

    header: Header
    overview: OverviewView
    centre: Centre
    card: RollbackCard
    notice_bar: NoticeBar

    def __init__(
        self, cockpit: Cockpit, settings: QSettings, *, clock_s: Callable[[], float] = time.monotonic, look: Theme | None = None
    ) -> None:
        super().__init__()
        self.cockpit, self._settings, self._clock_s = cockpit, settings, clock_s
        self.service, self.environment = "", ""
        self._whole = False
        self.setWindowTitle("Release Cockpit")
        self.setMinimumSize(1280, 800)
        geometry = settings.value("geometry")
        # a file edited by hand can hold anything
        if not isinstance(geometry, QByteArray) or not self.restoreGeometry(geometry):
            self.resize(1280, 800)
        if look is None:
            self.complete()
        else:
            self.first_look = FirstLook(cockpit, look, self)
            self.setCentralWidget(self.first_look)

    def complete(self) -> None:
        """Put the parts in their places, and begin to listen. Once."""
        from ui.views.keys import bind

        self._build()
        self._whole = True
        self._connect()
        bind(self)
        self._signals = StoreSignals(self.cockpit.store, self)
        self._signals.changed.connect(self._changed)
        self._unsubscribe: Callable[[], None] | None = self.cockpit.notices.subscribe(self._noticed)
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(1000)
        self._turns = turns_here()
        self.centre.start_with(str(self._settings.value("view", "")))
        self._choose_first()
        self.centre.show_place(self.service, self.environment)
        self.overview.setFocus(QtCore.Qt.FocusReason.OtherFocusReason)

    def _build(self) -> None:
        from cockpit.services.clock import Jumps
        from ui.views.centre import Centre
        from ui.views.header import Header
        from ui.views.looking import notice_bar
        from ui.views.overview import OverviewView
        from ui.widgets.rollback_card import RollbackCard

        self.header, self.overview = Header(self.cockpit, self), OverviewView(self.cockpit, self)
        self.centre = Centre(self.cockpit, self, self._settings)
        self.card = RollbackCard(self.cockpit, self, clock_s=self._clock_s, jumped=Jumps(self.cockpit.clock_us, self._clock_s).jumped)
        self.notice_bar = notice_bar(self.cockpit, self)
        self.notice_bar.show_notice(self.cockpit.notices.newest)
        self.split = QtWidgets.QSplitter(self)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(8)
        for part in (self.overview, self.centre, self.card):
            self.split.addWidget(part)
        self.split.setStretchFactor(1, 1)
        self.split.setSizes([312, 668, 284])
        whole = QWidget(self)
        box = QtWidgets.QVBoxLayout(whole)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        for widget, share in ((self.header, 0), (self.split, 1), (self.notice_bar, 0)):
            box.addWidget(widget, share)
        self.setCentralWidget(whole)
        split = self._settings.value("split")
        if isinstance(split, QByteArray):
            self.split.restoreState(split)

    def _connect(self) -> None:
        self.overview.selected.connect(self.select)
        self.overview.opened.connect(self._opened)
        self.overview.went.connect(self.go)
        self.header.environment_chosen.connect(lambda name: self.select(self.service, name))
        self.header.filter_changed.connect(self._filter)
        self.header.sources_wanted.connect(partial(self.centre.go, "sources"))
        self.header.page_wanted.connect(self.go)
        self.header.help_wanted.connect(self.show_help)
        self.header.theme_chosen.connect(partial(self._settings.setValue, "theme"))
        self.centre.deploy_wanted.connect(self.card.show_deploy)
        self.centre.rollback_wanted.connect(self.card.show_rollback)
        self.centre.went.connect(self.go)
        self.card.went.connect(self.go)
        self.notice_bar.history_wanted.connect(partial(self.centre.go, "notices"))

    # ---- the selection

    def select(self, service: str, environment: str) -> None:
        """Choose a place for the whole window."""
        if (service, environment) != (self.service, self.environment):
            self.service, self.environment = service, environment
            self.header.show_place(service, environment)
            self.overview.show_place(service, environment)
            self.card.show_place(service, environment)
            self.centre.show_place(service, environment)

    def _choose_first(self) -> None:
        state = self.cockpit.store.state
        services = [s.name for s in state.services]
        environments = [e.name for e in sorted(state.environments, key=lambda e: e.rank)]
        if self.service in services and (self.environment in environments or not environments):
            return
        wished = str(self._settings.value("selection", "")).rpartition("/")
        service = wished[0] if wished[0] in services else services[0] if services else ""
        environment = wished[2] if wished[2] in environments else environments[-1] if environments else ""
        self.select(service, environment)

    def _opened(self, service: str, environment: str) -> None:
        self.select(service, environment)
        self.centre.go("latency")

    # ---- what happens

    def _changed(self, change: Change) -> None:
        if change.touches("services", "environments"):
            self._choose_first()
        self._turns.give(change, self.header.on_change, self.overview.on_change, self.centre.on_change)
        from ui.views.base import concerns

        # a source's health is in the ages of the card's facts, which it reads each second by itself
        if concerns(change, change.kinds - {"sources"}, self.service):
            self._turns.soon(self.card.refresh)

    def _tick(self) -> None:
        self._turns.soon(self.header.tick, self.overview.tick, self.centre.tick)

    def _noticed(self, notice: Notice) -> None:
        self.notice_bar.show_notice(self.cockpit.notices.newest)
        self.centre.on_change(_NOTICES)

    def go(self, name: str) -> None:
        """Open the place that a reason or a notice names, on the version that the card is about."""
        kind, version = self.card.mode
        if kind == "deploy" and version:
            self.centre.show_version(version)
        if name == "rollout":
            self.card.setFocus(QtCore.Qt.FocusReason.OtherFocusReason)
        else:
            # what another service needs stands in the matrix, what the settings say in the policy
            self.centre.go({"overview": "compatibility", "settings": "policy"}.get(name, name))

    def escape(self) -> None:
        """Esc, step by step: disarm, clear the filter, leave what the card shows, go back to the view before."""
        if self.card.machine.remaining_s > 0 and self.card.escape():
            return
        if self.header.filter.text() or self.header.filter.hasFocus():
            self.header.filter.clear()
            self.overview.setFocus(QtCore.Qt.FocusReason.OtherFocusReason)
        elif not self.card.escape():
            self.centre.go_back()

    def _filter(self, text: str) -> None:
        self.overview.set_filter(text)
        self.centre.set_filter(text)

    def focus_filter(self) -> None:
        """The keyboard goes to the filter."""
        self.header.filter.setFocus(QtCore.Qt.FocusReason.ShortcutFocusReason)
        self.header.filter.selectAll()

    def focus_environment(self) -> None:
        """The keyboard goes to the environments."""
        self.header.environment.setFocus(QtCore.Qt.FocusReason.ShortcutFocusReason)

    def refresh_sources(self) -> None:
        """Ask all sources now."""
        self.cockpit.sync.refresh_now()

    def show_help(self, page: str) -> None:
        """Open shortcuts or guide beside the window."""
        from ui.views.help import HelpDialog

        HelpDialog(page, self).show()

    # ---- memory

    @guarded
    def closeEvent(self, event: QtGui.QCloseEvent) -> None:
        """Remember, and stop listening."""
        if not self._whole:
            super().closeEvent(event)
            return
        for key, value in (("geometry", self.saveGeometry()), ("split", self.split.saveState()), ("view", self.centre.current)):
            self._settings.setValue(key, value)
        self._settings.setValue("selection", f"{self.service}/{self.environment}")
        self._timer.stop()
        self._signals.close()
        self._turns.forget(self)
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        super().closeEvent(event)
