"""Who acts alone owes a second look: whatever happens between the click and its record, and only where something may have happened."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.domain.errors import OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Deployment, DeployState
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.statements import Debt, debts
from cockpit.services.actions import Actions, Person
from cockpit.services.execution import Execution, Pace
from cockpit.services.words import Words
from cockpit.storage.journal import Journal
from tests.fakes.rig import Rig
from tests.fakes.running import InlineRunner

ADA = "ada@example.org"


class Alone(Rig):
    """The rig where Ada may act alone, with the words that are recorded; `restart` is another process on the same disk."""

    def __init__(self, folder: Path, clock: Any) -> None:
        super().__init__(folder, clock)
        self.error: Exception | None = None
        self.kept: dict[str, Deployment] = {}
        self.systems.deploy, self.systems.find = self.deploy, self.kept.get  # type: ignore[method-assign,assignment]
        self.systems.history = lambda *_: ()  # type: ignore[attr-defined]
        self.number = 0
        self.restart()

    def restart(self, name: str = "Ada", mail: str = ADA) -> None:
        self.number += 1
        self.store.apply(actions={}, statements=())
        # no such process: dead to every other one
        self.journal = Journal(self.database, f"{platform.node()}:{4_200_000 + self.number}:1", self.clock)
        parts = (self.store, InlineRunner(self.main))
        execution = Execution(*parts, self.main, self.journal, self.connections, self.notices, self.clock, Pace())
        self.execution = execution
        self.actions = Actions(*parts, self.journal, self.connections, self.notices, execution, self.clock)
        self.actions.me = Person(name, mail)
        self.rules(may={"emergency": frozenset({ADA})})
        self.words = Words(self.store, self.actions.decisions, self.notices, self.clock)
        self.words.me = self.actions.me
        self.actions.emergency_said = self.words.emergency
        self.actions.decisions.read()

    def deploy(self, request: Any, key: str) -> Deployment:
        at = (request.service, request.environment, request.version, request.digest, request.kind)
        made = Deployment("d9", key, *at, DeployState.RUNNING)
        if not isinstance(self.error, Rejected | Unreachable):
            self.kept[key] = made
        if self.error is not None:
            raise self.error
        return made

    def fire(self) -> Action:
        return self.actions.fire(self.plan("deploy", "1.8.0", emergency=True), "the book is wrong")

    @property
    def owed(self) -> tuple[Debt, ...]:
        return debts(self.store.state.statements)

    def journaled(self) -> list[str]:
        return [e.action if e.kind == "note" else e.kind for e in reversed(self.journal.entries())]


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Alone]:
    made = Alone(tmp_path, fake_clock)
    yield made
    made.database.close()


@pytest.mark.parametrize(("error", "state"), [(Rejected("no"), ActionState.REFUSED), (Unreachable("no route"), ActionState.NOT_SENT)])
def test_what_was_refused_or_never_sent_owes_nothing(rig: Alone, error: Exception, state: ActionState) -> None:
    rig.error = error
    action = rig.fire()
    rig.main.run_for(30)
    assert rig.store.state.actions[action.key].state is state
    assert rig.owed == ()
    assert "emergency" not in rig.journaled()


def test_what_the_system_never_got_owes_nothing_after_it_is_settled(rig: Alone) -> None:
    rig.error = OutcomeUnknown("timed out")
    action = rig.fire()
    rig.kept.clear()
    rig.main.run_for(30)
    assert rig.store.state.actions[action.key].state is ActionState.NOT_SENT
    assert rig.owed == ()


def test_the_intent_says_it_before_anything_is_sent_and_the_debt_comes_before_what_follows(rig: Alone) -> None:
    action = rig.fire()
    intent = rig.journal.progress_of(action.key)[0]
    assert (intent.detail["emergency"], intent.detail["alone"]) == (True, "the book is wrong")
    assert any("acts alone" in words for words in intent.detail["insists"])
    rig.main.settle()
    assert rig.journaled() == ["intent", "emergency", "progress"]
    [debt] = rig.owed
    assert (debt.who, debt.reason, debt.about) == (ADA, "the book is wrong", action.key)


def test_killed_between_the_post_and_the_record_the_debt_is_made_up_for_once(rig: Alone) -> None:
    action = rig.fire()
    # the answer of the system is never looked at: the process is gone
    rig.main._posted.clear()
    assert rig.journaled() == ["intent"]
    for _ in range(2):
        rig.restart("Carol", "carol@example.org")
        rig.actions.recover()
        rig.main.run_for(1)
        assert rig.store.state.actions[action.key].state is ActionState.FOLLOWING
        [debt] = rig.owed
        assert (debt.who, debt.reason, debt.about) == (ADA, "the book is wrong", action.key), "whoever takes it up"
    assert rig.journaled().count("emergency") == 1


def test_killed_between_the_debt_and_what_follows_it_is_not_said_twice(rig: Alone) -> None:
    action = rig.fire()
    write = rig.execution._write
    rig.execution._write = lambda *_: None  # type: ignore[method-assign,assignment]
    rig.main.settle()
    assert rig.journaled() == ["intent", "emergency"]
    rig.execution._write = write  # type: ignore[method-assign]
    rig.main._posted.clear()
    rig.execution.close()
    rig.restart()
    rig.actions.recover()
    rig.main.run_for(1)
    assert rig.store.state.actions[action.key].state is ActionState.FOLLOWING
    assert rig.journaled().count("emergency") == len(rig.owed) == 1


def test_killed_before_the_system_got_it_nothing_is_owed(rig: Alone) -> None:
    action = rig.fire()
    rig.main._posted.clear()
    rig.kept.clear()
    rig.restart()
    rig.actions.recover()
    rig.main.run_for(30)
    assert rig.store.state.actions[action.key].state is ActionState.NOT_SENT
    assert rig.owed == ()


def test_let_go_while_nobody_knows_it_is_owed(rig: Alone) -> None:
    def gone(key: str) -> Any:
        raise Unreachable("gone")

    rig.error = OutcomeUnknown("timed out")
    rig.systems.find = gone  # type: ignore[method-assign]
    action = rig.fire()
    rig.main.run_for(70)
    assert rig.owed == ()
    rig.actions.let_go(action.key, "the nodes were looked at")
    rig.main.settle()
    assert [d.about for d in rig.owed] == [action.key]
