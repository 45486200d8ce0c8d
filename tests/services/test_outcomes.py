"""The way out that is named when an action ended badly: by what the nodes run."""

from __future__ import annotations

from cockpit.domain.release import Fleet, Node
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.outcomes import hint_of


def action(state: ActionState) -> Action:
    return Action("k", "deploy", "gw", "prod", "1.6.0", "d6", "1.7.0", "d7", "Rae", state, 1)


def fleet(*nodes: tuple[str, str]) -> Fleet:
    return Fleet("gw", "prod", tuple(Node(f"n{i}", "gw", "prod", "1.7.0", "", d, True, "", c) for i, (d, c) in enumerate(nodes)))


def test_nodes_that_are_set_differently_are_not_sent_to_a_rollback() -> None:
    words = hint_of(action(ActionState.FAILED), fleet(("d7", "aa"), ("d7", "aa"), ("d7", "bb")))
    assert "All nodes run 1.7.0, but they are not set alike" in words
    assert "a rollback of the version does not change configuration or flags" in words
    assert "puts them on one" not in words


def test_where_versions_differ_or_nothing_is_known_a_rollback_is_the_way() -> None:
    failed = action(ActionState.FAILED)
    assert "A rollback puts them on one" in hint_of(failed, fleet(("d7", "aa"), ("d6", "bb")))
    assert "A rollback puts them on one" in hint_of(failed, None)
    assert "Deploy or roll back" in hint_of(action(ActionState.ABORTED), fleet(("d7", "aa"), ("d7", "bb")))
    assert hint_of(action(ActionState.DONE), None) == ""
