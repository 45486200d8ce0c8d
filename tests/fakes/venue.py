"""The playground's real services from their tags, as processes, and a deployer that only names them."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cockpit.playground import processes


def export(repository: Path, tag: str, target: Path) -> Path:
    """The service's tree at a tag, below `target`; answers its directory."""
    service = tag.partition("/")[0]
    command = ["git", "-C", str(repository), "archive", "--format=tar", tag, f"services/{service}"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(target / tag.replace("/", "-"), filter="data")
    return target / tag.replace("/", "-") / "services" / service


class Node:
    """A running service and one kept connection to it."""

    def __init__(self, tree: Path, port: int, version: str, process: subprocess.Popen[str]) -> None:
        self.tree, self.port, self.version, self.process = tree, port, version, process
        self.url = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def text(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> tuple[int, str]:
        self._connection.request(method, path, raw if raw is not None else None if body is None else json.dumps(body).encode())
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def call(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> tuple[int, Any]:
        status, text = self.text(method, path, body, raw)
        return status, json.loads(text)

    def depth(self) -> int:
        line = next(line for line in self.text("GET", "/metrics")[1].splitlines() if line.startswith("order_book_depth "))
        return int(line.split()[1])

    def end(self) -> int:
        self._connection.close()
        self.process.terminate()
        status = self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        return status


@contextmanager
def running(tree: Path, version: str = "9.9.9", port: int = 0, more: dict[str, str] | None = None) -> Iterator[Node]:
    """Start run.py of an exported tree as production does, with `more` in its environment; ended afterwards whatever happens."""
    port = port or processes.choose_port()
    settings = {"PORT": str(port), "NODE_NAME": "node-1", "ENVIRONMENT": "production", "RELEASE_VERSION": version}
    settings |= {"RELEASE_COMMIT": "c" * 40, "RELEASE_DIGEST": "d" * 64, "PATH": os.environ["PATH"]} | (more or {})
    command = [sys.executable, "-I", "-S", "run.py"]
    process = subprocess.Popen(command, cwd=tree, env=settings, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "listens on" in process.stdout.readline()
    node = Node(tree, port, version, process)
    try:
        yield node
    finally:
        node.end()


class _Fleet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the body would wait 40 ms for the head's acknowledgement
    server: _Listener

    def do_GET(self) -> None:
        service = self.path.rpartition("/")[2]
        weights = self.server.weights
        nodes = [
            {"name": url, "url": url, "healthy": True} | ({"weight": weights[url]} if url in weights else {})
            for url in self.server.urls.get(service, [])
        ]
        body = json.dumps({"service": service, "environment": "production", "nodes": nodes, "active": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Requests are not logged."""


class _Listener(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.urls: dict[str, list[str]] = {}
        self.weights: dict[str, int] = {}
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Fleet)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)


class FakeDeployer:
    """Answers only which nodes production has and their shares of the traffic; `urls` and `weights` (by URL) may change while it runs."""

    def __init__(self, directory: Path) -> None:
        self._server = _Listener()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        processes.write_run_file(directory, "deployer", self._server.server_address[1])

    @property
    def urls(self) -> dict[str, list[str]]:
        return self._server.urls

    @urls.setter
    def urls(self, urls: dict[str, list[str]]) -> None:
        self._server.urls = urls

    @property
    def weights(self) -> dict[str, int]:
        return self._server.weights

    @weights.setter
    def weights(self, weights: dict[str, int]) -> None:
        self._server.weights = weights

    def close(self) -> None:
        """May be called twice."""
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
