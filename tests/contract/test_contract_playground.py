"""The contract suite on the connectors of the two open interfaces, against the servers that ship with the cockpit, as real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.open_ci import OpenCi
from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.contract.traffic import TrafficContract, TrafficWorld
from cockpit.playground import processes
from tests.fakes.gate import Gate
from tests.fakes.playground import RED, RUN, SERVICE, Program, git, release, suites, wait_for

LIMITS = Limits(connect_timeout_s=2, read_timeout_s=2, deadline_s=4, retries=0)
TOKEN = "canary-Token-4711"


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("contract")
    repository = directory / "repo"
    repository.mkdir()
    git(repository, "init", "--quiet", "-b", "main")
    release(repository, "1.0.0", {"run.py": RUN, **suites()})
    release(repository, "1.1.0", {"run.py": RUN + "# 1.1.0\n"})
    release(repository, "1.2.0", {"run.py": RUN + "# 1.2.0\n", **suites(RED)})
    yield directory
    processes.end(processes.find(directory), 1.0)


@pytest.fixture(scope="module")
def ci_world(playground: Path) -> Iterator[CiWorld]:
    program = Program("ci", playground, [])
    with Gate(program.port) as gate:
        connector = OpenCi(HttpClient(gate.url, name="CI", token=lambda: TOKEN, limits=LIMITS))
        wait_for(lambda: sum(r.state.final for r in connector.runs(SERVICE)) == 3, "three runs have ended", 60)
        raw = program.get(f"/v1/services/{SERVICE}/runs")["runs"]
        red = next(run["id"] for run in raw if run["version"] == "1.2.0")
        yield CiWorld(
            connector=connector,
            secret=TOKEN,
            deadline_s=8,
            shared=True,
            service=SERVICE,
            run_ids=tuple(run["id"] for run in raw),
            commits={run["id"]: git(playground / "repo", "rev-parse", f"{SERVICE}/v{run['version']}^{{commit}}") for run in raw},
            moments={run["id"]: (run["started_at_us"], run["finished_at_us"]) for run in raw},
            failed=(red, "unit", "test_bad"),
            log=(red, "unit", "the price is no string"),
            unknown_service="no-such-service",
            again=raw[0]["id"],
            forbid=gate.forbid,
            cut=gate.cut,
            hang=gate.hang,
            lose=gate.lose,
            heal=gate.heal,
        )
        connector.close()
    program.terminate()


class TestCi(CiContract):
    @pytest.fixture
    def world(self, ci_world: CiWorld) -> CiWorld:
        return ci_world


@pytest.fixture(scope="module")
def deployer(playground: Path) -> Iterator[Program]:
    small = ["--services", SERVICE, "--environment", "staging=1", "--environment", "production=2", "--released", f"{SERVICE}=1.1.0"]
    program = Program("deployer", playground, [*small, "--drain-s", "0"])
    place = f"/v1/environments/production/services/{SERVICE}"

    def ready() -> bool:
        fleet = program.get(place)
        return fleet["active"] is None and len(fleet["nodes"]) == 2 and len({n["digest"] for n in fleet["nodes"]} - {""}) == 1

    wait_for(lambda: len(program.get(f"{place}/deployments")["deployments"]) == 2 and ready(), "it is set up", 60)
    wait_for(lambda: len(program.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]) == 3, "all versions are built")
    yield program
    program.kill()


@pytest.fixture(scope="module")
def gated(deployer: Program) -> Iterator[tuple[Gate, OpenDeployment]]:
    with Gate(deployer.port) as gate:
        connector = OpenDeployment(HttpClient(gate.url, name="Deployer", token=lambda: TOKEN, limits=LIMITS))
        yield gate, connector
        connector.close()


@pytest.fixture(scope="module")
def deployment_world(deployer: Program, gated: tuple[Gate, OpenDeployment]) -> DeploymentWorld:
    gate, connector = gated
    place = f"/v1/environments/production/services/{SERVICE}"
    history = deployer.get(f"{place}/deployments")["deployments"]
    return DeploymentWorld(
        connector=connector,
        secret=TOKEN,
        deadline_s=8,
        shared=True,
        service=SERVICE,
        environment="production",
        nodes=tuple(node["name"] for node in deployer.get(place)["nodes"]),
        artifacts=tuple(a["digest"] for a in deployer.get(f"/v1/services/{SERVICE}/artifacts")["artifacts"]),
        history=tuple(d["id"] for d in history),
        moments={d["id"]: (d["started_at_us"], d["finished_at_us"]) for d in history},
        forbid=gate.forbid,
        cut=gate.cut,
        hang=gate.hang,
        lose=gate.lose,
        heal=gate.heal,
    )


class TestDeployment(DeploymentContract):
    @pytest.fixture(autouse=True)
    def no_processes_left(self) -> None:
        """The nodes that a deployment starts live as long as the module's deployer; the end of the session sees whether they ended too."""

    @pytest.fixture
    def world(self, deployment_world: DeploymentWorld) -> DeploymentWorld:
        return deployment_world


class TestTraffic(TrafficContract):
    @pytest.fixture
    def world(self, deployer: Program, gated: tuple[Gate, OpenDeployment]) -> TrafficWorld:
        gate, connector = gated
        nodes = tuple(node["name"] for node in deployer.get(f"/v1/environments/production/services/{SERVICE}")["nodes"])
        return TrafficWorld(
            connector=connector,
            secret=TOKEN,
            deadline_s=8,
            shared=True,
            service=SERVICE,
            environment="production",
            nodes=nodes,
            unmanaged="staging",
            forbid=gate.forbid,
            cut=gate.cut,
            hang=gate.hang,
            heal=gate.heal,
        )
