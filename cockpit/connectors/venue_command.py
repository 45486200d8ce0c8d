"""A venue's trading mode through two commands of the team's own, such as a script around the matching engine's console.

A command is a list of arguments, split once, and never a shell's line: what is filled in stays inside its argument.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import BadPayload, ConfigError, NotFound, OutcomeUnknown, Rejected, Unreachable

MAX_TIMEOUT_S = 600.0
OUTPUT_BYTES = 1024 * 1024
_WORDS_BYTES = 4000
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_NAMES = ("service", "environment")
_SETTINGS = "Correct the commands in the settings."


class _Said(msgspec.Struct):
    """What a command prints."""

    mode: str


class VenueCommand:
    """Venue by two commands that print {"mode": "..."}. Blocks at most `timeout_s` seconds; one call at a time; ConnectorErrors only.

    The command gets no standard input; with all that it started it is killed when the time is over. ConfigError for a command that is none.
    """

    def __init__(self, mode_command: str, set_command: str, timeout_s: str = "15") -> None:
        self._tell = _split("mode_command", mode_command, _NAMES)
        self._set = _split("set_command", set_command, (*_NAMES, "mode"))
        if "{mode}" not in " ".join(self._set):
            raise ConfigError("set_command: does not say where the mode goes.", hint="Put {mode} into one of its arguments.")
        try:
            self._timeout_s = float(timeout_s)
        except ValueError:
            self._timeout_s = 0.0
        if not 0 < self._timeout_s <= MAX_TIMEOUT_S:
            raise ConfigError(f"timeout_s: must be a number of seconds up to {MAX_TIMEOUT_S:g}.", hint=_SETTINGS)

    def close(self) -> None:
        """Nothing is held between calls."""

    def mode(self, service: str, environment: str) -> str:
        """The mode now, as the command says it."""
        return self._ask(self._tell, {"service": service, "environment": environment}, changes=False)

    def set_mode(self, service: str, environment: str, mode: str) -> str:
        """Switch it and answer what the command says then. OutcomeUnknown where it began and its end is not known."""
        return self._ask(self._set, {"service": service, "environment": environment, "mode": mode}, changes=True)

    def probe(self) -> Probe:
        """Whether both programs are there; neither is started."""
        missing = tuple(f"{program} is no program here" for program in dict.fromkeys((self._tell[0], self._set[0])) if not _found(program))
        if missing:
            raise NotFound(f"A venue's command cannot be started: {'; '.join(missing)}.", hint=_SETTINGS)
        return Probe(reached=one_line(f"{Path(self._tell[0]).name} and {Path(self._set[0]).name}", 200))

    def _ask(self, command: tuple[str, ...], values: dict[str, str], changes: bool) -> str:
        arguments = [_filled(argument, values) for argument in command]
        name = one_line(Path(arguments[0]).name, 100)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            status = _run(arguments, name, out, err, self._timeout_s)
            printed, words = _head(out, OUTPUT_BYTES + 1), one_line(_head(err, _WORDS_BYTES).decode("utf-8", "replace"), 500)
        if status is None:
            what = f"{name} did not end within {self._timeout_s:g} s and was killed"
            hint = "Ask for the mode, then decide." if changes else "Is the venue reachable from here?"
            raise (OutcomeUnknown if changes else Unreachable)(f"{what}{f': {words}' if words else ''}.", hint=hint)
        if status:
            how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
            if changes and status < 0:
                raise OutcomeUnknown(f"{name} {how}{f': {words}' if words else ''}.", hint="Ask for the mode, then decide.")
            raise Rejected(f"{name} {how}{f': {words}' if words else ''}.", hint="The command's own words say what to change.")
        try:
            return _mode(printed, name)
        except BadPayload as error:
            if not changes:
                raise
            raise OutcomeUnknown(f"It ended well, but {error.message}", hint="Ask for the mode, then decide.") from None


def _split(field: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{field}: {error}.", hint="Close every quotation mark.") from None
    if not arguments or "\0" in text:
        raise ConfigError(f"{field}: names no program.", hint=_SETTINGS)
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


def _filled(argument: str, values: dict[str, str]) -> str:
    """The argument with its placeholders replaced; a value that could be taken for an option, or holds a control character, is refused."""

    def value(found: re.Match[str]) -> str:
        text = values[found.group(1)]
        if not text or text.startswith("-") or not text.isprintable():
            raise Rejected(f"“{one_line(text, 100)}” cannot be given to a command.", hint="Use names that do not begin with a hyphen.")
        return text

    # at once: what was filled in is never read as a placeholder
    return _PLACEHOLDER.sub(value, argument)


def _run(arguments: list[str], name: str, out: IO[bytes], err: IO[bytes], timeout_s: float) -> int | None:
    """Its exit status; None where its time was over and it was killed with all that it started."""
    try:
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, cwd="/")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotFound(f"{name} could not be started: {why}.", hint=_SETTINGS) from None
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill its process group, which is named after it: the leader is not waited for before, so that the number is nobody else's."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _head(file: IO[bytes], size: int) -> bytes:
    file.seek(0)
    return file.read(size)


def _mode(printed: bytes, name: str) -> str:
    hint = 'It must print {"mode": "open"} and nothing else on its standard output.'
    if len(printed) > OUTPUT_BYTES:
        raise BadPayload(f"{name} printed more than {OUTPUT_BYTES} bytes.", hint=hint)
    try:
        mode = one_line(msgspec.json.decode(printed, type=_Said).mode, 100)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        shown = one_line(printed[:200].decode("utf-8", "replace"), 100)
        raise BadPayload(f"{name} printed no mode: “{shown}”.", hint=hint) from None
    if not mode:
        raise BadPayload(f"{name} printed an empty mode.", hint=hint)
    return mode


def _found(program: str) -> bool:
    return shutil.which(program) is not None
