"""Talking to a Buildbot: its login and cookie, its commands, and the stream of what changes there."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from threading import Event as Flag
from threading import Lock, Thread
from typing import TypeVar

from cockpit.connectors.buildbot_wire import parse_done, parse_event
from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_stream import Event, Listener
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError

T = TypeVar("T")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
JOIN_S = 5.0
KEPT_BUILDS = 1000
# one stream begins with the first of these, and the others are added to it
_TOPICS = ("builds/*/*", "buildrequests/*/*", "builds/*/steps/*/*")
# the anonymous session's cookie stands before that of the person who logged in
_COOKIE = re.compile(r"\b(TWISTED\w*SESSION\w*)=([^;,\s]+)")
_LOGIN_HINT = "Enter the name and the password of a user of this Buildbot, or a user who has the role that this needs."


class Session:
    """A login by name and password that holds as long as its cookie. Blocks; from any thread; ConnectorErrors only.

    Nobody logs in before it is needed: for commands, and where reading is refused.
    """

    def __init__(self, client: HttpClient, named: bool) -> None:
        self._client, self._named = client, named
        self._lock = Lock()
        self._cookie = ""

    @property
    def name(self) -> str:
        return self._client.name

    def close(self) -> None:
        """Forget the session and close kept connections."""
        self._cookie = ""
        self._client.close()

    def login(self) -> None:
        """Log in now, where a name is given."""
        if self._named:
            self._new_cookie(self._cookie)

    def read(self, path: str, parse: Callable[[bytes], T], root: str = "/api/v2/") -> T:
        """GET and parse; `parse` raises BadPayload only."""

        def ask(cookie: dict[str, str]) -> bytes:
            return self._client.get_answer(root + path, {"Accept": "application/json"} | cookie).body

        body = self._with_cookie(ask)
        try:
            return parse(body)
        except BadPayload as error:
            raise BadPayload(f"{self.name}: {error.message}", hint=error.hint) from None

    def text(self, path: str, tail: int) -> str:
        """The end of a text."""
        return self._with_cookie(lambda cookie: self._client.get_text("/api/v2/" + path, tail=tail, headers=cookie))

    def command(self, path: str, method: str, parameters: dict[str, object], parse: Callable[[bytes], T]) -> T:
        """A command, sent once; sent again after a new login only where it was refused for want of one."""
        body = {"id": 1, "jsonrpc": "2.0", "method": method, "params": parameters}
        if self._named and not self._cookie:
            self._new_cookie("")
        return self._with_cookie(lambda cookie: self._client.write("/api/v2/" + path, body, parse, headers=cookie))

    def listen(self, path: str, listener: Listener) -> None:
        """Feed the listener until the stream ends."""
        self._with_cookie(lambda cookie: self._client.listen(path, listener, cookie))

    def _with_cookie(self, ask: Callable[[dict[str, str]], T]) -> T:
        used = self._cookie
        try:
            return ask({"Cookie": used} if used else {})
        except AuthFailed as error:
            if not self._named:
                raise AuthFailed(error.message, hint=_LOGIN_HINT) from None
        cookie = self._new_cookie(used)
        try:
            return ask({"Cookie": cookie})
        except AuthFailed as error:
            raise AuthFailed(error.message, hint=_LOGIN_HINT) from None

    def _new_cookie(self, old: str) -> str:
        with self._lock:
            if self._cookie and self._cookie != old:
                return self._cookie  # another thread was here before
            self._cookie = ""
            try:
                answer = self._client.first_answer("/auth/login")
            except AuthFailed as error:
                raise AuthFailed(error.message, hint=_LOGIN_HINT) from None
            found = _COOKIE.findall(answer.headers.get("set-cookie", ""))
            if not found:
                raise AuthFailed(f"{self.name} has no login by name and password.", hint="Leave the user empty, or use a proxy's token.")
            self._cookie = "=".join(found[-1])
            return self._cookie


class Live:
    """Counts what changes at each builder, from the server's own event stream, in a thread that `start` begins and `close` ends.

    From any thread.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = Lock()
        self._over = Flag()
        self._thread: Thread | None = None
        self._listener: Listener | None = None
        self._alive = False
        self._streams = 0
        self._of_all = 0
        self._of_builder: dict[int, int] = {}
        self._builders: OrderedDict[int, int] = OrderedDict()  # by build

    @property
    def alive(self) -> bool:
        return self._alive

    def start(self) -> None:
        """Begin to listen; nothing happens where it listens already."""
        with self._lock:
            if self._thread is None and not self._over.is_set():
                self._thread = Thread(target=self._run, name="buildbot-events", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it, for some seconds at most. It cannot be started again."""
        self._over.set()
        with self._lock:
            thread, listener = self._thread, self._listener
        if listener is not None:
            listener.close()
        if thread is not None:
            thread.join(JOIN_S)  # a request that it may be in ends by its own time limit

    def mark(self, builder: int) -> tuple[int, int, int] | None:
        """Equal to the one before while nothing changed there; None while nobody listens, and so nobody knows."""
        with self._lock:
            return (self._streams, self._of_all, self._of_builder.get(builder, 0)) if self._alive else None

    def know(self, build: int, builder: int) -> None:
        """A build under way, whose steps are of interest."""
        with self._lock:
            self._know(build, builder)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._over.is_set():
            listener = Listener(self._take)
            with self._lock:
                self._listener = listener
            if self._over.is_set():
                return
            before = self._streams
            try:
                self._session.listen(f"/sse/listen/{_TOPICS[0]}", listener)
                failed = self._streams == before
            except ConnectorError:
                failed = True  # polls go on without it, and say what is wrong
            self._alive = False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if failed else FIRST_PAUSE_S
            self._over.wait(pause_s)

    def _take(self, event: Event) -> None:
        if event.name == "handshake":
            self._widen(event.data)
            return
        try:
            builder, build = parse_event(event.data.encode("utf-8", "replace"))
        except BadPayload:
            builder, build = None, None
        with self._lock:
            if builder is not None and build is not None:
                self._know(build, builder)
            elif builder is None and build is not None:
                # a step, whose build is not known yet: its own event comes later, and counts
                if build not in self._builders:
                    return
                builder = self._builders[build]
            if builder is None:
                self._of_all += 1
            else:
                self._of_builder[builder] = self._of_builder.get(builder, 0) + 1

    def _know(self, build: int, builder: int) -> None:
        self._builders[build] = builder
        if len(self._builders) > KEPT_BUILDS:
            self._builders.popitem(last=False)

    def _widen(self, stream: str) -> None:
        """Add the other topics; only then nothing is missed."""
        try:
            for topic in _TOPICS[1:]:
                self._session.read(segments("add", stream) + f"/{topic}", _added, root="/sse")
        except ConnectorError:
            listener = self._listener
            if listener is not None:
                listener.close()
            return
        with self._lock:
            self._streams += 1
            self._alive = True


def _added(body: bytes) -> None:
    # Buildbot 4.3 does as asked, says so, and puts an error page behind it
    if not body.startswith(b"ok"):
        parse_done(body)
