"""Rollouts step by step: what fails, what is not known, who waits for whom, and the way back. Fakes at the ports only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed, OutcomeUnknown, Rejected, StorageError, Unreachable
from cockpit.domain.release import Deployment, DeployState
from cockpit.domain.rollout import ActionState, LineState, Refusal
from cockpit.domain.strategy import Rollout, RolloutState, StepSpec, StepState, Strategy
from cockpit.services.clock import Jumps
from cockpit.services.notices import Severity
from tests.fakes.ports import digest_of
from tests.fakes.rolling import CANARY, ENVIRONMENT, Desk, Estate, failing

ROLLING = Strategy("rolling", (StepSpec("deploy", ("1",)), StepSpec("deploy", ("1",)), StepSpec("deploy", ("rest",))))


@pytest.fixture
def estate(tmp_path: Path, fake_clock: Any) -> Estate:
    return Estate(tmp_path, fake_clock)


@pytest.fixture
def desk(estate: Estate) -> Iterator[Desk]:
    made = Desk(estate)
    yield made
    made.close()


@pytest.fixture
def open_desk(estate: Estate) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def build(**options: Any) -> Desk:
        made.append(Desk(estate, **options))
        return made[-1]

    yield build
    for one in made:
        one.close()


def failed_once(estate: Estate, post: int) -> None:
    """The deployment of this POST fails after its first node; the others do not."""

    def follow(deployment_id: str) -> Deployment | None:
        begun = [d for d in estate.api._deployments.values() if d.key]
        if len(begun) == post and begun[-1].id == deployment_id:
            estate.api._deployments[deployment_id] = replace(begun[-1], state=DeployState.FAILED, message="the node does not come up")
        return None

    estate.api.hooks["deployment"] = follow


def test_a_canary_runs_all_its_steps_and_waits_at_its_hold(desk: Desk) -> None:
    key = desk.begin()
    rollout = desk.run(key)
    assert desk.words(key) == "done done done done done held waiting waiting waiting"
    assert desk.estate.runs("gateway") == {"gateway-1": "1.2.0", "gateway-2": "1.1.0", "gateway-3": "1.1.0"}
    assert desk.estate.traffic.shares == {"gateway-1": 30, "gateway-2": 35, "gateway-3": 35}
    assert desk.estate.venue.modes == ["open", "post-only"]
    assert rollout.steps[0].step.from_mode == "open"
    desk.main.run_for(600)
    assert desk.words(key).count("held") == 1
    desk.rollouts.go_on(key)
    assert desk.finish(key).state is RolloutState.DONE
    assert set(desk.estate.runs("gateway").values()) == {"1.2.0"}
    assert desk.estate.traffic.shares == {"gateway-1": 34, "gateway-2": 33, "gateway-3": 33}
    assert desk.estate.venue.modes == ["open", "post-only", "open"]
    assert [p.nodes for p in desk.estate.posts] == [("gateway-1",), ("gateway-2", "gateway-3")]
    assert [p.kind for p in desk.estate.posts] == ["deploy", "deploy"]
    kinds = [e.kind for e in reversed(desk.journal.entries()) if e.action == "rollout"]
    assert kinds[0] == "intent"
    assert kinds[-1] == "outcome"
    assert kinds.count("outcome") == 1
    assert desk.journal.verify().ok


def test_the_fleet_is_mixed_on_purpose_and_the_rollout_says_which_node_runs_what(desk: Desk) -> None:
    key = desk.begin()
    desk.run(key)
    new, old = digest_of("gateway 1.2.0"), digest_of("gateway 1.1.0")
    assert desk.rollouts.expected("gateway", ENVIRONMENT) == {"gateway-1": new, "gateway-2": old, "gateway-3": old}
    assert desk.rollouts.expected("risk", ENVIRONMENT) == {}
    desk.finish(key)
    assert desk.rollouts.expected("gateway", ENVIRONMENT) == {}


def test_a_step_that_fails_stops_the_rollout_where_it_stands(desk: Desk) -> None:
    failed_once(desk.estate, 1)
    key = desk.begin()
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.FAILED
    assert "step 2 of 9 failed" in rollout.message
    assert desk.words(key) == "done failed" + " waiting" * 7
    assert len(desk.estate.posts) == 1
    assert desk.notices.history[0].severity is Severity.ERROR


def test_a_rollout_that_failed_can_go_back_as_one_of_its_own(desk: Desk) -> None:
    failed_once(desk.estate, 1)
    key = desk.begin()
    desk.finish(key)
    desk.rollouts.back(key, "leave it")
    again = next(k for k in desk.store.state.rollouts if k != key)
    assert desk.finish(again).state is RolloutState.BACK
    assert desk.estate.venue.modes[-1] == "open"
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}
    assert desk.rollout(key).state is RolloutState.FAILED
    assert {e.key for e in desk.journal.entries() if e.action == "rollout" and e.kind == "outcome"} == {key, again}


def test_a_set_goes_back_in_reverse_order_of_dependency(desk: Desk) -> None:
    key = desk.begin_set()
    assert desk.finish(key).state is RolloutState.DONE
    assert [p.service for p in desk.estate.posts] == ["gateway", "risk", "market"]
    assert {p.kind for p in desk.estate.posts} == {"rollback"}


@pytest.mark.parametrize(("rule", "state", "market"), [("stop", RolloutState.FAILED, "1.1.0"), ("back", RolloutState.BACK, "1.1.0")])
def test_a_set_that_fails_in_the_middle_follows_its_rule(
    open_desk: Callable[..., Desk], estate: Estate, rule: str, state: RolloutState, market: str
) -> None:
    desk = open_desk(on_failure=rule)
    failed_once(estate, 2)
    key = desk.begin_set()
    assert desk.finish(key).state is state
    assert set(estate.runs("gateway").values()) == {"1.0.0" if rule == "stop" else "1.1.0"}
    assert set(estate.runs("risk").values()) == {"1.1.0"}
    assert set(estate.runs("market").values()) == {market}
    # risk failed before it changed a node: only the gateway was sent back
    assert [p.service for p in estate.posts] == ["gateway", "risk"] + (["gateway"] if rule == "back" else [])


def test_when_going_back_fails_too_it_says_what_is_not_undone_and_can_be_tried_again(
    open_desk: Callable[..., Desk], estate: Estate
) -> None:
    desk = open_desk(on_failure="back")
    attempts = {2, 3}

    def follow(deployment_id: str) -> None:
        begun = [d for d in estate.api._deployments.values() if d.key]
        if len(begun) in attempts and begun[-1].id == deployment_id:
            estate.api._deployments[deployment_id] = replace(begun[-1], state=DeployState.FAILED, message="no")

    estate.api.hooks["deployment"] = follow
    key = desk.begin_set()
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.FAILED
    assert "going back failed at step 1" in rollout.message
    assert "not undone: 1" in rollout.message
    assert set(estate.runs("gateway").values()) == {"1.0.0"}
    desk.rollouts.back(key, "again")
    again = next(k for k in desk.store.state.rollouts if k != key)
    assert desk.finish(again).state is RolloutState.BACK
    assert set(estate.runs("gateway").values()) == {"1.1.0"}


def test_unknown_waits_and_is_never_failed(desk: Desk) -> None:
    answers = [OutcomeUnknown("no answer came")]

    def lost(*_: Any) -> None:
        if answers:
            raise answers.pop()

    desk.estate.api.hooks["deploy"] = lost
    desk.estate.api.hooks["find"] = failing(Unreachable("gone"))
    key = desk.begin()
    desk.run(key, until=lambda: "unknown" in desk.words(key))
    desk.main.run_for(3600)
    assert desk.words(key).split()[1] == "unknown"
    assert desk.rollout(key).state is RolloutState.RUNNING
    desk.rollouts.back(key, "enough")
    desk.main.run_for(600)
    assert desk.rollout(key).state is RolloutState.RUNNING, "nothing is undone while it is not known what was done"
    del desk.estate.api.hooks["find"]
    assert desk.finish(key).state is RolloutState.BACK
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}


def test_not_sent_pauses_and_a_person_tries_again_with_a_new_key(desk: Desk) -> None:
    desk.estate.api.hooks["deploy"] = failing(Unreachable("refused the connection"))
    key = desk.begin()
    rollout = desk.run(key)
    assert rollout.state is RolloutState.PAUSED
    assert "nothing was sent" in rollout.message
    first = [a.key for a in desk.store.state.actions.values()]
    desk.main.run_for(3600)
    assert len(desk.store.state.actions) == 1, "nothing goes on by itself"
    del desk.estate.api.hooks["deploy"]
    desk.rollouts.go_on(key)
    desk.run(key)
    assert len(desk.store.state.actions) == 2
    assert set(first) < set(desk.store.state.actions)
    assert desk.words(key).split()[1] == "done"


def test_what_the_system_refuses_follows_the_rule(open_desk: Callable[..., Desk], estate: Estate) -> None:
    desk = open_desk(on_failure="back")

    def refuse(request: Any, _: str) -> None:
        if request.service == "risk":
            raise Rejected("that artifact is not known", status=422)

    estate.api.hooks["deploy"] = refuse
    key = desk.begin_set()
    assert desk.finish(key).state is RolloutState.BACK
    assert set(estate.runs("gateway").values()) == {"1.1.0"}
    assert [str(r.state) for r in desk.rollout(key).steps] == ["undone", "undone", "skipped"]


def test_what_the_cockpit_refuses_pauses_with_the_reasons(desk: Desk) -> None:
    real = desk.rollouts._board.hands
    desk.rollouts._board.hands = replace(real, fire=failing(NotAllowed("held: wrong fills", reasons=("held: wrong fills",))))
    key = desk.begin()
    rollout = desk.run(key)
    assert rollout.state is RolloutState.PAUSED
    assert "held: wrong fills" in rollout.message
    assert not desk.estate.posts


@pytest.mark.parametrize("lasting_s", [1.0, 60.0])
def test_what_refuses_the_next_step_for_a_moment_is_waited_for_and_then_pauses(open_desk: Callable[..., Desk], lasting_s: float) -> None:
    desk = open_desk(strategy=ROLLING)
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("running"))
    desk.refuse_deploys = "a deploy is under way"
    desk.run(key, until=lambda: desk.words(key).startswith("done"))
    desk.main.run_for(lasting_s)
    paused = desk.rollout(key).state is RolloutState.PAUSED
    assert paused is (lasting_s > 3)
    assert "a deploy is under way" in (desk.rollout(key).message or desk.rollout(key).steps[1].message)
    desk.refuse_deploys = ""
    if paused:
        desk.rollouts.go_on(key)
    assert desk.finish(key).state is RolloutState.DONE
    assert len(desk.estate.posts) == 3


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ("", RolloutState.PAUSED, "done unknown waiting"),
        ("stop", RolloutState.ABORTED, "done unknown waiting"),
        ("back", RolloutState.BACK, "undone undone skipped"),
    ],
)
def test_an_outcome_that_a_person_waits_for_no_more(open_desk: Callable[..., Desk], told: str, state: RolloutState, words: str) -> None:
    desk = open_desk(strategy=ROLLING)
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("running"))
    desk.estate.api.hooks["deploy"] = failing(OutcomeUnknown("no answer came"))
    desk.estate.api.hooks["find"] = failing(Unreachable("gone"))
    desk.run(key, until=lambda: "unknown" in desk.words(key))
    if told:
        getattr(desk.rollouts, told)(key, "enough")
    child = desk.rollout(key).steps[1].action
    desk.main.run_for(60)
    assert desk.rollout(key).state is RolloutState.RUNNING
    del desk.estate.api.hooks["deploy"]
    desk.store.merge("actions", {child: replace(desk.store.state.actions[child], let_go="Rae: looked at the node")})
    desk.run(key)
    assert (desk.rollout(key).state, desk.words(key)) == (state, words)


def test_a_defect_while_firing_is_looked_up_in_the_journal_and_never_sent_twice(desk: Desk) -> None:
    real = desk.rollouts._board.hands
    desk.rollouts._board.hands = replace(real, fire=failing(ValueError("a defect")))  # type: ignore[arg-type]
    key = desk.begin()
    rollout = desk.run(key)
    assert rollout.state is RolloutState.PAUSED
    assert "interrupted before anything was sent" in rollout.message
    desk.rollouts._board.hands = real
    desk.rollouts.go_on(key)
    desk.run(key)
    assert len(desk.estate.posts) == 1


@pytest.mark.parametrize("moved_s", [-7.0, 6.0, 3600.0])
def test_a_clock_that_jumps_pauses_every_rollout(desk: Desk, moved_s: float) -> None:
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).split()[2] == "running")
    desk.moved_s = moved_s
    rollout = desk.run(key)
    assert rollout.state is RolloutState.PAUSED
    assert "clock moved" in rollout.message
    assert desk.words(key).split()[2] == "waiting", "nobody watched: it bakes from the beginning"
    desk.main.run_for(3600)
    assert desk.rollout(key).state is RolloutState.PAUSED
    assert any("paused" in n.title for n in desk.notices.history)
    desk.rollouts.go_on(key)
    assert desk.finish(key).state is RolloutState.DONE


def test_a_clock_that_jumps_while_a_node_is_under_way_lets_it_end_and_begins_nothing_more(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(strategy=ROLLING)
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("running"))
    desk.moved_s = 90.0
    desk.main.run_for(60)
    assert desk.words(key) == "done waiting waiting"
    assert desk.rollout(key).state is RolloutState.PAUSED
    assert len(desk.estate.posts) == 1


@pytest.mark.parametrize("at", [2, 6])
def test_a_source_that_no_longer_answers_pauses_before_the_next_step(desk: Desk, at: int) -> None:
    key = desk.begin()
    if at == 6:
        desk.run(key)
        desk.seen = False
        desk.main.run_for(60)
        with pytest.raises(NotAllowed, match="not known now"):
            desk.rollouts.go_on(key)
        desk.seen = True
        desk.main.run_for(3)
        desk.rollouts.go_on(key)
        assert desk.finish(key).state is RolloutState.DONE
        return
    desk.run(key, until=lambda: desk.words(key).split()[2] == "running")
    desk.seen = False
    desk.main.run_for(30)
    rollout = desk.rollout(key)
    # the bake is over before the last answer is too old: the gate that follows asks for itself
    assert rollout.state in (RolloutState.PAUSED, RolloutState.RUNNING)
    assert len(desk.estate.posts) == 1


def test_a_bake_that_nobody_can_watch_pauses(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(
        strategy=Strategy("long", (StepSpec("deploy", ("1",)), StepSpec("bake", seconds=120.0), StepSpec("deploy", ("rest",))))
    )
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).split()[1] == "running")
    desk.seen = False
    rollout = desk.run(key)
    assert rollout.state is RolloutState.PAUSED
    assert "nobody watches" in rollout.message


def test_a_node_that_falls_ill_while_it_bakes_fails_the_step(desk: Desk) -> None:
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).split()[2] == "running")
    nodes = desk.estate.api._nodes
    nodes["gateway-1"] = replace(nodes["gateway-1"], healthy=False)
    rollout = desk.run(key)
    assert rollout.state is RolloutState.FAILED
    assert "gateway-1 is not healthy" in rollout.message


def test_a_gate_that_is_unknown_never_passes_and_says_so(desk: Desk) -> None:
    desk.answers["fleet"] = (LineState.UNKNOWN, "no node answers")
    key = desk.begin()
    desk.run(key, until=lambda: "unknown" in desk.words(key))
    desk.main.run_for(7200)
    assert desk.words(key).split()[3] == "unknown"
    assert "no node answers" in desk.rollout(key).steps[3].message
    assert any("waits" in n.title and not n.over for n in desk.notices.history)
    with pytest.raises(NotAllowed, match="does not wait for a person"):
        desk.rollouts.go_on(key)
    desk.answers.clear()
    assert desk.finish(key).state is RolloutState.DONE


def test_a_gate_that_waits_for_people_or_time_waits_and_one_that_says_no_fails(open_desk: Callable[..., Desk]) -> None:
    gate = StepSpec("gate", ask=("approvals", "freeze", "verdict"))
    desk = open_desk(strategy=Strategy("gated", (StepSpec("deploy", ("1",)), gate, StepSpec("deploy", ("rest",)))))
    desk.answers["freeze"] = (LineState.BLOCKED, "daily expiry until 08:15")
    key = desk.begin()
    desk.main.run_for(3600)
    assert desk.words(key) == "done running waiting"
    desk.answers = {"verdict": (LineState.BLOCKED, "p99 is worse")}
    desk.main.run_for(1)
    assert desk.words(key) == "done running waiting", "one look is no verdict"
    desk.answers = {"freeze": (LineState.WARNING, "a freeze begins in an hour"), "verdict": (LineState.BLOCKED, "p99 is worse")}
    assert desk.run(key).state is RolloutState.FAILED
    assert "p99 is worse" in desk.rollout(key).message


@pytest.mark.parametrize("step", range(9))
def test_going_back_from_every_step_leaves_everything_as_it_was(desk: Desk, step: int) -> None:
    key = desk.begin()

    def there() -> bool:
        return desk.rollout(key).current >= step and desk.words(key).split()[step] != "waiting"

    for _ in range(40):
        desk.run(key, until=there)
        if there() or desk.rollout(key).state.final:
            break
        desk.rollouts.go_on(key)
    desk.rollouts.back(key, "enough")
    assert desk.finish(key).state is RolloutState.BACK
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}
    assert desk.estate.traffic.shares == {"gateway-1": 34, "gateway-2": 33, "gateway-3": 33}
    assert desk.estate.venue.modes[-1] == "open"
    assert not {"running", "unknown", "failed", "held", "waiting"} & set(desk.words(key).split())


def test_stop_begins_nothing_more(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(strategy=ROLLING)
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("running"))
    desk.rollouts.stop(key, "lunch")
    assert desk.finish(key).state is RolloutState.ABORTED
    assert desk.aborted
    assert len(desk.estate.posts) == 1
    assert desk.words(key) in ("failed waiting waiting", "done waiting waiting")
    with pytest.raises(NotAllowed, match="already"):
        desk.rollouts.stop(key, "")


def test_a_step_whose_nodes_run_the_digest_already_is_done_without_a_word(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(strategy=ROLLING)
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("running"))
    nodes = desk.estate.api._nodes
    nodes["gateway-2"] = replace(nodes["gateway-2"], version="1.2.0", digest=digest_of("gateway 1.2.0"))
    desk.poll()
    assert desk.finish(key).state is RolloutState.DONE
    assert [p.nodes for p in desk.estate.posts] == [("gateway-1",), ("gateway-3",)]


@pytest.mark.parametrize("odd", ["1.1.0", "1.2.0"])
def test_a_set_makes_a_fleet_whole_of_which_most_nodes_run_the_target_already(desk: Desk, odd: str) -> None:
    nodes = desk.estate.api._nodes
    for name, version in (("gateway-1", "1.0.0"), ("gateway-2", "1.0.0"), ("gateway-3", odd)):
        nodes[name] = replace(nodes[name], version=version, digest=digest_of(f"gateway {version}"))
    desk.poll()
    key = desk.begin_set()
    assert desk.rollout(key).steps[0].step.undo == ""
    assert desk.finish(key).state is RolloutState.DONE
    assert set(desk.estate.runs("gateway").values()) == {"1.0.0"}


def test_what_was_mixed_before_is_never_called_undone(desk: Desk) -> None:
    nodes = desk.estate.api._nodes
    for name, version in (("gateway-1", "1.0.0"), ("gateway-2", "1.0.0"), ("gateway-3", "1.1.0")):
        nodes[name] = replace(nodes[name], version=version, digest=digest_of(f"gateway {version}"))
    desk.poll()
    key = desk.begin_set()
    desk.run(key, until=lambda: desk.words(key).startswith("running"))
    desk.rollouts.back(key, "no")
    rollout = desk.finish(key)
    assert rollout.state is RolloutState.FAILED
    assert "there is no one version to go back to" in rollout.message


@pytest.mark.parametrize("after_s", [0.1, 0.6, 1.1, 1.6])
def test_what_was_seen_before_a_step_ended_does_not_tell_that_it_is_undone(desk: Desk, after_s: float) -> None:
    key = desk.begin_set()
    desk.main.run_for(after_s)
    desk.rollouts.back(key, "no")
    assert desk.finish(key).state is RolloutState.BACK
    assert set(desk.estate.runs("gateway").values()) == {"1.1.0"}


def test_a_node_that_somebody_else_changed_pauses_and_wants_a_reason(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(strategy=ROLLING)
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("done"))
    nodes = desk.estate.api._nodes
    nodes["gateway-3"] = replace(nodes["gateway-3"], version="1.0.0", digest=digest_of("gateway 1.0.0"))
    desk.poll()
    rollout = desk.run(key)
    assert rollout.state is RolloutState.PAUSED
    assert "gateway-3 runs 1.0.0" in rollout.message
    with pytest.raises(NotAllowed, match="not as planned"):
        desk.rollouts.go_on(key)
    desk.rollouts.go_on(key, "that was me")
    assert desk.finish(key).state is RolloutState.DONE
    assert set(desk.estate.runs("gateway").values()) == {"1.2.0"}


@pytest.mark.parametrize("what", ["mode", "set_mode", "weights", "set_weights"])
def test_a_port_that_cannot_be_reached_pauses_and_goes_on_later(desk: Desk, what: str) -> None:
    system = desk.estate.venue if "mode" in what else desk.estate.traffic
    system.hooks[what] = failing(Unreachable("refused the connection"))
    key = desk.begin()
    assert desk.run(key).state is RolloutState.PAUSED
    assert "refused the connection" in desk.rollout(key).message
    del system.hooks[what]
    desk.rollouts.go_on(key)
    assert desk.finish(key).state is RolloutState.DONE
    assert desk.rollout(key).steps[0].step.from_mode == "open"


@pytest.mark.parametrize("took", [True, False])
def test_a_mode_that_nobody_answered_for_is_asked_for_and_not_set_again_by_itself(desk: Desk, took: bool) -> None:
    venue = desk.estate.venue

    def lost(service: str, environment: str, mode: str) -> None:
        if took:
            venue.modes.append(mode)
        raise OutcomeUnknown("no answer came")

    venue.hooks["set_mode"] = lost
    venue.hooks["mode"] = lambda *_: venue.modes[-1]
    key = desk.begin()
    desk.run(key, until=lambda: desk.words(key).startswith("unknown"))
    assert desk.words(key).startswith("unknown")
    del venue.hooks["set_mode"]
    rollout = desk.run(key, until=lambda: desk.words(key).startswith("done"))
    assert venue.count("set_mode") == 1
    if took:
        assert desk.words(key).startswith("done")
    else:
        assert rollout.state is RolloutState.PAUSED
        assert "open still holds" in rollout.message


def test_a_venue_that_says_no_fails_the_step(desk: Desk) -> None:
    desk.estate.venue.hooks["set_mode"] = failing(Rejected("auction under way"))
    key = desk.begin()
    assert desk.finish(key).state is RolloutState.FAILED
    assert not desk.estate.posts


def test_where_the_port_is_missing_the_plan_is_refused_beforehand(desk: Desk) -> None:
    desk.ports = False
    refused = desk.rollouts.plan("gateway", ENVIRONMENT)
    assert isinstance(refused, Refusal)
    words = " ".join(r.text for r in refused.reasons)
    assert "step 1 switches the venue's mode" in words
    assert "step 5 shares the traffic" in words


def test_a_strategy_that_forgets_a_node_is_refused_with_the_reason(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(strategy=Strategy("half", (StepSpec("deploy", ("2",)),)))
    refused = desk.rollouts.plan("gateway", ENVIRONMENT)
    assert isinstance(refused, Refusal)
    assert "gateway-3" in refused.reasons[0].text


def test_one_rollout_at_a_time_in_an_environment(desk: Desk) -> None:
    key = desk.begin()
    desk.run(key)
    refused = desk.rollouts.plan_set("trading", ENVIRONMENT)
    assert isinstance(refused, Refusal)
    assert "go on, go back or stop it first" in refused.reasons[0].text
    desk.rollouts.stop(key, "")
    desk.main.settle()
    # stopped half way: what runs is mixed, and a rollback of the set makes it whole
    assert isinstance(desk.rollouts.plan_set("trading", ENVIRONMENT), Rollout)


def test_a_set_names_what_stands_against_each_service(desk: Desk) -> None:
    desk.refused = "risk"
    refused = desk.rollouts.plan_set("trading", ENVIRONMENT)
    assert isinstance(refused, Refusal)
    assert [r.text for r in refused.reasons] == ["risk: the artifact is gone"]
    assert isinstance(desk.rollouts.plan_set("lunch", ENVIRONMENT), Refusal)


def test_what_changed_since_the_card_was_read_is_not_begun(desk: Desk) -> None:
    drafted, planned = desk.rollouts.draft("gateway", ENVIRONMENT), desk.rollouts.plan_set("trading", ENVIRONMENT)
    assert isinstance(drafted, Rollout)
    assert isinstance(planned, Rollout)
    nodes = desk.estate.api._nodes
    for name in ("gateway-1", "gateway-2", "gateway-3"):
        nodes[name] = replace(nodes[name], version="1.0.0", digest=digest_of("gateway 1.0.0"))
    desk.poll()
    for rollout in (drafted, planned):
        with pytest.raises(NotAllowed, match="the plan changed"):
            desk.rollouts.begin(rollout, "")
    assert not desk.store.state.rollouts


def test_an_intent_that_cannot_be_recorded_sends_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.journal, "append", failing(StorageError("the disk is full")))
    key = desk.begin()
    desk.main.run_for(30)
    assert desk.rollout(key).state is RolloutState.FAILED
    assert not desk.estate.posts
    assert desk.estate.venue.modes == ["open"]


def test_a_step_that_cannot_be_recorded_is_not_begun(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    key = desk.begin()
    desk.run(key)
    whole = desk.journal.append
    monkeypatch.setattr(desk.journal, "append", failing(StorageError("the disk is full")))
    desk.rollouts.go_on(key)
    desk.main.run_for(5)
    assert desk.rollout(key).state is RolloutState.PAUSED
    assert len(desk.estate.posts) == 1
    monkeypatch.setattr(desk.journal, "append", whole)
    desk.rollouts.go_on(key)
    assert desk.finish(key).state is RolloutState.DONE


def test_a_reason_given_later_goes_with_the_steps_that_follow(desk: Desk) -> None:
    key = desk.begin()
    desk.run(key)
    desk.rollouts.go_on(key, "p99 looked at")
    desk.finish(key)
    assert [p.reason for p in desk.estate.posts] == ["because", "because; p99 looked at"]


def test_only_the_newest_that_ended_are_kept(desk: Desk) -> None:
    key = desk.begin()
    desk.finish(key)
    ended = desk.rollout(key)
    desk.store.merge("rollouts", {f"k{n}": replace(ended, key=f"k{n}", ended_at_us=n) for n in range(60)})
    desk.rollouts.recover()
    desk.main.settle()
    assert len(desk.store.state.rollouts) == 50
    assert {key, "k59"} < set(desk.store.state.rollouts)


def test_the_real_clocks_are_compared(estate: Estate, fake_clock: Any) -> None:
    monotonic_s = [0.0]
    desk = Desk(estate)
    desk._jumped = Jumps(fake_clock, lambda: monotonic_s[0]).jumped  # type: ignore[method-assign]
    desk.rollouts._drive._jumped = desk._jumped
    fake_clock.advance(500)  # before anything is under way: no matter
    key = desk.begin()
    desk.main.settle()
    for _ in range(8):
        monotonic_s[0] += 0.5
        desk.main.run_for(0.5)
    assert desk.rollout(key).state is RolloutState.RUNNING
    fake_clock.advance(3600)  # the lid was closed
    desk.poll()
    desk.main.run_for(1)
    assert desk.rollout(key).state is RolloutState.PAUSED
    assert "clock moved by +3600 s" in desk.rollout(key).message
    desk.close()


def test_every_notice_names_the_rollout_and_the_way_out(desk: Desk) -> None:
    key = desk.begin()
    desk.run(key)
    desk.rollouts.back(key, "no")
    desk.finish(key)
    titles = [n.title for n in reversed(desk.notices.history) if "gateway, canary" in n.title]
    assert titles == ["gateway, canary: begun", "gateway, canary: going back", "gateway, canary: back"]


def test_states_of_actions_stay_those_of_the_child(desk: Desk) -> None:
    key = desk.begin()
    desk.finish(key)
    children = [run.action for run in desk.rollout(key).steps if run.step.do == "deploy"]
    assert [desk.store.state.actions[c].state for c in children] == [ActionState.DONE] * 2
    assert len(set(children)) == 2
    assert desk.rollout(key).steps[1].state is StepState.DONE
    assert CANARY.steps[1].nodes == ("1",)
