"""Bare-metal hosts run by supervisord, released node by node with a symlink switch.

On each host runs resources/supervisor: it alone knows paths and processes, and carries its own step out, whatever becomes of the cockpit.
The record of a deployment is written to every host before anything changes; the turn is given to one node after the other by whoever looks
at the deployment or at the fleet, so another cockpit carries on where one ended. What nobody looked at for 15 minutes is not carried on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.http_answers import checked_address
from cockpit.connectors.many import ask, silent_of
from cockpit.connectors.places import parse_places
from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.connectors.rolling import Part, Record, combine, forsaken, next_node
from cockpit.connectors.supervisor_host import BUSY, Host, by_key
from cockpit.connectors.supervisor_wire import Status
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import web_address
from cockpit.domain.errors import ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import Artifact, Deployment, Fleet, Node, version_key

LIMITS = Limits(connect_timeout_s=2.0, read_timeout_s=4.0, deadline_s=5.0, body_bytes=4 * 1024 * 1024, retries=0)
MAX_LIMIT = 100


class Supervisor:
    """DeploymentApi over several supervisords. Blocks; from any thread; ConnectorErrors only.

    `nodes`: environment/node=address. `address`: pattern of a node's own address with {host}, {node}, {service} and {environment}.
    """

    def __init__(
        self,
        nodes: str,
        *,
        user: str = "",
        token: Callable[[], str] | None = None,
        ca_file: str = "",
        address: str = "",
        limits: Limits = LIMITS,
    ) -> None:
        places = parse_places(nodes, lambda text: checked_address(text, ca_file))
        used = [url for hosts in places.values() for url in hosts.values()]
        if len(set(used)) != len(used):
            raise ConfigError("nodes: two nodes have the same address.", hint="Each node is a supervisord of its own.")
        self._address, self._urls = address, places

        def host(node: str, url: str) -> Host:
            return Host(HttpClient(url, name=f"supervisord on {node}", token=token, user=user, ca_file=ca_file, limits=limits), node)

        self._hosts = {place: {node: host(node, url) for node, url in urls.items()} for place, urls in places.items()}
        self._serves: dict[tuple[str, str, str], bool] = {}  # what hosts said, for when they are silent

    def close(self) -> None:
        """Close kept connections."""
        for hosts in self._hosts.values():
            for host in hosts.values():
                host.close()

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every node with the release it runs; carries a deployment under way on."""
        answers = self._statuses(service, environment, 20)
        active = None
        for parts in by_key(answers, environment).values():
            deployment = self._carry_on(environment, parts, silent_of(answers))
            if not deployment.state.final and active is None:
                active = deployment
        nodes = tuple(self._node(service, environment, name, answer) for name, answer in answers.items())
        return Fleet(service, environment, nodes, active)

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """Releases that lie on every node of an environment that answers."""
        found: dict[str, Artifact] = {}
        errors: list[ConnectorError] = []
        for environment in self._hosts:
            try:
                answers = self._statuses(service, environment, 1)
            except ConnectorError as error:
                errors.append(error)
                continue
            views = [{a.digest: a for a in s.releases} for s in answers.values() if isinstance(s, Status)]
            for digest in set.intersection(*(set(view) for view in views)):
                found.setdefault(digest, views[0][digest])
        if len(errors) == len(self._hosts):
            raise next((e for e in errors if not isinstance(e, NotFound)), errors[0])
        return tuple(sorted(found.values(), key=lambda a: (a.built_at_us, version_key(a.version)), reverse=True))

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """What the hosts remember, newest first."""
        answers = self._statuses(service, environment, max(1, min(limit, MAX_LIMIT)))
        found = [combine(parts, silent_of(answers)) for parts in by_key(answers, environment).values()]
        return tuple(sorted(found, key=lambda d: d.started_at_us, reverse=True))[:limit]

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Write the record to all hosts, then give the first node its turn. Nothing is begun where a node to change is silent."""
        known = self._look_up(key, self._of(request.environment), request.nodes)
        if known is not None:
            if (known.service, known.environment, known.digest) != (request.service, request.environment, request.digest):
                raise Rejected("This key belongs to another deployment.", hint="Start it again as a new one.", status=422)
            return known
        fleet = self.fleet(request.service, request.environment)
        if fleet.active is not None:
            words = f"A deployment of {fleet.active.service} to {fleet.active.version} is under way in {request.environment}."
            raise Rejected(words, hint="Wait for its end, or abort it.", status=BUSY)
        record = self._record(request, key, fleet)
        parts = self._begin(record)
        return self._carry_on(request.environment, parts, {})

    def find(self, key: str) -> Deployment | None:
        """The deployment with this key; Unreachable where no host knows it and one did not answer."""
        if not key or not key.isprintable():
            return None  # XML cannot carry it, so no host was ever given it
        silent: ConnectorError | None = None
        for hosts in self._hosts.values():
            try:
                if (found := self._look_up(key, hosts)) is not None:
                    return found
            except ConnectorError as error:
                silent = error
        if silent is not None:
            raise silent
        return None

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment, node by node; the next node gets its turn where it is time."""
        if (found := self.find(deployment_id)) is None:
            raise NotFound("No host knows this deployment.", hint="It may have ended so long ago that it was forgotten.")
        answers = ask(self._of(found.environment), lambda host: host.find(deployment_id))
        parts = {name: answer for name, answer in answers.items() if isinstance(answer, Part)}
        return self._carry_on(found.environment, parts, silent_of(answers)) if parts else found

    def abort(self, deployment_id: str) -> Deployment:
        """Give no further node its turn; the one under way finishes."""
        found = self.deployment(deployment_id)
        if found.state.final:
            return found
        answers = ask(self._of(found.environment), lambda host: host.tell("abort", deployment_id))
        parts = {name: answer for name, answer in answers.items() if isinstance(answer, Part)}
        if not parts:
            raise next(e for e in answers.values() if isinstance(e, ConnectorError))
        return self._carry_on(found.environment, parts, silent_of(answers))

    def probe(self) -> Probe:
        """How many hosts answer; each that does not, and each without its agent, is named."""
        every = {f"{environment}/{name}": host for environment, hosts in self._hosts.items() for name, host in hosts.items()}
        answers = ask(every, lambda host: host.info())
        errors = [a for a in answers.values() if isinstance(a, ConnectorError)]
        if len(errors) == len(answers):
            raise errors[0]
        missing = [f"no answer from {name}: {one_line(a.message, 100)}" for name, a in answers.items() if isinstance(a, ConnectorError)]
        missing += [f"the agent on {name} does not run" for name, a in answers.items() if not isinstance(a, ConnectorError) and not a.agent]
        return Probe(f"{len(answers) - len(errors)} of {len(answers)} hosts", missing=tuple(missing))

    # carrying on

    def _carry_on(self, environment: str, parts: dict[str, Part], silent: Mapping[str, str]) -> Deployment:
        """One move towards the end. A host that does not take it is asked again the next time somebody looks."""
        now, hosts = combine(parts, silent), self._of(environment)
        key = now.key
        if now.state.final:
            if any(not part.closed for part in parts.values()):
                ask(hosts, lambda host: host.tell("close", key))
            return now
        if forsaken(parts) or any(p.aborted for p in parts.values()) != all(p.aborted for p in parts.values()):
            return combine(parts | self._told(hosts, parts, "abort", key), silent)
        record = next(iter(parts.values())).record
        for name in record.nodes:
            if name not in parts and name not in silent and name in hosts:
                parts = parts | self._try(name, lambda name=name: hosts[name].begin(record))  # type: ignore[misc]
        turn = next_node(parts)
        if turn and turn in hosts:
            parts = parts | self._told(hosts, [turn], "go", key)
        return combine(parts, silent)

    def _told(self, hosts: Mapping[str, Host], names: Mapping[str, Part] | list[str], word: str, key: str) -> dict[str, Part]:
        chosen = {name: hosts[name] for name in names if name in hosts}
        answers = ask(chosen, lambda host: host.tell(word, key))
        return {name: answer for name, answer in answers.items() if isinstance(answer, Part)}

    @staticmethod
    def _try(name: str, call: Callable[[], Part | None]) -> dict[str, Part]:
        try:
            part = call()
        except ConnectorError:
            return {}
        return {} if part is None else {name: part}

    def _record(self, request: DeployRequest, key: str, fleet: Fleet) -> Record:
        present = {node.name: node for node in fleet.nodes}
        unknown = [name for name in request.nodes if name not in present]
        if unknown:
            words = f"{request.service} does not run on {', '.join(unknown)} in {request.environment}."
            raise Rejected(words, hint="Check the names of the nodes.", status=422)
        wanted = tuple(name for name in present if name in request.nodes or not request.nodes)
        answers = self._statuses(request.service, request.environment, 1)
        for name in wanted:
            answer = answers[name]
            if not isinstance(answer, Status):
                raise Unreachable(f"Nothing was begun: {answer.message}", hint="Bring it back, or deploy to the other nodes by name.")
            if request.digest not in [a.digest for a in answer.releases]:
                words = f"The release {request.version} ({request.digest[:12]}) is not on {name}."
                raise Rejected(words, hint="Put it onto every node first.", status=422)
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

    def _begin(self, record: Record) -> dict[str, Part]:
        """The record on every host of the environment, in one order for all: who gets the first goes on, the other is refused."""
        hosts = self._of(record.environment)
        parts: dict[str, Part] = {}
        for name, host in hosts.items():
            try:
                part = host.begin(record)
            except OutcomeUnknown:
                if name in record.nodes:
                    raise
            except ConnectorError as error:
                if name not in record.nodes and not isinstance(error, Rejected):
                    continue  # a silent witness
                self._withdraw([hosts[n] for n in parts], record.key)
                raise
            else:
                parts[name] = part or Part(record)
        return parts

    @staticmethod
    def _withdraw(hosts: list[Host], key: str) -> None:
        for host in hosts:
            try:
                host.tell("withdraw", key)
            except ConnectorError as error:
                raise OutcomeUnknown(f"It was begun half-way: {error.message}", hint="It is asked by the key what became of it.") from None

    # asking

    def _of(self, environment: str) -> dict[str, Host]:
        if environment not in self._hosts:
            raise NotFound(
                f"There is no node of “{one_line(environment, 100)}” in the settings.", hint="Add it to `nodes` of this connection."
            )
        return self._hosts[environment]

    def _look_up(self, key: str, hosts: Mapping[str, Host], needed: tuple[str, ...] = ()) -> Deployment | None:
        """What the key began; the error where none knows it and one that is needed (() = all) is silent: each node to change knows."""
        answers = ask(hosts, lambda host: host.find(key))
        parts = {name: answer for name, answer in answers.items() if isinstance(answer, Part)}
        if parts:
            return combine(parts, silent_of(answers))
        for name, answer in answers.items():
            if isinstance(answer, ConnectorError) and (name in needed or not needed):
                raise answer
        return None

    def _statuses(self, service: str, environment: str, limit: int) -> dict[str, Status | ConnectorError]:
        """By node that runs the service, or is silent and ran it when last asked; the error where none answers."""
        answers = ask(self._of(environment), lambda host: host.status(service, limit))
        kept: dict[str, Status | ConnectorError] = {}
        for name, answer in answers.items():
            place = (environment, name, service)
            if isinstance(answer, (Status, NotFound)):
                self._serves[place] = isinstance(answer, Status)
            if self._serves.get(place, True):
                kept[name] = answer
        if any(isinstance(answer, Status) for answer in kept.values()):
            return kept
        errors = [a for a in (kept or answers).values() if isinstance(a, ConnectorError)]
        raise errors[0]

    def _node(self, service: str, environment: str, name: str, answer: Status | ConnectorError) -> Node:
        host = urlsplit(self._urls[environment][name]).hostname or ""
        url = self._address
        for word, value in (("host", host), ("node", name), ("service", service), ("environment", environment)):
            url = url.replace(f"{{{word}}}", value)
        node = Node(name, service, environment, healthy=False, url=web_address(url))
        if not isinstance(answer, Status):
            return node
        node = replace(node, healthy=answer.healthy)
        running = answer.current
        return node if running is None else replace(node, version=running.version, commit=running.commit, digest=running.digest)
