"""Builds and build requests of Buildbot as runs of the cockpit. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from cockpit.connectors.buildbot_wire import SKIPPED, BuildsetWire, BuildWire, LogWire, Properties, RequestWire, SourceWire, StepWire
from cockpit.connectors.junit import with_tests
from cockpit.connectors.text import one_line, plain
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import parse_tag

# Warnings let Buildbot go on and call the build good, and so does the cockpit: the step that warned keeps its own state. A build that was
# skipped, given up because its worker went away (Buildbot begins it again by itself) or cancelled has answered nothing.
STATES = {
    0: CheckState.PASSED,
    1: CheckState.PASSED,
    2: CheckState.FAILED,
    SKIPPED: CheckState.INCONCLUSIVE,
    4: CheckState.ERROR,
    5: CheckState.INCONCLUSIVE,
    6: CheckState.INCONCLUSIVE,
}
_COMMIT = frozenset("0123456789abcdef")


class Naming(Struct, frozen=True):
    """How a team names things in its Buildbot: the address, the builder of a service, the property of the version, tags, reports."""

    url: str
    builder: str = "{service}"
    version: str = ""
    tag_pattern: str = ""
    codebase: str = ""
    junit: str = "junit*.xml"

    @property
    def properties(self) -> tuple[str, ...]:
        """The properties that tell version and commit."""
        return tuple(name for name in dict.fromkeys((self.version, "version", "tag", "branch", "got_revision", "revision")) if name)


def is_report(log: LogWire, naming: Naming) -> bool:
    """Whether a log is a JUnit report."""
    return log.complete and fnmatchcase(log.name.lower(), naming.junit.lower())


def version_of(properties: Properties | None, service: str, naming: Naming) -> str:
    """The version that was built, "" where no property tells: the one named in the settings, else `version`, `tag` or `branch`."""
    for name in (naming.version,) if naming.version else ("version", "tag", "branch"):
        value = _value(properties, name, naming.codebase)
        if not value:
            continue
        tag = value.removeprefix("refs/tags/")
        parsed = parse_tag(tag, naming.tag_pattern.replace("{service}", service))
        if parsed is not None and parsed.prefix in ("", service):
            return one_line(parsed.name, 200)
        if name == naming.version or name == "version":
            return one_line(value, 200)
    return ""


def commit_of(properties: Properties | None, naming: Naming) -> str:
    """The commit that was built, "" while it is not known."""
    for name in ("got_revision", "revision"):
        value = _value(properties, name, naming.codebase).lower()
        if 7 <= len(value) <= 64 and set(value) <= _COMMIT:
            return value
    return ""


def _value(properties: Properties | None, name: str, codebase: str) -> str:
    value = (properties or {}).get(name, ("", ""))[0]
    if isinstance(value, dict):  # one for each codebase
        value = value.get(codebase) if codebase in value or len(value) != 1 else next(iter(value.values()))
    return value if isinstance(value, str) else ""


def suite_of(step: StepWire, tests: tuple[TestResult, ...] = ()) -> Suite:
    """A step as a suite."""
    if step.complete:
        state = STATES.get(-1 if step.results is None else step.results, CheckState.INCONCLUSIVE)
    else:
        state = CheckState.PENDING if step.started_at is None else CheckState.RUNNING
    suite = Suite(one_line(step.name, 200), state, started_at_us=_us(step.started_at), finished_at_us=_us(step.complete_at))
    return with_tests(suite, tests) if tests else suite


def run_of(build: BuildWire, service: str, naming: Naming, suites: tuple[Suite, ...]) -> CheckRun:
    """A build as a run. Its id is that of its request, which it keeps from waiting to the end, also when its worker is lost meanwhile."""
    state = STATES.get(-1 if build.results is None else build.results, CheckState.INCONCLUSIVE) if build.complete else CheckState.RUNNING
    return CheckRun(
        id=str(build.buildrequestid),
        service=service,
        version=version_of(build.properties, service, naming),
        commit=commit_of(build.properties, naming),
        state=state,
        suites=suites,
        started_at_us=_us(build.started_at),
        finished_at_us=_us(build.complete_at),
        url=f"{naming.url.rstrip('/')}/#/builders/{build.builderid}/builds/{build.number}",
    )


def waiting_run(request: RequestWire, buildset: BuildsetWire | None, service: str, naming: Naming) -> CheckRun:
    """A request without a build: it waits since it was asked for; one that ended so was cancelled or merged into a later one."""
    sources = buildset.sourcestamps if buildset is not None else ()
    source = next((s for s in sources if s.codebase == naming.codebase), sources[0] if sources else SourceWire())
    asked: Properties = {"branch": (source.branch, ""), "revision": (source.revision, "")}
    properties = asked | (request.properties or {})
    return CheckRun(
        id=str(request.buildrequestid),
        service=service,
        version=version_of(properties, service, naming),
        commit=commit_of(properties, naming),
        state=CheckState.INCONCLUSIVE if request.complete else CheckState.PENDING,
        started_at_us=_us(request.submitted_at),
        finished_at_us=_us(request.complete_at),
        url=f"{naming.url.rstrip('/')}/#/buildrequests/{request.buildrequestid}",
    )


def unreadable(log: LogWire, error: BadPayload) -> tuple[TestResult, ...]:
    """What stands for a report that cannot be read: one broken test that says so."""
    return (TestResult(one_line(log.name, 200), "error", 0.0, plain(error.message, 500)),)


def brief(run: CheckRun) -> CheckRun:
    """The run with the single tests of suites under way and with failures only, as a list of runs holds them."""
    suites = tuple(
        msgspec.structs.replace(suite, tests=tuple(t for t in suite.tests if t.outcome in ("failed", "error")))
        if suite.state.final
        else suite
        for suite in run.suites
    )
    return msgspec.structs.replace(run, suites=suites)


def _us(seconds: int | None) -> int:
    return (seconds or 0) * 1_000_000
