"""Which services need which: what runs against what in each environment, and what a version to come would break."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from cockpit.domain.facts import place
from cockpit.domain.lines import Line, LineState
from cockpit.domain.release import Environment, Fleet, Service, version_key

_NEED = re.compile(r"\s*([^\s<>=]+)\s*(?:>=\s*(\S+)\s*)?")


class Need(Struct, frozen=True, gc=False):
    """A service that must be there, and from which version on ("" = any)."""

    service: str
    at_least: str = ""

    @property
    def words(self) -> str:
        return f"{self.service} {self.at_least} or newer" if self.at_least else self.service


def needs(service: Service) -> tuple[Need, ...]:
    """What a service depends on, as the settings name it."""
    found = (_NEED.fullmatch(text) for text in service.depends_on)
    return tuple(Need(match.group(1), match.group(2) or "") for match in found if match)


class Pairing(Struct, frozen=True, gc=False):
    """One cell of the compatibility matrix: what a service runs in an environment against what it needs there.

    `versions`, `against`: the distinct versions on the nodes, oldest first. `state`: ok, blocked or unknown.
    """

    environment: str
    service: str
    versions: tuple[str, ...]
    need: Need
    against: tuple[str, ...]
    state: LineState
    words: str


def compatibility(services: Sequence[Service], environments: Sequence[Environment], fleets: Mapping[str, Fleet]) -> tuple[Pairing, ...]:
    """What of each service runs against what of its dependencies. `fleets` by place, without those that are too old to be believed.

    A service that runs nowhere in an environment needs nothing there.
    """
    return tuple(row for e in environments for s in services for need in needs(s) for row in _pairing(s.name, e.name, need, fleets))


def _pairing(service: str, environment: str, need: Need, fleets: Mapping[str, Fleet]) -> Iterator[Pairing]:
    mine, other = fleets.get(place(service, environment)), fleets.get(place(need.service, environment))
    running = _versions(mine)
    if mine is not None and not mine.nodes:
        return
    against = _versions(other)
    state, words = _meets(need, other)
    if mine is None or (mine.nodes and not running):
        state, words = (LineState.UNKNOWN, f"what {service} runs is not known") if state is not LineState.BLOCKED else (state, words)
    yield Pairing(environment, service, running, need, against, state, words)


def _versions(fleet: Fleet | None) -> tuple[str, ...]:
    """The distinct versions on the nodes, oldest first; nodes that do not say are left out."""
    return tuple(sorted({n.version for n in fleet.nodes if n.version}, key=version_key)) if fleet is not None else ()


def _meets(need: Need, other: Fleet | None) -> tuple[LineState, str]:
    """Does what runs there fulfil the need? The oldest node counts."""
    if other is None:
        return LineState.UNKNOWN, f"what {need.service} runs is not known"
    if not other.nodes:
        return LineState.BLOCKED, f"{need.words} is needed, and it does not run here"
    running = _versions(other)
    silent = sum(not n.version for n in other.nodes)
    if need.at_least and running and version_key(running[0]) < version_key(need.at_least):
        return LineState.BLOCKED, f"{need.words} is needed, and {running[0]} runs here"
    if silent or not running:
        return LineState.UNKNOWN, f"{need.words} is needed, and {silent} of its {len(other.nodes)} nodes do not say what they run"
    return LineState.OK, f"{need.service} {', '.join(running)} runs here" + (f", {need.at_least} is needed" if need.at_least else "")


def dependency_lines(
    kind: str, service: Service, target: str, environment: str, services: Sequence[Service], fleets: Mapping[str, Fleet], at_us: int
) -> tuple[Line, ...]:
    """What the version to come needs, and who needs it.

    What it needs itself blocks a deployment and warns before a rollback: the settings tell what today's version needs. What others need of
    it blocks both, and may be insisted on.
    """
    lines = []
    for need in needs(service):
        state, words = _meets(need, fleets.get(place(need.service, environment)))
        if kind == "rollback" and state is LineState.BLOCKED:
            state = LineState.WARNING
        lines.append(Line(state, words, at_us, "overview", insist=state is LineState.UNKNOWN))
    lines += [line for other in services for line in _needed_by(other, service.name, target, environment, fleets, at_us)]
    return tuple(lines)


def _needed_by(other: Service, service: str, target: str, environment: str, fleets: Mapping[str, Fleet], at_us: int) -> Iterator[Line]:
    fleet = fleets.get(place(other.name, environment))
    for need in needs(other):
        if need.service != service or not need.at_least or (fleet is not None and not fleet.nodes):
            continue
        if version_key(target) >= version_key(need.at_least):
            yield Line(LineState.OK, f"{other.name} needs {need.at_least} or newer", at_us)
        elif fleet is None:
            words = f"{other.name} needs {need.words}, and whether it runs here is not known"
            yield Line(LineState.UNKNOWN, words, at_us, "overview", insist=True)
        else:
            words = f"{other.name} runs here and needs {need.words}: {target} is older"
            yield Line(LineState.BLOCKED, words, at_us, "overview", insist=True)
