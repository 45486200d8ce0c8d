"""Carries a write action out: intent on disk, one POST, follow, verify, outcome; and takes it up again after a crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import AuthFailed, CockpitError, NotAllowed, NotFound, RateLimited, StorageError, Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.domain.fingerprint import all_run, prove
from cockpit.domain.release import Deployment, DeployState, Fleet
from cockpit.domain.rollout import Action, ActionState, LineState
from cockpit.services.clock import Fresh
from cockpit.services.connections import Connections
from cockpit.services.notices import Notices, Severity
from cockpit.services.outcomes import LATENCY_LINE as LATENCY_LINE
from cockpit.services.outcomes import REFUSALS, find_ours, hint_of, is_of, lane_of, let_go_of, name_of, odd, superseded, taken_up
from cockpit.services.pace import Pace as Pace
from cockpit.services.runtime import MainThread, Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.journal import Entry, Journal

if TYPE_CHECKING:
    from cockpit.services.locks import Locks


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
        self._refusals: dict[str, str] = {}  # words of those that could not be confirmed at once
        self._alone: dict[str, str] = {}  # by key: why a person acts alone, until the debt of it is told
        self.locks: Locks | None = None  # where it is set, an action takes its environment's lock first
        self.acted_alone: Callable[[Action, str], None] | None = None  # told of an emergency once it may have happened
        self.ended: list[Callable[[Action], None]] = []  # told of every action that ended, on the main thread

    def close(self) -> None:
        """Follow nothing any more; what is under way is taken up at the next start."""
        self._closed = True

    # -- begin ---------------------------------------------------------------------------------------------------------------

    def begin(self, action: Action, request: DeployRequest, insists: tuple[str, ...] = (), alone: str = "") -> None:
        """Write the intent, take the lock where one is needed, then send the one POST.

        `insists`: what the person passes over; `alone`: why one person acts alone, "" where it is no emergency. Both stand in the intent.
        """
        action = replace(action, nodes=request.nodes)
        self._alone |= {action.key: alone} if alone else {}
        self._put(action)
        api = self._connections.deployment(action.service)
        fresh = Fresh(self._pace.fresh_s, self._clock_us)
        said = ({"insists": insists} if insists else {}) | ({"emergency": True, "alone": alone} if alone else {})

        def work() -> Deployment:
            self._record("intent", action, msgspec.to_builtins(action) | {"reason": request.reason} | said)
            if api is None:
                raise Unreachable("The deployment system is not connected.", hint="See Sources for what is missing.")
            taken = self.locks.take_for(action, request.reason) if self.locks is not None else {}
            if taken:
                self._record("progress", action, taken)
            if stale := fresh.why_not():
                raise Unreachable(
                    f"{stale}, so it is not sent any more.", hint="Read the plan again; fire it if it is still what you want."
                )
            self._main.post(partial(self._advance, action.key, ActionState.SENT))
            return api.deploy(request, action.key)

        self._submit(action, work, partial(self._sent, action.key))

    def _sent(self, key: str, outcome: Outcome[Deployment]) -> None:
        error = outcome.error
        if error is None and outcome.value is not None:
            self._accepted(key, outcome.value)
        elif isinstance(error, StorageError):
            self._end(key, ActionState.NOT_SENT, f"nothing was sent, the intent could not be recorded: {error.message}", error)
        elif isinstance(error, NotAllowed):
            self._end(key, ActionState.REFUSED, error.message, error)
        elif isinstance(error, REFUSALS):
            self._refused(key, error, 0.0)
        elif isinstance(error, Unreachable):
            self._end(key, ActionState.NOT_SENT, f"nothing was sent: {error.message}", error)
        else:
            self._unknown(key, error)

    def _refused(self, key: str, error: CockpitError, waited_s: float) -> None:
        """Somebody said no: the system, or a gate before it that may have passed the request on. Make sure that nothing was begun."""
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is None:
            self._end(key, ActionState.REFUSED, error.message, error)
            return
        self._put(replace(action, message=f"{error.message} Making sure that nothing was begun."))
        self._submit(action, partial(find_ours, api, action), partial(self._confirmed, key, error, waited_s))

    def _confirmed(self, key: str, error: CockpitError, waited_s: float, outcome: Outcome[Deployment | None]) -> None:
        action, why = self._store.state.actions[key], outcome.error
        if outcome.value is not None and is_of(outcome.value, action):
            self._accepted(key, outcome.value)
            return
        pause_s = max(why.retry_after_s if isinstance(why, RateLimited) else 0.0, self._pause_s)
        late = waited_s + pause_s > self._pace.settle_s
        # who lets nobody in let this one in neither
        same = isinstance(why, AuthFailed) or (isinstance(why, RateLimited) and late)
        if why is None or (same and isinstance(error, type(why))):
            self._end(key, ActionState.REFUSED, error.message, error)
        elif late:
            self._refusals[key] = error.message
            self._unknown(key, error)
        else:
            self._later(pause_s, self._refused, key, error, waited_s + pause_s)

    def _accepted(self, key: str, deployment: Deployment) -> None:
        # should the system have put another artifact there, the nodes will show it: that is what verifying is for
        action, now = self._store.state.actions[key], self._clock_us()
        self._put(replace(action.to(ActionState.FOLLOWING), deployment=deployment, accepted_at_us=now, message=""))
        self._notices.over(f"unknown:{key}")
        # in this order on the disk: whoever takes it up where its system has it knows that the debt of it stands
        self._tell_alone(key)
        self._write(key, "progress", {"deployment": deployment.id, "accepted_at_us": now})
        self._later(self._pace.follow_s, self._follow, key)

    def _tell_alone(self, key: str) -> None:
        """An emergency that was refused or never sent owes nothing; any other owes a second person's look."""
        why = self._alone.pop(key, "")
        if why and self.acted_alone is not None:
            self.acted_alone(self._store.state.actions[key], why)

    # -- unknown -------------------------------------------------------------------------------------------------------------

    def _unknown(self, key: str, error: Exception | None) -> None:
        action = self._store.state.actions[key]
        words = error.message if isinstance(error, CockpitError) else str(error or "")
        self._put(replace(action.to(ActionState.UNKNOWN), message=words))
        self._notices.tell(
            Severity.WARNING,
            f"{name_of(action)}: outcome not known yet",
            words or "No answer came.",
            hint="The system is being asked whether it received it. Do not start it again by other means meanwhile.",
            key=f"unknown:{key}",
            place="activity",
            group=place(action.service, action.environment),
            about=action.kind,
        )
        self._settle(key)

    def _settle(self, key: str, waited_s: float = 0.0) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is None:
            self._later(self._pace.follow_s, self._settle, key, waited_s)
            return
        self._submit(action, partial(find_ours, api, action), partial(self._settled, key, waited_s))

    def _settled(self, key: str, waited_s: float, outcome: Outcome[Deployment | None]) -> None:
        action = self._store.state.actions[key]
        if outcome.error is not None or (outcome.value is not None and not is_of(outcome.value, action)):
            self._later(self._pace.slow_s, self._settle, key, waited_s)
        elif outcome.value is not None:
            self._accepted(key, outcome.value)
        elif waited_s >= self._pace.settle_s:
            refused = self._refusals.pop(key, "")
            words = f"it was refused: {refused} Nothing was done." if refused else "the system never received it: nothing was done"
            self._end(key, ActionState.NOT_SENT, words, None)
        else:
            self._later(self._pause_s, self._settle, key, waited_s + self._pause_s)

    @property
    def _pause_s(self) -> float:
        return min(self._pace.slow_s, self._pace.settle_s / 4)

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
            unwanted = isinstance(outcome.error, RateLimited | AuthFailed)
            self._later(self._pace.slow_s if unwanted else self._pace.follow_s * 2, self._follow, key)
            return
        self._told(key, outcome.value)

    def _told(self, key: str, deployment: Deployment) -> None:
        """The system says how its deployment stands."""
        self._put(replace(self._store.state.actions[key], deployment=deployment, message=deployment.message))
        if not deployment.state.final:
            self._later(self._pace.follow_s, self._follow, key)
            return
        self._give_back(key)  # nothing is under way any more: who goes back while the proof is missing must find it free
        if deployment.state is DeployState.SUCCEEDED:
            self._advance(key, ActionState.VERIFYING)
            self._verify(key)
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
            self._submit(action, partial(find_ours, api, action), partial(self._looked, key))

    def _looked(self, key: str, outcome: Outcome[Deployment | None]) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if outcome.value is not None and is_of(outcome.value, action):
            self._notices.over(f"unknown:{key}")
            self._told(key, outcome.value)
        elif outcome.error is not None or api is None:
            self._put(replace(action, message="not known since the last answer"))
            self._later(self._pace.slow_s, self._look_for, key)
        else:
            self._submit(action, partial(api.fleet, action.service, action.environment), partial(self._forgotten, key))

    def _forgotten(self, key: str, outcome: Outcome[Fleet]) -> None:
        """The system accepted it once and no longer knows it: the nodes tell what became of it."""
        action, now, fleet = self._store.state.actions[key], self._clock_us(), outcome.value
        under_way = fleet.active if fleet is not None else None
        proof = prove(fleet, action.digest, now, action.nodes) if fleet is not None and (under_way is None or under_way.key != key) else ()
        if not proof or any(line.state is LineState.UNKNOWN for line in proof):
            self._put(replace(action, message="the deployment system no longer knows it, and not all nodes say what they run"))
            self._later(self._pace.slow_s, self._look_for, key)
            return
        self._put(replace(action, proof=proof))
        if all(line.state is LineState.OK for line in proof):
            self._advance(key, ActionState.VERIFYING)
            self._end(key, ActionState.DONE, f"{all_run(len(proof), action.version)}; the deployment system no longer knows why", None)
        else:
            self._end(key, ActionState.FAILED, f"the deployment system no longer knows it, and {odd(proof)}", None)

    def _verify(self, key: str, waited_s: float = 0.0) -> None:
        action = self._store.state.actions[key]
        api = self._connections.deployment(action.service)
        if api is not None:
            self._submit(action, partial(api.fleet, action.service, action.environment), partial(self._verified, key, waited_s))
        else:
            self._later(self._pace.follow_s, self._verify, key, waited_s)

    def _verified(self, key: str, waited_s: float, outcome: Outcome[Fleet]) -> None:
        action, now = self._store.state.actions[key], self._clock_us()
        late = waited_s > self._pace.verify_s
        pause_s = self._pace.slow_s if late else self._pace.follow_s
        if outcome.error is not None or outcome.value is None:
            # the nodes were not seen: neither done nor failed, however long it takes
            self._put(replace(action, message="the nodes cannot be asked at the moment"))
            self._later(pause_s, self._verify, key, waited_s + pause_s)
            return
        fleet = outcome.value
        source = self._store.state.fleets.get(place(fleet.service, fleet.environment))
        fact = Fact(fleet, now, source.source if source else "", source.deadline_s if source else 30.0)
        self._store.merge("fleets", {place(fleet.service, fleet.environment): fact})
        proof = prove(fleet, action.digest, now, action.nodes)
        self._put(replace(action, proof=proof))
        if proof and not odd(proof):
            self._put(replace(self._store.state.actions[key], proof=(*proof, LATENCY_LINE)))
            self._end(key, ActionState.DONE, all_run(len(proof), action.version), None)
        elif superseded(self._store.state.actions.values(), action, fleet):
            words = "the deployment system says done; a later action changed the nodes before all were seen"
            self._end(key, ActionState.DONE, words, None)
        elif late and any(line.state is LineState.BLOCKED for line in proof):
            self._end(key, ActionState.FAILED, f"the system says done, the nodes do not agree: {odd(proof)}", None)
        else:
            # a node that says nothing is neither proof nor its opposite
            self._put(replace(self._store.state.actions[key], message=odd(proof) or "no nodes are known"))
            self._later(pause_s, self._verify, key, waited_s + pause_s)

    # -- end -----------------------------------------------------------------------------------------------------------------

    def _end(self, key: str, state: ActionState, words: str, error: CockpitError | None) -> None:
        now = self._clock_us()
        action = replace(self._store.state.actions[key].to(state), ended_at_us=now, message=words)
        self._put(action)
        detail = {"state": str(state), "message": words, "ended_at_us": now, "nodes": [line.text for line in action.proof]}
        self._write(key, "outcome", detail)
        self._alone.pop(key, None)
        self._give_back(key)
        for hear in self.ended:
            hear(action)
        self._notices.over(f"unknown:{key}")
        loud = Severity.OK if state is ActionState.DONE else Severity.WARNING if state is ActionState.ABORTED else Severity.ERROR
        at = place(action.service, action.environment)
        fact = self._store.state.fleets.get(at)
        hint = error.hint if error is not None else hint_of(action, fact.value if fact is not None else None)
        self._notices.tell(loud, f"{name_of(action)}: {state}", words, hint=hint, place="activity", group=at, about=action.kind)

    def note(self, action: Action, words: str) -> None:
        """Write a line about an action into the journal."""
        self._write(action.key, "note", {"message": words})

    def let_go(self, key: str, words: str) -> None:
        """Nothing waits for this action any more: its environment is free again. Its state stays as it is, and is asked for further on."""
        action = replace(self._store.state.actions[key], let_go=words)
        self._put(action)
        self._write(key, "note", {"message": f"let go: {words}", "let_go": words})
        self._tell_alone(key)
        self._give_back(key)

    def _give_back(self, key: str) -> None:
        if self.locks is not None and not self._closed:
            self.locks.give_back(self._store.state.actions[key])

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
            self._put(replace(action, let_go=let_go_of(progress.get(entry.key, ()))))
            alone = str(entry.detail.get("alone", ""))
            if alone and action.state is not ActionState.FOLLOWING:
                self._alone[action.key] = alone
            self._notices.tell(
                Severity.WARNING,
                f"{name_of(action)} was interrupted",
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
            self._runner.submit(lane_of(action), work, done)

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
