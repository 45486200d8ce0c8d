"""Versions and their commits: the newest is there with no click; both ways into the card."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from cockpit.domain.facts import Fact
from cockpit.domain.release import Commit
from cockpit.services import status
from cockpit.services.store import AppState, Change
from tests.fakes.believable import NOW_US
from tests.fakes.cockpit import FakeCockpit
from ui.views.versions import VersionsView, commit_words

# the offscreen platform has no window manager to give a least size to
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> FakeCockpit:
    return FakeCockpit()


def show(qtbot: Any, cockpit: FakeCockpit, service: str = "order-gateway", environment: str = "production") -> VersionsView:
    view = VersionsView(cockpit)
    qtbot.addWidget(view)
    view.resize(660, 620)
    view.show_place(service, environment)
    view.show()
    return view


def names(view: VersionsView) -> list[str]:
    return [r.version.name for r in view.table.rows_model.rows]


def test_nothing_known_says_what_would_fill_it(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit(AppState()), "", "")
    assert "Nothing selected" in view.table.accessibleDescription()
    view.show_place("unknown", "production")
    assert "Versions are not read yet" in view.table.accessibleDescription()
    assert not view.act_button.isVisible()
    view.grab()


def test_counts_of_commits_go_with_the_version_that_they_were_of(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert view.in_button.text() == "Come in 14"
    view.show_place("market-data", "staging")
    assert view.version is None
    assert (view.in_button.text(), view.out_button.text()) == ("Come in", "Not in it")


def test_nothing_pending(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit, "market-data", "staging")
    assert "Nothing is pending" in view.table.accessibleDescription()


def test_stale_versions_are_grey_and_say_their_age(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    cockpit.now_us += 600_000_000
    view.on_change(Change(frozenset(["ages"])))
    assert view.table.stale
    assert "10 min ago" in view.summary.whole


def test_commits_not_read_yet_are_asked_for_once_and_said(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(changes={})
    view = show(qtbot, cockpit)
    assert "being read" in view.commits.accessibleDescription()
    asked = [c for c in cockpit.sync.calls if c[0] == "want_changes"]
    assert asked == [("want_changes", "order-gateway", "1.6.0", "1.8.0"), ("want_changes", "order-gateway", "1.6.0", "1.7.0")]
    view.refresh()
    assert [c for c in cockpit.sync.calls if c[0] == "want_changes"] == asked


def test_the_newest_pending_is_shown_with_no_click(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert names(view) == ["1.8.0", "1.7.0"]
    assert view.version is not None
    assert view.version.name == "1.8.0"
    assert len(view.commits.rows_model.rows) == 14
    assert view.in_button.text() == "Come in 14"
    assert "Match orders" in view.detail.toPlainText()
    assert view.ready.as_text.startswith("pending  Not ready for production: tests are running")


def test_a_newer_version_takes_the_place_until_a_person_chooses(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    fact = cockpit.store.state.versions["order-gateway"]
    newer = replace(fact.value[0], name="1.9.0", tag="order-gateway/v1.9.0", commit="9" * 40)
    cockpit.store.merge("versions", {"order-gateway": replace(fact, value=(*fact.value, newer))})
    view.refresh()
    assert view.version is not None
    assert view.version.name == "1.9.0"
    view.table.setFocus()
    QTest.keyClick(view.table, Qt.Key.Key_J)
    assert view.version.name == "1.8.0"
    view.refresh()
    assert view.version.name == "1.8.0"


def test_commits_that_leave(qtbot: Any, cockpit: FakeCockpit) -> None:
    known = status.changes_between(cockpit.store.state, "order-gateway", "1.6.0", "1.8.0")
    assert known is not None
    gone = Commit("c" * 40, "Ada", "ada@playground.invalid", NOW_US, "A fix on the side")
    key = next(k for k, fact in cockpit.store.state.changes.items() if fact.value is known)
    cockpit.store.merge("changes", {key: Fact(replace(known, missing=(gone,), total_out=1), NOW_US, "git")})
    view = show(qtbot, cockpit)
    assert view.out_button.text() == "Not in it 1"
    QTest.mouseClick(view.out_button, LEFT)
    assert [c.subject for c in view.commits.rows_model.rows] == ["A fix on the side"]
    assert not view.in_button.isChecked()


def test_deploy_by_button_and_double_click(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert view.act_button.text() == "Deploy 1.8.0 to production…"
    with qtbot.waitSignal(view.deploy_wanted) as heard:
        QTest.mouseClick(view.act_button, LEFT)
    assert heard.args == ["1.8.0"]
    with qtbot.waitSignal(view.deploy_wanted):
        view.table.setFocus()
        QTest.keyClick(view.table, Qt.Key.Key_Return)


def test_an_earlier_version_is_a_target_to_go_back_to(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    QTest.mouseClick(view.all_button, LEFT)
    assert names(view)[-1] == "1.4.0"
    view.table.select("1.4.0")
    assert view.act_button.text() == "Roll back production to 1.4.0…"
    with qtbot.waitSignal(view.rollback_wanted) as heard:
        QTest.mouseClick(view.act_button, LEFT)
    assert heard.args == ["1.4.0"]


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_the_reason_leads_to_its_place(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert "and 2 more" in view.ready.as_text
    height = view.ready.height()
    QTest.mouseClick(view.ready, LEFT)
    (menu,) = view.findChildren(QMenu)
    reasons = menu.actions()
    assert len(reasons) == 3
    assert all(reason.text() in view.ready.toolTip() for reason in reasons)
    with qtbot.waitSignal(view.went) as heard:
        reasons[0].trigger()
    assert heard.args == ["checks"]
    with qtbot.waitSignal(menu.destroyed):
        menu.close()
    assert view.ready.height() == height == view.ready.fontMetrics().height() + 6


def test_hostile_text_is_shown_as_it_is() -> None:
    commit = Commit("a" * 40, "<b>x</b>", "x@playground.invalid", NOW_US, "\x1b[31m<script>alert(1)</script>\u202e", files=("a/<i>b",))
    words = commit_words(commit)
    assert "<script>alert(1)</script>" in words
    assert "\x1b" not in words
    assert "\u202e" not in words


def test_endless_names_do_not_widen_it(qtbot: Any, cockpit: FakeCockpit) -> None:
    fact = cockpit.store.state.versions["order-gateway"]
    endless = replace(fact.value[0], name="99." + "9" * 500, tag="t", commit="9" * 40)
    cockpit.store.merge("versions", {"order-gateway": replace(fact, value=(*fact.value, endless))})
    view = show(qtbot, cockpit)
    assert view.width() == 660
    assert view.act_button.width() < 660
    view.grab()
