"""From a strategy to the steps of one fleet, orders of dependency, and the legal ways of rollouts and steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cockpit.domain.release import Fleet, Node, Version
from cockpit.domain.strategy import (
    ROLLOUT_TRANSITIONS,
    STEP_TRANSITIONS,
    Rollout,
    RolloutState,
    Step,
    StepRun,
    StepSpec,
    StepState,
    Strategy,
    expected,
    expected_now,
    inverse,
)
from cockpit.domain.strategy_plan import Problems, expand, order, set_plan, shares, weights_words

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
TARGET = Version("gw", "1.7.0", "v1.7.0", "f" * 40, 1, NEW)


def fleet(*names: str, digest: str = OLD) -> Fleet:
    return Fleet("gw", "prod", tuple(Node(n, "gw", "prod", "1.6.0", "", digest, True) for n in names))


def steps(*specs: StepSpec, on: Fleet | None = None) -> tuple[Step, ...]:
    found = expand(Strategy("s", specs), "gw", "prod", on or fleet("n1", "n2", "n3", "n10"), TARGET)
    assert not isinstance(found, Problems), found.words
    return found


def wrong(*specs: StepSpec, on: Fleet | None = None) -> str:
    found = expand(Strategy("s", specs), "gw", "prod", on or fleet("n1", "n2", "n3", "n10"), TARGET)
    assert isinstance(found, Problems), found
    return "; ".join(found.words)


def deploy(*nodes: str) -> StepSpec:
    return StepSpec("deploy", nodes)


# -- what is wrong ----------------------------------------------------------------------------------------------------------------

WRONG = [
    ((deploy("1"),), "n2, n3, n10 would not get 1.7.0: end with a deploy step of the rest"),
    ((deploy("1"), deploy("all")), "step 2: deploys to n1 again, step 1 does already; say “rest” for what is left"),
    ((deploy("5"),), "step 1: 5 nodes are asked for, 4 are left"),
    ((deploy("0"), deploy("rest")), "step 1: 0 nodes are asked for, 4 are left"),
    ((deploy("all"), deploy("rest")), "step 2: nothing is left"),
    ((deploy("green-*"), deploy("rest")), "step 1: “green-*” means no node: there are n1, n2, n3, n10"),
    ((deploy("n1*"), deploy("n?"), deploy("rest")), "step 2: deploys to n1 again, step 1 does already"),
    ((StepSpec("bake"), deploy("all")), "step 1: a bake needs its seconds"),
    ((StepSpec("gate"), deploy("all")), "step 1: a gate asks for checks, approvals, freeze, fleet, verdict"),
    ((StepSpec("gate", ask=("moon",)), deploy("all")), "not for moon"),
    ((StepSpec("mode"), deploy("all")), "step 1: a mode step names its mode: open, post-only, cancel-only"),
    ((StepSpec("dance"), deploy("all")), "step 1: “dance” is no kind of step"),
    ((StepSpec("weight", percent=10), deploy("all")), "step 1: no node is deployed to before it"),
    ((deploy("1"), StepSpec("weight", percent=101), deploy("rest")), "101 percent cannot be"),
    ((deploy("all"), StepSpec("weight", percent=50)), "all nodes together get 100 percent of the traffic, not 50"),
]


@pytest.mark.parametrize(("specs", "words"), WRONG)
def test_what_is_wrong_is_said_in_words(specs: tuple[StepSpec, ...], words: str) -> None:
    assert words in wrong(*specs)


def test_all_mistakes_are_said_at_once() -> None:
    assert len(expand(Strategy("s", (StepSpec("bake"), StepSpec("mode"), deploy("1"))), "gw", "prod", fleet("a", "b"), TARGET).words) == 3  # type: ignore[union-attr]


def test_without_nodes_or_artifact_there_are_no_steps() -> None:
    assert "no nodes of gw" in wrong(deploy("all"), on=fleet())
    found = expand(Strategy("s"), "gw", "prod", fleet("a"), replace(TARGET, digest=""))
    assert isinstance(found, Problems)
    assert "its digest is missing" in found.words[0]


def test_nodes_of_one_step_that_run_different_things_have_no_way_back() -> None:
    nodes = fleet("n1", "n2", "n3").nodes
    mixed = Fleet("gw", "prod", (*nodes[:2], replace(nodes[2], digest=OTHER, version="1.5.0")))
    assert "do not run the same (n1 runs 1.6.0, n2 runs 1.6.0, n3 runs 1.5.0)" in wrong(deploy("all"), on=mixed)
    assert [s.from_digest for s in steps(deploy("2"), deploy("rest"), on=mixed)] == [OLD, OTHER]
    silent = Fleet("gw", "prod", (replace(nodes[0], digest=""),))
    assert "n1 does not say what it runs" in wrong(deploy("all"), on=silent)


# -- what is right ----------------------------------------------------------------------------------------------------------------


def test_no_steps_mean_all_nodes_at_once() -> None:
    assert [(s.do, s.nodes) for s in steps()] == [("deploy", ("n1", "n2", "n3", "n10"))]


def test_rolling_canary_and_blue_green() -> None:
    rolling = steps(deploy("1"), deploy("1"), deploy("rest"))
    assert [s.nodes for s in rolling] == [("n1",), ("n2",), ("n3", "n10")]
    assert rolling[2].undo == "n3, n10 back to 1.6.0"
    on = fleet("gw-blue-1", "gw-blue-2", "gw-green-1", "gw-green-2")
    both = steps(
        StepSpec("weight", ("*-green-*",), percent=0),
        deploy("*-green-*"),
        StepSpec("gate", ask=("checks",)),
        StepSpec("weight", percent=100),
        StepSpec("hold"),
        deploy("*-blue-*"),
        StepSpec("weight", ("all",)),
        on=on,
    )
    assert both[1].nodes == both[3].nodes == ("gw-green-1", "gw-green-2")
    assert both[5].nodes == ("gw-blue-1", "gw-blue-2")
    assert [bool(s.undo) for s in both] == [True, True, False, True, False, True, True]


def test_what_runs_the_target_already_has_nothing_to_undo() -> None:
    (step,) = steps(deploy("all"), on=fleet("a", "b", digest=NEW))
    assert step.undo == ""
    assert step.from_digest == step.digest == NEW


WORDS = st.sampled_from(["1", "2", "3", "rest", "all", "a*", "b*", "*-1", "*", "zz*"])
SPECS = st.lists(
    st.one_of(
        st.builds(lambda n: StepSpec("deploy", tuple(n)), st.lists(WORDS, max_size=3)),
        st.builds(lambda s: StepSpec("bake", seconds=s), st.floats(0, 10)),
        st.builds(lambda n, p: StepSpec("weight", tuple(n), percent=p), st.lists(WORDS, max_size=2), st.integers(0, 100)),
        st.just(StepSpec("hold")),
    ),
    max_size=6,
)
NAMES = st.lists(st.builds(lambda c, n: f"{c}-{n}", st.sampled_from("ab"), st.integers(1, 12)), unique=True, max_size=8)


@settings(max_examples=300, deadline=None)
@given(specs=SPECS, names=NAMES)
def test_every_node_is_deployed_exactly_once_or_it_is_said_why_not(specs: list[StepSpec], names: list[str]) -> None:
    found = expand(Strategy("s", tuple(specs)), "gw", "prod", fleet(*names), TARGET)
    if isinstance(found, Problems):
        assert found.words
        assert all(found.words)
        return
    covered = [n for s in found if s.do == "deploy" for n in s.nodes]
    assert sorted(covered) == sorted(names)
    again = expand(Strategy("s", tuple(specs)), "gw", "prod", fleet(*reversed(names)), TARGET)
    assert again == found, "the order in which the system names its nodes changes nothing"


@given(
    names=st.lists(st.text("abc123", min_size=1, max_size=4), unique=True, min_size=1, max_size=9),
    percent=st.integers(0, 100),
    data=st.data(),
)
def test_shares_are_whole_percent_and_together_a_hundred(names: list[str], percent: int, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True))
    found = shares(chosen, names, percent)
    assert sum(found.values()) == 100
    assert set(found) == set(names)
    assert min(found.values()) >= 0
    if 0 < len(chosen) < len(names):
        assert sum(found[n] for n in chosen) == percent


# -- order ------------------------------------------------------------------------------------------------------------------------


def test_what_others_need_goes_first_and_back_last() -> None:
    needs = {"gateway": ("risk>=3.3.0", "market"), "risk": ("market", "elsewhere"), "market": ()}
    assert order(("gateway", "risk", "market"), needs) == ("market", "risk", "gateway")
    made = {n: Step("deploy", n, "prod") for n in needs}
    assert [s.service for s in set_plan(made, needs)] == ["gateway", "risk", "market"]


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match="in a circle: a, which depends on b, which depends on c, which depends on a"):
        order(("x", "a", "b", "c"), {"x": ("a",), "a": ("b",), "b": ("c >= 1",), "c": ("a",)})


@given(edges=st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14))
def test_an_order_holds_every_service_once_after_what_it_needs(edges: set[tuple[int, int]]) -> None:
    names = [f"s{i}" for i in range(7)]
    needs = {n: tuple(f"s{b}" for a, b in edges if f"s{a}" == n) for n in names}
    if circular({n: {need for need in needs[n] if need != n} for n in names}):
        with pytest.raises(ValueError, match="circle"):
            order(names, needs)
        return
    found = order(names, needs)
    assert sorted(found) == names
    assert all(found.index(need) < found.index(n) for n in names for need in needs[n] if need != n)


def circular(needs: dict[str, set[str]]) -> bool:
    """Whether something is left when all that need nothing are taken away again and again."""
    while free := {n for n, wanted in needs.items() if not wanted}:
        needs = {n: wanted - free for n, wanted in needs.items() if n not in free}
    return bool(needs)


# -- states -----------------------------------------------------------------------------------------------------------------------


def test_only_legal_steps_are_taken() -> None:
    for state in RolloutState:
        rollout = Rollout("k", "deploy", "t", (), "x", state=state)
        for wanted in RolloutState:
            if wanted is state or wanted in ROLLOUT_TRANSITIONS[state]:
                assert rollout.to(wanted).state is wanted
            else:
                with pytest.raises(ValueError, match="cannot become"):
                    rollout.to(wanted)
    for step_state in StepState:
        run = StepRun(Step("deploy", "s", "e"), step_state)
        for wanted_state in StepState:
            if wanted_state is step_state or wanted_state in STEP_TRANSITIONS[step_state]:
                assert run.to(wanted_state).state is wanted_state
            else:
                with pytest.raises(ValueError, match="cannot become"):
                    run.to(wanted_state)


def test_final_states_are_those_without_a_way_on() -> None:
    assert {s for s in RolloutState if s.final} == {RolloutState.DONE, RolloutState.FAILED, RolloutState.BACK, RolloutState.ABORTED}
    assert not any(s.final for s in (RolloutState.PAUSED, RolloutState.RUNNING, RolloutState.GOING_BACK))


def test_expected_says_what_each_node_should_run_and_nothing_of_those_under_way() -> None:
    made = steps(deploy("1"), deploy("1"), deploy("rest"))
    runs = (StepRun(made[0], StepState.DONE), StepRun(made[1], StepState.RUNNING), StepRun(made[2]))
    rollout = Rollout("k", "deploy", "t", runs, "x")
    assert expected(rollout, "gw", "prod") == {"n1": NEW, "n3": OLD, "n10": OLD}
    assert expected(rollout, "gw", "staging") == {}
    assert expected_now((replace(rollout, state=RolloutState.DONE),), "gw", "prod") == {}
    undone = replace(rollout, steps=(StepRun(made[0], StepState.UNDONE), *runs[1:]))
    assert expected_now((undone,), "gw", "prod")["n1"] == OLD
    assert rollout.current == 1
    assert rollout.places == (("gw", "prod"),)
    assert expected(replace(rollout, kind="rollback"), "gw", "prod") == {"n1": NEW}
    assert expected(replace(rollout, rehearsal=True), "gw", "prod") == {}


def test_the_inverse_of_a_step_puts_back_what_was_there() -> None:
    (step,) = steps()
    back = inverse(step)
    assert (back.version, back.digest, back.from_digest, back.nodes) == ("1.6.0", OLD, NEW, step.nodes)
    assert inverse(back) == replace(step, undo="")


# -- shares of the traffic that are left behind ------------------------------------------------------------------------------


def weighed(state: RolloutState, at_us: int, *runs: tuple[StepState, tuple[str, ...], int], **fields: Any) -> Rollout:
    held = (("n1", 50), ("n2", 50))
    steps = tuple(StepRun(Step("weight", "gw", "prod", nodes=n, percent=p, from_weights=held), s) for s, n, p in runs)
    return Rollout(f"k{at_us}", "deploy", "canary", steps, "Rae", state=state, started_at_us=at_us, **fields)


DONE_10 = (StepState.DONE, ("n1",), 10)


@pytest.mark.parametrize(
    ("rollouts", "words"),
    [
        ((), ""),
        ((weighed(RolloutState.ABORTED, 1, DONE_10),), "a stopped rollout still hold: n1 10 %, n2 90 %; before it: n1 50 %, n2 50 %"),
        ((weighed(RolloutState.FAILED, 1, (StepState.FAILED, ("n1",), 10)),), "a failed rollout may still hold: n1 10 %"),
        ((weighed(RolloutState.ABORTED, 1, (StepState.UNDONE, ("n1",), 10)),), ""),
        ((weighed(RolloutState.ABORTED, 1, (StepState.WAITING, ("n1",), 10)),), ""),
        ((weighed(RolloutState.ABORTED, 1, DONE_10, (StepState.DONE, ("n1", "n2"), 100)),), ""),
        ((weighed(RolloutState.ABORTED, 1, DONE_10, (StepState.UNDONE, ("n1", "n2"), 100)),), "n1 10 %"),
        ((weighed(RolloutState.ABORTED, 1, DONE_10, rehearsal=True),), ""),
        ((weighed(RolloutState.RUNNING, 1, DONE_10),), ""),
        ((weighed(RolloutState.DONE, 1, DONE_10),), ""),
        ((weighed(RolloutState.BACK, 2, (StepState.UNDONE, ("n1",), 10)), weighed(RolloutState.ABORTED, 1, DONE_10)), ""),
        ((weighed(RolloutState.DONE, 2), weighed(RolloutState.ABORTED, 1, DONE_10)), "n1 10 %"),
    ],
)
def test_shares_that_a_rollout_left_behind(rollouts: tuple[Rollout, ...], words: str) -> None:
    said = weights_words(rollouts, "gw", "prod")
    assert words in said
    assert bool(words) == bool(said)
    assert weights_words(rollouts, "gw", "staging") == weights_words(rollouts, "other", "prod") == ""
