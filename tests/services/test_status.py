"""What the state means: what stands against a deploy, each with its words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.facts import Fact, place
from cockpit.domain.readiness import Readiness
from cockpit.domain.release import Fleet, Node, Version
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
