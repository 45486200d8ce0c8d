"""The deployer as a real process over real nodes: refusals first, then crashes at each place, then the ordinary way."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockpit.playground import processes
from cockpit.playground.processes import RecordLog
from tests.fakes.playground import SERVICE, SLOW_RUN, Program, release, wait_for

Launch = Callable[..., Program]
SMALL = ("--services", SERVICE, "--environment", "staging=1", "--environment", "production=2")
RELEASED = ("--released", f"{SERVICE}=1.1.0")
QUICK = (*SMALL, *RELEASED, "--drain-s", "0")
# the deployment stands in its first step until somebody acts
STANDING = (*SMALL, *RELEASED, "--drain-s", "60")
PLACE = f"/v1/environments/production/services/{SERVICE}"


def ready(deployer: Program) -> Program:
    def up() -> bool:
        known = {a["version"] for a in deployer.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]}
        return deployer.get("/v1/health")["ready"] and "1.3.0" in known

    wait_for(up, "the first set-up is done")
    return deployer


def digest_of(deployer: Program, version: str) -> str:
    artifacts = deployer.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]
    return str(next(a["digest"] for a in artifacts if a["version"] == version))


def body(deployer: Program, version: str, **changes: str) -> dict[str, str]:
    value = {"service": SERVICE, "environment": "production", "version": version, "kind": "deploy", "requested_by": "a@playground.invalid"}
    return {**value, "digest": digest_of(deployer, version), **changes}


def ended(deployer: Program, deployment_id: str) -> Any:
    def final() -> Any:
        found = deployer.get(f"/v1/deployments/{deployment_id}")
        return found if found["state"] not in ("queued", "running") else None

    return wait_for(final, f"{deployment_id} has ended")


def versions(deployer: Program) -> list[str]:
    return [n["version"] for n in deployer.get(PLACE)["nodes"]]


def in_step(deployer: Program, deployment_id: str, index: int, state: str) -> None:
    wait_for(lambda: deployer.get(f"/v1/deployments/{deployment_id}")["steps"][index]["state"] == state, f"step {index} is {state}")


@pytest.fixture
def standing(directory: Path, launch: Launch) -> tuple[Program, Any]:
    """1.1.0 runs; a deployment of 1.2.0 to production stands in its first step."""
    ready(launch("deployer", *QUICK)).kill()
    deployer = launch("deployer", *STANDING)
    status, deployment = deployer.post("/v1/deployments", body(deployer, "1.2.0"), "k")
    assert status == 201
    in_step(deployer, deployment["id"], 0, "stopping")
    return deployer, deployment


def test_first_start_leaves_a_version_to_go_back_to(launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    history = deployer.get(f"{PLACE}/deployments")["deployments"]
    assert [(d["version"], d["state"], d["from_version"]) for d in history] == [("1.1.0", "succeeded", "1.0.0"), ("1.0.0", "succeeded", "")]
    fleet = deployer.get(PLACE)
    assert [n["name"] for n in fleet["nodes"]] == [f"{SERVICE}-production-1", f"{SERVICE}-production-2"]
    assert {(n["version"], n["digest"], n["healthy"]) for n in fleet["nodes"]} == {("1.1.0", history[0]["digest"], True)}
    assert fleet["active"] is None
    environments = deployer.get("/v1/environments")["environments"]
    assert environments == [
        {"name": "staging", "services": [SERVICE], "nodes": 1},
        {"name": "production", "services": [SERVICE], "nodes": 2},
    ]


def test_refusals_do_nothing_and_do_not_use_the_key_up(directory: Path, launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    good = body(deployer, "1.2.0")
    for change in ({"digest": "0" * 64}, {"service": "no"}, {"environment": "no"}, {"version": "1.0.0"}):
        status, answer = deployer.post("/v1/deployments", {**good, **change}, "k")
        assert (status, sorted(answer)) == (422, ["hint", "message", "title"]), change
    assert deployer.post("/v1/deployments", good)[0] == 400
    assert deployer.post("/v1/deployments", {**good, "kind": "guess"}, "k")[0] == 400
    assert deployer.post("/v1/deployments", {**good, "service": 7}, "k")[0] == 400
    assert deployer.raw("POST", "/v1/deployments", b"{", {"Idempotency-Key": "k", "Content-Type": "application/json"})[0] == 400
    assert deployer.raw("POST", "/v1/deployments", b"{}", {"Idempotency-Key": "k", "Content-Type": "text/plain"})[0] == 415
    assert deployer.raw("POST", "/v1/deployments", b" " * 1_000_001, {"Idempotency-Key": "k"})[0] == 413
    assert deployer.raw("GET", "/v1/deployments")[0] == 405
    assert deployer.raw("GET", "/v1/nothing")[0] == 404
    assert deployer.raw("GET", "/v1/environments", headers={"Origin": "http://page.invalid"})[0] == 403
    assert deployer.raw("GET", f"{PLACE}/deployments?limit=0")[0] == 400
    assert deployer.raw("GET", "/v1/deployments/by-key/k")[0] == 404
    assert deployer.post("/v1/deployments", good, "k")[0] == 201


def test_changed_artifact_is_refused_and_a_deleted_one_built_again(directory: Path, launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    request = body(deployer, "1.2.0")
    path = directory / "artifacts" / f"{request['digest']}.tar"
    path.write_bytes(path.read_bytes().replace(b"# 1.2.0", b"# evil!"))
    status, answer = deployer.post("/v1/deployments", request, "k")
    assert (status, answer["title"]) == (422, "The artifact was changed")
    path.unlink()
    wait_for(path.exists, "it is built again")
    assert deployer.post("/v1/deployments", request, "k")[0] == 201
    assert ended(deployer, deployer.get("/v1/deployments/by-key/k")["id"])["state"] == "succeeded"


def test_artifact_changed_while_a_deployment_is_under_way(directory: Path, launch: Launch, standing: tuple[Program, Any]) -> None:
    deployer, deployment = standing
    deployer.kill()
    path = directory / "artifacts" / f"{deployment['digest']}.tar"
    path.write_bytes(path.read_bytes() + b"\0")
    deployer = launch("deployer", *QUICK)
    failed = ended(deployer, deployment["id"])
    assert failed["state"] == "failed"
    assert "changed after it was built" in failed["steps"][0]["message"]
    assert failed["steps"][1]["state"] == "pending"
    assert versions(deployer) == ["1.1.0", "1.1.0"]


def test_same_key_is_the_same_deployment_and_another_body_is_refused(standing: tuple[Program, Any]) -> None:
    deployer, deployment = standing
    status, again = deployer.post("/v1/deployments", body(deployer, "1.2.0"), "k")
    assert (status, again["id"]) == (200, deployment["id"])
    assert deployer.post("/v1/deployments", body(deployer, "1.2.0", reason="another"), "k")[0] == 422
    assert deployer.get("/v1/deployments/by-key/k")["id"] == deployment["id"]


def test_one_at_a_time_in_an_environment(standing: tuple[Program, Any]) -> None:
    deployer, deployment = standing
    status, answer = deployer.post("/v1/deployments", body(deployer, "1.0.0"), "other")
    assert status == 409
    assert deployment["id"] in answer["message"]
    assert deployer.get(PLACE)["active"]["id"] == deployment["id"]
    assert deployer.post("/v1/deployments", body(deployer, "1.2.0", environment="staging"), "staging")[0] == 201


def test_broken_version_stops_the_deployment_at_its_node(launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    deployment = deployer.post("/v1/deployments", body(deployer, "1.3.0"), "k")[1]
    failed = ended(deployer, deployment["id"])
    assert failed["state"] == "failed"
    assert [s["state"] for s in failed["steps"]] == ["failed", "pending"]
    assert failed["steps"][0]["message"] == "its process ended: cannot read the price feed"
    assert failed["message"].endswith("1 node after it stay on what they ran")
    nodes = deployer.get(PLACE)["nodes"]
    assert [(n["version"], n["healthy"]) for n in nodes] == [("", False), ("1.1.0", True)]
    back = deployer.post("/v1/deployments", body(deployer, "1.1.0", kind="rollback"), "back")[1]
    assert ended(deployer, back["id"])["state"] == "succeeded"
    assert versions(deployer) == ["1.1.0", "1.1.0"]


def test_abort_after_the_node_under_way(launch: Launch, directory: Path) -> None:
    os.mkfifo(directory / "gate")
    release(directory / "repo", "2.0.0", {"run.py": SLOW_RUN})
    deployer = ready(launch("deployer", *QUICK))
    deployment = deployer.post("/v1/deployments", body(deployer, "2.0.0"), "k")[1]
    in_step(deployer, deployment["id"], 0, "checking")
    status, answer = deployer.post(f"/v1/deployments/{deployment['id']}/abort")
    assert (status, answer["state"]) == (200, "running")
    (directory / "gate").write_text("go")
    aborted = ended(deployer, deployment["id"])
    assert (aborted["state"], [s["state"] for s in aborted["steps"]]) == ("aborted", ["done", "pending"])
    assert versions(deployer) == ["2.0.0", "1.1.0"]
    assert deployer.post(f"/v1/deployments/{deployment['id']}/abort")[1] == aborted
    assert deployer.post("/v1/deployments/d-999999/abort")[0] == 404


def test_killed_before_the_first_node_changes(launch: Launch, standing: tuple[Program, Any]) -> None:
    deployer, deployment = standing
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    done = ended(deployer, deployment["id"])
    assert (done["state"], done["started_at_us"]) == ("succeeded", deployment["started_at_us"])
    assert versions(deployer) == ["1.2.0", "1.2.0"]
    status, again = deployer.post("/v1/deployments", body(deployer, "1.2.0"), "k")
    assert (status, again["id"]) == (200, deployment["id"])


def test_killed_while_a_node_starts_and_the_node_is_kept(directory: Path, launch: Launch) -> None:
    os.mkfifo(directory / "gate")
    release(directory / "repo", "2.0.0", {"run.py": SLOW_RUN})
    deployer = ready(launch("deployer", *QUICK))
    deployment = deployer.post("/v1/deployments", body(deployer, "2.0.0"), "k")[1]
    in_step(deployer, deployment["id"], 0, "checking")
    part = f"node:{SERVICE}-production-1"
    before = processes.find(directory, part)
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    in_step(deployer, deployment["id"], 0, "checking")
    assert processes.find(directory, part) == before
    (directory / "gate").write_text("go")
    in_step(deployer, deployment["id"], 1, "checking")
    (directory / "gate").write_text("go")
    assert ended(deployer, deployment["id"])["state"] == "succeeded"
    assert versions(deployer) == ["2.0.0", "2.0.0"]


def test_killed_during_the_first_set_up_goes_on_with_it(launch: Launch) -> None:
    deployer = launch("deployer", *STANDING)
    wait_for(lambda: deployer.get(PLACE)["active"] and deployer.get(PLACE)["active"]["version"] == "1.1.0", "the second version's turn")
    deployer.kill()
    deployer = ready(launch("deployer", *QUICK))
    history = deployer.get(f"{PLACE}/deployments")["deployments"]
    assert [(d["version"], d["state"]) for d in history] == [("1.1.0", "succeeded"), ("1.0.0", "succeeded")]


def test_restart_keeps_the_nodes_and_the_port(directory: Path, launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    before = processes.find(directory, "node:")
    assert deployer.terminate() == 0
    assert processes.find(directory, "node:") == before
    again = ready(launch("deployer", *QUICK))
    assert again.port == deployer.port
    assert processes.find(directory, "node:") == before
    assert len(again.get(f"{PLACE}/deployments")["deployments"]) == 2


def test_dead_node_is_started_again(directory: Path, launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    part = f"node:{SERVICE}-production-2"
    (before,) = processes.find(directory, part)
    os.kill(before.pid, 9)
    wait_for(lambda: [p.pid for p in processes.find(directory, part)] not in ([], [before.pid]), "another process")
    wait_for(lambda: versions(deployer) == ["1.1.0", "1.1.0"], "it says its version")


def test_node_moves_when_its_port_was_taken_meanwhile(directory: Path, launch: Launch) -> None:
    deployer = ready(launch("deployer", *QUICK))
    deployer.terminate()
    processes.end(processes.find(directory, "node:"))
    log = RecordLog(directory / "state" / "deployer" / "log.jsonl")
    port = log.get("node")[f"{SERVICE}-production-1"]["port"]
    log.close()
    with socket.create_server(("127.0.0.1", port)):
        deployer = launch("deployer", *QUICK)
        wait_for(lambda: versions(deployer) == ["1.1.0", "1.1.0"], "both nodes run")
        assert deployer.get(PLACE)["nodes"][0]["url"] != f"http://127.0.0.1:{port}"


def test_second_deployer_in_the_same_place_refuses(directory: Path, launch: Launch) -> None:
    launch("deployer", *SMALL)
    second = processes.start_module("deployer", [], directory)
    assert second.wait(20) == 1
    assert "another deployer works in this playground" in (directory / "logs" / "deployer.log").read_text()


@pytest.mark.parametrize("tail", [b'["deployment","d-000', b"\xff\xfe\n", b'["deployment"]\n'])
def test_damaged_last_line_of_the_log_is_left_out(directory: Path, launch: Launch, tail: bytes) -> None:
    log = RecordLog(directory / "state" / "deployer" / "log.jsonl")
    log.put("node", f"{SERVICE}-staging-1", {"port": 23456, "wanted": None})
    log.close()
    path = directory / "state" / "deployer" / "log.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    deployer = launch("deployer", *SMALL)
    assert deployer.get(f"/v1/environments/staging/services/{SERVICE}")["nodes"][0]["url"] == "http://127.0.0.1:23456"
    assert path.with_suffix(".damaged").read_bytes().endswith(tail)
    deployer.terminate()
    again = RecordLog(path)
    assert again.damaged == 0
    again.close()
