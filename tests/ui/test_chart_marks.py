"""Marks and spans over a chart: neighbours are joined and counted, each kind has its sign, freezes are seen and named."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PySide6.QtCore import QPoint, QRectF
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication

from tests.fakes.believable import NOW_US, S
from ui import theme
from ui.models.text import ms_text
from ui.widgets.chart_export import svg_text
from ui.widgets.chart_marks import GROUP_PX, JOIN_PX, JOINED, SIGNS, Mark, Span, joined, paint_label, touching
from ui.widgets.time_chart import CurveSpec, TimeChart

NOW_S = NOW_US / 1e6


def marks(*at_s: float, kind: str = "deploy") -> list[Mark]:
    return [Mark(int(at * S), kind, f"{kind} {at:g}") for at in at_s]


def test_what_lies_apart_stays_apart() -> None:
    alone = marks(100, 100 - JOIN_PX - 1)
    assert joined(alone, float) == alone
    assert joined([], float) == []


def test_neighbours_are_one_that_counts_them_by_kind() -> None:
    together = joined([*marks(100, 98, 95), *marks(90, kind="alert"), *marks(40)], float)
    assert [(m.kind, m.text, m.at_us) for m in together] == [
        (JOINED, "▲ 3 deploys, ■ 1 alert", 100 * S),
        ("deploy", "deploy 40", 40 * S),
    ]


def test_a_chain_of_neighbours_does_not_become_one_label_for_the_whole_chart() -> None:
    chain = joined(marks(*range(400, 0, -8)), float)
    assert 400 / GROUP_PX <= len(chain) < 12
    assert all(a.at_us - b.at_us > JOIN_PX * S / 2 for a, b in pairwise(chain))


def test_the_one_under_the_crosshair() -> None:
    found = marks(100, 94)
    assert touching(found, 95, float, 6) is found[1]
    assert touching(found, 120, float, 6) is None
    assert touching([], 1, float, 6) is None


def test_every_kind_has_a_sign_of_its_own() -> None:
    signs = [sign for kind, sign in SIGNS.items() if kind != "session"]
    assert len(set(signs)) == len(signs)
    assert all(signs)


@pytest.fixture
def chart(qtbot, qapp: QApplication) -> TimeChart:
    found = TimeChart("Latency", (CurveSpec("p50", "p50", "p50"),), ms_text, lambda v: f"{v:g} ms")
    qtbot.addWidget(found)
    found.resize(640, 240)
    found.show()
    found.set_data([NOW_US - i * 1e6 for i in range(900, -1, -1)], {"p50": [2.0] * 901})
    found.set_range(NOW_S - 900, NOW_S, follow=True)
    return found


def column(chart: TimeChart, at_s: float) -> set[str]:
    image: QImage = chart.grab().toImage()
    corner = chart.plot.mapTo(chart, QPoint())
    x = int(chart.overlay.x_of(at_s)) + corner.x()
    return {image.pixelColor(x, y).name() for y in range(corner.y(), corner.y() + int(chart.overlay.area.height()))}


@pytest.mark.parametrize("name", theme.THEMES)
def test_a_freeze_tints_its_time_and_no_other(chart: TimeChart, qapp: QApplication, name: str) -> None:
    theme.apply(qapp, name)
    inside, outside = NOW_S - 450, NOW_S - 800
    before = column(chart, inside), column(chart, outside)
    chart.set_spans([Span(int((NOW_S - 600) * S), int((NOW_S - 300) * S), "freeze", "Deribit <b>expiry</b>")])
    after = column(chart, inside), column(chart, outside)
    assert after[0] != before[0]
    assert after[1] == before[1]
    chart.set_spans([Span(int((NOW_S - 600) * S), int((NOW_S - 300) * S), "session", "continuous")])
    assert column(chart, inside) == before[0], "a session is a line where it begins"
    chart.set_spans([])
    assert column(chart, inside) == before[0]


def test_the_file_has_signs_freezes_and_sessions(chart: TimeChart) -> None:
    chart.set_marks([Mark(NOW_US - 60 * S, "approval", "approval 1.7.0 by <Ada>")])
    chart.set_spans([
        Span(NOW_US - 600 * S, NOW_US - 300 * S, "freeze", "Expiry"),
        Span(NOW_US - 300 * S, NOW_US + 300 * S, "session", "continuous"),
        Span(NOW_US - 9000 * S, NOW_US - 8000 * S, "freeze", "Long ago"),
    ])  # fmt: skip
    words = svg_text(chart.shown, lambda token: "#000000")
    assert "● approval 1.7.0 by &lt;Ada&gt;" in words
    assert "‖ Expiry" in words
    assert "continuous" in words
    assert "Long ago" not in words


def test_times_are_counted_from_an_origin(chart: TimeChart) -> None:
    chart.set_origin(NOW_S - 600)
    chart.show_cross(NOW_S - 300)
    assert chart.readout.text.startswith("Latency  +5 min, 09:36:07 UTC")
    counted = chart.grab().toImage()
    chart.set_origin(None)
    chart.show_cross(NOW_S - 300)
    assert "+5 min" not in chart.readout.text
    assert chart.grab().toImage() != counted


def test_charts_beside_each_other_reach_equally_far(chart: TimeChart) -> None:
    top = chart._scale.top
    chart.set_reach(1.0, 80.0)
    chart.refresh()
    assert chart._scale.top > 80 > top
    chart.set_reach(float("inf"), 0.0)
    chart.refresh()
    assert chart._scale.top == top


def test_words_stay_in_the_upper_half(qapp: QApplication) -> None:
    """The curves are below; a mark whose words find no room is a line that names itself under the crosshair."""
    theme.apply(qapp, "dark")
    image, area, taken = QImage(400, 120, QImage.Format.Format_RGB32), QRectF(0, 0, 400, 100), []
    with QPainter(image) as painter:
        for _ in range(6):
            paint_label(painter, theme.THEMES["dark"], "1.7.0", 100.0, area, taken)
    assert 1 <= len(taken) < 6
    assert all(box.bottom() <= 50 for box in taken)
    low: list[QRectF] = []
    with QPainter(image) as painter:
        paint_label(painter, theme.THEMES["dark"], "1.7.0", 100.0, QRectF(0, 0, 400, 30), low)
    assert len(low) == 1, "the first has its place in a low chart too"
