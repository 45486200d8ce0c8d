"""The one rule by which a plan is carried out: in the steps of its environment's strategy where it has one, else all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed
from cockpit.domain.rollout import Action, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout

if TYPE_CHECKING:
    from cockpit.services.actions import Actions
    from cockpit.services.rollouts import Rollouts
    from cockpit.services.store import AppState


def carry_out(actions: Actions, rollouts: Rollouts, planned: RolloutPlan, reason: str = "", *, automatic: bool = False) -> Action | Rollout:
    """Fire the plan, or begin the steps that the policy wants for it; NotAllowed where any of its facts is no longer so.

    `automatic`: no person stands behind it, in no step. Main thread only.
    """
    if not actions.rules.why_in_steps(planned):
        return actions.fire(planned, reason, automatic=automatic)
    fresh = actions.still(planned, automatic=automatic)
    if automatic and isinstance(fresh, RolloutPlan) and fresh.insists:
        raise NotAllowed(f"Only a person may pass this: {'; '.join(fresh.insists)}.", hint="Nothing was sent.", reasons=fresh.insists)
    drafted = fresh if isinstance(fresh, Refusal) else rollouts.draft(planned.service, planned.environment, planned.target.name)
    if isinstance(drafted, Refusal):
        reasons = tuple(reason.text for reason in drafted.reasons)
        raise NotAllowed("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
    return rollouts.begin(replace(drafted, automatic=automatic), reason)


def automatic_at(state: AppState, service: str, environment: str) -> bool:
    """Whether what is under way there was begun by nobody's click, and no person has sent it on since."""
    at = (service, environment)
    return any(r.automatic and not r.state.final and not r.rehearsal and at in r.places for r in state.rollouts.values())
