"""The countdown in head and card: one click stops it, no click goes astray, nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QPoint, QSettings, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from cockpit.domain.policy import Rules
from cockpit.domain.watching import Finding, WatchRule, WatchState
from tests.fakes.believable import MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.seconds import Seconds
from tests.fakes.watches import UNSEEN, WHY, bad, counting, put, watched
from ui.main_window import MainWindow
from ui.theme import apply
from ui.views import watch_strip
from ui.views.help import SHORTCUTS
from ui.views.watch_strip import COUNTING, IDLE, NOTE, NOTE_S, WatchStrip
from ui.widgets.arming import GUARD_S, Phase
from ui.widgets.rollback_card import RollbackCard
from ui.widgets.watch_slot import QUIET, STOP

LEFT = Qt.MouseButton.LeftButton
PLACE = ("order-gateway", "production")


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    apply(qapp, "dark")
    made = FakeCockpit()
    put(made)
    return made


@pytest.fixture
def card(qtbot: Any, cockpit: FakeCockpit, clock: Seconds) -> RollbackCard:
    made = RollbackCard(cockpit, clock_s=clock)
    qtbot.addWidget(made)
    made.resize(284, 688)
    made.show_place(*PLACE)
    made.show()
    return made


@pytest.fixture
def strip(qtbot: Any, cockpit: FakeCockpit, clock: Seconds) -> WatchStrip:
    made = WatchStrip(cockpit, clock_s=clock)
    qtbot.addWidget(made)
    made.resize(1000, 24)
    made.show()
    return made


def stops(cockpit: FakeCockpit) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = cockpit.watch.calls  # type: ignore[attr-defined]
    return calls


def begin(cockpit: FakeCockpit, part: RollbackCard | WatchStrip, *found: Any) -> None:
    put(cockpit, *(found or (counting(),)))
    part.refresh()


def places(card: RollbackCard) -> dict[str, QPoint]:
    """Where everything that can be clicked on the card stands."""
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
    parts: dict[str, QWidget] = {"fire": card.button, "reason": card.reason, "slot": card.watch_slot, "words": card.watch_slot.words}
    parts |= {f"row {n}": row for n, row in enumerate(card.plan_page.rows.rows)}
    return {name: part.mapTo(card, QPoint()) for name, part in parts.items()}


# ---- clicks that must do nothing


@pytest.mark.parametrize("presses", [1, 5])
def test_a_click_just_when_it_appears_stops_nothing(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds, presses: int) -> None:
    begin(cockpit, card)
    for _ in range(presses):
        QTest.mouseClick(card.watch_slot.stop_button, LEFT)
        clock.now_s += (GUARD_S - 0.01) / presses
    assert not stops(cockpit)


def test_whoever_hammers_stop_means_it(strip: WatchStrip, cockpit: FakeCockpit, clock: Seconds) -> None:
    begin(cockpit, strip)
    for _ in range(6):
        QTest.mouseClick(strip.stop_button, LEFT)
        clock.now_s += 0.1
    assert len(stops(cockpit)) == 1


def test_the_rest_of_a_click_never_stops_the_next_countdown(strip: WatchStrip, cockpit: FakeCockpit, clock: Seconds) -> None:
    begin(cockpit, strip, counting(), counting(25.0, service="market-data"))
    clock.now_s += 5
    QTest.mouseClick(strip.stop_button, LEFT)
    assert strip.place == ("market-data", "production")
    QTest.mouseDClick(strip.stop_button, LEFT)
    QTest.mouseClick(strip.stop_button, LEFT)
    assert [call[0] for call in stops(cockpit)] == ["order-gateway"]


def test_firing_is_not_touched_by_a_countdown_that_begins_under_way(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    put(cockpit, watched())
    card.refresh()
    QTest.mouseClick(card.button, LEFT)
    assert card.machine.phase is Phase.ARMED
    clock.now_s += 1
    before = places(card)
    begin(cockpit, card)
    assert places(card) == before, "what was aimed at is still there"
    assert card.machine.phase is Phase.ARMED
    QTest.mouseClick(card.button, LEFT)
    assert [c[0] for c in cockpit.actions.calls] == ["fire"]
    assert not stops(cockpit)


@pytest.mark.parametrize("ready", [True, False])
def test_nothing_moves_when_it_begins_is_stopped_or_ends(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds, ready: bool) -> None:
    put(cockpit, watched())
    card.refresh()
    before = places(card)
    where = card.watch_slot.foot.mapTo(card, QPoint())
    begin(cockpit, card)
    assert places(card) == before
    assert card.watch_slot.stop_button.mapTo(card, QPoint()).y() >= where.y()
    clock.now_s += 1
    if ready:
        QTest.mouseClick(card.watch_slot.stop_button, LEFT)
    else:
        begin(cockpit, card, bad(why_not="it settles"))
    assert places(card) == before
    cockpit.store.apply(watches={})
    card.refresh()
    assert places(card) == before, "its room stays while one looks"


def test_fire_stays_where_it_is_when_the_first_watch_begins(card: RollbackCard, cockpit: FakeCockpit) -> None:
    before = places(card)
    begin(cockpit, card, watched())
    after = places(card)
    assert card.watch_slot.height() > 80
    assert after["fire"] == before["fire"]
    assert after["row 0"] != before["row 0"], "the room comes from the list"


def test_where_stop_comes_nothing_could_be_clicked_before(card: RollbackCard, cockpit: FakeCockpit) -> None:
    put(cockpit, watched())
    card.refresh()
    box = card.watch_slot.foot.rect().translated(card.watch_slot.foot.mapTo(card, QPoint()))
    assert not box.contains(card.watch_slot.words.mapTo(card, card.watch_slot.words.rect().center()))
    QTest.mouseClick(card.watch_slot.foot.currentWidget(), LEFT)
    assert not stops(cockpit)
    assert card.machine.phase is Phase.IDLE


def test_a_held_key_presses_once(strip: WatchStrip, cockpit: FakeCockpit, clock: Seconds) -> None:
    begin(cockpit, strip)
    clock.now_s += 1
    for kind in (Qt.Key.Key_Return, Qt.Key.Key_Space):
        event = QKeyEvent(QKeyEvent.Type.KeyPress, kind, Qt.KeyboardModifier.NoModifier, "", True)
        QApplication.sendEvent(strip.stop_button, event)
    assert not stops(cockpit)
    QTest.keyClick(strip.stop_button, Qt.Key.Key_Return)
    assert len(stops(cockpit)) == 1


@pytest.mark.parametrize("how", ["refuse", "late"])
def test_a_refusal_is_said_in_its_place(strip: WatchStrip, card: RollbackCard, cockpit: FakeCockpit, clock: Seconds, how: str) -> None:
    setattr(cockpit.watch, how, "This window only reads")  # type: ignore[attr-defined]
    begin(cockpit, strip)
    card.refresh()
    clock.now_s += 1
    QTest.mouseClick(strip.stop_button, LEFT)
    QTest.mouseClick(card.watch_slot.stop_button, LEFT)
    assert "Not stopped" in strip.countdown.sentence
    assert "This window only reads" in strip.countdown.sentence
    assert "This window only reads" in card.watch_slot.words.words
    assert strip.currentIndex() == COUNTING, "it goes on counting"
    begin(cockpit, strip, counting(29.0, deployment="d-000018"))
    assert "Not stopped" not in strip.countdown.sentence, "that was another one"


def test_a_cockpit_without_a_watch_breaks_nothing(qtbot: Any, cockpit: FakeCockpit, clock: Seconds) -> None:
    del cockpit.watch  # type: ignore[attr-defined]
    cockpit.store.merge("watches", {"order-gateway@production": counting()})
    made = WatchStrip(cockpit, clock_s=clock)
    qtbot.addWidget(made)
    clock.now_s += 1
    made.stop()
    assert "Not stopped" in made.countdown.sentence


# ---- what it says


def test_one_click_stops_it_and_says_who_and_what_next(strip: WatchStrip, card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    begin(cockpit, strip)
    card.refresh()
    assert strip.countdown.sentence == f"Automatic rollback of order-gateway in production to 1.6.0 in 23 s: {WHY}"
    assert card.watch_slot.words.words == f"To 1.6.0: {WHY}"
    clock.now_s += GUARD_S
    QTest.mouseClick(card.watch_slot.stop_button, LEFT)
    assert stops(cockpit) == [("order-gateway", "production", "")]
    strip.refresh()
    assert strip.currentIndex() == NOTE
    assert "Stopped by You: roll back by hand with Shift+R" in strip.note.text
    assert card.watch_slot.words.words.startswith("Stopped by You: roll back by hand with Shift+R")
    assert card.watch_slot.foot.currentIndex() == QUIET
    clock.now_s += NOTE_S
    strip.tick()
    assert strip.currentIndex() == IDLE
    assert not strip._timer.isActive()


def test_the_seconds_count_and_nothing_beside_them_moves(strip: WatchStrip, cockpit: FakeCockpit) -> None:
    begin(cockpit, strip)
    boxes, name = strip.countdown.boxes(), strip.countdown.accessibleName()
    for left in range(22, 0, -1):
        cockpit.now_us = NOW_US + (23 - left) * S
        strip.tick()
        assert strip.countdown.seconds == f"in {left} s"
        assert strip.countdown.boxes() == boxes
    assert strip.countdown.accessibleName() == name, "a screen reader is not interrupted each second"
    assert strip.countdown.accessibleDescription() == "in 1 s"
    cockpit.now_us += S
    strip.tick()
    assert strip.countdown.seconds == "now"


def test_it_is_said_when_it_begins_again_near_the_end_and_when_it_is_over(
    strip: WatchStrip, cockpit: FakeCockpit, clock: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(watch_strip, "announce", lambda about, words: said.append(words))
    begin(cockpit, strip)
    for passed in range(23):
        cockpit.now_us = NOW_US + passed * S
        strip.refresh()
    assert [words.partition(" to 1.6.0 ")[2][:7] for words in said] == ["in 23 s", "in 10 s"]
    clock.now_s += 1
    strip.stop()
    assert "Stopped by You" in said[-1]
    assert len(said) == 3


@pytest.mark.parametrize(
    ("after", "part"),
    [
        (bad(action="k1"), "began"),
        (bad(why_not="another deployment began"), "called off: another deployment began"),
        (watched(state=WatchState.FINE), "called off: its reason is gone"),
    ],
)
def test_what_became_of_it_is_said(strip: WatchStrip, cockpit: FakeCockpit, after: Any, part: str) -> None:
    begin(cockpit, strip)
    begin(cockpit, strip, after)
    assert part in strip.note.text


def test_the_first_to_end_is_shown_and_the_others_counted(strip: WatchStrip, cockpit: FakeCockpit) -> None:
    begin(cockpit, strip, counting(25.0), counting(9.0, service="market-data"))
    assert strip.place == ("market-data", "production")
    assert "and 1 more" in strip.countdown.sentence


def test_stop_is_named_whole_for_a_screen_reader(strip: WatchStrip, card: RollbackCard, cockpit: FakeCockpit) -> None:
    begin(cockpit, strip)
    card.refresh()
    for made in (strip.stop_button, card.watch_slot.stop_button):
        assert made.accessibleName() == "Stop the automatic rollback of order-gateway in production to 1.6.0"
    cockpit.watch.refuse = "This window only reads"  # type: ignore[attr-defined]
    strip.tick()
    assert "only reads" in strip.stop_button.accessibleDescription()


# ---- the card's lines


def test_the_card_says_state_sentence_progress_and_the_age_of_the_look(card: RollbackCard, cockpit: FakeCockpit) -> None:
    assert card.watch_slot.isHidden(), "without a watch it takes no room"
    begin(cockpit, card, watched())
    slot = card.watch_slot
    assert (slot.state.word, slot.state.text, slot.age.whole) == ("watching", "watching 1.7.0", "1 s ago")
    assert slot.words.words == "cannot yet see less than +15 % in place_order; +25 % in about 4 min"
    assert slot.words.shown() == ["cannot yet see less than +15 % in", "place_order; +25 % in about 4 min"], "not cut at 1280"
    assert slot.progress.text() == "4 of 15 min, 812 of 2,000 requests"
    assert "watching 1.7.0" in card.as_text()
    cockpit.now_us += 90 * S
    card.refresh()
    assert (slot.state.word, slot.age.whole) == ("stale", "1 min ago")
    assert "looked 1 min ago" in slot.age.toolTip()


def test_the_card_never_cuts_the_state_and_says_first_that_p99_left_its_band(card: RollbackCard, cockpit: FakeCockpit) -> None:
    verdict = replace(UNSEEN, sentence="cannot tell: cancel_order never saw the load of now on the version before")
    band = Finding("band", "p99 left the band of 1.6.1: 58.7 ms against at most 0.9 ms", NOW_US - MIN)
    begin(cockpit, card, watched(state=WatchState.BLIND, verdict=verdict, findings=(band,), ended_us=NOW_US - 12 * MIN))
    slot = card.watch_slot
    assert (slot.state.text, slot.age.whole) == ("1.7.0: cannot tell", "12 min ago")
    assert slot.progress.whole.startswith("over, ")
    assert slot.words.words.startswith("p99 left the band of 1.6.1: 58.7 ms against at most 0.9 ms; cancel_order never saw")
    assert slot.state.fontMetrics().horizontalAdvance(slot.state.text) < slot.state.width()


def test_the_strip_says_each_state_once_and_counts_the_others(strip: WatchStrip, cockpit: FakeCockpit) -> None:
    blind = watched(state=WatchState.BLIND, verdict=replace(UNSEEN, sentence="cannot tell: no requests"))
    put(cockpit, blind, replace(blind, service="risk-engine", state=WatchState.WATCHING))
    strip.refresh()
    assert strip.idle.whole == "order-gateway in production (2 watches): 1.7.0: cannot tell: no requests"
    cockpit.store.apply(watches={})
    strip.refresh()
    assert "Where the policy says so" in strip.idle.whole


def test_the_strip_tells_of_production_first_unless_another_place_is_bad(strip: WatchStrip, cockpit: FakeCockpit) -> None:
    blind = watched(service="risk-engine", environment="staging", state=WatchState.BLIND)
    put(cockpit, watched(), blind)
    strip.refresh()
    assert strip.idle.whole.startswith("order-gateway in production (2 watches): watching 1.7.0: ")
    put(cockpit, replace(blind, state=WatchState.BAD))
    strip.refresh()
    assert strip.idle.whole.startswith("risk-engine in staging (2 watches): 1.7.0: bad: ")


def test_a_long_verdict_ends_in_dots_and_is_whole_in_the_tooltip(card: RollbackCard, cockpit: FakeCockpit) -> None:
    begin(cockpit, card, bad(why_not="a person's override of the freeze is needed, and nothing automatic passes one"))
    slot = card.watch_slot
    assert len(slot.words.shown()) == 3
    assert slot.words.shown()[-1].endswith("…")
    assert slot.words.words.startswith(f"{WHY}. No automatic rollback: a person's override")
    assert "nothing automatic passes one" in slot.words.toolTip()
    assert "HighErrorRate" in slot.words.accessibleName()


def test_a_click_on_the_words_leads_to_all_of_it(qtbot: Any, card: RollbackCard, cockpit: FakeCockpit) -> None:
    begin(cockpit, card, watched())
    with qtbot.waitSignal(card.went) as heard:
        QTest.mouseClick(card.watch_slot.words, LEFT)
    assert heard.args == ["watch"]


def test_another_place_shows_its_own_watch_or_none(card: RollbackCard, cockpit: FakeCockpit) -> None:
    begin(cockpit, card)
    card.show_place("market-data", "production")
    assert card.watch_slot.isHidden()
    assert not card.watch_slot.as_text
    card.show_place(*PLACE)
    assert card.watch_slot.foot.currentIndex() == STOP
    assert "Stop, or roll back by hand with Shift+R" in card.as_text()


def test_the_focus_never_falls_from_stop_onto_fire(card: RollbackCard, cockpit: FakeCockpit, clock: Seconds) -> None:
    begin(cockpit, card)
    card.activateWindow()
    assert QTest.qWaitForWindowActive(card, 20_000)
    card.watch_slot.stop_button.setFocus()
    clock.now_s += 1
    QTest.keyClick(card.watch_slot.stop_button, Qt.Key.Key_Space)
    assert len(stops(cockpit)) == 1
    assert QApplication.focusWidget() is card.watch_slot.words
    QTest.keyClick(QApplication.focusWidget() or card, Qt.Key.Key_Space)
    assert card.machine.phase is Phase.IDLE


def test_the_focus_stays_in_the_strip_when_a_countdown_is_over(
    qtbot: Any, window: Callable[..., MainWindow], cockpit: FakeCockpit, clock: Seconds
) -> None:
    made = window()
    put(cockpit, counting())
    counted(qtbot, made).stop_button.setFocus()
    clock.now_s += 1
    QTest.keyClick(made.header.watch.stop_button, Qt.Key.Key_Space)
    assert len(stops(cockpit)) == 1
    qtbot.waitUntil(lambda: made.header.watch.currentIndex() == NOTE)
    assert QApplication.focusWidget() is made.header.watch
    QTest.keyClick(made.header.watch, Qt.Key.Key_Space)
    assert cockpit.playground is not None
    assert not cockpit.playground.calls


# ---- the window


@pytest.fixture
def window(qtbot: Any, cockpit: FakeCockpit, clock: Seconds, tmp_path: Path) -> Callable[..., MainWindow]:
    def build() -> MainWindow:
        made = MainWindow(cockpit, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat), clock_s=clock)
        qtbot.addWidget(made)
        made.header.watch.stopper._clock_s = clock
        made.show()
        made.select("risk-engine", "staging")
        made.activateWindow()
        assert QTest.qWaitForWindowActive(made, 20_000)
        return made

    return build


def counted(qtbot: Any, window: MainWindow) -> WatchStrip:
    """The strip, once it counts: the parts of the window hear of a change in turns."""
    strip = window.header.watch
    qtbot.waitUntil(lambda: strip.currentIndex() == COUNTING)
    return strip


def stands(window: MainWindow) -> QPoint:
    """Where the parts below the head begin."""
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
    return window.split.mapTo(window, QPoint())


@pytest.mark.parametrize("playground", [True, False])
def test_it_is_in_sight_for_any_place_and_moves_nothing(
    qtbot: Any, window: Callable[..., MainWindow], cockpit: FakeCockpit, clock: Seconds, playground: bool
) -> None:
    if not playground:
        cockpit.playground = None
        cockpit.rules = Rules(watches={"production": WatchRule(automatic=True)})
    made = window()
    before = stands(made)
    put(cockpit, counting())
    strip = counted(qtbot, made)
    assert strip.isVisible()
    assert stands(made) == before
    assert strip.countdown.boxes()[0].width() >= strip.countdown.fontMetrics().horizontalAdvance(strip.countdown.head), "whole at 1280"
    clock.now_s += 1
    QTest.keyClick(made.focusWidget() or made, Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    assert stops(cockpit) == [("order-gateway", "production", "")]
    assert stands(made) == before


def test_without_a_policy_for_it_no_room_is_taken(qtbot: Any, window: Callable[..., MainWindow], cockpit: FakeCockpit) -> None:
    cockpit.playground = None
    made = window()
    assert made.header.banner.isHidden()
    put(cockpit, watched(automatic=False))
    assert made.header.banner.isHidden()
    put(cockpit, watched())
    qtbot.waitUntil(lambda: not made.header.banner.isHidden())
    assert "order-gateway in production: watching 1.7.0" in made.header.watch.idle.whole
    cockpit.store.apply(watches={})
    made.header.tick()
    assert not made.header.banner.isHidden(), "what came stays"


@pytest.mark.parametrize("how", ["key", "click"])
def test_from_elsewhere_one_gets_to_its_watch(qtbot: Any, window: Callable[..., MainWindow], cockpit: FakeCockpit, how: str) -> None:
    made = window()
    put(cockpit, counting())
    counted(qtbot, made)
    if how == "key":
        QTest.keyClick(made.focusWidget() or made, Qt.Key.Key_W)
    else:
        QTest.mouseClick(made.header.watch.countdown, LEFT)
    assert (made.service, made.environment, made.centre.current) == (*PLACE, "watch")
    assert not stops(cockpit)


def test_the_keys_stand_in_help() -> None:
    assert {"Shift+S", "W"} <= {keys for keys, _ in SHORTCUTS}


def test_the_playground_says_that_it_is_made_up_until_something_is_counted_down(
    qtbot: Any, window: Callable[..., MainWindow], cockpit: FakeCockpit
) -> None:
    made = window()
    assert made.header.banner.words.isVisible()
    put(cockpit, counting())
    counted(qtbot, made)
    assert not made.header.banner.words.isVisible()
    put(cockpit, replace(counting(), countdown=None, action="k"))
    qtbot.waitUntil(lambda: made.header.watch.currentIndex() == NOTE)
