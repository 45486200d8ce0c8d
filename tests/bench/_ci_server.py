"""A CI system for the bench of the UI thread: services with lists of runs of about 200 kB that differ at each answer, and GET /served.

Started as a process of its own with the number of services; prints its port on one line and ends when standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys

BODY_BYTES = 200_000
FINISHED_AT_US = 1_795_340_467_000_000
_MESSAGE = "assert isinstance(answer['price'], str)\\nE  AssertionError: assert False, where False = isinstance(101.25, str) " * 4


def _suite(name: str, failed: int, number: int) -> dict[str, object]:
    started = FINISHED_AT_US - number * 60_000_000
    tests = [{"name": f"test_{name}::case_{i}", "outcome": "failed", "duration_s": 0.01 * i, "message": _MESSAGE} for i in range(failed)]
    counts = {"total": 400, "passed": 400 - failed, "failed": failed, "errors": 0, "skipped": 0}
    state = "failed" if failed else "passed"
    return {"name": name, "state": state, **counts, "started_at_us": started, "finished_at_us": started + 9_000_000, "tests": tests}


def _body(service: str) -> tuple[bytes, bytes]:
    """What stands before and behind the moment when the newest run finished, which is another one in each answer."""
    runs: list[dict[str, object]] = []
    size = 0
    while size < BODY_BYTES:
        number = len(runs)
        failed = 12 if number else 0
        suites = [_suite("unit", 0, number), _suite("integration", failed, number), _suite("performance", 0, number)]
        start = FINISHED_AT_US - (number + 1) * 60_000_000
        run = {"id": f"{service}-{number}", "service": service, "version": f"1.{100 - number}.0", "commit": f"{number:040x}"}
        run |= {"state": "failed" if failed else "passed", "suites": suites, "started_at_us": start, "url": ""}
        runs.append(run | {"finished_at_us": start + 50_000_000 if number else FINISHED_AT_US})
        size += len(json.dumps(runs[-1]))
    before, _, behind = json.dumps({"runs": runs}).encode().partition(f'"finished_at_us": {FINISHED_AT_US}'.encode())
    return before + b'"finished_at_us": ', behind


class Server:
    """Bodies are made once; an answer costs one join of three pieces."""

    def __init__(self, services: int) -> None:
        names = [f"service-{i:02}" for i in range(services)]
        self._bodies = {f"/v1/services/{name}/runs": _body(name) for name in names}
        self._served = 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests until the other side hangs up."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer(head.split(b" ", 2)[1].decode().partition("?")[0]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str) -> bytes:
        if path == "/served":
            return _http(str(self._served).encode())
        if path not in self._bodies:
            return _http(b'{"title":"Not found","message":"","hint":""}', "404 Not Found")
        self._served += 1
        before, behind = self._bodies[path]
        return _http(before + str(FINISHED_AT_US + self._served).encode() + behind)


def _http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def main() -> None:
    """Serve until standard input ends."""
    server = await asyncio.start_server(Server(int(sys.argv[1])).connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
