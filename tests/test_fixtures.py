"""The fixtures for all tests do fail a test that leaves something behind, and leave a tidy one alone."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import logging, subprocess, sys, threading
import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget

KEPT = []

def test_thread():
    threading.Thread(target=threading.Event().wait, args=(60,), name="forgotten", daemon=True).start()

def test_process():
    KEPT.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_log():
    logging.getLogger("somewhere").warning("careful")

def test_timer(qtbot):
    KEPT.append(QTimer())
    KEPT[-1].start(100_000)

def test_widget(qtbot):
    KEPT.append(QWidget(objectName="orphan"))

def test_wait(eventually):
    eventually(lambda: False, 0.05, "the moon")

@pytest.mark.logs("care[a-z]+")
def test_tidy_log():
    logging.getLogger("somewhere").warning("careful")

def test_tidy(qtbot, eventually, fake_clock):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    widget = QWidget()
    qtbot.addWidget(widget)
    timer = QTimer(widget)
    timer.start(100_000)
    assert eventually(lambda: 7) == 7
    assert fake_clock.advance(1.5) == fake_clock()
"""

FAILURES = {
    "ERROR at teardown of test_thread": "threads left behind: forgotten",
    "ERROR at teardown of test_process": "processes left behind: * input()*",
    "ERROR at teardown of test_log": "WARNING somewhere: careful",
    "ERROR at teardown of test_timer": "timers left running, started at:",
    "ERROR at teardown of test_widget": "top-level widgets left: QWidget 'orphan'",
}


def test_leaks_are_found_and_named(pytester: pytest.Pytester) -> None:
    ours = (Path(__file__).parent / "conftest.py").read_text("utf-8")
    pytester.makeconftest(ours.replace("GRACE_S = 10.0", "GRACE_S = 0.5"))
    pytester.makepyfile(TESTS)
    unneeded = [option for name in ("cacheprovider", "xdist", "anyio", "schemathesis", "timeout") for option in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess(*unneeded)
    result.assert_outcomes(passed=7, failed=1, errors=5)
    text = result.stdout.str()
    for where, words in FAILURES.items():
        assert where in text
        result.stdout.fnmatch_lines([f"*{words}*"])
    result.stdout.fnmatch_lines(["*not within 0.05 s: the moon*"])
