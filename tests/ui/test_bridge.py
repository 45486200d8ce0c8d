"""Crossing into the Qt thread, and changes that come too often."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
from PySide6.QtCore import QEventLoop, QObject, QThread, QTimer

from cockpit.services.store import Change, Store
from ui import bridge
from ui.bridge import PERIOD_S, QtMainThread, StoreSignals, Turns


@pytest.fixture
def main(qapp):
    found = QtMainThread()
    yield found
    found.close()
    found.deleteLater()


def test_one_failing_call_does_not_drop_those_behind_it(main: QtMainThread, qtbot, monkeypatch) -> None:
    failures: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: failures.append(args))
    seen: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    main.post(lambda: seen.append(1))
    main.post(fail)
    main.post(lambda: seen.append(2))
    qtbot.waitUntil(lambda: seen == [1, 2])
    assert [f[0] for f in failures] == [ValueError]


def test_calls_from_many_threads_run_in_order_on_the_main_thread(main: QtMainThread, qtbot) -> None:
    seen: list[tuple[int, int]] = []
    threads_seen: set[Any] = set()

    def work(number: int) -> None:
        for i in range(200):

            def call(i: int = i) -> None:
                threads_seen.add(QThread.currentThread())
                seen.append((number, i))

            main.post(call)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    qtbot.waitUntil(lambda: len(seen) == 1000)
    assert threads_seen == {main.thread()}
    assert all([i for n, i in seen if n == number] == list(range(200)) for number in range(5))


def test_what_is_posted_while_posted_calls_run_comes_later(main: QtMainThread, qtbot) -> None:
    seen: list[str] = []

    def first() -> None:
        main.post(lambda: seen.append("third"))
        seen.append("first")

    main.post(first)
    main.post(lambda: seen.append("second"))
    qtbot.waitUntil(lambda: len(seen) == 3)
    assert seen == ["first", "second", "third"]


def busy(seconds: float) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        pass


def test_much_that_was_posted_lets_others_come_in_between(main: QtMainThread, qtbot) -> None:
    seen: list[Any] = []

    def work(i: int) -> None:
        busy(bridge.TURN_S)
        seen.append(i)

    for i in range(20):
        main.post(functools.partial(work, i))
    QTimer.singleShot(0, lambda: seen.append("hand"))
    qtbot.waitUntil(lambda: len(seen) == 21)
    assert seen.index("hand") <= 2, "one call longer than a turn, and the hand is heard"
    assert [i for i in seen if i != "hand"] == list(range(20))


def test_short_calls_share_a_turn(main: QtMainThread, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(bridge, "TURN_S", 10.0)
    seen: list[Any] = []
    for i in range(50):
        main.post(functools.partial(seen.append, i))
    QTimer.singleShot(0, lambda: seen.append("hand"))
    qtbot.waitUntil(lambda: len(seen) == 51)
    assert seen[:50] == list(range(50))


def test_closed_while_posted_calls_run_the_rest_is_dropped(main: QtMainThread, qtbot) -> None:
    seen: list[int] = []
    main.post(lambda: seen.append(1))
    main.post(main.close)
    main.post(lambda: seen.append(2))
    done: list[int] = []
    QTimer.singleShot(20, lambda: done.append(1))
    qtbot.waitUntil(lambda: bool(done))
    assert seen == [1]


def test_what_is_posted_inside_a_loop_of_its_own_is_heard_there(main: QtMainThread, qtbot) -> None:
    seen: list[str] = []

    def asks() -> None:
        loop = QEventLoop()
        main.post(lambda: seen.append("inside"))
        main.post(loop.quit)
        QTimer.singleShot(5000, loop, loop.quit)
        loop.exec()
        seen.append("answered")

    main.post(asks)
    qtbot.waitUntil(lambda: "answered" in seen)
    assert seen == ["inside", "answered"]


def test_a_cancelled_call_never_comes_and_leaves_no_timer(main: QtMainThread, qtbot) -> None:
    seen: list[int] = []
    cancel = main.call_later(0.01, lambda: seen.append(1))
    main.call_later(0.03, lambda: seen.append(2))
    cancel()
    cancel()
    qtbot.waitUntil(lambda: seen == [2])
    qtbot.waitUntil(lambda: not main.findChildren(QTimer))
    cancel()


def test_a_call_may_cancel_itself(main: QtMainThread, qtbot) -> None:
    seen: list[Callable[[], None]] = []

    def call() -> None:
        cancel()
        seen.append(cancel)

    cancel = main.call_later(0, call)
    qtbot.waitUntil(lambda: len(seen) == 1)


def test_nothing_runs_after_close(qapp, qtbot) -> None:
    main = QtMainThread()
    seen: list[int] = []
    main.post(lambda: seen.append(1))
    main.call_later(0, lambda: seen.append(2))
    main.close()
    main.post(lambda: seen.append(3))
    main.call_later(0, lambda: seen.append(4))()
    done: list[int] = []
    QTimer.singleShot(20, lambda: done.append(1))
    qtbot.waitUntil(lambda: bool(done))
    assert not seen
    main.deleteLater()


class Ear(QObject):
    """Remembers what it heard."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Change] = []

    def hear(self, change: Change) -> None:
        self.heard.append(change)


def test_a_burst_of_changes_becomes_two_signals(qapp, qtbot) -> None:
    store, ear = Store(), Ear()
    signals = StoreSignals(store)
    signals.changed.connect(ear.hear)
    begun = monotonic()
    store.apply(starting="order-gateway")
    assert not ear.heard, "never inside the change itself"
    qtbot.waitUntil(lambda: len(ear.heard) == 1)
    assert [c.kinds for c in ear.heard] == [frozenset({"starting"})]
    assert monotonic() - begun < PERIOD_S, "the first waits for no period"
    for i in range(500):
        store.merge("fleets", {f"place-{i}": i})
    store.apply(approvals=())
    assert len(ear.heard) == 1
    qtbot.waitUntil(lambda: len(ear.heard) == 2)
    assert ear.heard[1].kinds == {"fleets", "approvals"}
    assert len(ear.heard[1].ids) == 500
    signals.close()
    signals.deleteLater()


def test_at_most_ten_signals_a_second(qapp, qtbot) -> None:
    store, times = Store(), []
    signals = StoreSignals(store)
    signals.changed.connect(lambda change: times.append(monotonic()))
    ticker = QTimer()
    ticker.timeout.connect(lambda: store.apply(starting=str(monotonic())))
    ticker.start(2)
    qtbot.waitUntil(lambda: len(times) >= 5)
    ticker.stop()
    signals.close()
    assert min(b - a for a, b in pairwise(times)) >= PERIOD_S * 0.95
    signals.deleteLater()


def test_a_closed_one_hears_nothing(qapp, qtbot) -> None:
    store, ear = Store(), Ear()
    signals = StoreSignals(store)
    signals.changed.connect(ear.hear)
    store.apply(starting="a")
    qtbot.waitUntil(lambda: len(ear.heard) == 1)
    store.apply(starting="b")
    signals.close()
    signals.close()
    store.apply(starting="c")
    done: list[int] = []
    QTimer.singleShot(round(2000 * PERIOD_S), lambda: done.append(1))
    qtbot.waitUntil(lambda: bool(done))
    assert len(ear.heard) == 1
    signals.deleteLater()


def test_parts_hear_one_a_turn_in_their_order(qapp, qtbot) -> None:
    turns, seen = Turns(), []

    def bad(change: Change) -> None:
        raise ValueError("no")

    def first(change: Change) -> None:
        seen.append(("first", change))
        QTimer.singleShot(0, lambda: seen.append(("hand", None)))

    def second(change: Change) -> None:
        seen.append(("second", change))

    fleets, checks = Change(frozenset(["fleets"]), frozenset(["a"])), Change(frozenset(["checks"]), frozenset(["b"]))
    turns.give(fleets, bad, first, second)
    turns.give(checks, second)
    assert not seen
    with qtbot.captureExceptions() as failures:
        qtbot.waitUntil(lambda: len(seen) == 3)
    assert [f[0] for f in failures] == [ValueError], "one that fails does not keep the others from hearing"
    both = Change(frozenset(["fleets", "checks"]), frozenset(["a", "b"]))
    assert seen == [("first", fleets), ("hand", None), ("second", both)]
    turns.give(fleets, second)
    turns.close()
    done: list[int] = []
    QTimer.singleShot(20, lambda: done.append(1))
    qtbot.waitUntil(lambda: bool(done))
    assert len(seen) == 3, "nobody hears anything after close"
    turns.deleteLater()
