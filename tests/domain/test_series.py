"""The ring and its pyramid: exact against brute force, bounded, gaps stay gaps, and one sample is never lost at any zoom."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.series import Series


def brute(at: np.ndarray, values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `between` answers, sample by sample."""
    low, high = np.full((len(values), len(edges) - 1), np.nan), np.full((len(values), len(edges) - 1), np.nan)
    for piece in range(len(edges) - 1):
        inside = (at >= edges[piece]) & (at < edges[piece + 1])
        for column, row in enumerate(values):
            known = row[inside][np.isfinite(row[inside])]
            if len(known):
                low[column, piece], high[column, piece] = known.min(), known.max()
    return low, high


def kept(series: Series, at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return at[series.first : series.end], values[:, series.first : series.end].astype("f4")


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(0, 3000),
    capacity=st.integers(1, 1500),
    pieces=st.lists(st.integers(1, 700), max_size=8),
    pixels=st.integers(1, 80),
    seed=st.integers(0, 2**20),
    window=st.tuples(st.floats(-0.2, 1.2), st.floats(0.0, 1.4)),
)
def test_equal_to_brute_force_however_it_was_filled_and_wherever_one_looks(count, capacity, pieces, pixels, seed, window) -> None:
    random = np.random.default_rng(seed)
    at = np.cumsum(random.exponential(1.0, count) + 1e-6)
    values = random.standard_normal((3, count))
    values[random.random((3, count)) < 0.1] = random.choice([np.nan, np.inf, -np.inf])
    series, done = Series(capacity, 3), 0
    for piece in pieces:
        assert series.extend(at[done : done + piece], values[:, done : done + piece]) == len(at[done : done + piece])
        done = min(count, done + piece)
    for i in range(done, min(count, done + 400)):
        assert series.append(at[i], values[:, i])
        done = i + 1
    series.extend(at[done:], values[:, done:])
    assert len(series) >= min(count, capacity)
    at, values = kept(series, at, values)
    span = float(at[-1] - at[0]) if len(at) else 1.0
    start = (float(at[0]) if len(at) else 0.0) + window[0] * span
    view = series.view(start, start + window[1] * span, pixels)
    low, high = brute(at, values, view.edges_s)
    np.testing.assert_array_equal(view.low, low.astype("f4"))
    np.testing.assert_array_equal(view.high, high.astype("f4"))


@settings(max_examples=60, deadline=None)
@given(where=st.integers(0, 99_999), zoom=st.floats(0.0, 1.0), pixels=st.integers(1, 4000), up=st.booleans())
def test_a_spike_of_one_sample_is_in_every_picture_that_holds_its_time(where, zoom, pixels, up, calm) -> None:
    series = Series(100_000)
    values = np.ones(100_000)
    values[where] = 50.0 if up else -50.0
    series.extend(np.arange(100_000.0), values)
    half = 10 ** (zoom * 5) / 2
    view = series.view(where - half, where + half, pixels)
    found = view.high if up else view.low
    assert (found == values[where]).sum() == 1
    piece = int(np.flatnonzero(found[0] == values[where])[0])
    assert view.edges_s[piece] <= where < view.edges_s[piece + 1]


@pytest.fixture(scope="session")
def calm() -> None:
    """Nothing; hypothesis wants fixtures that live longer than one example."""


@pytest.mark.parametrize("upto", [1, 7, 8, 9, 511, 512, 513, 5000])
def test_one_by_one_equals_all_at_once(upto: int) -> None:
    values = np.random.default_rng(upto).standard_normal((2, upto))
    one, all_at_once = Series(1000, 2), Series(1000, 2)
    for i in range(upto):
        one.append(float(i), values[:, i])
    all_at_once.extend(np.arange(float(upto)), values)
    for pixels in (1, 3, 100):
        a, b = one.view(0, upto, pixels), all_at_once.view(0, upto, pixels)
        np.testing.assert_array_equal(a.low, b.low)
        np.testing.assert_array_equal(a.high, b.high)
    assert (one.first, one.end, one.first_s, one.last_s) == (
        all_at_once.first, all_at_once.end, all_at_once.first_s, all_at_once.last_s)  # fmt: skip


def test_what_is_out_of_order_is_refused_and_told() -> None:
    series = Series(100)
    assert series.append(5.0, 1.0)
    assert not series.append(5.0, 99.0)
    assert not series.append(4.0, 99.0)
    assert not series.append(math.nan, 99.0)
    assert not series.append(math.inf, 99.0)
    assert series.extend([4.0, 6.0, 5.5, math.nan, 7.0, 7.0], [99, 2, 99, 99, 3, 99]) == 2
    at, values = series.window(0, 10)
    assert at.tolist() == [5.0, 6.0, 7.0]
    assert values.tolist() == [[1.0, 2.0, 3.0]]


def test_memory_is_bounded_by_the_ring_not_by_time() -> None:
    series = Series(20_000, 10)
    before = series.bytes
    # a level takes 2/8 of the one below it in floats of both extremes
    assert before <= 20_000 * 1.2 * (8 + 10 * 4 * 1.3)
    block = np.ones((10, 5000))
    tracemalloc.start()
    for i in range(40):
        series.extend(np.arange(i * 5000.0, (i + 1) * 5000.0), block)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert series.bytes == before
    assert grown < 100_000
    assert 20_000 <= len(series) <= 20_000 * 1.1
    assert series.end == 200_000
    assert series.first_s == series.first


def test_a_view_of_much_costs_what_a_view_of_little_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: how many entries of the pyramid are read for 100 pieces of 10,000 and of 1,000,000 samples."""
    read: dict[int, int] = {}
    for count in (10_000, 1_000_000):
        series = Series(count)
        series.extend(np.arange(float(count)), np.ones(count))
        original, total = series._take, []

        def counted(level, begin, end, into, original=original, total=total) -> None:
            total.append(int(np.maximum(end - begin, 0).sum()))
            original(level, begin, end, into)

        monkeypatch.setattr(series, "_take", counted)
        series.view(0.0, count, 100)
        read[count] = sum(total)
    assert read[1_000_000] < 2.5 * read[10_000] < 2.5 * 100 * 60


def test_the_line_between_samples_counts_and_gaps_are_not_bridged() -> None:
    series = Series(100)
    series.extend([0.0, 10.0, 20.0, 30.0, 40.0], [0.0, 10.0, math.nan, 5.0, 5.0])
    edges = np.arange(0.0, 45.0, 5.0)
    low, high = series.spans(edges)
    np.testing.assert_allclose(low[0], [0, 5, 10, np.nan, np.nan, np.nan, 5, 5], equal_nan=True)
    np.testing.assert_allclose(high[0], [5, 10, 10, np.nan, np.nan, np.nan, 5, 5], equal_nan=True)
    nothing, _ = Series(10).spans(edges)
    assert np.isnan(nothing).all()


def test_the_nearest_sample_and_nothing_out_of_reach() -> None:
    series = Series(64, 2)
    assert np.isnan(series.nearest(0.0, 1e9)).all()
    for i in range(1000):
        series.append(float(i), (i, -i))
    assert series.nearest(998.6, 1.0) == [999.0, -999.0]
    assert series.nearest(998.4, 1.0) == [998.0, -998.0]
    assert np.isnan(series.nearest(2000.0, 10.0)).all()
    assert np.isnan(series.nearest(3.0, 10.0)).all(), "left the ring"


def test_values_that_no_float_of_the_ring_holds_are_gaps() -> None:
    series = Series(10)
    series.extend([1.0, 2.0], [1e300, 2.0])
    series.append(3.0, -1e300)
    assert series.view(0.0, 4.0, 1).high.tolist() == [[2.0]]
    assert series.view(0.0, 4.0, 1).low.tolist() == [[2.0]]


def test_pieces_of_a_picture_hold_their_samples_or_those_just_before_and_lose_none() -> None:
    """Their ends are rounded to those of blocks: by a third of a piece at most, never past the newest sample, and always alike."""
    count = 40_000
    random = np.random.default_rng(9)
    at, values = np.cumsum(random.exponential(1.0, count)), random.standard_normal((2, count))
    series = Series(count, 2)
    series.extend(at, values)
    for step in (3.0, 40.0, 300.0, 2500.0):
        edges = np.arange(1.0, at[-1] + 3 * step, step)
        low, high = series.spans(edges)
        least, most = series.between(edges)
        assert np.nanmin(low) == np.nanmin(least)
        assert np.nanmax(high) == np.nanmax(most)
        wide_low, wide_high = series.between(edges[:-1] - 0.6 * step)[0], series.between(edges[:-1] - 0.6 * step)[1]
        for piece in range(1, len(edges) - 2):
            first = np.fmin(least[:, piece], wide_low[:, piece]) if piece < wide_low.shape[1] else least[:, piece]
            last = np.fmax(most[:, piece], wide_high[:, piece]) if piece < wide_high.shape[1] else most[:, piece]
            line = series._line_at(edges[piece : piece + 2], series.index_of(edges[piece : piece + 2]))
            assert (np.fmin(first, np.fmin(*line)) <= low[:, piece]).all() or np.isnan(low[:, piece]).any()
            assert (np.fmax(last, np.fmax(*line)) >= high[:, piece]).all() or np.isnan(high[:, piece]).any()
        parts = [series.spans(edges[start : start + 12])[0][:, 1:] for start in range(0, len(edges) - 12, 10)]
        for number, part in enumerate(parts):
            np.testing.assert_array_equal(part, low[:, 10 * number + 1 : 10 * number + 11])


def test_few_pieces_and_many_answer_the_same() -> None:
    """One is summed up alone, many at once."""
    random = np.random.default_rng(2)
    values = random.standard_normal((3, 9000))
    values[:, 2000:2300] = np.nan
    series = Series(4000, 3)
    series.extend(np.arange(9000.0), values)
    edges = np.sort(random.uniform(4000, 9300, 60))
    low, high = series.between(edges)
    for piece in range(59):
        alone_low, alone_high = series.between(edges[piece : piece + 2])
        np.testing.assert_array_equal(alone_low[:, 0], low[:, piece])
        np.testing.assert_array_equal(alone_high[:, 0], high[:, piece])
    assert series.between(edges[:1])[0].shape == (3, 0)
