"""A package of others: the guide's example, installed by pip into an environment of its own, is listed there and keeps the contract."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from filelock import FileLock

from cockpit.connectors import ports
from cockpit.contract import common

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "resources" / "guide" / "example-connector"
CHAPTER = ROOT / "resources" / "guide" / "13-write-a-connector.md"
VENVS = ROOT / "build" / "venvs"
TESTED = ("SourceControl", "CiSystem", "DeploymentApi", "MetricsApi", "AlertsApi", "Traffic", "Drain", "Notifier", "Reviews", "Gates")


def files() -> dict[str, str]:
    """The example's files by their path in it."""
    found = (p for p in sorted(EXAMPLE.rglob("*")) if p.is_file() and not any(part.startswith((".", "__")) for part in p.parts[-2:]))
    return {p.relative_to(EXAMPLE).as_posix(): p.read_text("utf-8") for p in found}


def test_the_chapter_shows_the_files_as_they_are() -> None:
    block = r"^`([\w./]+)`[.:](?:[^\n]|\n(?!\n))*\n\n```\w+\n(.*?)\n```\n"
    shown = re.findall(block, CHAPTER.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert {name: text + "\n" for name, text in shown} == files()


def test_pytest_is_needed_by_the_suite_alone_and_nothing_needs_the_suite() -> None:
    found = []
    for path in sorted(p for folder in ("cockpit", "ui") for p in (ROOT / folder).rglob("*.py")):
        place, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        if "pytest" not in text and "contract" not in text:
            continue
        names = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
        if not place.startswith(("cockpit/contract/", "cockpit/playground/")) and any(n.split(".")[0] == "pytest" for n in names):
            found.append(f"{place} imports pytest")
        if not place.startswith("cockpit/contract/") and any(f"{n}.".startswith("cockpit.contract.") for n in names):
            found.append(f"{place} imports the suite")
    assert not found


def test_every_port_that_the_suite_names_exists() -> None:
    folder = Path(common.__file__).parent
    told = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    for port in TESTED:
        assert hasattr(ports, port)
        assert f"world.connector, {port})" in told


def run(command: list[str | Path], folder: Path, **more: str) -> str:
    """What it printed; fails with all that it said."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "PIP_CONFIG_FILE") if name in os.environ}
    # a home and folders of its own, so that no keyring, settings or data of the person who runs the tests are met
    own = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    answer = subprocess.run(
        [str(c) for c in command], cwd=folder, env=keep | own | quiet | more, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def builder() -> Path:
    """The Python of an environment that can build wheels; skips where it cannot be made here."""
    python = VENVS / "builder" / "bin" / "python"
    VENVS.mkdir(parents=True, exist_ok=True)
    with FileLock(VENVS / "builder.lock"):
        if not (VENVS / "builder" / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENVS / "builder")], check=True, capture_output=True, timeout=120)
            command = [str(python), "-m", "pip", "install", "--quiet", "hatchling>=1.26"]
            got = subprocess.run(command, capture_output=True, text=True, timeout=120)
            if got.returncode:
                pytest.skip(f"what builds packages could not be fetched: {got.stderr.strip()[-200:]}")
            (VENVS / "builder" / "ready").touch()
    return python


def wheel(source: Path, target: Path, folder: Path) -> Path:
    """The wheel of a package, built from a copy so that nothing is left in its sources."""
    run([builder(), "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "-w", target, source], folder)
    return next(target.glob("*.whl"))


def copy_of(names: tuple[str, ...], source: Path, target: Path) -> Path:
    skip = shutil.ignore_patterns("__pycache__", ".*_cache")
    target.mkdir()
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=skip)
        else:
            shutil.copy(source / name, target / name)
    return target


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the cockpit and the example in it, both installed by pip from their wheels."""
    folder = tmp_path_factory.mktemp("third-party")
    whole = copy_of(("cockpit", "ui", "resources", "pyproject.toml", "README.md", "LICENSE"), ROOT, folder / "checkout")
    project = wheel(whole, folder / "wheels", folder)
    example = wheel(copy_of(("pyproject.toml", "cockpit_junit_folder.py"), EXAMPLE, folder / "source"), folder / "more-wheels", folder)
    run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], folder)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-compile"]
    run([*pip, "--no-deps", project], folder)
    # the libraries that both need are those of this environment; they are large, and not what is tested
    own = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    (Path(own) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run([*pip, example], folder)
    return folder


def test_it_is_the_installed_cockpit_and_not_the_checkout(environment: Path) -> None:
    program = "import cockpit, cockpit_junit_folder; print(cockpit.__file__); print(cockpit_junit_folder.__file__)"
    for place in run([environment / "env" / "bin" / "python", "-c", program], environment).split():
        assert Path(place).is_relative_to(environment / "env")


def test_the_list_names_its_ports_its_fields_and_its_rights(environment: Path) -> None:
    program = environment / "env" / "bin" / "release-cockpit"
    listed = json.loads(run([program, "connect", "--list", "--json"], environment))
    [kind] = [kind for kind in listed["kinds"] if kind["kind"] == "junit-folder"]
    assert listed["broken"] == []
    assert kind["title"] == "Folder of JUnit reports"
    assert kind["ports"] == ["CiSystem"]
    assert [(field["name"], field["kind"], field["required"]) for field in kind["fields"]] == [("folder", "path", True)]
    assert kind["rights"] == ["read the folder"]
    words = run([program, "connect", "--list"], environment)
    for word in ("junit-folder", "Folder of JUnit reports", "read the folder"):
        assert word in words


def test_it_keeps_the_contract_there(environment: Path) -> None:
    tests = environment / "their-tests"
    shutil.copytree(EXAMPLE / "tests", tests, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    report = environment / "report.xml"
    command = [environment / "env" / "bin" / "python", "-I", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    run([*command, f"--junitxml={report}", f"--rootdir={tests}", tests], environment, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert int(suite.attrib["tests"]) - int(suite.attrib["skipped"]) >= 25
    names = {case.attrib["name"] for case in suite.iter("testcase")}
    assert {"test_an_id_is_never_a_path", "test_runs_newest_first_each_once"} <= names


def test_it_works_there(environment: Path) -> None:
    reports = environment / "reports"
    (reports / "gateway" / "7").mkdir(parents=True)
    (reports / "gateway" / "7" / "unit.xml").write_text('<testsuite><testcase classname="c" name="n"/></testsuite>')
    told = {"version": "1.2.0", "commit": "c0ffee", "started_at_us": 1, "finished_at_us": 2}
    (reports / "gateway" / "7" / "run.json").write_text(json.dumps(told))
    program = (
        "from cockpit.connectors import registry\n"
        f"made = registry.create('junit-folder', {{'folder': {str(reports)!r}}}, str)\n"
        "print(registry.probe(made).reached, '|', [(r.version, str(r.state)) for r in made.runs('gateway')])"
    )
    said = run([environment / "env" / "bin" / "python", "-I", "-c", program], environment)
    assert said.strip() == "folder with reports of 1 services | [('1.2.0', 'passed')]"
