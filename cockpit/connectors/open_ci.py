"""Any CI system that speaks resources/openapi/ci-v1.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_answers import decode
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import Count, HealthWire, Id, Name, Text, TimeUs, web_address
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.errors import BadPayload

LOG_BYTES = 200_000
MAX_LIMIT = 500  # the interface's own bound of one list
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


class OpenCi:
    """CiSystem over HTTP. Blocks; one call at a time; ConnectorErrors only."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest runs first; the same tuple while nothing changed."""

        def parse(body: bytes) -> tuple[CheckRun, ...]:
            return parse_runs(body, service)

        params = {"limit": max(1, min(limit, MAX_LIMIT))}
        return self._client.read(segments("v1", "services", service, "runs"), parse, params)[:limit]

    def run(self, run_id: str) -> CheckRun:
        """One run with all tests."""

        def parse(body: bytes) -> CheckRun:
            return parse_run(body, run_id)

        return self._client.read(segments("v1", "runs", run_id), parse)

    def log(self, run_id: str, suite: str) -> str:
        """The end of a suite's log, untrusted text."""
        return plain(self._client.get_text(segments("v1", "runs", run_id, "suites", suite, "log"), tail=LOG_BYTES))

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """A new run of the same suites; sent once."""
        return self._client.write(segments("v1", "runs", run_id, "rerun"), None, parse_run, key)

    def stop(self, run_id: str) -> CheckRun:
        """The run, stopped; sent once."""

        def parse(body: bytes) -> CheckRun:
            return parse_run(body, run_id)

        return self._client.write(segments("v1", "runs", run_id, "stop"), None, parse)

    def probe(self) -> Probe:
        """The system's name and version, and as whom it sees us."""
        return self._client.read("/v1/health", parse_health)
