"""Desktop notifications: the freedesktop interface on the session bus, spoken in a worker, with nothing of Qt.

Text from outside is escaped: servers that know markup take a body for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from importlib import import_module
from typing import Any, Final

from cockpit.domain.errors import CockpitError

NAME: Final = "org.freedesktop.Notifications"
PATH: Final = "/org/freedesktop/Notifications"
ANSWER_S: Final = 2.0  # a server that takes longer hangs
TITLE, BODY = 120, 400  # characters
REMEMBERED: Final = 64  # incidents whose bubble is replaced rather than joined by another
_NEVER, _DEFAULT = 0, -1  # milliseconds until it goes by itself
_NORMAL, _CRITICAL = 1, 2
_CLOSE_S: Final = 0.2
HINT: Final = "The bar of this window says the same."


class NoDesktop(CockpitError):
    """Nobody here shows desktop notifications."""

    title = "No desktop notifications"


class Bubble:
    """What is shown: plain text. It takes the place of an earlier one with the same `topic`; a `critical` one stays until it is closed."""

    __slots__ = ("body", "critical", "title", "topic")

    def __init__(self, topic: int, title: str, body: str, critical: bool = False) -> None:
        self.topic, self.title, self.body, self.critical = topic, title, body, critical


class SessionBus:
    """The notification server of the session, asked from one thread at a time (a lane). It is found again after either end died.

    `close` may be called from another thread: what waits ends at once.
    """

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._connection: Any = None
        self._ids: dict[int, int] = {}
        self._markup: bool | None = None
        self._closed = False
        self._lock = threading.Lock()

    def show(self, bubbles: list[Bubble]) -> None:
        """Show them in that order. NoDesktop says why nobody can, at once or after `ANSWER_S`."""
        with self._lock:
            try:
                self._attempt(bubbles)
            except NoDesktop:
                self._drop()
                raise
            except Exception as error:
                self._drop()
                raise NoDesktop(f"{self._words(error)}.", hint=HINT) from error
            finally:
                if self._closed:
                    self._drop()

    def _attempt(self, bubbles: list[Bubble]) -> None:
        known = self._connection is not None
        try:
            self._show(bubbles, time.monotonic() + self._answer_s)
        except ConnectionError:
            if not known or self._closed:
                raise
            self._drop()  # a bus that began anew since the last time
            self._show(bubbles, time.monotonic() + self._answer_s)

    def _words(self, error: Exception) -> str:
        if isinstance(error, ImportError | KeyError):
            return "There is no session bus here"
        if isinstance(error, TimeoutError):
            return f"The notification server did not answer within {self._answer_s:g} s"
        if isinstance(error, OSError):
            return f"The session bus cannot be reached: {error.strerror or error}"
        return f"The session bus answers nothing sensible: {type(error).__name__}: {error}"[:300]

    def _show(self, bubbles: list[Bubble], deadline_s: float) -> None:
        if self._closed:
            return
        if self._connection is None:
            self._connection = _connected(self._answer_s)
        if self._markup is None:
            self._markup = "body-markup" in self._ask(deadline_s, "GetCapabilities")[0]
        for bubble in bubbles:
            self._notify(bubble, deadline_s)

    def _notify(self, bubble: Bubble, deadline_s: float) -> None:
        title, body = bubble.title[:TITLE], bubble.body[:BODY]
        if self._markup:
            body = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        urgency = ("y", _CRITICAL if bubble.critical else _NORMAL)
        hints = {"urgency": urgency, "category": ("s", "device.error"), "desktop-entry": ("s", "release-cockpit")}
        replaced = self._ids.pop(bubble.topic, 0)
        words: tuple[Any, ...] = ("Release Cockpit", replaced, "", title, body, [], hints, _NEVER if bubble.critical else _DEFAULT)
        self._ids[bubble.topic] = int(self._ask(deadline_s, "Notify", "susssasa{sv}i", words)[0])
        while len(self._ids) > REMEMBERED:
            del self._ids[next(iter(self._ids))]

    def _ask(self, deadline_s: float, method: str, signature: str | None = None, body: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        jeepney: Any = import_module("jeepney")
        message = jeepney.new_method_call(jeepney.DBusAddress(PATH, NAME, NAME), method, signature, body)
        reply = self._connection.send_and_get_reply(message, timeout=max(0.0, deadline_s - time.monotonic()))
        if reply.header.message_type is jeepney.MessageType.error:
            name = str(reply.header.fields.get(jeepney.HeaderFields.error_name, ""))
            words = str(reply.body[0])[:200] if reply.body else name
            absent = name.rpartition(".")[2] in ("ServiceUnknown", "NameHasNoOwner")
            raise NoDesktop("No notification server runs here." if absent else f"The notification server refused: {words}.", hint=HINT)
        return tuple(reply.body)

    def _drop(self) -> None:
        """Begin anew with the next one; the server may be another by then."""
        connection, self._connection, self._markup = self._connection, None, None
        self._ids.clear()
        if connection is not None:
            with contextlib.suppress(OSError, KeyError, ValueError, RuntimeError):
                connection.close()

    def close(self) -> None:
        """Show nothing any more."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        # who is still connecting lets go by itself
        if self._lock.acquire(timeout=_CLOSE_S):
            self._drop()
            self._lock.release()


def _connected(answer_s: float) -> Any:
    """A connection to the session bus; nothing on it waits longer than that, the bus's own greeting neither."""
    bus, blocking = import_module("jeepney.bus"), import_module("jeepney.io.blocking")

    class Bounded(blocking.DBusConnection):  # type: ignore[misc, name-defined]
        def send_and_get_reply(self, message: Any, *, timeout: float | None = None) -> Any:
            return super().send_and_get_reply(message, timeout=answer_s if timeout is None else timeout)

    raw = blocking.prep_socket(bus.get_bus("SESSION"), timeout=answer_s)
    try:
        raw.settimeout(answer_s)
        return Bounded(raw)
    except BaseException:
        raw.close()
        raise
