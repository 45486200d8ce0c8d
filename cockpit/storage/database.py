"""The SQLite database beside the window: opened, migrated, guarded. The only home of `sqlite3`."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cockpit.domain.errors import StorageError
from cockpit.storage.lock import DataLock
from cockpit.storage.migrations import MIGRATIONS

__all__ = ["JOURNAL_HEAD", "DataLock", "Database", "Row", "open_database", "translate"]

Row = tuple[Any, ...]

JOURNAL_HEAD: Final = "journal.head"
BUSY_TIMEOUT_S: Final = 5.0
# a full check reads every page: fine for a young file before the first paint, too slow for one of a year
QUICK_CHECK_BYTES: Final = 16 * 1024 * 1024
_PAGE_BYTES: Final = 16 * 1024


class Database:
    """One SQLite connection that threads share through a lock; transactions are short, so nobody waits for long.

    `notes` says in words what opening had to do (a corrupt file set aside, a backup made). All errors are StorageErrors.
    Durable: WAL with synchronous=FULL, each transaction is on the disk when it returns. Use `open_database` to make one.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, read_only: bool, notes: tuple[str, ...] = ()) -> None:
        self.path = path
        self.read_only = read_only
        self.notes = notes
        self._connection = connection
        self._immutable = read_only and not _beside(path, "-wal").exists()
        self._lock = threading.RLock()
        self._closed = False

    def query(self, sql: str, arguments: Sequence[object] = ()) -> list[Row]:
        """All rows of a reading statement."""
        with self._lock, self._translated():
            self._follow_the_writer()
            return self._connection.execute(sql, tuple(arguments)).fetchall()

    def execute(self, sql: str, arguments: Sequence[object] = ()) -> int:
        """Run one changing statement in its own transaction, or in the one that is open in this thread; answers the rows changed."""
        with self.transaction():
            return self._connection.execute(sql, tuple(arguments)).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """One changing statement for many rows, in one transaction."""
        with self.transaction():
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside happens or nothing does. Takes the write lock at once, so several processes queue up and never deadlock.

        Nested use joins the outer transaction. Another process that writes is waited for up to BUSY_TIMEOUT_S seconds.
        """
        with self._lock, self._translated():
            if self.read_only:
                raise StorageError("The database is opened for reading only.", hint="Use the window that owns this data directory.")
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # after SQLITE_FULL and its like SQLite has rolled back by itself, and a second ROLLBACK would hide the first error
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def check(self) -> tuple[str, ...]:
        """Problems SQLite finds in the whole file; empty when it is sound. Reads every page: call it in a worker thread."""
        with self._lock, self._translated():
            return _quick_check(self._connection)

    def close(self) -> None:
        """Close the connection; closing twice changes nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()

    def _follow_the_writer(self) -> None:
        """A file opened as immutable is re-opened once a writer has come: its log now holds what is new."""
        if self._immutable and _beside(self.path, "-wal").exists():
            self._connection.close()
            self._connection = _connect(self.path, read_only=True)
            self._immutable = False

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._closed:
                raise StorageError("The database is closed already.") from error
            if _is_corruption(error) and not self.read_only:
                with suppress(OSError):
                    _beside(self.path, ".check").touch()
            raise translate(error, self.path) from error


def open_database(path: Path, *, read_only: bool = False, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Database:
    """Open the database, making it and its directory where they are missing, and bring it to the newest layout.

    A corrupt file is set aside under a new name, never deleted, and a new one made: `Database.notes` says so. A database of a newer
    program is refused. With `read_only` nothing at all is written, for a second window or a review of old data; a missing or older
    database is refused then. Blocks for some milliseconds; to be closed by the caller.
    """
    if read_only:
        return _open_for_reading(path)
    notes: list[str] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _open_or_set_aside(path, notes, now())
    except OSError as error:
        raise StorageError(
            f"The data directory {path.parent} cannot be used: {error.strerror or error}.", hint="Choose another one with --data-dir."
        ) from error
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        _migrate(connection, path, notes, now())
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    except BaseException:
        connection.close()
        raise
    return Database(path, connection, False, tuple(notes))


def _open_for_reading(path: Path) -> Database:
    if not path.is_file():
        raise StorageError(f"There is no database at {path}.", hint="Check --data-dir, or open the window once to make it.")
    try:
        connection = _connect(path, read_only=True)
        try:
            found = _version(connection)
            _refuse_newer(found, path)
            if found < len(MIGRATIONS):
                raise StorageError(
                    "The database is of an older layout.", hint="Open it once with a window that may write, to bring it up to date."
                )
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise translate(error, path) from error
    return Database(path, connection, True)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    if read_only:
        # without a log beside it the file is complete; "immutable" then keeps SQLite from making one in the directory
        uri += "?mode=ro" if _beside(path, "-wal").exists() else "?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        if not read_only:
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _open_or_set_aside(path: Path, notes: list[str], now: datetime) -> sqlite3.Connection:
    doubtful = _beside(path, ".check")
    try:
        connection = _connect(path, read_only=False)
        try:
            problems: tuple[str, ...] = ()
            if doubtful.exists() or path.stat().st_size <= QUICK_CHECK_BYTES:
                problems = _quick_check(connection)
        except BaseException:
            connection.close()
            raise
        if not problems:
            doubtful.unlink(missing_ok=True)
            return connection
        connection.close()
        reason = problems[0]
    except sqlite3.DatabaseError as error:
        if not _is_corruption(error):
            raise
        reason = str(error)
    kept = _set_aside(path, now)
    notes.append(
        f"The database was damaged ({reason}). It is kept, with its journal, as {kept}; a new and empty one is in use. "
        f"What was recorded before stands in the old file only."
    )
    return _connect(path, read_only=False)


def _quick_check(connection: sqlite3.Connection) -> tuple[str, ...]:
    try:
        answers = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
    except sqlite3.DatabaseError as error:
        if not _is_corruption(error):
            raise
        return (str(error),)
    return tuple(answer for answer in answers if answer != "ok")


def _set_aside(path: Path, now: datetime) -> Path:
    """Move the file and all that belongs to it to a free name; answers the new name."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    kept, number = _beside(path, f".corrupt-{stamp}"), 1
    while kept.exists():
        number += 1
        kept = _beside(path, f".corrupt-{stamp}-{number}")
    head = path.with_name(JOURNAL_HEAD)
    if head.exists():
        head.rename(_beside(kept, f"-{JOURNAL_HEAD}"))
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(kept, suffix))
    path.rename(kept)
    _beside(path, ".check").unlink(missing_ok=True)
    return kept


def _migrate(connection: sqlite3.Connection, path: Path, notes: list[str], now: datetime) -> None:
    found = _version(connection)
    _refuse_newer(found, path)
    if found == len(MIGRATIONS):
        return
    if found > 0:
        backup = _beside(path, f".before-{found + 1}-{now.strftime('%Y%m%dT%H%M%SZ')}")
        target = sqlite3.connect(backup)
        try:
            connection.backup(target)
        finally:
            target.close()
        notes.append(f"The database was brought to a newer layout; the one before is kept as {backup}.")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # asked again under the lock: another process may have migrated meanwhile
        for number in range(_version(connection), len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(found: int, path: Path) -> None:
    if found > len(MIGRATIONS):
        raise StorageError(
            f"{path.name} has layout {found}, this program knows up to {len(MIGRATIONS)}: a newer release cockpit wrote it.",
            hint="Use the newer program, or another --data-dir. Nothing was changed.",
        )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_corruption(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def translate(error: sqlite3.Error, path: Path) -> StorageError:
    """The words for a SQLite error: what happened to which file, and the way out."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            "The disk is full: nothing was written.", hint=f"Free some space below {path.parent}{_free_space(path)}, then try again."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageError(
            f"{path} cannot be written.", hint="Check the rights of the data directory, or choose another one with --data-dir."
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StorageError(
            f"{path} cannot be opened.", hint="Check that the data directory exists and may be written, or choose another with --data-dir."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(
            "Another process holds the database.", hint="Try again in a moment; close other windows on the same data directory."
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in str(error):
        return StorageError(
            f"{path} is damaged: {error}.", hint="Start again: it is checked then, set aside if need be, and never deleted."
        )
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(f"The disk failed while {path.name} was used: {error}.", hint="Check the disk and the system's log.")
    return StorageError(f"The database refused: {error}.", hint="This is a fault of the program; please report it.")


def _free_space(path: Path) -> str:
    try:
        status = os.statvfs(path.parent)
    except (OSError, AttributeError):
        return ""
    return f" ({status.f_bavail * status.f_frsize // 1_000_000} MB are free now)"
