"""Reviews of a forge: asked for what is pending, seldom, and kept when the forge is gone."""

from __future__ import annotations

from typing import Any

import pytest

from cockpit.connectors.ports import Probe
from cockpit.domain.approvals import Approval, ApprovalRule
from cockpit.domain.errors import Unreachable
from cockpit.domain.facts import Fact
from cockpit.domain.policy import Rules
from cockpit.domain.release import Environment, Service, Version
from cockpit.services import status
from cockpit.services.connections import Connected, Connections
from cockpit.services.notices import Notices
from cockpit.services.reviews import ReviewsJob
from cockpit.services.store import Store
from cockpit.services.sync import Sync
from tests.fakes.running import FakeMain, InlineRunner

SERVICE = Service("gw", "repo", live_version="1.0.0")
VERSIONS = tuple(Version("gw", name, f"v{name}", name[0] * 40, at) for name, at in (("1.0.0", 1), ("2.0.0", 2)))


class Forge:
    """Answers one approval for each version that it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.error: Exception | None = None

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        self.asked.append(tuple(v.name for v in versions))
        if self.error is not None:
            raise self.error
        return tuple(Approval("gw", v.name, "", v.commit, "", "bo@x", "Bo", True, "", 5, source="forge") for v in versions)

    def probe(self) -> Probe:
        return Probe("forge")


class Rig:
    def __init__(self, clock: Any) -> None:
        self.main, self.store, self.forge = FakeMain(clock), Store(), Forge()
        self.store.apply(services=(SERVICE,), environments=(Environment("production"),))
        connected = Connected("forge", "Forge", "forge", ("Reviews",), ("gw",), self.forge)
        connections = Connections()
        connections.replace((connected,))
        sync = Sync(self.main, InlineRunner(self.main), self.store, Notices(clock), clock)
        sync.begin(connections, {"forge": ReviewsJob(connected, self.store, clock, 60.0)}, 2.0, 60.0)


@pytest.fixture
def rig(fake_clock: Any) -> Rig:
    return Rig(fake_clock)


def test_only_what_is_pending_is_asked_for_and_seldom(rig: Rig) -> None:
    rig.store.apply(versions={"gw": Fact(VERSIONS, 0, "git", 1e9)})
    rig.main.run_for(29)
    assert rig.forge.asked == [("2.0.0",)] * 2
    assert [a.who for a in rig.store.state.reviews["gw"].value] == ["bo@x"]


def test_nothing_pending_asks_nothing(rig: Rig) -> None:
    rig.main.run_for(29)
    assert rig.forge.asked == []
    assert rig.store.state.reviews == {}


def test_a_forge_that_is_gone_leaves_what_it_said(rig: Rig) -> None:
    rig.store.apply(versions={"gw": Fact(VERSIONS, 0, "git", 1e9)})
    rig.main.run_for(1)
    rig.forge.error = Unreachable("refused")
    rig.main.run_for(40)
    assert len(rig.forge.asked) > 1
    assert rig.store.state.reviews["gw"].value
    assert rig.store.state.sources["forge"].problem is not None


def test_a_review_of_the_commit_counts_in_every_environment_until_its_rule_wants_signatures(rig: Rig) -> None:
    rig.store.apply(versions={"gw": Fact(VERSIONS, 0, "git", 1e9)})
    rig.main.run_for(1)
    old = Approval("gw", "2.0.0", "", "f" * 40, "", "cy@x", "Cy", True, "", 5, source="forge")
    fact = rig.store.state.reviews["gw"]
    rig.store.apply(reviews={"gw": Fact((*fact.value, old), fact.at_us, "forge", 60.0)})
    version = Version("gw", "2.0.0", "v2.0.0", "2" * 40, 2, "d" * 64)
    given = {}
    for signed in (False, True):
        rules = Rules(approvals={"production": ApprovalRule(required=1, apart=frozenset(), signed=signed)})
        found = status.decision(rig.store.state, version, "production", rules, 10)
        given[signed] = {v.approval.who: v.counts for v in found.votes}
    assert given == {False: {"bo@x": True, "cy@x": False}, True: {"bo@x": False, "cy@x": False}}
