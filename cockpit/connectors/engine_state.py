"""What the containers of a host mean for a deployment. Pure.

The record is a label of the new container. What changes meanwhile is its name, the one thing that can be changed on a container that is
there: waiting, at work, in place, failed, aborted, or replaced by a later one. So the state survives whoever drives it.
"""

from __future__ import annotations

import json

import msgspec
from msgspec import Struct

from cockpit.connectors.engine_wire import COMMIT_LABEL, VERSION_LABEL, Container, Image
from cockpit.connectors.rolling import Part, Record
from cockpit.connectors.text import one_line, plain
from cockpit.domain.release import Node

WAITING, AT_WORK = "release-cockpit-next", "release-cockpit-now"
PREFIX = "release-cockpit."
KEY, RECORD = f"{PREFIX}key", f"{PREFIX}record"
STEADY_S = 1.0  # runs at least so long before it counts as started


class View(Struct, frozen=True):
    """One host: the service's containers by name, the images of its repository by id, and the engine's own time."""

    name: str
    containers: dict[str, Container]
    images: dict[str, Image]
    now_us: int
    answers: bool = True  # whether the health address of the node answers

    @property
    def at_work(self) -> Container | None:
        return self.containers.get(AT_WORK)

    def before(self, record: Record) -> Container | None:
        """What is replaced, also when it has its place no more."""
        return self.containers.get(self.name) or self.containers.get(f"{self.name}.before-{short(record.key)}")

    def serving(self) -> Container | None:
        """What runs, or is to run, in the service's place."""
        now = self.at_work
        if now is not None and (now.running or self.name not in self.containers):
            return now
        return self.containers.get(self.name)


def short(key: str) -> str:
    """A key as a part of a container's name."""
    import hashlib

    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:12]


def labels_of(record: Record) -> dict[str, str]:
    """The labels that carry the record."""
    return {KEY: record.key, RECORD: json.dumps(msgspec.structs.asdict(record)), VERSION_LABEL: record.version}


def record_in(labels: dict[str, str]) -> Record | None:
    """The record that labels carry; None where there is none, or none that can be read."""
    try:
        record = msgspec.json.decode(labels.get(RECORD, "").encode("utf-8", "replace"), type=Record)
    except (msgspec.MsgspecError, RecursionError):
        return None
    usable = record.key and labels.get(KEY) == record.key and record.nodes and 0 <= record.begun_at_us < 2**63
    return record if usable else None


def parts_of(view: View, service: str, environment: str) -> dict[str, Part]:
    """This host's piece of each deployment, by key."""
    found = {}
    for container in view.containers.values():
        record = record_in(container.labels)
        if record is not None and (record.service, record.environment) == (service, environment):
            found[record.key] = _part(view, container, record)
    return found


def _part(view: View, container: Container, record: Record) -> Part:
    cleaned = msgspec.structs.replace(
        record,
        version=one_line(record.version, 200),
        requested_by=one_line(record.requested_by, 300),
        reason=plain(record.reason, 10_000),
        from_version=one_line(record.from_version, 200),
    )
    last_us = max(container.created_at_us, container.started_at_us, container.finished_at_us)
    image = view.images.get(container.image_id)
    part = Part(cleaned, digest=image.digest if image is not None else "", idle_s=max(0, view.now_us - last_us) / 1e6)
    change = msgspec.structs.replace
    if container.name == WAITING:
        return change(part, state="pending", moved_at_us=container.created_at_us)
    if container.name == AT_WORK:
        old = view.before(record)
        begun = "stopping" if old is not None and old.running else "starting"
        state = "checking" if container.started_at_us else begun
        return change(part, state=state, go=True, moved_at_us=last_us)
    if container.name.startswith(f"{view.name}.failed-"):
        return change(part, state="failed", go=True, moved_at_us=container.finished_at_us, message=_why(view, container, record))
    if container.name.startswith(f"{view.name}.aborted-"):
        return change(part, state="pending", aborted=True, digest="", moved_at_us=container.created_at_us)
    return change(part, state="done", go=True, moved_at_us=container.started_at_us)


def _why(view: View, container: Container, record: Record) -> str:
    ran_s = (container.finished_at_us - container.started_at_us) / 1e6
    words = container.error or (f"it ended with {container.exit_code}" if container.exit_code else "it ended")
    if container.health == "unhealthy":
        words = "its own health check failed"
    old = view.before(record)
    back = "; the old one was started again" if old is not None and old.running else ""
    return f"{words} after {max(0.0, ran_s):.1f} s{back}"


def verdict(view: View, container: Container, record: Record, check_s: float) -> str:
    """done, failed or wait: what is to become of the container at work that was started."""
    if not container.running and container.status != "restarting":
        return "failed"
    healthy = view.answers and container.health in ("", "none", "healthy") and container.running
    steady = view.now_us - container.started_at_us >= STEADY_S * 1e6
    if healthy and steady:
        return "done"
    old = view.before(record)
    since_us = container.started_at_us
    if old is not None and old.finished_at_us >= container.created_at_us:
        since_us = old.finished_at_us  # one that crashes and is started again and again gets no new time
    late = view.now_us - since_us > check_s * 1e6
    return "failed" if container.health == "unhealthy" or late else "wait"


def unstartable(view: View, container: Container, record: Record, check_s: float) -> bool:
    """Whether the engine tried to start the container at work and cannot: the old one, which was stopped for it, has to come back."""
    old = view.before(record)
    if old is None or old.running or container.running:
        return False
    waited = old.finished_at_us >= container.created_at_us and view.now_us - old.finished_at_us > check_s * 1e6
    return bool(container.error or container.exit_code) or waited


def node_of(view: View, name: str, service: str, environment: str, url: str) -> Node:
    """The node as it runs now."""
    serving = view.serving()
    if serving is None:
        return Node(name, service, environment, healthy=False, url=url)
    image = view.images.get(serving.image_id)
    said = serving.labels
    return Node(
        name=name,
        service=service,
        environment=environment,
        version=image.version if image is not None else one_line(said.get(VERSION_LABEL, ""), 200),
        commit=image.commit if image is not None else one_line(said.get(COMMIT_LABEL, ""), 200),
        digest=image.digest if image is not None else f"sha256:{serving.image_id}",
        healthy=serving.running and view.answers and serving.health in ("", "none", "healthy"),
        url=url,
    )
