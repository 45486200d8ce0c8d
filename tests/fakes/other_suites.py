"""Programs of other Debian suites than this machine's own: fetched with a package list of their own, unpacked, never installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from tests.fakes.monitoring import CACHE

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCE = "http://deb.debian.org/debian"


@cache
def binary_of(package: str, suite: str) -> Path:
    """The server of that suite's package, or the test is skipped and says why."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"{package}-{suite}"
    with FileLock(CACHE / f"{suite}.lock"):
        if not target.exists():
            if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
                pytest.skip("there is no apt-get to fetch other versions with")
            with tempfile.TemporaryDirectory(dir=CACHE) as place:
                _fetch(package, suite, Path(place))
                Path(place, "root", "usr", "bin", package).rename(target)
    return target


def _fetch(package: str, suite: str, place: Path) -> None:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (place / name).mkdir(parents=True)
    (place / "sources.list").write_text(f"deb [signed-by={KEYS}] {SOURCE} {suite} main\n", "utf-8")
    options = [f"Dir::Etc::sourcelist={place}/sources.list", "Dir::Etc::sourceparts=/dev/null", "Dir::State::status=/dev/null"]
    options += [f"Dir::State={place}/state", f"Dir::Cache={place}/cache", "APT::Sandbox::User=root"]
    command = ["apt-get", *(word for option in options for word in ("-o", option))]
    for words in (["update"], ["download", package]):
        done = subprocess.run([*command, *words], cwd=place, capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            pytest.skip(f"{package} of {suite} could not be fetched: {done.stderr.strip()[-200:]}")
    found = next(place.glob(f"{package}_*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(found), str(place / "root")], check=True, capture_output=True, timeout=120)
