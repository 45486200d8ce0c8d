"""The card: two considered clicks fire, nothing else does; progress, proof, refusal."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from cockpit.domain.errors import StorageError
from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Deployment, DeployState, NodeStep
from cockpit.domain.rollout import Action, ActionState, Line, LineState, Refusal
from cockpit.services.store import AppState
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.seconds import Seconds
from ui.widgets.arming import ARM_S, Phase
from ui.widgets.rollback_card import RollbackCard

# the offscreen platform has no window manager to give a least size to
LEFT = Qt.MouseButton.LeftButton
PLACE = ("order-gateway", "production")


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def cockpit() -> FakeCockpit:
    return FakeCockpit()


@pytest.fixture
def card(qtbot: Any, cockpit: FakeCockpit, clock: Seconds) -> RollbackCard:
    made = RollbackCard(cockpit, clock_s=clock)
    qtbot.addWidget(made)
    made.resize(296, 700)
    made.show_place(*PLACE)
    made.show()
    return made


def fired(cockpit: FakeCockpit) -> list[tuple[Any, ...]]:
    return [c for c in cockpit.actions.calls if c[0] == "fire"]


def click(card: RollbackCard) -> None:
    QTest.mouseClick(card.button, LEFT)


def arm_and_wait(card: RollbackCard, clock: Seconds) -> None:
    click(card)
    assert card.machine.phase is Phase.ARMED
    clock.now_s += 1.0


def ill(state: AppState) -> AppState:
    """One node of the place is not healthy any more."""
    at = place(*PLACE)
    fact = state.fleets[at]
    nodes = (*fact.value.nodes[:-1], replace(fact.value.nodes[-1], healthy=False))
    return replace(state, fleets={**state.fleets, at: replace(fact, value=replace(fact.value, nodes=nodes))})


def put_action(cockpit: FakeCockpit, action: Action, card: RollbackCard, **fields: Any) -> Action:
    changed = replace(action, **fields)
    cockpit.store.merge("actions", {changed.key: changed})
    card.refresh()
    return changed


# ---- failure cases first


def test_a_double_click_arms_but_does_not_fire(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    click(card)
    clock.now_s += 0.1
    QTest.mouseDClick(card.button, LEFT)
    assert not fired(cockpit)
    assert card.machine.phase is Phase.ARMED


def test_a_double_click_on_the_armed_button_fires_once_and_touches_nothing_more(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds
) -> None:
    arm_and_wait(card, clock)
    click(card)
    QTest.mouseDClick(card.button, LEFT)
    QTest.mouseClick(card.abort_button, LEFT)
    assert len(fired(cockpit)) == 1
    assert [c[0] for c in cockpit.actions.calls] == ["fire"]


def test_a_double_click_event_alone_never_clicks(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    arm_and_wait(card, clock)
    card.button.pressed_as.emit(True, False)
    assert not fired(cockpit)
    assert card.machine.phase is Phase.ARMED


def test_a_click_within_400_ms_of_arming_does_not_fire_and_hammering_never_does(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds
) -> None:
    click(card)
    for _ in range(20):
        clock.now_s += 0.2
        click(card)
    assert not fired(cockpit)
    clock.now_s += 0.41
    click(card)
    assert len(fired(cockpit)) == 1


def test_a_repeating_key_does_not_fire(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.button.setFocus()
    QTest.keyPress(card.button, Qt.Key.Key_Return)
    assert card.machine.phase is Phase.ARMED
    for _ in range(30):
        clock.now_s += 0.5
        held = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier, "\r", True)
        QApplication.sendEvent(card.button, held)
        if card.machine.phase is not Phase.ARMED:
            break
    assert not fired(cockpit)


def test_it_disarms_after_ten_seconds_and_says_so(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    arm_and_wait(card, clock)
    card.tick()
    assert "9 s left" in card.button.note
    clock.now_s += ARM_S
    card.tick()
    assert card.machine.phase is Phase.IDLE
    assert "nobody fired" in card.say.as_text
    click(card)
    assert not fired(cockpit)
    assert card.machine.phase is Phase.ARMED


def test_a_click_after_the_ten_seconds_never_fires_even_before_the_timer_came(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds
) -> None:
    click(card)
    clock.now_s += ARM_S + 0.1
    click(card)
    assert not fired(cockpit)


def test_esc_disarms(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    arm_and_wait(card, clock)
    assert card.escape()
    assert card.machine.phase is Phase.IDLE
    clock.now_s += 1
    card.fire()
    assert not fired(cockpit)


def test_a_changed_fact_disarms_and_is_named(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    arm_and_wait(card, clock)
    cockpit.store.state = ill(cockpit.store.state)
    card.refresh()
    assert card.machine.phase is Phase.IDLE
    assert "not healthy: production-4" in card.say.as_text
    assert not fired(cockpit)


def test_facts_that_go_stale_disarm(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    arm_and_wait(card, clock)
    cockpit.now_us += 60_000_000
    card.tick()
    assert card.machine.phase is Phase.IDLE
    assert "not known" in card.say.as_text


def test_another_place_disarms(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    arm_and_wait(card, clock)
    card.show_place("market-data", "production")
    clock.now_s += 1
    card.fire()
    assert not fired(cockpit)


def test_a_refusal_at_the_last_moment_is_said_and_nothing_is_shown_as_sent(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds
) -> None:
    arm_and_wait(card, clock)
    cockpit.actions.refuse = "what runs there changed"
    click(card)
    assert card.machine.phase is Phase.IDLE
    assert "what runs there changed" in card.say.as_text
    assert card.pages.currentIndex() == 0


def test_a_refused_plan_keeps_its_button_and_says_why_and_where(qtbot: Any, card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.store.state = replace(cockpit.store.state, fleets={})
    card.refresh()
    assert isinstance(card.machine.plan, Refusal)
    assert card.button.isEnabled()
    assert card.button.isVisible()
    assert card.button.look == "refused"
    click(card)
    assert "Nothing was sent" in card.say.as_text
    links = [r for r in card.plan_page.rows.rows if r.place and not r.isHidden()]
    assert links
    with qtbot.waitSignal(card.went) as heard:
        QTest.mouseClick(links[0], LEFT, pos=QPoint(20, 6))
    assert heard.args == [links[0].place]


def test_read_only_never_arms_nor_fires(qtbot: Any, clock: Seconds) -> None:
    cockpit = FakeCockpit(read_only=True)
    card = RollbackCard(cockpit, clock_s=clock)
    qtbot.addWidget(card)
    card.show_place(*PLACE)
    card.show()
    click(card)
    clock.now_s += 1
    click(card)
    assert not fired(cockpit)
    assert "only reads" in card.say.as_text


def test_nothing_selected(qtbot: Any, clock: Seconds) -> None:
    cockpit = FakeCockpit(AppState())
    card = RollbackCard(cockpit, clock_s=clock)
    qtbot.addWidget(card)
    card.show()
    click(card)
    assert not fired(cockpit)
    assert "Nothing selected" in card.as_text()


# ---- the way it is meant


def test_two_considered_clicks_fire_with_the_reason(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    QTest.keyClicks(card.reason, "p99 left its band")
    place_before = card.button.geometry()
    click(card)
    assert card.button.look == "armed"
    assert card.button.text() == "Roll back production to 1.5.1"
    assert card.button.geometry() == place_before
    assert card.button.width() >= 200
    assert card.button.height() >= 44
    clock.now_s += 0.5
    click(card)
    (call,) = fired(cockpit)
    assert call[1].target.name == "1.5.1"
    assert call[2] == "p99 left its band"
    assert card.pages.currentIndex() == 1


def test_keyboard_arms_and_fires_and_arming_twice_does_not_fire(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    card.arm()
    clock.now_s += 0.5
    card.arm()
    assert not fired(cockpit)
    card.fire()
    assert len(fired(cockpit)) == 1
    assert card.window().focusWidget() is card


def test_fire_without_arm_does_nothing(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.fire()
    assert not fired(cockpit)
    assert card.machine.phase is Phase.IDLE


def test_deploy_mode_and_the_way_back(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_deploy("1.7.0")
    assert card.plan_page.what.whole.startswith("DEPLOY")
    assert card.plan_page.back.isVisible()
    QTest.mouseClick(card.plan_page.back, LEFT)
    assert card.mode == ("rollback", "")
    assert card.plan_page.what.whole == "ROLLBACK"


def start(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> Action:
    arm_and_wait(card, clock)
    click(card)
    (action,) = cockpit.store.state.actions.values()
    steps = (NodeStep("production-1", "done", "d"), NodeStep("production-2", "starting"), NodeStep("production-3", "pending"))
    deployment = Deployment("d1", action.key, *PLACE, action.version, action.digest, "rollback", DeployState.RUNNING, steps=steps)
    return put_action(cockpit, action, card, state=ActionState.FOLLOWING, deployment=deployment)


def test_progress_node_by_node_then_proof_then_done(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    action = start(card, cockpit, clock)
    cockpit.now_us += 12_000_000
    card.tick()
    text = card.as_text()
    assert "production-2: starting" in text
    assert "1 of 3 nodes, 12 s" in text
    proof = (Line(LineState.OK, "production-1 runs 59f21fe79233"), Line(LineState.UNKNOWN, "latency: not enough seen yet", 0, "latency"))
    put_action(cockpit, action, card, state=ActionState.DONE, proof=proof, ended_at_us=action.intended_at_us + 38_000_000)
    text = card.as_text()
    assert "Done and verified" in text
    assert "production-1 runs 59f21fe79233" in text
    assert "38.0 s in all" in text
    assert card.done_button.isVisible()
    QTest.mouseClick(card.done_button, LEFT)
    assert card.pages.currentIndex() == 0
    card.refresh()
    assert card.pages.currentIndex() == 0


def test_the_proof_names_the_journal_number(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    action = start(card, cockpit, clock)
    cockpit.actions.entries.append(replace(cockpit.actions.entries[-1], seq=1234, key=action.key))
    put_action(cockpit, action, card, state=ActionState.DONE, ended_at_us=action.intended_at_us)
    assert "journal no. 1,234" in card.as_text()


def test_the_journal_number_follows_until_the_outcome_is_written_and_is_never_searched_for(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    of = cockpit.actions.entries_of
    monkeypatch.setattr(cockpit.actions, "entries_of", lambda key: asked.append(key) or of(key))
    monkeypatch.setattr(cockpit.actions, "activity", lambda *args, **kwargs: pytest.fail("a search through the whole journal"))
    action = start(card, cockpit, clock)
    intent = replace(cockpit.actions.entries[-1], seq=1234, key=action.key, kind="intent")
    cockpit.actions.entries.append(intent)
    put_action(cockpit, action, card, state=ActionState.DONE, ended_at_us=action.intended_at_us)
    assert "journal no. 1,234" in card.as_text()
    cockpit.actions.entries.append(replace(intent, seq=1240, kind="outcome"))
    card.tick()
    assert "journal no. 1,240" in card.as_text()
    count = len(asked)
    card.tick()
    assert len(asked) == count, "what is written does not change"


def test_a_journal_that_cannot_be_read_leaves_the_number_out(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(key: str) -> Any:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(cockpit.actions, "entries_of", broken)
    action = start(card, cockpit, clock)
    put_action(cockpit, action, card, state=ActionState.DONE, ended_at_us=action.intended_at_us)
    assert "Done and verified" in card.as_text()
    assert "journal no." not in card.as_text()


def test_an_unknown_outcome_is_never_called_failed(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    action = start(card, cockpit, clock)
    put_action(cockpit, action, card, state=ActionState.UNKNOWN)
    text = card.as_text()
    assert "Not known yet" in text
    assert "fail" not in text.lower()


def test_abort_asks_once_more_and_the_rest_of_the_firing_click_never_reaches_it(
    card: RollbackCard, cockpit: FakeCockpit, clock: Seconds
) -> None:
    start(card, cockpit, clock)
    QTest.mouseClick(card.abort_button, LEFT)
    assert not card.machine.abort_armed
    clock.now_s += 1
    QTest.mouseClick(card.abort_button, LEFT)
    assert "Confirm" in card.abort_button.text()
    clock.now_s += 0.2
    QTest.mouseClick(card.abort_button, LEFT)
    assert not [c for c in cockpit.actions.calls if c[0] == "abort"]
    clock.now_s += 1
    QTest.mouseClick(card.abort_button, LEFT)
    assert [c for c in cockpit.actions.calls if c[0] == "abort"]


def test_an_abort_that_is_refused_says_so(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    start(card, cockpit, clock)
    cockpit.actions.refuse = "it has ended already"
    for _ in range(2):
        clock.now_s += 1
        QTest.mouseClick(card.abort_button, LEFT)
    assert "it has ended already" in card.say.as_text


def test_an_action_that_ended_before_this_window_is_no_news(card: RollbackCard, cockpit: FakeCockpit) -> None:
    old = Action("old", "rollback", *PLACE, "1.7.0", "a", "1.6.0", "b", "You", ActionState.DONE, 1)
    put_action(cockpit, old, card)
    assert card.pages.currentIndex() == 0


def test_hostile_text_stays_plain_and_long_names_are_cut_with_the_whole_in_the_tooltip(card: RollbackCard, cockpit: FakeCockpit) -> None:
    name = "<b>x</b>" + "9" * 492
    state = cockpit.store.state
    fact = state.fleets[place(*PLACE)]
    nodes = tuple(replace(n, version=name) for n in fact.value.nodes)
    cockpit.store.state = replace(state, fleets={place(*PLACE): Fact(replace(fact.value, nodes=nodes), fact.at_us)})
    card.refresh()
    assert card.width() == 296
    assert "…" in card.plan_page.move_text.text()
    assert card.plan_page.move_text.textFormat() is Qt.TextFormat.PlainText
    assert name in card.plan_page.move_text.whole


def test_ctrl_c_copies_what_is_seen(card: RollbackCard) -> None:
    card.button.setFocus()
    QTest.keyClick(card.button, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    text = QGuiApplication.clipboard().text()
    assert "1.6.0 → 1.5.1" in text
    assert "4 nodes healthy" in text


def test_accessible_names(card: RollbackCard) -> None:
    assert card.button.accessibleName() == "Arm rollback"
    assert card.reason.accessibleName()
    assert card.plan_page.rows.accessibleName()
