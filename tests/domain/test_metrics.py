"""Latency from histograms: restarts, thin data, open buckets; then the ordinary numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.metrics import Band, Histogram, band, delta, merge, outside, point, quantile_s, slowed

INF = math.inf
BOUNDS = (0.001, 0.01, 0.1, INF)


def histogram(*counts: float, errors: float = 0.0, sum_s: float = 0.0, bounds: tuple[float, ...] = BOUNDS) -> Histogram:
    return Histogram(bounds, counts, sum_s, errors)


def test_a_restart_counts_from_zero() -> None:
    after = histogram(1, 2, 3, 4)
    assert delta(histogram(10, 20, 30, 40), after) == after
    assert delta(histogram(1, 2, 3, 4, errors=5), histogram(2, 3, 4, 9, errors=1)) == histogram(2, 3, 4, 9, errors=1)


def test_other_buckets_cannot_be_compared() -> None:
    assert delta(histogram(1, 2, 3, 4), histogram(1, 2, bounds=(1.0, INF))) is None
    assert merge([histogram(1, 2, 3, 4), histogram(1, 2, bounds=(1.0, INF))]) is None
    assert merge([]) is None


def test_what_came_between_two_readings() -> None:
    found = delta(histogram(1, 2, 3, 4, errors=1, sum_s=1.0), histogram(2, 4, 6, 8, errors=3, sum_s=2.5))
    assert found == histogram(1, 2, 3, 4, errors=2, sum_s=1.5)
    same = histogram(1, 2, 3, 4)
    assert delta(same, same) == histogram(0, 0, 0, 0)


@pytest.mark.parametrize("q", [0.0, 0.5, 0.99, 1.0])
def test_nothing_seen_has_no_quantile(q: float) -> None:
    assert quantile_s(histogram(0, 0, 0, 0), q) is None
    assert quantile_s(Histogram((), ()), q) is None
    assert quantile_s(histogram(1, 2, 3, math.nan), q) is None


def test_the_open_bucket_answers_what_is_certain() -> None:
    assert quantile_s(histogram(0, 0, 0, 10), 0.5) == 0.1
    assert quantile_s(Histogram((INF,), (10.0,)), 0.5) == 0.0


@pytest.mark.parametrize(("q", "expected"), [(0.5, 0.001 + 0.009 * 0.5), (0.25, 0.001), (0.125, 0.0005), (0.75, 0.01), (1.0, 0.1)])
def test_quantiles_lie_in_their_bucket(q: float, expected: float) -> None:
    assert quantile_s(histogram(25, 75, 100, 100), q) == pytest.approx(expected)


COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).map(lambda n: [float(sum(n[: i + 1])) for i in range(4)])


@given(COUNTS, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise_and_stay_in_the_buckets(counts: list[float], a: float, b: float) -> None:
    low, high = (quantile_s(histogram(*counts), q) for q in sorted((a, b)))
    if counts[-1] == 0:
        assert low is None
    else:
        assert low is not None
        assert high is not None
        assert 0 <= low <= high <= 0.1


@given(COUNTS, COUNTS)
def test_merging_is_adding_and_delta_takes_it_back(a: list[float], b: list[float]) -> None:
    both = merge([histogram(*a), histogram(*b)])
    assert both is not None
    assert delta(histogram(*a), both) == histogram(*b)


def test_slower_requests_go_to_the_buckets_where_they_then_end() -> None:
    even = tuple(n / 100 for n in range(1, 300))  # seconds
    bounds = (0.5, 1.0, 2.0, INF)

    def counted(factor: float) -> list[float]:
        return [sum(t * factor <= bound for t in even) for bound in bounds]

    for factor in (1.0, 1.05, 1.9):
        found = slowed(Histogram(bounds, tuple(counted(1.0)), 2.0, 3.0), factor)
        assert found.counts[:3] == pytest.approx(counted(factor)[:3], abs=1.0)
        assert (found.total, found.sum_s, found.errors) == (len(even), 2.0 * factor, 3.0)


def test_what_is_slower_in_strange_buckets_is_no_error() -> None:
    for bounds, counts in (((0.0, 0.1, INF), (1, 2, 3)), ((0.1, 0.1, INF), (1, 1, 3)), ((INF,), (4,)), ((), ())):
        found = slowed(Histogram(bounds, counts), 1.05)
        assert len(found.counts) == len(counts)
        assert found.total == (counts[-1] if counts else 0)


def test_too_little_seen_says_nothing() -> None:
    found = point(histogram(5, 5, 5, 5), 2.0, 7)
    assert found.p50_ms is not None
    assert (found.p90_ms, found.p99_ms, found.p999_ms) == (None, None, None)
    assert (found.rate_per_s, found.error_ratio, found.count, found.at_us) == (2.5, 0.0, 5, 7)
    nothing = point(histogram(0, 0, 0, 0), 2.0, 7)
    assert (nothing.p50_ms, nothing.error_ratio, nothing.rate_per_s) == (None, None, 0.0)
    assert point(histogram(1, 1, 1, 1), 0.0, 7).rate_per_s == 0.0


def test_a_point_in_milliseconds() -> None:
    found = point(histogram(250, 500, 1000, 1000, errors=10), 10.0, 0)
    assert found.p50_ms == pytest.approx(10.0)
    assert found.p99_ms is not None
    assert 10.0 < found.p99_ms <= 100.0
    assert found.p999_ms is not None
    assert found.error_ratio == 0.01


def test_a_band_needs_ten_points_and_ignores_what_is_not_known() -> None:
    assert band([1.0] * 9 + [None, math.nan, INF]) is None
    found = band([10.0] * 100 + [None], "1.2")
    assert found == Band(5.0, 20.0, 100, "1.2")
    wide = band([10.0] * 97 + [500.0] * 3)
    assert wide is not None
    assert wide.high_ms == 20.0


def test_outside_of_the_band_needs_most_of_the_recent_values() -> None:
    here = Band(5.0, 15.0, 100)
    assert outside(None, [99.0] * 9) is None
    assert outside(here, [99.0, 99.0, None, None]) is None
    assert outside(here, [99.0, 99.0, 99.0, 99.0, 1.0]) is True
    assert outside(here, [99.0, 99.0, 1.0, 1.0, 1.0]) is False
    assert outside(here, [15.0] * 5) is False
