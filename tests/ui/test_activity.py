"""The journal on screen: what fails first, then filter, export and verification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog

from cockpit.domain.errors import StorageError
from cockpit.services.runtime import Outcome
from tests.fakes.cockpit import FakeCockpit, Verification, outcome_of
from ui.views.activity import ActivityView
from ui.views.notices import NoticesView

# the offscreen platform has no window manager to give a least size to
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def cockpit() -> FakeCockpit:
    return FakeCockpit()


@pytest.fixture
def view(qtbot: Any, cockpit: FakeCockpit) -> ActivityView:
    made = ActivityView(cockpit)
    qtbot.addWidget(made)
    made.show()
    return made


def test_a_journal_that_cannot_be_read_says_so(view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise StorageError("the disk is gone", hint="Look at the disk.")

    monkeypatch.setattr(cockpit.actions, "activity", broken)
    view.refresh()
    assert "the disk is gone Look at the disk." in view.say.as_text
    assert view.table.rows_model.rowCount() == 6


def test_an_export_that_cannot_be_written_says_so(view: ActivityView, tmp_path: Path) -> None:
    view.export(str(tmp_path / "no" / "such" / "place.csv"))
    assert "Choose another place" in view.say.as_text


def test_a_changed_journal_is_loud(view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cockpit.actions, "verify_journal", lambda: Verification(False, 6, ("entry 3 was changed",)))
    QTest.mouseClick(view.verify_button, LEFT)
    assert view.say.as_text == "failed  The journal was changed: entry 3 was changed"


def test_verify_says_that_it_is_whole(view: ActivityView) -> None:
    QTest.mouseClick(view.verify_button, LEFT)
    assert "The journal is whole: 6 entries" in view.say.as_text


def test_the_newest_first_and_filters(view: ActivityView, qtbot: Any) -> None:
    assert [e.seq for e in view.table.rows_model.rows] == [5, 4, 3, 2, 1, 0]
    view.kind.setCurrentIndex(2)
    assert {e.kind for e in view.table.rows_model.rows} == {"outcome"}
    view.kind.setCurrentIndex(0)
    QTest.keyClicks(view.filter, "rollback")
    qtbot.waitUntil(lambda: view.table.rows_model.rowCount() == 2)


@pytest.mark.parametrize(("name", "form"), [("j.csv", "csv"), ("j.json", "json"), ("j.JSON", "json")])
def test_export_writes_what_is_shown(view: ActivityView, tmp_path: Path, name: str, form: str) -> None:
    view.export(str(tmp_path / name))
    assert (tmp_path / name).read_text(encoding="utf-8") == f"{form} of 6 entries"
    assert "6 entries written" in view.say.as_text


def test_the_dialog_is_not_native_and_goes(view: ActivityView, qtbot: Any, tmp_path: Path) -> None:
    QTest.mouseClick(view.csv_button, LEFT)
    (dialog,) = view.findChildren(QFileDialog)
    assert dialog.testOption(QFileDialog.Option.DontUseNativeDialog)
    with qtbot.waitSignal(dialog.destroyed):
        dialog.close()


def test_notices_lead_to_their_place(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.tell_some()
    notices = NoticesView(cockpit)
    qtbot.addWidget(notices)
    notices.show()
    assert notices.count.whole == "3 notices, 0 over"
    assert "Latency left its band" in notices.detail.as_text
    qtbot.waitUntil(lambda: notices.detail.rows[0].height() > 0)
    with qtbot.waitSignal(notices.went) as heard:
        QTest.mouseClick(notices.detail.rows[0], LEFT)
    assert heard.args == ["latency"]
    with qtbot.waitSignal(notices.closed):
        QTest.mouseClick(notices.close_button, LEFT)


class Held:
    """The journal as the runner reads it: answers come when the test says so."""

    def __init__(self, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.waiting: list[Callable[[], None]] = []
        self.actions = cockpit.actions
        monkeypatch.setattr(cockpit.actions, "load_activity", self.load)

    def load(self, text: str, kinds: tuple[str, ...], limit: int, done: Callable[[Outcome[Any]], None]) -> None:
        self.asked.append((text, kinds))
        self.waiting.append(lambda: done(outcome_of(lambda: self.actions.activity(text, kinds, limit))))

    def answer(self) -> None:
        self.waiting.pop(0)()


def test_a_long_search_holds_nothing_up_and_says_that_it_reads(
    view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(cockpit, monkeypatch)
    view.kind.setCurrentIndex(2)
    assert view.count.whole == "reading…"
    assert view.table.rows_model.rowCount() == 6, "what was shown stays until the answer is there"
    held.answer()
    assert {e.kind for e in view.table.rows_model.rows} == {"outcome"}
    assert view.count.whole == "2 entries"


def test_an_answer_to_an_older_filter_is_dropped_and_the_newest_is_asked_alone(
    view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(cockpit, monkeypatch)
    view.kind.setCurrentIndex(1)
    view.kind.setCurrentIndex(2)
    view.kind.setCurrentIndex(3)
    assert held.asked == [("", ("intent",))], "one at a time"
    held.answer()
    assert view.table.rows_model.rowCount() == 6, "the answer for intents is late"
    assert held.asked[1:] == [("", ("note",))]
    held.answer()
    assert {e.kind for e in view.table.rows_model.rows} == {"note"}
    assert held.waiting == []


def test_what_happens_while_it_reads_is_read_too(view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(cockpit, monkeypatch)
    view.refresh()
    assert view.count.whole == "6 entries", "asking the same again is nothing to tell"
    held.answer()
    view.refresh()
    cockpit.actions.entries.append(replace(cockpit.actions.entries[-1], seq=6))
    view.refresh()
    held.answer()
    held.answer()
    assert view.table.rows_model.rowCount() == 7
    assert held.waiting == []


def test_letters_typed_while_it_reads_wait_for_the_pause(
    view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    held = Held(cockpit, monkeypatch)
    view.refresh()
    QTest.keyClicks(view.filter, "roll")
    held.answer()
    assert held.asked == [("", ())]
    qtbot.waitUntil(lambda: len(held.asked) == 2)
    assert held.asked[1] == ("roll", ())
    held.answer()
    assert view.table.rows_model.rowCount() == 2


def test_after_a_failure_the_same_question_can_be_answered(
    view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise StorageError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(cockpit.actions, "activity", broken)
        view.refresh()
        assert view.count.whole == "not read"
    view.refresh()
    assert view.count.whole == "6 entries"


def test_a_check_under_way_says_so_and_is_not_begun_twice(
    view: ActivityView, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Callable[[Outcome[Any]], None]] = []
    monkeypatch.setattr(cockpit.actions, "check_journal", waiting.append)
    QTest.mouseClick(view.verify_button, LEFT)
    QTest.mouseClick(view.verify_button, LEFT)
    assert "being checked" in view.say.as_text
    [done] = waiting
    done(Outcome(error=StorageError("the disk is gone")))
    assert "the disk is gone" in view.say.as_text
    assert view.verify_button.isEnabled()
