"""What one reading of all nodes becomes on the main thread: pieces, none of them long, and nothing lost between them."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Histogram, Reading
from cockpit.domain.release import Environment, Fleet, Node, Service
from cockpit.services.bands import UNSEEN_READS, Bands
from cockpit.services.jobs import AT_A_TIME, SILENT_TURNS, MetricsJob
from cockpit.services.latency import LatencyBook
from cockpit.services.notices import Notices
from cockpit.services.store import Store
from tests.fakes.running import FakeMain, InlineRunner

NAMES, NODES, OPERATIONS = ("gw", "md", "risk"), ("n1", "n2", "n3", "n4"), ("order", "cancel", "quote")
BOUNDS = (0.001, 0.01, 0.1, float("inf"))
SERIES = (1 + len(NODES)) * (1 + len(OPERATIONS))  # of one place


class Rig:
    """Three services with four nodes each; `read` answers what the nodes tell."""

    def __init__(self, clock: Any) -> None:
        self.clock, self.main = clock, FakeMain(clock)
        self.store, self.notices = Store(), Notices(clock)
        self.book = LatencyBook(InlineRunner(self.main), None, clock)
        self.bands = Bands(self.store, self.book, self.notices, clock, lambda *_: None)
        self.posted: list[Any] = []
        self.silent: set[str] = set()
        self.absent: dict[str, dict[str, str]] = {}
        self.count = 0.0
        self.store.apply(services=tuple(Service(n) for n in NAMES), environments=(Environment("prod"),))
        self.store.merge("fleets", {place(n, "prod"): Fact(self.fleet(n), clock(), "dep") for n in NAMES})
        connected: Any = SimpleNamespace(id="metrics", title="metrics", services=frozenset(NAMES), polled=self)
        watch: Any = SimpleNamespace(read=lambda *_: None)
        self.job = MetricsJob(connected, self.store, self.book, self.bands, 15.0, watch, self.posted.append)

    @staticmethod
    def fleet(name: str) -> Fleet:
        return Fleet(name, "prod", tuple(Node(n, name, "prod", "1.0", "", "d", True, f"http://127.0.0.1:1/{n}") for n in NODES))

    def read(self, nodes: Any) -> list[Reading]:
        self.count += 100.0
        counted = Histogram(BOUNDS, (self.count / 2, self.count, self.count, self.count))
        told = [n for n in nodes if n.name not in self.silent]
        done = dict.fromkeys(OPERATIONS, counted)
        return [Reading(n.name, n.service, "prod", self.clock(), done, absent=self.absent.get(n.service, {})) for n in told]

    def poll(self) -> list[Any]:
        """One reading; answers what was posted by it."""
        self.clock.advance(2)
        self.posted.clear()
        self.job.apply(self.job.prepare()())
        return list(self.posted)

    def points(self) -> int:
        return sum(len(kept) for kept in self.book._series.values())


@pytest.fixture
def rig(fake_clock: Any) -> Rig:
    found = Rig(fake_clock)
    found.poll()
    return found


def test_a_reading_is_taken_in_by_pieces_and_whole_in_the_end(rig: Rig) -> None:
    posted = rig.poll()
    assert rig.points() == 0, "nothing at once"
    waiting, before, looked = len(rig.book.digest.fresh), 0, 0
    assert waiting
    for piece in posted:
        states = len(rig.store.state.latency)
        piece()
        assert rig.points() - before <= AT_A_TIME
        assert len(rig.store.state.latency) - states <= 1, "one place at a time"
        looked += len(rig.store.state.latency) > states
        before = rig.points()
    assert rig.points() == len(NAMES) * SERIES
    assert looked == len(NAMES)
    assert not rig.book.digest.fresh


def test_what_waits_for_the_heat_maps_is_shared_out(rig: Rig) -> None:
    posted, left = rig.poll(), [len(rig.book.digest.fresh)]
    for piece in posted:
        piece()
        left.append(len(rig.book.digest.fresh))
    steps = [a - b for a, b in pairwise(left) if a != b]
    assert len(steps) == -(-len(NAMES) * SERIES // AT_A_TIME)
    assert max(steps) - min(steps) <= 1
    assert rig.book.heat("gw@prod/*/*") is not None


def test_a_piece_that_is_never_run_takes_nothing_from_the_next_reading(rig: Rig) -> None:
    rig.poll()
    for piece in rig.poll():
        piece()
    assert rig.points() == len(NAMES) * SERIES
    assert not rig.book.digest.fresh, "samples of before are taken in with those of now"


def test_without_any_point_the_samples_that_wait_are_taken_in_all_the_same(rig: Rig) -> None:
    rig.poll()
    assert rig.book.digest.fresh
    rig.silent = set(NODES)
    for piece in rig.poll():
        piece()
    assert not rig.book.digest.fresh
    assert rig.points() == 0
    assert not rig.store.state.latency


def test_nodes_that_stay_silent_are_named_once(rig: Rig) -> None:
    rig.silent = {"n2"}
    for _ in range(SILENT_TURNS + 1):
        for piece in rig.poll():
            piece()
    assert [n.title for n in rig.notices.history] == ["3 of 12 nodes do not tell their latency"]
    rig.silent = set()
    rig.poll()
    assert "All nodes tell their latency again" in [n.title for n in rig.notices.history]


def test_a_metric_that_is_named_and_on_no_page_is_told_once_until_it_is_there(rig: Rig) -> None:
    lacks = {"invariants": "venue_viol", "volatility": "depth"}
    rig.absent = dict.fromkeys(NAMES, lacks)
    for _ in range(UNSEEN_READS - 1):
        rig.poll()
    assert rig.notices.history == ()
    for _ in range(3):
        rig.poll()
    told = {n.title: n for n in rig.notices.history}
    assert sorted(told) == ["No node has the metric depth", "No node has the metric venue_viol"]
    notice = told["No node has the metric venue_viol"]
    assert (notice.count, notice.stands, "connection metrics" in notice.message) == (1, True, True)
    assert "`invariants` under [connections.metrics]" in notice.hint
    rig.absent["md"] = {"volatility": "depth"}
    rig.poll()
    stands = [n.title for n in rig.notices.history if n.stands]
    assert stands == ["No node has the metric depth"], "one node that has it is enough"


def test_while_no_node_answers_nothing_is_said_of_what_they_have(rig: Rig) -> None:
    rig.absent, rig.silent = {name: {"invariants": "venue_viol"} for name in NAMES}, set(NODES)
    for _ in range(UNSEEN_READS + 1):
        rig.poll()
    assert not any("venue_viol" in n.title for n in rig.notices.history)
