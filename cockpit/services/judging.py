"""One deployment before its judge: begun with what was seen before it, fed with what comes, in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.judge import Guards, Judge, JudgePolicy, Look, Verdict
from cockpit.domain.watching import WatchRule
from cockpit.services.watch_feed import Feed
from cockpit.services.watch_past import Past, Split

USUAL_LOOK_S = 2.0
SILENT_LOOKS = 5.0  # so many looks late is silence, where looks are far apart
SILENT_S = 15.0
GONE_S = 15.0
OWN_S = 300.0  # of its own past make a baseline
NOBODY = "\0"  # what no node runs
REST_S = 30.0  # of a node's silence that is told; one that restarts misses a turn


class Heard(Struct, frozen=True):
    """What the judge says by now. `requests` of the new version were seen, the last at `looked_us` (0 = none).

    `silent`: nodes that tell nothing, `of` so many, the longest for `silent_s`. `unseen`: the counter of invariants
    that is named and that no node of it has.
    """

    verdict: Verdict | None = None
    requests: float = 0.0
    looked_us: int = 0
    silent: tuple[str, ...] = ()
    of: int = 0
    silent_s: float = 0.0
    unseen: str = ""


def policy_of(rule: WatchRule, look_s: float = USUAL_LOOK_S) -> JudgePolicy:
    """The judge's part of a rule, where looks come each `look_s` seconds."""
    silent_s = max(SILENT_S, SILENT_LOOKS * look_s)
    return JudgePolicy(
        limit=rule.limit,
        tolerated=rule.tolerated,
        p99_ratio=rule.p99_ratio,
        p99_ms=rule.p99_ms,
        error_ratio=rule.error_ratio,
        silent_s=silent_s,
        look_s=look_s,
    )


def guards_of(rule: WatchRule) -> Guards:
    """The part of a rule that keeps a robot from looping."""
    return Guards(rule.settle_s, rule.oldest_failure_minutes * 60, rule.window_minutes * 60)


class Trial:
    """Judges what ran `digest` in a place since `started_us`, against what ran `old` ("" = anything else). One lane.

    `back`: it went back to what ran there before, so what that did then is its baseline, where enough of it is known: no worse than a bad
    version says little.
    """

    def __init__(self, feed: Feed, at: str, digest: str, old: str, rule: WatchRule, started_us: int, *, back: bool = False) -> None:
        self._feed = feed
        self._at = at
        self._split = Split(digest, old if old != digest else "")
        self._rule = rule
        self._back = back
        self._started_us = started_us
        self._judge: Judge | None = None
        self._next = 0
        self._requests = 0.0
        self._looked_us = 0
        self._wrong: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self.before = 0  # looks that the judge began with

    def step(self, now_us: int, due_us: int, nodes: Sequence[str], gone: tuple[str, ...]) -> Heard:
        """Take in what came since the last step, each look once and in order.

        `due_us`: from when on something should have been seen (0 = not yet). `nodes` run the new version; those in `gone` do not answer.
        """
        heard = self._feed.heard_us(self._at)
        # a deployment system that cannot reach a node is no sign of its end while the node tells its metrics
        gone = tuple(name for name in gone if now_us - heard.get(name, 0) > GONE_S * 1e6)
        judge = self._judge or self._begin()
        if judge is None:
            silent = bool(due_us) and now_us > due_us
            # a judge without anything says that this is not fine
            verdict = Judge(policy_of(self._rule), self._started_us).verdict(now_us) if silent else None
            silent_s = (now_us - self._started_us) / 1e6
            return Heard(verdict, silent=tuple(nodes) if silent else (), of=len(nodes), silent_s=silent_s)
        looks, self._next = self._feed.looks(self._at, self._split, self._next)
        wrong = (gone, self._feed.violated(self._at, self._split.new, self._started_us))
        if wrong != self._wrong and not looks:
            looks = [Look(now_us, {})]
        self._wrong = wrong
        of = len({*nodes, *gone})
        for look in (replace(look, gone=wrong[0], broken=wrong[1], nodes=of) for look in looks):
            seen = sum(h.total for h in look.candidate.values())
            self._requests += seen
            self._looked_us = look.at_us if seen else self._looked_us
            judge.look(look)
        quiet_s = {name: (now_us - heard.get(name, self._started_us)) / 1e6 for name in nodes}
        told = {name: seconds for name, seconds in quiet_s.items() if seconds > REST_S}
        silent_s, unseen = max(told.values(), default=0.0), self._feed.unseen(self._at, self._split.new)
        return Heard(judge.verdict(now_us), self._requests, self._looked_us, tuple(told), of, silent_s, unseen)

    def _begin(self) -> Judge | None:
        """The judge, once something of the new version was seen: before that nobody knows which nodes are its."""
        with self._feed.locked:
            past = self._feed.past(self._at)
            if past is None:
                return None
            first = past.first_of(self._split.new, self._started_us)
            if first >= past.next:
                return None
            before = self._before(past, first)
        before = [look for look in before if look.candidate or look.baseline]
        self._next, self.before = first, len(before)
        self._judge = Judge(policy_of(self._rule, look_s_of(before)), self._started_us, before)
        return self._judge

    def _before(self, past: Past, first: int) -> list[Look]:
        """What is known of the time before that slot."""
        if self._back:
            alone = Split(self._split.new, NOBODY)
            own = [look for look in past.looks(alone, past.oldest, first) if look.candidate]
            if len(own) * look_s_of(own) >= OWN_S:
                self._split = alone
                return own
        mine = past.running(self._split.new, first, past.next)
        return past.looks(replace(self._split, nodes=mine), past.oldest, first)


def look_s_of(looks: Sequence[Look]) -> float:
    """How far looks are apart, usually."""
    gaps = [(b.at_us - a.at_us) / 1e6 for a, b in pairwise(looks[-100:])]
    return max(0.1, median(gaps)) if gaps else USUAL_LOOK_S
