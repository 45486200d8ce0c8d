"""The chart library, loaded ahead: gently, and who opens a chart later finds it ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.views.latency import LatencyView
from ui.widgets import chart_loader
from ui.widgets.chart_loader import IDLE_PAUSE_MS, IDLE_TURN_S, ChartLoader, load_ahead


@pytest.fixture
def fresh(qapp: QApplication) -> Iterator[QApplication]:
    """An application whose charts nobody has loaded yet."""
    before = qapp.property(chart_loader._LOADED)
    qapp.setProperty(chart_loader._LOADED, None)
    theme.apply(qapp, "dark")
    yield qapp
    qapp.setProperty(chart_loader._LOADED, before)


def a_view(qtbot) -> LatencyView:
    view = LatencyView(FakeCockpit())
    qtbot.addWidget(view)
    view.show_place("order-gateway", "production")
    return view


def test_a_view_that_is_opened_later_finds_the_charts_ready(qtbot, fresh: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    early = a_view(qtbot)
    early.show()
    assert not early.charts, "nobody has loaded them yet"
    assert early.stack.currentWidget() is early.placeholder
    monkeypatch.setattr(chart_loader, "IDLE_MS", 0)
    window = QObject()
    loader = load_ahead(window)
    with qtbot.waitSignal(loader.ready, timeout=60_000):
        assert not loader.loaded, "the window goes on meanwhile"
    view = a_view(qtbot)
    view.show()
    assert view.charts, "at once, without a turn of the event loop"
    assert view.stack.currentWidget() is view.page
    assert not view.loader._timer.isActive()
    qtbot.waitUntil(lambda: bool(early.charts), timeout=60_000)
    window.deleteLater()


def test_who_waits_for_it_is_told_also_where_it_is_loaded_already(qtbot, fresh: QApplication) -> None:
    fresh.setProperty(chart_loader._LOADED, True)
    loader, told = ChartLoader(), []
    loader.ready.connect(lambda: told.append(loader.loaded))
    loader.start()
    assert (loader.loaded, told) == (True, []), "who starts it is not done yet"
    qtbot.waitUntil(lambda: told == [True], timeout=15_000)
    loader.start()
    loader.deleteLater()


def test_a_window_that_closes_early_leaves_nothing_behind(qtbot, fresh: QApplication) -> None:
    window = QObject()
    loader = load_ahead(window)
    gone: list[bool] = []
    loader.destroyed.connect(lambda: gone.append(True))
    window.deleteLater()
    qtbot.waitUntil(lambda: gone == [True], timeout=15_000)
    assert not fresh.property(chart_loader._LOADED)


def test_it_takes_short_turns(qtbot, fresh: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    made, now_s = [], [0.0]

    def clock() -> float:
        return now_s[0]

    def classes() -> Iterator[None]:
        for number in range(100):
            made.append(number)
            now_s[0] += 0.0004
            yield

    monkeypatch.setattr(chart_loader, "perf_counter", clock)
    monkeypatch.setattr(chart_loader, "_classes", classes)
    loader = ChartLoader(None, IDLE_TURN_S, IDLE_PAUSE_MS)
    loader.start()
    for turn in range(1, 4):
        loader._look()
        assert len(made) == 3 * turn, "a millisecond and what was begun in it"
    loader._timer.stop()
    loader.deleteLater()
