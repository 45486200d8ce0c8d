"""How much of the state is held: what only ever grows is cut back, so that a window can stay open for weeks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from cockpit.domain.policy import Rules
from cockpit.services import status, ways
from cockpit.services.jobs import AHEAD
from cockpit.services.store import AppState, changes_key

CHANGES = 64
ACTIONS = 200  # that have ended; those under way are never dropped
RUNS = 32

Pair = tuple[str, str, str]  # service, base version, head version
T = TypeVar("T")


def pruned(state: AppState, asked: Collection[Pair]) -> dict[str, Any]:
    """The fields that are too long, cut back, for `Store.apply`. `asked`: comparisons that a person looked at last."""
    fields: dict[str, Any] = {}
    if len(state.changes) > CHANGES:
        fields["changes"] = _newest(state.changes, CHANGES, _needed(state, asked), lambda fact: fact.at_us)
    under_way = frozenset(key for key, action in state.actions.items() if not action.state.final)
    if len(state.actions) - len(under_way) > ACTIONS:
        fields["actions"] = _newest(state.actions, ACTIONS + len(under_way), under_way, lambda action: action.intended_at_us)
    if len(state.runs) > RUNS:
        fields["runs"] = _newest(state.runs, RUNS, frozenset(), lambda fact: fact.at_us)
    return {name: kept for name, kept in fields.items() if len(kept) < len(getattr(state, name))}


def _newest(items: dict[str, T], most: int, always: frozenset[str], at_us: Callable[[T], int]) -> dict[str, T]:
    others = sorted((k for k in items if k not in always), key=lambda k: at_us(items[k]), reverse=True)
    stay = always | set(others[: max(0, most - sum(k in items for k in always))])
    return {key: item for key, item in items.items() if key in stay}


def _needed(state: AppState, asked: Collection[Pair]) -> frozenset[str]:
    """Comparisons that would be asked for again at once."""
    pairs = [*asked, *_around_live(state)]
    named = {changes_key(s, status.commit_of(state, s, base), status.commit_of(state, s, head)) for s, base, head in pairs}
    back = (ways.wanted(state, Rules(), s.name, e.name) for s in state.services for e in state.environments)
    return frozenset(named | {changes_key(*pair) for pairs_of_place in back for pair in pairs_of_place})


def _around_live(state: AppState) -> Iterator[Pair]:
    for service in (s.name for s in state.services):
        for environment in (e.name for e in state.environments):
            live = status.live_name(state, service, environment)
            if live is None:
                continue
            yield from ((service, live, v.name) for v in status.pending_versions(state, service, environment)[:AHEAD])
