"""Calendars of freezes: what iCalendar means, hostile files, files on disk and behind an address."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cockpit.connectors import icalendar_parse, registry
from cockpit.connectors.icalendar_file import IcalendarFile, parse_calendar
from cockpit.connectors.ports import Calendar
from cockpit.connectors.text import one_line
from cockpit.domain.calendar import Freeze
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, NotFound, Unreachable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONE = """BEGIN:VTIMEZONE
TZID:{name}
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZOFFSETFROM:{summer}
TZOFFSETTO:{winter}
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZOFFSETFROM:{winter}
TZOFFSETTO:{summer}
END:DAYLIGHT
END:VTIMEZONE"""


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)  # type: ignore[misc]


FROM, TO = us(2026, 10, 1), us(2027, 1, 1)


def ics(*events: str, head: str = "") -> bytes:
    """A calendar of these events, each given by its lines."""
    parts = [f"BEGIN:VEVENT\nUID:{number}\n{event}\nEND:VEVENT" for number, event in enumerate(events)]
    lines = "\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *([head] if head else []), *parts, "END:VCALENDAR", ""])
    return lines.replace("\n", "\r\n").encode()


def times(body: bytes, start_us: int = FROM, end_us: int = TO) -> list[tuple[str, str]]:
    """(start, end) of each freeze, as `MM-DD HH:MM`."""
    found = parse_calendar(body, start_us, end_us)
    return [tuple(f"{EPOCH + timedelta(microseconds=at):%m-%d %H:%M}" for at in (f.start_us, f.end_us)) for f in found]  # type: ignore[misc]


def outcome(body: bytes) -> tuple[tuple[Freeze, ...], BadPayload | None]:
    """What is read of a calendar, or why nothing is."""
    try:
        return parse_calendar(body, FROM, TO), None
    except BadPayload as error:
        return (), error


# what is refused


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n", "empty"),
        (b"hello", "does not begin"),
        (b"\n <!DOCTYPE html><html>log in</html>", "web page"),
        (b'{"error": "no"}', "does not begin"),
        (b"\x00\xff\xfe" * 50, "does not begin"),
        (b"BEGIN:VCALENDAR\r\n", "half-way"),
        (ics("DTSTART:20261101T000000Z")[:-15], "half-way"),
        (ics("DTSTART:20261101T000000Z")[:-20], "did not begin so"),
        (b"BEGIN:VEVENT\r\nEND:VEVENT\r\n", "does not begin"),
        (b"BEGIN:VCALENDAR\r\nEND:VEVENT\r\n", "did not begin so"),
        (ics("BEGIN:X\n" * 20 + "END:X\n" * 20), "too deeply"),
        (ics("SUMMARY:no start"), "no DTSTART"),
        (ics("DTSTART:garbage"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nDTSTART:20261102T000000Z"), "2 DTSTART"),
        (ics("DTSTART:20261101T000000Z/PT1H"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nDURATION:long"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nRRULE;;;"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nRRULE:FREQ=NEVER"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nRRULE:COUNT=3"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nRRULE:FREQ=DAILY;UNTIL=soon"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z\nRRULE:FREQ=DAILY;INTERVAL=0"), "no interval"),
        (ics("DTSTART:99991231T230000Z\nDURATION:PT2H"), "cannot be read"),
        (ics("DTSTART;TZID=Nowhere/Land:20261101T000000"), "Nowhere/Land is not known"),
        (ics("DTSTART;TZID=../../etc/passwd:20261101T000000"), "is not known"),
        (ics("DTSTART:20261101T000000Z\nRDATE;TZID=Nowhere:20261102T000000"), "Nowhere is not known"),
        (ics("DTSTART:20261101T000000", head="X-WR-TIMEZONE:Nowhere"), "cannot be read"),
        (ics("DTSTART:20261101T000000Z", head="CALSCALE:KLINGON"), "Gregorian"),
    ],
)
def test_what_cannot_be_understood_is_no_empty_calendar(body: bytes, says: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parse_calendar(body, FROM, TO)
    assert says in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=MINUTELY;INTERVAL=5",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=99",
        "FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=" + ",".join(map(str, range(60))),
        "FREQ=HOURLY;BYMINUTE=" + ",".join(map(str, range(60))),
    ],
)
def test_recurrences_without_end_are_refused_in_time(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icalendar_parse, "MAX_RULE_WORK", 50_000)
    started = time.thread_time()
    with pytest.raises(BadPayload):
        parse_calendar(ics(f"DTSTART:20201101T000000Z\nDURATION:PT1M\nRRULE:{rule}"), FROM, TO)
    assert time.thread_time() - started < 10


def test_too_many_events_lines_bytes_and_zones_are_refused() -> None:
    everything = [
        ics(*["DTSTART:20261101T000000Z\nDTEND:20261101T010000Z\nRRULE:FREQ=DAILY"] * 400),
        ics("DTSTART:20261101T000000Z\n" + "X:1\n" * icalendar_parse.MAX_LINES),
        ics("DTSTART:20261101T000000Z\nDESCRIPTION:" + "x" * icalendar_parse.MAX_BYTES),
        ics("DTSTART:20261101T000000Z", head="\n".join(ZONE.format(name=f"z{n}", summer="+0200", winter="+0100") for n in range(40))),
        ics("DTSTART:20261101T000000Z", head=ZONE.format(name="z", summer="+0200", winter="+0100").replace("YEARLY", "SECONDLY")),
        ics("DTSTART:20261101T000000Z\n" + "RECURRENCE-ID;RANGE=THISANDFUTURE:20261101T000000Z\n" * 300),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(icalendar_parse, "MAX_OCCURRENCES", 2_000)
        for body in everything:
            with pytest.raises(BadPayload):
                parse_calendar(body, FROM, TO)


def test_a_folded_line_hides_nothing() -> None:
    zone = ZONE.format(name="z", summer="+0200", winter="+0100").replace("FREQ=YEARLY", "FREQ=SECO\n\n NDLY")
    with pytest.raises(BadPayload, match="otherwise than yearly"):
        parse_calendar(ics("DTSTART;TZID=z:20261101T000000", head=zone), FROM, TO)
    assert times(ics("DTST\n ART:202611\n\t01T000000Z\nDURATION:PT1H")) == [("11-01 00:00", "11-01 01:00")]


EVENT_LINES = st.sampled_from(
    [
        *("DTSTART:20261101T100000Z", "DTSTART;VALUE=DATE:20261101", "DTSTART;TZID=Europe/Berlin:20261101T100000", "DTSTART:20261101T1"),
        *("DTEND:20261101T120000Z", "DTEND;VALUE=DATE:20261105", "DURATION:PT1H", "DURATION:-P9999999D", "STATUS:CANCELLED", "SEQUENCE:x"),
        *("RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY;COUNT=-2", "RRULE:FREQ=YEARLY;BYDAY=99MO;UNTIL=20270101", "RDATE:20261110T000000Z/PT2H"),
        *("EXDATE:20261102T100000Z", "EXDATE;VALUE=DATE:20261103", "RECURRENCE-ID:20261104T100000Z", "RECURRENCE-ID;VALUE=DATE:20261104"),
        *(
            "RECURRENCE-ID;RANGE=THISANDFUTURE:20261105T100000Z",
            "SUMMARY:a\\nb\x1b[31m",
            "SUMMARY;X=:",
            "BEGIN:VALARM",
            "END:VALARM",
            "UID:0",
        ),
        *(";:;:", "\ud7ff\u202e:1", " folded", "BEGIN:VEVENT", "END:VEVENT"),
    ]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=300), st.lists(st.lists(EVENT_LINES | st.text(max_size=20), max_size=7), max_size=4)))
def test_nothing_but_freezes_or_bad_payload_comes_out(content: bytes | list[list[str]]) -> None:
    body = content if isinstance(content, bytes) else ics(*("\n".join(lines) for lines in content))
    found, error = outcome(body)
    assert error is None or one_line(error.message) == error.message
    assert all(f.start_us < f.end_us and f.start_us < TO and f.end_us > FROM and one_line(f.name) == f.name for f in found)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_calendar_with_one_byte_changed(data: st.DataObject) -> None:
    whole = ics("DTSTART;TZID=my:20261101T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE;TZID=my:20261102T100000",
                head=ZONE.format(name="my", summer="+0200", winter="+0100"))  # fmt: skip
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :]
    _, error = outcome(changed)
    assert error is None or error.hint


# what events mean


def test_daily_events_move_with_daylight_saving() -> None:
    body = ics("DTSTART;TZID=Europe/Berlin:20261001T143000\nDTEND;TZID=Europe/Berlin:20261001T150000\nRRULE:FREQ=DAILY")
    assert times(body, us(2026, 10, 24), us(2026, 10, 27)) == [
        ("10-24 12:30", "10-24 13:00"),
        ("10-25 13:30", "10-25 14:00"),
        ("10-26 13:30", "10-26 14:00"),
    ]
    spring = times(body, us(2027, 3, 27), us(2027, 3, 30))
    assert [start for start, _ in spring] == ["03-27 13:30", "03-28 12:30", "03-29 12:30"]


def test_a_freeze_in_the_hour_that_the_clock_skips_still_freezes() -> None:
    body = ics("DTSTART;TZID=America/New_York:20260301T023000\nDTEND;TZID=America/New_York:20260301T033000\nRRULE:FREQ=DAILY")
    assert times(body, us(2026, 3, 7), us(2026, 3, 10)) == [
        ("03-07 07:30", "03-07 08:30"),
        ("03-08 07:30", "03-08 08:30"),
        ("03-09 06:30", "03-09 07:30"),
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 700), st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]))
def test_local_times_agree_with_the_zone_database(days: int, zone: str) -> None:
    start = us(2026, 1, 1) + days * 86_400_000_000
    body = ics(f"DTSTART;TZID={zone}:20251220T143000\nDURATION:PT30M\nRRULE:FREQ=DAILY")
    found = parse_calendar(body, start, start + 3 * 86_400_000_000)
    local = [(EPOCH + timedelta(microseconds=f.start_us)).astimezone(ZoneInfo(zone)) for f in found]
    assert [(m.hour, m.minute) for m in local] == [(14, 30)] * 3
    assert len({m.date() for m in local}) == 3


def test_zones_that_the_calendar_brings_and_those_of_windows() -> None:
    event = "DTSTART;TZID=Ours:20261101T100000\nDURATION:PT1H"
    winter, far = (ZONE.format(name="Ours", summer=s, winter=w) for s, w in (("+0200", "+0100"), ("+1300", "+1200")))
    assert times(ics(event, head=winter)) == [("11-01 09:00", "11-01 10:00")]
    # another calendar may call another zone by the same name, and one that brings none has none
    assert times(ics(event, head=far)) == [("10-31 22:00", "10-31 23:00")]
    with pytest.raises(BadPayload, match="Ours is not known"):
        parse_calendar(ics(event), FROM, TO)
    assert times(ics(event.replace("Ours", "W. Europe Standard Time"))) == [("11-01 09:00", "11-01 10:00")]


def test_all_day_events_and_floating_times() -> None:
    day = "DTSTART;VALUE=DATE:20261225"
    assert times(ics(day)) == [("12-25 00:00", "12-26 00:00")]
    assert times(ics(day + "\nDTEND;VALUE=DATE:20261228")) == [("12-25 00:00", "12-28 00:00")]
    assert times(ics(day, head="X-WR-TIMEZONE:Pacific/Auckland")) == [("12-24 11:00", "12-25 11:00")]
    floating = "DTSTART:20261225T100000\nDTEND:20261225T110000"
    assert times(ics(floating)) == [("12-25 10:00", "12-25 11:00")]
    assert times(ics(floating, head="X-WR-TIMEZONE:America/New_York")) == [("12-25 15:00", "12-25 16:00")]


def test_recurrences_with_exceptions() -> None:
    series = "UID:s\nDTSTART:20261201T100000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5\nEXDATE:20261202T100000Z\nSUMMARY:Series"
    moved = "UID:s\nRECURRENCE-ID:20261203T100000Z\nDTSTART:20261203T150000Z\nDURATION:PT2H\nSUMMARY:Moved"
    gone = "UID:s\nRECURRENCE-ID:20261204T100000Z\nDTSTART:20261204T100000Z\nDURATION:PT1H\nSTATUS:CANCELLED"
    body = b"".join(
        (b"BEGIN:VCALENDAR\n", *(f"BEGIN:VEVENT\n{e}\nEND:VEVENT\n".encode() for e in (series, moved, gone)), b"END:VCALENDAR\n")
    )
    assert times(body) == [("12-01 10:00", "12-01 11:00"), ("12-03 15:00", "12-03 17:00"), ("12-05 10:00", "12-05 11:00")]
    assert [f.name for f in parse_calendar(body, FROM, TO)] == ["Series", "Moved", "Series"]


def test_extra_dates_and_an_end_of_the_series() -> None:
    body = ics("DTSTART:20261201T100000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;UNTIL=20261209T000000Z\nRDATE:20261220T080000Z")
    assert [start for start, _ in times(body)] == ["12-01 10:00", "12-08 10:00", "12-20 08:00"]


def test_series_without_end_are_followed_within_the_question_only() -> None:
    body = ics("DTSTART:20000107T070000Z\nDURATION:PT90M\nRRULE:FREQ=MONTHLY;BYDAY=-1FR\nSUMMARY:Month end")
    assert [start for start, _ in times(body)] == ["10-30 07:00", "11-27 07:00", "12-25 07:00"]
    leap = ics("DTSTART;VALUE=DATE:20240229\nRRULE:FREQ=YEARLY")
    assert times(leap, us(2025, 1, 1), us(2029, 1, 1)) == [("02-29 00:00", "03-01 00:00")]


def test_what_is_cancelled_or_has_no_length_freezes_nothing_and_all_else_does() -> None:
    long = "DTSTART:20261201T100000Z\nDTEND:20261201T110000Z\n"
    assert times(ics(long + "STATUS:CANCELLED", "DTSTART:20261201T100000Z")) == []
    # whether it takes up anybody's time, or is yet to be confirmed, is another question than whether it freezes
    for standing in ("STATUS:TENTATIVE", "TRANSP:TRANSPARENT", "STATUS:ABGESAGT"):
        assert len(times(ics(long + standing))) == 1
    assert times(ics("DTSTART:20261201T110000Z\nDTEND:20261201T100000Z")) == [("12-01 10:00", "12-01 11:00")]


def test_bounds_of_the_question_are_exact() -> None:
    body = ics("DTSTART:20261201T100000Z\nDTEND:20261201T110000Z")
    start, end = us(2026, 12, 1, 10), us(2026, 12, 1, 11)
    assert len(parse_calendar(body, end - 1, TO)) == len(parse_calendar(body, FROM, start + 1)) == 1
    assert parse_calendar(body, end, TO) == parse_calendar(body, FROM, start) == ()


def test_text_is_plain_and_short() -> None:
    body = ics(
        "DTSTART:20261201T100000Z\nDURATION:PT1H\nSUMMARY:\u202e<b>Year\\nend\x1b[31m" + "!" * 500, head="X-WR-CALNAME:Our\\, freezes"
    )
    (found,) = parse_calendar(body, FROM, TO)
    assert found.name.startswith("\ufffd<b>Year end")
    assert len(found.name) == icalendar_parse.NAME_CHARS
    assert found.source == "Our, freezes"


def test_other_parts_and_several_calendars_in_one_file() -> None:
    one = ics("DTSTART:20261201T100000Z\nDURATION:PT1H\nBEGIN:VALARM\nTRIGGER:-PT5M\nDURATION:PT5M\nEND:VALARM")
    todo = b"BEGIN:VCALENDAR\nBEGIN:VTODO\nDTSTART:x\nRRULE:FREQ=SECONDLY\nBEGIN:VEVENT\nEND:VEVENT\nEND:VTODO\n;:;\nEND:VCALENDAR\n"
    assert len(times(one + todo + ics("DTSTART;VALUE=DATE:20261224"))) == 2
    assert times(b"\xef\xbb\xbfbegin:vcalendar\nend:vcalendar\n") == []


# files


def made(tmp_path: Path, body: bytes, **options: str) -> tuple[IcalendarFile, Path]:
    path = tmp_path / "freezes.ics"
    path.write_bytes(body)
    return registry.create("icalendar", {"path": str(path), **options}, str), path


EVENT = "DTSTART:20261201T100000Z\nDURATION:PT1H\nSUMMARY:Year end"


def test_a_file_with_environments_and_hard_freezes(tmp_path: Path) -> None:
    calendar, _ = made(tmp_path, ics(EVENT, head="X-WR-CALNAME:Ours"), environments="production, dr", hard="true")
    assert isinstance(calendar, Calendar)
    expected = Freeze("Year end", us(2026, 12, 1, 10), us(2026, 12, 1, 11), "Ours", True, ("production", "dr"))
    assert calendar.freezes(FROM, TO) == (expected,)
    assert calendar.probe().reached == "Ours, 1 event"
    calendar.close()


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    calendar, path = made(tmp_path, ics(EVENT))
    first = calendar.freezes(FROM, TO)
    assert calendar.freezes(FROM, TO) is first
    assert calendar.probe().reached == "freezes.ics, 1 event"
    path.write_bytes(ics(EVENT, EVENT.replace("1201", "1202")))
    assert len(calendar.freezes(FROM, TO)) == 2
    path.write_bytes(b"<html>")
    with pytest.raises(BadPayload):
        calendar.freezes(FROM, TO)
    path.write_bytes(ics(EVENT))
    assert calendar.freezes(FROM, TO) == first
    path.unlink()
    with pytest.raises(NotFound):
        calendar.freezes(FROM, TO)


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.ics"
    os.mkfifo(pipe)
    big = tmp_path / "big.ics"
    with big.open("wb") as file:
        file.truncate(1 << 30)
    for path, kind in ((pipe, BadPayload), (tmp_path, ConnectorError), (big, BadPayload), (tmp_path / "pipe.ics" / "x", Unreachable)):
        with pytest.raises(kind):
            registry.create("icalendar", {"path": str(path)}, str).freezes(FROM, TO)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": "/x.ics", "url": "http://127.0.0.1:1/x"},
        {"path": "freezes.ics"},
        {"path": "/a\0b"},
        {"path": "/x.ics", "hard": "very"},
        {"url": "nonsense"},
        {"url": "https://"},
        {"url": "https://[bad/x"},
        {"url": "https://user:pass@host/x"},
        {"url": "http://127.0.0.1:1/x#part"},
        {"pth": "/x.ics"},
    ],
)
def test_options_that_make_no_sense(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("icalendar", options, str)
    assert caught.value.hint
    assert "pass@" not in str(caught.value)


# addresses


def test_an_address_is_asked_with_its_query_token_and_etag(server: Any) -> None:
    server.script = [
        server.answer(200, ics(EVENT), "text/calendar", ETag='"1"'),
        server.answer(304),
        server.answer(200, ics(EVENT, EVENT.replace("1201", "1202")), "text/calendar", ETag='"2"'),
    ]
    calendar = registry.create("icalendar", {"url": f"{server.url}/cal/basic.ics?key=s3cr3t&x=a%20b"}, lambda: "t0ken")
    first = calendar.freezes(FROM, TO)
    assert len(first) == 1
    assert calendar.freezes(FROM, TO) is first
    assert len(calendar.freezes(FROM, TO)) == 2
    assert [r.path for r in server.requests] == ["/cal/basic.ics?key=s3cr3t&x=a%20b"] * 3
    assert [r.headers.get("if-none-match") for r in server.requests] == [None, '"1"', '"1"']
    assert server.requests[0].headers["authorization"] == "Bearer t0ken"
    assert server.requests[0].headers["accept"].startswith("text/calendar")
    calendar.close()


def test_an_address_that_fails(server: Any, closed_port: int) -> None:
    server.script = [
        server.answer(200, b"<html>please log in</html>", "text/html"),
        server.answer(200, ics(EVENT)[:50], "text/calendar"),
        server.answer(401),
        server.answer(404),
        server.answer(200, b"x" * (icalendar_parse.MAX_BYTES + 10), "text/calendar"),
    ]
    calendar = registry.create("icalendar", {"url": f"{server.url}/x.ics?key=s3cr3t"}, str)
    for kind in (BadPayload, BadPayload, AuthFailed, NotFound, BadPayload):
        with pytest.raises(kind) as caught:
            calendar.freezes(FROM, TO)
        assert "s3cr3t" not in str(caught.value)
        assert caught.value.hint
    calendar.close()
    with pytest.raises(Unreachable):
        registry.create("icalendar", {"url": f"http://127.0.0.1:{closed_port}/x.ics"}, str).freezes(FROM, TO)
