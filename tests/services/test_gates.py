"""Steps of other systems that wait for a person: polled, answered once, and settled by whether they still wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.ports import Gates
from cockpit.domain.deeds import Deed, DeedState
from cockpit.domain.errors import NotAllowed, NotFound, OutcomeUnknown, Unreachable
from cockpit.domain.gates import Gate
from cockpit.services.connections import Connected
from cockpit.services.deeds import LOOK_S, SURE_S, Deeds
from cockpit.services.gates import GateActions, gates_of
from cockpit.services.polled import GatesJob, told_by
from tests.fakes.ports import FakeGates
from tests.fakes.rig import Rig

GATE = Gate("g1", "gw", "prod", "1.8.0", "Deploy gw to prod", mine=True, asked_at_us=5)


class Gated(Rig):
    """The rig with two systems in which steps wait."""

    def __init__(self, folder: Path, clock: Any) -> None:
        super().__init__(folder, clock)
        self.forge, self.other = FakeGates(clock, (GATE,)), FakeGates(clock, (replace(GATE, id="o1", environment="", asked_at_us=2),))
        self.made = [
            Connected(name, name.capitalize(), "x", ("Gates",), ("gw",), system)
            for name, system in (("forge", self.forge), ("other", self.other))
        ]
        self.connections.replace((*self.connections.all, *self.made))
        self.deeds = Deeds(self.store, self.runner, self.main, self.journal, self.notices, clock)
        self.gates = GateActions(self.store, self.connections, self.deeds, clock)
        self.gates.who = "Ada <ada@example.org>"
        self.look()

    def look(self) -> None:
        for connected in self.made:
            job = GatesJob(connected, self.store, self.clock, 30.0)
            job.apply(job.prepare()())

    def deed(self) -> Deed:
        return max(self.store.state.deeds.values(), key=lambda d: d.at_us)

    def waiting(self, environment: str = "") -> list[tuple[str, str]]:
        return [(source, gate.id) for source, gate in gates_of(self.store.state, "gw", environment)]


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Gated]:
    made = Gated(tmp_path, fake_clock)
    yield made
    made.deeds.close()
    made.database.close()


def test_two_systems_stand_beside_each_other_the_longest_waiting_first(rig: Gated) -> None:
    assert isinstance(rig.forge, Gates)
    assert rig.waiting() == [("other", "o1"), ("forge", "g1")]
    assert rig.waiting("staging") == [("other", "o1")]


def test_each_refusal_says_why_and_nothing_is_sent(rig: Gated) -> None:
    def why(gate: Gate = GATE, approve: bool = True) -> str:
        return "; ".join(rig.gates.why_not("forge", gate, approve))

    assert why() == ""
    assert why(replace(GATE, mine=False)) == "this connection's account may not answer it"
    assert why(replace(GATE, reject=""), approve=False) == "that answer is not offered there"
    assert why(replace(GATE, id="gone")) == "it waits no longer"
    with pytest.raises(NotAllowed, match="names its reason"):
        rig.gates.decide("forge", GATE, False, " ")
    rig.clock.advance(31)
    assert why() == "whether it still waits is not known: Forge was heard 31 s ago"
    rig.gates.read_only, rig.gates.who = "this window only reads", ""
    assert why().startswith("this window only reads; it is not known who you are")
    with pytest.raises(NotAllowed, match="only reads"):
        rig.gates.decide("forge", GATE, True, "")
    assert rig.forge.count("decide") == 0


def test_an_answer_is_journaled_and_sent_once_with_its_comment(rig: Gated) -> None:
    rig.gates.decide("forge", GATE, True, " read it ")
    assert rig.gates.why_not("forge", GATE, True) == ("an answer was given already and is sent: wait for it",)
    rig.main.settle()
    deed = rig.deed()
    assert deed.state is DeedState.DONE
    assert rig.forge.calls[-1] == ("decide", GATE, True, "read it", deed.key)
    assert [(e.kind, e.action) for e in reversed(rig.journal.entries())][-2:] == [("intent", "approve-gate"), ("outcome", "approve-gate")]
    assert rig.notices.history[0].title == "Approving “Deploy gw to prod” of gw: done"
    rig.look()
    assert rig.waiting() == [("other", "o1")]


def test_a_gate_that_was_answered_meanwhile_is_refused_there(rig: Gated) -> None:
    rig.forge.hooks["decide"] = lambda *_: (_ for _ in ()).throw(NotFound("it waits no longer"))
    rig.gates.decide("forge", GATE, False, "p99")
    rig.main.settle()
    assert (rig.deed().kind, rig.deed().state, rig.deed().message) == ("reject-gate", DeedState.REFUSED, "it waits no longer")


@pytest.mark.parametrize("took", [True, False])
def test_a_lost_answer_is_settled_by_whether_it_still_waits(rig: Gated, took: bool) -> None:
    def lose(gate: Gate, *_: object) -> None:
        if took:
            rig.forge.waiting.pop(gate.id)
        rig.forge.hooks["gates"] = lambda *_: (_ for _ in ()).throw(Unreachable("gone"))
        raise OutcomeUnknown("no answer came")

    rig.forge.hooks["decide"] = lose
    rig.gates.decide("forge", GATE, True, "")
    rig.main.run_for(4 * SURE_S)
    assert rig.deed().state is DeedState.UNKNOWN
    del rig.forge.hooks["gates"]
    rig.main.run_for(SURE_S + 2 * LOOK_S)
    assert rig.deed().state is (DeedState.DONE if took else DeedState.NOT_SENT)
    assert rig.forge.count("decide") == 1


def test_what_was_answered_is_not_answered_again_before_it_was_asked_for(rig: Gated) -> None:
    rig.gates.decide("forge", GATE, True, "")
    rig.main.settle()
    assert rig.deed().state is DeedState.DONE
    assert rig.gates.why_not("forge", GATE, False) == ("it was answered from here just now; whether it still waits is being asked",)
    with pytest.raises(NotAllowed, match="just now"):
        rig.gates.decide("forge", GATE, False, "no")
    rig.forge.waiting[GATE.id] = GATE  # the next step of the same gate
    rig.clock.advance(1)
    rig.look()
    assert rig.gates.why_not("forge", GATE, True) == ()


def test_two_systems_may_use_the_same_id(rig: Gated) -> None:
    twin = replace(GATE, environment="staging", title="Another system's step")
    rig.other.waiting[twin.id] = twin
    rig.look()
    rig.gates.decide("forge", GATE, True, "")
    rig.gates.decide("other", twin, True, "")
    rig.main.settle()
    assert [system.calls[-1][1] for system in (rig.forge, rig.other)] == [GATE, twin]


def test_what_waited_at_a_connection_that_was_removed_waits_here_no_longer(rig: Gated) -> None:
    rig.store.apply(**told_by(tuple(c for c in rig.connections.all if c.id != "forge"), rig.store.state))
    assert rig.waiting() == [("other", "o1")]
