"""Shares of the traffic: whole percent, 100 in all, and the same when they are set again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.playground.errors import PlaygroundError
from cockpit.playground.wishes import new_weights

EVEN = {"a": 25, "b": 25, "c": 25, "d": 25}


@pytest.mark.parametrize("wanted", [{"x": 1}, {"a": 90, "b": 90}, {"a": 20, "b": 20, "c": 20, "d": 20}, dict.fromkeys("abcd", 0)])
def test_shares_that_cannot_be_are_refused(wanted: dict[str, int]) -> None:
    with pytest.raises(PlaygroundError) as caught:
        new_weights(EVEN, wanted)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("now", "wanted", "then"),
    [
        (EVEN, {}, EVEN),
        (EVEN, {"a": 10}, {"a": 10, "b": 30, "c": 30, "d": 30}),
        ({"a": 50, "b": 50, "c": 0, "d": 0}, {"a": 0}, {"a": 0, "b": 100, "c": 0, "d": 0}),
        ({"a": 100, "b": 0, "c": 0, "d": 0}, {"a": 1}, {"a": 1, "b": 33, "c": 33, "d": 33}),
        ({"a": 34, "b": 33, "c": 33}, dict.fromkeys("abc", 33), {"a": 34, "b": 33, "c": 33}),
        (EVEN, {"a": 100}, {"a": 100, "b": 0, "c": 0, "d": 0}),
    ],
)
def test_shares(now: dict[str, int], wanted: dict[str, int], then: dict[str, int]) -> None:
    assert new_weights(now, wanted) == then


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.data())
@settings(max_examples=200, deadline=None)
def test_shares_are_whole_and_stay_when_they_are_set_again(parts: list[int], data: st.DataObject) -> None:
    names = [f"n{i}" for i in range(len(parts))]
    now = new_weights(dict.fromkeys(names, 0) | {names[0]: 100}, {})
    wanted = dict(zip(data.draw(st.permutations(names)), parts, strict=True))
    for name in data.draw(st.sets(st.sampled_from(names))):
        wanted.pop(name)
    try:
        then = new_weights(now, wanted)
    except PlaygroundError:
        return
    assert sum(then.values()) == 100
    assert min(then.values()) >= 0
    assert list(then) == names
    assert new_weights(then, wanted) == then
