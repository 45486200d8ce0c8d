"""Alerts, gates and shares of the made-up venue, and what acts on them: recorded, nothing is sent."""

from __future__ import annotations

from typing import Any

from cockpit.domain.alerts import Alert
from cockpit.domain.deeds import Deed
from cockpit.domain.facts import Fact
from cockpit.domain.gates import Gate
from tests.fakes.believable import HOUR, MIN, NOW_US, S

HERE = {"service": "order-gateway", "environment": "production"}


def _alert(number: int, name: str, severity: str, summary: str, since_us: int, place: dict[str, str], **fields: object) -> Alert:
    labels = {"alertname": name, "severity": severity, "instance": f"10.0.0.{6 + number}", **place}
    given = {"service": place.get("service", ""), "environment": place.get("environment", ""), **fields}
    return Alert(f"a{number}", name, labels, {"summary": summary}, since_us, **given)  # type: ignore[arg-type]


def alerts() -> tuple[Alert, ...]:
    """Two that fire for order-gateway in production, one of them critical; one silenced; two elsewhere."""
    url = "https://prometheus.invalid/graph?g0.expr=up"
    words = "5xx ratio is 1.2 % over five minutes, the objective allows 0.1 %"
    return (
        _alert(1, "HighErrorRate", "critical", words, NOW_US - 2 * MIN, HERE, url=url),
        _alert(2, "LatencyHigh", "warning", "p99 above 20 ms for two minutes", NOW_US - 3 * MIN, HERE, url=url),
        _alert(
            3, "InstanceDown", "critical", "production-3 does not answer", NOW_US - MIN, HERE, state="suppressed", silenced_by=("8f7c-11",)
        ),
        _alert(
            4, "FeedGap", "critical", "market-data misses ticks", NOW_US - HOUR, {"service": "market-data", "environment": "production"}
        ),
        _alert(5, "Watchdog", "none", "The pipeline of alerts is alive", NOW_US - 90 * HOUR, {}),
    )


def gates() -> tuple[Gate, ...]:
    """One that this account may answer, one that it may not."""
    return (
        Gate("g1", "order-gateway", "production", "1.7.0", "Deploy order-gateway to production", who=("Ada Quill", "release-managers"),
             mine=True, asked_at_us=NOW_US - 12 * MIN, url="https://forge.invalid/runs/7"),
        Gate("g2", "order-gateway", "production", "1.8.0", "Canary paused at 20 %", approve="Promote", reject="Abort", who=("SRE on call",),
             mine=False, asked_at_us=NOW_US - 3 * MIN),
    )  # fmt: skip


class FakeNodes:
    """Nodes: refuses what `refuse` says; deeds stand in the state and in `calls`."""

    def __init__(self, cockpit: Any) -> None:
        self.cockpit = cockpit
        self.refuse: dict[str, tuple[str, ...]] = {}
        self.calls: list[tuple[str, ...]] = []

    def why_not(self, kind: str, service: str, environment: str, node: str) -> tuple[str, ...]:
        return self.refuse.get(node, ())

    def take_out(self, service: str, environment: str, node: str, reason: str = "") -> Deed:
        return self._do("drain", service, environment, node, reason)

    def bring_back(self, service: str, environment: str, node: str, reason: str = "") -> Deed:
        return self._do("ready", service, environment, node, reason)

    def _do(self, kind: str, *about: str) -> Deed:
        self.calls.append((kind, *about))
        service, environment, node, reason = about
        now_us = self.cockpit.clock_us()
        deed = Deed(f"d{len(self.calls)}", kind, service, environment, node, "lb", "You", reason, at_us=now_us)
        self.cockpit.store.apply(deeds={**self.cockpit.store.state.deeds, deed.key: deed})
        return deed


class FakeGates:
    """GateActions: only what is not this account's is refused."""

    def __init__(self, cockpit: Any) -> None:
        self.cockpit = cockpit
        self.calls: list[tuple[Any, ...]] = []

    def why_not(self, source_id: str, gate: Gate, approve: bool) -> tuple[str, ...]:
        return ("this connection's account may not answer it",) if gate.mine is False else ()

    def decide(self, source_id: str, gate: Gate, approve: bool, comment: str) -> Deed:
        self.calls.append((source_id, gate.id, approve, comment))
        kind = "approve-gate" if approve else "reject-gate"
        about = (gate.service, gate.environment, gate.id, source_id, "You", comment)
        deed = Deed(f"g{len(self.calls)}", kind, *about, at_us=self.cockpit.clock_us(), title=gate.title)
        self.cockpit.store.apply(deeds={**self.cockpit.store.state.deeds, deed.key: deed})
        return deed


def watch(cockpit: Any) -> None:
    """Connect all of it to a made-up cockpit."""
    shares = {"production-1": 34, "production-2": 33, "production-3": 0, "production-4": 33}
    cockpit.store.apply(
        alerts={"am": Fact(alerts(), NOW_US - S, "Alertmanager", 30.0)},
        gates={"order-gateway:forge": Fact(gates(), NOW_US - S, "Forge", 60.0)},
        shares={"order-gateway@production": Fact(shares, NOW_US - S, "HAProxy", 30.0)},
    )
    cockpit.nodes, cockpit.gates = FakeNodes(cockpit), FakeGates(cockpit)
