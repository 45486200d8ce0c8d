"""`release-cockpit open` on real git repositories of many kinds; nothing is ever written into them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit import cli
from cockpit.storage.settings import load

Run = Callable[..., tuple[int, str, str]]
REVIEWED = "\n\nReviewed-by: Bob Moss <bob@example.invalid>\nCo-authored-by: Cyd Roe <cyd@example.invalid>"
SCHEMES = {
    "v": ["v1.2", "v1.10", "v1.9.1"],
    "bare": ["1.2.3-rc1", "1.2.3", "1.2.4"],
    "slash": ["gateway/1.2.3", "gateway/1.3.0", "gateway/1.10.0"],
    "dash": ["gateway-1.2.3", "gateway-1.3.0", "gateway-2.0.0"],
    "dash v": ["gateway-v1.2.3", "gateway-v1.3.0", "gateway-v2.0.0"],
    "dates": ["2026-01-05", "2026-02-01", "2026-11-22"],
}


def git(path: Path, *words: str, author: str = "Ada Poe") -> None:
    names = {"GIT_AUTHOR_NAME": author, "GIT_AUTHOR_EMAIL": "ada@example.invalid", "GIT_COMMITTER_NAME": "Ada"}
    env = {**os.environ, **names, "GIT_COMMITTER_EMAIL": "ada@example.invalid", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, env=env)


def repository(path: Path, tags: list[str], subject: str = "change", author: str = "Ada Poe") -> Path:
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    for tag in tags:
        git(path, "commit", "-q", "--allow-empty", "-m", f"{subject} {tag}{REVIEWED}", author=author)
        git(path, "tag", tag)
    return path


def snapshot(path: Path) -> dict[str, tuple[int, int]]:
    found = (p for p in path.rglob("*"))
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in found}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        result = cli.main(["--data-dir", str(tmp_path / "data"), "open", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert not set(out + err) & {chr(c) for c in (*range(9), 11, 12, *range(14, 32), 127)}
        return result, out, err

    return call


# -- what cannot be done -----------------------------------------------------------------------------------------------------


def test_what_is_no_repository_is_1_with_a_way_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "gone", Path("--upload-pack=x"), Path("a\nb")):
        result, out, err = run("--", str(path))
        assert (result, out) == (1, "")
        assert err.startswith("■")
        assert len(err.splitlines()) > 1
        result, out, _ = run("--json", "--", str(path))
        assert result == 1
        assert json.loads(out)["error"]["hint"]


def test_an_unknown_live_version_or_service_is_2_with_the_nearest(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v1.2.3", "v1.2.4"])
    for words in (("--live", "1.2.33"), ("--service", "rr")):
        result, _, err = run(str(path), *words)
        assert result == 2
        assert "1.2.3" in err or "Known: r" in err


def test_a_repository_without_versions_says_what_a_version_is(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.mkdir()
    git(path, "init", "-q")
    result, out, _ = run(str(path))
    assert result == 0
    assert "no version yet" in out
    assert "git tag" in out
    git(path, "commit", "-q", "--allow-empty", "-m", "x")
    git(path, "tag", "nightly")
    assert "no version yet" in run(str(path))[1]
    assert run(str(path), "--live", "1.0")[0] == 2


def test_several_services_must_be_chosen(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / "mono", ["gateway/1.0.0", "risk/1.0.0", "gateway/1.1.0", "risk/2.0.0"])
    result, out, _ = run(str(path))
    assert result == 0
    assert "gateway" in out
    assert "--service" in out
    result, _, err = run(str(path), "--live", "1.0.0")
    assert result == 2
    assert "--service" in err
    document = json.loads(run(str(path), "--service", "gateway", "--live", "1.0.0", "--json")[1])
    assert [v["version"] for v in document["pending"]["versions"]] == ["1.1.0"]


def test_settings_are_written_once_and_never_over_others(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / 'odd "name" ü\\', ["v1.0", "v1.1"])
    result, _, _ = run(str(path), "--save", "--live", "v1.0")
    assert result == 0
    file = tmp_path / "data" / "cockpit.toml"
    before = file.read_bytes()
    (service,) = load(file).domain_services()
    assert (service.repository, service.live_version) == (str(path), "1.0")
    result, _, err = run(str(path), "--save", "--live", "1.1")
    assert result == 2
    assert "nothing was changed" in err
    assert file.read_bytes() == before


def test_a_saved_repository_answers_every_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = repository(tmp_path / "r", ["v1.0", "v1.1"])
    run(str(path), "--save", "--live", "1.0")
    expected = {"status": "1.0", "pending": "1.1", "checks": "ci-v1", "latency": "openmetrics", "sources": "git:r"}
    for command, words in expected.items():
        assert cli.main(["--data-dir", str(tmp_path / "data"), command]) == 0
        assert words in capsys.readouterr().out


def test_a_data_directory_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v1.0"])
    (tmp_path / "data").write_text("a file")
    assert run(str(path))[0] == 0
    result, _, err = run(str(path), "--save")
    assert result == 1
    assert "could not be written" in err


# -- what is shown -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_tag_scheme_in_order_and_pending(run: Run, tmp_path: Path, scheme: str) -> None:
    path = repository(tmp_path / "any", SCHEMES[scheme])
    before = snapshot(path)
    document = json.loads(run(str(path), "--json")[1])
    versions = [v["version"] for v in document["versions"]]
    assert len(versions) == 3
    ordered = {"v": ["1.10", "1.9.1", "1.2"], "bare": ["1.2.4", "1.2.3", "1.2.3-rc1"]}.get(scheme)
    assert versions == (ordered or [v["version"] for v in sorted(document["versions"], key=lambda v: -SCHEMES[scheme].index(v["tag"]))])
    result, out, err = run(str(path), "--live", versions[1])
    assert (result, err) == (0, "")
    assert f"1 version pending against {versions[1]}" in out
    for words in (versions[0], "Ada Poe", "Bob Moss"):
        assert words in out
    pending = json.loads(run(str(path), "--live", document["versions"][1]["tag"], "--json")[1])["pending"]
    assert [v["version"] for v in pending["versions"]] == versions[:1]
    assert snapshot(path) == before
    assert not (tmp_path / "data").exists()


def test_a_bare_repository_and_a_worktree(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v1.0", "v1.1"])
    git(tmp_path, "clone", "-q", "--bare", str(path), "bare.git")
    git(path, "worktree", "add", "-q", str(tmp_path / "tree"), "v1.0")
    for one in ("bare.git", "tree"):
        result, out, _ = run(str(tmp_path / one), "--live", "1.0")
        assert result == 0
        assert "1 version pending" in out


def test_hostile_text_is_shown_as_text(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v1.0", "v1.1"], subject="\x1b[2J<script>\x9b31m\u202e", author="E" * 500 + "\x1b[0m")
    result, out, _ = run(str(path), "--live", "1.0")
    assert result == 0
    assert "<script>" in out
    assert not {"\x9b", "\u202e"} & set(out)
    assert max(map(len, out.splitlines())) < 240


def test_many_versions_are_cut_and_said(run: Run, tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v0.1"])
    for number in range(60):
        git(path, "tag", f"v1.{number}")
    result, out, _ = run(str(path))
    assert result == 0
    assert "61 versions" in out
    assert "49 more: --limit 61" in out
    document = json.loads(run(str(path), "--live", "0.1", "--limit", "60", "--json")[1])
    assert document["pending"]["pending_total"] == 60
    assert [v["commits_total"] for v in document["pending"]["versions"]][:48] == [0] * 48


# -- the process -------------------------------------------------------------------------------------------------------------


def _process(tmp_path: Path, *words: str, shell: str = 'exec "$@"', **env: str) -> subprocess.Popen[bytes]:
    code = "import sys; from cockpit.cli import main; sys.exit(main(sys.argv[1:]))"
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", code, "--data-dir", str(tmp_path / "data"), *words]
    variables = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent), **env}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables)


@pytest.mark.parametrize("words", [("open", "r"), ("open", "r", "--json"), ("--help",)])
def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    repository(tmp_path / "r", ["v1.0"])
    monkeypatch.chdir(tmp_path)
    process = _process(tmp_path, *words)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(30) == 0


def test_a_full_disk_and_a_closed_output(tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v1.0"])
    process = _process(tmp_path, "open", str(path), shell='exec "$@" >/dev/full')
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, b"")
    assert b"No space left" in err
    assert b"Traceback" not in err
    process = _process(tmp_path, "open", str(path), shell='exec "$@" >&-')
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 0


def test_a_terminal_without_unicode_gets_text(tmp_path: Path) -> None:
    path = repository(tmp_path / "r", ["v1.0", "v1.1"], author="Ünal")
    process = _process(tmp_path, "open", str(path), "--live", "1.0", "--save", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"1.1" in out
