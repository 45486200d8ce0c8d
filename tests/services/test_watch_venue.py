"""The judge on the playground's real order gateway: a market that turns wild is no regression of a good version, the bad one is found.

Real processes of a good and of the bad version serve the playground's own flows, and their /metrics are read after every two seconds'
worth of requests: only the clock is made quicker. Both are asked in turn, so that whatever else the machine does meanwhile is in both
alike. Longer stories are drawn from these recorded looks; a version that is no worse draws from the same ones as the version before, for
two short recordings differ by chance, and that difference would be drawn again and again.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cockpit.connectors.openmetrics import parse_reading
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
S = 1_000_000
START_US = 1_800_000_000 * S
# where each of five hundred requests takes half a millisecond, a busy machine's hiccups alone double a p99: the evidence is looked at
RULE = WatchRule(p99_ratio=100.0)
Look = dict[str, Histogram]
Recorded = dict[tuple[str, str], list[Look]]


class Recorder:
    """One version's node, its flow, and what it did in each look."""

    def __init__(self, node: Any, version: str) -> None:
        self.node, self.version = node, version
        self.flow = make_flow(SERVICE, "market", "run")
        self.random = Random(3)
        self._last = self._read()

    def _read(self) -> Look:
        text = self.node.text("GET", "/metrics")[1]
        return parse_reading(text, Node("n1", SERVICE, "production"), 0).operations

    def look(self, regime: str) -> Look:
        """Two seconds of that market."""
        mean = self.flow.rate_per_s(regime) * LOOK_S
        for _ in range(max(1, round(self.random.gauss(mean, mean**0.5)))):
            call = self.flow.next(regime)
            self.node._connection.request(call.method, call.path, call.body or None)
            answer = self.node._connection.getresponse()
            self.flow.learn(call, answer.status, answer.read())
        before, self._last = self._last, self._read()
        found = {name: delta(before[name], after) for name, after in self._last.items()}
        return {name: h for name, h in found.items() if h is not None}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """By version and regime."""
    target: Path = tmp_path_factory.mktemp("venue")
    make_repository(target / "repo")
    found: dict[tuple[str, str], list[Look]] = {}
    with ExitStack() as nodes:
        made = [
            Recorder(nodes.enter_context(running(export(target / "repo", f"{SERVICE}/v{version}", target), version)), version)
            for version in (GOOD, BAD)
        ]
        for regime, looks in (("calm", 120), ("volatile", 40)):
            for _ in range(looks):
                for recorder in made:
                    found.setdefault((recorder.version, regime), []).append(recorder.look(regime))
    return found


def drawn(looks: list[Look], count: int, seed: int) -> list[Look]:
    """So many of the looks that were recorded."""
    return Random(seed).choices(looks, k=count)


def judged(before: list[Look], after: list[Look], beside: list[Look] | None = None) -> list[Verdict]:
    """What the judge says after each look: the whole fleet changed in between, or, with `beside`, one node of two that do the same."""
    feed, totals, now = Feed(), dict[tuple[str, str], Histogram](), START_US
    trial = Trial(feed, AT, "new", "old", RULE, START_US + int(len(before) * LOOK_S * S))
    verdicts = []
    for number, look in enumerate((*before, *after)):
        changed = number >= len(before)
        nodes = {"n1": ("new" if changed else "old", look)}
        if beside is not None:
            nodes["n2"] = ("old", beside[number])
        if number == len(before):
            totals = {key: h for key, h in totals.items() if key[0] != "n1"}
        now += int(LOOK_S * S)
        for name, (_, done) in nodes.items():
            for operation, h in done.items():
                old = totals.get((name, operation)) or Histogram(h.bounds_s, (0.0,) * len(h.counts))
                counts = tuple(a + b for a, b in zip(old.counts, h.counts, strict=True))
                totals[name, operation] = Histogram(h.bounds_s, counts, 0.0, old.errors + h.errors)
        readings = [Reading(n, SERVICE, "production", now, {o: h for (m, o), h in totals.items() if m == n}) for n in nodes]
        fleet = Fleet(SERVICE, "production", tuple(Node(n, SERVICE, "production", d, "", d, True) for n, (d, _) in nodes.items()))
        feed.add("m", readings, {AT: Fact(fleet, now)}, now)
        heard = trial.step(now, 0, ("n1",), ())
        if heard.verdict is not None:
            verdicts.append(heard.verdict)
    return verdicts


def worse(verdicts: list[Verdict]) -> list[str]:
    return [v.sentence for v in verdicts if v.state == WORSE]


def test_a_market_that_turns_wild_is_no_regression_of_a_good_version(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, "volatile"]
    verdicts = judged(drawn(calm, 600, 1), [*drawn(calm, 150, 2), *drawn(wild, 150, 3)])
    assert worse(verdicts) == []
    assert "never saw the load" in verdicts[-1].sentence, "and nobody says that it is fine"


def test_a_market_that_was_seen_wild_before_is_no_regression_either(recorded: Recorded) -> None:
    calm, wild = recorded[GOOD, "calm"], recorded[GOOD, "volatile"]
    verdicts = judged([*drawn(calm, 450, 1), *drawn(wild, 200, 2)], [*drawn(calm, 100, 3), *drawn(wild, 150, 4)])
    assert worse(verdicts) == []
    assert "never saw the load" not in verdicts[-1].sentence


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
    assert worse(verdicts[:90]) == []
    assert worse(verdicts), verdicts[-1].sentence
