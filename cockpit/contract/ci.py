"""The contract of CiSystem."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from typing import Any

from cockpit.connectors.ports import CiSystem
from cockpit.contract.common import PortContract, World, eventually, falling, fault, needs, new_key, once, refused, sane
from cockpit.domain.errors import NotFound, OutcomeUnknown, Rejected

LOG_CHARS = 200_000


class CiWorld(World, kw_only=True):
    """A CI system with at least three runs that have ended.

    service: whose runs these are. run_ids: their ids, newest first; runs that the tests start come before them. commits: the commit of a
    run. moments: (start, end) of a run in microseconds UTC, where the world knows them. failed: (run id, suite, a part of a failed test's
    name). log: (run id, suite, words that are in its log). empty: a service without runs. unknown_service: one the system does not know;
    its answer is NotFound. many: a service whose runs are more than one page of the system, with the ids of all its runs, newest first
    (at most 500). again: the run to run again, "" = this system cannot run anything again and says so with Rejected. settle_s: how long a
    stop may take.
    """

    service: str
    run_ids: tuple[str, ...]
    commits: dict[str, str] = {}
    moments: dict[str, tuple[int, int]] = {}
    failed: tuple[str, str, str] = ("", "", "")
    log: tuple[str, str, str] = ("", "", "")
    empty: str = ""
    unknown_service: str = ""
    unknown: str = "no-such-run-987654321"
    many: tuple[str, tuple[str, ...]] = ("", ())
    again: str = ""
    settle_s: float = 30.0


class CiContract(PortContract):
    """What every CiSystem does."""

    def ask(self, world: Any) -> object:
        return world.connector.runs(world.service)

    def test_it_has_the_port(self, world: CiWorld) -> None:
        assert isinstance(world.connector, CiSystem)

    def test_runs_newest_first_each_once(self, world: CiWorld) -> None:
        found = world.connector.runs(world.service)
        assert isinstance(found, tuple)
        ids = [run.id for run in found]
        once(ids)
        assert tuple(i for i in ids if i in world.run_ids) == world.run_ids
        assert {run.service for run in found} == {world.service}
        falling([run.started_at_us for run in found if run.started_at_us])

    def test_a_run_says_what_it_belongs_to(self, world: CiWorld) -> None:
        for run in world.connector.runs(world.service):
            assert run.commit == world.commits.get(run.id, run.commit)
            assert run.commit, "without its commit a run belongs to nothing"
            assert run.url == "" or run.url.startswith(("http://", "https://"))

    def test_moments(self, world: CiWorld) -> None:
        for run in world.connector.runs(world.service):
            sane(run.started_at_us, known=run.id in world.moments)
            sane(run.finished_at_us, known=run.id in world.moments)
            assert not run.finished_at_us or run.started_at_us <= run.finished_at_us
            assert run.state.final or not run.finished_at_us
            assert world.moments.get(run.id) in (None, (run.started_at_us, run.finished_at_us))

    def test_a_limit_takes_the_newest(self, world: CiWorld) -> None:
        ids = [run.id for run in world.connector.runs(world.service)]
        for limit in (1, 2, 3):
            assert [run.id for run in world.connector.runs(world.service, limit)] == ids[:limit]

    def test_more_than_a_page_nothing_twice_nothing_missing(self, world: CiWorld) -> None:
        service, ids = world.many
        needs(service, "service with more than a page of runs")
        assert tuple(run.id for run in world.connector.runs(service, len(ids))) == ids
        assert tuple(run.id for run in world.connector.runs(service, len(ids) - 1)) == ids[:-1]

    def test_a_service_without_runs(self, world: CiWorld) -> None:
        needs(world.empty, "service without runs")
        assert world.connector.runs(world.empty) == ()

    def test_a_service_that_does_not_exist(self, world: CiWorld) -> None:
        needs(world.unknown_service, "service that it does not know")
        with refused(world, NotFound):
            world.connector.runs(world.unknown_service)

    def test_a_run_that_does_not_exist(self, world: CiWorld) -> None:
        with refused(world, NotFound):
            world.connector.run(world.unknown)
        with refused(world, NotFound):
            world.connector.log(world.unknown, "unit")
        with refused(world, NotFound):
            world.connector.stop(world.unknown)
        with refused(world, NotFound, Rejected):
            world.connector.rerun(world.unknown, new_key())

    def test_an_id_is_never_a_path(self, world: CiWorld) -> None:
        for odd in ("..", "../..", "a/b", "", "\x00", "-x", "?a=1"):
            with refused(world, NotFound):
                world.connector.run(odd)

    def test_one_run_has_all_that_the_list_has_and_all_tests(self, world: CiWorld) -> None:
        listed = {run.id: run for run in world.connector.runs(world.service)}
        for run_id in world.run_ids:
            run, short = world.connector.run(run_id), listed[run_id]
            assert (run.id, run.commit, run.state) == (short.id, short.commit, short.state)
            assert (run.started_at_us, run.finished_at_us) == (short.started_at_us, short.finished_at_us)
            once([suite.name for suite in run.suites])
            for suite in run.suites:
                assert suite.done <= max(suite.total, suite.done)
                assert not suite.tests or len(suite.tests) >= suite.done
                assert {test.outcome for test in suite.tests} <= {"running", "passed", "failed", "error", "skipped"}

    def test_a_failure_is_named(self, world: CiWorld) -> None:
        run_id, suite, name = world.failed
        needs(run_id, "failed test")
        run = world.connector.run(run_id)
        assert str(run.state) in ("failed", "error")
        assert any(of == suite and name in test.name for of, test in run.failures), run.failures

    def test_the_log(self, world: CiWorld) -> None:
        run_id, suite, words = world.log
        needs(run_id, "log")
        log = world.connector.log(run_id, suite)
        assert words in log
        assert len(log) <= LOG_CHARS
        assert "\x1b" not in log
        with refused(world, NotFound):
            world.connector.log(run_id, "no-such-suite")

    def test_stopping_what_has_ended_changes_nothing(self, world: CiWorld) -> None:
        before = world.connector.run(world.run_ids[0])
        for _ in range(2):
            stopped = world.connector.stop(world.run_ids[0])
            assert (stopped.id, stopped.state, stopped.finished_at_us) == (before.id, before.state, before.finished_at_us)
        assert world.connector.run(world.run_ids[0]) == before

    def test_a_system_that_cannot_run_again_says_so(self, world: CiWorld) -> None:
        needs(not world.again, "run that cannot be run again")
        before = [run.id for run in world.connector.runs(world.service)]
        with refused(world, Rejected):
            world.connector.rerun(world.run_ids[0], new_key())
        assert [run.id for run in world.connector.runs(world.service)] == before

    def test_the_same_key_runs_again_once(self, world: CiWorld) -> None:
        needs(world.again, "run that can be run again")
        before = {run.id for run in world.connector.runs(world.service)}
        key = new_key()
        first = world.connector.rerun(world.again, key)
        assert world.connector.rerun(world.again, key).id == first.id
        assert first.commit == world.connector.run(world.again).commit
        self._one_more(world, before, first.id)
        self._stopped(world, first.id)

    def test_a_lost_answer_is_settled_by_the_key(self, world: CiWorld) -> None:
        needs(world.again, "run that can be run again")
        lose, heal = fault(world, world.lose, "way to lose an answer")
        before = {run.id for run in world.connector.runs(world.service)}
        key = new_key()
        lose()
        with refused(world, OutcomeUnknown):
            world.connector.rerun(world.again, key)
        heal()
        settled = world.connector.rerun(world.again, key)
        self._one_more(world, before, settled.id)
        self._stopped(world, settled.id)

    def _one_more(self, world: CiWorld, before: set[str], run_id: str) -> None:
        def new() -> set[str]:
            return {run.id for run in world.connector.runs(world.service)} - before

        # systems with a queue list a run once it has begun
        eventually(lambda: run_id in new(), world.settle_s, "the new run is in the list")
        assert new() == {run_id}

    def _stopped(self, world: CiWorld, run_id: str) -> None:
        assert world.connector.stop(run_id).id == run_id
        eventually(lambda: world.connector.run(run_id).state.final, world.settle_s, "the run has ended after it was stopped")
