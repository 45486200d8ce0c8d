"""A deployment whose record lies in pieces on the nodes themselves: what the pieces mean together, and what comes next. Pure.

Every node holds the whole request and its own step. Who watches puts the pieces together and gives the next node its turn, so any cockpit
can take over at any moment. Two that watch at once do no harm: a turn is given to a node whose forerunners are all done, and given twice
it is taken once.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from cockpit.domain.release import Deployment, DeployState, NodeStep

PATIENCE_S = 900.0  # a deployment that nobody carries on for so long is not carried on by whoever comes next


class Record(Struct, frozen=True):
    """The request as each node keeps it. `nodes`: those to change, in their order."""

    key: str
    service: str
    environment: str
    version: str
    digest: str
    kind: str
    nodes: tuple[str, ...]
    begun_at_us: int
    requested_by: str = ""
    reason: str = ""
    from_version: str = ""
    from_digest: str = ""


class Part(Struct, frozen=True):
    """A node's piece. `go`: its turn was given; `idle_s`: since when nothing changed in it, by the node's own clock."""

    record: Record
    state: str = "pending"
    message: str = ""
    digest: str = ""
    go: bool = False
    aborted: bool = False
    closed: bool = False
    moved_at_us: int = 0
    idle_s: float = 0.0

    @property
    def under_way(self) -> bool:
        return self.go and self.state not in ("done", "failed")


def combine(parts: Mapping[str, Part], silent: Mapping[str, str] | None = None) -> Deployment:
    """The deployment that these pieces are; at least one. `silent`: why a node could not be asked."""
    first = next(iter(parts.values()))
    record = first.record
    steps = tuple(_step(name, parts.get(name), (silent or {}).get(name, "")) for name in record.nodes)
    state, message = _state(parts, steps)
    ended = max((part.moved_at_us for part in parts.values()), default=0) if state.final else 0
    return Deployment(
        id=record.key,
        key=record.key,
        service=record.service,
        environment=record.environment,
        version=record.version,
        digest=record.digest,
        kind=record.kind,
        state=state,
        requested_by=record.requested_by,
        reason=record.reason,
        from_version=record.from_version,
        from_digest=record.from_digest,
        started_at_us=record.begun_at_us,
        finished_at_us=max(ended, record.begun_at_us) if ended else 0,
        steps=steps,
        message=message,
    )


def _step(name: str, part: Part | None, why: str) -> NodeStep:
    if part is None:
        return NodeStep(name, "pending", "", why or "it holds no record of this deployment yet")
    # a turn that was given and not begun yet is the first thing that happens there
    state = "stopping" if part.go and part.state == "pending" else part.state
    return NodeStep(name, state, part.digest, part.message)


def _state(parts: Mapping[str, Part], steps: tuple[NodeStep, ...]) -> tuple[DeployState, str]:
    if any(part.under_way for part in parts.values()):
        return DeployState.RUNNING, ""
    failed = [step for step in steps if step.state == "failed"]
    if failed:
        words = f"{failed[0].node}: {failed[0].message}" if failed[0].message else f"{failed[0].node} failed"
        return DeployState.FAILED, words
    if steps and all(step.state == "done" for step in steps):
        return DeployState.SUCCEEDED, ""
    if any(part.aborted or part.closed for part in parts.values()):  # closed: it was over once, and a node forgot it
        left = sum(step.state == "pending" for step in steps)
        return DeployState.ABORTED, f"ended before its turn came on {left} of {len(steps)} nodes"
    return DeployState.RUNNING, ""


def next_node(parts: Mapping[str, Part]) -> str:
    """Whose turn it is: the first that waits when all before it are done and nobody is at work; "" for nobody."""
    if any(part.under_way or part.aborted for part in parts.values()):
        return ""
    for name in next(iter(parts.values())).record.nodes:
        part = parts.get(name)
        if part is None or part.state == "failed":
            return ""
        if part.state != "done":
            return name
    return ""


def forsaken(parts: Mapping[str, Part]) -> bool:
    """Whether nobody carried it on for so long that it must not go on by itself."""
    return not any(part.under_way for part in parts.values()) and min(part.idle_s for part in parts.values()) > PATIENCE_S
