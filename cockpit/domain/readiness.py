"""The one place that answers: may this version ship to that environment?"""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.approvals import Decision
from cockpit.domain.checks import CheckState, Summary
from cockpit.domain.release import Environment, Fleet, Version


class Reason(Struct, frozen=True, gc=False):
    """Why not: the place to look (versions, checks, approvals, sources, activity), and the words."""

    place: str
    text: str


class Readiness(Struct, frozen=True, gc=False):
    """`ok` only without any reason against it."""

    reasons: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.reasons


def readiness(version: Version, environment: Environment, checks: Summary, decision: Decision, before: Fleet | None) -> Readiness:
    """Check tests, approvals and the way to production.

    `before` is what runs in the environment that `environment.after` names; None when that is not known, or no longer.
    """
    reasons = []
    if not version.digest:
        reasons.append(Reason("versions", f"no artifact of {version.name} is known: its digest is missing"))
    if checks.state is not CheckState.PASSED:
        words = "; ".join(checks.reasons) or str(checks.state)
        reasons.append(Reason("checks", f"tests are {checks.state}: {words}"))
    reasons += [Reason("approvals", text) for text in decision.reasons]
    missing = _not_there(version, before) if environment.after else ""
    if missing:
        reasons.append(Reason("versions", f"{environment.after} comes first: {missing}"))
    return Readiness(tuple(reasons))


def _not_there(version: Version, before: Fleet | None) -> str:
    """Why `before` does not run exactly this artifact on every node; "" where it does. A name says nothing: tags move."""
    if before is None or (before.nodes and before.live is None):
        return "it runs not known"
    live = before.live
    if live is None:
        return "it runs nothing"
    agree, total = before.agreement
    if agree < total:
        return "its nodes do not agree"
    if live.digest == version.digest:
        return ""
    if live.version != version.name:
        return f"it runs {live.version or f'the artifact {live.digest[:12]}'}"
    return f"it runs another artifact of {live.version}"
