"""A request fires once, when nothing speaks against it; and not at all after anything that leaves a doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed, Unreachable
from cockpit.domain.facts import Fact
from cockpit.domain.readiness import Reason
from cockpit.domain.rollout import Action, ActionState, Line, LineState, Refusal, RolloutPlan
from cockpit.domain.statements import Statement, requests
from cockpit.services.connections import Connected, Connections
from cockpit.services.decisions import Keeper
from cockpit.services.requests import Requests
from cockpit.services.store import Problem, SourceHealth
from tests.fakes.speaking import FakeKeeper, Window

HOUR_US = 3_600_000_000
SOURCES = {"git": "SourceControl", "ci": "CiSystem", "dep": "DeploymentApi", "lat": "MetricsApi"}


class Acts:
    """Plans what `open` says, and remembers what was fired."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.missing: tuple[str, ...] = ("0 of 1 approvals given",)
        self.insists = False
        self.fired: list[tuple[RolloutPlan, str]] = []
        self.trouble: NotAllowed | None = None

    def plan(
        self, kind: str, service: str, environment: str, version: str = "", *, emergency: bool = False, automatic: bool = False
    ) -> RolloutPlan | Refusal:
        assert (kind, emergency, automatic) == ("deploy", False, True)
        if self.missing:
            return Refusal(kind, service, environment, tuple(Reason("approvals", words) for words in self.missing))
        lines = (Line(LineState.UNKNOWN, "the lock cannot be taken", insist=True),) if self.insists else ()
        return RolloutPlan(kind, service, environment, "1.7.0", "d7", self.window.version, ("n0", "n1"), None, None, lines)

    def fire(self, planned: RolloutPlan, reason: str = "", *, automatic: bool = False) -> Action:
        assert automatic
        if self.trouble is not None:
            raise self.trouble
        self.fired.append((planned, reason))
        return Action("k", "deploy", "gw", "prod", "1.7.0", "d7", "1.8.0", "d8", "Ada", ActionState.INTENDED, self.window.clock())


class Rig:
    """A window whose sources answer each second, with the requests that it watches."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.window = Window(folder, clock)
        self.slept_s = 0.0
        self.connections = Connections()
        self.connections.replace(tuple(Connected(name, f"the {name}", name, (port,), ("gw",), None) for name, port in SOURCES.items()))
        self.acts = Acts(self.window)
        self.requests = self.begun()
        self.answer()

    def begun(self) -> Requests:
        window = self.window
        made = Requests(
            *(window.store, window.main, self.connections, window.words, self.acts, window.notices, window.clock),
            monotonic_s=lambda: window.clock() / 1e6 - self.slept_s,
        )
        window.words.said[:] = [made.arm]
        return made

    def answer(self, *names: str) -> None:
        """These sources answered just now; without names all of them."""
        now = self.window.clock()
        known = {name: SourceHealth(name, f"the {name}", name, now, now) for name in names or SOURCES}
        self.window.store.merge("sources", known)

    def ask(self, hours: float = 1.0, version: str = "1.8.0") -> Statement:
        until_us = self.window.clock() + round(hours * HOUR_US)
        self.window.words.request(replace(self.window.version, name=version), "prod", until_us, "monday")
        self.window.main.settle()
        return self.requests.armed[-1]

    def second(self, count: int = 1) -> None:
        for _ in range(count):
            self.answer()
            self.window.main.run_for(1.0)

    @property
    def standing(self) -> tuple[Statement, ...]:
        return requests(self.window.statements, self.window.clock())

    def disarmed(self, why: str) -> None:
        """Nothing is armed, nothing was fired, the person was told why, and nothing fires when the way opens."""
        assert self.requests.armed == ()
        warnings = [t for t in self.window.told if t.startswith("warning: gw 1.8.0 is not deployed to prod by itself any more")]
        assert len(warnings) == 1
        assert why.lower() in warnings[0].lower()
        self.acts.missing = ()
        self.second(3)
        assert self.acts.fired == []
        assert self.standing == ()


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Rig]:
    made = Rig(tmp_path, fake_clock)
    yield made
    made.requests.close()
    made.window.close()


def test_a_source_that_fails_disarms(rig: Rig) -> None:
    rig.ask()
    rig.second()
    health = rig.window.store.state.sources["ci"]
    rig.window.store.merge("sources", {"ci": replace(health, problem=Problem("Not reachable", "no route"))})
    rig.window.main.run_for(1.0)
    rig.disarmed("the ci is failed")


@pytest.mark.parametrize("silent", ["git", "ci", "dep"])
def test_a_source_that_goes_silent_disarms(rig: Rig, silent: str) -> None:
    rig.ask()
    for _ in range(20):
        rig.answer(*(name for name in SOURCES if name != silent))
        rig.window.main.run_for(1.0)
    rig.disarmed(f"the {silent} is stale")


def test_a_source_that_the_plan_does_not_need_may_be_silent(rig: Rig) -> None:
    rig.ask()
    for _ in range(20):
        rig.answer("git", "ci", "dep")
        rig.window.main.run_for(1.0)
    assert len(rig.requests.armed) == 1


def test_a_lock_that_nobody_can_tell_of_any_more_disarms(rig: Rig) -> None:
    rig.window.store.merge("locks", {"prod": Fact("", rig.window.clock(), "locks", 15.0)})
    rig.ask()
    rig.second(20)
    rig.disarmed("who holds the lock of prod is not known any more")


def test_a_calendar_that_fails_disarms(rig: Rig) -> None:
    calendar = Connected("cal", "the cal", "icalendar", ("Calendar",), ("gw",), None)
    rig.connections.replace((*rig.connections.all, calendar))
    rig.ask()
    now = rig.window.clock()
    rig.window.store.merge("sources", {"cal": SourceHealth("cal", "the cal", "icalendar", now, now, problem=Problem("Not reachable", "x"))})
    rig.second()
    rig.disarmed("the cal is failed")


def test_words_that_cannot_be_read_disarm(rig: Rig) -> None:
    keeper = FakeKeeper()
    rig.window.decisions.use((Keeper("repo", ("gw",), keeper),))
    rig.ask()
    keeper.trouble["sync"] = Unreachable("no route to the remote", hint="wait")
    rig.window.decisions.poll()
    rig.second()
    rig.disarmed("no route to the remote")


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 6.0])
def test_a_clock_that_jumps_or_a_machine_that_slept_disarms(rig: Rig, seconds: float) -> None:
    rig.ask(hours=5)
    rig.second(2)
    rig.window.clock.advance(seconds)
    rig.slept_s += seconds
    rig.answer()
    rig.window.main.run_for(max(1.0, -seconds + 1.0))
    rig.disarmed("the clock jumped, or the machine slept")


def test_a_window_that_stood_still_disarms(rig: Rig) -> None:
    rig.ask()
    rig.second()
    rig.window.clock.advance(16)
    rig.second()
    rig.disarmed("the window stood still for")


def test_what_an_earlier_process_was_asked_for_is_withdrawn_and_said(rig: Rig) -> None:
    asked = rig.ask()
    rig.requests.close()
    later = rig.begun()
    rig.acts.missing = ()
    rig.second(3)
    assert (rig.acts.fired, rig.standing) == ([], (asked,)), "nobody watches it"
    later.begin()
    rig.window.main.settle()
    rig.disarmed("the window that watched it was closed")
    later.begin()
    later.close()
    assert sum("by itself any more" in t for t in rig.window.told) == 1, "said once"


def test_a_signed_request_of_an_earlier_process_is_withdrawn_signed_too(rig: Rig) -> None:
    keeper = FakeKeeper()
    kept = (Keeper("repo", ("gw",), keeper),)
    rig.window.decisions.use(kept)
    rig.ask()
    rig.requests.close()
    rig.window.decisions.use(())  # as at a start: nothing is connected yet
    later = rig.begun()
    later.begin()
    rig.window.main.run_for(2.0)
    assert [w.kind for w in keeper.kept] == ["request"]
    rig.window.decisions.use(kept)
    words = Connected("words", "words", "git-words", ("SignedWords",), ("gw",), keeper)
    rig.connections.replace((*rig.connections.all, words))
    rig.window.main.run_for(2.0)
    assert [w.kind for w in keeper.kept] == ["request", "withdraw"], "so that colleagues see it too"
    later.close()


def test_begin_leaves_alone_what_is_armed_and_what_others_asked_for(rig: Rig) -> None:
    keeper = FakeKeeper()
    rig.window.decisions.use((Keeper("repo", ("gw",), keeper),))
    rig.ask()
    keeper.kept.append(replace(keeper.kept[0], who="bob@example.org", id="theirs"))
    rig.window.decisions.read()
    rig.requests.begin()
    rig.window.main.settle()
    assert [s.who for s in rig.standing] == ["ada@example.org", "bob@example.org"]
    assert len(rig.requests.armed) == 1, "and a request of another window is not watched here"


@pytest.mark.parametrize(
    ("moved", "why"),
    [({"commit": "c9"}, "not the commit"), ({"digest": "d9"}, "not the artifact"), ({"live": "1.8.0"}, "another version came to run")],
)
def test_what_moved_disarms(rig: Rig, moved: dict[str, str], why: str) -> None:
    rig.ask()
    rig.second()
    rig.window.know(**moved)
    rig.second()
    rig.disarmed(why)


def test_a_rejection_disarms(rig: Rig) -> None:
    rig.ask()
    rig.window.act_as("Carol", "carol@example.org")
    rig.window.words.reject(rig.window.version, "prod", "the book was crossed")
    rig.second()
    rig.disarmed("rejected by Carol: the book was crossed")


def test_its_end_disarms(rig: Rig) -> None:
    rig.ask(hours=10 / 3600)
    rig.second(11)
    rig.disarmed("its end came")
    assert [e.action for e in rig.window.journal.entries()] == ["request"], "what is over need not be withdrawn"


def test_withdrawn_here_or_elsewhere_it_is_over(rig: Rig) -> None:
    request = rig.ask()
    rig.window.act_as("Carol", "carol@example.org")
    rig.window.words.withdraw(request, "not today")
    rig.second()
    rig.disarmed("it was withdrawn")
    assert [e.action for e in rig.window.journal.entries()] == ["withdraw", "request"]


def test_a_request_whose_key_was_revoked_is_over(rig: Rig) -> None:
    keeper = FakeKeeper()
    rig.window.decisions.use((Keeper("repo", ("gw",), keeper),))
    rig.ask()
    keeper.kept[:] = [replace(keeper.kept[0], why_not="the key was revoked")]
    rig.window.decisions.read()
    rig.second()
    rig.disarmed("the key was revoked")


def test_a_newer_request_takes_the_place(rig: Rig) -> None:
    rig.ask()
    newer = rig.ask(version="1.9.0")
    rig.window.main.settle()
    assert rig.requests.armed == (newer,)
    assert any("1.9.0 was asked for instead" in t for t in rig.window.told)


def test_what_needs_a_persons_reason_is_waited_for(rig: Rig) -> None:
    request = rig.ask()
    rig.second(2)
    assert rig.requests.waiting_for(request.id) == ("0 of 1 approvals given",)
    rig.acts.missing, rig.acts.insists = (), True
    rig.second(2)
    assert rig.requests.waiting_for(request.id) == ("the lock cannot be taken",)
    assert rig.acts.fired == []


def test_a_refusal_at_the_last_moment_is_told_and_not_tried_again(rig: Rig) -> None:
    rig.ask()
    rig.acts.missing, rig.acts.trouble = (), NotAllowed("The plan changed: the nodes.")
    rig.second()
    rig.acts.trouble = None
    rig.disarmed("The plan changed: the nodes")


def test_after_the_last_approval_nothing_has_to_be_started_by_hand(rig: Rig) -> None:
    rig.ask()
    rig.second(5)
    assert rig.acts.fired == []
    rig.acts.missing = ()
    rig.second(5)
    [(planned, reason)] = rig.acts.fired
    assert (planned.target.digest, reason) == ("d8", "requested by Ada <ada@example.org>: monday")
    assert rig.requests.armed == rig.standing == ()
    assert any(t.startswith("ok: gw 1.8.0 goes to prod") for t in rig.window.told)
    assert rig.window.main._timers == [] or all(not cell for _, _, cell in rig.window.main._timers), "nothing ticks any more"


def test_other_words_are_not_watched(rig: Rig) -> None:
    rig.window.words.hold(rig.window.version, "prod", "p99")
    rig.window.main.settle()
    assert rig.requests.armed == ()


@pytest.mark.parametrize("never", [lambda rig: rig.requests.close(), lambda rig: rig.connections.replace(())])
def test_closed_it_watches_nothing(rig: Rig, never: Callable[[Rig], None]) -> None:
    rig.ask()
    rig.requests.close()
    never(rig)
    rig.acts.missing = ()
    rig.second(3)
    assert rig.acts.fired == []


def test_it_is_carried_out_by_the_rule_that_everybody_deploys_by(rig: Rig) -> None:
    begun: list[tuple[RolloutPlan, str]] = []
    rig.requests.carry_out = lambda planned, reason: begun.append((planned, reason))
    rig.ask()
    rig.acts.missing = ()
    rig.second(3)
    assert [reason for _, reason in begun] == ["requested by Ada <ada@example.org>: monday"]
    assert rig.acts.fired == []
    assert rig.standing == ()
