"""A gate before a real HTTP server that takes rights away, is not there, hangs, or loses the answer of a write, until it is healed."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_BODY = b'{"title":"Gate","message":"the gate said so","hint":""}'
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_BODY),
    _BODY,
)
_READS = (b"GET", b"HEAD", b"OPTIONS")


class Gate:
    """Forwards to a port of loopback, one request a connection. The hooks and `heal` are those of `cockpit.contract.common.World`."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self._mode = ""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._listening = threading.Event()
        self._listener = self._bound(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._listener.listen(64)
        self._listening.set()
        # one thread for all listeners, so that a test which cuts and heals leaves none behind
        self._thread = threading.Thread(target=self._accept, name="gate")
        self._thread.start()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forbid(self) -> None:
        """Every request is answered with 403."""
        self._mode = "forbid"

    def hang(self) -> None:
        """Connections are taken and never answered."""
        self._mode = "hang"

    def lose(self) -> None:
        """Writes are handed on, and their answers lost."""
        self._mode = "lose"

    def cut(self) -> None:
        """Connecting is refused."""
        self._mode = "cut"
        self._stop_listening()
        self._listener = self._bound(self.port)  # held, so that nobody else gets the port meanwhile

    def heal(self) -> None:
        """As before; whoever hung is hung up on."""
        was, self._mode = self._mode, ""
        self._hang_up()
        if was == "cut":
            self._listener.listen(64)
            self._listening.set()

    def close(self) -> None:
        """End all threads."""
        self._closing, self._mode = True, ""
        self._stop_listening()
        self._listening.set()
        self._hang_up()
        self._thread.join()
        for thread in self._threads:
            thread.join()

    def _bound(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def _stop_listening(self) -> None:
        self._listening.clear()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing:
            self._listening.wait()
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), name="gated")
            with self._lock:
                self._open.add(connection)
                self._threads = [t for t in self._threads if t.is_alive()]
                self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(30)
                self._exchange(client)
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(client)

    def _exchange(self, client: socket.socket) -> None:
        stream = client.makefile("rb")
        with stream:
            head = [stream.readline()]
            while head[-1] not in (b"\r\n", b""):
                head.append(stream.readline())
            length = next((int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:")), 0)
            body = stream.read(length)
        if not head[0]:
            return
        mode, write = self._mode, head[0].split(b" ")[0] not in _READS
        if mode == "hang":
            client.recv(1)  # until either side hangs up
            return
        answer = _FORBIDDEN if mode == "forbid" else self._ask(head, body)
        if mode == "lose" and write:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        client.sendall(answer)

    def _ask(self, head: list[bytes], body: bytes) -> bytes:
        kept = [line for line in head[:-1] if not line.lower().startswith(b"connection:")]
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=30) as server:
            server.sendall(b"".join(kept) + b"Connection: close\r\n\r\n" + body)
            parts = []
            while part := server.recv(65536):
                parts.append(part)
        answer = b"".join(parts)
        end = answer.find(b"\r\n\r\n")
        return answer if b"\r\nconnection: close" in answer[:end].lower() else answer[:end] + b"\r\nConnection: close" + answer[end:]
