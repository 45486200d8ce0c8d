"""What a person may do: plans, refusals with their reasons, approvals, tests run again."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import NotAllowed, Rejected, StorageError
from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Deployment, DeployState, Fleet
from cockpit.domain.rollout import Action, ActionState, RolloutPlan
from cockpit.services.actions import Person
from cockpit.storage.journal import Journal
from cockpit.storage.owner import process_owner
from tests.fakes.rig import D1, D2, D3, Rig


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Rig]:
    made = Rig(tmp_path, fake_clock)
    yield made
    made.database.close()


def test_the_rollback_card_is_ready_before_anyone_asks(rig: Rig) -> None:
    plan = rig.plan("rollback")
    assert isinstance(plan, RolloutPlan)
    assert (plan.from_version, plan.target.name, plan.target.digest) == ("1.7.0", "1.6.0", D1)
    assert plan.changes is not None
    assert plan.changes.total_in == 14
    assert plan.expected_s == pytest.approx(40)
    assert plan.nodes == ("n0", "n1", "n2", "n3")


def test_a_rollback_needs_neither_tests_nor_approvals_nor_git(rig: Rig) -> None:
    rig.store.apply(checks={}, approvals=(), versions={}, changes={})
    plan = rig.plan("rollback")
    assert isinstance(plan, RolloutPlan)
    assert plan.target.digest == D1


def test_firing_sends_exactly_the_plan_once(rig: Rig) -> None:
    action = rig.actions.fire(rig.plan("rollback"), " because ")
    rig.main.settle()
    assert rig.store.state.actions[action.key].state is ActionState.FOLLOWING
    [request] = rig.systems.posts
    assert (request.digest, request.kind, request.reason, request.requested_by) == (D1, "rollback", "because", "Ada <ada@example.org>")
    with pytest.raises(NotAllowed, match="rollback of gw"):
        rig.actions.fire(_as_plan(rig))
    assert len(rig.systems.posts) == 1


def _as_plan(rig: Rig) -> RolloutPlan:
    return RolloutPlan("rollback", "gw", "prod", "1.7.0", D2, rig.version("1.6.0"), ("n0",), None, None, ())


def test_a_changed_fact_stops_the_click(rig: Rig) -> None:
    plan = rig.plan("rollback")
    fleet = rig.store.state.fleets["gw@prod"]
    nodes = tuple(replace(n, digest=D3, version="1.8.0") for n in fleet.value.nodes)
    rig.store.merge("fleets", {"gw@prod": replace(fleet, value=replace(fleet.value, nodes=nodes))})
    with pytest.raises(NotAllowed, match="what runs there"):
        rig.actions.fire(plan)
    assert rig.systems.posts == []
    assert rig.journal.entries() == ()


def test_old_facts_disarm_and_say_so(rig: Rig) -> None:
    rig.clock.advance(31)
    words = rig.refused("rollback")
    assert "not known" in words
    with pytest.raises(NotAllowed):
        rig.actions.fire(_as_plan(rig))


def test_a_deployment_of_another_service_in_the_environment_blocks(rig: Rig) -> None:
    other = Deployment("x", "", "md", "prod", "2.1.0", D3, "deploy", DeployState.RUNNING)
    rig.store.merge("fleets", {place("md", "prod"): Fact(Fleet("md", "prod", (), other), rig.clock(), "dep", 30.0)})
    assert "a deploy of md to 2.1.0 is under way" in rig.refused("rollback")
    elsewhere = rig.plan("rollback", environment="staging")
    assert all("under way" not in r.text for r in elsewhere.reasons), "another environment is free"


def test_a_lost_artifact_blocks(rig: Rig) -> None:
    gone = rig.store.state.artifacts["gw"]
    rig.store.merge("artifacts", {"gw": replace(gone, value=tuple(a for a in gone.value if a.digest != D1))})
    assert "is gone" in rig.refused("rollback")


def test_a_moved_tag_does_not_change_what_was_good(rig: Rig) -> None:
    versions = rig.store.state.versions["gw"]
    moved = tuple(replace(v, commit="other") if v.name == "1.6.0" else v for v in versions.value)
    rig.store.merge("versions", {"gw": replace(versions, value=moved)})
    assert rig.plan("rollback").target.digest == D1


def test_a_deploy_says_everything_that_stands_against_it(rig: Rig) -> None:
    rig.store.apply(checks={})
    words = rig.refused("deploy", "1.8.0")
    assert "0 of 1 approvals" in words
    assert "tests are pending" in words


def test_the_way_leads_through_staging(rig: Rig) -> None:
    rig.approve()
    fleet = rig.store.state.fleets["gw@staging"]
    old = tuple(replace(n, version="1.7.0", digest=D2) for n in fleet.value.nodes)
    rig.store.merge("fleets", {"gw@staging": replace(fleet, value=replace(fleet.value, nodes=old))})
    assert "staging comes first: it runs 1.7.0" in rig.refused("deploy", "1.8.0")


def test_without_a_name_nothing_is_fired(rig: Rig) -> None:
    rig.actions.me = Person("", "")
    assert "who you are" in rig.refused("rollback")


def test_without_a_deployment_system_the_card_says_what_is_missing(rig: Rig) -> None:
    rig.connections.replace(())
    rig.store.apply(fleets={})
    assert "deployment-v1" in rig.refused("rollback")


def test_abort_is_journaled_and_sent(rig: Rig) -> None:
    action = rig.actions.fire(rig.plan("rollback"))
    rig.main.settle()
    rig.actions.abort(action.key)
    rig.main.settle()
    assert ("abort", "d9") in rig.systems.calls
    assert "abort" in [e.action for e in rig.journal.entries()]
    with pytest.raises(NotAllowed):
        rig.actions.abort("nothing")


def test_tests_run_again_and_stop(rig: Rig) -> None:
    rig.actions.rerun_checks("r1")
    rig.actions.stop_checks("r1")
    rig.main.settle()
    assert rig.systems.calls == [("rerun", "r1"), ("stop", "r1")]
    assert [e.kind for e in rig.journal.entries()] == ["outcome", "intent", "outcome", "intent"]
    with pytest.raises(NotAllowed):
        rig.actions.rerun_checks("unknown")


def test_a_refused_rerun_is_told_and_recorded(rig: Rig) -> None:
    rig.systems.error = Rejected("the queue is full")
    rig.actions.rerun_checks("r1")
    rig.main.settle()
    assert rig.notices.history[0].message == "the queue is full"
    assert rig.journal.entries()[0].detail["message"] == "the queue is full"


def test_runs_and_logs_are_read(rig: Rig) -> None:
    logs: list[Any] = []
    rig.actions.load_run("r1")
    rig.actions.load_log("r1", "unit", logs.append)
    rig.actions.load_log("nothing", "unit", logs.append)
    rig.main.settle()
    assert rig.store.state.runs["r1"].value.state is CheckState.PASSED
    assert logs[0].error is not None
    assert logs[1].get() == "log of unit"


def test_the_journal_is_shown_exported_and_verified(rig: Rig) -> None:
    said_elsewhere(rig, True, "=SUM(A1)")
    entries = rig.actions.activity(text="sum")
    assert len(entries) == 1
    assert "prod" in rig.actions.export_activity(entries, "csv")
    assert rig.actions.export_activity(entries, "json").strip().startswith(("[", "{"))
    assert rig.actions.verify_journal().ok


def test_reading_only_refuses_everything(rig: Rig) -> None:
    rig.actions.read_only = "This window only reads."
    assert "only reads" in rig.refused("rollback")
    with pytest.raises(NotAllowed):
        rig.actions.rerun_checks("r1")


def said_elsewhere(rig: Rig, approved: bool, who: str) -> None:
    """The word of a person in a terminal, on the same journal."""
    version = rig.version()
    vote = Approval("gw", version.name, "prod", version.commit, version.digest, who, who, approved, "no good", rig.clock())
    detail = {name: getattr(vote, name) for name in vote.__struct_fields__}
    rig.journal.append("note", f"vote of {who}", "approve" if approved else "reject", who, "gw", "prod", detail)


def test_a_rejection_recorded_elsewhere_a_moment_ago_stops_the_click(rig: Rig) -> None:
    rig.approve()
    plan = rig.plan("deploy", "1.8.0")
    assert isinstance(plan, RolloutPlan)
    said_elsewhere(rig, False, "carol@example.org")
    with pytest.raises(NotAllowed, match="rejected by carol"):
        rig.actions.fire(plan)
    assert rig.systems.posts == []
    assert [e.action for e in rig.journal.entries(kinds=("intent",))] == []


def test_where_rejections_cannot_be_read_nothing_is_deployed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    said_elsewhere(rig, True, "carol@example.org")
    rig.actions.decisions.read()
    plan = rig.plan("deploy", "1.8.0")

    def broken(after_seq: int) -> Any:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(rig.journal, "decisions", broken)
    with pytest.raises(NotAllowed, match="the disk is gone"):
        rig.actions.fire(plan)
    assert rig.systems.posts == []
    rig.actions.fire(rig.plan("rollback"))
    rig.main.settle()
    assert [r.kind for r in rig.systems.posts] == ["rollback"], "the way back needs no approvals and is not held up by them"


def begun_elsewhere(rig: Rig, key: str, owner: str) -> Journal:
    journal = Journal(rig.database, owner, rig.clock)
    action = Action(key, "deploy", "gw", "staging", "1.7.0", D2, "1.8.0", D3, "Bob <bob@example.org>", ActionState.INTENDED, rig.clock())
    journal.append("intent", key, "deploy", "Bob <bob@example.org>", "gw", "staging", msgspec.to_builtins(action))
    return journal


DEAD = f"{platform.node()}:{2**22 + 1}:1"  # above the largest number that a process can have


def test_what_a_process_left_that_died_meanwhile_is_taken_up(rig: Rig) -> None:
    rig.actions.recover()
    rig.main.settle()
    begun_elsewhere(rig, "left", DEAD)
    begun_elsewhere(rig, "alive", process_owner())
    for _ in range(2):
        rig.actions.recover()
        rig.main.settle()
    assert list(rig.store.state.actions) == ["left"]
    assert [n.title for n in rig.notices.history] == ["Deploy of gw in staging to 1.8.0 was interrupted"]


def test_what_ended_while_it_was_looked_at_is_not_taken_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = begun_elsewhere(rig, "ended", DEAD)
    stale = rig.journal.unfinished()
    journal.append("outcome", "ended", "deploy", "Bob", "gw", "staging", {"state": "done"})
    monkeypatch.setattr(rig.journal, "unfinished", lambda: stale)
    rig.actions.recover()
    rig.main.settle()
    assert rig.store.state.actions == {}


def test_the_window_reads_checks_and_writes_the_journal_in_the_background(rig: Rig, tmp_path: Path) -> None:
    said_elsewhere(rig, True, "fine@example.org")
    answers: list[Any] = []
    rig.actions.load_activity("fine", ("note",), 10, answers.append)
    rig.actions.load_activity("nothing like it", (), 10, answers.append)
    rig.actions.check_journal(answers.append)
    assert answers == [], "answers come through the main thread"
    rig.main.settle()
    found, none, checked = (a.get() for a in answers)
    assert ([e.action for e in found], none, checked.ok) == (["approve"], (), True)
    assert rig.actions.entries_of(found[0].key) == found
    for name in ("j.csv", "j.JSON"):
        rig.actions.save_activity(found, str(tmp_path / name), answers.append)
    rig.actions.save_activity(found, str(tmp_path / "no" / "place.csv"), answers.append)
    rig.main.settle()
    assert isinstance(answers[-1].error, OSError)
    assert (tmp_path / "j.JSON").read_text(encoding="utf-8").strip().startswith(("[", "{"))
    assert "approve" in (tmp_path / "j.csv").read_text(encoding="utf-8")
    assert set(rig.runner.lanes) >= {"activity", "verify"}
