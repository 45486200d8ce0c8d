"""Heat maps across restarts: each sample once, gaps stay gaps, what cannot be read or written spoils nothing else."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cockpit.domain.errors import StorageError
from cockpit.domain.heat import Heat
from cockpit.domain.metrics import Histogram
from cockpit.services.latency import LatencyBook
from cockpit.storage.database import Database, open_database
from cockpit.storage.history_heat import HeatHistory, HeatRow
from tests.fakes.running import FakeMain, InlineRunner

BOUNDS = (0.001, 0.01, 0.1, math.inf)
SERIES = "gw@prod/*/*"


class Points:
    """A history of points that keeps none and tells how often it was saved to."""

    def __init__(self) -> None:
        self.saves = 0

    def save(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None:
        self.saves += 1

    def compact(self, now_us: int) -> int:
        return 0

    def prune(self, older_than_us: int) -> None:
        """Nothing is kept."""

    def load(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> Any:
        return np.empty((8, 0))


class Window:
    """One life of the window: a book on a database that outlives it."""

    def __init__(self, database: Database, clock: Any) -> None:
        self.clock, self.main, self.points, self.store = clock, FakeMain(clock), Points(), HeatHistory(database)
        self.book = LatencyBook(InlineRunner(self.main), self.points, clock, self.store)

    def see(self, moments: int, each: int = 1, *, step_s: float = 2.0, bounds: tuple[float, ...] = BOUNDS, name: str = SERIES) -> None:
        """So many moments, each with `each` samples in the lowest bucket, as polls bring them."""
        for _ in range(moments):
            at_us = self.clock.advance(step_s)
            self.book.digest.fresh.append((name, at_us, Histogram(bounds, (float(each),) * len(bounds))))
            self.book.add([])
            self.main.settle()

    def heat(self, name: str = SERIES) -> Heat | None:
        self.book.heat(name)
        self.main.settle()
        return self.book.heat(name)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "cockpit.sqlite")
    yield opened
    opened.close()


def total(heat: Heat | None, start_s: float = 0.0, end_s: float = 2.0**40) -> float:
    return float(heat.sums(np.array([start_s, end_s])).sum()) if heat is not None else 0.0


def test_a_window_that_opens_again_shows_what_the_one_before_saw(database: Database, fake_clock: Any) -> None:
    before = Window(database, fake_clock)
    began_s = fake_clock() / 1e6
    before.see(200)
    before.book.drain()
    fake_clock.advance(600)
    after = Window(database, fake_clock)
    assert total(after.heat()) == 200, "also before anything new is measured"
    after.see(100, 3)
    heat = after.heat()
    assert heat is not None
    assert (total(heat), heat.first_s < began_s + 62) == (500, True)
    assert total(heat, began_s, began_s + 400.5) == 200


@pytest.mark.parametrize("first_seen", [0, 40], ids=["asked before it is measured", "asked when some is measured"])
def test_no_sample_counts_twice_however_often_the_window_is_opened(database: Database, fake_clock: Any, first_seen: int) -> None:
    seen = 0
    for _ in range(4):
        window = Window(database, fake_clock)
        window.see(first_seen)
        assert total(window.heat()) == seen + first_seen
        window.see(73)
        seen += first_seen + 73
        assert total(window.heat()) == seen
        window.book.drain()
        window.book.drain()
        fake_clock.advance(7)


def test_what_a_worker_wrote_without_being_heard_counts_once(database: Database, fake_clock: Any) -> None:
    window = Window(database, fake_clock)
    for _ in range(45):
        at_us = fake_clock.advance(2)
        window.book.digest.fresh.append((SERIES, at_us, Histogram(BOUNDS, (1.0,) * 4)))
        window.book.add([])
    assert window.book.saving
    window.book.drain()
    assert total(Window(database, fake_clock).heat()) == 45


def test_a_window_that_is_killed_loses_the_newest_minute_alone(database: Database, fake_clock: Any) -> None:
    Window(database, fake_clock).see(300)
    found = total(Window(database, fake_clock).heat())
    assert 300 - (60 + 12) / 2 <= found < 300


@pytest.mark.parametrize("closed_s", [45, 90, 600, 20_000])
def test_while_the_window_was_closed_nothing_is_shown(database: Database, fake_clock: Any, closed_s: int) -> None:
    before = Window(database, fake_clock)
    before.see(100)
    before.book.drain()
    left_s = fake_clock() / 1e6
    fake_clock.advance(closed_s)
    back_s = fake_clock() / 1e6
    after = Window(database, fake_clock)
    after.see(100)
    for _ in range(2):
        heat = after.heat()
        assert heat is not None
        edges = np.arange(left_s - 150, back_s + 150, 1.0)
        seen = heat.spread(edges).any(axis=1)
        inside = (edges[:-1] > left_s) & (edges[1:] < back_s)
        assert not seen[inside].any()
        assert seen[edges[1:] < left_s - 2].all()
        assert seen[edges[:-1] > back_s + 2].all()
        after.book.drain()
        after = Window(database, fake_clock)


def test_what_is_older_than_a_day_is_neither_shown_nor_kept(database: Database, fake_clock: Any) -> None:
    window = Window(database, fake_clock)
    window.see(60)
    window.book.drain()
    fake_clock.advance(86_400 - 60)
    assert 0 < total(Window(database, fake_clock).heat()) < 60
    fake_clock.advance(7200)
    assert total(Window(database, fake_clock).heat()) == 0
    window = Window(database, fake_clock)
    window.see(60)
    assert database.query("SELECT count(*) FROM heat WHERE first_us < ?", (fake_clock() - 26 * 3_600_000_000,)) == [(0,)]


def test_other_buckets_than_before_begin_anew_and_the_newest_count(database: Database, fake_clock: Any) -> None:
    window, others = Window(database, fake_clock), (0.5, math.inf)
    window.see(40)
    window.book.drain()
    window = Window(database, fake_clock)
    window.see(50, bounds=others)
    window.book.drain()
    heat = Window(database, fake_clock).heat()
    assert heat is not None
    assert (heat.bounds_s, total(heat)) == (others, 50)
    window = Window(database, fake_clock)
    window.see(10)
    heat = window.heat()
    assert heat is not None
    assert (heat.bounds_s, total(heat)) == (BOUNDS, 50)


def test_a_clock_that_was_set_back_counts_nothing_twice(database: Database, fake_clock: Any) -> None:
    window = Window(database, fake_clock)
    window.see(300)
    back_s = fake_clock() / 1e6 - 300
    window.book.heats.forget_after(back_s)
    fake_clock.advance(-300)
    window.see(120, 5)
    window.book.drain()
    memory, disk = window.heat(), Window(database, fake_clock).heat()
    assert total(memory, back_s + 0.1) == 600
    # the minute in which the clock was set back is one row, and leaves as a whole
    assert total(memory) - 30 <= total(disk) <= total(memory)
    assert total(disk, back_s + 0.1) == 600


class Broken(HeatHistory):
    """Nothing of it works."""

    def save(self, rows: Sequence[tuple[str, HeatRow]]) -> None:
        raise StorageError("The disk is broken.")

    def load(self, series: str, start_us: int, end_us: int) -> list[HeatRow]:
        raise StorageError("The disk is broken.")


@pytest.mark.logs("could not be kept: .*The disk is broken")
def test_what_cannot_be_written_is_told_and_tried_again_and_points_are_kept_all_the_same(database: Database, fake_clock: Any) -> None:
    window = Window(database, fake_clock)
    works, window.book.heats.store = window.store, Broken(database)
    window.see(100)
    assert isinstance(window.book.heats.unwritten, StorageError)
    saves = window.points.saves
    assert saves > 0
    window.book.drain()
    window.book.heats.store = works
    window.see(40)
    window.book.drain()
    assert window.book.heats.unwritten is None, "what was told is over"
    assert total(Window(database, fake_clock).heat()) == 140


def test_what_cannot_be_read_is_told_and_what_comes_is_shown_and_it_is_asked_for_again(database: Database, fake_clock: Any) -> None:
    window = Window(database, fake_clock)
    window.see(40)
    window.book.drain()
    window = Window(database, fake_clock)
    works, window.book.heats.store = window.store, Broken(database)
    assert window.heat() is None
    assert isinstance(window.book.heats.problem, StorageError)
    window.see(3)
    assert total(window.heat()) == 3
    window.book.heats.store = works
    assert total(window.heat()) == 3, "not each second"
    fake_clock.advance(60)
    assert total(window.heat()) == 43
    assert window.book.heats.problem is None


def test_a_series_that_is_asked_for_is_read_once(database: Database, fake_clock: Any) -> None:
    window = Window(database, fake_clock)
    window.see(30)
    runner: Any = window.book._runner
    runner.lanes.clear()
    for _ in range(5):
        window.heat()
    assert runner.lanes == ["history"]
