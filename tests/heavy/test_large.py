"""Sizes that take their time: a repository of 100,000 commits, a journal of 200,000 entries. Run by `make test-heavy`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cockpit.connecting import services_in
from cockpit.connectors.git_local import GitLocal
from cockpit.domain.release import Service, pending
from cockpit.storage.database import open_database
from cockpit.storage.head import Head
from cockpit.storage.journal import Journal
from tests.bench.bench_git import make_repository

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


def test_a_hundred_thousand_commits_and_a_thousand_tags(tmp_path: Path) -> None:
    path = make_repository(tmp_path / "large")
    service = Service("large", str(path))
    with GitLocal(path) as source:
        versions = source.versions(service)
        assert len(versions) == 1000
        assert (versions[0].name, versions[-1].name) == ("10.0.0", "0.0.1")
        live = versions[3]
        assert [v.name for v in pending(versions, live.name)] == [v.name for v in versions[:3]]
        near = source.changes(service, live.tag, versions[0].tag)
        assert (near.total_in, near.total_out, len(near.commits)) == (300, 0, 300)
        far = source.changes(service, versions[-1].tag, versions[0].tag)
        assert (far.total_in, len(far.commits)) == (99_900, 500)
        assert far.authors is not None
        assert len(far.authors) == 40
    assert [s.name for s in services_in(str(path))] == ["large"]


def test_a_long_journal_is_verified_whole_and_one_change_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cockpit.sqlite"
    database = open_database(path)
    journal = Journal(database, "heavy:1:1", lambda: 1)
    entry = journal.append("note", "k", "deploy", "you")
    with database.transaction():
        head = Head(entry.seq, entry.hash)
        for _ in range(200_000):
            head = journal._insert(head, ["note", "k", "deploy", "you", "gw", "prod", "heavy:1:1"], '{"step":1}')
    journal._write_head(head)
    verified = journal.verify()
    assert (verified.ok, verified.count) == (True, 200_001)
    database.close()
    raw = sqlite3.connect(path)
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute("UPDATE journal SET who = 'me' WHERE seq = 123456")
    raw.commit()
    raw.close()
    database = open_database(path)
    found = Journal(database, "heavy:1:1", lambda: 1).verify()
    database.close()
    assert not found.ok
    assert any("123456" in problem for problem in found.problems)
