"""Latency samples packed into chunks, and pieces of time with the extremes of what lies in them. numpy is imported on first use.

A table has eight rows: time in microseconds UTC, p50, p90, p99, p99.9 in ms, rate per second, error ratio, count; NaN is not known.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from cockpit.domain.metrics import LatencyPoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[np.float64]
    Indices = NDArray[np.int64]

MINUTE_US: Final = 60_000_000
ROWS: Final = 8
MAX_POINTS: Final = 1_000_000  # a minute holds some hundred; more in a header is damage or a trap
DENSE: Final = 120  # points a minute: with more, eleven bits of each value are kept (0.05 %), for the disk's sake
_EXACT, _ROUNDED = b"\x01", b"\x02"
_DROPPED_BITS = 23 - 10


class Pieces(Struct):
    """Pieces of time in order: first and last sample, how many, the sum of their counts, and the extremes of the six values.

    `low` and `high` have the shape (6, pieces); NaN where no sample had that value.
    """

    first_us: Table
    last_us: Table
    points: Table
    count: Table
    low: Table
    high: Table

    def __len__(self) -> int:
        return len(self.first_us)


def empty_table() -> Table:
    """No samples."""
    import numpy as np

    return np.empty((ROWS, 0))


def table_of(points: Sequence[LatencyPoint]) -> Table:
    """Samples as a table."""
    import numpy as np

    rows = [(0, p.p50_ms, p.p90_ms, p.p99_ms, p.p999_ms, p.rate_per_s, p.error_ratio, p.count) for p in points]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), ROWS).T
    # a time that no integer of 64 bits holds is a mistake that must be seen
    table[0] = np.array([p.at_us for p in points], dtype=np.int64)
    return table


def points_of(table: Table) -> tuple[LatencyPoint, ...]:
    """A table as samples."""
    at, p50, p90, p99, p999, rate, errors, count = table.tolist()
    return tuple(
        LatencyPoint(int(t), _known(a), _known(b), _known(c), _known(d), _known(r) or 0.0, _known(e), n)
        for t, a, b, c, d, r, e, n in zip(at, p50, p90, p99, p999, rate, errors, count, strict=True)
    )


def ordered(tables: Sequence[Table]) -> Table:
    """Tables of one series as one in order of time; the first of those with the same time counts."""
    import numpy as np

    table = np.concatenate(tables, axis=1) if len(tables) > 1 else tables[0]
    if (table[0, 1:] <= table[0, :-1]).any():
        table = table[:, np.argsort(table[0], kind="stable")]
        table = table[:, np.concatenate(([True], table[0, 1:] > table[0, :-1]))]
    return table


def pack(table: Table, rounded: bool | None = None) -> tuple[bytes, int]:
    """(payload, checksum) of a table in order of time. Lossless, unless it is dense or `rounded` says so; times always are."""
    import numpy as np
    import zstandard

    at = table[0].astype("<i8")
    at[1:] -= at[:-1].copy()
    if table.shape[1] > DENSE if rounded is None else rounded:
        payload = _ROUNDED + _packed(at, np.ascontiguousarray(table[1:]))
    else:
        rows = np.ascontiguousarray(np.concatenate((at.view("<f8")[None], table[1:])))
        # bytes of equal weight beside each other: neighbours differ in the low ones only, which is what the compressor lives on
        shuffled = rows.view(np.uint8).reshape(ROWS, -1, 8).transpose(0, 2, 1)
        payload = _EXACT + zstandard.ZstdCompressor(level=3).compress(shuffled.tobytes())
    return payload, zlib.crc32(payload)


def _packed(steps: Any, values: Table) -> bytes:
    """Rounded values, bytes of equal weight beside each other, each kind in a block of its own: noise spoils no code but its own."""
    import numpy as np
    import zstandard

    with np.errstate(over="ignore"):
        bits = values.astype("<f4").view("<u4")
    half, kept = np.uint32(1 << (_DROPPED_BITS - 1)), np.uint32(0xFFFFFFFF << _DROPPED_BITS & 0xFFFFFFFF)
    times = steps.view(np.uint8).reshape(-1, 8).T
    planes = ((bits + half) & kept).view(np.uint8).reshape(ROWS - 1, -1, 4).transpose(2, 0, 1)
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=times.size + planes.size)
    found = []
    for part in (times[:2], times[2:], *planes):
        found += [packer.compress(part.tobytes()), packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
    return b"".join((*found, packer.flush()))


def unpack(payload: bytes, checksum: int) -> Table | None:
    """The table of a chunk, or None where it is damaged."""
    import numpy as np
    import zstandard

    form = payload[:1]
    if zlib.crc32(payload) != checksum or form not in (_EXACT, _ROUNDED):
        return None
    width = 8 if form == _EXACT else 4
    each = 8 + (ROWS - 1) * width
    try:
        size = zstandard.frame_content_size(payload[1:])
        if not 0 <= size <= MAX_POINTS * each or size % each:
            return None
        raw = zstandard.ZstdDecompressor().decompress(payload[1:], max_output_size=size)
    except zstandard.ZstdError:
        return None
    count = size // each
    table = np.empty((ROWS, count))
    times, planes = np.frombuffer(raw, np.uint8, 8 * count), np.frombuffer(raw, np.uint8, offset=8 * count)
    table[0] = np.cumsum(np.ascontiguousarray(times.reshape(8, count).T).view("<i8"))
    if form == _EXACT:
        plain = planes.reshape(ROWS - 1, width, count).transpose(0, 2, 1)
    else:
        plain = planes.reshape(width, ROWS - 1, count).transpose(1, 2, 0)
    table[1:] = np.ascontiguousarray(plain).view(f"<f{width}").reshape(ROWS - 1, count)
    return table


def cut(table: Table, width_us: int, start_us: int = 0) -> Pieces:
    """A table in order of time, cut into pieces of `width_us` counted from `start_us`."""
    import numpy as np

    at, values = table[0], table[1:-1]
    starts = _starts((at.astype(np.int64) - start_us) // width_us)
    ends = np.append(starts[1:], len(at))
    if not len(at):
        return Pieces(at, at, at, at, values, values)
    low, high = np.fmin.reduceat(values, starts, axis=1), np.fmax.reduceat(values, starts, axis=1)
    return Pieces(at[starts], at[ends - 1], (ends - starts).astype(np.float64), np.add.reduceat(table[-1], starts), low, high)


def joined(parts: Sequence[Pieces], width_us: int, start_us: int = 0) -> Pieces:
    """Pieces joined into wider ones of `width_us` counted from `start_us`, in order of time."""
    import numpy as np

    first = np.concatenate([p.first_us for p in parts])
    order = np.argsort(first, kind="stable")
    first, last = first[order], np.concatenate([p.last_us for p in parts])[order]
    points, count = (np.concatenate(column)[order] for column in ([p.points for p in parts], [p.count for p in parts]))
    low, high = (np.concatenate(rows, axis=1)[:, order] for rows in ([p.low for p in parts], [p.high for p in parts]))
    if not len(first):
        return Pieces(first, last, points, count, low, high)
    starts = _starts((first.astype(np.int64) - start_us) // width_us)
    return Pieces(
        first[starts],
        np.maximum.reduceat(last, starts),
        np.add.reduceat(points, starts),
        np.add.reduceat(count, starts),
        np.fmin.reduceat(low, starts, axis=1),
        np.fmax.reduceat(high, starts, axis=1),
    )


def outline(pieces: Pieces, start_us: int, end_us: int) -> Table:
    """Two samples for each piece, the lowest values and then the highest, within the window; one where a piece is a single sample."""
    import numpy as np

    single = pieces.points == 1
    where = np.repeat(np.arange(len(pieces)), np.where(single, 1, 2))
    begins = np.concatenate(([True], where[1:] != where[:-1])) if len(where) else np.empty(0, bool)
    lows = begins & ~single[where]
    table = np.empty((ROWS, len(where)))
    at = np.where(begins, pieces.first_us[where], pieces.last_us[where])
    table[0] = np.clip(at, start_us, end_us)
    table[1:-1] = np.where(lows, pieces.low[:, where], pieces.high[:, where])
    table[-1] = pieces.count[where] / np.where(single[where], 1.0, 2.0)
    return table


def _starts(numbers: Indices) -> Indices:
    """Where another number begins."""
    import numpy as np

    return np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1]))) if len(numbers) else np.empty(0, np.int64)


def _known(value: float) -> float | None:
    return None if value != value else value
