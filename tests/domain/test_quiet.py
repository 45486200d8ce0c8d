"""Quiet hours by the wall clock: what is malformed first, then midnight, and the two days a year that have no 24 hours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cockpit.domain.quiet import Span, parse, quiet_now, zone_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "22:00-07:00"), ("22-7", "22:00-07:00"), ("22:00", "22:00-07:00"), ("22:00-07:00 daily", "22:00-07:00"),
        ("-1:00-07:00", "22:00-07:00"), ("22:00–07:00", "22:00-07:00"), ("24:00-07:00", "times of a day"),
        ("22:60-07:00", "times of a day"),
        ("22:00-24:01", "times of a day"), ("99:99-00:00", "times of a day"), ("07:00-07:00", "00:00-24:00"),
    ],
)  # fmt: skip
def test_what_is_no_span_says_how_it_is_written(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "CEST+", "\0", "europe", "x" * 5000])
def test_what_is_no_zone_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(name)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def quiet(span: str, moment_utc: str, zone: str = "Europe/Berlin") -> bool:
    return quiet_now((parse(span),), zone_of(zone), at(moment_utc)) is not None


def test_a_span_over_midnight_holds_on_both_sides_of_it() -> None:
    assert parse("22:00-07:00") == Span(22 * 60, 7 * 60)
    assert parse(" 9:30 - 24:00 ").until == "24:00"
    for moment, expected in (
        ("2026-11-21T20:59:59", False), ("2026-11-21T21:00:00", True), ("2026-11-21T22:59:59", True), ("2026-11-21T23:00:00", True),
        ("2026-11-22T05:59:59", True), ("2026-11-22T06:00:00", False),
    ):  # fmt: skip
        assert quiet("22:00-07:00", moment) is expected, moment
    assert quiet("00:00-24:00", "2026-11-22T23:00:00")
    assert not quiet("12:00-13:00", "2026-11-22T10:59:59")
    assert quiet_now((), None, at("2026-11-22T10:59:59")) is None


def test_they_follow_the_clock_on_the_wall_into_summer_and_back() -> None:
    # on 2026-03-29 the clocks of Berlin went from 02:00 to 03:00: seven o'clock is five in UTC from then on, six before
    assert quiet("22:00-07:00", "2026-03-28T05:59:59")
    assert not quiet("22:00-07:00", "2026-03-28T06:00:00")
    assert quiet("22:00-07:00", "2026-03-29T04:59:59")
    assert not quiet("22:00-07:00", "2026-03-29T05:00:00")
    # an hour that was not
    assert not any(quiet("02:00-03:00", f"2026-03-29T{h:02d}:{m:02d}:00") for h in range(24) for m in (0, 30))
    # on 2026-10-25 there was one twice: from 00:00 to 02:00 in UTC
    twice = [m for m in ("00:00", "00:59", "01:00", "01:59") if quiet("02:00-03:00", f"2026-10-25T{m}:00")]
    assert twice == ["00:00", "00:59", "01:00", "01:59"]
    assert not quiet("02:00-03:00", "2026-10-24T23:59:59")
    assert not quiet("02:00-03:00", "2026-10-25T02:00:00")


def test_several_spans_and_this_machines_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        spans = (parse("00:00-06:00"), parse("13:00-14:00"))
        assert quiet_now(spans, zone_of(""), at("2026-11-22T07:29:59")) is None
        found = quiet_now(spans, zone_of(""), at("2026-11-22T07:30:00"))
        assert found is not None
        assert found.until == "14:00"
    finally:
        monkeypatch.undo()
        time.tzset()
