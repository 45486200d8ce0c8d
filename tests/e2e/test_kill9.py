"""A rollback killed at every step is taken up without a second POST and ends with the right outcome. Real processes throughout."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.registry import create
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.e2e.crash_child import STEPS

CHILD = Path(__file__).with_name("crash_child.py")
SERVICE, PLACE = "market-data", "staging"


class Site:
    """A cockpit's data directory on the running playground, and a second, independent look at the deployer."""

    def __init__(self, folder: Path, config: str) -> None:
        import tomllib

        self.folder = folder
        folder.mkdir()
        (folder / "cockpit.toml").write_text(config, encoding="utf-8")
        url = tomllib.loads(config)["connections"]["deployer"]["url"]
        self.api: OpenDeployment = create("deployment-v1", {"url": url}, lambda: "")

    def run(self, step: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(CHILD), str(self.folder), SERVICE, PLACE, step]
        return subprocess.run(command, capture_output=True, text=True, timeout=150)

    def intents(self) -> list[Any]:
        database = open_database(self.folder / "cockpit.sqlite")
        try:
            return [e for e in Journal(database, "test:1:1", lambda: 0).entries() if e.kind == "intent"]
        finally:
            database.close()

    def outcomes(self) -> list[str]:
        database = open_database(self.folder / "cockpit.sqlite")
        try:
            return [e.detail["state"] for e in Journal(database, "test:1:1", lambda: 0).entries() if e.kind == "outcome"]
        finally:
            database.close()


@pytest.fixture
def site(playground: Any, tmp_path: Path, eventually: Any) -> Any:
    made = Site(tmp_path / "data", playground.config_text())
    newest = next(a for a in made.api.artifacts(SERVICE) if a.version == playground.released(SERVICE))
    fleet = made.api.fleet(SERVICE, PLACE)
    if fleet.live is None or fleet.live.digest != newest.digest:
        if newest.digest in fleet.held:  # by the rollback of the test before
            made.api.hold(SERVICE, PLACE, newest.digest, False, "the next test begins")
        again = made.api.deploy(DeployRequest(SERVICE, PLACE, newest.version, newest.digest, "deploy", "test"), f"reset-{tmp_path.name}")
        eventually(lambda: made.api.deployment(again.id).state.final, 60)
    yield made
    made.api.close()


@pytest.mark.e2e
@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_killed_at_any_step_is_taken_up(site: Site, step: str, eventually: Any) -> None:
    known = {d.id for d in site.api.history(SERVICE, PLACE)}
    killed = site.run(step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = site.run("recover")
    assert again.returncode == 0, again.stderr + again.stdout
    answer = json.loads(again.stdout.splitlines()[-1])
    assert answer["verified"], answer["problems"]
    new = [d for d in site.api.history(SERVICE, PLACE) if d.id not in known]
    if step == "before-intent":
        assert (new, site.intents(), answer["actions"]) == ([], [], [])
        return
    [intent] = site.intents()
    found = site.api.find(intent.key)
    if step == "after-intent":
        assert (new, found) == ([], None)
        assert site.outcomes() == ["not sent"]
        return
    assert [d.key for d in new] == [intent.key]
    assert found is not None
    assert found.state == "succeeded"
    assert site.outcomes() == ["done"]
    assert {n.digest for n in site.api.fleet(SERVICE, PLACE).nodes} == {intent.detail["digest"]}
