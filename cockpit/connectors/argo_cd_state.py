"""What an application of Argo CD says of deployments and of its pods. Pure.

Argo CD knows commits, not images: what it deployed is named `git:<commit>`, and so is what its pods run.
"""

from __future__ import annotations

import re
from hashlib import sha256

from msgspec import Struct

from cockpit.connectors.argo_cd_wire import ApplicationWire, HistoryWire, NodeWire, OperationStateWire, Record, parse_record, revision_of
from cockpit.connectors.image_names import version_in
from cockpit.connectors.kube_view import deployment_id
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import Deployment, DeployState, Node, NodeStep

PREFIX = "release-cockpit/d."
AUTOMATED = "release-cockpit/automated"
HELD = "release-cockpit/held"
KEY = "release-cockpit/key"
KEPT = 20
SETTLE_US = 900_000_000  # what an application's health says later than this after a sync is not that sync's doing
_OTHER = "Another operation came after it, and Argo CD keeps no word of operations that failed."
_REVISION = re.compile(r"\d+")


class Standing(Struct, frozen=True):
    """How a deployment stands, since when (microseconds UTC, 0 = not told), and in words."""

    state: DeployState
    message: str = ""
    at_us: int = 0


def note_of(key: str) -> str:
    """The annotation of a deployment's record."""
    return PREFIX + sha256(key.encode("utf-8", "replace")).hexdigest()[:20]


def records_of(app: ApplicationWire) -> tuple[Record, ...]:
    """What was asked from here, oldest first; what cannot be read is none of ours."""
    found = []
    for name, text in app.notes.items():
        if name.startswith(PREFIX):
            try:
                found.append(parse_record(text.encode("utf-8", "replace")))
            except BadPayload:
                continue  # somebody else wrote it
    return tuple(sorted(found, key=lambda r: r.at_us))


def under_way(app: ApplicationWire) -> bool:
    """Whether an operation is waiting or running: Argo CD lets no second one in."""
    state = app.status.operation_state
    return app.operation is not None or (state is not None and state.under_way)


def is_ours(app: ApplicationWire, record: Record) -> bool:
    """Whether the last operation is the one that this record announced."""
    operation = app.operation
    if operation is not None:
        return operation.told(KEY) == record.key or (not operation.told(KEY) and revision_of(operation.sync) == record.revision)
    state = app.status.operation_state
    if state is None or (state.started_at or "") == record.before:
        return False
    told = state.operation.told(KEY)
    later = any(r.at_us > record.at_us and r.before == record.before for r in records_of(app))
    return told == record.key or (not told and not later and record.kind == "rollback" and state.revision == record.revision)


def standing_of(app: ApplicationWire, record: Record, now_us: int) -> Standing | None:
    """How it stands; None where it was announced, and then nothing was begun."""
    if record.ended:
        return Standing(DeployState(record.ended), "", record.ended_at_us or record.at_us)
    state = app.status.operation_state
    if is_ours(app, record):
        if app.operation is not None or state is None:
            return Standing(DeployState.RUNNING, "The operation waits for its turn.")
        return _of_operation(app, state, record, now_us)
    entry = entry_of(app, record)
    if entry is not None:
        return Standing(DeployState.SUCCEEDED, "", parse_moment(entry.deployed_at))
    moved = state is not None and (state.started_at or "") != record.before
    return Standing(DeployState.FAILED, _OTHER, record.at_us) if moved else None


def entry_of(app: ApplicationWire, record: Record) -> HistoryWire | None:
    """The sync in the history that a record announced: the first one after it."""
    after = [h for h in app.past if h.id > record.mark and h.name == record.revision]
    mine = after[-1] if after else None
    earlier = [
        r for r in records_of(app) if r.at_us < record.at_us and r.revision == record.revision and r.mark == record.mark and not r.ended
    ]
    return mine if mine is not None and not earlier else None


def _of_operation(app: ApplicationWire, state: OperationStateWire, record: Record, now_us: int) -> Standing:
    ended_us = parse_moment(state.finished_at)
    words = plain(state.message, 2000)
    if state.under_way:
        return Standing(DeployState.RUNNING, words)
    if state.phase != "Succeeded":
        stopped = words.lower().startswith("operation terminated")
        return Standing(
            DeployState.ABORTED if stopped else DeployState.FAILED, words or f"Argo CD says: {one_line(state.phase, 50)}", ended_us
        )
    if state.revision != record.revision:
        return Standing(DeployState.FAILED, f"Argo CD synced {one_line(state.revision, 50)} instead.", ended_us)
    return health_of(app, ended_us, now_us)


def health_of(app: ApplicationWire, ended_us: int, now_us: int) -> Standing:
    """How it stands once all was applied: its pods may only be on their way."""
    health = app.status.health
    seen = parse_moment(app.status.reconciled_at) >= ended_us
    late = now_us - ended_us > SETTLE_US
    if health.status == "Healthy" and seen:
        return Standing(DeployState.SUCCEEDED, "", ended_us)
    if late:
        return Standing(DeployState.SUCCEEDED, "", ended_us)
    if health.status == "Degraded" and seen:
        return Standing(DeployState.FAILED, plain(health.message, 2000) or "Its objects are degraded.", ended_us)
    return Standing(DeployState.RUNNING, f"All was applied; its health is {one_line(health.status, 50) or 'not known'}.")


def of_record(app: ApplicationWire, record: Record, standing: Standing, steps: tuple[NodeStep, ...] = ()) -> Deployment:
    """A deployment made from here."""
    return Deployment(
        id=deployment_id(record.environment, record.service, f"k:{record.key}"),
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
        finished_at_us=max(standing.at_us, record.at_us) if standing.state.final else 0,
        steps=steps,
        message=" ".join(part for part in (standing.message, record.note) if part),
    )


def of_entry(entry: HistoryWire, place: tuple[str, str], version: str, standing: Standing) -> Deployment:
    """A sync that others began."""
    service, environment = place
    who = entry.initiated_by
    return Deployment(
        id=deployment_id(environment, service, f"h:{entry.id}"),
        key="",
        service=service,
        environment=environment,
        version=version,
        digest=f"git:{entry.name}",
        kind="deploy",
        state=standing.state,
        requested_by=one_line("auto-sync" if who is not None and who.automated else who.username if who is not None else "", 200),
        started_at_us=parse_moment(entry.deploy_started_at or entry.deployed_at),
        finished_at_us=parse_moment(entry.deployed_at) if standing.state.final else 0,
        message=standing.message,
    )


# -- pods ------------------------------------------------------------------------------------------------------------------------


def newest_sets(nodes: tuple[NodeWire, ...]) -> dict[str, bool]:
    """By the uid of each ReplicaSet: whether it is the newest of its owner."""
    best: dict[str, int] = {}
    sets = [n for n in nodes if n.kind == "ReplicaSet"]
    for made in sets:
        owner = _owner(made)
        best[owner] = max(best.get(owner, -1), _number(made))
    return {made.uid: _number(made) == best[_owner(made)] for made in sets}


def nodes_of(app: ApplicationWire, tree: tuple[NodeWire, ...], place: tuple[str, str], image: str, version: str) -> tuple[Node, ...]:
    """The pods. One of the newest ReplicaSet runs what the last sync brought, where that surely holds; of any other that is not known."""
    service, environment = place
    newest, running = newest_sets(tree), deployed(app)
    found = []
    for pod in sorted((n for n in tree if n.kind == "Pod" and n.name), key=lambda n: n.name):
        fresh = newest.get(_owner(pod), True)
        told = version_in(pod.images[0], image, service) if pod.images and image else version if fresh else ""
        found.append(
            Node(
                name=pod.name,
                service=service,
                environment=environment,
                version=one_line(told, 200),
                commit=running if fresh and "+" not in running else "",
                digest=f"git:{running}" if running and fresh else "",
                healthy=pod.health is not None and pod.health.status == "Healthy",
            )
        )
    return tuple(found)


def deployed(app: ApplicationWire) -> str:
    """The commit that is surely there, "" while a sync goes on, until Argo CD has looked since, and where somebody changed it by hand."""
    state = app.status.operation_state
    newest = app.past[0].name if app.past else ""
    if state is not None and not state.under_way and app.operation is None:
        if parse_moment(app.status.reconciled_at) < parse_moment(state.finished_at):
            return ""
        if state.phase != "Succeeded" and state.sync_result is not None and state.revision != newest:
            return ""  # some of it may have been applied
    if state is not None and state.under_way and state.sync_result is not None:
        return ""
    drifted = any(
        r.kind in ("Deployment", "Rollout", "StatefulSet", "DaemonSet") and r.status == "OutOfSync" for r in app.status.resources or ()
    )
    return "" if drifted and app.head == newest else newest


def steps_of(nodes: tuple[Node, ...], digest: str, state: DeployState) -> tuple[NodeStep, ...]:
    """Each pod's part in the present deployment."""
    words = []
    for node in nodes:
        there = node.digest == digest
        done = there and (bool(node.healthy) or state is DeployState.SUCCEEDED)
        words.append(NodeStep(node.name, "done" if done else "checking" if there else "pending", node.digest))
    return tuple(step for step in words if step.state == "done" or state is not DeployState.SUCCEEDED)


def _owner(node: NodeWire) -> str:
    return node.parent_refs[0].uid if node.parent_refs else ""


def _number(made: NodeWire) -> int:
    found = next((_REVISION.search(i.value) for i in made.info or () if i.name == "Revision"), None)
    return int(found.group()[:18]) if found else 0
