#@ before md-candles
from market_data.instruments import KEPT_TRADES, Instrument
#@ end
#@ since md-candles
from market_data.instruments import CANDLE_US, KEPT_TRADES, Instrument
#@ end
#@ since md-vwap-rounding
import pytest
#@ end


def test_quote_replaces_the_one_before():
    instrument = Instrument("AAA")
    instrument.quote(100, 101, 5, 6, 1)
    instrument.quote(99, 102, 7, 8, 2)
    assert (instrument.bid, instrument.ask, instrument.bid_size, instrument.ask_size, instrument.quoted_at_us) == (99, 102, 7, 8, 2)


def test_only_the_last_trades_are_kept():
    instrument = Instrument("AAA")
    for number in range(KEPT_TRADES + 5):
        instrument.trade(100 + number, 1, number)
    assert len(instrument.trades) == KEPT_TRADES
    assert instrument.trades[0][0] == 105
#@ since md-ticker


def test_day_figures_follow_the_trades():
    instrument = Instrument("AAA")
    for price, quantity in ((100, 1), (110, 2), (90, 1)):
        instrument.trade(price, quantity, 0)
    assert (instrument.open, instrument.high, instrument.low, instrument.last, instrument.volume) == (100, 110, 90, 90, 4)


def test_average_needs_a_trade():
    assert Instrument("AAA").average() is None
#@ end
#@ since md-vwap-rounding


@pytest.mark.parametrize(("trades", "average"), [([(100, 1), (101, 1)], 101), ([(100, 2), (101, 1)], 100), ([(100, 1), (101, 2)], 101)])
def test_average_is_rounded_half_up(trades, average):
    instrument = Instrument("AAA")
    for price, quantity in trades:
        instrument.trade(price, quantity, 0)
    assert instrument.average() == average
#@ end
#@ since md-sequence


def test_every_change_has_a_number_of_its_own():
    instrument = Instrument("AAA")
    instrument.quote(100, 101, 1, 1, 0)
    instrument.trade(100, 1, 0)
    assert instrument.sequence == 2
#@ end
#@ since md-stale


def test_quote_is_stale_after_the_limit_only():
    instrument = Instrument("AAA")
    instrument.quote(100, 101, 1, 1, 1_000)
    assert not instrument.is_stale(1_500, 500)
    assert instrument.is_stale(1_501, 500)
#@ end
#@ since md-candles


def test_trades_of_one_minute_share_a_candle():
    instrument = Instrument("AAA")
    for price, at_us in ((100, 0), (103, 10), (99, CANDLE_US - 1), (101, CANDLE_US)):
        instrument.trade(price, 2, at_us)
    first, second = instrument.candles
    assert first == {"start_us": 0, "open": 100, "high": 103, "low": 99, "close": 99, "volume": 6}
    assert (second["start_us"], second["volume"]) == (CANDLE_US, 2)


def test_late_trade_does_not_go_back_in_time():
    instrument = Instrument("AAA")
    instrument.trade(100, 1, CANDLE_US)
    instrument.trade(90, 1, 0)
    assert [candle["start_us"] for candle in instrument.candles] == [CANDLE_US]
#@ end
#@ since md-spread


@pytest.mark.parametrize(("bid", "ask", "spread"), [(9_999, 10_001, 2.0), (100, 101, 99.5)])
def test_spread_is_relative_to_the_middle(bid, ask, spread):
    instrument = Instrument("AAA")
    assert instrument.spread_bp() is None
    instrument.quote(bid, ask, 1, 1, 0)
    assert instrument.spread_bp() == spread
#@ end
