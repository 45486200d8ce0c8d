"""The playground as a whole: started, looked at, hurt, healed, stopped, with nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cockpit.playground import launcher, processes, repository
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.launcher import Plan, Status
from tests.fakes.playground import SERVICE, wait_for

PLAN = Plan(services=(SERVICE,), environments={"staging": 1, "production": 1}, released={SERVICE: "1.1.0"})


@pytest.fixture(scope="module")
def shared(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of the small playground that most tests share."""
    directory = tmp_path_factory.mktemp("shared") / "playground"
    shutil.copytree(template, directory / "repo")
    yield directory
    launcher.stop(directory)
    assert left_behind(directory) == []


@pytest.fixture
def up(shared: Path) -> Path:
    """The small playground that runs: begun for the first test that asks, healed for those that come after one that failed."""
    assert launcher.start(shared, plan=PLAN).problems == ()
    return shared


def pids(status: Status) -> dict[str, int]:
    return {p.name: p.pid for p in status.processes}


def left_behind(directory: Path) -> list[str]:
    """Processes whose command line or working directory is below `directory`, whatever marks they carry."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), process.cwd()])
        except psutil.Error:
            continue
        if str(directory) in words and process.pid != os.getpid():
            found.append(words)
    return found


def test_place_that_cannot_hold_it_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PlaygroundError) as caught:
        launcher.start(tmp_path / "file" / "playground", plan=PLAN)
    assert caught.value.title == "The playground cannot be kept here"
    assert "--data-dir" in caught.value.hint


def test_program_that_cannot_start_says_its_last_words(directory: Path) -> None:
    (directory / "state" / "deployer" / "log.jsonl").mkdir(parents=True)
    with pytest.raises(PlaygroundError) as caught:
        launcher.start(directory, plan=PLAN)
    assert caught.value.title == "The playground's deployer did not start"
    assert "IsADirectoryError" in caught.value.message
    assert "logs/deployer.log" in caught.value.hint


def test_nothing_there_is_a_state_too(tmp_path: Path) -> None:
    status = launcher.status(tmp_path / "nothing", PLAN)
    assert (status.started, status.nodes) == (False, ())
    assert status.problems == ("the repository is gone", "deployer does not run", "ci does not run", "traffic does not run")
    launcher.stop(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(PlaygroundError, match="There is no traffic"):
        launcher.regime(tmp_path / "nothing")


def test_started_twice_stopped_twice(directory: Path) -> None:
    said: list[str] = []
    first = launcher.start(directory, said.append, PLAN)
    assert first.problems == ()
    assert [(n.name, n.version, n.healthy) for n in first.nodes] == [
        (f"{SERVICE}-staging-1", "1.1.0", True),
        (f"{SERVICE}-production-1", "1.1.0", True),
    ]
    assert said[0] == "Making the repository"
    assert said[-1] == "The playground is up"
    assert launcher.start(directory, plan=PLAN) == first
    launcher.stop(directory)
    assert left_behind(directory) == []
    assert launcher.status(directory, PLAN).started is False
    launcher.stop(directory)
    again = launcher.start(directory, plan=PLAN)
    assert again.problems == ()
    assert [p.port for p in again.processes] == [p.port for p in first.processes]
    launcher.stop(directory)
    assert left_behind(directory) == []


def test_two_starters_at_once_start_it_once(directory: Path) -> None:
    seen: list[Status] = []
    starters = [threading.Thread(target=lambda: seen.append(launcher.start(directory, plan=PLAN))) for _ in range(2)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert [pids(s) for s in seen] == [pids(seen[0])] * 2
    parts = [p.part for p in processes.find(directory) if p.part in ("deployer", "ci", "traffic")]
    launcher.stop(directory)
    assert sorted(parts) == ["ci", "deployer", "traffic"]


def test_killed_programs_and_nodes_are_said_and_healed(up: Path) -> None:
    before = launcher.status(up, PLAN)
    for name in ("ci", "deployer"):
        os.kill(pids(before)[name], signal.SIGKILL)
    (node,) = processes.find(up, f"node:{SERVICE}-staging-1")
    os.kill(node.pid, signal.SIGKILL)
    wait_for(lambda: len(launcher.status(up, PLAN).problems) == 2, "both are missed")
    assert launcher.status(up, PLAN).problems == ("deployer does not run", "ci does not run")
    after = launcher.start(up, plan=PLAN)
    assert after.problems == ()
    assert pids(after)["traffic"] == pids(before)["traffic"]
    assert pids(after)["ci"] != pids(before)["ci"]


def test_program_that_hangs_is_replaced(up: Path) -> None:
    before = launcher.status(up, PLAN)
    os.kill(pids(before)["ci"], signal.SIGSTOP)
    assert launcher.status(up, PLAN).problems == ("ci does not answer",)
    after = launcher.start(up, plan=PLAN)
    assert after.problems == ()
    assert pids(after)["ci"] != pids(before)["ci"]


def test_vanished_repository_is_said_and_made_again(directory: Path) -> None:
    # in a directory of its own, for what is made again is the real one
    launcher.start(directory, plan=PLAN)
    shutil.rmtree(directory / "repo")
    assert launcher.status(directory, PLAN).problems == ("the repository is gone",)
    assert launcher.start(directory, plan=PLAN).problems == ()
    assert (directory / "repo" / ".git").is_dir()


def test_taken_port_moves_and_the_settings_follow_without_losing_edits(up: Path) -> None:
    path = up / "cockpit.toml"
    path.write_text(path.read_text().replace('"You"', '"Somebody"'))
    old = {p.name: p.port for p in launcher.status(up, PLAN).processes}
    launcher.stop(up)
    with socket.create_server(("127.0.0.1", old["ci"])):
        new = {p.name: p.port for p in launcher.start(up, plan=PLAN).processes}
    assert (new["ci"] != old["ci"], new["deployer"] == old["deployer"]) == (True, True)
    settings = tomllib.loads(path.read_text())
    assert settings["connections"]["ci"] == {"kind": "ci-v1", "url": f"http://127.0.0.1:{new['ci']}"}
    assert settings["connections"]["deployer"]["url"] == f"http://127.0.0.1:{old['deployer']}"
    assert settings["me"]["name"] == "Somebody"
    path.write_text("[[[")
    launcher.start(up, plan=PLAN)
    assert tomllib.loads(path.read_text())["environments"]["production"]["after"] == "staging"


def test_regime_is_switched_while_it_runs(up: Path) -> None:
    assert launcher.regime(up) == "calm"
    assert launcher.set_regime(up, "volatile") == "volatile"
    assert launcher.regime(up) == "volatile"
    with pytest.raises(PlaygroundError, match="It is one of: calm"):
        launcher.set_regime(up, "mad")


def test_drift_and_deploying_by_itself_are_switched_and_refusals_are_said(up: Path, tmp_path: Path) -> None:
    node = f"{SERVICE}-production-1"
    assert launcher.drift(up, node) == f"{node} is set unlike the others"
    assert launcher.drift(up, node, False) == f"{node} is set like the others"
    with pytest.raises(PlaygroundError) as caught:
        launcher.drift(up, "../nowhere")
    assert (caught.value.title, bool(caught.value.hint)) == ("Unknown node", True)
    assert launcher.automatic(up, SERVICE, "production", True).startswith(f"deployed to production by itself: {SERVICE} 1.3.0")
    assert launcher.automatic(up, SERVICE, "production", False) == "nothing is deployed to production by itself"
    with pytest.raises(PlaygroundError, match="Unknown place"):
        launcher.automatic(up, SERVICE, "nowhere", True)
    with pytest.raises(PlaygroundError, match="There is no deployer"):
        launcher.drift(tmp_path / "nothing", node)


def test_keys_and_settings_stay_over_a_restart(up: Path) -> None:
    def kept() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (*(up / "keys").iterdir(), up / "cockpit.toml")}

    before = kept()
    launcher.stop(up)
    launcher.start(up, plan=PLAN)
    assert kept() == before
    assert {"you", "mira", "allowed_signers"} <= set(before)


def test_reset_deletes_only_what_is_the_playgrounds(up: Path) -> None:
    (up / "notes.txt").write_text("mine")
    launcher.reset(up)
    assert sorted(p.name for p in up.iterdir() if not p.name.startswith(".")) == ["notes.txt"]
    assert left_behind(up) == []


def test_the_whole_playground_comes_up_with_versions_to_go_back_to(tmp_path: Path) -> None:
    directory = tmp_path / "playground"
    status = launcher.start(directory)
    try:
        assert status.problems == ()
        assert len(status.nodes) == 18
        assert {n.service: n.version for n in status.nodes} == repository.RELEASED
        port = next(p.port for p in status.processes if p.name == "deployer")
        for place in {(n.service, n.environment) for n in status.nodes}:
            answer = launcher._ask(port, f"/v1/environments/{place[1]}/services/{place[0]}/deployments") or {}
            done = [(d["version"], d["state"]) for d in answer["deployments"]]
            assert [state for _, state in done] == ["succeeded", "succeeded"]
            assert done[0][0] == repository.RELEASED[place[0]] != done[1][0]
    finally:
        launcher.stop(directory)
    assert left_behind(directory) == []
