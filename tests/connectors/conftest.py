"""A loopback HTTP server that misbehaves on request, and counts what arrives."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class Request:
    """One request as it arrived."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body


class RoughServer:
    """Answers each request with the next of `script` (the last one again and again); `requests` holds all that arrived."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.script: list[Callable[[socket.socket, Request], None]] = []
        self.over = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(5)
                try:
                    while outer._serve(self.rfile, self.request):
                        pass
                except OSError:
                    return  # the client gave up, as many tests want it to

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = False
            block_on_close = True

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # the handshake belongs into the connection's own thread
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_address[1]}"

    def _serve(self, stream: Any, connection: socket.socket) -> bool:
        first = stream.readline().decode("latin-1").split()
        if len(first) < 2 or self.over.is_set():
            return False
        headers = {}
        while (line := stream.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        request = Request(first[0], first[1], headers, body)
        with self._lock:
            self.requests.append(request)
            step = self.script[min(len(self.requests), len(self.script)) - 1]
        step(connection, request)
        return connection.fileno() >= 0

    def answer(
        self, status: int = 200, body: bytes = b"{}", kind: str = "application/json", **headers: str
    ) -> Callable[[socket.socket, Request], None]:
        """A whole answer."""

        def step(connection: socket.socket, request: Request) -> None:
            lines = [f"HTTP/1.1 {status} Words", f"Content-Type: {kind}"]
            if status != 304:
                lines.append(f"Content-Length: {len(body)}")
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if status == 304 else body))

        return step

    def raw(self, data: bytes) -> Callable[[socket.socket, Request], None]:
        """Exactly these bytes, then the end of the connection."""

        def step(connection: socket.socket, request: Request) -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()

        return step

    def reset(self, connection: socket.socket, request: Request) -> None:
        """The connection breaks with a reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(connection.detach())  # close() alone waits for the handler's streams to let go

    def hang(self, connection: socket.socket, request: Request) -> None:
        """No answer until the test is over."""
        self.over.wait(60)

    def trickle(self, head: bytes) -> Callable[[socket.socket, Request], None]:
        """`head`, then a byte every 20 ms without end."""

        def step(connection: socket.socket, request: Request) -> None:
            connection.sendall(head)
            while not self.over.wait(0.02):
                connection.sendall(b"x")

        return step

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[RoughServer]:
    rough = RoughServer()
    yield rough
    rough.close()


@pytest.fixture
def secure_server() -> Iterator[Callable[[Path], RoughServer]]:
    """`secure_server(certificate)`: the same over TLS."""
    made: list[RoughServer] = []

    def make(certificate: Path) -> RoughServer:
        made.append(RoughServer(certificate))
        return made[-1]

    yield make
    for rough in made:
        rough.close()


@pytest.fixture
def other_server() -> Iterator[RoughServer]:
    rough = RoughServer()
    yield rough
    rough.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses: bound and never listening, so nobody else gets it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
