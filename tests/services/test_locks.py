"""The team's lock around an action: taken before the POST, given back after the outcome, and what happens where it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.ports import DeployRequest, LockHeld
from cockpit.domain.errors import AuthFailed, BadPayload, NotAllowed, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.policy import Rules
from cockpit.domain.release import Deployment, DeployState, Environment, Fleet, Node, Service
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.locks import Locks, key_of, lane_of, words_of
from cockpit.services.notices import Notices
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.running import FakeMain, InlineRunner

NEW = "b" * 64
ADA, BEN = "Ada <ada@playground.invalid>", "Ben <ben@playground.invalid>"


class SharedLock:
    """The port in memory, shared by those who are given it."""

    def __init__(self) -> None:
        self.held: dict[str, LockHeld] = {}
        self.error: Exception | None = None
        self.count = 0

    def _reach(self) -> None:
        if self.error is not None:
            raise self.error

    def take(self, environment: str, who: str, reason: str, at_us: int) -> LockHeld:
        self._reach()
        if environment in self.held:
            held = self.held[environment]
            raise Rejected(f"{held.who} holds the lock of {environment}: {held.reason}.", hint="Ask them.")
        self.count += 1
        self.held[environment] = LockHeld(environment, who, reason, at_us, f"t{self.count}")
        return self.held[environment]

    def release(self, held: LockHeld) -> None:
        self._reach()
        if self.held.get(held.environment) == held:
            del self.held[held.environment]

    break_ = release

    def holder(self, environment: str) -> LockHeld | None:
        self._reach()
        return self.held.get(environment)


class Api:
    """A deployment system that lets anybody begin anything at any time."""

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.by_key: dict[str, Deployment] = {}
        self.post_error: Exception | None = None
        self.before: Callable[[], None] = lambda: None

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        self.before()
        self.posts.append(key)
        running = DeployState.RUNNING
        self.by_key[key] = Deployment(
            f"d{len(self.posts)}", key, request.service, request.environment, request.version, request.digest, request.kind, running
        )
        if self.post_error is not None:
            raise self.post_error
        return self.by_key[key]

    def find(self, key: str) -> Deployment | None:
        return self.by_key.get(key)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        return tuple(self.by_key.values())

    def deployment(self, deployment_id: str) -> Deployment:
        return next(d for d in self.by_key.values() if d.id == deployment_id)

    def finish(self) -> None:
        from msgspec.structs import replace

        self.by_key = {key: replace(d, state=DeployState.SUCCEEDED) for key, d in self.by_key.items()}

    def fleet(self, service: str, environment: str) -> Fleet:
        return Fleet(service, environment, (Node("n1", service, environment, "", "", NEW, True),))


class Desk:
    """One person's cockpit: a data directory of its own, systems and lock shared with others."""

    def __init__(self, folder: Path, clock: Any, api: Api, lock: SharedLock | None, exclusive: bool = False, rule: str = "auto") -> None:
        folder.mkdir(exist_ok=True)
        self.clock, self.main, self.store, self.notices = clock, FakeMain(clock), Store(), Notices(clock)
        self.store.apply(services=(Service("gw", ""),), environments=(Environment("prod", 1),))
        self.database = open_database(folder / "cockpit.sqlite")
        self.journal = Journal(self.database, "elsewhere:1:1", clock)
        connections = Connections()
        connections.replace((Connected("dep", "dep", "x", ("DeploymentApi",), ("gw",), api, None, exclusive),))
        runner = InlineRunner(self.main)
        self.locks = Locks(self.store, runner, self.journal, connections, self.notices, clock)
        self.locks.lock, self.locks.rules = lock, Rules(locks={"prod": rule})
        self.execution = Execution(self.store, runner, self.main, self.journal, connections, self.notices, clock, Pace())
        self.execution.locks = self.locks

    def fire(self, key: str = "k1", reason: str = "", who: str = ADA) -> Action:
        action = Action(key, "rollback", "gw", "prod", "1.7.0", "", "1.6.0", NEW, who, ActionState.INTENDED, self.clock())
        self.execution.begin(action, DeployRequest("gw", "prod", "1.6.0", NEW, "rollback", who, reason))
        self.main.settle()
        return self.store.state.actions[key]

    def state(self, key: str = "k1") -> ActionState:
        return self.store.state.actions[key].state

    def noted(self) -> list[tuple[str, Any]]:
        return [(e.kind, e.detail.get("lock") or e.detail.get("message", "")) for e in reversed(self.journal.entries())]

    def held(self) -> str | None:
        fact = self.store.state.locks.get("prod")
        return fact.value if fact else None


@pytest.fixture
def desks(tmp_path: Path, fake_clock: Any) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(name: str, *arguments: Any, **options: Any) -> Desk:
        made.append(Desk(tmp_path / name, fake_clock, *arguments, **options))
        return made[-1]

    yield make
    for desk in made:
        desk.database.close()


def test_two_people_at_once_exactly_one_acts(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada, ben = desks("a", api, lock), desks("b", api, lock)
    assert ada.fire("k1").state is ActionState.FOLLOWING
    refused = ben.fire("k2", "because", BEN)
    assert refused.state is ActionState.REFUSED, "a reason passes a lock that cannot be had, not one that is held"
    assert refused.message == f"{ADA} holds the lock of prod: rollback of gw to 1.6.0."
    assert api.posts == ["k1"]
    api.finish()
    ada.main.run_for(5)
    assert (ada.state(), lock.held) == (ActionState.DONE, {})
    assert ben.fire("k3", "", BEN).state is ActionState.FOLLOWING
    assert ada.noted()[1] == ("progress", "t1"), "the token stands in the journal"
    assert ada.journal.verify().ok


def test_the_lock_is_taken_after_the_intent_and_before_the_post(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada = desks("a", api, lock)
    seen: list[Any] = []
    api.before = lambda: seen.append((dict(lock.held), [kind for kind, _ in ada.noted()]))
    ada.fire()
    [(held, kinds)] = seen
    assert held["prod"].who == ADA
    assert kinds == ["intent", "progress"]


@pytest.mark.parametrize(
    "error", [Unreachable("git is gone"), AuthFailed("git lets nobody in"), BadPayload("what?"), RuntimeError("a defect")]
)
def test_git_down_needs_a_reason_and_then_works(desks: Callable[..., Desk], error: Exception) -> None:
    api, lock = Api(), SharedLock()
    lock.error = error
    ada = desks("a", api, lock)
    assert ada.fire("k1", "  ").state is ActionState.NOT_SENT
    assert "lock of prod could not be taken" in ada.store.state.actions["k1"].message
    assert any("give a reason" in n.hint for n in ada.notices.history)
    assert api.posts == []
    assert ada.fire("k3", "automatic: p99 doubled").state is ActionState.NOT_SENT, "that is no person's reason"
    assert ada.fire("k2", "the venue burns").state is ActionState.FOLLOWING
    assert any(kind == "progress" and words.startswith("without lock: ") for kind, words in ada.noted())
    api.finish()
    ada.main.run_for(5)
    assert ada.state("k2") is ActionState.DONE


@pytest.mark.parametrize(
    ("rule", "exclusive", "needed"), [("auto", True, False), ("auto", False, True), ("always", True, True), ("never", False, False)]
)
def test_where_it_is_needed(desks: Callable[..., Desk], rule: str, exclusive: bool, needed: bool) -> None:
    api, lock = Api(), SharedLock()
    ada = desks("a", api, lock, exclusive=exclusive, rule=rule)
    assert ada.locks.needed("gw", "prod") is needed
    ada.fire()
    assert bool(lock.held) is needed
    ada.locks.poll()
    ada.main.settle()
    assert (ada.held() is not None) is needed


def test_without_a_policy_repository_auto_needs_none_and_always_says_so(desks: Callable[..., Desk]) -> None:
    api = Api()
    assert desks("a", api, None).fire().state is ActionState.FOLLOWING
    strict = desks("b", api, None, rule="always")
    assert strict.fire("k2").state is ActionState.NOT_SENT
    assert "no policy repository" in strict.store.state.actions["k2"].message


def test_it_is_kept_while_the_outcome_is_unknown(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    api.post_error = OutcomeUnknown("timed out")
    ada = desks("a", api, lock)
    api.find = lambda key: (_ for _ in ()).throw(Unreachable("down"))  # type: ignore[method-assign,assignment,return-value]
    assert ada.fire().state is ActionState.UNKNOWN
    ada.main.run_for(600)
    assert lock.held["prod"].who == ADA
    del api.find
    api.finish()
    ada.main.run_for(20)
    assert (ada.state(), lock.held) == (ActionState.DONE, {})


def test_a_restart_gives_it_back_after_the_outcome(desks: Callable[..., Desk], tmp_path: Path) -> None:
    api, lock = Api(), SharedLock()
    before = desks("a", api, lock)
    before.fire()
    before.execution.close()
    again = desks("a", api, lock)
    again.clock.advance(7200)
    entries = again.journal.unfinished()
    again.execution.recover(entries, {e.key: again.journal.progress_of(e.key) for e in entries})
    again.main.run_for(3)
    assert "prod" in lock.held
    api.finish()
    again.main.run_for(10)
    assert (again.state(), lock.held) == (ActionState.DONE, {})


def test_the_lock_of_another_is_never_given_back(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada = desks("a", api, lock)
    ada.fire()
    lock.held["prod"] = LockHeld("prod", BEN, "deploy of md to 3 [k9]", 1, "t9")  # broken, and taken by somebody else
    api.finish()
    ada.main.run_for(5)
    assert ada.state() is ActionState.DONE
    assert lock.held["prod"].who == BEN


def test_what_could_not_be_given_back_is_given_back_later(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada, ben = desks("a", api, lock), desks("b", api, lock)
    ada.fire()
    api.finish()
    lock.error = Unreachable("git is gone")
    ada.main.run_for(5)
    assert ada.state() is ActionState.DONE
    assert [e.kind for e in ada.journal.progress_of("k1")][-1] == "outcome"
    lock.error = None
    ben.locks.poll()
    ben.main.settle()
    assert ben.held() == f"{ADA} since 2027-01-15 08:00 UTC: rollback of gw to 1.6.0", "nobody else takes it away"
    ada.locks.poll()
    ada.main.settle()
    assert (ada.held(), lock.held) == ("", {})


def test_who_holds_it_is_polled_and_grows_old_where_git_is_gone(desks: Callable[..., Desk]) -> None:
    lock = SharedLock()
    ada = desks("a", Api(), lock)
    ada.locks.poll()
    ada.main.settle()
    assert ada.held() == ""
    lock.error = Unreachable("git is gone")
    ada.clock.advance(20)
    for _ in range(3):
        ada.locks.poll()
        ada.main.settle()
    assert ada.store.state.locks["prod"].stale(ada.clock())
    [notice] = [n for n in ada.notices.history if n.key == "locks"]
    assert notice.message == "git is gone"
    lock.error = None
    ada.locks.poll()
    ada.main.settle()
    assert not ada.store.state.locks["prod"].stale(ada.clock())
    assert all(n.over for n in ada.notices.history if n.key == "locks")


def test_a_person_breaks_a_lock_with_a_reason(desks: Callable[..., Desk]) -> None:
    lock = SharedLock()
    lock.take("prod", BEN, "deploy of md to 3 [k9]", 1_800_000_000_000_000)
    ada = desks("a", Api(), lock)
    with pytest.raises(NotAllowed):
        ada.locks.break_("prod", ADA, " ")
    ada.locks.break_("prod", ADA, "Ben's machine is gone")
    ada.main.settle()
    assert (lock.held, ada.held()) == ({}, "")
    [entry] = ada.journal.entries()
    assert (entry.action, entry.who, entry.environment, entry.detail["holder"]) == ("break lock", ADA, "prod", BEN)
    ada.locks.break_("prod", ADA, "again")
    ada.main.settle()
    assert len(ada.journal.entries()) == 1, "nothing was held, nothing is recorded"


def test_words_and_keys_of_a_holding() -> None:
    assert words_of(None) == ""
    assert words_of(LockHeld("e", "", "", 0, "t")) == "somebody unknown since an unknown time"
    assert key_of(LockHeld("e", ADA, "by hand", 0, "t")) == ""
    assert key_of(LockHeld("e", ADA, "x [k1]", 0, "t")) == "k1"


# -- while the proof is missing ----------------------------------------------------------------------------------------------


class SlowGit(InlineRunner):
    """The lane in which locks are given back stands still until `on` is called."""

    def __init__(self, main: FakeMain) -> None:
        super().__init__(main)
        self.waiting: list[tuple[Any, Any]] = []

    def submit(self, lane: str, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if lane == lane_of("prod"):
            self.waiting.append((work, done))
        else:
            super().submit(lane, work, done)

    def on(self) -> None:
        for work, done in self.waiting:
            super().submit("on", work, done)
        self.waiting.clear()


def hanging(desk: Desk, api: Api) -> SlowGit:
    """A deployment that the system calls done, whose nodes say nothing, while git is slow."""
    slow = SlowGit(desk.main)
    desk.locks._runner = slow
    api.fleet = lambda *_: Fleet("gw", "prod", (Node("n1", "gw", "prod", "", "", "", None),))  # type: ignore[method-assign]
    desk.fire("k1")
    desk.locks.poll()
    desk.main.settle()
    assert desk.held() != ""
    api.finish()
    desk.main.run_for(120)
    assert desk.state() is ActionState.VERIFYING
    return slow


def test_the_lock_is_given_back_when_the_system_says_that_it_is_over(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada, ben = desks("a", api, lock), desks("b", api, lock)
    slow = hanging(ada, api)
    assert len(slow.waiting) == 1, "asked for once, in a lane of its own"
    slow.on()
    ada.main.settle()
    assert (lock.held, ada.held(), ada.state()) == ({}, "", ActionState.VERIFYING)
    assert ben.fire("k2", "", BEN).state is ActionState.FOLLOWING


def test_a_rollback_during_a_hanging_proof_is_not_refused_by_our_own_lock_however_slow_git_is(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada, ben = desks("a", api, lock), desks("b", api, lock)
    slow = hanging(ada, api)
    assert lock.held, "git did not get to it yet"
    assert ada.held() == "", "and the card does not say that we are in our own way"
    assert ben.fire("k3", "because", BEN).state is ActionState.REFUSED
    assert ada.fire("k2").state is ActionState.FOLLOWING
    assert key_of(lock.held["prod"]) == "k2"
    slow.on()
    ada.main.settle()
    assert key_of(lock.held["prod"]) == "k2", "what comes late gives back only its own"
    assert ada.held() == words_of(lock.held["prod"])


def test_a_lock_that_could_not_be_given_back_is_given_back_by_a_poll_though_the_proof_is_missing(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada = desks("a", api, lock)
    slow = hanging(ada, api)
    lock.error = Unreachable("git is gone")
    slow.on()
    ada.main.settle()
    lock.error = None
    ada.locks.poll()
    ada.main.settle()
    assert (lock.held, ada.held()) == ({}, "")


def test_a_lock_of_somebody_else_stays_theirs_when_ours_is_over(desks: Callable[..., Desk]) -> None:
    api, lock = Api(), SharedLock()
    ada = desks("a", api, lock)
    slow = hanging(ada, api)
    lock.held.clear()
    lock.take("prod", BEN, "repairs [k9]", 1)
    slow.on()
    ada.main.settle()
    assert ada.held() == words_of(lock.held["prod"])
    assert ada.fire("k2", "because").state is ActionState.REFUSED
