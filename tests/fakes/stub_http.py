"""What the stubs of forges and CI systems share: a threaded HTTP server with routes, and a repository in memory."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

US = 1_000_000
START_S = 1_790_000_000  # when the stubs' worlds begin; before the tests run


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Asked:
    """One request: method, decoded path segments by name, query, body, headers (names in lower case)."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        parts = urlsplit(target)
        self.method, self.path, self.headers, self.raw = method, parts.path, headers, body
        self.query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.named: dict[str, str] = {}

    @property
    def json(self) -> Any:
        return json.loads(self.raw) if self.raw else {}

    @property
    def form(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.raw.decode(), keep_blank_values=True).items()}


Answer = Any  # a JSON value, or (status, JSON value or text or bytes, headers)


class Stub:
    """Routes are (method, pattern with {name} for one segment, what answers). `asked` has every request; `etags`: GETs carry one."""

    etags = False

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lock = threading.RLock()
        self.routes: list[tuple[str, re.Pattern[str], Callable[[Asked], Answer]]] = []
        self.url = ""
        self.port = 0

    def route(self, method: str, pattern: str, answer: Callable[[Asked], Answer]) -> None:
        regex = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", re.sub(r"([.+])", r"\\\1", pattern))
        self.routes.append((method, re.compile(regex), answer))

    def check(self, asked: Asked) -> None:
        """Refuse who may not."""

    def missing(self, asked: Asked) -> Refused:
        return Refused(404, {"error": "404 Not Found"})

    def extra(self, asked: Asked) -> dict[str, str]:
        """Headers of every answer."""
        return {}

    def answer(self, asked: Asked) -> tuple[int, bytes, dict[str, str]]:
        with self.lock:
            self.asked.append(f"{asked.method} {asked.path}")
            try:
                self.check(asked)
                return self._packed(asked, self._routed(asked))
            except Refused as refused:
                return self._packed(asked, (refused.status, refused.body, {}))

    def _routed(self, asked: Asked) -> Answer:
        for method, regex, answer in self.routes:
            found = regex.fullmatch(asked.path)
            if found and method == asked.method:
                asked.named = {name: unquote(value) for name, value in found.groupdict().items()}
                return answer(asked)
        raise self.missing(asked)

    def _packed(self, asked: Asked, answer: Answer) -> tuple[int, bytes, dict[str, str]]:
        status, body, headers = answer if isinstance(answer, tuple) else (200, answer, {})
        text = isinstance(body, str | bytes)
        packed = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "text/plain" if text else "application/json", **self.extra(asked), **headers}
        if self.etags and asked.method == "GET" and status == 200:
            headers["ETag"] = f'W/"{hashlib.md5(packed).hexdigest()}"'
            if asked.headers.get("if-none-match") == headers["ETag"]:
                return 304, b"", headers
        return status, packed, headers

    @contextmanager
    def running(self) -> Iterator[Any]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # the body would wait 40 ms for the head's acknowledgement

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                status, packed, headers = stub.answer(asked)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(packed)))
                self.end_headers()
                self.wfile.write(packed)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = False
            block_on_close = True

        # a kept connection would keep its thread, and so the end of the test, waiting
        Handler.timeout = 0.5
        server = Server(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="stub")
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def sha(text: str) -> str:
    """A commit id."""
    return hashlib.sha1(text.encode()).hexdigest()


def iso(at_s: float, zone: str = "Z") -> str:
    """ISO 8601 with milliseconds, as GitLab writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(at_s * 1000) % 1000:03d}{zone}"


class Repository:
    """Commits and tags in memory; `add` answers the new commit's id, on top of `parent` (None: of the last one)."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Any]] = {}
        self.tags: list[dict[str, Any]] = []
        self.last = ""

    def add(self, subject: str, *, body: str = "", author: str = "Ada", files: tuple[str, ...] = (), parent: str | None = None) -> str:
        number = len(self.commits)
        parent = self.last if parent is None else parent
        commit = sha(f"{number} {subject} {parent}")
        message = subject + (f"\n\n{body}" if body else "") + "\n"
        self.commits[commit] = {
            "id": commit,
            "parents": [parent] if parent else [],
            "message": message,
            "title": subject,
            "name": author,
            "email": f"{author.lower()}@playground.invalid",
            "at_s": START_S + number * 3600,
            "files": list(files) or ["src/book.py"],
        }
        self.last = commit
        return commit

    def tag(self, name: str, commit: str, *, message: str | None = None) -> None:
        self.tags.append({"name": name, "commit": commit, "message": message, "at_s": self.commits[commit]["at_s"] + 60})

    def resolve(self, name: str) -> str:
        """A commit id, or "" where the name leads nowhere."""
        if name in ("HEAD", "main"):
            return self.last
        return next((tag["commit"] for tag in self.tags if tag["name"] == name), name if name in self.commits else "")

    def ancestors(self, commit: str) -> set[str]:
        found: set[str] = set()
        rest = [commit]
        while rest:
            one = rest.pop()
            if one and one not in found:
                found.add(one)
                rest += self.commits[one]["parents"]
        return found

    def between(self, base: str, head: str, path: str = "") -> list[dict[str, Any]]:
        """As git log base..head -- path lists them."""
        gone = self.ancestors(base) if base else set()
        ids = self.ancestors(head) - gone
        found = [commit for commit in self.commits.values() if commit["id"] in ids]
        return [c for c in reversed(found) if not path or any(f == path or f.startswith(path + "/") for f in c["files"])]


def now_s() -> float:
    """The time now."""
    return time.time()
