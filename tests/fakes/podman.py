"""Real Podman engines: unpacked from Debian packages, each with a storage and a socket of its own, always ended.

Two things of small machines are worked around: limits that a container's runtime may not raise, and control groups of the hybrid kind.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from tests.fakes.monitoring import CACHE, wait_until

PACKAGES = ("podman", "conmon", "runc", "busybox-static", "libyajl2", "libgpgme11", "libassuan0", "libsubid4")
CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
conmon_path = ["{root}/usr/bin/conmon"]
helper_binaries_dir = ["{root}/usr/lib/podman"]
[engine.runtimes]
runc = ["{root}/usr/sbin/runc"]
"""


@cache
def unpacked() -> Path:
    """The packages' files, fetched once; or the test is skipped and says why."""
    if os.geteuid() != 0:
        pytest.skip("Podman's engines are started as root here, and this is not root")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("there is no apt-get to fetch Podman with")
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / "podman"
    with FileLock(CACHE / "podman.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as place:
                fetched = subprocess.run(["apt-get", "download", *PACKAGES], cwd=place, capture_output=True, text=True, timeout=180)
                if fetched.returncode != 0:
                    pytest.skip(f"Podman could not be fetched: {fetched.stderr.strip()[-200:]}")
                for package in Path(place).glob("*.deb"):
                    subprocess.run(["dpkg-deb", "-x", str(package), f"{place}/root"], check=True, capture_output=True, timeout=60)
                Path(place, "root").rename(target)
    return target


def image_archive(version: str, exits: int = 0) -> bytes:
    """A root file system that serves its version on 127.0.0.1:$PORT, or ends at once."""
    busybox = (unpacked() / "bin" / "busybox").read_bytes()
    run = f"#!/bin/busybox sh\nexit {exits}\n" if exits else "#!/bin/busybox sh\nexec /bin/busybox httpd -f -p 127.0.0.1:$PORT -h /www\n"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, mode in (
            ("bin/busybox", busybox, 0o755),
            ("serve", run.encode(), 0o755),
            ("www/version", version.encode(), 0o644),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
        for name in ("proc", "sys", "dev", "tmp", "etc", "run"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
    return out.getvalue()


class PodmanHost:
    """One engine. `url` is its socket as a connection names it; `run` asks its command line."""

    def __init__(self, folder: Path, socket: Path, process: subprocess.Popen[bytes], env: Mapping[str, str]) -> None:
        self.folder, self.url, self.process, self.env = folder, f"unix://{socket}", process, env

    def run(self, *words: str, **more: Any) -> str:
        """Podman's own command line on the same storage."""
        done = subprocess.run([*_command(self.folder), *words], env=self.env, capture_output=True, timeout=60, **more)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-1000:]
        return done.stdout.decode("utf-8", "replace").strip()


def _command(folder: Path) -> list[str]:
    storage = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    return [str(unpacked() / "usr" / "bin" / "podman"), *storage]


@contextmanager
def podman_hosts(names: tuple[str, ...]) -> Iterator[dict[str, PodmanHost]]:
    """An engine for each name."""
    root = unpacked()
    # Podman refuses longer paths than this one
    place = tempfile.TemporaryDirectory(prefix="pm", ignore_cleanup_errors=True)
    with place as short, _engines(root, Path(short), names) as hosts:
        yield hosts


@contextmanager
def _engines(root: Path, folder: Path, names: tuple[str, ...]) -> Iterator[dict[str, PodmanHost]]:
    home = folder / "home" / ".config" / "containers"
    home.mkdir(parents=True)
    (home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}', "utf-8")
    (folder / "containers.conf").write_text(CONF.format(root=root), "utf-8")
    env = {
        "PATH": f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu",
        "HOME": str(folder / "home"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
    }
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(_host(folder / name, env)) for name in names}
        yield hosts


@contextmanager
def _host(folder: Path, env: Mapping[str, str]) -> Iterator[PodmanHost]:
    folder.mkdir()
    socket = folder / "s"
    with (folder / "log").open("wb") as log:
        command = [*_command(folder), "system", "service", "--time=0", f"unix://{socket}"]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    host = PodmanHost(folder, socket, process, env)
    try:
        assert wait_until(socket.exists, 20), (folder / "log").read_text("utf-8", "replace")[-1000:]
        yield host
    finally:
        process.send_signal(signal.SIGCONT)
        subprocess.run([*_command(folder), "rm", "--all", "--force", "--time", "0"], env=env, capture_output=True, timeout=60)
        process.terminate()
        process.wait(10)
        for left in psutil.process_iter(["cmdline"]):
            if str(folder) in " ".join(left.info["cmdline"] or []):
                left.kill()
