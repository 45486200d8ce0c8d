"""The team's rules, as everything that decides reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.reversibility import Declaration
from cockpit.domain.strategy import ServiceSet, Strategy
from cockpit.domain.watching import WatchRule

if TYPE_CHECKING:
    from cockpit.domain.rollout import RolloutPlan


class Rules(Struct, frozen=True):
    """What the policy asks for.

    `required_checks`: suites that must pass (none: all of a run). By environment: `approvals`, `freezes` (names of built-in venue rules),
    `strategies` (the plan of steps; none: all at once as the system does it), `locks` (auto, always, never). `may`: freeze, emergency,
    clear -> addresses of those who may. `declared`: by service and version, what the policy says of its way back. `sets`: by name.
    `watches`: how deployments to an environment are watched.
    """

    required_checks: tuple[str, ...] = ()
    approvals: dict[str, ApprovalRule] = {}
    freezes: dict[str, tuple[str, ...]] = {}
    strategies: dict[str, Strategy] = {}
    locks: dict[str, str] = {}
    may: dict[str, frozenset[str]] = {}
    declared: dict[str, dict[str, Declaration]] = {}
    sets: dict[str, ServiceSet] = {}
    watches: dict[str, WatchRule] = {}

    def why_in_steps(self, planned: RolloutPlan) -> str:
        """Why this plan is not carried out all at once; "" where it may be. Going back and an emergency never wait for steps."""
        strategy = self.strategies.get(planned.environment)
        if planned.kind != "deploy" or planned.emergency or strategy is None or not strategy.steps:
            return ""
        return f"The policy wants deployments to {planned.environment} done in steps: {strategy.name}."

    def bake_s(self, environment: str) -> float:
        """How long a deployment there waits between its steps, in seconds, by its strategy."""
        strategy = self.strategies.get(environment)
        return sum(step.seconds for step in strategy.steps if step.do == "bake") if strategy is not None else 0.0

    def approval(self, environment: str) -> ApprovalRule:
        """The rule of that environment."""
        return self.approvals.get(environment, ApprovalRule())

    def watch(self, environment: str) -> WatchRule:
        """How a deployment there is watched."""
        return self.watches.get(environment, WatchRule())
