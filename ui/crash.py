"""What nobody caught: told to the person once through the notices, and written to the log, from whatever thread it came."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from cockpit.services.notices import Notices

log = logging.getLogger("cockpit.crash")
_LOG_BYTES = 1_000_000
_LOGGED_ALL = 3  # of the same failure; then the 4th, 8th, 16th...: a storm must not fill the disk
_REMEMBERED = 200  # different failures told one by one


def no_log() -> None:
    """Closes nothing."""


class _Format(logging.Formatter):
    """Lines without what `hide` takes out of them: a failure's own words and its trace may repeat a secret."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        """The whole entry."""
        return self._hide(super().format(record))


def log_to(path: Path, hide: Callable[[str], str] = str) -> Callable[[], None]:
    """Write the cockpit's log to `path`, three files of a megabyte at most, where that can be written. Answers what closes it."""
    # imported here: it brings sockets and pickle, and the window opens before
    from logging.handlers import RotatingFileHandler

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=2, encoding="utf-8")
    except OSError:
        return no_log
    handler.setFormatter(_Format(hide))
    logger = logging.getLogger("cockpit")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    def close() -> None:
        logger.removeHandler(handler)
        handler.close()

    return close


def install(notices: Notices, post: Callable[[Callable[[], None]], None]) -> Callable[[], None]:
    """Take over the hooks for exceptions; `post` runs a function on the main thread. Answers a function that restores them.

    The same failure (its type and the line it comes from) is told once. What fails in a finaliser is logged only: nobody did anything.
    """
    before = sys.excepthook, threading.excepthook, sys.unraisablehook
    hooks = _Hooks(notices, post)

    def restore() -> None:
        sys.excepthook, threading.excepthook, sys.unraisablehook = before

    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks.code, hooks.thread, hooks.finaliser
    return restore


class _Hooks:
    """Called from any thread."""

    def __init__(self, notices: Notices, post: Callable[[Callable[[], None]], None]) -> None:
        self._notices = notices
        self._post = post
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def code(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """sys.excepthook."""
        if isinstance(error, Exception):
            self._take(error, trace, "not caught")
        else:
            sys.__excepthook__(kind, error, trace)

    def thread(self, args: threading.ExceptHookArgs) -> None:
        """threading.excepthook."""
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self._take(args.exc_value, args.exc_traceback, f"not caught in thread {args.thread.name if args.thread else '?'}")

    def finaliser(self, args: Any) -> None:
        """sys.unraisablehook."""
        if args.exc_value is not None:
            log.error("while finalising %s", type(args.object).__name__, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    def _take(self, error: BaseException, trace: TracebackType | None, where: str) -> None:
        key = _origin(error, trace)
        with self._lock:
            known = key in self._seen or len(self._seen) < _REMEMBERED
            count = self._seen.get(key, 0) + 1
            if known:
                self._seen[key] = count
        if known and (count <= _LOGGED_ALL or count.bit_count() == 1):
            log.error("%s, %d times by now", where, count, exc_info=(type(error), error, trace))
        if known and count == 1:
            self._post(lambda: self._tell(error, key))

    def _tell(self, error: BaseException, key: str) -> None:
        self._notices.error(error, key=key)


def _origin(error: BaseException, trace: TracebackType | None) -> str:
    """Type and innermost line: the same defect with other values counts as the same."""
    frames = traceback.extract_tb(trace)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {place}"
