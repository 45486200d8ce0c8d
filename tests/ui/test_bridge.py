"""Crossing into the Qt thread, and changes that come too often."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from PySide6.QtCore import QObject, QThread, QTimer

from cockpit.services.store import Change, Store
from ui.bridge import PERIOD_S, QtMainThread, StoreSignals


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
    store.apply(starting="order-gateway")
    assert [c.kinds for c in ear.heard] == [frozenset({"starting"})], "the first comes at once"
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
    from time import monotonic

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
    store.apply(starting="b")
    signals.close()
    signals.close()
    store.apply(starting="c")
    assert len(ear.heard) == 1
    signals.deleteLater()
