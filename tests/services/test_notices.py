"""The funnel: merging by key, what matters most, defects, bounds."""

from __future__ import annotations

from typing import Any

from cockpit.domain.errors import ConfigError, Rejected
from cockpit.services.notices import LIMIT, Notice, Notices, Severity


def test_the_same_thing_grows_instead_of_repeating(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    for _ in range(3):
        fake_clock.advance(1)
        notices.tell(Severity.WARNING, "CI is down", "no answer", key="ci")
    [only] = notices.history
    assert (only.count, only.at_us) == (3, fake_clock())


def test_what_is_over_starts_anew(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    notices.tell(Severity.ERROR, "down", "", key="ci")
    notices.over("ci", "up again")
    notices.tell(Severity.ERROR, "down", "", key="ci")
    assert [(n.title, n.over) for n in notices.history] == [("down", False), ("up again", False), ("down", True)]
    notices.over("never told")


def test_the_newest_loud_one_matters_most_until_it_is_over(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    assert notices.newest is None
    notices.tell(Severity.ERROR, "p99 left its band", "", key="p99")
    fake_clock.advance(1)
    notices.tell(Severity.OK, "approved", "")
    assert notices.newest is not None
    assert notices.newest.title == "p99 left its band"
    notices.over("p99")
    assert notices.newest.title == "approved"


def test_errors_keep_their_way_out_and_defects_say_so(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    shown = notices.error(Rejected("another deployment is under way", hint="wait for it"))
    assert (shown.title, shown.message, shown.hint) == ("The system refused", "another deployment is under way", "wait for it")
    defect = notices.error(KeyError("x"))
    assert "defect" in defect.title.lower()
    assert defect.hint
    assert notices.error(KeyError("x")).count == 2


def test_subscribers_hear_until_they_leave_and_history_is_bounded(fake_clock: Any) -> None:
    notices, heard = Notices(fake_clock), list[Notice]()
    leave = notices.subscribe(heard.append)
    for n in range(LIMIT + 10):
        notices.tell(Severity.INFO, f"note {n}", "")
    assert len(heard) == LIMIT + 10
    assert len(notices.history) == LIMIT
    leave()
    notices.tell(Severity.INFO, "unheard", "")
    assert len(heard) == LIMIT + 10


def test_what_is_dropped_leaves_no_key_behind(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    for n in range(LIMIT * 3):
        notices.tell(Severity.WARNING, "w", "", key=f"key {n}")
    assert len(notices.history) == LIMIT
    assert len(notices._by_key) == LIMIT
    assert not notices.told("key 0")
    assert notices.told(f"key {LIMIT * 3 - 1}")


def test_an_error_that_stands_outlives_news_and_what_is_over(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    notices.tell(Severity.ERROR, "past", "", key="past")
    notices.over("past")
    notices.tell(Severity.ERROR, "the disk is full", "", key="disk")
    for n in range(LIMIT * 2):
        notices.tell(Severity.INFO, f"note {n}", "")
    titles = [n.title for n in notices.history]
    assert "the disk is full" in titles
    assert "past" not in titles
    notices.over("disk", "there is space again")
    assert "there is space again" in [n.title for n in notices.history]


def test_among_errors_alone_the_oldest_goes_and_news_is_still_heard(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    for n in range(LIMIT + 1):
        notices.tell(Severity.ERROR, f"error {n}", "", key=f"{n}")
    news = notices.tell(Severity.OK, "approved", "")
    assert news in notices.history
    assert {"error 0", "error 1"}.isdisjoint(n.title for n in notices.history)


def test_errors_that_stand_are_told_once_and_are_over_when_they_are_gone(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    wrong, other = ConfigError("Connection ci: no address"), ConfigError("Connection lb: no socket")
    notices.stand("connection", [wrong], "sources")
    notices.stand("connection", [wrong, other], "sources")
    assert [(n.message, n.count, n.over) for n in reversed(notices.history)] == [
        (wrong.message, 1, False), (other.message, 1, False),
    ]  # fmt: skip
    notices.stand("connection", [other], "sources")
    assert [n.message for n in notices.history if n.over] == [wrong.message]
