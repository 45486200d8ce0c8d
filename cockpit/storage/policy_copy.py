"""The policy that a person accepted, kept in the data directory: its text, where it came from, and the files of keys that it names."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from cockpit.domain.errors import StorageError

# what a policy may name and cannot do without: copied with it, for who may sign is part of what was accepted
KEY_FILES: Final = ("allowed_signers", "revoked_keys")
_HEAD: Final = "# accepted: "


class Policy(Struct, frozen=True):
    """A policy's text as it stood in one place at one moment.

    `origin`: the repository, branch and file; "" = this machine's own cockpit.toml. `commit` is "" there. `files`: the content of KEY_FILES
    that it names; bytes that are no UTF-8 as surrogates.
    """

    origin: str
    commit: str
    text: str
    files: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of the text, as `sha256sum` tells it."""
        from hashlib import sha256

        return sha256(self.text.encode("utf-8", "surrogateescape")).hexdigest()


class Accepted(Struct, frozen=True):
    """The policy in force: who took it into use, and when (UTC microseconds)."""

    policy: Policy
    who: str
    at_us: int


class PolicyCopy:
    """`accepted.toml` (a line about it, then the text) with the files of keys, and `refused.json`. From any thread; atomic writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "accepted.toml"
        self._refused = directory / "refused.json"

    def key_file(self, name: str) -> Path:
        """Where the accepted copy of one of KEY_FILES stands."""
        return self._directory / name

    def read(self) -> Accepted | None:
        """What was accepted; None where nothing was. StorageError where the copy is damaged or cannot be read."""
        try:
            content = self._path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror or error}") from None
        import json

        head, _, text = content.partition("\n")
        try:
            about: dict[str, Any] = json.loads(head.removeprefix(_HEAD)) if head.startswith(_HEAD) else {}
            policy = Policy(about["origin"], about["commit"], text, msgspec.convert(about["files"], dict[str, str]))
            accepted = Accepted(policy, str(about["who"]), int(about["at_us"]))
        except (ValueError, TypeError, KeyError, msgspec.ValidationError):
            raise self._unusable("is damaged") from None
        if policy.digest != about.get("digest"):
            raise self._unusable("was changed by hand")
        return accepted

    def write(self, accepted: Accepted) -> None:
        """Keep it, on the disk when this returns. StorageError where it could not be."""
        import json

        policy = accepted.policy
        about = {"origin": policy.origin, "commit": policy.commit, "digest": policy.digest, "who": accepted.who, "at_us": accepted.at_us}
        head = json.dumps({**about, "files": policy.files}, sort_keys=True)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._write(self._path, f"{_HEAD}{head}\n{policy.text}")
            self.place_keys(policy)
        except OSError as error:
            raise self._unusable(f"could not be written: {error.strerror or error}") from error

    def place_keys(self, policy: Policy) -> None:
        """Make the files of keys beside it what was accepted, for git to read. OSErrors come through."""
        for name in KEY_FILES:
            path, wanted = self.key_file(name), policy.files.get(name)
            if wanted is None:
                path.unlink(missing_ok=True)
            elif _content(path) != wanted:
                self._write(path, wanted)

    def refused(self) -> dict[str, Any]:
        """What was refused last: {"commit", "mark"}; {} for nothing."""
        import json

        try:
            found = json.loads(self._refused.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def refuse(self, commit: str, mark: str) -> None:
        """Remember what was refused. StorageError where it could not be."""
        import json

        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._write(self._refused, json.dumps({"commit": commit, "mark": mark}))
        except OSError as error:
            raise self._unusable(f"could not be written: {error.strerror or error}") from error

    def forget_refusal(self) -> None:
        """Something else came since: the same again is a new question."""
        with contextlib.suppress(OSError):
            self._refused.unlink(missing_ok=True)

    def _write(self, path: Path, text: str) -> None:
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with open(aside, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unusable(self, words: str) -> StorageError:
        return StorageError(
            f"The accepted copy of the policy ({self._path}) {words}.",
            hint="Look at the policy (`release-cockpit policy show`) and accept it again.",
            title="The accepted policy",
        )


def _content(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return None
