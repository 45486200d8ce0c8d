"""The services of the playground, really started from their tags: what each answers, and what is wrong with the bad one."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from cockpit.playground.repository import PENDING, RELEASED, make_repository
from tests.fakes.venue import Node, export, running

TAGS = [
    *(f"order-gateway/v{version}" for version in ("1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.6.1", "1.7.0")),
    *(f"market-data/v{version}" for version in ("2.0.0", "2.1.0", "2.2.0", "2.3.0", "2.4.0")),
    *(f"risk-engine/v{version}" for version in ("3.1.0", "3.2.0", "3.3.0", "3.4.0")),
]
GATEWAYS = [tag for tag in TAGS if tag.startswith("order-gateway")]
GOOD, BAD = (f"order-gateway/v{version}" for version in PENDING["order-gateway"])
TURNS = 20
ORDER = {"account": "A", "client_id": "1", "side": "buy", "price": "101.50", "quantity": 10}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    target = tmp_path_factory.mktemp("venue")
    make_repository(target / "repo")
    return {tag: export(target / "repo", tag, target) for tag in TAGS}


@pytest.fixture
def node(trees: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Node]:
    with running(trees[request.param], request.param.rpartition("/v")[2]) as started:
        yield started


def order(**changes: Any) -> dict[str, Any]:
    return {**ORDER, **changes}


def quotes(maker: int, levels: int, middle: int = 10_000, gap: int = 100) -> dict[str, Any]:
    """A ladder around the middle, of prices of its own for each maker."""
    away = [gap + level * 7 + maker % 7 for level in range(levels)]
    prices = [("buy", middle - ticks) for ticks in away] + [("sell", middle + ticks) for ticks in away]
    return {"quotes": [{"side": side, "price": f"{ticks / 100:.2f}", "quantity": 5} for side, ticks in prices]}


# -- what goes wrong --


@pytest.mark.parametrize("node", [GATEWAYS[0], GOOD, BAD], indirect=True)
def test_bad_input_is_refused_in_json(node: Node) -> None:
    cases: list[tuple[str, str, Any, bytes | None, int]] = [
        ("POST", "/orders", None, b"{", 400),
        ("POST", "/orders", None, b"\xff\xfe", 400),
        ("POST", "/orders", None, b"[" * 5_000, 400),
        ("POST", "/orders", [], None, 400),
        ("GET", "/book?depth=0", None, None, 400),
        ("GET", "/orders/none", None, None, 404),
        ("GET", "/orders/%00", None, None, 404),
        ("GET", "//", None, None, 404),
        ("PATCH", "/orders", None, None, 405),
        ("POST", "/orders", order(price=101.5), None, 422),
        ("POST", "/orders", order(price="1e9"), None, 422),
        ("POST", "/orders", order(side=["buy"]), None, 422),
        ("POST", "/orders", order(quantity=10**400), None, 422),
        ("PUT", "/accounts/M/quotes", quotes(0, 101), None, 422),
        ("POST", "/orders", None, b" " * 300_000, 413),
    ]
    for method, path, body, raw, expected in cases:
        status, error = node.call(method, path, body, raw)
        assert (status, set(error)) == (expected, {"title", "message", "hint"}), (method, path, raw or body)
    assert node.depth() == 0
    assert 'http_server_errors_total{operation="place_order"} 0\n' in node.text("GET", "/metrics")[1]


@pytest.mark.parametrize("node", [GOOD], indirect=True)
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET\r\n\r\n", b"400"),
        (b"POST /orders HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, b"431"),
        (b"POST /orders HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"413"),
    ],
)
def test_malformed_requests_are_answered_and_the_connection_closed(node: Node, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as channel:
        channel.sendall(sent)
        answer = b""
        while data := channel.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert node.call("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("node", [GOOD], indirect=True)
def test_request_in_pieces_and_requests_in_one_piece_are_both_answered(node: Node) -> None:
    request = b"GET /healthz HTTP/1.1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as channel:
        for number in range(len(request)):
            channel.sendall(request[number : number + 1])
        assert channel.recv(65536).endswith(b'{"status":"ok"}')
        channel.sendall(request * 2)
        answer = b""
        while answer.count(b"ok") < 2:
            answer += channel.recv(65536)


@pytest.mark.parametrize("node", [GATEWAYS[0], GOOD, BAD], indirect=True)
def test_trading_modes_refuse_what_they_forbid(node: Node) -> None:
    resting = node.call("POST", "/orders", order(account="A"))[1]["order_id"]
    assert node.call("PUT", "/mode", {"mode": "party"})[0] == 422
    assert node.call("PUT", "/mode", {"mode": None})[0] == 422
    assert node.call("DELETE", "/mode")[0] == 405
    assert node.call("PUT", "/mode", {"mode": "post-only"}) == (200, {"mode": "post-only"})
    assert node.call("POST", "/orders", order(account="B", client_id="2", side="sell"))[0] == 422
    assert node.call("PUT", "/accounts/M/quotes", quotes(0, 3, middle=10_000))[0] == 422
    assert node.call("POST", "/orders", order(account="B", client_id="3", side="sell", price="101.60"))[0] == 201
    assert node.call("PUT", "/accounts/M/quotes", quotes(0, 3, middle=10_155, gap=6))[1]["fills"] == 0
    depth = node.depth()
    assert node.call("PUT", "/mode", {"mode": "cancel-only"})[0] == 200
    for method, path, body in (("POST", "/orders", order(client_id="4", price="1.00")), ("PUT", "/accounts/M/quotes", quotes(0, 2))):
        status, answer = node.call(method, path, body)
        assert (status, set(answer)) == (503, {"title", "message", "hint"})
        assert "cancel-only" in answer["message"]
    assert node.depth() == depth
    assert node.call("DELETE", f"/orders/{resting}")[1]["status"] == "cancelled"
    assert node.call("PUT", "/mode", {"mode": "halted"})[0] == 200
    assert node.call("DELETE", "/accounts/M/orders")[0] == 503
    assert node.call("GET", "/book")[0] == 200
    assert node.call("GET", "/version")[1]["mode"] == "halted"
    assert node.call("PUT", "/mode", {"mode": "open"}) == (200, {"mode": "open"})
    assert node.call("POST", "/orders", order(account="B", client_id="5", side="sell", price="1.00"))[0] in (201, 422)


@pytest.mark.parametrize(
    ("node", "method", "path", "body"),
    [
        ("market-data/v2.0.0", "POST", "/trades", {"symbol": "AAA", "price": "99.50", "quantity": 2}),
        ("risk-engine/v3.1.0", "PUT", "/accounts/A/positions", {"positions": []}),
    ],
    indirect=["node"],
)
def test_other_services_refuse_changes_only_when_halted(node: Node, method: str, path: str, body: Any) -> None:
    for mode, expected in (("cancel-only", (200, 201)), ("halted", (503,)), ("open", (200, 201))):
        assert node.call("PUT", "/mode", {"mode": mode}) == (200, {"mode": mode})
        assert node.call(method, path, body)[0] in expected
    assert node.call("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("tag", [TAGS[0], GOOD, BAD, "market-data/v2.4.0", "risk-engine/v3.1.0"])
def test_node_tells_how_it_is_set(trees: dict[str, Path], tag: str) -> None:
    changes = ["", "", "max_header_bytes=8192", "flag.log_refusals=on"]
    said = []
    for changed in changes:
        with running(trees[tag], more={"SETTINGS": changed}) as node:
            told = node.call("GET", "/version")[1]
            said.append((told["config"], told["flags"]))
    assert said[0] == said[1] == (said[3][0], ["log_refusals=off"])
    assert said[2][0] != said[0][0]
    assert said[3][1] == ["log_refusals=on"]


def test_unknown_setting_ends_the_node_with_its_name(trees: dict[str, Path]) -> None:
    environment = {"PATH": os.environ["PATH"], "PORT": "1", "SETTINGS": "max_haeder_bytes=1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "run.py"], cwd=trees[GOOD], env=environment, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 1
    assert "max_haeder_bytes" in done.stderr


# -- every version --


@pytest.mark.parametrize("tag", TAGS)
def test_every_version_starts_tells_who_it_is_and_ends(trees: dict[str, Path], tag: str) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    service, _, version = tag.partition("/v")
    with running(trees[tag], version) as node:
        told = node.call("GET", "/version")[1]
        wanted = {"service": service, "version": version, "commit": "c" * 40, "digest": "d" * 64, "node": "node-1"}
        assert wanted.items() <= told.items()
        assert abs(told["started_at_us"] / 1e6 - time.time()) < 60
        assert node.call("GET", "/healthz") == (200, {"status": "ok"})
        families = {family.name: family for family in text_string_to_metric_families(node.text("GET", "/metrics")[1])}
        bounds = {sample.labels["le"] for sample in families["http_server_request_duration_seconds"].samples if "le" in sample.labels}
        assert len(bounds) == 31
        operations = {sample.labels["operation"] for sample in families["http_server_errors"].samples}
        assert len(operations) >= 3
        assert any(family.type == "gauge" for family in families.values())
        assert psutil.Process(node.process.pid).memory_info().rss < 25e6
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(5) == 0


@pytest.mark.parametrize(
    ("tag", "suites"),
    [
        (BAD, ("unit", "integration", "performance")),
        (GOOD, ("unit", "integration")),
        (f"market-data/v{PENDING['market-data'][0]}", ("unit", "integration")),
        (f"risk-engine/v{RELEASED['risk-engine']}", ("unit",)),
    ],
)
def test_suites_of_a_version_pass_from_its_tree_alone(trees: dict[str, Path], tag: str, suites: tuple[str, ...]) -> None:
    service = tag.partition("/")[0]
    environment = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for suite in suites:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"services/{service}/tests/{suite}"]
        done = subprocess.run(command, cwd=trees[tag].parent.parent, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert suite != "unit" or "1 skipped" in done.stdout


# -- the order gateway --


@pytest.mark.parametrize("node", GATEWAYS, indirect=True)
def test_price_first_then_time(node: Node) -> None:
    places = [("far", "101.60"), ("first", "101.50"), ("second", "101.50")]
    ids = {name: node.call("POST", "/orders", order(account=name, side="sell", price=price))[1]["order_id"] for name, price in places}
    status, answer = node.call("POST", "/orders", order(account="B", price="101.60", quantity=25))
    assert status == 201
    assert [(fill["order_id"], fill["price"], fill["quantity"]) for fill in answer["fills"]] == [
        (ids["first"], "101.50", 10),
        (ids["second"], "101.50", 10),
        (ids["far"], "101.60", 5),
    ]
    assert (answer["status"], answer["remaining"], answer["best_bid"], answer["best_ask"]) == ("filled", 0, None, "101.60")
    assert node.call("GET", f"/orders/{ids['far']}")[1]["remaining"] == 5
    assert node.call("GET", "/book?depth=3")[1] == {"bids": [], "asks": [{"price": "101.60", "quantity": 5, "orders": 1}]}


@pytest.mark.parametrize("node", GATEWAYS, indirect=True)
def test_orders_are_placed_once_and_cancelled_once(node: Node) -> None:
    first = node.call("POST", "/orders", ORDER)[1]
    status, again = node.call("POST", "/orders", ORDER)
    assert (status in (200, 201), again["order_id"], node.depth()) == (True, first["order_id"], 1)
    assert node.call("POST", "/orders", order(price="101.51"))[0] == 409
    assert node.call("DELETE", f"/orders/{first['order_id']}")[1]["status"] == "cancelled"
    assert node.call("DELETE", f"/orders/{first['order_id']}")[0] == 409
    assert node.depth() == 0


@pytest.mark.parametrize("node", GATEWAYS, indirect=True)
def test_market_makers_quote_replace_and_leave(node: Node) -> None:
    for _ in range(2):
        assert node.call("PUT", "/accounts/M/quotes", quotes(0, 40))[1] == {"account": "M", "resting": 80, "fills": 0}
    assert node.depth() == 80
    assert node.call("DELETE", "/accounts/M/orders")[1]["cancelled"] == 80
    assert node.depth() == 0


def random_flow(seed: int) -> list[tuple[str, str, Any]]:
    draw = random.Random(seed)
    calls: list[tuple[str, str, Any]] = []
    for number in range(400):
        kind = draw.random()
        if kind < 0.6:
            price, side = f"{draw.randint(9_950, 10_050) / 100:.2f}", draw.choice(("buy", "sell"))
            more = {"time_in_force": draw.choice(("day", "day", "ioc", "fok")), "account": f"A{draw.randrange(3)}"}
            calls.append(("POST", "/orders", order(client_id=str(number), side=side, price=price, quantity=draw.randint(1, 20), **more)))
        elif kind < 0.7:
            calls.append(("DELETE", f"/orders/o{draw.randint(1, number + 1)}", None))
        elif kind < 0.8:
            calls.append(("PUT", f"/orders/o{draw.randint(1, number + 1)}", {"quantity": draw.randint(1, 10)}))
        elif kind < 0.85:
            calls.append(("PUT", f"/accounts/M{draw.randrange(2)}/quotes", quotes(draw.randrange(9), 5, draw.randint(9_970, 10_030), 10)))
        elif kind < 0.87:
            calls.append(("DELETE", f"/accounts/A{draw.randrange(3)}/orders", None))
        else:
            calls.append(("GET", "/book?depth=20", None))
    return calls


def test_bad_version_matches_like_the_good_one_but_tells_prices_as_numbers(trees: dict[str, Path]) -> None:
    numbers = 0
    with running(trees[GOOD]) as good, running(trees[BAD]) as bad:
        for seed in range(2):
            for call in random_flow(seed):
                (good_status, wanted), (bad_status, got) = good.call(*call), bad.call(*call)
                if "price" in wanted:
                    assert isinstance(wanted["price"], str)
                    assert isinstance(got["price"], float)
                    assert wanted.pop("price") == f"{got.pop('price'):.2f}"
                    numbers += 1
                assert (good_status, wanted) == (bad_status, got), call
    assert numbers > 100


def test_only_the_bad_version_slows_down_with_the_depth_of_the_book(trees: dict[str, Path]) -> None:
    """Both take turns and the quietest turn of each counts: what else the machine does only ever adds. The ratio is judged."""
    with ExitStack() as stack:
        good, bad = (stack.enter_context(running(trees[tag])) for tag in (GOOD, BAD))
        for node in (good, bad):
            node.call("PUT", "/accounts/M0/quotes", quotes(0, 5))
        calm = quietest(good, bad, "calm", lambda one, other: other / one < 1.5)
        for node in (good, bad):
            for maker in range(60):
                assert node.call("PUT", f"/accounts/M{maker}/quotes", quotes(maker, 32))[0] == 200
            assert node.depth() == 3840
        deep = quietest(good, bad, "deep", lambda one, other: other / one > 5)
    assert calm[1] / calm[0] < 1.5, calm
    assert deep[1] / deep[0] > 5, deep


def p99_s(node: Node, name: str) -> float:
    """p99 of placing orders that fill each other in pairs, so that the depth stays what it is."""
    taken = []
    for number in range(100):
        account, side = (("A", "buy"), ("B", "sell"))[number % 2]
        start = time.perf_counter()
        node.call("POST", "/orders", order(account=account, side=side, client_id=f"{name}-{number}", price="100.00"))
        taken.append(time.perf_counter() - start)
    return sorted(taken)[98]


def quietest(good: Node, bad: Node, name: str, judged: Callable[[float, float], bool]) -> tuple[float, float]:
    """The quietest turn of each, after as many turns as a busy machine may need until they are as `judged` expects."""
    turns: list[tuple[float, float]] = []
    while True:
        turns.append((p99_s(good, f"{name}{len(turns)}"), p99_s(bad, f"{name}{len(turns)}")))
        least = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
        if len(turns) == TURNS or (len(turns) >= 3 and judged(*least)):
            return least


# -- the other services --


@pytest.mark.parametrize("node", [f"market-data/v{RELEASED['market-data']}"], indirect=True)
def test_market_data_publishes(node: Node) -> None:
    quote = {"symbol": "AAA", "bid": "99.50", "ask": "99.60", "bid_size": 1, "ask_size": 2}
    assert node.call("POST", "/quotes", quote)[0] == 200
    for price in ("99.50", "99.60", "99.40"):
        assert node.call("POST", "/trades", {"symbol": "AAA", "price": price, "quantity": 2})[0] == 201
    ticker = node.call("GET", "/ticker/AAA")[1]
    assert (ticker["open"], ticker["high"], ticker["low"], ticker["last"], ticker["vwap"]) == ("99.50", "99.60", "99.40", "99.40", "99.50")
    assert [trade["price"] for trade in node.call("GET", "/trades/AAA?limit=2")[1]["trades"]] == ["99.60", "99.40"]
    assert node.call("GET", "/quotes/BBB")[0] == 404
    assert node.call("POST", "/quotes", {**quote, "bid": "99.60"})[0] == 422


@pytest.mark.parametrize("node", [f"risk-engine/v{RELEASED['risk-engine']}"], indirect=True)
def test_risk_engine_computes_margin(node: Node) -> None:
    future = {"symbol": "AAA", "quantity": 10, "price": "100.00"}
    option = {"symbol": "AAA", "quantity": -1, "price": "100.00", "kind": "call", "strike": "100.00", "days": 30}
    assert node.call("PUT", "/accounts/A/positions", {"positions": [future]})[0] == 200
    assert node.call("GET", "/accounts/A/margin")[1]["total"] == "150.00"
    hedged = float(node.call("POST", "/margin", {"positions": [future, {**option, "quantity": -10}]})[1]["total"])
    assert 0 < hedged < 150
    assert node.call("GET", "/accounts/Z/margin")[0] == 404
    assert node.call("POST", "/margin", {"positions": [{**option, "strike": "0"}]})[0] == 422
