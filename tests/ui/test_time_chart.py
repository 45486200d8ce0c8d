"""The time chart: a strip while it follows and pyqtgraph while one explores, both the same picture; data that goes on; copies and files."""

from __future__ import annotations

import csv
import io
import math
from array import array
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu

from cockpit.domain.series import Series
from tests.fakes.believable import NOW_US
from ui import theme
from ui.models.text import ms_text
from ui.widgets.chart_data import SPARE, ChartData
from ui.widgets.chart_export import chart_menu, csv_text, svg_text
from ui.widgets.chart_overlay import Mark
from ui.widgets.time_chart import CurveSpec, TimeChart

NOW_S = NOW_US / 1e6
CURVES = (CurveSpec("p50", "p50", "p50"), CurveSpec("p99", "p99 <b>", "p99"), CurveSpec("before", "before", "p99", dashed=True))


@pytest.fixture
def chart(qtbot, qapp: QApplication) -> TimeChart:
    theme.apply(qapp, "dark")
    found = TimeChart("Latency", CURVES, ms_text, lambda v: f"{v:g} ms")
    qtbot.addWidget(found)
    found.resize(640, 300)
    found.show()
    qtbot.waitExposed(found)
    return found


def given(seconds: int, start: int = 0) -> tuple[array[float], dict[str, array[float]]]:
    at = array("d", [NOW_US + i * 1e6 for i in range(start, seconds)])
    ys = array("d", [2.0 + math.sin(i / 9) for i in range(start, seconds)])
    spiked = array("d", ys)
    if start <= 450 < seconds:
        spiked[450 - start] = 80.0
    return at, {"p50": ys, "p99": spiked}


def wheel(chart: TimeChart) -> None:
    at = QPointF(chart._area().center())
    buttons = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    event = QWheelEvent(at, at, QPoint(), QPoint(0, 120), *buttons, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(chart.plot.viewport(), event)


def curves_of(chart: TimeChart) -> QImage:
    area = chart._area().toRect().translated(chart.plot.mapTo(chart, QPoint()))
    return chart.grab().toImage().copy(area)


def test_the_strip_while_it_follows_and_pyqtgraph_for_who_takes_hold(chart: TimeChart, qtbot) -> None:
    chart.set_data(*given(900))
    chart.set_range(NOW_S, NOW_S + 900, follow=True)
    assert chart.following
    followed = curves_of(chart)
    moves: list[tuple[float, float]] = []
    chart.moved.connect(lambda a, b: moves.append((a, b)))
    wheel(chart)
    assert not chart.following
    assert len(moves) == 1
    assert moves[0][1] - moves[0][0] < 900
    chart.set_range(NOW_S, NOW_S + 900)
    assert curves_of(chart) == followed, "nothing changes its looks when one takes hold"
    chart.set_range(NOW_S, NOW_S + 900, follow=True)
    assert chart.following


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("span", [4.0, 60.0, 900.0, 86_400.0])
def test_a_spike_is_seen_at_every_zoom(chart: TimeChart, follow: bool, span: float) -> None:
    at = array("d", [NOW_US + i * 1e6 for i in range(86_400)])
    ys = array("d", [2.0]) * 86_400
    spiked = array("d", ys)
    spiked[43_200] = 80.0
    chart.set_data(at, {"p50": ys, "p99": spiked})
    middle = NOW_S + 43_200
    chart.set_range(middle - span / 2, middle + span / 2, follow)
    image, area = chart.grab().toImage(), chart._area().toRect()
    top = area.bottom() - int(chart._scale.share(78.0) * area.height()) + chart.plot.mapTo(chart, QPoint()).y()
    ground, grid = theme.theme_of(chart).surface, theme.blend(theme.theme_of(chart).surface, theme.theme_of(chart).line, 0.6)
    seen = {image.pixelColor(x, y).name() for x in range(area.left(), area.right()) for y in (top, top + 1)}
    assert seen - {ground.name(), grid.name()}


def test_data_that_goes_on_is_appended_and_only_that_is_painted(chart: TimeChart) -> None:
    chart.set_data(*given(900))
    chart.set_range(NOW_S, NOW_S + 900, follow=True)
    before, ring = chart.strip.picture.painted, chart.data.series
    for second in range(901, 931):
        chart.set_data(*given(second, start=second - 900))
        chart.set_range(NOW_S + second - 900, NOW_S + second, follow=True)
    assert chart.data.series is ring
    assert chart.strip.picture.painted - before <= 4 * 30
    image = curves_of(chart)
    chart.strip.picture.forget()
    chart.refresh()
    assert chart.strip.picture.painted - before > 4 * 30
    assert curves_of(chart) == image


def test_other_data_replaces_what_was_there() -> None:
    data = ChartData(["p50", "p99"])
    assert not data.put(*given(100))
    assert data.put(*given(101))
    assert data.last_s == NOW_S + 100
    assert not data.put(*given(102, start=-50)), "history came"
    at, values = given(103)
    values["p50"][7] = 9.0
    assert not data.put(at, values), "a value is another"
    assert not data.put(array("d"), {}), "nothing left"
    assert data.last_s is None
    data.put(*given(10))
    big = SPARE + 1000
    assert not data.put(*given(big)), "more than there is room for"
    assert data.at(NOW_S + 5, 1.0)["p50"] == given(10)[1]["p50"][5]
    with pytest.raises(ValueError, match="3 columns for 2 curves"):
        data.watch(Series(10, 3))


def test_a_hole_is_no_line_and_coarser_history_is_no_hole() -> None:
    data = ChartData(["a"])
    coarse, fine = np.arange(0, 4000, 40.0), np.arange(4000, 4200, 2.0)
    at = np.concatenate((coarse, fine[fine < 4100], fine[fine > 4130]))
    data.put(at * 1e6, {"a": np.ones(len(at))})
    assert data.series is not None
    assert data.series.spans(np.array([2000.0, 2001.0]))[0][0, 0] == 1.0
    assert np.isnan(data.series.spans(np.array([4110.0, 4111.0]))[0]).all()
    assert data.put(np.concatenate((at, [4300.0, 4302.0])) * 1e6, {"a": np.ones(len(at) + 2)})
    assert np.isnan(data.series.spans(np.array([4250.0, 4251.0]))[0]).all(), "a hole at the end too"


def test_a_ring_of_someone_else_is_shown(chart: TimeChart) -> None:
    series = Series(10_000, 3)
    chart.set_series(series)
    for i in range(200):
        series.append(NOW_S + i, [1.0, 2.0, math.nan])
        chart.set_range(NOW_S + i - 100, NOW_S + i, follow=True)
    assert chart.values_at(NOW_S + 150) == {"p50": 1.0, "p99": 2.0, "before": None}
    assert "1.00 ms" in chart.readout.text


def test_the_values_under_the_crosshair_are_copied(chart: TimeChart, qtbot) -> None:
    said: list[str] = []
    chart.said.connect(said.append)
    qtbot.keyClick(chart, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert said == ["There is nothing to copy yet"]
    chart.set_data(*given(900))
    chart.set_range(NOW_S, NOW_S + 900)
    chart.show_cross(NOW_S + 450)
    qtbot.keyClick(chart, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    head, row = QGuiApplication.clipboard().text().split("\n")
    assert head == "time_utc\tp50\tp99\tbefore"
    assert row.split("\t")[2:] == ["80", ""]
    assert row.startswith(f"{said[-1].removeprefix('Copied the values of ')}\t1.7")


def test_what_was_not_measured_is_not_copied(chart: TimeChart, qtbot) -> None:
    QGuiApplication.clipboard().setText("before")
    said: list[str] = []
    chart.said.connect(said.append)
    chart.set_data(*given(900))
    chart.set_range(NOW_S - 900, NOW_S + 900)
    chart.show_cross(NOW_S - 450)
    qtbot.keyClick(chart, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert said[-1].startswith("Nothing was measured at ")
    assert QGuiApplication.clipboard().text() == "before"


def test_csv_holds_every_sample_in_sight(chart: TimeChart) -> None:
    at, values = given(900)
    values["p50"][451] = math.nan
    chart.set_data(at, values)
    chart.set_range(NOW_S + 440, NOW_S + 460)
    rows = list(csv.DictReader(io.StringIO(csv_text(chart.shown))))
    assert len(rows) == 21
    assert rows[10]["p99"] == "80.0"
    assert rows[11]["p50"] == ""
    assert float(rows[0]["p50"]) == values["p50"][440]
    assert rows[0]["time_utc"].endswith("Z")


def test_svg_is_whole_and_names_everything(chart: TimeChart) -> None:
    chart.set_data(*given(900))
    chart.set_marks([Mark(NOW_US + 100 * 10**6, "deploy", "deploy <1.7.0> & more")])
    chart.set_band(1.0, 3.0, "band")
    chart.set_range(NOW_S, NOW_S + 900)
    root = ET.fromstring(svg_text(chart.shown, lambda token: "#123456"))
    words = [e.text for e in root.iter() if e.text]
    assert "▲ deploy <1.7.0> & more" in words
    paths = {p[0].text: p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path")}
    assert set(paths) == {"p50", "p99 <b>", "before"}
    tops = [float(part.split(" ")[1].split("L")[0]) for part in (paths["p99 <b>"] or "").split("M")[1].split("L")]
    assert min(tops) < 130 < 400 < max(tops), "the spike is in it"
    assert paths["before"] == ""
    assert {p.get("stroke-linecap") for p in root.iter("{http://www.w3.org/2000/svg}path")} == {"round"}, "a lone sample is seen"


@pytest.mark.parametrize("ending", ["png", "svg", "csv"])
def test_files_are_written_by_their_ending(chart: TimeChart, tmp_path: Path, ending: str) -> None:
    said: list[str] = []
    chart.said.connect(said.append)
    chart.set_data(*given(900))
    chart.set_range(NOW_S, NOW_S + 900)
    path = tmp_path / f"chart.{ending}"
    chart.export(str(path))
    assert said == [f"Saved chart.{ending}"]
    head = {"png": b"\x89PNG", "svg": b"<svg", "csv": b"time_utc"}[ending]
    assert path.read_bytes().startswith(head)
    chart.export(str(tmp_path / "nowhere" / f"chart.{ending}"))
    assert said[-1].startswith(f"chart.{ending} was not saved")


def test_no_picture_is_written_under_another_forms_name(chart: TimeChart, tmp_path: Path) -> None:
    said: list[str] = []
    chart.said.connect(said.append)
    chart.export(str(tmp_path / "chart.pdf"))
    assert said == ["chart.pdf was not saved: its ending must be .png, .svg or .csv"]
    assert not (tmp_path / "chart.pdf").exists()


def test_the_menu_and_the_keys_lead_there(chart: TimeChart, qtbot, tmp_path: Path) -> None:
    chart.set_data(*given(900))
    chart.set_range(NOW_S, NOW_S + 900)
    qtbot.keyClick(chart, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    [dialog] = chart.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(tmp_path / "a.csv"))
    dialog.close()
    assert (tmp_path / "a.csv").is_file()
    chart_menu(chart)
    [menu] = chart.findChildren(QMenu)
    assert [a.text() for a in menu.actions()] == ["Copy the values under the crosshair", "Save as PNG, SVG or CSV…"]
    menu.actions()[0].trigger()
    assert QGuiApplication.clipboard().text().startswith("time_utc")
    menu.deleteLater()
