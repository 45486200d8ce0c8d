"""What a judge looks through: counts against counts, single points, and a baseline of the past at the same load."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import Struct

from cockpit.domain.evidence import KEPT, Evidence, average

RATIOS = (1.1, 1.25, 1.5, 2.0, 4.0, 8.0)  # bets: the candidate's events are that many times as likely
BLOCK_S = 10  # seconds that are looked at together for the dispersion
SPANS = (1, 3, 9)  # blocks of those, joined
LEAST_BLOCKS = 6
ENOUGH_EVENTS = 8


class Counts(Struct, frozen=True, gc=False):
    """Events of so many requests, on both sides, in the same time."""

    candidate: float
    of_candidate: float
    baseline: float
    of_baseline: float

    @property
    def usable(self) -> bool:
        """Whether both sides had traffic, and the numbers are numbers."""
        values = (self.candidate, self.of_candidate, self.baseline, self.of_baseline)
        return all(math.isfinite(v) and v >= 0 for v in values) and self.of_candidate > 0 and self.of_baseline > 0

    @property
    def share(self) -> float:
        """The candidate's share of all requests: its share of the events, too, where it is no worse."""
        return self.of_candidate / (self.of_candidate + self.of_baseline)

    @property
    def excess(self) -> float:
        """Events of the candidate beyond that share."""
        return self.candidate - (self.candidate + self.baseline) * self.share

    @property
    def variance(self) -> float:
        """Of the excess, where events are independent."""
        return (self.candidate + self.baseline) * self.share * (1 - self.share)


class CountEvidence:
    """Against "events are at most `least` times as likely on the candidate": slow requests or errors, counted on both sides at once.

    Of all events of a second the candidate's number is binomial with its share of the traffic, however uneven that is and however busy the
    second; the likelihood ratio of a greater share is an e-value, also against all shares below the tolerated one. Events that come in
    bursts are worth less: the ratio is raised to 1 / dispersion, measured on the past. `calm`: seconds from before the change. One thread;
    can be pickled.
    """

    def __init__(self, calm: Iterable[Counts] = (), least: float = 1.0) -> None:
        self.least = least
        self._past = _Dispersion()
        for counts in calm:
            if counts.usable:
                self._past.add(counts)
        self._past.changed()
        self._logs = [0.0] * len(RATIOS)
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._waiting: list[Counts] = []
        self.peak = 0.0

    @property
    def log_e(self) -> float:
        """The logarithm of the e-value now."""
        return average(self._logs)

    @property
    def dispersion(self) -> float | None:
        """How much more the events vary than independent ones; None where too little was seen to say."""
        return self._past.value

    def add(self, counts: Counts) -> None:
        """One more second; one without traffic on either side says nothing."""
        if not counts.usable:
            return
        dispersion = self._past.value
        if dispersion is None:
            # what was seen so far served to learn the dispersion, it is no evidence as well
            self._past.add(counts)
            return
        if not counts.candidate + counts.baseline:
            self._past.add(counts)
            return
        q = _share(counts.share, self.least)
        for index, ratio in enumerate(RATIOS):
            more = _share(q, ratio)
            gain = counts.candidate * math.log(more / q) + counts.baseline * math.log((1 - more) / (1 - q))
            self._logs[index] += gain / dispersion
        for index, value in enumerate((counts.candidate, counts.of_candidate, counts.baseline, counts.of_baseline)):
            self._sums[index] += value
        self.peak = max(self.peak, self.log_e)
        self._past.add(counts)

    @property
    def seen(self) -> Counts:
        """All that it took in."""
        return Counts(*self._sums)

    def ratio(self, confidence: float = 0.95) -> tuple[float, float, float] | None:
        """Low, middle and high end of how many times as likely events are; None where too few were seen."""
        candidate, of_candidate, baseline, of_baseline = self._sums
        if candidate + baseline < ENOUGH_EVENTS or not baseline or not candidate:
            return None
        middle = candidate / of_candidate / (baseline / of_baseline)
        total = Counts(candidate, of_candidate, baseline, of_baseline)
        enough = math.log(2 / (1 - confidence)) * (self._past.value or 1.0)
        return _bound(total, middle, enough, 1 / 1.05), middle, _bound(total, middle, enough, 1.05)


def _share(share: float, ratio: float) -> float:
    """The candidate's share of the events where they are `ratio` times as likely on it as its `share` of the requests makes them."""
    return ratio * share / (ratio * share + 1 - share)


def _bound(total: Counts, middle: float, enough: float, step: float) -> float:
    """The first ratio on the way from the middle that the likelihood ratio against the best one excludes."""
    q, ratio = total.share, middle

    def likelihood(of: float) -> float:
        more = _share(q, of)
        return total.candidate * math.log(more) + total.baseline * math.log1p(-more)

    best = likelihood(middle)
    while best - likelihood(ratio) < enough and 1e-3 < ratio < 1e3:
        ratio *= step
    return ratio


class _Dispersion:
    """How much more the candidate's excess of events varies than independent events do, over blocks of several lengths. At least 1."""

    def __init__(self) -> None:
        # before the change and since: each is looked at around its own mean, for a shift between them is no burst
        self._parts: list[list[tuple[float, float]]] = [[], []]
        self._open: list[Counts] = []
        self._now = 0
        self.value: float | None = None

    def changed(self) -> None:
        """What comes from now on is after the change."""
        self._open.clear()
        self._now = 1

    def add(self, counts: Counts) -> None:
        """One more second."""
        self._open.append(counts)
        if len(self._open) < BLOCK_S:
            return
        part = self._parts[self._now]
        part.append((sum(c.excess for c in self._open), sum(c.variance for c in self._open)))
        self._open.clear()
        del part[: -KEPT // BLOCK_S]
        if len(self._parts[0]) + len(self._parts[1]) >= LEAST_BLOCKS:
            self.value = max(1.0, *(self._over(span) for span in SPANS))

    def _over(self, span: int) -> float:
        count, told, square = 0, 0.0, 0.0
        for part in self._parts:
            sums = [part[i : i + span] for i in range(0, len(part) - span + 1, span)]
            joined = [(sum(e for e, _ in s), sum(v for _, v in s)) for s in sums]
            variance = sum(v for _, v in joined)
            if len(joined) < LEAST_BLOCKS or variance <= 0:
                continue
            drift = sum(e for e, _ in joined) / variance
            count, told = count + len(joined) - 1, told + variance * (len(joined) - 1) / len(joined)
            square += sum((e - drift * v) ** 2 for e, v in joined)
        if not count:
            return 1.0
        found, error = square / told, math.sqrt(2 / count)
        return found * (1 + error) if found > 1 + error else 1.0


class Points:
    """A metric of which only one value an interval is known, on both sides: evidence from their ratio.

    `calm`: pairs (candidate, baseline) from before the change; `tolerated`: the ratio that is no worse. Values above zero, more is worse.
    One thread; can be pickled.
    """

    def __init__(self, calm: Sequence[tuple[float, float]] = (), floor: float = 1e-6, tolerated: float = 1.0) -> None:
        self.difference = Evidence([math.log(c / b) for c, b in calm if _positive((c, b))], floor, least=math.log(tolerated))

    @property
    def peak(self) -> float:
        """The highest that the logarithm of the e-value ever was."""
        return self.difference.peak

    def add(self, candidate: float, baseline: float) -> None:
        """One more interval; one with values that are not above zero is a gap."""
        if _positive((candidate, baseline)):
            self.difference.add(math.log(candidate / baseline))
        else:
            self.difference.gap()


def _positive(pair: tuple[float, float]) -> bool:
    return all(math.isfinite(v) and v > 0 for v in pair)


# -- the version before, at the same load ---------------------------------------------------------------------------------------

NEIGHBOURS = 31
NEAR = 0.35  # distance in logarithms of volume, load and volatility within which a moment of the past is comparable
CHANCE = 2.0  # standard errors by which the volume of few requests may differ by chance
LEAST_NEIGHBOURS = 11
APART_S = 60.0  # moments closer than this say the same
MOST_MOMENTS = 900
TINY = 1e-300
HALF_DAY_S, DAY_S = 43_200.0, 86_400.0
HOUR_S = 3_600.0


class Moment(Struct, frozen=True, gc=False):
    """A moment of the version before: what was measured (NaN = nothing), and what that depends on. NaN where it is not known.

    `volume`: requests of this operation a look; `load`: of all operations; `volatility`: any measure of how wild the market is.
    `requests`: of this operation in all, which says how well its volume is known. `slowed`: by how much more some of the values would read
    had all taken as much longer as is tolerated.
    """

    at_s: float
    volume: float
    values: tuple[float, ...]
    volatility: float = math.nan
    load: float = math.nan
    requests: float = math.inf
    slowed: tuple[float, ...] = ()


class Matched:
    """What the version before did under the same circumstances: medians over the moments of the past that were most alike.

    Alike in volume, load and volatility; of those, the ones nearest in hour of the day come first. None where the past knows nothing alike:
    a regime that was never seen is not judged. Pure; can be pickled.
    """

    def __init__(self, past: Sequence[Moment]) -> None:
        usable = [m for m in past if math.isfinite(m.volume) and m.volume > 0]
        # a gauge may stand at nothing in a calm market: that is far from a wild one, and near to little
        wild = [m.volatility for m in usable if math.isfinite(m.volatility) and m.volatility >= 0]
        self._usual = median(wild) if wild else 0.0
        step = max(1, math.ceil(len(usable) / MOST_MOMENTS))
        self._past = sorted(((self._coordinates(m), m) for m in usable[::step]), key=lambda p: p[0][0])
        self._fewest = min((m.requests for m in usable), default=math.inf)
        self._volumes = [at[0] for at, _ in self._past]

    def _coordinates(self, at: Moment) -> tuple[float, float, float]:
        return math.log(at.volume), _log(at.load), _log(at.volatility + self._usual)

    def expected(self, at: Moment, *, leave: bool = False) -> tuple[float, ...] | None:
        """The values to be expected; with `leave` the past around that very moment counts for nothing, as when the past judges itself."""
        if not (math.isfinite(at.volume) and at.volume > 0):
            return None
        here = self._coordinates(at)
        near = []
        reach = NEAR + CHANCE * math.sqrt(1 / at.requests + 1 / self._fewest)
        for index in range(bisect_left(self._volumes, here[0] - reach), bisect_left(self._volumes, here[0] + reach)):
            known, moment = self._past[index]
            chance = CHANCE * math.sqrt(1 / at.requests + 1 / moment.requests)
            own = max(0.0, abs(here[0] - known[0]) - chance)
            distance = math.hypot(own, _apart(here[1:], known[1:]))
            if distance <= NEAR and not (leave and abs(moment.at_s - at.at_s) < APART_S):
                near.append((distance + NEAR * hours_apart(moment.at_s, at.at_s) / 12, index))
        if len(near) < LEAST_NEIGHBOURS:
            return None
        near.sort()
        rows = [self._past[index][1].values for _, index in near[:NEIGHBOURS]]
        return tuple(_middle(column) for column in zip(*rows, strict=True))

    @property
    def short(self) -> int:
        """How many moments it lacks to expect anything at all."""
        return max(0, LEAST_NEIGHBOURS - len(self._past))

    def beyond(self, at: Moment, look_s: float) -> str:
        """How that moment's load or volatility lies beyond all that was seen, in words; else how little is known."""
        moments = [m for _, m in self._past]
        for what, now, known, unit in (
            ("requests a second", at.load, [m.load for m in moments], look_s),
            ("volatility", at.volatility, [m.volatility for m in moments], 1.0),
            ("requests of its own a second", at.volume, [m.volume for m in moments], look_s),
        ):
            usual = [v for v in known if math.isfinite(v)]
            if usual and math.isfinite(now) and not min(usual) <= now <= max(usual):
                low, high, here = (f"{v / unit:.3g}" for v in (min(usual), max(usual), now))
                return f" ({what}: {here}, then {low} to {high})"
        return f" ({len(moments)} moments of it are known)"


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    """By what is known of both."""
    return math.hypot(*(x - y for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)))


def hours_apart(a_s: float, b_s: float) -> float:
    """On the clock: 0 to 12."""
    return (HALF_DAY_S - abs(abs(a_s - b_s) % DAY_S - HALF_DAY_S)) / HOUR_S


def _middle(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return median(known) if len(known) >= LEAST_NEIGHBOURS else math.nan


def _log(value: float) -> float:
    return math.log(max(value, TINY)) if math.isfinite(value) and value >= 0 else math.nan
