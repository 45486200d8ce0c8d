"""The lines about the way back: what cannot be undone, what is possible instead, a rollback of a rollback, and what deploys by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from msgspec import Struct

from cockpit.domain.lines import Line, LineState, counted, listed, moment
from cockpit.domain.memo import Same
from cockpit.domain.release import Changes, Deployment, Fleet, Version, version_key
from cockpit.domain.reversibility import Declaration, Ledger, Way, declared_between, ledger, turned


class WayBack(Struct, frozen=True, gc=False):
    """What lies between the target and everything that runs.

    `leaving`: by the version that runs, from the target to it: its commits leave, its `missing` come in; None where that was not read.
    `declared`: what the policy says, by version. `newest`: the newest version that ever ran there; "" = none did, None = not known.
    `others`: versions that one could go to instead, each with what would leave then.
    """

    leaving: Mapping[str, Changes | None] = {}
    declared: Mapping[str, Declaration] = {}
    newest: str | None = None
    others: tuple[tuple[Version, Mapping[str, Changes | None]], ...] = ()

    @property
    def known(self) -> bool:
        """Whether every commit that leaves or comes in was seen."""
        return all(c is not None and len(c.commits) >= c.total_in and len(c.missing) >= c.total_out for c in self.leaving.values())

    def touched(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """The files among these paths that change on the way, as far as the commits are known."""
        return tuple(sorted({f for c in self.leaving.values() if c is not None for f in _touched(Same(c), paths)}))


@lru_cache(maxsize=128)
def _touched(same: Same[Changes], paths: tuple[str, ...]) -> frozenset[str]:
    files = {f for commit in (*same.value.commits, *same.value.missing) for f in commit.files}
    return frozenset(
        f for f in files if any(f == p or f.startswith(p.rstrip("/") + "/") or ("*" in p and fnmatchcase(f, p)) for p in paths)
    )


def way_lines(kind: str, way: WayBack, target: Version, now_us: int, seen_us: int) -> Iterator[Line]:
    """Can what leaves be taken back? And, before a deployment: can what comes be taken back later?"""
    found = leaves(way, way.leaving, target.name, now_us)
    if found.blocks:
        yield Line(LineState.BLOCKED, f"one-way on the way back: {_words_of(found.blocks)}; {_possible(way, now_us)}", seen_us, "versions")
    if kind == "rollback" or found.total or not found.known:
        yield from _ledger_lines(found, kind, seen_us)
    if kind == "deploy":
        yield from _coming(way, target.name, now_us, seen_us)


def leaves(way: WayBack, leaving: Mapping[str, Changes | None], target: str, now_us: int) -> Ledger:
    """The ledger of what leaves on the way to `target`."""
    policy = dict.fromkeys(d for running in leaving for d in declared_between(way.declared, target, running))
    return ledger(leaving.values(), policy, now_us, way.newest)


def _words_of(blocks: tuple[Declaration, ...]) -> str:
    first = blocks[0]
    where = f"{first.commit[:12]} {first.subject}".strip()
    more = f" (and {len(blocks) - 1} more)" if len(blocks) > 1 else ""
    return f"{first.reason}, by {where[:120]}{more}"


def _possible(way: WayBack, now_us: int) -> str:
    """The version nearest to the one that was wanted which crosses nothing; else only forward."""
    for version, leaving in sorted(way.others, key=lambda pair: version_key(pair[0].name)):
        found = leaves(way, leaving, version.name, now_us)
        if found.known and not found.blocks:
            return f"{version.name} can be gone back to without crossing it, or go forward"
    return "no version before it is known to be safe to go back to: go forward with a correction"


def _ledger_lines(found: Ledger, kind: str, seen_us: int) -> Iterator[Line]:
    if not found.known:
        words = f"only {found.total} of the commits that leave are known" if found.total else "which commits leave is not known"
        yield Line(LineState.UNKNOWN, f"whether it can be taken back is not known: {words}", seen_us, "sources", insist=True)
        return
    if found.unsure:
        yield Line(
            LineState.UNKNOWN, f"whether it can be taken back is not known: {found.unsure[0].reason}", seen_us, "sources", insist=True
        )
    silent = found.total - found.declared
    if silent:
        unread = f", and “{found.unread[0][:80]}” cannot be read" if found.unread else ""
        words = f"{silent} of {counted(found.total, 'commit')} declare{'s' if silent == 1 else ''} nothing of the way back{unread}"
        yield Line(LineState.WARNING, words, seen_us, "versions")
    elif found.worst in (Way.SAFE, Way.UNTIL):
        ends = listed([_end(d) for d in found.until])
        words = "every change declares that it can be taken back" if found.total else "no commit leaves"
        yield Line(LineState.OK, f"{words}{f', {ends}' if ends else ''}", seen_us)


def _end(declaration: Declaration) -> str:
    if declaration.until_us:
        return f"until {moment(declaration.until_us)}"
    return f"while nothing newer than {declaration.until_version} ran"


def _coming(way: WayBack, target: str, now_us: int, seen_us: int) -> Iterator[Line]:
    """What a deployment brings that cannot be taken back afterwards."""
    coming = tuple(turned(c) for c in way.leaving.values() if c is not None)
    policy = dict.fromkeys(d for running in way.leaving for d in declared_between(way.declared, running, target))
    found = ledger(coming, policy, now_us, way.newest)
    silent = found.total - found.declared
    if found.blocks:
        yield Line(LineState.WARNING, f"no way back afterwards: {_words_of(found.blocks)}", seen_us, "versions")
    elif silent:
        words = f"{silent} of {counted(found.total, 'commit')} that come declare{'s' if silent == 1 else ''} nothing of the way back"
        yield Line(LineState.WARNING, words, seen_us, "versions")
    elif found.total and found.known:
        yield Line(LineState.OK, "every change that comes declares that it can be taken back", seen_us)


def rollback_of_rollback(target: Version, history: tuple[Deployment, ...], fleet: Fleet) -> str:
    """Why going to `target` would undo a rollback or go back still further; "" where it does neither."""
    newest = max(history, key=lambda d: d.started_at_us, default=None)
    if newest is None or newest.kind != "rollback" or target.digest == newest.digest:
        return ""
    if all(node.digest != newest.digest for node in fleet.nodes):
        return ""  # that one came to nothing
    # some nodes ran it already: most of them, which is what is told as the one before
    mixed = newest.from_digest == newest.digest
    left = "a mixed fleet" if mixed else newest.from_version or newest.from_digest[:12] or "another version"
    if target.digest == newest.from_digest:
        return f"a rollback of a rollback: {newest.version} runs here because somebody went back from {left}"
    return f"a second rollback in a row: {newest.version} runs here since a rollback from {left}, and {target.name} lies further back"


def automatic_line(fleet: Fleet, target: Version, seen_us: int, *, tells_hold: bool) -> Line:
    """What a system that deploys by itself does after a rollback to `target`. It says only in words what it would deploy.

    What leaves is held: what most nodes run, and whatever newer than the target some node runs.
    """
    live, newer = fleet.live, version_key(target.name)
    mine = [live.version] if live is not None and live.digest != target.digest else []
    mine += [n.version for n in fleet.nodes if n.digest and n.digest != target.digest and version_key(n.version) > newer]
    held = list(dict.fromkeys(version for version in mine if version))
    left = listed(held) or "what runs"
    named = [version for version in held if _names(fleet.automatic, version)]
    if not tells_hold:
        told = f"it cannot be told to leave {left} alone: switch that off there"
    elif named:
        told = f"it is told to leave {listed(named)} alone"
    elif _names(fleet.automatic, target.name):
        told = f"it is told to leave {left} alone; what it names is the version that is gone back to"
    else:
        told = f"it is told to leave {left} alone, which is not what it names: it may deploy that again; hold that too, or switch it off"
    return Line(LineState.WARNING, f"the system deploys by itself ({fleet.automatic}); after the rollback {told}", seen_us, "activity")


def _names(words: str, version: str) -> bool:
    """Whether exactly this version stands among the words: 1.6.0 does not stand in 11.6.0, 1.6.0-rc1 or 1.6.0.1."""
    return re.search(rf"(?<![\w.+~-])[vV]?{re.escape(version)}(?![\w+~-]|\.\w)", words) is not None
