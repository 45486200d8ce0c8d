"""Open-loop traffic to every production node of the playground: `python -m cockpit.playground.traffic --directory DIR`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from cockpit.playground import processes
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.flows import REGIMES, Call, Flow, make_flow
from cockpit.playground.server import ApiError, Request, Response, Router, Server

PART = "traffic"
SERVICES = ("order-gateway", "market-data", "risk-engine")
ENVIRONMENT = "production"
IN_FLIGHT_LIMIT = 8
ANSWER_LIMIT_S = 5.0
LOOKUP_LIMIT_S = 3.0
LOOKUP_INTERVAL_S = 1.0
# A process that could not run for so long counts what it missed instead of sending it in one burst.
LATE_LIMIT_S = 1.0
# A change of regime is seen at the latest after so long, however slow the flow was.
NAP_LIMIT_S = 0.25
KEPT_LATENCIES = 512


class Totals:
    """What the control interface tells. Written by the event loop's thread, read by the control's."""

    def __init__(self) -> None:
        self.regime = "calm"
        self.since_us = processes.now_us()
        self.sent = self.answered = self.errors = self.dropped = 0
        self.nodes: dict[str, list[str]] = {}
        self.latencies_us: dict[str, deque[int]] = {name: deque(maxlen=KEPT_LATENCIES) for name in SERVICES}

    def switch(self, regime: str) -> None:
        if regime != self.regime:
            self.regime, self.since_us = regime, processes.now_us()

    def status(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("regime", "since_us", "sent", "answered", "errors", "dropped")}
        return {**counts, "pid": os.getpid(), "nodes": dict(self.nodes), "latency": {name: self._latency(name) for name in SERVICES}}

    def _latency(self, service: str) -> dict[str, int]:
        """Of the newest requests, from their intended start."""
        ordered = sorted(self.latencies_us[service].copy())
        if not ordered:
            return {"count": 0}
        return {"count": len(ordered), "p50_us": ordered[len(ordered) // 2], "p99_us": ordered[int(0.99 * (len(ordered) - 1))]}


class Connections:
    """Kept-alive connections to one node. Event loop only."""

    def __init__(self, host: str, port: int) -> None:
        # The other side closed a kept connection: it was started anew.
        self.lost = False
        self._address = (host, port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def exchange(self, call: Call, limit_s: float) -> tuple[int, bytes]:
        """Send and read one answer. Raises OSError, EOFError, TimeoutError or ValueError; the connection is closed then."""
        async with asyncio.timeout(limit_s):
            reader, writer = self._take() or await asyncio.open_connection(*self._address)
            try:
                head = f"{call.method} {call.path} HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\n"
                writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(call.body)}\r\n\r\n".encode() + call.body)
                answer = await _read_answer(reader)
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
            return answer

    def _take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            self.lost = True
            writer.close()
        return None

    async def close(self) -> None:
        while self._idle:
            writer = self._idle.pop()[1]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    lengths = [line[15:] for line in lines if line[:15].lower() == "content-length:"]
    return int(lines[0].split(" ")[1]), await reader.readexactly(int(lengths[0]) if lengths else 0)


class Lane:
    """The flow to one node, as one task. Requests start when they should, whatever the answers do; what cannot start is counted.

    `share`: 1.0 is an even share of the service's traffic, 0.0 none.
    """

    def __init__(self, service: str, url: str, flow: Flow, totals: Totals, random: Random) -> None:
        self.share = 1.0
        parts = urlsplit(url)
        self._service, self._flow, self._totals, self._random = service, flow, totals, random
        self._connections = Connections(parts.hostname or "127.0.0.1", parts.port or 80)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        share, due_s = self.share, loop.time() + self._random.random() * self._gap_s()
        try:
            while True:
                while (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(min(wait_s, NAP_LIMIT_S))
                    if self.share != share:
                        share, due_s = self.share, loop.time() + self._random.random() * self._gap_s()
                rate_per_s = 1.0 / self._gap_s()
                if wait_s < -LATE_LIMIT_S:
                    self._totals.dropped += int(-wait_s * rate_per_s)
                    due_s = loop.time()
                self._start(due_s)
                due_s += self._random.expovariate(rate_per_s)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            await self._connections.close()

    def _gap_s(self) -> float:
        """Seconds between two requests; a node without a share is looked at again soon enough by the naps."""
        rate_per_s = self._flow.rate_per_s(self._totals.regime) * self.share
        return 1.0 / rate_per_s if rate_per_s else 1e9

    def _start(self, due_s: float) -> None:
        if len(self._running) >= IN_FLIGHT_LIMIT:
            self._totals.dropped += 1
            return
        task = asyncio.create_task(self._send(self._flow.next(self._totals.regime), due_s))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _send(self, call: Call, due_s: float) -> None:
        self._totals.sent += 1
        try:
            status, body = await self._connections.exchange(call, ANSWER_LIMIT_S)
            if self._connections.lost:
                self._connections.lost = False
                self._flow.reset()
            self._flow.learn(call, status, body)
        except TimeoutError:
            self._totals.errors += 1
            return
        except (OSError, EOFError, ValueError, KeyError, IndexError):
            # Gone or replaced: whatever comes up there next starts with an empty book.
            self._totals.errors += 1
            self._flow.reset()
            return
        self._totals.answered += 1
        self._totals.errors += status >= 500
        taken_s = asyncio.get_running_loop().time() - due_s
        self._totals.latencies_us[self._service].append(int(taken_s * 1e6))


class FleetNode(Struct, frozen=True):
    """What matters here of a node in the deployer's answer; `weight` in percent, None where the traffic is not shared out."""

    url: str
    weight: int | None = None

    def share(self, nodes: int) -> float:
        """Of `nodes` of them: 1.0 is even."""
        return 1.0 if self.weight is None else self.weight * nodes / 100


class Fleet(Struct, frozen=True):
    """What matters here of the deployer's answer."""

    nodes: list[FleetNode] = []


class Traffic:
    """One lane for each production node that the deployer names. Lives in one event loop."""

    def __init__(self, directory: Path, totals: Totals) -> None:
        self._directory = directory
        self._totals = totals
        self._run = f"{processes.now_us():x}"
        self._lanes: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._lane_of: dict[tuple[str, str], Lane] = {}
        self._deployer: tuple[int, Connections] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the deployer until `stop` is set. With the deployer away the known nodes go on getting traffic."""
        try:
            while not stop.is_set():
                await self._follow()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOKUP_INTERVAL_S)
        finally:
            for lane in self._lanes.values():
                lane.cancel()
            await asyncio.gather(*self._lanes.values(), return_exceptions=True)
            if self._deployer:
                await self._deployer[1].close()

    async def _follow(self) -> None:
        connections = await self._find_deployer()
        if connections is None:
            return
        for service in SERVICES:
            try:
                call = Call("GET", f"/v1/environments/{ENVIRONMENT}/services/{service}")
                status, body = await connections.exchange(call, LOOKUP_LIMIT_S)
                if status == 200:
                    await self._serve(service, msgspec.json.decode(body, type=Fleet))
            except (OSError, EOFError, ValueError, IndexError):
                # Down or moving; its run file says where it is next.
                return

    async def _find_deployer(self) -> Connections | None:
        file = processes.read_run_file(self._directory, "deployer")
        port = file["port"] if file and Path(f"/proc/{file['pid']}").exists() else 0
        if self._deployer and self._deployer[0] != port:
            await self._deployer[1].close()
            self._deployer = None
        if not self._deployer and 0 < port < 65536:
            self._deployer = (port, Connections("127.0.0.1", port))
        return self._deployer[1] if self._deployer else None

    async def _serve(self, service: str, fleet: Fleet) -> None:
        shares = {(service, node.url): node.share(len(fleet.nodes)) for node in fleet.nodes if is_loopback(node.url)}
        wanted = set(shares)
        gone = [key for key, task in self._lanes.items() if key[0] == service and (key not in wanted or task.done())]
        for key in gone:
            self._lanes[key].cancel()
            await asyncio.gather(self._lanes.pop(key), return_exceptions=True)
        for key in sorted(wanted - set(self._lanes)):
            flow = make_flow(service, key[1], self._run)
            lane = Lane(service, key[1], flow, self._totals, Random(key[1]))  # noqa: S311 - arrivals, not a secret
            lane.share = shares[key]
            self._lanes[key], self._lane_of[key] = asyncio.create_task(lane.run()), lane
        self._lane_of = {key: lane for key, lane in self._lane_of.items() if key in self._lanes}
        for key, share in shares.items():
            self._lane_of[key].share = share
        self._totals.nodes[service] = sorted(url for name, url in self._lanes if name == service)


def is_loopback(url: str) -> bool:
    """Whether this is a node as the playground starts them: nothing else ever gets traffic."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and parts.hostname == "127.0.0.1" and bool(parts.port)
    except ValueError:
        return False


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /v1/regime."""

    regime: str


def make_router(totals: Totals) -> Router:
    """GET and PUT /v1/regime. Handlers run in the control's threads."""

    def show(_request: Request) -> Response:
        return Response(totals.status())

    def switch(request: Request) -> Response:
        wanted = request.json(Wanted).regime
        if wanted not in REGIMES:
            raise ApiError(422, "Unknown regime", "there is no such regime", f"It is one of: {', '.join(REGIMES)}.")
        totals.switch(wanted)
        return show(request)

    return Router([("GET", "/v1/regime", show), ("PUT", "/v1/regime", switch)])


async def _serve_until_told(directory: Path, totals: Totals) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Traffic(directory, totals).run(stop)


def main(argv: list[str] | None = None, run: Callable[[Path, Totals], Any] = _serve_until_told) -> int:
    """Send traffic until SIGTERM. Starts calm."""
    parser = argparse.ArgumentParser(description="Traffic for the playground's production nodes.")
    parser.add_argument("--directory", type=Path, required=True, help="the playground's directory")
    directory = parser.parse_args(argv).directory.absolute()
    try:
        claimed = processes.claim(directory, PART)
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 1
    totals = Totals()
    with claimed, Server(make_router(totals), processes.read_run_file(directory, PART).get("port", 0)) as server:
        control = threading.Thread(target=server.serve_forever, name="control", daemon=True)
        control.start()
        processes.write_run_file(directory, PART, server.port)
        try:
            asyncio.run(run(directory, totals))
        finally:
            server.shutdown()
            control.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
