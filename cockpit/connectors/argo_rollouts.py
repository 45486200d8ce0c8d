"""Rollouts of Argo through the Kubernetes API: as Deployments are, and their pauses as steps that wait for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cockpit.connectors.kube_cluster import MERGE_PATCH
from cockpit.connectors.kube_options import made
from cockpit.connectors.kube_records import record_of
from cockpit.connectors.kube_view import Kind, Standing, View, deployment_id, observed, parts_of
from cockpit.connectors.kube_wire import WorkloadWire, parse_workload
from cockpit.connectors.kube_workloads import TRIES
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.gates import Gate
from cockpit.domain.release import Artifact, Deployment, DeployState, Fleet

_ABORT: dict[str, Any] = {"abort": True}
_NEXT: dict[str, Any] = {"pauseConditions": None}
_FULL: dict[str, Any] = {"promoteFull": True}
_READ_AGAIN = "Read again what waits; somebody else may have answered."
_NO_PHASE = "The controller has not seen the change yet."


def standing(workload: WorkloadWire) -> Standing:
    """How far a Rollout is. Its phase counts only for the present generation, and not while it is being unpaused or aborted."""
    status = workload.status
    if not observed(workload):
        return Standing(DeployState.RUNNING, _NO_PHASE)
    since_us = max((parse_moment(c.last_update_time or c.last_transition_time) for c in status.conditions or ()), default=0)
    if status.abort:
        ended = status.phase in ("Degraded", "")
        return Standing(DeployState.ABORTED if ended else DeployState.RUNNING, status.message or "It is being aborted.", since_us)
    if status.controller_pause and not status.pause_conditions:
        return Standing(DeployState.RUNNING, "It was promoted and goes on.")
    whole = status.current_pod_hash == status.stable_rs and status.available_replicas >= status.updated_replicas >= workload.replicas
    if status.phase == "Healthy" or (not status.phase and whole):
        return Standing(DeployState.SUCCEEDED, "", since_us)
    if status.phase == "Degraded":
        return Standing(DeployState.FAILED, status.message or "The Rollout is degraded.", since_us)
    words = {"Paused": f"It waits: {status.message}" if status.message else "It waits for a person."}
    return Standing(DeployState.RUNNING, words.get(status.phase, status.message))


ROLLOUTS = Kind("Rollout", "/apis/argoproj.io/v1alpha1", "rollouts", "rollout.argoproj.io/revision", "rollouts-pod-template-hash", standing)


class ArgoRollouts:
    """DeploymentApi and Gates. Blocks; from any thread; ConnectorErrors only. Aborting sends all traffic back to the stable version."""

    def __init__(self, options: Mapping[str, str], secret: Callable[[], str]) -> None:
        self._inner = made(ROLLOUTS, options, secret)
        self._workloads = self._inner.workloads

    def close(self) -> None:
        """Close kept connections."""
        self._inner.close()

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every pod that is not ending, stable and canary, and the deployment under way."""
        return self._inner.fleet(service, environment)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What the registry has, and what ReplicaSets ran."""
        return self._inner.artifacts(service)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Deployments made from here, and the revisions that others made, newest first."""
        return self._inner.history(service, environment, limit)

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Change the image, or undo to an earlier template; the Rollout's own steps do the rest."""
        return self._inner.deploy(request, key)

    def find(self, key: str) -> Deployment | None:
        """The deployment whose patch carried this key, None where none did."""
        return self._inner.find(key)

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, pod by pod while it is the present one."""
        return self._inner.deployment(deployment_id)

    def abort(self, deployment_id: str) -> Deployment:
        """Abort the Rollout: its stable version gets everything back. Aborting what has ended changes nothing."""
        view, record = self._inner.look_up(deployment_id)
        for _ in range(TRIES):
            found = view.of_record(record) if record is not None else self._inner.deployment(deployment_id)
            if found.state.final or view.workload.status.abort:
                return found
            try:
                self._patch(view, _ABORT)
            except Rejected as error:
                if error.status != 409:
                    raise
            view = self._workloads.view(view.service, view.environment)
            record = record_of(view.records, record.key) if record is not None else None
        return self._inner.deployment(deployment_id)

    def gates(self, service: str) -> tuple[Gate, ...]:
        """The pauses of this service's Rollouts, in the known environments."""
        found: list[Gate] = []
        for environment in self._workloads.environments:
            try:
                view = self._workloads.view(service, environment)
            except NotFound:
                continue  # a service need not be everywhere
            found += gates_of(view)
        return tuple(sorted(found, key=lambda gate: gate.asked_at_us))

    def decide(self, gate: Gate, approve: bool, comment: str, key: str) -> None:
        """Promote to the next step or to the end, or abort; sent once, and only while exactly this pause lasts."""
        parts = parts_of(gate.id.removesuffix("!"))
        if parts is None:
            raise NotFound(f"“{one_line(gate.id, 100)}” does not wait there.", hint=_READ_AGAIN)
        environment, service, _ = parts
        view = self._workloads.view(service, environment)
        waiting = next((g for g in gates_of(view) if g.id == gate.id), None)
        if waiting is None:
            raise NotFound("That step waits no longer.", hint=_READ_AGAIN)
        if not (waiting.approve if approve else waiting.reject):
            raise Rejected("That answer is not offered.", hint="Choose one of the answers that are shown.")
        self._patch(view, (_FULL if gate.id.endswith("!") else _NEXT) if approve else _ABORT)

    def probe(self) -> Probe:
        """The API server's version, and what this account may not do."""
        return self._inner.probe()

    def _patch(self, view: View, status: dict[str, Any]) -> None:
        """Change the status, as the controller's own tools do; 409 where it is no longer what was read."""
        path, cluster = self._workloads.path(view.service, view.environment), self._workloads.cluster(view.environment)
        body = {"metadata": {"resourceVersion": view.workload.metadata.resource_version}, "status": status}
        try:
            cluster.patch(f"{path}/status", MERGE_PATCH, body, parse_workload)
        except NotFound:  # before 0.10 the status was a part of the object
            cluster.patch(path, MERGE_PATCH, body, parse_workload)


def gates_of(view: View) -> tuple[Gate, ...]:
    """What waits in a Rollout: the next step, and going to the end at once where more steps follow. Pure."""
    status, spec = view.workload.status, view.workload.spec
    if not observed(view.workload) or not status.pause_conditions or status.abort:
        return ()
    pause = status.pause_conditions[0]
    index, steps = status.current_step_index or 0, steps_of(spec.strategy)
    since_us = parse_moment(pause.start_time)
    where = f"Canary step {index + 1} of {len(steps)}" if steps else "Blue-green promotion"
    named = next((r for r in reversed(view.records) if view.is_live(r)), None)
    mark = f"r:{status.current_pod_hash}:{index}:{pause.reason}:{since_us}"
    waits = Gate(
        id=deployment_id(view.environment, view.service, mark),
        service=view.service,
        environment=view.environment,
        version=named.version if named is not None else view.version_of(view.workload),
        title=one_line(f"{where}: {words_of(pause.reason)}", 300),
        approve="Promote",
        reject="Abort",
        asked_at_us=since_us,
    )
    if index + 1 >= len(steps):
        return (waits,)
    return waits, Gate(
        id=f"{waits.id}!",
        service=view.service,
        environment=view.environment,
        version=waits.version,
        title=one_line(f"{where}: skip the {len(steps) - index - 1} steps that follow, and their analysis", 300),
        approve="Promote fully",
        reject="",
        asked_at_us=since_us,
    )


def steps_of(strategy: object) -> list[Any]:
    """The canary's steps; none for another strategy."""
    canary = strategy.get("canary") if isinstance(strategy, dict) else None
    steps = canary.get("steps") if isinstance(canary, dict) else None
    return steps if isinstance(steps, list) else []


def words_of(reason: str) -> str:
    """Why it waits."""
    known = {
        "CanaryPauseStep": "paused",
        "BlueGreenPause": "paused before the switch",
        "InconclusiveAnalysisRun": "the analysis proved nothing",
    }
    return known.get(reason, reason)
