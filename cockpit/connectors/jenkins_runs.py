"""Builds of Jenkins as test runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from cockpit.connectors import forge_text
from cockpit.connectors.jenkins_wire import ActionWire, BuildWire, CaseWire, ItemWire, ParameterWire, StageWire, SuiteWire
from cockpit.connectors.junit import with_tests
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import LAST_US, web_address
from cockpit.domain.checks import CheckRun, CheckState, Suite, TestResult

ONE_SUITE = "build"  # of a build without stages
TESTS = "tests"  # tests that no stage is told for
_MESSAGE_CHARS = 4000
_RESULTS = {
    "SUCCESS": CheckState.PASSED,
    "UNSTABLE": CheckState.FAILED,
    "FAILURE": CheckState.FAILED,
    "ABORTED": CheckState.INCONCLUSIVE,
    "NOT_BUILT": CheckState.INCONCLUSIVE,
}
_STAGES = {
    "SUCCESS": CheckState.PASSED,
    "UNSTABLE": CheckState.FAILED,
    "FAILED": CheckState.FAILED,
    "IN_PROGRESS": CheckState.RUNNING,
    "PAUSED_PENDING_INPUT": CheckState.PENDING,
}
_OUTCOMES = {"PASSED": "passed", "FIXED": "passed", "FAILED": "failed", "REGRESSION": "failed", "SKIPPED": "skipped"}


class Names(Struct, frozen=True):
    """Where a build says what it tested: `version_parameter`, `commit_parameter` (names of parameters) and `repository`, a part of the
    address of the repository whose checkout counts, where a build has several."""

    version_parameter: str = "VERSION"
    commit_parameter: str = ""
    repository: str = ""
    tag_pattern: str = ""

    def commit(self, actions: tuple[ActionWire | None, ...] | None) -> str:
        """The commit that was checked out, else the one the parameters name."""
        for action in actions or ():
            revision = action.last_built_revision if action is not None else None
            urls = (action.remote_urls or ()) if action is not None else ()
            if revision is not None and revision.sha and (not self.repository or any(self.repository in url for url in urls)):
                return one_line(revision.sha, 100)
        return parameters(actions).get(self.commit_parameter, "")

    def version(self, actions: tuple[ActionWire | None, ...] | None, service: str) -> str:
        """By parameter, else by the tag that was checked out."""
        pattern = forge_text.filled(self.tag_pattern, service=service)
        named = parameters(actions).get(self.version_parameter, "")
        refs = (b.name or "" for a in actions or () if a and a.last_built_revision for b in a.last_built_revision.branch or ())
        found = (forge_text.version_of(_tag(ref), service, pattern) for ref in (named, *refs))
        return next((version for version in found if version), named)


def parameters(actions: tuple[ActionWire | None, ...] | None) -> dict[str, str]:
    """The parameters of a build by name, those with a value."""
    return {p.name: text for p in _parameters(actions) if (text := _text(p.value)) is not None}


def secrets(actions: tuple[ActionWire | None, ...] | None) -> tuple[str, ...]:
    """The names of parameters whose value Jenkins does not tell."""
    return tuple(one_line(p.name, 100) for p in _parameters(actions) if _text(p.value) is None)


def state_of(build: BuildWire) -> CheckState:
    """A build's state; a result nobody knows is no answer."""
    if build.building or build.result is None:
        return CheckState.RUNNING
    return _RESULTS.get(build.result, CheckState.INCONCLUSIVE)


def run_of(run_id: str, service: str, build: BuildWire, suites: tuple[Suite, ...], names: Names) -> CheckRun:
    """A build with these suites."""
    state = state_of(build)
    return CheckRun(
        id=run_id,
        service=service,
        version=names.version(build.actions, service),
        commit=names.commit(build.actions),
        state=state,
        suites=suites,
        started_at_us=_us(build.timestamp),
        finished_at_us=_us(build.timestamp + max(0, build.duration or 0)) if state.final else 0,
        url=web_address(build.url or ""),
    )


def waiting_of(run_id: str, service: str, item: ItemWire, commit: str, names: Names) -> CheckRun:
    """A build that waits in the queue."""
    version = names.version(item.actions, service)
    return CheckRun(run_id, service, version, commit or names.commit(item.actions), CheckState.PENDING, (), _us(item.in_queue_since))


def suites_of(build: BuildWire, stages: tuple[StageWire, ...]) -> tuple[Suite, ...]:
    """The stages, or one suite for a build that has none. Of two stages with one name the later counts."""
    state = state_of(build)
    if not stages:
        ended = _us(build.timestamp + max(0, build.duration or 0)) if state.final else 0
        return (_counted(Suite(ONE_SUITE, state, started_at_us=_us(build.timestamp), finished_at_us=ended), build),)
    found = {stage.name: _stage(stage, state) for stage in stages}
    return tuple(found.values())


def tested(suites: tuple[Suite, ...], report: tuple[SuiteWire, ...], every: bool) -> tuple[Suite, ...]:
    """The suites with their tests, every one or those that failed; tests of no known stage make a suite of their own."""
    names = {suite.name for suite in suites}
    rest = suites[0].name if [suite.name for suite in suites] == [ONE_SUITE] else TESTS
    tests: dict[str, list[TestResult]] = {}
    for file in report:
        stage = next((name for name in (_stage_name(n) for n in file.enclosing_block_names or ()) if name in names), rest)
        tests.setdefault(stage, []).extend(_test(case) for case in file.cases or ())
    whole = suites if rest in names or rest not in tests else (*suites, Suite(rest, _worst(tests[rest])))
    counted = (with_tests(suite, tuple(tests[suite.name])) if suite.name in tests else suite for suite in whole)
    return tuple(counted if every else map(_failures, counted))


def fails(build: BuildWire) -> bool:
    """Whether its test report tells of failures."""
    return any(action is not None and action.fail_count for action in build.actions or ())


def reports(build: BuildWire) -> bool:
    """Whether it has a test report."""
    return any(action is not None and action.url_name == "testReport" for action in build.actions or ())


def _failures(suite: Suite) -> Suite:
    return replace(suite, tests=tuple(t for t in suite.tests if t.outcome in ("failed", "error")))


def _worst(tests: list[TestResult]) -> CheckState:
    return CheckState.FAILED if any(test.outcome == "failed" for test in tests) else CheckState.PASSED


def _counted(suite: Suite, build: BuildWire) -> Suite:
    told = next((action for action in build.actions or () if action is not None and action.url_name == "testReport"), None)
    if told is None:
        return suite
    total, failed, skipped = told.total_count or 0, told.fail_count or 0, told.skip_count or 0
    return replace(suite, total=total, failed=failed, skipped=skipped, passed=max(0, total - failed - skipped))


def _stage(stage: StageWire, build: CheckState) -> Suite:
    state = _STAGES.get(stage.status, CheckState.INCONCLUSIVE if build.final else CheckState.PENDING)
    began = _us(stage.start_time_millis)
    ended = _us(stage.start_time_millis + max(0, stage.duration_millis or 0)) if state.final else 0
    return Suite(_stage_name(stage.name), state, started_at_us=began, finished_at_us=ended)


def _stage_name(name: str) -> str:
    return one_line(name, 500) or "stage"


def _test(case: CaseWire) -> TestResult:
    name = one_line(f"{case.class_name}.{case.name}" if case.class_name else case.name, 1000)
    said = "\n".join(part for part in (case.error_details, case.error_stack_trace) if part)
    return TestResult(name, _OUTCOMES.get(case.status, "error"), case.duration or 0.0, plain(said, _MESSAGE_CHARS))


def _parameters(actions: tuple[ActionWire | None, ...] | None) -> Iterator[ParameterWire]:
    return (parameter for action in actions or () if action is not None for parameter in action.parameters or ())


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _tag(ref: str) -> str:
    return ref.removeprefix("refs/remotes/").removeprefix("refs/tags/").removeprefix("tags/").removeprefix("origin/")


def _us(at_ms: int) -> int:
    return min(LAST_US, at_ms * 1000)
