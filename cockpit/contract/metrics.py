"""The contract of MetricsApi."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from cockpit.connectors.ports import MetricsApi
from cockpit.contract.common import PortContract, World, answers, eventually, needs, new_key, now_us, refused
from cockpit.domain.errors import Unreachable
from cockpit.domain.metrics import Reading
from cockpit.domain.release import Node

OLD_US = 120_000_000


class MetricsWorld(World, kw_only=True):
    """At least two nodes that serve requests and are measured.

    nodes: those that answer. silent: one that never does. count: count(node, operation, seconds, n, errors) lets a node serve n requests
    that take so long, so many of them with an error; None where that cannot be done here. lag_s: how long until it is seen.
    `forbid`, `cut` and `hang` are those of the metrics system, or of all nodes where they are asked directly.
    """

    nodes: tuple[Node, ...]
    silent: Node | None = None
    count: Callable[[Node, str, float, int, int], object] | None = None
    lag_s: float = 20.0


class MetricsContract(PortContract):
    """What every MetricsApi does."""

    def ask(self, world: Any) -> object:
        return world.connector.read(world.nodes)

    def read(self, world: MetricsWorld) -> tuple[Reading, ...]:
        """A reading of each node, once there is one."""

        def both() -> bool:
            return answers(lambda: world.connector.read(world.nodes)) and len(world.connector.read(world.nodes)) == len(world.nodes)

        eventually(both, world.lag_s, "every node is read")
        found: tuple[Reading, ...] = world.connector.read(world.nodes)
        return found

    def test_it_has_the_port(self, world: MetricsWorld) -> None:
        assert isinstance(world.connector, MetricsApi)

    def test_one_reading_for_each_node_that_says_whose_it_is(self, world: MetricsWorld) -> None:
        found = self.read(world)
        assert sorted((r.node, r.service, r.environment) for r in found) == sorted((n.name, n.service, n.environment) for n in world.nodes)

    def test_histograms_are_cumulative_and_closed(self, world: MetricsWorld) -> None:
        for histogram in (h for reading in self.read(world) for h in reading.operations.values()):
            assert len(histogram.bounds_s) == len(histogram.counts)
            assert histogram.bounds_s[-1] == math.inf
            assert all(a < b for a, b in itertools.pairwise(histogram.bounds_s))
            assert all(a <= b for a, b in itertools.pairwise(histogram.counts))
            assert all(math.isfinite(count) and count >= 0 for count in (*histogram.counts, histogram.errors, histogram.sum_s))

    def test_moments_are_now(self, world: MetricsWorld) -> None:
        for reading in self.read(world):
            assert abs(reading.at_us - now_us()) < OLD_US

    def test_time_goes_on(self, world: MetricsWorld) -> None:
        before = {r.node: r.at_us for r in self.read(world)}
        eventually(lambda: all(r.at_us > before[r.node] for r in self.read(world)), world.lag_s, "every node is read anew")

    def test_no_nodes_no_readings(self, world: MetricsWorld) -> None:
        assert world.connector.read(()) == ()

    def test_a_silent_node_is_left_out_while_others_answer(self, world: MetricsWorld) -> None:
        needs(world.silent, "silent node")
        assert world.silent is not None
        self.read(world)
        found = world.connector.read((*world.nodes, world.silent))
        assert sorted(r.node for r in found) == sorted(n.name for n in world.nodes)

    def test_nobody_answers(self, world: MetricsWorld) -> None:
        needs(world.silent, "silent node")
        assert world.silent is not None
        with refused(world, Unreachable):
            world.connector.read((world.silent,))

    def test_what_is_served_is_counted(self, world: MetricsWorld) -> None:
        needs(world.count, "way to let a node serve requests")
        assert world.count is not None
        operation, node = new_key().replace("-", "_"), world.nodes[0]
        world.count(node, operation, 0.005, 4, 1)

        def seen(n: int, errors: int) -> bool:
            reading = next(r for r in self.read(world) if r.node == node.name)
            found = reading.operations.get(operation)
            return found is not None and (found.total, found.errors) == (n, errors)

        eventually(lambda: seen(4, 1), world.lag_s, "four requests are counted")
        world.count(node, operation, 0.005, 3, 2)
        eventually(lambda: seen(7, 3), world.lag_s, "three more are counted")
        others = [r for r in self.read(world) if r.node != node.name]
        assert all(operation not in r.operations for r in others)
