"""Real systems that die under the cockpit's eyes: data stays with its age, what depends on it is disarmed, recovery needs nobody."""

from __future__ import annotations

import json
import os
import signal
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cockpit.app import Cockpit, build
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.registry import create
from cockpit.domain.rollout import Refusal, RolloutPlan
from cockpit.paths import find_paths
from cockpit.playground import launcher
from cockpit.services.runtime import LoopMainThread

PLACE = ("risk-engine", "staging")


class Watched:
    """A cockpit that polls the running playground twice a second and calls a fact stale after three seconds."""

    def __init__(self, folder: Path, playground: Any) -> None:
        self.playground = playground
        folder.mkdir()
        config = playground.config_text().replace("[checks]", "[poll]\ninterval_s = 0.5\ndeadline_s = 3.0\n\n[checks]")
        config = config.replace('"repo"', json.dumps(str(playground.directory / "repo")))
        assert "deadline_s" in config
        (folder / "cockpit.toml").write_text(config, encoding="utf-8")
        self.main = LoopMainThread()
        self.cockpit: Cockpit = build(find_paths(folder), self.main)
        self.cockpit.start()
        self.until(lambda: isinstance(self.plan(), RolloutPlan), "a rollback is possible")

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float = 45.0) -> None:
        assert self.main.run_until(ready, timeout_s), f"{what}: {[(n.title, n.message) for n in self.cockpit.notices.history]}"

    def plan(self) -> RolloutPlan | Refusal:
        return self.cockpit.actions.plan("rollback", *PLACE)

    def condition(self, source: str) -> str:
        return self.cockpit.store.state.sources[source].state(self.cockpit.clock_us())

    def told(self, source: str) -> bool:
        return any(n.key == f"source:{source}" and not n.over for n in self.cockpit.notices.history)

    def truth(self) -> dict[str, Any]:
        """What the deployer itself says of the place."""
        api = self._deployer()
        try:
            fleet = api.fleet(*PLACE)
        finally:
            api.close()
        return {"active": fleet.active, "nodes": {n.digest for n in fleet.nodes}}

    def put_back(self, version: str, digest: str) -> None:
        """Leave the playground as it was found: the other stories begin there. What a rollback had held is let go first."""
        api = self._deployer()
        try:
            if digest in api.fleet(*PLACE).held:
                api.hold(*PLACE, digest, False, "the test is over")
            api.deploy(DeployRequest(*PLACE, version, digest, "deploy", "test"), f"back-{uuid4().hex}")
        finally:
            api.close()

    def _deployer(self) -> Any:
        url = tomllib.loads(self.playground.config_text())["connections"]["deployer"]["url"]
        return create("deployment-v1", {"url": url}, lambda: "")

    def kill(self, program: str) -> None:
        mark = json.loads((self.playground.directory / "run" / f"{program}.json").read_text("utf-8"))
        os.kill(mark["pid"], signal.SIGKILL)

    def heal(self) -> None:
        launcher.start(self.playground.directory, lambda words: None)


@pytest.fixture
def watched(tmp_path: Path, playground: Any) -> Iterator[Watched]:
    made = Watched(tmp_path / "data", playground)
    yield made
    made.cockpit.close()
    made.heal()


@pytest.mark.e2e
def test_a_killed_deployer_disarms_and_comes_back_by_itself(watched: Watched) -> None:
    seen = watched.cockpit.store.state.fleets["risk-engine@staging"]
    watched.kill("deployer")
    watched.until(lambda: watched.condition("deployer") == "failed" and watched.told("deployer"), "the failure is said")
    watched.until(lambda: isinstance(watched.plan(), Refusal), "old facts disarm")
    assert "not known" in " ".join(r.text for r in watched.plan().reasons)  # type: ignore[union-attr]
    kept = watched.cockpit.store.state.fleets["risk-engine@staging"]
    assert kept.value.live == seen.value.live, "the last data stays"
    assert kept.stale(watched.cockpit.clock_us())
    watched.heal()
    watched.until(lambda: watched.condition("deployer") == "ok", "it answers again")
    watched.until(lambda: isinstance(watched.plan(), RolloutPlan), "the card is ready again")
    assert not watched.told("deployer")


@pytest.mark.e2e
def test_a_killed_ci_takes_nothing_but_its_own(watched: Watched) -> None:
    watched.until(lambda: "order-gateway" in watched.cockpit.store.state.checks, "tests are known")
    watched.kill("ci")
    watched.until(lambda: watched.condition("ci") == "failed" and watched.told("ci"), "the failure is said")
    facts = watched.cockpit.store.state.checks
    watched.until(lambda: facts["order-gateway"].stale(watched.cockpit.clock_us()), "the results grow old")
    assert isinstance(watched.plan(), RolloutPlan), "going back needs no CI"
    refused = watched.cockpit.actions.plan("deploy", "order-gateway", "staging", "1.6.1")
    assert isinstance(refused, Refusal)
    assert any(r.place == "sources" for r in refused.reasons), "going forward does"


@pytest.mark.e2e
def test_a_repository_that_vanished_does_not_stop_a_rollback(watched: Watched) -> None:
    repository = watched.playground.directory / "repo"
    away = repository.with_name("repo-away")
    watched.until(lambda: "risk-engine" in watched.cockpit.store.state.versions, "versions are known")
    repository.rename(away)
    try:
        watched.until(lambda: watched.condition("git:repo") == "failed" and watched.told("git:repo"), "the failure is said")
        assert watched.cockpit.store.state.versions["risk-engine"].value, "the versions stay"
        assert isinstance(watched.plan(), RolloutPlan), "going back needs no git"
    finally:
        away.rename(repository)
    watched.until(lambda: watched.condition("git:repo") == "ok", "it answers again")


@pytest.mark.e2e
def test_a_killed_reading_process_is_started_again(watched: Watched) -> None:
    reader = watched.cockpit._reader
    assert reader is not None
    process = reader._process
    assert process is not None
    process.kill()
    before = watched.cockpit.store.state.sources["deployer"].last_success_us
    fresh = lambda: watched.cockpit.store.state.sources["deployer"].last_success_us > before  # noqa: E731 - a question, asked often
    watched.until(lambda: reader._process is not process and fresh(), "polling goes on")


@pytest.mark.e2e
def test_with_git_and_ci_both_down_a_rollback_is_fired_and_proved(watched: Watched, eventually: Callable[..., Any]) -> None:
    """Three in the morning: nothing answers but what deploys."""
    cockpit, repository = watched.cockpit, watched.playground.directory / "repo"
    away = repository.with_name("repo-away")
    before = cockpit.store.state.fleets["risk-engine@staging"].value.live
    assert before is not None
    watched.kill("ci")
    repository.rename(away)
    try:
        for source in ("ci", "git:repo"):
            watched.until(lambda s=source: watched.condition(s) == "failed", f"{source} is down")  # type: ignore[misc]
        watched.until(lambda: isinstance(watched.plan(), RolloutPlan), "going back needs neither")
        plan = watched.plan()
        assert isinstance(plan, RolloutPlan)
        action = cockpit.actions.fire(plan, "the venue burns; git and CI are down")
        watched.until(lambda: cockpit.store.state.actions[action.key].state.final, "it comes to its end", 90)
        ended = cockpit.store.state.actions[action.key]
        assert (ended.state, ended.message) == ("done", f"all 2 nodes run {plan.target.name}")
        assert watched.truth()["nodes"] == {plan.target.digest}
        watched.until(lambda: cockpit.journal is not None and not cockpit.journal.unfinished(), "the outcome is on the disk")
        assert cockpit.actions.verify_journal().ok
    finally:
        away.rename(repository)
        watched.heal()
    watched.put_back(before.version, before.digest)
    eventually(lambda: watched.truth() == {"active": None, "nodes": {before.digest}}, 60)
