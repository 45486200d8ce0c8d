"""A repository's remote: its refs listed, fetched and pushed, never by force. Only files, ssh and https; nothing prompts.

The person's own git settings hold here (keys, proxies, credential helpers), the repository's start no program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cockpit.connectors.git_process import GitProcess, execute
from cockpit.connectors.text import one_line, without_secrets
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError, Rejected, Unreachable

TIMEOUT_S = 20.0
_BATCH = 100
_LISTED = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\t(refs/\S+)")
_OWN = re.compile(r"credential\.(?:.+\.)?helper|core\.sshcommand")
_SILENT = ("-oBatchMode=yes", "-oConnectTimeout=10")
_GUARDS = ("gc.auto=0", "maintenance.auto=false", "push.gpgSign=false", "http.sslVerify=true", "submodule.recurse=false")
# those of the repository's own remote would name other programs
_UPLOAD, _RECEIVE = "--upload-pack=git-upload-pack", "--receive-pack=git-receive-pack"


class GitRemote:
    """One remote of a repository on disk, by its name there or its address. Blocks; ConnectorErrors only."""

    def __init__(self, git: GitProcess, remote: str, timeout_s: float = TIMEOUT_S) -> None:
        self._git = git
        self._remote = remote
        self._timeout_s = timeout_s
        self._own: tuple[str, ...] | None = None

    def refs(self, patterns: Iterable[str]) -> dict[str, str]:
        """The object ids of its refs that match; `*` matches `/` too."""
        output = self._ask("ls-remote", "--refs", _UPLOAD, "--end-of-options", self._remote, *patterns)
        lines = output.decode("utf-8", "replace").splitlines()
        found = [match for line in lines if (match := _LISTED.fullmatch(line))]
        if len(found) != len(lines):
            raise BadPayload("The remote listed its refs in an unknown form.", hint="Update git.")
        return {match.group(2): match.group(1) for match in found}

    def fetch(self, refs: Iterable[str]) -> None:
        """Take these refs over under their own names; none that is here is changed."""
        wanted = "".join(f"{ref}:{ref}\n" for ref in refs)
        if wanted:
            plain = ("--quiet", "--no-tags", "--no-prune", "--no-recurse-submodules", "--no-write-fetch-head")
            self._ask("fetch", *plain, _UPLOAD, "--stdin", "--end-of-options", self._remote, feed=wanted.encode())

    def follow(self, ref: str, kept: str) -> None:
        """Take over where this ref stands now under the name `kept`, wherever that stood before: for what is only read here."""
        plain = ("--quiet", "--no-tags", "--no-prune", "--no-recurse-submodules", "--no-write-fetch-head")
        self._ask("fetch", *plain, _UPLOAD, "--stdin", "--end-of-options", self._remote, feed=f"+{ref}:{kept}\n".encode())

    def push(self, refs: Iterable[str]) -> dict[str, str]:
        """Share these refs under their own names; answers the refused ones with the reason. Nothing over there is changed."""
        waiting, refused = sorted(refs), dict[str, str]()
        plain = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
        for start in range(0, len(waiting), _BATCH):
            specs = [f"{ref}:{ref}" for ref in waiting[start : start + _BATCH]]
            status, output, errors = self._run("push", *plain, _RECEIVE, "--end-of-options", self._remote, *specs)
            answers = [line.split("\t") for line in output.decode("utf-8", "replace").splitlines() if line.count("\t") == 2]
            found = {names.rpartition(":")[2]: one_line(words, 200) for flag, names, words in answers if flag == "!"}
            if status and not found:
                raise self._failure(errors)
            refused |= found
        return refused

    def swap(self, ref: str, new: str, expected: str) -> str:
        """Move one ref to the object `new` ("": remove it) if it still stands at `expected` ("": is not there); "" or why it did not."""
        plain = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
        lease = f"--force-with-lease={ref}:{expected}"
        status, output, errors = self._run("push", *plain, lease, _RECEIVE, "--end-of-options", self._remote, f"{new}:{ref}")
        if not status:
            return ""
        answers = [line.split("\t") for line in output.decode("utf-8", "replace").splitlines() if line.count("\t") == 2]
        refused = [one_line(words, 200) for flag, _, words in answers if flag == "!"]
        if not refused and "remote ref does not exist" not in errors:
            raise self._failure(errors)
        return refused[0] if refused else "it is not there"

    def _ask(self, *args: str, feed: bytes = b"") -> bytes:
        status, output, errors = self._run(*args, feed=feed)
        if status:
            raise self._failure(errors)
        return output

    def _run(self, *args: str, feed: bytes = b"") -> tuple[int, bytes, str]:
        environment = {
            "HOME": str(Path.home()),
            # above every protocol.* setting of the repository: no ext::, no git://, no helper of its own
            "GIT_ALLOW_PROTOCOL": "file:ssh:https",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_SSH_COMMAND": self._ssh(),
        }
        settings = (*_GUARDS, *(f"credential.helper={helper}" for helper in self._settings("credential.")))
        without = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "XDG_CONFIG_HOME")
        return self._git.run(*args, feed=feed, settings=settings, environment=environment, without=without, timeout_s=self._timeout_s)

    def _ssh(self) -> str:
        own = os.environ.get("GIT_SSH_COMMAND") or next(iter(self._settings("core.sshcommand")), "") or "ssh"
        return " ".join((own, *_SILENT))

    def _settings(self, start: str) -> list[str]:
        """What the person's own settings name as credential helpers, or as ssh; asked once."""
        if self._own is None:
            command = ["git", "config", "--global", "--null", "--get-regexp", _OWN.pattern]
            _, output, _ = execute(command, {"GIT_TERMINAL_PROMPT": "0"}, None, 5.0)
            self._own = tuple(entry for entry in output.decode("utf-8", "replace").split("\0") if entry)
        found = [entry.partition("\n") for entry in self._own]
        return [value for name, _, value in found if name.lower().startswith(start)]

    def _failure(self, errors: str) -> ConnectorError:
        shown = one_line(without_secrets(self._remote), 200)
        words = one_line(without_secrets(errors), 300)
        for marks, kind, what, hint in _FAILURES:
            if any(mark in errors for mark in marks):
                return kind(f"The git remote “{shown}” {what}: {words}", hint=hint)
        return Unreachable(f"The git remote “{shown}” cannot be used: {words}", hint="Check the remote's address and that it answers.")


_FAILURES: tuple[tuple[tuple[str, ...], type[ConnectorError], str, str], ...] = (
    (
        ("' not allowed",),
        Rejected,
        "is of a kind that is not used here",
        "Give it an address of ssh or https, or a path.",
    ),
    (
        (
            "Permission denied (",
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "Host key verification failed",
        ),
        AuthFailed,
        "does not let you in",
        "Try `git fetch` in a terminal: what asks there must be answered by an agent or a credential helper.",
    ),
    (("error: 403", "error: 401"), AuthFailed, "does not let you in", "Check your rights there."),
)
