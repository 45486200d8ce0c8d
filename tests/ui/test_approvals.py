"""Approvals: refusals in words first, then the votes, the commit and the digest they are bound to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from cockpit.services import status
from cockpit.services.store import AppState, Change
from tests.fakes.cockpit import FakeCockpit, Me
from tests.fakes.trust import KEY, ME, STRICT, statement
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
    return [c[0] for c in cockpit.words.calls]


def test_a_rejection_demands_a_reason(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    QTest.mouseClick(view.reject_button, LEFT)
    assert calls(cockpit) == []
    assert "names its reason" in view.say.as_text


def test_an_author_reads_why_and_the_button_still_answers(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.settings = replace(cockpit.settings, me=Me("Ada Quill", "ada.quill@playground.invalid"))
    cockpit.words.refuse = "You are an author of a commit in this version."
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
    assert cockpit.words.calls[0][3] == "soak is fine"
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


# ---- the rule, signatures, and what is owed


def strict(cockpit: FakeCockpit) -> None:
    cockpit.rules = STRICT
    words = tuple(
        replace(a, signer=KEY, source="git") if a.name == "Dora Lindt" else replace(a, why_not="the key was <b>revoked</b>", source="git")
        for a in cockpit.store.state.approvals
    )
    cockpit.store.apply(approvals=words)


def owed(view: ApprovalsView, key: str) -> Any:
    return next(line for line in view.owed.rows.lines if line.button.objectName().startswith(key) and not line.isHidden())


def test_a_void_signature_is_told_apart_and_says_why(qtbot: Any, cockpit: FakeCockpit) -> None:
    strict(cockpit)
    view = show(qtbot, cockpit)
    assert view.count.whole == "1 of 2 approvals"
    model = view.table.rows_model
    signed = next(i for i, c in enumerate(model.columns) if c.title == "Signed")
    assert [model.cell(r, signed) for r in model.rows] == ["void", "nThbg6kX…"]
    assert [model.state(r, signed) for r in model.rows] == ["bad", "ok"]
    assert "void: the key was <b>revoked</b>, kept as a signed tag in git" in view.detail.as_text
    view.table.select(view.table.rows_model.key_at(1))
    assert f"key {KEY}, kept as a signed tag in git" in view.detail.as_text
    version = status.version_of(cockpit.store.state, "order-gateway", "1.7.0")
    assert version is not None
    assert f"commit {version.commit}" in view.detail.as_text
    assert f"digest {version.digest}" in view.detail.as_text


def test_the_rule_stands_in_words_and_what_is_missing_below_it(qtbot: Any, cockpit: FakeCockpit) -> None:
    strict(cockpit)
    view = show(qtbot, cockpit)
    assert view.rule.as_text.startswith("2 of 3 from release-managers, at least 1 of risk")
    assert [r.as_text for r in view.reasons.rows if not r.isHidden()] == [
        "pending  1 of 2 approvals given",
        "pending  at least 1 of risk must approve",
    ]


def test_an_approval_expires_by_the_minute_without_any_other_change(qtbot: Any, cockpit: FakeCockpit) -> None:
    strict(cockpit)
    view = show(qtbot, cockpit)
    cockpit.now_us += 80 * 3_600_000_000
    view.on_change(Change(frozenset(["ages"])))
    assert view.count.whole == "0 of 2 approvals"
    assert "expired" in view.table.rows_model.rows[1].why_not


def test_a_review_is_not_signed_off_by_who_acted_nor_without_a_word(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("emergency", "1.6.0", who=ME, name="You", about="k"),))
    view = show(qtbot, cockpit)
    line = owed(view, "debt")
    assert "You cannot sign it off: you acted yourself" in line.row.as_text
    QTest.mouseClick(line.button, LEFT)
    assert "Write the comment first" in view.say.as_text
    assert calls(cockpit) == []
    cockpit.words.refuse = "You cannot sign it off: you acted yourself."
    QTest.keyClicks(view.comment, "fine")
    QTest.mouseClick(line.button, LEFT)
    assert "you acted yourself." in view.say.as_text


def test_a_second_person_signs_off_and_the_debt_is_gone(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("emergency", "1.6.0", reason="<b>x</b>" * 100, about="k"),))
    view = show(qtbot, cockpit)
    assert "<b>x</b>" in owed(view, "debt").row.as_text
    QTest.keyClicks(view.comment, "looked at it")
    QTest.mouseClick(owed(view, "debt").button, LEFT)
    assert cockpit.words.calls[-1][0] == "sign_off"
    assert view.owed.isHidden()
    assert view.comment.text() == ""


def test_requests_and_holds_have_their_way_out(qtbot: Any, cockpit: FakeCockpit) -> None:
    asked = statement("request", "1.8.0", until_us=cockpit.now_us + 3_600_000_000)
    cockpit.store.apply(statements=(asked, statement("hold", "1.7.0")))
    view = show(qtbot, cockpit)
    QTest.mouseClick(owed(view, "request").button, LEFT)
    QTest.keyClicks(view.comment, "fixed")
    QTest.mouseClick(owed(view, "hold").button, LEFT)
    assert calls(cockpit) == ["withdraw", "clear"]


def test_freezes_are_one_press_away(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    with qtbot.waitSignal(view.went) as heard:
        QTest.mouseClick(view.freezes_button, LEFT)
    assert heard.args == ["freezes"]
