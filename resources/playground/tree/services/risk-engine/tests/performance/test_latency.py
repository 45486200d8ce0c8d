#@ since re-performance
from open_loop import measure, report
from service_process import running

RATE_PER_S = 80
LIMIT_MS = 250


def portfolio(size):
    return {"positions": [{"symbol": "S%d" % (n % 5), "quantity": n - size // 2, "price": "100.00"} for n in range(size)]}


def test_small_portfolios_stay_within_their_limit():
    with running() as client:
        latencies_ms, statuses = measure(client, [("POST", "/margin", portfolio(5))] * 120, RATE_PER_S)
    assert statuses == {200}
    assert report("what_if, 5 positions", latencies_ms) < LIMIT_MS


def test_large_portfolios_stay_within_their_limit():
    with running() as client:
        client.call("PUT", "/accounts/A/positions", portfolio(100))
        latencies_ms, statuses = measure(client, [("GET", "/accounts/A/margin", None)] * 120, RATE_PER_S)
    assert statuses == {200}
    assert report("get_margin, 100 positions", latencies_ms) < LIMIT_MS
#@ end
