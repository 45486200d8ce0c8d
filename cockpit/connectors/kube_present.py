"""Which ReplicaSet a workload's present template made, and what of its status is about that one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from cockpit.connectors.kube_wire import WorkloadWire

_ABOUT = re.compile(r'ReplicaSet "([^"]{1,300})"')


def present(workload: WorkloadWire, sets: Sequence[WorkloadWire], revision: str, hash_label: str) -> WorkloadWire | None:
    """The ReplicaSet of the template, as the controllers find it; None where none is made yet.

    Its revision comes last: when a ReplicaSet is used again, the controller writes the workload's status, with the generation that it has
    seen, before the workload's revision, and by that number the ReplicaSet that is being replaced would be the present one.
    """
    mark = workload.status.current_pod_hash
    if mark:
        return next((s for s in sets if (s.metadata.labels or {}).get(hash_label) == mark), None)
    wanted = _shape(bytes(workload.spec.template), hash_label)
    same = [s for s in sets if _shape(bytes(s.spec.template), hash_label) == wanted]
    if same:
        return min(same, key=lambda s: (s.metadata.creation_timestamp or "", s.metadata.name))
    number = workload.metadata.notes.get(revision, "")
    return next((s for s in sets if s.metadata.notes.get(revision) == number), None)


def about(workload: WorkloadWire, current: WorkloadWire | None, sets: Sequence[WorkloadWire]) -> WorkloadWire:
    """The workload without a verdict on another of its ReplicaSets.

    The controller keeps one until it sees progress: right after a rollback its status is of the new generation, and still says that the
    replaced ReplicaSet ran into its deadline, or was successful.
    """
    if current is None:
        return workload
    others = {s.metadata.name for s in sets if s.metadata.uid != current.metadata.uid}
    kept = tuple(c for c in workload.status.conditions or () if c.type != "Progressing" or _named(c.message) not in others)
    return replace(workload, status=replace(workload.status, conditions=kept))


def _named(message: str) -> str:
    found = _ABOUT.match(message)
    return found[1] if found else ""


@lru_cache(maxsize=1024)
def _shape(template: bytes, hash_label: str) -> bytes:
    """The template without what differs though it is the same."""
    body: dict[str, Any] = msgspec.json.decode(template)
    meta = body.pop("metadata", None) or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != hash_label}
    meta = {name: value for name, value in meta.items() if name not in ("labels", "creationTimestamp") and value}
    return msgspec.json.encode([body, meta, labels], order="deterministic")
