"""Rollouts over fake systems: real store, journal and execution. The process can be killed at any write or call and started again."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.facts import Fact, place
from cockpit.domain.policy import Rules
from cockpit.domain.readiness import Reason
from cockpit.domain.release import Artifact, Deployment, DeployState, Environment, Node, Service, Version
from cockpit.domain.rollout import Action, ActionState, LineState, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout, RolloutState, ServiceSet, Step, StepSpec, Strategy
from cockpit.services.connections import Connected, Connections
from cockpit.services.execution import Execution, Pace
from cockpit.services.notices import Notices
from cockpit.services.rollout_hands import Hands, RolloutPace
from cockpit.services.rollout_record import Record
from cockpit.services.rollouts import Rollouts
from cockpit.services.runtime import Outcome
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Entry, Journal
from tests.fakes.ports import FakeDeploymentApi, FakeTraffic, FakeVenue, digest_of
from tests.fakes.running import FakeMain, InlineRunner

ENVIRONMENT = "production"
SERVICES = ("gateway", "risk", "market")
NEEDS = {"gateway": ("risk>=1.0.0",), "risk": ("market",), "market": ()}
CANARY = Strategy(
    "canary",
    (
        StepSpec("mode", mode="post-only"),
        StepSpec("deploy", ("1",)),
        StepSpec("bake", seconds=10.0),
        StepSpec("gate", ask=("checks", "fleet")),
        StepSpec("weight", percent=30),
        StepSpec("hold"),
        StepSpec("deploy", ("rest",)),
        StepSpec("weight", nodes=("all",)),
        StepSpec("mode", mode="open"),
    ),
)


class Killed(BaseException):
    """The process is gone at this very point."""


class Estate:
    """What outlives a process: the systems, the disk, the clock. Every call that writes, there or in the journal, is a numbered point."""

    def __init__(self, folder: Path, clock: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.clock = clock
        built = [(s, v) for s in SERVICES for v in ("1.0.0", "1.1.0", "1.2.0")]
        artifacts = tuple(Artifact(s, v, digest_of(f"c {s} {v}")[:40], digest_of(f"{s} {v}"), 1) for s, v in built)
        nodes = tuple(self._node(s, number) for s in SERVICES for number in (1, 2, 3))
        self.api = FakeDeploymentApi(clock, artifacts, nodes)
        self.venue = FakeVenue(clock)
        self.traffic = FakeTraffic(clock, {"gateway-1": 34, "gateway-2": 33, "gateway-3": 33})
        self.point = 0
        self.kill_at = 0
        for system, name in ((self.api, "deploy"), (self.venue, "set_mode"), (self.traffic, "set_weights")):
            system.hooks[name] = self._before
        for service in SERVICES:
            begun = clock() - 3_600_000_000
            past = ("1.1.0", digest_of(f"{service} 1.1.0"), "deploy", DeployState.SUCCEEDED)
            self.api.put(
                Deployment(f"p-{service}", "", service, ENVIRONMENT, *past, started_at_us=begun, finished_at_us=begun + 30_000_000)
            )

    def _node(self, service: str, number: int) -> Node:
        at = ("1.1.0", digest_of(f"c {service} 1.1.0")[:40], digest_of(f"{service} 1.1.0"))
        return Node(f"{service}-{number}", service, ENVIRONMENT, *at, True)

    def _before(self, *_: Any) -> None:
        self.reach()

    def reach(self) -> None:
        """One more point at which the process may be gone."""
        self.point += 1
        if self.point == self.kill_at:
            raise Killed

    def runs(self, service: str) -> dict[str, str]:
        """The version of each node."""
        return {n.name: n.version for n in self.api.fleet(service, ENVIRONMENT).nodes}

    @property
    def posts(self) -> list[DeployRequest]:
        """Every POST that reached the deployment system."""
        return [call[1] for call in self.api.calls if call[0] == "deploy"]


class KillableJournal(Journal):
    """Every entry is two points: before it is on the disk, and after."""

    estate: Estate

    def append(self, *arguments: Any, **options: Any) -> Entry:
        self.estate.reach()
        entry = super().append(*arguments, **options)
        self.estate.reach()
        return entry


class Desk:
    """One process: everything that is gone with it."""

    number = 0

    def __init__(self, estate: Estate, strategy: Strategy = CANARY, on_failure: str = "stop") -> None:
        Desk.number += 1
        self.estate = estate
        self.clock = estate.clock
        self.refuse_deploys = ""
        self.owner = f"{platform.node()}:{4_100_000 + Desk.number}:1"  # no such process: dead to everybody else
        self.main = FakeMain(self.clock)
        self.runner = InlineRunner(self.main)
        self.notices = Notices(self.clock)
        self.database = open_database(estate.folder / "cockpit.sqlite")
        self.journal = KillableJournal(self.database, self.owner, self.clock)
        self.journal.estate = estate
        services = tuple(Service(s, depends_on=NEEDS[s]) for s in SERVICES)
        self.store = Store()
        self.store.apply(services=services, environments=(Environment(ENVIRONMENT, 1, True),))
        self.connections = Connections()
        self.connections.replace((Connected("dep", "dep", "fake", ("DeploymentApi",), SERVICES, estate.api),))
        parts = (self.store, self.runner, self.main, self.journal, self.connections, self.notices, self.clock, Pace())
        self.execution = Execution(*parts)
        self.rules = Rules(
            strategies={ENVIRONMENT: strategy}, sets={"trading": ServiceSet("trading", ("gateway", "market", "risk"), on_failure)}
        )
        self.answers: dict[str, tuple[LineState, str]] = {}
        self.refused: str = ""
        self.fired: list[tuple[str, str, tuple[str, ...]]] = []
        self.aborted: list[str] = []
        self.moved_s = 0.0
        self.seen = True  # whether the deployment source answers
        self.ports = True
        self.alive: Callable[[str], bool] = lambda owner: False  # as Record asks: of others
        record = Record(self.journal, self.runner, self._lives)
        self.rollouts = Rollouts(
            self.store, self.runner, self.main, record, self.hands(), self.notices, self.clock, self._jumped, RolloutPace()
        )
        self.poll()

    def hands(self) -> Hands:
        """What the rollouts act through."""
        return Hands(
            plan=self.plan,
            fire=self.fire,
            abort=self.abort,
            ask=lambda name, step: self.answers.get(name, (LineState.OK, f"{name} fine")),
            look=self.estate.api.fleet,
            traffic=lambda service: self.estate.traffic if self.ports else None,
            venue=lambda service: self.estate.venue if self.ports else None,
            who=lambda: "Rae <rae@playground.invalid>",
            why_not=lambda: "",
            rules=lambda: self.rules,
        )

    def _lives(self, owner: str) -> bool:
        return self.alive(owner)

    def _jumped(self) -> float:
        moved_s, self.moved_s = self.moved_s, 0.0
        return moved_s

    def poll(self) -> None:
        """What the poller does: fleets every two seconds."""
        if self.seen:
            fleets = {place(s, ENVIRONMENT): Fact(self.estate.api.fleet(s, ENVIRONMENT), self.clock(), "dep", 15.0) for s in SERVICES}
            self.store.merge("fleets", fleets)
        self.main.call_later(2.0, self.poll)

    def plan(self, kind: str, service: str, environment: str, version: str) -> RolloutPlan | Refusal:
        """A plan without any preflight: that one is tested elsewhere."""
        name = version or ("1.0.0" if kind == "rollback" else "1.2.0")
        target = Version(service, name, f"v{name}", digest_of(f"c {service} {name}")[:40], 1, digest_of(f"{service} {name}"))
        if self.refused and service == self.refused:
            return Refusal(kind, service, environment, (Reason("versions", "the artifact is gone"),), target)
        if self.refuse_deploys and kind == "deploy":
            return Refusal(kind, service, environment, (Reason("activity", self.refuse_deploys),), target)
        fleet = self.store.state.fleets[place(service, environment)].value
        live = fleet.live
        assert live is not None
        names = tuple(n.name for n in fleet.nodes)
        return RolloutPlan(kind, service, environment, live.version, live.digest, target, names, None, 30.0, ())

    def fire(self, step: Step, kind: str, reason: str, key: str) -> Action:
        """As the composition root does it."""
        self.fired.append((kind, step.version, step.nodes))
        move = (step.from_version, step.from_digest, step.version, step.digest)
        action = Action(key, kind, step.service, step.environment, *move, "Rae", ActionState.INTENDED, self.clock(), nodes=step.nodes)
        request = DeployRequest(step.service, step.environment, step.version, step.digest, kind, "Rae", reason, step.nodes)
        self.execution.begin(action, request)
        return action

    def abort(self, key: str) -> None:
        """As Actions does it."""
        action = self.store.state.actions.get(key)
        if action is None or action.deployment is None:
            raise NotAllowed("There is nothing under way that could be aborted.")
        self.aborted.append(key)
        self.estate.api.abort(action.deployment.id)

    def begin(self) -> str:
        """Begin the strategy's deployment of the gateway; answers its key."""
        drafted = self.rollouts.draft("gateway", ENVIRONMENT)
        assert isinstance(drafted, Rollout), drafted
        return self.rollouts.begin(drafted, "because").key

    def begin_set(self) -> str:
        """Begin the rollback of the set."""
        planned = self.rollouts.plan_set("trading", ENVIRONMENT)
        assert isinstance(planned, Rollout), planned
        return self.rollouts.begin(planned, "because").key

    def rollout(self, key: str) -> Rollout:
        return self.store.state.rollouts[key]

    def words(self, key: str) -> str:
        """The states of the steps, in one line."""
        return " ".join(str(run.state) for run in self.rollout(key).steps)

    def run(self, key: str, seconds: float = 240.0, until: Callable[[], bool] | None = None) -> Rollout:
        """Let time pass until it has ended or waits for a person, passing no hold."""
        waits = (RolloutState.PAUSED,)
        for _ in range(round(seconds * 4)):
            rollout = self.rollout(key)
            held = any(str(run.state) == "held" for run in rollout.steps)
            if rollout.state.final or rollout.state in waits or held or (until is not None and until()):
                break
            self.main.run_for(0.25)
        return self.rollout(key)

    def finish(self, key: str) -> Rollout:
        """Run to the end, passing holds."""
        for _ in range(10):
            rollout = self.run(key)
            if rollout.state.final or rollout.state is RolloutState.PAUSED:
                break
            self.rollouts.go_on(key)
        self.main.settle()
        return self.rollout(key)

    def recover(self) -> None:
        """What a start does: the actions and the rollouts of processes that are gone."""
        entries = self.journal.unfinished()
        self.execution.recover(entries, {e.key: self.journal.progress_of(e.key) for e in entries})
        self.rollouts.recover()
        self.main.settle()

    def close(self) -> None:
        self.rollouts.close()
        self.execution.close()
        self.database.close()


def failing(error: CockpitError) -> Callable[..., Outcome[Any]]:
    """A hook that raises it."""

    def hook(*_: Any) -> Any:
        raise error

    return hook
