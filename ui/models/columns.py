"""Every table's columns, and the rows that are made of more than one thing.

Notices, journal entries and source health are read by their attributes: models know no services.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from cockpit.domain.approvals import Counted
from cockpit.domain.checks import CheckState, Suite, TestResult
from cockpit.domain.release import Version
from ui.models.journal import detail_text, what_text, where_text, who_text
from ui.models.table import Column
from ui.models.text import (
    NONE,
    age_text,
    clock_text,
    count_text,
    duration_text,
    ms_text,
    plain,
    plain_lines,
    short_time_text,
    time_text,
    time_tooltip,
)
from ui.models.trust import signature, source_words

Clock = Callable[[], int]


class VersionRow(Struct, frozen=True):
    """A version seen from one environment. `place` is live, pending or older; counts are None where they are not known."""

    version: Version
    place: str
    checks: str = "unknown"
    commits_in: int | None = None
    commits_out: int | None = None
    approvals_given: int = 0
    approvals_required: int = 0
    ready: bool | None = None


class SuiteRow(Struct, frozen=True):
    """A suite of a run with what is left to wait, by past durations."""

    suite: Suite
    remaining_s: float | None = None


class TestRow(Struct, frozen=True):
    """One test and the suite it belongs to."""

    suite: str
    test: TestResult


_OUTCOME_ORDER = {"failed": 0, "error": 1, "running": 2, "skipped": 3, "passed": 4}


def suite_columns(clock_us: Clock) -> tuple[Column, ...]:
    """Columns for SuiteRow. The duration of a running suite grows by the clock."""

    def took_s(row: SuiteRow) -> float | None:
        if row.suite.duration_s is not None:
            return row.suite.duration_s
        return (clock_us() - row.suite.started_at_us) / 1e6 if row.suite.started_at_us else None

    def time_words(row: SuiteRow) -> str:
        if row.suite.state is not CheckState.RUNNING:
            return duration_text(took_s(row))
        if row.remaining_s is None:
            return f"{duration_text(took_s(row))} so far"
        return f"{duration_text(row.remaining_s)} left" if row.remaining_s > 0 else "over time"

    def time_tip(row: SuiteRow) -> str:
        began = f"began {time_text(row.suite.started_at_us)}" if row.suite.started_at_us else "not started"
        return f"{began}\ntook {duration_text(took_s(row))}"

    return (
        Column("Suite", lambda r: plain(r.suite.name), width=120, stretch=True),
        Column("State", lambda r: str(r.suite.state), state=lambda r: str(r.suite.state), width=122),
        Column("Passed", lambda r: count_text(r.suite.passed), sort_key=lambda r: r.suite.passed, align="right", width=62),
        Column("Failed", lambda r: count_text(r.suite.failed), sort_key=lambda r: r.suite.failed, align="right", width=58,
               state=lambda r: "failed" if r.suite.failed else ""),
        Column("Errors", lambda r: count_text(r.suite.errors), sort_key=lambda r: r.suite.errors, align="right", width=58,
               state=lambda r: "error" if r.suite.errors else ""),
        Column("Skipped", lambda r: count_text(r.suite.skipped), sort_key=lambda r: r.suite.skipped, align="right", width=68),
        Column("Time", time_words, sort_key=took_s, tooltip=time_tip, align="right", width=124, quiet=True),
    )  # fmt: skip


def test_columns() -> tuple[Column, ...]:
    """Columns for TestRow; sorting by outcome puts failures first."""
    return (
        Column("Outcome", lambda r: plain(r.test.outcome), sort_key=lambda r: outcome_order(r.test.outcome),
               state=lambda r: r.test.outcome, width=96),
        Column("Test", lambda r: plain(r.test.name), width=200, stretch=True),
        Column("Suite", lambda r: plain(r.suite), width=92),
        Column("Took", lambda r: NONE if r.test.outcome in ("running", "skipped") else duration_text(r.test.duration_s),
               sort_key=lambda r: r.test.duration_s, align="right", width=70, quiet=True),
    )  # fmt: skip


test_columns.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def outcome_order(outcome: str) -> int:
    """Failures first, what passed last; words that are not known stand with the errors."""
    return _OUTCOME_ORDER.get(outcome, 1)


def approval_columns(clock_us: Clock) -> tuple[Column, ...]:
    """Columns for Counted (an approval and whether it counts). Commit and digest stand whole below the table, of the chosen one."""

    def word(row: Counted) -> str:
        return "approved" if row.approval.approved else "rejected"

    def comment(row: Counted) -> str:
        words = plain(row.approval.comment)
        return ". ".join(w for w in (_why(row), words) if w) or NONE

    def signed(row: Counted) -> str:
        words = signature(row.approval)[1].removeprefix("key ")
        words = words.removeprefix("SHA256:")
        return "void" if row.approval.why_not else words if len(words) <= 9 else f"{words[:8]}…"

    def signed_tip(row: Counted) -> str:
        return f"{signature(row.approval)[1]}\nkept as {source_words(row.approval.source)}"

    return (
        Column("Vote", word, state=word, width=96),
        Column("Who", lambda r: plain(r.approval.name), tooltip=lambda r: plain(r.approval.who), width=96),
        Column("Counts", lambda r: "yes" if r.counts else "no", tooltip=_why, width=64),
        Column("Signed", signed, state=lambda r: signature(r.approval)[0], tooltip=signed_tip, copy=lambda r: signature(r.approval)[1],
               width=124),
        Column("Comment", comment, tooltip=lambda r: plain_lines(f"{_why(r)}\n{r.approval.comment}".strip()), width=120, stretch=True),
        Column("When", lambda r: short_time_text(r.approval.at_us, clock_us()), sort_key=lambda r: r.approval.at_us,
               tooltip=lambda r: time_tooltip(r.approval.at_us), align="right", width=92, quiet=True),
    )  # fmt: skip


def _why(row: Counted) -> str:
    """Why a vote does not count; "" where it does."""
    return "" if row.counts else f"does not count: {plain(row.why_not)}"


def activity_columns(clock_us: Clock) -> tuple[Column, ...]:
    """Columns for journal entries (seq, at_us, kind, action, who, service, environment, detail, hash)."""
    return (
        Column("Time", lambda e: short_time_text(e.at_us, clock_us()), sort_key=lambda e: e.seq, tooltip=lambda e: time_tooltip(e.at_us),
               copy=lambda e: time_text(e.at_us), width=96, quiet=True),
        Column("What", what_text, width=132),
        Column("Where", where_text, width=164),
        Column("Who", lambda e: who_text(e.who), tooltip=lambda e: plain(e.who), copy=lambda e: plain(e.who), width=56),
        Column("Detail", detail_text, width=160, stretch=True),
    )  # fmt: skip


def source_columns(clock_us: Clock) -> tuple[Column, ...]:
    """Columns for source health (id, title, kind, state(now), last_success_us, next_poll_us, took_ms, problem)."""

    def age_s(at_us: int) -> float | None:
        return (clock_us() - at_us) / 1e6 if at_us else None

    def next_poll(row: Any) -> str:
        if row.stopped or not row.next_poll_us:
            return "not planned"
        return f"in {age_text((row.next_poll_us - clock_us()) / 1e6)}"

    def problem(row: Any) -> str:
        return f"{plain(row.problem.title)}: {plain(row.problem.message)}" if row.problem else ""

    return (
        Column("Source", lambda s: plain(s.title or s.id), tooltip=lambda s: plain(s.id), width=120),
        Column("State", lambda s: s.state(clock_us()), state=lambda s: s.state(clock_us()), width=96),
        Column("Answered", lambda s: f"{age_text(age_s(s.last_success_us))} ago" if s.last_success_us else "never",
               sort_key=lambda s: s.last_success_us, tooltip=lambda s: time_tooltip(s.last_success_us), align="right", width=86,
               quiet=True),
        Column("Next", next_poll, sort_key=lambda s: s.next_poll_us, align="right", width=88, quiet=True),
        Column("Took", lambda s: ms_text(s.took_ms) if s.last_attempt_us else NONE, sort_key=lambda s: s.took_ms, align="right",
               width=78, quiet=True),
        Column("Problem", problem, tooltip=lambda s: f"{problem(s)} {plain(s.problem.hint)}" if s.problem else "", width=160, stretch=True),
    )  # fmt: skip


def notice_columns() -> tuple[Column, ...]:
    """Columns for notices (at_us, severity, title, message, hint, count, over)."""
    return (
        Column("Time", lambda n: clock_text(n.at_us), sort_key=lambda n: n.at_us, tooltip=lambda n: time_tooltip(n.at_us), width=104),
        Column("Severity", lambda n: f"{n.severity}, over" if n.over else str(n.severity),
               state=lambda n: "over" if n.over else str(n.severity), width=116),
        Column("What", lambda n: plain(n.title), width=150),
        Column("Message", lambda n: plain(n.message), tooltip=lambda n: plain_lines(f"{n.message}\n{n.hint}"), width=200, stretch=True),
        Column("Way out", lambda n: plain(n.hint), width=200, stretch=True),
        Column("Times", lambda n: count_text(n.count), sort_key=lambda n: n.count, align="right", width=56),
    )  # fmt: skip
