"""Answers that no interface promises, to every question of every kind of connection that speaks HTTP: only ConnectorErrors come out.

A kind joins by itself; one that needs more than an address has its options in tests/contract/test_ports.py.
"""

from __future__ import annotations

import gzip
import importlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors import registry
from cockpit.connectors.http_pace import Pace
from cockpit.connectors.kubeconfig import Credentials, load
from cockpit.connectors.ports import ConnectorSpec, Probe
from cockpit.domain.errors import BadPayload, ConnectorError, OutcomeUnknown, Unreachable
from cockpit.domain.release import Node
from tests.fakes.certificate import write_certificate

PORTS: Any = importlib.import_module("tests.contract.test_ports")
TOKEN = "canary-t0ken-value"
CERTAIN_S = 20.0  # for all questions of one kind to one answer, on a busy machine
NOWHERE = PORTS.URL["url"]


def speaks_http(spec: ConnectorSpec) -> bool:
    """Whether it has an address among its options. The calendar's is one of two ways; its own tests have it."""
    named = any(field.name in ("url", "kubeconfig") for field in spec.fields)
    return spec.kind != "icalendar" and (named or any(NOWHERE in value for value in PORTS.OPTIONS.get(spec.kind, {}).values()))


HTTP_KINDS = [spec for spec in registry.CONNECTORS if speaks_http(spec)]
CLUSTERS: list[Path] = []
READ: dict[str, Any] = {}  # by context
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{url}"}}}}]
users: [{{name: u, user: {{token: "{token}"}}}}]
"""
DEEP = b"[" * 100_000
WIDE = b'{"a":' * 50_000

STATUSES = [*(201, 204, 206, 301, 302, 304), *(400, 401, 403, 404, 405, 406, 409, 410, 412, 415, 418, 422, 423, 429), *range(500, 505)]

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a web page": b"<!doctype html><html><body>Log in</body></html>",
    "an empty list": b"[]",
    "an empty object": b"{}",
    "null": b"null",
    "a text": b'"text"',
    "a number": b"5",
    "a huge number": b"1" * 5000,
    "beyond 2^53": b'{"id": 90071992547409931234567890, "total_count": 1e400}',
    "not a number": b'[NaN, {"a": Infinity}]',
    "a list of nulls": b"[null, null]",
    "a list of texts": b'["a", "b"]',
    "a list of empty objects": b"[{}, {}]",
    "half of a body": b'{"items": [{"id": 1, "na',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "lone surrogate": b'{"message": "\\ud800", "id": "\\udfff"}',
    "deep": DEEP,
    "wide and deep": WIDE,
    "other shapes": b'{"items": {}, "data": 7, "value": "x", "runs": null, "status": [], "metadata": 3, "spec": "s", "builds": {"a": 1}}',
    "another fault": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><methodResponse><fault>&b;</fault></methodResponse>',
}


def options_of(spec: ConnectorSpec, url: str) -> dict[str, str]:
    """Those of the contract's tests, with this address for the one that leads nowhere."""
    options = {name: value.replace(NOWHERE, url) for name, value in PORTS.OPTIONS.get(spec.kind, {}).items()}
    if "kubeconfig" in options:
        path = CLUSTERS[0] / f"{url.rpartition(':')[2]}.yaml"
        path.write_text(KUBECONFIG.format(url=url, token=TOKEN), "utf-8")
        options["kubeconfig"] = str(path)
    return options | ({"url": url} if any(f.name == "url" for f in spec.fields) else {})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked again is asked at once: the pauses between have tests of their own."""
    monkeypatch.setattr("cockpit.connectors.http.Pace", lambda **parts: Pace(**parts, sleep=lambda seconds: None))


@pytest.fixture(autouse=True)
def one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubeconfig is read in a process of its own; for all those that differ in the address alone that is done once."""

    def known(path: str, context: str) -> Credentials:
        if context not in READ:
            READ[context] = load(path, context)
        [url] = re.findall(r'server: "([^"]+)"', Path(path).read_text("utf-8"))
        return replace(READ[context], host=url)

    monkeypatch.setattr("cockpit.connectors.kube_cluster.load", known)


@pytest.fixture(scope="module", autouse=True)
def clusters(tmp_path_factory: pytest.TempPathFactory) -> None:
    CLUSTERS[:] = [tmp_path_factory.mktemp("clusters")]


def make(spec: ConnectorSpec, url: str) -> Any:
    return registry.create(spec.kind, options_of(spec, url), lambda: TOKEN)


def questions(spec: ConnectorSpec) -> list[Callable[[Any], object]]:
    return [ask for port in spec.ports for ask in PORTS.QUESTIONS[port]]


def ask_all(spec: ConnectorSpec, url: str) -> list[object]:
    """What each question brings; anything but a ConnectorError breaks the test."""
    found: list[object] = []
    started = time.monotonic()
    for ask in questions(spec):
        connector = make(spec, url)
        try:
            found.append(ask(connector))
        except ConnectorError as error:
            found.append(error)
        connector.close()
    for error in found:
        if isinstance(error, ConnectorError):
            assert error.title
            assert error.message
            assert TOKEN not in str(error)
    assert time.monotonic() - started < CERTAIN_S
    return found


each_kind = pytest.mark.parametrize("spec", HTTP_KINDS, ids=lambda s: s.kind)


@each_kind
@pytest.mark.parametrize("name", BODIES)
def test_bodies(server: Any, spec: ConnectorSpec, name: str) -> None:
    server.script = [server.answer(200, BODIES[name])]
    ask_all(spec, server.url)


@each_kind
def test_numbers_for_texts_and_texts_for_numbers(server: Any, spec: ConnectorSpec) -> None:
    names = (
        "id",
        "name",
        "status",
        "state",
        "message",
        "version",
        "url",
        "created_at",
        "sha",
        "number",
        "items",
        "result",
        "data",
        "total_count",
    )
    for value in (b"1", b'"1"', b"[]", b"{}", b"null", b"true", b'"2026-11-22 10:00:00"'):
        body = b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name in names) + b"}"
        server.script = [server.answer(200, body)]
        ask_all(spec, server.url)
        server.script = [server.answer(200, b"[" + body + b"]")]
        ask_all(spec, server.url)


@each_kind
def test_pages_without_end(server: Any, spec: ConnectorSpec) -> None:
    again = {"Link": f'<{server.url}/again?page=2>; rel="next"', "X-Next-Page": "2", "X-Total-Pages": "999999", "X-Total": "99999999"}
    for body in (b"[]", b"{}", b'{"items": [], "metadata": {"continue": "more"}}', b'{"workflow_runs": [], "total_count": 99999999}'):
        server.requests.clear()
        server.script = [server.answer(200, body, **again)]
        ask_all(spec, server.url)
        assert len(server.requests) < 200 * len(questions(spec))


@each_kind
@pytest.mark.parametrize("status", STATUSES)
def test_statuses(server: Any, spec: ConnectorSpec, status: int) -> None:
    server.script = [server.answer(status, b"<html>no</html>", "text/html")]
    ask_all(spec, server.url)


@each_kind
def test_broken_transfers(server: Any, spec: ConnectorSpec) -> None:
    steps = (
        server.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        server.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        server.raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        server.raw(b"HTTP/1.1 999999 What\r\n\r\n"),
        server.raw(b""),
        server.reset,
        server.answer(200, b"no gzip", **{"Content-Encoding": "gzip"}),
    )
    for step in steps:
        server.script = [step]
        assert any(isinstance(found, ConnectorError) for found in ask_all(spec, server.url))
    server.script = [server.answer(200, gzip.compress(b"{}" * 5000)[:20], **{"Content-Encoding": "gzip"})]
    ask_all(spec, server.url)


@each_kind
def test_credentials_do_not_follow_to_another_host(server: Any, secure_server: Any, tmp_path: Path, spec: ConnectorSpec) -> None:
    other = secure_server(write_certificate(tmp_path / "certificate.pem"))
    other.script = [other.answer(200, b"{}")]
    for status in (301, 302, 303, 307, 308):
        server.script = [server.answer(status, b"", Location=f"{other.url}/taken?a={TOKEN}")]
        ask_all(spec, server.url)
    assert not any(TOKEN in str((r.headers, r.path, r.body)) for r in other.requests if "/taken" not in r.path)
    assert not any("authorization" in r.headers or "cookie" in r.headers for r in other.requests)


@each_kind
def test_a_certificate_that_does_not_verify_is_refused_and_a_private_one_can_be_named(
    secure_server: Any, tmp_path: Path, spec: ConnectorSpec
) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    server = secure_server(certificate)
    server.script = [server.answer(200, b"{}")]
    assert any(isinstance(found, ConnectorError) for found in ask_all(spec, server.url))
    assert not server.requests
    options = options_of(spec, server.url) | {"ca_file": str(certificate)}
    if "kubeconfig" in options:
        return  # its certificate is named in that file
    connector = registry.create(spec.kind, options, lambda: TOKEN)
    registry.probe(connector)
    connector.close()
    assert server.requests


@each_kind
def test_a_body_of_a_hundred_megabytes_is_cut_off(server: Any, spec: ConnectorSpec) -> None:
    def flood(connection: Any, request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\nContent-Type: application/json\r\n\r\n")
        part = b"[" + b" " * (1024 * 1024 - 1)
        for _ in range(100):
            connection.sendall(part)

    server.script = [flood]
    connector = make(spec, server.url)
    try:
        found = questions(spec)[0](connector)
    except ConnectorError as error:
        found = error
    finally:
        connector.close()
    assert isinstance(found, (BadPayload, Unreachable, OutcomeUnknown)), found


def test_the_sweep_is_whole() -> None:
    """Each port that a kind serves has its questions."""
    assert {port for spec in registry.CONNECTORS for port in spec.ports} <= set(PORTS.QUESTIONS)
    assert Node("n", "s", "e").healthy is None
    assert Probe("r").missing == ()
