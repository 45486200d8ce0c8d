"""The one place that answers: may this version ship to that environment?"""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.approvals import Decision
from cockpit.domain.checks import CheckState, Summary
from cockpit.domain.release import Environment, Version


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


def readiness(version: Version, environment: Environment, checks: Summary, decision: Decision, live_before: str | None) -> Readiness:
    """Check tests, approvals and the way to production.

    `live_before` is the version live in the environment that `environment.after` names ("" when nothing is, None when not known).
    """
    reasons = []
    if not version.digest:
        reasons.append(Reason("versions", f"no artifact of {version.name} is known: its digest is missing"))
    if checks.state is not CheckState.PASSED:
        words = "; ".join(checks.reasons) or str(checks.state)
        reasons.append(Reason("checks", f"tests are {checks.state}: {words}"))
    reasons += [Reason("approvals", text) for text in decision.reasons]
    if environment.after and live_before != version.name:
        seen = "not known" if live_before is None else live_before or "nothing"
        reasons.append(Reason("versions", f"{environment.after} comes first: it runs {seen}"))
    return Readiness(tuple(reasons))
