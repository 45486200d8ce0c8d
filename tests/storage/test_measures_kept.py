"""Measures in the database: damage is left out, whole runs stay whole, what is old goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cockpit.domain.measures import Measured, Recorded, RecordedSuite, RecordedTest
from cockpit.storage import measures as module
from cockpit.storage.database import Database, open_database
from cockpit.storage.measures import Measures

SUITE = RecordedSuite("unit", "passed", 14.25, 2, 0, True, (RecordedTest("test_a", "passed", 0.5), RecordedTest("<b>é", "skipped", 0.0)))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = open_database(tmp_path / "cockpit.sqlite")
    yield made
    made.close()


def one(number: int, **fields: object) -> Recorded:
    made = Recorded(f"r{number}", "gw", f"1.{number}.0", "c", number, "passed", 20.5, (SUITE,), (Measured("m", 1.5, "ms"),))
    return replace(made, **fields)


def test_it_comes_back_as_it_was_oldest_first(database: Database) -> None:
    kept = Measures(database)
    kept.add((one(2), one(1), one(3)))
    assert kept.read("gw", 2) == (one(2), one(3))
    assert (kept.read("other", 9), kept.known("other")) == ((), {})


def test_a_part_never_takes_the_place_of_a_whole_run(database: Database) -> None:
    kept = Measures(database)
    part = one(1, suites=(replace(SUITE, whole=False, tests=()),))
    kept.add((part,))
    assert kept.known("gw") == {"r1": False}
    kept.add((one(1),))
    kept.add((part,))
    assert kept.read("gw", 9) == (one(1),)
    kept.add((one(1, version="1.1.1"),))
    assert [r.version for r in kept.read("gw", 9)] == ["1.1.1"]


@pytest.mark.logs("left out, it is damaged: run r1 of gw")
def test_damage_is_left_out(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    kept = Measures(database)
    kept.add((one(1), one(2)))
    database.execute("UPDATE measured SET payload = x'00ff' WHERE run = 'r1'")
    assert kept.read("gw", 9) == (one(2),)
    assert "run r1 of gw" in caplog.text


def test_what_is_old_goes_by_service(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_RUNS", 3)
    kept = Measures(database)
    kept.add((one(9, service="other"),))
    kept.add(tuple(one(n) for n in range(5)))
    assert set(kept.known("gw")) == {"r2", "r3", "r4"}
    assert set(kept.known("other")) == {"r9"}
