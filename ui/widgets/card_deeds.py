"""What the action card does when it is told to: plans, fires, begins rollouts, and asks for what stands beside the one button."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cockpit.domain.release import Version
from cockpit.domain.rollout import Action, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout
from ui.models.text import plain
from ui.models.trust import NAME, hold_words, request_words
from ui.widgets.arming import Followed, Planned
from ui.widgets.card_facts import CardFacts
from ui.widgets.card_form import Ask
from ui.widgets.texts import NOTE

REQUEST_ENDS_S = (4 * 3600.0, 3600.0, 8 * 3600.0, 24 * 3600.0, 72 * 3600.0)


class CardDeeds:
    """The card's hands: each method is one call on the core. CockpitErrors come out as they are."""

    def __init__(self, cockpit: Any, facts: CardFacts) -> None:
        self._cockpit = cockpit
        self._facts = facts
        self._draft: tuple[object, Rollout | Refusal | None] = (None, None)

    # ---- plans

    def plan(self, kind: str, service: str, environment: str, version: str, emergency: bool) -> tuple[Planned | None, Rollout | None]:
        """The plan, and the steps by which the policy wants it done (None: all at once)."""
        if not service or not environment:
            return None, None
        if kind == "set":
            return self._cockpit.rollouts.plan_set(version, environment), None
        if emergency:
            return self._cockpit.actions.plan(kind, service, environment, version, emergency=True), None
        planned = self._cockpit.actions.plan(kind, service, environment, version)
        if not isinstance(planned, RolloutPlan) or not self._cockpit.rules.why_in_steps(planned):
            return planned, None
        if self._draft[0] != planned.facts:
            # laid out again only for another plan: it asks the same questions once more
            self._draft = (planned.facts, self._cockpit.rollouts.draft(service, environment, version))
        draft = self._draft[1]
        # the refusal of the steps is kept, the facts beside it are those of now
        return (replace(draft, preflight=planned.preflight), None) if isinstance(draft, Refusal) else (planned, draft)

    def each(self, plan: Planned | None) -> tuple[RolloutPlan | Refusal, ...]:
        """What a rollback of several services would do to each, in the order of its steps."""
        steps = {s.service: s for s in (run.step for run in plan.steps)} if isinstance(plan, Rollout) else {}
        return tuple(self._cockpit.actions.plan("rollback", s.service, s.environment, s.version) for s in steps.values())

    def alone(self, service: str, environment: str, version: str) -> bool:
        """Whether the person here may deploy it alone, in an emergency."""
        if not environment or not self._cockpit.rules.may.get("emergency"):
            return False
        return isinstance(self._cockpit.actions.plan("deploy", service, environment, version, emergency=True), RolloutPlan)

    # ---- deeds

    def fire(self, plan: RolloutPlan | Rollout, draft: Rollout | None, reason: str) -> Followed:
        """Do exactly this."""
        steps = plan if isinstance(plan, Rollout) else draft
        done: Followed
        if steps is not None:
            done = self._cockpit.rollouts.begin(steps, reason)
        else:
            done = self._cockpit.actions.fire(plan, reason)
        return done

    def rehearse(self, rollout: Rollout) -> Rollout:
        """Ask everything, send nothing."""
        begun: Rollout = self._cockpit.rollouts.rehearse(rollout)
        return begun

    def press(self, way: str, rollout: Rollout, reason: str) -> None:
        """Go on, go back or stop."""
        rollouts = self._cockpit.rollouts
        {"go on": rollouts.go_on, "back": rollouts.back, "stop": rollouts.stop}[way](rollout.key, reason)

    # ---- what is asked in a form

    def ask(self, way: str, version: Version, environment: str) -> Ask | None:
        """The form for a way; None where there is nothing to ask for any more."""
        if way == "request":
            return self._ask_request(version, environment)
        if way == "withdraw":
            return self._ask_withdraw(version, environment)
        if way == "break":
            return self._ask_break(environment)
        return self._ask_clear(version, environment)

    def _ask_request(self, version: Version, environment: str) -> Ask:
        def act(reason: str, ends_s: float) -> None:
            until_us = self._cockpit.clock_us() + round(ends_s * 1e6)
            self._cockpit.words.request(version, environment, until_us, reason)

        name, where = plain(version.name, NAME), plain(environment, NAME)
        rows = (
            ("pending", f"{name} goes to {where} by itself as soon as approvals, tests and freezes allow it.", "", ""),
            ("", "Every other line of the preflight is asked again then; one that is not fine stops it.", "", ""),
            ("", "Only while a window is open, and never after its end. You can withdraw it.", "", ""),
        )
        done = f"{name} goes to {where} when nothing is missing. Withdraw it any time."
        return Ask("Deploy when approved", rows, f"Ask for {name}", act, done, needed=False, ends_s=REQUEST_ENDS_S)

    def _ask_withdraw(self, version: Version, environment: str) -> Ask | None:
        request = self._facts.asked(version, environment)
        if request is None:
            return None

        def act(reason: str, ends_s: float) -> None:
            self._cockpit.words.withdraw(request, reason)

        rows = (("pending", request_words(request, self._cockpit.clock_us()), "", ""),)
        return Ask("Withdraw the request", rows, "Withdraw it", act, "The request is withdrawn: nothing goes by itself.", needed=False)

    def ask_let_go(self, action: Action) -> Ask:
        """The form to wait no more for an action whose system stays silent."""

        def act(reason: str, ends_s: float) -> None:
            self._cockpit.actions.let_go(action.key, reason)

        rows = (
            ("unknown", f"What became of the {action.kind} to {plain(action.version, NAME)} stays not known.", "", ""),
            ("warning", "Look at the nodes first: the system may still be changing them.", "", "overview"),
            (NOTE, "The environment is free again afterwards. Nothing is sent.", "", ""),
        )
        return Ask("Wait no more", rows, "Wait no more for it", act, "It is not waited for any more. Look at what runs before you act.")

    def _ask_break(self, environment: str) -> Ask | None:
        lock = self._cockpit.store.state.locks.get(environment)
        if lock is None or not lock.value:
            return None

        def act(reason: str, ends_s: float) -> None:
            me = self._cockpit.settings.me
            self._cockpit.locks.break_(environment, f"{me.name} <{me.email}>" if me.name else me.email, reason)

        rows = (
            ("held", f"{plain(environment, NAME)} is locked: {plain(lock.value, 500)}", "", ""),
            ("warning", "Whoever holds it may be acting right now. Ask them first.", "", ""),
        )
        return Ask("Break the lock", rows, "Break it", act, "The lock is being broken; the plan says when it is free.")

    def _ask_clear(self, version: Version, environment: str) -> Ask | None:
        hold = self._facts.held(version.service, environment, version.digest)
        if hold is None:
            return None

        def act(reason: str, ends_s: float) -> None:
            self._cockpit.words.clear(hold, reason)

        why = self._cockpit.words.why_not_clear(hold)
        may = ("blocked", f"You cannot clear it: {why}.", "", "") if why else (NOTE, "Clearing it lets it be deployed again.", "", "")
        rows = (("held", hold_words(hold, self._cockpit.clock_us()), "", ""), may)
        done = f"The hold on {plain(version.name, NAME)} is cleared."
        return Ask("Clear the hold", rows, f"Clear {plain(version.name, NAME)}", act, done)
