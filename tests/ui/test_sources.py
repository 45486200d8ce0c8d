"""Sources: a problem with its way out, testing and asking."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from cockpit.domain.errors import AuthFailed
from cockpit.services.runtime import Outcome
from cockpit.services.store import AppState, Change
from tests.fakes.cockpit import FakeCockpit, FakeProbe
from ui.views.sources import SourcesView, health_words

# the offscreen platform has no window manager to give a least size to
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> FakeCockpit:
    return FakeCockpit()


def show(qtbot: Any, cockpit: FakeCockpit) -> SourcesView:
    view = SourcesView(cockpit)
    qtbot.addWidget(view)
    view.show()
    return view


def test_none_says_what_would_fill_it(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit(AppState()))
    assert "cockpit.toml" in view.table.accessibleDescription()
    QTest.mouseClick(view.test_button, LEFT)
    QTest.mouseClick(view.ask_button, LEFT)


def test_a_failed_source_names_cause_and_way_out(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    view.table.select("vendor")
    assert "Not authorised: The token was refused" in view.detail.as_text
    assert "Way out: Set a new token" in view.detail.as_text


def test_a_failed_test_is_said_in_words(qtbot: Any, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    view = show(qtbot, cockpit)
    view.table.select("ci")
    monkeypatch.setattr(cockpit.sync, "test", lambda i, done: done(Outcome(error=AuthFailed("no token", hint="Set one."))))
    QTest.mouseClick(view.test_button, LEFT)
    assert "failed  Not authorised: no token Set one." in view.detail.as_text


@pytest.mark.parametrize(("missing", "word"), [((), "ok"), (("deploy",), "warning")])
def test_a_test_that_reached_something(
    qtbot: Any, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], word: str
) -> None:
    view = show(qtbot, cockpit)
    view.table.select("ci")
    monkeypatch.setattr(cockpit.sync, "test", lambda i, done: done(Outcome(FakeProbe("ci", "me", missing))))
    QTest.mouseClick(view.test_button, LEFT)
    assert f"{word}  Reached ci as me" in view.detail.as_text


def test_ask_now_asks_the_selected_one(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    view.table.select("deployer")
    QTest.mouseClick(view.ask_button, LEFT)
    assert cockpit.sync.calls == [("refresh_now", "deployer")]


def test_ages_move(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    cockpit.now_us += 60_000_000
    view.on_change(Change(frozenset(["ages"])))
    assert view.count.whole == "5 stale, 1 failed, 1 stopped"


def test_health_words(cockpit: FakeCockpit) -> None:
    assert health_words(list(cockpit.store.state.sources.values()), cockpit.now_us) == "4 ok, 1 stale, 1 failed, 1 stopped"
    assert health_words([], 0) == ""
