"""Numbers, times and foreign text as people read them; and every column on hostile rows."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from cockpit.domain.approvals import Counted
from tests.fakes.believable import NOW_US, believable_state, commits, version
from tests.fakes.cockpit import FakeCockpit
from ui.models import columns, text
from ui.views import version_columns

HOSTILE = "<b>x</b>\x1b[31m\u202eevil\u2066\u200b\r\nnext\x00\x9b\ud800\U000e0041"


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.24, "1.24 ms"), (12.4, "12.4 ms"), (124, "124 ms"), (1240, "1,240 ms"), (9.996, "10.0 ms"), (99.96, "100 ms"), (0, "0.00 ms"),
     (None, "–"), (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_milliseconds(value: float | None, words: str) -> None:
    assert text.ms_text(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.9995, "99.95 %"), (0, "0 %"), (1, "100 %"), (0.999999, "> 99.99 %"), (0.00001, "< 0.01 %"), (None, "–"), (math.nan, "–")],
)
def test_percent_never_rounds_to_nothing_or_all(value: float | None, words: str) -> None:
    assert text.percent_text(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (47.9 * 3600, "47 h"), (48 * 3600, "2 d"), (-5, "0 s"),
     (None, "not known")],
)  # fmt: skip
def test_ages(seconds: float | None, words: str) -> None:
    assert text.age_text(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.42 s"), (4.2, "4.2 s"), (42, "42 s"), (59.7, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (None, "–")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert text.duration_text(seconds) == words


def test_times_are_utc_and_never_fail() -> None:
    assert text.time_text(NOW_US) == "2026-11-22 09:41:07 UTC"
    assert text.time_text(NOW_US, NOW_US + 1) == "09:41:07 UTC"
    assert text.clock_text(NOW_US) == "09:41:07 UTC"
    for wrong in (0, -1, 10**30):
        assert text.time_text(wrong) == "–"
        assert text.time_tooltip(wrong) == ""
    assert text.as_of_text(0) == "never seen"


def test_foreign_text_becomes_plain() -> None:
    line = text.plain(HOSTILE)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert line.startswith("<b>x</b>␛[31m<U+202E>evil")
    line.encode("utf-8")
    assert "\n" in text.plain_lines(HOSTILE)
    assert len(text.plain("x" * 10_000)) == 2001
    assert "<b>" not in text.tooltip_text(HOSTILE)


def test_counts() -> None:
    assert text.count_text(1234) == "1,234"
    assert text.plural(1, "commit") == "1 commit"
    assert text.plural(2, "reply", "replies") == "2 replies"
    assert text.rate_text(1240.4) == "1,240 /s"


def test_every_column_survives_hostile_rows(qapp) -> None:
    state, cockpit = believable_state(), FakeCockpit()
    cockpit.tell_some()
    clock = cockpit.clock_us
    run = state.checks["order-gateway"].value[0]
    wild = replace(commits("x", 1)[0], subject=HOSTILE, author=HOSTILE, reviewers=(HOSTILE, "No Address"), at_us=10**30)
    cases = [
        (version_columns.commit_columns(clock), [wild, *commits("y", 3)]),
        (
            version_columns.version_columns(clock),
            [columns.VersionRow(replace(version("order-gateway", "1.7.0"), name=HOSTILE, digest=""), "pending")],
        ),
        (columns.suite_columns(clock), [columns.SuiteRow(s, 3.0) for s in run.suites]),
        (
            columns.test_columns(),
            [columns.TestRow(HOSTILE, replace(t, name=HOSTILE, outcome=HOSTILE)) for s in run.suites for t in s.tests],
        ),
        (columns.approval_columns(clock), [Counted(replace(a, comment=HOSTILE, name=HOSTILE), False, "no") for a in state.approvals]),
        (columns.activity_columns(clock), [replace(e, detail={"a": HOSTILE, "b": None}) for e in cockpit.actions.entries]),
        (columns.source_columns(clock), list(state.sources.values())),
        (columns.notice_columns(), list(cockpit.notices.history)),
    ]
    for specs, rows in cases:
        assert rows
        for spec in specs:
            for row in rows:
                shown = spec.text(row)
                assert isinstance(shown, str), spec.title
                assert not {"\n", "\x1b", "\u202e"} & set(shown), spec.title
                for reader in (spec.tooltip, spec.state, spec.copy):
                    assert reader is None or isinstance(reader(row), str), spec.title
