"""The HTTP API of the risk engine."""

#@ before re-options
from .checks import decimal, objects, text, ticks, whole
#@ end
#@ since re-options
from .checks import decimal, objects, one_of, text, ticks, whole
#@ end
from .margin import Position, margin
from .modes import Mode
from .server import ApiError, serve

MAX_POSITIONS = 500
MAX_ACCOUNTS = 2_000
MAX_QUANTITY = 1_000_000


class RiskEngine:
    """Portfolios by account."""

    def __init__(self):
        self._accounts = {}
#@ since re-limits
        self._limits = {}
#@ end

    def count(self):
        return len(self._accounts)

    def put_positions(self, request):
        """Replace an account's portfolio."""
        account = request.parameters[0]
        positions = read_positions(request.json())
        if account not in self._accounts and len(self._accounts) >= MAX_ACCOUNTS:
            raise ApiError(422, "Too many accounts", "At most %d accounts are kept." % MAX_ACCOUNTS)
        self._accounts[account] = positions
        return 200, {"account": account, "positions": len(positions)}

    def account_margin(self, request):
        """The margin of a stored portfolio."""
#@ before re-offsets
        return 200, {"account": request.parameters[0], **answer(self._find(request))}
#@ end
#@ since re-offsets
        offset = request.integer("offset_percent", 0, 0, 100) / 100
#@ before re-limits
        return 200, {"account": request.parameters[0], **answer(self._find(request), offset)}
#@ end
#@ since re-limits
        account, body = request.parameters[0], answer(self._find(request), offset)
        limit = self._limits.get(account)
        if limit is not None:
            body["limit"], body["breached"] = decimal(limit), ticks(body, "total") > limit if body["total"] != "0.00" else False
        return 200, {"account": account, **body}

    def put_limit(self, request):
        """Set the highest margin an account may need."""
        self._find(request)
        self._limits[request.parameters[0]] = ticks(request.json(), "limit")
        return 200, {"account": request.parameters[0], "limit": decimal(self._limits[request.parameters[0]])}
#@ end
#@ end

#@ since re-accounts
    def accounts(self, _request):
        """Who has a portfolio here, and of how many positions."""
        return 200, {"accounts": [{"account": name, "positions": len(held)} for name, held in sorted(self._accounts.items())]}

#@ end
#@ since re-delete
    def delete(self, request):
        """Forget an account."""
        self._find(request)
        del self._accounts[request.parameters[0]]
#@ since re-limits
        self._limits.pop(request.parameters[0], None)
#@ end
        return 200, {"account": request.parameters[0]}

#@ end
    def what_if(self, request):
        """The margin of a portfolio that isn't stored."""
        return 200, answer(read_positions(request.json()))

    def _find(self, request):
        positions = self._accounts.get(request.parameters[0])
        if positions is None:
            raise ApiError(404, "Unknown account", "This account has no portfolio here.")
        return positions


#@ before re-offsets
def answer(positions):
    total, parts = margin(positions)
#@ end
#@ since re-offsets
def answer(positions, offset=0.0):
    total, parts = margin(positions, offset)
#@ end
    return {
        "total": money(total),
        "instruments": [
            {"symbol": symbol, "loss": money(loss), "price_move": scenario[0], "volatility_move": scenario[1]}
            for symbol, (loss, scenario) in sorted(parts.items())
        ],
    }


#@ before re-rounding
def money(value):
    return decimal(int(value * 100 + 0.5))
#@ end
#@ since re-rounding
def money(value):
    """Rounded up to the cent: margin is never short of the loss."""
    cents = int(value * 100)
    return decimal(cents + (value * 100 - cents > 1e-6))
#@ end


def read_positions(body):
    return [read_position(row) for row in objects(body, "positions", MAX_POSITIONS)]


def read_position(row):
    symbol, price = text(row, "symbol", 16), ticks(row, "price") / 100
    quantity = whole(row, "quantity", -MAX_QUANTITY, MAX_QUANTITY)
#@ before re-options
    return Position(symbol, quantity, price)
#@ end
#@ since re-options
#@ before re-concentration
    if one_of(row, "kind", ("future", "call", "put"), "future") == "future":
        return Position(symbol, quantity, price)
    return Position(symbol, quantity, price, row["kind"], ticks(row, "strike") / 100, whole(row, "days", 0, 3650) / 365)
#@ end
#@ since re-concentration
    volume = whole(row, "daily_volume", 0, 10**9) if "daily_volume" in row else 0
    if one_of(row, "kind", ("future", "call", "put"), "future") == "future":
        return Position(symbol, quantity, price, daily_volume=volume)
    strike, years = ticks(row, "strike") / 100, whole(row, "days", 0, 3650) / 365
    return Position(symbol, quantity, price, row["kind"], strike, years, daily_volume=volume)
#@ end
#@ end


def main():
    engine = RiskEngine()
    routes = [
        ("PUT", "/accounts/*/positions", "put_positions", engine.put_positions),
        ("GET", "/accounts/*/margin", "get_margin", engine.account_margin),
#@ since re-limits
        ("PUT", "/accounts/*/limit", "put_limit", engine.put_limit),
#@ end
#@ since re-accounts
        ("GET", "/accounts", "get_accounts", engine.accounts),
#@ end
#@ since re-delete
        ("DELETE", "/accounts/*", "delete_account", engine.delete),
#@ end
        ("POST", "/margin", "what_if", engine.what_if),
    ]
    mode = Mode({"halted": ("put_positions", "put_limit", "delete_account")})
    serve("risk-engine", routes, [("risk_accounts", "Accounts with a portfolio.", engine.count)], mode)
