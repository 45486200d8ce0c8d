"""A git repository on disk, treated as hostile: its settings start no program, no name becomes an option, and time is limited.

The only home of GitPython, which is imported with the first question. It starts git; its object model is not used (up to 180 times slower).
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

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
from cockpit.connectors.git_refs import Place, RefsWatch, locate
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError, NotFound, Unreachable
from cockpit.domain.release import Changes, Commit, Service, Version

TIMEOUT_S = 30.0
OUTPUT_BYTES = 256 * 1024 * 1024

# Settings of the repository that would start a program or change what the formats promise.
_SETTINGS = (
    *("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "core.sshCommand=/bin/false", "core.askPass=/bin/false"),
    *("protocol.allow=never", "credential.helper=", "gpg.program=/usr/bin/gpg", "gpg.ssh.program=/usr/bin/ssh-keygen"),
    *("diff.external=", "diff.orderFile=/dev/null", "log.showSignature=false", "log.follow=false", "log.showRoot=true"),
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_REPLACE_OBJECTS": "1",  # what is shown for a commit id is what the id stands for
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
}
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-notes", "--no-mailmap", "--no-show-signature", "--encoding=UTF-8")
_LOG = ("log", "-z", "--name-only", "--no-renames", "--no-relative", *_PLAIN, f"--format={LOG_FORMAT}")
_STEERS_GIT = re.compile(
    r"GIT_(DIR|COMMON_DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|GRAFT_FILE|SHALLOW_FILE|PREFIX"
    r"|REPLACE_REF_BASE|EXTERNAL_DIFF|DIFF_OPTS|ATTR_SOURCE|CONFIG|CONFIG_(COUNT|PARAMETERS|SYSTEM|(KEY|VALUE)_\d+)|.*_PATHSPECS|TRACE.*)"
)
_NO_REF_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.$|^@$")
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FETCH = "Was the tag deleted or never fetched?"
_FSCK = "Check the repository with `git fsck`, or clone it again."


class GitLocal:
    """SourceControl over a repository on disk. Blocks; one call at a time; ConnectorErrors only; holds no process between calls."""

    def __init__(self, path: str | Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = str(path)
        self._timeout_s = timeout_s
        self._place: Place | None = None
        self._watch: RefsWatch | None = None
        self._trusted: tuple[str, ...] = ()

    def __enter__(self) -> GitLocal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget what was remembered; nothing else is held."""
        self._place, self._watch = None, None

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions of the service, newest first."""
        return versions_of(self._tags(), service)

    def services(self) -> tuple[Service, ...]:
        """The services that the tags speak of; one named after the directory where they have no prefixes."""
        root = self._located().root
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
            self._watch = RefsWatch(self._located())
        try:
            return self._watch.fingerprint()
        except OSError as error:
            self.close()
            hint = "Was it moved or deleted? Set its path in the settings."
            raise NotFound(f"The repository “{self._path}” is gone ({error.strerror}).", hint=hint) from None

    def probe(self) -> Probe:
        """The repository, and what is missing in it."""
        tags = self._tags()
        root = self._located().root
        missing = () if tags else ("there is no tag yet, so there is no version",)
        return Probe(reached=f"{root} ({len(tags)} tags)", missing=missing)

    def _tags(self) -> tuple[Tag, ...]:
        tags = parse_tags(self._git("for-each-ref", f"--format={TAG_FORMAT}", "refs/tags"))
        nested = [tag for tag in tags if tag.nested]
        if not nested:
            return tags
        asked = "".join(f"{tag.nested}^{{commit}}\n" for tag in nested).encode()
        peeled = parse_peeled(self._git("cat-file", "--batch-check=%(objectname) %(objecttype)", feed=asked), len(nested))
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
        return parse_people(self._git("log", *_PLAIN, f"--format={PEOPLE_FORMAT}", "--end-of-options", revs, "--", *path))

    def _log(self, revs: str, path: list[str], limit: int) -> tuple[tuple[str, Commit], ...]:
        return parse_log(self._git(*_LOG, "--left-right", f"--max-count={limit}", "--end-of-options", revs, "--", *path))

    def _count(self, base: str, head: str, path: list[str]) -> tuple[int, int]:
        revs = f"{base}...{head}" if base else head
        counted = self._git("rev-list", "--left-right", "--count", "--end-of-options", revs, "--", *path).split()
        if len(counted) != 2 or not all(number.isdigit() for number in counted):
            raise BadPayload("git counted commits in an unknown form.", hint="Update git.")
        return int(counted[1]), int(counted[0])

    def _resolved(self, name: str) -> str:
        for candidate in (f"refs/tags/{name}", name):
            try:
                return self._git("rev-parse", "--verify", "--end-of-options", f"{candidate}^{{commit}}").decode("ascii").strip()
            except NotFound:
                self._git("rev-parse", "--git-dir")  # the repository itself may be what is not found
        raise NotFound(
            f"“{one_line(name, 200)}” is neither a version's tag nor a commit here.", hint="Was the tag deleted or never fetched?"
        )

    def _located(self) -> Place:
        if self._place is None:
            self._place = locate(self._path)
        return self._place

    def _git(self, *args: str, feed: bytes = b"") -> bytes:
        """Output of one git process; every text from outside stands behind `--end-of-options` or is a literal path."""
        place = self._located()
        status, output, errors = self._run(place, args, feed)
        if status and "dubious ownership" in errors and not self._trusted:
            self._trusted = tuple(entry for entry in _trusted_directories() if _covers(entry, place))
            if self._trusted:
                status, output, errors = self._run(place, args, feed)
        if status:
            raise _failure(self._path, status, errors)
        return output

    def _run(self, place: Place, args: tuple[str, ...], feed: bytes) -> tuple[int, bytes, str]:
        settings = [f"safe.directory={directory}" for directory in self._trusted]
        options = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
        # -C and not a working directory: where that is gone GitPython would run git in ours, on another repository
        command = ["git", "-C", str(place.root), "--no-pager", *options, *args]
        environment = {**_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": str(place.root.parent)}
        if not feed:
            return _execute(command, environment, None, self._timeout_s)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(feed)
            stdin.seek(0)
            return _execute(command, environment, stdin, self._timeout_s)


def _rev(name: str) -> str:
    """How git shall read a person's name for a commit: a full id, else a tag, and never an expression or an option."""
    if not name or len(name) > MAX_NAME or _NO_REF_NAME.search(name):
        raise NotFound(f"“{one_line(name, 200)}” cannot be the name of a tag or commit.", hint="Choose a version from the list.")
    return f"{name if _FULL_ID.fullmatch(name) else 'refs/tags/' + name}^{{commit}}"


def _execute(command: list[str], environment: dict[str, str], stdin: Any, timeout_s: float) -> tuple[int, bytes, str]:
    try:
        import git
    except ImportError as error:
        raise Unreachable(f"git cannot be started: {one_line(str(error), 200)}.", hint="Install git and put it on the PATH.") from None
    foreign = [name for name in os.environ if name not in environment and _STEERS_GIT.fullmatch(name)]
    if foreign:  # variables of a hook or of a person's shell would point git at another repository, or print more
        command = ["env", *(part for name in foreign for part in ("-u", name)), *command]
    try:
        handle: Any = git.Git().execute(command, istream=stdin, env=environment, as_process=True, start_new_session=True)
    except (git.GitCommandNotFound, OSError) as error:
        raise Unreachable(f"git cannot be started: {type(error).__name__}.", hint="Install git and put it on the PATH.") from None
    process: subprocess.Popen[bytes] = handle.proc
    with process:
        try:
            output, errors = _collect(process, time.monotonic() + timeout_s)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            handle.proc = None  # what is waited for here needs no interrupt by GitPython
    return process.returncode, output, errors


def _collect(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, str]:
    """Both streams until they end; Unreachable when time runs out, BadPayload when there is too much."""
    parts: dict[int, list[bytes]] = {pipe.fileno(): [] for pipe in (process.stdout, process.stderr) if pipe is not None}
    size = 0
    with selectors.DefaultSelector() as selector:
        for descriptor in parts:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                raise Unreachable(
                    "git took too long for this question and was ended.", hint="Write a commit-graph: `git commit-graph write`."
                )
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 20)
                size += len(chunk)
                if not chunk:
                    selector.unregister(key.fd)
                parts[key.fd].append(chunk)
            if size > OUTPUT_BYTES:
                raise BadPayload(
                    "git's answer is too long to be read.", hint="Set the service's `path`, or compare versions that are nearer."
                )
    output, errors = (b"".join(chunks) for chunks in parts.values())
    return output, plain(errors.decode("utf-8", "replace"), 2000)


def _covers(entry: str, place: Place) -> bool:
    """Whether an entry of `safe.directory` means this repository: itself, `*`, or a folder above with `/*` behind it."""
    above = entry.removesuffix("*") if entry.endswith("/*") else ""
    return (
        entry == "*" or entry.rstrip("/") in (str(place.root), str(place.git_dir)) or (above != "" and f"{place.root}/".startswith(above))
    )


def _trusted_directories() -> tuple[str, ...]:
    """What the person's own settings name as safe; asked only where git refuses a repository of somebody else."""
    command = ["git", "config", "--global", "--null", "--type=path", "--get-all", "safe.directory"]
    _, output, _ = _execute(command, {"GIT_TERMINAL_PROMPT": "0"}, None, 5.0)
    return tuple(entry for entry in output.decode("utf-8", "replace").split("\0") if entry)


_FAILURES: tuple[tuple[tuple[str, ...], type[ConnectorError], str, str], ...] = (
    (
        ("not a git repository", "cannot change to"),
        NotFound,
        "is no git repository (any more)",
        "Set its path in the settings.",
    ),
    (
        ("dubious ownership",),
        AuthFailed,
        "belongs to another user, so git does not open it",
        "If you trust it: git config --global --add safe.directory with its path.",
    ),
    (("ermission denied",), AuthFailed, "may not be read", "Give yourself the right to read the repository."),
    (
        ("bad revision", "unknown revision", "Needed a single revision", "does not have any commits", "ambiguous argument"),
        NotFound,
        "does not know that name",
        _FETCH,
    ),
    (("expected commit type", "dereferences to"), NotFound, "has that name, but it is no commit", "Choose a version from the list."),
    (("repository extension", "repo version", "unknown repository"), BadPayload, "needs a newer git", "Update git."),
    (("bad config", "bad numeric config", "bad boolean config"), BadPayload, "has broken settings", "Correct its config file."),
)


def _failure(path: str, status: int, errors: str) -> ConnectorError:
    shown = one_line(path, 300)
    for marks, kind, words, hint in _FAILURES:
        if any(mark in errors for mark in marks):
            return kind(f"The repository “{shown}” {words}.", hint=hint)
    said = next((line for line in errors.splitlines() if line.startswith(("fatal:", "error:"))), errors[:300])
    if status < 0:
        return Unreachable(f"git was ended by signal {-status} while it read “{shown}”.", hint="Try again.")
    return BadPayload(f"The repository “{shown}” cannot be read: {one_line(said, 300)}", hint=_FSCK)
