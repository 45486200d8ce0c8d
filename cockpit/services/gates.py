"""Steps of other systems that wait for a person: listed, and answered from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cockpit.domain.deeds import Deed
from cockpit.domain.errors import NotAllowed, Unreachable
from cockpit.domain.gates import Gate
from cockpit.services.deeds import Deeds
from cockpit.services.store import AppState

if TYPE_CHECKING:
    from cockpit.services.connections import Connected, Connections
    from cockpit.services.store import Store

APPROVE, REJECT = "approve-gate", "reject-gate"


def gate_key(service: str, source_id: str) -> str:
    """The key of `state.gates`."""
    return f"{service}:{source_id}"


def gates_of(state: AppState, service: str = "", environment: str = "") -> tuple[tuple[str, Gate], ...]:
    """(connection id, gate) of everything that waits, the longest waiting first; "" = any. A gate without environment is in each."""
    found = [
        (key.partition(":")[2], gate)
        for key, fact in state.gates.items()
        for gate in fact.value
        if service in ("", gate.service) and (not environment or gate.environment in ("", environment))
    ]
    return tuple(sorted(found, key=lambda f: (f[1].asked_at_us or 2**62, f[1].id)))


class GateActions:
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
        self._gates: dict[tuple[str, str], Gate] = {}  # that were answered, by connection and id
        deeds.add(self, APPROVE, REJECT)

    def why_not(self, source_id: str, gate: Gate, approve: bool) -> tuple[str, ...]:
        """What speaks against answering it so; empty where it may be tried."""
        reasons = [self.read_only] if self.read_only else []
        if not self.who:
            reasons.append("it is not known who you are: set name and email under [me]")
        if not (gate.approve if approve else gate.reject):
            reasons.append("that answer is not offered there")
        if gate.mine is False:
            reasons.append("this connection's account may not answer it")
        pending = self._deeds.under_way(gate.service, gate.environment, gate.id)
        if pending is not None:
            reasons.append(f"an answer was given already and is {pending.state}: {pending.message or 'wait for it'}")
        fact = self._store.state.gates.get(gate_key(gate.service, source_id))
        if fact is None or all(known.id != gate.id for known in fact.value):
            reasons.append("it waits no longer")
        elif fact.stale(self._clock_us()):
            reasons.append(f"whether it still waits is not known: {fact.source} was heard {fact.age_s(self._clock_us()):.0f} s ago")
        elif pending is None and self._answered(source_id, gate, fact.at_us):
            reasons.append("it was answered from here just now; whether it still waits is being asked")
        return tuple(reasons)

    def _answered(self, source_id: str, gate: Gate, seen_us: int) -> bool:
        done = self._deeds.since(gate.service, gate.environment, seen_us)
        return any((d.connection, d.subject) == (source_id, gate.id) for d in done)

    def decide(self, source_id: str, gate: Gate, approve: bool, comment: str) -> Deed:
        """Answer it. A rejection names its reason."""
        reasons = self.why_not(source_id, gate, approve)
        if reasons:
            raise NotAllowed("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
        if not approve and not comment.strip():
            raise NotAllowed("A rejection names its reason.", hint="Write it into the comment, then try again.")
        kind, words = (APPROVE, gate.approve) if approve else (REJECT, gate.reject)
        about = (gate.service, gate.environment, gate.id, source_id, self.who, comment.strip())
        deed = Deed("", kind, *about, title=f"{words}: {gate.title}" if words not in ("Approve", "Reject") else gate.title)
        self._gates[source_id, gate.id] = gate
        return self._deeds.begin(deed)

    # -- as a kind of deed ---------------------------------------------------------------------------------------------------

    def send(self, deed: Deed) -> str:
        """In the worker."""
        self._port(deed).decide(self._gates[deed.connection, deed.subject], deed.kind == APPROVE, deed.reason, deed.key)
        return "answered"

    def look(self, deed: Deed) -> tuple[bool | None, str]:
        """In the worker: what waits still was not answered; what waits no longer was, by this or by somebody else."""
        waits = any(g.id == deed.subject for g in self._port(deed).gates(deed.service))
        return (False, "it still waits there") if waits else (True, "it waits no longer; look there by whom it was answered")

    def after(self, deed: Deed) -> None:
        """What waits now is read at once."""
        self.refresh("Gates", deed.service)

    def _port(self, deed: Deed) -> Any:
        connected: Connected | None = self._connections.by_id(deed.connection)
        if connected is None:
            raise Unreachable(f"{deed.connection} is not connected.", hint="See Sources for what is missing.")
        return connected.connector
