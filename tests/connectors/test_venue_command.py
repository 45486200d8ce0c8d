"""The trading mode by commands: real programs that fail, hang, lie, and work."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cockpit.connectors.ports import Venue
from cockpit.connectors.registry import create
from cockpit.connectors.venue_command import VenueCommand
from cockpit.domain.errors import BadPayload, ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable

Eventually = Callable[..., Any]
CONSOLE = """import json, pathlib, sys
state, words = pathlib.Path(sys.argv[1]), sys.argv[2:]
if words[0] == "set":
    state.write_text(words[-1])
(state.parent / "asked").write_text(json.dumps(words))
print(json.dumps({"mode": state.read_text(), "more": 1}))
"""


def command(folder: Path, code: str, *arguments: str) -> str:
    """A command line that runs this Python code with these arguments."""
    path = folder / f"program-{abs(hash(code))}.py"
    path.write_text(code)
    return shlex.join([sys.executable, "-I", "-S", str(path), *arguments])


@pytest.fixture
def venue(tmp_path: Path) -> VenueCommand:
    state = tmp_path / "state of the venue"
    state.write_text("open")
    tell = command(tmp_path, CONSOLE, str(state), "tell", "--service={service}", "{environment}")
    return VenueCommand(tell, command(tmp_path, CONSOLE, str(state), "set", "{service} in {environment}", "{mode}"), "20")


def failing(folder: Path, code: str, timeout_s: str = "20") -> VenueCommand:
    return VenueCommand(command(folder, code), command(folder, code, "{mode}"), timeout_s)


# -- settings --


@pytest.mark.parametrize(
    ("tell", "set_", "timeout_s", "words"),
    [
        ("", "x {mode}", "15", "names no program"),
        ("x 'open", "x {mode}", "15", "No closing quotation"),
        ("x", "x", "15", "where the mode goes"),
        ("x {mode}", "x {mode}", "15", "fills in {mode}"),
        ("x {servise}", "x {mode}", "15", "fills in {servise}"),
        ("{service}", "x {mode}", "15", "the program itself"),
        ("./x", "x {mode}", "15", "absolute"),
        ("x\0y", "x {mode}", "15", "names no program"),
        *(("x", "x {mode}", wrong, "timeout_s") for wrong in ("soon", "0", "-1", "nan", "inf", "601")),
    ],
)
def test_commands_that_are_none_are_refused_at_creation(tell: str, set_: str, timeout_s: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        VenueCommand(tell, set_, timeout_s)
    assert words in caught.value.message
    assert caught.value.hint


def test_the_registry_makes_it() -> None:
    made = create("venue-command", {"mode_command": "true", "set_command": "true {mode}"}, str)
    assert isinstance(made, Venue)
    assert made.probe().reached == "true and true"
    with pytest.raises(ConfigError):
        create("venue-command", {"mode_command": "true"}, str)


# -- failures --


@pytest.mark.parametrize("value", ["-rf", "--help", "", "a\nb", "a\0b", "a\x1bb"])
def test_names_from_outside_are_never_options(venue: VenueCommand, tmp_path: Path, value: str) -> None:
    for ask in (lambda: venue.mode(value, "e"), lambda: venue.mode("s", value), lambda: venue.set_mode("s", "e", value)):
        with pytest.raises(Rejected) as caught:
            ask()
        assert caught.value.hint
    assert not (tmp_path / "asked").exists()


def test_program_that_is_not_there(tmp_path: Path) -> None:
    venue = VenueCommand("no-such-program", f"{tmp_path} {{mode}}")
    for ask in (venue.probe, lambda: venue.mode("s", "e"), lambda: venue.set_mode("s", "e", "open")):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.hint


@pytest.mark.parametrize(
    ("code", "told", "when_set", "words"),
    [
        ("import sys; sys.exit('no such\x1b[1m market')", Rejected, Rejected, "ended with status 1: no such\ufffd[1m market"),
        ("import os; os.kill(os.getpid(), 9)", Rejected, OutcomeUnknown, "signal 9"),
        ("print('open')", BadPayload, OutcomeUnknown, "“open”"),
        ("pass", BadPayload, OutcomeUnknown, "no mode"),
        ("print('{\"mode\": 7}')", BadPayload, OutcomeUnknown, "no mode"),
        ('print(\'{"mode": ""}\')', BadPayload, OutcomeUnknown, "empty mode"),
        ("print('[' * 100000)", BadPayload, OutcomeUnknown, "no mode"),
        ("print('x' * 2000000)", BadPayload, OutcomeUnknown, "more than"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, code: str, told: type[ConnectorError], when_set: type[ConnectorError], words: str) -> None:
    venue = failing(tmp_path, code)
    with pytest.raises(told) as caught:
        venue.mode("s", "e")
    assert words in caught.value.message
    assert caught.value.hint
    with pytest.raises(when_set) as caught:
        venue.set_mode("s", "e", "open")
    assert words in caught.value.message


def test_hanging_command_is_killed_with_all_that_it_started(tmp_path: Path, eventually: Eventually) -> None:
    code = f"""import pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
print('{{"mode": "open"}}', flush=True)
signal.pause()
"""
    venue = failing(tmp_path, code, "1.5")
    with pytest.raises(Unreachable) as caught:
        venue.mode("s", "e")
    assert "did not end within 1.5 s and was killed" in caught.value.message
    pid = int((tmp_path / "child").read_text())
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, message="the child is gone")
    with pytest.raises(OutcomeUnknown) as unknown:
        venue.set_mode("s", "e", "open")
    assert unknown.value.hint == "Ask for the mode, then decide."


# -- the ordinary way --


def test_told_and_switched(venue: VenueCommand, tmp_path: Path) -> None:
    assert venue.mode("gateway", "production") == "open"
    assert json.loads((tmp_path / "asked").read_text()) == ["tell", "--service=gateway", "production"]
    for _ in range(2):
        assert venue.set_mode("gateway", "production", "cancel-only") == "cancel-only"
    assert venue.mode("gateway", "production") == "cancel-only"
    venue.close()


def test_what_is_filled_in_stays_inside_its_argument(venue: VenueCommand, tmp_path: Path) -> None:
    hostile = "a; touch pwned $(touch pwned) {mode} 'x"
    assert venue.set_mode(hostile, "{service}", "post-only") == "post-only"
    assert json.loads((tmp_path / "asked").read_text()) == ["set", f"{hostile} in {{service}}", "post-only"]
    assert not list(tmp_path.glob("pwned")) + [p for p in os.listdir("/") if p == "pwned"]
