"""The rules without statistics: a limit on the ratio that a service breaks by itself is raised, one that it keeps is meant as it stands."""

from __future__ import annotations

import math

import pytest

from cockpit.domain.judge import JudgePolicy
from cockpit.domain.judge_rules import HardRules, kept_up
from cockpit.domain.metrics import Histogram

BOUNDS = (*(0.0001 * 1.2**i for i in range(60)), math.inf)
POLICY = JudgePolicy(p99_requests=100, block_s=5)


def second(p99_s: float, slow: int = 6) -> Histogram:
    """A hundred requests: most take a tenth of a millisecond, so many of a hundred take so long."""
    counts = tuple(100.0 if bound >= p99_s else 100.0 - slow for bound in BOUNDS)
    return Histogram(BOUNDS, counts)


def seconds(blocks: list[float]) -> list[Histogram]:
    return [second(p99_s) for p99_s in blocks for _ in range(5)]


def broken(rules: HardRules, blocks: list[float], baseline: list[float] | None = None, expected_s: float = 0.001) -> bool:
    other = seconds(baseline) if baseline is not None else [None] * 5 * len(blocks)
    return any(rules.add(c, b, expected_s)[0] for c, b in zip(seconds(blocks), other, strict=True))


def alone(blocks: list[float]) -> HardRules:
    """With a past in which all nodes ran the old version, each block expected at a millisecond."""
    looks = seconds(blocks)
    past = [(float(at), look, None, math.nan, math.nan) for at, look in enumerate(looks)]
    return HardRules("place", POLICY, past, [(float(at), 0.001) for at in range(len(looks))])


def test_a_tail_that_stays_where_it_was_has_the_policy_s_limit() -> None:
    assert broken(alone([0.001] * 20), [0.0026] * 3)
    assert not broken(alone([0.001] * 20), [0.0015] * 3)


def test_one_block_is_not_enough() -> None:
    assert not broken(alone([0.001] * 20), [0.0026, 0.001, 0.0026, 0.001])


def test_a_p99_that_doubles_by_three_in_a_hundred_is_no_certainty() -> None:
    """Statistics deal with it: on a busy machine that many wait for others once in a while."""
    rules = alone([0.001] * 20)
    assert not any(rules.add(second(0.02, slow=3), None, 0.001)[0] for _ in range(100))
    assert any(rules.add(second(0.02, slow=5), None, 0.001)[0] for _ in range(11))


def test_what_the_old_version_did_to_itself_for_as_long_breaks_nothing() -> None:
    restless = alone([0.001, 0.001, 0.003, 0.003, 0.001] * 4)
    assert not broken(restless, [0.003] * 4)
    assert broken(restless, [0.008] * 3)


def test_a_single_wild_block_of_the_past_raises_no_limit() -> None:
    assert broken(alone([0.001] * 10 + [0.02] + [0.001] * 10), [0.003] * 3)


def test_beside_a_baseline_what_the_nodes_differed_by_before_counts_either_way() -> None:
    slow, calm = seconds([0.001, 0.001, 0.001, 0.001] * 4), seconds([0.001, 0.001, 0.003, 0.003] * 4)
    for candidate, baseline in ((calm, slow), (slow, calm)):
        past = [(float(at), c, b, math.nan, math.nan) for at, (c, b) in enumerate(zip(candidate, baseline, strict=True))]
        rules = HardRules("place", POLICY, past)
        assert not broken(rules, [0.003] * 4, [0.001] * 4)
        assert broken(rules, [0.008] * 3, [0.001] * 3)


def test_without_a_past_the_policy_counts_as_it_stands() -> None:
    assert broken(HardRules("place", POLICY), [0.003] * 3, [0.001] * 3)
    assert not broken(HardRules("place", POLICY), [0.003] * 3, expected_s=math.nan), "compared with nothing it is beyond nothing"


def test_a_limit_in_milliseconds_is_never_raised() -> None:
    policy = JudgePolicy(p99_requests=100, block_s=5, p99_ms=2.0)
    past = [(float(at), look, None, math.nan, math.nan) for at, look in enumerate(seconds([0.003] * 20))]
    assert broken(HardRules("place", policy, past, [(0.0, 0.001)]), [0.003] * 2)


@pytest.mark.parametrize(("values", "kept"), [([], 0.0), ([3.0], 0.0), ([1.0, 3.0, 2.0, 1.0], 2.0), ([math.nan, 3.0, math.nan, 2.5], 2.5)])
def test_kept_up(values: list[float], kept: float) -> None:
    assert kept_up(values, 2) == kept
