"""A playground's directory with a tiny repository, and its programs as real processes in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cockpit.playground import processes
from tests.fakes.playground import BROKEN, RED, RUN, Program, git, release, suites


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("template") / "repo"
    repository.mkdir()
    git(repository, "init", "--quiet", "-b", "main")
    release(repository, "1.0.0", {"run.py": RUN, **suites()})
    release(repository, "1.1.0", {"run.py": RUN + "# 1.1.0\n"})
    release(repository, "1.2.0", {"run.py": RUN + "# 1.2.0\n"})
    release(repository, "1.3.0", {"run.py": BROKEN, **suites(RED)})
    return repository


@pytest.fixture
def directory(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A playground's directory with the tiny repository. Whatever a test leaves running there is ended; what the test leaves is its own."""
    path = tmp_path / "playground"
    shutil.copytree(template, path / "repo")
    yield path
    processes.end(processes.find(path), 1.0)
    assert processes.find(path) == []


@pytest.fixture
def launch(directory: Path) -> Iterator[Callable[..., Program]]:
    """Start a program of the playground: launch("deployer", "--drain-s", "0")."""
    started: list[Program] = []

    def begin(module: str, *arguments: str) -> Program:
        started.append(Program(module, directory, list(arguments)))
        return started[-1]

    yield begin
    for program in started:
        program.kill()
