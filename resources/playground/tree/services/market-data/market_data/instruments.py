"""What is known of one instrument: its quote, its last trades and the day's figures. Prices are whole ticks."""

from collections import deque

KEPT_TRADES = 200
#@ since md-candles
CANDLE_US = 60_000_000
KEPT_CANDLES = 240
#@ end


class Instrument:
    """One instrument of the venue."""

    def __init__(self, symbol):
        self.symbol = symbol
        self.bid = self.ask = None
        self.bid_size = self.ask_size = 0
        self.quoted_at_us = 0
        self.trades = deque(maxlen=KEPT_TRADES)
#@ since md-sequence
        self.sequence = 0
#@ end
#@ since md-ticker
        self.open = self.high = self.low = self.last = None
        self.volume = 0
        self.turnover = 0
#@ end
#@ since md-candles
        self.candles = deque(maxlen=KEPT_CANDLES)
#@ end

    def quote(self, bid, ask, bid_size, ask_size, at_us):
        self.bid, self.ask = bid, ask
        self.bid_size, self.ask_size = bid_size, ask_size
        self.quoted_at_us = at_us
#@ since md-sequence
        self.sequence += 1
#@ end

#@ before md-side
    def trade(self, price, quantity, at_us):
        self.trades.append((price, quantity, at_us))
#@ end
#@ since md-side
    def trade(self, price, quantity, at_us, aggressor="unknown"):
        self.trades.append((price, quantity, at_us, aggressor))
#@ end
#@ since md-sequence
        self.sequence += 1
#@ end
#@ since md-ticker
        self._count(price, quantity)
#@ end
#@ since md-candles
        self._draw(price, quantity, at_us)
#@ end
#@ since md-ticker

    def _count(self, price, quantity):
        if self.open is None:
            self.open = self.high = self.low = price
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.last = price
        self.volume += quantity
        self.turnover += price * quantity

#@ before md-vwap-rounding
    def average(self):
        """The volume-weighted average price, in ticks."""
        return self.turnover // self.volume if self.volume else None
#@ end
#@ since md-vwap-rounding
    def average(self):
        """The volume-weighted average price, in ticks, rounded half up."""
        return (2 * self.turnover + self.volume) // (2 * self.volume) if self.volume else None
#@ end
#@ end
#@ since md-stale

    def is_stale(self, now_us, limit_us):
        return now_us - self.quoted_at_us > limit_us
#@ end
#@ since md-candles

    def _draw(self, price, quantity, at_us):
        """Add a trade to its minute. A late trade belongs to the newest minute: candles never go back."""
        start_us = at_us - at_us % CANDLE_US
        if not self.candles or start_us > self.candles[-1]["start_us"]:
            self.candles.append({"start_us": start_us, "open": price, "high": price, "low": price, "close": price, "volume": 0})
        candle = self.candles[-1]
        candle["high"], candle["low"] = max(candle["high"], price), min(candle["low"], price)
        candle["close"] = price
        candle["volume"] += quantity
#@ end
#@ since md-spread

    def spread_bp(self):
        """The quoted spread in hundredths of a percent of the middle."""
        if self.bid is None or self.ask is None:
            return None
        return round(20_000 * (self.ask - self.bid) / (self.ask + self.bid), 2)
#@ end
