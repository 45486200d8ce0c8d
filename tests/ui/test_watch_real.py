"""Head and card over the watch itself, not a made-up one: what it refuses and what it stops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cockpit.domain.release import Deployment, DeployState
from cockpit.domain.watching import WatchRule
from cockpit.services.actions import Person
from cockpit.services.connections import Connections
from cockpit.services.watch import Watch
from cockpit.services.watch_run import Run
from tests.fakes.believable import MIN, NOW_US
from tests.fakes.cockpit import AtOnce, FakeCockpit
from tests.fakes.watches import counting, put
from ui.views.watch_strip import COUNTING, NOTE, WatchStrip
from ui.widgets.rollback_card import RollbackCard

HERE = ("order-gateway", "production")


class Seconds:
    """A monotonic clock that moves when told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def cockpit(qapp: Any) -> FakeCockpit:
    made = FakeCockpit()
    acts = SimpleNamespace(me=Person("You", "you@playground.invalid"), read_only="")
    parts = (made.store, AtOnce(), None, None, Connections(), made.notices, acts)
    made.watch = Watch(*parts, made.clock_us)  # type: ignore[arg-type, attr-defined]
    done = Deployment("d-000017", "k", *HERE, "1.7.0", "aa" * 32, "deploy", DeployState.SUCCEEDED, started_at_us=NOW_US - 4 * MIN)
    made.watch._runs["order-gateway@production"] = Run("d-000017", done, WatchRule(automatic=True), NOW_US - 4 * MIN)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("where", ["head", "card"])
def test_one_click_stops_the_real_countdown(qtbot: Any, cockpit: FakeCockpit, where: str) -> None:
    clock = Seconds()
    strip, card = WatchStrip(cockpit, clock_s=clock), RollbackCard(cockpit, clock_s=clock)
    qtbot.addWidget(strip)
    qtbot.addWidget(card)
    card.show_place(*HERE)
    put(cockpit, counting())
    strip.refresh()
    card.refresh()
    clock.now_s += 1
    (strip if where == "head" else card.watch_slot).stop_button.click()
    found = cockpit.store.state.watches["order-gateway@production"]
    assert found.countdown is None
    assert found.stopped_by == "You <you@playground.invalid>"
    strip.refresh()
    card.refresh()
    assert strip.currentIndex() == NOTE
    assert "Stopped by You: roll back by hand with Shift+R" in strip.note.text
    assert card.watch_slot.words.words.startswith("Stopped by You: roll back by hand with Shift+R")


@pytest.mark.parametrize("why", ["another window acts here", ""])
def test_what_it_refuses_is_said_and_it_counts_on(qtbot: Any, cockpit: FakeCockpit, why: str) -> None:
    clock = Seconds()
    strip = WatchStrip(cockpit, clock_s=clock)
    qtbot.addWidget(strip)
    put(cockpit, counting())
    strip.refresh()
    clock.now_s += 1
    watch = cockpit.watch  # type: ignore[attr-defined]
    watch._actions.read_only = why
    if not why:
        watch._runs.clear()
    strip.stop()
    assert strip.countdown.sentence.count("Not stopped") == 1
    assert (why or "no automatic rollback is announced there") in strip.countdown.sentence.lower()
    assert strip.currentIndex() == COUNTING
