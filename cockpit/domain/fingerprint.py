"""What the nodes of a place run, by digest, configuration and flags: the odd ones by name, and the proof after an action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from cockpit.domain.lines import Line, LineState, listed
from cockpit.domain.release import Fleet, Node, Version

T = TypeVar("T")


class Odd(Struct, frozen=True, gc=False):
    """A node that is not as most are, and how in words. `told` False: it does not say what it runs."""

    node: str
    words: str
    told: bool = True


class Fingerprint(Struct, frozen=True, gc=False):
    """How far the nodes of a place are alike: in digest, configuration and flags.

    `silent`: nodes that run the same artifact and say nothing of their configuration, while others do.
    """

    total: int
    odd: tuple[Odd, ...] = ()
    silent: tuple[str, ...] = ()
    version: str = ""
    config: str = ""
    flags: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Every node is there, speaks, and is like all others."""
        return self.total > 0 and not self.odd

    @property
    def mixed(self) -> bool:
        """At least one node says that it is different."""
        return any(odd.told for odd in self.odd)

    @property
    def words(self) -> str:
        """The odd nodes, in words."""
        return listed([odd.words for odd in self.odd])


def fingerprint(fleet: Fleet) -> Fingerprint:
    """Compare every node with the majority; where two groups are as large, with the one that comes first."""
    live = fleet.live
    if live is None:
        return Fingerprint(len(fleet.nodes), tuple(Odd(n.name, f"{n.name} does not say what it runs", False) for n in fleet.nodes))
    alike = [n for n in fleet.nodes if n.digest == live.digest]
    speaking = [n for n in alike if n.config or n.flags]
    config, flags = _most(n.config for n in speaking) or "", _most(n.flags for n in speaking) or ()
    odd = [_by_digest(n, live) for n in fleet.nodes if n.digest != live.digest]
    for node in speaking:
        words = _differs(node, config, flags)
        if words:
            odd.append(Odd(node.name, f"{node.name} {words}"))
    silent = tuple(n.name for n in alike if speaking and not (n.config or n.flags))
    return Fingerprint(len(fleet.nodes), tuple(odd), silent, live.version, config, flags)


def _most(items: Iterable[T]) -> T | None:
    found = Counter(items).most_common(1)
    return found[0][0] if found else None


def _by_digest(node: Node, live: Node) -> Odd:
    if not node.digest:
        return Odd(node.name, f"{node.name} does not say what it runs", False)
    if node.version and node.version != live.version:
        return Odd(node.name, f"{node.name} runs {node.version}, the others {live.version or live.digest[:12]}")
    return Odd(node.name, f"{node.name} runs another artifact of {node.version or 'an unknown version'} ({node.digest[:12]})")


def _differs(node: Node, config: str, flags: tuple[str, ...]) -> str:
    parts = ["has another configuration"] if node.config != config else []
    parts += flag_differences(node.flags, flags, "here", "on the others")
    return ", ".join(parts)


def flag_differences(mine: tuple[str, ...], others: tuple[str, ...], here: str, there: str) -> list[str]:
    """Each flag that differs: `flag X is on here, off there`."""
    left, right = _flags(mine), _flags(others)
    names = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    return [f"flag {name} is {left.get(name, 'not set')} {here}, {right.get(name, 'not set')} {there}" for name in names]


def _flags(flags: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, _, value in (flag.partition("=") for flag in flags)}


def prove(fleet: Fleet, digest: str, now_us: int, only: tuple[str, ...] = ()) -> tuple[Line, ...]:
    """A line for each node of the plan: does it run the target's digest, is it healthy, is it set as the others are?

    `only`: the nodes that the plan was about; empty: all that there are. OK, UNKNOWN or BLOCKED, never a warning.
    """
    mine = tuple(node for node in fleet.nodes if not only or node.name in only)
    there = Fleet(fleet.service, fleet.environment, tuple(node for node in fleet.nodes if node.digest == digest))
    odd = {found.node: found.words for found in fingerprint(there).odd}
    present = {node.name for node in mine}
    lines = [Line(LineState.UNKNOWN, f"{name} is not there", now_us) for name in only if name not in present]
    return (*lines, *(_proof(node, digest, odd.get(node.name, ""), now_us) for node in mine))


def _proof(node: Node, digest: str, odd: str, now_us: int) -> Line:
    if node.healthy is None or not node.digest:
        return Line(LineState.UNKNOWN, f"{node.name} does not say what it runs", now_us)
    if node.digest != digest:
        return Line(LineState.BLOCKED, f"{node.name} runs {node.digest[:12]}", now_us)
    if not node.healthy:
        return Line(LineState.BLOCKED, f"{node.name} is not healthy", now_us)
    return Line(LineState.BLOCKED, odd, now_us) if odd else Line(LineState.OK, f"{node.name} runs {digest[:12]}", now_us)


def all_run(count: int, version: str) -> str:
    """All of so many nodes run it."""
    return f"the one node runs {version}" if count == 1 else f"all {count} nodes run {version}"


def fleet_line(fleet: Fleet, kind: str, target: str, at_us: int, rollout: str = "") -> Line:
    """Is the fleet one? A mixed one blocks a deployment and names the odd node; a rollback makes it whole, so there it warns.

    `target`: the digest that is to come. A deployment may be insisted on where it only finishes what is half there, or where the nodes
    differ in configuration and flags alone. `rollout`: a plan of steps that is under way here and explains why they differ.
    """
    found = fingerprint(fleet)
    if found.whole:
        if found.silent:
            words = f"{all_run(found.total, found.version)}; {listed(found.silent)} do not tell their configuration"
            return Line(LineState.WARNING, words, at_us, "versions")
        return Line(LineState.OK, all_run(found.total, "the same version" if found.total > 1 else found.version), at_us)
    if not found.total:
        return Line(LineState.BLOCKED, "there are no nodes here", at_us, "sources")
    words = f"mixed fleet: {found.words}" if found.mixed else found.words
    if kind == "rollback":
        return Line(LineState.WARNING, f"{words}; {_after_going_back(fleet, found)}", at_us, "versions")
    if rollout:
        return Line(LineState.WARNING, f"{words}: {rollout}", at_us, "versions")
    if not found.mixed:
        return Line(LineState.UNKNOWN, words, at_us, "versions", insist=True)
    half = {n.digest for n in fleet.nodes if n.digest} - {fleet.live.digest if fleet.live else ""}
    return Line(LineState.BLOCKED, words, at_us, "versions", insist=half <= {target})


OTHERWISE_SET = "a rollback of the version does not change configuration or flags"


def _after_going_back(fleet: Fleet, found: Fingerprint) -> str:
    """What a rollback makes of a fleet that is not one."""
    if len(fleet.digests) == 1 and fleet.live is not None:
        return OTHERWISE_SET
    live = fleet.live.digest if fleet.live is not None else ""
    set_otherwise = {odd.node for odd in found.odd} & {n.name for n in fleet.nodes if n.digest == live}
    return "going back puts all nodes on one version" + (f"; {OTHERWISE_SET}" if set_otherwise and live else "")


def only_set_otherwise(fleet: Fleet, digest: str, only: tuple[str, ...] = ()) -> bool:
    """Whether all nodes (or `only` these) run this artifact and are well, and some have another configuration or other flags."""
    mine = [node for node in fleet.nodes if not only or node.name in only]
    if not mine or any(node.digest != digest or not node.healthy for node in mine):
        return False
    there = Fleet(fleet.service, fleet.environment, tuple(node for node in fleet.nodes if node.digest == digest))
    return bool({odd.node for odd in fingerprint(there).odd} & {node.name for node in mine})


def why_not_first(name: str, before: Fleet | None, version: Version) -> str:
    """Why the environment before does not run exactly this artifact on every node; "" where it does. A name says nothing: tags move."""
    live = before.live if before is not None else None
    if before is None or (before.nodes and live is None):
        why = "it runs not known"
    elif live is None:
        why = "it runs nothing"
    elif not fingerprint(before).whole:
        why = "its nodes do not agree"
    elif live.digest == version.digest:
        return ""
    elif live.version != version.name:
        why = f"it runs {live.version or f'the artifact {live.digest[:12]}'}"
    else:
        why = f"it runs another artifact of {live.version}"
    return f"{name} comes first: {why}"


def promotion_line(name: str, before: Fleet | None, fleet: Fleet | None, target: Version, at_us: int) -> Line:
    """Is it the artifact that the environment before runs, and what differs there: configuration and flags."""
    why = why_not_first(name, before, target)
    if before is None or why:
        known = before is not None and (before.live is not None or not before.nodes)
        return Line(LineState.BLOCKED if known else LineState.UNKNOWN, why, at_us, "versions")
    there, here = fingerprint(before), fingerprint(fleet) if fleet is not None else Fingerprint(0)
    same = f"the artifact that {name} runs"
    if not (there.config or there.flags) or not (here.config or here.flags):
        return Line(LineState.OK, f"{same}; configuration and flags are not told", at_us)
    parts = [f"configuration ({there.config[:8]} there, {here.config[:8]} here)"] if there.config != here.config else []
    parts += flag_differences(there.flags, here.flags, "there", "here")
    if not parts:
        return Line(LineState.OK, f"{same}, with the same configuration and flags", at_us)
    return Line(LineState.WARNING, f"{same}; what differs: {listed(parts, 4)}", at_us, "versions")
