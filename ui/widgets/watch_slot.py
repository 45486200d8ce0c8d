"""The watch on the action card: how it stands in a few lines, and in the same room the countdown with Stop.

It has its room from the moment on that a place has a watch, so that nothing below it moves when a countdown begins or ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from cockpit.domain.facts import place
from cockpit.domain.watching import Watched, WatchState
from ui.bridge import guarded
from ui.models.text import plain
from ui.models.watch import (
    BY_HAND,
    announced_words,
    automatic_row,
    beside_state,
    finding_row,
    fresh,
    glance,
    idle,
    joined,
    load_share,
    look_words,
    progress_words,
    seconds_words,
    sentence,
    stopped_words,
    time_share,
    why_words,
)
from ui.theme import theme_of
from ui.widgets.texts import Text
from ui.widgets.watch_stop import StopButton, Stopper
from ui.widgets.watch_text import Paragraph, Standing

LINES = 3
COUNTING_MS = 250
QUIET, STOP = range(2)


class WatchSlot(QWidget):
    """State, sentence, progress; while it counts down seconds, reason, Stop. `went` names a view to open."""

    went = Signal(str)

    def __init__(self, cockpit: Any, parent: QWidget | None, clock_s: Callable[[], float]) -> None:
        super().__init__(parent)
        self._cockpit = cockpit
        self._place, self._refused = "", ""
        self._watched: Watched | None = None
        self.stopper = Stopper(cockpit, clock_s)
        self._build()
        self._timer = QTimer(self)
        self._timer.setInterval(COUNTING_MS)
        self._timer.timeout.connect(self.tick)
        self.hide()

    def _build(self) -> None:
        self.setAccessibleName("Watch over the deployment")
        self.state = Standing("strong", self)
        self.age = Text(role="muted", ink="muted", elide=False, parent=self)
        self.words = Paragraph(LINES, self)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setFixedHeight(4)
        self.bar.setAccessibleName("How much of the watch is over")
        self.progress = Text(role="muted", ink="muted", parent=self)
        self.stop_button = StopButton(self)
        quiet = QWidget(self)
        column = QVBoxLayout(quiet)
        column.setContentsMargins(0, 2, 0, 2)
        column.setSpacing(4)
        column.addWidget(self.bar)
        column.addWidget(self.progress)
        self.foot = QStackedWidget(self)
        self.foot.addWidget(quiet)
        self.foot.addWidget(self.stop_button)
        self.foot.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(self.state, 1)
        top.addWidget(self.age)
        box = QVBoxLayout(self)
        box.setContentsMargins(10, 6, 8, 6)
        box.setSpacing(3)
        box.addLayout(top)
        box.addWidget(self.words)
        box.addWidget(self.foot)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.stop_button.clicked.connect(self.stop)
        self.words.clicked.connect(self._go)

    @property
    def counting(self) -> bool:
        """Whether a rollback is counted down here."""
        return self._watched is not None and self._watched.countdown is not None

    def show_place(self, service: str, environment: str) -> None:
        """Show the watch of this place as it is now; the room it takes changes with the place, or when the first watch begins."""
        at = place(service, environment)
        state = self._cockpit.store.state
        watched = fresh(state.watches.get(at), self._cockpit.clock_us())
        if at != self._place:
            self._place, self._refused = at, ""
            self.setVisible(watched is not None)
        elif watched is not None:
            self.setVisible(True)
        if watched is None:
            watched = self._watched if self._watched is not None and place(self._watched.service, self._watched.environment) == at else None
        if self.stopper.show(watched if watched is not None and watched.countdown is not None else None):
            self._refused = ""
        self._watched = watched
        self.tick()

    def tick(self) -> None:
        """A moment passed."""
        watched = self._watched
        if self.counting:
            self._timer.start()
        else:
            self._timer.stop()
        if watched is None:
            return
        if watched.countdown is not None:
            self._paint_countdown(watched)
        else:
            self._paint_quiet(watched)
        self.update()

    def _paint_countdown(self, watched: Watched) -> None:
        countdown = watched.countdown
        if countdown is None:
            return
        self.state.show_state("bad", "Automatic rollback")
        self.age.set_ink("text")
        self.age.set_text(seconds_words(countdown, self._cockpit.clock_us()))
        why = f"To {plain(countdown.version, 40)}: {why_words(watched)}"
        self.words.show_words(self._refused or why, "warning" if self._refused else "text")
        self.stop_button.about(watched, self.stopper.why_not())
        self._foot(STOP)

    def _paint_quiet(self, watched: Watched) -> None:
        now_us = self._cockpit.clock_us()
        quiet = idle(watched, self._cockpit.store.state.latency.get(self._place), now_us)
        word, words = glance(watched, now_us, quiet)
        stopped = stopped_words(watched) if watched.state is WatchState.BAD and not watched.action else ""
        self.state.show_state(word, words)
        self.age.set_ink("muted")
        looked = look_words(watched, now_us)
        # on little room it is the progress that says that it is over: the state is never cut for it
        self.age.set_text(looked.removeprefix("over ").removeprefix("looked "), looked)
        why_not = automatic_row(watched, now_us)[1] if watched.state is WatchState.BAD and watched.why_not and not stopped else ""
        found = [(f.kind, finding_row(f, now_us)[1]) for f in watched.findings if plain(f.text, 1000) != sentence(watched)]
        # a p99 that left its band says more than why the judge cannot tell
        band, others = ([words for kind, words in found if (kind == "band") is wanted] for wanted in (True, False))
        lines = dict.fromkeys((stopped, *band, beside_state(watched, quiet), why_not, *others))
        self.words.show_words(joined(lines), "muted" if word == "stale" else "text")
        self.bar.setValue(round(1000 * min(time_share(watched, now_us)[0], load_share(watched)[0])))
        self.progress.set_text(f"{'over, ' if watched.over else ''}{progress_words(watched, now_us)}")
        self._foot(QUIET)

    def _foot(self, page: int) -> None:
        if self.foot.currentIndex() == page:
            return
        had = self.stop_button.hasFocus()
        self.foot.setCurrentIndex(page)
        if had:
            # the focus never falls onto Fire
            self.words.setFocus()

    def stop(self) -> None:
        """Stop the countdown."""
        self._refused = self.stopper.press()
        self.show_place(*self._where())

    def _where(self) -> tuple[str, str]:
        return (self._watched.service, self._watched.environment) if self._watched is not None else ("", "")

    def _go(self) -> None:
        self.went.emit("watch")

    @property
    def as_text(self) -> str:
        """What it says, as lines of text."""
        watched = self._watched
        if watched is None or self.isHidden():
            return ""
        if watched.countdown is not None:
            now = seconds_words(watched.countdown, self._cockpit.clock_us())
            return f"{announced_words(watched)} {now}: {why_words(watched)}. Stop, or {BY_HAND}."
        return "\n".join((self.state.text, self.words.words, self.progress.whole))

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """A frame of its own; a countdown has a strong one. Stale: dashed."""
        theme = theme_of(self)
        old = self.state.word == "stale"
        colour = theme.bad if self.counting else theme.muted if old else theme.line
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            pen = QPen(colour, 2 if self.counting else 1)
            if old:
                pen.setStyle(Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.setBrush(theme.raised)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
