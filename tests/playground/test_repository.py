"""The playground's repository: the same everywhere, whole or not at all, and a history one can work with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cockpit.playground import repository
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.repository import PENDING, RELEASED, make_repository
from cockpit.playground.weave import WeaveError, file_at

LAST_DAY_S = 1_795_132_800  # 2026-11-20


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("made") / "repo"
    make_repository(target)
    return target


def version(tag: str) -> tuple[int, ...]:
    return tuple(int(part) for part in tag.rpartition("/v")[2].split("."))


# -- what goes wrong --


def test_interrupted_making_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = repository._git

    def interrupted(directory: Path, *arguments: str, stdin: bytes = b"") -> None:
        if "reset" in arguments:
            raise KeyboardInterrupt
        real(directory, *arguments, stdin=stdin)

    monkeypatch.setattr(repository, "_git", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_repository(tmp_path / "repo")
    assert list(tmp_path.iterdir()) == []


def test_leftover_of_a_killed_process_is_removed_and_that_of_a_live_one_kept(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    dead, alive = tmp_path / f".repo.{child.pid}.partial", tmp_path / f".repo.{os.getppid()}.partial"
    for partial in (dead, alive):
        (partial / ".git").mkdir(parents=True)
    make_repository(tmp_path / "repo")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, "repo"])


def test_something_else_at_the_place_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PlaygroundError, match="not a git repository"):
        make_repository(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaygroundError) as caught:
        make_repository(tmp_path / "file" / "playground" / "repo")
    assert caught.value.hint


def test_missing_git_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlaygroundError) as caught:
        make_repository(tmp_path / "repo")
    assert "Install git" in caught.value.hint
    assert not (tmp_path / "repo").exists()


def test_failing_git_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "_stream", lambda _history: b"nonsense\n")
    with pytest.raises(PlaygroundError, match="nonsense"):
        make_repository(tmp_path / "repo")


def test_slower_of_two_makers_takes_the_other_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = repository._build

    def overtaken(directory: Path) -> None:
        real(directory)
        (tmp_path / "repo" / ".git").mkdir(parents=True)

    monkeypatch.setattr(repository, "_build", overtaken)
    make_repository(tmp_path / "repo")
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#@ since a\nx\n", "not ended"),
        ("#@ end\n", "f.py:1"),
        ("x\n#@ since nothing\n#@ end\n", "f.py:2"),
        ("#@ until a\n#@ end\n", "f.py:1"),
    ],
)
def test_malformed_woven_file_names_the_place(text: str, message: str) -> None:
    with pytest.raises(WeaveError, match=message):
        file_at(text, 0, {"a": 0}, "f.py")


# -- what is made --


def test_woven_file_at_each_step() -> None:
    text = "a\n#@ since two\nb\n#@ before three\nc\n#@ end\n#@ end\n#@ since three\nd\n#@ end\n"
    order = {"one": 0, "two": 1, "three": 2}
    assert [file_at(text, step, order, "f") for step in range(3)] == ["a\n", "a\nb\nc\n", "a\nb\nd\n"]
    assert file_at("#@ since two\nb\n#@ end\n", 0, order, "f") == ""


def test_commit_ids_do_not_depend_on_person_or_machine(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = "[user]\n\tname = Somebody\n\temail = a@b.invalid\n[core]\n\tautocrlf = true\n[commit]\n\tgpgsign = true\n"
    (home / ".gitconfig").write_text(f"{settings}[init]\n\tdefaultBranch = other\n\tdefaultObjectFormat = sha256\n\ttemplateDir = {home}\n")
    for name, value in {"HOME": str(home), "TZ": "Pacific/Auckland", "GIT_DIR": "/nowhere", "GIT_AUTHOR_NAME": "Somebody"}.items():
        monkeypatch.setenv(name, value)
    make_repository(tmp_path / "again")
    monkeypatch.undo()
    refs = ("for-each-ref", "--format=%(refname) %(objectname)")
    assert git(tmp_path / "again", *refs) == git(made, *refs)
    assert git(tmp_path / "again", "symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_second_call_leaves_it_alone(made: Path) -> None:
    (made / "mine.txt").write_text("mine")
    before = (made / ".git").stat().st_mtime_ns
    make_repository(made)
    assert (made / "mine.txt").read_text() == "mine"
    assert (made / ".git").stat().st_mtime_ns == before
    (made / "mine.txt").unlink()


def test_repository_is_sound_and_its_tree_clean(made: Path) -> None:
    git(made, "fsck", "--strict")
    assert git(made, "status", "--porcelain") == ""
    assert "made up" in (made / "README.md").read_text()


def test_tags_are_annotated_and_say_what_is_released_and_pending(made: Path) -> None:
    lines = git(made, "for-each-ref", "--format=%(objecttype) %(refname:short)", "refs/tags").split("\n")
    tags = [line.split()[1] for line in lines if line]
    assert {line.split()[0] for line in lines if line} == {"tag"}
    assert {tag.partition("/")[0] for tag in tags} == set(RELEASED) == set(PENDING)
    for service, released in RELEASED.items():
        versions = sorted((tag for tag in tags if tag.startswith(f"{service}/v")), key=version)
        place = versions.index(f"{service}/v{released}")
        assert place >= 3
        assert tuple(tag.rpartition("/v")[2] for tag in versions[place + 1 :]) == PENDING[service]


def test_history_is_what_a_release_manager_reads(made: Path) -> None:
    form = "%H%x1f%an%x1f%ae%x1f%at%x1f%ct%x1f%s%x1f%(trailers:key=Reviewed-by,valueonly)%x1f%(trailers:key=Co-authored-by,valueonly)%x1e"
    commits = [record.strip("\n").split("\x1f") for record in git(made, "log", "--reverse", f"--format={form}").split("\x1e")[:-1]]
    assert 40 <= len(commits) <= 60
    assert len({author for _, author, *_ in commits}) >= 6
    times = [int(commit[4]) for commit in commits]
    assert times == sorted(times)
    assert times[-1] < LAST_DAY_S
    for _, author, mail, at, committed, subject, reviewed, _ in commits:
        assert mail.endswith("@playground.invalid")
        assert reviewed.strip().endswith("@playground.invalid>")
        assert f"{author} <" not in reviewed
        assert int(at) < int(committed)
        assert 10 < len(subject) <= 72
    assert sum(bool(commit[7].strip()) for commit in commits) >= 4


def declared(made: Path, service: str, span: str) -> list[str]:
    form = "--format=%(trailers:key=Rollback,valueonly,separator=%x00)"
    return git(made, "log", form, span, "--", f"services/{service}").split("\n")[:-1]


def test_some_commits_declare_their_way_back(made: Path) -> None:
    """The way back that a demonstration takes is open; one deeper way is shut, and says why."""
    gateway = declared(made, "order-gateway", "order-gateway/v1.6.1..order-gateway/v1.7.0")
    assert {"safe", ""} == set(gateway)
    assert "safe until 1.7.0" in declared(made, "order-gateway", "order-gateway/v1.5.0..order-gateway/v1.6.0")
    assert not any("one-way" in words for words in declared(made, "risk-engine", "risk-engine/v3.3.0..risk-engine/v3.4.0"))
    (one_way,) = [
        words for words in declared(made, "risk-engine", "risk-engine/v3.2.0..risk-engine/v3.3.0") if words.startswith("one-way: ")
    ]
    assert "older engines cannot read" in one_way
    everything = "".join(words for service in RELEASED for words in declared(made, service, "HEAD"))
    assert everything.count("one-way") == 1


def test_configuration_changes_between_some_versions_only(made: Path) -> None:
    def changed(span: str) -> bool:
        return bool(git(made, "diff", "--name-only", span, "--", "services/order-gateway/settings.conf"))

    assert changed("order-gateway/v1.5.0..order-gateway/v1.6.0")
    assert not changed("order-gateway/v1.6.0..order-gateway/v1.7.0")
    for service in RELEASED:
        assert (made / "services" / service / "settings.conf").is_file()


def test_every_commit_changes_code_in_several_files(made: Path) -> None:
    for record in git(made, "log", "--format=%x1e%s", "--name-only", "--no-renames").split("\x1e")[1:]:
        subject, *files = [line for line in record.split("\n") if line]
        assert len(files) >= 2, subject
        assert any(name.endswith(".py") for name in files), subject


def test_services_stand_alone_and_hold_no_marks_of_the_script(made: Path) -> None:
    shared = ("server.py", "metrics.py", "checks.py", "settings.py", "modes.py")
    for path in made.glob("services/*/*/*.py"):
        assert "#@" not in path.read_text(), path
    for name in shared:
        copies = {path.read_bytes() for path in made.glob(f"services/*/*/{name}")}
        assert len(copies) == 1, name
