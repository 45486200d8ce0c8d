"""Starts, stops and describes the playground as a whole. Blocking; call it in a worker thread. Raises only PlaygroundError.

All that is remembered stands in the playground's directory, so any process may ask: the window, the command line, a test.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from cockpit.playground import calendar_file, keys, processes, repository
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.settings_file import write_settings
from cockpit.playground.tags import SERVICES, read_tags, version_key

_CONTENTS = ("repo", "artifacts", "releases", "state", "logs", "run", "keys", "calendar.ics", "cockpit.toml")
_ASK_LIMIT_S = 2.0
_LOCK_LIMIT_S = 90.0
_STOP_ORDER = ("traffic", "ci", "deployer")
# a process that was started but has no mark yet is given this long before it counts as ended
_BIRTH_S = 1.0


class Plan(Struct, frozen=True):
    """What the playground consists of."""

    services: tuple[str, ...] = SERVICES
    environments: dict[str, int] = msgspec.field(default_factory=lambda: {"staging": 2, "production": 4})
    released: dict[str, str] = msgspec.field(default_factory=lambda: dict(repository.RELEASED))
    parts: tuple[str, ...] = ("deployer", "ci", "traffic")
    deadline_s: float = 60.0


class ProcessStatus(Struct, frozen=True):
    """One of the programs: `pid` and `port` 0 where it does not run; healthy means that it answers."""

    name: str
    pid: int = 0
    port: int = 0
    alive: bool = False
    healthy: bool = False


class NodeStatus(Struct, frozen=True):
    """One node and what it says; `healthy` False where it does not answer."""

    name: str
    service: str
    environment: str
    version: str
    url: str
    healthy: bool


class Status(Struct, frozen=True):
    """The whole playground. `problems` in words, empty when all is well; `started` False where nothing of it runs."""

    directory: str
    started: bool
    processes: tuple[ProcessStatus, ...]
    nodes: tuple[NodeStatus, ...]
    problems: tuple[str, ...]


def _silent(_: str) -> None:
    """Nobody wants to know."""


def start(directory: Path, progress: Callable[[str], None] = _silent, plan: Plan | None = None) -> Status:
    """Start what does not run, wait until all of it is healthy, and write cockpit.toml. Does nothing where all is well."""
    plan, directory = plan or Plan(), directory.resolve()
    deadline_s = time.monotonic() + plan.deadline_s
    with _alone(directory):
        progress("Making the repository")
        repository.make_repository(directory / "repo")
        signed = keys.make_keys(directory / "keys")
        calendar_file.make_calendar(directory)
        progress("Starting the deployer and the nodes")
        _start_parts(directory, plan, ("deployer",), deadline_s)
        _wait_for_nodes(directory, plan, progress, deadline_s)
        others = tuple(part for part in plan.parts if part != "deployer")
        progress(f"Starting {' and '.join(others)}" if others else "All nodes are up")
        _start_parts(directory, plan, others, deadline_s)
        urls = {part: f"http://127.0.0.1:{_status_of(directory, part).port}" for part in ("ci", "deployer")}
        write_settings(directory / "cockpit.toml", plan.services, tuple(plan.environments), urls, signed)
        progress("The playground is up")
        return status(directory, plan)


def stop(directory: Path) -> None:
    """End everything, nodes too: asked first, killed after some seconds. Nothing is left when this returns."""
    directory = directory.resolve()
    if not directory.exists():
        return
    with _alone(directory):
        for part in _STOP_ORDER:
            processes.end(_running(directory, part), 5.0)
        for _ in range(5):
            # again, until nothing is found: a process that was just being started has no mark at first
            left = processes.find(directory)
            if not left:
                return
            processes.end(left, 2.0)
        names = ", ".join(f"{p.part} ({p.pid})" for p in processes.find(directory))
        if names:
            raise PlaygroundError("The playground did not stop", f"still running: {names}", "End these processes by hand.")


def reset(directory: Path) -> None:
    """Stop everything and delete the playground's files; the next start makes them anew."""
    directory = directory.resolve()
    stop(directory)
    if not directory.exists():
        return
    with _alone(directory):
        for name in _CONTENTS:
            path = directory / name
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise PlaygroundError("The playground could not be deleted", str(error), "Check the rights of its directory.") from error


def status(directory: Path, plan: Plan | None = None) -> Status:
    """What runs and what does not. Asks every program and node; a second or two at most where some do not answer."""
    plan, directory = plan or Plan(), directory.resolve()
    programs = tuple(_status_of(directory, part) for part in plan.parts)
    nodes: tuple[NodeStatus, ...] = ()
    problems = [] if (directory / "repo" / ".git").is_dir() else ["the repository is gone"]
    for program in programs:
        if not program.healthy:
            problems.append(f"{program.name} {'does not answer' if program.alive else 'does not run'}")
        elif program.name == "deployer":
            nodes = _nodes(program.port, plan)
    ill = [n.name for n in nodes if not n.healthy]
    if ill:
        problems.append(f"{len(ill)} of {len(nodes)} nodes are not healthy: {', '.join(ill[:3])}{', ...' if len(ill) > 3 else ''}")
    started = any(p.alive for p in programs) or bool(processes.find(directory, "node:"))
    return Status(str(directory), started, programs, nodes, tuple(problems))


def regime(directory: Path) -> str:
    """The regime of the traffic now: calm, volatile or crash."""
    return _regime(directory.resolve())


def set_regime(directory: Path, wanted: str) -> str:
    """Switch the traffic while it runs; the regime that holds now."""
    from cockpit.playground.flows import REGIMES

    if wanted not in REGIMES:
        raise PlaygroundError("Unknown regime", f"there is no regime {wanted[:50]!r}", f"It is one of: {', '.join(REGIMES)}.")
    return _regime(directory.resolve(), {"regime": wanted})


def _regime(directory: Path, wanted: dict[str, str] | None = None) -> str:
    program = _status_of(directory, "traffic")
    answer = _ask(program.port, "/v1/regime", "PUT" if wanted else "GET", wanted) if program.healthy else None
    if answer is None:
        raise PlaygroundError("There is no traffic", "the playground's traffic does not run", "Start the playground.")
    return str(answer["regime"])


def drift(directory: Path, node: str, on: bool = True) -> str:
    """Start one node with another configuration and flag than the others of its place, or as they are again; what holds then, in words."""
    answer = _tell(directory.resolve(), f"/playground/nodes/{quote(node, safe='')}/drift", {"on": on})
    return f"{answer['node']} is set {'unlike' if answer['on'] else 'like'} the others"


def automatic(directory: Path, service: str, environment: str, on: bool) -> str:
    """Let the deployer deploy the newest version there by itself, or not; what holds then, in words."""
    path = f"/v1/environments/{quote(environment, safe='')}/services/{quote(service, safe='')}/automatic"
    answer = _tell(directory.resolve(), path, {"on": on})
    if not answer["on"]:
        return f"nothing is deployed to {environment} by itself"
    return f"deployed to {environment} by itself: {answer['automatic'] or 'nothing, every version is held'}"


def freeze(directory: Path, minutes: float) -> str:
    """Freeze production from now for so long in the venue's calendar; 0 ends it. What holds then, in words."""
    directory = directory.resolve()
    if not (directory / calendar_file.FILE).exists():
        raise PlaygroundError("There is no calendar", "the playground was never started here", "Start the playground.")
    try:
        return calendar_file.freeze(directory, minutes)
    except OSError as error:
        raise PlaygroundError("The calendar cannot be written", str(error), "Free some space, or check its rights.") from error


def _tell(directory: Path, path: str, value: dict[str, bool]) -> dict[str, Any]:
    """PUT to the deployer; PlaygroundError with its own words where it refuses."""
    program = _status_of(directory, "deployer")
    if not program.healthy:
        raise PlaygroundError("There is no deployer", "the playground's deployer does not run", "Start the playground.")
    status, answer = _answer(program.port, path, "PUT", value)
    if status != 200 or answer is None:
        words = answer or {}
        title, message = words.get("title", "The deployer did not answer"), words.get("message", "no answer came in time")
        raise PlaygroundError(title, message, words.get("hint", "Try again."))
    return answer


# --- the parts of the way


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One starter or stopper at a time, whatever process it is in."""
    import filelock

    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / ".lock", timeout=_LOCK_LIMIT_S)
        with lock:
            yield
    except filelock.Timeout as error:
        raise PlaygroundError("The playground is busy", "another program is starting or stopping it", "Try again in a minute.") from error
    except OSError as error:
        hint = "Choose another place with --data-dir, or free some space."
        raise PlaygroundError("The playground cannot be kept here", str(error.strerror or error), hint) from error


def _running(directory: Path, part: str) -> list[processes.Process]:
    return [p for p in processes.find(directory, part) if p.part == part]


def _arguments(directory: Path, part: str, plan: Plan) -> list[str]:
    common = ["--services", ",".join(plan.services)]
    if part == "deployer":
        common += [f"--environment={name}={count}" for name, count in plan.environments.items()]
        return common + [f"--released={service}={version}" for service, version in plan.released.items()]
    if part == "ci":
        tags = read_tags(directory / "repo", plan.services)
        old = [t for t in tags if t.service in plan.released and version_key(t.version) <= version_key(plan.released[t.service])]
        return common + [f"--skip={t.name}" for t in old]
    return []


def _start_parts(directory: Path, plan: Plan, parts: tuple[str, ...], deadline_s: float) -> None:
    """Start those that do not run; end and start those that run but do not answer."""
    begun = []
    for part in parts:
        if _status_of(directory, part).healthy:
            continue
        running = _running(directory, part)
        if running and _healthy_soon(directory, part, time.monotonic() + 5.0):
            continue
        processes.end(running, 2.0)
        begun.append(processes.start_module(part, _arguments(directory, part, plan), directory, loose=True))
    for child in begun:
        child.wait()
    for part in parts:
        if not _healthy_soon(directory, part, deadline_s):
            hint = f"logs/{part}.log in the playground's directory says more. Reset the playground if it stays so."
            raise PlaygroundError(f"The playground's {part} did not start", _last_words(directory, part), hint)


def _healthy_soon(directory: Path, part: str, deadline_s: float) -> bool:
    """Wait for it; False at the deadline, or as soon as its process is gone."""
    pause, birth_s = threading.Event(), time.monotonic() + _BIRTH_S
    while time.monotonic() < deadline_s:
        seen = _status_of(directory, part)
        if seen.healthy:
            return True
        if not seen.alive and time.monotonic() > birth_s:
            return False
        pause.wait(0.05)
    return False


def _last_words(directory: Path, part: str) -> str:
    try:
        lines = (directory / "logs" / f"{part}.log").read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:500] if lines else "it left no words"


def _status_of(directory: Path, part: str) -> ProcessStatus:
    said = processes.read_run_file(directory, part)
    pid, port = said.get("pid", 0), said.get("port", 0)
    process = processes.identify(pid, directory) if pid else None
    if process is None or process.part != part:
        other = _running(directory, part)
        return ProcessStatus(part, other[0].pid, alive=True) if other else ProcessStatus(part)
    return ProcessStatus(part, pid, port, True, _ask(port, "/v1/regime" if part == "traffic" else "/v1/health") is not None)


def _ask(port: int, path: str, method: str = "GET", value: Any = None) -> dict[str, Any] | None:
    """The JSON answer, or None where there is none."""
    status, answer = _answer(port, path, method, value)
    return answer if status == 200 else None


def _answer(port: int, path: str, method: str, value: Any) -> tuple[int, dict[str, Any] | None]:
    """Status and JSON answer; (0, None) where none came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_LIMIT_S)
    try:
        body = None if value is None else msgspec.json.encode(value)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, msgspec.json.decode(response.read(), type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return 0, None
    finally:
        connection.close()


def _nodes(port: int, plan: Plan) -> tuple[NodeStatus, ...]:
    nodes: list[NodeStatus] = []
    for environment in plan.environments:
        for service in plan.services:
            fleet = _ask(port, f"/v1/environments/{environment}/services/{service}") or {}
            said = fleet.get("nodes", [])
            nodes += [NodeStatus(n["name"], service, environment, n["version"], n["url"], n["healthy"] is True) for n in said]
    return tuple(nodes)


def _wait_for_nodes(directory: Path, plan: Plan, progress: Callable[[str], None], deadline_s: float) -> None:
    port = _status_of(directory, "deployer").port
    pause, told = threading.Event(), ""
    while True:
        ready = bool((_ask(port, "/v1/health") or {}).get("ready"))
        nodes = _nodes(port, plan) if ready else ()
        healthy = sum(n.healthy for n in nodes)
        if ready and healthy == len(nodes) > 0:
            return
        words = f"{healthy} of {len(nodes)} nodes are healthy" if ready else "Deploying the released versions to the nodes"
        if words != told:
            told = words
            progress(words)
        if time.monotonic() > deadline_s:
            raise PlaygroundError("The playground's nodes did not come up", words, "logs/nodes in the playground's directory says more.")
        pause.wait(0.1)
