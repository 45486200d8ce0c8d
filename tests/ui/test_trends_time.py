"""A measure and the pass rate over time: nothing measured, levels and changes, one window and one crosshair, files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from cockpit.domain.changepoints import ChangePoint
from cockpit.domain.measures import Line, Mark, Trends
from cockpit.services.store import Change
from tests.fakes.believable import HOUR, NOW_US
from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.views.checks import ChecksView
from ui.views.trends import TrendsPage
from ui.views.trends_time import TrendsTime

SERVICE = "order-gateway"
FIRST_US = NOW_US - 9 * HOUR


def line(better: str = "lower", unit: str = "s") -> Line:
    """Ten runs, one an hour, 10 then 15 from the sixth on."""
    values = tuple(10.0 + 5.0 * (i > 4) for i in range(10))
    at_us = tuple(FIRST_US + i * HOUR for i in range(10))
    step = ChangePoint(5, 10.0, 15.0, 0.5, 0.0001)
    return Line("suite:unit", "suite", "unit", unit, better, tuple(f"1.{i // 2}" for i in range(10)), at_us, values, (step,), 0.5)


def trends(*lines: Line) -> Trends:
    marks = (Mark(f"r{i}", f"1.{i // 2}", FIRST_US + i * HOUR, "passed", 0.8 if i == 3 else 1.0, 10.0) for i in range(10))
    return Trends(tuple(marks), lines)


@pytest.fixture
def page(qtbot: Any, qapp: QApplication) -> TrendsTime:
    theme.apply(qapp, "dark")
    found = TrendsTime()
    qtbot.addWidget(found)
    found.resize(616, 230)
    found.show()
    return found


def test_without_anything_it_says_so(page: TrendsTime) -> None:
    page.show_line(None, Trends())
    assert page.measure.overlay.message[0] == "Nothing measured in this window"
    assert page.measure.overlay.marks == ()
    assert not page.grab().isNull()


def test_values_levels_changes_and_versions(page: TrendsTime) -> None:
    page.show_line(line(), trends(line()))
    at_s = (FIRST_US + 5 * HOUR) / 1e6
    assert page.measure.values_at(at_s) == {"value": 15.0, "level": 15.0}
    assert page.measure.values_at(at_s - 3600)["level"] == 10.0
    assert [(m.kind, m.text) for m in page.measure.overlay.marks] == [("regression", "+50 % with 1.2")]
    assert [s.text for s in page.measure.overlay.spans] == ["1.0", "1.1", "1.2", "1.3", "1.4"]
    assert page.passed.values_at((FIRST_US + 3 * HOUR) / 1e6)["passed"] == pytest.approx(0.8)
    page.show_line(line("higher", "/s"), trends())
    assert [m.kind for m in page.measure.overlay.marks] == ["improvement"]
    assert "15.0 /s" in page.measure.readout.text


def test_a_line_without_changes_has_no_level(page: TrendsTime) -> None:
    calm = Line("run:whole run", "run", "whole run", "s", "lower", ("1.0",), (NOW_US,), (3.0,))
    page.show_line(calm, trends(calm))
    assert page.measure.values_at(NOW_US / 1e6) == {"value": 3.0, "level": None}


def test_both_move_together_have_one_crosshair_and_come_back(page: TrendsTime, qtbot: Any) -> None:
    page.show_line(line(), trends(line()))
    whole = page.passed.range_s
    page.measure.moved.emit(NOW_US / 1e6 - 7200, NOW_US / 1e6)
    assert page.passed.range_s == page.measure.range_s == (NOW_US / 1e6 - 7200, NOW_US / 1e6)
    page.measure.moved.emit(0.0, 1.0)
    assert page.passed.range_s[0] > 1, "closer than a minute there is nothing"
    page.passed.hovered.emit(FIRST_US / 1e6)
    assert "00:41:07 UTC" in page.measure.readout.text
    qtbot.keyClick(page.measure, Qt.Key.Key_F)
    assert page.measure.range_s == whole


def test_the_trends_show_it_in_the_place_of_the_runs(qtbot: Any, qapp: QApplication, tmp_path: Path) -> None:
    theme.apply(qapp, "dark")
    cockpit = FakeCockpit()
    view = ChecksView(cockpit)
    qtbot.addWidget(view)
    view.resize(648, 620)
    view.show_place(SERVICE, "production")
    view.show()
    view.pages.turn()
    cockpit.store.merge("trends", {SERVICE: trends(line())})
    view.on_change(Change(frozenset({"trends"}), frozenset({SERVICE})))
    page = view.pages.trends
    assert isinstance(page, TrendsPage)
    assert page.time is None, "nothing is loaded before somebody asks"
    page.time_button.click()
    assert page.chart.isVisible(), "the runs stay until the charts are there"
    qtbot.waitUntil(lambda: page.time is not None, timeout=20_000)
    assert page.time is not None
    assert page.time.isVisible()
    assert not page.chart.isVisible()
    assert page.time.measure.data.last_s == pytest.approx(NOW_US / 1e6)
    assert view.minimumSizeHint().width() <= 648
    assert view.minimumSizeHint().height() <= 620
    page.time.measure.export(str(tmp_path / "a.csv"))
    assert "Saved a.csv" in page.say.accessibleName()
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert len(rows) == 11
    assert math.isclose(float(rows[-1].split(",")[1]), 15.0)
    page.time_button.click()
    assert page.chart.isVisible()
    assert not page.time.isVisible()
