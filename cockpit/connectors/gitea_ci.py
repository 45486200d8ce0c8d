"""Runs of Gitea's and Forgejo's Actions as test runs; their jobs are the suites."""

from __future__ import annotations

from cockpit.connectors import forge_text
from cockpit.connectors.after import a_change
from cockpit.connectors.gitea_api import GiteaApi
from cockpit.connectors.gitea_wire import JobWire, RunWire, parse_jobs, parse_nothing, parse_run, parse_runs
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import web_address
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.errors import NotFound, Rejected

MAX_RUNS = 1000
MAX_JOBS = 500
NEW_AT_ONCE = 12  # runs that one poll reads the jobs of; what has ended is read once
_LOG_BYTES = 400_000
_STATES = {
    "success": CheckState.PASSED,
    "failure": CheckState.FAILED,
    "cancelled": CheckState.INCONCLUSIVE,
    "skipped": CheckState.INCONCLUSIVE,
    "running": CheckState.RUNNING,
    "in_progress": CheckState.RUNNING,
    "cancelling": CheckState.RUNNING,
} | dict.fromkeys(("waiting", "queued", "pending", "blocked", "requested"), CheckState.PENDING)
_HINT_ID = "Runs have ids of the form service:run:attempt."


class GiteaCi:
    """CiSystem over Actions. `workflow` is the file of the workflow that tests, such as ci.yml. From any thread.

    A run's id holds its attempt: running attempt 1 again makes attempt 2, once, whoever asks and however often. That needs no key.
    """

    def __init__(self, api: GiteaApi, workflow: str, tag_pattern: str) -> None:
        self._api = api
        self._workflow = workflow
        self._tag_pattern = tag_pattern

    def runs(self, service: str, limit: int) -> tuple[CheckRun, ...]:
        """The newest first. Of those not seen before the newest dozen comes with suites, the others get theirs with the next polls."""
        room = max(1, min(limit, MAX_RUNS))
        path = self._api.path(service, "actions", "runs")
        try:
            found = self._api.pages(path, parse_runs, {}, max(room, 50))
        except NotFound as error:
            hint = "Check the name, and that Actions are on. Older versions of Gitea and Forgejo do not tell of runs: update it."
            raise NotFound(error.message, hint=hint) from None
        self._api.services.setdefault(service)
        runs: list[CheckRun] = []
        fresh = 0
        for wire in self._mine(service, found)[:room]:
            suites = self._known(service, wire)
            if suites is None and fresh < NEW_AT_ONCE:
                fresh += 1
                suites = self._suites(service, wire)
            runs.append(self._run(service, wire, suites or ()))
        return tuple(runs)

    def run(self, run_id: str) -> CheckRun:
        """One run with its jobs. Which single tests failed is not told: Actions keep no test reports."""
        service, wire = self._found(run_id)
        return self._run(service, wire, self._suites(service, wire))

    def log(self, run_id: str, suite: str) -> str:
        """The end of a job's log."""
        service, wire = self._found(run_id)
        job = next((job for job in self._jobs(service, wire) if _name(job) == suite), None)
        if job is None:
            raise NotFound(f"The run has no job “{one_line(suite, 100)}”.", hint="Look at its jobs in the forge.")
        try:
            return forge_text.log_tail(
                self._api.client.get_text(self._api.path(service, "actions", "jobs", job.id, "logs"), tail=_LOG_BYTES)
            )
        except NotFound as error:
            raise NotFound(error.message, hint="The log is gone, or this version does not hand logs out: read it in the forge.") from None

    def rerun(self, run_id: str) -> CheckRun:
        """The next attempt of the run; where there is one already, that."""
        service, number, attempt = _place(run_id)
        wire = self._read(service, number)
        if _attempt(wire) <= attempt:
            if not _state(wire.status, wire.conclusion).final:
                raise Rejected("The run has not ended.", hint="Stop it first, or wait.")
            path = self._api.path(service, "actions", "runs", number, "rerun")
            self._change(path, "Running again needs Gitea 1.26 or newer: do it in the forge.")
            with a_change(self._api.client.name):
                wire = self._read(service, number)
            if _attempt(wire) <= attempt:
                raise Rejected("The forge took the request and began no new attempt.", hint="Look at the run in the forge.")
        return self._run(service, wire, self._suites(service, wire))

    def stop(self, run_id: str) -> CheckRun:
        """Cancel its jobs."""
        service, wire = self._found(run_id)
        if not _state(wire.status, wire.conclusion).final:
            path = self._api.path(service, "actions", "runs", wire.id, "cancel")
            try:
                self._change(path, "Stopping needs Gitea 1.28 or newer: do it in the forge.")
            except Rejected as error:
                if error.status != 409:  # it ended meanwhile
                    raise
        return self.run(run_id)

    def _change(self, path: str, hint: str) -> None:
        try:
            self._api.client.write(path, None, parse_nothing)
        except NotFound as error:
            raise NotFound(error.message, hint=hint) from None
        except Rejected as error:
            if error.status == 405:
                raise NotFound(error.message, hint=hint) from None
            raise

    def _mine(self, service: str, found: tuple[RunWire, ...]) -> list[RunWire]:
        pattern = forge_text.filled(self._tag_pattern, service=service)
        mine = [wire for wire in found if not forge_text.foreign(_ref(wire), service, pattern)]
        named = [wire for wire in mine if self._workflow in ("", _workflow(wire))]
        files = sorted({_workflow(wire) for wire in named} - {""})
        if len(files) > 1:
            # one run stands for a commit: a green one must not hide the red one of another workflow
            words = f"{service} has several workflows: {one_line(', '.join(files[:8]), 300)}."
            raise Rejected(words, hint="Name the one that tests as `workflow` of this connection.")
        return named

    def _found(self, run_id: str) -> tuple[str, RunWire]:
        service, number, attempt = _place(run_id)
        wire = self._read(service, number)
        if _attempt(wire) != attempt:
            path = self._api.path(service, "actions", "runs", number, "attempts", attempt)
            wire = self._api.client.read(path, parse_run)
        return service, wire

    def _read(self, service: str, number: int) -> RunWire:
        return self._api.client.read(self._api.path(service, "actions", "runs", number), parse_run)

    def _jobs(self, service: str, wire: RunWire) -> tuple[JobWire, ...]:
        of = ("actions", "runs", wire.id, "attempts", _attempt(wire), "jobs")
        for parts in (of, (*of[:3], "jobs")) if _attempt(wire) > 1 else ((*of[:3], "jobs"),):
            try:
                return self._api.pages(self._api.path(service, *parts), parse_jobs, {}, MAX_JOBS)
            except NotFound:
                continue
        return ()  # this version does not list them

    def _key(self, service: str, wire: RunWire) -> tuple[str, str]:
        return self._api.path(service), f"{wire.id} {_attempt(wire)} {wire.status} {wire.completed_at or wire.stopped}"

    def _known(self, service: str, wire: RunWire) -> tuple[Suite, ...] | None:
        known: tuple[Suite, ...] | None = self._api.kept.get(self._key(service, wire))[1]
        return known

    def _suites(self, service: str, wire: RunWire) -> tuple[Suite, ...]:
        state = _state(wire.status, wire.conclusion)
        jobs = self._jobs(service, wire)
        suites = tuple({_name(job): _suite(job) for job in sorted(jobs, key=lambda job: job.id)}.values())
        if not suites:
            suites = (Suite(_workflow(wire) or "run", state, started_at_us=_start(wire), finished_at_us=_end(wire) if state.final else 0),)
        if state.final:
            self._api.kept.put(self._key(service, wire), "kept", suites)
        return suites

    def _run(self, service: str, wire: RunWire, suites: tuple[Suite, ...]) -> CheckRun:
        state = _state(wire.status, wire.conclusion)
        return CheckRun(
            id=f"{service}:{wire.id}:{_attempt(wire)}",
            service=service,
            version=forge_text.version_of(_ref(wire), service, forge_text.filled(self._tag_pattern, service=service)),
            commit=wire.head_sha or wire.commit_sha or "",
            state=state,
            suites=suites,
            started_at_us=_start(wire),
            finished_at_us=max(_start(wire), _end(wire)) if state.final else 0,
            url=web_address(wire.html_url or ""),
        )


def _state(status: str, conclusion: str | None) -> CheckState:
    """Gitea tells how a run ended in `conclusion`, Forgejo in `status`; a word nobody knows is no answer."""
    return _STATES.get((conclusion or "") if status == "completed" else status, CheckState.INCONCLUSIVE)


def _suite(job: JobWire) -> Suite:
    state = _state(job.status, job.conclusion)
    ended = forge_text.moment_us(job.completed_at) if state.final else 0
    return Suite(_name(job), state, started_at_us=forge_text.moment_us(job.started_at), finished_at_us=ended)


def _name(job: JobWire) -> str:
    return one_line(job.name, 500) or str(job.id)


def _attempt(wire: RunWire) -> int:
    return max(1, wire.run_attempt or 1)


def _workflow(wire: RunWire) -> str:
    """Gitea's path is file@ref."""
    return one_line(wire.workflow_id or (wire.path or "").partition("@")[0], 200).rpartition("/")[2]


def _ref(wire: RunWire) -> str:
    ref = (wire.path or "").partition("@")[2] or wire.prettyref or wire.head_branch or ""
    return ref.removeprefix("refs/tags/").removeprefix("refs/heads/")


def _start(wire: RunWire) -> int:
    return forge_text.moment_us(wire.started_at or wire.started) or forge_text.moment_us(wire.created)


def _end(wire: RunWire) -> int:
    return forge_text.moment_us(wire.completed_at or wire.stopped)


def _place(run_id: str) -> tuple[str, int, int]:
    service, _, rest = run_id.partition(":")
    number, _, attempt = rest.partition(":")
    if not service or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in (number, attempt)):
        raise NotFound(f"There is no run “{one_line(run_id, 100)}”.", hint=_HINT_ID)
    return service, int(number), int(attempt)
