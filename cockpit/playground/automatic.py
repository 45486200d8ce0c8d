"""Deploying by itself, as some deployment systems do: the newest version that is not held goes where that is switched on."""

from __future__ import annotations

import sys

from cockpit.playground.deployments import Deployment, DeploymentRequest, Deployments
from cockpit.playground.processes import now_us
from cockpit.playground.server import ApiError
from cockpit.playground.tags import Artifact, version_key

_WHO = "playground deployer, by itself"


class Automation:
    """What would be deployed without anybody asking, and doing it. `words` from any thread, `tick` from one."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    def _newest(self, service: str, environment: str) -> Artifact | None:
        """The newest artifact that is not held, where deploying by itself is on."""
        nodes = self._deployments.nodes
        if not nodes.wishes.automatic(service, environment):
            return None
        held = nodes.wishes.held(service, environment)
        return next((a for a in nodes.artifacts.of(service) if a.digest not in held), None)

    def words(self, service: str, environment: str) -> str:
        """What it would put there by itself, now or after a rollback; "" for nothing."""
        artifact = self._newest(service, environment)
        return f"{service} {artifact.version}, the newest version that is not held" if artifact is not None else ""

    def tick(self) -> None:
        """Begin what is due. A place with a deployment under way or just ended is left alone, and what failed is not tried again."""
        for environment in self._deployments.layout.environments:
            for service in self._deployments.layout.services:
                artifact = self._newest(service, environment)
                if artifact is not None and self._due(service, environment, artifact):
                    self._begin(service, environment, artifact)

    def _due(self, service: str, environment: str, artifact: Artifact) -> bool:
        live = self._deployments.live(service, environment)
        if live is not None and version_key(artifact.version) <= version_key(live.version):
            return False
        last: Deployment | None = next((d for d in self._deployments.all() if (d.service, d.environment) == (service, environment)), None)
        if last is None:
            return True
        failed = last.digest == artifact.digest and last.state in ("failed", "aborted")
        return not failed and now_us() - last.finished_at_us >= self._deployments.pace.automatic_s * 1e6

    def _begin(self, service: str, environment: str, artifact: Artifact) -> None:
        request = DeploymentRequest(service, environment, artifact.version, artifact.digest, "deploy", _WHO, "the newest version")
        try:
            self._deployments.accept(request, f"automatic:{environment}:{service}:{now_us()}")
        except ApiError as error:
            # another deployment is under way there, or the disk is full: the next tick asks again
            if error.status != 409:
                print(f"{service} {artifact.version} was not deployed by itself: {error}", file=sys.stderr, flush=True)
