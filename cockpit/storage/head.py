"""The small file beside the journal that holds its newest number and hash."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Final

from msgspec import Struct

_RECORD_BYTES: Final = 96


class Head(Struct, frozen=True):
    """The newest entry: number and hash. Number 0 is an empty journal."""

    seq: int
    hash: str


class HeadFile:
    """Two records of fixed length, written in turns and in place, each with a checksum: a torn write costs the newest one only.

    Written in place so that a full disk does not stand in the way. From any thread and process; OSErrors come through.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Head | None:
        """The newer of the sound records; None where the file is missing or holds none."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        found = [_parse(content[at : at + _RECORD_BYTES]) for at in (0, _RECORD_BYTES)]
        return max((head for head in found if head is not None), key=lambda head: head.seq, default=None)

    def write(self, head: Head) -> None:
        """Store it and wait for the disk. A record that is newer already stays: another process was faster."""
        present = self.read()
        if present is not None and present.seq >= head.seq:
            return
        body = f"{head.seq:020d} {head.hash} "
        record = f"{body}{zlib.crc32(body.encode('ascii')):08x}\n".encode("ascii").rjust(_RECORD_BYTES)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            os.lseek(descriptor, (head.seq % 2) * _RECORD_BYTES, os.SEEK_SET)
            os.write(descriptor, record)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parse(record: bytes) -> Head | None:
    try:
        seq, digest, checksum = record.decode("ascii").split()
        body = f"{seq} {digest} "
        return Head(int(seq), digest) if int(checksum, 16) == zlib.crc32(body.encode("ascii")) else None
    except ValueError:
        return None
