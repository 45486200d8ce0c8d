#@ since og-performance
"""Calm flow: an arrival every 10 ms on a book some ten orders deep."""

from open_loop import measure, report
from service_process import running

RATE_PER_S = 100
LIMIT_MS = 250


def order(number):
    side, price = (("buy", "100.00"), ("sell", "100.00"))[number % 2]
    return "POST", "/orders", {"account": "A%d" % (number % 2), "client_id": str(number), "side": side, "price": price, "quantity": 5}


def test_placing_orders_stays_within_its_limit():
    with running() as client:
        latencies_ms, statuses = measure(client, [order(number) for number in range(200)], RATE_PER_S)
    assert statuses == {201}
    assert report("place_order", latencies_ms) < LIMIT_MS


def test_reading_the_book_stays_within_its_limit():
    with running() as client:
        for number in range(0, 20, 2):
            client.call(*order(number))
        latencies_ms, statuses = measure(client, [("GET", "/book?depth=10", None)] * 150, RATE_PER_S)
    assert statuses == {200}
    assert report("get_book", latencies_ms) < LIMIT_MS
#@ end
