"""State changes: frozen, told once, with what changed; ages alone are told as ages."""

from __future__ import annotations

import msgspec
import pytest

from cockpit.domain.facts import Fact
from cockpit.domain.release import Service
from cockpit.services.store import AppState, Change, Problem, SourceHealth, Store


def test_a_change_names_its_kinds_and_keys() -> None:
    store, seen = Store(), list[Change]()
    leave = store.subscribe(seen.append)
    store.apply(services=(Service("gw"),))
    store.merge("checks", {"gw": Fact((), 1)})
    store.merge("checks", {"gw": Fact((), 2)})
    store.merge("checks", {})
    assert [sorted(c.kinds) for c in seen] == [["services"], ["checks"], ["ages"]]
    assert seen[1].ids == {"gw"}
    assert seen[1].touches("fleets", "checks")
    assert not seen[1].touches("fleets")
    leave()
    store.apply(starting="x")
    assert len(seen) == 3


def test_the_old_state_is_left_alone() -> None:
    store = Store()
    before = store.state
    store.merge("checks", {"gw": Fact((), 1)})
    assert before.checks == {}
    with pytest.raises(AttributeError):
        before.starting = "x"  # type: ignore[misc]


def test_a_state_survives_being_written_and_read() -> None:
    state = AppState(services=(Service("gw"),), checks={"gw": Fact((), 5, "ci", 3.0)})
    assert msgspec.json.decode(msgspec.json.encode(state), type=AppState) == state


@pytest.mark.parametrize(
    ("health", "word"),
    [
        (SourceHealth("a", "A", "k"), "pending"),
        (SourceHealth("a", "A", "k", last_success_us=95_000_000), "ok"),
        (SourceHealth("a", "A", "k", last_success_us=50_000_000), "stale"),
        (SourceHealth("a", "A", "k", last_success_us=99_000_000, problem=Problem("x", "y")), "failed"),
        (SourceHealth("a", "A", "k", stopped=True), "stopped"),
    ],
)
def test_health_in_a_word(health: SourceHealth, word: str) -> None:
    assert health.state(100_000_000) == word
