"""The columns of versions and commits as the window's middle shows them: all of them fit at its smallest width."""

from __future__ import annotations

from collections.abc import Callable

from cockpit.domain.release import Commit, version_key
from ui.models.columns import VersionRow
from ui.models.table import Column
from ui.models.text import NONE, age_text, count_text, plain, plain_lines, short_id, time_tooltip

Clock = Callable[[], int]


def version_columns(clock_us: Clock) -> tuple[Column, ...]:
    """Columns for VersionRow."""
    return (
        Column("Version", lambda r: plain(r.version.name), sort_key=lambda r: version_key(r.version.name),
               tooltip=lambda r: plain(r.version.tag or r.version.name), width=80, stretch=True),
        Column("State", lambda r: r.place, state=lambda r: r.place, width=88),
        Column("Tests", lambda r: r.checks, state=lambda r: r.checks, width=96),
        Column("Commits", _commits, sort_key=lambda r: r.commits_in, tooltip=_commit_words, align="right", width=76),
        Column("Approvals", _approvals, sort_key=lambda r: r.approvals_given, align="right", width=82),
        Column("Age", lambda r: _age(r.version.released_at_us, clock_us), sort_key=lambda r: -r.version.released_at_us,
               tooltip=lambda r: time_tooltip(r.version.released_at_us), align="right", width=72, quiet=True),
        Column("Digest", lambda r: short_id(r.version.digest) or "not built", tooltip=lambda r: r.version.digest or "No artifact is known.",
               copy=lambda r: r.version.digest, mono=True, width=116),
    )  # fmt: skip


def commit_columns(clock_us: Clock) -> tuple[Column, ...]:
    """Columns for Commit."""
    return (
        Column("Commit", lambda c: short_id(c.id), tooltip=lambda c: plain(c.id), copy=lambda c: plain(c.id), mono=True, width=116),
        Column("Subject", lambda c: plain(c.subject), width=160, stretch=True),
        Column("Author", lambda c: plain(c.author), tooltip=_people, width=96),
        Column("Reviewer", lambda c: ", ".join(_name(p) for p in c.reviewers) or NONE,
               tooltip=lambda c: plain_lines("\n".join(c.reviewers)) or "No Reviewed-by trailer.", width=96),
        Column("Files", lambda c: count_text(len(c.files)), sort_key=lambda c: len(c.files),
               tooltip=lambda c: plain_lines("\n".join(c.files[:40])), align="right", width=52),
        Column("Age", lambda c: _age(c.at_us, clock_us), sort_key=lambda c: -c.at_us, tooltip=lambda c: time_tooltip(c.at_us),
               align="right", width=72, quiet=True),
    )  # fmt: skip


def _age(at_us: int, clock_us: Clock) -> str:
    return age_text((clock_us() - at_us) / 1e6) if at_us else NONE


def _commits(row: VersionRow) -> str:
    if row.commits_in is None:
        return NONE
    parts = [f"+{count_text(row.commits_in)}"] if row.commits_in or not row.commits_out else []
    return " ".join([*parts, f"−{count_text(row.commits_out)}"] if row.commits_out else parts)


def _commit_words(row: VersionRow) -> str:
    if row.commits_in is None:
        return "The commits are being read."
    return f"{count_text(row.commits_in)} come in, {count_text(row.commits_out)} are live and not in it"


def _approvals(row: VersionRow) -> str:
    return f"{row.approvals_given} of {row.approvals_required}" if row.approvals_required else "none"


def _name(person: str) -> str:
    """`Name <a@b>` -> `Name`."""
    return plain(person.partition("<")[0]) or plain(person)


def _people(commit: Commit) -> str:
    lines = [f"{plain(commit.author)} <{plain(commit.email)}>"]
    return "\n".join(lines + [f"with {plain(person)}" for person in commit.co_authors])
