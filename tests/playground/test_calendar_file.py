"""The playground's calendar: read by the real connector, frozen and let go again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cockpit.connectors.icalendar_parse import parse_calendar
from cockpit.playground import launcher
from cockpit.playground.calendar_file import FILE, freeze, make_calendar
from cockpit.playground.errors import PlaygroundError

NOW = datetime(2026, 11, 22, 9, 30, 15, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
DAY_US = 86_400_000_000


def events(directory: Path) -> list[tuple[str, int, int]]:
    found = parse_calendar((directory / FILE).read_bytes(), NOW_US - DAY_US, NOW_US + 2 * DAY_US)
    return [(f.name, (f.start_us - NOW_US) // 1_000_000, (f.end_us - f.start_us) // 1_000_000) for f in found]


def test_a_new_calendar_has_one_hour_some_time_ahead_and_stays(tmp_path: Path) -> None:
    make_calendar(tmp_path, NOW)
    ((name, ahead_s, lasts_s),) = events(tmp_path)
    assert "(made up)" in name
    assert 19 * 3600 < ahead_s <= 20 * 3600
    assert lasts_s == 3600
    before = (tmp_path / FILE).read_bytes()
    make_calendar(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_production_is_frozen_from_now_and_let_go(tmp_path: Path) -> None:
    make_calendar(tmp_path, NOW)
    assert freeze(tmp_path, 10, NOW) == "production is frozen until 09:40:15 UTC"
    assert events(tmp_path)[0][1:] == (0, 600)
    assert len(events(tmp_path)) == 2
    assert freeze(tmp_path, 0, NOW) == "production is not frozen"
    assert len(events(tmp_path)) == 1


def test_nothing_is_frozen_where_no_playground_is(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="never started"):
        launcher.freeze(tmp_path, 5)
    assert not list(tmp_path.iterdir())
