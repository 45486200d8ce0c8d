"""What a person may do: deploy, roll back, abort, let go, ask for tests again. Each is checked here, journaled, then done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msgspec import Struct

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import NotAllowed, StorageError
from cockpit.domain.facts import place
from cockpit.domain.readiness import Readiness, Reason
from cockpit.domain.release import Version
from cockpit.domain.rollout import Action, ActionState, Refusal, RolloutPlan, plan
from cockpit.services import planning, status, ways
from cockpit.services.calendars import Calendars
from cockpit.services.carrying import automatic_at
from cockpit.services.ci_actions import CiActions
from cockpit.services.connections import Connections
from cockpit.services.decisions import Decisions
from cockpit.services.execution import Execution
from cockpit.services.notices import Notices
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.export import export_csv, export_json
from cockpit.storage.journal import Entry, Journal, Verification
from cockpit.storage.owner import owner_alive, process_owner

if TYPE_CHECKING:
    from cockpit.domain.strategy import Step

LET_GO_S = 60.0  # a system that was silent for less may still answer
Planned = RolloutPlan | Refusal


class Person(Struct, frozen=True):
    """Who acts here, as the settings name them."""

    name: str
    email: str

    @property
    def who(self) -> str:
        return self.email.strip().lower()

    @property
    def signature(self) -> str:
        return f"{self.name} <{self.who}>" if self.name else self.who


class Actions:
    """Main thread only. What a refusal says stands in `NotAllowed.reasons`; nothing was sent then.

    Set from outside: `me`, `rules`, `read_only`; `calendars` remembers freezes; `locked` tells whether an environment's lock is needed;
    `emergency_said` records the debt of who acted alone, without it nobody can.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        journal: Journal | None,
        connections: Connections,
        notices: Notices,
        execution: Execution | None,
        clock_us: Callable[[], int],
    ) -> None:
        self._store = store
        self._runner = runner
        self._journal = journal
        self._connections = connections
        self._notices = notices
        self._execution = execution
        self._clock_us = clock_us
        self.decisions = Decisions(store, runner, journal, notices)
        self.ci = CiActions(store, runner, connections, notices, self._record, clock_us)
        self.me = Person("", "")
        self.rules = status.Rules()
        self.calendars = Calendars()
        self.locked: Callable[[str, str], bool] = lambda service, environment: False
        self.emergency_said: Callable[[Action, str], None] | None = None
        self._read_only = ""
        if execution is not None:
            execution.acted_alone = self._acted_alone

    @property
    def read_only(self) -> str:
        """Why nothing may be done here; "" where a person may act."""
        return self._read_only

    @read_only.setter
    def read_only(self, why: str) -> None:
        self._read_only = self.ci.read_only = why

    @property
    def refresh(self) -> Callable[[str, str], None]:
        """Asks a kind of system anew: (port, service)."""
        return self.ci.refresh

    @refresh.setter
    def refresh(self, ask: Callable[[str, str], None]) -> None:
        self.ci.refresh = ask

    # -- deploy and roll back ------------------------------------------------------------------------------------------------

    def plan(
        self, kind: str, service: str, environment: str, version: str = "", *, emergency: bool = False, automatic: bool = False
    ) -> Planned:
        """What a click would do now, or why it may not. Without a version: the last good one for a rollback, the newest pending.

        `emergency`: a deployment by one person alone, without the approvals. `automatic`: as nobody's click would do it, so no override
        of a freeze counts.
        """
        state, now = self._store.state, self._clock_us()
        if self._connections.deployment(service) is None and place(service, environment) not in state.fleets:
            words = "no deployment system is connected: add one of kind deployment-v1 to the settings"
            return Refusal(kind, service, environment, (Reason("sources", words),))
        target = self._target(kind, service, environment, version)
        emergency = emergency and kind == "deploy"
        asked = planning.Asked(
            *(kind, service, environment, target, self.rules, now, self.me.who, emergency, automatic),
            locked=self.locked(service, environment),
            tells_hold=self._connections.holds(service) is not None,
            calendars=self.calendars,
            unheard=self.decisions.problem,
        )
        return plan(kind, service, environment, target, planning.gather(state, asked), self._ready(asked))

    def _ready(self, asked: planning.Asked) -> Readiness:
        reasons: list[Reason] = []
        if asked.kind == "deploy" and asked.target is not None:
            found = status.ready(
                *(self._store.state, asked.target, asked.environment, asked.rules, asked.now_us),
                deployer=asked.deployer,
                automatic=asked.automatic,
                emergency=asked.emergency,
                calendars=self.calendars,
            )
            reasons += found.reasons
        if asked.emergency:
            why = self.why_no_emergency()
            reasons += [Reason("approvals", why)] if why else []
        if self.read_only:
            reasons.append(Reason("sources", self.read_only))
        elif not self.me.who:
            reasons.append(Reason("sources", "it is not known who you are: set name and email under [me]"))
        return Readiness(tuple(reasons))

    def why_no_emergency(self) -> str:
        """Why the person here may not deploy alone; "" when they may."""
        may = self.rules.may.get("emergency", frozenset())
        if self.emergency_said is None:
            return "nobody can act alone here: the debt could not be recorded"
        if self.me.who in may:
            return ""
        return "you may not act alone in an emergency" + ("" if may else ": the policy names nobody under [overrides] emergency")

    def _target(self, kind: str, service: str, environment: str, version: str) -> Version | None:
        state = self._store.state
        if version:
            good = ways.good_target(state, service, environment) if kind == "rollback" else None
            # by its name too the way back leads to the artifact that was good
            return good if good is not None and good.name == version else status.version_of(state, service, version)
        if kind == "deploy":
            return next(iter(status.pending_versions(state, service, environment)), None)
        return ways.good_target(state, service, environment)

    def fire(self, planned: RolloutPlan, reason: str = "", *, automatic: bool = False, key: str = "") -> Action:
        """Carry out exactly this plan; NotAllowed when any of its facts is no longer so, or where it needs a reason and has none.

        `automatic`: nothing is insisted on, nobody acts alone, and no override of a freeze is passed. `key`: "" = one of its own.
        """
        if automatic and planned.emergency:
            raise NotAllowed("Only a person acts in an emergency.", hint="Nothing was sent.")
        why = self.rules.why_in_steps(planned)
        if why:
            hint = f"`release-cockpit deploy {planned.service} {planned.environment} {planned.target.name}` begins them. Nothing was sent."
            raise NotAllowed(why, hint=hint, title="It is done in steps")
        return self._begin(self.still(planned, automatic=automatic), reason.strip(), key or uuid4().hex, automatic=automatic)

    def still(self, planned: RolloutPlan, *, automatic: bool = False) -> Planned:
        """The same plan made anew with all that was said meanwhile; NotAllowed where any of its facts is no longer so."""
        if planned.kind == "deploy":
            self._hear_all()
        at = (planned.kind, planned.service, planned.environment, planned.target.name)
        fresh = self.plan(*at, emergency=planned.emergency, automatic=automatic)
        if isinstance(fresh, RolloutPlan):
            changed = what_changed(planned, fresh)
            if changed:
                raise NotAllowed(f"The plan changed: {changed}.", hint="Nothing was sent. Read the plan again, then arm it.")
        return fresh

    def fire_step(self, step: Step, kind: str, reason: str, key: str) -> Action:
        """Carry out one step of a rollout under this key, on the step's nodes; NotAllowed where nothing was sent.

        Everything is asked anew; the reason with which a person began the rollout is what insists.
        """
        if kind == "deploy":
            self._hear_all()
        automatic = kind == "deploy" and automatic_at(self._store.state, step.service, step.environment)
        fresh = self.plan(kind, step.service, step.environment, step.version, automatic=automatic)
        if fresh.target is not None and fresh.target.digest != step.digest:
            raise NotAllowed(f"{step.version} is another artifact by now ({fresh.target.digest[:12]}).", hint="Nothing was sent.")
        return self._begin(fresh, reason.strip(), key, nodes=step.nodes, automatic=automatic)

    def _begin(self, fresh: Planned, reason: str, key: str, *, nodes: tuple[str, ...] = (), automatic: bool = False) -> Action:
        if self._execution is None:
            raise NotAllowed(self.read_only or "This window only reads.", title="Read-only")
        if isinstance(fresh, Refusal):
            reasons = tuple(r.text for r in fresh.reasons)
            raise NotAllowed("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
        if fresh.insists and (automatic or not reason):
            who = "Only a person may pass this" if automatic else "This needs a reason"
            words = f"{who}: {'; '.join(fresh.insists)}."
            raise NotAllowed(words, hint="Nothing was sent.", reasons=fresh.insists, title="A reason is needed")
        action = Action(
            *(key, fresh.kind, fresh.service, fresh.environment, fresh.from_version, fresh.from_digest, fresh.target.name),
            digest=fresh.target.digest,
            who=self.me.signature,
            state=ActionState.INTENDED,
            intended_at_us=self._clock_us(),
        )
        words = f"emergency: {reason}" if fresh.emergency else reason
        at = (action.service, action.environment, action.version, action.digest, action.kind)
        alone = reason if fresh.emergency else ""
        self._execution.begin(action, DeployRequest(*at, self.me.signature, words, nodes), fresh.insists, alone)
        return action

    def _acted_alone(self, action: Action, reason: str) -> None:
        if self.emergency_said is not None:
            self.emergency_said(action, reason)

    def _hear_all(self) -> None:
        """A rejection given elsewhere a moment ago counts too."""
        try:
            self.decisions.read()
        except StorageError as error:
            raise NotAllowed(f"Whether it was rejected meanwhile cannot be read: {error.message}", hint="Nothing was sent.") from error

    def abort(self, key: str) -> None:
        """Ask the system to stop after the node under way; the action then ends as it says."""
        action = self._store.state.actions.get(key)
        api = self._connections.deployment(action.service) if action else None
        if action is None or action.deployment is None or api is None or action.state is not ActionState.FOLLOWING:
            raise NotAllowed("There is nothing under way that could be aborted.")
        deployment_id = action.deployment.id
        detail = {"deployment": deployment_id, "message": "abort asked for"}

        def work() -> object:
            self._record("note", action.key, "abort", action.service, action.environment, detail)
            return api.abort(deployment_id)

        self._runner.submit(f"abort:{action.environment}", work, self._told)

    def why_not_let_go(self, key: str) -> str:
        """Why an action must still be waited for; "" where a person may say that it is not."""
        action = self._store.state.actions.get(key)
        silent = action is not None and (action.state is ActionState.UNKNOWN or action.message.startswith("not known"))
        if action is None or action.state.final or not silent:
            return "its outcome is known, or will be: the system answers"
        if action.let_go:
            return f"it was let go: {action.let_go}"
        since_s = (self._clock_us() - action.intended_at_us) / 1e6
        return f"it was begun only {since_s:.0f} s ago: wait {LET_GO_S:.0f} s for an answer" if since_s < LET_GO_S else self.read_only

    def let_go(self, key: str, reason: str) -> None:
        """Wait no more for an action whose system stays silent, so that its environment is free again. Its outcome stays not known."""
        why = self.why_not_let_go(key)
        if why or self._execution is None:
            raise NotAllowed(f"It cannot be let go: {why or 'this window only reads'}.")
        if not reason.strip():
            raise NotAllowed("Letting go needs a reason.", hint="Write what was seen on the nodes, then let go.")
        self._execution.let_go(key, f"{self.me.signature}: {reason.strip()}")

    # -- tests: see CiActions ------------------------------------------------------------------------------------------------

    def rerun_checks(self, run_id: str) -> None:
        """Ask for the same suites again."""
        self.ci.rerun_checks(run_id)

    def stop_checks(self, run_id: str) -> None:
        """Stop a run."""
        self.ci.stop_checks(run_id)

    def load_run(self, run_id: str) -> None:
        """Read one run with all its tests into `state.runs`."""
        self.ci.load_run(run_id)

    def load_log(self, run_id: str, suite: str, done: Callable[[Outcome[str]], None]) -> None:
        """Read a suite's log; untrusted text."""
        self.ci.load_log(run_id, suite, done)

    # -- the journal ---------------------------------------------------------------------------------------------------------

    def activity(self, text: str = "", kinds: tuple[str, ...] = (), limit: int = 1000) -> tuple[Entry, ...]:
        """The journal, newest first."""
        return self._journal.entries(limit, text=text, kinds=kinds) if self._journal else ()

    def load_activity(self, text: str, kinds: tuple[str, ...], limit: int, done: Callable[[Outcome[tuple[Entry, ...]]], None]) -> None:
        """`activity` in the background."""
        self._runner.submit("activity", partial(self.activity, text, kinds, limit), done)

    def entries_of(self, key: str) -> tuple[Entry, ...]:
        """What the journal has of one action, oldest first; found by its index, in well under a millisecond."""
        return self._journal.progress_of(key) if self._journal else ()

    def export_activity(self, entries: tuple[Entry, ...], form: str) -> str:
        """The entries as "csv" or "json"."""
        return export_csv(entries) if form == "csv" else export_json(entries)

    def verify_journal(self) -> Verification:
        """Recompute the whole chain; about two seconds a million entries."""
        return self._journal.verify() if self._journal else Verification(True, 0, (), "")

    def save_activity(self, entries: tuple[Entry, ...], path: str, done: Callable[[Outcome[int]], None]) -> None:
        """Write the entries to a file in the background, as JSON where its name ends so, else as CSV; OSError where that fails."""

        def work() -> int:
            text = self.export_activity(entries, "json" if path.lower().endswith(".json") else "csv")
            return Path(path).write_text(text, encoding="utf-8", newline="")

        self._runner.submit("activity", work, done)

    def check_journal(self, done: Callable[[Outcome[Verification]], None]) -> None:
        """`verify_journal` in the background."""
        self._runner.submit("verify", self.verify_journal, done)

    def recover(self) -> None:
        """Take up actions that a process began which is gone. Reads in the background; called again and again it finds the new ones."""
        journal, execution = self._journal, self._execution
        if journal is None or execution is None:
            return

        def work() -> tuple[tuple[Entry, ...], dict[str, tuple[Entry, ...]]]:
            entries = tuple(e for e in journal.unfinished() if _left(e))
            # read after its process was seen to be gone: one that ended properly meanwhile has its outcome by now
            progress = {e.key: journal.progress_of(e.key) for e in entries}
            entries = tuple(e for e in entries if all(p.kind != "outcome" for p in progress[e.key]))
            for entry in entries:
                if entry.action in ("rerun", "stop") and not owner_alive(entry.owner):
                    lost = {"state": "unknown", "message": "interrupted: see the runs for what became of it"}
                    self._record("outcome", entry.key, entry.action, entry.service, "", lost)
            return entries, progress

        def done(outcome: Outcome[tuple[tuple[Entry, ...], dict[str, tuple[Entry, ...]]]]) -> None:
            if outcome.value is not None:
                self._notices.over("recover")
                execution.recover(*outcome.value)
            elif outcome.error is not None:
                self._notices.error(outcome.error, key="recover", place="activity")

        self._runner.submit("journal", work, done)

    def _record(self, kind: str, key: str, action: str, service: str, environment: str, detail: dict[str, Any]) -> None:
        if self._journal is None:
            raise NotAllowed(self.read_only or "This window only reads.")
        self._journal.append(kind, key, action, self.me.signature, service, environment, detail)

    def _told(self, outcome: Outcome[Any]) -> None:
        if outcome.error is not None:
            self._notices.error(outcome.error)


def _left(entry: Entry) -> bool:
    """Whether the process that began this may be gone; of another machine's only time tells."""
    return entry.owner.partition(":")[0] != process_owner().partition(":")[0] or not owner_alive(entry.owner)


def what_changed(planned: RolloutPlan, now: RolloutPlan) -> str:
    """Which fact of the plan is no longer so, in words; empty when all stand."""
    pairs = (
        ("what runs there", planned.from_digest, now.from_digest),
        ("the target's artifact", planned.target.digest, now.target.digest),
        ("the target's commit", planned.target.commit, now.target.commit),
        ("the nodes", planned.nodes, now.nodes),
    )
    for words, before, after in pairs:
        if before != after:
            return words
    old = {line.text: line.state for line in planned.preflight}
    new = [line.text for line in now.preflight if old.get(line.text) is not line.state]
    return "; ".join(new)
