"""What a node said counts until something about it changes, also where it was being asked just then."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cockpit.playground import nodes
from cockpit.playground.nodes import Answer, Node, Nodes


def test_answer_from_before_a_change_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    node, asked = Node("n-1", "s", "e", 1), []

    def ask(this: Node) -> Answer:
        asked.append(this.name)
        if len(asked) == 1:
            # as another thread does, that switches the mode meanwhile
            this.changed()
        return Answer(this.name, this.url, mode="open" if len(asked) == 1 else "halted")

    monkeypatch.setattr(nodes, "ask", ask)
    seen = cast(Any, Nodes).seen
    assert [seen(None, node).mode for _ in range(3)] == ["open", "halted", "halted"]
    assert len(asked) == 2
