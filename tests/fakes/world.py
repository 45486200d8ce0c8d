"""A small venue behind fake ports for tests of the core: one service, staging and production, three versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cockpit.connecting import Made, PerThread
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.release import Artifact, Commit, Deployment, DeployState, Node
from cockpit.services.connections import Connected
from cockpit.services.runtime import now_us
from tests.fakes.ports import FakeCi, FakeDeploymentApi, FakeMetrics, FakeSource, digest_of

SERVICE = "gateway"
SETTINGS = """
[me]
name = "Rae"
email = "rae@playground.invalid"
[services.gateway]
repository = "repo"
[environments.staging]
rank = 1
[environments.production]
rank = 2
production = true
approvals = 1
[poll]
interval_s = 0.5
"""
HOUR_US = 3_600_000_000
KINDS = {"git": "git"}  # a repository that the settings name is read by git alone


def commit(number: int, author: str = "Ada", subject: str = "") -> Commit:
    """A commit with an id that looks like one."""
    at = now_us() - (100 - number) * HOUR_US
    email = f"{author.lower()}@playground.invalid"
    return Commit(digest_of(f"c{number}")[:40], author, email, at, subject or f"change {number}", ("Bob <bob@playground.invalid>",))


class World:
    """The four fake systems; `connect` stands in for cockpit.connecting.make_connections. `newest`: the commit of 1.2.0."""

    def __init__(self, newest: str = "") -> None:
        self.history = {"1.0.0": (commit(1),), "1.1.0": (commit(3), commit(2)), "1.2.0": (commit(5, "Cyd"), commit(4, "Ada"))}
        if newest:
            self.history["1.2.0"] = (replace(self.history["1.2.0"][0], id=newest), *self.history["1.2.0"][1:])
        artifacts = tuple(Artifact(SERVICE, v, new[0].id, digest_of(v), new[0].at_us) for v, new in self.history.items())
        nodes = tuple(self._node(e, n) for e, total in (("staging", 1), ("production", 3)) for n in range(1, total + 1))
        self.source = FakeSource(now_us, SERVICE, self.history)
        self.deployer = FakeDeploymentApi(now_us, artifacts, nodes)
        self.ci = FakeCi(now_us, tuple(self._run(v) for v in self.history))
        self.metrics = FakeMetrics(now_us)
        for number, version in enumerate(("1.0.0", "1.1.0")):
            started = now_us() - (10 - number) * HOUR_US
            self.deployer.put(self._past(f"p{number}", version, started))

    def connect(self, *_: Any) -> Made:
        """The connections, as they would be made from settings."""
        parts = (("git", "SourceControl", self.source), ("ci", "CiSystem", self.ci), ("deployer", "DeploymentApi", self.deployer))
        every = (*parts, ("latency", "MetricsApi", self.metrics))
        return Made(tuple(Connected(i, i, KINDS.get(i, "fake"), (p,), (SERVICE,), PerThread(lambda s=s: s)) for i, p, s in every))

    def _node(self, environment: str, number: int) -> Node:
        name, version = f"{environment}-{number}", "1.1.0"
        new = self.history[version][0]
        return Node(name, SERVICE, environment, version, new.id, digest_of(version), True, f"http://127.0.0.1:1/{name}")

    def _run(self, version: str) -> CheckRun:
        new = self.history[version][0]
        bad = version == "1.0.0"
        failed = TestResult("test_depth", "failed", 0.1, "assert 3 == 4\n\x1b[2Jgone")
        state = CheckState.FAILED if bad else CheckState.PASSED
        suite = Suite("unit", state, 2, 1 if bad else 2, 1 if bad else 0, 0, 0, new.at_us, new.at_us + 2_000_000, (failed,) if bad else ())
        return CheckRun(f"r{version}", SERVICE, version, new.id, state, (suite,), new.at_us, new.at_us + 2_000_000)

    def _past(self, name: str, version: str, started: int) -> Deployment:
        state, end = DeployState.SUCCEEDED, started + 40_000_000
        place = (SERVICE, "production", version, digest_of(version), "deploy", state)
        return Deployment(name, name, *place, started_at_us=started, finished_at_us=end)


def write_settings(directory: Path, text: str = SETTINGS) -> None:
    """The settings file of a data directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cockpit.toml").write_text(text, "utf-8")
