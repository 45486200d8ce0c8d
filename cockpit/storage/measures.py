"""What test runs and benchmark files measured, kept over versions."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from cockpit.domain.measures import Recorded
from cockpit.storage.database import Database

log = logging.getLogger(__name__)

KEEP_RUNS: Final = 1_000  # of each service; some kilobytes each
_MAX_BYTES: Final = 16 * 1024 * 1024
_COLUMNS: Final = "service, run, at_us, whole, checksum, payload"


class Measures:
    """Runs by service in the database. From any thread; each call is one short transaction. StorageError where the disk fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, every: Sequence[Recorded]) -> None:
        """Keep these in place of what was known of the same run; a run that is known whole is not replaced by a part of it."""
        rows = [(r.service, r.id, r.at_us, r.whole, *_packed(r)) for r in every]
        with self._database.transaction():
            self._database.execute_many(
                f"INSERT INTO measured ({_COLUMNS}) VALUES (?,?,?,?,?,?) ON CONFLICT (service, run) DO UPDATE SET "  # noqa: S608 - constants only
                "at_us = excluded.at_us, whole = excluded.whole, checksum = excluded.checksum, payload = excluded.payload "
                "WHERE excluded.whole >= measured.whole",
                rows,
            )
            for service in {r.service for r in every}:
                self._database.execute(
                    "DELETE FROM measured WHERE service = ? AND id NOT IN "
                    "(SELECT id FROM measured WHERE service = ? ORDER BY at_us DESC, id DESC LIMIT ?)",
                    (service, service, KEEP_RUNS),
                )

    def known(self, service: str) -> dict[str, bool]:
        """The ids of the runs that are kept, and whether each is whole."""
        rows = self._database.query("SELECT run, whole FROM measured WHERE service = ?", (service,))
        return {str(run): bool(whole) for run, whole in rows}

    def read(self, service: str, limit: int) -> tuple[Recorded, ...]:
        """The newest `limit` runs, oldest first; one that does not pass its checksum is left out."""
        sql = "SELECT run, checksum, payload FROM measured WHERE service = ? ORDER BY at_us DESC, id DESC LIMIT ?"
        found = []
        for run, checksum, payload in self._database.query(sql, (service, limit)):
            one = _unpacked(payload, checksum)
            if one is None:
                log.warning("left out, it is damaged: run %s of %s", run, service)
            else:
                found.append(one)
        return tuple(reversed(found))


def _packed(one: Recorded) -> tuple[int, bytes]:
    payload = zlib.compress(msgspec.msgpack.encode(one), 1)
    return zlib.crc32(payload), payload


def _unpacked(payload: bytes, checksum: int) -> Recorded | None:
    if zlib.crc32(payload) != checksum:
        return None
    unpacker = zlib.decompressobj()
    try:
        return msgspec.msgpack.decode(unpacker.decompress(payload, _MAX_BYTES), type=Recorded)
    except (zlib.error, msgspec.MsgspecError):
        return None
