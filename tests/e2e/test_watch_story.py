"""An automatic rollback on the playground's own processes, in the real window: what the guide's first chapter promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.watching import AUTOMATIC
from cockpit.services import judging, watch_feed
from tests.e2e.story import GOOD
from tests.e2e.story_watch import WatchStory


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_bad_version_is_rolled_back_by_itself_and_the_good_one_is_not(
    qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the same rules over shorter blocks: beside nodes that serve the same market the bad version is ten times as slow and more
    usual = judging.policy_of
    monkeypatch.setattr(judging, "policy_of", lambda *given: replace(usual(*given), block_s=4, p99_requests=200))
    monkeypatch.setattr(watch_feed, "WARM_S", 3.0)
    story = WatchStory(tmp_path / "data", lambda name, window: None)
    story.lingers = False
    try:
        story.tell()
        entries = story.cockpit.actions.activity()
    finally:
        story.close()
    assert [e.detail["said"] for e in entries if e.action == "watch"].count("announced") == 1
    (reason,) = [e.detail["reason"] for e in entries if (e.action, e.kind) == ("rollback", "intent")]
    assert reason.startswith(AUTOMATIC)
    (sentence,) = story.announcements
    assert re.search(r"(place_order|mass_quote|cancel_order|get_order|get_book) .*\d", sentence), "the operation and numbers"
    assert "does badly" in story.told[0]
    assert f"rolled back to {GOOD} by itself" in story.told[0]
