"""The judge's rules that need no statistics: so many blocks beyond a limit, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cockpit.domain.calendar import time_words
from cockpit.domain.judge_operation import Past, Sides, both, percent, share, took
from cockpit.domain.metrics import Histogram, quantile_s

if TYPE_CHECKING:
    from cockpit.domain.judge import JudgePolicy

BEYOND_USUAL = 1.5  # times what the version before kept up against itself: below that a doubled p99 is how this service is
SLOW = 0.04  # of the requests must be beyond the limit: of five hundred five lie beyond their p99, too few to say where it is
_WAS = {"is": "was", "are": "were"}
Expected = Sequence[tuple[float, float]]


class Rule:
    """One limit: so many blocks beyond it after each other break it, as many within it end that.

    What breaks it again is no chance: that stays. `words`: how it is broken now, "" = it is not; since `since_us`. `was`: how it was, once
    that has passed.
    """

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._beyond = self._within = self._times = 0
        self.words = self.was = ""
        self.since_us = 0

    @property
    def anew(self) -> bool:
        """Whether the next block beyond the limit would be the first of its row."""
        return not self.words and not self._beyond

    def add(self, beyond: bool, said: tuple[str, str, str], at_us: int) -> None:
        """One more block, full at that time; `said`: what, is or are, how much, over all the blocks beyond the limit."""
        self._beyond, self._within = (self._beyond + 1, 0) if beyond else (0, self._within + 1)
        if beyond and (self.words or self._beyond >= self._blocks):
            if not self.words:
                self.since_us, self._times = at_us, self._times + 1
            self.words = " ".join(said) + (" again" if self._times > 1 else "")
            self.was = f"{said[0]} {_WAS[said[1]]} {said[2]}"
        elif self.words and self._within >= self._blocks and self._times == 1:
            lasted = took((at_us - self.since_us) / 1e6)
            self.words, self.was = "", f"{self.was}, for {lasted}, until {time_words(at_us, at_us)}"


class HardRules:
    """The rules for one operation: share of errors, and p99.

    The p99 is beyond so many times the baseline's where not one but `SLOW` of the requests are: tails of a millisecond on a busy machine
    double by themselves, and twenty slow requests are no chance where five are. Where the old version itself kept that up for as many
    blocks, the limit is raised beyond it. `past`: seconds before the change, as for an Operation; `expected`: when, and the p99 in seconds
    that the rest of the past told of then. One thread; can be pickled.
    """

    def __init__(self, name: str, policy: JudgePolicy, past: Past = (), expected: Expected = ()) -> None:
        self._name = name
        self._policy = policy
        self._slow, self._failing = self._blocks(), Sides(policy.error_requests, policy.looks)
        self._row: dict[str, tuple[Histogram, Histogram | None]] = {}  # by rule: both sides over the blocks beyond its limit
        self._beside: Histogram | None = None  # the baseline in this block
        self._before: Histogram | None = None  # the version before, as far as its buckets stayed
        for _, c, b, *_ in past:
            self._before = both(both(c, b), self._before)
        self._by_ratio = False  # whether the slow blocks were so beside the baseline
        self.rules = {"errors": Rule(policy.hard_blocks), "slow": Rule(policy.hard_blocks)}
        alone, beside = self._usual(past, expected), self._usual_beside(past)
        self._most = (max(policy.p99_ratio, BEYOND_USUAL * alone), max(policy.p99_ratio, BEYOND_USUAL * (beside or alone)))

    def _blocks(self) -> Sides:
        return Sides(self._policy.p99_requests, self._policy.looks)

    def _usual(self, past: Past, expected: Expected) -> float:
        """The ratio to the expected p99 that the version before kept up; 0 where that is not known."""
        blocks, ratios, told, index = self._blocks(), [], math.nan, 0
        for at_s, c, b, *_ in past:
            while index < len(expected) and expected[index][0] <= at_s:
                told = expected[index][1]
                index += 1
            whole = both(c, b)
            full = blocks.add(whole, whole) if whole is not None else None
            if full is not None:
                ratios.append(_slow_s(full[0]) / told)
        return kept_up(ratios, self._policy.hard_blocks)

    def _usual_beside(self, past: Past) -> float:
        """The same between the nodes that changed and the others, while all ran the version before; either way round."""
        blocks, mine, others = self._blocks(), list[float](), list[float]()
        for _, c, b, *_ in past:
            full = blocks.add(c, b) if c is not None and b is not None and c.bounds_s == b.bounds_s else None
            if full is not None:
                mine.append(_slow_s(full[0]) / (_p99_s(full[1]) or math.nan))
                others.append(_slow_s(full[1]) / (_p99_s(full[0]) or math.nan))
        return max(kept_up(ratios, self._policy.hard_blocks) for ratios in (mine, others))

    def add(self, candidate: Histogram, baseline: Histogram | None, expected_p99_s: float, at_us: int = 0) -> dict[str, str]:
        """The rules that are broken by now, each with how, in words.

        `expected_p99_s`: of the past, where no baseline is; NaN = unknown.
        """
        self._errors(candidate, baseline, at_us)
        self._tail(candidate, baseline, expected_p99_s, at_us)
        return {f"{name}:{self._name}": rule.words for name, rule in self.rules.items() if rule.words}

    def _errors(self, candidate: Histogram, baseline: Histogram | None, at_us: int) -> None:
        policy = self._policy
        self._beside = both(baseline, self._beside)
        full = self._failing.add(candidate, candidate)
        if full is None:
            return
        beyond = full[0].errors / full[0].total > policy.error_ratio
        mine, other = self._over_row("errors", beyond, full[0], self._beside)
        self._beside = None
        beside = f"baseline {share(other)} of {other.total:,.0f}" if other is not None and other.total else ""
        beside = beside or (f"baseline {share(self._before)} before" if self._before is not None else "no baseline is known")
        much = f"{share(mine)} of {mine.total:,.0f} requests, beyond {percent(policy.error_ratio)}, {beside}"
        self.rules["errors"].add(beyond, (f"errors of {self._name}", "are", much), at_us)

    def _tail(self, candidate: Histogram, baseline: Histogram | None, expected_p99_s: float, at_us: int) -> None:
        policy, full = self._policy, self._slow.add(candidate, candidate if baseline is None else baseline)
        if full is None:
            return
        most = self._most[baseline is not None]
        other_s = expected_p99_s if baseline is None else _p99_s(full[1]) or math.nan
        relative, absolute = _slow_s(full[0]) > most * other_s, 0 < policy.p99_ms < _p99_s(full[0]) * 1e3
        if self.rules["slow"].words and self._by_ratio and math.isnan(other_s) and not absolute:
            return  # with nothing to compare it with nobody knows that it has passed
        self._by_ratio = relative or (self._by_ratio and not self.rules["slow"].anew)
        mine, other = self._over_row("slow", relative or absolute, full[0], full[1] if baseline is not None else None)
        p99_s, other_s = _p99_s(mine), (_p99_s(other) if other is not None else 0.0) or other_s
        limit = f", beyond {policy.p99_ms:.0f} ms" if absolute else ""
        beside = f"{p99_s / other_s:.1f} x the baseline's {other_s * 1e3:.1f} ms" if other_s > 0 else "no baseline is known"
        much = f"{p99_s * 1e3:.1f} ms in {mine.total:,.0f} requests{limit}, {beside}"
        self.rules["slow"].add(relative or absolute, (f"p99 of {self._name}", "is", much), at_us)

    def _over_row(self, name: str, beyond: bool, mine: Histogram, other: Histogram | None) -> tuple[Histogram, Histogram | None]:
        """Both sides over the blocks beyond the limit after each other, this one included where it is one."""
        known = (None, None) if self.rules[name].anew else self._row.get(name, (None, None))
        if not beyond:
            return mine, other
        self._row[name] = found = both(mine, known[0]) or mine, both(other, known[1])
        return found


def kept_up(values: Sequence[float], blocks: int) -> float:
    """The highest that so many values after each other reach together; 0 where there are too few. What is not known is left out."""
    known = [v for v in values if math.isfinite(v)]
    return max((min(known[i : i + blocks]) for i in range(len(known) - blocks + 1)), default=0.0)


def _p99_s(histogram: Histogram) -> float:
    return quantile_s(histogram, 0.99) or 0.0


def _slow_s(histogram: Histogram) -> float:
    return quantile_s(histogram, 1 - SLOW) or 0.0
