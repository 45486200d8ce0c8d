"""What entries of the journal say: hostile and unknown details first, then each action in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from cockpit.domain.rollout import Action, ActionState, Line, LineState
from cockpit.storage.journal import Entry
from tests.fakes.believable import NOW_US
from ui.models.columns import activity_columns
from ui.models.journal import detail_text, entry_text, what_text
from ui.models.text import short_time_text
from ui.widgets.card_pages import _proof_rows

DAY_US = 86_400_000_000
NOW = "2026-11-22 09:41:07 UTC"


def entry(kind: str, action: str, detail: dict[str, Any], at_us: int = NOW_US) -> Entry:
    who = "You <you@playground.invalid>"
    return Entry(19, at_us, kind, "k1", action, who, "order-gateway", "production", "vm:1:2", detail, "f" * 64, "a" * 64)


@pytest.mark.parametrize(
    ("kind", "action", "detail", "words"),
    [
        ("outcome", "rollback", {"state": "\x1b[31m", "message": "<b>\n\u202e"}, "␛[31m: <b> ⏎ <U+202E>"),
        ("note", "strange", {"b": 2, "a": [1], "c": None, "d": ""}, "b 2"),
        ("intent", "rollback", {}, ""),
        ("progress", "deploy", {"deployment": "a-b-c"}, "accepted as a-b-c"),
        (
            "intent",
            "rollback",
            {"from_version": "1.7.0", "version": "1.6.1", "reason": "p99 high"},
            "1.7.0 → 1.6.1, because p99 high",
        ),
        ("intent", "deploy", {"from_version": "", "version": "1.0.0", "reason": ""}, "nothing → 1.0.0"),
        ("intent", "drain", {"subject": "production-2", "connection": "lb", "reason": "p99"}, "production-2, because p99"),
        ("intent", "approve-gate", {"subject": "7", "title": "Deploy", "reason": ""}, "Deploy"),
        ("note", "tell", {"connection": "chat", "message": "Rollback started", "kind": "rollback"}, "told chat: Rollback started"),
        ("intent", "silence", {"names": ["Down"], "connection": "am", "until_us": NOW_US, "id": ""}, f"Down in am until {NOW}"),
        ("progress", "silence", {"names": "x", "connection": "am", "id": "8f"}, "in am, made as 8f"),
        ("outcome", "silence", {"state": "done", "message": "it was gone already", "names": ["Down"]}, "done: it was gone already"),
        ("progress", "deploy", {"deployment": "d-000017", "accepted_at_us": 1}, "accepted as 17"),
        ("outcome", "deploy", {"state": "done", "message": "all 4 nodes run 1.6.1", "nodes": ["x"]}, "done: all 4 nodes run 1.6.1"),
        ("note", "approve", {"version": "1.6.1", "comment": "read it", "approved": True}, "1.6.1: read it"),
        ("note", "reject", {"version": "1.6.1", "comment": ""}, "1.6.1"),
        ("note", "abort", {"deployment": "d-000017", "message": "abort asked for"}, "abort asked for"),
        ("intent", "rerun", {"run": "run-5", "version": "1.6.1"}, "run run-5 of 1.6.1"),
        ("outcome", "rerun", {"state": "done", "run": "run-6"}, "done: run run-6"),
        ("note", "hold", {"version": "1.7.0", "reason": "<b>\x1b</b>", "until_us": 0}, "1.7.0: <b>␛</b>"),
        (
            "note",
            "override",
            {"version": "", "reason": "hotfix", "until_us": NOW_US},
            f"every service until {NOW}: hotfix",
        ),
        ("note", "override", {"service": "gw", "reason": "", "until_us": "x"}, "gw"),
        ("note", "end", {"reason": ""}, ""),
        ("note", "emergency", {"version": "1.7.0", "reason": "no trading"}, "1.7.0 alone: no trading"),
        ("note", "sign-off", {"version": "1.7.0", "reason": "looked"}, "1.7.0: looked"),
        ("note", "request", {"version": "1.8.0", "until_us": NOW_US}, f"1.8.0 until {NOW}"),
        (
            "note",
            "policy",
            {"said": "accepted", "commit": "8" * 40, "origin": "policy.git, main"},
            "accepted 888888888888 of policy.git, main",
        ),
        ("note", "policy", {"said": "refused", "digest": "d" * 64, "reason": "too lax"}, "refused dddddddddddd: too lax"),
        ("note", "rehearsal", {"title": "core", "state": "done", "message": "42 s"}, "core: done: 42 s"),
        ("note", "break lock", {"holder": "ana@x", "holding": "deploy", "reason": "gone"}, "held by ana@x for deploy: gone"),
        ("intent", "rollout", {"title": "gw, canary", "steps": [1, 2], "reason": "p99"}, "gw, canary, 2 steps, because p99"),
        ("progress", "rollout", {"state": "paused", "message": "slept", "steps": {}}, "paused: slept"),
        ("outcome", "rollout", {"state": "failed", "message": "step 2 failed", "title": "t"}, "failed: step 2 failed"),
        ("outcome", "stop", {"state": "Conflict", "message": "it has ended"}, "Conflict: it has ended"),
    ],
)
def test_details_in_words(kind: str, action: str, detail: dict[str, Any], words: str) -> None:
    assert detail_text(entry(kind, action, detail)) == words


def test_a_word_needs_no_note() -> None:
    assert [what_text(entry("note", action, {})) for action in ("hold", "policy", "abort")] == ["hold", "policy", "abort note"]


def test_the_whole_entry_as_lines() -> None:
    deep: Any = {"x": 1}
    for _ in range(50):
        deep = {"in": deep}
    text = entry_text(entry("outcome", "rollback", {"nodes": ["a", {"b": 1}], "none": None, "ended_at_us": NOW_US, "deep": deep}))
    assert "No. 19  rollback outcome" in text
    for words in ("You <you@playground.invalid>", "local time", "vm:1:2", "a" * 64, "f" * 64, "- a", "b: 1", "none: –", "ended_at_us:"):
        assert words in text
    assert "UTC)" in text
    assert "\x1b" not in entry_text(entry("note", "x", {"\x1b[31m": "\u202e"}))
    assert "no details" in entry_text(entry("note", "x", {}))


def test_the_table_is_short_and_its_copy_whole() -> None:
    time, what, where, who, _ = activity_columns(lambda: NOW_US)
    row = entry("outcome", "rollback", {})
    assert [c.text(row) for c in (what, where, who)] == ["rollback outcome", "order-gateway · production", "You"]
    assert who.copy is not None
    assert who.copy(row) == "You <you@playground.invalid>"
    assert time.text(row) == short_time_text(NOW_US, NOW_US) != short_time_text(NOW_US)
    assert len(time.text(row)) == len("00:00:00")
    assert time.text(entry("note", "x", {}, NOW_US - 2 * DAY_US)) == short_time_text(NOW_US - 2 * DAY_US)


def test_the_proof_names_nodes_shortly_and_ends_with_the_latency() -> None:
    told = (("gw-production-1 runs abc", "versions"), ("p99 1 ms is within its band", "latency"), ("gw-production-2 runs abc", ""))
    lines = tuple(Line(LineState.OK, words, 1, where) for words, where in told)
    action = Action(
        "k", "deploy", "gw", "production", "1", "a", "2", "b", "me", ActionState.DONE, 1, message="all 2 nodes run 2", proof=lines
    )
    rows = _proof_rows(action)
    assert [row[1] for row in rows] == [
        "production-1 runs abc",
        "production-2 runs abc",
        "all 2 nodes run 2",
        "p99 1 ms is within its band",
    ]
    assert rows[0][4:] == ("gw-production-1 runs abc",)
