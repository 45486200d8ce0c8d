"""The contract of Gates."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from cockpit.connectors.ports import Gates
from cockpit.contract.common import PortContract, World, eventually, fault, needs, new_key, once, refused, sane
from cockpit.domain.errors import NotFound, OutcomeUnknown, Rejected
from cockpit.domain.gates import Gate


class GatesWorld(World, kw_only=True):
    """A system where steps of a service wait for a person.

    service: whose steps. wait: lets one more step wait. answered: answered(gate) tells what the system heard: "approved", "rejected" or "".
    quiet: a service where nothing waits. unknown: the id of no gate, in the form that the system's ids have. lag_s: how long until it is
    seen.
    """

    service: str
    wait: Callable[[], object]
    answered: Callable[[Gate], str]
    quiet: str = ""
    unknown: str = "987654321"
    lag_s: float = 10.0


class GatesContract(PortContract):
    """What every Gates does."""

    def ask(self, world: Any) -> object:
        return world.connector.gates(world.service)

    def test_it_has_the_port(self, world: GatesWorld) -> None:
        assert isinstance(world.connector, Gates)

    def test_what_waits_the_longest_first(self, world: GatesWorld) -> None:
        self._gate(world)
        self._gate(world)
        found = world.connector.gates(world.service)
        once([gate.id for gate in found])
        assert {gate.service for gate in found} == {world.service}
        assert all(gate.title for gate in found)
        asked = [gate.asked_at_us for gate in found if gate.asked_at_us]
        assert asked == sorted(asked)
        for at_us in asked:
            sane(at_us)

    def test_nothing_waits(self, world: GatesWorld) -> None:
        needs(world.quiet, "service where nothing waits")
        assert world.connector.gates(world.quiet) == ()

    def test_approve_and_reject_reach_the_system_once(self, world: GatesWorld) -> None:
        for approve, heard in ((True, "approved"), (False, "rejected")):
            gate = self._gate(world)
            if not (gate.approve if approve else gate.reject):
                continue
            assert world.answered(gate) == ""
            world.connector.decide(gate, approve, "the contract suite", new_key())
            assert world.answered(gate) == heard
            eventually(lambda gate=gate: gate.id not in self._ids(world), world.lag_s, "it waits no longer")  # type: ignore[misc]
            with refused(world, NotFound, Rejected):
                world.connector.decide(gate, approve, "again", new_key())

    def test_an_answer_that_is_not_offered(self, world: GatesWorld) -> None:
        gate = self._gate(world)
        for approve, word in ((True, gate.approve), (False, gate.reject)):
            if not word:
                with refused(world, Rejected):
                    world.connector.decide(gate, approve, "", new_key())

    def test_what_does_not_wait(self, world: GatesWorld) -> None:
        gate = replace(self._gate(world), id=world.unknown)
        with refused(world, NotFound, Rejected):
            world.connector.decide(gate, True, "", new_key())

    def test_a_lost_answer_is_not_a_failure(self, world: GatesWorld) -> None:
        lose, heal = fault(world, world.lose, "way to lose an answer")
        gate = self._gate(world)
        lose()
        with refused(world, OutcomeUnknown):
            world.connector.decide(gate, True, "", new_key())
        heal()
        eventually(lambda: gate.id not in self._ids(world), world.lag_s, "it was answered")

    def _ids(self, world: GatesWorld) -> set[str]:
        return {gate.id for gate in world.connector.gates(world.service)}

    def _gate(self, world: GatesWorld) -> Gate:
        """One more that waits."""
        before = self._ids(world)
        world.wait()

        def new() -> list[Gate]:
            return [gate for gate in world.connector.gates(world.service) if gate.id not in before]

        return eventually(new, world.lag_s, "one more waits")[0]
