"""After a canary went back: what left is named, and the shares of the traffic are told as they are."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtWidgets import QApplication

from cockpit.domain.facts import Fact
from cockpit.domain.fingerprint import all_run
from cockpit.domain.preflight_way import rollback_of_rollback
from cockpit.domain.release import Deployment, DeployState, Fleet, Node
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun, StepState
from cockpit.domain.strategy_plan import shares_set
from tests.fakes.believable import MIN, NOW_US, S, version
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.trust import statement
from tests.fakes.watches import put, watched
from ui.models.steps import step_rows
from ui.theme import apply
from ui.views.nodes import NodesView
from ui.views.watch import WatchView
from ui.widgets.rollback_card import RollbackCard

PLACE, AT = ("order-gateway", "production"), "order-gateway@production"
NODES = tuple(f"order-gateway-production-{n}" for n in (1, 2, 3, 4))
EVEN = tuple((name, 25) for name in NODES)
OLD, NEW = version("order-gateway", "1.6.0"), version("order-gateway", "1.7.0")


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    apply(qapp, "dark")
    made = FakeCockpit()
    put(made)
    return made


def canary(*states: StepState, state: RolloutState = RolloutState.FAILED) -> Rollout:
    """A tenth of the traffic to one node; then the new version there, a gate, and all of it."""
    first = Step("weight", *PLACE, nodes=NODES[:1], percent=10, from_weights=EVEN if states[0] is not StepState.WAITING else ())
    steps = (
        first,
        Step("deploy", *PLACE, "1.7.0", nodes=NODES[:1]),
        Step("gate", *PLACE),
        Step("weight", *PLACE, nodes=NODES, from_weights=(*((n, 10 if n == NODES[0] else 30) for n in NODES),)),
    )
    runs = tuple(
        StepRun(step, states[i] if i < len(states) else StepState.WAITING, NOW_US - 3 * MIN, NOW_US - 2 * MIN if i < len(states) else 0)
        for i, step in enumerate(steps)
    )
    return Rollout("r1", "deploy", "order-gateway, canary", runs, "You", state=state, started_at_us=NOW_US - 4 * MIN)


DONE, FAILED, UNDONE = StepState.DONE, StepState.FAILED, StepState.UNDONE
LEFT = {NODES[0]: 10, NODES[1]: 30, NODES[2]: 30, NODES[3]: 30}


@pytest.mark.parametrize(
    ("rollout", "held"),
    [
        (canary(DONE, DONE, FAILED), LEFT),
        (canary(DONE, DONE, DONE, DONE, state=RolloutState.DONE), dict(EVEN)),
        (canary(UNDONE, UNDONE, FAILED, state=RolloutState.BACK), dict(EVEN)),
        (canary(StepState.UNKNOWN, state=RolloutState.FAILED), None),
        (canary(StepState.RUNNING, state=RolloutState.RUNNING), None),
        (canary(StepState.WAITING, state=RolloutState.ABORTED), None),
        (replace(canary(DONE, DONE, FAILED), rehearsal=True), None),
    ],
    ids=["stopped", "whole", "went back", "not known", "under way", "not begun", "rehearsed"],
)
def test_what_a_rollout_set_is_known_only_where_it_told(rollout: Rollout, held: dict[str, int] | None) -> None:
    known = shares_set([rollout], *PLACE)
    assert (known[0] if known is not None else None) == held
    assert shares_set([rollout], "order-gateway", "staging") is None


def test_the_nodes_show_what_a_rollout_set_as_past_and_what_is_told_before_it(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = NodesView(cockpit)  # type: ignore[arg-type]
    qtbot.addWidget(view)
    view.resize(668, 600)
    view.show_place(*PLACE)
    view.show()
    assert view.heading.whole.endswith("nobody tells how the traffic is shared")
    cockpit.store.apply(rollouts={"r1": canary(DONE, DONE, FAILED)})
    view.read()
    assert view.heading.whole.endswith("traffic as a rollout set it 2 min ago, not read since")
    told = {row.name: row.traffic for row in view.table.rows_model.rows}
    assert {name: told[name] for name in NODES} == {NODES[0]: "was 10 %", **dict.fromkeys(NODES[1:], "was 30 %")}
    cockpit.store.apply(shares={AT: Fact(dict(EVEN), NOW_US - S, "HAProxy", 30.0)})
    view.read()
    assert {row.traffic for row in view.table.rows_model.rows if row.name in NODES} == {"25 %"}, "what is read now is the truth"


def went_back(cockpit: FakeCockpit, qtbot: Any) -> RollbackCard:
    """Most nodes ran 1.6.0 still, one 1.7.0: all of them were put on 1.6.0."""
    action = Action(
        "k1", "rollback", *PLACE, "1.6.0", OLD.digest, "1.6.0", OLD.digest, "You", ActionState.DONE, NOW_US - MIN,
        ended_at_us=NOW_US - 50 * S,
    )  # fmt: skip
    card = RollbackCard(cockpit)
    qtbot.addWidget(card)
    card.resize(284, 688)
    cockpit.store.apply(rollouts={"r1": canary(DONE, DONE, FAILED)}, actions={"k1": replace(action, state=ActionState.FOLLOWING)})
    card.show_place(*PLACE)
    card.show()
    assert card.progress_page.move_text.whole == "mixed → 1.6.0"
    cockpit.store.apply(actions={"k1": action})
    card.refresh()
    return card


def test_the_proof_names_what_left_and_the_shares_that_still_hold(qtbot: Any, cockpit: FakeCockpit) -> None:
    old = statement("hold", "1.5.1")  # of long before
    cockpit.store.apply(statements=(old,))
    card = went_back(cockpit, qtbot)
    assert "1.6.0 is not held" not in card.as_text(), "it did not leave"
    assert "what left is not held yet" in card.as_text()
    cockpit.store.apply(statements=(old, statement("hold", "1.7.0", at_us=NOW_US - 50 * S)))
    card.refresh()
    assert "held  1.7.0 is held: nobody deploys it here" in card.as_text()
    assert "traffic shares of a failed rollout still hold: production-1 10 %, production-2 30 %" in card.as_text()
    assert card.progress_page.digests.whole.startswith("several → ")


def test_where_the_shares_are_as_before_nothing_is_said_of_them(qtbot: Any, cockpit: FakeCockpit) -> None:
    card = went_back(cockpit, qtbot)
    cockpit.store.apply(rollouts={"r1": canary(UNDONE, UNDONE, FAILED, state=RolloutState.BACK)})
    card.refresh()
    assert "traffic shares" not in card.as_text()


def test_the_page_says_from_what_only_where_that_is_another(qtbot: Any, cockpit: FakeCockpit) -> None:
    page = WatchView(cockpit)  # type: ignore[arg-type]
    qtbot.addWidget(page)
    put(cockpit, watched(kind="rollback", version="1.6.0", from_version="1.6.0"))
    page.show_place(*PLACE)
    page.show()
    assert page.what.whole.startswith("rollback to 1.6.0, in production")


def test_a_second_rollback_names_the_mixed_fleet_it_came_from() -> None:
    back = Deployment(
        "d1", "k1", *PLACE, "1.6.0", OLD.digest, "rollback", DeployState.SUCCEEDED, "You", "", "1.6.0", OLD.digest, NOW_US - MIN, NOW_US
    )
    fleet = Fleet(*PLACE, tuple(Node(name, *PLACE, "1.6.0", "", OLD.digest, True, "") for name in NODES))
    words = rollback_of_rollback(version("order-gateway", "1.5.1"), (back,), fleet)
    assert "since a rollback from a mixed fleet" in words
    assert "from 1.7.0" in rollback_of_rollback(
        version("order-gateway", "1.5.1"), (replace(back, from_version="1.7.0", from_digest=NEW.digest),), fleet
    )


def test_one_node_is_no_plural_and_steps_name_nodes_without_their_service(cockpit: FakeCockpit) -> None:
    assert all_run(1, "1.7.0") == "the one node runs 1.7.0"
    assert all_run(4, "1.7.0") == "all 4 nodes run 1.7.0"
    rollout = canary(DONE)
    told = replace(rollout, steps=(replace(rollout.steps[0], message=f"{NODES[0]} 10 %, {NODES[1]} 30 %"), *rollout.steps[1:]))
    assert "production-1 10 %, production-2 30 %" in [row[1] for row in step_rows(told, NOW_US, {}, {})]
