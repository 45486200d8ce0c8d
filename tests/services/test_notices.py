"""The funnel: merging by key, what matters most, defects, bounds."""

from __future__ import annotations

import time
from typing import Any

from cockpit.domain.errors import ConfigError, Rejected
from cockpit.services.notices import AGAIN_S, INCIDENT_S, LIMIT, STORY, Notice, Notices, Severity, group_of


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
    fake_clock.advance(AGAIN_S + 1)
    notices.tell(Severity.ERROR, "down", "", key="ci")
    assert [(n.title, n.over) for n in notices.history] == [("down", False), ("up again", False), ("down", True)]
    notices.over("never told")


def test_what_comes_back_at_once_was_never_really_over(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    first = notices.tell(Severity.ERROR, "down", "no answer", key="ci")
    fake_clock.advance(3600)
    notices.over("ci")
    over = notices.get(first.id)
    assert over is not None
    assert (over.over, over.ended_us) == (True, fake_clock())
    fake_clock.advance(AGAIN_S)
    again = notices.tell(Severity.WARNING, "slow", "3 s", key="ci")
    assert (again.id, again.over, again.ended_us, again.count, again.since_us) == (first.id, False, 0, 2, first.at_us)
    assert again.severity is Severity.WARNING, "it begins as loud as it is now"
    assert [(t.title, t.message) for t in again.story] == [("down", "no answer")]
    assert len(notices.history) == 1


def test_it_never_becomes_milder_while_it_stands(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    notices.tell(Severity.WARNING, "p99 rises", "40 ms", key="latency:gw@production")
    notices.tell(Severity.ERROR, "p99 left its band", "60 ms", key="latency:gw@production")
    for severity in (Severity.WARNING, Severity.INFO, Severity.OK):
        assert notices.tell(severity, "p99 rises", "41 ms", key="latency:gw@production").severity is Severity.ERROR
    notices.over("latency:gw@production")
    [only] = notices.history
    assert (only.over, only.severity, only.stands) == (True, Severity.ERROR, False)


def test_its_story_is_bounded_and_keeps_the_first(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    for n in range(100):
        fake_clock.advance(1)
        notices.tell(Severity.WARNING, "p99", f"{n} ms " + "x" * 100_000, key="p99")
        notices.tell(Severity.WARNING, "p99", f"{n} ms " + "x" * 100_000, key="p99")
    [only] = notices.history
    assert only.count == 200
    assert [t.message.partition(" ")[0] for t in only.story] == ["0", "92", "93", "94", "95", "96", "97", "98"]
    assert len(only.story) == STORY
    assert only.since_us == fake_clock() - 99_000_000
    assert sum(len(t.message) for t in only.story) + len(only.message) < 12_000


def test_a_look_stops_the_shouting_until_it_gets_worse(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    standing = notices.tell(Severity.WARNING, "watch", "alert", key="watch:gw@production", kinds=("alert",))
    assert notices.look(999, "Ada") is None
    looked = notices.look(standing.id, "Ada")
    assert looked is not None
    assert (looked.looker, looked.looked_us, looked.over) == ("Ada", fake_clock(), False)
    assert notices.look(standing.id, "Bela") is None, "one is enough"
    assert notices.tell(Severity.WARNING, "watch", "alert, still", key="watch:gw@production", kinds=("alert",)).looker == "Ada"
    other = notices.tell(Severity.WARNING, "watch", "alert, drift", key="watch:gw@production", kinds=("alert", "drift"))
    assert (other.looker, other.kinds) == ("", ("alert", "drift")), "another kind of finding is news"
    notices.look(standing.id, "Ada")
    assert notices.tell(Severity.ERROR, "watch", "", key="watch:gw@production", kinds=("drift",)).looker == "", "so is a worse one"


def test_a_countdown_and_a_rollback_shout_over_a_look_of_before(fake_clock: Any) -> None:
    notices, key = Notices(fake_clock), "watch:gw@production"
    standing = notices.tell(Severity.ERROR, "bad", "", key=key, kinds=("verdict",))
    for about, looker in (("", "Ada"), ("countdown", ""), ("countdown", "Ada"), ("", "Ada"), ("countdown", ""), ("rollback", "")):
        told = notices.tell(Severity.ERROR, "bad", "", key=key, kinds=("verdict",), about=about)
        if about == "" and not told.looker:
            notices.look(standing.id, "Ada")
            told = notices.tell(Severity.ERROR, "bad", "", key=key, kinds=("verdict",), about=about)
        assert (told.about, told.looker) == (about, looker), about
        notices.look(standing.id, "Ada")


def test_a_look_goes_with_what_comes_back_at_once(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    standing = notices.tell(Severity.ERROR, "flaps", "", key="alerts:gw@production")
    notices.look(standing.id, "Ada")
    for _ in range(20):
        notices.over("alerts:gw@production", "cleared")
        fake_clock.advance(30)
        assert notices.tell(Severity.ERROR, "flaps", "", key="alerts:gw@production").looker == "Ada"
    assert notices.look(standing.id, "Bela") is None


def test_what_has_no_end_of_its_own_ends_with_the_look(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    failed = notices.tell(Severity.ERROR, "rollback: failed", "")
    assert notices.newest is not None
    looked = notices.look(failed.id, "Ada <ada@x>")
    assert looked is not None
    assert (looked.over, looked.looker) == (True, "Ada <ada@x>")
    assert notices.look(notices.tell(Severity.OK, "done", "").id, "Ada") is None, "good news calls nobody"


def test_what_nobody_looks_at_and_what_is_worse_comes_first(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    bad = notices.tell(Severity.ERROR, "bad", "", key="bad")
    fake_clock.advance(1)
    notices.tell(Severity.WARNING, "milder", "", key="milder")
    notices.tell(Severity.OK, "news", "")
    assert notices.newest is not None
    assert notices.newest.title == "bad"
    notices.look(bad.id, "Ada")
    assert notices.newest.title == "milder"
    notices.over("milder")
    assert notices.newest.title == "bad", "it stays visible until it is over"
    notices.over("bad")
    assert notices.newest.title == "news"


def test_what_is_told_of_one_place_is_one_incident(fake_clock: Any) -> None:
    notices = Notices(fake_clock)
    first = notices.tell(Severity.ERROR, "p99", "", key="latency:gw@production")
    alert = notices.tell(Severity.ERROR, "alert", "", key="alerts:gw@production")
    silence = notices.tell(Severity.WARNING, "silence", "", key="silence:am:gw@production")
    done = notices.tell(Severity.OK, "rollback: done", "", group="gw@production", about="rollback")
    other = notices.tell(Severity.ERROR, "p99", "", key="latency:gw@staging")
    assert {n.incident for n in (first, alert, silence, done)} == {first.id}
    assert other.incident == other.id
    assert {n.id for n in notices.beside(alert)} == {first.id, silence.id, done.id}
    for key in ("latency:gw@production", "alerts:gw@production", "silence:am:gw@production"):
        notices.over(key, "good again")
    assert all(n.incident == first.id for n in notices.history if n.title == "good again")
    fake_clock.advance(INCIDENT_S + 1)
    assert notices.tell(Severity.ERROR, "p99", "", key="latency:gw@production").incident not in (first.id, other.id)


def test_a_place_is_only_taken_from_keys_that_name_one() -> None:
    assert group_of("alerts:gw@production") == "gw@production"
    assert group_of("silence:am:gw@production") == "gw@production"
    for key in ("", "ci", "source:ci", "The system refused:you@x.org may not", "gw@production", "KeyError: a@b", "rollout:8f2c"):
        assert group_of(key) == "", key


def test_a_thousand_at_once_stay_bounded_and_cheap(fake_clock: Any) -> None:
    notices, heard = Notices(fake_clock), list[Notice]()
    notices.subscribe(heard.append)
    begun = time.process_time()
    for n in range(1000):
        notices.tell(Severity.ERROR, f"alert {n}", "<b>", key=f"node:gw@production:n{n}")
    assert time.process_time() - begun < 3.0
    assert len(heard) == 1000
    assert len(notices.history) == LIMIT
    assert len({n.incident for n in notices.history}) == 1
    assert len(notices._by_key) + len(notices._passed) <= LIMIT


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
