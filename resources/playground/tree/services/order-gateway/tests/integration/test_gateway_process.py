#@ since og-integration
#@ since all-connection-limit
import socket

#@ end
import pytest
from service_process import running

ORDER = {"account": "A", "client_id": "1", "side": "buy", "price": "101.50", "quantity": 10}


@pytest.fixture
def client():
    with running() as made:
        yield made


def test_tells_its_version_and_health(client):
    status, version = client.call("GET", "/version")
    assert (status, version["service"], version["node"]) == (200, "order-gateway", "test-1")
    assert client.call("GET", "/healthz") == (200, {"status": "ok"})


def test_orders_match_by_price_and_time(client):
    first = client.call("POST", "/orders", {**ORDER, "side": "sell"})[1]
    client.call("POST", "/orders", {**ORDER, "side": "sell", "client_id": "2"})
    answer = client.call("POST", "/orders", {**ORDER, "account": "B"})[1]
    assert answer["fills"] == [{"price": "101.50", "quantity": 10, "order_id": first["order_id"]}]
    assert client.call("GET", "/orders/" + first["order_id"])[1]["status"] == "filled"
    assert client.call("GET", "/book?depth=5")[1] == {"bids": [], "asks": [{"price": "101.50", "quantity": 10, "orders": 1}]}


def test_cancelled_order_is_gone_from_the_book(client):
    order = client.call("POST", "/orders", ORDER)[1]
    assert client.call("DELETE", "/orders/" + order["order_id"])[0] == 200
    assert client.call("GET", "/book")[1]["bids"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/orders", b"{", 400),
        ("POST", "/orders", b"[]", 400),
        ("GET", "/book?depth=-1", None, 400),
        ("GET", "/orders/nothing", None, 404),
        ("GET", "/nowhere", None, 404),
        ("PATCH", "/orders", None, 405),
        ("POST", "/orders", {**ORDER, "price": 101.5}, 422),
#@ since all-body-limit
        ("POST", "/orders", b" " * 300_000, 413),
#@ end
    ],
)
def test_bad_input_is_refused_in_json(client, method, path, body, status):
    answered, error = client.call(method, path, body)
    assert answered == status
    assert set(error) == {"title", "message", "hint"}
    assert error["message"]


def test_metrics_count_each_operation(client):
    for number in range(3):
        client.call("POST", "/orders", {**ORDER, "client_id": str(number)})
    text = client.text("GET", "/metrics")[1]
    assert 'http_server_request_duration_seconds_count{operation="place_order"} 3\n' in text
    assert "order_book_depth 3\n" in text
    assert 'venue_violations_total{invariant="book not crossed"} 0\n' in text
    assert text.endswith("# EOF\n")
#@ end
#@ since og-mass-cancel


def test_kill_switch_empties_the_book(client):
    levels = [{"side": "buy", "price": "%d.00" % price, "quantity": 1} for price in range(50, 90)]
    assert client.call("PUT", "/accounts/M/quotes", {"quotes": levels})[1]["resting"] == 40
    assert client.call("DELETE", "/accounts/M/orders")[1]["cancelled"] == 40
    assert "order_book_depth 0\n" in client.text("GET", "/metrics")[1]
#@ end
#@ since all-created


def test_metrics_tell_since_when_they_count(client):
    text = client.text("GET", "/metrics")[1]
    assert "http_server_request_duration_seconds_created{" in text
    assert "http_server_errors_created{" in text
#@ end
#@ since all-connection-limit


def test_connections_beyond_the_limit_are_closed(client):
    channels = []
    try:
        for _ in range(300):
            channels.append(socket.create_connection(("127.0.0.1", client.port), timeout=5))
        assert channels[-1].recv(1) == b""
        assert client.call("GET", "/healthz")[0] == 200
    except ConnectionResetError:
        pass
    finally:
        for channel in channels:
            channel.close()
#@ end
#@ since all-backpressure


def test_answers_nobody_reads_do_not_stop_the_service(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=5) as deaf:
        deaf.setblocking(False)
        requests = b"GET /version HTTP/1.1\r\n\r\n" * 100_000
        try:
            while requests:
                requests = requests[deaf.send(requests) :]
        except BlockingIOError:
            pass
        assert client.call("GET", "/healthz")[0] == 200
#@ end
