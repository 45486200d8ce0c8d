"""The hosts of all environments: the engine of each, and one look at a service on all of them."""

from __future__ import annotations

from collections.abc import Mapping
from os.path import isfile
from urllib.parse import urlsplit

from msgspec.structs import replace

from cockpit.connectors.engine_host import Engine
from cockpit.connectors.engine_moves import Setup
from cockpit.connectors.engine_state import View, parts_of
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.http_answers import checked_address
from cockpit.connectors.http_unix import UnixHttpClient
from cockpit.connectors.many import ask
from cockpit.connectors.places import parse_places
from cockpit.connectors.rolling import Part
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import web_address
from cockpit.domain.errors import ConfigError, ConnectorError, NotFound

HEALTH_LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=2.0, deadline_s=2.0, body_bytes=1024 * 1024, retries=0)
UNIX = "unix://"


class Hosts:
    """Engines by environment and node. Blocks; from any thread; ConnectorErrors only.

    `nodes`: environment/node=address; an address is http(s)://host:port or unix:///path. `limits` cover one question or one wish.
    """

    def __init__(self, nodes: str, setup: Setup, limits: Limits, ca_file: str = "", certificate: tuple[str, str] | None = None) -> None:
        def check(address: str) -> object:
            return UnixHttpClient(address[len(UNIX) :]) if address.startswith(UNIX) else checked_address(address, ca_file)

        self._places = parse_places(nodes, check)
        used = [address for hosts in self._places.values() for address in hosts.values()]
        if len(set(used)) != len(used):
            raise ConfigError("nodes: two nodes have the same address.", hint="Each node is an engine of its own.")
        self.setup = setup
        self._serves: dict[tuple[str, str, str], bool] = {}  # what hosts said, for when they are silent
        self._clients: dict[str, HttpClient] = {}

        def engine(node: str, address: str) -> Engine:
            name = f"The engine on {node}"
            if address.startswith(UNIX):
                return Engine(UnixHttpClient(address[len(UNIX) :], name=name, limits=limits))
            return Engine(HttpClient(address, name=name, limits=limits, ca_file=ca_file, certificate=certificate))

        self.engines = {place: {node: engine(node, address) for node, address in hosts.items()} for place, hosts in self._places.items()}

    def close(self) -> None:
        """Close kept connections."""
        for engines in self.engines.values():
            for engine in engines.values():
                engine.close()
        for client in list(self._clients.values()):
            client.close()

    def of(self, environment: str) -> dict[str, Engine]:
        """The engines of an environment; NotFound where there is none."""
        if environment not in self.engines:
            shown = one_line(environment, 100)
            raise NotFound(f"There is no node of “{shown}” in the settings.", hint="Add it to `nodes` of this connection.")
        return self.engines[environment]

    def look(self, service: str, environment: str) -> tuple[dict[str, View], dict[str, str]]:
        """(the hosts that run the service, why each other one is silent); the error where none answers."""
        names = {name: name for name in self.of(environment)}
        answers = ask(names, lambda name: self.view(service, environment, name))
        for name, answer in answers.items():
            if isinstance(answer, (View, NotFound)):
                self._serves[environment, name, service] = isinstance(answer, View)
        views = {name: answer for name, answer in answers.items() if isinstance(answer, View)}
        silent = {n: a for n, a in answers.items() if isinstance(a, ConnectorError) and self._serves.get((environment, n, service), True)}
        if not views:
            raise next(iter(silent.values() or (a for a in answers.values() if isinstance(a, ConnectorError))))
        return views, {name: one_line(error.message, 300) for name, error in silent.items()}

    def view(self, service: str, environment: str, name: str) -> View:
        """One host's view of a service, with what its health address says."""
        setup = self.setup
        view = self.of(environment)[name].view(setup.name_of(service), setup.repository_of(service), setup.by_id)
        serving = view.serving()
        if not setup.health or serving is None or not serving.running:
            return view
        return replace(view, answers=self._healthy(self._fill(setup.health, name, service, environment)))

    def url(self, name: str, service: str, environment: str) -> str:
        """The node's own address, "" where none is configured."""
        return web_address(self._fill(self.setup.address, name, service, environment))

    def _healthy(self, url: str) -> bool:
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        try:
            client = self._clients.get(base) or self._clients.setdefault(base, HttpClient(base, limits=HEALTH_LIMITS))
            client.get_answer((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        except (ConnectorError, ConfigError):
            return False
        return True

    def _fill(self, pattern: str, name: str, service: str, environment: str) -> str:
        address = self._places[environment][name]
        host = "127.0.0.1" if address.startswith(UNIX) else urlsplit(address).hostname or ""
        for word, value in {"host": host, "node": name, "service": service, "environment": environment}.items():
            pattern = pattern.replace(f"{{{word}}}", value)
        return pattern


def pieces(views: Mapping[str, View], silent: Mapping[str, str], service: str, environment: str) -> dict[str, dict[str, Part]]:
    """Deployments by key, each with its parts by node.

    Where nothing waits and nothing is at work any more it is over, also on a host whose container somebody removed.
    """
    found: dict[str, dict[str, Part]] = {}
    for name, view in views.items():
        for key, part in parts_of(view, service, environment).items():
            found.setdefault(key, {})[name] = part
    for key, parts in found.items():
        nodes = next(iter(parts.values())).record.nodes
        waits = any(part.under_way or (part.state == "pending" and not part.aborted) for part in parts.values())
        if not waits and not set(nodes) & set(silent):
            found[key] = {name: replace(part, closed=True) for name, part in parts.items()}
    return found


def make_hosts(options: Mapping[str, str]) -> Hosts:
    """The hosts that the options of a connection name; ConfigError for what cannot be used."""
    numbers = {}
    for name, default, limit in (("check_s", 60.0, 3600), ("stop_s", 10.0, 600)):
        try:
            numbers[name] = float(options.get(name) or default)
        except ValueError:
            numbers[name] = -1.0
        if not 0 <= numbers[name] <= limit:
            raise ConfigError(f"{name}: must be a number of seconds up to {limit}.", hint="Correct it in the settings.")
    certificate = (options.get("certificate", ""), options.get("certificate_key", ""))
    if any(certificate) and not all(isfile(path) for path in certificate):
        raise ConfigError("certificate: both it and its key must be files.", hint="Give the PEM files of both, or neither.")
    setup = Setup(
        image=options["image"],
        container=options.get("container") or "{service}",
        health=options.get("health", ""),
        address=options.get("address", ""),
        check_s=numbers["check_s"],
        stop_s=int(numbers["stop_s"]),
        by_id=not options.get("registry"),
    )
    # an engine answers a wish to stop only when it is done
    wait_s = numbers["stop_s"] + 5.0
    limits = Limits(connect_timeout_s=3.0, read_timeout_s=wait_s, deadline_s=max(30.0, wait_s), retries=0)
    return Hosts(options["nodes"], setup, limits, options.get("ca_file", ""), certificate if all(certificate) else None)
