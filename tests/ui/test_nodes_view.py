"""Nodes: refusals before deeds, two clicks and never one, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from cockpit.domain.deeds import DeedState
from cockpit.services.store import AppState
from tests.fakes.believable import MIN
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.watching import watch
from ui.views.nodes import NodesView

LEFT = Qt.MouseButton.LeftButton


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def cockpit() -> Any:
    made: Any = FakeCockpit()
    watch(made)
    return made


def show(qtbot: Any, cockpit: Any) -> Any:
    clock = Clock()
    view: Any = NodesView(cockpit, clock_s=clock)
    qtbot.addWidget(view)
    view.clock = clock
    view.show_place("order-gateway", "production")
    view.resize(668, 600)
    view.show()
    return view


def press(view: Any, after_s: float = 1.0) -> None:
    view.clock.now_s += after_s
    QTest.mouseClick(view.act, LEFT)


def test_nothing_known_and_nothing_connected_yet(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit(AppState()))
    assert view.act.look == "refused"
    view.show_place("", "")
    assert view.heading.whole == "Choose a place in the overview"
    assert "names them" in view.table.accessibleDescription()
    press(view)
    view = show(qtbot, FakeCockpit())
    assert "being connected" in view.detail.as_text
    press(view)
    press(view)


def test_a_refusal_says_why_and_no_click_passes_it(qtbot: Any, cockpit: Any) -> None:
    cockpit.nodes.refuse["production-1"] = ("production-1 is the last node that serves there",)
    view = show(qtbot, cockpit)
    assert "the last node that serves" in view.detail.as_text
    assert view.act.look == "refused"
    press(view)
    press(view)
    assert cockpit.nodes.calls == []


def test_one_click_arms_a_second_one_fires(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    view.table.select("production-2")
    view.reason.setText("p99 doubled")
    press(view)
    assert (view.act.look, view.act.text()) == ("armed", "Take production-2 out of the traffic now")
    press(view, 0.1)
    assert cockpit.nodes.calls == [], "too soon"
    press(view)
    assert cockpit.nodes.calls == [("drain", "order-gateway", "production", "production-2", "p99 doubled")]
    assert "Sent." in view.say.as_text
    assert "taken out: sent" in [r.last for r in view.table.rows_model.rows]
    assert view.act.look == "ready"


def test_double_clicks_and_held_keys_do_nothing(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    view.clock.now_s += 1
    QTest.mouseDClick(view.act, LEFT)
    view.act.pressed_as.emit(False, True)
    assert (cockpit.nodes.calls, view.act.look) == ([], "ready")


@pytest.mark.parametrize("why", ["another node", "time", "a new refusal", "another place"])
def test_what_disarms(qtbot: Any, cockpit: Any, why: str) -> None:
    view = show(qtbot, cockpit)
    press(view)
    assert view.act.look == "armed"
    if why == "another node":
        view.table.select("production-2")
    elif why == "time":
        view.clock.now_s += 11
    elif why == "a new refusal":
        cockpit.nodes.refuse["production-1"] = ("it is stale",)
        view.refresh()
        cockpit.nodes.refuse.clear()
    else:
        view.show_place("order-gateway", "staging")
        view.show_place("order-gateway", "production")
    view.refresh()
    assert view.act.look == "ready"
    assert cockpit.nodes.calls == []


def test_what_was_taken_out_is_brought_back(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    view.table.select("production-3")
    assert view.act.text() == "Bring production-3 back into the traffic…"
    press(view)
    press(view)
    assert cockpit.nodes.calls[0][0] == "ready"


def test_an_outcome_that_is_not_known_is_said_as_that(qtbot: Any, cockpit: Any) -> None:
    view = show(qtbot, cockpit)
    press(view)
    press(view)
    [deed] = cockpit.store.state.deeds.values()
    cockpit.store.apply(deeds={deed.key: replace(deed, state=DeedState.UNKNOWN, message="no answer in time")})
    view.refresh()
    assert "Taking it out: no answer in time" in view.detail.as_text
    assert view.table.rows_model.rows[0].last == "taken out: unknown"


def test_old_word_of_the_nodes_is_called_stale(qtbot: Any, cockpit: Any) -> None:
    cockpit.now_us += 5 * MIN
    view = show(qtbot, cockpit)
    assert {r.state for r in view.table.rows_model.rows} == {"stale"}
    assert "traffic stale, as of 5 m" in view.heading.whole
    assert [r.traffic for r in view.table.rows_model.rows] == ["was 34 %", "was 33 %", "was none", "was 33 %"]
