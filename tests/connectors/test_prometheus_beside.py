"""The gauge and the counter that the PromQL connector reads beside latency: what is wrong with them first."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cockpit.connectors import registry
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.prometheus import PrometheusMetrics, Selection
from cockpit.domain.errors import BadPayload, ConfigError, ConnectorError, Rejected, Unreachable
from cockpit.domain.release import Node
from tests.fakes.monitoring import exporter, prometheus

QUICK = Limits(connect_timeout_s=0.5, read_timeout_s=0.5, deadline_s=1.0, retries=0)
PATIENT = Limits(connect_timeout_s=5, read_timeout_s=10, deadline_s=15)
T0 = 1_800_000_000.0
HOST = {"instance": "127.0.0.1:8001", "job": "nodes", "cluster": "eu"}
A = Node("a", "gateway", "staging", url="http://127.0.0.1:8001")
NAMED = Selection(volatility="book_depth", invariants="venue_violations_total")
Rows = list[tuple[dict[str, str], list[tuple[float, str]]]]


def matrix(rows: Rows) -> bytes:
    result = [{"metric": labels, "values": values} for labels, values in rows]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def buckets(*at_s: float, of: int = 0) -> Rows:
    """Two, four and so on of them at each time."""
    return [
        (HOST | {"operation": "place", "le": le}, [(at, str(n * (i + 1 - of))) for i, at in enumerate(at_s)])
        for le, n in (("0.1", 1), ("+Inf", 2))
    ]


def depth(*values: str, at_s: float = T0, **labels: str) -> Rows:
    return [(HOST | {"__name__": "book_depth"} | labels, [(at_s + i, value) for i, value in enumerate(values)])]


def broken(*values: str, what: str = "book not crossed", at_s: float = T0) -> Rows:
    return [(HOST | {"__name__": "venue_violations_total", "invariant": what}, [(at_s + i, value) for i, value in enumerate(values)])]


def ask(server: Any, gauge: Any, counter: Any, rows: Rows | None = None, selection: Selection = NAMED) -> Any:
    """The reading of one node; `gauge` and `counter` are rows or an answer."""
    said = [server.answer(200, matrix(r)) if isinstance(r, list) else r for r in (gauge, counter)]
    server.script = [server.answer(200, matrix(buckets(T0) if rows is None else rows)), server.answer(200, matrix([])), *said]
    connector = PrometheusMetrics(HttpClient(server.url, limits=QUICK), selection)
    try:
        return connector.read((A,))[0]
    finally:
        connector.close()


def test_series_that_are_missing_are_named(server: Any) -> None:
    found = ask(server, [], [])
    assert math.isnan(found.volatility)
    assert found.violations == {}
    assert found.absent == {"volatility": "book_depth", "invariants": "venue_violations_total"}
    assert list(found.operations) == ["place"], "latency is known all the same"


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf"])
def test_values_that_are_no_measure_tell_nothing(server: Any, value: str) -> None:
    found = ask(server, depth(value), broken(value) + broken("2", what="no fill doubled"))
    assert math.isnan(found.volatility)
    assert found.violations == {"no fill doubled": 2}
    assert found.absent == {}


@pytest.mark.parametrize("which", [0, 1])
def test_a_question_that_is_refused_is_no_sign_that_nothing_was_broken(server: Any, which: int) -> None:
    answers: list[Any] = [depth("3"), broken("0")]
    answers[which] = server.answer(422, b'{"status":"error","error":"parse error"}')
    with pytest.raises(Rejected):
        ask(server, *answers)


@pytest.mark.parametrize("body", [b"", b"<html>log in</html>", b'{"status":"success"}', matrix(broken("0"))[:-20], matrix(broken("one"))])
def test_half_a_body_is_no_sign_that_nothing_was_broken(server: Any, body: bytes) -> None:
    with pytest.raises(BadPayload):
        ask(server, depth("3"), server.answer(200, body))


@pytest.mark.parametrize("field", ["histogram", "errors", "volatility", "invariants", "node_label"])
@pytest.mark.parametrize("name", ['x"} or vector(1)', "a b", "x\n", "x\\", "1x", "x,y", "ü"])
def test_nothing_gets_into_a_query_by_a_name(field: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("prometheus", {"url": "http://127.0.0.1:1", field: name}, None)
    assert field in caught.value.message


def test_both_become_a_part_of_the_reading(server: Any) -> None:
    found = ask(server, depth("3", book="a") + depth("4", book="b"), broken("0") + broken("2", what="no fill doubled"))
    assert found.volatility == 7
    assert found.violations == {"book not crossed": 0, "no fill doubled": 2}, "without the labels of the engine"
    assert found.absent == {}


def test_a_counter_without_labels_is_called_by_its_name(server: Any) -> None:
    rows = [(HOST | {"__name__": "crossed_total"}, [(T0, "1")])]
    found = ask(server, [], rows, selection=Selection(volatility="book_depth", invariants="crossed"))
    assert found.violations == {"crossed_total": 1}
    queries = [parse_qs(urlsplit(r.path).query)["query"][0] for r in server.requests]
    assert queries[2].startswith('{__name__="book_depth",instance=~')
    assert queries[3].startswith('{__name__=~"crossed(_total)?",instance=~')


def test_a_gauge_that_falls_is_no_restart(server: Any) -> None:
    """A scrape that is taken in piece by piece: the counter of the second one is not there yet."""
    found = ask(server, depth("9", "1"), broken("5"), buckets(T0, T0 + 1))
    assert found.at_us == T0 * 1e6
    assert (found.volatility, found.violations) == (9, {"book not crossed": 5})


def test_not_named_they_are_not_asked_for(server: Any) -> None:
    found = ask(server, [], [], selection=Selection())
    assert len(server.requests) == 2
    assert found.absent == {}


def quietly(connector: PrometheusMetrics, node: Node) -> Any:
    try:
        return connector.read((node,))
    except (ConnectorError, Unreachable):
        return ()


def test_a_real_engine_tells_both(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    with ExitStack() as stack:
        page = stack.enter_context(exporter(tmp_path / "a"))
        engine = stack.enter_context(prometheus(tmp_path / "engine", {page.address: ("a", "gateway", "staging")}))
        named = Selection(volatility="book_depth", invariants="venue_violations")
        connector = PrometheusMetrics(HttpClient(engine.url, limits=PATIENT), named, "30")
        wrong = PrometheusMetrics(HttpClient(engine.url, limits=PATIENT), Selection(volatility="depth_of_book", invariants="viol"), "30")
        stack.callback(connector.close)
        stack.callback(wrong.close)
        node = Node("a", "gateway", "staging", url=page.url)
        page.post("/", operation="place", seconds=0.005, n=9, errors=3)
        told = {"book not crossed": 3.0}
        found = eventually(lambda: (r := quietly(connector, node)) and r[0].violations == told and r[0].volatility == 1 and r[0])
        assert found.absent == {}
        assert wrong.read((node,))[0].absent == {"volatility": "depth_of_book", "invariants": "viol"}
