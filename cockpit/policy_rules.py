"""The rules that the settings give, as everything that decides reads them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from cockpit.domain.approvals import ApprovalRule, Quorum
from cockpit.domain.policy import Rules
from cockpit.domain.reversibility import Declaration, Way, parse
from cockpit.domain.strategy import ServiceSet, StepSpec, Strategy
from cockpit.domain.watching import WatchRule
from cockpit.storage.settings import Settings


def rules_of(settings: Settings) -> Rules:
    """What the settings ask for, as everything that decides reads it."""
    overrides = settings.overrides
    may = {"freeze": settings.members(overrides.freeze), "emergency": settings.members(overrides.emergency)}
    if overrides.clear:
        # without the entry every named person may
        may["clear"] = settings.members(overrides.clear)
    strategies = {name: Strategy(name, tuple(_step(s) for s in entry.steps)) for name, entry in settings.strategies.items()}
    return Rules(
        required_checks=settings.checks.required,
        approvals={name: _approval_rule(settings, name) for name in settings.environments},
        freezes={name: e.freezes for name, e in settings.environments.items() if e.freezes},
        strategies={name: strategies[e.strategy] for name, e in settings.environments.items() if e.strategy in strategies},
        locks={name: e.lock for name, e in settings.environments.items()},
        may=may,
        declared={name: declared for name, s in settings.services.items() if (declared := _declared(s.one_way, s.safe_until))},
        sets={name: ServiceSet(name, entry.services, entry.on_failure) for name, entry in settings.sets.items()},
        watches={name: WatchRule(**asdict(e.watch)) for name, e in settings.environments.items()},
    )


def _approval_rule(settings: Settings, name: str) -> ApprovalRule:
    environment, approvals = settings.environments[name], settings.approvals
    return ApprovalRule(
        required=environment.approvals,
        groups=environment.groups,
        members=settings.members(environment.groups),
        quorums=tuple(Quorum(group, settings.members((group,)), least) for group, least in environment.quorum.items()),
        apart=frozenset(environment.apart),
        expires_s=environment.expires_h * 3600,
        signed=bool(approvals.allowed_signers or approvals.openpgp),
    )


def _step(step: Any) -> StepSpec:
    return StepSpec(step.do, step.nodes, step.seconds, step.ask, step.percent, step.mode)


def _declared(one_way: dict[str, str], safe_until: dict[str, str]) -> dict[str, Declaration]:
    found = {version: parse(f"safe until {text}", f"version {version}") for version, text in safe_until.items()}
    return found | {v: Declaration(Way.ONE_WAY, f"version {v}", reason=reason) for v, reason in one_way.items()}
