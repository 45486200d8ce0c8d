"""The policy from a terminal: exit status, text and JSON, with a real repository and a real journal."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockpit import cli
from cockpit.paths import find_paths
from cockpit.services.runtime import now_us
from cockpit.storage.database import open_database
from cockpit.storage.journal import Entry, Journal

ME = "[me]\nname = 'You'\nemail = 'you@x.org'\n"
TWO = "[environments.production]\napprovals = 2\n"
ONE = "[environments.production]\napprovals = 1\n"
Run = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*words: str, typed: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", Terminal(typed) if typed is not None else io.StringIO(""))
        result = cli.main(["--data-dir", str(tmp_path), "policy", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert not set(out + err) & {chr(c) for c in (*range(9), 11, 12, *range(14, 32), 127)}
        return result, out, err

    return call


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "cockpit.toml").write_text(text, "utf-8")


def notes(tmp_path: Path) -> list[Entry]:
    database = open_database(find_paths(tmp_path).database)
    try:
        return [e for e in reversed(Journal(database, "test", now_us).entries()) if e.action == "policy"]
    finally:
        database.close()


def document(out: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(out)["policy"]
    return answer


def commit(repository: Path, subject: str, text: str) -> str:
    repository.mkdir(exist_ok=True)
    (repository / "cockpit.toml").write_text(text, "utf-8")
    names = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", "Boss"), ("EMAIL", "b@x.org"))}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    answer = ""
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", subject], ["rev-parse", "HEAD"]):
        ran = subprocess.run(["git", "-C", str(repository), *words], env=environment, capture_output=True, text=True, check=True)
        answer = ran.stdout.strip()
    return answer


def test_bad_usage_is_2(run: Run) -> None:
    for words in ((), ("frob",), ("show", "--nope")):
        assert run(*words)[0] == 2


def test_without_a_settings_file_it_says_how_to_get_one(run: Run) -> None:
    result, out, err = run("show")
    assert (result, out) == (2, "")
    assert "No policy yet" in err
    assert "open PATH --save" in err


def test_a_policy_repository_that_is_gone_is_told_and_shown(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ME + "[policy]\nrepository = 'policy'\n")
    for words in (("diff",), ("accept", "--yes"), ("refuse",)):
        result, _, err = run(*words)
        assert result == 1
        assert "policy" in err
    result, out, _ = run("show", "--json")
    assert result == 0
    assert document(out)["problem"]["message"]
    result, out, _ = run("show")
    assert result == 0
    assert "no policy was accepted yet" in out


def test_looking_records_and_keeps_nothing(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ME + TWO)
    for words in (("show",), ("diff",), ("show", "--json"), ("schema",)):
        assert run(*words)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cockpit.toml"]


def test_nothing_waits_so_nothing_is_accepted_or_refused(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ME + TWO)
    assert run("accept")[0] == 0  # the first sight of it
    for word in ("accept", "refuse"):
        result, _, err = run(word)
        assert result == 2
        assert f"nothing to {word}" in err
    result, out, _ = run("diff")
    assert result == 0
    assert "No change of the policy waits." in out


def test_mistakes_are_all_told_and_refused(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ME + TWO)
    run("accept")
    write(tmp_path, ME + "[environments.production]\naprovals = 1\n[chekcs]\n")
    result, out, err = run("accept", "--yes")
    assert (result, out) == (2, "")
    assert "aprovals" in err
    assert "chekcs" in err
    result, out, _ = run("accept", "--yes", "--json")
    assert result == 2
    assert len(json.loads(out)["error"]["reasons"]) == 2


@pytest.mark.parametrize("typed", [None, "", "yes\n"])
def test_it_is_accepted_only_when_a_person_says_so(run: Run, tmp_path: Path, typed: str | None) -> None:
    write(tmp_path, ME + TWO)
    run("accept")
    write(tmp_path, ME + ONE)
    result, out, err = run("accept", typed=typed)
    assert result == 2
    assert "Not confirmed" in err
    assert "+approvals = 1" in out
    assert len(notes(tmp_path)) == 1


def test_another_commit_than_the_one_named_is_not_accepted(run: Run, tmp_path: Path) -> None:
    commit(tmp_path / "policy", "two", TWO)
    write(tmp_path, ME + "[policy]\nrepository = 'policy'\n")
    run("accept")
    seen = commit(tmp_path / "policy", "one", ONE)
    newer = commit(tmp_path / "policy", "none", ONE.replace("1", "0"))
    result, _, err = run("accept", "--yes", "--commit", seen[:10])
    assert result == 2
    assert newer[:12] in err
    assert run("accept", "--yes", "--commit", newer[:10].upper())[0] == 0


def test_nobody_in_particular_is_refused(run: Run, tmp_path: Path) -> None:
    write(tmp_path, TWO)
    run("accept")
    write(tmp_path, ONE)
    result, _, err = run("accept", "--yes")
    assert result == 2
    assert "who you are" in err


def test_a_change_is_shown_accepted_and_recorded(run: Run, tmp_path: Path) -> None:
    first = commit(tmp_path / "policy", "two", TWO)
    write(tmp_path, ME + "[policy]\nrepository = 'policy'\n")
    result, out, _ = run("accept", "--json")
    assert (result, document(out)["done"], document(out)["accepted"]["commit"]) == (0, "accepted", first)
    second = commit(tmp_path / "policy", "one \x1b[31m", ONE)
    shown = document(run("show", "--json")[1])
    assert (shown["accepted"]["commit"], shown["pending"]["commit"], shown["pending"]["who"]) == (first, second, "Boss <b@x.org>")
    assert shown["text"] == TWO
    result, out, _ = run("diff")
    assert result == 0
    assert "-approvals = 2\n+approvals = 1" in out
    assert "-approvals = 2\n+approvals = 1" in document(run("diff", "--json")[1])["diff"]
    result, out, _ = run("accept", typed="accept\n")
    assert result == 0
    assert f"accepted: in force: commit {second[:12]}" in out
    assert [n.detail["commit"] for n in notes(tmp_path)] == [first, second]
    assert document(run("show", "--json")[1])["pending"] is None


def test_a_refusal_is_recorded_and_shown_as_such(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ME + TWO)
    run("accept")
    write(tmp_path, ME + ONE)
    result, out, _ = run("refuse", "--reason", "two pairs of eyes", "--json")
    assert (result, document(out)["done"]) == (0, "refused")
    shown = document(run("show", "--json")[1])
    assert (shown["pending"], shown["refused"]["refused"]) == (None, True)
    assert "refused before" in run("show")[1]
    assert notes(tmp_path)[-1].detail["reason"] == "two pairs of eyes"
    assert "-approvals = 2" in run("diff")[1]


def test_the_schema_is_one_json_document(run: Run) -> None:
    result, out, _ = run("schema")
    assert result == 0
    assert json.loads(out)["$defs"]["EnvironmentSettings"]["additionalProperties"] is False
    assert json.loads(run("schema", "--json")[1]) == json.loads(out)
