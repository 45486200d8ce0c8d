"""Rules, signatures, freezes and steps in words: what is void, unknown, hostile or endless first."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.approvals import Approval, ApprovalRule, Quorum
from cockpit.domain.calendar import Freeze, Freezes
from cockpit.domain.release import Deployment, DeployState, NodeStep
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.statements import Hold, Override
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun, StepState
from tests.fakes.believable import HOUR, MIN, NOW_US, S
from tests.fakes.trust import KEY, MANAGERS, statement
from ui.models.freeze import freeze_words, label, safe_words, tip
from ui.models.steps import order_rule, rollout_words, step_rows, step_words, tally
from ui.models.trust import (
    debt_words,
    hold_words,
    hours_text,
    moment_text,
    override_words,
    request_words,
    rule_people,
    rule_words,
    signature,
    source_words,
)

STRICT_WORDS = (
    "2 of 3 from release-managers, at least 1 of risk; author and requester never count; expire after 72 h; only signed words count"
)
HTML = "<b>x</b>\x1b[31m\u202e"
LONG = "n" * 500


def approval(**fields: Any) -> Approval:
    return replace(Approval("s", "1", "prod", "c", "d", "ada@x", "Ada", True, "", NOW_US), **fields)


# ---- words


def test_a_void_word_says_why_whatever_key_signed_it() -> None:
    assert signature(approval(signer=KEY, why_not=f"forged {HTML}")) == ("bad", "void: forged <b>x</b>␛[31m<U+202E>")


def test_unsigned_is_never_called_signed() -> None:
    assert signature(approval()) == ("", "unsigned")
    assert signature(approval(signer=KEY)) == ("ok", f"key {KEY}")


def test_where_a_word_is_kept() -> None:
    assert [source_words(s) for s in ("git", "forge", "journal")] == [
        "a signed tag in git",
        "a review in the forge",
        "this machine's journal",
    ]
    assert source_words(HTML).startswith("<b>x</b>␛")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (ApprovalRule(), "No approval is asked for here."),
        (ApprovalRule(1), "1 approval by anybody; author and requester never count"),
        (ApprovalRule(2, apart=frozenset()), "2 approvals by anybody"),
        (
            ApprovalRule(2, ("release-managers",), MANAGERS, (Quorum("risk", frozenset(), 1),), expires_s=72 * 3600, signed=True),
            STRICT_WORDS,
        ),
        (
            ApprovalRule(1, ("a", "b", "c"), frozenset({"x@y"}), apart=frozenset({"deployer"})),
            "1 of 1 from a, b and c; deployer never counts",
        ),
    ],
)
def test_the_rule_in_words(rule: ApprovalRule, words: str) -> None:
    assert rule_words(rule) == words


def test_who_may_approve_group_by_group() -> None:
    rule = ApprovalRule(1, ("a",), frozenset({"z@x", "b@x"}), (Quorum("risk", frozenset({"r@x"}), 1),))
    assert rule_people(rule) == "a: b@x, z@x\nrisk: r@x"
    assert rule_people(ApprovalRule(1)) == ""


def test_long_and_hostile_names_are_cut_and_plain() -> None:
    words = hold_words(Hold("s", "prod", LONG, "d", HTML * 300, LONG, NOW_US - HOUR), NOW_US)
    assert len(words) < 1000
    assert "\x1b" not in words
    assert "\n" not in rule_words(ApprovalRule(1, (f"a\n{LONG}",)))


def test_statements_in_words() -> None:
    asked = statement("request", "1.8.0", until_us=NOW_US + 2 * HOUR)
    assert request_words(asked, NOW_US) == "1.8.0 goes when nothing is missing, until 11:41 UTC, asked by Dora Lindt: p99 left its band"
    passed = Override("", "production", "ana@x", "", NOW_US, NOW_US + HOUR)
    assert override_words(passed, NOW_US) == "ana@x passes it for every service until 10:41 UTC: no reason given"
    from cockpit.domain.statements import debts

    (debt,) = debts((statement("emergency", "1.6.0", about="k"),))
    assert debt_words(debt, NOW_US) == "dora.lindt@playground.invalid deployed 1.6.0 alone 10 min ago: p99 left its band"


def test_moments_and_hours() -> None:
    assert moment_text(NOW_US + HOUR, NOW_US) == "10:41 UTC"
    assert moment_text(NOW_US + 24 * HOUR, NOW_US) == "Mon 09:41 UTC"
    assert moment_text(NOW_US - 24 * HOUR, NOW_US) == "2026-11-21 09:41 UTC"
    assert moment_text(NOW_US + 30 * 24 * HOUR, NOW_US) == "2026-12-22 09:41 UTC"
    assert moment_text(1 << 70, NOW_US) == "a time that is not known"
    assert [hours_text(s) for s in (900, 3600, 5400, 72 * 3600)] == ["15 min", "1 h", "1.5 h", "72 h"]


# ---- freezes

EXPIRY = Freeze("Deribit daily expiry", NOW_US - 20 * MIN, NOW_US + 34 * MIN, "Deribit policy")
PASSED = Override("", "production", "ana@x", "hotfix", NOW_US, NOW_US + HOUR)


def test_a_calendar_that_does_not_answer_is_unknown_and_no_window_is_safe() -> None:
    silent = Freezes(unknown=(f"team {HTML}",))
    assert label(silent, None, NOW_US) == ("unknown", "freeze unknown: team <b>x</b>␛[31m<U+202E> does not answer")
    assert "No window is known to be safe" in safe_words(silent, NOW_US, 60)
    assert label(None, None, NOW_US)[0] == "unknown"


def test_a_freeze_in_force_is_said_even_where_a_calendar_is_silent() -> None:
    assert label(Freezes((EXPIRY,), unknown=("team",)), None, NOW_US) == ("frozen", "frozen until 10:15 UTC: Deribit daily expiry")


def test_a_hard_freeze_is_passed_by_nobody() -> None:
    hard = replace(EXPIRY, name="Month end", hard=True)
    assert label(Freezes((hard,)), PASSED, NOW_US)[1] == "frozen until 10:15 UTC: Month end"
    assert "no override passes it" in freeze_words(hard, NOW_US)


def test_an_override_stands_where_it_passes() -> None:
    assert label(Freezes((EXPIRY,)), PASSED, NOW_US) == ("warning", "freeze passed by ana@x until 10:41 UTC")


def test_no_freeze_says_when_the_next_begins() -> None:
    coming = replace(EXPIRY, start_us=NOW_US + 3 * HOUR, end_us=NOW_US + 4 * HOUR)
    found = Freezes(next=coming, safe=(NOW_US, NOW_US + 3 * HOUR))
    assert label(found, None, NOW_US) == ("ok", "freeze: none - next 12:41 UTC")
    assert label(Freezes(), None, NOW_US) == ("ok", "freeze: none planned")
    assert safe_words(found, NOW_US, 42) == "Next safe window: now until 12:41 UTC; what is planned takes about 42 s."
    assert "Next safe window: from 10:15 UTC until 12:41 UTC; what is planned takes about 42 s." in tip(
        replace(found, now=(EXPIRY,), safe=(EXPIRY.end_us, coming.start_us)), None, NOW_US, 42
    )
    assert safe_words(Freezes(), NOW_US, 42) == "No window of 42 s is in sight."


# ---- steps


def step(do: str = "deploy", **fields: Any) -> Step:
    known = {"version": "1.7.0", "from_version": "1.6.0", "nodes": ("gw-production-1",), "undo": "1.6.0 again"}
    return Step(do, "gw", "production", **{**known, **fields})


def rollout(*runs: StepRun, **fields: Any) -> Rollout:
    return Rollout("k", "deploy", "gw, canary", runs, "me", **fields)


def test_an_unknown_step_is_never_called_failed_nor_done() -> None:
    unknown = rollout(StepRun(step(), StepState.UNKNOWN))
    assert rollout_words(unknown)[0] == "unknown"
    assert "fail" not in rollout_words(unknown)[1].lower()


def test_a_partial_failure_counts_what_is_done_failed_and_never_begun() -> None:
    runs = (StepRun(step(), StepState.DONE), StepRun(step(), StepState.FAILED, message=HTML), StepRun(step()))
    failed = rollout(*runs, state=RolloutState.FAILED)
    assert rollout_words(failed) == ("failed", "Rollout failed: 1 done, 1 failed, 1 not begun")
    rows = step_rows(failed, NOW_US, {}, {})
    assert [r[:2] for r in rows if r[0] != "note"] == [
        ("done", "1. 1.7.0 on production-1: done"),
        ("failed", "2. 1.7.0 on production-1: failed"),
        ("waiting", "3. 1.7.0 on production-1: not begun"),
    ]
    notes = [r[1] for r in rows if r[0] == "note"]
    assert notes == ["undo: 1.6.0 again", "<b>x</b>␛[31m<U+202E>", "undo: 1.6.0 again"], "what never began has nothing to undo"


def test_a_rehearsal_that_ended_sent_nothing_and_says_so() -> None:
    assert rollout_words(rollout(state=RolloutState.DONE, rehearsal=True)) == ("ok", "Rehearsed: nothing was sent")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (step(nodes=()), "1.7.0 on all nodes"),
        (step(nodes=tuple(f"n{i}" for i in range(9))), "1.7.0 on 9 nodes"),
        (step("bake", seconds=300), "wait 5 min and watch"),
        (step("hold"), "hold until a person says go on"),
        (step("gate", ask=("checks", "freeze")), "ask again: checks, freeze"),
        (step("weight", percent=10), "10 % of the traffic to production-1"),
        (step("mode", mode="cancel-only"), "venue to cancel-only"),
        (step(HTML), "<b>x</b>␛[31m<U+202E>"),
    ],
)
def test_what_a_step_does(one: Step, words: str) -> None:
    assert step_words(one) == words


def test_times_remaining_elapsed_taken_and_expected() -> None:
    runs = (
        StepRun(step(), StepState.DONE, NOW_US - 100 * S, NOW_US - 88 * S),
        StepRun(step("bake", seconds=300, undo=""), StepState.RUNNING, NOW_US - 100 * S),
        StepRun(step("bake", seconds=60, undo="")),
        StepRun(step()),
    )
    rows = [r for r in step_rows(rollout(*runs), NOW_US, {3: 12.0}, {}) if r[0] != "note"]
    assert [r[2] for r in rows] == ["12 s", "3 min 20 s left", "1 min", "~ 12 s"]


def test_the_nodes_of_what_is_under_way_stand_below_it() -> None:
    steps = (NodeStep("production-1", "starting"), NodeStep("production-2", "pending"))
    under_way = Deployment("d", "a", "gw", "production", "1.7.0", "x", "deploy", DeployState.RUNNING, steps=steps)
    action = Action("a", "deploy", "gw", "production", "1.6.0", "", "1.7.0", "", "me", ActionState.FOLLOWING, 1, deployment=under_way)
    rows = step_rows(rollout(StepRun(step(), StepState.RUNNING, NOW_US, action="a")), NOW_US, {}, {"a": action})
    assert [r[1] for r in rows if r[0] == "note"] == ["production-1: starting"]


def test_the_rule_of_failure_and_the_tally() -> None:
    assert "stops there" in order_rule(rollout())
    assert "undone" in order_rule(rollout(on_failure="back"))
    assert tally(rollout(StepRun(step()), StepRun(step(), StepState.DONE))) == "1 done, 1 waiting"
