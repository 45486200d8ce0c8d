"""Approvals and rejections of other processes: heard, never doubled, and a journal that cannot be read is told once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.domain.approvals import Approval
from cockpit.domain.errors import StorageError
from cockpit.services.decisions import Decisions
from cockpit.services.notices import Notices
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.running import FakeMain, InlineRunner


class Rig:
    """A window that listens, and the terminal of a colleague on the same journal."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.clock, self.main, self.store, self.notices = clock, FakeMain(clock), Store(), Notices(clock)
        self.databases = [open_database(folder / "cockpit.sqlite"), open_database(folder / "cockpit.sqlite")]
        self.journal, self.elsewhere = (Journal(d, f"elsewhere:{n}:1", clock) for n, d in enumerate(self.databases))
        self.decisions = Decisions(self.store, InlineRunner(self.main), self.journal, self.notices)

    def vote(self, approved: bool, who: str = "bob@example.org", version: str = "1.8.0") -> Approval:
        self.clock.advance(1)
        vote = Approval("gw", version, "prod", "c8", "d", who, who, approved, "because", self.clock())
        detail = {name: getattr(vote, name) for name in vote.__struct_fields__}
        self.elsewhere.append("note", f"k{self.clock()}", "approve" if approved else "reject", who, "gw", "prod", detail)
        return vote

    def poll(self) -> tuple[Approval, ...]:
        self.decisions.poll()
        self.main.settle()
        return self.store.state.approvals


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Rig]:
    made = Rig(tmp_path, fake_clock)
    yield made
    for database in made.databases:
        database.close()


def test_a_journal_that_cannot_be_read_is_told_once_until_it_can(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(after_seq: int) -> Any:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(rig.journal, "decisions", broken)
    rig.poll()
    rig.poll()
    [notice] = rig.notices.history
    assert (notice.message, notice.count, notice.place) == ("the disk is gone", 1, "approvals")
    monkeypatch.undo()
    vote = rig.vote(False)
    assert rig.poll() == (vote,)
    assert [n.over for n in rig.notices.history] == [True]


def test_what_a_colleague_says_in_a_terminal_is_heard_here(rig: Rig) -> None:
    assert rig.poll() == ()
    first = rig.vote(True)
    assert rig.poll() == (first,)
    second, third = rig.vote(False), rig.vote(True, "eve@example.org")
    assert rig.poll() == (first, second, third)


def test_own_words_are_not_doubled_whichever_comes_first(rig: Rig) -> None:
    mine = rig.vote(True)
    rig.decisions.add(mine)
    assert rig.poll() == (mine,)
    other = rig.vote(False)
    rig.decisions.read()
    rig.decisions.add(other)
    assert rig.store.state.approvals == (mine, other)


def test_nothing_new_touches_nothing_and_is_asked_from_the_last_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.vote(True)
    rig.poll()
    heard: list[Any] = []
    asked: list[int] = []
    monkeypatch.setattr(rig.journal, "decisions", lambda after: asked.append(after) or ())
    rig.store.subscribe(heard.append)
    rig.poll()
    assert (heard, asked) == ([], [1])


def test_entries_that_are_no_vote_are_left_out_and_not_asked_for_again(rig: Rig) -> None:
    rig.elsewhere.append("note", "k", "approve", "x", "gw", "prod", {"version": 3})
    assert rig.poll() == ()
    vote = rig.vote(True)
    assert rig.poll() == (vote,)


def test_a_second_question_waits_for_the_first(rig: Rig) -> None:
    rig.decisions.poll()
    rig.decisions.poll()
    assert rig.decisions._runner.lanes == ["journal"]  # type: ignore[attr-defined]


def test_without_a_journal_there_is_nothing_to_hear(fake_clock: Any) -> None:
    decisions = Decisions(Store(), InlineRunner(FakeMain(fake_clock)), None, Notices(fake_clock))
    decisions.read()
    decisions.poll()
