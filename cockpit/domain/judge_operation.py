"""One operation as the judge sees it: median, tails and errors of candidate and baseline, paired or against the past at the same load."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cockpit.domain.evidence import Evidence, Interval, average
from cockpit.domain.lenses import CountEvidence, Counts, Matched, Moment
from cockpit.domain.metrics import Histogram, quantile_s, slowed

MEDIAN, P99, P999, ERRORS = "median", "p99", "p99.9", "errors"
MEDIAN_REQUESTS = 5  # on each side, for a median that means something
P99_REQUESTS = 100
LENSES = 7  # e-values that are averaged
MOMENT_S = 10  # seconds that make a moment of the past
MOMENT_REQUESTS = 50
BRIEF = 3  # times the looks of a moment: one that took longer saw more than one regime
LEARN_S = 60  # looks from which the thresholds are taken where nothing is known from before
NEARLY_ALL = 0.9  # of the moments of the past
SAME = 1e-3  # logarithms closer than this are the same latency
EVENTS = 1.25  # times as many slow or failed requests are tolerated
Second = tuple[float, Histogram | None, Histogram | None, float, float]
Past = Sequence[Second]


class Sides:
    """Adds up both sides until each has seen `requests` in at least `seconds` looks."""

    def __init__(self, requests: float, seconds: int = 1) -> None:
        self._requests, self._seconds = requests, seconds
        self._held: tuple[Histogram, Histogram] | None = None
        self._looks = 0

    def add(self, candidate: Histogram, baseline: Histogram) -> tuple[Histogram, Histogram] | None:
        """Both sums where they are full now, which begins new ones."""
        held = self._held
        if held is not None and (held[0].bounds_s, held[1].bounds_s) == (candidate.bounds_s, baseline.bounds_s):
            self._held = (plus(held[0], candidate), plus(held[1], baseline))
        else:
            self._held, self._looks = (candidate, baseline), 0
        self._looks += 1
        full = self._held
        if self._looks < self._seconds or full[0].total < self._requests or full[1].total < self._requests:
            return None
        self.drop()
        return full

    def drop(self) -> None:
        """Begin anew."""
        self._held, self._looks = None, 0


def plus(a: Histogram, b: Histogram) -> Histogram:
    """Sum of two histograms of equal buckets."""
    counts = tuple(x + y for x, y in zip(a.counts, b.counts, strict=True))
    return Histogram(a.bounds_s, counts, a.sum_s + b.sum_s, a.errors + b.errors)


def both(candidate: Histogram | None, baseline: Histogram | None) -> Histogram | None:
    """What both sides did together; the candidate's where their buckets differ."""
    if candidate is None or baseline is None:
        return baseline if candidate is None else candidate
    return plus(candidate, baseline) if candidate.bounds_s == baseline.bounds_s else candidate


def percent(ratio: float) -> str:
    """A share in a sentence: 20.1 %, 0.12 %."""
    return f"{ratio * 100:.1f} %" if ratio >= 0.00995 or not ratio else f"{ratio * 100:.2f} %"


def share(histogram: Histogram) -> str:
    """How many of its requests failed."""
    return percent(histogram.errors / histogram.total) if histogram.total else "nothing"


def took(seconds: float) -> str:
    """How long, in a sentence: 40 s, 3 min."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def log_quantile(histogram: Histogram, q: float) -> float:
    """The logarithm of a quantile in seconds; NaN where there is none above zero."""
    value = quantile_s(histogram, q)
    return math.log(value) if value else math.nan


def _latencies(histogram: Histogram) -> tuple[float, float]:
    return log_quantile(histogram, 0.5), log_quantile(histogram, 0.99)


class Moments:
    """Adds up the looks of one side to moments that are compared with others. `look_s`: what a look spans; `tolerated`: as a ratio."""

    def __init__(self, look_s: float, tolerated: float) -> None:
        self._tolerated = tolerated
        self.looks = max(1, round(MOMENT_S / look_s)) if look_s > 0 else MOMENT_S
        self._bounds_s: tuple[float, ...] = ()
        self.drop()

    def add(self, at_s: float, histogram: Histogram, volatility: float, load: float) -> Moment | None:
        """The moment that is full with this look."""
        if histogram.bounds_s != self._bounds_s:
            self.drop()
            self._bounds_s = histogram.bounds_s
        full = self._sides.add(histogram, histogram)
        self._around.append((volatility, load))
        if full is None:
            return None
        whole, looks = full[0], len(self._around)
        wild = [v for v, _ in self._around if math.isfinite(v)]
        errors = math.log((whole.errors + 0.5) / (whole.total + 1))
        latencies, later = _latencies(whole), _latencies(slowed(whole, self._tolerated))
        volatility, load = sum(wild) / len(wild) if wild else math.nan, sum(load for _, load in self._around) / looks
        more = tuple(b - a for a, b in zip(latencies, later, strict=True))
        found = Moment(at_s, whole.total / looks, (*latencies, errors), volatility, load, whole.total, more)
        self._around.clear()
        return found

    def drop(self) -> None:
        """Begin anew."""
        self._sides, self._around = Sides(MOMENT_REQUESTS, self.looks), list[tuple[float, float]]()


class Operation:
    """All evidence on one operation. `past`: seconds before, oldest first: when, candidate's and baseline's increments, volatility, load.

    `look_s`: what each of them spans; `tolerated`: the ratios to a baseline beside it and to the past up to which nothing is worse.
    """

    def __init__(self, name: str, past: Past = (), look_s: float = 1.0, tolerated: tuple[float, float] = (1.0, 1.0)) -> None:
        self.name = name
        self._look_s = look_s
        self._least, self._least_by_past = (math.log(ratio) for ratio in tolerated)
        self.peak = 0.0
        self.expected_p99_s = math.nan
        self.seen = 0.0
        self.strange = ""  # how the load of now lies beyond all that was seen of the version before, in words
        self._told = [0.0, 0.0, 0.0]  # against the past: requests, errors, and those that it told
        self._looks = 0
        self._beside = False  # whether a baseline is beside it now
        known = [second for second in past if second[1] is not None or second[2] is not None]
        pairs = [(c, b) for _, c, b, *_ in known if c is not None and b is not None and c.total > 0 and b.total > 0]
        self._limits: tuple[float, float] | None = None
        self._learned: Histogram | None = None
        self._learning = 0
        for _, c, b, *_ in known:
            for side in (c, b):
                self._learn(side)
        self._choose()
        self._medians, self._p99s, self._moments = Sides(MEDIAN_REQUESTS), Sides(P99_REQUESTS), Moments(look_s, tolerated[1])
        self.median = Evidence(_differences(pairs, Sides(MEDIAN_REQUESTS), 0.5), SAME, centred=True, least=self._least)
        self.p99 = Evidence(_differences(pairs, Sides(P99_REQUESTS), 0.99), SAME, centred=True, least=self._least)
        self._paired_effects = [self.median, self.p99]
        calm: list[tuple[Counts, ...]] = [self._counts(c, b) for c, b in pairs] if self._limits is not None else []
        self._counted = [CountEvidence([row[i] for row in calm], EVENTS) for i in range(3)]
        self._match(known)
        self._bounds: tuple[int, Interval | None] = (0, None)

    def _match(self, known: Past) -> None:
        """Moments of the past, and how they differ from what the rest of the past tells of them."""
        adding = Moments(self._look_s, math.exp(self._least_by_past))
        full = (adding.add(at_s, whole, *around) for at_s, c, b, *around in known if (whole := both(c, b)) is not None)
        moments = [m for m in full if m is not None]
        self._past = Matched(moments)
        calm = [(m, self._past.expected(m, leave=True)) for m in moments]
        rows = [[v - e for v, e in zip(m.values, expected, strict=True)] for m, expected in calm if expected is not None]
        self.calm_p99_s = [(m.at_s, math.exp(e[1])) for m, e in calm if e is not None and math.isfinite(e[1])]
        # where many requests end just below a bucket's bound, a little slower reads as much slower
        slower = [sorted(m.slowed[i] for m in moments if math.isfinite(m.slowed[i])) for i in range(2)]
        least = (*(max(self._least_by_past, more[int(NEARLY_ALL * len(more))] if more else 0.0) for more in slower), math.log(EVENTS))
        self._matched = [Evidence([row[i] for row in rows], SAME, centred=True, least=least[i]) for i in range(3)]

    def _learn(self, side: Histogram | None) -> None:
        if side is None or not side.total:
            return
        same = self._learned is not None and self._learned.bounds_s == side.bounds_s
        self._learned = plus(self._learned, side) if same and self._learned is not None else side

    def _choose(self) -> None:
        """Thresholds: the bounds beyond which nearest to 1 % and 0.1 % of the past lie. Fixed from then on."""
        known = self._learned
        if known is None or known.total < P99_REQUESTS:
            return
        shares = [(bound, 1 - count / known.total) for bound, count in zip(known.bounds_s, known.counts, strict=True)]
        usable = [(bound, share) for bound, share in shares if 0 < share <= 0.5 and math.isfinite(bound)]
        if usable:
            near = [min(usable, key=lambda b, s=share: abs(math.log(b[1] / s)))[0] for share in (0.01, 0.001)]  # type: ignore[misc]
            self._limits = (near[0], near[1])

    def add(self, at_s: float, candidate: Histogram, baseline: Histogram | None, volatility: float, load: float) -> None:
        """One more second of both sides; without a baseline the past is one."""
        self.seen += candidate.total
        self._looks += 1
        self._beside = baseline is not None
        if baseline is None:
            self._against_past(self._moments.add(at_s, candidate, volatility, load))
        else:
            self.strange = ""
            self._paired(candidate, baseline)
        logs = [self.median.log_e, *(e.log_e for e in self._counted), *(e.log_e for e in self._matched)]
        self.peak = max(self.peak, average(logs))

    def _paired(self, candidate: Histogram, baseline: Histogram) -> None:
        full = self._medians.add(candidate, baseline)
        if full is not None:
            self.median.add(log_quantile(full[0], 0.5) - log_quantile(full[1], 0.5))
        full = self._p99s.add(candidate, baseline)
        if full is not None:
            self.p99.add(log_quantile(full[0], 0.99) - log_quantile(full[1], 0.99))
        if self._limits is None:
            self._learn(baseline)
            self._learning += 1
            if self._learning >= LEARN_S:
                self._choose()
            return
        for evidence, counts in zip(self._counted, self._counts(candidate, baseline), strict=True):
            evidence.add(counts)

    def _against_past(self, moment: Moment | None) -> None:
        if moment is None:
            return
        expected = self._past.expected(moment)
        # one of so few requests that its moments span several regimes is no witness of a new one
        brief = moment.requests <= BRIEF * self._moments.looks * moment.volume
        self.strange = self._past.beyond(moment, self._look_s) if expected is None and brief else ""
        self.expected_p99_s = math.exp(expected[1]) if expected is not None and math.isfinite(expected[1]) else math.nan
        if expected is not None and math.isfinite(expected[2]):
            errors = math.exp(moment.values[2]) * (moment.requests + 1) - 0.5, math.exp(expected[2]) * moment.requests
            self._told = [a + b for a, b in zip(self._told, (moment.requests, *errors), strict=True)]
        for index, evidence in enumerate(self._matched):
            evidence.add(moment.values[index] - expected[index]) if expected is not None else evidence.gap()

    def _counts(self, candidate: Histogram, baseline: Histogram) -> tuple[Counts, ...]:
        events = [(_beyond(candidate, limit), _beyond(baseline, limit)) for limit in self._limits or ()]
        events.append((candidate.errors, baseline.errors))
        return tuple(Counts(c, candidate.total, b, baseline.total) for c, b in events)

    def gap(self) -> None:
        """Nothing was seen for a while."""
        for sides in (self._medians, self._p99s, self._moments):
            sides.drop()
        for evidence in (self.median, self.p99, *self._matched):
            evidence.gap()

    # -- what can be said ------------------------------------------------------------------------------------------------------

    def worst(self) -> tuple[str, str, Interval | None]:
        """The lens that shows most, the sentence on it, and the ratio to the baseline."""
        lenses: list[tuple[Evidence | CountEvidence, str, Evidence | None]] = [(self.median, MEDIAN, self.median)]
        lenses += zip(self._counted, (P99, P999, ERRORS), (self.p99, None, None), strict=True)
        lenses += zip(self._matched, (MEDIAN, P99, ERRORS), self._matched, strict=True)
        evidence, name, effect = max(lenses, key=lambda lens: lens[0].peak)
        if isinstance(evidence, CountEvidence):
            return self._worst_counts(evidence, name, effect)
        found = self._certain(evidence)
        if name == ERRORS:
            requests, errors, told = self._told
            much = f"{percent(errors / requests)} of {requests:,.0f} requests, baseline {percent(told / requests)} at that load"
            ratio = f"{times(found.middle)} x, {_between(found)}" if found else f"more than {times(math.exp(evidence.least))} x"
            return name, f"errors of {self.name} are {much}: {ratio}", found
        return self._worst_latency(evidence, name)

    def _certain(self, effect: Evidence | None) -> Interval | None:
        """The ratio with its interval, where all of that is more than is tolerated."""
        found = effect.interval() if effect is not None else None
        if effect is None or found is None or found.low <= effect.least:
            return None
        return Interval(*(math.exp(v) for v in (found.low, found.middle, found.high)))

    def _worst_latency(self, evidence: Evidence, name: str) -> tuple[str, str, Interval | None]:
        what, of = f"{name} of {self.name}", f"{self.seen:,.0f} requests"
        ratio = self._certain(evidence)
        if ratio is not None:
            return name, f"{what} is {times(ratio.middle)} x baseline, {_between(ratio)}, {of}", ratio
        if evidence.rare:
            up, down = evidence.strays
            return name, f"{what} went far beyond the baseline {up} times, far below it {down} times, {of}", None
        return name, f"{what} is more than {times(math.exp(evidence.least))} x the baseline, {of}", None

    def _worst_counts(self, evidence: CountEvidence, name: str, effect: Evidence | None) -> tuple[str, str, Interval | None]:
        ratio = self._certain(effect)
        if ratio is not None:
            return self._worst_latency(effect, name) if effect is not None else ("", "", None)
        sums = evidence.seen
        words = f"are {percent(sums.candidate / sums.of_candidate)} of {sums.of_candidate:,.0f}"
        slow = f"requests of {self.name} slower than the baseline's {name} {words}"
        words = f"errors of {self.name} {words} requests" if name == ERRORS else slow
        words = f"{words}, baseline {percent(sums.baseline / sums.of_baseline)} of {sums.of_baseline:,.0f}"
        counted = evidence.ratio()
        if counted is None or counted[0] <= EVENTS:
            return name, words, None
        found = Interval(*counted)
        return name, f"{words}: {times(found.middle)} x as frequent, {_between(found)}", found

    def _effects(self) -> Sequence[Evidence]:
        """The evidence that latency effects are read from: paired where pairs came, else against the past."""
        paired, alone = self.median.seconds, self._matched[0].seconds
        return self._paired_effects if paired > alone or (paired == alone and self._beside) else self._matched[:2]

    def smallest(self, enough: float) -> float:
        """The smallest effect on median and p99 that both would have shown by now, as a logarithm; infinite where there is none."""
        return max(e.smallest(enough + math.log(LENSES)) for e in self._effects())

    def seconds_until(self, effect: float, enough: float) -> float:
        """In how many seconds that effect would be seen, at the pace of the requests so far."""
        found = [(e.seconds_until(effect, enough + math.log(LENSES)), e.seconds) for e in self._effects()]
        return max(units * self._looks / seconds if seconds else math.inf for units, seconds in found)

    @property
    def called(self) -> bool:
        """Whether anybody ever called it, on either side: one that nobody uses keeps no version from being fine."""
        return self.seen > 0 or self._learned is not None

    @property
    def missing(self) -> str:
        """Why nothing can be said of when, and what it takes."""
        if not self.seen:
            return "no request of it was seen, one is needed"
        effects = self._effects()
        least = max(effects, key=lambda e: e.wanting)
        if not least.wanting:
            return "more requests are needed"
        if effects is not self._paired_effects and self._past.short:
            return f"{self._past.short} more moments of the version before are needed than are known"
        unit_s = self._looks * self._look_s / least.seconds if least.seconds else math.inf
        when = f", in about {took(least.wanting * unit_s)}," if math.isfinite(unit_s) else ""
        return f"{least.wanting} more moments of both versions are needed{when}"

    def bounds(self) -> Interval | None:
        """The ratio of p99 or median to the baseline, whichever may be higher; None where either is unknown. Made anew now and then."""
        blocks = sum(e.blocks for e in self._effects())
        if blocks > 1.15 * self._bounds[0] + 3:
            found = [e.interval() for e in self._effects()]
            known = [i for i in found if i is not None]
            worst = max(known, key=lambda i: i.high) if len(known) == len(found) else None
            answer = Interval(*(math.exp(v) for v in (worst.low, worst.middle, worst.high))) if worst is not None else None
            self._bounds = (blocks, answer)
        return self._bounds[1]


def times(ratio: float) -> str:
    """A ratio in a sentence: 2.4, 1.08."""
    return f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}"


def _between(ratio: Interval) -> str:
    return f"95 % interval {times(ratio.low)} to {times(ratio.high)}"


def _differences(pairs: Sequence[tuple[Histogram, Histogram]], sides: Sides, q: float) -> list[float]:
    full = [sides.add(c, b) for c, b in pairs]
    return [log_quantile(f[0], q) - log_quantile(f[1], q) for f in full if f is not None]


def _beyond(histogram: Histogram, limit_s: float) -> float:
    """How many took longer."""
    for bound, count in zip(histogram.bounds_s, histogram.counts, strict=True):
        if bound >= limit_s:
            return max(0.0, histogram.total - count)
    return 0.0
