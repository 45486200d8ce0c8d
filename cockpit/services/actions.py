"""What a person may do: deploy, roll back, abort, approve, ask for tests again. Each is checked here, journaled, then done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct

from cockpit.connectors.ports import CiSystem, DeployRequest
from cockpit.domain.approvals import Approval, why_not_approve
from cockpit.domain.checks import CheckRun
from cockpit.domain.errors import CockpitError, NotAllowed, StorageError
from cockpit.domain.facts import Fact, place
from cockpit.domain.readiness import Readiness, Reason
from cockpit.domain.release import Version
from cockpit.domain.rollout import Action, ActionState, Facts, Refusal, RolloutPlan, last_good, plan
from cockpit.services import status
from cockpit.services.connections import Connections
from cockpit.services.decisions import Decisions
from cockpit.services.execution import Execution
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.export import export_csv, export_json
from cockpit.storage.journal import Entry, Journal, Verification
from cockpit.storage.owner import owner_alive, process_owner


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
    """Main thread only. What a refusal says stands in `NotAllowed.reasons`; nothing was sent then."""

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
        self.me = Person("", "")
        self.rules = status.Rules()
        self.read_only = ""
        self.refresh: Callable[[str, str], None] = lambda port, service: None

    # -- deploy and roll back ------------------------------------------------------------------------------------------------

    def plan(self, kind: str, service: str, environment: str, version: str = "") -> RolloutPlan | Refusal:
        """What a click would do now, or why it may not. Without a version: the last good one for a rollback, the newest pending."""
        state, at, now = self._store.state, place(service, environment), self._clock_us()
        if self._connections.deployment(service) is None and at not in state.fleets:
            words = "no deployment system is connected: add one of kind deployment-v1 to the settings"
            return Refusal(kind, service, environment, (Reason("sources", words),))
        history = state.deployments.get(at)
        fleet = state.fleets.get(at)
        live = fleet.value.live if fleet else None
        target = self._target(kind, service, environment, version)
        changes = None
        if target is not None and live is not None:
            ends = (target.name, live.version) if kind == "rollback" else (live.version, target.name)
            changes = status.changes_between(state, service, *ends)
        facts = Facts(now, fleet, state.artifacts.get(service), history, state.versions.get(service), changes, self._busy(environment))
        ready = Readiness()
        if kind == "deploy" and target is not None:
            ready = status.ready(state, target, environment, self.rules, now)
        if self.read_only:
            ready = Readiness((*ready.reasons, Reason("sources", self.read_only)))
        elif not self.me.who:
            ready = Readiness((*ready.reasons, Reason("sources", "it is not known who you are: set name and email under [me]")))
        return plan(kind, service, environment, target, facts, ready)

    def _target(self, kind: str, service: str, environment: str, version: str) -> Version | None:
        state, at = self._store.state, place(service, environment)
        if version:
            return status.version_of(state, service, version)
        if kind == "deploy":
            return next(iter(status.pending_versions(state, service, environment)), None)
        history, fleet = state.deployments.get(at), state.fleets.get(at)
        if history is None or fleet is None or fleet.value.live is None:
            return None
        good = last_good(history.value, fleet.value)
        known = status.version_of(state, service, good.version) if good else None
        if good is None or (known is not None and known.digest == good.digest):
            return known
        # its tag is gone or was moved: what was good is the artifact, whatever the name means today
        return Version(service, good.version, "", known.commit if known else "", good.started_at_us, good.digest)

    def _busy(self, environment: str) -> str:
        for action in self._store.state.actions.values():
            # while only the proof is missing a person must be able to act again
            under_way = not action.state.final and action.state is not ActionState.VERIFYING
            if action.environment == environment and under_way:
                return f"a {action.kind} of {action.service} to {action.version} is {action.state}"
        for fact in self._store.state.fleets.values():
            fleet, other = fact.value, fact.value.active
            # one deployment at a time in an environment, whichever service it is of
            if fleet.environment == environment and other is not None and not other.state.final:
                return f"a {other.kind} of {other.service} to {other.version} is under way"
        return ""

    def fire(self, planned: RolloutPlan, reason: str = "") -> Action:
        """Carry out exactly this plan; NotAllowed when any of its facts is no longer so."""
        if self._execution is None:
            raise NotAllowed(self.read_only or "This window only reads.", title="Read-only")
        if planned.kind == "deploy":
            self._hear_all()
        fresh = self.plan(planned.kind, planned.service, planned.environment, planned.target.name)
        if isinstance(fresh, Refusal):
            words = tuple(r.text for r in fresh.reasons)
            raise NotAllowed("; ".join(words), hint="Nothing was sent.", reasons=words)
        changed = what_changed(planned, fresh)
        if changed:
            raise NotAllowed(f"The plan changed: {changed}.", hint="Nothing was sent. Read the plan again, then arm it.")
        action = Action(
            key=uuid4().hex,
            kind=fresh.kind,
            service=fresh.service,
            environment=fresh.environment,
            from_version=fresh.from_version,
            from_digest=fresh.from_digest,
            version=fresh.target.name,
            digest=fresh.target.digest,
            who=self.me.signature,
            state=ActionState.INTENDED,
            intended_at_us=self._clock_us(),
        )
        request = DeployRequest(
            action.service, action.environment, action.version, action.digest, action.kind, self.me.signature, reason.strip()
        )
        self._execution.begin(action, request)
        return action

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

    # -- approvals -----------------------------------------------------------------------------------------------------------

    def why_not_approve(self, version: Version, environment: str) -> str:
        """Why the person here may not approve this; empty when they may."""
        if self.read_only:
            return self.read_only
        state = self._store.state
        why = why_not_approve(self.me.who, version, status.authors_of(state, version, environment))
        given = status.decision(state, version, environment).votes
        mine = any(v.counts and v.approval.approved and v.approval.who == self.me.who for v in given)
        return why or ("you have approved this already" if mine else "")

    def approve(self, version: Version, environment: str, comment: str = "") -> None:
        """Record an approval of exactly this commit and digest."""
        why = self.why_not_approve(version, environment)
        if why:
            raise NotAllowed(f"You cannot approve {version.name}: {why}.")
        self._vote(version, environment, True, comment.strip())

    def reject(self, version: Version, environment: str, comment: str) -> None:
        """Record a rejection with its reason; anybody may reject, an author too."""
        if self.read_only or not self.me.who:
            raise NotAllowed(self.read_only or "It is not known who you are: set your name and e-mail in the settings.")
        if not comment.strip():
            raise NotAllowed("A rejection names its reason.", hint="Write it into the comment, then reject.")
        self._vote(version, environment, False, comment.strip())

    def _vote(self, version: Version, environment: str, approved: bool, comment: str) -> None:
        approval = Approval(
            version.service,
            version.name,
            environment,
            version.commit,
            version.digest,
            self.me.who,
            self.me.name or self.me.who,
            approved,
            comment,
            self._clock_us(),
        )
        detail = {name: getattr(approval, name) for name in approval.__struct_fields__}
        word = "approve" if approved else "reject"
        work = partial(self._record, "note", uuid4().hex, word, version.service, environment, detail)

        def done(outcome: Outcome[None]) -> None:
            if outcome.error is not None:
                self._notices.error(outcome.error, place="approvals")
                return
            self.decisions.add(approval)
            words = "approved" if approved else "rejected"
            self._notices.tell(Severity.OK, f"{version.service} {version.name} {words} for {environment}", comment, place="approvals")

        self._runner.submit("journal", work, done)

    # -- tests ---------------------------------------------------------------------------------------------------------------

    def rerun_checks(self, run_id: str) -> None:
        """Ask for the same suites again."""
        run, ci = self._run_and_ci(run_id)
        self._ci_action("rerun", run, lambda key: ci.rerun(run_id, key))

    def stop_checks(self, run_id: str) -> None:
        """Stop a run."""
        run, ci = self._run_and_ci(run_id)
        self._ci_action("stop", run, lambda key: ci.stop(run_id))

    def _run_and_ci(self, run_id: str) -> tuple[CheckRun, CiSystem]:
        if self.read_only:
            raise NotAllowed(self.read_only)
        run = next((r for f in self._store.state.checks.values() for r in f.value if r.id == run_id), None)
        ci = self._connections.ci(run.service) if run else None
        if run is None or ci is None:
            raise NotAllowed("That run is not known here.", hint="Refresh (F5), then choose it again.")
        return run, ci

    def _ci_action(self, word: str, run: CheckRun, call: Callable[[str], CheckRun]) -> None:
        key = uuid4().hex

        def work() -> CheckRun:
            self._record("intent", key, word, run.service, "", {"run": run.id, "version": run.version})
            try:
                answer = call(key)
            except CockpitError as error:
                self._record("outcome", key, word, run.service, "", {"state": error.title, "message": error.message})
                raise
            self._record("outcome", key, word, run.service, "", {"state": "done", "run": answer.id})
            return answer

        def done(outcome: Outcome[CheckRun]) -> None:
            self._told(outcome)
            self.refresh("CiSystem", run.service)

        self._runner.submit(f"ci:{run.service}", work, done)

    def load_run(self, run_id: str) -> None:
        """Read one run with all its tests into `state.runs`."""
        known = next((r for f in self._store.state.checks.values() for r in f.value if r.id == run_id), None)
        ci = self._connections.ci(known.service) if known else None
        if ci is None:
            return

        def done(outcome: Outcome[CheckRun]) -> None:
            if outcome.value is not None:
                self._store.merge("runs", {run_id: Fact(outcome.value, self._clock_us(), "tests")})

        self._runner.submit("ci:read", partial(ci.run, run_id), done)

    def load_log(self, run_id: str, suite: str, done: Callable[[Outcome[str]], None]) -> None:
        """Read a suite's log; untrusted text."""
        known = next((r for f in self._store.state.checks.values() for r in f.value if r.id == run_id), None)
        ci = self._connections.ci(known.service) if known else None
        if ci is None:
            done(Outcome(error=NotAllowed("No CI system is connected for that run.")))
            return
        self._runner.submit("ci:read", partial(ci.log, run_id, suite), done)

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
