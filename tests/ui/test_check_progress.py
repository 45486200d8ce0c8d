"""How far a suite is against past ones: what was seen poll by poll, the usual curve from what is known best, and the chart of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from cockpit.domain import checks
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.facts import Fact
from cockpit.services.store import Change
from tests.fakes.believable import NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.views.check_progress import POINTS_KEPT, RUNS_KEPT, Progress, Shown, progress_words, running, usual
from ui.views.checks import ChecksView

SERVICE = "order-gateway"
BEGAN = 1_000 * S


def run(done: int, state: CheckState = CheckState.RUNNING, number: int = 0, took: int = 0, total: int = 10) -> CheckRun:
    suite = Suite("unit", state, total, done, started_at_us=BEGAN, finished_at_us=BEGAN + took * S if took else 0)
    return CheckRun(f"r{number}", SERVICE, "1.0", "c", state, (suite,), BEGAN)


def test_what_was_not_collected_or_never_seen_running_says_nothing() -> None:
    seen = Progress()
    seen.note([run(0, total=0), run(10, CheckState.PASSED, 1, took=9)], BEGAN + S)
    assert seen.points("r0", "unit") == []
    assert seen.points("r1", "unit") == []
    assert usual([], {}, seen, "unit") == []
    assert usual([run(0, CheckState.ERROR, 1, took=9)], {}, seen, "unit") == [], "a suite that broke says nothing of how long it takes"


def test_each_poll_is_a_point_and_waiting_is_no_more_than_two() -> None:
    seen = Progress()
    for second in (2, 4, 4, 6, 8, 10):
        seen.note([run(2 if second < 6 else 5)], BEGAN + second * S)
    points = seen.points("r0", "unit")
    assert points[:4] == [(0.0, 0.0), (2.0, 0.2), (4.0, 0.2), (6.0, 0.5)]
    assert points[-1] == (10.0, 0.5)
    for second in range(12, 60, 2):
        seen.note([run(5)], BEGAN + second * S)
    assert len(seen.points("r0", "unit")) == len(points)
    seen.note([run(10, CheckState.PASSED, took=70)], BEGAN + 80 * S)
    assert seen.points("r0", "unit")[-1] == (70.0, 1.0)


def test_what_is_kept_is_bounded() -> None:
    seen = Progress()
    for number in range(RUNS_KEPT + 5):
        seen.note([run(1, number=number)], BEGAN + S)
    assert seen.points("r0", "unit") == []
    assert seen.points(f"r{RUNS_KEPT + 4}", "unit")
    for second in range(POINTS_KEPT + 50):
        seen.note([run(second, total=100_000, number=999)], BEGAN + (second + 1) * S)
    assert len(seen.points("r999", "unit")) == POINTS_KEPT


def test_what_is_usual_is_the_median_of_what_is_known_best() -> None:
    seen, ended = Progress(), [run(10, CheckState.PASSED, n, took) for n, took in ((1, 10), (2, 30), (3, 20))]
    straight = {round(share, 2): at for at, share in usual(ended, {}, seen, "unit")}
    assert (straight[0.0], straight[0.5], straight[1.0]) == pytest.approx((0, 10, 20))
    slow_end = tuple(checks.TestResult(f"t{i}", "passed", 9.0 if i == 9 else 1.0) for i in range(10))
    whole = replace(ended[2], suites=(replace(ended[2].suites[0], tests=slow_end),))
    from_tests = usual([ended[2]], {"r3": Fact(whole, BEGAN)}, seen, "unit")
    assert {round(share, 2): at for at, share in from_tests}[0.9] == pytest.approx(10.0), "nine tests in half of the time"
    for second in range(1, 9):
        seen.note([run(second, number=3)], BEGAN + second * S)
    seen.note([run(10, CheckState.PASSED, 3, took=20)], BEGAN + 20 * S)
    watched = {round(share, 2): at for at, share in usual([ended[2]], {"r3": Fact(whole, BEGAN)}, seen, "unit")}
    assert watched[0.5] == pytest.approx(5.0), "what was seen counts most"


def test_the_words_have_the_share_and_what_is_left() -> None:
    past = tuple(run(10, CheckState.PASSED, n, took) for n, took in ((1, 40), (2, 40)))
    now = run(5)
    words = progress_words(now.suites[0], Shown(now, "", (now, *past), {}, BEGAN + 10 * S))
    assert words == "unit: 5 of 10 tests, 50 %, about 30 s left (usually 40 s)"
    assert "longer than usual" in progress_words(now.suites[0], Shown(now, "", (now, *past), {}, BEGAN + 50 * S))
    assert "remaining time not known" in progress_words(now.suites[0], Shown(now, "", (now,), {}, BEGAN + 50 * S))
    assert "took 40 s" in progress_words(past[0].suites[0], Shown(past[0], "", past, {}, BEGAN))
    assert running(Shown(None, "", (), {}, 0)) is None


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
    qtbot.waitUntil(lambda: found.foot.chart is not None, timeout=20_000)
    return found


def poll(view: ChecksView, cockpit: FakeCockpit, passed: int, state: CheckState = CheckState.RUNNING) -> None:
    """Two seconds later the CI system says this of the integration suite."""
    cockpit.now_us += 2 * S
    fact = cockpit.store.state.checks[SERVICE]
    now = fact.value[0]
    suites = list(now.suites)
    suites[1] = replace(suites[1], passed=passed, state=state, finished_at_us=0 if state is CheckState.RUNNING else cockpit.now_us)
    newest = replace(now, suites=tuple(suites), state=state)
    cockpit.store.merge("checks", {SERVICE: replace(fact, at_us=cockpit.now_us, value=(newest, *fact.value[1:]))})
    view.on_change(Change(frozenset({"checks"})))


def test_a_running_suite_is_shown_live_against_past_ones(view: ChecksView, cockpit: FakeCockpit) -> None:
    chart = view.foot.chart
    assert chart is not None
    assert view.foot.stack.currentWidget() is chart
    for passed in (13, 14, 15):
        poll(view, cockpit, passed)
    began = NOW_US / 1e6 - 22
    assert view.history_title.whole.startswith("integration: 18 of 21 tests, 85 %")
    assert chart.values_at(cockpit.now_us / 1e6)["done"] == pytest.approx(100 * 18 / 21)
    assert chart.values_at(began + 16)["usual"] == pytest.approx(50, abs=8)
    assert chart.readout.text.split("  ")[1].startswith("+28 s")
    assert chart.range_s[0] == pytest.approx(began)
    chart.copy()
    assert "usual" in QGuiApplication.clipboard().text()


def test_uneven_polls_and_tests_leave_no_hole_in_the_lines(view: ChecksView, cockpit: FakeCockpit) -> None:
    chart = view.foot.chart
    assert chart is not None
    for passed in (12, 13, 14):
        poll(view, cockpit, passed)
    cockpit.now_us += 60 * S
    poll(view, cockpit, 17)
    done = chart.data.series.window(NOW_US / 1e6 - 22, cockpit.now_us / 1e6)[1][0]
    assert len(done) > 100
    assert not any(math.isnan(value) for value in done)


def test_a_share_is_a_whole_percent_and_never_whole_too_early(view: ChecksView, cockpit: FakeCockpit) -> None:
    chart = view.foot.chart
    assert chart is not None
    poll(view, cockpit, 13)
    cell = next(c for c in chart.readout.text.split("  ") if c.startswith("done"))
    assert cell == "done 76 %"


def test_what_happens_while_nobody_looks_is_seen_too(view: ChecksView, cockpit: FakeCockpit) -> None:
    view.hide()
    for passed in (13, 14, 15):
        poll(view, cockpit, passed)
    assert len(view.foot.seen.points(cockpit.store.state.checks[SERVICE].value[0].id, "integration")) >= 4


def test_the_end_of_the_run_brings_the_durations_and_a_persons_choice_stays(view: ChecksView, cockpit: FakeCockpit, qtbot: Any) -> None:
    foot = view.foot
    qtbot.mouseClick(foot.turn_button, Qt.MouseButton.LeftButton)
    assert foot.stack.currentWidget() is foot.bars
    poll(view, cockpit, 14)
    assert foot.stack.currentWidget() is foot.bars, "chosen by hand"
    qtbot.mouseClick(foot.turn_button, Qt.MouseButton.LeftButton)
    assert foot.stack.currentWidget() is foot.chart
    view._forget()
    poll(view, cockpit, 18, CheckState.PASSED)
    assert foot.stack.currentWidget() is foot.bars
    assert "over versions" in view.history_title.whole


def test_the_chart_is_a_file_too(view: ChecksView, cockpit: FakeCockpit, tmp_path: Path) -> None:
    poll(view, cockpit, 13)
    chart = view.foot.chart
    assert chart is not None
    chart.export(str(tmp_path / "a.csv"))
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert rows[0] == "time_utc,done,usual"
    assert all(math.isfinite(float(cell)) for row in rows[1:] for cell in row.split(",")[1:] if cell)
