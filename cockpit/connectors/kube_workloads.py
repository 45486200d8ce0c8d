"""What Deployments and Rollouts of Kubernetes have in common as deployment systems: where they are, what they run, how one is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace

from cockpit.connectors import kube_patch
from cockpit.connectors.http import Limits, segments
from cockpit.connectors.image_names import filled, image_name
from cockpit.connectors.kube_cluster import JSON_PATCH, Cluster
from cockpit.connectors.kube_records import TOUCHED, Record, new_record, record_of, records_of, with_verdict
from cockpit.connectors.kube_selector import selector_text
from cockpit.connectors.kube_view import NAMED, Kind, Look, View
from cockpit.connectors.kube_wire import WorkloadWire, parse_pods, parse_workload, parse_workloads
from cockpit.connectors.oci_registry import DIGEST
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, NotFound, Rejected
from cockpit.domain.release import DeployState

TRIES = 5  # a controller writes the status of a workload it works at all the time, and each write is a new version of the object
_MAX_SEEN = 5000
_CHANGED = "Read what runs now, then decide anew."


class Names(Struct, frozen=True):
    """Patterns of what things are called there; `environments`: all that there are, () = those that were asked for."""

    kubeconfig: str
    context: str
    namespace: str
    workload: str
    environments: tuple[str, ...] = ()


class Workloads:
    """Reads and changes workloads of one kind. Blocks; from any thread; ConnectorErrors only."""

    def __init__(self, kind: Kind, names: Names, look: Look) -> None:
        self._kind, self._names, self._look = kind, names, look
        self._lock = Lock()
        self._clusters: dict[str, Cluster] = {}
        self._asked: dict[str, None] = dict.fromkeys(names.environments)
        self._seen: dict[str, str] = {}
        self.limits: Limits | None = None  # of the clusters' clients; None: the usual ones

    def close(self) -> None:
        """Close kept connections."""
        with self._lock:
            clusters = tuple(self._clusters.values())
        for cluster in clusters:
            cluster.close()

    @property
    def environments(self) -> tuple[str, ...]:
        """Those of the settings, else those that were asked for."""
        with self._lock:
            return tuple(self._asked)

    def cluster(self, environment: str) -> Cluster:
        """The cluster where that environment is."""
        context = filled(self._names.context, {"environment": environment})
        with self._lock:
            return self._clusters.setdefault(context, Cluster(self._names.kubeconfig, context, self.limits))

    def path(self, service: str, environment: str) -> str:
        """Where the workload is."""
        values = {"service": service, "environment": environment}
        namespace, name = filled(self._names.namespace, values), filled(self._names.workload, values)
        return self._kind.group + segments("namespaces", namespace, self._kind.plural, name)

    def namespace(self, environment: str) -> str:
        """The environment's namespace; NotFound where no address can carry its name."""
        return segments("namespaces", filled(self._names.namespace, {"environment": environment}))

    def view(self, service: str, environment: str) -> View:
        """The workload with its ReplicaSets and pods. NotFound where it is not there."""
        workload = self.cluster(environment).get(self.path(service, environment), parse_workload)
        return self.around(service, environment, workload)

    def around(self, service: str, environment: str, workload: WorkloadWire) -> View:
        """The same for a workload that was read already."""
        cluster, space = self.cluster(environment), self.namespace(environment)
        selector = selector_text(workload.spec.selector)
        made = cluster.items(f"/apis/apps/v1{space}/replicasets", parse_workloads, selector)
        sets = sorted((s for s in made if s.metadata.owner == workload.metadata.uid), key=self._revision, reverse=True)
        mine = {s.metadata.uid for s in sets}
        pods = cluster.items(f"/api/v1{space}/pods", parse_pods, selector)
        running = [p for p in pods if p.metadata.owner in mine and not p.metadata.deletion_timestamp]
        there = tuple(sorted((p for p in running if p.status.phase not in ("Succeeded", "Failed")), key=lambda p: p.metadata.name))
        with self._lock:
            self._asked.setdefault(environment)
            seen = dict(self._seen)
        view = View(service, environment, self._kind, self._look, workload, tuple(sets), there, seen)
        self._remember(view)
        return view

    def _revision(self, made: WorkloadWire) -> int:
        text = made.metadata.notes.get(self._kind.revision, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0

    def _remember(self, view: View) -> None:
        """What a ReplicaSet's pods ran: once they are gone, nobody else knows which image a tag meant."""
        told = {s.metadata.uid: digest for s in view.sets if (digest := view.digest_of(s)) and not digest.startswith(NAMED)}
        with self._lock:
            if len(self._seen) > _MAX_SEEN:
                self._seen.clear()
            self._seen.update(told)

    def wait(self, view: View) -> None:
        """Until the workload changes, for a second at most."""
        listed = f"{self._kind.group}{self.namespace(view.environment)}/{self._kind.plural}"
        meta = view.workload.metadata
        self.cluster(view.environment).wait(listed, meta.name, meta.resource_version)

    def find(self, key: str) -> tuple[View, Record] | None:
        """The workload that was changed with this key; None where none of all was."""
        for environment in self.environments:
            found = self._found(environment, self.namespace(environment), key)
            if found is not None:
                return found
        if self._names.environments:
            return None
        try:
            return self._found("", "", key)
        except AuthFailed as error:
            hint = "Name the environments in the settings: this account may not look through all namespaces."
            raise AuthFailed(error.message, hint=hint) from None

    def _found(self, environment: str, space: str, key: str) -> tuple[View, Record] | None:
        path = f"{self._kind.group}{space}/{self._kind.plural}"
        for workload in self.cluster(environment).items(path, parse_workloads, TOUCHED):
            record = record_of(records_of(workload.metadata.notes), key)
            if record is not None:
                return self.around(record.service, record.environment, workload), record
        return None

    # -- changes -------------------------------------------------------------------------------------------------------------

    def deploy(self, request: DeployRequest, key: str, known: Callable[[View], bool]) -> tuple[View, Record]:
        """Begin it, or answer with what the key began. The key travels inside the one patch that begins it: there is no moment between."""
        if request.nodes:
            raise Rejected("Kubernetes chooses the pods itself.", hint="Deploy to all of them, without a strategy by node.")
        first: View | None = None
        for _ in range(TRIES):
            view = self.view(request.service, request.environment)
            found = record_of(view.records, key)
            if found is not None:
                return view, found
            if first is not None and not _alike(first, view):
                raise Rejected(f"Somebody else changed {view.workload.metadata.name} at the same moment.", hint=_CHANGED, status=409)
            first = view
            self._check(view, request, known)
            record, body = self._change(view, request, key)
            try:
                made = self.cluster(request.environment).patch(
                    self.path(request.service, request.environment), JSON_PATCH, body, parse_workload
                )
            except Rejected as error:
                if error.status != 409:
                    raise
                continue  # refused whole: only its status may have changed meanwhile
            return replace(view, workload=made), record
        raise Rejected(f"{view.workload.metadata.name} changes faster than it can be read.", hint=_CHANGED, status=409)

    def _check(self, view: View, request: DeployRequest, known: Callable[[View], bool]) -> None:
        last = view.records[-1] if view.records else None
        if view.workload.spec.paused and not (last is not None and last.ended == "aborted"):
            words = f"{view.workload.metadata.name} is paused; nothing would happen, or the wrong thing once it goes on."
            raise Rejected(words, hint=f"Resume it first: kubectl rollout resume {self._kind.plural[:-1]} {view.workload.metadata.name}")
        if not (DIGEST.fullmatch(request.digest) or request.digest.startswith(NAMED)) or not known(view):
            hint = "Only what ran there, or what the connected registry has, can be deployed."
            raise Rejected(f"There is no image {one_line(request.digest, 80)} of {request.service}.", hint=hint, status=422)

    def _change(self, view: View, request: DeployRequest, key: str) -> tuple[Record, kube_patch.Patch]:
        """What to write, and the patch that writes it."""
        now_us, current = time.time_ns() // 1000, view.current
        before = (view.version_of(view.workload), view.digest_of(current) if current else "", current.metadata.name if current else "")
        records = self._settled(view, now_us)
        old = next((s for s in view.sets if view.digest_of(s) == request.digest and s is not current), None)
        if request.kind == "rollback" and old is not None and (current is None or view.digest_of(current) != request.digest):
            record = replace(new_record(request, key, view.image_of(old), now_us, before), back_to=old.metadata.name)
            return record, kube_patch.old_template(view, record, records, old)
        image = request.digest.removeprefix(NAMED)
        if image == request.digest:
            image = image_name(self._look.image, view.image_of(view.workload), request.service, request.version, request.digest)
        record = new_record(request, key, image, now_us, before)
        if request.kind == "rollback":
            record = replace(record, note="No ReplicaSet of it was left, so only its image came back, not its other settings.")
        return record, kube_patch.new_image(view, record, records)

    def _settled(self, view: View, now_us: int) -> tuple[Record, ...]:
        """The records, with how the one that is replaced now ended: afterwards nobody could tell."""
        live = next((r for r in view.records if view.is_live(r)), None)
        if live is None or live.ended:
            return view.records
        standing = view.stands
        ended = str(standing.state) if standing.state.final else "aborted"
        return with_verdict(view.records, live.key, ended, standing.at_us or now_us)

    def stop(self, view: View, record: Record) -> View:
        """Pause it, and write down that this was an abort."""
        path = self.path(view.service, view.environment)
        for _ in range(TRIES):
            if record.ended or view.of_record(record).state.final:
                return view
            records = with_verdict(view.records, record.key, str(DeployState.ABORTED), time.time_ns() // 1000)
            try:
                made = self.cluster(view.environment).patch(path, JSON_PATCH, kube_patch.paused(view, records), parse_workload)
            except Rejected as error:
                if error.status != 409:
                    raise
                view = self.view(view.service, view.environment)
                again = record_of(view.records, record.key)
                if again is None:
                    raise NotFound("The deployment is no longer known there.", hint=_CHANGED) from None
                record = again
                continue
            return replace(view, workload=made)
        raise Rejected(f"{view.workload.metadata.name} changes faster than it can be read.", hint="Abort it again.", status=409)


def _alike(one: View, other: View) -> bool:
    """Whether nobody but the controller wrote: the generation stands, and so does what was deployed from here."""
    return one.workload.metadata.generation == other.workload.metadata.generation and one.records == other.records
