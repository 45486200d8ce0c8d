"""Percentiles on an axis of nines: the tail is told as far as it was measured and no further."""

from __future__ import annotations

import math

import pytest
from PySide6.QtWidgets import QApplication

from cockpit.domain.metrics import Histogram, quantile_s
from ui import theme
from ui.widgets.distribution import DistributionView, curve_of, nines, percent_name, percentiles, quantile_text, value_at

BOUNDS = (0.001, 0.01, 0.1, 1.0, math.inf)


def histogram(total: float, slow: float = 0.0) -> Histogram:
    return Histogram(BOUNDS, (total * 0.5, total * (0.99 - slow), total * (0.999 - slow), total, total))


def test_places_of_quantiles_are_their_nines() -> None:
    assert [round(nines(q), 6) for q in (0.0, 0.9, 0.99, 0.9999)] == [0, 1, 2, 4]


def test_every_percentile_is_the_histograms() -> None:
    found = percentiles(histogram(1e6))
    assert found[-1][0] == pytest.approx(4)
    for place, value in found[::17]:
        assert value == pytest.approx(1e3 * (quantile_s(histogram(1e6), 1 - 10**-place) or 0))
    assert [v for _, v in found] == sorted(v for _, v in found)


def test_a_tail_that_few_samples_cannot_tell_is_not_drawn() -> None:
    assert percentiles(histogram(100))[-1][0] == pytest.approx(2)
    assert percentiles(None) == []
    assert percentiles(histogram(0)) == []


def test_five_hundred_samples_do_not_know_their_four_nines() -> None:
    few = histogram(500)
    curve = curve_of("1.7.0", few)
    assert curve.end == pytest.approx(nines(1 - 1 / 500))
    assert curve.sure == pytest.approx(nines(1 - 10 / 500))
    assert value_at(curve, nines(0.9999)) is None
    assert value_at(curve, nines(0.5)) is not None
    assert [quantile_text(few, q)[:1] for q in (0.99, 0.999, 0.9999)] == ["≈", "–", "–"]
    assert quantile_text(histogram(1e6), 0.9999)[:1] not in "≈–≥"
    assert quantile_text(None, 0.5) == "–"


def test_what_lies_in_the_open_bucket_is_at_least_so_slow_and_not_drawn() -> None:
    slow = Histogram((0.001, 1.0, math.inf), (500.0, 900.0, 1000.0))
    curve = curve_of("1.7.0", slow)
    assert curve.end <= nines(0.9) + 1e-9
    assert quantile_text(slow, 0.99) == "≥ 1,000 ms"
    assert quantile_text(slow, 0.5) == "1.00 ms"
    assert percentiles(Histogram((math.inf,), (10.0,))) == []


def test_percentiles_have_names() -> None:
    assert [percent_name(nines(q)) for q in (0.5, 0.9, 0.99, 0.999, 0.9995, 0.9999)] == ["p50", "p90", "p99", "p99.9", "p99.95", "p99.99"]


@pytest.mark.parametrize("name", theme.THEMES)
def test_both_curves_are_seen_and_told(qtbot, qapp: QApplication, name: str) -> None:
    found = theme.apply(qapp, name)
    view = DistributionView()
    qtbot.addWidget(view)
    view.resize(520, 260)
    view.show()
    empty = view.grab().toImage()
    assert not view.accessibleDescription()
    view.show_pair(histogram(1e5, 0.05), histogram(1e6), ("1.7.0 " + "x" * 300, "1.6.0"))
    image = view.grab().toImage()
    assert image != empty
    seen = {image.pixelColor(x, y).name() for x in range(64, 500) for y in range(240)}
    assert found.p99.name() in seen
    assert "1.6.0: p50 1.00 ms, p99 10.0 ms, p99.99" in view.accessibleDescription()
    view.set_cross(2.0)
    assert view.grab().toImage() != image
    view.set_cross(None)
    assert view.grab().toImage() == image
    view.show_pair(None, None, ("", ""))
    assert view.grab().toImage() == empty
    assert view.accessibleDescription() == "nothing measured yet"
