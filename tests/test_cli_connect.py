"""`connect` in a terminal: bad words and refusals first; a token never comes as an argument and never goes out again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit import cli, cli_connect
from cockpit.storage.secrets import SERVICE_NAME, Secrets
from tests.fakes.keyrings import MemoryKeyring
from tests.fakes.token_server import TokenServer

TOKEN = "tok-3n-of-this-test"
CONFIG = '[me]\nname = "Ada"\nemail = "ada@example.org"\n\n[services.gw]\nrepository = "repo"\n'
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[TokenServer]:
    made = TokenServer(TOKEN)
    yield made
    made.close()


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> MemoryKeyring:
    made = MemoryKeyring()
    monkeypatch.setattr(cli_connect, "Secrets", lambda environ: Secrets(environ, lambda: made))
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cockpit.toml"
    path.write_text(CONFIG, "utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*words: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        result = cli.main(["--data-dir", str(tmp_path), "connect", *words])
        out, err = capsys.readouterr()
        assert TOKEN not in out + err
        return result, out, err

    return call


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "needs a KIND and an ID"),
        (("ci-v1",), "needs a KIND and an ID"),
        (("--list", "--test", "x"), "cannot both be"),
        (("ci-v1", "ci", "--remove", "x"), "does not belong"),
        (("ci-v1", "ci", "--set", "url"), "no NAME=VALUE"),
        (("ci-v1", "ci", "--token-env", "A", "--token-stdin"), "cannot both be"),
        (("ci-v1", "ci", "--test-only", "--untested"), "cannot both be"),
        (("ci-v1", "ci", "--token-stdin=abc"), "ignored explicit argument"),
        (("ci-v2", "ci", "--set", "url=http://x"), "Did you mean “ci-v1”"),
        (("ci-v1", "ci", "--set", "ulr=http://x"), "did you mean “url”"),
        (("--test", "nope"), "no connection “nope”"),
        (("--remove", "nope"), "no connection “nope”"),
    ],
)
def test_bad_words_are_refused_with_status_2(run: Run, config: Path, words: tuple[str, ...], says: str) -> None:
    result, out, err = run(*words)
    assert (result, out) == (2, "")
    assert says in err
    assert config.read_text("utf-8") == CONFIG


def test_what_cannot_be_reached_is_not_saved(run: Run, config: Path, ring: MemoryKeyring, server: TokenServer) -> None:
    result, _, err = run("ci-v1", "ci", "--set", "url=http://127.0.0.1:9")
    assert result == 1
    assert "Not reachable" in err
    result, _, err = run("ci-v1", "ci", "--set", f"url={server.url}", "--token-stdin", typed="wrong\n")
    assert result == 1
    assert "Not authorised" in err
    assert config.read_text("utf-8") == CONFIG
    assert ring.kept == {}


def test_a_token_that_no_keyring_keeps_is_not_pretended_to_be_kept(run: Run, config: Path, server: TokenServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(cli_connect, "Secrets", lambda environ: Secrets(environ, lambda: None))
    result, _, err = run("ci-v1", "ci", "--set", f"url={server.url}", "--token-stdin", typed=f"{TOKEN}\n")
    assert result == 1
    assert "Nothing was saved" in err
    assert config.read_text("utf-8") == CONFIG


def test_a_file_that_cannot_be_written_leaves_no_token_behind(run: Run, config: Path, ring: MemoryKeyring, server: TokenServer) -> None:
    config.chmod(0o444)
    result, _, err = run("ci-v1", "ci", "--set", f"url={server.url}", "--token-stdin", typed=f"{TOKEN}\n")
    assert result == 1
    assert "read-only" in err
    assert ring.kept == {}


def test_a_change_that_cannot_be_saved_leaves_the_token_of_before(run: Run, config: Path, ring: MemoryKeyring, server: TokenServer) -> None:
    assert run("ci-v1", "ci", "--set", f"url={server.url}", "--token-stdin", typed=f"{TOKEN}\n")[0] == 0
    config.chmod(0o444)
    result, _, err = run("--change", "ci", "--set", f"url={server.url}/", "--untested", "--token-stdin", typed="another-token\n")
    assert result == 1
    assert "read-only" in err
    assert ring.kept == {(SERVICE_NAME, "ci"): TOKEN}


def test_tested_saved_changed_and_removed(run: Run, config: Path, ring: MemoryKeyring, server: TokenServer) -> None:
    url = f"url={server.url}"
    result, out, _ = run("ci-v1", "ci", "--set", url, "--token-stdin", "--test-only", "--json", typed=f"{TOKEN}\n")
    document = json.loads(out)["connection"]
    assert (result, document["done"], document["test"]["identity"], document["path"]) == (0, "tested", "bot", None)
    assert config.read_text("utf-8") == CONFIG

    result, out, _ = run("ci-v1", "ci", "--set", url, "--service", "gw", "--token-stdin", typed=f"{TOKEN}\n")
    assert result == 0
    assert "reaches stub" in out
    assert ring.kept == {(SERVICE_NAME, "ci"): TOKEN}
    said = tomllib.loads(config.read_text("utf-8"))["connections"]["ci"]
    assert said == {"kind": "ci-v1", "url": server.url, "services": ["gw"]}
    assert config.read_text("utf-8").startswith(CONFIG)

    result, _, err = run("ci-v1", "ci", "--set", url)
    assert result == 2, "the name is taken"
    assert "connect --change ci" in err
    assert run("--test", "ci")[0] == 0
    assert "ca.pem" in run("--change", "ci", "--set", "ca_file=ca.pem", "--untested")[2], "the connector's own refusal, before it is saved"
    result, out, _ = run("--change", "ci", "--set", f"url={server.url}/", "--set", "ca_file=", "--untested", "--json")
    assert json.loads(out)["connection"]["toml"].count(f"{server.url}/") == 1
    assert f"{server.url}/" in config.read_text("utf-8")

    server.token = "another"
    assert run("--test", "ci")[0] == 1
    assert run("--token", "ci", "--token-stdin", typed="another\n")[0] == 0
    assert run("--test", "ci")[0] == 0
    assert run("--token", "ci")[0] == 2, "nobody is here to type it"

    assert run("--remove", "ci")[0] == 2, "nobody is here to confirm it"
    assert run("--remove", "ci", "--yes")[0] == 0
    assert config.read_text("utf-8").rstrip() == CONFIG.rstrip()
    assert ring.kept == {}


def test_a_token_is_typed_without_an_echo(run: Run, config: Path, ring: MemoryKeyring, server: TokenServer, monkeypatch: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda words: asked.append(words) or TOKEN)
    monkeypatch.setattr("io.StringIO", Terminal)
    assert run("ci-v1", "ci", "--set", f"url={server.url}")[0] == 0
    assert asked == ["Token (Enter: none): "]
    assert ring.kept == {(SERVICE_NAME, "ci"): TOKEN}


def test_a_token_from_a_variable(run: Run, config: Path, ring: MemoryKeyring, server: TokenServer, monkeypatch: Any) -> None:
    result, _, err = run("ci-v1", "ci", "--set", f"url={server.url}", "--token-env", "CI_TOKEN")
    assert result == 1
    assert "CI_TOKEN is not set here" in err
    monkeypatch.setenv("CI_TOKEN", TOKEN)
    assert run("ci-v1", "ci", "--set", f"url={server.url}", "--token-env", "CI_TOKEN")[0] == 0
    assert tomllib.loads(config.read_text("utf-8"))["connections"]["ci"]["token_env"] == "CI_TOKEN"
    assert ring.kept == {}


def test_all_kinds_are_listed(run: Run) -> None:
    result, out, _ = run("--list")
    assert result == 0
    assert "alertmanager: Alertmanager: alerts and silences" in out
    assert "right: make silences and end them" in out
    kinds = json.loads(run("--list", "--json")[1])["kinds"]
    assert {"git", "ci-v1", "deployment-v1", "openmetrics"} <= {k["kind"] for k in kinds}


def test_the_policy_of_a_team_says_what_is_connected(
    run: Run, tmp_path: Path, config: Path, ring: MemoryKeyring, server: TokenServer
) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(policy)], check=True)
    config.write_text(CONFIG + '[policy]\nrepository = "policy"\n', "utf-8")
    result, _, err = run("ci-v1", "ci", "--set", f"url={server.url}", "--token-stdin", typed=f"{TOKEN}\n")
    assert result == 2
    assert "policy" in err
    assert "[connections.ci]" in err
    assert "ci" not in tomllib.loads(config.read_text("utf-8")).get("connections", {})
