"""The judge's rules that need no statistics: so many blocks beyond a limit, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cockpit.domain.judge_operation import Past, Sides, both
from cockpit.domain.metrics import Histogram, quantile_s

if TYPE_CHECKING:
    from cockpit.domain.judge import JudgePolicy

BEYOND_USUAL = 1.5  # times what the version before kept up against itself: below that a doubled p99 is how this service is
SLOW = 0.04  # of the requests must be beyond the limit: of five hundred five lie beyond their p99, too few to say where it is
Expected = Sequence[tuple[float, float]]


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
        self._slow_blocks = self._failing_blocks = 0
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

    def add(self, candidate: Histogram, baseline: Histogram | None, expected_p99_s: float) -> tuple[str, str]:
        """The rule that is broken by now and how, in words; ("", "") for none.

        `expected_p99_s`: of the past, where no baseline is; NaN = unknown.
        """
        return self._errors(candidate) or self._tail(candidate, baseline, expected_p99_s) or ("", "")

    def _errors(self, candidate: Histogram) -> tuple[str, str] | None:
        policy, full = self._policy, self._failing.add(candidate, candidate)
        if full is None:
            return None
        ratio = full[0].errors / full[0].total
        self._failing_blocks = self._failing_blocks + 1 if ratio > policy.error_ratio else 0
        if self._failing_blocks < policy.hard_blocks:
            return None
        words = f"{ratio:.1%} of {self._name} fail, beyond {policy.error_ratio:.1%}"
        return f"errors:{self._name}", f"{words}, {self._failing_blocks} blocks after each other"

    def _tail(self, candidate: Histogram, baseline: Histogram | None, expected_p99_s: float) -> tuple[str, str] | None:
        policy, full = self._policy, self._slow.add(candidate, candidate if baseline is None else baseline)
        if full is None:
            return None
        p99_s, most = _p99_s(full[0]), self._most[baseline is not None]
        other_s = expected_p99_s if baseline is None else _p99_s(full[1]) or math.nan
        relative, absolute = _slow_s(full[0]) > most * other_s, 0 < policy.p99_ms < p99_s * 1e3
        self._slow_blocks = self._slow_blocks + 1 if relative or absolute else 0
        if self._slow_blocks < policy.hard_blocks:
            return None
        beside = f"{p99_s / other_s:.1f} x the baseline's" if relative else f"beyond {policy.p99_ms:.0f} ms"
        words = f"p99 of {self._name} is {p99_s * 1e3:.1f} ms, {beside}"
        return f"slow:{self._name}", f"{words}, {self._slow_blocks} blocks after each other"


def kept_up(values: Sequence[float], blocks: int) -> float:
    """The highest that so many values after each other reach together; 0 where there are too few. What is not known is left out."""
    known = [v for v in values if math.isfinite(v)]
    return max((min(known[i : i + blocks]) for i in range(len(known) - blocks + 1)), default=0.0)


def _p99_s(histogram: Histogram) -> float:
    return quantile_s(histogram, 0.99) or 0.0


def _slow_s(histogram: Histogram) -> float:
    return quantile_s(histogram, 1 - SLOW) or 0.0
