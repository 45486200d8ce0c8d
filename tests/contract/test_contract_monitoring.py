"""The contract suite on what measures and alerts: a real Prometheus that scrapes real nodes, the nodes themselves, a real Alertmanager."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from cockpit.connectors.alertmanager import Alertmanager
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.openmetrics import OpenMetricsScraper
from cockpit.connectors.prometheus import PrometheusMetrics
from cockpit.contract.alerts import AlertsContract, AlertsWorld
from cockpit.contract.metrics import MetricsContract, MetricsWorld
from cockpit.domain.release import Node
from tests.fakes.gate import Gate
from tests.fakes.monitoring import Running, alertmanager, exporter, prometheus

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=4, retries=0)
TOKEN = "canary-Token-4712"
SILENT = Node("c", "gateway", "staging", url="http://127.0.0.1:1")  # nothing may listen there


@pytest.fixture(scope="module")
def exporters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    folder = tmp_path_factory.mktemp("nodes")
    with exporter(folder / "a") as a, exporter(folder / "b") as b:
        yield a, b


def counting(exporters: tuple[Running, Running]) -> object:
    by_name = dict(zip("ab", exporters, strict=True))

    def count(node: Node, operation: str, seconds: float, n: int, errors: int) -> None:
        by_name[node.name].post("/", operation=operation, seconds=seconds, n=n, errors=errors)

    return count


@pytest.fixture(scope="module")
def engine_world(tmp_path_factory: pytest.TempPathFactory, exporters: tuple[Running, Running]) -> Iterator[MetricsWorld]:
    with ExitStack() as stack:
        targets = {e.address: (name, "gateway", "staging") for name, e in zip("ab", exporters, strict=True)}
        engine = stack.enter_context(prometheus(tmp_path_factory.mktemp("engine"), targets))
        gate = stack.enter_context(Gate(engine.port))
        client = HttpClient(gate.url, name="The metrics server", token=lambda: TOKEN, limits=LIMITS)
        connector = stack.enter_context(closing(PrometheusMetrics(client)))
        nodes = tuple(Node(name, "gateway", "staging", url=e.url) for name, e in zip("ab", exporters, strict=True))
        count = counting(exporters)
        for node in nodes:
            count(node, "place", 0.005, 1, 0)
        yield MetricsWorld(
            connector=connector,
            secret=TOKEN,
            deadline_s=8,
            nodes=nodes,
            silent=SILENT,
            count=count,
            forbid=gate.forbid,
            cut=gate.cut,
            hang=gate.hang,
            heal=gate.heal,
        )


class TestPrometheus(MetricsContract):
    @pytest.fixture
    def world(self, engine_world: MetricsWorld) -> MetricsWorld:
        self.read(engine_world)
        return engine_world


@pytest.fixture(scope="module")
def pages_world(exporters: tuple[Running, Running]) -> Iterator[MetricsWorld]:
    with ExitStack() as stack:
        gates = [stack.enter_context(Gate(e.port)) for e in exporters]
        connector = stack.enter_context(closing(OpenMetricsScraper(token=lambda: TOKEN, limits=LIMITS)))

        def all_gates(hook: str) -> object:
            return lambda: [getattr(gate, hook)() for gate in gates]

        yield MetricsWorld(
            connector=connector,
            secret=TOKEN,
            deadline_s=8,
            nodes=tuple(Node(name, "gateway", "staging", url=gate.url) for name, gate in zip("ab", gates, strict=True)),
            silent=SILENT,
            count=counting(exporters),
            forbid=all_gates("forbid"),
            cut=all_gates("cut"),
            hang=all_gates("hang"),
            heal=all_gates("heal"),
        )


class TestOpenMetrics(MetricsContract):
    @pytest.fixture
    def world(self, pages_world: MetricsWorld) -> MetricsWorld:
        return pages_world


def moment(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{int(at_s % 1 * 1e6):06d}Z"


def told(server: Running, name: str, labels: dict[str, str], end_s: float) -> None:
    """Tell Alertmanager of an alert, as a metrics engine does."""
    begin_s = time.time() if end_s > time.time() else end_s - 60
    alert = {"labels": {"alertname": name} | labels, "annotations": {}, "startsAt": moment(begin_s), "endsAt": moment(end_s)}
    request = urllib.request.Request(f"{server.url}/api/v2/alerts", json.dumps([alert]).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


@pytest.fixture(scope="module")
def alerts_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertsWorld]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as server, Gate(server.port) as gate:
        client = HttpClient(gate.url, name="The alerting system", token=lambda: TOKEN, limits=LIMITS)
        with closing(Alertmanager(client)) as connector:
            yield AlertsWorld(
                connector=connector,
                secret=TOKEN,
                deadline_s=8,
                shared=True,
                fire=lambda name, labels: told(server, name, labels, time.time() + 300),
                resolve=lambda name, labels: told(server, name, labels, time.time() - 1),
                forbid=gate.forbid,
                cut=gate.cut,
                hang=gate.hang,
                lose=gate.lose,
                heal=gate.heal,
            )


class TestAlertmanager(AlertsContract):
    @pytest.fixture
    def world(self, alerts_world: AlertsWorld) -> AlertsWorld:
        return alerts_world
