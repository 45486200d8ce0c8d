"""The part of the Kubernetes API that deployments need: its structs, and its bodies read into them. Pure."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from cockpit.connectors.http_answers import decode
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.wire_values import Count, Id, Name, Text
from cockpit.domain.errors import BadPayload

T = TypeVar("T")
Labels = dict[str, Text]
_HINT = "What answers there is no Kubernetes API, or one of another kind."


class Wire(Struct, rename="camel", frozen=True, gc=False):
    """Unknown fields are ignored; a server may write null wherever it has nothing."""


class OwnerWire(Wire, frozen=True):
    """Who made an object."""

    uid: Name
    controller: bool | None = None


class MetaWire(Wire, frozen=True):
    """What every object has."""

    name: Name = ""
    namespace: Name = ""
    uid: Name = ""
    resource_version: Name = ""
    generation: Count = 0
    labels: Labels | None = None
    annotations: Labels | None = None
    creation_timestamp: Name | None = None
    deletion_timestamp: Name | None = None
    owner_references: tuple[OwnerWire, ...] | None = None

    @property
    def notes(self) -> Labels:
        return self.annotations or {}

    @property
    def owner(self) -> str:
        """The uid of what controls it."""
        return next((o.uid for o in self.owner_references or () if o.controller), "")


class ContainerWire(Wire, frozen=True):
    """One container of a pod."""

    name: Id
    image: Name = ""


class PodSpecWire(Wire, frozen=True):
    """What a pod is made of."""

    containers: tuple[ContainerWire, ...]
    node_name: Name = ""


class TemplateWire(Wire, frozen=True):
    """What a workload's pods are made from."""

    spec: PodSpecWire
    metadata: MetaWire | None = None

    @property
    def notes(self) -> Labels:
        return self.metadata.notes if self.metadata is not None else {}


class ExpressionWire(Wire, frozen=True):
    """One condition of a selector."""

    key: Id
    operator: Name
    values: tuple[Name, ...] | None = None


class SelectorWire(Wire, frozen=True):
    """Which pods belong to a workload."""

    match_labels: dict[Name, Name] | None = None
    match_expressions: tuple[ExpressionWire, ...] | None = None


class ConditionWire(Wire, frozen=True):
    """What a controller says of an object."""

    type: Name
    status: Name = ""
    reason: Name = ""
    message: Text = ""
    last_update_time: Name | None = None
    last_transition_time: Name | None = None


class PauseWire(Wire, frozen=True):
    """Why and since when a rollout waits."""

    reason: Name = ""
    start_time: Name | None = None


class StatusWire(Wire, frozen=True):
    """How a workload stands. Argo writes the observed generation as text."""

    observed_generation: Count | Annotated[str, Meta(max_length=64)] = 0
    replicas: Count = 0
    updated_replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    conditions: tuple[ConditionWire, ...] | None = None
    phase: Name = ""
    message: Text = ""
    abort: bool | None = None
    promote_full: bool | None = None
    controller_pause: bool | None = None
    pause_conditions: tuple[PauseWire, ...] | None = None
    current_step_index: int | None = None
    current_pod_hash: Name = ""
    stable_rs: Name = msgspec.field(default="", name="stableRS")

    def condition(self, kind: str) -> ConditionWire | None:
        return next((c for c in self.conditions or () if c.type == kind), None)


class WorkloadSpecWire(Wire, frozen=True):
    """What a workload should be. `template` as it was sent: going back needs every field of it."""

    template: msgspec.Raw = msgspec.Raw(b"{}")
    selector: SelectorWire | None = None
    replicas: Count | None = None
    paused: bool | None = None
    progress_deadline_seconds: Count | None = None
    strategy: Any = None


class WorkloadWire(Wire, frozen=True):
    """A Deployment, a ReplicaSet or a Rollout."""

    metadata: MetaWire
    spec: WorkloadSpecWire
    status: StatusWire = StatusWire()

    @property
    def replicas(self) -> int:
        return 1 if self.spec.replicas is None else self.spec.replicas


class WaitingWire(Wire, frozen=True):
    """Why a container does not run."""

    reason: Name = ""
    message: Text = ""


class StateWire(Wire, frozen=True):
    """What a container does."""

    waiting: WaitingWire | None = None


class ContainerStatusWire(Wire, frozen=True):
    """How a container runs."""

    name: Id
    image: Name = ""
    image_id: Name = msgspec.field(default="", name="imageID")
    ready: bool = False
    state: StateWire | None = None


class PodStatusWire(Wire, frozen=True):
    """How a pod runs."""

    phase: Name = ""
    pod_ip: Name = msgspec.field(default="", name="podIP")
    conditions: tuple[ConditionWire, ...] | None = None
    container_statuses: tuple[ContainerStatusWire, ...] | None = None


class PodWire(Wire, frozen=True):
    """One pod."""

    metadata: MetaWire
    spec: PodSpecWire
    status: PodStatusWire = PodStatusWire()

    @property
    def ready(self) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions or ())


class ListMetaWire(Wire, frozen=True):
    """Where a list's next page begins."""

    resource_version: Name = ""
    continue_: Text | None = msgspec.field(default=None, name="continue")


class WorkloadsWire(Wire, frozen=True):
    """A page of Deployments, ReplicaSets or Rollouts."""

    metadata: ListMetaWire = ListMetaWire()
    items: tuple[WorkloadWire, ...] | None = None


class PodsWire(Wire, frozen=True):
    """A page of pods."""

    metadata: ListMetaWire = ListMetaWire()
    items: tuple[PodWire, ...] | None = None


class VersionWire(Wire, frozen=True):
    """GET /version."""

    git_version: Id


class EventWire(Wire, frozen=True):
    """One line of a watch."""

    type: Id


def parse_workload(body: bytes) -> WorkloadWire:
    """A Deployment, a ReplicaSet or a Rollout, with a template that can be read."""
    return _sound(decode(body, WorkloadWire))


def parse_workloads(body: bytes) -> tuple[tuple[WorkloadWire, ...], str]:
    """One page of them, and where the next begins ("" = there is none)."""
    page = decode(body, WorkloadsWire)
    return tuple(_sound(item) for item in page.items or ()), page.metadata.continue_ or ""


def parse_pods(body: bytes) -> tuple[tuple[PodWire, ...], str]:
    """One page of pods, and where the next begins."""
    page = decode(body, PodsWire)
    for pod in page.items or ():
        parse_moment(pod.metadata.creation_timestamp, "a pod's creationTimestamp")
    return page.items or (), page.metadata.continue_ or ""


def parse_template(body: bytes) -> TemplateWire:
    """A pod template; one with at least one container."""
    template = decode(body, TemplateWire)
    if not template.spec.containers:
        raise BadPayload("A pod template has no container.", hint=_HINT)
    return template


def parse_version(body: bytes) -> str:
    """The server's version."""
    return decode(body, VersionWire).git_version


def parse_event_type(body: bytes) -> str:
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR from one line of a watch."""
    return decode(body, EventWire).type


def _sound(workload: WorkloadWire) -> WorkloadWire:
    parse_moment(workload.metadata.creation_timestamp, "a creationTimestamp")
    for condition in workload.status.conditions or ():
        parse_moment(condition.last_update_time, "a condition's time")
        parse_moment(condition.last_transition_time, "a condition's time")
    for pause in workload.status.pause_conditions or ():
        parse_moment(pause.start_time, "a pause's time")
    if not workload.metadata.uid or not workload.metadata.name:
        raise BadPayload("An object has no name or no uid.", hint=_HINT)
    parse_template(bytes(workload.spec.template))
    return workload
