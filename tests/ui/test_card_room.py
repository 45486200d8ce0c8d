"""The card's room at the smallest window: no line is cut through its letters, and no old refusal stands beside new reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from cockpit.domain.readiness import Reason
from cockpit.domain.rollout import Line, LineState, Refusal
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.seconds import Seconds
from tests.fakes.watches import put, watched
from ui.theme import apply
from ui.widgets.rollback_card import RollbackCard
from ui.widgets.texts import Row, RowArea, RowList, scrolled

PLACE = ("order-gateway", "production")
SHORT, LONG = "4 nodes healthy", "the API contract changes on the way: services/order-gateway/README.md, and nobody said how to go back"


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    apply(qapp, "dark")
    made = FakeCockpit()
    put(made, watched())
    return made


def card_of(qtbot: Any, cockpit: FakeCockpit, height: int = 688, clock: Seconds | None = None) -> RollbackCard:
    made = RollbackCard(cockpit, clock_s=clock or Seconds())
    qtbot.addWidget(made)
    made.resize(284, height)
    made.show_place(*PLACE)
    made.show()
    return made


def ends_whole(area: RowArea) -> bool:
    """Whether what is seen ends between two lines of text."""
    seen = QRect(area.viewport().mapToGlobal(QPoint(0, 0)), area.viewport().size())
    for row in area.findChildren(Row):
        box = QRect(row.mapToGlobal(QPoint(0, 0)), row.size())
        if not row.isHidden() and box.top() <= seen.bottom() < box.bottom():
            shown = seen.bottom() + 1 - box.top()
            return row.whole(shown) == shown and shown > 0
    return True


def rows_in_sight(area: RowArea) -> int:
    seen = QRect(area.viewport().mapToGlobal(QPoint(0, 0)), area.viewport().size())
    boxes = (QRect(r.mapToGlobal(QPoint(0, 0)), r.size()) for r in area.findChildren(Row) if not r.isHidden())
    return sum(seen.intersects(box) for box in boxes)


@pytest.fixture
def area(qtbot: Any, qapp: QApplication) -> Iterator[tuple[RowArea, RowList]]:
    apply(qapp, "dark")
    parent = QWidget()
    qtbot.addWidget(parent)
    rows = RowList("Rows", parent)
    made = scrolled(rows, parent)
    assert isinstance(made, RowArea)
    parent.resize(252, 400)
    parent.show()
    made.resize(252, 170)
    made.show()
    yield made, rows  # until then something must hold what is shown
    parent.hide()


@pytest.mark.parametrize("height", range(60, 180, 7))
def test_rows_end_with_a_whole_line_at_any_height(qtbot: Any, area: tuple[RowArea, RowList], height: int) -> None:
    made, rows = area
    rows.set_rows([("warning", LONG, "0 s", ""), *[("ok", SHORT, "0 s", "")] * 3, ("ok", LONG, "1 s", ""), *[("ok", SHORT, "0 s", "")] * 9])
    made.resize(252, height)
    qtbot.waitUntil(lambda: made.verticalScrollBar().maximum() > 0 and ends_whole(made))
    assert rows_in_sight(made) >= 1
    bar = made.verticalScrollBar()
    bar.setValue(bar.maximum())
    qtbot.waitUntil(lambda: ends_whole(made))
    last = [r for r in rows.rows if not r.isHidden()][-1]
    assert not last.visibleRegion().isEmpty(), "the last one is reached"


def test_other_rows_of_the_same_height_fit_anew_and_few_take_no_margin(qtbot: Any, area: tuple[RowArea, RowList]) -> None:
    made, rows = area
    many = [("ok", SHORT, "", "")] * 8
    rows.set_rows([*many, ("warning", LONG, "", "")])
    qtbot.waitUntil(lambda: made.verticalScrollBar().maximum() > 0 and ends_whole(made))
    rows.set_rows([("warning", LONG, "", ""), *many])
    qtbot.waitUntil(lambda: ends_whole(made))
    rows.set_rows(many[:2])
    qtbot.waitUntil(lambda: made.viewportMargins().bottom() == 0)


def adding(*lines: Line) -> Callable[[Any], Any]:
    return lambda plan: replace(plan, preflight=(*lines, *plan.preflight))


@pytest.mark.parametrize("height", [688, 640, 655, 671])
def test_no_line_of_the_preflight_is_cut_at_the_smallest_window(qtbot: Any, cockpit: FakeCockpit, height: int) -> None:
    cockpit.actions.bend = adding(*(Line(LineState.WARNING, f"{LONG} ({n})", cockpit.now_us, "versions") for n in range(3)))
    card = card_of(qtbot, cockpit, height)
    made = card.plan_page.findChildren(RowArea)[0]
    qtbot.waitUntil(lambda: made.verticalScrollBar().maximum() > 0 and ends_whole(made))


# ---- what was refused


def refuse(cockpit: FakeCockpit, *texts: str) -> None:
    reasons = tuple(Reason("approvals", text) for text in texts)
    change = lambda plan: Refusal(plan.kind, plan.service, plan.environment, reasons, plan.target)  # noqa: E731
    cockpit.actions.bend = change


def press(card: RollbackCard) -> None:
    QTest.mouseClick(card.button, Qt.MouseButton.LeftButton)


def test_a_refusal_leaves_its_room_to_the_reasons(qtbot: Any, cockpit: FakeCockpit) -> None:
    refuse(cockpit, LONG)
    card = card_of(qtbot, cockpit)
    press(card)
    assert "Nothing was sent" in card.say.as_text
    assert LONG not in card.say.as_text, "said once, above"
    assert LONG in card.plan_page.rows.as_text


def test_an_old_refusal_goes_when_there_are_other_reasons(qtbot: Any, cockpit: FakeCockpit) -> None:
    refuse(cockpit, "1.7.0 is held by you for 12 s")
    clock = Seconds()
    card = card_of(qtbot, cockpit, clock=clock)
    press(card)
    refuse(cockpit, "1.7.0 is held by you for 13 s")
    card.refresh()
    assert "Refused" in card.say.as_text, "an age that moves on is no other reason"
    refuse(cockpit, "frozen until 06:21 UTC", "1.7.0 is held by you for 13 s")
    card.refresh()
    assert "Refused" not in card.say.as_text
    clock.now_s += 1
    press(card)
    assert "Refused" in card.say.as_text
    cockpit.actions.bend = lambda plan: plan
    card.refresh()
    assert "Refused" not in card.say.as_text, "it is possible now"
