"""Several steps on the card: a strategy's deployment, services that go back together. Failures and refusals first."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.facts import place
from cockpit.domain.release import Deployment, DeployState, NodeStep
from cockpit.domain.rollout import Action, ActionState, Line, LineState, Refusal
from cockpit.domain.strategy import Rollout, RolloutState, StepState
from tests.fakes.believable import NOW_US, S, version
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.seconds import Seconds
from tests.fakes.trust import STRICT
from ui.widgets.arming import ARM_S, Confirm, Phase
from ui.widgets.rollback_card import RollbackCard

LEFT = Qt.MouseButton.LeftButton
PLACE = ("order-gateway", "production")


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def cockpit() -> FakeCockpit:
    made = FakeCockpit()
    made.rules = replace(STRICT, approvals={"production": ApprovalRule(1)}, required_checks=("unit",), freezes={})
    at = place("market-data", "production")
    fleet = made.store.state.fleets[at]
    whole = tuple(replace(n, version="2.3.0", digest=version("market-data", "2.3.0").digest) for n in fleet.value.nodes)
    made.store.merge("fleets", {at: replace(fleet, value=replace(fleet.value, nodes=whole))})
    return made


@pytest.fixture
def card(qtbot: Any, cockpit: FakeCockpit, clock: Seconds) -> RollbackCard:
    made = RollbackCard(cockpit, clock_s=clock)
    qtbot.addWidget(made)
    made.resize(284, 680)
    made.show_place(*PLACE)
    made.show()
    return made


def began(cockpit: FakeCockpit) -> list[Any]:
    return [c for c in cockpit.rollouts.calls if c[0] == "begin"]


def fire(card: RollbackCard, clock: Seconds) -> None:
    QTest.mouseClick(card.button, LEFT)
    clock.now_s += 1
    QTest.mouseClick(card.button, LEFT)
    clock.now_s += 1


def put(cockpit: FakeCockpit, card: RollbackCard, states: tuple[StepState, ...], **fields: Any) -> Rollout:
    (rollout,) = cockpit.store.state.rollouts.values()
    runs = []
    for run, state in zip(rollout.steps, states, strict=True):
        begun = 0 if state is StepState.WAITING else NOW_US - 60 * S
        runs.append(replace(run, state=state, started_at_us=begun, ended_at_us=NOW_US if state.over else 0))
    changed = replace(rollout, steps=tuple(runs), **fields)
    cockpit.store.merge("rollouts", {changed.key: changed})
    card.refresh()
    return changed


def press(card: RollbackCard, name: str) -> None:
    QTest.mouseClick(card.rollout_page.buttons[name], LEFT)


def shown(card: RollbackCard) -> list[str]:
    return [name for name, button in card.rollout_page.buttons.items() if not button.isHidden()]


W, R, H, D, F = StepState.WAITING, StepState.RUNNING, StepState.HELD, StepState.DONE, StepState.FAILED


# ---- refused


def test_steps_that_cannot_be_laid_out_refuse_the_deployment(card: RollbackCard, cockpit: FakeCockpit, monkeypatch: Any) -> None:
    from cockpit.domain.readiness import Reason

    refusal = Refusal("deploy", *PLACE, (Reason("settings", "strategy canary, step 2: no node matches *-green-*"),))
    monkeypatch.setattr(cockpit.rollouts, "draft", lambda *args: refusal)
    card.show_deploy("1.7.0")
    assert card.button.look == "refused"
    assert "no node matches" in card.as_text()


def test_a_set_is_refused_whole_where_one_service_cannot_go_back(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    cockpit.store.apply(fleets={k: f for k, f in cockpit.store.state.fleets.items() if not k.startswith("risk")})
    card.show_set("trading core")
    fire(card, clock)
    assert not began(cockpit)
    assert "risk-engine:" in card.as_text()
    assert card.plan_page.back.isVisible()


def test_a_refusal_at_the_last_moment_is_said_and_nothing_began(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_set("trading core")
    cockpit.rollouts.refuse = "the plan changed: risk-engine runs another version"
    fire(card, clock)
    assert not cockpit.store.state.rollouts
    assert "the plan changed" in card.say.as_text
    assert card.machine.phase is Phase.IDLE


def test_other_steps_disarm(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    QTest.mouseClick(card.button, LEFT)
    assert card.machine.phase is Phase.ARMED
    found = cockpit.rollouts.draft(*PLACE, "1.7.0")
    assert isinstance(found, Rollout)
    card._deeds._draft = (card.machine.armed_plan.facts, replace(found, steps=found.steps[:-1]))  # type: ignore[union-attr]
    card.refresh()
    assert card.machine.phase is Phase.IDLE
    assert "the steps changed" in card.say.as_text
    clock.now_s += 1
    card.fire()
    assert not began(cockpit)


def test_another_version_in_a_set_disarms(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_set("trading core")
    card.arm()
    fleet = cockpit.store.state.fleets["risk-engine@production"]
    nodes = tuple(replace(n, version="0.10.0", digest=version("risk-engine", "0.10.0").digest) for n in fleet.value.nodes)
    cockpit.store.merge("fleets", {"risk-engine@production": replace(fleet, value=replace(fleet.value, nodes=nodes))})
    card.refresh()
    assert card.machine.phase is Phase.IDLE
    assert "risk-engine changed" in card.say.as_text


# ---- a deployment in steps


def test_the_steps_stand_below_the_preflight_before_anything_begins(card: RollbackCard) -> None:
    card.show_deploy("1.7.0")
    text = card.as_text()
    assert "in 4 steps" in card.plan_page.expected.whole
    for words in ("1. 1.7.0 on production-1", "undo: 1.6.0 again on production-1", "2. wait 5 min and watch", "3. hold until a person"):
        assert words in text


def test_the_steps_are_laid_out_once_for_one_plan(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_deploy("1.7.0")
    for _ in range(5):
        card.tick()
    assert cockpit.rollouts.drafted == 1


def test_firing_begins_the_rollout_and_never_the_single_action(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    QTest.keyClicks(card.reason, "canary first")
    fire(card, clock)
    (call,) = began(cockpit)
    assert (call[1].title, call[2]) == ("order-gateway, canary", "canary first")
    assert not [c for c in cockpit.actions.calls if c[0] == "fire"]
    assert card.pages.currentWidget() is card.rollout_page


def test_a_bake_tells_what_remains_and_a_hold_waits_for_a_person(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    put(cockpit, card, (D, R, W, W))
    assert "running  2. wait 5 min and watch: running  4 min left" in card.as_text()
    assert shown(card) == ["back", "stop"]
    put(cockpit, card, (D, D, H, W))
    assert "held  Waits for you: go on, go back or stop" in card.as_text()
    assert shown(card) == ["go on", "back", "stop"]


def test_nothing_runs_in_a_rollout_that_was_stopped(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    (rollout,) = cockpit.store.state.rollouts.values()
    states = (D, R, *[W] * (len(rollout.steps) - 2))
    put(cockpit, card, states, state=RolloutState.ABORTED, ended_at_us=NOW_US)
    text = card.as_text()
    assert "1 done, 1 cut off" in text
    assert "running" not in text
    assert " left" not in text


def test_go_on_asks_once_more_and_a_double_click_is_one_press(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    rollout = put(cockpit, card, (D, D, H, W))
    press(card, "go on")
    assert "Press Go on again" in card.say.as_text
    clock.now_s += 0.1
    press(card, "go on")
    assert [c[0] for c in cockpit.rollouts.calls] == ["begin"]
    clock.now_s += 1
    press(card, "back")
    assert "Press Go back again" in card.say.as_text, "another way is asked about anew"
    clock.now_s += 1
    press(card, "go on")
    clock.now_s += 1
    QTest.keyClicks(card.reason, "p99 is fine")
    press(card, "go on")
    assert cockpit.rollouts.calls[-1] == ("go_on", rollout.key, "p99 is fine")
    assert card.reason.text() == ""


def test_a_way_that_is_refused_says_so(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    put(cockpit, card, (D, D, H, W))
    cockpit.rollouts.refuse = "The nodes are not as planned: production-2 runs 1.5.1."
    for _ in range(2):
        clock.now_s += 1
        press(card, "go on")
    assert "production-2 runs 1.5.1" in card.say.as_text


def test_the_question_is_forgotten_after_ten_seconds(clock: Seconds) -> None:
    confirm = Confirm(clock)
    assert not confirm.press("stop")
    clock.now_s += ARM_S + 0.1
    assert confirm.name == ""
    assert not confirm.press("stop")


def test_esc_takes_the_question_back(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    put(cockpit, card, (D, D, H, W))
    press(card, "stop")
    assert card.escape()
    assert card.confirm.name == ""
    assert card.pages.currentWidget() is card.rollout_page


def test_an_action_of_a_rollout_is_shown_as_its_step(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    rollout = put(cockpit, card, (R, W, W, W))
    steps = (NodeStep("production-1", "starting"),)
    under_way = Deployment("d", "child", *PLACE, "1.7.0", "x", "deploy", DeployState.RUNNING, steps=steps)
    child = Action("child", "deploy", *PLACE, "1.6.0", "", "1.7.0", "", "me", ActionState.FOLLOWING, NOW_US + S, deployment=under_way)
    cockpit.store.merge("actions", {"child": child})
    runs = (replace(rollout.steps[0], action="child"), *rollout.steps[1:])
    cockpit.store.merge("rollouts", {rollout.key: replace(rollout, steps=runs)})
    card.refresh()
    assert card.pages.currentWidget() is card.rollout_page
    assert "production-1: starting" in card.as_text()


def test_a_paused_rollout_is_followed_after_a_restart(card: RollbackCard, cockpit: FakeCockpit) -> None:
    found = cockpit.rollouts.draft(*PLACE, "1.7.0")
    assert isinstance(found, Rollout)
    paused = replace(
        found, key="old", state=RolloutState.PAUSED, started_at_us=NOW_US - 3600 * S, message="the program that drove it ended"
    )
    cockpit.store.merge("rollouts", {"old": paused})
    card.refresh()
    assert "Paused: goes on only when you say so" in card.as_text()
    assert "the program that drove it ended" in card.as_text()
    assert "go on" in shown(card)


def test_a_rollback_alone_is_possible_whatever_a_rollout_waits_for(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    put(cockpit, card, (D, D, H, W))
    QTest.mouseClick(card.rollout_page.back, LEFT)
    assert card.plan_page.what.whole == "ROLLBACK"
    assert "Back to order-gateway, canary…" in [b.accessibleName() for b in card.ways.buttons]
    card.tick()
    assert card.plan_page.isVisible()
    fire(card, clock)
    assert [c[0] for c in cockpit.actions.calls] == ["fire"]
    assert card.pages.currentWidget() is card.progress_page


def test_what_one_looked_away_from_is_found_again(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_deploy("1.7.0")
    fire(card, clock)
    put(cockpit, card, (D, D, H, W))
    QTest.mouseClick(card.rollout_page.back, LEFT)
    (way,) = (b for b in card.ways.buttons if b.objectName() == "rollout")
    QTest.mouseClick(way, LEFT)
    assert card.pages.currentWidget() is card.rollout_page
    QTest.mouseClick(card.rollout_page.back, LEFT)
    put(cockpit, card, (D, D, D, D), state=RolloutState.DONE, ended_at_us=NOW_US)
    assert card.pages.currentWidget() is card.rollout_page, "how it ended is news"


# ---- services that go back together


def test_a_set_fires_with_two_clicks_in_its_order(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    (way,) = (b for b in card.ways.buttons if b.objectName() == "set:trading core")
    QTest.mouseClick(way, LEFT)
    text = card.as_text()
    assert text.index("1. risk-engine 0.9.2 → 0.9.1") < text.index("2. order-gateway 1.6.0 → 1.5.1") < text.index("3. market-data")
    assert "in reverse order" in text
    QTest.mouseClick(card.button, LEFT)
    assert card.button.text() == "Roll back 3 services in production"
    assert not began(cockpit)
    clock.now_s += 1
    QTest.mouseClick(card.button, LEFT)
    (call,) = began(cockpit)
    assert [run.step.service for run in call[1].steps] == ["risk-engine", "order-gateway", "market-data"]


def test_a_set_tells_what_speaks_against_each_service_and_demands_a_reason(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds
) -> None:
    mixed = Line(LineState.WARNING, "mixed fleet: market-data-production-3 has another configuration", NOW_US, "versions")
    again = Line(LineState.BLOCKED, "a second rollback in a row", NOW_US, "activity", insist=True)
    more = {"market-data": (mixed,), "risk-engine": (again,)}
    cockpit.actions.bend = lambda planned: replace(planned, preflight=(*planned.preflight, *more.get(planned.service, ())))
    card.show_set("trading core")
    text = card.as_text()
    assert "warning  mixed fleet: production-3 has another configuration" in text
    assert "blocked  a second rollback in a row" in text
    assert "Firing passes over: a second rollback in a row" in card.say.as_text
    fire(card, clock)
    assert card.machine.phase is Phase.IDLE
    assert not began(cockpit)
    card.reason.setText("wrong fills")
    fire(card, clock)
    assert len(began(cockpit)) == 1


def test_the_focus_stays_on_the_card_whatever_button_goes(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds, qtbot: Any) -> None:
    card.activateWindow()
    assert QTest.qWaitForWindowActive(card, 20_000)
    card.show_set("trading core")
    card.arm()
    clock.now_s += 1
    card.fire()
    assert card.window().focusWidget() is card
    put(cockpit, card, (D, H, W))
    card.rollout_page.buttons["go on"].setFocus()
    put(cockpit, card, (D, R, W))
    assert card.window().focusWidget() is card


def test_a_rehearsal_is_measured_with_its_date_and_the_card_comes_back_to_the_set(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_set("trading core")
    assert "Not rehearsed yet" in card.as_text()
    press(card, "rehearse")
    assert [c[0] for c in cockpit.rollouts.calls] == ["rehearse"]
    assert "Rehearsed: nothing was sent" in card.as_text()
    QTest.mouseClick(card.done_button, LEFT)
    assert card.mode == ("set", "trading core")
    assert "ok  Rehearsed 2026-11-22 09:41:07 UTC: 3.0 s" in card.as_text()


def test_a_rehearsal_that_failed_is_no_measure(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_set("trading core")
    press(card, "rehearse")
    (done,) = cockpit.store.state.rollouts.values()
    failed = replace(done, state=RolloutState.FAILED, message="step 2: production-3 is not there")
    cockpit.rollouts.times.clear()
    cockpit.store.merge("rollouts", {done.key: failed})
    card.refresh()
    assert shown(card) == [], "a rehearsal changed nothing: there is nothing to go back from"
    QTest.mouseClick(card.done_button, LEFT)
    assert "step 2: production-3 is not there" in card.as_text()


def test_a_partial_failure_is_shown_as_it_is_and_offers_the_way_back(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.show_set("trading core")
    fire(card, clock)
    proof = (Line(LineState.OK, "a", 1), Line(LineState.BLOCKED, "order-gateway-production-3 runs 1.6.0", 1, "versions"))
    cockpit.store.merge("actions", {"c": Action("c", "rollback", *PLACE, "", "", "", "", "me", ActionState.FAILED, 1, proof=proof)})
    rollout = put(cockpit, card, (D, F, W))
    runs = (rollout.steps[0], replace(rollout.steps[1], message="production-3 did not become healthy", action="c"), rollout.steps[2])
    failed = replace(rollout, steps=runs, state=RolloutState.FAILED, ended_at_us=NOW_US)
    cockpit.store.merge("rollouts", {failed.key: failed})
    card.refresh()
    text = card.as_text()
    assert "failed  Rollback failed: 1 done, 1 failed, 1 not begun" in text
    assert "production-3 did not become healthy" in text
    assert "blocked  order-gateway: order-gateway-production-3 runs 1.6.0" in text
    assert "Done, every step" not in text
    assert shown(card) == ["back"]
    QTest.mouseClick(card.done_button, LEFT)
    assert card.mode == ("rollback", "")


def test_it_fits_the_smallest_card_and_hostile_titles_stay_plain(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    name = "<b>x</b>" + "s" * 500
    cockpit.rules = replace(cockpit.rules, sets={name: replace(STRICT.sets["trading core"], name=name)})
    card.refresh()
    card.show_set(name)
    fire(card, clock)
    put(cockpit, card, (D, H, W))
    assert card.minimumSizeHint().width() <= 284
    assert card.rollout_page.service.textFormat() is Qt.TextFormat.PlainText
    assert name[:60] in card.rollout_page.service.whole
    for button in card.rollout_page.buttons.values():
        assert button.accessibleName()
