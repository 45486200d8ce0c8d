"""An execution with its silences against a real Alertmanager, and a deployment system that goes on for as long as a test wants.

As a program it begins a deployment and is killed: `silencing.py FOLDER URL STEP`, with STEP `made` (the silence was made, nobody wrote that
down) or `noted` (it was written down).
"""

from __future__ import annotations

import os
import signal
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.connectors.alertmanager import Alertmanager
from cockpit.connectors.http import HttpClient
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.release import Deployment, DeployState, Fleet, Node, NodeStep
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.clock import now_us
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.notices import Notices
from cockpit.services.runtime import LoopMainThread, Runner
from cockpit.services.silences import Silences
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from cockpit.storage.owner import process_owner

DIGEST = "d" * 64
EXPECTED = ("InstanceDown", "Node.Gone (old)")
WHO = "Rae <rae@playground.invalid>"


class Deployer:
    """Knows one deployment, which runs until `ended`."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.ended = False
        self.posts = 0

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        self.posts += 1
        return self.found(key)

    def found(self, key: str) -> Deployment:
        state = DeployState.SUCCEEDED if self.ended else DeployState.RUNNING
        return Deployment("d1", key, "gw", "prod", "1.7.0", DIGEST, "deploy", state, steps=(NodeStep("n1", "done", DIGEST),))

    def find(self, key: str) -> Deployment:
        return self.found(key)

    def deployment(self, deployment_id: str) -> Deployment:
        return self.found(self._key)

    def history(self, service: str, environment: str) -> tuple[Deployment, ...]:
        return ()

    def fleet(self, service: str, environment: str) -> Fleet:
        return Fleet(service, environment, (Node("n1", service, environment, "1.7.0", "c", DIGEST, True, ""),))


class SilencingRig:
    """The parts around one action, as the core joins them."""

    def __init__(self, folder: Path, url: str, main: LoopMainThread | None = None) -> None:
        self.key = f"k-{zlib.crc32(str(folder).encode()):x}"  # the server remembers those of other tests
        self.main = main or LoopMainThread()
        self.store, self.runner, self.notices = Store(), Runner(self.main), Notices(now_us)
        self.database = open_database(folder / "cockpit.sqlite")
        self.journal = Journal(self.database, process_owner(), now_us)
        self.deployer, self.connections = Deployer(self.key), Connections()
        self.alerting: Any = Alertmanager(HttpClient(url, name="The alerting system"))
        parts = (self.store, self.runner, self.main, self.journal, self.connections, self.notices, now_us)
        self.execution = Execution(*parts, Pace(follow_s=0.05, slow_s=0.1, settle_s=0.5, verify_s=1.0))
        self.silences = Silences(*parts)
        self.silences.expected, self.silences.longest_s = EXPECTED, 600.0
        self.execution.ended.append(self.silences.heard)
        self.connect()

    def connect(self) -> None:
        made = (("dep", "DeploymentApi", self.deployer), ("alerts", "AlertsApi", self.alerting))
        self.connections.replace(tuple(Connected(i, i, "x", (port,), ("gw",), made_) for i, port, made_ in made))
        self.silences.connected()

    def begin(self) -> None:
        action = Action(self.key, "deploy", "gw", "prod", "1.6.0", "", "1.7.0", DIGEST, WHO, ActionState.INTENDED, now_us())
        self.execution.begin(action, DeployRequest("gw", "prod", "1.7.0", DIGEST, "deploy", WHO))

    def recover(self) -> None:
        entries = self.journal.unfinished()
        self.execution.recover(entries, {e.key: self.journal.progress_of(e.key) for e in entries})
        self.silences.recover()

    def until(self, ready: Callable[[], Any], timeout_s: float = 15.0) -> None:
        assert self.main.run_until(lambda: bool(ready()), timeout_s)

    def noted(self, kind: str) -> list[dict[str, Any]]:
        """What the journal has of silences, oldest first."""
        found = self.journal.entries(kinds=(kind,))
        return [e.detail for e in reversed(found) if e.action == "silence"]

    def close(self) -> None:
        self.silences.close()
        self.execution.close()
        self.runner.close()
        self.alerting.close()
        self.database.close()


def main() -> None:
    folder, url, step = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    rig = SilencingRig(folder, url)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if step == "made":
        real = rig.alerting.silence

        def silence(*arguments: Any) -> None:
            real(*arguments)
            die()

        rig.alerting.silence = silence
    rig.begin()
    noted = lambda: rig.noted("progress") and rig.store.state.actions[rig.key].state is ActionState.FOLLOWING  # noqa: E731 - said once
    rig.main.run_until(lambda: bool(noted()), 20.0)
    die()


if __name__ == "__main__":
    main()
