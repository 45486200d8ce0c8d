"""After a rollback the version that left is held, so that nobody and nothing deploys it again until a named person clears it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.release import Fleet, Version, version_key
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.statements import Statement
from cockpit.domain.strategy import Rollout, StepRun, StepState
from cockpit.services import status
from cockpit.services.connections import Connections
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import AppState, Change, Store

if TYPE_CHECKING:
    from cockpit.connectors.ports import Holds

LANE = "holds"
Left = dict[str, tuple[str, str]]  # by digest: version and commit


class Holding:
    """Main thread only. `heard` belongs into `Execution.ended`; `close` ends its listening to the store.

    `hold` records the word (Words.hold). `who` answers who acts here: only their own words, from now on, are passed on to a deployment
    system, for everybody else's are passed on where they were said.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        connections: Connections,
        notices: Notices,
        hold: Callable[[Version, str, str], None],
        who: Callable[[], str],
        clock_us: Callable[[], int],
    ) -> None:
        self._store = store
        self._runner = runner
        self._connections = connections
        self._notices = notices
        self._hold = hold
        self._who = who
        self._clock_us = clock_us
        self._since_us = clock_us()
        self._ran: dict[str, Left] = {}  # by the key of a rollback: what ran when it began
        self._together: dict[str, dict[str, tuple[Action, Left]]] = {}  # rollbacks of several services under way: what ended, by action
        self._passed_on: set[tuple[str, str, str, int]] = set()
        self._awaited: set[tuple[str, str, str]] = set()  # told to the system before the word itself was recorded
        self.close = store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.touches("actions"):
            for key in change.ids:
                self._begun(self._store.state.actions.get(key))
        if change.touches("rollouts"):
            for key in change.ids:
                self._moved(self._store.state.rollouts.get(key))
        if change.touches("statements"):
            for statement in self._store.state.statements:
                self._said(statement)

    def _begun(self, action: Action | None) -> None:
        if action is None or action.kind != "rollback" or action.state.final or action.key in self._ran:
            return
        fleet = self._store.state.fleets.get(place(action.service, action.environment))
        self._ran[action.key] = _running(self._store.state, fleet.value) if fleet is not None else {}

    def _said(self, statement: Statement) -> None:
        """A word of the person here, said a moment ago: the deployment system is told the same."""
        told = (statement.kind, statement.id, statement.digest, statement.at_us)
        mine = statement.who == self._who() and statement.at_us >= self._since_us and not statement.why_not
        if statement.kind in ("hold", "clear") and mine and told not in self._passed_on:
            self._passed_on.add(told)
            at = (statement.service, statement.environment, statement.digest)
            if statement.kind == "hold" and at in self._awaited:
                self._awaited.discard(at)
            else:
                self._tell(at, statement.kind == "hold", statement.reason)

    # -- after a rollback ----------------------------------------------------------------------------------------------------

    def heard(self, action: Action) -> None:
        """An action ended: where it was a rollback that changed something, what left is held."""
        ran = self._ran.pop(action.key, {})
        if action.kind != "rollback" or not self._changed_nodes(action) or self._undone(action):
            return
        rollout = self._rollout_of(action)
        if rollout is not None and not rollout.state.final:
            # it may still be undone, and what is held nobody can go back to
            self._together.setdefault(rollout.key, {})[action.key] = (action, ran)
        else:
            self._hold_left(action, ran)

    def _rollout_of(self, action: Action) -> Rollout | None:
        """The rollback of several services that the action is a step of."""
        known = self._store.state.rollouts.values()
        return next((r for r in known if r.kind == "rollback" and any(run.action == action.key for run in r.steps)), None)

    def _moved(self, rollout: Rollout | None) -> None:
        """A rollback of several services went on: once it has ended, what left and was not brought back is held."""
        if rollout is None or rollout.kind != "rollback" or rollout.rehearsal:
            return
        if not rollout.state.final:
            self._together.setdefault(rollout.key, {})
        elif (ended := self._together.pop(rollout.key, None)) is not None:
            for run in rollout.steps:
                if run.step.do == "deploy" and run.state is not StepState.UNDONE:
                    self._hold_step(run, ended.get(run.action), rollout)

    def _hold_step(self, run: StepRun, ended: tuple[Action, Left] | None, rollout: Rollout) -> None:
        if ended is not None:
            self._hold_left(*ended)
        elif run.state is StepState.DONE:
            # it ended before this process began: what the step says is enough
            step = run.step
            at = (run.action, "rollback", step.service, step.environment, step.from_version, step.from_digest, step.version, step.digest)
            self._hold_left(Action(*at, rollout.who, ActionState.DONE, run.started_at_us), {})

    def _hold_left(self, action: Action, ran: Left) -> None:
        reason = f"rolled back to {action.version} by {action.who}" + ("" if action.state is ActionState.DONE else f" ({action.state})")
        why = action.deployment.reason if action.deployment is not None else ""
        reason += f": {why}" if why else ""
        for version in self._left(action, ran):
            if status.held(self._store.state, version.service, action.environment, version.digest) is not None:
                continue
            # the system is told even where the word cannot be recorded: what is dangerous is that it deploys by itself
            at = (version.service, action.environment, version.digest)
            self._awaited.add(at)
            self._tell(at, True, reason)
            try:
                self._hold(version, action.environment, reason)
            except CockpitError as error:
                self._notices.error(error, key=f"hold:{action.key}", place="approvals")

    def _changed_nodes(self, action: Action) -> bool:
        if action.state is ActionState.DONE:
            return True
        if action.state not in (ActionState.FAILED, ActionState.ABORTED):
            return False
        if action.deployment is not None and any(step.state != "pending" for step in action.deployment.steps):
            return True
        fleet = self._store.state.fleets.get(place(action.service, action.environment))
        return fleet is not None and action.digest != action.from_digest and any(n.digest == action.digest for n in fleet.value.nodes)

    def _undone(self, action: Action) -> bool:
        """Whether it is the undoing of a rollback of several services: what leaves then is what was gone back to."""
        for rollout in self._store.state.rollouts.values():
            if rollout.going_back and rollout.kind == "rollback" and any(run.action == action.key for run in rollout.steps):
                return True
        return False

    def _left(self, action: Action, ran: Left) -> list[Version]:
        """What most nodes ran, and everything newer than the target that some node ran."""
        found: Left = {}
        if action.from_digest and action.from_digest != action.digest:
            commit = ran.get(action.from_digest, ("", ""))[1] or status.commit_of(self._store.state, action.service, action.from_version)
            found[action.from_digest] = (action.from_version, commit)
        newer = version_key(action.version)
        found.update({d: (v, c) for d, (v, c) in ran.items() if d != action.digest and version_key(v) > newer})
        return [self._version(action.service, name, commit, digest) for digest, (name, commit) in found.items()]

    def _version(self, service: str, name: str, commit: str, digest: str) -> Version:
        known = status.version_of(self._store.state, service, name)
        return known if known is not None and known.digest == digest else Version(service, name, "", commit, 0, digest)

    # -- the deployment system -----------------------------------------------------------------------------------------------

    def _tell(self, at: tuple[str, str, str], held: bool, reason: str) -> None:
        service, _, digest = at
        api = self._connections.holds(service)
        if api is not None and digest:
            self._runner.submit(LANE, partial(_ask, api, at, held, reason), partial(self._told, at, held))

    def _told(self, at: tuple[str, str, str], held: bool, outcome: Outcome[Fleet]) -> None:
        service, environment, digest = at
        key = f"hold:{service}@{environment}:{digest}"
        if outcome.error is None:
            self._notices.over(key)
            return
        self._awaited.discard(at)
        words = outcome.error.message if isinstance(outcome.error, CockpitError) else str(outcome.error)
        word = "told to leave it alone" if held else "told that it may be deployed again"
        hint = "It may deploy it again by itself: switch that off there." if held else "Allow it there by hand."
        title = f"The deployment system was not {word}: {service} {digest[:12]} in {environment}"
        self._notices.tell(Severity.WARNING, title, words, hint=hint, key=key, place="approvals")


def _ask(api: Holds, at: tuple[str, str, str], held: bool, reason: str) -> Fleet:
    return api.hold(*at, held, reason)


def _running(state: AppState, fleet: Fleet) -> Left:
    return {n.digest: (n.version, n.commit or status.commit_of(state, fleet.service, n.version)) for n in fleet.nodes if n.digest}
