"""What nobody caught reaches a person once, and the log each time."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QTimer

from ui import crash

pytestmark = pytest.mark.logs("cockpit.crash: (not caught|while finalising)")


class Funnel:
    """Remembers errors."""

    def __init__(self) -> None:
        self.told: list[tuple[BaseException, str]] = []

    def error(self, error: BaseException, *, key: str = "", place: str = "") -> None:
        self.told.append((error, key))


class Direct:
    """Collects what is posted to the main thread until it is asked to run it."""

    def __init__(self) -> None:
        self.posted: list[Callable[[], None]] = []

    def post(self, fn: Callable[[], None]) -> None:
        self.posted.append(fn)

    def run(self) -> None:
        for fn in self.posted:
            fn()
        self.posted.clear()


@pytest.fixture
def world(tmp_path: Path):
    funnel, main, log = Funnel(), Direct(), tmp_path / "logs" / "cockpit.log"
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    close = crash.log_to(log)
    restore = crash.install(funnel, main.post)
    yield funnel, main, log
    restore()
    close()
    assert (sys.excepthook, threading.excepthook, sys.unraisablehook) == before


def fail(words: str) -> None:
    """Raises where nobody catches."""
    try:
        raise ValueError(words)
    except ValueError:
        sys.excepthook(*sys.exc_info())


def test_the_same_failure_is_told_once_and_logged_with_its_count(world) -> None:
    funnel, main, log = world
    for i in range(50):
        fail(f"value {i}")
    main.run()
    assert [str(e) for e, _ in funnel.told] == ["value 0"]
    text = log.read_text("utf-8")
    assert "1 times" in text
    assert "32 times" in text
    assert "33 times" not in text, "a storm must not fill the disk"


def test_a_thread_that_dies_is_told_by_the_main_thread(world) -> None:
    funnel, main, log = world

    def work() -> None:
        raise OSError("gone")

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()
    assert not funnel.told
    main.run()
    assert isinstance(funnel.told[0][0], OSError)
    assert "thread worker" in log.read_text("utf-8")


def test_a_finaliser_that_fails_is_logged_only(world) -> None:
    funnel, main, log = world

    class Broken:
        def __del__(self) -> None:
            raise RuntimeError("while going")

    Broken()
    gc.collect()
    main.run()
    assert not funnel.told
    assert "while going" in log.read_text("utf-8")


def test_a_slot_that_fails_is_told(world, qtbot, qapp) -> None:
    funnel, main, _ = world

    def slot() -> None:
        raise KeyError("slot")

    # pytest-qt has put its own hook over ours
    restore = crash.install(funnel, main.post)
    try:
        QTimer.singleShot(0, slot)
        qtbot.waitUntil(lambda: bool(main.posted))
    finally:
        restore()
    main.run()
    assert isinstance(funnel.told[-1][0], KeyError)


def test_a_log_that_cannot_be_written_leaves_the_notice(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    funnel, main = Funnel(), Direct()
    close = crash.log_to(blocked / "cockpit.log")
    assert close is crash.no_log
    restore = crash.install(funnel, main.post)
    try:
        fail("no log")
    finally:
        restore()
        close()
    main.run()
    assert len(funnel.told) == 1


def test_ctrl_c_stays_ctrl_c(world, capsys: Any) -> None:
    funnel, main, _ = world
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    main.run()
    assert not funnel.told
    assert "KeyboardInterrupt" in capsys.readouterr().err


def test_the_log_does_not_grow_without_bound(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(crash, "_LOG_BYTES", 20_000)
    close = crash.log_to(tmp_path / "cockpit.log")
    restore = crash.install(Funnel(), Direct().post)
    try:
        for i in range(100):
            namespace: dict[str, Any] = {}
            exec(compile(f"def go(): raise ValueError('{i} ' + 'x' * 1500)", f"file{i}.py", "exec"), namespace)
            try:
                namespace["go"]()
            except ValueError:
                sys.excepthook(*sys.exc_info())
    finally:
        restore()
        close()
    files = sorted(tmp_path.iterdir())
    assert len(files) <= 3
    assert sum(f.stat().st_size for f in files) < 75_000


def test_more_kinds_of_failures_than_anybody_reads_are_not_told(monkeypatch) -> None:
    monkeypatch.setattr(crash, "_REMEMBERED", 5)
    funnel, main = Funnel(), Direct()
    restore = crash.install(funnel, main.post)
    try:
        for i in range(20):
            kind = type(f"Error{i}", (Exception,), {})
            sys.excepthook(kind, kind("no"), None)
    finally:
        restore()
    main.run()
    assert len(funnel.told) == 5
