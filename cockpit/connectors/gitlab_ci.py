"""Pipelines of GitLab as test runs: their jobs are the suites, their tests come from the JUnit reports that GitLab keeps."""

from __future__ import annotations

from msgspec.structs import replace

from cockpit.connectors import forge_text
from cockpit.connectors.after import a_change
from cockpit.connectors.gitlab_api import GitlabApi
from cockpit.connectors.gitlab_variables import RERUN, GitlabVariables
from cockpit.connectors.gitlab_wire_ci import (
    CaseWire,
    JobWire,
    PipelineWire,
    SuiteReportWire,
    SuiteSummaryWire,
    parse_jobs,
    parse_pipeline,
    parse_pipelines,
    parse_report,
    parse_summary,
)
from cockpit.connectors.junit import with_tests
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import web_address
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.errors import ConnectorError, NotFound, OutcomeUnknown

MAX_JOBS = 1000
PAGE = 50
MAX_PIPELINES = 1000
NEW_AT_ONCE = 12  # pipelines that one poll reads the jobs of; what has ended is read once
_LOG_BYTES = 400_000  # colours are taken out of it afterwards
_MESSAGE_CHARS = 4000
_STATES = {
    "success": CheckState.PASSED,
    "failed": CheckState.FAILED,
    "running": CheckState.RUNNING,
    "canceling": CheckState.RUNNING,
    "canceled": CheckState.INCONCLUSIVE,
    "skipped": CheckState.INCONCLUSIVE,
} | dict.fromkeys(
    ("created", "pending", "preparing", "waiting_for_resource", "waiting_for_callback", "scheduled", "manual"), CheckState.PENDING
)
_WORST = (CheckState.RUNNING, CheckState.PENDING, CheckState.FAILED, CheckState.ERROR, CheckState.INCONCLUSIVE)
_OF_TESTS = ("script_failure", "job_execution_timeout", "")  # every other reason is the system's own
_OUTCOMES = {"success": "passed", "failed": "failed", "error": "error", "skipped": "skipped"}
_HINT_ID = "Runs have ids of the form service:number."


class GitlabCi:
    """CiSystem over pipelines. From any thread.

    What was started by a deployment of the cockpit is no test run. Manual jobs are no suites: they wait for people.
    """

    def __init__(self, api: GitlabApi, variables: GitlabVariables, tag_pattern: str) -> None:
        self._api = api
        self._variables = variables
        self._tag_pattern = tag_pattern
        self._asked: dict[str, str] = {}  # key -> run that was asked to run again in place

    def runs(self, service: str, limit: int) -> tuple[CheckRun, ...]:
        """The newest first. Of those not seen before, the newest dozen comes with suites; the others get theirs with the next polls."""
        room = max(1, min(limit, MAX_PIPELINES))
        params = {"order_by": "id", "sort": "desc"}
        found = self._api.pages(self._api.path(service, "pipelines"), parse_pipelines, params, max(room, PAGE), PAGE)
        self._api.note(service)
        mine = [wire for wire in found if self._counts(service, wire)][:room]
        fresh = 0
        runs = []
        for wire in mine:
            suites = self._known(service, wire)
            if suites is None and fresh < NEW_AT_ONCE:
                fresh += 1
                suites = self._suites(service, wire, every=False)
            runs.append(self._run(service, wire, suites or ()))
        return tuple(runs)

    def run(self, run_id: str) -> CheckRun:
        """One with all tests."""
        service, number = self._place(run_id)
        return self._whole(service, self._pipeline(service, number))

    def log(self, run_id: str, suite: str) -> str:
        """The end of the job's trace."""
        service, number = self._place(run_id)
        job = next((job for job in self._jobs(service, number) if _name(job) == suite), None)
        if job is None:
            raise NotFound(f"Pipeline {number} has no job “{one_line(suite, 100)}”.", hint="Look at its jobs in GitLab.")
        return forge_text.log_tail(self._api.client.get_text(self._api.path(service, "jobs", job.id, "trace"), tail=_LOG_BYTES))

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """What failed or was stopped runs again in its own pipeline; a pipeline that passed is started anew on the same ref.

        A new pipeline carries the key as a variable, so the key finds it for ever. A retry in place carries nothing: there the key is known
        to this process only, but GitLab itself starts no job a second time while it runs.
        """
        service, number = self._place(run_id)
        if key in self._asked:
            return self.run(self._asked[key])
        known = self._variables.find(service, RERUN, key)
        if known is not None:
            return self._run(service, known, self._suites(service, known, every=True))
        wire = self._pipeline(service, number)
        if wire.status in ("failed", "canceled"):
            self._retry(service, number, key, run_id)
            with a_change(self._api.client.name):
                return self.run(run_id)
        started = self._variables.start(service, wire.ref or "", wire.sha, {RERUN: key})
        return self._run(service, started, ())

    def _retry(self, service: str, number: int, key: str, run_id: str) -> None:
        self._asked[key] = run_id
        try:
            self._api.client.write(self._api.path(service, "pipelines", number, "retry"), None, parse_pipeline)
        except OutcomeUnknown:
            raise
        except ConnectorError:  # it was not done: the same key may ask again
            del self._asked[key]
            raise

    def stop(self, run_id: str) -> CheckRun:
        """Cancel all its jobs."""
        service, number = self._place(run_id)
        wire = self._pipeline(service, number)
        if not self._state(wire, self._jobs(service, number)).final:
            wire = self._api.client.write(self._api.path(service, "pipelines", number, "cancel"), None, parse_pipeline)
            with a_change(self._api.client.name):
                return self._whole(service, wire)
        return self._whole(service, wire)

    def _place(self, run_id: str) -> tuple[str, int]:
        service, _, number = run_id.rpartition(":")
        if not (service and number.isascii() and number.isdecimal() and len(number) < 19):
            raise NotFound(f"There is no run “{one_line(run_id, 100)}”.", hint=_HINT_ID)
        return service, int(number)

    def _pipeline(self, service: str, number: int) -> PipelineWire:
        return self._api.client.read(self._api.path(service, "pipelines", number), parse_pipeline)

    def _jobs(self, service: str, number: int) -> tuple[JobWire, ...]:
        return self._api.pages(self._api.path(service, "pipelines", number, "jobs"), parse_jobs, {}, MAX_JOBS)

    def _counts(self, service: str, wire: PipelineWire) -> bool:
        pattern = forge_text.filled(self._tag_pattern, service=service)
        return not forge_text.foreign(wire.ref or "", service, pattern) and not self._variables.deploys(service, wire)

    def _known(self, service: str, wire: PipelineWire) -> tuple[Suite, ...] | None:
        known: tuple[Suite, ...] | None = self._api.recall(self._key(service, wire))
        return known

    def _key(self, service: str, wire: PipelineWire) -> str:
        return f"suites {self._api.project(service)} {wire.id} {wire.status} {wire.updated_at}"

    def _whole(self, service: str, wire: PipelineWire) -> CheckRun:
        return self._run(service, wire, self._suites(service, wire, every=True))

    def _suites(self, service: str, wire: PipelineWire, every: bool) -> tuple[Suite, ...]:
        """Jobs with counts; the tests themselves where every one is wanted, or some failed."""
        jobs = self._jobs(service, wire.id)
        told = self._api.path(service, "pipelines", wire.id, "test_report_summary")
        ended = wire.status == "manual" or _STATES.get(wire.status, CheckState.INCONCLUSIVE).final
        none: tuple[SuiteSummaryWire, ...] = ()
        counts = self._api.optional(told, parse_summary, none) if ended else none
        suites = suites_of(jobs, counts)
        if any(c.total_count for c in counts) and (every or any(c.failed_count + c.error_count for c in counts)):
            unread: tuple[SuiteReportWire, ...] = ()
            report = self._api.optional(self._api.path(service, "pipelines", wire.id, "test_report"), parse_report, unread)
            suites = tested(suites, jobs, counts, report, every)
        if ended and not every:
            self._api.keep(self._key(service, wire), suites)
        return suites

    def _state(self, wire: PipelineWire, jobs: tuple[JobWire, ...]) -> CheckState:
        return state_of(wire.status, suites_of(jobs, ()))

    def _run(self, service: str, wire: PipelineWire, suites: tuple[Suite, ...]) -> CheckRun:
        state = state_of(wire.status, suites)
        started_us = forge_text.moment_us(wire.created_at)
        return CheckRun(
            id=f"{service}:{wire.id}",
            service=service,
            version=forge_text.version_of(wire.ref or "", service, forge_text.filled(self._tag_pattern, service=service)),
            commit=wire.sha,
            state=state,
            suites=suites,
            started_at_us=started_us,
            finished_at_us=max(started_us, forge_text.moment_us(wire.updated_at)) if state.final else 0,
            url=web_address(wire.web_url or ""),
        )


def state_of(status: str, suites: tuple[Suite, ...]) -> CheckState:
    """A pipeline's state. One that waits for a manual job is as good as its other jobs; a status nobody knows is no answer."""
    if status == "manual" and suites:
        return next((state for state in _WORST if any(s.state is state for s in suites)), CheckState.PASSED)
    broken = [s.state for s in suites if s.state in (CheckState.FAILED, CheckState.ERROR)]
    if status == "failed" and broken and all(state is CheckState.ERROR for state in broken):
        return CheckState.ERROR
    return _STATES.get(status, CheckState.INCONCLUSIVE)


def suites_of(jobs: tuple[JobWire, ...], counts: tuple[SuiteSummaryWire, ...]) -> tuple[Suite, ...]:
    """The jobs that ran or will, in the order in which they were made, with the counts of the reports they left."""
    suites: dict[str, Suite] = {}
    for job in sorted(jobs, key=lambda job: job.id):
        if job.status != "manual":
            suites[_name(job)] = _suite(job, _reported(job, counts))
    return tuple(suites.values())


def tested(
    suites: tuple[Suite, ...],
    jobs: tuple[JobWire, ...],
    counts: tuple[SuiteSummaryWire, ...],
    report: tuple[SuiteReportWire, ...],
    every: bool,
) -> tuple[Suite, ...]:
    """The suites with their tests: with every one, or with those that failed."""
    cases = {suite.name: suite.test_cases for suite in report}
    found = []
    reported = {_name(job): told for job in jobs if (told := _reported(job, counts)) is not None}
    for suite in suites:
        told = reported.get(suite.name)
        tests = tuple(_test(case) for case in cases.get(told.name, ())) if told is not None else ()
        if every and tests:
            found.append(with_tests(suite, tests))
        else:
            found.append(replace(suite, tests=tuple(t for t in tests if t.outcome in ("failed", "error"))))
    return tuple(found)


def _reported(job: JobWire, counts: tuple[SuiteSummaryWire, ...]) -> SuiteSummaryWire | None:
    """The report of this job; one that several parallel jobs left together belongs to the first of them."""
    return next((told for told in counts if told.build_ids and min(told.build_ids) == job.id), None)


def _suite(job: JobWire, told: SuiteSummaryWire | None) -> Suite:
    state = _STATES.get(job.status, CheckState.INCONCLUSIVE)
    if state is CheckState.FAILED and (job.failure_reason or "") not in _OF_TESTS:
        state = CheckState.ERROR
    return Suite(
        name=_name(job),
        state=state,
        total=told.total_count if told else 0,
        passed=told.success_count if told else 0,
        failed=told.failed_count if told else 0,
        errors=told.error_count if told else 0,
        skipped=told.skipped_count if told else 0,
        started_at_us=forge_text.moment_us(job.started_at),
        finished_at_us=forge_text.moment_us(job.finished_at),
    )


def _name(job: JobWire) -> str:
    return one_line(job.name, 500) or str(job.id)


def _test(case: CaseWire) -> TestResult:
    name = one_line(f"{case.classname}.{case.name}" if case.classname else case.name, 1000)
    words = case.system_output if isinstance(case.system_output, str) else ""
    said = "\n".join(part for part in (words, case.stack_trace or "") if part)
    return TestResult(name, _OUTCOMES.get(case.status, "error"), case.execution_time or 0.0, plain(said, _MESSAGE_CHARS))
