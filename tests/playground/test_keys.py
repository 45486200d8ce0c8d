"""The made-up people's keys: made once, whole or not at all, good for git."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from cockpit.playground import keys
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.settings_file import write_settings
from cockpit.storage.settings import load

SERVICES = ("order-gateway", "market-data", "risk-engine")
URLS = {"ci": "http://127.0.0.1:1", "deployer": "http://127.0.0.1:2"}
needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def test_without_ssh_keygen_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert keys.make_keys(tmp_path / "keys") is False
    assert not (tmp_path / "keys").exists()


def test_failing_ssh_keygen_is_quoted_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh-keygen"
    program.write_text("#!/bin/sh\necho no entropy today >&2\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlaygroundError, match="no entropy today"):
        keys.make_keys(tmp_path / "keys")
    assert list((tmp_path / "keys").iterdir()) == []


@needs_ssh_keygen
def test_keys_stay_what_they_are_and_a_lost_half_is_made_anew(tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert keys.make_keys(tmp_path)
    before = contents()
    assert sorted(before) == ["allowed_signers", "mira", "mira.pub", "you", "you.pub"]
    assert {stat.S_IMODE((tmp_path / person.key).stat().st_mode) for person in keys.PEOPLE} == {0o600}
    assert keys.make_keys(tmp_path)
    assert contents() == before
    (tmp_path / "mira.pub").unlink()
    (tmp_path / "allowed_signers").write_bytes(b"\xff")
    assert keys.make_keys(tmp_path)
    assert (contents()["you"], contents()["mira"] != before["mira"]) == (before["you"], True)
    assert contents()["mira.pub"].split()[1] in contents()["allowed_signers"]


@needs_ssh_keygen
def test_git_knows_whose_signature_it_is(tmp_path: Path) -> None:
    keys.make_keys(tmp_path / "keys")
    repository = tmp_path / "repo"

    def git(*arguments: str) -> str:
        settings = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'keys' / 'allowed_signers'}"]
        settings += ["-c", "user.name=x", "-c", "user.email=x@playground.invalid"]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", *settings, "-C", str(repository), *arguments]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return done.stdout + done.stderr

    repository.mkdir()
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "x")
    for person in keys.PEOPLE:
        git("-c", f"user.signingKey={tmp_path / 'keys' / person.key}", "tag", "-s", "-m", "yes", person.key)
        assert f'Good "git" signature for {person.email}' in git("verify-tag", person.key)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("services", [SERVICES, SERVICES[:1]])
def test_settings_are_valid_and_say_who_may_what(tmp_path: Path, signed: bool, services: tuple[str, ...]) -> None:
    path = tmp_path / "cockpit.toml"
    write_settings(path, services, ("staging", "production"), URLS, signed)
    settings = load(path)
    assert (settings.me.email, settings.me.signing) == ("you@playground.invalid", "ssh" if signed else "")
    assert ("ssh-keygen was not found" in path.read_text()) is not signed
    assert Path(settings.approvals.allowed_signers) == (tmp_path / "keys" / "allowed_signers" if signed else Path())
    assert settings.groups == {"release-managers": tuple(person.email for person in keys.PEOPLE)}
    production = settings.environments["production"]
    assert (production.approvals, production.apart, production.strategy, production.freezes) == (1, ("author",), "", ())
    assert set(settings.strategies) == {"canary"}
    whole = len(services) == 3
    assert settings.services["order-gateway"].depends_on == (("market-data", "risk-engine>=3.3.0") if whole else ())
    assert set(settings.sets) == ({"trading"} if whole else set())
