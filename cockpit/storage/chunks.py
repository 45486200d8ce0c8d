"""Latency samples packed into chunks, and pieces of time with the extremes of what lies in them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from cockpit.domain.metrics import LatencyPoint

MINUTE_US: Final = 60_000_000
_MAX_POINTS: Final = 1_000_000  # a minute holds some hundred; more in a header is damage or a trap
_COLUMNS: Final = 8
_FORMAT: Final = b"\x01"

Values = tuple[float | None, ...]


class Bucket(Struct, frozen=True):
    """A piece of time: its first and last sample, how many, the sum of their counts, and the extremes of each value.

    `low` and `high` are p50, p90, p99, p99.9 in ms, rate per second and error ratio; None where no sample had that value.
    """

    first_us: int
    last_us: int
    points: int
    count: float
    low: Values
    high: Values


def encode(points: Sequence[LatencyPoint]) -> tuple[bytes, int]:
    """(payload, checksum) of samples in order of time, lossless. None is kept as NaN."""
    import numpy as np
    import zstandard

    at = np.array([p.at_us for p in points], dtype="<i8")
    values = np.array([(*_values(p), p.count) for p in points], dtype="<f8").reshape(len(points), _COLUMNS - 1)
    steps = np.diff(at, prepend=at.dtype.type(0))
    columns = np.concatenate([steps.view("<f8").reshape(-1, 1), values], axis=1)
    # bytes of equal weight beside each other: neighbours differ in the low ones only, which is what the compressor lives on
    shuffled = np.ascontiguousarray(columns.T).view(np.uint8).reshape(_COLUMNS, len(points), 8).transpose(0, 2, 1).tobytes()
    payload = _FORMAT + zstandard.ZstdCompressor(level=3).compress(shuffled)
    return payload, zlib.crc32(payload)


def decode(payload: bytes, checksum: int) -> list[LatencyPoint] | None:
    """The samples of a chunk, or None where it is damaged."""
    import numpy as np
    import zstandard

    if zlib.crc32(payload) != checksum or payload[:1] != _FORMAT:
        return None
    try:
        size = zstandard.frame_content_size(payload[1:])
        if not 0 <= size <= _MAX_POINTS * _COLUMNS * 8 or size % (_COLUMNS * 8):
            return None
        raw = zstandard.ZstdDecompressor().decompress(payload[1:], max_output_size=size)
    except zstandard.ZstdError:
        return None
    count = size // (_COLUMNS * 8)
    plain = np.frombuffer(raw, np.uint8).reshape(_COLUMNS, 8, count).transpose(0, 2, 1).tobytes()
    columns = np.frombuffer(plain, "<f8").reshape(_COLUMNS, count)
    at = np.cumsum(np.frombuffer(plain, "<i8")[:count]).tolist()
    p50, p90, p99, p999, rate, errors, counts = (column.tolist() for column in columns[1:])
    return [
        LatencyPoint(t, _known(a), _known(b), _known(c), _known(d), r, _known(e), n)
        for t, a, b, c, d, r, e, n in zip(at, p50, p90, p99, p999, rate, errors, counts, strict=True)
    ]


def bucket_of(points: Sequence[LatencyPoint]) -> Bucket:
    """The extremes of samples in order of time; at least one."""
    columns = list(zip(*(_values(p) for p in points), strict=True))
    low = tuple(_least(column) for column in columns)
    high = tuple(_most(column) for column in columns)
    return Bucket(points[0].at_us, points[-1].at_us, len(points), sum(p.count for p in points), low, high)


def buckets(points: Iterable[LatencyPoint], width_us: int, start_us: int = 0) -> list[Bucket]:
    """Samples in order of time, cut into pieces of `width_us` counted from `start_us`."""
    pieces: list[list[LatencyPoint]] = []
    at: int | None = None
    for point in points:
        number = (point.at_us - start_us) // width_us
        if number != at:
            pieces.append([])
            at = number
        pieces[-1].append(point)
    return [bucket_of(piece) for piece in pieces]


def merged(parts: Iterable[Bucket], width_us: int) -> list[Bucket]:
    """Pieces joined into wider ones of `width_us`, in order of time."""
    joined: dict[int, Bucket] = {}
    for part in sorted(parts, key=lambda p: p.first_us):
        number = part.first_us // width_us
        before = joined.get(number)
        joined[number] = part if before is None else _join(before, part)
    return list(joined.values())


def points_of(pieces: Iterable[Bucket], start_us: int, end_us: int) -> Iterable[LatencyPoint]:
    """Two points for each piece, the lowest values and then the highest, within the window; one where a piece is a single sample."""
    for piece in pieces:
        first, last = max(piece.first_us, start_us), min(piece.last_us, end_us)
        if piece.points == 1:
            yield _point(first, piece.high, piece.count)
        else:
            yield _point(first, piece.low, piece.count / 2)
            yield _point(last, piece.high, piece.count / 2)


def _point(at_us: int, values: Values, count: float) -> LatencyPoint:
    p50, p90, p99, p999, rate, errors = values
    return LatencyPoint(at_us, p50, p90, p99, p999, rate or 0.0, errors, count)


def _join(a: Bucket, b: Bucket) -> Bucket:
    low = tuple(_least(pair) for pair in zip(a.low, b.low, strict=True))
    high = tuple(_most(pair) for pair in zip(a.high, b.high, strict=True))
    return Bucket(min(a.first_us, b.first_us), max(a.last_us, b.last_us), a.points + b.points, a.count + b.count, low, high)


def _values(p: LatencyPoint) -> Values:
    return (p.p50_ms, p.p90_ms, p.p99_ms, p.p999_ms, p.rate_per_s, p.error_ratio)


def _least(values: Iterable[float | None]) -> float | None:
    return min((v for v in values if v is not None), default=None)


def _most(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
