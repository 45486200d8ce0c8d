"""Deployments as GitHub records them: what runs where by that record, what was deployed before, and starting the next one."""

from __future__ import annotations

from contextlib import nullcontext

from cockpit.connectors.after import a_change
from cockpit.connectors.github_api import PER_PAGE, Api, Budget, cancel_run, numbered, parse_nothing, refused
from cockpit.connectors.github_dispatch import Dispatch
from cockpit.connectors.github_record import HISTORY_FIRST, HISTORY_PER_HOUR, SETTLED_S, SHARED_S, Known, Record
from cockpit.connectors.github_source import Source
from cockpit.connectors.github_wire import at_us, parse_commit
from cockpit.connectors.github_wire_run import (
    DeploymentWire,
    Standing,
    parse_deployment,
    parse_deployments,
    parse_status,
    parse_statuses,
    standing,
)
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.text import one_line, plain
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.release import Artifact, Deployment, DeployState, Fleet, Node, NodeStep, parse_tag

FIND_PAGES = 3
MAX_DESCRIPTION = 140  # GitHub's own limit
DIGEST = "git:"
STEPS = {
    DeployState.QUEUED: "pending",
    DeployState.RUNNING: "starting",
    DeployState.SUCCEEDED: "done",
    DeployState.FAILED: "failed",
    DeployState.ABORTED: "failed",
}


class Deployments:
    """DeploymentApi's part of GitHub. GitHub knows no nodes: an environment counts as one, which runs what last went well.

    It knows no artifacts either: the digest is `git:` and the commit. What a deployment is for stands in its payload, its key too.
    """

    def __init__(self, api: Api, source: Source, history: tuple[float, float] = (HISTORY_FIRST, HISTORY_PER_HOUR)) -> None:
        self._api = api
        self._source = source
        self._dispatch = Dispatch(api) if api.names.workflow_dispatch else None
        self._record = Record(api, Budget(*history, api.monotonic))

    # reads

    def fleet(self, service: str, environment: str) -> Fleet:
        """What GitHub's record says runs there; after one that failed nobody knows."""
        known = self._record.known(service, environment, PER_PAGE, "fleet")
        if not known:
            self._exists(service, environment)
        went_well = [pair for pair in known if pair[1].state is DeployState.SUCCEEDED]
        good = max(went_well, key=lambda pair: (pair[1].final_at_us, pair[0].id), default=None)
        newest = known[0] if known else None
        later = known[: known.index(good)] if good else known
        sure = all(stands.state not in (DeployState.FAILED, DeployState.ABORTED) for _, stands in later)
        wire = good[0] if good else None
        node = Node(
            name=environment,
            service=service,
            environment=environment,
            version=self._version(service, wire) if wire else "",
            commit=wire.sha if wire else "",
            digest=DIGEST + wire.sha if wire else "",
            healthy=True if wire and sure else None,
        )
        active = self._deployment(service, environment, newest) if newest and newest[1].state in _UNDER_WAY else None
        if self._dispatch is not None and active is None:
            active = next((d for d in self._dispatch.listed(service, environment) if not d.state.final), None)
        return Fleet(service, environment, (node,), active)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """Every version, by its tag."""
        return tuple(Artifact(service, v.name, v.commit, DIGEST + v.commit, v.released_at_us) for v in self._source.known(service))

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Newest first, as far back as the statuses were read by now."""
        limit = max(1, limit)
        known = self._record.known(service, environment, limit, "history")
        found = [self._deployment(service, environment, pair, known[number + 1 :]) for number, pair in enumerate(known)]
        if self._dispatch is not None:
            there = {deployment.id for deployment in found}
            waiting = [d for d in self._dispatch.listed(service, environment) if not d.state.final and d.id not in there]
            found = sorted(waiting + found, key=lambda d: -d.started_at_us)
        return tuple(found[:limit])

    def find(self, key: str) -> Deployment | None:
        """By the payload; in each repository that was asked for so far, as far back as a key can be young."""
        for place in self._api.repositories:
            found = self._of_key(place, key)
            if found is not None:
                return found
        return self._dispatch.find(key) if self._dispatch is not None else None

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment as it stands now."""
        service, number = numbered(deployment_id)
        if self._dispatch is not None and service.endswith("/run"):
            return self._dispatch.deployment(service.removesuffix("/run"), number)
        wire = self._api.read(self._api.path(service, "deployments", number), parse_deployment)
        environment = self._api.names.environment_of(service, wire.environment)
        return self._deployment(service, environment or one_line(wire.environment, 200), (wire, self._record.standing(service, wire)))

    def _exists(self, service: str, environment: str) -> None:
        """NotFound for an environment that GitHub does not know."""
        address = self._api.path(service, "environments", self._api.names.place(service, environment))
        self._api.read(address, parse_nothing, within_s=SETTLED_S)

    def _version(self, service: str, wire: DeploymentWire) -> str:
        """Its name: as it was asked for, by its tag, by another tag of the commit, by a tag that is gone, else the commit."""
        told = one_line(wire.said("version"), 200)
        if told:
            return told
        names = [v.name for v in self._source.known(service) if v.commit == wire.sha and wire.ref in (v.tag, wire.sha)]
        names += [v.name for v in self._source.known(service) if v.commit == wire.sha]
        parsed = parse_tag(wire.ref, self._api.names.tag_of(service)) if wire.ref != wire.sha else None
        return next(iter(names), parsed.name if parsed is not None else wire.sha[:12])

    def _deployment(self, service: str, environment: str, pair: Known, older: list[Known] | None = None) -> Deployment:
        wire, stands = pair
        digest = DIGEST + wire.sha
        before = next((w for w, s in older or () if s.state is DeployState.SUCCEEDED), None)
        found = Deployment(
            id=f"{service}/{wire.id}",
            key=one_line(wire.said("key"), 200),
            service=service,
            environment=environment,
            version=self._version(service, wire),
            digest=digest,
            kind="rollback" if wire.said("kind") == "rollback" else "deploy",
            state=stands.state,
            requested_by=one_line(wire.said("requested_by") or (wire.creator.login if wire.creator else ""), 200),
            reason=wire.said("reason") or plain(wire.description or "", 1000),
            from_version=one_line(wire.said("from_version"), 200) or (self._version(service, before) if before else ""),
            from_digest=one_line(wire.said("from_digest"), 200) or (DIGEST + before.sha if before else ""),
            started_at_us=at_us(wire.created_at),
            finished_at_us=max(stands.final_at_us, at_us(wire.created_at)) if stands.state.final else 0,
            steps=(NodeStep(environment, STEPS[stands.state], digest, stands.message),),
            message=stands.message,
        )
        return self._dispatch.joined(found, stands.run) if self._dispatch is not None else found

    # writes

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Record a deployment, which whatever deploys listens to, or start the workflow that does. Sent once."""
        if set(request.nodes) - {request.environment}:
            raise NotFound("GitHub knows no nodes.", hint="Deploy to all of them, without a strategy by node.", title="Not offered")
        known = self._begun(request, key)
        if known is not None:
            return known
        fleet = self.fleet(request.service, request.environment)
        ref = self._ref(request)
        if self._dispatch is not None:
            return self._dispatch.start(request, key, ref)
        live = fleet.live
        payload = {
            "key": key,
            "kind": request.kind,
            "service": request.service,
            "version": request.version,
            "reason": request.reason,
            "requested_by": request.requested_by,
            "from_version": live.version if live else "",
            "from_digest": live.digest if live else "",
        }
        body = {
            "ref": ref,
            "task": "deploy",
            "auto_merge": False,
            "required_contexts": [],  # whether it may ship was decided here
            "payload": payload,
            "environment": self._api.names.place(request.service, request.environment),
            "description": one_line(f"{request.kind} of {request.version}: {request.reason}".rstrip(": "), MAX_DESCRIPTION),
        }
        wire = self._api.write(self._api.path(request.service, "deployments"), body, parse_deployment)
        return self._deployment(request.service, request.environment, (wire, Standing(DeployState.QUEUED)))

    def _begun(self, request: DeployRequest, key: str) -> Deployment | None:
        """What the key started already; Rejected where that was another thing."""
        known = self._of_key(self._api.path(request.service), key)
        if known is None and self._dispatch is not None:
            known = self._dispatch.find(key)
        if known is None:
            return None
        wanted = (request.service, request.environment, request.digest, request.kind)
        if (known.service, known.environment, known.digest, known.kind) != wanted:
            raise refused("That key started another deployment already.", "Begin again; a new key is made then.")
        return known

    def _of_key(self, place: str, key: str) -> Deployment | None:
        def seen(deployments: tuple[DeploymentWire, ...]) -> bool:
            return len(deployments) >= FIND_PAGES * PER_PAGE or any(wire.said("key") == key for wire in deployments)

        for wire in self._api.pages(f"{place}/deployments", parse_deployments, enough=seen):
            service = wire.said("service")
            if key and wire.said("key") == key and service and self._api.path(service) == place:
                environment = self._api.names.environment_of(service, wire.environment) or one_line(wire.environment, 200)
                return self._deployment(service, environment, (wire, self._record.standing(service, wire)))
        return None

    def _ref(self, request: DeployRequest) -> str:
        """The version's tag where it leads to that commit; without such a tag the commit. Rejected for what GitHub does not have."""
        commit = request.digest.removeprefix(DIGEST)
        for version in self._source.known(request.service, 0.0):
            if version.name == request.version and version.commit == commit:
                return version.tag
        try:
            if request.digest == DIGEST + commit and commit:
                return self._api.read(self._api.path(request.service, "commits", commit), parse_commit).commit.id
        except (NotFound, Rejected):
            pass
        words = f"GitHub has no commit “{one_line(request.digest, 100)}” of {one_line(request.version, 100)}."
        raise refused(words, "Its tag may have been moved or deleted; look at the versions again.")

    def abort(self, deployment_id: str) -> Deployment:
        """Cancel the run behind it, where GitHub knows one, and mark it inactive; what has ended stays as it is."""
        found = self.deployment(deployment_id)
        if found.state.final:
            return found
        service, number = numbered(deployment_id)
        if self._dispatch is not None and service.endswith("/run"):
            cancel_run(self._api, service.removesuffix("/run"), number)
            with a_change(self._api.client.name):
                return self._dispatch.deployment(service.removesuffix("/run"), number)
        address = self._api.path(service, "deployments", number, "statuses")
        run = standing(self._api.pages(address, parse_statuses, within_s=SHARED_S)).run
        if run:
            cancel_run(self._api, service, str(run))
        said = {"state": "inactive", "description": "Aborted from Release Cockpit"}
        with a_change(self._api.client.name) if run else nullcontext():  # the run is cancelled already
            self._api.write(address, said, parse_status)
        with a_change(self._api.client.name):
            return self.deployment(deployment_id)


_UNDER_WAY = (DeployState.QUEUED, DeployState.RUNNING)
