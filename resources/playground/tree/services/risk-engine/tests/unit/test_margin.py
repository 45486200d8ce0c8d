import pytest

#@ before re-concentration
from risk_engine.margin import Position, margin, scan_loss
#@ end
#@ since re-concentration
from risk_engine.margin import Position, concentration, margin, scan_loss
#@ end


@pytest.mark.parametrize(("quantity", "move"), [(10, -0.15), (-10, 0.15)])
def test_future_loses_most_at_the_edge_of_the_grid(quantity, move):
    loss, scenario = scan_loss([Position("AAA", quantity, 100.0)])
    assert loss == pytest.approx(150.0)
    assert scenario == (move, 0.0) or scenario[0] == move


def test_empty_portfolio_needs_no_margin():
    assert margin([]) == (0.0, {})


def test_opposite_positions_of_one_instrument_cancel_out():
    assert margin([Position("AAA", 5, 100.0), Position("AAA", -5, 100.0)])[0] == pytest.approx(0.0)


def test_instruments_add_up():
    total, parts = margin([Position("AAA", 1, 100.0), Position("BBB", -1, 200.0)])
    assert total == pytest.approx(45.0)
    assert sorted(parts) == ["AAA", "BBB"]


@pytest.mark.parametrize("scale", [1, 7, 1000])
def test_margin_grows_with_the_position(scale):
    assert margin([Position("AAA", scale, 50.0)])[0] == pytest.approx(scale * 7.5)
#@ since re-options


@pytest.mark.parametrize("kind", ["call", "put"])
def test_bought_option_loses_at_most_its_value(kind):
    option = Position("AAA", 1, 100.0, kind, 100.0, 0.25)
    assert 0 < scan_loss([option])[0] <= option.value(0.0, 0.0)


def test_sold_option_loses_when_volatility_rises():
    position = Position("AAA", -1, 100.0, "call", 100.0, 0.25)
    assert position.value(0.0, 0.25) < position.value(0.0, 0.0) < position.value(0.0, -0.25)
    assert scan_loss([position, Position("AAA", 1, 50.0)])[0] > 0
#@ end
#@ since re-extreme


def test_far_sold_option_is_caught_by_the_extreme_move():
    assert scan_loss([Position("AAA", -1, 100.0, "call", 140.0, 0.02)])[1] == (0.45, 0.0)
#@ end
#@ since re-offsets


def test_offset_lies_between_apart_and_together():
    spread = [Position("MAR", 10, 100.0), Position("JUN", -10, 100.0)]
    assert margin(spread)[0] == pytest.approx(300.0)
    assert margin(spread, 0.8)[0] == pytest.approx(60.0)
    assert margin(spread, 1.0)[0] == pytest.approx(0.0)
#@ end
#@ since re-concentration


@pytest.mark.parametrize(("quantity", "factor"), [(10, 1), (50, 1), (200, 2), (450, 3)])
def test_large_position_needs_more(quantity, factor):
    held = [Position("AAA", quantity, 100.0, daily_volume=1000)]
    assert margin(held)[0] == pytest.approx(factor * quantity * 15.0)


def test_unknown_volume_adds_nothing():
    held = {"AAA": [Position("AAA", 10**6, 100.0)]}
    assert concentration(held, {"AAA": (1.0, None)}) == 0.0
#@ end


@pytest.mark.skip(reason="needs the exchange's correlation file, which is not distributed")
def test_correlated_instruments_offset_each_other():
    raise NotImplementedError
