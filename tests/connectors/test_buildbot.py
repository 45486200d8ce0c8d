"""Buildbot: a real master and worker, with logins, reports, streams, and a master that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.buildbot import Buildbot
from cockpit.connectors.buildbot_runs import Naming
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.registry import create
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import AuthFailed, NotFound, Rejected, Unreachable
from tests.fakes import buildbot as real
from tests.fakes.gate import Gate

Eventually = Callable[..., Any]
SERVICE = "gateway"
LIMITS = Limits(connect_timeout_s=10, read_timeout_s=30, deadline_s=60, retries=0)  # the machine may be busy
IMPATIENT = Limits(connect_timeout_s=3, read_timeout_s=3, deadline_s=6, retries=0)
SLOW = "import signal; print('waiting', flush=True); signal.pause()"
GOOD = "def test_prices():\n    pass\n"
BAD = "def test_prices():\n    pass\n\n\ndef test_fills():\n    assert 1 == 2, 'the order was not filled'\n"


def git(repository: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    who = ["-c", "user.name=You", "-c", "user.email=you@playground.invalid"]
    return subprocess.run(
        ["git", "-C", str(repository), *who, *arguments], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    git(folder, "init", "--quiet", "-b", "main")
    for version, tests in (("1.0.0", GOOD), ("1.1.0", BAD), ("1.2.0", GOOD + "# better\n")):
        (folder / "test_gateway.py").write_text(tests)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", version)
        git(folder, "tag", f"{SERVICE}/v{version}")
    return folder


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[real.Buildbot]:
    builders: dict[str, dict[str, list[str]]] = {
        f"{SERVICE}-tests": {"unit": real.pytest_step("test_gateway.py"), "lint": [sys.executable, "-c", "print('clean')"]},
        "pricing-tests": {"unit": real.pytest_step("test_gateway.py")},
        "empty-tests": {"unit": ["true"]},
        "slow-tests": {"unit": [sys.executable, "-c", SLOW]},
        "broken-tests": {"unit": [sys.executable, "-c", "open('junit.xml', 'w').write('<html>')", "--junitxml=junit.xml"]},
    }
    with real.buildbot(tmp_path_factory.mktemp("buildbot"), repository, builders, fixed=("pricing-tests",)) as running:
        yield running


@pytest.fixture(scope="module")
def built(master: real.Buildbot) -> tuple[str, ...]:
    """Three runs of the gateway, newest first, that have ended: good, bad, good."""
    ids = []
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        ids.append(master.force(f"{SERVICE}-tests", f"{SERVICE}/v{version}"))
        assert master.wait(ids[-1]) == (2 if version == "1.1.0" else 0)
    return tuple(reversed(ids))


@contextmanager
def connected(
    url: str, user: str = real.USER, password: str = real.PASSWORD, trust_s: float = 0, limits: Limits = LIMITS, **names: str
) -> Iterator[Buildbot]:
    naming = Naming(url, **{"builder": "{service}-tests", "tag_pattern": "{service}/v{version}", **names})
    connector = Buildbot(
        HttpClient(url, name="Buildbot", token=lambda: password, user=user, limits=limits), naming, named=bool(user), trust_s=trust_s
    )
    try:
        yield connector
    finally:
        connector.close()


@pytest.fixture(scope="module")
def ci_world(master: real.Buildbot, built: tuple[str, ...], repository: Path) -> Iterator[CiWorld]:
    def moments(request: str) -> tuple[int, int]:
        build = master.get(f"buildrequests/{request}/builds")["builds"][0]
        return build["started_at"] * 1_000_000, build["complete_at"] * 1_000_000

    with Gate(master.port) as gate, connected(gate.url, limits=IMPATIENT) as connector:
        yield CiWorld(
            connector=connector,
            secret=real.PASSWORD,
            identity=real.USER,
            deadline_s=12,
            shared=True,
            service=SERVICE,
            run_ids=built,
            commits={
                run: git(repository, "rev-parse", f"{SERVICE}/v{v}^{{commit}}")
                for run, v in zip(built, ("1.2.0", "1.1.0", "1.0.0"), strict=True)
            },
            moments={run: moments(run) for run in built},
            failed=(built[1], "unit", "test_fills"),
            log=(built[1], "unit", "the order was not filled"),
            empty="empty",
            unknown_service="no-such-service",
            unknown="987654321",
            again=built[0],
            forbid=gate.forbid,
            cut=gate.cut,
            hang=gate.hang,
            lose=gate.lose,
            heal=gate.heal,
        )


class TestContract(CiContract):
    @pytest.fixture(autouse=True)
    def no_processes_left(self) -> None:
        """The worker's builds are its own children; the end of the module sees whether they ended."""

    @pytest.fixture
    def world(self, ci_world: CiWorld) -> CiWorld:
        return ci_world


# -- what builds become --


def test_builds_are_runs_with_steps_as_suites(master: real.Buildbot, built: tuple[str, ...]) -> None:
    with connected(master.url) as connector:
        good, bad = connector.run(built[0]), connector.run(built[1])
        listed = {run.id: run for run in connector.runs(SERVICE)}
    assert (good.version, good.state, bad.version, bad.state) == ("1.2.0", CheckState.PASSED, "1.1.0", CheckState.FAILED)
    assert [(s.name, str(s.state)) for s in bad.suites] == [("checkout", "passed"), ("unit", "failed"), ("lint", "passed")]
    unit = bad.suites[1]
    assert (unit.total, unit.passed, unit.failed) == (2, 1, 1)
    assert [(t.name, t.outcome) for t in unit.tests] == [("test_gateway.test_prices", "passed"), ("test_gateway.test_fills", "failed")]
    assert "the order was not filled" in unit.tests[1].message
    assert [t.outcome for t in listed[built[1]].suites[1].tests] == ["failed"]
    assert listed[built[1]].suites[1].total == 2
    assert good.url.startswith(f"{master.url}/#/builders/")


def test_a_log_has_none_of_the_lines_before_it(master: real.Buildbot, built: tuple[str, ...]) -> None:
    with connected(master.url) as connector:
        assert not connector.log(built[0], "unit").startswith("Builder:")
        assert "clean" in connector.log(built[0], "lint")


def test_a_report_that_is_none_is_shown_as_a_broken_test(master: real.Buildbot) -> None:
    request = master.force("broken-tests", "main")
    assert master.wait(request) == 0
    with connected(master.url) as connector:
        unit = connector.runs("broken")[0].suites[1]
    assert (unit.state, unit.errors, unit.tests[0].name) == (CheckState.PASSED, 1, "junit.xml")
    assert "begins with <html>" in unit.tests[0].message


def test_only_reports_of_the_settings_are_read(master: real.Buildbot, built: tuple[str, ...]) -> None:
    with connected(master.url, junit="TEST-*.xml") as connector:
        assert [s.total for s in connector.run(built[1]).suites] == [0, 0, 0]


# -- starting and stopping --


def test_a_slow_run_is_shown_stopped_and_its_key_is_known_to_others(master: real.Buildbot, eventually: Eventually) -> None:
    first = master.force("slow-tests", f"{SERVICE}/v1.2.0")
    with connected(master.url) as connector, connected(master.url) as other:
        eventually(lambda: connector.run(first).suites[1:], 30, "its step runs")
        running = connector.runs("slow")[0]
        assert (running.state, running.finished_at_us) == (CheckState.RUNNING, 0)
        assert connector.stop(first).id == first
        ended = eventually(lambda: connector.run(first) if connector.run(first).state.final else None, 30, "it was stopped")
        assert ended.state is CheckState.INCONCLUSIVE
        second = connector.rerun(first, "key-of-both")
        assert second.commit == running.commit
        assert other.rerun(first, "key-of-both").id == second.id
        eventually(lambda: other.run(second.id).suites[1:], 30, "the second runs")
        other.stop(second.id)
        eventually(lambda: other.run(second.id).state.final, 30, "the second was stopped")
        assert len(connector.runs("slow")) == 2


def test_where_the_form_cannot_name_the_commit_it_is_rebuilt(master: real.Buildbot, eventually: Eventually) -> None:
    first = master.force("pricing-tests", "main", real.FIXED)
    master.wait(first)
    with connected(master.url) as connector:
        again = connector.rerun(first, "key-1")
        assert connector.rerun(first, "key-1").id == again.id
        assert master.wait(again.id) == 0
        assert connector.rerun(first, "key-1").id == again.id
        assert connector.run(again.id).commit == connector.run(first).commit
        assert len(connector.runs("pricing")) == 2
    sets = master.get("buildsets?order=-bsid&limit=1")["buildsets"]
    assert sets[0]["reason"] == "rebuild"


def test_a_lost_answer_to_a_rebuild_is_settled(master: real.Buildbot) -> None:
    first = master.force("pricing-tests", "main", real.FIXED)
    master.wait(first)
    with Gate(master.port) as gate, connected(gate.url) as connector:
        before = len(connector.runs("pricing"))
        connector.probe()
        gate.lose()
        with pytest.raises(Exception, match="was asked"):
            connector.rerun(first, "key-lost")
        gate.heal()
        settled = connector.rerun(first, "key-lost")
        master.wait(settled.id)
        assert len(connector.runs("pricing")) == before + 1


@pytest.mark.parametrize("key", ["", " ", "a\nb", " a"])
def test_keys_that_could_not_be_found_again(master: real.Buildbot, built: tuple[str, ...], key: str) -> None:
    with connected(master.url) as connector, pytest.raises(Rejected):
        connector.rerun(built[0], key)


def test_merged_requests(tmp_path: Path, repository: Path, eventually: Eventually) -> None:
    builders = {"slow-tests": {"unit": [sys.executable, "-c", SLOW]}}
    with real.buildbot(tmp_path, repository, builders, collapse=True, closed=True) as master, connected(master.url) as connector:
        running = master.force("slow-tests", "main")
        eventually(lambda: connector.run(running).suites[1:], 30, "its step runs")
        first, second = connector.rerun(running, "one"), connector.rerun(running, "two")
        assert first.id != second.id
        merged = eventually(lambda: connector.run(first.id) if connector.run(first.id).state.final else None, 60, "the first was merged")
        assert (merged.state, merged.suites) == (CheckState.INCONCLUSIVE, ())
        assert connector.rerun(running, "one").id == first.id, "a merged request is known by its key as well"
        waiting = connector.run(second.id)
        assert (waiting.state, waiting.commit) == (CheckState.PENDING, connector.run(running).commit)
        assert [run.id for run in connector.runs("slow")] == [second.id, running]
        for run in (waiting, first, connector.run(running)):
            connector.stop(run.id)
        eventually(lambda: all(r.state.final for r in connector.runs("slow")), 30, "all ended")
        with connected(master.url, user="") as nobody, pytest.raises(AuthFailed):
            nobody.runs("slow")


# -- logins --


def test_who_may_do_what(master: real.Buildbot, built: tuple[str, ...]) -> None:
    with connected(master.url, user="") as nobody:
        probe = nobody.probe()
        assert probe.reached.startswith("Buildbot 4.")
        assert "a user" in probe.missing[0]
        assert nobody.runs(SERVICE)
        for forbidden in (lambda: nobody.rerun(built[0], "k-nobody"),):
            with pytest.raises(AuthFailed) as caught:
                forbidden()
            assert "admins" in caught.value.message
    with connected(master.url, real.GUEST, real.GUEST_PASSWORD) as guest:
        assert guest.probe().identity == real.GUEST
        with pytest.raises(AuthFailed) as caught:
            guest.rerun(built[0], "k-guest")
        assert "role" in caught.value.hint
    with connected(master.url, password="wrong-canary") as wrong:
        for ask in (wrong.probe, lambda: wrong.rerun(built[0], "k-wrong")):
            with pytest.raises(AuthFailed) as caught:
                ask()
            assert "401" in caught.value.message
            assert "wrong-canary" not in str(caught.value)
    with connected(master.url, builder="{service}-suite") as misnamed:
        assert "{service}-suite" in misnamed.probe().missing[0]


def test_the_registry_makes_it(master: real.Buildbot, built: tuple[str, ...]) -> None:
    options = {"url": master.url, "user": real.USER, "builder": "{service}-tests"}
    made = create("buildbot", options, lambda: real.PASSWORD)
    try:
        assert made.probe().identity == real.USER
        assert made.runs(SERVICE, 1)[0].version == "1.2.0"
    finally:
        made.close()


# -- the stream, and a master that hangs --


def count_reads(connector: Buildbot, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    read = connector._session.read

    def counted(path: str, *arguments: Any, **options: Any) -> Any:
        asked.append(path)
        return read(path, *arguments, **options)

    monkeypatch.setattr(connector._session, "read", counted)
    return asked


def live(connector: Buildbot, eventually: Eventually) -> None:
    connector.runs(SERVICE)
    eventually(lambda: connector._live is not None and connector._live.alive, 30, "it listens")


def test_a_change_is_known_without_a_poll(
    master: real.Buildbot, built: tuple[str, ...], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(master.url, trust_s=3600) as connector:
        live(connector, eventually)
        calm = connector.runs(SERVICE)
        connector.runs("empty")
        asked = count_reads(connector, monkeypatch)
        assert connector.runs(SERVICE) is calm
        assert connector.runs(SERVICE, 2) == calm[:2]
        assert connector.runs("empty") == ()
        assert not asked
        builder, empty = connector._builders[f"{SERVICE}-tests"], connector._builders["empty-tests"]
        assert connector._live is not None
        before, other = connector._live.mark(builder), connector._live.mark(empty)
        request = master.force(f"{SERVICE}-tests", f"{SERVICE}/v1.0.0")
        eventually(lambda: connector._live is not None and connector._live.mark(builder) != before, 20, "the stream told it")
        assert not asked
        eventually(lambda: any(run.id == request for run in connector.runs(SERVICE)), 20, "the new run is in the list")
        master.wait(request)
        eventually(lambda: connector.runs(SERVICE)[0].state.final, 20, "its end as well")
        assert connector._live.mark(empty) == other, "what happens at one builder leaves the others alone"


def test_a_hanging_master_is_unreachable_and_recovers(master: real.Buildbot, built: tuple[str, ...], eventually: Eventually) -> None:
    with connected(master.url, trust_s=0.05, limits=IMPATIENT) as connector:
        live(connector, eventually)
        os.kill(master.process.pid, signal.SIGSTOP)
        try:
            eventually(lambda: unreachable(connector), 30, "a stream that says nothing is not believed for long")
        finally:
            os.kill(master.process.pid, signal.SIGCONT)
        eventually(lambda: not unreachable(connector), 30, "it answers again")
        assert connector.runs(SERVICE)


def test_the_stream_ends_and_begins_again(master: real.Buildbot, built: tuple[str, ...], eventually: Eventually) -> None:
    with connected(master.url, trust_s=3600) as connector:
        live(connector, eventually)
        first, watching = connector.runs(SERVICE), connector._live
        assert watching is not None
        assert watching._listener is not None
        mark = watching.mark(1)
        watching._listener.close()
        eventually(lambda: watching.mark(1) is None or watching.mark(1) != mark, 30, "the stream ended")
        assert connector.runs(SERVICE) is first
        eventually(lambda: watching.alive and watching.mark(1) != mark, 30, "there is a new one")
        connector.close()
        assert watching._thread is not None
        assert not watching._thread.is_alive()
        assert connector.runs(SERVICE) == first


def unreachable(connector: Buildbot) -> bool:
    try:
        connector.runs(SERVICE)
    except Unreachable:
        return True
    return False


def test_names_that_nobody_has(master: real.Buildbot, built: tuple[str, ...]) -> None:
    with connected(master.url) as connector:
        with pytest.raises(NotFound) as caught:
            connector.runs("nothing")
        assert "nothing-tests" in caught.value.message
        with pytest.raises(NotFound):
            connector.log(built[0], "worker_preparation")
