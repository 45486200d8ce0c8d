"""Any CI system that speaks resources/openapi/ci-v1.yaml."""

from __future__ import annotations

from cockpit.connectors.ci_wire import parse_health, parse_run, parse_runs
from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import plain
from cockpit.domain.checks import CheckRun

LOG_BYTES = 200_000
MAX_LIMIT = 500  # the interface's own bound of one list


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
