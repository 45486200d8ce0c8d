"""The team's rules, as everything that decides reads them."""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.reversibility import Declaration
from cockpit.domain.strategy import ServiceSet, Strategy


class Rules(Struct, frozen=True):
    """What the policy asks for.

    `required_checks`: suites that must pass (none: all of a run). By environment: `approvals`, `freezes` (names of built-in venue rules),
    `strategies` (the plan of steps; none: all at once as the system does it), `locks` (auto, always, never). `may`: freeze, emergency,
    clear -> addresses of those who may. `declared`: by service and version, what the policy says of its way back. `sets`: by name.
    """

    required_checks: tuple[str, ...] = ()
    approvals: dict[str, ApprovalRule] = {}
    freezes: dict[str, tuple[str, ...]] = {}
    strategies: dict[str, Strategy] = {}
    locks: dict[str, str] = {}
    may: dict[str, frozenset[str]] = {}
    declared: dict[str, dict[str, Declaration]] = {}
    sets: dict[str, ServiceSet] = {}

    def approval(self, environment: str) -> ApprovalRule:
        """The rule of that environment."""
        return self.approvals.get(environment, ApprovalRule())
