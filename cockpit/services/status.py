"""What the state means: questions that the window and the terminal ask alike. Pure functions of the state."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain import dependencies, fingerprint
from cockpit.domain.approvals import Approval, ApprovalRule, Decision, decide
from cockpit.domain.checks import CheckRun, Summary, latest_run, summarise
from cockpit.domain.facts import Fact, place
from cockpit.domain.memo import Same
from cockpit.domain.policy import Rules as Rules
from cockpit.domain.readiness import Gates, Readiness, Reason, readiness
from cockpit.domain.release import Changes, Environment, Fleet, Service, Version, in_order, pending
from cockpit.domain.rollout import expected_s
from cockpit.domain.statements import Hold, Statement, holds, requests
from cockpit.services.calendars import Calendars, freezes_of, passed_by
from cockpit.services.store import AppState, changes_key

USUAL_S = 120.0  # a deployment's expected duration where none was seen yet


def service_of(state: AppState, name: str) -> Service | None:
    """The service of that name."""
    return next((s for s in state.services if s.name == name), None)


def environment_of(state: AppState, name: str) -> Environment | None:
    """The environment of that name."""
    return next((e for e in state.environments if e.name == name), None)


def versions(state: AppState, service: str) -> tuple[Version, ...]:
    """Known versions, newest first, each with its artifact's digest where one of the same commit is known.

    One that does not say its commit counts by its name; the preflight says so.
    """
    fact = state.versions.get(service)
    if fact is None:
        return ()
    built = state.artifacts.get(service)
    digests = {(a.version, a.commit): a.digest for a in built.value} if built else {}

    def digest(version: Version) -> str:
        return digests.get((version.name, version.commit)) or digests.get((version.name, ""), version.digest)

    return in_order(tuple(replace(v, digest=digest(v)) for v in fact.value))


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
    return _authors(Same(changes)) if changes is not None else None


@lru_cache(maxsize=128)
def _authors(same: Same[Changes]) -> frozenset[str] | None:
    return same.value.authors


def approval_rule(state: AppState, environment: str, rules: Rules) -> ApprovalRule:
    """The rule of an environment; where the policy has none, the number of approvals that the environment itself names."""
    wanted = environment_of(state, environment)
    return rules.approvals.get(environment) or ApprovalRule(required=wanted.approvals_required if wanted else 0)


def requester_of(state: AppState, version: Version, environment: str, now_us: int) -> str:
    """Who asked that this version be deployed there as soon as nothing speaks against it; "" where nobody did."""
    about = _about(Same(state.statements)).get((version.service, environment, version.digest), ())
    standing = requests(tuple(s for s in about if s.kind in ("request", "withdraw")), now_us)
    return standing[-1].who if standing else ""


def decision(
    state: AppState, version: Version, environment: str, rules: Rules, now_us: int, *, requester: str = "", deployer: str = ""
) -> Decision:
    """The state of approval of `version` for `environment`. Without a requester: whoever stands as one."""
    rule = approval_rule(state, environment, rules)
    asked = requester or requester_of(state, version, environment, now_us)
    authors = authors_of(state, version, environment)
    reviews = state.reviews.get(version.service)
    votes = _votes(Same(state.approvals)).get((version.service, version.name), ())
    about = (version, environment, Same(rule), authors, asked, deployer, now_us)
    return _decided(Same(votes), Same(reviews.value if reviews is not None else ()), *about)


@lru_cache(maxsize=16)
def _decided(
    votes: Same[tuple[Approval, ...]],
    reviews: Same[tuple[Approval, ...]],
    version: Version,
    environment: str,
    rule: Same[ApprovalRule],
    authors: frozenset[str] | None,
    requester: str,
    deployer: str,
    now_us: int,
) -> Decision:
    # what a forge knows of a commit counts for every environment whose rule lets it
    given = (replace(a, environment=a.environment or environment) for a in reviews.value)
    every = (*votes.value, *given)
    return decide(every, version, environment, rule.value, authors, requester=requester, deployer=deployer, now_us=now_us)


@lru_cache(maxsize=4)
def _votes(same: Same[tuple[Approval, ...]]) -> dict[tuple[str, str], tuple[Approval, ...]]:
    """Votes by service and version."""
    found: dict[tuple[str, str], list[Approval]] = {}
    for vote in same.value:
        found.setdefault((vote.service, vote.version), []).append(vote)
    return {at: tuple(votes) for at, votes in found.items()}


def held(state: AppState, service: str, environment: str, digest: str) -> Hold | None:
    """The hold that stands on an artifact in a place; None where there is none."""
    about = _about(Same(state.statements)).get((service, environment, digest), ())
    return next(iter(holds(tuple(s for s in about if s.kind in ("hold", "clear")))), None) if digest else None


@lru_cache(maxsize=4)
def _about(same: Same[tuple[Statement, ...]]) -> dict[tuple[str, str, str], tuple[Statement, ...]]:
    """Statements by what they are about, so that a thousand of them cost a plan nothing."""
    found: dict[tuple[str, str, str], list[Statement]] = {}
    for s in same.value:
        found.setdefault((s.service, s.environment, s.digest), []).append(s)
    return {at: tuple(words) for at, words in found.items()}


def gates(
    state: AppState,
    version: Version,
    environment: str,
    rules: Rules,
    now_us: int,
    *,
    automatic: bool = False,
    calendars: Calendars | None = None,
) -> Gates:
    """Freezes, the override that passes them and the hold of a version. Nothing automatic ever passes an override.

    `calendars` remembers freezes and knows which calendars are configured; without it they are computed from the state alone.
    """
    history = state.deployments.get(place(version.service, environment))
    duration_s = ((expected_s(history.value) if history else None) or USUAL_S) + rules.bake_s(environment)
    freezes = (calendars.freezes_of if calendars is not None else freezes_of)(state, rules, environment, now_us, duration_s)
    override = None if automatic else passed_by(state, freezes, rules, environment, version.service, now_us)
    return Gates(freezes, override, held(state, version.service, environment, version.digest), duration_s)


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


def ready(
    state: AppState,
    version: Version,
    environment: str,
    rules: Rules,
    now_us: int,
    *,
    deployer: str = "",
    automatic: bool = False,
    emergency: bool = False,
    calendars: Calendars | None = None,
) -> Readiness:
    """May `version` ship to `environment`? Everything against it, in words. Facts past their deadline count as not known.

    `deployer` fires it; `automatic`: nobody does, so no override counts; `emergency`: approvals are not waited for.
    """
    wanted = environment_of(state, environment) or Environment(environment)
    fleet = state.fleets.get(place(version.service, wanted.after)) if wanted.after else None
    before = fleet.value if fleet is not None and not fleet.stale(now_us) else None
    given = decision(state, version, environment, rules, now_us, deployer=deployer)
    if emergency:
        given = replace(given, reasons=())
    passed = gates(state, version, environment, rules, now_us, automatic=automatic, calendars=calendars)
    answer = readiness(version, wanted, checks(state, version, rules), given, before, passed)
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
    found = fingerprint.fingerprint(fleet)
    active = fleet.active
    if active is not None and not active.state.final:
        done = sum(step.state == "done" for step in active.steps)
        return Condition("running", f"{done}/{total} to {active.version}")
    if not total:
        return Condition("unknown", "no nodes")
    if agree < total:
        return Condition("mixed", f"{agree} of {total} mixed")
    if found.mixed:
        return Condition("mixed", f"{len({odd.node for odd in found.odd})} of {total} set differently")
    ill = sum(node.healthy is not True for node in fleet.nodes)
    if ill:
        return Condition("bad", f"{ill} of {total} not healthy")
    return Condition("ok", f"{agree}/{total} ok")


def believed(state: AppState, now_us: int) -> dict[str, Fleet]:
    """What runs where, by place, without what is too old to be believed."""
    return {at: fact.value for at, fact in state.fleets.items() if not fact.stale(now_us)}


def fingerprint_of(state: AppState, service: str, environment: str) -> fingerprint.Fingerprint | None:
    """How far the nodes of a place are alike, the odd ones by name; None where nothing is known."""
    fleet = state.fleets.get(place(service, environment))
    return fingerprint.fingerprint(fleet.value) if fleet is not None else None


def compatibility(state: AppState, now_us: int) -> tuple[dependencies.Pairing, ...]:
    """What of each service runs against what of its dependencies, in each environment."""
    return dependencies.compatibility(state.services, state.environments, believed(state, now_us))
