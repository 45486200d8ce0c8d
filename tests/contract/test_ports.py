"""What each port promises, asked of every connector that needs no system of its own to answer."""

from __future__ import annotations

import inspect
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors import ports, registry
from cockpit.connectors.http_pace import Pace
from cockpit.connectors.ports import ConnectorSpec, DeployRequest, Message, Probe
from cockpit.domain.alerts import Matcher
from cockpit.domain.errors import ConnectorError, NotFound, Unreachable
from cockpit.domain.gates import Gate
from cockpit.domain.release import Node, Service, Version

URL = {"url": "http://127.0.0.1:1"}  # nothing may listen there
DEAD = Node("n", "s", "e", url="http://127.0.0.1:1")
OPTIONS: dict[str, dict[str, str]] = {
    "http-probe": {"timeout_s": "0.3"},
    "containers": {"nodes": "e/n=http://127.0.0.1:1", "image": "{service}"},
    "supervisor": {"nodes": "e/n=http://127.0.0.1:1"},
    "commands-ci": {f"{name}_command": "no-such-program {run}" for name in ("run", "stop", "log")}
    | {"runs_command": "no-such-program", "rerun_command": "no-such-program {run} {key}"},
    "commands-deploy": {f"{name}_command": "no-such-program" for name in ("fleet", "artifacts", "history", "deployment")}
    | {"deploy_command": "no-such-program {key}", "find_command": "no-such-program", "abort_command": "no-such-program {deployment}"},
    "argo-cd": {**URL, "environments": "e"},
    "kubernetes": {"kubeconfig": "/no-such-folder/kubeconfig", "environments": "e"},
    "argo-rollouts": {"kubeconfig": "/no-such-folder/kubeconfig", "environments": "e"},
    "git": {"path": "nowhere"},
    "github": {**URL, "repository": "venue/{service}"},
    "gitlab": {**URL, "project": "venue/{service}"},
    "gitea": {**URL, "repository": "venue/{service}"},
    "openmetrics": {},
    "venue-command": {"mode_command": "no-such-program", "set_command": "no-such-program {mode}"},
    "haproxy": {"socket": "/no-such-folder/socket"},
    "mail": {"host": "127.0.0.1", "port": "1", "sender": "a@playground.invalid", "to": "b@playground.invalid"},
}
SECRETS: dict[str, Callable[[], str]] = {"webhook": lambda: "a secret to sign with"}  # it asks nothing of anybody without one
REQUEST = DeployRequest("s", "e", "1", "d", "deploy", "a@playground.invalid")
QUESTIONS: dict[str, tuple[Callable[[Any], object], ...]] = {
    "SourceControl": (
        lambda c: c.versions(Service("s")),
        lambda c: c.changes(Service("s"), "", "v1"),
        lambda c: c.fingerprint(),
        lambda c: c.probe(),
    ),
    "CiSystem": (
        lambda c: c.runs("s"),
        lambda c: c.run("r"),
        lambda c: c.log("r", "u"),
        lambda c: c.rerun("r", "k"),
        lambda c: c.stop("r"),
        lambda c: c.probe(),
    ),
    "DeploymentApi": (
        lambda c: c.fleet("s", "e"),
        lambda c: c.artifacts("s"),
        lambda c: c.history("s", "e"),
        lambda c: c.deploy(REQUEST, "k"),
        lambda c: c.find("k"),
        lambda c: c.deployment("d"),
        lambda c: c.abort("d"),
        lambda c: c.probe(),
    ),
    "Reviews": (lambda c: c.reviews(Service("s"), (Version("s", "1", "v1", "a" * 40, 1),)), lambda c: c.probe()),
    "Gates": (lambda c: c.gates("s"), lambda c: c.decide(Gate("1", "s", "e", "1", "t"), True, "", "k"), lambda c: c.probe()),
    "Calendar": (lambda c: c.freezes(0, 1), lambda c: c.probe()),
    "Holds": (lambda c: c.hold("s", "e", "d", True, "r"),),
    "MetricsApi": (lambda c: c.read((DEAD,)),),
    "AlertsApi": (
        lambda c: c.alerts(),
        lambda c: c.silence((Matcher("a", "b"),), 4_000_000_000_000_000, "w", "r", "k"),
        lambda c: c.end_silence("s"),
        lambda c: c.probe(),
    ),
    "Traffic": (lambda c: c.weights("s", "e"), lambda c: c.set_weights("s", "e", {"n": 10}), lambda c: c.probe()),
    "Drain": (lambda c: c.drain("s", "e", "n"), lambda c: c.ready("s", "e", "n")),
    "Notifier": (lambda c: c.notify(Message("verdict", "t", "x"), "k"), lambda c: c.probe()),
    "Venue": (lambda c: c.mode("s", "e"), lambda c: c.set_mode("s", "e", "open"), lambda c: c.probe()),
}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked again is asked at once: the pauses between have tests of their own."""
    for module in ("http", "github"):
        monkeypatch.setattr(f"cockpit.connectors.{module}.Pace", lambda **parts: Pace(**parts, sleep=lambda seconds: None))


CASES = [(spec, port) for spec in registry.CONNECTORS for port in spec.ports]
IDS = [f"{spec.kind} as {port}" for spec, port in CASES]


def make(spec: ConnectorSpec, folder: Path) -> Any:
    options = OPTIONS.get(spec.kind, URL)
    return registry.create(spec.kind, {"path": str(folder / "nowhere")} if spec.kind == "git" else options, SECRETS.get(spec.kind, str))


@pytest.mark.parametrize(("spec", "port"), CASES, ids=IDS)
def test_nothing_there_is_a_connector_error_with_a_way_out(spec: ConnectorSpec, port: str, tmp_path: Path) -> None:
    connector = make(spec, tmp_path)
    for ask in QUESTIONS[port]:
        with pytest.raises(ConnectorError) as caught:
            ask(connector)
        assert isinstance(caught.value, (Unreachable, NotFound))
        assert caught.value.title
        assert caught.value.message
        assert caught.value.hint
    connector.close()


@pytest.mark.parametrize(("spec", "port"), CASES, ids=IDS)
def test_signatures_are_the_ports(spec: ConnectorSpec, port: str, tmp_path: Path) -> None:
    connector = make(spec, tmp_path)
    promised = getattr(ports, port)
    for name, method in inspect.getmembers(promised, inspect.isfunction):
        if name.startswith("_"):
            continue
        wanted = inspect.signature(method)
        found = inspect.signature(getattr(type(connector), name))
        assert list(found.parameters) == list(wanted.parameters), name
        assert [p.default for p in found.parameters.values()] == [p.default for p in wanted.parameters.values()], name
        assert found.return_annotation == wanted.return_annotation, name
    connector.close()


@pytest.mark.parametrize("spec", registry.CONNECTORS, ids=lambda s: s.kind)
def test_testing_a_connection_never_raises(spec: ConnectorSpec, tmp_path: Path) -> None:
    connector = make(spec, tmp_path)
    assert isinstance(registry.probe(connector), (Probe, ConnectorError))
    connector.close()
    connector.close()


@pytest.mark.parametrize("spec", registry.CONNECTORS, ids=lambda s: s.kind)
def test_a_connector_works_after_close(spec: ConnectorSpec, tmp_path: Path) -> None:
    if spec.kind == "git":
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        subprocess.run(["git", "init", "--quiet", str(tmp_path / "nowhere")], check=True, env=environment)
    connector = make(spec, tmp_path)
    first = registry.probe(connector)
    connector.close()
    again = registry.probe(connector)
    assert type(first) is type(again)
    connector.close()
