"""The sockets below `http.py`: a deadline over the whole answer, and the knowledge whether a request began to leave.

Imports urllib3, so it is imported where the first request is made.
"""

from __future__ import annotations

import contextvars
import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Call:
    """One request on its way. `deadline` is a time.monotonic() value; `sent` turns true with the first byte that may have left.

    `opened` hears of the socket that the answer comes on.
    """

    def __init__(self, deadline: float, read_timeout_s: float, opened: Callable[[socket.socket], None] | None = None) -> None:
        self.deadline = deadline
        self.read_timeout_s = read_timeout_s
        self.opened = opened
        self.sent = False


CALL: contextvars.ContextVar[Call | None] = contextvars.ContextVar("cockpit_http_call", default=None)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket and gives up at the call's deadline, however steadily bytes trickle in."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        call = CALL.get()
        if call is not None:
            remaining = call.deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the deadline for the whole answer has passed")
            self._sock.settimeout(min(call.read_timeout_s, remaining))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach()))
        call = CALL.get()
        if call is not None and call.opened is not None:
            call.opened(sock)


class _Watched:
    """Marks the call as sent right before its first byte is handed to the system."""

    sock: Any

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        call = CALL.get()
        if call is not None:
            call.sent = True
        super().send(data)  # type: ignore[misc]


class _Connection(_Watched, HTTPConnection):
    response_class = _Response


class _SecureConnection(_Watched, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}


def close(adapter: Any) -> None:
    """Close an adapter of requests with all its connections."""
    # the adapter itself only forgets its pools, and their connections stay open until they are collected
    pools = adapter.poolmanager.pools
    for key in pools.keys():  # noqa: SIM118 - a container of urllib3, which iterates by its keys only
        pools[key].close()
    adapter.close()
