"""The preflight's questions, one by one: what blocks, what may be insisted on, and that nothing unknown reads as ok."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cockpit.domain.approvals import Decision
from cockpit.domain.calendar import Freeze, Freezes
from cockpit.domain.checks import CheckState, Summary
from cockpit.domain.facts import Fact
from cockpit.domain.lines import moment
from cockpit.domain.preflight import Surroundings
from cockpit.domain.preflight_way import WayBack, automatic_line, rollback_of_rollback
from cockpit.domain.readiness import Gates, Readiness, readiness
from cockpit.domain.release import Artifact, Changes, Commit, Deployment, DeployState, Environment, Fleet, Node, Service, Version
from cockpit.domain.reversibility import parse
from cockpit.domain.rollout import Facts, Line, LineState, Refusal, RolloutPlan, plan
from cockpit.domain.statements import Hold, Override

NOW = 1_795_000_000_000_000
MIN = 60_000_000
TARGET = Version("gw", "1.6.0", "v1.6.0", "c6", 0, "d6")
PROD = Environment("prod", 2, True, 2)


def commit(number: int, rollback: str = "safe", *files: str) -> Commit:
    return Commit(f"c{number}", "A", "a@x", number, f"change {number}", files=files, rollback=rollback)


def changes(*commits: Commit, back: tuple[Commit, ...] = ()) -> Changes:
    return Changes("c6", "c7", commits, back, len(commits), len(back))


def around(**fields: Any) -> Surroundings:
    known = Surroundings(
        service=Service("gw"),
        environment=PROD,
        decision=Decision(0),
        checks=Fact(Summary(CheckState.PASSED), NOW),
        gates=Gates(Freezes()),
        way=WayBack({"1.7.0": changes(commit(1))}, {}, "1.7.0"),
    )
    return replace(known, **fields)


def facts(**fields: Any) -> Facts:
    nodes = tuple(Node(f"n{i}", "gw", "prod", "1.7.0", "c7", "d7", True) for i in range(3))
    known = Facts(
        now_us=NOW,
        fleet=Fact(Fleet("gw", "prod", nodes), NOW),
        artifacts=Fact((Artifact("gw", "1.6.0", "c6", "d6"),), NOW),
        history=Fact((), NOW),
        versions=Fact((TARGET,), NOW),
        changes=changes(commit(1)),
        around=around(),
    )
    return replace(known, **fields)


def planned(kind: str, **fields: Any) -> RolloutPlan:
    found = plan(kind, "gw", "prod", TARGET, facts(around=around(**fields)), Readiness())
    assert isinstance(found, RolloutPlan), found
    return found


def line(kind: str, words: str, **fields: Any) -> Line:
    found = plan(kind, "gw", "prod", TARGET, facts(around=around(**fields)), Readiness())
    told = [one for one in found.preflight if words in one.text]
    assert len(told) == 1, [o.text for o in found.preflight]
    return told[0]


def refusals(kind: str, **fields: Any) -> list[str]:
    found = plan(kind, "gw", "prod", TARGET, facts(around=around(**fields)), Readiness())
    return [reason.text for reason in found.reasons] if isinstance(found, Refusal) else []


def test_a_plan_without_anything_against_it_is_all_ok() -> None:
    for kind in ("deploy", "rollback"):
        found = planned(kind)
        assert {one.state for one in found.preflight} == {LineState.OK}
        assert (found.insists, found.emergency) == ((), False)
        assert all(one.at_us == NOW for one in found.preflight), "every line has its age"


# -- the way back ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rollback", "deploy"])
def test_a_one_way_change_that_leaves_refuses_and_offers_what_is_possible(kind: str) -> None:
    way = WayBack({"1.7.0": changes(commit(3), commit(2, "one-way: drops column X"))}, {}, "1.7.0")
    (reason,) = refusals(kind, way=way)
    assert "drops column X, by c2 change 2" in reason
    assert "go forward with a correction" in reason
    nearer = Version("gw", "1.6.5", "v1.6.5", "c65", 0, "d65")
    farther = Version("gw", "1.6.2", "v1.6.2", "c62", 0, "d62")
    others = ((nearer, {"1.7.0": changes(commit(3))}), (farther, {"1.7.0": changes(commit(3), commit(2, "one-way: drops column X"))}))
    (reason,) = refusals(kind, way=replace(way, others=others))
    assert "1.6.5 can be gone back to without crossing it" in reason
    unread = ((nearer, {"1.7.0": None}),)
    (reason,) = refusals(kind, way=replace(way, others=unread))
    assert "go forward with a correction" in reason, "what is not known is not offered"


def test_a_commit_that_leaves_a_single_node_counts_too() -> None:
    way = WayBack({"1.7.0": changes(commit(1)), "1.8.0": changes(commit(8, "one-way: new ids"), commit(1))}, {}, "1.8.0")
    assert "new ids" in refusals("rollback", way=way)[0]


def test_the_policy_closes_a_way_with_git_down() -> None:
    way = WayBack({"1.7.0": None}, {"1.7.0": parse("one-way: rewrites the book")}, "1.7.0")
    assert "rewrites the book, by version 1.7.0" in refusals("rollback", way=way)[0]
    before = WayBack({"1.7.0": changes()}, {"1.6.0": parse("one-way: long past")}, "1.7.0")
    assert refusals("rollback", way=before) == []


def test_a_promise_that_has_run_out_closes_the_way() -> None:
    ended = commit(1, "safe until 2026-01-01")
    assert "that date has passed" in refusals("rollback", way=WayBack({"1.7.0": changes(ended)}, {}, "1.7.0"))[0]
    ended = commit(1, "safe until 1.6.5")
    assert "1.7.0 ran since" in refusals("rollback", way=WayBack({"1.7.0": changes(ended)}, {}, "1.7.0"))[0]


def test_with_git_down_a_rollback_asks_for_a_reason_and_is_not_refused() -> None:
    service = Service("gw", config_paths=("conf",), contract_paths=("api.yaml",))
    found = planned("rollback", way=WayBack({"1.7.0": None}, {}, "1.7.0"), service=service)
    assert len(found.insists) == 3
    assert all("not known" in words for words in found.insists)
    cut = Changes("c6", "c7", (commit(1),), (), 700, 0)
    assert len(planned("rollback", way=WayBack({"1.7.0": cut}, {}, "1.7.0")).insists) == 1
    unsure = WayBack({"1.7.0": changes(commit(1, "safe until 1.7.0"))}, {}, None)
    assert "what ran since is not known" in planned("rollback", way=unsure).insists[0]


def test_what_comes_in_on_the_way_back_is_counted_too() -> None:
    known = facts(changes=changes(commit(1), back=(commit(2), commit(3))))
    found = plan("rollback", "gw", "prod", TARGET, known, Readiness())
    assert "1 commit leaves, 2 come in" in [one.text for one in found.preflight]


def test_undeclared_is_shown_as_undeclared() -> None:
    mixed = WayBack({"1.7.0": changes(commit(1, ""), commit(2), commit(3, "perhaps"))}, {}, "1.7.0")
    found = line("rollback", "of the way back", way=mixed)
    assert (found.state, found.insist) == (LineState.WARNING, False)
    assert found.text == "2 of 3 commits declare nothing of the way back, and “perhaps” cannot be read"


def test_before_a_deployment_it_is_said_that_there_is_no_way_back_afterwards() -> None:
    forward = WayBack({"1.5.0": changes(back=(commit(6, "one-way: new ids"),))}, {}, "1.5.0")
    assert line("deploy", "no way back afterwards: new ids", way=forward).state is LineState.WARNING
    forward = WayBack({"1.5.0": changes(back=(commit(6, ""),))}, {}, "1.5.0")
    assert line("deploy", "1 of 1 commit that come declares nothing", way=forward).state is LineState.WARNING
    policy = WayBack({"1.5.0": changes()}, {"1.6.0": parse("one-way: x")}, "1.5.0")
    assert line("deploy", "no way back afterwards: x", way=policy).state is LineState.WARNING


# -- configuration and contract ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "file", "hit"),
    [
        (("conf",), "conf/a.toml", True),
        (("conf/",), "conf/deep/a.toml", True),
        (("conf",), "confetti/a.toml", False),
        (("conf/a.toml",), "conf/a.toml", True),
        (("*.yaml",), "api/v1.yaml", True),
        (("conf",), "src/conf/a.toml", False),
    ],
)
@pytest.mark.parametrize("leaves", [True, False])
def test_files_that_leave_or_come_in_are_named(paths: tuple[str, ...], file: str, hit: bool, leaves: bool) -> None:
    touched = commit(1, "safe", file)
    way = WayBack({"1.7.0": changes(touched) if leaves else changes(back=(touched,))}, {}, "1.7.0")
    for service, words in ((Service("gw", config_paths=paths), "configuration"), (Service("gw", contract_paths=paths), "the API contract")):
        found = line("rollback", words, service=service, way=way)
        assert found.state is (LineState.WARNING if hit else LineState.OK)
        assert (file in found.text) is hit


# -- what readiness decides --------------------------------------------------------------------------------------------------

FROZEN = Freezes(now=(Freeze("daily expiry", NOW - MIN, NOW + 30 * MIN, "venue rule"),), safe=(NOW + 30 * MIN, NOW + 300 * MIN))
HARD = Freezes(now=(Freeze("month end", NOW - MIN, NOW + 30 * MIN, hard=True), *FROZEN.now))
PASSED = Override("gw", "prod", "ada@x", "clients lose orders", NOW - MIN, NOW + 10 * MIN)
HELD = Hold("gw", "prod", "1.6.0", "d6", "p99 doubled", "eve@x", NOW - MIN)


@pytest.mark.parametrize(
    ("freezes", "override", "state", "words"),
    [
        (FROZEN, None, LineState.BLOCKED, "daily expiry (venue rule); next safe window from"),
        (FROZEN, PASSED, LineState.WARNING, "passed by ada@x until"),
        (HARD, PASSED, LineState.BLOCKED, "no override passes it"),
        (Freezes(unknown=("holidays",)), None, LineState.UNKNOWN, "holidays does not answer"),
        (Freezes(unknown=("holidays",)), PASSED, LineState.WARNING, "passed by ada@x"),
        (Freezes(unknown=("holidays",), closed=("holidays",)), PASSED, LineState.UNKNOWN, "its freezes are hard, no override passes them"),
        (Freezes(next=FROZEN.now[0]), None, LineState.OK, "the next is daily expiry"),
    ],
)
def test_a_freeze_blocks_a_deployment_and_says_so_before_a_rollback(
    freezes: Freezes, override: Override | None, state: LineState, words: str
) -> None:
    gates = Gates(freezes, override)
    found = line("deploy", words, gates=gates)
    assert (found.state, found.place) == (state, "freezes")
    summary = Summary(CheckState.PASSED)
    ready = readiness(TARGET, replace(PROD, after=""), summary, Decision(0), None, gates)
    assert ready.ok is (state in (LineState.OK, LineState.WARNING)), "the line and the one answer agree"
    back = planned("rollback", gates=gates)
    assert back.insists == ()
    (said,) = [one for one in back.preflight if one.place == "freezes"]
    assert said.state is (LineState.OK if state is LineState.OK else LineState.WARNING)
    assert ("rollback is exempt" in said.text) is (state is not LineState.OK)


def test_a_deployment_that_would_run_into_the_next_freeze_is_warned_of_by_its_time() -> None:
    soon = Freezes(next=Freeze("daily expiry", NOW + 2 * MIN, NOW + 50 * MIN))
    found = line("deploy", "it would still be under way when daily expiry begins", gates=Gates(soon, duration_s=121.0))
    assert (found.state, found.place, found.insist) == (LineState.WARNING, "freezes", False)
    assert moment(NOW + 2 * MIN) in found.text
    assert line("deploy", "the next is daily expiry", gates=Gates(soon, duration_s=119.0)).state is LineState.OK
    assert line("rollback", "the next is daily expiry", gates=Gates(soon, duration_s=121.0)).state is LineState.OK


def test_what_must_come_first_is_said_in_one_way() -> None:
    there = Fleet("gw", "staging", (Node("s0", "gw", "staging", "1.5.0", "c5", "d5", True),))
    after = replace(PROD, after="staging")
    for before, state in ((Fact(there, NOW), LineState.BLOCKED), (None, LineState.UNKNOWN)):
        ready = readiness(TARGET, after, Summary(CheckState.PASSED), Decision(0), before.value if before else None)
        known = facts(around=around(environment=after, before=before))
        answer = plan("deploy", "gw", "prod", TARGET, known, ready)
        assert isinstance(answer, Refusal)
        (reason,) = answer.reasons
        assert reason.text.startswith("staging comes first: it runs")
        assert [one.state for one in answer.preflight if "staging" in one.text] == [state]
        assert [one.text for one in answer.preflight if "staging" in one.text] == [reason.text]


def test_an_artifact_that_is_missing_is_said_once() -> None:
    target = replace(TARGET, digest="")
    ready = readiness(target, replace(PROD, after=""), Summary(CheckState.PASSED), Decision(0), None)
    answer = plan("deploy", "gw", "prod", target, facts(), ready)
    assert isinstance(answer, Refusal)
    assert [r.text for r in answer.reasons] == ["no artifact of 1.6.0 is known: its digest is missing"]


def test_an_artifact_that_does_not_say_its_commit_is_a_warning() -> None:
    ready = readiness(TARGET, replace(PROD, after=""), Summary(CheckState.PASSED), Decision(0), None)
    nameless = Fact((Artifact("gw", "1.6.0", "", "d6"),), NOW)
    answer = plan("deploy", "gw", "prod", TARGET, facts(artifacts=nameless), ready)
    line = next(one for one in answer.preflight if "artifact" in one.text)
    assert (line.state, line.text) == (LineState.WARNING, "artifact d6 exists; it does not say from which commit it was built")


def test_a_held_version_is_refused_until_it_is_cleared() -> None:
    gates = Gates(Freezes(), None, HELD)
    ready = readiness(TARGET, PROD, Summary(CheckState.PASSED), Decision(0), None, gates)
    assert [(r.place, "held by eve@x" in r.text and "p99 doubled" in r.text) for r in ready.reasons] == [("approvals", True)]
    assert line("deploy", "is held by eve@x", gates=gates).insist is False
    assert line("rollback", "is held by eve@x", gates=gates).insist is False, "nobody deploys it again, not even by going back to it"
    assert any("held by eve@x" in words for words in refusals("rollback", gates=gates))


def test_approvals_are_said_and_never_required_of_a_rollback() -> None:
    missing = Decision(2, (), ("0 of 2 approvals given",))
    assert line("rollback", "a rollback needs none", decision=missing).state is LineState.OK
    found = line("deploy", "0 of 2 approvals given", decision=missing)
    assert (found.state, found.insist) == (LineState.BLOCKED, False)
    alone = line("deploy", "one person acts alone", decision=missing, emergency=True)
    assert (alone.state, alone.insist) == (LineState.BLOCKED, True)
    found_plan = planned("deploy", decision=missing, emergency=True)
    assert (found_plan.emergency, len(found_plan.insists)) == (True, 1)


@pytest.mark.parametrize(
    ("checks", "state"),
    [
        (None, LineState.UNKNOWN),
        (Fact(Summary(CheckState.PASSED), NOW - 40_000_000), LineState.UNKNOWN),
        (Fact(Summary(CheckState.INCONCLUSIVE), NOW), LineState.UNKNOWN),
        (Fact(Summary(CheckState.RUNNING), NOW), LineState.BLOCKED),
        (Fact(Summary(CheckState.FAILED, ("unit: failed",)), NOW), LineState.BLOCKED),
    ],
)
def test_tests_that_did_not_pass_never_read_as_ok(checks: Fact[Summary] | None, state: LineState) -> None:
    assert [one.state for one in planned("deploy", checks=checks).preflight if one.place == "checks"] == [state]
    back = planned("rollback", checks=checks)
    assert [one.state for one in back.preflight if one.place == "checks"] == [LineState.WARNING]
    assert back.insists == ()


# -- lock, automatic, rollback of a rollback ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
def test_the_lock(kind: str) -> None:
    assert "is locked: eve@x since 10:00" in refusals(kind, locked=True, lock=Fact("eve@x since 10:00", NOW))[0]
    assert line(kind, "the environment is free", locked=True, lock=Fact("", NOW)).state is LineState.OK
    for lock in (None, Fact("", NOW - 40_000_000), Fact("eve", NOW - 40_000_000)):
        assert "cannot be taken" in planned(kind, locked=True, lock=lock).insists[0]
    assert all("lock" not in one.text for one in planned(kind, lock=Fact("eve", NOW)).preflight), "asked only where it is needed"


@pytest.mark.parametrize(("tells", "words"), [(True, "it is told to leave 1.7.0 alone"), (False, "switch that off there")])
def test_a_system_that_deploys_by_itself_is_named_before(tells: bool, words: str) -> None:
    fleet = replace(facts().fleet.value, automatic="auto-promote follows main")  # type: ignore[union-attr]
    found = plan("rollback", "gw", "prod", TARGET, facts(fleet=Fact(fleet, NOW), around=around(tells_hold=tells)), Readiness())
    assert isinstance(found, RolloutPlan)
    (said,) = [one for one in found.preflight if "auto-promote" in one.text]
    assert said.state is LineState.WARNING
    assert words in said.text


def past(number: int, version: str, kind: str, came_from: str = "", state: DeployState = DeployState.SUCCEEDED) -> Deployment:
    digest, left = f"d{version[2]}", f"d{came_from[2]}" if came_from else ""
    return Deployment(str(number), "", "gw", "prod", version, digest, kind, state, "", "", came_from, left, number)


def fleet_of(*digests: str) -> Fleet:
    return Fleet("gw", "prod", tuple(Node(f"n{i}", "gw", "prod", f"1.{d[1]}.0", "", d) for i, d in enumerate(digests)))


BACK = past(3, "1.6.0", "rollback", "1.7.0")


@pytest.mark.parametrize(
    ("target", "history", "fleet", "words"),
    [
        ("1.7.0", (BACK,), fleet_of("d6", "d6"), "a rollback of a rollback: 1.6.0 runs here because somebody went back from 1.7.0"),
        ("1.5.0", (BACK,), fleet_of("d6", "d6"), "a second rollback in a row"),
        ("1.5.0", (past(3, "1.6.0", "rollback", "1.7.0", DeployState.FAILED),), fleet_of("d7", "d6"), "a second rollback in a row"),
        ("1.6.0", (past(3, "1.6.0", "rollback", "1.7.0", DeployState.FAILED),), fleet_of("d7", "d6"), ""),
        ("1.5.0", (past(3, "1.6.0", "rollback", "1.7.0", DeployState.ABORTED),), fleet_of("d7", "d7"), ""),
        ("1.5.0", (BACK, past(4, "1.8.0", "deploy")), fleet_of("d8", "d8"), ""),
        ("1.6.0", (past(2, "1.7.0", "deploy"),), fleet_of("d7"), ""),
        ("1.6.0", (), fleet_of("d7"), ""),
    ],
)
def test_a_rollback_of_a_rollback_needs_a_person_who_insists(target: str, history: Any, fleet: Fleet, words: str) -> None:
    found = rollback_of_rollback(Version("gw", target, "", "", 0, f"d{target[2]}"), history, fleet)
    assert found.startswith(words) if words else found == ""


def test_insisting_is_asked_for_and_only_for_a_rollback() -> None:
    known = facts(fleet=Fact(fleet_of("d7", "d7"), NOW), history=Fact((past(3, "1.7.0", "rollback", "1.6.0"),), NOW))
    found = plan("rollback", "gw", "prod", TARGET, known, Readiness())
    assert isinstance(found, RolloutPlan)
    assert "a rollback of a rollback" in found.insists[0]


# -- whatever is known or not ------------------------------------------------------------------------------------------------

OPTIONAL = st.fixed_dictionaries(
    {
        "fleet": st.sampled_from([None, Fact(fleet_of("d7", "d7"), NOW), Fact(fleet_of("d7", "d6"), NOW), Fact(fleet_of("d7"), 0)]),
        "artifacts": st.sampled_from([None, facts().artifacts, Fact((), NOW), Fact((), 0)]),
        "history": st.sampled_from([None, Fact((), NOW), Fact((past(3, "1.7.0", "rollback", "1.6.0"),), NOW)]),
        "versions": st.sampled_from([None, facts().versions]),
        "around": st.sampled_from(
            [
                None,
                around(),
                around(way=WayBack({"1.7.0": None})),
                around(locked=True),
                around(checks=None, gates=Gates(HARD, PASSED, HELD), decision=Decision(1, (), ("0 of 1 approvals given",))),
            ]
        ),
    }
)


@given(st.sampled_from(["deploy", "rollback"]), OPTIONAL)
def test_whatever_is_not_known_no_line_says_ok_of_it(kind: str, fields: dict[str, Any]) -> None:
    found = plan(kind, "gw", "prod", TARGET, facts(**fields), Readiness())
    stale = fields["fleet"] is None or fields["fleet"].stale(NOW)
    if stale or fields["artifacts"] is None or fields["artifacts"].stale(NOW):
        assert isinstance(found, Refusal)
    for one in found.preflight:
        assert one.text
        assert not (one.insist and not one.open)
        if "not known" in one.text:
            assert one.state is not LineState.OK
    if isinstance(found, RolloutPlan) and kind == "rollback":
        open_ = [one for one in found.preflight if one.open]
        assert all(one.insist for one in open_), "nothing refuses by itself in a plan"
        assert len(found.insists) == len(open_)


@pytest.mark.parametrize(
    ("automatic", "words"),
    [
        ("gw 1.7.0, the newest that is not held", "it is told to leave 1.7.0 alone"),
        ("gw v1.7.0", "it is told to leave 1.7.0 alone"),
        ("gw 1.8.0, the newest that is not held", "it is told to leave 1.7.0 alone, which is not what it names: it may deploy that again"),
        ("gw 11.7.0", "it may deploy that again"),
        ("gw 1.7.0-rc1", "it may deploy that again"),
        ("gw 1.7.0.1", "it may deploy that again"),
        ("gw 1.6.0", "what it names is the version that is gone back to"),
    ],
)
def test_it_is_said_truly_whether_what_it_would_deploy_is_held(automatic: str, words: str) -> None:
    fleet = replace(facts().fleet.value, automatic=automatic)  # type: ignore[union-attr]
    found = plan("rollback", "gw", "prod", TARGET, facts(fleet=Fact(fleet, NOW), around=around(tells_hold=True)), Readiness())
    assert isinstance(found, RolloutPlan)
    (said,) = [one for one in found.preflight if "deploys by itself" in one.text]
    assert said.state is LineState.WARNING
    assert words in said.text
    assert ("may deploy that again" in said.text) == ("may deploy" in words)


def test_whatever_newer_some_node_runs_is_held_too() -> None:
    nodes = (*facts().fleet.value.nodes, Node("n3", "gw", "prod", "1.8.0", "c8", "d8", True))  # type: ignore[union-attr]
    line = automatic_line(Fleet("gw", "prod", nodes, automatic="gw 1.8.0"), TARGET, NOW, tells_hold=True)
    assert "it is told to leave 1.8.0 alone" in line.text
    assert "may deploy" not in line.text
    gone = automatic_line(Fleet("gw", "prod", automatic="gw 1.8.0"), TARGET, NOW, tells_hold=True)
    assert "leave what runs alone" in gone.text


def test_shares_of_the_traffic_that_a_rollout_left_are_said_before_a_rollback() -> None:
    words = "traffic shares of a stopped rollout still hold: n0 10 %"
    assert line("rollback", "traffic shares", shares=words).state is LineState.WARNING
    assert all(words != one.text for one in planned("deploy", shares=words).preflight)
