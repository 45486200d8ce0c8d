"""One service in two environments around the real actions: a deployment system and a CI in memory, and a state that a test turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.facts import Fact, place
from cockpit.domain.lines import Line
from cockpit.domain.release import Artifact, Changes, Commit, Deployment, DeployState, Environment, Fleet, Node, Service, Version
from cockpit.domain.rollout import Refusal
from cockpit.domain.statements import Statement
from cockpit.services import status
from cockpit.services.actions import Actions, Person
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.notices import Notices
from cockpit.services.store import Store, changes_key
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.running import FakeMain, InlineRunner

D1, D2, D3 = "1" * 64, "2" * 64, "3" * 64
LEFT = tuple(Commit(f"l{n}", "Bob", "bob@example.org", n, f"change {n}", files=(f"src/{n}.py",)) for n in range(14))


class Systems:
    """A deployment system and a CI in memory."""

    def __init__(self) -> None:
        self.posts: list[DeployRequest] = []
        self.held: list[tuple[str, str, str, bool, str]] = []
        self.calls: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        self.posts.append(request)
        return Deployment(
            "d9", key, request.service, request.environment, request.version, request.digest, request.kind, DeployState.RUNNING
        )

    def hold(self, service: str, environment: str, digest: str, held: bool, reason: str) -> Fleet:
        if self.error is not None:
            raise self.error
        self.held.append((service, environment, digest, held, reason))
        return Fleet(service, environment)

    def find(self, key: str) -> Deployment | None:
        if self.error is not None:
            raise self.error
        return None

    def deployment(self, deployment_id: str) -> Deployment:
        return Deployment(deployment_id, "", "gw", "prod", "1.6.0", D1, "rollback", DeployState.RUNNING)

    def abort(self, deployment_id: str) -> None:
        self.calls.append(("abort", deployment_id))

    def rerun(self, run_id: str, key: str) -> CheckRun:
        if self.error is not None:
            raise self.error
        self.calls.append(("rerun", run_id))
        return CheckRun("r2", "gw", "1.7.0", "c2", CheckState.PENDING)

    def stop(self, run_id: str) -> CheckRun:
        self.calls.append(("stop", run_id))
        return CheckRun(run_id, "gw", "1.7.0", "c2", CheckState.INCONCLUSIVE)

    def run(self, run_id: str) -> CheckRun:
        return CheckRun(run_id, "gw", "1.7.0", "c2", CheckState.PASSED)

    def log(self, run_id: str, suite: str) -> str:
        return f"log of {suite}"


class Rig:
    """1.6.0 was good in production, 1.7.0 runs there now and 1.8.0 is pending; Bob wrote 1.8.0, Ada acts here."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.clock, self.main, self.store, self.notices = clock, FakeMain(clock), Store(), Notices(clock)
        self.systems = Systems()
        self.database = open_database(folder / "cockpit.sqlite")
        self.journal = Journal(self.database, "elsewhere:1:1", clock)
        self.connections = Connections()
        ports = ("DeploymentApi", "CiSystem")
        self.connections.replace((Connected("dep", "dep", "x", ports, ("gw",), self.systems),))
        self.runner = runner = InlineRunner(self.main)
        execution = Execution(self.store, runner, self.main, self.journal, self.connections, self.notices, clock, Pace())
        self.actions = Actions(self.store, runner, self.journal, self.connections, self.notices, execution, clock)
        self.actions.me = Person("Ada", "Ada@Example.org")
        self.fill()

    def fill(self) -> None:
        now = self.clock()

        def fact(value: Any) -> Any:
            return Fact(value, now, "dep", 30.0)

        versions = tuple(Version("gw", f"1.{n}.0", f"v1.{n}.0", f"c{n}", n) for n in (8, 7, 6))
        artifacts = tuple(Artifact("gw", f"1.{n}.0", f"c{n}", d) for n, d in ((8, D3), (7, D2), (6, D1)))
        nodes = tuple(Node(f"n{i}", "gw", "prod", "1.7.0", "c7", D2, True) for i in range(4))
        staged = tuple(Node(f"s{i}", "gw", "staging", "1.8.0", "c8", D3, True) for i in range(2))
        history = (
            Deployment("2", "", "gw", "prod", "1.7.0", D2, "deploy", DeployState.SUCCEEDED, started_at_us=20, finished_at_us=40_000_020),
            Deployment("1", "", "gw", "prod", "1.6.0", D1, "deploy", DeployState.SUCCEEDED, started_at_us=10, finished_at_us=30_000_010),
        )
        run = CheckRun("r1", "gw", "1.8.0", "c8", CheckState.PASSED, (Suite("unit", CheckState.PASSED),))
        written = Commit("c8", "Bob", "bob@example.org", 1, "work", co_authors=("Eve <eve@example.org>",))
        self.store.apply(
            services=(Service("gw"),),
            environments=(Environment("staging", 1), Environment("prod", 2, True, 1, "staging")),
            versions={"gw": fact(versions)},
            artifacts={"gw": fact(artifacts)},
            fleets={
                place("gw", "prod"): fact(Fleet("gw", "prod", nodes)),
                place("gw", "staging"): fact(Fleet("gw", "staging", staged)),
            },
            deployments={place("gw", "prod"): fact(history)},
            checks={"gw": fact((run,))},
            changes={
                changes_key("gw", "c7", "c8"): fact(Changes("1.7.0", "1.8.0", (written,), (), 1, 0)),
                changes_key("gw", "c6", "c7"): fact(Changes("1.6.0", "1.7.0", LEFT, (), len(LEFT), 0)),
            },
        )

    def version(self, name: str = "1.8.0") -> Version:
        found = status.version_of(self.store.state, "gw", name)
        assert found is not None
        return found

    def plan(self, kind: str, version: str = "", environment: str = "prod", **how: Any) -> Any:
        return self.actions.plan(kind, "gw", environment, version, **how)

    def approve(self, who: str = "ada@example.org", approved: bool = True, comment: str = "") -> None:
        """Somebody's word on 1.8.0 in production, as it stands once it is recorded."""
        v = self.version()
        word = Approval("gw", v.name, "prod", v.commit, v.digest, who, who, approved, comment, self.clock())
        self.store.apply(approvals=(*self.store.state.approvals, word))

    def line(self, kind: str, begins: str, version: str = "", **how: Any) -> Line:
        """The one line of the plan that holds these words."""
        lines = [line for line in self.plan(kind, version, **how).preflight if begins in line.text]
        assert len(lines) == 1, [(str(line.state), line.text) for line in self.plan(kind, version, **how).preflight]
        return lines[0]

    def say(self, kind: str, digest: str = D2, version: str = "1.7.0", who: str = "eve@example.org", **fields: Any) -> Statement:
        """A word that stands."""
        named = {"reason": "p99 doubled", "id": f"s{len(self.store.state.statements)}", "at_us": self.clock(), **fields}
        word = Statement(kind, "gw", named.pop("environment", "prod"), version, "c", digest, who, who, **named)
        self.journal.append("note", word.id, kind, who, "gw", word.environment, asdict(word))
        self.actions.decisions.read()
        return word

    def rules(self, **fields: Any) -> None:
        """Another policy."""
        self.actions.rules = replace(self.actions.rules, **fields)
        self.actions.decisions.instruct(self.actions.rules)

    def change(self, service: str = "gw", environment: str = "prod", **fields: Any) -> None:
        """Other values of a place's fleet; `nodes` as a function of the old ones."""
        at = place(service, environment)
        fact = self.store.state.fleets[at]
        nodes = fields.pop("nodes", None)
        if nodes is not None:
            fields["nodes"] = tuple(nodes(i, n) for i, n in enumerate(fact.value.nodes))
        self.store.merge("fleets", {at: replace(fact, at_us=self.clock(), value=replace(fact.value, **fields))})

    def settings(self, **fields: Any) -> None:
        """Other settings of the service."""
        self.store.apply(services=(replace(self.store.state.services[0], **fields), *self.store.state.services[1:]))

    def commits(self, base: str, head: str, *commits: Commit) -> None:
        """What leads from one version to another."""
        self.store.merge("changes", {changes_key("gw", base, head): Fact(Changes(base, head, commits, (), len(commits), 0), self.clock())})

    def refused(self, kind: str, version: str = "") -> str:
        answer = self.plan(kind, version)
        assert isinstance(answer, Refusal), answer
        return " | ".join(r.text for r in answer.reasons)
