"""The playground's CI runner: `python -m cockpit.playground.ci --directory DIR` tests new tags and serves resources/openapi/ci-v1.yaml."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from cockpit.playground import processes
from cockpit.playground.ci_runs import Runs
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.server import ApiError, Request, Response, Router, Server
from cockpit.playground.tags import SERVICES, read_tags

PART = "ci"
_LOG_BYTES = 200_000
_TICK_S = 1.0


class Api:
    """The operations of the CI API. Called by many threads."""

    def __init__(self, runs: Runs, services: tuple[str, ...]) -> None:
        self._runs = runs
        self._services = services
        self.router = Router(
            [
                ("GET", "/v1/health", self.health),
                ("GET", "/v1/services/{service}/runs", self.list_runs),
                ("GET", "/v1/runs/{id}", self.run),
                ("GET", "/v1/runs/{id}/suites/{suite}/log", self.log),
                ("GET", "/v1/runs/{id}/suites/{suite}/junit", self.junit),
                ("POST", "/v1/runs/{id}/rerun", self.rerun),
                ("POST", "/v1/runs/{id}/stop", self.stop),
            ]
        )

    def health(self, _: Request) -> Response:
        return Response({"name": "playground CI", "version": "1.0", "identity": ""})

    def list_runs(self, request: Request) -> Response:
        service = request.params["service"]
        if service not in self._services:
            raise ApiError(404, "Unknown service", f"there is no service {service}")
        return Response({"runs": self._runs.of(service, request.limit)})

    def run(self, request: Request) -> Response:
        return Response(self._runs.get(request.params["id"]))

    def log(self, request: Request) -> Response:
        path = self._runs.file(request.params["id"], request.params["suite"], "log")
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _LOG_BYTES))
                text = file.read(_LOG_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            text = ""
        return Response(text=text, content_type="text/plain")

    def junit(self, request: Request) -> Response:
        path = self._runs.file(request.params["id"], request.params["suite"], "xml")
        try:
            text = path.read_text("utf-8", "replace")
        except FileNotFoundError:
            raise ApiError(404, "No report", "the suite did not end by itself, so it has no report") from None
        return Response(text=text, content_type="application/xml")

    def rerun(self, request: Request) -> Response:
        run, new = self._runs.rerun(request.params["id"], request.key)
        return Response(run, 201 if new else 200)

    def stop(self, request: Request) -> Response:
        return Response(self._runs.stop(request.params["id"]))


class Watch:
    """Looks for tags once a second; complains once about a repository that cannot be read."""

    def __init__(self, directory: Path, runs: Runs, services: tuple[str, ...]) -> None:
        self._repository = directory / "repo"
        self._runs = runs
        self._services = services
        self._complaint = ""

    def tick(self) -> None:
        try:
            self._runs.see(read_tags(self._repository, self._services))
            self._complaint = ""
        except (PlaygroundError, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                print(error, file=sys.stderr, flush=True)


def _arguments(argv: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(prog="cockpit.playground.ci", description="The playground's CI runner.")
    parser.add_argument("--directory", type=Path, required=True, help="the playground's directory")
    parser.add_argument("--services", default=",".join(SERVICES), help="names, with commas between")
    parser.add_argument("--skip", action="append", default=[], metavar="TAG", help="an old tag: tested last, with low priority")
    parser.add_argument("--suite-limit-s", type=float, default=300.0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Test and serve until SIGTERM; a run under way is run again at the next start."""
    options = _arguments(argv)
    directory = options.directory.absolute()
    services = tuple(options.services.split(","))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        claimed = processes.claim(directory, PART)
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        return 1
    with claimed:
        runs = Runs(directory, frozenset(options.skip), options.suite_limit_s)
        watch = Watch(directory, runs, services)
        worker = threading.Thread(target=runs.work, name="work", daemon=True)
        with Server(Api(runs, services).router, processes.read_run_file(directory, PART).get("port", 0)) as server:
            threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
            processes.write_run_file(directory, PART, server.port)
            watch.tick()
            worker.start()
            while not stop.wait(_TICK_S):
                watch.tick()
            server.shutdown()
        runs.close()
        worker.join(10.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
