"""The optional parts of the deployment API, on the real deployer and real nodes: refusals first, then kill -9, then the ordinary way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockpit.playground import processes
from tests.fakes.playground import SERVICE, Program, release, wait_for

Launch = Callable[..., Program]
NODES = [f"{SERVICE}-production-{n}" for n in (1, 2)]
SMALL = ("--services", SERVICE, "--environment", "staging=1", "--environment", "production=2", "--released", f"{SERVICE}=1.1.0")
QUICK = (*SMALL, "--drain-s", "0", "--automatic-s", "0")
PLACE = f"/v1/environments/production/services/{SERVICE}"


def ready(deployer: Program) -> Program:
    def up() -> bool:
        known = {a["version"] for a in deployer.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]}
        return deployer.get("/v1/health")["ready"] and "1.3.0" in known

    wait_for(up, "the first set-up is done")
    return deployer


@pytest.fixture
def deployer(launch: Launch) -> Program:
    return ready(launch("deployer", *QUICK))


def digest_of(deployer: Program, version: str) -> str:
    return str(next(a["digest"] for a in deployer.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"] if a["version"] == version))


def body(deployer: Program, version: str, **changes: Any) -> dict[str, Any]:
    value = {"service": SERVICE, "environment": "production", "version": version, "kind": "deploy", "requested_by": "a@playground.invalid"}
    return {**value, "digest": digest_of(deployer, version), **changes}


def ended(deployer: Program, deployment_id: str) -> Any:
    def final() -> Any:
        found = deployer.get(f"/v1/deployments/{deployment_id}")
        return found if found["state"] not in ("queued", "running") else None

    return wait_for(final, f"{deployment_id} has ended")


def versions(deployer: Program) -> list[str]:
    return [n["version"] for n in deployer.get(PLACE)["nodes"]]


# -- some of the nodes --


@pytest.mark.parametrize(
    ("nodes", "title"), [(["nowhere"], "Unknown node"), ([f"{SERVICE}-staging-1"], "Unknown node"), ([NODES[0]] * 2, "A node named twice")]
)
def test_nodes_that_cannot_be_are_refused(deployer: Program, nodes: list[str], title: str) -> None:
    status, answer = deployer.post("/v1/deployments", body(deployer, "1.2.0", nodes=nodes), "k")
    assert (status, answer["title"], sorted(answer)) == (422, title, ["hint", "message", "title"])
    assert deployer.raw("GET", "/v1/deployments/by-key/k")[0] == 404


def test_only_the_named_nodes_change_and_the_nodes_belong_to_the_request(deployer: Program) -> None:
    request = body(deployer, "1.2.0", nodes=[NODES[1]])
    status, deployment = deployer.post("/v1/deployments", request, "k")
    assert (status, [s["node"] for s in deployment["steps"]]) == (201, [NODES[1]])
    done = ended(deployer, deployment["id"])
    assert (done["state"], done["message"]) == ("succeeded", "1 of 1 nodes run 1.2.0")
    assert versions(deployer) == ["1.1.0", "1.2.0"]
    assert deployer.post("/v1/deployments", request, "k")[0] == 200
    for other in ([], NODES, [NODES[0]]):
        assert deployer.post("/v1/deployments", {**request, "nodes": other}, "k")[0] == 422
    absent = {name: value for name, value in request.items() if name != "nodes"}
    second = deployer.post("/v1/deployments", absent, "all")[1]
    assert [s["node"] for s in second["steps"]] == NODES
    assert deployer.post("/v1/deployments", {**absent, "nodes": []}, "all")[0] == 200
    assert ended(deployer, second["id"])["state"] == "succeeded"


# -- holds --


def test_held_version_is_refused_until_it_is_let_go_also_after_a_crash(launch: Launch, deployer: Program) -> None:
    request = body(deployer, "1.2.0", kind="rollback")
    hold = f"{PLACE}/holds/{request['digest']}"
    assert deployer.put(f"{PLACE}/holds/nothing", {"held": True})[0] == 422
    assert deployer.put(hold.replace("production", "nowhere"), {"held": True})[0] == 404
    assert deployer.put(hold, {"held": "yes"})[0] == 400
    for _ in range(2):
        status, fleet = deployer.put(hold, {"held": True, "reason": "p99 broke"})
        assert (status, fleet["held"], fleet["service"]) == (200, [request["digest"]], SERVICE)
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    status, answer = deployer.post("/v1/deployments", request, "k")
    assert (status, answer["title"]) == (422, "Held back")
    assert "p99 broke" in answer["message"]
    # elsewhere it is not held
    assert deployer.post("/v1/deployments", {**request, "environment": "staging"}, "s")[0] == 201
    for _ in range(2):
        assert deployer.put(hold, {"held": False, "reason": ""})[1]["held"] == []
    status, deployment = deployer.post("/v1/deployments", request, "k")
    assert status == 201
    assert ended(deployer, deployment["id"])["state"] == "succeeded"


# -- deploying by itself --


def by_itself(deployer: Program) -> list[Any]:
    return [d for d in deployer.get(f"{PLACE}/deployments")["deployments"] if d["key"].startswith("automatic:")]


def test_nothing_is_deployed_by_itself_until_it_is_switched_on(directory: Path, launch: Launch, deployer: Program) -> None:
    assert deployer.get(f"{PLACE}/automatic") == {"on": False, "automatic": ""}
    assert deployer.get(PLACE)["automatic"] == ""
    # 1.3.0 is broken: held, so that 1.2.0 is the newest
    deployer.put(f"{PLACE}/holds/{digest_of(deployer, '1.3.0')}", {"held": True, "reason": "broken"})
    assert by_itself(deployer) == []
    words = f"{SERVICE} 1.2.0, the newest version that is not held"
    assert deployer.put(f"{PLACE}/automatic", {"on": True}) == (200, {"on": True, "automatic": words})
    wait_for(lambda: versions(deployer) == ["1.2.0", "1.2.0"], "it is deployed by itself")
    (done,) = by_itself(deployer)
    assert (done["kind"], done["requested_by"]) == ("deploy", "playground deployer, by itself")
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    assert deployer.get(PLACE)["automatic"] == words
    # a version that is held while it runs is not replaced by an older one
    deployer.put(f"{PLACE}/holds/{digest_of(deployer, '1.2.0')}", {"held": True, "reason": "broke"})
    for count, version in enumerate(("0.9.0", "0.9.1"), 5):
        # built in one turn of the deployer, before it looks for what is due: the second one's turn comes after that look
        release(directory / "repo", version, {"run.py": f"# {version}\n"})
        built = f"/v1/services/{SERVICE}/artifacts"
        wait_for(lambda count=count, built=built: len(deployer.get(built)["artifacts"]) == count, f"{version} is built")  # type: ignore[misc]
    assert (len(by_itself(deployer)), versions(deployer)) == (1, ["1.2.0", "1.2.0"])
    assert deployer.put(f"{PLACE}/automatic", {"on": False})[1] == {"on": False, "automatic": ""}


def test_what_failed_by_itself_is_not_tried_again_and_a_rollback_is_undone_unless_held(deployer: Program) -> None:
    deployer.put(f"{PLACE}/automatic", {"on": True})
    wait_for(lambda: [d["state"] for d in by_itself(deployer)] == ["failed"], "the broken version has failed")
    assert "1.3.0" in deployer.get(PLACE)["automatic"]
    back = deployer.post("/v1/deployments", body(deployer, "1.1.0", kind="rollback"), "back")[1]
    assert ended(deployer, back["id"])["state"] == "succeeded"
    wait_for(lambda: len(by_itself(deployer)) == 2, "it deploys the newest one again: nobody held it")
    ended(deployer, by_itself(deployer)[0]["id"])
    deployer.put(f"{PLACE}/holds/{digest_of(deployer, '1.3.0')}", {"held": True, "reason": "broken"})
    deployer.put(f"{PLACE}/holds/{digest_of(deployer, '1.2.0')}", {"held": True, "reason": "unwanted"})
    assert deployer.get(PLACE)["automatic"].startswith(f"{SERVICE} 1.1.0, ")
    key = "again"
    wait_for(lambda: deployer.post("/v1/deployments", body(deployer, "1.1.0"), key)[0] in (200, 201), "nothing is under way")
    ended(deployer, deployer.get(f"/v1/deployments/by-key/{key}")["id"])
    count = len(by_itself(deployer))
    wait_for(lambda: versions(deployer) == ["1.1.0", "1.1.0"], "the old version runs")
    assert len(by_itself(deployer)) == count


# -- trading modes --


def modes(deployer: Program) -> list[str]:
    return [n["mode"] for n in deployer.get(PLACE)["nodes"]]


def test_mode_reaches_every_node_and_outlives_nodes_and_deployer(directory: Path, launch: Launch, deployer: Program) -> None:
    assert deployer.get(f"{PLACE}/mode") == {"mode": "open"}
    assert deployer.put(f"{PLACE}/mode", {"mode": "party"})[0] == 422
    assert deployer.put(f"{PLACE}/mode", {})[0] == 400
    for _ in range(2):
        assert deployer.put(f"{PLACE}/mode", {"mode": "cancel-only"}) == (200, {"mode": "cancel-only"})
    assert modes(deployer) == ["cancel-only"] * 2
    assert deployer.get(f"{PLACE.replace('production', 'staging')}/mode") == {"mode": "open"}
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    assert deployer.get(f"{PLACE}/mode") == {"mode": "cancel-only"}
    (node,) = processes.find(directory, f"node:{NODES[0]}")
    os.kill(node.pid, 9)
    wait_for(lambda: modes(deployer) == ["cancel-only"] * 2, "the node that was started again is in the mode")
    deployment = deployer.post("/v1/deployments", body(deployer, "1.2.0"), "k")[1]
    ended(deployer, deployment["id"])
    assert modes(deployer) == ["cancel-only"] * 2
    assert deployer.put(f"{PLACE}/mode", {"mode": "open"}) == (200, {"mode": "open"})


def test_node_that_missed_the_switch_is_told_again(deployer: Program) -> None:
    import http.client

    assert deployer.put(f"{PLACE}/mode", {"mode": "halted"})[1] == {"mode": "halted"}
    port = int(deployer.get(PLACE)["nodes"][0]["url"].rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", "/mode", b'{"mode":"open"}')
    connection.getresponse().read()
    connection.close()
    wait_for(lambda: modes(deployer) == ["halted"] * 2, "both are halted again")


# -- shares of the traffic --


def test_shares_of_the_traffic_add_up_and_are_kept(launch: Launch, deployer: Program) -> None:
    one, two = NODES
    assert deployer.get(f"{PLACE}/weights") == {"weights": {one: 50, two: 50}}
    assert "weight" not in deployer.get(PLACE)["nodes"][0]
    assert deployer.raw("GET", f"{PLACE.replace('production', 'staging')}/weights")[0] == 404
    for wrong in ({one: 60, two: 60}, {"nowhere": 5}, {one: 30, two: 30}):
        assert deployer.put(f"{PLACE}/weights", {"weights": wrong})[0] == 422, wrong
    for wrong in ({one: 101}, {one: -1}, {one: 1.5}, {one: True}, [one]):
        assert deployer.put(f"{PLACE}/weights", {"weights": wrong})[0] == 400, wrong
    for _ in range(2):
        assert deployer.put(f"{PLACE}/weights", {"weights": {one: 10}}) == (200, {"weights": {one: 10, two: 90}})
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    assert deployer.get(f"{PLACE}/weights") == {"weights": {one: 10, two: 90}}
    assert [n["weight"] for n in deployer.get(PLACE)["nodes"]] == [10, 90]


# -- one node unlike the others --


def fingerprints(deployer: Program) -> list[tuple[str, list[str]]]:
    return [(n["config"], n["flags"]) for n in deployer.get(PLACE)["nodes"] if n["healthy"]]


def test_one_node_drifts_and_comes_back(launch: Launch, deployer: Program) -> None:
    drift = f"/playground/nodes/{NODES[0]}/drift"
    wait_for(lambda: len(fingerprints(deployer)) == 2, "both nodes are healthy")
    before = fingerprints(deployer)
    assert before[0] == before[1]
    assert deployer.put("/playground/nodes/nowhere/drift", {"on": True})[0] == 404
    assert deployer.put(drift, {"on": True}) == (200, {"node": NODES[0], "on": True})
    wait_for(lambda: len(set(map(str, fingerprints(deployer)))) == 2, "one node is unlike the other")
    odd, even = fingerprints(deployer)
    assert (odd[0] != before[0][0], odd[1], even) == (True, ["log_refusals=on"], before[1])
    deployer.kill()
    deployer = launch("deployer", *QUICK)
    deployment = deployer.post("/v1/deployments", body(deployer, "1.2.0"), "k")[1]
    assert ended(deployer, deployment["id"])["state"] == "succeeded"
    assert fingerprints(deployer)[0] == odd
    assert deployer.put(drift, {"on": False})[0] == 200
    wait_for(lambda: fingerprints(deployer) == before, "it is like the others again")
