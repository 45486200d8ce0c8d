"""What a workload itself keeps of the deployments made from here: an annotation, written by the very patch that begins one. Pure."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cockpit.connectors.http_answers import decode
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.text import plain
from cockpit.connectors.wire_values import Name, Text, TimeUs
from cockpit.domain.errors import BadPayload

LOG = "release-cockpit/deployments"
KEY = "release-cockpit/key"
TOUCHED = "release-cockpit/deployed"  # a label: the only thing that can be asked for across a cluster
CAUSE = "kubernetes.io/change-cause"
KEPT = 20
REASON_CHARS = 500
_HINT = f"Remove the annotation {LOG}, if nothing is under way; what it said of past deployments is lost then."


class Record(Struct, frozen=True, omit_defaults=True):
    """One deployment: what was asked, and what ran before. `back_to`: the ReplicaSet gone back to; `ended`: how it ended, once known."""

    key: Name
    service: Name
    environment: Name
    version: Name
    digest: Name
    kind: Name
    image: Name = ""
    by: Name = ""
    reason: Text = ""
    at_us: TimeUs = 0
    from_version: Name = ""
    from_digest: Name = ""
    from_set: Name = ""
    back_to: Name = ""
    ended: Name = ""
    ended_at_us: TimeUs = 0
    note: Text = ""


def parse_records(body: bytes) -> tuple[Record, ...]:
    """The annotation's content, oldest first; nothing at all is no record."""
    if not body:
        return ()
    try:
        return decode(body, tuple[Record, ...])
    except BadPayload as error:
        raise BadPayload(f"The annotation {LOG} cannot be read: {error.message}", hint=_HINT) from None


def records_of(notes: dict[str, str]) -> tuple[Record, ...]:
    """The records among an object's annotations."""
    return parse_records(notes.get(LOG, "").encode("utf-8", "replace"))


def record_of(records: tuple[Record, ...], key: str) -> Record | None:
    """The one with that key."""
    return next((record for record in records if record.key == key), None)


def new_record(request: DeployRequest, key: str, image: str, at_us: int, before: tuple[str, str, str]) -> Record:
    """What is asked for now; `before` is (version, digest, ReplicaSet) of what ran."""
    return Record(
        key=key,
        service=request.service,
        environment=request.environment,
        version=request.version,
        digest=request.digest,
        kind=request.kind,
        image=image,
        by=request.requested_by[:200],
        reason=plain(request.reason, REASON_CHARS),
        at_us=at_us,
        from_version=before[0],
        from_digest=before[1],
        from_set=before[2],
    )


def written(records: tuple[Record, ...]) -> str:
    """The annotation's new content: the newest ones."""
    return msgspec.json.encode(records[-KEPT:]).decode()


def with_verdict(records: tuple[Record, ...], key: str, ended: str, at_us: int) -> tuple[Record, ...]:
    """The same, with how one of them ended; the first word stays."""
    return tuple(replace(r, ended=ended, ended_at_us=at_us) if r.key == key and not r.ended else r for r in records)


def cause(record: Record) -> str:
    """What `kubectl rollout history` shows of it."""
    said = f": {record.reason}" if record.reason else ""
    return re.sub(r"\s+", " ", f"{record.kind} of {record.version} by {record.by}{said}").strip()[:1000]
