"""A pytest plugin that tells the CI runner what happens, one JSON line for each event, while the tests run.

It runs inside the tested version's pytest, alone on the path (the runner copies it to a place of its own): the standard library only.
"""

from __future__ import annotations

import json
import os
from typing import Any

_MAX_MESSAGE = 2000
_FD = int(os.environ.pop("PLAYGROUND_REPORT_FD", "-1"))
_PREFIX = os.environ.pop("PLAYGROUND_REPORT_PREFIX", "")

if _FD >= 0:
    # processes that the tests start must not keep the pipe open
    os.set_inheritable(_FD, False)


def _tell(**event: Any) -> None:
    if _FD >= 0:
        # bytes, at once: a buffer would hide results until the end
        data = json.dumps(event).encode() + b"\n"
        while data:
            data = data[os.write(_FD, data) :]


def _name(nodeid: str) -> str:
    return nodeid.removeprefix(_PREFIX).lstrip("/")


def _words(report: Any) -> str:
    """The test's own words: the message of what it raised, or all there is."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        return str(longrepr[2])[:_MAX_MESSAGE]
    crash = getattr(longrepr, "reprcrash", None)
    return str(getattr(crash, "message", None) or longrepr or "")[:_MAX_MESSAGE]


def pytest_collection_finish(session: Any) -> None:
    """All tests are known."""
    _tell(event="collected", total=len(session.items))


def pytest_collectreport(report: Any) -> None:
    """A file that cannot be read counts as one broken test."""
    if report.failed:
        _tell(event="result", name=_name(report.nodeid), outcome="error", duration_s=0.0, message=_words(report))


def pytest_runtest_logstart(nodeid: str) -> None:
    """A test begins."""
    _tell(event="started", name=_name(nodeid))


def pytest_runtest_logreport(report: Any) -> None:
    """A test passes, fails or skips by its call; before and after it, only what goes wrong (or skips) counts."""
    if report.when == "call" or report.failed or report.skipped:
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        message = "" if report.passed else _words(report)
        _tell(event="result", name=_name(report.nodeid), outcome=outcome, duration_s=report.duration, message=message)
