"""The feed of the latency charts: memory first, history where it is finer, one answer kept, and a spike at every zoom."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cockpit.domain.errors import StorageError
from cockpit.services.latency import LatencyBook
from cockpit.services.runtime import Outcome
from cockpit.storage.database import open_database
from cockpit.storage.history import History
from tests.fakes.running import FakeMain, InlineRunner
from ui.views.latency_feed import PIECES, LatencyFeed

S = 1_000_000
HOUR = 3_600 * S
SPIKE = 900.0


class Scene:
    """Two hours at ten points a second, with one sample of 900 ms after ten minutes."""

    def __init__(self, clock: Any, path: Path) -> None:
        self.clock, self.main = clock, FakeMain(clock)
        self.database = open_database(path)
        self.history = History(self.database)
        self.start = self.end = clock() // (60 * S) * 60 * S
        self.begin_book()
        self.spike = self.start + 600 * S
        self.see(2 * HOUR)

    def begin_book(self) -> None:
        self.runner = InlineRunner(self.main)
        self.book = LatencyBook(self.runner, self.history, self.clock)
        self.changes: list[int] = []
        self.feed = LatencyFeed(self.book, lambda: self.changes.append(1))
        self.feed.choose("s")

    def see(self, span_us: int) -> None:
        for first in range(self.end, self.end + span_us, 60 * S):
            self.clock.now_us = first + 60 * S
            at = np.arange(first, first + 60 * S, 100_000, dtype=float)
            values = 5.0 + np.sin(at / 7e6)
            values[at == self.spike] = SPIKE
            rows = [at, values, values, values, values, values, values * 0, values * 10]
            self.book.add_block([("s", [array("d", row.tobytes()) for row in rows])])
            self.main.settle()
        self.end += span_us

    def look(self, start_us: int, end_us: int) -> tuple[list[float], list[float]]:
        self.feed.want(start_us, end_us)
        self.main.settle()
        at, columns = self.feed.columns(start_us, end_us)
        assert at.tolist() == sorted(set(at))
        assert {len(column) for column in columns.values()} == {len(at)}
        return at.tolist(), columns["p99_ms"].tolist()

    @property
    def reads(self) -> int:
        return len(self.changes)


@pytest.fixture
def scene(fake_clock: Any, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(fake_clock, tmp_path / "cockpit.sqlite")
    yield made
    made.database.close()


def test_what_is_whole_in_memory_asks_nothing(scene: Scene) -> None:
    at, _ = scene.look(scene.end - 60 * S, scene.end)
    assert len(at) == 600
    assert scene.reads == 0


@pytest.mark.parametrize("span_s", [7_200, 3_600, 900, 60, 10, 1])
def test_a_spike_is_seen_at_every_zoom(scene: Scene, span_s: int) -> None:
    start = max(scene.start, scene.spike - span_s * S // 2)
    at, values = scene.look(start, start + span_s * S)
    assert max(values) == SPIKE
    widest = max(100_000, span_s * S / PIECES * 2)
    assert abs(at[int(np.argmax(values))] - scene.spike) <= widest
    assert len(at) <= 4 * PIECES + 6_000


def test_zooming_in_loads_finer_pieces_and_drops_the_ones_before(scene: Scene) -> None:
    scene.look(scene.start, scene.end)
    first = scene.reads
    assert first == 1
    at, _ = scene.look(scene.spike - S // 2, scene.spike + S // 2)
    assert scene.reads == 2
    assert np.diff(at).tolist() == [100_000.0] * (len(at) - 1)
    assert scene.feed._loaded is not None
    assert len(scene.feed._loaded.at_us) < 100
    scene.look(scene.spike - S // 4, scene.spike + S // 4)
    assert scene.reads == 2, "what has everything needs no second question"


def test_while_it_follows_nothing_is_missing_where_whole_points_left(scene: Scene) -> None:
    for _ in range(30):
        scene.see(60 * S)
        at, _ = scene.look(scene.end - 900 * S, scene.end)
        assert max(np.diff(at)) <= 1.5 * S
    assert 1 <= scene.reads <= 12


def test_a_long_window_is_answered_from_memory(scene: Scene) -> None:
    scene.see(5 * HOUR)
    at, values = scene.look(scene.start, scene.end)
    assert scene.reads == 0
    assert max(values) == SPIKE
    assert max(np.diff(at)) <= 20 * S


def test_after_a_restart_the_past_is_there_again(scene: Scene) -> None:
    scene.book.drain()
    scene.begin_book()
    at, values = scene.look(scene.start, scene.end)
    assert max(values) == SPIKE
    assert at[0] - scene.start <= 10 * S
    assert scene.end - at[-1] <= 10 * S
    at, values = scene.look(scene.spike - S // 2, scene.spike + S // 2)
    assert max(values) == SPIKE
    assert len(at) in (10, 11)


def test_a_disk_that_cannot_be_read_is_asked_once_and_memory_is_shown(scene: Scene) -> None:
    asked: list[int] = []

    def load(series: str, start_us: int, end_us: int, done: Any, max_points: int) -> None:
        asked.append(1)
        done(Outcome(error=StorageError("no disk")))

    scene.book.load = load  # type: ignore[method-assign]
    for _ in range(5):
        at, values = scene.look(scene.spike - 60 * S, scene.spike + 60 * S)
    assert asked == [1]
    assert isinstance(scene.feed.problem, StorageError)
    assert max(values) == SPIKE, "the outline has it"
    assert not math.isnan(at[0])
