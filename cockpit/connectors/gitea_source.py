"""Versions, the commits between them, and reviews of pull requests, from Gitea and Forgejo."""

from __future__ import annotations

from hashlib import sha256

from cockpit.connectors import forge_text
from cockpit.connectors.git_parse import Tag
from cockpit.connectors.gitea_api import GiteaApi
from cockpit.connectors.gitea_wire import (
    CommitWire,
    PullWire,
    ReviewWire,
    TagWire,
    parse_commit,
    parse_commits,
    parse_compare,
    parse_pull,
    parse_reviews,
    parse_tags,
    parse_version,
)
from cockpit.connectors.text import one_line
from cockpit.domain.approvals import Approval
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.release import Changes, Commit, Service, Version, address_of

MAX_TAGS = 5000
MAX_COUNTED = 2000
MAX_REVIEWS = 500
ASKED_AT_ONCE = 10  # repositories looked at by one fingerprint; the others come with the next
_STATES = {"APPROVED": True, "REQUEST_CHANGES": False}
_UNOFFICIAL = "the forge does not count this person's approval (not official)"
_AUTHOR = "they opened the pull request themselves"


class GiteaSource:
    """SourceControl and Reviews. `email` is a pattern such as {username}@example.org, "" = what people show. From any thread."""

    def __init__(self, api: GiteaApi, tag_pattern: str, email: str) -> None:
        self._api = api
        self._tag_pattern = tag_pattern
        self._email = email
        self._turn = 0
        self._seen: dict[str, str] = {}

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions, newest first."""
        found = self._api.pages(self._api.path(service.name, "tags"), parse_tags, {}, MAX_TAGS)
        self._api.services.setdefault(service.name)
        return forge_text.versions((_tag(wire) for wire in found), service, self._tag_pattern)

    def changes(self, service: Service, base: str, head: str, limit: int) -> Changes:
        """The commits of both ways."""
        new = self._resolve(service, head)
        old = self._resolve(service, base) if base else ""
        come = self._between(service, old, new) if old else self._all(service, new)
        leave = self._between(service, new, old) if old else ()
        return Changes(
            base=base,
            head=head,
            commits=tuple(_commit(wire) for wire in come[:limit]),
            missing=tuple(_commit(wire) for wire in leave[:limit]),
            total_in=len(come),
            total_out=len(leave),
            people=_people(come) if len(come) > limit else (),
        )

    def fingerprint(self) -> str:
        """Of the newest tags of some repositories in turn: one request each, not a local look as with git."""
        services = tuple(self._api.services) or (() if "{service}" in self._api.pattern else ("all",))
        turn, self._turn = self._turn, self._turn + ASKED_AT_ONCE
        for place in range(min(ASKED_AT_ONCE, len(services))):
            service = services[(turn + place) % len(services)]
            newest = self._api.client.read(self._api.path(service, "tags"), parse_tags, {"limit": 50, "page": 1})
            self._seen[service] = sha256("\n".join(f"{tag.name} {tag.id} {tag.commit.sha}" for tag in newest).encode()).hexdigest()
        if not services:
            return self._api.client.read("/api/v1/version", parse_version)
        return sha256(repr(sorted(self._seen.items())).encode()).hexdigest()

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        """Each person's last word on the pull requests that the versions' commits merged. What was dismissed is withdrawn."""
        found: list[Approval] = []
        for version in versions:
            try:
                pull = self._api.client.read(self._api.path(service.name, "commits", version.commit, "pull"), parse_pull)
            except NotFound:
                continue
            path = self._api.path(service.name, "pulls", pull.number, "reviews")
            last: dict[str, ReviewWire] = {}
            for review in sorted(self._api.pages(path, parse_reviews, {}, MAX_REVIEWS), key=_at_us):
                if review.user is not None and review.state in _STATES:
                    last[review.user.login] = review
            found += [self._approval(version, pull, review) for review in last.values() if not review.dismissed]
        return tuple(found)

    def _approval(self, version: Version, pull: PullWire, review: ReviewWire) -> Approval:
        user, approved = review.user, _STATES[review.state]
        assert user is not None  # noqa: S101 - only reviews of people come here
        own = pull.user is not None and pull.user.id == user.id
        seen = pull.head.sha if pull.head is not None else ""
        became = review.commit_id == seen and not review.stale and version.commit in (pull.merge_commit_sha, seen)
        who = self._email.replace("{username}", user.login) if self._email else user.email or user.login
        return Approval(
            service=version.service,
            version=version.name,
            environment="",
            commit=version.commit if became else review.commit_id or "",
            digest="",
            who=one_line(who, 300).lower(),
            name=one_line(user.full_name or user.login, 200),
            approved=approved,
            comment=one_line(review.body or f"pull request #{pull.number}", 500),
            at_us=_at_us(review),
            why_not=_AUTHOR if approved and own else _UNOFFICIAL if approved and review.official is False else "",
            source="forge",
        )

    def _resolve(self, service: Service, name: str) -> str:
        path = self._api.path(service.name, "git", "commits", name or "HEAD")
        try:
            return self._api.client.read(path, parse_commit, {"stat": "false", "verification": "false", "files": "false"}).sha
        except Rejected:  # 422 for what cannot be the name of anything
            words = f"“{one_line(name, 100)}” is no tag and no commit there."
            raise NotFound(words, hint="Look the name up in the forge.") from None

    def _between(self, service: Service, base: str, head: str) -> tuple[CommitWire, ...]:
        if base == head:
            return ()
        path = self._api.path(service.name, "compare", f"{base}...{head}")
        return _of_path(self._api.client.read(path, parse_compare, {"verification": "false"}), service.path)

    def _all(self, service: Service, head: str) -> tuple[CommitWire, ...]:
        params: dict[str, str | int] = {"sha": head, "stat": "false", "verification": "false"}
        found = self._api.pages(self._api.path(service.name, "commits"), parse_commits, params, MAX_COUNTED)
        return _of_path(found, service.path)


def _of_path(commits: tuple[CommitWire, ...], path: str) -> tuple[CommitWire, ...]:
    """Those that touch the path; the comparison itself cannot be limited to one."""
    place = path.rstrip("/")
    return tuple(c for c in commits if not place or any(f == place or f.startswith(place + "/") for f in _files(c)))


def _files(wire: CommitWire) -> tuple[str, ...]:
    return tuple(one_line(file.filename, 4096) for file in wire.files or () if file.filename)


def _tag(wire: TagWire) -> Tag:
    return Tag(wire.name, wire.commit.sha, forge_text.moment_us(wire.commit.created), bool(wire.id) and wire.id != wire.commit.sha)


def _commit(wire: CommitWire) -> Commit:
    told = wire.commit
    author = told.author if told is not None else None
    when = told.committer.date if told is not None and told.committer is not None else None
    who = (author.name or "", author.email or "") if author is not None else ("", "")
    message = told.message or "" if told is not None else ""
    return forge_text.commit(wire.sha, message, who, forge_text.moment_us(when or wire.created), _files(wire))


def _people(commits: tuple[CommitWire, ...]) -> tuple[str, ...]:
    found: set[str] = set()
    for commit in map(_commit, commits):
        found.update((address_of(commit.email), *(address_of(person) for person in commit.co_authors)))
    return tuple(sorted(found - {""}))


def _at_us(review: ReviewWire) -> int:
    return forge_text.moment_us(review.submitted_at)
