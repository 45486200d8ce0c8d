"""Freezes: unknown and refused first; then now, next, safe, calendars with their ages, and the permission to pass one."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from cockpit.domain.calendar import Freeze
from cockpit.domain.facts import Fact
from cockpit.services.store import AppState, Change
from tests.fakes.believable import HOUR, MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.trust import ME, STRICT, statement
from ui.views.freeze_label import FreezeButton
from ui.views.freezes import FreezesView

LEFT = Qt.MouseButton.LeftButton
HTML = "<b>x</b>" + "n" * 500


@pytest.fixture
def cockpit() -> FakeCockpit:
    made = FakeCockpit()
    made.rules = STRICT
    made.calendars.configured = {"team": ()}
    calendar(made)
    return made


def calendar(cockpit: FakeCockpit, *freezes: Freeze, age_us: int = 30 * S) -> None:
    cockpit.store.apply(freezes={"team": Fact(freezes, NOW_US - age_us, "Team calendar", 86_400.0)})


def expiry(**fields: Any) -> Freeze:
    known = {"name": "Deribit daily expiry", "start_us": NOW_US - 20 * MIN, "end_us": NOW_US + 34 * MIN, "source": "calendar team"}
    return Freeze(**{**known, **fields})


def show(qtbot: Any, cockpit: FakeCockpit, environment: str = "production") -> FreezesView:
    view = FreezesView(cockpit)
    qtbot.addWidget(view)
    view.resize(668, 600)
    view.show_place("order-gateway", environment)
    view.show()
    return view


def label(qtbot: Any, cockpit: FakeCockpit) -> FreezeButton:
    made = FreezeButton(cockpit)
    qtbot.addWidget(made)
    made.show_place("order-gateway", "production")
    return made


def test_a_silent_calendar_is_unknown_and_never_none(qtbot: Any, cockpit: FakeCockpit) -> None:
    calendar(cockpit, age_us=3 * 24 * HOUR)
    assert label(qtbot, cockpit).state == "unknown"
    view = show(qtbot, cockpit)
    assert "does not answer" in view.headline.whole
    assert "No window is known to be safe" in view.safe.whole
    assert "too old to be believed" in view.rows.as_text


def test_no_environment_and_no_calendars_are_said(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit(AppState()), "")
    assert "need an environment" in view.heading.whole
    assert not view.pass_button.isVisible()
    view.grab()
    bare = FakeCockpit()
    assert "No venue rule and no calendar is named" in show(qtbot, bare).rows.as_text


def test_before_the_core_is_whole_nothing_is_known(qtbot: Any, cockpit: FakeCockpit) -> None:
    del cockpit.calendars
    assert label(qtbot, cockpit).words == "freeze: not known"


def test_an_override_needs_a_reason_and_is_refused_in_words(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.words.why = "the policy does not let you pass a freeze"
    view = show(qtbot, cockpit)
    assert "You cannot pass a freeze here: the policy does not let you" in view.say.as_text
    assert view.pass_button.isEnabled()
    QTest.mouseClick(view.pass_button, LEFT)
    assert "names its reason" in view.say.as_text
    assert not cockpit.words.calls
    cockpit.words.refuse = "You cannot pass a freeze: the policy does not let you."
    QTest.keyClicks(view.reason, "hotfix")
    QTest.mouseClick(view.pass_button, LEFT)
    assert "the policy does not let you." in view.say.as_text
    assert view.reason.text() == "hotfix"


def test_the_lights_words_and_its_tooltip(qtbot: Any, cockpit: FakeCockpit) -> None:
    made = label(qtbot, cockpit)
    assert (made.state, made.words) == ("ok", "freeze: none - next Mon 07:25 UTC")
    assert "Next safe window" in made.toolTip()
    calendar(cockpit, expiry())
    made.refresh()
    assert (made.state, made.words) == ("frozen", "frozen until 10:15 UTC: Deribit daily expiry")
    assert made.accessibleName() == "Freeze: frozen until 10:15 UTC: Deribit daily expiry"
    cockpit.store.apply(statements=(statement("override", "1.7.0", who=ME, until_us=NOW_US + HOUR),))
    made.refresh()
    assert (made.state, made.words) == ("warning", f"freeze passed by {ME} until 10:41 UTC")


def test_now_next_safe_and_the_calendars_age(qtbot: Any, cockpit: FakeCockpit) -> None:
    hard = expiry(name=HTML, start_us=NOW_US + 2 * HOUR, end_us=NOW_US + 3 * HOUR, hard=True)
    calendar(cockpit, expiry(), hard)
    view = show(qtbot, cockpit)
    text = view.rows.as_text
    assert view.headline.whole == "Frozen until 10:15 UTC"
    assert "now: Deribit daily expiry: 09:21 UTC to 10:15 UTC, by calendar" in text
    assert "next: <b>x</b>nnn" in text
    assert "hard: no override passes it" in text
    assert "calendar Team calendar: 2 freezes  30 s" in text
    assert "venue rules by the policy: deribit-expiry" in text
    assert "A rollback is exempt" in text
    assert "from 10:15 UTC until 11:41 UTC" in view.safe.whole
    assert view.width() == 668
    view.grab()


def test_an_override_has_an_end_is_shown_while_it_lasts_and_can_be_ended(qtbot: Any, cockpit: FakeCockpit) -> None:
    calendar(cockpit, expiry())
    view = show(qtbot, cockpit)
    QTest.keyClicks(view.reason, "<b>hotfix</b>")
    view.end.setCurrentIndex(view.end.findText("for 2 h"))
    QTest.mouseClick(view.pass_button, LEFT)
    assert cockpit.words.calls == [("override", "production", "order-gateway", "<b>hotfix</b>", NOW_US + 2 * HOUR)]
    assert "passes it for order-gateway until 11:41 UTC: <b>hotfix</b>" in view.standing.as_text
    assert view.headline.whole == "Passed until 11:41 UTC"
    cockpit.now_us += 1
    QTest.mouseClick(view.standing.lines[0].button, LEFT)
    assert cockpit.words.calls[-1][0] == "end_override"
    assert view.standing.isHidden()
    assert view.headline.whole == "Frozen until 10:15 UTC"


def test_an_override_ends_by_itself(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("override", "1.7.0", who=ME, until_us=NOW_US + HOUR),))
    view = show(qtbot, cockpit)
    assert view.standing.as_text
    cockpit.now_us += HOUR
    view.on_change(Change(frozenset(["ages"])))
    assert view.standing.isHidden()
