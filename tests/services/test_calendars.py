"""Freezes of an environment: venue rules and calendars together, silence that is never ok, and who may pass a freeze."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.ports import Probe
from cockpit.domain.calendar import DAY_US, MINUTE_US, Freeze, freeze_words
from cockpit.domain.errors import BadPayload, Unreachable
from cockpit.domain.facts import Fact
from cockpit.domain.policy import Rules
from cockpit.domain.statements import Statement
from cockpit.services import calendars
from cockpit.services.calendars import CalendarJob, Calendars, configured_in, freezes_of, hard_in, passed_by
from cockpit.services.connections import Connected, Connections
from cockpit.services.notices import Notices
from cockpit.services.store import AppState, SourceHealth, Store
from cockpit.services.sync import Sync
from cockpit.storage.settings import ConnectionSettings
from tests.fakes.running import FakeMain, InlineRunner

RULES = Rules(freezes={"production": ("deribit-expiry", "funding-8h")}, may={"freeze": frozenset({"rae@playground.invalid"})})


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)  # type: ignore[misc]


NOON = us(2026, 11, 25, 12, 0)


def with_calendar(*freezes: Freeze, at_us: int = NOON, health: bool = True, title: str = "holidays") -> AppState:
    sources = {"hol": SourceHealth("hol", title, "icalendar", last_success_us=at_us)} if health else {}
    return AppState(freezes={"hol": Fact(freezes, at_us, title, calendars.DEADLINE_S)}, sources=sources)


def holiday(start_us: int, end_us: int, **more: Any) -> Freeze:
    return Freeze("Year end", start_us, end_us, "calendar holidays", **more)


# what is not known


def test_a_calendar_that_never_answered_is_unknown_and_nothing_is_safe() -> None:
    state = AppState(sources={"hol": SourceHealth("hol", "holidays", "icalendar"), "ci": SourceHealth("ci", "CI", "ci-v1")})
    found = freezes_of(state, RULES, "production", NOON, 600)
    assert found.unknown == ("holidays",)
    assert found.safe is None
    assert found.next is not None
    assert found.next.name == "Funding"
    assert freeze_words(found, NOON) == ("unknown", "calendar holidays does not answer")


def test_a_calendar_that_could_not_even_be_made_is_unknown() -> None:
    state, configured = AppState(sources={"ci": SourceHealth("ci", "CI", "ci-v1")}), {"hol": ("production",)}
    assert freezes_of(state, RULES, "production", NOON, 0, configured).unknown == ("hol",)
    assert freezes_of(state, RULES, "staging", NOON, 0, configured).unknown == ()
    assert Calendars(configured).freezes_of(state, RULES, "production", NOON, 0).unknown == ("hol",)


def test_an_old_answer_still_freezes_but_is_unknown() -> None:
    freeze = holiday(NOON - DAY_US, NOON + 3 * DAY_US)
    state = with_calendar(freeze, at_us=NOON)
    assert freezes_of(state, RULES, "staging", NOON + DAY_US, 0).unknown == ()
    late = freezes_of(state, RULES, "staging", NOON + DAY_US + 1, 0)
    assert late.now == (freeze,)
    assert late.unknown == ("holidays",)


def test_a_rule_that_does_not_exist_is_unknown() -> None:
    rules = Rules(freezes={"production": ("deribit-expirry",)})
    assert freezes_of(AppState(), rules, "production", NOON, 0).unknown == ("the venue rule deribit-expirry",)


def test_a_calendar_taken_out_of_the_settings_freezes_nothing_more() -> None:
    freeze = holiday(NOON - 1, NOON + DAY_US)
    gone = replace(with_calendar(freeze), sources={"ci": SourceHealth("ci", "CI", "ci-v1")})
    assert freezes_of(gone, Rules(), "production", NOON, 0).now == ()
    # before the connections are made nobody can tell
    assert freezes_of(with_calendar(freeze, health=False), Rules(), "production", NOON, 0).now == (freeze,)
    # one that the settings name counts, though it could not be made again
    assert freezes_of(gone, Rules(), "production", NOON, 0, {"hol": ()}).now == (freeze,)


def test_a_calendar_of_another_kind_counts_once_it_answered() -> None:
    freeze = holiday(NOON - 1, NOON + DAY_US)
    state = replace(with_calendar(freeze), sources={"hol": SourceHealth("hol", "holidays", "ours-v1")})
    assert freezes_of(state, Rules(), "production", NOON, 0).now == (freeze,)
    assert freezes_of(state, Rules(), "production", NOON + 2 * DAY_US, 0).unknown == ("holidays",)


# rules and calendars together


def test_venue_rules_and_calendars_together() -> None:
    start = us(2026, 11, 25, 16, 3)
    state = with_calendar(holiday(start, start + 60 * MINUTE_US, environments=("production",), hard=True))
    at = us(2026, 11, 25, 16, 4)
    found = freezes_of(state, RULES, "production", at, 600)
    assert [f.name for f in found.now] == ["Year end", "Funding"]
    assert found.now[0].hard
    assert found.safe == (start + 60 * MINUTE_US, us(2026, 11, 25, 23, 55))
    assert freezes_of(state, RULES, "staging", at, 600).now == ()


def test_the_same_event_in_two_calendars_is_said_once() -> None:
    freeze = Freeze("Year end", NOON - 1, NOON + DAY_US)
    state = AppState(freezes={"a": Fact((freeze,), NOON, "", 1e5), "b": Fact((freeze,), NOON, "", 1e5)})
    assert freezes_of(state, Rules(), "production", NOON, 0).now == (freeze,)


# remembered, and never wrong by it


def test_the_answer_is_computed_once_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, real = [], calendars.windows
    monkeypatch.setattr(calendars, "windows", lambda *a: counted.append(a) or real(*a))
    held, state = Calendars(), with_calendar()
    first = held.freezes_of(state, RULES, "production", NOON, 600)
    for second in range(60):
        # sources change with each poll of anything
        state = replace(state, sources={**state.sources, "ci": SourceHealth("ci", "CI", "ci-v1", last_success_us=second)})
        assert held.freezes_of(state, RULES, "production", NOON + second * 1_000_000, 600) is first
    assert len(counted) == 1
    held.freezes_of(state, RULES, "production", NOON + MINUTE_US, 600)
    held.freezes_of(state, RULES, "production", NOON + MINUTE_US, 700)
    held.freezes_of(state, RULES, "staging", NOON + MINUTE_US, 700)
    held.freezes_of(state, replace(RULES, freezes=dict(RULES.freezes)), "staging", NOON + MINUTE_US, 700)
    held.freezes_of(replace(state, freezes=dict(state.freezes)), RULES, "production", NOON + MINUTE_US, 700)
    assert len(counted) == 6
    # a clock that was set back asks again
    held.freezes_of(state, RULES, "production", NOON - MINUTE_US, 600)
    assert len(counted) == 7


def test_what_is_remembered_is_exact_at_each_edge() -> None:
    start = NOON + 20_000_003
    state = with_calendar(holiday(start, start + 7), holiday(start + 10_000_000, start + 10_000_009))
    held = Calendars()
    moments = [NOON, start - 1, start, start + 6, start + 7, start + 4_000_000, start + 4_000_001, start + 9_999_999, start + 10_000_000]
    for duration_s in (0.0, 6.0, 600.0):
        for at in (*moments, start + 10_000_009, NOON + MINUTE_US):
            fresh = freezes_of(state, RULES, "production", at, duration_s)
            kept = held.freezes_of(state, RULES, "production", at, duration_s)
            assert (kept.now, kept.next, kept.unknown) == (fresh.now, fresh.next, fresh.unknown), at - start
            assert kept.safe is not None
            assert fresh.safe is not None
            assert (kept.safe[0], duration_s) == (fresh.safe[0], duration_s), at - start


def test_many_questions_are_not_remembered_for_ever() -> None:
    held = Calendars()
    for duration in range(500):
        held.freezes_of(AppState(), RULES, "production", NOON, float(duration))
    assert len(held._known) <= 64


# who may pass


def statement(kind: str = "override", **more: Any) -> Statement:
    said: dict[str, Any] = {
        "service": "",
        "environment": "production",
        "who": "rae@playground.invalid",
        "at_us": NOON - 1000,
        "until_us": NOON + DAY_US,
        "id": "1",
        **more,
    }
    return Statement(kind=kind, version="", commit="", digest="", name="Rae", reason="the fix must go out", **said)


def passed(*statements: Statement, at_us: int = NOON, freeze: Freeze | None = None) -> str:
    state = replace(with_calendar(freeze or holiday(NOON - 1, NOON + DAY_US)), statements=statements)
    found = Calendars().passed_by(state, RULES, "production", "gateway", at_us)
    same = passed_by(state, freezes_of(state, RULES, "production", at_us, 0), RULES, "production", "gateway", at_us)
    assert found == same
    return found.id if found is not None else ""


def test_an_override_passes_with_the_role_a_reason_and_an_end() -> None:
    assert passed(statement()) == "1"
    assert passed(statement(service="gateway")) == "1"
    assert passed() == ""
    assert passed(statement(service="feed")) == ""
    assert passed(statement(environment="staging")) == ""
    assert passed(statement(who="eve@playground.invalid")) == ""
    assert passed(statement(until_us=0)) == ""
    assert passed(statement(why_not="the key is not known")) == ""
    assert passed(statement(), at_us=NOON + DAY_US) == ""
    assert passed(statement(), statement("end", about="1", id="2")) == ""
    assert passed(statement(), statement(until_us=NOON + 2 * DAY_US, id="3")) == "3"


def test_a_hard_freeze_is_passed_by_nobody() -> None:
    assert passed(statement(), freeze=holiday(NOON - 1, NOON + DAY_US, hard=True)) == ""
    assert passed(statement(), freeze=holiday(NOON + 1, NOON + DAY_US, hard=True)) == "1"
    assert passed(statement(), freeze=holiday(NOON - 1, NOON + DAY_US, hard=True, environments=("staging",))) == "1"


def test_nobody_may_where_nobody_is_named() -> None:
    state = replace(with_calendar(), statements=(statement(),))
    assert Calendars().passed_by(state, Rules(), "production", "gateway", NOON) is None


# polling


class FakeCalendar:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer: tuple[Freeze, ...] | Exception = ()

    def freezes(self, start_us: int, end_us: int) -> tuple[Freeze, ...]:
        self.asked.append((start_us, end_us))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def probe(self) -> Probe:
        return Probe("holidays")


def test_a_calendar_is_polled_once_a_minute_and_keeps_its_answer(fake_clock: Any) -> None:
    fake_clock.now_us = NOON
    calendar, store, main, notices = FakeCalendar(), Store(), FakeMain(fake_clock), Notices(fake_clock)
    calendar.answer = (Freeze("Year end", NOON, NOON + DAY_US, "Ours"),)
    connected = Connected("hol", "holidays", "icalendar", ("Calendar",), (), calendar)
    connections = Connections()
    connections.replace((connected,))
    sync = Sync(main, InlineRunner(main), store, notices, fake_clock)
    sync.begin(connections, {"hol": CalendarJob(connected, store, fake_clock)}, 2.0, 15.0)
    assert freezes_of(store.state, Rules(), "production", fake_clock(), 0).unknown == ("holidays",)
    main.run_for(125)
    midnight = NOON // DAY_US * DAY_US
    assert calendar.asked == [(midnight - DAY_US, midnight + 61 * DAY_US)] * 3
    expected = (Freeze("Year end", NOON, NOON + DAY_US, "calendar holidays: Ours"),)
    assert store.state.freezes["hol"] == Fact(expected, NOON + 2 * MINUTE_US, "holidays", 86_400.0)
    main.run_for(50)
    assert store.state.sources["hol"].state(fake_clock()) == "ok"
    for error in (Unreachable("gone"), BadPayload("a web page")):
        calendar.answer = error
        main.run_for(200)
        assert store.state.sources["hol"].state(fake_clock()) == "failed"
        assert freezes_of(store.state, Rules(), "production", fake_clock(), 0).now == expected
    sync.close()


def test_the_calendars_that_the_settings_name() -> None:
    connections = {
        "hol": ConnectionSettings("icalendar", options={"path": "x", "environments": "production, dr"}),
        "all": ConnectionSettings("icalendar", url="https://example.invalid/x.ics"),
        "ci": ConnectionSettings("ci-v1"),
    }
    assert configured_in(connections) == {"hol": ("production", "dr"), "all": ()}


def test_a_silent_calendar_of_hard_freezes_is_passed_by_nobody() -> None:
    connections = {
        "hol": ConnectionSettings("icalendar", options={"path": "x", "hard": "true"}),
        "soft": ConnectionSettings("icalendar", options={"path": "y", "hard": "false"}),
    }
    assert hard_in(connections) == {"hol"}
    state, found = AppState(statements=(statement(),)), {}
    for name in connections:
        calendars = Calendars({name: ()})
        calendars.hard = hard_in(connections)
        freezes = calendars.freezes_of(state, RULES, "production", NOON, 0)
        assert freezes == freezes_of(state, RULES, "production", NOON, 0, {name: ()}, calendars.hard)
        assert freezes.unknown == (name,)
        found[name] = (freezes.closed, calendars.passed_by(state, RULES, "production", "gateway", NOON) is not None)
    assert found == {"hol": (("hol",), False), "soft": ((), True)}


def test_a_calendar_whose_last_answer_was_hard_is_taken_for_hard_when_it_falls_silent() -> None:
    freeze = holiday(NOON + 10 * DAY_US, NOON + 11 * DAY_US, hard=True)
    state = replace(with_calendar(freeze), statements=(statement(until_us=NOON + 9 * DAY_US),))
    assert Calendars().passed_by(state, RULES, "production", "gateway", NOON) is not None
    late = NOON + 3 * DAY_US
    assert freezes_of(state, RULES, "production", late, 0).closed == ("holidays",)
    assert Calendars().passed_by(state, RULES, "production", "gateway", late) is None
