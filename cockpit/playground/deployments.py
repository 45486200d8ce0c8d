"""Deployments of the playground: what was asked, what was done, node by node. Kept so that a crash at any moment is gone on from."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from cockpit.playground.errors import PlaygroundError
from cockpit.playground.nodes import Layout, Nodes
from cockpit.playground.processes import RecordLog, now_us
from cockpit.playground.server import ApiError
from cockpit.playground.tags import Artifact

UNDER_WAY = ("queued", "running")
_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Long = Annotated[str, Meta(min_length=1, max_length=200)]


class DeploymentRequest(Struct, frozen=True):
    """The body of POST /v1/deployments."""

    service: _Name
    environment: _Name
    version: _Long
    digest: _Long
    kind: Literal["deploy", "rollback"]
    requested_by: Annotated[str, Meta(max_length=500)]
    reason: Annotated[str, Meta(max_length=4000)] = ""
    nodes: Annotated[tuple[_Long, ...], Meta(max_length=1000)] = ()


class Step(Struct, frozen=True):
    """A node's part: pending, stopping, starting, checking, done or failed."""

    node: str
    state: str = "pending"
    digest: str = ""
    message: str = ""


class Deployment(Struct, frozen=True):
    """One deployment as the API shows it."""

    id: str
    key: str
    service: str
    environment: str
    version: str
    digest: str
    kind: str
    state: str
    requested_by: str
    reason: str
    from_version: str
    from_digest: str
    started_at_us: int
    finished_at_us: int = 0
    steps: tuple[Step, ...] = ()
    message: str = ""


class _Record(Struct):
    """What is kept of a deployment: `at_once` does all nodes together (nothing ran there before)."""

    deployment: Deployment
    request: DeploymentRequest
    aborting: bool = False
    at_once: bool = False


class Pace(Struct, frozen=True):
    """`drain_s`: between the step's mark `stopping`, which tells clients to go elsewhere, and the end of the node's process.

    `automatic_s`: after a deployment to a place, nothing is deployed there automatically for so long.
    """

    drain_s: float = 0.3
    check_limit_s: float = 15.0
    automatic_s: float = 15.0


class Deployments:
    """All deployments. Thread-safe; each one under way has a thread; `close` leaves them where they are, to be gone on from."""

    def __init__(self, directory: Path, layout: Layout, pace: Pace) -> None:
        self._log = RecordLog(directory / "state" / "deployer" / "log.jsonl")
        self._lock = threading.RLock()
        self.pace = pace
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self.layout = layout
        self.nodes = Nodes(directory, layout, self._log, self._lock)
        kept = self._log.get("deployment")
        self._records = {name: msgspec.convert(value, _Record) for name, value in kept.items()}
        self._keys = {r.deployment.key: name for name, r in self._records.items()}

    def resume(self) -> None:
        """Go on with what was under way when the deployer ended."""
        with self._lock:
            for record in self._records.values():
                if record.deployment.state in UNDER_WAY:
                    self._begin(record.deployment.id)

    def close(self) -> None:
        """Stop working; nodes go on running and deployments under way stay under way."""
        self._closing.set()
        for thread in self._threads:
            thread.join(self.pace.check_limit_s)
        with self._lock:
            self._log.close()

    def accept(self, request: DeploymentRequest, key: str) -> tuple[Deployment, bool]:
        """The deployment for this key and whether it is new; the rules and their order stand in the OpenAPI document."""
        with self._lock:
            known = self._keys.get(key)
            if known is not None:
                record = self._records[known]
                if record.request != request:
                    words = f"the key was used for {record.deployment.id} with another body"
                    raise ApiError(422, "Key used already", words, "Use a new key for a new intention.")
                return record.deployment, False
            self._check_possible(request)
            busy = self.under_way(request.environment)
            if busy is not None:
                words = f"a {busy.kind} of {busy.service} to {busy.version} ({busy.id}) is under way in {busy.environment}"
                raise ApiError(409, "Another deployment is under way", words, "Wait until it has ended, or abort it.")
            try:
                return self.create(request, key), True
            except OSError as error:
                words = f"the state cannot be stored: {error.strerror}"
                raise ApiError(503, "Nothing was started", words, "Free some disk space, then try again.") from error

    def _check_possible(self, request: DeploymentRequest) -> None:
        if request.service not in self.layout.services or request.environment not in self.layout.environments:
            place = f"{request.service} in {request.environment}"
            raise ApiError(422, "Unknown place", f"there is no {place}", "GET /v1/environments lists what there is.")
        artifact = self.nodes.artifacts.find(request.service, request.digest)
        if artifact is None:
            words = f"there is no artifact {request.digest[:12]} of {request.service}"
            raise ApiError(422, "Unknown artifact", words, f"GET /v1/services/{request.service}/artifacts lists what there is.")
        if artifact.version != request.version:
            words = f"{request.digest[:12]} is {artifact.version}, not {request.version}"
            raise ApiError(422, "Version and digest differ", words, "Take both from the list of artifacts.")
        self._check_nodes(request)
        reason = self.nodes.wishes.held(request.service, request.environment).get(request.digest)
        if reason is not None:
            words = f"{request.service} {request.version} is held back in {request.environment}: {reason or 'no reason was given'}"
            raise ApiError(422, "Held back", words, "Deploy another version, or let this one go first.")
        try:
            self.nodes.artifacts.verify(request.digest)
        except PlaygroundError as error:
            raise ApiError(422, error.title, error.message, error.hint) from error

    def _check_nodes(self, request: DeploymentRequest) -> None:
        known = [n.name for n in self.nodes.of(request.service, request.environment)]
        unknown = [name for name in request.nodes if name not in known]
        if unknown:
            words = f"{request.service} has no node {unknown[0][:100]} in {request.environment}"
            raise ApiError(422, "Unknown node", words, f"Its nodes are {', '.join(known)}.")
        if len(set(request.nodes)) != len(request.nodes):
            raise ApiError(422, "A node named twice", "each node is changed once", "Name each node once.")

    def create(self, request: DeploymentRequest, key: str, at_once: bool = False) -> Deployment:
        """Keep a new deployment durably, then begin it."""
        with self._lock:
            number = max((int(name.removeprefix("d-")) for name in self._records), default=0) + 1
            before = self.live(request.service, request.environment)
            said = msgspec.structs.asdict(request)
            nodes = said.pop("nodes") or tuple(n.name for n in self.nodes.of(request.service, request.environment))
            deployment = Deployment(
                id=f"d-{number:06d}",
                key=key,
                **said,
                state="queued",
                from_version=before.version if before else "",
                from_digest=before.digest if before else "",
                started_at_us=now_us(),
                steps=tuple(Step(name) for name in nodes),
            )
            record = _Record(deployment, request, at_once=at_once)
            self._log.put("deployment", deployment.id, record)
            self._records[deployment.id] = record
            self._keys[key] = deployment.id
            self._begin(deployment.id)
            return deployment

    def live(self, service: str, environment: str) -> Artifact | None:
        """What most nodes are to run now."""
        wanted = [n.wanted for n in self.nodes.of(service, environment) if n.wanted is not None]
        return max(wanted, key=wanted.count, default=None)

    def all(self) -> list[Deployment]:
        """Every deployment, newest first."""
        with self._lock:
            return [r.deployment for r in reversed(self._records.values())]

    def under_way(self, environment: str) -> Deployment | None:
        """The deployment of any service that is under way there."""
        return next((d for d in self.all() if d.environment == environment and d.state in UNDER_WAY), None)

    def get(self, deployment_id: str) -> Deployment | None:
        with self._lock:
            record = self._records.get(deployment_id)
            return record.deployment if record else None

    def by_key(self, key: str) -> Deployment | None:
        with self._lock:
            return self.get(self._keys.get(key, ""))

    def abort(self, deployment_id: str) -> Deployment | None:
        """Ask it to end after the node under way."""
        with self._lock:
            record = self._records.get(deployment_id)
            if record is None:
                return None
            if record.deployment.state in UNDER_WAY and not record.aborting:
                record.aborting = True
                self._keep(record)
            return record.deployment

    def wait(self, deployment_id: str) -> None:
        """Wait until it has ended (or this is closing)."""
        for thread in [t for t in self._threads if t.name == deployment_id]:
            thread.join()

    def provision(self, service: str, environment: str, artifacts: list[Artifact]) -> None:
        """Put these onto empty nodes, one after the other, as ordinary deployments: all nodes together first, then node by node."""
        place = f"{service}@{environment}"
        if self._log.get("provisioned").get(place):
            return
        for number, artifact in enumerate(artifacts):
            key = f"provision:{environment}:{service}:{artifact.version}"
            request = DeploymentRequest(service, environment, artifact.version, artifact.digest, "deploy", "playground", "first set-up")
            with self._lock:
                known = self._keys.get(key) or self.create(request, key, at_once=number == 0).id
            self.wait(known)
            if self._closing.is_set():
                return
        with self._lock:
            self._log.put("provisioned", place, True)

    # --- the work, in a thread of its own for each deployment

    def _begin(self, deployment_id: str) -> None:
        self._threads = [t for t in self._threads if t.is_alive()]
        thread = threading.Thread(target=self._run, args=(deployment_id,), name=deployment_id, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, deployment_id: str) -> None:
        record = self._records[deployment_id]
        try:
            self._change(record, state="running")
            outcome = self._all_steps(record)
        except (PlaygroundError, OSError) as error:
            print(f"{deployment_id}: {error}", file=sys.stderr, flush=True)
            outcome = ("failed", str(error))
        if outcome is not None:
            self._change(record, state=outcome[0], message=outcome[1], finished_at_us=now_us(), durable=True)

    def _all_steps(self, record: _Record) -> tuple[str, str] | None:
        """Do the steps; final state and its words, or None where this is closing."""
        deployment = record.deployment
        artifact = self.nodes.artifacts.find(deployment.service, deployment.digest)
        if artifact is None:
            return "failed", f"the artifact {deployment.digest[:12]} is gone; the nodes stay on what they run"
        count = len(deployment.steps)
        if record.at_once:
            _together([lambda i=i: self._step(record, i, artifact) for i in range(count)])  # type: ignore[misc]
        for index in range(count):
            done = sum(s.state == "done" for s in record.deployment.steps)
            if record.aborting and done < count and record.deployment.steps[index].state == "pending":
                return "aborted", f"aborted after {done} of {count} nodes; the others stay on what they ran"
            problem = self._step(record, index, artifact)
            if self._closing.is_set():
                return None
            if problem:
                node, left = record.deployment.steps[index].node, count - index - 1
                rest = f"; {left} node{'s' * (left != 1)} after it stay on what they ran" if left else ""
                return "failed", f"{node} did not come up: {problem}{rest}"
        return "succeeded", f"{count} of {count} nodes run {deployment.version}"

    def _step(self, record: _Record, index: int, artifact: Artifact) -> str:
        """Bring one node to the artifact: "" or what went wrong. Done twice, it does nothing the second time."""
        step = record.deployment.steps[index]
        node = self.nodes.all[step.node]
        if step.state in ("done", "failed") or self._closing.is_set():
            return step.message
        try:
            self.nodes.artifacts.release(artifact)
        except PlaygroundError as error:
            # before anything was stopped: the node stays on what it ran
            self._mark(record, index, "failed", "", str(error))
            return str(error)
        # the lock keeps the watch from starting what is stopped here on purpose
        with node.lock:
            begun_before = step.state != "pending" and node.wanted == artifact and node.runs
            if not begun_before:
                self._mark(record, index, "stopping")
                if node.runs and self._closing.wait(self.pace.drain_s):
                    return ""
                self.nodes.stop(node)
                self._mark(record, index, "starting")
                self.nodes.start(node, artifact)
            self._mark(record, index, "checking")
            problem = self.nodes.check(node, artifact.digest, self.pace.check_limit_s, self._closing)
        if not self._closing.is_set():
            self._mark(record, index, "failed" if problem else "done", "" if problem else artifact.digest, problem)
        return problem

    def _mark(self, record: _Record, index: int, state: str, digest: str = "", message: str = "") -> None:
        with self._lock:
            steps = list(record.deployment.steps)
            steps[index] = Step(steps[index].node, state, digest, message)
            self._change(record, steps=tuple(steps))

    def _change(self, record: _Record, durable: bool = False, **fields: Any) -> None:
        with self._lock:
            record.deployment = replace(record.deployment, **fields)
            self._keep(record, durable)

    def _keep(self, record: _Record, durable: bool = True) -> None:
        """Keep a step of what was accepted. With a full disk the work goes on; after a crash it is gone on from an older step."""
        try:
            self._log.put("deployment", record.deployment.id, record, durable=durable)
        except OSError as error:
            print(f"{record.deployment.id} cannot be stored: {error}", file=sys.stderr, flush=True)


def _together(jobs: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
