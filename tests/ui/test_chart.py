"""Charts: spikes survive, gaps stay gaps, the crosshair says what was measured, and nothing jumps."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from tests.fakes.believable import NOW_US
from ui import theme
from ui.models.text import ms_text
from ui.widgets import chart_math
from ui.widgets.chart_loader import ChartLoader
from ui.widgets.chart_overlay import Mark
from ui.widgets.chart_scale import Scale, round_low
from ui.widgets.chart_text import LEFT, RIGHT, Words
from ui.widgets.time_chart import CurveSpec, TimeChart
from ui.widgets.trend import paint_trend

# the offscreen platform says so of every window with a layout
NOW_S = NOW_US / 1e6
CURVES = (CurveSpec("p50", "p50", "p50"), CurveSpec("p99", "p99", "p99"), CurveSpec("before", "before", "p99", dashed=True))


@pytest.fixture
def chart(qtbot, qapp: QApplication) -> TimeChart:
    theme.apply(qapp, "dark")
    found = TimeChart("Latency", CURVES, ms_text, lambda v: f"{v:g} ms")
    qtbot.addWidget(found)
    found.resize(640, 300)
    found.show()
    qtbot.waitExposed(found)
    return found


def fill(chart: TimeChart, seconds: int = 900) -> None:
    """A point a second with one spike."""
    at = array("d", [NOW_US - (seconds - i) * 1e6 for i in range(seconds + 1)])
    ys = array("d", [2.0 + math.sin(i / 9) for i in range(seconds + 1)])
    spike = array("d", ys)
    spike[seconds // 2] = 80.0
    chart.set_data(at, {"p50": ys, "p99": spike})
    chart.set_range(NOW_S - seconds, NOW_S)


def test_a_spike_of_one_sample_survives_at_two_points_a_pixel() -> None:
    x = np.arange(86_400, dtype=float)
    y = np.ones(86_400)
    y[40_000] = 99.0
    xs, ys = chart_math.decimate(x, y, 0, 86_400, 600)
    assert len(xs) <= 2 * 600
    assert ys.max() == 99.0
    assert abs(xs[int(ys.argmax())] - 40_000) <= 86_400 / 598


def test_a_picture_that_scrolls_does_not_flicker() -> None:
    x = np.arange(10_000, dtype=float)
    y = np.random.default_rng(1).random(10_000)
    one_x, one_y = chart_math.decimate(x, y, 1000, 9000, 400)
    two_x, two_y = chart_math.decimate(x, y, 1003, 9003, 400)
    first, second = dict(zip(one_x, one_y, strict=True)), dict(zip(two_x, two_y, strict=True))
    common = sorted(set(first) & set(second))[2:-2]
    assert len(common) > 350
    assert all(first[at] == second[at] for at in common)


def test_gaps_stay_gaps() -> None:
    x = np.concatenate((np.arange(0, 100.0, 2), np.arange(300, 400.0, 2)))
    xs, ys = chart_math.with_gaps(x, np.ones(len(x)))
    assert len(xs) == len(x) + 1
    assert math.isnan(ys[50])
    x, y = np.arange(10_000.0), np.ones(10_000)
    y[3000:4000] = np.nan
    _, thin = chart_math.decimate(x, y, 0, 10_000, 100)
    assert np.isnan(thin).sum() >= 2 * 8
    assert chart_math.with_gaps(x[:2], y[:2])[0] is not None


def test_a_minute_without_metrics_is_a_gap_in_an_hour_too() -> None:
    x = np.array([t for t in range(0, 3600, 2) if not 1200 < t < 1260], dtype=float)
    xs, ys = chart_math.with_gaps(x, np.ones(len(x)))
    thin_x, thin = chart_math.decimate(xs, ys, 0, 3600, 500)
    assert 1200 < float(thin_x[np.isnan(thin)][0]) < 1260


def test_axes_take_round_numbers_and_seldom_move() -> None:
    assert chart_math.round_top(5.8) == 8.0
    assert chart_math.round_top(84.2) == 100
    assert chart_math.round_top(5.0, 8.0) == 8.0, "the limit before still fits"
    assert chart_math.round_top(0.0) == 1.0
    assert chart_math.round_top(math.nan, 4.0) == 4.0
    assert chart_math.value_ticks(8.0, 300) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert len(chart_math.value_ticks(8.0, 60)) == 3
    assert chart_math.value_ticks(800.0, 47) == [0, 500], "a low chart has two numbers, both round"
    assert chart_math.value_ticks(1.1, 30) == [0, 1]
    assert chart_math.value_ticks(0.0, 30) == [0]
    assert len(chart_math.value_ticks(8.0, 2000)) <= chart_math.MOST_TICKS + 1, "a high one no fence of lines"
    assert 3840 / 3600 * chart_math.time_step_s(3600, 3840) >= 3840 / chart_math.MOST_TIMES
    assert chart_math.time_step_s(900, 600) == 300
    assert chart_math.time_label(NOW_S, 10) == "09:41:07"
    assert chart_math.time_label(NOW_S, 60) == "09:41"
    assert chart_math.time_label(1e30, 60) == ""


def test_labels_are_spread_without_leaving_the_chart() -> None:
    placed = chart_math.spread([100, 101, 102, 5], 12, 10, 110)
    assert sorted(placed) == pytest.approx([10, 86, 98, 110])
    assert chart_math.spread([], 12, 0, 1) == []


def test_a_chart_without_data_says_what_would_fill_it(chart: TimeChart) -> None:
    chart.set_empty("No latency is read here yet", "Name a connection.")
    chart.set_range(NOW_S - 60, NOW_S)
    assert chart.overlay.message == ("No latency is read here yet", "Name a connection.")
    assert not chart.grab().isNull()
    fill(chart)
    assert chart.overlay.message == ("", "")


def test_the_crosshair_reads_what_was_measured_and_nothing_in_gaps(chart: TimeChart) -> None:
    fill(chart)
    chart.show_cross(NOW_S - 450)
    assert chart.values_at(NOW_S - 450)["p99"] == 80.0
    assert "80.0 ms" in chart.readout.text
    assert "09:33:37 UTC" in chart.readout.text
    assert chart.values_at(NOW_S + 500) == {"p50": None, "p99": None, "before": None}
    width = chart.readout.sizeHint()
    chart.show_cross(None)
    assert "newest" in chart.readout.text
    assert chart.readout.sizeHint() == width


def test_the_pointer_moves_the_crosshair(chart: TimeChart, qtbot) -> None:
    fill(chart)
    heard: list[float | None] = []
    chart.hovered.connect(heard.append)
    middle = chart._area().center().toPoint()
    qtbot.mouseMove(chart.plot.viewport(), middle)
    qtbot.mouseMove(chart.plot.viewport(), middle + QPoint(3, 0))
    qtbot.waitUntil(lambda: any(h is not None for h in heard))
    seen = next(h for h in heard if h is not None)
    assert abs(seen - (NOW_S - 450)) < 10


def test_band_marks_and_staleness_are_painted(chart: TimeChart) -> None:
    fill(chart)
    plain = chart.grab().toImage()
    chart.set_band(1.0, 5.8)
    with_band = chart.grab().toImage()
    assert with_band != plain
    chart.set_marks([Mark(NOW_US - 300 * 10**6, "deploy", "deploy 1.7.0"), Mark(NOW_US - 290 * 10**6, "rollback", "<b>" + "x" * 500)])
    assert chart.grab().toImage() != with_band
    chart.set_stale("stale, 41 s old")
    image = chart.grab().toImage()
    found = theme.theme_of(chart)
    area = chart._area()
    seen = {image.pixelColor(x, y).name() for x in range(80, int(area.right()) - 60) for y in range(60, 200)}
    assert found.p99.name() not in seen
    chart.set_band(None, None)
    chart.set_stale("")


def test_keys_walk_zoom_and_follow(chart: TimeChart, qtbot) -> None:
    fill(chart)
    moves: list[tuple[float, float]] = []
    follows: list[int] = []
    chart.moved.connect(lambda a, b: moves.append((a, b)))
    chart.follow_wanted.connect(lambda: follows.append(1))
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Plus, Qt.Key.Key_Minus, Qt.Key.Key_F):
        qtbot.keyClick(chart, key)
    assert [round(b - a) for a, b in moves] == [900, 900, 675, 1200]
    assert moves[0][1] == pytest.approx(NOW_S - 90)
    assert follows == [1]


def test_own_changes_of_the_window_are_not_a_persons(chart: TimeChart, qtbot) -> None:
    moves: list[float] = []
    chart.moved.connect(lambda a, b: moves.append(a))
    fill(chart)
    for i in range(5):
        chart.set_range(NOW_S - 60 + i, NOW_S + i)
    assert not moves
    chart.explorer.view.scaleBy(x=0.5)
    assert len(moves) == 1


def test_at_most_two_points_a_pixel_reach_the_painter(chart: TimeChart) -> None:
    fill(chart, 20_000)
    picture = chart.strip.picture
    before = picture.painted
    fill(chart, 20_001)
    assert picture.painted - before <= chart._area().width(), "each column once, however many samples it has"
    assert chart._scale.top >= 80


@pytest.mark.parametrize("name", theme.THEMES)
def test_a_chart_follows_the_theme(chart: TimeChart, qapp: QApplication, name: str) -> None:
    fill(chart)
    found = theme.apply(qapp, name)
    image = chart.grab().toImage()
    area = chart._area()
    seen = {image.pixelColor(int(area.right()) - 5, y).name() for y in range(40, 280)}
    assert found.surface.name() in seen


def test_the_loader_tells_once_it_is_done(qtbot, qapp: QApplication) -> None:
    loader = ChartLoader()
    with qtbot.waitSignal(loader.ready, timeout=20_000):
        loader.start()
        loader.start()
    assert loader.loaded
    loader.start()
    assert not loader._timer.isActive()
    loader.deleteLater()


def painted(values: list[float | None], limit: float | None = None) -> QImage:
    image = QImage(120, 24, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.black)
    with QPainter(image) as painter:
        paint_trend(painter, QRectF(0, 0, 120, 24), values, QColor("white"), limit)
    return image


def test_a_trend_is_painted_without_any_library(qapp: QApplication) -> None:
    nothing = painted([])
    assert painted([None, math.nan]) == nothing
    with_spike = painted([1.0] * 5000 + [9.0] + [1.0] * 5000, limit=4.0)
    assert with_spike not in (nothing, painted([1.0] * 10_001, limit=4.0))
    assert painted([5.0]) != nothing


def test_a_trend_leaves_the_painter_as_it_was_and_a_gap_changes_only_its_place(qapp: QApplication) -> None:
    image = QImage(120, 24, QImage.Format.Format_RGB32)
    with QPainter(image) as painter:
        painter.setPen(QColor("red"))
        paint_trend(painter, QRectF(0, 0, 120, 24), (1, 2.5, 3), QColor("white"), 2.0)
        assert painter.pen().color() == QColor("red")
        assert not painter.testRenderHint(QPainter.RenderHint.Antialiasing)
    whole = painted([5.0, 1.0] * 30)
    for gap in (None, math.nan, math.inf):
        found = painted([*([5.0, 1.0] * 29), 5.0, gap])
        assert found != whole
        inked = [any(found.pixelColor(x, y).lightness() > 60 for y in range(24)) for x in range(120)]
        assert all(inked[:116])
        assert not any(inked[119:]), "what is not known is not painted"


def test_words_are_laid_out_once_and_forgotten_when_they_are_many(qapp: QApplication) -> None:
    words, image = Words(), QImage(80, 20, QImage.Format.Format_RGB32)
    with QPainter(image) as painter:
        for number in range(2000):
            words.draw(painter, QRectF(0, 0, 80, 20), RIGHT, f"{number} <b>", "muted")
        assert len(words._known) <= 600
        image.fill(QColor("black"))
        painter.setPen(QColor("white"))
        words.draw(painter, QRectF(0, 0, 80, 20), RIGHT, "12 ms", "muted")
        words.draw(painter, QRectF(0, 0, 80, 20), LEFT, "", "muted")
    inked = [x for x in range(80) if any(image.pixelColor(x, y).lightness() > 60 for y in range(20))]
    assert inked
    assert inked[0] > 20
    assert inked[-1] >= 76


def test_a_logarithmic_axis_keeps_the_calm_time_readable() -> None:
    scale = Scale()
    assert scale.fit(125.0, 0.4)
    assert (scale.low, scale.share(0.4)) == (0.0, pytest.approx(0.4 / scale.top))
    scale.set_log(True)
    assert scale.fit(125.0, 0.4)
    assert scale.low == pytest.approx(0.2)
    assert scale.share(1.0) > 0.2
    assert not scale.fit(125.0, 0.4)
    known = [scale.value_of(t) for t in scale.ticks(250)]
    assert known == [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    assert [scale.value_of(t) for t in scale.ticks(60)] == [1.0, 10.0, 100.0]
    placed = scale.place(np.array([0.0, math.nan, 100.0]))
    assert placed[0] == pytest.approx(math.log10(0.2))
    assert math.isnan(placed[1])
    assert placed[2] == pytest.approx(2.0)


@pytest.mark.parametrize(("least", "low"), [(math.inf, 10.0), (0.0, 10.0), (1e-9, 0.001), (3.0, 2.0), (99.0, 10.0)])
def test_a_logarithmic_axis_is_one_to_five_decades_high(least: float, low: float) -> None:
    assert round_low(least, 100.0) == pytest.approx(low)


def test_the_axis_can_be_switched_with_a_band_and_without_data(chart: TimeChart) -> None:
    chart.set_log(True)
    chart.set_band(0.0, 4.0, "band of 1.6.1")
    fill(chart)
    chart.refresh()
    assert chart.overlay.band[0] == "band of 1.6.1"
    area = chart.overlay.area
    assert area.top() < chart.overlay.band[1] < area.bottom()
    chart.grab()
    chart.set_log(False)
    chart.grab()


def test_the_newest_marks_are_named_and_any_under_the_crosshair(chart: TimeChart) -> None:
    marks = [Mark(NOW_US - i * 30_000_000, "deploy", f"deploy 1.{9 - i}.0") for i in range(1, 7)]
    chart.set_marks(marks)
    fill(chart)
    assert [m.text for m in chart.overlay.named] == ["deploy 1.8.0", "deploy 1.7.0", "deploy 1.6.0", "deploy 1.5.0"]
    chart.show_cross(marks[-1].at_us / 1e6)
    assert chart.overlay.named[0].text == "deploy 1.3.0"
    chart.grab()
    chart.show_cross(None)
    assert len(chart.overlay.named) == 4
