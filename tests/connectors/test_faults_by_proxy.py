"""Faults of real systems: the playground's CI and deployer, Prometheus, Alertmanager and Buildbot behind mitmproxy, or stopped."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from cockpit.app import Cockpit, build
from cockpit.connectors.alertmanager import Alertmanager
from cockpit.connectors.buildbot import Buildbot
from cockpit.connectors.buildbot_runs import Naming
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.open_ci import OpenCi
from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.connectors.ports import DeployRequest
from cockpit.connectors.prometheus import PrometheusMetrics
from cockpit.domain import errors
from cockpit.domain.alerts import Matcher
from cockpit.domain.errors import (
    AuthFailed,
    BadPayload,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unreachable,
)
from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Node
from cockpit.paths import find_paths
from cockpit.playground import processes
from cockpit.services.runtime import LoopMainThread
from tests.fakes import buildbot as real
from tests.fakes.mitm import Mitm, Proxied, mitm
from tests.fakes.monitoring import Running, alertmanager, exporter, prometheus
from tests.fakes.playground import RUN, SERVICE, Program, git, release, suites, wait_for

HASTY = Limits(connect_timeout_s=1, read_timeout_s=1, deadline_s=2, retries=0)
PATIENT = Limits(connect_timeout_s=5, read_timeout_s=10, deadline_s=15, retries=0)
TOKEN = "canary-Token-4713"
SYSTEMS = ("ci", "deployer", "prometheus", "alertmanager", "buildbot")
HOUR_US = 3_600_000_000

# what a person is told when the fault meets a question, and when it meets a write; None: that is not asked
FAULTS: dict[str, tuple[dict[str, Any], type[ConnectorError] | None, type[ConnectorError] | None]] = {
    "400": ({"kind": "status", "status": 400}, Rejected, Rejected),
    "401": ({"kind": "status", "status": 401}, AuthFailed, AuthFailed),
    "403": ({"kind": "status", "status": 403}, AuthFailed, AuthFailed),
    "404": ({"kind": "status", "status": 404}, NotFound, NotFound),
    "405": ({"kind": "status", "status": 405}, Rejected, Rejected),
    "408": ({"kind": "status", "status": 408}, None, OutcomeUnknown),
    "409": ({"kind": "status", "status": 409}, Rejected, Rejected),
    "410": ({"kind": "status", "status": 410}, Rejected, Rejected),
    "422": ({"kind": "status", "status": 422}, Rejected, Rejected),
    "429": ({"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}, RateLimited, RateLimited),
    "500": ({"kind": "status", "status": 500}, Unreachable, OutcomeUnknown),
    "502": ({"kind": "status", "status": 502}, Unreachable, OutcomeUnknown),
    "503": ({"kind": "status", "status": 503}, Unreachable, OutcomeUnknown),
    "503 and a time": ({"kind": "status", "status": 503, "headers": {"Retry-After": "1"}}, RateLimited, OutcomeUnknown),
    "504": ({"kind": "status", "status": 504}, Unreachable, OutcomeUnknown),
    "delay": ({"kind": "delay", "seconds": 2.5}, Unreachable, None),
    "late": ({"kind": "late", "seconds": 2.5}, None, OutcomeUnknown),
    "dropped before": ({"kind": "drop before"}, Unreachable, OutcomeUnknown),
    "dropped after": ({"kind": "drop after"}, Unreachable, OutcomeUnknown),
    "half a body": ({"kind": "half"}, BadPayload, OutcomeUnknown),
    "an empty body": ({"kind": "empty"}, BadPayload, OutcomeUnknown),
    "a page": ({"kind": "html"}, BadPayload, OutcomeUnknown),
    "another shape": ({"kind": "shape"}, BadPayload, OutcomeUnknown),
    "no JSON": ({"kind": "not json"}, BadPayload, OutcomeUnknown),
    "100 MB": ({"kind": "huge"}, BadPayload, OutcomeUnknown),
}
ONE_IS_ENOUGH = ("400", "405", "409", "410", "502", "504", "503 and a time")
SLOW = ("delay", "late", "stopped")
DONE = ("late", "dropped after", "half a body", "an empty body", "a page", "another shape", "no JSON", "100 MB")


class Stack(Struct):
    """Real servers, and the proxy before them."""

    programs: dict[str, Any]
    nodes: tuple[Node, ...]
    folder: Path
    proxy: Mitm

    def before(self, system: str) -> Proxied:
        return self.proxy.before(self.programs[system].port)

    def connect(self, system: str, limits: Limits = PATIENT, url: str = "", ca_file: str = "") -> Any:
        url = url or self.before(system).url
        if system == "buildbot":
            named = HttpClient(url, name=system, token=lambda: real.PASSWORD, user=real.USER, limits=limits, ca_file=ca_file)
            return Buildbot(named, Naming(url, builder="{service}"), named=True, trust_s=0)
        client = HttpClient(url, name=system, token=lambda: TOKEN, limits=limits, ca_file=ca_file)
        kinds: dict[str, Callable[[HttpClient], Any]] = {
            "ci": OpenCi,
            "deployer": OpenDeployment,
            "prometheus": PrometheusMetrics,
            "alertmanager": Alertmanager,
        }
        return kinds[system](client)

    def ask(self, system: str, connector: Any) -> object:
        if system in ("ci", "buildbot"):
            return connector.runs(SERVICE)
        if system == "deployer":
            return connector.fleet(SERVICE, "production")
        return connector.read(self.nodes) if system == "prometheus" else connector.alerts()

    def stop(self, system: str) -> None:
        self._signal(system, signal.SIGSTOP)

    def go_on(self, system: str) -> None:
        self._signal(system, signal.SIGCONT)

    def _signal(self, system: str, number: int) -> None:
        program = self.programs[system]
        (program.child if isinstance(program, Program) else program.process).send_signal(number)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("faults")
    with ExitStack() as held:
        node = held.enter_context(exporter(folder / "node"))
        node.post("/", operation="place", seconds=0.005, n=1, errors=0)
        engine = held.enter_context(prometheus(folder / "engine", {node.address: ("a", "gateway", "staging")}))
        alerts = held.enter_context(alertmanager(folder / "alertmanager"))
        repository = folder / "playground" / "repo"
        repository.mkdir(parents=True)
        git(repository, "init", "--quiet", "-b", "main")
        release(repository, "1.0.0", {"run.py": RUN, **suites()})
        release(repository, "1.1.0", {"run.py": RUN + "# 1.1.0\n"})
        held.callback(lambda: processes.end(processes.find(folder / "playground"), 1.0))
        ci = Program("ci", folder / "playground", ["--skip", f"{SERVICE}/v1.0.0"])
        small = ["--services", SERVICE, "--environment", "production=1", "--released", f"{SERVICE}=1.1.0", "--drain-s", "0"]
        deployer = Program("deployer", folder / "playground", small)
        held.callback(ci.terminate)
        held.callback(deployer.terminate)
        built = held.enter_context(real.buildbot(folder / "buildbot", repository, {SERVICE: {"unit": ["true"]}}))
        built.wait(built.force(SERVICE, f"{SERVICE}/v1.1.0"))
        programs = {"ci": ci, "deployer": deployer, "prometheus": engine, "alertmanager": alerts, "buildbot": built}
        proxy = held.enter_context(mitm(folder / "proxy", tuple(program.port for program in programs.values())))
        made = Stack(programs, (Node("a", "gateway", "staging", url=node.url),), folder, proxy)
        wait_until_ready(made)
        yield made


def wait_until_ready(stack: Stack) -> None:
    for system in SYSTEMS:
        with closing(stack.connect(system)) as connector:
            wait_for(lambda s=system, c=connector: answers(lambda: stack.ask(s, c)), f"{system} answers", 40)  # type: ignore[misc]
    with closing(stack.connect("ci")) as ci:
        wait_for(lambda: any(run.state.final for run in ci.runs(SERVICE)), "a run has ended", 40)
    with closing(stack.connect("deployer")) as deployer:
        wait_for(lambda: len(deployer.artifacts(SERVICE)) == 2, "both versions are built", 40)
        wait_for(lambda: len(deployer.history(SERVICE, "production")) == 2, "both were deployed", 40)
        wait_for(lambda: (f := deployer.fleet(SERVICE, "production")).active is None and f.agreement == (1, 1), "the node runs", 40)


def below(pid: int) -> set[int]:
    """All processes that it started, and those that they started."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text("ascii").split():
                found |= {int(child)} | below(int(child))
    return found


@pytest.fixture(autouse=True)
def no_processes_left(stack: Stack) -> Iterator[None]:
    """As everywhere, but for the node that a deployment starts: it lives as long as the module's deployer."""

    def others() -> set[int]:
        return below(os.getpid()) - below(stack.programs["deployer"].child.pid)

    before = others()
    yield
    wait_for(lambda: not others() - before, "what the test started has ended")


@pytest.fixture(autouse=True)
def healed(stack: Stack) -> Iterator[None]:
    yield
    for system in SYSTEMS:
        stack.go_on(system)
        stack.before(system).heal()


def answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (Unreachable, RateLimited, NotFound):
        return False
    return True


def judged(error: ConnectorError) -> None:
    """All errors speak, and none of them gives the token away."""
    assert error.title
    assert error.message
    assert error.hint
    for secret in (TOKEN, real.PASSWORD):
        assert secret not in f"{error} {error!r} {error.__dict__!r}"
        assert error.__context__ is None or secret not in repr(error.__context__)


ASKED = [(system, name) for system in SYSTEMS for name, (_, read, _) in FAULTS.items() if read is not None]


# all of them are read by one client, so what it does with each status is asked of one system
@pytest.mark.parametrize(("system", "name"), [(s, n) for s, n in ASKED if s == "ci" or n not in ONE_IS_ENOUGH])
def test_a_question_meets_a_fault_and_is_answered_once_it_is_over(stack: Stack, system: str, name: str) -> None:
    fault, kind, _ = FAULTS[name]
    assert kind is not None
    with closing(stack.connect(system, HASTY if name in SLOW else PATIENT)) as connector:
        stack.ask(system, connector)
        before = stack.before(system)
        before.fault(**fault)
        with pytest.raises(kind) as caught:
            stack.ask(system, connector)
        assert type(caught.value) is kind
        judged(caught.value)
        assert 1 <= len(before.seen) <= 3  # what failed is not asked again and again
        before.heal()
        wait_for(lambda: answers(lambda: stack.ask(system, connector)), "it answers again by itself")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_follow_no_redirect_to_another_host(stack: Stack, other_server: Any, system: str, status: int) -> None:
    other_server.script = [other_server.answer(200, b"{}")]
    with closing(stack.connect(system)) as connector:
        stack.ask(system, connector)
        stack.before(system).fault("redirect", status=status, to=other_server.url)
        with pytest.raises(BadPayload, match="another place") as caught:
            stack.ask(system, connector)
        judged(caught.value)
        if system == "alertmanager":
            stack.before(system).fault("redirect", status=status, to=other_server.url, on="writes")
            with pytest.raises((Rejected, OutcomeUnknown)):
                silence(connector, f"redirect-{status}")
    assert other_server.requests == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_stopped_system_hangs_and_goes_on(stack: Stack, system: str) -> None:
    with closing(stack.connect(system, HASTY)) as connector:
        stack.ask(system, connector)
        stack.stop(system)
        begin = time.monotonic()
        # its threads stop one after the other, so a last answer may still come
        with pytest.raises(Unreachable) as caught:
            wait_for(lambda: not stack.ask(system, connector), "it is silent")
        assert time.monotonic() - begin < 5
        judged(caught.value)
        stack.go_on(system)
        wait_for(lambda: answers(lambda: stack.ask(system, connector)), "it answers again by itself")


def test_tls_that_does_not_verify_is_refused_and_a_private_authority_can_be_named(stack: Stack) -> None:
    secure = stack.before("ci").url.replace("http:", "https:")
    stack.before("ci").fault("")
    with closing(stack.connect("ci", url=secure)) as connector, pytest.raises(Unreachable, match="certificate") as caught:
        stack.ask("ci", connector)
    judged(caught.value)
    assert stack.before("ci").seen == []
    with closing(stack.connect("ci", PATIENT, secure, str(stack.proxy.ca_file))) as connector:
        assert stack.ask("ci", connector)


# -- writes --


def silence(connector: Alertmanager, key: str) -> str:
    until_us = time.time_ns() // 1000 + HOUR_US
    return connector.silence((Matcher("service", "nobody"),), until_us, "a@playground.invalid", "faults", key)


def silences(stack: Stack, key: str) -> int:
    """How many there are with that key: asked of the system itself, not through the proxy."""
    running: Running = stack.programs["alertmanager"]
    with urllib.request.urlopen(f"{running.url}/api/v2/silences", timeout=10) as answer:
        return sum(f"{key}]" in told["comment"] or told["comment"].endswith(key) for told in json.loads(answer.read()))


@pytest.mark.parametrize("name", [name for name, (_, _, write) in FAULTS.items() if write is not None])
def test_a_write_is_sent_once_and_its_key_settles_it(stack: Stack, name: str) -> None:
    fault, _, kind = FAULTS[name]
    assert kind is not None
    key, before = f"fault-{name.replace(' ', '-')}", stack.before("alertmanager")
    with closing(stack.connect("alertmanager", HASTY if name in SLOW else PATIENT)) as connector:
        before.fault(**fault, on="writes")
        with pytest.raises(kind) as caught:
            silence(connector, key)
        assert type(caught.value) is kind
        judged(caught.value)
        assert sum(method == "POST" for method, _ in before.seen) == 1
        assert silences(stack, key) == (name in DONE)
        before.heal()
    with closing(stack.connect("alertmanager")) as connector:
        made = silence(connector, key)
        assert silence(connector, key) == made
    assert silences(stack, key) == 1


@pytest.mark.parametrize("name", ["dropped before", "dropped after", "late", "a page", "stopped"])
def test_a_deployment_that_nobody_saw_arrive_is_found_by_its_key(stack: Stack, name: str) -> None:
    limits = HASTY if name in SLOW else PATIENT
    key, before, program = f"deploy-{name.replace(' ', '-')}", stack.before("deployer"), stack.programs["deployer"]
    with closing(stack.connect("deployer")) as patient, closing(stack.connect("deployer", limits)) as connector:
        live = patient.fleet(SERVICE, "production").live.digest
        artifact = next(a for a in patient.artifacts(SERVICE) if a.digest != live)
        request = DeployRequest(SERVICE, "production", artifact.version, artifact.digest, "deploy", "a@playground.invalid")
        number = len(patient.history(SERVICE, "production", 500))
        before.fault(**(FAULTS[name][0] if name != "stopped" else {"kind": ""}), on="writes")
        if name == "stopped":
            stack.stop("deployer")
        with pytest.raises(OutcomeUnknown) as caught:
            connector.deploy(request, key)
        judged(caught.value)
        stack.go_on("deployer")
        assert [method for method, _ in before.seen] == ["POST"]
        before.heal()
        if name != "dropped before":
            wait_for(lambda: program.raw("GET", f"/v1/deployments/by-key/{key}")[0] == 200, "the deployer has it")
            assert connector.find(key) is not None
        else:
            assert connector.find(key) is None
        settled = patient.deploy(request, key)
        wait_for(lambda: patient.deployment(settled.id).state.final, "it has ended")
        assert len(patient.history(SERVICE, "production", 500)) == number + 1
        assert patient.find(key).id == settled.id
        wait_for(lambda: set(patient.fleet(SERVICE, "production").digests) == {artifact.digest}, "the node runs it")


@pytest.mark.parametrize("name", ["dropped before", "dropped after", "half a body"])
def test_a_run_that_nobody_saw_begin_begins_once(stack: Stack, name: str) -> None:
    before = stack.before("ci")
    with closing(stack.connect("ci")) as connector:
        known = {run.id for run in connector.runs(SERVICE)}
        first = min(known)
        before.fault(**FAULTS[name][0], on="writes")
        with pytest.raises(OutcomeUnknown) as caught:
            connector.rerun(first, f"rerun-{name.replace(' ', '-')}")
        judged(caught.value)
        before.heal()
        again = connector.rerun(first, f"rerun-{name.replace(' ', '-')}")
        connector.stop(again.id)
        assert {run.id for run in connector.runs(SERVICE)} - known == {again.id}
        wait_for(lambda: connector.run(again.id).state.final, "it has ended")


def test_every_error_of_a_connector_is_reached(stack: Stack, closed_port: int) -> None:
    """The table: each class of the domain's errors that a connector may raise, and the real fault that leads to it."""
    wanted = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConnectorError)} - {ConnectorError}
    from_reads = {kind for _, kind, _ in FAULTS.values() if kind is not None}
    from_writes = {kind for _, _, kind in FAULTS.values() if kind is not None}
    assert from_reads | from_writes == wanted, "the table of faults leaves an error out, or has one that is none"
    assert wanted == {Unreachable, RateLimited, AuthFailed, NotFound, Rejected, BadPayload, OutcomeUnknown}
    with closing(stack.connect("ci", url=f"http://127.0.0.1:{closed_port}")) as nobody, pytest.raises(Unreachable) as caught:
        nobody.rerun("r", "k")
    judged(caught.value)


# -- with a real core --


class Watching:
    """A core that polls the three systems twice a second through the proxy, and calls a fact stale after two seconds."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.stack = stack
        folder.mkdir()
        kinds = {"ci": "ci-v1", "deployer": "deployment-v1", "alertmanager": "alertmanager"}
        self.sources = tuple(kinds)
        lines = ["[me]", 'name = "You"', 'email = "you@playground.invalid"', f"[services.{SERVICE}]"]
        lines += [f"repository = {json.dumps(str(stack.folder / 'playground' / 'repo'))}", f'tag_pattern = "{SERVICE}/v{{version}}"']
        lines += ["[environments.production]", "rank = 1", "production = true", "[poll]", "interval_s = 0.5", "deadline_s = 2.0"]
        for name, kind in kinds.items():
            lines += [f"[connections.{name}]", f'kind = "{kind}"', f'url = "{stack.before(name).url}"', 'token_env = "FAULTS_TOKEN"']
        (folder / "cockpit.toml").write_text("\n".join(lines) + "\n", "utf-8")
        self.main = LoopMainThread()
        self.cockpit: Cockpit = build(find_paths(folder), self.main)

    def begin(self) -> None:
        self.cockpit.start()
        self.until(lambda: all(self.condition(name) == "ok" for name in self.sources), "all answer")
        self.until(lambda: all(fact is not None for fact in self.facts().values()), "all is known")

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        told = [(n.title, n.message) for n in self.cockpit.notices.history]
        assert self.main.run_until(ready, timeout_s), f"{what}: {told} {self.cockpit.store.state.sources}"

    def condition(self, source: str) -> str:
        health = self.cockpit.store.state.sources.get(source)
        return "" if health is None else health.state(self.cockpit.clock_us())

    def facts(self) -> dict[str, Fact[Any] | None]:
        state = self.cockpit.store.state
        at = place(SERVICE, "production")
        return {
            "ci": state.checks.get(SERVICE),
            "deployer": state.fleets.get(at),
            "alertmanager": state.alerts.get("alertmanager"),
        }

    def stale(self, source: str) -> bool:
        fact = self.facts()[source]
        assert fact is not None
        return fact.stale(self.cockpit.clock_us())


@pytest.fixture
def watching(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    monkeypatch.setenv("FAULTS_TOKEN", TOKEN)
    made = Watching(tmp_path / "cockpit", stack)
    try:
        made.begin()
        yield made
    finally:
        made.cockpit.close()


PASSING = ["422", "429", "500", "dropped before", "half a body", "a page", "100 MB"]


def test_the_last_data_stays_with_its_age_and_recovery_needs_nobody(watching: Watching, stack: Stack) -> None:
    for name in PASSING:
        kept = watching.facts()
        hit = watching.sources if name != "100 MB" else ("ci",)
        for source in hit:
            stack.before(source).fault(**FAULTS[name][0])
        for source in hit:
            watching.until(lambda s=source: watching.condition(s) == "failed", f"{source} fails at {name}")  # type: ignore[misc]
            stack.before(source).heal()
            fact, before = watching.facts()[source], kept[source]
            assert fact is not None
            assert before is not None
            assert fact.value == before.value, f"{source} lost its data at {name}"
            told_of(watching.cockpit.store.state.sources[source].problem)
        for source in hit:
            watching.until(lambda s=source: watching.condition(s) == "ok", f"{source} recovers from {name}")  # type: ignore[misc]
            fact, before = watching.facts()[source], kept[source]
            assert fact is not None
            assert before is not None
            assert fact.at_us > before.at_us


def told_of(problem: Any) -> None:
    """What a person reads of a source that failed."""
    if problem is not None:  # it may answer again by now
        assert problem.message
        assert problem.hint
        assert TOKEN not in f"{problem}"


def test_systems_that_are_stopped_age_and_come_back(watching: Watching, stack: Stack) -> None:
    kept = watching.facts()
    for source in watching.sources:
        stack.stop(source)
    for source in watching.sources:
        watching.until(lambda s=source: watching.stale(s), f"{source} grows stale")  # type: ignore[misc]
        fact, before = watching.facts()[source], kept[source]
        assert fact is not None
        assert before is not None
        assert fact.value == before.value
        assert watching.condition(source) in ("stale", "failed")
    for source in watching.sources:
        stack.go_on(source)
    for source in watching.sources:
        watching.until(lambda s=source: watching.condition(s) == "ok" and not watching.stale(s), f"{source} is back")  # type: ignore[misc]


def test_without_the_rights_nobody_asks_again_until_a_person_does(watching: Watching, stack: Stack) -> None:
    kept = watching.facts()["ci"]
    stack.before("ci").fault(**FAULTS["403"][0])
    watching.until(lambda: watching.condition("ci") == "stopped", "polling stops")
    stack.before("ci").fault(**FAULTS["403"][0])
    watching.until(lambda: watching.stale("ci"), "it grows stale")
    assert stack.before("ci").seen == []
    fact = watching.facts()["ci"]
    assert fact is not None
    assert kept is not None
    assert fact.value == kept.value
    assert watching.condition("deployer") == "ok"
    stack.before("ci").heal()
    watching.cockpit.sync.refresh_now("ci")
    watching.until(lambda: watching.condition("ci") == "ok" and not watching.stale("ci"), "it answers again")
