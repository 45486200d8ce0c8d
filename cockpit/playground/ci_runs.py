"""Runs of the playground's CI: which tag is tested next, the suites by pytest in a worktree, and what is known of them while they run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cockpit.playground import processes
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.processes import RecordLog, now_us
from cockpit.playground.server import ApiError
from cockpit.playground.tags import Tag, git

SUITES = ("unit", "integration", "performance")
FINAL = ("passed", "failed", "error", "inconclusive")
_WORST_FIRST = ("failed", "error", "inconclusive", "passed")
_COUNTED = {"passed": "passed", "failed": "failed", "error": "errors", "skipped": "skipped"}
_CONFIGS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


class Test(Struct):
    """One test as the API shows it; outcome running, passed, failed, error or skipped."""

    name: str
    outcome: str = "running"
    duration_s: float = 0.0
    message: str = ""


class Suite(Struct):
    """One suite as the API shows it."""

    name: str
    state: str = "pending"
    total: int = 0
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    started_at_us: int = 0
    finished_at_us: int = 0
    tests: list[Test] = []


class Run(Struct):
    """One run as the API shows it."""

    id: str
    service: str
    version: str
    commit: str
    started_at_us: int
    state: str = "pending"
    suites: list[Suite] = []
    finished_at_us: int = 0
    url: str = ""
    message: str = ""


class Record(Struct):
    """What is kept of a run. `rank` orders what waits: 0 asked for by a person, 1 a new version, 2 an old one."""

    run: Run
    tag: Tag
    rank: int = 1


class Runs:
    """All runs: kept, queued, executed one at a time by `work` in one thread. Thread-safe."""

    def __init__(self, directory: Path, old_tags: frozenset[str], suite_limit_s: float) -> None:
        self._directory = directory
        self._home = directory / "state" / "ci"
        self._old_tags = old_tags
        self._limit_s = suite_limit_s
        self._log = RecordLog(self._home / "log.jsonl")
        self._changed = threading.Condition()
        self._closing = False
        self._stopping: set[str] = set()
        self._child: subprocess.Popen[bytes] | None = None
        self._tags: list[Tag] = []
        self._records = {name: msgspec.convert(value, Record) for name, value in self._log.get("run").items()}
        self._keys: dict[str, tuple[str, str]] = {k: (v[0], v[1]) for k, v in self._log.get("key").items()}
        self._clean_up()

    def _clean_up(self) -> None:
        """After a crash: end suites that still run, remove worktrees, say of interrupted runs that they were, and queue them again."""
        processes.end(processes.find(self._directory, "suite:"), 0.5)
        shutil.rmtree(self._home / "worktrees", ignore_errors=True)
        plugin = Path(__file__).with_name("ci_plugin.py").read_bytes()
        processes.write_atomic(self._home / "plugin" / "playground_report.py", plugin)
        processes.write_atomic(self._home / "plugin" / "pytest.ini", b"[pytest]\n")
        for record in [r for r in self._records.values() if r.run.state == "running"]:
            self._close_run(record, "inconclusive", "the CI runner ended while this ran; it is run again")
            self._add(record.tag, record.rank)

    def see(self, tags: list[Tag]) -> None:
        """Queue a run for each tag that has none; old ones wait until nothing else is to do."""
        with self._changed:
            self._tags = tags
            tested = {(r.tag.name, r.tag.commit) for r in self._records.values()}
            for tag in tags:
                if (tag.name, tag.commit) not in tested and tag.name not in self._old_tags:
                    self._add(tag, 1)
            self._changed.notify_all()

    def _add(self, tag: Tag, rank: int) -> Record:
        number = max((int(name.removeprefix("r-")) for name in self._records), default=0) + 1
        suites = [Suite(name) for name in SUITES]
        record = Record(Run(f"r-{number:06d}", tag.service, tag.version, tag.commit, now_us(), suites=suites), tag, rank)
        self._records[record.run.id] = record
        self._keep(record)
        return record

    def _keep(self, record: Record) -> None:
        """With a full disk the work goes on; after a crash what could not be stored is run again."""
        try:
            self._log.put("run", record.run.id, record, durable=record.run.state in FINAL)
        except OSError as error:
            print(f"{record.run.id} cannot be stored: {error}", file=sys.stderr, flush=True)

    # --- what the API asks

    def of(self, service: str, limit: int) -> list[dict[str, Any]]:
        """The newest runs first; of ended suites only the tests that failed or broke."""
        with self._changed:
            mine = [r.run for r in reversed(self._records.values()) if r.run.service == service][:limit]
            plain = []
            for run in mine:
                suites = [s if s.state == "running" else msgspec.structs.replace(s, tests=_bad(s)) for s in run.suites]
                plain.append(msgspec.to_builtins(msgspec.structs.replace(run, suites=suites)))
            return plain

    def get(self, run_id: str) -> dict[str, Any]:
        with self._changed:
            return self._plain(self._find(run_id))

    def _find(self, run_id: str) -> Record:
        record = self._records.get(run_id)
        if record is None:
            raise ApiError(404, "Unknown run", "there is no run with this id")
        return record

    def _plain(self, record: Record) -> dict[str, Any]:
        value: dict[str, Any] = msgspec.to_builtins(record.run)
        return value

    def file(self, run_id: str, suite: str, ending: str) -> Path:
        """Where the log ("log") or report ("xml") of a suite stands; 404 for an unknown run or suite, or a report not whole yet."""
        with self._changed:
            record = self._find(run_id)
            states = {s.name: s.state for s in record.run.suites}
            if suite not in states:
                raise ApiError(404, "Unknown suite", "this run has no such suite")
            if ending == "xml" and states[suite] not in FINAL:
                raise ApiError(404, "No report", f"the suite is {states[suite]}", "Its report is there once it has ended.")
        return self._home / "runs" / record.run.id / f"{suite}.{ending}"

    def rerun(self, run_id: str, key: str) -> tuple[dict[str, Any], bool]:
        """A new run for the same tag and whether this call made it."""
        with self._changed:
            record = self._find(run_id)
            if key in self._keys:
                asked, made = self._keys[key]
                if asked != run_id:
                    raise ApiError(422, "Key used already", f"the key was used to run {asked} again", "Use a new key for a new intention.")
                return self._plain(self._records[made]), False
            busy = [r for r in self._records.values() if r.tag.name == record.tag.name and r.run.state not in FINAL]
            if busy:
                words = f"{busy[0].run.id} of {record.tag.name} is {busy[0].run.state}"
                raise ApiError(409, "A run is under way", words, "Wait until it has ended, or stop it.")
            made_record = self._add(record.tag, 0)
            try:
                self._log.put("key", key, (run_id, made_record.run.id))
            except OSError as error:
                del self._records[made_record.run.id]
                raise ApiError(503, "Nothing was started", f"the state cannot be stored: {error.strerror}", "Free some space.") from error
            self._keys[key] = (run_id, made_record.run.id)
            self._changed.notify_all()
            return self._plain(made_record), True

    def stop(self, run_id: str) -> dict[str, Any]:
        """End a run that waits or runs; its state is stored when this returns."""
        with self._changed:
            record = self._find(run_id)
            if record.run.state not in FINAL:
                self._stopping.add(run_id)
                if record.run.state == "running":
                    self._kill()
                self._close_run(record, "inconclusive", "stopped")
            return self._plain(record)

    # --- the work

    def close(self) -> None:
        """End the run under way (it stays `running` on disk, so that the next start runs it again) and `work`."""
        with self._changed:
            self._closing = True
            self._kill()
            self._changed.notify_all()

    def _kill(self) -> None:
        """Kill the suite's process group. The child is not reaped before `_child` is cleared, so its id is still its own."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def work(self) -> None:
        """Execute runs until `close`."""
        while (record := self._next()) is not None:
            try:
                self._execute(record)
            except (PlaygroundError, OSError) as error:
                with self._changed:
                    if not self._closing:
                        self._close_run(record, "error", str(error))

    def _next(self) -> Record | None:
        with self._changed:
            while not self._closing:
                waiting = [r for r in self._records.values() if r.run.state == "pending"]
                if not waiting and (tag := self._old_tag()) is not None:
                    waiting = [self._add(tag, 2)]
                if waiting:
                    record = min(waiting, key=lambda r: (r.rank, -r.tag.at_us, r.run.id))
                    record.run.state, record.run.started_at_us = "running", now_us()
                    self._keep(record)
                    return record
                self._changed.wait()
            return None

    def _old_tag(self) -> Tag | None:
        """The newest old tag that was never tested: its durations are history worth having."""
        tested = {(r.tag.name, r.tag.commit) for r in self._records.values()}
        old = [t for t in self._tags if t.name in self._old_tags and (t.name, t.commit) not in tested]
        return max(old, key=lambda t: t.at_us, default=None)

    def _execute(self, record: Record) -> None:
        run = record.run
        worktree = self._home / "worktrees" / run.id
        repository = self._directory / "repo"
        git(repository, "worktree", "prune")
        git(repository, "worktree", "add", "--force", "--detach", "--end-of-options", str(worktree), record.tag.commit)
        try:
            for suite in run.suites:
                if self._over(record):
                    return
                self._suite(record, suite, worktree)
        finally:
            git(repository, "worktree", "remove", "--force", "--end-of-options", str(worktree))
            shutil.rmtree(worktree.with_suffix(".tmp"), ignore_errors=True)
        with self._changed:
            if not self._over(record):
                states = [s.state for s in run.suites]
                self._close_run(record, next(s for s in _WORST_FIRST if s in states))

    def _over(self, record: Record) -> bool:
        return self._closing or record.run.id in self._stopping

    def _suite(self, record: Record, suite: Suite, worktree: Path) -> None:
        place = f"services/{record.run.service}/tests/{suite.name}"
        log = self.file(record.run.id, suite.name, "log")
        if not (worktree / place).is_dir():
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"this version has no tests in {place}\n")
            suite.state = "inconclusive"
            return
        timer = None
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as events:
            try:
                with self._changed:
                    if self._over(record):
                        return
                    suite.state, suite.started_at_us = "running", now_us()
                    self._child = child = self._start(record, suite.name, place, worktree, writing)
            finally:
                os.close(writing)
            timer = threading.Timer(self._limit_s, self._kill_late, (child,))
            timer.start()
            try:
                for line in events:
                    self._hear(record, suite, line)
                # seen to have ended but not reaped: until `_child` is cleared its id cannot be given away
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
                with self._changed:
                    self._child = None
            finally:
                timer.cancel()
                timer.join()
        status = child.wait()
        # what the tests started and left behind
        processes.end(processes.find(self._directory, f"suite:{record.run.id}"), 0.2)
        self._conclude(record, suite, status)

    def _kill_late(self, child: subprocess.Popen[bytes]) -> None:
        with self._changed:
            if self._child is child:
                self._kill()

    def _start(self, record: Record, suite: str, place: str, worktree: Path, writing: int) -> subprocess.Popen[bytes]:
        plugin, temporary = self._home / "plugin", worktree.with_suffix(".tmp")
        log = self.file(record.run.id, suite, "log")
        temporary.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "pytest", place, "-v", "--color=no", "--tb=short", "-p", "no:cacheprovider"]
        command += ["-p", "playground_report", f"--rootdir={worktree}", f"--basetemp={temporary / 'base'}"]
        command += [f"--junitxml={log.with_suffix('.xml')}"]
        if not any((worktree / folder / name).exists() for folder in (".", f"services/{record.run.service}") for name in _CONFIGS):
            # or pytest would look for settings above the playground
            command += ["-c", str(plugin / "pytest.ini")]
        variables = {
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(plugin),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PLAYGROUND_REPORT_FD": str(writing),
            "PLAYGROUND_REPORT_PREFIX": place,
        }
        child = processes.start(command, self._directory, f"suite:{record.run.id}", log, worktree, variables, (writing,))
        if record.rank == 2:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PGRP, child.pid, 15)
        return child

    def _hear(self, record: Record, suite: Suite, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        with self._changed:
            if self._over(record):
                return
            if event["event"] == "collected":
                suite.total = event["total"]
            elif event["event"] == "started":
                suite.tests.append(Test(event["name"]))
            else:
                _count(suite, Test(event["name"], event["outcome"], event["duration_s"], event["message"]))

    def _conclude(self, record: Record, suite: Suite, status: int) -> None:
        with self._changed:
            if self._over(record):
                return
            for test in [t for t in suite.tests if t.outcome == "running"]:
                _count(suite, Test(test.name, "error", 0.0, f"the process ended ({status}) while this test ran"))
            suite.finished_at_us = now_us()
            suite.state = _state(suite, status)
            self._keep(record)

    def _close_run(self, record: Record, state: str, message: str = "") -> None:
        """Give a run its final state, and the suites that have none theirs."""
        run = record.run
        run.state, run.message, run.finished_at_us = state, message, now_us()
        for suite in run.suites:
            if suite.state not in FINAL:
                suite.tests = [t for t in suite.tests if t.outcome != "running"]
                suite.finished_at_us = now_us() if suite.state == "running" else 0
                suite.state = "error" if state == "error" else "inconclusive"
        self._keep(record)


def _bad(suite: Suite) -> list[Test]:
    return [t for t in suite.tests if t.outcome in ("failed", "error")]


def _count(suite: Suite, result: Test) -> None:
    """Put a result in its place. A test that passed and then broke while it was cleaned up counts as broken only."""
    for position, test in enumerate(suite.tests):
        if test.name == result.name:
            if test.outcome in _COUNTED:
                setattr(suite, _COUNTED[test.outcome], getattr(suite, _COUNTED[test.outcome]) - 1)
            suite.tests[position] = result
            break
    else:
        suite.tests.append(result)
    setattr(suite, _COUNTED[result.outcome], getattr(suite, _COUNTED[result.outcome]) + 1)


def _state(suite: Suite, status: int) -> str:
    """pytest's exit status and the counts as one word: 0 all well, 1 tests failed, 5 no tests, anything else broke."""
    if status == 5 or (status == 0 and not suite.passed):
        return "inconclusive"
    if status == 0:
        return "passed"
    return "failed" if status == 1 and suite.failed else "error"
