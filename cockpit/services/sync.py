"""One poller a connection: asks, keeps the last answer with its age, backs off, says a failure once and its end once."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from cockpit.domain.errors import AuthFailed, CockpitError, RateLimited
from cockpit.services.connections import Connected, Connections, Tempo
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import MainThread, Outcome, Runner
from cockpit.services.store import Problem, SourceHealth, Store

log = logging.getLogger("cockpit.sync")

BACK_OFF_MAX_S = 60.0
SLOWER = 1.25


class Job(Protocol):
    """What a poller asks for. `prepare` and `apply` run on the main thread, what `prepare` answers runs in a worker."""

    def prepare(self) -> Callable[[], Any]:
        """Look at the state; answer the work to do."""

    def apply(self, result: Any) -> Exception | None:
        """Put the answer into the store; answers the error that cut the work short, if any."""

    def interval_s(self, base_s: float) -> float:
        """How long to wait now: shorter while something is under way."""


def problem_of(error: Exception) -> Problem:
    """An error in words; what is not ours shows its type, too."""
    if isinstance(error, CockpitError):
        return Problem(error.title, error.message, error.hint)
    return Problem("A defect in Release Cockpit", f"{type(error).__name__}: {error}", "Please report it; other sources go on.")


class Poller:
    """Polls one connection. Main thread only."""

    def __init__(self, connected: Connected, job: Job, tempo: Tempo, sync: Sync) -> None:
        self.id = connected.id
        self._services = connected.services
        self._job = job
        self._tempo = tempo
        self._quiet = 0  # answers without anything new
        self._sync = sync
        self._failures = 0
        self._running = False
        self._again = False
        self._over = False
        self._cancel: Callable[[], None] | None = None

    def close(self) -> None:
        """Ask nothing any more; an answer that comes yet is let go: the connection may be another one by now."""
        self._over = True
        self.cancel()

    def schedule(self, delay_s: float) -> None:
        """Ask again after `delay_s`, instead of whenever it was planned."""
        self.cancel()
        self._cancel = self._sync.main.call_later(delay_s, self._poll)
        health = self._sync.health(self.id)
        self._sync.put(replace(health, next_poll_us=self._sync.clock_us() + int(delay_s * 1e6)))

    def cancel(self) -> None:
        """Plan nothing."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def refresh_now(self) -> None:
        """Ask at once; while a question is under way, once more after it. Wakes a stopped poller."""
        health = self._sync.health(self.id)
        if health.stopped:
            self._sync.put(replace(health, stopped=False))
        if self._running:
            self._again = True
        else:
            self.schedule(0.0)

    def _poll(self) -> None:
        self._cancel = None
        if self._running:
            self._again = True
            return
        self._running, started_us = True, self._sync.clock_us()
        try:
            work = self._job.prepare()
        except Exception as error:  # noqa: BLE001 - a defect here must be said, and must not end the polling
            self._done(Outcome(error=error), started_us)
            return
        self._sync.runner.submit(f"source:{self.id}", work, lambda outcome: self._done(outcome, started_us))

    def _done(self, outcome: Outcome[Any], started_us: int) -> None:
        self._running = False
        if self._over:
            return
        error = outcome.error if outcome.error is not None else self._applied(outcome.value)
        now = self._sync.clock_us()
        health = replace(self._sync.health(self.id), last_attempt_us=now, took_ms=(now - started_us) / 1e3)
        if error is None:
            self._failures = 0
            self._sync.recovered(replace(health, last_success_us=now, problem=None, stopped=False))
        else:
            self._failures += 1
            self._sync.failed(replace(health, problem=problem_of(error), stopped=isinstance(error, AuthFailed)), error)
        if self._again:
            self._again = False
            self.schedule(0.0)
        elif not isinstance(error, AuthFailed):
            self.schedule(self._delay_s(error))

    def _applied(self, value: Any) -> Exception | None:
        try:
            return self._job.apply(value)
        except Exception as error:  # noqa: BLE001 - as above: whoever shows the answer may have a defect
            return error

    def _delay_s(self, error: Exception | None) -> float:
        if error is None:
            return self._job.interval_s(self._calm_s())
        wait: float = min(BACK_OFF_MAX_S, self._tempo.base_s * 2 ** min(self._failures, 6))
        if isinstance(error, RateLimited):
            wait = max(wait, error.retry_after_s)
        # a little apart, so that sources that broke together do not come back together
        return wait * random.uniform(0.9, 1.1)  # noqa: S311 - no secret

    def _calm_s(self) -> float:
        """Longer and longer while nothing changes, short while an action is under way for one of its services."""
        if any(not a.state.final and a.service in self._services for a in self._sync.store.state.actions.values()):
            self._quiet = 0
            return self._tempo.busy_s
        self._quiet = 0 if getattr(self._job, "changed", True) else self._quiet + 1
        return float(min(self._tempo.longest_s, self._tempo.base_s * SLOWER ** min(self._quiet, 20)))


class Sync:
    """All pollers. Main thread only."""

    def __init__(self, main: MainThread, runner: Runner, store: Store, notices: Notices, clock_us: Callable[[], int]) -> None:
        self.main = main
        self.runner = runner
        self.store = store
        self.clock_us = clock_us
        self._notices = notices
        self._connections: Connections | None = None
        self._pollers: dict[str, Poller] = {}
        self.demand: Callable[[str, str, str], None] = lambda service, base, head: None

    def begin(self, connections: Connections, jobs: dict[str, Job], interval_s: float, deadline_s: float) -> None:
        """Poll these connections from now on, spread evenly over the interval; earlier ones are left."""
        self.close()
        self._connections = connections
        sources = {}
        for connected in connections.all:
            known = self.store.state.sources.get(connected.id)
            # what changes slowly is asked seldom, and is not stale between two polls
            own_s = getattr(jobs[connected.id], "deadline_s", connected.tempo(interval_s, deadline_s).deadline_s)
            fresh = SourceHealth(connected.id, connected.title, connected.kind, deadline_s=own_s)
            # what failed fails until it answers: a change of another connection is no good news of this one
            kept = {"last_success_us": known.last_success_us, "problem": known.problem} if known else {}
            sources[connected.id] = replace(fresh, **kept)
        for gone in self.store.state.sources.keys() - sources.keys():
            self._notices.over(f"source:{gone}")
        self.store.apply(sources=sources)
        for number, connected in enumerate(connections.all):
            poller = Poller(connected, jobs[connected.id], connected.tempo(interval_s, deadline_s), self)
            self._pollers[connected.id] = poller
            poller.schedule(interval_s * number / max(1, len(connections.all)))

    def close(self) -> None:
        """Ask nothing any more."""
        for poller in self._pollers.values():
            poller.close()
        self._pollers = {}

    def refresh_now(self, source_id: str = "") -> None:
        """Ask one source at once, or all of them."""
        for poller in list(self._pollers.values()):
            if source_id in ("", poller.id):
                poller.refresh_now()

    def refresh_kind(self, port: str, service: str) -> None:
        """Ask at once those that serve `port` for `service`."""
        for connected in self._connections.all if self._connections else ():
            if port in connected.ports and service in connected.services and connected.id in self._pollers:
                self._pollers[connected.id].refresh_now()

    def want_changes(self, service: str, base_version: str, head_version: str) -> None:
        """Ask for the commits between two versions; the answer lands in the state."""
        self.demand(service, base_version, head_version)
        self.refresh_kind("SourceControl", service)

    def test(self, source_id: str, done: Callable[[Outcome[Any]], None]) -> None:
        """ "Test connection": what is reached, as whom, with which rights missing."""
        connected = self._connections.by_id(source_id) if self._connections else None
        if connected is None:
            done(Outcome(error=CockpitError(f"There is no connection {source_id}.", title="Unknown connection")))
            return
        self.runner.submit(f"test:{source_id}", connected.connector.probe, done)

    def health(self, source_id: str) -> SourceHealth:
        """How that source does."""
        return self.store.state.sources.get(source_id) or SourceHealth(source_id, source_id, "")

    def put(self, health: SourceHealth) -> None:
        """Write a source's health into the state."""
        self.store.merge("sources", {health.id: health})

    def failed(self, health: SourceHealth, error: Exception) -> None:
        """Keep the data, say it once."""
        before = self.health(health.id).problem
        if health.problem is not None:
            hide = self._notices.hide
            told = Problem(hide(health.problem.title), hide(health.problem.message), hide(health.problem.hint))
            health = replace(health, problem=told)
        self.put(health)
        if before == health.problem or health.problem is None:
            return
        log.info("source %s failed: %s", health.id, health.problem.message)
        self._notices.tell(
            Severity.WARNING,
            f"{health.title}: {health.problem.title.lower()}",
            health.problem.message,
            hint=health.problem.hint or "The last data stays on screen with its age; it is asked again by itself.",
            key=f"source:{health.id}",
            place="sources",
        )

    def recovered(self, health: SourceHealth) -> None:
        """Say once that it answers again."""
        failing = self.health(health.id).problem is not None
        self.put(health)
        if failing:
            log.info("source %s answers again", health.id)
            self._notices.over(f"source:{health.id}", f"{health.title} answers again")
