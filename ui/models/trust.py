"""Rules, signatures and statements in words. Everything a person wrote comes out as one plain line. All functions are pure."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.domain.approvals import Approval, ApprovalRule
from cockpit.domain.statements import Debt, Hold, Override, Statement
from ui.models.text import age_text, count_text, moment, plain, plural

NAME = 60  # characters of a name that a line shows
_WEEK_US = 6 * 24 * 3_600_000_000
HOUR_US = 3_600_000_000


def moment_text(at_us: int, now_us: int) -> str:
    """08:15 UTC today, Fri 08:15 UTC within six days, else 2026-12-01 08:15 UTC."""
    at, now = moment(at_us), moment(now_us)
    if at is None or now is None:
        return "a time that is not known"
    if at.date() == now.date():
        return f"{at:%H:%M} UTC"
    if 0 < at_us - now_us < _WEEK_US:
        return f"{at:%a %H:%M} UTC"
    return f"{at:%Y-%m-%d %H:%M} UTC"


def rule_words(rule: ApprovalRule) -> str:
    """Such as "2 of 3 from release-managers, at least 1 of risk; author and requester never count; expire after 72 h"."""
    if not rule.required and not rule.quorums:
        return "No approval is asked for here."
    people = f"{rule.required} of {len(rule.members)}" if rule.members else str(rule.required)
    groups = _listed([plain(g, NAME) for g in rule.groups])
    who = f"{people} from {groups}" if groups else plural(rule.required, "approval") + " by anybody"
    who += "".join(f", at least {q.at_least} of {plain(q.group, NAME)}" for q in rule.quorums)
    parts = [who]
    if rule.apart:
        apart = [word for word in ("author", "requester", "deployer") if word in rule.apart]
        parts.append(f"{_listed(apart)} never " + ("count" if len(apart) > 1 else "counts"))
    if rule.expires_s:
        parts.append(f"expire after {hours_text(rule.expires_s)}")
    if rule.signed:
        parts.append("only signed words count")
    return "; ".join(parts)


def rule_people(rule: ApprovalRule) -> str:
    """Who may approve, group by group, one line each."""
    groups = [(", ".join(rule.groups) or "may approve", rule.members), *((q.group, q.members) for q in rule.quorums)]
    return "\n".join(
        f"{plain(name, NAME)}: {', '.join(plain(m, NAME) for m in sorted(members)[:30])}" for name, members in groups if members
    )


def hours_text(seconds: float) -> str:
    """72 h, 30 min; hours are never told as days: so a rule is written."""
    hours = seconds / 3600
    if hours < 1:
        return f"{seconds / 60:.0f} min"
    return f"{count_text(hours)} h" if hours == int(hours) else f"{hours:.1f} h"


def _listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def signature(approval: Approval) -> tuple[str, str]:
    """(state's word, words) of a word's signature: signed by key SHA256:..., unsigned, or void with why."""
    if approval.why_not:
        return "bad", f"void: {plain(approval.why_not, 300)}"
    if approval.signer:
        return "ok", f"key {plain(approval.signer, 100)}"
    return "", "unsigned"


def source_words(source: str) -> str:
    """Where a word is kept, as a person knows it."""
    known = {"journal": "this machine's journal", "git": "a signed tag in git", "forge": "a review in the forge"}
    return known.get(source, plain(source, NAME))


def person(who: str, name: str = "") -> str:
    """Name <a@b>, in one line."""
    return f"{plain(name, NAME)} <{plain(who, NAME)}>" if name and name != who else plain(who or name, NAME) or "nobody"


def ago(at_us: int, now_us: int) -> str:
    """12 min ago."""
    return f"{age_text((now_us - at_us) / 1e6)} ago"


def hold_words(hold: Hold, now_us: int) -> str:
    """Which version is held, by whom, since when and why."""
    since = moment_text(hold.at_us, now_us)
    return f"{plain(hold.version, NAME)} is held by {plain(hold.who, NAME)} since {since}: {plain(hold.reason, 500) or 'no reason given'}"


def debt_words(debt: Debt, now_us: int) -> str:
    """Which emergency a second person has yet to look at."""
    who, why = plain(debt.who, NAME), plain(debt.reason, 500) or "no reason given"
    return f"{who} deployed {plain(debt.version, NAME)} alone {ago(debt.at_us, now_us)}: {why}"


def request_words(request: Statement, now_us: int) -> str:
    """What goes by itself as soon as nothing is missing, and until when."""
    why = f": {plain(request.reason, 500)}" if request.reason else ""
    who, until = plain(request.name or request.who, NAME), moment_text(request.until_us, now_us)
    return f"{plain(request.version, NAME)} goes when nothing is missing, until {until}, asked by {who}{why}"


def override_words(override: Override, now_us: int) -> str:
    """Who passes the freeze, of what, until when and why."""
    what = plain(override.service, NAME) or "every service"
    why = plain(override.reason, 500) or "no reason given"
    return f"{plain(override.who, NAME)} passes it for {what} until {moment_text(override.until_us, now_us)}: {why}"
