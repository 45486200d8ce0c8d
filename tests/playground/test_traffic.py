"""Traffic: the flows by themselves, then the real process against real nodes and a deployer that only names them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.playground import processes, traffic
from cockpit.playground.flows import MAKERS, REGIMES, Call, OrderFlow, make_flow
from cockpit.playground.repository import make_repository
from cockpit.playground.server import Server
from tests.fakes.venue import FakeDeployer, Node, export, running

Eventually = Callable[..., Any]


# -- flows --


@pytest.mark.parametrize("service", traffic.SERVICES)
@pytest.mark.parametrize("regime", REGIMES)
def test_flow_is_the_same_for_the_same_seed(service: str, regime: str) -> None:
    one, two = (make_flow(service, "seed", "run") for _ in range(2))
    assert [one.next(regime) for _ in range(200)] == [two.next(regime) for _ in range(200)]


def answered(flow: OrderFlow, regime: str, count: int) -> list[Call]:
    """Calls of a flow whose orders all rest."""
    calls = []
    for number in range(count):
        calls.append(flow.next(regime))
        flow.learn(calls[-1], 201, json.dumps({"status": "resting", "order_id": f"o{number}"}).encode())
    return calls


def makers_in(calls: list[Call]) -> set[str]:
    return {call.path.split("/")[2] for call in calls if call.path.endswith("/quotes")}


def test_volatile_book_is_deep_after_some_seconds_of_flow() -> None:
    flow = OrderFlow("seed", "run")
    calls = answered(flow, "volatile", round(15 * flow.rate_per_s("volatile")))
    assert len(makers_in(calls)) > 50
    sizes = [len(json.loads(call.body)["quotes"]) for call in calls if call.path.endswith("/quotes")]
    assert set(sizes) == {64}


def test_calm_after_volatile_cancels_all_makers_within_seconds() -> None:
    flow = OrderFlow("seed", "run")
    makers = makers_in(answered(flow, "volatile", 600))
    calls = answered(flow, "calm", round(4 * flow.rate_per_s("calm")))
    assert flow.rate_per_s("calm") == 10.0 or len(calls) < 121
    calls += answered(flow, "calm", round(4 * flow.rate_per_s("calm")))
    cancelled = {call.path.split("/")[2] for call in calls if call.method == "DELETE" and call.path.endswith("/orders")}
    assert makers <= cancelled
    assert makers_in(calls) <= {MAKERS[0]}
    assert flow.rate_per_s("calm") == 10.0


def test_calm_flow_never_keeps_many_orders() -> None:
    calls = answered(OrderFlow("seed", "run"), "calm", 500)
    placed = sum(call.method == "POST" for call in calls)
    cancelled = sum(call.path.startswith("/orders/") and call.method == "DELETE" for call in calls)
    assert 0 <= placed - cancelled <= 8


def test_crash_moves_prices_farther_than_calm() -> None:
    def width(regime: str) -> float:
        calls = answered(OrderFlow("seed", "run"), regime, 1500)
        prices = [float(json.loads(call.body)["price"]) for call in calls if call.method == "POST"]
        return max(prices) - min(prices)

    assert width("crash") > 3 * width("calm")
    assert width("volatile") > 3 * width("calm")


def test_client_ids_differ_from_those_of_an_earlier_process() -> None:
    def ids(run: str) -> set[str]:
        calls = answered(OrderFlow("seed", run), "crash", 300)
        return {json.loads(call.body)["client_id"] for call in calls if call.method == "POST"}

    assert not ids("a") & ids("b")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:80", "https://127.0.0.1:1", "http://127.0.0.1", "http://[", "", "http://127.0.0.1.evil:80"]
)
def test_nothing_but_loopback_gets_traffic(url: str) -> None:
    assert not traffic.is_loopback(url)


# -- the process --


class Control:
    """The traffic process and a client of its control interface."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = processes.start_module("traffic", [], directory)

    @property
    def port(self) -> int:
        file = processes.read_run_file(self.directory, "traffic")
        return int(file["port"]) if file.get("pid") == self.process.pid else 0

    def call(self, method: str, body: Any = None, content_type: str = "application/json", path: str = "/v1/regime") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def state(self) -> Any:
        return self.call("GET")[1]

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "playground"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("traffic")
    make_repository(target / "repo")
    return export(target / "repo", "order-gateway/v1.6.1", target)


@pytest.fixture
def nodes(tree: Path) -> Iterator[list[Node]]:
    with running(tree) as one, running(tree) as two:
        yield [one, two]


@pytest.fixture
def deployer(directory: Path) -> Iterator[FakeDeployer]:
    fake = FakeDeployer(directory)
    yield fake
    fake.close()


@pytest.fixture
def control(directory: Path, eventually: Eventually) -> Iterator[Control]:
    started = Control(directory)
    try:
        eventually(lambda: started.port, message="the traffic process is up")
        yield started
    finally:
        started.end()


def test_without_a_deployer_it_runs_and_sends_nothing(control: Control) -> None:
    state = control.state()
    assert (state["regime"], state["sent"], state["nodes"]) == ("calm", 0, {})
    assert control.end() == 0


@pytest.mark.parametrize(
    ("method", "body", "content_type", "path", "status"),
    [
        ("PUT", {"regime": "party"}, "application/json", "/v1/regime", 422),
        ("PUT", {"regime": 3}, "application/json", "/v1/regime", 400),
        ("PUT", {"regime": "calm", "more": 1}, "application/json", "/v1/regime", 400),
        ("PUT", {"regime": "calm"}, "text/plain", "/v1/regime", 415),
        ("DELETE", None, "application/json", "/v1/regime", 405),
        ("GET", None, "application/json", "/v1/other", 404),
    ],
)
def test_bad_control_requests_are_refused(method: str, body: Any, content_type: str, path: str, status: int) -> None:
    totals = traffic.Totals()
    with Server(traffic.make_router(totals)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": content_type})
        answer = connection.getresponse()
        assert (answer.status, set(json.loads(answer.read()))) == (status, {"title", "message", "hint"})
        connection.close()
        server.shutdown()
        thread.join()
    assert totals.regime == "calm"


def test_second_process_in_one_playground_is_refused(control: Control, directory: Path) -> None:
    second = processes.start_module("traffic", [], directory)
    assert second.wait(20) == 1
    assert processes.read_run_file(directory, "traffic")["pid"] == control.process.pid


def test_run_file_of_a_dead_deployer_is_ignored(control: Control, directory: Path, nodes: list[Node], eventually: Eventually) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    fake = FakeDeployer(directory)
    try:
        fake.urls = {"order-gateway": [nodes[0].url]}
        alive = processes.read_run_file(directory, "deployer")
        processes.write_atomic(directory / "run" / "deployer.json", json.dumps({**alive, "pid": child.pid}).encode())
        seen = control.state()["nodes"]
        assert not seen.get("order-gateway")
        processes.write_run_file(directory, "deployer", alive["port"])
        eventually(lambda: control.state()["nodes"].get("order-gateway") == [nodes[0].url])
    finally:
        fake.close()


def test_regimes_fill_and_drain_the_books(deployer: FakeDeployer, nodes: list[Node], control: Control, eventually: Eventually) -> None:
    deployer.urls = {"order-gateway": [node.url for node in nodes]}
    eventually(lambda: control.state()["answered"] > 20, message="calm flow")
    assert all(node.depth() < 200 for node in nodes)
    status, answer = control.call("PUT", {"regime": "volatile"})
    assert (status, answer["regime"]) == (200, "volatile")
    eventually(lambda: all(node.depth() > 2000 for node in nodes), 40, "deep books")
    since_us = control.state()["since_us"]
    assert control.call("PUT", {"regime": "volatile"})[1]["since_us"] == since_us
    control.call("PUT", {"regime": "calm"})
    eventually(lambda: all(node.depth() < 100 for node in nodes), 20, "shallow books")
    state = control.state()
    assert (state["errors"], state["latency"]["order-gateway"]["count"] > 100) == (0, True)


def test_flow_goes_on_over_replaced_nodes_and_a_moved_deployer(
    deployer: FakeDeployer, directory: Path, nodes: list[Node], control: Control, tree: Path, eventually: Eventually
) -> None:
    deployer.urls = {"order-gateway": [nodes[0].url]}
    eventually(lambda: control.state()["answered"] > 5)
    deployer.close()
    moved = FakeDeployer(directory)
    try:
        moved.urls = {"order-gateway": [nodes[1].url]}
        eventually(lambda: control.state()["nodes"]["order-gateway"] == [nodes[1].url], message="the moved deployer")
        nodes[1].end()
        eventually(lambda: control.state()["errors"] > 0, message="the node is gone")
        with running(tree, port=nodes[1].port) as again:
            eventually(lambda: 'count{operation="get_book"} 0' not in again.text("GET", "/metrics")[1], message="flow to the new process")
        moved.urls = {}
        eventually(lambda: control.state()["nodes"]["order-gateway"] == [], message="no node left")
    finally:
        moved.close()


def asked(node: Node) -> int:
    """How many requests the node has answered in all."""
    lines = node.text("GET", "/metrics")[1].splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("http_server_request_duration_seconds_count"))


def test_shares_of_the_traffic_are_followed_within_seconds(
    deployer: FakeDeployer, nodes: list[Node], control: Control, eventually: Eventually
) -> None:
    one, two = nodes
    deployer.urls = {"order-gateway": [node.url for node in nodes]}
    control.call("PUT", {"regime": "crash"})
    eventually(lambda: min(asked(node) for node in nodes) > 30, message="both get their flow")
    deployer.weights = {one.url: 0, two.url: 100}
    seen: list[int] = []

    def silent() -> bool:
        """The first node got nothing while the second got forty requests."""
        before = asked(one), asked(two)
        eventually(lambda: asked(two) - before[1] > 40, message="the second node gets the flow")
        seen[:] = [asked(one) - before[0], asked(two) - before[1]]
        return seen[0] == 0

    eventually(silent, 30, "nothing goes to the first node")
    deployer.weights = {one.url: 90, two.url: 10}

    def mostly() -> bool:
        before = asked(one), asked(two)
        eventually(lambda: asked(one) - before[0] > 150, 40, "the first node gets the flow")
        return asked(one) - before[0] > 3 * (asked(two) - before[1])

    eventually(mostly, 40, "nine tenths go to the first node")


def test_node_that_does_not_answer_holds_few_requests(
    deployer: FakeDeployer, nodes: list[Node], control: Control, eventually: Eventually
) -> None:
    deployer.urls = {"order-gateway": [node.url for node in nodes]}
    control.call("PUT", {"regime": "crash"})
    eventually(lambda: control.state()["answered"] > 20)
    os.kill(nodes[0].process.pid, signal.SIGSTOP)
    try:
        eventually(lambda: control.state()["dropped"] > 20, message="requests that could not be sent are counted")
        before = control.state()["answered"]
        eventually(lambda: control.state()["answered"] > before + 20, message="the other node still gets its flow")
        state = control.state()
        assert state["sent"] - state["answered"] - state["errors"] <= 2 * traffic.IN_FLIGHT_LIMIT
    finally:
        os.kill(nodes[0].process.pid, signal.SIGCONT)


def test_port_is_kept_over_a_restart(control: Control, directory: Path, eventually: Eventually) -> None:
    port = control.port
    control.process.kill()
    control.process.wait(10)
    again = Control(directory)
    try:
        assert eventually(lambda: again.port) == port
    finally:
        # it names its port before it minds signals: one that comes between ends it as well
        assert again.end() in (0, -signal.SIGTERM)
