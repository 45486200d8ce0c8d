"""Two cockpits with data directories of their own act on one environment at the same time: exactly one action wins, whoever decides."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cockpit.connectors.git_lock import GitLock
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.policy import Rules
from cockpit.domain.release import Deployment, DeployState, Environment, Fleet, Node, Service
from cockpit.domain.rollout import Action, ActionState
from cockpit.services.clock import now_us
from cockpit.services.connections import Connected
from cockpit.services.locks import Locks
from cockpit.services.runtime import LoopMainThread
from tests.e2e.fault_rig import SERVICE, FaultRig, Intent
from tests.e2e.small_deployer import Deployer
from tests.fakes.playground import git, wait_for

PLACES = ("prod",)
ROUNDS = 8


@pytest.fixture(scope="module")
def deployer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployer]:
    made = Deployer(tmp_path_factory.mktemp("two") / "playground", PLACES)
    try:
        made.ready()
        yield made
    finally:
        made.close()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy repository that both share."""
    bare = tmp_path / "policy.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "-b", "main")
    return bare


class Lenient:
    """A deployment system without exclusiveness: it begins whatever it is told, at once, and is done when `go` says so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_key: dict[str, Deployment] = {}
        self.most_at_once = 0
        self.go = False

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        with self._lock:
            wanted = (request.service, request.environment, request.version, request.digest, request.kind)
            self.by_key[key] = Deployment(f"d{len(self.by_key)}", key, *wanted, DeployState.RUNNING)
            running = sum(d.state is DeployState.RUNNING for d in self.by_key.values())
            self.most_at_once = max(self.most_at_once, running)
            return self.by_key[key]

    def find(self, key: str) -> Deployment | None:
        return self.by_key.get(key)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        return tuple(self.by_key.values())

    def deployment(self, deployment_id: str) -> Deployment:
        with self._lock:
            key, found = next((k, d) for k, d in self.by_key.items() if d.id == deployment_id)
            if self.go:
                self.by_key[key] = msgspec.structs.replace(found, state=DeployState.SUCCEEDED)
            return self.by_key[key]

    def fleet(self, service: str, environment: str) -> Fleet:
        newest = list(self.by_key.values())[-1]
        return Fleet(service, environment, (Node("n1", service, environment, newest.version, "", newest.digest, True),))


class Desk:
    """One person's cockpit on a loop that both share, so that both act in the same moment."""

    def __init__(self, folder: Path, port: int, main: LoopMainThread, policy: Path | None = None, api: Any = None) -> None:
        folder.mkdir()
        self.rig = FaultRig(folder, port, main)
        rig = self.rig
        if api is not None:
            rig.connections.replace((Connected("dep", "dep", "x", ("DeploymentApi",), (SERVICE,), api),))
        self.locks = Locks(rig.store, rig.runner, rig.journal, rig.connections, rig.notices, now_us)
        if policy is not None:
            subprocess.run(["git", "clone", "--quiet", str(policy), str(folder / "policy")], check=True, capture_output=True)
            self.locks.lock = GitLock(folder / "policy", "origin")
            self.locks.rules = Rules(locks={"prod": "auto"})
        rig.execution.locks = self.locks
        rig.store.apply(services=(Service(SERVICE, ""),), environments=(Environment("prod", 1),))

    def action(self, key: str) -> Action:
        found = self.rig.action(key)
        assert found is not None
        return found

    def refused(self) -> bool:
        return [a.state for a in self.rig.store.state.actions.values()][-1:] == [ActionState.REFUSED]

    def written(self) -> bool:
        return not self.rig.journal.unfinished()


@pytest.fixture
def desks(request: pytest.FixtureRequest) -> Iterator[list[Desk]]:
    made: list[Desk] = []
    yield made
    for desk in made:
        desk.rig.close()


def race(desks: list[Desk], main: LoopMainThread, intents: list[Intent]) -> list[Action]:
    """Both click; both actions as they ended and were written down."""
    for desk, intent in zip(desks, intents, strict=True):
        desk.rig.begin(intent)
    pairs = list(zip(desks, intents, strict=True))
    assert main.run_until(lambda: all(d.action(i.key).state.final and d.written() for d, i in pairs), 60)
    return [d.action(i.key) for d, i in pairs]


@pytest.mark.e2e
def test_the_deployers_own_exclusiveness_lets_exactly_one_win(deployer: Deployer, tmp_path: Path, desks: list[Desk]) -> None:
    main = LoopMainThread()
    desks += [Desk(tmp_path / name, deployer.port, main) for name in ("a", "b")]
    for number in range(ROUNDS):
        wait_for(lambda: deployer.idle("prod"), "nothing is under way")
        version, digest = deployer.other("prod")
        intents = [Intent(f"r{number}-{who}", "rollback", "prod", version, digest) for who in "ab"]
        ended = race(desks, main, intents)
        assert sorted(str(a.state) for a in ended) == ["done", "refused"]
        winner, loser = sorted(ended, key=lambda a: a.state is not ActionState.DONE)
        assert "409" in loser.message
        assert deployer.under(winner.key)["state"] == "succeeded"
        assert deployer.under(loser.key) is None
    assert all(desk.rig.journal.verify().ok for desk in desks)


@pytest.mark.e2e
def test_where_the_system_has_none_the_lock_ref_decides(policy: Path, tmp_path: Path, desks: list[Desk]) -> None:
    main, api = LoopMainThread(), Lenient()
    desks += [Desk(tmp_path / name, 1, main, policy, api) for name in ("a", "b")]
    for number in range(ROUNDS):
        intents = [Intent(f"r{number}-{who}", "deploy", "prod", "1.0.0", f"{number}" * 64) for who in "ab"]
        before, api.go = set(api.by_key), False
        for desk in desks:
            desk.rig.store.subscribe(lambda _: setattr(api, "go", api.go or any(d.refused() for d in desks)))
        ended = race(desks, main, intents)
        winner, loser = sorted(ended, key=lambda a: a.state is not ActionState.DONE)
        assert (winner.state, loser.state) == (ActionState.DONE, ActionState.REFUSED)
        assert set(api.by_key) - before == {winner.key}, "who was refused sent nothing"
        assert "holds the lock of prod" in loser.message
        assert main.run_until(lambda: git(policy, "for-each-ref", "refs/cockpit") == "", 20), "given back after the outcome"
    assert api.most_at_once == 1, "never two at the same time"


@pytest.mark.e2e
def test_with_the_lock_out_of_reach_a_rollback_works_with_a_reason(
    deployer: Deployer, policy: Path, tmp_path: Path, desks: list[Desk]
) -> None:
    main = LoopMainThread()
    desks.append(Desk(tmp_path / "a", deployer.port, main, policy))
    [desk] = desks
    policy.rename(policy.with_name("away.git"))
    desk.locks.poll()
    assert main.run_until(lambda: any(n.key == "locks" for n in desk.rig.notices.history), 20)
    assert "prod" not in desk.rig.store.state.locks, "what nobody said is not known"
    wait_for(lambda: deployer.idle("prod"), "nothing is under way")
    version, digest = deployer.other("prod")
    [refused] = race(desks, main, [Intent("without-a-reason", "rollback", "prod", version, digest)])
    assert refused.state is ActionState.NOT_SENT
    assert deployer.under("without-a-reason") is None
    [done] = race(desks, main, [Intent("with-a-reason", "rollback", "prod", version, digest, "the venue burns and git is down")])
    assert done.state is ActionState.DONE
    words = [e.detail.get("message", "") for e in desk.rig.journal.progress_of("with-a-reason") if e.kind == "progress"]
    assert any(w.startswith("without lock: ") for w in words)
    assert desk.rig.journal.verify().ok


@pytest.mark.e2e
def test_a_lock_that_a_dead_cockpit_left_is_broken_by_a_person(deployer: Deployer, policy: Path, tmp_path: Path, desks: list[Desk]) -> None:
    main = LoopMainThread()
    desks += [Desk(tmp_path / name, deployer.port, main, policy) for name in ("a", "b")]
    left, desk = desks
    left.locks.take("prod", "Ada <ada@playground.invalid>", "rollback of order-gateway to 1.0.0 [gone]")
    wait_for(lambda: deployer.idle("prod"), "nothing is under way")
    version, digest = deployer.other("prod")
    [refused] = race([desk], main, [Intent("locked-out", "rollback", "prod", version, digest, "because")])
    assert refused.state is ActionState.REFUSED
    assert refused.message.startswith("Ada <ada@playground.invalid> holds the lock of prod since ")
    desk.locks.break_("prod", "Ben <ben@playground.invalid>", "Ada's machine burned")
    assert main.run_until(lambda: getattr(desk.rig.store.state.locks.get("prod"), "value", None) == "", 20)
    [done] = race([desk], main, [Intent("let-in", "rollback", "prod", version, digest)])
    assert done.state is ActionState.DONE
