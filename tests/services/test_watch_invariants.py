"""Invariants that the playground's real order gateway counts: none is broken by its own versions, one that crosses its book is bad at once.

Real processes, read from their own metrics pages; only the clock is made quicker.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.openmetrics import Names, parse_reading
from cockpit.domain.facts import Fact
from cockpit.domain.release import Fleet, Node
from cockpit.domain.watching import WatchRule, WatchState
from cockpit.playground.flows import make_flow
from cockpit.playground.repository import PENDING, make_repository
from cockpit.services.judging import Trial
from cockpit.services.watch_feed import Feed
from cockpit.services.watch_findings import ruled
from tests.fakes.rig import D2
from tests.fakes.venue import export, running
from tests.fakes.watch_rig import WatchRig

SERVICE, AT = "order-gateway", "order-gateway@production"
GOOD, BAD = PENDING[SERVICE]
NAMES = Names(volatility="order_book_depth", invariants="venue_violations_total")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By version; "crossing" is the good one with orders at the same price that do not meet."""
    target = tmp_path_factory.mktemp("venue")
    make_repository(target / "repo")
    found = {version: export(target / "repo", f"{SERVICE}/v{version}", target) for version in (GOOD, BAD)}
    found["crossing"] = shutil.copytree(found[GOOD], target / "crossing")
    book = found["crossing"] / "order_gateway" / "book.py"
    text = book.read_text("utf-8")
    assert text.count("self.price >= price if") == 1
    book.write_text(text.replace("self.price >= price if", "self.price > price if"), "utf-8")
    return found


def order(node: Any, number: int, side: str, price: str) -> None:
    body = {"account": side, "client_id": str(number), "side": side, "price": price, "quantity": 1}
    assert node.call("POST", "/orders", body)[0] == 201


def page_of(node: Any, name: str, at_us: int = 0) -> Any:
    return parse_reading(node.text("GET", "/metrics")[1], Node(name, SERVICE, "production"), at_us, NAMES)


@pytest.mark.parametrize("version", [GOOD, BAD])
def test_no_version_of_the_history_breaks_one_in_its_own_market(trees: dict[str, Path], version: str) -> None:
    flow = make_flow(SERVICE, "market", "run")
    with running(trees[version], version) as node:
        for number in range(600):
            call = flow.next("volatile" if number % 2 else "calm")
            node._connection.request(call.method, call.path, call.body or None)
            answer = node._connection.getresponse()
            flow.learn(call, answer.status, answer.read())
        found = page_of(node, "n1")
    assert found.absent == {}
    assert len(found.violations) == 2
    assert set(found.violations.values()) == {0.0}


def test_a_version_that_crosses_its_book_is_bad_at_once(trees: dict[str, Path], fake_clock: Any) -> None:
    feed, at = Feed(), {AT: ("old", "old")}
    with ExitStack() as stack:
        nodes = {name: stack.enter_context(running(trees[GOOD], GOOD)) for name in ("n1", "n2")}

        def read(numbers: range, price: str = "10.00") -> None:
            for number in numbers:
                for node in nodes.values():
                    order(node, number, "buy" if number % 2 else "sell", price if number % 2 else "10.00")
                fake_clock.advance(2)
                now = fake_clock()
                known = tuple(Node(n, SERVICE, "production", d, "", d, True) for n, d in zip(nodes, at[AT], strict=True))
                feed.add(
                    "m",
                    [page_of(node, name, now) for name, node in nodes.items()],
                    {AT: Fact(Fleet(SERVICE, "production", known), now)},
                    now,
                )

        read(range(20))
        started_us = fake_clock()
        at[AT] = ("new", "old")
        nodes["n1"] = stack.enter_context(running(trees["crossing"], "crossing"))
        trial = Trial(feed, AT, "new", "old", WatchRule(), started_us)
        read(range(100, 120), "9.00")
        verdict = trial.step(fake_clock(), 0, ("n1",), ()).verdict
        assert verdict is not None
        assert not verdict.bad, "nothing has met its price yet"
        assert not verdict.broken
        read(range(201, 202))
        verdict = trial.step(fake_clock(), 0, ("n1",), ()).verdict
        assert verdict is not None
        assert verdict.bad
        assert [finding.text for finding in ruled(verdict)] == ["invariant broken: book not crossed on n1"]


# -- what the watch makes of it -----------------------------------------------------------------------------------------------------


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Callable[[WatchRule], WatchRig]]:
    made: list[WatchRig] = []

    def build(rule: WatchRule) -> WatchRig:
        made.append(WatchRig(tmp_path, fake_clock, rule))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def unseen(rig: WatchRig) -> list[str]:
    return [f.text for f in rig.seen.findings if f.text.startswith("invariants are not seen")]


def test_a_watch_that_cannot_see_the_invariants_is_never_fine(make: Callable[[WatchRule], WatchRig]) -> None:
    rig = make(WatchRule(minutes=3))
    rig.beside["1.8.0"] = {"absent": {"invariants": "venue_viol"}}
    rig.run(600)
    rig.deploy()
    assert rig.run_until(lambda: bool(unseen(rig)), 60)
    assert unseen(rig) == ["invariants are not seen: no node of it has the metric venue_viol"]
    assert rig.seen.state is WatchState.BLIND
    assert rig.run_until(lambda: rig.seen.over, 300)
    assert rig.seen.state is WatchState.BLIND


def test_when_the_counter_appears_the_watch_sees_again(make: Callable[[WatchRule], WatchRig]) -> None:
    rig = make(WatchRule(minutes=3))
    rig.beside["1.8.0"] = {"absent": {"invariants": "venue_viol"}}
    rig.run(600)
    rig.deploy()
    assert rig.run_until(lambda: bool(unseen(rig)), 60)
    rig.beside["1.8.0"] = {"violations": {"book not crossed": 0.0}}
    assert rig.run_until(lambda: not unseen(rig), 30)
    assert rig.seen.state is WatchState.WATCHING
    assert rig.run_until(lambda: rig.seen.over, 300)
    assert rig.seen.state is WatchState.FINE


def test_a_broken_invariant_is_rolled_back_by_itself(make: Callable[[WatchRule], WatchRig]) -> None:
    rig = make(WatchRule(minutes=10, automatic=True, countdown_s=30, settle_s=20))
    rig.beside = {version: {"violations": {"book not crossed": 0.0}} for version in ("1.7.0", "1.8.0")}
    rig.run(60)
    rig.deploy()
    rig.run(60)
    assert rig.seen.findings == ()
    rig.beside["1.8.0"] = {"violations": {"book not crossed": 1.0}}
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 10), "at once"
    assert rig.seen.findings[0].text.startswith("invariant broken: book not crossed on ")
    assert rig.run_until(lambda: rig.seen.countdown is not None, 60), rig.seen.why_not
    assert rig.run_until(lambda: bool(rig.systems.posts), 60)
    assert [str(post.digest) for post in rig.systems.posts] == [D2]
