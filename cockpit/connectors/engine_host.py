"""One Docker or Podman engine: what it is asked, and what it is told to do."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from cockpit.connectors.engine_next import endpoint, successor
from cockpit.connectors.engine_state import AT_WORK, WAITING, View, record_in
from cockpit.connectors.engine_wire import (
    Container,
    Image,
    Listed,
    parse_container,
    parse_containers,
    parse_created,
    parse_image_config,
    parse_images,
    parse_pull,
    parse_version,
)
from cockpit.connectors.http import segments
from cockpit.connectors.http_answers import Answer
from cockpit.connectors.rolling import Record
from cockpit.domain.errors import BadPayload, NotFound, Rejected

T = TypeVar("T")

_HINT_RUN = "Run the service's container there once; the next ones are made after it."


class Transport(Protocol):
    """What is needed of an HTTP client: over the network, or over a socket of this machine."""

    name: str

    def get_answer(self, path: str, headers: Any = None, params: Any = None) -> Answer: ...

    def write(self, path: str, body: object, parse: Callable[[bytes], T], key: str = "", method: str = "POST") -> T: ...

    def close(self) -> None: ...


class Engine:
    """One host's engine. Blocks; from any thread; ConnectorErrors only. What changes something is sent once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._ended: dict[tuple[str, str, str], Container] = {}  # containers that do not change any more, by id, name and state

    @property
    def name(self) -> str:
        """As which it is spoken of in errors."""
        return self._transport.name

    def close(self) -> None:
        """Close kept connections."""
        self._transport.close()

    def version(self) -> str:
        """Its name and version."""
        return parse_version(self._transport.get_answer("/version").body)

    def images(self, repository: str, by_id: bool) -> tuple[Image, ...]:
        """The images of a repository that lie on this host, known by their ids or by their registry's digests."""
        return parse_images(self._transport.get_answer("/images/json").body, repository, by_id)

    def containers(self) -> tuple[Listed, ...]:
        """All, running or not."""
        return self._list()[0]

    def view(self, name: str, repository: str, by_id: bool) -> View:
        """The service's containers in whole; NotFound where it has none here."""
        listed, now_us = self._list()
        ours = [c for c in listed if c.name == name or c.name.startswith(f"{name}.")]
        if not ours:
            raise NotFound(f"There is no container “{name}” on {self.name}.", hint=_HINT_RUN)
        ours += [c for c in listed if c.name in (WAITING, AT_WORK)]
        images = {image.id: image for image in self.images(repository, by_id)}
        return View(name, {c.name: self._inspect(c) for c in ours}, images, now_us)

    def pull(self, repository: str, digest: str) -> None:
        """Fetch an image by its digest; Rejected where that fails."""
        # Docker takes the digest as the tag, and refuses it in the name
        asked = urlencode({"fromImage": repository, "tag": digest})
        why = self._transport.write(f"/images/create?{asked}", None, parse_pull)
        if why:
            raise Rejected(f"{self.name} could not fetch the image: {why}.", hint="Check that the host reaches the registry.", status=422)

    def create(self, old: Container, image: Image, repository: str, record: Record, labels: dict[str, str]) -> str:
        """A container like `old`, of another image, that waits for its turn; answers its id. Rejected with 409 where one waits already."""
        settings = parse_image_config(self._transport.get_answer(segments("images", f"sha256:{old.image_id}", "json")).body)
        by_id = image.digest == f"sha256:{image.id}"
        reference = image.digest if by_id else f"{repository}@{image.digest}"
        body = successor(old, settings, reference, labels, "release-cockpit.")
        host = body["HostConfig"]
        # a stopped one with "always" would come back with the engine, beside the one that replaced it
        if isinstance(host.get("RestartPolicy"), dict) and host["RestartPolicy"].get("Name") == "always":
            host["RestartPolicy"] = {"Name": "unless-stopped"}
        made = self._transport.write(f"/containers/create?{urlencode({'name': WAITING})}", body, parse_created)
        taken = body.get("NetworkingConfig", {}).get("EndpointsConfig", {})
        for network in old.networks:
            if network not in taken and network not in ("host", "none", "bridge", "podman"):
                wish = {"Container": made, "EndpointConfig": endpoint(old, network)}
                self._transport.write(segments("networks", network, "connect"), wish, bytes)
        return made

    def start(self, container: Container) -> None:
        """Start it."""
        self._transport.write(segments("containers", container.id, "start"), None, bytes)

    def stop(self, container: Container, limit_s: int) -> None:
        """Stop it; after `limit_s` seconds the engine kills it."""
        self._transport.write(segments("containers", container.id, "stop") + f"?t={limit_s}", None, bytes)

    def rename(self, container_id: str, name: str) -> None:
        """Give it another name."""
        self._transport.write(segments("containers", container_id, "rename") + f"?{urlencode({'name': name})}", None, bytes)

    def remove(self, container_id: str) -> None:
        """Remove a container that does not run."""
        self._transport.write(segments("containers", container_id), None, bytes, method="DELETE")

    def _list(self) -> tuple[tuple[Listed, ...], int]:
        answer = self._transport.get_answer("/containers/json", None, {"all": "true"})
        try:
            now_us = int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() * 1e6)
        except (ValueError, TypeError, OverflowError):
            words = f"{self.name} does not say what time it has."
            raise BadPayload(words, hint="The address in the settings is not that of an engine.") from None
        return parse_containers(answer.body), now_us

    def _inspect(self, listed: Listed) -> Container:
        known = self._ended.get((listed.id, listed.name, listed.state))
        if known is not None:
            return known
        found = parse_container(self._transport.get_answer(segments("containers", listed.id, "json")).body)
        if listed.state == "exited" and "." in listed.name and record_in(found.labels) is not None:
            self._ended[listed.id, listed.name, listed.state] = found
        return found
