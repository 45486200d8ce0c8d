"""One question to many systems at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cockpit.connectors.text import one_line
from cockpit.domain.errors import ConnectorError

S = TypeVar("S")
T = TypeVar("T")

WORKERS = 16


def ask(systems: Mapping[str, S], question: Callable[[S], T]) -> dict[str, T | ConnectorError]:
    """Each answer or error by the system's name. Blocks until all have answered; the question runs in threads of its own."""

    def one(system: S) -> T | ConnectorError:
        try:
            return question(system)
        except ConnectorError as error:
            return error

    if len(systems) < 2:
        return {name: one(system) for name, system in systems.items()}
    with ThreadPoolExecutor(min(WORKERS, len(systems)), thread_name_prefix="ask") as pool:
        return dict(zip(systems, pool.map(one, systems.values()), strict=True))


def silent_of(answers: Mapping[str, object]) -> dict[str, str]:
    """Why each system that did not answer did not."""
    return {name: one_line(answer.message, 300) for name, answer in answers.items() if isinstance(answer, ConnectorError)}
