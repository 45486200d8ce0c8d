"""Argo CD, against a server of its kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import argo_cd_wire
from cockpit.connectors.argo_cd import ArgoCd
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.ports import DeployRequest
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.domain.errors import BadPayload, Rejected, Unreachable
from tests.fakes.argo_cd import COMMITS, ArgoCdStub, failed
from tests.fakes.gate import Gate

SERVICE, PLACE = "gateway", "production"
TOKEN = "a-secret-token-of-argo"
FAST = Limits(connect_timeout_s=1, read_timeout_s=1, deadline_s=3, retries=0)
POLICY = {"prune": True, "selfHeal": True}


@pytest.fixture
def argo() -> Iterator[ArgoCdStub]:
    with ArgoCdStub(TOKEN, f"{SERVICE}-{PLACE}").running() as stub:
        yield stub


def connect(url: str) -> ArgoCd:
    return ArgoCd(
        HttpClient(url, name="Argo CD", token=lambda: TOKEN, limits=FAST), "{service}-{environment}", PLACE, "", "{service}/v{version}"
    )


@pytest.fixture
def connector(argo: ArgoCdStub) -> Iterator[ArgoCd]:
    made = connect(argo.url)
    yield made
    made.close()


def request(version: str, kind: str = "deploy") -> DeployRequest:
    return DeployRequest(SERVICE, PLACE, version, f"git:{COMMITS[version]}", kind, "rae@playground.invalid", "because")


class TestContract(DeploymentContract):
    @pytest.fixture
    def world(self, argo: ArgoCdStub) -> Iterator[DeploymentWorld]:
        with Gate(argo.port) as gate:
            made = connect(gate.url)
            yield DeploymentWorld(
                connector=made,
                secret=TOKEN,
                identity="rae",
                shared=True,
                forbid=gate.forbid,
                cut=gate.cut,
                hang=gate.hang,
                lose=gate.lose,
                heal=gate.heal,
                service=SERVICE,
                environment=PLACE,
                nodes=("gateway-0", "gateway-1"),
                artifacts=tuple(f"git:{COMMITS[v]}" for v in ("1.6.0", "1.5.0", "1.4.0")),
                history=tuple(d.id for d in made.history(SERVICE, PLACE)),
                unknown_digest="git:" + "0" * 40,
                advance=argo.advance,
            )
            made.close()


def test_a_rollback_holds_auto_sync_first_and_clearing_puts_it_back(argo: ArgoCdStub, connector: ArgoCd) -> None:
    argo.app["spec"]["syncPolicy"] = {"automated": POLICY, "syncOptions": ["x"]}
    assert "auto-sync deploys main" in connector.fleet(SERVICE, PLACE).automatic
    begun = connector.deploy(request("1.4.0", "rollback"), "k1")
    assert "Auto-sync was on" in begun.message
    writes = [line.rpartition("/")[2] for line in argo.asked if not line.startswith("GET")]
    assert writes == [f"{SERVICE}-{PLACE}", "rollback"]
    argo.settle()
    assert str(connector.deployment(begun.id).state) == "succeeded"
    assert connector.fleet(SERVICE, PLACE).automatic == ""
    left = f"git:{COMMITS['1.5.0']}"
    assert connector.hold(SERVICE, PLACE, left, True, "bad").held == (left,)
    assert connector.hold(SERVICE, PLACE, left, True, "bad").held == (left,)
    assert argo.app["spec"]["syncPolicy"] == {"syncOptions": ["x"]}
    fleet = connector.hold(SERVICE, PLACE, left, False, "good again")
    assert (fleet.held, argo.app["spec"]["syncPolicy"]["automated"]) == ((), POLICY)
    assert fleet.automatic


def test_holding_switches_auto_sync_off_by_itself(argo: ArgoCdStub, connector: ArgoCd) -> None:
    argo.app["spec"]["syncPolicy"] = {"automated": POLICY}
    assert connector.hold(SERVICE, PLACE, "git:a", True, "bad").automatic == ""
    assert connector.hold(SERVICE, PLACE, "git:b", True, "bad").held == ("git:a", "git:b")
    assert connector.hold(SERVICE, PLACE, "git:a", False, "").automatic == ""
    assert connector.hold(SERVICE, PLACE, "git:b", False, "").automatic


def test_the_newest_commit_is_synced_with_auto_sync_on(argo: ArgoCdStub, connector: ArgoCd) -> None:
    argo.app["spec"]["syncPolicy"] = {"automated": POLICY}
    begun = connector.deploy(request("1.6.0"), "k1")
    argo.settle()
    done = connector.deployment(begun.id)
    assert str(done.state) == "succeeded"
    assert argo.app["spec"]["syncPolicy"] == {"automated": POLICY}
    assert {n.version for n in connector.fleet(SERVICE, PLACE).nodes} == {"1.6.0"}


def test_applied_is_not_yet_there(argo: ArgoCdStub, connector: ArgoCd) -> None:
    begun = connector.deploy(request("1.6.0"), "k1")
    argo.advance()
    assert {n.digest for n in connector.fleet(SERVICE, PLACE).nodes} == {f"git:{COMMITS['1.5.0']}"}
    argo.advance()
    found = connector.deployment(begun.id)
    assert (str(found.state), [s.state for s in found.steps]) == ("running", ["done", "pending"])
    assert {n.digest for n in connector.fleet(SERVICE, PLACE).nodes} == {f"git:{COMMITS['1.6.0']}", ""}
    argo.settle()
    assert str(connector.deployment(begun.id).state) == "succeeded"


def test_a_failed_sync_stays_failed_after_the_next_one(argo: ArgoCdStub, connector: ArgoCd) -> None:
    argo.broken.add(COMMITS["1.6.0"])
    begun = connector.deploy(request("1.6.0"), "k1")
    argo.settle()
    assert str(connector.deployment(begun.id).state) == "failed"
    assert {n.digest for n in connector.fleet(SERVICE, PLACE).nodes} == {""}  # some of it may have been applied
    back = connector.deploy(request("1.5.0", "rollback"), "k2")
    argo.settle()
    assert str(connector.deployment(back.id).state) == "succeeded"
    assert str(connector.deployment(begun.id).state) == "failed"
    assert {n.digest for n in connector.fleet(SERVICE, PLACE).nodes} == {f"git:{COMMITS['1.5.0']}"}


def test_abort_terminates_the_operation(argo: ArgoCdStub, connector: ArgoCd) -> None:
    begun = connector.deploy(request("1.6.0"), "k1")
    argo.advance()
    assert str(connector.abort(begun.id).state) == "running"
    argo.settle()
    assert str(connector.deployment(begun.id).state) == "aborted"


def test_one_operation_at_a_time(argo: ArgoCdStub, connector: ArgoCd) -> None:
    connector.deploy(request("1.6.0"), "k1")
    argo.advance()
    with pytest.raises(Rejected) as caught:
        connector.deploy(request("1.4.0", "rollback"), "k2")
    assert caught.value.status == 409
    assert connector.find("k2") is None


def test_what_is_refused_leaves_auto_sync_as_it_was(argo: ArgoCdStub, connector: ArgoCd) -> None:
    argo.app["spec"]["syncPolicy"] = {"automated": POLICY}
    argo.routes.insert(0, ("POST", re.compile(r".*/rollback"), _refuse))
    with pytest.raises(Rejected):
        connector.deploy(request("1.4.0", "rollback"), "k1")
    assert argo.app["spec"]["syncPolicy"]["automated"] == POLICY
    assert not argo.app["metadata"]["annotations"]
    assert connector.find("k1") is None


def _refuse(asked: Any) -> Any:
    raise failed("permission problem of another kind")


class Killed(BaseException):
    """The process is gone."""


def test_killed_between_the_record_and_the_operation(argo: ArgoCdStub, connector: ArgoCd, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(connector, "_begin", gone)
        with pytest.raises(Killed):
            connector.deploy(request("1.4.0", "rollback"), "k1")
    assert argo.app["metadata"]["annotations"]
    assert connector.find("k1") is None  # announced, and nothing followed
    assert all(d.key == "" for d in connector.history(SERVICE, PLACE))
    begun = connector.deploy(request("1.4.0", "rollback"), "k1")
    argo.settle()
    assert str(connector.deployment(begun.id).state) == "succeeded"
    assert len([line for line in argo.asked if line.endswith("rollback")]) == 1


def test_nothing_is_begun_where_the_record_cannot_be_written(argo: ArgoCdStub, connector: ArgoCd) -> None:
    argo.routes.insert(0, ("PATCH", re.compile(".*"), lambda asked: (502, "gone", {})))
    with pytest.raises(Unreachable):
        connector.deploy(request("1.4.0", "rollback"), "k1")
    assert not [line for line in argo.asked if line.startswith("POST")]


PARSERS: list[Callable[[bytes], Any]] = [
    argo_cd_wire.parse_application,
    argo_cd_wire.parse_applications,
    argo_cd_wire.parse_tree,
    argo_cd_wire.parse_metadata,
    argo_cd_wire.parse_user,
    argo_cd_wire.parse_version,
    argo_cd_wire.parse_record,
]
WORDS = st.sampled_from(
    ["metadata", "items", "spec", "source", "status", "history", "id", "nodes", "name", "operationState", "phase", "info"]
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
    body = data.draw(st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()))
    try:
        parse(body)
    except BadPayload:
        return
