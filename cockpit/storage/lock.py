"""One window owns a data directory; the others read."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path


class DataLock:
    """The right to write below a data directory, held by one process at a time; the system takes it back when the process dies.

    Never blocks. After `acquire()` answered False, `why` says in words who holds it or why it cannot be had.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._holder_file = data / "cockpit.holder"
        self._lock: int | None = None
        self.why = ""

    @property
    def held(self) -> bool:
        return self._lock is not None

    @property
    def holder_pid(self) -> int | None:
        """The process that took the lock last, or None where that is not known."""
        try:
            return int(self._holder_file.read_text("ascii").strip())
        except (OSError, ValueError):
            return None

    def acquire(self) -> bool:
        """True when this process owns the directory now; asking again while it does is harmless."""
        if self._lock is not None:
            return True
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            lock = _locked(self._data / "cockpit.lock")
        except OSError as error:
            self.why = f"{self._data} cannot be written: {error.strerror or error}"
            return False
        if lock is None:
            pid = self.holder_pid
            self.why = f"another window (process {pid}) uses {self._data}" if pid else f"another window uses {self._data}"
            return False
        self._lock = lock
        self.why = ""
        with suppress(OSError):
            self._holder_file.write_text(f"{os.getpid()}\n", "ascii")
        return True

    def release(self) -> None:
        """Give it back; harmless when it is not held."""
        if self._lock is not None:
            with suppress(OSError):
                self._holder_file.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int | None:
    """An open file that this process alone has locked, or None while another one has.

    Not the package filelock: importing it takes longer than opening the database, and the first paint waits for both.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return None
        raise
    return descriptor
