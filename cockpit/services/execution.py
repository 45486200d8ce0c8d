"""Carries a write action out: intent on disk, one POST, follow, verify, outcome; and takes it up again after a crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import AuthFailed, CockpitError, ConnectorError, NotFound, RateLimited, Rejected, StorageError, Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Deployment, DeployState, Fleet
from cockpit.domain.rollout import Action, ActionState, Line, LineState
from cockpit.services.connections import Connections
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import MainThread, Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.journal import Entry, Journal
from cockpit.storage.owner import owner_alive, process_owner

if TYPE_CHECKING:
    from cockpit.connectors.ports import DeploymentApi


class Pace(Struct, frozen=True):
    """How often is asked, and how long is waited before a thing is called by its name.

    `settle_s`: a key that the system never saw counts as "not sent" only this long after the click (longer than any request may take);
    `verify_s`: how long the nodes may take to show the new digest after the system says that it is done.
    """

    follow_s: float = 0.5
    slow_s: float = 5.0
    settle_s: float = 15.0
    verify_s: float = 30.0


REFUSALS = (Rejected, AuthFailed, NotFound, RateLimited)
LATENCY_LINE = Line(LineState.UNKNOWN, "latency: not enough seen yet", 0, "latency")


class Execution:
    """Drives every action through its states. Main thread; calls to systems and the journal go through the place's own lane."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        main: MainThread,
        journal: Journal,
        connections: Connections,
        notices: Notices,
        clock_us: Callable[[], int],
        pace: Pace,
    ) -> None:
        self._store = store
        self._runner = runner
        self._main = main
        self._journal = journal
        self._connections = connections
        self._notices = notices
        self._clock_us = clock_us
        self._pace = pace
        self._closed = False
        self.ended: list[Callable[[Action], None]] = []  # told of every action that ended, on the main thread

    def close(self) -> None:
        """Follow nothing any more; what is under way is taken up at the next start."""
        self._closed = True

    # -- begin ---------------------------------------------------------------------------------------------------------------

    def begin(self, action: Action, request: DeployRequest) -> None:
        """Write the intent, then send the one POST."""
        self._put(action)
        api = self._connections.deployment(action.service)

        def work() -> Deployment:
            self._record("intent", action, msgspec.to_builtins(action) | {"reason": request.reason})
            if api is None:
                raise Unreachable("The deployment system is not connected.", hint="See Sources for what is missing.")
            self._main.post(partial(self._advance, action.key, ActionState.SENT))
            return api.deploy(request, action.key)

        self._submit(action, work, partial(self._sent, action.key))

    def _sent(self, key: str, outcome: Outcome[Deployment]) -> None:
        error = outcome.error
        if error is None and outcome.value is not None:
            self._accepted(key, outcome.value)
        elif isinstance(error, StorageError):
            self._end(key, ActionState.NOT_SENT, f"nothing was sent, the intent could not be recorded: {error.message}", error)
        elif isinstance(error, REFUSALS):
            self._end(key, ActionState.REFUSED, error.message, error)
        elif isinstance(error, Unreachable):
            self._end(key, ActionState.NOT_SENT, f"nothing was sent: {error.message}", error)
        else:
            self._unknown(key, error)

    def _accepted(self, key: str, deployment: Deployment) -> None:
        # should the system have put another artifact there, the nodes will show it: that is what verifying is for
        action, now = self._store.state.actions[key], self._clock_us()
        self._put(replace(action.to(ActionState.FOLLOWING), deployment=deployment, accepted_at_us=now, message=""))
        self._notices.over(f"unknown:{key}")
        self._write(key, "progress", {"deployment": deployment.id, "accepted_at_us": now})
        self._later(self._pace.follow_s, self._follow, key)

    # -- unknown -------------------------------------------------------------------------------------------------------------

    def _unknown(self, key: str, error: Exception | None) -> None:
        action = self._store.state.actions[key]
        words = error.message if isinstance(error, CockpitError) else str(error or "")
        self._put(replace(action.to(ActionState.UNKNOWN), message=words))
        self._notices.tell(
            Severity.WARNING,
            f"{_name(action)}: outcome not known yet",
            words or "No answer came.",
            hint="The system is being asked whether it received it. Do not start it again by other means meanwhile.",
            key=f"unknown:{key}",
            place="activity",
        )
        self._settle(key)

    def _settle(self, key: str) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is None:
            self._later(self._pace.follow_s, self._settle, key)
            return
        asked_us = self._clock_us()
        self._submit(action, partial(_find, api, key), partial(self._settled, key, asked_us))

    def _settled(self, key: str, asked_us: int, outcome: Outcome[Deployment | None]) -> None:
        action = self._store.state.actions[key]
        if outcome.error is not None or (outcome.value is not None and not is_of(outcome.value, action)):
            self._later(self._pace.slow_s, self._settle, key)
        elif outcome.value is not None:
            self._accepted(key, outcome.value)
        elif asked_us - action.intended_at_us >= self._pace.settle_s * 1e6:
            self._end(key, ActionState.NOT_SENT, "the system never received it: nothing was done", None)
        else:
            self._later(min(self._pace.slow_s, self._pace.settle_s / 4), self._settle, key)

    # -- follow and verify ---------------------------------------------------------------------------------------------------

    def _follow(self, key: str) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is None or action.deployment is None:
            self._later(self._pace.follow_s, self._follow, key)
            return
        self._submit(action, partial(api.deployment, action.deployment.id), partial(self._followed, key))

    def _followed(self, key: str, outcome: Outcome[Deployment]) -> None:
        action = self._store.state.actions[key]
        if isinstance(outcome.error, NotFound) or (outcome.value is not None and not is_of(outcome.value, action)):
            # forgotten, or the id now means something else: the key alone tells what is ours
            self._look_for(key)
            return
        if outcome.error is not None or outcome.value is None:
            words = outcome.error.message if isinstance(outcome.error, CockpitError) else str(outcome.error)
            self._put(replace(action, message=f"not known since the last answer: {words}"))
            self._later(self._pace.slow_s if isinstance(outcome.error, RateLimited) else self._pace.follow_s * 2, self._follow, key)
            return
        deployment = outcome.value
        self._put(replace(action, deployment=deployment, message=deployment.message))
        if not deployment.state.final:
            self._later(self._pace.follow_s, self._follow, key)
        elif deployment.state is DeployState.SUCCEEDED:
            self._advance(key, ActionState.VERIFYING)
            self._verify(key, self._clock_us())
        else:
            ended = ActionState.ABORTED if deployment.state is DeployState.ABORTED else ActionState.FAILED
            self._end(key, ended, deployment.message or f"the deployment system says: {deployment.state}", None)

    def _look_for(self, key: str) -> None:
        """Ask by the key for a deployment that was accepted once."""
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is None:
            self._later(self._pace.follow_s, self._look_for, key)
        else:
            self._submit(action, partial(_find, api, key), partial(self._looked, key))

    def _looked(self, key: str, outcome: Outcome[Deployment | None]) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if outcome.value is not None and is_of(outcome.value, action):
            self._put(replace(action, deployment=outcome.value, message=""))
            self._notices.over(f"unknown:{key}")
            self._later(0.0, self._follow, key)
        elif outcome.error is not None or api is None:
            self._put(replace(action, message="not known since the last answer"))
            self._later(self._pace.slow_s, self._look_for, key)
        else:
            self._submit(action, partial(api.fleet, action.service, action.environment), partial(self._forgotten, key))

    def _forgotten(self, key: str, outcome: Outcome[Fleet]) -> None:
        """The system accepted it once and no longer knows it: the nodes tell what became of it."""
        action, now = self._store.state.actions[key], self._clock_us()
        proof = prove(outcome.value, action.digest, now) if outcome.value is not None else ()
        if not proof or any(line.state is LineState.UNKNOWN for line in proof):
            self._put(replace(action, message="the deployment system no longer knows it, and not all nodes say what they run"))
            self._later(self._pace.slow_s, self._look_for, key)
            return
        self._put(replace(action, proof=proof))
        if all(line.state is LineState.OK for line in proof):
            self._advance(key, ActionState.VERIFYING)
            self._end(
                key, ActionState.DONE, f"all {len(proof)} nodes run {action.version}; the deployment system no longer knows why", None
            )
        else:
            odd = ", ".join(line.text for line in proof if line.state is not LineState.OK)
            self._end(key, ActionState.FAILED, f"the deployment system no longer knows it, and {odd}", None)

    def _verify(self, key: str, since_us: int) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is not None:
            self._submit(action, partial(api.fleet, action.service, action.environment), partial(self._verified, key, since_us))
        else:
            self._later(self._pace.follow_s, self._verify, key, since_us)

    def _verified(self, key: str, since_us: int, outcome: Outcome[Fleet]) -> None:
        action, now = self._store.state.actions[key], self._clock_us()
        late = now - since_us > self._pace.verify_s * 1e6
        if outcome.error is not None or outcome.value is None:
            # the nodes were not seen: neither done nor failed, however long it takes
            self._put(replace(action, message="the nodes cannot be asked at the moment"))
            self._later(self._pace.slow_s if late else self._pace.follow_s, self._verify, key, since_us)
            return
        fleet = outcome.value
        source = self._store.state.fleets.get(place(fleet.service, fleet.environment))
        fact = Fact(fleet, now, source.source if source else "", source.deadline_s if source else 30.0)
        self._store.merge("fleets", {place(fleet.service, fleet.environment): fact})
        proof = prove(fleet, action.digest, now)
        self._put(replace(action, proof=proof))
        if fleet.nodes and all(line.state is LineState.OK for line in proof):
            self._put(replace(self._store.state.actions[key], proof=(*proof, LATENCY_LINE)))
            self._end(key, ActionState.DONE, f"all {len(fleet.nodes)} nodes run {action.version}", None)
        elif self._superseded(action):
            self._end(key, ActionState.FAILED, "not verified: another action began here before all nodes were seen", None)
        elif late and any(line.state is LineState.BLOCKED for line in proof):
            odd = ", ".join(line.text for line in proof if line.state is not LineState.OK)
            self._end(key, ActionState.FAILED, f"the system says done, the nodes do not agree: {odd}", None)
        else:
            # a node that says nothing is neither proof nor its opposite
            silent = ", ".join(line.text for line in proof if line.state is not LineState.OK) or "no nodes are known"
            self._put(replace(self._store.state.actions[key], message=silent))
            self._later(self._pace.slow_s if late else self._pace.follow_s, self._verify, key, since_us)

    def _superseded(self, action: Action) -> bool:
        mine = (action.service, action.environment)
        others = self._store.state.actions.values()
        return any((a.service, a.environment) == mine and a.intended_at_us > action.intended_at_us for a in others)

    # -- end -----------------------------------------------------------------------------------------------------------------

    def _end(self, key: str, state: ActionState, words: str, error: CockpitError | None) -> None:
        now = self._clock_us()
        action = replace(self._store.state.actions[key].to(state), ended_at_us=now, message=words)
        self._put(action)
        detail = {"state": str(state), "message": words, "ended_at_us": now, "nodes": [line.text for line in action.proof]}
        self._write(key, "outcome", detail)
        for hear in self.ended:
            hear(action)
        self._notices.over(f"unknown:{key}")
        loud = Severity.OK if state is ActionState.DONE else Severity.WARNING if state is ActionState.ABORTED else Severity.ERROR
        hint = error.hint if error is not None else HINTS.get(state, "")
        self._notices.tell(loud, f"{_name(action)}: {state}", words, hint=hint, place="activity")

    def note(self, action: Action, words: str) -> None:
        """Write a line about an action into the journal."""
        self._write(action.key, "note", {"message": words})

    def _write(self, key: str, kind: str, detail: dict[str, Any]) -> None:
        action = self._store.state.actions[key]
        self._submit(action, partial(self._record, kind, action, detail), self._written)

    def _written(self, outcome: Outcome[None]) -> None:
        if outcome.error is not None:
            # the intent stands without its outcome: the next start asks the system again and completes the record
            self._notices.error(outcome.error, key="journal", place="activity")

    def _record(self, kind: str, action: Action, detail: dict[str, Any]) -> None:
        self._journal.append(kind, action.key, action.kind, action.who, action.service, action.environment, detail)

    # -- after a crash -------------------------------------------------------------------------------------------------------

    def recover(self, entries: tuple[Entry, ...], progress: dict[str, tuple[Entry, ...]]) -> None:
        """Take up what another process began and did not end: ask for its key, never send it again."""
        for entry in entries:
            action = taken_up(entry, progress.get(entry.key, ()), self._clock_us())
            if action is None or entry.key in self._store.state.actions:
                continue
            self._put(action)
            self._notices.tell(
                Severity.WARNING,
                f"{_name(action)} was interrupted",
                "It is taken up where it stood: the system is asked, nothing is sent again.",
                key=f"unknown:{action.key}",
                place="activity",
            )
            if action.state is ActionState.FOLLOWING:
                # by its key, not by its id: a system that was set up anew may have given the id to another
                self._look_for(action.key)
            else:
                self._settle(action.key)

    # -- small things --------------------------------------------------------------------------------------------------------

    def _submit(self, action: Action, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
        if not self._closed:
            self._runner.submit(f"deploy:{action.environment}:{action.key}", work, done)

    def _later(self, seconds: float, step: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            if not self._closed:
                step(*arguments)

        self._main.call_later(seconds, run)

    def _advance(self, key: str, state: ActionState) -> None:
        action = self._store.state.actions[key]
        if action.state is not state and not action.state.final:
            self._put(action.to(state))

    def _put(self, action: Action) -> None:
        self._store.merge("actions", {action.key: action})


HINTS = {
    ActionState.NOT_SENT: "Nothing changed. Look at Sources, then start it again.",
    ActionState.FAILED: "Look at the nodes in the card: they may run different versions. A rollback puts them on one.",
    ActionState.ABORTED: "The nodes may run different versions. Deploy or roll back to put them on one.",
}


def is_of(deployment: Deployment, action: Action) -> bool:
    """Whether a deployment is the one that this action asked for."""
    same_place = (deployment.service, deployment.environment) == (action.service, action.environment)
    return same_place and deployment.key in ("", action.key)


def _name(action: Action) -> str:
    return f"{action.kind.capitalize()} of {action.service} in {action.environment} to {action.version}"


def _find(api: DeploymentApi, key: str) -> Deployment | None:
    try:
        return api.find(key)
    except ConnectorError:
        raise
    except Exception as error:  # a defect in a connector must not end the asking
        raise Unreachable(f"Asking for the outcome failed: {error}") from error


def prove(fleet: Fleet, digest: str, now_us: int) -> tuple[Line, ...]:
    """A line for each node: does it run the target's digest, and is it healthy?"""
    lines = []
    for node in fleet.nodes:
        if node.digest == digest and node.healthy:
            lines.append(Line(LineState.OK, f"{node.name} runs {digest[:12]}", now_us))
        elif node.healthy is None or not node.digest:
            lines.append(Line(LineState.UNKNOWN, f"{node.name} does not say what it runs", now_us))
        else:
            words = f"runs {node.digest[:12]}" if node.digest != digest else "is not healthy"
            lines.append(Line(LineState.BLOCKED, f"{node.name} {words}", now_us))
    return tuple(lines)


def taken_up(entry: Entry, progress: tuple[Entry, ...], now_us: int) -> Action | None:
    """The action that an intent without outcome describes, in the state a restart may know: followed, else unknown.

    None while the process that began it still lives, and for entries that are no deployment. A process on another machine is left
    an hour before it is taken for gone.
    """
    foreign = now_us - entry.at_us > 3600e6 and entry.owner.partition(":")[0] != process_owner().partition(":")[0]
    if entry.action not in ("deploy", "rollback") or (owner_alive(entry.owner) and not foreign):
        return None
    try:
        action = msgspec.convert(entry.detail, Action, strict=False)
    except msgspec.ValidationError:
        return None
    accepted = next((p for p in progress if p.kind == "progress" and "deployment" in p.detail), None)
    if accepted is None:
        return replace(action, state=ActionState.UNKNOWN, message="interrupted before an answer was seen")
    begun = Deployment(
        str(accepted.detail["deployment"]),
        action.key,
        action.service,
        action.environment,
        action.version,
        action.digest,
        action.kind,
        DeployState.RUNNING,
    )
    return replace(action, state=ActionState.FOLLOWING, accepted_at_us=accepted.at_us, deployment=begun, message="taken up after a restart")
