"""What market participants send to one node, by regime. Pure: no clock, no I/O; the caller sends and tells what came back."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any, Protocol

import msgspec
from msgspec import Struct

REGIMES = ("calm", "volatile", "crash")
MID_TICKS = 10_000
MAKERS = tuple(f"MAKER-{number:02d}" for number in range(60))
TRADERS = tuple(f"TRADER-{number}" for number in range(4))


class Call(Struct, frozen=True):
    """One request to a node."""

    method: str
    path: str
    body: bytes = b""


class Shape(Struct, frozen=True):
    """A regime as the order gateway sees it: requests a second, makers and levels a side, ticks between prices, own orders kept."""

    rate_per_s: float
    makers: int
    levels: int
    gap_ticks: int
    step_ticks: int
    spread_ticks: float
    kept_orders: int


SHAPES = {
    "calm": Shape(10.0, 1, 5, 3, 1, 4.0, 6),
    "volatile": Shape(35.0, 60, 32, 80, 6, 150.0, 40),
    "crash": Shape(60.0, 60, 32, 60, 8, 200.0, 40),
}
DATA_RATE_PER_S = {"calm": 5.0, "volatile": 30.0, "crash": 60.0}
# Leaving a deep book takes more cancels than a calm market sends otherwise.
DRAIN_RATE_PER_S = 30.0


class Flow(Protocol):
    """Requests to one node. One thread."""

    def rate_per_s(self, regime: str) -> float:
        """How many requests a second the regime wants now."""

    def next(self, regime: str) -> Call:
        """The next request."""

    def learn(self, call: Call, status: int, body: bytes) -> None:
        """Take in an answer."""

    def reset(self) -> None:
        """Forget the node's state: it was started anew, or may have been."""


def price(ticks: int) -> str:
    """A price in hundredths as the decimal string that the services take."""
    return f"{ticks // 100}.{ticks % 100:02d}"


def _call(method: str, path: str, body: dict[str, Any]) -> Call:
    return Call(method, path, msgspec.json.encode(body))


class OrderFlow:
    """Traders and market makers on one order gateway."""

    def __init__(self, seed: str, run: str) -> None:
        self._random = Random(seed)  # noqa: S311 - a market, not a secret
        self._run = run
        self._count = 0
        self._mid = MID_TICKS
        self._falling = True
        self._resting: deque[str] = deque()
        self._quoted: set[str] = set()
        # Whoever sent before this process did may have left quotes.
        self._drain = [*MAKERS, *TRADERS]

    def rate_per_s(self, regime: str) -> float:
        rate = SHAPES[regime].rate_per_s
        return max(rate, DRAIN_RATE_PER_S) if regime == "calm" and self._drain else rate

    def reset(self) -> None:
        self._resting.clear()
        self._quoted.clear()
        self._drain = []

    def next(self, regime: str) -> Call:
        shape = SHAPES[regime]
        self._move(regime)
        if regime == "calm":
            if len(self._quoted) > shape.makers:
                self._drain += [*sorted(self._quoted), *TRADERS]
                self._quoted.clear()
                self._resting.clear()
            if self._drain:
                return Call("DELETE", f"/accounts/{self._drain.pop()}/orders")
        elif self._drain:
            self._drain = []
        if len(self._resting) > shape.kept_orders:
            return Call("DELETE", f"/orders/{self._resting.popleft()}")
        return self._mixed(shape)

    def _mixed(self, shape: Shape) -> Call:
        """Quotes come often until every maker is there; then traders and readers prevail."""
        missing = len(self._quoted) < shape.makers
        draw = self._random.random()
        if draw < (0.18 if missing else 0.04):
            return self._quotes(shape)
        if draw < 0.45:
            return self._order(shape)
        if draw < 0.55 and self._resting:
            return Call("GET", f"/orders/{self._random.choice(self._resting)}")
        return Call("GET", "/book?depth=10")

    def _move(self, regime: str) -> None:
        if regime == "crash":
            self._mid += -4 if self._falling else 8
            if not 8_000 < self._mid < MID_TICKS:
                self._falling = self._mid >= MID_TICKS
            return
        width = 1 if regime == "calm" else 60
        self._mid += self._random.randint(-width // 4 - 1, width // 4 + 1)
        self._mid += max(-40, min(40, (MID_TICKS - self._mid) // 4))

    def _quotes(self, shape: Shape) -> Call:
        makers = MAKERS[: shape.makers]
        account = next((name for name in makers if name not in self._quoted), "") or self._random.choice(makers)
        self._quoted.add(account)
        quotes = []
        for level in range(shape.levels):
            away = shape.gap_ticks + level * shape.step_ticks + self._random.randrange(shape.step_ticks)
            for side, ticks in (("buy", self._mid - away), ("sell", self._mid + away)):
                quotes.append({"side": side, "price": price(ticks), "quantity": self._random.randint(1, 20)})
        return _call("PUT", f"/accounts/{account}/quotes", {"quotes": quotes})

    def _order(self, shape: Shape) -> Call:
        self._count += 1
        ticks = self._mid + round(self._random.gauss(0, shape.spread_ticks))
        body = {
            "account": self._random.choice(TRADERS),
            "client_id": f"{self._run}-{self._count}",
            "side": self._random.choice(("buy", "sell")),
            "price": price(max(1, ticks)),
            "quantity": self._random.randint(1, 10),
        }
        return _call("POST", "/orders", body)

    def learn(self, call: Call, status: int, body: bytes) -> None:
        if status == 201 and call.path == "/orders":
            order = msgspec.json.decode(body)
            if order.get("status") in ("resting", "partly_filled"):
                self._resting.append(str(order["order_id"]))


class QuoteFlow:
    """Publishers and readers of market data."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - a market, not a secret
        self._mids: dict[str, int] = {}

    def rate_per_s(self, regime: str) -> float:
        return DATA_RATE_PER_S[regime]

    def reset(self) -> None:
        self._mids.clear()

    def next(self, regime: str) -> Call:
        symbol = f"FUT{self._random.randrange(10 if regime == 'calm' else 60):02d}"
        draw = self._random.random()
        if symbol not in self._mids or draw < 0.4:
            return self._quote(symbol, 2 if regime == "calm" else 40)
        if draw < 0.6:
            body = {"symbol": symbol, "price": price(self._mids[symbol]), "quantity": self._random.randint(1, 50)}
            return _call("POST", "/trades", body)
        path = "/quotes" if draw < 0.75 else "/ticker" if draw < 0.9 else "/trades"
        return Call("GET", f"{path}/{symbol}")

    def _quote(self, symbol: str, width: int) -> Call:
        mid = max(1_000, self._mids.get(symbol, MID_TICKS) + self._random.randint(-width, width))
        self._mids[symbol] = mid
        sizes = {"bid_size": self._random.randint(1, 99), "ask_size": self._random.randint(1, 99)}
        return _call("POST", "/quotes", {"symbol": symbol, "bid": price(mid - width), "ask": price(mid + width), **sizes})

    def learn(self, call: Call, status: int, body: bytes) -> None:
        """Market data needs no memory of answers."""


class MarginFlow:
    """Risk managers asking for margins; portfolios grow with the regime."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - a market, not a secret
        self._known: set[str] = set()

    def rate_per_s(self, regime: str) -> float:
        return DATA_RATE_PER_S[regime]

    def reset(self) -> None:
        self._known.clear()

    def next(self, regime: str) -> Call:
        account = f"ACCOUNT-{self._random.randrange(20):02d}"
        draw = self._random.random()
        size = {"calm": 4, "volatile": 16, "crash": 24}[regime]
        if account not in self._known or draw < 0.2:
            self._known.add(account)
            return _call("PUT", f"/accounts/{account}/positions", {"positions": self._positions(size)})
        if draw < 0.75:
            return Call("GET", f"/accounts/{account}/margin")
        return _call("POST", "/margin", {"positions": self._positions(size)})

    def _positions(self, size: int) -> list[dict[str, Any]]:
        return [self._position() for _ in range(size)]

    def _position(self) -> dict[str, Any]:
        draw = self._random
        return {"symbol": f"FUT{draw.randrange(8):02d}", "quantity": draw.randint(-50, 50), "price": price(draw.randint(8_000, 12_000))}

    def learn(self, call: Call, status: int, body: bytes) -> None:
        """Margins need no memory of answers."""


def make_flow(service: str, seed: str, run: str) -> Flow:
    """The flow that fits a service of the playground. `run` makes client ids differ from those of an earlier process."""
    if service == "order-gateway":
        return OrderFlow(seed, run)
    return QuoteFlow(seed) if service == "market-data" else MarginFlow(seed)
