"""How git is started here: on a repository that is treated as hostile, and on the network only where that is asked for.

The repository's settings start no program, committed hooks never run, nothing prompts, and time is limited. The only home of GitPython,
which is imported with the first question. It starts git; its object model is not used (up to 180 times slower).
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

from cockpit.connectors.git_refs import Place, locate
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError, NotFound, Unreachable

TIMEOUT_S = 30.0
OUTPUT_BYTES = 256 * 1024 * 1024

# Settings of the repository that would start a program or change what the formats promise.
_SETTINGS = (
    *("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "core.sshCommand=/bin/false", "core.askPass=/bin/false"),
    *("protocol.allow=never", "credential.helper=", "gpg.program=/usr/bin/gpg", "gpg.ssh.program=/usr/bin/ssh-keygen"),
    *("gpg.x509.program=/bin/false", "gpg.ssh.defaultKeyCommand=/bin/false"),
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
_STEERS_GIT = re.compile(
    r"GIT_(DIR|COMMON_DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|GRAFT_FILE|SHALLOW_FILE|PREFIX"
    r"|REPLACE_REF_BASE|EXTERNAL_DIFF|DIFF_OPTS|ATTR_SOURCE|CONFIG|CONFIG_(COUNT|PARAMETERS|SYSTEM|(KEY|VALUE)_\d+)|.*_PATHSPECS|TRACE.*)"
)
_FETCH = "Was the tag deleted or never fetched?"
_FSCK = "Check the repository with `git fsck`, or clone it again."


class GitProcess:
    """Runs git on one repository, a process a question. Blocks; from any thread; ConnectorErrors only; holds nothing between calls."""

    def __init__(self, path: str | Path, timeout_s: float = TIMEOUT_S) -> None:
        self.path = str(path)
        self._timeout_s = timeout_s
        self._place: Place | None = None
        self._trusted: tuple[str, ...] = ()

    def forget(self) -> None:
        """Look for the repository anew with the next question."""
        self._place = None

    def located(self) -> Place:
        """Where the repository is; NotFound where there is none."""
        if self._place is None:
            self._place = locate(self.path)
        return self._place

    def ask(self, *args: str, feed: bytes = b"") -> bytes:
        """Output of one git process; every text from outside stands behind `--end-of-options` or is a literal path."""
        status, output, errors = self.run(*args, feed=feed)
        if status:
            raise failure(self.path, status, errors)
        return output

    def run(
        self,
        *args: str,
        feed: bytes = b"",
        settings: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        without: tuple[str, ...] = (),
        timeout_s: float = 0.0,
    ) -> tuple[int, bytes, str]:
        """(status, output, errors) of one git process. `settings` stand above ours, `environment` too; names in `without` are not set."""
        place = self.located()
        known = {**_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": str(place.root.parent), **(environment or {})}
        known = {name: value for name, value in known.items() if name not in without}
        limit_s = timeout_s or self._timeout_s
        answer = self._run(place, args, feed, settings, known, limit_s)
        if answer[0] and "dubious ownership" in answer[2] and not self._trusted:
            self._trusted = tuple(entry for entry in _trusted_directories() if _covers(entry, place))
            if self._trusted:
                answer = self._run(place, args, feed, settings, known, limit_s)
        return answer

    def _run(
        self, place: Place, args: tuple[str, ...], feed: bytes, settings: tuple[str, ...], environment: dict[str, str], timeout_s: float
    ) -> tuple[int, bytes, str]:
        trusted = [f"safe.directory={directory}" for directory in self._trusted]
        options = [part for setting in (*_SETTINGS, *trusted, *settings) for part in ("-c", setting)]
        # -C and not a working directory: where that is gone GitPython would run git in ours, on another repository
        command = ["git", "-C", str(place.root), "--no-pager", *options, *args]
        if not feed:
            return execute(command, environment, None, timeout_s)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(feed)
            stdin.seek(0)
            return execute(command, environment, stdin, timeout_s)


def execute(command: list[str], environment: dict[str, str], stdin: Any, timeout_s: float) -> tuple[int, bytes, str]:
    """Run git with this environment above ours; (status, output, errors). Unreachable when it cannot start or takes too long."""
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
    _, output, _ = execute(command, {"GIT_TERMINAL_PROMPT": "0"}, None, 5.0)
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


def failure(path: str, status: int, errors: str) -> ConnectorError:
    """What git said went wrong, as an error that a person can act on."""
    shown = one_line(path, 300)
    for marks, kind, words, hint in _FAILURES:
        if any(mark in errors for mark in marks):
            return kind(f"The repository “{shown}” {words}.", hint=hint)
    said = next((line for line in errors.splitlines() if line.startswith(("fatal:", "error:"))), errors[:300])
    if status < 0:
        return Unreachable(f"git was ended by signal {-status} while it read “{shown}”.", hint="Try again.")
    return BadPayload(f"The repository “{shown}” cannot be read: {one_line(said, 300)}", hint=_FSCK)
