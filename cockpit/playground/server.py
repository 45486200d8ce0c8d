"""Small strict JSON over HTTP on loopback: routes, errors with one body, ETags, limits. Shared by the CI runner and the deployer."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec
from msgspec import Struct

T = TypeVar("T")
MAX_BODY = 1_000_000
# read and thrown away before a 413, so that the client gets the answer and not a reset connection
MAX_DISCARDED = 16_000_000
IDLE_LIMIT_S = 30.0
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)


class ApiError(Exception):
    """An answer that is an error: status and the three texts of its body."""

    def __init__(self, status: int, title: str, message: str, hint: str = "") -> None:
        super().__init__(f"{status} {title}: {message}")
        self.status = status
        self.body = {"title": title, "message": message, "hint": hint}


class Request(Struct, frozen=True):
    """One request: names of the route's placeholders with their values, query, headers in lower case, body."""

    params: dict[str, str]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self, kind: type[T]) -> T:
        """The body as `kind`, by exact types. 415 for another content type, 400 for what does not fit."""
        if self.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "Wrong content type", "the body must be application/json", "Send Content-Type: application/json.")
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiError(400, "Malformed body", str(error), "The fields and their types stand in the OpenAPI document.") from error

    @property
    def limit(self) -> int:
        """The query's `limit`, 1 to 500, 50 where it is not given."""
        values = self.query.get("limit", ["50"])
        if len(values) != 1 or not re.fullmatch(r"[0-9]{1,3}", values[0]) or not 1 <= int(values[0]) <= 500:
            raise ApiError(400, "Malformed parameter", "limit must be one whole number from 1 to 500")
        return int(values[0])

    @property
    def key(self) -> str:
        """The Idempotency-Key; 400 where it is missing or not of the allowed form."""
        key = self.headers.get("idempotency-key", "")
        if not _KEY.fullmatch(key):
            words = "the header Idempotency-Key is needed" if not key else "the Idempotency-Key is not of the allowed form"
            raise ApiError(400, "Bad idempotency key", words, "Send 1 to 128 letters, digits or . _ : - that name this intention.")
        return key


class Response(Struct, frozen=True):
    """What is sent back. `value` (encoded as JSON) or `text` with its content type."""

    value: Any = None
    status: int = 200
    text: str | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = {}

    def encoded(self) -> bytes:
        return self.text.encode("utf-8", "replace") if self.text is not None else msgspec.json.encode(self.value)


Handler = Callable[[Request], Response]


class Router:
    """Maps method and path to handlers. `routes` have the form ("GET", "/v1/runs/{id}", handler); made once, then read by many threads."""

    def __init__(self, routes: list[tuple[str, str, Handler]]) -> None:
        self._routes: dict[tuple[str, ...], dict[str, Handler]] = {}
        for method, path, handler in routes:
            self._routes.setdefault(tuple(path.strip("/").split("/")), {})[method] = handler

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """The handler and the placeholders' values; 404 or 405."""
        try:
            parts = [unquote_to_bytes(part).decode("utf-8") for part in path.removeprefix("/").split("/")]
        except UnicodeDecodeError as error:
            raise ApiError(400, "Malformed path", "the path is not UTF-8") from error
        best: tuple[int, dict[str, Handler], dict[str, str]] | None = None
        for pattern, methods in self._routes.items():
            params = _match(pattern, parts)
            if params is not None and (best is None or len(params) < best[0]):
                best = (len(params), methods, params)
        if best is None:
            raise ApiError(404, "Unknown path", "there is nothing at this path", "The operations stand below /v1.")
        if method not in best[1]:
            allowed = ", ".join(sorted(best[1]))
            raise ApiError(405, "Wrong method", "this path does not take that method", f"It takes {allowed}.")
        return best[1][method], best[2]

    def allowed(self, path: str) -> str:
        """The methods of a path for the header Allow."""
        for pattern, methods in self._routes.items():
            if _match(pattern, path.removeprefix("/").split("/")) is not None:
                return ", ".join(sorted(methods))
        return ""


def _match(pattern: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts):
        return None
    params = {}
    for want, got in zip(pattern, parts, strict=True):
        if want.startswith("{"):
            if not got:
                return None
            params[want[1:-1]] = got
        elif want != got:
            return None
    return params


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_LIMIT_S
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def _handle(self) -> None:
        try:
            response = self._respond()
        except ApiError as error:
            headers = {"Allow": self.server.router.allowed(self.path.split("?")[0])} if error.status == 405 else {}
            response = Response(error.body, error.status, headers=headers)
        except Exception:  # noqa: BLE001 - the boundary: a defect answers 500 in the API's form, and is logged with its traceback
            traceback.print_exc(file=sys.stderr)
            body = {"title": "Defect", "message": "the server met an error of its own", "hint": "Its log says more."}
            response = Response(body, 500)
        self._send(response)

    def _respond(self) -> Response:
        body = self._read_body()
        # a page in a browser must not reach this server: neither by a name that points here nor by a cross-site request
        if not _LOOPBACK.fullmatch(self.headers.get("Host", "")) or "Origin" in self.headers:
            raise ApiError(403, "Refused", "requests from web pages are not answered")
        path, _, query = self.path.partition("?")
        handler, params = self.server.router.find(self.command, path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return handler(Request(params, _parse_query(query), headers, body))

    def _read_body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise ApiError(411, "Length needed", "a body needs a Content-Length", "Send the body in one piece.")
        text = self.headers.get("Content-Length", "0")
        if not re.fullmatch(r"[0-9]{1,18}", text):
            self.close_connection = True
            raise ApiError(400, "Malformed header", "Content-Length is no number")
        length = int(text)
        if length <= MAX_BODY:
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True
                raise ApiError(400, "Malformed body", "the body ended early")
            return body
        self.close_connection = True
        left = min(length, MAX_DISCARDED)
        while left > 0 and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
        raise ApiError(413, "Too large", f"the body has {length} bytes, {MAX_BODY} are allowed")

    def _send(self, response: Response) -> None:
        body, status = response.encoded(), response.status
        headers = dict(response.headers)
        if status == 200 and self.command == "GET":
            headers["ETag"] = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
            wanted = self.headers.get("If-None-Match", "")
            if headers["ETag"] in wanted or wanted.strip() == "*":
                status, body = 304, b""
        self.send_response(status)
        if status != 304:
            charset = "; charset=utf-8" if response.text is not None else ""
            self.send_header("Content-Type", response.content_type + charset)
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = do_CONNECT = _handle

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by the base class for what it cannot parse; a method nobody knows is a wrong one, a strange version a bad request."""
        self.close_connection = True
        status = {501: 405, 505: 400}.get(code, code)
        # for what it cannot parse the base class takes HTTP/0.9, which has no status line
        self.request_version = self.protocol_version
        if not hasattr(self, "headers"):
            self.headers = self.MessageClass()
        self.command = getattr(self, "command", None) or ""
        self._send(Response({"title": "Malformed request", "message": message or "the request cannot be read", "hint": ""}, status))

    def version_string(self) -> str:
        return "playground"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Requests are not logged: a window polls several times a second."""


def _parse_query(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError as error:
        raise ApiError(400, "Malformed query", "the query cannot be read") from error


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `port` first, another free one where that is taken. One thread a connection; `close` ends it."""

    daemon_threads = True
    # closing must not wait for idle keep-alive connections
    block_on_close = False
    request_queue_size = 64

    def __init__(self, router: Router, port: int = 0) -> None:
        self.router = router
        try:
            super().__init__(("127.0.0.1", port), _Connection)
        except (OSError, OverflowError):
            if not port:
                raise
            super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def server_bind(self) -> None:
        # the base class looks its own name up, which can take seconds without a resolver
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error; anything else is logged."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            traceback.print_exc(file=sys.stderr)
