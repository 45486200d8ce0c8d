"""The story of the tour, in the real window on real processes, as a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QWidget

from tests.e2e.story_trust import TrustStory


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_bad_release_is_seen_and_rolled_back(qapp: Any, tmp_path: Path) -> None:
    pictures: list[str] = []

    def picture(name: str, window: QWidget) -> None:
        assert not window.grab().isNull()
        pictures.append(name)

    story = TrustStory(tmp_path / "data", picture)
    story.lingers = False
    try:
        story.tell()
        kinds = [(e.action, e.kind) for e in reversed(story.cockpit.actions.activity())]
        outcomes = [e.detail["state"] for e in story.cockpit.actions.activity(kinds=("outcome",))]
    finally:
        story.close()
    assert kinds.count(("deploy", "intent")) == 5
    assert kinds.count(("rollback", "intent")) == 3  # one alone, two together
    assert kinds.count(("rollout", "outcome")) == 1
    assert kinds.count(("hold", "note")) == 3
    assert kinds.count(("approve", "note")) == 2  # the colleague's are in another journal, and signed in git
    assert set(outcomes) == {"done"}
    assert len(pictures) >= 28
    assert set(story.figures) == {"click to accepted", "click to all nodes verified", "click to p99 back in band"}
