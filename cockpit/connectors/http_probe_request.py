"""One request of the prober: a connection of its own, the status of the answer, and its end."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

MAX_BODY = 4 * 1024 * 1024
MAX_HEAD = 64 * 1024


class Request(Struct, frozen=True):
    """Where to and what for. `target` is the path with its question; `host_header` as a browser would send it."""

    host: str
    port: int
    host_header: str
    target: str
    token: str = ""
    secure: bool = False

    @property
    def head(self) -> bytes:
        """The bytes that are sent."""
        lines = [
            f"GET {self.target} HTTP/1.1",
            f"Host: {self.host_header}",
            "Accept: */*",
            "User-Agent: release-cockpit",
            "Connection: close",
        ]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def parse_head(head: bytes) -> tuple[int, int]:
    """(status, length of the body or -1 where its end is the connection's). ValueError where it is no answer."""
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise ValueError("no answer of HTTP")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit() and len(value) < 20:
            return int(words[1]), int(value)
    return int(words[1]), -1


async def send(request: Request, tls: Any) -> int:
    """The status, once the whole answer is there. OSError, ValueError or EOFError where none came; without a limit of time."""
    import asyncio

    name = request.host if tls is not None else None
    reader, writer = await asyncio.open_connection(request.host, request.port, ssl=tls, server_hostname=name, limit=MAX_HEAD)
    try:
        writer.write(request.head)
        await writer.drain()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise ValueError("the head of the answer has no end") from None
        status, length = parse_head(head)
        left = length if length >= 0 else MAX_BODY
        while left > 0 and status not in (204, 304) and (part := await reader.read(min(left, 65536))):
            left -= len(part)
        if length > 0 and left > 0 and status not in (204, 304):
            raise EOFError("the answer broke off")
        return status
    finally:
        writer.transport.abort()
