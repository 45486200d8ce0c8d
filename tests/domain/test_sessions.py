"""Sessions of a venue's day from its freezes: in order, without gaps, the same one of the day before."""

from __future__ import annotations

from itertools import pairwise

from cockpit.domain.calendar import DAY_US, MINUTE_US, Freeze, windows
from cockpit.domain.sessions import CLOSED, CONTINUOUS, same_before, session_at, sessions

DAY = 20_000 * DAY_US


def at(hour: int, minute: int = 0, day: int = 0) -> int:
    return DAY + day * DAY_US + (hour * 60 + minute) * MINUTE_US


def freeze(name: str, start: int, end: int, *environments: str) -> Freeze:
    return Freeze(name, start, end, "calendar", environments=environments)


def equities(day: int = 0) -> tuple[Freeze, ...]:
    return (
        freeze("Pre-open", at(8, 30, day), at(8, 50, day)),
        freeze("Opening auction", at(8, 50, day), at(9, 0, day)),
        freeze("Closing auction", at(17, 30, day), at(17, 35, day)),
    )


def test_nothing_is_known_without_a_calendar() -> None:
    assert sessions((), "production") == ()
    assert session_at((), at(9)) is None


def test_another_environments_freezes_and_long_ones_are_no_sessions() -> None:
    assert sessions((freeze("Expiry", at(7), at(8), "staging"),), "production") == ()
    assert sessions((freeze("Christmas", at(0), at(0, day=10)),), "production") == ()
    assert sessions((freeze("Nothing", at(7), at(7)),), "production") == ()


def test_a_day_of_auctions() -> None:
    found = sessions((*equities(), *equities(1)), "production")
    assert [s.name for s in found[:5]] == ["Pre-open", "Opening auction", CONTINUOUS, "Closing auction", CLOSED]
    assert all(a.end_us == b.start_us for a, b in pairwise(found))
    night = session_at(found, at(23))
    assert night is not None
    assert (night.name, night.named) == (CLOSED, False)


def test_of_two_at_once_the_later_one_counts() -> None:
    found = sessions((freeze("Expiry", at(7), at(9)), freeze("Funding", at(7, 55), at(8, 5))), "production")
    assert [(s.name, s.start_us) for s in found] == [("Expiry", at(7)), ("Funding", at(7, 55)), ("Expiry", at(8, 5))]


def test_venue_rules_divide_the_day() -> None:
    found = sessions(windows(("deribit-expiry",), at(0), at(0, day=3)), "production")
    assert {s.name for s in found} >= {CONTINUOUS, "Deribit daily expiry"}


def test_the_same_session_of_the_day_before() -> None:
    found = sessions((*equities(-1), *equities(), *equities(1)), "production")
    now = session_at(found, at(12))
    assert now is not None
    before = same_before(found, now)
    assert before is not None
    assert (before.name, before.start_us) == (CONTINUOUS, at(9, day=-1))
    first = found[0]
    assert same_before(found, first) is None


def test_of_several_gaps_a_day_the_one_of_that_hour() -> None:
    funding = windows(("funding-8h",), at(0, day=-2), at(23, day=0))
    found = sessions(funding, "production")
    now = session_at(found, at(10))
    assert now is not None
    before = same_before(found, now)
    assert before is not None
    assert before.start_us == at(8, 5, day=-1)


def test_a_weekly_session_is_found_a_week_before() -> None:
    found = sessions((freeze("Roll", at(8, day=-7), at(9, day=-7)), *equities(-1), freeze("Roll", at(8), at(8, 30))), "production")
    roll = session_at(found, at(8, 10))
    assert roll is not None
    before = same_before(found, roll)
    assert before is not None
    assert before.start_us == at(8, day=-7)
