"""What GitHub answers about code: tags, commits, comparisons, pull requests and reviews. Its structs and their reading; pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from cockpit.connectors.git_parse import MAX_NAME, Tag
from cockpit.connectors.http_answers import decode
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.trailers import parse_message
from cockpit.connectors.wire_values import LAST_US, Id, Name, Text
from cockpit.domain.release import Commit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

Time = Annotated[datetime, Meta(tz=True)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sha = Annotated[str, Meta(pattern="^[0-9a-f]{40,64}$")]


def at_us(moment: datetime | None) -> int:
    """Microseconds UTC, 0 for none."""
    return 0 if moment is None else min(LAST_US, max(0, (moment - _EPOCH) // _US))


class ShaWire(Struct):
    """Something that is known by its id alone."""

    sha: Sha


class TagWire(Struct):
    """GET /repos/{owner}/{repo}/tags: GitHub peels annotated tags itself."""

    name: Name
    commit: ShaWire


class AccountWire(Struct):
    """Somebody with an account; GitHub sends an empty object where it knows none."""

    login: Name = ""
    id: Number = 0
    type: Name = ""
    email: Name | None = None


class SignatureWire(Struct):
    """Author or committer as git knows them."""

    name: Name | None = ""
    email: Name | None = ""
    date: Time | None = None


class GitCommitWire(Struct):
    """The git side of a commit."""

    message: Text = ""
    author: SignatureWire | None = None
    committer: SignatureWire | None = None


class CommitWire(Struct):
    """One commit of a list."""

    sha: Sha
    commit: GitCommitWire
    author: AccountWire | None = None


class FileWire(Struct):
    """A file that a comparison or a commit changes."""

    filename: Annotated[str, Meta(max_length=65536)]


class ComparisonWire(Struct):
    """GET …/compare/{base}...{head}: oldest commit first, the files of the whole on the first page alone."""

    ahead_by: Number
    behind_by: Number
    total_commits: Number
    commits: tuple[CommitWire, ...]
    files: tuple[FileWire, ...] | None = ()


class PullWire(Struct):
    """GET …/commits/{sha}/pulls."""

    number: Number
    head: ShaWire
    user: AccountWire | None = None
    merged_at: Time | None = None
    merge_commit_sha: Sha | None = None


class ReviewWire(Struct):
    """GET …/pulls/{number}/reviews: oldest first."""

    id: Number
    state: Name
    user: AccountWire | None = None
    commit_id: Sha | None = None
    submitted_at: Time | None = None
    body: Text | None = ""
    author_association: Name = ""


class Written(Struct, frozen=True):
    """A commit, and the account of its author where there is one."""

    commit: Commit
    login: str = ""


class Comparison(Struct, frozen=True):
    """One page of a comparison; `commits` oldest first."""

    ahead: int
    behind: int
    total: int
    commits: tuple[Written, ...]
    files: tuple[str, ...] = ()


class PermissionsWire(Struct):
    """What the token may do in a repository."""

    push: bool = False


class RepositoryWire(Struct):
    """GET /repos/{owner}/{repo}."""

    full_name: Id
    permissions: PermissionsWire | None = None


def parse_tags(body: bytes) -> tuple[Tag, ...]:
    """Tags with the commits that they lead to, undated: GitHub's list has no dates."""
    return tuple(Tag(tag.name, tag.commit.sha, 0) for tag in decode(body, tuple[TagWire, ...]) if len(tag.name) <= MAX_NAME)


def parse_commits(body: bytes) -> tuple[Written, ...]:
    """A list of commits, as GitHub orders them."""
    return tuple(_written(wire) for wire in decode(body, tuple[CommitWire, ...]))


def parse_commit(body: bytes) -> Written:
    """One commit."""
    return _written(decode(body, CommitWire))


def parse_comparison(body: bytes) -> Comparison:
    """One page of a comparison."""
    wire = decode(body, ComparisonWire)
    commits = tuple(_written(commit) for commit in wire.commits)
    files = tuple(plain(file.filename) for file in wire.files or ())
    return Comparison(wire.ahead_by, wire.behind_by, wire.total_commits, commits, files)


def parse_pulls(body: bytes) -> tuple[PullWire, ...]:
    """Pull requests."""
    return decode(body, tuple[PullWire, ...])


def parse_reviews(body: bytes) -> tuple[ReviewWire, ...]:
    """Reviews of one pull request, oldest first."""
    return decode(body, tuple[ReviewWire, ...])


def parse_account(body: bytes) -> AccountWire:
    """An account."""
    return decode(body, AccountWire)


def parse_repository(body: bytes) -> RepositoryWire:
    """A repository, and what the token may do there."""
    return decode(body, RepositoryWire)


def _written(wire: CommitWire) -> Written:
    said = parse_message(wire.commit.message)
    author, committer = wire.commit.author or SignatureWire(), wire.commit.committer or SignatureWire()
    commit = Commit(
        id=wire.sha,
        author=one_line(author.name or "", MAX_NAME),
        email=one_line(author.email or "", MAX_NAME),
        at_us=at_us(committer.date or author.date),
        subject=said.subject,
        reviewers=said.reviewers,
        co_authors=said.co_authors,
        rollback=said.rollback,
    )
    return Written(commit, one_line(wire.author.login, 100) if wire.author is not None else "")
