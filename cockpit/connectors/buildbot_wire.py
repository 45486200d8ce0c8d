"""The wire format of Buildbot's data API (v2), as much of it as is used. Pure."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from msgspec import Meta, Struct

from cockpit.connectors.http_answers import HINT_INTERFACE, decode
from cockpit.connectors.junit import parse_junit
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import LAST_US, Count, Id, Name, Text
from cockpit.domain.checks import TestResult
from cockpit.domain.errors import BadPayload

Seconds = Annotated[int, Meta(ge=0, le=LAST_US // 1_000_000)]
Result = Annotated[int, Meta(ge=-1, le=6)]
Properties = dict[Name, tuple[Any, Any]]

SKIPPED = 3
OWN_STEPS = ("worker_preparation",)


class BuilderWire(Struct, frozen=True):
    """One builder."""

    builderid: Count
    name: Id


class BuildersWire(Struct):
    """GET /builders."""

    builders: tuple[BuilderWire, ...]


class BuildWire(Struct, frozen=True):
    """One build; `results` is null while it runs."""

    buildid: Count
    number: Count
    builderid: Count
    buildrequestid: Count
    complete: bool
    started_at: Seconds
    complete_at: Seconds | None = None
    results: Result | None = None
    properties: Properties | None = None


class BuildsWire(Struct):
    """GET /builds and its kin."""

    builds: tuple[BuildWire, ...]


class RequestWire(Struct, frozen=True):
    """One build request: asked for, and perhaps not begun."""

    buildrequestid: Count
    buildsetid: Count
    builderid: Count
    complete: bool
    submitted_at: Seconds
    claimed: bool = False
    complete_at: Seconds | None = None
    results: Result | None = None
    properties: Properties | None = None


class RequestsWire(Struct):
    """GET /buildrequests and its kin."""

    buildrequests: tuple[RequestWire, ...]


class SourceWire(Struct, frozen=True):
    """What is to be checked out."""

    codebase: Name = ""
    branch: Name | None = None
    revision: Name | None = None
    repository: Name | None = None
    project: Name | None = None
    patch: Any = None


class BuildsetWire(Struct, frozen=True):
    """What was asked for at once, and why."""

    bsid: Count
    reason: Text = ""
    rebuilt_buildid: Count | None = None
    sourcestamps: tuple[SourceWire, ...] = ()


class BuildsetsWire(Struct):
    """GET /buildsets."""

    buildsets: tuple[BuildsetWire, ...]


class StepWire(Struct, frozen=True):
    """One step of a build."""

    stepid: Count
    number: Count
    name: Id
    complete: bool
    hidden: bool = False
    started_at: Seconds | None = None
    complete_at: Seconds | None = None
    results: Result | None = None


class StepsWire(Struct):
    """GET /builds/{id}/steps."""

    steps: tuple[StepWire, ...]


class LogWire(Struct, frozen=True):
    """One log of a step; type: s (stdio), t (text), h (HTML) or d (deleted)."""

    logid: Count
    name: Id
    type: Name = "t"
    complete: bool = True


class LogsWire(Struct):
    """GET …/steps/{number}/logs."""

    logs: tuple[LogWire, ...]


class ForceWire(Struct, frozen=True):
    """One scheduler that people may start builds with, and what it asks them."""

    name: Id
    enabled: bool = True
    all_fields: tuple[Any, ...] = ()


class ForcesWire(Struct):
    """GET /builders/{id}/forceschedulers."""

    forceschedulers: tuple[ForceWire, ...]


class StartedWire(Struct):
    """What force and rebuild answer: [the buildset, {builder: request}]."""

    result: tuple[Count, dict[Name, Count]]


class UserWire(Struct, frozen=True):
    """As whom the server sees us."""

    username: Name = ""
    email: Name = ""


class ConfigWire(Struct):
    """GET /config."""

    versions: tuple[tuple[Name, Name], ...]
    title: Name = ""
    user: UserWire = UserWire()


class MessageWire(Struct):
    """What an event says of the build or the request that changed; a step names its build only."""

    builderid: Count | None = None
    buildid: Count | None = None


class EventWire(Struct):
    """The data of one event."""

    key: tuple[Name, ...]
    message: MessageWire


def parse_builders(body: bytes) -> dict[str, int]:
    """Ids by name."""
    return {builder.name: builder.builderid for builder in decode(body, BuildersWire).builders}


def parse_builds(body: bytes) -> tuple[BuildWire, ...]:
    """Builds, the newest first."""
    return tuple(sorted(decode(body, BuildsWire).builds, key=lambda build: -build.buildid))


def parse_requests(body: bytes) -> tuple[RequestWire, ...]:
    """Requests, the newest first."""
    return tuple(sorted(decode(body, RequestsWire).buildrequests, key=lambda request: -request.buildrequestid))


def parse_buildsets(body: bytes) -> tuple[BuildsetWire, ...]:
    """Buildsets, the newest first."""
    return tuple(sorted(decode(body, BuildsetsWire).buildsets, key=lambda buildset: -buildset.bsid))


def parse_steps(body: bytes) -> tuple[StepWire, ...]:
    """The steps that are shown as suites: neither hidden, nor skipped, nor Buildbot's own."""
    steps = sorted(decode(body, StepsWire).steps, key=lambda step: step.number)
    return tuple(step for step in steps if not step.hidden and step.results != SKIPPED and step.name not in OWN_STEPS)


def parse_logs(body: bytes) -> tuple[LogWire, ...]:
    """The logs of a step that can be read."""
    return tuple(log for log in decode(body, LogsWire).logs if log.type != "d")


def parse_forces(body: bytes) -> tuple[ForceWire, ...]:
    """The schedulers that can be used now."""
    return tuple(force for force in decode(body, ForcesWire).forceschedulers if force.enabled)


def parse_started(body: bytes) -> int:
    """The id of the new request."""
    requests = decode(body, StartedWire).result[1]
    if len(requests) != 1:
        raise BadPayload(f"The answer names {len(requests)} build requests, one was asked for.", hint=HINT_INTERFACE)
    return next(iter(requests.values()))


def parse_done(body: bytes) -> None:
    """The answer to a command that says nothing else than that it was taken."""
    decode(body, dict[str, Any])


def parse_config(body: bytes) -> Probe:
    """What "test connection" shows."""
    config = decode(body, ConfigWire)
    version = next((version for name, version in config.versions if name == "Buildbot"), "")
    title = f", “{config.title}”" if config.title else ""
    return Probe(one_line(f"Buildbot {version}{title}", 200), one_line(config.user.username or config.user.email, 200))


def parse_event(body: bytes) -> tuple[int | None, int | None]:
    """(builder, build) that an event is about; None: it does not say."""
    message = decode(body, EventWire).message
    return message.builderid, message.buildid


def parse_report(body: bytes) -> tuple[TestResult, ...]:
    """The tests of a JUnit log, as the server hands it out: below three lines of its own."""
    return parse_junit(without_head(body))


def without_head(body: bytes) -> bytes:
    """A raw log without the lines (Builder, Build number, Worker name) that the server puts before it."""
    lines = body.split(b"\n", 3)
    names = (b"Builder: ", b"Build number: ", b"Worker name: ")
    return lines[3] if len(lines) == 4 and all(map(bytes.startswith, lines, names)) else body


def parameters(force: ForceWire) -> dict[str, Any]:
    """What a scheduler asks for: full name -> the only value that it takes, None where it takes others (no field is named otherwise).

    A value sent under any other name is ignored without a word, so what has no field here cannot be asked for.
    """
    found: dict[str, Any] = {}
    waiting = list(force.all_fields[:1000])
    while waiting and len(found) < 1000:
        field = waiting.pop()
        if not isinstance(field, dict):
            continue
        if isinstance(field.get("fields"), list):
            waiting += field["fields"][:1000]
        elif isinstance(name := field.get("fullName"), str):
            found[name] = field.get("default") or "" if field.get("type") == "fixed" else None
    return found


def query(properties: tuple[str, ...] = (), **values: str | int) -> str:
    """A question's parameters, with each property whose value is wanted."""
    pairs = [*values.items(), *(("property", name) for name in properties)]
    return "?" + urlencode(pairs)
