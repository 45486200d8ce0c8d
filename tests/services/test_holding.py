"""What left by a rollback is held, here and in the deployment system; whatever fails on the way is told and holds nothing up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed, Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Deployment, DeployState, NodeStep, Version
from cockpit.domain.rollout import Action, ActionState, Refusal
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun, StepState
from cockpit.services.connections import Connected
from cockpit.services.holding import Holding
from cockpit.services.words import Words
from tests.fakes.rig import D1, D2, D3, Rig

ME = "ada@example.org"


class Held(Rig):
    """The rig with its holding, which records what it is asked to."""

    def __init__(self, folder: Path, clock: Any) -> None:
        super().__init__(folder, clock)
        self.said: list[tuple[Version, str, str]] = []
        self.refuse: Exception | None = None
        self.connect("Holds")
        parts = (self.store, self.runner, self.connections, self.notices)
        self.holding = Holding(*parts, self.hold, lambda: self.actions.me.who, clock)

    def connect(self, *more: str) -> None:
        self.connections.replace((Connected("dep", "dep", "x", ("DeploymentApi", *more), ("gw",), self.systems),))

    def hold(self, version: Version, environment: str, reason: str) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.said.append((version, environment, reason))

    def begin(self, **fields: Any) -> Action:
        named = {"who": "Ada <ada@example.org>", "state": ActionState.INTENDED, "intended_at_us": self.clock(), **fields}
        named = {"kind": "rollback", "from_version": "1.7.0", "from_digest": D2, "version": "1.6.0", "digest": D1, **named}
        action = Action(key="k1", service="gw", environment="prod", **named)
        self.store.merge("actions", {"k1": action})
        return action

    def end(self, action: Action, state: ActionState = ActionState.DONE, *steps: str) -> None:
        at = ("d1", "k1", "gw", "prod", action.version, action.digest, action.kind, DeployState.SUCCEEDED)
        made = Deployment(*at, steps=tuple(NodeStep(f"n{i}", step) for i, step in enumerate(steps))) if steps else None
        ended = replace(action, state=state, deployment=made)
        self.store.merge("actions", {"k1": ended})
        self.holding.heard(ended)
        self.main.settle()


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Held]:
    made = Held(tmp_path, fake_clock)
    yield made
    made.holding.close()
    made.database.close()


def test_where_the_word_cannot_be_recorded_the_system_is_told_all_the_same(rig: Held) -> None:
    rig.refuse = NotAllowed("it is not known who you are")
    rig.end(rig.begin())
    assert rig.notices.newest.message == "it is not known who you are"
    assert [(h[2], h[3]) for h in rig.systems.held] == [(D2, True)]


def test_where_the_system_does_not_answer_it_is_told_and_nothing_is_held_up(rig: Held) -> None:
    rig.systems.error = Unreachable("no route")
    rig.end(rig.begin())
    assert [v.name for v, _, _ in rig.said] == ["1.7.0"]
    notice = rig.notices.newest
    assert (notice.message, "It may deploy it again by itself" in notice.hint) == ("no route", True)
    rig.systems.error = None
    rig.holding.heard(replace(rig.store.state.actions["k1"], state=ActionState.DONE))
    rig.main.settle()
    assert rig.systems.held, "what failed is tried again when it is asked for again"
    assert rig.notices.history[0].over


def test_the_persons_own_reason_stands_in_the_hold(rig: Held) -> None:
    action = rig.begin()
    at = ("d1", "k1", "gw", "prod", "1.6.0", D1, "rollback", DeployState.SUCCEEDED)
    ended = replace(action, state=ActionState.DONE, deployment=Deployment(*at, reason="p99 doubled"))
    rig.holding.heard(ended)
    assert rig.said[0][2] == "rolled back to 1.6.0 by Ada <ada@example.org>: p99 doubled"


def test_a_system_that_takes_no_holds_is_not_asked(rig: Held) -> None:
    rig.connect()
    rig.end(rig.begin())
    assert (len(rig.said), rig.systems.held, rig.notices.history) == (1, [], ())


def test_what_left_is_held_with_a_reason_that_names_the_rollback(rig: Held) -> None:
    rig.end(rig.begin())
    ((version, environment, reason),) = rig.said
    assert (version.name, version.digest, version.commit, environment) == ("1.7.0", D2, "c7", "prod")
    assert reason == "rolled back to 1.6.0 by Ada <ada@example.org>"
    assert rig.systems.held == [("gw", "prod", D2, True, reason)]


@pytest.mark.parametrize(
    ("state", "steps", "held"),
    [
        (ActionState.FAILED, ("done", "failed", "pending"), True),
        (ActionState.ABORTED, ("stopping", "pending"), True),
        (ActionState.ABORTED, ("pending", "pending"), False),
        (ActionState.FAILED, (), False),
        (ActionState.REFUSED, (), False),
        (ActionState.NOT_SENT, (), False),
    ],
)
def test_only_a_rollback_that_changed_something_holds(rig: Held, state: ActionState, steps: tuple[str, ...], held: bool) -> None:
    rig.end(rig.begin(), state, *steps)
    assert bool(rig.said) is held
    assert bool(rig.systems.held) is held
    if held:
        assert rig.said[0][2].endswith(f"({state})")


def test_a_failed_one_whose_steps_nobody_knows_is_judged_by_the_nodes(rig: Held) -> None:
    action = rig.begin()
    rig.change(nodes=lambda i, n: replace(n, version="1.6.0", digest=D1) if i == 0 else n)
    rig.end(action, ActionState.FAILED)
    assert [v.name for v, _, _ in rig.said] == ["1.7.0"]


def test_a_deployment_holds_nothing(rig: Held) -> None:
    rig.end(rig.begin(kind="deploy", version="1.8.0", digest=D3))
    assert rig.said == []


def test_the_half_deployed_version_is_held_though_most_nodes_never_ran_it(rig: Held) -> None:
    def half(number: int, node: Any) -> Any:
        return replace(node, version="1.8.0", commit="c8", digest=D3) if number == 3 else node

    rig.change(nodes=half)
    rig.end(rig.begin(from_version="1.7.0", from_digest=D2, version="1.7.0", digest=D2))
    assert [(v.name, v.digest, v.commit) for v, _, _ in rig.said] == [("1.8.0", D3, "c8")]


def test_an_older_stray_node_is_not_held(rig: Held) -> None:
    rig.change(nodes=lambda i, n: replace(n, version="1.5.0", commit="c5", digest="5" * 64) if i == 3 else n)
    rig.end(rig.begin())
    assert [v.name for v, _, _ in rig.said] == ["1.7.0"]


def test_what_is_held_already_is_not_held_twice(rig: Held) -> None:
    rig.say("hold")
    rig.end(rig.begin())
    assert rig.said == []


def test_after_a_restart_what_the_action_says_is_enough(rig: Held) -> None:
    action = rig.begin()
    rig.holding.close()
    parts = (rig.store, rig.runner, rig.connections, rig.notices)
    rig.holding = Holding(*parts, rig.hold, lambda: ME, rig.clock)
    rig.change(nodes=lambda i, n: replace(n, version="1.6.0", digest=D1))
    rig.end(action)
    assert [v.name for v, _, _ in rig.said] == ["1.7.0"]


def test_the_undoing_of_a_set_rollback_does_not_hold_what_was_gone_back_to(rig: Held) -> None:
    step = Step("deploy", "gw", "prod", "1.6.0", D1)
    going_back = Rollout("r1", "rollback", "core", (StepRun(step, action="k1"),), "ada", going_back=True)
    rig.store.apply(rollouts={"r1": going_back})
    rig.end(rig.begin())
    assert rig.said == []


def together(state: RolloutState, *states: StepState) -> Rollout:
    steps = tuple(
        StepRun(Step("deploy", name, "prod", "1.6.0", D1, "1.7.0", D2), state=s, action=key)
        for name, key, s in zip(("gw", "md"), ("k1", "k2"), states, strict=False)
    )
    return Rollout("r1", "rollback", "core", steps, "ada", state=state)


def test_of_several_services_that_go_back_together_nothing_is_held_before_all_have(rig: Held) -> None:
    rig.store.merge("rollouts", {"r1": together(RolloutState.RUNNING, StepState.RUNNING, StepState.WAITING)})
    rig.end(rig.begin())
    assert rig.said == [], "it may still be undone"
    rig.store.merge("rollouts", {"r1": together(RolloutState.DONE, StepState.DONE, StepState.DONE)})
    assert sorted((v.service, v.name) for v, _, _ in rig.said) == [("gw", "1.7.0"), ("md", "1.7.0")]


def test_what_was_undone_because_another_service_failed_is_not_held(rig: Held) -> None:
    rig.store.merge("rollouts", {"r1": together(RolloutState.RUNNING, StepState.RUNNING, StepState.WAITING)})
    rig.end(rig.begin())
    rig.store.merge("rollouts", {"r1": together(RolloutState.BACK, StepState.UNDONE, StepState.FAILED)})
    assert rig.said == []


def test_where_it_stopped_half_way_what_left_is_held(rig: Held) -> None:
    rig.store.merge("rollouts", {"r1": together(RolloutState.RUNNING, StepState.RUNNING, StepState.WAITING)})
    rig.end(rig.begin())
    rig.store.merge("rollouts", {"r1": together(RolloutState.FAILED, StepState.DONE, StepState.FAILED)})
    assert [(v.service, v.name) for v, _, _ in rig.said] == [("gw", "1.7.0")]


def test_a_rollout_that_ended_before_this_window_opened_holds_nothing_anew(rig: Held) -> None:
    rig.store.merge("rollouts", {"r1": together(RolloutState.DONE, StepState.DONE, StepState.DONE)})
    assert rig.said == []


# -- words on holds ----------------------------------------------------------------------------------------------------------


def test_my_clear_is_passed_on_and_the_words_of_others_are_not(rig: Held) -> None:
    rig.clock.advance(1)
    rig.say("hold", who="eve@example.org")
    rig.clock.advance(1)
    rig.say("clear", who="bob@example.org")
    rig.main.settle()
    assert rig.systems.held == []
    rig.say("hold", who=ME)
    rig.clock.advance(1)
    rig.say("clear", who=ME, reason="fixed")
    rig.main.settle()
    assert [(h[3], h[4]) for h in rig.systems.held] == [(True, "p99 doubled"), (False, "fixed")]
    rig.store.apply(statements=rig.store.state.statements)
    rig.main.settle()
    assert len(rig.systems.held) == 2, "each word is passed on once"
    rig.clock.advance(1)
    rig.say("hold", who=ME, reason="again")
    rig.main.settle()
    assert rig.systems.held[-1][3:] == (True, "again")


def test_what_was_said_before_this_window_opened_is_not_passed_on(rig: Held) -> None:
    rig.say("hold", who=ME, at_us=rig.clock() - 1)
    rig.say("clear", who=ME, at_us=rig.clock(), digest=D3, why_not="")
    rig.main.settle()
    assert [(h[2], h[3]) for h in rig.systems.held] == [(D3, False)]


def test_with_the_real_words_a_rolled_back_version_cannot_be_deployed_until_cleared(rig: Held) -> None:
    rig.approve()
    words = Words(rig.store, rig.actions.decisions, rig.notices, rig.clock)
    words.me = rig.actions.me
    rig.holding._hold = words.hold
    rig.change(nodes=lambda i, n: replace(n, version="1.8.0", commit="c8", digest=D3))
    action = rig.begin(from_version="1.8.0", from_digest=D3, version="1.7.0", digest=D2)
    rig.change(nodes=lambda i, n: replace(n, version="1.7.0", commit="c7", digest=D2))
    rig.end(action)
    refusal = rig.actions.plan("deploy", "gw", "prod", "1.8.0")
    assert isinstance(refusal, Refusal)
    assert any("1.8.0 is held by ada@example.org" in r.text for r in refusal.reasons)
    assert [(h[2], h[3]) for h in rig.systems.held] == [(D3, True)]
    from cockpit.services import status

    hold = status.held(rig.store.state, "gw", "prod", D3)
    assert hold is not None
    rig.clock.advance(1)
    words.clear(hold, "fixed and measured")
    rig.main.settle()
    again = rig.actions.plan("deploy", "gw", "prod", "1.8.0")
    assert not any("is held" in r.text for r in getattr(again, "reasons", ()))
    assert [(h[2], h[3]) for h in rig.systems.held] == [(D3, True), (D3, False)]


def test_a_fleet_that_is_not_known_holds_what_the_action_names(rig: Held) -> None:
    rig.store.apply(fleets={place("gw", "staging"): Fact(rig.store.state.fleets["gw@staging"].value, rig.clock())})
    rig.end(rig.begin())
    assert [v.name for v, _, _ in rig.said] == ["1.7.0"]
