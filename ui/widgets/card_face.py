"""The face of the action card: where its parts stand, and how each state of it is painted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from cockpit.domain.rollout import Action, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout
from ui.bridge import guarded
from ui.models.steps import step_rows
from ui.models.text import plain
from ui.models.trust import request_words
from ui.theme import theme_of
from ui.widgets.arming import ARM_S, Arming, Confirm, Phase
from ui.widgets.card_button import FireButton, ReasonLine, fire_words
from ui.widgets.card_facts import CardFacts, Way, passes_over
from ui.widgets.card_form import FormPage
from ui.widgets.card_pages import PlanPage, ProgressPage, from_words
from ui.widgets.card_ways import Ways
from ui.widgets.rollout_page import RolloutPage
from ui.widgets.texts import Row, Text, focus_ring
from ui.widgets.watch_proof import Automatic
from ui.widgets.watch_slot import WatchSlot

PLAN, PROGRESS, FORM, ROLLOUT = range(4)
_SURE = {
    "go on": "Press Go on again: the next step begins at once.",
    "back": "Press Go back again: what was done is undone, the last step first.",
    "stop": "Press Stop again: nothing more begins, and what was done stays.",
}


class CardFace(QWidget):
    """Parts and painting; what a person does with them stands in RollbackCard."""

    def __init__(self, cockpit: Any, parent: QWidget | None, clock_s: Callable[[], float]) -> None:
        super().__init__(parent)
        self._cockpit = cockpit
        self.machine, self.confirm = Arming(clock_s), Confirm(clock_s)
        self._facts, self.automatic = CardFacts(cockpit), Automatic(cockpit)
        self.watch_slot = WatchSlot(cockpit, self, clock_s)
        self._service, self._environment, self._kind, self._version = "", "", "rollback", ""
        self._emergency, self._alone, self._said_refused = False, False, ""
        self._draft: Rollout | None = None
        self._each: tuple[RolloutPlan | Refusal, ...] = ()  # of several services: the plan of each
        self._form_over = ""  # the action under way that the form is about
        self._aside = ""  # the rollout under way that a person looks away from
        self._build()

    def _build(self) -> None:
        self.setMinimumWidth(280)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAccessibleName("Rollback and deployment card")
        self.plan_page, self.progress_page = PlanPage(self), ProgressPage(self)
        self.form_page, self.rollout_page = FormPage(self), RolloutPage(self)
        self.pages = QStackedWidget(self)
        for page in (self.plan_page, self.progress_page, self.form_page, self.rollout_page):
            self.pages.addWidget(page)
        self.ways = Ways(self)
        self.reason = ReasonLine(self)
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
        box.addWidget(self.watch_slot)
        box.addWidget(self.pages, 1)
        for widget in (self.ways, self.say, self.reason, self.button, self.abort_button, self.done_button, self.hint):
            box.addWidget(widget)

    def _reason_needed(self) -> bool:
        plans = (self.machine.plan, *self._each)
        return any(isinstance(p, RolloutPlan) and (bool(p.insists) or p.emergency) for p in plans)

    # ---- painting

    def _paint(self) -> None:
        machine, thing = self.machine, self.machine.action
        self.watch_slot.show_place(self._service, self._environment)
        focus = QApplication.focusWidget()
        following = thing is not None and machine.phase in (Phase.FOLLOWING, Phase.PROOF)
        form = self.form_page.open and (not following or (thing is not None and thing.key == self._form_over and not thing.state.final))
        if following and isinstance(thing, Action):
            page = PROGRESS
            expected = self._expected_s()
            why = self.automatic.why(thing)
            self.progress_page.show_action(thing, expected, self._cockpit.clock_us(), self._facts.after_rows(thing), why)
            self._paint_abort(thing)
            self.ways.show_ways(self._facts.ways_of(thing))
        elif following and isinstance(thing, Rollout):
            page = ROLLOUT
            self.ways.show_ways(())
            self._paint_rollout(thing, begun=True)
        else:
            page = self._paint_plan()
        page = FORM if form else page
        self.pages.setCurrentIndex(page)
        running_steps = isinstance(thing, Rollout) and machine.phase is Phase.FOLLOWING
        self.reason.setVisible(not form and ((not following and machine.plan is not None) or running_steps))
        self.button.setVisible(not following and not form)
        self.hint.setVisible(not form)
        self.ways.setVisible(not form and self.ways.some)
        self.abort_button.setVisible(machine.phase is Phase.FOLLOWING and isinstance(thing, Action) and not form)
        self.done_button.setVisible(machine.phase is Phase.PROOF)
        if form:
            self.say.hide()
        if focus is not None and self.isAncestorOf(focus) and not focus.isVisibleTo(self) and not form:
            # the focus never falls from a button that goes onto whatever comes next
            self.setFocus(Qt.FocusReason.OtherFocusReason)

    def _paint_plan(self) -> int:
        plan = self.machine.plan
        ways = self._facts.ways(self._kind, plan, self._service, self._version, self._alone)
        aside = self._cockpit.store.state.rollouts.get(self._aside)
        self.ways.show_ways([Way("rollout", f"Back to {plain(aside.title, 60)}…"), *ways] if aside is not None else ways)
        self.reason.demand(self._reason_needed())
        self._paint_button()
        if isinstance(plan, Rollout):
            self._paint_rollout(plan, begun=False)
            return ROLLOUT
        starting = "" if self._service else self._cockpit.store.state.starting
        now_us = self._cockpit.clock_us()
        rows = []
        if self._draft is not None:
            rows = step_rows(self._draft, now_us, self._facts.step_times(tuple(r.step for r in self._draft.steps)), {})
        past = self._facts.past(self._service, self._environment)
        self.plan_page.show_plan(plan, past, now_us, bool(self._version), starting, self._service, rows)
        self._paint_back(self.plan_page)
        return PLAN

    def _paint_back(self, page: PlanPage | RolloutPage) -> None:
        page.back.setText("Not alone" if self._emergency else "Back to rollback")
        page.back.setAccessibleName("Back to a deployment with approvals" if self._emergency else "Back to rollback")
        page.back.setVisible(bool(self._version))

    def _paint_rollout(self, rollout: Rollout, *, begun: bool) -> None:
        expected = self._facts.step_times(tuple(run.step for run in rollout.steps))
        rehearsed = ("", "") if begun else self._facts.rehearsed(rollout.title, self._environment)
        self.rollout_page.show_rollout(
            rollout,
            self._environment,
            self._cockpit.clock_us(),
            expected,
            self._cockpit.store.state.actions,
            begun=begun,
            rehearsed=rehearsed,
            asked=self.confirm.name,
            each=() if begun else self._each,
        )
        self._paint_back(self.rollout_page)
        if begun:
            # a rollback alone must be possible whatever a rollout waits for
            self.rollout_page.back.setText("To the plan")
            self.rollout_page.back.setAccessibleName("To the plan; the rollout goes on")
            self.rollout_page.back.setVisible(not rollout.state.final)
            self.reason.demand(False)
            self._tell("warning" if self.confirm.name else "blocked", _SURE.get(self.confirm.name, self._said_refused))
            self.hint.set_text("Done or Esc: back to the plan" if rollout.state.final else "It goes on when you look elsewhere.")

    def _paint_button(self) -> None:
        plan, said = self.machine.plan, self.machine.said
        noun = "deployment" if self._kind == "deploy" else "rollback"
        if self.machine.phase is Phase.ARMED and isinstance(plan, RolloutPlan | Rollout):
            self._paint_armed(plan)
            return
        refused = not isinstance(plan, RolloutPlan | Rollout) or bool(self._cockpit.read_only)
        words = "Arm emergency" if self._emergency else "Arm all of it" if self._kind == "set" else f"Arm {noun}"
        self.button.set_look("refused" if refused else "ready", words, "not possible now: press to see why" if refused else "")
        self.hint.set_text("Nothing is sent." if refused else "Shift+R arms. Nothing is sent yet.")
        first = next((p for p in (plan, *self._each) if isinstance(p, RolloutPlan) and (p.insists or p.emergency)), None)
        over, tip = passes_over(first, self._environment in self._cockpit.rules.strategies) if first is not None else ("", "")
        if self._cockpit.read_only and not said:
            self._tell("warning", self._said_refused or "This window only reads: nothing can be sent from it.")
        elif said or self._said_refused:
            self._tell("warning" if said else "blocked", said or self._said_refused)
        elif over:
            self._tell("warning", over, tip)
        else:
            self._tell("pending", self._standing_request(plan))

    def _standing_request(self, plan: Any) -> str:
        version = plan.target if self._kind == "deploy" and isinstance(plan, RolloutPlan | Refusal) else None
        request = self._facts.asked(version, self._environment) if version is not None else None
        return request_words(request, self._cockpit.clock_us()) if request is not None else ""

    def _paint_armed(self, plan: RolloutPlan | Rollout) -> None:
        left = self.machine.remaining_s
        if isinstance(plan, Rollout):
            words = f"Roll back {len({r.step.service for r in plan.steps})} services in {plain(self._environment, 60)}"
            told = f"{plain(plan.title, 80)} in {plain(self._environment, 60)} goes back in {len(plan.steps)} steps, signed {self._me()}."
        else:
            words = fire_words(plan.kind, plan.environment, plan.target.name, plan.emergency)
            move = f"{from_words(plan.from_version, plan.from_digest, plan.target.digest)} to {plan.target.name}"
            told = f"{plan.service} in {plan.environment} goes from {move}, signed {self._me()}."
        self.button.set_look("armed", words, f"press again to fire, {left:.0f} s left", round(left / ARM_S, 2))
        self._tell("warning", told)
        self.hint.set_text("Ctrl+Enter fires, Esc disarms")

    def _paint_abort(self, action: Action) -> None:
        armed = self.machine.abort_armed
        self.abort_button.setText("Confirm: abort after the node under way" if armed else "Abort…")
        self.abort_button.setAccessibleName(self.abort_button.text())
        self._tell("warning" if armed else "", "Nodes already changed stay changed. Press again to abort." if armed else self._said_refused)
        self.hint.set_text("It goes on when you look elsewhere." if not action.state.final else "Done or Esc: back to the plan")

    def _tell(self, state: str, words: str, tip: str = "") -> None:
        self.say.setVisible(bool(words))
        self.say.set_row(state if words else "", words, tip=tip)

    def _me(self) -> str:
        me = getattr(getattr(self._cockpit, "settings", None), "me", None)
        return (getattr(me, "name", "") or "You") if me is not None else "You"

    def _expected_s(self) -> float | None:
        plan = self.machine.plan
        return plan.expected_s if isinstance(plan, RolloutPlan) else self._facts.expected(self._service, self._environment)

    @guarded
    def paintEvent(self, event: QPaintEvent) -> None:
        """A surface of its own, with an edge towards the rest."""
        theme = theme_of(self)
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), theme.surface)
            painter.fillRect(QRect(0, 0, 1, self.height()), theme.line)
            if self.hasFocus():
                focus_ring(painter, self.rect(), theme)

    def as_text(self) -> str:
        """The card as plain text."""
        page = self.pages.currentWidget()
        if isinstance(page, FormPage):
            return page.as_text()
        watch = self.watch_slot.as_text
        if not isinstance(page, PlanPage | ProgressPage | RolloutPage):
            return ""
        lines = [t.whole for t in page.findChildren(Text) if not t.isHidden() and t.whole]
        if isinstance(page, RolloutPage):
            lines += [row.as_text for row in (page.outcome, page.rehearsed) if not row.isHidden()]
        return "\n".join([*([watch] if watch else []), *lines, page.rows.as_text, self.say.as_text]).strip()
