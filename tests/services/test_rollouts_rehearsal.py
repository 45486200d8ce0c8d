"""Rehearsals: every question is asked, nothing is sent, and what it measured outlives the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed, Unreachable
from cockpit.domain.rollout import LineState
from cockpit.domain.strategy import Rollout, RolloutState, StepSpec, StepState, Strategy
from cockpit.services.notices import Severity
from cockpit.services.rollout_rehearsal import plan_of
from tests.fakes.rolling import ENVIRONMENT, Desk, Estate, failing

WRITES = ("deploy", "set_mode", "set_weights", "abort")


@pytest.fixture
def estate(tmp_path: Path, fake_clock: Any) -> Estate:
    return Estate(tmp_path, fake_clock)


@pytest.fixture
def desk(estate: Estate) -> Iterator[Desk]:
    made = Desk(estate)
    yield made
    made.close()


def rehearse(desk: Desk, what: str = "canary") -> Rollout:
    planned = desk.rollouts.plan_set("trading", ENVIRONMENT) if what == "set" else desk.rollouts.draft("gateway", ENVIRONMENT)
    assert isinstance(planned, Rollout)
    key = desk.rollouts.rehearse(planned).key
    desk.main.settle()
    return desk.rollout(key)


def sent(estate: Estate) -> int:
    return sum(system.count(name) for system in (estate.api, estate.venue, estate.traffic) for name in WRITES)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.estate.venue.hooks.update(mode=failing(Unreachable("the venue is gone"))), "step 1: the venue is gone"),
        (lambda d: d.estate.traffic.hooks.update(weights=failing(Unreachable("no route"))), "step 5: no route"),
        (lambda d: d.estate.api.hooks.update(fleet=failing(Unreachable("no fleet"))), "step 2: the nodes cannot be asked: no fleet"),
        (lambda d: d.answers.update(checks=(LineState.BLOCKED, "integration failed")), "step 4: checks: integration failed"),
        (lambda d: d.answers.update(fleet=(LineState.UNKNOWN, "silent")), "step 4: checks: checks fine; fleet: silent"),
    ],
)
def test_what_cannot_be_answered_fails_the_rehearsal_and_is_named(desk: Desk, spoil: Callable[[Desk], None], words: str) -> None:
    drafted = desk.rollouts.draft("gateway", ENVIRONMENT)
    assert isinstance(drafted, Rollout)
    spoil(desk)
    key = desk.rollouts.rehearse(drafted).key
    desk.main.settle()
    rollout = desk.rollout(key)
    assert rollout.state is RolloutState.FAILED
    assert words in rollout.message
    assert sum(r.state is StepState.DONE for r in rollout.steps) >= 7, "the other questions are asked all the same"
    assert desk.rollouts.measured(rollout.title, ENVIRONMENT) is None
    assert not sent(desk.estate)


def test_an_ill_node_fails_it(desk: Desk) -> None:
    nodes = desk.estate.api._nodes
    nodes["risk-2"] = replace(nodes["risk-2"], healthy=False)
    rollout = rehearse(desk, "set")
    assert rollout.state is RolloutState.FAILED
    assert "risk-2 does not answer as it should" in rollout.message


def test_a_service_that_may_not_go_back_any_more_fails_it(desk: Desk) -> None:
    planned = desk.rollouts.plan_set("trading", ENVIRONMENT)
    assert isinstance(planned, Rollout)
    desk.refused = "market"
    key = desk.rollouts.rehearse(planned).key
    desk.main.settle()
    assert "step 3: the artifact is gone" in desk.rollout(key).message


def test_nothing_is_sent_and_the_time_is_kept_with_its_date(desk: Desk) -> None:
    at = desk.clock()
    rollout = rehearse(desk, "set")
    assert rollout.state is RolloutState.DONE
    assert rollout.rehearsal
    assert desk.rollouts.measured("trading", ENVIRONMENT) == pytest.approx(90.0)
    assert desk.rollouts.measured_at("trading", ENVIRONMENT) == at
    assert desk.rollouts.measured("trading", "staging") is None
    assert desk.rollouts.measured_at("lunch", ENVIRONMENT) == 0
    assert not sent(desk.estate)
    assert [e.action for e in desk.journal.entries()] == ["rehearsal"]
    again = Desk(desk.estate)
    again.recover()
    assert again.rollouts.measured("trading", ENVIRONMENT) == pytest.approx(90.0)
    assert not again.store.state.rollouts, "a rehearsal is nothing to take up"
    again.close()


def test_a_canary_counts_its_share_of_the_nodes_and_its_bakes(desk: Desk) -> None:
    rollout = rehearse(desk)
    assert rollout.state is RolloutState.DONE
    # 10 s for one node of three, 20 s for the rest, 10 s to bake
    assert desk.rollouts.measured(rollout.title, ENVIRONMENT) == pytest.approx(40.0)
    assert rollout.steps[5].message == "a person would be waited for here"


def test_a_verdict_that_nobody_can_know_before_does_not_fail_it(desk: Desk) -> None:
    desk.answers["checks"] = (LineState.WARNING, "slow")
    assert rehearse(desk).state is RolloutState.DONE


def test_where_nothing_was_ever_deployed_the_time_is_not_known(desk: Desk) -> None:
    real = desk.plan

    def plan(*arguments: str) -> Any:
        return replace(real(*arguments), expected_s=None)

    desk.rollouts._board.hands = replace(desk.rollouts._board.hands, plan=plan)
    rollout = rehearse(desk, "set")
    assert rollout.state is RolloutState.DONE
    assert "not known" in rollout.message
    assert desk.rollouts.measured("trading", ENVIRONMENT) is None
    assert desk.rollouts.measured_at("trading", ENVIRONMENT) > 0


def test_a_rehearsal_blocks_nothing_and_takes_no_orders(desk: Desk) -> None:
    rollout = rehearse(desk, "set")
    with pytest.raises(NotAllowed):
        desk.rollouts.back(rollout.key, "")
    assert isinstance(desk.rollouts.plan_set("trading", ENVIRONMENT), Rollout)


def test_the_plan_of_a_step_is_that_of_its_very_artifact(desk: Desk) -> None:
    planned = desk.rollouts.plan_set("trading", ENVIRONMENT, {"risk": "1.0.0"})
    assert isinstance(planned, Rollout)
    step = planned.steps[1].step
    assert plan_of(desk.hands(), "rollback", step) is not None
    assert plan_of(desk.hands(), "rollback", replace(step, digest="0" * 64)) is None


def test_a_gate_that_only_the_rollout_can_answer_is_shown_as_not_known(estate: Estate) -> None:
    made = Desk(
        estate,
        Strategy("watched", (StepSpec("deploy", ("1",)), StepSpec("gate", ask=("checks", "verdict")), StepSpec("deploy", ("rest",)))),
    )
    made.answers["verdict"] = (LineState.UNKNOWN, "latency does not answer")
    rollout = rehearse(made)
    assert rollout.steps[1].state is StepState.UNKNOWN
    assert rollout.state is RolloutState.DONE, "there can be no verdict on what does not run yet"
    assert "not known before it runs: step 2: checks: checks fine; verdict: latency does not answer" in rollout.message
    assert "every question is answered" not in rollout.message
    assert made.notices.newest is not None
    assert made.notices.newest.severity is Severity.WARNING
    assert made.rollouts.measured(rollout.title, ENVIRONMENT) is not None
    made.answers["checks"] = (LineState.UNKNOWN, "CI is silent")
    assert rehearse(made).state is RolloutState.FAILED, "what could have been answered fails it"
    made.close()
