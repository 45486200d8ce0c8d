"""The window: places the screens, carries the selection to all of them, and remembers where everything stood."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QMainWindow, QSplitter, QVBoxLayout, QWidget

from cockpit.services.notices import Notice
from cockpit.services.store import Change
from ui.bridge import StoreSignals, guarded
from ui.views.base import concerns
from ui.views.header import Header
from ui.views.overview import OverviewView
from ui.widgets.notice_bar import NoticeBar

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from ui.views.centre import Centre
    from ui.widgets.rollback_card import RollbackCard

_AGES = Change(frozenset(["ages"]))
_NOTICES = Change(frozenset(["notices"]))


class MainWindow(QMainWindow):
    """`settings` remembers geometry, selection and view; `clock_s` is the card's monotonic clock.

    With `whole` False there are header, overview and notices only, until `complete` adds the rest: the first paint is sooner.
    """

    centre: Centre
    card: RollbackCard

    def __init__(self, cockpit: Cockpit, settings: QSettings, *, clock_s: Callable[[], float] = time.monotonic, whole: bool = True) -> None:
        super().__init__()
        self.cockpit, self._settings, self._clock_s = cockpit, settings, clock_s
        self.service, self.environment = "", ""
        self._whole, self._beat = False, 0
        self.setWindowTitle("Release Cockpit")
        self.setMinimumSize(1280, 800)
        self._build()
        self.notice_bar.show_notice(cockpit.notices.newest)
        self._restore()
        if whole:
            self.complete()

    def complete(self) -> None:
        """Add what the first paint does not wait for, and begin to listen. Once."""
        from ui.views.centre import Centre
        from ui.widgets.rollback_card import RollbackCard

        self.centre = Centre(self.cockpit, self, self._settings)
        self.card = RollbackCard(self.cockpit, self, clock_s=self._clock_s)
        for place, part in ((1, self.centre), (2, self.card)):
            held = self.split.replaceWidget(place, part)
            if held is not None:
                held.deleteLater()
            part.show()
        self._whole = True
        self._connect()
        self._keys()
        self._signals = StoreSignals(self.cockpit.store, self)
        self._signals.changed.connect(self._changed)
        self._unsubscribe: Callable[[], None] | None = self.cockpit.notices.subscribe(self._noticed)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(333)
        self.centre.start_with(str(self._settings.value("view", "")))
        self._show_place()

    def _build(self) -> None:
        self.header = Header(self.cockpit, self)
        self.overview = OverviewView(self.cockpit, self)
        self.notice_bar = NoticeBar(self.cockpit.clock_us, self)
        self.split = QSplitter(Qt.Orientation.Horizontal, self)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(8)
        for stretch, part in ((0, self.overview), (1, QWidget(self)), (0, QWidget(self))):
            self.split.addWidget(part)
            self.split.setStretchFactor(self.split.count() - 1, stretch)
        self.split.setSizes([312, 668, 284])
        whole = QWidget(self)
        box = QVBoxLayout(whole)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        for widget, share in ((self.header, 0), (self.split, 1), (self.notice_bar, 0)):
            box.addWidget(widget, share)
        self.setCentralWidget(whole)
        self.overview.selected.connect(self.select)

    def _connect(self) -> None:
        self.overview.opened.connect(self._opened)
        self.header.environment_chosen.connect(self._environment_chosen)
        self.header.filter_changed.connect(self._filter)
        self.header.sources_wanted.connect(partial(self.centre.go, "sources"))
        self.header.help_wanted.connect(self.show_help)
        self.header.theme_chosen.connect(partial(self._settings.setValue, "theme"))
        self.centre.deploy_wanted.connect(self.card.show_deploy)
        self.centre.rollback_wanted.connect(self.card.show_rollback)
        self.card.went.connect(self.go)
        self.notice_bar.history_wanted.connect(partial(self.centre.go, "notices"))

    def _keys(self) -> None:
        from ui.views.centre import VIEWS

        keys: list[tuple[str, Callable[[], Any]]] = [
            ("/", self._focus_filter), ("E", self._focus_environment), ("A", partial(self.centre.go, "approvals")), ("Esc", self.escape),
            ("Shift+R", self.card.arm), ("Ctrl+Return", self.card.fire), ("Ctrl+Enter", self.card.fire), ("F5", self._refresh),
            ("?", partial(self.show_help, "shortcuts")), ("F1", partial(self.show_help, "guide")),
        ]  # fmt: skip
        for text, act in keys:
            self._shortcut(text).activated.connect(act)
        for number, name in enumerate(VIEWS, 1):
            shortcut = self._shortcut(str(number))
            shortcut.setObjectName(name)
            shortcut.activated.connect(self._view_key)

    def _shortcut(self, text: str) -> QShortcut:
        shortcut = QShortcut(QKeySequence(text), self)
        shortcut.setAutoRepeat(False)
        return shortcut

    # ---- the selection

    def select(self, service: str, environment: str) -> None:
        """Choose a place for the whole window."""
        if (service, environment) != (self.service, self.environment):
            self.service, self.environment = service, environment
            self.header.show_environment(environment)
            self.overview.show_place(service, environment)
            self._show_place()

    def _show_place(self) -> None:
        if self._whole:
            self.card.show_place(self.service, self.environment)
            self.centre.show_place(self.service, self.environment)

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

    def _environment_chosen(self, name: str) -> None:
        self.select(self.service, name)

    # ---- what happens

    def _changed(self, change: Change) -> None:
        if change.touches("services", "environments"):
            self._choose_first()
        for part in (self.header, self.overview, self.centre):
            part.on_change(change)
        # a source's health is in the ages of the card's facts, which it reads each second by itself
        if concerns(change, change.kinds - {"sources"}, self.service):
            self.card.on_change(change)

    def _tick(self) -> None:
        self._beat = (self._beat + 1) % 3  # each once a second, one after the other, so that no beat is long
        if not self._beat:
            self.header.tick()
        else:
            (self.overview if self._beat == 1 else self.centre).on_change(_AGES)

    def _noticed(self, notice: Notice) -> None:
        self.notice_bar.show_notice(self.cockpit.notices.newest)
        self.centre.on_change(_NOTICES)

    def go(self, name: str) -> None:
        """Open the place that a reason or a notice names, on the version that the card is about."""
        kind, version = self.card.mode
        if kind == "deploy" and version:
            self.centre.show_version(version)
        self.centre.go(name)

    def escape(self) -> None:
        """Esc, step by step: disarm, clear the filter, leave what the card shows, go back to the view before."""
        if self.card.machine.remaining_s > 0 and self.card.escape():
            return
        if self.header.filter.text() or self.header.filter.hasFocus():
            self.header.filter.clear()
            self.overview.setFocus(Qt.FocusReason.OtherFocusReason)
        elif not self.card.escape():
            self.centre.go_back()

    def _view_key(self) -> None:
        self.centre.go(self.sender().objectName())

    def _filter(self, text: str) -> None:
        self.overview.set_filter(text)
        self.centre.set_filter(text)

    def _focus_filter(self) -> None:
        self.header.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.header.filter.selectAll()

    def _focus_environment(self) -> None:
        self.header.environment.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _refresh(self) -> None:
        self.cockpit.sync.refresh_now()

    def show_help(self, page: str) -> None:
        """Open shortcuts or guide beside the window."""
        from ui.views.help import HelpDialog

        HelpDialog(page, self).show()

    # ---- memory

    def _restore(self) -> None:
        geometry, split = self._settings.value("geometry"), self._settings.value("split")
        # a file edited by hand can hold anything
        if not isinstance(geometry, QByteArray) or not self.restoreGeometry(geometry):
            self.resize(1280, 800)
        if isinstance(split, QByteArray):
            self.split.restoreState(split)
        self._choose_first()
        self.overview.setFocus(Qt.FocusReason.OtherFocusReason)

    @guarded
    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember, and stop listening."""
        if not self._whole:
            super().closeEvent(event)
            return
        for key, value in (("geometry", self.saveGeometry()), ("split", self.split.saveState()), ("view", self.centre.current)):
            self._settings.setValue(key, value)
        self._settings.setValue("selection", f"{self.service}/{self.environment}")
        self._timer.stop()
        self._signals.close()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        super().closeEvent(event)
