"""The journal: whatever is changed, removed or put elsewhere is found; an intent survives what comes after it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.domain.errors import StorageError
from cockpit.storage.database import Database, open_database
from cockpit.storage.export import export_csv, export_json
from cockpit.storage.head import Head, HeadFile
from cockpit.storage.journal import HEAD_MISSING, Entry, Journal, Verification
from cockpit.storage.owner import owner_alive, process_owner

COLUMNS = ("at_us", "kind", "key", "action", "who", "service", "environment", "owner", "detail", "previous", "hash")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cockpit.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def journal(database: Database, fake_clock: Any) -> Journal:
    return Journal(database, "host:1:2", fake_clock)


def fill(journal: Journal, count: int) -> None:
    for number in range(count):
        kind = ("intent", "progress", "outcome", "note")[number % 4]
        journal.append(kind, f"key-{number // 4}", "deploy", "you@playground.invalid", "gateway", "production", {"step": number})


def tamper(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Change rows as somebody would who has the file: past the triggers, and putting them back."""
    with closing(sqlite3.connect(path)) as raw:
        triggers = raw.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            raw.execute(f"DROP TRIGGER {name}")
        for sql, arguments in statements:
            raw.execute(sql, arguments)
        for _, sql in triggers:
            raw.execute(sql)
        raw.commit()


def verified(path: Path) -> Verification:
    database = open_database(path, read_only=True)
    try:
        return Journal(database, "", lambda: 0).verify()
    finally:
        database.close()


def test_the_table_itself_refuses_to_change(database: Database, journal: Journal) -> None:
    fill(journal, 3)
    for sql in ("UPDATE journal SET who = 'x'", "DELETE FROM journal", "DELETE FROM journal WHERE seq = 3"):
        with pytest.raises(StorageError, match="append-only"):
            database.execute(sql)
    assert journal.verify().ok


@pytest.mark.parametrize("seq", [1, 5, 10])
def test_a_changed_entry_is_named(journal: Journal, path: Path, seq: int) -> None:
    fill(journal, 10)
    tamper(path, ("UPDATE journal SET who = 'somebody' WHERE seq = ?", (seq,)))
    found = journal.verify()
    assert not found.ok
    assert found.problems == (f"entry {seq}: its content was changed",)


def test_a_removed_entry_is_named_in_the_middle_and_at_either_end(journal: Journal, path: Path) -> None:
    fill(journal, 10)
    tamper(path, ("DELETE FROM journal WHERE seq IN (1, 4, 6, 7, 9, 10)", ()))
    assert journal.verify().problems == (
        "entry 1 is missing",
        "entry 4 is missing",
        "entries 6 to 7 are missing",
        "entries 9 to 10 were removed at the end",
    )


def test_a_cut_tail_stays_found_after_new_entries(journal: Journal, path: Path) -> None:
    fill(journal, 10)
    tamper(path, ("DELETE FROM journal WHERE seq > 7", ()))
    assert journal.append("note", "", "start", "you").seq == 11
    assert journal.verify().problems == ("entries 8 to 10 are missing",)


def test_an_emptied_journal_is_found(journal: Journal, path: Path) -> None:
    fill(journal, 3)
    tamper(path, ("DELETE FROM journal", ()))
    assert journal.verify().problems == ("entries 1 to 3 were removed at the end",)


def test_text_that_is_none_is_found(journal: Journal, path: Path) -> None:
    fill(journal, 3)
    tamper(path, ("UPDATE journal SET who = CAST(x'ff' AS TEXT) WHERE seq = 2", ()))
    found = journal.verify()
    assert not found.ok
    assert "cannot be read" in found.problems[0]


def test_entries_that_change_places_are_found(journal: Journal, path: Path) -> None:
    fill(journal, 6)
    tamper(
        path,
        ("UPDATE journal SET seq = 100 WHERE seq = 2", ()),
        ("UPDATE journal SET seq = 2 WHERE seq = 3", ()),
        ("UPDATE journal SET seq = 3 WHERE seq = 100", ()),
    )
    found = journal.verify()
    assert {"entry 2: its content was changed", "entry 3: its content was changed"} <= set(found.problems)


def test_a_newest_entry_that_was_written_anew_is_found_by_the_head(journal: Journal, path: Path) -> None:
    fill(journal, 5)
    head = path.with_name("journal.head")
    kept = head.read_bytes()
    tamper(path, ("DELETE FROM journal WHERE seq = 5", ()))
    head.unlink()
    HeadFile(head).write(Head(4, journal.entries()[0].hash))
    journal.append("outcome", "key-1", "deploy", "nobody")
    assert journal.verify().ok
    head.write_bytes(kept)
    assert journal.verify().problems == ("entry 5: the head record names another entry of this number",)


def test_a_missing_head_is_said_at_once_and_for_ever(journal: Journal, path: Path) -> None:
    fill(journal, 3)
    head = path.with_name("journal.head")
    head.unlink()
    assert "missing" in journal.verify().problems[0]
    entry = journal.append("intent", "k", "rollback", "you")
    assert entry.seq == 5
    assert journal.entries()[1].action == HEAD_MISSING
    assert head.exists()
    assert journal.verify().problems == (
        "entry 4: the head record was missing when this was written; entries before it may have been removed",
    )


def test_a_head_one_behind_is_a_crash_and_two_behind_is_not(journal: Journal, path: Path) -> None:
    fill(journal, 4)
    before = path.with_name("journal.head").read_bytes()
    fill(journal, 1)
    path.with_name("journal.head").write_bytes(before)
    assert journal.verify().ok
    fill(journal, 1)
    assert journal.verify().ok
    path.with_name("journal.head").write_bytes(before)
    assert "one of them was replaced" in journal.verify().problems[0]


@pytest.mark.parametrize("cut", [0, 1, 50, 94])
def test_a_torn_head_costs_one_entry_at_most(tmp_path: Path, cut: int) -> None:
    file = HeadFile(tmp_path / "journal.head")
    file.write(Head(4, "a" * 64))
    file.write(Head(5, "b" * 64))
    content = bytearray(file.path.read_bytes())
    content[96 + cut] ^= 1
    file.path.write_bytes(content)
    assert file.read() == Head(4, "a" * 64)


def test_a_late_writer_does_not_set_the_head_back(tmp_path: Path) -> None:
    file = HeadFile(tmp_path / "journal.head")
    file.write(Head(7, "a" * 64))
    file.write(Head(5, "b" * 64))
    assert file.read() == Head(7, "a" * 64)


def test_a_head_that_cannot_be_written_is_told(journal: Journal, path: Path) -> None:
    path.with_name("journal.head").mkdir()
    with pytest.raises(StorageError, match="head"):
        journal.append("intent", "k", "deploy", "you")
    assert journal.entries() == ()


def test_a_full_disk_is_told_and_the_chain_stays_whole(database: Database, journal: Journal) -> None:
    fill(journal, 3)
    database.query(f"PRAGMA max_page_count={database.query('PRAGMA page_count')[0][0]}")
    with pytest.raises(StorageError, match="disk is full"):
        journal.append("intent", "k", "deploy", "you", detail={"long": "x" * 1_000_000})
    database.query("PRAGMA max_page_count=1000000")
    fill(journal, 2)
    assert journal.verify() == Verification(True, 5, (), journal.entries()[0].hash)


VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=20), st.binary(max_size=8), st.floats(allow_nan=False))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_mutation_goes_unnoticed(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "cockpit.sqlite"
        with closing(open_database(path)) as database:
            fill(Journal(database, "host:1:2", lambda: 1_000), 8)
            before = database.query("SELECT * FROM journal ORDER BY seq")
        seq = data.draw(st.integers(1, 8))
        how = data.draw(st.sampled_from(["change", "remove", "swap", "insert", "renumber", "cut"]))
        if how == "change":
            column, value = data.draw(st.sampled_from(COLUMNS)), data.draw(VALUES)
            tamper(path, (f"UPDATE journal SET {column} = ? WHERE seq = ?", (value, seq)))
        elif how == "remove":
            tamper(path, ("DELETE FROM journal WHERE seq = ?", (seq,)))
        elif how == "cut":
            tamper(path, ("DELETE FROM journal WHERE seq >= ?", (seq,)))
        elif how == "renumber":
            tamper(path, ("UPDATE journal SET seq = ? WHERE seq = ?", (data.draw(st.sampled_from([-5, 0, 9, 10, 2**62])), seq)))
        elif how == "insert":
            copy = (data.draw(st.sampled_from([-1, 0, 9, 2**63 - 1])), *before[seq - 1][1:])
            tamper(path, (f"INSERT INTO journal VALUES ({','.join('?' * 12)})", copy))
        else:
            other = data.draw(st.integers(1, 8))
            moves = [(100, seq), (seq, other), (other, 100)]
            tamper(path, *[("UPDATE journal SET seq = ? WHERE seq = ?", move) for move in moves])
        with closing(open_database(path)) as database:
            changed = database.query("SELECT * FROM journal ORDER BY seq") != before
        assert verified(path).ok is not changed


WRITER = """
import sys
from pathlib import Path
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from cockpit.storage.owner import process_owner
database = open_database(Path(sys.argv[1]))
journal = Journal(database, process_owner(), lambda: 5)
for number in range(int(sys.argv[2])):
    print(journal.append("intent", f"{sys.argv[3]}-{number}", "deploy", "you").seq, flush=True)
database.close()
"""


def writer(path: Path, count: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(count), name], stdout=subprocess.PIPE, text=True)


def test_several_processes_append_to_one_chain(journal: Journal, path: Path) -> None:
    processes = [writer(path, 100, f"p{n}") for n in range(3)]
    for process in processes:
        with process:
            process.communicate(timeout=60)
        assert process.returncode == 0
    found = journal.verify()
    assert found.ok, found.problems
    assert found.count == 300
    assert len({entry.owner for entry in journal.entries()}) == 3


def test_a_killed_writer_loses_nothing_that_it_was_told_is_written(path: Path, journal: Journal) -> None:
    with writer(path, 1_000_000, "p") as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read()
    written = max((int(line) for line in rest.splitlines() if line), default=20)
    found = journal.verify()
    assert found.ok, found.problems
    assert found.count >= written - 1
    fill(journal, 4)
    assert journal.verify().ok
    assert not owner_alive(journal.entries(kinds=("intent",), text="p-0")[0].owner)


def test_unfinished_intents_come_oldest_first(journal: Journal) -> None:
    for key in ("a", "b", "c"):
        journal.append("intent", key, "rollback", "you", "gateway", "production")
        journal.append("progress", key, "sent", "you")
    journal.append("outcome", "b", "rollback", "you", detail={"state": "done"})
    assert [entry.key for entry in journal.unfinished()] == ["a", "c"]
    assert [entry.kind for entry in journal.progress_of("b")] == ["intent", "progress", "outcome"]
    assert journal.progress_of("none") == ()


def test_entries_are_filtered_and_paged(journal: Journal) -> None:
    fill(journal, 8)
    journal.append("note", "", "100%_sure \\ yes", "Zoë", "risk-engine", "staging", {"reason": "<b>bold</b>"})
    assert [e.seq for e in journal.entries(limit=3)] == [9, 8, 7]
    assert [e.seq for e in journal.entries(limit=2, before_seq=7)] == [6, 5]
    assert [e.seq for e in journal.entries(kinds=("intent", "outcome"))] == [7, 5, 3, 1]
    assert [e.seq for e in journal.entries(service="risk-engine")] == [9]
    assert [e.seq for e in journal.entries(text="100%_SURE \\")] == [9]
    assert [e.seq for e in journal.entries(text="BOLD")] == [9]
    assert journal.entries(text="100%sure") == ()
    assert journal.entries(text="' OR 1=1 --") == ()


def test_any_text_can_be_written_and_read_back(journal: Journal) -> None:
    nasty = "\x1b[31m\x00 \udcff \u202e 'quote\" \U0001f680" + "n" * 500
    entry = journal.append("note", nasty, nasty, nasty, nasty, nasty, {"text": nasty, "number": 1.5, "none": None, "path": Path("x")})
    (read,) = journal.entries()
    assert read == entry
    assert read.detail["text"] == nasty
    assert read.detail["path"] == "x"
    assert journal.verify().ok


def test_an_unknown_kind_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="no kind"):
        journal.append("gossip", "k", "a", "you")


def test_an_empty_journal_is_sound(journal: Journal) -> None:
    assert journal.verify() == Verification(True, 0, (), "")


def test_a_journal_opened_for_reading_verifies_and_refuses_to_write(journal: Journal, path: Path) -> None:
    fill(journal, 5)
    assert verified(path).count == 5
    reader = open_database(path, read_only=True)
    with pytest.raises(StorageError, match="reading only"):
        Journal(reader, "x", lambda: 0).append("note", "", "a", "you")
    reader.close()


def test_many_entries_are_verified_fast(database: Database, journal: Journal) -> None:
    with database.transaction():
        last = Head(0, "0" * 64)
        for number in range(20_000):
            words = ["note", f"key-{number}", "deploy", "you@playground.invalid", "gateway", "production", "host:1:2"]
            last = journal._insert(last, words, '{"step":1}')
    journal._head.write(last)
    begin = time.thread_time()
    assert journal.verify().count == 20_000
    assert time.thread_time() - begin < 5  # some 0.05 s


def test_csv_holds_no_formulas(journal: Journal) -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", 'plain, "quoted"\nline'):
        journal.append("note", text, text, text)
    rows = list(csv.reader(io.StringIO(export_csv(journal.entries()))))
    assert rows[0][:4] == ["seq", "at", "kind", "action"]
    assert rows[1][3] == 'plain, "quoted"\nline'
    assert all(row[3].startswith("'") for row in rows[2:])
    assert rows[1][1] == "2027-01-15T08:00:00.000Z"


def test_json_holds_everything(journal: Journal) -> None:
    fill(journal, 2)
    found = json.loads(export_json(journal.entries()))
    assert [Entry(**entry) for entry in found] == list(journal.entries())


def test_the_owner_is_this_process_and_lives() -> None:
    owner = process_owner()
    assert owner_alive(owner)
    host, pid, started = owner.rsplit(":", 2)
    assert not owner_alive(f"{host}:{pid}:{int(started) + 1}")
    assert not owner_alive(f"{host}:99999999:{started}")
    assert not owner_alive("")
    assert not owner_alive(f"{host}:-1:0")
    assert owner_alive(f"elsewhere:{pid}:{started}")


def test_decisions_are_the_votes_after_a_number_oldest_first(journal: Journal) -> None:
    for number, (kind, action) in enumerate([("note", "approve"), ("note", "deploy"), ("intent", "approve"), ("note", "reject")]):
        journal.append(kind, f"k{number}", action, "you")
    assert [e.action for e in journal.decisions(0)] == ["approve", "reject"]
    assert [e.seq for e in journal.decisions(1)] == [4]
    assert journal.decisions(4) == ()


def test_decisions_and_an_action_are_found_by_an_index(journal: Journal, database: Database) -> None:
    asked: list[str] = []
    database_query = database.query

    def query(sql: str, arguments: Any = ()) -> Any:
        asked.extend(str(row[3]) for row in database_query(f"EXPLAIN QUERY PLAN {sql}", arguments))
        return database_query(sql, arguments)

    database.query = query  # type: ignore[method-assign]
    journal.decisions(3)
    journal.progress_of("k")
    assert "journal_by_kind (kind=? AND seq>?)" in asked[0]
    assert "journal_by_key (key=?)" in asked[1]


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_a_search_in_slices_finds_the_same_and_lets_others_in_between(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    fill(journal, 40)
    everything = journal.entries(100)
    monkeypatch.setattr("cockpit.storage.journal._SLICE", 7)
    assert [e.seq for e in everything if '"step":3' in json.dumps(e.detail, separators=(",", ":"))][:limit] == [
        e.seq for e in journal.entries(limit, text='"step":3')
    ]
    assert [e.seq for e in journal.entries(limit, before_seq=20, text="outcome")] == [
        e.seq for e in everything if e.kind == "outcome" and e.seq < 20
    ][:limit]
    rows: list[int] = []
    database_query = database.query
    monkeypatch.setattr(database, "query", lambda sql, a=(): rows.append(1) or database_query(sql, a))
    assert journal.entries(limit, text="nowhere to be found") == ()
    assert len(rows) == 2 * 6 + 1
