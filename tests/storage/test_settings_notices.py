"""The settings of notices: mistakes are told with their path, and never silence anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.storage.settings import NoticeSettings, load, load_lenient


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cockpit.toml"
    path.write_text(f"[notices]\n{text}\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('quiet = ["22-7"]', 'notices.quiet[0]: must be such as "22:00-07:00", not "22-7"'),
        ('quiet = ["22:00-07:00", "25:00-26:00"]', "notices.quiet[1]: must be times of a day, from 00:00 to 24:00"),
        ('quiet = ["08:00-08:00"]', "notices.quiet[0]: begins when it ends"),
        ('quiet = "22:00-07:00"', 'notices.quiet: expected a list, got text "22:00-07:00"'),
        ("quiet = [22]", "notices.quiet[0]: expected text"),
        ('quiet_zone = "Europe/Berlim"', 'notices.quiet_zone: "Europe/Berlim" is no time zone'),
        ('quiet = ["22:00-07:00"]\nquiet_zone = "../../etc/passwd"', "is no time zone"),
        ("sound = 1", "notices.sound: expected true or false"),
        ("desktp = false", 'notices.desktp: unknown key (did you mean "desktop"?)'),
    ],
)
def test_a_mistake_is_told_and_silences_nothing(tmp_path: Path, text: str, words: str) -> None:
    settings, error = load_lenient(write(tmp_path, text))
    assert error is not None
    assert words in "; ".join(error.problems)
    assert settings.notices == NoticeSettings()


def test_what_is_right_is_in_use(tmp_path: Path) -> None:
    text = 'desktop = false\nsound = false\nquiet = ["22:00-07:00", "12:00-12:30"]\nquiet_zone = "Europe/Berlin"'
    assert load(write(tmp_path, text)).notices == NoticeSettings(False, False, ("22:00-07:00", "12:00-12:30"), "Europe/Berlin")
    assert load(write(tmp_path, "")).notices == NoticeSettings(True, True, (), "")
