"""The strip below the window's head: a countdown of any place with Stop, what became of it, else how the watches stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QRectF, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QWidget

from cockpit.domain.facts import place
from cockpit.domain.watching import Watched, WatchState
from ui.bridge import guarded
from ui.models.text import plain, plural
from ui.models.watch import announced_words, idle, left_s, line_words, seconds_words, stopped_words, why_words
from ui.theme import theme_of
from ui.widgets.card_pages import outcome_words
from ui.widgets.panel import StateLabel
from ui.widgets.shapes import fill
from ui.widgets.texts import Text
from ui.widgets.watch_stop import StopButton, Stopper, announce
from ui.widgets.watch_text import CountdownText

NOTE_S = 20.0  # what became of a countdown stands so long
COUNTING_MS = 250
SAY_AGAIN_S = 10
IDLE, COUNTING, NOTE = range(3)
_WORST = (WatchState.BAD, WatchState.BLIND, WatchState.WATCHING, WatchState.FINE, WatchState.STOPPED)


class WatchStrip(QStackedWidget):
    """One line. `place_wanted` carries the place that a click on the countdown leads to. `idle_words` stand there while nothing counts."""

    place_wanted = Signal(str, str)

    def __init__(self, cockpit: Any, parent: QWidget | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self._cockpit, self._clock_s = cockpit, clock_s
        self.idle_words = ""  # how the watches stand
        self.stopper = Stopper(cockpit, clock_s)
        self._watched: Watched | None = None
        self._more = 0  # countdowns besides the one that is shown
        self._note, self._noted_s, self._noted_us = ("", ""), float("-inf"), 0
        self._began = ("", "")  # the place whose rollback the note speaks of
        self._refused, self._said_again, self._room = "", False, False
        self._build()
        self._timer = QTimer(self)
        self._timer.setInterval(COUNTING_MS)
        self._timer.timeout.connect(self.tick)
        self.refresh()

    def _build(self) -> None:
        self.setAccessibleName("Automatic rollback")
        self.idle = Text(ink="muted", parent=self)
        self.stop_button = StopButton(self, role="flat")
        self.countdown = CountdownText(self)
        self.note = StateLabel("strong", self)
        counting = QWidget(self)
        row = QHBoxLayout(counting)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.stop_button)
        row.addWidget(self.countdown, 1)
        for page in (self.idle, counting, self.note):
            self.addWidget(page)
        self.stop_button.clicked.connect(self.stop)
        self.countdown.clicked.connect(self._go)

    def wants_room(self) -> bool:
        """Whether room is kept for it: where something may be rolled back automatically. Once it is there it stays."""
        state = self._cockpit.store.state
        self._room = (
            self._room
            or any(rule.automatic for rule in self._cockpit.rules.watches.values())
            or any(w.automatic or w.countdown is not None for w in state.watches.values())
        )
        return self._room

    @property
    def place(self) -> tuple[str, str]:
        """The place of the countdown that is shown, ("", "") without one."""
        return (self._watched.service, self._watched.environment) if self._watched is not None else ("", "")

    def refresh(self) -> None:
        """Show the countdown that ends first, of all places."""
        watches = self._cockpit.store.state.watches
        counting = [w for w in watches.values() if w.countdown is not None]
        first = min(counting, key=lambda w: (w.countdown.at_us, w.service, w.environment), default=None)
        before = self._watched
        if before is not None and (first is None or self.place != (first.service, first.environment)):
            self._ended(watches.get(place(before.service, before.environment)))
        if self.stopper.show(first) and first is not None:
            self._refused, self._said_again = "", False
            announce(self, f"{announced_words(first)} {seconds_words(first.countdown, self._cockpit.clock_us())}: {why_words(first)}")
        self._watched = first
        self._more = len(counting) - 1
        self.tick()

    def _ended(self, watched: Watched | None) -> None:
        """The countdown that was shown is no more: why, for a while."""
        if watched is None or watched.countdown is not None:
            return
        where = f"{plain(watched.service, 60)} in {plain(watched.environment, 60)}"
        if watched.stopped_by:
            self._tell("held", f"Automatic rollback of {where}. {stopped_words(watched)}")
        elif watched.action or watched.kind == "rollback":
            self._tell("info", f"Automatic rollback of {where} began")
            self._began = (watched.service, watched.environment)
        else:
            self._tell("pending", f"Automatic rollback of {where} was called off: {plain(watched.why_not, 300) or 'its reason is gone'}")

    def _tell(self, word: str, words: str) -> None:
        self._note, self._noted_s, self._noted_us = (word, words), self._clock_s(), self._cockpit.clock_us()
        self._began = ("", "")
        announce(self, words)

    def tick(self) -> None:
        """A moment passed."""
        watched, noted = self._watched, self._clock_s() - self._noted_s < NOTE_S
        if watched is not None or noted:
            self._timer.start()
        else:
            self._timer.stop()
        if watched is not None and watched.countdown is not None:
            self._paint_countdown(watched)
            self._turn(COUNTING)
        elif noted:
            self.note.show_state(*self._became())
            self._turn(NOTE)
        else:
            self.idle.set_text(self.idle_words or self._standing())
            self._turn(IDLE)

    def _became(self) -> tuple[str, str]:
        """The note; of a rollback that began how it ended, as soon as that is known."""
        since_us = self._noted_us - round(NOTE_S * 1e6)
        here = (a for a in self._cockpit.store.state.actions.values() if (a.service, a.environment) == self._began)
        mine = (a for a in here if a.kind == "rollback" and a.intended_at_us > since_us)
        newest = max(mine, key=lambda a: a.intended_at_us, default=None)
        if newest is None or not newest.state.final:
            return self._note
        word, words = outcome_words(newest)
        return word, f"{self._note[1].removesuffix(' began')}: {words[:1].lower()}{words[1:]}"

    def _turn(self, page: int) -> None:
        focus = QApplication.focusWidget()
        if page != self.currentIndex() and focus is not None and self.isAncestorOf(focus):
            # the focus never falls from Stop onto whatever comes next
            self.setFocus()
        self.setCurrentIndex(page)

    def _paint_countdown(self, watched: Watched) -> None:
        countdown, now_us = watched.countdown, self._cockpit.clock_us()
        if countdown is None:
            return
        more = f"and {self._more} more: " if self._more else ""
        self.countdown.show_words(
            announced_words(watched), seconds_words(countdown, now_us), self._refused or f"{more}{why_words(watched)}"
        )
        self.stop_button.about(watched, self.stopper.why_not())
        if left_s(countdown, now_us) <= SAY_AGAIN_S and not self._said_again:
            self._said_again = True
            announce(self, f"{announced_words(watched)} {seconds_words(countdown, now_us)}")

    def _standing(self) -> str:
        """How the watches stand: what is bad, else production before all others, the worst of them."""
        now_us, state = self._cockpit.clock_us(), self._cockpit.store.state
        going = [w for w in state.watches.values() if not w.over]
        production = {e.name for e in state.environments if e.production}

        def weight(w: Watched) -> tuple[object, ...]:
            return w.state is not WatchState.BAD, w.environment not in production, _WORST.index(w.state), -w.started_us

        worst = min(going, key=weight, default=None)
        if worst is None:
            return "No deployment is watched now. Where the policy says so, a bad one is rolled back automatically, after a countdown."
        others = f" ({plural(len(going), 'watch', 'watches')})" if len(going) > 1 else ""
        where = f"{plain(worst.service, 60)} in {plain(worst.environment, 60)}"
        quiet = idle(worst, state.latency.get(place(worst.service, worst.environment)), now_us)
        return f"{where}{others}: {line_words(worst, now_us, quiet)}"

    def stop(self) -> None:
        """Stop what is counted down here; the key does it too."""
        self._refused = self.stopper.press()
        self.refresh()

    def _go(self) -> None:
        if self._watched is not None:
            self.place_wanted.emit(*self.place)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Filled while it counts."""
        if self.currentIndex() != COUNTING:
            return
        with QPainter(self) as painter:
            fill(painter, QRectF(self.rect()), theme_of(self).bad)
