from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.http import Limits
from cockpit.connectors.openmetrics import Names, OpenMetricsScraper, PageReader, parse_reading
from cockpit.domain.errors import AuthFailed, BadPayload, Unreachable
from cockpit.domain.release import Node

NODE = Node("n1", "gateway", "production", url="http://127.0.0.1:1")
KIND = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PATIENT = Limits(read_timeout_s=10.0, retries=0)
HASTY = Limits(read_timeout_s=0.5, deadline_s=1.0, retries=0)
H = "http_server_request_duration_seconds"


def page(scale: int = 1, operations: int = 2, buckets: int = 3, extra: str = "") -> str:
    lines = [f"# TYPE {H} histogram", f"# UNIT {H} seconds", f"# HELP {H} How long a request took."]
    for number in range(operations):
        label = f'operation="op{number}"'
        for bucket in range(buckets):
            lines.append(f'{H}_bucket{{{label},le="{0.001 * 2**bucket}"}} {scale * (bucket + 1)}')  # noqa: PERF401 - one shape for all lines
        lines.append(f'{H}_bucket{{{label},le="+Inf"}} {scale * (buckets + 1)}')
        lines.append(f"{H}_sum{{{label}}} {scale * 0.5}")
        lines.append(f"{H}_count{{{label}}} {scale * (buckets + 1)}")
    lines.append("# TYPE http_server_errors counter")
    lines += [f'http_server_errors_total{{operation="op{number}"}} {scale}' for number in range(operations)]
    return "\n".join([*lines, "# TYPE book_depth gauge", "book_depth 7", *extra.splitlines(), "# EOF", ""])


@pytest.mark.parametrize("openmetrics", [True, False])
def test_both_forms(openmetrics: bool) -> None:
    reading = parse_reading(page(), NODE, 5, openmetrics=openmetrics)
    assert (reading.node, reading.service, reading.environment, reading.at_us) == ("n1", "gateway", "production", 5)
    assert list(reading.operations) == ["op0", "op1"]
    found = reading.operations["op1"]
    assert found.bounds_s == (0.001, 0.002, 0.004, math.inf)
    assert found.counts == (1, 2, 3, 4)
    assert (found.sum_s, found.errors) == (0.5, 1)


def test_a_page_without_requests_yet() -> None:
    assert parse_reading(f"# TYPE {H} histogram\n# EOF\n", NODE, 0).operations == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "# EOF\n",
        "other 1\n# EOF\n",
        f"# TYPE {H} histogram\n{H}_bucket{{",
        f'# TYPE {H} histogram\n{H}_bucket{{operation="a",le="x"}} 1\n',
        f'# TYPE {H} histogram\n{H}_bucket{{operation="a",le="1"}} 1\n',  # no +Inf
        f'# TYPE {H} histogram\n{H}_bucket{{operation="a",le="1"}} 5\n{H}_bucket{{operation="a",le="+Inf"}} 4\n',
        f'# TYPE {H} histogram\n{H}_bucket{{operation="a",le="1"}} NaN\n{H}_bucket{{operation="a",le="+Inf"}} 4\n',
        f'# TYPE {H} histogram\n{H}_bucket{{operation="a",le="1"}} -1\n{H}_bucket{{operation="a",le="+Inf"}} 4\n',
        f'# TYPE {H} histogram\n{H}_bucket{{operation="a",le="+Inf"}} +Inf\n',
    ],
)
@pytest.mark.parametrize("openmetrics", [True, False])
def test_pages_that_are_none(text: str, openmetrics: bool) -> None:
    with pytest.raises(BadPayload) as caught:
        parse_reading(text, NODE, 0, openmetrics=openmetrics)
    assert caught.value.hint


def test_other_names_and_further_labels() -> None:
    text = "# TYPE rpc histogram\n"
    for method in ("get", "put"):
        text += f'rpc_bucket{{rpc="x",method="{method}",le="1"}} 2\nrpc_bucket{{rpc="x",method="{method}",le="+Inf"}} 3\n'
    names = Names(histogram="rpc", errors="bad_total", operation_label="rpc")
    found = parse_reading(text + '# TYPE bad counter\nbad_total{rpc="x"} 9\n', NODE, 0, names).operations["x"]
    assert (found.counts, found.errors) == ((4, 6), 9)


def test_what_was_read_once_is_read_the_same_again() -> None:
    """The second page takes the short way; it must say what the parser says."""
    reader = PageReader(Names())
    for scale in (1, 3, 7):
        assert reader.read(page(scale), NODE, 0) == parse_reading(page(scale), NODE, 0)
    for other in (page(2, operations=3), page(2, buckets=5), page(2)):
        assert reader.read(other, NODE, 0) == parse_reading(other, NODE, 0)
    with pytest.raises(BadPayload):
        reader.read(page(2).replace("+Inf", "9"), NODE, 0)
    broken = page(2).replace('le="0.001"} 2', 'le="0.001"} 99')
    with pytest.raises(BadPayload):
        reader.read(broken, NODE, 0)
    assert reader.read(page(4), NODE, 0) == parse_reading(page(4), NODE, 0)


@pytest.mark.parametrize("tail", [" 1700000000.5", ' # {trace_id="a} 1"} 0.5', ' # {trace_id="a"} 0.5 1700000000.1'])
def test_timestamps_and_exemplars_are_no_values(tail: str) -> None:
    reader = PageReader(Names())
    for scale in (1, 2, 2, 3):
        with_tail = "_bucket" if "#" in tail else f"{H}_"  # an exemplar stands at a bucket, a timestamp at each sample
        text = "\n".join(line + tail if with_tail in line else line for line in page(scale).split("\n"))
        assert reader.read(text, NODE, 0).operations == parse_reading(page(scale), NODE, 0).operations


def test_labels_with_odd_text() -> None:
    odd = r"a\"} 5 \\ # b{\n"
    text = page().replace("op1", odd)
    reader = PageReader(Names())
    for _ in range(2):
        assert list(reader.read(text, NODE, 0).operations) == ["op0", 'a"} 5 \\ # b{\n']


@given(
    st.text() | st.text(alphabet=f'{{}}"= 1#\n\\e+NaIf.,le{H[:4]}').map(lambda t: f"# TYPE {H} histogram\n{H}_bucket{{{t}\n"), st.booleans()
)
def test_anything_else_is_bad_payload(text: str, openmetrics: bool) -> None:
    try:
        parse_reading(text, NODE, 0, openmetrics=openmetrics)
    except BadPayload:
        return


# over the wire


def node(server: Any, name: str = "n1") -> Node:
    return Node(name, "gateway", "production", url=server.url)


@pytest.fixture
def scraper() -> Any:
    made = OpenMetricsScraper(limits=PATIENT, now_us=lambda: 42)
    yield made
    made.close()


def test_scrape(server: Any, scraper: OpenMetricsScraper) -> None:
    server.script = [server.answer(200, page().encode(), KIND), server.answer(200, page(2).encode(), "text/plain; version=0.0.4")]
    (first,) = scraper.read((node(server),))
    assert first.at_us == 42
    (second,) = scraper.read((node(server),))
    assert second.operations["op0"].total == 8
    assert server.requests[0].path == "/metrics"
    assert "openmetrics" in server.requests[0].headers["accept"]
    assert scraper.probe().reached == "1 of 1 nodes"


def test_silent_nodes_are_left_out(server: Any, other_server: Any, closed_port: int) -> None:
    scraper = OpenMetricsScraper(limits=HASTY)
    server.script = [server.answer(200, page().encode(), KIND)]
    other_server.script = [other_server.hang]
    refused = Node("n3", "gateway", "production", url=f"http://127.0.0.1:{closed_port}")
    nodes = (node(other_server, "n2"), refused, node(server), Node("n4", "gateway", "production"), Node("n5", "g", "p", url="nonsense"))
    started = time.monotonic()
    assert [r.node for r in scraper.read(nodes)] == ["n1"]
    assert time.monotonic() - started < 30
    probe = scraper.probe()
    assert "1 of 4" in probe.reached
    assert len(probe.missing) == 3
    scraper.close()


def test_each_reading_bears_the_name_of_the_node_asked(server: Any, closed_port: int, scraper: OpenMetricsScraper) -> None:
    """Who asks compares names to see which are missing; what a page says of itself must not come between."""
    server.script = [server.answer(200, page().replace('operation="op0"', 'operation="op0",node="other",instance="x:1"').encode(), KIND)]
    asked = (node(server, "Node 1/a"), Node("silent", "gateway", "production", url=f"http://127.0.0.1:{closed_port}"), node(server, "b"))
    answered = {(r.node, r.service, r.environment) for r in scraper.read(asked)}
    assert {n.name for n in asked if (n.name, n.service, n.environment) not in answered} == {"silent"}


def test_nobody_answers(server: Any, closed_port: int, scraper: OpenMetricsScraper) -> None:
    refused = Node("n3", "gateway", "production", url=f"http://127.0.0.1:{closed_port}")
    server.script = [server.answer(500)]
    with pytest.raises(Unreachable):
        scraper.read((refused, node(server)))
    with pytest.raises(Unreachable):
        scraper.read((Node("n4", "gateway", "production"),))
    server.script = [server.answer(401)]
    with pytest.raises(AuthFailed):
        scraper.read((node(server),))
    server.script = [server.answer(200, b"<html>", "text/html")]
    with pytest.raises(BadPayload):
        scraper.read((node(server),))


def test_no_nodes(scraper: OpenMetricsScraper) -> None:
    assert scraper.read(()) == ()
    assert scraper.probe().missing


def test_twelve_nodes_take_well_under_a_second(server: Any, scraper: OpenMetricsScraper) -> None:
    server.script = [server.answer(200, page(operations=6, buckets=30).encode(), KIND)]
    nodes = tuple(Node(f"n{i}", "gateway", "production", url=f"{server.url}/{i}") for i in range(12))
    scraper.read(nodes)
    started = time.process_time()  # of this process alone, the server's share included: the machine may be busy
    assert len(scraper.read(nodes)) == 12
    assert time.process_time() - started < 0.8


def test_a_gauge_that_is_named_tells_how_wild_the_market_is() -> None:
    reader = PageReader(Names(volatility="book_depth"))
    for depth in ("7", "0", "2.5"):
        text = page().replace("book_depth 7", f"book_depth {depth}")
        assert reader.read(text, NODE, 0).volatility == float(depth)
        assert list(reader.read(text, NODE, 0).operations) == ["op0", "op1"]
    several = page().replace("book_depth 7", 'book_depth{book="a"} 3\nbook_depth{book="b"} 4')
    assert reader.read(several, NODE, 0).volatility == 7


@pytest.mark.parametrize("depth", ["NaN", "-1", "+Inf"])
def test_a_gauge_that_is_no_measure_or_is_not_there_tells_nothing(depth: str) -> None:
    names = Names(volatility="book_depth")
    assert math.isnan(parse_reading(page().replace("book_depth 7", f"book_depth {depth}"), NODE, 0, names).volatility)
    assert math.isnan(parse_reading(page(), NODE, 0, Names(volatility="depth_of_book")).volatility)
    assert math.isnan(parse_reading(page(), NODE, 0).volatility)


def test_what_must_never_happen_is_counted_by_its_labels() -> None:
    counter = "# TYPE venue_violations counter\n"
    rows = 'venue_violations_total{invariant="book not crossed"} 0\nvenue_violations_total{invariant="no fill doubled"} 3\n'
    text = page().replace("# EOF", counter + rows + "# EOF")
    for name in ("venue_violations", "venue_violations_total"):
        reader = PageReader(Names(invariants=name))
        assert reader.read(text, NODE, 0).violations == {"book not crossed": 0, "no fill doubled": 3}
        assert reader.read(text.replace("} 3\n", "} 4\n"), NODE, 0).violations["no fill doubled"] == 4, "also where only values changed"
        assert list(reader.read(text, NODE, 0).operations) == ["op0", "op1"]
    assert parse_reading(text, NODE, 0).violations == {}
    assert parse_reading(page(), NODE, 0, Names(invariants="venue_violations")).violations == {}


def test_what_is_named_and_not_on_the_page_is_told() -> None:
    reader = PageReader(Names(volatility="depth_of_book", invariants="venue_violations_total"))
    for _ in range(2):
        assert reader.read(page(), NODE, 0).absent == {"volatility": "depth_of_book", "invariants": "venue_violations_total"}
    longer = page().replace("# EOF", "depth_of_books 1\nvenue_violations_seen_total 1\n# EOF")
    assert set(reader.read(longer, NODE, 0).absent) == {"volatility", "invariants"}, "another name that begins alike"
    described = page().replace("# EOF", "# TYPE venue_violations counter\n# EOF")
    assert set(reader.read(described, NODE, 0).absent) == {"volatility"}, "nothing was broken yet"
    assert parse_reading(page(), NODE, 0, Names(volatility="book_depth")).absent == {}
    assert parse_reading(page(), NODE, 0).absent == {}
