"""Series: against brute force, with gaps, wraps and spikes."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.series import Series

VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-5, 5).map(float))
STEPS = st.lists(st.tuples(st.integers(0, 5_000_000), VALUES), max_size=400)


def same(a: object, b: object) -> bool:
    return bool(np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True))


def brute(samples: list[tuple[int, float]], start: int, end: int, pixels: int) -> list[tuple[float, float]]:
    """(lowest, highest) of each piece that has a number."""
    inside = [(at / 1e6, v) for at, v in samples if start / 1e6 <= at / 1e6 <= end / 1e6]
    edges = np.linspace(start / 1e6, end / 1e6, pixels + 1)
    pieces: list[list[float]] = [[] for _ in range(pixels)]
    for at, value in inside:
        pieces[min(pixels - 1, int(np.searchsorted(edges, at, "right")) - 1)].append(value)
    known = [[v for v in piece if not math.isnan(v)] for piece in pieces]
    return [(min(piece), max(piece)) for piece in known if piece]


@settings(max_examples=150, deadline=None)
@given(
    steps=STEPS,
    capacity=st.integers(1, 300),
    pixels=st.integers(1, 40),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    bulk=st.booleans(),
)
def test_it_agrees_with_brute_force(
    steps: list[tuple[int, float | None]], capacity: int, pixels: int, cut: tuple[float, float], bulk: bool
) -> None:
    series = Series(capacity)
    at, samples = 1_000_000_000, list[tuple[int, float]]()
    for step, value in steps:
        at += step
        samples.append((at, float("nan") if value is None else value))
    if bulk:
        half = len(samples) // 3
        for part in (samples[:half], samples[half:]):
            assert series.extend([t for t, _ in part], [v for _, v in part]) == len(part)
    else:
        assert all(series.append(t, None if math.isnan(v) else v) for t, v in samples)
    kept = samples[-capacity:]
    assert len(series) == len(kept)
    first, last = (kept[0][0], kept[-1][0]) if kept else (0, 1)
    start, end = (first + round((last - first) * c) for c in sorted(cut))
    inside = [(t, v) for t, v in kept if start / 1e6 <= t / 1e6 <= end / 1e6]
    times, values = series.window(start, end)
    assert same(times, [t / 1e6 for t, _ in inside])
    assert same(values, [v for _, v in inside])
    at_s, low, high = series.decimate(start, end, pixels)
    if len(inside) <= pixels:
        assert same(low, [v for _, v in inside])
        assert same(high, low)
    else:
        assert len(at_s) <= pixels
        numbers = ~np.isnan(low)
        assert list(zip(low[numbers].tolist(), high[numbers].tolist(), strict=True)) == brute(kept, start, end, pixels)


@pytest.mark.parametrize("where", [0, 1, 15, 16, 17, 255, 256, 4_095, 4_096, 50_000, 99_998, 99_999])
def test_a_spike_of_one_sample_survives_at_any_place(where: int) -> None:
    series = Series(100_000)
    values = np.ones(130_000)
    values[30_000 + where] = 99.0
    assert series.extend(np.arange(130_000) * 1000, values) == 130_000
    _, low, high = series.decimate(30_000 * 1000, 130_000 * 1000, 800)
    assert high.max() == 99.0
    assert (high == 99.0).sum() == 1
    assert low.max() == 1.0


def test_appending_wraps_and_keeps_the_newest() -> None:
    series = Series(1_000)
    for number in range(10_000):
        series.append(number * 1000, float(number))
    times, values = series.window(0, 10_000_000)
    assert values.tolist() == [float(n) for n in range(9_000, 10_000)]
    assert times[0] == 9.0
    assert series.newest_us == 9_999_000
    _, low, high = series.decimate(0, 10_000_000, 10)
    assert (low.min(), high.max()) == (9_000.0, 9_999.0)


def test_a_long_gap_is_not_drawn_across() -> None:
    series = Series(1_000)
    for second in range(300):
        series.append(second * 1_000_000, 1.0)
    series.append(300_000_000, None)
    for second in range(700, 999):
        series.append(second * 1_000_000, 2.0)
    at_s, low, _ = series.decimate(0, 1_000_000_000, 100)
    gaps = at_s[np.isnan(low)]
    assert len(gaps) >= 1
    assert all(300 <= gap <= 700 for gap in gaps)


def test_a_piece_of_gaps_alone_is_a_gap() -> None:
    series = Series(1_000)
    series.extend([n * 1_000 for n in range(1_000)], [None if 400 <= n < 600 else 1.0 for n in range(1_000)])
    _, low, high = series.decimate(0, 999_000, 10)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [n in (4, 5) for n in range(10)]


def test_a_sample_older_than_the_newest_is_left_out() -> None:
    series = Series(10)
    assert series.append(2_000_000, 1.0)
    assert not series.append(1_000_000, 2.0)
    assert series.append(2_000_000, 3.0)
    assert series.extend([1_000_000, 3_000_000, 2_500_000, 4_000_000], [9.0, 4.0, 9.0, None]) == 2
    assert series.window(0, 9_000_000)[1].tolist()[:3] == [1.0, 3.0, 4.0]


def test_an_empty_series_and_empty_windows() -> None:
    series = Series(10)
    assert (len(series), series.newest_us, series.capacity) == (0, None, 10)
    assert [len(part) for part in series.decimate(0, 1_000_000, 100)] == [0, 0, 0]
    assert series.extend([], []) == 0
    series.append(5_000_000, 1.0)
    assert [len(part) for part in series.window(6_000_000, 1_000_000)] == [0, 0]
    assert [len(part) for part in series.decimate(0, 1_000_000, 100)] == [0, 0, 0]
    assert [len(part) for part in series.decimate(0, 9_000_000, 0)] == [0, 0, 0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Series(0)
    with pytest.raises(ValueError, match="as many times"):
        Series(5).extend([1, 2], [1.0])


def test_a_million_samples_are_cut_in_a_few_milliseconds() -> None:
    series = Series(1_000_000)
    series.extend(np.arange(1_000_000) * 1000, np.random.default_rng(1).random(1_000_000))
    series.decimate(0, 10**9, 1_000)
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        series.decimate(0, 10**9, 1_000)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.05  # some 4 ms when nothing else runs
