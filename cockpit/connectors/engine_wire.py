"""The Docker Engine interface, as Docker and Podman speak it: its structs, and its bodies read. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from cockpit.connectors.http_answers import HINT_INTERFACE, decode
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import LAST_US, Text
from cockpit.connectors.wire_values import Name as Word
from cockpit.domain.errors import BadPayload

VERSION_LABEL = "org.opencontainers.image.version"
COMMIT_LABEL = "org.opencontainers.image.revision"
Seconds = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
LabelMap = dict[str, Text] | None


class ImageWire(Struct):
    """One of GET /images/json."""

    Id: Word
    RepoTags: list[Word] | None = None
    RepoDigests: list[Word] | None = None
    Labels: LabelMap = None
    Created: Seconds = 0


class ListedWire(Struct):
    """One of GET /containers/json."""

    Id: Word
    Names: list[Word] | None = None
    ImageID: Word = ""
    State: Word = ""
    Labels: LabelMap = None


class HealthWire(Struct):
    """What the image's own health check found."""

    Status: Word = ""


class StateWire(Struct):
    """A container's state; times as text, the year 1 for never."""

    Status: Word = ""
    Running: bool = False
    ExitCode: int = 0
    Error: Text = ""
    OOMKilled: bool = False
    StartedAt: Word = ""
    FinishedAt: Word = ""
    Health: HealthWire | None = None


class NetworksWire(Struct):
    """The networks a container is in."""

    Networks: dict[str, dict[str, Any] | None] | None = None


class ContainerWire(Struct):
    """GET /containers/{id}/json."""

    Id: Word
    Name: Word
    State: StateWire
    Config: dict[str, Any]
    HostConfig: dict[str, Any]
    Image: Word = ""
    Created: Word = ""
    NetworkSettings: NetworksWire | None = None


class ImageDetailWire(Struct):
    """GET /images/{id}/json."""

    Id: Word
    Config: dict[str, Any] | None = None


class VersionWire(Struct):
    """GET /version."""

    Version: Word = ""
    ApiVersion: Word = ""
    Platform: dict[str, Any] | None = None


class CreatedWire(Struct):
    """POST /containers/create."""

    Id: Word


class ProgressWire(Struct):
    """One line of POST /images/create."""

    error: Text = ""


class Image(Struct, frozen=True):
    """An image on a host. `digest` is that of its repository, else its own id: both name the content."""

    id: str
    digest: str
    version: str = ""
    commit: str = ""
    created_at_us: int = 0


class Listed(Struct, frozen=True):
    """A container by its name, as the list has it."""

    id: str
    name: str
    image_id: str
    state: str
    labels: dict[str, str]


class Container(Struct, frozen=True):
    """A container in whole. Times in microseconds UTC, 0 for never."""

    id: str
    name: str
    image_id: str
    status: str
    running: bool
    exit_code: int
    error: str
    health: str
    created_at_us: int
    started_at_us: int
    finished_at_us: int
    labels: dict[str, str]
    config: dict[str, Any]
    host_config: dict[str, Any]
    networks: dict[str, dict[str, Any]]


def parse_images(body: bytes, repository: str, by_id: bool = True) -> tuple[Image, ...]:
    """The images of that repository, known by their own ids, else by the digests that their registry gave them.

    Where nobody fetched it from a registry, Podman makes up a digest of its own on each host; the id is the same everywhere.
    """
    found = []
    for wire in decode(body, list[ImageWire]):
        digests = [d.rpartition("@")[2] for d in wire.RepoDigests or [] if d.rpartition("@")[0] == repository]
        tags = [t.rpartition(":")[2] for t in wire.RepoTags or [] if t.rpartition(":")[0] == repository]
        if not digests and not tags:
            continue
        labels = wire.Labels or {}
        version = one_line(labels.get(VERSION_LABEL) or next((t for t in sorted(tags) if t != "latest"), ""), 200)
        created_us = wire.Created * 1_000_000 if 0 < wire.Created <= LAST_US // 1_000_000 else 0
        image = bare(wire.Id)
        if not by_id and not digests:
            continue
        digest = f"sha256:{image}" if by_id else sorted(digests)[0]
        found.append(Image(image, digest, version or digest[:19], one_line(labels.get(COMMIT_LABEL, ""), 200), created_us))
    return tuple(found)


def parse_containers(body: bytes) -> tuple[Listed, ...]:
    """Every container, running or not."""
    found = []
    for wire in decode(body, list[ListedWire]):
        names = [name.removeprefix("/") for name in wire.Names or []]
        # a name with a slash in it is that of a link, not of the container
        name = next((name for name in names if "/" not in name), "")
        found.append(Listed(wire.Id, name, bare(wire.ImageID), wire.State.lower(), wire.Labels or {}))
    return tuple(found)


def parse_container(body: bytes) -> Container:
    """One container in whole."""
    wire = decode(body, ContainerWire)
    state = wire.State
    labels = wire.Config.get("Labels")
    networks = wire.NetworkSettings.Networks if wire.NetworkSettings is not None else None
    return Container(
        id=wire.Id,
        name=wire.Name.removeprefix("/"),
        image_id=bare(wire.Image),
        status=state.Status.lower(),
        running=state.Running,
        exit_code=state.ExitCode,
        error="out of memory" if state.OOMKilled else one_line(state.Error, 300),
        health=state.Health.Status.lower() if state.Health is not None else "",
        created_at_us=_moment(wire.Created),
        started_at_us=_moment(state.StartedAt),
        finished_at_us=_moment(state.FinishedAt),
        labels={str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {},
        config=wire.Config,
        host_config=wire.HostConfig,
        networks={name: settings or {} for name, settings in (networks or {}).items()},
    )


def parse_image_config(body: bytes) -> dict[str, Any]:
    """What an image sets for its containers."""
    return decode(body, ImageDetailWire).Config or {}


def parse_version(body: bytes) -> str:
    """The engine's name and version."""
    wire = decode(body, VersionWire)
    name = (wire.Platform or {}).get("Name")
    name = name if isinstance(name, str) and name else "Engine"
    return one_line(f"{name} {wire.Version}".strip(), 200)


def parse_created(body: bytes) -> str:
    """The new container's id."""
    return decode(body, CreatedWire).Id


def parse_pull(body: bytes) -> str:
    """Why a pull failed, "" where it did not: its answer is 200 before it begins, and says the rest line by line."""
    for line in body.splitlines():
        if line.strip():
            wire = decode(line, ProgressWire)
            if wire.error:
                return one_line(wire.error, 300)
    return ""


def bare(image_id: str) -> str:
    """An image's id without the algorithm: Docker writes it, Podman does not always."""
    return image_id.removeprefix("sha256:")


def _moment(text: str) -> int:
    if not text:
        return 0
    try:
        # nine digits of a second are more than Python reads
        head, dot, rest = text.partition(".")
        digits = len(rest) - len(rest.lstrip("0123456789"))
        moment = datetime.fromisoformat(f"{head}.{rest[:digits][:6]}{rest[digits:]}" if dot else text)
        at_us = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6) if moment.year > 1970 else 0
    except (ValueError, OverflowError):
        raise BadPayload(f"“{one_line(text, 60)}” is no time.", hint=HINT_INTERFACE) from None
    return at_us if 0 <= at_us <= LAST_US else 0
