"""The contract suite itself: what an honest connector passes, each of these dishonest ones fails."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.domain.errors import ConnectorError, NotFound
from cockpit.domain.release import Artifact, Deployment, DeployState, Fleet, Node, NodeStep

EXAMPLE = Path(__file__).resolve().parents[2] / "resources" / "guide" / "example-connector" / "cockpit_junit_folder.py"
DAY_US = 86_400_000_000
FIRST_US = 1_750_000_000_000_000
IDS = ("gateway/3", "gateway/2", "gateway/1")
SECRET = "canary-Token-4714"


def failed(contract: Any, test: str, world: Any) -> bool:
    """Whether that test of the suite fails there; one that is skipped proves nothing."""
    try:
        getattr(contract, test)(world)
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"{test} was skipped: {skipped}") from None
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a liar may raise anything
        return True
    finally:
        world.heal()
    return False


@pytest.fixture(scope="module")
def honest() -> Iterator[type[Any]]:
    """The connector of the guide's example."""
    spec = importlib.util.spec_from_file_location("cockpit_junit_folder", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.JunitFolder
    del sys.modules[spec.name]


def ci_world(connector: Any, folder: Path) -> CiWorld:
    reports, away = folder / "reports", folder / "away"
    for number in (1, 2, 3):
        place = reports / "gateway" / str(number)
        place.mkdir(parents=True)
        (place / "unit.xml").write_text('<testsuite><testcase classname="c" name="n"/></testsuite>')
        begin_us = FIRST_US + number * DAY_US
        told = {"version": f"1.{number}", "commit": f"{number}" * 40, "started_at_us": begin_us, "finished_at_us": begin_us + 1_000_000}
        (place / "run.json").write_text(json.dumps(told))
    return CiWorld(
        connector=connector(str(reports)),
        secret=SECRET,
        service="gateway",
        run_ids=IDS,
        unknown_service="nothing",
        many=("gateway", IDS),
        moments={IDS[0]: (FIRST_US + 3 * DAY_US, FIRST_US + 3 * DAY_US + 1_000_000)},
        deadline_s=0.5,
        cut=lambda: reports.rename(away),
        heal=lambda: away.rename(reports) if away.exists() else None,
    )


def backwards(self: Any, service: str, limit: int = 50) -> Any:
    return tuple(reversed(type(self).__mro__[1].runs(self, service, limit)))


def twice(self: Any, service: str, limit: int = 50) -> Any:
    runs = type(self).__mro__[1].runs(self, service, limit)
    return (*runs, runs[-1])


def unlimited(self: Any, service: str, limit: int = 50) -> Any:
    return type(self).__mro__[1].runs(self, service, 50)


def one_page(self: Any, service: str, limit: int = 50) -> Any:
    return type(self).__mro__[1].runs(self, service, min(limit, 2))


def in_milliseconds(self: Any, service: str, limit: int = 50) -> Any:
    runs = type(self).__mro__[1].runs(self, service, limit)
    return tuple(replace(run, started_at_us=run.started_at_us // 1000, finished_at_us=run.finished_at_us // 1000) for run in runs)


def an_hour_off(self: Any, service: str, limit: int = 50) -> Any:
    runs = type(self).__mro__[1].runs(self, service, limit)
    return tuple(replace(run, started_at_us=run.started_at_us - 3_600_000_000) for run in runs)


def without_commits(self: Any, service: str, limit: int = 50) -> Any:
    return tuple(replace(run, commit="") for run in type(self).__mro__[1].runs(self, service, limit))


def empty_where_cut(self: Any, service: str, limit: int = 50) -> Any:
    try:
        return type(self).__mro__[1].runs(self, service, limit)
    except ConnectorError:
        return ()


def any_run(self: Any, run_id: str) -> Any:
    return type(self).__mro__[1].run(self, IDS[0])


def key_error(self: Any, run_id: str) -> Any:
    raise KeyError(run_id)


def without_a_way_out(self: Any, run_id: str) -> Any:
    raise NotFound("There is none.")


def with_the_secret(self: Any, run_id: str) -> Any:
    raise NotFound(f"There is none for {SECRET}.", hint="Look.")


def stops_what_ended(self: Any, run_id: str) -> Any:
    return replace(self.run(run_id), finished_at_us=1)


def pretends_to_run_again(self: Any, run_id: str, key: str) -> Any:
    return self.run(run_id)


def closes_for_good(self: Any) -> None:
    self._folder = None


def reaches_nothing(self: Any) -> Probe:
    return Probe("")


LIES: list[tuple[str, Any, str]] = [
    ("runs", backwards, "test_runs_newest_first_each_once"),
    ("runs", twice, "test_runs_newest_first_each_once"),
    ("runs", unlimited, "test_a_limit_takes_the_newest"),
    ("runs", one_page, "test_more_than_a_page_nothing_twice_nothing_missing"),
    ("runs", in_milliseconds, "test_moments"),
    ("runs", an_hour_off, "test_moments"),
    ("runs", an_hour_off, "test_one_run_has_all_that_the_list_has_and_all_tests"),
    ("runs", without_commits, "test_a_run_says_what_it_belongs_to"),
    ("runs", empty_where_cut, "test_nobody_there_is_unreachable_and_passes_by_itself"),
    ("runs", empty_where_cut, "test_a_service_that_does_not_exist"),
    ("run", any_run, "test_a_run_that_does_not_exist"),
    ("run", any_run, "test_an_id_is_never_a_path"),
    ("run", key_error, "test_a_run_that_does_not_exist"),
    ("run", without_a_way_out, "test_a_run_that_does_not_exist"),
    ("run", with_the_secret, "test_an_id_is_never_a_path"),
    ("stop", stops_what_ended, "test_stopping_what_has_ended_changes_nothing"),
    ("rerun", pretends_to_run_again, "test_a_system_that_cannot_run_again_says_so"),
    ("close", closes_for_good, "test_closing_twice_is_fine_and_a_closed_connector_can_be_used_again"),
    ("probe", reaches_nothing, "test_a_probe_says_what_was_reached"),
]


@pytest.mark.parametrize(("method", "lie", "test"), LIES, ids=[f"{lie.__name__}-{test}" for _, lie, test in LIES])
def test_a_lie_of_a_ci_is_caught(honest: type[Any], tmp_path: Path, method: str, lie: Any, test: str) -> None:
    for name in ("honest", "liar"):
        (tmp_path / name).mkdir()
    assert not failed(CiContract(), test, ci_world(honest, tmp_path / "honest"))
    liar = type("Liar", (honest,), {method: lie})
    assert failed(CiContract(), test, ci_world(liar, tmp_path / "liar"))


# -- deployments --


class Memory:
    """A deployment system in memory with one node; every deployment is done at once."""

    def __init__(self) -> None:
        self.done: list[Deployment] = []
        self.live = "a" * 64
        self.built = (Artifact("gw", "2", "c2", "b" * 64, FIRST_US), Artifact("gw", "1", "c1", "a" * 64, FIRST_US))

    def close(self) -> None:
        """Nothing is open."""

    def probe(self) -> Probe:
        return Probe("a system in memory")

    def fleet(self, service: str, environment: str) -> Fleet:
        if (service, environment) != ("gw", "production"):
            raise NotFound("There is no such place.", hint="Look at the list.")
        return Fleet(service, environment, (Node("n1", service, environment, digest=self.live, healthy=True),))

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        return self.built

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        return tuple(reversed(self.done))[:limit]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        known = self.find(key)
        if known is not None:
            return known
        if request.digest not in {artifact.digest for artifact in self.built}:
            raise NotFound("There is no such artifact.", hint="Build it.")
        return self.start(request, key)

    def start(self, request: DeployRequest, key: str) -> Deployment:
        at_us, words = FIRST_US + len(self.done) * DAY_US, {name: getattr(request, name) for name in request.__struct_fields__}
        words.pop("nodes")
        moments = {"started_at_us": at_us, "finished_at_us": at_us + 1_000_000, "from_digest": self.live}
        step = NodeStep("n1", "done", request.digest)
        self.done.append(Deployment(str(len(self.done) + 1), key, state=DeployState.SUCCEEDED, steps=(step,), **words, **moments))
        self.live = request.digest
        return self.done[-1]

    def find(self, key: str) -> Deployment | None:
        return next((d for d in self.done if d.key == key), None)

    def deployment(self, deployment_id: str) -> Deployment:
        found = next((d for d in self.done if d.id == deployment_id), None)
        if found is None:
            raise NotFound("There is no such deployment.", hint="Look at the history.")
        return found

    def abort(self, deployment_id: str) -> Deployment:
        return self.deployment(deployment_id)


def deployment_world(connector: Any) -> DeploymentWorld:
    return DeploymentWorld(
        connector=connector,
        service="gw",
        environment="production",
        nodes=("n1",),
        artifacts=("b" * 64, "a" * 64),
        settle_s=0.3,
        heal=lambda: None,
    )


class TestMemory(DeploymentContract):
    @pytest.fixture
    def world(self) -> DeploymentWorld:
        return deployment_world(Memory())


def deploys_again(self: Any, request: DeployRequest, key: str) -> Deployment:
    return Memory.start(self, request, key)


def forgets(self: Any, key: str) -> None:
    return None


def knows_everything(self: Any, key: str) -> Deployment:
    return self.done[-1] if self.done else Deployment("1", key, "gw", "production", "1", "a", "deploy", DeployState.RUNNING)


def only_says_so(self: Any, request: DeployRequest, key: str) -> Deployment:
    before = self.live
    made = Memory.deploy(self, request, key)
    self.live = before
    return made


def another_digest(self: Any, request: DeployRequest, key: str) -> Deployment:
    return Memory.deploy(self, replace(request, digest="a" * 64), key)


def aborts_what_ended(self: Any, deployment_id: str) -> Deployment:
    return replace(self.deployment(deployment_id), state=DeployState.ABORTED)


def oldest_first(self: Any, service: str, environment: str, limit: int = 50) -> Any:
    return tuple(self.done[:limit])


def a_fleet_of_nobody(self: Any, service: str, environment: str) -> Fleet:
    return Fleet(service, environment)


ONCE = "test_the_same_key_deploys_once_and_the_nodes_prove_it"
MORE_LIES: list[tuple[str, Any, str]] = [
    ("deploy", deploys_again, ONCE),
    ("deploy", deploys_again, "test_a_key_is_never_good_for_another_deployment"),
    ("deploy", deploys_again, "test_an_unknown_digest_is_refused_and_leaves_nothing"),
    ("find", forgets, ONCE),
    ("find", knows_everything, "test_deployments_that_do_not_exist"),
    ("deploy", only_says_so, ONCE),
    ("deploy", another_digest, ONCE),
    ("abort", aborts_what_ended, "test_aborting_what_has_ended_changes_nothing"),
    ("history", oldest_first, "test_history_newest_first_each_once"),
    ("fleet", a_fleet_of_nobody, "test_the_fleet_has_every_node"),
    ("fleet", a_fleet_of_nobody, "test_places_that_do_not_exist"),
]


@pytest.mark.parametrize(("method", "lie", "test"), MORE_LIES, ids=[f"{lie.__name__}-{test}" for _, lie, test in MORE_LIES])
def test_a_lie_of_a_deployment_system_is_caught(method: str, lie: Any, test: str) -> None:
    def world(kind: type[Any]) -> DeploymentWorld:
        connector = kind()
        for key, artifact in (("k1", connector.built[0]), ("k2", connector.built[1])):
            request = DeployRequest("gw", "production", artifact.version, artifact.digest, "deploy", "a@playground.invalid")
            Memory.start(connector, request, key)
        made = deployment_world(connector)
        made.history = ("2", "1")
        return made

    assert not failed(DeploymentContract(), test, world(Memory))
    assert failed(DeploymentContract(), test, world(type("Liar", (Memory,), {method: lie})))
