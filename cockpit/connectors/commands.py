"""Tests and deployments by commands of a team's own, which print what the open interfaces (ci-v1, deployment-v1) answer.

Exit status: 0 done, 2 refused and nothing was done, 3 no such thing, 4 not allowed; with 2 to 4 it may print {"title", "message", "hint"}.
Any other end of a question is passing trouble; of a command that changes something, it leaves open what was done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TypeVar

import msgspec
from msgspec import Struct

from cockpit.connectors.ci_wire import parse_run, parse_runs
from cockpit.connectors.command_line import SETTINGS, Said, filled, found, run, seconds, split, usable
from cockpit.connectors.http_answers import decode
from cockpit.connectors.open_deployment_wire import parse_artifacts, parse_deployment, parse_deployments, parse_fleet, parse_started
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import Text
from cockpit.domain.checks import CheckRun
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Artifact, Deployment, Fleet

T = TypeVar("T")

MAX_LIMIT = 500
OUTPUT_BYTES = 16 * 1024 * 1024
LOG_CHARS = 200_000
REFUSED, NOT_FOUND, NOT_ALLOWED = 2, 3, 4
_STATED: dict[int, type[ConnectorError]] = {REFUSED: Rejected, NOT_FOUND: NotFound, NOT_ALLOWED: AuthFailed}

CI_COMMANDS: dict[str, tuple[str, ...]] = {
    "runs_command": ("service", "limit"),
    "run_command": ("run",),
    "log_command": ("run", "suite"),
    "rerun_command": ("run", "key"),
    "stop_command": ("run",),
}
DEPLOY_COMMANDS: dict[str, tuple[str, ...]] = {
    "fleet_command": ("service", "environment"),
    "artifacts_command": ("service",),
    "history_command": ("service", "environment", "limit"),
    "deploy_command": ("service", "environment", "version", "digest", "kind", "key", "nodes"),
    "find_command": ("key",),
    "deployment_command": ("deployment",),
    "abort_command": ("deployment",),
}
# what a command that changes something must be told, so that it cannot change anything else
_NEEDED = {"rerun_command": ("run", "key"), "stop_command": ("run",), "deploy_command": ("key",), "abort_command": ("deployment",)}


class ErrorWire(Struct):
    """What a command may print when it refuses."""

    title: Text = ""
    message: Text = ""
    hint: Text = ""


def parse_error(body: bytes) -> ErrorWire:
    """A refusal's words."""
    return decode(body, ErrorWire)


class _Commands:
    """The commands of one connection. Blocks at most `timeout_s` for each; from any thread."""

    def __init__(self, options: Mapping[str, str], known: Mapping[str, tuple[str, ...]]) -> None:
        self._commands = {name: split(name, options[name], places) for name, places in known.items() if options.get(name)}
        self._timeout_s = seconds("timeout_s", options.get("timeout_s") or "30")
        for name, needed in _NEEDED.items():
            for place in needed if name in self._commands else ():
                if not self.names(name, place):
                    raise ConfigError(f"{name}: does not say where the {place} goes.", hint=f"Put {{{place}}} into one of its arguments.")

    def names(self, command: str, place: str) -> bool:
        return any(f"{{{place}}}" in argument for argument in self._commands.get(command, ()))

    def has(self, command: str) -> bool:
        return command in self._commands

    def probe(self) -> Probe:
        programs = tuple(dict.fromkeys(arguments[0] for arguments in self._commands.values()))
        missing = [f"{one_line(program, 200)} is no program here" for program in programs if not found(program)]
        if missing:
            raise NotFound(f"A command cannot be started: {'; '.join(missing)}.", hint=SETTINGS)
        return Probe(reached=one_line(" and ".join(Path(program).name for program in programs), 200))

    def text(self, command: str, values: Mapping[str, str]) -> bytes:
        """What a question's command prints."""
        return self._answer(self._run(command, values, None))

    def find(self, command: str, values: Mapping[str, str], parse: Callable[[bytes], T]) -> T | None:
        """A question whose answer may be that there is none; a program that is not there has not said that."""
        said = self._run(command, values, None)
        return None if said.status == NOT_FOUND else _parsed(command, self._answer(said), parse)

    def _answer(self, said: Said) -> bytes:
        if said.too_long:
            raise BadPayload(f"{said.how}.", hint=f"It may print {OUTPUT_BYTES} bytes.")
        if said.status == 0:
            return said.printed
        raise _stated(said) or Unreachable(f"{said.how}.", hint="It may pass by itself; else start the command by hand.")

    def ask(self, command: str, values: Mapping[str, str], parse: Callable[[bytes], T]) -> T:
        """A question; asking again is safe."""
        return _parsed(command, self.text(command, values), parse)

    def change(self, command: str, values: Mapping[str, str], parse: Callable[[bytes], T], hint: str, given: bytes | None = None) -> T:
        """Run a command that changes something, once."""
        said = self._run(command, values, given)
        if said.status == 0 and not said.too_long:
            try:
                return parse(said.printed)
            except BadPayload as error:
                raise OutcomeUnknown(f"{said.name} ended well, but {error.message}", hint=hint) from None
        raise _stated(said) or OutcomeUnknown(f"{said.how}, and what it did is not known.", hint=hint)

    def _run(self, command: str, values: Mapping[str, str], given: bytes | None) -> Said:
        arguments = self._commands.get(command)
        if arguments is None:
            raise Rejected(f"This connection has no {command}.", hint="Name one in the settings.")
        # all nodes are meant where none is named, and then the whole argument is left out
        wanted = [argument for argument in arguments if "{nodes}" not in argument or values.get("nodes")]
        return run([filled(argument, values) for argument in wanted], self._timeout_s, OUTPUT_BYTES, given)


def _parsed(command: str, printed: bytes, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(printed)
    except BadPayload as error:
        raise BadPayload(f"{command}: {error.message}", hint=error.hint) from None


def _stated(said: Said) -> ConnectorError | None:
    """The error that its exit status stands for, in its own words."""
    kind = _STATED.get(said.status if said.status is not None and not said.too_long else 0)
    if kind is None:
        return None
    try:
        error = parse_error(said.printed)
    except BadPayload:
        error = ErrorWire()
    message = plain(error.message.strip(), 1000) or f"{said.how}."
    hint = plain(error.hint.strip(), 500) or "The command's own words say what to change."
    return kind(message, hint=hint, title=one_line(error.title, 100))


def _id(text: str, what: str) -> str:
    if not usable(text):
        raise NotFound(f"There is no {what} “{one_line(text, 100)}”.", hint="It may be gone already.")
    return text


def _limit(limit: int) -> str:
    return str(max(1, min(limit, MAX_LIMIT)))


class CommandCi:
    """CiSystem by commands. Blocks; from any thread; ConnectorErrors only. ConfigError for commands that are none."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._commands = _Commands(options, CI_COMMANDS)

    def close(self) -> None:
        """Nothing is held between calls."""

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest runs first, as the command lists them."""
        values = {"service": service, "limit": _limit(limit)}
        return self._commands.ask("runs_command", values, lambda body: parse_runs(body, service))[:limit]

    def run(self, run_id: str) -> CheckRun:
        """One run with all tests."""
        return self._commands.ask("run_command", {"run": _id(run_id, "run")}, lambda body: parse_run(body, run_id))

    def log(self, run_id: str, suite: str) -> str:
        """The end of a suite's log, untrusted text; NotFound where no command tells it."""
        values = {"run": _id(run_id, "run"), "suite": _id(suite, "suite")}
        if not self._commands.has("log_command"):
            raise NotFound("This connection has no log_command.", hint="Name one in the settings.")
        return plain(self._commands.text("log_command", values).decode("utf-8", "replace")[-LOG_CHARS:])

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """The run that the command started with this key; that it starts it once only is the command's part."""
        values = {"run": _id(run_id, "run"), "key": key}
        return self._commands.change("rerun_command", values, parse_run, "The same again, with the same key, settles it.")

    def stop(self, run_id: str) -> CheckRun:
        """The run, stopped."""
        values = {"run": _id(run_id, "run")}
        return self._commands.change("stop_command", values, lambda body: parse_run(body, run_id), "Look at the run again in a moment.")

    def probe(self) -> Probe:
        """Whether the programs are there; none is started."""
        return self._commands.probe()


class CommandDeploy:
    """DeploymentApi by commands. Blocks; from any thread; ConnectorErrors only. ConfigError for commands that are none.

    `deploy_command` gets the whole request, with its key, as JSON on its standard input too: free text is no argument.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self._commands = _Commands(options, DEPLOY_COMMANDS)
        self._deploying = Lock()

    def close(self) -> None:
        """Nothing is held between calls."""

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every node, and the deployment under way."""
        values = {"service": _id(service, "service"), "environment": _id(environment, "environment")}
        return self._commands.ask("fleet_command", values, lambda body: parse_fleet(body, service, environment))

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What can be deployed, newest first."""
        return self._commands.ask("artifacts_command", {"service": _id(service, "service")}, lambda body: parse_artifacts(body, service))

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Past and current deployments, newest first."""
        values = {"service": _id(service, "service"), "environment": _id(environment, "environment"), "limit": _limit(limit)}
        return self._commands.ask("history_command", values, lambda body: parse_deployments(body, service, environment))[:limit]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a deployment; the command runs once, and not at all where the key is known already."""
        nodes = ",".join(request.nodes)
        if nodes and not self._commands.names("deploy_command", "nodes"):
            raise NotFound(
                "The deploy_command takes no {nodes}.", hint="Deploy to all nodes, without a strategy by node.", title="Not offered"
            )
        with self._deploying:
            known = self.find(key)
            if known is not None:
                return _same(known, request)
            values = {name: getattr(request, name) for name in ("service", "environment", "version", "digest", "kind")}
            given = json.dumps(msgspec.to_builtins(request) | {"key": key}).encode()
            hint = "Ask whether the key is known there before anything is deployed again."

            def parse(body: bytes) -> Deployment:
                return parse_started(body, request, key)

            return self._commands.change("deploy_command", values | {"key": key, "nodes": nodes}, parse, hint, given)

    def find(self, key: str) -> Deployment | None:
        """The deployment that `key` started, None where the command says that there is none."""
        if not usable(key):
            raise Rejected(f"“{one_line(key, 100)}” cannot be a key.", hint="Give it printable characters, no hyphen first.")
        return self._commands.find("find_command", {"key": key}, lambda body: parse_deployment(body, key=key))

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, node by node."""
        values = {"deployment": _id(deployment_id, "deployment")}
        return self._commands.ask("deployment_command", values, lambda body: parse_deployment(body, deployment_id))

    def abort(self, deployment_id: str) -> Deployment:
        """Stop after the node under way."""
        values = {"deployment": _id(deployment_id, "deployment")}
        hint = "Look at the deployment again in a moment."
        return self._commands.change("abort_command", values, lambda body: parse_deployment(body, deployment_id), hint)

    def probe(self) -> Probe:
        """Whether the programs are there; none is started."""
        return self._commands.probe()


def _same(known: Deployment, request: DeployRequest) -> Deployment:
    for name in ("service", "environment", "digest", "kind"):
        if getattr(known, name) != getattr(request, name):
            raise Rejected("This key started another deployment.", hint="Ask anew, with a key of its own.")
    return known
