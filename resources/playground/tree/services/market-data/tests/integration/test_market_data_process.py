#@ since all-connection-limit
import socket

#@ end
import pytest
from service_process import running

QUOTE = {"symbol": "AAA", "bid": "99.50", "ask": "99.60", "bid_size": 10, "ask_size": 20}


@pytest.fixture
def client():
    with running() as made:
        yield made


def test_tells_its_version_and_health(client):
    assert client.call("GET", "/version")[1]["service"] == "market-data"
    assert client.call("GET", "/healthz") == (200, {"status": "ok"})


def test_quotes_and_trades_are_published(client):
    assert client.call("POST", "/quotes", QUOTE)[0] == 200
    assert client.call("POST", "/trades", {"symbol": "BBB", "price": "1", "quantity": 1})[0] == 201
    assert client.call("GET", "/symbols")[1] == {"symbols": ["AAA", "BBB"]}
    assert client.call("GET", "/quotes/AAA")[1]["ask"] == "99.60"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/quotes", b"{", 400),
        ("GET", "/quotes/ZZZ", None, 404),
        ("DELETE", "/symbols", None, 405),
        ("POST", "/quotes", {**QUOTE, "bid": "100"}, 422),
#@ since all-body-limit
        ("POST", "/trades", b" " * 300_000, 413),
#@ end
    ],
)
def test_bad_input_is_refused_in_json(client, method, path, body, status):
    answered, error = client.call(method, path, body)
    assert answered == status
    assert set(error) == {"title", "message", "hint"}


def test_metrics_count_each_operation(client):
    client.call("POST", "/quotes", QUOTE)
    text = client.text("GET", "/metrics")[1]
    assert 'http_server_request_duration_seconds_count{operation="publish_quote"} 1\n' in text
    assert "market_data_instruments 1\n" in text
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
