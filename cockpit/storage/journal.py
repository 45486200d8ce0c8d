"""The record of all actions: append-only, hash-chained, on the disk before the call and after it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from cockpit.domain.errors import StorageError
from cockpit.domain.statements import KINDS as STATEMENTS
from cockpit.storage.database import JOURNAL_HEAD, Database, Row
from cockpit.storage.head import Head, HeadFile

KINDS: Final = ("intent", "progress", "outcome", "note")
HEAD_MISSING: Final = "journal head was missing"
MAX_PROBLEMS: Final = 20
_FIRST: Final = "0" * 64
_COLUMNS: Final = "seq, at_us, kind, key, action, who, service, environment, owner, detail, previous, hash"
_BATCH: Final = 5_000
_SLICE: Final = 5_000  # rows searched at a time: others read and write between
_PAUSE_S: Final = 0.001  # without it the thread that lets go of the database has it again before those who wait wake up
_AFTER_ALL: Final = 2**63 - 1
_encode: Final = msgspec.json.Encoder().encode


class Entry(Struct, frozen=True):
    """One record. `key` ties intent, progress and outcome of one action together; `owner` names the process that wrote it."""

    seq: int
    at_us: int
    kind: str
    key: str
    action: str
    who: str
    service: str
    environment: str
    owner: str
    detail: dict[str, Any]
    previous: str
    hash: str


class Verification(Struct, frozen=True):
    """What `verify` found: `head` is the hash of the newest entry ("" for none); `problems` names the first ones in words."""

    ok: bool
    count: int
    problems: tuple[str, ...]
    head: str


class Journal:
    """Appends and reads entries. From any thread; several processes may append. `append` is on the disk when it returns.

    Beside the database stands `journal.head` with the newest number and hash, so that a cut tail shows. Whoever may write both files
    and recomputes the whole chain is not found out: for that the head hash must be kept elsewhere too.
    """

    def __init__(self, database: Database, owner: str, clock_us: Callable[[], int]) -> None:
        self._database = database
        self._owner = owner
        self._clock_us = clock_us
        self._head = HeadFile(database.path.with_name(JOURNAL_HEAD))

    def append(
        self, kind: str, key: str, action: str, who: str, service: str = "", environment: str = "", detail: dict[str, Any] | None = None
    ) -> Entry:
        """Write one entry and wait for the disk (about a millisecond). StorageError where it could not be written: then do not act."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of entry")
        text = json.dumps(detail or {}, sort_keys=True, separators=(",", ":"), default=str)
        words = [_clean(w) for w in (kind, key, action, who, service, environment, self._owner)]
        with self._database.transaction():
            last, repair = self._last()
            if repair:
                note = ["note", "", HEAD_MISSING, "", "", "", _clean(self._owner)]
                last = self._insert(last, note, json.dumps({"journal_stood_at": last.seq}))
            head = self._insert(last, words, text)
        self._write_head(head)
        return self._by_seq(head.seq)

    def _last(self) -> tuple[Head, bool]:
        """What the next entry follows, and whether the head record is missing and the entry must be preceded by a note of that.

        Where the head is ahead of the table, entries were removed: the next number leaves the gap open for `verify` to find.
        """
        rows = self._database.query("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
        stored = Head(int(rows[0][0]), str(rows[0][1])) if rows else Head(0, _FIRST)
        head = self._head.read()
        if head is None:
            if stored.seq > 0:
                return stored, True
            # written before the first entry is: from then on a missing head is never innocent
            self._write_head(stored)
            return stored, False
        if head.seq >= stored.seq:
            return head, False
        self._write_head(stored)
        return stored, False

    def _insert(self, last: Head, words: list[str], detail: str) -> Head:
        fields = (last.seq + 1, self._clock_us(), *words, detail, last.hash)
        digest = _digest(fields)
        self._database.execute(f"INSERT INTO journal ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (*fields, digest))  # noqa: S608 - constants only
        return Head(last.seq + 1, digest)

    def _write_head(self, head: Head) -> None:
        try:
            self._head.write(head)
        except OSError as error:
            raise StorageError(
                f"The journal's head {self._head.path} could not be written: {error.strerror or error}.",
                hint="Check the rights of the data directory and the space on the disk.",
            ) from error

    def _by_seq(self, seq: int) -> Entry:
        return _entry(self._database.query(f"SELECT {_COLUMNS} FROM journal WHERE seq = ?", (seq,))[0])  # noqa: S608 - constants only

    def entries(
        self, limit: int = 1000, before_seq: int | None = None, text: str = "", kinds: tuple[str, ...] = (), service: str = ""
    ) -> tuple[Entry, ...]:
        """Newest first, at most `limit`, older than `before_seq`; `text` is looked for in every column, without regard to case."""
        conditions, arguments = ["seq >= ?", "seq < ?"], list[object]()
        if kinds:
            conditions.append(f"kind IN ({','.join('?' * len(kinds))})")
            arguments += kinds
        if service:
            conditions.append("service = ?")
            arguments.append(service)
        if text:
            conditions.append("(kind||' '||key||' '||action||' '||who||' '||service||' '||environment||' '||detail) LIKE ? ESCAPE '\\'")
            escaped = _clean(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            arguments.append(f"%{escaped}%")
        where = " AND ".join(conditions)
        sql = f"SELECT {_COLUMNS} FROM journal WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - values are arguments
        top = _AFTER_ALL if before_seq is None else before_seq
        found: list[Row] = []
        for low, high in self._slices(top) if text else [(-_AFTER_ALL, top)]:
            found += self._database.query(sql, (low, high, *arguments, limit - len(found)))
            if len(found) >= limit:
                break
        return tuple(_entry(row) for row in found)

    def _slices(self, top: int) -> Iterator[tuple[int, int]]:
        """Ranges of numbers, newest first, that hold at most _SLICE rows each: numbers may have gaps where somebody tampered."""
        while True:
            sql = "SELECT min(seq) FROM (SELECT seq FROM journal WHERE seq < ? ORDER BY seq DESC LIMIT ?)"
            low = self._database.query(sql, (top, _SLICE))[0][0]
            if low is None:
                return
            yield low, top
            top = low
            time.sleep(_PAUSE_S)

    def decisions(self, after_seq: int) -> tuple[Entry, ...]:
        """What people said (the kinds of `Statement`) newer than `after_seq`, oldest first; cheap where few notes are newer."""
        marks = ",".join("?" * len(STATEMENTS))
        sql = f"SELECT {_COLUMNS} FROM journal WHERE kind = 'note' AND action IN ({marks}) AND seq > ? ORDER BY seq"  # noqa: S608 - constants only
        return tuple(_entry(row) for row in self._database.query(sql, (*STATEMENTS, after_seq)))

    def unfinished(self) -> tuple[Entry, ...]:
        """Intents that have no outcome yet, oldest first: what a restart takes up."""
        sql = (
            f"SELECT {_COLUMNS} FROM journal AS intent WHERE kind = 'intent' AND NOT EXISTS "  # noqa: S608 - constants only
            "(SELECT 1 FROM journal AS o WHERE o.key = intent.key AND o.kind = 'outcome') ORDER BY seq"
        )
        return tuple(_entry(row) for row in self._database.query(sql))

    def progress_of(self, key: str) -> tuple[Entry, ...]:
        """All entries of one action (intent, progress, outcome), oldest first."""
        sql = f"SELECT {_COLUMNS} FROM journal WHERE key = ? ORDER BY seq"  # noqa: S608 - constants only
        return tuple(_entry(row) for row in self._database.query(sql, (_clean(key),)))

    def verify(self) -> Verification:
        """Recompute the whole chain: finds any entry that was changed, removed (at the end too) or put elsewhere.

        About two seconds for a million entries, in pieces that let others write between: run it in a worker thread.
        """
        # read before the table: what others append meanwhile only puts the table ahead of this head, which then still is in the chain
        head = self._head.read()
        walk = _Walk(head)
        try:
            for rows in self._batches():
                walk.follow(rows)
        except StorageError as error:
            walk.problems.append(f"what follows entry {walk.last.seq} cannot be read: {error.message}")
            return Verification(False, walk.count, tuple(walk.problems[:MAX_PROBLEMS]), walk.last.hash)
        problems = [*walk.problems, *self._check_head(head, walk.last, walk.head_seen)]
        return Verification(not problems, walk.count, tuple(problems[:MAX_PROBLEMS]), walk.last.hash if walk.count else "")

    def _check_head(self, head: Head | None, last: Head, head_seen: bool) -> list[str]:
        if head is None:
            return ["the head record (journal.head) is missing: whether entries were removed at the end is not known"] if last.seq else []
        if head.seq > last.seq:
            return [f"entries {last.seq + 1} to {head.seq} were removed at the end"]
        if not head_seen:
            return [f"entry {head.seq}, which the head record names, is missing"]
        newest = self._head.read()
        if newest is not None and last.seq - newest.seq > 1:
            return [f"the head record stands at entry {newest.seq}, the journal at {last.seq}: one of them was replaced"]
        return []

    def _batches(self) -> Iterator[list[Row]]:
        after = -(2**63)
        while True:
            sql = f"SELECT {_COLUMNS} FROM journal WHERE seq > ? ORDER BY seq LIMIT {_BATCH}"  # noqa: S608 - constants only
            rows = self._database.query(sql, (after,))
            yield rows
            if len(rows) < _BATCH:
                return
            after = rows[-1][0]
            time.sleep(_PAUSE_S)


class _Walk:
    """The way along the chain: where it stands, and what was wrong so far."""

    def __init__(self, head: Head | None) -> None:
        self.problems: list[str] = []
        self.count = 0
        self.last = Head(0, _FIRST)
        self.head_seen = head is None or head.seq == 0
        self._head = head

    def follow(self, rows: list[Row]) -> None:
        """Check the next entries. The loop is the price of verifying a long journal: nothing in it that a sound entry does not need."""
        digest, head_seq = _digest, self._head.seq if self._head is not None else 0
        seq, previous = self.last.seq, self.last.hash
        for row in rows:
            sound = row[0] == seq + 1 and row[10] == previous and row[11] == digest(row[:11])
            if not sound:
                _name_problems(row, Head(seq, previous), self.problems)
            if row[0] == head_seq and self._head is not None:
                self.head_seen = True
                if row[11] != self._head.hash:
                    self.problems.append(f"entry {row[0]}: the head record names another entry of this number")
            if row[4] == HEAD_MISSING:
                self.problems.append(
                    f"entry {row[0]}: the head record was missing when this was written; entries before it may have been removed"
                )
            seq, previous = row[0], row[11]
        self.count += len(rows)
        self.last = Head(seq, str(previous))


def _name_problems(row: Row, last: Head, problems: list[str]) -> None:
    if row[0] != last.seq + 1:
        missing = f"entry {last.seq + 1} is" if row[0] == last.seq + 2 else f"entries {last.seq + 1} to {row[0] - 1} are"
        problems.append(f"{missing} missing" if row[0] > last.seq else f"entry {row[0]}: this number cannot be")
    elif row[10] != last.hash:
        problems.append(f"entry {row[0]}: does not follow the entry before it")
    if row[11] != _digest(row[:11]):
        problems.append(f"entry {row[0]}: its content was changed")


def _digest(fields: Row) -> str:
    """SHA-256 over the canonical JSON array of an entry's fields without its own hash: number first, the previous hash last."""
    # loads OpenSSL: not before the first entry is written or checked
    from hashlib import sha256

    try:
        return sha256(_encode(fields)).hexdigest()
    except (UnicodeEncodeError, TypeError, ValueError):
        return ""


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: file names and git may carry lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _entry(row: Row) -> Entry:
    try:
        detail = json.loads(row[9])
    except (ValueError, TypeError, RecursionError):
        detail = None
    if not isinstance(detail, dict):
        detail = {"unreadable": str(row[9])}
    seq, at_us, kind, key, action, who, service, environment, owner = row[:9]
    return Entry(seq, at_us, kind, key, action, who, service, environment, owner, detail, row[10], row[11])
