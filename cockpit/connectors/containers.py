"""Containers on hosts with a Docker or Podman engine, replaced host by host with an image of another digest.

A deployment is the new containers: made on every host before anything changes, each with the whole record as a label. The turn is given to
one host after the other by whoever looks at the deployment or at the fleet, so another cockpit carries on where one ended. The old
container is kept until the new one is healthy, and started again where it is not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock

from cockpit.connectors.after import a_change
from cockpit.connectors.engine_hosts import Hosts, pieces
from cockpit.connectors.engine_moves import move, put_aside, withdrawn
from cockpit.connectors.engine_state import AT_WORK, WAITING, View, labels_of, node_of, parts_of, record_in
from cockpit.connectors.engine_wire import Image
from cockpit.connectors.many import ask
from cockpit.connectors.oci_registry import OciRegistry
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.rolling import Part, Record, combine, forsaken, next_node
from cockpit.connectors.text import one_line
from cockpit.domain.errors import ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Artifact, Deployment, Fleet, version_key

MAX_TAGS = 50


class Containers:
    """DeploymentApi over several engines. Blocks; from any thread; ConnectorErrors only.

    With a registry, what it has can be deployed, and hosts fetch it; without one, what lies on every host.
    """

    def __init__(self, hosts: Hosts, registry: OciRegistry | None = None) -> None:
        setup = hosts.setup
        if "{service}" not in setup.container or not 1 <= setup.check_s <= 3600 or not 0 <= setup.stop_s <= 600:
            words = "container: must hold {service}; check_s: 1 to 3600 seconds; stop_s: 0 to 600 seconds."
            raise ConfigError(words, hint="Correct it in the settings.")
        self._hosts, self._setup, self._registry = hosts, setup, registry
        self._locks = {environment: Lock() for environment in hosts.engines}

    def close(self) -> None:
        """Close kept connections."""
        self._hosts.close()
        if self._registry is not None:
            self._registry.close()

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every node with the image it runs; carries a deployment under way on."""
        with self._lock(environment):
            views, silent = self._hosts.look(service, environment)
            active = None
            for parts in pieces(views, silent, service, environment).values():
                deployment = self._carry_on(views, parts, silent)
                if not deployment.state.final:
                    active = active or deployment
        nodes = {
            name: node_of(view, name, service, environment, self._hosts.url(name, service, environment)) for name, view in views.items()
        }
        for name in silent:
            nodes[name] = node_of(View("", {}, {}, 0), name, service, environment, self._hosts.url(name, service, environment))
        return Fleet(service, environment, tuple(nodes[name] for name in self._hosts.of(environment) if name in nodes), active)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What the registry has; without one, the images that lie on every host of an environment that answers."""
        repository = self._setup.repository_of(service)
        if self._registry is not None:
            return self._of_registry(self._registry, service, repository)
        found: dict[str, Artifact] = {}
        errors: list[ConnectorError] = []
        for engines in self._hosts.engines.values():
            answers = ask(engines, lambda engine: engine.images(repository, self._setup.by_id))
            views = [{image.digest: image for image in a} for a in answers.values() if not isinstance(a, ConnectorError)]
            errors += [a for a in answers.values() if isinstance(a, ConnectorError)] if not views else []
            for digest in set.intersection(*(set(view) for view in views)) if views else ():
                image = views[0][digest]
                found.setdefault(digest, Artifact(service, image.version, image.commit, digest, image.created_at_us))
        if errors and not found:
            raise errors[0]
        return tuple(sorted(found.values(), key=lambda a: (a.built_at_us, version_key(a.version)), reverse=True))

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """What the containers of the past tell, newest first; the engine keeps the last ten of each host."""
        views, silent = self._hosts.look(service, environment)
        found = [combine(parts, silent) for parts in pieces(views, silent, service, environment).values()]
        return tuple(sorted(found, key=lambda d: d.started_at_us, reverse=True))[:limit]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Make the new containers on all nodes, then replace the first. Nothing is begun where a node to change is silent."""
        known, unsure = self._search(key)
        for (environment, name), error in unsure.items() if known is None else ():
            if environment == request.environment and (name in request.nodes or not request.nodes):
                raise error  # the record lies on the nodes to change; a host that is away elsewhere must not stop a rollback here
        if known is not None:
            if (known.service, known.environment, known.digest) != (request.service, request.environment, request.digest):
                raise Rejected("This key belongs to another deployment.", hint="Start it again as a new one.", status=422)
            return known
        fleet = self.fleet(request.service, request.environment)
        with self._lock(request.environment):
            views, silent = self._hosts.look(request.service, request.environment)
            record = self._record(request, key, fleet, views, silent)
            images = self._images(record, views)
            self._begin(record, views, images)
            with a_change("Every host"):
                views, silent = self._hosts.look(request.service, request.environment)
            parts = pieces(views, silent, request.service, request.environment).get(key)
            if not parts:
                hint = "It is asked by the key what became of it."
                raise OutcomeUnknown(f"It was begun, and no host shows it now: {'; '.join(silent.values())[:300]}", hint=hint)
            return self._carry_on(views, parts, silent)

    def find(self, key: str) -> Deployment | None:
        """The deployment with this key; Unreachable where no host knows it and one did not answer."""
        found, unsure = self._search(key)
        if found is None and unsure:
            raise list(unsure.values())[-1]
        return found

    def _search(self, key: str) -> tuple[Deployment | None, dict[tuple[str, str], ConnectorError]]:
        """The deployment with this key; where there is none, which nodes could not say, by environment and name."""
        unsure: dict[tuple[str, str], ConnectorError] = {}
        for environment, engines in self._hosts.engines.items():
            answers = ask(engines, lambda engine: engine.containers())
            for name, answer in answers.items():
                if isinstance(answer, ConnectorError):
                    unsure[environment, name] = answer
                    continue
                records = [record_in(container.labels) for container in answer]
                found = next((r for r in records if r is not None and r.key == key and r.environment == environment), None)
                if found is not None:
                    views, unseen = self._hosts.look(found.service, environment)
                    parts = pieces(views, unseen, found.service, environment).get(key)
                    if parts:
                        return combine(parts, unseen), {}
        return None, unsure

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, node by node; goes one move further where it is time."""
        found = self.find(deployment_id)
        if found is None:
            raise NotFound("No host knows this deployment.", hint="Its containers may have been removed.")
        return found if found.state.final else self._again(found, abort=False)

    def abort(self, deployment_id: str) -> Deployment:
        """Replace no further container; the one at work is finished, or taken back."""
        found = self.deployment(deployment_id)
        return found if found.state.final else self._again(found, abort=True)

    def probe(self) -> Probe:
        """Which engines answer."""
        every = {
            f"{environment}/{name}": engine for environment, engines in self._hosts.engines.items() for name, engine in engines.items()
        }
        answers = ask(every, lambda engine: engine.version())
        versions = Counter(a for a in answers.values() if isinstance(a, str))
        if not versions:
            raise next(a for a in answers.values() if isinstance(a, ConnectorError))
        missing = [f"no answer from {n}: {one_line(a.message, 100)}" for n, a in answers.items() if isinstance(a, ConnectorError)]
        shown = ", ".join(versions)
        return Probe(f"{versions.total()} of {len(answers)} hosts ({shown})", missing=tuple(missing))

    # carrying on

    def _again(self, found: Deployment, abort: bool) -> Deployment:
        with self._lock(found.environment):
            views, silent = self._hosts.look(found.service, found.environment)
            parts = pieces(views, silent, found.service, found.environment).get(found.key)
            if not parts:
                return found
            if abort:
                self._put_aside(views, next(iter(parts.values())).record)
                views, silent = self._hosts.look(found.service, found.environment)
                parts = pieces(views, silent, found.service, found.environment)[found.key]
            return self._carry_on(views, parts, silent)

    def _carry_on(self, views: Mapping[str, View], parts: dict[str, Part], silent: Mapping[str, str]) -> Deployment:
        """One move towards the end. A host that does not take it is asked again the next time somebody looks."""
        record = next(iter(parts.values())).record
        now = combine(parts, silent)
        if now.state.final or forsaken(parts) or any(part.aborted for part in parts.values()):
            self._put_aside(views, record)
        turn = next((name for name, part in parts.items() if part.under_way), "") or next_node(parts)
        if now.state.final or not turn:
            return now
        engine, view = self._hosts.of(record.environment)[turn], views[turn]
        with suppress(ConnectorError):
            move(engine, view, record, self._setup)
        with suppress(ConnectorError):
            fresh = self._hosts.view(record.service, record.environment, turn)
            piece = parts_of(fresh, record.service, record.environment).get(record.key)
            parts = parts | ({} if piece is None else {turn: piece})
        return combine(parts, silent)

    def _put_aside(self, views: Mapping[str, View], record: Record) -> None:
        for name, view in views.items():
            put_aside(self._hosts.of(record.environment)[name], view, record)

    # beginning

    def _record(self, request: DeployRequest, key: str, fleet: Fleet, views: Mapping[str, View], silent: Mapping[str, str]) -> Record:
        present = {node.name: node for node in fleet.nodes}
        unknown = [name for name in request.nodes if name not in present]
        if unknown:
            words = f"{request.service} does not run on {', '.join(unknown)} in {request.environment}."
            raise Rejected(words, hint="Check the names of the nodes.", status=422)
        wanted = tuple(name for name in present if name in request.nodes or not request.nodes)
        mute = [name for name in wanted if name in silent]
        if mute:
            raise Unreachable(f"Nothing was begun: {silent[mute[0]]}", hint="Bring it back, or deploy to the other nodes by name.")
        for name, view in views.items():
            busy = view.containers.get(AT_WORK) or view.containers.get(WAITING)
            if busy is not None:
                other = record_in(busy.labels)
                what = f"a deployment of {other.service} to {other.version}" if other else f"the container “{busy.name}”"
                raise Rejected(f"On {name}, {what} is under way.", hint="Wait for its end, or abort it.", status=409)
        before = Counter((present[name].version, present[name].digest) for name in wanted if present[name].digest).most_common(1)
        return Record(
            key=key,
            service=request.service,
            environment=request.environment,
            version=request.version,
            digest=request.digest,
            kind=request.kind,
            nodes=wanted,
            begun_at_us=time.time_ns() // 1000,
            requested_by=request.requested_by,
            reason=request.reason,
            from_version=before[0][0][0] if before else "",
            from_digest=before[0][0][1] if before else "",
        )

    def _images(self, record: Record, views: Mapping[str, View]) -> dict[str, Image]:
        """The image on each node, fetched where it is not there yet."""
        repository = self._setup.repository_of(record.service)
        found = {}
        for name in record.nodes:
            have = {image.digest: image for image in views[name].images.values()}
            if record.digest not in have and self._registry is not None:
                engine = self._hosts.of(record.environment)[name]
                with suppress(OutcomeUnknown):  # what counts is whether it is there now
                    engine.pull(repository, record.digest)
                have = {image.digest: image for image in engine.images(repository, self._setup.by_id)}
            if record.digest not in have:
                words = f"The image {record.version} ({record.digest[:19]}) is not on {name}."
                raise Rejected(words, hint="Bring it onto every host first, or set `registry`.", status=422)
            found[name] = have[record.digest]
        return found

    def _begin(self, record: Record, views: Mapping[str, View], images: Mapping[str, Image]) -> None:
        """The new containers, in one order for all: who gets the first goes on, the other is refused."""
        engines, made = self._hosts.of(record.environment), dict[str, str]()
        repository = self._setup.repository_of(record.service)
        for name in record.nodes:
            old = views[name].before(record)
            if old is None:
                error: ConnectorError = Rejected(f"“{views[name].name}” is not on {name}.", hint="Run it there once.", status=422)
                raise withdrawn(engines, made, error)
            try:
                made[name] = engines[name].create(old, images[name], repository, record, labels_of(record))
            except OutcomeUnknown:
                raise
            except ConnectorError as error:
                raise withdrawn(engines, made, error) from None

    @staticmethod
    def _of_registry(registry: OciRegistry, service: str, repository: str) -> tuple[Artifact, ...]:
        # the registry knows its repositories without its own name before them
        host, _, rest = repository.partition("/")
        path = rest if rest and ("." in host or ":" in host or host == "localhost") else repository
        tags = sorted((tag for tag in registry.tags(path) if tag != "latest"), key=version_key, reverse=True)[:MAX_TAGS]
        found = [(tag, registry.image(path, tag)) for tag in tags]
        return tuple(Artifact(service, tag, image.commit, image.digest, image.built_at_us) for tag, image in found)

    def _lock(self, environment: str) -> Lock:
        """Two threads that move the same containers would undo each other's moves."""
        self._hosts.of(environment)
        return self._locks[environment]
