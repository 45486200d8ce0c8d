"""The rig with a watch over it: nodes that are read every two seconds, and a deployment system that a test tells what to say."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Histogram, Reading
from cockpit.domain.release import Deployment, DeployState, Fleet, Node, NodeStep
from cockpit.domain.watching import Watched, WatchRule
from cockpit.services.connections import Connected
from cockpit.services.notices import Notice, Severity
from cockpit.services.watch import Watch
from tests.fakes.judge_traffic import BOUNDS, REGIMES, second
from tests.fakes.rig import D1, D2, D3, Rig

AT = place("gw", "prod")
DIGESTS = {"1.6.0": D1, "1.7.0": D2, "1.8.0": D3}
EMPTY = Histogram(BOUNDS, (0.0,) * len(BOUNDS))


class WatchRig(Rig):
    """1.7.0 runs in production on four nodes; `deploy` brings 1.8.0. `worse`: how slow a version is, by its name."""

    def __init__(self, folder: Path, clock: Any, rule: WatchRule | None = None, *, acts: bool = True, every_s: int = 2) -> None:
        super().__init__(folder, clock)
        ports = ("DeploymentApi", "CiSystem", "MetricsApi")
        self.connections.replace((Connected("dep", "dep", "x", ports, ("gw",), self.systems),))
        parts = (self.store, self.runner, self.main, self.journal, self.connections, self.notices, self.actions, clock)
        self.watch = Watch(*parts)
        self.rules(watches={"prod": rule or WatchRule()})
        self.watch.rules = self.actions.rules
        self.random = Random(7)
        self.worse: dict[str, float] = {}
        self.errors: dict[str, float] = {}
        self.rate, self.regime, self.every_s = 40.0, "calm", every_s
        self.beside: dict[str, dict[str, Any]] = {}  # what else the nodes of a version tell, by its name
        self.mute: set[str] = set()  # nodes that tell no metrics
        self.fresh = True  # whether the deployment system answers
        self.known: dict[str, tuple[str, Histogram]] = {}
        self.change(nodes=lambda i, n: replace(n, url=f"http://127.0.0.1:1/{i}"))
        self.history = list(self.store.state.deployments[AT].value)
        self.active: Deployment | None = None
        self._tick = 0
        self.watch.begin(acts=acts)

    def set_rule(self, rule: WatchRule) -> None:
        """The settings are read again."""
        self.rules(watches={"prod": rule})
        self.watch.rules = self.actions.rules

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the clock, or the machine sleeps: timers know nothing of it."""
        self.clock.advance(seconds)
        self.main._timers[:] = [(at + round(seconds * 1e6), count, cell) for at, count, cell in self.main._timers]

    # -- what the systems say ----------------------------------------------------------------------------------------------------

    @property
    def fleet(self) -> Fleet:
        return self.store.state.fleets[AT].value

    def refresh(self) -> None:
        """Every source answers now."""
        now = self.clock()
        for kind in ("versions", "artifacts", "checks"):
            self.store.merge(kind, {"gw": replace(getattr(self.store.state, kind)["gw"], at_us=now)})
        if self.fresh:
            self.store.merge("deployments", {AT: Fact(tuple(self.history), now, "dep", 30.0)})
            self.store.merge("fleets", {AT: Fact(replace(self.fleet, active=self.active), now, "dep", 30.0)})

    def put(self, deployment: Deployment) -> Deployment:
        """This deployment in the history, as it is now; under way it is the active one."""
        self.history = [deployment, *(d for d in self.history if d.id != deployment.id)]
        self.active = None if deployment.state.final else deployment
        self.refresh()
        return deployment

    def begin(
        self, version: str = "1.8.0", name: str = "3", kind: str = "deploy", nodes: tuple[str, ...] = (), **fields: Any
    ) -> Deployment:
        """A deployment begins."""
        live = self.fleet.live
        assert live is not None
        named = {"from_version": live.version, "from_digest": live.digest, "started_at_us": self.clock(), "key": f"k{name}", **fields}
        steps = tuple(NodeStep(n.name, "pending") for n in self.fleet.nodes if not nodes or n.name in nodes)
        key = named.pop("key")
        where = (name, key, "gw", "prod", version, DIGESTS[version], kind, DeployState.RUNNING)
        return self.put(Deployment(*where, steps=steps, **named))

    def turn(self, version: str, *names: str) -> None:
        """These nodes (none: all) restart on a version."""
        for node in self.fleet.nodes:
            if not names or node.name in names:
                self.known.pop(node.name, None)

        def turned(_: int, node: Node) -> Node:
            return replace(node, version=version, digest=DIGESTS[version]) if not names or node.name in names else node

        self.change(nodes=turned)

    def end(self, deployment: Deployment, state: DeployState = DeployState.SUCCEEDED) -> Deployment:
        """It ends now."""
        return self.put(replace(deployment, state=state, finished_at_us=self.clock()))

    def deploy(self, version: str = "1.8.0", name: str = "3", **fields: Any) -> Deployment:
        """A whole deployment of ten seconds."""
        begun = self.begin(version, name, **fields)
        self.run(4)
        self.turn(version, *fields.get("nodes", ()))
        self.run(6)
        return self.end(begun)

    # -- time --------------------------------------------------------------------------------------------------------------------

    def run(self, seconds: int) -> None:
        """Time passes: sources answer, nodes are read, the watch looks."""
        for _ in range(seconds):
            self._tick += 1
            self.refresh()
            if self._tick % self.every_s == 0:
                self.read()
            self.main.run_for(1)

    def run_until(self, what: Any, limit_s: int) -> bool:
        """Until that holds."""
        for _ in range(limit_s):
            if what():
                return True
            self.run(1)
        return bool(what())

    def read(self) -> None:
        """Scrape every node that tells anything."""
        readings, busy, slow = [], *REGIMES[self.regime]
        for node in self.fleet.nodes:
            if node.name in self.mute or not node.digest:
                continue
            median_s = 0.005 * slow * self.worse.get(node.version, 1.0)
            rate = self.rate * busy * self.every_s
            new = second(self.random, rate, median_s, error_ratio=self.errors.get(node.version, 0.001))
            digest, old = self.known.get(node.name, (node.digest, EMPTY))
            total = tuple(a + b for a, b in zip(old.counts, new.counts, strict=True))
            self.known[node.name] = (digest, Histogram(BOUNDS, total, 0.0, old.errors + new.errors))
            done, beside = {"place_order": self.known[node.name][1]}, self.beside.get(node.version, {})
            readings.append(Reading(node.name, "gw", "prod", self.clock(), done, **beside))
        self.watch.read("dep", readings, {AT: self.store.state.fleets[AT]})

    # -- what came of it -----------------------------------------------------------------------------------------------------------

    @property
    def seen(self) -> Watched:
        found: Watched = self.store.state.watches[AT]
        return found

    @property
    def loud(self) -> list[Notice]:
        """Errors and warnings that stand, about the place."""
        return [n for n in self.notices.history if not n.over and n.severity in (Severity.ERROR, Severity.WARNING)]

    def notes(self) -> list[str]:
        """What the journal has of the watch, oldest first."""
        return [str(e.detail["said"]) for e in reversed(self.journal.entries(500, kinds=("note",))) if e.action == "watch"]

    def kinds(self) -> list[str]:
        return [f.kind for f in self.seen.findings]

    def close(self) -> None:
        self.watch.close()
        self.database.close()
