"""The shared lock on real git: a bare remote, clones that race, and every way in which it cannot be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cockpit.connectors.git_lock import GitLock, ref_of
from cockpit.connectors.ports import Lock, LockHeld
from cockpit.domain.errors import AuthFailed, Rejected, Unreachable

AT = 1_800_000_000_000_000
ADA, BEN = "Ada <ada@playground.invalid>", "Ben <ben@playground.invalid>"
ROUNDS = 20


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    bare = tmp_path / "policy.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "-b", "main")
    return bare


def clone(remote: Path, name: str) -> Path:
    place = remote.parent / name
    git(remote.parent, "clone", "--quiet", str(remote), name)
    return place


@pytest.fixture(params=["remote", "local"])
def pair(request: pytest.FixtureRequest, remote: Path) -> tuple[GitLock, GitLock]:
    """Two people's locks over one place: two clones of a remote, or one repository on a shared disk."""
    if request.param == "local":
        return GitLock(remote), GitLock(remote)
    return GitLock(clone(remote, "a"), "origin"), GitLock(clone(remote, "b"), "origin")


def test_it_is_a_lock(pair: tuple[GitLock, GitLock]) -> None:
    assert isinstance(pair[0], Lock)


def test_who_holds_it_is_named_and_the_other_is_refused(pair: tuple[GitLock, GitLock]) -> None:
    ada, ben = pair
    assert ben.holder("production") is None
    held = ada.take("production", ADA, "rollback of gw", AT)
    assert ben.holder("production") == ada.holder("production") == held == LockHeld("production", ADA, "rollback of gw", AT, held.token)
    with pytest.raises(Rejected, match=r"Ada .* holds the lock of production since 2027-01-15 08:00 UTC: rollback of gw") as refused:
        ben.take("production", BEN, "deploy of gw", AT)
    assert "broken" in refused.value.hint
    with pytest.raises(Rejected):
        ada.take("production", ADA, "again", AT)
    assert ben.take("staging", BEN, "deploy of gw", AT).who == BEN, "another environment is another lock"
    ada.release(held)
    assert ben.holder("production") is None
    assert ben.take("production", BEN, "deploy of gw", AT).who == BEN


def test_giving_back_what_was_broken_harms_nobody(pair: tuple[GitLock, GitLock]) -> None:
    ada, ben = pair
    held = ada.take("production", ADA, "x", AT)
    seen = ben.holder("production")
    assert seen is not None
    ben.break_(seen)
    ada.release(held)
    mine = ben.take("production", BEN, "y", AT)
    ada.release(held)
    ada.break_(held)
    assert ada.holder("production") == mine, "breaking one holding never takes away the next one"


def test_a_holder_who_is_gone_is_still_named(pair: tuple[GitLock, GitLock]) -> None:
    pair[0].take("production", ADA, "left for good", 1_000_000)
    stale = pair[1].holder("production")
    assert stale is not None
    assert (stale.who, stale.reason, stale.at_us) == (ADA, "left for good", 1_000_000)


def test_of_two_that_race_exactly_one_wins(pair: tuple[GitLock, GitLock]) -> None:
    for number in range(ROUNDS):
        gate, won, lost = threading.Barrier(2), list[LockHeld](), list[str]()

        def race(lock: GitLock, who: str, gate: Any = gate, won: Any = won, lost: Any = lost, number: int = number) -> None:
            gate.wait()
            try:
                won.append(lock.take("production", who, f"round {number}", AT + number))
            except Rejected as error:
                lost.append(error.message)

        threads = [threading.Thread(target=race, args=arguments) for arguments in zip(pair, (ADA, BEN), strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 1)
        assert won[0].who in lost[0]
        assert pair[0].holder("production") == won[0]
        pair[1].release(won[0])


CHILD = """
import sys
from cockpit.connectors.git_lock import GitLock
from cockpit.domain.errors import Rejected
lock = GitLock(sys.argv[1], "origin")
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(lock.take("production", sys.argv[2], line.strip(), 1).token, flush=True)
    except Rejected:
        print("no", flush=True)
"""


def test_of_two_processes_exactly_one_wins(remote: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    places = [clone(remote, name) for name in ("a", "b")]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(p), who], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for p, who in zip(places, (ADA, BEN), strict=True)
    ]
    third = GitLock(clone(remote, "c"), "origin")
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for number in range(ROUNDS):
            for child in children:
                assert child.stdin is not None
                child.stdin.write(f"{number}\n")
            answers = [child.stdout.readline().strip() for child in children if child.stdout is not None]
            held = third.holder("production")
            assert held is not None
            assert sorted(a == "no" for a in answers) == [False, True]
            assert held.token in answers
            third.break_(held)
    finally:
        for child in children:
            child.communicate(timeout=20)


def test_a_remote_that_is_gone_is_unreachable(remote: Path) -> None:
    ada = GitLock(clone(remote, "a"), "origin")
    held = ada.take("production", ADA, "x", AT)
    remote.rename(remote.with_name("away.git"))
    for call in (lambda: ada.take("staging", ADA, "x", AT), lambda: ada.holder("production"), lambda: ada.release(held)):
        with pytest.raises(Unreachable):
            call()
    remote.with_name("away.git").rename(remote)
    ada.release(held)
    assert ada.holder("production") is None


def test_no_repository_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        GitLock(tmp_path / "nowhere").take("production", ADA, "x", AT)


def test_an_answer_that_is_lost_is_settled_by_looking(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = GitLock(clone(remote, "a"), "origin")
    real = ada._swap

    def lost(environment: str, new: str, expected: str) -> str:
        real(environment, new, expected)
        return "the connection broke"

    monkeypatch.setattr(ada, "_swap", lost)
    held = ada.take("production", ADA, "x", AT)
    assert ada.holder("production") == held
    ada.release(held)
    assert ada.holder("production") is None


def test_who_may_not_write_there_is_told_so(remote: Path) -> None:
    ada = GitLock(clone(remote, "a"), "origin")
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'locks are not for you' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(AuthFailed, match="refused"):
        ada.take("production", ADA, "x", AT)
    assert ada.holder("production") is None


def test_what_stands_there_and_is_no_lock_still_locks(remote: Path) -> None:
    ada = GitLock(clone(remote, "a"), "origin")
    junk = subprocess.run(["git", "-C", str(remote), "hash-object", "-w", "--stdin"], input=b"junk", capture_output=True, check=True).stdout
    git(remote, "update-ref", ref_of("production"), junk.decode().strip())
    held = ada.holder("production")
    assert held is not None
    assert (held.who, held.reason) == ("", "")
    with pytest.raises(Rejected, match="Somebody unknown holds the lock of production"):
        ada.take("production", ADA, "x", AT)
    ada.break_(held)
    assert ada.holder("production") is None


@pytest.mark.parametrize("message", ['{"who": 3}', "[1]", '{"at_us": 99999999999999999999}', "{" * 5000, "\x1b[31mred"])
def test_words_from_outside_break_nothing(remote: Path, message: str) -> None:
    ada = GitLock(clone(remote, "a"), "origin")
    tree = git(remote, "hash-object", "-w", "-t", "tree", "/dev/null")
    named = ("-c", "user.name=A", "-c", "user.email=a@playground.invalid")
    commit = git(remote, *named, "commit-tree", tree, "-m", message)
    git(remote, "update-ref", ref_of("production"), commit)
    held = ada.holder("production")
    assert held is not None
    assert held.token == commit


def test_hostile_settings_of_the_repository_start_nothing(remote: Path) -> None:
    place = clone(remote, "a")
    mark = remote.parent / "started"
    program = remote.parent / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    for name in ("remote.origin.receivepack", "remote.origin.uploadpack", "core.sshCommand", "core.fsmonitor", "core.askPass"):
        git(place, "config", name, str(program))
    hooks = place / ".git" / "hooks"
    for hook in ("pre-push", "reference-transaction"):
        (hooks / hook).write_text(program.read_text())
        (hooks / hook).chmod(0o755)
    ada = GitLock(place, "origin")
    ada.release(ada.take("production", ADA, "x", AT))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["a/b", "..", "x.lock", "prod uction", "-x", "~^:?*[", "é", "@{", "a", "A%2Fb"])
def test_every_name_of_an_environment_has_a_ref_of_its_own(remote: Path, name: str) -> None:
    lock = GitLock(remote)
    held = lock.take(name, ADA, "x", AT)
    assert lock.holder(name) == held
    assert [ref.split()[-1] for ref in git(remote, "show-ref").splitlines()] == [ref_of(name)]
    lock.release(held)


def test_an_auditor_reads_it_with_plain_git(remote: Path) -> None:
    held = GitLock(clone(remote, "a"), "origin").take("production", ADA, "rollback", AT)
    said = json.loads(git(remote, "log", "-1", "--format=%B", "refs/cockpit/locks/production"))
    assert (said["who"], said["reason"], said["at_us"]) == (ADA, "rollback", AT)
    assert git(remote, "rev-parse", "refs/cockpit/locks/production") == held.token
