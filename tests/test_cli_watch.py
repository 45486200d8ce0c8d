"""Alerts, nodes and gates from the terminal: the same refusals as in the window, one outcome, one exit status."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockpit import cli, cli_watch
from cockpit.connecting import Made, PerThread
from cockpit.connectors.ports import Message
from cockpit.domain.alerts import Alert, Matcher
from cockpit.domain.errors import OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.gates import Gate
from cockpit.paths import find_paths
from cockpit.services.connections import Connected
from cockpit.services.execution import Pace
from cockpit.services.runtime import now_us
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.ports import Fake, FakeGates, FakeTraffic
from tests.fakes.world import SERVICE, SETTINGS, World, write_settings

Run = Callable[..., tuple[int, str, str]]
GATE = Gate("run-7", SERVICE, "production", "1.2.0", "Deploy to production", who=("Ada",), mine=True, asked_at_us=now_us() - 60_000_000)


class FakeDrain(FakeTraffic):
    """Drain and Traffic."""

    def drain(self, service: str, environment: str, node: str) -> dict[str, int]:
        return self._asked("drain", node) or self.set_weights(service, environment, {node: 0})

    def ready(self, service: str, environment: str, node: str) -> dict[str, int]:
        return self._asked("ready", node) or self.set_weights(service, environment, {node: 50})


class FakeAlerts(Fake):
    """AlertsApi: remembers its silences, and which were ended; tells people, too."""

    def __init__(self) -> None:
        super().__init__(now_us)
        words = {"summary": "p99 above 20 ms"}
        self.firing = (Alert("a1", "LatencyHigh", {"severity": "critical"}, words, now_us() - 90_000_000, service=SERVICE),)
        self.silences: dict[str, bool] = {}
        self.told: list[str] = []

    def alerts(self) -> tuple[Alert, ...]:
        self._asked("alerts")
        return self.firing

    def covering(self, service: str, environment: str, names: tuple[str, ...]) -> tuple[Matcher, ...]:
        return (Matcher("service", service),)

    def silence(self, matchers: tuple[Matcher, ...], until_us: int, who: str, reason: str, key: str) -> str:
        self._asked("silence", key)
        self.silences[key] = True
        return key

    def end_silence(self, silence_id: str) -> None:
        self._asked("end_silence", silence_id)
        self.silences[silence_id] = False

    def notify(self, message: Message, key: str) -> None:
        self.told.append(message.title)


class Wide(World):
    """The world with a balancer, an alerting system and a forge whose steps wait."""

    def __init__(self) -> None:
        super().__init__()
        self.balancer = FakeDrain(now_us, {"production-1": 50, "production-2": 50})
        self.alerts, self.gates = FakeAlerts(), FakeGates(now_us, (GATE,))

    def connect(self, *_: Any) -> Made:
        """All of them."""
        parts = (
            (("Traffic", "Drain"), "lb", self.balancer),
            (("AlertsApi", "Notifier"), "am", self.alerts),
            (("Gates",) if self.gates is not None else (), "forge", self.gates),
        )
        more = tuple(Connected(i, i, "fake", ports, (SERVICE,), PerThread(lambda s=s: s)) for ports, i, s in parts)
        return Made((*super().connect().connected, *more))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wide:
    made = Wide()
    monkeypatch.setattr("cockpit.connecting.make_connections", made.connect)
    monkeypatch.setattr("cockpit.services.execution.Pace", lambda: Pace(follow_s=0.02, slow_s=0.05, settle_s=0.3, verify_s=0.5))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path, SETTINGS + '[alerts]\nexpected = ["InstanceDown"]\n')
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def raising(error: Exception) -> Callable[..., Any]:
    def hook(*_: Any) -> Any:
        raise error

    return hook


def journal(tmp_path: Path) -> list[tuple[str, str]]:
    database = open_database(find_paths(tmp_path).database)
    found = [(e.kind, e.action) for e in reversed(Journal(database, "test", now_us).entries()) if e.action != "policy"]
    database.close()
    return found


def test_an_alerting_system_that_is_silent_says_not_known_and_1(world: Wide, run: Run) -> None:
    world.alerts.hooks["alerts"] = raising(Unreachable("gone"))
    result, out, err = run("alerts")
    assert (result, "nothing fires" in out) == (1, False)
    assert "am has not answered: what fires now is not known" in out
    assert "gone" in err


def test_alerts_in_text_and_json(world: Wide, run: Run) -> None:
    result, out, _ = run("alerts", SERVICE)
    assert result == 0
    assert "■ firing" in out
    assert "LatencyHigh" in out
    assert "1 min" in out
    document = json.loads(run("alerts", "--json")[1])
    assert (document["alerts"][0]["severity"], document["sources"][0]["stale"]) == ("critical", False)
    world.alerts.firing = ()
    assert "● nothing fires" in run("alerts")[1]


def test_a_node_is_refused_with_every_reason(world: Wide, run: Run) -> None:
    world.balancer.shares = {"production-1": 100, "production-2": 0}
    result, _, err = run("drain", SERVICE, "production", "production-1", "--yes")
    assert (result, world.balancer.count("drain")) == (2, 0)
    assert "the last node that serves" in err
    assert run("drain", SERVICE, "production", "production-2")[0] == 2, "nobody is here to confirm it"


def test_a_node_goes_out_and_comes_back(world: Wide, run: Run, tmp_path: Path) -> None:
    result, out, _ = run("drain", SERVICE, "production", "production-2", "--yes", "--reason", "p99")
    assert (result, world.balancer.shares["production-2"]) == (0, 0)
    assert "● done: production-1 50 %, production-2 0 %" in out
    document = json.loads(run("ready", SERVICE, "production", "production-2", "--yes", "--json")[1])
    assert (document["deed"]["state"], document["deed"]["kind"]) == ("done", "ready")
    assert journal(tmp_path) == [("intent", "drain"), ("outcome", "drain"), ("intent", "ready"), ("outcome", "ready")]


@pytest.mark.parametrize(
    ("error", "status"), [(Rejected("the last one"), 2), (Unreachable("no socket"), 1), (OutcomeUnknown("no answer in time"), 3)]
)
def test_each_outcome_has_its_status(world: Wide, run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int) -> None:
    monkeypatch.setattr(cli_watch, "SETTLE_S", 0.3)
    world.balancer.hooks["drain"] = raising(error)
    result, _, err = run("drain", SERVICE, "production", "production-2", "--yes")
    assert result == status
    assert error.args[0] in err
    assert world.balancer.count("drain") == 1


def test_gates_are_listed_and_answered_once(world: Wide, run: Run, tmp_path: Path) -> None:
    result, out, _ = run("gates")
    assert result == 0
    assert "Deploy to production" in out
    assert run("gate", "reject", "run-7", "--yes")[0] == 2, "without a comment"
    assert run("gate", "approve", "nope", "--yes")[0] == 2
    result, out, _ = run("gate", "approve", "run", "--yes", "--comment", "read it")
    assert (result, "● done" in out) == (0, True)
    assert [call[2:4] for call in world.gates.calls if call[0] == "decide"] == [(True, "read it")]
    assert journal(tmp_path) == [("intent", "approve-gate"), ("outcome", "approve-gate")]
    assert "nothing waits elsewhere" in run("gates")[1]
    assert run("gate", "approve", "run-7", "--yes")[0] == 2


def test_a_rollback_silences_for_its_length_and_tells_people(world: Wide, run: Run, tmp_path: Path) -> None:
    result, _, err = run("rollback", SERVICE, "production", "--yes")
    assert result == 0, err
    assert list(world.alerts.silences.values()) == [False]
    assert world.alerts.told == [
        f"Rollback of {SERVICE} in production to 1.0.0 started",
        f"Rollback of {SERVICE} in production to 1.0.0: done",
    ]
    silences = [kind for kind, action in journal(tmp_path) if action == "silence"]
    assert silences == ["intent", "progress", "outcome"]


def test_a_dead_alerting_system_and_receiver_hold_no_rollback_up(world: Wide, run: Run) -> None:
    world.alerts.hooks["silence"] = raising(Unreachable("gone"))
    world.alerts.notify = raising(Rejected("archived"))  # type: ignore[method-assign]
    result, _, err = run("rollback", SERVICE, "production", "--yes")
    assert result == 0
    assert "am: nobody was told" in err


def test_steps_are_never_said_to_be_none_where_nobody_told(world: Wide, run: Run) -> None:
    world.gates.hooks["gates"] = lambda *_: (_ for _ in ()).throw(Unreachable("no route"))
    result, out, _ = run("gates")
    assert (result, "nothing waits" in out) == (1, False)
    assert f"forge does not answer: what waits there for {SERVICE} is not known" in out
    assert json.loads(run("gates", "--json")[1])["late"] == [{"id": "forge", "source": "forge", "service": SERVICE}]
    world.gates = None  # type: ignore[assignment]
    result, out, err = run("gates")
    assert (result, "nothing waits" in out) == (2, False)
    assert "No system in which steps wait for a person is connected" in err
