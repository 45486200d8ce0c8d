"""The watch whole: its figures and the drawn interval, its findings, what the overview and the card say of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from cockpit.domain.errors import StorageError
from cockpit.domain.facts import Fact
from cockpit.domain.policy import Rules
from cockpit.domain.rollout import Action, ActionState
from cockpit.domain.watching import Finding, WatchRule, WatchState
from tests.fakes.believable import HOUR, MIN, NOW_US, S
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.watches import GOOD, SLOW, WHY, bad, counting, put, watched
from tests.fakes.watching import alerts
from ui.models.watch import automatic_row, finding_row
from ui.theme import apply
from ui.views.overview import OverviewView
from ui.views.overview_cells import Cells
from ui.views.watch import WatchView
from ui.widgets.arming import Phase
from ui.widgets.rollback_card import RollbackCard
from ui.widgets.watch_interval import IntervalBar

AT = "order-gateway@production"
PLACE = ("order-gateway", "production")


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    apply(qapp, "dark")
    return FakeCockpit()


@pytest.fixture
def view(qtbot: Any, cockpit: FakeCockpit) -> WatchView:
    made = WatchView(cockpit)  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.resize(668, 600)
    made.show_place(*PLACE)
    made.show()
    return made


def cell(cockpit: FakeCockpit, service: str = "order-gateway", environment: str = "production") -> Any:
    return Cells(cockpit).read(service, environment)  # type: ignore[arg-type]


# ---- the page


def test_without_a_watch_it_says_what_would_begin_one(view: WatchView) -> None:
    assert view.head.text == "no watch"
    assert "begins with each deployment" in view.sentence.as_text
    assert view.interval.isHidden()
    assert view.findings.isHidden()
    view.grab()


def test_a_watch_that_never_looked_says_so(view: WatchView, cockpit: FakeCockpit) -> None:
    put(cockpit, watched(verdict=None, looked_us=0, started_us=NOW_US - S))
    view.read()
    assert view.age.whole == "not looked yet"
    assert view.sentence.as_text == "nothing was judged yet"
    assert view.heading.whole == "Nothing was looked at yet"
    assert math.isnan(view.interval.ratio)
    view.grab()


def test_what_is_stale_is_grey_and_does_not_speak_of_now(view: WatchView, cockpit: FakeCockpit) -> None:
    put(cockpit, watched(state=WatchState.FINE, verdict=GOOD, looked_us=NOW_US - 99 * S))
    view.read()
    assert (view.head.word, view.age.whole) == ("stale", "looked 1 min ago")
    assert view.sentence.as_text.startswith("Last seen: at most 1.08 x")
    assert "Nobody looked" in view.automatic.as_text


def test_the_sentence_stands_whole(qtbot: Any, view: WatchView, cockpit: FakeCockpit) -> None:
    long = "; ".join(f"p99 of operation_number_{n} is 2.4 x baseline, 95 % interval 1.9 to 3.1" for n in range(6))
    put(cockpit, bad(verdict=replace(SLOW, sentence=long)))
    view.read()
    qtbot.waitUntil(lambda: view.sentence.height() >= view.sentence.heightForWidth(view.sentence.width()) > 60)
    assert view.sentence.as_text == long


def test_figures_power_progress_findings_and_what_follows(view: WatchView, cockpit: FakeCockpit) -> None:
    put(cockpit, bad(why_not="the target is held"))
    view.read()
    assert (view.head.word, view.head.text) == ("bad", "1.7.0: bad")
    assert "2.40 x the baseline, 95 % interval 1.90 to 3.10; the policy tolerates 1.25 x" in view.ratio.as_text
    assert view.interval.accessibleName() == view.ratio.as_text
    assert (view.time_words.whole, view.load_words.whole) == ("4 of 15 min", "1,640 of 2,000 requests")
    assert (view.time.value(), view.load.value()) == (267, 820)
    assert view.automatic.as_text == "held  No automatic rollback: the target is held"
    assert [row.place for row in view.findings.rows if not row.isHidden()] == ["latency", "alerts", "nodes"]
    assert view.power.isHidden()
    put(cockpit, watched())
    view.read()
    assert "+25 % can be seen in about 4 min" in view.power.as_text
    assert not [row for row in view.findings.rows if not row.isHidden()]


def test_what_has_passed_stays_below_with_how_long_it_lasted(view: WatchView, cockpit: FakeCockpit) -> None:
    gone = Finding("rule", "node production-2 is gone", NOW_US - 5 * MIN, NOW_US - 4 * MIN)
    put(cockpit, bad(passed=(gone,)))
    view.read()
    assert view.heading.whole == "What speaks against it"
    assert finding_row(gone, NOW_US)[:3] == ("pending", "Passed after 1 min: node production-2 is gone", "4 min")
    put(cockpit, watched(passed=(gone,)))
    view.read()
    assert view.heading.whole == "Nothing speaks against it any more"


def test_what_is_not_seen_is_said_before_what_the_judge_says(view: WatchView, cockpit: FakeCockpit) -> None:
    unseen = Finding("silence", "alerts are not seen: Alertmanager was last heard at 12:04 UTC", NOW_US - MIN)
    put(cockpit, watched(state=WatchState.BLIND, verdict=GOOD, findings=(unseen,)))
    view.read()
    assert view.sentence.as_text.endswith(unseen.text)


def test_a_rollback_says_that_it_is_never_rolled_back(view: WatchView, cockpit: FakeCockpit) -> None:
    back = watched(kind="rollback", version="1.6.0", from_version="1.7.0")
    put(cockpit, back)
    view.read()
    assert view.what.whole.startswith("rollback to 1.6.0, from 1.7.0")
    assert automatic_row(back, NOW_US) == ("pending", "No automatic rollback: a rollback is never rolled back")
    both = automatic_row(watched(rollback_on=("verdict", "alerts")), NOW_US)
    assert both[1].startswith("On a bad verdict or a critical alert it is rolled back automatically")


def test_the_limit_is_the_policys(view: WatchView, cockpit: FakeCockpit) -> None:
    cockpit.rules = Rules(watches={"production": WatchRule(limit=1.1)})
    put(cockpit, bad())
    view.read()
    assert view.interval.limit == 1.1
    assert "tolerates 1.10 x" in view.ratio.as_text


def test_a_finding_leads_to_its_place(qtbot: Any, view: WatchView, cockpit: FakeCockpit) -> None:
    put(cockpit, bad())
    view.read()
    with qtbot.waitSignal(view.went) as heard:
        view.findings.rows[1].click()
    assert heard.args == ["alerts"]


# ---- the interval


def bar_of(qtbot: Any, *figures: float, limit: float = 1.25, bad: bool = False) -> IntervalBar:
    made = IntervalBar()
    qtbot.addWidget(made)
    made.resize(600, made.height())
    made.show_ratio(*figures, limit, bad=bad, words="words")
    return made


@pytest.mark.parametrize(
    "figures",
    [(math.nan,) * 4, (2.0, math.nan, math.nan, math.inf), (1e9, 0.0, math.inf, math.nan), (0.0, 0.0, 0.0, 0.0), (-1.0, -2.0, 5.0, 1.0)],
)
def test_figures_that_are_none_are_not_drawn_as_some(qtbot: Any, figures: tuple[float, ...]) -> None:
    made = bar_of(qtbot, *figures)
    made.grab()
    assert 0 <= made.at(1.0) <= 600


def test_the_scale_is_logarithmic_with_1_in_its_middle(qtbot: Any) -> None:
    made = bar_of(qtbot, 2.4, 1.9, 3.1, math.nan, bad=True)
    assert made.span == 4.0
    assert made.at(1.0) == pytest.approx(300)
    assert made.at(2.0) - made.at(1.0) == pytest.approx(made.at(1.0) - made.at(0.5))
    assert made.at(1000.0) == made.at(4.0), "what is beyond stands at the end"
    assert bar_of(qtbot, 1.02, 0.97, 1.08, math.nan).span == 2.0
    assert bar_of(qtbot, 1.02, 0.97, 1.08, math.nan, limit=3.0).span == 4.0, "the limit is always in sight"


@pytest.mark.parametrize("name", ["dark", "light", "contrast"])
def test_the_interval_is_drawn_in_the_colour_of_its_meaning(qtbot: Any, qapp: QApplication, name: str) -> None:
    theme = apply(qapp, name)
    for bad_, figures, colour in (
        (True, (2.4, 1.9, 3.1), theme.bad),
        (False, (1.02, 0.97, 1.08), theme.ok),
        (False, (1.2, 0.9, 1.5), theme.running),
    ):
        made = bar_of(qtbot, *figures, math.nan, bad=bad_)
        picture = made.grab().toImage()
        ratio = picture.devicePixelRatio()
        x, y = (made.at(figures[0]) + made.at(figures[2])) / 2 + 3, 11
        assert picture.pixelColor(int(x * ratio), int(y * ratio)).name() == colour.name()
    apply(qapp, "dark")


# ---- the overview


def test_no_alerting_system_and_no_watch_say_nothing(cockpit: FakeCockpit) -> None:
    found = cell(cockpit)
    assert (found.watch, found.alerts, found.alerts_late) == ("", 0, False)
    assert "alert" not in found.sentence
    assert "watch" not in found.sentence


def test_alerts_of_an_old_answer_are_not_known(cockpit: FakeCockpit) -> None:
    cockpit.store.apply(alerts={"am": Fact((), NOW_US - HOUR, "am", 30.0)})
    assert cell(cockpit).alerts_late
    assert "what alerts fire now is not known" in cell(cockpit).sentence


def test_alerts_are_counted_by_place(cockpit: FakeCockpit) -> None:
    cockpit.store.apply(alerts={"am": Fact(alerts(), NOW_US, "am", 30.0)})
    assert (cell(cockpit).alerts, cell(cockpit).critical) == (2, 1), "the silenced one and the one of no place do not count"
    assert "2 alerts firing, 1 critical" in cell(cockpit).sentence
    assert cell(cockpit, "market-data").alerts == 1
    assert cell(cockpit, "risk-engine").alerts == 0
    wide = tuple(replace(a, id=f"w{n}", service="", environment="production") for n, a in enumerate(alerts()[:1]))
    cockpit.store.apply(alerts={"am": Fact((*alerts(), *wide), NOW_US, "am", 30.0)})
    assert cell(cockpit).alerts == 3
    assert cell(cockpit, "risk-engine").alerts == 1, "one that names only the environment speaks of all of it"
    assert cell(cockpit, "risk-engine", "staging").alerts == 0


def test_alerts_are_sorted_once_for_all_cells(cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    cockpit.store.apply(alerts={"am": Fact(alerts(), NOW_US, "am", 30.0)})
    cells = Cells(cockpit)  # type: ignore[arg-type]
    assert cells.read(*PLACE).alerts == 2
    before = cells._firing[1]
    cells.read("market-data", "production")
    assert cells._firing[1] is before


@pytest.mark.parametrize("name", ["dark", "light", "contrast"])
def test_a_bad_watch_is_loud_in_its_cell(qtbot: Any, qapp: QApplication, cockpit: FakeCockpit, name: str) -> None:
    theme = apply(qapp, name)
    cockpit.store.apply(alerts={"am": Fact(alerts(), NOW_US, "am", 30.0)})
    made = OverviewView(cockpit)  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.resize(312, 600)
    made.show()

    def filled() -> int:
        picture = made.matrix.viewport().grab(made.matrix.visualRect(made.matrix.cells.index(1, 1))).toImage()
        colours = [picture.pixelColor(x, y).name() for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)]
        return colours.count(theme.bad.name())

    quiet = filled()
    for found in (watched(), watched(state=WatchState.BLIND), watched(state=WatchState.FINE)):
        put(cockpit, found)
        made.read()
        assert filled() <= quiet + 8
    for loud in (bad(), counting()):
        put(cockpit, loud)
        made.read()
        assert filled() > quiet + 100
    assert "watch: bad, back in 23 s" in cell(cockpit).sentence
    apply(qapp, "dark")


def test_a_countdown_in_a_cell_counts(qtbot: Any, cockpit: FakeCockpit) -> None:
    put(cockpit, counting())
    assert cell(cockpit).watch_words == "back in 23 s"
    cockpit.now_us += 3 * S
    assert cell(cockpit).watch_words == "back in 20 s"


# ---- the card, after a rollback that nobody clicked


def rolled_back(cockpit: FakeCockpit, **fields: Any) -> Action:
    made = Action(
        "auto1", "rollback", *PLACE, "1.7.0", "aa" * 32, "1.6.0", "bb" * 32, "you@playground.invalid", ActionState.DONE,
        NOW_US - 2 * MIN, NOW_US - 2 * MIN, NOW_US - MIN,
    )  # fmt: skip
    action = replace(made, **fields)
    cockpit.store.merge("actions", {action.key: action})
    return action


def write(cockpit: FakeCockpit, reason: str) -> None:
    intent = replace(cockpit.actions.entries[0], key="auto1", kind="intent", action="rollback", detail={"reason": reason})
    cockpit.actions.entries.append(intent)


def card_of(qtbot: Any, cockpit: FakeCockpit) -> RollbackCard:
    made = RollbackCard(cockpit)
    qtbot.addWidget(made)
    made.resize(284, 688)
    made.show_place(*PLACE)
    made.show()
    return made


def test_a_rollback_of_a_person_is_not_called_automatic(qtbot: Any, cockpit: FakeCockpit) -> None:
    write(cockpit, "p99 doubled; it was not automatic: I did it")
    rolled_back(cockpit, state=ActionState.FOLLOWING)
    card = card_of(qtbot, cockpit)
    assert card.progress_page.what.whole == "ROLLING BACK"
    assert "utomatic" not in card.progress_page.rows.as_text


def test_a_journal_that_cannot_be_read_takes_nothing_away(qtbot: Any, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(key: str) -> Any:
        raise StorageError("The journal cannot be read", hint="Look at the disk.")

    monkeypatch.setattr(cockpit.actions, "entries_of", broken)
    rolled_back(cockpit, state=ActionState.FOLLOWING)
    assert card_of(qtbot, cockpit).progress_page.what.whole == "ROLLING BACK"


@pytest.mark.parametrize("state", [ActionState.FOLLOWING, ActionState.DONE])
def test_it_says_that_it_was_automatic_and_why(qtbot: Any, cockpit: FakeCockpit, state: ActionState) -> None:
    write(cockpit, f"automatic: {WHY}")
    rolled_back(cockpit, state=state)
    card = card_of(qtbot, cockpit)
    assert card.progress_page.what.whole.endswith("BACK AUTOMATICALLY")
    assert f"Automatic, no person clicked it: {WHY}" in card.progress_page.rows.as_text
    assert f"no person clicked it: {WHY}" in card.as_text()


def test_its_proof_is_shown_once_though_nobody_saw_it_begin(qtbot: Any, cockpit: FakeCockpit) -> None:
    write(cockpit, f"automatic: {WHY}")
    rolled_back(cockpit)
    card = card_of(qtbot, cockpit)
    assert card.machine.phase is Phase.PROOF
    card.done_button.click()
    card.tick()
    assert card.machine.phase is Phase.IDLE
    old = FakeCockpit()
    write(old, f"automatic: {WHY}")
    rolled_back(old, ended_at_us=NOW_US - 2 * HOUR)
    assert card_of(qtbot, old).machine.phase is Phase.IDLE, "of two hours ago it is no news"


def test_the_intent_may_be_written_a_moment_later(qtbot: Any, cockpit: FakeCockpit) -> None:
    rolled_back(cockpit, state=ActionState.FOLLOWING)
    card = card_of(qtbot, cockpit)
    write(cockpit, f"automatic: {WHY}")
    card.tick()
    assert card.progress_page.what.whole == "ROLLING BACK AUTOMATICALLY"


# ---- the latency view


def test_the_latency_view_has_it_in_one_line(qtbot: Any, cockpit: FakeCockpit) -> None:
    from ui.views.latency import LatencyView

    put(cockpit, bad())
    made = LatencyView(cockpit)  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.resize(668, 600)
    made.show_place(*PLACE)
    made.show()
    line = made.watch_line
    assert line.as_text == f"bad  1.7.0: bad: {WHY}"
    # as wide as at 1280: it is not cut
    qtbot.waitUntil(lambda: 24 + line.fontMetrics().horizontalAdvance(f"1.7.0: bad: {WHY}") < line.width() <= 636)
    with qtbot.waitSignal(made.went) as heard:
        line.click()
    assert heard.args == ["watch"]
    made.show_place("risk-engine", "staging")
    assert line.isHidden()
    assert Qt.CursorShape.PointingHandCursor == line.cursor().shape()
