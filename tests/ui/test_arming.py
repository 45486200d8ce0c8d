"""The rules of arm and fire, without any window."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.rollout import RolloutPlan
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.seconds import Seconds
from ui.widgets.arming import GUARD_S, Arming, Phase, Press

PLACE = ("order-gateway", "production")


def some_plan() -> RolloutPlan:
    plan = FakeCockpit().actions.plan("rollback", *PLACE)
    assert isinstance(plan, RolloutPlan)
    return plan


def test_ages_alone_never_disarm() -> None:
    clock = Seconds()
    machine = Arming(clock)
    plan = some_plan()
    machine.show(plan)
    assert machine.press() is Press.ARM
    machine.show(replace(plan, preflight=tuple(replace(line, at_us=line.at_us + 5_000_000) for line in plan.preflight), expected_s=1.0))
    assert machine.phase is Phase.ARMED


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"from_digest": "other", "from_version": "1.6.1"}, "1.6.1"),
        ({"nodes": ("a",)}, "nodes changed"),
        ({"environment": "staging"}, "place"),
    ],
)
def test_what_changed_is_said(fields: dict[str, Any], word: str) -> None:
    machine = Arming(Seconds())
    plan = some_plan()
    machine.show(plan)
    machine.press()
    machine.show(replace(plan, **fields))
    assert machine.phase is Phase.IDLE
    assert word in machine.said


def test_a_plan_that_vanishes_disarms() -> None:
    machine = Arming(Seconds())
    machine.show(some_plan())
    machine.press()
    machine.show(None)
    assert machine.phase is Phase.IDLE
    assert machine.press() is Press.IGNORED  # the guard: the same instant


def test_only_a_press_after_the_guard_fires() -> None:
    clock = Seconds()
    machine = Arming(clock)
    machine.show(some_plan())
    assert machine.press() is Press.ARM
    clock.now_s += GUARD_S / 2
    assert machine.press() is Press.IGNORED
    clock.now_s += GUARD_S
    assert machine.press(repeat=True) is Press.IGNORED
    clock.now_s += GUARD_S
    assert machine.press(double=True) is Press.IGNORED
    clock.now_s += GUARD_S
    assert machine.press() is Press.FIRE
    clock.now_s += GUARD_S
    assert machine.press() is Press.IGNORED
