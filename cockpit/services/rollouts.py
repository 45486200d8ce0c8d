"""Rollouts of several steps: planned, begun, rehearsed, sent on, taken back, stopped. After a restart they wait for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.facts import place
from cockpit.domain.readiness import Reason
from cockpit.domain.rollout import ActionState, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun, StepState, Strategy, expected_now
from cockpit.domain.strategy_plan import Problems, expand, set_plan
from cockpit.services.clock import Jumps
from cockpit.services.notices import Notices, Severity
from cockpit.services.rollout_back import GONE_BACK, taken_back
from cockpit.services.rollout_drive import CHOICE, Board, Drive, under_way, with_run
from cockpit.services.rollout_hands import Hands, RolloutPace
from cockpit.services.rollout_ports import Porting
from cockpit.services.rollout_record import Found, Record, intent_of
from cockpit.services.rollout_rehearsal import Rehearsals, plan_of
from cockpit.services.rollout_steps import Baking, Deploying, Gating, Holding, interrupted, odd_nodes, resumed
from cockpit.services.runtime import MainThread, Outcome, Runner
from cockpit.services.store import Store

KEPT = 50  # rollouts and rehearsals that have ended; the journal has them all
ELSEWHERE = "Another window or command drives it: do it there, or end that one first."


class Rollouts:
    """Main thread only. What a refusal says stands in `NotAllowed.reasons`; nothing was sent then."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        main: MainThread,
        record: Record,
        hands: Hands,
        notices: Notices,
        clock_us: Callable[[], int],
        jumped: Callable[[], float] | None = None,
        pace: RolloutPace | None = None,
    ) -> None:
        pace = pace or RolloutPace()
        self._store = store
        self._hands = hands
        self._notices = notices
        self._clock_us = clock_us
        self._board = Board(store, record, hands, notices, clock_us)
        port = Porting(self._board, runner, pace)
        deploy, bake, gate = Deploying(self._board, pace), Baking(self._board, pace), Gating(self._board, pace)
        carriers = {"deploy": deploy, "bake": bake, "hold": Holding(self._board), "gate": gate, "weight": port, "mode": port}
        self._drive = Drive(self._board, carriers, main, jumped or Jumps(clock_us).jumped, pace)
        self._rehearsals = Rehearsals(self._board, runner)

    def close(self) -> None:
        """Drive nothing any more; what has not ended is shown paused at the next start."""
        self._drive.close()

    # -- plans ---------------------------------------------------------------------------------------------------------------

    def plan(self, service: str, environment: str, version: str = "") -> tuple[Step, ...] | Refusal:
        """The steps by which a version would be deployed there, by the environment's strategy."""
        drafted = self.draft(service, environment, version)
        return drafted if isinstance(drafted, Refusal) else tuple(run.step for run in drafted.steps)

    def draft(self, service: str, environment: str, version: str = "") -> Rollout | Refusal:
        """The same as a rollout that has not begun: what `begin` and `rehearse` take."""
        planned = self._hands.plan("deploy", service, environment, version)
        if isinstance(planned, Refusal):
            return planned
        strategy = self._hands.rules().strategies.get(environment, Strategy(""))
        reasons = self._against((environment,))
        fact = self._store.state.fleets[place(service, environment)]
        steps = expand(strategy, service, environment, fact.value, planned.target)
        if isinstance(steps, Problems):
            reasons += [Reason("settings", f"strategy {strategy.name}, {words}") for words in steps.words]
        else:
            reasons += self._without_port(steps)
        if reasons or isinstance(steps, Problems):
            refused = (planned.target, planned.from_version, planned.preflight)
            return Refusal("deploy", service, environment, tuple(reasons), *refused)
        title = f"{service}, {strategy.name or 'all at once'}"
        return Rollout("", "deploy", title, tuple(StepRun(s) for s in steps), self._hands.who())

    def plan_set(self, name: str, environment: str, targets: Mapping[str, str] | None = None) -> Rollout | Refusal:
        """The rollback of a set of services, in reverse order of dependency; nothing has begun. Without a target: the last good version."""
        known = self._hands.rules().sets.get(name)
        if known is None:
            return Refusal("rollback", name, environment, (Reason("settings", f"there is no set {name} in the settings"),))
        reasons, steps = self._against((environment,)), {}
        for service in known.services:
            planned = self._hands.plan("rollback", service, environment, (targets or {}).get(service, ""))
            if isinstance(planned, Refusal):
                reasons += [Reason(r.place, f"{service}: {r.text}") for r in planned.reasons]
            else:
                steps[service] = _going_back(planned)
        needs = {s.name: s.depends_on for s in self._store.state.services}
        try:
            ordered = set_plan(steps, needs)
        except ValueError as error:
            reasons.append(Reason("settings", str(error)))
        if reasons:
            return Refusal("rollback", name, environment, tuple(reasons))
        return Rollout("", "rollback", name, tuple(StepRun(s) for s in ordered), self._hands.who(), on_failure=known.on_failure)

    def _against(self, environments: tuple[str, ...]) -> list[Reason]:
        """What speaks against beginning anything there."""
        reasons = [Reason("sources", self._hands.why_not())] if self._hands.why_not() else []
        for rollout in self._store.state.rollouts.values():
            here = {environment for _, environment in rollout.places} & set(environments)
            if here and not rollout.state.final and not rollout.rehearsal:
                words = f"“{rollout.title}” is {rollout.state} in {', '.join(sorted(here))}: go on, go back or stop it first"
                reasons.append(Reason("rollout", words))
        return reasons

    def _without_port(self, steps: tuple[Step, ...]) -> list[Reason]:
        reasons = []
        for number, step in enumerate(steps, 1):
            if step.do == "weight" and self._hands.traffic(step.service) is None:
                reasons.append(Reason("sources", f"step {number} shares the traffic: nothing that can is connected for {step.service}"))
            if step.do == "mode" and self._hands.venue(step.service) is None:
                reasons.append(
                    Reason("sources", f"step {number} switches the venue's mode: nothing that can is connected for {step.service}")
                )
        return reasons

    # -- begin ---------------------------------------------------------------------------------------------------------------

    def begin(self, rollout: Rollout, reason: str = "") -> Rollout:
        """Carry out exactly these steps; NotAllowed where any of them would be another one now."""
        self._still(rollout, reason)
        begun = replace(
            rollout,
            key=uuid4().hex,
            who=self._hands.who(),
            reason=reason.strip(),
            steps=tuple(StepRun(run.step) for run in rollout.steps),
            state=RolloutState.RUNNING,
            started_at_us=self._clock_us(),
        )
        self._open(begun)
        words = f"{len(begun.steps)} steps in {begun.places[0][1]}. {begun.reason}".strip()
        self._notices.tell(Severity.INFO, f"{begun.title}: begun", words, place="rollout")
        return begun

    def _open(self, rollout: Rollout) -> None:
        """The intent goes to the disk before the first step."""
        self._board.mine.add(rollout.key)
        self._board.show(rollout)
        opened = partial(self._opened, rollout.key)
        self._board.record.write("intent", rollout, rollout.who, intent_of(rollout), opened)

    def _opened(self, key: str, outcome: Outcome[Any]) -> None:
        if outcome.error is None:
            self._drive.take(key)
            return
        words = "nothing was sent: it could not be recorded"
        self._board.mine.discard(key)
        self._board.show(replace(self._board.get(key).to(RolloutState.FAILED), message=words, ended_at_us=self._clock_us()))
        self._notices.error(outcome.error, place="rollout")

    def _still(self, rollout: Rollout, reason: str) -> None:
        reasons = [r.text for r in self._against(tuple(e for _, e in rollout.places))]
        deploys, kind = [run.step for run in rollout.steps if run.step.do == "deploy"], rollout.kind
        for step in {s.service: s for s in deploys}.values():
            planned = plan_of(self._hands, kind, step)
            if planned is None:
                reasons.append(f"{step.service}: the plan changed: {step.version} is another artifact now")
            elif isinstance(planned, Refusal):
                reasons += [r.text for r in planned.reasons]
            elif planned.insists and not reason.strip():
                reasons.append(f"{step.service} needs a reason: {'; '.join(planned.insists)}")
            elif kind == "rollback" and _going_back(planned) != step:
                reasons.append(f"{step.service}: the plan changed: what runs there, or its nodes")
        if not reasons and kind == "deploy":
            again = self.draft(deploys[0].service, deploys[0].environment, deploys[0].version)
            same = isinstance(again, Rollout) and [r.step for r in again.steps] == [r.step for r in rollout.steps]
            reasons += [] if same else ["the plan changed: its steps are others now"]
        if reasons:
            raise NotAllowed("; ".join(reasons), hint="Nothing was sent. Read the plan again.", reasons=tuple(reasons))

    # -- rehearse ------------------------------------------------------------------------------------------------------------

    def rehearse(self, rollout: Rollout) -> Rollout:
        """Ask everything that `begin` would ask, step by step; nothing is sent. Its end is shown in `state.rollouts`."""
        if self._hands.why_not():
            raise NotAllowed(self._hands.why_not())
        steps = tuple(StepRun(run.step) for run in rollout.steps)
        begun = replace(rollout, key=uuid4().hex, who=self._hands.who(), steps=steps, rehearsal=True, started_at_us=self._clock_us())
        self._rehearsals.begin(begun)
        return begun

    def measured(self, title: str, environment: str) -> float | None:
        """Seconds that a rollout of that title takes there by its newest rehearsal; None where that is not known."""
        found = self._rehearsals.measured(title, environment)
        return found.seconds if found else None

    def measured_at(self, title: str, environment: str) -> int:
        """When that was measured; 0 = never."""
        found = self._rehearsals.measured(title, environment)
        return found.at_us if found else 0

    def expected(self, service: str, environment: str) -> dict[str, str]:
        """The digest of each node by the rollouts that have not ended; {} where none is under way there."""
        return expected_now(self._store.state.rollouts.values(), service, environment)

    # -- what a person says meanwhile ----------------------------------------------------------------------------------------

    def go_on(self, key: str, reason: str = "") -> None:
        """Pass a hold, or go on after a pause, in the direction it had. Nodes that are not as planned need a reason."""
        rollout = self._known(key)
        if key in self._board.wanted:
            raise NotAllowed(f"It was told otherwise: {rollout.message}.", hint="Wait until what is under way has ended.")
        held = rollout.state is RolloutState.RUNNING and any(run.state is StepState.HELD for run in rollout.steps)
        if rollout.state is not RolloutState.PAUSED and not held:
            raise NotAllowed(f"It does not wait for a person: it is {rollout.state}.")
        self._look_first(rollout, reason.strip())
        self._as_driver(key, partial(self._go_on, key, reason.strip()))

    def _look_first(self, rollout: Rollout, reason: str) -> None:
        if back := taken_back(self._store.state, rollout, self._clock_us()):
            raise NotAllowed(f"{back}.", hint=GONE_BACK)
        for service, environment in rollout.places:
            fact = self._store.state.fleets.get(place(service, environment))
            if fact is None or fact.stale(self._clock_us()):
                words = f"What the nodes of {service} in {environment} run is not known now."
                raise NotAllowed(words, hint="See Sources. Nothing goes on while nobody can see it.")
            odd = odd_nodes(rollout, service, environment, fact.value.nodes)
            if odd and not reason:
                raise NotAllowed(f"The nodes are not as planned: {odd}.", hint="Give a reason to go on all the same, or go back.")
            if odd:
                self._board.insisted.add(rollout.key)

    def _go_on(self, key: str, reason: str) -> None:
        before = self._board.get(key)
        if before.state.final:
            return
        after = resumed(before, reason)
        changed = [i for i, (old, new) in enumerate(zip(before.steps, after.steps, strict=True)) if old != new]
        self._board.put(after, *changed)
        self._notices.over(f"rollout:{key}")
        self._drive.take(key)

    def back(self, key: str, reason: str = "") -> None:
        """Stop what is under way, then undo what was done, the last step first. What failed or was stopped goes back as one of its own."""
        rollout = self._known(key)
        if rollout.state in (RolloutState.FAILED, RolloutState.ABORTED):
            self._back_again(rollout, reason.strip())
        elif rollout.state.final or rollout.state is RolloutState.GOING_BACK:
            raise NotAllowed(f"It is {rollout.state} already.", hint="A rollback of its own goes back from what is done.")
        else:
            self._as_driver(key, partial(self._back, key, reason.strip()))

    def _back(self, key: str, reason: str) -> None:
        rollout = self._board.get(key)
        if rollout.going_back:
            self._go_on(key, reason)
        else:
            self._want(rollout, "back", reason)

    def _back_again(self, rollout: Rollout, reason: str) -> None:
        reasons = self._against(tuple(e for _, e in rollout.places))
        if reasons or rollout.rehearsal:
            against = tuple(r.text for r in reasons) or ("a rehearsal changed nothing",)
            raise NotAllowed("; ".join(against), hint="Nothing was sent.", reasons=against)
        steps = []
        for run in rollout.steps:
            if run.state in (StepState.WAITING, StepState.HELD):
                run = run.to(StepState.SKIPPED)
            steps.append(replace(run, message="") if run.state is StepState.FAILED else run)
        fresh = {"key": uuid4().hex, "who": self._hands.who(), "started_at_us": self._clock_us(), "ended_at_us": 0}
        words = reason or "a person asked for it"
        fresh |= {"state": RolloutState.GOING_BACK, "going_back": True, "message": words, "reason": reason, "steps": tuple(steps)}
        self._open(replace(rollout, **fresh))
        self._notices.tell(Severity.WARNING, f"{rollout.title}: going back", words, place="rollout")

    def stop(self, key: str, reason: str = "") -> None:
        """Begin nothing more: it stays as it stands once what is under way has ended."""
        if self._known(key).state.final:
            raise NotAllowed(f"It is {self._known(key).state} already.")
        self._as_driver(key, lambda: self._want(self._board.get(key), "stop", reason.strip()))

    def _want(self, rollout: Rollout, what: str, reason: str) -> None:
        if rollout.state.final:
            return
        key, index = rollout.key, under_way(rollout)
        self._board.wanted[key] = f"{what}:{reason}"
        if index is not None:
            words = f"{'going back' if what == 'back' else 'stops'} once step {index + 1} has ended: {reason}".removesuffix(": ")
            self._board.put(replace(rollout, message=words))
            if rollout.steps[index].step.do == "deploy":
                try:
                    self._hands.abort(rollout.steps[index].action)
                except CockpitError as error:
                    # its end is waited for then
                    self._notices.tell(Severity.INFO, f"{rollout.title}: {words}", error.message, place="rollout")
        self._drive.at_once(key)

    def heeding(self, key: str) -> bool:
        """Whether something that a person said of it has still to come about: until then its state says nothing of that."""
        return key in self._board.claiming or key in self._board.wanted

    def _known(self, key: str) -> Rollout:
        rollout = self._store.state.rollouts.get(key)
        if rollout is None:
            raise NotAllowed("There is no rollout of that key here.", hint="See what is under way, then choose it again.")
        if self._hands.why_not():
            raise NotAllowed(self._hands.why_not())
        if rollout.rehearsal and not rollout.state.final:
            raise NotAllowed("It is a rehearsal: it ends by itself, and nothing is sent.")
        return rollout

    # -- after a restart -----------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Show what other processes began and did not end; paused where theirs is gone. In the background; call it again and again."""
        state = self._store.state
        known = tuple(k for k, r in state.rollouts.items() if not r.state.final and not r.rehearsal and k not in self._board.mine)
        self._board.record.read(known, self._read)
        self._rehearsals.load()
        self._forget()

    def _forget(self) -> None:
        """Only the newest of those that ended stay."""
        ended = sorted((r.ended_at_us, k) for k, r in self._store.state.rollouts.items() if r.state.final)
        gone = {key for _, key in ended[:-KEPT]}
        if gone:
            self._store.apply(rollouts={k: r for k, r in self._store.state.rollouts.items() if k not in gone})

    def _read(self, outcome: Outcome[tuple[Found, ...]]) -> None:
        if outcome.error is not None:
            self._notices.error(outcome.error, key="rollouts", place="rollout")
        for found in outcome.value or ():
            if found.rollout.key not in self._board.mine:
                self._show(found)

    def _show(self, found: Found) -> None:
        rollout = found.rollout
        if found.alive and not rollout.state.final:
            self._board.show(replace(rollout, message=f"{rollout.message} (driven by another window or command)".strip()))
            return
        if rollout.state.final:
            self._board.show(rollout)
            return
        rollout = self._as_told(interrupted(rollout))
        if self._store.state.rollouts.get(rollout.key) != rollout:
            self._board.show(rollout)
            words = f"{rollout.title}: interrupted"
            self._notices.tell(Severity.WARNING, words, rollout.message, hint=CHOICE, key=f"rollout:{rollout.key}", place="rollout")

    def _as_told(self, rollout: Rollout) -> Rollout:
        """What became meanwhile of the action that was under way; shown only, for nobody drives the rollout yet."""
        index = under_way(rollout)
        action = self._store.state.actions.get(rollout.steps[index].action) if index is not None else None
        if index is None or action is None or not action.state.final:
            return rollout
        run = replace(rollout.steps[index], message=f"{action.state}: {action.message}")
        if action.state is ActionState.DONE:
            run = replace(run.to(StepState.UNDONE if rollout.going_back else StepState.DONE), ended_at_us=action.ended_at_us)
        return with_run(rollout, index, run)

    def _as_driver(self, key: str, act: Callable[[], None]) -> None:
        """Do it where this process drives the rollout; else take it over first, unless a living process has it."""
        if key in self._board.mine:
            act()
        else:
            self._board.claiming.add(key)
            self._board.record.claim(self._board.get(key), self._hands.who(), partial(self._claimed, key, act))

    def _claimed(self, key: str, act: Callable[[], None], outcome: Outcome[Found | None]) -> None:
        found = outcome.value
        self._board.claiming.discard(key)
        if outcome.error is not None or found is None:
            self._notices.error(outcome.error or CockpitError("The journal does not know it."), place="rollout")
        elif found.alive or found.rollout.state.final:
            self._show(found)
            title = f"{found.rollout.title}: nothing was done"
            self._notices.tell(Severity.WARNING, title, f"It is {found.rollout.state}.", hint=ELSEWHERE, place="rollout")
        else:
            self._board.show(interrupted(found.rollout))
            self._board.mine.add(key)
            act()


def _going_back(planned: RolloutPlan) -> Step:
    """The one step of a service in a rollback of several."""
    # on a mixed fleet most nodes may run the target already: then there is no one version to undo to
    moves = planned.from_digest and planned.from_digest != planned.target.digest
    undo = f"{len(planned.nodes)} nodes back to {planned.from_version}" if moves else ""
    versions = (planned.target.name, planned.target.digest, planned.from_version, planned.from_digest)
    return Step("deploy", planned.service, planned.environment, *versions, planned.nodes, undo=undo)
