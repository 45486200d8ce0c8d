"""The only place where another thread may reach Qt, and where changes of the state become signals."""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any, Concatenate, ParamSpec, TypeVar

import shiboken6
from PySide6 import QtCore
from PySide6.QtCore import QObject, QSize, QTimer, QTimerEvent, Signal, Slot

from cockpit.services.store import Change, Store

_AGES = frozenset(["ages"])
PERIOD_S = 0.1  # at most ten signals a second
TURN_S = 0.002  # what was posted holds up the event loop for so long, then the hand comes first
_TURNS = "turns"

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
# what Qt may have where an overridden method failed; the others answer None
_HARMLESS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("event", "eventFilter"), bool),
    **dict.fromkeys(("rowCount", "columnCount", "heightForWidth"), int),
    **dict.fromkeys(("sizeHint", "minimumSizeHint"), QSize),
    "flags": lambda: QtCore.Qt.ItemFlag.NoItemFlags,
}


def guarded(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """For every virtual method that Qt calls: an exception is told to `sys.excepthook`, and Qt gets a harmless answer.

    PySide 6.11 on Python 3.11 can crash where an exception leaves an overridden method.
    """
    harmless = _HARMLESS.get(method.__name__, _nothing)

    @functools.wraps(method)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except Exception:  # noqa: BLE001 - see above
            sys.excepthook(*sys.exc_info())
            return harmless()  # type: ignore[no-any-return]

    run.guarded = True  # type: ignore[attr-defined]
    return run


def _nothing() -> None:
    """What cancels a call that never was, and answers for a method that failed."""


class Turns(QObject):
    """Work on the GUI thread in pieces: one a turn of the event loop, the longest waiting first; its painting has the turn after it.

    Together they would hold up the hand, and so would the painting of all that they change. What is given again before its turn keeps
    its place and comes once. A piece is a method of whom it concerns, and is left out where that widget is gone by then.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._due: dict[Callable[..., None], Change | None] = {}
        self._paints = False  # the turn after a piece belongs to the painting
        self._timer = 0

    def soon(self, *pieces: Callable[[], None]) -> None:
        """Each of these soon, in this order."""
        for piece in pieces:
            self._due.setdefault(piece, None)
        self._go_on()

    def give(self, change: Change, *parts: Callable[[Change], None]) -> None:
        """Each of `parts` hears of `change` soon, in this order; of what came meanwhile in one."""
        for part in parts:
            before = self._due.get(part)
            self._due[part] = change if before is None else Change(before.kinds | change.kinds, before.ids | change.ids)
        self._go_on()

    @property
    def waiting(self) -> bool:
        """Whether anything waits for its turn."""
        return bool(self._due)

    def forget(self, owner: QObject) -> None:
        """Nothing comes any more of this one and of what lies within it."""
        self._due = {piece: change for piece, change in self._due.items() if not _within(piece, owner)}

    def _go_on(self) -> None:
        if not self._timer and (self._due or self._paints):
            self._timer = self.startTimer(0)

    def _stop(self) -> None:
        if self._timer:
            self.killTimer(self._timer)
            self._timer = 0

    @guarded
    def timerEvent(self, event: QTimerEvent) -> None:
        """The next turn."""
        self._stop()
        if self._paints or not self._due:
            self._paints = False
            self._go_on()
            return
        piece = next(iter(self._due))
        change = self._due.pop(piece)
        self._paints = True
        # before it, for a piece may have an event loop of its own in which the others go on
        self._go_on()
        if _alive(piece):
            _attempt(piece if change is None else functools.partial(piece, change))
        # and anew, for timers that became due meanwhile come first
        self._stop()
        self._go_on()


def turns_here() -> Turns:
    """The turns of the GUI thread; all that live data changes takes them."""
    app = QtCore.QCoreApplication.instance()
    if app is None:
        raise RuntimeError("there is no application yet, and so no turns")
    found = app.property(_TURNS)
    if not isinstance(found, Turns):
        found = Turns(app)
        app.setProperty(_TURNS, found)
    return found


def _alive(piece: Callable[..., None]) -> bool:
    owner = getattr(piece, "__self__", None)
    return not isinstance(owner, QObject) or shiboken6.isValid(owner)


def _within(piece: Callable[..., None], owner: QObject) -> bool:
    found = getattr(piece, "__self__", None)
    while isinstance(found, QObject) and shiboken6.isValid(found):
        if found is owner:
            return True
        found = found.parent()
    return False


class QtMainThread(QObject):
    """`MainThread` on top of the Qt event loop. Create it on the GUI thread; `post` may be called from any thread."""

    _wake = Signal()

    def __init__(self, parent: QObject | None = None, *, started: bool = True) -> None:
        super().__init__(parent)
        self._lock = Lock()
        self._pending: deque[Callable[[], None]] = deque()
        self._later: dict[int, list[Callable[[], None]]] = {}
        self._closed = False
        self._started = self._woken = False
        self._turns = turns_here()
        if started:
            self.start()

    def start(self) -> None:
        """Run what was posted until now, and what comes. The window calls this after its first paint, which `Qt.` would hold up."""
        self._wake.connect(self._take_turn, QtCore.Qt.ConnectionType.QueuedConnection)
        with self._lock:
            self._started = True
            self._wake_up()

    def post(self, fn: Callable[[], None]) -> None:
        """Run `fn` on the GUI thread, soon and in order; dropped after `close`."""
        # the signal is emitted inside the lock: after close() has had it, no thread touches this object any more
        with self._lock:
            if self._closed:
                return
            self._pending.append(fn)
            self._wake_up()

    def _wake_up(self) -> None:
        """Under the lock: another turn where something waits for one."""
        if self._pending and self._started and not self._woken:
            self._woken = True
            self._wake.emit()

    def call_later(self, seconds: float, fn: Callable[[], None]) -> Callable[[], None]:
        """Run `fn` after `seconds`; answers a function that cancels it. GUI thread only."""
        if self._closed:
            return _nothing
        # a bare timer: fifty sources plan their next question each second, and a QTimer with its signal costs ten times as much
        number = self.startTimer(max(0, round(seconds * 1000)), QtCore.Qt.TimerType.PreciseTimer)
        cell = self._later[number] = [fn]

        def cancel() -> None:
            cell.clear()
            if self._later.get(number) is cell:
                del self._later[number]
                self.killTimer(number)

        return cancel

    @guarded
    def timerEvent(self, event: QTimerEvent) -> None:
        """A postponed call is due: it has its turn, for many may be due at once. Until then it can be cancelled."""
        number = event.timerId()
        self.killTimer(number)
        self.post(functools.partial(_call, self._later.pop(number, [])))

    def close(self) -> None:
        """Drop what waits and stop all timers."""
        with self._lock:
            self._closed = True
            self._pending.clear()
        for number in self._later:
            self.killTimer(number)
        self._later.clear()

    @Slot()
    def _take_turn(self) -> None:
        self._turns.soon(self._run_pending)

    def _run_pending(self) -> None:
        """In order, one at least; what takes longer than a turn goes on in the next one."""
        until_s = monotonic() + TURN_S
        with self._lock:
            self._woken, count = False, len(self._pending)
        try:
            for _ in range(count):
                with self._lock:
                    if not self._pending:
                        return
                    fn = self._pending.popleft()
                _attempt(fn)
                if monotonic() >= until_s:
                    return
        finally:
            with self._lock:
                self._wake_up()


def _call(cell: list[Callable[[], None]]) -> None:
    for fn in cell:
        fn()


def _attempt(fn: Callable[[], None]) -> None:
    try:
        fn()
    except Exception:  # noqa: BLE001 - one bad call must not drop those behind it; the hook tells people
        sys.excepthook(*sys.exc_info())


class StoreSignals(QObject):
    """`changed(Change)`: the store's changes merged, ten a second at most: the first in the next turn, the rest of a burst in one more.

    Never inside the change itself: what brings news and what paints it would hold up the hand together. That an answer was the same as
    before changes an age alone, which the window paints each second by itself.
    """

    changed = Signal(object)

    def __init__(self, store: Store, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kinds: set[str] = set()
        self._ids: set[str] = set()
        self._last_s = float("-inf")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._flush)
        self._unsubscribe: Callable[[], None] | None = store.subscribe(self._hear)

    def close(self) -> None:
        """Stop listening; nothing is emitted afterwards."""
        self._timer.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _hear(self, change: Change) -> None:
        if change.kinds == _AGES:
            return
        self._kinds |= change.kinds
        self._ids |= change.ids
        if self._timer.isActive():
            return
        wait_s = self._last_s + PERIOD_S - monotonic()
        self._timer.start(max(1, round(wait_s * 1000)) if wait_s > 0 else 0)

    @Slot()
    def _flush(self) -> None:
        change = Change(frozenset(self._kinds), frozenset(self._ids))
        self._kinds.clear()
        self._ids.clear()
        self._last_s = monotonic()
        self.changed.emit(change)
