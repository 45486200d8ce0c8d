"""The two open API documents hold for the two real servers: for made-up requests, for known things, and for hostile bytes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.paths import resource
from tests.fakes.playground import SERVICE, Program, wait_for

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
DOCUMENTS = {"ci": resource("openapi", "ci-v1.yaml"), "deployer": resource("openapi", "deployment-v1.yaml")}
SMALL = ["--services", SERVICE, "--environment", "staging=1", "--environment", "production=1", "--drain-s", "0"]
ARGUMENTS = {"ci": [f"--skip={SERVICE}/v{v}" for v in ("1.0.0", "1.1.0", "1.2.0")], "deployer": [*SMALL, f"--released={SERVICE}=1.1.0"]}
Launch = Callable[..., Program]


def run_schemathesis(program: Program, kind: str, home: Path) -> None:
    """The command line of schemathesis in a process of its own; its whole report where it found something."""
    (home / "schemathesis.toml").write_text("")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", str(DOCUMENTS[kind])]
    command += ["--url", f"http://127.0.0.1:{program.port}", "--checks", CHECKS, "--seed", "7", "--no-shrink", "--max-examples", "8"]
    command += ["--phases", "coverage,fuzzing", "--continue-on-failure", "--no-color", "--generation-database", "none"]
    command += ["--request-timeout", "10", "--suppress-health-check", "all", "--warnings", "off"]
    done = subprocess.run(command, cwd=home, env={**os.environ, "NO_PROXY": "*"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


class Checked:
    """A client that holds each answer against the document: status, content type and schema."""

    def __init__(self, program: Program, kind: str) -> None:
        import requests
        import schemathesis

        self._from_requests = schemathesis.Response.from_requests
        self._url = f"http://127.0.0.1:{program.port}"
        self._schema = schemathesis.openapi.from_path(DOCUMENTS[kind])
        self.session = requests.Session()

    def __call__(self, method: str, template: str, status: int, **values: Any) -> Any:
        """Ask; `key` and `json` go into header and body, everything else into the path."""
        headers = {"Idempotency-Key": values["key"]} if method == "POST" and "key" in values else {}
        url = self._url + template.format(**values)
        response = self.session.request(method, url, headers=headers, json=values.get("json"), timeout=20)
        assert response.status_code == status, response.text
        self._schema[template][method].validate_response(self._from_requests(response, verify=False))
        return response.json() if "json" in response.headers["Content-Type"] else response.text


@pytest.fixture
def checked() -> Iterator[Callable[[Program, str], Checked]]:
    made: list[Checked] = []

    def make(program: Program, kind: str) -> Checked:
        made.append(Checked(program, kind))
        return made[-1]

    yield make
    for client in made:
        client.session.close()


def test_documents_are_openapi() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator, validate
    from openapi_spec_validator.readers import read_from_filename

    for path in DOCUMENTS.values():
        document, _ = read_from_filename(str(path))
        validate(document, cls=OpenAPIV31SpecValidator)


@pytest.mark.parametrize("kind", ["ci", "deployer"])
def test_anything_asked_is_answered_as_documented(kind: str, launch: Launch, tmp_path: Path) -> None:
    program = launch(kind, *ARGUMENTS[kind])
    run_schemathesis(program, kind, tmp_path)
    assert "Traceback" not in (program.directory / "logs" / f"{kind}.log").read_text()


def test_a_deployment_from_request_to_end_is_as_documented(launch: Launch, checked: Callable[[Program, str], Checked]) -> None:
    deployer = launch("deployer", *ARGUMENTS["deployer"])
    wait_for(lambda: deployer.get("/v1/health")["ready"], "the first set-up is done")
    ask = checked(deployer, "deployer")
    artifacts = ask("GET", "/v1/services/{service}/artifacts", 200, service=SERVICE)["artifacts"]
    digest = next(a["digest"] for a in artifacts if a["version"] == "1.0.0")
    body = {"service": SERVICE, "environment": "staging", "version": "1.0.0", "digest": digest, "kind": "rollback"}
    post = {"json": {**body, "requested_by": "a@playground.invalid"}, "key": "one"}
    made = ask("POST", "/v1/deployments", 201, **post)
    assert ask("POST", "/v1/deployments", 200, **post)["id"] == made["id"]
    place = {"service": SERVICE, "environment": "staging"}
    assert ask("GET", "/v1/environments/{environment}/services/{service}", 200, **place)["nodes"]
    wait_for(lambda: ask("GET", "/v1/deployments/{id}", 200, id=made["id"])["state"] == "succeeded", "it succeeded")
    assert ask("POST", "/v1/deployments/{id}/abort", 200, id=made["id"])["state"] == "succeeded"
    assert ask("GET", "/v1/deployments/by-key/{key}", 200, key="one")["kind"] == "rollback"
    assert len(ask("GET", "/v1/environments/{environment}/services/{service}/deployments", 200, **place)["deployments"]) == 3


def test_optional_parts_are_as_documented(launch: Launch, checked: Callable[[Program, str], Checked]) -> None:
    deployer = launch("deployer", *ARGUMENTS["deployer"])
    wait_for(lambda: deployer.get("/v1/health")["ready"], "the first set-up is done")
    ask = checked(deployer, "deployer")
    place: dict[str, Any] = {"service": SERVICE, "environment": "production"}
    template = "/v1/environments/{environment}/services/{service}"
    assert set(ask("GET", "/v1/health", 200)["offers"]) == {"nodes", "holds", "mode", "weights", "automatic"}
    digest = ask("GET", "/v1/services/{service}/artifacts", 200, service=SERVICE)["artifacts"][-1]["digest"]
    hold = {**place, "digest": digest, "json": {"held": True, "reason": "p99"}}
    assert ask("PUT", f"{template}/holds/{{digest}}", 200, **hold)["held"] == [digest]
    ask("PUT", f"{template}/holds/{{digest}}", 422, **{**hold, "digest": "nothing"})
    node = f"{SERVICE}-production-1"
    refused = {**place, "version": "1.0.0", "digest": digest, "kind": "deploy", "requested_by": "a@playground.invalid"}
    for nodes in ([], [node], ["nowhere"]):
        ask("POST", "/v1/deployments", 422, key="k", json={**refused, "nodes": nodes})
    assert ask("PUT", f"{template}/mode", 200, **place, json={"mode": "post-only"}) == ask("GET", f"{template}/mode", 200, **place)
    ask("PUT", f"{template}/mode", 422, **place, json={"mode": "party"})
    ask("GET", f"{template}/weights", 404, **{**place, "environment": "staging"})
    assert ask("PUT", f"{template}/weights", 200, **place, json={"weights": {node: 100}}) == ask("GET", f"{template}/weights", 200, **place)
    ask("PUT", f"{template}/weights", 422, **place, json={"weights": {node: 7}})
    assert ask("GET", f"{template}/automatic", 200, **place)["on"] is False
    fleet = ask("GET", template, 200, **place)
    assert (fleet["automatic"], fleet["nodes"][0]["mode"], fleet["nodes"][0]["weight"]) == ("", "post-only", 100)


def test_a_run_from_tag_to_report_is_as_documented(launch: Launch, checked: Callable[[Program, str], Checked]) -> None:
    ci = launch("ci", *ARGUMENTS["ci"])
    ask = checked(ci, "ci")

    def failed() -> Any:
        return [r for r in ask("GET", "/v1/services/{service}/runs", 200, service=SERVICE)["runs"] if r["state"] == "failed"]

    (run,) = wait_for(failed, "the red version has failed")
    assert len(ask("GET", "/v1/runs/{id}", 200, id=run["id"])["suites"][0]["tests"]) == 4
    assert "no fixture today" in ask("GET", "/v1/runs/{id}/suites/{suite}/log", 200, id=run["id"], suite="unit")
    assert ask("GET", "/v1/runs/{id}/suites/{suite}/junit", 200, id=run["id"], suite="unit").startswith("<?xml")
    again = ask("POST", "/v1/runs/{id}/rerun", 201, key="one", id=run["id"])
    ask("POST", "/v1/runs/{id}/rerun", 200, key="one", id=run["id"])
    assert ask("POST", "/v1/runs/{id}/stop", 200, id=again["id"])["state"] == "inconclusive"


HOSTILE = [
    (b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n", 400),
    (b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /v1/deployments HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (b"GET /v1/health HTTP/1.1\r\nHost: evil.invalid\r\n\r\n", 403),
    (b"GET /v1/%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"GET /v1/health?a=%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"QUERY /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
    (b"DELETE /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
    (b"GET /v1/health HTTP/7.0\r\n\r\n", 400),
    (b"nonsense\r\n\r\n", 400),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
]


def test_hostile_bytes_get_an_error_in_the_documented_form(launch: Launch) -> None:
    deployer = launch("deployer", *SMALL)
    for sent, status in HOSTILE:
        with socket.create_connection(("127.0.0.1", deployer.port), timeout=10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda link=connection: link.recv(65536), b""))  # type: ignore[misc]
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode()), (sent[:100], answer[:500])
        assert b"application/json" in head
        assert body.startswith(b'{"title":')
    assert deployer.get("/v1/health")["name"] == "playground deployer"
