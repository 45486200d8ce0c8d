"""Argo CD as a deployment system: sync to a commit, rollback to an earlier sync, and syncing by itself held back for that."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import msgspec
from msgspec.structs import replace

from cockpit.connectors import argo_cd_state as state
from cockpit.connectors.argo_cd_app import APPLICATIONS, Applications, held_in, policy_of
from cockpit.connectors.argo_cd_wire import (
    ApplicationWire,
    HistoryWire,
    Record,
    parse_application,
    parse_applications,
    parse_user,
    parse_version,
)
from cockpit.connectors.http import HttpClient
from cockpit.connectors.kube_view import deployment_id as id_of
from cockpit.connectors.kube_view import parts_of
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import AuthFailed, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Artifact, Deployment, DeployState, Fleet, Node, NodeStep, version_key

_MARKS = ("k:", "h:")
_BUSY = "Another operation is under way in Argo CD."
_SWITCHED_OFF = "Auto-sync was on and was switched off first; it is switched on again when the hold is cleared."


class ArgoCd:
    """DeploymentApi and Holds over Argo CD's HTTP API. Blocks; from any thread; ConnectorErrors only.

    What is asked is first written into an annotation of the application, then begun: Argo CD takes no key for a rollback. A record
    that nothing followed began nothing. `application`: how applications are named; `tag_pattern`: how a commit's tags name versions.
    """

    def __init__(self, client: HttpClient, application: str, environments: str = "", image: str = "", tag_pattern: str = "") -> None:
        self._client = client
        self._apps = Applications(client, application, environments, image, tag_pattern)

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    # -- reading -------------------------------------------------------------------------------------------------------------

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every pod, the deployment under way, and what Argo CD would deploy by itself."""
        app = self._apps.one(service, environment)
        nodes = self._apps.nodes(app, service, environment)
        active = next((d for d in self._deployments(app, service, environment, nodes) if not d.state.final), None)
        return Fleet(service, environment, nodes, active, self._automatic(app), held_in(app))

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """The commits that were synced in the known environments, and the one that the repository has now; newest first."""
        found: dict[str, Artifact] = {}
        missing: NotFound | None = None
        reached = False
        for environment in self._apps.environments():
            try:
                app = self._apps.one(service, environment)
            except NotFound as error:
                missing = error
                continue
            reached = True
            moments = {h.name: parse_moment(h.deployed_at) for h in reversed(app.past)}
            for revision in dict.fromkeys((app.head, *(h.name for h in app.past))):
                version, built_us = self._apps.told(app, service, revision)
                if version:
                    found.setdefault(version, Artifact(service, version, revision, f"git:{revision}", built_us or moments.get(revision, 0)))
        if missing is not None and not reached:
            raise missing
        return tuple(sorted(found.values(), key=lambda a: (a.built_at_us, version_key(a.version)), reverse=True))

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """What was begun from here, and the syncs that others began, newest first."""
        app = self._apps.one(service, environment)
        return self._deployments(app, service, environment)[: max(0, limit)]

    def find(self, key: str) -> Deployment | None:
        """The deployment announced with this key, if it was begun; None where none was."""
        name = state.note_of(key)
        for app in self._client.read(APPLICATIONS, parse_applications):
            if name in app.notes:
                record = next((r for r in state.records_of(app) if r.key == key), None)
                return self._of(app, record) if record is not None else None
        return None

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, pod by pod while it is the present one."""
        parts = parts_of(deployment_id, _MARKS)
        if parts is None:
            raise _unknown(deployment_id)
        environment, service, rest = parts
        app = self._apps.one(service, environment)
        record = next((r for r in state.records_of(app) if rest == f"k:{r.key}"), None)
        found = self._of(app, record) if record is not None else None
        found = found or next((d for d in self._deployments(app, service, environment) if d.id == deployment_id), None)
        if found is None:
            raise _unknown(deployment_id)
        return found

    def probe(self) -> Probe:
        """The server's version, and as whom it sees us."""
        version = self._client.read("/api/version", parse_version)
        user = self._client.read("/api/v1/session/userinfo", parse_user)
        missing = () if user else ("a token: Argo CD does not know who asks",)
        return Probe(f"Argo CD {one_line(version, 100)}", one_line(user, 200), missing)

    # -- writing -------------------------------------------------------------------------------------------------------------

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Sync to the commit, or roll back to the sync that brought it; the record goes first, and auto-sync off where it is in the way."""
        if request.nodes:
            raise Rejected("Kubernetes chooses the pods itself.", hint="Deploy to all of them, without a strategy by node.")
        app = self._apps.one(request.service, request.environment)
        record = next((r for r in state.records_of(app) if r.key == key), None)
        begun = self._of(app, record) if record is not None else None
        if begun is not None:
            return begun
        if state.under_way(app):
            raise Rejected(_BUSY, hint="Wait for its end, or abort it.", status=409)
        record, entry = self._announced(app, request, key)
        held = app.automated is not None and not (request.kind == "deploy" and record.revision == app.head)
        if held:
            record = replace(record, note=_SWITCHED_OFF)
        try:
            app = self._announce(app, record, held)
        except OutcomeUnknown as error:
            # nothing was begun yet, and whether the record is there can be read
            app = self._apps.one(request.service, request.environment)
            if state.note_of(key) not in app.notes:
                raise Unreachable(f"Nothing was begun: {error.message}", hint=error.hint) from None
        try:
            made = self._begin(app, record, entry, automated=app.automated is not None)
        except (Rejected, NotFound, AuthFailed):
            self._take_back(app, record, held)
            raise
        standing = state.standing_of(made, record, record.at_us) or state.Standing(DeployState.RUNNING)
        return state.of_record(made, record, standing)

    def abort(self, deployment_id: str) -> Deployment:
        """Terminate the operation; aborting what has ended changes nothing."""
        found = self.deployment(deployment_id)
        if found.state.final:
            return found
        app = self._apps.one(found.service, found.environment)
        if not state.under_way(app):
            hint = "Roll back, to bring the former version to all of them."
            raise Rejected("Argo CD has applied everything; only the pods are still on their way.", hint=hint)
        self._client.write(f"{self._apps.path(app)}/operation", None, bytes, method="DELETE")
        return self.deployment(deployment_id)

    def hold(self, service: str, environment: str, digest: str, held: bool, reason: str) -> Fleet:
        """Switch auto-sync off as long as anything is held, and on again as it was with the last one cleared. Twice changes nothing."""
        app = self._apps.one(service, environment)
        now = held_in(app)
        wanted = tuple(d for d in now if d != digest) + ((digest,) if held else ())
        saved = app.notes.get(state.AUTOMATED, "")
        notes: dict[str, str | None] = {state.HELD: json.dumps(wanted) if wanted else None}
        policy: dict[str, Any] = {}
        if wanted and app.automated is not None:
            notes[state.AUTOMATED], policy = json.dumps(app.automated), {"automated": None}
        elif not wanted and saved:
            notes[state.AUTOMATED], policy = None, {"automated": policy_of(saved)}
        if set(wanted) != set(now) or policy:
            self._apps.patch(app, notes, policy)
        return self.fleet(service, environment)

    # -- below ---------------------------------------------------------------------------------------------------------------

    def _announced(self, app: ApplicationWire, request: DeployRequest, key: str) -> tuple[Record, HistoryWire | None]:
        """The record to write, and the earlier sync to go back to. Rejected for a commit that is neither in the history nor the newest."""
        if app.spec.sources and request.kind != "rollback":
            raise Rejected("The application has several sources.", hint="Sync it in Argo CD; rolling back works from here.")
        revision = request.digest.removeprefix("git:")
        past = [h for h in app.past if h.name == revision]
        if revision == request.digest or not revision or not (past or revision == app.head):
            hint = "Only commits that were synced there, and the newest one, can be deployed."
            raise Rejected(f"Argo CD does not know {one_line(request.digest, 80)} there.", hint=hint, status=422)
        operation, live = app.status.operation_state, app.past[0] if app.past else None
        record = Record(
            key=key,
            service=request.service,
            environment=request.environment,
            version=request.version,
            digest=request.digest,
            kind=request.kind,
            by=request.requested_by[:200],
            reason=plain(request.reason, 500),
            at_us=time.time_ns() // 1000,
            from_version=self._apps.told(app, request.service, live.name)[0] if live else "",
            from_digest=f"git:{live.name}" if live else "",
            before=(operation.started_at or "") if operation is not None else "",
            mark=live.id if live is not None else -1,
        )
        return record, past[0] if past and request.kind == "rollback" else None

    def _announce(self, app: ApplicationWire, record: Record, held: bool) -> ApplicationWire:
        """Write the record, what became of the others, and switch auto-sync off where it must be."""
        notes: dict[str, str | None] = {}
        others = state.records_of(app)
        for other in others:
            standing = state.standing_of(app, other, record.at_us)
            if other.key != record.key and not other.ended and standing is not None:
                ended = standing.state if standing.state.final else DeployState.ABORTED
                done = replace(other, ended=str(ended), ended_at_us=standing.at_us)
                notes[state.note_of(other.key)] = msgspec.json.encode(done).decode()
        notes |= {state.note_of(old.key): None for old in others[: -state.KEPT]}
        notes[state.note_of(record.key)] = msgspec.json.encode(record).decode()
        if held:
            notes[state.AUTOMATED] = json.dumps(app.automated)
        return self._apps.patch(app, notes, {"automated": None} if held else {})

    def _begin(self, app: ApplicationWire, record: Record, entry: HistoryWire | None, automated: bool) -> ApplicationWire:
        name = app.metadata.name
        if entry is not None:
            body: dict[str, Any] = {"name": name, "id": entry.id, "prune": False, "dryRun": False}
            return self._client.write(f"{self._apps.path(app)}/rollback", body, parse_application)
        told = {state.KEY: record.key, "release-cockpit/by": record.by, "release-cockpit/reason": record.reason}
        infos = [{"name": n, "value": v} for n, v in told.items() if v]
        body = {"name": name, "prune": False, "dryRun": False, "infos": infos}
        if not automated:  # with auto-sync on it takes no revision but its own newest one
            body["revision"] = record.revision
        return self._client.write(f"{self._apps.path(app)}/sync", body, parse_application)

    def _take_back(self, app: ApplicationWire, record: Record, held: bool) -> None:
        """It was refused: nothing stays of what was written before it. Where that fails, the record that nothing followed does no harm."""
        notes: dict[str, str | None] = dict.fromkeys((state.note_of(record.key), *((state.AUTOMATED,) if held else ())))
        with contextlib.suppress(ConnectorError):
            self._apps.patch(app, notes, {"automated": policy_of(app.notes[state.AUTOMATED])} if held else {})

    def _of(self, app: ApplicationWire, record: Record) -> Deployment | None:
        """A deployment made from here with its pods, None where it was announced and never begun."""
        standing = state.standing_of(app, record, time.time_ns() // 1000)
        if standing is None:
            return None
        steps: tuple[NodeStep, ...] = ()
        if state.is_ours(app, record):
            steps = state.steps_of(self._apps.nodes(app, record.service, record.environment), record.digest, standing.state)
        return state.of_record(app, record, standing, steps)

    def _deployments(
        self, app: ApplicationWire, service: str, environment: str, nodes: tuple[Node, ...] | None = None
    ) -> tuple[Deployment, ...]:
        now_us = time.time_ns() // 1000
        found, mine = [], set()
        for record in state.records_of(app):
            standing = state.standing_of(app, record, now_us)
            entry = state.entry_of(app, record)
            mine |= {entry.id} if entry is not None else set()
            if standing is not None:
                steps = state.steps_of(nodes or (), record.digest, standing.state) if state.is_ours(app, record) else ()
                found.append(state.of_record(app, record, standing, steps))
        for entry in app.past:
            if entry.id not in mine:
                version = self._apps.told(app, service, entry.name)[0]
                found.append(state.of_entry(entry, (service, environment), version, state.Standing(DeployState.SUCCEEDED)))
        strange = self._strange(app, service, environment)
        return tuple(sorted([*found, *strange], key=lambda d: -d.started_at_us))

    def _strange(self, app: ApplicationWire, service: str, environment: str) -> list[Deployment]:
        """The operation under way that others began."""
        operation = app.status.operation_state
        if operation is None or not operation.under_way or any(state.is_ours(app, r) for r in state.records_of(app)):
            return []
        started, revision = parse_moment(operation.started_at), operation.revision
        at = (service, environment, self._apps.told(app, service, revision)[0], f"git:{revision}", "deploy", DeployState.RUNNING)
        return [
            Deployment(id_of(environment, service, f"h:op-{started}"), "", *at, started_at_us=started, message=plain(operation.message))
        ]

    def _automatic(self, app: ApplicationWire) -> str:
        if app.automated is None:
            return ""
        source = app.spec.source or (app.spec.sources or ())[0]
        return one_line(f"auto-sync deploys {source.target_revision or 'HEAD'} of {source.repo_url} as soon as it changes", 500)


def _unknown(deployment_id: str) -> NotFound:
    return NotFound(f"There is no deployment “{one_line(deployment_id, 200)}”.", hint="It may be older than what Argo CD keeps.")
