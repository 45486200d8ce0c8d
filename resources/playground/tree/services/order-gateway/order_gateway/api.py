#@ since og-api
"""The gateway's HTTP API: orders in, fills out."""

#@ before og-idempotent
from .book import BUY, OPPOSITE, SELL, Book, Order
#@ end
#@ since og-idempotent
from collections import deque

#@ before og-ioc
from .book import BUY, OPPOSITE, SELL, Book, Order
#@ end
#@ since og-ioc
#@ before og-fok
from .book import BUY, DAY, IOC, OPPOSITE, SELL, Book, Order
#@ end
#@ since og-fok
from .book import BUY, DAY, FOK, IOC, OPPOSITE, SELL, Book, Order
#@ end
#@ end
#@ end
#@ before og-quotes
from .checks import decimal, one_of, text, ticks, whole
#@ end
#@ since og-quotes
from .checks import decimal, objects, one_of, text, ticks, whole
#@ end
from .modes import Mode
from .server import ApiError, serve

MAX_QUANTITY = 1_000_000
# What must never happen. Told by /metrics, for nobody else looks at every order.
CROSSED, OVERFILLED = "book not crossed", "fills within the order's quantity"
# In cancel-only nothing new enters the book, and what is there may shrink and leave; halted, it stands as it is.
REFUSED = {
    "cancel-only": ("place_order", "mass_quote"),
    "halted": ("place_order", "mass_quote", "amend_order", "cancel_order", "mass_cancel"),
}
#@ since og-idempotent
KEPT_ORDERS = 5_000
#@ end
#@ since og-quotes
MAX_QUOTES = 200
#@ end
#@ since og-trades
KEPT_TRADES = 500
#@ end
#@ since og-collar
# Farther from the last trade than this is taken for a typing error.
COLLAR = 0.5
#@ end


class Gateway:
    """The state of one instrument: its book and the orders that clients may still ask for."""

    def __init__(self):
        self.post_only = False
        self.broken = dict.fromkeys((CROSSED, OVERFILLED), 0)
        self.book = Book()
        self._next_id = 1
        self._orders = {}
#@ since og-idempotent
        self._by_client = {}
        self._kept = deque()
#@ end
#@ since og-quotes
        self._quotes = {}
#@ end
#@ since og-trades
        self._trades = deque(maxlen=KEPT_TRADES)
#@ end
#@ since og-collar
        self._last_price = None
#@ end

    def told_mode(self, mode):
        self.post_only = mode == "post-only"

    def place(self, request):
        body = request.json()
        account, client_id = text(body, "account"), text(body, "client_id")
#@ before og-ioc
        order = self._order(body, account, client_id)
#@ end
#@ since og-ioc
#@ before og-fok
        order = self._order(body, account, client_id, one_of(body, "time_in_force", (DAY, IOC), DAY))
#@ end
#@ since og-fok
        order = self._order(body, account, client_id, one_of(body, "time_in_force", (DAY, IOC, FOK), DAY))
#@ end
#@ end
#@ since og-idempotent
        terms = (order.side, order.price, order.quantity)
        known, before = self._by_client.get((account, client_id), (terms, None))
        if before is not None:
            if known != terms:
                raise ApiError(409, "Client id used", "This client id belongs to another order.", "Use a new client id.")
#@ before og-repeat
            return 201, self._view(before)
#@ end
#@ since og-repeat
            return 200, self._view(before)
#@ end
#@ end
#@ since og-collar
        self._check_collar(order.price)
#@ end
        self._refuse_takers([order])
        self.book.place(order)
        self._audit([order])
        self._orders[order.id] = order
#@ since og-idempotent
        self._by_client[account, client_id] = terms, order
        self._forget_old(order)
#@ end
#@ since og-trades
        self._record(order)
#@ end
        return 201, self._view(order)

#@ before og-ioc
    def _order(self, body, account, client_id):
#@ end
#@ since og-ioc
    def _order(self, body, account, client_id, time_in_force=DAY):
#@ end
        side = one_of(body, "side", (BUY, SELL))
        price, quantity = ticks(body, "price"), whole(body, "quantity", 1, MAX_QUANTITY)
        order_id = "o%d" % self._next_id
        self._next_id += 1
#@ before og-ioc
        return Order(order_id, account, client_id, side, price, quantity)
#@ end
#@ since og-ioc
        return Order(order_id, account, client_id, side, price, quantity, time_in_force)
#@ end

    def _audit(self, orders):
        """Count what does not hold after these orders."""
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        self.broken[CROSSED] += bid is not None and ask is not None and bid >= ask
        for order in orders:
            filled = sum(quantity for _, quantity, _ in order.fills)
            self.broken[OVERFILLED] += filled > order.quantity or filled != order.quantity - order.remaining

    def _refuse_takers(self, orders):
        """While post-only, whatever would trade at once is refused: the book only fills up."""
        if not self.post_only:
            return
        for order in orders:
            best = self.book.best(OPPOSITE[order.side])
            if best is not None and order.crosses(best):
                raise ApiError(422, "Post only", "This would trade with %s, and the gateway is post-only." % decimal(best), "Quote farther away.")
#@ since og-ioc
            if order.time_in_force != DAY:
                raise ApiError(422, "Post only", "Only day orders are taken: the gateway is post-only.", "Send time_in_force day.")
#@ end

#@ since og-idempotent
    def _forget_old(self, order):
        """Keep the newest orders for lookups; a resting one stays however old it is."""
        self._kept.append(order)
        for _ in range(len(self._kept) - KEPT_ORDERS):
            oldest = self._kept.popleft()
            if oldest.status in ("resting", "partly_filled"):
                self._kept.append(oldest)
            else:
                del self._orders[oldest.id], self._by_client[oldest.account, oldest.client_id]

#@ end
#@ since og-collar
    def _check_collar(self, price):
        last = self._last_price
        if last is not None and abs(price - last) > last * COLLAR:
            raise ApiError(422, "Outside the collar", "The last trade was at %s." % decimal(last), "Check the price.")

#@ end
#@ since og-trades
    def _record(self, order):
        for price, quantity, resting_id in order.fills:
            self._trades.append({"price": decimal(price), "quantity": quantity, "aggressor": order.side, "order_id": resting_id})
#@ since og-collar
        if order.fills:
            self._last_price = order.fills[-1][0]
#@ end

    def trades(self, request):
        limit = request.integer("limit", 50, 1, KEPT_TRADES)
        return 200, {"trades": list(self._trades)[-limit:]}

#@ end
    def show(self, request):
        return 200, self._view(self._find(request))

    def _find(self, request):
        order = self._orders.get(request.parameters[0])
        if order is None:
            raise ApiError(404, "No such order", "There is no order with this id.")
        return order

#@ since og-cancel
    def cancel(self, request):
        order = self._find(request)
        self._refuse_finished(order)
        self.book.cancel(order)
        return 200, self._view(order)

    def _refuse_finished(self, order):
        if order.status not in ("resting", "partly_filled"):
            raise ApiError(409, "Order is finished", "The order is %s already." % order.status)

#@ end
#@ since og-amend
    def amend(self, request):
        """Lower the quantity of a resting order."""
        order, quantity = self._find(request), whole(request.json(), "quantity", 1, MAX_QUANTITY)
        self._refuse_finished(order)
        if not order.quantity - order.remaining < quantity <= order.quantity:
            raise ApiError(422, "Bad quantity", "An order can be lowered, to more than what is filled.", "Cancel it and place another one.")
        self.book.reduce(order, quantity)
        return 200, self._view(order)

#@ end
#@ since og-quotes
    def quote(self, request):
        """Replace all quotes of an account by new ones."""
        account = request.parameters[0]
        levels = objects(request.json(), "quotes", MAX_QUOTES)
        orders = [self._order(level, account, "") for level in levels]
        bids = [order.price for order in orders if order.side == BUY]
        asks = [order.price for order in orders if order.side == SELL]
        if bids and asks and max(bids) >= min(asks):
            raise ApiError(422, "Quotes cross", "The highest bid reaches the lowest ask.", "Quote bids below asks.")
#@ since og-collar
        for order in orders:
            self._check_collar(order.price)
#@ end
        self._refuse_takers(orders)
        self.book.cancel_all(self._live_quotes(account))
        self.book.place_all(orders)
        self._audit(orders)
        self._quotes[account] = orders
#@ since og-trades
        for order in orders:
            self._record(order)
#@ end
        return 200, {"account": account, "resting": len(self._live_quotes(account)), "fills": sum(len(order.fills) for order in orders)}

    def _live_quotes(self, account):
        return [order for order in self._quotes.get(account, ()) if order.status in ("resting", "partly_filled")]

#@ end
#@ since og-mass-cancel
    def mass_cancel(self, request):
        """Cancel everything an account has in the book."""
        account = request.parameters[0]
        live = [order for order in self._orders.values() if order.account == account and order.status in ("resting", "partly_filled")]
        live += self._live_quotes(account)
        self.book.cancel_all(live)
        self._quotes.pop(account, None)
        return 200, {"account": account, "cancelled": len(live)}

#@ end
#@ since og-account-orders
    def account_orders(self, request):
        """What an account has in the book, oldest first. Quotes are not listed: they are replaced as a whole."""
        account = request.parameters[0]
        live = [order for order in self._orders.values() if order.account == account and order.status in ("resting", "partly_filled")]
        return 200, {"orders": [self._view(order) for order in live]}

#@ end
    def show_book(self, request):
        depth = request.integer("depth", 10, 1, 1000)
        sides = {"bids": BUY, "asks": SELL}
        return 200, {
            name: [{"price": decimal(price), "quantity": quantity, "orders": count} for price, quantity, count in self.book.levels(side, depth)]
            for name, side in sides.items()
        }

#@ since og-stats
    def stats(self, _request):
        """Where the book stands, for the desk's own monitor."""
        return 200, {"resting": self.book.depth, **self._top(), "orders_kept": len(self._orders)}

#@ end
    def _top(self):
        best = {"best_bid": self.book.best(BUY), "best_ask": self.book.best(SELL)}
        return {name: None if price is None else decimal(price) for name, price in best.items()}

    def _view(self, order):
        return {
            "order_id": order.id,
            "client_id": order.client_id,
            "account": order.account,
            "side": order.side,
#@ before og-number
            "price": decimal(order.price),
#@ end
#@ since og-number
            "price": order.price / 100,
#@ end
            "quantity": order.quantity,
            "remaining": order.remaining,
            "status": order.status,
            "fills": [{"price": decimal(price), "quantity": quantity, "order_id": other} for price, quantity, other in order.fills],
            **self._top(),
        }


def main():
    gateway = Gateway()
    routes = [
        ("POST", "/orders", "place_order", gateway.place),
        ("GET", "/orders/*", "get_order", gateway.show),
#@ since og-cancel
        ("DELETE", "/orders/*", "cancel_order", gateway.cancel),
#@ end
#@ since og-amend
        ("PUT", "/orders/*", "amend_order", gateway.amend),
#@ end
        ("GET", "/book", "get_book", gateway.show_book),
#@ since og-quotes
        ("PUT", "/accounts/*/quotes", "mass_quote", gateway.quote),
#@ end
#@ since og-mass-cancel
        ("DELETE", "/accounts/*/orders", "mass_cancel", gateway.mass_cancel),
#@ end
#@ since og-account-orders
        ("GET", "/accounts/*/orders", "get_account_orders", gateway.account_orders),
#@ end
#@ since og-trades
        ("GET", "/trades", "get_trades", gateway.trades),
#@ end
#@ since og-stats
        ("GET", "/stats", "get_stats", gateway.stats),
#@ end
    ]
    gauges = [("order_book_depth", "Orders resting in the book.", lambda: gateway.book.depth)]
    serve("order-gateway", routes, gauges, Mode(REFUSED, gateway.told_mode), gateway.broken)
#@ end
