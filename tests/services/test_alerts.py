"""Alerts by place: stale is said as stale, and what begins around an action is one notice that grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.alerts import Alert
from cockpit.domain.errors import Unreachable
from cockpit.domain.facts import Fact
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.alerts import RECENT_S, AlertWatch, alerts_at, asked_of
from cockpit.services.connections import Connected
from cockpit.services.notices import Notice, Severity
from cockpit.services.polled import AlertsJob
from tests.fakes.rig import D2, Rig


class Watched(Rig):
    """The rig with alerts of one connection."""

    def __init__(self, folder: Path, clock: Any) -> None:
        super().__init__(folder, clock)
        self.watch = AlertWatch(self.store, self.notices, clock)

    def alert(self, name: str, **fields: Any) -> Alert:
        labels = {"severity": fields.pop("severity", "critical")}
        given = {"service": "gw", "environment": "prod", "since_us": self.clock(), **fields}
        return Alert(given.pop("id", name), name, labels, {"summary": f"{name} summary"}, **given)

    def fire(self, *alerts: Alert) -> None:
        self.store.merge("alerts", {"am": Fact(alerts, self.clock(), "Alertmanager", 30.0)})

    def act(self, **fields: Any) -> Action:
        named = {"state": ActionState.FOLLOWING, "intended_at_us": self.clock(), **fields}
        action = Action("k1", "deploy", "gw", "prod", "1.7.0", D2, "1.8.0", "d", "Ada", **named)
        self.store.merge("actions", {"k1": action})
        return action

    @property
    def told(self) -> list[Notice]:
        return [n for n in self.notices.history if n.place == "alerts" and n.severity is Severity.ERROR]


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Watched]:
    made = Watched(tmp_path, fake_clock)
    yield made
    made.watch.close()
    made.database.close()


def test_what_was_never_asked_or_is_old_is_not_none(rig: Watched) -> None:
    now = rig.clock()
    assert not alerts_at(rig.store.state, "gw", "prod", now).asked
    connected = (Connected("am", "Alertmanager", "alertmanager", ("AlertsApi",), ("gw",), None), *rig.connections.all)
    rig.store.apply(alerts=asked_of(connected, rig.store.state))
    never = alerts_at(rig.store.state, "gw", "prod", now)
    assert (never.asked, never.late, never.oldest_us) == (True, ("Alertmanager",), 0)
    rig.fire()
    assert alerts_at(rig.store.state, "gw", "prod", now).late == ()
    assert alerts_at(rig.store.state, "gw", "prod", rig.clock.advance(31)).late == ("Alertmanager",)
    assert asked_of(connected, rig.store.state) == rig.store.state.alerts, "what is known stays"
    assert asked_of((), rig.store.state) == {}, "a connection that is gone leaves nothing"


def test_only_the_places_own_alerts_and_the_loud_first(rig: Watched) -> None:
    old, mild = rig.alert("old", since_us=1), rig.alert("mild", severity="warning")
    other, nowhere = rig.alert("other", service="md"), rig.alert("nowhere", service="", environment="")
    whole = rig.alert("whole", service="")
    quiet = replace(rig.alert("quiet"), state="suppressed", silenced_by=("s1",))
    rig.fire(mild, old, other, nowhere, whole, quiet)
    seen = alerts_at(rig.store.state, "gw", "prod", rig.clock())
    assert [a.name for a in seen.firing] == ["whole", "old", "mild"]
    assert ([a.name for a in seen.quiet], seen.critical) == (["quiet"], 2)


def test_a_source_that_is_gone_keeps_what_it_said(rig: Watched) -> None:
    class Api:
        error: Exception | None = None

        def alerts(self) -> tuple[Alert, ...]:
            if self.error is not None:
                raise self.error
            return (rig.alert("down"),)

    api = Api()
    job = AlertsJob(Connected("am", "Alertmanager", "x", ("AlertsApi",), ("gw",), api), rig.store, rig.clock, 30.0)
    assert job.apply(job.prepare()()) is None
    assert job.changed
    api.error = Unreachable("gone")
    assert job.apply(job.prepare()()) is api.error
    assert [a.name for a in rig.store.state.alerts["am"].value] == ["down"]


def test_new_critical_alerts_of_a_deployment_are_one_notice_that_grows(rig: Watched) -> None:
    before = rig.alert("before")
    rig.fire(before)
    rig.clock.advance(60)
    rig.act()
    first, second = rig.alert("down"), rig.alert("errors")
    rig.fire(before, first, rig.alert("mild", severity="warning"), rig.alert("other", service="md"))
    [one] = rig.told
    assert one.title == "Alert down fires for gw in prod"
    assert one.message == "down: down summary. Since the deploy of 1.8.0."
    rig.fire(before, first, second)
    [grown] = rig.told
    assert (grown.id, grown.count, grown.title) == (one.id, 2, "2 alerts fire for gw in prod")
    rig.fire(before, second)
    assert not rig.told[0].over
    rig.fire(before)
    assert rig.told[0].over
    assert rig.notices.history[0].title == "Alerts of gw in prod cleared"


def test_without_an_action_or_long_after_it_nobody_is_called(rig: Watched) -> None:
    rig.fire(rig.alert("down"))
    action = rig.act()
    rig.store.merge("actions", {"k1": replace(action, state=ActionState.DONE, ended_at_us=rig.clock())})
    rig.clock.advance(RECENT_S + 1)
    rig.fire(rig.alert("late"))
    assert rig.told == []


def test_it_is_over_when_it_clears_however_late(rig: Watched) -> None:
    action = rig.act()
    down = rig.alert("down")
    rig.fire(down)
    rig.store.merge("actions", {"k1": replace(action, state=ActionState.DONE, ended_at_us=rig.clock())})
    rig.clock.advance(RECENT_S + 1)
    rig.fire(down)
    assert not rig.told[0].over
    rig.fire()
    assert rig.told[0].over
