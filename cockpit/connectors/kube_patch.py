"""What is sent to a workload: JSON patches that hold only for the object as it was read. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from cockpit.connectors.kube_records import CAUSE, KEY, LOG, TOUCHED, Record, cause, written
from cockpit.connectors.kube_view import View
from cockpit.connectors.kube_wire import WorkloadWire, parse_template

Patch = list[dict[str, Any]]


def new_image(view: View, record: Record, records: tuple[Record, ...]) -> Patch:
    """Another image in the template, marked with the key, so that the ReplicaSet made from it carries that."""
    template = parse_template(bytes(view.workload.spec.template))
    body = _guarded(view.workload) + _noted(view.workload, (*records, record))
    if template.metadata is None:
        body.append(_add("/spec/template/metadata", {}))
    if template.metadata is None or template.metadata.annotations is None:
        body.append(_add("/spec/template/metadata/annotations", {}))
    body.append(_add(f"/spec/template/metadata/annotations/{_escaped(KEY)}", record.key))
    body.append({"op": "replace", "path": f"/spec/template/spec/containers/{view.container}/image", "value": record.image})
    return body + _going_on(view.workload)


def old_template(view: View, record: Record, records: tuple[Record, ...], old: WorkloadWire) -> Patch:
    """The whole template of an earlier ReplicaSet, without the mark that tells ReplicaSets apart: that one is used again then."""
    template = msgspec.json.decode(bytes(old.spec.template))
    labels = (template.get("metadata") or {}).get("labels") or {}
    labels.pop(view.kind.hash_label, None)
    body = _guarded(view.workload) + _noted(view.workload, (*records, record))
    body.append({"op": "replace", "path": "/spec/template", "value": template})
    return body + _going_on(view.workload)


def paused(view: View, records: tuple[Record, ...]) -> Patch:
    """Nothing more is changed until somebody deploys again."""
    return [*_guarded(view.workload), _log(records), _add("/spec/paused", True)]


def _guarded(workload: WorkloadWire) -> Patch:
    # the API server refuses the whole patch with 409 where the object has another version by now
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": workload.metadata.resource_version}]


def _noted(workload: WorkloadWire, records: tuple[Record, ...]) -> Patch:
    body = []
    if workload.metadata.annotations is None:
        body.append(_add("/metadata/annotations", {}))
    if workload.metadata.labels is None:
        body.append(_add("/metadata/labels", {}))
    body += [_log(records), _add(f"/metadata/annotations/{_escaped(CAUSE)}", cause(records[-1]))]
    return [*body, _add(f"/metadata/labels/{_escaped(TOUCHED)}", "yes")]


def _going_on(workload: WorkloadWire) -> Patch:
    """What an abort from here had paused goes on with the next deployment."""
    return [_add("/spec/paused", False)] if workload.spec.paused else []


def _log(records: tuple[Record, ...]) -> dict[str, Any]:
    return _add(f"/metadata/annotations/{_escaped(LOG)}", written(records))


def _add(path: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
