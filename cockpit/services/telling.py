"""Tells people, through the connected notifiers, what happens: a deployment started and how it ended, a rollback, an approval wanted.

Each message goes once to each connection: a note in the journal stands before it is sent, so that no restart and no second process here
tells it again. Nothing waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from cockpit.connectors.ports import Message
from cockpit.domain.errors import CockpitError, OutcomeUnknown
from cockpit.domain.facts import place
from cockpit.domain.rollout import Action, ActionState, LineState
from cockpit.domain.statements import Statement
from cockpit.domain.strategy import Rollout
from cockpit.services import status
from cockpit.services.notices import Notices, Severity

if TYPE_CHECKING:
    from cockpit.domain.release import Version
    from cockpit.services.connections import Connected, Connections
    from cockpit.services.runtime import MainThread, Outcome, Runner
    from cockpit.services.store import Change, Store
    from cockpit.storage.journal import Journal

ACTION = "tell"  # of the journal's notes
LOOK_S = 5.0  # versions whose approvals are missing are looked for at most this often
AT_ONCE, NEXT_S = 2, 0.1  # services looked at in one go, and the pause between two goes
LATE_S = 30.0  # after its intent an action that is first seen under way was begun elsewhere
UNKNOWN_S = 60.0  # an outcome that is not known for so long is told
_READ = ("checks", "versions", "artifacts", "fleets", "approvals", "reviews", "statements")


class Letter(Struct, frozen=True):
    """A message and the key under which it is told once. `after`: only where that key was told before."""

    key: str
    message: Message
    after: str = ""


class Telling:
    """Main thread only; each connection has a lane of its own. `heard` belongs into `Execution.ended`, `said` into `Words.said`.

    Set from outside: `rules`, and `who` acts here. `begin` lets it look for versions that wait for approvals.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        main: MainThread,
        journal: Journal | None,
        connections: Connections,
        notices: Notices,
        clock_us: Callable[[], int],
    ) -> None:
        self._store, self._runner, self._main = store, runner, main
        self._journal, self._connections, self._notices = journal, connections, notices
        self._clock_us = clock_us
        self.rules = status.Rules()
        self.who = ""
        self._started: set[str] = set()
        self._children: set[str] = set()  # actions of rollouts
        self._dirty: set[str] = set()  # services of which something is new
        self._doubted: set[str] = set()
        self._watches = False
        self._planned = False
        self._closed = False
        self._wanting: dict[str, frozenset[str]] = {}  # by service: keys of versions that were seen to wait for approvals
        self._end_listening = store.subscribe(self._changed)

    def begin(self) -> None:
        """Tell, too, when a version passes everything but its approvals. Those that wait already were told where that was seen."""
        self._watches = True
        self._dirty |= {s.name for s in self._store.state.services}
        self._plan_look(LOOK_S)

    def close(self) -> None:
        """Tell nothing any more."""
        self._closed = True
        self._end_listening()

    @property
    def lanes(self) -> tuple[str, ...]:
        """Where messages are on their way."""
        return tuple(_lane(c) for c in self._connections.all if "Notifier" in c.ports)

    # -- actions -------------------------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        state = self._store.state
        if change.touches("rollouts"):
            for rollout in (r for key in change.ids if (r := state.rollouts.get(key)) is not None):
                self._stepped(rollout)
        if change.touches("actions"):
            for action in (a for key in change.ids if (a := state.actions.get(key)) is not None):
                self._moved(action)
        if self._watches and change.touches(*_READ):
            named = {re.split("[@:]", key)[0] for key in change.ids}
            self._dirty |= named or {s.name for s in state.services}
            self._plan_look(LOOK_S)

    def _stepped(self, rollout: Rollout) -> None:
        """A rollout of several steps is told as a whole, and not each of its actions."""
        self._children |= {run.action for run in rollout.steps if run.action}
        if rollout.rehearsal or not rollout.key:
            return
        letter = rollout_ended(rollout, self._clock_us()) if rollout.state.final else rollout_started(rollout, self._clock_us())
        if letter.key not in self._started:
            self._started.add(letter.key)
            for service in dict.fromkeys(service for service, _ in rollout.places):
                self._tell(service, letter)

    def _moved(self, action: Action) -> None:
        if action.state is ActionState.INTENDED or action.state.final or action.key in self._children:
            return
        if action.key not in self._started:
            self._started.add(action.key)
            # taken up from another process: whether a rollout made it is read meanwhile
            if self._clock_us() - action.intended_at_us > LATE_S * 1e6:
                self._main.call_later(LOOK_S, partial(self._begun, action.key))
            else:
                self._begun(action.key)
        if action.state is ActionState.UNKNOWN and action.key not in self._doubted:
            self._doubted.add(action.key)
            self._main.call_later(UNKNOWN_S, partial(self._doubt, action.key))

    def _begun(self, key: str) -> None:
        action = self._store.state.actions.get(key)
        if action is not None and not action.state.final and key not in self._children:
            self._tell(action.service, started(action, self._clock_us()))

    def _doubt(self, key: str) -> None:
        action = self._store.state.actions.get(key)
        if self._closed or key in self._children:
            return
        if action is not None and action.state is ActionState.UNKNOWN:
            self._tell(action.service, ended(action, self._clock_us(), ""))
        elif action is not None and not action.state.final:
            self._doubted.discard(key)

    def heard(self, action: Action) -> None:
        """An action ended."""
        if action.key in self._children:
            return
        self._tell(action.service, ended(action, self._clock_us(), self._latency(action)))

    def _latency(self, action: Action) -> str:
        fact = self._store.state.latency.get(place(action.service, action.environment))
        if fact is None or fact.stale(self._clock_us()) or fact.value.point.p99_ms is None:
            return "p99 is not known"
        band = fact.value.band
        limit = f", band up to {band.high_ms:.1f} ms" if band is not None else ""
        return f"p99 {fact.value.point.p99_ms:.1f} ms{limit}"

    # -- approvals -----------------------------------------------------------------------------------------------------------

    def said(self, statement: Statement) -> None:
        """A request of the person here, where approvals are missing for it."""
        if statement.kind != "request" or statement.who != self.who:
            return
        version = status.version_of(self._store.state, statement.service, statement.version)
        if version is None or version.digest != statement.digest:
            return
        missing = self._missing(version, statement.environment)
        if missing:
            asks = f"{statement.name or statement.who} asks for it" + (f": {statement.reason}" if statement.reason else "")
            self._tell(version.service, wanted(version, statement.environment, (asks, *missing), self._clock_us()))

    def _missing(self, version: Version, environment: str) -> tuple[str, ...]:
        found = status.decision(self._store.state, version, environment, self.rules, self._clock_us())
        return () if found.ok else found.reasons

    def _plan_look(self, delay_s: float) -> None:
        if not self._planned and not self._closed:
            self._planned = True
            self._main.call_later(delay_s, self._look)

    def _look(self) -> None:
        """Tell of versions that lack nothing but approvals since the last look; a few services at a time, so that nobody waits for it."""
        self._planned = False
        if self._closed:
            return
        services = {s for c in self._connections.all if "Notifier" in c.ports for s in c.services}
        for service in sorted(self._dirty & services)[:AT_ONCE]:
            self._dirty.discard(service)
            if self._seen(service):
                self._look_at(service)
        if self._dirty & services:
            self._plan_look(NEXT_S)

    def _seen(self, service: str) -> bool:
        """Whether what is known of it is of now: yesterday's state makes no news."""
        state, now = self._store.state, self._clock_us()
        facts = (state.checks.get(service), state.versions.get(service), state.artifacts.get(service))
        return all(fact is not None and not fact.stale(now) for fact in facts)

    def _look_at(self, service: str) -> None:
        found = {_wanted_key(*at): at for at in self._only_approvals(service)}
        before = self._wanting.get(service)
        # what waited when this process began to look is no news
        for key in sorted(found.keys() - before if before is not None else ()):
            version, environment = found[key]
            words = ("Its tests passed", *self._missing(version, environment))
            self._tell(service, wanted(version, environment, words, self._clock_us()))
        self._wanting[service] = frozenset(found) | (before or frozenset())

    def _only_approvals(self, service: str) -> list[tuple[Version, str]]:
        """The newest pending version of each environment, where nothing but approvals is missing, or time."""
        state, now, found = self._store.state, self._clock_us(), []
        for environment in (e.name for e in state.environments):
            newest = next(iter(status.pending_versions(state, service, environment)), None)
            if newest is None or not newest.digest:
                continue
            places = {reason.place for reason in status.ready(state, newest, environment, self.rules, now).reasons}
            if "approvals" in places and places <= {"approvals", "freezes"}:
                found.append((newest, environment))
        return found

    # -- sending -------------------------------------------------------------------------------------------------------------

    def _tell(self, service: str, letter: Letter) -> None:
        if self._journal is None or self._closed:
            return
        for connected in self._connections.notifiers(service):
            self._runner.submit(_lane(connected), partial(self._send, connected, letter), partial(self._sent, connected, letter))

    def _send(self, connected: Connected, letter: Letter) -> bool:
        """In the worker: note it, then tell; False where it was told before."""
        if self._journal is None:
            return False
        key, message = f"tell:{letter.key}:{connected.id}", letter.message
        if self._journal.progress_of(key):
            return False
        if letter.after and not self._journal.progress_of(f"tell:{letter.after}:{connected.id}"):
            return False
        detail = {"connection": connected.id, "kind": message.kind, "version": message.version, "message": message.title}
        self._journal.append("note", key, ACTION, self.who, message.service, message.environment, detail)
        connected.connector.notify(message, letter.key)
        return True

    def _sent(self, connected: Connected, letter: Letter, outcome: Outcome[bool]) -> None:
        key, error = f"tell:{connected.id}", outcome.error
        if error is None:
            if outcome.value:
                self._notices.over(key)
            return
        unsure = isinstance(error, OutcomeUnknown)
        title = f"{connected.title}: whether people were told is not known" if unsure else f"{connected.title}: nobody was told"
        words = error.message if isinstance(error, CockpitError) else f"{type(error).__name__}: {error}"
        hint = f"{getattr(error, 'hint', '') or 'Test the connection in Sources.'} It is not sent again: tell them yourself."
        self._notices.tell(Severity.WARNING, title, f"“{letter.message.title}”: {words}", hint=hint, key=key, place="sources")


def started(action: Action, now_us: int) -> Letter:
    """The message of an action that was sent."""
    kind = "rollback" if action.kind == "rollback" else "deployment_started"
    what = "Rollback" if action.kind == "rollback" else "Deployment"
    nodes = f" on {', '.join(action.nodes)}" if action.nodes else ""
    text = f"{action.from_version or 'not known'} to {action.version}{nodes}, by {action.who}."
    title = f"{what} of {action.service} in {action.environment} to {action.version} started"
    return Letter(f"{action.key}:started", _message(kind, title, text, action, now_us))


def ended(action: Action, now_us: int, latency: str) -> Letter:
    """The message of how it ended, with its numbers; of one that is not known, that it is not known."""
    kind = "rollback" if action.kind == "rollback" else "verdict"
    what = "Rollback" if action.kind == "rollback" else "Deployment"
    unknown = action.state is ActionState.UNKNOWN
    how = "outcome not known yet" if unknown else str(action.state)
    parts = [action.message or "no words"]
    good = sum(line.state is LineState.OK for line in action.proof if line.place != "latency")
    asked = sum(line.place != "latency" for line in action.proof)
    parts += [f"{good} of {asked} nodes prove it"] if asked else []
    parts += [f"after {(action.ended_at_us - action.intended_at_us) / 1e6:.0f} s"] if action.ended_at_us else []
    parts += [latency] if latency else []
    title = f"{what} of {action.service} in {action.environment} to {action.version}: {how}"
    key = f"{action.key}:{'unknown' if unknown else 'ended'}"
    quiet = action.state in (ActionState.REFUSED, ActionState.NOT_SENT)
    # what never left here is nobody's news, unless its start was
    after = f"{action.key}:started" if quiet else ""
    return Letter(key, _message(kind, title, "; ".join(p.rstrip(". ") for p in parts) + ".", action, now_us), after)


def rollout_started(rollout: Rollout, now_us: int) -> Letter:
    """The message of a rollout of several steps that began."""
    text = f"{len(rollout.steps)} steps, by {rollout.who}" + (f": {rollout.reason}" if rollout.reason else "")
    kind = "rollback" if rollout.kind == "rollback" else "deployment_started"
    return Letter(f"{rollout.key}:started", _of_rollout(kind, rollout, "started", f"{text}.", now_us))


def rollout_ended(rollout: Rollout, now_us: int) -> Letter:
    """The message of how it ended."""
    done = sum(run.state.over for run in rollout.steps)
    parts = [rollout.message.rstrip(". ")] if rollout.message else []
    parts += [f"{done} of {len(rollout.steps)} steps are over", f"after {(rollout.ended_at_us - rollout.started_at_us) / 1e6:.0f} s"]
    kind = "rollback" if rollout.kind == "rollback" else "verdict"
    words = {"back": "taken back"}.get(str(rollout.state), str(rollout.state))
    return Letter(f"{rollout.key}:ended", _of_rollout(kind, rollout, words, "; ".join(parts) + ".", now_us), f"{rollout.key}:started")


def _of_rollout(kind: str, rollout: Rollout, how: str, text: str, now_us: int) -> Message:
    services, environments = zip(*rollout.places, strict=True) if rollout.places else ((), ())
    version = next((run.step.version for run in rollout.steps if run.step.version), "")
    service = services[0] if len(set(services)) == 1 else ""
    to = f" to {version}" if service and version else ""
    where = f" in {environments[0]}" if environments else ""
    environment = environments[0] if environments else ""
    return Message(kind, f"{rollout.title}{where}{to}: {how}", text, "", service, environment, version if service else "", now_us)


def wanted(version: Version, environment: str, words: tuple[str, ...], now_us: int) -> Letter:
    """The message that approvals are missing for exactly this artifact."""
    title = f"Approval wanted: {version.service} {version.name} for {environment}"
    text = "; ".join(w.rstrip(". ") for w in words) + f". Commit {version.commit[:12]}, artifact {version.digest[:12]}."
    message = Message("approval_wanted", title, text, "", version.service, environment, version.name, now_us)
    return Letter(_wanted_key(version, environment), message)


def _message(kind: str, title: str, text: str, action: Action, now_us: int) -> Message:
    return Message(kind, title, text, "", action.service, action.environment, action.version, now_us)


def _wanted_key(version: Version, environment: str) -> str:
    return f"approval:{version.service}:{environment}:{version.commit}:{version.digest}"


def _lane(connected: Connected) -> str:
    return f"telling:{connected.id}"
