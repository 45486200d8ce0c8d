"""A venue's whole stack for one service, all of it real: git, hosts run by supervisord, HAProxy, Prometheus, Alertmanager, Buildbot."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.fakes import matching_rig, monitoring, supervisord
from tests.fakes.buildbot import Buildbot, buildbot
from tests.fakes.matching_rig import BROKEN, ENVIRONMENTS, GOOD
from tests.fakes.monitoring import wait_until

SERVICE, PLACE = "matching", "production"
NODES = ("1", "2")
TOKENS = {"HOSTS_TOKEN": supervisord.PASSWORD}

HAPROXY = """
global
  stats socket {folder}/admin mode 600 level admin
  maxconn 200
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout check 1s
frontend callers
  bind 127.0.0.1:{front}
  default_backend matching-production
backend matching-production
  balance random
  option httpchk GET /healthz
  default-server check inter 200ms fall 2 rise 1 observe layer4
  option redispatch
  retries 3
  retry-on conn-failure empty-response
{servers}
"""

RULES = """
groups:
- name: matching
  interval: 1s
  rules:
  - alert: ErrorShare
    expr: >
      sum by (service, environment, node) (rate(http_server_errors_total[6s]))
      / sum by (service, environment, node) (rate(http_server_request_duration_seconds_count[6s])) > 0.02
    for: 2s
    labels: {severity: critical}
    annotations: {summary: "more than 2 % of the answers of node {{ $labels.node }} are errors"}
"""

SETTINGS = """
[me]
name = "Rae"
email = "rae@playground.invalid"
[services.matching]
repository = "{repository}"
tag_pattern = "v{{version}}"
[environments.production]
rank = 1
production = true
approvals = 0
strategy = "canary"
[strategies.canary]
steps = [
    {{ do = "weight", nodes = ["*2"], percent = 10 }},
    {{ do = "deploy", nodes = ["*2"] }},
    {{ do = "hold" }},
    {{ do = "deploy", nodes = ["rest"] }},
    {{ do = "weight", nodes = ["all"], percent = 100 }},
]
[connections.buildbot]
kind = "buildbot"
url = "{buildbot}"
builder = "{{service}}"
[connections.hosts]
kind = "supervisor"
nodes = "{hosts}"
user = "{user}"
token_env = "HOSTS_TOKEN"
address = "{address}"
[connections.balancer]
kind = "haproxy"
socket = "{socket}"
[connections.prometheus]
kind = "prometheus"
url = "{prometheus}"
node_label = "node"
service_label = "service"
environment_label = "environment"
[connections.alertmanager]
kind = "alertmanager"
url = "{alertmanager}"
[poll]
interval_s = 1.0
"""


class Stack:
    """What runs, and where: `data` is a cockpit's data directory, `front` the port that callers know."""

    def __init__(self, folder: Path, front: int, nodes: dict[str, supervisord.SupervisedNode]) -> None:
        self.front, self.nodes = front, nodes
        self.data = folder / "data"


@contextmanager
def real_stack(folder: Path) -> Iterator[Stack]:
    """Everything up, running the good release, its settings in `data`; ended whatever happens."""
    for version in (GOOD, BROKEN):
        matching_rig.environment_of(version)
    repository = matching_rig.make_repository(folder / "repo")
    for version in (GOOD, BROKEN):
        matching_rig.export(repository, version, folder / "releases" / version)
    with ExitStack() as stack:
        base = _ports()
        ports = {name: base + int(name) for name in NODES}
        nodes = stack.enter_context(
            supervisord.supervised(
                folder / "hosts",
                NODES,
                folder / "releases",
                GOOD,
                service=SERVICE,
                command=f"{sys.executable} -I -S serve {{port}}",
                environment={"ENVIRONMENTS": str(ENVIRONMENTS)},
                ports=ports,
            )
        )
        socket_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hap")))  # a socket's path has little room
        front = supervisord.free_port()
        stack.enter_context(_haproxy(socket_folder, front, ports))
        alerts = stack.enter_context(monitoring.alertmanager(folder / "alertmanager"))
        targets = {f"127.0.0.1:{ports[name]}": (name, SERVICE, PLACE) for name in NODES}
        metrics = stack.enter_context(monitoring.prometheus(folder / "prometheus", targets, RULES, alerts.address))
        builds = stack.enter_context(_built(folder / "buildbot", repository))
        made = Stack(folder, front, nodes)
        made.data.mkdir()
        text = SETTINGS.format(
            repository=repository,
            buildbot=builds.url,
            hosts=" ".join(f"{PLACE}/{name}={node.url}" for name, node in nodes.items()),
            user=supervisord.USER,
            address=f"http://127.0.0.1:{base // 10}{{node}}",
            socket=socket_folder / "admin",
            prometheus=metrics.url,
            alertmanager=alerts.url,
        )
        (made.data / "cockpit.toml").write_text(text, "utf-8")
        yield made


def _ports() -> int:
    """A number that ends in 0 with the two ports after it free: a node's address is told by a pattern."""
    while True:
        base = supervisord.free_port() // 10 * 10
        try:
            for name in NODES:
                with socket.socket() as held:
                    held.bind(("127.0.0.1", base + int(name)))
        except OSError:
            continue
        return base


@contextmanager
def _haproxy(folder: Path, front: int, ports: dict[str, int]) -> Iterator[None]:
    unpacked: Any = importlib.import_module("tests.connectors.test_haproxy").unpacked
    program, extra = unpacked()
    servers = "\n".join(f"  server {name} 127.0.0.1:{port} weight 100" for name, port in ports.items())
    (folder / "config").write_text(HAPROXY.format(folder=folder, front=front, servers=servers))
    with (folder / "log").open("wb") as log:
        command = [program, "-db", "-f", str(folder / "config")]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **extra})
    try:
        assert wait_until(lambda: _answers(front), 20), (folder / "log").read_text()
        yield
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def _built(folder: Path, repository: Path) -> Iterator[Buildbot]:
    """Buildbot, which has built both releases."""
    check = [sys.executable, "check", str(ENVIRONMENTS), "--junitxml=junit.xml"]
    with buildbot(folder, repository, {SERVICE: {"checks": check}}) as running:
        for version in (GOOD, BROKEN):
            assert running.wait(running.force(SERVICE, f"v{version}", version=version)) == 0, "the checks of a release failed"
        yield running
