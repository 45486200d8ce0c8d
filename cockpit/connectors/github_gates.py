"""Environment reviewers: Actions runs that wait for a person, answered from here."""

from __future__ import annotations

from collections.abc import Callable

from cockpit.connectors.github_api import Api, numbered, parse_nothing
from cockpit.connectors.github_wire import at_us
from cockpit.connectors.github_wire_run import PendingWire, RunWire, parse_pending, parse_runs
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import web_address
from cockpit.domain.errors import NotFound
from cockpit.domain.gates import Gate

SHARED_S = 30.0
PENDING_S = 60.0
MAX_COMMENT = 1000
USUAL_COMMENT = {True: "Approved from Release Cockpit", False: "Rejected from Release Cockpit"}


class PendingGates:
    """Gates' part of GitHub. A gate's id is `service/run-environment`."""

    def __init__(self, api: Api, runs: Callable[[str], tuple[RunWire, ...]], version: Callable[[str, RunWire], str]) -> None:
        self._api = api
        self._runs = runs
        self._version = version

    def gates(self, service: str) -> tuple[Gate, ...]:
        """What waits for reviewers, the longest first; what waits for a timer alone is nobody's to answer."""
        found = [
            self._gate(service, wire, pending)
            for wire in self._waiting(service)
            for pending in self._api.read(self._pending(service, str(wire.id)), parse_pending)
            if pending.reviewers and self._api.names.environment_of(service, pending.environment.name)
        ]
        return tuple(sorted(found, key=lambda gate: (gate.asked_at_us, gate.id)))

    def _waiting(self, service: str) -> tuple[RunWire, ...]:
        if self._api.names.workflow:  # then the list of runs is that workflow's, and others may wait too
            path = self._api.path(service, "actions", "runs")
            return self._api.pages(path, parse_runs, {"status": "waiting"})
        return tuple(wire for wire in self._runs(service) if wire.status == "waiting")

    def _pending(self, service: str, run: str) -> str:
        return self._api.path(service, "actions", "runs", run, "pending_deployments")

    def _gate(self, service: str, wire: RunWire, pending: PendingWire) -> Gate:
        environment = self._api.names.environment_of(service, pending.environment.name)
        people = (kind.reviewer for kind in pending.reviewers if kind.reviewer is not None)
        title = one_line(wire.display_title or wire.name or "A run", 200)
        return Gate(
            id=f"{service}/{wire.id}-{pending.environment.id}",
            service=service,
            environment=environment,
            version=self._version(service, wire),
            title=f"{title} waits for {environment}",
            who=tuple(one_line(who.login or who.slug or who.name or "", 100) for who in people),
            mine=pending.current_user_can_approve,
            asked_at_us=at_us(wire.updated_at or wire.run_started_at or wire.created_at),
            url=plain(web_address(wire.html_url)),
        )

    def decide(self, gate: Gate, approve: bool, comment: str, key: str) -> None:
        """Answer it, once; GitHub keeps the comment beside the answer."""
        whole, _, environment = gate.id.rpartition("-")
        service, run = numbered(whole)
        if not (environment.isascii() and environment.isdigit()) or len(environment) > 19:
            raise NotFound(f"GitHub has no gate “{one_line(gate.id, 100)}”.", hint="It may be answered already; look at the list again.")
        waiting = {pending.environment.id for pending in self._api.read(self._pending(service, run), parse_pending)}
        if int(environment) not in waiting:
            raise NotFound(f"{one_line(gate.title, 200)}: it waits no longer.", hint="Somebody answered it already, or it was cancelled.")
        said = plain(comment.strip(), MAX_COMMENT) or USUAL_COMMENT[approve]
        body = {"environment_ids": [int(environment)], "state": "approved" if approve else "rejected", "comment": said}
        self._api.write(self._pending(service, run), body, parse_nothing)
