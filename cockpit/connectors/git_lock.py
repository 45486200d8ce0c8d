"""A lock for everybody who shares a git repository: a ref for each environment, taken and given back by compare and swap.

`refs/cockpit/locks/<environment>` points at a commit without files whose message is JSON {who, reason, at_us, token}. Plain git shows it:
`git ls-remote <remote> 'refs/cockpit/locks/*'`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from cockpit.connectors.git_process import GitProcess
from cockpit.connectors.git_remote import GitRemote
from cockpit.connectors.ports import LockHeld
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, ConnectorError, Rejected, Unreachable

TIMEOUT_S = 10.0
REFS = "refs/cockpit/locks/"
_SEEN = "refs/cockpit/locks-seen/"  # where what others hold is kept once it was fetched
_TRIES = 5
_WAY_OUT = "Ask who holds it; once they are certain that nothing is under way, the lock can be broken, with a reason."


class _Message(Struct):
    who: str = ""
    reason: str = ""
    at_us: Annotated[int, Meta(ge=0, le=253_402_300_799_000_000)] = 0
    token: str = ""


class GitLock:
    """Lock over a repository on disk and one of its remotes ("": the repository itself is what is shared).

    Blocks, a few processes of git a call; from any thread; raises Rejected, Unreachable and AuthFailed only.
    """

    def __init__(self, path: str | Path, remote: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._git = GitProcess(path, timeout_s)
        self._remote = GitRemote(self._git, remote, timeout_s) if remote else None

    def take(self, environment: str, who: str, reason: str, at_us: int) -> LockHeld:
        """Take it. Rejected where somebody else holds it, and says who; Unreachable where git cannot be reached.

        After Unreachable it may be held all the same: `holder` tells, once git is back.
        """
        words = ""
        with _reached():
            held = self._made(environment, who, reason, at_us)
            for _ in range(_TRIES):
                words = self._swap(environment, held.token, "")
                # what came of it is told by the ref and not by the answer, which may be lost or late
                standing = self.holder(environment)
                if standing is not None and standing.token == held.token:
                    return held
                if standing is not None:
                    raise _Taken(standing)
        raise AuthFailed(f"The lock of {environment} was refused: {words}", hint="Check that you may write refs/cockpit/* there.")

    def release(self, held: LockHeld) -> None:
        """Give it back; nothing happens where it was broken meanwhile, or is somebody else's by now."""
        self.break_(held)

    def break_(self, held: LockHeld) -> None:
        """Take away exactly this holding, whoever's it is."""
        words = ""
        with _reached():
            for _ in range(_TRIES):
                if self._standing(held.environment) != held.token:
                    return
                words = self._swap(held.environment, "", held.token)
            if self._standing(held.environment) != held.token:
                return
        raise AuthFailed(
            f"The lock of {held.environment} could not be removed: {words}", hint="Check that you may delete refs/cockpit/* there."
        )

    def holder(self, environment: str) -> LockHeld | None:
        """Who holds it, None where nobody does."""
        with _reached():
            for attempt in range(_TRIES):
                oid = self._standing(environment)
                if not oid:
                    return None
                content = self._content(environment, oid, last=attempt == _TRIES - 1)
                if content is not None:
                    return _parsed(environment, oid, content)
        raise AssertionError("the last attempt always answers or raises")

    # -- one step of git -----------------------------------------------------------------------------------------------------

    def _made(self, environment: str, who: str, reason: str, at_us: int) -> LockHeld:
        text = json.dumps({"who": who, "reason": reason, "at_us": at_us, "token": uuid4().hex})
        tree = self._git.ask("hash-object", "-w", "-t", "tree", "/dev/null").decode("ascii").strip()
        moment = f"@{at_us // 1_000_000} +0000"
        names = {"GIT_AUTHOR_NAME": "release cockpit", "GIT_AUTHOR_EMAIL": "lock", "GIT_AUTHOR_DATE": moment}
        names |= {"GIT_COMMITTER_NAME": "release cockpit", "GIT_COMMITTER_EMAIL": "lock", "GIT_COMMITTER_DATE": moment}
        status, output, errors = self._git.run("commit-tree", "--no-gpg-sign", tree, "-F", "-", feed=text.encode(), environment=names)
        if status:
            raise Unreachable(f"git could not write the lock: {one_line(errors, 300)}", hint="Check the repository's rights and disk.")
        return LockHeld(environment, who, reason, at_us, output.decode("ascii").strip())

    def _swap(self, environment: str, new: str, expected: str) -> str:
        ref = ref_of(environment)
        if self._remote is not None:
            return self._remote.swap(ref, new, expected)
        nothing = "0" * max(len(new), len(expected))
        change = ("update-ref", ref, new, nothing) if new else ("update-ref", "-d", ref, expected)
        status, _, errors = self._git.run(*change)
        return one_line(errors, 300) if status else ""

    def _standing(self, environment: str) -> str:
        """The object that the ref points at, "" where there is none."""
        ref = ref_of(environment)
        if self._remote is not None:
            return self._remote.refs((ref,)).get(ref, "")
        return self._git.ask("for-each-ref", "--format=%(objectname)", "--end-of-options", ref).decode("ascii").strip()

    def _content(self, environment: str, oid: str, last: bool) -> bytes | None:
        """The object; None where it changed under our hands and must be looked for again."""
        status, output, _ = self._git.run("cat-file", "commit", oid)
        if not status:
            return output
        if self._remote is None:
            return b""  # something that is no commit, put there by hand: held, and nobody knows by whom
        try:
            self._remote.follow(ref_of(environment), _SEEN + _quoted(environment))
        except ConnectorError:
            if last or self._standing(environment) == oid:
                raise
            return None
        status, output, _ = self._git.run("cat-file", "commit", oid)
        return output if not status else b"" if last or self._standing(environment) == oid else None


class _Taken(Rejected):
    """Somebody holds it."""

    def __init__(self, held: LockHeld) -> None:
        from datetime import UTC, datetime

        since = f" since {datetime.fromtimestamp(held.at_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC" if held.at_us else ""
        why = f": {held.reason}" if held.reason else ""
        super().__init__(f"{held.who or 'Somebody unknown'} holds the lock of {held.environment}{since}{why}.", hint=_WAY_OUT)


@contextmanager
def _reached() -> Iterator[None]:
    """Whatever else goes wrong with git means the same to who wants a lock: it cannot be had."""
    try:
        yield
    except (_Taken, AuthFailed, Unreachable):
        raise
    except ConnectorError as error:
        raise Unreachable(error.message, hint=error.hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unreachable(f"git cannot be used: {one_line(str(error), 200)}", hint="Check the policy repository.") from error


def ref_of(environment: str) -> str:
    """The ref of an environment's lock; every name has one of its own, whatever git thinks of its letters."""
    return REFS + _quoted(environment)


def _quoted(environment: str) -> str:
    return quote(environment, safe="", errors="replace").replace(".", "%2E").replace("~", "%7E") or "%"


def _parsed(environment: str, oid: str, content: bytes) -> LockHeld:
    """What the commit says, as untrusted text; one that does not read is held by somebody unknown."""
    try:
        said = msgspec.json.decode(content.partition(b"\n\n")[2], type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = _Message()
    return LockHeld(environment, one_line(said.who, 200), one_line(said.reason, 500), said.at_us, oid)
