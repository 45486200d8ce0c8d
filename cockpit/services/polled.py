"""What is polled beside deployments: alerts, steps that wait for a person, how the traffic is shared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cockpit.domain.errors import NotFound
from cockpit.domain.facts import place
from cockpit.services.gates import gate_key
from cockpit.services.jobs import Partial, StateJob, collect

if TYPE_CHECKING:
    from cockpit.connectors.ports import AlertsApi, Gates, Traffic
    from cockpit.services.connections import Connected
    from cockpit.services.store import AppState


def told_by(connected: tuple[Connected, ...], state: AppState) -> dict[str, Any]:
    """Fields of the state without what connections told that are gone: nobody would ever take it back."""
    gates = {gate_key(service, c.id) for c in connected if "Gates" in c.ports for service in c.services}
    shares = {(c.title, service) for c in connected if "Drain" in c.ports for service in c.services}
    return {
        "gates": {key: fact for key, fact in state.gates.items() if key in gates},
        "shares": {key: fact for key, fact in state.shares.items() if (fact.source, key.partition("@")[0]) in shares},
    }


class AlertsJob(StateJob):
    """Everything that fires at a connection, into `state.alerts`."""

    def prepare(self) -> Callable[[], Partial]:
        """One question."""
        api: AlertsApi = self._connected.polled
        source_id = self._connected.id
        return lambda: collect([("alerts", source_id, api.alerts)])


class GatesJob(StateJob):
    """What waits for a person, by service and connection, into `state.gates`."""

    def prepare(self) -> Callable[[], Partial]:
        """One question a service."""
        api: Gates = self._connected.polled
        source_id, names, turn = self._connected.id, self._connected.services, self._turn
        return lambda: collect([("gates", gate_key(s, source_id), partial(api.gates, s)) for s in names], turn)


class TrafficJob(StateJob):
    """The share of each node, by place, into `state.shares`. Places that the system knows nothing of have none."""

    def prepare(self) -> Callable[[], Partial]:
        """One question a place."""
        api: Traffic = self._connected.polled
        places = [(s, e.name) for s in self._connected.services for e in self._state.environments]
        questions = [("shares", place(*at), partial(api.weights, *at)) for at in places]
        turn = self._turn

        def work() -> Partial:
            found = collect(questions, turn)
            if found.items and isinstance(found.error, NotFound):
                found.error = None  # a balancer need not stand before every place
            return found

        return work
