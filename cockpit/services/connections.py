"""The connectors in use, found by service and port. Filled once they are made; empty until then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

if TYPE_CHECKING:
    from cockpit.connectors.ports import CiSystem, DeploymentApi, Holds, MetricsApi, SourceControl


class Connected(Struct, frozen=True):
    """One connection: its id in the settings, its kind, the ports it serves, the services it is for, and the connector itself.

    `reads`: the same connector in a process of its own, for what is polled; None where there is none. `exclusive`: the system itself
    lets only one deployment at a time into an environment.
    """

    id: str
    title: str
    kind: str
    ports: tuple[str, ...]
    services: tuple[str, ...]
    connector: Any
    reads: Any = None
    exclusive: bool = False

    @property
    def polled(self) -> Any:
        """What the pollers ask."""
        return self.connector if self.reads is None else self.reads


class Connections:
    """Read from any thread; replaced as a whole on the main thread."""

    def __init__(self) -> None:
        self._all: tuple[Connected, ...] = ()

    @property
    def all(self) -> tuple[Connected, ...]:
        return self._all

    def replace(self, connected: tuple[Connected, ...]) -> None:
        """Use these from now on."""
        self._all = connected

    def by_id(self, source_id: str) -> Connected | None:
        """The connection of that id."""
        return next((c for c in self._all if c.id == source_id), None)

    def _find(self, port: str, service: str) -> Any:
        return next((c.connector for c in self._all if port in c.ports and service in c.services), None)

    def source(self, service: str) -> SourceControl | None:
        """Where the service's versions come from."""
        return cast("SourceControl | None", self._find("SourceControl", service))

    def ci(self, service: str) -> CiSystem | None:
        """Where the service's tests run."""
        return cast("CiSystem | None", self._find("CiSystem", service))

    def deployment(self, service: str) -> DeploymentApi | None:
        """What deploys the service."""
        return cast("DeploymentApi | None", self._find("DeploymentApi", service))

    def holds(self, service: str) -> Holds | None:
        """What deploys the service, where it can be told to leave a version alone."""
        ports = next((c.ports for c in self._all if "DeploymentApi" in c.ports and service in c.services), ())
        return cast("Holds | None", self._find("DeploymentApi", service)) if "Holds" in ports else None

    def exclusive(self, service: str) -> bool:
        """Whether what deploys the service lets only one deployment at a time into an environment."""
        return next((c.exclusive for c in self._all if "DeploymentApi" in c.ports and service in c.services), False)

    def metrics(self, service: str) -> MetricsApi | None:
        """Where the service's latency comes from."""
        return cast("MetricsApi | None", self._find("MetricsApi", service))
