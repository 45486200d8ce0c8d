#@ since og-api
import json

import pytest

from order_gateway.api import Gateway
from order_gateway.checks import decimal, ticks
from order_gateway.modes import NAMES, Mode
from order_gateway.server import ApiError, Application, Request, parse
from order_gateway.settings import describe, settled

ORDER = {"account": "A", "client_id": "1", "side": "buy", "price": "101.50", "quantity": 10}


def request(body=None, *parameters, **query):
    made = Request()
    made.body = json.dumps(body).encode()
    made.parameters = list(parameters)
    made.query = query
    return made


@pytest.fixture
def gateway():
    return Gateway()


def place(gateway, **changes):
    return gateway.place(request({**ORDER, **changes}))


@pytest.mark.parametrize(("text", "price"), [("101.50", 10150), ("101.5", 10150), ("101", 10100), ("0.01", 1)])
def test_price_becomes_whole_ticks(text, price):
    assert ticks({"price": text}, "price") == price


@pytest.mark.parametrize("text", ["0", "-1", "1.001", "1.", ".5", "1e3", "NaN", "", "٣", 101.5, None, "9" * 13])
def test_bad_price_is_refused(text):
    with pytest.raises(ApiError) as caught:
        ticks({"price": text}, "price")
    assert caught.value.status == 422


def test_price_as_text_has_two_places():
    assert [decimal(price) for price in (1, 10150, 100)] == ["0.01", "101.50", "1.00"]


@pytest.mark.parametrize(
    "change",
    [{"side": "hold"}, {"side": None}, {"quantity": 0}, {"quantity": 1.5}, {"quantity": True}, {"account": ""}, {"client_id": "x" * 65}],
)
def test_bad_field_is_refused_and_named(gateway, change):
    with pytest.raises(ApiError) as caught:
        place(gateway, **change)
    assert caught.value.status == 422
    assert next(iter(change)) in caught.value.body["message"]


def test_placed_order_is_answered_in_full(gateway):
    status, answer = place(gateway)
    assert status == 201
    assert float(answer["price"]) == 101.5
    assert (answer["status"], answer["remaining"], answer["best_bid"], answer["best_ask"]) == ("resting", 10, "101.50", None)


def test_unknown_order_is_not_found(gateway):
    with pytest.raises(ApiError) as caught:
        gateway.show(request(None, "o99"))
    assert caught.value.status == 404


def test_request_is_parsed_only_when_whole():
    buffer = bytearray(b"POST /orders?depth=3 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{")
    assert parse(buffer) is None
    buffer += b"}GET"
    parsed = parse(buffer)
    assert (parsed.method, parsed.path, parsed.query, parsed.body, bytes(buffer)) == ("POST", "/orders", {"depth": "3"}, b"{}", b"GET")


#@ before all-body-limit
@pytest.mark.parametrize("head", [b"GET\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])
#@ end
#@ since all-body-limit
@pytest.mark.parametrize(
    "head",
    [b"GET\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"PUT / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n"],
)
#@ end
def test_malformed_request_is_refused(head):
    with pytest.raises(ApiError):
        parse(bytearray(head))


def test_failure_of_a_handler_is_counted_and_answered(capsys):
    application = Application("x", [("GET", "/fail", "fail", lambda _request: 1 / 0)], [], {})
    asked = request()
    asked.method, asked.path, asked.close = "GET", "/fail", False
    assert application.answer(asked, 0.0).startswith(b"HTTP/1.1 500 ")
    asked.path = "/metrics"
    assert b'http_server_errors_total{operation="fail"} 1\n' in application.answer(asked, 0.0)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_mode_refuses_what_it_forbids_and_nothing_else():
    told = []
    mode = Mode({"cancel-only": ("place_order",)}, told.append)
    for name in NAMES:
        mode.switch(name)
        mode.check("cancel_order")
    assert told == list(NAMES)
    mode.switch("cancel-only")
    with pytest.raises(ApiError) as caught:
        mode.check("place_order")
    assert caught.value.status == 503
    with pytest.raises(ApiError) as caught:
        mode.switch("party")
    assert (caught.value.status, mode.now) == (422, "cancel-only")


def test_post_only_lets_orders_rest_and_none_trade(gateway):
    place(gateway)
    gateway.told_mode("post-only")
    assert place(gateway, client_id="2", account="B", side="sell", price="101.51")[0] == 201
    with pytest.raises(ApiError) as caught:
        place(gateway, client_id="3", account="B", side="sell")
    assert (caught.value.status, gateway.book.depth) == (422, 2)
    gateway.told_mode("open")
    assert place(gateway, client_id="3", account="B", side="sell")[1]["status"] == "filled"


def test_settings_are_the_files_with_changes_and_tell_what_they_are():
    values = settled("")
    changed = settled("max_header_bytes=8192,flag.log_refusals=on")
    assert (changed["max_header_bytes"], set(changed)) == ("8192", set(values))
    assert describe(values) == describe(settled(""))
    assert describe(values)[0] != describe(changed)[0]
    assert (describe(values)[1], describe(changed)[1]) == (["log_refusals=off"], ["log_refusals=on"])
    with pytest.raises(SystemExit):
        settled("max_haeder_bytes=1")
#@ end
#@ since og-idempotent


def test_repeated_client_id_places_nothing_twice(gateway):
    first, second = place(gateway)[1], place(gateway)[1]
    assert first["order_id"] == second["order_id"]
    assert gateway.book.depth == 1


def test_client_id_of_another_order_is_a_conflict(gateway):
    place(gateway)
    with pytest.raises(ApiError) as caught:
        place(gateway, price="101.51")
    assert caught.value.status == 409


def test_client_ids_of_two_accounts_are_apart(gateway):
    assert place(gateway)[1]["order_id"] != place(gateway, account="B")[1]["order_id"]
#@ end
#@ since og-cancel


def test_finished_order_cannot_be_cancelled(gateway):
    order_id = place(gateway)[1]["order_id"]
    assert gateway.cancel(request(None, order_id))[1]["status"] == "cancelled"
    with pytest.raises(ApiError) as caught:
        gateway.cancel(request(None, order_id))
    assert caught.value.status == 409
#@ end
#@ since og-quotes


def quotes(*prices):
    return {"quotes": [{"side": side, "price": price, "quantity": 5} for side, price in prices]}


def test_quotes_replace_the_quotes_before(gateway):
    gateway.quote(request(quotes(("buy", "99"), ("sell", "101")), "M"))
    gateway.quote(request(quotes(("buy", "98"), ("sell", "102")), "M"))
    assert gateway.book.depth == 2
    assert gateway.show_book(request(depth="1"))[1]["bids"] == [{"price": "98.00", "quantity": 5, "orders": 1}]


def test_quotes_that_cross_each_other_are_refused(gateway):
    with pytest.raises(ApiError):
        gateway.quote(request(quotes(("buy", "101"), ("sell", "101")), "M"))
#@ end
#@ since og-mass-cancel


def test_mass_cancel_takes_orders_and_quotes_of_one_account(gateway):
    place(gateway, account="M")
    place(gateway, account="B", price="100")
    gateway.quote(request(quotes(("buy", "99"), ("sell", "102")), "M"))
    assert gateway.mass_cancel(request(None, "M"))[1]["cancelled"] == 3
    assert gateway.book.depth == 1
#@ end
#@ since og-trades


def test_trades_are_listed_newest_last(gateway):
    for number, price in enumerate(("100", "101")):
        place(gateway, client_id="s%d" % number, side="sell", price=price)
    place(gateway, account="B", price="101", quantity=15)
    trades = gateway.trades(request())[1]["trades"]
    assert [(trade["price"], trade["quantity"]) for trade in trades] == [("100.00", 10), ("101.00", 5)]
#@ end
#@ since og-amend


@pytest.mark.parametrize("quantity", [11, 4])
def test_order_can_only_be_lowered_to_more_than_its_fills(gateway, quantity):
    order_id = place(gateway)[1]["order_id"]
    place(gateway, account="B", side="sell", quantity=4)
    with pytest.raises(ApiError) as caught:
        gateway.amend(request({"quantity": quantity}, order_id))
    assert caught.value.status == 422
    assert gateway.amend(request({"quantity": 6}, order_id))[1]["remaining"] == 2
#@ end
#@ since og-account-orders


def test_account_sees_its_own_resting_orders(gateway):
    first = place(gateway)[1]
    place(gateway, client_id="2", price="101.00")
    place(gateway, account="B", side="sell", price="101.50", quantity=10)
    [order] = gateway.account_orders(request(None, "A"))[1]["orders"]
    assert order["order_id"] != first["order_id"]
#@ end
#@ since og-collar


def test_price_far_from_the_last_trade_is_refused(gateway):
    place(gateway)
    place(gateway, account="B", side="sell")
    with pytest.raises(ApiError) as caught:
        place(gateway, client_id="2", price="1015.00")
    assert "101.50" in caught.value.body["message"]
#@ end
#@ since og-repeat


def test_repeated_order_is_answered_as_known(gateway):
    assert [place(gateway)[0], place(gateway)[0]] == [201, 200]
#@ end
#@ since og-number


def test_price_of_an_order_is_a_number(gateway):
    assert place(gateway)[1]["price"] == 101.5
#@ end
#@ since og-stats


def test_stats_tell_where_the_book_stands(gateway):
    place(gateway)
    assert gateway.stats(request())[1] == {"resting": 1, "best_bid": "101.50", "best_ask": None, "orders_kept": 1}
#@ end
