"""The traffic of a HAProxy through its runtime API: what share each server gets, and taking one out at once.

The API has no login and takes one line of commands, so only a local socket is spoken to, and only names that HAProxy itself allows go in.
"""

from __future__ import annotations

import contextlib
import csv
import re
import socket
import time

from msgspec import Struct

from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable

ANSWER_BYTES = 8 * 1024 * 1024
LINE_BYTES = 12_000  # HAProxy takes a line of 16 kB with its usual buffers
MAX_WEIGHT = 256
MAX_TIMEOUT_S = 60.0
_LEGAL = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
# forced, inherited and unresolved maintenance, forced and inherited drain
_TAKEN_OUT = 0x01 | 0x02 | 0x20 | 0x40 | 0x08 | 0x10
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_HINT = "Check the socket and the patterns in the settings against HAProxy's configuration."
_HINT_UNKNOWN = "Look at the shares that hold now, then decide."


class Server(Struct, frozen=True):
    """One server of a backend. `weight` 0..256; `open`: nobody took it out; `up`: its health check lets it serve."""

    name: str
    weight: int
    open: bool
    up: bool = True


class Haproxy:
    """Traffic by the runtime API. Blocks at most `timeout_s` seconds per question; ConnectorErrors only.

    Shares are set as absolute weights: a percent of the configured weight would round a small one to nothing. Servers whose name does not
    fit the pattern keep their own name; spare (backup) servers are left alone. What somebody took out has the share 0.
    """

    def __init__(self, socket: str, backend: str, server: str = "{node}", timeout_s: str = "5") -> None:
        self._address = _address(socket)
        self._backend = _pattern("backend", backend, ("service", "environment"))
        self._server = _pattern("server", server, ("service", "environment", "node"))
        if self._server.count("{node}") != 1:
            raise ConfigError("server: does not say where the node's name is.", hint="Put {node} into it once.")
        self._timeout_s = float(timeout_s) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", timeout_s) else 0.0
        if not 0 < self._timeout_s <= MAX_TIMEOUT_S:
            raise ConfigError(f"timeout_s: must be a number of seconds up to {MAX_TIMEOUT_S:g}.", hint="Correct it in the settings.")

    def close(self) -> None:
        """Nothing is held between calls."""

    def weights(self, service: str, environment: str) -> dict[str, int]:
        """Percent of the traffic by node; together 100, or all 0 where nothing is served."""
        return shares_of(self._servers(service, environment))

    def set_weights(self, service: str, environment: str, weights: dict[str, int]) -> dict[str, int]:
        """Give these nodes their percent, and the others the rest as they shared it before; answers what holds then. Sent once."""
        servers = self._servers(service, environment)
        now = shares_of(servers)
        new = new_shares(servers, weights)
        if new == now:
            return now
        raised_first = sorted((n for n in new if servers[n].open and servers[n].weight != new[n]), key=lambda n: servers[n].weight - new[n])
        return self._change(service, environment, servers, {n: f"weight {new[n]}" for n in raised_first})

    def drain(self, service: str, environment: str, node: str) -> dict[str, int]:
        """Take a node out: no new connections, those it has end by themselves. Answers the shares then; Rejected for the last one."""
        servers = self._servers(service, environment)
        if not _known(servers, node).open:
            return shares_of(servers)
        if not any(s.open and s.up and s.weight for name, s in servers.items() if name != node):
            raise Rejected(f"“{one_line(node, 100)}” is the last node that serves there.", hint="Bring another one in first.")
        return self._change(service, environment, servers, {node: "state drain"})

    def ready(self, service: str, environment: str, node: str) -> dict[str, int]:
        """Bring a node back in with the weight it had. Answers the shares then."""
        servers = self._servers(service, environment)
        if _known(servers, node).open:
            return shares_of(servers)
        return self._change(service, environment, servers, {node: "state ready"})

    def probe(self) -> Probe:
        """Its version; `missing` says where the socket only allows reading."""
        name, version = parse_info(self._ask("show info"))
        # a question that only the level admin may ask, and that changes nothing
        denied = _denied(self._ask("set server -/- weight 1"))
        return Probe(f"{name} {version}", missing=("the level admin on its socket, to share the traffic out",) if denied else ())

    def _servers(self, service: str, environment: str) -> dict[str, Server]:
        """By node."""
        backend = self._name_of(service, environment)
        spares = parse_spares(self._ask(f"show stat {backend} 4 -1"), backend)
        found = parse_servers(self._ask(f"show servers state {backend}"), backend)
        before, _, after = _filled(self._server, service, environment).partition("{node}")
        answer: dict[str, Server] = {}
        for server in found:
            if server.name in spares:
                continue
            inner = server.name[len(before) : len(server.name) - len(after)]
            node = inner if inner and server.name == f"{before}{inner}{after}" else server.name
            if node in answer:
                raise BadPayload(f"Two servers of “{backend}” are the node “{node}”.", hint=_HINT)
            answer[node] = server
        return answer

    def _name_of(self, service: str, environment: str) -> str:
        name = _filled(self._backend, service, environment)
        if not _LEGAL.fullmatch(name):
            raise NotFound(f"“{one_line(name, 100)}” cannot be a backend of HAProxy.", hint="Its names have letters, digits and _ . : -")
        return name

    def _change(self, service: str, environment: str, servers: dict[str, Server], wanted: dict[str, str]) -> dict[str, int]:
        backend = self._name_of(service, environment)
        line = "; ".join(f"set server {backend}/{servers[node].name} {what}" for node, what in wanted.items())
        if len(line) > LINE_BYTES:
            raise Rejected(f"{len(wanted)} servers are too many to change at once.", hint="Change fewer at a time.")
        words = one_line(self._ask(line, changes=True), 300)
        try:
            now = self._servers(service, environment)
        except ConnectorError as error:
            raise OutcomeUnknown(f"HAProxy took the change, and what holds now is not known: {error.message}", hint=_HINT_UNKNOWN) from None
        if words and now != servers:
            raise OutcomeUnknown(f"HAProxy did only a part: {words}", hint=_HINT_UNKNOWN)
        if words:
            raise _refusal(words)
        return shares_of(now)

    def _ask(self, line: str, changes: bool = False) -> str:
        """The answer to one line. The connection ends with it."""
        deadline = time.monotonic() + self._timeout_s
        sent = False
        try:
            with _connected(self._address, self._timeout_s) as connection:
                sent = True
                connection.sendall(line.encode("ascii") + b"\n")
                answer = _received(connection, deadline)
        except PermissionError:
            raise AuthFailed("HAProxy's socket may not be used by this account.", hint="Change its mode or group, or yours.") from None
        except OSError as error:
            what = "did not answer in time" if isinstance(error, TimeoutError) else one_line(error.strerror or type(error).__name__, 100)
            if changes and sent:
                raise OutcomeUnknown(f"HAProxy was asked for a change: {what}.", hint=_HINT_UNKNOWN) from None
            raise Unreachable(f"HAProxy's socket: {what}.", hint="Check that HAProxy runs, and the socket in the settings.") from None
        if not answer.endswith("\n"):
            raise (OutcomeUnknown if changes else Unreachable)("HAProxy's answer broke off.", hint=_HINT_UNKNOWN)
        return answer


def parse_servers(text: str, backend: str) -> tuple[Server, ...]:
    """The answer to `show servers state`. NotFound, AuthFailed or Rejected for an answer in words, BadPayload for any other."""
    lines = text.strip("\n").split("\n")
    if lines[0] != "1":
        raise _refusal(one_line(text, 300)) if lines[0] else BadPayload("HAProxy answered nothing.", hint=_HINT)
    head = lines[1].removeprefix("# ").split(" ") if len(lines) > 1 else []
    found = []
    for line in lines[2:]:
        row = dict(zip(head, line.split(" "), strict=False))
        name, weight = row.get("srv_name", ""), _number(row, "srv_uweight")
        if row.get("be_name") != backend or not _LEGAL.fullmatch(name) or weight > MAX_WEIGHT:
            raise BadPayload(f"A server in HAProxy's answer is none: {one_line(line, 200)}", hint=_HINT)
        found.append(Server(name, weight, not _number(row, "srv_admin_state") & _TAKEN_OUT, _number(row, "srv_op_state") in (1, 2)))
    return tuple(found)


def parse_spares(text: str, backend: str) -> frozenset[str]:
    """The names of the backup servers, from the answer to `show stat`; the same errors."""
    if not text.startswith("# "):
        raise _refusal(one_line(text, 300)) if text.strip() else NotFound(f"HAProxy has no backend “{backend}”.", hint=_HINT)
    try:
        rows = [row for row in csv.DictReader(text[2:].strip("\n").split("\n"), strict=True) if row.get("pxname") == backend]
    except csv.Error:
        raise BadPayload("HAProxy's statistics cannot be read.", hint=_HINT) from None
    if any("svname" not in row or "bck" not in row for row in rows):
        raise BadPayload("HAProxy's statistics lack the servers' names.", hint=_HINT)
    return frozenset(row["svname"] for row in rows if row["bck"] == "1" and row["svname"])


def parse_info(text: str) -> tuple[str, str]:
    """(name, version) from the answer to `show info`."""
    lines = dict(line.partition(": ")[::2] for line in text.split("\n"))
    if "Version" not in lines:
        raise _refusal(text) if _denied(text) else BadPayload("What answers at the socket is no HAProxy.", hint=_HINT)
    return one_line(lines.get("Name", "HAProxy"), 100), one_line(lines["Version"], 100)


def shares_of(servers: dict[str, Server]) -> dict[str, int]:
    """Whole percent by node, 100 in all (largest remainders rounded up); all 0 where nothing is served."""
    return _apportioned(100, {node: server.weight if server.open else 0 for node, server in servers.items()})


def new_shares(servers: dict[str, Server], wanted: dict[str, int]) -> dict[str, int]:
    """Percent by node once `wanted` holds. Rejected where it cannot, NotFound for a node that is not there."""
    for node, percent in wanted.items():
        server = _known(servers, node)
        if not 0 <= percent <= 100:
            raise Rejected(f"{percent} is no percent.", hint="Name shares from 0 to 100.")
        if percent and not server.open:
            raise Rejected(
                f"“{one_line(node, 100)}” was taken out and can have no share.", hint="Make it ready first; nothing was changed."
            )
    rest = 100 - sum(wanted.values())
    others = {node: s.weight for node, s in servers.items() if node not in wanted and s.open}
    if rest < 0 or (rest and not others):
        raise Rejected(f"The shares add up to {100 - rest} %.", hint="Name shares of 100 % in all, or leave the rest to other nodes.")
    given = _apportioned(rest, others if any(others.values()) else dict.fromkeys(others, 1))
    return {node: wanted.get(node, given.get(node, 0)) for node in servers}


def _apportioned(total: int, parts: dict[str, int]) -> dict[str, int]:
    whole = sum(parts.values())
    if not whole:
        return dict.fromkeys(parts, 0)
    shares = {node: total * part // whole for node, part in parts.items()}
    for node in sorted(parts, key=lambda n: -(total * parts[n] % whole))[: total - sum(shares.values())]:
        shares[node] += 1
    return shares


def _known(servers: dict[str, Server], node: str) -> Server:
    if node not in servers:
        raise NotFound(f"HAProxy has no server for the node “{one_line(node, 100)}” there.", hint=f"It has: {', '.join(servers)[:300]}.")
    return servers[node]


def _number(row: dict[str, str], name: str) -> int:
    text = row.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadPayload(f"“{name}” in HAProxy's answer is no number: {one_line(text, 50)}", hint=_HINT)
    return int(text)


def _denied(text: str) -> bool:
    return text.strip().startswith("Permission denied")


def _refusal(words: str) -> ConnectorError:
    if _denied(words):
        return AuthFailed("HAProxy refuses that on this socket.", hint="Give the socket the level admin.")
    if words.startswith(("No such", "Can't find")):
        return NotFound(f"HAProxy: {words}", hint=_HINT)
    # its command line answers what it does not know with a list of what it knows
    return Rejected(f"HAProxy: {words}", hint="Its own words say what is wrong; the balance must be one that takes any weight.")


def _address(text: str) -> str | tuple[str, int]:
    host, _, port = text.rpartition(":")
    if host in _LOOPBACK and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
        return host.strip("[]"), int(port)
    if not text.startswith("/") or "\0" in text or len(text.encode("utf-8", "replace")) > 107:
        shown = one_line(text, 120)
        raise ConfigError(f"socket: “{shown}” is none.", hint="A whole path of at most 107 bytes, or 127.0.0.1:port: the API has no login.")
    return text


def _pattern(field: str, text: str, known: tuple[str, ...]) -> str:
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in known]
    if unknown or not _LEGAL.fullmatch(_PLACEHOLDER.sub("x", text)):
        what = f"fills in {{{unknown[0][:50]}}}" if unknown else "has characters that no name in HAProxy has"
        raise ConfigError(f"{field}: {what}.", hint=f"It knows {', '.join('{' + name + '}' for name in known)}.")
    return text


def _filled(pattern: str, service: str, environment: str) -> str:
    values = {"service": service, "environment": environment}
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), pattern)


def _connected(address: str | tuple[str, int], timeout_s: float) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=timeout_s)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(timeout_s)
        connection.connect(address)
        stack.pop_all()
    return connection


def _received(connection: socket.socket, deadline: float) -> str:
    answer = bytearray()
    while True:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        piece = connection.recv(65536)
        answer += piece
        if not piece:
            return answer.decode("utf-8", "replace")
        if len(answer) > ANSWER_BYTES:
            raise BadPayload("HAProxy's answer is too long and was cut off.", hint=_HINT)
        if time.monotonic() >= deadline:
            raise TimeoutError
