"""Who is called for what: what must not call first, then incidents, looks, quiet hours, rollbacks and the pause between two sounds."""

from __future__ import annotations

import time
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.release import Environment
from cockpit.domain.watching import Countdown, Watched
from cockpit.services.notice_calls import AGAIN_S, AT_ONCE, SOUND_S, Caller, quiet_at
from cockpit.services.notices import Notices, Severity
from cockpit.services.store import AppState
from cockpit.storage.settings import NoticeSettings

PLACE = "gw@production"
NIGHT = ("00:00-24:00",)
S = 1_000_000


class Stage:
    """Notices, a state and settings that a test changes."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.notices = Notices(clock)
        self.state = AppState(environments=(Environment("staging", 1), Environment("production", 2, True)))
        self.settings = NoticeSettings()
        self.caller = Caller(self.notices, lambda: self.state, lambda: self.settings, clock)

    def bad(self, key: str = f"alerts:{PLACE}", **more: Any) -> Any:
        return self.notices.tell(Severity.ERROR, "bad", "", key=key, **more)

    def titles(self, active: bool = False) -> list[str]:
        return [call.notice.title for call in self.caller.due(active).calls]

    def count_down(self) -> Any:
        at = self.clock()
        found = Watched("gw", "production", "d1", "deploy", "1.7.0", "1.6.0", at, countdown=Countdown("1.6.0", "d", at, at + 30 * S, "p99"))
        self.state = replace(self.state, watches={PLACE: found})
        return self.notices.tell(Severity.WARNING, "goes back in 30 s", "", key=f"watch:{PLACE}")


@pytest.fixture
def stage(fake_clock: Any) -> Stage:
    return Stage(fake_clock)


def test_warnings_news_and_other_places_call_nobody(stage: Stage) -> None:
    tell = stage.notices.tell
    tell(Severity.WARNING, "stale", "", key=f"latency:{PLACE}")
    tell(Severity.INFO, "released", "", group=PLACE)
    tell(Severity.OK, "deploy: done", "", group=PLACE, about="deploy")
    tell(Severity.ERROR, "in staging", "", key="alerts:gw@staging", about="rollback")
    tell(Severity.ERROR, "a removed environment", "", key="alerts:gw@gone")
    tell(Severity.ERROR, "disk full", "", key="journal")
    tell(Severity.ERROR, "no place", "", about="rollback")
    tell(Severity.ERROR, "past", "", key="alerts:other@production")
    stage.notices.over("alerts:other@production")
    found = stage.caller.due(False)
    assert (found.calls, found.rest, found.sound) == ((), 0, "")


def test_one_incident_is_one_call_and_its_worst_speaks(stage: Stage) -> None:
    stage.bad()
    stage.bad(f"latency:{PLACE}")
    stage.notices.tell(Severity.WARNING, "mild", "", key=f"silence:am:{PLACE}")
    found = stage.caller.due(False)
    [call] = found.calls
    assert (call.notice.severity, call.more, call.urgent) == (Severity.ERROR, 2, False)
    assert found.sound == "bad"
    stage.bad()
    assert stage.caller.due(False).calls == (), "it grew, that is all"
    stage.bad(kinds=("drift",))
    assert len(stage.caller.due(False).calls) == 1, "another kind of finding"
    stage.bad(f"hold:{PLACE}")
    assert len(stage.caller.due(False).calls) == 1, "something else joined"


def test_it_calls_again_until_somebody_looks_and_then_when_it_gets_worse(stage: Stage) -> None:
    notice = stage.bad(kinds=("alert",))
    assert stage.titles() == ["bad"]
    again_s = stage.caller.due(False).again_s
    assert again_s is not None
    stage.clock.advance(AGAIN_S - 1)
    assert stage.titles() == []
    stage.clock.advance(1)
    assert stage.titles() == ["bad"]
    assert stage.titles() == []
    stage.notices.look(notice.id, "Ada")
    stage.clock.advance(AGAIN_S * 3)
    found = stage.caller.due(False)
    assert (found.calls, found.sound, found.again_s) == ((), "", None)
    stage.bad(kinds=("alert",))
    assert stage.titles() == []
    stage.bad(kinds=("verdict",))
    assert stage.titles() == ["bad"]


def test_what_flaps_does_not_call_each_time(stage: Stage) -> None:
    stage.bad()
    assert stage.titles() == ["bad"]
    calls = 0
    for _ in range(20):
        stage.notices.over(f"alerts:{PLACE}", "cleared")
        stage.clock.advance(10)
        stage.bad()
        calls += len(stage.titles())
    assert calls == 0


def test_a_thousand_incidents_at_once_are_a_few_notifications_and_one_sound(stage: Stage) -> None:
    for n in range(1000):
        stage.notices.tell(Severity.ERROR, f"bad {n}", "", key=f"alerts:gw{n}@production")
    begun = time.process_time()
    found = stage.caller.due(False)
    assert time.process_time() - begun < 1.0
    assert len(found.calls) == AT_ONCE
    assert found.rest == 500 - AT_ONCE, "the notices keep five hundred"
    assert found.sound == "bad"
    assert stage.caller.due(False).rest == 0
    assert len(stage.caller._marks) == 500


def test_the_window_before_a_person_suffices_but_not_for_a_rollback(stage: Stage) -> None:
    stage.bad()
    found = stage.caller.due(True)
    assert (found.calls, found.sound) == ((), "")
    stage.notices.tell(Severity.ERROR, "rollback: failed", "", group=PLACE, about="rollback")
    found = stage.caller.due(True)
    assert [c.notice.title for c in found.calls] == ["rollback: failed"]
    assert found.sound == "urgent"


def test_good_news_of_a_rollback_is_shown_and_not_heard(stage: Stage) -> None:
    stage.settings = NoticeSettings(quiet=NIGHT)
    stage.notices.tell(Severity.OK, "rollback: done", "", group=PLACE, about="rollback")
    found = stage.caller.due(True)
    assert [c.notice.title for c in found.calls] == ["rollback: done"]
    assert found.sound == ""
    assert stage.titles() == []
    stage.clock.advance(AGAIN_S * 2)
    assert stage.titles() == [], "once"


def test_quiet_hours_hold_back_all_but_rollbacks_and_countdowns_in_production(stage: Stage) -> None:
    stage.settings = NoticeSettings(quiet=NIGHT, quiet_zone="Europe/Berlin")
    stage.bad("alerts:other@production")
    stage.notices.tell(Severity.ERROR, "rollback in staging", "", group="gw@staging", about="rollback")
    stage.notices.tell(Severity.ERROR, "deploy: failed", "", group="x@production", about="deploy")
    found = stage.caller.due(False)
    assert (found.calls, found.rest, found.sound) == ((), 0, "")
    assert found.again_s is not None, "what stands when they end is called for then"
    stage.count_down()
    found = stage.caller.due(False)
    assert [(c.notice.title, c.urgent) for c in found.calls] == [("goes back in 30 s", True)]
    assert found.sound == "urgent"
    stage.settings = NoticeSettings()
    assert sorted(stage.titles()) == ["bad", "deploy: failed"]


def test_a_countdown_calls_once_whatever_its_words_and_the_next_one_calls_again(stage: Stage) -> None:
    stage.settings = NoticeSettings(quiet=NIGHT)
    stage.count_down()
    assert stage.titles(True) == ["goes back in 30 s"]
    for n in range(29):
        stage.clock.advance(1)
        stage.notices.tell(Severity.WARNING, f"goes back in {29 - n} s", "", key=f"watch:{PLACE}")
        assert stage.titles(True) == []
    stage.clock.advance(600)
    stage.count_down()
    assert stage.titles(True) == ["goes back in 30 s"]
    stage.state = replace(stage.state, watches={})
    stage.notices.tell(Severity.WARNING, "no countdown any more", "", key=f"watch:{PLACE}")
    assert stage.titles(True) == []


def test_a_look_at_what_is_bad_does_not_silence_the_countdown_to_a_rollback(stage: Stage) -> None:
    stage.settings = NoticeSettings(quiet=NIGHT)
    key = f"watch:{PLACE}"
    notice = stage.bad(key, kinds=("verdict",))
    stage.notices.look(notice.id, "Ada")
    assert stage.titles() == []
    stage.bad(key, kinds=("verdict",), about="countdown")
    assert stage.titles(True) == ["bad"]
    stage.notices.look(notice.id, "Ada")
    stage.bad(key, kinds=("verdict",))
    assert stage.titles(True) == [], "stopped"
    stage.clock.advance(60)
    stage.bad(key, kinds=("verdict",), about="rollback")
    assert stage.titles(True) == ["bad"]


def test_no_two_sounds_within_the_pause_and_the_louder_one_comes_after_it(stage: Stage) -> None:
    stage.bad()
    assert stage.caller.due(False).sound == "bad"
    stage.clock.advance(1)
    stage.count_down()
    found = stage.caller.due(False)
    assert (found.sound, len(found.calls)) == ("", 1)
    assert found.again_s == pytest.approx(SOUND_S - 1)
    stage.clock.advance(SOUND_S - 1)
    assert stage.caller.due(False).sound == "urgent"
    stage.clock.advance(SOUND_S)
    assert stage.caller.due(False).sound == ""


@pytest.mark.parametrize("how", ["looked", "over", "quiet", "off"])
def test_a_sound_that_waits_is_dropped_where_nobody_needs_it_any_more(stage: Stage, how: str) -> None:
    stage.bad("alerts:a@production")
    assert stage.caller.due(False).sound == "bad"
    waiting = stage.bad("alerts:b@production")
    assert stage.caller.due(False).sound == ""
    if how == "looked":
        stage.notices.look(waiting.id, "Ada")
    elif how == "over":
        stage.notices.over("alerts:b@production")
    else:
        stage.settings = NoticeSettings(quiet=NIGHT) if how == "quiet" else NoticeSettings(sound=False)
    stage.clock.advance(SOUND_S + 1)
    assert stage.caller.due(False).sound == ""


def test_what_is_switched_off_stays_off(stage: Stage) -> None:
    stage.settings = NoticeSettings(desktop=False, sound=False)
    stage.count_down()
    found = stage.caller.due(False)
    assert (found.calls, found.rest, found.sound) == ((), 0, "")


def test_settings_that_make_no_sense_make_no_quiet_hours(fake_clock: Any) -> None:
    assert quiet_at(NoticeSettings(quiet=("nonsense",)), fake_clock()) is None
    assert quiet_at(NoticeSettings(quiet=NIGHT, quiet_zone="No/Where"), fake_clock()) is None
    assert quiet_at(NoticeSettings(quiet=NIGHT), fake_clock()) is not None
