#@ since re-options
"""Black's formula for options on futures, without interest."""

from math import erf, log, sqrt


def normal(x):
    return 0.5 * (1 + erf(x / sqrt(2)))


def option_value(kind, price, strike, years, volatility):
    """The value of a call or put; at expiry or without volatility, what it pays."""
    if years <= 0 or volatility <= 0:
        return max(0.0, price - strike if kind == "call" else strike - price)
    width = volatility * sqrt(years)
    d1 = log(price / strike) / width + width / 2
    if kind == "call":
        return price * normal(d1) - strike * normal(d1 - width)
    return strike * normal(width - d1) - price * normal(-d1)
#@ end
