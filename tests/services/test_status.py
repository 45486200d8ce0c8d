"""What the state means: what stands against a deploy, each with its words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.calendar import Freeze
from cockpit.domain.facts import Fact, place
from cockpit.domain.readiness import Readiness
from cockpit.domain.release import Fleet, Node, Version
from cockpit.domain.statements import Statement
from cockpit.services import status
from cockpit.services.latency import LatencyBook
from cockpit.services.store import AppState
from tests.fakes.believable import NOW_US, S, believable_state
from tests.fakes.cockpit import FakeCockpit

GATEWAY, PRODUCTION = "order-gateway", "production"
STAGING = place(GATEWAY, "staging")
RULES = status.Rules(("unit", "integration", "performance"))


@pytest.fixture
def state() -> AppState:
    """Of order-gateway 1.7.0 runs in staging, is tested and approved, and may ship to production."""
    return believable_state()


def version(state: AppState, name: str = "1.7.0") -> Version:
    found = status.version_of(state, GATEWAY, name)
    assert found is not None
    return found


def ready(state: AppState, environment: str = PRODUCTION) -> Readiness:
    return status.ready(state, version(state), environment, RULES, NOW_US)


def words(answer: Readiness) -> list[tuple[str, str]]:
    return [(reason.place, reason.text) for reason in answer.reasons]


def with_nodes(state: AppState, *nodes: Node) -> AppState:
    fact = state.fleets[STAGING]
    return replace(state, fleets={**state.fleets, STAGING: replace(fact, value=Fleet(GATEWAY, "staging", nodes))})


def aged(state: AppState, kind: str, key: str, seconds: int) -> AppState:
    facts: dict[str, Fact[Any]] = getattr(state, kind)
    return replace(state, **{kind: {**facts, key: replace(facts[key], at_us=NOW_US - seconds * S)}})


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        ("checks", GATEWAY, "test results are 31 s old: ci does not answer"),
        ("versions", GATEWAY, "versions and their authors are 31 s old: git does not answer"),
        ("fleets", STAGING, "what is known of staging is 31 s old: deployer does not answer"),
    ],
)
def test_every_stale_source_stands_against_a_deploy(state: AppState, kind: str, key: str, text: str) -> None:
    assert ("sources", text) in words(ready(aged(state, kind, key, 31)))


def test_a_stale_fleet_counts_as_not_known(state: AppState) -> None:
    assert ("versions", "staging comes first: it runs not known") in words(ready(aged(state, "fleets", STAGING, 31)))
    assert ("versions", "staging comes first: it runs not known") in words(ready(replace(state, fleets={})))


def test_what_comes_before_the_first_environment_is_not_asked(state: AppState) -> None:
    assert "sources" not in [place for place, _ in words(ready(aged(state, "fleets", STAGING, 31), "staging"))]


def test_the_name_alone_does_not_lead_through_staging(state: AppState) -> None:
    nodes = state.fleets[STAGING].value.nodes
    moved = with_nodes(state, *(replace(n, digest="4" * 64) for n in nodes))
    assert words(ready(moved)) == [("versions", "staging comes first: it runs another artifact of 1.7.0")]


def test_a_half_rolled_staging_does_not_count(state: AppState) -> None:
    nodes = state.fleets[STAGING].value.nodes
    half = with_nodes(state, *nodes, replace(nodes[0], name="staging-9", version="1.6.0", digest="4" * 64))
    assert words(ready(half)) == [("versions", "staging comes first: its nodes do not agree")]


def test_an_artifact_counts_by_its_commit_and_one_that_tells_none_by_its_name(state: AppState) -> None:
    fact, bare = state.artifacts[GATEWAY], state.versions[GATEWAY]
    tags = {GATEWAY: replace(bare, value=tuple(replace(v, digest="") for v in bare.value))}

    def digest(commit: str) -> str:
        changed = tuple(replace(a, commit=commit) if a.version == "1.7.0" else a for a in fact.value)
        return version(replace(state, versions=tags, artifacts={GATEWAY: replace(fact, value=changed)})).digest

    built = next(a for a in fact.value if a.version == "1.7.0")
    assert digest(built.commit) == digest("") == built.digest
    assert digest("another") == ""


def test_the_same_artifact_everywhere_in_staging_is_the_way(state: AppState) -> None:
    assert ready(state).ok


def test_tests_are_unknown_where_no_ci_system_told_of_the_service(state: AppState) -> None:
    assert status.checks_word(state, version(state), RULES) == "passed"
    assert status.checks_word(replace(state, checks={}), version(state), RULES) == "unknown"
    none_yet = {GATEWAY: replace(state.checks[GATEWAY], value=())}
    assert status.checks_word(replace(state, checks=none_yet), version(state), RULES) == "pending"


def test_the_book_of_the_windows_tests_is_the_real_one() -> None:
    book = FakeCockpit().latency
    assert isinstance(book, LatencyBook)
    assert book.nodes(STAGING) == ("staging-1", "staging-2")
    assert book.operations(STAGING) == ("cancel", "depth", "order", "quote")
    assert book.nodes("elsewhere@staging") == book.operations("elsewhere@staging") == ()
    last = book.last(STAGING)
    assert last is not None
    assert last.at_us == int(book.columns(f"{STAGING}/*/*", 0, NOW_US).at_us[-1])


# -- rules, holds, freezes ---------------------------------------------------------------------------------------------------


def said(state: AppState, kind: str, digest: str, at_us: int = NOW_US, **fields: Any) -> AppState:
    named = {"who": "eve@playground.invalid", "name": "Eve", "reason": "p99", "id": f"{kind}{at_us}", **fields}
    word = Statement(kind, GATEWAY, PRODUCTION, "1.7.0", "", digest, at_us=at_us, **named)
    return replace(state, statements=(*state.statements, word))


def test_a_hold_stands_against_a_deploy_in_the_one_answer(state: AppState) -> None:
    digest = version(state).digest
    held = said(state, "hold", digest)
    [(place_, text)] = words(ready(held))
    assert place_ == "approvals"
    assert "1.7.0 is held by eve@playground.invalid" in text
    assert status.held(held, GATEWAY, PRODUCTION, digest) is not None
    assert status.held(held, GATEWAY, "staging", digest) is None
    assert status.held(held, GATEWAY, PRODUCTION, "") is None
    assert ready(said(held, "clear", digest, NOW_US + 1)).ok
    assert not ready(said(held, "clear", digest, NOW_US + 1, why_not="forged")).ok


def frozen(state: AppState, hard: bool = False) -> AppState:
    freeze = Freeze("expiry", NOW_US - S, NOW_US + 600 * S, "venue", hard)
    return replace(state, sources={}, freezes={"calendar": Fact((freeze,), NOW_US, "calendar", 1e6)})


def test_a_freeze_stands_against_a_deploy_and_a_calendar_that_is_silent_too(state: AppState) -> None:
    assert [place for place, _ in words(ready(frozen(state)))] == ["freezes"]
    late = frozen(state)
    late = replace(late, freezes={"calendar": replace(late.freezes["calendar"], value=(), at_us=NOW_US - 2_000_000 * S)})
    assert "whether it is frozen is not known" in words(ready(late))[0][1]


def test_an_override_passes_a_freeze_for_people_who_may_and_never_a_hard_one(state: AppState) -> None:
    rules = replace(RULES, may={"freeze": frozenset({"eve@playground.invalid"})})

    def ok(at: AppState, **how: Any) -> bool:
        return status.ready(at, version(at), PRODUCTION, how.pop("rules", rules), NOW_US, **how).ok

    passed = said(frozen(state), "override", "", NOW_US - S, until_us=NOW_US + S)
    assert ok(passed)
    assert not ok(passed, automatic=True), "robots never pass"
    assert not ok(passed, rules=RULES), "the policy names nobody"
    assert not ok(frozen(said(state, "override", "", NOW_US - S, until_us=NOW_US + S), hard=True))
    assert not ok(said(frozen(state), "override", "", NOW_US - S, until_us=NOW_US))


def test_the_policys_rule_replaces_the_environments_number(state: AppState) -> None:
    rules = replace(RULES, approvals={PRODUCTION: ApprovalRule(required=5)})
    assert status.decision(state, version(state), PRODUCTION, rules, NOW_US).required == 5
    plain = status.decision(state, version(state), PRODUCTION, RULES, NOW_US)
    wanted = status.environment_of(state, PRODUCTION)
    assert wanted is not None
    assert plain.required == wanted.approvals_required
    refused = status.ready(state, version(state), PRODUCTION, rules, NOW_US)
    assert [r.place for r in refused.reasons] == ["approvals"]
    assert status.ready(state, version(state), PRODUCTION, rules, NOW_US, emergency=True).ok


def test_who_asked_for_it_and_who_deploys_do_not_count_where_they_are_kept_apart(state: AppState) -> None:
    approver = next(a for a in state.approvals if a.environment == PRODUCTION and a.version == "1.7.0").who
    digest = version(state).digest
    asked = said(state, "request", digest, NOW_US - S, who=approver, until_us=NOW_US + S)
    assert status.requester_of(asked, version(asked), PRODUCTION, NOW_US) == approver
    before = status.decision(state, version(state), PRODUCTION, RULES, NOW_US).given
    assert status.decision(asked, version(asked), PRODUCTION, RULES, NOW_US).given == before - 1
    assert status.requester_of(asked, version(asked), PRODUCTION, NOW_US + S) == ""
    apart = replace(RULES, approvals={PRODUCTION: ApprovalRule(required=1, apart=frozenset({"deployer"}))})
    anybody = status.decision(state, version(state), PRODUCTION, apart, NOW_US).given
    assert status.decision(state, version(state), PRODUCTION, apart, NOW_US, deployer=approver).given == anybody - 1


def test_a_place_whose_nodes_are_set_differently_is_mixed(state: AppState) -> None:
    nodes = state.fleets[STAGING].value.nodes
    odd = with_nodes(state, *(replace(n, config="aa", flags=("X=on",) if i else ("X=off",)) for i, n in enumerate(nodes)))
    assert status.condition(odd, GATEWAY, "staging", NOW_US).word == "mixed"
    assert words(ready(odd)) == [("versions", "staging comes first: its nodes do not agree")]
