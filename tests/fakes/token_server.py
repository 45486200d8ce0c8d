"""A system that asks for a token and can be told to misbehave with it: it repeats it in its errors, or leads elsewhere."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODES = ("ok", "echo", "forbidden", "redirect", "boom", "reflect")


class TokenServer:
    """`mode`: ok, echo (401 that repeats the token), forbidden (403 that does), redirect (to `elsewhere`), boom (500), reflect (200, in
    every text). `seen` holds (path, the Authorization header) of each request."""

    def __init__(self, token: str) -> None:
        self.token, self.mode, self.elsewhere = token, "ok", ""
        self.seen: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # the body would wait 40 ms for the head's acknowledgement

            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "")
                outer.seen.append((self.path, given))
                status, document, headers = outer.answer(self.path, given)
                body = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def log_message(self, *words: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, path: str, given: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """What a request gets."""
        error = {"title": f"No: {given}", "message": f"The token {given.removeprefix('Bearer ')} is no good.", "hint": f"Not {given}."}
        if self.mode == "redirect":
            return 302, {}, {"Location": f"{self.elsewhere}{path}"}
        if self.mode in ("boom", "forbidden"):
            return (500 if self.mode == "boom" else 403), error, {}
        if self.mode == "echo" or (self.token and given != f"Bearer {self.token}"):
            return 401, error, {}
        said = given if self.mode == "reflect" else ""
        if path.startswith("/v1/health"):
            return 200, {"name": f"stub{said}", "version": "1", "identity": f"bot{said}"}, {}
        if "/runs" in path:
            runs = [
                {"id": "1", "service": path.split("/")[3], "version": said or "1.0.0", "commit": "c" * 40, "state": "passed", "suites": []}
            ]
            return 200, {"runs": runs}, {}
        if path == "/v1/environments":
            return 200, {"environments": [{"name": "prod", "services": ["gw"], "nodes": 1}]}, {}
        return 404, error, {}

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
