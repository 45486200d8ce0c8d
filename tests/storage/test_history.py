"""History: damage is left out and said, extremes survive, nothing committed is lost."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.errors import StorageError
from cockpit.domain.metrics import LatencyPoint
from cockpit.storage.chunks import MINUTE_US, decode, encode
from cockpit.storage.database import Database, open_database
from cockpit.storage.history import History

BASE = 1_800_000_000_000_000 // MINUTE_US * MINUTE_US
SECOND = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cockpit.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


def point(second: float, p99: float | None = 5.0, count: float = 10.0) -> LatencyPoint:
    return LatencyPoint(BASE + round(second * SECOND), 1.0, 2.0, p99, None, 10.0, 0.0, count)


def compact_all(history: History, now_us: int) -> None:
    while history.compact(now_us):
        pass


def rows_of(database: Database, table: str) -> int:
    return int(database.query(f"SELECT count(*) FROM {table}")[0][0])


@pytest.mark.logs("checksum is wrong: snapshot main")
def test_a_damaged_snapshot_is_left_out_and_said(history: History, database: Database) -> None:
    history.save_snapshot("main", b"x" * 1000, 7)
    database.execute("UPDATE snapshot SET payload = zeroblob(length(payload))")
    assert history.snapshot("main") is None
    assert history.damaged == ("snapshot main",)


@pytest.mark.logs("checksum is wrong: series 1")
def test_a_damaged_chunk_is_left_out_and_said_once(history: History, database: Database) -> None:
    history.add([("a", point(s)) for s in range(120)])
    compact_all(history, BASE + 5 * MINUTE_US)
    database.execute(
        "UPDATE chunk SET payload = CAST(substr(payload, 1, 20) || x'ff' || substr(payload, 22) AS BLOB) WHERE minute_us = ?", (BASE,)
    )
    for _ in range(2):
        assert [p.at_us for p in history.read("a", BASE, BASE + MINUTE_US * 2)] == [BASE + s * SECOND for s in range(60, 120)]
    assert len(history.damaged) == 1


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_flipped_byte_gives_wrong_numbers(position: int, flip: int) -> None:
    payload, checksum = encode([point(s, p99=float(s)) for s in range(60)])
    damaged = bytearray(payload)
    damaged[position % len(damaged)] ^= flip
    assert decode(bytes(damaged), checksum) is None


def test_a_chunk_with_a_right_checksum_and_a_false_size_is_refused() -> None:
    import zlib

    import zstandard

    for content in (b"", b"x" * 63, b"\x00" * 64 * 1_000_001):
        payload = b"\x01" + zstandard.ZstdCompressor().compress(content)
        assert decode(payload, zlib.crc32(payload)) in (None, [])
    for payload in (b"", b"\x01", b"\x02abc", b"\x01not zstd at all"):
        assert decode(payload, zlib.crc32(payload)) is None


WRITER = """
import sys
from pathlib import Path
from cockpit.domain.metrics import LatencyPoint
from cockpit.storage.database import open_database
from cockpit.storage.history import History
history = History(open_database(Path(sys.argv[1])))
for second in range(1_000_000):
    at_us = int(sys.argv[2]) + second * 1_000_000
    history.add([(name, LatencyPoint(at_us, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 6.0)) for name in ("a", "b")])
    history.compact(at_us)
    print(second + 1, flush=True)
"""


def test_a_killed_process_loses_nothing_that_was_committed(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(BASE)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(400)]
        process.kill()
        lines += process.stdout.read().split()
    written = max(int(line) for line in lines if line.strip())
    database = open_database(path)
    history = History(database)
    for name in ("a", "b"):
        points = history.read(name, BASE, BASE + 10**15, max_points=10**6)
        assert len(points) >= written
        assert [p.at_us for p in points] == [BASE + n * SECOND for n in range(len(points))]
    assert rows_of(database, "chunk") > 0
    assert history.damaged == ()
    database.close()


def test_a_failed_batch_adds_nothing_and_the_next_one_works(history: History, database: Database) -> None:
    bad = [("new", point(1)), ("new", LatencyPoint(2**70, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))]
    with pytest.raises((StorageError, OverflowError)):
        history.add(bad)
    assert history.series() == ()
    history.add([("other", point(1)), ("new", point(2))])
    assert history.series() == ("new", "other")
    assert len(history.read("new", 0, 2**60)) == 1


def test_points_come_back_as_they_were_before_and_after_compaction(history: History, database: Database) -> None:
    points = [point(s * 0.5, p99=None if s % 7 == 0 else s * 1.1, count=float(s)) for s in range(600)]
    history.add([("a", p) for p in points])
    assert history.read("a", 0, 2**60) == tuple(points)
    compact_all(history, BASE + 5 * MINUTE_US)
    assert rows_of(database, "sample") == 240
    assert rows_of(database, "chunk") == 3
    assert history.read("a", 0, 2**60) == tuple(points)
    inside = history.read("a", BASE + 30 * SECOND, BASE + 200 * SECOND)
    assert inside == tuple(p for p in points if BASE + 30 * SECOND <= p.at_us <= BASE + 200 * SECOND)


def test_a_late_sample_joins_its_chunk(history: History) -> None:
    history.add([("a", point(10)), ("a", point(30))])
    compact_all(history, BASE + 10 * MINUTE_US)
    history.add([("a", point(20))])
    compact_all(history, BASE + 10 * MINUTE_US)
    assert [p.at_us for p in history.read("a", 0, 2**60)] == [BASE + s * SECOND for s in (10, 20, 30)]


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(("seconds", "max_points"), [(3_000, 100), (3_000, 2_000), (86_400, 2_000), (86_400, 500)])
def test_long_windows_are_cut_and_every_extreme_survives(history: History, seconds: int, max_points: int, compacted: bool) -> None:
    step = 1 if seconds < 10_000 else 10
    spike, dip = seconds // 3 // step * step, seconds // 2 // step * step
    samples = [(s, {spike: 900.0, dip: 0.001}.get(s, 5.0 + math.sin(s))) for s in range(0, seconds, step)]
    history.add([("a", point(s, p99=value)) for s, value in samples])
    if compacted:
        compact_all(history, BASE + (seconds + 200) * SECOND)
    found = history.read("a", BASE, BASE + seconds * SECOND, max_points)
    assert 2 < len(found) <= max_points
    known = [p for p in found if p.p99_ms is not None]
    assert max(p.p99_ms or 0 for p in known) == 900.0
    assert min(p.p99_ms or 0 for p in known) == 0.001
    assert sum(p.count for p in found) == pytest.approx(10.0 * len(samples))
    assert [p.at_us for p in found] == sorted(p.at_us for p in found)
    assert all(BASE <= p.at_us <= BASE + seconds * SECOND for p in found)
    highest = max(known, key=lambda p: p.p99_ms or 0)
    assert abs(highest.at_us - (BASE + spike * SECOND)) <= 2 * seconds * SECOND * 2 / max_points + MINUTE_US


def test_unknown_series_and_empty_windows_are_empty(history: History) -> None:
    history.add([("a", point(1))])
    assert history.read("b", 0, 2**60) == ()
    assert history.read("a", BASE + 10 * SECOND, BASE) == ()
    assert history.read("a", BASE + 10 * SECOND, BASE + 20 * SECOND) == ()
    assert history.snapshot("none") is None


def test_compaction_goes_a_few_series_at_a_time(history: History, database: Database) -> None:
    history.add([(f"s{n}", point(1)) for n in range(20)])
    assert history.compact(BASE + 10 * MINUTE_US, most=8) == 8
    assert rows_of(database, "sample") == 12
    assert history.compact(BASE + 10 * MINUTE_US, most=8) == 8
    assert history.compact(BASE + 10 * MINUTE_US, most=8) == 4
    assert history.compact(BASE + 10 * MINUTE_US, most=8) == 0


def test_what_is_older_is_pruned(history: History, database: Database) -> None:
    history.add([("a", point(s)) for s in range(0, 600, 10)])
    compact_all(history, BASE + 7 * MINUTE_US)
    history.prune(BASE + 3 * MINUTE_US)
    assert history.read("a", 0, 2**60)[0].at_us == BASE + 3 * MINUTE_US
    history.prune(2**60)
    assert (rows_of(database, "sample"), rows_of(database, "chunk"), rows_of(database, "rollup")) == (0, 0, 0)
    assert history.series() == ("a",)


def test_a_snapshot_is_read_fast_and_replaced(history: History) -> None:
    payload = bytes(random.Random(1).choices(b'{"name": 0123456789abcdef, }', k=200_000))
    history.save_snapshot("main", b"old", 1)
    history.save_snapshot("main", payload, 2)
    assert history.snapshot("main") == (payload, 2)
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        history.snapshot("main")
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.005
