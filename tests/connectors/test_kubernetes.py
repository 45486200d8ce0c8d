"""Deployments of Kubernetes, against an API server of its kind, and the traps that a real one sets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import kube_records, kube_wire, kubeconfig, moments, oci_registry
from cockpit.connectors.http import Limits
from cockpit.connectors.image_names import image_name, split_image, version_in
from cockpit.connectors.kube_deployments import KubeDeployments
from cockpit.connectors.kube_watch import NextChange
from cockpit.connectors.kubernetes import kubernetes
from cockpit.connectors.ports import DeployRequest
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Deployment
from tests.fakes.gate import Gate
from tests.fakes.kube_api import REVISION, KubeApi, digest_of

SERVICE, PLACE = "gateway", "production"
REPO = "registry.invalid:5000/team/gateway"
TOKEN = "a-secret-token-of-the-cluster"
FAST = Limits(connect_timeout_s=1, read_timeout_s=1, deadline_s=3, retries=0)


def image(version: str) -> str:
    return f"{REPO}:{version}"


def write_kubeconfig(folder: Path, url: str, user: str = f"{{token: {TOKEN}}}") -> Path:
    path = folder / "kubeconfig"
    contexts = "[{name: main, context: {cluster: k, user: u}}]"
    path.write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: main\ncontexts: {contexts}\n"
        f'clusters: [{{name: k, cluster: {{server: "{url}"}}}}]\nusers: [{{name: u, user: {user}}}]\n'
    )
    return path


@pytest.fixture
def api() -> Iterator[KubeApi]:
    stub = KubeApi(TOKEN)
    with stub.running():
        stub.add(SERVICE, PLACE, image("1.4.0"))
        stub.settle()
        stub.set_image(SERVICE, PLACE, image("1.5.0"))
        stub.settle()
        yield stub


Make = Callable[..., KubeDeployments]


def quick_load(path: str, context: str) -> kubeconfig.Credentials:
    """Where the loader itself is not what is tested: its process takes half a second."""
    if path.startswith("http"):
        return kubeconfig.Credentials(host=path, token=TOKEN)
    return kubeconfig.load(path, context)


@pytest.fixture
def make(api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[KubeDeployments] = []
    monkeypatch.setattr("cockpit.connectors.kube_cluster.load", quick_load)

    def connect(url: str = "", user: str = "", **options: str) -> KubeDeployments:
        config = str(write_kubeconfig(tmp_path, url or api.url, user)) if user else url or api.url
        connector = kubernetes({"kubeconfig": config, "environments": "staging production"} | options, str)
        connector.workloads.limits = FAST
        made.append(connector)
        return connector

    yield connect
    for connector in made:
        connector.close()


@pytest.fixture
def cluster(api: KubeApi, make: Make) -> KubeDeployments:
    """A connector that saw 1.4.0 run, and now sees 1.5.0: revisions 3 and 4 after the first two."""
    connector = make()
    seen_before(api, connector, "1.4.0")
    connector.fleet(SERVICE, PLACE)
    return connector


def deploy(cluster: KubeDeployments, version: str, key: str, kind: str = "deploy") -> Deployment:
    request = DeployRequest(SERVICE, PLACE, version, digest_of(image(version)), kind, "rae@playground.invalid", "because")
    return cluster.deploy(request, key)


def seen_before(api: KubeApi, cluster: KubeDeployments, version: str) -> None:
    """Run it once, so that the cluster knows its digest, and go on to 1.5.0."""
    api.set_image(SERVICE, PLACE, image(version))
    api.settle()
    cluster.fleet(SERVICE, PLACE)
    api.set_image(SERVICE, PLACE, image("1.5.0"))
    api.settle()


class TestContract(DeploymentContract):
    @pytest.fixture
    def world(self, api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeploymentWorld]:
        monkeypatch.setattr("cockpit.connectors.kube_cluster.load", quick_load)
        api.set_image(SERVICE, PLACE, image("1.4.0"))
        api.settle()
        with Gate(api.port) as gate:
            connector = kubernetes({"kubeconfig": gate.url, "environments": PLACE}, str)
            connector.workloads.limits = FAST
            fleet = connector.fleet(SERVICE, PLACE)
            api.set_image(SERVICE, PLACE, image("1.5.0"))
            api.settle()
            fleet = connector.fleet(SERVICE, PLACE)
            yield DeploymentWorld(
                connector=connector,
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
                history=tuple(d.id for d in connector.history(SERVICE, PLACE)),
                unknown_digest="sha256:" + "0" * 64,
                advance=api.advance,
            )
            connector.close()


def test_a_fleet_is_what_the_pods_say(api: KubeApi, make: Make) -> None:
    cluster = make(node_url="http://{ip}:8080/{pod}", image=REPO + ":{version}")
    fleet = cluster.fleet(SERVICE, PLACE)
    assert len(fleet.nodes) == 2
    for node in fleet.nodes:
        assert (node.version, node.digest, node.healthy) == ("1.5.0", digest_of(image("1.5.0")), True)
        assert node.url == f"http://127.0.0.1:8080/{node.name}"
    assert fleet.active is None
    assert fleet.automatic == ""


def test_pods_that_end_and_pods_of_others_are_no_nodes(api: KubeApi, cluster: KubeDeployments) -> None:
    pod = next(o for (p, _, _), o in api.objects.items() if p == "pods")
    pod["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    stranger = {"name": "stranger", "namespace": PLACE, "labels": dict(pod["metadata"]["labels"]), "ownerReferences": []}
    api.write("pods", {"metadata": stranger, "spec": pod["spec"], "status": {}})
    assert len(cluster.fleet(SERVICE, PLACE).nodes) == 1


def test_an_old_status_is_not_believed(api: KubeApi, cluster: KubeDeployments) -> None:
    seen_before(api, cluster, "1.6.0")
    api.bad_images.add(image("1.7.0"))
    api.set_image(SERVICE, PLACE, image("1.7.0"))
    api.advance()
    api.advance()
    api.fail(SERVICE, PLACE)
    assert str(cluster.history(SERVICE, PLACE)[0].state) == "failed"
    back = deploy(cluster, "1.5.0", "k1", "rollback")
    assert str(back.state) == "running"  # the status still says that the deadline passed: of the generation before
    assert str(cluster.deployment(back.id).state) == "running"
    assert cluster.fleet(SERVICE, PLACE).active is not None
    api.settle()
    done = cluster.deployment(back.id)
    assert str(done.state) == "succeeded"
    assert {step.state for step in done.steps} == {"done"}
    assert set(cluster.fleet(SERVICE, PLACE).digests) == {digest_of(image("1.5.0"))}


def test_a_rollback_brings_the_whole_template_back(api: KubeApi, cluster: KubeDeployments) -> None:
    api.set_image(SERVICE, PLACE, image("1.6.0"))
    new = api.objects["deployments", PLACE, SERVICE]
    new["spec"]["template"]["spec"]["containers"][1]["env"] = [{"name": "LIMIT", "value": "9"}]
    api.settle()
    cluster.fleet(SERVICE, PLACE)
    back = deploy(cluster, "1.5.0", "k1", "rollback")
    api.settle()
    template = api.objects["deployments", PLACE, SERVICE]["spec"]["template"]
    assert template["spec"]["containers"][1]["env"] == []
    assert "pod-template-hash" not in template["metadata"]["labels"]
    used = next(s for s in api.sets(new["metadata"]["uid"]) if s["spec"]["template"]["spec"]["containers"][1]["image"] == image("1.5.0"))
    assert used["metadata"]["annotations"][REVISION["deployments"]] == "6"
    assert used["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "2,4"
    done = cluster.deployment(back.id)
    assert (str(done.state), done.kind, done.from_version, done.from_digest) == (
        "succeeded", "rollback", "1.6.0", digest_of(image("1.6.0")),
    )  # fmt: skip
    first = cluster.history(SERVICE, PLACE)[0]
    assert (first.id, first.requested_by, first.reason) == (back.id, "rae@playground.invalid", "because")


def test_a_rollback_without_a_replica_set_brings_the_image_back(api: KubeApi, cluster: KubeDeployments) -> None:
    begun = deploy(cluster, "1.4.0", "k1")
    api.settle()
    old = next(o for (p, _, _), o in api.objects.items() if p == "replicasets" and not api.pods(o["metadata"]["uid"]))
    known = api.objects.pop(("replicasets", PLACE, old["metadata"]["name"]))
    assert known is not None
    request = DeployRequest(SERVICE, PLACE, "1.4.0", begun.digest, "rollback", "rae", "")
    again = cluster.deploy(request, "k2")
    assert "only its image" in again.message


def test_an_image_is_deployed_by_its_digest(api: KubeApi, cluster: KubeDeployments) -> None:
    begun = deploy(cluster, "1.4.0", "k1")
    wanted = f"{image('1.4.0')}@{digest_of(image('1.4.0'))}"
    workload = api.objects["deployments", PLACE, SERVICE]
    containers = workload["spec"]["template"]["spec"]["containers"]
    assert [c["image"] for c in containers] == ["proxy:1", wanted]
    assert workload["metadata"]["annotations"]["kubernetes.io/change-cause"].startswith("deploy of 1.4.0 by rae")
    api.settle()
    assert {s.state for s in cluster.deployment(begun.id).steps} == {"done"}
    assert {n.version for n in cluster.fleet(SERVICE, PLACE).nodes} == {"1.4.0"}


def test_a_second_deployment_of_the_same_image_starts_the_pods_anew(api: KubeApi, cluster: KubeDeployments) -> None:
    deploy(cluster, "1.4.0", "k1")
    api.settle()
    before = {n.name for n in cluster.fleet(SERVICE, PLACE).nodes}
    patches = [line for line in api.asked if line.startswith("PATCH")]
    assert deploy(cluster, "1.4.0", "k1").key == "k1"
    assert [line for line in api.asked if line.startswith("PATCH")] == patches  # the same key patches nothing
    again = deploy(cluster, "1.4.0", "k2")
    api.settle()
    assert str(cluster.deployment(again.id).state) == "succeeded"
    assert not before & {n.name for n in cluster.fleet(SERVICE, PLACE).nodes}
    assert str(cluster.deployment(cluster.find("k1").id).state) == "succeeded"  # type: ignore[union-attr]


def test_somebody_else_was_faster(api: KubeApi, cluster: KubeDeployments) -> None:
    api.before_patch = lambda: api.set_image(SERVICE, PLACE, image("2.0.0"))
    with pytest.raises(Rejected) as caught:
        deploy(cluster, "1.4.0", "k1")
    assert caught.value.status == 409
    assert cluster.find("k1") is None
    assert api.objects["deployments", PLACE, SERVICE]["spec"]["template"]["spec"]["containers"][1]["image"] == image("2.0.0")


def test_a_status_written_meanwhile_is_no_conflict(api: KubeApi, cluster: KubeDeployments) -> None:
    api.before_patch = lambda: api.touch(SERVICE, PLACE)
    assert str(deploy(cluster, "1.4.0", "k1").state) == "running"
    assert len([line for line in api.asked if line.startswith("PATCH")]) == 2


def test_paused_by_others_is_refused_paused_by_an_abort_goes_on(api: KubeApi, cluster: KubeDeployments) -> None:
    api.change(SERVICE, PLACE, paused=True)
    api.settle()
    with pytest.raises(Rejected, match="paused"):
        deploy(cluster, "1.4.0", "k1", "rollback")
    api.change(SERVICE, PLACE, paused=False)
    api.settle()
    begun = deploy(cluster, "1.4.0", "k2")
    api.advance()
    api.advance()
    stopped = cluster.abort(begun.id)
    assert str(stopped.state) == "aborted"
    assert api.objects["deployments", PLACE, SERVICE]["spec"]["paused"] is True
    api.settle()
    assert cluster.fleet(SERVICE, PLACE).active is None
    assert len(cluster.fleet(SERVICE, PLACE).digests) == 2
    assert cluster.abort(begun.id) == cluster.deployment(begun.id)
    back = deploy(cluster, "1.5.0", "k3", "rollback")
    api.settle()
    assert str(cluster.deployment(back.id).state) == "succeeded"
    assert api.objects["deployments", PLACE, SERVICE]["spec"]["paused"] is False
    assert str(cluster.deployment(begun.id).state) == "aborted"


def test_a_paused_deployment_under_way_is_running_and_says_so(api: KubeApi, cluster: KubeDeployments) -> None:
    begun = deploy(cluster, "1.4.0", "k1")
    api.advance()
    api.change(SERVICE, PLACE, paused=True)
    api.settle()
    found = cluster.deployment(begun.id)
    assert str(found.state) == "running"
    assert "paused" in found.message


def test_the_deadline_that_passes_is_a_failure(api: KubeApi, cluster: KubeDeployments) -> None:
    wanted = f"{image('1.4.0')}@{digest_of(image('1.4.0'))}"
    api.bad_images.add(wanted)
    begun = deploy(cluster, "1.4.0", "k1")
    for _ in range(4):
        api.advance()
    assert str(cluster.deployment(begun.id).state) == "running"
    api.fail(SERVICE, PLACE)
    failed = cluster.deployment(begun.id)
    assert str(failed.state) == "failed"
    assert "timed out" in failed.message
    assert {s.state for s in failed.steps} == {"failed", "pending"}
    deploy(cluster, "1.5.0", "k2", "rollback")
    api.settle()
    assert str(cluster.deployment(begun.id).state) == "failed"  # written down with the rollback


def half_seen(api: KubeApi, **status: Any) -> dict[str, Any]:
    """The first status that the real controller writes after a ReplicaSet is used again: of the new generation, while the workload's
    revision is still that of the ReplicaSet that is being replaced, and the condition too (no progress was seen yet).
    """
    new = copy.deepcopy(api.objects["deployments", PLACE, SERVICE])
    new["status"] |= {"observedGeneration": new["metadata"]["generation"]} | status
    return api.write("deployments", new)


def test_a_rollback_that_is_seen_by_halves_is_under_way(api: KubeApi, cluster: KubeDeployments) -> None:
    seen_before(api, cluster, "1.6.0")
    back = deploy(cluster, "1.6.0", "k1", "rollback")
    half_seen(api, replicas=2, updatedReplicas=0)
    assert str(cluster.deployment(back.id).state) == "running"
    active = cluster.fleet(SERVICE, PLACE).active
    assert active is not None
    assert active.id == back.id
    api.settle()
    assert str(cluster.deployment(back.id).state) == "succeeded"


def test_a_deadline_of_the_replaced_pods_is_no_failure_of_the_rollback(api: KubeApi, cluster: KubeDeployments) -> None:
    seen_before(api, cluster, "1.6.0")
    api.bad_images.add(image("1.7.0"))
    api.set_image(SERVICE, PLACE, image("1.7.0"))
    api.advance()
    api.advance()
    bad = max(api.sets(api.objects["deployments", PLACE, SERVICE]["metadata"]["uid"]), key=lambda s: int(s["metadata"]["resourceVersion"]))
    words = f'ReplicaSet "{bad["metadata"]["name"]}" has timed out progressing.'
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": words}
    back = deploy(cluster, "1.5.0", "k1", "rollback")
    half_seen(api, conditions=[late], replicas=4, updatedReplicas=2)
    assert str(cluster.deployment(back.id).state) == "running"
    api.settle()
    assert str(cluster.deployment(back.id).state) == "succeeded"


def test_a_success_of_the_replaced_pods_is_none_of_the_rollback(api: KubeApi, cluster: KubeDeployments) -> None:
    """With the strategy Recreate the condition stays that of the old ReplicaSet until the end and longer."""
    seen_before(api, cluster, "1.6.0")
    back = deploy(cluster, "1.6.0", "k1", "rollback")
    good = api.objects["deployments", PLACE, SERVICE]["status"]["conditions"]
    half_seen(api, conditions=good, replicas=2, updatedReplicas=2, availableReplicas=0, readyReplicas=0)
    assert good[0]["reason"] == "NewReplicaSetAvailable"
    assert str(cluster.deployment(back.id).state) == "running"
    half_seen(api, conditions=good, replicas=2, updatedReplicas=2, availableReplicas=2, readyReplicas=2)
    assert str(cluster.deployment(back.id).state) == "succeeded"


def test_paused_by_others_before_its_replica_set_was_made_is_under_way(api: KubeApi, cluster: KubeDeployments) -> None:
    begun = deploy(cluster, "1.4.0", "k1")
    api.change(SERVICE, PLACE, paused=True)
    api.settle()
    found = cluster.deployment(begun.id)
    assert (str(found.state), "paused" in found.message) == ("running", True)


def test_what_others_replaced_before_it_was_seen_keeps_no_verdict(api: KubeApi, cluster: KubeDeployments) -> None:
    begun = deploy(cluster, "1.4.0", "k1")
    api.settle()
    api.set_image(SERVICE, PLACE, image("1.9.0"))
    api.settle()
    found = cluster.deployment(begun.id)
    assert str(found.state) == "succeeded"
    assert "no verdict" in found.message, found
    assert cluster.history(SERVICE, PLACE)[0].version == "1.9.0"


def test_only_some_pods_cannot_be_chosen(cluster: KubeDeployments) -> None:
    request = DeployRequest(SERVICE, PLACE, "1.4.0", digest_of(image("1.4.0")), "deploy", "rae", "", ("pod-1",))
    with pytest.raises(Rejected):
        cluster.deploy(request, "k1")


def test_rights(api: KubeApi, make: Make) -> None:
    with pytest.raises(AuthFailed):
        make(user="{token: another}").fleet(SERVICE, PLACE)
    api.allowed = {"deployments"}
    cluster = make()
    with pytest.raises(AuthFailed, match="replicasets is forbidden"):
        cluster.fleet(SERVICE, PLACE)
    assert "list replicasets in staging" in cluster.probe().missing
    api.allowed = set()
    everywhere = make(environments="")
    with pytest.raises(AuthFailed) as caught:
        everywhere.find("k1")
    assert "environments" in caught.value.hint


def test_find_looks_through_all_namespaces_where_none_is_named(api: KubeApi, make: Make) -> None:
    first = make()
    seen_before(api, first, "1.4.0")
    begun = deploy(first, "1.4.0", "k1")
    found = make(environments="").find("k1")
    assert found is not None
    assert found.id == begun.id
    assert make(environments="").find("k2") is None


def test_a_list_that_grew_too_old_is_read_again(api: KubeApi, cluster: KubeDeployments) -> None:
    api.change(SERVICE, PLACE, replicas=5)
    api.settle()
    api.expired_pages = 1
    assert len(cluster.fleet(SERVICE, PLACE).nodes) == 5


def test_following_waits_for_a_change_however_the_watch_ends(api: KubeApi, cluster: KubeDeployments) -> None:
    begun = deploy(cluster, "1.4.0", "k1")
    api.advance()
    cluster.deployment(begun.id)
    assert not api.watched
    cluster.deployment(begun.id)  # nothing new: a watch, which ends at once without an event
    assert api.watched == 1
    api.too_old = True
    cluster.deployment(begun.id)  # 410 inside the stream: the list is read again
    assert api.watched == 2
    api.allowed = {"deployments", "replicasets", "pods"}
    api.refuse_watch = True
    cluster.deployment(begun.id)
    cluster.deployment(begun.id)
    assert api.watched == 3  # who may not watch asks no second time
    api.settle()
    assert str(cluster.deployment(begun.id).state) == "succeeded"


def test_a_watch_is_closed_with_its_first_event() -> None:
    change = NextChange()
    change.feed(b'{"type":"BOOKMARK","object":{}}\n{"type":"MODI')
    assert not change.closed
    change.feed(b'FIED","object":{"metadata":{}}}\n')
    assert (change.closed, change.seen) == (True, "MODIFIED")
    broken = NextChange()
    broken.feed(b"<html>\n")
    assert broken.closed


def test_a_lost_answer_is_found_by_its_key_and_patched_once(api: KubeApi, make: Make) -> None:
    with Gate(api.port) as gate:
        cluster = make(gate.url)
        seen_before(api, cluster, "1.4.0")
        gate.lose()
        with pytest.raises(OutcomeUnknown):
            deploy(cluster, "1.4.0", "k1")
        gate.heal()
        other = make(gate.url)  # another process after a kill: it knows nothing but the key
        found = other.find("k1")
        assert found is not None
        assert (found.key, found.version, found.environment) == ("k1", "1.4.0", PLACE)
        assert deploy(other, "1.4.0", "k1").id == found.id
        assert len([line for line in api.asked if line.startswith("PATCH")]) == 1


def test_who_else_may_change_it_is_told(api: KubeApi, cluster: KubeDeployments) -> None:
    api.objects["deployments", PLACE, SERVICE]["metadata"].setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = "x"
    assert "Argo CD" in cluster.fleet(SERVICE, PLACE).automatic


def test_a_context_for_each_environment_needs_their_names() -> None:
    with pytest.raises(ConfigError):
        kubernetes({"context": "{environment}"}, str)
    with pytest.raises(ConfigError):
        kubernetes({"namespace": "{place}"}, str)
    with pytest.raises(ConfigError):
        kubernetes({"registry": "http://127.0.0.1:1"}, str)


def test_a_tag_whose_content_nobody_knows_is_gone_back_to_by_its_name(api: KubeApi, make: Make) -> None:
    cluster = make()
    past = cluster.history(SERVICE, PLACE)[1]
    assert (past.version, past.digest) == ("1.4.0", f"image:{image('1.4.0')}")
    request = DeployRequest(SERVICE, PLACE, "1.4.0", past.digest, "rollback", "rae", "")
    begun = cluster.deploy(request, "k1")
    api.settle()
    assert str(cluster.deployment(begun.id).state) == "succeeded"
    assert set(cluster.fleet(SERVICE, PLACE).digests) == {past.digest}
    again = cluster.deploy(DeployRequest(SERVICE, PLACE, "1.4.0", past.digest, "deploy", "rae", ""), "k2")
    api.settle()
    assert str(cluster.deployment(again.id).state) == "succeeded"
    assert set(cluster.fleet(SERVICE, PLACE).digests) == {past.digest}
    pod = next(o for (p, _, _), o in api.objects.items() if p == "pods")
    pod["status"]["containerStatuses"][1]["imageID"] = "docker.io/x@" + digest_of("another")  # the tag moved meanwhile
    assert digest_of("another") in cluster.fleet(SERVICE, PLACE).digests


def test_pods_without_a_kubelet_are_known_by_the_name_of_their_image(api: KubeApi, make: Make) -> None:
    for (plural, _, _), pod in api.objects.items():
        if plural == "pods":
            del pod["status"]["containerStatuses"]
    fleet = make().fleet(SERVICE, PLACE)
    assert set(fleet.digests) == {f"image:{image('1.5.0')}"}
    assert all(node.healthy for node in fleet.nodes)


# -- kubeconfig ------------------------------------------------------------------------------------------------------------------


def plugin(folder: Path, text: str) -> str:
    path = folder / "login"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return f'{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: "{path}", interactiveMode: IfAvailable}}}}'


def told(token: str) -> str:
    return '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"' + token + '"}}'


def test_a_login_program_gives_the_token(api: KubeApi, make: Make, tmp_path: Path) -> None:
    cluster = make(user=plugin(tmp_path, f"echo '{told(TOKEN)}'"))
    assert len(cluster.fleet(SERVICE, PLACE).nodes) == 2


def test_a_token_that_ended_is_asked_for_again(api: KubeApi, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.connectors.kube_cluster.FRESH_S", 0.0)
    (tmp_path / "token").write_text(told(TOKEN))
    cluster = make(user=plugin(tmp_path, f"cat {tmp_path}/token"))
    cluster.fleet(SERVICE, PLACE)
    api.token = "the-next-one"
    with pytest.raises(AuthFailed):
        cluster.fleet(SERVICE, PLACE)
    (tmp_path / "token").write_text(told(api.token))
    assert len(cluster.fleet(SERVICE, PLACE).nodes) == 2


def test_a_login_program_that_waits_is_ended(tmp_path: Path) -> None:
    config = write_kubeconfig(tmp_path, "http://127.0.0.1:1", plugin(tmp_path, "read answer; tail -f /dev/null"))
    with pytest.raises(AuthFailed, match="did not end") as caught:
        kubeconfig.load(str(config), "", 2.0)
    assert "log in" in caught.value.hint


@pytest.mark.parametrize(
    ("user", "server", "words"),
    [
        ("{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-program}}", "http://127.0.0.1:1", "no-such-program"),
        ("{token: x}", "ftp://example", "no address"),
    ],
)
def test_kubeconfigs_that_give_no_login(tmp_path: Path, user: str, server: str, words: str) -> None:
    config = write_kubeconfig(tmp_path, server, user)
    with pytest.raises(ConnectorError, match=words):
        kubeconfig.load(str(config), "")
    with pytest.raises(Unreachable, match="no-such-context"):
        kubeconfig.load(str(config), "no-such-context")
    with pytest.raises(Unreachable):
        kubeconfig.load(str(tmp_path / "nowhere"), "")


def test_who_does_not_verify_is_refused(tmp_path: Path) -> None:
    config = write_kubeconfig(tmp_path, 'https://127.0.0.1:1", insecure-skip-tls-verify: true, x: "')
    with pytest.raises(AuthFailed, match="verify"):
        kubeconfig.load(str(config), "")


def test_certificates_and_passwords(tmp_path: Path) -> None:
    from base64 import b64encode

    def data(text: str) -> str:
        return b64encode(text.encode()).decode()

    user = f"{{client-certificate-data: {data('the certificate')}, client-key-data: {data('the key')}}}"
    config = write_kubeconfig(tmp_path, f'https://127.0.0.1:1", certificate-authority-data: "{data("the authority")}', user)
    found = kubeconfig.load(str(config), "")
    assert (found.authority, found.certificate, found.key) == ("the authority", "the certificate", "the key")
    found = kubeconfig.load(str(write_kubeconfig(tmp_path, "http://127.0.0.1:1", "{username: jane, password: 'p:w'}")), "")
    assert (found.user, found.token) == ("jane", "p:w")


def test_held_text_is_readable_until_it_is_closed() -> None:
    held = kubeconfig.Held()
    path = held.path("the key")
    assert Path(path).read_text() == "the key"
    held.close()
    held.close()
    assert not Path(path).exists() or not path.startswith("/tmp")


# -- names and payloads ----------------------------------------------------------------------------------------------------------


def test_names_of_images() -> None:
    digest = "sha256:" + "a" * 64
    assert split_image(f"host:5000/team/app:1.2@{digest}").tag == "1.2"
    assert split_image("host:5000/team/app").tag == ""
    assert version_in("r/app:v1.2.0", "r/{service}:v{version}", "app") == "1.2.0"
    assert version_in("r/app:app-1.2.0", "", "app") == "1.2.0"
    assert version_in("r/app:nightly", "", "app") == "nightly"
    assert image_name("r/{service}:v{version}", "x", "app", "1.2", digest) == f"r/app:v1.2@{digest}"
    assert image_name("", "h:5000/team/app:1.1", "app", "1.2", digest) == f"h:5000/team/app:1.2@{digest}"
    assert image_name("", "team/app", "app", "1.2 beta", digest) == f"team/app@{digest}"


PARSERS: list[Callable[[bytes], Any]] = [
    kube_wire.parse_workload,
    kube_wire.parse_workloads,
    kube_wire.parse_pods,
    kube_wire.parse_template,
    kube_wire.parse_version,
    kube_wire.parse_event_type,
    kube_records.parse_records,
    kubeconfig.parse_credentials,
    oci_registry.parse_tags,
    oci_registry.parse_manifest,
    oci_registry.parse_image,
]
WORDS = st.sampled_from(
    ["metadata", "items", "spec", "template", "containers", "name", "uid", "status", "conditions", "type", "object", "generation", "tags"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_only_bad_payload_comes_out(parse: Callable[[bytes], Any], data: st.DataObject) -> None:
    import json

    body = data.draw(st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()))
    try:
        parse(body)
    except BadPayload:
        return


@given(st.text(max_size=30))
def test_moments(text: str) -> None:
    try:
        assert moments.parse_moment(text) >= 0
    except BadPayload:
        return


def test_moments_in_other_zones() -> None:
    assert moments.parse_moment("2026-11-22T01:00:00+01:00") == moments.parse_moment("2026-11-22T00:00:00Z")
    with pytest.raises(BadPayload):
        moments.parse_moment("2026-11-22T00:00:00")
