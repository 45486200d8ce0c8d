"""Server-sent events: the parser of such a stream, which is pure, and the end of it that any thread may close."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

from msgspec import Struct

MAX_EVENT_BYTES = 1024 * 1024
IDLE_S = 3600.0  # after so long a silence it is asked anew whether the stream still stands


class Event(Struct, frozen=True, gc=False):
    """One event; `data` is "" where it was longer than MAX_EVENT_BYTES, `whole` is false then."""

    name: str
    data: str
    whole: bool = True


class EventParser:
    """Events from pieces of a text/event-stream, cut anywhere. Never raises; holds at most MAX_EVENT_BYTES of one event."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._clear()

    def _clear(self) -> None:
        self._name, self._data, self._size, self._whole = "", list[str](), 0, True

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What is complete with this piece."""
        if self._after_cr and piece[:1] == b"\n":
            piece = piece[1:]
        if piece:
            self._after_cr = piece[-1:] == b"\r"
        for part in piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").splitlines(keepends=True):
            text = part.rstrip(b"\n")
            if len(self._line) + len(text) <= MAX_EVENT_BYTES:
                self._line += text
            else:
                self._whole = False
            if part.endswith(b"\n"):
                line = self._line.decode("utf-8", "replace").removeprefix("\ufeff")
                self._line.clear()
                yield from self._take(line)

    def _take(self, line: str) -> Iterator[Event]:
        if not line:
            if self._data or not self._whole:
                yield Event(self._name, "\n".join(self._data) if self._whole else "", self._whole)
            self._clear()
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._size += len(value) + 1
            self._whole = self._whole and self._size <= MAX_EVENT_BYTES
            if self._whole:
                self._data.append(value)
            else:
                self._data.clear()


class Listener:
    """Takes a stream's events in the thread that reads it; `close()` from any thread ends the reading at once.

    `take` must not raise.
    """

    idle_s = IDLE_S  # after so long a silence the reading ends

    def __init__(self, take: Callable[[Event], None]) -> None:
        self._take = take
        self._parser = EventParser()
        self._lock = Lock()
        self._socket: Any = None
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def opened(self, connection: socket.socket) -> None:
        """The connection that the answer comes on."""
        with self._lock:
            self._socket = connection
            # who went away without a word is noticed by the system below
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._closed:
                self._shut()

    def feed(self, piece: bytes) -> None:
        """A piece of the body."""
        for event in self._parser.feed(piece):
            if not self._closed:
                self._take(event)

    def close(self) -> None:
        """End it: the reading thread sees the end of the body, wherever it waits."""
        with self._lock:
            self._closed = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)
