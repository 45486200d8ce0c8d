"""Real supervisords as nodes: each its own process group, with the release extension, an agent, and one service; always ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from tests.fakes import environments
from tests.fakes.monitoring import wait_until

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "venvs" / "supervisor"
EXTENSION = ROOT / "resources" / "supervisor"
USER, PASSWORD = "cockpit", "a-password-of-tests"
READY_S = 20.0

# a service: its port from the environment, its behaviour from the files of its release
SERVICE = """
import json, os, sys
about = json.load(open("RELEASE"))
if about.get("exits"):
    # within its `startsecs`, on a busy machine too: so before the large imports
    sys.exit("it does not start")
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        sick = about.get("sick") and self.path == "/healthz"
        body = json.dumps({"version": about["version"], "node": os.environ["NODE_NAME"]}).encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        return
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

CONFIGURATION = """
[unix_http_server]
file={socket}
chmod=0700

[inet_http_server]
port=127.0.0.1:{port}
username={user}
password={password}

[supervisord]
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}

[supervisorctl]
serverurl=unix://{socket}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[rpcinterface:release]
supervisor.rpcinterface_factory = release_host:make
state={folder}/state
services={service}
releases={releases}
current={folder}/current
health=http://127.0.0.1:{service_port}{health}
check_s={check_s}
stop_s=10
{more}

[program:release-agent]
command={python} -B {extension}/release_agent.py {folder}/state
startsecs=0

[program:{service}]
command={command}
directory={folder}/current
environment={environment}
startsecs=1
startretries=1
stopwaitsecs=3
stopasgroup=true
killasgroup=true
"""


@cache
def programs() -> Path:
    """The folder of supervisord's programs; installed once, or the test is skipped and says why."""
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(VENV.parent / "supervisor.lock"):
        if not (VENV / "bin" / "supervisord").exists():
            failed = environments.make(VENV, "supervisor>=4.3", "setuptools<81", imports="supervisor.supervisord, supervisor.supervisorctl")
            if failed:
                shutil.rmtree(VENV, ignore_errors=True)
                pytest.skip(failed)
    return VENV / "bin"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def release(releases: Path, version: str, **about: object) -> Path:
    """A release directory of the small service. about: exits=1 never starts, sick=1 is never healthy."""
    place = releases / version
    half = releases / f".{version}"
    half.mkdir(parents=True)
    (half / "run.py").write_text(SERVICE, "utf-8")
    (half / "RELEASE").write_text(json.dumps({"version": version, "commit": "c" * 40, **about}), "utf-8")
    half.rename(place)
    return place


class SupervisedNode:
    """One node. `url` is its supervisord's, `service_url` the service's; `process` is supervisord."""

    def __init__(self, name: str, folder: Path, url: str, service_url: str, process: psutil.Process) -> None:
        self.name, self.folder, self.url, self.service_url, self.process = name, folder, url, service_url, process
        self.current = folder / "current"

    def control(self, *words: str) -> str:
        """supervisorctl on this node."""
        command = [str(programs() / "supervisorctl"), "-c", str(self.folder / "supervisord.conf"), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout

    def freeze(self) -> None:
        """supervisord hangs: it takes connections and answers nothing."""
        self.process.suspend()

    def thaw(self) -> None:
        """It goes on."""
        self.process.resume()

    def answer(self, path: str = "/") -> bytes:
        """What the service answers."""
        with urllib.request.urlopen(self.service_url + path, timeout=5) as answer:
            return bytes(answer.read())


@contextmanager
def supervised(
    folder: Path,
    names: tuple[str, ...],
    releases: Path,
    first: str,
    *,
    service: str = "order-gateway",
    command: str = f"{sys.executable} -B -I -S run.py",
    health: str = "/healthz",
    check_s: float = 30.0,
    environment: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
    more: str = "",
    detached: bool = False,
) -> Iterator[dict[str, SupervisedNode]]:
    """A supervisord for each name, all with the same `releases`, running `first`. `command` finds PORT and NODE_NAME in its environment.

    `{port}` and `{node}` in `command` are filled in; `ports` fixes the services' ports by name. `detached`: no child of this process, for
    nodes that several tests share.
    """
    programs()
    with ExitStack() as stack:
        nodes = {}
        for name in names:
            port = (ports or {}).get(name) or free_port()
            said = {"PORT": str(port), "NODE_NAME": name, **(environment or {})}
            words = command.replace("{port}", str(port)).replace("{node}", name)
            nodes[name] = stack.enter_context(
                _node(folder / name, name, releases, first, service, words, port, health, check_s, said, more, detached)
            )
        stack.callback(_begin_to_end, [node.process for node in nodes.values()])
        for node in nodes.values():
            path = health or "/"
            assert wait_until(lambda node=node, path=path: _healthy(node, path), READY_S), node.control("status")  # type: ignore[misc]
        yield nodes


@contextmanager
def _node(
    folder: Path,
    name: str,
    releases: Path,
    first: str,
    service: str,
    command: str,
    port: int,
    health: str,
    check_s: float,
    said: dict[str, str],
    more: str,
    detached: bool,
) -> Iterator[SupervisedNode]:
    folder.mkdir(parents=True)
    (folder / "current").symlink_to(releases / first)
    rpc = free_port()
    # a socket's path must be short
    with tempfile.TemporaryDirectory(prefix="sv") as short:
        text = CONFIGURATION.format(
            socket=f"{short}/s",
            port=rpc,
            user=USER,
            password=PASSWORD,
            folder=folder,
            service=service,
            releases=releases,
            service_port=port,
            health=health,
            check_s=check_s,
            python=sys.executable,
            extension=EXTENSION,
            command=command,
            environment=",".join(f'{key}="{value}"' for key, value in said.items()),
            more=more,
        )
        path = folder / "supervisord.conf"
        path.write_text(text, "utf-8")
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(EXTENSION), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
        with _started([str(programs() / "supervisord"), "-c", str(path)], folder, env, detached) as process:
            yield SupervisedNode(name, folder, f"http://127.0.0.1:{rpc}", f"http://127.0.0.1:{port}", process)


@contextmanager
def _started(command: list[str], folder: Path, env: dict[str, str], detached: bool) -> Iterator[psutil.Process]:
    with (folder / "out").open("wb") as out:
        options: dict[str, Any] = {"cwd": folder, "env": env, "stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT}
        child = subprocess.Popen(command if detached else [*command, "-n"], start_new_session=True, **options)
    if detached:
        assert child.wait(READY_S) == 0, (folder / "out").read_text("utf-8", "replace")[-2000:]
        pid = wait_until(lambda: _number(folder / "supervisord.pid"), READY_S)
    process = psutil.Process(pid if detached else child.pid)
    try:
        yield process
    finally:
        _end(process)
        child.wait(5)


def _number(path: Path) -> int:
    text = path.read_text("ascii").strip() if path.exists() else ""
    return int(text or 0)


def _begin_to_end(processes: list[psutil.Process]) -> None:
    """All at once: each takes a second of its own for that."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()
            process.terminate()


def _end(process: psutil.Process) -> None:
    """supervisord ends its children; whatever that leaves is killed."""
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        children = process.children(recursive=True)
        process.resume()
        process.terminate()
        # what init has not collected yet is over too
        wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 8)
    for left in [process, *children]:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    psutil.wait_procs(children, timeout=5)


def _healthy(node: SupervisedNode, path: str) -> bool:
    assert node.process.is_running(), (node.folder / "out").read_text("utf-8", "replace")[-2000:]
    try:
        node.answer(path)
    except OSError:
        return False
    return (node.folder / "state" / "seen.json").exists()
