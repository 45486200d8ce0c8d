"""Runs inside mitmproxy: breaks what passes in the way it was told to, and records what passed. Told over HTTP by tests/fakes/mitm.py."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from mitmproxy import ctx, http

PAGE = b"<!DOCTYPE html><html><body><h1>Log in</h1></body></html>"
READS = ("GET", "HEAD")
HUGE = 100 * 1024 * 1024


class Faults:
    """One fault for each proxied server, by the port that it listens on."""

    def __init__(self) -> None:
        self.faults: dict[int, dict[str, Any]] = {}
        self.seen: dict[int, list[list[str]]] = {}

    def running(self) -> None:
        """Tell where each server is proxied."""
        proxied = {}
        for instance in ctx.master.addons.get("proxyserver").servers:
            proxied[instance.mode.full_spec.partition("@")[0]] = instance.listen_addrs[0][1]
        place = Path(os.environ["MITM_READY"])
        half = place.with_suffix(".half")
        half.write_text(json.dumps(proxied), "utf-8")
        half.rename(place)

    async def request(self, flow: http.HTTPFlow) -> None:
        """Before the server gets it."""
        port = flow.client_conn.sockname[1]
        if flow.request.path.startswith("/-fault-"):
            flow.response = self._told(port, flow)
            return
        self.seen.setdefault(port, []).append([flow.request.method, flow.request.path])
        fault = self._fault(port, flow)
        kind = fault.get("kind", "")
        if kind == "delay":
            await asyncio.sleep(fault["seconds"])
        elif kind == "drop before":
            flow.kill()
        elif kind == "status":
            body = json.dumps({"title": "Proxy", "message": f"said {fault['status']}", "hint": ""}).encode()
            flow.response = http.Response.make(fault["status"], body, {"Content-Type": "application/json"} | fault.get("headers", {}))
        elif kind == "redirect":
            flow.response = http.Response.make(fault["status"], b"", {"Location": fault["to"] + flow.request.path})

    async def response(self, flow: http.HTTPFlow) -> None:
        """Before the client gets the answer of the server."""
        port = flow.client_conn.sockname[1]
        if flow.request.path.startswith("/-fault-"):
            return
        fault, response = self._fault(port, flow), flow.response
        kind = fault.get("kind", "")
        if kind == "drop after":
            flow.kill()
        elif kind == "late":
            await asyncio.sleep(fault["seconds"])
        elif kind in ("html", "shape", "not json", "empty"):
            bodies = {"html": PAGE, "shape": b'{"unexpected":[1,null]}', "not json": b'{"runs": [', "empty": b""}
            response.headers.pop("etag", None)
            response.headers["content-type"] = "text/html" if kind == "html" else "application/json"
            response.status_code, response.content = 200, bodies[kind]
        elif kind == "half":
            whole = max(2, len(response.raw_content or b""))
            response.status_code = 200
            response.headers.pop("etag", None)
            response.content = (response.raw_content or b"{}")[: whole // 2]
            response.headers.pop("transfer-encoding", None)
            response.headers["content-length"] = str(whole)
            response.headers["connection"] = "close"
        elif kind == "huge":
            response.headers.pop("etag", None)
            response.status_code, response.content = 200, b'{"a":"' + b"x" * HUGE

    def _fault(self, port: int, flow: http.HTTPFlow) -> dict[str, Any]:
        fault = self.faults.get(port, {})
        on = fault.get("on", "all")
        read = flow.request.method in READS
        return fault if on == "all" or (on == "reads") == read else {}

    def _told(self, port: int, flow: http.HTTPFlow) -> http.Response:
        if flow.request.method == "PUT":
            self.faults[port] = json.loads(flow.request.content or b"{}")
            self.seen[port] = []
        return http.Response.make(200, json.dumps(self.seen.get(port, [])).encode(), {"Content-Type": "application/json"})


addons = [Faults()]
