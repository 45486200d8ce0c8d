"""Calls a person by desktop notification and sound, from the moment the window can be seen. Nothing here waits for anybody."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication, QStyle, QSystemTrayIcon

from cockpit.services.notice_calls import Call, Caller, Calls, place_of, production_of
from cockpit.services.notices import Notice, Severity
from ui import chime
from ui.desktop import Bubble, SessionBus
from ui.models.text import plain, plural

if TYPE_CHECKING:
    from cockpit.services.runtime import Outcome

log = logging.getLogger("cockpit")

SOON_MS = 50  # what is told together is one call
LANE = "desktop"
TROUBLE = "desktop"  # the key of its notice
WAITING = 8  # bubbles that wait while a server hangs
_REST = -1  # the topic of the bubble that counts the others
# a tray may hand the words on to a server that takes markup, and says nothing of it
_HARMLESS = {ord("<"): "‹", ord(">"): "›", ord("&"): "＆"}


def begin(cockpit: Any, window: Any) -> Callable[[], None]:
    """Listen to the notices from now on; answers what ends it. Once, when the window can be seen."""
    return Notifier(cockpit, window, SessionBus(), chime.Chime(QApplication.beep)).close


class Notifier(QObject):
    """Main thread; the bus is spoken to in a lane of the runner. `tray` makes a tray icon, None where there is no tray."""

    def __init__(self, cockpit: Any, window: Any, bus: Any, player: Any, tray: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self._cockpit, self._window, self._bus, self._player = cockpit, window, bus, player
        self._make_tray = tray or partial(_tray, window)
        self._tray: Any = None
        self._caller = Caller(cockpit.notices, lambda: cockpit.store.state, lambda: cockpit.settings.notices, cockpit.clock_us)
        self._waiting: dict[int, Bubble] = {}
        self._under_way: dict[int, Bubble] = {}
        self._closed = False
        self._soon = True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        cockpit.notices.first = self._in_production
        self._end = cockpit.notices.subscribe(self._heard)
        self._timer.start(SOON_MS)

    def _in_production(self, notice: Notice) -> bool:
        return place_of(notice) in production_of(self._cockpit.store.state)

    def _heard(self, notice: Notice) -> None:
        if not self._soon:
            self._soon = True
            self._timer.start(SOON_MS)

    def _look(self) -> None:
        self._soon = False
        calls = self._caller.due(self._active())
        if calls.again_s is not None:
            self._timer.start(round(calls.again_s * 1000))
        if calls.sound:
            self._sound(calls.sound)
        if calls.calls:
            self._show(calls)

    def _active(self) -> bool:
        return QApplication.activeWindow() is not None and not self._window.isMinimized()

    # -- sound ---------------------------------------------------------------------------------------------------------------

    def _sound(self, kind: str) -> None:
        work = partial(chime.made, self._cockpit.paths.cache / "sounds", kind)
        self._cockpit.runner.submit("sound", work, self._made)

    def _made(self, outcome: Outcome[Any]) -> None:
        if outcome.error is not None:
            log.info("a sound could not be made: %s", outcome.error)
        if not self._closed:
            self._player.play(outcome.value)

    # -- notifications -------------------------------------------------------------------------------------------------------

    def _show(self, calls: Calls) -> None:
        found = {call.notice.incident: bubble_of(call) for call in calls.calls}
        if calls.rest:
            found[_REST] = Bubble(_REST, f"{plural(calls.rest, 'more incident')} in production", "Notices lists them all.", True)
        for topic, bubble in found.items():
            self._waiting.pop(topic, None)
            self._waiting[topic] = bubble
        while len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._send()

    def _send(self) -> None:
        """One question at a time: behind a server that hangs nothing piles up."""
        if self._under_way or not self._waiting or self._closed:
            return
        self._under_way, self._waiting = self._waiting, {}
        if _has_bus():
            self._cockpit.runner.submit(LANE, partial(self._bus.show, list(self._under_way.values())), self._shown)
        else:
            self._by_tray()

    def _shown(self, outcome: Outcome[Any]) -> None:
        if self._closed:
            return
        if outcome.error is not None:
            self._by_tray(outcome.error)
            return
        self._over()

    def _by_tray(self, error: Exception | None = None) -> None:
        if self._tray is None:
            self._tray = self._make_tray()
        if self._tray is None:
            self._trouble(error)
        else:
            for bubble in self._under_way.values():
                title, body = bubble.title.translate(_HARMLESS), bubble.body.translate(_HARMLESS)
                self._tray.showMessage(title, body, QSystemTrayIcon.MessageIcon.Critical)
            self._over()
        self._under_way = {}
        self._send()

    def _over(self) -> None:
        self._under_way = {}
        self._cockpit.notices.over(TROUBLE)
        self._send()

    def _trouble(self, error: Exception | None) -> None:
        """Said once, not at each call."""
        words = getattr(error, "message", "") or str(error or "There is no tray here.")
        if not self._cockpit.notices.told(TROUBLE):
            log.info("desktop notifications: %s", words)
            title, hint = "Desktop notifications cannot be shown here", "This bar and the sound call you all the same."
            self._cockpit.notices.tell(Severity.INFO, title, words, hint=hint, key=TROUBLE, place="sources")

    def close(self) -> None:
        """Call nobody any more."""
        if self._closed:
            return
        self._closed = True
        self._end()
        self._timer.stop()
        self._player.close()
        self._bus.close()
        if self._tray is not None:
            self._tray.hide()


def bubble_of(call: Call) -> Bubble:
    """A call in plain words."""
    notice = call.notice
    more = f"{call.more} more stand there. " if call.more > 1 else "1 more stands there. " if call.more else ""
    body = f"{plain(notice.message, 300)} {more}{plain(notice.hint, 120)}".strip()
    return Bubble(notice.incident, plain(notice.title, 110), body, call.urgent or notice.severity is Severity.ERROR)


def _has_bus() -> bool:
    return not sys.platform.startswith(("win", "darwin"))


def _tray(window: Any) -> Any:
    """A tray icon whose messages lead to the window; None where there is no tray."""
    if not QSystemTrayIcon.isSystemTrayAvailable():
        return None
    icon = QSystemTrayIcon(window.style().standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning), window)
    icon.setToolTip("Release Cockpit")
    icon.messageClicked.connect(window.activateWindow)
    icon.show()
    return icon
