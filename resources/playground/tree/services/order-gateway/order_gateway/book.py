"""An order book with price-time priority for one instrument. Prices are whole ticks."""

#@ before og-derive
from bisect import bisect_left, insort

#@ end
BUY, SELL = "buy", "sell"
OPPOSITE = {BUY: SELL, SELL: BUY}
#@ since og-ioc
#@ before og-fok
DAY, IOC = "day", "ioc"
#@ end
#@ since og-fok
DAY, IOC, FOK = "day", "ioc", "fok"
#@ end
#@ end


class Order:
    """One order and what is left of it."""

#@ before og-ioc
    __slots__ = ("account", "client_id", "fills", "id", "price", "quantity", "remaining", "side", "status")

    def __init__(self, order_id, account, client_id, side, price, quantity):
#@ end
#@ since og-ioc
    __slots__ = ("account", "client_id", "fills", "id", "price", "quantity", "remaining", "side", "status", "time_in_force")

    def __init__(self, order_id, account, client_id, side, price, quantity, time_in_force=DAY):
#@ end
        self.id = order_id
        self.account = account
        self.client_id = client_id
        self.side = side
        self.price = price
        self.quantity = quantity
        self.remaining = quantity
#@ since og-ioc
        self.time_in_force = time_in_force
#@ end
        self.status = "new"
        self.fills = []

    def crosses(self, price):
        return self.price >= price if self.side == BUY else self.price <= price

    def settle(self):
        """What the order is now, by what is left of it."""
        self.status = "filled" if not self.remaining else "partly_filled" if self.remaining < self.quantity else "resting"


#@ before og-derive
class Level:
    """The orders resting at one price, oldest first, and their total."""

    __slots__ = ("orders", "quantity")

    def __init__(self):
#@ before og-cancel-constant
        self.orders = []
#@ end
#@ since og-cancel-constant
        self.orders = {}
#@ end
        self.quantity = 0


class Book:
    """Both sides of the book; depth is the number of resting orders."""

    def __init__(self):
        self._levels = {BUY: {}, SELL: {}}
        self._prices = {BUY: [], SELL: []}
        self.depth = 0

    def best(self, side):
        prices = self._prices[side]
        if not prices:
            return None
        return prices[-1] if side == BUY else prices[0]

    def levels(self, side, depth):
        """The best `depth` prices of a side with their totals and numbers of orders."""
        prices = self._prices[side]
        nearest = prices[: -depth - 1 : -1] if side == BUY else prices[:depth]
        return [(price, self._levels[side][price].quantity, len(self._levels[side][price].orders)) for price in nearest]

    def place(self, order):
        """Fill what crosses at the resting orders' prices, rest the remainder."""
#@ since og-fok
        if order.time_in_force == FOK and self._available(order) < order.quantity:
            order.status = "cancelled"
            return
#@ end
        self._match(order)
        order.settle()
#@ before og-ioc
        if order.remaining:
            self._rest(order)
#@ end
#@ since og-ioc
        if order.remaining and order.time_in_force == DAY:
            self._rest(order)
        elif order.remaining:
            order.status = "cancelled"
#@ end

#@ since og-quotes
    def place_all(self, orders):
        for order in orders:
            self.place(order)

#@ end
    def _match(self, order):
        side = OPPOSITE[order.side]
        while order.remaining and (price := self.best(side)) is not None and order.crosses(price):
            level = self._levels[side][price]
#@ before og-cancel-constant
            resting = level.orders[0]
#@ end
#@ since og-cancel-constant
            resting = next(iter(level.orders.values()))
#@ end
#@ since og-self-trade
            if resting.account == order.account:
                self.cancel(resting)
                continue
#@ end
            quantity = min(order.remaining, resting.remaining)
            order.remaining -= quantity
            resting.remaining -= quantity
            level.quantity -= quantity
            resting.settle()
            order.fills.append((resting.price, quantity, resting.id))
            if not resting.remaining:
                self._remove(resting)

#@ since og-fok
    def _available(self, order):
        side, total = OPPOSITE[order.side], 0
        prices = self._prices[side]
        for price in reversed(prices) if side == BUY else prices:
            if total >= order.quantity or not order.crosses(price):
                break
#@ before og-self-trade
            total += self._levels[side][price].quantity
#@ end
#@ since og-self-trade
#@ before og-cancel-constant
            resting = self._levels[side][price].orders
#@ end
#@ since og-cancel-constant
            resting = self._levels[side][price].orders.values()
#@ end
            total += sum(other.remaining for other in resting if other.account != order.account)
#@ end
        return total

#@ end
    def _rest(self, order):
        level = self._levels[order.side].get(order.price)
        if level is None:
            level = self._levels[order.side][order.price] = Level()
            insort(self._prices[order.side], order.price)
#@ before og-cancel-constant
        level.orders.append(order)
#@ end
#@ since og-cancel-constant
        level.orders[order.id] = order
#@ end
        level.quantity += order.remaining
        self.depth += 1

    def _remove(self, order):
        level = self._levels[order.side][order.price]
#@ before og-cancel-constant
        level.orders.remove(order)
#@ end
#@ since og-cancel-constant
        del level.orders[order.id]
#@ end
        level.quantity -= order.remaining
        self.depth -= 1
        if not level.orders:
            del self._levels[order.side][order.price]
            prices = self._prices[order.side]
            del prices[bisect_left(prices, order.price)]
#@ since og-cancel

    def cancel(self, order):
        """Take a resting order out of the book."""
        self._remove(order)
        order.status = "cancelled"
#@ end
#@ since og-quotes

    def cancel_all(self, orders):
        for order in orders:
            self.cancel(order)
#@ end
#@ since og-amend

    def reduce(self, order, quantity):
        """Lower a resting order to `quantity` in total. It keeps its place in time."""
        filled = order.quantity - order.remaining
        self._levels[order.side][order.price].quantity -= order.quantity - quantity
        order.quantity = quantity
        order.remaining = quantity - filled
        order.settle()
#@ end
#@ end
#@ since og-derive
class Book:
    """Both sides of the book. The resting orders are the only state: prices, totals and depth are derived from them."""

    def __init__(self):
        self._resting = {BUY: [], SELL: []}
        self._totals = {BUY: {}, SELL: {}}
        self.depth = 0

    def best(self, side):
        resting = self._resting[side]
        return resting[0].price if resting else None

    def levels(self, side, depth):
        """The best `depth` prices of a side with their totals and numbers of orders."""
        totals = self._totals[side]
        return [(price, *totals[price]) for price in list(totals)[:depth]]

    def place(self, order):
        """Fill what crosses at the resting orders' prices, rest the remainder."""
        self._accept(order)
        self._derive()

    def place_all(self, orders):
        for order in orders:
            self._accept(order)
        self._derive()

    def _accept(self, order):
        if order.time_in_force == FOK and self._available(order) < order.quantity:
            order.status = "cancelled"
            return
        self._match(order)
        order.settle()
        if order.remaining and order.time_in_force == DAY:
            self._resting[order.side].append(order)
        elif order.remaining:
            order.status = "cancelled"

    def _match(self, order):
        for resting in self._crossed(order):
            if not order.remaining:
                break
            if resting.account == order.account:
                self._drop(resting)
                continue
            quantity = min(order.remaining, resting.remaining)
            order.remaining -= quantity
            resting.remaining -= quantity
            resting.settle()
            order.fills.append((resting.price, quantity, resting.id))

    def _crossed(self, order):
        """Live orders of the other side that the order's price reaches, in price-time priority."""
        for resting in self._resting[OPPOSITE[order.side]]:
            if not order.crosses(resting.price):
                break
            if is_live(resting):
                yield resting

    def _available(self, order):
        return sum(resting.remaining for resting in self._crossed(order) if resting.account != order.account)

    def _derive(self):
        """Prices, totals and depth from the resting orders, so that they cannot drift from them."""
        for side in (BUY, SELL):
            resting = sorted((order for order in self._resting[side] if is_live(order)), key=priority)
            totals = {}
            for order in resting:
                quantity, count = totals.get(order.price, (0, 0))
                totals[order.price] = quantity + order.remaining, count + 1
            self._resting[side] = resting
            self._totals[side] = totals
        self.depth = len(self._resting[BUY]) + len(self._resting[SELL])

    def _drop(self, order):
        order.status = "cancelled"

    def cancel(self, order):
        """Take a resting order out of the book."""
        self._drop(order)
        self._derive()

    def cancel_all(self, orders):
        for order in orders:
            self._drop(order)
        self._derive()

    def reduce(self, order, quantity):
        """Lower a resting order to `quantity` in total. It keeps its place in time."""
        filled = order.quantity - order.remaining
        order.quantity = quantity
        order.remaining = quantity - filled
        order.settle()
        self._derive()


def is_live(order):
    return order.remaining > 0 and order.status != "cancelled"


def priority(order):
    """Best price first, then the older order: ids count upwards."""
    return -order.price if order.side == BUY else order.price, int(order.id[1:])
#@ end
