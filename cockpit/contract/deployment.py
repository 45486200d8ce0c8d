"""The contract of DeploymentApi."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from typing import Any

from cockpit.connectors.ports import DeploymentApi, DeployRequest
from cockpit.contract.common import Hook, PortContract, World, eventually, falling, fault, needs, new_key, once, refused, sane
from cockpit.domain.errors import NotFound, OutcomeUnknown, Rejected
from cockpit.domain.release import Artifact, Deployment

WHO = "contract@playground.invalid"


class DeploymentWorld(World, kw_only=True):
    """A deployment system where one service runs on at least one node, with at least two artifacts, and nothing is under way.

    service, environment: where the tests deploy. nodes: the names of the nodes there. artifacts: digests of all artifacts, newest first.
    history: ids of the deployments there, newest first; those that the tests start come before them. moments: (start, end) of a deployment
    in microseconds UTC, where the world knows them. unknown_environment: one that does not exist. many: (environment, ids of all
    deployments of the service there, newest first), more than one page of the system. deploys: False where the system cannot start
    deployments itself. tells_reason: the system keeps who asked and why. advance: called again and again while a deployment goes on; for
    stubs without a clock. settle_s: how long a deployment may take.
    """

    service: str
    environment: str
    nodes: tuple[str, ...]
    artifacts: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    moments: dict[str, tuple[int, int]] = {}
    unknown_service: str = "no-such-service"
    unknown_environment: str = "no-such-environment"
    unknown: str = "987654321"
    unknown_digest: str = "0" * 64
    many: tuple[str, tuple[str, ...]] = ("", ())
    deploys: bool = True
    tells_reason: bool = True
    advance: Hook | None = None
    settle_s: float = 30.0


class DeploymentContract(PortContract):
    """What every DeploymentApi does."""

    def ask(self, world: Any) -> object:
        return world.connector.fleet(world.service, world.environment)

    def test_it_has_the_port(self, world: DeploymentWorld) -> None:
        assert isinstance(world.connector, DeploymentApi)

    def test_the_fleet_has_every_node(self, world: DeploymentWorld) -> None:
        fleet = world.connector.fleet(world.service, world.environment)
        assert (fleet.service, fleet.environment) == (world.service, world.environment)
        assert sorted(node.name for node in fleet.nodes) == sorted(world.nodes)
        assert {(node.service, node.environment) for node in fleet.nodes} == {(world.service, world.environment)}
        assert fleet.active is None
        assert all(node.digest for node in fleet.nodes), "a node that answers has a digest"

    def test_places_that_do_not_exist(self, world: DeploymentWorld) -> None:
        with refused(world, NotFound):
            world.connector.fleet(world.unknown_service, world.environment)
        with refused(world, NotFound):
            world.connector.fleet(world.service, world.unknown_environment)

    def test_a_name_is_never_a_path(self, world: DeploymentWorld) -> None:
        for odd in ("..", "../..", "", "\x00"):
            with refused(world, NotFound):
                world.connector.deployment(odd)

    def test_artifacts_newest_first_each_once(self, world: DeploymentWorld) -> None:
        needs(world.artifacts, "artifacts")
        found = world.connector.artifacts(world.service)
        assert tuple(artifact.digest for artifact in found) == world.artifacts
        once([artifact.version for artifact in found])
        assert {artifact.service for artifact in found} == {world.service}
        for artifact in found:
            sane(artifact.built_at_us, known=False)

    def test_history_newest_first_each_once(self, world: DeploymentWorld) -> None:
        found = world.connector.history(world.service, world.environment)
        ids = [deployment.id for deployment in found]
        once(ids)
        assert tuple(i for i in ids if i in world.history) == world.history
        assert {(d.service, d.environment) for d in found} <= {(world.service, world.environment)}
        falling([d.started_at_us for d in found if d.started_at_us])
        for limit in (1, 2):
            assert [d.id for d in world.connector.history(world.service, world.environment, limit)] == ids[:limit]

    def test_moments(self, world: DeploymentWorld) -> None:
        for deployment in world.connector.history(world.service, world.environment):
            known = deployment.id in world.moments
            sane(deployment.started_at_us, known=known)
            sane(deployment.finished_at_us, known=known)
            assert not deployment.finished_at_us or deployment.started_at_us <= deployment.finished_at_us
            assert world.moments.get(deployment.id) in (None, (deployment.started_at_us, deployment.finished_at_us))

    def test_more_than_a_page_nothing_twice_nothing_missing(self, world: DeploymentWorld) -> None:
        environment, ids = world.many
        needs(environment, "environment with more than a page of deployments")
        assert tuple(d.id for d in world.connector.history(world.service, environment, len(ids))) == ids
        assert tuple(d.id for d in world.connector.history(world.service, environment, len(ids) - 1)) == ids[:-1]

    def test_deployments_that_do_not_exist(self, world: DeploymentWorld) -> None:
        with refused(world, NotFound):
            world.connector.deployment(world.unknown)
        with refused(world, NotFound):
            world.connector.abort(world.unknown)
        assert world.connector.find(new_key()) is None

    def test_an_unknown_digest_is_refused_and_leaves_nothing(self, world: DeploymentWorld) -> None:
        needs(world.deploys, "way to deploy")
        key = new_key()
        before = self._ids(world)
        with refused(world, Rejected, NotFound):
            world.connector.deploy(self._request(world, "0.0.0", world.unknown_digest), key)
        assert world.connector.find(key) is None
        assert self._ids(world) == before

    def test_the_same_key_deploys_once_and_the_nodes_prove_it(self, world: DeploymentWorld) -> None:
        needs(world.deploys, "way to deploy")
        before, live, other = self._ids(world), self._live(world), self._other(world)
        request, key = self._request(world, other.version, other.digest), new_key()
        first = world.connector.deploy(request, key)
        assert (first.key, first.service, first.environment) == (key, world.service, world.environment)
        assert (first.version, first.digest, first.kind) == (other.version, other.digest, "deploy")
        assert world.connector.deploy(request, key).id == first.id
        found = world.connector.find(key)
        assert found is not None
        assert found.id == first.id
        done = self._ended(world, first.id)
        assert str(done.state) == "succeeded", done.message
        assert world.connector.deploy(request, key).id == first.id
        self._all_run(world, other.digest)
        assert self._ids(world) - before == {first.id}
        assert done.from_digest in ("", live)
        if world.tells_reason:
            assert (done.requested_by, done.reason) == (WHO, "the contract suite")
        sane(done.started_at_us)
        sane(done.finished_at_us)

    def test_a_key_is_never_good_for_another_deployment(self, world: DeploymentWorld) -> None:
        needs(world.deploys, "way to deploy")
        other, key = self._other(world), new_key()
        first = world.connector.deploy(self._request(world, other.version, other.digest), key)
        self._ended(world, first.id)
        again = self._other(world)
        before = self._ids(world)
        try:
            answer = world.connector.deploy(self._request(world, again.version, again.digest), key)
        except Rejected:
            answer = first
        assert answer.id == first.id
        assert self._ids(world) == before

    def test_aborting_what_has_ended_changes_nothing(self, world: DeploymentWorld) -> None:
        needs(world.deploys, "way to deploy")
        other = self._other(world)
        request = self._request(world, other.version, other.digest, "rollback")
        done = self._ended(world, world.connector.deploy(request, new_key()).id)
        assert done.kind == "rollback"
        for _ in range(2):
            aborted = world.connector.abort(done.id)
            assert (aborted.id, aborted.state, aborted.finished_at_us) == (done.id, done.state, done.finished_at_us)
        self._all_run(world, other.digest)

    def test_a_lost_answer_is_settled_by_the_key(self, world: DeploymentWorld) -> None:
        needs(world.deploys, "way to deploy")
        lose, heal = fault(world, world.lose, "way to lose an answer")
        before, other, key = self._ids(world), self._other(world), new_key()
        request = self._request(world, other.version, other.digest)
        lose()
        with refused(world, OutcomeUnknown):
            world.connector.deploy(request, key)
        heal()
        found = eventually(lambda: world.connector.find(key), world.settle_s, "the deployment is found by its key")
        assert found is not None
        assert world.connector.deploy(request, key).id == found.id
        self._ended(world, found.id)
        assert self._ids(world) - before == {found.id}

    def _request(self, world: DeploymentWorld, version: str, digest: str, kind: str = "deploy") -> DeployRequest:
        return DeployRequest(world.service, world.environment, version, digest, kind, WHO, "the contract suite")

    def _ids(self, world: DeploymentWorld) -> set[str]:
        return {d.id for d in world.connector.history(world.service, world.environment)}

    def _live(self, world: DeploymentWorld) -> str:
        live = world.connector.fleet(world.service, world.environment).live
        return "" if live is None else live.digest

    def _other(self, world: DeploymentWorld) -> Artifact:
        """An artifact that does not run there now."""
        live = self._live(world)
        artifacts: tuple[Artifact, ...] = world.connector.artifacts(world.service)
        return next(artifact for artifact in artifacts if artifact.digest != live)

    def _ended(self, world: DeploymentWorld, deployment_id: str) -> Deployment:
        def done() -> Deployment | None:
            if world.advance is not None:
                world.advance()
            found: Deployment = world.connector.deployment(deployment_id)
            return found if found.state.final else None

        ended = eventually(done, world.settle_s, "the deployment has ended")
        assert ended is not None
        assert {step.state for step in ended.steps} <= {"done"} or str(ended.state) != "succeeded"
        return ended

    def _all_run(self, world: DeploymentWorld, digest: str) -> None:
        def all_run() -> bool:
            fleet = world.connector.fleet(world.service, world.environment)
            return {node.digest for node in fleet.nodes} == {digest} and fleet.active is None

        eventually(all_run, world.settle_s, "every node runs what was deployed")
