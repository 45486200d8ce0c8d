"""The notices view: bursts and hostile words first, then groups that fold, who looks at what, and what the bar takes of it."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget

from cockpit.services.notices import Severity
from cockpit.services.store import Change
from tests.fakes.cockpit import AtOnce, FakeCockpit
from ui import theme
from ui.views import looking
from ui.views.notices import NoticesView
from ui.widgets.notice_bar import NoticeBar
from ui.widgets.shapes import elide_mode

PLACE = "order-gateway@production"
EVIL = "<b>x</b>\x1b[31m\u202e\nnext"
NEWS = Change(frozenset(["notices"]))
LEFT = Qt.MouseButton.LeftButton


class Journal:
    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []

    def append(self, *entry: Any) -> None:
        self.entries.append(entry)


@pytest.fixture
def cockpit() -> Any:
    found: Any = FakeCockpit()
    found.runner, found.journal = AtOnce(), Journal()
    found.notices.subscribe(lambda notice: None)
    return found


@pytest.fixture
def view(qtbot: Any, qapp: QApplication, cockpit: Any) -> NoticesView:
    theme.apply(qapp, "dark")
    found = NoticesView(cockpit)
    qtbot.addWidget(found)
    found.resize(660, 600)
    found.show()
    return found


def incident(cockpit: Any) -> None:
    tell = cockpit.notices.tell
    tell(Severity.WARNING, "not silenced", "", key=f"silence:am:{PLACE}", place="alerts")
    tell(Severity.ERROR, "p99 left its band", "60 ms", hint="Shift+R arms it.", key=f"latency:{PLACE}", place="latency")
    cockpit.now_us += 1_000_000
    tell(Severity.INFO, "released", "")


def whats(view: NoticesView) -> list[str]:
    model = view.table.rows_model
    return [model.cell(row, 2).strip() for row in model.rows]


def shown(view: NoticesView, qtbot: Any) -> None:
    view.on_change(NEWS)
    qtbot.waitUntil(lambda: not view._pause.isActive() and not view._again)


def test_a_thousand_at_once_are_a_few_looks(view: NoticesView, cockpit: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    real = view.refresh
    monkeypatch.setattr(view, "refresh", lambda: (looks.append(1), real())[1])
    qtbot.waitUntil(lambda: not view._pause.isActive())
    for n in range(1000):
        cockpit.notices.tell(Severity.ERROR, f"node {n}", EVIL * 100, key=f"node:{PLACE}:{n}")
        view.on_change(NEWS)
    assert len(looks) == 1
    qtbot.waitUntil(lambda: len(looks) == 2)
    qtbot.waitUntil(lambda: not view._pause.isActive())
    assert whats(view) == ["▸ node 999 +499"]
    assert len(looks) == 2


def test_hostile_words_stay_text(view: NoticesView, cockpit: Any, qtbot: Any) -> None:
    for _ in range(3):
        cockpit.now_us += 1_000_000
        cockpit.notices.tell(Severity.ERROR, EVIL, EVIL * 1000 + str(cockpit.now_us), hint=EVIL, key="k")
    shown(view, qtbot)
    assert "<b>x</b>" in view.detail.as_text
    for text in (*whats(view), *(row.as_text for row in view.detail.rows)):
        assert not {"\x1b", "\u202e", "\n"} & set(text)
    assert all("<b>" not in row.toolTip() for row in view.detail.rows)
    assert not view.grab().isNull()


def test_one_incident_is_one_row_and_unfolds(view: NoticesView, cockpit: Any, qtbot: Any) -> None:
    incident(cockpit)
    shown(view, qtbot)
    assert whats(view) == ["▸ p99 left its band +1", "released"]
    assert view.count.whole == "3 notices, 0 over"
    QTest.keyClick(view.table, Qt.Key.Key_Right)
    assert whats(view) == ["▾ p99 left its band +1", "not silenced", "released"]
    assert view.fold_button.text() == "Fold"
    QTest.keyClick(view.table, Qt.Key.Key_Down)
    assert view.table.selected().notice.title == "not silenced"
    QTest.keyClick(view.table, Qt.Key.Key_Left)
    assert whats(view) == ["▸ p99 left its band +1", "released"]
    assert view.table.selected().notice.title == "p99 left its band", "the selection goes to what it was folded into"
    QTest.mouseClick(view.fold_button, LEFT)
    assert len(whats(view)) == 3
    view._activated(view.table.selected())
    assert len(whats(view)) == 2
    view.table.select(view.table.rows_model.key_at(1))
    assert not view.fold_button.isEnabled()


def test_a_filter_finds_what_is_folded(view: NoticesView, cockpit: Any, qtbot: Any) -> None:
    incident(cockpit)
    shown(view, qtbot)
    view.set_filter("silenced")
    qtbot.waitUntil(lambda: whats(view) == ["not silenced"])
    view.set_filter("")
    qtbot.waitUntil(lambda: whats(view) == ["▸ p99 left its band +1", "released"])


def test_the_detail_says_how_it_came_to_that(view: NoticesView, cockpit: Any, qtbot: Any) -> None:
    cockpit.notices.tell(Severity.WARNING, "p99 rises", "9 ms", key=f"latency:{PLACE}")
    cockpit.now_us += 60_000_000
    cockpit.notices.tell(Severity.ERROR, "p99 left its band", "60 ms", key=f"latency:{PLACE}")
    shown(view, qtbot)
    text = view.detail.as_text
    assert "Told 2 times, first 09:41:07 UTC, last 09:42:07 UTC" in text
    assert "09:41:07 UTC  warning: p99 rises: 9 ms" in text


@pytest.mark.parametrize("how", ["button", "key"])
def test_one_click_says_who_looks_at_all_of_it(view: NoticesView, cockpit: Any, qtbot: Any, how: str) -> None:
    incident(cockpit)
    shown(view, qtbot)
    assert view.look_button.isEnabled()
    if how == "button":
        QTest.mouseClick(view.look_button, LEFT)
    else:
        view.activateWindow()
        view.table.setFocus()
        qtbot.waitUntil(view.table.hasFocus)
        QTest.keyClick(view.table, Qt.Key.Key_L)
    assert {n.looker for n in cockpit.notices.history if n.stands} == {"You <you@playground.invalid>"}
    assert "Seen by You, since 09:41:08 UTC" in view.detail.as_text
    assert view.table.rows_model.cell(view.table.rows_model.rows[0], 1) == "error, seen"
    assert not view.look_button.isEnabled()
    [(kind, _, action, who, service, environment, _)] = cockpit.journal.entries
    assert (kind, action, who) == ("note", "acknowledge notice", "You <you@playground.invalid>")
    assert (service, environment) == ("order-gateway", "production")
    cockpit.notices.tell(Severity.ERROR, "p99 left its band", "70 ms", key=f"latency:{PLACE}", kinds=("verdict",))
    shown(view, qtbot)
    assert view.look_button.isEnabled(), "it got worse"


def test_a_narrow_view_has_one_whole_column_and_a_wide_one_the_message(view: NoticesView, qtbot: Any) -> None:
    assert view.table.isColumnHidden(3)
    view.resize(1300, 600)
    qtbot.waitUntil(lambda: not view.table.isColumnHidden(3))


def test_nothing_runs_while_it_is_hidden(view: NoticesView, cockpit: Any, qtbot: Any) -> None:
    view.hide()
    view.on_change(NEWS)
    assert not view._pause.isActive()
    cockpit.notices.tell(Severity.INFO, "unseen", "")
    view.show()
    assert whats(view) == ["unseen"]


# ---- the bar


@pytest.fixture
def notice_bar(qtbot: Any, qapp: QApplication, cockpit: Any) -> NoticeBar:
    theme.apply(qapp, "light")
    found = looking.notice_bar(cockpit)
    qtbot.addWidget(found)
    found.resize(1280, 32)
    found.show()
    cockpit.notices.subscribe(lambda notice: found.show_notice(cockpit.notices.newest))
    return found


def test_the_bar_shows_the_worst_and_counts_the_others(notice_bar: NoticeBar, cockpit: Any) -> None:
    incident(cockpit)
    assert notice_bar.text.startswith("error: p99 left its band +1 · 60 ms")
    assert "warning: not silenced" in notice_bar.toolTip()
    cockpit.notices.over(f"silence:am:{PLACE}")
    assert notice_bar.text.startswith("error: p99 left its band · 60 ms")
    assert notice_bar.look_button.isVisible()
    assert notice_bar.look_button.height() <= notice_bar.height()


@pytest.mark.parametrize("how", ["button", "key"])
def test_the_bar_stops_shouting_once_somebody_looks(notice_bar: NoticeBar, cockpit: Any, how: str) -> None:
    incident(cockpit)
    heard: list[int] = []
    notice_bar.history_wanted.connect(lambda: heard.append(1))
    if how == "button":
        QTest.mouseClick(notice_bar.look_button, LEFT)
    else:
        QTest.keyClick(notice_bar, Qt.Key.Key_L)
    assert heard == []
    assert not notice_bar.look_button.isVisible()
    assert notice_bar.text.endswith("· seen by You")
    assert "error" in notice_bar.text, "it stays until it is over"
    image = notice_bar.grab().toImage()
    words = {image.pixelColor(x, y).name() for x in range(32, 200) for y in range(image.height())}
    assert theme.theme_of(notice_bar).bad.name() not in words
    cockpit.notices.tell(Severity.WARNING, "CI is down", "", key="source:ci")
    assert notice_bar.text.startswith("warning: CI is down")
    cockpit.notices.tell(Severity.ERROR, "Alert", "", key=f"alerts:{PLACE}")
    assert notice_bar.text.startswith("error: Alert +2")
    assert notice_bar.look_button.isVisible()


def test_the_focus_stays_in_the_bar_when_its_button_goes(qtbot: Any, cockpit: Any) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    danger = QPushButton("Roll back")
    bar = looking.notice_bar(cockpit, window)
    column.addWidget(bar)
    column.addWidget(danger)
    cockpit.notices.subscribe(lambda notice: bar.show_notice(cockpit.notices.newest))
    window.show()
    window.activateWindow()
    incident(cockpit)
    bar.look_button.setFocus()
    qtbot.waitUntil(bar.look_button.hasFocus)
    QTest.keyClick(bar.look_button, Qt.Key.Key_Space)
    assert bar.look_button.isHidden()
    assert bar.hasFocus()
    assert not danger.hasFocus()


def test_a_bar_of_its_own_has_no_button(qtbot: Any, cockpit: Any) -> None:
    bare = NoticeBar(cockpit.clock_us)
    qtbot.addWidget(bare)
    bare.show()
    bare.show_notice(cockpit.notices.tell(Severity.ERROR, "Bad", ""))
    bare.look()
    assert not bare.look_button.isVisible()


def test_sentences_lose_their_end_and_names_their_middle() -> None:
    for words in ("p99 of order-gateway in production left its band", "2 of 4 nodes are silent"):
        assert elide_mode(words) is Qt.TextElideMode.ElideRight
    for name in ("order-gateway-production-1", "order-gateway-1 (order-gateway, production)", ""):
        assert elide_mode(name) is Qt.TextElideMode.ElideMiddle
