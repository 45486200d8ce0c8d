"""Benchmark results of each form, and whatever else a file may hold: measurements or BadPayload, nothing third."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import benchmarks
from cockpit.connectors.benchmarks import parse_any, parse_csv, parse_durations, parse_k6, parse_locust, parse_pytest_benchmark
from cockpit.domain.errors import BadPayload
from cockpit.domain.measures import Measured
from tests.fakes.fuzz import BODIES, parsers, understood_or_bad, wrong

JUNIT = b"""<?xml version="1.0"?><testsuites><testsuite name="unit" tests="3">
<testcase classname="tests.test_book" name="test_fill" time="0.25"/>
<testcase classname="tests.test_book" name="test_bad" time="9.0"><failure message="no"/></testcase>
<testcase classname="tests.test_book" name="test_instant" time="0"/></testsuite></testsuites>"""
PYTEST = {
    "machine_info": {"node": "bench"},
    "benchmarks": [
        {"name": "test_match", "fullname": "tests/perf.py::test_match", "stats": {"median": 0.0041, "mean": 0.0052, "rounds": 200}},
        {"name": "test_cancel", "stats": {"mean": 0.001}},
    ],
}
K6 = {  # --summary-export: the values stand in the metric itself
    "root_group": {"name": "", "checks": {}},
    "metrics": {
        "http_req_duration": {"avg": 12.5, "min": 1.0, "med": 11.0, "max": 90.0, "p(90)": 20.0, "p(95)": 31.5},
        "http_reqs": {"count": 12000, "rate": 200.5},
        "http_req_failed": {"passes": 3, "fails": 11997, "value": 0.00025},
        "checks": {"passes": 100, "fails": 0, "value": 1},
        "vus": {"value": 10, "min": 10, "max": 10},
    },
}
K6_DATA = {  # what handleSummary gets
    "metrics": {
        "iteration_duration": {"type": "trend", "contains": "time", "values": {"avg": 100.0, "p(99)": 300.0}},
        "data_sent": {"type": "counter", "contains": "data", "values": {"count": 5, "rate": 2.5}},
    }
}
LOCUST = b"""Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Requests/s,Failures/s,50%,99%
POST,/orders,1200,3,11,12.75,20.5,0.05,11,87
,Aggregated,1200,3,11,12.75,20.5,0.05,11,N/A
"""


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def values(found: tuple[Measured, ...]) -> dict[str, tuple[float, str, str]]:
    return {m.name: (m.value, m.unit, m.better) for m in found}


def test_durations_of_a_junit_report_are_those_of_passed_tests() -> None:
    assert parse_durations(JUNIT) == (Measured("tests.test_book.test_fill", 0.25, "s"),)
    assert parse_any(JUNIT) == parse_durations(JUNIT)


def test_pytest_benchmark() -> None:
    found = values(parse_pytest_benchmark(as_bytes(PYTEST)))
    assert found == {"tests/perf.py::test_match": (0.0041, "s", "lower"), "test_cancel": (0.001, "s", "lower")}


def test_k6_in_both_forms() -> None:
    found = values(parse_k6(as_bytes(K6)))
    assert found["http_req_duration p(95)"] == (31.5, "ms", "lower")
    assert found["http_reqs rate"] == (200.5, "/s", "higher")
    assert found["http_req_failed share"] == (0.00025, "", "lower")
    assert found["checks share"] == (1.0, "", "higher")
    assert not [name for name in found if name.startswith("vus")]
    other = values(parse_any(as_bytes(K6_DATA)))
    assert other == {
        "iteration_duration avg": (100.0, "ms", "lower"),
        "iteration_duration p(99)": (300.0, "ms", "lower"),
        "data_sent rate": (2.5, "/s", "higher"),
    }


def test_locust() -> None:
    found = values(parse_locust(LOCUST))
    assert found["POST /orders median"] == (11.0, "ms", "lower")
    assert found["POST /orders p99"] == (87.0, "ms", "lower")
    assert found["Aggregated requests"] == (20.5, "/s", "higher")
    assert "Aggregated p99" not in found, "what was not measured has no value"
    assert parse_any(LOCUST) == parse_locust(LOCUST)


def test_plain_csv_with_and_without_its_header() -> None:
    with_head = b"\xef\xbb\xbfVersion,name,unit,value\r\n1.2.0,match,ms,4.5\r\n1.3.0,match,ms,4.75\r\n1.3.0,orders,orders/s,180000\r\n"
    assert parse_csv(with_head) == (
        Measured("match", 4.5, "ms", "lower", "1.2.0"),
        Measured("match", 4.75, "ms", "lower", "1.3.0"),
        Measured("orders", 180000.0, "orders/s", "higher", "1.3.0"),
    )
    assert parse_any(b"match,4.5\ncancel,1e-3,s\n") == (Measured("match", 4.5), Measured("cancel", 0.001, "s"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"{}",
        b"[]",
        b'{"benchmarks": 3}',
        b'{"benchmarks": []}',
        b'{"benchmarks": [{"name": "a", "stats": {"median": "1"}}]}',
        b'{"benchmarks": [{"name": "", "stats": {"median": 1}}]}',
        b'{"benchmarks": [{"name": "a", "stats": {"median": 1e400}}]}',
        b'{"metrics": {"x": 3}}',
        b"name,value\n",
        b"name,value\nmatch,fast\n",
        b"name,value\nmatch,nan\n",
        b"match\n",
        b'"match,1\n',
        b"\xff\xfe\x00a",
        b"Type,Name,Request Count,50%\nGET,/,3,soon\n",
        b"<html>log in</html>",
        b"<!DOCTYPE x><testsuites/>",
        b"[" * 100_000,
        b"x," + b"9" * 5_000,
    ],
)
def test_what_holds_no_results_says_so(body: bytes) -> None:
    with pytest.raises(BadPayload) as refused:
        parse_any(body)
    assert refused.value.hint


def test_size_and_number_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "MAX_MEASURED", 10)
    with pytest.raises(BadPayload, match="more than 10"):
        parse_csv("".join(f"n{i},{i}\n" for i in range(11)).encode())
    monkeypatch.setattr(benchmarks, "MAX_BYTES", 10)
    with pytest.raises(BadPayload, match="longer"):
        parse_any(b"match,1.000000")


def test_names_are_harmless_text() -> None:
    (found,) = parse_csv(b"\x1b[2Jmatch\n\n".replace(b"\n", b"") + b",1,\x07ms")
    assert "\x1b" not in found.name
    assert "\x07" not in found.unit


def test_every_parser_is_in_the_list() -> None:
    assert {*benchmarks.PARSERS.values(), parse_any} == set(parsers(benchmarks))


@settings(max_examples=60, deadline=None)
@given(BODIES)
def test_any_body_is_understood_or_bad(body: bytes) -> None:
    for parse in parsers(benchmarks):
        understood_or_bad(parse, body)


@settings(max_examples=120, deadline=None)
@given(st.one_of(wrong(PYTEST), wrong(K6), wrong(K6_DATA)))
def test_good_json_with_something_wrong_is_understood_or_bad(body: bytes) -> None:
    understood_or_bad(parse_any, body)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.text(max_size=12) | st.floats().map(str), max_size=12), max_size=12))
def test_any_table_is_understood_or_bad(rows: list[list[str]]) -> None:
    body = "\n".join(",".join(row) for row in rows).encode("utf-8", "replace")
    for start in (b"", b"name,value,unit,version\n", LOCUST):
        understood_or_bad(parse_any, start + body)
        try:
            found = parse_any(start + body)
        except BadPayload:
            continue
        assert all(m.name and math.isfinite(m.value) for m in found)
