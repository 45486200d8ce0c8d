"""The hands of rollouts, made of what the cockpit has: actions, connections, the state and the policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cockpit.domain.checks import CheckState
from cockpit.domain.errors import Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.domain.judge import NO_WORSE
from cockpit.domain.release import Fleet, Version
from cockpit.domain.rollout import Action, LineState, Refusal, RolloutPlan
from cockpit.domain.strategy import Step, expected_now
from cockpit.domain.watching import Watched, WatchState
from cockpit.services import status
from cockpit.services.carrying import automatic_at
from cockpit.services.connections import Connections
from cockpit.services.rollout_back import taken_back
from cockpit.services.rollout_hands import Hands
from cockpit.services.rollout_steps import odd_against
from cockpit.services.store import Store

if TYPE_CHECKING:
    from cockpit.services.actions import Actions

Answer = tuple[LineState, str]
VERDICT_S = 30.0


def hands_of(actions: Actions, connections: Connections, store: Store, clock_us: Callable[[], int]) -> Hands:
    """What rollouts act through in a running cockpit."""

    def plan(kind: str, service: str, environment: str, version: str) -> RolloutPlan | Refusal:
        return actions.plan(kind, service, environment, version)

    def fire(step: Step, kind: str, reason: str, key: str) -> Action:
        # a system that knows nothing of single nodes can still do a step that is about all of them
        fleet = store.state.fleets.get(place(step.service, step.environment))
        whole = fleet is not None and {n.name for n in fleet.value.nodes} <= set(step.nodes)
        return actions.fire_step(replace(step, nodes=()) if whole else step, kind, reason, key)

    def why_not() -> str:
        return actions.read_only or ("" if actions.me.who else "it is not known who you are: set name and email under [me]")

    return Hands(
        plan=plan,
        fire=fire,
        abort=actions.abort,
        ask=Gates(actions, store, clock_us).ask,
        look=partial(_look, connections),
        traffic=partial(_port, connections, "Traffic"),
        venue=partial(_port, connections, "Venue"),
        who=lambda: actions.me.signature,
        why_not=why_not,
        rules=lambda: actions.rules,
    )


def _port(connections: Connections, port: str, service: str) -> Any:
    serving = [c for c in connections.all if port in c.ports and service in c.services]
    # who connects a system for this alone means it, though the deployment system might offer the same
    return min(serving, key=lambda c: "DeploymentApi" in c.ports).connector if serving else None


def _look(connections: Connections, service: str, environment: str) -> Fleet:
    api = connections.deployment(service)
    if api is None:
        raise Unreachable("The deployment system is not connected.", hint="See Sources for what is missing.")
    return api.fleet(service, environment)


class Gates:
    """What a gate asks, answered from the state of that moment. Main thread; facts past their deadline are not known."""

    def __init__(self, actions: Actions, store: Store, clock_us: Callable[[], int]) -> None:
        self._actions = actions
        self._store = store
        self._clock_us = clock_us

    def ask(self, name: str, step: Step) -> Answer:
        """The answer to one of the questions of `domain.strategy_plan.QUESTIONS`."""
        known = {
            "checks": self._checks,
            "approvals": self._approvals,
            "freeze": self._freeze,
            "fleet": self._fleet,
            "verdict": self._verdict,
        }
        return known[name](step) if name in known else (LineState.UNKNOWN, f"nobody knows what “{name}” asks")

    def _version(self, step: Step) -> Version:
        found = status.version_of(self._store.state, step.service, step.version)
        # a tag that was moved names another artifact: tests and approvals of that one say nothing of this one
        return found if found is not None and found.digest == step.digest else Version(step.service, step.version, "", "", 0, step.digest)

    def _late(self, what: str, fact: Fact[Any] | None) -> str:
        if fact is None:
            return f"{what}: not known"
        now = self._clock_us()
        return f"{what}: {fact.age_s(now):.0f} s old, {fact.source or 'the source'} does not answer" if fact.stale(now) else ""

    def _checks(self, step: Step) -> Answer:
        late = self._late("tests", self._store.state.checks.get(step.service))
        if late:
            return LineState.UNKNOWN, late
        summary = status.checks(self._store.state, self._version(step), self._actions.rules)
        words = f"tests are {summary.state}" + (f": {'; '.join(summary.reasons)}" if summary.reasons else "")
        if summary.state is CheckState.PASSED:
            return LineState.OK, words
        return (LineState.BLOCKED if summary.state in (CheckState.FAILED, CheckState.ERROR) else LineState.UNKNOWN), words

    def _approvals(self, step: Step) -> Answer:
        state, rules, who = self._store.state, self._actions.rules, self._actions.me.who
        found = status.decision(state, self._version(step), step.environment, rules, self._clock_us(), deployer=who)
        words = f"{found.given} of {found.required} approvals" + (f": {'; '.join(found.reasons)}" if found.reasons else "")
        return (LineState.OK if found.ok else LineState.BLOCKED), words

    def _freeze(self, step: Step) -> Answer:
        state, rules, calendars = self._store.state, self._actions.rules, self._actions.calendars
        alone = automatic_at(state, step.service, step.environment)
        version, now = self._version(step), self._clock_us()
        found = status.gates(state, version, step.environment, rules, now, automatic=alone, calendars=calendars)
        if found.hold is not None:
            return LineState.BLOCKED, f"{step.version} is held: {found.hold.reason}"
        if found.freezes is None or found.freezes.unknown:
            silent = ", ".join(found.freezes.unknown) if found.freezes is not None else "no calendar was asked"
            return LineState.UNKNOWN, f"whether a freeze holds is not known: {silent}"
        names = ", ".join(freeze.name for freeze in found.freezes.now)
        if names and found.override is None:
            return LineState.BLOCKED, f"freeze: {names}"
        return LineState.OK, f"freeze: {names}, passed by {found.override.who}" if names and found.override else "no freeze"

    def _fleet(self, step: Step) -> Answer:
        fact = self._store.state.fleets.get(place(step.service, step.environment))
        late = self._late("nodes", fact)
        if fact is None or late:
            return LineState.UNKNOWN, late
        silent = [n.name for n in fact.value.nodes if not n.digest or n.healthy is None]
        odd = odd_against(expected_now(self._store.state.rollouts.values(), step.service, step.environment), fact.value.nodes)
        if odd:
            return LineState.BLOCKED, odd
        if silent or not fact.value.nodes:
            return LineState.UNKNOWN, f"{', '.join(silent) or 'no node'} does not say what it runs"
        return LineState.OK, f"all {len(fact.value.nodes)} nodes are as planned"

    def _verdict(self, step: Step) -> Answer:
        mine = (r for r in self._store.state.rollouts.values() if not r.state.final and any(run.step == step for run in r.steps))
        back = next((words for r in mine if (words := taken_back(self._store.state, r, self._clock_us()))), "")
        if back:
            return LineState.BLOCKED, back
        watched: Watched | None = self._store.state.watches.get(place(step.service, step.environment))
        if watched is not None and watched.version == step.version:
            return (LineState.UNKNOWN, self._other(watched, step)) if self._other(watched, step) else self._judged(watched)
        fact = self._store.state.latency.get(place(step.service, step.environment))
        late = self._late("latency", fact)
        if fact is None or late:
            return LineState.UNKNOWN, late
        point, band, outside = fact.value.point, fact.value.band, fact.value.outside
        if outside is None or band is None or point.p99_ms is None:
            return LineState.UNKNOWN, "latency: not enough seen yet"
        words = f"p99 {point.p99_ms:.2f} ms, band {band.low_ms:.2f} to {band.high_ms:.2f} ms of {band.version or 'before'}"
        return (LineState.BLOCKED if outside else LineState.OK), words

    def _other(self, watched: Watched, step: Step) -> str:
        """Why this watch says nothing of what the step asks about, "" where it does: who was taken back is not well because others are."""
        if watched.state is WatchState.STOPPED:
            return f"latency: the watch over {watched.version} ended early: {watched.why_not}"
        if not watched.over:
            return ""
        at = (step.service, step.environment)
        mine = (r for r in self._store.state.rollouts.values() if not r.state.final and any(run.step == step for run in r.steps))
        brought = (run.started_at_us for r in mine for run in r.steps if run.action and (run.step.service, run.step.environment) == at)
        return "latency: the watch over what was deployed now has not begun" if max(brought, default=0) > watched.ended_us else ""

    def _judged(self, watched: Watched) -> Answer:
        """What the watch over the version says: what was not seen is not known, and neither is what was said long ago."""
        against = [f.text for f in watched.findings]
        if watched.state is WatchState.BAD:
            return LineState.BLOCKED, "; ".join(against)
        verdict = watched.found
        if against or verdict is None:
            return LineState.UNKNOWN, "; ".join(against) or "latency: nothing was judged yet"
        late_s = (self._clock_us() - verdict.at_us) / 1e6
        if not watched.over and late_s > VERDICT_S:
            return LineState.UNKNOWN, f"latency: the judge says nothing new: {verdict.state}"
        # while it cannot tell the numbers are new each second: the watch shows them, a gate that waits says it once
        return (LineState.OK, verdict.sentence) if verdict.state == NO_WORSE else (LineState.UNKNOWN, f"latency: {verdict.state}")
