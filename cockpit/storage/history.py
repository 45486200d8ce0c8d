"""What was last known, and latency over time: the window opens with yesterday's data and its age."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from cockpit.domain.metrics import LatencyPoint
from cockpit.storage import chunks
from cockpit.storage.chunks import MINUTE_US
from cockpit.storage.database import Database

if TYPE_CHECKING:
    from array import array

    from cockpit.storage.chunks import Pieces, Table

_LOG = logging.getLogger(__name__)

KEEP_ROWS_US: Final = 2 * MINUTE_US
MOST_BYTES: Final = 16 * 1024**3  # beyond this the oldest samples leave; their extremes a minute stay
_LONG_US: Final = MINUTE_US // 2  # so much of one minute goes into its chunk at once, less waits for the rest
_BLOCK_POINTS: Final = 200_000
_BLOCKS_A_TURN: Final = 16
_WRITES_A_TURN: Final = 64  # who else uses the database waits no longer than these take
_POINT: Final = "at_us, p50_ms, p90_ms, p99_ms, p999_ms, rate_per_s, error_ratio, count"
_SIDES: Final = ", ".join(
    f"{n}_{side}" for side in ("low", "high") for n in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "rate_per_s", "error_ratio")
)
_BUCKET: Final = f"first_us, last_us, points, count, {_SIDES}"
# a snapshot is the window's own summary; more than this in one is damage or a trap
_MAX_SNAPSHOT_BYTES: Final = 256 * 1024 * 1024


class History:
    """Snapshots by name, and latency samples by series name, in the database. From any thread; each call is a few short transactions.

    Fresh samples wait in blocks of all series, one for each `save`; `compact` moves whole minutes into checksummed, compressed chunks, one
    a series and minute, with a rollup of the extremes beside each. What does not pass its checksum is left out and named in `damaged`,
    never shown. A sample that is saved twice counts once. Everything but snapshots loads numpy: after the first paint.
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
        """As `save`, sample by sample, in any order."""
        by_name: dict[str, list[LatencyPoint]] = {}
        for name, point in points:
            by_name.setdefault(name, []).append(point)
        self._keep([(name, chunks.table_of(sorted(found, key=lambda p: p.at_us))) for name, found in by_name.items()])

    def save(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None:
        """Store samples of some series, each as eight columns in order of time (see `chunks`), in one transaction for what is short."""
        import numpy as np

        self._keep([(name, np.array(columns, dtype=np.float64)) for name, columns in parts])

    def _keep(self, parts: Sequence[tuple[str, Table]]) -> None:
        """What makes up most of a minute becomes a chunk at once; the rest waits in blocks."""
        waiting: list[tuple[str, Table]] = []
        whole: list[tuple[str, int, Table]] = []
        for name, table in parts:
            short: list[Table] = []
            for minute, piece in _minutes(table):
                if piece[0, -1] - piece[0, 0] >= _LONG_US:
                    whole.append((name, minute, piece))
                else:
                    short.append(piece)
            if short:
                waiting.append((name, chunks.ordered(short)))
        try:
            with self._database.transaction():
                numbers = {name: self._id(name) for name, _ in parts}
                self._insert_blocks([(numbers[name], table) for name, table in waiting])
        except BaseException:
            # numbers given in a transaction that was rolled back are not in the table
            self._ids.clear()
            raise
        self._write_minutes([(numbers[name], minute, table) for name, minute, table in whole])

    def _insert_blocks(self, parts: Sequence[tuple[int, Table]]) -> None:
        import numpy as np

        block: list[tuple[int, Table]] = []
        for position, part in enumerate(parts, 1):
            block.append(part)
            if position < len(parts) and sum(table.shape[1] for _, table in block) < _BLOCK_POINTS:
                continue
            header = msgspec.msgpack.encode([[number, table.shape[1]] for number, table in block])
            together = np.concatenate([table for _, table in block], axis=1)
            payload = len(header).to_bytes(4, "big") + header + chunks.pack(together, rounded=False)[0]
            at = together[0]
            sql = "INSERT INTO block (first_us, last_us, checksum, payload) VALUES (?,?,?,?)"
            self._database.execute(sql, (int(at.min()), int(at.max()), zlib.crc32(payload), payload))
            block = []

    def _blocks(self, where: str, arguments: Sequence[int], only: int = 0) -> Iterator[tuple[int, list[tuple[int, Table]]]]:
        """Waiting blocks with their samples by series, of one series where `only` names it."""
        for number, checksum, payload in self._database.query(f"SELECT id, checksum, payload FROM block {where}", arguments):  # noqa: S608
            found = self._opened(payload, checksum)
            if found is None:
                self._note_damage(f"samples of block {number}")
            yield number, [part for part in found or () if only in (0, part[0])]

    @staticmethod
    def _opened(payload: bytes, checksum: int) -> list[tuple[int, Table]] | None:
        import numpy as np

        size = 4 + int.from_bytes(payload[:4], "big")
        if zlib.crc32(payload) != checksum:
            return None
        try:
            header = msgspec.msgpack.decode(payload[4:size], type=list[tuple[int, int]])
        except msgspec.DecodeError:
            return None
        table = chunks.unpack(payload[size:], zlib.crc32(payload[size:]))
        if table is None or table.shape[1] != sum(count for _, count in header):
            return None
        borders = np.cumsum([count for _, count in header])[:-1]
        return [(number, part) for (number, _), part in zip(header, np.split(table, borders, axis=1), strict=True)]

    def compact(self, now_us: int, most: int = 8) -> int:
        """Move whole minutes that ended two minutes ago into chunks; answers how many blocks and series were moved, 0 when all is done.

        Rows are of earlier layouts, at most `most` series of them a call.
        """
        before = _minute(now_us - KEEP_ROWS_US)
        moved = self._compact_blocks(before)
        waiting = self._database.query("SELECT DISTINCT series FROM sample WHERE at_us < ? LIMIT ?", (before, most))
        for (series,) in waiting:
            table = self._rows(series, 0, before - 1)
            self._write_minutes([(series, minute, piece) for minute, piece in _minutes(table)])
            self._database.execute("DELETE FROM sample WHERE series = ? AND at_us < ?", (series, before))
        return moved + len(waiting)

    def _compact_blocks(self, before: int) -> int:
        by_series: dict[int, list[Table]] = {}
        done: list[int] = []
        for block, parts in self._blocks("WHERE first_us < ? ORDER BY first_us LIMIT ?", (before, _BLOCKS_A_TURN)):
            done.append(block)
            for number, table in parts:
                by_series.setdefault(number, []).append(table)
        whole: list[tuple[int, int, Table]] = []
        late: list[tuple[int, Table]] = []
        for number, tables in by_series.items():
            table = chunks.ordered(tables)
            upto = int((table[0] < before).sum())
            whole += [(number, minute, piece) for minute, piece in _minutes(table[:, :upto])]
            if upto < table.shape[1]:
                late.append((number, table[:, upto:]))
        self._write_minutes(whole)
        with self._database.transaction():
            # only now: what is both in a chunk and in a block after a crash counts once
            self._insert_blocks(late)
            self._database.execute_many("DELETE FROM block WHERE id = ?", [(number,) for number in done])
        return len(done)

    def _write_minutes(self, minutes: Sequence[tuple[int, int, Table]]) -> None:
        """Chunks and rollups of some minutes, joined with what is there already; packed outside of any transaction."""
        import numpy as np

        for first in range(0, len(minutes), _WRITES_A_TURN):
            packed, rollups = [], []
            for series, minute, fresh in minutes[first : first + _WRITES_A_TURN]:
                table = chunks.ordered([*self._chunk_tables(series, minute, minute), fresh])
                payload, checksum = chunks.pack(table)
                packed.append((series, minute, table.shape[1], checksum, payload))
                sides = (*np.fmin.reduce(table[1:-1], axis=1).tolist(), *np.fmax.reduce(table[1:-1], axis=1).tolist())
                rollups.append((series, minute, int(table[0, 0]), int(table[0, -1]), table.shape[1], float(table[-1].sum()), *sides))
            with self._database.transaction():
                self._database.execute_many(
                    "INSERT OR REPLACE INTO chunk (series, minute_us, points, checksum, payload) VALUES (?,?,?,?,?)", packed
                )
                self._database.execute_many(
                    f"INSERT OR REPLACE INTO rollup (series, minute_us, {_BUCKET}) VALUES ({','.join('?' * 18)})",  # noqa: S608 - constants only
                    rollups,
                )

    def read(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> tuple[LatencyPoint, ...]:
        """As `load`, one by one."""
        return chunks.points_of(self.load(series, start_us, end_us, max_points))

    def load(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> Table:
        """Samples of a window as a table (see `chunks`), both ends included, oldest first: all of them where they fit.

        Otherwise two for each piece of time, the first with the lowest values and the second with the highest, so that every
        extreme of the window survives; each carries half of the count. So it is too where only the extremes of a minute are left.
        """
        found = self._database.query("SELECT id FROM series WHERE name = ?", (series,))
        if not found or end_us < start_us:
            return chunks.empty_table()
        number = int(found[0][0])
        fresh = chunks.ordered([self._rows(number, start_us, end_us), *self._waiting(number, start_us, end_us)])
        stored = self._stored_points(number, start_us, end_us)
        width = -(-(end_us - start_us + 1) // max(1, max_points // 2 - 1))
        if stored + fresh.shape[1] > max_points and width >= MINUTE_US:
            # an edge of a piece may then come from just outside of the window: it is moved onto its border
            width = -(-width // MINUTE_US) * MINUTE_US
            pieces = chunks.joined([self._rollups(number, start_us, end_us), chunks.cut(fresh, width)], width)
            return chunks.outline(pieces, start_us, end_us)
        bare = chunks.outline(self._rollups(number, start_us, end_us, bare=True), start_us, end_us)
        if stored + fresh.shape[1] + bare.shape[1] <= max_points:
            return chunks.ordered([*self._chunked(number, start_us, end_us), fresh, bare])
        # chunk by chunk: all samples of half a day at once would take a tenth of the memory there is
        parts = [chunks.cut(table, width, start_us) for table in chain(self._chunked(number, start_us, end_us), (fresh, bare))]
        pieces = chunks.joined(parts, width, start_us)
        return chunks.outline(pieces, start_us, end_us)

    def _rows(self, series: int, start_us: int, end_us: int) -> Table:
        """Samples of an earlier layout."""
        import numpy as np

        sql = f"SELECT {_POINT} FROM sample WHERE series = ? AND at_us BETWEEN ? AND ? ORDER BY at_us, id"  # noqa: S608 - constants only
        rows = self._database.query(sql, (series, start_us, end_us))
        return np.array(rows, dtype=np.float64).reshape(len(rows), chunks.ROWS).T

    def _waiting(self, series: int, start_us: int, end_us: int) -> list[Table]:
        """What waits in blocks of a series within a window."""
        found = self._blocks("WHERE last_us >= ? AND first_us <= ? ORDER BY first_us", (start_us, end_us), series)
        return [_within(table, start_us, end_us) for _, parts in found for _, table in parts]

    def _stored_points(self, series: int, start_us: int, end_us: int) -> int:
        sql = "SELECT coalesce(sum(points), 0) FROM rollup WHERE series = ? AND minute_us BETWEEN ? AND ?"
        return int(self._database.query(sql, (series, _minute(start_us), end_us))[0][0])

    def _rollups(self, series: int, start_us: int, end_us: int, bare: bool = False) -> Pieces:
        """The extremes of minutes that touch a window; `bare`: of those only whose samples are gone."""
        import numpy as np

        gone = "AND NOT EXISTS (SELECT 1 FROM chunk c WHERE c.series = rollup.series AND c.minute_us = rollup.minute_us)" if bare else ""
        sql = f"SELECT {_BUCKET} FROM rollup WHERE series = ? AND minute_us BETWEEN ? AND ? {gone} ORDER BY minute_us"  # noqa: S608
        rows = self._database.query(sql, (series, _minute(start_us), end_us))
        rows = [row for row in rows if row[1] >= start_us and row[0] <= end_us]
        table = np.array(rows, dtype=np.float64).reshape(len(rows), 16).T
        return chunks.Pieces(table[0], table[1], table[2], table[3], table[4:10], table[10:])

    def _chunked(self, series: int, start_us: int, end_us: int) -> Iterator[Table]:
        return (_within(table, start_us, end_us) for table in self._chunk_tables(series, _minute(start_us), end_us))

    def _chunk_tables(self, series: int, first_minute: int, last_minute: int) -> Iterator[Table]:
        sql = "SELECT minute_us, checksum, payload FROM chunk WHERE series = ? AND minute_us BETWEEN ? AND ? ORDER BY minute_us"
        for minute, checksum, payload in self._database.query(sql, (series, first_minute, last_minute)):
            found = chunks.unpack(payload, checksum)
            if found is None:
                self._note_damage(f"series {series} at {minute}")
            else:
                yield found

    def series(self) -> tuple[str, ...]:
        """The names of all series, sorted."""
        return tuple(row[0] for row in self._database.query("SELECT name FROM series ORDER BY name"))

    def prune(self, older_than_us: int, most_bytes: int = MOST_BYTES) -> None:
        """Delete samples before that moment (whole minutes where they are in chunks) and give the space back.

        Where the database is larger than `most_bytes`, the oldest hour of samples leaves besides; its extremes stay.
        """
        numbers = [row[0] for row in self._database.query("SELECT id FROM series")]
        with self._database.transaction():
            self._database.execute("DELETE FROM sample WHERE at_us < ?", (older_than_us,))
            self._database.execute("DELETE FROM block WHERE last_us < ?", (older_than_us,))
            for table in ("chunk", "rollup"):
                self._delete(table, numbers, _minute(older_than_us))
            oldest = self._oldest(numbers) if self._used_bytes() > most_bytes else None
            if oldest is not None:
                self._delete("chunk", numbers, oldest + 60 * MINUTE_US)
        self._database.query("PRAGMA incremental_vacuum(2000)")

    def _delete(self, table: str, numbers: Iterable[int], before: int) -> None:
        # series by series: without one the index does not help, and every page of every chunk would be read
        sql = f"DELETE FROM {table} WHERE series = ? AND minute_us < ?"  # noqa: S608 - constants only
        self._database.execute_many(sql, [(number, before) for number in numbers])

    def _used_bytes(self) -> int:
        pages, free, size = (self._database.query(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size"))
        return int((pages - free) * size)

    def _oldest(self, numbers: Iterable[int]) -> int | None:
        sql = "SELECT min(minute_us) FROM chunk WHERE series = ?"
        found = [self._database.query(sql, (number,))[0][0] for number in numbers]
        return min((int(minute) for minute in found if minute is not None), default=None)

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


def _minutes(table: Table) -> Iterator[tuple[int, Table]]:
    """A table in order of time, minute by minute."""
    import numpy as np

    numbers = table[0].astype(np.int64) // MINUTE_US
    borders = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    for piece in np.split(table, borders, axis=1):
        if piece.shape[1]:
            yield int(piece[0, 0]) // MINUTE_US * MINUTE_US, piece


def _within(table: Table, start_us: int, end_us: int) -> Table:
    import numpy as np

    first, last = np.searchsorted(table[0], [start_us, end_us + 1])
    return table[:, first:last]
