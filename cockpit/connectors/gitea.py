"""Gitea and Forgejo (interface v1): tags and commits, pull requests' reviews, Actions."""

from __future__ import annotations

from msgspec import Struct

from cockpit.connectors.gitea_api import GiteaApi
from cockpit.connectors.gitea_ci import GiteaCi
from cockpit.connectors.gitea_source import GiteaSource
from cockpit.connectors.gitea_wire import parse_user, parse_version
from cockpit.connectors.http import HttpClient
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckRun
from cockpit.domain.errors import AuthFailed
from cockpit.domain.release import Changes, Service, Version


class Options(Struct, frozen=True):
    """How things are named there: `repository` as in owner/{service}; `workflow` is the file of the workflow that tests, such as ci.yml."""

    repository: str = "{service}"
    tag_pattern: str = ""
    workflow: str = ""
    email: str = ""


class Gitea:
    """SourceControl, Reviews and CiSystem over Gitea or Forgejo. From any thread. ConnectorErrors only."""

    def __init__(self, client: HttpClient, options: Options) -> None:
        self._client = client
        api = GiteaApi(client, options.repository)
        self._source = GiteaSource(api, options.tag_pattern, options.email)
        self._ci = GiteaCi(api, options.workflow, options.tag_pattern)

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def probe(self) -> Probe:
        """Which of the two, its version, and the account."""
        version = self._client.read("/api/v1/version", parse_version)
        name = "Forgejo" if "+gitea" in version or "forgejo" in version.lower() else "Gitea"
        try:
            user = self._client.read("/api/v1/user", parse_user)
        except AuthFailed:
            # a token of few rights reads repositories and not its owner
            return Probe(reached=f"{name} {version}", missing=("read the account itself (read:user)",))
        return Probe(reached=f"{name} {version}", identity=one_line(user.login, 200))

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
        """Reviews of the versions' pull requests."""
        return self._source.reviews(service, versions)

    # CiSystem

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """Runs of the workflow, the newest first."""
        return self._ci.runs(service, limit)

    def run(self, run_id: str) -> CheckRun:
        """One run."""
        return self._ci.run(run_id)

    def log(self, run_id: str, suite: str) -> str:
        """The end of a job's log."""
        return self._ci.log(run_id, suite)

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """The run's next attempt, begun once; the attempt in the run's id does what a key does elsewhere."""
        return self._ci.rerun(run_id)

    def stop(self, run_id: str) -> CheckRun:
        """Cancel a run."""
        return self._ci.stop(run_id)
