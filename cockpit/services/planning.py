"""Gathers from the state everything that a plan is made from. Pure functions: they ask nobody."""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.checks import Summary
from cockpit.domain.facts import Fact, place
from cockpit.domain.policy import Rules
from cockpit.domain.preflight import Facts, Surroundings
from cockpit.domain.preflight_way import WayBack
from cockpit.domain.readiness import Gates
from cockpit.domain.release import Changes, Environment, Service, Version, version_key
from cockpit.domain.reversibility import turned
from cockpit.domain.rollout import ActionState
from cockpit.domain.strategy import Rollout
from cockpit.domain.strategy_plan import weights_words
from cockpit.services import status, ways
from cockpit.services.calendars import Calendars
from cockpit.services.store import AppState


class Asked(Struct, frozen=True):
    """One question for a plan, and who asks. `deployer` is an address in lower case; `automatic`: no person stands behind the click.

    `locked`: the environment's lock is needed; `tells_hold`: the deployment system can be told to leave a version alone. `unheard`: why not
    everything that people said is known.
    """

    kind: str
    service: str
    environment: str
    target: Version | None
    rules: Rules
    now_us: int
    deployer: str = ""
    emergency: bool = False
    automatic: bool = False
    locked: bool = False
    tells_hold: bool = False
    calendars: Calendars | None = None
    unheard: str = ""


def gather(state: AppState, asked: Asked) -> Facts:
    """The facts of a plan as they stand in the state."""
    at, target = place(asked.service, asked.environment), asked.target
    fleet, history = state.fleets.get(at), state.deployments.get(at)
    way = WayBack()
    if target is not None and fleet is not None:
        past = history.value if history is not None else None
        way = ways.way_back(state, asked.rules, fleet.value, past, target, asked.now_us)
    return Facts(
        now_us=asked.now_us,
        fleet=fleet,
        artifacts=state.artifacts.get(asked.service),
        history=history,
        versions=state.versions.get(asked.service),
        changes=_shown(asked.kind, way, target),
        busy=busy(state, asked.environment),
        around=_around(state, asked, target, way) if target is not None else None,
    )


def _shown(kind: str, way: WayBack, target: Version | None) -> Changes | None:
    """The commits that the card lists: what leaves on the way back from the newest version that runs, or what comes."""
    if target is None or not way.leaving:
        return None
    changes = way.leaving[max(way.leaving, key=version_key)]
    if changes is None or kind == "rollback":
        return changes
    return turned(changes)


def _around(state: AppState, asked: Asked, version: Version, way: WayBack) -> Surroundings:
    rules, now = asked.rules, asked.now_us
    decision = status.decision(state, version, asked.environment, rules, now, deployer=asked.deployer)
    environment = status.environment_of(state, asked.environment) or Environment(asked.environment)
    rollout, own = _rollout(state, asked)
    return Surroundings(
        service=status.service_of(state, asked.service) or Service(asked.service),
        environment=environment,
        services=state.services,
        fleets=status.believed(state, now),
        decision=decision,
        checks=_checks(state, version, rules),
        gates=_gates(state, version, asked),
        before=state.fleets.get(place(asked.service, environment.after)) if environment.after else None,
        way=way,
        lock=state.locks.get(asked.environment),
        locked=asked.locked,
        tells_hold=asked.tells_hold,
        rollout=rollout,
        own=own,
        # where the approvals are there, nobody acts alone
        emergency=asked.emergency and not decision.ok,
        unheard=asked.unheard,
        shares=weights_words(state.rollouts.values(), asked.service, asked.environment) if asked.kind == "rollback" else "",
    )


def _checks(state: AppState, version: Version, rules: Rules) -> Fact[Summary] | None:
    known = state.checks.get(version.service)
    return Fact(status.checks(state, version, rules), known.at_us, known.source, known.deadline_s) if known is not None else None


def _gates(state: AppState, version: Version, asked: Asked) -> Gates:
    at = (version, asked.environment, asked.rules, asked.now_us)
    return status.gates(state, *at, automatic=asked.automatic, calendars=asked.calendars)


def _rollout(state: AppState, asked: Asked) -> tuple[str, bool]:
    """(a plan of steps that is under way in this place, in words; whether it brings this very target)."""
    for rollout in state.rollouts.values():
        if rollout.state.final or rollout.rehearsal or not _touches(rollout, asked):
            continue
        words = f"“{rollout.title}” is {rollout.state}, step {min(rollout.current + 1, len(rollout.steps))} of {len(rollout.steps)}"
        target = asked.target.digest if asked.target is not None else ""
        own = any(target in (run.step.digest, run.step.from_digest) and target for run in rollout.steps)
        return words, bool(own)
    return "", False


def _touches(rollout: Rollout, asked: Asked) -> bool:
    return any((run.step.service, run.step.environment) == (asked.service, asked.environment) for run in rollout.steps)


def busy(state: AppState, environment: str) -> str:
    """What is under way in an environment, in words; "" where nothing is."""
    for action in state.actions.values():
        # while only the proof is missing a person must be able to act again
        under_way = not action.state.final and action.state is not ActionState.VERIFYING
        if action.environment == environment and under_way and not action.let_go:
            return f"a {action.kind} of {action.service} to {action.version} is {action.state}"
    for fact in state.fleets.values():
        fleet, other = fact.value, fact.value.active
        # one deployment at a time in an environment, whichever service it is of
        if fleet.environment == environment and other is not None and not other.state.final:
            return f"a {other.kind} of {other.service} to {other.version} is under way"
    return ""
