"""The terminal against a small venue behind fake ports; real store, journal, execution and loop."""

from __future__ import annotations

import io
import json
import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit import cli, cli_act
from cockpit.cli_arguments import COMMANDS
from cockpit.domain.errors import BadPayload, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.release import DeployState
from cockpit.paths import find_paths
from cockpit.services.execution import Pace
from cockpit.services.runtime import now_us
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from tests.fakes.ports import digest_of
from tests.fakes.world import SETTINGS, World, commit, write_settings

Run = Callable[..., tuple[int, str, str]]


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
        assert not set(out + err) & {chr(c) for c in (*range(9), 11, 12, *range(14, 32), 127)}
        return result, out, err

    return call


def refuse(error: Exception) -> Callable[..., Any]:
    def hook(*_: Any) -> Any:
        raise error

    return hook


def journal_of(tmp_path: Path, owner: str = "test") -> tuple[Any, Journal]:
    database = open_database(find_paths(tmp_path).database)
    return database, Journal(database, owner, now_us)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- refusals and failures first ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("frob",), (), ("rollback",), ("checks", "--version", "1"), ("status", "--nope"), ("pending", "--limit", "0")]
)
def test_bad_usage_is_2_in_text_and_json(run: Run, words: tuple[str, ...]) -> None:
    result, out, err = run(*words)
    assert (result, out) == (2, "")
    assert err.startswith("■ Bad usage")
    result, out, err = run("--json", *words)
    assert result == 2
    assert set(json.loads(out)["error"]) == {"title", "message", "hint", "reasons"}


@pytest.mark.parametrize("command", ["status", "pending", "checks", "latency", "activity", "journal", "sources"])
def test_where_nothing_was_set_up_it_says_how_to_begin(run: Run, tmp_path: Path, command: str) -> None:
    result, out, err = run(*(("journal", "verify") if command == "journal" else (command,)))
    assert (result, out) == (2, "")
    assert "release-cockpit playground start" in err
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_are_2_with_the_nearest(world: World, run: Run) -> None:
    assert run("pending", "gatewy")[2].count("gateway") == 1
    for words in (("pending", "x"), ("pending", "gateway", "--environment", "prod"), ("deploy", "gateway", "production", "9.9", "--yes")):
        assert run(*words)[0] == 2
    assert world.deployer.count("deploy") == 0


def test_a_source_that_fails_is_told_and_the_rest_is_shown(world: World, run: Run) -> None:
    world.deployer.hooks["fleet"] = refuse(Unreachable("The deployer is down.", hint="Start it."))
    result, out, err = run("status")
    assert result == 0
    assert "not known" in out
    assert "The deployer is down. Start it." in err
    document = json.loads(run("status", "--json")[1])
    assert document["problems"][0]["message"] == "The deployer is down."
    assert document["places"][0]["seen_at_us"] is None


def test_nothing_known_at_all_is_1(world: World, run: Run) -> None:
    world.deployer.hooks["fleet"] = refuse(Unreachable("down"))
    world.source.hooks["fingerprint"] = refuse(BadPayload("no git"))
    assert run("status")[0] == 1
    result, out, _ = run("pending", "--json")
    assert result == 1
    assert json.loads(out)["error"]["message"]


def test_mistakes_in_the_settings_are_all_told_and_the_rest_works(world: World, run: Run, tmp_path: Path) -> None:
    write_settings(tmp_path, SETTINGS + '\n[windw]\ntheme = "dark"\n[checks]\nrequired = 3\n')
    result, out, err = run("status")
    assert result == 0
    assert "gateway" in out
    assert "windw" in err
    assert "checks.required" in err


def test_deploy_is_refused_with_every_reason_and_nothing_is_sent(world: World, run: Run) -> None:
    result, out, err = run("deploy", "gateway", "production", "1.2.0", "--yes")
    assert result == 2
    assert "0 of 1 approvals given" in err
    assert "preflight" in out
    result, out, _ = run("deploy", "gateway", "production", "1.2.0", "--yes", "--json")
    document = json.loads(out)
    assert result == 2
    assert document["error"]["reasons"] == ["0 of 1 approvals given"]
    assert document["plan"]["target"]["version"] == "1.2.0"
    assert world.deployer.count("deploy") == 0


def test_without_yes_and_without_a_terminal_it_is_refused(world: World, run: Run) -> None:
    result, _, err = run("rollback", "gateway", "production")
    assert result == 2
    assert "--yes" in err
    assert world.deployer.count("deploy") == 0


@pytest.mark.parametrize(("typed", "result"), [("staging\n", 2), ("\n", 2), ("", 2), ("production\n", 0)])
def test_on_a_terminal_the_environment_is_typed(world: World, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, result: int) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    found, _, err = run("rollback", "gateway", "production")
    assert found == result
    assert "Type production to go on:" in err
    assert world.deployer.count("deploy") == (1 if result == 0 else 0)


def test_what_the_system_refuses_is_2(world: World, run: Run) -> None:
    world.deployer.hooks["deploy"] = refuse(Rejected("Busy with something else.", hint="Wait."))
    result, out, _ = run("rollback", "gateway", "production", "--yes")
    assert result == 2
    assert "Busy with something else." in out
    assert world.deployer.count("deploy") == 1


def test_a_deployment_that_fails_is_1(world: World, run: Run) -> None:
    from msgspec.structs import replace

    def failed(deployment_id: str) -> Any:
        found = world.deployer._deployments[deployment_id]
        world.deployer._deployments[deployment_id] = replace(found, state=DeployState.FAILED, message="production-2 did not start")

    world.deployer.hooks["deployment"] = failed
    result, out, _ = run("rollback", "gateway", "production", "--yes", "--json")
    document = json.loads(out)
    assert (result, document["outcome"], document["action"]["state"]) == (1, "failed", "failed")
    assert "production-2 did not start" in document["action"]["message"]


def test_an_outcome_that_stays_unknown_is_3_and_is_taken_up_later(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(request: Any, key: str) -> Any:
        world.deployer.hooks.pop("deploy")
        world.deployer.deploy(request, key)
        raise OutcomeUnknown("The connection broke.")

    world.deployer.hooks["deploy"] = lost
    world.deployer.hooks["find"] = refuse(Unreachable("down"))
    result, out, _ = run("rollback", "gateway", "production", "--yes", "--timeout", "0.4", "--json")
    document = json.loads(out)
    assert (result, document["outcome"], document["actions"][0]["state"]) == (3, "unknown", "unknown")
    assert "has no outcome yet" in run("status")[1]
    # the next start takes it up, and does not go back one version further
    for module in ("outcomes", "actions"):
        monkeypatch.setattr(f"cockpit.services.{module}.owner_alive", lambda owner: False)
    world.deployer.hooks.clear()
    sent = world.deployer.count("deploy")
    result, out, _ = run("rollback", "gateway", "production", "--yes")
    assert result == 0
    assert "Taken up where it was interrupted" in out
    assert "nothing more is started" in out
    assert world.deployer.count("deploy") == sent


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl+C is heard here, also where these tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_while_following_is_3_and_says_how_to_look(world: World, run: Run) -> None:
    world.deployer.hooks["deployment"] = lambda _: os.kill(os.getpid(), signal.SIGINT)
    result, _, err = run("rollback", "gateway", "production", "--yes")
    assert result == 3
    assert "it goes on" in err
    assert "release-cockpit status" in err


def test_what_breaks_while_following_is_3(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr("cockpit.services.execution.Execution._followed", broken)
    result, _, err = run("rollback", "gateway", "production", "--yes")
    assert result == 3
    assert "a defect" in err


@pytest.mark.usefixtures("listening")
def test_ctrl_c_before_anything_was_sent_is_1(world: World, run: Run) -> None:
    world.source.hooks["fingerprint"] = lambda: os.kill(os.getpid(), signal.SIGINT)
    result, _, err = run("rollback", "gateway", "production", "--yes")
    assert result == 1
    assert "Stopped" in err
    assert world.deployer.count("deploy") == 0


def test_an_intent_that_was_never_sent_does_not_stand_in_the_way(world: World, run: Run, tmp_path: Path) -> None:
    assert run("activity")[0] == 0
    database, journal = journal_of(tmp_path, f"{platform.node()}:999999999:1")
    names = ("key", "kind", "service", "environment", "from_version", "from_digest", "version", "digest", "who", "state")
    values = ("k1", "rollback", "gateway", "production", "1.1.0", digest_of("1.1.0"), "1.0.0", digest_of("1.0.0"), "Rae", "intended")
    detail = {**dict(zip(names, values, strict=True)), "intended_at_us": now_us() - 60_000_000}
    journal.append("intent", "k1", "rollback", "Rae", "gateway", "production", detail)
    database.close()
    result, out, _ = run("rollback", "gateway", "production", "--yes")
    assert result == 0
    assert "not sent" in out
    assert world.deployer.count("deploy") == 1


@pytest.mark.parametrize(("reject", "result"), [(("--reject",), 2), (("--reject", "--comment", "p99"), 0), ((), 0)])
def test_approve_and_reject(world: World, run: Run, reject: tuple[str, ...], result: int) -> None:
    found, out, _ = run("approve", "gateway", "1.2.0", "production", *reject, "--json")
    assert found == result
    if not result:
        approval = json.loads(out)["approval"]
        assert approval["approved"] is not bool(reject)
        assert approval["given"] == (0 if reject else 1)
        assert json.loads(run("pending", "gateway", "--json")[1])["pending"][0]["versions"][0]["approvals_given"] == approval["given"]


def test_an_author_cannot_approve_and_nobody_twice(world: World, run: Run, tmp_path: Path) -> None:
    write_settings(tmp_path, SETTINGS.replace("rae@", "cyd@"))
    result, _, err = run("approve", "gateway", "1.2.0", "production")
    assert result == 2
    assert "author" in err
    write_settings(tmp_path)
    assert run("approve", "gateway", "1.2.0", "production")[0] == 0
    result, _, err = run("approve", "gateway", "v1.2.0", "production")
    assert result == 2
    assert "already" in err


# -- what is shown -----------------------------------------------------------------------------------------------------------


def test_status_in_text_and_json(world: World, run: Run) -> None:
    result, out, err = run("status")
    assert (result, err) == (0, "")
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0].split() == ["service", "environment", "version", "nodes", "pending", "seen"]
    assert "● 3/3 ok" in lines[2]
    assert [line.index("1.1.0") for line in lines[1:]] == [lines[0].index("version")] * 2
    document = json.loads(run("status", "--json")[1])
    place = document["places"][1]
    assert (place["environment"], place["version"], place["nodes_agree"], place["nodes"], place["state"]) == (
        "production",
        "1.1.0",
        3,
        3,
        "ok",
    )
    assert (place["pending"], place["stale"], document["problems"]) == (1, False, [])


def test_pending_with_commits_authors_reviewers_and_hostile_text(world: World, run: Run) -> None:
    world.history["1.2.0"] = (commit(5, "Cyd", "<b>x</b>\x1b]0;owned\x07 \u202egnp"), commit(4, "A" * 500))
    result, out, _ = run("pending", "gateway")
    assert result == 0
    assert "1 pending version, live is 1.1.0" in out
    assert "<b>x</b>" in out
    assert "\u202e" not in out
    assert "Bob" in out
    assert max(map(len, out.splitlines())) < 240
    version = json.loads(run("pending", "gateway", "--json")[1])["pending"][0]["versions"][0]
    assert (version["version"], version["commits_total"], version["checks"], version["ready"]) == ("1.2.0", 2, "passed", False)
    assert version["authors"] == ["Cyd", "A" * 500]


def test_checks_show_what_failed_in_its_own_words(world: World, run: Run) -> None:
    result, out, _ = run("checks", "gateway", "--version", "1.0.0")
    assert result == 0
    assert "■ failed" in out
    assert "assert 3 == 4" in out
    document = json.loads(run("checks", "--json")[1])
    assert [v["state"] for v in document["checks"][0]["versions"]] == ["passed", "passed", "failed"]


def test_latency_reads_twice(world: World, run: Run) -> None:
    result, out, _ = run("latency", "gateway", "--environment", "production", "--json")
    place = json.loads(out)["latency"][0]
    assert result == 0
    assert 0 < place["p50_ms"] <= place["p99_ms"] <= 10
    assert place["outside"] is None
    assert "production" in run("latency")[1]


def test_rollback_from_card_to_proof(world: World, run: Run, tmp_path: Path) -> None:
    result, out, _ = run("rollback", "gateway", "production", "--dry-run")
    assert result == 0
    assert "from      1.1.0" in out
    assert "to        1.0.0" in out
    assert "2 commits leave" in out
    assert "about 40.0 s" in out
    assert "seen 0 s ago" in out
    assert world.deployer.count("deploy") == 0
    result, out, _ = run("rollback", "gateway", "production", "--yes", "--reason", "CHG-7")
    assert result == 0
    for number in (1, 2, 3):
        assert f"production-{number} done" in out
        assert f"production-{number} runs {digest_of('1.0.0')[:12]}" in out
    assert "all 3 nodes run 1.0.0" in out
    entries = json.loads(run("activity", "--json")[1])["entries"]
    mine = [e for e in entries if e["action"] == "rollback"]
    (said,) = (e for e in entries if e["action"] == "hold")
    assert [e["kind"] for e in mine] == ["outcome", "progress", "intent"]
    assert mine[2]["detail"]["reason"] == "CHG-7"
    assert (said["kind"], said["detail"]["version"]) == ("note", "1.1.0"), "what left is held"
    assert f"deployment {mine[1]['detail']['deployment']}" in run("activity", "--kind", "progress")[1]
    result, out, _ = run("journal", "verify")
    assert result == 0
    assert f"{len(entries)} entries" in out


def test_deploy_to_staging_as_json(world: World, run: Run) -> None:
    result, out, _ = run("deploy", "gateway", "staging", "1.2.0", "--yes", "--json")
    document = json.loads(out)
    assert (result, document["outcome"], document["action"]["state"]) == (0, "done", "done")
    assert document["plan"]["changes"]["commits_total"] == 2
    assert document["action"]["steps"][0]["state"] == "done"


def test_activity_filters_and_csv(world: World, run: Run) -> None:
    run("approve", "gateway", "1.2.0", "production", "--comment", "fine")
    assert "fine" in run("activity", "--text", "approve", "--kind", "note")[1]
    assert "Nothing was done yet" in run("activity", "--kind", "outcome")[1]
    result, out, _ = run("activity", "--csv")
    assert result == 0
    assert out.startswith("seq,at,kind")
    assert run("activity", "--csv", "--json")[0] == 2


def test_the_journal_is_read_without_any_settings(world: World, run: Run, tmp_path: Path) -> None:
    assert run("approve", "gateway", "1.2.0", "production", "--comment", "fine")[0] == 0
    (tmp_path / "cockpit.toml").unlink()
    result, out, err = run("activity")
    assert (result, err) == (0, "")
    assert "fine" in out
    result, out, err = run("journal", "verify")
    assert (result, err) == (0, "")
    assert "the journal is whole" in out
    assert run("status")[0] == 2


def test_a_changed_journal_is_1(world: World, run: Run, tmp_path: Path) -> None:
    run("approve", "gateway", "1.2.0", "production")
    database, _ = journal_of(tmp_path)
    database.execute("DROP TRIGGER IF EXISTS journal_no_update")
    for (name,) in database.query("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        database.execute(f'DROP TRIGGER "{name}"')
    database.execute("UPDATE journal SET who = 'nobody'")
    database.close()
    result, out, _ = run("journal", "verify", "--json")
    assert result == 1
    assert json.loads(out)["journal"]["ok"] is False


def test_sources_and_their_test(world: World, run: Run) -> None:
    world.ci.hooks["runs"] = refuse(Unreachable("CI is down"))
    result, out, _ = run("sources")
    assert result == 0
    assert "■ failed" in out
    assert [s["state"] for s in json.loads(run("sources", "--json")[1])["sources"]] == ["ok", "failed", "ok", "ok"]
    assert "FakeDeploymentApi as tester" in run("sources", "--test", "deployer")[1]
    result, _, err = run("sources", "--test", "deploer")
    assert result == 2
    assert "Unknown source" in err
    assert "Known: deployer." in err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_help_has_examples_and_the_shape(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command.name, "--help"]) == 0
    out = capsys.readouterr().out
    for part in ("examples:", f"release-cockpit {command.name}", "with --json:", "Exit status:"):
        assert part in out


def test_what_was_taken_up_counts_only_for_the_same_place_and_version() -> None:
    from cockpit.domain.rollout import Action, ActionState

    action = Action("k", "rollback", "gateway", "production", "2", "d2", "1", "d1", "Rae", ActionState.DONE, 1)
    assert cli_act.is_asked_for(action, "rollback", "gateway", "production", "")
    assert cli_act.is_asked_for(action, "rollback", "gateway", "production", "1")
    assert not cli_act.is_asked_for(action, "rollback", "gateway", "production", "0")
    assert not cli_act.is_asked_for(action, "deploy", "gateway", "production", "1")
    assert not cli_act.is_asked_for(action, "rollback", "gateway", "staging", "1")
