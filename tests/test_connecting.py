"""A connector for each thread, and its end while one of them is in use."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cockpit.connecting import PerThread
from cockpit.domain.errors import Unreachable


class Slow:
    """A connector that hangs until told."""

    def __init__(self, gate: threading.Event, started: threading.Event) -> None:
        self.gate, self.started, self.closed = gate, started, 0

    def ask(self) -> str:
        self.started.set()
        assert self.gate.wait(60)
        assert not self.closed, "closed under the hands of who uses it"
        return "answer"

    def close(self) -> None:
        self.closed += 1


def test_one_in_use_is_closed_when_its_call_ends_and_the_others_at_once() -> None:
    gate, started, made, answers = threading.Event(), threading.Event(), list[Slow](), list[Any]()

    def make() -> Slow:
        made.append(Slow(gate, started))
        return made[-1]

    connector = PerThread(make)
    connector._mine()
    thread = threading.Thread(target=lambda: answers.append(connector.ask()))
    thread.start()
    assert started.wait(20)
    connector.close_all()
    assert [m.closed for m in made] == [1, 0]
    gate.set()
    thread.join(30)
    assert answers == ["answer"]
    assert [m.closed for m in made] == [1, 1]
    with pytest.raises(Unreachable):
        connector.ask()
    assert len(made) == 2, "nothing is made any more"


def test_a_shared_one_serves_all_threads_and_is_closed_when_the_last_call_ends() -> None:
    gate, started, made, answers = threading.Event(), threading.Barrier(3), list[Slow](), list[str]()

    class Both(Slow):
        def ask(self) -> str:
            started.wait(20)
            return super().ask()

    def make() -> Slow:
        made.append(Both(gate, threading.Event()))
        return made[-1]

    connector = PerThread(make, shared=True)
    threads = [threading.Thread(target=lambda: answers.append(connector.ask())) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait(20)
    connector.close_all()
    gate.set()
    for thread in threads:
        thread.join(30)
    assert answers == ["answer", "answer"]
    assert [m.closed for m in made] == [1]
