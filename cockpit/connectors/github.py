"""GitHub: versions, pull requests and reviews, Actions, deployments, and environments that wait for a reviewer; github.com or one's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cockpit.connectors.github_api import HEADERS, Api, Names, parse_nothing
from cockpit.connectors.github_ci import SHARED_S, Actions
from cockpit.connectors.github_deploy import Deployments
from cockpit.connectors.github_gates import PendingGates
from cockpit.connectors.github_record import HISTORY_FIRST, HISTORY_PER_HOUR
from cockpit.connectors.github_reviews import PullReviews
from cockpit.connectors.github_source import Source
from cockpit.connectors.github_wire import parse_account, parse_repository
from cockpit.connectors.github_wire_run import RunWire
from cockpit.connectors.http import HttpClient, Limits, Pace, segments
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.text import one_line
from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckRun
from cockpit.domain.errors import AuthFailed, NotFound
from cockpit.domain.gates import Gate
from cockpit.domain.release import Artifact, Changes, Deployment, Fleet, Service, Version

DEFAULT_URL = "https://api.github.com"
GAP_S = 0.1  # GitHub lets nobody spend more than 900 points a minute: 600 for what is polled, the rest for what a person does beside it
ANONYMOUS = "60"  # questions an hour for whoever has no token
WANTED_SCOPES = ("repo",)


class Github:
    """SourceControl, Reviews, CiSystem, DeploymentApi and Gates. Blocks; from any thread, several at once; ConnectorErrors only.

    `history`: statuses of older deployments that are read at once, and per hour from then on.
    """

    def __init__(
        self,
        url: str,
        names: Names,
        token: Callable[[], str],
        *,
        ca_file: str = "",
        limits: Limits | None = None,
        pace: Pace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        history: tuple[float, float] = (HISTORY_FIRST, HISTORY_PER_HOUR),
    ) -> None:
        limits, pace = limits or Limits(min_gap_s=GAP_S), pace or Pace()

        def elsewhere(address: str) -> HttpClient:
            return HttpClient(address, name="GitHub's store of logs", ca_file=ca_file, limits=limits, pace=pace)

        self._client = HttpClient(url, name="GitHub", token=token, ca_file=ca_file, limits=limits, pace=pace, headers=HEADERS)
        self._url = url
        self._api = Api(self._client, names, url, monotonic)
        self._source = Source(self._api)
        self._reviews = PullReviews(self._api, self._source)
        self._actions = Actions(self._api, self._source, elsewhere)
        self._deployments = Deployments(self._api, self._source, history)
        self._gates = PendingGates(self._api, self._listed, self._version)

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    # SourceControl

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions by their tags, newest first."""
        return self._source.versions(service)

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes:
        """Commits between two tags or commits."""
        return self._source.changes(service, base, head, limit)

    def fingerprint(self) -> str:
        """Changes whenever a tag of the services asked for so far changed. Blocks: GitHub is asked, with a condition."""
        return self._source.fingerprint()

    # Reviews

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        """Each person's last word in the pull requests that made these versions' commits."""
        return self._reviews.reviews(service, versions)

    # CiSystem

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest runs first."""
        return self._actions.runs(service, limit)

    def run(self, run_id: str) -> CheckRun:
        """One run with all steps of its jobs."""
        return self._actions.run(run_id)

    def log(self, run_id: str, suite: str) -> str:
        """The end of a job's log, untrusted text."""
        return self._actions.log(run_id, suite)

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """The next attempt of that run; asked twice there is one."""
        return self._actions.rerun(run_id, key)

    def stop(self, run_id: str) -> CheckRun:
        """The run, cancelled; sent once."""
        return self._actions.stop(run_id)

    # DeploymentApi

    def fleet(self, service: str, environment: str) -> Fleet:
        """What runs there by GitHub's record, as one node."""
        return self._deployments.fleet(service, environment)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """The versions, each with its commit as digest."""
        return self._deployments.artifacts(service)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Past and current deployments, newest first."""
        return self._deployments.history(service, environment, limit)

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a deployment; sent once."""
        return self._deployments.deploy(request, key)

    def find(self, key: str) -> Deployment | None:
        """The deployment that `key` started, in the repositories of services asked for so far."""
        return self._deployments.find(key)

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment as it stands now."""
        return self._deployments.deployment(deployment_id)

    def abort(self, deployment_id: str) -> Deployment:
        """Cancel it; sent once."""
        return self._deployments.abort(deployment_id)

    # Gates

    def gates(self, service: str) -> tuple[Gate, ...]:
        """Runs that wait for an environment's reviewers."""
        return self._gates.gates(service)

    def decide(self, gate: Gate, approve: bool, comment: str, key: str) -> None:
        """Approve or reject what waits; sent once."""
        self._gates.decide(gate, approve, comment, key)

    def _listed(self, service: str) -> tuple[RunWire, ...]:
        return self._actions.listed(service, 100, SHARED_S, f"gates:{service}")

    def _version(self, service: str, wire: RunWire) -> str:
        return next((v.name for v in self._source.known(service) if v.commit == wire.head_sha), "")

    # all of them

    def probe(self) -> Probe:
        """Which GitHub, as whom, and which rights are missing as far as it tells."""
        missing: list[str] = []
        where = urlsplit(self._url).netloc
        try:
            answer = self._client.get_answer("/user")
        except AuthFailed:
            # tokens of apps have no user; a token that is wrong is refused here too
            answer = self._client.get_answer("/rate_limit")
        if answer.headers.get("x-ratelimit-limit") == ANONYMOUS:
            missing.append("a token: without one GitHub answers 60 questions an hour, of public repositories alone")
        parse_nothing(answer.body)
        scopes = answer.headers.get("x-oauth-scopes")
        if scopes:
            given = {scope.strip() for scope in scopes.split(",")}
            missing += [f"the scope {scope}" for scope in WANTED_SCOPES if scope not in given]
        identity = parse_account(answer.body).login
        missing += self._repository_rights()
        version = answer.headers.get("x-github-enterprise-version", "")
        return Probe(one_line(f"GitHub {version} at {where}".replace("  ", " "), 200), one_line(identity, 100), tuple(missing))

    def _repository_rights(self) -> list[str]:
        name = self._api.names.repository
        if "{service}" in name:
            return []
        try:
            found = self._api.read(segments("repos", *name.split("/")), parse_repository)
        except NotFound:
            return [f"the repository {name}, which does not exist or may not be seen"]
        writes = found.permissions is None or found.permissions.push
        return [] if writes else [f"the right to write to {name}: deployments, runs and approvals need it"]
