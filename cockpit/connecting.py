"""Makes the connectors that the settings name. Part of the composition root: the only user of the registry."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cockpit.connectors.registry import create, spec
from cockpit.domain.errors import CockpitError
from cockpit.domain.release import Service
from cockpit.services.connections import Connected
from cockpit.storage.secrets import Secrets
from cockpit.storage.settings import ConnectionSettings, Settings


class PerThread:
    """A connector that may be called from any thread: each thread gets its own, made when it first asks."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._local = threading.local()
        self._made: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(self._mine(), name)(*arguments, **options)

        return call

    def _mine(self) -> Any:
        if not hasattr(self._local, "connector"):
            self._local.connector = self._make()
            self._made.append(self._local.connector)
        return self._local.connector

    def close_all(self) -> None:
        """Close every one that was made; nothing may be under way."""
        for connector in self._made:
            end = getattr(connector, "close", None)
            if end is not None:
                end()
        self._made.clear()
        self._local = threading.local()


def make_connections(
    settings: Settings, services: tuple[Service, ...], secrets: Secrets
) -> tuple[tuple[Connected, ...], tuple[CockpitError, ...]]:
    """(what can be asked, what is wrong with the rest). Blocks: it loads libraries. Nothing is contacted yet."""
    made: list[Connected] = []
    problems: list[CockpitError] = []
    repositories: dict[str, list[str]] = {}
    for service in services:
        if service.repository:
            repositories.setdefault(service.repository, []).append(service.name)
    for path, names in repositories.items():
        folder = Path(path).name or "repository"
        taken = any(c.id == f"git:{folder}" for c in made)
        source_id = f"git:{path}" if taken else f"git:{folder}"
        _add(made, problems, source_id, f"git {folder}", "git", tuple(names), partial(create, "git", {"path": path}, _no_secret))
    everything = tuple(s.name for s in services)
    for source_id, connection in settings.connections.items():
        make = partial(create, connection.kind, _options(connection), partial(secrets.get, source_id, connection.token_env))
        _add(made, problems, source_id, source_id, connection.kind, connection.services or everything, make)
    return tuple(made), tuple(problems)


def _add(
    made: list[Connected],
    problems: list[CockpitError],
    source_id: str,
    title: str,
    kind: str,
    services: tuple[str, ...],
    make: Callable[[], Any],
) -> None:
    try:
        ports = spec(kind).ports
        connector = PerThread(make)
        # made once here, so that a wrong option is said at the start and not at the first poll
        connector._mine()
    except CockpitError as error:
        problems.append(CockpitError(f"Connection {source_id}: {error.message}", hint=error.hint, title=error.title))
        return
    made.append(Connected(source_id, title, kind, ports, services, connector))


def _options(connection: ConnectionSettings) -> dict[str, str]:
    options = dict(connection.options)
    if connection.url:
        options["url"] = connection.url
    return options


def _no_secret() -> str:
    return ""


def services_in(path: str) -> tuple[Service, ...]:
    """The services that the tags of a repository on disk speak of. Blocks; raises ConnectorErrors."""
    repository = create("git", {"path": path}, _no_secret)
    try:
        found: tuple[Service, ...] = repository.services()
    finally:
        repository.close()
    return found
