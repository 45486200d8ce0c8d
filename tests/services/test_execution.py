"""Write actions through every state: refused, unknown, settled, followed, verified, taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, OutcomeUnknown, RateLimited, Rejected, StorageError, Unreachable
from cockpit.domain.fingerprint import prove
from cockpit.domain.release import Deployment, DeployState, Fleet, Node
from cockpit.domain.rollout import Action, ActionState, LineState
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.notices import Notices, Severity
from cockpit.services.outcomes import taken_up
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.running import FakeMain, InlineRunner

OLD, NEW = "a" * 64, "b" * 64


class Api:
    """A deployment system in memory whose answers a test scripts; it counts the POSTs that reached it."""

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.by_key: dict[str, Deployment] = {}
        self.forgetful = False  # keys and ids are not found; the history has them
        self.digest = OLD
        self.post_error: Exception | None = None
        self.receives = True
        self.read_error: Exception | None = None
        self.final: DeployState = DeployState.SUCCEEDED
        self.nodes = 2
        self.odd_node = ""

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        if self.receives:
            self.posts.append(key)
            self.by_key[key] = Deployment(
                "d1", key, request.service, request.environment, request.version, request.digest, request.kind, DeployState.RUNNING
            )
        if self.post_error is not None:
            raise self.post_error
        return self.by_key[key]

    def find(self, key: str) -> Deployment | None:
        if self.read_error is not None:
            raise self.read_error
        return None if self.forgetful else self.by_key.get(key)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        if self.read_error is not None:
            raise self.read_error
        return tuple(d for d in self.by_key.values() if (d.service, d.environment) == (service, environment))

    def deployment(self, deployment_id: str) -> Deployment:
        if self.read_error is not None:
            raise self.read_error
        known = next((d for d in self.by_key.values() if d.id == deployment_id), None)
        if known is None or self.forgetful:
            raise NotFound("no such deployment")
        return known

    def finish(self, state: DeployState = DeployState.SUCCEEDED, message: str = "") -> None:
        for key, known in self.by_key.items():
            self.by_key[key] = replace(known, state=state, message=message)
            if state is DeployState.SUCCEEDED:
                self.digest = known.digest

    def fleet(self, service: str, environment: str) -> Fleet:
        if self.read_error is not None:
            raise self.read_error
        nodes = [Node(f"n{i}", service, environment, "", "", self.digest, True) for i in range(self.nodes)]
        if self.odd_node:
            nodes[-1] = replace(nodes[-1], digest=self.odd_node)
        return Fleet(service, environment, tuple(nodes))


class Rig:
    """An Execution over a real journal, with the clock in the test's hand."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.clock = clock
        self.main = FakeMain(clock)
        self.store = Store()
        self.notices = Notices(clock)
        self.database = open_database(folder / "cockpit.sqlite")
        self.journal = Journal(self.database, "elsewhere:1:1", clock)
        self.api = Api()
        connections = Connections()
        connections.replace((Connected("dep", "dep", "deployment-v1", ("DeploymentApi",), ("gw",), self.api),))
        parts = (self.store, InlineRunner(self.main), self.main, self.journal, connections, self.notices, clock, Pace())
        self.execution = Execution(*parts)

    def fire(self, kind: str = "rollback") -> Action:
        action = Action("key1", kind, "gw", "prod", "1.7.0", NEW, "1.6.0", NEW, "Ada <ada@x>", ActionState.INTENDED, self.clock())
        self.execution.begin(action, DeployRequest("gw", "prod", "1.6.0", NEW, kind, "Ada <ada@x>", "because"))
        self.main.settle()
        return self.now()

    def now(self) -> Action:
        return self.store.state.actions["key1"]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in reversed(self.journal.entries())]


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Rig]:
    made = Rig(tmp_path, fake_clock)
    yield made
    made.database.close()


def test_a_rollback_runs_to_its_proof(rig: Rig) -> None:
    assert rig.fire().state is ActionState.FOLLOWING
    rig.main.run_for(2)
    assert rig.now().state is ActionState.FOLLOWING
    rig.api.finish()
    rig.main.run_for(3)
    assert rig.now().state is ActionState.DONE
    assert [line.state for line in rig.now().proof] == [LineState.OK, LineState.OK, LineState.UNKNOWN]
    assert rig.kinds() == ["intent", "progress", "outcome"]
    assert rig.journal.verify().ok
    assert rig.api.posts == ["key1"]
    told = rig.notices.history[0]
    assert (told.severity, told.group, told.about) == (Severity.OK, "gw@prod", "rollback")


def test_the_intent_is_on_disk_before_the_post(rig: Rig) -> None:
    seen: list[list[str]] = []
    real = rig.api.deploy

    def deploy(request: DeployRequest, key: str) -> Deployment:
        seen.append(rig.kinds())
        return real(request, key)

    rig.api.deploy = deploy  # type: ignore[method-assign]
    rig.fire()
    assert seen == [["intent"]]


def test_without_a_journal_nothing_is_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full", hint="free some space")

    monkeypatch.setattr(rig.journal, "append", full)
    assert rig.fire().state is ActionState.NOT_SENT
    assert rig.api.posts == []
    assert "disk is full" in rig.now().message


@pytest.mark.parametrize(
    "error",
    [Rejected("busy", status=409), Rejected("no", status=422), AuthFailed("who"), NotFound("where"), RateLimited("slow", retry_after_s=9)],
)
def test_a_refusal_is_final_and_nothing_was_done(rig: Rig, error: Exception) -> None:
    rig.api.receives, rig.api.post_error = False, error
    assert rig.fire().state is ActionState.REFUSED
    rig.main.run_for(60)
    assert rig.now().state is ActionState.REFUSED
    assert rig.kinds() == ["intent", "outcome"]


@pytest.mark.parametrize("moved_s", [3600, -3600, 6])
def test_a_click_that_the_machine_slept_over_is_not_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch, moved_s: int) -> None:
    real = rig.journal.append

    def sleeps(*arguments: Any) -> Any:
        rig.clock.now_us += moved_s * 1_000_000
        return real(*arguments)

    monkeypatch.setattr(rig.journal, "append", sleeps)
    assert rig.fire().state is ActionState.NOT_SENT
    assert f"the clock moved by {moved_s:+} s after the click" in rig.now().message
    assert rig.api.posts == []


def test_a_click_that_waited_too_long_is_not_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.execution, "_pace", Pace(fresh_s=-1.0))
    assert rig.fire().state is ActionState.NOT_SENT
    assert rig.api.posts == []
    assert rig.journal.verify().ok


def test_unreachable_means_not_sent(rig: Rig) -> None:
    rig.api.receives, rig.api.post_error = False, Unreachable("refused")
    assert rig.fire().state is ActionState.NOT_SENT


@pytest.mark.parametrize("error", [OutcomeUnknown("timed out"), BadPayload("half a body"), RuntimeError("a defect")])
def test_an_answer_lost_after_sending_is_unknown_then_found(rig: Rig, error: Exception) -> None:
    rig.api.post_error, rig.api.read_error = error, Unreachable("down")
    assert rig.fire().state is ActionState.UNKNOWN
    told = next(n for n in rig.notices.history if n.title.endswith("outcome not known yet"))
    assert (told.severity, told.group) == (Severity.WARNING, "gw@prod")
    rig.main.run_for(120)
    assert rig.now().state is ActionState.UNKNOWN, "as long as nobody answers it stays unknown"
    rig.api.read_error = None
    rig.api.finish()
    rig.main.run_for(20)
    assert rig.now().state is ActionState.DONE
    assert rig.api.posts == ["key1"], "never a second POST"


def test_a_key_the_system_never_saw_ends_as_not_sent_but_not_at_once(rig: Rig) -> None:
    rig.api.receives, rig.api.post_error = False, OutcomeUnknown("reset")
    rig.fire()
    rig.main.run_for(10)
    assert rig.now().state is ActionState.UNKNOWN, "it may still be on its way"
    rig.main.run_for(10)
    assert rig.now().state is ActionState.NOT_SENT
    assert rig.kinds() == ["intent", "outcome"]


def test_an_answer_after_the_time_out_is_found(rig: Rig) -> None:
    rig.api.receives, rig.api.post_error = False, OutcomeUnknown("timed out")
    rig.fire()
    rig.main.run_for(6)
    rig.api.by_key["key1"] = Deployment("d1", "key1", "gw", "prod", "1.6.0", NEW, "rollback", DeployState.RUNNING)
    rig.main.run_for(6)
    assert rig.now().state is ActionState.FOLLOWING


@pytest.mark.parametrize(("says", "ends"), [(DeployState.FAILED, ActionState.FAILED), (DeployState.ABORTED, ActionState.ABORTED)])
def test_what_the_system_ended_ends_so(rig: Rig, says: DeployState, ends: ActionState) -> None:
    rig.fire()
    rig.api.finish(says, "node 2 did not start")
    rig.main.run_for(2)
    assert rig.now().state is ends
    assert rig.now().message == "node 2 did not start"


def test_a_silent_system_while_following_is_neither_failed_nor_done(rig: Rig) -> None:
    rig.fire()
    rig.api.read_error = Unreachable("down")
    rig.main.run_for(600)
    assert rig.now().state is ActionState.FOLLOWING
    assert "not known" in rig.now().message
    rig.api.read_error = None
    rig.api.finish()
    rig.main.run_for(10)
    assert rig.now().state is ActionState.DONE


def test_an_id_that_means_another_deployment_is_not_followed(rig: Rig) -> None:
    rig.fire()
    ours = rig.api.by_key.pop("key1")
    rig.api.by_key["theirs"] = replace(ours, key="theirs", service="md", state=DeployState.SUCCEEDED)
    rig.main.run_for(30)
    assert rig.now().state is ActionState.FAILED
    assert "no longer knows it" in rig.now().message
    assert rig.now().deployment is not None
    assert rig.now().deployment.service == "gw", "nothing of theirs is shown as ours"


def test_what_the_system_forgot_is_told_by_the_nodes(rig: Rig) -> None:
    rig.fire()
    rig.api.finish()
    rig.api.by_key.clear()
    rig.main.run_for(30)
    assert rig.now().state is ActionState.DONE
    assert rig.kinds()[-1] == "outcome"


def test_what_the_system_forgot_stays_open_while_nodes_say_nothing(rig: Rig) -> None:
    rig.fire()
    rig.api.by_key.clear()
    rig.api.digest = ""
    rig.main.run_for(120)
    assert rig.now().state is ActionState.FOLLOWING
    rig.api.digest = OLD
    rig.main.run_for(20)
    assert rig.now().state is ActionState.FAILED


def test_a_mixed_fleet_is_never_done(rig: Rig) -> None:
    rig.fire()
    rig.api.odd_node = OLD
    rig.api.finish()
    rig.main.run_for(20)
    assert rig.now().state is ActionState.VERIFYING
    rig.main.run_for(20)
    assert rig.now().state is ActionState.FAILED
    assert "n1 runs aaaaaaaaaaaa" in rig.now().message


def test_a_later_action_does_not_make_a_success_a_failure(rig: Rig) -> None:
    rig.fire()
    rig.api.finish()
    rig.api.digest = ""
    rig.main.run_for(3)
    assert rig.now().state is ActionState.VERIFYING
    rig.clock.now_us += 1
    later = Action("key2", "deploy", "gw", "prod", "1.6.0", NEW, "1.7.0", OLD, "Ada <ada@x>", ActionState.INTENDED, rig.clock())
    rig.execution.begin(later, DeployRequest("gw", "prod", "1.7.0", OLD, "deploy", "Ada <ada@x>"))
    rig.main.run_for(3)
    assert rig.now().state is ActionState.VERIFYING, "nodes that say nothing prove nothing"
    rig.api.digest = OLD
    rig.main.run_for(3)
    assert (rig.now().state, "a later action changed the nodes" in rig.now().message) == (ActionState.DONE, True)


def test_nodes_that_say_nothing_are_no_failure(rig: Rig) -> None:
    rig.fire()
    rig.api.finish()
    rig.api.digest = ""
    rig.main.run_for(300)
    assert rig.now().state is ActionState.VERIFYING
    assert "does not say" in rig.now().message
    rig.api.digest = NEW
    rig.main.run_for(10)
    assert rig.now().state is ActionState.DONE


def test_a_full_disk_at_the_end_leaves_the_intent_open(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.fire()
    real = rig.journal.append

    def full(kind: str, *arguments: Any, **options: Any) -> Any:
        if kind == "outcome":
            raise StorageError("the disk is full")
        return real(kind, *arguments, **options)

    monkeypatch.setattr(rig.journal, "append", full)
    rig.api.finish()
    rig.main.run_for(5)
    assert rig.now().state is ActionState.DONE, "what happened happened"
    assert [e.key for e in rig.journal.unfinished()] == ["key1"], "the record is completed at the next start"
    assert any("disk is full" in n.message for n in rig.notices.history)


def test_an_interrupted_action_is_taken_up_without_a_second_post(rig: Rig, tmp_path: Path, fake_clock: Any) -> None:
    rig.fire()
    rig.execution.close()
    api = rig.api
    api.finish()
    rig.store, rig.main = Store(), FakeMain(fake_clock)
    connections = Connections()
    connections.replace((Connected("dep", "dep", "deployment-v1", ("DeploymentApi",), ("gw",), api),))
    parts = (rig.store, InlineRunner(rig.main), rig.main, rig.journal, connections, rig.notices, fake_clock, Pace())
    again = Execution(*parts)
    fake_clock.advance(7200)
    entries = rig.journal.unfinished()
    again.recover(entries, {e.key: rig.journal.progress_of(e.key) for e in entries})
    rig.main.run_for(20)
    assert rig.now().state is ActionState.DONE
    assert api.posts == ["key1"]
    assert rig.journal.unfinished() == ()


def test_what_a_living_process_does_is_left_to_it(rig: Rig) -> None:
    from cockpit.storage.owner import process_owner

    rig.fire()
    [intent] = rig.journal.unfinished()
    assert taken_up(replace(intent, owner=process_owner()), (), rig.clock()) is None


def test_an_intent_that_does_not_read_is_left_out(rig: Rig) -> None:
    rig.fire()
    [intent] = rig.journal.unfinished()
    broken = replace(intent, detail={"key": 3}, owner=f"{intent.owner}")
    rig.clock.advance(7200)
    assert taken_up(broken, (), rig.clock()) is None


def test_proof_tells_wrong_from_silent() -> None:
    nodes = (
        Node("a", "s", "e", digest=NEW, healthy=True),
        Node("b", "s", "e", digest=OLD, healthy=True),
        Node("c", "s", "e", healthy=False),
    )
    assert [line.state for line in prove(Fleet("s", "e", nodes), NEW, 0)] == [LineState.OK, LineState.BLOCKED, LineState.UNKNOWN]
    sick = (Node("a", "s", "e", digest=NEW, healthy=False),)
    assert prove(Fleet("s", "e", sick), NEW, 0)[0].state is LineState.BLOCKED


def test_an_intent_holds_what_a_restart_needs(rig: Rig) -> None:
    action = rig.fire()
    [intent] = rig.journal.unfinished()
    again = msgspec.convert(intent.detail, Action, strict=False)
    assert (again.key, again.digest, again.service, again.environment) == (action.key, NEW, "gw", "prod")
    assert intent.detail["reason"] == "because"


def test_a_gate_that_refuses_what_it_passed_on_is_found_out(rig: Rig) -> None:
    rig.api.post_error = Rejected("the gate says 409", status=409)
    assert rig.fire().state is ActionState.FOLLOWING, "the system has it, whatever the gate says"
    rig.api.finish()
    rig.main.run_for(5)
    assert rig.now().state is ActionState.DONE


def test_a_refusal_that_cannot_be_confirmed_is_unknown(rig: Rig) -> None:
    rig.api.receives, rig.api.post_error, rig.api.read_error = False, Rejected("busy", status=409), Unreachable("down")
    assert rig.fire().state is ActionState.SENT
    rig.main.run_for(14)
    assert rig.now().state is ActionState.SENT
    rig.main.run_for(2)
    assert rig.now().state is ActionState.UNKNOWN, "whether anything was begun is not known"
    rig.main.run_for(600)
    assert rig.now().state is ActionState.UNKNOWN
    rig.api.read_error = None
    rig.main.run_for(30)
    assert rig.now().state is ActionState.NOT_SENT
    assert rig.now().message == "it was refused: busy Nothing was done."


@pytest.mark.parametrize("error", [AuthFailed("nobody gets in"), RateLimited("later", retry_after_s=600)])
def test_who_lets_nobody_in_refused_this_one_too(rig: Rig, error: Exception) -> None:
    rig.api.receives, rig.api.post_error, rig.api.read_error = False, error, error
    assert rig.fire().state is ActionState.REFUSED


def test_not_found_by_its_key_and_yet_in_the_history_is_ours(rig: Rig) -> None:
    rig.api.post_error = OutcomeUnknown("timed out")
    rig.api.forgetful = True
    assert rig.fire().state is ActionState.FOLLOWING
    rig.main.run_for(60)
    assert rig.now().state is ActionState.FOLLOWING
    rig.api.finish()
    rig.main.run_for(10)
    assert rig.now().state is ActionState.DONE


def test_a_clock_that_is_set_forward_settles_nothing(rig: Rig) -> None:
    rig.api.receives, rig.api.post_error = False, OutcomeUnknown("timed out")
    rig.fire()
    rig.clock.now_us += 3_600_000_000
    rig.main.run_for(0)
    assert rig.now().state is ActionState.UNKNOWN
    rig.api.by_key["key1"] = Deployment("d1", "key1", "gw", "prod", "1.6.0", NEW, "rollback", DeployState.RUNNING)
    rig.main.run_for(10)
    assert rig.now().state is ActionState.FOLLOWING


def test_only_the_nodes_that_were_asked_for_are_proved(rig: Rig) -> None:
    action = Action("key1", "deploy", "gw", "prod", "1.7.0", OLD, "1.6.0", NEW, "Ada <ada@x>", ActionState.INTENDED, rig.clock())
    rig.api.odd_node = OLD
    rig.execution.begin(action, DeployRequest("gw", "prod", "1.6.0", NEW, "deploy", "Ada <ada@x>", "", ("n0",)))
    rig.main.settle()
    rig.api.finish()
    rig.main.run_for(3)
    assert rig.now().state is ActionState.DONE
    assert [line.text for line in rig.now().proof] == [f"n0 runs {NEW[:12]}", "latency: not enough seen yet"]
    [intent] = [e for e in rig.journal.entries() if e.kind == "intent"]
    assert msgspec.convert(intent.detail, Action, strict=False).nodes == ("n0",)
    gone = prove(Fleet("gw", "prod", (Node("n1", "gw", "prod", digest=NEW, healthy=True),)), NEW, 0, ("n0", "n1"))
    assert [line.state for line in gone] == [LineState.UNKNOWN, LineState.OK]
