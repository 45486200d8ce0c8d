"""The notice bar: what matters, as plain text, and the way into the history."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from cockpit.services.notices import Notices, Severity
from tests.fakes.believable import NOW_US
from ui import theme
from ui.bridge import turns_here
from ui.widgets.notice_bar import NoticeBar


@pytest.fixture
def bar(qtbot, qapp: QApplication) -> NoticeBar:
    theme.apply(qapp, "dark")
    found = NoticeBar(lambda: NOW_US + 5_000_000)
    qtbot.addWidget(found)
    found.resize(900, 32)
    return found


def test_markup_and_escapes_stay_text(bar: NoticeBar) -> None:
    notices = Notices(lambda: NOW_US)
    bar.show_notice(notices.tell(Severity.ERROR, "<b>bad</b>", "\x1b[31m" + "x" * 500 + "\nnext", hint="<a href=x>y</a>"))
    assert "<b>bad</b>" in bar.text
    assert "\n" not in bar.text
    assert "<b>" not in bar.toolTip()
    assert bar.accessibleName().startswith("Notice: error: <b>bad</b>")
    assert not bar.grab().isNull()


def test_it_says_severity_count_and_way_out(bar: NoticeBar) -> None:
    notices = Notices(lambda: NOW_US)
    for _ in range(3):
        notice = notices.tell(Severity.WARNING, "Source is stale", "No answer.", hint="Look at Sources.", key="k")
    bar.show_notice(notice)
    assert bar.text == "warning: Source is stale · No answer. · Look at Sources. (3 times)"
    notices.over("k")
    bar.show_notice(notices.newest)
    assert bar.text.startswith("over: ")
    bar.show_notice(None)
    assert bar.text == "No notices"
    assert not bar.grab().isNull()


def test_click_enter_and_space_open_the_history(bar: NoticeBar, qtbot) -> None:
    heard: list[int] = []
    bar.history_wanted.connect(lambda: heard.append(1))
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton)
    qtbot.keyClick(bar, Qt.Key.Key_Return)
    qtbot.keyClick(bar, Qt.Key.Key_Space)
    qtbot.keyClick(bar, Qt.Key.Key_X)
    assert len(heard) == 3
    assert bar.focusPolicy() == Qt.FocusPolicy.StrongFocus


def test_its_clock_rests_while_it_is_hidden(bar: NoticeBar, qtbot) -> None:
    bar.show()
    assert bar._ages.isActive()
    bar.hide()
    assert not bar._ages.isActive()


@pytest.mark.parametrize("name", theme.THEMES)
def test_severity_has_its_colour_in_every_theme(bar: NoticeBar, qapp: QApplication, name: str) -> None:
    found = theme.apply(qapp, name)
    notices = Notices(lambda: NOW_US)
    bar.show_notice(notices.tell(Severity.ERROR, "Bad", "thing"))
    image = bar.grab().toImage()
    seen = {image.pixelColor(x, y).name() for x in range(120) for y in range(image.height())}
    assert found.bad.name() in seen


def test_a_second_that_changes_no_word_paints_nothing(qtbot, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    now, painted = [NOW_US + 5_000_000], []

    class Bar(NoticeBar):
        def paintEvent(self, event: Any) -> None:
            painted.append(now[0])
            super().paintEvent(event)

    bar = Bar(lambda: now[0])
    qtbot.addWidget(bar)
    bar.resize(900, 32)
    bar.show_notice(Notices(lambda: NOW_US).tell(Severity.ERROR, "Bad", "thing"))
    bar.show()
    qtbot.waitUntil(lambda: bool(painted))
    bar._ages.stop()
    now[0] += 1_000_000
    bar._tick()
    qtbot.waitUntil(lambda: painted[-1] == now[0])
    now[0] += 10 * 60_000_000
    bar._tick()
    qtbot.waitUntil(lambda: painted[-1] == now[0])
    count = len(painted)
    now[0] += 1_000_000
    bar._tick()
    assert not turns_here().waiting
    assert len(painted) == count
