"""All samples of a latency as counts in buckets, a minute a row: what the heat maps show of the time before the window was opened."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cockpit.storage.database import Database

    Counts = NDArray[np.uint32]

_LOG = logging.getLogger(__name__)

_LONGEST_US: Final = 60_000_000  # of what one row counts


class HeatRow(Struct):
    """What was counted from `since_us` to `last_us` in each bucket up to `bounds_s`; `first_us` is its first moment. Microseconds UTC."""

    first_us: int
    since_us: int
    last_us: int
    bounds_s: tuple[float, ...]
    counts: Counts


class HeatHistory:
    """Rows by series in the database; from any thread, each call one short transaction. numpy is imported on first use.

    A row that is saved again from the same first moment on takes the place of the one before, so nothing counts twice. What does not pass
    its checksum is left out and logged, never shown.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, rows: Sequence[tuple[str, HeatRow]]) -> None:
        """Keep these, in one transaction; what was kept of the same time leaves: a clock was set back."""
        packed = [(name, row, *_pack(row)) for name, row in rows]
        with self._database.transaction():
            bounds = {row.bounds_s: self._bounds_id(row.bounds_s) for _, row in rows}
            series = {name: self._series_id(name) for name in {name for name, _ in rows}}
            self._database.execute_many(
                "DELETE FROM heat WHERE series = ? AND first_us BETWEEN ? AND ? AND last_us >= ?",
                [(series[name], row.first_us - _LONGEST_US, row.last_us, row.first_us) for name, row in rows],
            )
            self._database.execute_many(
                "INSERT OR REPLACE INTO heat (series, first_us, since_us, last_us, bounds, checksum, payload) VALUES (?,?,?,?,?,?,?)",
                [
                    (series[name], row.first_us, row.since_us, row.last_us, bounds[row.bounds_s], checksum, payload)
                    for name, row, checksum, payload in packed
                ],
            )

    def load(self, series: str, start_us: int, end_us: int) -> list[HeatRow]:
        """Rows of a series that lie within a window, in order of time, none of the same time as another."""
        sql = """SELECT first_us, since_us, last_us, checksum, heat.payload, heat_bounds.payload FROM heat
            JOIN series ON series.id = heat.series JOIN heat_bounds ON heat_bounds.id = heat.bounds
            WHERE series.name = ? AND first_us BETWEEN ? AND ? ORDER BY first_us"""
        found: list[HeatRow] = []
        damaged = 0
        for first, since, last, checksum, payload, bounds in self._database.query(sql, (series, start_us, end_us)):
            row = _row((first, since, last), checksum, payload, bounds)
            damaged += row is None
            if row is not None and row.last_us <= end_us and (not found or row.first_us > found[-1].last_us):
                found.append(row)
        if damaged:
            _LOG.warning("left out, their checksum is wrong: %d minutes of the samples of %s", damaged, series)
        return found

    def prune(self, older_than_us: int) -> None:
        """Delete what began before that moment."""
        numbers = self._database.query("SELECT id FROM series")
        # series by series: without one the index does not help
        self._database.execute_many("DELETE FROM heat WHERE series = ? AND first_us < ?", [(n, older_than_us) for (n,) in numbers])

    def _bounds_id(self, bounds_s: tuple[float, ...]) -> int:
        payload = _packed(bounds_s)
        self._database.execute("INSERT OR IGNORE INTO heat_bounds (payload) VALUES (?)", (payload,))
        return int(self._database.query("SELECT id FROM heat_bounds WHERE payload = ?", (payload,))[0][0])

    def _series_id(self, name: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO series (name) VALUES (?)", (name,))
        return int(self._database.query("SELECT id FROM series WHERE name = ?", (name,))[0][0])


def _packed(bounds_s: tuple[float, ...]) -> bytes:
    return struct.pack(f"<{len(bounds_s)}d", *bounds_s)


def _pack(row: HeatRow) -> tuple[int, bytes]:
    payload = zlib.compress(row.counts.astype("<u4").tobytes(), 1)
    return _checksum(row, _packed(row.bounds_s), payload), payload


def _checksum(row: HeatRow, bounds: bytes, payload: bytes) -> int:
    return zlib.crc32(payload + bounds, zlib.crc32(f"{row.first_us} {row.since_us} {row.last_us}".encode()))


def _row(times: tuple[int, int, int], checksum: int, payload: bytes, bounds: bytes) -> HeatRow | None:
    import numpy as np

    row = HeatRow(*times, (), np.empty(0, np.uint32))
    if _checksum(row, bounds, payload) != checksum:
        return None
    row.bounds_s = tuple(np.frombuffer(bounds, "<f8").tolist())
    unpacker = zlib.decompressobj()
    size = 4 * len(row.bounds_s)
    raw = unpacker.decompress(payload, size + 1)
    if len(raw) != size:
        return None
    row.counts = np.frombuffer(raw, "<u4").astype(np.uint32)
    return row
