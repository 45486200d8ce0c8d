"""The judge: no data is never fine, hard rules need no statistics, nothing that both sides share is a regression; then regressions."""

from __future__ import annotations

import math
import pickle
import re
import time
from random import Random

import pytest
from msgspec.structs import replace

from cockpit.domain.judge import NO_DATA, NO_WORSE, UNSURE, WORSE, Guards, Judge, JudgePolicy, Look, Verdict, together, why_not_act
from cockpit.domain.metrics import Histogram
from tests.fakes.judge_traffic import BOUNDS, looks, second

POLICY = JudgePolicy()
START = 600
START_US = START * 1_000_000
EMPTY = Histogram(BOUNDS, (0.0,) * len(BOUNDS))


def judged(judge: Judge, seen: list[Look], until: str = WORSE) -> Verdict:
    """The verdict after these looks, or at the first that has that state."""
    verdict = judge.verdict(START_US)
    for look in seen:
        verdict = judge.look(look)
        if verdict.state == until:
            break
    return verdict


def regime(at: int) -> str:
    return ("calm", "volatile", "crash")[at // 300 % 3]


# -- no data -----------------------------------------------------------------------------------------------------------------------


def test_without_data_nothing_is_fine() -> None:
    judge = Judge(POLICY, START_US)
    assert judge.verdict(START_US).state == NO_DATA
    assert judge.verdict(START_US + 3_600_000_000).state == NO_DATA
    assert judge.look(Look(START_US, {})).state == NO_DATA
    assert judge.look(Look(START_US, {"place_order": EMPTY}, {"place_order": second(Random(1), 50, 0.005)})).state == NO_DATA


def test_data_that_stops_is_no_data_though_all_was_fine() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    assert judged(judge, looks(2, 300, start_s=START), NO_WORSE).state == NO_WORSE
    verdict = judge.verdict(START_US + 400_000_000)
    assert verdict.state == NO_DATA
    assert "not fine" in verdict.sentence


def test_numbers_that_are_none_are_no_data() -> None:
    judge = Judge(POLICY, START_US)
    bad = Histogram(BOUNDS, (math.nan,) * len(BOUNDS))
    assert judge.look(Look(START_US, {"place_order": bad}, {"place_order": bad})).state == NO_DATA


def test_an_operation_that_is_gone_from_the_candidate_keeps_it_from_being_fine() -> None:
    judge = Judge(POLICY, START_US, looks(1, START, operations=("place_order", "cancel")))
    verdict = judged(judge, looks(2, 300, start_s=START), NO_WORSE)
    assert (verdict.state, verdict.operation) == (UNSURE, "cancel")


def test_an_operation_that_nobody_ever_called_keeps_nothing_from_being_fine() -> None:
    def beside(seen: list[Look]) -> list[Look]:
        return [replace(k, candidate={**k.candidate, "amend": EMPTY}, baseline={**k.baseline, "amend": EMPTY}) for k in seen]

    judge = Judge(POLICY, START_US, beside(looks(1, START)))
    assert judged(judge, beside(looks(2, 300, start_s=START)), NO_WORSE).state == NO_WORSE
    called = replace(looks(3, 1, start_s=START + 301)[0], candidate={"amend": second(Random(1), 50, 0.005)}, baseline={"amend": EMPTY})
    verdict = judge.look(called)
    assert (verdict.state, verdict.operation) == (UNSURE, "amend"), "the first call is one that nothing is known of"


def test_a_baseline_with_other_buckets_is_no_comparison() -> None:
    judge = Judge(POLICY, START_US)
    for look in looks(2, 200, start_s=START):
        other = {name: Histogram((1.0, math.inf), (0.0, 5.0)) for name in look.baseline}
        verdict = judge.look(replace(look, baseline=other))
    assert verdict.state == UNSURE


# -- hard rules --------------------------------------------------------------------------------------------------------------------


def test_a_node_that_is_gone_and_a_broken_invariant_need_no_statistics() -> None:
    for look, words in (
        (Look(START_US, {}, gone=("production-2",), nodes=6), "node production-2 is gone, 1 of 6"),
        (Look(START_US, {}, broken=("the book is crossed",)), "invariant broken: the book is crossed"),
    ):
        judge = Judge(POLICY, START_US)
        verdict = judge.look(look)
        assert (verdict.state, verdict.broken, verdict.since_us) == (WORSE, (words,), START_US)
        assert words in verdict.sentence
        assert judge.verdict(START_US + 60_000_000).state == WORSE


def test_errors_beyond_the_limit_for_two_blocks_also_without_any_baseline() -> None:
    judge = Judge(POLICY, START_US)
    verdict = judged(judge, looks(3, 60, start_s=START, error_ratio=0.2, paired=False))
    assert verdict.state == WORSE
    assert re.search(
        r"errors of place_order are \d+\.\d % of [\d,]+ requests, beyond 5\.0 %, no baseline is known, after \d+ s", verdict.sentence
    )
    assert verdict.since_us <= START_US + 25_000_000


def test_one_bad_block_breaks_no_hard_rule() -> None:
    judge = Judge(POLICY, START_US)
    seen = looks(4, 10, start_s=START, error_ratio=0.2, paired=False) + looks(5, 60, start_s=START + 10, paired=False)
    assert judged(judge, seen).state != WORSE


def test_a_p99_beyond_the_policy_in_ms() -> None:
    judge = Judge(JudgePolicy(p99_ms=10.0), START_US)
    verdict = judged(judge, looks(6, 60, start_s=START, paired=False))
    assert verdict.state == WORSE
    assert "beyond 10 ms" in verdict.sentence


# -- nothing is there --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rates", [(60.0, 60.0), (10.0, 90.0), (90.0, 10.0)])
def test_the_same_version_on_both_sides_is_not_worse(rates: tuple[float, float]) -> None:
    for seed in range(4):
        judge = Judge(POLICY, START_US, looks(seed, START, rates=rates))
        assert not judged(judge, looks(seed + 100, 600, start_s=START, rates=rates)).bad


@pytest.mark.parametrize("paired", [True, False])
def test_a_regime_change_is_no_regression(paired: bool) -> None:
    for seed in range(3):
        before = looks(seed, 1800, start_s=-1200, paired=paired, regime=regime)
        judge = Judge(POLICY, START_US, before)
        assert not judged(judge, looks(seed + 50, 900, start_s=START, paired=paired, regime=regime)).bad


def test_a_regime_that_the_past_never_saw_is_neither_worse_nor_fine() -> None:
    judge = Judge(POLICY, START_US, looks(1, 900, start_s=-300, paired=False))
    verdict = judged(judge, looks(2, 300, start_s=START, paired=False, regime=lambda _at: "crash"))
    assert verdict.state == UNSURE
    assert "never saw the load" in verdict.sentence


def market(seed: int, count: int, start_s: int, wild: float, worse: float = 1.0) -> list[Look]:
    """A market of that gauge at always the same volume, with no node on the old version."""
    return [replace(look, volatility=wild) for look in looks(seed, count, start_s=start_s, paired=False, worse=worse)]


def test_a_wild_market_at_the_same_volume_is_no_regression_but_cannot_be_told_where_it_was_never_seen() -> None:
    calm, wild = market(1, 900, -300, 5.0), market(2, 600, START, 400.0, worse=1.8)
    assert judged(Judge(POLICY, START_US, calm), wild).state == UNSURE
    blind = [replace(look, volatility=math.nan) for look in calm], [replace(look, volatility=math.nan) for look in wild]
    assert judged(Judge(POLICY, START_US, blind[0]), blind[1]).bad, "without the gauge it is a slower version"


def test_a_wild_market_at_the_same_volume_that_was_seen_before_tells_good_from_bad() -> None:
    before = market(1, 700, -600, 5.0) + market(2, 500, 100, 400.0, worse=1.8)
    assert not judged(Judge(POLICY, START_US, before), market(3, 600, START, 400.0, worse=1.8)).bad
    assert judged(Judge(POLICY, START_US, before), market(3, 900, START, 400.0, worse=1.8 * 1.4)).bad
    assert judged(Judge(POLICY, START_US, before), market(3, 900, START, 5.0, worse=1.8)).bad, "as slow as in a wild market in a calm one"


def test_another_load_by_other_operations_is_no_regression_of_one_whose_own_volume_stays() -> None:
    """A market that turns wild may leave the volume of one operation where it was."""

    def both(seed: int, start_s: int, busy: float, worse: float) -> list[Look]:
        mine = looks(seed, 900, start_s=start_s, paired=False, worse=worse)
        other = looks(seed + 9, 900, start_s=start_s, paired=False, rates=(60 * busy, 0), operations=("quote",))
        return [replace(a, candidate={**a.candidate, **b.candidate}) for a, b in zip(mine, other, strict=True)]

    verdict = judged(Judge(POLICY, START_US, both(1, -300, 1, 1.0)), both(2, START, 4, 1.5))
    assert verdict.state == UNSURE
    assert "never saw the load" in verdict.sentence


@pytest.mark.parametrize("paired", [True, False])
def test_what_is_tolerated_is_never_worse_however_long_one_looks(paired: bool) -> None:
    for seed in range(2):
        judge = Judge(POLICY, START_US, looks(seed, 1800, start_s=-1200, paired=paired))
        assert not judged(judge, looks(seed + 70, 5400, start_s=START, paired=paired, worse=1.015)).bad


def at_the_edge(seed: int, count: int, start_s: int, factor: float) -> list[Look]:
    """Nearly all requests end just below a bucket's bound."""
    random, bounds = Random(seed), (0.25e-3, 0.35e-3, 0.5e-3, math.inf)
    found = []
    for n in range(count):
        took = [factor * (random.uniform(0.1e-3, 0.25e-3) if random.random() > 0.014 else 0.3e-3) for _ in range(6)]
        done = {"get": Histogram(bounds, tuple(float(sum(t <= bound for t in took)) for bound in bounds))}
        side = {"candidate": {}, "baseline": done} if start_s + n < START else {"candidate": done, "baseline": {}}
        found.append(Look((start_s + n) * 1_000_000, **side))
    return found


def test_a_little_slower_that_reads_as_much_slower_because_buckets_are_coarse_is_tolerated() -> None:
    for seed in range(4):
        judge = Judge(POLICY, START_US, at_the_edge(seed, 1800, START - 1800, 1.0))
        assert not judged(judge, at_the_edge(seed + 70, 1200, START, 1.03)).bad
    judge = Judge(POLICY, START_US, at_the_edge(1, 1800, START - 1800, 1.0))
    assert judged(judge, at_the_edge(71, 1200, START, 1.25)).state == WORSE


def test_a_restart_of_the_candidate_with_a_gap_is_no_regression() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    assert not judged(judge, looks(2, 60, start_s=START)).bad
    assert not judged(judge, looks(3, 300, start_s=START + 200)).bad


def test_at_first_it_says_what_it_cannot_see_and_when_it_will() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    verdict = judged(judge, looks(2, 8, start_s=START))
    assert verdict.state == UNSURE
    assert "+25 % in about" in verdict.sentence
    assert 0 < verdict.visible_in_s < 300


def test_in_the_end_it_is_no_worse_than_the_limit() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    verdict = judged(judge, looks(2, 400, start_s=START), NO_WORSE)
    assert verdict.state == NO_WORSE
    assert verdict.low <= verdict.ratio <= verdict.high <= POLICY.limit


# -- something is there --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("worse", "most_s"), [(1.1, 200), (1.25, 60), (1.5, 30)])
def test_a_slower_version_is_found(worse: float, most_s: int) -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    verdict = judged(judge, looks(2, 600, start_s=START, worse=worse))
    assert verdict.state == WORSE
    assert verdict.since_us <= START_US + most_s * 1_000_000
    assert "place_order" in verdict.sentence


def test_the_sentence_has_the_ratio_and_its_interval() -> None:
    judge = Judge(JudgePolicy(p99_ratio=50), START_US, looks(1, START))
    for look in looks(2, 400, start_s=START, worse=1.6):
        verdict = judge.look(look)
    assert verdict.low < 1.6 < verdict.high
    assert "x baseline, 95 % interval" in verdict.sentence
    assert "after" in verdict.sentence


def test_worse_is_never_said_with_an_interval_that_holds_what_is_tolerated() -> None:
    said = 0
    for worse, paired in ((1.06, True), (1.3, True), (1.3, False)):
        judge = Judge(JudgePolicy(p99_ratio=50), START_US, looks(1, 1800, start_s=-1200, paired=paired))
        for look in [*looks(2, 300, start_s=START, paired=paired, worse=worse), *looks(3, 200, start_s=START + 300, paired=paired)]:
            verdict = judge.look(look)
            if verdict.bad and math.isfinite(verdict.low):
                assert verdict.low > POLICY.tolerated
                assert verdict.low <= verdict.ratio <= verdict.high
                said += 1
    assert said > 300


def test_rare_slow_seconds_are_said_as_such() -> None:
    judge = Judge(JudgePolicy(p99_ratio=50), START_US, looks(1, START, rates=(8, 8)))
    seen = looks(2, 400, start_s=START, rates=(8, 8))
    slow = looks(2, 400, start_s=START, rates=(8, 8), worse=15.0)
    mixed = [replace(b, baseline=a.baseline) if at % 12 == 5 else a for at, (a, b) in enumerate(zip(seen, slow, strict=True))]
    verdict = judged(judge, mixed)
    assert verdict.state == WORSE
    assert "went far beyond the baseline" in verdict.sentence or "as frequent" in verdict.sentence


def test_only_the_tail_is_worse() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    verdict = judged(judge, looks(2, 400, start_s=START, spread=(0.75, 0.5)))
    assert verdict.state == WORSE
    assert verdict.lens in ("p99", "p99.9") or verdict.broken


def test_more_errors_below_the_hard_limit() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    verdict = judged(judge, looks(2, 900, start_s=START, error_ratio=0.02))
    assert (verdict.state, verdict.lens, verdict.broken) == (WORSE, "errors", ())


def test_a_slower_version_is_found_without_a_node_on_the_old_one() -> None:
    judge = Judge(POLICY, START_US, looks(1, 1800, start_s=-1200, paired=False, regime=regime))
    verdict = judged(judge, looks(2, 1200, start_s=START, paired=False, regime=regime, worse=1.4))
    assert verdict.state == WORSE


def test_a_slower_version_is_found_with_one_request_in_ten() -> None:
    judge = Judge(POLICY, START_US, looks(1, START, rates=(10, 90)))
    assert judged(judge, looks(2, 600, start_s=START, rates=(10, 90), worse=1.5)).bad


def test_worse_stays_worse_and_remembers_since_when() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    first = judged(judge, looks(2, 300, start_s=START, worse=1.5))
    later = judged(judge, looks(3, 120, start_s=START + 400), NO_WORSE)
    assert (later.state, later.since_us) == (WORSE, first.since_us)


def test_it_goes_through_pickle() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    judged(judge, looks(2, 30, start_s=START))
    again = pickle.loads(pickle.dumps(judge))
    for look in looks(3, 60, start_s=START + 30, worse=1.2):
        assert judge.look(look) == again.look(look)


def test_a_look_is_cheap() -> None:
    judge = Judge(POLICY, START_US, looks(1, START))
    seen = looks(2, 300, start_s=START)
    began = time.process_time()
    for look in seen:
        judge.look(look)
    assert (time.process_time() - began) / len(seen) < 0.005


def test_nodes_are_added_up() -> None:
    one, other = second(Random(1), 50, 0.005), second(Random(2), 50, 0.005)
    found = together([{"a": one, "b": one}, {"a": other, "b": Histogram((1.0, math.inf), (1.0, 1.0))}, {}])
    assert list(found) == ["a"]
    assert found["a"].total == one.total + other.total


# -- loop guards ---------------------------------------------------------------------------------------------------------------------

NOW_US = 10_000_000_000
BAD = Verdict(WORSE, "", NOW_US, since_us=NOW_US - 5_000_000)


def why_not(
    verdict: Verdict = BAD, kind: str = "deploy", ended_s: float = 300.0, acted_s: tuple[float, ...] = (), state: str = "succeeded"
) -> str:
    acted = tuple(NOW_US - int(s * 1e6) for s in acted_s)
    ended = NOW_US - int(ended_s * 1e6)
    return why_not_act(Guards(), NOW_US, kind=kind, finished_at_us=ended, verdict=verdict, automatic_at_us=acted, state=state)


def test_what_keeps_a_robot_from_acting() -> None:
    assert "never rolled back" in why_not(kind="rollback")
    assert "under way" in why_not(state="running")
    assert "settles" in why_not(ended_s=10)
    assert "within the last" in why_not(acted_s=(7200.0, 1800.0))
    assert "older than" in why_not(replace(BAD, since_us=NOW_US - 1_300_000_000))
    for state in (NO_DATA, UNSURE, NO_WORSE):
        assert state in why_not(Verdict(state, "", NOW_US))


def test_an_action_by_a_clock_that_goes_before_this_one_counts() -> None:
    assert "within the last" in why_not(acted_s=(-120.0,))


def test_a_rule_that_stays_broken_is_one_rule() -> None:
    judge = Judge(POLICY, START_US)
    found = judged(judge, looks(5, 200, start_s=START, error_ratio=0.3), until="")
    assert len(found.broken) == 1
    assert re.search("of 11,9.. requests", found.sentence), "all of them"


def test_what_broke_a_rule_and_passed_is_never_fine_without_a_word() -> None:
    judge = Judge(POLICY, START_US)
    bad = judged(judge, looks(3, 40, start_s=START, error_ratio=0.2, paired=False), until="")
    assert (bad.state, bad.was) == (WORSE, ())
    over = judged(judge, looks(4, 40, start_s=START + 40, paired=False), until="")
    assert (over.state, over.broken) == (UNSURE, ())
    (was,) = over.was
    assert re.fullmatch(r"errors of place_order were \d+\.\d % of 2,\d+ requests, .*, for \d+ s, until 00:1\d(:\d\d)? UTC", was)
    assert over.sentence.startswith(f"{was}; since then cannot")
    assert judge.verdict(START_US + 400_000_000).state == NO_DATA, "silence is no better than it was"


def test_what_was_bad_for_a_while_ends_at_best_unsure_though_all_else_is_no_worse() -> None:
    judge = Judge(JudgePolicy(p99_ms=30.0, limit=2.0), START_US, looks(1, START))
    calm = looks(2, 300, start_s=START)
    slow = [replace(look, baseline=look.candidate) for look in looks(3, 30, start_s=START + 300, worse=3.0)]
    assert judged(judge, calm, NO_WORSE).state == NO_WORSE
    assert judged(judge, slow).broken, "both sides are slow: beyond the limit in milliseconds, and no worse than the baseline"
    verdict = judged(judge, looks(4, 400, start_s=START + 330), until="")
    assert (verdict.state, len(verdict.was)) == (UNSURE, 1)
    assert re.search(r"p99 of place_order was .*; since then at most 1\.\d+ x baseline", verdict.sentence)


def test_a_robot_does_not_act_on_what_has_passed() -> None:
    passed = Verdict(UNSURE, "", NOW_US, was=("errors of a were 20.0 % of 900 requests, until 09:41 UTC",))
    assert why_not(passed) == "it has passed: errors of a were 20.0 % of 900 requests, until 09:41 UTC"


def test_every_sentence_has_numbers_and_every_doubt_its_power() -> None:
    stories = {
        "silence": Judge(POLICY, START_US).verdict(START_US + 40_000_000),
        "errors": judged(Judge(POLICY, START_US, looks(1, START)), looks(2, 900, start_s=START, error_ratio=0.02)),
        "errors, alone": judged(
            Judge(POLICY, START_US, looks(1, 1800, start_s=-1200, paired=False)),
            looks(2, 900, start_s=START, error_ratio=0.03, paired=False),
        ),
        "tail": judged(Judge(JudgePolicy(p99_ratio=50), START_US, looks(1, START)), looks(2, 400, start_s=START, spread=(0.75, 0.5))),
        "gone": Judge(POLICY, START_US).look(Look(START_US, {}, gone=("a", "b"), nodes=6)),
        "cold": judged(Judge(POLICY, START_US), looks(2, 5, start_s=START, paired=False)),
        "young": judged(Judge(POLICY, START_US), looks(2, 30, start_s=START)),
        "strange": judged(Judge(POLICY, START_US, looks(1, 900, start_s=-300, paired=False)),
                          looks(2, 300, start_s=START, paired=False, regime=lambda _at: "crash")),
    }  # fmt: skip
    told = {name: verdict.sentence for name, verdict in stories.items()}
    for name, words in {
        "silence": r"nothing was seen of the new version yet, 40 s after it began: that is not fine",
        "errors": r"errors of place_order are [12]\.\d % of [\d,]+ requests, baseline 0\.\d+ % of [\d,]+: \d.*, after \d+ (s|min)",
        "errors, alone": r"errors of place_order are \d\.\d % of [\d,]+ requests, baseline 0\.\d+ % at that load: .*x.*, after \d+ (s|min)",
        "tail": r"requests of .* p99 are \d\.\d % of \d+, baseline 0\.\d+ % of \d+: .*x as frequent, 95 % interval .* to .*, after \d+ s",
        "gone": r"node a is gone, 2 of 6; node b is gone, 2 of 6, after 0 s",
        "cold": r"cannot see any difference in place_order yet, \d+ requests; 11 more moments .* to see \+25 %",
        "young": r"cannot see any difference .*; \d+ more moments of both versions are needed, in about \d+ s, to see \+25 %",
        "strange": r"cannot tell: .* \(requests a second: [\d.]+, then [\d.]+ to [\d.]+\).* could see .*, and sees \+25 % only .*",
    }.items():
        assert re.fullmatch(words, told[name]), (name, told[name])


def test_looks_of_several_seconds_make_shorter_blocks_and_times_in_seconds() -> None:
    assert (JudgePolicy().looks, JudgePolicy(look_s=2.0).looks, JudgePolicy(look_s=60.0).looks) == (10, 5, 1)
    waits = []
    for look_s in (1.0, 4.0):
        judge = Judge(JudgePolicy(look_s=look_s), START_US, looks(3, START))
        waits.append(judged(judge, looks(4, 40, start_s=START)).visible_in_s)
    assert waits[1] == pytest.approx(4 * waits[0])


def test_a_robot_may_act_once_and_a_hard_rule_waits_for_no_settling() -> None:
    assert why_not() == ""
    assert why_not(acted_s=(7200.0,)) == ""
    assert why_not(replace(BAD, broken=("node a is gone",)), ended_s=10) == ""
