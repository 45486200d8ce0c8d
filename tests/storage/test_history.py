"""History: damage is left out and said, extremes survive, nothing committed is lost."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.errors import StorageError
from cockpit.domain.metrics import LatencyPoint
from cockpit.storage.chunks import DENSE, MINUTE_US, pack, points_of, table_of, unpack
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
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255), rounded=st.booleans())
def test_no_flipped_byte_gives_wrong_numbers(position: int, flip: int, rounded: bool) -> None:
    payload, checksum = pack(table_of([point(s, p99=float(s)) for s in range(60)]), rounded)
    damaged = bytearray(payload)
    damaged[position % len(damaged)] ^= flip
    assert unpack(bytes(damaged), checksum) is None


def test_a_chunk_with_a_right_checksum_and_a_false_size_is_refused() -> None:
    import zlib

    import zstandard

    for form, content in ((b"\x01", b""), (b"\x01", b"x" * 63), (b"\x02", b"x" * 35), (b"\x02", b"\x00" * 36 * 1_000_001)):
        payload = form + zstandard.ZstdCompressor().compress(content)
        found = unpack(payload, zlib.crc32(payload))
        assert found is None or not found.size
    for payload in (b"", b"\x01", b"\x03abc", b"\x02abc", b"\x01not zstd at all"):
        assert unpack(payload, zlib.crc32(payload)) is None


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
    assert rows_of(database, "chunk") == 5, "what is most of a minute waits nowhere"
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


ROW = "INSERT INTO sample (series, at_us, p50_ms, p90_ms, p99_ms, p999_ms, rate_per_s, error_ratio, count) VALUES (?,?,1,2,5,NULL,10,0,10)"


def test_rows_of_an_earlier_layout_are_read_and_moved_a_few_series_at_a_time(history: History, database: Database) -> None:
    names = [f"s{n:02}" for n in range(20)]
    history.add([(name, point(1)) for name in names])
    database.execute("DELETE FROM block")
    for number in range(1, 21):
        database.execute(ROW, (number, BASE + SECOND))
    assert history.read("s07", 0, 2**60) == (point(1),)
    assert [history.compact(BASE + 10 * MINUTE_US, most=8) for _ in range(4)] == [8, 8, 4, 0]
    assert rows_of(database, "sample") == 0
    assert history.read("s07", 0, 2**60) == (point(1),)


# three points as version 1 of the program packed them
EARLIER = (
    b"\x01(\xb5/\xfd \xc0]\x02\x00d\x03\x00@@\x80BB\x98\x0f\x0f(\x00\x00\x17\x00\x00e\x00\x00\x06\x00\xf0\xf0\xf0???\x00@@@\x00"
    b"\x16\xf8\x16@\x7f\xf8\xf8\xf8\x7f\x7f\x7f$$$\xd0\xd0\xd0$$$@@@\x07\x00{|c\t\xdf\x00^\xd9\x99h0\x13@\x1b\n`\x02"
)


def test_chunks_of_an_earlier_layout_are_read() -> None:
    found = unpack(EARLIER, 1294653640)
    assert found is not None
    points = [LatencyPoint(1_800_000_000_000_000 + s * SECOND, 1.0, 2.0, None if s == 1 else 5.5, None, 10.0, 0.25, 10.0) for s in range(3)]
    assert points_of(found) == tuple(points)


def columns(points: list[LatencyPoint]) -> list[array[float]]:
    return [array("d", row) for row in table_of(points).tolist()]


def test_a_dense_minute_keeps_every_time_and_three_digits(history: History) -> None:
    points = [LatencyPoint(BASE + s * 100_003, 1.0, 2.0, 5.0 + s / 7, None, 10.0, 0.0, 10.0) for s in range(599)]
    history.save([("a", columns(points))])
    found = history.read("a", 0, 2**60)
    assert [p.at_us for p in found] == [p.at_us for p in points]
    assert [p.p99_ms for p in found] == pytest.approx([p.p99_ms for p in points], rel=5e-4)
    assert {p.p999_ms for p in found} == {None}
    assert len(points) > DENSE


def test_short_pieces_of_many_series_wait_together_and_are_read_at_once(history: History, database: Database) -> None:
    points = [point(s * 0.1) for s in range(1200)]
    for first in range(0, 1200, 100):
        history.save([(name, columns(points[first : first + 100])) for name in ("a", "b")])
    assert rows_of(database, "block") == 12
    assert history.read("b", 0, 2**60) == tuple(points)
    assert history.read("b", BASE + 5 * SECOND, BASE + 6 * SECOND) == tuple(points[50:61])
    compact_all(history, BASE + 3 * MINUTE_US + 5 * SECOND)
    assert (rows_of(database, "block"), rows_of(database, "chunk")) == (6, 2), "the second minute goes on waiting"
    assert history.read("b", 0, 2**60) == tuple(points)


def test_a_block_over_the_border_of_a_minute_is_split(history: History, database: Database) -> None:
    points = [point(s) for s in range(50, 70)]
    history.save([("a", columns(points))])
    compact_all(history, BASE + 3 * MINUTE_US)
    assert (rows_of(database, "block"), rows_of(database, "chunk")) == (1, 1)
    assert history.read("a", 0, 2**60) == tuple(points)


def test_what_is_saved_twice_counts_once(history: History) -> None:
    points = [point(s) for s in range(20)]
    history.save([("a", columns(points))])
    history.save([("a", columns(points[10:]))])
    assert history.read("a", 0, 2**60) == tuple(points)
    compact_all(history, BASE + 10 * MINUTE_US)
    history.save([("a", columns(points[5:]))])
    assert history.read("a", 0, 2**60) == tuple(points)
    compact_all(history, BASE + 10 * MINUTE_US)
    assert history.read("a", 0, 2**60) == tuple(points)


@pytest.mark.logs("checksum is wrong: samples of block 1")
def test_a_damaged_block_is_left_out_and_said(history: History, database: Database) -> None:
    history.save([("a", columns([point(1)]))])
    history.save([("a", columns([point(2)]))])
    for change in ("substr(payload, 1, 30)", "CAST(x'ffffffff' || substr(payload, 5) AS BLOB)", "x''"):
        database.execute(f"UPDATE block SET payload = {change} WHERE id = 1")
        assert [p.at_us for p in history.read("a", 0, 2**60)] == [BASE + 2 * SECOND]
    assert len(history.damaged) == 1


def test_where_samples_had_to_leave_their_extremes_stay(history: History, database: Database) -> None:
    points = [point(s, p99=900.0 if s == 77 else 5.0) for s in range(2 * 3600)]
    history.save([("a", columns(points)), ("b", columns(points[:60]))])
    history.prune(0, most_bytes=1)
    assert database.query("SELECT count(*), min(minute_us) FROM chunk") == [(60, BASE + 60 * MINUTE_US)]
    found = history.read("a", BASE, BASE + 3 * MINUTE_US)
    assert [p.p99_ms for p in found] == [5.0, 5.0, 5.0, 900.0, 5.0, 5.0, 5.0, 5.0][: len(found)]
    assert max(p.p99_ms or 0 for p in history.read("a", 0, 2**60, max_points=300)) == 900.0
    assert len(history.read("a", BASE + 3600 * SECOND, BASE + 3700 * SECOND)) == 101
    history.prune(0, most_bytes=2**60)
    assert rows_of(database, "chunk") == 60


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
        begin = time.thread_time()
        history.snapshot("main")
        times.append(time.thread_time() - begin)
    assert min(times) < 0.005
