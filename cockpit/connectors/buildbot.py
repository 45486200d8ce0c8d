"""Buildbot 4: builders as services, build requests as runs, steps as suites, logs named junit*.xml as their tests."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from msgspec import Struct

from cockpit.connectors.buildbot_again import Again
from cockpit.connectors.buildbot_runs import Naming, brief, is_report, run_of, suite_of, unreadable, waiting_run
from cockpit.connectors.buildbot_session import Live, Session
from cockpit.connectors.buildbot_wire import (
    BuildsetWire,
    BuildWire,
    RequestWire,
    parse_builders,
    parse_builds,
    parse_buildsets,
    parse_config,
    parse_done,
    parse_logs,
    parse_report,
    parse_requests,
    parse_steps,
    query,
    without_head,
)
from cockpit.connectors.http import HttpClient
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line, plain
from cockpit.domain.checks import CheckRun, Suite, TestResult
from cockpit.domain.errors import BadPayload, ConnectorError, NotFound, OutcomeUnknown, Rejected

LOG_BYTES = 200_000
MAX_LIMIT = 500
REPORTS = 10  # of so many builds the reports are read for a list; of older ones when a person opens them
KEPT_BUILDS = 1000
TRUST_S = 30.0  # a stream that says nothing may be a server that hangs; it is asked again after that
_ENDED = "Buildbot was asked, and how things stand now is not known: {}"


class _Held(Struct, frozen=True):
    """What was answered, as things stood then. `at_s` is a time.monotonic() value."""

    mark: tuple[int, int, int] | None
    at_s: float
    limit: int
    runs: tuple[CheckRun, ...]


class Buildbot:
    """CiSystem over Buildbot's data API. Blocks; from any thread; ConnectorErrors only.

    While the server's event stream stands and nothing comes, a list is answered without a request. A run's id is that of its build request.
    """

    def __init__(self, client: HttpClient, naming: Naming, named: bool = False, trust_s: float = TRUST_S) -> None:
        """`named`: the client has a user, who logs in. `trust_s`: so long a silent stream is believed; 0: there is none."""
        self._session = Session(client, named)
        self._naming = naming
        self._lock = Lock()
        self._writing = Lock()
        self._trust_s = trust_s
        self._live: Live | None = None
        self._builders: dict[str, int] = {}
        self._services: dict[int, str] = {}
        self._held: dict[str, _Held] = {}
        self._ended: OrderedDict[tuple[int, bool], tuple[Suite, ...]] = OrderedDict()
        self._again = Again(self._session)

    def close(self) -> None:
        """End the event stream with its thread, and close kept connections."""
        with self._lock:
            live, self._live = self._live, None
            self._held.clear()
        if live is not None:
            live.close()
        self._session.close()

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest runs first, one that waits by when it was asked for; the same tuple while nothing changed."""
        limit = max(1, min(limit, MAX_LIMIT))
        builder = self._builder(service)
        mark, now_s, held = self._mark(builder), time.monotonic(), self._held.get(service)
        if held and mark is not None and held.mark == mark and held.limit >= limit and now_s - held.at_s < self._trust_s:
            return held.runs[:limit]
        runs = self._list(builder, service, limit)
        if held and held.runs == runs:
            runs = held.runs
        self._held[service] = _Held(mark, now_s, limit, runs)
        return runs

    def run(self, run_id: str) -> CheckRun:
        """One run with all tests."""
        request, build = self._found(run_id)
        service = self._service(request.builderid)
        if build is None:
            return waiting_run(request, self._buildset(request.buildsetid), service, self._naming)
        return run_of(build, service, self._naming, self._suites(build, True))

    def log(self, run_id: str, suite: str) -> str:
        """The end of a step's log, untrusted text."""
        build = self._found(run_id)[1]
        steps = self._session.read(f"builds/{build.buildid}/steps", parse_steps) if build is not None else ()
        step = next((step for step in steps if one_line(step.name, 200) == suite), None)
        if build is None or step is None:
            what = f"The run {one_line(run_id, 50)} has no suite “{one_line(suite, 100)}”."
            raise NotFound(what, hint="It may not have begun.")
        logs = self._session.read(f"builds/{build.buildid}/steps/{step.number}/logs", parse_logs)
        logs = tuple(log for log in logs if log.type != "h" and not is_report(log, self._naming))
        if not logs:
            return ""
        chosen = next((log for log in logs if log.name == "stdio"), logs[0])
        text = self._session.text(f"logs/{chosen.logid}/raw", LOG_BYTES)
        return plain(without_head(text.encode("utf-8", "replace")).decode("utf-8"))

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """The same once more, on the same commit; the same key never starts it twice.

        By a scheduler that people may force where its form takes all that is needed: the key then stands in the reason, for everybody.
        Else by a rebuild, whose key this connector alone remembers, as Buildbot takes none.
        """
        if not key.strip() or one_line(key) != key:
            raise Rejected("A run cannot be asked for with this key.", hint="Give it a key of printable characters.")
        with self._writing:
            known = self._again.known(key)
            if not known:
                request, build = self._found(run_id)
                if build is None:
                    raise Rejected("This run has not begun, so it cannot be repeated.", hint="Wait until it has begun.")
                known = self._again.start(request, build, key)
                self._held.clear()  # its event may come later than the next question
        try:
            return self.run(str(known))
        except ConnectorError as error:
            raise OutcomeUnknown(_ENDED.format(error.message), hint="The same again, with the same key, starts nothing new.") from None

    def stop(self, run_id: str) -> CheckRun:
        """The run as it stands right after it was told to stop, which a build does a moment later."""
        request, build = self._found(run_id)
        reason: dict[str, object] = {"reason": "stopped from Release Cockpit"}
        if request.complete or (build is not None and build.complete):
            return self.run(run_id)
        if build is None:
            self._session.command(f"buildrequests/{request.buildrequestid}", "cancel", reason, parse_done)
        else:
            self._session.command(f"builds/{build.buildid}", "stop", reason, parse_done)
        self._held.clear()
        try:
            return self.run(run_id)
        except ConnectorError as error:
            raise OutcomeUnknown(_ENDED.format(error.message), hint="Look at the run again in a moment.") from None

    def probe(self) -> Probe:
        """The server's version, and as whom it sees us."""
        self._session.login()
        probe = self._session.read("config", parse_config, root="/")
        names = self._session.read("builders", parse_builders)
        missing = () if probe.identity else ("a user: most Buildbots let only their users start and stop builds",)
        before, _, after = self._naming.builder.partition("{service}")
        if not any(name.startswith(before) and name.endswith(after) and len(name) >= len(before + after) for name in names):
            missing = (*missing, f"a builder named like “{one_line(self._naming.builder, 100)}”")
        return Probe(probe.reached, probe.identity, missing)

    # reading

    def _mark(self, builder: int) -> tuple[int, int, int] | None:
        if not self._trust_s:
            return None
        with self._lock:
            if self._live is None:
                self._live = Live(self._session)
            live = self._live
        live.start()
        return live.mark(builder)

    def _builder(self, service: str) -> int:
        name = self._naming.builder.replace("{service}", service)
        found = self._builders.get(name)
        if found is None:
            self._builders = self._session.read("builders", parse_builders)
            found = self._builders.get(name)
        if found is None:
            what = f"{self._session.name} has no builder “{one_line(name, 100)}”."
            raise NotFound(what, hint="Check in the settings how builders are named.")
        self._services[found] = service
        return found

    def _service(self, builder: int) -> str:
        if builder not in self._services:
            if builder not in self._builders.values():
                self._builders = self._session.read("builders", parse_builders)
            name = next((name for name, known in self._builders.items() if known == builder), "")
            before, marked, after = self._naming.builder.partition("{service}")
            if not (marked and name.startswith(before) and name.endswith(after) and len(name) > len(before + after)):
                raise NotFound(f"The builder “{one_line(name, 100)}” belongs to no service.", hint="Check how builders are named.")
            return name[len(before) : len(name) - len(after)]
        return self._services[builder]

    def _list(self, builder: int, service: str, limit: int) -> tuple[CheckRun, ...]:
        wanted = self._naming.properties
        # first what waits: what begins in between is then seen twice, and not missed
        waiting = self._session.read(f"builders/{builder}/buildrequests" + query(wanted, complete="false", claimed="false"), parse_requests)
        builds = self._session.read(f"builders/{builder}/builds" + query(wanted, order="-buildid", limit=limit), parse_builds)
        runs: dict[str, CheckRun] = {}
        live = self._live
        for build in builds:
            if not build.complete and live is not None:
                live.know(build.buildid, builder)
            if str(build.buildrequestid) not in runs:  # the last attempt stands for its request
                runs[str(build.buildrequestid)] = brief(run_of(build, service, self._naming, self._suites(build, len(runs) < REPORTS)))
        first = tuple(
            waiting_run(request, self._buildset(request.buildsetid), service, self._naming)
            for request in waiting
            if str(request.buildrequestid) not in runs
        )
        newest = sorted((*first, *runs.values()), key=lambda run: (-run.started_at_us, -int(run.id)))
        return tuple(newest[:limit])

    def _suites(self, build: BuildWire, reports: bool) -> tuple[Suite, ...]:
        """A build's steps; kept once it has ended."""
        for known in ((build.buildid, True), (build.buildid, reports)):
            if known in self._ended:
                return self._ended[known]
        steps = self._session.read(f"builds/{build.buildid}/steps", parse_steps)
        suites = tuple(suite_of(s, self._tests(build.buildid, s.number) if reports and s.complete else ()) for s in steps)
        if build.complete:
            with self._lock:
                self._ended[build.buildid, reports] = suites
                if len(self._ended) > KEPT_BUILDS:
                    self._ended.popitem(last=False)
        return suites

    def _tests(self, build: int, step: int) -> tuple[TestResult, ...]:
        tests: tuple[TestResult, ...] = ()
        for log in self._session.read(f"builds/{build}/steps/{step}/logs", parse_logs):
            if is_report(log, self._naming):
                try:
                    tests += self._session.read(f"logs/{log.logid}/raw", parse_report)
                except BadPayload as error:
                    tests += unreadable(log, error)
        return tests

    def _buildset(self, buildset: int) -> BuildsetWire | None:
        return next(iter(self._session.read(f"buildsets/{buildset}", parse_buildsets)), None)

    def _found(self, run_id: str) -> tuple[RequestWire, BuildWire | None]:
        """The request of that id and its last build, None where it has none."""
        unknown = NotFound(f"{self._session.name} has no run {one_line(run_id, 50)}.", hint="It may have been deleted there.")
        if not (run_id.isascii() and run_id.isdecimal() and len(run_id) < 16):
            raise unknown
        wanted = query(self._naming.properties)
        requests = self._session.read(f"buildrequests/{run_id}{wanted}", parse_requests)
        if not requests or str(requests[0].buildrequestid) != run_id:
            raise unknown
        return requests[0], next(iter(self._session.read(f"buildrequests/{run_id}/builds{wanted}", parse_builds)), None)
