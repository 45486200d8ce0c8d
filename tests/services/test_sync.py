"""Polling: data with its age, failures said once, back-off, stop at refused credentials, waking up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cockpit.connectors.ports import Probe
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, RateLimited, Unreachable
from cockpit.domain.facts import Fact
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.connections import Connected, Connections
from cockpit.services.jobs import CiJob, collect
from cockpit.services.notices import Notices
from cockpit.services.runtime import Outcome
from cockpit.services.store import Store
from cockpit.services.sync import Sync
from tests.fakes.running import FakeMain, InlineRunner


class Asked:
    """A job that counts, fails when told, and answers a number."""

    def __init__(self, store: Store, clock: Any) -> None:
        self.store, self.clock = store, clock
        self.count = 0
        self.error: Exception | None = None

    def prepare(self) -> Callable[[], int]:
        def work() -> int:
            self.count += 1
            if self.error is not None:
                raise self.error
            return self.count

        return work

    def apply(self, result: int) -> Exception | None:
        self.store.merge("checks", {"gw": Fact((), self.clock(), "ci", 10.0)})
        return None

    def interval_s(self, base_s: float) -> float:
        return base_s


class Target:
    def probe(self) -> Probe:
        return Probe("reached", "ada")


class Rig:
    def __init__(self, clock: Any) -> None:
        self.clock, self.main, self.store, self.notices = clock, FakeMain(clock), Store(), Notices(clock)
        self.sync = Sync(self.main, InlineRunner(self.main), self.store, self.notices, clock)
        self.job = Asked(self.store, clock)
        connections = Connections()
        connections.replace((Connected("ci", "CI", "ci-v1", ("CiSystem",), ("gw",), Target()),))
        self.sync.begin(connections, {"ci": self.job}, 2.0, 10.0)

    @property
    def health(self) -> Any:
        return self.store.state.sources["ci"]


@pytest.fixture
def rig(fake_clock: Any) -> Rig:
    return Rig(fake_clock)


def test_it_asks_at_its_interval_and_knows_when_next(rig: Rig) -> None:
    rig.main.run_for(9)
    assert rig.job.count == 5
    assert rig.health.state(rig.clock()) == "ok"
    assert 0 <= rig.health.next_poll_us - rig.clock() <= 2_000_000


def test_a_failure_keeps_the_data_with_its_age_and_is_said_once(rig: Rig) -> None:
    rig.main.run_for(1)
    rig.job.error = Unreachable("connection refused")
    rig.main.run_for(60)
    assert rig.store.state.checks["gw"].age_s(rig.clock()) > 55
    assert rig.store.state.checks["gw"].stale(rig.clock())
    assert rig.health.state(rig.clock()) == "failed"
    told = [n for n in rig.notices.history if n.key == "source:ci"]
    assert [(n.count, n.over) for n in told] == [(1, False)]


def test_recovery_needs_nobody_and_is_said_once(rig: Rig) -> None:
    rig.job.error = Unreachable("connection refused")
    rig.main.run_for(30)
    rig.job.error = None
    rig.main.run_for(70)
    assert rig.health.state(rig.clock()) == "ok"
    assert [n.title for n in rig.notices.history if "answers again" in n.title] == ["CI answers again"]
    assert all(n.over for n in rig.notices.history if n.key == "source:ci")


def test_failing_stretches_the_interval(rig: Rig) -> None:
    rig.job.error = Unreachable("down")
    rig.main.run_for(300)
    assert 5 < rig.job.count < 15


def test_retry_after_is_obeyed(rig: Rig) -> None:
    rig.job.error = RateLimited("slow down", retry_after_s=50)
    rig.main.run_for(40)
    assert rig.job.count == 1


def test_refused_credentials_stop_the_asking_until_a_person_acts(rig: Rig) -> None:
    rig.job.error = AuthFailed("401")
    rig.main.run_for(600)
    assert rig.job.count == 1
    assert rig.health.state(rig.clock()) == "stopped"
    rig.job.error = None
    rig.sync.refresh_now("ci")
    rig.main.run_for(1)
    assert rig.health.state(rig.clock()) == "ok"


def test_without_an_answer_a_source_becomes_stale(rig: Rig) -> None:
    rig.main.run_for(1)
    rig.sync.close()
    rig.main.run_for(30)
    assert rig.health.state(rig.clock()) == "stale"


def test_a_test_of_the_connection_answers(rig: Rig) -> None:
    answers: list[Outcome[Probe]] = []
    rig.sync.test("ci", answers.append)
    rig.sync.test("nobody", answers.append)
    rig.main.settle()
    assert [a.value.identity if a.value else type(a.error).__name__ for a in answers] == ["CockpitError", "ada"]


def test_a_defect_in_showing_is_said_and_does_not_end_the_polling(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(rig.job, "apply", broken)
    rig.main.run_for(30)
    assert rig.job.count > 3
    assert rig.health.problem is not None
    monkeypatch.undo()
    monkeypatch.setattr(rig.job, "prepare", broken)
    rig.main.run_for(60)
    monkeypatch.undo()
    rig.main.run_for(120)
    assert rig.health.state(rig.clock()) == "ok"


def test_what_one_thing_lacks_does_not_hide_the_others() -> None:
    asked: list[str] = []

    def raises(error: Exception) -> Callable[[], None]:
        def ask() -> None:
            asked.append(type(error).__name__)
            raise error

        return ask

    down = raises(Unreachable("down"))
    questions = [
        ("a", "1", raises(NotFound("no such service"))),
        ("a", "2", raises(BadPayload("nonsense"))),
        ("a", "3", lambda: 5),
        ("a", "4", down),
        ("a", "5", down),
        ("a", "6", lambda: 6),
    ]
    got = collect(questions)
    assert got.items == [("a", "3", 5)]
    assert got.missing == [("a", "1")]
    assert isinstance(got.error, Unreachable), "a system that is gone is not asked further"
    assert asked.count("Unreachable") == 2
    assert collect(questions, 5).items[0] == ("a", "6", 6), "the next poll begins elsewhere"
    limited = collect([("a", "1", raises(RateLimited("slow", retry_after_s=3))), ("a", "2", lambda: 5)])
    assert limited.items == []
    assert collect([]).error is None


def test_facts_carry_their_source_and_deadline(fake_clock: Any) -> None:
    class Ci:
        def runs(self, service: str, limit: int = 50) -> tuple[()]:
            return ()

    store = Store()
    job = CiJob(Connected("ci", "CI", "ci-v1", ("CiSystem",), ("gw",), Ci()), store, fake_clock, 7.0)
    assert job.apply(job.prepare()()) is None
    fact = store.state.checks["gw"]
    assert (fact.source, fact.deadline_s, fact.at_us) == ("CI", 7.0, fake_clock())


def slow_rig(clock: Any, every_s: float) -> tuple[Asked, FakeMain, Store]:
    main, store = FakeMain(clock), Store()
    sync, job = Sync(main, InlineRunner(main), store, Notices(clock), clock), Asked(store, clock)
    connections = Connections()
    connections.replace((Connected("ci", "CI", "github", ("CiSystem",), ("gw",), Target(), every_s=every_s),))
    sync.begin(connections, {"ci": job}, 2.0, 15.0)
    return job, main, store


def waits(main: FakeMain, store: Store, count: int) -> list[float]:
    found = []
    for _ in range(count):
        health = store.state.sources["ci"]
        found.append(round((health.next_poll_us - health.last_attempt_us) / 1e6, 1))
        main.run_for(found[-1] + 0.2)
    return found


def test_questions_become_rare_while_nothing_changes_and_frequent_during_an_action(fake_clock: Any) -> None:
    job, main, store = slow_rig(fake_clock, 10.0)
    main.run_for(0.0)
    job.changed = False  # type: ignore[attr-defined]
    seen = waits(main, store, 8)
    assert seen[0] == 10.0
    assert seen == sorted(seen)
    assert seen[-1] == 40.0
    assert store.state.sources["ci"].deadline_s == 100.0
    store.merge("actions", {"k": action("gw")})
    main.run_for(40.0)
    assert waits(main, store, 2) == [5.0, 5.0]
    store.merge("actions", {"k": action("another")})
    job.changed = True  # type: ignore[attr-defined]
    main.run_for(5.0)
    assert waits(main, store, 2) == [10.0, 10.0]


def test_what_has_no_pace_of_its_own_is_asked_as_the_settings_say(fake_clock: Any) -> None:
    job, main, store = slow_rig(fake_clock, 0.0)
    main.run_for(0.0)
    job.changed = False  # type: ignore[attr-defined]
    assert waits(main, store, 5) == [2.0] * 5
    assert store.state.sources["ci"].deadline_s == 15.0


def action(service: str) -> Action:
    return Action("k", "deploy", service, "production", "1", "a", "2", "b", "you", ActionState.INTENDED, 1)


def test_an_answer_that_comes_after_the_connections_were_made_anew_is_let_go(fake_clock: Any) -> None:
    main, store = FakeMain(fake_clock), Store()
    waiting: list[Callable[[], None]] = []

    class Later(InlineRunner):
        def submit(self, lane: str, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
            waiting.append(lambda: done(Outcome(error=Unreachable("closed already"))))

    applied: list[Any] = []

    class Idle:
        def prepare(self) -> Callable[[], Any]:
            return lambda: None

        def apply(self, result: Any) -> None:
            applied.append(result)

        def interval_s(self, base_s: float) -> float:
            return base_s

    sync = Sync(main, Later(main), store, Notices(fake_clock), fake_clock)
    connections = Connections()
    connections.replace((Connected("ci", "ci", "ci-v1", ("CiSystem",), ("gw",), None),))
    sync.begin(connections, {"ci": Idle()}, 2.0, 15.0)
    main.run_for(0.1)
    assert len(waiting) == 1
    sync.begin(connections, {"ci": Idle()}, 2.0, 15.0)
    waiting.pop()()
    assert store.state.sources["ci"].problem is None
    main.run_for(0.1)
    assert len(waiting) == 1, "only the new one goes on"
    sync.close()


def again(rig: Rig, *ids: str) -> None:
    """The connections are made anew, as after a change of any of them."""
    connections = Connections()
    connections.replace(tuple(Connected(i, i.upper(), "ci-v1", ("CiSystem",), ("gw",), Target()) for i in ids))
    rig.sync.begin(connections, dict.fromkeys(ids, rig.job), 2.0, 10.0)


def test_what_failed_before_the_connections_changed_fails_until_it_answers_and_is_told_once(rig: Rig) -> None:
    rig.job.error = AuthFailed("the token was refused")
    rig.main.run_for(1)
    again(rig, "ci")
    assert rig.health.problem is not None
    rig.main.run_for(1)
    [told] = rig.notices.history
    assert (told.count, told.over) == (1, False)
    rig.job.error = None
    again(rig, "ci")
    rig.main.run_for(1)
    assert rig.health.state(rig.clock()) == "ok"
    assert [n.over for n in rig.notices.history if n.id == told.id] == [True], "with a new token nothing is wrong any more"


def test_nothing_is_wrong_any_more_with_a_connection_that_was_removed(rig: Rig) -> None:
    rig.job.error = Unreachable("no route")
    rig.main.run_for(1)
    again(rig, "other")
    assert [n.over for n in rig.notices.history if n.key == "source:ci"] == [True]
    assert "ci" not in rig.store.state.sources
