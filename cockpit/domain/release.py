"""What is released and where it runs: services, environments, versions, commits, nodes, deployments."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from itertools import chain, islice

from msgspec import Struct


class Service(Struct, frozen=True, gc=False):
    """A thing deployed on its own. `tag_pattern` maps tags to versions: one `{version}` placeholder, "" = recognise any scheme.

    `depends_on`: other services that must be there first, each "name" or "name>=version". `config_paths`, `contract_paths`: files whose
    change is a change of configuration or of the interface to clients.
    """

    name: str
    repository: str = ""
    tag_pattern: str = ""
    path: str = ""
    live_version: str = ""
    depends_on: tuple[str, ...] = ()
    config_paths: tuple[str, ...] = ()
    contract_paths: tuple[str, ...] = ()


class Environment(Struct, frozen=True, gc=False):
    """A place where services run. `rank` orders them along the way to production."""

    name: str
    rank: int = 0
    production: bool = False
    approvals_required: int = 0
    after: str = ""


class Version(Struct, frozen=True, gc=False):
    """A released version: `name` without service and prefix, the tag, the peeled commit, and the artifact's digest once known."""

    service: str
    name: str
    tag: str
    commit: str
    released_at_us: int
    digest: str = ""


class Commit(Struct, frozen=True, gc=False):
    """One commit; all text is untrusted and shown as plain text. Reviewers and co-authors come from trailers."""

    id: str
    author: str
    email: str
    at_us: int
    subject: str
    reviewers: tuple[str, ...] = ()
    co_authors: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    rollback: str = ""  # the values of its `Rollback:` trailers, one a line


class Changes(Struct, frozen=True, gc=False):
    """What lies between two versions: commits that come in, commits that leave (on the base only), newest first.

    `total_in` and `total_out` count all, even where the lists are cut; `people` then names the authors and co-authors of all that come in.
    """

    base: str
    head: str
    commits: tuple[Commit, ...] = ()
    missing: tuple[Commit, ...] = ()
    total_in: int = 0
    total_out: int = 0
    people: tuple[str, ...] = ()

    @property
    def authors(self) -> frozenset[str] | None:
        """E-mail addresses (lower case) of authors and co-authors of the commits that come in; None where not all of them are known."""
        if len(self.commits) < self.total_in:
            return frozenset(self.people) or None
        people = {c.email.lower() for c in self.commits if c.email}
        for c in self.commits:
            people.update(address_of(person) for person in c.co_authors)
        return frozenset(people)

    @property
    def files(self) -> tuple[str, ...]:
        """Each changed path once, sorted."""
        return tuple(sorted({path for c in self.commits for path in c.files}))


class Node(Struct, frozen=True, gc=False):
    """One running instance and what it says about itself.

    `config` is a hash of its configuration ("" = it does not say), `flags` are "name=value", sorted.
    """

    name: str
    service: str
    environment: str
    version: str = ""
    commit: str = ""
    digest: str = ""
    healthy: bool | None = None
    url: str = ""
    config: str = ""
    flags: tuple[str, ...] = ()


class DeployState(StrEnum):
    """What the deployment system says. QUEUED and RUNNING are under way; the others are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        return self not in (DeployState.QUEUED, DeployState.RUNNING)


class NodeStep(Struct, frozen=True, gc=False):
    """A node's part in a deployment: pending, stopping, starting, checking, done or failed."""

    node: str
    state: str
    digest: str = ""
    message: str = ""


class Deployment(Struct, frozen=True, gc=False):
    """One deployment as the deployment system records it. `kind` is deploy or rollback; `key` the idempotency key."""

    id: str
    key: str
    service: str
    environment: str
    version: str
    digest: str
    kind: str
    state: DeployState
    requested_by: str = ""
    reason: str = ""
    from_version: str = ""
    from_digest: str = ""
    started_at_us: int = 0
    finished_at_us: int = 0
    steps: tuple[NodeStep, ...] = ()
    message: str = ""

    @property
    def duration_s(self) -> float | None:
        if not self.finished_at_us or not self.started_at_us:
            return None
        return (self.finished_at_us - self.started_at_us) / 1e6


class Artifact(Struct, frozen=True, gc=False):
    """A built version that can be deployed, named by its content digest."""

    service: str
    version: str
    commit: str
    digest: str
    built_at_us: int = 0


class Fleet(Struct, frozen=True, gc=False):
    """All nodes of one service in one environment, and the deployment under way there, if any.

    `automatic`: in words, what the system would deploy there by itself ("" = nothing); `held`: digests that it was told not to deploy.
    """

    service: str
    environment: str
    nodes: tuple[Node, ...] = ()
    active: Deployment | None = None
    automatic: str = ""
    held: tuple[str, ...] = ()

    @property
    def digests(self) -> dict[str, int]:
        """Nodes per digest, most common first; unknown digests count under ""."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[node.digest] = counts.get(node.digest, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    @property
    def live(self) -> Node | None:
        """A node of the majority: its version and digest are what "is live" means; None while nothing is known."""
        for digest in self.digests:
            if digest:
                return next(n for n in self.nodes if n.digest == digest)
        return None

    @property
    def agreement(self) -> tuple[int, int]:
        """(nodes on the majority's digest, all nodes)."""
        live = self.live
        if live is None:
            return 0, len(self.nodes)
        return self.digests[live.digest], len(self.nodes)


_ADDRESS = re.compile(r"<([^<>\s]+)>")
_NUMBERS = re.compile(r"\d+")
_PLAIN_TAG = re.compile(r"[vV]?(\d+(?:\.\d+){1,5})")
# possessive, so that a hostile tag costs no exponential time
_VERSION = re.compile(r"(?P<core>\d++(?:[._]\d++){0,5}+)(?P<rest>[0-9A-Za-z]*+(?:[-+.~_][0-9A-Za-z]++)*+)$")
_LEAD = re.compile(r"(?:^|[-_@]|(?<![A-Za-z0-9.+~]))[vV]?(?=\d)")
_GLUED = re.compile(r"(?<=[A-Za-z])(?=\d+\.\d)")  # go1.21.5
_LEAD_END = re.compile(r"(?:^|[-/_@]+)[vV]?$")
# one letter alone is a patch level (1.1.1a), one before a number a pre-release (3.12.0a1)
_PRERELEASE = re.compile(
    r"[-.~_]?(?P<word>dev|nightly|canary|snapshot|alpha|beta|milestone|preview|pre|rc|a(?=[.-]?\d)|b(?=[.-]?\d)|m(?=[.-]?\d)|c(?=[.-]?\d))(?![a-z])",
    re.IGNORECASE,
)
_PRE_RANK = {
    "dev": 0,
    "nightly": 0,
    "canary": 0,
    "snapshot": 0,
    "a": 1,
    "alpha": 1,
    "b": 2,
    "beta": 2,
    "m": 2,
    "milestone": 2,
    "pre": 3,
    "preview": 3,
    "c": 4,
    "rc": 4,
}


def address_of(person: str) -> str:
    """`Name <a@b>` -> `a@b` in lower case; a bare name stays itself."""
    found = _ADDRESS.search(person)
    return (found.group(1) if found else person).strip().lower()


class ParsedTag(Struct, frozen=True, gc=False):
    """A tag split into the service's prefix (may be empty) and the version's name."""

    prefix: str
    name: str


def parse_tag(tag: str, pattern: str = "") -> ParsedTag | None:
    """Split a tag by its scheme: v1.2, 1.2.3-rc1, name/1.2.3, name-v1.2.3, 2026-11-22; None where it is no version.

    With `pattern` (such as `gateway/v{version}`) only tags of that form count.
    """
    if pattern:
        before, _, after = pattern.partition("{version}")
        if not (tag.startswith(before) and tag.endswith(after)) or len(tag) <= len(before) + len(after):
            return None
        name = tag[len(before) : len(tag) - len(after)]
        return ParsedTag(_LEAD_END.sub("", before), name) if name[0].isdigit() else None
    prefix, _, last = tag.rpartition("/")
    plain = _PLAIN_TAG.fullmatch(last)
    if plain is not None:  # what nearly all tags look like; the search below says the same, ten times slower
        return ParsedTag(prefix, plain.group(1))
    for found in islice(chain(_LEAD.finditer(last), _GLUED.finditer(last)), 32):  # no name has more places where a version might begin
        name = last[found.end() :]
        matched = _VERSION.match(name)
        if matched is not None and _looks_like_version(matched, found.group()):
            word = last[: found.start()].rstrip("-_@")
            return ParsedTag("/".join(p for p in (prefix, word) if p), name)
    return None


def _looks_like_version(found: re.Match[str], lead: str) -> bool:
    """A number without a dot counts only after a `v` (v12), in a date (2026-11-22) or before a build (21+35): `build-7` is none."""
    core, rest = found.group("core"), found.group("rest")
    if not core.isdigit():
        return True
    if rest[:1].isalpha():
        return lead[-1:] in ("v", "V") and _PRERELEASE.match(rest) is not None
    return lead[-1:] in ("v", "V") or len(core) == 8 or rest.startswith("+") or re.match(r"-\d", rest) is not None


@lru_cache(maxsize=20_000)
def version_key(name: str) -> tuple[object, ...]:
    """Sort key: numbers by value, pre-releases before their release, build metadata last. Total: any text sorts."""
    match = re.match(r"\d+(?:[._-]\d+)*", name)
    if match is None:
        return ((), 0, (), (), name)
    core = list(_integers(match.group()))
    while len(core) > 1 and core[-1] == 0:
        core.pop()
    rest, _, build = name[match.end() :].partition("+")
    pre = _PRERELEASE.match(rest)
    rank, after = (9, rest) if pre is None else (_PRE_RANK[pre.group("word").lower()], rest[pre.end() :])
    return (tuple(core), rank, _integers(after), _integers(build), f"{rest}+{build}")


def _integers(text: str) -> tuple[int, ...]:
    # Python refuses to convert numbers of several thousand digits; nobody counts that far
    return tuple(int(digits[:400]) for digits in _NUMBERS.findall(text))


def in_order(versions: tuple[Version, ...]) -> tuple[Version, ...]:
    """Newest first, by version, then by date."""
    return tuple(sorted(versions, key=lambda v: (version_key(v.name), v.released_at_us), reverse=True))


def pending(versions: tuple[Version, ...], live: str) -> tuple[Version, ...]:
    """Versions newer than `live` (a version's name), newest first; all of them while nothing is live."""
    ordered = in_order(versions)
    if not live:
        return ordered
    floor = version_key(live)
    return tuple(v for v in ordered if version_key(v.name) > floor)
