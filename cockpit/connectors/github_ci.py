"""Test runs from GitHub Actions: runs, their jobs as suites, steps and annotations as tests, logs, running again and stopping."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from urllib.parse import urljoin, urlsplit

from msgspec.structs import replace

from cockpit.connectors.after import a_change
from cockpit.connectors.github_api import Api, Budget, cancel_run, numbered, parse_nothing
from cockpit.connectors.github_source import Source
from cockpit.connectors.github_wire import at_us
from cockpit.connectors.github_wire_run import JobWire, RunWire, StepWire, check_state, parse_annotations, parse_jobs, parse_run, parse_runs
from cockpit.connectors.http import HttpClient
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import web_address
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.errors import BadPayload, NotFound, Rejected
from cockpit.domain.release import parse_tag

LOG_BYTES = 200_000
SHARED_S = 30.0
DETAILED = 2  # finished runs of versions whose jobs are read at once; those of others while the budget lasts
JOBS_FIRST, JOBS_PER_HOUR = 20.0, 20.0
WHOLE_S = 600.0  # how long the old runs of a commit are believed
MOST_WHOLE = 5000
MOST_ANNOTATED = 5  # failed jobs of a run whose annotations are read
_WORST = (CheckState.FAILED, CheckState.ERROR, CheckState.INCONCLUSIVE, CheckState.RUNNING, CheckState.PENDING, CheckState.PASSED)
_OUTCOMES = {CheckState.PASSED: "passed", CheckState.FAILED: "failed", CheckState.ERROR: "error", CheckState.RUNNING: "running"}


class Actions:
    """CiSystem's part of GitHub. A run's id is `service/number-attempt`: running it again makes a new one."""

    def __init__(self, api: Api, source: Source, log_client: Callable[[str], HttpClient]) -> None:
        self._api = api
        self._source = source
        self._log_client = log_client
        self._suites: dict[tuple[str, int], tuple[Suite, ...]] = {}  # of attempts that have ended, with all tests
        self._whole: dict[str, None] = {}  # commits whose runs were asked for, however old they are
        self._budget = Budget(JOBS_FIRST, JOBS_PER_HOUR, api.monotonic)

    # runs

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest first. Jobs of finished runs are read for the newest versions at once, for older ones bit by bit."""
        wires = self.listed(service, max(1, limit), who=f"runs:{service}")
        ordered = sorted(wires, key=lambda w: (at_us(w.run_started_at or w.created_at), w.id), reverse=True)[: max(1, limit)]
        names = self._names(service, ordered)
        left, found, seen = DETAILED, [], set[str]()
        for wire in ordered:
            fresh = wire.status != "completed" or (wire.head_sha in names and left > 0)
            left -= wire.status == "completed" and wire.head_sha in names
            suites = self._read(service, wire, fresh)
            run = self._run(service, wire, names.get(wire.head_sha, ""), _shortened(suites))
            if wire.head_sha not in seen:
                cut = len(wires) >= max(1, limit) and wire.head_sha in names
                run = self._beside(run, wire, self._of_commit(service, wire, wires, fresh) if cut else wires)
            seen.add(wire.head_sha)
            found.append(run)
        return tuple(found)

    def _of_commit(self, service: str, wire: RunWire, wires: tuple[RunWire, ...], at_once: bool) -> tuple[RunWire, ...]:
        """With those that the list is too short for: a tag may be new whose commit failed on its branch long ago."""
        if self._api.names.workflow or (wire.head_sha not in self._whole and not at_once and not self._budget.take()):
            return wires
        self._whole[wire.head_sha] = None
        if len(self._whole) > MOST_WHOLE:
            self._whole.pop(next(iter(self._whole)), None)
        path = self._api.path(service, "actions", "runs")
        others = self._api.pages(path, parse_runs, {"head_sha": wire.head_sha}, within_s=WHOLE_S)
        return tuple({run.id: run for run in (*others, *wires)}.values())

    def listed(self, service: str, limit: int, within_s: float = SHARED_S, who: str = "") -> tuple[RunWire, ...]:
        """Runs as GitHub lists them, each once."""
        workflow = self._api.names.workflow.replace("{service}", service)
        parts = ("workflows", workflow, "runs") if workflow else ("runs",)

        def enough(runs: tuple[RunWire, ...]) -> bool:
            return len(runs) >= limit

        found = self._api.pages(self._api.path(service, "actions", *parts), parse_runs, enough=enough, within_s=within_s, who=who)
        for wire in found:
            if wire.head_commit is not None:
                self._source.note_date(service, wire.head_commit.id, at_us(wire.head_commit.timestamp))
        return tuple({wire.id: wire for wire in found}.values())

    def run(self, run_id: str) -> CheckRun:
        """One run with all its steps and annotations."""
        service, number, attempt = split(run_id)
        wire = self._wire(service, number, attempt)
        suites = self._read(service, wire, True)
        run = self._run(service, wire, self._names(service, [wire]).get(wire.head_sha, ""), suites)
        if self._api.names.workflow:
            return run
        path = self._api.path(service, "actions", "runs")
        others = self._api.pages(path, parse_runs, {"head_sha": wire.head_sha}, within_s=0.0)
        newest = max(others, key=lambda w: (at_us(w.run_started_at or w.created_at), w.id), default=wire)
        return self._beside(run, wire, others) if newest.id == wire.id else run

    def _wire(self, service: str, number: str, attempt: int) -> RunWire:
        address = self._api.path(service, "actions", "runs", number)
        wire = self._api.read(address, parse_run)
        return wire if wire.run_attempt == attempt else self._api.read(f"{address}/attempts/{attempt}", parse_run)

    def _names(self, service: str, wires: list[RunWire]) -> dict[str, str]:
        """Versions by commit: of the runs that a tag started by their own word, else of the tags."""
        names: dict[str, str] = {}
        for version in reversed(self._source.known(service)):
            names[version.commit] = version.name
        pattern = self._api.names.tag_of(service)
        for wire in wires:
            parsed = parse_tag(wire.head_branch or "", pattern) if wire.event == "push" and wire.head_sha not in names else None
            if parsed is not None and parsed.prefix in ("", service):
                names[wire.head_sha] = parsed.name
        return names

    def _run(self, service: str, wire: RunWire, version: str, suites: tuple[Suite, ...]) -> CheckRun:
        ended = wire.state.final
        started = at_us(wire.run_started_at or wire.created_at)
        return CheckRun(
            id=f"{service}/{wire.id}-{wire.run_attempt}",
            service=service,
            version=version,
            commit=wire.head_sha,
            state=wire.state,
            suites=suites,
            started_at_us=started,
            finished_at_us=max(started, at_us(wire.updated_at)) if ended else 0,
            url=plain(web_address(wire.html_url)),
        )

    def _beside(self, run: CheckRun, wire: RunWire, wires: tuple[RunWire, ...]) -> CheckRun:
        """The newest run of a commit speaks for all workflows that ran on it: each other one is a suite, and the worst decides."""
        if self._api.names.workflow:
            return run
        others: dict[int, RunWire] = {}
        for other in sorted(wires, key=lambda w: (at_us(w.run_started_at or w.created_at), w.id)):
            if other.head_sha == wire.head_sha and other.workflow_id != wire.workflow_id:
                others[other.workflow_id] = other
        mine = {suite.name for suite in run.suites}
        counted = (other for other in others.values() if other.conclusion not in ("skipped", "neutral"))
        more = [Suite(unused(one_line(w.name or w.path, 200) or str(w.workflow_id), mine), w.state) for w in counted]
        states = {run.state, *(suite.state for suite in more)}
        return replace(run, suites=(*run.suites, *more), state=next(s for s in _WORST if s in states)) if more else run

    # suites

    def _read(self, service: str, wire: RunWire, at_once: bool) -> tuple[Suite, ...]:
        """The jobs of a run's attempt; what has ended is read once."""
        key = (self._api.path(service, str(wire.id)), wire.run_attempt)
        known = self._suites.get(key)
        if known is not None or not (at_once or self._budget.take()):
            return known or ()
        address = self._api.path(service, "actions", "runs", str(wire.id), "attempts", str(wire.run_attempt), "jobs")
        names: set[str] = set()
        suites, annotated = [], 0
        for job in self._api.pages(address, parse_jobs):
            more: tuple[TestResult, ...] = ()
            if job.status == "completed" and job.state in (CheckState.FAILED, CheckState.ERROR) and annotated < MOST_ANNOTATED:
                annotated += 1
                more = self._annotations(service, job)
            suites.append(_suite(job, unused(one_line(job.name, 200) or str(job.id), names), more))
        if wire.status == "completed":
            self._suites[key] = tuple(suites)
            if len(self._suites) > 5000:
                self._suites.pop(next(iter(self._suites)), None)
        return tuple(suites)

    def _annotations(self, service: str, job: JobWire) -> tuple[TestResult, ...]:
        number = job.check_run_url.rpartition("/")[2] or str(job.id)
        try:
            return self._api.pages(self._api.path(service, "check-runs", number, "annotations"), parse_annotations)
        except NotFound:
            return ()  # they are kept for some months only

    def log(self, run_id: str, suite: str) -> str:
        """The end of a job's log. GitHub keeps it elsewhere: fetched from there without the token, and never without encryption."""
        service, number, attempt = split(run_id)
        names: set[str] = set()
        address = self._api.path(service, "actions", "runs", number, "attempts", str(attempt), "jobs")
        jobs = {unused(one_line(job.name, 200) or str(job.id), names): job for job in self._api.pages(address, parse_jobs)}
        if suite not in jobs:
            raise NotFound(f"That run has no job “{one_line(suite, 200)}”.", hint="Jobs that have not begun have no log yet.")
        base = self._api.path(service, "actions", "jobs", str(jobs[suite].id), "logs")
        answer = self._api.client.first_answer(base)
        if answer.status == 200:
            return plain(answer.body[-LOG_BYTES:].decode("utf-8", "replace"))
        return plain(self._elsewhere(urljoin(self._api.base, answer.headers.get("location", "nowhere:"))))

    def _elsewhere(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            own = urlsplit(self._api.base).scheme
            good = parts.hostname and "@" not in parts.netloc and parts.scheme in ("https", own)
        except ValueError:
            good = False
        if not good:
            raise BadPayload("GitHub points to a log at an address that is not safe to follow.", hint="Look at the log in the browser.")
        with closing(self._log_client(f"{parts.scheme}://{parts.netloc}")) as client:
            return client.get_text(parts.path + (f"?{parts.query}" if parts.query else ""), tail=LOG_BYTES)

    # writes

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """Run again what has ended. Running attempt 1 again makes attempt 2 and nothing else does, so asking twice starts one."""
        service, number, attempt = split(run_id)
        wire = self._wire_now(service, number)
        if wire.run_attempt > attempt:
            return self.run(f"{service}/{number}-{wire.run_attempt}")
        if attempt > wire.run_attempt:
            raise NotFound(f"Run {number} has no attempt {attempt}.", hint="Look at the list again.")
        if not wire.state.final:
            raise Rejected("That run has not ended yet.", hint="Stop it first, or wait for its end.", status=409)
        self._api.write(self._api.path(service, "actions", "runs", number, "rerun"), None, parse_nothing)
        with a_change(self._api.client.name):
            again = self._wire_now(service, number)
            if again.run_attempt == attempt:  # accepted, and not to be seen yet
                again = replace(again, run_attempt=attempt + 1, status="queued", conclusion=None)
            return self._run(service, again, self._names(service, [again]).get(again.head_sha, ""), ())

    def stop(self, run_id: str) -> CheckRun:
        """Cancel it; what has ended stays as it is."""
        service, number, attempt = split(run_id)
        wire = self._wire(service, number, attempt)
        if not wire.state.final and wire.run_attempt == self._wire_now(service, number).run_attempt:
            cancel_run(self._api, service, number)
            with a_change(self._api.client.name):
                return self.run(run_id)
        return self.run(run_id)

    def _wire_now(self, service: str, number: str) -> RunWire:
        return self._api.read(self._api.path(service, "actions", "runs", number), parse_run)


def split(run_id: str) -> tuple[str, str, int]:
    """(service, number, attempt) of a run's id; NotFound for what is none."""
    whole, _, attempt = run_id.rpartition("-")
    service, number = numbered(whole)
    if not (attempt.isascii() and attempt.isdigit()) or not 0 < len(attempt) < 7:
        raise NotFound(f"GitHub has no run “{one_line(run_id, 100)}”.", hint="Look at the list again.")
    return service, number, int(attempt)


def unused(name: str, names: set[str]) -> str:
    """`name`, with a number where it is taken; takes it."""
    found, count = name, 1
    while found in names:
        count += 1
        found = f"{name} ({count})"
    names.add(found)
    return found


def _suite(job: JobWire, name: str, more: tuple[TestResult, ...]) -> Suite:
    """A job: its steps are its tests, and what its annotations name are tests that failed."""
    begun = (step for step in job.steps if check_state(step.status, step.conclusion) is not CheckState.PENDING)
    tests = tuple(_step(step) for step in begun) + more
    count = [test.outcome for test in tests]
    return Suite(
        name=name,
        state=job.state,
        total=len(job.steps) + len(more),
        passed=count.count("passed"),
        failed=count.count("failed"),
        errors=count.count("error"),
        skipped=count.count("skipped"),
        started_at_us=at_us(job.started_at) if job.status != "queued" else 0,
        finished_at_us=at_us(job.completed_at) if job.state.final else 0,
        tests=tests,
    )


def _step(step: StepWire) -> TestResult:
    state = check_state(step.status, step.conclusion)
    spent_s = (at_us(step.completed_at) - at_us(step.started_at)) / 1e6 if step.started_at and step.completed_at else 0.0
    return TestResult(one_line(step.name, 500), _OUTCOMES.get(state, "skipped" if state.final else "running"), max(0.0, spent_s))


def _shortened(suites: tuple[Suite, ...]) -> tuple[Suite, ...]:
    """Single tests for what goes on and what failed."""
    kept = ("failed", "error")
    return tuple(s if not s.state.final else replace(s, tests=tuple(t for t in s.tests if t.outcome in kept)) for s in suites)
