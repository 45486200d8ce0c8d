"""Readings become points; restarts, gaps and history; the band and what leaves it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Histogram, LatencyPoint, Reading
from cockpit.domain.release import Deployment, DeployState, Environment, Service
from cockpit.domain.rollout import Action, ActionState, LineState
from cockpit.services.bands import Bands
from cockpit.services.execution import LATENCY_LINE
from cockpit.services.latency import Digest, LatencyBook, baseline_window, series_id
from cockpit.services.notices import Notices
from cockpit.services.store import Store
from cockpit.storage.chunks import points_of, table_of
from tests.fakes.running import FakeMain, InlineRunner

BOUNDS = (0.001, 0.01, 0.1, math.inf)


def reading(at_s: float, fast: int, slow: int = 0, node: str = "n1") -> Reading:
    counts = (float(fast), float(fast), float(fast + slow), float(fast + slow))
    return Reading(node, "gw", "prod", int(at_s * 1e6), {"POST /orders": Histogram(BOUNDS, counts)})


def test_the_first_reading_says_nothing() -> None:
    assert Digest().points([reading(0, 100)]) == []


def test_points_exist_for_node_operation_and_place() -> None:
    digest = Digest()
    digest.points([reading(0, 0)])
    points = dict(digest.points([reading(2, 100)]))
    at = place("gw", "prod")
    assert set(points) == {series_id(at), series_id(at, "n1"), series_id(at, "*", "POST /orders"), series_id(at, "n1", "POST /orders")}
    whole = points[series_id(at)]
    assert whole.count == 100
    assert whole.rate_per_s == pytest.approx(50)
    assert whole.p50_ms == pytest.approx(0.5)


def test_nodes_and_operations_are_known_from_what_was_read(fake_clock: Any) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    book.digest.points([reading(0, 0), reading(0, 0, node="n2")])
    book.add(book.digest.points([reading(2, 100), reading(2, 50, node="n2")]))
    assert book.nodes("gw@prod") == ("n1", "n2")
    assert book.operations("gw@prod") == ("POST /orders",)
    assert book.nodes("md@prod") == ()


def test_series_and_nodes_that_are_gone_for_good_leave_the_memory(fake_clock: Any) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    start = fake_clock() / 1e6
    book.digest.points([reading(start, 0, node="old")])
    book.add(book.digest.points([reading(start + 2, 10, node="old")]))
    fake_clock.advance(90_000)
    late = fake_clock() / 1e6
    book.digest.points([reading(late, 0, node="new")])
    book.add(book.digest.points([reading(late + 2, 10, node="new")]))
    assert book.nodes("gw@prod") == ("new",)
    assert list(book.digest._recent) == ["gw/prod/new"]


def test_a_restarted_node_never_gives_negative_counts() -> None:
    digest = Digest()
    digest.points([reading(0, 1000)])
    digest.points([reading(2, 1100)])
    [whole] = [p for name, p in digest.points([reading(4, 30)]) if name == series_id("gw@prod")]
    assert whole.count == 30
    assert whole.rate_per_s == pytest.approx(15)


def test_the_window_slides() -> None:
    digest = Digest(window_s=4)
    for second in range(0, 20, 2):
        points = dict(digest.points([reading(second, second * 10)]))
    assert points["gw@prod/*/*"].count == 40


def test_nodes_are_added_up() -> None:
    digest = Digest()
    digest.points([reading(0, 0, node="a"), reading(0, 0, node="b")])
    points = dict(digest.points([reading(2, 10, node="a"), reading(2, 30, node="b")]))
    assert points["gw@prod/*/*"].count == 40


class Kept:
    """A history in memory."""

    def __init__(self) -> None:
        self.points: list[tuple[str, LatencyPoint]] = []
        self.full = False

    def save(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None:
        if self.full:
            raise OSError("full")
        for name, columns in parts:
            self.points += [(name, p) for p in points_of(np.array(columns))]

    def compact(self, now_us: int) -> None:
        assert now_us > 0

    def prune(self, older_than_us: int) -> None:
        self.points = [(name, p) for name, p in self.points if p.at_us >= older_than_us]

    def load(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> Any:
        return table_of([p for name, p in self.points if name == series and start_us <= p.at_us <= end_us])


def a_point(at_us: int, p99: float | None = 5.0) -> LatencyPoint:
    return LatencyPoint(at_us, 1.0, 2.0, p99, None, 50.0, 0.0, 250.0)


def test_what_is_not_known_is_a_gap_and_times_go_forward(fake_clock: Any) -> None:
    main = FakeMain(fake_clock)
    book = LatencyBook(InlineRunner(main), None, fake_clock)
    book.add([("s", a_point(1_000_000)), ("s", a_point(2_000_000, None)), ("s", a_point(1_500_000))])
    columns = book.columns("s", 0, 10_000_000)
    assert list(columns.at_us) == [1e6, 2e6]
    assert math.isnan(columns.p99_ms[1])


def test_points_reach_history_and_a_full_disk_loses_none(fake_clock: Any) -> None:
    main, kept = FakeMain(fake_clock), Kept()
    book = LatencyBook(InlineRunner(main), kept, fake_clock)
    kept.full = True
    for _ in range(20):
        book.add([("s", a_point(fake_clock.advance(2)))])
        main.settle()
    assert kept.points == []
    kept.full = False
    book.flush()
    main.settle()
    assert len(kept.points) == 20
    book.add([("s", a_point(fake_clock.advance(2)))])
    book.drain()
    book.drain()
    assert len(kept.points) == 21


def test_older_points_come_from_history(fake_clock: Any) -> None:
    main, kept = FakeMain(fake_clock), Kept()
    kept.points = [("s", a_point(1_000_000)), ("s", a_point(2_000_000))]
    book = LatencyBook(InlineRunner(main), kept, fake_clock)
    book.add([("s", a_point(3_000_000))])
    answers: list[Any] = []
    book.load("s", 0, 10_000_000, answers.append)
    main.settle()
    assert list(answers[0].get().at_us) == [1e6, 2e6, 3e6]


def test_what_many_points_say_is_asked_of_some_and_no_extreme_is_lost_in_a_trend(fake_clock: Any) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    points = [a_point(i * 100_000, 900.0 if i == 3000 else None if i % 11 == 0 else 5.0 + i % 10) for i in range(6000)]
    book.add([("gw@prod/*/*", p) for p in points])
    _, last = book.span("gw@prod/*/*")
    values = book.p99("gw@prod", 0, int(last))
    assert 300 <= len(values) <= 700
    assert None in values
    assert len(book.p99("gw@prod", int(last) - 12_000_000, int(last))) == 121, "the newest seconds are read whole"
    trend = book.trend("gw@prod", 0, int(last))
    assert 100 < len(trend) <= 250
    assert max(trend) == 900.0
    assert trend == book.trend("gw@prod", 0, int(last))
    assert len(book.trend("gw@prod", int(last) - 12_000_000, int(last))) == 121
    assert book.trend("other", 0, int(last)) == ()


def test_a_time_that_ends_before_it_begins_has_no_points(fake_clock: Any) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    book.add([("gw@prod/*/*", a_point(i * 1_000_000)) for i in range(2_000)])
    for back_s in (1, 3, 599, 600, 601, 1_500):
        assert book.p99("gw@prod", 1_800_000_000, (1_800 - back_s) * 1_000_000) == []


def deployment(number: int, kind: str, start_s: float, end_s: float) -> Deployment:
    return Deployment(
        str(number), "", "gw", "prod", f"1.{number}", "d", kind, DeployState.SUCCEEDED, from_version=f"1.{number - 1}",
        started_at_us=int(start_s * 1e6), finished_at_us=int(end_s * 1e6),
    )  # fmt: skip


def test_the_baseline_is_the_time_before_the_newest_deploy_and_a_rollback_keeps_it() -> None:
    history = (deployment(1, "deploy", 100, 110), deployment(2, "deploy", 400, 410))
    assert baseline_window(history) == (115_000_000, 400_000_000, "1.1")
    assert baseline_window((*history, deployment(3, "rollback", 500, 510))) == (115_000_000, 400_000_000, "1.1")
    assert baseline_window(()) is None


def test_a_deploy_right_after_another_one_leaves_no_baseline_and_is_looked_at_all_the_same(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    start = fake_clock() / 1e6
    steps = (deployment(8, "deploy", start - 1, start), deployment(7, "deploy", start - 9, start - 2))
    scene.store.merge("deployments", {"gw@prod": Fact(steps, fake_clock(), "dep")})
    scene.see(20, 6.0)
    assert scene.store.state.latency["gw@prod"].value.point.p99_ms == 6.0


class Scene:
    """A place with a baseline of about 5 ms and a deploy just made."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.main = FakeMain(clock)
        self.store, self.notices = Store(), Notices(clock)
        self.book = LatencyBook(InlineRunner(self.main), None, clock)
        self.notes: list[str] = []
        self.bands = Bands(self.store, self.book, self.notices, clock, lambda action, words: self.notes.append(words))
        self.store.apply(services=(Service("gw"),), environments=(Environment("prod"),))
        self.see(60, 5.0)
        start = clock() / 1e6
        newest = deployment(7, "deploy", start, start + 1)
        self.store.merge("deployments", {"gw@prod": Fact((newest,), clock(), "dep")})

    def see(self, seconds: int, p99: float | None) -> None:
        for _ in range(seconds // 2):
            self.book.add([("gw@prod/*/*", a_point(self.clock.advance(2), p99))])
            self.bands.look("metrics", 15.0)

    @property
    def outside(self) -> bool | None:
        return self.store.state.latency["gw@prod"].value.outside


def test_leaving_the_band_is_said_once_and_so_is_coming_back(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.see(20, 5.5)
    assert scene.outside is False
    assert scene.notices.history == ()
    scene.see(30, 80.0)
    assert scene.outside is True
    assert [n.title for n in scene.notices.history] == ["p99 of gw in prod left its band"]
    assert "80.0 ms" in scene.notices.history[0].message
    scene.see(30, 5.0)
    assert scene.outside is False
    assert any("is back in its band" in n.title for n in scene.notices.history)


def test_without_data_nothing_is_called_fine(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.see(30, None)
    assert scene.outside is None


def test_a_single_spike_is_not_leaving_the_band(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.see(20, 5.0)
    scene.see(2, 500.0)
    scene.see(4, 5.0)
    assert scene.outside is False


def test_the_proof_of_a_rollback_is_completed_by_latency(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.see(20, 80.0)
    done = Action("k", "rollback", "gw", "prod", "1.7", "b", "1.6", "a", "ada", ActionState.DONE, fake_clock(), ended_at_us=fake_clock())
    from msgspec.structs import replace

    scene.store.merge("actions", {"k": replace(done, proof=(LATENCY_LINE,))})
    scene.see(4, 80.0)
    assert scene.store.state.actions["k"].proof[0].state is LineState.UNKNOWN
    scene.see(8, 5.0)
    scene.see(2, 80.0)
    for line in scene.store.state.actions["k"].proof:
        assert "80" not in line.text, "a single point beyond the band proves nothing"
    scene.see(30, 5.0)
    [line] = scene.store.state.actions["k"].proof
    assert line.state is LineState.OK
    assert "within its band" in line.text
    assert len(scene.notes) == 1


def test_only_the_newest_action_of_a_place_is_proved(fake_clock: Any) -> None:
    from msgspec.structs import replace

    scene = Scene(fake_clock)
    bad = Action("bad", "deploy", "gw", "prod", "1.6", "a", "1.7", "b", "ada", ActionState.DONE, fake_clock(), ended_at_us=fake_clock())
    scene.store.merge("actions", {"bad": replace(bad, proof=(LATENCY_LINE,))})
    scene.see(20, 80.0)
    good = replace(bad, key="good", kind="rollback", intended_at_us=fake_clock(), ended_at_us=fake_clock(), proof=(LATENCY_LINE,))
    scene.store.merge("actions", {"good": good})
    scene.see(40, 5.0)
    assert scene.store.state.actions["good"].proof[0].state is LineState.OK
    assert scene.store.state.actions["bad"].proof[0].state is LineState.WARNING
    assert len(scene.notes) == 1


def test_a_band_of_an_older_baseline_is_not_taken_for_this_one(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.see(10, 5.0)
    kept = scene.store.state.latency["gw@prod"].value.band
    assert kept is not None
    assert kept.version == "1.6"
    fake_clock.advance(7200)
    start = fake_clock() / 1e6
    newer = deployment(9, "deploy", start, start + 1)
    scene.store.merge("deployments", {"gw@prod": Fact((newer,), fake_clock(), "dep")})
    assert scene.bands.band("gw@prod") is None


def test_silent_nodes_are_named_once_and_so_is_their_return(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.bands.silence(("n3",), 4)
    assert scene.notices.newest is not None
    assert "n3" in scene.notices.newest.message
    scene.bands.silence((), 4)
    assert all(n.over for n in scene.notices.history if n.key == "silent-nodes")


def test_every_sample_is_in_the_heat_map_once_also_over_a_restart(fake_clock: Any) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    for second, fast, slow in ((0, 100, 0), (2, 150, 1), (4, 200, 1), (6, 30, 2), (8, 40, 2)):
        book.add(book.digest.points([reading(second, fast, slow), reading(second, fast, 0, node="n2")]))
    for series in ("gw@prod/*/*", "gw@prod/*/POST /orders"):
        heat = book.heat(series)
        assert heat is not None
        counts = heat.sums(np.array([0.0, 100.0]))[0].tolist()
        assert counts[0] == 2 * (50 + 50 + 30 + 10)
        assert counts[2] == 1 + 2, "what a restarted node brought counts from zero"
    one = book.heat("gw@prod/n1/*")
    assert one is not None
    assert one.sums(np.array([0.0, 100.0]))[0].tolist()[:3] == [50 + 50 + 30 + 10, 0, 1 + 2]
    assert book.heat("gw@prod/n1/POST /orders") is None


def test_a_clock_that_was_set_back_stops_no_series(fake_clock: Any) -> None:
    book, start_s = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock), fake_clock() / 1e6

    def scrape(at_s: float, count: int) -> None:
        fake_clock.advance(at_s - fake_clock() / 1e6)
        book.add(book.digest.points([reading(at_s, count), reading(at_s + 0.4, count, node="n2")]))

    for i in range(100):
        scrape(start_s + 2 * i, 10 * i)
    for i in range(5):
        scrape(start_s + 60 + 2 * i, 1000 + 10 * i)
    for name in ("gw@prod/*/*", "gw@prod/n2/*", "gw@prod/n1/POST /orders"):
        at = book.columns(name, 0, 2**62).at_us
        assert list(at) == sorted(set(at))
        assert start_s + 68 <= at[-1] / 1e6 <= start_s + 69, "what lay ahead is gone and what came since is there"
        assert at[0] / 1e6 < start_s + 3, "what was before stays"
    heat = book.heat("gw@prod/*/*")
    assert heat is not None
    assert start_s + 68 <= heat.last_s <= start_s + 69
    ((at_us, by_s),) = book.set_back
    assert at_us / 1e6 == pytest.approx(start_s + 62, abs=1)
    assert by_s == pytest.approx(198 - 62, abs=2)


def test_what_comes_late_is_no_clock_that_was_set_back(fake_clock: Any) -> None:
    book, now = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock), fake_clock()
    book.add([("s", a_point(now)), ("s", a_point(now - 9_000_000))])
    assert book.set_back == ()
    assert list(book.columns("s", 0, 2**62).at_us) == [now]


def test_after_a_clock_was_set_back_points_reach_history_again(fake_clock: Any) -> None:
    store = Kept()
    book, now = LatencyBook(InlineRunner(FakeMain(fake_clock)), store, fake_clock), fake_clock()
    book.add([("s", a_point(now + i * 1_000_000)) for i in range(0, 100, 2)])
    book.drain()
    book.add([("s", a_point(now))])
    book.drain()
    assert store.points[-1][1].at_us == now


def test_a_clock_that_was_set_back_keeps_nothing_from_history_meanwhile(fake_clock: Any) -> None:
    main, store = FakeMain(fake_clock), Kept()
    book = LatencyBook(InlineRunner(main), store, fake_clock)
    for _ in range(20):
        book.add([("s", a_point(fake_clock.advance(2)))])
        main.settle()
    fake_clock.advance(-3600)
    back_us = fake_clock()
    for _ in range(20):
        book.add([("s", a_point(fake_clock.advance(2)))])
        main.settle()
    assert [p for _, p in store.points if back_us < p.at_us <= fake_clock()], "an hour is long to wait for that"


def test_what_is_being_saved_while_the_clock_is_set_back_is_no_word_about_what_comes(fake_clock: Any) -> None:
    main, store = FakeMain(fake_clock), Kept()
    book = LatencyBook(InlineRunner(main), store, fake_clock)
    book.add([("s", a_point(fake_clock.advance(2)))])
    book.flush()
    assert book.saving
    fake_clock.advance(-3600)
    book.add([("s", a_point(fake_clock.advance(2)))])
    main.settle()
    assert not book.saving
    book.drain()
    assert store.points[-1][1].at_us == fake_clock()


def test_the_place_is_judged_again_after_its_clock_was_set_back(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.see(20, 5.0)
    fake_clock.advance(-3600)
    scene.see(20, 7.0)
    assert scene.store.state.latency["gw@prod"].value.point.p99_ms == 7.0
    assert scene.store.state.latency["gw@prod"].at_us <= fake_clock()


def test_other_buckets_begin_a_heat_map_anew_and_nobody_waits_for_the_main_thread(fake_clock: Any) -> None:
    book = LatencyBook(InlineRunner(FakeMain(fake_clock)), None, fake_clock)
    for second in range(0, 8, 2):
        bounds = BOUNDS if second < 4 else (0.5, math.inf)
        counts = tuple(float(second) for _ in bounds)
        book.add(book.digest.points([Reading("n1", "gw", "prod", second * 1_000_000, {"a": Histogram(bounds, counts)})]))
    heat = book.heat("gw@prod/*/*")
    assert heat is not None
    assert heat.bounds_s == (0.5, math.inf)
    for second in range(100, 6100, 2):
        book.digest.points([reading(second, second)])
    assert len(book.digest.fresh) <= 2000


def test_the_own_past_is_looked_at_anew_now_and_then(fake_clock: Any) -> None:
    scene = Scene(fake_clock)
    scene.store.merge("deployments", {"gw@prod": Fact((), fake_clock(), "dep")})
    scene.see(40, 5.5)
    before = scene.store.state.latency["gw@prod"].value.band
    assert before is not None
    assert before.version == ""
    scene.see(10, 50.0)
    assert scene.store.state.latency["gw@prod"].value.band == before, "not with each point"
    scene.see(60, 50.0)
    after = scene.store.state.latency["gw@prod"].value.band
    assert after is not None
    assert after.high_ms > before.high_ms
    fake_clock.advance(-3600)
    scene.see(60, 5.0)
    assert scene.bands.band("gw@prod") != after, "a clock that was set back holds nothing up"
