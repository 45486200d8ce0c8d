"""The fakes of the window's tests take what the services take: a window that fits them fits the real ones."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from cockpit.policy import PolicyKeeper
from cockpit.policy_source import PolicyChange
from cockpit.services.actions import Actions
from cockpit.services.calendars import Calendars
from cockpit.services.gates import GateActions
from cockpit.services.locks import Locks
from cockpit.services.nodes import Nodes
from cockpit.services.rollouts import Rollouts
from cockpit.services.watch import Watch
from cockpit.services.words import Words
from tests.fakes.cockpit import FakeActions
from tests.fakes.trust import FakeChange, FakePolicy, FakeRollouts, FakeWords
from tests.fakes.watches import FakeWatch
from tests.fakes.watching import FakeGates, FakeNodes


def names(method: Any) -> dict[str, bool]:
    """Parameters, and whether each may be left out."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return {p.name: p.default is not inspect.Parameter.empty for p in parameters}


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (FakeWords, Words),
        (FakeRollouts, Rollouts),
        (FakePolicy, PolicyKeeper),
        (FakeActions, Actions),
        (FakeNodes, Nodes),
        (FakeGates, GateActions),
        (FakeWatch, Watch),
    ],
)
def test_each_method_is_called_as_the_real_one(fake: type, real: type) -> None:
    own = [name for name, _ in inspect.getmembers(fake, inspect.isfunction) if not name.startswith("_")]
    missing = [name for name in own if name not in ("change", "bend") and not hasattr(real, name)]
    assert not missing
    for name in own:
        if not hasattr(real, name):
            continue
        mine, theirs = names(getattr(fake, name)), names(getattr(real, name))
        extra = [p for p, optional in theirs.items() if p not in mine and not optional]
        assert not extra, f"{real.__name__}.{name} needs {extra}"
        assert len(mine) <= len(theirs), f"{real.__name__}.{name} takes {list(theirs)}"


def test_a_change_of_the_policy_has_what_its_page_shows() -> None:
    assert FakeChange.__struct_fields__ == PolicyChange.__struct_fields__
    assert hasattr(PolicyKeeper, "pending")


def test_locks_are_broken_and_calendars_asked_as_the_window_does() -> None:
    assert list(names(Locks.break_)) == ["environment", "who", "reason"]
    assert list(names(Calendars.freezes_of)) == ["state", "rules", "environment", "now_us", "duration_s"]
    assert list(names(Calendars.passed_by)) == ["state", "rules", "environment", "service", "now_us"]
