"""Readiness, plans and refusals, the version to go back to, and the legal steps of an action."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cockpit.domain.approvals import Decision
from cockpit.domain.checks import CheckState, Summary
from cockpit.domain.facts import Fact, place
from cockpit.domain.readiness import Readiness, Reason, readiness
from cockpit.domain.release import Artifact, Changes, Deployment, DeployState, Environment, Fleet, Node, NodeStep, Version
from cockpit.domain.rollout import (
    TRANSITIONS,
    Action,
    ActionState,
    Facts,
    LineState,
    Refusal,
    RolloutPlan,
    expected_s,
    last_good,
    plan,
)

NOW = 1_000_000_000
TARGET = Version("gateway", "1.1", "v1.1", "c1", 0, "d1")
PRODUCTION = Environment("production", 2, True, 1, "staging")


def fleet(*digests: str, healthy: bool | None = True, active: Deployment | None = None) -> Fleet:
    nodes = tuple(Node(f"n{i}", "gateway", "production", f"v-{d}", "c", d, healthy) for i, d in enumerate(digests))
    return Fleet("gateway", "production", nodes, active)


def deployment(
    number: int, digest: str, state: DeployState = DeployState.SUCCEEDED, kind: str = "deploy", came_from: str = "", seconds: float = 10
) -> Deployment:
    start = number * 100_000_000
    return Deployment(
        *(str(number), f"k{number}", "gateway", "production", f"v-{digest}", digest, kind, state),
        from_digest=came_from,
        started_at_us=start,
        finished_at_us=start + round(seconds * 1e6),
    )


def facts(**changes: object) -> Facts:
    known = Facts(
        now_us=NOW,
        fleet=Fact(fleet("d2", "d2", "d2", "d2"), NOW),
        artifacts=Fact((Artifact("gateway", "1.1", "c1", "d1"),), NOW),
        history=Fact((deployment(1, "d1"), deployment(2, "d2")), NOW),
        versions=Fact((TARGET,), NOW),
        changes=Changes("v1.2", "v1.1", total_in=3),
    )
    return replace(known, **changes)


def refused(kind: str, known: Facts, target: Version | None = TARGET, ready: Readiness | None = None) -> tuple[str, ...]:
    found = plan(kind, "gateway", "production", target, known, ready or Readiness())
    assert isinstance(found, Refusal)
    return tuple(reason.text for reason in found.reasons)


def planned(kind: str, known: Facts) -> RolloutPlan:
    found = plan(kind, "gateway", "production", TARGET, known, Readiness())
    assert isinstance(found, RolloutPlan), found
    return found


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (facts(fleet=None), "is not known"),
        (facts(fleet=Fact(fleet("d2"), NOW - 60_000_000)), "is not known"),
        (facts(artifacts=None), "whether the artifact of 1.1 still exists is not known"),
        (facts(artifacts=Fact((), NOW)), "the artifact of 1.1 is gone"),
        (facts(fleet=Fact(fleet("d1", "d1"), NOW)), "runs there already on all 2 nodes"),
        (facts(fleet=Fact(fleet(), NOW)), "there are no nodes here"),
        (facts(fleet=Fact(fleet("d2", active=deployment(9, "d9", DeployState.RUNNING)), NOW)), "a deploy to v-d9 is under way"),
        (facts(busy="a rollback is under way here"), "a rollback is under way here"),
    ],
)
def test_what_is_wrong_or_not_known_refuses(known: Facts, words: str) -> None:
    for kind in ("deploy", "rollback"):
        assert any(words in reason for reason in refused(kind, known))


def test_no_target_is_refused_in_its_own_words() -> None:
    assert refused("rollback", facts(), None)[0] == "no earlier good version is known here"
    assert refused("deploy", facts(), None)[0] == "choose a version first"


def test_reasons_against_a_deployment_come_first() -> None:
    assert refused("deploy", facts(), ready=Readiness((Reason("checks", "tests are failed"),))) == ("tests are failed",)


def test_a_rollback_needs_no_git_and_works_on_a_mixed_and_ill_fleet() -> None:
    mixed = fleet("d2", "d2", "d2", "d1", healthy=False)
    found = planned("rollback", facts(versions=None, changes=None, history=None, fleet=Fact(mixed, NOW)))
    assert {line.state for line in found.preflight} == {LineState.OK, LineState.WARNING}
    assert found.expected_s is None
    assert found.changes is None


def test_a_finished_deployment_does_not_stand_in_the_way() -> None:
    assert planned("deploy", facts(fleet=Fact(fleet("d2", active=deployment(9, "d9", DeployState.FAILED)), NOW)))


def test_a_plan_says_everything() -> None:
    found = planned("rollback", facts())
    assert (found.from_version, found.from_digest, found.target, found.nodes) == ("v-d2", "d2", TARGET, ("n0", "n1", "n2", "n3"))
    assert found.expected_s == 10.0
    assert all(line.at_us for line in found.preflight)
    assert "3 commits leave" in [line.text for line in found.preflight]


def test_a_plan_stays_the_same_while_only_ages_change() -> None:
    before = planned("rollback", facts())
    later = facts(now_us=NOW + 5_000_000, fleet=Fact(fleet("d2", "d2", "d2", "d2"), NOW + 4_000_000))
    assert planned("rollback", later).facts == before.facts
    assert planned("rollback", facts(fleet=Fact(fleet("d2", "d2", "d2", "d3"), NOW))).facts != before.facts


@pytest.mark.parametrize(
    ("history", "live", "expected"),
    [
        ((), "d1", None),
        ((deployment(1, "d1"),), "d1", None),
        ((deployment(1, "d1"), deployment(2, "d2")), "d2", "d1"),
        ((deployment(1, "d1"), deployment(2, "d2"), deployment(3, "d3")), "d3", "d2"),
        ((deployment(3, "d3"), deployment(1, "d1"), deployment(2, "d2")), "d3", "d2"),
        ((deployment(1, "d1"), deployment(2, "d2", DeployState.FAILED), deployment(3, "d3")), "d3", "d1"),
        ((deployment(1, "d1"), deployment(2, "d2", DeployState.ABORTED)), "d2", "d1"),
        # gone back from d3 to d2: neither is the next one to go back to
        ((deployment(1, "d1"), deployment(2, "d2"), deployment(3, "d3"), deployment(4, "d2", kind="rollback", came_from="d3")), "d2", "d1"),
        # whoever began to leave d3 meant it, even though that rollback failed
        (
            (deployment(1, "d1"), deployment(3, "d3"), deployment(4, "d1", DeployState.FAILED, "rollback", "d3"), deployment(5, "d5")),
            "d5",
            "d1",
        ),
        # deployed again after the rollback: somebody made it good
        ((deployment(1, "d1"), deployment(2, "d1", kind="rollback", came_from="d3"), deployment(3, "d3"), deployment(4, "d4")), "d4", "d3"),
    ],
)
def test_the_version_to_go_back_to(history: tuple[Deployment, ...], live: str, expected: str | None) -> None:
    found = last_good(history, fleet(live, live))
    assert (found and found.digest) == expected


def test_a_mixed_fleet_goes_back_to_one_good_version() -> None:
    half_way = (deployment(1, "d1"), deployment(2, "d2"), deployment(3, "d3", DeployState.FAILED))
    found = last_good(half_way, fleet("d3", "d2", "d2"))
    assert found is not None
    assert found.digest == "d2", "what most of them run still is the good one"
    stuck_on_the_way_back = (*half_way[:2], deployment(4, "d1", DeployState.FAILED, "rollback", "d2"))
    found = last_good(stuck_on_the_way_back, fleet("d1", "d2", "d2"))
    assert found is not None
    assert found.digest == "d1"


def test_the_expected_time_comes_from_deployments_that_succeeded() -> None:
    assert expected_s(()) is None
    assert expected_s((deployment(1, "d1", DeployState.FAILED, seconds=500),)) is None
    assert expected_s(tuple(deployment(n, "d", seconds=n) for n in range(1, 11))) == 9.0


def action(state: ActionState) -> Action:
    return Action("k", "rollback", "gateway", "production", "1.2", "d2", "1.1", "d1", "you", state, NOW)


@pytest.mark.parametrize("state", list(ActionState))
@pytest.mark.parametrize("following", list(ActionState))
def test_only_legal_steps_are_taken(state: ActionState, following: ActionState) -> None:
    if following is state or following in TRANSITIONS[state]:
        assert action(state).to(following).state is following
    else:
        with pytest.raises(ValueError, match="cannot become"):
            action(state).to(following)


def test_an_unknown_outcome_is_no_end_and_never_becomes_failed_by_itself() -> None:
    assert not ActionState.UNKNOWN.final
    assert ActionState.FAILED not in TRANSITIONS[ActionState.UNKNOWN]
    finals = {s for s in ActionState if s.final}
    assert finals == {ActionState.DONE, ActionState.FAILED, ActionState.ABORTED, ActionState.REFUSED, ActionState.NOT_SENT}


READY = Summary(CheckState.PASSED)


def staged(*digests: str, name: str = "1.0") -> Fleet:
    names = {TARGET.digest: TARGET.name}
    return Fleet("gateway", "staging", tuple(Node(f"s{i}", "gateway", "staging", names.get(d, name), "", d) for i, d in enumerate(digests)))


THERE = staged(TARGET.digest, TARGET.digest)


@pytest.mark.parametrize(
    ("version", "checks", "decision", "before", "words"),
    [
        (replace(TARGET, digest=""), READY, Decision(0), THERE, "digest is missing"),
        (TARGET, Summary(CheckState.PENDING), Decision(0), THERE, "tests are pending"),
        (TARGET, Summary(CheckState.FAILED, ("unit: failed",)), Decision(0), THERE, "unit: failed"),
        (TARGET, READY, Decision(1, (), ("0 of 1 approvals given",)), THERE, "0 of 1 approvals"),
        (TARGET, READY, Decision(0), staged("d0", "d0"), "staging comes first: it runs 1.0"),
        (TARGET, READY, Decision(0), staged(TARGET.digest, TARGET.digest, "d0"), "staging comes first: its nodes do not agree"),
        (TARGET, READY, Decision(0), staged(TARGET.digest, ""), "its nodes do not agree"),
        (TARGET, READY, Decision(0), staged("d0", name=TARGET.name), f"it runs another artifact of {TARGET.name}"),
        (TARGET, READY, Decision(0), staged(""), "it runs not known"),
        (TARGET, READY, Decision(0), staged(), "it runs nothing"),
        (TARGET, READY, Decision(0), None, "it runs not known"),
    ],
)
def test_what_is_not_ready_says_why(version: Version, checks: Summary, decision: Decision, before: Fleet | None, words: str) -> None:
    found = readiness(version, PRODUCTION, checks, decision, before)
    assert not found.ok
    assert words in found.reasons[0].text


def test_ready_is_ready_and_the_first_environment_waits_for_none() -> None:
    assert readiness(TARGET, PRODUCTION, READY, Decision(0), THERE).ok
    assert readiness(TARGET, Environment("staging"), READY, Decision(0), None).ok


def test_facts_know_their_age() -> None:
    fact = Fact("x", NOW, deadline_s=5.0)
    assert fact.age_s(NOW + 2_000_000) == 2.0
    assert fact.age_s(NOW - 2_000_000) == 0.0
    assert not fact.stale(NOW + 5_000_000)
    assert fact.stale(NOW + 5_000_001)
    assert place("gateway", "production") == "gateway@production"


def on(
    number: int, digest: str, *nodes: str, kind: str = "deploy", came_from: str = "", state: DeployState = DeployState.SUCCEEDED
) -> Deployment:
    """A deployment that names its nodes; of one that failed the last node stayed as it was."""
    done = [NodeStep(n, "done" if state is DeployState.SUCCEEDED or n != nodes[-1] else "failed", digest) for n in nodes]
    return replace(deployment(number, digest, state, kind, came_from), steps=tuple(done))


ALL = ("n0", "n1", "n2", "n3")


@pytest.mark.parametrize(
    ("history", "runs", "good"),
    [
        # a canary under way or given up: never forward to what only some nodes ran
        ((on(1, "d1", *ALL), on(2, "d2", *ALL), on(3, "d3", "n0")), ("d3", "d2", "d2", "d2"), "d2"),
        ((on(1, "d1", *ALL), on(2, "d2", *ALL), on(3, "d3", "n0"), on(4, "d2", "n0", kind="rollback", came_from="d2")), ("d2",) * 4, "d1"),
        ((on(1, "d1", *ALL), on(2, "d2", *ALL), on(3, "d3", "n0"), on(4, "d2", *ALL, kind="rollback", came_from="d2")), ("d2",) * 4, "d1"),
        ((on(2, "d2", *ALL), on(3, "d3", "n0")), ("d3", "d2", "d2", "d2"), "d2"),
        ((on(3, "d3", "n0"),), ("d3", "d2", "d2", "d2"), ""),
        # a canary that came to its end is as good as a deployment of all
        ((on(1, "d1", *ALL), on(2, "d2", "n0"), on(3, "d2", "n1", "n2", "n3"), on(4, "d3", *ALL)), ("d3",) * 4, "d2"),
        # some nodes came later
        ((on(1, "d1", "n0", "n1"), on(2, "d2", "n0", "n1"), on(3, "d3", *ALL)), ("d3",) * 4, "d2"),
        # a system that tells nothing of nodes, or names them otherwise
        ((deployment(1, "d1"), deployment(2, "d2")), ("d2",) * 4, "d1"),
        ((deployment(1, "d1"), on(2, "d2", "n0")), ("d2", "d1", "d1", "d1"), "d1"),
        ((on(1, "d1", "x", "y"), on(2, "d2", "x", "y")), ("d2",) * 4, "d1"),
        # what failed half way was on the first nodes only
        ((on(1, "d1", *ALL), on(2, "d2", *ALL, state=DeployState.FAILED)), ("d2", "d2", "d2", "d1"), "d1"),
    ],
)
def test_the_way_back_leads_to_what_ran_on_all_nodes(history: tuple[Deployment, ...], runs: tuple[str, ...], good: str) -> None:
    found = last_good(history, fleet(*runs))
    assert (found.digest if found else "") == good


def test_what_is_held_is_never_gone_back_to() -> None:
    history = (on(1, "d1", *ALL), on(2, "d2", *ALL), on(3, "d3", *ALL))
    found = last_good(history, fleet(*("d3",) * 4), frozenset({"d2"}))
    assert found is not None
    assert found.digest == "d1"
