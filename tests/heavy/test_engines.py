"""Other PromQL engines and other versions against the one connector. Run by `make test-heavy`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.ports import Probe
from cockpit.connectors.prometheus import PrometheusMetrics, Selection
from cockpit.contract.metrics import MetricsContract, MetricsWorld
from cockpit.domain.errors import BadPayload, Rejected, Unreachable
from cockpit.domain.metrics import Histogram
from cockpit.domain.release import Node
from tests.fakes.monitoring import exporter, prometheus, victoria_metrics, wait_until
from tests.fakes.other_suites import binary_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

US = 1_000_000
ENGINES = [
    ("prometheus", "trixie"),
    ("prometheus", "forky"),
    ("victoria-metrics", "bookworm"),
    ("victoria-metrics", "trixie"),
    ("victoria-metrics", "forky"),
]
LIMITS = Limits(connect_timeout_s=2.0, read_timeout_s=5.0, deadline_s=10.0)


@pytest.fixture(scope="module", params=ENGINES, ids=lambda e: f"{e[0]} of {e[1]}")
def shared_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetricsWorld]:
    package, suite = request.param
    server = binary_of(package, suite)
    folder: Path = tmp_path_factory.mktemp("engine")
    with ExitStack() as stack:
        exporters = {name: stack.enter_context(exporter(folder / name)) for name in ("a", "b")}
        targets = {e.address: (name, "gateway", "staging") for name, e in exporters.items()}
        start = prometheus if package == "prometheus" else victoria_metrics
        engine = stack.enter_context(start(folder / "engine", targets, server=server))
        nodes = tuple(Node(name, "gateway", "staging", url=e.url) for name, e in exporters.items())

        def count(node: Node, operation: str, seconds: float, n: int, errors: int) -> None:
            exporters[node.name].post("/", operation=operation, seconds=seconds, n=n, errors=errors)

        for node in nodes:
            count(node, "place", 0.005, 90, 0)
            count(node, "place", 0.05, 10, 3)
        made = PrometheusMetrics(HttpClient(engine.url, limits=LIMITS), Selection(), "30")
        assert wait_until(lambda: len(quietly(made, nodes)) == len(nodes), 60), "the engine sees both nodes"
        silent = Node("silent", "gateway", "staging", url="http://127.0.0.1:1")
        yield MetricsWorld(connector=made, nodes=nodes, silent=silent, count=count, lag_s=60.0)
        made.close()


def quietly(made: PrometheusMetrics, nodes: tuple[Node, ...]) -> Any:
    """What it answers, nothing while it knows no sample yet."""
    try:
        return made.read(nodes)
    except (Unreachable, BadPayload):
        return ()


class TestEngines(MetricsContract):
    @pytest.fixture
    def world(self, shared_world: MetricsWorld) -> MetricsWorld:
        return shared_world

    def test_the_same_numbers_from_each(self, world: MetricsWorld, eventually: Callable[..., Any]) -> None:
        first = eventually(
            lambda: (
                (r := quietly(world.connector, world.nodes))
                and r[0].operations.get("place")
                and r[0].operations["place"].total == 100
                and r
            ),
            60,
        )
        assert first[0].operations["place"] == Histogram((0.001, 0.01, 0.1, math.inf), (0.0, 90.0, 100.0, 100.0), 0.0, 3.0)
        assert abs(first[0].at_us - time.time_ns() // 1000) < 20 * US
        later = eventually(lambda: (r := world.connector.read(world.nodes)) and r[0].at_us > first[0].at_us and r, 30)
        assert 0.5 * US < later[0].at_us - first[0].at_us < 5 * US
        assert isinstance(world.connector.probe(), Probe)

    def test_a_question_it_cannot_read(self, world: MetricsWorld) -> None:
        broken = PrometheusMetrics(world.connector._client, Selection(selector="job="), "30")
        with pytest.raises(Rejected) as caught:
            broken.read(world.nodes)
        assert caught.value.status in (400, 422)
