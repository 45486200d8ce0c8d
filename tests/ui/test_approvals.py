"""Approvals: refusals in words first, then the votes, the commit and the digest they are bound to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from cockpit.services import status
from cockpit.services.store import AppState
from tests.fakes.cockpit import FakeCockpit, Me
from ui.views.approvals import ApprovalsView

# the offscreen platform has no window manager to give a least size to
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> FakeCockpit:
    return FakeCockpit()


def show(qtbot: Any, cockpit: FakeCockpit, version: str = "1.7.0") -> ApprovalsView:
    view = ApprovalsView(cockpit)
    qtbot.addWidget(view)
    view.resize(660, 600)
    view.show_place("order-gateway", "production")
    view.show_version(version)
    view.show()
    return view


def calls(cockpit: FakeCockpit) -> list[str]:
    return [c[0] for c in cockpit.actions.calls]


def test_a_rejection_demands_a_reason(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    QTest.mouseClick(view.reject_button, LEFT)
    assert calls(cockpit) == []
    assert "names its reason" in view.say.as_text


def test_an_author_reads_why_and_the_button_still_answers(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.settings = replace(cockpit.settings, me=Me("Ada Quill", "ada.quill@playground.invalid"))
    cockpit.actions.refuse = "You are an author of a commit in this version."
    view = show(qtbot, cockpit)
    assert "you are an author" in view.say.as_text
    assert view.approve_button.isEnabled()
    QTest.mouseClick(view.approve_button, LEFT)
    assert "You are an author" in view.say.as_text


def test_read_only_refuses_in_words(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit(read_only=True))
    QTest.mouseClick(view.approve_button, LEFT)
    assert "read-only" in view.say.as_text


def test_nothing_to_vote_on(qtbot: Any) -> None:
    cockpit = FakeCockpit(AppState())
    view = ApprovalsView(cockpit)
    qtbot.addWidget(view)
    view.show()
    assert "Nothing selected" in view.heading.whole
    assert not view.approve_button.isVisible()
    view.grab()


def test_needed_given_and_exactly_which_commit_and_digest(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    version = status.version_of(cockpit.store.state, "order-gateway", "1.7.0")
    assert version is not None
    assert view.count.whole == "1 of 1 approval"
    assert view.commit.whole == version.commit[:12]
    QTest.mouseClick(view.copy_digest, LEFT)
    assert QGuiApplication.clipboard().text() == version.digest
    QTest.mouseClick(view.copy_commit, LEFT)
    assert QGuiApplication.clipboard().text() == version.commit
    votes = view.table.rows_model.rows
    assert [v.counts for v in votes] == [False, True]
    assert "author" in votes[0].why_not


def test_approve_with_a_comment(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit, "1.8.0")
    QTest.keyClicks(view.comment, "soak is fine")
    QTest.mouseClick(view.approve_button, LEFT)
    assert calls(cockpit) == ["approve"]
    assert cockpit.actions.calls[0][3] == "soak is fine"
    assert view.comment.text() == ""
    view.refresh()
    assert view.count.whole == "1 of 1 approval"


def test_reject_with_a_reason(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit, "1.8.0")
    QTest.keyClicks(view.comment, "<b>leaks</b>")
    QTest.mouseClick(view.reject_button, LEFT)
    assert calls(cockpit) == ["reject"]
    view.refresh()
    assert any("rejected by You: <b>leaks</b>" in row.as_text for row in view.reasons.rows)


def test_without_a_choice_the_newest_pending_is_voted_on(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit, "")
    assert view.version is not None
    assert view.version.name == "1.8.0"
    view.versions.setCurrentIndex(view.versions.findData("1.6.0"))
    view.versions.activated.emit(view.versions.currentIndex())
    assert view.version.name == "1.6.0"
