"""Applications of Argo CD: the part of its API that deployments need, read into structs. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from cockpit.connectors.argo_cd_record import Record as Record
from cockpit.connectors.http_answers import decode
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.wire_values import Count, Id, Name, Text
from cockpit.domain.errors import BadPayload

_HINT = "What answers there is no Argo CD, or one of another version."


class Wire(Struct, rename="camel", frozen=True, gc=False):
    """Unknown fields are ignored; the server leaves empty ones out or writes null."""


class MetaWire(Wire, frozen=True):
    """An application's name and annotations."""

    name: Id
    annotations: dict[Name, Text] | None = None


class SourceWire(Wire, frozen=True):
    """Where the manifests are."""

    repo_url: Name = field(default="", name="repoURL")
    target_revision: Name = ""


class PolicyWire(Wire, frozen=True):
    """How it syncs; `automated` as it was written, so that it can be put back."""

    automated: Any = None


class SpecWire(Wire, frozen=True):
    """What an application should be."""

    source: SourceWire | None = None
    sources: tuple[SourceWire, ...] | None = None
    sync_policy: PolicyWire | None = None


class InfoWire(Wire, frozen=True):
    """One line of information about an operation or an object."""

    name: Name = ""
    value: Text = ""


class SyncWire(Wire, frozen=True):
    """What an operation syncs to."""

    revision: Name = ""
    revisions: tuple[Name, ...] | None = None


class InitiatorWire(Wire, frozen=True):
    """Who began it."""

    username: Name = ""
    automated: bool = False


class OperationWire(Wire, frozen=True):
    """What is to be done, or was."""

    sync: SyncWire | None = None
    info: tuple[InfoWire, ...] | None = None
    initiated_by: InitiatorWire | None = None

    def told(self, name: str) -> str:
        return next((i.value for i in self.info or () if i.name == name), "")


class OperationStateWire(Wire, frozen=True):
    """How the last operation stands."""

    phase: Name
    operation: OperationWire = OperationWire()
    message: Text = ""
    started_at: Name | None = None
    finished_at: Name | None = None
    sync_result: SyncWire | None = None

    @property
    def under_way(self) -> bool:
        return self.phase in ("Running", "Terminating")

    @property
    def revision(self) -> str:
        found = self.sync_result if self.sync_result is not None else self.operation.sync
        return revision_of(found) or revision_of(self.operation.sync)


class HistoryWire(Wire, frozen=True):
    """One sync that succeeded."""

    id: Count
    revision: Name = ""
    revisions: tuple[Name, ...] | None = None
    deployed_at: Name | None = None
    deploy_started_at: Name | None = None
    initiated_by: InitiatorWire | None = None

    @property
    def name(self) -> str:
        return revision_of(SyncWire(self.revision, self.revisions))


class HealthWire(Wire, frozen=True):
    """How well something is."""

    status: Name = ""
    message: Text = ""


class SyncStatusWire(Wire, frozen=True):
    """What the repository has."""

    status: Name = ""
    revision: Name = ""
    revisions: tuple[Name, ...] | None = None


class ResourceWire(Wire, frozen=True):
    """One managed object."""

    kind: Name = ""
    status: Name = ""


class StatusWire(Wire, frozen=True):
    """How an application is."""

    sync: SyncStatusWire = SyncStatusWire()
    health: HealthWire = HealthWire()
    history: tuple[HistoryWire, ...] | None = None
    operation_state: OperationStateWire | None = None
    reconciled_at: Name | None = None
    resources: tuple[ResourceWire, ...] | None = None


class ApplicationWire(Wire, frozen=True):
    """GET /api/v1/applications/{name}."""

    metadata: MetaWire
    spec: SpecWire
    status: StatusWire = StatusWire()
    operation: OperationWire | None = None

    @property
    def notes(self) -> dict[str, str]:
        return self.metadata.annotations or {}

    @property
    def past(self) -> tuple[HistoryWire, ...]:
        """Newest first."""
        return tuple(sorted(self.status.history or (), key=lambda h: h.id, reverse=True))

    @property
    def automated(self) -> Any:
        """The policy of syncing by itself, None where it does not."""
        policy = self.spec.sync_policy.automated if self.spec.sync_policy is not None else None
        return None if isinstance(policy, dict) and policy.get("enabled") is False else policy

    @property
    def head(self) -> str:
        """The revision that the repository has now."""
        return revision_of(SyncWire(self.status.sync.revision, self.status.sync.revisions))


class ApplicationsWire(Wire, frozen=True):
    """GET /api/v1/applications."""

    items: tuple[ApplicationWire, ...] | None = None


class RefWire(Wire, frozen=True):
    """What an object belongs to."""

    uid: Name = ""


class NodeWire(Wire, frozen=True):
    """One object of the resource tree."""

    kind: Name = ""
    name: Name = ""
    namespace: Name = ""
    uid: Name = ""
    parent_refs: tuple[RefWire, ...] | None = None
    images: tuple[Name, ...] | None = None
    health: HealthWire | None = None
    info: tuple[InfoWire, ...] | None = None
    created_at: Name | None = None


class TreeWire(Wire, frozen=True):
    """GET …/resource-tree."""

    nodes: tuple[NodeWire, ...] | None = None


class MetadataWire(Wire, frozen=True):
    """GET …/revisions/{revision}/metadata."""

    tags: tuple[Name, ...] | None = None
    date: Name | None = None


class UserWire(Wire, frozen=True):
    """GET /api/v1/session/userinfo."""

    logged_in: bool = False
    username: Name = ""


class VersionWire(Struct, rename={"version": "Version"}):
    """GET /api/version."""

    version: Id


def parse_application(body: bytes) -> ApplicationWire:
    """One application; every time in it can be read."""
    return _sound(decode(body, ApplicationWire))


def parse_applications(body: bytes) -> tuple[ApplicationWire, ...]:
    """All applications."""
    return tuple(_sound(item) for item in decode(body, ApplicationsWire).items or ())


def parse_tree(body: bytes) -> tuple[NodeWire, ...]:
    """The objects of an application."""
    nodes = decode(body, TreeWire).nodes or ()
    for node in nodes:
        parse_moment(node.created_at, "createdAt")
    return nodes


def parse_metadata(body: bytes) -> MetadataWire:
    """The tags and the date of a commit."""
    found = decode(body, MetadataWire)
    parse_moment(found.date, "date")
    return found


def parse_user(body: bytes) -> str:
    """As whom Argo CD sees us; "" = as nobody."""
    found = decode(body, UserWire)
    return found.username if found.logged_in else ""


def parse_version(body: bytes) -> str:
    """The server's version."""
    return decode(body, VersionWire).version


def parse_record(body: bytes) -> Record:
    """One deployment as an annotation keeps it."""
    return decode(body, Record)


def revision_of(sync: SyncWire | None) -> str:
    """One name for what was synced; those of several sources together."""
    if sync is None:
        return ""
    return sync.revision or "+".join(sync.revisions or ())


def _sound(application: ApplicationWire) -> ApplicationWire:
    state = application.status.operation_state
    if state is not None:
        parse_moment(state.started_at, "startedAt")
        parse_moment(state.finished_at, "finishedAt")
    for entry in application.status.history or ():
        parse_moment(entry.deployed_at, "deployedAt")
        parse_moment(entry.deploy_started_at, "deployStartedAt")
    parse_moment(application.status.reconciled_at, "reconciledAt")
    if application.spec.source is None and not application.spec.sources:
        raise BadPayload(f"The application “{application.metadata.name[:100]}” has no source.", hint=_HINT)
    return application
