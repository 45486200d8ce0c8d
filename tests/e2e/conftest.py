"""One real playground for all stories of a test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class RunningPlayground:
    """A started playground: its directory, its settings, its released versions."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def config_text(self) -> str:
        return (self.directory / "cockpit.toml").read_text("utf-8")

    def released(self, service: str) -> str:
        from cockpit.playground.repository import RELEASED

        return RELEASED[service]


@pytest.fixture(scope="session")
def playground(tmp_path_factory: Any) -> Iterator[RunningPlayground]:
    """Everything up and healthy; stopped at the end, nothing left."""
    from cockpit.playground import launcher

    directory = tmp_path_factory.mktemp("venue") / "playground"
    launcher.start(directory, lambda words: None)
    try:
        yield RunningPlayground(directory)
    finally:
        launcher.stop(directory)
