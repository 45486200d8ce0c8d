"""The watch in the terminal: it only looks, says what a window has seen, and ends with a status that a script can use."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit import cli
from cockpit.cli_follow import Follower, _result
from cockpit.domain.judge import NO_WORSE, Verdict
from cockpit.domain.release import Deployment, DeployState
from cockpit.domain.watching import Watched, WatchState
from cockpit.paths import find_paths
from cockpit.services.runtime import now_us
from cockpit.services.store import Store
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.ports import digest_of
from tests.fakes.world import SERVICE, SETTINGS, World, write_settings

Run = Callable[..., tuple[int, str, str]]
MIN = 60_000_000
WATCH = "[environments.production.watch]\nminutes = 5\nautomatic = true\ncountdown_s = 5\n"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    monkeypatch.setattr("cockpit.connecting.make_connections", made.connect)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path, SETTINGS + WATCH)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def deployed(world: World, ago_s: float = 60.0) -> Deployment:
    """1.1.0 came to production so long ago."""
    ended = now_us() - int(ago_s * 1e6)
    where = (SERVICE, "production", "1.1.0", digest_of("1.1.0"), "deploy", DeployState.SUCCEEDED)
    made = Deployment("p9", "k9", *where, started_at_us=ended - 20_000_000, finished_at_us=ended)
    world.deployer.put(replace(made, from_version="1.0.0", from_digest=digest_of("1.0.0")))
    return made


def note(folder: Path, said: str, message: str, verdict: str = "", over: bool = False) -> None:
    """What an open window wrote."""
    database = open_database(find_paths(folder).database)
    detail: dict[str, Any] = {"said": said, "message": message, "deployment": "p9", "version": "1.1.0", "over": over, "verdict": verdict}
    Journal(database, "window:1:1", now_us).append("note", "watch:x", "watch", "", SERVICE, "production", detail)
    database.close()


def test_without_a_deployment_there_is_nothing_to_follow(world: World, run: Run) -> None:
    result, _, err = run("watch", SERVICE, "production")
    assert result == 2
    assert "No deployment of gateway in production is watched" in err
    assert "minutes" in err
    deployed(world, ago_s=6 * 60)
    assert run("watch", SERVICE, "production")[0] == 2


@pytest.mark.parametrize("words", [("--for", "0"), ("--for", "soon"), ("--for", "1e9")])
def test_a_time_that_is_none(world: World, run: Run, words: tuple[str, str]) -> None:
    assert run("watch", SERVICE, "production", *words)[0] == 2


def test_alone_a_terminal_cannot_tell_and_does_nothing(world: World, run: Run, tmp_path: Path) -> None:
    deployed(world)
    result, out, _ = run("watch", SERVICE, "production", "--for", "2")
    assert result == 3
    assert "watching: nothing of it was seen yet; only 0 of 2,000 requests seen" in out
    assert "nobody can tell" in out
    assert world.deployer.count("deploy") == 0
    database = open_database(find_paths(tmp_path).database)
    assert [e for e in Journal(database, "test", now_us).entries() if e.action == "watch"] == []
    database.close()


@pytest.mark.parametrize(
    ("said", "verdict", "over", "status"),
    [("bad", "worse", False, 1), ("bad", "worse", True, 1), ("fine", "no worse than the limit", True, 0), ("cannot tell", "", True, 3),
     ("watching", "no worse than the limit", False, 0), ("watching", "cannot tell yet", False, 3)],
)  # fmt: skip
def test_what_a_window_has_seen_counts(world: World, run: Run, tmp_path: Path, said: str, verdict: str, over: bool, status: int) -> None:
    deployed(world)
    run("status")
    note(tmp_path, said, "p99 is 2.4 x baseline", verdict, over)
    result, out, _ = run("watch", SERVICE, "production", "--for", "1")
    assert result == status
    assert f"the window says: {said}, p99 is 2.4 x baseline" in out


def test_json_is_one_document(world: World, run: Run, tmp_path: Path) -> None:
    deployed(world)
    run("status")
    note(tmp_path, "bad", "p99 is 2.4 x baseline", "worse")
    result, out, _ = run("watch", SERVICE, "production", "--for", "1", "--json")
    watch = json.loads(out)["watch"]
    assert (result, watch["version"], watch["automatic"], watch["window"]["state"]) == (1, "1.1.0", True, "bad")
    assert watch["countdown"] is None


def test_status_says_what_is_watched(world: World, run: Run, tmp_path: Path) -> None:
    assert "is watched" not in run("status")[1]
    deployed(world)
    out = run("status")[1]
    assert "gateway 1.1.0 in production is watched until" in out
    assert "no window is open that judges it" in out
    note(tmp_path, "bad", "p99 is 2.4 x baseline", "worse")
    out = run("status")[1]
    assert "■" in out
    assert "bad, p99 is 2.4 x baseline (0 s ago)" in out
    places = {p["environment"]: p for p in json.loads(run("status", "--json")[1])["places"]}
    assert places["staging"]["watch"] is None
    assert places["production"]["watch"]["window"]["verdict"] == "worse"


@pytest.mark.parametrize(("state", "status"), [(WatchState.BAD, 1), (WatchState.WATCHING, 3)])
def test_a_rollback_that_does_well_does_not_make_the_deployment_fine(state: WatchState, status: int) -> None:
    lines: list[str] = []
    out = SimpleNamespace(as_json=False, colour=False, line=lines.append)
    cockpit = SimpleNamespace(store=Store(), journal=None, clock_us=now_us)
    follower = Follower(SimpleNamespace(cockpit=cockpit, out=out), "gw", "prod")
    fine = Verdict(NO_WORSE, "at most 1.04 x baseline", now_us())
    first = Watched("gw", "prod", "3", "deploy", "1.8.0", "1.7.0", now_us(), state=state, verdict=fine)
    cockpit.store.merge("watches", {"gw@prod": first})
    assert not follower.ended()
    other = replace(first, deployment="4", kind="rollback", version="1.7.0", from_version="1.8.0", state=WatchState.WATCHING)
    cockpit.store.merge("watches", {"gw@prod": other})
    follower._asked_us = 0
    assert follower.ended()
    assert "a rollback of 1.7.0 began" in lines[-1]
    assert follower.document is not None
    assert (follower.document["version"], _result(follower.document)) == ("1.8.0", status)
