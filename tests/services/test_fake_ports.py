"""The fakes behind the ports stay what the ports say."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from cockpit.connectors.ports import CiSystem, DeploymentApi, DeployRequest, MetricsApi, SourceControl
from cockpit.domain.errors import Rejected
from tests.fakes.ports import FakeCi, FakeDeploymentApi, FakeMetrics, FakeSource, digest_of
from tests.fakes.world import World


@pytest.mark.parametrize(
    ("fake", "port"), [(FakeSource, SourceControl), (FakeCi, CiSystem), (FakeDeploymentApi, DeploymentApi), (FakeMetrics, MetricsApi)]
)
def test_signatures_equal_the_ports(fake: type[Any], port: type[Any]) -> None:
    names = [n for n, member in vars(port).items() if inspect.isfunction(member) and not n.startswith("_")]
    assert len(names) >= 2
    for name in names:
        assert inspect.signature(getattr(fake, name)) == inspect.signature(getattr(port, name)), name


def test_the_deployer_keeps_its_promises() -> None:
    api = World().deployer
    request = DeployRequest("gateway", "production", "1.0.0", digest_of("1.0.0"), "rollback", "Rae")
    first = api.deploy(request, "k")
    assert api.deploy(request, "k").id == first.id == (api.find("k") or first).id
    assert api.find("other") is None
    with pytest.raises(Rejected):
        api.deploy(request, "another")
    while not api.deployment(first.id).state.final:
        assert api.fleet("gateway", "production").active is not None
    assert api.fleet("gateway", "production").agreement == (3, 3)
    assert api.abort(first.id).state == "succeeded"
