#@ since re-options
import pytest

from risk_engine.options import normal, option_value


@pytest.mark.parametrize(("x", "value"), [(0.0, 0.5), (1.959964, 0.975), (-1.959964, 0.025)])
def test_normal_distribution(x, value):
    assert normal(x) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("strike", [80.0, 100.0, 125.0])
def test_call_and_put_differ_by_price_minus_strike(strike):
    call, put = (option_value(kind, 100.0, strike, 0.5, 0.3) for kind in ("call", "put"))
    assert call - put == pytest.approx(100.0 - strike)


@pytest.mark.parametrize(("kind", "value"), [("call", 5.0), ("put", 0.0)])
def test_at_expiry_an_option_is_worth_what_it_pays(kind, value):
    assert option_value(kind, 105.0, 100.0, 0.0, 0.2) == value


def test_value_of_a_known_option():
    assert option_value("call", 100.0, 100.0, 1.0, 0.2) == pytest.approx(7.9656, abs=1e-4)
#@ end
