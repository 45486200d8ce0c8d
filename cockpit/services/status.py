"""What the state means: questions that the window and the terminal ask alike. Pure functions of the state."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.approvals import Decision, decide
from cockpit.domain.checks import CheckRun, Summary, latest_run, summarise
from cockpit.domain.facts import Fact, place
from cockpit.domain.policy import Rules as Rules
from cockpit.domain.readiness import Readiness, Reason, readiness
from cockpit.domain.release import Changes, Environment, Fleet, Service, Version, in_order, pending
from cockpit.services.store import AppState, changes_key


def service_of(state: AppState, name: str) -> Service | None:
    """The service of that name."""
    return next((s for s in state.services if s.name == name), None)


def environment_of(state: AppState, name: str) -> Environment | None:
    """The environment of that name."""
    return next((e for e in state.environments if e.name == name), None)


def versions(state: AppState, service: str) -> tuple[Version, ...]:
    """Known versions, newest first, each with its artifact's digest where one of the same commit is known."""
    fact = state.versions.get(service)
    if fact is None:
        return ()
    built = state.artifacts.get(service)
    digests = {(a.version, a.commit): a.digest for a in built.value} if built else {}
    return in_order(tuple(replace(v, digest=digests.get((v.name, v.commit), v.digest)) for v in fact.value))


def version_of(state: AppState, service: str, name: str) -> Version | None:
    """One version by its name; from the artifacts alone where git does not answer."""
    found = next((v for v in versions(state, service) if v.name == name), None)
    if found is not None:
        return found
    built = state.artifacts.get(service)
    artifact = next((a for a in built.value if a.version == name), None) if built else None
    if artifact is None:
        return None
    return Version(service, name, "", artifact.commit, artifact.built_at_us, artifact.digest)


def live_name(state: AppState, service: str, environment: str) -> str | None:
    """The version live there: what most nodes run, else what the settings name; "" = nothing runs, None = not known."""
    fleet = state.fleets.get(place(service, environment))
    if fleet is not None:
        return fleet.value.live.version if fleet.value.live else ""
    known = service_of(state, service)
    return known.live_version or None if known else None


def pending_versions(state: AppState, service: str, environment: str) -> tuple[Version, ...]:
    """Versions newer than what is live there, newest first; all of them while it is not known what is live."""
    return pending(versions(state, service), live_name(state, service, environment) or "")


def commit_of(state: AppState, service: str, name: str) -> str:
    """The commit of a version; "" where there is none. A moved tag gives another commit, so nothing read for the old one is used."""
    found = version_of(state, service, name) if name else None
    return found.commit if found else ""


def changes_between(state: AppState, service: str, base: str, head: str) -> Changes | None:
    """Commits from version `base` to version `head`, where they have been asked for and answered."""
    fact = state.changes.get(changes_key(service, commit_of(state, service, base), commit_of(state, service, head)))
    return fact.value if fact else None


def authors_of(state: AppState, version: Version, environment: str) -> frozenset[str] | None:
    """Who wrote what `version` brings to `environment`; None while that is not known or not wholly read."""
    live = live_name(state, version.service, environment)
    if live is None:
        return None
    changes = changes_between(state, version.service, live, version.name)
    return changes.authors if changes is not None else None


def decision(state: AppState, version: Version, environment: str) -> Decision:
    """The state of approval of `version` for `environment`."""
    wanted = environment_of(state, environment)
    required = wanted.approvals_required if wanted else 0
    return decide(state.approvals, version, environment, required, authors_of(state, version, environment))


def run_of(state: AppState, version: Version) -> CheckRun | None:
    """The newest test run of the version's commit."""
    fact = state.checks.get(version.service)
    return latest_run(tuple(r for r in fact.value if r.version == version.name), version.commit) if fact else None


def checks(state: AppState, version: Version, rules: Rules) -> Summary:
    """The tests' one answer for a version."""
    return summarise(run_of(state, version), rules.required_checks)


def checks_word(state: AppState, version: Version, rules: Rules) -> str:
    """The tests' one answer as a state's word; "unknown" where no CI system ever told of the service: pending is what CI will run."""
    return str(checks(state, version, rules).state) if version.service in state.checks else "unknown"


def ready(state: AppState, version: Version, environment: str, rules: Rules, now_us: int) -> Readiness:
    """May `version` ship to `environment`? Everything against it, in words. Facts past their deadline count as not known."""
    wanted = environment_of(state, environment) or Environment(environment)
    fleet = state.fleets.get(place(version.service, wanted.after)) if wanted.after else None
    before = fleet.value if fleet is not None and not fleet.stale(now_us) else None
    answer = readiness(version, wanted, checks(state, version, rules), decision(state, version, environment), before)
    facts: tuple[tuple[str, Fact[Any] | None], ...] = (
        ("test results are", state.checks.get(version.service)),
        # a tag that moved or a commit that came since would not be seen: what is pending, and who wrote it
        ("versions and their authors are", state.versions.get(version.service)),
        (f"what is known of {wanted.after} is", fleet),
    )
    late = (Reason("sources", _late(words, fact, now_us)) for words, fact in facts if fact is not None and fact.stale(now_us))
    return Readiness((*answer.reasons, *late))


def _late(words: str, fact: Fact[Any], now_us: int) -> str:
    return f"{words} {fact.age_s(now_us):.0f} s old: {fact.source or 'its source'} does not answer"


class Condition(Struct, frozen=True):
    """How a place does: the state's word (ok, warning, bad, mixed, running, unknown, stale) and words that say more."""

    word: str
    words: str


def condition(state: AppState, service: str, environment: str, now_us: int) -> Condition:
    """The condition of a place, the worst first; what is past its deadline is stale, whatever it said."""
    at = place(service, environment)
    fleet, latency = state.fleets.get(at), state.latency.get(at)
    if fleet is None:
        return Condition("unknown", "nodes not known")
    seen = _nodes(fleet.value)
    if fleet.stale(now_us):
        return Condition("stale", f"stale: {seen.words}")
    if seen.word == "ok" and latency is not None and not latency.stale(now_us) and latency.value.outside:
        return Condition("warning", f"{seen.words.removesuffix(' ok')}, p99 high")
    return seen


def _nodes(fleet: Fleet) -> Condition:
    agree, total = fleet.agreement
    active = fleet.active
    if active is not None and not active.state.final:
        done = sum(step.state == "done" for step in active.steps)
        return Condition("running", f"{done}/{total} to {active.version}")
    if not total:
        return Condition("unknown", "no nodes")
    if agree < total:
        return Condition("mixed", f"{agree} of {total} mixed")
    ill = sum(node.healthy is not True for node in fleet.nodes)
    if ill:
        return Condition("bad", f"{ill} of {total} not healthy")
    return Condition("ok", f"{agree}/{total} ok")
