"""GitLab's deployments and pipelines as the cockpit's deployments and fleets. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cockpit.connectors import forge_text
from cockpit.connectors.gitlab_variables import DEPLOY
from cockpit.connectors.gitlab_wire_ci import DeploymentWire, PipelineWire
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import web_address
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import Deployment, DeployState, Fleet, Node, NodeStep

DEPLOYED = "git:"
_STATES = {
    "created": DeployState.QUEUED,
    "blocked": DeployState.QUEUED,
    "running": DeployState.RUNNING,
    "success": DeployState.SUCCEEDED,
    "failed": DeployState.FAILED,
    "canceled": DeployState.ABORTED,
    "skipped": DeployState.ABORTED,
}
_PIPELINES = {"running": DeployState.RUNNING, "canceling": DeployState.RUNNING, "canceled": DeployState.ABORTED} | dict.fromkeys(
    ("success", "failed", "skipped"), DeployState.FAILED
)
_STEPS = {
    DeployState.QUEUED: "pending",
    DeployState.RUNNING: "starting",
    DeployState.SUCCEEDED: "done",
    DeployState.FAILED: "failed",
    DeployState.ABORTED: "failed",
}
_WAITS = {"blocked": "It waits for its approval in GitLab.", "manual": "The pipeline waits for somebody to start its manual job."}
_NOWHERE = "The pipeline ended and deployed nothing here: no job of its belongs to this environment."


class Names(Struct, frozen=True):
    """How versions and environments are named there; patterns with {service} and {environment}."""

    tag_pattern: str = ""
    environments: str = "{environment}"

    def environment(self, service: str, environment: str) -> str:
        """GitLab's name of an environment."""
        return forge_text.filled(self.environments, service=service, environment=environment)

    def cockpits(self, service: str, name: str) -> str:
        """The cockpit's name of GitLab's environment; GitLab's own where the pattern does not fit."""
        before, _, after = forge_text.filled(self.environments, service=service).partition("{environment}")
        fits = name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)
        return name[len(before) : len(name) - len(after)] if fits else name

    def pattern(self, service: str) -> str:
        """How the service's tags are named, "" = any way."""
        return forge_text.filled(self.tag_pattern, service=service)

    def version(self, ref: str, service: str) -> str:
        """The version a ref names; the ref itself where it names none."""
        return forge_text.version_of(ref, service, self.pattern(service)) or one_line(ref, 200)

    def variables(self, request: DeployRequest, key: str) -> dict[str, str]:
        """What the pipeline is told."""
        return {
            DEPLOY: key,
            "RELEASE_COCKPIT_SERVICE": request.service,
            "RELEASE_COCKPIT_ENVIRONMENT": request.environment,
            "RELEASE_COCKPIT_VERSION": request.version,
            "RELEASE_COCKPIT_KIND": request.kind,
            "RELEASE_COCKPIT_REQUESTED_BY": request.requested_by,
            "RELEASE_COCKPIT_REASON": one_line(request.reason, 500),
        }


def deployment_of(service: str, environment: str, wire: DeploymentWire, variables: dict[str, str], names: Names) -> Deployment:
    """A deployment; BadPayload for a status that nobody knows, since nothing may be taken for done or failed by guessing."""
    state = _STATES.get(wire.status)
    if state is None:
        raise BadPayload(f"A deployment has the unknown status “{one_line(wire.status, 60)}”.", hint="Update Release Cockpit.")
    pipeline = wire.deployable.pipeline if wire.deployable is not None else None
    key = variables.get(DEPLOY, "") if variables.get("RELEASE_COCKPIT_ENVIRONMENT", "") == environment else ""
    job = wire.deployable
    started_us = forge_text.moment_us((job.started_at if job else None) or wire.created_at)
    finished_us = forge_text.moment_us((job.finished_at if job else None) or wire.updated_at) if state.final else 0
    return Deployment(
        id=f"p{pipeline.id}:{service}:{environment}" if key and pipeline is not None else f"d{wire.id}:{service}:{environment}",
        key=key,
        service=service,
        environment=environment,
        version=names.version(wire.ref or "", service),
        digest=DEPLOYED + wire.sha,
        kind="rollback" if key and variables.get("RELEASE_COCKPIT_KIND") == "rollback" else "deploy",
        state=state,
        requested_by=one_line(variables.get("RELEASE_COCKPIT_REQUESTED_BY", "") if key else (wire.user.username if wire.user else ""), 300),
        reason=one_line(variables.get("RELEASE_COCKPIT_REASON", ""), 500) if key else "",
        started_at_us=started_us,
        finished_at_us=max(started_us, finished_us) if state.final else 0,
        steps=(NodeStep(environment, _STEPS[state], DEPLOYED + wire.sha),),
        message=_WAITS.get(wire.status, ""),
    )


def pending_of(service: str, environment: str, pipeline: PipelineWire, variables: dict[str, str], names: Names) -> Deployment:
    """A pipeline that has not made its deployment: under way, or ended without."""
    state = _PIPELINES.get(pipeline.status, DeployState.QUEUED)
    started_us = forge_text.moment_us(pipeline.created_at)
    digest = DEPLOYED + pipeline.sha
    return Deployment(
        id=f"p{pipeline.id}:{service}:{environment}",
        key=variables.get(DEPLOY, ""),
        service=service,
        environment=environment,
        version=names.version(pipeline.ref or "", service),
        digest=digest,
        kind="rollback" if variables.get("RELEASE_COCKPIT_KIND") == "rollback" else "deploy",
        state=state,
        requested_by=one_line(variables.get("RELEASE_COCKPIT_REQUESTED_BY", ""), 300),
        reason=one_line(variables.get("RELEASE_COCKPIT_REASON", ""), 500),
        started_at_us=started_us,
        finished_at_us=max(started_us, forge_text.moment_us(pipeline.updated_at)) if state.final else 0,
        steps=(NodeStep(environment, _STEPS[state], digest),),
        message=_NOWHERE if state is DeployState.FAILED else _WAITS.get(pipeline.status, ""),
    )


def fleet_of(service: str, environment: str, wires: Sequence[DeploymentWire], newest: Sequence[Deployment], names: Names) -> Fleet:
    """The environment as one node. Its health is not known after a deployment that failed half-way: GitLab does not look at it."""
    done = next((wire for wire in wires if wire.status == "success"), None)
    last = next((wire for wire in wires if wire.status in ("success", "failed", "canceled")), None)
    active = next((d for d in newest if not d.state.final), None)
    if done is None:
        return Fleet(service, environment, (), active)
    node = Node(
        name=environment,
        service=service,
        environment=environment,
        version=names.version(done.ref or "", service),
        commit=done.sha,
        digest=DEPLOYED + done.sha,
        healthy=True if last is done else None,
        url=web_address(done.environment.external_url or ""),
    )
    return Fleet(service, environment, (node,), active)
