"""Alerts: at a glance beside the place's name, whole in their view; what is old is never said to be none."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest

from cockpit.domain.alerts import Alert
from cockpit.domain.facts import Fact
from cockpit.domain.rollout import Action, ActionState
from tests.fakes.believable import MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.watching import alerts
from ui.models.alerts import AlertRow, detail_rows, glance
from ui.views.alerts import AlertButton, AlertsView
from ui.views.centre import Centre
from ui.widgets.card_facts import CardFacts

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> FakeCockpit:
    made = FakeCockpit()
    made.store.merge("alerts", {"am": Fact(alerts(), NOW_US - S, "Alertmanager", 30.0)})
    return made


def show(qtbot: Any, cockpit: FakeCockpit, environment: str = "production") -> AlertsView:
    view = AlertsView(cockpit)
    qtbot.addWidget(view)
    view.show_place("order-gateway", environment)
    view.resize(668, 600)
    view.show()
    return view


def button(qtbot: Any, cockpit: FakeCockpit, environment: str = "production") -> AlertButton:
    made = AlertButton(cockpit)
    qtbot.addWidget(made)
    made.show_place("order-gateway", environment)
    return made


def names(view: AlertsView) -> list[str]:
    return [row.alert.name for row in view.table.rows_model.rows]


def test_without_a_system_nothing_is_claimed(qtbot: Any) -> None:
    cockpit = FakeCockpit()
    view = show(qtbot, cockpit)
    assert "alertmanager" in view.table.accessibleDescription()
    assert "Add a connection" in view.table.accessibleDescription(), "the way there is the form"
    assert view.count.whole == "What fires is not known", "no number where nobody was ever asked"
    assert view.age.text == "no alerting system is connected"
    assert button(qtbot, cockpit).isHidden()


def test_what_never_answered_and_what_is_old_is_said_so(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(alerts={"am": Fact((), 0, "Alertmanager")})
    view = show(qtbot, cockpit)
    assert view.age.text == "stale: Alertmanager has not answered yet. What fires now is not known"
    assert "Not known" in view.table.accessibleDescription()
    assert button(qtbot, cockpit).words == "alerts: not known"
    cockpit.store.apply(alerts={"am": Fact((), NOW_US, "Alertmanager", 30.0)})
    cockpit.now_us += 5 * MIN
    view.refresh()
    assert "Alertmanager answered 5 m" in view.age.text
    old = button(qtbot, cockpit)
    assert (old.state, old.words) == ("stale", "alerts: not known (stale)")
    assert "Nothing fires" not in view.table.accessibleDescription()


def test_old_alerts_stay_and_are_called_old(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.now_us += 5 * MIN
    view = show(qtbot, cockpit)
    assert view.table.rows_model.rows[0].late
    assert view.table.rows_model.columns[0].text(view.table.rows_model.rows[0]) == "was firing"
    assert button(qtbot, cockpit).words == "alerts: 2 when last heard (stale)"


def test_the_place_first_and_all_on_demand(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert names(view) == ["HighErrorRate", "LatencyHigh", "InstanceDown"]
    assert view.count.whole == "2 firing here, 1 silenced; 2 others elsewhere"
    QTest.mouseClick(view.all_button, LEFT)
    assert len(names(view)) == 5
    view.set_filter("Feed")
    assert names(view) == ["FeedGap"]


def test_what_nobody_silenced_is_not_called_silenced(qtbot: Any, cockpit: FakeCockpit) -> None:
    fact = cockpit.store.state.alerts["am"]
    changed = [replace(a, silenced_by=(), inhibited_by=("f00",)) if a.silenced else a for a in fact.value]
    cockpit.store.apply(alerts={"am": replace(fact, value=tuple(changed))})
    assert "1 inhibited" in show(qtbot, cockpit).count.whole
    assert button(qtbot, cockpit).words == "2 alerts, 1 critical, 1 inhibited"
    # a time of day that mutes names neither
    cockpit.store.apply(alerts={"am": replace(fact, value=tuple(replace(a, inhibited_by=()) for a in changed))})
    assert button(qtbot, cockpit).words == "2 alerts, 1 critical, 1 suppressed"


def test_the_glance_counts_what_fires_here(qtbot: Any, cockpit: FakeCockpit) -> None:
    here, there = button(qtbot, cockpit), button(qtbot, cockpit, "staging")
    assert (here.state, here.words) == ("bad", "2 alerts, 1 critical, 1 silenced")
    assert "HighErrorRate" in here.toolTip()
    assert (there.state, there.words) == ("ok", "no alert")


def test_the_chosen_one_is_shown_whole_and_opens_only_the_web(qtbot: Any, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(QUrl(url).toString()))
    view = show(qtbot, cockpit)
    assert "5xx ratio is 1.2 %" in view.detail.as_text
    assert "instance=10.0.0.7" in view.detail.as_text
    QTest.mouseClick(view.open_button, LEFT)
    assert opened == ["https://prometheus.invalid/graph?g0.expr=up"]
    view.table.select(("Alertmanager", "a3"))
    assert "silenced by 8f7c" in view.detail.as_text
    assert not view.open_button.isEnabled()


def test_hostile_text_is_plain() -> None:
    row = AlertRow(Alert("x", "<b>\x1b[31m", {"a": "\u202e"}, {"summary": "a\nb"}, NOW_US, url="javascript:1"), "s")
    assert all("\x1b" not in words and "\u202e" not in words for _, words, _, _ in detail_rows(row))


def test_the_glance_of_many() -> None:
    class Seen:
        firing = tuple(Alert(str(n), f"A{n}", {"severity": "page"}, {}, NOW_US) for n in range(30))
        quiet, late, asked, oldest_us, critical = (), (), True, NOW_US, 30

    assert glance(Seen(), NOW_US)[1] == "30 alerts, 30 critical"


def test_the_proof_on_the_card_tells_what_fires_there(cockpit: FakeCockpit) -> None:
    done = Action("k", "deploy", "order-gateway", "production", "1.6.0", "d1", "1.7.0", "d2", "You", ActionState.DONE, NOW_US)

    def told() -> list[Any]:
        return [row for row in CardFacts(cockpit).after_rows(done) if row[3] == "alerts"]

    assert told() == [("bad", "2 alerts: HighErrorRate, LatencyHigh", "", "alerts")]
    cockpit.now_us += 5 * MIN
    assert told() == [("unknown", "alerts: not known now; last heard: HighErrorRate, LatencyHigh", "", "alerts")]
    cockpit.store.apply(alerts={"am": Fact((), cockpit.now_us, "Alertmanager", 30.0)})
    assert told() == [("ok", "no alert", "", "alerts")]
    cockpit.store.apply(alerts={})
    assert told() == []


def test_the_glance_stands_on_every_screen_and_moves_nothing(qtbot: Any, cockpit: FakeCockpit) -> None:
    with_alerts, without = Centre(cockpit), Centre(FakeCockpit())
    for centre in (with_alerts, without):
        qtbot.addWidget(centre)
        centre.resize(668, 700)
        centre.show_place("order-gateway", "production")
        centre.show()
    assert with_alerts.alerts.isVisible()
    assert not without.alerts.isVisible()
    assert with_alerts.tabs.geometry() == without.tabs.geometry()
    QTest.mouseClick(with_alerts.alerts, LEFT)
    assert with_alerts.current == "alerts"
    assert with_alerts.go_back()


def test_the_longest_state_is_not_cut_off(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.now_us += 5 * MIN
    view = show(qtbot, cockpit)
    needed = view.table.fontMetrics().horizontalAdvance("was silenced")
    assert view.table.columnWidth(0) >= needed + 36, "with the shape before it and the room around it"
