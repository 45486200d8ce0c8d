"""Any deployment system that speaks resources/openapi/deployment-v1.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.open_deployment_wire import (
    HoldWire,
    ModeWire,
    RequestWire,
    WeightsWire,
    parse_artifacts,
    parse_deployment,
    parse_deployments,
    parse_fleet,
    parse_health,
    parse_mode,
    parse_started,
    parse_weights,
)
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.domain.errors import ConnectorError, NotFound, Rejected
from cockpit.domain.release import Artifact, Deployment, Fleet

MAX_LIMIT = 500  # the interface's own bound of one list
_HEALTH = "/v1/health"
_OTHER_VENUE = "Switch it by the venue's own means, or connect a command that does (a connection of the kind venue-command)."
_OTHER_TRAFFIC = "Share the traffic out by the load balancer's own means, and leave the weight steps out of the strategy."


class OpenDeployment:
    """DeploymentApi, Holds, Venue and Traffic over HTTP. Blocks; one call at a time; ConnectorErrors only.

    What the system does not offer raises NotFound, and its hint says what to do instead.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every node, and the deployment under way."""

        def parse(body: bytes) -> Fleet:
            return parse_fleet(body, service, environment)

        return self._client.read(_place(service, environment), parse)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What can be deployed, newest first."""

        def parse(body: bytes) -> tuple[Artifact, ...]:
            return parse_artifacts(body, service)

        return self._client.read(segments("v1", "services", service, "artifacts"), parse)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Past and current deployments, newest first."""

        def parse(body: bytes) -> tuple[Deployment, ...]:
            return parse_deployments(body, service, environment)

        return self._client.read(_place(service, environment, "deployments"), parse, {"limit": max(1, min(limit, MAX_LIMIT))})[:limit]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a deployment; sent once, never again. To some nodes only where the system says that it can."""
        # a system that does not know the field would ignore it, and change all nodes
        if request.nodes and "nodes" not in self._client.read(_HEALTH, parse_health)[1]:
            raise self._not_offered("deploying to some of the nodes", "Deploy to all of them, without a strategy by node.")

        def parse(body: bytes) -> Deployment:
            return parse_started(body, request, key)

        return self._client.write("/v1/deployments", RequestWire(**msgspec.structs.asdict(request)), parse, key)

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

    def hold(self, service: str, environment: str, digest: str, held: bool, reason: str) -> Fleet:
        """Forbid (or allow again) that this artifact is deployed there."""

        def parse(body: bytes) -> Fleet:
            return parse_fleet(body, service, environment)

        with self._optional("holding a version back", "Switch deploying by itself off there, by its own means, until the hold is cleared."):
            return self._client.write(_place(service, environment, "holds", digest), HoldWire(held, reason), parse, method="PUT")

    def mode(self, service: str, environment: str) -> str:
        """The trading mode now; "mixed" where the nodes differ."""
        with self._optional("trading modes", _OTHER_VENUE):
            return self._client.read(_place(service, environment, "mode"), parse_mode)

    def set_mode(self, service: str, environment: str, mode: str) -> str:
        """Switch it and answer what holds then; sent once."""
        with self._optional("trading modes", _OTHER_VENUE):
            return self._client.write(_place(service, environment, "mode"), ModeWire(mode), parse_mode, method="PUT")

    def weights(self, service: str, environment: str) -> dict[str, int]:
        """Percent of the traffic by node."""
        with self._optional("sharing the traffic out", _OTHER_TRAFFIC):
            # a copy: the answer is remembered while the system says that nothing changed
            return dict(self._client.read(_place(service, environment, "weights"), parse_weights))

    def set_weights(self, service: str, environment: str, weights: dict[str, int]) -> dict[str, int]:
        """Set the percent of these nodes and answer what holds then; sent once."""
        with self._optional("sharing the traffic out", _OTHER_TRAFFIC):
            return self._client.write(_place(service, environment, "weights"), WeightsWire(weights), parse_weights, method="PUT")

    def probe(self) -> Probe:
        """The system's name and version, and as whom it sees us."""
        return self._client.read(_HEALTH, parse_health)[0]

    @contextmanager
    def _optional(self, what: str, instead: str) -> Iterator[None]:
        """404 and 405 at an optional part's path: it is not offered there."""
        try:
            yield
        except NotFound as error:
            raise self._not_offered(what, instead, error) from None
        except Rejected as error:
            if error.status != 405:
                raise
            raise self._not_offered(what, instead, error) from None

    def _not_offered(self, what: str, instead: str, error: ConnectorError | None = None) -> NotFound:
        said = f" ({error.message.rstrip('.')})" if error is not None else ""
        return NotFound(f"{self._client.name} does not offer {what} there{said}.", hint=instead, title="Not offered")


def _place(service: str, environment: str, *more: str) -> str:
    return segments("v1", "environments", environment, "services", service, *more)
