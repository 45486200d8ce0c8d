"""What became of an action: whether a deployment is ours, what the nodes prove, and what a restart may know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from cockpit.domain.errors import AuthFailed, ConnectorError, NotFound, RateLimited, Rejected, Unreachable
from cockpit.domain.fingerprint import OTHERWISE_SET, only_set_otherwise
from cockpit.domain.release import Deployment, DeployState, Fleet
from cockpit.domain.rollout import Action, ActionState, Line, LineState
from cockpit.storage.journal import Entry
from cockpit.storage.owner import owner_alive, process_owner

if TYPE_CHECKING:
    from cockpit.connectors.ports import DeploymentApi

REFUSALS = (Rejected, AuthFailed, NotFound, RateLimited)
LATENCY_LINE = Line(LineState.UNKNOWN, "latency: not enough seen yet", 0, "latency")
HINTS = {
    ActionState.NOT_SENT: "Nothing changed. Look at Sources, then start it again.",
    ActionState.FAILED: "Look at the nodes in the card: they may run different versions. A rollback puts them on one.",
    ActionState.ABORTED: "The nodes may run different versions. Deploy or roll back to put them on one.",
}


def hint_of(action: Action, fleet: Fleet | None) -> str:
    """The way out of how an action ended, by what its place runs now."""
    if action.state is ActionState.FAILED and fleet is not None and only_set_otherwise(fleet, action.digest, action.nodes):
        return f"All nodes run {action.version}, but they are not set alike; {OTHERWISE_SET}. Set the odd ones as the others are."
    return HINTS.get(action.state, "")


def is_of(deployment: Deployment, action: Action) -> bool:
    """Whether a deployment is the one that this action asked for."""
    same_place = (deployment.service, deployment.environment) == (action.service, action.environment)
    return same_place and deployment.key in ("", action.key)


def lane_of(action: Action) -> str:
    """The lane of everything that an action asks and writes."""
    return f"deploy:{action.environment}:{action.key}"


def name_of(action: Action) -> str:
    """An action as a person names it."""
    return f"{action.kind.capitalize()} of {action.service} in {action.environment} to {action.version}"


def find_ours(api: DeploymentApi, action: Action) -> Deployment | None:
    """What the system has under the action's key; None only where it certainly has nothing. Blocks; ConnectorErrors.

    Two witnesses: a "not found" alone may come from a gate before the system, so the place's own history must not name the key either.
    """
    try:
        found = api.find(action.key)
        if found is None:
            found = next((d for d in api.history(action.service, action.environment) if d.key == action.key), None)
        return found
    except ConnectorError:
        raise
    except Exception as error:  # a defect in a connector must not end the asking
        raise Unreachable(f"Asking for the outcome failed: {error}") from error


def odd(proof: tuple[Line, ...]) -> str:
    """The nodes that prove nothing, in words; empty when all agree."""
    return ", ".join(line.text for line in proof if line.state is not LineState.OK)


def superseded(others: Iterable[Action], action: Action, fleet: Fleet) -> bool:
    """Whether what contradicts the proof is what an action put there that the system accepted later."""
    mine = [a for a in others if (a.service, a.environment) == (action.service, action.environment)]
    later = {a.digest for a in mine if a.accepted_at_us and a.intended_at_us > action.intended_at_us}
    seen = {node.digest for node in fleet.nodes if not action.nodes or node.name in action.nodes}
    return bool(seen & later) and seen <= later | {action.digest}


def taken_up(entry: Entry, progress: tuple[Entry, ...], now_us: int) -> Action | None:
    """The action that an intent without outcome describes, in the state a restart may know: followed, else unknown.

    None while the process that began it still lives, and for entries that are no deployment. A process on another machine is left
    an hour before it is taken for gone.
    """
    foreign = now_us - entry.at_us > 3600e6 and entry.owner.partition(":")[0] != process_owner().partition(":")[0]
    if entry.action not in ("deploy", "rollback") or (owner_alive(entry.owner) and not foreign):
        return None
    try:
        action = msgspec.convert(entry.detail, Action, strict=False)
    except msgspec.ValidationError:
        return None
    accepted = next((p for p in progress if p.kind == "progress" and "deployment" in p.detail), None)
    if accepted is None:
        return replace(action, state=ActionState.UNKNOWN, message="interrupted before an answer was seen")
    begun = Deployment(
        str(accepted.detail["deployment"]),
        action.key,
        action.service,
        action.environment,
        action.version,
        action.digest,
        action.kind,
        DeployState.RUNNING,
    )
    return replace(action, state=ActionState.FOLLOWING, accepted_at_us=accepted.at_us, deployment=begun, message="taken up after a restart")


def let_go_of(progress: tuple[Entry, ...]) -> str:
    """Who no longer waits for an action, and why, as the journal has it; "" where it is waited for."""
    return next((str(p.detail["let_go"]) for p in reversed(progress) if p.kind == "note" and "let_go" in p.detail), "")
