"""A small HTTP/1.1 server: one thread, kept-alive connections, JSON in and JSON out."""

import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback

from . import settings
from .metrics import CONTENT_TYPE, Metrics

MAX_HEADER_BYTES = settings.whole("max_header_bytes")
#@ since all-body-limit
MAX_BODY_BYTES = settings.whole("max_body_bytes")
#@ end
#@ since all-connection-limit
MAX_CONNECTIONS = settings.whole("max_connections")
#@ end
LOG_REFUSALS = settings.on("log_refusals")
REASONS = {
    200: "OK",
    201: "Created",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
#@ since all-body-limit
    413: "Content Too Large",
#@ end
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class ApiError(Exception):
    """A refusal: what it is, what happened, and the way out."""

    def __init__(self, status, title, message, hint=""):
        super().__init__(title)
        self.status = status
        self.body = {"title": title, "message": message, "hint": hint}


class Request:
    """One parsed request. `parameters` are the variable parts of the path, in order."""

    __slots__ = ("body", "close", "method", "parameters", "path", "query")

    def json(self):
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "Not JSON", "The body is not a JSON document: %s." % error, "Send a JSON object.") from None
        if not isinstance(value, dict):
            raise ApiError(400, "Not an object", "The body is JSON, but not an object.", "Send a JSON object.")
        return value

    def integer(self, name, default, low, high):
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
            raise ApiError(400, "Bad parameter", "%s must be a whole number from %d to %d." % (name, low, high))
        return int(text)


class Application:
    """Routes of one service, and what every service answers: /version, /healthz, /metrics, and /mode where it has modes."""

    def __init__(self, service, routes, gauges, environ=os.environ, mode=None, broken=None):
        self._mode = mode
        self._routes = [(method, tuple(pattern.strip("/").split("/")), operation, call) for method, pattern, operation, call in routes]
        self._metrics = Metrics(dict.fromkeys(route[2] for route in self._routes))
        for name, help_text, read in gauges:
            self._metrics.gauge(name, help_text, read)
        self._metrics.invariants(broken or {})
        self._version = {
            "service": service,
            "version": environ.get("RELEASE_VERSION", ""),
            "commit": environ.get("RELEASE_COMMIT", ""),
            "digest": environ.get("RELEASE_DIGEST", ""),
            "node": environ.get("NODE_NAME", ""),
            "environment": environ.get("ENVIRONMENT", ""),
            "started_at_us": time.time_ns() // 1000,
        }
        self._version["config"], self._version["flags"] = settings.describe(settings.VALUES)

    def answer(self, request, ready_at_s):
        """The bytes that answer a request. Time counts from when its bytes were ready to be read."""
        if request.path == "/metrics":
            return render(200, self._metrics.text().encode(), CONTENT_TYPE, request.close)
        if request.path == "/healthz":
            return render_json(200, {"status": "ok"}, request.close)
        if request.path == "/version":
            return render_json(200, {**self._version, **self._modes()}, request.close)
        operation = None
        try:
            if request.path == "/mode" and self._mode is not None:
                return render_json(200, self._switch(request), request.close)
            operation, call = self._find(request)
            if self._mode is not None:
                self._mode.check(operation)
            status, body = call(request)
        except ApiError as error:
            status, body = error.status, error.body
        except Exception:
            traceback.print_exc()
            status, body = 500, {"title": "Internal error", "message": "The service failed on this request.", "hint": "See its log."}
        answer = render_json(status, body, request.close)
        if operation is not None:
            self._metrics.observe(operation, time.perf_counter() - ready_at_s, status >= 500)
        if LOG_REFUSALS and status >= 400:
            sys.stdout.write("%s %s: %d\n" % (request.method, request.path, status))
            sys.stdout.flush()
        return answer

    def _modes(self):
        return {} if self._mode is None else {"mode": self._mode.now}

    def _switch(self, request):
        """The trading mode; PUT switches it."""
        if request.method == "PUT":
            self._mode.switch(request.json().get("mode"))
        elif request.method != "GET":
            raise ApiError(405, "Method not allowed", "%s is not possible here." % request.method)
        return self._modes()

    def _find(self, request):
        parts = tuple(request.path.strip("/").split("/"))
        known = False
        for method, pattern, operation, call in self._routes:
            if len(pattern) != len(parts) or any(want != "*" and want != part for want, part in zip(pattern, parts)):
                continue
            known = True
            if method == request.method:
                request.parameters = [part for want, part in zip(pattern, parts) if want == "*"]
                return operation, call
        if known:
            raise ApiError(405, "Method not allowed", "%s is not possible here." % request.method)
        raise ApiError(404, "Not found", "There is nothing at this path.")


def render_json(status, body, close=False):
    return render(status, json.dumps(body, separators=(",", ":")).encode(), "application/json", close)


def render(status, body, content_type, close):
    head = "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n" % (
        status, REASONS[status], content_type, len(body), "Connection: close\r\n" if close else "",
    )  # fmt: skip
    return head.encode() + body


def parse(buffer):
    """Take one whole request off the buffer, or None while bytes are missing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEADER_BYTES:
            raise ApiError(431, "Header too large", "The request's header exceeds %d bytes." % MAX_HEADER_BYTES)
        return None
    lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        raise ApiError(400, "Not HTTP", "The request line is malformed.")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers:
        raise ApiError(411, "Length required", "Chunked bodies are not read here.", "Send Content-Length.")
    if not length.isascii() or not length.isdigit() or len(length) > 12:
        raise ApiError(400, "Bad length", "Content-Length is not a number.")
#@ since all-body-limit
    if int(length) > MAX_BODY_BYTES:
        raise ApiError(413, "Body too large", "The body exceeds %d bytes." % MAX_BODY_BYTES, "Send fewer entries at a time.")
#@ end
    total = end + 4 + int(length)
    if len(buffer) < total:
        return None
    request = Request()
    request.method = words[0]
    request.path, _, query = words[1].partition("?")
    request.query = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
    request.body = bytes(buffer[end + 4 : total])
    request.close = headers.get("connection", "").lower() == "close" or words[2] == "HTTP/1.0"
    del buffer[:total]
    return request


class Connection:
    """One client: bytes read and not yet understood, bytes written and not yet taken."""

    def __init__(self, server, channel):
        self._server = server
        self.channel = channel
        self._incoming = bytearray()
        self._outgoing = b""
        self._closing = False

    def on_ready(self, events, ready_at_s):
        try:
            if events & selectors.EVENT_READ:
                self._read(ready_at_s)
            self._write()
        except OSError:
            self._server.drop(self)

    def _read(self, ready_at_s):
        data = self.channel.recv(65536)
        if not data:
            self._closing = True
            return
        self._incoming += data
        answers = []
        try:
            while not self._closing and (request := parse(self._incoming)) is not None:
                self._closing = request.close
                answers.append(self._server.application.answer(request, ready_at_s))
        except ApiError as error:
            self._closing = True
            answers.append(render_json(error.status, error.body, close=True))
        self._outgoing += b"".join(answers)

    def _write(self):
        if self._outgoing:
            try:
                self._outgoing = self._outgoing[self.channel.send(self._outgoing) :]
            except BlockingIOError:
                pass
        if self._outgoing:
#@ before all-backpressure
            self._server.watch(self, selectors.EVENT_READ | selectors.EVENT_WRITE)
#@ end
#@ since all-backpressure
            # A client that doesn't read its answers is not read from either.
            self._server.watch(self, selectors.EVENT_WRITE)
#@ end
        elif self._closing:
            self._server.drop(self)
        else:
            self._server.watch(self, selectors.EVENT_READ)


class Server:
    """Accepts on loopback and runs until SIGTERM or SIGINT."""

    def __init__(self, application, port):
        self.application = application
        self._connections = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def run(self):
        try:
            while True:
                ready = self._selector.select()
                ready_at_s = time.perf_counter()
                for key, events in ready:
                    if key.data is None:
                        self._accept()
                    else:
                        key.data.on_ready(events, ready_at_s)
        finally:
            for connection in list(self._connections):
                self.drop(connection)
            self._listener.close()
            self._selector.close()

    def _accept(self):
        try:
            channel, _ = self._listener.accept()
        except OSError:
            return
#@ since all-connection-limit
        if len(self._connections) >= MAX_CONNECTIONS:
            channel.close()
            return
#@ end
        channel.setblocking(False)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, channel)
        self._connections[connection] = selectors.EVENT_READ
        self._selector.register(channel, selectors.EVENT_READ, connection)

    def watch(self, connection, events):
        if self._connections.get(connection, events) != events:
            self._connections[connection] = events
            self._selector.modify(connection.channel, events, connection)

    def drop(self, connection):
        if self._connections.pop(connection, None) is not None:
            self._selector.unregister(connection.channel)
            connection.channel.close()


def _leave(_signal, _frame):
    raise SystemExit(0)


def serve(service, routes, gauges, mode=None, broken=None):
    """Run one service on the port the environment names, in the trading mode that it names. `broken`: its invariants and their counts."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    port = int(os.environ["PORT"])
    if mode is not None:
        mode.switch(os.environ.get("MODE") or "open")
    server = Server(Application(service, routes, gauges, mode=mode, broken=broken), port)
    sys.stdout.write("%s %s listens on 127.0.0.1:%d\n" % (service, os.environ.get("RELEASE_VERSION", "?"), port))
    sys.stdout.flush()
    server.run()
