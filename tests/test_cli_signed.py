"""What people signed and what a calendar says, as the terminal hears it: real keys, real git, a real file of freezes; fake systems."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit import cli, connecting
from cockpit.connecting import Made
from cockpit.services.execution import Pace
from cockpit.services.rollout_hands import RolloutPace
from cockpit.services.runtime import now_us
from tests.fakes.ports import digest_of
from tests.fakes.signing import Team, git
from tests.fakes.world import World, write_settings

Run = Callable[..., tuple[int, str, str]]
RULES = """
[me]
name = "Rae"
email = "rae@playground.invalid"
[services.gateway]
repository = "{repository}"
[services.risk]
repository = "{repository}"
[environments.staging]
rank = 1
[environments.production]
rank = 2
production = true
approvals = 1
strategy = "canary"
[strategies.canary]
steps = [
    {{ do = "deploy", nodes = ["1"] }}, {{ do = "hold" }}, {{ do = "gate", ask = ["approvals"] }}, {{ do = "deploy", nodes = ["rest"] }}
]
[sets.trading]
services = ["gateway", "risk"]
[approvals]
allowed_signers = "{signers}"
remote = "origin"
[connections.calendar]
kind = "icalendar"
path = "freezes.ics"
[poll]
interval_s = 0.5
"""


def calendar(folder: Path, *events: tuple[timedelta, timedelta, str]) -> None:
    """The file of freezes: each event begins and ends so long from now."""
    now, lines = datetime.now(UTC), ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"]
    for number, (begin, end, name) in enumerate(events):
        times = [f"{key}:{now + after:%Y%m%dT%H%M%SZ}" for key, after in (("DTSTART", begin), ("DTEND", end))]
        lines += ["BEGIN:VEVENT", f"UID:{number}@x", f"DTSTAMP:{now:%Y%m%dT%H%M%SZ}", *times, f"SUMMARY:{name}", "END:VEVENT"]
    (folder / "freezes.ics").write_bytes("\r\n".join([*lines, "END:VCALENDAR", ""]).encode())


@pytest.fixture
def team(tmp_path: Path) -> Team:
    folder = tmp_path / "team"
    folder.mkdir()
    return Team(folder, "bea")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, team: Team) -> World:
    made, real = World(team.commit), connecting.make_connections

    def connect(*parts: Any) -> Made:
        found = real(*parts)
        for unused in (c for c in found.connected if c.kind == "git"):
            unused.connector.close_all()
        fakes = (replace(c, services=("gateway", "risk")) if c.id == "deployer" else c for c in made.connect().connected)
        others = (c for c in found.connected if c.kind != "git")
        return Made((*fakes, *others), found.problems, found.lock)

    monkeypatch.setattr("cockpit.connecting.make_connections", connect)
    monkeypatch.setattr("cockpit.services.execution.Pace", lambda: Pace(follow_s=0.02, slow_s=0.05, settle_s=0.3, verify_s=0.5))
    monkeypatch.setattr("cockpit.services.rollout_hands.RolloutPace", lambda: RolloutPace(0.05, 0.1, 0.3))
    monkeypatch.setattr("cockpit.services.rollouts.RolloutPace", lambda: RolloutPace(0.05, 0.1, 0.3))
    numbers = iter(range(1, 10**6))
    monkeypatch.setattr("cockpit.storage.owner.process_owner", lambda: f"{platform.node()}:{os.getpid()}:{next(numbers)}")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path, RULES.format(repository=team.clone("mine"), signers=team.allowed))
    calendar(tmp_path)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def says(team: Team, kind: str, version: str = "1.2.0", service: str = "gateway", **more: Any) -> None:
    """Bea says it in her own clone, and shares it."""
    at = {"version": version, "commit": team.commit, "digest": digest_of(version)}
    team.at("hers", "bea").sign(replace(team.word("bea", kind, now_us(), **at, **more), service=service))


def newest(run: Run) -> dict[str, Any]:
    """1.2.0 as `pending` has it."""
    result, out, err = run("pending", "gateway", "--environment", "production", "--json")
    assert result == 0, out + err
    found: dict[str, Any] = json.loads(out)["pending"][0]["versions"][0]
    return found


def reasons(version: dict[str, Any]) -> str:
    return "; ".join(r["text"] for r in version["reasons"])


def test_what_was_signed_elsewhere_a_moment_ago_counts(world: World, run: Run, team: Team) -> None:
    before = newest(run)
    assert (before["approvals_given"], before["ready"]) == (0, False)
    assert reasons(before) == "0 of 1 approvals given"
    says(team, "approve")
    after = newest(run)
    assert (after["approvals_given"], after["ready"], after["reasons"]) == (1, True, [])
    assert "1/1" in run("pending", "gateway")[1]
    says(team, "reject", reason="p99")
    assert "rejected by bea@playground.invalid: p99" in reasons(newest(run))


def test_the_calendar_is_asked_before_anything_is_called_ready(world: World, run: Run, team: Team, tmp_path: Path) -> None:
    says(team, "approve")
    assert newest(run)["ready"]
    calendar(tmp_path, (timedelta(hours=-1), timedelta(hours=1), "Year end"))
    frozen = newest(run)
    assert not frozen["ready"]
    assert "Year end" in reasons(frozen)
    (tmp_path / "freezes.ics").unlink()
    assert not newest(run)["ready"], "what cannot be asked is not free"


@pytest.mark.parametrize("what", ["plan", "rehearse", "start"])
def test_a_rollout_hears_the_approval_that_was_signed_elsewhere(world: World, run: Run, team: Team, what: str) -> None:
    more = () if what == "plan" else ("--yes",)
    order = ("rollout", what, "gateway", "production", "1.2.0", *more)
    result, _, err = run(*order)
    assert (result, "0 of 1 approvals given" in err) == (2, True)
    says(team, "approve")
    result, out, err = run("--json", *order)
    assert (result, json.loads(out).get("outcome")) == {"plan": (0, "plan"), "rehearse": (0, "done"), "start": (3, "held")}[what], out + err


def test_a_rejection_that_came_while_a_rollout_held_ends_it_at_its_gate(world: World, run: Run, team: Team) -> None:
    says(team, "approve")
    assert run("rollout", "start", "gateway", "production", "1.2.0", "--yes")[0] == 3
    says(team, "reject", reason="p99 doubled")
    result, out, err = run("--json", "rollout", "go-on", "--yes", "--timeout", "3")
    assert result != 0
    assert "p99 doubled" in out, err
    assert world.deployer.count("deploy") == 1


def test_a_set_is_planned_with_all_that_was_said(world: World, run: Run, team: Team) -> None:
    says(team, "hold", "1.0.0", "risk", reason="it loses orders")
    assert run("rollback-set", "trading", "production", "--dry-run")[0] == 2, "risk runs nowhere"
    assert "words/hold/risk/production" in git(team.folder / "mine", "for-each-ref", "refs/tags/words")
