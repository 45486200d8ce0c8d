"""The window's switch of the embedded playground. Part of the composition root."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome, Runner


class Playground(Protocol):
    """The launcher of the embedded default, as much of it as the core uses."""

    def start(self, directory: Path, progress: Callable[[str], None]) -> Any: ...

    def regime(self, directory: Path) -> str: ...

    def set_regime(self, directory: Path, regime: str) -> str: ...


class PlaygroundControl:
    """The playground's traffic, for the window's switch. Main thread; the asking happens in the background."""

    def __init__(self, launcher: Playground, directory: Path, runner: Runner, notices: Notices, restart: Callable[[], None]) -> None:
        self._launcher = launcher
        self._directory = directory
        self._runner = runner
        self._notices = notices
        self._regime = ""
        self.restart = restart

    def regime(self) -> str:
        """calm, volatile or crash, as last answered; "" while not known. Asks again in the background."""
        self._runner.submit("playground", partial(self._launcher.regime, self._directory), self._told)
        return self._regime

    def set_regime(self, word: str) -> None:
        """Switch the traffic."""
        self._runner.submit("playground", partial(self._launcher.set_regime, self._directory, word), self._told)

    def _told(self, outcome: Outcome[str]) -> None:
        if outcome.error is None:
            self._regime = outcome.value or ""
            self._notices.over("playground")
        else:
            self._notices.tell(
                Severity.WARNING,
                "The playground's traffic does not answer",
                str(outcome.error),
                hint="`release-cockpit playground start` starts again what is down.",
                key="playground",
            )
