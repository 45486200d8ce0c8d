"""Makes the connectors that the settings name. Part of the composition root: the only user of the registry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from cockpit.connectors.ports import ConnectorSpec, Lock
from cockpit.connectors.registry import create, shared_lock, signed_words, spec
from cockpit.domain.errors import CockpitError, NotAllowed, Unreachable
from cockpit.domain.release import Service
from cockpit.reading import Reader
from cockpit.services.connections import Connected
from cockpit.storage.secrets import Secrets
from cockpit.storage.settings import ConnectionSettings, ServiceSettings, Settings


class PerThread:
    """A connector that may be called from any thread: each thread gets its own, made when it first asks; a `shared` one serves them all.

    After `close_all` a call raises Unreachable.
    """

    def __init__(self, make: Callable[[], Any], shared: bool = False) -> None:
        self._make = make
        self._local: Any = _One() if shared else threading.local()
        self._making = threading.Lock()
        self._lock = threading.Lock()
        self._made: list[Any] = []
        self._busy: dict[int, Any] = {}  # by thread
        self._closed = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            connector = self._begin()
            try:
                return getattr(connector, name)(*arguments, **options)
            finally:
                self._end(connector)

        return call

    def _mine(self) -> Any:
        with self._making if isinstance(self._local, _One) else nullcontext():
            if not hasattr(self._local, "connector"):
                self._local.connector = self._make()
                with self._lock:
                    self._made.append(self._local.connector)
            return self._local.connector

    def _begin(self) -> Any:
        connector = None if self._closed else self._mine()
        with self._lock:
            if not self._closed:
                self._busy[threading.get_ident()] = connector
                return connector
        _close(connector)
        raise Unreachable("This connection is closed already.", hint="Ask again once the connections are made anew.")

    def _end(self, connector: Any) -> None:
        with self._lock:
            del self._busy[threading.get_ident()]
            late = self._closed and not any(other is connector for other in self._busy.values())
        if late:
            _close(connector)

    def close_all(self) -> None:
        """Close every one that was made; one that is in use is closed by its thread, when its call ends."""
        with self._lock:
            self._closed = True
            busy = {id(connector) for connector in self._busy.values()}
            idle = [connector for connector in self._made if id(connector) not in busy]
            self._made.clear()
        for connector in idle:
            _close(connector)


class _One:
    """Holds the connector of all threads."""


def _close(connector: Any) -> None:
    end = getattr(connector, "close", None)
    if end is not None:
        end()


class Made(Struct, frozen=True):
    """What can be asked, what is wrong with the rest, and where a team keeps its locks (None: nowhere)."""

    connected: tuple[Connected, ...] = ()
    problems: tuple[CockpitError, ...] = ()
    lock: Lock | None = None


def make_connections(
    settings: Settings, services: tuple[Service, ...], secrets: Secrets, reader: Reader | None = None, home: Path | None = None
) -> Made:
    """Blocks: it loads libraries. Nothing is contacted yet. With a reader, what is polled is asked from its process.

    Files that connections name are looked for from `home`, the folder of the settings.
    """
    made: list[Connected] = []
    problems: list[CockpitError] = []
    for wanted in (*_repositories(services), *_systems(settings, services, secrets)):
        try:
            found = spec(wanted.kind)
            options = located(found, wanted.options, home)
            connector = PerThread(partial(create, wanted.kind, options, wanted.secret), found.shared)
            # made once here, so that a wrong option is said at the start and not at the first poll
            connector._mine()
        except CockpitError as error:
            problems.append(CockpitError(f"Connection {wanted.id}: {error.message}", hint=error.hint, title=error.title))
            continue
        reads = reader.add(wanted.id, wanted.kind, options) if reader is not None else None
        at = (wanted.id, wanted.title, wanted.kind, found.ports, wanted.services)
        made.append(Connected(*at, connector, reads, found.exclusive, wanted.every_s or found.every_s))
    problems += _without_versions(services, made)
    policy = settings.policy
    lock = shared_lock(policy.repository, policy.remote) if policy.repository else None
    return Made((*made, *_words(settings, services)), tuple(problems), lock)


def _without_versions(services: tuple[Service, ...], made: list[Connected]) -> Iterator[CockpitError]:
    told = {name for connected in made if "SourceControl" in connected.ports for name in connected.services}
    for service in services:
        if not service.repository and service.name not in told:
            yield CockpitError(
                f"Nothing tells the versions of {service.name[:100]}: it has no repository, and no connection that works reads its code.",
                hint="Name its repository in the settings, or add a connection to the forge that holds it.",
                title="No versions",
            )


class Wanted(Struct, frozen=True):
    """A connection to make."""

    id: str
    title: str
    kind: str
    services: tuple[str, ...]
    options: dict[str, str]
    secret: Callable[[], str]
    every_s: float = 0.0


def _by_repository(services: tuple[Service, ...]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(a short name, the path, the services) of each repository."""
    by_path: dict[str, list[str]] = {}
    for service in services:
        if service.repository:
            by_path.setdefault(service.repository, []).append(service.name)
    taken: set[str] = set()
    for path, names in by_path.items():
        folder = Path(path).name or "repository"
        yield path if folder in taken else folder, path, tuple(names)
        taken.add(folder)


def _repositories(services: tuple[Service, ...]) -> Iterator[Wanted]:
    for name, path, names in _by_repository(services):
        yield Wanted(f"git:{name}", f"git {Path(name).name}", "git", names, {"path": path}, _no_secret)


def _words(settings: Settings, services: tuple[Service, ...]) -> Iterator[Connected]:
    """Where words are signed: one for each repository, where the policy names whose keys count."""
    approvals, me = settings.approvals, settings.me
    if not (approvals.allowed_signers or approvals.openpgp):
        return
    for name, path, names in _by_repository(services):
        words = signed_words(
            path,
            approvals.remote,
            me=(me.name, me.email),
            key=(me.signing, me.signing_key),
            allowed_signers=approvals.allowed_signers,
            revoked_keys=approvals.revoked_keys,
            openpgp=approvals.openpgp,
        )
        yield Connected(f"words:{name}", f"signed words {Path(name).name}", "git-words", ("SignedWords",), names, words)


def _systems(settings: Settings, services: tuple[Service, ...], secrets: Secrets) -> Iterator[Wanted]:
    everything = tuple(s.name for s in services)
    for source_id, connection in settings.connections.items():
        secret = partial(secrets.get, source_id, connection.token_env)
        yield Wanted(
            source_id, source_id, connection.kind, connection.services or everything, _options(connection), secret, connection.interval_s
        )


def token(settings: Settings, secrets: Secrets, source_id: str) -> str:
    """The token of a connection, "" where there is none. May block while a keyring asks."""
    connection = settings.connections.get(source_id)
    return secrets.get(source_id, connection.token_env) if connection is not None else ""


def token_variables(settings: Callable[[], Settings]) -> tuple[str, ...]:
    """The environment variables that hold tokens."""
    return tuple(c.token_env for c in settings().connections.values() if c.token_env)


def located(found: ConnectorSpec, options: dict[str, str], home: Path | None) -> dict[str, str]:
    """Files by their whole path."""
    if home is None:
        return options
    files = {field.name for field in found.fields if field.kind == "path"}
    return {name: str(home / Path(value).expanduser()) if name in files and value else value for name, value in options.items()}


def _options(connection: ConnectionSettings) -> dict[str, str]:
    options = dict(connection.options)
    if connection.url:
        options["url"] = connection.url
    return options


def _no_secret() -> str:
    return ""


def look_at(path: Path, service: str = "", live: str = "") -> Settings:
    """Settings for a look at a repository: all its services, or the one that is named; `live` is for that one."""
    found = services_in(str(path))
    chosen = [s for s in found if not service or s.name == service]
    if not chosen or (live and len(chosen) > 1):
        known = ", ".join(s.name[:60] for s in found[:10])
        what = f"It holds no service {service[:60]}." if service else f"It holds {len(found)} services."
        raise NotAllowed(what, hint=f"Name one with --service: {known}.", title="Which service?")
    return Settings(services={s.name: ServiceSettings(s.repository, s.tag_pattern, s.path, live) for s in chosen})


def services_in(path: str) -> tuple[Service, ...]:
    """The services that the tags of a repository on disk speak of. Blocks; raises ConnectorErrors."""
    repository = create("git", {"path": path}, _no_secret)
    try:
        found: tuple[Service, ...] = repository.services()
    finally:
        repository.close()
    return found
