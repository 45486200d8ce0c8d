"""Text for a terminal: alignment, ages, states, and colours only where they are wanted."""

from __future__ import annotations

import sys

import pytest

from cockpit.cli_text import Column, Out, State, age_text, counted, names, number_text, percent_text, plain, shown, table, time_text, width


def test_columns_are_aligned_for_wide_and_combining_letters() -> None:
    lines = table((Column("name"), Column("n", right=True)), [["取引所", "1"], ["cafe\u0301", "22"], ["x", "333"]])
    assert [width(line) for line in lines] == [width(lines[0])] * 4
    assert [line[-1] for line in lines] == ["n", "1", "2", "3"]


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "a\tb", "\u202egnp", "\u200fx", "\x9b31m", "\ud800"])
def test_foreign_text_is_one_harmless_line(text: str) -> None:
    assert not set(plain(text)) & {"\x1b", "\n", "\t", "\u202e", "\u200f", "\x9b", "\ud800"}


def test_long_names_keep_both_ends() -> None:
    cell = shown("a" * 499 + "z")
    assert (len(cell), cell[0], cell[-1]) == (60, "a", "z")


def test_states_have_shape_and_word() -> None:
    looks = {shown(State(word))[0] for word in ("ok", "warning", "bad", "running", "pending", "unknown", "stale")}
    assert len(looks) == 7
    assert shown(State("mixed", "3 of 4 agree")) == "■ 3 of 4 agree"
    assert shown(State("never heard of")) == "◇ never heard of"


def test_numbers_ages_and_times() -> None:
    assert [age_text(s) for s in (None, 0.4, 59.9, 60, 7200, 200_000)] == ["never", "0 s", "59 s", "1 min", "2 h", "2 d"]
    assert [number_text(x, " ms") for x in (None, float("nan"), 1.239, 12.44, 1240.2)] == ["–", "–", "1.24 ms", "12.4 ms", "1,240 ms"]
    assert [percent_text(x) for x in (None, 0.0, 0.00001, 0.0123)] == ["–", "0 %", "< 0.01 %", "1.23 %"]
    assert [time_text(t) for t in (0, 10**30, 1_800_000_000_000_000)] == ["–", "–", "2027-01-15 08:00:00 UTC"]
    assert (counted(1, "commit"), counted(2000, "commit")) == ("1 commit", "2,000 commits")
    assert names(["A <a@x.invalid>", "B", "C", "D"]) == "A, B, C +1"


@pytest.mark.parametrize(
    ("terminal", "variables", "colour"),
    [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False), (False, {}, False)],
)
def test_colours_only_on_a_terminal_that_wants_them(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, variables: dict[str, str], colour: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Out(as_json=False).colour is colour
    assert Out(as_json=True).colour is False
    assert ("\x1b[32m" in table((Column("state"),), [[State("ok")]], colour)[1]) is colour
