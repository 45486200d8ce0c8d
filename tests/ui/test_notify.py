"""Calling a person from the window: nobody who shows it, a server that hangs, a thousand at once; then what is shown and heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtWidgets import QWidget

from cockpit.domain.release import Environment
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Runner
from cockpit.services.store import AppState, Store
from cockpit.storage.settings import NoticeSettings, Settings
from tests.fakes.notifications import session
from ui import notify
from ui.bridge import QtMainThread
from ui.desktop import Bubble, NoDesktop, SessionBus
from ui.notify import Notifier

PLACE = "gw@production"
EVIL = "<b>x</b> \x1b[31m\u202e & <img src=x>\nnext"


class Bus:
    """What the session bus is asked for; `why` is why it cannot, `gate` holds it up."""

    def __init__(self) -> None:
        self.shown: list[Bubble] = []
        self.asked = 0
        self.why = ""
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def show(self, bubbles: list[Bubble]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.asked += 1
        self.gate.wait(20)
        if self.why:
            raise NoDesktop(self.why)
        self.shown += bubbles

    def close(self) -> None:
        self.closed = True
        self.gate.set()


class Player:
    def __init__(self) -> None:
        self.played: list[str] = []

    def play(self, path: Path | None) -> None:
        self.played.append(path.name if path is not None else "bell")

    def close(self) -> None:
        self.played.append("closed")


class Tray:
    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def showMessage(self, title: str, body: str, icon: Any) -> None:
        self.shown.append((title, body))

    def hide(self) -> None:
        self.shown.append(("hidden", ""))


class Stage:
    """A window's parts that a notifier needs, with a real runner."""

    def __init__(self, qtbot: Any, tmp_path: Path, clock: Any) -> None:
        self.qtbot, self.clock = qtbot, clock
        self.main = QtMainThread()
        self.runner = Runner(self.main)
        self.bus, self.player, self.tray = Bus(), Player(), None
        self.notices = Notices(clock)
        state = AppState(environments=(Environment("staging", 1), Environment("production", 2, True)))
        self.core = SimpleNamespace(
            notices=self.notices, store=Store(state), settings=Settings(), runner=self.runner, clock_us=clock,
            paths=SimpleNamespace(cache=tmp_path / "cache"),
        )  # fmt: skip
        self.window = QWidget()
        qtbot.addWidget(self.window)
        self.notifier = Notifier(self.core, self.window, self.bus, self.player, lambda: self.tray)

    def bad(self, key: str = f"alerts:{PLACE}", title: str = "bad", **more: Any) -> Any:
        return self.notices.tell(Severity.ERROR, title, EVIL, key=key, **more)

    def until(self, predicate: Any) -> None:
        self.qtbot.waitUntil(lambda: bool(predicate()))

    def settle(self) -> None:
        """Everything that is planned at once has been done."""
        self.until(lambda: not self.notifier._soon)
        self.until(lambda: not self.notifier._under_way)

    def close(self) -> None:
        self.notifier.close()
        self.bus.gate.set()
        self.runner.close()
        self.main.close()


@pytest.fixture
def stage(qtbot: Any, tmp_path: Path, fake_clock: Any) -> Iterator[Stage]:
    found = Stage(qtbot, tmp_path, fake_clock)
    yield found
    found.close()


def test_that_nobody_shows_it_is_said_once_and_taken_back(stage: Stage) -> None:
    stage.bus.why = "There is no session bus here."
    for n in range(3):
        stage.bad(f"alerts:gw{n}@production")
        stage.until(lambda n=n: stage.bus.asked == n + 1)
        stage.settle()
    told = [n for n in stage.notices.history if n.key == notify.TROUBLE]
    assert [(n.count, n.severity, n.over) for n in told] == [(1, Severity.INFO, False)]
    assert "no session bus" in told[0].message
    stage.bus.why = ""
    stage.bad("alerts:gw9@production")
    stage.until(lambda: stage.bus.shown)
    stage.settle()
    assert not stage.notices.told(notify.TROUBLE)


def test_a_server_that_hangs_stops_nobody_and_nothing_piles_up(stage: Stage) -> None:
    stage.bus.gate.clear()
    stage.bad("alerts:first@production")
    stage.until(lambda: stage.bus.asked == 1)
    for n in range(50):
        stage.bad(f"alerts:gw{n}@production", title=f"bad {n}")
        if n % 10 == 9:
            stage.until(lambda: not stage.notifier._soon)
    assert stage.bus.asked == 1
    assert 1 < len(stage.notifier._waiting) <= notify.WAITING
    stage.bus.gate.set()
    stage.settle()
    assert stage.bus.asked == 2
    assert len(stage.bus.shown) <= 1 + notify.WAITING


def test_a_thousand_at_once_are_one_question_and_one_sound(stage: Stage) -> None:
    for n in range(1000):
        stage.bad(f"alerts:gw{n}@production", title=f"bad {n}")
    stage.until(lambda: stage.bus.shown)
    stage.until(lambda: stage.player.played)
    stage.settle()
    assert stage.bus.asked == 1
    assert len(stage.bus.shown) == 4
    assert stage.bus.shown[-1].title == "497 more incidents in production"
    assert stage.player.played == ["bad.wav"]


def test_one_beside_those_that_are_shown_is_one_incident(stage: Stage) -> None:
    for n in range(4):
        stage.bad(f"alerts:gw{n}@production", title=f"bad {n}")
    stage.until(lambda: stage.bus.shown)
    stage.settle()
    assert stage.bus.shown[-1].title == "1 more incident in production"


def test_what_cannot_be_made_is_the_bell(stage: Stage) -> None:
    stage.core.paths.cache.write_text("a file where the folder should be")
    stage.bad()
    stage.until(lambda: stage.player.played == ["bell"])
    stage.settle()


def test_foreign_text_is_one_harmless_line(stage: Stage) -> None:
    stage.bad(title=EVIL * 100, hint="h" * 10_000)
    stage.until(lambda: stage.bus.shown)
    stage.settle()
    [bubble] = stage.bus.shown
    for text in (bubble.title, bubble.body):
        assert not {"\n", "\x1b", "\u202e"} & set(text)
        assert len(text) < 600
    assert bubble.critical


def test_without_a_bus_the_tray_gets_text_that_is_no_markup_to_anybody(stage: Stage) -> None:
    stage.tray = Tray()
    stage.bus.why = "No notification server runs here."
    stage.bad(title=EVIL)
    stage.until(lambda: stage.tray.shown)
    stage.settle()
    [(title, body)] = stage.tray.shown
    assert not {"<", ">", "&"} & set(title + body)
    assert "‹b›x‹/b›" in title
    assert not stage.notices.told(notify.TROUBLE)
    stage.notifier.close()
    assert stage.tray.shown[-1] == ("hidden", "")


def test_warnings_and_quiet_hours_disturb_nobody_and_a_rollback_does(stage: Stage) -> None:
    stage.core.settings = replace(Settings(), notices=NoticeSettings(quiet=("00:00-24:00",)))
    stage.notices.tell(Severity.WARNING, "stale", "", key=f"latency:{PLACE}")
    stage.bad()
    stage.settle()
    assert (stage.bus.asked, stage.player.played) == (0, [])
    stage.bad("", "rollback: failed", group=PLACE, about="rollback")
    stage.until(lambda: stage.bus.shown)
    stage.until(lambda: stage.player.played == ["urgent.wav"])
    stage.settle()
    [bubble] = stage.bus.shown
    assert bubble.title == "rollback: failed"
    assert "2 more stand there." in bubble.body


def test_the_active_window_suffices_but_not_for_a_rollback(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.QApplication, "activeWindow", staticmethod(lambda: stage.window))
    stage.bad()
    stage.settle()
    assert stage.bus.asked == 0
    stage.notices.tell(Severity.OK, "rollback: done", "", group=PLACE, about="rollback")
    stage.until(lambda: stage.bus.shown)
    stage.settle()
    assert stage.player.played == []
    stage.window.showMinimized()
    stage.bad("alerts:other@production", "unseen")
    stage.until(lambda: stage.bus.shown[-1].title == "unseen")
    stage.settle()


def test_after_the_end_nothing_calls(stage: Stage) -> None:
    stage.bad()
    stage.notifier.close()
    stage.notifier.close()
    stage.bad("alerts:other@production")
    assert not stage.notifier._timer.isActive()
    assert stage.player.played == ["closed"]
    assert (stage.bus.closed, stage.bus.asked) == (True, 0)


def test_a_real_server_gets_it_from_the_window(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with session() as here:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", here.address)
        server = here.serve()
        real = Notifier(stage.core, stage.window, SessionBus(), stage.player, lambda: None)
        stage.bad(title="<b>p99</b> left its band")
        stage.until(lambda: server.seen)
        stage.bad(title="<b>p99</b> left its band", kinds=("drift",))
        stage.until(lambda: len(server.seen) == 2)
        stage.settle()
        assert [(s["id"], s["urgency"]) for s in server.seen] == [(1, 2), (1, 2)], "one incident, one bubble"
        assert server.seen[0]["title"] == "<b>p99</b> left its band"
        assert "<" not in server.seen[0]["body"]
        stage.until(lambda: not real._under_way)
        real.close()


def test_the_window_begins_and_ends_it_in_one_line(stage: Stage) -> None:
    end = notify.begin(stage.core, stage.window)
    assert stage.notices.first(stage.notices.tell(Severity.WARNING, "w", "", key=f"latency:{PLACE}"))
    assert not stage.notices.first(stage.notices.tell(Severity.WARNING, "w", "", key="latency:gw@staging"))
    end()
    assert len(stage.notices._listeners) == 1
