"""The trends within the checks view: empty says what fills it, what became worse comes first, all of it by keyboard."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from cockpit.domain.measures import Measured, Recorded, RecordedSuite, RecordedTest, Trends
from cockpit.services.regressions import analysed
from cockpit.services.store import Change
from tests.fakes.believable import HOUR, NOW_US, S, sha
from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.models.trends import MeasureRow, explained, known_words, measure_columns, short_name, state_word, value_text
from ui.views.checks import ChecksView
from ui.views.trends import TrendsPage

SERVICE = "order-gateway"
TRENDS = Change(frozenset({"trends"}), frozenset({SERVICE}))


def history(n: int = 24) -> Trends:
    """Runs of which suite unit became slower in the second half, one test flaky, and orders per second unchanged."""
    rng = random.Random(4)
    runs = []
    for i in range(n):
        bad = i in (4, 9, 10, 17)
        took = 14.0 * rng.gauss(1, 0.02) * (1.3 if i >= n // 2 else 1.0)
        tests = (RecordedTest("tests/a.py::test_drop", "failed" if bad else "passed", 0.4),)
        suite = RecordedSuite("unit", "failed" if bad else "passed", took, 40 - bad, int(bad), True, tests)
        measured = (Measured("orders per second", 180_000 * rng.gauss(1, 0.01), "/s", "higher"),)
        at_us = NOW_US - (n - i) * HOUR
        runs.append(Recorded(f"r{i}", SERVICE, f"1.{i // 2}.0", sha(str(i // 2)), at_us, suite.state, None, (suite,), measured))
    return analysed(tuple(runs))


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    theme.apply(qapp, "dark")
    return FakeCockpit()


@pytest.fixture
def view(qtbot: Any, cockpit: FakeCockpit) -> ChecksView:
    found = ChecksView(cockpit)
    qtbot.addWidget(found)
    found.resize(648, 620)
    found.show_place(SERVICE, "production")
    found.show()
    found.activateWindow()
    qtbot.waitActive(found)
    return found


def turned(view: ChecksView) -> TrendsPage:
    QTest.keyClick(view, Qt.Key.Key_T)
    assert view.pages.trends is not None
    assert view.pages.trends.isVisible()
    return view.pages.trends


def fill(view: ChecksView, cockpit: FakeCockpit) -> TrendsPage:
    page = turned(view)
    cockpit.store.merge("trends", {SERVICE: history()})
    view.on_change(TRENDS)
    return page


def test_without_anything_it_says_what_fills_it(view: ChecksView) -> None:
    page = turned(view)
    assert page.heading.word == "pending"
    assert "nothing measured yet" in page.heading.text
    assert "release-cockpit benchmarks add" in page.measures._empty[1]
    assert page.passed.accessibleDescription() == "no run yet"
    QTest.keyClick(page.reason, Qt.Key.Key_Return)
    assert "nothing to acknowledge" in page.say.accessibleName()


def test_few_runs_say_that_nobody_can_tell_yet(view: ChecksView, cockpit: FakeCockpit) -> None:
    """Green would say that something was looked at."""
    fill(view, cockpit)
    cockpit.store.merge("trends", {SERVICE: history(9)})
    view.on_change(TRENDS)
    page = view.pages.trends
    assert page is not None
    assert (page.heading.word, page.heading.text) == ("pending", f"{SERVICE}: too few runs to say, 9 of 10")


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0, "s", "0"),
        (4.2, "s", "4.2 s"),
        (0.0123, "s", "12.3 ms"),
        (0.00025, "s", "250 µs"),
        (4.2e-7, "s", "420 ns"),
        (3e-10, "s", "0.30 ns"),
        (0.00509, "", "0.00509"),
        (0.12, "", "0.12"),
        (5000.0, "/s", "5,000 /s"),
    ],
)
def test_no_value_is_rounded_to_nothing(value: float, unit: str, words: str) -> None:
    assert value_text(value, unit) == words


def test_t_leads_there_and_back_and_the_run_is_as_it_was(view: ChecksView) -> None:
    before = view.heading.text
    page = turned(view)
    assert page.measures.hasFocus()
    QTest.keyClick(page.measures, Qt.Key.Key_T)
    assert not page.isVisible()
    assert view.suites.isVisible()
    assert (view.heading.text, view.pages.button.hasFocus()) == (before, True)


def test_a_t_in_the_reason_is_a_letter(view: ChecksView, cockpit: FakeCockpit) -> None:
    page = fill(view, cockpit)
    page.reason.setFocus()
    QTest.keyClicks(page.reason, "too slow by test")
    assert (page.reason.text(), page.isVisible()) == ("too slow by test", True)


def test_what_became_worse_comes_first_with_its_change_marked(view: ChecksView, cockpit: FakeCockpit) -> None:
    page = fill(view, cockpit)
    rows = page.measures.rows_model.rows
    assert (page.heading.word, page.heading.text) == ("bad", f"{SERVICE}: 1 measure became worse")
    assert page.chart.height() >= page.chart.sizeHint().height()
    assert [(state_word(r), short_name(r.line)) for r in rows[:1]] == [("worse", "suite unit")]
    assert "(+29 %)" in page.about.whole
    assert "since 1.6.0" in page.about.whole
    assert "with 1.6.0" in page.chart.accessibleDescription()
    assert "24 runs, 4 of them failed" in page.passed.accessibleDescription()
    [flaky] = page.flaky.rows_model.rows
    assert (flaky.name, flaky.flips) == ("tests/a.py::test_drop", 6)
    assert "26 %" in page.flaky.rows_model.cell(flaky, 0)


def test_acknowledge_by_keyboard_needs_a_reason_then_stays_visible_and_comes_back(view: ChecksView, cockpit: FakeCockpit) -> None:
    page = fill(view, cockpit)
    page.acknowledge_button.setFocus()
    QTest.keyClick(page.acknowledge_button, Qt.Key.Key_Space)
    assert cockpit.words.calls == []
    assert page.reason.hasFocus()
    assert "names its reason" in page.say.accessibleName()
    QTest.keyClicks(page.reason, "CHG-9")
    page.until.setCurrentIndex(page.until.findData(14))
    QTest.keyClick(page.reason, Qt.Key.Key_Return)
    [(what, version, key, reason, until_us)] = cockpit.words.calls
    assert (what, version.name, key, reason, until_us) == ("acknowledge", "1.6.0", "suite:unit", "CHG-9", NOW_US + 14 * 24 * HOUR)
    view.on_change(Change(frozenset({"statements"})))
    assert page.heading.word == "held"
    row = page.measures.rows_model.rows[0]
    assert (state_word(row), row.line.key) == ("known", "suite:unit")
    assert "CHG-9" in page.known.whole
    assert page.end_button.isVisible()
    shown = []
    page.show_service = shown.append  # type: ignore[method-assign]
    view.on_change(Change(frozenset({"ages"})))
    assert not shown, "a second that passes changes nothing"
    del page.show_service
    cockpit.now_us += 14 * 24 * HOUR + S
    view.on_change(Change(frozenset({"ages"})))
    assert page.heading.word == "bad"
    row = page.measures.rows_model.rows[0]
    assert (row.state, state_word(row)) == ("over", "worse")
    assert known_words(row, cockpit.now_us).startswith("was known until")


def test_an_end_is_said_too(view: ChecksView, cockpit: FakeCockpit) -> None:
    page = fill(view, cockpit)
    QTest.keyClicks(page.reason, "CHG-9")
    QTest.keyClick(page.reason, Qt.Key.Key_Return)
    view.on_change(Change(frozenset({"statements"})))
    page.end_button.setFocus()
    QTest.keyClick(page.end_button, Qt.Key.Key_Space)
    assert cockpit.words.calls[-1][0] == "end_acknowledgement"
    view.on_change(Change(frozenset({"statements"})))
    assert page.heading.word == "bad"
    assert not page.end_button.isVisible()


def test_a_refusal_says_why(view: ChecksView, cockpit: FakeCockpit) -> None:
    page = fill(view, cockpit)
    cockpit.words.refuse = "it is not known who you are"
    QTest.keyClicks(page.reason, "CHG-9")
    QTest.keyClick(page.reason, Qt.Key.Key_Return)
    assert "not known who you are" in page.say.accessibleName()
    assert page.reason.text() == "CHG-9", "what was written stays"


def test_the_filter_is_of_both_pages(view: ChecksView, cockpit: FakeCockpit) -> None:
    view.set_filter("orders")
    page = fill(view, cockpit)
    assert [r.line.key for r in page.measures.rows_model.rows] == ["benchmark:orders per second"]


def test_names_from_outside_stay_text(cockpit: FakeCockpit) -> None:
    trends = history()
    line = trends.lines[0]
    odd = replace(line, name="<b>x</b>\x1b[31m\u202e", kind="benchmark")
    row = MeasureRow(odd)
    for column in measure_columns(cockpit.clock_us):
        assert "\x1b" not in column.text(row)
    assert "\u202e" not in explained(row, NOW_US)


@pytest.mark.parametrize("name", ["dark", "light", "contrast"])
def test_every_theme_paints_it(view: ChecksView, cockpit: FakeCockpit, qapp: QApplication, name: str) -> None:
    colours = theme.apply(qapp, name)
    page = fill(view, cockpit)
    image = page.chart.grab().toImage()
    seen = {image.pixelColor(x, y).name() for x in range(0, image.width(), 1) for y in range(0, image.height(), 2)}
    assert {colours.bad.name(), colours.text.name()} <= seen
    strip = page.passed.grab().toImage()
    seen = {strip.pixelColor(x, strip.height() - 4).name() for x in range(strip.width())}
    assert {colours.ok.name(), colours.bad.name()} <= seen
