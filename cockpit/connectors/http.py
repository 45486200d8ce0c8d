"""HTTP for all connectors: reads that may be repeated, writes that are sent once, and every failure as a domain error.

The only home of requests, which is imported with the first request.
"""

from __future__ import annotations

import math
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec
from msgspec import Struct

from cockpit.connectors.http_answers import (
    ERROR_CHARS,
    HINT_INTERFACE,
    NOT_DONE_REDIRECTS,
    Answer,
    checked_address,
    decode,
    header_value,
    refusal,
    said,
    what_broke,
)
from cockpit.connectors.http_pace import Manners, Remembered
from cockpit.connectors.http_pace import Pace as Pace
from cockpit.connectors.http_stream import Listener
from cockpit.connectors.text import one_line, plain, without_secrets
from cockpit.domain.errors import AuthFailed, BadPayload, CockpitError, ConnectorError, NotFound, OutcomeUnknown, RateLimited, Unreachable

T = TypeVar("T")
Params = Mapping[str, str | int] | None

MAX_REDIRECTS = 5
_CHUNK = 64 * 1024
_RETRIED = (502, 503, 504)


class Limits(Struct, frozen=True):
    """Bounds of one client. `deadline_s` covers one call with all its retries; `body_bytes` one body, decompressed."""

    connect_timeout_s: float = 3.0
    read_timeout_s: float = 10.0
    deadline_s: float = 30.0
    body_bytes: int = 32 * 1024 * 1024
    retries: int = 2
    min_gap_s: float = 0.0


class _Broken(Exception):
    """No whole answer. sent: bytes may have left; answered: a status line came; timeout: time ran out."""

    def __init__(self, what: str, *, sent: bool = False, answered: bool = False, timeout: bool = False) -> None:
        super().__init__(what)
        self.what, self.sent, self.answered, self.timeout = what, sent, answered, timeout


class _Wanted(Struct, frozen=True):
    """What one call asks for; tail: keep only the last bytes of the body (0 = all); listener: takes the body piece by piece."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    tail: int = 0
    listener: Listener | None = None


def segments(*parts: str) -> str:
    """`/a/b/c` with each part quoted; NotFound for a part that no address can carry (empty, `.` and `..`)."""
    for part in parts:
        if part in ("", ".", ".."):
            raise NotFound(f"“{part}” cannot be part of an address.", hint="Check the name in the settings.")
    return "".join("/" + quote(part, safe="", errors="replace") for part in parts)


class HttpClient:
    """One system's HTTP interface.

    Blocks; from any thread, several at once. `token` is asked when a request needs it and asked again after a 401; it goes to this
    origin only, as a bearer token, or with `user` as the password of that user. `headers` go with each request, `certificate` names
    the files of the certificate and the key to show. Proxies, .netrc and the like are not used. Raises ConnectorErrors only.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "",
        token: Callable[[], str] | None = None,
        limits: Limits | None = None,
        ca_file: str = "",
        pace: Pace | None = None,
        user: str = "",
        headers: Mapping[str, str] | None = None,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        parts = checked_address(base_url, ca_file)
        self._base = base_url.rstrip("/")
        self._origin = (parts.scheme, parts.netloc.lower())
        self.name = name or parts.netloc
        self._token, self._user = token, user
        self._known_token: str | None = None  # None: to be asked for; "": there is none
        self._headers = dict(headers or {})
        self._limits = limits or Limits()
        self._tls: dict[str, Any] = {"verify": ca_file or True, "cert": certificate}
        self._pace = pace or Pace()
        self._manners = Manners(self.name, self._pace, self._limits.min_gap_s)
        self._known = Remembered()
        self._lock = Lock()
        self._adapter: Any = None

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close kept connections; the client may be used again."""
        with self._lock:
            adapter, self._adapter = self._adapter, None
        if adapter is not None:
            from cockpit.connectors import http_wire

            http_wire.close(adapter)

    # reads

    def get(self, path: str, kind: type[T], params: Params = None) -> T:
        """GET and decode. The same object comes back while the server answers 304."""

        def parse(body: bytes) -> T:
            return decode(body, kind)

        return self._read(path, params, parse, kind)

    def read(self, path: str, parse: Callable[[bytes], T], params: Params = None, accept: str = "application/json") -> T:
        """GET and hand the body to `parse`, which raises BadPayload only; not parsed again while the server answers 304.

        The answer is remembered by its address, so one address goes with one `parse`.
        """
        return self._read(path, params, parse, "read", accept)

    def get_text(self, path: str, params: Params = None, tail: int = 0, headers: Mapping[str, str] | None = None) -> str:
        """GET text, undecodable bytes replaced; with `tail` only the last bytes, however long the text is."""
        return self._ask(path, params, {"Accept": "text/plain, */*"} | dict(headers or {}), tail).body.decode("utf-8", "replace")

    def get_answer(self, path: str, headers: Mapping[str, str] | None = None, params: Params = None) -> Answer:
        """GET the raw body with its headers; a condition among `headers` may be answered with 304."""
        return self._ask(path, params, dict(headers or {}))

    def first_answer(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET without following a redirect: what a login answers, say. Only 4xx and 5xx are errors."""
        self._manners.wait_turn()
        wanted = _Wanted("GET", self._url(path, None), self._headers | dict(headers or {}) | self._authorization())
        try:
            answer = self._send(wanted, time.monotonic() + self._limits.deadline_s)
        except _Broken as broken:
            self._no_answer(broken)
        if answer.status < 400:
            return answer
        raise self._refusal(answer)

    def listen(self, path: str, listener: Listener, headers: Mapping[str, str] | None = None) -> None:
        """GET a body without an end, for `listener`. Returns when it ends or the listener is closed; blocks until then."""
        self._manners.wait_turn()
        wanted = _Wanted("GET", self._url(path, None), self._headers | dict(headers or {}) | self._authorization(), listener=listener)
        try:
            self._accepted(self._send(wanted, math.inf, fresh=True))
        except _Broken as broken:
            if not broken.answered and not listener.closed:
                self._unreachable(broken.what)

    # writes

    def post(self, path: str, body: object, kind: type[T], key: str = "") -> T:
        """POST once, decode the answer; see `write`."""

        def parse(answer: bytes) -> T:
            return decode(answer, kind)

        return self.write(path, body, parse, key)

    def write(
        self,
        path: str,
        body: object,
        parse: Callable[[bytes], T],
        key: str = "",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """POST or PUT, once, never again. `body` goes as JSON (None: no body; bytes: as they are), `key` as Idempotency-Key.

        `parse` raises BadPayload only. Unreachable: certainly not sent. OutcomeUnknown: it may have been done. Rejected, NotFound,
        AuthFailed, RateLimited: it was not.
        """
        sent = {"Accept": "application/json"} | ({} if body is None else {"Content-Type": "application/json"})
        sent |= self._headers | dict(headers or {})
        if key:
            sent["Idempotency-Key"] = header_value(key, "the idempotency key")
        payload = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        wanted = _Wanted(method, self._url(path, None), sent | self._authorization(), payload)
        self._manners.wait_turn(write=True)
        try:
            # a kept connection may be closed by the server at any moment, and then nobody could tell whether the write arrived
            answer = self._send(wanted, time.monotonic() + self._limits.deadline_s, fresh=True)
        except _Broken as broken:
            if not broken.sent:
                self._unreachable(broken.what)
            raise self._unknown(broken.what) from None
        return self._written(answer, parse)

    def _written(self, answer: Answer, parse: Callable[[bytes], T]) -> T:
        if 200 <= answer.status < 300:
            try:
                return parse(answer.body)
            except BadPayload as error:
                raise self._unknown(f"it answered {answer.status}, but not readably ({error.message})") from None
        if answer.status >= 500 or answer.status == 408 or (answer.status < 400 and answer.status not in NOT_DONE_REDIRECTS):
            raise self._unknown(f"it answered {answer.status}", answer)
        raise self._refusal(answer)

    # below

    def _read(self, path: str, params: Params, parse: Callable[[bytes], T], how: object, accept: str = "application/json") -> T:
        headers = {"Accept": accept}
        key = (self._url(path, params), how)
        etag, known = self._known.get(key)
        if etag:
            headers["If-None-Match"] = etag
        answer = self._ask(path, params, headers)
        if answer.status == 304:
            if not etag:
                raise BadPayload(f"{self.name} answered “not modified” to a question without a condition.", hint=HINT_INTERFACE)
            return cast(T, known)
        self._known.put(key, "", None)
        try:
            value = parse(answer.body)
        except BadPayload as error:
            raise BadPayload(f"{self.name}: {self._clean(error.message)}", hint=error.hint) from None
        self._known.put(key, answer.headers.get("etag", ""), value)
        return value

    def _ask(self, path: str, params: Params, headers: dict[str, str], tail: int = 0) -> Answer:
        deadline = time.monotonic() + self._limits.deadline_s
        url = self._url(path, params)
        for attempt in range(self._limits.retries + 1):
            last = attempt == self._limits.retries or time.monotonic() >= deadline
            self._manners.wait_turn()
            try:
                answer = self._follow(_Wanted("GET", url, self._headers | headers | self._authorization(), tail=tail), deadline)
            except _Broken as broken:
                if last or broken.sent:
                    self._no_answer(broken)
            else:
                if last or answer.status not in _RETRIED or "retry-after" in answer.headers:
                    return self._accepted(answer)
            self._pace.sleep((0.1 * 2**attempt) * (0.5 + self._pace.jitter()))
        raise AssertionError("the last attempt always answers or raises")

    def _accepted(self, answer: Answer) -> Answer:
        if 200 <= answer.status < 300 or answer.status == 304:
            return answer
        raise self._refusal(answer)

    def _follow(self, wanted: _Wanted, deadline: float) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._send(wanted, deadline)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return answer
            url = urljoin(wanted.url, answer.headers["location"])
            parts = urlsplit(url)
            if (parts.scheme, parts.netloc.lower()) != self._origin:
                place = one_line(without_secrets(f"{parts.scheme}://{parts.netloc}"), 200)
                hint = "If that is where it lives now, enter that address in the settings."
                raise BadPayload(f"{self.name} points to another place, {place}; it was not followed.", hint=hint)
            wanted = msgspec.structs.replace(wanted, url=url)
        raise BadPayload(f"{self.name} redirects in a circle.", hint="Check the address in the settings.")

    def _send(self, wanted: _Wanted, deadline: float, fresh: bool = False) -> Answer:
        import http.client

        import requests
        import urllib3

        from cockpit.connectors import http_wire

        limits, listener = self._limits, wanted.listener
        opened, patience_s = (None, limits.read_timeout_s) if listener is None else (listener.opened, listener.idle_s)
        call = http_wire.Call(deadline, patience_s, opened)
        adapter = _adapter() if fresh else self._kept_adapter()
        held = http_wire.CALL.set(call)
        answered = False
        try:
            request = requests.Request(wanted.method, wanted.url, headers=wanted.headers, data=wanted.body).prepare()
            remaining = max(0.001, deadline - time.monotonic())
            timeout = (min(limits.connect_timeout_s, remaining), min(limits.read_timeout_s, remaining))
            response = adapter.send(request, stream=True, timeout=timeout, proxies={}, **self._tls)
            answered = True
            with response:
                body = self._body(response, wanted)
            headers = {k.lower(): v for k, v in response.headers.items()}
            self._manners.note(headers)
            return Answer(response.status_code, headers, body)
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            late = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError))
            broken = _Broken(what_broke(error, answered, call.sent, late), sent=call.sent, answered=answered, timeout=late)
        finally:
            http_wire.CALL.reset(held)
            if fresh:
                http_wire.close(adapter)
        raise broken  # out here, so that no error carries the request and its token along as its context

    def _body(self, response: Any, wanted: _Wanted) -> bytes:
        body, tail = bytearray(), wanted.tail
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            if wanted.listener is not None and response.status_code == 200:
                wanted.listener.feed(chunk)
                continue
            body += chunk
            if tail and len(body) > 2 * tail + _CHUNK:
                del body[:-tail]
            elif not tail and len(body) > self._limits.body_bytes:
                raise ValueError(f"the answer is longer than {self._limits.body_bytes} bytes and was cut off")
        return bytes(body[-tail:] if tail else body)

    def _kept_adapter(self) -> Any:
        with self._lock:
            if self._adapter is None:
                self._adapter = _adapter()
            return self._adapter

    def _url(self, path: str, params: Params) -> str:
        return self._base + path + (f"?{urlencode(params)}" if params else "")

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        if self._known_token is None:
            try:
                self._known_token = self._token()
            except ConnectorError:
                raise
            except CockpitError as error:  # a locked keyring, say: polling stops until a person acts
                raise AuthFailed(error.message, hint=error.hint, title=error.title) from None
        if not self._known_token:
            return {}
        if self._user:
            return {"Authorization": "Basic " + b64encode(f"{self._user}:{self._known_token}".encode("utf-8", "replace")).decode("ascii")}
        return {"Authorization": f"Bearer {header_value(self._known_token, 'the token')}"}

    def _clean(self, text: str) -> str:
        return without_secrets(plain(text, ERROR_CHARS), (self._known_token or "",))

    def _no_answer(self, broken: _Broken) -> NoReturn:
        if broken.answered and not broken.timeout:
            raise BadPayload(f"{self.name}: {self._clean(broken.what)}.", hint="Ask again; if it stays, look at the system's own log.")
        self._unreachable(broken.what)

    def _unreachable(self, what: str) -> NoReturn:
        raise Unreachable(f"{self.name}: {self._clean(what)}.", hint="Check the address, the network, and that the system runs.")

    def _unknown(self, what: str, answer: Answer | None = None) -> OutcomeUnknown:
        words, hint = said(answer, self._clean) if answer is not None else ("", "")
        hint = hint or "Ask the system whether it knows the request's key before anything is sent again."
        return OutcomeUnknown(f"{self.name} was asked, and whether it acted is not known: {self._clean(what)}{words}.", hint=hint)

    def _refusal(self, answer: Answer) -> ConnectorError:
        error = refusal(answer, self.name, self._clean, self._pace.now())
        if isinstance(error, AuthFailed):
            self._known_token = None
            self._known.clear()
        elif isinstance(error, RateLimited):
            self._manners.silence(error.retry_after_s)
        return error


def _adapter() -> Any:
    from requests.adapters import HTTPAdapter

    from cockpit.connectors import http_wire

    # the adapter alone: no session, so no cookies, no redirects, no proxies, no .netrc
    adapter = HTTPAdapter(max_retries=0, pool_connections=2, pool_maxsize=8)
    adapter.poolmanager.pool_classes_by_scheme = http_wire.POOLS
    return adapter
