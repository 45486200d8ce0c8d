"""A tiny repository of one service, and clients of the playground's real programs: they are tested in seconds."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.playground import processes

SERVICE = "order-gateway"
RUN = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

names = ("service", "version", "commit", "digest", "node")
said = dict(zip(names, ["order-gateway"] + [os.environ[n] for n in ("RELEASE_VERSION", "RELEASE_COMMIT", "RELEASE_DIGEST", "NODE_NAME")]))
settings = sorted(os.environ.get("SETTINGS", "").split(","))
said |= {"mode": os.environ.get("MODE") or "open", "flags": [s[5:] for s in settings if s.startswith("flag.")]}
said["config"] = "c:" + ";".join(s for s in settings if not s.startswith("flag."))

class Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        body = json.dumps(said if self.path == "/version" else {"status": "ok"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_PUT(self):
        said["mode"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["mode"]
        self.do_GET()
    def log_message(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.serve_forever()
"""
BROKEN = 'import sys\nsys.exit("cannot read the price feed")\n'
GREEN = "def test_one():\n    assert True\n\n\ndef test_two():\n    assert True\n"
RED = """import pytest
def test_good():
    assert True
def test_bad():
    assert 101.5 == "101.5", "the price is no string"
@pytest.fixture
def broken():
    raise RuntimeError("no fixture today")
def test_broken(broken):
    pass
@pytest.mark.skip(reason="not on Sundays")
def test_skipped():
    pass
"""
# waits, without a clock, until the test that watches opens the other end of the pipe
GATED = """from pathlib import Path
def test_before():
    pass
def test_gate():
    gate = next(p / "gate" for p in Path(__file__).resolve().parents if (p / "gate").exists())
    assert gate.read_text() == "go"
"""
# a node that serves only once the pipe's other end was opened
SLOW_RUN = (
    """from pathlib import Path
next(p / "gate" for p in Path(__file__).resolve().parents if (p / "gate").exists()).read_text()
"""
    + RUN
)
UNCOLLECTABLE = "import no_such_module\n"


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = 20.0) -> Any:
    """Ask until `condition` answers something true; fail after `limit_s` seconds."""
    pause, deadline_s = threading.Event(), time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        pause.wait(0.02)
    raise AssertionError(f"not within {limit_s} s: {what}")


def git(repository: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@playground.invalid"}
    who |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@playground.invalid", "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, env={**os.environ, **who}, check=True, capture_output=True, text=True).stdout.strip()


def release(repository: Path, version: str, files: dict[str, str]) -> None:
    """Commit these files of the service and tag them as `version`."""
    for name, text in files.items():
        path = repository / "services" / SERVICE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", f"Release {version}")
    git(repository, "tag", f"{SERVICE}/v{version}")


def suites(unit: str = GREEN) -> dict[str, str]:
    tests = {"unit": unit, "integration": GREEN, "performance": "def test_fast():\n    pass\n"}
    return {f"tests/{name}/test_{name}.py": text for name, text in tests.items()}


class Program:
    """One of the playground's servers as a real process, and a client of it."""

    def __init__(self, module: str, directory: Path, arguments: list[str]) -> None:
        self.directory, self.module = directory, module
        self.child = processes.start_module(module, arguments, directory)
        self.port = 0
        wait_for(self._up, f"{module} is up")

    def _up(self) -> bool:
        if self.child.poll() is not None:
            raise AssertionError((self.directory / "logs" / f"{self.module}.log").read_text())
        said = processes.read_run_file(self.directory, self.module)
        self.port = said.get("port", 0)
        return said.get("pid") == self.child.pid

    def raw(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, _, body = self.raw("GET", path)
        assert status == 200, body
        return json.loads(body)

    def put(self, path: str, value: Any) -> tuple[int, Any]:
        status, _, body = self.raw("PUT", path, json.dumps(value).encode(), {"Content-Type": "application/json"})
        return status, json.loads(body)

    def post(self, path: str, value: Any = None, key: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        status, _, body = self.raw("POST", path, json.dumps(value).encode() if value is not None else b"", headers)
        return status, json.loads(body)

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def terminate(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(20)
