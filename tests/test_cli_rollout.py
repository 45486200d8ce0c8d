"""Rollouts and sets from the terminal, against a small venue behind fake ports; real store, journal, execution and loop."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit import cli
from cockpit.connecting import Made
from cockpit.domain.errors import Rejected
from cockpit.domain.release import Artifact, Deployment, DeployState
from cockpit.domain.strategy import Rollout
from cockpit.services.execution import Pace
from cockpit.services.rollout_hands import RolloutPace
from cockpit.services.rollout_record import Record
from cockpit.services.runtime import LoopMainThread, Outcome, now_us
from tests.fakes.ports import digest_of
from tests.fakes.world import HOUR_US, SERVICE, World, write_settings

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
strategy = "canary"
[strategies.canary]
steps = [{ do = "deploy", nodes = ["1"] }, { do = "hold" }, { do = "gate", ask = ["checks"] }, { do = "deploy", nodes = ["rest"] }]
[sets.trading]
services = ["gateway", "gateway"]
on_failure = "back"
[poll]
interval_s = 0.5
"""
Run = Callable[..., tuple[int, str, str]]
QUICK = Pace(follow_s=0.02, slow_s=0.05, settle_s=0.3, verify_s=0.5)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    monkeypatch.setattr("cockpit.connecting.make_connections", made.connect)
    monkeypatch.setattr("cockpit.services.execution.Pace", lambda: QUICK)
    monkeypatch.setattr("cockpit.services.rollout_hands.RolloutPace", lambda: RolloutPace(0.05, 0.1, 0.3))
    monkeypatch.setattr("cockpit.services.rollouts.RolloutPace", lambda: RolloutPace(0.05, 0.1, 0.3))
    # every command is another process, which is gone when the next one begins
    numbers = iter(range(1, 10**6))
    monkeypatch.setattr("cockpit.storage.owner.process_owner", lambda: f"{platform.node()}:{os.getpid()}:{next(numbers)}")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path, SETTINGS.replace('["gateway", "gateway"]', '["gateway", "risk"]') + '[services.risk]\nrepository = "repo"\n')
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def versions(world: World) -> list[str]:
    return [n.version for n in world.deployer.fleet(SERVICE, "production").nodes]


def test_what_makes_no_sense_is_refused_with_the_way_out(world: World, run: Run) -> None:
    assert run("rollout", "plan", "gateway")[0] == 2
    code, _, err = run("rollout", "go-on", "beef")
    assert code == 2
    assert "No rollout begins so is under way" in err
    assert run("rollback-set", "lunch", "production", "--dry-run")[0] == 2
    code, _, err = run("rollback-set", "trading", "production", "--to", "gateway")
    assert code == 2
    assert "SERVICE=VERSION" in err
    assert run("rollout", "dance")[0] == 2
    assert world.deployer.count("deploy") == 0


def test_the_card_is_shown_and_nothing_is_sent(world: World, run: Run) -> None:
    code, out, _ = run("rollout", "plan", "gateway", "production", "1.2.0")
    assert code == 0
    assert "1. gateway 1.1.0 → 1.2.0 on production-1" in out
    assert "undo: production-1 back to 1.1.0" in out
    assert "Nothing was sent." in out
    code, out, err = run("rollout", "start", "gateway", "production", "1.2.0")
    assert code == 2
    assert "Nobody is here to confirm it" in err
    assert world.deployer.count("deploy") == 0


def test_a_canary_over_two_commands(world: World, run: Run) -> None:
    code, out, _ = run("--json", "rollout", "start", "gateway", "production", "1.2.0", "--yes", "--reason", "CHG-1")
    begun = json.loads(out)
    assert (code, begun["outcome"]) == (3, "held")
    assert versions(world) == ["1.2.0", "1.1.0", "1.1.0"]
    key = begun["rollout"]["key"]
    code, out, _ = run("rollout", "status")
    assert code == 0
    assert key[:8] in out
    assert "2. hold until a person says go on: held" in out
    code, out, _ = run("--json", "rollout", "go-on", key[:6], "--yes")
    ended = json.loads(out)
    assert (code, ended["outcome"]) == (0, "done"), ended
    assert set(versions(world)) == {"1.2.0"}
    assert world.deployer.count("deploy") == 2
    assert "No rollout is under way." in run("rollout", "status")[1]


def test_back_and_stop_from_another_command(world: World, run: Run) -> None:
    run("rollout", "start", "gateway", "production", "1.2.0", "--yes")
    code, out, err = run("--json", "rollout", "back", "--yes", "--reason", "p99")
    assert (code, json.loads(out)["outcome"]) == (0, "back"), out + err
    assert set(versions(world)) == {"1.1.0"}
    # what was left is held until a person clears it
    code, _, err = run("rollout", "start", "gateway", "production", "1.2.0", "--yes", "--reason", "again")
    assert code == 2
    assert "1.2.0 is held" in err
    assert run("clear", "gateway", "1.2.0", "production", "--reason", "it was the load test")[0] == 0
    code, out, err = run("rollout", "start", "gateway", "production", "1.2.0", "--yes", "--reason", "again")
    assert code == 3, out + err
    code, out, _ = run("rollout", "stop")
    assert code == 0
    assert "aborted" in out
    assert sorted(versions(world)) == ["1.1.0", "1.1.0", "1.2.0"]


def test_a_step_that_is_refused_by_the_system_fails_the_command(world: World, run: Run) -> None:
    def refuse(*_: Any) -> None:
        raise Rejected("that artifact is not known", status=422)

    world.deployer.hooks["deploy"] = refuse
    code, out, _ = run("rollout", "start", "gateway", "production", "1.2.0", "--yes")
    assert code == 1
    assert "that artifact is not known" in out


def test_time_that_runs_out_says_how_it_goes_on(world: World, run: Run) -> None:
    world.deployer.hooks["deployment"] = lambda _: next(d for d in world.deployer._deployments.values() if d.key and not d.state.final)
    code, out, _ = run("--json", "rollout", "start", "gateway", "production", "1.2.0", "--yes", "--timeout", "0.5")
    found = json.loads(out)
    assert code == 3
    assert "nothing more begins by itself" in found["error"]["message"]
    assert found["rollout"]["steps"][0]["state"] == "running"
    del world.deployer.hooks["deployment"]
    code, out, _ = run("--json", "rollout", "go-on", "--yes")
    assert json.loads(out)["outcome"] == "held", out
    assert world.deployer.count("deploy") == 1


def test_a_rehearsal_keeps_how_long_it_takes(world: World, run: Run) -> None:
    world.deployer._nodes["r1"] = replace(world.deployer._nodes["production-1"], name="r1", service="risk")
    code, out, err = run("--json", "rollout", "rehearse", "gateway", "production", "1.2.0")
    found = json.loads(out)
    assert (code, found["outcome"]) == (0, "done"), out + err
    assert found["rollout"]["measured_s"] >= 40
    assert world.deployer.count("deploy") == 0
    assert "rehearsed" in run("rollout", "plan", "gateway", "production", "1.2.0")[1]


def test_a_set_that_cannot_go_back_names_each_reason(world: World, run: Run) -> None:
    code, out, _ = run("--json", "rollback-set", "trading", "production", "--rehearse")
    assert code == 2
    assert any(r.startswith("risk: ") for r in json.loads(out)["error"]["reasons"])
    assert digest_of("1.0.0")


def test_deploy_goes_by_the_steps_too(world: World, run: Run) -> None:
    code, out, _ = run("deploy", "gateway", "production", "1.2.0", "--dry-run", "--reason", "CHG-9")
    assert (code, world.deployer.count("deploy")) == (0, 0)
    assert "done in steps: canary" in out
    assert "1. gateway 1.1.0 → 1.2.0 on production-1" in out
    assert "Nothing was sent." in out
    code, out, _ = run("deploy", "gateway", "production", "1.2.0", "--yes", "--reason", "CHG-9", "--json")
    document = json.loads(out)
    assert (code, document["outcome"], document["action"]) == (3, "held", None), "it waits for a person after the first node"
    assert document["plan"]["target"]["version"] == "1.2.0"
    assert versions(world) == ["1.2.0", "1.1.0", "1.1.0"]
    code, out, _ = run("rollout", "go-on", "--yes", "--reason", "looks right")
    assert code == 0, out
    assert versions(world) == ["1.2.0"] * 3


def late_claims(monkeypatch: pytest.MonkeyPatch, delay_s: float) -> None:
    """The journal hands a rollout over only long after everything else was done."""
    loops: list[LoopMainThread] = []
    claim = Record.claim

    def loop() -> LoopMainThread:
        loops.append(LoopMainThread())
        return loops[-1]

    def late(self: Record, rollout: Rollout, who: str, done: Callable[[Outcome[Any]], None]) -> None:
        def heard(outcome: Outcome[Any]) -> None:
            loops[-1].call_later(delay_s, partial(done, outcome))

        claim(self, rollout, who, heard)

    monkeypatch.setattr("cockpit.cli_session.LoopMainThread", loop)
    monkeypatch.setattr(Record, "claim", late)


@pytest.mark.parametrize(
    ("what", "outcome", "runs"), [("back", "back", {"1.1.0"}), ("go-on", "done", {"1.2.0"}), ("stop", "stopped", None)]
)
def test_a_word_that_comes_late_to_its_rollout_is_waited_for(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch, what: str, outcome: str, runs: set[str] | None
) -> None:
    assert run("rollout", "start", "gateway", "production", "1.2.0", "--yes")[0] == 3
    late_claims(monkeypatch, 0.4)
    code, out, err = run("--json", "rollout", what, *(() if what == "stop" else ("--yes",)))
    found = json.loads(out)
    assert (code, found.get("outcome")) == (0, outcome), out + err
    assert runs is None or set(versions(world)) == runs


def test_a_word_that_never_comes_through_is_said_to_have_not(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("rollout", "start", "gateway", "production", "1.2.0", "--yes")[0] == 3
    late_claims(monkeypatch, 600.0)
    code, out, _ = run("--json", "rollout", "back", "--yes", "--timeout", "0.3")
    assert code == 3
    assert "It has not ended after 0.3 s" in json.loads(out)["error"]["message"]


def test_a_canary_that_waits_is_seen_by_a_rollback_and_a_deployment(world: World, run: Run) -> None:
    assert run("rollout", "start", "gateway", "production", "1.2.0", "--yes")[0] == 3
    for words in (("rollback", "gateway", "production", "--to", "1.0.0"), ("deploy", "gateway", "production", "1.0.0")):
        code, out, err = run(*words, "--dry-run")
        assert "“gateway, canary” is paused, step 2 of 4" in out, (code, out + err)
    code, out, _ = run("--json", "rollback", "gateway", "production", "--to", "1.0.0", "--dry-run")
    assert any("is paused" in line["text"] for line in json.loads(out)["plan"]["preflight"])
    run("deploy", "gateway", "production", "1.2.0", "--yes", "--reason", "again")
    assert world.deployer.count("deploy") == 1, "beside a rollout that waits nothing more begins in steps"


@pytest.fixture
def two(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The deployment system knows risk too, which git does not."""
    deployer, at = world.deployer, now_us()
    deployer._nodes["r1"] = replace(deployer._nodes["production-1"], name="r1", service="risk", digest=digest_of("risk 1.1.0"))
    for number, version in enumerate(("1.0.0", "1.1.0")):
        deployer._artifacts += (Artifact("risk", version, digest_of(version)[:40], digest_of(f"risk {version}"), at),)
        place = ("risk", "production", version, digest_of(f"risk {version}"), "deploy", DeployState.SUCCEEDED)
        started = at - (10 - number) * HOUR_US
        deployer.put(Deployment(f"r{number}", f"r{number}", *place, started_at_us=started, finished_at_us=started + 1))

    def connect(*_: Any) -> Made:
        made = world.connect()
        both = (SERVICE, "risk")
        return Made(tuple(replace(c, services=both) if "DeploymentApi" in c.ports else c for c in made.connected))

    monkeypatch.setattr("cockpit.connecting.make_connections", connect)
    return world


@pytest.mark.parametrize("how", ["--dry-run", "--rehearse"])
def test_a_set_says_of_each_service_what_is_not_ok(two: World, run: Run, how: str) -> None:
    code, out, err = run("rollback-set", "trading", "production", how)
    assert code == 0, out + err
    assert "gateway 1.1.0 → 1.0.0" in out
    assert "a rollback does not wait for tests" in out
    assert "a reason passes over: " in out
    code, out, _ = run("--json", "rollback-set", "trading", "production", how)
    found, other = json.loads(out)["plans"]
    assert (found["service"], found["target"]["version"], other["service"]) == ("gateway", "1.0.0", "risk")
    assert other["insists"], "whether what leaves can be taken back is not known without git"
    assert any(line["state"] == "warning" for line in found["preflight"])
    # what is gone back to is held: that is said too
    assert run("hold", "gateway", "1.0.0", "production", "--reason", "wrong prices")[0] == 0
    code, out, err = run("rollback-set", "trading", "production", how, "--to", "gateway=1.0.0")
    assert "1.0.0 is held" in out, err
    assert two.deployer.count("deploy") == 0


def test_a_set_that_is_refused_keeps_the_lines_of_those_that_could_go(world: World, run: Run) -> None:
    assert "gateway 1.1.0 → 1.0.0" in run("rollback-set", "trading", "production", "--dry-run")[1]
    code, out, _ = run("--json", "rollback-set", "trading", "production", "--dry-run")
    assert code == 2
    assert [p["service"] for p in json.loads(out)["plans"]] == ["gateway", "risk"]
