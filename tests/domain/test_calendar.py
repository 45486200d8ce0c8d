"""Freezes: the built-in venue rules, what holds now, and the next window that is long enough."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.calendar import (
    BUILTIN,
    DAY_US,
    MINUTE_US,
    Freeze,
    Freezes,
    environment_names,
    freeze_words,
    look,
    merged,
    safe_words,
    time_words,
    windows,
)

HOUR_US = 60 * MINUTE_US
ALL = tuple(BUILTIN)


def us(*parts: int) -> int:
    moment = datetime(*parts, tzinfo=UTC)  # type: ignore[misc]
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def deribit(*day: int) -> Freeze:
    (found,) = windows(("deribit-expiry",), us(*day), us(*day) + DAY_US)
    return found


# venue rules


def test_every_rule_names_its_source_and_lasts() -> None:
    for name, rule in BUILTIN.items():
        assert rule.name == name
        assert len(rule.source) > 20
        for freeze in windows((name,), us(2026, 1, 1), us(2027, 1, 1)):
            assert freeze.source == rule.source
            assert 0 < freeze.end_us - freeze.start_us < DAY_US


def test_the_daily_expiry_with_its_averaging() -> None:
    wednesday = deribit(2026, 11, 25)
    assert (wednesday.start_us, wednesday.end_us) == (us(2026, 11, 25, 7, 25), us(2026, 11, 25, 8, 15))
    assert (wednesday.name, wednesday.hard) == ("Deribit daily expiry", False)


@pytest.mark.parametrize(
    ("day", "name", "hard"),
    [
        ((2026, 11, 20), "Deribit weekly expiry", False),
        ((2026, 11, 27), "Deribit monthly expiry", True),
        ((2026, 12, 25), "Deribit quarterly expiry", True),
        ((2026, 3, 27), "Deribit quarterly expiry", True),
        ((2028, 2, 25), "Deribit monthly expiry", True),  # leap year, the 29th is a Tuesday
        ((2024, 2, 23), "Deribit monthly expiry", True),  # leap year, the 29th is a Thursday: one day short of another Friday
        ((2008, 2, 29), "Deribit monthly expiry", True),  # leap year that ends its February on a Friday
        ((2008, 2, 22), "Deribit weekly expiry", False),
        ((2027, 12, 31), "Deribit quarterly expiry", True),
        ((9999, 12, 31), "Deribit quarterly expiry", True),
    ],
)
def test_fridays_are_longer_and_month_ends_are_hard(day: tuple[int, int, int], name: str, hard: bool) -> None:
    rule = BUILTIN["deribit-expiry"].of_day(date(*day))
    assert [(f.name, f.hard) for f in rule] == [(name, hard)]
    assert rule[0].end_us - rule[0].start_us == 90 * MINUTE_US


@given(st.dates(date(1970, 1, 1), date(2400, 12, 31)))
def test_month_ends_agree_with_a_calendar_on_paper(day: date) -> None:
    month = calendar.Calendar().itermonthdates(day.year, day.month)
    fridays = [d for d in month if d.month == day.month and d.weekday() == calendar.FRIDAY]
    (freeze,) = BUILTIN["deribit-expiry"].of_day(day)
    assert freeze.hard == (day == fridays[-1])
    assert ("quarterly" in freeze.name) == (day == fridays[-1] and day.month in (3, 6, 9, 12))
    assert ("daily" in freeze.name) == (day not in fridays)


def test_funding_three_times_a_day_and_over_midnight() -> None:
    found = windows(("funding-8h",), us(2026, 11, 25), us(2026, 11, 26))
    starts = [(f.start_us - us(2026, 11, 25)) // MINUTE_US for f in found]
    assert starts == [-5, 8 * 60 - 5, 16 * 60 - 5, 24 * 60 - 5]
    assert {f.end_us - f.start_us for f in found} == {10 * MINUTE_US}
    # the last microsecond of a window belongs to it, its end does not
    assert windows(("funding-8h",), us(2026, 11, 25, 0, 5), us(2026, 11, 25, 7, 55)) == ()
    assert len(windows(("funding-8h",), us(2026, 11, 25, 0, 5) - 1, us(2026, 11, 25, 7, 55) + 1)) == 2


@given(st.integers(us(1975, 1, 1), us(2099, 1, 1)), st.integers(0, 40 * DAY_US))
def test_windows_are_those_of_all_days_that_touch(start_us: int, span_us: int) -> None:
    end_us = start_us + span_us
    every = []
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start_us) - timedelta(days=3)
    while (day - timedelta(days=3)).timestamp() * 1e6 <= end_us:
        every += [f for rule in BUILTIN.values() for f in rule.of_day(day.date())]
        day += timedelta(days=1)
    naive = sorted((f for f in every if f.start_us < end_us and f.end_us > start_us), key=lambda f: (f.start_us, f.end_us, f.name))
    assert list(windows(ALL, start_us, end_us)) == naive


def test_unknown_names_and_odd_spans_give_nothing() -> None:
    assert windows(("deribit-expirry",), 0, DAY_US) == ()
    assert windows(ALL, DAY_US, 0) == ()
    assert windows(ALL, -(1 << 62), -(1 << 61)) == ()
    assert windows(("funding-8h", "funding-8h"), 0, DAY_US) == windows(("funding-8h",), 0, DAY_US)


# merging


def test_the_same_reason_becomes_one_and_others_stay_apart() -> None:
    a, b, c = Freeze("x", 0, 10), Freeze("x", 10, 20), Freeze("x", 5, 12)
    assert merged((b, c, a)) == (Freeze("x", 0, 20),)
    assert merged((a, Freeze("x", 11, 20))) == (a, Freeze("x", 11, 20))
    hard = Freeze("x", 0, 10, hard=True)
    assert set(merged((a, hard, Freeze("y", 0, 10)))) == {a, hard, Freeze("y", 0, 10)}
    assert merged((Freeze("x", 5, 5), Freeze("x", 9, 3))) == ()
    assert merged((Freeze("x", 0, 100), Freeze("x", 10, 20))) == (Freeze("x", 0, 100),)


# now, next, safe


def test_bounds_are_exact_to_the_microsecond() -> None:
    freezes = (Freeze("x", 1000, 2000),)
    assert look(freezes, "production", 999, 0).now == ()
    assert look(freezes, "production", 1000, 0).now == freezes
    assert look(freezes, "production", 1999, 0).now == freezes
    assert look(freezes, "production", 2000, 0).now == ()
    assert look(freezes, "production", 999, 0).next == freezes[0]
    assert look(freezes, "production", 1000, 0).next is None


def test_other_environments_and_empty_freezes_do_not_count() -> None:
    freezes = (Freeze("x", 0, 100, environments=("production",)), Freeze("y", 50, 50))
    assert look(freezes, "staging", 50, 0) == Freezes((), None, (50, 50 + 35 * DAY_US))
    assert look(freezes, "production", 50, 0).now == freezes[:1]


def test_hard_freezes_come_first() -> None:
    soft, hard, longer = Freeze("a", 0, 50), Freeze("z", 0, 10, hard=True), Freeze("b", 0, 90)
    assert look((soft, hard, longer), "", 5, 0).now == (hard, longer, soft)


def test_the_next_safe_window_fits_the_duration() -> None:
    freezes = (Freeze("a", 0, 10 * MINUTE_US), Freeze("b", 12 * MINUTE_US, 20 * MINUTE_US), Freeze("c", 40 * MINUTE_US, HOUR_US))
    now = 5 * MINUTE_US
    assert look(freezes, "", now, 120).safe == (10 * MINUTE_US, 12 * MINUTE_US)
    assert look(freezes, "", now, 120.000001).safe == (20 * MINUTE_US, 40 * MINUTE_US)
    assert look(freezes, "", now, 3600).safe == (HOUR_US, now + 35 * DAY_US)


def test_a_window_that_has_begun_counts_from_now_on() -> None:
    freezes = (Freeze("a", 0, 10), Freeze("b", 100, 200))
    assert look(freezes, "", 40, 60e-6).safe == (10, 100)
    assert look(freezes, "", 41, 60e-6).safe == (200, 41 + 35 * DAY_US)
    assert look((), "", 41, 60).safe == (41, 41 + 35 * DAY_US)


def test_freezes_that_meet_leave_no_window() -> None:
    freezes = (Freeze("a", 0, 50), Freeze("b", 50, 100), Freeze("c", 40, 60))
    assert look(freezes, "", 10, 0).safe == (100, 10 + 35 * DAY_US)
    assert look((Freeze("a", 0, 1 << 62),), "", 10, 0).safe is None
    assert look((Freeze("a", 0, 50),), "", 10, 10, horizon_s=10).safe is None


freeze = st.builds(
    lambda start, length, name: Freeze(name, start, start + length), st.integers(-50, 250), st.integers(0, 60), st.sampled_from("abc")
)


@given(st.lists(freeze, max_size=8), st.integers(0, 200), st.integers(0, 80), st.integers(1, 200))
def test_look_agrees_with_a_naive_oracle(freezes: list[Freeze], now: int, duration: int, horizon: int) -> None:
    found = look(freezes, "production", now, duration / 1e6, horizon / 1e6)
    busy = {t for f in freezes for t in range(f.start_us, f.end_us)}
    assert set(found.now) == {f for f in freezes if now in range(f.start_us, f.end_us)}
    later = [f.start_us for f in freezes if f.start_us > now and f.end_us > f.start_us]
    assert (found.next.start_us if found.next else None) == (min(later) if later else None)
    need = max(1, duration)
    fits = [t for t in range(now, now + horizon - need + 1) if not any(u in busy for u in range(t, t + need))]
    assert (max(now, found.safe[0]) if found.safe else None) == (fits[0] if fits else None)
    if found.safe is not None:
        assert not busy & set(range(*found.safe))
        assert found.safe[1] == now + horizon or found.safe[1] in busy


@given(st.lists(freeze, max_size=8), st.integers(0, 200))
def test_merging_changes_nothing_of_what_is_frozen(freezes: list[Freeze], now: int) -> None:
    before, after = look(freezes, "", now, 0), look(merged(freezes), "", now, 0)
    assert {f.name for f in before.now} == {f.name for f in after.now}
    # how far back the window began may be known better where the freezes before it were merged
    assert (before.safe and (max(now, before.safe[0]), before.safe[1])) == (after.safe and (max(now, after.safe[0]), after.safe[1]))


# words


def test_freezes_in_words() -> None:
    now = us(2026, 11, 25, 7, 30)
    freezes = windows(("deribit-expiry",), now - DAY_US, now + 36 * DAY_US)
    assert freeze_words(look(freezes, "", now, 600), now) == ("blocked", "frozen until 08:15 UTC: Deribit daily expiry")
    assert safe_words(look(freezes, "", now, 600), now) == "safe from 08:15 UTC for 23 h 10 min"
    early = us(2026, 11, 25, 6, 0)
    assert freeze_words(look(freezes, "", early, 600), early) == ("ok", "freeze: none - next 07:25 UTC")
    assert safe_words(look(freezes, "", early, 600), early) == "safe now, for 1 h 25 min"
    late = us(2026, 11, 25, 9, 0)
    assert freeze_words(look(freezes, "", late, 600), late) == ("ok", "freeze: none - next Thu 26 Nov 07:25 UTC")
    hard = us(2026, 11, 27, 7, 5)
    assert freeze_words(look(freezes, "", hard, 600), hard) == ("blocked", "frozen until 08:30 UTC: Deribit monthly expiry (hard)")


def test_what_is_not_known_never_reads_as_ok() -> None:
    assert freeze_words(Freezes(unknown=("holidays",)), 0) == ("unknown", "calendar holidays does not answer")
    assert freeze_words(Freezes(unknown=("a", "b")), 0)[1] == "calendars a, b do not answer"
    both = freeze_words(Freezes(now=(Freeze("x", 0, MINUTE_US),), unknown=("holidays",)), 0)
    assert both == ("blocked", "frozen until 00:01 UTC: x; calendar holidays does not answer")
    assert "not every calendar" in safe_words(Freezes(unknown=("holidays",), safe=(0, 10)), 0)
    assert safe_words(Freezes(), 0) == "no window is long enough in the next 35 days"
    assert freeze_words(Freezes(), 0) == ("ok", "freeze: none")


def test_moments_and_lengths_in_words() -> None:
    now = us(2026, 12, 31, 23, 0)
    assert time_words(us(2027, 1, 1), now) == "1 Jan 2027 00:00 UTC"
    assert time_words(now + 30_000_000, now) == "23:00:30 UTC"
    assert "9999" in time_words(1 << 62, now)
    assert safe_words(Freezes(safe=(now, now + 30_000_000)), now) == "safe now, for 30 s"
    assert safe_words(Freezes(safe=(now, now + 3 * DAY_US)), now) == "safe now, for 3 days"


def test_environment_names() -> None:
    assert environment_names(" production, staging,production ,") == ("production", "staging")
    assert environment_names("") == ()
