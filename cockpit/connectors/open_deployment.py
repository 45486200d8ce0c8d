"""Any deployment system that speaks resources/openapi/deployment-v1.yaml."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_answers import decode
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import HealthWire, Id, Name, Text, TimeUs, web_address
from cockpit.domain.errors import BadPayload, NotFound
from cockpit.domain.release import Artifact, Deployment, DeployState, Fleet, Node, NodeStep

MAX_LIMIT = 500  # the interface's own bound of one list
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


class FleetWire(Struct):
    """GET /v1/environments/{environment}/services/{service}."""

    service: Id
    environment: Id
    nodes: tuple[NodeWire, ...]
    active: DeploymentWire | None = None


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
        )
        for node in fleet.nodes
    )
    if fleet.active is not None:
        _same("$.active.service", fleet.active.service, service)
        _same("$.active.environment", fleet.active.environment, environment)
    return Fleet(service, environment, nodes, _deployment(fleet.active) if fleet.active is not None else None)


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
    return started


def parse_health(body: bytes) -> Probe:
    """What "test connection" shows."""
    health = decode(body, HealthWire)
    return Probe(reached=health.reached, identity=one_line(health.identity, 200))


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


class OpenDeployment:
    """DeploymentApi over HTTP. Blocks; one call at a time; ConnectorErrors only."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every node, and the deployment under way."""

        def parse(body: bytes) -> Fleet:
            return parse_fleet(body, service, environment)

        return self._client.read(segments("v1", "environments", environment, "services", service), parse)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What can be deployed, newest first."""

        def parse(body: bytes) -> tuple[Artifact, ...]:
            return parse_artifacts(body, service)

        return self._client.read(segments("v1", "services", service, "artifacts"), parse)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Past and current deployments, newest first."""

        def parse(body: bytes) -> tuple[Deployment, ...]:
            return parse_deployments(body, service, environment)

        path = segments("v1", "environments", environment, "services", service, "deployments")
        return self._client.read(path, parse, {"limit": max(1, min(limit, MAX_LIMIT))})[:limit]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a deployment; sent once, never again."""

        def parse(body: bytes) -> Deployment:
            return parse_started(body, request, key)

        return self._client.write("/v1/deployments", request, parse, key)

    def find(self, key: str) -> Deployment | None:
        """The deployment that `key` started, None where the system never saw it."""

        def parse(body: bytes) -> Deployment:
            return parse_deployment(body, key=key)

        try:
            return self._client.read(segments("v1", "deployments", "by-key", key), parse)
        except NotFound:
            return None

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, node by node."""

        def parse(body: bytes) -> Deployment:
            return parse_deployment(body, deployment_id)

        return self._client.read(segments("v1", "deployments", deployment_id), parse)

    def abort(self, deployment_id: str) -> Deployment:
        """Stop after the node under way; sent once."""

        def parse(body: bytes) -> Deployment:
            return parse_deployment(body, deployment_id)

        return self._client.write(segments("v1", "deployments", deployment_id, "abort"), None, parse)

    def probe(self) -> Probe:
        """The system's name and version, and as whom it sees us."""
        return self._client.read("/v1/health", parse_health)
