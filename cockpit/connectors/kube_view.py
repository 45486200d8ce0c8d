"""A workload of Kubernetes with its ReplicaSets and pods, read as a fleet and as deployments. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from cockpit.connectors.image_names import digest_in, filled, split_image, version_in
from cockpit.connectors.kube_present import about, present
from cockpit.connectors.kube_records import KEY, Record, records_of
from cockpit.connectors.kube_wire import ContainerStatusWire, ContainerWire, PodWire, WorkloadWire, parse_template
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import web_address
from cockpit.domain.release import Deployment, DeployState, Node, NodeStep

PAST = "Kubernetes keeps no verdict of past revisions."
NAMED = "image:"  # what identifies an image of which only the name is known: nobody says which content the tag meant
_MANAGERS = (
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
)


class Kind(Struct, frozen=True):
    """What differs between kinds of workloads: the API's path, the names of two marks, and how one stands."""

    title: str
    group: str
    plural: str
    revision: str
    hash_label: str
    standing: Callable[[WorkloadWire], Standing]


class Standing(Struct, frozen=True):
    """How far a workload is with its present template; `at_us`: since when, 0 = it does not say."""

    state: DeployState
    message: str = ""
    at_us: int = 0


class Look(Struct, frozen=True):
    """How names are read: which container counts ("" = the only one, or the service's), patterns of images and of a node's address."""

    container: str = ""
    image: str = ""
    node_url: str = ""


class View(Struct, frozen=True):
    """One workload as it was a moment ago: its ReplicaSets by their revision, newest first, and their pods that are not ending."""

    service: str
    environment: str
    kind: Kind
    look: Look
    workload: WorkloadWire
    sets: tuple[WorkloadWire, ...] = ()
    pods: tuple[PodWire, ...] = ()
    seen: Mapping[str, str] = {}

    @property
    def records(self) -> tuple[Record, ...]:
        return records_of(self.workload.metadata.notes)

    @property
    def container(self) -> int:
        """The place of the container that counts in the workload's template."""
        return container_of(parse_template(bytes(self.workload.spec.template)).spec.containers, self.look.container, self.service)

    @property
    def current(self) -> WorkloadWire | None:
        """The ReplicaSet of the present template; None until the controller has seen that."""
        if not observed(self.workload):
            return None
        return present(self.workload, self.sets, self.kind.revision, self.kind.hash_label)

    @property
    def stands(self) -> Standing:
        """How far the present template is."""
        return self.kind.standing(about(self.workload, self.current, self.sets))

    def image_of(self, workload: WorkloadWire) -> str:
        """The image in a workload's template."""
        containers = parse_template(bytes(workload.spec.template)).spec.containers
        return containers[container_of(containers, self.look.container, self.service)].image

    def version_of(self, workload: WorkloadWire) -> str:
        return one_line(version_in(self.image_of(workload), self.look.image, self.service), 200)

    def digest_of(self, workload: WorkloadWire) -> str:
        """By its template, else what its pods run, else what they were seen to run, else only the image's name."""
        image = self.image_of(workload)
        named = split_image(image).digest or (NAMED + image if self._asked_by_name(image) else "")
        ran = {self.pod_digest(p) for p in self.pods if p.metadata.owner == workload.metadata.uid} - {""}
        before = next((r.from_digest for r in self.records if r.from_set == workload.metadata.name and r.from_digest), "")
        return named or (ran.pop() if len(ran) == 1 else "") or before or self.seen.get(workload.metadata.uid, "") or NAMED + image

    def _asked_by_name(self, image: str) -> bool:
        """Whether the last deployment from here knew only this name, and its pods do not contradict each other."""
        if not self.records or self.records[-1].digest != NAMED + image:
            return False
        ran = {self._told(pod) for pod in self.pods if any(c.image == image for c in pod.spec.containers)}
        return len(ran - {"", NAMED + image}) <= 1

    def pod_digest(self, pod: PodWire) -> str:
        """What the pod's container runs."""
        containers = pod.spec.containers
        image = containers[container_of(containers, self.look.container, self.service)].image if containers else ""
        told = self._told(pod)
        return NAMED + image if told and self._asked_by_name(image) else told

    def _told(self, pod: PodWire) -> str:
        """The image that the pod says, unless it only knows a number of its own node, or nothing; "" while it does not run."""
        containers = pod.spec.containers
        if not containers:
            return ""
        container = containers[container_of(containers, self.look.container, self.service)]
        wanted, status = split_image(container.image).digest, _status(pod, container.name)
        ran = digest_in(status.image_id) if status is not None else ""
        if wanted and ran != wanted and pod.ready and (not ran or (status is not None and wanted in status.image)):
            return wanted  # some runtimes name the manifest of their platform, or nothing that others know
        return ran or (NAMED + container.image if pod.ready else "")

    def nodes(self) -> tuple[Node, ...]:
        """Every pod that is not ending."""
        return tuple(self._node(pod) for pod in self.pods)

    def _node(self, pod: PodWire) -> Node:
        containers = pod.spec.containers
        image = containers[container_of(containers, self.look.container, self.service)].image if containers else ""
        values = {"ip": pod.status.pod_ip, "pod": pod.metadata.name, "node": pod.spec.node_name}
        values |= {"service": self.service, "environment": self.environment}
        known = all(values.get(name) or f"{{{name}}}" not in self.look.node_url for name in values)
        return Node(
            name=pod.metadata.name,
            service=self.service,
            environment=self.environment,
            version=one_line(version_in(image, self.look.image, self.service), 200),
            commit=one_line(pod.metadata.notes.get("org.opencontainers.image.revision", ""), 100),
            digest=self.pod_digest(pod),
            healthy=pod.ready,
            url=web_address(filled(self.look.node_url, values)) if known else "",
        )

    # -- deployments ---------------------------------------------------------------------------------------------------------

    def set_of(self, record: Record) -> WorkloadWire | None:
        """The ReplicaSet that a deployment made, or went back to."""
        if record.back_to:
            return next((s for s in self.sets if s.metadata.name == record.back_to), None)
        return next((s for s in self.sets if _notes(s).get(KEY) == record.key and self.image_of(s) == record.image), None)

    def deployments(self) -> tuple[Deployment, ...]:
        """Those made from here, and one for every ReplicaSet that others made; newest first."""
        records = self.records
        claimed = {s.metadata.uid: r.at_us for r in records if (s := self.set_of(r)) is not None}
        found, last_us = [self.of_record(record) for record in records], 0
        for made in reversed(self.sets):
            # the cluster writes whole seconds, and an old ReplicaSet that is used again keeps its age: the revisions tell the order
            last_us = max(last_us, claimed.get(made.metadata.uid, 0) or parse_moment(made.metadata.creation_timestamp))
            if made.metadata.uid not in claimed and made.metadata.notes.get(self.kind.revision):
                found.append(self._foreign(made, last_us))
        return tuple(sorted(found, key=lambda d: d.started_at_us)[::-1])

    def of_record(self, record: Record) -> Deployment:
        """One made from here, as it stands."""
        standing = self._standing(record)
        mine = self.set_of(record)
        steps = self._steps(mine, standing.state) if self.is_live(record) else ()
        return Deployment(
            id=deployment_id(self.environment, self.service, f"k:{record.key}"),
            key=record.key,
            service=record.service,
            environment=record.environment,
            version=record.version,
            digest=record.digest,
            kind="rollback" if record.kind == "rollback" else "deploy",
            state=standing.state,
            requested_by=one_line(record.by, 200),
            reason=plain(record.reason),
            from_version=record.from_version,
            from_digest=record.from_digest,
            started_at_us=record.at_us,
            finished_at_us=max(standing.at_us, record.at_us) if standing.state.final and standing.at_us else 0,
            steps=steps,
            message=plain(" ".join(part for part in (standing.message, record.note) if part), 2000),
        )

    def is_live(self, record: Record) -> bool:
        """Whether the present template is what this deployment put there."""
        mine = self.set_of(record)
        newest = next((r for r in reversed(self.records) if (found := self.set_of(r)) is not None and _same(found, mine)), None)
        if _same(mine, self.current):
            return newest is not None and newest.key == record.key
        if observed(self.workload) and (mine is not None or record.back_to):
            return False
        last = self.records[-1].key == record.key  # its ReplicaSet may not be made yet, and is not while others keep the workload paused
        marked = _notes(self.workload).get(KEY) == record.key and self.image_of(self.workload) == record.image
        return last and (bool(record.back_to) or marked)

    def _standing(self, record: Record) -> Standing:
        if record.ended in ("succeeded", "failed", "aborted"):
            words = {"aborted": "It was stopped, or replaced before its end.", "failed": "It did not become ready in time."}
            return Standing(DeployState(record.ended), words.get(record.ended, ""), record.ended_at_us or record.at_us)
        if self.is_live(record):
            return self.stands
        return Standing(DeployState.SUCCEEDED, PAST, record.at_us)

    def _foreign(self, made: WorkloadWire, started: int) -> Deployment:
        now = _same(made, self.current)
        standing = self.stands if now else Standing(DeployState.SUCCEEDED, PAST)
        number = made.metadata.notes.get(self.kind.revision, "")
        return Deployment(
            id=deployment_id(self.environment, self.service, f"r:{number}"),
            key="",
            service=self.service,
            environment=self.environment,
            version=self.version_of(made),
            digest=self.digest_of(made),
            kind="deploy",
            state=standing.state,
            reason=plain(made.metadata.notes.get("kubernetes.io/change-cause", ""), 1000),
            started_at_us=started,
            finished_at_us=max(standing.at_us, started) if standing.state.final and standing.at_us else 0,
            steps=self._steps(made, standing.state) if now else (),
            message=plain(standing.message, 2000),
        )

    def _steps(self, mine: WorkloadWire | None, state: DeployState) -> tuple[NodeStep, ...]:
        steps = []
        for pod in self.pods:
            is_new = mine is not None and pod.metadata.owner == mine.metadata.uid
            word, message = ("pending", "") if not is_new else self._step(pod, state)
            steps.append(NodeStep(pod.metadata.name, word, self.pod_digest(pod), message))
        return tuple(steps)

    def _step(self, pod: PodWire, state: DeployState) -> tuple[str, str]:
        if pod.ready or state is DeployState.SUCCEEDED:
            return "done", ""
        waits = [s.state.waiting for s in pod.status.container_statuses or () if s.state is not None and s.state.waiting is not None]
        words = plain("; ".join(f"{w.reason}: {w.message}".strip(": ") for w in waits), 500)
        if state is DeployState.FAILED:
            return "failed", words
        return ("checking" if pod.status.phase == "Running" else "starting"), words

    def automatic(self) -> str:
        """Who else may change the template, in words."""
        marks = self.workload.metadata.notes | (self.workload.metadata.labels or {})
        found = next((name for mark, name in _MANAGERS if mark in marks), "")
        return f"{found} manages this {self.kind.title} and may put its own version back" if found else ""


def observed(workload: WorkloadWire) -> bool:
    """Whether the status is of the present template at all; right after a change it is the old one."""
    told = workload.status.observed_generation
    if isinstance(told, str):
        return not (told.isascii() and told.isdigit()) or int(told[:18]) >= workload.metadata.generation
    return told >= workload.metadata.generation


def container_of(containers: tuple[ContainerWire, ...], wanted: str, service: str) -> int:
    """The place of the container that counts: the named one, else the service's own, else the first."""
    names = [container.name for container in containers]
    return next((names.index(name) for name in (wanted, service) if name in names), 0)


def deployment_id(environment: str, service: str, rest: str) -> str:
    """An id that says where to ask."""
    from urllib.parse import quote

    return "/".join(quote(part, safe=":") for part in (environment, service, rest))


def parts_of(text: str, marks: tuple[str, ...] = ("k:", "r:")) -> tuple[str, str, str] | None:
    """(environment, service, rest) of such an id, `rest` beginning with one of the marks; None where it is none."""
    from urllib.parse import unquote

    parts = [unquote(part) for part in text.split("/")]
    if len(parts) != 3 or not all(parts) or parts[2][:2] not in marks:
        return None
    return parts[0], parts[1], parts[2]


def _same(one: WorkloadWire | None, other: WorkloadWire | None) -> bool:
    return one is not None and other is not None and one.metadata.uid == other.metadata.uid


def _notes(workload: WorkloadWire) -> dict[str, str]:
    return parse_template(bytes(workload.spec.template)).notes


def _status(pod: PodWire, name: str) -> ContainerStatusWire | None:
    return next((s for s in pod.status.container_statuses or () if s.name == name), None)
