"""The matching engine of order-matching with what its operators added: metrics, and a health page. It runs from a release directory."""

from __future__ import annotations

import time
from typing import Any

from order_matching.api.app import app as engine
from prometheus_client import Counter, Histogram, make_asgi_app

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
DURATION = Histogram("http_server_request_duration_seconds", "Time to answer", ["operation"], buckets=BUCKETS)
ERRORS = Counter("http_server_errors", "Answers that refused or failed", ["operation"])
metrics = make_asgi_app()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers, and counts what it answered."""
    path = scope.get("path", "")
    if scope["type"] != "http" or path.startswith("/metrics"):
        await (metrics if scope["type"] == "http" else engine)(scope, receive, send)
        return
    if path == "/healthz":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    operation, started, seen = path.strip("/").split("/")[0] or "root", time.perf_counter(), [500]

    async def sent(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            seen[0] = message["status"]
        await send(message)

    try:
        await engine(scope, receive, sent)
    finally:
        DURATION.labels(operation).observe(time.perf_counter() - started)
        ERRORS.labels(operation).inc(seen[0] >= 400)
