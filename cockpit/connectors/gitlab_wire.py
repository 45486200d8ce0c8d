"""What GitLab's REST interface (v4) answers of commits, tags, people and merge requests. Pure: bytes in, types out, BadPayload else."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockpit.connectors.http_answers import decode
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import Id, Name, Text

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sha = Annotated[str, Meta(pattern="^[0-9a-f]{40,64}$")]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]


class CommitWire(Struct):
    """A commit, in lists and inside of tags."""

    id: Sha
    title: Text | None = ""
    message: Text | None = ""
    author_name: Name | None = ""
    author_email: Name | None = ""
    committed_date: Name | None = None
    created_at: Name | None = None


class TagWire(Struct):
    """One of GET repository/tags; `created_at` and `message` are of annotated tags only."""

    name: Id
    target: Name
    commit: CommitWire | None = None
    message: Text | None = None
    created_at: Name | None = None


class DiffWire(Struct):
    """One changed file, without its diff."""

    old_path: Name | None = ""
    new_path: Name | None = ""


class CompareWire(Struct):
    """GET repository/compare, of which only the files are used."""

    diffs: tuple[DiffWire, ...] = ()


class UserWire(Struct):
    """A person; `public_email` only in GET users/:id, and empty unless the person shows it."""

    id: Number
    username: Id
    name: Name | None = ""
    public_email: Name | None = ""


class MergeRequestWire(Struct):
    """A merge request; `sha` is the head of its source branch."""

    iid: Number
    state: Name = ""
    sha: Name | None = None
    merge_commit_sha: Name | None = None
    squash_commit_sha: Name | None = None
    updated_at: Name | None = None
    author: UserWire | None = None


class ApprovedByWire(Struct):
    """Who approved; `approved_at` since GitLab 18."""

    user: UserWire
    approved_at: Name | None = None


class ApprovalsWire(Struct):
    """GET merge_requests/:iid/approvals."""

    approved_by: tuple[ApprovedByWire, ...] = ()


class PushWire(Struct):
    """GET merge_requests/:iid/versions: one for each push, newest first."""

    head_commit_sha: Sha
    created_at: Id


class ReviewerWire(Struct):
    """GET merge_requests/:iid/reviewers."""

    user: UserWire
    state: Name = ""
    created_at: Name | None = None


class ProjectWire(Struct):
    """A project, by its path."""

    path_with_namespace: Id


class NamedWire(Struct):
    """Of an environment, its name."""

    name: Id


class TokenWire(Struct):
    """GET personal_access_tokens/self."""

    scopes: tuple[Name, ...] = ()


class VersionWire(Struct):
    """GET version."""

    version: Id


def parse_tags(body: bytes) -> tuple[TagWire, ...]:
    """GET repository/tags."""
    return decode(body, tuple[TagWire, ...])


def parse_commit(body: bytes) -> CommitWire:
    """GET repository/commits/:sha."""
    return decode(body, CommitWire)


def parse_commits(body: bytes) -> tuple[CommitWire, ...]:
    """GET repository/commits."""
    return decode(body, tuple[CommitWire, ...])


def parse_diffs(body: bytes) -> tuple[str, ...]:
    """GET repository/commits/:sha/diff: the paths that a commit touches."""
    return _paths(decode(body, tuple[DiffWire, ...]))


def parse_compare(body: bytes) -> tuple[str, ...]:
    """GET repository/compare: the paths that differ."""
    return _paths(decode(body, CompareWire).diffs)


def parse_merge_requests(body: bytes) -> tuple[MergeRequestWire, ...]:
    """GET repository/commits/:sha/merge_requests."""
    return decode(body, tuple[MergeRequestWire, ...])


def parse_approvals(body: bytes) -> ApprovalsWire:
    """GET merge_requests/:iid/approvals."""
    return decode(body, ApprovalsWire)


def parse_pushes(body: bytes) -> tuple[PushWire, ...]:
    """GET merge_requests/:iid/versions."""
    return decode(body, tuple[PushWire, ...])


def parse_reviewers(body: bytes) -> tuple[ReviewerWire, ...]:
    """GET merge_requests/:iid/reviewers."""
    return decode(body, tuple[ReviewerWire, ...])


def parse_user(body: bytes) -> UserWire:
    """GET user, GET users/:id."""
    return decode(body, UserWire)


def parse_projects(body: bytes) -> tuple[str, ...]:
    """GET projects: their paths."""
    return tuple(project.path_with_namespace for project in decode(body, tuple[ProjectWire, ...]))


def parse_names(body: bytes) -> tuple[str, ...]:
    """GET environments: their names."""
    return tuple(found.name for found in decode(body, tuple[NamedWire, ...]))


def parse_scopes(body: bytes) -> tuple[str, ...]:
    """GET personal_access_tokens/self: what the token may."""
    return decode(body, TokenWire).scopes


def parse_version(body: bytes) -> str:
    """GET version."""
    return one_line(decode(body, VersionWire).version, 100)


def _paths(diffs: tuple[DiffWire, ...]) -> tuple[str, ...]:
    return tuple(sorted({one_line(path, 4096) for diff in diffs for path in (diff.old_path, diff.new_path) if path}))
