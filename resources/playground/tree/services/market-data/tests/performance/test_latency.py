#@ since md-performance
from open_loop import measure, report
from service_process import running

RATE_PER_S = 100
LIMIT_MS = 250


def quote(number):
    body = {"symbol": "S%02d" % (number % 50), "bid": "99.50", "ask": "99.60", "bid_size": 10, "ask_size": 20}
    return "POST", "/quotes", body


def test_publishing_stays_within_its_limit():
    with running() as client:
        latencies_ms, statuses = measure(client, [quote(number) for number in range(150)], RATE_PER_S)
    assert statuses == {200}
    assert report("publish_quote", latencies_ms) < LIMIT_MS


def test_reading_stays_within_its_limit():
    with running() as client:
        for number in range(50):
            client.call(*quote(number))
        latencies_ms, statuses = measure(client, [("GET", "/quotes/S%02d" % (n % 50), None) for n in range(150)], RATE_PER_S)
    assert statuses == {200}
    assert report("get_quote", latencies_ms) < LIMIT_MS
#@ end
