import pytest

#@ before og-ioc
from order_gateway.book import BUY, SELL, Book, Order
#@ end
#@ since og-ioc
#@ before og-fok
from order_gateway.book import BUY, DAY, IOC, SELL, Book, Order
#@ end
#@ since og-fok
from order_gateway.book import BUY, DAY, FOK, IOC, SELL, Book, Order
#@ end
#@ end


class Desk:
    """Places orders in a book, each for an account of its own unless told."""

    def __init__(self):
        self.book = Book()
        self.count = 0

#@ before og-ioc
    def place(self, side, price, quantity, account=None):
        self.count += 1
        order = Order("o%d" % self.count, account or "A%d" % self.count, "", side, price, quantity)
#@ end
#@ since og-ioc
    def place(self, side, price, quantity, account=None, time_in_force=DAY):
        self.count += 1
        order = Order("o%d" % self.count, account or "A%d" % self.count, "", side, price, quantity, time_in_force)
#@ end
        self.book.place(order)
        return order


@pytest.fixture
def desk():
    return Desk()


def test_empty_book_has_no_best_price(desk):
    assert desk.book.best(BUY) is None
    assert desk.book.best(SELL) is None
    assert desk.book.levels(BUY, 10) == []


@pytest.mark.parametrize(("side", "best"), [(BUY, 102), (SELL, 99)])
def test_best_price_of_each_side(desk, side, best):
    for price in (100, 102, 99, 101):
        desk.place(side, price, 1)
    assert desk.book.best(side) == best


@pytest.mark.parametrize("side", [BUY, SELL])
def test_levels_add_up_and_are_best_first(desk, side):
    for price, quantity in ((100, 5), (101, 1), (100, 2)):
        desk.place(side, price, quantity)
    expected = [(101, 1, 1), (100, 7, 2)]
    assert desk.book.levels(side, 10) == (expected if side == BUY else expected[::-1])
    assert desk.book.depth == 3


def test_orders_that_do_not_cross_rest(desk):
    assert desk.place(BUY, 100, 5).status == "resting"
    assert desk.place(SELL, 101, 5).status == "resting"


@pytest.mark.parametrize(("quantity", "status", "left"), [(3, "filled", 0), (5, "filled", 0), (8, "partly_filled", 3)])
def test_fill_by_quantity(desk, quantity, status, left):
    desk.place(SELL, 100, 5)
    order = desk.place(BUY, 100, quantity)
    assert (order.status, order.remaining) == (status, left)


def test_fill_is_at_the_resting_price(desk):
    resting = desk.place(SELL, 100, 5)
    assert desk.place(BUY, 105, 5).fills == [(100, 5, resting.id)]


def test_better_price_fills_first(desk):
    far, near = desk.place(SELL, 102, 5), desk.place(SELL, 101, 5)
    order = desk.place(BUY, 102, 7)
    assert order.fills == [(101, 5, near.id), (102, 2, far.id)]
    assert far.remaining == 3


def test_older_order_fills_first_at_one_price(desk):
    first, second = desk.place(BUY, 100, 5), desk.place(BUY, 100, 5)
    desk.place(SELL, 100, 6)
    assert (first.status, second.status, second.remaining) == ("filled", "partly_filled", 4)


def test_book_is_empty_after_everything_filled(desk):
    desk.place(BUY, 100, 5)
    desk.place(SELL, 99, 5)
    assert (desk.book.depth, desk.book.best(BUY), desk.book.levels(BUY, 5)) == (0, None, [])
#@ since og-cancel


def test_cancelled_order_leaves_its_level(desk):
    first, second = desk.place(BUY, 100, 5), desk.place(BUY, 100, 4)
    desk.book.cancel(first)
    assert first.status == "cancelled"
    assert desk.book.levels(BUY, 5) == [(100, 4, 1)]
    desk.book.cancel(second)
    assert desk.book.best(BUY) is None


def test_cancelled_order_does_not_fill(desk):
    desk.book.cancel(desk.place(BUY, 100, 5))
    assert desk.place(SELL, 100, 5).status == "resting"
#@ end
#@ since og-quotes


def test_many_orders_at_once_rest_like_single_ones(desk):
    orders = [Order("q%d" % number, "M", "", BUY, 90 + number, 2) for number in range(5)]
    desk.book.place_all(orders)
    assert desk.book.levels(BUY, 2) == [(94, 2, 1), (93, 2, 1)]
    desk.book.cancel_all(orders)
    assert desk.book.depth == 0
#@ end
#@ since og-ioc


def test_immediate_order_never_rests(desk):
    desk.place(SELL, 100, 3)
    order = desk.place(BUY, 100, 5, time_in_force=IOC)
    assert (order.status, order.remaining, desk.book.depth) == ("cancelled", 2, 0)
#@ end
#@ since og-fok


@pytest.mark.parametrize(("quantity", "status"), [(5, "filled"), (6, "cancelled")])
def test_fill_or_kill_is_all_or_nothing(desk, quantity, status):
    desk.place(SELL, 100, 3)
    desk.place(SELL, 101, 2)
    desk.place(SELL, 103, 9)
    order = desk.place(BUY, 101, quantity, time_in_force=FOK)
    assert (order.status, order.remaining) == (status, 0 if status == "filled" else quantity)
#@ end
#@ since og-amend


def test_reduced_order_keeps_its_place_in_time(desk):
    first, second = desk.place(BUY, 100, 5), desk.place(BUY, 100, 5)
    desk.book.reduce(first, 2)
    assert desk.book.levels(BUY, 1) == [(100, 7, 2)]
    desk.place(SELL, 100, 3)
    assert (first.status, second.remaining) == ("filled", 4)
#@ end
#@ since og-self-trade


def test_an_account_never_trades_with_itself(desk):
    mine, other = desk.place(SELL, 100, 5, "A"), desk.place(SELL, 100, 5, "B")
    order = desk.place(BUY, 100, 5, "A")
    assert (mine.status, other.status) == ("cancelled", "filled")
    assert order.fills == [(100, 5, other.id)]


def test_own_orders_do_not_count_for_fill_or_kill(desk):
    desk.place(SELL, 100, 5, "A")
    assert desk.place(BUY, 100, 5, "A", FOK).status == "cancelled"
#@ end
#@ since og-cancel-constant


def test_cancelling_in_any_order_keeps_totals(desk):
    orders = [desk.place(SELL, 100, number) for number in range(1, 21)]
    for order in orders[::2] + orders[-1::-2]:
        desk.book.cancel(order)
    assert (desk.book.depth, desk.book.best(SELL)) == (0, None)
#@ end
#@ since og-derive


def test_totals_follow_the_resting_orders(desk):
    orders = [desk.place(BUY, 100, 4), desk.place(BUY, 100, 6), desk.place(BUY, 99, 1)]
    desk.book.reduce(orders[1], 5)
    desk.book.reduce(orders[1], 2)
    desk.place(SELL, 100, 5)
    assert desk.book.levels(BUY, 5) == [(100, 1, 1), (99, 1, 1)]
#@ end
#@ since og-performance


@pytest.mark.skip(reason="auctions are not supported before the spring release")
def test_auction_price_maximises_the_volume(desk):
    raise NotImplementedError
#@ end
