"""What GitLab's REST interface (v4) answers of pipelines, jobs, tests and deployments. Pure: bytes in, types out, BadPayload else."""

from __future__ import annotations

from msgspec import Struct

from cockpit.connectors.gitlab_wire import Number, Seconds, Sha, UserWire
from cockpit.connectors.http_answers import decode
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import Count, Id, Name, Text


class PipelineWire(Struct):
    """A pipeline; lists leave the last three out."""

    id: Number
    sha: Sha
    ref: Name | None
    status: Id
    source: Name | None = ""
    web_url: Name | None = ""
    created_at: Name | None = None
    updated_at: Name | None = None
    started_at: Name | None = None
    finished_at: Name | None = None
    tag: bool | None = None


class JobWire(Struct):
    """A job of a pipeline."""

    id: Number
    name: Id
    status: Id
    stage: Name | None = ""
    allow_failure: bool | None = False
    failure_reason: Name | None = ""
    started_at: Name | None = None
    finished_at: Name | None = None
    pipeline: PipelineWire | None = None


class SuiteSummaryWire(Struct):
    """Counts of the tests of one suite; `build_ids` are the jobs that reported it."""

    name: Name
    total_count: Count = 0
    success_count: Count = 0
    failed_count: Count = 0
    skipped_count: Count = 0
    error_count: Count = 0
    build_ids: tuple[Number, ...] = ()


class SummaryWire(Struct):
    """GET pipelines/:id/test_report_summary."""

    test_suites: tuple[SuiteSummaryWire, ...] = ()


class CaseWire(Struct):
    """One test; `system_output` is text, or an object where the reporter wrote one."""

    name: Name
    status: Id
    classname: Name | None = ""
    execution_time: Seconds | None = 0.0
    system_output: object = None
    stack_trace: Text | None = None


class SuiteReportWire(Struct):
    """The tests of one suite."""

    name: Name
    test_cases: tuple[CaseWire, ...] = ()


class ReportWire(Struct):
    """GET pipelines/:id/test_report."""

    test_suites: tuple[SuiteReportWire, ...] = ()


class VariableWire(Struct):
    """A variable that a pipeline was started with."""

    key: Name
    value: Text | None = ""


class EnvironmentWire(Struct):
    """An environment inside of a deployment."""

    name: Id
    external_url: Name | None = None


class RuleWire(Struct):
    """Who may approve a deployment, in GitLab's words."""

    access_level_description: Name | None = ""
    required_approvals: Count | None = 0
    deployment_approvals: tuple[object, ...] = ()


class RulesWire(Struct):
    """What is still to be approved, rule by rule."""

    rules: tuple[RuleWire, ...] = ()


class DeploymentWire(Struct):
    """A deployment. `deployable` is the job that made it, null where it was recorded through the interface."""

    id: Number
    ref: Name | None
    sha: Sha
    status: Id
    environment: EnvironmentWire
    created_at: Name | None = None
    updated_at: Name | None = None
    deployable: JobWire | None = None
    user: UserWire | None = None
    approval_summary: RulesWire | None = None


def parse_pipelines(body: bytes) -> tuple[PipelineWire, ...]:
    """GET pipelines."""
    return decode(body, tuple[PipelineWire, ...])


def parse_pipeline(body: bytes) -> PipelineWire:
    """GET pipelines/:id, POST pipeline, and its retry and cancel."""
    return decode(body, PipelineWire)


def parse_jobs(body: bytes) -> tuple[JobWire, ...]:
    """GET pipelines/:id/jobs."""
    return decode(body, tuple[JobWire, ...])


def parse_job(body: bytes) -> JobWire:
    """POST jobs/:id/play, cancel and retry."""
    return decode(body, JobWire)


def parse_summary(body: bytes) -> tuple[SuiteSummaryWire, ...]:
    """GET pipelines/:id/test_report_summary."""
    return decode(body, SummaryWire).test_suites


def parse_report(body: bytes) -> tuple[SuiteReportWire, ...]:
    """GET pipelines/:id/test_report."""
    return decode(body, ReportWire).test_suites


def parse_variables(body: bytes) -> dict[str, str]:
    """GET pipelines/:id/variables."""
    return {v.key: v.value or "" for v in decode(body, tuple[VariableWire, ...])}


def parse_deployments(body: bytes) -> tuple[DeploymentWire, ...]:
    """GET deployments."""
    return decode(body, tuple[DeploymentWire, ...])


def parse_deployment(body: bytes) -> DeploymentWire:
    """GET deployments/:id."""
    return decode(body, DeploymentWire)


def parse_answered(body: bytes) -> str:
    """POST deployments/:id/approval: the status that is kept."""
    return one_line(decode(body, _AnsweredWire).status, 100)


class _AnsweredWire(Struct):
    status: Name
