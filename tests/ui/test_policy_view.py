"""The policy that waits: mistakes, a change that came meanwhile and a refusal first; then accepted and refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from cockpit.domain.errors import ConfigError
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.trust import DIFF
from ui.views.freeze_label import PolicyButton
from ui.views.policy import PolicyView

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> FakeCockpit:
    made = FakeCockpit()
    made.policy.change()
    return made


def show(qtbot: Any, cockpit: FakeCockpit) -> PolicyView:
    view = PolicyView(cockpit)
    qtbot.addWidget(view)
    view.resize(668, 600)
    view.show()
    return view


def test_mistakes_are_listed_and_what_was_refused_is_said(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.policy.change(problems=("environments.production.approvals: 30 is more than 20", "<b>x</b>" + "n" * 500))
    cockpit.policy.why = "It has mistakes."
    view = show(qtbot, cockpit)
    assert "blocked  environments.production.approvals: 30 is more than 20" in view.problems.as_text
    assert "<b>x</b>nn" in view.problems.as_text
    QTest.mouseClick(view.accept_button, LEFT)
    assert "It has mistakes." in view.say.as_text
    assert cockpit.policy.pending is not None
    button = PolicyButton(cockpit)
    qtbot.addWidget(button)
    assert (button.state, button.words) == ("blocked", "policy changed: 2 wrong")
    assert view.width() == 668


def test_what_came_meanwhile_is_never_accepted_unread(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    cockpit.policy.change(commit="f" * 40, diff="-approvals = 1\n+approvals = 0\n")
    QTest.mouseClick(view.accept_button, LEFT)
    assert cockpit.policy.calls == []
    assert "Another change came meanwhile" in view.say.as_text
    assert "approvals = 0" in view.diff.toPlainText()
    QTest.mouseClick(view.accept_button, LEFT)
    assert cockpit.policy.calls == ["accept"]


def test_a_policy_that_cannot_be_read_says_why(qtbot: Any) -> None:
    cockpit = FakeCockpit()
    cockpit.policy.problem = ConfigError("The policy repository is gone.", hint="Correct [policy].")
    view = show(qtbot, cockpit)
    assert "blocked  " in view.origin.as_text
    assert "The policy repository is gone. Correct [policy]." in view.origin.as_text


def test_nothing_waits(qtbot: Any) -> None:
    cockpit = FakeCockpit()
    view = show(qtbot, cockpit)
    assert "No change of the policy waits" in view.origin.as_text
    assert not view.accept_button.isVisible()
    button = PolicyButton(cockpit)
    qtbot.addWidget(button)
    assert button.isHidden()


def test_hostile_lines_stay_plain(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.policy.change(diff="+name = \x1b[31m\u202e<b>x</b>\n", who="<i>eve</i>", subject="s" * 500)
    view = show(qtbot, cockpit)
    assert view.diff.toPlainText() == "+name = ␛[31m<U+202E><b>x</b>\n"
    assert "<i>eve</i>" in view.origin.as_text
    assert view.width() == 668
    view.grab()


def test_it_is_shown_and_taken_into_use_when_a_person_says_so(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert view.diff.toPlainText() == DIFF
    assert "by Dora Lindt <dora.lindt@playground.invalid>, 2026-11-22 09:39:07 UTC: One approval is enough" in view.origin.as_text
    QTest.mouseClick(view.accept_button, LEFT)
    assert cockpit.policy.calls == ["accept"]
    assert "It is in force now" in view.say.as_text
    assert not view.diff.isVisible()


def test_one_that_was_refused_can_still_be_looked_at_and_accepted(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    QTest.mouseClick(view.refuse_button, LEFT)
    assert cockpit.policy.calls == ["refuse"]
    assert cockpit.policy.pending is None
    assert "you refused this one" in view.heading.whole
    assert not view.refuse_button.isVisible()
    assert view.accept_button.isVisible()
    assert cockpit.policy.proposed == replace(cockpit.policy.proposed, refused=True)
