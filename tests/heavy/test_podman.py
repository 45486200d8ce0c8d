"""Real Podman engines: containers replaced host by host. Run by `make test-heavy`; skipped with the reason where no container can run."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cockpit.connectors.containers import Containers
from cockpit.connectors.engine_hosts import make_hosts
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import NotFound
from cockpit.domain.release import Deployment, DeployState
from tests.fakes.podman import PodmanHost, image_archive, podman_hosts
from tests.fakes.supervisord import free_port

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

SERVICE, PLACE, REPOSITORY = "gateway", "production", "localhost/team/gateway"


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[dict[str, PodmanHost], dict[str, int]]]:
    """Two engines with the same images, both running 1.0.0."""
    with podman_hosts(("eu-1", "eu-2")) as hosts:
        first, second = hosts.values()
        for version, exits in (("1.0.0", 0), ("1.1.0", 0), ("1.2.0", 3)):
            label = f"LABEL org.opencontainers.image.version={version}"
            first.run("import", "-c", 'CMD ["/serve"]', "-c", label, "-", f"{REPOSITORY}:{version}", input=image_archive(version, exits))
            first.run("save", "--format", "oci-archive", "-o", str(folder / f"{version}.tar"), f"{REPOSITORY}:{version}")
            second.run("load", "-i", str(folder / f"{version}.tar"))
        ports = {name: free_port() for name in hosts}
        for name, host in hosts.items():
            words = ["run", "-d", "--name", "gateway", "-e", f"PORT={ports[name]}", "-l", "team=a", f"{REPOSITORY}:1.0.0"]
            try:
                host.run(*words)
            except AssertionError as error:
                pytest.skip(f"this machine cannot run a container: {str(error).strip()[-300:]}")
        yield hosts, ports


@contextmanager
def cockpit(hosts: dict[str, PodmanHost]) -> Iterator[Containers]:
    nodes = " ".join(f"{PLACE}/{name}={host.url}" for name, host in hosts.items())
    made = Containers(make_hosts({"nodes": nodes, "image": "localhost/team/{service}", "check_s": "10", "stop_s": "1"}))
    yield made
    made.close()


def wanted(made: Containers, version: str, **changed: Any) -> DeployRequest:
    digest = {a.version: a.digest for a in made.artifacts(SERVICE)}[version]
    return msgspec.structs.replace(DeployRequest(SERVICE, PLACE, version, digest, "deploy", "a@playground.invalid", "because"), **changed)


def settled(made: Containers, key: str, eventually: Callable[..., Any]) -> Deployment:
    found: Deployment = eventually(lambda: (d := made.deployment(key)).state.final and d, 60)
    return found


def served(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=5) as answer:
        return str(answer.read().decode())


def test_containers_on_real_engines(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    with two_hosts(tmp_path) as (hosts, ports):
        with cockpit(hosts) as first:
            assert "2 of 2 hosts" in first.probe().reached
            assert sorted(a.version for a in first.artifacts(SERVICE)) == ["1.0.0", "1.1.0", "1.2.0"]
            assert {(n.version, n.healthy) for n in first.fleet(SERVICE, PLACE).nodes} == {("1.0.0", True)}
            with pytest.raises(NotFound):
                first.fleet("no-such-service", PLACE)
            request = wanted(first, "1.1.0")
            begun = first.deploy(request, "key-1")
            assert [s.node for s in begun.steps] == ["eu-1", "eu-2"]
            assert begun.steps[1].state == "pending"
        with cockpit(hosts) as made:  # another one takes it up
            done = settled(made, "key-1", eventually)
            assert done.state is DeployState.SUCCEEDED, done.message
            assert {(n.digest, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes} == {(request.digest, True)}
            assert {served(port) for port in ports.values()} == {"1.1.0"}
            made.deploy(wanted(made, "1.2.0"), "key-2")
            failed = settled(made, "key-2", eventually)
            assert failed.state is DeployState.FAILED
            assert "ended with 3" in failed.message
            assert {(n.version, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes} == {("1.1.0", True)}
            assert eventually(lambda: served(ports["eu-1"])) == "1.1.0"
            made.deploy(wanted(made, "1.0.0", kind="rollback", nodes=("eu-1",)), "key-3")
            assert settled(made, "key-3", eventually).state is DeployState.SUCCEEDED
            assert served(ports["eu-1"]) == "1.0.0"
            assert [d.key for d in made.history(SERVICE, PLACE)] == ["key-3", "key-2", "key-1"]
            # the old container's own settings came along
            assert '"team": "a"' in hosts["eu-1"].run("inspect", "gateway", "--format", "{{json .Config.Labels}}").replace('":"', '": "')
            hosts["eu-2"].process.send_signal(signal.SIGSTOP)
            assert [n.healthy for n in made.fleet(SERVICE, PLACE).nodes] == [True, False]
            hosts["eu-2"].process.send_signal(signal.SIGCONT)
            assert [n.healthy for n in made.fleet(SERVICE, PLACE).nodes] == [True, True]
