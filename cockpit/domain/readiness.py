"""The one place that answers: may this version ship to that environment?"""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.approvals import Decision
from cockpit.domain.calendar import Freezes
from cockpit.domain.checks import CheckState, Summary
from cockpit.domain.fingerprint import why_not_first
from cockpit.domain.lines import listed, moment
from cockpit.domain.release import Environment, Fleet, Version
from cockpit.domain.statements import Hold, Override


class Reason(Struct, frozen=True, gc=False):
    """Why not: the place to look (overview, versions, checks, approvals, freezes, sources, activity), and the words."""

    place: str
    text: str


class Readiness(Struct, frozen=True, gc=False):
    """`ok` only without any reason against it."""

    reasons: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.reasons


class Gates(Struct, frozen=True, gc=False):
    """What may hold a version back besides tests and approvals. `freezes` None: no calendar was asked. `duration_s`: expected."""

    freezes: Freezes | None = None
    override: Override | None = None
    hold: Hold | None = None
    duration_s: float = 0.0


def readiness(
    version: Version, environment: Environment, checks: Summary, decision: Decision, before: Fleet | None, gates: Gates | None = None
) -> Readiness:
    """Check tests, approvals, the way to production, freezes and holds.

    `before` is what runs in the environment that `environment.after` names; None when that is not known, or no longer.
    """
    reasons = []
    if not version.digest:
        reasons.append(Reason("versions", f"no artifact of {version.name} is known: its digest is missing"))
    if checks.state is not CheckState.PASSED:
        words = "; ".join(checks.reasons) or str(checks.state)
        reasons.append(Reason("checks", f"tests are {checks.state}: {words}"))
    reasons += [Reason("approvals", text) for text in decision.reasons]
    missing = why_not_first(environment.after, before, version) if environment.after else ""
    if missing:
        reasons.append(Reason("versions", missing))
    frozen = why_frozen(gates.freezes, gates.override) if gates is not None and gates.freezes is not None else ""
    if frozen:
        reasons.append(Reason("freezes", frozen))
    if gates is not None and gates.hold is not None:
        reasons.append(Reason("approvals", why_held(gates.hold)))
    return Readiness(tuple(reasons))


def why_frozen(freezes: Freezes, override: Override | None) -> str:
    """Why nothing may be deployed now; "" where it may. An override passes all but a hard freeze, or one that may be hard."""
    hard = [f for f in freezes.now if f.hard]
    if override is not None and not hard and not freezes.closed:
        return ""
    if freezes.now:
        first = (hard or list(freezes.now))[0]
        until = moment(max(f.end_us for f in freezes.now))
        words = f"frozen until {until}: {first.name}" + (f" ({first.source})" if first.source else "")
        words += "; a hard freeze, no override passes it" if hard else ""
        return f"{words}; next safe window from {moment(freezes.safe[0])}" if freezes.safe is not None else words
    words = f"whether it is frozen is not known: {listed(freezes.unknown)} does not answer" if freezes.unknown else ""
    return words + ("; its freezes are hard, no override passes them" if freezes.closed else "")


def why_held(hold: Hold) -> str:
    """Who holds a version, since when and why, and what ends it."""
    why = hold.reason or "no reason given"
    return f"{hold.version} is held by {hold.who or 'nobody known'} since {moment(hold.at_us)}: {why} (a named person clears it)"
