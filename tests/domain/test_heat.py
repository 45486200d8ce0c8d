"""Counts over time: each sample once, equal to brute force at any window, bounded, and nothing before what is kept."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.heat import Heat

BOUNDS = (0.001, 0.01, 0.1, math.inf)


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 60), capacity=st.integers(1, 40), pieces=st.integers(1, 30), seed=st.integers(0, 2**20))
def test_sums_equal_brute_force(count: int, capacity: int, pieces: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    at = np.cumsum(random.random(count) + 1e-3)
    counts = random.integers(0, 50, (count, 4))
    heat = Heat(capacity, BOUNDS)
    for moment, row in zip(at, counts, strict=True):
        assert heat.append(moment, np.cumsum(row))
    assert min(count, capacity) <= heat.end - heat.first <= min(count, capacity + max(1, capacity // 4))
    edges = np.linspace(-1.0, (at[-1] if count else 0.0) + 1.0, pieces + 1)
    wanted = np.zeros((pieces, 4))
    for moment, row in list(zip(at, counts, strict=True))[heat.first :]:
        wanted[np.searchsorted(edges, moment, side="right") - 1] += row
    np.testing.assert_array_equal(heat.sums(edges), wanted)


def test_what_is_late_is_refused_and_counters_never_go_down() -> None:
    heat = Heat(10, BOUNDS)
    assert heat.append(2.0, (1, 3, 3, 4))
    assert not heat.append(2.0, (9, 9, 9, 9))
    assert not heat.append(math.nan, (9, 9, 9, 9))
    assert heat.append(3.0, (5, 2, 2, 2)), "a histogram that contradicts itself counts what it can"
    assert heat.sums(np.array([0.0, 2.5, 9.0])).tolist() == [[1, 2, 0, 1], [5, 0, 0, 0]]
    assert (heat.first_s, heat.last_s) == (2.0, 3.0)


def test_between_two_moments_the_later_one_counts_and_a_hole_stays_one() -> None:
    heat = Heat(10, BOUNDS)
    for at in (10.0, 14.0, 100.0):
        heat.append(at, (0, at, at, at))
    found = heat.spread(np.array([5.0, 9.0, 10.5, 12.0, 13.0, 14.5, 50.0, 99.0, 101.0, 102.0]))[:, 1]
    assert found.tolist() == [0, 10, 14, 14, 14, 0, 0, 100, 0]
    assert not Heat(4, BOUNDS).spread(np.array([0.0, 1.0])).any()


def test_before_the_whole_moments_a_minute_is_one_of_them_and_none_is_lost() -> None:
    random = np.random.default_rng(3)
    heat, at = Heat(30, BOUNDS, minutes=20), 3.0 + 2.0 * np.arange(600)
    counts = random.integers(0, 9, (600, 4))
    for moment, row in zip(at, counts, strict=True):
        heat.append(moment, np.cumsum(row))
    edges = np.arange(60.0, 1260.0, 60.0)
    wanted = [counts[(at >= a) & (at < b)].sum(axis=0).tolist() for a, b in itertools.pairwise(edges)]
    assert heat.sums(edges).tolist() == wanted
    assert heat.first_s == 59.0, "the first minute has one moment: its last"
    assert heat.revision > 1
    inside = heat.spread(np.array([100.0, 101.0, 102.0]))
    assert inside.tolist() == [heat.sums(np.array([60.0, 120.0]))[0].tolist()] * 2, "within a minute that is one moment all of it counts"


def test_minutes_leave_one_day_and_memory_is_bounded() -> None:
    heat = Heat(30, BOUNDS, minutes=5)
    room = heat._upto.nbytes
    for i in range(2000):
        heat.append(i * 2.0, (1, 1, 1, 1))
    assert heat._upto.nbytes == room
    assert 3999.0 - heat.first_s < 38 * 2 + 7 * 60
    assert not heat.sums(np.array([0.0, heat.first_s - 60.0])).any(), "what has left is counted nowhere"


def test_totals_run_over_and_nobody_sees_it() -> None:
    heat = Heat(10, BOUNDS)
    for at in range(3):
        heat.append(float(at), (3e9, 3e9, 3e9, 3e9 + at))
    assert heat.sums(np.array([0.5, 1.5, 2.5])).tolist() == [[3e9, 0, 0, 1], [3e9, 0, 0, 2]]


def test_what_lies_ahead_is_forgotten_and_it_goes_on() -> None:
    heat = Heat(30, BOUNDS, minutes=20)
    for i in range(200):
        heat.append(i * 2.0, (1, 1, 1, 1))
    heat.forget_after(100.0)
    assert heat.last_s <= 100.0
    assert heat.any_between(0.0, 101.0)
    assert not heat.any_between(101.0, 500.0)
    assert heat.append(101.0, (5, 5, 5, 5))
    assert heat.sums(np.array([100.5, 102.0]))[0, 0] == 5
    heat.forget_after(-1.0)
    assert (heat.end, heat.first_s) == (0, math.inf)
    assert heat.append(1.0, (2, 2, 2, 2))


def rows(first: int, count: int, step_s: float = 60.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at = first + step_s * np.arange(1, count + 1)
    return at, at - step_s, np.cumsum(np.ones((count, 4), np.uint32), axis=1, dtype=np.uint32)


@settings(max_examples=60, deadline=None)
@given(moments=st.integers(0, 400), kept=st.integers(0, 80), minutes=st.integers(1, 60), later=st.integers(0, 300))
def test_what_is_put_before_counts_as_if_it_had_been_there(moments: int, kept: int, minutes: int, later: int) -> None:
    heat = Heat(30, BOUNDS, minutes)
    room = heat._upto.nbytes
    for i in range(moments):
        heat.append(10_000.0 + 2 * i, (1, 2, 3, 4))
    whole = heat.sums(np.array([0.0, 9_999.0, 99_999.0]))[1].sum()
    heat.prepend(*rows(10_000 - 60 * kept - 90, kept))
    for i in range(moments, moments + later):
        heat.append(10_000.0 + 2 * i, (1, 2, 3, 4))
    assert heat._upto.nbytes == room, "memory is bounded, whatever was on disk"
    assert not np.diff(heat._at[1 : heat._size]).min(initial=1.0) <= 0
    before, after = heat.sums(np.array([0.0, 9_999.0, 99_999.0]))
    if minutes > kept + (moments + later) // 30 + 2:
        assert (before.tolist(), after.sum()) == ([kept] * 4, whole + 4 * later)
    assert before.sum() <= 4 * kept
    assert (heat.end > 0) == bool(moments + kept + later)


def test_what_is_not_earlier_is_not_put_before() -> None:
    heat = Heat(10, BOUNDS, 20)
    heat.append(1000.0, (1, 1, 1, 1))
    revision = heat.revision
    heat.prepend(*rows(940, 5))
    assert (heat.first_s, heat.revision) == (1000.0, revision), "the first of them is as late as what is known"
    heat.prepend(*rows(900, 5))
    assert heat.first_s == 960.0
    assert heat.sums(np.array([0.0, 999.0, 1001.0])).tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert heat.revision > revision, "who painted it paints it anew"


def test_a_hole_stays_one_also_when_minutes_are_one_moment_each() -> None:
    heat = Heat(30, BOUNDS, minutes=100)
    for start in (0, 1060, 2000):
        for i in range(100):
            heat.append(start + 2.0 * i, (1, 1, 1, 1))
    assert heat._whole > 1
    seen = heat.spread(np.arange(0.0, 2200.0)).any(axis=1)
    assert not seen[200:1059].any()
    assert not seen[1260:1999].any()
    assert seen[1:198].all()
    assert seen[1061:1258].all()


def test_copies_of_what_came_after_a_time() -> None:
    heat = Heat(30, BOUNDS, 20)
    for i in range(10):
        heat.append(float(i), (i, i, i, i))
    at, since, totals = heat.after(3.0, 6.0)
    assert (at.tolist(), since.tolist(), np.diff(totals[:, 0]).tolist()) == ([4, 5], [3, 4], [4, 5])
    at, since, totals = heat.after(-math.inf, math.inf)
    assert (len(at), since[0], totals.shape) == (10, 0.0, (11, 4))
    at, since, totals = heat.after(9.0, 3.0)
    assert (len(at), len(since), totals.shape) == (0, 0, (1, 4))
