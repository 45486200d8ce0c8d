"""Test runs that lie as JUnit reports in a folder: FOLDER/SERVICE/RUN/run.json, and beside it one SUITE.xml for each suite."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from cockpit.connectors.junit import parse_junit, with_tests
from cockpit.connectors.ports import ConnectorSpec, Field, Probe
from cockpit.connectors.text import one_line, plain
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, Rejected, Unreachable

LOG_CHARS = 200_000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
Moment = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)]


class RunFile(msgspec.Struct):
    """What run.json must hold. Moments are whole microseconds UTC; what else is in it is ignored."""

    version: str
    commit: Annotated[str, msgspec.Meta(min_length=1)]
    started_at_us: Moment
    finished_at_us: Moment


def parse_run_file(body: bytes) -> RunFile:
    """Pure: bytes in, a RunFile out, and nothing but BadPayload comes out else."""
    try:
        return msgspec.json.decode(body, type=RunFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadPayload(f"run.json makes no sense: {one_line(str(error), 200)}.", hint="The guide says what it must hold.") from None


class JunitFolder:
    """CiSystem over a folder. Blocks while it reads; may be called from several threads; raises ConnectorErrors only."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def close(self) -> None:
        """Nothing is kept open."""

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """All runs of the service, newest first; a run is there as soon as its run.json is."""
        found = [self._run(service, name, whole=False) for name in self._names(self._place(service)) if self._is_there(service, name)]
        found.sort(key=lambda run: (run.started_at_us, run.id), reverse=True)
        return tuple(found[:limit])

    def run(self, run_id: str) -> CheckRun:
        """One run with all its tests."""
        service, name = self._parts(run_id)
        return self._run(service, name, whole=True)

    def log(self, run_id: str, suite: str) -> str:
        """The suite's log, where SUITE.log lies beside its report."""
        service, name = self._parts(run_id)
        self._report(service, name, suite)
        path = self._place(service, name, f"{suite}.log")
        return plain(self._read(path).decode("utf-8", "replace"))[-LOG_CHARS:] if path.exists() else ""

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """A folder runs nothing."""
        self.run(run_id)
        raise Rejected("A folder of reports cannot run anything again.", hint="Start the suites where they run; the report appears here.")

    def stop(self, run_id: str) -> CheckRun:
        """What has a report has ended, so there is nothing to stop."""
        return self.run(run_id)

    def probe(self) -> Probe:
        """How many services have reports here."""
        return Probe(f"folder with reports of {len(self._names(self._folder))} services")

    def _run(self, service: str, name: str, *, whole: bool) -> CheckRun:
        told = parse_run_file(self._read(self._place(service, name, "run.json")))
        reports = sorted(path.stem for path in self._place(service, name).glob("*.xml"))
        suites = tuple(self._report(service, name, suite, told, whole=whole) for suite in reports)
        return CheckRun(
            id=f"{service}/{name}",
            service=service,
            version=plain(told.version),
            commit=plain(told.commit),
            state=_worst([suite.state for suite in suites]),
            suites=suites,
            started_at_us=told.started_at_us,
            finished_at_us=max(told.started_at_us, told.finished_at_us),
        )

    def _report(self, service: str, name: str, suite: str, told: RunFile | None = None, *, whole: bool = False) -> Suite:
        tests = parse_junit(self._read(self._place(service, name, f"{suite}.xml")))
        outcomes = {test.outcome for test in tests}
        worst = next((o for o in ("failed", "error", "passed") if o in outcomes), "inconclusive")
        begin_us, end_us = (told.started_at_us, told.finished_at_us) if told is not None else (0, 0)
        counted = with_tests(Suite(suite, CheckState(worst), started_at_us=begin_us, finished_at_us=max(begin_us, end_us)), tests)
        shown = tests if whole else tuple(test for test in tests if test.outcome in ("failed", "error"))
        return msgspec.structs.replace(counted, tests=shown)

    def _parts(self, run_id: str) -> tuple[str, str]:
        service, _, name = run_id.partition("/")
        self._place(service, name)
        return service, name

    def _place(self, *names: str) -> Path:
        """The path of names from outside: never one that leads out of the folder."""
        for name in names:
            if not NAME.fullmatch(name):
                raise NotFound(f"There is no run or suite “{one_line(name, 100)}” here.", hint="Look it up in the list of runs.")
        return self._folder.joinpath(*names)

    def _is_there(self, service: str, name: str) -> bool:
        return self._place(service, name, "run.json").exists()

    def _names(self, folder: Path) -> list[str]:
        try:
            return [path.name for path in folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name)]
        except OSError as error:
            raise self._error(folder, error) from None

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._error(path, error) from None

    def _error(self, path: Path, error: OSError) -> AuthFailed | NotFound | Unreachable:
        if isinstance(error, PermissionError):
            return AuthFailed(f"This account may not read “{path}”.", hint="Give it the right to read the folder.")
        if isinstance(error, (FileNotFoundError, NotADirectoryError)) and self._folder.is_dir():
            return NotFound(f"There is no “{one_line(path.name, 100)}” in the folder of reports.", hint="Look it up in the list of runs.")
        return Unreachable(f"“{self._folder}” cannot be read ({error.strerror}).", hint="Check the folder in the settings, and the mount.")


def _worst(states: list[CheckState]) -> CheckState:
    order = (CheckState.FAILED, CheckState.ERROR, CheckState.INCONCLUSIVE, CheckState.PASSED)
    return next((state for state in order if state in states), CheckState.INCONCLUSIVE)


def create(options: dict[str, str], secret: Callable[[], str]) -> JunitFolder:
    """Called with the fields as text; contacts nothing yet."""
    return JunitFolder(options["folder"])


SPEC = ConnectorSpec(
    kind="junit-folder",
    title="Folder of JUnit reports",
    ports=("CiSystem",),
    fields=(Field("folder", "Folder", kind="path", description="Holds a folder for each service, and in it one for each run"),),
    create=create,
    rights=("read the folder",),
    shared=True,
)
