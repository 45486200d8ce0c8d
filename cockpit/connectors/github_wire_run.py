"""What GitHub answers about work: Actions runs, jobs, annotations, deployments, their statuses, and what waits for a person. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cockpit.connectors.github_wire import AccountWire, Number, Sha, Time, at_us
from cockpit.connectors.http_answers import decode
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import Id, Name, Text
from cockpit.domain.checks import CheckState, TestResult
from cockpit.domain.release import DeployState

MAX_MESSAGE = 4000
_ENDED = {
    "success": CheckState.PASSED,
    "failure": CheckState.FAILED,
    "timed_out": CheckState.ERROR,
    "startup_failure": CheckState.ERROR,
}
_DEPLOY = {
    "success": DeployState.SUCCEEDED,
    "failure": DeployState.FAILED,
    "error": DeployState.FAILED,
    "in_progress": DeployState.RUNNING,
    "queued": DeployState.QUEUED,
    "pending": DeployState.QUEUED,
    "waiting": DeployState.QUEUED,
}
_RUN_LINK = re.compile(r"/actions/runs/(\d{1,19})(?:/|$)")


class HeadCommitWire(Struct):
    """The commit of a run, with its date."""

    id: Sha
    timestamp: Time | None = None


class RunWire(Struct):
    """One workflow run; its number stays when it is run again, and its attempt grows."""

    id: Number
    head_sha: Sha
    status: Name | None
    workflow_id: Number
    name: Name | None = ""
    head_branch: Name | None = ""
    conclusion: Name | None = None
    run_attempt: Number = 1
    display_title: Text = ""
    event: Name = ""
    path: Name = ""
    created_at: Time | None = None
    run_started_at: Time | None = None
    updated_at: Time | None = None
    html_url: Name = ""
    head_commit: HeadCommitWire | None = None

    @property
    def state(self) -> CheckState:
        return check_state(self.status, self.conclusion)


class RunsWire(Struct):
    """GET …/actions/runs."""

    workflow_runs: tuple[RunWire, ...]


class StepWire(Struct):
    """One step of a job."""

    name: Name
    status: Name
    conclusion: Name | None = None
    started_at: Time | None = None
    completed_at: Time | None = None


class JobWire(Struct):
    """One job of a run; it is a check run as well, and its annotations hang there."""

    id: Number
    name: Name
    status: Name
    conclusion: Name | None = None
    started_at: Time | None = None
    completed_at: Time | None = None
    steps: tuple[StepWire, ...] = ()
    check_run_url: Name = ""

    @property
    def state(self) -> CheckState:
        return check_state(self.status, self.conclusion)


class JobsWire(Struct):
    """GET …/actions/runs/{id}/jobs."""

    jobs: tuple[JobWire, ...]


class AnnotationWire(Struct):
    """One remark of a check run."""

    path: Name = ""
    start_line: Number | None = None
    annotation_level: Name | None = ""
    title: Text | None = ""
    message: Text | None = ""


class DeploymentWire(Struct):
    """One deployment; its statuses are asked for on their own. `payload` is an object or text, as whoever made it liked."""

    id: Number
    sha: Sha
    ref: Name
    environment: Name
    task: Name = ""
    payload: Any = None
    description: Text | None = ""
    creator: AccountWire | None = None
    created_at: Time | None = None

    def said(self, name: str) -> str:
        """A word of the payload, "" where it holds none."""
        payload = self.payload
        if isinstance(payload, str):
            try:
                payload = msgspec.json.decode(payload)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                return ""
        found = payload.get(name) if isinstance(payload, dict) else None
        return plain(found, MAX_MESSAGE) if isinstance(found, str) else ""


class StatusWire(Struct):
    """One status of a deployment."""

    id: Number
    state: Name
    description: Text | None = ""
    created_at: Time | None = None
    log_url: Name | None = ""
    target_url: Name | None = ""
    creator: AccountWire | None = None


class Standing(Struct, frozen=True):
    """What a deployment's statuses come to. `final_at_us`: when it ended, 0 while it goes on; `run`: the Actions run behind it, if any."""

    state: DeployState
    message: str = ""
    final_at_us: int = 0
    run: int = 0


class ReviewerWire(Struct):
    """A person or a team."""

    login: Name = ""
    name: Name | None = ""
    slug: Name = ""


class ReviewerKindWire(Struct):
    """One of those who may answer."""

    reviewer: ReviewerWire | None = None


class EnvironmentWire(Struct):
    """What is waited for."""

    id: Number
    name: Id


class PendingWire(Struct):
    """GET …/actions/runs/{id}/pending_deployments."""

    environment: EnvironmentWire
    current_user_can_approve: bool = False
    reviewers: Annotated[tuple[ReviewerKindWire, ...], Meta(max_length=1000)] = ()


def check_state(status: str | None, conclusion: str | None) -> CheckState:
    """A run's, a job's or a step's state; words that are not known never count as passed."""
    if status == "completed":
        return _ENDED.get(conclusion or "", CheckState.INCONCLUSIVE)
    return CheckState.RUNNING if status == "in_progress" else CheckState.PENDING


def parse_runs(body: bytes) -> tuple[RunWire, ...]:
    """Runs, newest first."""
    return decode(body, RunsWire).workflow_runs


def parse_run(body: bytes) -> RunWire:
    """One run."""
    return decode(body, RunWire)


def parse_jobs(body: bytes) -> tuple[JobWire, ...]:
    """The jobs of a run."""
    return decode(body, JobsWire).jobs


def parse_annotations(body: bytes) -> tuple[TestResult, ...]:
    """What failed, as a check run's annotations name it; remarks and warnings are left out."""
    found = (wire for wire in decode(body, tuple[AnnotationWire, ...]) if wire.annotation_level == "failure")
    return tuple(TestResult(_title(wire), "failed", 0.0, plain(wire.message or "", MAX_MESSAGE)) for wire in found)


def _title(wire: AnnotationWire) -> str:
    place = f"{wire.path}:{wire.start_line}" if wire.start_line else wire.path
    return one_line(wire.title or place or "failure", 500)


def parse_deployments(body: bytes) -> tuple[DeploymentWire, ...]:
    """Deployments, newest first."""
    return decode(body, tuple[DeploymentWire, ...])


def parse_deployment(body: bytes) -> DeploymentWire:
    """One deployment; the answer to a merge that GitHub made instead is none."""
    return decode(body, DeploymentWire)


def parse_statuses(body: bytes) -> tuple[StatusWire, ...]:
    """Statuses, newest first."""
    return decode(body, tuple[StatusWire, ...])


def parse_status(body: bytes) -> StatusWire:
    """One status."""
    return decode(body, StatusWire)


def parse_pending(body: bytes) -> tuple[PendingWire, ...]:
    """What a run waits for."""
    return decode(body, tuple[PendingWire, ...])


def standing(statuses: tuple[StatusWire, ...]) -> Standing:
    """What the statuses of one deployment come to, whatever their order; none yet: queued.

    GitHub marks what a later deployment replaced as inactive: then the word before that counts. Inactive without any end was aborted.
    """
    ordered = sorted(statuses, key=lambda s: (at_us(s.created_at), s.id), reverse=True)
    link = next((found for s in ordered if (found := _RUN_LINK.search(s.log_url or s.target_url or ""))), None)
    run = int(link.group(1)) if link else 0
    if not ordered:
        return Standing(DeployState.QUEUED, run=run)
    newest = next((s for s in ordered if s.state not in ("inactive", "destroyed")), ordered[0])
    state = _DEPLOY.get(newest.state, DeployState.QUEUED)
    if ordered[0] is not newest and not state.final:
        newest = next(s for s in reversed(ordered) if s.state in ("inactive", "destroyed"))
    if newest.state in ("inactive", "destroyed"):
        state = DeployState.ABORTED
    ended = at_us(newest.created_at) if state.final else 0
    return Standing(state, plain(newest.description or "", MAX_MESSAGE), ended, run)
