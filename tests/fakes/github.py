"""A GitHub in memory: a real server on a loopback port with its conditions, pages, limits and refusals."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

from tests.fakes import github_shapes as shapes
from tests.fakes.github_paths import ROUTES, Refused
from tests.fakes.github_repository import Repository

TOKEN = "ghp_canary"
LIMIT = 5000
HANG_S = 10.0


class Recorded(Struct):
    """One request as it arrived, and what was answered. `counted`: it was taken off the limit."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int
    answer: Any
    counted: bool
    at_s: float


class Github:
    """`repositories` by owner/name; `requests` holds all that arrived. `clock` answers Unix seconds.

    `fault`: "" | forbid | hang | cut | lose (the next write is done and its answer lost) | limit (the secondary limit's 403).
    """

    def __init__(self, clock: Callable[[], float] = time.time, conditional: bool = True) -> None:
        self.clock, self.conditional = clock, conditional
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Recorded] = []
        self.used, self.limit = 0, LIMIT
        self.fault = ""
        self.scopes = "repo, workflow"
        self.lock = threading.RLock()
        self._over = threading.Event()
        self.store = _Server(self, self._stored)
        self.server = _Server(self, self._answered)
        self.url, self.store_url = self.server.url, self.store.url

    def close(self) -> None:
        self._over.set()
        self.server.end()
        self.store.end()

    def add(self, name: str) -> Repository:
        """A repository of that owner/name."""
        found = self.repositories[name] = Repository(name, self.clock)
        return found

    # answers

    def _answered(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, str], bytes] | None:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.fault == "hang":
            self._over.wait(HANG_S)
            return None
        if self.fault == "cut":
            return None
        with self.lock:
            status, body, more = self._body(method, parts.path, query, headers, raw)
            answer = json.dumps(body).encode() if body is not None else b""
            if method == "GET" and status == 200 and self.conditional:
                more["ETag"] = f'W/"{sha1(answer).hexdigest()}"'
                if headers.get("if-none-match") == more["ETag"]:
                    status, answer = 304, b""
            counted = status != 304 and parts.path != "/rate_limit"
            self.used += counted
            sent = json.loads(raw) if raw else None
            recorded = Recorded(method, parts.path, query, headers, sent, status, body, counted, self.clock())
            self.requests.append(recorded)
            if self.fault == "lose" and method != "GET":
                self.fault = ""
                return None
        limits = {"Limit": self.limit, "Remaining": max(0, self.limit - self.used), "Used": self.used, "Reset": int(self.clock()) + 3600}
        more |= {f"X-RateLimit-{name}": str(value) for name, value in limits.items()}
        return status, {"Content-Type": "application/json; charset=utf-8", "X-OAuth-Scopes": self.scopes, **more}, answer

    def _body(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], raw: bytes) -> tuple[int, Any, dict[str, str]]:
        if headers.get("authorization") != f"Bearer {TOKEN}" or not headers.get("user-agent"):
            return 401, _error("Bad credentials", 401), {}
        if self.fault == "forbid":
            return 403, _error("Resource not accessible by personal access token", 403), {}
        if self.fault == "limit":
            return 403, _error("You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", 403), {}
        try:
            return self._found(method, [unquote(part) for part in path.split("/")[1:]], query, raw)
        except Refused as error:
            return error.status, error.body or _error(str(error), error.status), {}

    def _found(self, method: str, parts: list[str], query: dict[str, str], raw: bytes) -> tuple[int, Any, dict[str, str]]:
        if parts == ["user"]:
            return 200, shapes.private_user(self.url, "ada", 11), {}
        if parts == ["rate_limit"]:
            rate = {"limit": self.limit, "remaining": self.limit - self.used, "reset": int(self.clock()) + 3600, "used": self.used}
            return 200, {"rate": rate, "resources": {"core": rate, "search": rate}}, {}
        if parts[:1] == ["repos"] and len(parts) == 3 and "/".join(parts[1:]) in self.repositories:
            name = "/".join(parts[1:])
            return 200, shapes.full_repository(self.url, name, self.repositories[name].push), {}
        if len(parts) < 3 or parts[0] != "repos" or "/".join(parts[1:3]) not in self.repositories:
            raise Refused(404, "Not Found")
        repository = self.repositories["/".join(parts[1:3])]
        for wanted, pattern, handle in ROUTES:
            found = _matched(pattern, parts[3:])
            if wanted == method and found is not None:
                body = json.loads(raw) if raw else {}
                status, answer, total = handle(self, repository, found, query, body)
                return status, answer, self._links(parts, query, total)
        raise Refused(404, "Not Found")

    def _links(self, parts: list[str], query: dict[str, str], total: int) -> dict[str, str]:
        if isinstance(total, str):
            return {"Location": total}
        size, page = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
        last = -(-total // size)
        address = f"{self.url}/{'/'.join(parts)}"
        links = [("next", page + 1), ("last", last)] if page < last else []
        return {"Link": ", ".join(f'<{address}?{urlencode({**query, "page": n})}>; rel="{rel}"' for rel, n in links)} if links else {}

    def _stored(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, str], bytes] | None:
        """The store of logs, on another port: whoever comes with a token is turned away."""
        if "authorization" in headers or "sig=good" not in target:
            return 403, {"Content-Type": "text/plain"}, b"no credentials here, and a signature"
        name = urlsplit(target).path.rpartition("/")[2]
        return 200, {"Content-Type": "text/plain"}, f"log of job {name}\n\x1b[31mred\n".encode()


def _matched(pattern: str, parts: list[str]) -> list[str] | None:
    wanted = pattern.split("/")
    if wanted[0] == "contents" and len(parts) >= len(wanted):
        parts = [*parts[: len(wanted) - 1], "/".join(parts[len(wanted) - 1 :])]
    if len(wanted) != len(parts):
        return None
    found = []
    for want, part in zip(wanted, parts, strict=True):
        if want == "*":
            found.append(part)
        elif want != part:
            return None
    return found


def _error(words: str, status: int) -> dict[str, Any]:
    return {"message": words, "documentation_url": "https://docs.github.com/rest", "status": str(status)}


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, owner: Github, answer: Callable[..., tuple[int, dict[str, str], bytes] | None]) -> None:
        self._open: set[Any] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # the body would wait 40 ms for the head's acknowledgement
            timeout = 30

            def setup(self) -> None:
                super().setup()
                outer._open.add(self.connection)

            def finish(self) -> None:
                outer._open.discard(self.connection)
                super().finish()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                found = answer(self.command, self.path, headers, body)
                if found is None:
                    self.close_connection = True
                    return
                status, more, sent = found
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True  # the client gave up, as many tests want it to

            def log_message(self, *words: object) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def end(self) -> None:
        import contextlib
        import socket

        self.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()
