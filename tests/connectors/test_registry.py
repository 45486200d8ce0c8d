from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors import registry
from cockpit.connectors.ports import (
    AlertsApi,
    Calendar,
    CiSystem,
    ConnectorSpec,
    DeploymentApi,
    Drain,
    Gates,
    Holds,
    MetricsApi,
    Notifier,
    Probe,
    Reviews,
    SourceControl,
    Traffic,
    Venue,
)
from cockpit.domain.errors import BadPayload, ConfigError, ConnectorError, NotFound, Unreachable

PORTS = {
    "AlertsApi": AlertsApi,
    "Calendar": Calendar,
    "SourceControl": SourceControl,
    "CiSystem": CiSystem,
    "DeploymentApi": DeploymentApi,
    "Drain": Drain,
    "Gates": Gates,
    "Holds": Holds,
    "MetricsApi": MetricsApi,
    "Notifier": Notifier,
    "Reviews": Reviews,
    "Traffic": Traffic,
    "Venue": Venue,
}
OPTIONS = {
    "github": {"url": "http://127.0.0.1:1", "repository": "venue/{service}"},
    "containers": {"nodes": "e/n=http://127.0.0.1:1", "image": "{service}"},
    "supervisor": {"nodes": "e/n=http://127.0.0.1:1"},
    "http-probe": {},
    "commands-ci": {"runs_command": "true", "run_command": "true {run}"},
    "commands-deploy": {f"{name}_command": "true" for name in ("fleet", "artifacts", "history", "find", "deployment")}
    | {"deploy_command": "true {key}"},
    "venue-command": {"mode_command": "true", "set_command": "true {mode}"},
    "kubernetes": {},
    "argo-rollouts": {},
    "git": {"path": "."},
    "gitlab": {"url": "http://127.0.0.1:1", "project": "venue/{service}"},
    "gitea": {"url": "http://127.0.0.1:1", "repository": "venue/{service}"},
    "openmetrics": {},
    "haproxy": {"socket": "/no-such-folder/socket"},
    "mail": {"host": "127.0.0.1", "port": "1", "sender": "a@playground.invalid", "to": "b@playground.invalid"},
}
URL = {"url": "http://127.0.0.1:1"}


def none() -> str:
    return ""


@pytest.mark.parametrize("spec", registry.CONNECTORS, ids=lambda s: s.kind)
def test_what_is_created_serves_its_ports(spec: ConnectorSpec) -> None:
    made = registry.create(spec.kind, OPTIONS.get(spec.kind, URL), none)
    for port in spec.ports:
        assert isinstance(made, PORTS[port])
    made.close()


def test_only_the_open_deployment_interface_itself_lets_one_in_at_a_time() -> None:
    assert [spec.kind for spec in registry.CONNECTORS if spec.exclusive] == ["deployment-v1"]


def test_unknown_kinds_name_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("deployment-v2", {}, none)
    assert "deployment-v1" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        registry.spec("§§§")
    assert "openmetrics" in caught.value.hint


def test_options_are_checked_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("ci-v1", {"ulr": "x", "ca_fil": "y"}, none)
    assert len(caught.value.problems) == 3
    assert "did you mean “url”" in str(caught.value.problems)


def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError):
        registry.create("ci-v1", {"url": "nonsense"}, none)
    with pytest.raises(ConfigError):
        registry.create("ci-v1", {**URL, "ca_file": "/nonexistent.pem"}, none)


def test_secrets_are_no_options() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("ci-v1", {**URL, "token": "hunter2"}, none)
    assert "hunter2" not in str(caught.value)


def test_defaults_reach_the_connector() -> None:
    made = registry.create("openmetrics", {"histogram": "rpc_seconds"}, none)
    assert made._names.histogram == "rpc_seconds"
    assert made._names.operation_label == "operation"
    assert made._names.volatility == ""
    assert registry.create("openmetrics", {"volatility": "book_depth"}, none)._names.volatility == "book_depth"


def test_probe_answers_whatever_happens(server: Any, closed_port: int, tmp_path: Path) -> None:
    server.script = [server.answer(200, b'{"name":"CI","version":"1","identity":"me"}'), server.answer(401)]
    made = registry.create("ci-v1", {"url": server.url}, none)
    assert registry.probe(made) == Probe("CI 1", "me")
    assert isinstance(registry.probe(made), ConnectorError)
    made.close()
    assert isinstance(registry.probe(registry.create("git", {"path": str(tmp_path / "x")}, none)), NotFound)

    class Broken:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def probe(self) -> Probe:
            raise self.error

    assert isinstance(registry.probe(Broken(KeyError("x"))), BadPayload)
    assert isinstance(registry.probe(Broken(Unreachable("x"))), Unreachable)
    assert type(registry.probe(Broken(ConfigError("x", hint="y")))) is ConnectorError


class Entry:
    def __init__(self, name: str, found: Any) -> None:
        self.name, self.found = name, found

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    good = ConnectorSpec("third", "Third", ("CiSystem",), (), lambda options, secret: "made")
    entries = [
        Entry("a-good", good),
        Entry("broken", ImportError("no\x1b such module")),
        Entry("odd", 7),
        Entry("taken", ConnectorSpec("git", "Git", (), (), lambda o, s: None)),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == registry.ENTRY_POINTS else [])
    specs, problems = registry.installed()
    assert specs == (good,)
    assert len(problems) == 3
    assert all(p.hint and "\x1b" not in str(p) for p in problems)
    assert registry.create("third", {}, none) == "made"
    assert [s.kind for s in registry.specs()][-1] == "third"


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    code = """
import sys
import cockpit.connectors.git_local, cockpit.connectors.http, cockpit.connectors.openmetrics
from cockpit.connectors import registry
url = {"url": "http://127.0.0.1:1"}
wanted = {"ci-v1": url, "git": {"path": "."}, "openmetrics": {}, "icalendar": {"path": "/x.ics"}, "prometheus": url, "alertmanager": url}
for kind, options in wanted.items():
    registry.create(kind, options, str)
print([m for m in ("requests", "urllib3", "git", "prometheus_client", "keyring", "numpy", "icalendar", "dateutil") if m in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert found.stdout.strip() == "[]"
