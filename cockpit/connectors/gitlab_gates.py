"""Deployments of GitLab that wait for their approval (GitLab Premium), answered from here."""

from __future__ import annotations

from cockpit.connectors import forge_text
from cockpit.connectors.gitlab_api import GitlabApi
from cockpit.connectors.gitlab_deployed import Names
from cockpit.connectors.gitlab_wire_ci import DeploymentWire, parse_answered, parse_deployment, parse_deployments
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import web_address
from cockpit.domain.errors import NotFound
from cockpit.domain.gates import Gate

MAX_GATES = 100
PEOPLE_OF = 20  # gates whose rules are read: they stand in the single deployment only


class GitlabGates:
    """Gates over blocked deployments. Manual jobs are none: nobody needs to approve them. From any thread."""

    def __init__(self, api: GitlabApi, names: Names) -> None:
        self._api = api
        self._names = names

    def gates(self, service: str) -> tuple[Gate, ...]:
        """The longest waiting first."""
        params = {"status": "blocked", "order_by": "id", "sort": "asc"}
        path = self._api.path(service, "deployments")
        found = self._api.pages(path, parse_deployments, params, MAX_GATES)
        self._api.note(service)
        mine = [wire for wire in found if not forge_text.foreign(wire.ref or "", service, self._names.pattern(service))]
        rules = [self._api.client.read(f"{path}/{wire.id}", parse_deployment) for wire in mine[:PEOPLE_OF]]
        gates = (self._gate(service, wire) for wire in (*rules, *mine[PEOPLE_OF:]) if wire.status == "blocked")
        return tuple(sorted(gates, key=lambda gate: gate.asked_at_us))

    def decide(self, gate: Gate, approve: bool, comment: str) -> None:
        """Approve or reject it, once."""
        if not (gate.id.isascii() and gate.id.isdecimal() and len(gate.id) < 19):
            raise NotFound("There is no such deployment in GitLab.", hint="Look again at what waits.")
        body = {"status": "approved" if approve else "rejected", "comment": comment}
        self._api.client.write(self._api.path(gate.service, "deployments", gate.id, "approval"), body, parse_answered)

    def _gate(self, service: str, wire: DeploymentWire) -> Gate:
        version = self._names.version(wire.ref or "", service)
        where = one_line(wire.environment.name, 200)
        rules = wire.approval_summary.rules if wire.approval_summary is not None else ()
        open_rules = [r for r in rules if len(r.deployment_approvals) < (r.required_approvals or 0)]
        pipeline = wire.deployable.pipeline if wire.deployable is not None else None
        return Gate(
            id=str(wire.id),
            service=service,
            environment=self._names.cockpits(service, where),
            version=version,
            title=f"Deployment of {version} to {where}",
            who=tuple(dict.fromkeys(one_line(r.access_level_description or "", 200) for r in open_rules if r.access_level_description)),
            asked_at_us=forge_text.moment_us(wire.created_at),
            url=web_address((pipeline.web_url if pipeline else "") or ""),
        )
