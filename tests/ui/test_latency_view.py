"""The latency view: the number and its verdict in words, series and windows, and what it says when there is nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QComboBox, QPushButton

from cockpit.domain.facts import Fact, place
from cockpit.domain.release import DeployState
from cockpit.services.runtime import Outcome
from cockpit.services.store import AppState, Change, LatencyStatus
from tests.fakes.believable import NOW_US, S, latency_point
from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.views.latency import LatencyView, verdict
from ui.views.latency_feed import LatencyFeed
from ui.widgets.chart_loader import _LOADED

PLACE = "order-gateway@production"


def shown(qtbot, cockpit: FakeCockpit, service: str = "order-gateway", environment: str = "production") -> LatencyView:
    """The view with its charts, as narrow as it gets."""
    view = LatencyView(cockpit)
    qtbot.addWidget(view)
    view.resize(648, 600)
    view.show_place(service, environment)
    view.show()
    qtbot.waitUntil(lambda: bool(view.charts), timeout=20_000)
    return view


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    theme.apply(qapp, "dark")
    return FakeCockpit()


def test_the_charts_wait_for_the_library_and_say_so(qtbot, qapp: QApplication, cockpit: FakeCockpit) -> None:
    qapp.setProperty(_LOADED, None)
    view = LatencyView(cockpit)
    qtbot.addWidget(view)
    view.show_place("order-gateway", "production")
    assert not view.charts, "nothing heavy before it is shown"
    view.show()
    assert not view.placeholder.isHidden()
    assert "55.9 ms" in view.number.whole, "the number does not wait"
    qtbot.waitUntil(lambda: bool(view.charts), timeout=20_000)
    assert view.placeholder.isHidden()


def test_outside_is_loud_and_in_words(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    assert view.verdict.word == "bad"
    assert view.verdict.text == "OUTSIDE: 55.9 ms against at most 6.37 ms of 1.5.1"
    view.show_place("market-data", "production")
    assert view.verdict.word == "ok"
    assert view.verdict.text.startswith("within its band 0.")


def test_what_is_not_known_never_reads_as_ok() -> None:
    point = latency_point(NOW_US, "order-gateway", "production")
    assert verdict(LatencyStatus(point))[0] == "unknown"
    known = FakeCockpit().store.state.latency[PLACE].value
    assert verdict(replace(known, outside=None))[0] == "unknown"


@pytest.mark.parametrize(("factor", "word", "said"), [(1.4, "warning", "above its band"), (0.0, "ok", "below its band")])
def test_a_p99_beyond_its_band_is_never_called_within(factor: float, word: str, said: str) -> None:
    known = FakeCockpit().store.state.latency[PLACE].value
    point = replace(known.point, p99_ms=factor * known.band.high_ms)
    found = verdict(replace(known, point=point, outside=False))
    assert found[0] == word
    assert found[1].startswith(said)


def test_a_history_that_cannot_be_read_is_told_beside_what_came_in(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    view.page.feeds[0].problem = OSError("the disk is gone")
    view.refresh()
    assert view.what.whole == "The history could not be read: the disk is gone"


def test_stale_is_grey_and_says_its_age(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    cockpit.now_us += 41 * S
    view.on_change(Change(frozenset({"ages"})))
    assert view.verdict.word == "stale"
    assert "stale, 42 s old" in view.what.whole
    assert {c.overlay.stale for c in view.charts} == {"stale, 42 s old"}
    fact = cockpit.store.state.latency[PLACE]
    cockpit.store.merge("latency", {PLACE: replace(fact, at_us=cockpit.now_us)})
    view.on_change(Change(frozenset({"latency"})))
    assert {c.overlay.stale for c in view.charts} == {""}


def test_node_and_operation_choose_the_series(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    assert view.node.count() == 5
    assert view.charts[0]._band is not None
    view.node.setCurrentIndex(2)
    view.operation.setCurrentIndex(1)
    assert view.series == f"{PLACE}/production-2/cancel"
    assert cockpit.latency.loads[-1] == view.series
    assert view.charts[0]._band is None, "the band is of all nodes"
    view.show_place("order-gateway", "staging")
    assert view.series == "order-gateway@staging/*/*"
    assert view.node.count() == 3


def test_windows_follow_and_a_hand_on_the_chart(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    now_s = NOW_US / 1e6
    for made in view.windows.buttons():
        made.click()
        start, end = view.charts[0].range_s
        assert (end - start, end) == pytest.approx((view.windows.id(made), now_s), abs=0.01)
    view.windows.button(900).click()
    view.charts[1].moved.emit(now_s - 1200, now_s - 300)
    assert not view.follow
    assert not view.follow_button.isChecked()
    assert {c.range_s for c in view.charts} == {view.charts[0].range_s}
    cockpit.now_us += 30 * S
    view.on_change(Change(frozenset({"ages"})))
    assert view.charts[0].range_s[1] == pytest.approx(now_s - 300), "nothing moves under the pointer"
    qtbot.keyClick(view.charts[2], Qt.Key.Key_F)
    assert view.follow
    assert view.charts[0].range_s[1] == pytest.approx(now_s + 30)


def test_one_crosshair_for_all(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    view.charts[0].hovered.emit(NOW_US / 1e6 - 60)
    assert all("09:40:07 UTC" in chart.readout.text for chart in view.charts)
    view.charts[1].hovered.emit(None)
    assert all("newest" in chart.readout.text for chart in view.charts)


def test_marks_name_what_happened(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    known = cockpit.store.state.deployments[PLACE]
    failed = replace(known.value[0], kind="rollback", version="1.5.1", state=DeployState.FAILED, started_at_us=NOW_US - 60 * S)
    cockpit.store.merge("deployments", {PLACE: replace(known, value=(failed, *known.value))})
    view.on_change(Change(frozenset({"deployments"})))
    assert [m.text for m in view.charts[0].overlay.marks][:2] == ["rollback 1.5.1 failed", "deploy 1.6.0"]


def test_nothing_happens_while_it_is_hidden(qtbot, cockpit: FakeCockpit) -> None:
    view = shown(qtbot, cockpit)
    view.hide()
    asked = len(cockpit.latency.loads)
    fact = cockpit.store.state.latency[PLACE]
    cockpit.store.merge("latency", {PLACE: replace(fact, value=replace(fact.value, outside=False))})
    view.on_change(Change(frozenset({"latency"})))
    assert view.verdict.word == "bad"
    view.show()
    assert view.verdict.word == "warning", "caught up before the first paint"
    assert len(cockpit.latency.loads) == asked


def test_empty_says_what_would_fill_it(qtbot, qapp: QApplication) -> None:
    cockpit = FakeCockpit(AppState(starting="starting order-gateway…"))
    cockpit.latency.empty = True
    view = shown(qtbot, cockpit)
    assert view.verdict.word == "unknown"
    assert view.charts[0].overlay.message[0] == "starting order-gateway…"
    cockpit.store.apply(starting="")
    cockpit.latency.nodes = lambda at: ()
    view.on_change(Change(frozenset({"starting"})))
    qtbot.waitUntil(lambda: "latency histogram" in view.charts[0].overlay.message[1])
    assert not view.grab().isNull()


class SlowBook:
    """A book whose answers wait."""

    def __init__(self, inner) -> None:
        self.inner, self.waiting = inner, []

    def columns(self, *args):
        return self.inner.columns(*args)

    def load(self, series, start_us, end_us, done, max_points) -> None:
        self.waiting.append((series, done))

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_an_answer_for_another_series_is_dropped() -> None:
    cockpit = FakeCockpit()
    book, changes = SlowBook(cockpit.latency), []
    feed = LatencyFeed(book, lambda: changes.append(1))
    feed.choose(f"{PLACE}/*/*")
    feed.want(NOW_US - 900 * S, NOW_US)
    feed.want(NOW_US - 900 * S, NOW_US)
    assert len(book.waiting) == 1
    assert feed.loading
    feed.choose(f"{PLACE}/production-1/*")
    book.waiting[0][1](Outcome(error=OSError("late")))
    assert not changes
    assert feed.problem is None
    feed.want(NOW_US - 900 * S, NOW_US)
    book.waiting[1][1](Outcome(error=OSError("disk")))
    assert changes == [1]
    assert isinstance(feed.problem, OSError)
    at, columns = feed.columns(NOW_US - 60 * S, NOW_US)
    assert len(at) == len(columns["p99_ms"]) == 30, "what comes in now is shown all the same"


def test_history_and_memory_join_without_doubles() -> None:
    cockpit = FakeCockpit()

    class Book(SlowBook):
        def columns(self, series, start_us, end_us):
            return self.inner.columns(series, max(start_us, NOW_US - 60 * S), end_us)

        def span(self, series):
            return max(NOW_US - 60 * S, self.inner.span(series)[0]), NOW_US

    book = Book(cockpit.latency)
    feed = LatencyFeed(book, lambda: None)
    feed.choose(f"{PLACE}/*/*")
    feed.want(NOW_US - 300 * S, NOW_US)
    book.waiting[0][1](Outcome(cockpit.latency.columns(f"{PLACE}/*/*", NOW_US - 300 * S, NOW_US)))
    at, columns = feed.columns(NOW_US - 300 * S, NOW_US)
    assert list(at) == sorted(set(at))
    assert len(at) == len(columns["p50_ms"]) == 150


@pytest.mark.parametrize("name", theme.THEMES)
def test_every_control_has_a_name_and_fits(qtbot, cockpit: FakeCockpit, qapp: QApplication, name: str) -> None:
    theme.apply(qapp, name)
    view = shown(qtbot, cockpit)
    assert view.minimumSizeHint().width() <= 648
    for control in (*view.findChildren(QPushButton), *view.findChildren(QComboBox), *view.charts):
        assert control.accessibleName(), control
        assert control.focusPolicy() != Qt.FocusPolicy.NoFocus
    for made in view.findChildren(QPushButton):
        assert made.width() >= made.sizeHint().width(), made.text()
    assert not view.grab().isNull()


def test_a_fact_without_any_quantile_is_a_dash(qtbot, cockpit: FakeCockpit) -> None:
    point = replace(latency_point(NOW_US, "order-gateway", "production"), p99_ms=None)
    cockpit.store.merge("latency", {PLACE: Fact(LatencyStatus(point), NOW_US, "latency", 15)})
    view = shown(qtbot, cockpit)
    assert view.number.whole == "–"


def test_answers_of_other_sources_draw_nothing_and_a_watch_only_its_line(
    qtbot, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = shown(qtbot, FakeCockpit())
    lines: list[int] = []
    monkeypatch.setattr(view, "refresh", lambda: pytest.fail("all of it was read"))
    monkeypatch.setitem(view.beside, "watches", lambda: lines.append(1))
    view.on_change(Change(frozenset({"sources"}), frozenset({"ci"})))
    view.on_change(Change(frozenset({"watches"}), frozenset({place("elsewhere", "production")})))
    assert not lines
    view.on_change(Change(frozenset({"watches"}), frozenset({place(view.service, "production")})))
    assert len(lines) == 1
    view.hide()
    view.on_change(Change(frozenset({"watches"}), frozenset({place(view.service, "production")})))
    assert len(lines) == 1, "hidden it waits"
