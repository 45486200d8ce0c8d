"""The PromQL connector: its faults, and a real Prometheus that scrapes real nodes."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import registry
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.ports import MetricsApi, Probe
from cockpit.connectors.prometheus import PrometheusMetrics, Selection, Series, parse_build, parse_reading, parse_series
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, NotFound, RateLimited, Rejected, Unreachable
from cockpit.domain.metrics import Histogram
from cockpit.domain.release import Node
from tests.fakes.monitoring import Running, exporter, prometheus, victoria_metrics

QUICK = Limits(connect_timeout_s=0.5, read_timeout_s=0.5, deadline_s=1.0, retries=0)
PATIENT = Limits(connect_timeout_s=5, read_timeout_s=10, deadline_s=15)
A = Node("a", "gateway", "staging", url="http://127.0.0.1:8001")
B = Node("b", "gateway", "staging", url="http://127.0.0.1:8002")
BOUNDS = ("0.01", "0.1", "+Inf")
T0 = 1_800_000_000.0
US = 1_000_000


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> bytes:
    result = [{"metric": labels, "values": values} for labels, values in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def buckets(counts: tuple[str, ...], at_s: float = T0, **labels: str) -> list[tuple[dict[str, str], list[tuple[float, str]]]]:
    labels = {"instance": "127.0.0.1:8001", "operation": "place"} | labels
    return [(labels | {"le": le}, [(at_s, count)]) for le, count in zip(BOUNDS, counts, strict=True)]


def ask(server: Any, body: bytes, errors: bytes | None = None, nodes: tuple[Node, ...] = (A,)) -> Any:
    server.script = [server.answer(200, body), server.answer(200, matrix() if errors is None else errors)]
    connector = PrometheusMetrics(HttpClient(server.url, limits=QUICK))
    try:
        return connector.read(nodes)
    finally:
        connector.close()


def test_buckets_and_errors_become_a_reading_with_the_time_of_the_scrape(server: Any) -> None:
    errors = matrix(({"instance": "127.0.0.1:8001", "operation": "place"}, [(T0, "2")]))
    (reading,) = ask(server, matrix(*buckets(("1", "4", "5"))), errors)
    assert (reading.node, reading.service, reading.environment) == ("a", "gateway", "staging")
    assert reading.at_us == T0 * US
    assert reading.operations == {"place": Histogram((0.01, 0.1, math.inf), (1.0, 4.0, 5.0), 0.0, 2.0)}


def test_two_questions_for_all_nodes(server: Any) -> None:
    both = buckets(("1", "4", "5")) + buckets(("2", "2", "2"), instance="127.0.0.1:8002")
    readings = ask(server, matrix(*both), nodes=(B, A))
    assert [r.node for r in readings] == ["b", "a"]
    queries = [parse_qs(urlsplit(r.path).query)["query"][0] for r in server.requests]
    assert len(queries) == 2
    assert 'http_server_request_duration_seconds_bucket",instance=~"([^/]*//)?(127\\\\.0\\\\.0\\\\.1:8001|127' in queries[0]
    assert queries[0].endswith("[60000ms]")


def test_a_node_that_is_missing_is_no_error_while_another_answers(server: Any) -> None:
    assert [r.node for r in ask(server, matrix(*buckets(("1", "4", "5"))), nodes=(A, B))] == ["a"]


def test_series_that_differ_in_other_labels_are_added(server: Any) -> None:
    two = buckets(("1", "4", "5"), method="GET") + buckets(("1", "1", "2"), method="POST")
    (reading,) = ask(server, matrix(*two))
    assert reading.operations["place"].counts == (2.0, 5.0, 7.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>log in</html>",
        b"[]",
        b"{}",
        b'{"status":"success"}',
        b'{"status":"error","errorType":"timeout","error":"query timed out"}',
        b'{"status":"success","data":{"resultType":"matrix","result":null}}',
        b'{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":1},"values":[]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["1","1"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,1]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"one"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1e300,"1"]]}]}}',
        matrix(*buckets(("1", "NaN", "5"))),
        matrix(*buckets(("5", "4", "3"))),
        matrix(*buckets(("1", "2", "-3"))),
        matrix(*buckets(("1", "2", "+Inf"))),
        matrix(*buckets(("1", "4", "5"))[:2]),
        matrix(*buckets(("1", "4", "5"), le2="x"), ({"instance": "127.0.0.1:8001", "operation": "place"}, [(T0, "1")])),
        matrix(*buckets(("1", "4", "5"), method="GET"), *buckets(("1", "1", "2"), method="POST")[1:]),
    ],
)
def test_what_makes_no_sense(server: Any, body: bytes) -> None:
    with pytest.raises(BadPayload) as caught:
        ask(server, body)
    assert caught.value.hint


def test_an_error_count_that_is_none(server: Any) -> None:
    with pytest.raises(BadPayload):
        ask(server, matrix(*buckets(("1", "4", "5"))), matrix(({"instance": "127.0.0.1:8001"}, [(T0, "NaN")])))


def test_a_broken_node_takes_no_other_with_it(server: Any) -> None:
    both = buckets(("NaN", "4", "5")) + buckets(("2", "2", "2"), instance="127.0.0.1:8002")
    assert [r.node for r in ask(server, matrix(*both), nodes=(A, B))] == ["b"]


@pytest.mark.parametrize("kind", ["matrix", "vector"])
def test_nothing_found(server: Any, kind: str) -> None:
    body = json.dumps({"status": "success", "data": {"resultType": kind, "result": []}}).encode()
    with pytest.raises(Unreachable) as caught:
        ask(server, body)
    assert "stale_s" in caught.value.hint


def test_no_nodes_and_nodes_nobody_can_tell(server: Any) -> None:
    server.script = [server.answer(500)]
    connector = PrometheusMetrics(HttpClient(server.url))
    assert connector.read(()) == ()
    with pytest.raises(Unreachable):
        connector.read((Node("x", "s", "e"),))
    with pytest.raises(Unreachable):
        connector.read((A, msgspec.structs.replace(A, name="twin")))
    assert server.requests == []
    connector.close()


@pytest.mark.parametrize(
    ("status", "error"), [(400, Rejected), (422, Rejected), (401, AuthFailed), (404, NotFound), (429, RateLimited), (503, Unreachable)]
)
def test_refusals(server: Any, status: int, error: type[Exception]) -> None:
    server.script = [server.answer(status, b'{"status":"error","errorType":"bad_data","error":"unexpected end"}')]
    connector = PrometheusMetrics(HttpClient(server.url, limits=QUICK))
    with pytest.raises(error):
        connector.read((A,))
    connector.close()


def series(counts: list[float | None], step: int = 1, **labels: str) -> Series:
    return Series(labels, {(at + 1) * step * US: count for at, count in enumerate(counts) if count is not None})


def test_half_a_scrape_is_not_taken_for_a_restart() -> None:
    whole = [series([1, 2], le="+Inf", operation="place"), series([3, None], le="+Inf", operation="cancel")]
    reading = parse_reading(whole, [], A, Selection())
    assert reading.at_us == US
    assert set(reading.operations) == {"place", "cancel"}


def test_after_a_restart_what_is_gone_is_gone() -> None:
    whole = [series([9, 2], le="+Inf", operation="place"), series([3, None], le="+Inf", operation="cancel")]
    errors = [series([5, None], operation="place")]
    reading = parse_reading(whole, errors, A, Selection())
    assert reading.at_us == 2 * US
    assert reading.operations == {"place": Histogram((math.inf,), (2.0,))}


def test_errors_that_are_a_scrape_ahead_wait() -> None:
    reading = parse_reading([series([4, None], le="+Inf", operation="place")], [series([1, 2], operation="place")], A, Selection())
    assert (reading.at_us, reading.operations["place"].errors) == (US, 1.0)
    further = parse_reading([series([4, None, None], le="+Inf", operation="place")], [series([1, 2, 3], operation="place")], A, Selection())
    assert further == reading


@pytest.mark.parametrize(
    ("url", "instance"),
    [
        ("http://127.0.0.1:8001/x", "127.0.0.1:8001"),
        ("https://Gate.example", "gate.example:443"),
        ("http://gate.example", "http://gate.example:80/metrics"),
        ("http://[::1]:80", "[::1]:80"),
    ],
)
def test_addresses_that_are_the_same(url: str, instance: str) -> None:
    key = Selection().key_of_node(Node("n", "s", "e", url=url))
    assert key
    assert key == Selection().key_of_labels({"instance": instance})


@pytest.mark.parametrize("text", ["", "http://", "http://x:port", "http://[::1", "//"])
def test_addresses_that_are_none(text: str) -> None:
    assert Selection().key_of_node(Node("n", "s", "e", url=text)) == ()
    assert Selection().key_of_labels({"instance": text}) == ()


def test_a_very_long_list_of_nodes_is_picked_out_here() -> None:
    query = Selection(selector='job="x"').query("m", [(f"host-{n}.example:8080",) for n in range(500)], 30)
    assert query == '{__name__="m",job="x"}[30000ms]'


@pytest.mark.parametrize("stale", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_a_limit_that_is_none(stale: str) -> None:
    with pytest.raises(ConfigError):
        registry.create("prometheus", {"url": "http://127.0.0.1:1", "stale_s": stale}, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["status", "data", "result", "metric", "values"]), inner),
    max_leaves=12,
)
NUMBERS = st.sampled_from(["1", "NaN", "+Inf", "-1", "1e400", "x", "", "0x1", "٣"]) | st.floats().map(str) | st.text(max_size=5)
SHAPED = st.lists(
    st.fixed_dictionaries(
        {
            "metric": st.dictionaries(st.sampled_from(["le", "operation", "instance"]), NUMBERS),
            "values": st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 3), NUMBERS), max_size=3),
        }
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode("utf-8", "replace")))
def test_any_answer_is_read_or_a_bad_payload(body: bytes) -> None:
    for parse in (parse_series, parse_build):
        with suppress(BadPayload):
            parse(body)


@settings(max_examples=200, deadline=None)
@given(SHAPED, SHAPED)
def test_any_series_are_a_reading_or_a_bad_payload(one: list[Any], other: list[Any]) -> None:
    bodies = [json.dumps({"status": "success", "data": {"resultType": "matrix", "result": shaped}}).encode() for shaped in (one, other)]
    try:
        first, second = (list(parse_series(body)) for body in bodies)
        for found in first + second:
            Selection().key_of_labels(found.labels)
        reading = parse_reading(first, second, A, Selection())
    except BadPayload:
        return
    assert all(h.bounds_s[-1] == math.inf and math.isfinite(h.total) for h in reading.operations.values())


class Fleet:
    """Two nodes and the Prometheus that scrapes them."""

    def __init__(self, a: Running, b: Running, engine: Running) -> None:
        self.exporters, self.engine = (a, b), engine
        self.nodes = tuple(Node(name, "gateway", "staging", url=e.url) for name, e in zip("ab", self.exporters, strict=True))

    def count(self, index: int, operation: str, seconds: float, n: int, errors: int = 0) -> None:
        self.exporters[index].post("/", operation=operation, seconds=seconds, n=n, errors=errors)

    def connector(self, stale_s: str = "30", limits: Limits = PATIENT, **selection: str) -> PrometheusMetrics:
        return PrometheusMetrics(HttpClient(self.engine.url, limits=limits), Selection(**selection), stale_s)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        a = stack.enter_context(exporter(folder / "a"))
        b = stack.enter_context(exporter(folder / "b"))
        targets = {a.address: ("a", "gateway", "staging"), b.address: ("b", "gateway", "staging")}
        yield Fleet(a, b, stack.enter_context(prometheus(folder / "engine", targets)))


def total(readings: Any, index: int, operation: str) -> float:
    return float(readings[index].operations[operation].total) if operation in readings[index].operations else -1.0


def quietly(connector: PrometheusMetrics, nodes: tuple[Node, ...]) -> Any:
    try:
        return connector.read(nodes)
    except (Unreachable, BadPayload):
        return ()


def test_a_real_engine_tells_what_was_counted(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    connector = fleet.connector()
    assert isinstance(connector, MetricsApi)
    fleet.count(0, "place", 0.005, 90)
    fleet.count(0, "place", 0.05, 10, errors=3)
    fleet.count(1, "cancel", 5.0, 7)
    readings = eventually(
        lambda: (r := quietly(connector, fleet.nodes)) and len(r) == 2 and total(r, 0, "place") == 100 and total(r, 1, "cancel") == 7 and r
    )
    assert readings[0].operations == {"place": Histogram((0.001, 0.01, 0.1, math.inf), (0.0, 90.0, 100.0, 100.0), 0.0, 3.0)}
    assert readings[1].operations["cancel"].counts == (0.0, 0.0, 0.0, 7.0)
    assert abs(readings[0].at_us - time.time_ns() // 1000) < 10 * US
    later = eventually(lambda: (r := connector.read(fleet.nodes)) and r[0].at_us > readings[0].at_us and r)
    assert 0.5 * US < later[0].at_us - readings[0].at_us < 5 * US
    connector.close()


def test_a_real_engine_by_labels(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    fleet.count(0, "list", 0.005, 1)
    connector = fleet.connector(node_label="node", service_label="service", environment_label="environment", selector='job="nodes"')
    by_label = (Node("a", "gateway", "staging"), Node("a", "gateway", "production"))
    readings = eventually(lambda: (r := quietly(connector, by_label)) and "list" in r[0].operations and r)
    assert [(r.node, r.environment) for r in readings] == [("a", "staging")]
    connector.close()


def test_a_real_engine_sees_a_restart(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    connector = fleet.connector()
    fleet.count(1, "cancel", 0.005, 50)
    fleet.count(1, "amend", 0.005, 5)
    eventually(lambda: (r := quietly(connector, fleet.nodes[1:])) and total(r, 0, "amend") > 0)
    fleet.exporters[1].post("/", restart=1)
    fleet.count(1, "cancel", 0.005, 2)
    readings = eventually(lambda: (r := quietly(connector, fleet.nodes[1:])) and total(r, 0, "cancel") == 2 and r)
    assert set(readings[0].operations) == {"cancel"}
    connector.close()


def test_a_real_engine_refuses_and_answers_tests(fleet: Fleet) -> None:
    connector = fleet.connector(selector="job=")
    with pytest.raises(Rejected) as caught:
        connector.read(fleet.nodes)
    assert caught.value.status == 400
    found = registry.probe(connector)
    assert isinstance(found, Probe)
    assert found.reached.startswith(("PromQL engine 2.", "PromQL engine 3."))
    connector.close()


def test_a_real_engine_that_hangs_and_comes_back(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    connector = fleet.connector(limits=QUICK)

    def state() -> type[ConnectorError] | str:
        try:
            connector.read(fleet.nodes)
        except ConnectorError as error:
            return type(error)
        return "answers"

    eventually(lambda: state() == "answers")
    fleet.engine.process.send_signal(signal.SIGSTOP)  # its threads stop one after the other
    try:
        eventually(lambda: state() is Unreachable)
    finally:
        fleet.engine.process.send_signal(signal.SIGCONT)
    eventually(lambda: state() == "answers")
    connector.close()


def test_samples_that_are_too_old_do_not_count(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    connector = fleet.connector(stale_s="2.5")
    fleet.count(0, "place", 0.005, 1)
    fleet.count(1, "place", 0.005, 1)
    eventually(lambda: len(quietly(connector, fleet.nodes)) == 2)
    fleet.exporters[1].process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: [r.node for r in quietly(connector, fleet.nodes)] == ["a"])
        with pytest.raises(Unreachable) as caught:
            connector.read(fleet.nodes[1:])
        assert "2.5 s" in caught.value.message
    finally:
        fleet.exporters[1].process.send_signal(signal.SIGCONT)
    connector.close()


def test_testing_a_connection_to_an_engine_without_a_version(server: Any) -> None:
    empty = b'{"status":"success","data":{"resultType":"vector","result":[]}}'
    connector = PrometheusMetrics(HttpClient(server.url, limits=QUICK))
    for told in (server.answer(200, b'{"status":"success","data":{}}'), server.answer(404)):
        server.requests.clear()
        server.script = [server.answer(200, empty), told]
        assert connector.probe() == Probe("A PromQL engine that does not tell its version")
    server.requests.clear()
    server.script = [server.answer(200, empty), server.answer(200, b'{"status":"error","data":{}}')]
    with pytest.raises(BadPayload):
        connector.probe()
    connector.close()


@pytest.mark.heavy
def test_another_engine_tells_the_same(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    with ExitStack() as stack:
        a, b = (stack.enter_context(exporter(tmp_path / name)) for name in "ab")
        targets = {a.address: ("a", "gateway", "staging"), b.address: ("b", "gateway", "staging")}
        fleet = Fleet(a, b, stack.enter_context(victoria_metrics(tmp_path / "engine", targets)))
        fleet.count(0, "place", 0.005, 90)
        fleet.count(0, "place", 0.05, 10, errors=3)
        connector = fleet.connector()
        with pytest.raises((Unreachable, BadPayload)):
            connector.read((A,))
        readings = eventually(lambda: (r := quietly(connector, fleet.nodes[:1])) and total(r, 0, "place") == 100 and r, 40)
        assert readings[0].operations == {"place": Histogram((0.001, 0.01, 0.1, math.inf), (0.0, 90.0, 100.0, 100.0), 0.0, 3.0)}
        later = eventually(lambda: (r := connector.read(fleet.nodes[:1])) and r[0].at_us > readings[0].at_us and r)
        assert 0.5 * US < later[0].at_us - readings[0].at_us < 5 * US
        assert isinstance(registry.probe(connector), Probe)
        broken = fleet.connector(selector="job=")
        with pytest.raises(Rejected) as caught:
            broken.read(fleet.nodes)
        assert caught.value.status in (400, 422)
        broken.close()
        connector.close()
