"""What a deployment or rollback would do, computed before anyone asks, and the states an action passes through."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from cockpit.domain.checks import p90
from cockpit.domain.lines import Line as Line
from cockpit.domain.lines import LineState as LineState
from cockpit.domain.preflight import Facts as Facts
from cockpit.domain.preflight import preflight
from cockpit.domain.readiness import Readiness, Reason
from cockpit.domain.release import Changes, Deployment, DeployState, Fleet, Version


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
        return tuple(line.text for line in self.preflight if line.insist and line.open)

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
    ActionState.INTENDED: frozenset({ActionState.SENT, ActionState.UNKNOWN, ActionState.REFUSED, ActionState.NOT_SENT}),
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
    """A write action as the cockpit knows it.

    `key` is the idempotency key and the journal's handle; `nodes`: only these change (() = all). `let_go`: who no longer waits for its
    outcome, and why; "" = it is waited for.
    """

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
    nodes: tuple[str, ...] = ()
    let_go: str = ""

    def to(self, state: ActionState) -> Action:
        """The same action in its next state; ValueError where the step is not legal."""
        from msgspec.structs import replace

        if state is not self.state and state not in TRANSITIONS[self.state]:
            raise ValueError(f"{self.state} cannot become {state}")
        return replace(self, state=state)


def last_good(history: tuple[Deployment, ...], fleet: Fleet, held: frozenset[str] = frozenset()) -> Deployment | None:
    """The deployment to go back to: the newest that brought another artifact to all nodes and that nobody rolled back from since.

    Where the nodes do not agree, the newest good one may be what most of them run: going back then makes the fleet whole. Whoever
    began a rollback meant to leave, whether or not it came to its end. What is `held` is never gone back to.
    """
    agree, total = fleet.agreement
    live = fleet.live.digest if fleet.live is not None and agree == total else ""
    left = set(held)
    everywhere = _everywhere(history, fleet)
    for deployment in sorted(history, key=lambda d: -d.started_at_us):
        if deployment.kind == "rollback" and deployment.from_digest != deployment.digest:
            left.add(deployment.from_digest)
        if deployment.id in everywhere and deployment.digest not in left and deployment.digest != live:
            return deployment
    return None


def _everywhere(history: tuple[Deployment, ...], fleet: Fleet) -> set[str]:
    """The deployments after which all nodes ran its artifact, by id: a canary's first nodes prove nothing of the others.

    A node that no earlier deployment named came later, and speaks against nobody; the first one that names nodes must name all.
    """
    names, seen = frozenset(n.name for n in fleet.nodes), set[str]()
    runs: dict[str, str] = {}
    found = set()
    for deployment in sorted(history, key=lambda d: d.started_at_us):
        mine = {step.node for step in deployment.steps}
        changed = {step.node for step in deployment.steps if step.state == "done"}
        wanted = (seen or names) | (mine & names)
        seen |= mine & names
        if deployment.state is DeployState.SUCCEEDED:
            # a system may tell nothing of nodes, or name them otherwise here than there
            changed |= mine if mine & names else names
        runs.update(dict.fromkeys(changed, deployment.digest))
        if deployment.state is DeployState.SUCCEEDED and all(runs.get(name) == deployment.digest for name in wanted):
            found.add(deployment.id)
    return found


def expected_s(history: tuple[Deployment, ...]) -> float | None:
    """p90 of the durations of past deployments that succeeded, in seconds."""
    return p90(tuple(d.duration_s for d in history if d.state is DeployState.SUCCEEDED and d.duration_s is not None))


def plan(kind: str, service: str, environment: str, target: Version | None, facts: Facts, ready: Readiness) -> RolloutPlan | Refusal:
    """Plan `kind` ("deploy" or "rollback") of `target`, or say why not.

    A blocked or unknown preflight line refuses unless it may be insisted on; so does any reason of `ready`. For a rollback `ready` is
    empty: tests, approvals and freezes must not stand in the way of going back, they are only said.
    """
    live = facts.fleet.value.live if facts.fleet else None
    own, said = preflight(kind, target, facts)
    reasons = list(ready.reasons)
    if target is None:
        words = "no earlier good version is known here" if kind == "rollback" else "choose a version first"
        reasons.insert(0, Reason("versions", words))
    told = {reason.text for reason in reasons}
    # of a deployment what readiness decides stands in `ready` already; of a rollback only a hold can be open there
    asked = own if kind == "deploy" else (*own, *said)
    reasons += [Reason(line.place, line.text) for line in asked if line.open and not line.insist and line.text not in told]
    from_version = live.version if live else ""
    if reasons or target is None or facts.fleet is None:
        return Refusal(kind, service, environment, tuple(reasons), target, from_version, (*own, *said))
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
        preflight=(*own, *said),
        emergency=facts.around is not None and facts.around.emergency,
    )
