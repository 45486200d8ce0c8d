"""Made-up traffic for the judge: latencies of a log-normal shape, counted into buckets, in calm, volatile and crashing markets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from cockpit.domain.judge import Look
from cockpit.domain.metrics import Histogram

BOUNDS = (*(0.001 * 1.25**i for i in range(28)), math.inf)
REGIMES = {"calm": (1.0, 1.0), "volatile": (3.5, 1.8), "crash": (6.0, 3.5)}  # requests and latency against a calm market


def poisson(random: Random, mean: float) -> int:
    """A Poisson number; normal where it is large."""
    if mean > 30:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


def second(random: Random, rate: float, median_s: float, spread: float = 0.5, error_ratio: float = 0.001) -> Histogram:
    """What nodes with that many requests a second did in one."""
    shares = [0.5 * (1 + math.erf((math.log(b / median_s)) / spread / math.sqrt(2))) if math.isfinite(b) else 1.0 for b in BOUNDS]
    counts, total, below = [], 0.0, 0.0
    for share in shares:
        total += poisson(random, rate * (share - below)) if share > below else 0
        below = share
        counts.append(total)
    return Histogram(BOUNDS, tuple(counts), 0.0, float(min(total, poisson(random, rate * error_ratio))))


def looks(
    seed: int,
    count: int,
    *,
    rates: tuple[float, float] = (60.0, 60.0),
    worse: float = 1.0,
    error_ratio: float = 0.001,
    spread: tuple[float, float] = (0.5, 0.5),
    start_s: int = 0,
    paired: bool = True,
    regime: Callable[[int], str] = lambda _at: "calm",
    operations: Sequence[str] = ("place_order",),
) -> list[Look]:
    """A look a second; the candidate's latency is `worse` times the baseline's. Both hang together by a common, slow wave."""
    random, wave, found = Random(seed), 0.0, []
    for at in range(start_s, start_s + count):
        wave = 0.9 * wave + random.gauss(0, 0.03)
        busy, slow = REGIMES[regime(at)]
        median_s = 0.005 * slow * math.exp(wave)
        candidate, baseline = {}, {}
        for name in operations:
            candidate[name] = second(random, rates[0] * busy, median_s * worse, spread[0], error_ratio)
            if paired:
                baseline[name] = second(random, rates[1] * busy, median_s, spread[1])
        found.append(Look(at * 1_000_000, candidate, baseline))
    return found
