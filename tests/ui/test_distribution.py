"""Percentiles on an axis of nines: the tail is told as far as it was measured and no further."""

from __future__ import annotations

import math

import pytest
from PySide6.QtWidgets import QApplication

from cockpit.domain.metrics import Histogram, quantile_s
from ui import theme
from ui.widgets.distribution import DistributionView, nines, percentiles

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
    view.show_pair(None, None, ("", ""))
    assert view.grab().toImage() == empty
    assert view.accessibleDescription() == "nothing measured yet"
