"""The wired core: what people said stands once in the journal, and a request goes by the policy's steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit import app
from cockpit.connecting import Made, PerThread
from cockpit.core import Cockpit
from cockpit.domain.rollout import ActionState, RolloutPlan
from cockpit.domain.statements import holds
from cockpit.paths import find_paths
from cockpit.services.connections import Connected
from cockpit.services.execution import Pace
from cockpit.services.runtime import LoopMainThread
from tests.fakes.speaking import FakeKeeper
from tests.fakes.world import SERVICE, World, write_settings

Opened = Callable[[bool], tuple[Cockpit, LoopMainThread]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Opened]:
    made: list[Cockpit] = []
    write_settings(tmp_path)
    monkeypatch.setattr("cockpit.services.execution.Pace", lambda: Pace(follow_s=0.02, slow_s=0.05, settle_s=0.3, verify_s=0.5))

    def build(signed: bool) -> tuple[Cockpit, LoopMainThread]:
        world, keeper = World(), FakeKeeper("rae@playground.invalid")

        def connect(*_: Any) -> Made:
            found = world.connect()
            words = Connected("words", "words", "fake", ("SignedWords",), (SERVICE,), PerThread(lambda: keeper))
            return replace(found, connected=(*found.connected, words)) if signed else found

        monkeypatch.setattr("cockpit.connecting.make_connections", connect)
        loop = LoopMainThread()
        made.append(app.build(find_paths(tmp_path), loop))
        made[0].start()
        return made[0], loop

    yield build
    for cockpit in made:
        cockpit.close()


@pytest.mark.parametrize("signed", [True, False])
def test_a_hold_after_a_rollback_stands_once_in_the_journal(opened: Opened, signed: bool) -> None:
    cockpit, loop = opened(signed)

    def plan() -> Any:
        return cockpit.actions.plan("rollback", SERVICE, "production")

    assert loop.run_until(lambda: isinstance(plan(), RolloutPlan) and not plan().insists, 20), plan()
    action = cockpit.actions.fire(plan(), "p99 doubled")
    assert loop.run_until(lambda: cockpit.store.state.actions[action.key].state is ActionState.DONE, 20)
    source = "git" if signed else "journal"
    assert loop.run_until(lambda: [s.source for s in cockpit.store.state.statements] == [source], 20)
    lanes: list[str] = []
    for lane in ("journal", "sign:words", "holds"):
        cockpit.runner.submit(lane, lambda: None, lambda _, lane=lane: lanes.append(lane))  # type: ignore[misc]
    assert loop.run_until(lambda: len(lanes) == 3, 20)
    said = [e for e in cockpit.actions.activity() if e.action == "hold"]
    assert [(e.kind, e.detail["version"]) for e in said] == [("note", "1.1.0")]
    cockpit.actions.decisions.read()
    assert [h.version for h in holds(cockpit.store.state.statements)] == ["1.1.0"], "and counts once"
