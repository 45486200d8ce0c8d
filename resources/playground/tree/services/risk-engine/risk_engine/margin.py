"""Scenario margin: the worst loss of a portfolio over a grid of price and volatility moves."""

#@ since re-options
from .options import option_value

#@ end
PRICE_MOVES = (-0.15, -0.10, -0.05, 0.0, 0.05, 0.10, 0.15)
#@ before re-options
VOLATILITY_MOVES = (0.0,)
#@ end
#@ since re-options
VOLATILITY_MOVES = (-0.25, 0.0, 0.25)
#@ end
#@ since re-extreme
# Farther moves count only in part, as they are rare.
EXTREME_MOVES = (-0.45, 0.45)
EXTREME_WEIGHT = 0.3
#@ end
#@ since re-concentration
# A position beyond this share of the daily volume takes longer than a day to close.
FREE_SHARE = 0.05
#@ end


class Position:
    """Something held: a future, or an option on it. Values are in currency units."""

#@ before re-options
    __slots__ = ("price", "quantity", "symbol")

    def __init__(self, symbol, quantity, price):
        self.symbol, self.quantity, self.price = symbol, quantity, price

    def value(self, price_move, _volatility_move):
        return self.quantity * self.price * (1 + price_move)
#@ end
#@ since re-options
#@ before re-concentration
    __slots__ = ("kind", "price", "quantity", "strike", "symbol", "volatility", "years")

    def __init__(self, symbol, quantity, price, kind="future", strike=0.0, years=0.0, volatility=0.2):
        self.symbol, self.quantity, self.price = symbol, quantity, price
        self.kind, self.strike, self.years, self.volatility = kind, strike, years, volatility
#@ end
#@ since re-concentration
    __slots__ = ("daily_volume", "kind", "price", "quantity", "strike", "symbol", "volatility", "years")

    def __init__(self, symbol, quantity, price, kind="future", strike=0.0, years=0.0, volatility=0.2, daily_volume=0):
        self.symbol, self.quantity, self.price = symbol, quantity, price
        self.kind, self.strike, self.years, self.volatility = kind, strike, years, volatility
        self.daily_volume = daily_volume
#@ end

    def value(self, price_move, volatility_move):
        price = self.price * (1 + price_move)
        if self.kind == "future":
            return self.quantity * price
        volatility = self.volatility * (1 + volatility_move)
        return self.quantity * option_value(self.kind, price, self.strike, self.years, volatility)
#@ end


#@ before re-offsets
def scan_loss(positions):
    """The worst loss over the grid, never negative, and the scenario it belongs to."""
    base = sum(position.value(0.0, 0.0) for position in positions)
    worst, scenario = 0.0, (0.0, 0.0)
    for price_move in PRICE_MOVES:
        for volatility_move in VOLATILITY_MOVES:
            loss = base - sum(position.value(price_move, volatility_move) for position in positions)
            if loss > worst:
                worst, scenario = loss, (price_move, volatility_move)
#@ since re-extreme
    for price_move in EXTREME_MOVES:
        loss = EXTREME_WEIGHT * (base - sum(position.value(price_move, 0.0) for position in positions))
        if loss > worst:
            worst, scenario = loss, (price_move, 0.0)
#@ end
    return worst, scenario
#@ end
#@ since re-offsets
def scenarios():
    """Every scenario with the weight its loss has."""
    for price_move in PRICE_MOVES:
        for volatility_move in VOLATILITY_MOVES:
            yield price_move, volatility_move, 1.0
    for price_move in EXTREME_MOVES:
        yield price_move, 0.0, EXTREME_WEIGHT


GRID = tuple(scenarios())


def losses(positions):
    """The weighted loss in each scenario of the grid."""
    base = sum(position.value(0.0, 0.0) for position in positions)
    return [weight * (base - sum(position.value(move, volatility) for position in positions)) for move, volatility, weight in GRID]


def scan_loss(positions):
    """The worst loss over the grid, never negative, and the scenario it belongs to."""
    by_scenario = losses(positions)
    worst = max(by_scenario, default=0.0)
    if worst <= 0:
        return 0.0, (0.0, 0.0)
    return worst, GRID[by_scenario.index(worst)][:2]
#@ end


#@ before re-offsets
def margin(positions):
    """The margin of a portfolio: instruments are scanned one by one, since they need not move together."""
    by_symbol = {}
    for position in positions:
        by_symbol.setdefault(position.symbol, []).append(position)
    parts = {symbol: scan_loss(held) for symbol, held in by_symbol.items()}
    return sum(loss for loss, _ in parts.values()), parts
#@ end
#@ since re-offsets
def margin(positions, offset=0.0):
    """The margin of a portfolio: between scanning instruments one by one (offset 0) and all moving together (offset 1)."""
    by_symbol = {}
    for position in positions:
        by_symbol.setdefault(position.symbol, []).append(position)
    parts = {symbol: scan_loss(held) for symbol, held in by_symbol.items()}
    apart = sum(loss for loss, _ in parts.values())
    together = scan_loss(positions)[0] if offset else 0.0
#@ before re-concentration
    return (1 - offset) * apart + offset * together, parts
#@ end
#@ since re-concentration
    return (1 - offset) * apart + offset * together + concentration(by_symbol, parts), parts


def concentration(by_symbol, parts):
    """What is added for positions too large to close within a day: the square root of the days it takes."""
    added = 0.0
    for symbol, held in by_symbol.items():
        volume = max(position.daily_volume for position in held)
        if volume:
            days = abs(sum(position.quantity for position in held)) / (FREE_SHARE * volume)
            added += parts[symbol][0] * max(0.0, days**0.5 - 1)
    return added
#@ end
#@ end
