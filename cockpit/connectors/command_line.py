"""Commands of a team's own: split once into arguments, filled in, and run with an end in time and size. Never a shell's line."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from msgspec import Struct

from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import ConfigError, NotFound, Rejected

MAX_TIMEOUT_S = 600.0
SETTINGS = "Correct the commands in the settings."
_WORDS_BYTES = 4000
_LOOK_S = 0.25
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")


class Said(Struct, frozen=True):
    """How a command ended: its exit status (below 0: the signal; None: time was over, and it was killed), and what it wrote.

    `printed` is its standard output; `words` one line of what it wrote beside it; `too_long`: it printed more than it may, and was killed.
    """

    name: str
    status: int | None
    printed: bytes
    words: str
    too_long: bool = False

    @property
    def how(self) -> str:
        """In words, with those of the command."""
        if self.too_long:
            how = "printed more than it may and was killed"
        elif self.status is None:
            how = "did not end in time and was killed"
        elif self.status < 0:
            how = f"was ended by signal {-self.status}"
        else:
            how = f"ended with status {self.status}"
        return f"{self.name} {how}" + (f": {self.words}" if self.words else "")


def split(field: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a command from the settings, where `known` can be filled in; ConfigError for a command that is none."""
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{field}: {error}.", hint="Close every quotation mark.") from None
    if not arguments or "\0" in text:
        raise ConfigError(f"{field}: names no program.", hint=SETTINGS)
    if "/" in arguments[0] and not arguments[0].startswith("/"):
        raise ConfigError(
            f"{field}: {plain(arguments[0], 200)} is no absolute path.", hint="Name the program by its whole path, or as on PATH."
        )
    if _PLACEHOLDER.search(arguments[0]):
        raise ConfigError(f"{field}: the program itself cannot be filled in.", hint="Name it, and fill in its arguments.")
    for argument in arguments:
        for name in _PLACEHOLDER.findall(argument):
            if name not in known:
                shown = ", ".join(f"{{{word}}}" for word in known)
                raise ConfigError(f"{field}: nothing fills in {{{plain(name, 50)}}}.", hint=f"What can be filled in: {shown}.")
    return arguments


def seconds(field: str, text: str) -> float:
    """A time limit from the settings."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_TIMEOUT_S:
        raise ConfigError(f"{field}: must be a number of seconds up to {MAX_TIMEOUT_S:g}.", hint=SETTINGS)
    return value


def filled(argument: str, values: Mapping[str, str]) -> str:
    """The argument with its placeholders replaced; a value that could be taken for an option, or holds a control character, is refused."""

    def value(found: re.Match[str]) -> str:
        text = values[found.group(1)]
        if not usable(text):
            raise Rejected(f"“{one_line(text, 100)}” cannot be given to a command.", hint="Use names that do not begin with a hyphen.")
        return text

    # at once: what was filled in is never read as a placeholder
    return _PLACEHOLDER.sub(value, argument)


def usable(text: str) -> bool:
    """Whether a command can be given this as an argument, without taking it for an option."""
    return bool(text) and not text.startswith("-") and text.isprintable()


def found(program: str) -> bool:
    """Whether the program is there."""
    return shutil.which(program) is not None


def run(arguments: list[str], timeout_s: float, output_bytes: int, given: bytes | None = None) -> Said:
    """Run it to its end, at most `timeout_s`, with `given` on its standard input; NotFound where it cannot be started.

    When the time is over, or it prints more than `output_bytes`, it is killed with all that it started.
    """
    name = one_line(Path(arguments[0]).name, 100)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as into:
        into.write(given or b"")
        into.seek(0)
        try:
            child = subprocess.Popen(arguments, stdin=into, stdout=out, stderr=err, start_new_session=True, cwd="/")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise NotFound(f"{name} could not be started: {why}.", hint=SETTINGS) from None
        try:
            status = _waited(child, (out, err), time.monotonic() + timeout_s, output_bytes)
        finally:
            _end(child)
        printed, words = _head(out, output_bytes + 1), one_line(_head(err, _WORDS_BYTES).decode("utf-8", "replace"), 500)
        too_long = len(printed) > output_bytes or _size(err) > output_bytes
        return Said(name, status, printed, words, too_long)


def _waited(child: subprocess.Popen[bytes], files: tuple[IO[bytes], ...], deadline_s: float, output_bytes: int) -> int | None:
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            return child.wait(min(_LOOK_S, left_s))
        except subprocess.TimeoutExpired:
            if any(_size(file) > output_bytes for file in files):  # the disk is not endless either
                return None
    return child.poll()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill its process group, which is named after it: the leader is not waited for before, so that the number is nobody else's."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _head(file: IO[bytes], size: int) -> bytes:
    file.seek(0)
    return file.read(size)
