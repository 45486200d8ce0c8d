"""What a deployment or rollback would do, computed before anyone asks, and the states an action passes through."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from cockpit.domain.checks import p90
from cockpit.domain.facts import Fact
from cockpit.domain.readiness import Readiness, Reason
from cockpit.domain.release import Artifact, Changes, Deployment, DeployState, Fleet, Version


class LineState(StrEnum):
    """A preflight line's answer. UNKNOWN never reads as ok."""

    OK = "ok"
    WARNING = "warning"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Line(Struct, frozen=True, gc=False):
    """One preflight line, the time its fact was seen (0: never), and where to look.

    `insist`: though blocked or unknown, a person may pass it by giving a reason, which is journaled.
    """

    state: LineState
    text: str
    at_us: int = 0
    place: str = ""
    insist: bool = False


class RolloutPlan(Struct, frozen=True, gc=False):
    """All that a person must know before the click, and all that the click needs."""

    kind: str
    service: str
    environment: str
    from_version: str
    from_digest: str
    target: Version
    nodes: tuple[str, ...]
    changes: Changes | None
    expected_s: float | None
    preflight: tuple[Line, ...]
    emergency: bool = False

    @property
    def insists(self) -> tuple[str, ...]:
        """What firing it passes over, in words; not empty: it needs a reason."""
        return tuple(line.text for line in self.preflight if line.insist and line.state in (LineState.BLOCKED, LineState.UNKNOWN))

    @property
    def facts(self) -> tuple[object, ...]:
        """What must not change between arming and firing (ages may)."""
        lines = tuple((line.state, line.text) for line in self.preflight)
        return (self.kind, self.service, self.environment, self.from_digest, self.target.digest, self.target.commit, self.nodes, lines)


class Refusal(Struct, frozen=True, gc=False):
    """Why there is no plan, each reason with its place; the preflight as far as it could be asked."""

    kind: str
    service: str
    environment: str
    reasons: tuple[Reason, ...]
    target: Version | None = None
    from_version: str = ""
    preflight: tuple[Line, ...] = ()


class Facts(Struct, frozen=True, gc=False):
    """Everything a plan is made from; None where nothing is known."""

    now_us: int
    fleet: Fact[Fleet] | None
    artifacts: Fact[tuple[Artifact, ...]] | None
    history: Fact[tuple[Deployment, ...]] | None
    versions: Fact[tuple[Version, ...]] | None
    changes: Changes | None = None
    busy: str = ""


class ActionState(StrEnum):
    """The life of a write action. UNKNOWN is no failure: it is settled by asking for the key."""

    INTENDED = "intended"
    SENT = "sent"
    FOLLOWING = "following"
    VERIFYING = "verifying"
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"
    REFUSED = "refused"
    NOT_SENT = "not sent"

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[ActionState, frozenset[ActionState]] = {
    ActionState.INTENDED: frozenset({ActionState.SENT, ActionState.UNKNOWN, ActionState.NOT_SENT}),
    ActionState.SENT: frozenset({ActionState.FOLLOWING, ActionState.UNKNOWN, ActionState.REFUSED, ActionState.DONE, ActionState.NOT_SENT}),
    ActionState.UNKNOWN: frozenset({ActionState.FOLLOWING, ActionState.NOT_SENT}),
    ActionState.FOLLOWING: frozenset({ActionState.VERIFYING, ActionState.FAILED, ActionState.ABORTED, ActionState.UNKNOWN}),
    ActionState.VERIFYING: frozenset({ActionState.DONE, ActionState.FAILED}),
    ActionState.DONE: frozenset(),
    ActionState.FAILED: frozenset(),
    ActionState.ABORTED: frozenset(),
    ActionState.REFUSED: frozenset(),
    ActionState.NOT_SENT: frozenset(),
}


class Action(Struct, frozen=True, gc=False):
    """A write action as the cockpit knows it. `key` is the idempotency key and the journal's handle."""

    key: str
    kind: str
    service: str
    environment: str
    from_version: str
    from_digest: str
    version: str
    digest: str
    who: str
    state: ActionState
    intended_at_us: int
    accepted_at_us: int = 0
    ended_at_us: int = 0
    deployment: Deployment | None = None
    proof: tuple[Line, ...] = ()
    message: str = ""

    def to(self, state: ActionState) -> Action:
        """The same action in its next state; ValueError where the step is not legal."""
        from msgspec.structs import replace

        if state is not self.state and state not in TRANSITIONS[self.state]:
            raise ValueError(f"{self.state} cannot become {state}")
        return replace(self, state=state)


def last_good(history: tuple[Deployment, ...], fleet: Fleet) -> Deployment | None:
    """The deployment to go back to: the newest that succeeded with another digest and that nobody rolled back from since.

    Where the nodes do not agree, the newest good one may be what most of them run: going back then makes the fleet whole. Whoever
    began a rollback meant to leave, whether or not it came to its end.
    """
    agree, total = fleet.agreement
    live = fleet.live.digest if fleet.live is not None and agree == total else ""
    left: set[str] = set()
    for deployment in sorted(history, key=lambda d: -d.started_at_us):
        if deployment.kind == "rollback":
            left.add(deployment.from_digest)
        if deployment.state is DeployState.SUCCEEDED and deployment.digest not in left and deployment.digest != live:
            return deployment
    return None


def expected_s(history: tuple[Deployment, ...]) -> float | None:
    """p90 of the durations of past deployments that succeeded, in seconds."""
    return p90(tuple(d.duration_s for d in history if d.state is DeployState.SUCCEEDED and d.duration_s is not None))


def plan(kind: str, service: str, environment: str, target: Version | None, facts: Facts, ready: Readiness) -> RolloutPlan | Refusal:
    """Plan `kind` ("deploy" or "rollback") of `target`, or say why not.

    A blocked or unknown preflight line, and any reason of `ready`, refuses. For a rollback `ready` is empty: tests and approvals
    must not stand in the way of going back.
    """
    live = facts.fleet.value.live if facts.fleet else None
    lines = _preflight(kind, target, facts)
    reasons = list(ready.reasons)
    if target is None:
        words = "no earlier good version is known here" if kind == "rollback" else "choose a version first"
        reasons.insert(0, Reason("versions", words))
    reasons += [Reason(line.place, line.text) for line in lines if line.state in (LineState.BLOCKED, LineState.UNKNOWN)]
    from_version = live.version if live else ""
    if reasons or target is None or facts.fleet is None:
        return Refusal(kind, service, environment, tuple(reasons), target, from_version, lines)
    return RolloutPlan(
        kind=kind,
        service=service,
        environment=environment,
        from_version=from_version,
        from_digest=live.digest if live else "",
        target=target,
        nodes=tuple(n.name for n in facts.fleet.value.nodes),
        changes=facts.changes,
        expected_s=expected_s(facts.history.value) if facts.history else None,
        preflight=lines,
    )


def _preflight(kind: str, target: Version | None, facts: Facts) -> tuple[Line, ...]:
    lines = [_nodes_line(facts), _active_line(facts)]
    if target is not None:
        lines[:0] = [_artifact_line(target, facts), _difference_line(target, facts)]
    if kind == "rollback":
        lines.append(_changes_line(facts))
    return tuple(lines)


def _seen(fact: Fact[object] | None) -> int:
    return fact.at_us if fact else 0


def _artifact_line(target: Version, facts: Facts) -> Line:
    known, seen = facts.artifacts, _seen(facts.artifacts)  # type: ignore[arg-type]
    if known is None or known.stale(facts.now_us):
        return Line(LineState.UNKNOWN, f"whether the artifact of {target.name} still exists is not known", seen, "sources")
    if any(a.digest == target.digest for a in known.value):
        return Line(LineState.OK, f"artifact {target.digest[:12]} exists", seen)
    return Line(LineState.BLOCKED, f"the artifact of {target.name} is gone", seen, "versions")


def _difference_line(target: Version, facts: Facts) -> Line:
    fleet, seen = facts.fleet, _seen(facts.fleet)  # type: ignore[arg-type]
    if fleet is None or fleet.stale(facts.now_us):
        return Line(LineState.UNKNOWN, "what runs there now is not known", seen, "sources")
    agree, total = fleet.value.agreement
    if fleet.value.live is not None and fleet.value.live.digest == target.digest and agree == total:
        return Line(LineState.BLOCKED, f"{target.name} runs there already on all {total} nodes", seen, "versions")
    if agree != total:
        return Line(LineState.WARNING, f"mixed fleet: {agree} of {total} nodes agree", seen, "versions")
    return Line(LineState.OK, f"all {total} nodes run the same version", seen)


def _nodes_line(facts: Facts) -> Line:
    fleet, seen = facts.fleet, _seen(facts.fleet)  # type: ignore[arg-type]
    if fleet is None or fleet.stale(facts.now_us):
        return Line(LineState.UNKNOWN, "whether the nodes can be reached is not known", seen, "sources")
    if not fleet.value.nodes:
        return Line(LineState.BLOCKED, "there are no nodes here", seen, "sources")
    bad = [n.name for n in fleet.value.nodes if not n.healthy]
    if bad:
        return Line(LineState.WARNING, f"not healthy: {', '.join(bad)}", seen)
    return Line(LineState.OK, f"{len(fleet.value.nodes)} nodes healthy", seen)


def _active_line(facts: Facts) -> Line:
    fleet, seen = facts.fleet, _seen(facts.fleet)  # type: ignore[arg-type]
    if facts.busy:
        return Line(LineState.BLOCKED, facts.busy, facts.now_us, "activity")
    if fleet is None or fleet.stale(facts.now_us):
        return Line(LineState.UNKNOWN, "whether a deployment is under way is not known", seen, "sources")
    if fleet.value.active is not None and not fleet.value.active.state.final:
        return Line(LineState.BLOCKED, f"a {fleet.value.active.kind} to {fleet.value.active.version} is under way", seen, "activity")
    return Line(LineState.OK, "no deployment under way", seen)


def _changes_line(facts: Facts) -> Line:
    seen = _seen(facts.versions)  # type: ignore[arg-type]
    if facts.changes is None:
        # going back must work with git down, so this one warns and does not block
        return Line(LineState.WARNING, "which commits leave is not known", seen, "sources")
    return Line(LineState.OK, f"{facts.changes.total_in} commits leave", seen)
