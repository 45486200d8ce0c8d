"""Nodes of a place as people read them: what each runs, whether it is well, and its share of the traffic. All functions are pure."""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.deeds import Deed
from cockpit.domain.facts import Fact
from cockpit.domain.release import Fleet, Node
from ui.models.table import Column
from ui.models.text import NONE, plain, short_id


class NodeRow(Struct, frozen=True):
    """One node; `share` is None where nobody tells. `late`: its fleet, `old`: its share was seen too long ago. `deed`: the last one."""

    name: str
    node: Node | None = None
    share: int | None = None
    late: bool = False
    deed: Deed | None = None
    old: bool = False  # its share

    @property
    def state(self) -> str:
        """well, not well, or not known; stale where that is old."""
        if self.node is None:
            return "not known"
        return "stale" if self.late else "ok" if self.node.healthy else "bad"

    @property
    def traffic(self) -> str:
        """Its share in words."""
        words = NONE if self.share is None else f"{self.share} %" if self.share else "none"
        return f"was {words}" if self.old and self.share is not None else words

    @property
    def last(self) -> str:
        """What was last done to it, and what became of that."""
        if self.deed is None:
            return NONE
        return f"{'taken out' if self.deed.kind == 'drain' else 'brought back'}: {self.deed.state}"


def node_rows(fleet: Fact[Fleet] | None, shares: Fact[dict[str, int]] | None, now_us: int, deeds: dict[str, Deed]) -> list[NodeRow]:
    """Every node that the fleet or the balancer names; `deeds` by node."""
    nodes = {n.name: n for n in fleet.value.nodes} if fleet is not None else {}
    given = shares.value if shares is not None else {}
    late = fleet is not None and fleet.stale(now_us)
    found = dict.fromkeys((*nodes, *given))
    old = shares is not None and shares.stale(now_us)
    return [NodeRow(name, nodes.get(name), given.get(name), late, deeds.get(name), old) for name in found]


def node_columns() -> tuple[Column, ...]:
    """Columns for NodeRow."""
    return (
        Column("Node", lambda r: plain(r.name, 120), width=150),
        Column("State", lambda r: {"ok": "healthy", "bad": "not healthy"}.get(r.state, r.state), state=lambda r: r.state, width=110),
        Column("Version", lambda r: plain(r.node.version, 60) or NONE if r.node else NONE, width=80),
        Column("Artifact", lambda r: short_id(plain(r.node.digest)) or NONE if r.node else NONE, mono=True, width=110,
               copy=lambda r: plain(r.node.digest) if r.node else ""),
        Column("Traffic", lambda r: r.traffic, sort_key=lambda r: -1 if r.share is None else r.share, align="right", width=96,
               state=lambda r: "" if r.share is None else "stale" if r.old else "held" if not r.share else ""),
        Column("Last deed", lambda r: r.last, state=lambda r: str(r.deed.state) if r.deed else "",
               tooltip=lambda r: plain(r.deed.message, 500) if r.deed else "", width=120, stretch=True),
    )  # fmt: skip
