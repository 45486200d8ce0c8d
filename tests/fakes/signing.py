"""Real keys and a real repository for signed words: SSH keys by ssh-keygen, OpenPGP keys in a keyring of their own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from cockpit.connectors.git_signed import GitSigned, Signer
from cockpit.connectors.git_verify import Trust
from cockpit.domain.statements import Statement

AT_US = 1_790_000_000_000_000
DIGEST = "d" * 64


def run(
    *command: str, cwd: Path | None = None, feed: bytes = b"", check: bool = True, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """A process in a bare environment."""
    known = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    return subprocess.run(command, cwd=cwd, env={**known, **environment}, input=feed, capture_output=True, check=check)


def git(path: Path, *args: str, feed: bytes = b"", check: bool = True, **environment: str) -> str:
    """What git prints, run in `path`."""
    who = {
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@playground.invalid",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@x",
    }
    return run("git", *args, cwd=path, feed=feed, check=check, **{**who, **environment}).stdout.decode().strip()


class SshKey:
    """A key pair of one person; `line` is what stands of it in an allowed-signers file."""

    def __init__(self, folder: Path, name: str) -> None:
        self.who = f"{name}@playground.invalid"
        self.name = name.title()
        self.path = folder / f"key-{name}"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.path))
        self.public = self.path.with_suffix(".pub").read_text().strip()
        self.line = f"{self.who} {self.public}"

    def allowed(self, options: str = "") -> str:
        return f"{self.who} {options} {self.public}"

    @property
    def signer(self) -> Signer:
        return Signer(self.name, self.who, "ssh", str(self.path))


class Team:
    """A bare repository that is shared, clones of it, and the keys that the policy names."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.keys = {name: SshKey(folder, name) for name in names}
        self.allowed = folder / "allowed_signers"
        self.revoked = folder / "revoked"
        self.revoked.write_text("")
        self.allow(*(key.line for key in self.keys.values()))
        self.bare = folder / "shared.git"
        run("git", "init", "--quiet", "--bare", "-b", "main", str(self.bare))
        first = self.clone("first")
        (first / "file.txt").write_text("1")
        git(first, "add", "--all")
        git(first, "commit", "--quiet", "-m", "one")
        git(first, "tag", "v1.8.0")
        git(first, "commit", "--quiet", "--allow-empty", "-m", "two")
        git(first, "push", "--quiet", "origin", "main", "v1.8.0")
        self.commit = git(first, "rev-parse", "v1.8.0")
        self.later = git(first, "rev-parse", "main")

    def allow(self, *lines: str) -> None:
        """The allowed-signers file from now on."""
        self.allowed.write_text("".join(f"{line}\n" for line in lines))

    def clone(self, name: str) -> Path:
        path = self.folder / name
        run("git", "clone", "--quiet", str(self.bare), str(path))
        return path

    def trust(self, **more: object) -> Trust:
        return Trust(str(self.allowed), str(self.revoked), **more)  # type: ignore[arg-type]

    def at(self, clone: str, name: str, remote: str = "origin") -> GitSigned:
        """The signed words as the person `name` has them in that clone, made where it is not there yet."""
        path = self.folder / clone
        return GitSigned(path if path.exists() else self.clone(clone), self.keys[name].signer, self.trust(), remote)

    def word(self, name: str, kind: str = "approve", at_us: int = AT_US, **more: object) -> Statement:
        """What that person says of version 1.8.0 in production."""
        key = self.keys[name]
        known = {"version": "1.8.0", "commit": self.commit, "digest": DIGEST, "reason": "looks right", **more}
        return Statement(kind=kind, service="gateway", environment="production", who=key.who, name=key.name, at_us=at_us, **known)  # type: ignore[arg-type]


class Keyring:
    """A GnuPG home of its own, on a short path for its sockets. `close` ends its agent."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.chmod(0o700)

    def gpg(self, *args: str, feed: bytes = b"") -> str:
        return run(
            "gpg", "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", *args, feed=feed, GNUPGHOME=str(self.home)
        ).stdout.decode()

    def make(self, who: str, expires: str = "never", *options: str) -> str:
        """A new signing key; its fingerprint."""
        self.gpg(*options, "--quick-generate-key", f"Gil <{who}>", "ed25519", "sign", expires)
        listed = self.gpg("--list-keys", "--with-colons", who)
        found = re.search(r"^fpr:+([0-9A-F]{40}):", listed, re.MULTILINE)
        assert found is not None
        return found.group(1)

    def close(self) -> None:
        run("gpgconf", "--kill", "all", GNUPGHOME=str(self.home))
