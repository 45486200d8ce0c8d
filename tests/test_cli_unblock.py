"""Locks and silent actions from the terminal: a real lock in real git, a venue behind fake ports that answers, or does not."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit import cli
from cockpit.connectors.git_lock import GitLock
from cockpit.connectors.ports import Lock, LockHeld
from cockpit.domain.errors import OutcomeUnknown, Unreachable
from cockpit.services.execution import Pace
from cockpit.services.runtime import now_us
from tests.fakes.world import SETTINGS, World, write_settings

Run = Callable[..., tuple[int, str, str]]
LOCKED = SETTINGS.replace("rank = 1\n", 'rank = 1\nlock = "always"\n')
ADA = "Ada <ada@playground.invalid>"
BREAK = ("break-lock", "staging", "--reason", "her machine is off")


class Wary:
    """A lock whose `break_` does as it is told; the rest is real."""

    def __init__(self, lock: GitLock) -> None:
        self.real: Lock = lock
        self.broken: Callable[[LockHeld], None] = lock.break_
        self.silent = False

    def take(self, environment: str, who: str, reason: str, at_us: int) -> LockHeld:
        return self.real.take(environment, who, reason, at_us)

    def release(self, held: LockHeld) -> None:
        self.real.release(held)

    def holder(self, environment: str) -> LockHeld | None:
        if self.silent:
            raise Unreachable("the remote is away")
        return self.real.holder(environment)

    def break_(self, held: LockHeld) -> None:
        self.broken(held)


@pytest.fixture
def lock(tmp_path: Path) -> Wary:
    bare = tmp_path / "policy.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    return Wary(GitLock(bare))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lock: Wary) -> World:
    made = World()
    monkeypatch.setattr("cockpit.connecting.make_connections", lambda *_: replace(made.connect(), lock=lock))
    monkeypatch.setattr("cockpit.services.execution.Pace", lambda: Pace(follow_s=0.02, slow_s=0.05, settle_s=0.3, verify_s=0.5))
    numbers = iter(range(1, 10**6))
    monkeypatch.setattr("cockpit.storage.owner.process_owner", lambda: f"{platform.node()}:{os.getpid()}:{next(numbers)}")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path, LOCKED)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def entries(run: Run, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("activity", "--json")[1])["entries"]
    return [e for e in found if e["action"] == action]


# -- locks -------------------------------------------------------------------------------------------------------------------


def test_a_free_lock_and_no_reason_and_no_place_are_refused(world: World, run: Run, lock: Wary) -> None:
    result, _, err = run(*BREAK)
    assert (result, "is free: there is nothing to break" in err) == (2, True)
    lock.take("staging", ADA, "deploy of gateway", now_us())
    result, _, err = run("break-lock", "staging", "--reason", " ")
    assert (result, "needs a reason" in err) == (2, True)
    assert run("break-lock", "stagin", "--reason", "x")[0] == 2
    assert lock.holder("staging") is not None
    assert entries(run, "break lock") == []


def test_a_lock_is_broken_and_who_did_it_is_written_down(world: World, run: Run, lock: Wary) -> None:
    lock.take("staging", ADA, "deploy of gateway", now_us())
    order = ("deploy", "gateway", "staging", "1.2.0", "--yes")
    result, _, err = run(*order)
    assert (result, f"staging is locked: {ADA}" in err) == (2, True), err
    result, out, err = run(*BREAK, "--json")
    assert result == 0, out + err
    found = json.loads(out)["lock"]
    assert (found["environment"], found["holder"], found["holding"]) == ("staging", ADA, "deploy of gateway")
    assert lock.holder("staging") is None
    [entry] = entries(run, "break lock")
    assert (entry["who"], entry["detail"]["reason"]) == ("Rae <rae@playground.invalid>", "her machine is off")
    result, out, err = run(*order)
    assert result == 0, out + err
    assert lock.holder("staging") is None, "given back when the command ended"
    lock.take("staging", ADA, "again", now_us())
    assert f"it was held by {ADA} since" in run(*BREAK)[1]


def test_what_could_not_be_broken_failed_and_what_nobody_knows_is_unknown(world: World, run: Run, lock: Wary) -> None:
    held = lock.take("staging", ADA, "deploy of gateway", now_us())

    def refuse(_: LockHeld) -> None:
        raise Unreachable("the disk is full")

    lock.broken = refuse
    result, _, err = run(*BREAK)
    assert (result, "Not broken" in err, "the disk is full" in err) == (1, True, True)
    assert lock.holder("staging") == held

    def vanish(_: LockHeld) -> None:
        lock.silent = True
        raise Unreachable("the remote is away")

    lock.broken = vanish
    result, out, _ = run(*BREAK, "--json")
    assert (result, "not known" in json.loads(out)["error"]["message"]) == (3, True)
    lock.silent = True
    assert run(*BREAK)[0] == 1, "nothing was begun"


def test_one_who_gave_it_back_meanwhile_was_not_broken(world: World, run: Run, lock: Wary) -> None:
    lock.take("staging", ADA, "deploy of gateway", now_us())
    asked: list[str] = []

    class Leaving(Wary):
        def holder(self, environment: str) -> LockHeld | None:
            found = super().holder(environment)
            asked.append(environment)
            if len(asked) == 1 and found is not None:
                self.release(found)
            return found

    lock.__class__ = Leaving
    result, _, err = run(*BREAK)
    assert (result, "It changed hands" in err) == (3, True)
    assert entries(run, "break lock") == []


# -- actions that nobody answers for --------------------------------------------------------------------------------------------


def silence(world: World) -> None:
    def nothing(*_: Any) -> Any:
        raise Unreachable("no route")

    for name in ("find", "history", "fleet", "artifacts", "deployment"):
        world.deployer.hooks[name] = nothing


def lost(world: World, run: Run) -> str:
    """A deployment was sent and nobody ever answered; the key."""

    def unanswered(*_: Any) -> None:
        silence(world)
        raise OutcomeUnknown("no answer came")

    world.deployer.hooks["deploy"] = unanswered
    result, out, err = run("--json", "deploy", "gateway", "staging", "1.2.0", "--yes", "--timeout", "0.3")
    assert result == 3, out + err
    del world.deployer.hooks["deploy"]
    return str(json.loads(out)["actions"][0]["key"])


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.services.actions.LET_GO_S", 0.0)
    monkeypatch.setattr("cockpit.cli_unblock.LET_GO_S", 0.0)


def test_one_begun_just_now_is_still_waited_for(world: World, run: Run) -> None:
    key = lost(world, run)
    assert f"(key {key[:8]})" in run("status")[1]
    result, _, err = run("let-go", key[:8], "--reason", "x")
    assert (result, "it was begun only" in err) == (2, True)


def test_a_silent_one_is_let_go_and_its_environment_is_free(world: World, run: Run, long_ago: None, lock: Wary) -> None:
    key = lost(world, run)
    assert lock.holder("staging") is not None
    assert run("let-go", key[:8], "--reason", " ")[0] == 2
    result, out, err = run("let-go", key[:8], "--reason", "every node runs 1.2.0", "--json")
    assert result == 0, out + err
    action = json.loads(out)["action"]
    assert (action["key"], action["state"], action["final"]) == (key, "unknown", False)
    assert action["let_go"] == "Rae <rae@playground.invalid>: every node runs 1.2.0"
    assert lock.holder("staging") is None, "its lock is given back"
    result, _, err = run("let-go", key[:8], "--reason", "again")
    assert (result, "it was let go: Rae" in err) == (2, True)
    world.deployer.hooks.clear()
    result, out, err = run("rollout", "plan", "gateway", "staging", "1.2.0")
    assert result == 0, out + err


def test_one_whose_system_answers_is_not_let_go(world: World, run: Run, long_ago: None) -> None:
    key = lost(world, run)
    world.deployer.hooks.clear()
    result, _, err = run("let-go", key[:8], "--reason", "x")
    assert (result, "its outcome is known" in err) == (2, True)


def test_one_that_a_living_process_follows_is_let_go_there(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    key = lost(world, run)
    monkeypatch.setattr("cockpit.services.outcomes.owner_alive", lambda owner: True)
    monkeypatch.setattr("cockpit.services.actions.owner_alive", lambda owner: True)
    result, _, err = run("let-go", key[:8], "--reason", "x")
    assert (result, "still runs and follows it" in err) == (2, True)
