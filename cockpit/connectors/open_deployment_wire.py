"""The wire format of resources/openapi/deployment-v1.yaml: its structs, and its bodies read into what the cockpit knows. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from cockpit.connectors.http_answers import decode
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import HealthWire, Id, Name, Text, TimeUs, web_address
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import Artifact, Deployment, DeployState, Fleet, Node, NodeStep

Percent = Annotated[int, Meta(ge=0, le=100)]
_HINT = "The deployment system speaks another version of the interface."


class StepWire(Struct):
    """A node's part in a deployment."""

    node: Id
    state: Literal["pending", "stopping", "starting", "checking", "done", "failed"]
    digest: Name = ""
    message: Text = ""


class DeploymentWire(Struct):
    """One deployment; unknown fields are ignored."""

    id: Id
    key: Name
    service: Id
    environment: Id
    version: Name
    digest: Name
    kind: Literal["deploy", "rollback"]
    state: DeployState
    requested_by: Name = ""
    reason: Text = ""
    from_version: Name = ""
    from_digest: Name = ""
    started_at_us: TimeUs = 0
    finished_at_us: TimeUs = 0
    steps: tuple[StepWire, ...] = ()
    message: Text = ""


class DeploymentsWire(Struct):
    """GET …/deployments."""

    deployments: tuple[DeploymentWire, ...]


class NodeWire(Struct):
    """One node of a fleet."""

    name: Id
    version: Name = ""
    commit: Name = ""
    digest: Name = ""
    healthy: bool | None = None
    url: Name = ""
    config: Name = ""
    flags: tuple[Name, ...] = ()


class FleetWire(Struct):
    """GET /v1/environments/{environment}/services/{service}."""

    service: Id
    environment: Id
    nodes: tuple[NodeWire, ...]
    active: DeploymentWire | None = None
    automatic: Name = ""
    held: tuple[Name, ...] = ()


class DeploymentHealthWire(HealthWire):
    """GET /v1/health; `offers`: the optional parts of the interface that the system has."""

    offers: tuple[Name, ...] = ()


class ModeWire(Struct):
    """GET …/mode."""

    mode: Id


class WeightsWire(Struct):
    """GET …/weights, and what is sent to change them."""

    weights: dict[Id, Percent]


class HoldWire(Struct):
    """What is sent to hold an artifact back, or to let it go."""

    held: bool
    reason: str


class RequestWire(Struct, omit_defaults=True):
    """POST /v1/deployments. `nodes` is left out where all are meant: systems without that part may refuse what they don't know."""

    service: str
    environment: str
    version: str
    digest: str
    kind: str
    requested_by: str
    reason: str
    nodes: tuple[str, ...] = ()


class ArtifactWire(Struct):
    """One built version."""

    service: Id
    version: Name
    commit: Name
    digest: Id
    built_at_us: TimeUs = 0


class ArtifactsWire(Struct):
    """GET /v1/services/{service}/artifacts."""

    artifacts: tuple[ArtifactWire, ...]


def parse_fleet(body: bytes, service: str, environment: str) -> Fleet:
    """The fleet asked for; BadPayload for another one, or where two nodes have one name."""
    fleet = decode(body, FleetWire)
    _same("$.service", fleet.service, service)
    _same("$.environment", fleet.environment, environment)
    names = [node.name for node in fleet.nodes]
    if len(set(names)) != len(names):
        raise BadPayload("$.nodes names a node twice.", hint=_HINT)
    nodes = tuple(
        Node(
            name=node.name,
            service=service,
            environment=environment,
            version=node.version,
            commit=node.commit,
            digest=node.digest,
            healthy=node.healthy,
            url=web_address(node.url),
            config=one_line(node.config, 200),
            flags=tuple(sorted(one_line(flag, 200) for flag in node.flags)),
        )
        for node in fleet.nodes
    )
    if fleet.active is not None:
        _same("$.active.service", fleet.active.service, service)
        _same("$.active.environment", fleet.active.environment, environment)
    active = _deployment(fleet.active) if fleet.active is not None else None
    return Fleet(service, environment, nodes, active, one_line(fleet.automatic, 500), fleet.held)


def parse_artifacts(body: bytes, service: str) -> tuple[Artifact, ...]:
    """What can be deployed; each has a digest."""
    artifacts = decode(body, ArtifactsWire).artifacts
    for index, artifact in enumerate(artifacts):
        _same(f"$.artifacts[{index}].service", artifact.service, service)
    return tuple(Artifact(a.service, a.version, a.commit, a.digest, a.built_at_us) for a in artifacts)


def parse_deployments(body: bytes, service: str, environment: str) -> tuple[Deployment, ...]:
    """A service's deployments in an environment."""
    deployments = decode(body, DeploymentsWire).deployments
    for index, deployment in enumerate(deployments):
        _same(f"$.deployments[{index}].service", deployment.service, service)
        _same(f"$.deployments[{index}].environment", deployment.environment, environment)
    return tuple(_deployment(d) for d in deployments)


def parse_deployment(body: bytes, deployment_id: str = "", key: str = "") -> Deployment:
    """One deployment; BadPayload where it is not the one asked for by id or key ("" = any)."""
    deployment = decode(body, DeploymentWire)
    if deployment_id:
        _same("$.id", deployment.id, deployment_id)
    if key:
        _same("$.key", deployment.key, key)
    return _deployment(deployment)


def parse_started(body: bytes, request: DeployRequest, key: str) -> Deployment:
    """The deployment that answers `request`; BadPayload where it is another one."""
    started = parse_deployment(body, key=key)
    for field in ("service", "environment", "digest", "kind"):
        _same(f"$.{field}", getattr(started, field), getattr(request, field))
    changed = {step.node for step in started.steps}
    if request.nodes and changed and changed != set(request.nodes):
        raise BadPayload(f"$.steps is of {', '.join(sorted(changed))}; asked was {', '.join(sorted(request.nodes))}.", hint=_HINT)
    return started


def parse_health(body: bytes) -> tuple[Probe, frozenset[str]]:
    """What "test connection" shows, and which optional parts the system has."""
    health = decode(body, DeploymentHealthWire)
    return Probe(reached=health.reached, identity=one_line(health.identity, 200)), frozenset(health.offers)


def parse_mode(body: bytes) -> str:
    """The trading mode."""
    return one_line(decode(body, ModeWire).mode, 100)


def parse_weights(body: bytes) -> dict[str, int]:
    """Percent by node."""
    return dict(decode(body, WeightsWire).weights)


def _same(where: str, found: str, asked: str) -> None:
    if found != asked:
        raise BadPayload(f"{where} is “{one_line(found, 100)}”, asked was “{one_line(asked, 100)}”.", hint=_HINT)


def _deployment(wire: DeploymentWire) -> Deployment:
    return Deployment(
        id=wire.id,
        key=wire.key,
        service=wire.service,
        environment=wire.environment,
        version=wire.version,
        digest=wire.digest,
        kind=wire.kind,
        state=wire.state,
        requested_by=wire.requested_by,
        reason=plain(wire.reason),
        from_version=wire.from_version,
        from_digest=wire.from_digest,
        started_at_us=wire.started_at_us,
        finished_at_us=wire.finished_at_us,
        steps=tuple(NodeStep(s.node, s.state, s.digest, plain(s.message)) for s in wire.steps),
        message=plain(wire.message),
    )
