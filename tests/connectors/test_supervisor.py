"""Real supervisords, two nodes, a real service: releases are switched node by node."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cockpit.connectors.http import Limits
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.supervisor import Supervisor
from cockpit.domain.errors import AuthFailed, ConfigError, NotFound, Rejected, Unreachable
from cockpit.domain.release import Artifact, Deployment, DeployState
from tests.fakes import supervisord
from tests.fakes.supervisord import PASSWORD, USER, SupervisedNode

SERVICE, PLACE = "order-gateway", "production"
LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=1.5, deadline_s=2.0, body_bytes=4 * 1024 * 1024, retries=0)


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    place = tmp_path / "releases"
    for version, about in (("1.0.0", {}), ("1.1.0", {}), ("1.2.0", {"exits": 1}), ("1.3.0", {"sick": 1})):
        supervisord.release(place, version, **about)
    return place


@contextmanager
def cockpit(nodes: dict[str, SupervisedNode], password: str = PASSWORD) -> Iterator[Supervisor]:
    places = "\n".join(f"{PLACE}/{name}={node.url}" for name, node in nodes.items())
    made = Supervisor(places, user=USER, token=lambda: password, address="http://{host}:8080/{node}", limits=LIMITS)
    yield made
    made.close()


def wanted(made: Supervisor, version: str, **changed: Any) -> DeployRequest:
    digest = by_version(made)[version].digest
    request = DeployRequest(SERVICE, PLACE, version, digest, "deploy", "someone@playground.invalid", "because")
    return msgspec.structs.replace(request, **changed)


def by_version(made: Supervisor) -> dict[str, Artifact]:
    return {a.version: a for a in made.artifacts(SERVICE)}


def settled(made: Supervisor, key: str, eventually: Callable[..., Any]) -> Deployment:
    def ended() -> Deployment | None:
        now = made.deployment(key)
        return now if now.state.final else None

    found: Deployment = eventually(ended, 30)
    return found


def agent_of(node: SupervisedNode) -> int:
    return next(p.pid for p in node.process.children() if any("release_agent" in word for word in p.cmdline()))


def test_node_by_node_and_back(tmp_path: Path, releases: Path, eventually: Callable[..., Any]) -> None:
    with supervisord.supervised(tmp_path / "n", ("eu-2", "eu-1"), releases, "1.0.0") as nodes, cockpit(nodes) as made:
        assert made.probe().reached == "2 of 2 hosts"
        assert made.probe().missing == ()
        assert [a.version for a in made.artifacts(SERVICE)][-1] == "1.0.0"
        old = by_version(made)["1.0.0"].digest
        before = eventually(lambda: (f := made.fleet(SERVICE, PLACE)) and all(n.healthy for n in f.nodes) and f)
        assert [(n.name, n.version, n.digest, n.url) for n in before.nodes] == [
            ("eu-2", "1.0.0", old, "http://127.0.0.1:8080/eu-2"),
            ("eu-1", "1.0.0", old, "http://127.0.0.1:8080/eu-1"),
        ]
        request = wanted(made, "1.1.0")
        begun = made.deploy(request, "key-1")
        assert [(s.node, s.state) for s in begun.steps] == [("eu-2", "stopping"), ("eu-1", "pending")]
        assert made.deploy(request, "key-1").id == begun.id
        with pytest.raises(Rejected) as busy:
            made.deploy(request, "key-2")
        assert busy.value.status == 409
        assert made.find("key-2") is None
        with pytest.raises(Rejected):
            made.deploy(wanted(made, "1.0.0"), "key-1")
        seen: list[tuple[str, ...]] = []

        def ended() -> bool:
            now = made.deployment(begun.id)
            seen.append(tuple(s.state for s in now.steps))
            return now.state.final

        eventually(ended, 30)
        assert all(second == "pending" or first == "done" for first, second in seen)  # the second only after the first
        done = made.deployment(begun.id)
        assert done.state is DeployState.SUCCEEDED
        assert (done.from_version, done.from_digest, done.reason) == ("1.0.0", old, "because")
        after = made.fleet(SERVICE, PLACE)
        assert {(n.version, n.digest, n.healthy) for n in after.nodes} == {("1.1.0", request.digest, True)}
        assert after.active is None
        assert b'"1.1.0"' in nodes["eu-1"].answer()
        one = made.deploy(wanted(made, "1.0.0", kind="rollback", nodes=("eu-1",)), "key-3")
        assert [s.node for s in one.steps] == ["eu-1"]
        assert settled(made, "key-3", eventually).state is DeployState.SUCCEEDED
        assert [n.version for n in made.fleet(SERVICE, PLACE).nodes] == ["1.1.0", "1.0.0"]
        assert [(d.key, d.kind) for d in made.history(SERVICE, PLACE)] == [("key-3", "rollback"), ("key-1", "deploy")]
        assert len(made.history(SERVICE, PLACE, 1)) == 1
        assert made.deployment("key-1") == done


def test_another_cockpit_and_another_agent_take_it_up(tmp_path: Path, releases: Path, eventually: Callable[..., Any]) -> None:
    with supervisord.supervised(tmp_path / "n", ("eu-1", "eu-2"), releases, "1.0.0") as nodes:
        with cockpit(nodes) as first:
            request = wanted(first, "1.1.0")
            first.deploy(request, "key-1")
        os.kill(agent_of(nodes["eu-1"]), signal.SIGKILL)  # in the middle of its work
        with cockpit(nodes) as second:
            assert second.find("key-1") is not None
            # looking at the fleet is enough
            done = eventually(lambda: (f := second.fleet(SERVICE, PLACE)) and f.active is None and f, 30)
            assert {n.digest for n in done.nodes} == {request.digest}
            assert second.deployment("key-1").state is DeployState.SUCCEEDED


def test_what_does_not_start_and_what_is_not_healthy(tmp_path: Path, releases: Path, eventually: Callable[..., Any]) -> None:
    with supervisord.supervised(tmp_path / "n", ("eu-1", "eu-2"), releases, "1.0.0", check_s=5.0) as nodes, cockpit(nodes) as made:
        made.deploy(wanted(made, "1.2.0"), "key-1")
        failed = settled(made, "key-1", eventually)
        assert failed.state is DeployState.FAILED
        assert "FATAL" in failed.message
        assert [s.state for s in failed.steps] == ["failed", "pending"]
        assert [(n.version, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes] == [("1.2.0", False), ("1.0.0", True)]
        made.deploy(wanted(made, "1.3.0", nodes=("eu-1",)), "key-2")
        sick = settled(made, "key-2", eventually)
        assert sick.state is DeployState.FAILED
        assert "503" in sick.message
        made.deploy(wanted(made, "1.0.0", kind="rollback"), "key-3")
        assert settled(made, "key-3", eventually).state is DeployState.SUCCEEDED
        assert {(n.version, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes} == {("1.0.0", True)}


def test_abort_leaves_the_node_that_waits(tmp_path: Path, releases: Path, eventually: Callable[..., Any]) -> None:
    with supervisord.supervised(tmp_path / "n", ("eu-1", "eu-2"), releases, "1.0.0") as nodes, cockpit(nodes) as made:
        made.deploy(wanted(made, "1.1.0"), "key-1")
        assert not made.abort("key-1").state.final  # the node under way finishes
        ended = settled(made, "key-1", eventually)
        assert ended.state is DeployState.ABORTED
        assert [s.state for s in ended.steps] == ["done", "pending"]
        assert made.abort("key-1") == ended
        assert [n.version for n in made.fleet(SERVICE, PLACE).nodes] == ["1.1.0", "1.0.0"]
        # content that changed after it was read is not what was asked for
        request = wanted(made, "1.0.0")
        (releases / "1.0.0" / "more").write_text("words", "utf-8")
        made.deploy(request, "key-2")
        assert "changed" in settled(made, "key-2", eventually).message


def test_a_host_that_hangs_a_wrong_password_and_an_unknown_process(tmp_path: Path, releases: Path, eventually: Callable[..., Any]) -> None:
    with supervisord.supervised(tmp_path / "n", ("eu-1", "eu-2"), releases, "1.0.0") as nodes, cockpit(nodes) as made:
        with cockpit(nodes, "wrong") as stranger, pytest.raises(AuthFailed):
            stranger.fleet(SERVICE, PLACE)
        with pytest.raises(NotFound):
            made.fleet("no-such-service", PLACE)
        with pytest.raises(NotFound):
            made.fleet(SERVICE, "no-such-place")
        with pytest.raises(NotFound):
            made.deployment("no-such-key")
        with pytest.raises(Rejected, match="not on eu-1"):
            made.deploy(wanted(made, "1.0.0", digest="0" * 64), "key-0")
        request = wanted(made, "1.1.0")
        eventually(lambda: all(n.healthy for n in made.fleet(SERVICE, PLACE).nodes))
        nodes["eu-2"].freeze()
        hung = made.fleet(SERVICE, PLACE)
        assert [(n.name, n.healthy, n.digest != "") for n in hung.nodes] == [("eu-1", True, True), ("eu-2", False, False)]
        with pytest.raises(Unreachable):
            made.find("key-1")  # the silent one may know it
        with pytest.raises(Unreachable):
            made.deploy(request, "key-1")
        assert len(made.probe().missing) == 1
        made.deploy(wanted(made, "1.1.0", nodes=("eu-1",)), "key-9")  # the others can be released without it
        assert settled(made, "key-9", eventually).state is DeployState.SUCCEEDED
        nodes["eu-2"].thaw()
        assert made.find("key-1") is None
        eventually(lambda: all(n.healthy for n in made.fleet(SERVICE, PLACE).nodes))


def test_fault_10_begins_nothing(tmp_path: Path, releases: Path) -> None:
    more = f"process.{SERVICE}=nowhere"
    with supervisord.supervised(tmp_path / "n", ("eu-1",), releases, "1.0.0", more=more) as nodes, cockpit(nodes) as made:
        with pytest.raises(Rejected, match="knows no process nowhere") as caught:
            made.deploy(wanted(made, "1.1.0"), "key-1")
        assert "fault 10" in caught.value.message
        assert made.find("key-1") is None


@pytest.mark.parametrize("nodes", ["", "production/a", "p/a=ftp://x", "p/a=http://x:1 p/b=http://x:1"])
def test_mistakes_in_the_settings(nodes: str) -> None:
    with pytest.raises(ConfigError):
        Supervisor(nodes)
