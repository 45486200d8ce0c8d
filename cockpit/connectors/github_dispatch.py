"""Deploying by a workflow that is started by hand (workflow_dispatch): starting it, and knowing its run again by its name."""

from __future__ import annotations

import re
from base64 import b64decode

from msgspec import Struct
from msgspec.structs import replace

from cockpit.connectors.github_api import Api, refused
from cockpit.connectors.github_wire import Number, at_us
from cockpit.connectors.github_wire_run import RunWire, parse_run, parse_runs
from cockpit.connectors.http_answers import decode
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import Text
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import NotFound, OutcomeUnknown
from cockpit.domain.release import Deployment, DeployState, NodeStep

WORDS = ("kind", "service", "version", "environment", "key")
RUN_NAME = "run-name: " + " ".join("${{ inputs." + word + " }}" for word in WORDS)
_INPUTS = r"[ \t]+".join(r"\$\{\{\s*inputs\." + word + r"\s*\}\}" for word in WORDS)
_RUN_NAME = re.compile(r"^run-name:[ \t]*[\"']?" + _INPUTS + r"[\"']?[ \t]*$", re.MULTILINE)
CHECKED_S = 600.0


class ContentWire(Struct):
    """GET …/contents/{path} of a file."""

    content: Text = ""
    encoding: str = ""


class StartedWire(Struct):
    """What answers a start; servers that are older answer nothing."""

    workflow_run_id: Number = 0


def parse_content(body: bytes) -> str:
    """The text of a file, "" where it is none."""
    wire = decode(body, ContentWire)
    try:
        return b64decode(wire.content).decode("utf-8", "replace") if wire.encoding == "base64" else ""
    except ValueError:
        return ""


def parse_started(body: bytes) -> int:
    """The run that was started, 0 where GitHub does not say."""
    return decode(body, StartedWire).workflow_run_id if body.strip() else 0


def parse_title(title: str) -> dict[str, str]:
    """The words of a run's name, {} where it is not one of ours."""
    words = title.split()
    found = dict(zip(WORDS, words, strict=False))
    return found if len(words) == len(WORDS) and words[0] in ("deploy", "rollback") else {}


class Dispatch:
    """Runs of the workflow that deploys. GitHub tells of a run neither inputs nor who asked: its name must hold them (`RUN_NAME`)."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def start(self, request: DeployRequest, key: str, ref: str) -> Deployment:
        """Start the workflow at that tag, once."""
        workflow = self._api.names.workflow_dispatch
        words = {"kind": request.kind, "service": request.service, "version": request.version}
        words |= {"environment": self._api.names.place(request.service, request.environment), "key": key}
        if any(len(word.split()) != 1 for word in words.values()):
            raise refused("A name with spaces in it cannot be told from a run's name.", "Use names without spaces for this connection.")
        self._checked(request.service, workflow, ref)
        address = self._api.path(request.service, "actions", "workflows", workflow, "dispatches")
        number = self._api.write(address, {"ref": ref, "inputs": words, "return_run_details": True}, parse_started)
        if not number:
            what = "GitHub started the workflow and did not say as which run."
            raise OutcomeUnknown(what, hint="It is looked for by its name.")
        return Deployment(
            id=f"{request.service}/run/{number}",
            key=key,
            service=request.service,
            environment=request.environment,
            version=request.version,
            digest=request.digest,
            kind=request.kind,
            state=DeployState.QUEUED,
            requested_by=request.requested_by,
            reason=request.reason,
        )

    def _checked(self, service: str, workflow: str, ref: str) -> None:
        """A run that could not be found again must not be started."""
        address = self._api.path(service, "contents", ".github", "workflows", workflow)
        try:
            text = self._api.read(address, parse_content, {"ref": ref}, within_s=CHECKED_S)
        except NotFound:
            text = ""
        if not _RUN_NAME.search(text):
            raise refused(
                f"The workflow {workflow} at {one_line(ref, 100)} does not name its runs by their inputs.", f"It needs: {RUN_NAME}"
            )

    def runs(self, service: str) -> tuple[RunWire, ...]:
        """Those started by hand, newest first; a hundred reach back far enough for a key. None where there is no such workflow."""
        workflow = self._api.names.workflow_dispatch
        address = self._api.path(service, "actions", "workflows", workflow, "runs")
        params = {"event": "workflow_dispatch"}
        try:
            return self._api.pages(address, parse_runs, params, enough=bool, within_s=1.0)
        except NotFound:
            return ()

    def listed(self, service: str, environment: str) -> tuple[Deployment, ...]:
        """Those that deploy this service there, newest first."""
        found = (self._deployment(service, wire) for wire in self.runs(service))
        return tuple(d for d in found if d is not None and (d.service, d.environment) == (service, environment))

    def find(self, key: str) -> Deployment | None:
        """By the run's name."""
        for service in self._api.repositories.values():
            for wire in self.runs(service) if service else ():
                if parse_title(wire.display_title).get("key") == key:
                    return self._deployment(service, wire)
        return None

    def deployment(self, service: str, number: str) -> Deployment:
        """One run; NotFound where it deploys nothing."""
        wire = self._api.read(self._api.path(service, "actions", "runs", number), parse_run)
        found = self._deployment(service, wire)
        if found is None:
            raise NotFound(f"Run {number} of {service} deploys nothing.", hint="Look at the list again.")
        return found

    def joined(self, deployment: Deployment, run: int) -> Deployment:
        """GitHub's record of a deployment, with what the run behind it is called."""
        wire = next((w for w in self.runs(deployment.service) if w.id == run), None) if run else None
        found = self._deployment(deployment.service, wire) if wire is not None else None
        if found is None:
            return deployment
        return replace(deployment, id=found.id, key=found.key, version=found.version, kind=found.kind)

    def _deployment(self, service: str, wire: RunWire) -> Deployment | None:
        words = parse_title(wire.display_title)
        environment = self._api.names.environment_of(words.get("service", service), words.get("environment", ""))
        if not words or not environment:
            return None
        state = _state(wire)
        digest, started = f"git:{wire.head_sha}", at_us(wire.run_started_at or wire.created_at)
        done = {DeployState.SUCCEEDED: "done", DeployState.QUEUED: "pending", DeployState.RUNNING: "starting"}
        return Deployment(
            id=f"{words['service']}/run/{wire.id}",
            key=one_line(words["key"], 200),
            service=words["service"],
            environment=environment,
            version=one_line(words["version"], 200),
            digest=digest,
            kind=words["kind"],
            state=state,
            started_at_us=started,
            finished_at_us=max(started, at_us(wire.updated_at)) if state.final else 0,
            steps=(NodeStep(environment, done.get(state, "failed"), digest),),
            message=one_line(wire.conclusion or "", 200) if state is DeployState.FAILED else "",
        )


def _state(wire: RunWire) -> DeployState:
    if wire.state is CheckState.PASSED:
        return DeployState.SUCCEEDED
    if wire.state.final:
        return DeployState.ABORTED if wire.conclusion in ("cancelled", "skipped") else DeployState.FAILED
    return DeployState.RUNNING if wire.state is CheckState.RUNNING else DeployState.QUEUED
