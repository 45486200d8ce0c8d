"""A bad deployment is rolled back by itself with exactly one POST: by one window, by two, stopped by a person, killed on the way.

Real processes throughout: the playground's deployer, its nodes and their /metrics (their counters grow by the clock), and windows' cores.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.registry import create
from cockpit.playground import processes
from tests.e2e.small_deployer import NODES, Deployer
from tests.fakes.playground import RUN, SERVICE, git, release, wait_for

CHILD = Path(__file__).with_name("watch_child.py")
PLACES = ("stop", "announced", "intent", "post", "two")
PATIENCE_S = 100.0  # everything ends by what happens; this is how long a busy machine may take
PAGE = """
import time
began, errors = time.time(), ERRORS
def metrics():
    n = int(120 * (time.time() - began))
    name = "http_server_request_duration_seconds"
    shares = (("0.005", 0.6), ("0.05", 0.99), ("+Inf", 1))
    rows = [f'{name}_bucket{{operation="place_order",le="{le}"}} {int(n * share)}' for le, share in shares]
    rows += [f'{name}_sum{{operation="place_order"}} {n * 0.004}', f'{name}_count{{operation="place_order"}} {n}']
    head, tail = f"# TYPE {name} histogram", "# TYPE http_server_errors counter"
    rows = [head, *rows, tail, f'http_server_errors_total{{operation="place_order"}} {int(n * errors)}', "# EOF"]
    return ("\\n".join(rows) + "\\n").encode()
"""
BODY = 'body = json.dumps(said if self.path == "/version" else {"status": "ok"}).encode()'
SETTINGS = """
[me]
name = "Rae"
email = "rae@playground.invalid"
[services.order-gateway]
repository = "{repository}"
[environments.{place}]
rank = 1
[environments.{place}.watch]
minutes = 1
requests = 100
automatic = true
[connections.deployer]
kind = "deployment-v1"
url = "http://127.0.0.1:{port}"
[connections.latency]
kind = "openmetrics"
[poll]
interval_s = 0.5
"""


def program(errors: float, version: str) -> str:
    assert BODY in RUN
    served = RUN.replace(BODY, f'body = metrics() if self.path == "/metrics" else {BODY.removeprefix("body = ")}')
    return PAGE.replace("ERRORS", str(errors)) + served + f"# {version}\n"


class Measured(Deployer):
    """Its nodes tell metrics, in every version; 1.2.0 fails for three requests in ten."""

    def __init__(self, directory: Path) -> None:
        (directory / "repo").mkdir(parents=True)
        git(directory / "repo", "init", "--quiet", "-b", "main")
        for version, errors in (("1.0.0", 0.0), ("1.1.0", 0.0), ("1.2.0", 0.3)):
            release(directory / "repo", version, {"run.py": program(errors, version)})
        self.directory, self.places, self.port = directory, PLACES, 0
        self.versions: dict[str, str] = {}
        environments = [f"--environment={name}={NODES}" for name in PLACES]
        arguments = ["--services", SERVICE, *environments, "--released", f"{SERVICE}=1.1.0", "--drain-s", "0"]
        processes.start_module("deployer", arguments, directory, loose=True).wait()

    def digest(self, version: str) -> str:
        def found() -> Any:
            known = self.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]
            return next((a["digest"] for a in known if a["version"] == version), None)

        return str(wait_for(found, f"{version} is built"))


@pytest.fixture(scope="module")
def deployer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    made = Measured(tmp_path_factory.mktemp("watch") / "playground")
    try:
        made.ready()
        yield made
    finally:
        made.close()


class Window:
    """A child process and what it printed."""

    def __init__(self, folder: Path, place: str, mode: str, seconds: float) -> None:
        command = [sys.executable, str(CHILD), str(folder), place, mode, str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.errors: list[str] = []
        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            threading.Thread(target=self._read, args=(stream, lines)).start()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        lines.extend(line.strip() for line in stream)
        stream.close()

    def ready(self) -> bool:
        assert self.process.poll() is None, self.errors
        return "ready" in self.lines

    def killed(self) -> bool:
        assert self.process.wait(PATIENCE_S) == -signal.SIGKILL, (self.lines, self.errors)
        return True

    def report(self) -> Any:
        assert self.process.wait(PATIENCE_S + 20) == 0, self.errors
        wait_for(lambda: self.lines[-1:] and self.lines[-1].startswith("{"), "it reported")
        return json.loads(self.lines[-1])


class Site:
    """All windows at once, each with its environment."""

    def __init__(self, deployer: Measured, folder: Path) -> None:
        self.deployer, self.folder = deployer, folder
        self.api: OpenDeployment = create("deployment-v1", {"url": f"http://127.0.0.1:{deployer.port}"}, lambda: "")
        self.windows: list[Window] = []

    def open(self, place: str, mode: str, seconds: float = PATIENCE_S, name: str = "") -> Window:
        home = self.folder / (name or place)
        home.mkdir(exist_ok=True)
        text = SETTINGS.format(repository=self.deployer.directory / "repo", place=place, port=self.deployer.port)
        (home / "cockpit.toml").write_text(text, "utf-8")
        self.windows.append(Window(home, place, mode, seconds))
        return self.windows[-1]

    def deploy(self, version: str, places: tuple[str, ...] = PLACES) -> None:
        digest = self.deployer.digest(version)
        for place in places:
            self.api.deploy(DeployRequest(SERVICE, place, version, digest, "deploy", "test"), f"{version}-{place}")

    def rollbacks(self, place: str) -> list[Any]:
        return [d for d in self.deployer.history(place) if d["kind"] == "rollback"]

    def runs(self, place: str) -> set[str]:
        return {n["version"] for n in self.deployer.fleet(place)["nodes"]}

    def close(self) -> None:
        self.api.close()
        for window in self.windows:
            if window.process.poll() is None:
                os.kill(window.process.pid, signal.SIGKILL)
                window.process.wait()


@pytest.fixture
def site(deployer: Measured, tmp_path: Path) -> Iterator[Site]:
    made = Site(deployer, tmp_path)
    yield made
    made.close()


@pytest.mark.e2e
def test_a_bad_deployment_is_rolled_back_by_itself_once_whatever_happens(site: Site, eventually: Any) -> None:
    stopped, second = site.open("stop", "stop"), site.open("two", "act", name="two-b")
    first = site.open("two", "act")
    dying = {mode: site.open(mode, mode) for mode in ("announced", "intent", "post")}
    eventually(lambda: all(w.ready() for w in site.windows), PATIENCE_S)
    site.deploy("1.2.0")

    again = {}
    for mode, dead in dying.items():  # in the order of their deaths
        assert dead.killed()
        again[mode] = site.open(mode, "again-bad" if mode == "intent" else "again")

    answer = stopped.report()
    assert (answer["stopped_by"], answer["intents"]) == ("Rae <rae@playground.invalid>: we know of it", [])
    assert "stopped" in answer["said"]
    assert (site.rollbacks("stop"), site.runs("stop")) == ([], {"1.2.0"})

    reports = [first.report(), second.report()]
    (back,) = site.rollbacks("two")
    assert {key for r in reports for key, _, _ in r["actions"]} == {back["key"]}, "whoever acted asked for the same"
    assert {state for r in reports for _, state, _ in r["actions"]} == {"done"}, reports
    assert any("announced" in r["said"] for r in reports), "by whoever acted"
    assert all(r["verified"] for r in reports), reports
    assert site.runs("two") == {"1.1.0"}

    answer = again["announced"].report()
    (back,) = site.rollbacks("announced")
    assert [(key, state) for key, state, _ in answer["actions"]] == [(back["key"], "done")]
    assert back["reason"].startswith("automatic: ")
    assert "errors of place_order are " in back["reason"]
    assert answer["said"].count("announced") >= 2, "by the one that was killed, too"
    assert answer["verified"]
    assert answer["watched"] == ["rollback", "1.1.0", False], "what one went back to is watched, and nothing is announced for it"
    assert ("POST" in again["announced"].lines, site.runs("announced")) == (True, {"1.1.0"})
    answer = again["intent"].report()
    assert (site.rollbacks("intent"), site.runs("intent")) == ([], {"1.2.0"})
    assert [state for _, state, _ in answer["actions"]] == ["not sent"]
    assert ("POST" in again["intent"].lines, answer["state"]) == (False, "bad")
    answer = again["post"].report()
    assert len(site.rollbacks("post")) == 1
    assert ("POST" in again["post"].lines, [state for _, state, _ in answer["actions"]]) == (False, ["done"])
    assert len(site.deployer.fleet("post")["nodes"]) == NODES
