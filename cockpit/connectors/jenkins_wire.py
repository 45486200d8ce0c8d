"""What Jenkins' remote interface answers to questions with a `tree`, as wire types. Pure: bytes in, types out, BadPayload else."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from cockpit.connectors.http_answers import decode
from cockpit.connectors.wire_values import Count, Id, Name, Text

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Ms = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]

BUILD_TREE = (
    "number,url,queueId,result,building,timestamp,duration,actions[parameters[name,value],lastBuiltRevision[SHA1,branch[name]],"
    "remoteUrls,totalCount,failCount,skipCount,urlName]"
)
QUEUE_TREE = "items[id,inQueueSince,task[url],actions[parameters[name,value]]]"
CASES = 5000  # of one suite of a test report
REPORT_TREE = f"suites[name,enclosingBlockNames,cases[className,name,status,duration,errorDetails,errorStackTrace]{{0,{CASES}}}]{{0,500}}"


class ParameterWire(Struct):
    """A parameter; `value` is left out where it is a secret or a file."""

    name: Name
    value: object = None


class BranchWire(Struct):
    """A branch or tag that was built."""

    name: Name | None = ""


class RevisionWire(Struct):
    """What git checked out."""

    sha: Name | None = field(default="", name="SHA1")
    branch: tuple[BranchWire, ...] | None = ()


class ActionWire(Struct, rename="camel"):
    """One of the things that plugins hang onto a build; most of them are empty here."""

    parameters: tuple[ParameterWire, ...] | None = None
    last_built_revision: RevisionWire | None = None
    remote_urls: tuple[Name, ...] | None = None
    total_count: Count | None = None
    fail_count: Count | None = None
    skip_count: Count | None = None
    url_name: Name | None = None


class BuildWire(Struct, rename="camel"):
    """A build. Times in milliseconds."""

    number: Number
    url: Name | None = ""
    queue_id: int | None = 0
    result: Name | None = None
    building: bool | None = False
    timestamp: Ms = 0
    duration: int | None = 0
    actions: tuple[ActionWire | None, ...] | None = ()


class DefinitionWire(Struct):
    """A parameter that a job declares."""

    name: Name


class PropertyWire(Struct, rename="camel"):
    """A property of a job; of interest are its parameters."""

    parameter_definitions: tuple[DefinitionWire, ...] | None = None


class JobWire(Struct, rename="camel"):
    """A job with its newest builds; a folder has neither."""

    in_queue: bool | None = False
    next_build_number: Number | None = None
    properties: tuple[PropertyWire | None, ...] | None = field(default=(), name="property")
    builds: tuple[BuildWire, ...] | None = None
    all_builds: tuple[BuildWire, ...] | None = None

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the parameters that it takes."""
        return frozenset(d.name for p in self.properties or () if p is not None for d in p.parameter_definitions or ())


class TaskWire(Struct):
    """What waits: a job's address."""

    url: Name | None = ""


class ItemWire(Struct, rename="camel"):
    """A build that has not begun."""

    id: Number
    in_queue_since: Ms = 0
    task: TaskWire | None = None
    actions: tuple[ActionWire | None, ...] | None = ()


class QueueWire(Struct):
    """All that waits."""

    items: tuple[ItemWire, ...] = ()


class StageWire(Struct, rename="camel"):
    """A stage of a pipeline's build."""

    id: Name
    name: Name
    status: Id
    start_time_millis: Ms = 0
    duration_millis: int | None = 0


class StagesWire(Struct):
    """GET wfapi/describe."""

    stages: tuple[StageWire, ...] = ()


class CaseWire(Struct, rename="camel"):
    """A test."""

    name: Name
    status: Id
    class_name: Name | None = ""
    duration: Seconds | None = 0.0
    error_details: Text | None = None
    error_stack_trace: Text | None = None


class SuiteWire(Struct, rename="camel"):
    """Tests of one file; `enclosing_block_names` are the stages around the step that read it, the innermost first."""

    name: Name | None = ""
    enclosing_block_names: tuple[Name, ...] | None = ()
    cases: tuple[CaseWire, ...] | None = ()


class ReportWire(Struct):
    """GET testReport."""

    suites: tuple[SuiteWire, ...] = ()


class CrumbWire(Struct, rename="camel"):
    """GET crumbIssuer."""

    crumb: Id
    crumb_request_field: Id


class WhoWire(Struct):
    """GET whoAmI."""

    name: Name
    anonymous: bool = False


def parse_job(body: bytes) -> JobWire:
    """GET a job."""
    return decode(body, JobWire)


def parse_build(body: bytes) -> BuildWire:
    """GET a build."""
    return decode(body, BuildWire)


def parse_queue(body: bytes) -> tuple[ItemWire, ...]:
    """GET the queue."""
    return decode(body, QueueWire).items


def parse_stages(body: bytes) -> tuple[StageWire, ...]:
    """GET wfapi/describe of a build."""
    return decode(body, StagesWire).stages


def parse_report(body: bytes) -> tuple[SuiteWire, ...]:
    """GET testReport of a build."""
    return decode(body, ReportWire).suites


def parse_crumb(body: bytes) -> tuple[str, str]:
    """GET crumbIssuer: (header, value)."""
    found = decode(body, CrumbWire)
    return found.crumb_request_field, found.crumb


def parse_who(body: bytes) -> WhoWire:
    """GET whoAmI."""
    return decode(body, WhoWire)


def parse_nothing(body: bytes) -> None:
    """What answers a write that is looked at again afterwards."""
