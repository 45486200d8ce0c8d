"""Approvals bound to one commit and one artifact: who counts, what is missing, and nobody twice."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from cockpit.domain.release import Version, address_of

AHEAD_S = 300.0  # clocks of two machines differ; by more than this a date is wrong, and a word could outlive its expiry


class Approval(Struct, frozen=True, gc=False):
    """One person's word on exactly one commit and digest, for one environment. `who` is an e-mail address in lower case.

    `signer`: the fingerprint of the key that signed it, "" = unsigned. `why_not`: why the word itself is void (forged, key revoked).
    `source`: where it is kept: journal, git or the forge. A forge's review may be of no environment and no digest: "" is all of them.
    """

    service: str
    version: str
    environment: str
    commit: str
    digest: str
    who: str
    name: str
    approved: bool
    comment: str
    at_us: int
    signer: str = ""
    why_not: str = ""
    source: str = "journal"


class Quorum(Struct, frozen=True, gc=False):
    """At least so many of a named group; `members` are e-mail addresses in lower case."""

    group: str
    members: frozenset[str]
    at_least: int


class ApprovalRule(Struct, frozen=True, gc=False):
    """How many must approve, who may, and who never counts.

    `groups`: only their `members` count, and those of a quorum's group (no groups and no members: anybody). `apart`: of author,
    requester and deployer those whose own approval never counts. `expires_s`: 0 = never. `signed`: only words signed with a key that
    the policy knows count.
    """

    required: int = 0
    groups: tuple[str, ...] = ()
    members: frozenset[str] = frozenset()
    quorums: tuple[Quorum, ...] = ()
    apart: frozenset[str] = frozenset({"author", "requester"})
    expires_s: float = 0.0
    signed: bool = False

    def may(self, who: str) -> bool:
        """Whether an approval of that person can count at all."""
        if not self.groups and not self.members:
            return True
        return _among(who, self.members) or any(_among(who, q.members) for q in self.quorums)

    @property
    def asks(self) -> bool:
        """Whether it asks for any approval."""
        return self.required > 0 or any(q.at_least > 0 for q in self.quorums)


class Counted(Struct, frozen=True, gc=False):
    """An approval and whether it counts; `why_not` says the reason when it does not."""

    approval: Approval
    counts: bool
    why_not: str = ""


class Decision(Struct, frozen=True, gc=False):
    """The state of approval: how many are needed, which count, and what is still missing in words."""

    required: int
    votes: tuple[Counted, ...] = ()
    reasons: tuple[str, ...] = ()
    authors_known: bool = True

    @property
    def given(self) -> int:
        return sum(v.counts and v.approval.approved for v in self.votes)

    @property
    def ok(self) -> bool:
        return not self.reasons


class _Question(Struct, frozen=True):
    """What is decided about, and by what."""

    version: Version
    rule: ApprovalRule
    authors: frozenset[str] | None
    apart: dict[str, str]  # requester and deployer, where they are kept apart, with the words for each
    now_us: int


def decide(
    approvals: tuple[Approval, ...],
    version: Version,
    environment: str,
    rule: ApprovalRule,
    authors: frozenset[str] | None,
    *,
    requester: str = "",
    deployer: str = "",
    now_us: int = 0,
) -> Decision:
    """Count the approvals of `version` for `environment` by `rule`.

    Each person's newest word counts once; a word on another commit or artifact, void, unsigned where the rule asks for signatures or dated
    in the future counts for nothing and takes nothing back. Anybody's standing rejection blocks, and does not expire. With `authors` None
    (not known) nobody's approval counts where authors are kept apart. `now_us` 0: the time is not known, so nothing that expires counts.
    """
    named = {
        "requester": (requester, "who asked for the deployment cannot approve it"),
        "deployer": (deployer, "who deploys cannot approve"),
    }
    apart = {_person(address_of(who)): words for role, (who, words) in named.items() if role in rule.apart and who.strip()}
    question = _Question(version, rule, authors, apart, now_us)
    mine = sorted(dict.fromkeys(a for a in approvals if _about(a, version, environment)), key=_order)
    unfit = {id(a): _unfit(a, question) for a in mine}
    newest = {_person(a.who): a for a in mine if not unfit[id(a)]}
    votes = tuple(_weigh(a, unfit[id(a)], newest, question) for a in reversed(mine))
    return Decision(rule.required, votes, tuple(_missing(votes, rule, authors)), authors is not None or "author" not in rule.apart)


def _about(approval: Approval, version: Version, environment: str) -> bool:
    everywhere = approval.source == "forge" and not approval.environment
    return (approval.service, approval.version) == (version.service, version.name) and (everywhere or approval.environment == environment)


def _order(approval: Approval) -> tuple[int, bool]:
    """By time; of two words of one moment the rejection is the later one."""
    return approval.at_us, not approval.approved


def _unfit(approval: Approval, question: _Question) -> str:
    """Why a word says nothing about this version, whoever's it is; "" where it does."""
    version, now = question.version, question.now_us
    if approval.why_not:
        return approval.why_not
    if not _person(approval.who):
        return "nobody's name stands under it"
    if approval.commit != version.commit:
        return "given for another commit"
    by_commit = approval.source == "forge" and not approval.digest and bool(approval.commit)
    if version.digest and approval.digest != version.digest and not by_commit:
        return "given for another artifact"
    if question.rule.signed and not approval.signer:
        return "not signed: only signed words count here"
    if now and approval.at_us > now + AHEAD_S * 1e6:
        return "dated in the future: check the clocks"
    return ""


def _weigh(approval: Approval, unfit: str, newest: dict[str, Approval], question: _Question) -> Counted:
    if unfit:
        return Counted(approval, False, unfit)
    if newest[_person(approval.who)] is not approval:
        return Counted(approval, False, "replaced by a later word of the same person")
    why = _why_no_approval(approval, question) if approval.approved else ""
    return Counted(approval, not why, why)


def _why_no_approval(approval: Approval, question: _Question) -> str:
    """Why this approval, the person's last word, does not count; "" where it does."""
    rule, who = question.rule, _person(approval.who)
    if not rule.may(who):
        return f"not in {_either(rule)}"
    if rule.expires_s > 0 and not question.now_us:
        return "whether it has expired is not known"
    if rule.expires_s > 0 and question.now_us - approval.at_us > rule.expires_s * 1e6:
        return f"expired: it was good for {_span(rule.expires_s)}"
    if who in question.apart:
        return question.apart[who]
    return _why_author(who, question.authors, rule, "an author of this version cannot approve it")


def _missing(votes: tuple[Counted, ...], rule: ApprovalRule, authors: frozenset[str] | None) -> Iterable[str]:
    for vote in votes:
        if vote.counts and not vote.approval.approved:
            yield f"rejected by {vote.approval.name}: {vote.approval.comment or 'no reason given'}"
    given = [vote.approval.who for vote in votes if vote.counts and vote.approval.approved]
    if len(given) < rule.required:
        yield f"{len(given)} of {rule.required} approvals given"
    for quorum in rule.quorums:
        of_group = sum(_among(who, quorum.members) for who in given)
        if of_group < quorum.at_least:
            yield f"at least {quorum.at_least} of {quorum.group} must approve" + (f", {of_group} did" if of_group else "")
    if authors is None and rule.asks and "author" in rule.apart:
        yield "the authors of the commits are not known yet"


def why_not_approve(
    who: str, version: Version, authors: frozenset[str] | None, rule: ApprovalRule | None = None, requester: str = ""
) -> str:
    """Why `who` may not approve `version` by `rule`; empty when they may."""
    rule = rule or ApprovalRule()
    if not _person(who):
        return "it is not known who you are: set your name and e-mail in the settings"
    if not version.commit or not version.digest:
        return "the artifact's digest is not known yet"
    if not rule.may(who):
        return f"you are not in {_either(rule)}"
    if "requester" in rule.apart and requester.strip() and _person(address_of(requester)) == _person(who):
        return "you asked for this deployment yourself"
    return _why_author(_person(who), authors, rule, "you are an author of a commit in this version")


def _why_author(who: str, authors: frozenset[str] | None, rule: ApprovalRule, words: str) -> str:
    if "author" not in rule.apart:
        return ""
    if authors is None:
        return "the authors of the commits are not known yet"
    return words if _among(who, authors) else ""


def _either(rule: ApprovalRule) -> str:
    names = list(dict.fromkeys((*rule.groups, *(q.group for q in rule.quorums))))
    return " or ".join(names) if names else "a group that approves here"


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def _among(who: str, people: frozenset[str]) -> bool:
    return _person(who) in people or any(_person(person) == _person(who) for person in people)


def _person(who: str) -> str:
    return who.strip().lower()
