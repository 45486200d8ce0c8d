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
        """The settings for another data directory: what is relative to the playground's own is made absolute."""
        text = (self.directory / "cockpit.toml").read_text("utf-8").replace('"keys/', f'"{self.directory}/keys/')
        return text.replace('"calendar.ics"', f'"{self.directory}/calendar.ics"')

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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many cases of the fault table were run, and how many of them were as they must be."""
    wrong = right = 0
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            known = dict(report.user_properties)
            wrong += known.get("fault_cases_wrong", 0) * (report.when == "call")
            right += known.get("fault_cases_right", 0) * (report.when == "call")
    if right or wrong:
        terminalreporter.write_line(f"fault table: {right + wrong} cases against the real deployer, {right} right, {wrong} wrong")
