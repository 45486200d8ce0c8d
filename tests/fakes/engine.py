"""A small engine that speaks the documented Docker interface: containers in memory, on a port or on a socket of this machine."""

from __future__ import annotations

import hashlib
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

NEVER = "0001-01-01T00:00:00Z"
WRITES = ("POST", "DELETE")


def now() -> str:
    """As Docker writes times, with nine digits."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class FakeEngine:
    """The state of one engine. `mode`: "", forbid, cut, hang or lose (the next write is done and not answered)."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.images: dict[str, dict[str, Any]] = {}
        self.exits: dict[str, int] = {}  # image id -> exit code of its containers
        self.unstartable: dict[str, str] = {}  # image id -> why its containers do not start ("" = the engine forgets the reason)
        self.health: dict[str, str] = {}  # image id -> what its health check says
        self.remote: dict[str, str] = {}  # digest -> image id: what a pull brings
        self.containers: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.mode = ""
        self.over = threading.Event()
        self.url = ""

    def image(self, repository: str, version: str, created: int = 1_700_000_000, *, here: bool = True, **config: Any) -> str:
        """Add an image; answers its digest."""
        name = f"{repository}:{version}"
        digest, known = (f"sha256:{hashlib.sha256(f'{kind} {name}'.encode()).hexdigest()}" for kind in ("manifest", "image"))
        labels = {"org.opencontainers.image.version": version, "org.opencontainers.image.revision": "c" * 40, "of": "image"}
        self.images[known] = {
            "summary": {"Id": known, "RepoTags": [name], "RepoDigests": [f"{repository}@{digest}"], "Labels": labels, "Created": created},
            "config": {"Env": ["PATH=/bin"], "Cmd": ["serve"], "Labels": labels, **config},
            "here": here,
        }
        self.remote[digest] = known
        return digest

    def run(self, name: str, digest: str, **host: Any) -> None:
        """A container that somebody runs, with settings of its own."""
        body = {
            "Image": digest,
            "Env": ["OWN=1"],
            "Labels": {"team": "a"},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}, **host},
        }
        made = self.create(name, body)[1]
        self.start(str(made["Id"]))

    def named(self, name: str) -> dict[str, Any]:
        """The container of that name."""
        return next(c for c in self.containers.values() if c["Name"] == f"/{name}")

    def names(self) -> list[str]:
        """All names, and which of them run."""
        return sorted(f"{c['Name'][1:]}{'*' if c['State']['Running'] else ''}" for c in self.containers.values())

    # what the interface does

    def find(self, reference: str) -> dict[str, Any] | None:
        digest = reference.rpartition("@")[2]
        known = self.remote.get(digest, digest if digest.startswith("sha256:") else f"sha256:{digest}")
        image = self.images.get(known)
        return image if image is not None and image["here"] else None

    def create(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        image = self.find(body["Image"])
        if image is None:
            return 404, {"message": f"No such image: {body['Image']}"}
        if any(c["Name"] == f"/{name}" for c in self.containers.values()):
            return 409, {"message": f'Conflict. The container name "/{name}" is already in use'}
        assert all(isinstance(v, str) for v in (body.get("Labels") or {}).values())
        made = hashlib.sha256(f"{name}{len(self.containers)}{now()}".encode()).hexdigest()
        config = dict(image["config"], **{k: v for k, v in body.items() if k not in ("HostConfig", "NetworkingConfig", "Labels", "Env")})
        config["Labels"] = {**image["config"]["Labels"], **(body.get("Labels") or {})}
        config["Env"] = [*image["config"]["Env"], *(e for e in body.get("Env") or [] if e not in image["config"]["Env"])]
        config.setdefault("Hostname", made[:12])
        state = {"Status": "created", "Running": False, "ExitCode": 0, "StartedAt": NEVER, "FinishedAt": NEVER}
        self.containers[made] = {
            "Id": made,
            "Name": f"/{name}",
            "Image": image["summary"]["Id"],
            "Created": now(),
            "State": state,
            "Config": config,
            "HostConfig": body.get("HostConfig") or {},
            "NetworkSettings": {"Networks": {"bridge": {}}},
        }
        return 201, {"Id": made, "Warnings": []}

    def start(self, known: str) -> tuple[int, dict[str, Any]]:
        container = self.containers[known]
        if container["State"]["Running"]:
            return 304, {}
        ports = container["HostConfig"].get("PortBindings")
        if any(c["State"]["Running"] and c["HostConfig"].get("PortBindings") == ports and ports for c in self.containers.values()):
            return 500, {"message": "driver failed programming external connectivity: port is already allocated"}
        if container["Image"] in self.unstartable:
            why = self.unstartable[container["Image"]]
            container["State"].update({"Error": why, "ExitCode": 128} if why else {})
            return 500, {"message": why or "internal error"}
        container["State"].update(Status="running", Running=True, StartedAt=now())
        if container["Image"] in self.health:
            container["State"]["Health"] = {"Status": self.health[container["Image"]]}
        if container["Image"] in self.exits:
            container["State"].update(Status="exited", Running=False, FinishedAt=now(), ExitCode=self.exits[container["Image"]])
        return 204, {}

    def stop(self, known: str) -> tuple[int, dict[str, Any]]:
        state = self.containers[known]["State"]
        if not state["Running"]:
            return 304, {}
        state.update(Status="exited", Running=False, FinishedAt=now(), ExitCode=137)
        return 204, {}

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body."""
        parts = [unquote(part) for part in path.split("/")[1:]]
        match method, parts:
            case "GET", ["version"]:
                return 200, {"Version": "27.0.1", "ApiVersion": "1.46", "Platform": {"Name": "Docker Engine - Test"}}
            case "GET", ["images", "json"]:
                return 200, [image["summary"] for image in self.images.values() if image["here"]]
            case "GET", ["images", reference, "json"]:
                image = self.find(reference)
                return (200, {"Id": image["summary"]["Id"], "Config": image["config"]}) if image else (404, {"message": "No such image"})
            case "POST", ["images", "create"]:
                if query["tag"] not in self.remote:
                    return 200, {"error": "manifest unknown"}
                self.images[self.remote[query["tag"]]]["here"] = True
                return 200, {"status": "Status: Downloaded newer image"}
            case "GET", ["containers", "json"]:
                assert query.get("all") == "true"
                return 200, [self._listed(c) for c in self.containers.values()]
            case "POST", ["containers", "create"]:
                return self.create(query["name"], body)
        if parts[0] != "containers" or len(parts) < 2 or parts[1] not in self.containers:
            return 404, {"message": f"No such container: {path}"}
        return self._container(method, parts[1], parts[2:], query)

    def _container(self, method: str, known: str, rest: list[str], query: dict[str, str]) -> tuple[int, Any]:
        match method, rest:
            case "GET", ["json"]:
                return 200, self.containers[known]
            case "POST", ["start"]:
                return self.start(known)
            case "POST", ["stop"]:
                return self.stop(known)
            case "POST", ["rename"]:
                if any(c["Name"] == f"/{query['name']}" for c in self.containers.values()):
                    return 409, {"message": "Conflict. The name is already in use"}
                self.containers[known]["Name"] = f"/{query['name']}"
                return 204, {}
            case "DELETE", []:
                if self.containers[known]["State"]["Running"]:
                    return 409, {"message": "You cannot remove a running container"}
                del self.containers[known]
                return 204, {}
        return 405, {"message": "not allowed"}

    @staticmethod
    def _listed(container: dict[str, Any]) -> dict[str, Any]:
        state, labels = container["State"]["Status"], container["Config"]["Labels"]
        return {"Id": container["Id"], "Names": [container["Name"]], "ImageID": container["Image"], "State": state, "Labels": labels}


class _Handler(BaseHTTPRequestHandler):
    engine: FakeEngine

    def _serve(self) -> None:
        engine = self.engine
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        mode = engine.mode
        if mode == "hang":
            engine.over.wait(30)
        if mode in ("hang", "cut"):
            self.close_connection = True
            return
        with engine.lock:
            engine.asked.append((self.command, address.path))
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            refused = (401, {"message": "authentication required"})
            status, value = refused if mode == "forbid" else engine.answer(self.command, address.path, query, json.loads(body or b"{}"))
        if mode == "lose" and self.command in WRITES:
            engine.mode = ""
            self.close_connection = True
            return
        text = b"" if status in (204, 304) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _serve

    def address_string(self) -> str:
        return "client"

    def log_message(self, *words: object) -> None:
        return


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False


class _Server(ThreadingHTTPServer):
    daemon_threads = False


@contextmanager
def engine(socket: Path | None = None) -> Iterator[FakeEngine]:
    """An engine on a free port, or on this socket."""
    state = FakeEngine()
    handler = type("Handler", (_Handler,), {"engine": state})
    server: socketserver.BaseServer
    if socket is None:
        http = _Server(("127.0.0.1", 0), handler)
        server, state.url = http, f"http://127.0.0.1:{http.server_address[1]}"
    else:
        server, state.url = _UnixServer(str(socket), handler), f"unix://{socket}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
