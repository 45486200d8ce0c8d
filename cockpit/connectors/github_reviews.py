"""Reviews of the pull requests that brought a version's commit."""

from __future__ import annotations

from cockpit.connectors.github_api import Api
from cockpit.connectors.github_source import Source
from cockpit.connectors.github_wire import AccountWire, PullWire, ReviewWire, at_us, parse_commits, parse_pulls, parse_reviews
from cockpit.connectors.text import one_line, plain
from cockpit.domain.approvals import Approval
from cockpit.domain.errors import Rejected
from cockpit.domain.release import Service, Version

LINKED_S = 600.0  # which pull request brought a commit, and who wrote in it, hardly ever changes
MAX_COMMENT = 2000
WRITERS = ("OWNER", "MEMBER", "COLLABORATOR")
NO_REPLY = "users.noreply.github.com"


class PullReviews:
    """Reviews' part of GitHub.

    A review speaks of the commit it was given for. Where that was the pull request's last one, and the version's commit is what merging it
    made, it speaks of the version. People are known by the address they commit with; without one by GitHub's own for them.
    """

    def __init__(self, api: Api, source: Source) -> None:
        self._api = api
        self._source = source

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        """Each person's last word on each version."""
        found: list[Approval] = []
        for version in versions:
            words: dict[str, Approval] = {}
            for pull in self._pulls(service.name, version.commit):
                for approval in self._of(service.name, version, pull):
                    known = words.get(approval.who)
                    if known is None or known.at_us <= approval.at_us:
                        words[approval.who] = approval
            found += words.values()
        return tuple(found)

    def _pulls(self, service: str, commit: str) -> tuple[PullWire, ...]:
        address = self._api.path(service, "commits", commit, "pulls")
        try:
            pulls = self._api.pages(address, parse_pulls, within_s=LINKED_S)
        except Rejected as error:
            if error.status != 422:  # it does not know that commit
                raise
            return ()
        # a commit belongs to all pull requests that contain it; what it was made by are those that end with it
        return tuple(pull for pull in pulls if commit in (pull.merge_commit_sha, pull.head.sha))

    def _of(self, service: str, version: Version, pull: PullWire) -> list[Approval]:
        address = self._api.path(service, "pulls", str(pull.number))
        given = self._api.pages(f"{address}/reviews", parse_reviews)
        last: dict[int, ReviewWire] = {}
        for review in given:
            # a comment takes nothing back, and what is pending nobody sent yet
            if review.user is not None and review.user.login and review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
                last[review.user.id] = review
        unknown = any(review.user is not None and not self._source.email(review.user.login) for review in last.values())
        if unknown and not self._source.seen(service, pull.head.sha):
            # who wrote in it is known by address then, so that nobody approves their own under another name
            self._source.note(service, self._api.pages(f"{address}/commits", parse_commits, within_s=LINKED_S))
        return [self._approval(service, version, pull, review, review.user) for review in last.values() if review.user is not None]

    def _approval(self, service: str, version: Version, pull: PullWire, review: ReviewWire, user: AccountWire) -> Approval:
        of_all = review.commit_id == pull.head.sha and version.commit == pull.merge_commit_sha and pull.merged_at is not None
        why_not = ""
        if review.state == "DISMISSED":
            why_not = f"dismissed in pull request {pull.number}"
        elif review.author_association not in WRITERS:
            why_not = "given by somebody who may not write to the repository"
        elif user.type == "Bot":
            why_not = "given by a program"
        return Approval(
            service=service,
            version=version.name,
            environment="",
            commit=version.commit if of_all else review.commit_id or "",
            digest="",
            who=self._who(user),
            name=one_line(user.login, 100),
            approved=review.state != "CHANGES_REQUESTED",
            comment=plain(review.body or "", MAX_COMMENT),
            at_us=at_us(review.submitted_at),
            why_not=why_not,
            source="forge",
        )

    def _who(self, user: AccountWire) -> str:
        known = self._source.email(user.login)
        return known or one_line(f"{user.id}+{user.login}@{NO_REPLY}", 200).lower()
