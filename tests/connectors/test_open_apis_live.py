"""The connectors of the two open interfaces against the servers that ship with the cockpit, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cockpit.connectors.git_local import GitLocal
from cockpit.connectors.http import HttpClient
from cockpit.connectors.open_ci import OpenCi
from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.connectors.ports import CiSystem, DeploymentApi, DeployRequest
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.release import DeployState, Service
from cockpit.playground import processes
from tests.fakes.playground import RED, RUN, SERVICE, Program, git, release, suites, wait_for


@pytest.fixture
def playground(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path
    repository = directory / "repo"
    repository.mkdir()
    git(repository, "init", "--quiet", "-b", "main")
    release(repository, "1.0.0", {"run.py": RUN, **suites()})
    release(repository, "1.1.0", {"run.py": RUN + "# 1.1.0\n"})
    release(repository, "1.2.0", {"run.py": RUN + "# 1.2.0\n", **suites(RED)})
    yield directory
    processes.end(processes.find(directory), 1.0)


@pytest.fixture
def ci(playground: Path) -> Iterator[CiSystem]:
    program = Program("ci", playground, ["--skip", f"{SERVICE}/v1.0.0", "--skip", f"{SERVICE}/v1.1.0"])
    made = OpenCi(HttpClient(f"http://127.0.0.1:{program.port}", name="CI"))
    yield made
    made.close()
    program.terminate()


@pytest.fixture
def deployer(playground: Path) -> Iterator[DeploymentApi]:
    small = ["--services", SERVICE, "--environment", "staging=1", "--environment", "production=2", "--released", f"{SERVICE}=1.1.0"]
    program = Program("deployer", playground, [*small, "--drain-s", "0"])
    made = OpenDeployment(HttpClient(f"http://127.0.0.1:{program.port}", name="Deployer"))
    wait_for(lambda: len(made.history(SERVICE, "production")) == 2 and made.fleet(SERVICE, "production").active is None, "it is set up")
    wait_for(lambda: len(made.artifacts(SERVICE)) == 3, "all versions are built")
    wait_for(lambda: made.fleet(SERVICE, "production").agreement == (2, 2), "both nodes run")
    yield made
    made.close()
    program.kill()


def test_runs_as_they_happen(ci: CiSystem, playground: Path) -> None:
    assert ci.probe().reached
    run = wait_for(lambda: next((r for r in ci.runs(SERVICE) if r.state.final), None), "the run of 1.2.0 has ended")
    assert (run.version, run.state, run.commit) == (
        "1.2.0",
        CheckState.FAILED,
        git(playground / "repo", "rev-parse", f"{SERVICE}/v1.2.0^{{commit}}"),
    )
    names = {t.name.rpartition("::")[2] for _, t in run.failures}
    assert {"test_bad", "test_broken"} <= names
    whole = ci.run(run.id)
    assert sum(len(s.tests) for s in whole.suites) == sum(s.total for s in whole.suites) > len(run.failures)
    assert "the price is no string" in ci.log(run.id, "unit")
    assert ci.stop(run.id) == whole
    for ask in (lambda: ci.run("no-such-run"), lambda: ci.runs("no-such-service"), lambda: ci.log(run.id, "no-such-suite")):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.hint
    again = ci.rerun(run.id, "key-1")
    assert again.id != run.id
    assert ci.rerun(run.id, "key-1").id == again.id
    assert sum(r.version == "1.2.0" for r in ci.runs(SERVICE)) == 2
    stopped = ci.stop(again.id)
    assert stopped.id == again.id
    wait_for(lambda: ci.run(again.id).state.final, "it has ended")


def runs_everywhere(deployer: DeploymentApi, digest: str) -> bool:
    return deployer.fleet(SERVICE, "production").digests == {digest: 2}


def ended(deployer: DeploymentApi, deployment_id: str) -> Any:
    return wait_for(lambda: (d := deployer.deployment(deployment_id)).state.final and d, "the deployment has ended")


def test_optional_parts_of_a_real_deployer(deployer: Any) -> None:
    digest = next(a.digest for a in deployer.artifacts(SERVICE) if a.version == "1.2.0")
    nodes = tuple(n.name for n in deployer.fleet(SERVICE, "production").nodes)
    request = DeployRequest(SERVICE, "production", "1.2.0", digest, "deploy", "a@playground.invalid", nodes=nodes[1:])
    started = deployer.deploy(request, "key-some")
    assert deployer.deploy(request, "key-some").id == started.id
    assert [s.node for s in ended(deployer, started.id).steps] == list(nodes[1:])
    wait_for(lambda: deployer.fleet(SERVICE, "production").agreement[0] == 1, "the fleet is mixed")
    with pytest.raises(Rejected) as caught:
        deployer.deploy(msgspec.structs.replace(request, nodes=("nowhere",)), "key-nowhere")
    assert caught.value.status == 422
    for _ in range(2):
        assert deployer.hold(SERVICE, "production", digest, True, "p99").held == (digest,)
    with pytest.raises(Rejected) as caught:
        deployer.deploy(request, "key-held")
    assert "p99" in caught.value.message
    assert deployer.find("key-held") is None
    assert deployer.hold(SERVICE, "production", digest, False, "").held == ()
    assert deployer.set_mode(SERVICE, "production", "cancel-only") == deployer.mode(SERVICE, "production") == "cancel-only"
    shares = {nodes[0]: 10, nodes[1]: 90}
    assert deployer.set_weights(SERVICE, "production", {nodes[0]: 10}) == deployer.weights(SERVICE, "production") == shares
    with pytest.raises(NotFound) as missing:
        deployer.weights(SERVICE, "staging")
    assert missing.value.title == "Not offered"
    assert len({(n.config, n.flags) for n in deployer.fleet(SERVICE, "production").nodes}) == 1


def test_deploy_and_go_back(deployer: DeploymentApi, playground: Path) -> None:
    assert deployer.probe().reached
    versions = GitLocal(playground / "repo").versions(Service(SERVICE))
    artifacts = {a.version: a for a in deployer.artifacts(SERVICE)}
    assert {v.name: v.commit for v in versions} == {a.version: a.commit for a in artifacts.values()}
    with pytest.raises(Rejected) as caught:
        deployer.deploy(DeployRequest(SERVICE, "production", "1.2.0", "0" * 64, "deploy", "a@playground.invalid"), "key-refused")
    assert caught.value.status == 422
    assert caught.value.hint
    assert deployer.find("key-refused") is None
    with pytest.raises(NotFound):
        deployer.fleet("no-such-service", "production")
    with pytest.raises(NotFound):
        deployer.deployment("no-such-deployment")
    for version, kind in (("1.2.0", "deploy"), ("1.1.0", "rollback")):
        before = deployer.fleet(SERVICE, "production").live
        request = DeployRequest(SERVICE, "production", version, artifacts[version].digest, kind, "a@playground.invalid", "because")
        started = deployer.deploy(request, f"key-{version}")
        assert deployer.deploy(request, f"key-{version}").id == started.id
        found = deployer.find(f"key-{version}")
        assert found is not None
        assert found.id == started.id
        done = ended(deployer, started.id)
        assert (done.state, done.kind, done.reason) == (DeployState.SUCCEEDED, kind, "because")
        assert before is not None
        assert (done.from_version, done.from_digest) == (before.version, before.digest)
        assert [s.state for s in done.steps] == ["done", "done"]
        wait_for(partial(runs_everywhere, deployer, request.digest), "all nodes run it")
        assert deployer.abort(started.id) == done
        assert deployer.history(SERVICE, "production", 1) == (done,)
