"""Honest systems in memory behind the ports: they keep what they were told and answer the same key with the same deployment.

Every method asks `hooks[name](*arguments)` first, where there is one: it may raise what a real system would raise, or answer something
else than None instead. Calls stand in `calls`. Callable from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from cockpit.connectors.ports import DeployRequest, Probe
from cockpit.domain.checks import CheckRun, CheckState
from cockpit.domain.errors import NotFound, Rejected
from cockpit.domain.gates import Gate
from cockpit.domain.metrics import Histogram, Reading
from cockpit.domain.release import Artifact, Changes, Commit, Deployment, DeployState, Fleet, Node, NodeStep, Service, Version, in_order


def digest_of(text: str) -> str:
    """A digest that looks like one."""
    return sha256(text.encode()).hexdigest()


class Fake:
    """Hooks and the record of calls."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self.hooks: dict[str, Callable[..., Any]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.clock_us = clock_us
        self._lock = threading.RLock()

    def _asked(self, name: str, *arguments: Any) -> Any:
        with self._lock:
            self.calls.append((name, *arguments))
            hook = self.hooks.get(name)
        return hook(*arguments) if hook else None

    def count(self, name: str) -> int:
        """How often a method was called."""
        with self._lock:
            return sum(call[0] == name for call in self.calls)

    def probe(self) -> Probe:
        return self._asked("probe") or Probe(type(self).__name__, "tester")


class FakeSource(Fake):
    """SourceControl: a straight line of commits; each version ends some of them."""

    def __init__(self, clock_us: Callable[[], int], service: str, history: dict[str, tuple[Commit, ...]]) -> None:
        super().__init__(clock_us)
        self._service = service
        self._history = history

    def versions(self, service: Service) -> tuple[Version, ...]:
        known = tuple(Version(self._service, name, f"v{name}", new[0].id, new[0].at_us) for name, new in self._history.items())
        return self._asked("versions", service) or in_order(known)

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes:
        answer = self._asked("changes", service, base, head)
        if answer is not None:
            return answer
        line = [commit for new in self._history.values() for commit in reversed(new)]
        ids = [commit.id for commit in line]
        first, last = (ids.index(base) + 1 if base else 0), ids.index(head) + 1
        came, left = tuple(reversed(line[first:last])), tuple(reversed(line[last:first]))
        return Changes(base, head, came[:limit], left[:limit], len(came), len(left))

    def fingerprint(self) -> str:
        return self._asked("fingerprint") or "1"


class FakeCi(Fake):
    """CiSystem over runs that a test put there."""

    def __init__(self, clock_us: Callable[[], int], runs: tuple[CheckRun, ...]) -> None:
        super().__init__(clock_us)
        self._runs = {run.id: run for run in runs}
        self._keys: dict[str, str] = {}

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        mine = [r for r in self._runs.values() if r.service == service]
        return self._asked("runs", service) or tuple(sorted(mine, key=lambda r: -r.started_at_us)[:limit])

    def run(self, run_id: str) -> CheckRun:
        self._asked("run", run_id)
        if run_id not in self._runs:
            raise NotFound(f"There is no run {run_id}.")
        return self._runs[run_id]

    def log(self, run_id: str, suite: str) -> str:
        return self._asked("log", run_id, suite) or f"{suite} of {run_id}"

    def rerun(self, run_id: str, key: str) -> CheckRun:
        self._asked("rerun", run_id, key)
        if key not in self._keys:
            new = f"{run_id}-{len(self._runs)}"
            self._runs[new] = replace(self.run(run_id), id=new, state=CheckState.PENDING, suites=(), started_at_us=self.clock_us())
            self._keys[key] = new
        return self._runs[self._keys[key]]

    def stop(self, run_id: str) -> CheckRun:
        self._asked("stop", run_id)
        run = self.run(run_id)
        if not run.state.final:
            self._runs[run_id] = replace(run, state=CheckState.INCONCLUSIVE, finished_at_us=self.clock_us())
        return self._runs[run_id]


class FakeDeploymentApi(Fake):
    """DeploymentApi: every `deployment(id)` moves one node to the new digest, so a test needs no clock."""

    def __init__(self, clock_us: Callable[[], int], artifacts: tuple[Artifact, ...], nodes: tuple[Node, ...]) -> None:
        super().__init__(clock_us)
        self._artifacts = artifacts
        self._nodes = {node.name: node for node in nodes}
        self._deployments: dict[str, Deployment] = {}

    def put(self, deployment: Deployment) -> None:
        """A deployment of the past."""
        self._deployments[deployment.id] = deployment

    def fleet(self, service: str, environment: str) -> Fleet:
        answer = self._asked("fleet", service, environment)
        with self._lock:
            nodes = tuple(n for n in self._nodes.values() if (n.service, n.environment) == (service, environment))
            return answer or Fleet(service, environment, nodes, self._active(environment))

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        return self._asked("artifacts", service) or tuple(a for a in self._artifacts if a.service == service)

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        answer = self._asked("history", service, environment)
        with self._lock:
            mine = [d for d in self._deployments.values() if (d.service, d.environment) == (service, environment)]
        return answer or tuple(sorted(mine, key=lambda d: -d.started_at_us)[:limit])

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        answer = self._asked("deploy", request, key)
        if answer is not None:
            return answer
        with self._lock:
            known = self._by_key(key)
            if known is not None:
                return known
            if self._active(request.environment) is not None:
                raise Rejected("Another deployment is under way.", hint="Wait for its end.", status=409)
            if not any(a.digest == request.digest for a in self._artifacts):
                raise Rejected("That artifact is not known.", status=422)
            nodes = [n for n in self._nodes.values() if (n.service, n.environment) == (request.service, request.environment)]
            nodes = [n for n in nodes if not request.nodes or n.name in request.nodes]
            live = next((n for n in nodes if n.digest), None)
            begun = Deployment(
                f"d{len(self._deployments) + 1}",
                key,
                request.service,
                request.environment,
                request.version,
                request.digest,
                request.kind,
                DeployState.RUNNING,
                requested_by=request.requested_by,
                reason=request.reason,
                from_version=live.version if live else "",
                from_digest=live.digest if live else "",
                started_at_us=self.clock_us(),
                steps=tuple(NodeStep(n.name, "pending") for n in nodes),
            )
            self._deployments[begun.id] = begun
            return begun

    def find(self, key: str) -> Deployment | None:
        answer = self._asked("find", key)
        with self._lock:
            return answer or self._by_key(key)

    def deployment(self, deployment_id: str) -> Deployment:
        answer = self._asked("deployment", deployment_id)
        with self._lock:
            if deployment_id not in self._deployments:
                raise NotFound(f"There is no deployment {deployment_id}.")
            self._deployments[deployment_id] = self._advanced(self._deployments[deployment_id])
            return answer or self._deployments[deployment_id]

    def abort(self, deployment_id: str) -> Deployment:
        self._asked("abort", deployment_id)
        with self._lock:
            found = self._deployments[deployment_id]
            if not found.state.final:
                found = replace(found, state=DeployState.ABORTED, finished_at_us=self.clock_us())
                self._deployments[deployment_id] = found
            return found

    def _advanced(self, found: Deployment) -> Deployment:
        waiting = [number for number, step in enumerate(found.steps) if step.state == "pending"]
        if found.state.final or not waiting:
            return found
        steps, number = list(found.steps), waiting[0]
        node = self._nodes[steps[number].node]
        commit = next(a.commit for a in self._artifacts if a.digest == found.digest)
        self._nodes[node.name] = replace(node, version=found.version, digest=found.digest, commit=commit)
        steps[number] = NodeStep(node.name, "done", found.digest)
        if len(waiting) > 1:
            return replace(found, steps=tuple(steps))
        return replace(found, steps=tuple(steps), state=DeployState.SUCCEEDED, finished_at_us=self.clock_us())

    def _by_key(self, key: str) -> Deployment | None:
        return next((d for d in self._deployments.values() if d.key == key), None)

    def _active(self, environment: str) -> Deployment | None:
        return next((d for d in self._deployments.values() if d.environment == environment and not d.state.final), None)


class FakeMetrics(Fake):
    """MetricsApi: every reading of a node shows a hundred more requests, most below 10 ms."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        super().__init__(clock_us)
        self._seen = 0

    def read(self, nodes: tuple[Node, ...]) -> tuple[Reading, ...]:
        answer = self._asked("read", nodes)
        if answer is not None:
            return answer
        self._seen += 100
        histogram = Histogram((0.001, 0.01, float("inf")), (self._seen * 0.5, self._seen * 1.0, self._seen * 1.0))
        return tuple(Reading(n.name, n.service, n.environment, self.clock_us(), {"order": histogram}) for n in nodes)


class FakeTraffic(Fake):
    """Traffic: keeps the shares that it was told."""

    def __init__(self, clock_us: Callable[[], int], shares: dict[str, int]) -> None:
        super().__init__(clock_us)
        self.shares = dict(shares)

    def weights(self, service: str, environment: str) -> dict[str, int]:
        return self._asked("weights", service, environment) or dict(self.shares)

    def set_weights(self, service: str, environment: str, weights: dict[str, int]) -> dict[str, int]:
        answer = self._asked("set_weights", service, environment, weights)
        self.shares |= weights
        return answer or dict(self.shares)


class FakeVenue(Fake):
    """Venue: keeps the mode that it was told, and every mode that it had."""

    def __init__(self, clock_us: Callable[[], int], mode: str = "open") -> None:
        super().__init__(clock_us)
        self.modes = [mode]

    def mode(self, service: str, environment: str) -> str:
        return self._asked("mode", service, environment) or self.modes[-1]

    def set_mode(self, service: str, environment: str, mode: str) -> str:
        answer = self._asked("set_mode", service, environment, mode)
        if self.modes[-1] != mode:
            self.modes.append(mode)
        return answer or self.modes[-1]


class FakeGates(Fake):
    """Gates: each waits until it is answered once."""

    def __init__(self, clock_us: Callable[[], int], gates: tuple[Gate, ...]) -> None:
        super().__init__(clock_us)
        self.waiting = {gate.id: gate for gate in gates}

    def gates(self, service: str) -> tuple[Gate, ...]:
        answer = self._asked("gates", service)
        mine = (g for g in self.waiting.values() if g.service == service)
        return answer or tuple(sorted(mine, key=lambda g: g.asked_at_us))

    def decide(self, gate: Gate, approve: bool, comment: str, key: str) -> None:
        self._asked("decide", gate, approve, comment, key)
        if self.waiting.pop(gate.id, None) is None:
            raise NotFound("It waits no longer.")
