"""Jenkins: builds of a job as test runs, by its remote interface, the stages of Pipeline: REST API, and the reports of JUnit."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

from cockpit.connectors import forge_text, jenkins_runs
from cockpit.connectors.after import a_change
from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_pace import Remembered
from cockpit.connectors.jenkins_runs import Names
from cockpit.connectors.jenkins_wire import (
    BUILD_TREE,
    QUEUE_TREE,
    REPORT_TREE,
    BuildWire,
    ItemWire,
    JobWire,
    StageWire,
    parse_build,
    parse_crumb,
    parse_job,
    parse_nothing,
    parse_queue,
    parse_report,
    parse_stages,
    parse_who,
)
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.errors import NotFound, OutcomeUnknown, Rejected

MAX_RUNS = 1000
PAGE = 100  # `builds` has no more than these; `allBuilds` has all and is slower
NEW_AT_ONCE = 12  # builds that one poll reads the stages of; what has ended is read once
_LOG_BYTES = 400_000
_SESSION = re.compile(r"\b(JSESSIONID[^=;,\s]*=[^;,\s]+)")
_HINT_ID = "Runs have ids of the form service:number, or service:kKEY for what the cockpit began."
_JOB_TREE = "inQueue,nextBuildNumber,property[parameterDefinitions[name]]"


class Options(Names, frozen=True):
    """`job` is the pattern of the jobs' places, as in folder/{service}; `key_parameter` the parameter that carries the idempotency key."""

    job: str = "{service}"
    key_parameter: str = "RELEASE_COCKPIT_KEY"


class Jenkins:
    """CiSystem over Jenkins. From any thread. ConnectorErrors only.

    A job that declares the key parameter keeps the key with the build, and the key finds it for ever. With other jobs the key is known to
    this process only; what answers there after a lost answer is the first build that was queued since.
    """

    def __init__(self, client: HttpClient, options: Options) -> None:
        self._client = client
        self._options = options
        self._kept = Remembered(5000)
        self._asked: dict[str, tuple[int, int, str]] = {}  # key -> (next number, newest queue id before it was sent, commit)
        self._begun: dict[int, str] = {}  # queue id -> key, of jobs without the key parameter
        self._dropped: dict[str, CheckRun] = {}  # what was taken out of the queue, which forgets it

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def probe(self) -> Probe:
        """Jenkins' version and the account."""
        answer = self._client.get_answer("/whoAmI/api/json")
        who = parse_who(answer.body)
        missing = ("log in: Jenkins sees nobody (user and token)",) if who.anonymous else ()
        return Probe(f"Jenkins {one_line(answer.headers.get('x-jenkins', ''), 100)}".strip(), one_line(who.name, 200), missing)

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest first, what waits before what was built. Stages come with the polls, a dozen new builds at a time."""
        room = max(1, min(limit, MAX_RUNS))
        job = self._job(service, room)
        runs = [run for run in self._waiting(service, job.in_queue) if run.commit]
        fresh = 0
        for build in (job.all_builds or job.builds or ())[:room]:
            suites = self._known(service, build)
            if suites is None and fresh < NEW_AT_ONCE:
                fresh += 1
                suites = self._suites(service, build, every=False)
            runs.append(jenkins_runs.run_of(self._id(service, build), service, build, suites or (), self._options))
        # without its commit a build belongs to nothing: it broke before the checkout
        return tuple(run for run in runs if run.commit)[:room]

    def run(self, run_id: str) -> CheckRun:
        """One with all tests."""
        service, build = self._find(run_id)
        if isinstance(build, CheckRun):
            return build
        return jenkins_runs.run_of(run_id, service, build, self._suites(service, build, every=True), self._options)

    def log(self, run_id: str, suite: str) -> str:
        """The end of the build's console: Jenkins writes one for all stages."""
        service, build = self._find(run_id)
        if isinstance(build, CheckRun):
            raise NotFound("The build waits in the queue and has no log.", hint="Look again once it has begun.")
        if suite not in [known.name for known in self._suites(service, build, every=False)]:
            raise NotFound(f"Build {build.number} has no stage “{one_line(suite, 100)}”.", hint="Look at its stages in Jenkins.")
        return forge_text.log_tail(self._client.get_text(self._path(service, build.number, "consoleText"), tail=_LOG_BYTES))

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """The same job with the same parameters."""
        service, build = self._find(run_id)
        known = self._of_key(service, key)
        if known is not None:
            return known
        if isinstance(build, CheckRun):
            raise Rejected("The build has not begun.", hint="Wait for it, or stop it.")
        hidden = jenkins_runs.secrets(build.actions)
        if hidden:
            raise Rejected(f"Jenkins does not tell the value of {', '.join(hidden[:5])}.", hint="Run it again in Jenkins.")
        job = self._job(service, 1)
        given = jenkins_runs.parameters(build.actions)
        if self._options.key_parameter in job.parameters:
            given[self._options.key_parameter] = key
        newest = max((item.id for item in self._queue()), default=0)
        newest = max(newest, *(b.queue_id or 0 for b in job.builds or ()), build.queue_id or 0)
        self._asked[key] = (job.next_build_number or 0, newest, self._options.commit(build.actions))
        place = ("buildWithParameters", given) if job.parameters else ("build", {})
        self._write(self._path(service, place[0]), place[1])
        with a_change("Jenkins"):
            begun = self._of_key(service, key)
        if begun is None:
            raise OutcomeUnknown("Jenkins took the request, and the build is neither queued nor begun.", hint="Ask again in a moment.")
        return begun

    def stop(self, run_id: str) -> CheckRun:
        """Abort the build, or take it out of the queue."""
        service, build = self._find(run_id)
        if isinstance(build, CheckRun):
            return self._drop(service, run_id, build)
        if not jenkins_runs.state_of(build).final:
            self._write(self._path(service, build.number, "stop"), {})
        return self.run(run_id)

    def _drop(self, service: str, run_id: str, waiting: CheckRun) -> CheckRun:
        if waiting.state.final:
            return waiting
        item = next((item for item in self._items(service) if self._item_id(service, item) == run_id), None)
        if item is None:  # it began meanwhile
            return self.stop(run_id)
        self._write(f"/queue/cancelItem?id={item.id}", {})
        self._dropped[run_id] = CheckRun(
            run_id, service, waiting.version, waiting.commit, CheckState.INCONCLUSIVE, (), waiting.started_at_us, waiting.started_at_us
        )
        return self._dropped[run_id]

    def _path(self, service: str, *parts: str | int) -> str:
        place = forge_text.filled(self._options.job, service=service).strip("/")
        names = place.removeprefix("job/").replace("/job/", "/").split("/")
        if not service.isprintable():
            raise NotFound("That is no name of a job.", hint="Check how the jobs are named in the settings.")
        return segments(*(part for name in names for part in ("job", name)), *(str(part) for part in parts))

    def _job(self, service: str, room: int) -> JobWire:
        name = "builds" if room <= PAGE else "allBuilds"
        tree = f"{_JOB_TREE},{name}[{BUILD_TREE}]{{0,{max(room, 50) if room <= PAGE else room}}}"
        return self._client.read(self._path(service, "api", "json"), parse_job, {"tree": tree})

    def _queue(self) -> tuple[ItemWire, ...]:
        return self._client.read("/queue/api/json", parse_queue, {"tree": QUEUE_TREE})

    def _items(self, service: str) -> tuple[ItemWire, ...]:
        """What waits for this job, the newest first."""
        mine = self._path(service)
        items = (item for item in self._queue() if urlsplit((item.task and item.task.url) or "").path.rstrip("/").endswith(mine))
        return tuple(sorted(items, key=lambda item: -item.id))

    def _waiting(self, service: str, in_queue: bool | None) -> list[CheckRun]:
        if not in_queue:
            return []
        return [self._waits(service, item) for item in self._items(service)]

    def _waits(self, service: str, item: ItemWire) -> CheckRun:
        key = self._key(item.id, jenkins_runs.parameters(item.actions))
        commit = self._asked[key][2] if key in self._asked else ""
        return jenkins_runs.waiting_of(self._item_id(service, item), service, item, commit, self._options)

    def _key(self, queue_id: int | None, given: dict[str, str]) -> str:
        return given.get(self._options.key_parameter, "") or self._begun.get(queue_id or 0, "")

    def _id(self, service: str, build: BuildWire) -> str:
        key = self._key(build.queue_id, jenkins_runs.parameters(build.actions))
        return f"{service}:k{key}" if key else f"{service}:{build.number}"

    def _item_id(self, service: str, item: ItemWire) -> str:
        key = self._key(item.id, jenkins_runs.parameters(item.actions))
        return f"{service}:k{key}" if key else f"{service}:q{item.id}"

    def _of_key(self, service: str, key: str) -> CheckRun | None:
        """The build that this key began, or its place in the queue."""
        before = self._asked.get(key)
        items = self._items(service)  # before the builds: what leaves the queue meanwhile is among them
        job = self._job(service, PAGE)
        told = self._options.key_parameter in job.parameters
        for build in job.builds or ():
            since = before is not None and not told and build.number >= before[0] and (build.queue_id or 0) > before[1]
            if self._mine(key, build.queue_id, jenkins_runs.parameters(build.actions), since):
                return jenkins_runs.run_of(f"{service}:k{key}", service, build, self._suites(service, build, every=False), self._options)
        for item in items:
            since = before is not None and not told and item.id > before[1]
            if self._mine(key, item.id, jenkins_runs.parameters(item.actions), since):
                return self._waits(service, item)
        return self._dropped.get(f"{service}:k{key}")

    def _mine(self, key: str, queue_id: int | None, given: dict[str, str], since: bool) -> bool:
        known = self._key(queue_id, given)
        if not known and since and queue_id and key not in self._begun.values():
            self._begun[queue_id] = key
            return True
        return known == key

    def _find(self, run_id: str) -> tuple[str, BuildWire | CheckRun]:
        """(service, the build), or (service, the run that waits)."""
        service, _, name = run_id.rpartition(":")
        if not service or not re.fullmatch(r"[0-9]{1,18}|k[!-~]{1,200}|q[0-9]{1,18}", name):
            raise NotFound(f"There is no run “{one_line(run_id, 100)}”.", hint=_HINT_ID)
        if name.isdecimal():
            return service, self._client.read(self._path(service, name, "api", "json"), parse_build, {"tree": BUILD_TREE})
        if run_id in self._dropped:
            return service, self._dropped[run_id]
        items = self._items(service)
        for build in self._job(service, PAGE).builds or ():
            if run_id in (self._id(service, build), f"{service}:q{build.queue_id}"):
                return service, build
        for item in items:
            if self._item_id(service, item) == run_id:
                return service, self._waits(service, item)
        raise NotFound(f"There is no run “{one_line(run_id, 100)}” any more.", hint="It may have been taken out of the queue.")

    def _known(self, service: str, build: BuildWire) -> tuple[Suite, ...] | None:
        known: tuple[Suite, ...] | None = self._kept.get((self._path(service, build.number), build.result))[1]
        return known

    def _suites(self, service: str, build: BuildWire, every: bool) -> tuple[Suite, ...]:
        suites = jenkins_runs.suites_of(build, self._stages(service, build))
        if jenkins_runs.reports(build) and (every or jenkins_runs.fails(build)):
            path = self._path(service, build.number, "testReport", "api", "json")
            with suppress(NotFound):  # it may be deleted with the build's artifacts
                suites = jenkins_runs.tested(suites, self._client.read(path, parse_report, {"tree": REPORT_TREE}), every)
        if not every and jenkins_runs.state_of(build).final:
            self._kept.put((self._path(service, build.number), build.result), "kept", suites)
        return suites

    def _stages(self, service: str, build: BuildWire) -> tuple[StageWire, ...]:
        plain = (self._path(service), "no stages")
        if self._kept.get(plain)[1]:
            return ()
        try:
            return self._client.read(self._path(service, build.number, "wfapi", "describe"), parse_stages)
        except NotFound:  # no pipeline, or no plugin that tells of stages
            self._kept.put(plain, "kept", True)
            return ()

    def _write(self, path: str, given: dict[str, str]) -> None:
        """POST a form, once, with a crumb. Jenkins answers some of them with a redirect to a page."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._crumb()}
        try:
            self._client.write(path, urlencode(given).encode(), parse_nothing, headers=headers)
        except OutcomeUnknown as error:
            if not re.search(r"it answered 30[23]\b", error.message):
                raise

    def _crumb(self) -> dict[str, str]:
        """A fresh crumb with its session; nothing where Jenkins asks for none."""
        try:
            answer = self._client.get_answer("/crumbIssuer/api/json")
        except NotFound:
            return {}
        name, value = parse_crumb(answer.body)
        session = _SESSION.search(answer.headers.get("set-cookie", ""))
        return {one_line(name, 100): one_line(value, 500)} | ({"Cookie": session.group(1)} if session else {})
