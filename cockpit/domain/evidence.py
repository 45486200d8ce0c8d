"""Evidence that grows while one looks: e-processes over paired seconds, valid at every look.

Candidate and baseline see the same seconds. Where the candidate is no worse, what is new in their difference is as likely negative as
positive, so `1 + tanh(bet * new / scale)` has expectation 1 for every bet and scale that were fixed before it was seen; their running
product is a test martingale, and by Ville's inequality it ever reaches 1/alpha with probability at most alpha, however often one looks
(Ramdas et al. 2023, arXiv 2210.01948; the bounded bet on a symmetric difference: de la Peña 1999). The average over several bets loses
little against the best of them in hindsight.

Seconds hang together. What the second before tells of the next is taken out first (an autoregression, estimated from the
past only, on the safe side: taking out too much costs delay, taking out too little costs validity); what still hangs together is
joined to blocks of four integrated autocorrelation times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from statistics import median

from msgspec import Struct

BETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
OUTLIER = 5.0  # standard deviations beyond which a second takes part in one more bet, on such seconds alone
OUTLIER_BET = 0.98
UNSEEN = 1.5  # times the furthest of the past, too: differences need not be as likely up as down
CLIP = 5.0  # standard deviations beyond which a difference counts as that far: the mean of so few is not known better
COUNT = len(BETS) + 1
MARGIN = 2.0  # the threshold is that many times 1/alpha: estimated scales and correlations are not the true ones
BLOCKS_PER_TIME = 4.0  # a block spans that many integrated autocorrelation times: neighbours are all but independent then
LEAST = 60  # differences, before or after, that the autocorrelation is measured on
KEPT = 1800
ORDERS = 12  # seconds that the next one may depend on
WORTH = 4.0  # what an order must gain in twice the log-likelihood: two standard errors of its coefficient
MOST_CORRELATION = 0.99
SAFE = 1.0  # standard errors that are added to an estimated correlation
CERTAIN = 2.5  # standard errors above which blocks hang together more than chance makes them
SPANS = (2, 4, 8, 16, 32, 64)  # block lengths at which that is looked for
LEAST_BLOCKS = 20
GROUPS = 48  # block means that are kept for the interval; more are joined in pairs
INTERVAL_BETS = (0.1, 0.3, 0.9, 2.7)
MAD = 1.4826  # median absolute deviation to standard deviation, of a normal distribution
BEYOND = 60.0  # scales from the mean at which the search for an interval's end begins


def threshold(alpha: float, tests: int = 1) -> float:
    """The logarithm of the e-value at which one of `tests` is significant at the family-wise level `alpha`."""
    return math.log(MARGIN * max(1, tests) / alpha)


def average(logs: Sequence[float]) -> float:
    """The logarithm of the mean of e-values given by their logarithms: an e-value again, however they depend on each other."""
    top = max(logs, default=0.0)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs)) if logs and top > -math.inf else top


def growth(bet: float) -> float:
    """log(1 + tanh(bet)) without loss: log(2) - log(1 + exp(-2 bet))."""
    return math.log(2) - math.log1p(math.exp(-2 * bet)) if bet > -300 else 2 * bet + math.log(2)


def autoregression(values: Sequence[float]) -> tuple[float, ...]:
    """How much of each of the last values is still in the next one, newest first; none where chance would give as much.

    By Levinson and Durbin's recursion; an order stays where its coefficient gains more than two standard errors. On the safe side: their
    sum, which says how long a deviation lasts, is corrected for its bias in short series and raised by its standard error.
    """
    count = len(values)
    power = sum(v * v for v in values) / count if count else 0.0
    if count < 3 or power <= 0:
        return ()
    shifted = [sum(a * b for a, b in zip(values, values[lag:], strict=False)) / count for lag in range(1, min(ORDERS, count // 10) + 1)]
    found: list[float] = []
    best: tuple[float, list[float], float] = (count * math.log(power), [], power)
    left = power
    for order, covariance in enumerate(shifted):
        last = (covariance - sum(c * shifted[order - 1 - i] for i, c in enumerate(found))) / left
        found = [c - last * d for c, d in zip(found, reversed(found), strict=True)] + [last]
        left *= 1 - last * last
        if left <= 0:
            break
        cost = count * math.log(left) + WORTH * (order + 1)
        if cost < best[0]:
            best = (cost, found, left)
    _, found, left = best
    lasting = sum(found)
    if lasting <= 0:
        return ()
    time = left / (1 - lasting) ** 2 / power if lasting < 1 else math.inf
    error = min(1.0, math.sqrt((time + len(found)) / count))
    safe = min(MOST_CORRELATION, 1 - (1 - lasting) * (1 - SAFE * error) + (1 + 3 * lasting) / count)
    return tuple(c * safe / lasting for c in found)


def together(values: Sequence[float]) -> float:
    """The integrated autocorrelation time of values around zero: how much wider their blocks' means spread than independent ones'; >= 1."""
    square = sum(v * v for v in values) / len(values) if values else 0.0
    most = 1.0
    for span in SPANS:
        blocks = len(values) // span
        if blocks < LEAST_BLOCKS or square <= 0:
            break
        sums = [sum(values[i * span : (i + 1) * span]) for i in range(blocks)]
        ratio = sum(s * s for s in sums) / blocks / span / square
        if ratio > 1 + CERTAIN * math.sqrt(2 / blocks):
            most = max(most, ratio)
    return most


class Plan(Struct, frozen=True):
    """What the next blocks are made of: the correlation that is taken out, how many seconds make a block, the scale of its mean.

    `outlier`: the difference that is one; `apart`: seconds without any after which the next one tells something new.
    """

    taken_out: tuple[float, ...]
    length: int
    scale: float
    outlier: float = math.inf
    apart: int = 1

    def new(self, value: float, before: Sequence[float]) -> float:
        """What a value brings that those before it (newest last) did not tell, as an estimate of the level."""
        told = sum(c * b for c, b in zip(self.taken_out, reversed(before), strict=False))
        return (value - told) / (1 - sum(self.taken_out))


def plan(differences: Sequence[float], floor: float) -> Plan:
    """What these centred differences of the past ask for; `floor` is the least scale that means anything."""
    limit = 5 * MAD * median([abs(d) for d in differences]) or math.inf
    tame = [max(-limit, min(limit, d)) for d in differences]
    first = Plan(autoregression(tame), 1, floor)
    order = len(first.taken_out)
    new = [first.new(d, tame[i - order : i]) for i, d in enumerate(tame) if i >= order] if order else tame
    time = together(new)
    length = math.ceil(BLOCKS_PER_TIME * time) if time > 1 else 1
    spread = MAD * median([abs(v) for v in new])
    outlier = OUTLIER * max(floor, MAD * median([abs(d) for d in tame]))
    return Plan(first.taken_out, length, max(floor, spread * math.sqrt(time / length)), outlier, math.ceil(together(tame)))


class Interval(Struct, frozen=True):
    """What the effect may be, given all that was seen: `low` to `high`, and the middle of what was seen."""

    low: float
    middle: float
    high: float


class Evidence:
    """Against "the candidate is worse by `least` at most", from one paired difference a second (candidate minus baseline; more is worse).

    `least`: what is tolerated; with none, the least thing both sides differ by for ever becomes certain. `calm`: differences from before
    the change, where both sides ran the same. `centred`: what both sides always differed by is taken off, with its uncertainty; else they
    are taken to be alike. One thread; can be pickled.
    """

    def __init__(self, calm: Iterable[float] = (), floor: float = 1e-9, *, centred: bool = False, least: float = 0.0) -> None:
        before = [d for d in calm if math.isfinite(d)][-KEPT:]
        middle = median(before) if before else 0.0
        self._calm = [d - middle for d in before]
        self._floor = floor
        self.least = least
        self.strays = [0, 0]  # seconds far beyond and far below what is tolerated
        self._offset = self._margin = 0.0
        self._furthest = UNSEEN * max(map(abs, self._calm), default=0.0)
        # what goes beyond all of the past is that seldom at most, and pays for the rest of the seconds
        self._seldom = OUTLIER_BET * 2 / (len(before) + 1) if before else 0.0
        self._before = self._calm[-ORDERS:]
        self._seen: list[float] = []
        self._count = 0
        self._open: list[float] = []
        self._plan: Plan | None = None
        self._next_plan = 0
        self._logs = [0.0] * COUNT
        self._quiet = 0
        self._groups: list[tuple[float, float]] = []
        self._group: list[tuple[float, float]] = []
        self._group_size = 1
        self.blocks = 0
        self.peak = 0.0  # the highest that log_e ever was: evidence once given is not taken back by what comes later
        self._centred = centred and len(before) >= LEAST
        self._middle = middle if self._centred else 0.0

    def _centre(self, made: Plan) -> tuple[float, float]:
        """What is no shift, above the median of the past, and how uncertain that is.

        Small bets look at the mean of the blocks, as far as they are not cut off, and large ones at their median: where these differ, as
        those of a p99 do, the higher one.
        """
        size = made.length
        means = [sum(self._calm[i : i + size]) / size for i in range(0, len(self._calm) - size + 1, size)] or [0.0]
        centre = 0.0
        for _ in range(8):
            centre += sum(clipped(m - centre, made.scale) for m in means) / len(means)
        spread = math.sqrt(sum(clipped(m - centre, made.scale) ** 2 for m in means) / len(means))
        return max(0.0, centre), 2 * max(made.scale, spread) / math.sqrt(len(self._calm) / size)

    @property
    def log_e(self) -> float:
        """The logarithm of the e-value now."""
        return average(self._logs)

    @property
    def rare(self) -> bool:
        """Whether it is single seconds far out that speak loudest."""
        return self._logs[-1] == max(self._logs)

    @property
    def seconds(self) -> int:
        """How many differences were taken in."""
        return self._count

    @property
    def wanting(self) -> int:
        """How many more differences it takes before anything can be said."""
        return max(1, LEAST - len(self._calm) - len(self._seen)) if self._plan is None else 0

    def add(self, difference: float) -> None:
        """One more second; what is not finite is no second."""
        if not math.isfinite(difference):
            return
        if self._plan is None or (not self._open and self._count >= self._next_plan):
            self._decide()
        value = difference - self._middle
        new = self._plan.new(value, self._before) if self._plan is not None else 0.0
        self._before = [*self._before[1 - ORDERS :], value]
        self._count += 1
        self._seen.append(value)
        if len(self._seen) > KEPT * 2:
            del self._seen[:-KEPT]
        if self._plan is None:
            return
        self._bet_on_outlier(value, self._plan)
        self._open.append(new)
        if len(self._open) >= self._plan.length:
            self._close(self._plan)

    def _bet_on_outlier(self, value: float, made: Plan) -> None:
        """Rare but large: nothing is lost in the seconds between. Those of one burst count once."""
        self._quiet += 1
        beyond = value - self._offset - self.least
        self._logs[-1] += math.log1p(-self._seldom)
        if abs(beyond) > max(made.outlier, self._furthest):
            if self._quiet >= made.apart:
                self.strays[beyond < 0] += 1
                self._logs[-1] += math.log1p(math.copysign(OUTLIER_BET, beyond))
                self.peak = max(self.peak, self.log_e)
            self._quiet = 0

    def gap(self) -> None:
        """Nothing was seen for a while: what comes next does not hang together with what was."""
        self._open.clear()
        self._before.clear()

    def _decide(self) -> None:
        """What the next blocks are made of: from what was seen before them only."""
        if len(self._calm) + len(self._seen) < LEAST:
            return
        # what was seen since is centred by itself: a shift is no autocorrelation
        enough = len(self._seen) >= LEAST // 2
        middle = median(self._seen) if enough else 0.0
        since = [d - middle for d in self._seen] if enough else []
        self._plan = plan((self._calm + since)[-KEPT:], self._floor)
        if self._centred:
            centre, self._margin = self._centre(self._plan)
            self._offset = centre + self._margin
        self._next_plan = int(self._count * 1.3) + 20

    def _close(self, made: Plan) -> None:
        mean = sum(self._open) / len(self._open) - self._offset
        self._open.clear()
        self.blocks += 1
        beyond = clipped(mean - self.least, made.scale)
        for index, bet in enumerate(BETS):
            self._logs[index] += growth(bet * beyond / made.scale)
        self.peak = max(self.peak, self.log_e)
        self._group.append((mean, made.scale))
        if len(self._group) >= self._group_size:
            self._groups.append(joined(self._group))
            self._group = []
            if len(self._groups) >= GROUPS:
                self._groups = [joined(self._groups[i : i + 2]) for i in range(0, len(self._groups), 2)]
                self._group_size *= 2

    # -- how large, and how small it could be seen ---------------------------------------------------------------------------

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """The effects that the same test, turned against each of them, does not exclude; None where nothing is excluded yet."""
        means = [*self._groups, joined(self._group)] if self._group else self._groups
        enough = math.log(2 / (1 - confidence))
        if len(means) * math.log(2) - math.log(len(INTERVAL_BETS)) <= enough:
            return None
        middle, scale = sum(m for m, _ in means) / len(means), max(s for _, s in means)
        low = _end(means, middle - BEYOND * scale, middle, enough, 1)
        high = _end(means, middle + BEYOND * scale, middle, enough, -1)
        if low is None or high is None:
            return None
        # what both sides always differed by is not known better than this
        high += 2 * self._margin
        return Interval(low, max(low, min(high, median([m for m, _ in means]) + self._margin)), high)

    def smallest(self, enough: float) -> float:
        """The smallest effect that would have been found by now at the threshold `enough`; infinite where none would."""
        if self._plan is None or not self.blocks:
            return math.inf
        return self.least + smallest_effect((enough + math.log(COUNT)) / self.blocks) * self._plan.scale

    def seconds_until(self, effect: float, enough: float) -> float:
        """In how many seconds an effect of that size would be found; infinite where that cannot be said."""
        if self._plan is None or effect <= self.least:
            return math.inf
        rate = growth_of((effect - self.least) / self._plan.scale)
        if rate <= 0:
            return math.inf
        return max(0.0, (enough + math.log(COUNT)) / rate - self.blocks) * self._plan.length


def clipped(value: float, scale: float) -> float:
    """No further from zero than means anything."""
    return max(-CLIP * MAD * scale, min(CLIP * MAD * scale, value))


def joined(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean and scale of several block means together."""
    return sum(m for m, _ in parts) / len(parts), math.sqrt(sum(s * s for _, s in parts)) / len(parts)


def _end(means: Sequence[tuple[float, float]], outer: float, inner: float, enough: float, sign: int) -> float | None:
    """Between `outer`, which the test excludes, and `inner`, which it does not: the last effect that is excluded."""

    def excluded(effect: float) -> bool:
        return average([sum(growth(sign * bet * clipped(m - effect, s) / s) for m, s in means) for bet in INTERVAL_BETS]) >= enough

    if not excluded(outer):
        return None
    for _ in range(11):
        between = (outer + inner) / 2
        outer, inner = (between, inner) if excluded(between) else (outer, between)
    return outer


# quantiles of the normal distribution in the middle of 40 equal shares, one half
_NORMAL = (0.031, 0.094, 0.157, 0.221, 0.285, 0.350, 0.417, 0.485, 0.554, 0.626)
_TAIL = (0.701, 0.779, 0.862, 0.950, 1.047, 1.150, 1.273, 1.440, 1.645, 2.241)


@cache
def _rates() -> tuple[tuple[float, float], ...]:
    """Effect in scales against the growth of the best bet's logarithm a block, rising."""
    noise = [sign * z for z in _NORMAL + _TAIL for sign in (-1, 1)]
    effects = [0.02 * 1.25**i for i in range(30)]
    rates = [max(sum(growth(bet * (effect + z)) for z in noise) / len(noise) for bet in BETS) for effect in effects]
    return tuple((effect, rate) for effect, rate in zip(effects, rates, strict=True) if rate > 0)


def growth_of(effect: float) -> float:
    """How much the logarithm of the evidence grows with each block when the effect is that many scales; 0 below what any bet sees."""
    found = 0.0
    for (low, slow), (high, fast) in pairwise(_rates()):
        if effect >= low:
            found = slow + (fast - slow) * min(1.0, (effect - low) / (high - low))
    return found


def smallest_effect(rate: float) -> float:
    """The effect in scales whose evidence grows by `rate` a block; infinite where no effect grows so fast."""
    return next((effect for effect, found in _rates() if found >= rate), math.inf)
