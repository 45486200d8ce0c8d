"""What nodes did counts for a version only where it is certain that they ran it: once, in order, and small enough to keep."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cockpit.domain.facts import Fact
from cockpit.domain.judge import Look
from cockpit.domain.metrics import Histogram, Reading
from cockpit.domain.release import Fleet, Node
from cockpit.domain.watching import WatchRule
from cockpit.services.judging import Trial
from cockpit.services.watch_feed import GAP_S, HELD_S, LATE_S, OTHER_S, UNSEEN_READS, WARM_S, Feed
from cockpit.services.watch_past import MOST_NODES, Past, Split

AT = "gw@prod"
BOUNDS = (0.01, 0.1, math.inf)
OLD, NEW = "1" * 64, "2" * 64
S = 1_000_000


class Scene:
    """Nodes with counters, and a deployment system that says what they run. `lag_us`: how far their clock is behind."""

    def __init__(self, clock: Any, *names: str) -> None:
        self.clock, self.feed = clock, Feed()
        self.ran = dict.fromkeys(names or ("n1", "n2"), OLD)
        self.said = dict(self.ran)
        self.totals = dict.fromkeys(self.ran, 0)
        self.told_us = clock()
        self.lag_us = 0
        self.source = "m"
        self.wild: dict[str, float] = {}
        self.violations: dict[str, dict[str, float]] = {}
        self.absent: dict[str, dict[str, str]] = {}

    def read(self, seconds: float = 2.0, each: int = 10, *, fleet: bool = True, only: tuple[str, ...] = ()) -> None:
        """Time passes; every node serves `each` requests more and is read."""
        self.clock.advance(seconds)
        now = self.clock()
        self.told_us = now if fleet else self.told_us
        nodes = tuple(Node(n, "gw", "prod", "v", "c", d, True, "u") for n, d in self.said.items())
        readings = []
        for name in self.ran:
            self.totals[name] += each
            if not only or name in only:
                done = {"order": counts(self.totals[name])}
                beside = (self.wild.get(name, math.nan), self.violations.get(name, {}), self.absent.get(name, {}))
                readings.append(Reading(name, "gw", "prod", now - self.lag_us, done, *beside))
        self.feed.add(self.source, readings, {AT: Fact(Fleet("gw", "prod", nodes), self.told_us)}, now)

    def restart(self, digest: str, *names: str, said: bool = True) -> None:
        """These nodes begin anew on an artifact."""
        for name in names or tuple(self.ran):
            self.ran[name], self.totals[name] = digest, 0
            self.said[name] = digest if said else self.said[name]

    def looks(self, split: Split | None = None) -> list[Look]:
        return [look for look in self.feed.looks(AT, split or Split(NEW, OLD), 0)[0] if look.candidate or look.baseline]

    def sums(self) -> tuple[float, float]:
        """Requests of the candidate and of the baseline."""
        looks = self.looks()
        return tuple(sum(h.total for k in looks for h in side(k).values()) for side in (lambda k: k.candidate, lambda k: k.baseline))  # type: ignore[return-value]


def counts(total: float, errors: float = 0.0) -> Histogram:
    return Histogram(BOUNDS, (total // 2, total, total), 0.0, errors)


@pytest.fixture
def scene(fake_clock: Any) -> Scene:
    return Scene(fake_clock)


# -- whose is it? ------------------------------------------------------------------------------------------------------------------


def test_nothing_is_anybodys_while_nobody_says_what_runs(scene: Scene) -> None:
    scene.said = dict.fromkeys(scene.said, "")
    for _ in range(5):
        scene.read()
    assert scene.looks() == []


def test_without_the_deployment_systems_word_increments_wait_and_are_dropped(scene: Scene) -> None:
    for _ in range(3):
        scene.read()
    known = len(scene.looks())
    for _ in range(int(HELD_S)):
        scene.read(fleet=False)
    assert len(scene.looks()) == known, "what nobody vouched for counts for nobody"


def test_a_restart_is_no_traffic_and_the_first_seconds_after_it_are_neither_good_nor_bad(scene: Scene) -> None:
    for _ in range(5):
        scene.read()
    scene.restart(NEW)
    before = scene.sums()
    assert before[0] == 0
    for _ in range(int(WARM_S / 2)):
        scene.read()
    assert scene.sums()[0] == 0
    for _ in range(5):
        scene.read()
    candidate, baseline = scene.sums()
    assert candidate > 0
    assert candidate % 20 == 0, "whole intervals only"
    assert baseline - before[1] <= 20, "what was served before the change, and nothing after it, is the old version's"


def test_an_operation_that_a_scrape_left_out_does_not_bring_its_whole_past_when_it_is_back(fake_clock: Any) -> None:
    feed, nodes = Feed(), (Node("n1", "gw", "prod", "v", "c", NEW, True, "u"),)
    for turn in range(40):
        fake_clock.advance(2)
        now = fake_clock()
        told = {"order": counts(1_000_000 + 10 * turn), "quote": counts(10 * turn)}
        if 10 <= turn < 20:
            del told["order"]
        feed.add("m", [Reading("n1", "gw", "prod", now, told)], {AT: Fact(Fleet("gw", "prod", nodes), now)}, now)
    seen = sum(h.total for look in feed.looks(AT, Split(NEW, OLD), 0)[0] for h in look.candidate.values())
    assert seen <= 40 * 20, seen


def test_an_operation_that_was_never_called_before_counts_from_its_first_call(fake_clock: Any) -> None:
    feed, nodes = Feed(), (Node("n1", "gw", "prod", "v", "c", NEW, True, "u"),)
    for turn in range(20):
        fake_clock.advance(2)
        now = fake_clock()
        told = {"quote": counts(10 * turn), **({"order": counts(30)} if turn >= 10 else {})}
        feed.add("m", [Reading("n1", "gw", "prod", now, told)], {AT: Fact(Fleet("gw", "prod", nodes), now)}, now)
    assert sum(look.candidate["order"].total for look in feed.looks(AT, Split(NEW, OLD), 0)[0] if "order" in look.candidate) == 30


def test_a_source_whose_clock_was_set_back_is_read_on(scene: Scene) -> None:
    for _ in range(5):
        scene.read()
    before = scene.sums()[1]
    scene.lag_us = 3_600 * S
    for _ in range(5):
        scene.read()
    assert scene.sums()[1] > before


def test_a_node_that_changed_before_the_deployment_system_says_so_is_nobodys_meanwhile(scene: Scene) -> None:
    for _ in range(5):
        scene.read()
    before = scene.sums()
    scene.restart(NEW, "n1", said=False)
    for _ in range(8):
        scene.read(fleet=False)
    assert scene.sums() == before, "what it said last is from before these were read"
    scene.said["n1"] = NEW
    for _ in range(3):
        scene.read()
    assert scene.sums()[0] == 0, "and none of that is counted afterwards"
    for _ in range(8):
        scene.read()
    assert scene.sums()[0] > 0


def test_a_node_that_changes_without_its_counters_falling_back_loses_that_interval(scene: Scene) -> None:
    for _ in range(5):
        scene.read()
    scene.said["n1"] = scene.ran["n1"] = NEW
    scene.read()
    looks = scene.looks()
    assert [k.baseline["order"].total for k in looks[-2:]] == [20.0, 10.0], "it may have changed in the one that nobody vouched for yet"
    for _ in range(8):
        scene.read()
    now = scene.looks()
    waited = [k for k in now[len(looks) :] if not k.candidate]
    assert waited, "intervals in which it changed"
    assert all(k.baseline["order"].total == 10.0 for k in waited), "are the other node's alone"
    assert now[-1].candidate["order"].total == 10.0


def test_a_third_version_is_no_baseline(fake_clock: Any) -> None:
    scene = Scene(fake_clock, "n1", "n2", "n3")
    scene.ran["n3"] = scene.said["n3"] = "3" * 64
    for _ in range(5):
        scene.read()
    assert {k.baseline["order"].total for k in scene.looks(Split(NEW, OLD))} == {20.0}
    assert {k.baseline["order"].total for k in scene.looks(Split(NEW, ""))} == {30.0}, "where nobody says what ran before, all of it is"


# -- clocks, gaps, repetitions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag_s", [-3600.0, 3600.0])
def test_clocks_that_differ_change_nothing_but_when_it_counts(scene: Scene, lag_s: float) -> None:
    scene.lag_us = int(lag_s * S)
    for _ in range(5):
        scene.read()
    scene.restart(NEW)
    for _ in range(int((LATE_S + WARM_S) / 2) + 6):
        scene.read()
    looks = scene.looks()
    assert all(abs(k.at_us - scene.clock()) < 400 * S for k in looks), "by this machine's clock"
    assert looks[-1].candidate["order"].total == 20.0


def test_the_same_scrape_twice_and_an_older_one_are_counted_once(scene: Scene) -> None:
    for _ in range(4):
        scene.read()
    now = scene.clock()
    again = [Reading(n, "gw", "prod", now, {"order": counts(scene.totals[n])}) for n in scene.ran]
    older = [Reading(n, "gw", "prod", now - S, {"order": counts(scene.totals[n] + 500)}) for n in scene.ran]
    fleets = {AT: Fact(Fleet("gw", "prod", tuple(Node(n, "gw", "prod", digest=OLD) for n in scene.ran)), now)}
    for readings in (again, older):
        scene.feed.add("m", readings, fleets, scene.clock.advance(2))
    scene.read()
    scene.read()
    assert {k.baseline["order"].total for k in scene.looks()} == {20.0}


def test_scrapes_that_come_faster_lose_nothing_and_make_no_more_looks(scene: Scene) -> None:
    for _ in range(40):
        scene.read(0.5, each=5)
    totals = [k.baseline["order"].total for k in scene.looks()]
    assert set(totals) == {40.0}, "two seconds each"
    assert len(totals) == 9


def test_two_sources_of_one_place_count_once_and_the_second_takes_over(scene: Scene) -> None:
    for _ in range(4):
        scene.read()
        scene.source, first = "other", scene.source
        scene.read(seconds=0.5, each=0)
        scene.source = first
    assert {k.baseline["order"].total for k in scene.looks()} == {20.0}
    scene.source = "other"
    scene.read(OTHER_S + 1)
    known = len(scene.looks())
    for _ in range(4):
        scene.read()
    assert len(scene.looks()) > known


def test_after_a_long_gap_nothing_is_one_look(scene: Scene) -> None:
    scene.read()
    scene.read()
    scene.read(GAP_S + 1, each=100_000)
    scene.read()
    scene.read()
    assert max(k.baseline["order"].total for k in scene.looks()) == 20.0


def test_a_node_that_is_silent_stops_nobody(scene: Scene) -> None:
    for _ in range(4):
        scene.read()
    for _ in range(6):
        scene.read(only=("n1",))
    looks = scene.looks()
    assert looks[-1].baseline["order"].total == 10.0
    assert scene.feed.heard_us(AT)["n2"] < scene.clock() - 10 * S


def test_a_node_that_comes_into_being_while_we_look_is_warmed_first(scene: Scene) -> None:
    for _ in range(4):
        scene.read()
    scene.ran["n3"] = scene.said["n3"] = NEW
    scene.totals["n3"] = 0
    scene.read()
    scene.read()
    scene.read()
    assert scene.sums()[0] == 0
    for _ in range(8):
        scene.read()
    assert scene.looks()[-1].candidate["order"].total == 10.0


# -- the past ------------------------------------------------------------------------------------------------------------------------


def test_before_the_deployment_nodes_are_split_by_name(scene: Scene) -> None:
    for _ in range(6):
        scene.read()
    looks = scene.looks(Split(NEW, OLD, frozenset({"n2"})))
    assert [(k.candidate["order"].total, k.baseline["order"].total) for k in looks[-2:]] == [(10.0, 10.0)] * 2


def test_looks_are_handed_out_once_and_in_order(scene: Scene) -> None:
    seen: list[int] = []
    number = 0
    for _ in range(12):
        scene.read()
        looks, number = scene.feed.looks(AT, Split(NEW, OLD), number)
        seen += [look.at_us for look in looks]
    assert seen == sorted(set(seen))
    assert len(seen) == number
    assert scene.feed.looks("gw@nowhere", Split(NEW), 3) == ([], 3)


def test_what_is_kept_is_what_was_said_large_numbers_and_fractions_too() -> None:
    past = Past(4)
    past.add(1, {"n1": (OLD, {"order": Histogram(BOUNDS, (70_000.0, 70_001.0, 70_003.0), 0.0, 7.0)})})
    past.add(2, {"n1": (OLD, {"order": Histogram(BOUNDS, (0.5, 1.0, 1.0), 0.0, 0.0)})})
    kept = [look.baseline["order"] for look in past.looks(Split(NEW, OLD), 0, 2)]
    assert [(h.counts, h.errors) for h in kept] == [((70_000.0, 70_001.0, 70_003.0), 7.0), ((0.5, 1.0, 1.0), 0.0)]


def test_the_oldest_slots_and_nodes_that_are_gone_are_forgotten() -> None:
    past = Past(4)
    for number in range(10):
        past.add(number, {f"n{number}": (OLD, {"order": counts(number)})})
    assert (past.oldest, past.next) == (6, 10)
    looks = past.looks(Split(NEW, OLD), 0, 99)
    assert [(k.at_us, k.baseline["order"].total) for k in looks] == [(6, 6.0), (7, 7.0), (8, 8.0), (9, 9.0)]
    assert past.bytes == 4 * (4 * (len(BOUNDS) + 1) * 2 + 4 * 2)


def test_how_wild_the_market_was_comes_with_each_look(scene: Scene) -> None:
    for wild in ((), (5.0, 7.0), (math.nan, 0.0)):
        scene.wild = dict(zip(scene.ran, wild, strict=False))
        scene.read()
    scene.wild = {}
    for _ in range(3):
        scene.read()
    assert [str(look.volatility) for look in scene.looks()[:4]] == ["6.0", "0.0", "nan", "nan"]


def test_other_buckets_are_not_added_up() -> None:
    past = Past(4)
    wide = Histogram((0.5, math.inf), (3.0, 3.0))
    past.add(1, {"n1": (OLD, {"order": counts(4), "quote": counts(2)}), "n2": (OLD, {"order": wide})})
    (look,) = past.looks(Split(NEW, OLD), 0, 1)
    assert set(look.baseline) == {"quote"}


def test_many_nodes_are_counted_by_version(fake_clock: Any) -> None:
    scene = Scene(fake_clock, *(f"n{i}" for i in range(MOST_NODES + 4)))
    for _ in range(5):
        scene.read()
    assert scene.looks()[-1].baseline["order"].total == 10.0 * (MOST_NODES + 4)


def test_forty_minutes_of_twelve_places_stay_small(fake_clock: Any) -> None:
    """4 nodes, 5 operations, 20 buckets, a scrape each 2 seconds."""
    past, bounds = Past(), (*(0.001 * 1.5**i for i in range(19)), math.inf)
    one = Histogram(bounds, tuple(float(i + 1) for i in range(20)), 0.0, 1.0)
    for number in range(3):
        past.add(number, {f"n{i}": (OLD, {f"o{j}": one for j in range(5)}) for i in range(4)})
    assert past.bytes * 12 < 13e6


# -- invariants ------------------------------------------------------------------------------------------------------------------------


def test_only_what_was_broken_while_we_looked_is_held_against_a_node(scene: Scene) -> None:
    scene.violations = {"n1": {"book not crossed": 5.0}, "n2": {}}
    scene.read()
    began_us = scene.clock()
    scene.read()
    assert scene.feed.violated(AT, OLD, 0) == (), "nobody knows when those five were"
    scene.violations["n1"] = {"book not crossed": 6.0}
    scene.read()
    assert scene.feed.violated(AT, OLD, began_us) == ("book not crossed on n1",)
    assert scene.feed.violated(AT, NEW, began_us) == ()
    assert scene.feed.violated(AT, OLD, scene.clock() + 1) == (), "before the deployment"


def test_what_a_process_broke_is_not_held_against_the_next_one(scene: Scene) -> None:
    scene.violations = {"n1": {"book not crossed": 0.0}}
    scene.read()
    scene.violations["n1"] = {"book not crossed": 2.0}
    scene.read()
    scene.restart(NEW, "n1")
    scene.violations["n1"] = {"book not crossed": 0.0}
    scene.read()
    assert scene.feed.violated(AT, NEW, 0) == ()
    scene.restart(NEW, "n1")
    scene.violations["n1"] = {"book not crossed": 1.0}
    scene.read()
    assert scene.feed.violated(AT, NEW, 0) == ("book not crossed on n1",), "it began at none"


def test_a_page_that_leaves_the_counter_out_once_is_no_broken_invariant(scene: Scene) -> None:
    for seen in ({"book not crossed": 5.0}, {"book not crossed": 5.0}, {}, {"book not crossed": 5.0}):
        scene.violations = {"n1": seen}
        scene.read()
    assert scene.feed.violated(AT, OLD, 0) == ()
    scene.violations = {"n1": {"book not crossed": 6.0}}
    scene.read()
    assert scene.feed.violated(AT, OLD, 0) == ("book not crossed on n1",)


def test_a_counter_that_no_node_of_the_version_has_is_told_and_forgotten_when_it_is_there(scene: Scene) -> None:
    lacks = {"invariants": "viol", "volatility": "depth"}
    scene.restart(NEW, "n1")
    scene.absent = {"n1": lacks}
    for _ in range(UNSEEN_READS - 1):
        scene.read()
    assert scene.feed.unseen(AT, NEW) == "", "a node that starts"
    scene.read()
    assert scene.feed.unseen(AT, NEW) == "viol"
    assert scene.feed.unseen(AT, OLD) == "", "the other version's node has it"
    assert scene.feed.unseen(AT, "3" * 64) == ""
    assert scene.feed.unseen("md@prod", NEW) == ""
    scene.absent = {"n1": {"volatility": "depth"}}
    scene.read()
    assert scene.feed.unseen(AT, NEW) == "", "without a gauge invariants are seen"


def test_one_node_that_has_the_counter_is_enough(scene: Scene) -> None:
    scene.absent = {"n1": {"invariants": "viol"}}
    for _ in range(UNSEEN_READS + 1):
        scene.read()
    assert scene.feed.unseen(AT, OLD) == ""


def test_a_judge_says_that_invariants_are_not_seen(scene: Scene) -> None:
    for _ in range(30):
        scene.read()
    started_us = scene.clock()
    scene.restart(NEW, "n1")
    scene.absent = {"n1": {"invariants": "viol"}}
    trial = Trial(scene.feed, AT, NEW, OLD, WatchRule(), started_us)
    for _ in range(15):
        scene.read()
        heard = trial.step(scene.clock(), 0, ("n1",), ())
    assert heard.unseen == "viol"


def test_a_broken_invariant_of_the_new_version_is_bad_at_once(scene: Scene) -> None:
    for _ in range(30):
        scene.read()
    started_us = scene.clock()
    scene.restart(NEW, "n1")
    scene.violations = {"n1": {"book not crossed": 0.0}, "n2": {"book not crossed": 0.0}}
    trial = Trial(scene.feed, AT, NEW, OLD, WatchRule(), started_us)
    for _ in range(10):
        scene.read()
        heard = trial.step(scene.clock(), 0, ("n1",), ())
    assert heard.verdict is not None
    assert not heard.verdict.bad
    scene.violations["n2"] = {"book not crossed": 1.0}
    scene.read()
    heard = trial.step(scene.clock(), 0, ("n1",), ())
    assert heard.verdict is not None
    assert not heard.verdict.bad, "the old version's is none of the new one's"
    scene.violations["n1"] = {"book not crossed": 1.0}
    scene.read()
    heard = trial.step(scene.clock(), 0, ("n1",), ())
    assert heard.verdict is not None
    assert heard.verdict.bad
    assert heard.verdict.broken == ("invariant broken: book not crossed on n1",)


def test_what_the_old_version_broke_on_its_last_node_is_not_held_against_the_new_one(fake_clock: Any) -> None:
    """The deployment system tells that it changed before the node is read again, which a process that begins does not answer at once."""
    scene = Scene(fake_clock)
    for _ in range(30):
        scene.read()
    started_us = scene.clock()
    scene.violations = {"n1": {"book not crossed": 0.0}, "n2": {"book not crossed": 0.0}}
    scene.restart(NEW, "n1")
    trial = Trial(scene.feed, AT, NEW, OLD, WatchRule(), started_us)
    for _ in range(10):
        scene.read()
    scene.violations["n2"] = {"book not crossed": 1.0}
    scene.read()
    scene.restart(NEW, "n2")
    scene.violations["n2"] = {"book not crossed": 0.0}
    for silent in (("n1",), ("n1",), ()):
        heard = trial.step(scene.clock(), 0, ("n1", "n2"), ())
        assert heard.verdict is not None
        assert heard.verdict.broken == ()
        scene.read(only=silent)
    scene.violations["n2"] = {"book not crossed": 1.0}
    scene.read()
    assert trial.step(scene.clock(), 0, ("n1", "n2"), ()).verdict.broken == ("invariant broken: book not crossed on n2",)  # type: ignore[union-attr]


def test_what_a_node_that_came_into_being_broke_before_it_was_read_first_is_its_own(fake_clock: Any) -> None:
    """Where each deployment brings nodes of other names, nothing was read of them before."""
    scene = Scene(fake_clock, "old")
    scene.read()
    scene.ran, scene.said, scene.totals = {"new": NEW}, {"new": NEW}, {"new": 0}
    scene.violations = {"new": {"book not crossed": 1.0}}
    scene.read()
    scene.read()
    assert scene.feed.violated(AT, NEW, 0) == ("book not crossed on new",)
