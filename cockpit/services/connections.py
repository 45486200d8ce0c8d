"""The connectors in use, found by service and port. Filled once they are made; empty until then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

if TYPE_CHECKING:
    from cockpit.connectors.ports import CiSystem, DeploymentApi, Drain, Holds, MetricsApi, SourceControl


STRETCH = 4.0
BUSY_S = 5.0


class Tempo(Struct, frozen=True):
    """Seconds from poll to poll: `base_s` usually, up to `longest_s` while nothing changes, `busy_s` while something is under way.

    What is older than `deadline_s` is stale.
    """

    base_s: float
    longest_s: float
    busy_s: float
    deadline_s: float


class Connected(Struct, frozen=True):
    """One connection: its id in the settings, its kind, the ports it serves, the services it is for, and the connector itself.

    `every_s`: how often it may be asked while all is calm, 0 = as often as the settings say.
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
    every_s: float = 0.0

    def tempo(self, interval_s: float, deadline_s: float) -> Tempo:
        """How often it is asked, where the settings say `interval_s` and call older than `deadline_s` stale."""
        if not self.every_s:
            return Tempo(interval_s, interval_s, interval_s, deadline_s)
        base_s = max(interval_s, self.every_s)
        longest_s = STRETCH * base_s
        return Tempo(base_s, longest_s, min(base_s, max(interval_s, BUSY_S)), max(deadline_s, 2.5 * longest_s))

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

    def gates(self, service: str) -> tuple[Connected, ...]:
        """Where steps may wait for a person."""
        return tuple(c for c in self._all if "Gates" in c.ports and service in c.services)

    def drain(self, service: str) -> Drain | None:
        """What takes single nodes of the service out."""
        return cast("Drain | None", self._find("Drain", service))

    def alerts(self) -> tuple[Connected, ...]:
        """Where alerts come from."""
        return tuple(c for c in self._all if "AlertsApi" in c.ports)

    def notifiers(self, service: str) -> tuple[Connected, ...]:
        """Where people are told of what happens to the service."""
        return tuple(c for c in self._all if "Notifier" in c.ports and service in c.services)

    def metrics(self, service: str) -> MetricsApi | None:
        """Where the service's latency comes from."""
        return cast("MetricsApi | None", self._find("MetricsApi", service))
