"""Deployments of Kubernetes: how one stands, and the connection made from its settings."""

from __future__ import annotations

from collections.abc import Callable

from cockpit.connectors.kube_deployments import KubeDeployments
from cockpit.connectors.kube_options import Options, made
from cockpit.connectors.kube_view import Kind, Standing, observed
from cockpit.connectors.kube_wire import WorkloadWire
from cockpit.connectors.moments import parse_moment
from cockpit.domain.release import DeployState


def standing(workload: WorkloadWire) -> Standing:
    """How far a Deployment is. Nothing in its status counts before the controller has seen the present generation."""
    status, wanted = workload.status, workload.replicas
    if not observed(workload):
        return Standing(DeployState.RUNNING, "The controller has not seen the change yet.")
    progress = status.condition("Progressing")
    since_us = parse_moment((progress.last_update_time or progress.last_transition_time) if progress is not None else "")
    whole = status.replicas == status.updated_replicas >= wanted
    if whole and (status.available_replicas >= wanted or (progress is not None and progress.reason == "NewReplicaSetAvailable")):
        return Standing(DeployState.SUCCEEDED, "", since_us)
    if workload.spec.paused:
        words = f"The Deployment is paused: {status.updated_replicas} of {wanted} pods are new."
        return Standing(DeployState.RUNNING, words)
    failure = status.condition("ReplicaFailure")
    more = f" {failure.message}" if failure is not None and failure.status == "True" else ""
    if progress is not None and progress.status == "False" and progress.reason == "ProgressDeadlineExceeded":
        return Standing(DeployState.FAILED, (progress.message or "It did not become ready in time.") + more, since_us)
    if status.updated_replicas < wanted:
        return Standing(DeployState.RUNNING, f"{status.updated_replicas} of {wanted} pods are new.{more}")
    if status.replicas > status.updated_replicas:
        return Standing(DeployState.RUNNING, f"{status.replicas - status.updated_replicas} old pods are ending.{more}")
    return Standing(DeployState.RUNNING, f"{status.available_replicas} of {wanted} new pods are available.{more}")


DEPLOYMENTS = Kind("Deployment", "/apis/apps/v1", "deployments", "deployment.kubernetes.io/revision", "pod-template-hash", standing)


def kubernetes(options: Options, secret: Callable[[], str]) -> KubeDeployments:
    """The connection; nothing is contacted yet. ConfigError names what is wrong with an option."""
    return made(DEPLOYMENTS, options, secret)
