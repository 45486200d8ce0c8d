"""What was last known, and latency over time: the window opens with yesterday's data and its age."""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from cockpit.domain.metrics import LatencyPoint
from cockpit.storage.chunks import MINUTE_US, Bucket, bucket_of, buckets, decode, encode, merged, points_of
from cockpit.storage.database import Database

_LOG = logging.getLogger(__name__)

KEEP_ROWS_US: Final = 2 * MINUTE_US
_POINT: Final = "at_us, p50_ms, p90_ms, p99_ms, p999_ms, rate_per_s, error_ratio, count"
_SIDES: Final = ", ".join(
    f"{n}_{side}" for side in ("low", "high") for n in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "rate_per_s", "error_ratio")
)
_BUCKET: Final = f"first_us, last_us, points, count, {_SIDES}"
# a snapshot is the window's own summary; more than this in one is damage or a trap
_MAX_SNAPSHOT_BYTES: Final = 256 * 1024 * 1024


class History:
    """Snapshots by name, and latency samples by series name, in the database. From any thread; each call is one short transaction or a few.

    Fresh samples are rows; `compact` moves whole minutes into checksummed, compressed chunks with a rollup beside each.
    What does not pass its checksum is left out and named in `damaged`, never shown.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[str, int] = {}
        self.damaged: tuple[str, ...] = ()

    def save_snapshot(self, name: str, payload: bytes, at_us: int) -> None:
        """Keep the newest payload under a name, in place of the one before."""
        packed = zlib.compress(payload, 1)
        self._database.execute(
            "INSERT INTO snapshot (name, at_us, checksum, payload) VALUES (?,?,?,?) "
            "ON CONFLICT (name) DO UPDATE SET at_us = excluded.at_us, checksum = excluded.checksum, payload = excluded.payload",
            (name, at_us, zlib.crc32(packed), packed),
        )

    def snapshot(self, name: str) -> tuple[bytes, int] | None:
        """The payload and when it was saved (microseconds, UTC), or None. Fast: the first paint waits for it."""
        rows = self._database.query("SELECT payload, at_us, checksum FROM snapshot WHERE name = ?", (name,))
        if not rows:
            return None
        packed, at_us, checksum = rows[0]
        unpacker = zlib.decompressobj()
        if zlib.crc32(packed) == checksum:
            payload = unpacker.decompress(packed, _MAX_SNAPSHOT_BYTES)
            if unpacker.eof:
                return payload, int(at_us)
        self._note_damage(f"snapshot {name}")
        return None

    def add(self, points: Sequence[tuple[str, LatencyPoint]]) -> None:
        """Store samples, each with its series' name, in one transaction."""
        try:
            with self._database.transaction():
                rows = [(self._id(name), *_row(point)) for name, point in points]
                self._database.execute_many(f"INSERT INTO sample (series, {_POINT}) VALUES (?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608 - constants
        except BaseException:
            # numbers given in a transaction that was rolled back are not in the table
            self._ids.clear()
            raise

    def compact(self, now_us: int, most: int = 8) -> int:
        """Move whole minutes that ended two minutes ago into chunks, for at most `most` series a call; answers how many series were moved.

        Called once a second it keeps up with hundreds of series and never holds the database for long.
        Loads numpy: after the first paint.
        """
        before = _minute(now_us - KEEP_ROWS_US)
        waiting = self._database.query("SELECT DISTINCT series FROM sample WHERE at_us < ? LIMIT ?", (before, most))
        for (series,) in waiting:
            with self._database.transaction():
                self._compact_series(series, before)
        return len(waiting)

    def _compact_series(self, series: int, before: int) -> None:
        sql = f"SELECT {_POINT} FROM sample WHERE series = ? AND at_us < ? ORDER BY at_us, id"  # noqa: S608 - constants only
        minutes: dict[int, list[LatencyPoint]] = defaultdict(list)
        for row in self._database.query(sql, (series, before)):
            minutes[_minute(row[0])].append(LatencyPoint(*row))
        for minute, fresh in minutes.items():
            points = sorted([*self._chunk(series, minute), *fresh], key=lambda p: p.at_us)
            payload, checksum = encode(points)
            self._database.execute(
                "INSERT OR REPLACE INTO chunk (series, minute_us, points, checksum, payload) VALUES (?,?,?,?,?)",
                (series, minute, len(points), checksum, payload),
            )
            whole = bucket_of(points)
            self._database.execute(
                f"INSERT OR REPLACE INTO rollup (series, minute_us, {_BUCKET}) VALUES ({','.join('?' * 18)})",  # noqa: S608 - constants only
                (series, minute, whole.first_us, whole.last_us, whole.points, whole.count, *whole.low, *whole.high),
            )
        self._database.execute("DELETE FROM sample WHERE series = ? AND at_us < ?", (series, before))

    def _chunk(self, series: int, minute: int) -> list[LatencyPoint]:
        """The points of a minute that was moved before: a late sample joins them."""
        rows = self._database.query("SELECT minute_us, checksum, payload FROM chunk WHERE series = ? AND minute_us = ?", (series, minute))
        return self._decoded(series, rows)

    def read(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> tuple[LatencyPoint, ...]:
        """Samples of a window, both ends included, oldest first: all of them where they fit.

        Otherwise two points for each piece of time, the first with the lowest values and the second with the highest, so that every
        extreme of the window survives; each carries half of the count. Loads numpy when chunks are read.
        """
        found = self._database.query("SELECT id FROM series WHERE name = ?", (series,))
        if not found or end_us < start_us:
            return ()
        number = int(found[0][0])
        sql = f"SELECT {_POINT} FROM sample WHERE series = ? AND at_us BETWEEN ? AND ? ORDER BY at_us, id"  # noqa: S608 - constants only
        rows = [LatencyPoint(*row) for row in self._database.query(sql, (number, start_us, end_us))]
        stored = self._stored_points(number, start_us, end_us)
        width = -(-(end_us - start_us + 1) // max(1, max_points // 2 - 1))
        if stored + len(rows) > max_points and width >= MINUTE_US:
            # an edge of a piece may then come from just outside of the window: it is moved onto its border
            width = -(-width // MINUTE_US) * MINUTE_US
            pieces = merged([*self._rollups(number, start_us, end_us), *buckets(rows, width)], width)
            return tuple(points_of(pieces, start_us, end_us))
        points = sorted([*self._chunked(number, start_us, end_us), *rows], key=lambda p: p.at_us)
        if len(points) <= max_points:
            return tuple(points)
        return tuple(points_of(buckets(points, width, start_us), start_us, end_us))

    def _stored_points(self, series: int, start_us: int, end_us: int) -> int:
        sql = "SELECT coalesce(sum(points), 0) FROM rollup WHERE series = ? AND minute_us BETWEEN ? AND ?"
        return int(self._database.query(sql, (series, _minute(start_us), end_us))[0][0])

    def _rollups(self, series: int, start_us: int, end_us: int) -> Iterable[Bucket]:
        sql = f"SELECT {_BUCKET} FROM rollup WHERE series = ? AND minute_us BETWEEN ? AND ? ORDER BY minute_us"  # noqa: S608 - constants only
        for row in self._database.query(sql, (series, _minute(start_us), end_us)):
            if row[1] >= start_us and row[0] <= end_us:
                yield Bucket(row[0], row[1], row[2], row[3], row[4:10], row[10:16])

    def _chunked(self, series: int, start_us: int, end_us: int) -> list[LatencyPoint]:
        sql = "SELECT minute_us, checksum, payload FROM chunk WHERE series = ? AND minute_us BETWEEN ? AND ? ORDER BY minute_us"
        rows = self._database.query(sql, (series, _minute(start_us), end_us))
        return [point for point in self._decoded(series, rows) if start_us <= point.at_us <= end_us]

    def _decoded(self, series: int, rows: Iterable[tuple[int, int, bytes]]) -> list[LatencyPoint]:
        points: list[LatencyPoint] = []
        for minute, checksum, payload in rows:
            found = decode(payload, checksum)
            if found is None:
                self._note_damage(f"series {series} at {minute}")
            else:
                points += found
        return points

    def series(self) -> tuple[str, ...]:
        """The names of all series, sorted."""
        return tuple(row[0] for row in self._database.query("SELECT name FROM series ORDER BY name"))

    def prune(self, older_than_us: int) -> None:
        """Delete samples before that moment (whole minutes where they are in chunks) and give the space back."""
        with self._database.transaction():
            self._database.execute("DELETE FROM sample WHERE at_us < ?", (older_than_us,))
            for table in ("chunk", "rollup"):
                self._database.execute(f"DELETE FROM {table} WHERE minute_us < ?", (_minute(older_than_us),))  # noqa: S608 - constants only
        self._database.query("PRAGMA incremental_vacuum(2000)")

    def _id(self, name: str) -> int:
        """The number of a series; called inside of a transaction."""
        known = self._ids.get(name)
        if known is not None:
            return known
        self._database.execute("INSERT OR IGNORE INTO series (name) VALUES (?)", (name,))
        number = int(self._database.query("SELECT id FROM series WHERE name = ?", (name,))[0][0])
        self._ids[name] = number
        return number

    def _note_damage(self, what: str) -> None:
        if what not in self.damaged:
            self.damaged = (*self.damaged, what)
            _LOG.warning("left out, its checksum is wrong: %s", what)


def _minute(at_us: int) -> int:
    return at_us // MINUTE_US * MINUTE_US


def _row(p: LatencyPoint) -> tuple[int | float | None, ...]:
    return (p.at_us, p.p50_ms, p.p90_ms, p.p99_ms, p.p999_ms, p.rate_per_s, p.error_ratio, p.count)
