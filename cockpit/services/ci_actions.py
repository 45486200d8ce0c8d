"""What a person may ask of the tests: run them again, stop them, read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from cockpit.connectors.ports import CiSystem
from cockpit.domain.checks import CheckRun
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.facts import Fact
from cockpit.services.connections import Connections
from cockpit.services.notices import Notices
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import Store

Record = Callable[[str, str, str, str, str, dict[str, Any]], None]


class CiActions:
    """Main thread only. `record` writes into the journal: kind, key, action, service, environment, detail."""

    def __init__(
        self, store: Store, runner: Runner, connections: Connections, notices: Notices, record: Record, clock_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._runner = runner
        self._connections = connections
        self._notices = notices
        self._record = record
        self._clock_us = clock_us
        self.read_only = ""
        self.refresh: Callable[[str, str], None] = lambda port, service: None

    def rerun_checks(self, run_id: str) -> None:
        """Ask for the same suites again."""
        run, ci = self._run_and_ci(run_id)
        self._ci_action("rerun", run, lambda key: ci.rerun(run_id, key))

    def stop_checks(self, run_id: str) -> None:
        """Stop a run."""
        run, ci = self._run_and_ci(run_id)
        self._ci_action("stop", run, lambda key: ci.stop(run_id))

    def _run_and_ci(self, run_id: str) -> tuple[CheckRun, CiSystem]:
        if self.read_only:
            raise NotAllowed(self.read_only)
        run = next((r for f in self._store.state.checks.values() for r in f.value if r.id == run_id), None)
        ci = self._connections.ci(run.service) if run else None
        if run is None or ci is None:
            raise NotAllowed("That run is not known here.", hint="Refresh (F5), then choose it again.")
        return run, ci

    def _ci_action(self, word: str, run: CheckRun, call: Callable[[str], CheckRun]) -> None:
        key = uuid4().hex

        def work() -> CheckRun:
            self._record("intent", key, word, run.service, "", {"run": run.id, "version": run.version})
            try:
                answer = call(key)
            except CockpitError as error:
                self._record("outcome", key, word, run.service, "", {"state": error.title, "message": error.message})
                raise
            self._record("outcome", key, word, run.service, "", {"state": "done", "run": answer.id})
            return answer

        def done(outcome: Outcome[CheckRun]) -> None:
            if outcome.error is not None:
                self._notices.error(outcome.error)
            self.refresh("CiSystem", run.service)

        self._runner.submit(f"ci:{run.service}", work, done)

    def load_run(self, run_id: str) -> None:
        """Read one run with all its tests into `state.runs`."""
        known = next((r for f in self._store.state.checks.values() for r in f.value if r.id == run_id), None)
        ci = self._connections.ci(known.service) if known else None
        if ci is None:
            return

        def done(outcome: Outcome[CheckRun]) -> None:
            if outcome.value is not None:
                self._store.merge("runs", {run_id: Fact(outcome.value, self._clock_us(), "tests")})

        self._runner.submit("ci:read", partial(ci.run, run_id), done)

    def load_log(self, run_id: str, suite: str, done: Callable[[Outcome[str]], None]) -> None:
        """Read a suite's log; untrusted text."""
        known = next((r for f in self._store.state.checks.values() for r in f.value if r.id == run_id), None)
        ci = self._connections.ci(known.service) if known else None
        if ci is None:
            done(Outcome(error=NotAllowed("No CI system is connected for that run.")))
            return
        self._runner.submit("ci:read", partial(ci.log, run_id, suite), done)
