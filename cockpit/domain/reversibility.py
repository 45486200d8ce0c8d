"""Whether a change can be taken back: what commits and the policy declare, and what that means for a way back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.memo import Same
from cockpit.domain.release import Changes, Commit, version_key


class Way(StrEnum):
    """What was declared, from best to worst. UNKNOWN: the commits themselves are not known."""

    SAFE = "safe"
    UNDECLARED = "undeclared"
    UNTIL = "safe until"
    UNKNOWN = "unknown"
    ONE_WAY = "one-way"


class Declaration(Struct, frozen=True, gc=False):
    """One change's word on its way back. `until_us`, `until_version`: safe before that date, or while nothing newer than that ran."""

    way: Way
    subject: str = ""
    commit: str = ""
    reason: str = ""
    until_us: int = 0
    until_version: str = ""


MAX_WORDS = 300
_RANK = {way: number for number, way in enumerate(Way)}
_UNTIL = re.compile(r"safe[ \t]+until[ \t]+(\S{1,100})", re.IGNORECASE)
_ONE_WAY = re.compile(r"one[- ]?way(?:[ \t]*[:,;-][ \t]*|[ \t]+|$)(.*)", re.IGNORECASE | re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T[0-9:]{5,8}Z)?")
_VERSION = re.compile(r"[vV]?(\d+(?:\.\d+){1,5}(?:[-+.][0-9A-Za-z.-]{1,40})?)")


def parse(words: str, subject: str = "", commit: str = "") -> Declaration:
    """Read one declaration: `safe`, `safe until 2026-12-01`, `safe until 1.8.0`, `one-way: drops column X`.

    The words come from outside: what cannot be read is UNDECLARED, and the words stand in `reason`.
    """
    said = " ".join(words.split())[:MAX_WORDS]
    if said.lower() == "safe":
        return Declaration(Way.SAFE, subject, commit)
    one_way = _ONE_WAY.fullmatch(said)
    if one_way:
        return Declaration(Way.ONE_WAY, subject, commit, one_way.group(1).strip() or "no reason given")
    until = _UNTIL.fullmatch(said)
    found = _until(until.group(1)) if until else None
    if found is None:
        return Declaration(Way.UNDECLARED, subject, commit, said)
    return replace(found, subject=subject, commit=commit, reason=said)


def _until(word: str) -> Declaration | None:
    if _DATE.fullmatch(word):
        try:
            at = datetime.fromisoformat(word.replace("Z", "+00:00"))
        except ValueError:  # such as the 31st of February
            return None
        return Declaration(Way.UNTIL, until_us=round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6))
    version = _VERSION.fullmatch(word)
    return Declaration(Way.UNTIL, until_version=version.group(1)) if version else None


def declared_by(commit: Commit) -> Declaration:
    """The worst of what a commit's `Rollback:` trailers say."""
    said = [parse(line, commit.subject, commit.id) for line in commit.rollback.splitlines() if line.strip()]
    return max(said, key=_badness, default=Declaration(Way.UNDECLARED, commit.subject, commit.id))


def _badness(declaration: Declaration) -> int:
    return _RANK[declaration.way]


def today(declaration: Declaration, now_us: int, newest: str | None) -> Declaration:
    """What a declaration means now: `safe until` becomes safe or one-way, or UNKNOWN where it is not known what ran.

    `newest`: the newest version that ever ran there; "" = nothing did, None = not known.
    """
    if declaration.way is not Way.UNTIL:
        return declaration
    if declaration.until_us:
        over, words = now_us >= declaration.until_us, f"{declaration.reason}: that date has passed"
    elif newest is None:
        return replace(declaration, way=Way.UNKNOWN, reason=f"{declaration.reason}: what ran since is not known")
    else:
        over = bool(newest) and version_key(newest) > version_key(declaration.until_version)
        words = f"{declaration.reason}: {newest} ran since"
    return replace(declaration, way=Way.ONE_WAY, reason=words) if over else declaration


def worst(declarations: Iterable[Declaration], now_us: int, newest: str | None) -> Declaration:
    """The batch's word: the worst of its changes as they stand now; SAFE for no change at all."""
    return max((today(d, now_us, newest) for d in declarations), key=_badness, default=Declaration(Way.SAFE))


class Ledger(Struct, frozen=True, gc=False):
    """What a batch of changes says of its way back, as it stands now.

    `blocks`: the one-way changes, newest first. `declared` of `total` changes say something that can be read; `unread`: words that cannot.
    `known`: every change was seen.
    """

    worst: Way
    blocks: tuple[Declaration, ...] = ()
    total: int = 0
    declared: int = 0
    unread: tuple[str, ...] = ()
    until: tuple[Declaration, ...] = ()
    known: bool = True
    unsure: tuple[Declaration, ...] = ()  # `safe until` a version, and what ran is not known


def ledger(batches: Iterable[Changes | None], policy: Iterable[Declaration], now_us: int, newest: str | None) -> Ledger:
    """What the commits that come in with these comparisons declare, and what the policy says of the versions among them.

    A comparison that is None was not read; one whose list was cut is not wholly known.
    """
    said = _read(tuple(Same(changes) for changes in batches))
    later = tuple(today(d, now_us, newest) for d in (*said.later, *policy))
    every = (*said.blocks, *later)
    ways = [said.worst, *(d.way for d in later)] + ([] if said.known else [Way.UNKNOWN])
    return Ledger(
        worst=max(ways, key=_RANK.__getitem__),
        blocks=tuple(d for d in every if d.way is Way.ONE_WAY),
        total=said.total,
        declared=said.declared,
        unread=said.unread,
        until=tuple(d for d in later if d.way is Way.UNTIL),
        known=said.known,
        unsure=tuple(d for d in later if d.way is Way.UNKNOWN),
    )


class _Said(Struct, frozen=True):
    """What a batch of commits declares, whatever the time: `later` depends on it."""

    worst: Way
    blocks: tuple[Declaration, ...]
    later: tuple[Declaration, ...]
    unread: tuple[str, ...]
    total: int
    declared: int
    known: bool


@lru_cache(maxsize=128)
def _read(batches: tuple[Same[Changes | None], ...]) -> _Said:
    read = [batch.value for batch in batches if batch.value is not None]
    commits = {c.id: c for changes in read for c in changes.commits}
    found = tuple(declared_by(c) for c in commits.values())
    settled = [d.way for d in found if d.way is not Way.UNTIL]
    return _Said(
        worst=max(settled, key=_RANK.__getitem__, default=Way.SAFE),
        blocks=tuple(d for d in found if d.way is Way.ONE_WAY),
        later=tuple(d for d in found if d.way is Way.UNTIL),
        unread=tuple(d.reason for d in found if d.way is Way.UNDECLARED and d.reason),
        total=len(found),
        declared=sum(d.way is not Way.UNDECLARED for d in found),
        known=len(read) == len(batches) and all(len(c.commits) >= c.total_in for c in read),
    )


def turned(changes: Changes) -> Changes:
    """The same comparison, looked at from its other end."""
    return _turned(Same(changes))


@lru_cache(maxsize=128)
def _turned(same: Same[Changes]) -> Changes:
    c = same.value
    return Changes(c.head, c.base, c.missing, c.commits, c.total_out, c.total_in)


def declared_between(declared: Mapping[str, Declaration], base: str, head: str) -> tuple[Declaration, ...]:
    """What the policy says of the versions after `base` up to `head`, newest first. By their names: git need not answer."""
    low, high = version_key(base), version_key(head)
    inside = sorted((v for v in declared if low < version_key(v) <= high), key=version_key, reverse=True)
    return tuple(replace(declared[v], subject=declared[v].subject or f"version {v}") for v in inside)
