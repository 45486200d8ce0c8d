"""Containers replaced host by host, against engines that speak the documented interface."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors import engine_wire
from cockpit.connectors.containers import Containers
from cockpit.connectors.engine_hosts import Hosts
from cockpit.connectors.engine_moves import Setup
from cockpit.connectors.engine_state import RECORD, record_in
from cockpit.connectors.http import Limits
from cockpit.connectors.oci_registry import Image
from cockpit.connectors.ports import DeployRequest
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Deployment, DeployState
from tests.fakes.engine import FakeEngine, engine

SERVICE, PLACE, REPOSITORY = "gateway", "production", "registry.invalid/team/gateway"
LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=1.0, deadline_s=1.5, retries=0)
SETUP = Setup(image="registry.invalid/team/{service}", container="{service}-main", address="http://{host}:8080", check_s=3.0, stop_s=1)


@contextmanager
def two_hosts() -> Iterator[dict[str, FakeEngine]]:
    """One behind a port, one behind a socket of this machine; both run 1.0.0."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="en")))
        hosts = {"eu-1": stack.enter_context(engine()), "eu-2": stack.enter_context(engine(folder / "s"))}
        for host in hosts.values():
            for index, version in enumerate(("1.0.0", "1.1.0", "1.2.0")):
                digest = host.image(REPOSITORY, version, 1_700_000_000 + index)
            host.exits[host.remote[digest]] = 3
            host.image("registry.invalid/team/other", "9.9.9")
            host.run("gateway-main", next(iter(host.remote)), RestartPolicy={"Name": "always"})
        yield hosts


@contextmanager
def cockpit(hosts: dict[str, FakeEngine], setup: Setup = SETUP) -> Iterator[Containers]:
    made = Containers(Hosts(" ".join(f"{PLACE}/{name}={host.url}" for name, host in hosts.items()), setup, LIMITS))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def steady_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container does at once is seen after a quarter of the time too."""
    monkeypatch.setattr("cockpit.connectors.engine_state.STEADY_S", 0.25)


@pytest.fixture
def hosts() -> Iterator[dict[str, FakeEngine]]:
    with two_hosts() as made:
        yield made


@pytest.fixture
def made(hosts: dict[str, FakeEngine]) -> Iterator[Containers]:
    with cockpit(hosts) as connector:
        yield connector


def wanted(made: Containers, version: str, **changed: Any) -> DeployRequest:
    digest = {a.version: a.digest for a in made.artifacts(SERVICE)}[version]
    request = DeployRequest(SERVICE, PLACE, version, digest, "deploy", "someone@playground.invalid", "because")
    return msgspec.structs.replace(request, **changed)


def settled(made: Containers, key: str, eventually: Callable[..., Any]) -> Deployment:
    found: Deployment = eventually(lambda: (d := made.deployment(key)).state.final and d, 20)
    return found


def test_host_by_host_and_the_old_settings_stay(hosts: dict[str, FakeEngine], made: Containers, eventually: Callable[..., Any]) -> None:
    assert "2 of 2 hosts" in made.probe().reached
    assert [a.version for a in made.artifacts(SERVICE)] == ["1.2.0", "1.1.0", "1.0.0"]
    before = made.fleet(SERVICE, PLACE)
    assert [(n.name, n.version, n.healthy, n.url) for n in before.nodes] == [
        ("eu-1", "1.0.0", True, "http://127.0.0.1:8080"),
        ("eu-2", "1.0.0", True, "http://127.0.0.1:8080"),
    ]
    request = wanted(made, "1.1.0")
    begun = made.deploy(request, "key-1")
    assert [(s.node, s.state) for s in begun.steps] == [("eu-1", "checking"), ("eu-2", "pending")]
    assert hosts["eu-2"].names() == ["gateway-main*", "release-cockpit-next"]
    with pytest.raises(Rejected) as busy:
        made.deploy(request, "key-2")
    assert busy.value.status == 409
    assert made.find("key-2") is None
    done = settled(made, "key-1", eventually)
    assert done.state is DeployState.SUCCEEDED
    assert (done.from_version, done.reason) == ("1.0.0", "because")
    assert {n.digest for n in made.fleet(SERVICE, PLACE).nodes} == {request.digest}
    new = hosts["eu-1"].named("gateway-main")
    assert "OWN=1" in new["Config"]["Env"]
    assert new["Config"]["Labels"]["team"] == "a"
    assert new["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostPort": "80"}]}
    assert new["HostConfig"]["RestartPolicy"] == {"Name": "unless-stopped"}
    assert len([n for n in hosts["eu-1"].names() if "before" in n]) == 1


def test_another_cockpit_takes_it_up_at_every_point(hosts: dict[str, FakeEngine], eventually: Callable[..., Any]) -> None:
    with cockpit(hosts) as first:
        request = wanted(first, "1.1.0")
        first.deploy(request, "key-1")

    def one_look() -> bool:
        with cockpit(hosts) as other:  # each lives for one look only
            fleet = other.fleet(SERVICE, PLACE)
            return fleet.active is None and {n.digest for n in fleet.nodes} == {request.digest}

    eventually(one_look, 20)
    with cockpit(hosts) as last:
        assert last.deployment("key-1").state is DeployState.SUCCEEDED


def test_what_ends_at_once_is_taken_back(hosts: dict[str, FakeEngine], made: Containers, eventually: Callable[..., Any]) -> None:
    made.deploy(wanted(made, "1.2.0"), "key-1")
    failed = settled(made, "key-1", eventually)
    assert failed.state is DeployState.FAILED
    assert "ended with 3" in failed.message
    assert "the old one was started again" in failed.message
    assert [s.state for s in failed.steps] == ["failed", "pending"]
    made.deployment("key-1")  # clears what waits
    assert {(n.version, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes} == {("1.0.0", True)}
    made.deploy(wanted(made, "1.1.0"), "key-2")
    assert settled(made, "key-2", eventually).state is DeployState.SUCCEEDED


def test_what_is_not_healthy_is_taken_back(hosts: dict[str, FakeEngine], eventually: Callable[..., Any]) -> None:
    sick = msgspec.structs.replace(SETUP, health="http://{host}:1/healthz", check_s=1.0)
    with cockpit(hosts, sick) as made:
        made.deploy(wanted(made, "1.1.0", nodes=("eu-2",)), "key-1")
        assert settled(made, "key-1", eventually).state is DeployState.FAILED
        assert [n.healthy for n in made.fleet(SERVICE, PLACE).nodes] == [False, False]
    assert [n for n in hosts["eu-2"].names() if n.endswith("*")] == ["gateway-main*"]


@pytest.mark.parametrize("why", ["failed to create shim task: exec: not found", ""])
def test_what_the_engine_cannot_start_is_taken_back(hosts: dict[str, FakeEngine], eventually: Callable[..., Any], why: str) -> None:
    with cockpit(hosts, msgspec.structs.replace(SETUP, check_s=1.0)) as made:
        request = wanted(made, "1.1.0")
        image = next(known for known in hosts["eu-1"].images if known.endswith(request.digest[-64:]))
        hosts["eu-1"].unstartable[image] = why
        made.deploy(request, "key-1")
        failed = settled(made, "key-1", eventually)
        assert failed.state is DeployState.FAILED
        assert (why or "it ended") in failed.message
        assert "the old one was started again" in failed.message
        assert {(n.version, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes} == {("1.0.0", True)}


def test_a_host_that_is_away_does_not_stop_a_rollback_of_the_others(hosts: dict[str, FakeEngine], eventually: Callable[..., Any]) -> None:
    nodes = " ".join(f"{PLACE}/{name}={host.url}" for name, host in hosts.items())
    with engine() as other:
        made = Containers(Hosts(f"{nodes} staging/st-1={other.url}", SETUP, LIMITS))
        request = wanted(made, "1.1.0", nodes=("eu-1",))
        other.mode = hosts["eu-2"].mode = "cut"
        with pytest.raises(Unreachable):
            made.find("key-1")  # whoever is away may know it
        made.deploy(request, "key-1")
        assert settled(made, "key-1", eventually).state is DeployState.SUCCEEDED
        assert made.deploy(request, "key-1").state is DeployState.SUCCEEDED
        hosts["eu-1"].mode = "cut"
        with pytest.raises(Unreachable):
            made.deploy(request, "key-1")
        made.close()


def test_what_waits_on_hosts_that_went_away_was_begun(hosts: dict[str, FakeEngine], made: Containers, monkeypatch: Any) -> None:
    """The next look at the fleet carries it on, so nobody may be told that nothing was sent."""
    request = wanted(made, "1.1.0")
    last, create = hosts["eu-2"], hosts["eu-2"].create

    def then_away(name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = create(name, body)
        monkeypatch.setattr(hosts["eu-1"], "mode", "cut")
        monkeypatch.setattr(last, "mode", "cut")
        return answer

    monkeypatch.setattr(last, "create", then_away)
    with pytest.raises(OutcomeUnknown):
        made.deploy(request, "key-1")
    hosts["eu-1"].mode = last.mode = ""
    assert made.find("key-1") is not None


def test_abort_and_nodes(hosts: dict[str, FakeEngine], made: Containers, eventually: Callable[..., Any]) -> None:
    made.deploy(wanted(made, "1.1.0"), "key-1")
    made.abort("key-1")
    ended = settled(made, "key-1", eventually)
    assert ended.state is DeployState.ABORTED
    assert [s.state for s in ended.steps] == ["done", "pending"]
    assert [n.version for n in made.fleet(SERVICE, PLACE).nodes] == ["1.1.0", "1.0.0"]
    made.deploy(wanted(made, "1.0.0", kind="rollback", nodes=("eu-1",)), "key-2")
    assert settled(made, "key-2", eventually).state is DeployState.SUCCEEDED
    assert {n.version for n in made.fleet(SERVICE, PLACE).nodes} == {"1.0.0"}
    with pytest.raises(Rejected):
        made.deploy(wanted(made, "1.1.0", nodes=("nowhere",)), "key-3")


def test_a_host_that_is_away(hosts: dict[str, FakeEngine], made: Containers) -> None:
    request = wanted(made, "1.1.0")
    hosts["eu-2"].mode = "cut"
    assert [(n.name, n.healthy) for n in made.fleet(SERVICE, PLACE).nodes] == [("eu-1", True), ("eu-2", False)]
    with pytest.raises(Unreachable):
        made.deploy(request, "key-1")
    assert hosts["eu-1"].names() == ["gateway-main*"]
    assert len(made.probe().missing) == 1
    hosts["eu-2"].mode = ""
    with pytest.raises(NotFound):
        made.fleet("no-such-service", PLACE)
    with pytest.raises(NotFound):
        made.fleet(SERVICE, "no-such-place")
    # somebody else's container stands where ours is to be made
    hosts["eu-2"].mode = "forbid"
    with pytest.raises((AuthFailed, Unreachable)):
        made.deploy(request, "key-1")


def test_a_second_host_that_refuses_undoes_the_first(hosts: dict[str, FakeEngine], made: Containers) -> None:
    request = wanted(made, "1.1.0")
    original = hosts["eu-2"].create
    hosts["eu-2"].create = lambda name, body: (409, {"message": "in use"})  # type: ignore[method-assign]
    with pytest.raises(Rejected):
        made.deploy(request, "key-1")
    assert hosts["eu-1"].names() == ["gateway-main*"]
    assert made.find("key-1") is None
    hosts["eu-2"].create = original  # type: ignore[method-assign]
    hosts["eu-1"].mode = "lose"
    with pytest.raises(OutcomeUnknown):
        made.deploy(request, "key-1")
    assert made.find("key-1") is not None


class OneRegistry:
    """What a registry says: three tags, one of them of an image that lies on no host yet."""

    def __init__(self, digests: dict[str, str]) -> None:
        self.digests = digests

    def tags(self, repository: str) -> tuple[str, ...]:
        assert repository == "team/gateway"
        return ("latest", *self.digests)

    def image(self, repository: str, reference: str) -> Image:
        return Image(self.digests[reference], "c" * 40, 5)

    def close(self) -> None:
        return


def test_a_registry_tells_what_there_is_and_hosts_fetch_it(hosts: dict[str, FakeEngine], eventually: Callable[..., Any]) -> None:
    digests = {}
    for host in hosts.values():
        digests = {"1.0.0": host.image(REPOSITORY, "1.0.0"), "1.3.0": host.image(REPOSITORY, "1.3.0", here=False)}
    by_digest = msgspec.structs.replace(SETUP, by_id=False)
    places = " ".join(f"{PLACE}/{name}={host.url}" for name, host in hosts.items())
    made = Containers(Hosts(places, by_digest, LIMITS), OneRegistry(digests))  # type: ignore[arg-type]
    assert [(a.version, a.digest) for a in made.artifacts(SERVICE)] == [("1.3.0", digests["1.3.0"]), ("1.0.0", digests["1.0.0"])]
    assert {n.digest for n in made.fleet(SERVICE, PLACE).nodes} == {digests["1.0.0"]}
    with pytest.raises(Rejected, match="manifest unknown"):
        made.deploy(wanted(made, "1.3.0", digest="sha256:" + "0" * 64), "key-0")
    made.deploy(wanted(made, "1.3.0"), "key-1")
    assert settled(made, "key-1", eventually).state is DeployState.SUCCEEDED
    assert {(n.digest, n.version) for n in made.fleet(SERVICE, PLACE).nodes} == {(digests["1.3.0"], "1.3.0")}
    made.close()


@pytest.mark.parametrize("nodes", ["", "p/a=ftp://x", "p/a=unix://relative", "p/a=unix:///" + "x" * 200, "p/a=http://x:1 p/b=http://x:1"])
def test_mistakes_in_the_settings(nodes: str) -> None:
    with pytest.raises(ConfigError):
        Hosts(nodes, SETUP, LIMITS)


PARSERS: tuple[Callable[[bytes], object], ...] = (
    lambda body: engine_wire.parse_images(body, REPOSITORY),
    lambda body: engine_wire.parse_images(body, REPOSITORY, by_id=False),
    engine_wire.parse_containers,
    engine_wire.parse_container,
    engine_wire.parse_image_config,
    engine_wire.parse_version,
    engine_wire.parse_created,
    engine_wire.parse_pull,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Id", "Name", "Names", "State", "Config", "HostConfig", "Labels", "StartedAt", "Created", "Image", "RepoTags"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_only_bad_payload_comes_out(body: bytes) -> None:
    for parse in PARSERS:
        with suppress(BadPayload):
            parse(body)
    record_in({RECORD: body.decode("utf-8", "replace")})


@pytest.mark.parametrize(
    "started", ["0001-01-01T00:00:00Z", "2026-11-22T10:00:00.123456789Z", "2026-11-22T10:00:00+02:00", "", "yesterday"]
)
def test_times(started: str) -> None:
    body = json.dumps({"Id": "a", "Name": "/n", "State": {"StartedAt": started}, "Config": {}, "HostConfig": {}}).encode()
    if started == "yesterday":
        with pytest.raises(BadPayload):
            engine_wire.parse_container(body)
        return
    found = engine_wire.parse_container(body).started_at_us
    assert found == {"": 0, "0": 0}.get(started[:1], 1_795_341_600_123_456 if "Z" in started else 1_795_334_400_000_000)


class TestContainers(DeploymentContract):
    @pytest.fixture
    def world(self, hosts: dict[str, FakeEngine], made: Containers) -> DeploymentWorld:
        def mode(word: str) -> Callable[[], None]:
            def change() -> None:
                for host in hosts.values():
                    host.mode = word
                    if not word:
                        host.over.set()
                        host.over.clear()

            return change

        def lose() -> None:
            hosts["eu-1"].mode = "lose"

        for host in hosts.values():
            host.exits.clear()
        return DeploymentWorld(
            connector=made,
            shared=True,
            service=SERVICE,
            environment=PLACE,
            nodes=tuple(hosts),
            artifacts=tuple(a.digest for a in made.artifacts(SERVICE)),
            forbid=mode("forbid"),
            cut=mode("cut"),
            hang=mode("hang"),
            lose=lose,
            heal=mode(""),
        )
