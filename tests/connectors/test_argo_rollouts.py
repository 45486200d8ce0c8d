"""Rollouts of Argo: deployments, and pauses that a person answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.connectors import kubeconfig
from cockpit.connectors.argo_rollouts import ArgoRollouts, standing
from cockpit.connectors.http import Limits
from cockpit.connectors.kube_wire import parse_workload
from cockpit.connectors.ports import DeployRequest
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.contract.gates import GatesContract, GatesWorld
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.gates import Gate as Step
from tests.fakes.gate import Gate
from tests.fakes.kube_api import KubeApi, digest_of

SERVICE, PLACE, TOKEN = "gateway", "production", "a-secret-token-of-the-cluster"
FAST = Limits(connect_timeout_s=1, read_timeout_s=1, deadline_s=3, retries=0)
STEPS = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]


def image(version: str) -> str:
    return f"team/gateway:{version}"


def begin(api: KubeApi, steps: list[dict[str, Any]]) -> None:
    api.add(SERVICE, PLACE, image("1.4.0"), plural="rollouts", strategy={"canary": {"steps": steps}})
    api.settle()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeApi]:
    monkeypatch.setattr("cockpit.connectors.kube_cluster.load", lambda path, context: kubeconfig.Credentials(host=path, token=TOKEN))
    with KubeApi(TOKEN).running() as stub:
        yield stub


def connect(url: str) -> ArgoRollouts:
    made = ArgoRollouts({"kubeconfig": url, "environments": PLACE}, str)
    made._workloads.limits = FAST
    return made


@pytest.fixture
def rollouts(api: KubeApi) -> Iterator[ArgoRollouts]:
    begin(api, STEPS)
    made = connect(api.url)
    made.fleet(SERVICE, PLACE)
    yield made
    made.close()


class TestDeployments(DeploymentContract):
    @pytest.fixture
    def world(self, api: KubeApi) -> Iterator[DeploymentWorld]:
        begin(api, [])
        with Gate(api.port) as gate:
            made = connect(gate.url)
            made.fleet(SERVICE, PLACE)
            api.set_image(SERVICE, PLACE, image("1.5.0"), "rollouts")
            api.settle()
            fleet = made.fleet(SERVICE, PLACE)
            yield DeploymentWorld(
                connector=made,
                secret=TOKEN,
                shared=True,
                forbid=gate.forbid,
                cut=gate.cut,
                hang=gate.hang,
                lose=gate.lose,
                heal=gate.heal,
                service=SERVICE,
                environment=PLACE,
                nodes=tuple(n.name for n in fleet.nodes),
                history=tuple(d.id for d in made.history(SERVICE, PLACE)),
                unknown_digest="sha256:" + "0" * 64,
                advance=api.advance,
            )
            made.close()


class TestGates(GatesContract):
    @pytest.fixture
    def world(self, api: KubeApi) -> Iterator[GatesWorld]:
        begin(api, STEPS)
        number = [0]

        def wait() -> None:
            number[0] += 1
            api.set_image(SERVICE, PLACE, image(f"2.{number[0]}.0"), "rollouts")
            api.settle()

        def answered(step: Step) -> str:
            status = api.objects["rollouts", PLACE, SERVICE]["status"]
            if status.get("abort"):
                return "rejected"
            return "" if status.get("pauseConditions") and not status.get("promoteFull") else "approved"

        with Gate(api.port) as gate:
            made = connect(gate.url)
            yield GatesWorld(
                connector=made,
                secret=TOKEN,
                shared=True,
                forbid=gate.forbid,
                cut=gate.cut,
                hang=gate.hang,
                lose=gate.lose,
                heal=gate.heal,
                service=SERVICE,
                wait=wait,
                answered=answered,
                quiet="another",
                unknown=f"{PLACE}/{SERVICE}/r:x",
                lag_s=3,
            )
            made.close()


def waiting(rollouts: ArgoRollouts, api: KubeApi, version: str = "1.5.0") -> tuple[Step, ...]:
    api.set_image(SERVICE, PLACE, image(version), "rollouts")
    api.settle()
    return rollouts.gates(SERVICE)


def test_a_canary_waits_for_a_person(api: KubeApi, rollouts: ArgoRollouts) -> None:
    step, full = waiting(rollouts, api)
    assert (step.version, step.approve, step.reject) == ("1.5.0", "Promote", "Abort")
    assert step.title == "Canary step 1 of 3: paused"
    assert (full.approve, full.reject) == ("Promote fully", "")
    fleet = rollouts.fleet(SERVICE, PLACE)
    assert sorted(n.version for n in fleet.nodes) == ["1.4.0", "1.5.0"]
    assert fleet.active is not None
    assert "waits" in fleet.active.message


def test_promoting_goes_one_step_on_and_fully_to_the_end(api: KubeApi, rollouts: ArgoRollouts) -> None:
    step, _ = waiting(rollouts, api)
    rollouts.decide(step, True, "", "k")
    assert rollouts.fleet(SERVICE, PLACE).active is not None  # unpausing: the phase still says that it waits
    api.settle()
    step, full = rollouts.gates(SERVICE)
    assert step.title == "Canary step 2 of 3: paused"
    rollouts.decide(full, True, "", "k")
    api.settle()
    assert rollouts.gates(SERVICE) == ()
    fleet = rollouts.fleet(SERVICE, PLACE)
    assert (fleet.active, {n.version for n in fleet.nodes}) == (None, {"1.5.0"})


def test_an_answer_to_what_waited_before_is_refused(api: KubeApi, rollouts: ArgoRollouts) -> None:
    step, _ = waiting(rollouts, api)
    waiting(rollouts, api, "1.6.0")
    with pytest.raises(NotFound):
        rollouts.decide(step, True, "", "k")


def test_a_status_that_changed_meanwhile_is_a_conflict(api: KubeApi, rollouts: ArgoRollouts) -> None:
    step, _ = waiting(rollouts, api)
    api.before_patch = lambda: api.touch(SERVICE, PLACE, "rollouts")
    with pytest.raises(Rejected) as caught:
        rollouts.decide(step, True, "", "k")
    assert caught.value.status == 409


def test_abort_brings_the_stable_version_back(api: KubeApi, rollouts: ArgoRollouts) -> None:
    waiting(rollouts, api)
    request = DeployRequest(SERVICE, PLACE, "1.5.0", digest_of(image("1.5.0")), "deploy", "rae", "")
    begun = rollouts.deploy(request, "k1")
    api.settle()
    assert str(rollouts.deployment(begun.id).state) == "running"
    rollouts.abort(begun.id)
    api.settle()
    found = rollouts.deployment(begun.id)
    assert str(found.state) == "aborted"
    assert rollouts.abort(begun.id).state is found.state
    assert {n.version for n in rollouts.fleet(SERVICE, PLACE).nodes} == {"1.4.0"}
    back = DeployRequest(SERVICE, PLACE, "1.4.0", digest_of(image("1.4.0")), "rollback", "rae", "")
    undone = rollouts.deploy(back, "k2")
    api.settle()
    assert str(rollouts.deployment(undone.id).state) == "succeeded"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({"observedGeneration": "1", "phase": "Healthy"}, "running"),
        ({"observedGeneration": "2", "phase": "Healthy"}, "succeeded"),
        ({"observedGeneration": "2", "phase": "Degraded", "message": "timed out"}, "failed"),
        ({"observedGeneration": "2", "phase": "Degraded", "abort": True}, "aborted"),
        ({"observedGeneration": "2", "phase": "Paused", "abort": True}, "running"),
        ({"observedGeneration": "2", "phase": "Paused", "pauseConditions": [{"reason": "CanaryPauseStep"}]}, "running"),
        ({"observedGeneration": "2", "phase": "Paused", "controllerPause": True}, "running"),
        ({"observedGeneration": "2", "stableRS": "a", "currentPodHash": "a", "updatedReplicas": 1, "availableReplicas": 1}, "succeeded"),
        ({"observedGeneration": "7f9c", "stableRS": "a", "currentPodHash": "b"}, "running"),
    ],
)
def test_how_a_rollout_stands(status: dict[str, Any], word: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}, "replicas": 1}
    body = {"metadata": {"name": "x", "uid": "u", "generation": 2}, "spec": spec, "status": status}
    assert str(standing(parse_workload(json.dumps(body).encode())).state) == word
