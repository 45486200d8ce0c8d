"""Keys of two made-up people, with which approvals in the playground are signed: made once by ssh-keygen, without a passphrase."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct

from cockpit.playground.errors import PlaygroundError
from cockpit.playground.processes import write_atomic

_LIMIT_S = 20.0
ALLOWED_SIGNERS = "allowed_signers"


class Person(Struct, frozen=True):
    """Somebody made up. `key`: the file of the private key; the public one is beside it with `.pub`."""

    name: str
    email: str
    key: str


YOU = Person("You", "you@playground.invalid", "you")
SECOND = Person("Mira Voss (made up)", "mira.voss@playground.invalid", "mira")
PEOPLE = (YOU, SECOND)


def make_keys(directory: Path) -> bool:
    """Make what is missing there: ed25519 keys (mode 600) and git's allowed-signers file; what is there stays. False without ssh-keygen.

    Raises PlaygroundError where ssh-keygen fails or the directory cannot be written.
    """
    program = shutil.which("ssh-keygen")
    try:
        missing = [p for p in PEOPLE if not ((directory / p.key).is_file() and (directory / f"{p.key}.pub").is_file())]
        if missing and program is None:
            return False
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for person in missing:
            _make(str(program), directory, person)
        signers = "".join(_signer(directory, person) for person in PEOPLE)
        if _text(directory / ALLOWED_SIGNERS) != signers:
            write_atomic(directory / ALLOWED_SIGNERS, signers.encode())
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlaygroundError("No keys for the playground", str(error), "Free some space, or check the rights of its directory.") from error
    return True


def _make(program: str, directory: Path, person: Person) -> None:
    # made beside their place and moved in, the private key last: an interrupted making leaves no half of a pair behind
    with tempfile.TemporaryDirectory(dir=directory, prefix=".new-") as folder:
        made = Path(folder) / "key"
        command = [program, "-q", "-t", "ed25519", "-N", "", "-C", person.email, "-f", str(made)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False)
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip()
            raise PlaygroundError("No keys for the playground", f"ssh-keygen failed: {words}", "Is OpenSSH installed whole?")
        os.chmod(made, 0o600)
        made.with_suffix(".pub").replace(directory / f"{person.key}.pub")
        made.replace(directory / person.key)


def _signer(directory: Path, person: Person) -> str:
    kind, key = (directory / f"{person.key}.pub").read_text("ascii").split()[:2]
    return f'{person.email} namespaces="git" {kind} {key}\n'


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
