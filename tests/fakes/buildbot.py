"""A real Buildbot for tests: a master and one worker on free loopback ports, in process groups of their own, always ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from tests.fakes import environments
from tests.fakes.monitoring import wait_until

VENV = Path(__file__).resolve().parents[2] / "build" / "venvs" / "buildbot"
PACKAGES = ("buildbot>=4.3,<5", "buildbot-worker>=4.3,<5", "buildbot-www>=4.3,<5", "pytest")
USER, PASSWORD = "you", "canary-b0t-password"
GUEST, GUEST_PASSWORD = "guest", "canary-b0t-guest"  # may look, may not start anything
FREE, FIXED = "force", "force-main"
READY_S = 60.0

MASTER = """
import json, pathlib
from buildbot.plugins import schedulers, steps, util, worker

S = json.loads((pathlib.Path(basedir) / "settings.json").read_text())
c = BuildmasterConfig = {}
c["buildbotNetUsageData"] = None
c["title"] = "Tests"
c["buildbotURL"] = "http://127.0.0.1/"
c["workers"] = [worker.Worker("w1", "a-password-of-tests", max_builds=1 if S["collapse"] else None)]
c["protocols"] = {"pb": {"port": "tcp:0:interface=127.0.0.1"}}
c["db"] = {"db_url": "sqlite:///state.sqlite"}
c["collapseRequests"] = S["collapse"]
rights = [util.AnyControlEndpointMatcher(role="admins")] + ([util.AnyEndpointMatcher(role="readers")] if S["closed"] else [])
roles = [util.RolesFromUsername(roles=["admins", "readers"], usernames=[S["users"][0][0]])]
roles += [util.RolesFromUsername(roles=["readers"], usernames=[name for name, _ in S["users"]])]
c["www"] = {
    "port": "tcp:0:interface=127.0.0.1",
    "plugins": {},
    "auth": util.UserPasswordAuth([tuple(pair) for pair in S["users"]]),
    "authz": util.Authz(allowRules=rights, roleMatchers=roles),
}
c["builders"] = []
for name, commands in S["builders"].items():
    factory = util.BuildFactory()
    factory.addStep(steps.Git(repourl=S["repository"], mode="full", method="clobber", name="checkout", haltOnFailure=True))
    for step, arguments in commands.items():
        reports = [a.partition("=")[2] for a in arguments if a.startswith("--junitxml=")]
        logs = {report: report for report in reports}
        factory.addStep(steps.ShellCommand(name=step, command=arguments, logfiles=logs, lazylogfiles=True, haltOnFailure=False))
    c["builders"].append(util.BuilderConfig(name=name, workernames=["w1"], factory=factory))
free = [util.CodebaseParameter(codebase="", branch=util.StringParameter(name="branch", default="main"))]
fixed = [util.CodebaseParameter(codebase="", branch=util.StringParameter(name="branch", default="main"),
                                revision=util.FixedParameter(name="revision", default=""))]
version = [util.StringParameter(name="version", default="")]
c["schedulers"] = [schedulers.ForceScheduler(name=name, builderNames=names, codebases=bases, properties=version)
                   for name, names, bases in (("force", S["free"], free), ("force-main", S["fixed"], fixed)) if names]
"""


@cache
def programs() -> Path:
    """The folder of Buildbot's programs, installed once for all tests; the test is skipped, with the reason, where that fails."""
    VENV.parent.mkdir(parents=True, exist_ok=True)
    done = VENV / "installed"
    with FileLock(VENV.parent / "buildbot.lock"):
        if not done.exists():
            modules = "buildbot.master, buildbot.scripts.runner, buildbot_worker.bot"
            failed = environments.make(VENV, *PACKAGES, imports=modules, limit_s=170)
            if failed:
                pytest.skip(failed)
            done.touch()
    return VENV / "bin"


def python() -> str:
    """The interpreter that has pytest and nothing of the cockpit."""
    return str(programs() / "python")


def pytest_step(path: str, report: str = "junit.xml") -> list[str]:
    """A step that runs these tests and writes a JUnit report."""
    return [python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", path]


class Buildbot:
    """A master that runs: `url`, `process` (to be stopped and continued), and what a person does there."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"
        self._cookie = ""

    def get(self, path: str) -> Any:
        """GET below /api/v2/."""
        return json.loads(self._ask("GET", f"/api/v2/{path}", headers={"Cookie": self._login()})[1])

    def command(self, path: str, method: str, **parameters: object) -> Any:
        """A command of the person who may do everything."""
        body = json.dumps({"id": 1, "jsonrpc": "2.0", "method": method, "params": parameters})
        answer = json.loads(self._ask("POST", f"/api/v2/{path}", body, {"Cookie": self._login(), "Content-Type": "application/json"})[1])
        assert "error" not in answer, answer
        return answer["result"]

    def force(self, builder: str, tag: str, scheduler: str = FREE, **properties: str) -> str:
        """Start a build of a tag; answers the id of its request."""
        number = next(b["builderid"] for b in self.get("builders")["builders"] if b["name"] == builder)
        requests = self.command(f"forceschedulers/{scheduler}", "force", builderid=number, branch=tag, reason="a test", **properties)[1]
        return str(next(iter(requests.values())))

    def request(self, request: str) -> Any:
        """A build request as the server tells it."""
        return self.get(f"buildrequests/{request}")["buildrequests"][0]

    def wait(self, request: str, timeout_s: float = 60.0) -> int:
        """The result of a request, once it has ended."""

        def complete() -> bool:
            try:
                return bool(self.request(request)["complete"])
            except http.client.IncompleteRead:
                return False  # a busy master breaks an answer off now and then

        assert wait_until(complete, timeout_s), f"request {request} has not ended"
        return int(self.request(request)["results"])

    def _login(self) -> str:
        if not self._cookie:
            basic = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            cookies = self._ask("GET", "/auth/login", headers={"Authorization": f"Basic {basic}"})[0]
            self._cookie = re.findall(r"TWISTED_SESSION=[^;, ]+", cookies)[-1]
        return self._cookie

    def _ask(self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None) -> tuple[str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, {"Connection": "close", **(headers or {})})
            with connection.getresponse() as answer:
                return ", ".join(answer.headers.get_all("Set-Cookie") or ()), answer.read()


@contextmanager
def buildbot(
    folder: Path,
    repository: Path | str,
    builders: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    fixed: Sequence[str] = (),
    collapse: bool = False,
    closed: bool = False,
) -> Iterator[Buildbot]:
    """A master and a worker. `builders`: name -> step -> arguments (see `pytest_step`); each checks the branch or tag out first.

    `fixed`: builders that people may force, but not at a chosen revision. `collapse`: requests that wait
    for the one build that runs are merged. `closed`: reading needs a login. Only USER may start and stop.
    """
    bin_ = programs()
    master, worker = folder / "master", folder / "worker"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "master.cfg").write_text(MASTER, "utf-8")
    environment = {
        "PATH": f"{bin_}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    quiet: dict[str, Any] = {"env": environment, "cwd": folder, "capture_output": True, "check": True, "timeout": 120}
    subprocess.run([str(bin_ / "buildbot"), "create-master", "--config=master.cfg", str(master)], **quiet)
    (folder / "master.cfg").rename(master / "master.cfg")
    settings = {
        "builders": {name: {step: list(arguments) for step, arguments in steps.items()} for name, steps in builders.items()},
        "repository": str(repository),
        "collapse": collapse,
        "closed": closed,
        "free": [name for name in builders if name not in fixed],
        "fixed": list(fixed),
        "users": [[USER, PASSWORD], [GUEST, GUEST_PASSWORD]],
    }
    (master / "settings.json").write_text(json.dumps(settings), "utf-8")
    twistd = [str(bin_ / "twistd"), "--pidfile=", "-n", "-y", "buildbot.tac"]
    with _running(twistd, master, environment) as process:
        www, pb = _ports(process, master / "twistd.log")
        address = [str(bin_ / "buildbot-worker"), "create-worker", str(worker), f"127.0.0.1:{pb}", "w1", "a-password-of-tests"]
        subprocess.run(address, **quiet)
        with _running(twistd, worker, environment):
            running = Buildbot(process, www)
            assert wait_until(lambda: any(w["connected_to"] for w in running.get("workers")["workers"]), READY_S), _end_of(
                worker / "twistd.log"
            )
            yield running


@contextmanager
def _running(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "printed").open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)  # what a test stopped must hear that it is to end
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for child in below:  # builds run in process groups of their own
            with contextlib.suppress(psutil.Error):
                child.kill()


def _ports(process: subprocess.Popen[bytes], log: Path) -> tuple[int, int]:
    """(web, worker) ports, as the master's log tells them."""

    def found() -> tuple[int, int] | None:
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        assert process.poll() is None, f"the master ended: {_end_of(log)}"
        www, pb = re.search(r"BuildbotSite starting on (\d+)", text), re.search(r"PBServerFactory starting on (\d+)", text)
        return (int(www.group(1)), int(pb.group(1))) if www and pb and "BuildMaster is running" in text else None

    ports = wait_until(found, READY_S)
    assert ports, f"the master does not listen: {_end_of(log)}"
    return (ports[0], ports[1])


def _end_of(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-1500:] if log.exists() else "it wrote no log"
