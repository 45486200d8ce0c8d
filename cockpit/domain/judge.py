"""Is the new version worse? Hard rules, evidence that may be looked at every second, and a sentence with numbers.

One `Judge` for each deployment of a place. It is given a `Look` a second: what the nodes on the new version (the candidate) and those on
the old one (the baseline) did in it. Where no node runs the old version any more, the version before at the same load is the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.evidence import Interval, threshold
from cockpit.domain.judge_operation import Operation, times, took
from cockpit.domain.judge_rules import HardRules
from cockpit.domain.metrics import Histogram, merge

WORSE = "worse"
NO_WORSE = "no worse than the limit"
UNSURE = "cannot tell yet"
NO_DATA = "no data"

MOST_RULES = 20  # that are told
TOLERATED = 1.02  # a ratio to the baseline up to which nobody calls it worse
BY_THE_PAST = 1.03  # times that, where the baseline is the past: what it would do now is known no better, and the machine may be warmer


class JudgePolicy(Struct, frozen=True):
    """What the policy tolerates. `alpha`: false alarms a deployment; `limit`: the ratio to the baseline that must not be missed.

    `tolerated`: the ratio up to which nobody calls it worse, however certain it is; a little more where the baseline is the past.

    Hard rules, each for `hard_blocks` blocks after each other: p99 beyond `p99_ratio` x the baseline (clearly: see `HardRules`) or beyond
    `p99_ms` (0 = no such limit), errors beyond `error_ratio`. Without requests of the candidate for `silent_s` there is no data. `look_s`:
    what a look spans.
    """

    alpha: float = 0.01
    limit: float = 1.25
    tolerated: float = TOLERATED
    p99_ratio: float = 2.0
    p99_ms: float = 0.0
    error_ratio: float = 0.05
    hard_blocks: int = 2
    block_s: int = 10
    p99_requests: int = 500
    error_requests: int = 50
    silent_s: float = 15.0
    look_s: float = 1.0

    @property
    def looks(self) -> int:
        """How many looks make a block of the hard rules."""
        return max(1, round(self.block_s / self.look_s)) if self.look_s > 0 else self.block_s

    @property
    def ratios(self) -> tuple[float, float]:
        """What is tolerated beside a baseline, and against the past: never so much that the limit could not be seen."""
        return self.tolerated, min(self.tolerated * BY_THE_PAST, math.sqrt(self.tolerated * self.limit))


class Look(Struct, frozen=True):
    """What one second brought, by operation: increments, not totals. `baseline` is empty where no node runs the old version.

    `volatility`: any measure of how wild the market is, NaN where none is known. `gone`: nodes of the candidate that do not answer,
    of so many `nodes` (0 = not known); `broken`: invariants that do not hold, in words.
    """

    at_us: int
    candidate: dict[str, Histogram]
    baseline: dict[str, Histogram] = {}
    volatility: float = math.nan
    gone: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    nodes: int = 0

    @property
    def load(self) -> float:
        """Requests of all operations on both sides."""
        return sum(h.total for side in (self.candidate, self.baseline) for h in side.values())


class Verdict(Struct, frozen=True):
    """What the judge says now: `state` is one of the four words of this module, `sentence` has the numbers.

    `broken`: the hard rules that are broken, in words; `broken_us`: since when each; `was`: those that were, and are not any more.
    `ratio` to the baseline with its 95 % interval `low` to `high`;
    `smallest`: the ratio that could be seen by now; `visible_in_s`: when the limit will be. NaN where that is not known.
    `since_us`: of worse.
    """

    state: str
    sentence: str
    at_us: int
    after_s: float = 0.0
    operation: str = ""
    lens: str = ""
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    smallest: float = math.nan
    visible_in_s: float = math.nan
    since_us: int = 0
    broken: tuple[str, ...] = ()
    broken_us: tuple[int, ...] = ()
    was: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether it speaks against the new version."""
        return self.state == WORSE


class Judge:
    """Watches one deployment. `before`: looks from before it, when all nodes ran the old version (the more, the sooner it can tell).

    One thread; can be pickled; a look costs well below a millisecond an operation.
    """

    def __init__(self, policy: JudgePolicy, started_us: int, before: Sequence[Look] = ()) -> None:
        self.policy = policy
        self._started_us = started_us
        self._operations: dict[str, Operation] = {}
        self._hard: dict[str, HardRules] = {}
        self._violated: dict[str, int] = {}  # invariants, since when
        self._nodes = 0
        self._gone: dict[str, int] = {}  # since when, by the newest look: a node that comes back is no reason any more
        self._since_us = 0  # of the evidence
        self._worst = ""
        self._said: tuple[str, str, Interval | None] | None = None
        self._heard_us = started_us
        self._any = False
        names = {name for look in before for side in (look.candidate, look.baseline) for name in side}
        for name in sorted(names):
            past = [(k.at_us / 1e6, k.candidate.get(name), k.baseline.get(name), k.volatility, k.load) for k in before]
            self._operations[name] = operation = Operation(name, past, policy.look_s, policy.ratios)
            self._hard[name] = HardRules(name, policy, past, operation.calm_p99_s)

    def look(self, look: Look) -> Verdict:
        """One more second; what it says now."""
        self._nodes = look.nodes or self._nodes
        self._gone = {name: self._gone.get(name, look.at_us) for name in look.gone}
        for words in (f"invariant broken: {words}" for words in look.broken):
            if len(self._violated) < MOST_RULES:
                self._violated.setdefault(words, look.at_us)
        heard = False
        for name, candidate in look.candidate.items():
            if not math.isfinite(candidate.total) or not math.isfinite(candidate.errors):
                continue
            heard = heard or candidate.total > 0
            self._hear(name, candidate, look)
        if heard:
            if look.at_us - self._heard_us > self.policy.silent_s * 1e6:
                for operation in self._operations.values():
                    operation.gap()
            self._heard_us, self._any = look.at_us, True
        return self.verdict(look.at_us)

    def _hear(self, name: str, candidate: Histogram, look: Look) -> None:
        known = self._operations.get(name)
        operation = known or self._operations.setdefault(name, Operation(name, (), self.policy.look_s, self.policy.ratios))
        baseline = look.baseline.get(name) if look.baseline else None
        if look.baseline and (baseline is None or baseline.bounds_s != candidate.bounds_s):
            return  # not comparable now: neither evidence for nor against
        operation.add(look.at_us / 1e6, candidate, baseline, look.volatility, look.load)
        hard = self._hard.get(name) or self._hard.setdefault(name, HardRules(name, self.policy))
        hard.add(candidate, baseline, operation.expected_p99_s, look.at_us)
        if operation.peak >= self._enough and not self._worst:
            self._worst = name
            self._since_us = look.at_us

    @property
    def _enough(self) -> float:
        return threshold(self.policy.alpha, len(self._operations))

    # -- what it says ----------------------------------------------------------------------------------------------------------

    def verdict(self, now_us: int) -> Verdict:
        """What it says at that time, also where no look came."""
        after_s = max(0.0, (now_us - self._started_us) / 1e6)
        rules = self._rules()
        if rules:
            broken, broken_us = tuple(words for words, _ in rules), tuple(since_us for _, since_us in rules)
            since_us = min(filter(None, (self._since_us, *broken_us)), default=now_us)
            words = f"{'; '.join(broken)}, after {took((since_us - self._started_us) / 1e6)}"
            return Verdict(WORSE, words, now_us, after_s, since_us=since_us, broken=broken, broken_us=broken_us)
        if self._worst:
            return self._worse(now_us, after_s)
        silent_s = (now_us - self._heard_us) / 1e6
        if not self._any or silent_s > self.policy.silent_s:
            seen = f"no request of the new version was seen for {took(silent_s)}, {self._requests:,.0f} before that"
            words = seen if self._any else f"nothing was seen of the new version yet, {took(after_s)} after it began"
            return Verdict(NO_DATA, f"{words}: that is not fine", now_us, after_s)
        found = self._open(now_us, after_s)
        was = tuple(rule.was for hard in self._hard.values() for rule in hard.rules.values() if rule.was)[:MOST_RULES]
        # what was bad is never fine without a word: a person decides whether that was the version
        return replace(found, state=UNSURE, sentence=f"{'; '.join(was)}; since then {found.sentence}", was=was) if was else found

    def _rules(self) -> list[tuple[str, int]]:
        """The hard rules that are broken, in words, and since when."""
        of = f" of {self._nodes}" if self._nodes else ""
        found = [(f"node {name} is gone, {len(self._gone)}{of}", since_us) for name, since_us in self._gone.items()]
        found += self._violated.items()
        found += [(rule.words, rule.since_us) for hard in self._hard.values() for rule in hard.rules.values() if rule.words]
        return found[:MOST_RULES]

    @property
    def _requests(self) -> float:
        return sum(operation.seen for operation in self._operations.values())

    def _worse(self, now_us: int, after_s: float) -> Verdict:
        operation = self._operations[self._worst]
        said = operation.worst()
        # what was certain once is not said with less certainty because it passed since
        self._said = said if said[2] is not None or self._said is None else self._said
        lens, words, found = self._said
        low, middle, high = (found.low, found.middle, found.high) if found is not None else (math.nan,) * 3
        sentence = f"{words}, after {took((self._since_us - self._started_us) / 1e6)}"
        return Verdict(WORSE, sentence, now_us, after_s, self._worst, lens, middle, low, high, since_us=self._since_us)

    def _open(self, now_us: int, after_s: float) -> Verdict:
        """Not worse as far as can be seen: how far that is, by the operation that shows least."""
        enough, limit = self._enough, math.log(self.policy.limit)
        known = list(self._operations.values())
        called = [operation for operation in known if operation.called] or known
        blind = max(called, key=lambda o: (o.smallest(enough), o.seconds_until(limit, enough)))
        smallest, wait_s = blind.smallest(enough), blind.seconds_until(limit, enough) * self.policy.look_s
        strange = next((o for o in called if o.strange), None)
        if strange is not None:
            words = f"cannot tell: {strange.name} never saw the load of now on the version before{strange.strange}, and no node runs that"
            words = f"{words} any more; before this it could see {_more(smallest)}, and sees {_more(limit)} only at a load that it knows"
            return Verdict(UNSURE, words, now_us, after_s, strange.name, smallest=_ratio(smallest))
        highest: Interval | None = None
        for operation in called:
            found = operation.bounds()
            if found is None or found.high > self.policy.limit:
                return self._blind(blind, smallest, wait_s, now_us, after_s)
            highest = found if highest is None or found.high > highest.high else highest
        if highest is None:
            return self._blind(blind, smallest, wait_s, now_us, after_s)
        words = f"at most {times(highest.high)} x baseline in every operation (limit {times(self.policy.limit)} x)"
        words = f"{words}, {self._requests:,.0f} requests, after {took(after_s)}"
        return Verdict(NO_WORSE, words, now_us, after_s, "", "", highest.middle, highest.low, highest.high, _ratio(smallest), 0.0)

    def _blind(self, operation: Operation, smallest: float, wait_s: float, now_us: int, after_s: float) -> Verdict:
        limit = _more(math.log(self.policy.limit))
        when = f"{limit} in about {took(wait_s)}" if math.isfinite(wait_s) else f"{operation.missing} to see {limit}"
        seen = f"cannot yet see less than {_more(smallest)} in {operation.name}"
        if not smallest < math.log(20):
            seen = f"cannot see any difference in {operation.name} yet"
        if wait_s <= 0:
            when = f"{limit} would have been seen, its absence is not certain yet"
        words = f"{seen}, {operation.seen:,.0f} requests; {when}"
        return Verdict(UNSURE, words, now_us, after_s, operation.name, smallest=_ratio(smallest), visible_in_s=wait_s)


def _ratio(effect: float) -> float:
    return math.exp(effect) if effect < 50 else math.inf


def _more(effect: float) -> str:
    """An effect, as a logarithm, in a sentence: +15 %."""
    return f"{(math.exp(effect) - 1) * 100:+.0f} %" if effect < math.log(20) else "nothing"


def together(parts: Sequence[dict[str, Histogram]]) -> dict[str, Histogram]:
    """What several nodes did, by operation; an operation whose buckets differ between nodes is left out."""
    names = {name for part in parts for name in part}
    found = {name: merge([part[name] for part in parts if name in part]) for name in sorted(names)}
    return {name: histogram for name, histogram in found.items() if histogram is not None}


# -- may it act? ----------------------------------------------------------------------------------------------------------------


class Guards(Struct, frozen=True):
    """What keeps an automatic action from looping: times in seconds."""

    settle_s: float = 60.0
    oldest_failure_s: float = 1_200.0
    window_s: float = 3_600.0


def why_not_act(
    guards: Guards,
    now_us: int,
    *,
    kind: str,
    finished_at_us: int,
    verdict: Verdict,
    automatic_at_us: Sequence[int],
    state: str = "succeeded",
) -> str:
    """Why no automatic rollback may follow now, "" where it may. Of the newest deployment: kind, end, state; when robots acted before."""
    if not verdict.bad and verdict.was:
        return f"it has passed: {'; '.join(verdict.was)}"
    if not verdict.bad:
        return f"the verdict is: {verdict.state}"
    if kind != "deploy":
        return "a rollback is never rolled back"
    if state in ("queued", "running") or not finished_at_us:
        return "the deployment is still under way"
    if now_us - finished_at_us < guards.settle_s * 1e6 and not verdict.broken:
        return f"it settles: {guards.settle_s:.0f} s after its end are not over yet"
    if now_us - verdict.since_us > guards.oldest_failure_s * 1e6:
        return f"the failure is older than {took(guards.oldest_failure_s)}: a person decides"
    # one that seems to lie ahead was begun by a clock that goes before this one
    if any(now_us - at_us < guards.window_s * 1e6 for at_us in automatic_at_us):
        return f"there was an automatic action within the last {took(guards.window_s)}"
    return ""
