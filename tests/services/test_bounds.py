"""What is held stays bounded, and what is under way, in use or asked for last is never dropped."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cockpit.domain.facts import Fact
from cockpit.domain.release import Changes
from cockpit.domain.rollout import Action, ActionState
from cockpit.services import status
from cockpit.services.bounds import ACTIONS, CHANGES, RUNS, pruned
from cockpit.services.store import AppState, changes_key
from tests.fakes.believable import believable_state

STATE = replace(believable_state(), changes={})
LIVE = status.live_name(STATE, "order-gateway", "production") or ""
AHEAD = status.pending_versions(STATE, "order-gateway", "production")[0]
IN_USE = changes_key("order-gateway", status.commit_of(STATE, "order-gateway", LIVE), AHEAD.commit)


def comparisons(count: int) -> dict[str, Fact[Changes]]:
    empty = Changes("a", "b", (), (), 0, 0)
    return {f"order-gateway:x{n}..y{n}": Fact(empty, 10**15 + n, "git") for n in range(count)}


def action(number: int, state: ActionState) -> Action:
    return Action(f"k{number}", "deploy", "order-gateway", "production", "1", "d1", "2", "d2", "Ada", state, number)


def test_a_small_state_is_left_alone() -> None:
    assert pruned(STATE, ()) == {}
    assert pruned(AppState(), ()) == {}


def test_comparisons_keep_the_newest_and_those_that_are_in_use_however_old() -> None:
    in_use = {IN_USE: Fact(Changes(LIVE, AHEAD.name, (), (), 0, 0), 1, "git")}
    kept = pruned(replace(STATE, changes={**in_use, **comparisons(500)}), ())["changes"]
    assert len(kept) == CHANGES
    assert f"order-gateway:x{499}..y{499}" in kept
    assert "order-gateway:x0..y0" not in kept
    assert IN_USE in kept


def test_what_a_person_asked_for_last_stays() -> None:
    names = [v.name for v in status.versions(STATE, "order-gateway")]
    pair = ("order-gateway", names[-1], names[-2])
    key = changes_key("order-gateway", *(status.commit_of(STATE, "order-gateway", name) for name in pair[1:]))
    old = {key: Fact(Changes("a", "b", (), (), 0, 0), 1, "git")}
    state = replace(STATE, changes={**old, **comparisons(500)})
    assert key not in pruned(state, ())["changes"]
    assert key in pruned(state, [pair])["changes"]


def test_actions_keep_all_that_are_under_way_and_the_newest_that_ended() -> None:
    under_way = {f"k{n}": action(n, ActionState.UNKNOWN) for n in range(3)}
    ended = {f"k{n}": action(n, ActionState.DONE) for n in range(3, ACTIONS + 50)}
    kept = pruned(replace(STATE, actions={**under_way, **ended}), ())["actions"]
    assert len(kept) == ACTIONS + 3
    assert under_way.keys() <= kept.keys()
    assert "k3" not in kept
    assert f"k{ACTIONS + 49}" in kept


def test_many_under_way_drop_nothing() -> None:
    under_way = {f"k{n}": action(n, ActionState.FOLLOWING) for n in range(ACTIONS + 50)}
    assert pruned(replace(STATE, actions=under_way), ()) == {}


def test_runs_keep_the_newest() -> None:
    run: Any = next(iter(STATE.checks.values())).value[0]
    runs = {f"r{n}": Fact(replace(run, id=f"r{n}"), n, "ci") for n in range(RUNS + 5)}
    assert list(pruned(replace(STATE, runs=runs), ())["runs"]) == [f"r{n}" for n in range(5, RUNS + 5)]
