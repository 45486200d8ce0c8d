"""The judge on the playground's real order gateway: a market that turns wild is no regression of a good version, the bad one is found.

Real processes of a good and of the bad version serve the playground's own flows, and their /metrics are read after every two seconds'
worth of requests: only the clock is made quicker. Both are asked in turn, so that whatever else the machine does meanwhile is in both
alike. Longer stories are drawn from these recorded looks; a version that is no worse draws from the same ones as the version before, for
two short recordings differ by chance, and that difference would be drawn again and again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.openmetrics import Names, parse_reading
from cockpit.domain.facts import Fact
from cockpit.domain.judge import WORSE, Verdict
from cockpit.domain.metrics import Histogram, Reading, delta
from cockpit.domain.release import Fleet, Node
from cockpit.domain.watching import WatchRule
from cockpit.playground.flows import make_flow
from cockpit.playground.repository import PENDING, make_repository
from cockpit.services.judging import Trial
from cockpit.services.watch_feed import Feed
from tests.fakes.venue import export, running

SERVICE, AT = "order-gateway", "order-gateway@production"
GOOD, BAD = PENDING[SERVICE]
LOOK_S = 2.0
SETTLED = 20  # looks after which a market that has just opened is calm
S = 1_000_000
START_US = 1_800_000_000 * S
RULE = WatchRule()
NAMES = Names(volatility="order_book_depth")
QUIET = "volatile at the volume of a calm market"
Recorded = dict[tuple[str, str], list[Reading]]  # increments, not totals


class Recorder:
    """One version's node, its flow, and what it did in each look."""

    def __init__(self, node: Any, version: str) -> None:
        self.node, self.version = node, version
        self.flow = make_flow(SERVICE, "market", "run")
        self.random = Random(3)
        self._last = self._read()

    def _read(self) -> Reading:
        text = self.node.text("GET", "/metrics")[1]
        return parse_reading(text, Node("n1", SERVICE, "production"), 0, NAMES)

    def look(self, regime: str, volume: str) -> Reading:
        """Two seconds of that market, with as many requests as in the market `volume`."""
        mean = self.flow.rate_per_s(volume) * LOOK_S
        for _ in range(max(1, round(self.random.gauss(mean, mean**0.5)))):
            call = self.flow.next(regime)
            self.node._connection.request(call.method, call.path, call.body or None)
            answer = self.node._connection.getresponse()
            self.flow.learn(call, answer.status, answer.read())
        before, self._last = self._last, self._read()
        found = {name: delta(before.operations[name], after) for name, after in self._last.operations.items()}
        return replace(self._last, operations={name: h for name, h in found.items() if h is not None})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """By version and regime."""
    target: Path = tmp_path_factory.mktemp("venue")
    make_repository(target / "repo")
    kept: dict[tuple[str, str], list[Reading]] = {}
    with ExitStack() as nodes:
        made = [
            Recorder(nodes.enter_context(running(export(target / "repo", f"{SERVICE}/v{version}", target), version)), version)
            for version in (GOOD, BAD)
        ]
        for name, regime, volume, looks in (("calm",) * 3 + (120,), ("volatile",) * 3 + (40,), (QUIET, "volatile", "calm", 50)):
            for number in range(looks):
                # nobody asks for the bad version in a calm market: it goes through one only to begin as the good one does
                for recorder in made[:1] if name == "calm" and number >= SETTLED else made:
                    kept.setdefault((recorder.version, name), []).append(recorder.look(regime, volume))
    return kept


def drawn(looks: list[Reading], count: int, seed: int) -> list[Reading]:
    """So many of the looks that were recorded."""
    return Random(seed).choices(looks, k=count)


def judged(before: list[Reading], after: list[Reading], beside: list[Reading] | None = None) -> Iterator[Verdict]:
    """What the judge says after each look: the whole fleet changed in between, or, with `beside`, one node of two that do the same."""
    feed, totals, now = Feed(), dict[tuple[str, str], Histogram](), START_US
    trial = Trial(feed, AT, "new", "old", RULE, START_US + int(len(before) * LOOK_S * S))
    for number, look in enumerate((*before, *after)):
        changed = number >= len(before)
        nodes = {"n1": ("new" if changed else "old", look)}
        if beside is not None:
            nodes["n2"] = ("old", beside[number])
        if number == len(before):
            totals = {key: h for key, h in totals.items() if key[0] != "n1"}
        now += int(LOOK_S * S)
        for name, (_, done) in nodes.items():
            for operation, h in done.operations.items():
                old = totals.get((name, operation)) or Histogram(h.bounds_s, (0.0,) * len(h.counts))
                counts = tuple(a + b for a, b in zip(old.counts, h.counts, strict=True))
                totals[name, operation] = Histogram(h.bounds_s, counts, 0.0, old.errors + h.errors)
        readings = [
            Reading(n, SERVICE, "production", now, {o: h for (m, o), h in totals.items() if m == n}, done.volatility)
            for n, (_, done) in nodes.items()
        ]
        fleet = Fleet(SERVICE, "production", tuple(Node(n, SERVICE, "production", d, "", d, True) for n, (d, _) in nodes.items()))
        feed.add("m", readings, {AT: Fact(fleet, now)}, now)
        heard = trial.step(now, 0, ("n1",), ())
        if heard.verdict is not None:
            yield heard.verdict


def worse(verdicts: Iterable[Verdict]) -> list[str]:
    return [v.sentence for v in verdicts if v.state == WORSE]


def found(verdicts: Iterable[Verdict]) -> bool:
    """Whether it is worse at any look; nothing is judged after the first one that says so."""
    return any(v.state == WORSE for v in verdicts)


def blind(verdicts: list[Verdict]) -> float:
    """The share of them that say that such a market was never seen. Of an operation that is rare one may say so now and then."""
    return sum("never saw the load" in v.sentence for v in verdicts) / len(verdicts)


def slower(looks: list[Reading], factor: float) -> list[Reading]:
    """The same on a machine that takes that many times as long."""
    return [replace(look, operations={name: stretched(h, factor) for name, h in look.operations.items()}) for look in looks]


def stretched(histogram: Histogram, factor: float) -> Histogram:
    bounds, counts = (0.0, *histogram.bounds_s[:-1]), (0.0, *histogram.counts[:-1])
    found = []
    for bound in histogram.bounds_s[:-1]:
        at = bisect_right(bounds, bound / factor)
        low, high = bounds[at - 1], bounds[min(at, len(bounds) - 1)]
        share = (bound / factor - low) / (high - low) if high > low else 0.0
        found.append(counts[at - 1] + share * (counts[min(at, len(bounds) - 1)] - counts[at - 1]))
    return replace(histogram, counts=(*found, histogram.total))


def test_a_market_that_turns_wild_is_no_regression_of_a_good_version(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, "volatile"]
    verdicts = list(judged(drawn(calm, 600, 1), [*drawn(calm, 150, 2), *drawn(wild, 150, 3)]))
    assert worse(verdicts) == []
    assert blind(verdicts[-50:]) > 0.9, "and nobody says that it is fine"


def test_a_market_that_was_seen_wild_before_is_no_regression_either(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, "volatile"]
    verdicts = list(judged([*drawn(calm, 450, 1), *drawn(wild, 200, 2)], [*drawn(calm, 100, 3), *drawn(wild, 150, 4)]))
    assert worse(verdicts) == []
    assert blind(verdicts[150:]) < 0.5


def test_a_canary_of_a_good_version_is_no_worse_whatever_the_market_does(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, "volatile"]
    looks = [*drawn(calm, 550, 1), *drawn(wild, 150, 2)]
    beside = [*drawn(calm, 550, 3), *drawn(wild, 150, 4)]
    assert worse(judged(looks[:450], looks[450:], beside)) == []


def test_the_bad_version_is_found_by_a_canary_in_the_market_that_shows_it(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, "volatile"]
    looks = [*drawn(calm, 550, 1), *drawn(recorded[BAD, "volatile"], 150, 2)]
    beside = [*drawn(calm, 550, 3), *drawn(wild, 150, 4)]
    verdicts = judged(looks[:450], looks[450:], beside)
    assert worse(islice(verdicts, 90)) == []
    assert found(verdicts)


def test_a_market_that_turns_wild_at_the_same_volume_is_told_by_the_gauge_alone(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, QUIET]
    verdicts = list(judged(drawn(calm, 600, 1), [*drawn(calm, 100, 2), *drawn(wild, 150, 3)]))
    assert worse(verdicts) == []
    assert blind(verdicts[-100:]) > 0.9


def test_of_a_wild_market_at_the_same_volume_that_was_seen_before_it_can_tell(recorded: Recorded) -> None:
    calm, wild, bad = recorded[GOOD, "calm"], recorded[GOOD, QUIET], recorded[BAD, QUIET]
    before = [*drawn(calm, 400, 1), *drawn(wild, 300, 2)]
    good = list(judged(before, [*drawn(calm, 100, 3), *drawn(wild, 150, 4)]))
    assert worse(good) == []
    assert blind(good[120:]) < 0.5
    verdicts = judged(before, [*drawn(calm, 100, 3), *drawn(bad, 150, 4)])
    assert worse(islice(verdicts, 95)) == []
    assert found(verdicts)


def test_a_machine_that_slows_down_is_no_regression_of_a_canary(recorded: Recorded) -> None:
    calm = recorded[GOOD, "calm"]
    looks, beside = drawn(calm, 600, 1), drawn(calm, 600, 2)
    assert worse(judged(looks[:400], slower(looks[400:], 1.5), [*beside[:400], *slower(beside[400:], 1.5)])) == []
    assert found(judged(looks[:400], slower(looks[400:], 1.5), beside)), "alone it would be one"


def test_a_machine_that_is_a_little_warmer_is_no_regression_against_the_past(recorded: Recorded) -> None:
    looks = drawn(recorded[GOOD, "calm"], 900, 1)
    assert worse(judged(looks[:500], slower(looks[500:], 1.03))) == []
    assert found(judged(looks[:500], slower(looks[500:], 1.5)))
