"""The state that everything on screen is read from. Touched on the main thread only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.alerts import Alert
from cockpit.domain.approvals import Approval
from cockpit.domain.calendar import Freeze
from cockpit.domain.checks import CheckRun
from cockpit.domain.deeds import Deed
from cockpit.domain.facts import Fact
from cockpit.domain.gates import Gate
from cockpit.domain.metrics import Band, LatencyPoint
from cockpit.domain.release import Artifact, Changes, Deployment, Environment, Fleet, Service, Version
from cockpit.domain.rollout import Action
from cockpit.domain.statements import Statement
from cockpit.domain.strategy import Rollout


class Problem(Struct, frozen=True):
    """An error in words: title, what happened, the way out."""

    title: str
    message: str
    hint: str = ""


class SourceHealth(Struct, frozen=True):
    """How a connection does. Times are 0 when it never happened; `stopped`: not asked again until a person does something."""

    id: str
    title: str
    kind: str
    last_success_us: int = 0
    last_attempt_us: int = 0
    next_poll_us: int = 0
    took_ms: float = 0.0
    problem: Problem | None = None
    stopped: bool = False
    deadline_s: float = 15.0

    def state(self, now_us: int) -> str:
        """ok, stale, failed, stopped or pending (never asked yet)."""
        if self.stopped:
            return "stopped"
        if self.problem is not None:
            return "failed"
        if not self.last_success_us:
            return "pending"
        return "stale" if now_us - self.last_success_us > self.deadline_s * 1e6 else "ok"


class LatencyStatus(Struct, frozen=True):
    """The newest point of a place, the band it is compared with, and whether p99 lies outside (None: cannot be said)."""

    point: LatencyPoint
    band: Band | None = None
    outside: bool | None = None


class AppState(Struct, frozen=True):
    """All that is known, each value with its age. Dictionaries are never changed, only replaced.

    Keys: `place(service, environment)` for fleets, deployments, latency, watches and shares (percent of the traffic by node); the
    service's name for versions, artifacts, checks and reviews; `changes_key(...)` for changes; `gate_key(...)` for gates; run ids for
    runs; connection ids for sources, freezes and alerts; keys for actions, rollouts and deeds; environments for locks, whose value says
    in words who holds it ("" = nobody).
    """

    services: tuple[Service, ...] = ()
    environments: tuple[Environment, ...] = ()
    versions: dict[str, Fact[tuple[Version, ...]]] = {}
    changes: dict[str, Fact[Changes]] = {}
    fleets: dict[str, Fact[Fleet]] = {}
    deployments: dict[str, Fact[tuple[Deployment, ...]]] = {}
    artifacts: dict[str, Fact[tuple[Artifact, ...]]] = {}
    checks: dict[str, Fact[tuple[CheckRun, ...]]] = {}
    runs: dict[str, Fact[CheckRun]] = {}
    latency: dict[str, Fact[LatencyStatus]] = {}
    approvals: tuple[Approval, ...] = ()
    reviews: dict[str, Fact[tuple[Approval, ...]]] = {}
    statements: tuple[Statement, ...] = ()
    gates: dict[str, Fact[tuple[Gate, ...]]] = {}
    alerts: dict[str, Fact[tuple[Alert, ...]]] = {}
    shares: dict[str, Fact[dict[str, int]]] = {}
    deeds: dict[str, Deed] = {}
    freezes: dict[str, Fact[tuple[Freeze, ...]]] = {}
    rollouts: dict[str, Rollout] = {}
    locks: dict[str, Fact[str]] = {}
    watches: dict[str, Any] = {}  # by place, Watched of domain.watching
    trends: dict[str, Any] = {}  # by service, Trends of domain.measures: the first paint does without its types
    sources: dict[str, SourceHealth] = {}
    actions: dict[str, Action] = {}
    starting: str = ""


class Change(Struct, frozen=True):
    """What changed: fields of AppState (or "ages" where only a time did), and the keys within them."""

    kinds: frozenset[str]
    ids: frozenset[str] = frozenset()

    def touches(self, *kinds: str) -> bool:
        return not self.kinds.isdisjoint(kinds)


def changes_key(service: str, base: str, head: str) -> str:
    """The key of a comparison between two commits of a service."""
    return f"{service}:{base}..{head}"


class Store:
    """Holds the frozen AppState; every change goes through `apply` or `merge` and is told to subscribers at once."""

    def __init__(self, state: AppState | None = None) -> None:
        self.state = state or AppState()
        self._listeners: list[Callable[[Change], None]] = []

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` after every change; answers a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def apply(self, **fields: Any) -> None:
        """Replace whole fields."""
        self.state = replace(self.state, **fields)
        self._emit(Change(frozenset(fields)))

    def merge(self, kind: str, items: Mapping[str, Any]) -> None:
        """Put `items` into the dictionary field `kind`."""
        if not items:
            return
        old: dict[str, Any] = getattr(self.state, kind)
        changed = [key for key, item in items.items() if not _same(old.get(key), item)]
        self.state = replace(self.state, **{kind: {**old, **items}})
        self._emit(Change(frozenset({kind} if changed else {"ages"}), frozenset(changed or items)))

    def _emit(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, Fact) and isinstance(new, Fact):
        return bool(old.value == new.value)
    return bool(old == new)
