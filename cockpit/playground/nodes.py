"""The nodes of the playground: one process each, started from an unpacked artifact, asked over HTTP what it runs, kept running."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cockpit.playground import processes
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.processes import Process, RecordLog
from cockpit.playground.tags import SERVICES, Artifact, Artifacts
from cockpit.playground.wishes import MODES, Wishes

_ASK_LIMIT_S = 1.0
_CACHE_S = 0.8
_CHECK_EVERY_S = 0.03
_MAX_BACKOFF_S = 30.0
_LOG_TAIL = 4000
# what operations set in an environment unlike elsewhere
SETTINGS = {"staging": {"flag.log_refusals": "on"}}


class Layout(Struct, frozen=True):
    """Which services there are, and how many nodes each has in each environment."""

    services: tuple[str, ...] = SERVICES
    environments: dict[str, int] = msgspec.field(default_factory=lambda: {"staging": 2, "production": 4})


class Answer(Struct, frozen=True):
    """What a node says of itself; all empty and not healthy where it does not answer."""

    name: str
    url: str
    version: str = ""
    commit: str = ""
    digest: str = ""
    healthy: bool = False
    config: str = ""
    flags: tuple[str, ...] = ()
    mode: str = ""


class Node:
    """One place for a process. `wanted` is the artifact that should run there. The lock is held while its process is changed."""

    def __init__(self, name: str, service: str, environment: str, port: int) -> None:
        self.name = name
        self.service = service
        self.environment = environment
        self.port = port
        self.wanted: Artifact | None = None
        self.process: Process | None = None
        self.child: subprocess.Popen[bytes] | None = None
        self.lock = threading.RLock()
        self.starts_failed = 0
        self.next_start_s = 0.0
        self.asked: tuple[float, Answer] | None = None
        self.changes = 0
        self.log_from = 0

    def changed(self) -> None:
        """What it said counts no more, nor what it is being asked now."""
        self.changes += 1
        self.asked = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        """Call it under the lock: it also takes leave of a child that ended."""
        if self.child is not None and self.child.poll() is not None:
            self.child = None
        return self.process is not None and processes.alive(self.process)


class Nodes:
    """All nodes of the playground. Ports and wanted artifacts are kept in the log; running processes are found again by their marks.

    `log_lock` guards the log, which the owner uses too.
    """

    def __init__(self, directory: Path, layout: Layout, log: RecordLog, log_lock: threading.RLock) -> None:
        self._directory = directory
        self._log = log
        self._log_lock = log_lock
        self.artifacts = Artifacts(directory, log, log_lock)
        self.wishes = Wishes(log, log_lock)
        self.all: dict[str, Node] = {}
        for environment, count in layout.environments.items():
            for service in layout.services:
                for number in range(1, count + 1):
                    self._add(f"{service}-{environment}-{number}", service, environment)
        self._adopt()

    def _add(self, name: str, service: str, environment: str) -> None:
        record = self._log.get("node").get(name, {})
        port = record.get("port") or processes.choose_port(n.port for n in self.all.values())
        node = Node(name, service, environment, port)
        if record.get("wanted"):
            node.wanted = Artifact(**record["wanted"])
        self.all[name] = node
        if not record:
            self._keep(node)

    def _keep(self, node: Node) -> None:
        with self._log_lock:
            self._log.put("node", node.name, {"port": node.port, "wanted": node.wanted}, durable=False)

    def _adopt(self) -> None:
        """Take running processes over from the deployer before this one; a second process of the same node is ended."""
        surplus = []
        for process in processes.find(self._directory, "node:"):
            node = self.all.get(process.part.removeprefix("node:"))
            fits = node is not None and process.environ.get("PORT") == str(node.port)
            if node is not None and fits and node.process is None:
                node.process = process
            else:
                surplus.append(process)
        processes.end(surplus, 1.0)

    def of(self, service: str, environment: str) -> list[Node]:
        return [n for n in self.all.values() if (n.service, n.environment) == (service, environment)]

    def start(self, node: Node, artifact: Artifact) -> None:
        """Make the node run this artifact and keep it so; what ran there before must have been stopped."""
        with node.lock:
            place = self.artifacts.release(artifact)
            node.wanted = artifact
            node.changed()
            if not processes.port_free(node.port):
                node.port = processes.choose_port(n.port for n in self.all.values())
            self._keep(node)
            variables = {
                "PORT": str(node.port),
                "NODE_NAME": node.name,
                "ENVIRONMENT": node.environment,
                "RELEASE_VERSION": artifact.version,
                "RELEASE_COMMIT": artifact.commit,
                "RELEASE_DIGEST": artifact.digest,
                "MODE": self.wishes.mode(node.service, node.environment),
                "SETTINGS": self._settings(node),
            }
            # compiled files stay outside, so that a release holds exactly what its archive holds
            cache = f"pycache_prefix={self._directory / 'state' / 'pycache'}"
            command = [sys.executable, "-I", "-S", "-X", cache, "run.py"]
            log = self._log_path(node)
            node.log_from = log.stat().st_size if log.exists() else 0
            part = f"node:{node.name}"
            node.child = processes.start(command, self._directory, part, log, place, variables)
            node.process = processes.of_child(node.child, part, variables)

    def _settings(self, node: Node) -> str:
        settings = {**SETTINGS.get(node.environment, {}), **self.wishes.settings(node.name)}
        return ",".join(f"{name}={value}" for name, value in settings.items())

    def stop(self, node: Node) -> None:
        """End the node's process for certain."""
        with node.lock:
            node.changed()
            if node.process is not None:
                processes.end([node.process], 2.0)
            if node.child is not None:
                node.child.wait()
            node.process = node.child = None

    def _log_path(self, node: Node) -> Path:
        return self._directory / "logs" / "nodes" / f"{node.name}.log"

    def check(self, node: Node, digest: str, limit_s: float, closing: threading.Event) -> str:
        """Wait until the node says this digest and is healthy: "" then, or why not. Ends early when it died or `closing` is set."""
        deadline_s, answer = time.monotonic() + limit_s, Answer(node.name, node.url)
        while time.monotonic() < deadline_s and not closing.wait(_CHECK_EVERY_S):
            answer = ask(node)
            if answer.digest == digest and answer.healthy:
                node.starts_failed = 0
                return ""
            if not node.runs:
                return f"its process ended: {self._last_words(node)}"
        if answer.digest and answer.digest != digest:
            return f"it says that it runs {answer.digest[:12]}"
        return f"not healthy within {limit_s:g} s: {self._last_words(node)}"

    def _last_words(self, node: Node) -> str:
        try:
            text = self._log_path(node).read_bytes()[node.log_from :][-_LOG_TAIL:].decode("utf-8", "replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it left no words"

    def watch(self) -> None:
        """Start again what should run and does not; a node that keeps dying is tried less and less often."""
        for node in self.all.values():
            if not node.lock.acquire(blocking=False):
                continue
            try:
                self._heal(node)
            finally:
                node.lock.release()

    def _heal(self, node: Node) -> None:
        if node.runs:
            self._keep_mode(node)
            return
        if node.wanted is None or time.monotonic() < node.next_start_s:
            return
        node.starts_failed += 1
        # the first start is at once, then 2, 4, 8 ... seconds
        node.next_start_s = time.monotonic() + min(_MAX_BACKOFF_S, 2.0 ** min(node.starts_failed, 5))
        try:
            self.start(node, node.wanted)
        except (PlaygroundError, OSError) as error:
            print(f"{node.name} cannot be started: {error}", file=sys.stderr, flush=True)

    def _keep_mode(self, node: Node) -> None:
        """A node that was just starting when the mode was switched missed it."""
        wanted = self.wishes.mode(node.service, node.environment)
        asked = node.asked
        if wanted != MODES[0] or (asked is not None and asked[1].mode not in ("", MODES[0])):
            said = self.seen(node).mode
            if said and said != wanted:
                tell_mode(node, wanted)
                node.changed()

    def seen(self, node: Node) -> Answer:
        """What the node said within the last second, asked anew otherwise."""
        asked, now_s = node.asked, time.monotonic()
        if asked is not None and now_s - asked[0] < _CACHE_S:
            return asked[1]
        changes = node.changes
        answer = ask(node)
        if answer.healthy:
            node.starts_failed = 0
        if node.changes == changes:
            node.asked = (now_s, answer)
        return answer


def ask(node: Node) -> Answer:
    """Ask a node for its version and health, over one connection; never raises."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=_ASK_LIMIT_S)
    try:
        status, body = _get(connection, "/version")
        said = msgspec.json.decode(body, type=dict[str, Any]) if status == 200 else {}
        if said.get("node") != node.name:
            return Answer(node.name, node.url)
        status, _ = _get(connection, "/healthz")
        version, commit, digest, config, mode = (_text(said.get(name)) for name in ("version", "commit", "digest", "config", "mode"))
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            digest = ""
        listed = said.get("flags")
        flags = tuple(flag for flag in listed if isinstance(flag, str)) if isinstance(listed, list) else ()
        return Answer(node.name, node.url, version, commit, digest, status == 200, config, flags, mode if mode in MODES else "")
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return Answer(node.name, node.url)
    finally:
        connection.close()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def tell_mode(node: Node, mode: str) -> bool:
    """Switch a node's trading mode; whether it did. Never raises."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=_ASK_LIMIT_S)
    try:
        connection.request("PUT", "/mode", msgspec.json.encode({"mode": mode}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(100_000)
        return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read(100_000)
