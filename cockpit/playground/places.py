"""The deployment API below one place (a service in an environment): its fleet, and the optional parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from cockpit.playground.automatic import Automation
from cockpit.playground.deployments import UNDER_WAY, Deployments
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.nodes import Answer, Node, Nodes, tell_mode
from cockpit.playground.server import ApiError, Handler, Request, Response
from cockpit.playground.wishes import MODES

PLACE = "/v1/environments/{environment}/services/{service}"
OFFERS = ("nodes", "holds", "mode", "weights", "automatic")
# the only environment that gets traffic
TRAFFIC = "production"
# what `drift` changes on a node: the first changes its configuration, the second a flag
DRIFT = {"max_header_bytes": "8192", "flag.log_refusals": "on"}
_Percent = Annotated[int, Meta(ge=0, le=100)]


class HoldRequest(Struct, frozen=True):
    """The body of PUT .../holds/{digest}."""

    held: bool
    reason: Annotated[str, Meta(max_length=4000)] = ""


class ModeRequest(Struct, frozen=True):
    """The body of PUT .../mode."""

    mode: str


class WeightsRequest(Struct, frozen=True):
    """The body of PUT .../weights."""

    weights: dict[str, _Percent]


class SwitchRequest(Struct, frozen=True):
    """The body of PUT .../automatic and of PUT /playground/nodes/{node}/drift."""

    on: bool


class PlaceApi:
    """The operations of one place. Called by many threads."""

    def __init__(self, deployments: Deployments, automation: Automation, pool: ThreadPoolExecutor) -> None:
        self._deployments = deployments
        self._nodes: Nodes = deployments.nodes
        self._wishes = deployments.nodes.wishes
        self._automation = automation
        self._pool = pool

    def routes(self) -> list[tuple[str, str, Handler]]:
        """For the router."""
        return [
            ("GET", PLACE, self.fleet),
            ("PUT", f"{PLACE}/holds/{{digest}}", self.hold),
            ("GET", f"{PLACE}/mode", self.mode),
            ("PUT", f"{PLACE}/mode", self.set_mode),
            ("GET", f"{PLACE}/weights", self.weights),
            ("PUT", f"{PLACE}/weights", self.set_weights),
            ("GET", f"{PLACE}/automatic", self.automatic),
            ("PUT", f"{PLACE}/automatic", self.set_automatic),
            ("PUT", "/playground/nodes/{node}/drift", self.drift),
        ]

    def place(self, request: Request) -> tuple[str, str]:
        """Service and environment; 404 where there is no such place."""
        service, environment = request.params["service"], request.params["environment"]
        layout = self._deployments.layout
        if service not in layout.services or environment not in layout.environments:
            raise ApiError(404, "Unknown place", f"there is no {service} in {environment}", "GET /v1/environments lists what there is.")
        return service, environment

    def fleet(self, request: Request) -> Response:
        """What runs there."""
        service, environment = self.place(request)
        nodes = self._nodes.of(service, environment)
        answers = list(self._pool.map(self._nodes.seen, nodes))
        mine = (d for d in self._deployments.all() if (d.service, d.environment) == (service, environment))
        return Response(
            {
                "service": service,
                "environment": environment,
                "nodes": self._shown(service, environment, answers),
                "active": next((d for d in mine if d.state in UNDER_WAY), None),
                "automatic": self._automation.words(service, environment),
                "held": list(self._wishes.held(service, environment)),
            }
        )

    def _shown(self, service: str, environment: str, answers: list[Answer]) -> list[dict[str, object]]:
        said = [msgspec.structs.asdict(answer) for answer in answers]
        if not self._wishes.shares_set(service, environment):
            return said
        weights = self._wishes.weights(service, environment, tuple(answer.name for answer in answers))
        return [{**node, "weight": weights[node["name"]]} for node in said]

    def hold(self, request: Request) -> Response:
        """Hold an artifact back or let it go."""
        service, environment = self.place(request)
        wanted, digest = request.json(HoldRequest), request.params["digest"]
        known = digest in self._wishes.held(service, environment) or self._nodes.artifacts.find(service, digest) is not None
        if not known:
            words = f"there is no artifact {digest[:12]} of {service}"
            raise ApiError(422, "Unknown artifact", words, f"GET /v1/services/{service}/artifacts lists what there is.")
        with _stored():
            self._wishes.hold(service, environment, digest, wanted.reason if wanted.held else None)
        return self.fleet(request)

    def mode(self, request: Request) -> Response:
        """What the nodes that answer say; where none does, what they will start in."""
        service, environment = self.place(request)
        said = {answer.mode for answer in self._pool.map(self._nodes.seen, self._nodes.of(service, environment)) if answer.healthy}
        if said == {""}:
            raise ApiError(404, "No trading modes", f"the nodes of {service} in {environment} have none", "Deploy a version that has them.")
        found = said - {""} or {self._wishes.mode(service, environment)}
        return Response({"mode": next(iter(found)) if len(found) == 1 else "mixed"})

    def set_mode(self, request: Request) -> Response:
        """Keep the mode, then tell every node."""
        service, environment = self.place(request)
        wanted = request.json(ModeRequest).mode
        if wanted not in MODES:
            raise ApiError(422, "Unknown mode", "there is no such mode", f"It is one of: {', '.join(MODES)}.")
        self.mode(request)
        with _stored():
            self._wishes.set_mode(service, environment, wanted)
        nodes = self._nodes.of(service, environment)
        list(self._pool.map(lambda node: tell_mode(node, wanted), nodes))
        for node in nodes:
            node.changed()
        return self.mode(request)

    def _shared(self, request: Request) -> tuple[str, str, tuple[str, ...]]:
        service, environment = self.place(request)
        if environment != TRAFFIC:
            raise ApiError(404, "No traffic there", f"{environment} gets no traffic", f"Share out that of {TRAFFIC}.")
        return service, environment, tuple(node.name for node in self._nodes.of(service, environment))

    def weights(self, request: Request) -> Response:
        """The shares of the traffic."""
        return Response({"weights": self._wishes.weights(*self._shared(request))})

    def set_weights(self, request: Request) -> Response:
        """Share the traffic out; the traffic's process follows within a second or two."""
        place = self._shared(request)
        try:
            with _stored():
                return Response({"weights": self._wishes.set_weights(*place, request.json(WeightsRequest).weights)})
        except PlaygroundError as error:
            raise ApiError(422, error.title, error.message, error.hint) from error

    def automatic(self, request: Request) -> Response:
        """Whether it deploys there by itself."""
        place = self.place(request)
        return Response({"on": self._wishes.automatic(*place), "automatic": self._automation.words(*place)})

    def set_automatic(self, request: Request) -> Response:
        """Switch that on or off."""
        place = self.place(request)
        with _stored():
            self._wishes.set_automatic(*place, request.json(SwitchRequest).on)
        return self.automatic(request)

    def drift(self, request: Request) -> Response:
        """Start one node with another configuration and another flag than its place has, or as its place has them."""
        node = self._nodes.all.get(request.params["node"])
        if node is None:
            raise ApiError(404, "Unknown node", "there is no node of this name", f"They are named like {next(iter(self._nodes.all))}.")
        wanted = DRIFT if request.json(SwitchRequest).on else {}
        if self._wishes.settings(node.name) != wanted:
            self._start_again(node, wanted)
        return Response({"node": node.name, "on": bool(wanted)})

    def _start_again(self, node: Node, settings: dict[str, str]) -> None:
        if self._deployments.under_way(node.environment) is not None:
            raise ApiError(409, "A deployment is under way", f"the nodes of {node.environment} change now", "Wait until it has ended.")
        with node.lock:
            with _stored():
                self._wishes.set_settings(node.name, settings)
            if node.wanted is not None:
                self._nodes.stop(node)
                try:
                    self._nodes.start(node, node.wanted)
                except PlaygroundError as error:
                    raise ApiError(409, error.title, error.message, error.hint) from error


@contextlib.contextmanager
def _stored() -> Iterator[None]:
    """503 where the disk takes nothing: it is not kept, and nothing was done."""
    try:
        yield
    except OSError as error:
        words = f"the state cannot be stored: {error.strerror}"
        raise ApiError(503, "Nothing was done", words, "Free some disk space, then try again.") from error
