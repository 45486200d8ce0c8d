"""The heat map: one sample among thousands is seen, piece by piece equals at once, and the latency view shows it by a switch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from cockpit.domain.errors import StorageError
from cockpit.domain.heat import Heat
from cockpit.domain.metrics import Histogram, Reading
from cockpit.storage.history_heat import HeatRow
from tests.fakes.believable import NOW_US
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.running import FakeMain, InlineRunner
from ui import theme
from ui.views.latency import LatencyView
from ui.widgets.heatmap import HeatPicture, heat_strokes, limits_ms
from ui.widgets.strip_paint import Look

BOUNDS = (*(0.0005 * 1.4**i for i in range(24)), math.inf)


def look(name: str = "dark", step_s: float = 10.0, ratio: float = 1.0) -> Look:
    found, (low, high) = theme.THEMES[name], limits_ms(BOUNDS)
    strokes, ground = heat_strokes(found), found.surface
    limits = {"low": math.log10(low), "high": math.log10(high), "log_floor": low}
    return Look(width=round(200 * ratio), height=round(150 * ratio), step_s=step_s / ratio, strokes=strokes, ground=ground, grid=found.line, ratio=ratio, **limits)  # fmt: skip # noqa: E501


def filled(moments: int, capacity: int = 5000, minutes: int = 0) -> Heat:
    heat, random = Heat(capacity, BOUNDS, minutes), np.random.default_rng(1)
    for i in range(moments):
        counts = random.poisson(40, len(BOUNDS)) * (np.arange(len(BOUNDS)) < 12)
        heat.append(i * 2.0, np.cumsum(counts))
    return heat


def shown(picture: HeatPicture, found: Look) -> QImage:
    image = QImage(found.width, found.height, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(found.ratio)
    with QPainter(image) as painter:
        picture.draw(painter, 0.0, 0.0)
    return image


@pytest.mark.parametrize("ratio", [1.0, 2.0])
@pytest.mark.parametrize(("capacity", "minutes"), [(400, 0), (100, 30)])
def test_piece_by_piece_equals_at_once(qapp: QApplication, ratio: float, capacity: int, minutes: int) -> None:
    heat, picture, found = filled(300, capacity, minutes), HeatPicture(), look(step_s=3.1, ratio=ratio)
    random = np.random.default_rng(2)
    for i in range(300, 700):
        heat.append(i * 2.0 + random.random(), np.cumsum(random.poisson(3, len(BOUNDS))))
        end = int(heat.last_s // found.step_s) + 1
        picture.show(heat, found, end)
        if i % 20 == 0:
            afresh = HeatPicture()
            afresh.show(heat, found, end)
            assert shown(picture, found) == shown(afresh, found)
    assert heat.first > 0


def test_another_heat_of_the_same_revision_is_no_reason_to_leave_what_changed(qapp: QApplication) -> None:
    first, other, picture, found = filled(300), filled(300), HeatPicture(), look()
    end = int(first.last_s // found.step_s) + 3
    first.revision = 1
    picture.show(first, found, end)
    picture.show(first, found, end)
    picture.show(other, found, end)
    before = shown(picture, found)
    other.forget_after(300.0)
    assert other.revision == first.revision
    picture.show(other, found, end)
    afresh = HeatPicture()
    afresh.show(other, found, end)
    assert before != shown(picture, found) == shown(afresh, found)


def test_what_comes_from_disk_is_painted_before_what_is_there(qapp: QApplication) -> None:
    heat, picture, found = Heat(100, BOUNDS, 60), HeatPicture(), look()
    for i in range(60):
        heat.append(2000.0 + 2 * i, np.arange(len(BOUNDS)) + 1.0)
    end = int(heat.last_s // found.step_s) + 1
    picture.show(heat, found, end)
    picture.show(heat, found, end)
    at = np.arange(1000.0, 1500.0, 60.0)
    heat.prepend(at, at - 60.0, np.tile(np.arange(len(BOUNDS), dtype=np.uint32) + 1, (len(at), 1)))
    picture.show(heat, found, end)
    afresh = HeatPicture()
    afresh.show(heat, found, end)
    image = shown(picture, found)
    assert image == shown(afresh, found)
    drawn = [any(image.pixel(200 - (end - column), y) != found.ground.rgb() for y in range(0, 150, 3)) for column in range(92, 212)]
    assert drawn[3:50] == [True] * 47, "what was counted before"
    assert drawn[60:107] == [False] * 47, "the window was closed: nothing is made up"
    assert all(drawn[110:]), "what is counted now"


@pytest.mark.parametrize("name", theme.THEMES)
@pytest.mark.parametrize("step_s", [1.0, 10.0, 432.0])
def test_one_sample_among_thousands_is_seen_at_every_zoom(qapp: QApplication, name: str, step_s: float) -> None:
    heat = filled(2000)
    heat.append(4000.0, np.cumsum([50_000] * 12 + [0] * 8 + [1] + [0] * 4))
    found, picture = look(name, step_s), HeatPicture()
    picture.show(heat, found, int(4000 / step_s) + 3)
    image = shown(picture, found)
    lone = QColor(image.pixel(200 - 3, 150 - 1 - int(150 * (math.log10(BOUNDS[20] * 900) - found.low) / (found.high - found.low))))
    ground = found.ground
    assert max(abs(a - b) for a, b in zip(lone.getRgb()[:3], ground.getRgb()[:3], strict=True)) > 30  # type: ignore[index]


def test_the_latency_view_shows_it_by_a_switch(qtbot, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    cockpit = FakeCockpit()
    view = LatencyView(cockpit)
    qtbot.addWidget(view)
    view.resize(648, 600)
    view.show_place("order-gateway", "production")
    view.show()
    qtbot.waitUntil(lambda: bool(view.charts), timeout=20_000)
    total = 0.0
    for i in range(60):
        total += 100
        counts = tuple(min(total, total * j / 12) for j in range(1, len(BOUNDS) + 1))
        reading = Reading(
            "production-1", "order-gateway", "production", NOW_US - (60 - i) * 2_000_000 + 1, {"order": Histogram(BOUNDS, counts)}
        )
        cockpit.latency.add(cockpit.latency.digest.points([reading]))
    curves = view.charts[0].grab().toImage()
    view.show_view("Heat")
    heat = cockpit.latency.heat(view.series)
    assert heat is not None
    assert heat.end >= 58
    assert view.charts[0].grab().toImage() != curves
    assert view.charts[0]._scale.log
    view.charts[0].show_cross(NOW_US / 1e6 - 60)
    view.node.setCurrentIndex(1)
    assert view.charts[0]._scale.log, "a single node has its samples"
    view.operation.setCurrentIndex(1)
    assert not view.charts[0]._scale.log, "its operations have their curves, and it is said"
    assert "Quantiles only" in view.charts[0].readout.text
    assert "choose all operations" in view.charts[0].readout.toolTip()
    view.operation.setCurrentIndex(0)
    view.node.setCurrentIndex(0)
    assert "Samples since 09:39" in view.charts[0].readout.text, "what lies before is no quiet hour"
    assert not view.charts[0].readout.toolTip()
    view._moved(NOW_US / 1e6 - 9000, NOW_US / 1e6 - 8000)
    assert view.charts[0].overlay.message[0] == "No samples in this window"
    view.follow_now()
    qtbot.waitUntil(lambda: view.charts[0].overlay.message[0] == "", timeout=15_000)
    view.show_view("Time")
    assert not view.charts[0]._scale.log


class FromDisk:
    """Samples of the last ten minutes but three, a row a minute, of all series."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s

    def save(self, rows: Sequence[tuple[str, HeatRow]]) -> None:
        """Made up again when it is asked for."""

    def prune(self, older_than_us: int) -> None:
        """Nothing is kept."""

    def load(self, series: str, start_us: int, end_us: int) -> list[HeatRow]:
        times = [NOW_US - minute * 60_000_000 for minute in range(10, 2, -1)]
        return [HeatRow(at - 58_000_000, at - 60_000_000, at, self._bounds_s, np.full(len(self._bounds_s), 9, np.uint32)) for at in times]


def test_what_was_seen_before_the_window_was_opened_is_shown(qtbot, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    cockpit = FakeCockpit()
    cockpit.latency.digest.fresh.clear()
    cockpit.latency.heats.store = FromDisk(BOUNDS)
    view = LatencyView(cockpit)
    qtbot.addWidget(view)
    view.resize(648, 600)
    view.show_place("order-gateway", "production")
    view.show()
    qtbot.waitUntil(lambda: bool(view.charts), timeout=60_000)
    view.show_view("Heat")
    chart = view.charts[0]
    assert chart.overlay.message[0] == "", "there are samples, though none came yet"
    assert "Samples since" in chart.readout.text
    heat = cockpit.latency.heat(view.series)
    assert heat is not None
    assert chart._heat is heat
    assert heat.any_between(NOW_US / 1e6 - 300, NOW_US / 1e6)
    assert not heat.spread(np.array([NOW_US / 1e6 - 170, NOW_US / 1e6])).any(), "since then the window was closed"
    view.show_view("Distribution")
    page: Any = view.page
    assert page.view.known[0].samples > 0, "the distribution has them too"


class Unreadable(FromDisk):
    """A disk that answers nothing."""

    def load(self, series: str, start_us: int, end_us: int) -> list[HeatRow]:
        raise StorageError("The disk does not answer.")


def test_samples_that_cannot_be_read_are_told_in_the_line(qtbot, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    cockpit = FakeCockpit()
    cockpit.latency.digest.fresh.clear()
    cockpit.latency.heats.store = Unreadable(BOUNDS)
    cockpit.latency.heats._runner = InlineRunner(main := FakeMain(cockpit.clock_us))
    view = LatencyView(cockpit)
    qtbot.addWidget(view)
    view.show_place("order-gateway", "production")
    view.show()
    qtbot.waitUntil(lambda: bool(view.charts), timeout=60_000)
    view.show_view("Heat")
    main.settle()
    view.refresh()
    assert "The disk does not answer" in view.what.whole
    assert "kept for a day" in view.charts[0].readout.toolTip(), "not that another node should be chosen"


def test_the_band_has_its_edges_also_here(qapp: QApplication) -> None:
    places = (math.log10(2.0), math.log10(20.0))
    found = replace(look(), band=places, edge_colour=QColor("#ff00ff"), band_colour=QColor("#00ff00"))
    heat, picture = filled(300), HeatPicture()
    picture.show(heat, found, 60)
    image = shown(picture, found)
    for place in places:
        row = [QColor(image.pixel(x, round(float(found.y_of(place))))).name() for x in range(200)]
        assert row.count("#ff00ff") == 100, "every second pair of columns, so that the samples are seen between"
    assert "#00ff00" not in {QColor(image.pixel(x, y)).name() for x in range(0, 200, 7) for y in range(150)}
