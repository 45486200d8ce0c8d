"""The HTTP API of market data."""

import time

#@ before md-ticker
from .checks import decimal, text, ticks, whole
#@ end
#@ since md-ticker
#@ before md-side
from .checks import decimal, objects, text, ticks, whole
#@ end
#@ since md-side
from .checks import decimal, objects, one_of, text, ticks, whole
#@ end
#@ end
from .instruments import Instrument
from .modes import Mode
from .server import ApiError, serve

MAX_SIZE = 1_000_000_000
#@ since md-bounds
MAX_INSTRUMENTS = 2_000
#@ end
#@ since md-stale
STALE_US = 5_000_000
#@ end


class MarketData:
    """All instruments by symbol; an instrument exists from its first quote or trade on."""

    def __init__(self, clock_us=lambda: time.time_ns() // 1000):
        self._instruments = {}
        self._clock_us = clock_us

    def count(self):
        return len(self._instruments)

    def _instrument(self, symbol):
        found = self._instruments.get(symbol)
        if found is None:
#@ since md-bounds
            if len(self._instruments) >= MAX_INSTRUMENTS:
                raise ApiError(422, "Too many instruments", "At most %d instruments are kept." % MAX_INSTRUMENTS)
#@ end
            found = self._instruments[symbol] = Instrument(symbol)
        return found

    def _known(self, request):
        found = self._instruments.get(request.parameters[0])
        if found is None:
            raise ApiError(404, "Unknown instrument", "Nothing was published for this symbol yet.")
        return found

    def publish_quote(self, request):
        body = request.json()
        symbol = text(body, "symbol", 16)
        bid, ask = ticks(body, "bid"), ticks(body, "ask")
        if bid >= ask:
            raise ApiError(422, "Crossed quote", "The bid must be below the ask.")
        sizes = whole(body, "bid_size", 1, MAX_SIZE), whole(body, "ask_size", 1, MAX_SIZE)
        instrument = self._instrument(symbol)
        instrument.quote(bid, ask, *sizes, self._clock_us())
        return 200, self._quote(instrument)

    def publish_trade(self, request):
        body = request.json()
        symbol, price = text(body, "symbol", 16), ticks(body, "price")
        quantity = whole(body, "quantity", 1, MAX_SIZE)
        instrument = self._instrument(symbol)
#@ before md-side
        instrument.trade(price, quantity, self._clock_us())
#@ end
#@ since md-side
        aggressor = one_of(body, "aggressor", ("buy", "sell", "unknown"), "unknown")
        instrument.trade(price, quantity, self._clock_us(), aggressor)
#@ end
#@ before md-sequence
        return 201, {"symbol": symbol, "price": decimal(price), "quantity": quantity}
#@ end
#@ since md-sequence
        return 201, {"symbol": symbol, "price": decimal(price), "quantity": quantity, "sequence": instrument.sequence}
#@ end

    def quote(self, request):
        return 200, self._quote(self._known(request))

    def trades(self, request):
        limit = request.integer("limit", 50, 1, 200)
        rows = list(self._known(request).trades)[-limit:]
#@ before md-side
        return 200, {"trades": [{"price": decimal(price), "quantity": quantity, "at_us": at_us} for price, quantity, at_us in rows]}
#@ end
#@ since md-side
        names = ("quantity", "at_us", "aggressor")
        return 200, {"trades": [{"price": decimal(price), **dict(zip(names, rest))} for price, *rest in rows]}
#@ end

#@ since md-ticker
    def ticker(self, request):
        """The day's figures of one instrument."""
        instrument = self._known(request)
        prices = {name: getattr(instrument, name) for name in ("open", "high", "low", "last")}
        prices["vwap"] = instrument.average()
        return 200, {"symbol": instrument.symbol, "volume": instrument.volume, **{name: optional(price) for name, price in prices.items()}}

    def publish_quotes(self, request):
        """Many quotes at once: all are checked before the first one counts."""
        rows = objects(request.json(), "quotes", 500)
        checked = []
        for row in rows:
            bid, ask = ticks(row, "bid"), ticks(row, "ask")
            if bid >= ask:
                raise ApiError(422, "Crossed quote", "The bid must be below the ask.")
            checked.append((text(row, "symbol", 16), bid, ask, whole(row, "bid_size", 1, MAX_SIZE), whole(row, "ask_size", 1, MAX_SIZE)))
        for symbol, *quote in checked:
            self._instrument(symbol).quote(*quote, self._clock_us())
        return 200, {"published": len(checked)}

#@ end
#@ since md-candles
    def candles(self, request):
        """Candles of a minute, oldest first."""
        limit = request.integer("limit", 60, 1, 240)
        rows = list(self._known(request).candles)[-limit:]
        return 200, {"candles": [{name: decimal(value) if name in OHLC else value for name, value in row.items()} for row in rows]}

#@ end
#@ since md-many
    def quotes(self, request):
        """The quotes of several instruments; unknown ones are named, not refused."""
        symbols = [symbol for symbol in request.query.get("symbols", "").split(",") if symbol][:500]
        if not symbols:
            raise ApiError(400, "No symbols", "symbols must name at least one instrument.", "For example ?symbols=AAA,BBB.")
        known = [self._instruments[symbol] for symbol in symbols if symbol in self._instruments]
        return 200, {"quotes": [self._quote(instrument) for instrument in known], "unknown": [s for s in symbols if s not in self._instruments]}

#@ end
    def symbols(self, _request):
        return 200, {"symbols": sorted(self._instruments)}

    def _quote(self, instrument):
        return {
            "symbol": instrument.symbol,
            "bid": optional(instrument.bid),
            "ask": optional(instrument.ask),
            "bid_size": instrument.bid_size,
            "ask_size": instrument.ask_size,
            "at_us": instrument.quoted_at_us,
#@ since md-sequence
            "sequence": instrument.sequence,
#@ end
#@ since md-stale
            "stale": instrument.is_stale(self._clock_us(), STALE_US),
#@ end
#@ since md-spread
            "spread_bp": instrument.spread_bp(),
#@ end
        }


#@ since md-candles
OHLC = ("open", "high", "low", "close")


#@ end
def optional(price):
    return None if price is None else decimal(price)


def main():
    data = MarketData()
    routes = [
        ("POST", "/quotes", "publish_quote", data.publish_quote),
#@ since md-ticker
        ("PUT", "/quotes", "publish_quotes", data.publish_quotes),
#@ end
        ("POST", "/trades", "publish_trade", data.publish_trade),
#@ since md-many
        ("GET", "/quotes", "get_quotes", data.quotes),
#@ end
        ("GET", "/quotes/*", "get_quote", data.quote),
        ("GET", "/trades/*", "get_trades", data.trades),
#@ since md-ticker
        ("GET", "/ticker/*", "get_ticker", data.ticker),
#@ end
#@ since md-candles
        ("GET", "/candles/*", "get_candles", data.candles),
#@ end
        ("GET", "/symbols", "get_symbols", data.symbols),
    ]
    mode = Mode({"halted": ("publish_quote", "publish_quotes", "publish_trade")})
    serve("market-data", routes, [("market_data_instruments", "Instruments that were published.", data.count)], mode)
