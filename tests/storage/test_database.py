"""The database: damage, full disks, read-only places and other writers, then the ordinary day."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock  # loaded before a test gives up the right to read it
import pytest

from cockpit.domain.errors import StorageError
from cockpit.storage import database as module
from cockpit.storage.database import Database, open_database
from cockpit.storage.lock import DataLock
from cockpit.storage.migrations import MIGRATIONS

MOMENT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cockpit.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that an unprivileged user reaches."""
    root = Path(tempfile.mkdtemp(prefix="cockpit-test-"))
    root.chmod(0o755)
    yield root
    for directory in [root, *(p for p in root.rglob("*") if p.is_dir())]:
        directory.chmod(0o755)
    shutil.rmtree(root)


@pytest.fixture
def unprivileged() -> Iterator[Callable[[], None]]:
    """Gives up the rights of root, for which no file is read-only, until the test ends."""
    root = os.geteuid() == 0
    yield lambda: os.seteuid(65534) if root else None
    if root:
        os.seteuid(0)


def add_series(database: Database, name: str) -> None:
    database.execute("INSERT INTO series (name) VALUES (?)", (name,))


def names(database: Database) -> list[str]:
    return [row[0] for row in database.query("SELECT name FROM series ORDER BY name")]


def test_a_file_that_is_no_database_is_set_aside_and_kept(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this was never a database" * 1000)
    path.with_name("journal.head").write_text("old head", "ascii")
    database = open_database(path, now=lambda: MOMENT)
    add_series(database, "new")
    database.close()
    kept = path.with_name("cockpit.sqlite.corrupt-20261122T120000Z")
    assert kept.read_bytes().startswith(b"this was never")
    assert kept.with_name(f"{kept.name}-journal.head").read_text("ascii") == "old head"
    assert not path.with_name("journal.head").exists()
    assert str(kept) in database.notes[0]
    assert "damaged" in database.notes[0]


def test_a_damaged_page_is_found_when_opening(path: Path) -> None:
    first = open_database(path)
    first.execute_many("INSERT INTO series (name) VALUES (?)", [(f"series {number} {'x' * 50}",) for number in range(2000)])
    first.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(40_000))
    again = open_database(path, now=lambda: MOMENT)
    assert again.notes
    assert names(again) == []
    again.close()
    assert len(list(path.parent.glob("cockpit.sqlite.corrupt-*"))) >= 1


def test_two_damaged_files_in_one_second_are_both_kept(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for content in (b"a" * 5000, b"b" * 5000):
        path.write_bytes(content)
        open_database(path, now=lambda: MOMENT).close()
    assert {p.read_bytes()[:1] for p in path.parent.glob("*.corrupt-*") if not p.name.endswith(("-wal", "-shm"))} == {b"a", b"b"}


def test_damage_met_while_running_is_told_and_checked_at_the_next_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK_CHECK_BYTES", 0)
    first = open_database(path)
    first.execute_many("INSERT INTO series (name) VALUES (?)", [(f"series {number} {'x' * 50}",) for number in range(2000)])
    first.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * (path.stat().st_size // 2))
    second = open_database(path)
    assert second.notes == ()
    with pytest.raises(StorageError, match="damaged"):
        second.query("SELECT * FROM series")
    second.close()
    third = open_database(path)
    assert "damaged" in third.notes[0]
    third.close()


def test_a_full_disk_is_told_and_nothing_is_lost(database: Database, path: Path) -> None:
    add_series(database, "before")
    pages = database.query("PRAGMA page_count")[0][0]
    database.query(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match="disk is full") as caught:
        database.execute_many("INSERT INTO series (name) VALUES (?)", [(f"{number} {'x' * 200}",) for number in range(10_000)])
    assert "MB are free now" in caught.value.hint
    assert names(database) == ["before"]
    database.query("PRAGMA max_page_count=1000000")
    add_series(database, "after")
    assert names(database) == ["after", "before"]


def test_a_read_only_directory_is_told(public_directory: Path, unprivileged: Callable[[], None]) -> None:
    public_directory.chmod(0o555)
    unprivileged()
    with pytest.raises(StorageError, match="cannot be used") as caught:
        open_database(public_directory / "data" / "cockpit.sqlite")
    assert "--data-dir" in caught.value.hint
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(public_directory / "cockpit.sqlite")
    lock = DataLock(public_directory)
    assert filelock.__name__
    assert not lock.acquire()
    assert "cannot be written" in lock.why


def test_a_read_only_file_is_told_and_opens_for_reading(public_directory: Path, unprivileged: Callable[[], None]) -> None:
    path = public_directory / "cockpit.sqlite"
    database = open_database(path)
    add_series(database, "kept")
    database.close()
    path.chmod(0o444)
    public_directory.chmod(0o555)
    before = sorted(p.name for p in public_directory.iterdir())
    unprivileged()
    with pytest.raises(StorageError, match=r"cannot be (written|opened)"):
        open_database(path).close()
    reader = open_database(path, read_only=True)
    assert names(reader) == ["kept"]
    reader.close()
    assert sorted(p.name for p in public_directory.iterdir()) == before


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file", "ascii")
    with pytest.raises(StorageError, match="cannot be used"):
        open_database(tmp_path / "data" / "cockpit.sqlite")
    assert not DataLock(tmp_path / "data").acquire()


def test_a_newer_layout_is_refused_and_left_alone(path: Path) -> None:
    open_database(path).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version=99")
    raw.close()
    for read_only in (False, True):
        with pytest.raises(StorageError, match="newer release cockpit"):
            open_database(path, read_only=read_only)
    assert not list(path.parent.glob("*.corrupt-*"))


def test_an_upgrade_makes_a_backup_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_database(path)
    add_series(first, "old")
    first.close()
    assert not list(path.parent.glob("*.before-*"))
    steps = (*MIGRATIONS, ("ALTER TABLE series ADD COLUMN unit TEXT NOT NULL DEFAULT 'ms'",))
    monkeypatch.setattr(module, "MIGRATIONS", steps)
    with pytest.raises(StorageError, match="older layout"):
        open_database(path, read_only=True)
    upgraded = open_database(path, now=lambda: MOMENT)
    assert upgraded.query("SELECT name, unit FROM series") == [("old", "ms")]
    upgraded.close()
    backup = path.with_name(f"cockpit.sqlite.before-{len(steps)}-20261122T120000Z")
    assert str(backup) in upgraded.notes[0]
    raw = sqlite3.connect(backup)
    assert raw.execute("SELECT name FROM series").fetchall() == [("old",)]
    assert raw.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    raw.close()


def test_a_failing_upgrade_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE extra (x)", "NO SUCH STATEMENT")))
    with pytest.raises(StorageError):
        open_database(path)
    monkeypatch.undo()
    database = open_database(path)
    assert database.query("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'") == [(0,)]
    database.close()


def test_another_writer_is_waited_for_and_then_told(database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    other = open_database(path)
    with database.transaction(), pytest.raises(StorageError, match="Another process holds"):
        add_series(other, "never")
    other.close()
    add_series(database, "later")
    assert names(database) == ["later"]


def test_a_reader_sees_what_the_writer_adds_and_writes_nothing_itself(database: Database, path: Path) -> None:
    reader = open_database(path, read_only=True)
    add_series(database, "a")
    assert names(reader) == ["a"]
    with pytest.raises(StorageError, match="reading only"):
        add_series(reader, "b")
    reader.close()


def test_a_reader_that_came_first_follows_a_writer_that_comes_later(path: Path) -> None:
    open_database(path).close()
    reader = open_database(path, read_only=True)
    assert names(reader) == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["cockpit.sqlite"]
    writer = open_database(path)
    add_series(writer, "a")
    assert names(reader) == ["a"]
    writer.close()
    reader.close()


def test_reading_a_database_that_is_missing_is_told_and_makes_nothing(path: Path) -> None:
    with pytest.raises(StorageError, match="There is no database"):
        open_database(path, read_only=True)
    assert not path.parent.exists()


def test_a_transaction_is_whole_or_not_at_all_and_nests(database: Database) -> None:
    def broken() -> None:
        with database.transaction():
            add_series(database, "a")
            with database.transaction():
                add_series(database, "b")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        broken()
    assert names(database) == []
    with database.transaction():
        add_series(database, "a")
    assert names(database) == ["a"]


def test_threads_share_a_database(database: Database) -> None:
    def work(thread: int) -> None:
        for number in range(50):
            add_series(database, f"{thread}-{number}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(database)) == 200


def test_a_closed_database_says_so(path: Path) -> None:
    database = open_database(path)
    database.close()
    database.close()
    with pytest.raises(StorageError, match="closed"):
        database.query("SELECT 1")


def test_it_is_durable_and_sound(database: Database) -> None:
    assert database.query("PRAGMA journal_mode") == [("wal",)]
    assert database.query("PRAGMA synchronous") == [(2,)]
    assert database.query("PRAGMA foreign_keys") == [(1,)]
    assert database.query("PRAGMA page_size") == [(16384,)]
    assert database.check() == ()
    with pytest.raises(StorageError, match="refused"):
        database.execute("INSERT INTO sample (series, at_us) VALUES (99, 1)")


HOLDER = """
import sys
from pathlib import Path
from cockpit.storage.lock import DataLock
lock = DataLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the data directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_second_window_is_told_who_holds_the_directory(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = DataLock(tmp_path)
    assert not lock.acquire()
    assert not lock.held
    assert lock.holder_pid == holder.pid
    assert str(holder.pid) in lock.why


def test_a_killed_owner_leaves_the_directory_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    lock = DataLock(tmp_path)
    assert lock.acquire()
    assert lock.acquire()
    assert lock.holder_pid == os.getpid()
    lock.release()
    lock.release()
    again: Any = DataLock(tmp_path)
    assert again.acquire()
    again.release()
