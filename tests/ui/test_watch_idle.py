"""A watch over a place that nobody sends requests to: said so, and never taken for fine. And words that agree with each other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtWidgets import QApplication

from cockpit.domain.facts import Fact
from cockpit.domain.judge import NO_DATA, WORSE, Verdict
from cockpit.domain.metrics import LatencyPoint
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.watching import Finding, Watched, WatchState
from cockpit.services.store import LatencyStatus
from tests.fakes.believable import MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.seconds import Seconds
from tests.fakes.watches import UNSEEN, counting, put, watched
from ui.models import watch as words
from ui.theme import apply
from ui.views.latency import LatencyView
from ui.views.overview_cells import Cells
from ui.views.watch import WatchView
from ui.views.watch_strip import WatchStrip
from ui.widgets.rollback_card import RollbackCard

AT, PLACE = "order-gateway@production", ("order-gateway", "production")
UNHEARD = "nothing was seen of the new version yet: that is not fine"
NOTHING = Verdict(NO_DATA, UNHEARD, NOW_US - S, 240.0)
RULE = "p99 of place_order is 31.6 ms, 11.6 x the baseline's, 2 blocks after each other"
BROKEN = Verdict(WORSE, f"{RULE} (after 47 s)", NOW_US - S, 47.0, since_us=NOW_US - 5 * S, broken=(RULE,), broken_us=(NOW_US - 5 * S,))


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    apply(qapp, "dark")
    made = FakeCockpit()
    put(made)
    return made


def unseen(**fields: Any) -> Watched:
    """One that cannot tell, for nothing was seen of it."""
    silent = (Finding("silence", UNHEARD, NOW_US - 3 * MIN),)
    return replace(watched(state=WatchState.BLIND, verdict=NOTHING, findings=silent, requests=0.0, looked_us=0), **fields)


def counted(count: float, at_us: int = NOW_US) -> Fact[LatencyStatus]:
    point = LatencyPoint(at_us, None, None, None, None, count, None, count)
    return Fact(LatencyStatus(point), at_us, "metrics")


def show(cockpit: FakeCockpit, found: Watched, latency: Fact[LatencyStatus] | None) -> None:
    kept = {at: fact for at, fact in cockpit.store.state.latency.items() if at != AT}
    cockpit.store.apply(latency={**kept, AT: latency} if latency is not None else kept)
    put(cockpit, found)


@pytest.mark.parametrize(
    ("found", "latency"),
    [
        (unseen(), None),
        (unseen(), counted(0, NOW_US - 10 * MIN)),
        (unseen(), counted(12)),
        (unseen(requests=3.0), counted(0)),
        (unseen(verdict=UNSEEN), counted(0)),
        (unseen(findings=(*unseen().findings, Finding("silence", "alerts are not seen", NOW_US))), counted(0)),
        (unseen(findings=(Finding("band", "p99 left its band", NOW_US),)), counted(0)),
        (unseen(state=WatchState.BAD), counted(0)),
        (unseen(state=WatchState.WATCHING), counted(0)),
    ],
    ids=["no metrics", "old metrics", "requests come", "requests came", "other verdict", "more unseen", "band", "bad", "watching"],
)
def test_what_may_have_another_cause_is_not_called_no_traffic(cockpit: FakeCockpit, found: Watched, latency: Any) -> None:
    show(cockpit, found, latency)
    assert not words.idle(found, latency, NOW_US)
    assert Cells(cockpit).read(*PLACE).watch_words == str(found.state)  # type: ignore[arg-type]


def test_no_traffic_is_said_with_why_and_never_as_fine(cockpit: FakeCockpit) -> None:
    show(cockpit, unseen(), counted(0))
    cell = Cells(cockpit).read(*PLACE)  # type: ignore[arg-type]
    assert (cell.watch, cell.watch_words, cell.watch_loud) == ("cannot tell", "no traffic", False)
    assert "watch: cannot tell, no traffic, nobody sends requests in production: how 1.7.0 does there nobody can tell" in cell.sentence
    assert cell.p99 == "", "where no request was there is no p99"


def test_a_watch_that_ended_without_traffic_is_no_fine_one(cockpit: FakeCockpit) -> None:
    show(cockpit, unseen(ended_us=NOW_US - MIN), counted(0))
    cell = Cells(cockpit).read(*PLACE)  # type: ignore[arg-type]
    assert (cell.watch, cell.watch_words) == ("cannot tell", "no traffic")


def test_card_page_line_and_strip_say_it_in_the_same_words(qtbot: Any, cockpit: FakeCockpit) -> None:
    show(cockpit, unseen(), counted(0))
    card, page, latency = RollbackCard(cockpit), WatchView(cockpit), LatencyView(cockpit)  # type: ignore[arg-type]
    strip = WatchStrip(cockpit)
    for made in (card, page, latency, strip):
        qtbot.addWidget(made)
        made.resize(668, 600)
    for made in (card, page, latency):
        made.show_place(*PLACE)
        made.show()
    why = "nobody sends requests in production"
    assert (card.watch_slot.state.word, card.watch_slot.state.text) == ("cannot tell", "1.7.0: no traffic")
    assert card.watch_slot.words.words.startswith(why)
    assert UNHEARD not in card.watch_slot.words.words
    assert (page.head.word, page.head.text) == ("cannot tell", "1.7.0: no traffic")
    assert page.sentence.as_text.startswith(why)
    assert page.heading.whole == "What keeps anybody from telling"
    assert page.age.whole == "", "it was looked: not looked yet would be wrong"
    assert latency.watch_line.as_text.startswith(f"cannot tell  1.7.0: no traffic: {why}")
    assert strip.idle.whole.startswith(f"order-gateway in production: 1.7.0: no traffic: {why}")


@pytest.mark.parametrize("version", ["1.7.0", "1.7.0-rc.12", "2026.11.23-release-candidate.12+build.4711"])
@pytest.mark.parametrize("state", ["cannot tell", "ended early"])
def test_the_state_is_whole_on_the_smallest_card_whatever_the_version(qtbot: Any, cockpit: FakeCockpit, version: str, state: str) -> None:
    put(cockpit, watched(version=version, state=WatchState(state), looked_us=NOW_US - 12 * S))
    card = RollbackCard(cockpit)
    qtbot.addWidget(card)
    card.resize(284, 688)
    card.show_place(*PLACE)
    card.show()
    label = card.watch_slot.state
    room = label.width() - 22
    shown = label.shown(room)
    assert shown.endswith(f": {state}")
    assert shown.startswith(version[:4]), "never the first letters"
    assert label.fontMetrics().horizontalAdvance(shown) <= room
    assert len(version) > 5 or shown == f"{version}: {state}"


def test_a_broken_rule_has_its_own_figures_and_no_row_denies_them(qtbot: Any, cockpit: FakeCockpit) -> None:
    page = WatchView(cockpit)  # type: ignore[arg-type]
    qtbot.addWidget(page)
    put(cockpit, watched(state=WatchState.BAD, verdict=BROKEN, findings=(Finding("rule", RULE, NOW_US - 5 * S),)))
    page.show_place(*PLACE)
    page.show()
    assert "11.6 x the baseline's" in page.sentence.as_text
    assert page.ratio.isHidden()
    assert page.interval.isHidden()
    put(cockpit, watched(verdict=replace(UNSEEN, sentence="p99 was 3.1 x the baseline's for 2 min; cannot tell yet")))
    page.read()
    assert page.ratio.isHidden(), "what the sentence names is not denied"
    put(cockpit, watched())
    page.read()
    assert "No ratio to the baseline is known yet" in page.ratio.as_text
    assert not page.ratio.isHidden()
    assert not page.interval.isHidden()


def test_more_requests_than_wanted_are_no_share() -> None:
    assert words.load_share(watched(requests=3399.0)) == (1.0, "3,399 requests, 2,000 wanted")
    assert words.load_share(watched(requests=1999.0))[1] == "1,999 of 2,000 requests"


@pytest.mark.parametrize(
    ("state", "word", "end"),
    [
        (ActionState.FOLLOWING, "info", " began"),
        (ActionState.DONE, "ok", ": done and verified"),
        (ActionState.FAILED, "failed", ": failed"),
        (ActionState.UNKNOWN, "info", " began"),
    ],
)
def test_the_note_of_a_rollback_says_how_it_ended(qtbot: Any, cockpit: FakeCockpit, state: ActionState, word: str, end: str) -> None:
    strip = WatchStrip(cockpit, clock_s=Seconds())
    qtbot.addWidget(strip)
    strip.show()
    put(cockpit, counting(1.0))
    strip.refresh()
    put(cockpit, watched(kind="rollback", version="1.6.0"))
    strip.refresh()
    action = Action("k1", "rollback", *PLACE, "1.7.0", "cd" * 32, "1.6.0", "ab" * 32, "You", state, NOW_US)
    old = replace(action, key="k0", state=ActionState.DONE, intended_at_us=NOW_US - 9 * MIN)
    cockpit.store.apply(actions={"k0": old, "k1": action})
    strip.tick()
    assert (strip.note.word, strip.note.text) == (word, f"Automatic rollback of order-gateway in production{end}")
