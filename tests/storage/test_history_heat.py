"""Samples on disk: damage is left out and said, nothing counts twice, a killed process loses what it had not written and no more."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cockpit.domain.errors import StorageError
from cockpit.storage.database import Database, open_database
from cockpit.storage.history_heat import HeatHistory, HeatRow

BASE = 1_800_000_000_000_000 // 60_000_000 * 60_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
BOUNDS = (0.001, 0.01, 0.1, math.inf)
ALL = (0, 2**60)

WRITER = """
import math, sys
from pathlib import Path
import numpy as np
from cockpit.storage.database import open_database
from cockpit.storage.history_heat import HeatHistory, HeatRow
store, at = HeatHistory(open_database(Path(sys.argv[1]))), int(sys.argv[2])
for n in range(10_000):
    first = at + n * 60_000_000
    counts = np.array([n, 1, 0, 0], np.uint32)
    store.save([(name, HeatRow(first, first, first + 58_000_000, (0.001, 0.01, 0.1, math.inf), counts)) for name in ("a", "b")])
    print(n, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cockpit.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> HeatHistory:
    return HeatHistory(database)


def row(minute: int, count: int = 1, first_s: float = 1.0, last_s: float = 59.0, bounds: tuple[float, ...] = BOUNDS) -> HeatRow:
    at = BASE + minute * MINUTE
    counts = np.full(len(bounds), count, np.uint32)
    return HeatRow(at + round(first_s * SECOND), at, at + round(last_s * SECOND), bounds, counts)


def counted(rows: list[HeatRow]) -> list[int]:
    return [int(found.counts[0]) for found in rows]


def test_rows_come_back_as_they_were_and_only_those_of_the_window(store: HeatHistory) -> None:
    store.save([("a", row(n, n)) for n in range(5)])
    store.save([("b", row(0, 9)), ("a", row(5, 2**32 - 1))])
    found = store.load("a", *ALL)
    assert counted(found) == [0, 1, 2, 3, 4, 2**32 - 1]
    assert (found[2].first_us, found[2].since_us, found[2].last_us, found[2].bounds_s) == (row(2).first_us, row(2).since_us, row(2).last_us, BOUNDS)  # fmt: skip # noqa: E501
    assert counted(store.load("a", BASE + MINUTE, BASE + 3 * MINUTE)) == [1, 2]
    assert store.load("nobody", *ALL) == []


def test_what_is_saved_again_counts_once(store: HeatHistory) -> None:
    store.save([("a", row(0, 3, last_s=20.0))])
    store.save([("a", row(0, 7, last_s=50.0))])
    assert counted(store.load("a", *ALL)) == [7]
    store.save([("a", row(0, 1, first_s=52.0))])
    assert counted(store.load("a", *ALL)) == [7, 1], "another start within the same minute is a row of its own"


def test_what_comes_after_a_clock_was_set_back_takes_the_place_of_what_was_there(store: HeatHistory) -> None:
    store.save([("a", row(n, 1)) for n in range(4)] + [("b", row(1, 8))])
    store.save([("a", row(1, 5, first_s=2.0, last_s=58.0))])
    assert counted(store.load("a", *ALL)) == [1, 5, 1, 1]
    assert counted(store.load("b", *ALL)) == [8]


@pytest.mark.logs("left out, their checksum is wrong: 2 minutes of the samples of a")
def test_damaged_rows_are_left_out_and_said_and_the_others_stay(store: HeatHistory, database: Database) -> None:
    store.save([("a", row(n, n)) for n in range(4)])
    database.execute("UPDATE heat SET payload = x'00ff' WHERE first_us = ?", (row(1).first_us,))
    database.execute("UPDATE heat SET last_us = last_us + 1 WHERE first_us = ?", (row(2).first_us,))
    assert counted(store.load("a", *ALL)) == [0, 3]


@pytest.mark.logs("left out, their checksum is wrong: 1 minutes")
def test_buckets_that_are_damaged_are_no_buckets(store: HeatHistory, database: Database) -> None:
    store.save([("a", row(0))])
    database.execute("UPDATE heat_bounds SET payload = x'0011'")
    assert store.load("a", *ALL) == []


def test_what_is_old_leaves_and_each_day_needs_as_much_as_the_one_before(store: HeatHistory, database: Database) -> None:
    for day in range(3):
        store.save([("a", row(n)) for n in range(day * 100, day * 100 + 100)])
        store.prune(row(day * 100).first_us)
        assert database.query("SELECT count(*) FROM heat") == [(100,)]
    assert store.load("a", *ALL)[0].first_us == row(200).first_us
    assert database.query("SELECT count(*) FROM heat_bounds") == [(1,)]


def test_a_batch_that_fails_leaves_nothing_half_done(store: HeatHistory) -> None:
    bad = HeatRow(2**70, 0, 0, BOUNDS, np.zeros(4, np.uint32))
    with pytest.raises((StorageError, OverflowError)):
        store.save([("a", row(0)), ("a", bad)])
    assert store.load("a", *ALL) == []


def test_a_killed_process_loses_nothing_that_was_committed(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(BASE)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(60)]
        process.kill()
        lines += process.stdout.read().split()
    written = 1 + max(int(line) for line in lines if line.strip())
    database = open_database(path)
    assert database.notes == (), "it is as sound as before"
    store = HeatHistory(database)
    for name in ("a", "b"):
        found = counted(store.load(name, *ALL))
        assert len(found) >= written
        assert found == list(range(len(found)))
    store.save([("a", row(20_000, 7))])
    database.close()
