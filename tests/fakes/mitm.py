"""mitmproxy as a reverse proxy before real servers: a program of its own, in an environment of its own, on free loopback ports."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.fakes import environments
from tests.fakes.monitoring import wait_until

VENVS = Path(__file__).resolve().parents[2] / "build" / "venvs"
ADDON = Path(__file__).with_name("mitm_addon.py")
READY_S = 40.0


@functools.cache
def mitmdump() -> Path:
    """The program; skips where it cannot be had."""
    folder = VENVS / "mitmproxy"
    VENVS.mkdir(parents=True, exist_ok=True)
    with FileLock(VENVS / "mitmproxy.lock"):
        if not (folder / "ready").exists():
            failed = environments.make(folder, "mitmproxy>=11,<13")
            if failed:
                pytest.skip(failed)
            (folder / "ready").touch()
    return folder / "bin" / "mitmdump"


class Proxied:
    """One server behind the proxy: `url`, and what happens to what passes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def fault(self, kind: str, **more: Any) -> None:
        """From now on; `on` is reads, writes or all. Forgets what was seen."""
        self._ask("PUT", {"kind": kind} | more)

    def heal(self) -> None:
        """Everything passes."""
        self._ask("PUT", {})

    @property
    def seen(self) -> list[tuple[str, str]]:
        """(method, path) of all that came since the fault was set."""
        return [(method, path) for method, path in self._ask("GET")]

    def _ask(self, method: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/-fault-", data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())


class Mitm:
    """The running proxy. `ca_file`: the authority it signs with for clients that speak TLS."""

    def __init__(self, process: subprocess.Popen[bytes], ports: dict[int, int], ca_file: Path) -> None:
        self.process, self.ca_file = process, ca_file
        self._ports = ports

    def before(self, port: int) -> Proxied:
        """What stands before the server at that port."""
        return Proxied(self._ports[port])


@contextmanager
def mitm(folder: Path, ports: tuple[int, ...]) -> Iterator[Mitm]:
    """A proxy before each of these ports of loopback; always ended."""
    program = mitmdump()
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "log"
    command = [str(program), "--quiet", "--set", f"confdir={folder / 'conf'}", "--set", "connection_strategy=lazy", "-s", str(ADDON)]
    for port, own in zip(ports, _free_ports(len(ports)), strict=True):
        command += ["--mode", f"reverse:http://127.0.0.1:{port}@127.0.0.1:{own}"]  # it takes port 0 only once
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    environment |= {"MITM_READY": str(ready), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, READY_S)
        assert ready.exists(), f"mitmproxy does not listen: {log.read_text('utf-8', 'replace')[-1000:]}"
        told = json.loads(ready.read_text("utf-8"))
        found = {int(mode.rpartition(":")[2]): port for mode, port in told.items()}
        yield Mitm(process, found, folder / "conf" / "mitmproxy-ca-cert.pem")
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()
