"""Which comparisons the cards need, read before anyone asks, and what they mean for versions to go to instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.facts import Fact, place
from cockpit.domain.policy import Rules
from cockpit.domain.release import Changes, Commit, Deployment, DeployState
from cockpit.domain.reversibility import parse
from cockpit.services import status, ways
from cockpit.services.bounds import CHANGES, pruned
from cockpit.services.connections import Connected
from cockpit.services.jobs import SourceJob
from cockpit.services.store import changes_key
from tests.fakes.rig import D1, D3, Rig

ONE_WAY = Commit("x", "Bob", "bob@example.org", 1, "new ids", rollback="one-way: new ids")


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Rig]:
    made = Rig(tmp_path, fake_clock)
    yield made
    made.database.close()


def on_18(rig: Rig) -> None:
    """1.8.0 runs, 1.6.0 was good before it."""
    at = place("gw", "prod")
    past = rig.store.state.deployments[at]
    rig.store.merge("deployments", {at: replace(past, value=past.value[1:])})
    rig.change(nodes=lambda i, n: replace(n, version="1.8.0", commit="c8", digest=D3))
    rig.store.apply(changes={})


def wanted(rig: Rig, rules: Rules | None = None) -> list[tuple[str, str]]:
    return [(base, head) for _, base, head in ways.wanted(rig.store.state, rules or Rules(), "gw", "prod")]


def test_nothing_known_wants_nothing(rig: Rig) -> None:
    rig.store.apply(fleets={})
    assert wanted(rig) == []
    rig.fill()
    rig.store.apply(deployments={})
    assert wanted(rig) == []


def test_the_way_from_every_version_that_runs_is_wanted(rig: Rig) -> None:
    assert wanted(rig) == [("c6", "c7")]
    rig.change(nodes=lambda i, n: replace(n, version="1.8.0", commit="c8", digest=D3) if i == 0 else n)
    # a mixed fleet goes back to what most of it runs: only one node has anything to leave
    assert wanted(rig) == [("c7", "c8")]


def test_other_ways_are_wanted_only_where_this_one_is_closed(rig: Rig) -> None:
    on_18(rig)
    assert wanted(rig) == [("c6", "c8")]
    rig.commits("c6", "c8", replace(ONE_WAY, rollback="safe"))
    assert wanted(rig) == [("c6", "c8")]
    rig.commits("c6", "c8", ONE_WAY)
    assert wanted(rig) == [("c6", "c8"), ("c7", "c8")]


def test_the_policy_closes_a_way_too(rig: Rig) -> None:
    on_18(rig)
    rules = Rules(declared={"gw": {"1.7.0": parse("one-way: rewrites")}})
    assert wanted(rig, rules) == [("c6", "c8"), ("c7", "c8")]
    elsewhere = Rules(declared={"md": {"1.7.0": parse("one-way: rewrites")}})
    assert wanted(rig, elsewhere) == [("c6", "c8")]


def test_the_job_reads_the_way_back_first_and_what_is_open_besides(rig: Rig) -> None:
    on_18(rig)
    rig.store.merge("versions", {"gw": rig.store.state.versions["gw"]})
    asked: list[tuple[str, str]] = []

    class Source:
        def fingerprint(self) -> str:
            return "1"

        def versions(self, service: Any) -> Any:
            return rig.store.state.versions["gw"].value

        def changes(self, service: Any, base: str, head: str) -> Changes:
            asked.append((base, head))
            return Changes(base, head, (ONE_WAY,), (), 1, 0)

    connected = Connected("git", "git", "git", ("SourceControl",), ("gw",), Source())
    job = SourceJob(connected, rig.store, rig.clock, 30.0)
    for _ in range(3):
        assert job.apply(job.prepare()()) is None
    assert asked[0] == ("c6", "c8")
    assert ("c7", "c8") in asked, "the way back is closed, so the next one is read"
    assert len(asked) == len(set(asked)), "nothing is read twice"
    assert "go forward" in rig.refused("rollback")


def test_what_the_card_needs_is_not_forgotten(rig: Rig) -> None:
    on_18(rig)
    rig.commits("c6", "c8", ONE_WAY)
    rig.commits("c7", "c8", ONE_WAY)
    needed = dict(rig.store.state.changes)
    later = {changes_key("gw", f"a{n}", f"b{n}"): Fact(Changes("", ""), rig.clock() + n + 1) for n in range(CHANGES + 20)}
    rig.store.merge("changes", later)
    kept = pruned(rig.store.state, ())["changes"]
    assert len(kept) == CHANGES
    assert needed.keys() <= kept.keys()


def test_a_moved_tag_leads_to_the_commit_of_the_artifact_that_was_good(rig: Rig) -> None:
    versions = rig.store.state.versions["gw"]
    moved = tuple(replace(v, commit="other") if v.name == "1.6.0" else v for v in versions.value)
    rig.store.merge("versions", {"gw": replace(versions, value=moved)})
    good = ways.good_target(rig.store.state, "gw", "prod")
    assert good is not None
    assert (good.name, good.commit, good.digest, good.tag) == ("1.6.0", "c6", D1, "")
    assert rig.plan("rollback", "1.6.0").target.digest == D1, "by its name the way leads there too"


def test_the_newest_that_ran_is_the_newest_by_version_and_unknown_without_history(rig: Rig) -> None:
    fleet = rig.store.state.fleets["gw@prod"].value
    target = status.version_of(rig.store.state, "gw", "1.6.0")
    assert target is not None
    failed = Deployment("9", "", "gw", "prod", "1.10.0", "da", "deploy", DeployState.FAILED)
    found = ways.way_back(rig.store.state, Rules(), fleet, (failed,), target, rig.clock())
    assert found.newest == "1.10.0", "what failed ran on some node"
    assert ways.way_back(rig.store.state, Rules(), fleet, None, target, rig.clock()).newest is None


def test_between_reads_a_comparison_from_either_end(rig: Rig) -> None:
    state = rig.store.state
    assert ways.between(state, "gw", "c7", "c7") == Changes("c7", "c7")
    assert ways.between(state, "gw", "", "c7") is None
    assert ways.between(state, "gw", "c1", "c2") is None
    there, back = ways.between(state, "gw", "c7", "c8"), ways.between(state, "gw", "c8", "c7")
    assert there is not None
    assert back is not None
    assert (back.commits, back.missing, back.total_out) == (there.missing, there.commits, 1)
