"""Virtual environments of other programs for tests, made the cheap way: no pip of their own, nothing compiled that is never imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LIMIT_S = 600.0


def make(place: Path, *wanted: str, like: Path | None = None, imports: str = "", limit_s: float = LIMIT_S) -> str:
    """A new environment with these packages; answers why it could not be made, "" where it could.

    `like`: one that has most of them already; its files are linked, and pip replaces what differs. `imports`: modules whose bytecode is
    made now, for programs that several processes start at once.
    """
    python = place / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(place)], check=True, capture_output=True, timeout=120)
    if like is not None:
        shutil.copytree(_packages(like), _packages(place), dirs_exist_ok=True, copy_function=_link)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=limit_s)
    if done.returncode == 0 and imports:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(
            [str(python), "-c", f"import {imports}"], capture_output=True, text=True, timeout=limit_s, env=environment, cwd=place
        )
    return f"{place.name} could not be made: {done.stderr.strip()[-300:]}" if done.returncode else ""


def _packages(place: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return place / "lib" / version / "site-packages"


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
