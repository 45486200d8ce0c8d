"""The rules of the house, checked: budgets, layers, folders, forbidden words, docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 400
FUNCTION_LINES = 40
INIT_LINES = 30
FILE_LINES_OF = {"ui/main_window.py": 250}
TOP_LEVEL = {
    *("cockpit", "ui", "resources", "tests", "packaging", ".ci"),
    *("pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", ".gitignore"),
}
FORBIDDEN = ("processEvents", "QMessageBox", "moveToThread", "shell=True", "except Exception: pass")


def sources() -> tuple[Path, ...]:
    """Every Python file of the program. Those below resources/playground are material that it releases, not its own."""
    return tuple(sorted(p for folder in ("cockpit", "ui") for p in (ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_is_something_to_check() -> None:
    assert len(sources()) > 20


def test_no_file_is_too_long() -> None:
    lengths = {name_of(p): len(p.read_text("utf-8").splitlines()) for p in sources()}
    assert not {name: n for name, n in lengths.items() if n > FILE_LINES_OF.get(name, FILE_LINES)}


def test_no_function_is_too_long() -> None:
    long = []
    for path in sources():
        for node in functions(path):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > (INIT_LINES if node.name == "__init__" else FUNCTION_LINES):
                long.append(f"{name_of(path)}:{node.lineno} {node.name} has {length} lines")
    assert not long


def test_no_forbidden_words() -> None:
    found = []
    for path in sources():
        text = path.read_text("utf-8")
        found += [f"{name_of(path)}: {word}" for word in FORBIDDEN if word in text]
        found += [f"{name_of(path)}: a swallowed exception" for _ in re.finditer(r"except (Base)?Exception[^\n]*:\s*\n\s+pass\b", text)]
        found += [f"{name_of(path)}: {word}" for word in re.findall(r"#.*\b(TODO|FIXME|XXX)\b", text)]
    assert not found


def test_everything_public_in_the_core_says_what_it_is_for() -> None:
    silent = []
    for path in sources():
        if not name_of(path).startswith("cockpit/"):
            continue
        module = tree(path)
        if module.body and ast.get_docstring(module) is None:
            silent.append(f"{name_of(path)}: the module")
        public = (n for n in module.body if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and n.name[0] != "_")
        silent += [f"{name_of(path)}:{node.lineno} {node.name}" for node in public if ast.get_docstring(node) is None]
    assert not silent


def test_the_top_level_is_the_agreed_one() -> None:
    listing = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    answer = subprocess.run(listing, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip("this is no git checkout")
    present = {name.split("/")[0] for name in answer.stdout.split("\0") if name}
    assert present <= TOP_LEVEL


def test_no_test_folder_is_a_package_and_no_two_tests_share_a_name() -> None:
    names = [p.name for p in (ROOT / "tests").rglob("test_*.py")]
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert len(names) == len(set(names)), sorted(n for n in set(names) if names.count(n) > 1)


def test_no_test_sleeps() -> None:
    asleep = []
    for path in (ROOT / "tests").rglob("*.py"):
        if path.parts[len(ROOT.parts) + 1] != "bench" and path != Path(__file__).resolve():
            asleep += [name_of(path) for _ in re.finditer(r"\btime\.sleep\(|\bqWait\(|\bqtbot\.wait\(", path.read_text("utf-8"))]
    assert not asleep


def test_the_layers_hold() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())",
        "--no-cache",
    ]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert answer.returncode == 0, answer.stdout + answer.stderr
