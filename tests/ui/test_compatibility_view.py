"""What runs against what: unknown and blocked stand first, and never as ok."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.services.store import Change
from tests.fakes.cockpit import FakeCockpit
from ui.views.compatibility import EVERY, CompatibilityView

NEEDS = {"order-gateway": ("risk-engine>=0.9.1", "market-data>=2.3.1"), "risk-engine": ("market-data",)}


@pytest.fixture
def cockpit() -> FakeCockpit:
    made = FakeCockpit()
    made.store.apply(services=tuple(replace(s, depends_on=NEEDS.get(s.name, ())) for s in made.store.state.services))
    return made


def show(qtbot: Any, cockpit: FakeCockpit) -> CompatibilityView:
    view = CompatibilityView(cockpit)
    qtbot.addWidget(view)
    view.resize(668, 600)
    view.show()
    return view


def rows(view: CompatibilityView) -> list[tuple[str, str, str, str]]:
    return [(str(p.state), p.environment, p.service, p.need.service) for p in view.table.rows_model.rows]


def test_what_is_too_old_is_unknown(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    cockpit.now_us += 3_600_000_000
    for _ in range(EVERY):
        view.on_change(Change(frozenset(["ages"])))
    assert {state for state, *_ in rows(view)} == {"unknown"}
    assert view.summary.as_text.startswith("unknown")


def test_what_is_not_met_stands_first_with_its_reason(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    assert rows(view)[0] == ("blocked", "production", "order-gateway", "market-data")
    assert view.summary.as_text == "blocked  6 needs: 1 blocked, 5 ok"
    assert "market-data 2.3.1 or newer is needed, and 2.3.0 runs here" in view.why.as_text


def test_nothing_declared_says_how(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit())
    assert "depends_on" in view.table.accessibleDescription()
    assert view.summary.as_text == ""
    view.grab()


def test_hostile_names_stay_plain_and_keep_the_width(qtbot: Any, cockpit: FakeCockpit) -> None:
    name = "<b>x</b>" + "n" * 500
    cockpit.store.apply(services=(*cockpit.store.state.services, replace(cockpit.store.state.services[0], name=name)))
    view = show(qtbot, cockpit)
    view.grab()
    assert view.width() == 668
    assert view.table.horizontalScrollBar().maximum() == 0
