"""The rules without statistics: a limit on the ratio that a service breaks by itself is raised, one that it keeps is meant as it stands."""

from __future__ import annotations

import math
import re

import pytest
from msgspec.structs import replace

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
    return any(rules.add(c, b, expected_s) for c, b in zip(seconds(blocks), other, strict=True))


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
    assert not any(rules.add(second(0.02, slow=3), None, 0.001) for _ in range(100))
    assert any(rules.add(second(0.02, slow=5), None, 0.001) for _ in range(11))


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


# -- with numbers, and over again ----------------------------------------------------------------------------------------------------


def failing(ratio: float, blocks: int) -> list[Histogram]:
    return [replace(second(0.001), errors=100 * ratio)] * 5 * blocks


def said(rules: HardRules, looks: list[Histogram], baseline: Histogram | None = None, since_s: int = 0) -> list[tuple[str, ...]]:
    """What is broken after each block; a look a second from there on."""
    found = [tuple(rules.add(look, baseline, 0.001, (since_s + at) * 1_000_000).values()) for at, look in enumerate(looks)]
    return found[4::5]


def test_errors_are_said_with_rates_and_requests_of_both_sides() -> None:
    calm = replace(second(0.001), errors=0.2)
    found = said(HardRules("place", POLICY), failing(0.2, 3), calm)
    assert found[1] == ("errors of place are 20.0 % of 1,000 requests, beyond 5.0 %, baseline 0.20 % of 1,000",)
    assert found[2] == ("errors of place are 20.0 % of 1,500 requests, beyond 5.0 %, baseline 0.20 % of 1,500",), "all blocks of the row"


def test_without_a_node_on_the_old_version_the_past_is_the_baseline_of_errors() -> None:
    past = [(float(at), replace(second(0.001), errors=1.0), None, math.nan, math.nan) for at in range(50)]
    assert said(HardRules("place", POLICY, past), failing(0.2, 2))[1][0].endswith("baseline 1.0 % before")
    assert said(HardRules("place", POLICY), failing(0.2, 2))[1][0].endswith("no baseline is known")


def test_a_slow_tail_is_said_with_both_sides_and_requests() -> None:
    found = said(HardRules("place", POLICY), seconds([0.008] * 2), second(0.001))[1][0]
    assert re.fullmatch(r"p99 of place is \d\.\d ms in 1,000 requests, \d\.\d x the baseline's [01]\.\d ms", found), found


def test_one_good_block_ends_no_rule_and_two_do() -> None:
    rules = HardRules("place", POLICY)
    looks = [*failing(0.2, 2), *failing(0.0, 1), *failing(0.2, 1), *failing(0.0, 2)]
    assert [bool(words) for words in said(rules, looks)] == [False, True, True, True, True, False]
    assert rules.rules["errors"].was == (
        "errors of place were 20.0 % of 1,500 requests, beyond 5.0 %, no baseline is known, for 20 s, until 00:00:29 UTC"
    )


def test_what_breaks_it_a_second_time_stays_and_is_said_to_be_again() -> None:
    rules = HardRules("place", POLICY)
    found = said(rules, [*failing(0.2, 2), *failing(0.0, 2), *failing(0.2, 2), *failing(0.0, 20)])
    assert found[3] == ()
    assert len(found[5]) == 1
    assert found[5][0].endswith("again")
    assert "of 1,000 requests" in found[5][0], "the first time is no part of the second"
    assert all(found[5:])
    assert rules.rules["errors"].since_us == 29_000_000


def test_without_requests_a_broken_rule_stays_broken() -> None:
    rules = HardRules("place", POLICY)
    assert said(rules, failing(0.2, 2))[1]
    assert said(rules, [replace(second(0.001), counts=(0.0,) * len(BOUNDS))] * 200)[-1]


def test_a_tail_that_nothing_can_be_compared_with_any_more_has_not_passed() -> None:
    """The market turns into one that the version before never saw: that is no word of the tail."""
    rules = HardRules("place", POLICY)
    assert said(rules, seconds([0.008] * 2))[1]
    assert all(rules.add(look, None, math.nan, 0) for look in seconds([0.001] * 20))
    assert not all(rules.add(look, None, 0.001, 0) for look in seconds([0.001] * 2))


def test_a_limit_in_milliseconds_needs_no_baseline_to_have_passed() -> None:
    rules = HardRules("place", JudgePolicy(p99_requests=100, block_s=5, p99_ms=2.0))
    assert all([rules.add(look, None, math.nan, 0) for look in seconds([0.008] * 3)][9:])
    assert not [rules.add(look, None, math.nan, 0) for look in seconds([0.001] * 2)][-1]
    assert rules.rules["slow"].was.endswith("beyond 2 ms, no baseline is known, for 0 s, until 00:00 UTC")
