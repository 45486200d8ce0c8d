"""The contract of deployment systems, against real supervisords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.connectors.http import Limits
from cockpit.connectors.supervisor import Supervisor
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from tests.fakes import supervisord
from tests.fakes.supervisord import PASSWORD, USER

SERVICE, PLACE = "order-gateway", "production"
LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=1.5, deadline_s=2.0, body_bytes=4 * 1024 * 1024, retries=0)


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeploymentWorld]:
    folder: Path = tmp_path_factory.mktemp("supervised")
    releases = folder / "releases"
    for index, version in enumerate(("1.0.0", "1.1.0")):
        supervisord.release(releases, version, built_at_us=1_700_000_000_000_000 + index)
    with supervisord.supervised(folder / "n", ("eu-1", "eu-2"), releases, "1.0.0", detached=True) as nodes:
        places = " ".join(f"{PLACE}/{name}={node.url}" for name, node in nodes.items())
        made = Supervisor(places, user=USER, token=lambda: PASSWORD, limits=LIMITS)

        def hang() -> None:
            for node in nodes.values():
                node.freeze()

        def heal() -> None:
            for node in nodes.values():
                node.thaw()

        yield DeploymentWorld(
            connector=made,
            secret=PASSWORD,
            shared=True,
            service=SERVICE,
            environment=PLACE,
            nodes=tuple(nodes),
            artifacts=tuple(a.digest for a in made.artifacts(SERVICE)),
            hang=hang,
            heal=heal,
        )
        made.close()


class TestSupervisor(DeploymentContract):
    @pytest.fixture
    def world(self, shared_world: DeploymentWorld) -> DeploymentWorld:
        return shared_world
