"""Workloads of Kubernetes as a deployment system, whatever their kind: revisions by ReplicaSet, a rollback brings the template back."""

from __future__ import annotations

from msgspec.structs import replace

from cockpit.connectors.kube_images import Images
from cockpit.connectors.kube_records import Record, record_of
from cockpit.connectors.kube_view import Kind, Look, View, parts_of
from cockpit.connectors.kube_wire import parse_template, parse_version
from cockpit.connectors.kube_workloads import Names, Workloads
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.oci_registry import DIGEST
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, ConnectorError, NotFound, Rejected
from cockpit.domain.release import Artifact, Deployment, Fleet, Node, version_key

_HINT_OLD = "It may be older than what the cluster keeps (revisionHistoryLimit)."


class KubeDeployments:
    """DeploymentApi over the Kubernetes API. Blocks; from any thread; ConnectorErrors only.

    What was asked from here stands in an annotation of the workload, written by the same patch that begins it: a patch whose answer was
    lost is found by its key. Aborting pauses the workload: pods that are new stay, no more are changed, and the next deployment goes on.
    """

    def __init__(self, kind: Kind, names: Names, look: Look, images: Images | None = None) -> None:
        self.workloads = Workloads(kind, names, look)
        self._kind = kind
        self._images = images
        self._told = ("", "")  # the deployment that was asked for last, and the version of its workload

    def close(self) -> None:
        """Close kept connections."""
        self.workloads.close()
        if self._images is not None:
            self._images.close()

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every pod that is not ending, and the deployment under way."""
        view = self.workloads.view(service, environment)
        return Fleet(service, environment, self._nodes(view), self.active(view), view.automatic())

    def active(self, view: View) -> Deployment | None:
        """What is under way there."""
        return next((d for d in view.deployments() if not d.state.final), None)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What the registry has, and what ReplicaSets of the known environments ran; newest first, each version once."""
        found = {a.version: a for a in self._images.artifacts(service)} if self._images is not None else {}
        told: ConnectorError | None = None
        reached = False
        for environment in self.workloads.environments:
            try:
                view = self.workloads.view(service, environment)
            except NotFound as error:  # a service need not be everywhere
                told = error
                continue
            reached = True
            for artifact in _ran(view):
                found.setdefault(artifact.version, artifact)
        if not found and not reached and told is not None:
            raise told
        return tuple(sorted(found.values(), key=lambda a: (a.built_at_us, version_key(a.version)), reverse=True))

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Deployments made from here, and the revisions that others made, newest first."""
        return self.workloads.view(service, environment).deployments()[: max(0, limit)]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Change the image, or bring back the template of an earlier ReplicaSet. One patch, which holds only for what was read before."""

        def known(view: View) -> bool:
            if any(view.digest_of(made) == request.digest for made in view.sets):
                return True
            named = DIGEST.fullmatch(request.digest) is not None
            return named and self._images is not None and self._images.has(request.service, request.digest)

        view, record = self.workloads.deploy(request, key, known)
        return view.of_record(record)

    def find(self, key: str) -> Deployment | None:
        """The deployment whose patch carried this key, None where none did."""
        found = self.workloads.find(key)
        return found[0].of_record(found[1]) if found is not None else None

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, pod by pod while it is the present one. Nothing new: a second's wait for it, so that its end is seen at once."""
        view, record = self.look_up(deployment_id)
        told, version = self._told, view.workload.metadata.resource_version
        self._told = (deployment_id, version)
        if told == self._told and record is not None and not view.of_record(record).state.final:
            self.workloads.wait(view)
            view, record = self.look_up(deployment_id)
        if record is not None:
            return view.of_record(record)
        found = next((d for d in view.deployments() if d.id == deployment_id), None)
        if found is None:
            raise _unknown(deployment_id)
        return found

    def abort(self, deployment_id: str) -> Deployment:
        """Pause the workload, so that no more pods are changed; aborting what has ended changes nothing."""
        view, record = self.look_up(deployment_id)
        if record is None:
            found = self.deployment(deployment_id)
            if not found.state.final:
                words = "It was begun by other means, and only those can end it."
                raise Rejected(words, hint=f"Pause it: kubectl rollout pause {self._kind.plural[:-1]} {view.workload.metadata.name}")
            return found
        view = self.workloads.stop(view, record)
        return view.of_record(record_of(view.records, record.key) or record)

    def probe(self) -> Probe:
        """The API server's version, and what this account may not do."""
        places = self.workloads.environments or ("",)
        cluster = self.workloads.cluster(places[0])
        reached = f"Kubernetes {one_line(cluster.get('/version', parse_version), 100)}"
        missing = []
        for environment in self.workloads.environments:
            space = self.workloads.namespace(environment)
            for path in (f"{self._kind.group}{space}/{self._kind.plural}", f"/apis/apps/v1{space}/replicasets", f"/api/v1{space}/pods"):
                try:
                    self.workloads.cluster(environment).get(path, bytes, {"limit": 1})
                except AuthFailed:
                    missing.append(f"list {path.rpartition('/')[2]} in {environment}")
        return Probe(reached, missing=tuple(missing))

    def look_up(self, deployment_id: str) -> tuple[View, Record | None]:
        """Where a deployment was, and what was written of it; NotFound where nothing is known of it."""
        parts = parts_of(deployment_id)
        if parts is None:
            raise _unknown(deployment_id)
        environment, service, rest = parts
        if self.workloads.environments and environment not in self.workloads.environments:
            raise _unknown(deployment_id)
        view = self.workloads.view(service, environment)
        record = record_of(view.records, rest[2:]) if rest.startswith("k:") else None
        if rest.startswith("k:") and record is None:
            raise _unknown(deployment_id)
        return view, record

    def _nodes(self, view: View) -> tuple[Node, ...]:
        """With the commits that the registry's images tell."""
        if self._images is None:
            return view.nodes()
        return tuple(replace(n, commit=n.commit or self._images.commit_of(n.service, n.digest)) for n in view.nodes())


def _ran(view: View) -> list[Artifact]:
    found = []
    for made in view.sets:
        version, digest = view.version_of(made), view.digest_of(made)
        if version and digest:
            notes = parse_template(bytes(made.spec.template)).notes
            commit = one_line(notes.get("org.opencontainers.image.revision", ""), 100)
            found.append(Artifact(view.service, version, commit, digest, parse_moment(made.metadata.creation_timestamp)))
    return found


def _unknown(deployment_id: str) -> NotFound:
    return NotFound(f"There is no deployment “{one_line(deployment_id, 200)}”.", hint=_HINT_OLD)
