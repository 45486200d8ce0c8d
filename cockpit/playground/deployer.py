"""The playground's deployer: `python -m cockpit.playground.deployer --directory DIR` serves resources/openapi/deployment-v1.yaml.

Nodes live in sessions of their own: they outlast this program and are taken over by the next one.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from cockpit.playground import processes
from cockpit.playground.automatic import Automation
from cockpit.playground.deployments import Deployment, DeploymentRequest, Deployments, Pace
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.nodes import Layout, Nodes
from cockpit.playground.places import OFFERS, PLACE, PlaceApi
from cockpit.playground.server import ApiError, Request, Response, Router, Server
from cockpit.playground.tags import SERVICES, Tag, read_tags

PART = "deployer"
_TICK_S = 1.0
_WATCH_EVERY = 2


class Api:
    """The operations of the deployment API. Called by many threads."""

    def __init__(self, deployments: Deployments, automation: Automation, ready: Callable[[], bool]) -> None:
        self._deployments = deployments
        self._nodes: Nodes = deployments.nodes
        self._layout = deployments.layout
        self._ready = ready
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="ask")
        self._places = PlaceApi(deployments, automation, self._pool)
        self.router = Router(
            [
                ("GET", "/v1/health", self.health),
                ("GET", "/v1/environments", self.environments),
                *self._places.routes(),
                ("GET", f"{PLACE}/deployments", self.history),
                ("GET", "/v1/services/{service}/artifacts", self.artifacts),
                ("POST", "/v1/deployments", self.deploy),
                ("GET", "/v1/deployments/by-key/{key}", self.by_key),
                ("GET", "/v1/deployments/{id}", self.deployment),
                ("POST", "/v1/deployments/{id}/abort", self.abort),
            ]
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def health(self, _: Request) -> Response:
        return Response({"name": "playground deployer", "version": "1.1", "identity": "", "ready": self._ready(), "offers": OFFERS})

    def environments(self, _: Request) -> Response:
        services = list(self._layout.services)
        items = self._layout.environments.items()
        return Response({"environments": [{"name": name, "services": services, "nodes": count} for name, count in items]})

    def _history(self, service: str, environment: str) -> list[Deployment]:
        return [d for d in self._deployments.all() if (d.service, d.environment) == (service, environment)]

    def history(self, request: Request) -> Response:
        service, environment = self._places.place(request)
        return Response({"deployments": self._history(service, environment)[: request.limit]})

    def artifacts(self, request: Request) -> Response:
        service = request.params["service"]
        if service not in self._layout.services:
            raise ApiError(404, "Unknown service", f"there is no service {service}", "GET /v1/environments lists what there is.")
        return Response({"artifacts": self._nodes.artifacts.of(service)})

    def deploy(self, request: Request) -> Response:
        key = request.key
        deployment, new = self._deployments.accept(request.json(DeploymentRequest), key)
        return Response(deployment, 201 if new else 200, headers={"Location": f"/v1/deployments/{deployment.id}"} if new else {})

    def by_key(self, request: Request) -> Response:
        return _found(self._deployments.by_key(request.params["key"]), "no deployment was accepted with this key")

    def deployment(self, request: Request) -> Response:
        return _found(self._deployments.get(request.params["id"]), "there is no deployment with this id")

    def abort(self, request: Request) -> Response:
        return _found(self._deployments.abort(request.params["id"]), "there is no deployment with this id")


def _found(deployment: Deployment | None, words: str) -> Response:
    if deployment is None:
        raise ApiError(404, "Unknown deployment", words)
    return Response(deployment)


class Keeper:
    """Builds artifacts of new tags, sets empty places up, keeps nodes running, deploys by itself. `tick` once a second, in one thread."""

    def __init__(self, directory: Path, deployments: Deployments, automation: Automation, released: dict[str, str]) -> None:
        self._repository = directory / "repo"
        self._deployments = deployments
        self._automation = automation
        self._released = released
        self._ticks = 0
        self._complaint = ""
        self._set_up: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the first set-up has been done (nothing to set up counts as done)."""
        return not self._released or (self._set_up is not None and not self._set_up.is_alive())

    def tick(self) -> None:
        if self._ticks % _WATCH_EVERY == 0 and self._ticks:
            self._deployments.nodes.watch()
        self._ticks += 1
        try:
            tags = read_tags(self._repository, self._deployments.layout.services)
            if tags and self._set_up is None:
                self._begin(tags)
            for tag in tags:
                self._deployments.nodes.artifacts.build(tag)
            if self.ready:
                self._automation.tick()
            self._complaint = ""
        except (PlaygroundError, OSError) as error:
            # said once, not each second
            if str(error) != self._complaint:
                self._complaint = str(error)
                print(error, file=sys.stderr, flush=True)

    def _begin(self, tags: list[Tag]) -> None:
        """Start what was released before, then what is released now, on every node that never ran anything."""
        plans = {}
        for service, version in self._released.items():
            mine = [t for t in tags if t.service == service]
            position = next((i for i, t in enumerate(mine) if t.version == version), None)
            if position is not None:
                plans[service] = [self._deployments.nodes.artifacts.build(t) for t in reversed(mine[position : position + 2])]
        places = [(s, e) for s in plans for e in self._deployments.layout.environments]
        jobs = [threading.Thread(target=self._deployments.provision, args=(s, e, plans[s]), daemon=True) for s, e in places]
        self._set_up = threading.Thread(target=_run_all, args=(jobs,), name="set-up", daemon=True)
        self._set_up.start()


def _run_all(jobs: list[threading.Thread]) -> None:
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


def _pairs(values: list[str]) -> dict[str, str]:
    return dict(value.partition("=")[::2] for value in values)


def _arguments(argv: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(prog="cockpit.playground.deployer", description="The playground's deployer.")
    parser.add_argument("--directory", type=Path, required=True, help="the playground's directory")
    parser.add_argument("--services", default=",".join(SERVICES), help="names, with commas between")
    parser.add_argument("--environment", action="append", default=[], metavar="NAME=NODES", help="default: staging=2 production=4")
    parser.add_argument("--released", action="append", default=[], metavar="SERVICE=VERSION", help="put everywhere at the first start")
    parser.add_argument("--drain-s", type=float, default=Pace().drain_s)
    parser.add_argument("--check-limit-s", type=float, default=Pace().check_limit_s)
    parser.add_argument("--automatic-s", type=float, default=Pace().automatic_s)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM; nodes go on running."""
    options = _arguments(argv)
    directory = options.directory.absolute()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        claimed = processes.claim(directory, PART)
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 1
    layout = Layout(tuple(options.services.split(",")))
    if options.environment:
        layout = msgspec.structs.replace(layout, environments={n: int(c) for n, c in _pairs(options.environment).items()})
    with claimed:
        deployments = Deployments(directory, layout, Pace(options.drain_s, options.check_limit_s, options.automatic_s))
        automation = Automation(deployments)
        deployments.resume()
        deployments.nodes.watch()
        keeper = Keeper(directory, deployments, automation, _pairs(options.released))
        api = Api(deployments, automation, lambda: keeper.ready)
        with Server(api.router, processes.read_run_file(directory, PART).get("port", 0)) as server:
            threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
            processes.write_run_file(directory, PART, server.port)
            keeper.tick()
            while not stop.wait(_TICK_S):
                keeper.tick()
            server.shutdown()
        api.close()
        deployments.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
