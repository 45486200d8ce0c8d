"""The entry point as a process: terminal without Qt, first paint, Ctrl+C, a data directory that cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONWARNINGS": "ignore", **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "ui", *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def settings(directory: Path) -> Path:
    """A data directory with a configuration, so that no playground is started."""
    directory.mkdir(exist_ok=True)
    (directory / "cockpit.toml").write_text(f'[services.own]\nrepository = "{directory}"\n', encoding="utf-8")
    return directory


def test_no_display_is_said_and_nothing_aborts(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run([sys.executable, "-m", "ui", "--data-dir", str(tmp_path)], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "There is no display" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_bad_usage(tmp_path: Path) -> None:
    with start("--theme", "pink") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "pink" in said


def test_a_subcommand_goes_to_the_terminal_without_qt() -> None:
    code = (
        "import sys, types\n"
        "import cockpit\n"
        "cli = types.ModuleType('cockpit.cli'); seen = []\n"
        "cli.main = lambda argv: seen.append(argv) or 3\n"
        "sys.modules['cockpit.cli'] = cli; cockpit.cli = cli\n"
        "from ui.__main__ import main\n"
        "assert main(['status', '--json']) == 3 and main(['--help']) == 3 and main(['--data-dir', '/x', 'pending']) == 3\n"
        "assert seen == [['status', '--json'], ['--help'], ['--data-dir', '/x', 'pending']], seen\n"
        "assert not [m for m in sys.modules if m.startswith('PySide6')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_first_paint_is_stamped_and_nothing_heavy_is_imported_before_it(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    before = time.monotonic_ns()
    data = str(settings(tmp_path / "data"))
    with start("--data-dir", data, RELEASE_COCKPIT_FIRST_PAINT=str(stamp), PYTHONPROFILEIMPORTTIME="1") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said[-2000:]
    assert before < int(stamp.read_text(encoding="utf-8").splitlines()[0]) < time.monotonic_ns()
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert "ui.main_window" in imported
    assert not imported & {"numpy", "pyqtgraph", "requests", "git", "keyring", "zstandard", "prometheus_client"}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    data = settings(tmp_path / "data")
    with start("--data-dir", str(data), "--selection", "own/", "--theme", "light") as process:
        eventually((data / "cache" / "cockpit.log").exists, timeout_s=60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert (data / "window.ini").read_text(encoding="utf-8").count("view=versions") == 1


def test_a_data_directory_that_cannot_be_written_still_opens_a_window(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    blocked = tmp_path / "file"
    blocked.write_text("not a directory", encoding="utf-8")
    with start("--data-dir", str(blocked), RELEASE_COCKPIT_FIRST_PAINT=str(stamp)) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert stamp.exists()
    assert "Traceback" not in said


def test_a_second_window_on_the_same_data_opens_and_reads_only(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    data, stamp = settings(tmp_path / "data"), tmp_path / "stamp"
    with start("--data-dir", str(data)) as first:
        eventually((data / "cache" / "cockpit.log").exists, timeout_s=60)
        with start("--data-dir", str(data), RELEASE_COCKPIT_FIRST_PAINT=str(stamp)) as second:
            _, said = second.communicate(timeout=60)
        first.terminate()
        first.communicate(timeout=60)
    assert second.returncode == 0, said
    assert stamp.exists()
    assert first.returncode == 0


def test_open_with_a_window_is_the_window_on_a_repository() -> None:
    from ui.__main__ import _options, _window_words

    options = _options(_window_words(["--data-dir", "d", "open", "some/path", "--live", "1.2", "--window"]))
    assert options is not None
    assert (str(options.repository), options.live, str(options.data_dir)) == ("some/path", "1.2", "d")
    assert _options(_window_words(["open", "some/path"])) is None, "without it, it is a command"
    assert _options(_window_words(["status", "--window"])) is None


def test_a_window_on_what_is_no_repository_says_so_and_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-m", "ui", "--data-dir", str(tmp_path / "data"), "open", str(tmp_path), "--window"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "is no git repository" in done.stderr
    assert "Traceback" not in done.stderr
