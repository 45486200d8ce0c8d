"""Approvals bound to one commit and one artifact: four eyes, no double signing."""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.release import Version


class Approval(Struct, frozen=True, gc=False):
    """One person's word on exactly one commit and digest, for one environment. `who` is an e-mail address in lower case.

    `signer`: the fingerprint of the key that signed it, "" = unsigned. `why_not`: why the word itself is void (forged, key revoked).
    `source`: where it is kept: journal, git or the forge.
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

    `groups`: only their `members` count (both empty: anybody). `apart`: of author, requester and deployer those whose own approval never
    counts. `expires_s`: 0 = never. `signed`: only words signed with a key that the policy knows count.
    """

    required: int = 0
    groups: tuple[str, ...] = ()
    members: frozenset[str] = frozenset()
    quorums: tuple[Quorum, ...] = ()
    apart: frozenset[str] = frozenset({"author", "requester"})
    expires_s: float = 0.0
    signed: bool = False


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


def decide(approvals: tuple[Approval, ...], version: Version, environment: str, required: int, authors: frozenset[str] | None) -> Decision:
    """Count the approvals of `version` for `environment`.

    Each person's newest word counts once; an author or co-author of a commit in the version never counts; another commit or digest
    than the version's never counts. With `authors` None (not known) nobody's approval counts yet.
    """
    here = (version.service, version.name, environment)
    mine = list(dict.fromkeys(a for a in approvals if (a.service, a.version, a.environment) == here))
    # a word on another commit of the same name does not take back what was said of this one
    newest = {(_person(a.who), a.commit, a.digest): a for a in sorted(mine, key=lambda a: a.at_us)}
    votes = tuple(_weigh(a, newest, version, authors) for a in sorted(mine, key=lambda a: -a.at_us))
    reasons = [
        f"rejected by {v.approval.name}: {v.approval.comment or 'no reason given'}" for v in votes if v.counts and not v.approval.approved
    ]
    given = sum(v.counts and v.approval.approved for v in votes)
    if given < required:
        reasons.append(f"{given} of {required} approvals given")
    if authors is None and required:
        reasons.append("the authors of the commits are not known yet")
    return Decision(required, votes, tuple(reasons), authors is not None)


def _weigh(approval: Approval, newest: dict[tuple[str, str, str], Approval], version: Version, authors: frozenset[str] | None) -> Counted:
    if not _person(approval.who):
        return Counted(approval, False, "nobody's name stands under it")
    if newest[_person(approval.who), approval.commit, approval.digest] is not approval:
        return Counted(approval, False, "replaced by a later word of the same person")
    if approval.commit != version.commit:
        return Counted(approval, False, "given for another commit")
    if version.digest and approval.digest != version.digest:
        return Counted(approval, False, "given for another artifact")
    if not approval.approved:
        return Counted(approval, True)
    if authors is None:
        return Counted(approval, False, "the authors of the commits are not known yet")
    if _person(approval.who) in authors:
        return Counted(approval, False, "an author of this version cannot approve it")
    return Counted(approval, True)


def why_not_approve(who: str, version: Version, authors: frozenset[str] | None) -> str:
    """Why `who` may not approve `version`; empty when they may."""
    if not _person(who):
        return "it is not known who you are: set your name and e-mail in the settings"
    if not version.commit or not version.digest:
        return "the artifact's digest is not known yet"
    if authors is None:
        return "the authors of the commits are not known yet"
    if _person(who) in authors:
        return "you are an author of a commit in this version"
    return ""


def _person(who: str) -> str:
    return who.strip().lower()
