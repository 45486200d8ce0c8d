"""Deployments of GitLab: environments as fleets of one node, tags as artifacts, pipelines as what deploys.

The digest of everything is `git:<commit>`: GitLab does not know what was built from it.
"""

from __future__ import annotations

from msgspec.structs import replace

from cockpit.connectors.after import a_change
from cockpit.connectors.forge_text import foreign
from cockpit.connectors.gitlab_api import GitlabApi
from cockpit.connectors.gitlab_deployed import DEPLOYED, Names, deployment_of, fleet_of, pending_of
from cockpit.connectors.gitlab_source import GitlabSource
from cockpit.connectors.gitlab_variables import DEPLOY, GitlabVariables
from cockpit.connectors.gitlab_wire import parse_names, parse_projects
from cockpit.connectors.gitlab_wire_ci import DeploymentWire, PipelineWire, parse_deployment, parse_deployments, parse_job, parse_pipeline
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.text import one_line
from cockpit.domain.errors import ConnectorError, NotFound, Rejected
from cockpit.domain.release import Artifact, Deployment, Fleet, Service

MAX_HISTORY = 1000
PAGE = 50
PROJECTS = 20
_HINT_ID = "Deployments have ids that begin with p (pipeline) or d (deployment), then number:service:environment."


class GitlabDeploy:
    """DeploymentApi over environments, deployments and pipelines. From any thread.

    A deployment is a pipeline on the version's tag with the variables RELEASE_COCKPIT_KEY, _ENVIRONMENT, _VERSION, _KIND and so on: the
    project's own rules say which job such a pipeline runs. The key in the variables makes it findable and keeps it from being started
    twice; two computers that send the same key in the same second are not told apart.
    """

    def __init__(self, api: GitlabApi, source: GitlabSource, variables: GitlabVariables, names: Names) -> None:
        self._api = api
        self._source = source
        self._variables = variables
        self._names = names

    def fleet(self, service: str, environment: str) -> Fleet:
        """One node, named as the environment: what its last deployment that succeeded brought."""
        found = self._deployments(service, environment, PAGE)
        if not any(wire.status == "success" for wire in found):
            path, where = self._api.path(service, "deployments"), self._names.environment(service, environment)
            found += self._api.client.read(path, parse_deployments, {**_NEWEST, "environment": where, "status": "success", "per_page": 1})
        return fleet_of(service, environment, found, [self._told(service, environment, wire) for wire in found[:5]], self._names)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """The tags, newest first."""
        versions = self._source.versions(Service(name=service))
        return tuple(Artifact(service, v.name, v.commit, DEPLOYED + v.commit, v.released_at_us) for v in versions)

    def history(self, service: str, environment: str, limit: int) -> tuple[Deployment, ...]:
        """As GitLab lists them, newest first."""
        room = max(1, min(limit, MAX_HISTORY))
        wires = self._deployments(service, environment, max(room, PAGE))
        told, seen = [], set()
        for wire in wires[:room]:
            found = self._told(service, environment, wire)
            # a pipeline that deployed there twice is its last deployment; the others keep numbers of their own
            told.append(found if found.id not in seen else replace(found, id=f"d{wire.id}:{service}:{environment}", key=""))
            seen.add(found.id)
        return tuple(told)

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a pipeline on the version's tag, once. Rejected where the tag is not what was asked for."""
        known = self.find_in(request.service, key)
        if known is not None:
            if (known.environment, known.digest) != (request.environment, request.digest):
                raise Rejected("This key was used for another deployment.", hint="Begin a new deployment.")
            return known
        if request.nodes and request.nodes != (request.environment,):
            raise Rejected("GitLab deploys to an environment as a whole.", hint="Leave the nodes out.")
        versions = self._source.versions(Service(name=request.service))
        chosen = next((v for v in versions if v.name == request.version and DEPLOYED + v.commit == request.digest), None)
        if chosen is None:
            words = f"{request.service} has no tag of {one_line(request.version, 100)} with this commit."
            raise Rejected(words, hint="Nothing was started. Choose one of the versions that GitLab has.")
        self._exists(request.service, request.environment)
        told = self._names.variables(request, key)
        started = self._variables.start(request.service, chosen.tag, chosen.commit, told)
        try:
            return self._now(request.service, started)
        except ConnectorError:  # it was started, whatever can be read of it now
            return pending_of(request.service, request.environment, started, told, self._names)

    def find(self, key: str) -> Deployment | None:
        """In the projects asked about so far; in a process that asked about none, in those whose names fit, the busiest first."""
        for service in {self._api.project(name): name for name in self._api.services or self._projects()}.values():
            try:
                # what the cockpit takes for never sent may be sent again: a pipeline that hides its key must not read as none
                found = self.find_in(service, key, surely=True)
            except NotFound:
                continue
            if found is not None:
                return found
        return None

    def find_in(self, service: str, key: str, *, surely: bool = False) -> Deployment | None:
        """The deployment of this key in the service's project."""
        wire = self._variables.find(service, DEPLOY, key, surely=surely)
        return self._now(self._variables.of(service, wire).get("RELEASE_COCKPIT_SERVICE", service), wire) if wire is not None else None

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, or the pipeline that is to make it."""
        kind, number, service, environment = _place(deployment_id)
        if kind == "d":
            wire = self._api.client.read(self._api.path(service, "deployments", number), parse_deployment)
            return replace(deployment_of(service, environment, wire, {}, self._names), id=deployment_id)
        found = self._now(service, self._api.client.read(self._api.path(service, "pipelines", number), parse_pipeline))
        if found.id != deployment_id:
            raise NotFound(f"Pipeline {number} deploys nothing to {one_line(environment, 100)}.", hint=_HINT_ID)
        return found

    def abort(self, deployment_id: str) -> Deployment:
        """Cancel the pipeline, or the job where the cockpit did not start it."""
        kind, number, service, _ = _place(deployment_id)
        known = self.deployment(deployment_id)
        if known.state.final:
            return known
        if kind == "p":
            wire = self._api.client.write(self._api.path(service, "pipelines", number, "cancel"), None, parse_pipeline)
            with a_change(self._api.client.name):
                return self._now(service, wire)
        job = self._api.client.read(self._api.path(service, "deployments", number), parse_deployment).deployable
        if job is None:
            raise Rejected("This deployment was only recorded in GitLab.", hint="Stop it where it runs.")
        self._api.client.write(self._api.path(service, "jobs", job.id, "cancel"), None, parse_job)
        with a_change(self._api.client.name):
            return self.deployment(deployment_id)

    def _deployments(self, service: str, environment: str, enough: int) -> tuple[DeploymentWire, ...]:
        params = {**_NEWEST, "environment": self._names.environment(service, environment)}
        found = self._api.pages(self._api.path(service, "deployments"), parse_deployments, params, enough, PAGE)
        self._api.note(service)
        if not found:
            self._exists(service, environment)
        return tuple(wire for wire in found if not foreign(wire.ref or "", service, self._names.pattern(service)))

    def _exists(self, service: str, environment: str) -> None:
        name = self._names.environment(service, environment)
        path = self._api.path(service, "environments")
        if not self._api.client.read(path, parse_names, {"name": name, "per_page": 1}):
            raise NotFound(
                f"{service} has no environment “{one_line(name, 100)}” in GitLab.", hint="Check how environments are named there."
            )

    def _told(self, service: str, environment: str, wire: DeploymentWire) -> Deployment:
        pipeline = wire.deployable.pipeline if wire.deployable is not None else None
        variables = self._variables.of(service, pipeline) if pipeline is not None else {}
        return deployment_of(service, environment, wire, variables, self._names)

    def _now(self, service: str, pipeline: PipelineWire) -> Deployment:
        """What the cockpit's pipeline has come to: its deployment, or what it waits for."""
        variables = self._variables.of(service, pipeline)
        environment = variables.get("RELEASE_COCKPIT_ENVIRONMENT", "")
        if not variables.get(DEPLOY) or not environment:
            raise NotFound(f"Pipeline {pipeline.id} is no deployment of the cockpit.", hint=_HINT_ID)
        params: dict[str, str | int] = {"environment": self._names.environment(service, environment), "per_page": PAGE}
        if pipeline.created_at:
            params |= {"updated_after": pipeline.created_at, "order_by": "updated_at", "sort": "asc"}
        made = self._api.client.read(self._api.path(service, "deployments"), parse_deployments, params)
        mine = [wire for wire in made if wire.deployable and wire.deployable.pipeline and wire.deployable.pipeline.id == pipeline.id]
        if mine:
            return deployment_of(service, environment, max(mine, key=lambda wire: wire.id), variables, self._names)
        return pending_of(service, environment, pipeline, variables, self._names)

    def _projects(self) -> tuple[str, ...]:
        if "{service}" not in self._api.pattern:
            return ("all",)
        params: dict[str, str | int] = {
            "membership": "true",
            "simple": "true",
            "order_by": "last_activity_at",
            "sort": "desc",
            "per_page": 100,
        }
        before, _, after = self._api.pattern.partition("{service}")
        paths = self._api.client.read("/api/v4/projects", parse_projects, params)
        fit = (path for path in paths if path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after))
        return tuple(path[len(before) : len(path) - len(after)] for path in fit)[:PROJECTS]


_NEWEST: dict[str, str | int] = {"order_by": "id", "sort": "desc"}


def _place(deployment_id: str) -> tuple[str, int, str, str]:
    number, _, place = deployment_id.partition(":")
    service, _, environment = place.partition(":")
    digits = number[1:]
    if number[:1] not in ("p", "d") or not (digits.isascii() and digits.isdecimal() and len(digits) < 19) or not (service and environment):
        raise NotFound(f"There is no deployment “{one_line(deployment_id, 100)}”.", hint=_HINT_ID)
    return number[0], int(digits), service, environment
