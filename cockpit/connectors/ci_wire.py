"""The wire format of resources/openapi/ci-v1.yaml: its structs, and its bodies read into what the cockpit knows. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from cockpit.connectors.http_answers import decode
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import Count, HealthWire, Id, Name, Text, TimeUs, web_address
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.errors import BadPayload

_HINT = "The CI system speaks another version of the interface."


class TestWire(Struct):
    """One test of a suite."""

    name: Name
    outcome: Literal["running", "passed", "failed", "error", "skipped"]
    duration_s: Annotated[float, Meta(ge=0)] = 0.0
    message: Text = ""


class SuiteWire(Struct):
    """One suite of a run."""

    name: Id
    state: CheckState
    total: Count = 0
    passed: Count = 0
    failed: Count = 0
    errors: Count = 0
    skipped: Count = 0
    started_at_us: TimeUs = 0
    finished_at_us: TimeUs = 0
    tests: tuple[TestWire, ...] = ()


class RunWire(Struct):
    """One run; unknown fields are ignored."""

    id: Id
    service: Id
    version: Name
    commit: Name
    state: CheckState
    suites: tuple[SuiteWire, ...] = ()
    started_at_us: TimeUs = 0
    finished_at_us: TimeUs = 0
    url: Name = ""


class RunsWire(Struct):
    """GET /v1/services/{service}/runs."""

    runs: tuple[RunWire, ...]


def parse_runs(body: bytes, service: str) -> tuple[CheckRun, ...]:
    """The list of a service's runs; BadPayload where one belongs to another service."""
    runs = decode(body, RunsWire).runs
    for index, run in enumerate(runs):
        if run.service != service:
            raise BadPayload(f"$.runs[{index}].service is “{one_line(run.service, 100)}”, asked was “{service}”.", hint=_HINT)
    return tuple(_run(run) for run in runs)


def parse_run(body: bytes, run_id: str = "") -> CheckRun:
    """One run; BadPayload where it is not the one asked for ("" = any)."""
    run = decode(body, RunWire)
    if run_id and run.id != run_id:
        raise BadPayload(f"$.id is “{one_line(run.id, 100)}”, asked was “{one_line(run_id, 100)}”.", hint=_HINT)
    return _run(run)


def parse_health(body: bytes) -> Probe:
    """What "test connection" shows."""
    health = decode(body, HealthWire)
    return Probe(reached=health.reached, identity=one_line(health.identity, 200))


def _run(run: RunWire) -> CheckRun:
    suites = tuple(_suite(suite) for suite in run.suites)
    return CheckRun(
        id=run.id,
        service=run.service,
        version=run.version,
        commit=run.commit,
        state=run.state,
        suites=suites,
        started_at_us=run.started_at_us,
        finished_at_us=run.finished_at_us,
        url=web_address(run.url),
    )


def _suite(suite: SuiteWire) -> Suite:
    return Suite(
        name=suite.name,
        state=suite.state,
        total=suite.total,
        passed=suite.passed,
        failed=suite.failed,
        errors=suite.errors,
        skipped=suite.skipped,
        started_at_us=suite.started_at_us,
        finished_at_us=suite.finished_at_us,
        tests=tuple(TestResult(plain(t.name), t.outcome, t.duration_s, plain(t.message)) for t in suite.tests),
    )
