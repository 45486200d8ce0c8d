"""The action card: always in view, computed before anyone asks. Two informed clicks: arm names the target, fire does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from PySide6.QtCore import QEvent, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.release import DeployState
from cockpit.domain.rollout import Action, ActionState, Refusal, RolloutPlan
from ui.bridge import guarded
from ui.models.text import ms_text
from ui.theme import theme_of
from ui.widgets.arming import ARM_S, Arming, Phase, Press
from ui.widgets.card_pages import FireButton, PlanPage, ProgressPage, fire_words, reason_line
from ui.widgets.texts import Row, RowContent, Text, focus_ring


class CardActions(Protocol):
    """What the card asks of the core."""

    def plan(self, kind: str, service: str, environment: str, version: str = "") -> RolloutPlan | Refusal: ...

    def fire(self, plan: RolloutPlan, reason: str = "") -> Action: ...

    def abort(self, key: str) -> None: ...

    def entries_of(self, key: str) -> tuple[Any, ...]: ...


class CardCockpit(Protocol):
    """The part of the cockpit that the card sees."""

    @property
    def actions(self) -> CardActions: ...

    @property
    def store(self) -> Any: ...

    @property
    def notices(self) -> Any: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def clock_us(self) -> Callable[[], int]: ...


class RollbackCard(QWidget):
    """Plan, arm, fire, progress, proof for the selected place. `went` names a view to open. `clock_s` is monotonic; tests move it."""

    went = Signal(str)

    def __init__(self, cockpit: Any, parent: QWidget | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self._cockpit: CardCockpit = cockpit
        self.machine = Arming(clock_s)
        self._service, self._environment, self._kind, self._version = "", "", "rollback", ""
        self._journal: dict[str, int] = {}
        self._said_refused = ""
        self._build()
        self._timer = QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self.tick)
        self._timer.start()
        self.refresh()

    def _build(self) -> None:
        self.setMinimumWidth(280)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAccessibleName("Rollback and deployment card")
        self.plan_page, self.progress_page = PlanPage(self), ProgressPage(self)
        self.pages = QStackedWidget(self)
        self.pages.addWidget(self.plan_page)
        self.pages.addWidget(self.progress_page)
        self.reason = reason_line(self)
        self.say = Row(self)
        self.button = FireButton(self)
        self.abort_button = QPushButton("Abort", self)
        self.done_button = QPushButton("Done", self)
        for button in (self.abort_button, self.done_button):
            button.setFixedHeight(32)
        self.hint = Text(role="muted", ink="muted", parent=self)
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 6, 16, 12)
        box.setSpacing(8)
        box.addWidget(self.pages, 1)
        for widget in (self.say, self.reason, self.button, self.abort_button, self.done_button, self.hint):
            box.addWidget(widget)
        self._connect()

    def _connect(self) -> None:
        self.button.pressed_as.connect(self._pressed)
        self.abort_button.clicked.connect(self._abort_pressed)
        self.done_button.clicked.connect(self._dismiss)
        self.plan_page.back.clicked.connect(self._back)
        self.plan_page.went.connect(self.went)
        self.progress_page.went.connect(self.went)

    # ---- what it is about

    def show_place(self, service: str, environment: str) -> None:
        """Show the rollback of this place; an armed card disarms."""
        if (service, environment) == (self._service, self._environment):
            return
        self.machine.disarm("Disarmed: another place was selected.")
        self._service, self._environment = service, environment
        self.show_rollback()

    def show_rollback(self, version: str = "") -> None:
        """Back to rollback; with `version` that one is the target instead of the last good one."""
        self._show("rollback", version)

    def show_deploy(self, version: str) -> None:
        """Show the deployment of `version` to the place."""
        self._show("deploy", version)

    def _show(self, kind: str, version: str) -> None:
        self._kind, self._version, self._said_refused = kind, version, ""
        self.machine.disarm("Disarmed: another action was chosen.")
        self.refresh()

    @property
    def mode(self) -> tuple[str, str]:
        """(kind, version by hand or "")."""
        return self._kind, self._version

    # ---- time and change

    def on_change(self, change: Any) -> None:
        """Ask for the plan again: any kind of change can matter to one of its facts, and asking is cheap."""
        self.refresh()

    def tick(self) -> None:
        """A moment passed."""
        self.machine.tick()
        self.refresh()

    def refresh(self) -> None:
        """Ask for the plan and paint what is so now."""
        state = self._cockpit.store.state
        plan = None
        if self._service and self._environment:
            plan = self._cockpit.actions.plan(self._kind, self._service, self._environment, self._version)
        self.machine.show(plan)
        mine = [a for a in state.actions.values() if (a.service, a.environment) == (self._service, self._environment)]
        self.machine.follow(max(mine, key=lambda a: a.intended_at_us, default=None))
        self._timer.setInterval(200 if self.machine.phase is Phase.ARMED else 1000)
        self._paint()

    def _paint(self) -> None:
        machine = self.machine
        now_us = self._cockpit.clock_us()
        following = machine.action is not None and machine.phase in (Phase.FOLLOWING, Phase.PROOF)
        if following and machine.action is not None:
            self.progress_page.show_action(machine.action, self._expected_s(), now_us, self._after_rows(machine.action))
            self._paint_abort(machine.action)
        else:
            starting = "" if self._service else self._cockpit.store.state.starting
            self.plan_page.show_plan(machine.plan, self._past(), now_us, bool(self._version), starting, self._service)
            self.plan_page.back.setVisible(bool(self._version))
            self._paint_button()
        if following != bool(self.pages.currentIndex()) and self.isAncestorOf(QApplication.focusWidget() or self.window()):
            # the focus never falls from a button that goes onto whatever comes next
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        self.pages.setCurrentIndex(1 if following else 0)
        self.reason.setVisible(not following and machine.plan is not None)
        self.button.setVisible(not following)
        self.abort_button.setVisible(machine.phase is Phase.FOLLOWING)
        self.done_button.setVisible(machine.phase is Phase.PROOF)

    def _paint_button(self) -> None:
        plan = self.machine.plan
        noun = "rollback" if self._kind == "rollback" else "deployment"
        if self.machine.phase is Phase.ARMED and isinstance(plan, RolloutPlan):
            left = self.machine.remaining_s
            words = fire_words(plan.kind, plan.environment, plan.target.name)
            self.button.set_look("armed", words, f"press again to fire, {left:.0f} s left", round(left / ARM_S, 2))
            move = f"{plan.from_version or 'nothing'} to {plan.target.name}"
            self._tell("warning", f"{plan.service} in {plan.environment} goes from {move}, signed {self._me()}.")
            self.hint.set_text("Ctrl+Enter fires, Esc disarms")
            return
        refused = not isinstance(plan, RolloutPlan) or self._cockpit.read_only
        self.button.set_look("refused" if refused else "ready", f"Arm {noun}", "not possible now: press to see why" if refused else "")
        if self._cockpit.read_only and not self.machine.said:
            self._tell("warning", self._said_refused or "This window only reads: nothing can be sent from it.")
        else:
            self._tell("warning" if self.machine.said else "blocked", self.machine.said or self._said_refused)
        self.hint.set_text("Nothing is sent." if refused else "Shift+R arms. Nothing is sent yet.")

    def _paint_abort(self, action: Action) -> None:
        armed = self.machine.abort_armed
        self.abort_button.setText("Confirm: abort after the node under way" if armed else "Abort…")
        self.abort_button.setAccessibleName(self.abort_button.text())
        self._tell("warning" if armed else "", "Nodes already changed stay changed. Press again to abort." if armed else self._said_refused)
        self.hint.set_text("It goes on when you look elsewhere." if not action.state.final else "Done or Esc: back to the plan")

    def _tell(self, state: str, words: str) -> None:
        self.say.setVisible(bool(words))
        self.say.set_row(state if words else "", words)

    def _me(self) -> str:
        me = getattr(getattr(self._cockpit, "settings", None), "me", None)
        return (getattr(me, "name", "") or "You") if me is not None else "You"

    # ---- what is known besides the plan

    def _past(self) -> int:
        fact = self._cockpit.store.state.deployments.get(place(self._service, self._environment))
        return sum(d.state is DeployState.SUCCEEDED and d.duration_s is not None for d in fact.value) if fact else 0

    def _expected_s(self) -> float | None:
        armed = self.machine.plan
        return armed.expected_s if isinstance(armed, RolloutPlan) else self._last_expected()

    def _last_expected(self) -> float | None:
        from cockpit.domain.rollout import expected_s

        fact = self._cockpit.store.state.deployments.get(place(self._service, self._environment))
        return expected_s(fact.value) if fact else None

    def _after_rows(self, action: Action) -> list[RowContent]:
        if not action.state.final:
            return []
        rows: list[RowContent] = []
        if action.state is ActionState.DONE and all(line.place != "latency" for line in action.proof):
            rows.append(self._latency_row(action))
        number = self._journal_number(action)
        if number:
            rows.append(("", f"journal no. {number:,}", "", "activity"))
        return rows

    def _latency_row(self, action: Action) -> tuple[str, str, str, str]:
        fact = self._cockpit.store.state.latency.get(place(action.service, action.environment))
        if fact is None or fact.stale(self._cockpit.clock_us()) or fact.value.outside is None:
            return ("unknown", "whether p99 is in its band is not known yet", "", "latency")
        now = ms_text(fact.value.point.p99_ms)
        return (
            ("warning", f"p99 {now}, above its band", "", "latency")
            if fact.value.outside
            else ("ok", f"p99 {now}, in its band", "", "latency")
        )

    def _journal_number(self, action: Action) -> int:
        if action.key in self._journal:
            return self._journal[action.key]
        try:
            found = self._cockpit.actions.entries_of(action.key)
        except CockpitError:
            return 0
        number = max((e.seq for e in found), default=0)
        if any(e.kind == "outcome" for e in found):
            # until then it is still being written
            self._journal[action.key] = number
        return number

    # ---- what a person does

    def _pressed(self, double: bool, repeat: bool) -> None:
        self._act(self.machine.press(double=double, repeat=repeat))

    def arm(self) -> None:
        """Arm from the keyboard."""
        self._act(self.machine.arm())
        self.button.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def fire(self) -> None:
        """Fire from the keyboard, where armed."""
        self._act(self.machine.fire())

    def escape(self) -> bool:
        """Esc: disarm, else leave proof or deploy mode; answers whether there was anything to leave."""
        if self.machine.disarm("Disarmed."):
            self.refresh()
            return True
        if self.machine.phase is Phase.PROOF:
            self._dismiss()
            return True
        if self._version:
            self._back()
            return True
        return False

    def _act(self, press: Press) -> None:
        if press is Press.ARM and self._cockpit.read_only:
            self.machine.disarm("This window only reads: nothing can be sent from it.")
        elif press is Press.FIRE:
            self._fire()
        elif press is Press.REFUSED:
            plan = self.machine.plan
            nothing = "what starts is not up yet" if self._cockpit.store.state.starting else "choose a service and an environment first"
            first = plan.reasons[0].text if isinstance(plan, Refusal) and plan.reasons else nothing
            self._said_refused = f"Refused: {first}. Nothing was sent."
            self.machine.said = ""
        elif press is Press.ARM:
            self._said_refused = ""
        self.refresh()

    def _fire(self) -> None:
        plan = self.machine.armed_plan
        if plan is None:
            return
        try:
            action = self._cockpit.actions.fire(plan, self.reason.text().strip())
        except CockpitError as error:
            self.machine.disarm(f"{error.title}: {error.message} {error.hint}".strip())
            return
        self._said_refused = ""
        self.reason.clear()
        self.machine.fired(action)

    def _abort_pressed(self) -> None:
        action = self.machine.action
        if self.machine.press_abort() is Press.FIRE and action is not None:
            try:
                self._cockpit.actions.abort(action.key)
            except CockpitError as error:
                self._said_refused = f"{error.title}: {error.message} {error.hint}".strip()
        self.refresh()

    def _dismiss(self) -> None:
        self.machine.dismiss()
        self._version, self._kind = "", "rollback"
        self.refresh()

    def _back(self) -> None:
        self.show_rollback()

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """A surface of its own, with an edge towards the rest."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), theme.surface)
            painter.fillRect(QRect(0, 0, 1, self.height()), theme.line)
            if self.hasFocus():
                focus_ring(painter, self.rect(), theme)

    # ---- keys

    @guarded
    def event(self, event: QEvent) -> bool:
        """Keep Ctrl+C for the card while it has the focus."""
        if event.type() is QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Copy):
            event.accept()
        return super().event(event)

    @guarded
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies what is seen."""
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
            return
        super().keyPressEvent(event)

    def as_text(self) -> str:
        """The card as plain text."""
        page = self.pages.currentWidget()
        if not isinstance(page, PlanPage | ProgressPage):
            return ""
        lines = [t.whole for t in page.findChildren(Text) if not t.isHidden() and t.whole]
        return "\n".join([*lines, page.rows.as_text, self.say.as_text]).strip()
