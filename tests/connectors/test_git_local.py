from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connecting import services_in
from cockpit.connectors import git_process
from cockpit.connectors.git_local import GitLocal
from cockpit.connectors.git_parse import parse_log, parse_tags
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError, NotFound, Unreachable
from cockpit.domain.release import Service

SERVICE = Service("gateway")


def joined(parts: list[str]) -> bytes:
    return ("\0".join(parts) + "\n").encode()


class Repo:
    """A real repository; each commit is a minute later than the one before."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.minute = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "-b", "main", *options)

    def git(self, *args: str, feed: bytes | None = None) -> str:
        when = f"{1_700_000_000 + self.minute * 60} +0000"
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "Ada@playground.invalid",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "Ada@playground.invalid",
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_DATE": when,
        }
        found = subprocess.run(["git", *args], cwd=self.path, env=env, input=feed, capture_output=True, check=True)
        return found.stdout.decode().strip()

    def commit(self, message: str = "change", *files: str) -> str:
        self.minute += 1
        for name in files or ("file.txt",):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"{self.minute}")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--file=-", feed=message.encode())
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str, target: str = "HEAD") -> None:
        self.git("update-ref", f"refs/tags/{name}", self.git("rev-parse", target))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "gateway")


def names(repo: Repo, service: Service = SERVICE) -> list[str]:
    with GitLocal(repo.path) as source:
        return [v.name for v in source.versions(service)]


def fails(kind: type[ConnectorError], work: Callable[[], object]) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        work()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.hint
    return caught.value


# what cannot be opened


def test_no_such_directory(tmp_path: Path) -> None:
    source = GitLocal(tmp_path / "nowhere")
    for ask in (source.fingerprint, source.probe, lambda: source.versions(SERVICE), lambda: source.changes(SERVICE, "", "HEAD")):
        assert "does not exist" in fails(NotFound, ask).message


def test_not_a_repository(tmp_path: Path) -> None:
    assert "is no git repository" in fails(NotFound, GitLocal(tmp_path).probe).message
    (tmp_path / ".git").write_text("nonsense")
    fails(NotFound, GitLocal(tmp_path).probe)
    (tmp_path / ".git").write_bytes(b"gitdir: \x00\xff")
    fails(NotFound, GitLocal(tmp_path).probe)
    fails(NotFound, GitLocal("a\0b").probe)


def test_vanished_midway(repo: Repo) -> None:
    repo.commit()
    repo.tag("v1.0")
    source = GitLocal(repo.path)
    source.fingerprint()
    shutil.rmtree(repo.path)
    fails(NotFound, lambda: source.versions(SERVICE))
    fails(NotFound, lambda: source.changes(SERVICE, "", "v1.0"))
    fails(NotFound, source.fingerprint)


def test_a_vanished_repository_is_not_replaced_by_the_one_around_it(tmp_path: Path) -> None:
    outer = Repo(tmp_path / "outer")
    outer.commit()
    outer.tag("v9.0")
    inner = Repo(outer.path / "inner")
    inner.commit()
    source = GitLocal(inner.path)
    source.fingerprint()
    shutil.rmtree(inner.path / ".git")
    fails(NotFound, lambda: source.versions(SERVICE))


def test_corrupt(repo: Repo) -> None:
    first = repo.commit()
    repo.commit()
    repo.tag("v1.0", "HEAD")
    victim = repo.path / ".git" / "objects" / first[:2] / first[2:]
    victim.chmod(0o644)
    victim.write_bytes(b"garbage")
    assert "fsck" in fails(BadPayload, lambda: GitLocal(repo.path).changes(SERVICE, "", "v1.0")).hint


def test_broken_settings(repo: Repo) -> None:
    repo.commit()
    (repo.path / ".git" / "config").write_text("[core\nnonsense")
    fails(BadPayload, lambda: GitLocal(repo.path).versions(SERVICE))


def test_a_repository_from_the_future(repo: Repo) -> None:
    repo.git("config", "core.repositoryFormatVersion", "1")
    repo.git("config", "extensions.fromTheFuture", "true")
    assert "git" in fails(BadPayload, lambda: GitLocal(repo.path).versions(SERVICE)).hint


def test_owned_by_somebody_else(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit()
    repo.tag("v1.0")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    error = fails(AuthFailed, lambda: GitLocal(repo.path).versions(SERVICE))
    assert "git config --global --add safe.directory" in error.hint
    (home / ".gitconfig").write_text(f'[safe]\n\tdirectory = "{repo.path}"\n')
    assert names(repo) == ["1.0"]


def test_git_that_takes_too_long_is_ended(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit()
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nsleep 60 & wait\n")
    (slow / "git").chmod(0o755)
    GitLocal(repo.path).versions(SERVICE)
    source = GitLocal(repo.path, timeout_s=0.2)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    assert "too long" in fails(Unreachable, lambda: source.versions(SERVICE)).message


def test_what_people_signed_is_no_version(repo: Repo) -> None:
    repo.commit()
    for name in ("v1.0", "approvals/gateway/1.0/production/ada@x", "words/hold/gateway/production/2.0/ada@x", "approvals/v3.0"):
        repo.tag(name)
    assert names(repo) == ["1.0"]
    assert names(repo, Service("approvals")) == ["3.0"], "a service may have that name"


def test_too_much_output_is_cut_off(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit("x" * 5000)
    monkeypatch.setattr(git_process, "OUTPUT_BYTES", 1000)
    fails(BadPayload, lambda: GitLocal(repo.path).changes(SERVICE, "", "main"))


def test_no_git(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = GitLocal(repo.path)
    source.versions(SERVICE)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Install git" in fails(Unreachable, lambda: source.versions(SERVICE)).hint


# hostile repositories


@pytest.mark.parametrize(
    "name",
    [
        "--output=stolen",
        "-n",
        "--all",
        "-",
        "--",
        "--exec=touch stolen",
        "a..b",
        "^main",
        "main~1",
        ":/change",
        "HEAD@{0}",
        "@",
        "a b",
        "",
        "x" * 5000,
    ],
)
def test_names_are_never_options_or_expressions(repo: Repo, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.path)
    repo.commit()
    repo.commit()
    source = GitLocal(repo.path)
    fails(NotFound, lambda: source.changes(SERVICE, "", name))
    if name:
        fails(NotFound, lambda: source.changes(SERVICE, name, "main"))
    assert sorted(p.name for p in repo.path.iterdir()) == [".git", "file.txt"]


@pytest.mark.parametrize(
    "name", ["--output=stolen-1.0", "-n1.0", "$(touch${IFS}stolen)/v1.0", "ü/v1.0", "<b>/v1.0", "';touch${IFS}stolen;'/1.0"]
)
def test_odd_tag_names_are_only_names(repo: Repo, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.path)
    commit = repo.commit()
    repo.tag(name)
    source = GitLocal(repo.path)
    versions = source.versions(SERVICE)
    for version in versions:
        assert source.changes(SERVICE, "", version.tag).commits[0].id == commit
    assert source.changes(SERVICE, "", name).total_in == 1
    assert sorted(p.name for p in repo.path.iterdir()) == [".git", "file.txt"]


def test_a_paths_magic_is_not_magic(repo: Repo) -> None:
    repo.commit("a", "a/x")
    repo.commit("b", "b/x")
    for path in ("*", ":!a", "--all", ":(exclude)a", "../", "?/x"):
        assert GitLocal(repo.path).changes(Service("s", path=path), "", "main").total_in == 0
    assert GitLocal(repo.path).changes(Service("s", path="a"), "", "main").total_in == 1


PROGRAMS = """
core.fsmonitor core.pager pager.log diff.external gpg.program gpg.openpgp.program gpg.x509.program gpg.ssh.program core.sshCommand
core.askPass core.editor core.gitProxy diff.x.textconv diff.x.command filter.x.clean filter.x.smudge credential.helper
core.alternateRefsCommand interactive.diffFilter uploadpack.packObjectsHook trailer.x.command trailer.x.cmd alias.log alias.for-each-ref
"""


def test_settings_of_the_repository_start_nothing(repo: Repo, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{canary}'\n")
    program.chmod(0o755)
    first = repo.commit("first", "a.txt")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n"
    body = repo.git("cat-file", "commit", first).replace("\n\n", f"\n{signature}\n", 1)
    signed = repo.git("hash-object", "-t", "commit", "-w", "--stdin", feed=body.encode() + b"\n")
    repo.tag("v1.0", signed)
    for key in PROGRAMS.split():
        repo.git("config", key, f"!{program}" if key.startswith("alias") else str(program))
    repo.git("config", "log.showSignature", "true")
    repo.git("config", "log.diffMerges", "combined")
    repo.git("config", "diff.orderFile", str(tmp_path / "missing"))
    repo.git("config", "remote.origin.url", f"ext::{program}")
    repo.git("config", "remote.origin.promisor", "true")
    repo.git("config", "extensions.partialClone", "origin")
    repo.git("config", "core.repositoryFormatVersion", "1")
    repo.git("config", "core.hooksPath", str(tmp_path))
    (repo.path / ".gitattributes").write_text("* diff=x filter=x\n")
    source = GitLocal(repo.path)
    assert [v.name for v in source.versions(SERVICE)] == ["1.0"]
    assert source.changes(SERVICE, "", "v1.0").total_in == 1
    source.probe()
    # an object that is not there must not be fetched by the promisor remote
    blob = repo.git("rev-parse", f"{signed}^{{tree}}")
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    fails(BadPayload, lambda: source.changes(SERVICE, "", "v1.0"))
    assert not canary.exists()
    subprocess.run(["git", "log", "-1", "--format=%h", "v1.0"], cwd=repo.path, capture_output=True)
    assert canary.exists()  # the trap works: git by itself walks into it


def test_variables_of_a_hook_do_not_steer(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Repo(tmp_path / "other")
    other.commit()
    other.tag("v6.6.6")
    repo.commit()
    repo.tag("v1.0")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "nonsense")
    monkeypatch.setenv("GIT_TRACE", "1")
    assert names(repo) == ["1.0"]


def test_replaced_objects_are_shown_as_they_are(repo: Repo) -> None:
    real = repo.commit("real")
    fake = repo.commit("fake")
    repo.git("replace", real, fake)
    assert GitLocal(repo.path).changes(SERVICE, "", real).commits[0].subject == "real"


def test_text_stays_text(repo: Repo) -> None:
    repo.commit("\x1b[31mred\x07 <b>bold</b> \u202egnp\n\nReviewed-by: E\x1bve <eve@playground.invalid>", "a\nb", "\x1b.txt")
    (commit,) = GitLocal(repo.path).changes(SERVICE, "", "main").commits
    assert commit.subject == "\ufffd[31mred\ufffd <b>bold</b> \ufffdgnp"
    assert commit.reviewers == ("E\ufffdve <eve@playground.invalid>",)
    assert commit.files == ("\ufffd.txt", "a\nb")


def test_text_that_is_no_utf8(repo: Repo) -> None:
    repo.commit("x")
    tree = repo.git("rev-parse", "HEAD^{tree}")
    raw = f"tree {tree}\nauthor X <x@playground.invalid> 99999999999999999 +0000\ncommitter X <x> 99999999999999999 +0000\n\n".encode()
    commit = repo.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", feed=raw + b"caf\xe9\n")
    found = GitLocal(repo.path).changes(SERVICE, "", commit).commits[0]
    assert found.subject == "caf\ufffd"
    assert 0 <= found.at_us <= 253_402_300_799_999_999


# versions


def test_nothing_yet(repo: Repo) -> None:
    assert names(repo) == []
    fails(NotFound, lambda: GitLocal(repo.path).changes(SERVICE, "", "main"))
    fails(NotFound, lambda: GitLocal(repo.path).changes(SERVICE, "", "HEAD"))
    assert GitLocal(repo.path).probe().missing


def test_kinds_of_tags(repo: Repo) -> None:
    first = repo.commit()
    repo.tag("v1.0")
    second = repo.commit()
    repo.git("tag", "-a", "-m", "x", "v1.1")
    repo.git("tag", "-a", "-m", "x", "v1.2", "v1.1")
    repo.git("tag", "-a", "-m", "x", "v1.3", "v1.2")
    repo.git("tag", "-a", "-m", "x", "v2.0", "HEAD^{tree}")
    repo.git("tag", "-a", "-m", "x", "v2.1", "v2.0")
    repo.tag("v2.2", "HEAD:file.txt")
    repo.tag("build-7")
    repo.tag("nightly")
    found = GitLocal(repo.path).versions(SERVICE)
    assert [(v.name, v.commit) for v in found] == [("1.3", second), ("1.2", second), ("1.1", second), ("1.0", first)]
    assert all(v.released_at_us > 1_700_000_000_000_000 and v.service == "gateway" for v in found)
    assert found[-1].tag == "v1.0"


def test_order_and_schemes(repo: Repo) -> None:
    repo.commit()
    for name in ("v1.10.0", "v1.9.0", "1.10.0-rc1", "v2.0.0-beta.2", "v1.2"):
        repo.tag(name)
    assert names(repo) == ["2.0.0-beta.2", "1.10.0", "1.10.0-rc1", "1.9.0", "1.2"]


def test_one_version_by_two_tags(repo: Repo) -> None:
    repo.commit()
    repo.tag("1.0.0")
    repo.git("tag", "-a", "-m", "x", "v1.0.0")
    assert [v.tag for v in GitLocal(repo.path).versions(SERVICE)] == ["v1.0.0"]


def test_prefixes(repo: Repo) -> None:
    repo.commit()
    for name in ("gateway/v1.0", "gateway/v1.1", "risk-2.0", "risk-2.1", "v9.0"):
        repo.tag(name)
    assert names(repo) == ["1.1", "1.0"]
    assert names(repo, Service("risk")) == ["2.1", "2.0"]
    assert names(repo, Service("unknown")) == ["9.0"]
    assert names(repo, Service("any", tag_pattern="risk-{version}")) == ["2.1", "2.0"]
    assert names(repo, Service("any", tag_pattern="none/{version}")) == []


def test_services(repo: Repo) -> None:
    repo.commit()
    assert [s.name for s in services_in(str(repo.path))] == ["gateway"]
    for name in ("a/v1.0", "a/v1.1", "b-2.0", "b-2.1", "odd-1.0"):
        repo.tag(name)
    assert [s.name for s in services_in(str(repo.path))] == ["a", "b"]
    repo.tag("v1.0")
    services = services_in(str(repo.path))
    assert [s.name for s in services] == ["gateway", "a", "b"]
    assert services[0].repository == str(repo.path.resolve())


def test_a_thousand_tags_packed_and_loose(repo: Repo) -> None:
    commit = repo.commit()
    repo.git("update-ref", "--stdin", feed="".join(f"create refs/tags/v1.{n} {commit}\n" for n in range(1000)).encode())
    assert len(names(repo)) == 1000
    repo.git("pack-refs", "--all")
    assert names(repo)[0] == "1.999"


def test_long_names(repo: Repo) -> None:
    commit = repo.commit()
    long = "x" * 200 + "/" + "y" * 200 + "/" + "z" * 100 + "-1.0"
    repo.tag(long)
    (repo.path / ".git" / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{commit} refs/tags/v{'9' * 5000}\n")
    (version,) = GitLocal(repo.path).versions(SERVICE)
    assert version.tag == long
    assert GitLocal(repo.path).changes(SERVICE, "", long).total_in == 1


# changes


def test_both_sides(repo: Repo) -> None:
    repo.commit("root")
    repo.tag("v1.0")
    repo.git("checkout", "--quiet", "-b", "fix")
    hotfix = repo.commit("hotfix", "fix.txt")
    repo.tag("v1.0.1")
    repo.git("checkout", "--quiet", "main")
    first, second = repo.commit("one", "a.txt", "dir/b.txt"), repo.commit("two")
    repo.tag("v1.1")
    found = GitLocal(repo.path).changes(SERVICE, "v1.0.1", "v1.1")
    assert [c.id for c in found.commits] == [second, first]
    assert [c.id for c in found.missing] == [hotfix]
    assert (found.base, found.head, found.total_in, found.total_out) == ("v1.0.1", "v1.1", 2, 1)
    assert found.commits[1].files == ("a.txt", "dir/b.txt")
    assert found.files == ("a.txt", "dir/b.txt", "file.txt")
    back = GitLocal(repo.path).changes(SERVICE, "v1.1", "v1.0.1")
    assert (back.commits, back.missing) == (found.missing, found.commits)


def test_limits_keep_the_totals(repo: Repo) -> None:
    repo.commit("root")
    repo.tag("v1.0")
    repo.git("checkout", "--quiet", "-b", "fix")
    for n in range(4):
        repo.commit(f"fix {n}", "fix.txt")
    repo.tag("v1.0.1")
    repo.git("checkout", "--quiet", "main")
    for n in range(6):
        repo.commit(f"main {n}")
    repo.tag("v1.1")
    source = GitLocal(repo.path)
    for limit in (1, 3, 5, 6, 10, 11):
        found = source.changes(SERVICE, "v1.0.1", "v1.1", limit)
        assert (found.total_in, found.total_out) == (6, 4)
        assert [c.subject for c in found.commits] == [f"main {n}" for n in range(5, -1, -1)][:limit]
        assert [c.subject for c in found.missing] == [f"fix {n}" for n in range(3, -1, -1)][:limit]
    everything = source.changes(SERVICE, "", "v1.1", 2)
    assert (len(everything.commits), everything.total_in, everything.missing) == (2, 7, ())


def test_path(repo: Repo) -> None:
    repo.commit("a", "services/a/x")
    both = repo.commit("both", "services/a/y", "services/b/y")
    repo.commit("b", "services/b/x")
    found = GitLocal(repo.path / "services").changes(Service("a", path="services/a"), "", "main")
    assert found.commits[0].id == both
    assert found.total_in == 2
    assert found.commits[0].files == ("services/a/y",)


def test_people(repo: Repo) -> None:
    (repo.path / ".mailmap").write_text("Somebody Else <else@playground.invalid> <Ada@playground.invalid>\n")
    repo.commit(
        "subject\n\nReviewed-by: not a trailer here\n\nbody\n\n"
        "Reviewed-by: Bo <bo@playground.invalid>\nreviewed-by: Bo <bo@playground.invalid>\n"
        "Acked-by: Cy\n <cy@playground.invalid>\nCo-authored-by: Di <Di@playground.invalid>\nSigned-off-by: Ed <ed@playground.invalid>\n"
    )
    found = GitLocal(repo.path).changes(SERVICE, "", "main")
    (commit,) = found.commits
    assert (commit.author, commit.email) == ("Ada", "Ada@playground.invalid")
    assert commit.reviewers == ("Bo <bo@playground.invalid>", "Cy <cy@playground.invalid>")
    assert commit.co_authors == ("Di <Di@playground.invalid>",)
    assert found.authors == {"ada@playground.invalid", "di@playground.invalid"}
    assert commit.at_us == (1_700_000_000 + 60) * 1_000_000


def test_authors_are_known_even_where_the_list_is_cut(repo: Repo) -> None:
    repo.commit("first\n\nCo-authored-by: Bo <Bo@playground.invalid>")
    for number in range(4):
        repo.commit(f"change {number}")
    found = GitLocal(repo.path).changes(SERVICE, "", "main", 2)
    assert (len(found.commits), found.total_in) == (2, 5)
    assert found.authors == {"ada@playground.invalid", "bo@playground.invalid"}
    assert GitLocal(repo.path).changes(SERVICE, "", "main", 5).people == ()


def test_names_of_commits(repo: Repo) -> None:
    first = repo.commit("one")
    repo.commit("two")
    repo.tag("v1.0", first)
    repo.git("branch", "v1.0")  # a branch of the same name: the tag counts
    source = GitLocal(repo.path)
    assert source.changes(SERVICE, "", "v1.0").total_in == 1
    assert source.changes(SERVICE, first, "main").total_in == 1
    assert source.changes(SERVICE, first[:10], "main").total_in == 1
    assert source.changes(SERVICE, "v1.0", "v1.0").total_in == 0
    error = fails(NotFound, lambda: source.changes(SERVICE, "v1.0", "v7.0"))
    assert "v7.0" in error.message
    fails(NotFound, lambda: source.changes(SERVICE, "", "0" * 40))
    repo.tag("tree", "HEAD^{tree}")
    fails(NotFound, lambda: source.changes(SERVICE, "", "tree"))


def test_unrelated_histories(repo: Repo) -> None:
    repo.commit("one")
    repo.tag("v1.0")
    repo.git("checkout", "--quiet", "--orphan", "new")
    repo.commit("two")
    repo.tag("v2.0")
    found = GitLocal(repo.path).changes(SERVICE, "v1.0", "v2.0")
    assert (found.total_in, found.total_out) == (1, 1)


# forms of repositories


def test_forms(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    repo.tag("v1.0")
    repo.commit("two")
    repo.tag("v1.1")
    repo.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    repo.git("clone", "--quiet", "--depth=1", "--branch=v1.1", f"file://{repo.path}", str(tmp_path / "shallow"))
    (repo.path / "below").mkdir()
    repo.git("checkout", "--quiet", "--detach")
    (tmp_path / "link").symlink_to(repo.path)
    for path in (repo.path, repo.path / "below", repo.path / ".git", tmp_path / "bare.git", tmp_path / "tree", tmp_path / "link"):
        source = GitLocal(path)
        assert [v.name for v in source.versions(SERVICE)] == ["1.1", "1.0"], path
        assert source.changes(SERVICE, "v1.0", "v1.1").total_in == 1
        assert len(source.fingerprint()) == 32
    assert GitLocal(tmp_path / "shallow").changes(SERVICE, "", "v1.1").total_in == 1
    assert services_in(str(tmp_path / "bare.git"))[0].name == "bare"


def test_sha256(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "new", "--object-format=sha256")
    commit = repo.commit()
    repo.tag("v1.0")
    source = GitLocal(repo.path)
    assert source.versions(SERVICE)[0].commit == commit
    assert len(commit) == 64
    assert source.changes(SERVICE, "", commit).total_in == 1


# fingerprint


def test_fingerprint_follows_every_ref(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    sources = (GitLocal(repo.path), GitLocal(tmp_path / "tree"))
    seen: list[set[str]] = [set(), set()]

    def look() -> None:
        for source, known in zip(sources, seen, strict=True):
            now = source.fingerprint()
            assert now not in known
            assert source.fingerprint() == now
            known.add(now)

    look()
    for change in (
        lambda: repo.tag("v1.0"),
        lambda: repo.tag("deep/er/v1.0"),
        repo.commit,
        lambda: repo.tag("v1.0", "main"),
        lambda: repo.git("tag", "--delete", "deep/er/v1.0"),
        lambda: repo.git("pack-refs", "--all"),
        lambda: repo.tag("v1.1"),
    ):
        change()
        look()


def test_fingerprint_of_head(repo: Repo) -> None:
    repo.commit()
    repo.git("branch", "other")
    source = GitLocal(repo.path)
    before = source.fingerprint()
    repo.git("symbolic-ref", "HEAD", "refs/heads/other")
    assert source.fingerprint() != before


def test_fingerprint_of_a_reftable(repo: Repo) -> None:
    """Git before 2.45 cannot make one; its list of tables is replaced at each change of a ref."""
    repo.commit()
    tables = repo.path / ".git" / "reftable"
    tables.mkdir()
    (tables / "tables.list").write_text("1\n")
    source = GitLocal(repo.path)
    before = source.fingerprint()
    (tables / "new").write_text("1\n2\n")
    (tables / "new").rename(tables / "tables.list")
    assert source.fingerprint() != before


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(["", ">", "<", "a" * 40, "\n", "refs/tags/v1", "tag", "commit", "9" * 30])).map(joined)
)
def test_parsers_raise_bad_payload_only(output: bytes) -> None:
    for parse in (parse_tags, parse_log):
        with contextlib.suppress(BadPayload):
            parse(output)


def test_what_a_commit_says_of_the_way_back(repo: Repo) -> None:
    repo.commit("first")
    repo.tag("v1")
    repo.commit("none\n\nRollback is easy")
    trailers = "Reviewed-by: Bo <bo@playground.invalid>\nRollback: safe until\n 1.8.0\nrollback: one-way: drops\x1b[2J X\nRollback:"
    repo.commit(f"two\n\n{trailers}")
    repo.commit("empty\n\nRollback:  ")
    repo.tag("v2")
    with GitLocal(repo.path) as source:
        found = {c.subject: c.rollback for c in source.changes(Service("s"), "v1", "v2").commits}
    assert found == {"none": "", "two": "safe until 1.8.0\none-way: drops\ufffd[2J X", "empty": ""}


def test_parsers_refuse_other_forms() -> None:
    for output in (b"a\0b\n", b"\n\n", b"refs/tags/a\0commit\n"):
        with pytest.raises(BadPayload):
            parse_tags(output)
    for output in (b"nonsense\0", b"\0>\0abc\0", b"x\0y\0z\0"):
        with pytest.raises(BadPayload):
            parse_log(output)
    assert parse_tags(b"") == ()
    assert parse_log(b"") == ()
