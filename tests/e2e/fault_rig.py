"""An Execution with its journal over a real connection, small enough that hundreds are made; used in the test's process and in children."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.clock import now_us
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.notices import Notices
from cockpit.services.runtime import LoopMainThread, Runner
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from cockpit.storage.owner import process_owner

LIMITS = Limits(connect_timeout_s=0.3, read_timeout_s=0.4, deadline_s=0.8, retries=1)
# settled later than a Retry-After of one second
PACE = Pace(follow_s=0.05, slow_s=0.15, settle_s=1.6, verify_s=10.0)
SERVICE = "order-gateway"
WHO = "Tester <tester@playground.invalid>"


class Intent(Struct, frozen=True):
    """What is asked for: a key, a kind, and an artifact for a place."""

    key: str
    kind: str
    environment: str
    version: str
    digest: str
    reason: str = ""

    def action(self) -> Action:
        """The action, as a click makes it."""
        return Action(
            self.key, self.kind, SERVICE, self.environment, "", "", self.version, self.digest, WHO, ActionState.INTENDED, now_us()
        )

    def request(self) -> DeployRequest:
        """What goes over the wire."""
        return DeployRequest(SERVICE, self.environment, self.version, self.digest, self.kind, WHO, self.reason)


class Spy:
    """A connector that tells after each call how it ended."""

    def __init__(self, real: Any, told: Callable[[str, Exception | None], None]) -> None:
        self._real = real
        self._told = told

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._real, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                answer = method(*arguments, **options)
            except Exception as error:
                self._told(name, error)
                raise
            self._told(name, None)
            return answer

        return call


class FaultRig:
    """The parts between a click and the wire. `seen`: the states an action went through; `felt`: methods that failed, in order."""

    def __init__(self, folder: Path, port: int, main: LoopMainThread, told: Callable[[str, Exception | None], None] | None = None) -> None:
        self.main = main
        self.store = Store()
        self.seen: list[ActionState] = []
        self.felt: list[str] = []
        self._told = told
        self.notices = Notices(now_us)
        self.runner = Runner(main, workers=1)
        self.database = open_database(folder / "cockpit.sqlite")
        self.journal = Journal(self.database, process_owner(), now_us)
        self._client = HttpClient(f"http://127.0.0.1:{port}", name="The deployment system", limits=LIMITS)
        api = Spy(OpenDeployment(self._client), self._heard)
        self.connections = Connections()
        self.connections.replace((Connected("dep", "dep", "deployment-v1", ("DeploymentApi",), (SERVICE,), api),))
        parts = (self.store, self.runner, main, self.journal, self.connections, self.notices, now_us, PACE)
        self.execution = Execution(*parts)
        self.store.subscribe(lambda _: self._look())

    def _heard(self, method: str, error: Exception | None) -> None:
        if error is not None:
            self.felt.append(method)
        if self._told is not None:
            self._told(method, error)

    def _look(self) -> None:
        for action in self.store.state.actions.values():
            if not self.seen or self.seen[-1] is not action.state:
                self.seen.append(action.state)

    def begin(self, intent: Intent) -> None:
        """The click."""
        self.execution.begin(intent.action(), intent.request())

    def recover(self) -> int:
        """Take up what the process before left; how many intents that were."""
        entries = self.journal.unfinished()
        self.execution.recover(entries, {e.key: self.journal.progress_of(e.key) for e in entries})
        return len(entries)

    def action(self, key: str) -> Action | None:
        """The action as it is shown."""
        return self.store.state.actions.get(key)

    def close(self) -> None:
        """As a window that is closed."""
        self.execution.close()
        self.runner.close()
        self._client.close()
        self.database.close()
