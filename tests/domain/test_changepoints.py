"""Change points: known ones are found, outliers and quiet series give none, and the sizes are those that were put in."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.changepoints import ChangePoint, _student, change_points


@pytest.fixture(scope="module")
def bench() -> Any:
    path = Path(__file__).parents[1] / "bench" / "bench_changepoints.py"
    spec = importlib.util.spec_from_file_location("bench_changepoints", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_changepoints"] = module
    spec.loader.exec_module(module)
    return module


def noise(n: int, seed: int = 1, level: float = 100.0, share: float = 0.02) -> list[float]:
    return list(np.random.default_rng(seed).normal(level, level * share, n))


def test_too_short_and_empty_series_have_none() -> None:
    assert change_points([]) == ()
    assert change_points([1.0] * 4 + [2.0] * 5) == ()
    assert change_points([math.nan] * 300) == ()


def test_a_step_is_found_where_it_is_with_its_size() -> None:
    values = noise(40) + noise(30, 2, 130.0)
    (found,) = change_points(values)
    assert found.index == 40
    assert found.before == pytest.approx(100.0, rel=0.02)
    assert found.after == pytest.approx(130.0, rel=0.02)
    assert found.change == pytest.approx(0.3, abs=0.03)
    assert found.p < 1e-12


def test_a_clean_step_of_a_clock_without_noise_is_found() -> None:
    assert [c.index for c in change_points([5.0] * 8 + [6.0] * 6)] == [8]
    assert change_points([5.0] * 40) == ()
    assert [c.index for c in change_points([0.0] * 8 + [1.0] * 8)] == [8]
    assert change_points([0.0] * 8 + [1.0] * 8)[0].change == math.inf


def test_five_new_values_suffice_and_four_do_not() -> None:
    assert [c.index for c in change_points(noise(30) + noise(5, 3, 140.0))] == [30]
    assert change_points(noise(30) + noise(4, 3, 140.0)) == ()


def test_outliers_are_no_change() -> None:
    values = noise(200)
    for at in (7, 8, 31, 90, 140, 141, 199):
        values[at] *= 9.0
    assert change_points(values) == ()


def test_what_is_not_finite_is_passed_over_and_places_stay() -> None:
    values = noise(40) + noise(30, 2, 130.0)
    values[3], values[41] = math.nan, math.inf
    (found,) = change_points(values)
    assert found.index == 40


def test_small_changes_can_be_left_out() -> None:
    values = noise(60, share=0.005) + noise(60, 2, 103.0, 0.005)
    assert [c.index for c in change_points(values)] == [60]
    assert change_points(values, min_change=0.05) == ()


def test_noise_with_a_memory_is_not_taken_for_changes() -> None:
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(40):
        x = rng.normal(0, 1, 300)
        for i in range(1, 300):
            x[i] += 0.6 * x[i - 1]
        false += len(change_points(x + 50))
    assert false <= 8, "at most one in five series of 300 gives one"


def test_two_machines_by_turns_are_no_changes() -> None:
    """Runs on a fast and on a slow machine, by chance: a few of one kind in a row make no level."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found += bool(change_points(rng.choice((1.0, 1.5), 60) * rng.normal(1, 0.02, 60)))
    assert found <= 2, f"{found} of 60 series"


@pytest.mark.parametrize(("t", "freedom", "p"), [(2.0, 10.0, 0.0733880), (3.0, 4.5, 0.0345770), (12.0, 30.0, 5.4e-13), (0.0, 5.0, 1.0)])
def test_students_distribution(t: float, freedom: float, p: float) -> None:
    found = _student(t, freedom)
    assert found == pytest.approx(p, rel=0.02), found


@pytest.mark.parametrize("n", [300, 1_000])
def test_recall_at_least_the_best_of_the_plain_methods_at_no_more_false_alarms(bench: Any, n: int) -> None:
    for kind, every in bench.kinds(n, seed=17).items():
        some = every[:16]
        mine = bench.score(bench.ours, some)
        for name, rival in bench.RIVALS.items():
            theirs = bench.score(rival, some)
            assert mine.recall >= theirs.recall - 0.012, (kind, name, mine, theirs)  # two of 176: chance moves each a little
            assert mine.false <= theirs.false, (kind, name, mine, theirs)
        assert mine.recall >= 0.95, (kind, mine)
        assert mine.false <= 0.5, (kind, mine)


def test_quiet_series_are_quiet(bench: Any) -> None:
    every = bench.kinds(300, seed=23)["quiet"]
    assert bench.score(bench.ours, every).false <= 0.05


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_any_numbers_give_an_answer(values: list[float]) -> None:
    with np.errstate(all="raise", under="ignore"):
        found = change_points(values)
    places = [c.index for c in found]
    assert places == sorted(set(places))
    assert all(isinstance(c, ChangePoint) and 0 < c.index < len(values) and 0.0 <= c.p <= 1e-3 for c in found)
