"""The choosers of the latency view: nodes and operations, and times that have a name (since the deployment, a session of the venue)."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QComboBox, QWidget

from cockpit.domain.sessions import Session, same_before, session_at
from cockpit.services.pairs import Pair
from ui.models.text import plain, short_time_text, time_text

ANY, DEPLOYMENT, SESSION, BEFORE = "", "deployment", "session", "before"
ALL = "*"
STEPS_S = (60, 300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 2 * 86_400, 4 * 86_400, 7 * 86_400)
LEAD = 0.03  # of the window lies before the deployment, so that its mark is seen
NO_SESSIONS = "Venue rules and calendars of this environment name its sessions; none is known here."


class When(QComboBox):
    """Offers what is known. `chosen` carries ANY, DEPLOYMENT, SESSION or BEFORE when a person chooses."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Time or session of the venue")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(9)
        self._windows: dict[str, tuple[int, int]] = {}
        self._fill([("All the time", ANY)])
        self.activated.connect(self._activated)

    def _activated(self, index: int) -> None:
        self.chosen.emit(str(self.itemData(index) or ANY))

    def choose(self, what: str) -> None:
        """Choose without telling."""
        with QSignalBlocker(self):
            self.setCurrentIndex(max(0, self.findData(what)))

    def offer(self, pair: Pair | None, every: tuple[Session, ...], now_us: int) -> None:
        """Offer these; what is chosen stays, or all the time where it is gone."""
        items, windows = [("All the time", ANY)], {}
        if pair is not None and pair.candidate.start_us < now_us:
            items.append((f"Since {plain(pair.candidate.version, 40)} came", DEPLOYMENT))
            windows[DEPLOYMENT] = since(pair.candidate.start_us, now_us)
        session = session_at(every, now_us)
        if session is not None:
            items.append((f"This session: {plain(session.name, 40)}", SESSION))
            windows[SESSION] = (session.start_us, session.end_us)
            before = same_before(every, session)
            if before is not None:
                items.append((_before_words(before, now_us), BEFORE))
                windows[BEFORE] = (before.start_us, before.end_us)
        self._windows = windows
        self._fill(items)
        tip = (
            ""
            if session is None
            else f"{plain(session.name, 80)}: {time_text(session.start_us, now_us)} to {time_text(session.end_us, now_us)}"
        )
        if (tip or NO_SESSIONS) != self.toolTip():
            self.setToolTip(tip or NO_SESSIONS)

    def _fill(self, items: list[tuple[str, str]]) -> None:
        if [(self.itemText(i), self.itemData(i)) for i in range(self.count())] == items:
            return
        chosen = self.currentData() or ANY
        with QSignalBlocker(self):
            self.clear()
            for text, what in items:
                self.addItem(text, what)
            self.setCurrentIndex(max(0, self.findData(chosen)))

    def range_s(self) -> tuple[float, float] | None:
        """The window of what is chosen, in seconds UTC; None for all the time."""
        found = self._windows.get(self.currentData() or ANY)
        return (found[0] / 1e6, found[1] / 1e6) if found is not None else None


def since(start_us: int, now_us: int) -> tuple[int, int]:
    """A window of a round length from a moment on that holds now, so that it seldom changes; a week at most."""
    needed = (now_us - start_us) / 1e6
    span_us = int(next((s for s in STEPS_S if s * (1 - LEAD) >= needed), STEPS_S[-1]) * 1e6)
    first = start_us - int(span_us * LEAD)
    return first, first + span_us


def _before_words(before: Session, now_us: int) -> str:
    yesterday = now_us - before.start_us < 2 * 86_400_000_000
    return "Same session yesterday" if yesterday else f"Same session {short_time_text(before.start_us)}"


def offer(combo: QComboBox, everything: str, names: tuple[str, ...], prefix: str = "") -> None:
    """Fill a selector; what is chosen stays, even where it is gone for the moment. Names are shown without `prefix`."""
    chosen = combo.currentData() or ALL
    wanted = [ALL, *names] if chosen == ALL or chosen in names else [ALL, *names, chosen]
    if [combo.itemData(i) for i in range(combo.count())] == wanted:
        return
    with QSignalBlocker(combo):
        combo.clear()
        for name in wanted:
            combo.addItem(everything if name == ALL else plain(name.removeprefix(prefix), 80), name)
        combo.setCurrentIndex(wanted.index(chosen))
