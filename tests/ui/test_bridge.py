"""Crossing into the Qt thread, and changes that come too often."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
import shiboken6
from PySide6.QtCore import QEventLoop, QObject, QThread, QTimer
from PySide6.QtWidgets import QWidget

from cockpit.services.store import Change, Store
from ui import bridge
from ui.bridge import PERIOD_S, QtMainThread, StoreSignals, Turns, turns_here


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
    assert seen.index("hand") in (0, 50)
    assert [i for i in seen if i != "hand"] == list(range(50))


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
    assert not turns.waiting
    turns.deleteLater()


class Part(QWidget):
    """Notes when it works, for how long it likes, and when it is painted."""

    def __init__(self, name: str, seen: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name, self.seen, self.left = name, seen, 0
        self.resize(20, 20)

    def work(self) -> None:
        self.seen.append(self.name)
        self.update()
        if self.left:
            self.left -= 1
            turns_here().soon(self.work)

    def again(self) -> None:
        self.seen.append(f"{self.name} again")

    def on_change(self, change: Change) -> None:
        self.seen.append(f"{self.name} {'+'.join(sorted(change.kinds))}")

    def paintEvent(self, event: Any) -> None:
        self.seen.append(f"paint {self.name}")


@pytest.fixture
def parts(qtbot) -> Iterator[tuple[Part, Part, list[str]]]:
    """Two in one window that was painted."""
    seen: list[str] = []
    window = QWidget()
    found = Part("a", seen, window), Part("b", seen, window)
    found[1].move(40, 0)
    qtbot.addWidget(window)
    window.resize(100, 40)
    window.show()
    qtbot.waitUntil(lambda: {"paint a", "paint b"} <= set(seen))
    qtbot.waitUntil(lambda: not turns_here().waiting)
    seen.clear()
    yield (*found, seen)
    window.close()


def test_what_one_changed_is_painted_before_the_next(parts, qtbot) -> None:
    a, b, seen = parts
    turns_here().soon(a.work, b.work)
    assert not seen, "never at once"
    qtbot.waitUntil(lambda: "paint b" in seen)
    assert seen == ["a", "paint a", "b", "paint b"]


def test_who_always_has_more_to_do_waits_behind_the_others(parts, qtbot) -> None:
    a, b, seen = parts
    a.left = b.left = 3
    turns_here().soon(a.work, b.work)
    qtbot.waitUntil(lambda: seen.count("b") == 4)
    assert [s for s in seen if "paint" not in s] == ["a", "b"] * 4


def test_what_was_posted_takes_its_turn_among_them(main: QtMainThread, parts, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(bridge, "TURN_S", 0.0)
    a, _, seen = parts
    a.left = 20
    for i in range(10):
        main.post(functools.partial(seen.append, f"posted {i}"))
    turns_here().soon(a.work)
    qtbot.waitUntil(lambda: seen.count("a") == 21)
    assert [s for s in seen if "posted" in s] == [f"posted {i}" for i in range(10)]
    assert seen.index("posted 9") < len(seen) - 10, "neither waits for the end of the other"
    assert seen.index("a") < seen.index("posted 2")


def test_given_again_it_keeps_its_place_and_comes_once(parts, qtbot) -> None:
    a, b, seen = parts
    turns = turns_here()
    turns.soon(a.again)
    turns.give(Change(frozenset(["fleets"])), b.on_change)
    turns.soon(a.again)
    turns.give(Change(frozenset(["checks"])), b.on_change)
    qtbot.waitUntil(lambda: not turns.waiting)
    assert seen == ["a again", "b checks+fleets"]


def test_the_others_go_on_while_one_asks_a_person(parts, qtbot) -> None:
    a, b, seen = parts

    def asks() -> None:
        loop = QEventLoop()
        QTimer.singleShot(10_000, loop, loop.quit)
        b.destroyed.connect(loop.quit)
        turns_here().soon(loop.quit)
        loop.exec()
        seen.append("answered")

    turns_here().soon(asks, a.again)
    qtbot.waitUntil(lambda: "answered" in seen)
    assert seen == ["a again", "answered"]


def test_who_is_gone_has_no_turn_any_more(parts, qtbot) -> None:
    a, b, seen = parts
    turns_here().soon(a.again, b.again)
    shiboken6.delete(a)
    qtbot.waitUntil(lambda: not turns_here().waiting)
    assert seen == ["b again"]


def test_a_closed_window_takes_its_parts_along_and_nobody_else(main: QtMainThread, parts, qtbot) -> None:
    a, b, seen = parts
    other = Part("other", seen)
    turns_here().soon(a.again, other.again, b.again)
    main.post(functools.partial(seen.append, "posted"))
    turns_here().forget(a.window())
    qtbot.waitUntil(lambda: len(seen) == 2)
    qtbot.waitUntil(lambda: not turns_here().waiting)
    assert seen == ["other again", "posted"]
    other.deleteLater()
