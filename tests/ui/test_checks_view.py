"""The checks view: the right run first, failures with their own words, what is left, and refusals that say why."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QComboBox, QPushButton

from cockpit.domain.checks import CheckState
from cockpit.domain.facts import Fact
from cockpit.services.runtime import Outcome
from cockpit.services.store import AppState, Change
from tests.fakes.believable import NOW_US, S, past_run, version
from tests.fakes.cockpit import FakeCockpit
from ui import theme
from ui.views.check_runs import duration_bars, past_s, runs_of, test_rows, whole_remaining
from ui.views.checks import ChecksView

SERVICE = "order-gateway"
CHECKS = Change(frozenset({"checks"}))


@pytest.fixture
def cockpit(qapp: QApplication) -> FakeCockpit:
    theme.apply(qapp, "dark")
    return FakeCockpit()


@pytest.fixture
def view(qtbot, cockpit: FakeCockpit) -> ChecksView:
    found = ChecksView(cockpit)
    qtbot.addWidget(found)
    found.resize(648, 620)
    found.show_place(SERVICE, "production")
    found.show()
    qtbot.waitExposed(found)
    return found


def outcomes(view: ChecksView) -> list[str]:
    """The outcomes in the order shown."""
    return [r.test.outcome for r in view.tests.rows_model.rows]


def test_the_newest_pending_version_comes_first_with_failures_on_top(view: ChecksView) -> None:
    assert view.run is not None
    assert view.run.version == "1.8.0"
    assert view.heading.word == "running"
    assert outcomes(view)[:4] == ["failed", "failed", "running", "running"]
    assert "2 failed" in view.counts.whole
    assert view.left.whole.startswith("about ")
    assert 0 < view.progress.value() < 1000


def test_the_failing_tests_own_words_stand_there_unasked_and_plain(view: ChecksView) -> None:
    assert "isinstance(101.25, str)" in view.message.toPlainText()
    assert "test_contract_0 failed" in view.message_title.whole
    assert view.message.isReadOnly()
    view.tests.select(("integration", "test_integration::test_case_00_of_many"))
    assert "left no message" in view.message_title.whole
    assert view.message.toPlainText() == ""


def test_a_log_is_plain_text_and_late_answers_are_dropped(view: ChecksView, cockpit: FakeCockpit, qtbot) -> None:
    waiting = []
    cockpit.actions.load_log = lambda run, suite, done: waiting.append((run, suite, done))
    view.suites.select("unit")
    view.log_button.click()
    view.suites.select("integration")
    view.log_button.click()
    assert [w[:2] for w in waiting] == [("run-005", "unit"), ("run-005", "integration")]
    waiting[0][2](Outcome("the log of unit"))
    assert view.message.toPlainText() == ""
    waiting[1][2](Outcome("<b>bold</b>\n\x1b[31mred"))
    assert view.message.toPlainText() == "<b>bold</b>\n␛[31mred"
    view.on_change(CHECKS)
    assert view.message.toPlainText().startswith("<b>"), "a change leaves what is being read"
    view.log_button.click()
    waiting[2][2](Outcome(error=OSError("gone")))
    assert "could not be read" in view.message_title.whole


def test_a_suite_filters_tests_and_history(view: ChecksView) -> None:
    assert view.history.bars[-1].seconds > 100
    view.suites.select("integration")
    assert {r.suite for r in view.tests.rows_model.rows} == {"integration"}
    assert all(bar.seconds < 60 for bar in view.history.bars)
    assert "integration" in view.history_title.whole


def test_an_ended_run_asks_for_its_tests_once(view: ChecksView, cockpit: FakeCockpit) -> None:
    view.show_version("1.6.0")
    assert view.run is not None
    assert view.run.version == "1.6.0"
    asked = [c for c in cockpit.actions.calls if c[0] == "load_run"]
    assert asked == [("load_run", view.run.id)]
    view.on_change(Change(frozenset({"runs"})))
    assert len(outcomes(view)) == 75
    assert view.left.whole.startswith("took ")
    view.on_change(CHECKS)
    assert [c for c in cockpit.actions.calls if c[0] == "load_run"] == asked


def test_a_chosen_run_stays_while_others_come(view: ChecksView, cockpit: FakeCockpit) -> None:
    index = next(i for i in range(view.runs.count()) if "1.5.1" in view.runs.itemText(i))
    view.runs.setCurrentIndex(index)
    view.runs.activated.emit(index)
    assert view.run is not None
    assert view.run.version == "1.5.1"
    fact = cockpit.store.state.checks[SERVICE]
    newer = replace(past_run(version(SERVICE, "1.8.0"), 77), id="run-077", started_at_us=NOW_US)
    cockpit.store.merge("checks", {SERVICE: replace(fact, value=(newer, *fact.value))})
    view.on_change(CHECKS)
    assert view.run.version == "1.5.1"
    assert view.runs.currentText().endswith("UTC")
    assert "1.5.1" in view.runs.currentText()
    view.show_version("1.8.0")
    assert view.run.id == "run-077"


def test_refusals_stand_in_words(view: ChecksView, cockpit: FakeCockpit) -> None:
    cockpit.actions.refuse = "no connection runs tests"
    view.rerun_button.click()
    assert "no connection runs tests" in view.say.as_text
    cockpit.actions.refuse = ""
    view.stop_button.click()
    assert cockpit.actions.calls[-1] == ("stop_checks", "run-005")
    assert "asked to stop" in view.say.as_text
    view.show_version("1.6.0")
    assert view.say.as_text == ""
    view.stop_button.click()
    assert "nothing to stop" in view.say.as_text
    view.rerun_button.click()
    assert cockpit.actions.calls[-1][0] == "rerun_checks"


def test_a_version_without_a_run_says_so(view: ChecksView) -> None:
    view.show_version("9.9.9")
    assert view.run is None
    assert view.heading.text == "No run of 9.9.9 yet"
    assert not view.tests.rows_model.rowCount()
    view.stop_button.click()
    view.rerun_button.click()
    view.log_button.click()
    assert "no suite" in view.say.as_text


def test_no_ci_says_what_would_fill_it(qtbot, qapp: QApplication) -> None:
    found = ChecksView(FakeCockpit(AppState()))
    qtbot.addWidget(found)
    found.show_place(SERVICE, "")
    found.show()
    assert found.heading.text == "No test runs are known"
    # also said where a CI system is connected and has not answered: it must not send anybody to connect it again
    assert "Sources shows what is connected" in found.suites.accessibleDescription()
    assert not found.grab().isNull()


def test_stale_results_say_so(view: ChecksView, cockpit: FakeCockpit) -> None:
    cockpit.now_us += 60 * S
    view.on_change(Change(frozenset({"ages"})))
    assert view.heading.word == "stale"
    assert "1 min old" in view.counts.whole


def test_remaining_time_comes_from_past_durations(cockpit: FakeCockpit) -> None:
    runs = runs_of(cockpit.store.state, SERVICE)
    assert runs[0].state is CheckState.RUNNING
    assert len(past_s(runs, "unit")) == 6
    left, share = whole_remaining(runs[0], runs, NOW_US)
    assert left == pytest.approx(37 - 22 + 66, abs=2)
    assert share is not None
    assert 0.2 < share < 0.5
    assert whole_remaining(runs[0], runs[:1], NOW_US) == (None, None), "without a past nothing is said"
    late = whole_remaining(runs[0], runs, NOW_US + 1000 * S)[0]
    assert late is not None
    assert late >= 0


def test_skipped_errors_and_unknown_outcomes_have_their_place(cockpit: FakeCockpit) -> None:
    run = runs_of(cockpit.store.state, SERVICE)[0]
    suite = run.suites[1]
    odd = replace(suite, tests=(replace(suite.tests[-1], outcome="strange"), *suite.tests))
    rows = test_rows(replace(run, suites=(odd,)), "")
    assert [r.test.outcome for r in rows][:3] == ["failed", "failed", "strange"], "what is not known never hides among the passed"


def test_another_run_is_no_change_of_this_one(view: ChecksView) -> None:
    view.show_version("1.5.1")
    assert not any(view.suites.rows_model.tinted(r, c) for r in range(3) for c in range(6))


def test_bars_show_one_run_a_version(cockpit: FakeCockpit) -> None:
    runs = runs_of(cockpit.store.state, SERVICE)
    bars = duration_bars((replace(runs[1], id="again", started_at_us=NOW_US), *runs), "", runs[2].id)
    assert [b.name for b in bars] == ["1.4.0", "1.5.0", "1.5.1", "1.6.0", "1.7.0"]
    assert [b.current for b in bars] == [False, False, False, True, False]
    assert bars[2].state == "failed"


@pytest.mark.parametrize("name", theme.THEMES)
def test_every_control_has_a_name_and_nothing_is_cut(view: ChecksView, qapp: QApplication, name: str) -> None:
    theme.apply(qapp, name)
    assert view.minimumSizeHint().width() <= 648
    assert view.minimumSizeHint().height() <= 620
    for control in (*view.findChildren(QPushButton), *view.findChildren(QComboBox), view.suites, view.tests, view.message, view.progress):
        assert control.accessibleName(), control
        assert control.focusPolicy() != Qt.FocusPolicy.NoFocus or control is view.progress
    assert view.counts.text() == view.counts.whole
    head = view.suites.horizontalHeader()
    for i, column in enumerate(view.suites.rows_model.columns):
        assert head.sectionSize(i) >= head.fontMetrics().horizontalAdvance(column.title) + 8, column.title
    assert view.message_height >= 4
    metrics = view.suites.fontMetrics()
    for name in ("1.8.0", "1.5.1", "1.6.0"):
        view.show_version(name)
        assert view.runs.fontMetrics().horizontalAdvance(view.runs.currentText()) <= view.runs.width() - 40, view.runs.currentText()
        for row in view.suites.rows_model.rows:
            for i, column in enumerate(view.suites.rows_model.columns):
                mark = 16 if column.state and column.state(row) else 0
                assert metrics.horizontalAdvance(column.text(row)) + mark + 16 <= head.sectionSize(i), (column.title, column.text(row))


def test_hostile_runs_are_shown(qtbot, cockpit: FakeCockpit, view: ChecksView) -> None:
    fact = cockpit.store.state.checks[SERVICE]
    run = fact.value[0]
    suite = replace(
        run.suites[1], name="<b>s</b>\x1b" + "x" * 500, tests=tuple(replace(t, name="\u202e" * 600) for t in run.suites[1].tests)
    )
    cockpit.store.merge("checks", {SERVICE: Fact((replace(run, suites=(suite,), started_at_us=10**30),), NOW_US, "ci")})
    view.on_change(CHECKS)
    view.suites.select(suite.name)
    assert not view.grab().isNull()
