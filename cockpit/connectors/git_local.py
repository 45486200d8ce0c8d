"""A git repository on disk, treated as hostile: its settings start no program, no name becomes an option, and time is limited."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cockpit.connectors.git_parse import (
    LOG_FORMAT,
    MAX_NAME,
    PEOPLE_FORMAT,
    TAG_FORMAT,
    Tag,
    parse_log,
    parse_peeled,
    parse_people,
    parse_tags,
    services_of,
    versions_of,
)
from cockpit.connectors.git_process import TIMEOUT_S, GitProcess
from cockpit.connectors.git_refs import RefsWatch
from cockpit.connectors.git_remote import GitRemote
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import BadPayload, NotFound
from cockpit.domain.release import Changes, Commit, Service, Version

_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-notes", "--no-mailmap", "--no-show-signature", "--encoding=UTF-8")
_LOG = ("log", "-z", "--name-only", "--no-renames", "--no-relative", *_PLAIN, f"--format={LOG_FORMAT}")
_NO_REF_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.$|^@$")
_WORDS = re.compile(r"(approvals|words/[a-z-]+)(/[^/]+){4}")  # what people signed is kept as tags too; none of it is a version
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class GitLocal:
    """SourceControl over a repository on disk. Blocks; one call at a time; ConnectorErrors only; holds no process between calls."""

    def __init__(self, path: str | Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._git = GitProcess(path, timeout_s)
        self._watch: RefsWatch | None = None

    def __enter__(self) -> GitLocal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget what was remembered; nothing else is held."""
        self._git.forget()
        self._watch = None

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions of the service, newest first."""
        return versions_of(self._tags(), service)

    def services(self) -> tuple[Service, ...]:
        """The services that the tags speak of; one named after the directory where they have no prefixes."""
        root = self._git.located().root
        return services_of(self._tags(), str(root), root.name.removesuffix(".git") or "repository")

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes:
        """Commits between two names; each list at most `limit` long, the totals complete."""
        limit = max(1, limit)
        revs = _rev(base) if base else "", _rev(head)
        try:
            return self._changes(service, (base, head), revs, limit)
        except NotFound:
            # no tags of these names: ask for each, so that the error can say which one is unknown
            found = (self._resolved(base) if base else "", self._resolved(head))
        return self._changes(service, (base, head), found, limit)

    def fingerprint(self) -> str:
        """Changes with any ref; a few stat calls."""
        if self._watch is None:
            self._watch = RefsWatch(self._git.located())
        try:
            return self._watch.fingerprint()
        except OSError as error:
            self.close()
            hint = "Was it moved or deleted? Set its path in the settings."
            raise NotFound(f"The repository “{self._git.path}” is gone ({error.strerror}).", hint=hint) from None

    def probe(self) -> Probe:
        """The repository, and what is missing in it."""
        tags = self._tags()
        root = self._git.located().root
        missing = () if tags else ("there is no tag yet, so there is no version",)
        return Probe(reached=f"{root} ({len(tags)} tags)", missing=missing)

    def file(self, ref: str, path: str) -> tuple[str, bytes]:
        """(commit, content) of a file at a ref's full name or a whole commit id. `path` is from the top of the repository."""
        if _NO_REF_NAME.search(ref) or not (ref.startswith("refs/") or _FULL_ID.fullmatch(ref)):
            raise NotFound(f"“{one_line(ref, 200)}” cannot be the name of a branch.", hint="Correct it in the settings.")
        try:
            commit = self._git.ask("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}").decode("ascii").strip()
        except NotFound:
            self._git.ask("rev-parse", "--git-dir")  # the repository itself may be what is not found
            raise NotFound(
                f"There is no “{one_line(ref, 200)}” in “{one_line(self._git.path, 300)}”.", hint="Was it never fetched, or renamed?"
            ) from None
        listed = self._git.ask("ls-tree", "-z", "--full-tree", "--end-of-options", commit, "--", f":(top,literal){path}")
        # a link or a folder of that name is not the file
        entry = re.fullmatch(rb"100(?:644|755) blob ([0-9a-f]+)\t([^\x00]*)\x00", listed)
        if entry is None or entry.group(2) != os.fsencode(path):
            hint = "Commit it there, or correct its path in the settings."
            raise NotFound(f"There is no file “{one_line(path, 200)}” in “{one_line(self._git.path, 300)}” at {commit[:12]}.", hint=hint)
        return commit, self._git.ask("cat-file", "blob", entry.group(1).decode("ascii"))

    def fetch(self, remote: str, branch: str) -> str:
        """Ask a remote, by its name here or its address, where its branch stands now; answers the full name of the ref that tells."""
        kept = f"refs/remotes/{remote if re.fullmatch(r'[A-Za-z0-9_-]+', remote) else 'policy'}/{branch}"
        GitRemote(self._git, remote).follow(f"refs/heads/{branch}", kept)
        return kept

    def _tags(self) -> tuple[Tag, ...]:
        listed = parse_tags(self._git.ask("for-each-ref", f"--format={TAG_FORMAT}", "refs/tags"))
        tags = tuple(tag for tag in listed if not _WORDS.fullmatch(tag.name))
        nested = [tag for tag in tags if tag.nested]
        if not nested:
            return tags
        asked = "".join(f"{tag.nested}^{{commit}}\n" for tag in nested).encode()
        peeled = parse_peeled(self._git.ask("cat-file", "--batch-check=%(objectname) %(objecttype)", feed=asked), len(nested))
        commits = {tag.name: commit for tag, commit in zip(nested, peeled, strict=True)}
        return tuple(Tag(t.name, commits[t.name], t.created_at_us, t.annotated) if t.nested else t for t in tags)

    def _changes(self, service: Service, names: tuple[str, str], revs: tuple[str, str], limit: int) -> Changes:
        base, head = revs
        path = [f":(top,literal){service.path}"] if service.path else []
        both = f"{base}...{head}" if base else head
        commits = self._log(both, path, limit + 1)
        incoming = tuple(c for side, c in commits if side != "<")
        leaving = tuple(c for side, c in commits if side == "<")
        total_in, total_out = len(incoming), len(leaving)
        if len(commits) > limit:
            total_in, total_out = self._count(base, head, path)
            if base:
                incoming = tuple(c for _, c in self._log(f"{base}..{head}", path, limit))
                leaving = tuple(c for _, c in self._log(f"{head}..{base}", path, limit)) if total_out else ()
        people = self._people(f"{base}..{head}" if base else head, path) if total_in > limit else ()
        return Changes(names[0], names[1], incoming[:limit], leaving[:limit], total_in, total_out, people)

    def _people(self, revs: str, path: list[str]) -> tuple[str, ...]:
        return parse_people(self._git.ask("log", *_PLAIN, f"--format={PEOPLE_FORMAT}", "--end-of-options", revs, "--", *path))

    def _log(self, revs: str, path: list[str], limit: int) -> tuple[tuple[str, Commit], ...]:
        return parse_log(self._git.ask(*_LOG, "--left-right", f"--max-count={limit}", "--end-of-options", revs, "--", *path))

    def _count(self, base: str, head: str, path: list[str]) -> tuple[int, int]:
        revs = f"{base}...{head}" if base else head
        counted = self._git.ask("rev-list", "--left-right", "--count", "--end-of-options", revs, "--", *path).split()
        if len(counted) != 2 or not all(number.isdigit() for number in counted):
            raise BadPayload("git counted commits in an unknown form.", hint="Update git.")
        return int(counted[1]), int(counted[0])

    def _resolved(self, name: str) -> str:
        for candidate in (f"refs/tags/{name}", name):
            try:
                return self._git.ask("rev-parse", "--verify", "--end-of-options", f"{candidate}^{{commit}}").decode("ascii").strip()
            except NotFound:
                self._git.ask("rev-parse", "--git-dir")  # the repository itself may be what is not found
        raise NotFound(
            f"“{one_line(name, 200)}” is neither a version's tag nor a commit here.", hint="Was the tag deleted or never fetched?"
        )


def _rev(name: str) -> str:
    """How git shall read a person's name for a commit: a full id, else a tag, and never an expression or an option."""
    if not name or len(name) > MAX_NAME or _NO_REF_NAME.search(name):
        raise NotFound(f"“{one_line(name, 200)}” cannot be the name of a tag or commit.", hint="Choose a version from the list.")
    return f"{name if _FULL_ID.fullmatch(name) else 'refs/tags/' + name}^{{commit}}"
