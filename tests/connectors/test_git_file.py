"""One file of a repository at a branch's tip, and the branch of a remote: names are names, and what is no file is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cockpit.connectors.git_local import GitLocal
from cockpit.domain.errors import ConnectorError, NotFound, Unreachable


def git(path: Path, *words: str) -> str:
    names = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", "A"), ("EMAIL", "a@x.org"))}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", "-C", str(path), *words], env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "cockpit.toml").write_bytes(b"x = 1\r\n\xff")
    (path / "folder").mkdir()
    (path / "folder" / "a*b [c].toml").write_text("odd")
    (path / "link.toml").symlink_to("/etc/passwd")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "one")
    return path


@pytest.mark.parametrize("name", ["none", "folder", "link.toml", "../cockpit.toml", "--help", "", ":/", "folder/", "*", "COCKPIT.TOML"])
def test_what_is_no_file_there_is_none(theirs: Path, name: str) -> None:
    with GitLocal(theirs) as repository, pytest.raises(ConnectorError):
        repository.file("refs/heads/main", name)


@pytest.mark.parametrize("ref", ["main", "refs/heads/none", "--upload-pack=x", "refs/heads/main~1", "refs/heads/main:x", "HEAD", ""])
def test_a_ref_is_a_whole_name_and_nothing_else(theirs: Path, ref: str) -> None:
    with GitLocal(theirs) as repository, pytest.raises(NotFound):
        repository.file(ref, "cockpit.toml")


def test_a_repository_that_is_gone_is_said(tmp_path: Path) -> None:
    with GitLocal(tmp_path / "none") as repository, pytest.raises(NotFound, match="does not exist"):
        repository.file("refs/heads/main", "cockpit.toml")


def test_the_content_comes_byte_by_byte_with_its_commit(theirs: Path) -> None:
    commit = git(theirs, "rev-parse", "HEAD")
    (theirs / "cockpit.toml").write_text("not committed")
    with GitLocal(theirs) as repository:
        assert repository.file("refs/heads/main", "cockpit.toml") == (commit, b"x = 1\r\n\xff")
        assert repository.file(commit, "folder/a*b [c].toml") == (commit, b"odd")


def test_filters_of_a_hostile_repository_do_not_run(theirs: Path, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    for key in ("filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "remote.origin.uploadpack", "core.sshCommand"):
        git(theirs, "config", key, f"touch {witness}")
    (theirs / ".gitattributes").write_text("* filter=evil diff=evil\n")
    with GitLocal(theirs) as repository:
        assert repository.file("refs/heads/main", "cockpit.toml")[1] == b"x = 1\r\n\xff"
    assert not witness.exists()


def test_a_remotes_branch_is_followed_wherever_it_goes(theirs: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(theirs), "mine")
    git(tmp_path / "mine", "config", "remote.origin.uploadpack", f"touch {tmp_path / 'ran'};")
    with GitLocal(tmp_path / "mine") as repository:
        first = repository.file(repository.fetch("origin", "main"), "cockpit.toml")[0]
        (theirs / "cockpit.toml").write_text("y = 2\n")
        git(theirs, "commit", "-q", "-a", "--amend", "-m", "another history")
        ref = repository.fetch("origin", "main")
        second, content = repository.file(ref, "cockpit.toml")
    assert ref == "refs/remotes/origin/main"
    assert (second != first, content) == (True, b"y = 2\n")
    assert second == git(theirs, "rev-parse", "HEAD")
    assert git(tmp_path / "mine", "rev-parse", "refs/heads/main") == first
    assert not (tmp_path / "ran").exists()


def test_an_address_is_a_remote_too_and_one_that_is_gone_is_said(theirs: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "mine")
    with GitLocal(tmp_path / "mine") as repository:
        assert repository.file(repository.fetch(str(theirs), "main"), "cockpit.toml")[1]
        with pytest.raises(Unreachable):
            repository.fetch(str(tmp_path / "gone"), "main")
        with pytest.raises(ConnectorError):
            repository.fetch(f"ext::touch {tmp_path / 'ran'}", "main")
    assert not (tmp_path / "ran").exists()
