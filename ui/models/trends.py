"""What is measured over versions, as rows: measures with what became worse, and flaky tests. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cockpit.domain.measures import Acknowledged, Flaky, Line, Regression, change_words, worse
from ui.models.table import Column
from ui.models.text import NONE, count_text, duration_text, number_text, plain, time_tooltip
from ui.models.trust import moment_text

STEADY = 0.05  # growth below this is noise to a reader
_SEEN = 60  # values in the small picture
_SHORTER = (("ms", 1e3), ("µs", 1e6), ("ns", 1e9))


class MeasureRow(Struct, frozen=True):
    """One measure, and its regression where it has one. `state`: worse, known, over (known until a moment that has passed) or ""."""

    line: Line
    regression: Regression | None = None
    word: Acknowledged | None = None
    state: str = ""


def value_text(value: float, unit: str) -> str:
    """4.2 s as durations are told, shorter ones down to ns; else the number with its unit. Only nothing is told as 0."""
    if not value:
        return "0"
    if unit == "s" and value >= 0.1:
        return duration_text(value)
    if unit == "s":
        unit, times = next(((name, times) for name, times in _SHORTER if value * times >= 1), _SHORTER[-1])
        value *= times
    return f"{number_text(value) if abs(value) >= 0.1 else f'{value:.3g}'} {plain(unit, 20)}".strip()


def measure_name(line: Line) -> str:
    """Such as "suite unit"; a test has its suite in its name already."""
    return plain(line.name, 300) if line.kind in ("run", "test", "benchmark") else f"{line.kind} {plain(line.name, 300)}"


def short_name(line: Line) -> str:
    """A test without file and suite: the end of its name tells it apart, and is what gets elided otherwise."""
    return plain(line.name.rpartition("::")[2], 300) if line.kind == "test" else measure_name(line)


def state_word(row: MeasureRow) -> str:
    """worse, known, better, steady; "new" where too little is measured to say."""
    if row.state:
        return "worse" if row.state == "over" else row.state
    if row.line.growth is None:
        return "new"
    if abs(row.line.growth) < STEADY:
        return "steady"
    return "grows" if worse(row.line, row.line.growth) else "better"


_LOOKS = {"worse": "bad", "known": "held", "grows": "warning", "better": "ok", "steady": "ok", "new": "pending"}


def look(row: MeasureRow) -> str:
    """The theme's word for the row's state."""
    return _LOOKS[state_word(row)]


def grown(row: MeasureRow) -> float | None:
    """The relative change that the row is about."""
    return row.regression.change if row.regression is not None else row.line.growth


def weight(row: MeasureRow) -> tuple[int, float]:
    """Loud ones first, then known ones, then by what was lost: seconds for durations, the ratio for anything else."""
    rank = {"worse": 0, "over": 0, "known": 1}.get(row.state, 2)
    change = grown(row) or 0.0
    lost = change if worse(row.line, 1.0) else -change
    now = row.line.values[-1] if row.line.values and row.line.unit == "s" else 1.0
    return rank, -lost * now


def explained(row: MeasureRow, now_us: int) -> str:
    """The regression in words, or how the measure moved; who knows it and until when."""
    r = row.regression
    if r is None:
        growth = "too few runs to say how it moves" if row.line.growth is None else f"{change_words(row.line.growth)} over these runs"
        return f"{measure_name(row.line)}: {growth}"
    unit = row.line.unit
    step = f"{value_text(r.before, unit)} → {value_text(r.after, unit)}"
    return f"{measure_name(row.line)}: {step} ({change_words(r.change)}) since {plain(r.version, 60)}"


def known_words(row: MeasureRow, now_us: int) -> str:
    """known by Ada until 2026-12-01 08:15 UTC: the new index; "" where nobody said so."""
    if row.word is None:
        return ""
    until = moment_text(row.word.until_us, now_us)
    how = f"was known until {until}" if row.state == "over" else f"known until {until}"
    return f"{how}, by {plain(row.word.who, 80)}: {plain(row.word.reason, 300)}"


def measure_columns(clock_us: Callable[[], int]) -> tuple[Column, ...]:
    """Columns for MeasureRow."""

    def tip(row: MeasureRow) -> str:
        return "\n".join(words for words in (explained(row, clock_us()), known_words(row, clock_us())) if words)

    def now(row: MeasureRow) -> float:
        return row.regression.after if row.regression is not None else row.line.values[-1]

    def since(row: MeasureRow) -> str:
        return plain(row.regression.version, 60) if row.regression is not None else NONE

    return (
        Column("State", state_word, sort_key=weight, state=look, tooltip=tip, width=80),
        Column("Measure", lambda r: short_name(r.line), tooltip=tip, copy=lambda r: measure_name(r.line), width=150, stretch=True),
        Column("Runs", lambda r: count_text(len(r.line.values)), trend=lambda r: r.line.values[-_SEEN:], state=_ink, width=76, quiet=True),
        Column("Level", lambda r: value_text(now(r), r.line.unit), sort_key=now, align="right", width=88),
        Column("Change", lambda r: change_words(grown(r)), sort_key=lambda r: grown(r) or 0.0, align="right", width=70),
        Column("Since", since, tooltip=lambda r: time_tooltip(r.regression.at_us) if r.regression else "", width=68),
    )


def _ink(row: MeasureRow) -> str:
    return look(row) if row.state else ""


def flaky_columns() -> tuple[Column, ...]:
    """Columns for Flaky tests."""

    def whole(row: Flaky) -> str:
        return f"{plain(row.suite)}/{plain(row.name)}"

    return (
        Column("Rate", lambda r: f"{r.rate * 100:.0f} %", sort_key=lambda r: r.rate, state=lambda r: "warning",
               tooltip=lambda r: "share of neighbouring runs between which the outcome changed", width=72),
        Column("Flaky test", lambda r: plain(r.name.rpartition("::")[2]), tooltip=whole, copy=whole, width=150, stretch=True),
        Column("Flips", lambda r: f"{count_text(r.flips)} of {count_text(r.pairs)}", sort_key=lambda r: r.flips, align="right", width=72),
        Column("On 1 commit", lambda r: count_text(r.same), sort_key=lambda r: r.same, align="right",
               tooltip=lambda r: "flips between two runs of one commit: nothing but the test can be why", width=104),
        Column("Failed", lambda r: f"{count_text(r.failed)} of {count_text(r.runs)}", sort_key=lambda r: r.failed, align="right", width=72),
        Column("Last", lambda r: plain(r.version, 60), tooltip=lambda r: time_tooltip(r.at_us), width=68),
    )  # fmt: skip
