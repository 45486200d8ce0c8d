"""The moves of replacing one container by another on one host. Whoever stops after any of them, the next one goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from msgspec import Struct

from cockpit.connectors.engine_host import Engine
from cockpit.connectors.engine_state import AT_WORK, KEY, WAITING, View, short, unstartable, verdict
from cockpit.connectors.rolling import Record
from cockpit.domain.errors import ConnectorError, OutcomeUnknown

KEPT = 10  # containers of the past on a host


class Setup(Struct, frozen=True):
    """How a service's things are called. Patterns know {service}; addresses also {host}, {node} and {environment}.

    `check_s`: a container that is not healthy by then is taken back; `stop_s`: one that does not stop by then is killed.
    `by_id`: images are known by their own ids, as where no registry is used.
    """

    image: str = "{service}"
    container: str = "{service}"
    health: str = ""
    address: str = ""
    check_s: float = 60.0
    stop_s: int = 10
    by_id: bool = True

    def name_of(self, service: str) -> str:
        """The service's container."""
        return self.container.replace("{service}", service)

    def repository_of(self, service: str) -> str:
        """The repository of its images."""
        return self.image.replace("{service}", service)


def move(engine: Engine, view: View, record: Record, setup: Setup) -> None:
    """One move towards the end: begin, or settle what was begun."""
    old, new = view.before(record), view.at_work
    if new is None:
        new = view.containers[WAITING]
        engine.rename(new.id, AT_WORK)
    if not new.started_at_us and not unstartable(view, new, record, setup.check_s):
        if old is not None and old.running:
            engine.stop(old, setup.stop_s)
        engine.start(new)
        return
    what = "failed" if not new.started_at_us else verdict(view, new, record, setup.check_s)
    if what == "done":
        if old is not None and old.name == view.name:
            engine.rename(old.id, f"{view.name}.before-{short(record.key)}")
        engine.rename(new.id, view.name)
        _forget(engine, view)
    elif what == "failed":
        if new.running or new.status == "restarting":
            engine.stop(new, setup.stop_s)
        if old is not None and old.name != view.name:
            engine.rename(old.id, view.name)
        if old is not None and not old.running:
            engine.start(old)
        engine.rename(new.id, f"{view.name}.failed-{short(record.key)}")


def _forget(engine: Engine, view: View) -> None:
    past = [c for c in view.containers.values() if c.name.startswith(f"{view.name}.") and not c.running]
    for container in sorted(past, key=lambda c: c.created_at_us, reverse=True)[KEPT:]:
        engine.remove(container.id)


def put_aside(engine: Engine, view: View, record: Record) -> None:
    """What waits for this deployment gets no turn any more."""
    waiting = view.containers.get(WAITING)
    if waiting is not None and waiting.labels.get(KEY) == record.key:
        with suppress(ConnectorError):
            engine.rename(waiting.id, f"{view.name}.aborted-{short(record.key)}")


def withdrawn(engines: Mapping[str, Engine], made: Mapping[str, str], error: ConnectorError) -> ConnectorError:
    """Remove the containers that were made, and what is to be said then."""
    try:
        for name, container_id in made.items():
            engines[name].remove(container_id)
    except ConnectorError as left:
        return OutcomeUnknown(f"It was begun half-way: {left.message}", hint="It is asked by the key what became of it.")
    return error
