"""What Gitea's and Forgejo's interface (v1) answers: its bodies into wire types. Pure: bytes in, types out, BadPayload else.

Gitea's and Forgejo's runs have other names for the same things; both are read.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockpit.connectors.http_answers import decode
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import Id, Name, Text

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sha = Annotated[str, Meta(pattern="^[0-9a-f]{40,64}$")]


class MetaWire(Struct):
    """A commit inside of a tag; `created` is the tag's own moment."""

    sha: Sha
    created: Name | None = None


class TagWire(Struct):
    """One of GET tags; `id` is the tag object of an annotated tag, else the commit."""

    name: Id
    commit: MetaWire
    id: Name | None = ""


class PersonWire(Struct):
    """An author or committer."""

    name: Name | None = ""
    email: Name | None = ""
    date: Name | None = None


class MessageWire(Struct):
    """What git knows of a commit."""

    message: Text | None = ""
    author: PersonWire | None = None
    committer: PersonWire | None = None


class FileWire(Struct):
    """A path that a commit touches."""

    filename: Name | None = ""


class CommitWire(Struct):
    """A commit."""

    sha: Sha
    commit: MessageWire | None = None
    created: Name | None = None
    files: tuple[FileWire, ...] | None = ()


class CompareWire(Struct):
    """GET compare/base...head, newest first."""

    commits: tuple[CommitWire, ...] | None = ()
    total_commits: Number = 0


class UserWire(Struct):
    """A person; `email` is a made-up one where they show none."""

    id: Number
    login: Id
    full_name: Name | None = ""
    email: Name | None = ""


class BranchWire(Struct):
    """An end of a pull request."""

    sha: Name | None = ""


class PullWire(Struct):
    """The pull request that a commit merged."""

    number: Number
    merge_commit_sha: Name | None = ""
    head: BranchWire | None = None
    user: UserWire | None = None


class ReviewWire(Struct):
    """One of GET pulls/:index/reviews; `user` is null for a team's."""

    id: Number
    state: Name
    user: UserWire | None = None
    body: Text | None = ""
    commit_id: Name | None = ""
    stale: bool | None = False
    official: bool | None = True
    dismissed: bool | None = False
    submitted_at: Name | None = None


class RunWire(Struct):
    """A run of a workflow: the first names are Gitea's, those below Forgejo's."""

    id: Number
    status: Name
    conclusion: Name | None = ""
    head_sha: Name | None = ""
    head_branch: Name | None = ""
    path: Name | None = ""
    html_url: Name | None = ""
    run_attempt: Number | None = None
    started_at: Name | None = None
    completed_at: Name | None = None
    commit_sha: Name | None = ""
    prettyref: Name | None = ""
    workflow_id: Name | None = ""
    created: Name | None = None
    started: Name | None = None
    stopped: Name | None = None


class RunsWire(Struct):
    """GET actions/runs."""

    workflow_runs: tuple[RunWire, ...] | None = ()


class StepWire(Struct):
    """A step of a job."""

    name: Name | None = ""


class JobWire(Struct):
    """A job of a run."""

    id: Number
    name: Name
    status: Name
    conclusion: Name | None = ""
    started_at: Name | None = None
    completed_at: Name | None = None


class JobsWire(Struct):
    """GET actions/runs/:id/jobs; the first versions said workflow_jobs."""

    jobs: tuple[JobWire, ...] | None = None
    workflow_jobs: tuple[JobWire, ...] | None = None


class SettingsWire(Struct):
    """GET settings/api."""

    max_response_items: Number = 50


class VersionWire(Struct):
    """GET version."""

    version: Id


def parse_tags(body: bytes) -> tuple[TagWire, ...]:
    """GET tags."""
    return decode(body, tuple[TagWire, ...])


def parse_commit(body: bytes) -> CommitWire:
    """GET git/commits/:sha."""
    return decode(body, CommitWire)


def parse_commits(body: bytes) -> tuple[CommitWire, ...]:
    """GET commits."""
    return decode(body, tuple[CommitWire, ...])


def parse_compare(body: bytes) -> tuple[CommitWire, ...]:
    """GET compare/base...head."""
    return decode(body, CompareWire).commits or ()


def parse_pull(body: bytes) -> PullWire:
    """GET commits/:sha/pull."""
    return decode(body, PullWire)


def parse_reviews(body: bytes) -> tuple[ReviewWire, ...]:
    """GET pulls/:index/reviews."""
    return decode(body, tuple[ReviewWire, ...])


def parse_runs(body: bytes) -> tuple[RunWire, ...]:
    """GET actions/runs."""
    return decode(body, RunsWire).workflow_runs or ()


def parse_run(body: bytes) -> RunWire:
    """GET actions/runs/:id, and one attempt of it."""
    return decode(body, RunWire)


def parse_jobs(body: bytes) -> tuple[JobWire, ...]:
    """GET actions/runs/:id/jobs: an object with Gitea, a list with Forgejo."""
    if body.lstrip()[:1] == b"[":
        return decode(body, tuple[JobWire, ...])
    found = decode(body, JobsWire)
    return found.jobs or found.workflow_jobs or ()


def parse_user(body: bytes) -> UserWire:
    """GET user."""
    return decode(body, UserWire)


def parse_page_size(body: bytes) -> int:
    """GET settings/api: how much one page holds at most."""
    return max(1, decode(body, SettingsWire).max_response_items)


def parse_version(body: bytes) -> str:
    """GET version."""
    return one_line(decode(body, VersionWire).version, 100)


def parse_nothing(body: bytes) -> None:
    """What answers a write that is looked at again afterwards."""
