"""The contracts of Traffic and of Drain."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.connectors.ports import Drain, Traffic
from cockpit.contract.common import PortContract, World, needs, refused
from cockpit.domain.errors import NotFound, Rejected


class TrafficWorld(World, kw_only=True):
    """A service whose traffic is shared out among at least two nodes, all of them in service.

    nodes: their names. unknown_environment: one that does not exist. unmanaged: an environment where the traffic is not shared out, "" =
    none. `lose` is not used here: setting the same shares again settles it.
    """

    service: str
    environment: str
    nodes: tuple[str, ...]
    unknown_environment: str = "no-such-environment"
    unmanaged: str = ""


class TrafficContract(PortContract):
    """What every Traffic does."""

    def ask(self, world: Any) -> object:
        return world.connector.weights(world.service, world.environment)

    @pytest.fixture(autouse=True)
    def _as_before(self, world: TrafficWorld) -> Iterator[None]:
        before = world.connector.weights(world.service, world.environment)
        yield
        if world.heal is not None:
            world.heal()
        world.connector.set_weights(world.service, world.environment, before)

    def test_it_has_the_port(self, world: TrafficWorld) -> None:
        assert isinstance(world.connector, Traffic)

    def test_shares_of_every_node_make_the_whole(self, world: TrafficWorld) -> None:
        shares = self.shares(world)
        assert set(shares) == set(world.nodes)
        assert sum(shares.values()) == 100
        assert all(isinstance(share, int) and share >= 0 for share in shares.values())

    def test_setting_answers_what_holds_then_and_twice_is_once(self, world: TrafficWorld) -> None:
        node = world.nodes[0]
        for percent in (10, 10, 90, 0, 100):
            answered = self.set(world, {node: percent})
            assert answered[node] == percent
            assert sum(answered.values()) == 100
            assert self.shares(world) == answered

    def test_an_answer_is_the_callers_own(self, world: TrafficWorld) -> None:
        before = self.shares(world)
        self.shares(world).clear()
        assert self.shares(world) == before

    def test_shares_that_are_none_are_refused_and_change_nothing(self, world: TrafficWorld) -> None:
        before = self.shares(world)
        all_of_them = dict.fromkeys(world.nodes, 60)
        for odd in ({world.nodes[0]: 101}, {world.nodes[0]: -1}, all_of_them):
            with refused(world, Rejected):
                self.set(world, odd)
        with refused(world, Rejected, NotFound):
            self.set(world, {"no-such-node": 10})
        assert self.shares(world) == before

    def test_places_that_do_not_exist(self, world: TrafficWorld) -> None:
        for environment in filter(None, (world.unknown_environment, world.unmanaged)):
            with refused(world, NotFound):
                world.connector.weights(world.service, environment)
            with refused(world, NotFound):
                world.connector.set_weights(world.service, environment, {world.nodes[0]: 50})

    def shares(self, world: TrafficWorld) -> dict[str, int]:
        """The shares now."""
        found: dict[str, int] = world.connector.weights(world.service, world.environment)
        return found

    def set(self, world: TrafficWorld, shares: dict[str, int]) -> dict[str, int]:
        """Set them in the world's place."""
        found: dict[str, int] = world.connector.set_weights(world.service, world.environment, shares)
        return found


class DrainContract(TrafficContract):
    """What a Traffic that is a Drain too does besides."""

    def test_it_has_the_other_port(self, world: TrafficWorld) -> None:
        assert isinstance(world.connector, Drain)

    def test_a_node_goes_out_and_comes_back_as_it_was(self, world: TrafficWorld) -> None:
        node, connector = world.nodes[0], world.connector
        before = self.shares(world)
        needs(before[node], "share of its first node")
        for _ in range(2):
            out = connector.drain(world.service, world.environment, node)
            assert out[node] == 0
            assert sum(out.values()) == 100
            assert self.shares(world) == out
        for _ in range(2):
            assert connector.ready(world.service, world.environment, node) == before
        assert self.shares(world) == before

    def test_the_last_node_stays(self, world: TrafficWorld) -> None:
        *others, last = world.nodes
        for node in others:
            world.connector.drain(world.service, world.environment, node)
        try:
            with refused(world, Rejected):
                world.connector.drain(world.service, world.environment, last)
            assert self.shares(world)[last] == 100
        finally:
            for node in others:
                world.connector.ready(world.service, world.environment, node)

    def test_nodes_that_do_not_exist(self, world: TrafficWorld) -> None:
        for move in (world.connector.drain, world.connector.ready):
            with refused(world, NotFound, Rejected):
                move(world.service, world.environment, "no-such-node")
            with refused(world, NotFound):
                move(world.service, world.unknown_environment, world.nodes[0])
