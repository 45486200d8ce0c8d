import json

import pytest

from risk_engine.api import RiskEngine, money
from risk_engine.server import ApiError, Request

POSITION = {"symbol": "AAA", "quantity": 10, "price": "100.00"}


def request(body=None, *parameters, **query):
    made = Request()
    made.body = json.dumps(body).encode()
    made.parameters = list(parameters)
    made.query = query
    return made


@pytest.fixture
def engine():
    return RiskEngine()


def test_stored_portfolio_has_a_margin(engine):
    engine.put_positions(request({"positions": [POSITION]}, "A"))
    answer = engine.account_margin(request(None, "A"))[1]
    assert (answer["account"], answer["total"]) == ("A", "150.00")
    assert answer["instruments"][0]["price_move"] == -0.15


def test_what_if_stores_nothing(engine):
    assert engine.what_if(request({"positions": [POSITION]}))[1]["total"] == "150.00"
    assert engine.count() == 0


def test_unknown_account_is_not_found(engine):
    with pytest.raises(ApiError) as caught:
        engine.account_margin(request(None, "Z"))
    assert caught.value.status == 404


@pytest.mark.parametrize("change", [{"price": 100}, {"price": "0"}, {"quantity": "10"}, {"quantity": 10**7}, {"symbol": ""}])
def test_bad_position_is_refused(engine, change):
    with pytest.raises(ApiError) as caught:
        engine.what_if(request({"positions": [{**POSITION, **change}]}))
    assert caught.value.status == 422


@pytest.mark.parametrize("positions", [None, {}, "AAA", [1], [POSITION] * 501])
def test_bad_portfolio_is_refused(engine, positions):
    with pytest.raises(ApiError):
        engine.put_positions(request({"positions": positions}, "A"))
    assert engine.count() == 0


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.00"), (1.0, "1.00"), (150.0, "150.00")])
def test_money_has_two_places(value, text):
    assert money(value) == text
#@ since re-options


def test_option_needs_its_strike(engine):
    with pytest.raises(ApiError) as caught:
        engine.what_if(request({"positions": [{**POSITION, "kind": "call", "days": 30}]}))
    assert "strike" in caught.value.body["message"]
#@ end
#@ since re-rounding


@pytest.mark.parametrize(("value", "text"), [(0.101, "0.11"), (0.1, "0.10"), (12.3400001, "12.35"), (12.34, "12.34")])
def test_margin_is_rounded_up(value, text):
    assert money(value) == text
#@ end
#@ since re-accounts


def test_accounts_are_listed_by_name(engine):
    for name in ("B", "A"):
        engine.put_positions(request({"positions": [POSITION]}, name))
    assert engine.accounts(request())[1]["accounts"] == [{"account": "A", "positions": 1}, {"account": "B", "positions": 1}]
#@ end
#@ since re-delete


def test_deleted_account_is_unknown(engine):
    engine.put_positions(request({"positions": [POSITION]}, "A"))
    engine.delete(request(None, "A"))
    with pytest.raises(ApiError):
        engine.delete(request(None, "A"))
#@ end
#@ since re-offsets


def test_offset_lowers_the_margin_of_a_spread(engine):
    spread = [POSITION, {**POSITION, "symbol": "BBB", "quantity": -10}]
    engine.put_positions(request({"positions": spread}, "A"))
    assert engine.account_margin(request(None, "A", offset_percent="80"))[1]["total"] == "60.00"
#@ end
#@ since re-limits


@pytest.mark.parametrize(("limit", "breached"), [("149.99", True), ("150.00", False)])
def test_limit_is_breached_only_beyond_it(engine, limit, breached):
    engine.put_positions(request({"positions": [POSITION]}, "A"))
    engine.put_limit(request({"limit": limit}, "A"))
    answer = engine.account_margin(request(None, "A"))[1]
    assert (answer["limit"], answer["breached"]) == (limit, breached)
#@ end
