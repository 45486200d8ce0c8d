"""The composition root: builds the running core for a window, a terminal or a test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cockpit.core import Cockpit as Cockpit
from cockpit.core import tell_mistakes
from cockpit.domain.errors import CockpitError, ConfigError, StorageError
from cockpit.paths import Paths
from cockpit.policy_force import in_force
from cockpit.services.clock import now_us
from cockpit.services.notices import Severity
from cockpit.storage.database import Database, open_database
from cockpit.storage.lock import DataLock
from cockpit.storage.settings import Settings, load_lenient

if TYPE_CHECKING:
    # imported where they are used: the first paint does not wait for what asks and acts
    from cockpit.playground_control import Playground
    from cockpit.services.execution import Pace
    from cockpit.services.runtime import MainThread


def build(
    paths: Paths,
    main_thread: MainThread,
    *,
    read_only: bool = False,
    owner: bool = True,
    pace: Pace | None = None,
    clock_us: Callable[[], int] = now_us,
    whole: bool = True,
) -> Cockpit:
    """Build the core on these directories, with yesterday's state in it; nothing is asked yet. Fast: imports nothing heavy.

    `owner`: a window owns its data directory, a second one only reads; a command (owner False) may act beside it.
    `whole` False: the caller calls `complete` itself, after the first paint.
    Never raises for a bad disk or bad settings: the window opens, reads only, and says why.
    """
    reason = "This window only reads: it was opened with --read-only." if read_only else ""
    lock = DataLock(paths.data)
    problems: list[CockpitError] = []
    try:
        if not reason and owner and not lock.acquire():
            reason = f"This window only reads: {lock.why}."
    except StorageError as error:
        problems.append(error)
        reason = f"This window only reads: {error.message}"
    database: Database | None = None
    try:
        database = open_database(paths.database, read_only=bool(reason))
    except StorageError as error:
        problems.append(error)
        reason = reason or f"This window only reads: {error.message}"
    cockpit = Cockpit(paths, main_thread, database, reason, clock_us)
    # a program frozen into one file has no interpreter to start
    cockpit.apart = owner and not getattr(sys, "frozen", False)
    cockpit.lock = lock
    _load(cockpit, problems, database.notes if database else ())
    if whole:
        cockpit.complete(pace)
    return cockpit


def build_on(
    paths: Paths, main_thread: MainThread, settings: Settings, clock_us: Callable[[], int] = now_us, *, whole: bool = True
) -> Cockpit:
    """A core on settings that stand in no file, to look at something once: it only reads, and keeps and restores nothing."""
    cockpit = Cockpit(paths, main_thread, None, "This only reads: it is a look at a repository.", clock_us)
    cockpit.configure(settings)
    if whole:
        cockpit.complete()
    return cockpit


def build_on_repository(paths: Paths, main_thread: MainThread, path: Path, service: str = "", live: str = "") -> Cockpit:
    """The core of a window on anybody's repository, with no settings. CockpitErrors where it cannot be read or `live` needs a name."""
    from cockpit.connecting import look_at

    return build_on(paths, main_thread, look_at(path, service, live), whole=False)


def _load(cockpit: Cockpit, problems: list[CockpitError], notes: tuple[str, ...]) -> None:
    notices = cockpit.notices
    for note in notes:
        notices.tell(Severity.WARNING, "The database", note, key=note)
    for error in problems:
        notices.error(error)
    if cockpit.read_only:
        notices.tell(Severity.WARNING, "Read-only", cockpit.read_only, key="read-only")
    config = config_in_use(cockpit.paths)
    if config is not None:
        mistakes = _take_settings(cockpit, config)
        if mistakes is not None:
            tell_mistakes(notices, mistakes)
    elif not cockpit.read_only:
        cockpit.store.apply(starting="Starting the playground...")
    try:
        cockpit.restore()
    except StorageError as error:
        notices.error(error)


def _take_settings(cockpit: Cockpit, config: Path) -> ConfigError | None:
    """Configure by what is in force: an accepted policy, or the file itself; the playground's file is nobody's policy."""
    cockpit.home = config.parent
    if config != cockpit.paths.config:
        settings, mistakes = load_lenient(config)
        cockpit.configure(settings)
        return mistakes
    start = cockpit.policy_start = in_force(config, cockpit.paths.policy)
    cockpit.configure(start.settings)
    if start.error is not None:
        cockpit.notices.error(start.error, key="policy-copy")
    return start.mistakes


def config_in_use(paths: Paths) -> Path | None:
    """The settings file, or the playground's when there is none; None before the playground's first start."""
    if paths.config.exists():
        return paths.config
    embedded = paths.playground / "cockpit.toml"
    return embedded if embedded.exists() else None


def embedded_playground(paths: Paths) -> Playground | None:
    """The playground's launcher where no configuration exists, else None."""
    return None if paths.config.exists() else playground_launcher()


def playground_launcher() -> Any:
    """The playground's launcher: start, stop, status, reset, regime, set_regime."""
    return importlib.import_module("cockpit.playground.launcher")
