"""Taking one node out of the traffic at once, and bringing it back: by a person, in a freeze too, refused only with reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cockpit.domain.deeds import Deed
from cockpit.domain.errors import NotAllowed, Unreachable
from cockpit.domain.facts import place
from cockpit.services.deeds import Deeds

if TYPE_CHECKING:
    from cockpit.services.connections import Connected, Connections
    from cockpit.services.store import Store

TAKE_OUT, BRING_BACK = "drain", "ready"
SLACK_S = 5.0  # so long after a deed an answer may be one to a question before it


class Nodes:
    """Main thread only. What a refusal says stands in `NotAllowed.reasons`; nothing was sent then.

    Set from outside: `who` acts, and `read_only`, why nobody may.
    """

    def __init__(self, store: Store, connections: Connections, deeds: Deeds, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._connections = connections
        self._deeds = deeds
        self._clock_us = clock_us
        self.who = ""
        self.read_only = ""
        self.refresh: Callable[[str, str], None] = lambda port, service: None
        deeds.add(self, TAKE_OUT, BRING_BACK)

    def names(self, service: str, environment: str) -> tuple[str, ...]:
        """Every node there, of the fleet and of the balancer."""
        at = place(service, environment)
        fleet, shares = self._store.state.fleets.get(at), self._store.state.shares.get(at)
        known = [n.name for n in fleet.value.nodes] if fleet is not None else []
        return tuple(dict.fromkeys((*known, *(shares.value if shares is not None else ()))))

    def why_not(self, kind: str, service: str, environment: str, node: str) -> tuple[str, ...]:
        """What speaks against it; empty where it may be done. Freezes and locks do not: a bad node must go at once."""
        reasons = [self.read_only] if self.read_only else []
        if not self.who:
            reasons.append("it is not known who you are: set name and email under [me]")
        if self._connections.drain(service) is None:
            reasons.append("nothing that takes single nodes out is connected")
            return tuple(reasons)
        pending = self._deeds.under_way(service, environment, node)
        if pending is not None:
            reasons.append(f"what was asked before is {pending.state}: {pending.message or 'wait for its answer'}")
        return (*reasons, *self._why_not_by_shares(kind, service, environment, node))

    def _why_not_by_shares(self, kind: str, service: str, environment: str, node: str) -> Iterable[str]:
        fact = self._store.state.shares.get(place(service, environment))
        if fact is None:
            return ("how the traffic is shared there is not known",)
        now = self._clock_us()
        if fact.stale(now):
            return (f"how the traffic is shared was seen {fact.age_s(now):.0f} s ago, and {fact.source} does not answer",)
        if node not in fact.value:
            return (f"{fact.source} knows no node {node} there",)
        if kind == BRING_BACK:
            return (f"{node} serves already",) if fact.value[node] else ()
        if not fact.value[node]:
            return (f"{node} gets no requests already",)
        # those that leave now have a share until it is read again
        left = {d.subject for d in self._deeds.since(service, environment, fact.at_us, SLACK_S) if d.kind == TAKE_OUT}
        others = [name for name, share in fact.value.items() if share and name != node and name not in left]
        return () if others else (f"{node} is the last node that serves there",)

    def take_out(self, service: str, environment: str, node: str, reason: str = "") -> Deed:
        """No new requests for this node from now on."""
        return self._begin(TAKE_OUT, service, environment, node, reason)

    def bring_back(self, service: str, environment: str, node: str, reason: str = "") -> Deed:
        """The node serves again."""
        return self._begin(BRING_BACK, service, environment, node, reason)

    def _begin(self, kind: str, service: str, environment: str, node: str, reason: str) -> Deed:
        reasons = self.why_not(kind, service, environment, node)
        if reasons:
            raise NotAllowed("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
        connection = next(c.id for c in self._connections.all if "Drain" in c.ports and service in c.services)
        return self._deeds.begin(Deed("", kind, service, environment, node, connection, self.who, reason.strip()))

    # -- as a kind of deed ---------------------------------------------------------------------------------------------------

    def send(self, deed: Deed) -> str:
        """In the worker."""
        api = self._port(deed, "Drain")
        act = api.drain if deed.kind == TAKE_OUT else api.ready
        return shares_text(act(deed.service, deed.environment, deed.subject))

    def look(self, deed: Deed) -> tuple[bool | None, str]:
        """In the worker: whether the node gets requests."""
        shares = self._port(deed, "Traffic").weights(deed.service, deed.environment)
        share = shares.get(deed.subject)
        if share is None:
            return None, f"{deed.subject} is not named among the shares: {shares_text(shares)}"
        return (share == 0) == (deed.kind == TAKE_OUT), shares_text(shares)

    def after(self, deed: Deed) -> None:
        """What holds now is read at once."""
        self.refresh("Traffic", deed.service)

    def _port(self, deed: Deed, port: str) -> Any:
        connected: Connected | None = self._connections.by_id(deed.connection)
        if connected is None or port not in connected.ports:
            raise Unreachable(f"{deed.connection} is not connected, or does not offer that.", hint="See Sources for what is missing.")
        return connected.connector


def shares_text(shares: dict[str, int]) -> str:
    """Nodes with their percent, in words."""
    return ", ".join(f"{name} {percent} %" for name, percent in sorted(shares.items())) or "no node serves"
