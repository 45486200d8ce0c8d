"""Latency as a client sees it: requests of our own, at a fixed rate, whatever the nodes do.

The loop is open: a request leaves when its time has come, also while earlier ones hang, and its latency counts from that intended moment.
So a node that stalls for a second shows as many slow requests as clients would have had then, not as one. All of it runs in one thread.
"""

from __future__ import annotations

import bisect
import math
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from cockpit.connectors.http_answers import checked_address, header_value
from cockpit.connectors.http_probe_request import Request, send
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, CockpitError, ConfigError, ConnectorError, Unreachable
from cockpit.domain.metrics import Histogram, Reading
from cockpit.domain.release import Node

if TYPE_CHECKING:
    import asyncio

BOUNDS_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, math.inf),
)
MAX_RATE, MAX_TIMEOUT_S, MAX_PATHS, MAX_NODES = 50.0, 10.0, 20, 500
MAX_UNANSWERED = 2000  # requests under way at once, all nodes together
FORGET_S = 120.0  # a node that nobody asked about for so long is left alone
_HINT = "Check that the nodes run, that their addresses are right, and the paths of this connection."
_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")


class Target(Struct):
    """One path of one node, and what was seen of it. Written by the loop's thread, read under the lock."""

    request: Request
    operation: str
    counts: list[int]
    due_s: float
    errors: int = 0
    sum_s: float = 0.0
    status: int = 0
    answered: bool = False
    done: int = 0


class _Place(Struct):
    """One node with its targets. `asked_s`: when somebody last asked about it."""

    url: str
    targets: list[Target]
    asked_s: float


def parse_paths(text: str) -> tuple[tuple[str, str], ...]:
    """(operation, path) of each entry; an operation without a name is called as its path. ConfigError for mistakes."""
    found: dict[str, str] = {}
    for entry in re.split(r"[\s,]+", text.strip()):
        operation, _, path = entry.rpartition("=") if not entry.startswith("/") else ("", "", entry)
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or "#" in path:
            raise ConfigError(f"paths: “{one_line(entry, 100)}” is no path.", hint="Write operation=/path, or /path.")
        if (operation or path) in found:
            raise ConfigError(f"paths: “{one_line(operation or path, 100)}” stands there twice.", hint="Give each operation one path.")
        found[operation or path] = path
    if len(found) > MAX_PATHS:
        raise ConfigError(f"paths: more than {MAX_PATHS} are too many.", hint="Probe what matters most.")
    return tuple(found.items())


def _number(text: str, name: str, least: float, most: float) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not least <= value <= most:
        raise ConfigError(f"{name}: must be a number from {least:g} to {most:g}.", hint="Correct it in the settings.")
    return value


class HttpProbe:
    """MetricsApi by requests of our own. Blocks for the first answers of new nodes only; from any thread; ConnectorErrors only.

    `rate`: requests a second to each node and path. Errors are answers of 500 and above, broken connections, and what takes longer than
    `timeout_s`. A node that answered once and hangs now is no silent node: its errors are what is to be seen. `token` goes to each node.
    """

    def __init__(
        self, paths: str, rate: str = "2", timeout_s: str = "2", *, token: Callable[[], str] | None = None, ca_file: str = ""
    ) -> None:
        self._paths = parse_paths(paths)
        self._interval_s = 1.0 / _number(rate, "rate", 0.1, MAX_RATE)
        self._timeout_s = _number(timeout_s, "timeout_s", 0.05, MAX_TIMEOUT_S)
        checked_address("http://localhost", ca_file)
        self._token, self._ca_file = token, ca_file
        self._changed = threading.Condition()
        self._places: dict[tuple[str, str, str], _Place] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._stopping = False
        self._tls: Any = None
        self._last: tuple[Node, ...] = ()

    def close(self) -> None:
        """End the requests and their thread; what was counted is forgotten. It may be used again."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            if self._loop is not None and self._wake is not None:
                self._loop.call_soon_threadsafe(self._wake.set)
        if thread is not None:
            thread.join()
        with self._changed:
            self._places.clear()

    def read(self, nodes: tuple[Node, ...]) -> tuple[Reading, ...]:
        """What was seen of each node that ever answered, in the order of `nodes`. New nodes are asked from now on."""
        known = tuple(node for node in nodes if node.url)[:MAX_NODES]
        self._last = known or self._last
        places = self._watch(known)
        limit_s = time.monotonic() + self._timeout_s + 1.0
        with self._changed:
            while not all(place.targets[0].done for _, place in places) and (left := limit_s - time.monotonic()) > 0:
                self._changed.wait(left)
            readings = tuple(self._reading(node, place) for node, place in places if any(t.answered for t in place.targets))
        if not readings and nodes:
            why = "None of them has an address." if not known else "Nothing answers at their addresses."
            raise Unreachable(f"No node answered. {why}", hint=_HINT)
        return readings

    def probe(self) -> Probe:
        """How many of the nodes known from the last read answer, and which paths answer with something else than success."""
        if not self._last:
            return Probe("the nodes that the deployment system names", missing=("no node is known yet",))
        readings = self.read(self._last)
        silent = sorted({node.name for node in self._last} - {reading.node for reading in readings})
        with self._changed:
            odd = {(t.request.target, t.status) for place in self._places.values() for t in place.targets if t.status >= 400}
        missing = [f"no answer from {name}" for name in silent] + [f"{path} answers {status}" for path, status in sorted(odd)]
        return Probe(f"{len(readings)} of {len(self._last)} nodes", missing=tuple(missing))

    # the nodes that are watched

    def _watch(self, nodes: tuple[Node, ...]) -> list[tuple[Node, _Place]]:
        token = self._secret()
        found = []
        with self._changed:
            now = time.monotonic()
            for index, node in enumerate(nodes):
                key = (node.service, node.environment, node.name)
                place = self._places.get(key)
                if place is None or place.url != node.url:
                    made = self._made(node, token, now + 0.005 * index)
                    if made is None:
                        continue
                    place = self._places[key] = made
                place.asked_s = now
                found.append((node, place))
            if found:
                self._begin()
        return found

    def _secret(self) -> str:
        try:
            return header_value(self._token() if self._token is not None else "", "the token")
        except ConnectorError:
            raise
        except CockpitError as error:  # a locked keyring, say
            raise AuthFailed(error.message, hint=error.hint, title=error.title) from None

    def _made(self, node: Node, token: str, first_s: float) -> _Place | None:
        try:
            parts = checked_address(node.url)
        except CockpitError:
            return None  # it is told as a node that does not answer
        secure, host = parts.scheme == "https", parts.hostname or ""
        if secure and self._tls is None:
            self._tls = self._context()
        port = parts.port or (443 if secure else 80)
        prefix = urlsplit(node.url).path.rstrip("/")
        targets = [
            Target(Request(host, port, parts.netloc, prefix + path, token, secure), operation, [0] * len(BOUNDS_S), first_s)
            for operation, path in self._paths
        ]
        return _Place(node.url, targets, first_s)

    def _context(self) -> Any:
        import ssl

        try:
            return ssl.create_default_context(cafile=self._ca_file or None)
        except OSError:
            shown = one_line(self._ca_file, 200)
            raise ConfigError(f"“{shown}” holds no certificate.", hint="Set `ca_file` to a PEM file, or leave it out.") from None

    def _reading(self, node: Node, place: _Place) -> Reading:
        operations = {}
        for target in place.targets:
            total, counts = 0, []
            for count in target.counts:
                total += count
                counts.append(float(total))
            operations[target.operation] = Histogram(BOUNDS_S, tuple(counts), target.sum_s, float(target.errors))
        return Reading(node.name, node.service, node.environment, time.time_ns() // 1000, operations)

    # the thread

    def _begin(self) -> None:
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="http-probe", daemon=True)
            self._thread.start()
        elif self._loop is not None and self._wake is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    def _run(self) -> None:
        import asyncio

        asyncio.run(self._drive())

    async def _drive(self) -> None:
        import asyncio

        with self._changed:
            self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
            wake = self._wake
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                wake.clear()
                due, next_s = self._due(time.monotonic())
                if self._stopping:
                    return
                for target, intended_s in due:
                    if len(under_way) < MAX_UNANSWERED:
                        task = asyncio.create_task(self._one(target, intended_s, self._tls if target.request.secure else None))
                        under_way.add(task)
                        task.add_done_callback(under_way.discard)
                try:
                    await asyncio.wait_for(wake.wait(), max(0.0, next_s - time.monotonic()))
                except TimeoutError:
                    continue
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            with self._changed:
                self._loop = self._wake = None

    def _due(self, now: float) -> tuple[list[tuple[Target, float]], float]:
        """(what is to leave now with its intended moment, when the next one is due)."""
        due, next_s = [], now + 1.0
        with self._changed:
            for key in [key for key, place in self._places.items() if now - place.asked_s > FORGET_S]:
                del self._places[key]
            for place in self._places.values():
                for target in place.targets:
                    if target.due_s <= now:
                        late = int((now - target.due_s) / self._interval_s)
                        # what this process itself missed, asleep say, tells nothing of the node, and is not made up for in a burst
                        target.due_s += late * self._interval_s
                        due.append((target, target.due_s))
                        target.due_s += self._interval_s
                    next_s = min(next_s, target.due_s)
        return due, next_s

    async def _one(self, target: Target, intended_s: float, tls: Any) -> None:
        import asyncio

        status = 0
        try:
            async with asyncio.timeout(max(0.001, intended_s + self._timeout_s - time.monotonic())):
                status = await send(target.request, tls)
        except (OSError, TimeoutError, ValueError, EOFError):
            status = 0  # counted below as what it is: a request without an answer
        took_s = time.monotonic() - intended_s
        with self._changed:
            target.counts[bisect.bisect_left(BOUNDS_S, took_s)] += 1
            target.sum_s += took_s
            target.errors += status == 0 or status >= 500
            target.status = status or target.status
            target.answered = target.answered or status > 0
            target.done += 1
            self._changed.notify_all()
