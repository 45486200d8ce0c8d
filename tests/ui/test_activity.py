"""The journal on screen: what fails first, then filter, export and verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog

from cockpit.domain.errors import StorageError
from tests.fakes.cockpit import FakeCockpit, Verification
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
