"""Holds, overrides, emergencies and what must be insisted on, from a terminal; against a small venue behind fake ports."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from cockpit import cli
from cockpit.domain.errors import Unreachable
from cockpit.domain.statements import Statement
from cockpit.paths import find_paths
from cockpit.services.execution import Pace
from cockpit.services.runtime import now_us
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.ports import digest_of
from tests.fakes.world import SETTINGS, World, write_settings

Run = Callable[..., tuple[int, str, str]]
GATEWAY = ("gateway", "1.2.0", "production")
OTHER = SETTINGS.replace('name = "Rae"', 'name = "Eve"').replace("rae@", "eve@")
ALONE = '[groups]\nleads = ["rae@playground.invalid"]\n[overrides]\nemergency = ["leads"]\nfreeze = ["leads"]\n'


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    monkeypatch.setattr("cockpit.connecting.make_connections", made.connect)
    monkeypatch.setattr("cockpit.services.execution.Pace", lambda: Pace(follow_s=0.02, slow_s=0.05, settle_s=0.3, verify_s=0.5))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    write_settings(tmp_path)
    return made


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return result, out, err

    return call


def broken(*_: Any) -> Any:
    raise Unreachable("git is down")


def request(folder: Path, who: str = "mira@playground.invalid", number: int = 0, version: str = "1.2.0", minutes: int = 60) -> str:
    """Somebody's window asked for it; the id of the word."""
    now = now_us()
    of = ("gateway", "production", version, "c" * 40, digest_of(version), who, "Mira")
    word = Statement("request", *of, "CHG-7", now, now + minutes * 60_000_000, id=f"{number}abc{'0' * 28}")
    database = open_database(find_paths(folder).database)
    try:
        Journal(database, "elsewhere:1:1", now_us).append("note", word.id, "request", who, "gateway", "production", asdict(word))
    finally:
        database.close()
    return word.id


def in_staging(world: World) -> None:
    """1.2.0 runs in staging."""
    for name, node in world.deployer._nodes.items():
        if node.environment == "staging":
            from msgspec.structs import replace

            world.deployer._nodes[name] = replace(node, version="1.2.0", digest=digest_of("1.2.0"))


# -- refusals first ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("hold", *GATEWAY),
        ("clear", *GATEWAY),
        ("override", "production", "--reason", "x"),
        ("override", "production", "--minutes", "0", "--reason", "x"),
        ("sign-off", "abc"),
        ("hold", "gateway", "1.2.0"),
        ("withdraw",),
        ("end-override",),
        ("break-lock", "production"),
        ("let-go", "abc"),
    ],
)
def test_what_lacks_its_reason_or_end_is_bad_usage(world: World, run: Run, words: tuple[str, ...]) -> None:
    result, _, err = run(*words)
    assert result == 2
    assert "Bad usage" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hold", *GATEWAY, "--reason", " "), "reason"),
        (("clear", *GATEWAY, "--reason", "x"), "is not held in production"),
        (("override", "production", "--minutes", "5", "--reason", "x"), "freeze"),
        (("sign-off", "abc", "--comment", "x"), "There is no debt of abc"),
        (("hold", "gateway", "9.9.9", "production", "--reason", "x"), "There is no version"),
        (("withdraw", "abc"), "No request stands for abc"),
        (("withdraw", *GATEWAY), "No request stands for gateway 1.2.0 production"),
        (("withdraw", "gateway", "1.2.0"), "SERVICE VERSION ENVIRONMENT"),
        (("withdraw", "gatway", "1.2.0", "production"), "There is no service"),
        (("end-override", "production"), "there is nothing to end"),
        (("end-override", "producton"), "There is no environment"),
        (("break-lock", "production", "--reason", "x"), "There is no lock to break here"),
        (("let-go", "abc", "--reason", "x"), "No action that begins with abc"),
    ],
)
def test_what_may_not_be_said_is_refused(world: World, run: Run, words: tuple[str, ...], said: str) -> None:
    result, _, err = run(*words)
    assert result == 2
    assert said in err
    entries = json.loads(run("activity", "--json")[1])["entries"]
    assert not {"hold", "clear", "override", "sign-off"} & {e["action"] for e in entries}


def test_what_must_be_insisted_on_needs_a_reason(world: World, run: Run) -> None:
    world.source.hooks["changes"] = broken
    result, _, err = run("rollback", "gateway", "production", "--yes")
    assert result == 2
    assert "A reason is needed" in err
    assert "--reason" in err
    assert world.deployer.count("deploy") == 0
    result, out, _ = run("rollback", "gateway", "production", "--dry-run", "--json")
    assert result == 0
    assert len(json.loads(out)["plan"]["insists"]) == 1
    result, out, _ = run("rollback", "gateway", "production", "--yes", "--reason", "git is down")
    assert result == 0
    assert "a reason passes it" in out


def test_nobody_deploys_alone_whom_the_policy_does_not_name(world: World, run: Run) -> None:
    in_staging(world)
    result, _, err = run("deploy", "gateway", "production", "1.2.0", "--emergency", "--yes", "--reason", "x")
    assert result == 2
    assert "you may not act alone" in err
    assert world.deployer.count("deploy") == 0


# -- holds -------------------------------------------------------------------------------------------------------------------


def test_a_version_is_held_shown_refused_and_cleared(world: World, run: Run) -> None:
    in_staging(world)
    assert run("holds")[1].strip() == "Nothing is held."
    result, out, _ = run("hold", *GATEWAY, "--reason", "p99 doubled")
    assert (result, "gateway 1.2.0 in production is held" in out) == (0, True)
    [held] = json.loads(run("holds", "gateway", "--environment", "production", "--json")[1])["holds"]
    assert (held["version"], held["reason"], held["who"]) == ("1.2.0", "p99 doubled", "rae@playground.invalid")
    assert json.loads(run("holds", "--environment", "staging", "--json")[1])["holds"] == []
    assert "p99 doubled" in run("holds")[1]
    result, _, err = run("deploy", "gateway", "production", "1.2.0", "--yes")
    assert (result, "1.2.0 is held by rae@playground.invalid" in err) == (2, True)
    waiting = json.loads(run("pending", "gateway", "--environment", "production", "--json")[1])["pending"][0]["versions"][0]
    assert (waiting["version"], waiting["held"], waiting["ready"]) == ("1.2.0", True, False)
    result, out, _ = run("clear", *GATEWAY, "--reason", "fixed")
    assert (result, "is held no more" in out) == (0, True)
    assert run("holds")[1].strip() == "Nothing is held."


def test_what_left_by_a_rollback_is_held_when_the_command_ends(world: World, run: Run) -> None:
    assert run("rollback", "gateway", "production", "--yes", "--reason", "p99")[0] == 0
    [held] = json.loads(run("holds", "--json")[1])["holds"]
    assert (held["version"], held["environment"]) == ("1.1.0", "production")
    assert "rolled back to 1.0.0 by Rae" in held["reason"]


# -- emergencies and freezes -------------------------------------------------------------------------------------------------


def test_one_person_alone_owes_a_review_that_only_another_signs_off(world: World, run: Run, tmp_path: Path) -> None:
    in_staging(world)
    write_settings(tmp_path, SETTINGS + ALONE)
    assert run("debts")[1].strip() == "No review is owed."
    order = ("deploy", "gateway", "production", "1.2.0", "--emergency", "--yes")
    result, _, err = run(*order)
    assert (result, "A reason is needed" in err) == (2, True)
    result, out, _ = run(*order, "--reason", "orders are lost")
    assert (result, "emergency: you act alone" in out) == (0, True)
    [debt] = json.loads(run("debts", "--json")[1])["debts"]
    assert (debt["version"], debt["who"], debt["reason"]) == ("1.2.0", "rae@playground.invalid", "orders are lost")
    assert "alone: orders are lost" in run("debts")[1]
    result, _, err = run("sign-off", debt["about"][:8], "--comment", "mine")
    assert (result, "second person" in err) == (2, True)
    write_settings(tmp_path, OTHER + ALONE)
    result, out, _ = run("sign-off", debt["about"][:8], "--comment", "read it")
    assert (result, "signed off: rae@playground.invalid deployed gateway 1.2.0" in out) == (0, True)
    assert run("debts")[1].strip() == "No review is owed."


def test_a_freeze_is_passed_by_who_may_until_it_ends(world: World, run: Run, tmp_path: Path) -> None:
    write_settings(tmp_path, SETTINGS + ALONE)
    result, out, _ = run("override", "production", "--minutes", "30", "--service", "gateway", "--reason", "CHG-1", "--json")
    found = json.loads(out)["override"]
    assert (result, found["who"], found["service"], found["reason"]) == (0, "rae@playground.invalid", "gateway", "CHG-1")
    assert found["until_us"] - found["at_us"] == pytest.approx(1_800_000_000, abs=60_000_000)
    assert "a hard freeze is passed by nobody" in run("override", "production", "--minutes", "30", "--reason", "CHG-1")[1]


def test_a_pass_of_freezes_is_ended_early(world: World, run: Run, tmp_path: Path) -> None:
    write_settings(tmp_path, SETTINGS + ALONE)
    passed = ("override", "production", "--minutes", "30", "--reason", "CHG-1")
    assert [run(*passed, *more)[0] for more in ((), ("--service", "gateway"))] == [0, 0]
    result, out, _ = run("end-override", "production", "--service", "gateway", "--json")
    assert (result, [o["service"] for o in json.loads(out)["ended"]]) == (0, ["gateway"])
    result, out, _ = run("end-override", "production", "--reason", "done")
    assert (result, "freezes of every service in production hold again" in out) == (0, True)
    assert run("end-override", "production")[0] == 2
    ends = [e for e in json.loads(run("activity", "--json")[1])["entries"] if e["action"] == "end"]
    assert [e["detail"]["reason"] for e in ends] == ["done", ""]


# -- requests ----------------------------------------------------------------------------------------------------------------


def test_requests_are_listed_with_what_they_wait_for_and_withdrawn(world: World, run: Run, tmp_path: Path) -> None:
    assert run("requests")[1].strip() == "Nothing is requested."
    ids = [request(tmp_path, number=1), request(tmp_path, "ravi@playground.invalid", 2), request(tmp_path, number=3, minutes=-1)]
    found = json.loads(run("requests", "gateway", "--environment", "production", "--json")[1])["requests"]
    assert [(r["id"], r["who"], r["version"], r["reason"]) for r in found] == [
        (ids[0], "mira@playground.invalid", "1.2.0", "CHG-7"),
        (ids[1], "ravi@playground.invalid", "1.2.0", "CHG-7"),
    ]
    assert "0 of 1 approvals given" in found[0]["waits_for"]
    assert json.loads(run("requests", "--environment", "staging", "--json")[1])["requests"] == []
    out = run("requests")[1]
    assert "gateway 1.2.0 to production (1abc0000)" in out
    assert "waits for: 0 of 1 approvals given" in out
    result, _, err = run("withdraw", *GATEWAY)
    assert (result, "2 requests stand for gateway 1.2.0 production: 1abc0000, 2abc0000" in err) == (2, True)
    result, out, _ = run("withdraw", "2abc", "--reason", "1.2.1 comes", "--json")
    assert (result, json.loads(out)["withdrawn"]["id"]) == (0, ids[1])
    result, out, _ = run("withdraw", "gateway", "v1.2.0", "production")
    assert (result, "withdrawn: gateway 1.2.0 to production; nothing goes by itself" in out) == (0, True)
    assert run("requests")[1].strip() == "Nothing is requested."
    assert world.deployer.count("deploy") == 0
