"""What hosts with resources/supervisor/release_host.py say: XML-RPC with JSON in it, read into what the cockpit knows. Pure."""

from __future__ import annotations

import json
import xmlrpc.client

import msgspec
from msgspec import Struct

from cockpit.connectors.http_answers import HINT_INTERFACE, decode
from cockpit.connectors.rolling import Part, Record
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import Id, Name, Text, TimeUs
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import Artifact

STEPS = ("pending", "stopping", "starting", "checking", "done", "failed")
# what the parser raises on text that is no XML-RPC
_PARSER_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError, LookupError)


class Fault(Struct, frozen=True):
    """A refusal: supervisor's own codes, and 404, 409 and 422 of the extension."""

    code: int
    words: str


class RecordWire(Struct, omit_defaults=False):
    """The request as it is kept on a host. `mine`: whether this host is among the nodes."""

    key: Id
    service: Id
    environment: Id
    version: Id
    digest: Id
    kind: Name
    nodes: tuple[Id, ...]
    begun_at_us: TimeUs
    requested_by: Name = ""
    reason: Text = ""
    from_version: Name = ""
    from_digest: Name = ""
    mine: bool = True


class PartWire(Struct):
    """One deployment on one host."""

    record: RecordWire
    state: Name = "pending"
    message: Text = ""
    digest: Name = ""
    go: bool = False
    aborted: bool = False
    closed: bool = False
    touched_at_us: TimeUs = 0
    moved_at_us: TimeUs = 0


class FoundWire(Struct):
    """release.find and all that change something."""

    now_us: TimeUs
    deployment: PartWire | None = None


class ReleaseWire(Struct):
    """A release directory."""

    name: Name
    version: Name
    digest: Id
    commit: Name = ""
    built_at_us: TimeUs = 0


class StatusWire(Struct):
    """release.status."""

    service: Name
    now_us: TimeUs
    agent: bool
    releases: tuple[ReleaseWire, ...] = ()
    current: Name = ""
    process: Name = ""
    healthy: bool | None = None
    why: Text = ""
    deployments: tuple[PartWire, ...] = ()


class Info(Struct, frozen=True):
    """release.info."""

    version: int
    services: tuple[Name, ...]
    agent: bool


class Status(Struct, frozen=True):
    """One host's view of a service. `healthy` None: its agent does not run. `parts` by key, newest first."""

    releases: tuple[Artifact, ...] = ()
    current: Artifact | None = None
    process: str = ""
    healthy: bool | None = None
    parts: dict[str, Part] = {}
    agent: bool = True


def call_of(method: str, *arguments: str | int) -> bytes:
    """The body of an XML-RPC call."""
    return xmlrpc.client.dumps(arguments, method, encoding="utf-8").encode("utf-8", "replace")


def parse_answer(body: bytes) -> str | Fault:
    """The one string that the extension answers, or its fault.

    Read as UTF-8 whatever it claims to be, and without any declaration: entities are how a small document becomes a huge one.
    """
    text = body.decode("utf-8", "replace")
    if "<!" in text:
        raise BadPayload("The answer is no XML-RPC: it declares a document type.", hint=HINT_INTERFACE)
    try:
        values, _ = xmlrpc.client.loads(text, use_builtin_types=True)
    except xmlrpc.client.Fault as fault:
        code, words = fault.faultCode, fault.faultString
        if not isinstance(code, int) or not isinstance(words, str):
            raise BadPayload("The answer's fault makes no sense.", hint=HINT_INTERFACE) from None
        return Fault(code, one_line(words, 300))
    except (xmlrpc.client.Error, *_PARSER_ERRORS) as error:
        raise BadPayload(f"The answer is no XML-RPC ({one_line(str(error), 100)}).", hint=HINT_INTERFACE) from None
    except _expat_error() as error:
        raise BadPayload(f"The answer is no XML ({one_line(str(error), 100)}).", hint=HINT_INTERFACE) from None
    if len(values) != 1 or not isinstance(values[0], str):
        raise BadPayload("The answer is not the one text that was promised.", hint=HINT_INTERFACE)
    return values[0]


def _expat_error() -> type[Exception]:
    from xml.parsers.expat import ExpatError

    return ExpatError


def parse_status(body: bytes, service: str) -> Status:
    """A host's view of `service`."""
    wire = decode(body, StatusWire)
    if wire.service != service:
        raise BadPayload(f"The host speaks of “{one_line(wire.service, 100)}”.", hint=HINT_INTERFACE)
    releases = {r.name: Artifact(service, one_line(r.version), one_line(r.commit), r.digest, r.built_at_us) for r in wire.releases}
    parts = {p.record.key: _part(p, wire.now_us) for p in wire.deployments}
    return Status(tuple(releases.values()), releases.get(wire.current), wire.process, wire.healthy, parts, wire.agent)


def parse_found(body: bytes) -> Part | None:
    """One deployment on one host."""
    wire = decode(body, FoundWire)
    return None if wire.deployment is None else _part(wire.deployment, wire.now_us)


def parse_info(body: bytes) -> Info:
    """Which services a host runs."""
    return decode(body, Info)


def record_of(record: Record, mine: bool) -> str:
    """A record as a host takes it in: ASCII, which XML carries whole."""
    return json.dumps(msgspec.structs.asdict(record) | {"mine": mine})


def _part(wire: PartWire, now_us: int) -> Part:
    record, last_us = wire.record, max(wire.touched_at_us, wire.moved_at_us)
    if wire.state not in STEPS:
        raise BadPayload(f"“{one_line(wire.state, 100)}” is no step of a deployment.", hint=HINT_INTERFACE)
    return Part(
        record=Record(
            key=record.key,
            service=record.service,
            environment=record.environment,
            version=one_line(record.version),
            digest=record.digest,
            kind=record.kind if record.kind in ("deploy", "rollback") else "deploy",
            nodes=record.nodes,
            begun_at_us=record.begun_at_us,
            requested_by=one_line(record.requested_by),
            reason=plain(record.reason),
            from_version=one_line(record.from_version),
            from_digest=record.from_digest,
        ),
        state=wire.state,
        message=plain(wire.message, 2000),
        digest=wire.digest,
        go=wire.go,
        aborted=wire.aborted,
        closed=wire.closed,
        moved_at_us=last_us,
        idle_s=max(0, now_us - last_us) / 1e6,
    )
