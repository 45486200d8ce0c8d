"""The commits between versions that run and versions to go to: which comparisons are wanted, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator

from cockpit.domain.facts import place
from cockpit.domain.policy import Rules
from cockpit.domain.preflight_way import WayBack, leaves
from cockpit.domain.release import Changes, Deployment, Fleet, Version, version_key
from cockpit.domain.reversibility import turned
from cockpit.domain.rollout import last_good
from cockpit.services import status
from cockpit.services.store import AppState, changes_key

OTHERS = 12  # versions between two that are looked at for one to go back to instead

Pair = tuple[str, str, str]  # service, base commit, head commit


def between(state: AppState, service: str, base: str, head: str) -> Changes | None:
    """The commits from commit `base` to commit `head`, from a comparison in either direction; None where none was read."""
    if base and base == head:
        return Changes(base, head)
    known = state.changes.get(changes_key(service, base, head))
    if known is not None:
        return known.value
    back = state.changes.get(changes_key(service, head, base)) if base else None
    return turned(back.value) if back is not None else None


def good_target(state: AppState, service: str, environment: str) -> Version | None:
    """The version to go back to, by the artifact that was good: whatever its name means today."""
    history, fleet = state.deployments.get(place(service, environment)), state.fleets.get(place(service, environment))
    if history is None or fleet is None or fleet.value.live is None:
        return None
    held = {d.digest for d in history.value if status.held(state, service, environment, d.digest) is not None}
    good = last_good(history.value, fleet.value, frozenset(held | set(fleet.value.held)))
    if good is None:
        return None
    known = status.version_of(state, service, good.version)
    if known is not None and known.digest == good.digest:
        return known
    # its tag is gone or was moved: the artifact names the commit that it was built from
    built = state.artifacts.get(service)
    artifact = next((a for a in built.value if a.digest == good.digest), None) if built else None
    commit = artifact.commit if artifact else known.commit if known else ""
    return Version(service, good.version, "", commit, good.started_at_us, good.digest)


def running(state: AppState, fleet: Fleet) -> dict[str, tuple[str, str]]:
    """(commit, digest) of each version that some node runs; a node that does not say counts under ""."""
    found: dict[str, tuple[str, str]] = {}
    for node in fleet.nodes:
        found.setdefault(node.version, (status.commit_of(state, fleet.service, node.version) or node.commit, node.digest))
    return found


def leaving(state: AppState, fleet: Fleet, target: Version) -> dict[str, Changes | None]:
    """What would leave and come in on the way to `target`, by each other version that some node runs."""
    others = {name: commit for name, (commit, digest) in running(state, fleet).items() if digest != target.digest}
    known = {name: commit for name, commit in others.items() if name}
    # a node that is down says nothing; only where none speaks is nothing known
    return {name: between(state, fleet.service, target.commit, commit) for name, commit in (known or others).items()}


def way_back(state: AppState, rules: Rules, fleet: Fleet, history: tuple[Deployment, ...] | None, target: Version, now_us: int) -> WayBack:
    """All that the plan says of the way to `target`; other versions are looked at only where this way is closed."""
    ran = [d.version for d in history or () if d.version] + [n.version for n in fleet.nodes if n.version]
    newest = max(ran, key=version_key, default="") if history is not None else None
    way = WayBack(leaving(state, fleet, target), rules.declared.get(fleet.service, {}), newest)
    if not leaves(way, way.leaving, target.name, now_us).blocks:
        return way
    others = tuple((v, leaving(state, fleet, v)) for v in _between(state, fleet, target))
    return WayBack(way.leaving, way.declared, newest, others)


def _between(state: AppState, fleet: Fleet, target: Version) -> list[Version]:
    """Versions newer than the target and older than the newest that runs, with an artifact to go to; newest first."""
    low = version_key(target.name)
    high = max((version_key(name) for name in running(state, fleet) if name), default=low)
    return [v for v in status.versions(state, fleet.service) if v.digest and low < version_key(v.name) < high][:OTHERS]


def wanted(state: AppState, rules: Rules, service: str, environment: str) -> Iterator[Pair]:
    """Comparisons that the rollback card of a place needs; those for other ways only once this one is known to be closed."""
    fleet, history = state.fleets.get(place(service, environment)), state.deployments.get(place(service, environment))
    target = good_target(state, service, environment)
    if fleet is None or target is None:
        return
    yield from _pairs(state, fleet.value, target)
    way = way_back(state, rules, fleet.value, history.value if history else None, target, fleet.at_us)
    for version, _ in way.others:
        yield from _pairs(state, fleet.value, version)


def _pairs(state: AppState, fleet: Fleet, target: Version) -> Iterator[Pair]:
    for name, (commit, digest) in running(state, fleet).items():
        if name and digest != target.digest and commit and target.commit and commit != target.commit:
            yield fleet.service, target.commit, commit
