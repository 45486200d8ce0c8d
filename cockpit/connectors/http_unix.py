"""HTTP over a socket of this machine, with the errors of `http.py`: what an engine's own socket speaks.

No token and no redirect: who may open the socket decides the system.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from cockpit.connectors.http import Limits
from cockpit.connectors.http_answers import ERROR_CHARS, Answer, refusal, said
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, OutcomeUnknown, Unreachable

T = TypeVar("T")

_CHUNK = 64 * 1024
_HINT = "Check the path in the settings, and that the system runs."


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, limits: Limits) -> None:
        super().__init__("localhost", timeout=limits.connect_timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class UnixHttpClient:
    """One system behind a socket. Blocks; from any thread, several at once: each call has a connection of its own. ConnectorErrors only."""

    def __init__(self, path: str, *, name: str = "", limits: Limits | None = None) -> None:
        # the kernel takes 107 bytes
        if not path.startswith("/") or "\0" in path or len(path.encode("utf-8", "replace")) > 107:
            raise ConfigError(f"“{one_line(path, 200)}” is no path of a socket.", hint="Give the whole path, of at most 107 bytes.")
        self._path = path
        self._limits = limits or Limits()
        self.name = name or path

    def close(self) -> None:
        """Nothing is held between calls."""

    def get_answer(self, path: str, headers: Mapping[str, str] | None = None, params: Mapping[str, str | int] | None = None) -> Answer:
        """GET the raw body with its headers."""
        target = path + (f"?{urlencode(params)}" if params else "")
        answer = self._send("GET", target, dict(headers or {}), None, asked_only=True)
        if 200 <= answer.status < 300:
            return answer
        raise self._refusal(answer)

    def write(
        self,
        path: str,
        body: object,
        parse: Callable[[bytes], T],
        key: str = "",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Sent once, never again; see `HttpClient.write`."""
        payload = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = ({} if body is None else {"Content-Type": "application/json"}) | dict(headers or {})
        if key:
            sent["Idempotency-Key"] = key
        answer = self._send(method, path, sent, payload, asked_only=False)
        if 200 <= answer.status < 300:
            try:
                return parse(answer.body)
            except BadPayload as error:
                raise self._unknown(f"it answered {answer.status}, but not readably ({error.message})") from None
        if answer.status >= 500 or answer.status < 400:
            raise self._unknown(f"it answered {answer.status}{said(answer, self._clean)[0]}")
        raise self._refusal(answer)

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None, asked_only: bool) -> Answer:
        deadline = time.monotonic() + self._limits.deadline_s
        connection = _Connection(self._path, self._limits)
        try:
            self._connect(connection)
            try:
                connection.request(method, target, body, {"Accept": "application/json"} | headers)
                return self._answer(connection, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                late = isinstance(error, TimeoutError)
                what = "no answer came in time" if late else f"the answer broke off ({one_line(str(error), 100) or type(error).__name__})"
        finally:
            connection.close()
        raise self._unreachable(what) if asked_only else self._unknown(what)

    def _connect(self, connection: _Connection) -> None:
        try:
            connection.connect()
        except PermissionError:
            raise AuthFailed(f"{self.name}: its socket may not be opened.", hint="Join the group that owns the socket.") from None
        except OSError as error:
            raise self._unreachable(one_line(error.strerror or str(error), 100) or "no connection could be made") from None
        connection.sock.settimeout(self._limits.read_timeout_s)

    def _answer(self, connection: _Connection, deadline: float) -> Answer:
        response = connection.getresponse()
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > self._limits.body_bytes:
                raise ValueError(f"longer than {self._limits.body_bytes} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, bytes(body))

    def _clean(self, text: str) -> str:
        return plain(text, ERROR_CHARS)

    def _unreachable(self, what: str) -> Unreachable:
        return Unreachable(f"{self.name}: {what}.", hint=_HINT)

    def _unknown(self, what: str) -> OutcomeUnknown:
        words = f"{self.name} was asked, and whether it acted is not known: {what}."
        return OutcomeUnknown(words, hint="Look at what holds there now before anything is sent again.")

    def _refusal(self, answer: Answer) -> ConnectorError:
        return refusal(answer, self.name, self._clean, time.time())
