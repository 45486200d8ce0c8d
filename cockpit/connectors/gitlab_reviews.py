"""Approvals of merge requests in GitLab, bound to the commit that was there when they were given."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from cockpit.connectors.forge_text import moment_us
from cockpit.connectors.gitlab_api import PAGE, GitlabApi
from cockpit.connectors.gitlab_wire import (
    MergeRequestWire,
    PushWire,
    ReviewerWire,
    UserWire,
    parse_approvals,
    parse_merge_requests,
    parse_pushes,
    parse_reviewers,
    parse_user,
)
from cockpit.connectors.text import one_line
from cockpit.domain.approvals import Approval
from cockpit.domain.release import Service, Version

_AUTHOR = "they opened the merge request themselves"


class Word(Struct, frozen=True):
    """What one person said of a merge request; `commit` is the head of the source branch at that moment."""

    user: UserWire
    approved: bool
    commit: str
    at_us: int
    why_not: str = ""


class GitlabReviews:
    """Reviews over merge requests. `email` is a pattern such as {username}@example.org for people who show no address. From any thread."""

    def __init__(self, api: GitlabApi, email: str) -> None:
        self._api = api
        self._email = email

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        """Each person's last word on the merge requests that hold the versions' commits."""
        found: list[Approval] = []
        for version in versions:
            path = self._api.path(service.name, "repository", "commits", version.commit, "merge_requests")
            requests = self._api.client.read(path, parse_merge_requests, {"per_page": PAGE})
            self._api.note(service.name)
            words = [(request, word) for request in requests if request.state != "closed" for word in self._words(service.name, request)]
            # of one person the last word counts; one on this very commit says more than one on a part of it
            ordered = sorted(words, key=lambda pair: (_bound(pair[0], pair[1], version) == version.commit, pair[1].at_us))
            newest = {word.user.username: (request, word) for request, word in ordered}
            found += [self._approval(version, request, word) for request, word in newest.values()]
        return tuple(found)

    def _words(self, service: str, request: MergeRequestWire) -> tuple[Word, ...]:
        # nothing changes any more once it is merged, but for words that touch `updated_at`
        key = f"words {self._api.project(service)} {request.iid} {request.updated_at} {request.sha}"
        known: tuple[Word, ...] | None = self._api.recall(key) if request.state == "merged" else None
        if known is None:
            known = self._read(service, request)
            self._api.keep(key, known)
        return known

    def _read(self, service: str, request: MergeRequestWire) -> tuple[Word, ...]:
        def of(name: str) -> str:
            return self._api.path(service, "merge_requests", request.iid, name)

        approvals = self._api.client.read(of("approvals"), parse_approvals)
        nobody: tuple[ReviewerWire, ...] = ()
        reviewers = self._api.optional(of("reviewers"), parse_reviewers, nobody)
        refused = tuple(r for r in reviewers if r.state == "requested_changes")
        if not approvals.approved_by and not refused:
            return ()
        pushes = self._api.client.read(of("versions"), parse_pushes)
        seen = moment_us(request.updated_at)
        yes = ((a.user, True, moment_us(a.approved_at)) for a in approvals.approved_by)
        # when changes were asked for is not told, only when the person was asked; nobody's refusal is lost by taking the last push
        no = ((r.user, False, max(moment_us(r.created_at), seen)) for r in refused)
        return tuple(_words((*yes, *no), request, pushes, seen))

    def _approval(self, version: Version, request: MergeRequestWire, word: Word) -> Approval:
        return Approval(
            service=version.service,
            version=version.name,
            environment="",
            commit=_bound(request, word, version),
            digest="",
            who=self._who(word.user),
            name=one_line(word.user.name or word.user.username, 200),
            approved=word.approved,
            comment=f"merge request !{request.iid}" + ("" if word.approved else ": changes requested"),
            at_us=word.at_us,
            why_not=word.why_not,
            source="forge",
        )

    def _who(self, user: UserWire) -> str:
        """The address that the person shows, else the one the pattern makes, else the user name, which no author's address equals."""
        if self._email:
            return one_line(self._email.replace("{username}", user.username), 300).lower()
        shown = self._api.once(f"/api/v4/users/{user.id}", parse_user).public_email or user.username
        return one_line(shown, 300).lower()


def _words(
    said: tuple[tuple[UserWire, bool, int], ...], request: MergeRequestWire, pushes: tuple[PushWire, ...], seen_us: int
) -> Iterator[Word]:
    for user, approved, at_us in said:
        own = approved and request.author is not None and request.author.id == user.id
        head = _head_at(pushes, at_us) if at_us or len(pushes) > 1 else request.sha or ""
        yield Word(user, approved, head, at_us or seen_us, _AUTHOR if own else "")


def _head_at(pushes: tuple[PushWire, ...], at_us: int) -> str:
    """What the source branch's head was then. Without a moment the first push is taken: nobody can have seen less."""
    ordered = sorted(pushes, key=lambda push: moment_us(push.created_at))
    before = [push for push in ordered if moment_us(push.created_at) <= at_us] or ordered[:1]
    return before[-1].head_commit_sha if before else ""


def _bound(request: MergeRequestWire, word: Word, version: Version) -> str:
    """The version's own commit where it is what the merge request became and the word was on its last state; else what it was on."""
    became = (request.merge_commit_sha, request.squash_commit_sha, request.sha)
    return version.commit if word.commit == request.sha and version.commit in became else word.commit
