"""GitLab (REST interface v4): tags and commits, merge requests, pipelines, deployments and their approvals."""

from __future__ import annotations

from cockpit.connectors.gitlab_api import GitlabApi
from cockpit.connectors.gitlab_ci import GitlabCi
from cockpit.connectors.gitlab_deploy import GitlabDeploy
from cockpit.connectors.gitlab_deployed import Names
from cockpit.connectors.gitlab_gates import GitlabGates
from cockpit.connectors.gitlab_reviews import GitlabReviews
from cockpit.connectors.gitlab_source import GitlabSource
from cockpit.connectors.gitlab_variables import GitlabVariables
from cockpit.connectors.gitlab_wire import parse_scopes, parse_user, parse_version
from cockpit.connectors.http import HttpClient
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line
from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckRun
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, Rejected
from cockpit.domain.gates import Gate
from cockpit.domain.release import Artifact, Changes, Deployment, Fleet, Service, Version


class Options(Names, frozen=True):
    """How things are named in GitLab: `project` as in group/{service}; `email` such as {username}@example.org, "" = as people show it."""

    project: str = "{service}"
    email: str = ""


class Gitlab:
    """SourceControl, Reviews, CiSystem, DeploymentApi and Gates over GitLab. From any thread. ConnectorErrors only."""

    def __init__(self, client: HttpClient, options: Options) -> None:
        self._client = client
        api = GitlabApi(client, options.project)
        variables = GitlabVariables(api)
        self._source = GitlabSource(api, options.tag_pattern)
        self._reviews = GitlabReviews(api, options.email)
        self._ci = GitlabCi(api, variables, options.tag_pattern)
        self._deploy = GitlabDeploy(api, self._source, variables, options)
        self._gates = GitlabGates(api, options)

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def probe(self) -> Probe:
        """GitLab's version, the account, and whether the token may write."""
        version = self._client.read("/api/v4/version", parse_version)
        user = self._client.read("/api/v4/user", parse_user)
        try:
            scopes = self._client.read("/api/v4/personal_access_tokens/self", parse_scopes)
        except (AuthFailed, NotFound, Rejected, BadPayload):  # other tokens, and GitLab before 15.5: what it may is not told
            scopes = ("api",)
        missing = () if "api" in scopes else ("start and cancel pipelines, answer approvals (the token lacks the scope api)",)
        return Probe(reached=f"GitLab {version}", identity=one_line(user.username, 200), missing=missing)

    # SourceControl

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions, newest first."""
        return self._source.versions(service)

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes:
        """The commits from base to head, and those that leave."""
        return self._source.changes(service, base, head, limit)

    def fingerprint(self) -> str:
        """Changes whenever a tag does."""
        return self._source.fingerprint()

    # Reviews

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        """Approvals of the versions' merge requests."""
        return self._reviews.reviews(service, versions)

    # CiSystem

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """Pipelines, the newest first."""
        return self._ci.runs(service, limit)

    def run(self, run_id: str) -> CheckRun:
        """One pipeline with all tests."""
        return self._ci.run(run_id)

    def log(self, run_id: str, suite: str) -> str:
        """The end of a job's log."""
        return self._ci.log(run_id, suite)

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """Retry what failed, or start the same pipeline anew; see GitlabCi.rerun for what the key is worth."""
        return self._ci.rerun(run_id, key)

    def stop(self, run_id: str) -> CheckRun:
        """Cancel a pipeline."""
        return self._ci.stop(run_id)

    # DeploymentApi

    def fleet(self, service: str, environment: str) -> Fleet:
        """The environment as one node."""
        return self._deploy.fleet(service, environment)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """The tags."""
        return self._deploy.artifacts(service)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Deployments, newest first."""
        return self._deploy.history(service, environment, limit)

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a pipeline on the version's tag."""
        return self._deploy.deploy(request, key)

    def find(self, key: str) -> Deployment | None:
        """The deployment of this key."""
        return self._deploy.find(key)

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment."""
        return self._deploy.deployment(deployment_id)

    def abort(self, deployment_id: str) -> Deployment:
        """Cancel it."""
        return self._deploy.abort(deployment_id)

    # Gates

    def gates(self, service: str) -> tuple[Gate, ...]:
        """Deployments that wait for approval."""
        return self._gates.gates(service)

    def decide(self, gate: Gate, approve: bool, comment: str, key: str) -> None:
        """Approve or reject one; GitLab keeps no key, but takes one answer of each person only."""
        self._gates.decide(gate, approve, comment)
