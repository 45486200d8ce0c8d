"""The pages of the latency view: marks and sessions, candidate and baseline at equal age, all environments, the distribution."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from cockpit.domain.calendar import Freeze
from cockpit.domain.errors import StorageError
from cockpit.domain.facts import Fact
from cockpit.domain.metrics import Histogram, Reading
from cockpit.services.latency import empty_columns
from cockpit.services.runtime import Outcome
from cockpit.services.store import AppState, Change
from tests.fakes.believable import HOUR, MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.views.latency import VIEWS, LatencyView
from ui.views.latency_marks import Venue, marks_at
from ui.views.latency_when import BEFORE, DEPLOYMENT, SESSION, since
from ui.widgets.chart_math import since_label

PLACE = "order-gateway@production"
NOW_S = NOW_US / 1e6
BOUNDS = (0.001, 0.002, 0.004, 0.008, 0.016, math.inf)


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    theme.apply(qapp, "dark")
    return FakeCockpit()


def shown(qtbot: Any, cockpit: FakeCockpit, name: str) -> LatencyView:
    view = LatencyView(cockpit)
    qtbot.addWidget(view)
    view.resize(648, 640)
    view.show_place("order-gateway", "production")
    view.show()
    qtbot.waitUntil(lambda: bool(view.charts), timeout=20_000)
    view.show_view(name)
    return view


def calendar(cockpit: FakeCockpit, *freezes: Freeze) -> None:
    cockpit.store.apply(sources={}, freezes={"venue": Fact(tuple(freezes), cockpit.now_us, "calendar venue", 86_400)})


def day(shift: int = 0) -> tuple[Freeze, ...]:
    """An opening auction that ended 41 minutes ago and a closing one in eight hours."""
    back = NOW_US + shift * 24 * HOUR
    return (
        Freeze("Opening auction", back - 51 * MIN, back - 41 * MIN, "calendar venue"),
        Freeze("Closing auction", back + 8 * HOUR, back + 8 * HOUR + 5 * MIN, "calendar venue"),
    )


def measure(cockpit: FakeCockpit, minutes: int, slow: float = 0.0, each: int = 100) -> None:
    """`minutes` of samples up to now, one scrape each ten seconds: half below 2 ms, `slow` of them above 8 ms."""
    total = 0.0
    for i in range(minutes * 6 + 1):
        total += each
        counts = (total * 0.1, total * 0.5, total * (0.9 - slow), total * (1 - slow), total, total)
        at = NOW_US - (minutes * 60 - 10 * i) * S
        cockpit.latency.add(
            cockpit.latency.digest.points([Reading("n", "order-gateway", "production", at, {"order": Histogram(BOUNDS, counts)})])
        )


# what happened, and the venue's day -----------------------------------------------------------------------------------------


def test_words_on_versions_are_marks_and_void_ones_are_none(cockpit: FakeCockpit) -> None:
    state = cockpit.store.state
    void = replace(state.approvals[0], why_not="the key was revoked", at_us=NOW_US - MIN)
    elsewhere = replace(state.approvals[0], environment="staging")
    no = replace(state.approvals[0], approved=False, name="E\u202ev", at_us=NOW_US - 2 * MIN)
    cockpit.store.apply(approvals=(*state.approvals, void, elsewhere, no))
    told = {(m.kind, m.text) for m in marks_at(cockpit.store.state, "order-gateway", "production", NOW_US) if m.kind != "deploy"}
    assert told == {
        ("approval", "approval 1.7.0 by Dora Lindt"),
        ("approval", "approval 1.7.0 by Ada Quill"),
        ("rejection", "rejection 1.7.0 by E<U+202E>v"),
    }


def test_a_clock_that_was_set_back_is_a_mark_in_every_chart(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.latency.set_back = ((NOW_US - MIN, 600.0),)
    view = shown(qtbot, cockpit, "Time")
    for name in ("Time", "Environments"):
        view.show_view(name)
        for chart in view.charts:
            assert ("clock", "clock set back by 10 min") in {(m.kind, m.text) for m in chart.overlay.marks}


def test_freezes_and_sessions_in_sight_are_spans(cockpit: FakeCockpit) -> None:
    venue = Venue(cockpit)
    assert venue.spans("production", NOW_US - HOUR, NOW_US) == ()
    calendar(cockpit, *day())
    told = [(s.kind, s.text) for s in venue.spans("production", NOW_US - HOUR, NOW_US)]
    assert told == [("freeze", "Opening auction"), ("session", "continuous")]
    week = venue.spans("production", NOW_US - 100 * HOUR, NOW_US)
    assert [s.kind for s in week] == ["freeze"], "in a long window sessions would be a fence"
    assert venue.spans("staging", NOW_US - HOUR, NOW_US) == tuple(venue.spans("production", NOW_US - HOUR, NOW_US))


def test_the_chooser_offers_what_is_known_and_goes_there(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit, "Time")
    assert [view.when.itemData(i) for i in range(view.when.count())] == ["", DEPLOYMENT]
    calendar(cockpit, *day(-1), *day())
    view.on_change(Change(frozenset({"freezes"})))
    assert [view.when.itemText(i) for i in range(view.when.count())] == [
        "All the time",
        "Since 1.6.0 came",
        "This session: continuous",
        "Same session yesterday",
    ]
    for what, start_s, end_s in (
        (SESSION, NOW_S - 41 * 60, NOW_S + 8 * 3600),
        (BEFORE, NOW_S - 41 * 60 - 86_400, NOW_S + 8 * 3600 - 86_400),
    ):
        view.when.choose(what)
        view.when.activated.emit(view.when.currentIndex())
        assert view.charts[0].range_s == pytest.approx((start_s, end_s))
        assert not view.follow
    assert view.charts[0].data.last_s == pytest.approx(end_s, abs=8 * 3600), "yesterday comes from history"
    view.windows.button(900).click()
    assert view.when.currentData() == ""
    qtbot.keyClick(view.charts[0], Qt.Key.Key_F)
    assert view.follow


def test_a_session_goes_on_by_itself_and_gives_way_to_the_next(qtbot: Any, cockpit: FakeCockpit) -> None:
    calendar(cockpit, *day())
    view = shown(qtbot, cockpit, "Time")
    view.when.choose(SESSION)
    view.when.activated.emit(view.when.currentIndex())
    cockpit.now_us = NOW_US + 8 * HOUR + MIN
    view.on_change(Change(frozenset({"ages"})))
    assert view.when.currentText() == "This session: Closing auction"
    assert view.charts[0].range_s == pytest.approx((NOW_S + 8 * 3600, NOW_S + 8 * 3600 + 300))


def test_since_a_moment_the_window_is_round_and_holds_now() -> None:
    for age in (1, 59, 700, 90_000, 6 * 86_400):
        start, end = since(NOW_US - age * S, NOW_US)
        assert start < NOW_US - age * S
        assert end >= NOW_US
        assert end - start <= 12 * max(60, age) * S
    assert since(NOW_US - 20 * 86_400 * S, NOW_US)[1] < NOW_US, "a week at most"


def test_times_since_read_well() -> None:
    assert [since_label(s, 1) for s in (0, 40, -30, 300, 312, 5400, -7200)] == [
        "0",
        "+40 s",
        "-30 s",
        "+5 min",
        "+5 min 12",
        "+1 h 30",
        "-2 h 00",
    ]
    assert [since_label(s, 3600) for s in (7200, 47 * 3600, 49 * 3600, 72 * 3600)] == ["+2 h", "+47 h", "+2 d 1 h", "+3 d"]


# candidate and baseline at equal age ----------------------------------------------------------------------------------------


def test_side_by_side_is_of_equal_age_from_history_of_days_ago(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit, "Side by side")
    candidate, baseline = view.charts
    apart = 47 * 3600.0
    assert candidate.range_s[0] - baseline.range_s[0] == pytest.approx(apart)
    assert candidate.range_s[1] - baseline.range_s[1] == pytest.approx(apart)
    assert baseline.data.last_s == pytest.approx(NOW_S - apart, abs=60), "read from history"
    assert candidate._scale.limits == baseline._scale.limits
    assert candidate._scale.top > 50, "the candidate is out of its band, and the baseline's axis shows it"
    candidate.hovered.emit(NOW_S - 60)
    assert candidate.readout.text.split("  ")[1].startswith("+11 min")
    assert baseline.readout.text.split("  ")[1].split(",")[0] == candidate.readout.text.split("  ")[1].split(",")[0]
    baseline.moved.emit(NOW_S - apart - 600, NOW_S - apart - 300)
    assert candidate.range_s == pytest.approx((NOW_S - 600, NOW_S - 300))
    assert not view.follow


def test_where_the_baseline_never_grew_so_old_it_begins_at_the_beginning(qtbot: Any, cockpit: FakeCockpit) -> None:
    known = cockpit.store.state.deployments[PLACE]
    newest = replace(known.value[0], started_at_us=NOW_US - 20 * HOUR, finished_at_us=NOW_US - 20 * HOUR + MIN)
    before = replace(known.value[1], started_at_us=NOW_US - 25 * HOUR, finished_at_us=NOW_US - 25 * HOUR + MIN)
    cockpit.store.merge("deployments", {PLACE: replace(known, value=(newest, before, *known.value[2:]))})
    view = shown(qtbot, cockpit, "Side by side")
    assert view.when.currentData() == DEPLOYMENT
    assert not view.follow
    candidate, baseline = view.charts
    assert candidate.range_s[0] < newest.started_at_us / 1e6 < NOW_S <= candidate.range_s[1]
    assert baseline.data.last_s == pytest.approx(newest.started_at_us / 1e6, abs=600)
    assert baseline.data.last_s < newest.started_at_us / 1e6, "what came after it is not its latency"
    view.windows.button(900).click()
    view.follow_now()
    assert baseline.overlay.message[0] == "It was replaced before it was so old"


def test_side_by_side_says_why_there_is_nothing(qtbot: Any, cockpit: FakeCockpit) -> None:
    known = cockpit.store.state.deployments[PLACE]
    view = shown(qtbot, cockpit, "Side by side")
    page = view.page
    for deployments, words in (
        ((), "No deployment is known here"),
        (known.value[:1], "When 1.5.1 came is not known"),
        ((replace(known.value[0], from_version=""),), "1.6.0 replaced nothing"),
    ):
        cockpit.store.merge("deployments", {PLACE: replace(known, value=deployments)})
        view.on_change(Change(frozenset({"deployments"})))
        assert words in page.nothing.whole
        assert not page.charts[0].isVisible()
    cockpit.store.merge("deployments", {PLACE: known})
    view.on_change(Change(frozenset({"deployments"})))
    assert page.charts[0].isVisible()
    view.resize(1300, 640)
    assert page.pair_box.direction() == page.pair_box.Direction.LeftToRight


# all environments -----------------------------------------------------------------------------------------------------------


def test_every_environment_has_its_chart_with_its_own_marks_and_one_axis(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit, "Environments")
    staging, production = view.charts
    assert [c.readout.text.split("  ")[0] for c in view.charts] == ["staging", "production"]
    assert [c.overlay.marks[0].text for c in view.charts] == ["deploy 1.7.0", "deploy 1.6.0"]
    assert staging._scale.limits == production._scale.limits
    staging.hovered.emit(NOW_S - 60)
    assert all("09:40:07 UTC" in c.readout.text for c in view.charts)
    assert staging.data.last_s == pytest.approx(NOW_S, abs=4)


def test_the_environments_say_of_which_operation_they_tell(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit, "Environments")
    assert "all nodes, one axis" in view.page.words.whole
    view.operation.setCurrentIndex(1)
    assert f"all nodes, {view.operation.currentText()}, one axis" in view.page.words.whole


def test_an_environment_whose_history_could_not_be_read_says_so(qtbot: Any, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    cockpit.latency.empty = True

    def load(series: str, start_us: int, end_us: int, done: Any, max_points: int = 0) -> None:
        done(Outcome(error=StorageError("The disk does not answer.")) if "@staging/" in series else Outcome(empty_columns()))

    monkeypatch.setattr(cockpit.latency, "load", load)
    view = shown(qtbot, cockpit, "Environments")
    nothing = "Nothing was measured here in this window"
    assert [chart.overlay.message[0] for chart in view.charts] == ["The history could not be read", nothing]


def test_no_environment_with_a_latency(qtbot: Any, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    cockpit = FakeCockpit(AppState())
    view = shown(qtbot, cockpit, "Time")
    view.show_view("Environments")
    assert view.page.nothing.isVisible()
    assert view.charts == ()


# the distribution -----------------------------------------------------------------------------------------------------------


def test_the_distribution_compares_with_the_time_before_where_equal_age_is_gone(qtbot: Any, cockpit: FakeCockpit) -> None:
    measure(cockpit, 40)
    view = shown(qtbot, cockpit, "Distribution")
    page = view.page
    candidate, baseline = page.view.known
    assert (candidate.name, baseline.name) == ("1.6.0", "1.5.1")
    assert candidate.samples == pytest.approx(7200, abs=200)
    assert baseline.samples == pytest.approx(7200, abs=200)
    assert "1.5.1 in the 12 min before (none of that age is kept)" in page.words.whole
    assert page.cells[1][1].whole == f"{candidate.samples:,.0f}"
    before = candidate.samples
    cockpit.now_us += 10 * S
    counts = (100.0,) * 6
    reading = Reading("n", "order-gateway", "production", cockpit.now_us - S, {"order": Histogram(BOUNDS, counts)})
    cockpit.latency.add(cockpit.latency.digest.points([reading]))
    view.on_change(Change(frozenset({"latency"})))
    assert page.view.known[0].samples > before, "it goes on while it follows"


def test_the_distribution_at_equal_age_where_both_were_seen(qtbot: Any, cockpit: FakeCockpit) -> None:
    measure(cockpit, 60)
    known = cockpit.store.state.deployments[PLACE]
    earlier = replace(known.value[1], started_at_us=NOW_US - 50 * MIN, finished_at_us=NOW_US - 49 * MIN)
    cockpit.store.merge("deployments", {PLACE: replace(known, value=(known.value[0], earlier, *known.value[2:]))})
    view = shown(qtbot, cockpit, "Distribution")
    assert "against 1.5.1 at the same age, 38 min earlier" in view.page.words.whole
    assert "then it was replaced" not in view.page.words.whole


def test_a_baseline_that_was_soon_replaced_says_how_much_of_it_is_compared(qtbot: Any, cockpit: FakeCockpit) -> None:
    measure(cockpit, 60)
    known = cockpit.store.state.deployments[PLACE]
    came = known.value[0].started_at_us - 2 * MIN
    earlier = replace(known.value[1], started_at_us=came, finished_at_us=came + S)
    cockpit.store.merge("deployments", {PLACE: replace(known, value=(known.value[0], earlier, *known.value[2:]))})
    view = shown(qtbot, cockpit, "Distribution")
    view.when.choose(DEPLOYMENT)
    view.when.chosen.emit(DEPLOYMENT)
    assert "at the same age, 2 min earlier, only 2 min of it: then it was replaced" in view.page.words.whole


def test_side_by_side_of_a_young_candidate_begins_at_its_deployment(qtbot: Any, cockpit: FakeCockpit) -> None:
    known = cockpit.store.state.deployments[PLACE]
    young = replace(known.value[0], started_at_us=NOW_US - MIN, finished_at_us=NOW_US - 50 * S)
    cockpit.store.merge("deployments", {PLACE: replace(known, value=(young, *known.value[1:]))})
    view = shown(qtbot, cockpit, "Side by side")
    assert view.when.currentData() == DEPLOYMENT


def test_few_samples_are_not_told_as_if_known(qtbot: Any, cockpit: FakeCockpit) -> None:
    measure(cockpit, 40, slow=0.05, each=7)
    view = shown(qtbot, cockpit, "Distribution")
    page = view.page
    assert 400 < page.view.known[0].samples < 600
    assert [cell.whole[:1] for cell in page.cells[1][4:]] == ["≈", "–", "–"], "p99 of 500 rests on five, p99.9 on none"
    assert page.cells[3][4].whole == "–"
    assert "x 1.00" in page.cells[3][2].whole


def test_the_distribution_says_what_is_missing(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit, "Distribution")
    page = view.page
    assert "kept for a day" in page.view.empty
    view.node.setCurrentIndex(1)
    view.operation.setCurrentIndex(1)
    assert "choose all operations, or all nodes" in page.view.empty
    view.operation.setCurrentIndex(0)
    assert "choose" not in page.view.empty
    view.node.setCurrentIndex(0)
    cockpit.store.merge("deployments", {PLACE: Fact((), NOW_US, "deployer")})
    measure(cockpit, 10)
    view.on_change(Change(frozenset({"deployments"})))
    assert "no deployment is known here" in page.words.whole
    assert page.view.known[0].samples > 0


def test_copy_and_files_of_the_distribution(qtbot: Any, cockpit: FakeCockpit, tmp_path: Path) -> None:
    measure(cockpit, 40)
    view = shown(qtbot, cockpit, "Distribution")
    chart = view.page.view
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert chart.cross == pytest.approx(2.05)
    qtbot.keyClick(chart, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    rows = QGuiApplication.clipboard().text().splitlines()
    assert rows[0] == "percentile\t1.6.0 ms\t1.5.1 ms"
    assert rows[1].startswith("p99.1\t")
    assert view.what.whole == "Copied the values at p99.1"
    for ending in ("csv", "svg", "png"):
        chart.export(str(tmp_path / f"a.{ending}"))
        assert view.what.whole == f"Saved a.{ending}"
        assert (tmp_path / f"a.{ending}").stat().st_size > 500
    table = (tmp_path / "a.csv").read_text().splitlines()
    assert table[0] == "series,percentile,milliseconds,samples,samples_beyond"
    assert {row.split(",")[0] for row in table[1:]} == {"candidate 1.6.0", "baseline 1.5.1"}
    assert "1.5.1, " in (tmp_path / "a.svg").read_text()
    chart.export(str(tmp_path / "no" / "a.csv"))
    assert "was not saved" in view.what.whole


# the view -------------------------------------------------------------------------------------------------------------------


def test_the_view_is_remembered_and_every_page_fits(qtbot: Any, cockpit: FakeCockpit, tmp_path: Path) -> None:
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    view = shown(qtbot, cockpit, "Time")
    view.remember(settings)
    for name, _, _ in VIEWS:
        view.show_view(name)
        assert view.minimumSizeHint().width() <= 648, name
        assert not view.grab().isNull()
    again = LatencyView(cockpit)
    qtbot.addWidget(again)
    again.remember(settings)
    assert again.views.checkedButton().text() == "Environments"


def test_pages_that_nobody_looked_at_are_not_made(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit, "Heat")
    assert len(view._pages) == 1, "time and heat are one page"
    assert view.log_button.isHidden()
    view.show_view("Time")
    assert not view.log_button.isHidden()
