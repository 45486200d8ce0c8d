"""The fleet as one: odd nodes by digest, configuration and flags, the proof after an action, and what differs between environments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cockpit.domain.fingerprint import Odd, fingerprint, flag_differences, fleet_line, only_set_otherwise, promotion_line, prove
from cockpit.domain.lines import LineState
from cockpit.domain.release import Fleet, Node, Version

NAMES = {"d6": "1.6.0", "d7": "1.7.0", "": ""}


def node(name: str, digest: str, config: str = "", flags: tuple[str, ...] = (), healthy: bool | None = True) -> Node:
    return Node(name, "gw", "prod", NAMES.get(digest, "x"), "c", digest, healthy, "", config, flags)


def fleet(*digests: str) -> Fleet:
    return Fleet("gw", "prod", tuple(node(f"n{i}", d) for i, d in enumerate(digests)))


def words(found: tuple[Odd, ...]) -> list[str]:
    return [odd.words for odd in found]


def test_one_of_eight_is_named() -> None:
    found = fingerprint(fleet(*["d7"] * 7, "d6"))
    assert words(found.odd) == ["n7 runs 1.6.0, the others 1.7.0"]
    assert (found.whole, found.mixed, found.total) == (False, True, 8)


def test_the_same_name_with_another_digest_is_odd() -> None:
    other = replace(node("n3", "d7"), digest="e7")
    assert words(fingerprint(Fleet("gw", "prod", (*fleet("d7", "d7").nodes, other))).odd) == ["n3 runs another artifact of 1.7.0 (e7)"]


def test_a_node_that_is_silent_is_odd_but_not_mixed() -> None:
    found = fingerprint(fleet("d7", "d7", ""))
    assert (found.whole, found.mixed) == (False, False)
    assert words(found.odd) == ["n2 does not say what it runs"]
    down = fingerprint(fleet("", ""))
    assert (down.whole, down.mixed, len(down.odd)) == (False, False, 2)
    assert not fingerprint(fleet()).whole


def test_configuration_and_flags_make_a_node_odd() -> None:
    same = [node(f"n{i}", "d7", "aa", ("X=off",)) for i in range(3)]
    found = fingerprint(Fleet("gw", "prod", (*same, node("n3", "d7", "aa", ("X=on",)))))
    assert words(found.odd) == ["n3 flag X is on here, off on the others"]
    found = fingerprint(Fleet("gw", "prod", (*same, node("n3", "d7", "bb", ("X=off", "Y=1")))))
    assert words(found.odd) == ["n3 has another configuration, flag Y is 1 here, not set on the others"]


def test_who_tells_no_configuration_is_said_and_not_taken_for_like() -> None:
    found = fingerprint(Fleet("gw", "prod", (node("n0", "d7", "aa"), node("n1", "d7", "aa"), node("n2", "d7"))))
    assert (found.whole, found.silent) == (True, ("n2",))
    assert fingerprint(fleet("d7", "d7")).silent == ()


NODES = st.lists(st.tuples(st.sampled_from(["d6", "d7", ""]), st.sampled_from(["", "aa", "bb"])), min_size=1, max_size=8)


@given(NODES)
def test_a_whole_fleet_runs_one_thing_and_an_odd_one_does_not(made: list[tuple[str, str]]) -> None:
    nodes = tuple(node(f"n{i}", d, c) for i, (d, c) in enumerate(made))
    found = fingerprint(Fleet("gw", "prod", nodes))
    configs = {c for _, c in made if c}
    assert found.whole == (len({d for d, _ in made}) == 1 and made[0][0] != "" and len(configs) <= 1)
    assert {odd.node for odd in found.odd} <= {n.name for n in nodes}
    if found.mixed:
        assert len({d for d, _ in made if d}) > 1 or len(configs) > 1


@pytest.mark.parametrize(
    ("kind", "digests", "target", "state", "insist"),
    [
        ("deploy", ("d7", "d7", "d6"), "d8", LineState.BLOCKED, False),
        ("deploy", ("d7", "d7", "d6"), "d6", LineState.BLOCKED, True),
        ("rollback", ("d7", "d7", "d6"), "d6", LineState.WARNING, False),
        ("deploy", ("d7", ""), "d8", LineState.UNKNOWN, True),
        ("rollback", ("d7", ""), "d6", LineState.WARNING, False),
        ("deploy", (), "d8", LineState.BLOCKED, False),
        ("deploy", ("d7", "d7"), "d8", LineState.OK, False),
    ],
)
def test_a_mixed_fleet_blocks_a_deployment_and_not_the_way_back(
    kind: str, digests: tuple[str, ...], target: str, state: LineState, insist: bool
) -> None:
    line = fleet_line(fleet(*digests), kind, target, 7)
    assert (line.state, line.insist, line.at_us) == (state, insist, 7)


def test_nodes_that_are_only_set_differently_block_unless_insisted() -> None:
    nodes = (node("n0", "d7", "aa"), node("n1", "d7", "aa"), node("n2", "d7", "bb"))
    line = fleet_line(Fleet("gw", "prod", nodes), "deploy", "d8", 1)
    assert (line.state, line.insist, line.text) == (LineState.BLOCKED, True, "mixed fleet: n2 has another configuration")


def test_a_rollout_under_way_explains_a_mixed_fleet() -> None:
    line = fleet_line(fleet("d6", "d6", "d7"), "deploy", "d7", 1, "“canary” is running, step 2 of 4")
    assert line.state is LineState.WARNING
    assert "step 2 of 4" in line.text


def states(lines: tuple[object, ...]) -> list[str]:
    return [str(line.state) for line in lines]  # type: ignore[attr-defined]


def test_the_proof_names_the_node_that_was_missed() -> None:
    lines = prove(fleet("d7", "d6", "d7"), "d7", 1)
    assert states(lines) == ["ok", "blocked", "ok"]
    assert "n1 runs d6" in lines[1].text


def test_the_proof_compares_with_the_plan() -> None:
    lines = prove(fleet("d7", "d7"), "d7", 1, ("n0", "n1", "n2"))
    assert [(str(line.state), line.text) for line in lines] == [
        ("unknown", "n2 is not there"),
        ("ok", "n0 runs d7"),
        ("ok", "n1 runs d7"),
    ]
    assert states(prove(fleet("d7", "d6"), "d7", 1, ("n0",))) == ["ok"], "a step of a rollout proves its own nodes"


def test_the_proof_sees_configuration_and_flags() -> None:
    nodes = (node("n0", "d7", "aa", ("X=1",)), node("n1", "d7", "aa", ("X=1",)), node("n2", "d7", "bb", ("X=1",)))
    lines = prove(Fleet("gw", "prod", nodes), "d7", 1)
    assert states(lines) == ["ok", "ok", "blocked"]
    assert lines[-1].text == "n2 has another configuration"
    assert states(prove(Fleet("gw", "prod", nodes), "d7", 1, ("n2",))) == ["blocked"], "compared with all that run it"


@pytest.mark.parametrize(
    ("healthy", "digest", "state"), [(None, "d7", "unknown"), (False, "d7", "blocked"), (True, "", "unknown"), (False, "", "unknown")]
)
def test_what_does_not_speak_proves_nothing(healthy: bool | None, digest: str, state: str) -> None:
    assert states(prove(Fleet("gw", "prod", (node("n0", digest, healthy=healthy),)), "d7", 1)) == [state]


@given(NODES)
def test_a_proof_is_ok_or_blocked_or_unknown_and_ok_only_for_the_target(made: list[tuple[str, str]]) -> None:
    nodes = tuple(node(f"n{i}", d, c) for i, (d, c) in enumerate(made))
    lines = prove(Fleet("gw", "prod", nodes), "d7", 1)
    assert all(line.state is not LineState.WARNING for line in lines)
    if all(line.state is LineState.OK for line in lines):
        assert {d for d, _ in made} == {"d7"}
        assert len({c for _, c in made if c}) <= 1


TARGET = Version("gw", "1.7.0", "v1.7.0", "c7", 7, "d7")


def test_what_differs_between_environments_is_shown() -> None:
    there = Fleet("gw", "staging", (node("s0", "d7", "aaaaaaaaaa", ("X=on",)),))
    here = Fleet("gw", "prod", (node("n0", "d6", "bbbbbbbbbb", ("X=off",)),))
    line = promotion_line("staging", there, here, TARGET, 1)
    assert line.state is LineState.WARNING
    assert "configuration (aaaaaaaa there, bbbbbbbb here), flag X is on there, off here" in line.text
    assert promotion_line("staging", there, here, replace(TARGET, digest="d8"), 1).state is LineState.BLOCKED, "never a rebuild"
    assert promotion_line("staging", None, here, TARGET, 1).state is LineState.UNKNOWN
    assert promotion_line("staging", fleet(""), here, TARGET, 1).state is LineState.UNKNOWN
    alike = replace(here, nodes=(node("n0", "d6", "aaaaaaaaaa", ("X=on",)),))
    assert promotion_line("staging", there, alike, TARGET, 1).state is LineState.OK
    assert "not told" in promotion_line("staging", fleet("d7"), here, TARGET, 1).text


def test_flags_with_odd_forms_are_compared_as_they_are() -> None:
    assert flag_differences(("A", "B=1=2"), ("B=1=2",), "here", "there") == ["flag A is  here, not set there"]


def test_a_rollback_of_the_version_is_not_said_to_change_how_nodes_are_set() -> None:
    alike = Fleet("gw", "prod", (node("n0", "d7", "aa"), node("n1", "d7", "aa"), node("n2", "d7", "bb", ("X=on",))))
    line = fleet_line(alike, "rollback", "d6", 1)
    assert line.state is LineState.WARNING
    assert "a rollback of the version does not change configuration or flags" in line.text
    assert "going back puts all nodes on one version" not in line.text
    both = Fleet("gw", "prod", (*alike.nodes, node("n3", "d6", "aa")))
    words = fleet_line(both, "rollback", "d6", 1).text
    assert "going back puts all nodes on one version; a rollback of the version does not change" in words
    assert "configuration" not in fleet_line(fleet("d7", "d7", "d6"), "rollback", "d6", 1).text


def test_nodes_that_differ_only_in_how_they_are_set_are_known_as_such() -> None:
    nodes = (node("n0", "d7", "aa"), node("n1", "d7", "aa"), node("n2", "d7", "bb"))
    assert only_set_otherwise(Fleet("gw", "prod", nodes), "d7")
    assert not only_set_otherwise(Fleet("gw", "prod", nodes), "d7", ("n0", "n1")), "the odd one is not of the plan"
    assert not only_set_otherwise(Fleet("gw", "prod", nodes[:2]), "d7")
    assert not only_set_otherwise(Fleet("gw", "prod", (*nodes, node("n3", "d6"))), "d7"), "a version that differs comes first"
    assert not only_set_otherwise(Fleet("gw", "prod", (*nodes, node("n3", "d7", "aa", healthy=None))), "d7")
    assert not only_set_otherwise(Fleet("gw", "prod"), "d7")
