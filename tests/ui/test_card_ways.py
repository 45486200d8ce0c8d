"""The card's other ways: what needs a reason, acting alone, holds, requests, locks, a clock that jumped. Refusals first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.facts import Fact
from cockpit.domain.rollout import ActionState, Line, LineState, Refusal, RolloutPlan
from tests.fakes.believable import NOW_US, version
from tests.fakes.cockpit import FakeCockpit, Me
from tests.fakes.trust import ME, STRICT, statement
from ui.widgets.arming import Phase
from ui.widgets.rollback_card import RollbackCard

LEFT = Qt.MouseButton.LeftButton
PLACE = ("order-gateway", "production")
LOCK = Line(LineState.UNKNOWN, "git cannot be reached: the lock cannot be taken", NOW_US, "sources", insist=True)
HTML = "<b>x</b><img src=y>"


class Clocks:
    """The monotonic clock, and how far the wall clock jumped."""

    def __init__(self) -> None:
        self.now_s, self.jump_s = 100.0, 0.0

    def __call__(self) -> float:
        return self.now_s

    def jumped(self) -> float:
        moved, self.jump_s = self.jump_s, 0.0
        return moved


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def cockpit() -> FakeCockpit:
    made = FakeCockpit()
    made.rules = STRICT
    return made


@pytest.fixture
def card(qtbot: Any, cockpit: FakeCockpit, clocks: Clocks) -> RollbackCard:
    made = RollbackCard(cockpit, clock_s=clocks, jumped=clocks.jumped)
    qtbot.addWidget(made)
    made.resize(284, 680)
    made.show_place(*PLACE)
    made.show()
    return made


def adding(*lines: Line) -> Callable[[Any], Any]:
    """The same plan with more lines."""
    return lambda plan: replace(plan, preflight=(*plan.preflight, *lines))


def fired(cockpit: FakeCockpit) -> list[Any]:
    return [c for c in cockpit.actions.calls if c[0] == "fire"]


def ways(card: RollbackCard) -> list[str]:
    return [b.accessibleName() for b in card.ways.buttons if not b.isHidden()] if not card.ways.isHidden() else []


def choose(card: RollbackCard, words: str) -> None:
    (button,) = (b for b in card.ways.buttons if b.accessibleName().startswith(words))
    QTest.mouseClick(button, LEFT)


def fire(card: RollbackCard, clocks: Clocks) -> None:
    QTest.mouseClick(card.button, LEFT)
    clocks.now_s += 1
    QTest.mouseClick(card.button, LEFT)
    clocks.now_s += 1


# ---- what is passed over needs a reason


def test_what_is_passed_over_does_not_arm_without_a_reason(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    cockpit.actions.bend = adding(LOCK)
    card.refresh()
    assert card.say.as_text == "warning  Firing passes over: git cannot be reached: the lock cannot be taken."
    assert card.reason.placeholderText() == "Reason (required)"
    assert card.button.look == "ready"
    fire(card, clocks)
    card.arm()
    assert card.machine.phase is Phase.IDLE
    assert "Write the reason first" in card.say.as_text
    assert card.focusWidget() is card.reason
    assert not fired(cockpit)


def test_with_a_reason_it_arms_and_the_reason_goes_along(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    cockpit.actions.bend = adding(LOCK, replace(LOCK, text="a rollback of a rollback", state=LineState.BLOCKED))
    card.refresh()
    assert "and 1 more" in card.say.as_text
    QTest.keyClicks(card.reason, "git is down")
    fire(card, clocks)
    assert [c[2] for c in fired(cockpit)] == ["git is down"]


def test_a_reason_that_is_taken_away_while_armed_does_not_fire(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    cockpit.actions.bend = adding(LOCK)
    card.refresh()
    QTest.keyClicks(card.reason, "git is down")
    QTest.mouseClick(card.button, LEFT)
    clocks.now_s += 1
    card.reason.clear()
    QTest.mouseClick(card.button, LEFT)
    assert not fired(cockpit)
    assert card.machine.phase is Phase.IDLE


def test_the_worst_line_stands_first_and_leads_to_its_place(qtbot: Any, card: RollbackCard, cockpit: FakeCockpit) -> None:
    warning = Line(LineState.WARNING, f"the system deploys by itself ({HTML}{'n' * 500})", NOW_US, "activity")
    cockpit.actions.bend = adding(warning, LOCK)
    card.refresh()
    rows = card.plan_page.rows.rows
    assert [r.as_text.split("  ")[0] for r in rows][:3] == ["unknown", "warning", "ok"]
    assert HTML in rows[1].as_text, "markup stays plain"
    with qtbot.waitSignal(card.went) as heard:
        rows[0].click()
    assert heard.args == ["sources"]
    assert card.width() == 284


# ---- the clock jumped


def test_a_clock_jump_disarms_and_says_so(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    QTest.mouseClick(card.button, LEFT)
    assert card.machine.phase is Phase.ARMED
    clocks.now_s += 1
    clocks.jump_s = 3600.0
    QTest.mouseClick(card.button, LEFT)
    assert not fired(cockpit)
    clocks.jump_s = -90.0
    card.arm()
    assert "the clock moved on by 1 h" in card.say.as_text or card.machine.phase is Phase.ARMED


def test_a_jump_seen_by_the_tick_disarms(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    QTest.mouseClick(card.button, LEFT)
    clocks.jump_s = -90.0
    card.tick()
    assert card.machine.phase is Phase.IDLE
    assert "the clock moved back by 1 min 30 s" in card.say.as_text


def test_a_jump_while_nothing_is_armed_is_no_news(card: RollbackCard, clocks: Clocks) -> None:
    clocks.jump_s = 3600.0
    card.tick()
    assert card.say.isHidden()


# ---- acting alone


def wanting_approvals(cockpit: FakeCockpit) -> None:
    cockpit.rules = replace(STRICT, approvals={"production": ApprovalRule(2)}, strategies={})


def test_who_may_not_act_alone_is_not_offered_it(card: RollbackCard, cockpit: FakeCockpit) -> None:
    wanting_approvals(cockpit)
    cockpit.settings = replace(cockpit.settings, me=Me("Ada", "ada@x"))
    card.show_deploy("1.7.0")
    card.tick()
    assert isinstance(card.machine.plan, Refusal)
    assert "Emergency" not in str(ways(card))


def test_alone_needs_a_reason_tells_of_the_review_and_fires_as_an_emergency(
    card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks
) -> None:
    wanting_approvals(cockpit)
    card.show_deploy("1.7.0")
    card.tick()
    choose(card, "Emergency: deploy alone")
    assert card.plan_page.what.whole == "EMERGENCY: DEPLOY ALONE"
    assert "A second person must sign it off later" in card.say.as_text
    fire(card, clocks)
    assert not fired(cockpit)
    QTest.keyClicks(card.reason, "customers cannot trade")
    QTest.mouseClick(card.button, LEFT)
    assert card.button.text() == "Alone: deploy 1.7.0 to production"
    clocks.now_s += 1
    QTest.mouseClick(card.button, LEFT)
    (call,) = fired(cockpit)
    assert call[1].emergency
    assert call[2] == "customers cannot trade"


def test_the_way_back_from_alone_leads_to_the_deployment_with_approvals(card: RollbackCard, cockpit: FakeCockpit) -> None:
    wanting_approvals(cockpit)
    card.show_deploy("1.7.0", emergency=True)
    QTest.mouseClick(card.plan_page.back, LEFT)
    assert card.mode == ("deploy", "1.7.0")
    assert isinstance(card.machine.plan, Refusal)


def test_alone_passes_over_the_strategy_and_says_so(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    wanting_approvals(cockpit)
    cockpit.rules = replace(cockpit.rules, strategies=STRICT.strategies)
    card.show_deploy("1.7.0", emergency=True)
    assert "All nodes at once" in card.say.as_text
    QTest.keyClicks(card.reason, "now")
    fire(card, clocks)
    assert len(fired(cockpit)) == 1
    assert not cockpit.rollouts.calls


# ---- held versions


def test_a_held_version_is_refused_with_who_why_and_since(card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0", reason=HTML),))
    card.show_deploy("1.7.0")
    text = card.as_text()
    assert "1.7.0 is held by dora.lindt@playground.invalid since 2026-11-22 09:31 UTC" in text
    assert HTML in text
    assert "Deploy when approved…" not in ways(card), "a hold does not pass with time"


def test_clearing_a_hold_needs_a_reason_and_says_what_was_refused(card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0"),))
    cockpit.words.refuse = "the policy does not let you clear it"
    cockpit.words.why = "the policy names others"
    card.show_deploy("1.7.0")
    choose(card, "Clear the hold")
    form = card.form_page
    assert "You cannot clear it: the policy names others" in form.as_text()
    QTest.mouseClick(form.ok, LEFT)
    assert "Write the reason first" in form.as_text()
    assert not cockpit.words.calls
    QTest.keyClicks(form.reason, "fixed in the feed")
    QTest.mouseClick(form.ok, LEFT)
    assert "the policy does not let you clear it" in form.as_text()
    assert form.reason.text() == "fixed in the feed", "nothing is lost"


def test_a_hold_is_cleared_and_the_plan_comes_back(card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0"),))
    card.show_deploy("1.7.0")
    choose(card, "Clear the hold")
    assert not card.button.isVisible()
    QTest.keyClicks(card.form_page.reason, "fixed")
    QTest.keyClick(card.form_page.reason, Qt.Key.Key_Return)
    (call,) = cockpit.words.calls
    assert (call[0], call[1].version, call[2]) == ("clear", "1.7.0", "fixed")
    assert "is held" not in card.plan_page.rows.as_text
    assert "The hold on 1.7.0 is cleared." in card.say.as_text


def test_esc_leaves_a_form_and_says_nothing(card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0"),))
    card.show_deploy("1.7.0")
    choose(card, "Clear the hold")
    assert card.escape()
    assert not card.form_page.open
    assert card.button.isVisible()
    assert not cockpit.words.calls


def test_after_a_rollback_the_proof_says_whether_what_left_is_held(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    fire(card, clocks)
    (action,) = cockpit.store.state.actions.values()
    cockpit.store.merge("actions", {action.key: replace(action, state=ActionState.DONE, ended_at_us=NOW_US)})
    card.refresh()
    assert "1.6.0 is not held yet" in card.as_text()
    cockpit.store.apply(statements=(statement("hold", "1.6.0"),))
    card.refresh()
    assert "held  1.6.0 is held: nobody deploys it here until a named person clears it" in card.as_text()


# ---- requests


def test_a_request_is_offered_only_where_what_is_missing_may_still_come(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_deploy("1.7.0")
    assert "Deploy when approved…" in ways(card)
    fleets = {k: f for k, f in cockpit.store.state.fleets.items() if k != "order-gateway@production"}
    cockpit.store.apply(fleets=fleets)
    card.refresh()
    assert "Deploy when approved…" not in ways(card)


def test_a_request_has_an_end_and_is_shown_until_it_is_withdrawn(card: RollbackCard, cockpit: FakeCockpit) -> None:
    card.show_deploy("1.7.0")
    choose(card, "Deploy when approved")
    card.form_page.end.setCurrentIndex(card.form_page.end.findText("8 h"))
    QTest.mouseClick(card.form_page.ok, LEFT)
    (call,) = cockpit.words.calls
    assert (call[0], call[1].name, call[2], call[3]) == ("request", "1.7.0", "production", NOW_US + 8 * 3600 * 1_000_000)
    card.machine.said = ""
    card.refresh()
    assert "1.7.0 goes when nothing is missing, until 17:41 UTC, asked by You" in card.say.as_text
    choose(card, "Withdraw the request")
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert cockpit.words.calls[-1][0] == "withdraw"
    assert "Deploy when approved…" in ways(card)


def test_a_request_that_is_refused_stays_in_the_form(card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.words.refuse = "it is not known who you are"
    card.show_deploy("1.7.0")
    choose(card, "Deploy when approved")
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert "it is not known who you are" in card.form_page.as_text()
    card.show_place("market-data", "production")
    assert not card.form_page.open, "another place: the form was about the one before"


# ---- locks


def test_a_lock_is_broken_with_a_reason_only(card: RollbackCard, cockpit: FakeCockpit) -> None:
    calls: list[tuple[str, ...]] = []

    class Locks:
        def break_(self, environment: str, who: str, reason: str) -> None:
            calls.append((environment, who, reason))

    cockpit.locks = Locks()  # type: ignore[attr-defined]
    cockpit.store.apply(locks={"production": Fact(f"ana@x, deploy {HTML}", NOW_US)})
    blocked = Line(LineState.BLOCKED, "production is locked: ana@x", NOW_US, "activity")

    def bend(plan: Any) -> Any:
        assert isinstance(plan, RolloutPlan)
        from cockpit.domain.readiness import Reason

        return Refusal(plan.kind, plan.service, plan.environment, (Reason("activity", blocked.text),), plan.target, "1.6.0", (blocked,))

    cockpit.actions.bend = bend
    card.refresh()
    choose(card, "Break the lock")
    assert f"locked: ana@x, deploy {HTML}" in card.form_page.as_text()
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert not calls
    QTest.keyClicks(card.form_page.reason, "ana's machine is gone")
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert calls == [("production", f"You <{ME}>", "ana's machine is gone")]


def test_read_only_says_so_in_every_form(qtbot: Any, clocks: Clocks) -> None:
    cockpit = FakeCockpit(read_only=True)
    cockpit.rules = STRICT
    cockpit.store.apply(statements=(statement("hold", "1.7.0"),))
    card = RollbackCard(cockpit, clock_s=clocks)
    qtbot.addWidget(card)
    card.show_place(*PLACE)
    card.show_deploy("1.7.0")
    card.show()
    choose(card, "Clear the hold")
    QTest.keyClicks(card.form_page.reason, "fixed")
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert "read-only" in card.form_page.as_text()


def test_every_way_has_an_accessible_name_and_is_reached_by_tab(card: RollbackCard, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0"),))
    card.show_deploy("1.7.0")
    for button in card.ways.buttons:
        assert button.accessibleName() or button.isHidden()
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert version("order-gateway", "1.7.0").digest


def test_no_line_is_cut_however_it_wraps(qtbot: Any, card: RollbackCard, cockpit: FakeCockpit) -> None:
    words = ("the API contract changes on the way: services/gateway/module_1.py", "tests are failed: run run-002: failed; it does not wait")
    lines = [Line(LineState.WARNING, text, NOW_US, "versions") for text in words for _ in range(4)]
    cockpit.actions.bend = adding(*lines)
    card.refresh()

    def cut() -> list[str]:
        rows = [r for r in card.plan_page.rows.rows if not r.isHidden()]
        return [r.as_text for r in rows if r.height() < r.heightForWidth(r.width())]

    for width in (280, 284, 287, 290, 296):
        card.resize(width, 680)
        qtbot.waitUntil(lambda: not cut())


# ---- what nobody tells


def unknown(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> str:
    fire(card, clocks)
    (action,) = cockpit.store.state.actions.values()
    cockpit.store.merge("actions", {action.key: replace(action, state=ActionState.UNKNOWN)})
    card.refresh()
    return action.key


def test_what_still_answers_is_waited_for(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    fire(card, clocks)
    card.refresh()
    assert ways(card) == []


def test_an_action_that_nobody_tells_of_is_let_go_with_a_reason_only(card: RollbackCard, cockpit: FakeCockpit, clocks: Clocks) -> None:
    key = unknown(card, cockpit, clocks)
    choose(card, "Wait no more for it")
    assert "stays not known" in card.form_page.as_text()
    assert not card.abort_button.isVisible()
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert not [c for c in cockpit.actions.calls if c[0] == "let_go"]
    card.tick()
    assert card.form_page.isVisible(), "the form stays while the outcome stays unknown"
    QTest.keyClicks(card.form_page.reason, "the deployer is gone")
    QTest.mouseClick(card.form_page.ok, LEFT)
    assert cockpit.actions.calls[-1] == ("let_go", key, "the deployer is gone")
    assert card.progress_page.isVisible()
