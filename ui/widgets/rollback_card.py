"""The action card: always in view, computed before anyone asks. Two informed clicks: arm names the target, fire does it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QWidget

from cockpit.domain.errors import CockpitError
from cockpit.domain.rollout import Action, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout, Step
from ui.bridge import guarded, turns_here
from ui.models.text import duration_text
from ui.widgets.arming import Phase, Planned, Press
from ui.widgets.card_deeds import CardDeeds
from ui.widgets.card_face import CardFace

_REASON = "Write the reason first: what is passed over goes into the journal with it."


AGAIN_S = 0.9


def _still() -> float:
    return 0.0


def about(plan: Planned | None) -> tuple[object, ...]:
    """What a refusal of the card speaks of: place, target and reasons; their figures may move on."""
    if isinstance(plan, Refusal):
        reasons = tuple(re.sub(r"\d+", "0", reason.text) for reason in plan.reasons)
        return plan.kind, plan.service, plan.environment, plan.target.digest if plan.target else "", reasons
    return (plan.kind, plan.service, plan.environment, plan.target.digest) if isinstance(plan, RolloutPlan) else (type(plan),)


def _steps(draft: Rollout | None) -> list[Step]:
    return [run.step for run in draft.steps] if draft is not None else []


class RollbackCard(CardFace):
    """Plan, arm, fire, progress, proof for the selected place. `went` names a view to open.

    `clock_s` is monotonic; tests move it. `jumped` tells by how many seconds the wall clock moved by itself since it was asked last.
    """

    went = Signal(str)

    def __init__(
        self,
        cockpit: Any,
        parent: QWidget | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        jumped: Callable[[], float] = _still,
    ) -> None:
        super().__init__(cockpit, parent, clock_s)
        self._jumped = jumped
        self._deeds = CardDeeds(cockpit, self._facts)
        self._armed_draft: Rollout | None = None
        self._refused_of: tuple[object, ...] = ()
        self._asked_s, self._asked_us = float("-inf"), 0
        self._clock_s = clock_s
        self._connect()
        self._timer = QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self._tick_soon)
        self._timer.start()
        self.refresh()

    def _connect(self) -> None:
        self.button.pressed_as.connect(self._pressed)
        self.abort_button.clicked.connect(self._abort_pressed)
        self.done_button.clicked.connect(self._dismiss)
        self.ways.chosen.connect(self._way)
        self.form_page.closed.connect(self._form_closed)
        self.watch_slot.went.connect(self.went)
        self.rollout_page.pressed.connect(self._rollout_pressed)
        for page in (self.plan_page, self.progress_page, self.rollout_page):
            page.back.clicked.connect(self._back)
            page.went.connect(self.went)

    # ---- what it is about

    def show_place(self, service: str, environment: str) -> None:
        """Show the rollback of this place; an armed card disarms."""
        if (service, environment) == (self._service, self._environment):
            return
        self.machine.disarm("Disarmed: another place was selected.")
        self._service, self._environment, self._aside = service, environment, ""
        self.show_rollback()

    def show_rollback(self, version: str = "") -> None:
        """Back to rollback; with `version` that one is the target instead of the last good one."""
        self._show("rollback", version)

    def show_deploy(self, version: str, *, emergency: bool = False) -> None:
        """Show the deployment of `version` to the place; in an emergency one person alone."""
        self._show("deploy", version, emergency)

    def show_set(self, name: str) -> None:
        """Show the rollback of several services together."""
        self._show("set", name)

    def _show(self, kind: str, version: str, emergency: bool = False) -> None:
        self._kind, self._version, self._emergency, self._said_refused = kind, version, emergency, ""
        self.machine.disarm("Disarmed: another action was chosen.")
        self.confirm.forget()
        if self.form_page.open:
            self.form_page.leave()
        self._look_alone()
        self.refresh()

    @property
    def mode(self) -> tuple[str, str]:
        """(kind, version by hand or ""); of a set its name."""
        return self._kind, self._version

    # ---- time

    def _tick_soon(self) -> None:
        turns_here().soon(self.tick)

    def tick(self) -> None:
        """A moment passed."""
        self._feel_jump()
        self.machine.tick()
        since_s = max(self._clock_s() - self._asked_s, (self._cockpit.clock_us() - self._asked_us) / 1e6)
        if self.machine.phase is Phase.ARMED and 0 <= since_s < AGAIN_S:
            # the countdown moves five times a second, the facts are asked for once
            self._paint()
            return
        self._look_alone()
        self.refresh()

    def _feel_jump(self) -> None:
        moved_s = self._jumped()
        if moved_s:
            way = "on" if moved_s > 0 else "back"
            self.machine.disarm(f"Disarmed: the clock moved {way} by {duration_text(abs(moved_s))}; the machine slept, or it was set.")
            self.confirm.forget()

    def _look_alone(self) -> None:
        wanted = self._kind == "deploy" and not self._emergency and isinstance(self.machine.plan, Refusal)
        self._alone = wanted and self._deeds.alone(self._service, self._environment, self._version)

    def refresh(self) -> None:
        """Ask for the plan and paint what is so now: any kind of change can matter to one of its facts, and asking is cheap."""
        where = (self._service, self._environment)
        self._asked_s, self._asked_us = self._clock_s(), self._cockpit.clock_us()
        plan, self._draft = self._deeds.plan(self._kind, *where, self._version, self._emergency)
        self.machine.show(plan)
        if self._said_refused and about(plan) != self._refused_of:
            # it spoke of another plan, or of other reasons
            self._said_refused = ""
        self._refused_of = about(plan)
        self._each = self._deeds.each(plan)
        if self.machine.phase is Phase.ARMED and _steps(self._draft) != _steps(self._armed_draft):
            self.machine.disarm("Disarmed: the steps changed.")
        thing = self._facts.followed(*where)
        if thing is None or thing.key != self._aside or thing.state.final:
            self._aside = ""
        if isinstance(thing, Action) and self.automatic.unseen(thing):
            self.machine.notice(thing.key)
        self.machine.follow(None if self._aside else thing)
        self._timer.setInterval(200 if self.machine.phase is Phase.ARMED else 1000)
        self._paint()

    # ---- what a person does

    def _pressed(self, double: bool, repeat: bool) -> None:
        if not self._reason_missing():
            self._act(self.machine.press(double=double, repeat=repeat))

    def arm(self) -> None:
        """Arm from the keyboard."""
        if not self._reason_missing():
            self._act(self.machine.arm())
            self.button.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def fire(self) -> None:
        """Fire from the keyboard, where armed."""
        self._feel_jump()
        self._act(self.machine.fire())

    def _reason_missing(self) -> bool:
        """What needs a reason and has none does not arm: says so, and leads to the line."""
        self._feel_jump()
        missing = self.machine.phase is Phase.IDLE and self._reason_needed() and not self.reason.words and not self._cockpit.read_only
        if missing:
            self._said_refused, self.machine.said = _REASON, ""
            self.reason.setFocus(Qt.FocusReason.OtherFocusReason)
            self.refresh()
        return missing

    def escape(self) -> bool:
        """Esc: disarm, else leave form, proof or deploy mode; answers whether there was anything to leave."""
        if self.machine.disarm("Disarmed."):
            self.refresh()
            return True
        if self.confirm.name:
            self.confirm.forget()
            self.refresh()
            return True
        if self.form_page.open:
            self.form_page.leave()
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
            nothing = "what starts is not up yet" if self._cockpit.store.state.starting else "choose a service and an environment first"
            plan = self.machine.plan
            # the reasons have their room above
            why = ": the reasons stand above" if isinstance(plan, Refusal) and plan.reasons else f": {nothing}"
            self._said_refused = f"Refused{why}. Nothing was sent."
            self.machine.said = ""
        elif press is Press.ARM:
            self._said_refused, self._armed_draft = "", self._draft
        self.refresh()

    def _fire(self) -> None:
        plan = self.machine.armed_plan
        if plan is None:
            return
        if self._reason_needed() and not self.reason.words:
            self.machine.disarm(_REASON)
            return
        try:
            thing = self._deeds.fire(plan, self._armed_draft, self.reason.words)
        except CockpitError as error:
            self.machine.disarm(f"{error.title}: {error.message} {error.hint}".strip())
            return
        self._said_refused = ""
        self.reason.clear()
        self.machine.fired(thing)

    def _abort_pressed(self) -> None:
        action = self.machine.action
        if self.machine.press_abort() is Press.FIRE and isinstance(action, Action):
            self._try(lambda: self._cockpit.actions.abort(action.key))
        self.refresh()

    def _try(self, act: Callable[[], object]) -> bool:
        """Do it; a refusal is said."""
        try:
            act()
        except CockpitError as error:
            self._said_refused = f"{error.title}: {error.message} {error.hint}".strip()
            return False
        self._said_refused = ""
        return True

    def _rollout_pressed(self, way: str) -> None:
        """Go on, go back and stop ask once more. A rehearsal sends nothing and asks nothing."""
        rollout = self.machine.action if isinstance(self.machine.action, Rollout) else self.machine.plan
        if not isinstance(rollout, Rollout):
            return
        reason = self.reason.words
        if way == "rehearse":
            self._try(lambda: self.machine.fired(self._deeds.rehearse(rollout)))
        elif self.confirm.press(way) and self._try(lambda: self._deeds.press(way, rollout, reason)):
            self.reason.clear()
        self.refresh()

    def _way(self, name: str) -> None:
        """Another way than the one button."""
        kind, _, rest = name.partition(":")
        under_way = self.machine.action
        self._form_over = ""
        if kind == "let go" and isinstance(under_way, Action):
            self._form_over = under_way.key
            self.form_page.show_ask(self._deeds.ask_let_go(under_way))
        elif kind == "rollout":
            self._aside = ""
        elif kind == "set":
            self.show_set(rest)
        elif kind == "emergency":
            self.show_deploy(self._version, emergency=True)
        elif isinstance(plan := self.machine.plan, Refusal) and plan.target is not None:
            ask = self._deeds.ask(kind, plan.target, self._environment)
            if ask is not None:
                self._said_refused = self.machine.said = ""
                self.form_page.show_ask(ask)
        self.refresh()

    def _form_closed(self, words: str) -> None:
        self.machine.said, self._said_refused = words, ""
        self.refresh()
        self.button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _dismiss(self) -> None:
        again = isinstance(self.machine.action, Rollout) and self.machine.action.rehearsal
        self.machine.dismiss()
        if not again:
            self._version, self._kind, self._emergency = "", "rollback", False
        self.refresh()

    def _back(self) -> None:
        under_way = self.machine.action
        if isinstance(under_way, Rollout):
            self._aside = under_way.key
            self.show_rollback()
        elif self._emergency:
            self.show_deploy(self._version)
        else:
            self.show_rollback()

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
