"""Stop: one click that only prevents. The rest of a click that was meant for something else never reaches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QPushButton, QWidget

from cockpit.domain.errors import CockpitError
from cockpit.domain.watching import Watched
from ui.bridge import guarded
from ui.models.text import tooltip_text
from ui.models.watch import announced_words
from ui.widgets.arming import GUARD_S

STOPS = "Nothing is rolled back by itself then; a window on another machine is stopped there (Shift+S)"


class Stopper:
    """Stops the countdown that is shown. `clock_s` is monotonic: for GUARD_S after another one came, a press means something else.

    Unlike with Fire, pressing again and again does not start the guard anew: whoever hammers Stop means it. No Qt.
    """

    def __init__(self, cockpit: Any, clock_s: Callable[[], float]) -> None:
        self._cockpit, self._clock_s = cockpit, clock_s
        self._shown: Watched | None = None
        self._since_s = float("-inf")

    def show(self, watched: Watched | None) -> bool:
        """This countdown is shown now, or none; answers whether it is another one than before."""
        other = _subject(watched) != _subject(self._shown)
        if other:
            self._since_s = self._clock_s()
        self._shown = watched
        return other

    def why_not(self) -> str:
        """Why pressing would stop nothing, "" where it would."""
        watch = getattr(self._cockpit, "watch", None)
        if self._shown is None or watch is None:
            return "nothing is counted down"
        why: str = watch.why_not_stop(self._shown.service, self._shown.environment)
        return why

    def press(self) -> str:
        """Stop it. Answers a refusal in words; "" where it is stopped, or where the press came too soon to be meant."""
        if self._shown is None or self._clock_s() - self._since_s < GUARD_S:
            return ""
        why = self.why_not()
        if why:
            return f"Not stopped: {why}"
        try:
            self._cockpit.watch.stop(self._shown.service, self._shown.environment)
        except CockpitError as error:
            return f"Not stopped: {error.title}: {error.message} {error.hint}".strip()
        return ""


def _subject(watched: Watched | None) -> tuple[object, ...]:
    if watched is None or watched.countdown is None:
        return ()
    return watched.service, watched.environment, watched.deployment, watched.countdown.announced_us


class StopButton(QPushButton):
    """Says what it stops to a screen reader. A held key presses once."""

    def __init__(self, parent: QWidget | None = None, *, role: str = "") -> None:
        super().__init__("Stop", parent)
        self.setAutoDefault(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if role:
            self.setProperty("role", role)

    def about(self, watched: Watched, why_not: str) -> None:
        """It stops this one; `why_not` says why it would not."""
        name = f"Stop the {announced_words(watched)[0].lower()}{announced_words(watched)[1:]}"
        if name != self.accessibleName():
            self.setAccessibleName(name)
        tip = f"Not possible: {why_not}" if why_not else STOPS
        if tip != self.accessibleDescription():
            self.setAccessibleDescription(tip)
            self.setToolTip(tooltip_text(tip))

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses it too."""
        if event.isAutoRepeat():
            event.accept()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()
            self.click()
        else:
            super().keyPressEvent(event)


def announce(about: QObject, words: str) -> None:
    """Have a screen reader say it now, where one listens."""
    from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent

    if QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(about, words))
