"""Versions and the commits between them, from GitLab."""

from __future__ import annotations

from hashlib import sha256

from cockpit.connectors import forge_text
from cockpit.connectors.git_parse import Tag
from cockpit.connectors.gitlab_api import PAGE, GitlabApi
from cockpit.connectors.gitlab_wire import (
    CommitWire,
    TagWire,
    parse_commit,
    parse_commits,
    parse_compare,
    parse_diffs,
    parse_tags,
    parse_version,
)
from cockpit.domain.release import Changes, Commit, Service, Version, address_of

MAX_TAGS = 5000
MAX_COUNTED = 2000  # commits of one comparison; beyond that it counts as "at least so many"
EACH = 20  # up to so many commits are asked for their files one by one, each once for all time
ASKED_AT_ONCE = 10  # projects looked at by one fingerprint; the others come with the next
_VERSION = "/api/v4/version"


class GitlabSource:
    """SourceControl over the tags and commits of projects. From any thread."""

    def __init__(self, api: GitlabApi, tag_pattern: str) -> None:
        self._api = api
        self._tag_pattern = tag_pattern
        self._turn = 0
        self._seen: dict[str, str] = {}

    def tags(self, service: str) -> tuple[TagWire, ...]:
        """All tags of the service's project."""
        found = self._api.pages(self._api.path(service, "repository", "tags"), parse_tags, {"order_by": "updated"}, MAX_TAGS)
        self._api.note(service)
        return found

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions, newest first."""
        return forge_text.versions((_tag(tag) for tag in self.tags(service.name) if tag.commit), service, self._tag_pattern)

    def changes(self, service: Service, base: str, head: str, limit: int) -> Changes:
        """The commits of both ways, as `git log base..head` and `head..base` list them."""
        new = self._resolve(service, head)
        old = self._resolve(service, base) if base else ""
        come, leave = self._range(service, old, new), self._range(service, new, old) if old else ()
        return Changes(
            base=base,
            head=head,
            commits=self._commits(service, come[:limit], old, new),
            missing=self._commits(service, leave[:limit], new, old),
            total_in=len(come),
            total_out=len(leave),
            people=_people(come) if len(come) > limit else (),
        )

    def fingerprint(self) -> str:
        """Of the tags that were changed last, of some projects in turn. One conditional request a project, not a local look as with git."""
        services = self._projects()
        turn, self._turn = self._turn, self._turn + ASKED_AT_ONCE
        for place in range(min(ASKED_AT_ONCE, len(services))):
            service = services[(turn + place) % len(services)]
            newest = self._api.client.read(
                self._api.path(service, "repository", "tags"), parse_tags, {"order_by": "updated", "per_page": PAGE, "page": 1}
            )
            words = "\n".join(f"{tag.name} {tag.target}" for tag in newest)
            self._seen[service] = sha256(words.encode()).hexdigest()
        if not services:
            return self._api.client.read(_VERSION, parse_version)
        return sha256(repr(sorted(self._seen.items())).encode()).hexdigest()

    def _projects(self) -> tuple[str, ...]:
        """One service of each project."""
        by_project = {self._api.project(service): service for service in self._api.services}
        if not by_project and "{service}" not in self._api.pattern:
            return ("all",)
        return tuple(by_project.values())

    def _resolve(self, service: Service, name: str) -> str:
        # a range with a name that does not exist may be answered with an empty list
        return self._api.client.read(self._api.path(service.name, "repository", "commits", name or "HEAD"), parse_commit).id

    def _range(self, service: Service, base: str, head: str) -> tuple[CommitWire, ...]:
        if base == head:
            return ()
        path = self._api.path(service.name, "repository", "commits")
        params = {"ref_name": f"{base}..{head}" if base else head} | ({"path": service.path} if service.path else {})
        return self._api.pages(path, parse_commits, params, MAX_COUNTED)

    def _commits(self, service: Service, commits: tuple[CommitWire, ...], base: str, head: str) -> tuple[Commit, ...]:
        if len(commits) > EACH and base:
            # one request for all: what differs is put to the newest commit, since nobody says which one changed it
            files = self._api.client.read(
                self._api.path(service.name, "repository", "compare"), parse_compare, {"from": base, "to": head, "straight": "false"}
            )
            return (_commit(commits[0], files), *(_commit(wire) for wire in commits[1:]))
        return tuple(_commit(wire, self._files(service, wire.id) if number < EACH else ()) for number, wire in enumerate(commits))

    def _files(self, service: Service, commit: str) -> tuple[str, ...]:
        return self._api.once(self._api.path(service.name, "repository", "commits", commit, "diff"), parse_diffs, {"per_page": PAGE})


def _tag(wire: TagWire) -> Tag:
    commit = wire.commit
    made = (commit.committed_date or commit.created_at) if commit is not None else None
    at_us = forge_text.moment_us(wire.created_at or made)
    return Tag(wire.name, commit.id if commit else "", at_us, wire.message is not None)


def _commit(wire: CommitWire, files: tuple[str, ...] = ()) -> Commit:
    at_us = forge_text.moment_us(wire.committed_date or wire.created_at)
    return forge_text.commit(wire.id, wire.message or wire.title or "", (wire.author_name or "", wire.author_email or ""), at_us, files)


def _people(commits: tuple[CommitWire, ...]) -> tuple[str, ...]:
    found = {address_of(wire.author_email or "") for wire in commits}
    for wire in commits:
        found.update(address_of(person) for person in forge_text.trailers(wire.message or "").co_authors)
    return tuple(sorted(found - {""}))
