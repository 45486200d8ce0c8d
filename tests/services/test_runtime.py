"""Lanes keep their order, errors arrive, nothing comes after the end; the terminal's loop."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cockpit.services.runtime import WORKERS, LoopMainThread, Outcome, Runner


def test_a_lane_keeps_its_order_and_lanes_run_side_by_side() -> None:
    main = LoopMainThread()
    runner = Runner(main, workers=2)
    gate, seen = threading.Event(), list[str]()

    def wait() -> str:
        assert gate.wait(60)
        return "slow"

    runner.submit("a", wait, lambda o: seen.append(o.get()))
    runner.submit("a", lambda: "after slow", lambda o: seen.append(o.get()))
    runner.submit("b", lambda: "other lane", lambda o: seen.append(o.get()))
    assert main.run_until(lambda: seen == ["other lane"], 20)
    gate.set()
    assert main.run_until(lambda: len(seen) == 3, 20)
    assert seen == ["other lane", "slow", "after slow"]
    runner.close()


def test_an_error_reaches_done_and_the_lane_goes_on() -> None:
    main = LoopMainThread()
    runner = Runner(main)
    answers: list[Outcome[Any]] = []
    runner.submit("a", lambda: 1 / 0, answers.append)
    runner.submit("a", lambda: 7, answers.append)
    assert main.run_until(lambda: len(answers) == 2, 20)
    assert isinstance(answers[0].error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        answers[0].get()
    assert answers[1].get() == 7
    runner.close()


def test_nothing_is_delivered_after_close() -> None:
    main = LoopMainThread()
    runner = Runner(main)
    started, gate, late = threading.Event(), threading.Event(), list[Any]()

    def work() -> None:
        started.set()
        assert gate.wait(60)

    runner.submit("a", work, late.append)
    runner.submit("a", lambda: None, late.append)
    assert started.wait(20)
    threading.Timer(0.05, gate.set).start()
    runner.close()
    runner.submit("a", lambda: None, late.append)
    assert not main.run_until(lambda: bool(late), 0.05)


@pytest.mark.parametrize("lane", ["deploy:production:key", "abort:production", "journal"])
def test_writes_do_not_wait_behind_reads_that_hang(lane: str) -> None:
    main = LoopMainThread()
    runner = Runner(main)
    gate, under_way, seen = threading.Event(), threading.Barrier(WORKERS + 1), list[str]()

    def hang() -> None:
        under_way.wait(20)
        assert gate.wait(60)

    for n in range(WORKERS):
        runner.submit(f"source:{n}", hang, lambda o: seen.append("read"))
    under_way.wait(20)
    try:
        runner.submit("source:more", lambda: None, lambda o: seen.append("read"))
        runner.submit(lane, lambda: "first", lambda o: seen.append(o.get()))
        runner.submit(lane, lambda: "second", lambda o: seen.append(o.get()))
        assert main.run_until(lambda: len(seen) == 2, 20)
        assert seen == ["first", "second"]
    finally:
        gate.set()
        runner.close()


def test_closing_does_not_wait_for_reads_that_hang() -> None:
    main = LoopMainThread()
    runner = Runner(main, close_s=0.05)
    started, gate, ended, late = threading.Event(), threading.Event(), threading.Event(), list[Any]()

    def hang() -> None:
        started.set()
        gate.wait(60)
        ended.set()

    runner.submit("source:a", hang, late.append)
    assert started.wait(20)
    runner.close()
    assert not ended.is_set()
    gate.set()
    assert ended.wait(20)
    assert not main.run_until(lambda: bool(late), 0.05)


def test_closing_waits_for_a_write_to_its_end() -> None:
    runner = Runner(LoopMainThread(), close_s=0.01)
    started, gate, written, dropped = threading.Event(), threading.Event(), list[str](), list[str]()

    def write() -> None:
        started.set()
        assert gate.wait(60)
        written.append("outcome")

    runner.submit("journal", write, lambda o: None)
    runner.submit("journal", lambda: dropped.append("waits"), lambda o: None)
    assert started.wait(20)
    threading.Timer(0.2, gate.set).start()
    runner.close()
    assert (written, dropped) == (["outcome"], [])


def test_two_hundred_jobs_arrive() -> None:
    main = LoopMainThread()
    runner = Runner(main)
    seen: list[int] = []
    for n in range(200):
        runner.submit(f"lane{n % 7}", lambda n=n: n, lambda o: seen.append(o.get()))  # type: ignore[misc]
    assert main.run_until(lambda: len(seen) == 200, 20)
    assert sorted(seen) == list(range(200))
    runner.close()


def test_timers_fire_in_order_and_can_be_cancelled() -> None:
    main = LoopMainThread()
    seen: list[str] = []
    main.call_later(0.02, lambda: seen.append("second"))
    main.call_later(0.01, lambda: seen.append("first"))
    main.call_later(0.0, lambda: seen.append("never"))()
    assert main.run_until(lambda: len(seen) == 2, 20)
    assert seen == ["first", "second"]


def test_a_loop_that_waits_in_vain_says_so() -> None:
    assert not LoopMainThread().run_until(lambda: False, 0.01)
