"""Incidents: what cannot be noted first, then who looks at what, and the order a person reads them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cockpit.domain.errors import StorageError
from cockpit.services.incidents import ACTION, acknowledge, incidents, more_beside
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from ui.models.journal import detail_text, what_text


class AtOnce:
    """A runner that does it here and now."""

    def submit(self, lane: str, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
        assert lane == "journal"
        try:
            outcome = Outcome(work())
        except Exception as error:  # noqa: BLE001 - as the runner does
            outcome = Outcome(error=error)
        done(outcome)


class Broken:
    def append(self, *words: Any) -> None:
        raise StorageError("the disk is full")


def cockpit(clock: Any, journal: Any = None, read_only: str = "", name: str = "Ada Quill", email: str = "ada@x.invalid") -> Any:
    me = SimpleNamespace(name=name, email=email)
    parts = {"notices": Notices(clock), "settings": SimpleNamespace(me=me), "runner": AtOnce(), "journal": journal}
    return SimpleNamespace(**parts, read_only=read_only)


def tell(core: Any, kind: str, severity: Severity = Severity.ERROR) -> Any:
    return core.notices.tell(severity, kind, "numbers", key=f"{kind}:gw@production")


def test_a_journal_that_cannot_be_written_is_said_and_the_look_holds(fake_clock: Any) -> None:
    core = cockpit(fake_clock, Broken())
    notice = tell(core, "alerts")
    assert acknowledge(core, notice) == 1
    assert core.notices.get(notice.id).looker == "Ada Quill <ada@x.invalid>"
    [told] = [n for n in core.notices.history if n.key == "notice-journal"]
    assert "disk is full" in told.message


def test_nothing_stands_nothing_is_noted(fake_clock: Any) -> None:
    core = cockpit(fake_clock, Broken())
    notice = tell(core, "alerts")
    core.notices.over("alerts:gw@production")
    assert acknowledge(core, notice) == 0
    assert acknowledge(core, core.notices.tell(Severity.OK, "done", "")) == 0
    assert not core.notices.told("notice-journal")


def test_who_only_reads_writes_nothing_and_nobody_is_nameless(fake_clock: Any) -> None:
    core = cockpit(fake_clock, Broken(), read_only="another window", name="", email="")
    notice = tell(core, "alerts")
    assert acknowledge(core, notice) == 1
    assert core.notices.get(notice.id).looker == "somebody here"
    assert not core.notices.told("notice-journal")


def test_a_look_is_at_all_of_the_incident_and_stands_in_the_journal(fake_clock: Any, tmp_path: Path) -> None:
    database = open_database(tmp_path / "cockpit.sqlite")
    try:
        journal = Journal(database, "vm:1:2", fake_clock)
        core = cockpit(fake_clock, journal)
        first, second, mild = tell(core, "latency"), tell(core, "alerts"), tell(core, "silence", Severity.WARNING)
        other = core.notices.tell(Severity.ERROR, "elsewhere", "", key="alerts:md@production")
        assert more_beside(core.notices, first) == 2
        assert acknowledge(core, second) == 3
        assert all(core.notices.get(n.id).looker for n in (first, second, mild))
        assert not core.notices.get(other.id).looker
        assert acknowledge(core, second) == 0, "once"
        [entry] = journal.entries(text=ACTION)
        assert (entry.kind, entry.action, entry.who) == ("note", "acknowledge notice", "Ada Quill <ada@x.invalid>")
        assert (entry.service, entry.environment) == ("gw", "production")
        assert entry.detail["notices"] == 3
        assert entry.detail["title"] == "alerts"
        assert journal.decisions(0) == (), "it is no word about a version"
        assert what_text(entry) == "acknowledge notice"
        assert detail_text(entry) == "alerts: numbers"
        fresh = tell(core, "watch")
        assert not fresh.looker, "what joins later shouts"
        assert acknowledge(core, fresh) == 1
    finally:
        database.close()


@pytest.mark.parametrize("looked", [False, True])
def test_the_order_is_what_stands_then_what_is_new(fake_clock: Any, looked: bool) -> None:
    core = cockpit(fake_clock)
    mild = core.notices.tell(Severity.WARNING, "mild", "", key="source:ci")
    bad = tell(core, "alerts")
    fake_clock.advance(1)
    tell(core, "silence", Severity.WARNING)
    core.notices.tell(Severity.OK, "approved", "")
    fake_clock.advance(1)
    core.notices.tell(Severity.INFO, "released", "")
    if looked:
        acknowledge(core, bad)
    found = incidents(core.notices.history)
    first, second = (mild.id, bad.id) if looked else (bad.id, mild.id)
    assert [i.id for i in found[:2]] == [first, second]
    assert [i.worst.title for i in found[2:]] == ["released", "approved"]
    place = next(i for i in found if i.id == bad.id)
    assert [n.title for n in place.notices] == ["alerts", "silence"]
    assert (place.more, len(place.standing), place.at_us) == (1, 2, fake_clock() - 1_000_000)
