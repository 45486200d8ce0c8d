"""Steps that wait elsewhere stand with the approvals; two clicks answer them, a rejection only with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from cockpit.domain.deeds import DeedState
from cockpit.domain.facts import Fact
from tests.fakes.believable import HOUR, NOW_US
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.watching import gates, watch
from ui.views.approvals import ApprovalsView

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> Any:
    made: Any = FakeCockpit()
    watch(made)
    return made


def show(qtbot: Any, cockpit: Any) -> Any:
    view: Any = ApprovalsView(cockpit)
    qtbot.addWidget(view)
    view.now_s = 100.0
    view.waiting.confirm._clock_s = lambda: view.now_s
    view.show_place("order-gateway", "production")
    view.resize(668, 640)
    view.show()
    return view


def press(view: Any, begins: str, after_s: float = 1.0) -> None:
    view.now_s += after_s
    found = [b for b in view.waiting.findChildren(QPushButton) if b.text().startswith(begins) and not b.isHidden()]
    assert found, begins
    QTest.mouseClick(found[0], LEFT)


def words(view: Any) -> str:
    text: str = view.waiting.rows.as_text
    return text


def test_nothing_waits_and_nothing_is_shown(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit())
    assert view.waiting_area.isHidden()


def test_what_waits_says_where_since_and_who_may(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    assert "Waiting in Forge: Deploy order-gateway to production 1.7.0, since 12 min; Ada Quill, release-managers may" in words(view)
    assert "Not from here: this connection's account may not answer it" in words(view)
    shown = [b.text() for b in view.waiting.findChildren(QPushButton) if not b.isHidden()]
    assert shown == ["Approve there", "Reject there"], "what is not mine has no button"


def test_one_click_asks_a_second_one_answers(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    view.comment.setText("read it")
    press(view, "Approve")
    assert cockpit.gates.calls == []
    press(view, "Really: Approve", 0.1)
    assert cockpit.gates.calls == [], "too soon"
    press(view, "Really: Approve")
    assert cockpit.gates.calls == [("forge", "g1", True, "read it")]
    assert view.comment.text() == ""
    assert "Approving “Deploy order-gateway to production”: sent" in words(view)


def test_what_was_asked_is_forgotten_after_a_while(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    press(view, "Approve")
    view.now_s += 11
    view.refresh()
    press(view, "Approve", 0)
    assert cockpit.gates.calls == []


def test_a_rejection_names_its_reason(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    press(view, "Reject")
    assert "A rejection names its reason" in view.say.as_text
    view.comment.setText("p99")
    press(view, "Reject")
    press(view, "Really: Reject")
    assert cockpit.gates.calls == [("forge", "g1", False, "p99")]


def test_an_unknown_outcome_and_old_word_are_said_so(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    press(view, "Approve")
    press(view, "Really")
    [deed] = cockpit.store.state.deeds.values()
    cockpit.store.apply(deeds={deed.key: replace(deed, state=DeedState.UNKNOWN, message="no answer came")})
    cockpit.store.apply(gates={"order-gateway:forge": Fact(gates(), NOW_US - HOUR, "Forge", 60.0)})
    view.refresh()
    assert "unknown, no answer came" in words(view)
    assert "heard 1 h ago" in words(view)


def test_old_word_leaves_no_row_without_words(qtbot: Any, cockpit: Any) -> None:
    cockpit.now_us += HOUR
    view = show(qtbot, cockpit)
    shown = [line for line in view.waiting.rows.lines if not line.isHidden()]
    assert len(shown) == 3, "yes and no of the one, and the other, which is not for this account"
    assert words(view).count("Canary paused") == 1
