"""A gate on loopback before a deployment system that breaks one step of a call in one way until it is healed, and counts what passes."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

STEPS = ("connect", "send", "wait", "body", "follow", "verify")
SILENT = ("timeout", "hang", "late")  # no answer in time, each in its own way
STATUSES = ("401", "403", "404", "409", "422", "429", "500", "502")
FAULTS = ("refused", "reset", *SILENT, *STATUSES, "half", "duplicate")
TRICKLE_S = 0.05
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def nonsense(step: str, fault: str) -> str:
    """Why a fault cannot happen at a step; "" where it can. What is left out of the table is left out by this rule alone."""
    if fault == "refused" and step in ("send", "wait", "body"):
        return "a connection that is open is refused no more"
    if step == "connect" and fault not in ("refused", "reset", "timeout"):
        return "nobody answers before there is a connection; to hang there is to time out"
    if step == "send" and fault in ("409", "422"):
        return "both judge a body, and at this step none was read"
    if step == "body" and fault in STATUSES:
        return "the status line is out already when the body comes"
    if step == "wait" and fault == "half":
        return "half a body is a fault of the body"
    return ""


class Gone(Exception):
    """The client hung up, or was made to."""


class FaultyProxy:
    """Forwards to `upstream`, and meets `step` with `fault`. Counts from any thread; `close` ends its threads.

    `posts`: (key, body) of each POST that reached it. `hits`: how often the fault was met. `hold`: while it is set, reads get 503, or, with
    `forgetful`, deployments asked for one by one are not found.
    """

    def __init__(self, upstream: int, step: str, fault: str, on_hit: Callable[[], None] | None = None) -> None:
        self.upstream, self.step, self.fault, self.on_hit = upstream, step, fault, on_hit
        self.posts: list[tuple[str, bytes]] = []
        self.hits = self.held = 0
        self.hold = self.forgetful = False
        self.healed = False
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._fillers: list[socket.socket] = []
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        if step == "connect" and fault == "timeout":
            self._listen_deaf()
        elif not (step == "connect" and fault == "refused"):
            self._listen()

    # -- listening -----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._listener.listen(64)
        thread = threading.Thread(target=self._accept, name=f"proxy {self.step} {self.fault}")
        self._threads.append(thread)
        thread.start()

    def _listen_deaf(self) -> None:
        """A queue that is full: the kernel drops what knocks, so that connecting times out."""
        self._listener.listen(0)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)
        select.select([], self._fillers[:1], [], 1.0)

    def _deafen(self) -> None:
        """Listen no more: from now on connecting is refused."""
        with self._lock:
            if self.healed:
                return
            self.hits += 1
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def heal(self) -> None:
        """Break nothing any more."""
        with self._lock:
            was, self.healed = self.healed, True
        if was or self._closing.is_set():
            return
        for filler in self._fillers:
            filler.close()
        if self.fault == "refused" and self.hits:
            self._listener = _bound(self.port)
        if self._fillers or self.fault == "refused":
            self._listen()

    def close(self) -> None:
        """Hang up on everybody."""
        self.healed = True
        self._closing.set()
        # a listener that never listened, or was shut down already, has nothing to shut down
        _quietly(lambda: self._listener.shutdown(socket.SHUT_RDWR))
        with self._lock:
            for connection in self._open:
                _quietly(lambda c=connection: c.shutdown(socket.SHUT_RDWR))  # type: ignore[misc]
        for filler in self._fillers:
            filler.close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name=f"proxied {self.step} {self.fault}")
            with self._lock:
                self._open.add(connection)
                self._threads.append(thread)
            thread.start()

    # -- one connection ------------------------------------------------------------------------------------------------------

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                if self._meets("connect"):
                    self._hit()
                    _reset(client)
                while self._exchange(client):
                    pass
        except (Gone, OSError):
            return
        finally:
            with self._lock:
                self._open.discard(client)

    def _meets(self, step: str) -> bool:
        return not self.healed and self.step == step and self.fault != "refused"

    def _hit(self) -> None:
        self.hits += 1
        if self.on_hit is not None:
            self.on_hit()

    def _exchange(self, client: socket.socket) -> bool:
        head = _read_head(client)
        if not head:
            return False
        method, path = head.split(b" ", 2)[:2]
        post = method == b"POST"
        if post and self._meets("send"):
            self.posts.append((_header(head, b"idempotency-key"), b""))
            self._break_sending(client, head)
        body = _read_exactly(client, int(_header(head, b"content-length") or 0))
        if post:
            self.posts.append((_header(head, b"idempotency-key"), body))
        elif self.hold and (not self.forgetful or path.startswith(b"/v1/deployments/")):
            self.held += 1
            client.sendall(_error("404" if self.forgetful else "503"))
            return True
        answer = self._ask(head, body)
        step = self._step_of(post, path)
        if step:
            self._break_answer(client, answer, step)
        else:
            client.sendall(answer)
        self._refuse_from_here(post, path, answer)
        return True

    def _step_of(self, post: bool, path: bytes) -> str:
        """Which broken step this exchange belongs to; "" for one that is whole."""
        if post:
            return next((s for s in ("wait", "body") if self._meets(s)), "")
        place = path.startswith(b"/v1/environments/") and not path.partition(b"?")[0].endswith(b"/deployments")
        # the place's history stays whole: a gate that knows some paths and not others is the worse one
        step = "verify" if place else "follow" if path.startswith(b"/v1/deployments/") else ""
        return step if step and self._meets(step) else ""

    def _refuse_from_here(self, post: bool, path: bytes, answer: bytes) -> None:
        if self.fault != "refused" or self.healed or self.hits:
            return
        ends = b'"state":"succeeded"' in answer and path.startswith(b"/v1/deployments/")
        if (self.step == "follow" and post) or (self.step == "verify" and ends):
            self._deafen()
            raise Gone

    def _ask(self, head: bytes, body: bytes) -> bytes:
        """The system's whole answer, over a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=20) as server:
            lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
            server.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
            parts = []
            while part := server.recv(65536):
                parts.append(part)
        return b"".join(parts).replace(b"Connection: close\r\n", b"")

    def _break_sending(self, client: socket.socket, head: bytes) -> None:
        """The head was read and the body was not, unless the fault says otherwise."""
        length = int(_header(head, b"content-length") or 0)
        if self.fault == "late":
            body = _read_exactly(client, length)
            self._hit()
            self._until_gone(client)
            self._ask(head, body)
        elif self.fault == "duplicate":
            body = _read_exactly(client, length)
            self._hit()
            self._ask(head, body)
            client.sendall(self._ask(head, body))
        elif self.fault == "half":
            body = _read_exactly(client, length // 2)
            with socket.create_connection(("127.0.0.1", self.upstream), timeout=20) as server:
                server.sendall(head + body)
            self._hit()
        elif self.fault in STATUSES:
            self._hit()
            client.sendall(_error(self.fault))
            _read_exactly(client, length)
        else:
            self._hit()
            self._break_off(client, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, len(b"HTTP/1.1 100 Continue\r\n\r\n"))
        raise Gone

    def _break_answer(self, client: socket.socket, answer: bytes, step: str) -> None:
        whole_head, end, body = answer.partition(b"\r\n\r\n")
        head = whole_head + end
        if self.fault in STATUSES:
            client.sendall(_error(self.fault))
            self._hit()
            return
        if self.fault == "duplicate":
            client.sendall(head + body + body if step == "body" else answer + answer)
            self._hit()
            return
        if step == "body" or self.fault == "half":
            client.sendall(head + body[: len(body) // 2])
            answer = body[len(body) // 2 :]
        self._hit()
        if self.fault != "half":
            self._break_off(client, answer, 1)
        raise Gone

    def _break_off(self, client: socket.socket, rest: bytes, piece: int) -> None:
        """What follows where an answer was due: a reset, silence, a trickle, or the answer once nobody waits for it."""
        if self.fault == "reset":
            _reset(client)
        elif self.fault == "hang":
            for begin in range(0, len(rest), piece):
                client.sendall(rest[begin : begin + piece])
                if self._closing.wait(TRICKLE_S):
                    return
        else:
            self._until_gone(client)
            if self.fault == "late":
                client.sendall(rest)

    def _until_gone(self, client: socket.socket) -> None:
        while not self._closing.is_set():
            ready, _, _ = select.select([client], [], [], 0.02)
            if ready and not _peek(client):
                return


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _quietly(step: Callable[[], Any]) -> None:
    try:
        step()
    except OSError:
        return


def _peek(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except OSError:
        return b""


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    raise Gone


def _read_head(client: socket.socket) -> bytes:
    """To the empty line, byte by byte so that nothing of the body is taken; b"" at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def _read_exactly(client: socket.socket, count: int) -> bytes:
    body = b""
    while len(body) < count:
        part = client.recv(count - len(body))
        if not part:
            raise Gone
        body += part
    return body


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("ascii")
    return ""


def _error(status: str) -> bytes:
    if status == "502":
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
    body = json.dumps({"title": f"Gate {status}", "message": "the gate said so", "hint": ""}).encode()
    more = b"Retry-After: 1\r\n" if status == "429" else b""
    start = f"HTTP/1.1 {status} Gate\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n".encode()
    return start + more + b"\r\n" + body
