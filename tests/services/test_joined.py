"""Several jobs as one: each gets its answer, whatever another one meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cockpit.domain.errors import AuthFailed, Unreachable
from cockpit.services.joined import Joined


class Part:
    def __init__(self, answer: Any, every: float = 1.0, met: Exception | None = None) -> None:
        self.answer, self.every, self.met = answer, every, met
        self.applied: list[Any] = []

    def prepare(self) -> Callable[[], Any]:
        def ask() -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return ask

    def apply(self, result: Any) -> Exception | None:
        self.applied.append(result)
        return self.met

    def interval_s(self, base_s: float) -> float:
        return base_s * self.every


def told(*parts: Part) -> Exception | None:
    joined = Joined(parts)
    return joined.apply(joined.prepare()())


def test_each_gets_its_answer() -> None:
    first, second = Part(1), Part(2)
    assert told(first, second) is None
    assert (first.applied, second.applied) == ([1], [2])


def test_an_error_of_one_is_the_connections_and_the_others_go_on() -> None:
    gone = Unreachable("refused")
    first, second = Part(gone), Part(2)
    assert told(first, second) is gone
    assert (first.applied, second.applied) == ([], [2])


def test_an_error_met_on_the_way_is_told_and_every_answer_is_taken() -> None:
    cut = Unreachable("cut short")
    first, second = Part(1, met=cut), Part(2)
    assert told(first, second) is cut
    assert second.applied == [2]


def test_whoever_may_not_ask_asks_nothing_more() -> None:
    first, second = Part(AuthFailed("no")), Part(2)
    assert isinstance(told(first, second), AuthFailed)
    assert second.applied == []


def test_the_most_impatient_sets_the_rhythm() -> None:
    assert Joined((Part(1), Part(2, 0.25))).interval_s(2.0) == 0.5
