"""Pipelines that the cockpit starts in GitLab: what they are for, and their key, stand in their variables."""

from __future__ import annotations

from cockpit.connectors.gitlab_api import GitlabApi
from cockpit.connectors.gitlab_wire import parse_commit
from cockpit.connectors.gitlab_wire_ci import PipelineWire, parse_pipeline, parse_pipelines, parse_variables
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, NotFound, Rejected

DEPLOY = "RELEASE_COCKPIT_KEY"
RERUN = "RELEASE_COCKPIT_RERUN"
SEARCHED = 40  # pipelines that were started through the interface and are searched for a key, newest first


HIDDEN = {"": "hidden"}  # no variable has an empty name


class GitlabVariables:
    """Variables of pipelines; they never change, so each is read once. From any thread."""

    def __init__(self, api: GitlabApi) -> None:
        self._api = api

    def of(self, service: str, wire: PipelineWire) -> dict[str, str]:
        """What a pipeline was started with; nothing for those that nobody started through the interface, and for hidden ones."""
        if (wire.source or "api") != "api":
            return {}
        path = self._api.path(service, "pipelines", wire.id, "variables")
        known: dict[str, str] | None = self._api.recall(path)
        if known is None:
            try:
                known = self._api.client.read(path, parse_variables)
            except (NotFound, AuthFailed):
                known = dict(HIDDEN)
            self._api.keep(path, known)
        return known

    def deploys(self, service: str, wire: PipelineWire) -> bool:
        """Whether the cockpit started it to deploy something."""
        return DEPLOY in self.of(service, wire)

    def find(self, service: str, name: str, key: str, *, surely: bool = False) -> PipelineWire | None:
        """The pipeline that was started with this key. `surely`: AuthFailed where some may not be looked into: it may be one of those."""
        hidden = 0
        path, params = self._api.path(service, "pipelines"), {"source": "api", "order_by": "id", "sort": "desc"}
        for wire in self._api.pages(path, parse_pipelines, params, SEARCHED, SEARCHED):
            variables = self.of(service, wire)
            if variables.get(name) == key:
                return wire
            hidden += variables == HIDDEN
        if hidden and surely:
            words = f"{hidden} pipelines are hidden from this account with their variables: whether one of them has the key is not known."
            raise AuthFailed(words, hint="Use the account that started it, or one with the role Maintainer.")
        return None

    def start(self, service: str, ref: str, commit: str, variables: dict[str, str]) -> PipelineWire:
        """Start a pipeline, once. Rejected where the ref is gone or leads to another commit than asked for."""
        try:
            now = self._api.client.read(self._api.path(service, "repository", "commits", ref), parse_commit).id
        except NotFound:
            now = ""
        if now != commit:
            where = f"leads to {now[:12]} now" if now else "is gone"
            words = f"“{one_line(ref, 100)}” {where}, not to {commit[:12]}."
            raise Rejected(words, hint="Nothing was started. Choose a version whose tag is there.")
        body = {"ref": ref, "variables": [{"key": name, "value": value} for name, value in variables.items()]}
        started = self._api.client.write(self._api.path(service, "pipeline"), body, parse_pipeline)
        self._api.keep(self._api.path(service, "pipelines", started.id, "variables"), variables)
        return started
