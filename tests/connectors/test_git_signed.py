"""Signed words with real keys and a real shared repository: what is not exactly what its signer said counts for nothing, and says why."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.connectors import git_process, git_signed
from cockpit.connectors.git_signed import GitSigned, Signer
from cockpit.connectors.git_verify import Trust
from cockpit.connectors.git_word import message_of, ref_of
from cockpit.domain.errors import ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.statements import Statement
from tests.fakes.signing import AT_US, DIGEST, Keyring, SshKey, Team, git, run

ADA_REF = "refs/tags/approvals/gateway/1.8.0/production/ada@playground.invalid"


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path, "ada", "bob")


@pytest.fixture
def keyring(eventually: Callable[..., Any]) -> Iterator[Keyring]:
    """On a short path: the socket of gpg-agent has no room for a long one."""
    home = Path(tempfile.mkdtemp(prefix="rc-"))
    made = Keyring(home)
    yield made
    made.close()

    def gone() -> bool:  # the agent takes its sockets away while it ends
        shutil.rmtree(home, ignore_errors=True)
        return not home.exists()

    eventually(gone)


def only(words: tuple[Statement, ...]) -> Statement:
    [word] = words
    return word


def refs(path: Path) -> list[str]:
    return git(path, "for-each-ref", "--format=%(refname)", "refs/tags/approvals", "refs/tags/words").splitlines()


def raw_tag(team: Team, path: Path, word: Statement, key: SshKey, name: str = "", target: str = "", at_us: int = 0) -> str:
    """A tag that somebody made by other means; its object id."""
    tag = name or ref_of(word).removeprefix("refs/tags/")
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key.path}")
    when = f"@{(at_us or word.at_us) // 1_000_000} +0000"
    git(
        path,
        *settings,
        "tag",
        "-s",
        "--cleanup=verbatim",
        "-F",
        "-",
        tag,
        target or team.commit,
        feed=message_of(word),
        GIT_COMMITTER_DATE=when,
    )
    return git(path, "rev-parse", f"refs/tags/{tag}")


def refused(work: object, kind: type[ConnectorError], part: str) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        work()  # type: ignore[operator]
    assert type(caught.value) is kind, repr(caught.value)
    assert part in str(caught.value)
    assert caught.value.hint
    return caught.value


# what counts for nothing


def test_a_word_of_an_unknown_key_is_shown_and_refused(team: Team) -> None:
    ada = team.at("first", "ada")
    eve = SshKey(team.folder, "eve")
    raw_tag(team, team.folder / "first", replace(team.word("ada"), who=eve.who), eve)
    word = only(ada.statements())
    assert (word.kind, word.who, word.why_not) == ("approve", eve.who, "signed with a key that is not among the allowed signers")


def test_a_word_in_another_persons_name_is_refused(team: Team) -> None:
    raw_tag(team, team.folder / "first", team.word("ada"), team.keys["bob"])
    assert only(team.at("first", "ada").statements()).why_not == "signed by bob@playground.invalid, not by ada@playground.invalid"


def test_an_unsigned_tag_and_a_light_one_are_refused(team: Team) -> None:
    path = team.folder / "first"
    git(path, "tag", "-a", "-F", "-", ADA_REF.removeprefix("refs/tags/"), team.commit, feed=message_of(team.word("ada")))
    git(path, "tag", f"{ADA_REF.removeprefix('refs/tags/')}.2", team.commit)
    words = team.at("first", "ada").statements()
    assert [w.why_not for w in words] == ["not signed", "not signed"]
    assert {(w.service, w.version, w.environment) for w in words} == {("gateway", "1.8.0", "production")}


def test_a_changed_body_is_refused(team: Team) -> None:
    ada = team.at("first", "ada", remote="")
    ada.sign(team.word("ada", "reject"))
    path = team.folder / "first"
    changed = git(path, "cat-file", "tag", ADA_REF).replace("Reject", "Approve").replace('"reject"', '"approve"') + "\n"
    forged = git(path, "hash-object", "-t", "tag", "-w", "--stdin", feed=changed.encode())
    git(path, "update-ref", ADA_REF, forged)
    word = only(ada.statements())
    assert (word.kind, word.why_not) == ("approve", "forged: the signature does not fit what it says")


def test_a_renamed_ref_is_refused(team: Team) -> None:
    ada = team.at("first", "ada", remote="")
    ada.sign(team.word("ada"))
    path = team.folder / "first"
    git(path, "update-ref", ADA_REF.replace("1.8.0", "1.9.0"), git(path, "rev-parse", ADA_REF))
    git(path, "update-ref", f"{ADA_REF}.7", git(path, "rev-parse", ADA_REF))
    git(path, "update-ref", "-d", ADA_REF)
    assert {w.why_not for w in ada.statements()} == {"renamed: it was signed as approvals/gateway/1.8.0/production/ada@playground.invalid"}


def test_a_tag_on_another_commit_than_it_speaks_of_is_refused(team: Team) -> None:
    raw_tag(team, team.folder / "first", team.word("ada"), team.keys["ada"], target=team.later)
    assert "points at another commit" in only(team.at("first", "ada").statements()).why_not


def test_a_name_that_does_not_fit_the_content_is_refused(team: Team) -> None:
    name = ADA_REF.removeprefix("refs/tags/").replace("production", "staging")
    raw_tag(team, team.folder / "first", team.word("ada"), team.keys["ada"], name=name)
    assert "renamed" in only(team.at("first", "ada").statements()).why_not


def test_a_word_with_another_date_than_its_tag_is_refused(team: Team) -> None:
    """The key is judged by the date of the tag, the expiry of the word by its own."""
    raw_tag(team, team.folder / "first", team.word("ada"), team.keys["ada"], at_us=AT_US - 60_000_000)
    assert only(team.at("first", "ada").statements()).why_not == "its date is not the one of its tag"


@pytest.mark.parametrize(
    "message",
    [
        b"ship it\n",
        b"Approve gateway 1.8.0 for production\n\n{}\n",
        b"Approve gateway 1.8.0 for production\n\n[1, 2]\n",
        b"Approve gateway 1.8.0 for production\n\n" + b"[" * 5000,
        b"\xff\xfe\n\n{}",
    ],
)
def test_what_is_no_statement_is_refused(team: Team, message: bytes) -> None:
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={team.keys['ada'].path}")
    git(team.folder / "first", *settings, "tag", "-s", "-F", "-", ADA_REF.removeprefix("refs/tags/"), team.commit, feed=message)
    word = only(team.at("first", "ada").statements())
    assert word.why_not == "its content is no statement"
    assert (word.service, word.version, word.environment, word.who) == ("gateway", "1.8.0", "production", "ada@playground.invalid")


def test_a_title_that_says_other_than_the_content_is_refused(team: Team) -> None:
    message = message_of(team.word("ada")).replace(b"Approve gateway 1.8.0 for production", b"Reject gateway 1.8.0 for production", 1)
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={team.keys['ada'].path}")
    git(team.folder / "first", *settings, "tag", "-s", "-F", "-", ADA_REF.removeprefix("refs/tags/"), team.commit, feed=message)
    assert only(team.at("first", "ada").statements()).why_not == "its content is no statement"


def test_a_tag_that_is_too_long_is_not_even_checked(team: Team) -> None:
    git(team.folder / "first", "tag", "-a", "-F", "-", "words/hold/a/b/c/d", team.commit, feed=b"x" * 70_000)
    assert "too long" in only(team.at("first", "ada").statements()).why_not


def test_a_revoked_key_counts_no_more_and_again_once_it_does(team: Team) -> None:
    ada = team.at("first", "ada", remote="")
    ada.sign(team.word("ada"))
    team.revoked.write_text(team.keys["ada"].public + "\n")
    assert only(ada.statements()).why_not == "the key was revoked"
    refused(lambda: ada.sign(team.word("ada", at_us=AT_US + 1)), Rejected, "the key was revoked")
    assert refs(team.folder / "first") == [ADA_REF], "nothing is left of what does not count"
    team.revoked.write_text("")
    assert only(ada.statements()).why_not == ""


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('valid-before="20200101Z"', "the key's time was over when it signed"),
        ('valid-after="20400101Z"', "the key was not valid yet when it signed"),
        ('namespaces="file"', "the key may sign other things, but no git tags"),
        ('valid-before="20400101Z",valid-after="20200101Z",namespaces="git"', ""),
    ],
)
def test_a_key_counts_for_what_and_when_the_policy_says(team: Team, options: str, why: str) -> None:
    ada = team.at("first", "ada", remote="")
    ada.sign(team.word("ada"))
    team.allow(team.keys["bob"].line, team.keys["ada"].allowed(options))
    assert only(ada.statements()).why_not == why


def test_a_line_for_everybody_names_nobody(team: Team) -> None:
    ada = team.at("first", "ada", remote="")
    ada.sign(team.word("ada"))
    team.allow("*@playground.invalid " + team.keys["ada"].public)
    assert "names no single person" in only(ada.statements()).why_not


def test_the_key_decides_whose_word_it_is_and_capitals_do_not(team: Team) -> None:
    team.allow(team.keys["ada"].line.replace("ada@", "Ada@"))
    word = team.at("first", "ada", remote="").sign(replace(team.word("ada"), name="The Director"))
    assert (word.who, word.name, word.why_not) == ("ada@playground.invalid", "ada@playground.invalid", "")
    assert word.signer.startswith("SHA256:")


@pytest.mark.parametrize("which", ["allowed", "revoked"])
def test_where_a_file_of_the_policy_is_missing_nothing_is_read(team: Team, which: str) -> None:
    ada = team.at("first", "ada", remote="")
    ada.sign(team.word("ada"))
    getattr(team, which).unlink()
    refused(ada.statements, NotFound, "cannot be read")


# signing


def test_who_has_no_key_cannot_sign(team: Team) -> None:
    words = GitSigned(team.folder / "first", Signer("Ada", "ada@playground.invalid"), team.trust())
    refused(lambda: words.sign(team.word("ada")), Rejected, "No key signs here")
    assert "no key signs here" in words.probe().missing[0]


def test_a_key_that_is_gone_signs_nothing(team: Team) -> None:
    words = team.at("first", "ada")
    team.keys["ada"].path.unlink()
    refused(lambda: words.sign(team.word("ada")), Rejected, "could not sign")
    assert refs(team.folder / "first") == refs(team.bare) == []


def test_a_key_with_a_passphrase_and_no_agent_does_not_hang(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    run("ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(team.keys["ada"].path))
    refused(lambda: team.at("first", "ada").sign(team.word("ada")), Rejected, "could not sign")


def test_what_nobody_would_count_is_not_signed(team: Team) -> None:
    team.allow(team.keys["bob"].line)
    refused(lambda: team.at("first", "ada").sign(team.word("ada")), Rejected, "not among the allowed signers")
    other = GitSigned(team.folder / "first", replace(team.keys["bob"].signer, email="robert@playground.invalid"), team.trust(), "origin")
    error = refused(lambda: other.sign(team.word("ada")), Rejected, "signed by bob@playground.invalid")
    assert "e-mail under [me]" in error.hint
    refused(lambda: team.at("first", "bob").sign(replace(team.word("bob"), digest="")), Rejected, "no statement")
    refused(lambda: team.at("first", "bob").sign(replace(team.word("bob"), commit="f" * 40)), Rejected, "could not sign")
    assert refs(team.folder / "first") == refs(team.bare) == []


def test_a_later_word_gets_a_number_and_nothing_is_overwritten(team: Team) -> None:
    ada = team.at("first", "ada")
    first = ada.sign(team.word("ada"))
    second = ada.sign(team.word("ada", "reject", AT_US + 1_000_000, reason="on second thought"))
    third = ada.sign(team.word("ada", "approve", AT_US + 2_000_000))
    assert sorted(refs(team.bare)) == [ADA_REF, f"{ADA_REF}.2", f"{ADA_REF}.3"]
    assert ada.statements() == (first, second, third)
    assert [w.why_not for w in ada.statements()] == ["", "", ""]
    refused(lambda: ada.sign(team.word("ada", "approve", AT_US + 2_000_000)), Rejected, "signed already")


def test_every_kind_of_word_comes_back_as_it_was_said(team: Team) -> None:
    ada = team.at("first", "ada")
    said = [
        team.word("ada", "hold", AT_US + 1_000_000, reason="p99 doubled"),
        team.word("ada", "override", AT_US + 2_000_000, version="", commit="", digest="", until_us=AT_US + 10**10),
        team.word("ada", "request", AT_US + 3_000_000, until_us=AT_US + 10**10),
        team.word("ada", "clear", AT_US + 4_000_000, about="a" * 40, reason=""),
        replace(team.word("ada", "override", AT_US + 5_000_000, version="", commit="", digest="", until_us=1), service=""),
        replace(team.word("ada", "approve", AT_US + 6_000_000), service="käse/../~^:?*[\\ .lock", version="..", environment="@"),
        team.word("ada", "reject", AT_US + 7_000_000, reason='say "no"\n-----BEGIN PGP SIGNATURE-----\n\n{"kind": "approve"}\tÜ'),
    ]
    for word in said:
        ada.sign(word)
    found = team.at("second", "bob")
    found.sync()
    back = [replace(w, id="", source="journal", signer="", name="Ada") for w in found.statements()]
    assert back == said
    assert len({w.id for w in found.statements()}) == len(said)


def test_an_auditor_checks_it_with_plain_git(team: Team) -> None:
    team.at("first", "ada").sign(team.word("ada"))
    auditor = team.clone("auditor")
    tag = ADA_REF.removeprefix("refs/tags/")
    answer = run("git", "-c", f"gpg.ssh.allowedSignersFile={team.allowed}", "tag", "-v", tag, cwd=auditor)
    assert b'Good "git" signature for ada@playground.invalid' in answer.stderr
    assert b"Approve gateway 1.8.0 for production" in answer.stdout
    assert DIGEST.encode() in answer.stdout


# shared by two people


def test_two_people_see_each_others_words(team: Team) -> None:
    ada, bob = team.at("of-ada", "ada"), team.at("of-bob", "bob")
    ada.sign(team.word("ada"))
    assert bob.statements() == ()
    bob.sync()
    assert [w.who for w in bob.statements()] == ["ada@playground.invalid"]
    bob.sign(team.word("bob", "reject", AT_US + 1_000_000, reason="the book was crossed"))
    ada.sync()
    assert ada.statements() == bob.statements()
    assert [(w.kind, w.who, w.reason, w.why_not) for w in ada.statements()] == [
        ("approve", "ada@playground.invalid", "looks right", ""),
        ("reject", "bob@playground.invalid", "the book was crossed", ""),
    ]


def test_one_person_on_two_machines_takes_the_next_number(team: Team) -> None:
    one, other = team.at("desk", "ada"), team.at("home", "ada")
    one.sign(team.word("ada"))
    other.sign(team.word("ada", "reject", AT_US + 1_000_000))
    one.sync()
    assert [w.kind for w in one.statements()] == ["approve", "reject"]
    assert sorted(refs(team.bare)) == [ADA_REF, f"{ADA_REF}.2"]


def test_offline_it_is_signed_here_and_shared_later(team: Team) -> None:
    ada, bob = team.at("of-ada", "ada"), team.at("of-bob", "bob")
    away = team.bare.rename(team.folder / "away.git")
    error = refused(lambda: ada.sign(team.word("ada")), OutcomeUnknown, "Signed here, and not shared yet")
    assert "shared as soon as" in error.hint
    assert only(ada.statements()).why_not == ""
    refused(ada.sync, Unreachable, "origin")
    refused(bob.probe, Unreachable, "origin")
    away.rename(team.bare)
    ada.sync()
    bob.sync()
    assert bob.statements() == ada.statements() != ()


def test_what_was_deleted_over_there_is_shared_again(team: Team) -> None:
    ada = team.at("first", "ada")
    ada.sign(team.word("ada", "reject"))
    git(team.bare, "update-ref", "-d", ADA_REF)
    ada.sync()
    assert refs(team.bare) == [ADA_REF]


def test_a_tag_that_was_moved_over_there_is_told_and_not_taken_over(team: Team) -> None:
    ada, bob = team.at("of-ada", "ada"), team.at("of-bob", "bob")
    word = ada.sign(team.word("ada", "reject"))
    bob.sync()
    git(team.bare, "update-ref", ADA_REF, team.later)
    extra = bob.sign(team.word("bob", at_us=AT_US + 1_000_000))
    for words in (ada, bob):
        refused(words.sync, Rejected, "The remote holds another word")
        assert words.statements() == (word, extra), "and the rest is shared all the same"
    late = team.at("late", "ada")
    late.sync()
    assert [w.why_not for w in late.statements() if w.who == word.who] == ["not signed"]


def test_a_remote_that_refuses_leaves_nothing_here(team: Team) -> None:
    hook = team.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    ada = team.at("first", "ada")
    refused(lambda: ada.sign(team.word("ada")), Rejected, "The remote refused it")
    assert refs(team.folder / "first") == refs(team.bare) == []
    ada._remote, remote = None, ada._remote
    ada.sign(team.word("ada"))
    ada._remote = remote
    refused(ada.sync, Rejected, "The remote refused approvals/gateway")


def test_a_name_that_blocks_the_folder_over_there_blocks_nothing_here(team: Team) -> None:
    git(team.bare, "update-ref", "refs/tags/approvals/gateway", team.commit)
    ada = team.at("first", "ada")
    ada.sync()
    refused(lambda: ada.sign(team.word("ada")), Rejected, "The remote refused it")
    assert refs(team.folder / "first") == []
    git(team.bare, "update-ref", "-d", "refs/tags/approvals/gateway")
    assert ada.sign(team.word("ada")).why_not == ""


def test_where_the_tools_are_missing_nothing_is_judged(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = team.at("first", "ada", remote="")
    word = ada.sign(team.word("ada"))
    settings = tuple(s.replace("/usr/bin/ssh-keygen", "/nowhere/ssh-keygen") for s in git_process._SETTINGS)
    monkeypatch.setattr(git_process, "_SETTINGS", settings)
    fresh = team.at("first", "ada", remote="")
    refused(fresh.statements, Unreachable, "cannot check signatures")
    monkeypatch.undo()
    assert fresh.statements() == (word,)


# a hostile repository


def test_nothing_of_the_repository_runs(team: Team) -> None:
    path, mark = team.folder / "first", team.folder / "ran"
    program = team.folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    for name in ("pre-push", "reference-transaction", "post-merge", "pre-receive"):
        shutil.copy(program, path / ".git" / "hooks" / name)
    for setting in (
        *("core.hooksPath", "core.fsmonitor", "core.sshCommand", "core.askPass", "core.editor", "core.pager", "credential.helper"),
        *("gpg.program", "gpg.ssh.program", "gpg.openpgp.program", "gpg.x509.program", "gpg.ssh.defaultKeyCommand"),
        *("remote.origin.uploadpack", "remote.origin.receivepack"),
    ):
        git(path, "config", setting, str(program))
    git(path, "config", "push.gpgSign", "true")
    git(path, "config", "fetch.prune", "true")
    git(path, "config", "remote.origin.prune", "true")
    ada, bob = team.at("first", "ada"), team.at("of-bob", "bob")
    bob.sign(team.word("bob"))
    ada.sign(team.word("ada", at_us=AT_US + 1_000_000))
    ada.sync()
    assert [(w.who, w.why_not) for w in ada.statements()] == [("bob@playground.invalid", ""), ("ada@playground.invalid", "")]
    tag = "object {}\ntype commit\ntag words/hold/a/b/c/d\ntagger A <a@x> 1 +0000\n\nx\n-----BEGIN SIGNED MESSAGE-----\nx\n"
    forged = git(path, "hash-object", "-t", "tag", "-w", "--stdin", feed=tag.format(team.commit).encode())
    git(path, "update-ref", "refs/tags/words/hold/a/b/c/d", forged, check=False)
    assert any("x509" in w.why_not for w in ada.statements())
    assert not mark.exists()


@pytest.mark.parametrize("address", ["ext::sh -c 'touch ran'", "git://127.0.0.1:9/x", "fd::7", "http://127.0.0.1:9/x"])
def test_only_files_ssh_and_https_are_used(team: Team, address: str) -> None:
    path = team.folder / "first"
    git(path, "config", "protocol.allow", "always")
    git(path, "config", "protocol.ext.allow", "always")
    git(path, "config", "remote.origin.url", address.replace("touch ran", f"touch {team.folder}/ran"))
    refused(team.at("first", "ada").sync, Rejected, "not used here")
    refused(GitSigned(path, team.keys["ada"].signer, team.trust(), address).sync, Rejected, "not used here")
    assert not (team.folder / "ran").exists()


def test_a_remote_helper_of_the_repository_is_not_started(team: Team) -> None:
    path = team.folder / "first"
    git(path, "config", "remote.origin.vcs", "ext")
    git(path, "config", "remote.origin.url", f"sh -c 'touch% {team.folder}/ran'")
    refused(team.at("first", "ada").sync, Rejected, "not used here")
    assert not (team.folder / "ran").exists()


def test_ssh_asks_nothing_and_is_told_so(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    program = team.folder / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" > {team.folder}/asked\necho "git@host: Permission denied (publickey)." >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    words = GitSigned(team.folder / "first", team.keys["ada"].signer, team.trust(), "ssh://git@host.invalid/repo")
    with pytest.raises(ConnectorError, match="does not let you in"):
        words.sync()
    assert "-oBatchMode=yes" in (team.folder / "asked").read_text()
    refused(lambda: words.sign(team.word("ada")), OutcomeUnknown, "Signed here")


def test_a_password_in_an_address_is_not_shown(team: Team) -> None:
    words = GitSigned(team.folder / "first", team.keys["ada"].signer, team.trust(), "https://me:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in str(refused(words.sync, Unreachable, "***@"))


# what it costs


def test_what_was_verified_is_not_verified_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = team.at("first", "ada", remote="")
    asked: list[tuple[str, ...]] = []
    original = ada._git.run

    def counted(*args: str, **options: object) -> tuple[int, bytes, str]:
        asked.append(args)
        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ada._git, "run", counted)
    ada.sign(team.word("ada"))
    ada.sign(team.word("ada", at_us=AT_US + 1_000_000))
    assert sum(args[0] == "verify-tag" for args in asked) == 2
    asked.clear()
    words = ada.statements()
    assert (asked, ada.statements() is words) == ([], True), "where nothing changed git is not even started"
    git(team.folder / "first", "tag", "v9")
    assert ada.statements() == words
    assert [args[0] for args in asked] == ["for-each-ref"]
    team.allow(team.keys["ada"].line)
    assert [w.why_not for w in ada.statements()] == ["", ""]
    assert sum(args[0] == "verify-tag" for args in asked) == 2, "other keys are trusted: asked again"


def test_who_asks_meanwhile_does_not_wait_for_ever(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_signed, "_PATIENCE_S", 0.01)
    ada = team.at("first", "ada")
    with ada._reading:
        refused(ada.statements, Unreachable, "still being checked")
    assert ada.statements() == ()


def test_a_repository_that_went_away_is_said(team: Team) -> None:
    ada = team.at("first", "ada")
    ada.statements()
    shutil.rmtree(team.folder / "first")
    refused(ada.statements, NotFound, "gone")
    refused(lambda: ada.sign(team.word("ada")), NotFound, "")


def test_the_connection_test_says_where_and_who(team: Team) -> None:
    ada = team.at("first", "ada")
    ada.sign(team.word("ada"))
    raw_tag(team, team.folder / "first", team.word("bob"), team.keys["ada"])
    probe = ada.probe()
    assert "2 signed words, 1 of them count for nothing" in probe.reached
    assert (probe.identity, probe.missing) == ("ada@playground.invalid", ())
    assert "stay on this machine" in team.at("first", "ada", remote="").probe().missing[0]


# OpenPGP


def openpgp(team: Team, keyring: Keyring, fingerprint: str, who: str = "gil@playground.invalid", **named: str) -> GitSigned:
    trust = Trust(openpgp={who: fingerprint, **named})
    return GitSigned(team.folder / "first", Signer("Gil", who, "openpgp", fingerprint), trust)


def gil(team: Team, at_us: int) -> Statement:
    return replace(team.word("ada", at_us=at_us), who="gil@playground.invalid")


@pytest.fixture
def today_us() -> int:
    answer = subprocess.run(["date", "+%s"], capture_output=True, check=True)
    return int(answer.stdout) * 1_000_000


def test_an_openpgp_key_counts_by_its_fingerprint(team: Team, keyring: Keyring, today_us: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keyring.home))
    fingerprint = keyring.make("gil@playground.invalid")
    spaced = " ".join(fingerprint[i : i + 4] for i in range(0, 40, 4)).lower()
    words = openpgp(team, keyring, spaced)
    words._signer = replace(words._signer, key=fingerprint)
    word = words.sign(gil(team, today_us))
    assert (word.who, word.signer, word.why_not) == ("gil@playground.invalid", fingerprint, "")
    other = keyring.make("eve@playground.invalid")
    for key, why in ((other, "fingerprint the policy does not name"), (fingerprint[-16:], "fingerprint the policy does not name")):
        assert why in only(openpgp(team, keyring, key).statements()).why_not
    assert "of a kind (openpgp)" in only(team.at("first", "ada").statements()).why_not
    refused(
        lambda: openpgp(team, keyring, other).sign(gil(team, today_us - 3_600_000_000)),
        Rejected,
        "its date is not the one of its signature",
    )


def test_a_forged_a_revoked_and_an_unknown_openpgp_key(
    team: Team, keyring: Keyring, today_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keyring.home))
    fingerprint = keyring.make("gil@playground.invalid")
    words = openpgp(team, keyring, fingerprint)
    signed = words.sign(gil(team, today_us))
    path = team.folder / "first"
    ref = ref_of(signed)
    changed = git(path, "cat-file", "tag", ref).replace("looks right", "looks fine") + "\n"
    git(path, "update-ref", ref, git(path, "hash-object", "-t", "tag", "-w", "--stdin", feed=changed.encode()))
    assert only(words.statements()).why_not.startswith("forged")
    git(path, "update-ref", ref, signed.id)
    assert only(words.statements()).why_not == ""
    certificate = (keyring.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    keyring.gpg("--import", feed=certificate.encode())
    assert only(words.statements()).why_not == "the key was revoked"
    keyring.gpg("--yes", "--delete-secret-and-public-key", fingerprint)
    assert "not in the keyring" in only(words.statements()).why_not


def test_an_openpgp_key_that_expired_later_was_good_then(team: Team, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keyring.home))
    fingerprint = keyring.make("gil@playground.invalid", "20200301T000000", "--faked-system-time", "20200101T000000!")
    program, path, signed_s = team.folder / "gpg-then", team.folder / "first", 1_580_515_200
    program.write_text('#!/bin/sh\nexec gpg --faked-system-time 20200201T000000! "$@"\n')
    program.chmod(0o755)
    word = gil(team, signed_s * 1_000_000)
    settings = ("-c", f"gpg.program={program}", "-c", f"user.signingKey={fingerprint}")
    args = ("tag", "-s", "--cleanup=verbatim", "-F", "-", ref_of(word).removeprefix("refs/tags/"), team.commit)
    environment = {"GNUPGHOME": str(keyring.home), "GIT_COMMITTER_DATE": f"@{signed_s} +0000"}
    git(path, *settings, *args, feed=message_of(word), **environment)
    words = openpgp(team, keyring, fingerprint)
    assert only(words.statements()).why_not == ""
    refused(lambda: words.sign(gil(team, AT_US)), Rejected, "could not sign")
    keyring.gpg("--faked-system-time", "20200102T000000!", "--quick-set-expire", fingerprint, "20200115T000000")
    assert only(words.statements()).why_not == "the key's time was over when it signed"


def test_two_windows_of_one_person_sign_at_the_same_time(team: Team) -> None:
    """Two processes on one repository: git lets one of them have the name, the other takes the next."""
    words = [team.at("first", "ada"), team.at("first", "ada")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: words[n % 2].sign(team.word("ada", at_us=AT_US + n * 1_000_000)), range(6)))
    assert len(refs(team.bare)) == 6
    assert [w.why_not for w in words[0].statements()] == [""] * 6
