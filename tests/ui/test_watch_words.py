"""What a watch says: seconds, ages, progress, power, and why nothing follows by itself."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from cockpit.domain.watching import Finding, WatchState
from tests.fakes.believable import HOUR, MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.watches import GOOD, SLOW, UNSEEN, WHY, bad, counting, watched
from ui.models import watch as words
from ui.models.journal import detail_text, what_text


def test_hostile_text_stays_one_plain_line() -> None:
    found = counting(service="<b>x\n\u202ey", why_not="a\nb")
    found = replace(found, countdown=replace(found.countdown, why="one\ntwo\x1b[31m"), verdict=replace(SLOW, sentence="a\nb"))
    said = (words.announced_words(found), words.why_words(found), words.sentence(found), words.automatic_row(found, NOW_US)[1])
    assert all(len(text.splitlines()) == 1 and "\x1b" not in text and "\u202e" not in text for text in said)


def test_nobody_looking_is_stale_and_never_fine() -> None:
    found = watched(state=WatchState.FINE, verdict=GOOD, looked_us=NOW_US - 99 * S)
    assert words.glance(found, NOW_US) == ("stale", "1.7.0: stale")
    assert words.look_words(found, NOW_US) == "looked 1 min ago"
    assert words.cell_words(found, NOW_US) == words.Words("stale", "watch stale")
    assert "Nobody looked for 1 min" in words.automatic_row(found, NOW_US)[1]
    assert not words.stale(replace(found, ended_us=NOW_US - 40 * S), NOW_US), "a watch that is over is not looked at"
    blind = watched(looked_us=0, state=WatchState.BLIND)
    assert words.glance(blind, NOW_US) == ("cannot tell", "1.7.0: cannot tell"), "what was never seen has no age"
    assert words.look_words(blind, NOW_US) == "", "it was looked: nothing was seen"
    assert words.look_words(replace(blind, verdict=None), NOW_US) == "not looked yet"
    assert words.glance(bad(looked_us=NOW_US - 99 * S), NOW_US) == ("bad", "1.7.0: bad"), "bad is never greyed away"
    assert not words.stale(watched(looked_us=NOW_US - 9 * S), NOW_US)


@pytest.mark.parametrize(("left_s", "said"), [(23.0, "in 23 s"), (22.1, "in 23 s"), (0.2, "in 1 s"), (0.0, "now"), (-5.0, "now")])
def test_seconds_are_never_fewer_than_are_left(left_s: float, said: str) -> None:
    found = counting(left_s)
    assert found.countdown is not None
    assert words.seconds_words(found.countdown, NOW_US) == said


def test_what_is_announced_has_place_version_and_reason() -> None:
    found = counting()
    assert words.announced_words(found) == "Automatic rollback of order-gateway in production to 1.6.0"
    assert words.automatic_row(found, NOW_US) == (
        "bad",
        f"Automatic rollback of order-gateway in production to 1.6.0 in 23 s: {WHY}",
    )


def test_after_stop_it_names_who_and_the_way_by_hand() -> None:
    assert words.stopped_words(bad(stopped_by="Ada Quill <ada@playground.invalid>: I look")) == (
        "Stopped by Ada Quill: I look: roll back by hand with Shift+R"
    )
    assert words.stopped_words(bad()) == ""


@pytest.mark.parametrize(
    ("fields", "word", "part"),
    [
        ({"why_not": "the target is held", "state": WatchState.BAD}, "held", "No automatic rollback: the target is held"),
        ({"why_not": "it settles", "verdict": SLOW}, "held", "No automatic rollback: it settles"),
        ({"why_not": "the verdict is: cannot tell yet"}, "ok", "after a countdown that a person can stop"),
        ({"automatic": False}, "pending", "the policy of production wants none"),
        ({"action": "k1"}, "info", "rolled back automatically"),
        ({"stopped_by": "You"}, "held", "Stopped by You"),
        ({"ended_us": NOW_US, "state": WatchState.FINE, "verdict": GOOD}, "ok", "No automatic rollback was needed"),
        ({"ended_us": NOW_US, "state": WatchState.BLIND}, "pending", "that it was not needed nobody can tell"),
        ({"ended_us": NOW_US, "state": WatchState.STOPPED}, "pending", "that it was not needed nobody can tell"),
        ({}, "ok", "after a countdown that a person can stop"),
    ],
)
def test_why_nothing_follows(fields: dict[str, object], word: str, part: str) -> None:
    found = words.automatic_row(watched(**fields), NOW_US)
    assert found[0] == word
    assert part in found[1]


def test_what_is_bad_is_not_explained_by_a_mild_verdict() -> None:
    found = bad(verdict=UNSEEN, findings=(Finding("silence", "a node is silent", NOW_US), Finding("rule", "5xx is 9 %", NOW_US)))
    assert words.sentence(found) == "5xx is 9 %"
    assert words.sentence(replace(found, verdict=SLOW)) == WHY
    assert words.sentence(replace(found, state=WatchState.BLIND)) == "a node is silent", "that is why nobody can tell"


def test_one_line_says_its_state_once() -> None:
    blind = watched(state=WatchState.BLIND, verdict=replace(UNSEEN, sentence="cannot tell: no requests"))
    assert words.line_words(blind, NOW_US) == "1.7.0: cannot tell: no requests"
    assert words.line_words(replace(blind, looked_us=NOW_US - 99 * S), NOW_US) == "1.7.0: stale: cannot tell: no requests"


def test_progress_counts_time_and_real_load() -> None:
    assert words.progress_words(watched(), NOW_US) == "4 of 15 min, 812 of 2,000 requests"
    assert words.time_share(watched(), NOW_US)[0] == pytest.approx(4 / 15)
    assert words.load_share(watched()) == (0.406, "812 of 2,000 requests")
    assert words.load_share(watched(wanted=0)) == (1.0, "812 requests")
    early = watched(started_us=NOW_US - 30 * S, until_us=NOW_US + 870 * S)
    assert words.time_share(early, NOW_US)[1] == "30 s of 15 min"
    assert words.time_share(watched(ended_us=NOW_US - MIN), NOW_US)[1] == "3 of 15 min"
    assert words.time_share(watched(started_us=NOW_US + 9 * S), NOW_US)[0] == 0.0, "a clock that goes before ours"


def test_the_ratio_has_its_interval_and_the_limit() -> None:
    assert (
        words.ratio_words(bad(), 1.25) == "p99 of place_order: 2.40 x the baseline, 95 % interval 1.90 to 3.10; the policy tolerates 1.25 x"
    )
    assert words.ratio_words(watched(verdict=GOOD), 1.25).startswith("Every operation: 1.02 x")
    assert words.ratio_words(watched(), 1.25) == "No ratio to the baseline is known yet; the policy tolerates 1.25 x"
    assert words.ratio_words(watched(verdict=None), 1.25).startswith("No ratio")


def test_its_power_is_said_while_it_cannot_tell() -> None:
    assert words.power_words(watched(), 1.25) == "Shaded: a change below +15 % cannot be seen yet; +25 % can be seen in about 4 min"
    assert words.power_words(bad(), 1.25) == ""
    never = replace(UNSEEN, smallest=math.inf, visible_in_s=math.nan)
    assert words.power_words(watched(verdict=never), 1.25) == ""


def test_a_finding_leads_to_its_place_with_its_age() -> None:
    rows = [words.finding_row(f, NOW_US) for f in bad().findings]
    assert [(row[0], row[2], row[3]) for row in rows] == [("bad", "40 s", "latency"), ("bad", "2 min", "alerts"), ("bad", "3 min", "nodes")]
    assert rows[1][1].startswith("Alert: HighErrorRate")
    assert words.finding_row(Finding("silence", "no data", 0), NOW_US)[:3] == ("unknown", "Silence: no data", "")
    assert words.finding_row(Finding("band", "p99 is outside", 0), NOW_US)[0] == "unknown"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (watched(), words.Words("watching", "watching")),
        (watched(state=WatchState.BLIND), words.Words("cannot tell", "cannot tell")),
        (bad(), words.Words("bad", "bad", True)),
        (bad(ended_us=NOW_US - HOUR * 30), words.Words("bad", "bad", True)),
        (counting(), words.Words("bad", "back in 23 s", True)),
        (bad(action="k1"), None),
        (watched(state=WatchState.FINE, ended_us=NOW_US), None),
        (watched(state=WatchState.STOPPED, ended_us=NOW_US), None),
        (watched(state=WatchState.BLIND, ended_us=NOW_US - 2 * HOUR), None),
        (None, None),
    ],
)
def test_a_cell_is_loud_only_where_somebody_must_act(found: object, said: object) -> None:
    assert words.cell_words(found, NOW_US) == said


def test_the_journal_has_it_in_words() -> None:
    note = replace(
        FakeCockpit().actions.entries[0], kind="note", action="watch", detail={"said": "stopped", "message": "You", "version": "1.7.0"}
    )
    assert (what_text(note), detail_text(note)) == ("watch", "1.7.0 stopped: You")
    assert detail_text(replace(note, detail={})) == ""


def test_an_old_watch_is_no_news() -> None:
    assert words.fresh(watched(ended_us=NOW_US - 2 * HOUR), NOW_US) is None
    assert words.fresh(watched(ended_us=NOW_US - MIN), NOW_US) is not None
    assert words.fresh(watched(started_us=NOW_US - 9 * HOUR), NOW_US) is not None, "under way"
