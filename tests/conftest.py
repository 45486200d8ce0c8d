"""Fixtures for all tests: nothing may be left behind, and no warning may go by unexpected."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# threads of numpy's own cost start-up time and look like leaks
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import psutil
import pytest
from pytestqt.qtbot import QtBot

GRACE_S = 10.0
WHOLE_TURNS = 50  # so many tests with Qt share one whole collection of garbage
DEAR = {"test_watch_venue.py", "test_launcher.py", "test_openapi.py"}  # a minute or so each
PATIENCE_MS = 20_000  # pytest-qt waits five seconds where nothing else is said; a busy machine needs more


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "logs(pattern, ...): WARNING records that match one of the patterns are expected in this test")
    for wait in (QtBot.waitUntil, QtBot.waitSignal, QtBot.waitSignals, QtBot.waitExposed, QtBot.waitActive):
        wait.__kwdefaults__["timeout"] = PATIENCE_MS


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dear files first, the others as they are: a file is given to one worker, and a long one at the end leaves the others idle."""
    items.sort(key=lambda item: item.path.name not in DEAR)


def wait_until(predicate: Callable[[], Any], timeout_s: float) -> Any:
    """The first true answer of `predicate`, or its last answer after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        answer = predicate()
        if answer or time.monotonic() >= deadline:
            return answer
        pause.wait(0.01)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`eventually(predicate, timeout_s=20.0, message="")`: waits for a true answer and returns it, or fails with the message.

    An AssertionError inside of the predicate counts as "not yet". For tests without an event loop of Qt (there: qtbot.waitUntil).
    """

    def wait(predicate: Callable[[], Any], timeout_s: float = 20.0, message: str = "") -> Any:
        failure: list[AssertionError] = []

        def ask() -> Any:
            try:
                return predicate()
            except AssertionError as error:
                failure[:] = [error]
                return None

        answer = wait_until(ask, timeout_s)
        if not answer:
            pytest.fail(f"not within {timeout_s:g} s: {message or (failure[0] if failure else repr(predicate))}")
        return answer

    return wait


class FakeClock:
    """A clock that moves when told: call it for microseconds, `advance(seconds)` moves it."""

    def __init__(self, now_us: int = 1_800_000_000_000_000) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> int:
        self.now_us += round(seconds * 1e6)
        return self.now_us


@pytest.fixture
def fake_clock() -> FakeClock:
    """A FakeClock at a fixed moment."""
    return FakeClock()


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Fails a test that leaves a thread behind, and names it."""
    before = set(threading.enumerate())

    def left() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t not in before and t.is_alive() and not isinstance(t, threading._DummyThread)]

    yield
    if not wait_until(lambda: not left(), GRACE_S):
        pytest.fail(f"threads left behind: {', '.join(sorted(t.name for t in left()))}")


def _children() -> dict[int, psutil.Process]:
    return {p.pid: p for p in psutil.Process().children(recursive=True)}


def _has_children() -> bool:
    """Asks the kernel in some microseconds; True where it does not tell, so that the slow way is taken."""
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:
        return True
    for task in tasks:
        try:
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                if file.read().strip():
                    return True
        except FileNotFoundError:
            if os.path.exists(f"/proc/self/task/{task}"):
                return True
        except OSError:
            return True
    return False


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline()[:6]) or process.name()} ({process.status()})"
    except psutil.Error:
        return f"{process.pid} (gone meanwhile)"


@pytest.fixture(autouse=True)
def no_processes_left() -> Iterator[None]:
    """Fails a test that leaves a child process behind (a zombie too), names it, and ends it so that the others are not disturbed."""
    before = set(_children()) if _has_children() else set()

    def left() -> list[psutil.Process]:
        return [p for pid, p in _children().items() if pid not in before] if _has_children() else []

    yield
    if wait_until(lambda: not left(), GRACE_S):
        return
    names = []
    for process in left():
        names.append(_describe(process))
        try:
            process.kill()
        except psutil.Error:
            names[-1] += " (gone meanwhile)"
    if names:
        pytest.fail(f"processes left behind: {'; '.join(names)}")


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def no_unexpected_warnings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that logs a WARNING or worse which `@pytest.mark.logs("pattern")` does not expect."""
    patterns = [re.compile(str(p)) for mark in request.node.iter_markers("logs") for p in mark.args]
    recorder = _Recorder()
    root = logging.getLogger()
    root.addHandler(recorder)
    yield
    root.removeHandler(recorder)
    lines = [f"{r.levelname} {r.name}: {r.getMessage()}" for r in recorder.records]
    unexpected = [line for line in lines if not any(p.search(line) for p in patterns)]
    if unexpected:
        pytest.fail("unexpected log records:\n" + "\n".join(unexpected))


_turns = itertools.count()
_started_timers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def _watch_timers() -> None:
    """Remember where each QTimer was started; done once, and only in a process that uses Qt."""
    from PySide6.QtCore import QTimer

    if getattr(QTimer.start, "watched", False):
        return
    original = QTimer.start

    def start(timer: Any, *arguments: Any) -> None:
        _started_timers[timer] = "".join(traceback.format_stack(sys._getframe(1), limit=1)).strip()
        original(timer, *arguments)

    start.watched = True  # type: ignore[attr-defined]
    QTimer.start = start  # type: ignore[method-assign]


def _collect_here() -> None:
    """As in the window: garbage is collected in this thread alone, for in another one it may be a widget, and that crashes.

    What the window imports in a thread beside its work is imported here at once: the first test that draws shall be like all others.
    """
    import pyqtgraph  # noqa: F401

    gc.disable()
    gc.collect(2 if next(_turns) % WHOLE_TURNS == 0 else 1)


def _active_timers() -> list[str]:
    import shiboken6

    found = []
    for timer, where in list(_started_timers.items()):
        if shiboken6.isValid(timer) and timer.isActive():
            found.append(where)
    return found


def _top_level_widgets() -> dict[int, str]:
    from PySide6.QtWidgets import QApplication

    if not isinstance(QApplication.instance(), QApplication):
        return {}
    return {id(w): f"{type(w).__name__} {w.objectName() or w.windowTitle()!r}" for w in QApplication.topLevelWidgets()}


def _uses_qt(request: pytest.FixtureRequest) -> bool:
    return any(name.startswith(("qtbot", "qapp", "qtmodeltester")) for name in request.fixturenames)


@pytest.fixture(autouse=True)
def no_qt_objects_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test with qtbot or qapp that leaves an active QTimer (named by the line that started it) or a top-level widget."""
    if not _uses_qt(request):
        if not gc.isenabled():
            gc.collect()
            gc.enable()
        yield
        return
    from PySide6.QtCore import QCoreApplication, QEvent

    _watch_timers()
    _collect_here()
    widgets_before = set(_top_level_widgets())
    timers_before = set(_active_timers())
    yield

    def left() -> tuple[list[str], list[str]]:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        widgets = [name for number, name in _top_level_widgets().items() if number not in widgets_before]
        return [where for where in _active_timers() if where not in timers_before], widgets

    timers, widgets = left()
    if timers or widgets:
        gc.collect()
        timers, widgets = left()
    if timers:
        pytest.fail("timers left running, started at:\n" + "\n".join(timers))
    if widgets:
        pytest.fail(f"top-level widgets left: {', '.join(widgets)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Processes that cut themselves loose are no children any more: they are known by the temporary directory they work in."""
    if hasattr(session.config, "workerinput"):
        return  # the controller of the workers asks for all of them
    base = getattr(getattr(session.config, "_tmp_path_factory", None), "_basetemp", None)
    if base is None:
        return
    own = {os.getpid(), os.getppid()}
    for process in psutil.process_iter():
        try:
            if process.pid not in own and any(f"{base}{os.sep}" in f"{part}{os.sep}" for part in process.cmdline()):
                print(f"\nleft behind by the tests and ended: {_describe(process)}", file=sys.stderr)
                process.kill()
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        except psutil.Error:
            continue
