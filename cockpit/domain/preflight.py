"""The preflight: every question that is asked before a click, each answered with its age. Unknown never reads as ok."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from cockpit.domain.approvals import Decision
from cockpit.domain.checks import CheckState, Summary
from cockpit.domain.dependencies import dependency_lines
from cockpit.domain.facts import Fact
from cockpit.domain.fingerprint import fleet_line, promotion_line
from cockpit.domain.lines import Line, LineState, counted, listed, moment
from cockpit.domain.preflight_way import WayBack, automatic_line, rollback_of_rollback, way_lines
from cockpit.domain.readiness import Gates, why_frozen, why_held
from cockpit.domain.release import Artifact, Changes, Deployment, Environment, Fleet, Service, Version


class Surroundings(Struct, frozen=True, gc=False):
    """What else a plan must look at: the rules, the other services, and what lies between the versions.

    `fleets`: by place, without those too old to be believed. `before`: what the environment runs that must be first. `lock`: who holds the
    environment in words; asked where `locked`. `tells_hold`: the deployment system can be told to leave a version alone. `checks` None: no
    test system tells of this service. `rollout`: a plan of steps under way here, in words; `own`: it brings this very target.
    `unheard`: why not everything that people said is known. `shares`: shares of the traffic that a rollout left behind, in words.
    """

    service: Service
    environment: Environment
    services: tuple[Service, ...] = ()
    fleets: Mapping[str, Fleet] = {}
    decision: Decision | None = None
    checks: Fact[Summary] | None = None
    gates: Gates = Gates()
    before: Fact[Fleet] | None = None
    way: WayBack = WayBack()
    lock: Fact[str] | None = None
    locked: bool = False
    tells_hold: bool = False
    rollout: str = ""
    own: bool = False
    emergency: bool = False
    unheard: str = ""
    shares: str = ""


class Facts(Struct, frozen=True, gc=False):
    """Everything a plan is made from; None where nothing is known. `around` None: only what runs and what exists is asked."""

    now_us: int
    fleet: Fact[Fleet] | None
    artifacts: Fact[tuple[Artifact, ...]] | None
    history: Fact[tuple[Deployment, ...]] | None
    versions: Fact[tuple[Version, ...]] | None
    changes: Changes | None = None
    busy: str = ""
    around: Surroundings | None = None


def preflight(kind: str, target: Version | None, facts: Facts) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """(lines that refuse by themselves where they are open, lines that say what readiness decides) for `kind` deploy or rollback."""
    own = [_nodes_line(facts), _active_line(facts)]
    around = facts.around
    if target is not None:
        own[:0] = [_artifact_line(target, facts), _difference_line(kind, target, facts)]
    if around is not None and around.locked:
        own.append(_lock_line(around, facts.now_us))
    if around is not None and around.rollout and not around.own:
        own.append(Line(LineState.WARNING, around.rollout, facts.now_us, "activity"))
    if kind == "rollback":
        own.append(_changes_line(facts))
    if target is None or around is None:
        return tuple(own), ()
    own += way_lines(kind, around.way, target, facts.now_us, _seen(facts.versions))
    own += _file_lines(around, facts)
    seen = _seen(facts.fleet)
    own += dependency_lines(kind, around.service, target.name, around.environment.name, around.services, around.fleets, seen)
    own += _after_lines(kind, target, facts, around)
    return tuple(own), tuple(_ready_lines(kind, target, facts, around))


def _seen(fact: Fact[Any] | None) -> int:
    return fact.at_us if fact else 0


# -- what runs and what exists -----------------------------------------------------------------------------------------------


def _artifact_line(target: Version, facts: Facts) -> Line:
    known, seen = facts.artifacts, _seen(facts.artifacts)
    if known is None or known.stale(facts.now_us):
        return Line(LineState.UNKNOWN, f"whether the artifact of {target.name} still exists is not known", seen, "sources")
    if not target.digest:
        return Line(LineState.BLOCKED, f"no artifact of {target.name} is known: its digest is missing", seen, "versions")
    found = next((a for a in known.value if a.digest == target.digest), None)
    if found is not None and target.commit and not found.commit:
        words = f"artifact {target.digest[:12]} exists; it does not say from which commit it was built"
        return Line(LineState.WARNING, words, seen)
    if found is not None:
        return Line(LineState.OK, f"artifact {target.digest[:12]} exists", seen)
    return Line(LineState.BLOCKED, f"the artifact of {target.name} is gone", seen, "versions")


def _difference_line(kind: str, target: Version, facts: Facts) -> Line:
    fleet, seen = facts.fleet, _seen(facts.fleet)
    if fleet is None or fleet.stale(facts.now_us):
        return Line(LineState.UNKNOWN, "what runs there now is not known", seen, "sources")
    agree, total = fleet.value.agreement
    line = fleet_line(fleet.value, kind, target.digest, seen, facts.around.rollout if facts.around and facts.around.own else "")
    if fleet.value.live is not None and fleet.value.live.digest == target.digest and agree == total and line.state is LineState.OK:
        return Line(LineState.BLOCKED, f"{target.name} runs there already on all {total} nodes", seen, "versions")
    return line


def _nodes_line(facts: Facts) -> Line:
    fleet, seen = facts.fleet, _seen(facts.fleet)
    if fleet is None or fleet.stale(facts.now_us):
        return Line(LineState.UNKNOWN, "whether the nodes can be reached is not known", seen, "sources")
    if not fleet.value.nodes:
        return Line(LineState.BLOCKED, "there are no nodes here", seen, "sources")
    bad = [n.name for n in fleet.value.nodes if not n.healthy]
    if bad:
        return Line(LineState.WARNING, f"not healthy: {', '.join(bad)}", seen)
    return Line(LineState.OK, f"{counted(len(fleet.value.nodes), 'node')} healthy", seen)


def _active_line(facts: Facts) -> Line:
    fleet, seen = facts.fleet, _seen(facts.fleet)
    if facts.busy:
        return Line(LineState.BLOCKED, facts.busy, facts.now_us, "activity")
    if fleet is None or fleet.stale(facts.now_us):
        return Line(LineState.UNKNOWN, "whether a deployment is under way is not known", seen, "sources")
    if fleet.value.active is not None and not fleet.value.active.state.final:
        return Line(LineState.BLOCKED, f"a {fleet.value.active.kind} to {fleet.value.active.version} is under way", seen, "activity")
    return Line(LineState.OK, "no deployment under way", seen)


def _changes_line(facts: Facts) -> Line:
    seen = _seen(facts.versions)
    if facts.changes is None:
        # going back must work with git down, so this one warns and does not block
        return Line(LineState.WARNING, "which commits leave is not known", seen, "sources")
    words = f"{counted(facts.changes.total_in, 'commit')} leave{'s' if facts.changes.total_in == 1 else ''}"
    return Line(LineState.OK, words + (f", {facts.changes.total_out} come in" if facts.changes.total_out else ""), seen)


def _lock_line(around: Surroundings, now_us: int) -> Line:
    lock = around.lock
    if lock is None or lock.stale(now_us):
        words = "whether somebody else acts here is not known: the lock of the environment cannot be taken"
        return Line(LineState.UNKNOWN, words, _seen(lock), "sources", insist=True)
    if lock.value:
        return Line(LineState.BLOCKED, f"{around.environment.name} is locked: {lock.value}", lock.at_us, "activity")
    return Line(LineState.OK, "the environment is free", lock.at_us)


# -- what readiness decides --------------------------------------------------------------------------------------------------


def _ready_lines(kind: str, target: Version, facts: Facts, around: Surroundings) -> Iterator[Line]:
    if around.decision is not None:
        yield _approvals_line(kind, target, around, around.decision, facts.now_us)
    yield _tests_line(kind, target, around.checks, facts.now_us)
    if around.gates.freezes is not None:
        yield _freeze_line(kind, around.gates, facts.now_us)
    yield _hold_line(target, around, facts)
    if kind == "deploy" and around.environment.after:
        before = around.before.value if around.before is not None and not around.before.stale(facts.now_us) else None
        fleet = facts.fleet.value if facts.fleet is not None else None
        yield promotion_line(around.environment.after, before, fleet, target, _seen(around.before))


def _approvals_line(kind: str, target: Version, around: Surroundings, decision: Decision, now_us: int) -> Line:
    given = f"{decision.given} of {counted(decision.required, 'approval')} of {target.name}"
    if kind == "rollback":
        words = f"{given}; a rollback needs none" if decision.required else "a rollback needs no approvals"
        return Line(LineState.OK, words, now_us, "approvals")
    if decision.ok:
        words = given if decision.required else "no approvals are needed here"
        if around.unheard:
            return Line(LineState.WARNING, f"{words}; a rejection may be missing: {around.unheard}", now_us, "approvals")
        return Line(LineState.OK, words, now_us, "approvals")
    words = "; ".join(decision.reasons)
    if around.emergency:
        return Line(LineState.BLOCKED, f"emergency, one person acts alone: {words}; it is reviewed later", now_us, "approvals", insist=True)
    return Line(LineState.BLOCKED, words, now_us, "approvals")


def _tests_line(kind: str, target: Version, checks: Fact[Summary] | None, now_us: int) -> Line:
    seen = _seen(checks)
    if checks is None or checks.stale(now_us):
        words, state = f"whether the tests of {target.name} passed is not known", LineState.UNKNOWN
    elif checks.value.state is CheckState.PASSED:
        return Line(LineState.OK, f"the tests of {target.name} passed", seen, "checks")
    else:
        why = "; ".join(checks.value.reasons)
        words = f"tests are {checks.value.state}: {why}" if why else f"tests are {checks.value.state}"
        state = LineState.UNKNOWN if checks.value.state is CheckState.INCONCLUSIVE else LineState.BLOCKED
    if kind == "rollback":
        return Line(LineState.WARNING, f"{words}; a rollback does not wait for tests", seen, "checks")
    return Line(state, words, seen, "checks")


def _freeze_line(kind: str, gates: Gates, now_us: int) -> Line:
    freezes, override = gates.freezes, gates.override
    if freezes is None or not (freezes.now or freezes.unknown):
        following = freezes.next if freezes is not None else None
        ahead = f"; the next is {following.name}, {moment(following.start_us)}" if following is not None else ""
        if kind == "deploy" and following is not None and now_us < following.start_us < now_us + gates.duration_s * 1e6:
            words = f"no freeze now, but it would still be under way when {following.name} begins, {moment(following.start_us)}"
            return Line(LineState.WARNING, words, now_us, "freezes")
        return Line(LineState.OK, f"no freeze now{ahead}", now_us, "freezes")
    words = why_frozen(freezes, None)
    if kind == "rollback":
        return Line(LineState.WARNING, f"{words}; rollback is exempt", now_us, "freezes")
    refused = why_frozen(freezes, override)
    if refused:
        return Line(LineState.BLOCKED if freezes.now else LineState.UNKNOWN, refused, now_us, "freezes")
    passed = f"passed by {override.who} until {moment(override.until_us)}: {override.reason}" if override is not None else ""
    return Line(LineState.WARNING, f"{words}; {passed}", now_us, "freezes")


def _hold_line(target: Version, around: Surroundings, facts: Facts) -> Line:
    fleet, hold = facts.fleet.value if facts.fleet is not None else None, around.gates.hold
    if hold is not None:
        return Line(LineState.BLOCKED, why_held(hold), facts.now_us, "approvals")
    if fleet is not None and target.digest and target.digest in fleet.held:
        words = f"the deployment system was told to leave {target.name} alone"
        return Line(LineState.WARNING, words, _seen(facts.fleet), "approvals")
    if around.unheard:
        words = f"{target.name} is not held, as far as is known: {around.unheard}"
        return Line(LineState.WARNING, words, facts.now_us, "approvals")
    return Line(LineState.OK, f"{target.name} is not held", facts.now_us, "approvals")


# -- what changes on the way -------------------------------------------------------------------------------------------------


def _file_lines(around: Surroundings, facts: Facts) -> Iterator[Line]:
    """Would configuration or the interface to clients change?"""
    for paths, words in ((around.service.config_paths, "configuration"), (around.service.contract_paths, "the API contract")):
        if not paths:
            continue
        seen = _seen(facts.versions)
        found = around.way.touched(paths)
        if found:
            some = "" if around.way.known else "; not all commits are known"
            yield Line(LineState.WARNING, f"{words} changes on the way: {listed(found)}{some}", seen, "versions")
        elif not around.way.known:
            yield Line(LineState.UNKNOWN, f"whether {words} changes on the way is not known", seen, "sources", insist=True)
        else:
            yield Line(LineState.OK, f"{words} stays as it is", seen)


# -- what comes after --------------------------------------------------------------------------------------------------------


def _after_lines(kind: str, target: Version, facts: Facts, around: Surroundings) -> Iterator[Line]:
    if kind != "rollback":
        return
    fleet, seen = facts.fleet, _seen(facts.fleet)
    history = facts.history.value if facts.history is not None else ()
    again = rollback_of_rollback(target, history, fleet.value) if fleet is not None else ""
    if again:
        yield Line(LineState.BLOCKED, again, _seen(facts.history), "activity", insist=True)
    if fleet is not None and fleet.value.automatic:
        yield automatic_line(fleet.value, target, seen, tells_hold=around.tells_hold)
    if around.shares:
        yield Line(LineState.WARNING, around.shares, facts.now_us, "activity")
