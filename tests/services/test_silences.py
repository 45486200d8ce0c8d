"""Silences for the length of a deployment against a real Alertmanager: made, released, taken up after a kill, and never in the way."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.domain.errors import AuthFailed, NotFound, OutcomeUnknown, StorageError, Unreachable
from cockpit.domain.rollout import ActionState
from cockpit.services import silences
from cockpit.services.clock import now_us
from cockpit.services.notices import Severity
from tests.fakes.monitoring import Running, alertmanager
from tests.fakes.silencing import EXPECTED, SilencingRig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as running:
        yield running


@pytest.fixture
def rig(server: Running, tmp_path: Path) -> Iterator[SilencingRig]:
    clear(server)
    made = SilencingRig(tmp_path, server.url)
    yield made
    made.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "AGAIN_S", 0.05)


def ask(server: Running, path: str, method: str = "GET", body: object = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def standing(server: Running) -> list[dict[str, Any]]:
    return [s for s in ask(server, "/api/v2/silences") if s["status"]["state"] != "expired"]


def clear(server: Running) -> None:
    for silence in standing(server):
        ask(server, f"/api/v2/silence/{silence['id']}", "DELETE")


def killed(folder: Path, server: Running, step: str) -> None:
    command = [sys.executable, "-m", "tests.fakes.silencing", str(folder), server.url, step]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr.decode()[-2000:]


def alert(server: Running, **labels: str) -> None:
    ask(server, "/api/v2/alerts", "POST", [{"labels": labels}])


def test_a_deployment_silences_what_it_is_expected_to_cause_and_nothing_else(server: Running, rig: SilencingRig) -> None:
    here = {"service": "gw", "environment": "prod"}
    for name, place in ((EXPECTED[0], here), (EXPECTED[1], here), ("NodeXGone (old)", here), (EXPECTED[0], {**here, "service": "md"})):
        alert(server, alertname=name, **place)
    rig.begin()
    rig.until(lambda: rig.noted("progress"))
    [made] = standing(server)
    assert made["createdBy"] == "Rae <rae@playground.invalid>"
    words = "Deploy of gw in prod to 1.7.0: expected while it is under way"
    assert made["comment"] == f"{words} [release-cockpit silence:{rig.key}:alerts]"
    rig.until(lambda: sum(a.silenced for a in rig.alerting.alerts()) == 2)
    silenced = {(a.name, a.service) for a in rig.alerting.alerts() if a.silenced}
    assert silenced == {(EXPECTED[0], "gw"), (EXPECTED[1], "gw")}
    [meant] = rig.noted("intent")
    assert (meant["of"], meant["connection"], meant["id"]) == (rig.key, "alerts", "")
    rig.deployer.ended = True
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.DONE)
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []
    assert [d["message"] for d in rig.noted("outcome")] == ["ended with what it was made for"]


def test_nothing_is_silenced_where_nothing_is_expected(server: Running, rig: SilencingRig) -> None:
    rig.silences.expected = ()
    rig.begin()
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.FOLLOWING)
    assert (standing(server), rig.noted("intent")) == ([], [])


@pytest.mark.parametrize("step", ["made", "noted"])
def test_after_a_kill_the_silence_of_what_still_runs_is_kept_and_then_released(server: Running, tmp_path: Path, step: str) -> None:
    clear(server)
    killed(tmp_path, server, step)
    [left] = standing(server)
    rig = SilencingRig(tmp_path, server.url)
    rig.recover()
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.FOLLOWING)
    rig.until(lambda: rig.noted("progress"))
    assert [s["id"] for s in standing(server)] == [left["id"]], "no second one"
    rig.deployer.ended = True
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []
    assert rig.deployer.posts == 0
    rig.close()


@pytest.mark.parametrize("step", ["made", "noted"])
def test_after_a_kill_the_silence_of_what_ended_meanwhile_is_released(server: Running, tmp_path: Path, step: str) -> None:
    clear(server)
    killed(tmp_path, server, step)
    rig = SilencingRig(tmp_path, server.url)
    rig.silences.expected = ()  # even where nothing is expected any more
    rig.journal.append("outcome", rig.key, "deploy", "Rae", "gw", "prod", {"state": "done"})
    rig.recover()
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []
    rig.close()


def test_a_restart_extends_what_is_near_its_end(server: Running, tmp_path: Path) -> None:
    clear(server)
    killed(tmp_path, server, "noted")
    rig = SilencingRig(tmp_path, server.url)
    rig.silences.longest_s = 2400.0  # what stands lasts less than half of that
    rig.recover()
    rig.until(lambda: len(rig.noted("progress")) == 3)
    assert len(standing(server)) == 2
    rig.deployer.ended = True
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == [], "the first one, too: after the action nothing that breaks is silent"
    rig.close()


def test_no_number_of_restarts_silences_what_hangs_for_longer_than_twice_the_longest(server: Running, tmp_path: Path) -> None:
    clear(server)
    killed(tmp_path, server, "noted")
    [left] = standing(server)
    rig = SilencingRig(tmp_path, server.url)
    rig.silences._clock_us = lambda: now_us() + 1_300_000_000  # the silence is over, the action hangs still
    rig.recover()
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.FOLLOWING)
    assert [s["id"] for s in standing(server)] == [left["id"]], "none was made anew"
    assert len(rig.noted("progress")) == 1
    rig.deployer.ended = True
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.DONE)
    # the state tells the end before the disk has it, and only what is on the disk is taken up
    rig.until(lambda: any(e.kind == "outcome" for e in rig.journal.progress_of(rig.key)))
    rig.silences.recover()  # as the core does again and again
    rig.until(lambda: rig.noted("outcome"))
    assert rig.noted("outcome")[0]["message"] == "it ended by itself"
    rig.close()


@pytest.mark.usefixtures("soon")
def test_a_silence_that_cannot_be_made_longer_is_kept_and_released_all_the_same(server: Running, tmp_path: Path) -> None:
    clear(server)
    killed(tmp_path, server, "noted")
    [left] = standing(server)
    rig = SilencingRig(tmp_path, server.url)
    rig.silences.longest_s = 2400.0

    def silence(*_: object) -> str:
        raise AuthFailed("no right to make one")

    rig.alerting.silence = silence
    rig.recover()
    rig.until(lambda: [d["id"] for d in rig.noted("progress")] == [left["id"], "", left["id"]])
    rig.deployer.ended = True
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []
    rig.close()


@pytest.mark.usefixtures("soon")
def test_one_that_is_asked_for_again_and_again_is_asked_for_under_one_key(server: Running, rig: SilencingRig) -> None:
    asked: list[str] = []

    def silence(*about: Any) -> str:
        asked.append(about[-1])
        raise OutcomeUnknown("no answer came")

    rig.alerting.silence = silence
    rig.begin()
    rig.until(lambda: asked)
    rig.silences._clock_us = lambda: now_us() + 400_000_000  # less than half of it is left
    rig.until(lambda: len(asked) > 4)
    assert len(set(asked)) == 1, "each other key could make another one"
    assert len(rig.noted("progress")) == 0


@pytest.mark.usefixtures("soon")
def test_a_silence_that_the_full_disk_could_not_note_is_ended_too(server: Running, rig: SilencingRig) -> None:
    real, full = rig.journal.append, [True]

    def append(kind: str, *about: Any) -> Any:
        if kind == "progress" and about[1] == "silence" and full:
            raise StorageError("the disk is full")
        return real(kind, *about)

    rig.journal.append = append  # type: ignore[method-assign,assignment]
    rig.begin()
    rig.until(lambda: standing(server))
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.FOLLOWING)
    full.clear()
    rig.deployer.ended = True
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []


@pytest.mark.usefixtures("soon")
def test_an_answer_that_was_lost_is_settled_by_the_same_key(server: Running, rig: SilencingRig) -> None:
    real, lost = rig.alerting.silence, []

    def silence(*arguments: Any) -> str:
        answer: str = real(*arguments)
        if not lost:
            lost.append(answer)
            raise OutcomeUnknown("no answer came")
        return answer

    rig.alerting.silence = silence
    rig.begin()
    rig.until(lambda: [d for d in rig.noted("progress") if d["id"]])
    assert [s["id"] for s in standing(server)] == lost
    rig.until(lambda: not rig.notices.told("silence:alerts:gw@prod"))


@pytest.mark.usefixtures("soon")
def test_an_answer_that_was_lost_and_never_found_is_looked_for_when_the_action_ends(server: Running, rig: SilencingRig) -> None:
    real, deaf = rig.alerting.silence, [True]

    def silence(*arguments: Any) -> str:
        answer: str = real(*arguments)
        if deaf:
            raise OutcomeUnknown("no answer came")
        return answer

    rig.alerting.silence = silence
    rig.begin()
    rig.until(lambda: standing(server))
    rig.deployer.ended = True
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.DONE)
    rig.until(lambda: rig.notices.told("silence:alerts:gw@prod"))
    deaf.clear()
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []


@pytest.mark.usefixtures("soon")
def test_a_system_that_is_gone_holds_nothing_up_and_is_told_once(server: Running, rig: SilencingRig) -> None:
    real, gone = rig.alerting.end_silence, [True]

    def end_silence(silence_id: str) -> None:
        if gone:
            raise Unreachable("no route")
        real(silence_id)

    rig.alerting.end_silence = end_silence
    rig.begin()
    rig.until(lambda: rig.noted("progress"))
    rig.deployer.ended = True
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.DONE)
    rig.until(lambda: any(n.count > 2 for n in rig.notices.history))
    [told] = [n for n in rig.notices.history if n.severity is Severity.WARNING]
    assert (told.title, told.message) == ("A silence outlives what it was made for: gw in prod", "no route")
    assert "an end of its own" in told.hint
    gone.clear()
    rig.until(lambda: rig.noted("outcome"))
    assert standing(server) == []
    rig.until(lambda: next(n for n in rig.notices.history if n.id == told.id).over)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("error", [AuthFailed("no right"), Unreachable("no route")])
def test_what_cannot_be_made_is_told_and_the_action_goes_on(server: Running, rig: SilencingRig, error: Exception) -> None:
    def silence(*_: object) -> str:
        raise error

    rig.alerting.silence = silence
    rig.begin()
    rig.until(lambda: rig.notices.told("silence:alerts:gw@prod"))
    rig.deployer.ended = True
    rig.until(lambda: rig.store.state.actions[rig.key].state is ActionState.DONE)
    assert standing(server) == []
    if isinstance(error, AuthFailed):
        rig.until(lambda: [d["state"] for d in rig.noted("outcome")] == ["failed"])


@pytest.mark.usefixtures("soon")
def test_what_somebody_ended_or_time_ended_is_no_trouble(server: Running, rig: SilencingRig) -> None:
    def gone(_: str) -> None:
        raise NotFound("there is none")

    rig.alerting.end_silence = gone
    rig.begin()
    rig.until(lambda: rig.noted("progress"))
    rig.deployer.ended = True
    rig.until(lambda: rig.noted("outcome"))
    assert rig.noted("outcome")[0]["message"] == "it was gone already"
    assert not rig.notices.told("silence:alerts:gw@prod")
