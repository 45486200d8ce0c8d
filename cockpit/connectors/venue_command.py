"""A venue's trading mode through two commands of the team's own, such as a script around the matching engine's console.

A command is a list of arguments, split once, and never a shell's line: what is filled in stays inside its argument.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from cockpit.connectors.command_line import SETTINGS, Said, filled, found, run, seconds, split
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import BadPayload, ConfigError, NotFound, OutcomeUnknown, Rejected, Unreachable

OUTPUT_BYTES = 1024 * 1024
_NAMES = ("service", "environment")


class _Said(msgspec.Struct):
    """What a command prints."""

    mode: str


class VenueCommand:
    """Venue by two commands that print {"mode": "..."}. Blocks at most `timeout_s` seconds; one call at a time; ConnectorErrors only.

    The command gets no standard input; with all that it started it is killed when the time is over. ConfigError for a command that is none.
    """

    def __init__(self, mode_command: str, set_command: str, timeout_s: str = "15") -> None:
        self._tell = split("mode_command", mode_command, _NAMES)
        self._set = split("set_command", set_command, (*_NAMES, "mode"))
        if "{mode}" not in " ".join(self._set):
            raise ConfigError("set_command: does not say where the mode goes.", hint="Put {mode} into one of its arguments.")
        self._timeout_s = seconds("timeout_s", timeout_s)

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
        missing = tuple(f"{program} is no program here" for program in dict.fromkeys((self._tell[0], self._set[0])) if not found(program))
        if missing:
            raise NotFound(f"A venue's command cannot be started: {'; '.join(missing)}.", hint=SETTINGS)
        return Probe(reached=one_line(f"{Path(self._tell[0]).name} and {Path(self._set[0]).name}", 200))

    def _ask(self, command: tuple[str, ...], values: dict[str, str], changes: bool) -> str:
        said = run([filled(argument, values) for argument in command], self._timeout_s, OUTPUT_BYTES)
        words = f": {said.words}" if said.words else ""
        if said.status is None and not said.too_long:
            what = f"{said.name} did not end within {self._timeout_s:g} s and was killed"
            hint = "Ask for the mode, then decide." if changes else "Is the venue reachable from here?"
            raise (OutcomeUnknown if changes else Unreachable)(f"{what}{words}.", hint=hint)
        if said.status:
            if changes and said.status < 0:
                raise OutcomeUnknown(f"{said.how}.", hint="Ask for the mode, then decide.")
            raise Rejected(f"{said.how}.", hint="The command's own words say what to change.")
        try:
            return _mode(said)
        except BadPayload as error:
            if not changes:
                raise
            but = "It ended well, but " if said.status == 0 else ""
            raise OutcomeUnknown(but + error.message, hint="Ask for the mode, then decide.") from None


def _mode(said: Said) -> str:
    hint = 'It must print {"mode": "open"} and nothing else on its standard output.'
    printed, name = said.printed, said.name
    if said.too_long:
        raise BadPayload(f"{name} printed more than {OUTPUT_BYTES} bytes.", hint=hint)
    try:
        mode = one_line(msgspec.json.decode(printed, type=_Said).mode, 100)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        shown = one_line(printed[:200].decode("utf-8", "replace"), 100)
        raise BadPayload(f"{name} printed no mode: “{shown}”.", hint=hint) from None
    if not mode:
        raise BadPayload(f"{name} printed an empty mode.", hint=hint)
    return mode
