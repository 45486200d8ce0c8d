"""The process is killed at every write and every call of a rollout, and started again: nothing runs by itself, nothing is sent twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cockpit.domain.errors import NotAllowed
from cockpit.domain.strategy import RolloutState, StepSpec, Strategy
from cockpit.domain.strategy_plan import weights_words
from cockpit.services.notices import Severity
from tests.fakes.rolling import ENVIRONMENT, Desk, Estate, Killed

SMALL = Strategy(
    "small",
    (
        StepSpec("mode", mode="post-only"),
        StepSpec("deploy", ("1",)),
        StepSpec("bake", seconds=1.0),
        StepSpec("gate", ask=("checks",)),
        StepSpec("weight", percent=20),
        StepSpec("deploy", ("rest",)),
        StepSpec("weight", nodes=("all",)),
        StepSpec("mode", mode="open"),
    ),
)
EVEN = {"gateway-1": 34, "gateway-2": 33, "gateway-3": 33}
table: dict[str, int] = {}


def begin(desk: Desk, what: str) -> str:
    return desk.begin_set() if what == "set" else desk.begin()


def points(folder: Path, clock: Any, what: str, then: str) -> int:
    """How many points a whole run has."""
    estate = Estate(folder, clock)
    desk = Desk(estate, SMALL)
    drive(desk, begin(desk, what), then)
    desk.close()
    return estate.point


def drive(desk: Desk, key: str, then: str) -> None:
    if then == "back":
        desk.run(key, until=lambda: desk.words(key).split()[-2] == "done")
        desk.rollouts.back(key, "")
    desk.finish(key)


def killed(estate: Estate, what: str, then: str, at: int) -> bool:
    """Run until the kill; answers whether it came."""
    desk = Desk(estate, SMALL)
    estate.kill_at = estate.point + at
    try:
        drive(desk, begin(desk, what), then)
    except Killed:
        return True
    finally:
        estate.kill_at = 0
        # nothing more runs in this process: its timers are never fired again
        desk.rollouts._drive._closed = True
        desk.database.close()
    return False


def reopened(estate: Estate) -> tuple[Desk, str]:
    desk = Desk(estate, SMALL)
    desk.recover()
    begun = [k for k, r in desk.store.state.rollouts.items()]
    return desk, begun[0] if begun else ""


def state_of(desk: Desk) -> str:
    """How the journal says that the rollout ended."""
    return next((str(e.detail["state"]) for e in desk.journal.entries() if e.action == "rollout" and e.kind == "outcome"), "")


def go(desk: Desk, key: str) -> None:
    for _ in range(20):
        if desk.rollout(key).state.final:
            return
        desk.rollouts.go_on(key)
        desk.main.settle()
        desk.finish(key)
    raise AssertionError(desk.rollout(key))


def sent_once(estate: Estate) -> None:
    """No node of a service was sent the same artifact twice, and no key was sent twice."""
    keys = [call[2] for call in estate.api.calls if call[0] == "deploy"]
    reached = [d for d in estate.api._deployments.values() if d.key]
    assert len(keys) == len(set(keys))
    every = [(d.service, d.digest, step.node) for d in reached for step in d.steps]
    assert len(every) == len(set(every)), every


@pytest.mark.parametrize("what", ["canary", "set"])
def test_killed_at_every_point_and_sent_on(tmp_path: Path, fake_clock: Any, what: str) -> None:
    total = points(tmp_path / "whole", fake_clock, what, "")
    assert total > 20
    for at in range(1, total + 1):
        folder = tmp_path / str(at)
        estate = Estate(folder, fake_clock)
        assert killed(estate, what, "", at)
        before = len(estate.posts)
        desk, key = reopened(estate)
        if not key:
            # before its intent was written nothing was sent; after its outcome was, nothing is open
            assert (at <= 1 and not estate.posts) or state_of(desk) == "done"
            desk.close()
            continue
        if not desk.rollout(key).state.final:
            assert desk.rollout(key).state is RolloutState.PAUSED
            desk.main.run_for(25)
            assert len(estate.posts) == before, f"point {at}: something was sent by itself"
            assert any(n.severity is Severity.WARNING and "interrupted" in n.title for n in desk.notices.history)
            go(desk, key)
        assert desk.rollout(key).state is RolloutState.DONE, f"point {at}: {desk.rollout(key)}"
        sent_once(estate)
        runs = {v for s in ("gateway", "risk", "market") for v in estate.runs(s).values()}
        assert runs == ({"1.0.0"} if what == "set" else {"1.2.0", "1.1.0"})
        if what == "canary":
            assert set(estate.runs("gateway").values()) == {"1.2.0"}
            assert estate.traffic.shares == EVEN
            assert estate.venue.modes[-1] == "open"
        assert desk.journal.verify().ok
        desk.close()
        table[f"{what} on"] = table.get(f"{what} on", 0) + 1


@pytest.mark.parametrize("then", ["back", "stop"])
def test_killed_at_every_point_and_taken_back_or_stopped(tmp_path: Path, fake_clock: Any, then: str) -> None:
    total = points(tmp_path / "whole", fake_clock, "canary", "")
    for at in range(2, total + 1):
        estate = Estate(tmp_path / str(at), fake_clock)
        assert killed(estate, "canary", "", at)
        desk, key = reopened(estate)
        if not key or desk.rollout(key).state.final:
            desk.close()
            continue
        getattr(desk.rollouts, then)(key, "enough")
        desk.main.settle()
        desk.main.run_for(25)
        if desk.rollout(key).state is RolloutState.PAUSED:
            go(desk, key)
        if then == "back":
            assert desk.rollout(key).state is RolloutState.BACK, f"point {at}: {desk.rollout(key)}"
            assert set(estate.runs("gateway").values()) == {"1.1.0"}
            assert estate.traffic.shares == EVEN
            assert estate.venue.modes[-1] == "open"
        else:
            assert desk.rollout(key).state is RolloutState.ABORTED
        sent_once(estate)
        desk.close()
        table[then] = table.get(then, 0) + 1


def test_killed_at_every_point_of_the_way_back(tmp_path: Path, fake_clock: Any) -> None:
    total = points(tmp_path / "whole", fake_clock, "canary", "back")
    first = points(tmp_path / "first", fake_clock, "canary", "")
    for at in range(first // 2, total + 1):
        estate = Estate(tmp_path / str(at), fake_clock)
        if not killed(estate, "canary", "back", at):
            continue
        desk, key = reopened(estate)
        if not key:
            assert state_of(desk) == "back"
            desk.close()
            continue
        if not desk.rollout(key).state.final:
            going_back = desk.rollout(key).going_back
            desk.rollouts.go_on(key) if going_back else desk.rollouts.back(key, "enough")
            desk.main.settle()
            desk.main.run_for(25)
            if desk.rollout(key).state is RolloutState.PAUSED:
                go(desk, key)
        assert desk.rollout(key).state is RolloutState.BACK, f"point {at}: {desk.rollout(key)}"
        assert set(estate.runs("gateway").values()) == {"1.1.0"}
        assert estate.traffic.shares == EVEN
        assert estate.venue.modes[-1] == "open"
        sent_once(estate)
        desk.close()
        table["going back"] = table.get("going back", 0) + 1


def test_what_a_living_process_drives_is_shown_and_left_alone(tmp_path: Path, fake_clock: Any) -> None:
    estate = Estate(tmp_path, fake_clock)
    first, second = Desk(estate), Desk(estate)
    key = first.begin()
    first.run(key)
    second.alive = lambda owner: True
    second.poll()
    second.recover()
    assert second.rollout(key).state is RolloutState.RUNNING
    assert "another window" in second.rollout(key).message
    second.rollouts.go_on(key)
    second.main.settle()
    assert any("nothing was done" in n.title for n in second.notices.history)
    assert len(estate.posts) == 1
    first.finish(key)
    second.recover()
    assert second.rollout(key).state is RolloutState.DONE
    with pytest.raises(NotAllowed):
        second.rollouts.go_on(key)
    first.close()
    second.close()


def test_of_two_that_take_it_over_at_once_one_has_it(tmp_path: Path, fake_clock: Any) -> None:
    estate = Estate(tmp_path, fake_clock)
    gone = Desk(estate)
    key = gone.begin()
    gone.run(key)
    gone.close()
    left, right = Desk(estate), Desk(estate)
    left.alive = lambda owner: owner == right.owner
    right.alive = lambda owner: owner == left.owner
    for desk in (left, right):
        desk.recover()
        assert desk.rollout(key).state is RolloutState.PAUSED
    left.rollouts.go_on(key)
    right.rollouts.go_on(key)
    left.main.settle()
    right.main.settle()
    left.finish(key)
    right.main.run_for(60)
    assert left.rollout(key).state is RolloutState.DONE
    assert sum(p.nodes == ("gateway-2", "gateway-3") for p in estate.posts) == 1
    left.close()
    right.close()


def test_what_was_under_way_is_shown_as_it_ended_though_nobody_goes_on(tmp_path: Path, fake_clock: Any) -> None:
    estate = Estate(tmp_path, fake_clock)
    gone = Desk(estate)
    key = gone.begin()
    gone.run(key, until=lambda: gone.words(key).split()[1] == "running")
    gone.close()
    desk = Desk(estate)
    desk.recover()
    assert desk.words(key).split()[1] == "running"
    desk.main.run_for(20)
    desk.rollouts.recover()
    desk.main.settle()
    assert desk.words(key).split()[:3] == ["done", "done", "waiting"]
    assert desk.rollout(key).state is RolloutState.PAUSED
    desk.rollouts.go_on(key)
    desk.main.settle()
    assert desk.finish(key).state is RolloutState.DONE
    assert len(estate.posts) == 2
    desk.close()


def test_entries_that_make_no_sense_are_no_rollout(tmp_path: Path, fake_clock: Any) -> None:
    estate = Estate(tmp_path, fake_clock)
    desk = Desk(estate)
    for detail in ({}, {"key": 7}, {"steps": "none"}):
        desk.journal.append("intent", f"k{len(detail)}", "rollout", "x", detail=detail)
    desk.recover()
    assert not desk.store.state.rollouts
    desk.close()


def test_the_table_of_kills(capsys: pytest.CaptureFixture[str]) -> None:
    if not table:
        pytest.skip("the cases ran elsewhere")
    with capsys.disabled():
        rows = ", ".join(f"{name} {number}" for name, number in sorted(table.items()))
        print(f"\nrollouts killed at every point and started again: {rows}; {sum(table.values())} cases")
    assert sum(table.values()) > 200, "places where it is killed went missing"


def test_shares_of_the_traffic_that_a_stopped_one_left_are_known_after_a_restart(tmp_path: Path, fake_clock: Any) -> None:
    estate = Estate(tmp_path, fake_clock)
    first = Desk(estate)
    key = first.begin()
    first.run(key)
    assert not weights_words(first.store.state.rollouts.values(), "gateway", ENVIRONMENT), "what is under way says so itself"
    first.rollouts.stop(key)
    first.main.settle()
    assert first.rollout(key).state is RolloutState.ABORTED
    first.close()
    second = Desk(estate)
    second.recover()
    words = weights_words(second.store.state.rollouts.values(), "gateway", ENVIRONMENT)
    assert "a stopped rollout still hold: gateway-1 30 %, gateway-2 35 %, gateway-3 35 %; before it: gateway-1 34 %" in words
    second.rollouts.back(key)
    again = next(k for k in second.store.state.rollouts if k != key)
    second.run(again)
    assert second.rollout(again).state is RolloutState.BACK
    assert not weights_words(second.store.state.rollouts.values(), "gateway", ENVIRONMENT)
    second.close()
    third = Desk(estate)
    third.recover()
    assert not third.store.state.rollouts, "what left nothing behind is history"
    third.close()


def test_what_a_person_said_is_heeded_until_it_has_come_about(tmp_path: Path, fake_clock: Any) -> None:
    estate = Estate(tmp_path, fake_clock)
    first = Desk(estate)
    key = first.begin()
    first.run(key)
    first.close()
    second = Desk(estate)
    second.recover()
    assert not second.rollouts.heeding(key)
    second.rollouts.back(key)
    assert second.rollout(key).state is RolloutState.PAUSED
    assert second.rollouts.heeding(key), "the journal has not handed it over yet"
    second.main.settle()
    assert not second.rollouts.heeding(key)
    assert second.run(key).state is RolloutState.BACK
    second.close()
