"""The head's two quiet lights: whether it is frozen, and whether the policy changed. Both are buttons that open their page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from cockpit.domain.facts import place
from cockpit.domain.rollout import expected_s
from ui.bridge import guarded
from ui.models.freeze import label, tip
from ui.models.text import plain, tooltip_text
from ui.theme import font, theme_of
from ui.widgets.shapes import SIZE, paint_state
from ui.widgets.texts import focus_ring

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.domain.calendar import Freezes
    from cockpit.domain.statements import Override

SAFE_S = 600.0  # what a window must hold where no past deployment tells


class StateButton(QAbstractButton):
    """A state's shape with words, elided in the middle; a click opens more."""

    def __init__(self, name: str, parent: QWidget | None = None, least: int = 140) -> None:
        super().__init__(parent)
        self._least = least
        self._state, self._words, self._name = "", "", name
        self.setFont(font("body"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    @property
    def words(self) -> str:
        """What it says."""
        return self._words

    @property
    def state(self) -> str:
        """The state's word."""
        return self._state

    def show_state(self, state: str, words: str, tooltip: str) -> None:
        """Say this."""
        told = tooltip_text(tooltip)
        if told != self.toolTip():
            self.setToolTip(told)
        if (state, words) == (self._state, self._words):
            return
        self._state, self._words = state, words
        self.setAccessibleName(f"{self._name}: {words}")
        self.updateGeometry()
        self.update()

    @guarded
    def sizeHint(self) -> QSize:
        """The whole of the words."""
        metrics = QFontMetrics(self.font())
        return QSize(min(520, metrics.horizontalAdvance(self._words) + int(SIZE) + 24), 32)

    @guarded
    def minimumSizeHint(self) -> QSize:
        """The shape and a few words."""
        return QSize(min(self.sizeHint().width(), self._least), 32)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """Shape and words; the words of what is not ok in its colour."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            paint_state(painter, QRectF(6, 0, SIZE, self.height()), self._state, theme)
            painter.setFont(self.font())
            painter.setPen(theme.text if self._state == "ok" else theme.state_colour(self._state))
            area = self.rect().adjusted(int(SIZE) + 12, 0, -6, 0)
            # of what is passed the end matters, of what is frozen the beginning
            side = Qt.TextElideMode.ElideMiddle if self._state == "warning" else Qt.TextElideMode.ElideRight
            words = painter.fontMetrics().elidedText(self._words, side, area.width())
            painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextSingleLine), words)
            if self.underMouse() or self.hasFocus():
                focus_ring(painter, self.rect(), theme, None if self.hasFocus() else theme.line)


class FreezeLook:
    """What the calendars say of a place, asked each second: the answer is kept until an input or the answer changes."""

    def __init__(self, cockpit: Cockpit) -> None:
        self._cockpit: Any = cockpit
        self._expected: tuple[object, float] = (None, SAFE_S)

    def duration_s(self, service: str, environment: str) -> float:
        """What a deployment there is expected to take; ten minutes where nothing tells."""
        fact = self._cockpit.store.state.deployments.get(place(service, environment))
        if fact is None:
            return SAFE_S
        if self._expected[0] is not fact.value:
            self._expected = (fact.value, expected_s(fact.value) or SAFE_S)
        return self._expected[1]

    def freezes(self, service: str, environment: str) -> Freezes | None:
        """None before there are calendars to ask, or without an environment."""
        calendars = getattr(self._cockpit, "calendars", None)
        if calendars is None or not environment:
            return None
        c = self._cockpit
        found: Freezes = calendars.freezes_of(c.store.state, c.rules, environment, c.clock_us(), self.duration_s(service, environment))
        return found

    def passed(self, service: str, environment: str) -> Override | None:
        """The override that passes the freezes of now."""
        calendars = getattr(self._cockpit, "calendars", None)
        if calendars is None or not environment:
            return None
        c = self._cockpit
        found: Override | None = calendars.passed_by(c.store.state, c.rules, environment, service, c.clock_us())
        return found


class FreezeButton(StateButton):
    """ "freeze: none - next 07:25 UTC" and its like, for the selected place."""

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__("Freeze", parent)
        self._cockpit = cockpit
        self._look = FreezeLook(cockpit)
        self._place = ("", "")

    def show_place(self, service: str, environment: str) -> None:
        """Tell of this place."""
        self._place = (service, environment)
        self.refresh()

    def refresh(self) -> None:
        """Say what is so now."""
        self.setVisible(bool(self._place[1]))
        if not self._place[1]:
            return
        now_us = self._cockpit.clock_us()
        freezes, passed = self._look.freezes(*self._place), self._look.passed(*self._place)
        words = tip(freezes, passed, now_us, self._look.duration_s(*self._place))
        self.show_state(*label(freezes, passed, now_us), words)


class PolicyButton(StateButton):
    """There only while a change of the policy waits for a person's word."""

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__("Policy", parent, 184)
        self._cockpit: Any = cockpit
        self.refresh()

    def refresh(self) -> None:
        """Say what is so now."""
        keeper = getattr(self._cockpit, "policy", None)
        pending = keeper.pending if keeper is not None else None
        self.setVisible(pending is not None)
        if pending is None:
            return
        bad = len(pending.problems)
        words = "policy changed: review" if not bad else f"policy changed: {bad} wrong"
        who = plain(pending.who, 100)
        self.show_state(
            "blocked" if bad else "warning",
            words,
            f"{words}\n{plain(pending.commit, 40)} by {who}\nThe one in force stays until you say so.",
        )
